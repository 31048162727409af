// Before and after, one over the other, at 100 % or as large as fits; and the faces drawn on it.
import { drawn, element } from "/static/elements.js";
import { texts } from "/static/texts.en.js";

export function comparison(before, after, evidence, name) {
  const left = element("img", { src: before, alt: `${name}, ${texts.before}`, draggable: false });
  const right = element("img", { src: after, alt: `${name}, ${texts.after}`, draggable: false, class: "over" });
  const marks = drawn("svg", { class: "marks", "aria-hidden": "true" });
  const stage = element("div", { class: "stage" }, left, right, marks);
  const slider = element("input", { type: "range", min: 0, max: 100, value: 50, class: "slider", "aria-label": texts.slider });
  const zoom = element("select", { "aria-label": texts.zoom },
    ...[["fit", texts.fit], ["1", "100 %"], ["2", "200 %"], ["4", "400 %"]].map(([value, text]) => element("option", { value, textContent: text })));
  const show = element("input", { type: "checkbox", checked: true });
  const frame = element("div", { class: "frame", tabIndex: 0, role: "group", "aria-label": `${name}: ${texts.before}, ${texts.after}` }, stage);

  const cut = () => {
    // Not an attribute, which the page's policy forbids, but the object model.
    right.style.clipPath = `inset(0 0 0 ${slider.value}%)`;
    slider.setAttribute("aria-valuetext", `${texts.before} ${slider.value} %`);
  };
  const size = () => {
    const fitting = Math.min(frame.clientWidth, (0.7 * window.innerHeight * left.naturalWidth) / left.naturalHeight);
    stage.style.width = zoom.value === "fit" ? `${fitting}px` : `${(Number(zoom.value) * left.naturalWidth) / window.devicePixelRatio}px`;
    stage.classList.toggle("pixels", Number(zoom.value) > 1);
  };
  const draw = () => {
    marks.setAttribute("viewBox", `0 0 ${left.naturalWidth} ${left.naturalHeight}`);
    const line = Math.max(2, left.naturalWidth / 300);
    const box = ([x0, y0, x1, y1], kind, text) => marks.append(
      drawn("rect", { x: x0, y: y0, width: x1 - x0, height: y1 - y0, class: kind, "stroke-width": line }),
      drawn("text", { x: x0 + 2 * line, y: Math.max(y0 - 2 * line, 8 * line), class: kind, "font-size": 8 * line, "stroke-width": line }, text));
    evidence.faces.forEach((face, n) => box(face.box, face.judges.some((j) => j.variant === "saved" && j.match) ? "matched" : "hidden-face", texts.face(n + 1)));
    evidence.left.forEach((b) => box(b, "left-out", texts.leftOut));
    evidence.doubtful.forEach((f) => box(f.box, "left-out", texts.doubtful));
    evidence.strays.forEach((f) => box(f.box, f.sure ? "matched" : "left-out", texts.stray));
  };
  left.addEventListener("load", () => { size(); draw(); }, { once: true });
  left.addEventListener("error", () => { left.src = after; }, { once: true }); // HEIC and TIFF, which browsers do not show
  slider.addEventListener("input", cut);
  zoom.addEventListener("change", size);
  new ResizeObserver(size).observe(frame);
  show.addEventListener("change", () => marks.classList.toggle("hidden", !show.checked));
  frame.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -5, ArrowRight: 5 }[event.key];
    if (move && zoom.value === "fit") {
      slider.value = Number(slider.value) + move;
      cut();
      event.preventDefault();
    }
  });
  cut();
  return element("div", { class: "comparison" }, frame,
    element("div", { class: "controls" },
      element("span", { textContent: texts.before, "aria-hidden": "true" }), slider, element("span", { textContent: texts.after, "aria-hidden": "true" }),
      zoom, element("label", {}, show, ` ${texts.showFaces}`)));
}
