// What judges say, as a table: each recogniser, attacked or not, and its distance against its threshold as a bar.
import { bar, element } from "/static/elements.js";
import { texts } from "/static/texts.en.js";

const VARIANTS = ["saved", "jpeg75", "half"];

// Whether anybody who was asked, attacked or not, matches a face of the file as it is saved.
export function isMatched(face) {
  const asSaved = face.judges.some((v) => v.variant === "saved" && v.match);
  return asSaved || face.seen.some((seen) => seen.judges.some((j) => j.match));
}

// One line, and how it stands: "good", "doubt" or "bad".
export function headline(evidence) {
  const { faces, strays, left, doubtful } = evidence;
  const still = faces.filter(isMatched).length + strays.filter((s) => s.sure && s.judges.some((j) => j.match)).length;
  const later = faces.filter((face) => !isMatched(face) && face.judges.some((v) => v.match)).length;
  const unjudged = faces.filter((face) => !face.judges.some((v) => v.able)).length;
  const bare = left.length + strays.length + doubtful.length;
  const said = [
    still ? texts.matched(still) : unjudged === faces.length ? texts.unjudged(unjudged) : texts.none(faces.length),
    later ? texts.later(later) : "",
    unjudged && unjudged < faces.length ? texts.unjudged(unjudged) : "",
    bare ? texts.bare(bare) : "",
  ];
  return { text: said.filter(Boolean).join(" "), stands: still ? "bad" : later || unjudged || bare ? "doubt" : "good" };
}

export function evidenceTable(evidence, attacked, name) {
  const columns = ["judge", ...VARIANTS];
  const missed = new Set(evidence.undetected.map(([face, variant]) => `${face} ${variant}`));
  const bodies = evidence.faces.map((face, n) => element("tbody", {},
    element("tr", {}, element("th", { scope: "rowgroup", colSpan: columns.length, textContent: texts.face(n + 1) })),
    ...[...new Set(face.judges.map((verdict) => verdict.judge))].map((judge) => element("tr", {},
      element("th", { scope: "row" }, element("span", { class: "judge", textContent: judge }),
        element("span", { class: "figure", textContent: attacked.includes(judge) ? texts.attacked : texts.notAttacked })),
      ...VARIANTS.map((variant) => cell(
        face.judges.find((v) => v.judge === judge && v.variant === variant), missed.has(`${n + 1} ${variant}`)))))));
  // The same faces where other detectors cut them out: only what still matches there.
  const elsewhere = evidence.faces.flatMap((face, n) =>
    face.seen.map((seen) => [n + 1, seen.detector, seen.judges.filter((j) => j.match)])
      .filter(([, , still]) => still.length)
      .map(([number, who, still]) => element("li", {
        textContent: texts.elsewhere(number, who, still.map((j) => `${j.judge} (${figures(j)})`).join(", ")),
      })));
  return element("details", { open: true, class: "evidence" },
    element("summary", { textContent: texts.evidence }),
    element("p", { class: "soft", textContent: texts.evidenceNote }),
    element("table", { "aria-label": `${texts.evidence}: ${name}` },
      element("thead", {},
        element("tr", {}, ...columns.map((one) => element("th", { scope: "col", textContent: texts.table[one] })))),
      ...bodies),
    elsewhere.length ? element("ul", { class: "soft" }, ...elsewhere) : null,
    element("p", { class: "soft", textContent: `${texts.summary}: ${evidence.summary}.` }),
    ...(evidence.notes.length
      ? [element("p", { class: "soft", textContent: `${texts.notes}: ${evidence.notes.join("; ")}.` })]
      : []));
}

function figures(verdict) {
  return `${verdict.distance.toFixed(2)} / ${verdict.threshold.toFixed(2)}`;
}

function cell(verdict, missed) {
  if (!verdict) return element("td");
  const says = verdict.match ? texts.match : verdict.able ? texts.noMatch : texts.unable;
  const label = `${texts.distance(verdict.distance.toFixed(2), verdict.threshold.toFixed(2))}: ${says}`;
  return element("td", { class: verdict.match ? "match" : "" }, bar(verdict.distance / verdict.threshold, label),
    element("span", { class: "figure", textContent: `${figures(verdict)} ` }),
    element("span", { class: "figure", textContent: missed ? `${says}, ${texts.missed}` : says }));
}
