// The server: requests with the token in a header, events read from a stream.
let token = "";

export function setToken(text) {
  token = text;
}

export class Problem extends Error {
  constructor(status, detail, wait) {
    super(detail);
    this.status = status;
    this.wait = wait;
  }
}

export async function ask(path, options = {}) {
  const headers = new Headers(options.headers);
  if (token) headers.set("Authorization", `Bearer ${token}`);
  const answer = await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit" });
  if (answer.ok) return answer;
  let detail = `${answer.status} ${answer.statusText}`;
  try {
    detail = (await answer.json()).detail || detail;
  } catch {
    // no JSON: the status says enough
  }
  throw new Problem(answer.status, detail, Number(answer.headers.get("Retry-After")) || 0);
}

// Calls back for every event until the job is done. A connection that breaks is taken up where it was.
export async function follow(path, signal, onEvent) {
  let last = "0";
  for (let tries = 0; tries < 5; tries += 1) {
    try {
      const answer = await ask(path, { headers: { "Last-Event-ID": last }, signal });
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        rest += value;
        const parts = rest.split("\n\n");
        rest = parts.pop();
        for (const part of parts) {
          const fields = Object.fromEntries(part.split("\n").filter((line) => line[0] !== ":").map((line) => {
            const at = line.indexOf(": ");
            return [line.slice(0, at), line.slice(at + 2)];
          }));
          if (!fields.event) continue;
          last = fields.id;
          tries = 0;
          onEvent(fields.event, JSON.parse(fields.data));
          if (fields.event === "done") return;
        }
      }
    } catch (error) {
      if (signal.aborted || error instanceof Problem) throw error;
      await new Promise((go) => setTimeout(go, 1000 * (tries + 1)));
    }
  }
  throw new TypeError("the connection broke off");
}
