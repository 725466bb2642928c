// Settings, running, how far it is, and the same as a command line.

import { byId, get, post, say, soon, tried } from "./api.js";

const ACTIVE = ["waiting", "loading", "running"];
let usual = ""; // the model that is taken when none is named

export async function prepare() {
  const options = await get("/api/options");
  byId("output").textContent = options.output;
  const models = byId("model");
  models.replaceChildren(...options.models.map((model) => new Option(model.name, model.name)));
  models.value = usual = options.model;
  const explain = () => { byId("model-hint").textContent = options.models.find((one) => one.name === models.value)?.what.split(". ")[0] ?? ""; };
  models.addEventListener("change", explain);
  explain();
  byId("choices").addEventListener("submit", (event) => event.preventDefault());
  return options;
}

export function listen(chosen, changed) {
  byId("run").addEventListener("click", () => start(null, changed));
  byId("run-one").addEventListener("click", () => start([chosen()], changed));
  byId("stop").addEventListener("click", () => tried(() => post("/api/stop")).then(changed));
  byId("choices").addEventListener("input", soon(showCommand, 200));
  byId("copy").addEventListener("click", () => navigator.clipboard?.writeText(byId("command").textContent));
}

export function choices() {
  const text = (id) => byId(id).value.trim();
  const number = (id) => (text(id) === "" ? null : Number(text(id)));
  for (const id of ["min_confidence", "min_area"]) {
    if (!byId(id).checkValidity()) throw new Error(`${byId(id).labels[0].textContent}: ${byId(id).validationMessage}`);
  }
  const scale = text("scale").toLowerCase();
  if (scale !== "auto" && scale !== "" && !(Number(scale) > 0)) throw new Error(`Scale ${scale}: give auto or a number such as 0.5`);
  return {
    model: text("model") === usual ? null : text("model"),
    channel: text("channel") || null,
    project: text("project") || null,
    scale: scale === "auto" || scale === "" ? "auto" : Number(scale),
    tta: byId("tta").checked,
    min_area: number("min_area"),
    min_confidence: number("min_confidence"),
  };
}

async function start(images, changed) {
  say("");
  await tried(async () => post("/api/run", { images, choices: choices() }));
  changed();
}

export async function showCommand() {
  try { byId("command").textContent = (await post("/api/command", choices())).command; } catch { /* it is said when it is run */ }
}

export function offer(channels) {
  const select = byId("channel");
  const now = select.value;
  const names = channels.map((one) => one.name);
  const only = (name) => name && names.indexOf(name) === names.lastIndexOf(name); // else its number tells it
  const options = channels.map((one) => new Option(one.name || one.value, only(one.name) ? one.name : one.value));
  if (now && !options.some((one) => one.value === now)) options.push(new Option(now, now));
  select.replaceChildren(new Option("automatic", ""), ...options);
  select.value = now;
}

export function showJob(state, chosen) {
  const job = state.job;
  const active = Boolean(job && ACTIVE.includes(job.state)) || state.waiting > 0;
  byId("run").disabled = !state.count;
  byId("run-one").disabled = !chosen;
  byId("stop").hidden = !active;
  byId("stop").disabled = Boolean(job?.stopping) && !state.waiting;
  const bar = byId("progress");
  bar.hidden = !active;
  if (!job) { byId("told").textContent = ""; return active; }
  const part = job.part ? job.part.done / job.part.total : 0;
  if (job.state === "loading") bar.removeAttribute("value"); else bar.value = (job.done + part) / job.total;
  const line = told(job, state.waiting);
  byId("told").setAttribute("aria-live", active ? "off" : "polite"); // the end is read out, not each second
  if (byId("told").textContent !== line) byId("told").textContent = line;
  byId("told").classList.toggle("error", job.state === "failed");
  if (job.folder && ACTIVE.includes(job.state)) byId("command").textContent = job.command;
  return active;
}

function told(job, waiting) {
  const queue = waiting ? `, ${waiting} more ${waiting === 1 ? "run waits" : "runs wait"}` : "";
  if (job.state === "failed") return job.error;
  if (job.stopping) return `Stopping${queue}`;
  if (job.state === "loading") return `Loading the model${queue}`;
  const failed = job.failed ? `; ${job.failed} failed` : "";
  const parts = job.part?.done ? `, and ${job.part.done} of ${job.part.total} parts of ${job.part.name}` : "";
  if (job.state === "stopped") return `Stopped; ${job.done - job.failed} of ${job.total} images are finished and kept${parts}${failed}.`;
  if (job.state === "done" && job.failed === job.total) return `Nothing was written: ${job.failed === 1 ? "the image" : "all images"} failed`;
  if (job.state === "done") return `Done; results are in ${job.folder}${failed}`;
  const alone = job.part && job.seconds_left === null && job.part.seconds_left !== null;
  const partLeft = alone ? `, ${duration(job.part.seconds_left)} left for this one` : "";
  const part = job.part ? `, ${job.part.name}: part ${job.part.done} of ${job.part.total}${partLeft}` : "";
  const left = job.seconds_left === null ? "" : `, ${duration(job.seconds_left)} left`;
  return `${job.done} of ${job.total} images${part}${left}${queue}`;
}

function duration(seconds) {
  if (seconds < 90) return `${Math.max(Math.round(seconds), 1)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
