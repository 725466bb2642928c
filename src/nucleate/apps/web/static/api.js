// Asking the server: answers are JSON, and what is wrong comes as one line.

const message = document.getElementById("message");

export const byId = (id) => document.getElementById(id);

export function say(line) {
  message.querySelector("span").textContent = line;
  message.hidden = !line;
}

message.querySelector("button").addEventListener("click", () => say(""));

async function read(response) {
  if (response.ok) return response.json();
  const answer = await response.json().catch(() => ({}));
  throw new Error(answer.error || `the server answered ${response.status}`);
}

// What stands behind the question mark; what is not given is left out.
export function query(given) {
  const known = Object.entries(given).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return new URLSearchParams(known).toString();
}

export async function get(path, given = {}, options = {}) {
  const asked = query(given);
  return read(await fetch(asked ? `${path}?${asked}` : path, options));
}

export async function post(path, body = {}) {
  const headers = { "content-type": "application/json" };
  return read(await fetch(path, { method: "POST", headers, body: JSON.stringify(body) }));
}

// The only way to hear how far a file has got.
export function upload(file, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", `/api/upload?name=${encodeURIComponent(file.name)}`);
    request.upload.addEventListener("progress", (event) => progress(event.loaded / Math.max(event.total, 1)));
    request.addEventListener("error", () => reject(new Error(`${file.name}: it could not be read or sent; give its path instead`)));
    request.addEventListener("load", () => {
      let answer = {};
      try { answer = JSON.parse(request.responseText); } catch { answer = { error: `the server answered ${request.status}` }; }
      if (request.status === 200) resolve(answer); else reject(new Error(answer.error));
    });
    request.send(file);
  });
}

// Run something that may fail, and show the line if it does.
export async function tried(work) {
  try { return await work(); } catch (error) {
    if (error.name !== "AbortError") say(error instanceof TypeError ? "the server does not answer: was nucleate serve stopped?" : error.message);
    return undefined;
  }
}

// Of several questions of one kind only the last one's answer counts: those before are given up, as they may come later.
export function latest() {
  let asked = new AbortController();
  return () => {
    asked.abort();
    asked = new AbortController();
    return { signal: asked.signal };
  };
}

export function soon(work, wait) {
  let timer = 0;
  return (...given) => { clearTimeout(timer); timer = setTimeout(() => work(...given), wait); };
}
