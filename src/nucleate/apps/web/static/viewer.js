// The image at every zoom, outlines over it, the nucleus that is chosen, a scale bar.

import { byId, get, latest, query, tried } from "./api.js";
import { FirstLook } from "./first-look.js";

const TILE = 512;
const PATIENCE = 600000; // milliseconds: the first tile of a large plane without levels takes a look at all of it
const MAPPED = 1500; // smaller images need no map in the corner, which would hide some of them
const SVG = "http://www.w3.org/2000/svg";

export class Viewer {
  constructor(choose) {
    this.osd = window.OpenSeadragon({
      element: byId("viewer"), drawer: "canvas", showNavigationControl: false, showNavigator: true, navigatorAutoFade: true,
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true }, maxZoomPixelRatio: 24, visibilityRatio: 0.3,
      animationTime: 0.4, imageSmoothingEnabled: true,
      imageLoaderLimit: 4, // browsers open six connections: some are for everything else
      timeout: PATIENCE,
    });
    this.osd.navigator.imageLoader.timeout = PATIENCE; // it is not told by itself
    this.image = this.base = this.layer = null;
    this.outlined = { visible: true, strength: 1, least: 0, hide: false };
    this.tip = this.#mark("tip");
    this.scale = this.#mark("scale");
    this.loading = this.#mark("loading");
    this.loading.textContent = "reading the image…";
    this.first = new FirstLook(() => this.#giveUp(), () => this.show(this.image, this.view, Boolean(this.base)));
    const clicked = latest();
    this.osd.addHandler("canvas-click", (event) => { if (event.quick) this.#ask(event.position, choose, { shape: true, ...clicked() }); });
    this.osd.addHandler("animation", () => { this.tip.hidden = true; });
    this.osd.addHandler("update-viewport", () => this.#draw());
    this.osd.addHandler("tile-drawn", () => { this.loading.hidden = true; });
    this.osd.addHandler("tile-load-failed", (event) => { this.failed?.(event.tile?.getUrl?.() ?? ""); });
    this.#hover();
    byId("zoom-in").addEventListener("click", () => this.#zoom(1.6));
    byId("zoom-out").addEventListener("click", () => this.#zoom(1 / 1.6));
    byId("zoom-fit").addEventListener("click", () => this.osd.viewport?.goHome());
    byId("zoom-full").addEventListener("click", () => {
      const item = this.base;
      if (item) this.osd.viewport.zoomTo(item.imageToViewportZoom(1 / window.devicePixelRatio)).applyConstraints();
    });
  }

  // What is looked at: {id, rows, cols, pixel_size_um, ...}, channel, project, at; keep stays where it is.
  show(image, view, keep) {
    this.image = image;
    this.view = view;
    this.mark(null);
    this.loading.hidden = false;
    this.#watch();
    this.osd.navigator.element.hidden = Math.max(image.rows, image.cols) < MAPPED;
    const turn = this.turn = (this.turn ?? 0) + 1;
    this.osd.addTiledImage({
      tileSource: this.#source("tile", {}),
      success: ({ item }) => {
        const { world, viewport } = this.osd;
        if (turn !== this.turn) { world.removeItem(item); return; } // another one was chosen meanwhile
        this.base = item;
        this.layer = null;
        this.#drop([item]);
        if (!keep) this.#fit();
        this.outline();
        this.once?.();
        this.once = null;
      },
    });
  }

  outline(changed = {}) {
    Object.assign(this.outlined, changed);
    if (this.first.stopped) return; // they come with the image when it is read after all
    const { visible, strength, least, hide } = this.outlined;
    if (this.layer && "strength" in changed) { this.layer.setOpacity(strength); return; }
    if (!visible || !this.image?.made_with || !this.fits()) { this.#drop([this.base]); this.layer = null; return; }
    const { turn, image: { version } } = this;
    this.osd.addTiledImage({
      tileSource: this.#source("outlines", { least: least || null, hide: hide || null, version }), opacity: strength,
      success: ({ item }) => {
        if (turn !== this.turn) { this.osd.world.removeItem(item); return; }
        this.layer = item;
        // The old outlines stay until the new ones are there.
        const settle = () => { if (item === this.layer) this.#drop([this.base, item]); };
        if (item.getFullyLoaded()) { settle(); return; }
        item.addOnceHandler("fully-loaded-change", settle);
        this.#watch();
      },
    });
  }

  // Whether the chosen nucleus is one of those that are hidden now.
  hides() {
    const { least, hide } = this.outlined;
    return Boolean(this.chosen) && hide && this.confidence < least;
  }

  fits() {
    return (this.image.made_with?.project ?? null) === (this.view.project ?? null);
  }

  // The polygon of the chosen nucleus; null takes it away.
  mark(nucleus) {
    if (this.chosen) this.osd.removeOverlay(this.chosen);
    this.chosen = null;
    this.confidence = nucleus?.measured?.confidence;
    if (!nucleus?.outlines?.length) return;
    const points = nucleus.outlines.flat();
    const [top, bottom] = ends(points.map((one) => one[0]));
    const [left, right] = ends(points.map((one) => one[1]));
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `${left} ${top} ${right - left} ${bottom - top}`);
    svg.setAttribute("class", "chosen-nucleus");
    svg.setAttribute("preserveAspectRatio", "none");
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", nucleus.outlines.map((ring) => `M${ring.map(([row, col]) => `${col} ${row}`).join("L")}Z`).join(""));
    path.setAttribute("fill-rule", "evenodd");
    svg.append(path);
    this.chosen = svg;
    this.osd.addOverlay({ element: svg, location: this.#rect(left, top, right - left, bottom - top) });
  }

  centre(row, col) {
    const { osd: { viewport }, base: item } = this;
    if (!item) return;
    const close = item.imageToViewportZoom(2);
    const place = item.imageToViewportCoordinates(col, row);
    const near = viewport.getZoom() >= close / 2;
    const { x, y, width, height } = viewport.getBounds();
    const inside = place.x > x + width / 10 && place.x < x + width * 0.9 && place.y > y + height / 10 && place.y < y + height * 0.9;
    if (near && inside) return; // it is seen where it is
    viewport.panTo(place);
    if (!near) viewport.zoomTo(close);
    viewport.applyConstraints();
  }

  #source(kind, given) {
    const { id, rows, cols } = this.image;
    const longest = Math.max(rows, cols);
    const maxLevel = 32 - Math.clz32(longest - 1);
    const minLevel = maxLevel - Math.max(Math.ceil(Math.log2(longest / TILE)), 0); // one tile
    const asked = query({ ...this.view, ...given });
    return {
      width: cols, height: rows, tileSize: TILE, maxLevel, minLevel,
      getTileUrl: (level, col, row) => `/api/images/${id}/${kind}/${level}/${col}/${row}?${asked}`,
    };
  }

  #watch() {
    this.first.watch(this.image.id, () => !this.loading.hidden || (this.layer && !this.layer.getFullyLoaded()));
  }

  #giveUp() {
    this.turn += 1;
    if (this.loading.hidden) { this.#drop([this.base]); } else { this.#drop([]); this.base = null; }
    this.layer = null;
    this.loading.hidden = true;
  }

  #drop(but) {
    const { world } = this.osd;
    for (let i = world.getItemCount() - 1; i >= 0; i--) if (!but.includes(world.getItemAt(i))) world.removeItem(world.getItemAt(i));
  }

  #rect(left, top, width, height) {
    return this.base.imageToViewportRectangle(left, top, width, height);
  }

  #fit() {
    const { viewport, element: { clientWidth, clientHeight } } = this.osd;
    viewport.resize(new window.OpenSeadragon.Point(clientWidth, clientHeight)); // before the first image it was hidden
    viewport.goHome(true);
  }

  #zoom(by) {
    this.osd.viewport?.zoomBy(by).applyConstraints();
  }

  #mark(name) {
    const made = document.createElement("div");
    made.className = name;
    made.hidden = true;
    byId("viewer").append(made);
    return made;
  }

  #pixel(position) {
    const item = this.base;
    if (!item) return null;
    const { x, y } = item.viewerElementToImageCoordinates(position);
    return { row: Math.floor(y), col: Math.floor(x) };
  }

