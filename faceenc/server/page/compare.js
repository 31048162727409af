// Before and after, one over the other, at 100 % or as large as fits; and the faces drawn on it.
import { drawn, element } from "/static/elements.js";
import { isMatched } from "/static/evidence.js";
import { texts } from "/static/texts.en.js";

const ZOOMS = [["fit", texts.fit], ["1", "100 %"], ["2", "200 %"], ["4", "400 %"]];
const LETTERS = 14; // pixels of the screen, whatever the zoom

export function comparison(before, after, evidence, name) {
  const left = element("img", { src: before, alt: `${name}, ${texts.before}`, draggable: false });
  const right = element("img", { src: after, alt: `${name}, ${texts.after}`, draggable: false, class: "over" });
  const line = element("div", { class: "divider" });
  const marks = drawn("svg", { class: "marks", "aria-hidden": "true" });
  const stage = element("div", { class: "stage" }, left, right, line, marks);
  const slider = element("input", { type: "range", min: 0, max: 100, value: 50, class: "slider", "aria-label": texts.slider });
  const zoom = element("select", { "aria-label": texts.zoom },
    ...ZOOMS.map(([value, text]) => element("option", { value, textContent: text })));
  const show = element("input", { type: "checkbox", checked: true });
  const note = element("p", { class: "soft", hidden: true, textContent: texts.cannotShow });
  const about = `${name}: ${texts.before}, ${texts.after}`;
  const frame = element("div", { class: "frame", tabIndex: 0, role: "group", "aria-label": about }, stage);

  const cut = () => {
    // Not an attribute, which the page's policy forbids, but the object model.
    right.style.clipPath = `inset(0 0 0 ${slider.value}%)`;
    line.style.left = `${slider.value}%`;
    slider.setAttribute("aria-valuetext", `${texts.before} ${slider.value} %`);
  };
  const size = () => {
    const [width, height] = [left.naturalWidth, left.naturalHeight];
    if (!width || !frame.clientWidth) return;
    const fits = zoom.value === "fit";
    const wide = fits
      ? Math.min(frame.clientWidth, (0.7 * window.innerHeight * width) / height)
      : (Number(zoom.value) * width) / window.devicePixelRatio;
    stage.style.width = `${wide}px`;
    stage.classList.toggle("fit", fits);
    stage.classList.toggle("pixels", Number(zoom.value) > 1);
    draw(width, height, width / wide);
  };
  // `scale`: pixels of the photo in one of the screen.
  const draw = (width, height, scale) => {
    marks.setAttribute("viewBox", `0 0 ${width} ${height}`);
    marks.replaceChildren();
    const letters = LETTERS * scale;
    const box = ([x0, y0, x1, y1], kind, text) => marks.append(
      drawn("rect", { x: x0, y: y0, width: x1 - x0, height: y1 - y0, class: kind }),
      drawn("text", { x: x0, y: Math.max(y0 - 0.35 * letters, letters), class: kind, "font-size": letters }, text));
    evidence.faces.forEach((face, n) => box(face.box, isMatched(face) ? "matched" : "changed", texts.mark(n + 1, isMatched(face))));
    evidence.left.forEach((one) => box(one, "bare", texts.leftOut));
    evidence.doubtful.forEach((one) => box(one.box, "bare", texts.doubtful));
    evidence.strays.forEach((one) => box(one.box, one.sure ? "matched" : "bare", texts.stray(one.detector)));
  };
  const drag = (event) => {
    if (!stage.classList.contains("fit") || !(event.buttons & 1)) return;
    const { left: from, width } = stage.getBoundingClientRect();
    slider.value = (100 * (event.clientX - from)) / width;
    cut();
  };
  stage.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "touch") stage.setPointerCapture(event.pointerId);
    drag(event);
  });
  stage.addEventListener("pointermove", drag);
  frame.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -5, ArrowRight: 5 }[event.key];
    if (!move || !stage.classList.contains("fit")) return; // zoomed, the arrows move the picture
    slider.value = Number(slider.value) + move;
    cut();
    event.preventDefault();
  });
  left.addEventListener("load", size);
  left.addEventListener("error", () => {
    left.src = after; // HEIC and TIFF, which most browsers do not show
    note.hidden = false;
  }, { once: true });
  slider.addEventListener("input", cut);
  zoom.addEventListener("change", size);
  new ResizeObserver(size).observe(frame);
  show.addEventListener("change", () => marks.classList.toggle("hidden", !show.checked));
  cut();
  return element("div", { class: "comparison" }, frame, note,
    element("div", { class: "controls" },
      element("div", { class: "ends" },
        element("span", { textContent: texts.before, "aria-hidden": "true" }), slider,
        element("span", { textContent: texts.after, "aria-hidden": "true" })),
      zoom, element("label", {}, show, ` ${texts.showFaces}`)));
}
