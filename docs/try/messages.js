// What the page says: errors, progress, and what runs where.

/** Messages that are shown at once. */
const MOST_MESSAGES = 6;

const $ = (selector) => document.querySelector(selector);

/** Show messages until they are dismissed. */
export function report(messages) {
  if (!messages.length) return;
  const box = $("#errors").appendChild(document.createElement("div"));
  box.className = "banner error";
  const list = box.appendChild(document.createElement("ul"));
  const shown = messages.slice(0, MOST_MESSAGES);
  if (messages.length > shown.length) shown.push(`and ${messages.length - shown.length} more`);
  for (const message of shown) list.appendChild(document.createElement("li")).textContent = message;
  const close = box.appendChild(document.createElement("button"));
  Object.assign(close, { type: "button", textContent: "Dismiss", onclick: () => box.remove() });
}

/** Show a share in 0..1 with a text, or hide the bar if the share is null. */
export function showProgress(share, text) {
  const bar = $("#progress");
  bar.hidden = share === null;
  if (share === null) return;
  bar.setAttribute("aria-valuenow", String(Math.round(share * 100)));
  bar.firstElementChild.style.width = `${share * 100}%`;
  $("#status").textContent = text;
}

/** Say on what the network runs, and why. */
export function showEngine({ engine, graphics, version, bytes }) {
  const where =
    engine === "WebGPU" ? "the graphics card (WebGPU)" : "the processor (WebAssembly with SIMD, one thread)";
  const why = {
    faster: "It was faster than the processor on a test image, with equal features.",
    slower: "The graphics card was slower on a test image.",
    unequal: "On the graphics card, the features of a test image were other ones.",
    unusable: "The graphics card was refused by ONNX Runtime Web.",
  }[graphics];
  const size = `The program and the network are ${megabytes(bytes)} MB, loaded once and kept by the browser.`;
  $("#engine").textContent = [`The network runs on ${where}, by ONNX Runtime Web ${version}.`, why, size]
    .filter(Boolean)
    .join(" ");
}

/** Return bytes as megabytes. */
export function megabytes(bytes) {
  return (bytes / 1e6).toFixed(1);
}
