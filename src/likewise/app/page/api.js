// The server's API (docs/app-api.md). A failed request throws an ApiError with the server's sentence.

import { texts } from "./texts.js";

/** Status of an answer when the state does not allow the request. */
export const CONFLICT = 409;

export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function request(method, path, { body, query, type, signal } = {}) {
  const url = address(path, query);
  const headers = body === undefined ? {} : { "Content-Type": type ?? "application/json" };
  const content = body === undefined || type ? body : JSON.stringify(body);
  let response;
  try {
    response = await fetch(url, { method, headers, body: content, signal, credentials: "same-origin" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(texts.connection.lost, 0);
  }
  if (response.ok) return response;
  const { detail } = await response.json().catch(() => ({}));
  const sentence = typeof detail === "string" ? detail : detail?.map(({ loc, msg }) => `${loc.at(-1)}: ${msg}`).join("; ");
  throw new ApiError(sentence || texts.connection.status(response.status, path), response.status);
}

const json = async (...given) => {
  const response = await request(...given);
  return response.status === 204 ? null : response.json();
};

/** Return the address of a path of the API; parts of the query that are null are left out. */
export function address(path, query = {}) {
  const parts = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return `/api/${path}${parts.length ? `?${new URLSearchParams(parts)}` : ""}`;
}

export const pixelsOf = ({ id, pixels }, side) => address(`images/${id}/pixels`, { rev: pixels, side });
export const thumbnailOf = ({ id, pixels }) => address(`images/${id}/thumbnail`, { rev: pixels });
export const maskOf = ({ id, mask }, query) => address(`images/${id}/mask`, { rev: mask, ...query });

export const api = {
  project: () => json("GET", "project"),
  openFolder: (folder) => json("POST", "project", { body: { folder } }),
  set: (settings) => json("PATCH", "project", { body: { settings } }),
  folders: (path) => json("GET", "folders", { query: { path } }),
  rescan: () => json("POST", "rescan"),
  upload: (file) =>
    json("POST", "files", { body: file, query: { name: file.name }, type: file.type || "application/octet-stream" }),

  images: (query, signal) => json("GET", "images", { query, signal }),
  image: (id) => json("GET", `images/${id}`),
  visible: (ids) => json("POST", "visible", { body: { ids } }),

  select: (id, selection, signal) =>
    request("POST", `images/${id}/select`, { body: selection, signal }).then((response) => response.blob()),
  saveMask: (id, png, query) => json("PUT", `images/${id}/mask`, { body: png, query, type: "image/png" }),
  /** `base` is the version of the mask that is accepted. */
  decide: (id, decision, asExample, base) =>
    json("POST", `images/${id}/decision`, { body: { decision, as_example: asExample, base } }),
  addExample: (id) => json("POST", `images/${id}/example`),
  removeExample: (id) => json("DELETE", `images/${id}/example`),
  undo: () => json("POST", "undo"),
  redo: () => json("POST", "redo"),

  addClass: (name) => json("POST", "classes", { body: { name } }),
  changeClass: (id, changes) => json("PATCH", `classes/${id}`, { body: changes }),
  removeClass: (id) => json("DELETE", `classes/${id}`),

  suggest: (ids, classId) => json("POST", "suggest", { body: { ids, count: 8, class_id: classId } }),
  stopSuggest: () => json("POST", "suggest/stop"),
  suggestions: () => json("GET", "suggest"),
  answerSuggestion: (id, accept, classId) =>
    json("POST", `suggest/${id}`, { body: { accept, class_id: classId } }),

  objects: (query) => json("GET", "objects", { query }),
  export: (options) => json("POST", "export", { body: options }),
  exported: () => json("GET", "export"),
  command: () => json("GET", "command"),
  addConcept: (file) => json("POST", "concept", { body: file, type: "application/octet-stream" }),
  addAnnotations: (path) => json("POST", "annotations", { body: { path } }),

  training: () => json("GET", "train"),
  train: (iterations) => json("POST", "train", { body: { iterations } }),
  stopTraining: () => json("POST", "train/stop"),
  adopt: (adopted) => json("POST", "train/adopt", { body: { adopt: adopted } }),
};

/** Return the labels of a mask PNG: { data, width, height }. */
export async function readMask(source) {
  const blob = source instanceof Blob ? source : await request("GET", source.slice(5)).then((answer) => answer.blob());
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  const labels = new Uint8Array(width * height);
  for (let i = 0, at = 0; i < labels.length; i++, at += 4) labels[i] = data[at];
  return { data: labels, width, height };
}

/** Return labels as a PNG. */
export function writeMask({ data, width, height }) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let i = 0, at = 0; i < data.length; i++, at += 4) {
    image.data[at] = image.data[at + 1] = image.data[at + 2] = data[i];
    image.data[at + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}
