// The page: what is opened, chosen and shown. All that lasts is in the server, which is asked what has changed.

import { byId, get, latest, soon, tried } from "./api.js";
import * as downloads from "./downloads.js";
import * as files from "./files.js";
import * as finding from "./finding.js";
import { Nuclei } from "./nuclei.js";
import { Viewer } from "./viewer.js";

const QUICK = 400;
const SLOW = 3000;
const AXES = { T: "Time", Z: "Depth", I: "Page" };

const images = new Map();
let revision = -1;
let chosen = 0;
let described = null;
let timer = 0;
const choosing = latest();
const describing = latest();

// The secret is in a cookie now; it need not stay in the address, where it could be copied along.
history.replaceState(null, "", "/");

const viewer = new Viewer((nucleus) => pick(nucleus, false));
const nuclei = new Nuclei((label) => choose(label));

viewer.failed = soon(async () => {
  const id = chosen;
  const found = id && await tried(() => get(`/api/images/${id}`));
  // A file that was changed meanwhile has no nuclei any more.
  if (found && id === described?.id && Boolean(found.made_with) !== Boolean(described.made_with)) describe(true);
}, 500);

async function refresh(first) {
  clearTimeout(timer);
  const state = await tried(() => get("/api/state", { since: revision }));
  let active = false;
  if (state) {
    const before = images.get(chosen)?.revision;
    if (state.anew) images.clear();
    for (const image of state.images) images.set(image.id, image);
    revision = state.revision;
    if (first && images.has(first)) chosen = 0;
    const next = first && images.has(first) ? first : images.has(chosen) ? chosen : images.keys().next().value ?? 0;
    if (state.anew || state.images.length || next !== chosen) files.draw([...images.values()], next, (id) => look(id));
    active = finding.showJob(state, next);
    if (state.images.length || state.anew) if (!active) finding.showCommand();
    if (next !== chosen) look(next);
    else if (chosen && images.get(chosen).revision !== before) update();
  }
  timer = setTimeout(refresh, active ? QUICK : SLOW);
}

// Look at another image.
async function look(id) {
  chosen = id;
  described = null;
  files.draw([...images.values()], chosen, (one) => look(one));
  byId("empty").hidden = Boolean(id);
  byId("shown").hidden = !id;
  byId("results").hidden = true;
  byId("run-one").disabled = !id;
  if (id) await describe(false);
}

// The image that is looked at has changed: new results, or a failure.
async function update() {
  const image = images.get(chosen);
  if (image.status === "ok" || image.error) await describe(true);
}

async function describe(keep) {
  const id = chosen;
  const image = images.get(id);
  byId("name").textContent = files.named([...images.values()]).get(id);
  byId("fault").textContent = image.error;
  byId("fault").hidden = !image.error;
  if (!described) byId("about").textContent = "opening…";
  try {
    const project = byId("project").value;
    const found = await get(`/api/images/${id}`, { project }, describing());
    if (id !== chosen) return;
    const same = keep && described && described.rows === found.rows && described.cols === found.cols;
    const kept = same ? byId("shown-channel").value : null;
    described = { ...found, id };
    byId("fault").textContent = image.error || found.fault;
    byId("fault").hidden = !byId("fault").textContent;
    finding.offer(found.channels);
    offerChannels(kept);
    offerPlanes(same);
    showAbout();
    for (const one of document.querySelectorAll("#viewer, #view-bar")) one.hidden = false;
    show(same);
    showResults();
  } catch (error) {
    if (id !== chosen || error.name === "AbortError") return;
    byId("about").textContent = "";
    byId("fault").textContent = image.error || error.message;
    byId("fault").hidden = false;
    for (const one of document.querySelectorAll("#viewer, #view-bar, #outline-bar")) one.hidden = true;
    refresh();
  }
}

function showAbout() {
  const { rows, cols, dtype, pixel_size_um: size } = described;
  const scale = size ? `${Number(size[1].toPrecision(4))} µm a pixel` : "size of pixels unknown";
  const { median_area_px: median, seconds } = images.get(chosen);
  const found = described.made_with ? `, median area ${Math.round(median ?? 0).toLocaleString()} px, ${seconds.toFixed(1)} s` : "";
  byId("about").textContent = `${rows.toLocaleString()} × ${cols.toLocaleString()} pixels, ${dtype}, ${scale}${found}`;
}

