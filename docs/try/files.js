// Files that were chosen, dropped or pasted, and what is wrong with them.

/** Shortest side in pixels of an image that has a feature position of its own. */
const SMALLEST = 16;

/** Return all files of a drop, those in folders too, in the order of their names. */
export async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files];
  const files = (await Promise.all(entries.map(filesOf))).flat();
  return entries.some((entry) => entry.isDirectory)
    ? files.filter((file) => file.type.startsWith("image/")).sort((a, b) => (a.name < b.name ? -1 : 1))
    : files;
}

async function filesOf(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const reader = entry.createReader();
  const entries = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) break;
    entries.push(...some);
  }
  return (await Promise.all(entries.filter(({ name }) => !name.startsWith(".")).map(filesOf))).flat();
}

/**
 * Return an image element with its natural size, upright, without decoding all its pixels.
 *
 * Throws an Error that says what is wrong with the file.
 */
export async function openImage(file) {
  if (!file.size) throw new Error(`${file.name}: empty (0 bytes); copy or download it again`);
  if (file.type === "image/svg+xml") throw new Error(`${file.name}: an SVG drawing; export it as PNG first`);
  const element = new Image();
  element.src = URL.createObjectURL(file);
  try {
    await new Promise((resolve, reject) => Object.assign(element, { onload: resolve, onerror: reject }));
  } catch {
    URL.revokeObjectURL(element.src);
    const heic = /\.hei[cf]$/i.test(file.name)
      ? "this browser does not read HEIC"
      : "not an image that this browser reads";
    throw new Error(`${file.name}: ${heic}; save it as JPEG or PNG`);
  }
  const { naturalWidth: width, naturalHeight: height } = element;
  if (Math.min(width, height) < SMALLEST) {
    URL.revokeObjectURL(element.src);
    throw new Error(`${file.name}: ${width} x ${height} pixels; at least ${SMALLEST} pixels a side are needed`);
  }
  return element;
}

/** Return whether this browser gives pages the true pixels of a canvas; some alter them against fingerprinting. */
export function readsTruePixels() {
  const context = new OffscreenCanvas(16, 16).getContext("2d");
  const image = context.createImageData(16, 16);
  for (let i = 0; i < image.data.length; i++) image.data[i] = i % 4 === 3 ? 255 : (i * 37) % 256;
  context.putImageData(image, 0, 0);
  return context.getImageData(0, 0, 16, 16).data.every((value, i) => value === image.data[i]);
}
