// Opening images, and the list of them.

import { byId, post, say, tried, upload } from "./api.js";

const STEP = 200;
const WORDS = { new: "", waiting: "waiting", running: "working…", failed: "failed" };
let most = STEP;

export function listen(changed) {
  const drop = byId("drop");
  byId("files").addEventListener("change", async (event) => {
    await send([...event.target.files], changed);
    event.target.value = "";
  });
  for (const name of ["dragover", "drop", "dragleave"]) {
    document.addEventListener(name, (event) => {
      if (![...(event.dataTransfer?.types ?? [])].includes("Files")) return;
      event.preventDefault();
      drop.classList.toggle("over", name === "dragover");
      if (name === "drop") send([...event.dataTransfer.files], changed);
    });
  }
  byId("open").addEventListener("submit", (event) => {
    event.preventDefault();
    opening("/api/open", { path: byId("path").value }, changed);
  });
  for (const id of ["samples", "samples-too"]) byId(id).addEventListener("click", () => opening("/api/samples", {}, changed));
  byId("close").addEventListener("click", () => opening("/api/close", {}, changed));
  byId("more").addEventListener("click", () => { most += STEP; changed(); });
}

async function opening(path, body, changed) {
  say("");
  const answer = await tried(() => post(path, body));
  if (answer) changed(answer.images?.[0]);
}

async function send(files, changed) {
  const bar = byId("uploading");
  const faults = [];
  let shown = false;
  say("");
  bar.hidden = false;
  for (const [number, file] of files.entries()) {
    try {
      const answer = await upload(file, (part) => { bar.value = (number + part) / files.length; });
      changed(shown ? 0 : answer.images[0]); // those after the first leave what is looked at
      shown = true;
    } catch (error) { faults.push(error.message); }
  }
  bar.hidden = true;
  if (faults.length) say(faults.join("; "));
}

function state(image) {
  if (image.status === "ok") return image.nuclei === 1 ? "1 nucleus" : `${image.nuclei.toLocaleString()} nuclei`;
  return WORDS[image.status] ?? image.status;
}

// What each image is called: those of one name by the part of their paths that tells them apart.
export function named(images) {
  const paths = new Map();
  for (const { name, path } of images) paths.set(name, paths.get(name) ?? []).get(name).push(path);
  const starts = new Map([...paths].map(([name, alike]) => [name, folders(alike)]));
  return new Map(images.map(({ id, name, path }) => [id, paths.get(name).length > 1 ? path.slice(starts.get(name)) : name]));
}

// How many letters of the folders, or of the archive, all paths have in common.
function folders(paths) {
  let same = paths[0];
  for (const path of paths) while (!path.startsWith(same)) same = same.slice(0, -1);
  return Math.max(...["/", "\\", "!"].map((mark) => same.lastIndexOf(mark))) + 1;
}

export function draw(images, chosen, choose) {
  const list = byId("images");
  const kept = document.activeElement?.dataset?.image;
  const names = named(images);
  const rows = images.slice(0, most).map((image) => {
    const row = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.image = image.id;
    button.title = image.path;
    button.setAttribute("aria-current", image.id === chosen);
    button.append(part("name", names.get(image.id)), part(`state ${image.status}`, state(image)));
    button.addEventListener("click", () => choose(image.id));
    row.append(button);
    if (image.error) row.append(part("error", image.error, "p"));
    return row;
  });
  const top = list.scrollTop;
  list.replaceChildren(...rows);
  list.scrollTop = top;
  if (kept) list.querySelector(`[data-image="${kept}"]`)?.focus();
  byId("more").hidden = images.length <= most;
  byId("close").disabled = !images.length;
}

function part(name, text, tag = "span") {
  const made = document.createElement(tag);
  made.className = name;
  made.textContent = text;
  return made;
}
