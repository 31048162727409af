// What judges say, as a table: each recogniser, attacked or not, and its distance against its threshold as a bar.
import { bar, element } from "/static/elements.js";
import { texts } from "/static/texts.en.js";

const VARIANTS = ["saved", "jpeg75", "half"];

export function headline(evidence) {
  return evidence.matched ? texts.matchedAll(evidence.matched) : texts.none(evidence.faces.length);
}

export function evidenceTable(evidence, attacked, name) {
  const columns = ["face", "judge", "attacked", ...VARIANTS];
  const rows = evidence.faces.flatMap((face, n) => {
    const judges = [...new Set(face.judges.map((verdict) => verdict.judge))];
    return judges.map((judge) => element("tr", {},
      element("th", { scope: "row", textContent: String(n + 1) }),
      element("td", { textContent: judge }),
      element("td", { textContent: attacked.includes(judge) ? texts.yes : texts.no }),
      ...VARIANTS.map((variant) => cell(face.judges.find((v) => v.judge === judge && v.variant === variant)))));
  });
  const elsewhere = evidence.faces.flatMap((face, n) => face.seen.flatMap((seen) => seen.judges.filter((j) => j.match).map((j) =>
    element("li", { textContent: `${texts.face(n + 1)}, ${texts.where} (${seen.detector}): ${j.judge} ${j.distance}, ${texts.match}` }))));
  return element("details", { open: true, class: "evidence" },
    element("summary", { textContent: texts.evidence }),
    element("p", { class: "soft", textContent: texts.evidenceNote }),
    element("div", { class: "wide", tabIndex: 0, role: "region", "aria-label": `${texts.evidence}: ${name}` },
      element("table", {},
        element("thead", {}, element("tr", {}, ...columns.map((name) => element("th", { scope: "col", textContent: texts.table[name] })))),
        element("tbody", {}, ...rows))),
    elsewhere.length ? element("ul", {}, ...elsewhere) : null,
    element("p", { class: "soft", textContent: evidence.summary }),
    evidence.notes && evidence.notes.length ? element("p", { class: "soft", textContent: `${texts.notes}: ${evidence.notes.join("; ")}` }) : null);
}

function cell(verdict) {
  if (!verdict) return element("td");
  const says = !verdict.able ? texts.unable : verdict.match ? texts.match : texts.noMatch;
  const thresholds = verdict.distance / verdict.threshold;
  const label = `${verdict.distance} of ${verdict.threshold}: ${says}`;
  return element("td", { class: verdict.match ? "match" : "" }, bar(thresholds, label),
    element("span", { class: "figure", textContent: `${verdict.distance.toFixed(2)} / ${verdict.threshold.toFixed(2)} ${says}` }));
}
