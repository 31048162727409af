// The page: photos in, one job each; what comes back is kept here, and nowhere else.
import { Problem, ask, follow, setToken } from "/static/api.js";
import { comparison } from "/static/compare.js";
import { bar, element } from "/static/elements.js";
import { evidenceTable, headline } from "/static/evidence.js";
import { texts } from "/static/texts.en.js";
import { zip } from "/static/zip.js";

const $ = (id) => document.getElementById(id);
const SUFFIX = { "image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "image/tiff": ".tif", "image/heif": ".heic" };
const photos = new Set();

class Photo {
  constructor(file) {
    this.file = file;
    this.name = file.name || texts.file;
    this.before = URL.createObjectURL(file);
    this.status = element("p", { class: "status" });
    this.progress = element("progress", { max: 1, "aria-label": this.name });
    this.nets = element("div", { class: "nets" });
    this.body = element("div", {}, this.status, this.progress, this.nets);
    this.remove = element("button", { type: "button", textContent: texts.delete, onclick: () => this.forget() });
    this.section = element("article", { "aria-label": this.name },
      element("div", { class: "title" }, element("h2", { textContent: this.name }), this.remove), this.body);
    this.abort = new AbortController();
    photos.add(this);
    $("photos").prepend(this.section);
  }

  async run(strength) {
    try {
      this.say(texts.sending);
      const form = new FormData();
      form.append("photo", this.file, this.name);
      form.append("strength", strength);
      if (steps) form.append("steps", steps);
      const job = await (await this.handIn(form)).json();
      this.job = `/v1/jobs/${job.id}`;
      say(texts.started(this.name));
      await follow(job.events, this.abort.signal, (name, data) => this.hear(name, data));
      const record = (await (await ask(this.job)).json()).photos[0];
      if (record.status !== "done") throw new Problem(422, record.message || texts.failed, 0);
      const answer = await ask(job.result, { signal: this.abort.signal });
      this.bytes = new Uint8Array(await answer.arrayBuffer());
      this.show(record);
    } catch (error) {
      if (!this.abort.signal.aborted) this.fail(error, strength);
    }
  }

  // Where the queue is full the server says when to come again.
  async handIn(form) {
    for (;;) {
      try {
        return await ask("/v1/jobs", { method: "POST", body: form, signal: this.abort.signal });
      } catch (error) {
        if (!(error instanceof Problem) || error.status !== 429) throw error;
        this.say(error.message);
        await new Promise((go) => setTimeout(go, 1000 * Math.min(error.wait || 2, 15)));
      }
    }
  }

  hear(name, data) {
    if (name === "queued") this.say(texts.queued(data.ahead));
    if (name !== "progress") return;
    const what = texts[data.what] || data.what;
    const done = data.share >= 1;
    const text = done ? texts.judging : typeof what === "function" ? what(data) : what;
    const left = done ? "" : texts.left(data.seconds_left || 0);
    this.say(left ? `${text}, ${left}` : text);
    if (done) this.progress.removeAttribute("value");
    else if (data.share) this.progress.value = data.share;
    const nets = Object.entries(data.distances || {});
    if (nets.length) {
      this.nets.replaceChildren(
        ...nets.map(([net, distance]) => element("div", {}, element("span", { textContent: net }), bar(distance, `${net}: ${distance}`))),
        element("p", { class: "soft", textContent: texts.distances }));
    }
  }

  show(record) {
    const type = record.type;
    this.after = URL.createObjectURL(new Blob([this.bytes], { type }));
    this.saveAs = `${this.name.replace(/\.[^.]*$/, "") || texts.file}-protected${SUFFIX[type] || ""}`;
    this.evidence = record.evidence;
    const text = headline(record.evidence);
    const save = element("a", { class: "button main", href: this.after, download: this.saveAs, textContent: texts.download });
    this.section.classList.toggle("bad", record.evidence.matched > 0);
    this.body.replaceChildren(
      element("p", { class: record.evidence.matched ? "verdict bad" : "verdict", textContent: text }),
      comparison(this.before, this.after, record.evidence, this.name),
      element("div", { class: "buttons" }, save),
      evidenceTable(record.evidence, record.attacked, this.name));
    say(texts.done(this.name, text));
    update();
  }

  fail(error, strength) {
    const text = error instanceof Problem ? error.message : texts.broken;
    this.section.classList.add("bad");
    this.body.replaceChildren(
      element("p", { class: "verdict bad", textContent: `${texts.failed}: ${text}` }),
      element("button", { type: "button", textContent: texts.again, onclick: () => { this.forget(); begin([this.file], strength); } }));
    say(texts.done(this.name, `${texts.failed}: ${text}`));
    if (error.status === 401) askForToken(texts.tokenWrong);
  }

  say(text) {
    this.status.textContent = text;
  }

  forget() {
    this.abort.abort();
    if (this.job) ask(this.job, { method: "DELETE" }).catch(() => {});
    for (const url of [this.before, this.after]) if (url) URL.revokeObjectURL(url);
    this.bytes = null;
    photos.delete(this);
    this.section.remove();
    update();
    $("choose").focus();
  }
}

let steps = "";

function begin(files, strength = document.querySelector("input[name=strength]:checked").value) {
  for (const file of files) new Photo(file).run(strength);
}

function update() {
  const done = [...photos].filter((photo) => photo.bytes);
  $("all").hidden = !photos.size;
  $("download-all").hidden = done.length < 2;
}

function say(text) {
  $("said").textContent = text;
}

function downloadAll() {
  const taken = new Set();
  const files = [];
  const records = [];
  for (const photo of [...photos].reverse()) {
    if (!photo.bytes) continue;
    let name = photo.saveAs;
    for (let k = 2; taken.has(name); k += 1) name = photo.saveAs.replace(/(\.[^.]*)?$/, `-${k}$1`);
    taken.add(name);
    files.push([name, photo.bytes]);
    records.push({ file: name, ...photo.evidence });
  }
  files.push(["evidence.json", new TextEncoder().encode(JSON.stringify(records, null, 1))]);
  const url = URL.createObjectURL(zip(files));
  const link = element("a", { href: url, download: "protected.zip" });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

function askForToken(note) {
  $("token").hidden = false;
  $("ask").hidden = true;
  $("token-note").textContent = note;
  $("token-field").focus();
}

function fillStrengths(presets) {
  for (const preset of presets.presets) {
    const id = `strength-${preset.name}`;
    const field = element("input", { type: "radio", name: "strength", value: preset.name, id, checked: preset.name === presets.default });
    $("strengths").append(element("div", { class: "strength" }, field, element("label", { htmlFor: id },
      element("strong", { textContent: preset.name }), element("span", { textContent: preset.protects }),
      element("span", { class: "soft", textContent: preset.cost }))));
  }
}

async function start() {
  $("what").textContent = texts.what;
  $("not").textContent = texts.not;
  document.querySelector("label[for=token-field]").textContent = texts.token;
  document.querySelector("#token button").textContent = texts.enter;
  document.querySelector("#strengths legend").textContent = texts.strength;
  $("drop-words").textContent = texts.drop;
  for (const [id, text] of [["choose", texts.choose], ["take", texts.take], ["download-all", texts.downloadAll], ["delete-all", texts.deleteAll]]) $(id).textContent = text;
  let presets;
  try {
    presets = await (await ask("/v1/presets")).json();
  } catch {
    $("fault").textContent = texts.broken;
    $("fault").hidden = false;
    return;
  }
  fillStrengths(presets);
  $("limits").textContent = texts.limits(presets.limits, presets.heic);
  steps = new URLSearchParams(location.hash.slice(1)).get("steps") || "";
  if (presets.token) askForToken(texts.tokenNote);
  else $("ask").hidden = false;
}

$("token").addEventListener("submit", async (event) => {
  event.preventDefault();
  setToken($("token-field").value.trim());
  try {
    await ask("/v1/judges");
  } catch (error) {
    askForToken(error.status === 401 ? texts.tokenWrong : texts.broken);
    return;
  }
  $("token-field").value = "";
  $("token").hidden = true;
  $("ask").hidden = false;
  $("choose").focus();
});
$("choose").addEventListener("click", () => $("files").click());
$("take").addEventListener("click", () => $("camera").click());
for (const id of ["files", "camera"]) {
  $(id).addEventListener("change", (event) => {
    begin([...event.target.files]);
    event.target.value = "";
  });
}
$("download-all").addEventListener("click", downloadAll);
$("delete-all").addEventListener("click", () => [...photos].forEach((photo) => photo.forget()));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  $("drop").classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) $("drop").classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  if (!$("ask").hidden) begin([...event.dataTransfer.files]);
});
document.addEventListener("paste", (event) => {
  const files = [...event.clipboardData.files];
  if (files.length && !$("ask").hidden) begin(files);
});
window.addEventListener("beforeunload", (event) => {
  if ([...photos].some((photo) => !photo.bytes)) event.preventDefault();
});
start();
