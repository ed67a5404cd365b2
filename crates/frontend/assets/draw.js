// Draws the box of a face that was not found: with the mouse or a finger on the picture. It fills the numbers of the form, which
// can be typed as well and are sent like those of any form.
"use strict";

const PARTS = ["x", "y", "width", "height"];

const drawing = () => document.querySelector("form.draw");
const stage = () => document.querySelector(".stage");
const field = (name) => drawing().elements[name];

// What is drawn on: it lies over the boxes of the faces, whose links must not be followed meanwhile.
function layer() {
  let layer = stage().querySelector(".drawing");
  if (!layer) {
    layer = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    layer.setAttribute("class", "drawing");
    layer.setAttribute("aria-hidden", "true");
    layer.append(document.createElementNS(layer.namespaceURI, "rect"));
    stage().append(layer);
  }
  const { width, height } = drawing().dataset;
  layer.setAttribute("viewBox", `0 0 ${width} ${height}`);
  return layer;
}

// Shows the box that the numbers tell. Meanwhile the picture is ours: no update of the page replaces it.
function showBox() {
  const isOpen = Boolean(drawing()?.querySelector("details").open);
  stage()?.closest("article").toggleAttribute("data-own", isOpen);
  if (!isOpen) return stage()?.querySelector(".drawing")?.remove();
  const box = layer().querySelector("rect");
  for (const name of PARTS) box.setAttribute(name, Math.max(field(name).valueAsNumber || 0, 0));
}

// Where the pointer is, in pixels of the picture.
function pointed({ clientX, clientY }) {
  const shown = layer().getBoundingClientRect();
  const { width, height } = drawing().dataset;
  const along = (at, start, length, whole) => Math.round(Math.min(Math.max((at - start) / length, 0), 1) * whole);
  return [along(clientX, shown.left, shown.width, width), along(clientY, shown.top, shown.height, height)];
}

let from = null;

document.addEventListener("pointerdown", (event) => {
  if (!event.isPrimary || !event.target.closest?.(".drawing")) return;
  event.preventDefault();
  event.target.setPointerCapture(event.pointerId);
  from = pointed(event);
});
document.addEventListener("pointermove", (event) => {
  if (!from) return;
  const to = pointed(event);
  const [left, top] = [0, 1].map((at) => Math.min(from[at], to[at]));
  const [right, bottom] = [0, 1].map((at) => Math.max(from[at], to[at]));
  const box = { x: left, y: top, width: right - left, height: bottom - top };
  for (const name of PARTS) field(name).value = box[name];
  showBox();
});
for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, () => { from = null; });

document.addEventListener("input", ({ target }) => target.form === drawing() && showBox());
document.addEventListener("toggle", ({ target }) => target.parentElement === drawing() && showBox(), true);
document.addEventListener("updated", showBox);
