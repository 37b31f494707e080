// Run in the page by test_numbers.py: the modules' outputs for the inputs of golden.json.
async (golden) => {
  const planes = await import("./planes.js");
  const { supportStatistics, learnClass, classOdds, probability } = await import("./prototypes.js");
  const { refineEdges } = await import("./edges.js");
  const { inputSize } = await import("./networks.js");
  const { labColours } = await import("./colours.js");
  const { SELECTOR_INPUT, viewOf, seedsOf, planesOf } = await import("./selector.js");

  const array = ({ type, data }) => {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    return type === "uint8" ? bytes : new Float32Array(bytes.buffer);
  };
  const image = (value) => ({
    data: array(value),
    height: value.shape[0],
    width: value.shape[1],
    channels: value.shape[2] ?? 1,
  });
  const features = (value) => ({
    data: array(value),
    channels: value.shape[0],
    height: value.shape[1],
    width: value.shape[2],
  });

  const guide = image(golden.image);
  const query = features(golden.query);
  const shots = golden.shots.map((shot) =>
    supportStatistics(features(shot.features), image(shot.foreground), image(shot.background)),
  );
  const numbers = (data) => Array.from(data);
  const { selector } = golden;
  const [middle, deep, semantic] = [selector.middle, selector.deep, selector.semantic].map(features);
  const view = viewOf(image(selector.image), { levels: [middle, deep], semantic });
  const [height, width] = selector.marked;
  return {
    resized: golden.resized.map(({ shape: [height, width] }) => numbers(planes.resizeImage(guide, height, width).data)),
    blurred: golden.blurred.map(({ radius }) => numbers(planes.gaussianBlur(guide, radius).data)),
    masks: golden.masks.map(({ mask, resized }) => numbers(planes.resizeMask(image(mask), ...resized.shape).data)),
    shots: shots.map(({ means, sums, shares, squares, weights }) => ({
      means: means.flatMap(numbers),
      sums: sums.flatMap(numbers),
      shares,
      squares: numbers(squares),
      weights,
    })),
    answers: golden.answers.map((_, index) => {
      const odds = classOdds(query, learnClass(shots.slice(0, index + 1)));
      const smooth = probability(odds, guide.height, guide.width);
      return {
        odds: numbers(odds.data),
        probability: numbers(smooth.data),
        refined: numbers(refineEdges(smooth, guide).data),
      };
    }),
    sizes: golden.sizes.map(({ image: size }) => [inputSize(...size), inputSize(...size, SELECTOR_INPUT)]),
    colours: numbers(labColours(image(golden.colours.image)).data),
    marks: selector.marks.map(({ points, labels, box }) => {
      const clicks = points.map(([x, y], index) => ({ x, y, object: labels[index] === 1 }));
      const corners = box && { x0: box[0], y0: box[1], x1: box[2], y1: box[3] };
      const { coarse, fine } = planesOf(view, seedsOf(clicks, corners, { height, width }, view.colours));
      return { coarse: numbers(coarse.data), fine: numbers(fine.data) };
    }),
  };
}
