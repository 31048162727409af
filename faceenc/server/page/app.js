// The page: photos in, one job each; what comes back is kept here, and nowhere else.
import { Problem, ask, follow, setToken } from "/static/api.js";
import { comparison } from "/static/compare.js";
import { bar, element, moveBar } from "/static/elements.js";
import { evidenceTable, headline } from "/static/evidence.js";
import { texts } from "/static/texts.en.js";
import { zip } from "/static/zip.js";

const $ = (id) => document.getElementById(id);
const SUFFIX = {
  "image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "image/tiff": ".tif", "image/heif": ".heic",
};
const LANES = 4; // a browser opens six connections to a server, and a photo's events hold one
const photos = new Set();
let limits = {};
let steps = ""; // of #steps=N: fewer than the strength has, to try the page

class Photo {
  constructor(file) {
    this.file = file;
    this.name = file.name || texts.file;
    this.before = URL.createObjectURL(file);
    this.status = element("p", { class: "status" });
    this.progress = element("progress", { max: 1, "aria-label": this.name });
    this.nets = element("div", { class: "nets" });
    this.bars = new Map();
    this.note = element("p", { class: "soft", textContent: texts.distances, hidden: true });
    this.body = element("div", {}, this.status, this.progress, this.nets, this.note);
    this.remove = element("button", { type: "button", textContent: texts.delete, onclick: () => this.forget() });
    this.section = element("article", { "aria-label": this.name },
      element("div", { class: "title" }, element("h2", { textContent: this.name }), this.remove), this.body);
    this.abort = new AbortController();
    photos.add(this);
    $("photos").prepend(this.section);
  }

  async run(strength) {
    try {
      this.abort.signal.throwIfAborted(); // deleted while it waited for its turn
      const size = this.file.size / 1e6;
      // Said here: a server that refuses a body unread closes the connection, and a browser sees no more than that.
      if (size > limits.megabytes) throw new Problem(413, texts.tooLarge(size, limits.megabytes));
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
      this.bytes = await this.fetch(job.result);
      this.show(record);
    } catch (error) {
      if (!this.abort.signal.aborted) this.fail(error, strength);
    }
  }

  // A download that broke off is repeated while the server still has the photo.
  async fetch(path, tries = 3) {
    try {
      return new Uint8Array(await (await ask(path, { signal: this.abort.signal })).arrayBuffer());
    } catch (error) {
      if (error instanceof Problem || this.abort.signal.aborted || tries === 1) throw error;
      return this.fetch(path, tries - 1);
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
    for (const [net, distance] of Object.entries(data.distances || {})) this.move(net, distance);
  }

  move(net, distance) {
    const label = `${net}: ${distance}`;
    let row = this.bars.get(net);
    if (!row) {
      row = element("div", {},
        element("span", { textContent: net }), bar(distance, label), element("span", { class: "number" }));
      this.bars.set(net, row);
      this.nets.append(row);
      this.note.hidden = false;
    }
    moveBar(row.children[1], distance, label);
    row.children[2].textContent = distance.toFixed(2);
  }

  show(record) {
    const type = record.type;
    this.after = URL.createObjectURL(new Blob([this.bytes], { type }));
    this.saveAs = `${this.name.replace(/\.[^.]*$/, "") || texts.file}-protected${SUFFIX[type] || ""}`;
    this.evidence = record.evidence;
    const { text, stands } = headline(record.evidence);
    const save = element("a", { class: "button main", href: this.after, download: this.saveAs, textContent: texts.download });
    this.body.replaceChildren(
      element("p", { class: `verdict ${stands}`, textContent: text }),
      comparison(this.before, this.after, record.evidence, this.name),
      element("div", { class: "buttons" }, save),
      evidenceTable(record.evidence, record.attacked, this.name));
    say(texts.done(this.name, text));
    update();
  }

  fail(error, strength) {
    const text = error instanceof Problem ? error.message : texts.broken;
    this.failed = true;
    const picture = element("img", { src: this.before, class: "small", alt: `${this.name}, ${texts.before}` });
    picture.addEventListener("error", () => picture.remove());
    this.body.replaceChildren(
      element("p", { class: "verdict bad", textContent: `${texts.failed}: ${text}` }),
      picture,
      element("button", { type: "button", textContent: texts.again, onclick: () => { this.forget(); begin([this.file], strength); } }));
    say(texts.done(this.name, `${texts.failed}: ${text}`));
    if (error.status === 401) askForToken(texts.tokenWrong);
  }

  say(text) {
    this.status.textContent = text;
  }

  forget() {
    this.abort.abort();
    this.deleteThere();
    for (const url of [this.before, this.after]) if (url) URL.revokeObjectURL(url);
    this.bytes = null;
    photos.delete(this);
    this.section.remove();
    update();
    $("choose").focus();
  }

  deleteThere(options = {}) {
    if (this.job) ask(this.job, { method: "DELETE", ...options }).catch(() => {}); // it may be forgotten there already
  }
}

const waiting = [];
let free = LANES;

async function inTurn(work) {
  if (free) free -= 1;
  else await new Promise((go) => waiting.push(go));
  await work();
  if (waiting.length) waiting.shift()();
  else free += 1;
}

function begin(files, strength = document.querySelector("input[name=strength]:checked").value) {
  for (const file of files) {
    const photo = new Photo(file);
    photo.say(texts.queued(0));
    inTurn(() => photo.run(strength));
  }
  update();
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
    const checked = preset.name === presets.default;
    const field = element("input", { type: "radio", name: "strength", value: preset.name, id, checked });
    $("strengths").append(element("div", { class: "strength" }, field, element("label", { htmlFor: id },
      element("strong", { textContent: preset.name }), element("span", { textContent: preset.protects }),
      element("span", { class: "soft", textContent: preset.cost }))));
  }
}

function fillTexts() {
  document.title = texts.title;
  document.querySelector("h1").textContent = texts.title;
  $("photos").setAttribute("aria-label", texts.photos);
  document.querySelector("label[for=token-field]").textContent = texts.token;
  document.querySelector("#token button").textContent = texts.enter;
  document.querySelector("#strengths legend").textContent = texts.strength;
  const named = {
    what: "what", not: "not", "drop-words": "drop", choose: "choose", take: "take",
    "download-all": "downloadAll", "delete-all": "deleteAll",
  };
  for (const [id, text] of Object.entries(named)) $(id).textContent = texts[text];
}

async function start() {
  fillTexts();
  let presets;
  try {
    presets = await (await ask("/v1/presets")).json();
  } catch {
    $("fault").textContent = texts.broken;
    $("fault").hidden = false;
    return;
  }
  fillStrengths(presets);
  limits = presets.limits;
  $("limits").textContent = texts.limits(limits, presets.heic);
  // Phones turn HEIC into JPEG where it is not asked for.
  $("files").accept = presets.heic ? "image/*,.heic,.heif" : "image/jpeg,image/png,image/webp,image/tiff";
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
  if ([...photos].some((photo) => !photo.bytes && !photo.failed)) event.preventDefault();
});
// A page that is closed needs nothing there any more; one that may come back does.
window.addEventListener("pagehide", (event) => {
  if (!event.persisted) for (const photo of photos) photo.deleteThere({ keepalive: true });
});
start();