  async #ask(position, then, { shape = null, signal }) {
    const place = this.#pixel(position);
    if (!place || !this.image?.made_with || !this.fits()) return;
    const { view, outlined: { least, hide } } = this;
    const given = { ...place, at: view.at, shape, least: least || null, hide: hide || null };
    const found = await tried(() => get(`/api/images/${this.image.id}/nucleus`, given, { signal }));
    if (found && view === this.view) then(found, position); // else another image is shown by now
  }

  #hover() {
    let timer = 0;
    const asked = latest();
    new window.OpenSeadragon.MouseTracker({
      element: byId("viewer"),
      moveHandler: ({ position }) => {
        clearTimeout(timer);
        timer = setTimeout(() => this.#ask(position, (found, at) => this.#showTip(found, at), asked()), 60);
      },
      leaveHandler: () => { clearTimeout(timer); asked(); this.tip.hidden = true; },
    });
  }

  #showTip(found, { x, y }) {
    this.tip.hidden = !found.label;
    if (!found.label) return;
    const { area_px: area, area_um2: um, confidence } = found.measured;
    const size = um === undefined ? `${area} px` : `${um.toFixed(1)} µm²`;
    this.tip.textContent = `nucleus ${found.label}: ${size}, confidence ${confidence?.toFixed(2) ?? "unknown"}`;
    const room = byId("viewer").clientWidth - this.tip.offsetWidth - 6;
    this.tip.style.left = `${Math.max(Math.min(x + 14, room), 0)}px`;
    this.tip.style.top = `${Math.max(y - 30, 4)}px`;
  }

  #draw() {
    const viewport = this.osd.viewport;
    const item = this.base;
    if (!viewport || !item || !this.image) return;
    const shown = item.viewportToImageZoom(viewport.getZoom(true)); // pixels of the screen for one of the image
    const smooth = shown < 2;
    if (smooth !== this.smooth) { this.smooth = smooth; this.osd.drawer.setImageSmoothingEnabled(smooth); }
    const size = this.image.pixel_size_um;
    this.scale.hidden = !size;
    if (!size) return;
    const um = nice(130 / shown * size[1]);
    this.scale.style.width = `${um / size[1] * shown}px`;
    this.scale.textContent = um >= 1000 ? `${um / 1000} mm` : `${um} µm`;
  }
}

function ends(values) {
  return values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
}

// The largest of 1, 2, 5, 10, ... that is not more.
function nice(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  const found = [5, 2, 1].find((one) => one * power <= most) * power;
  return Number(found.toPrecision(3));
}
