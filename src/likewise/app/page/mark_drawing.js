// Marks over an image: clicks, boxes, and those that are being drawn.

import { stroke } from "./drawing.js";

const OBJECT = "#00d49a";
const NOT_OBJECT = "#ff5a36";

/** Draw a click or a box; its lines keep their width on the screen. */
export function drawMark(context, mark, zoom) {
  if (mark.kind === "box") {
    const path = new Path2D();
    path.rect(mark.x0, mark.y0, mark.x1 - mark.x0, mark.y1 - mark.y0);
    return stroke(context, path, OBJECT, 1.5, zoom);
  }
  if (mark.kind !== "click") return;
  context.beginPath();
  context.arc(mark.x, mark.y, 6 / zoom, 0, 2 * Math.PI);
  context.fillStyle = mark.object ? OBJECT : NOT_OBJECT;
  context.fill();
  context.lineWidth = 2 / zoom;
  context.strokeStyle = "white";
  context.stroke();
  const path = new Path2D();
  const arm = 3 / zoom;
  path.moveTo(mark.x - arm, mark.y);
  path.lineTo(mark.x + arm, mark.y);
  if (mark.object) {
    path.moveTo(mark.x, mark.y - arm);
    path.lineTo(mark.x, mark.y + arm);
  }
  context.stroke(path);
}

/** Draw a mark whose end is under the pointer; `colour` is that of the class. */
export function drawUnfinished(context, mark, colour, zoom) {
  if (mark.kind === "click" || mark.kind === "box") return drawMark(context, mark, zoom);
  const path = new Path2D();
  mark.points.forEach(([x, y], index) => (index ? path.lineTo(x, y) : path.moveTo(x, y)));
  if (mark.kind === "stroke") {
    context.lineCap = context.lineJoin = "round";
    context.lineWidth = 2 * mark.radius;
    context.strokeStyle = mark.object ? colour : NOT_OBJECT;
    context.globalAlpha = 0.55;
    if (mark.points.length === 1) path.lineTo(mark.points[0][0] + 0.01, mark.points[0][1]);
    context.stroke(path);
    context.globalAlpha = 1;
    return;
  }
  path.closePath();
  context.globalAlpha = 0.25;
  context.fillStyle = mark.object ? colour : NOT_OBJECT;
  context.fill(path);
  context.globalAlpha = 1;
  stroke(context, path, "white", 1.25, zoom);
}
