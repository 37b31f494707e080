// Masks of the tiles: read and coloured by a worker, the tiles asked for last first.

/** Coloured masks that are kept. */
const MOST_KEPT = 600;
const MOST_AT_ONCE = 4;

const worker = new Worker(new URL("./tile_worker.js", import.meta.url), { type: "module" });
const kept = new Map();
let waiting = [];
const running = new Map();

worker.onmessage = ({ data: { key, bitmap } }) => {
  const { canvases, url } = running.get(key);
  running.delete(key);
  if (bitmap) {
    kept.set(key, bitmap);
    if (kept.size > MOST_KEPT) {
      const [oldest] = kept.keys();
      kept.get(oldest).close();
      kept.delete(oldest);
    }
    for (const canvas of canvases) if (canvas.dataset.key === key) paint(canvas, bitmap, url);
  }
  send();
};

/** Draw the mask at `url` into a canvas, now or when it is read. `look` is { colours, style, opacity }. */
export function drawTileMask(canvas, url, look) {
  const key = `${url} ${look.style} ${look.opacity} ${look.colours.join()}`;
  if (canvas.dataset.key === key) return;
  canvas.dataset.key = key;
  const bitmap = kept.get(key);
  if (bitmap) {
    kept.delete(key);
    kept.set(key, bitmap);
    return paint(canvas, bitmap, url);
  }
  const same = running.get(key) ?? waiting.find((each) => each.key === key);
  if (same) same.canvases.add(canvas);
  else waiting.push({ key, url, look, canvases: new Set([canvas]) });
  send();
}

/** Return the address of the mask that is drawn in a canvas: the one before, while the next is read; null without one. */
export function drawnMask(canvas) {
  return canvas.drawn ?? null;
}

/** Take back what was asked for a canvas. */
export function clearTileMask(canvas) {
  delete canvas.dataset.key;
  delete canvas.dataset.painted;
  canvas.drawn = null;
  canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
}

function send() {
  while (running.size < MOST_AT_ONCE && waiting.length) {
    const next = waiting.pop();
    if (![...next.canvases].some((canvas) => canvas.isConnected && canvas.dataset.key === next.key)) continue;
    running.set(next.key, next);
    worker.postMessage({ key: next.key, url: next.url, look: next.look });
  }
  if (waiting.length > 400) waiting = waiting.slice(-200);
}

function paint(canvas, bitmap, url) {
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
    Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
  }
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0);
  canvas.dataset.painted = canvas.dataset.key;
  canvas.drawn = url;
}
