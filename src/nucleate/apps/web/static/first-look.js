// A large plane is gone through when it is first looked at: how far that is, and an end to it.

import { byId, get, post, tried } from "./api.js";

const OFTEN = 400;

export class FirstLook {
  constructor(giveUp, again) {
    this.turn = 0;
    byId("stop-reading").addEventListener("click", () => {
      if (this.stopped) { again(); return; }
      this.#tell("Reading was stopped", "Read it");
      this.stopped = true;
      giveUp(); // first: it would ask for tiles anew
      tried(() => post(`/api/images/${this.id}/first-look/stop`));
    });
  }

  // Tell how far it is with an image for as long as something is pending.
  async watch(id, pending) {
    this.id = id;
    this.stopped = false;
    const turn = this.turn += 1;
    const wait = () => new Promise((resolve) => { setTimeout(resolve, OFTEN); });
    byId("reading").hidden = true;
    for (await wait(); turn === this.turn && !this.stopped && pending(); await wait()) {
      const { share } = await get(`/api/images/${id}/first-look`).catch(() => ({ share: null }));
      if (turn !== this.turn || this.stopped) return;
      byId("reading").hidden = share === null;
      byId("read").value = share ?? 0;
      this.#tell(`Reading all of this image once: ${Math.round(100 * (share ?? 0))} %`, "Stop");
    }
    if (turn === this.turn && !this.stopped) byId("reading").hidden = true;
  }

  #tell(line, action) {
    byId("read-told").textContent = line;
    byId("stop-reading").textContent = action;
  }
}
