// Lab colours, equal to Pillow's `convert("LAB")`, bit for bit: LittleCMS interpolates between the corners of a grid.

/** Corners of the grid along each axis. */
const GRID = 33;
/** Largest value of the matrix in LittleCMS's encoding, which rounds XYZ to single precision. */
const SCALE = 1 + 32767 / 32768;
/** Linear sRGB to XYZ under D50, by Bradford's adaptation; one row each for X, Y and Z. */
const TO_XYZ = [
  [0.43604125161605095, 0.3851129107981555, 0.14304583758579356],
  [0.22248454022947742, 0.7169050786084572, 0.060610381162065234],
  [0.013920187471375385, 0.09706723869712401, 0.7139125738315005],
];
const WHITE = [0.9642, 1, 0.8249];

let corners = null;

/**
 * Return the Lab colours of an RGB image, channel by channel, in [-1, 1].
 *
 * As numpy reads them from Pillow: a and b are signed bytes, read as 0..255, so grey is -1, and -1 of a is +1.
 */
export function labColours({ data, height, width }) {
  corners ??= labCorners();
  const positions = height * width;
  const planes = new Float32Array(3 * positions);
  const lab = new Uint8Array(3);
  for (let p = 0; p < positions; p++) {
    interpolate(data[p * 3], data[p * 3 + 1], data[p * 3 + 2], lab);
    planes[p] = lab[0] / 127.5 - 1;
    planes[positions + p] = (lab[1] ^ 128) / 127.5 - 1;
    planes[2 * positions + p] = (lab[2] ^ 128) / 127.5 - 1;
  }
  return { data: planes, channels: 3, height, width };
}

/** Return Lab in 16 bits at each corner of the grid of RGB. */
function labCorners() {
  const table = new Uint16Array(GRID ** 3 * 3);
  const linear = Array.from({ length: GRID }, (_, i) => {
    const value = Math.fround(Math.floor((i * 65535) / (GRID - 1) + 0.5) / 65535);
    return Math.fround(value >= 0.04045 ? ((value + 0.055) / 1.055) ** 2.4 : value / 12.92);
  });
  const word = (share) => Math.floor(Math.min(Math.max(Math.fround(share) * 65535, 0), 65535) + 0.5);
  let at = 0;
  for (const red of linear) {
    for (const green of linear) {
      for (const blue of linear) {
        const [x, y, z] = TO_XYZ.map(([r, g, b], axis) => {
          const value = Math.fround((r * red + g * green + b * blue) / SCALE) * (SCALE / WHITE[axis]);
          return value > (24 / 116) ** 3 ? Math.cbrt(value) : (841 / 108) * value + 16 / 116;
        });
        table[at++] = word((116 * y - 16) / 100);
        table[at++] = word((500 * (x - y) + 128) / 255);
        table[at++] = word((200 * (y - z) + 128) / 255);
      }
    }
  }
  return table;
}

/** Write Lab of one colour, by the tetrahedron of the grid that it lies in: from corner to corner, longest axis first. */
function interpolate(red, green, blue, lab) {
  const axes = [
    [red, GRID * GRID * 3],
    [green, GRID * 3],
    [blue, 3],
  ].map(([value, stride]) => {
    const scaled = value * 257 * (GRID - 1);
    const position = scaled + Math.floor((scaled + 0x7fff) / 0xffff);
    return { stride, first: position >> 16, share: position & 0xffff };
  });
  let corner = axes.reduce((sum, { stride, first }) => sum + stride * first, 0);
  const start = corner;
  axes.sort((a, b) => b.share - a.share);
  const rest = [0x8001, 0x8001, 0x8001];
  for (const { stride, share } of axes) {
    if (!share) break;
    for (let c = 0; c < 3; c++) rest[c] += (corners[corner + stride + c] - corners[corner + c]) * share;
    corner += stride;
  }
  for (let c = 0; c < 3; c++) {
    const value = corners[start + c] + ((rest[c] + (rest[c] >> 16)) >> 16);
    lab[c] = Math.floor((value * 65281 + 8388608) / 2 ** 24);
  }
}