function offerChannels(kept) {
  const select = byId("shown-channel");
  const { channels, channel, colour } = described;
  const colours = colour ? [new Option("all colours", "")] : [];
  select.replaceChildren(...colours, ...channels.map((one) => new Option(one.name, one.value)));
  select.value = kept ?? channel ?? "";
  if (select.selectedIndex < 0) select.selectedIndex = 0;
  byId("shown-channel-label").hidden = !channels.length;
}

function offerPlanes(keep) {
  const before = keep ? place() : [];
  byId("planes").replaceChildren(...described.stack.map(({ axis, length }, i) => {
    const label = document.createElement("label");
    const range = document.createElement("input");
    const shown = document.createElement("output");
    Object.assign(range, { type: "range", min: 0, max: length - 1, step: 1, value: before[i] ?? 0 });
    const tell = () => { shown.textContent = `${Number(range.value) + 1} of ${length}`; };
    tell();
    range.addEventListener("input", tell);
    range.addEventListener("input", soon(() => show(true), 120));
    label.append(AXES[axis], range, shown);
    return label;
  }));
}

function place() {
  return [...byId("planes").querySelectorAll("input")].map((range) => range.value);
}

function show(keep) {
  const view = { channel: byId("shown-channel").value, project: described.project, at: place().join(",") };
  viewer.show(described, view, keep);
}

function showResults() {
  const ready = Boolean(described.made_with);
  byId("outline-bar").hidden = !ready;
  byId("results").hidden = !ready;
  if (ready) nuclei.show(chosen, viewer.outlined.least);
}

async function choose(label) {
  const id = chosen;
  const nucleus = await tried(() => get(`/api/images/${id}/nucleus`, { label, shape: true }, choosing()));
  if (nucleus && id === chosen) pick(nucleus, true);
}

function pick(nucleus, move) {
  nuclei.detail(nucleus);
  if (!nucleus?.label) { viewer.mark(null); return; }
  if (move && nucleus.at.join(",") !== place().join(",")) {
    for (const [i, range] of byId("planes").querySelectorAll("input").entries()) {
      range.value = nucleus.at[i];
      range.dispatchEvent(new Event("input"));
    }
    viewer.once = () => viewer.mark(nucleus);
  }
  viewer.mark(nucleus);
  if (move) viewer.centre(nucleus.measured.centroid_row, nucleus.measured.centroid_col);
}

function listen() {
  byId("shown-channel").addEventListener("change", () => show(true));
  byId("project").addEventListener("change", () => { if (chosen && !described?.made_with) describe(false); });
  byId("outlines").addEventListener("change", (event) => viewer.outline({ visible: event.target.checked }));
  byId("strength").addEventListener("input", (event) => viewer.outline({ strength: Number(event.target.value) }));
  const outline = (changed) => { viewer.outline(changed); if (viewer.hides()) pick(null, false); };
  byId("hide").addEventListener("change", (event) => outline({ hide: event.target.checked }));
  const least = soon((value) => { outline({ least: value }); if (described) nuclei.show(chosen, value); }, 120);
  byId("least").addEventListener("input", (event) => {
    byId("least-shown").textContent = Number(event.target.value).toFixed(2);
    least(Number(event.target.value));
  });
  const tabs = [...document.querySelectorAll("[role=tab]")];
  const turn = (tab) => {
    for (const one of tabs) {
      one.setAttribute("aria-selected", one === tab);
      one.tabIndex = one === tab ? 0 : -1;
      byId(one.getAttribute("aria-controls")).hidden = one !== tab;
    }
    tab.focus();
  };
  for (const [i, tab] of tabs.entries()) {
    tab.addEventListener("click", () => turn(tab));
    tab.addEventListener("keydown", ({ key }) => {
      const step = { ArrowRight: 1, ArrowLeft: tabs.length - 1 }[key];
      if (step) turn(tabs[(i + step) % tabs.length]);
    });
  }
}

const options = await tried(() => finding.prepare());
if (options) {
  listen();
  files.listen((first) => refresh(first));
  finding.listen(() => chosen, () => refresh());
  downloads.prepare(options.exports, () => chosen);
  refresh();
}
