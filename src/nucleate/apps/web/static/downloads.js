// Files to be saved.

import { byId, post, tried } from "./api.js";

export function prepare(exports, chosen) {
  for (const { name, what, needs } of exports) {
    const label = document.createElement("label");
    const box = document.createElement("input");
    label.className = "check";
    box.type = "checkbox";
    box.value = name;
    box.checked = ["labels", "overlay", "measurements"].includes(name);
    box.disabled = Boolean(needs);
    label.title = needs;
    label.append(box, needs ? `${what}: not available` : what);
    byId("exports").append(label);
  }
  byId("download").addEventListener("submit", async (event) => {
    event.preventDefault();
    const wanted = [...byId("exports").querySelectorAll("input:checked")].map((box) => box.value);
    const images = new FormData(event.target).get("which") === "one" ? [chosen()] : null;
    const told = byId("preparing");
    told.textContent = "Writing the files…";
    const found = await tried(() => post("/api/downloads", { images, exports: wanted }));
    told.textContent = found ? `${found.name}, ${size(found.bytes)}${found.packed ? " before packing" : ""}` : "";
    if (!found) return;
    const link = document.createElement("a");
    link.href = `/api/downloads/${found.id}`;
    link.download = found.name;
    link.click();
  });
}

function size(bytes) {
  return bytes < 1e5 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
