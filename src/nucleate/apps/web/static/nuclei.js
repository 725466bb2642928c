// The table of nuclei, all that is known of one, distributions.

import { byId, get, latest, tried } from "./api.js";

const ROWS = 50;
const UNITS = { px: "px", um: "µm", um2: "µm²", rad: "rad" };

export class Nuclei {
  constructor(choose) {
    this.choose = choose;
    this.sort = "label";
    this.down = false;
    this.first = 0;
    this.rows = latest();
    this.drawn = latest();
    byId("earlier").addEventListener("click", () => this.#turn(-ROWS));
    byId("later").addEventListener("click", () => this.#turn(ROWS));
  }

  async show(id, least) {
    if (id !== this.id) { this.first = 0; this.chosen = 0; this.detail(null); }
    this.id = id;
    this.least = least;
    await Promise.all([this.#table(), this.#charts()]);
  }

  detail(nucleus) {
    const place = byId("nucleus");
    this.chosen = nucleus?.label ?? 0;
    for (const row of document.querySelectorAll("#panel-table tbody tr")) row.classList.toggle("chosen", Number(row.dataset.label) === this.chosen);
    if (!nucleus?.label) {
      place.replaceChildren(made("p", "Click a nucleus in the image, or a number in the table, to see all that was measured of it.", "hint"));
      return;
    }
    const list = document.createElement("dl");
    for (const [name, value] of Object.entries(nucleus.measured)) list.append(made("dt", title(name)), made("dd", number(value)));
    place.replaceChildren(made("h3", `Nucleus ${nucleus.label}`), list);
  }

  #turn(by) {
    this.first = Math.max(this.first + by, 0);
    this.#table();
  }

  async #table() {
    const { id, sort, down, least, first } = this;
    const given = { sort, down: down || null, least: least || null, first, count: ROWS };
    const found = await tried(() => get(`/api/images/${id}/table`, given, this.rows()));
    if (!found || id !== this.id) return;
    if (first > 0 && first >= found.total) { this.first = 0; this.#table(); return; }
    const focused = document.activeElement?.dataset?.sort; // it stays on the heading that was pressed
    document.querySelector("#panel-table thead").replaceChildren(this.#head(found.columns));
    if (focused) document.querySelector(`#panel-table [data-sort="${CSS.escape(focused)}"]`)?.focus();
    document.querySelector("#panel-table tbody").replaceChildren(...found.rows.map((row) => this.#row(row)));
    byId("page-shown").textContent = found.total ? `${first + 1} to ${first + found.rows.length} of ${found.total.toLocaleString()}` : "none";
    byId("earlier").disabled = first === 0;
    byId("later").disabled = first + ROWS >= found.total;
    byId("pages").hidden = found.total <= ROWS;
  }

  #head(columns) {
    const row = document.createElement("tr");
    for (const name of columns) {
      const cell = document.createElement("th");
      const button = made("button", title(name) + (name === this.sort ? (this.down ? " ▼" : " ▲") : ""));
      button.type = "button";
      button.dataset.sort = name;
      cell.scope = "col";
      cell.setAttribute("aria-sort", name !== this.sort ? "none" : this.down ? "descending" : "ascending");
      button.addEventListener("click", () => {
        this.down = name === this.sort ? !this.down : name !== "label";
        this.sort = name;
        this.first = 0;
        this.#table();
      });
      cell.append(button);
      row.append(cell);
    }
    return row;
  }

  #row(values) {
    const row = document.createElement("tr");
    const label = values[0];
    row.dataset.label = label;
    row.classList.toggle("chosen", label === this.chosen);
    const button = made("button", String(label));
    button.type = "button";
    button.setAttribute("aria-label", `Show nucleus ${label}`);
    const first = document.createElement("td");
    first.append(button);
    row.append(first, ...values.slice(1).map((value) => made("td", number(value))));
    row.addEventListener("click", () => this.choose(label));
    return row;
  }

  async #charts() {
    const { id, least } = this;
    const found = await tried(() => get(`/api/images/${id}/histograms`, { least: least || null }, this.drawn()));
    if (!found || id !== this.id) return;
    byId("panel-charts").innerHTML = found.svg.join("") || '<p class="hint">No nucleus is that sure.</p>';
    const all = found.total === 1 ? "1 nucleus" : `${found.total.toLocaleString()} nuclei`;
    byId("count").textContent = found.count === found.total ? all : `${found.count.toLocaleString()} of ${all}`;
  }
}

function made(tag, text, name) {
  const element = document.createElement(tag);
  element.textContent = text;
  if (name) element.className = name;
  return element;
}

function title(name) {
  const words = name.split("_");
  const unit = UNITS[words.at(-1)];
  const plain = (unit ? words.slice(0, -1) : words).join(" ");
  return unit ? `${plain} (${unit})` : plain === "label" ? "nucleus" : plain;
}

function number(value) {
  if (value === null || value === undefined) return "";
  return Number.isInteger(value) ? value.toLocaleString() : String(Number(value.toPrecision(4)));
}
