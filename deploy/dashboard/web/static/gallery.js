// Thousands of cells as a list box: what is near the window is built at once, the rest while nothing
// else is to be done; a filter is a pass over an array, and the keyboard walks it in two directions.
import { icon, make } from "./app.js";
import { Pictures } from "./pictures.js";

export const WORDS = { blast: "Blast", uncertain: "Uncertain", normal: "Normal", not_a_cell: "Not a cell" };
const LEAST_REM = 7.7;
const LARGE_SCREEN = 1800;
const A_CHUNK_MS = 10; // to build one
const MOST_AHEAD = 10_000; // cells that are built before somebody scrolls to them

export function percent(p) {
  const value = Math.round(1000 * p) / 10;
  if (value >= 100 && p < 1) return ">99.9\u202f%";
  if (value <= 0 && p > 0) return "<0.1\u202f%";
  return `${value.toFixed(1)}\u202f%`;
}

/** The same in a narrow place. */
function roughly(p) {
  if (p > 0.995 && p < 1) return ">99\u202f%";
  if (p < 0.005 && p > 0) return "<1\u202f%";
  return `${Math.round(100 * p)}\u202f%`;
}

/** A normal cell comes without a picture: a line says all there is. */
const isSmall = (cell) => cell.label === "normal" && !cell.crop;

/** A row of the server, by place: see FIELDS of gallery.py. */
export function cellOf(row) {
  const [id, label, p, reviewed, by, second, secondP, crop, frame, views, whole, score] = row;
  return { id, label, p, reviewed, by, second, secondP, crop, frame, views, whole, score };
}

export const FILTERS = {
  all: () => true,
  blast: (cell) => (cell.reviewed ?? cell.label) === "blast",
  uncertain: (cell) => (cell.reviewed ?? cell.label) === "uncertain",
  normal: (cell) => (cell.reviewed ?? cell.label) === "normal",
  unreviewed: (cell) => !cell.reviewed && cell.label !== "normal",
  disputed: (cell) => cell.second !== null && cell.second !== cell.label,
};

export class Gallery {
  constructor(place, slide, onChoice) {
    this.place = place;
    this.pictures = new Pictures(slide);
    this.onChoice = onChoice;
    this.cells = [];
    this.byId = new Map();
    this.shown = [];
    this.chosen = -1;
    this.filter = "all";
    this.tiles = new Map();
    this.columns = 0;
    this.watcher = new IntersectionObserver((seen) => this.#near(seen), { rootMargin: "700px 0px" });
    new ResizeObserver(() => this.#resized()).observe(place);
    place.addEventListener("click", (event) => {
      const tile = event.target.closest(".tile");
      if (tile) this.choose(Number(tile.dataset.at), true);
    });
    place.addEventListener("keydown", (event) => this.#walk(event));
  }

  /** Take in further cells, in their order. */
  add(rows) {
    for (const row of rows) {
      const cell = cellOf(row);
      if (this.byId.has(cell.id)) continue;
      this.byId.set(cell.id, cell);
      this.cells.push(cell);
    }
    this.#show(true);
  }

  /** Put other cells in their place, and keep the choice. */
  replace(rows) {
    const id = this.current?.id;
    const kept = new Set(this.shown.map((cell) => cell.id));
    const steady = this.filter === "unreviewed"; // what was decided about stays until one asks anew
    this.cells = rows.map(cellOf);
    this.byId = new Map(this.cells.map((cell) => [cell.id, cell]));
    const wanted = FILTERS[this.filter];
    this.#fill(this.cells.filter((cell) => wanted(cell) || (steady && kept.has(cell.id))), id);
  }

  get current() {
    return this.shown[this.chosen];
  }

  count(name) {
    let n = 0;
    for (const cell of this.cells) if (FILTERS[name](cell)) n += 1;
    return n;
  }

  setFilter(name) {
    this.filter = name;
    this.#show(false);
  }

  #show(keep) {
    this.#fill(this.cells.filter(FILTERS[this.filter]), this.current?.id, keep);
  }

  #fill(shown, id, keep = true) {
    const focused = this.place.contains(document.activeElement);
    this.shown = shown;
    const at = id === undefined ? -1 : shown.findIndex((cell) => cell.id === id);
    this.chosen = at >= 0 ? at : shown.length ? 0 : -1;
    this.#build();
    this.onChoice(this.current, false);
    if (focused && this.chosen >= 0) this.choose(this.chosen, true, keep);
  }

  #measure() {
    const width = this.place.clientWidth;
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    this.gap = 0.45 * rem;
    const least = (width > LARGE_SCREEN ? 1.25 : 1) * LEAST_REM * rem;
    this.columns = Math.max(2, Math.floor((width + this.gap) / (least + this.gap)));
    this.height = (width - this.gap * (this.columns - 1)) / this.columns + 1.5 * rem;
    this.smallHeight = 1.75 * rem + 4;
  }

  #resized() {
    const width = this.place.clientWidth;
    if (width === this.width) return;
    this.width = width;
    const focused = this.place.contains(document.activeElement);
    this.#build();
    if (focused) this.tiles.get(this.chosen)?.focus({ preventScroll: true }); // keys go on where they were
  }

  #build() {
    this.#measure();
    this.watcher.disconnect();
    this.tiles.clear();
    const chunks = [];
    for (let first = 0; first < this.shown.length; first = chunks.at(-1).first + chunks.at(-1).number) {
      const small = isSmall(this.shown[first]);
      const most = this.columns * (small ? 8 : 2); // what is built in one go: a frame of scrolling has 16 ms
      let number = 1;
      while (number < most && first + number < this.shown.length && isSmall(this.shown[first + number]) === small) number += 1;
      const high = Math.ceil(number / this.columns) * ((small ? this.smallHeight : this.height) + this.gap) - this.gap;
      const chunk = make("div", { class: "chunk", role: "group", "aria-label": `Cells ${first + 1} to ${first + number}` });
      chunk.style.gridTemplateColumns = `repeat(${this.columns}, minmax(0, 1fr))`;
      chunk.style.minHeight = `${high}px`;
      chunk.style.containIntrinsicSize = `auto ${high}px`;
      chunk.first = first;
      chunk.number = number;
      chunks.push(chunk);
    }
    this.place.replaceChildren(...chunks);
    this.place.toggleAttribute("hidden", chunks.length === 0);
    if (chunks.length) this.#fillChunk(chunks[0], true);
    this.chunks = chunks;
    if (this.chosen >= 0) this.#fillChunk(this.#chunkOf(this.chosen), true);
    for (const chunk of chunks) this.watcher.observe(chunk);
    this.#buildAhead();
  }

  /** While nothing else is to be done, what would otherwise be built while somebody scrolls. */
  #buildAhead() {
    if (!window.requestIdleCallback) return; // Safari: built as it comes near
    cancelIdleCallback(this.ahead);
    let next = 0;
    const some = (idle) => {
      const more = () => next < this.chunks.length && this.chunks[next].first < MOST_AHEAD;
      while (more() && (this.chunks[next].filled || idle.timeRemaining() > A_CHUNK_MS)) this.#fillChunk(this.chunks[next++], false);
      if (more()) this.ahead = requestIdleCallback(some);
    };
    this.ahead = requestIdleCallback(some);
  }

  #chunkOf(at) {
    let low = 0;
    let high = this.chunks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.chunks[middle].first <= at) low = middle;
      else high = middle - 1;
    }
    return this.chunks[low];
  }

  #near(seen) {
    for (const { isIntersecting, target } of seen) {
      if (!isIntersecting) continue;
      if (target.filled) this.pictures.hurry(this.shown.slice(target.first, target.first + target.number).map((cell) => cell.id));
      else this.#fillChunk(target, true);
    }
  }

  /** `near`: somebody may see it now. */
  #fillChunk(chunk, near) {
    if (chunk.filled) return;
    chunk.filled = true;
    const made = document.createDocumentFragment();
    for (let at = chunk.first; at < chunk.first + chunk.number; at += 1) made.append(this.#tile(at, near));
    chunk.append(made);
  }

  #tile(at, near) {
    const cell = this.shown[at];
    const tile = make("div", { role: "option", "data-at": at, "data-cell": cell.id, "aria-posinset": at + 1, "aria-setsize": this.shown.length });
    this.tiles.set(at, tile);
    this.#draw(tile, cell, near);
    this.#mark(tile, at === this.chosen);
    return tile;
  }

  #draw(tile, cell, near) {
    const label = cell.reviewed ?? cell.label;
    tile.className = `tile is-${label}${isSmall(cell) ? " small" : ""}${cell.saving ? " saving" : ""}`;
    const picture = cell.crop
      ? make("img", { alt: "", decoding: "async" })
      : make("div", { class: "nothing" }, "no picture sent");
    if (cell.crop) this.pictures.show(picture, cell, near);
    const marks = [];
    if (cell.reviewed) marks.push(make("span", { class: "mark" }, icon("ok"), cell.by ?? ""));
    if (cell.second !== null && cell.second !== cell.label) marks.push(make("span", { class: "mark second" }, icon(cell.second), "2nd"));
    const says = make("div", { class: `says is-${label}` }, icon(label), WORDS[label] ?? label, cell.reviewed ? null : make("span", { class: "p" }, roughly(cell.p)));
    if (isSmall(cell)) {
      says.append(...marks);
      tile.replaceChildren(says);
    } else tile.replaceChildren(picture, ...marks, says);
    tile.setAttribute("aria-label", this.describe(cell));
  }

  /** A cell in words. */
  describe(cell) {
    const parts = [`Cell ${cell.id}`, `model: ${WORDS[cell.label]}, ${percent(cell.p)}`];
    if (cell.second !== null) parts.push(`second opinion: ${WORDS[cell.second]}, ${percent(cell.secondP)}`);
    parts.push(cell.reviewed ? `${cell.by}: ${WORDS[cell.reviewed]}` : "not reviewed");
    return parts.join("; ");
  }

  #mark(tile, chosen) {
    tile.setAttribute("aria-selected", String(chosen));
    tile.tabIndex = chosen ? 0 : -1;
  }

  /** Draw a cell anew, where it is built. */
  refresh(id) {
    const at = this.shown.findIndex((cell) => cell.id === id);
    const tile = this.tiles.get(at);
    if (tile) this.#draw(tile, this.shown[at], true);
    if (this.current?.id === id) this.onChoice(this.current, false);
  }

  choose(at, focus, scroll = true) {
    if (at < 0 || at >= this.shown.length) return;
    const was = this.tiles.get(this.chosen);
    if (was) this.#mark(was, false);
    this.chosen = at;
    this.#fillChunk(this.#chunkOf(at), true);
    const tile = this.tiles.get(at);
    if (!tile) return;
    this.#mark(tile, true);
    if (focus) {
      tile.focus({ preventScroll: true });
      if (scroll) this.#reveal(tile);
    }
    this.onChoice(this.current, true);
  }

  #reveal(tile) {
    const box = tile.getBoundingClientRect();
    const top = document.querySelector(".toolbar").getBoundingClientRect().bottom + 8;
    if (box.top < top) scrollBy({ top: box.top - top });
    else if (box.bottom > innerHeight - 12) scrollBy({ top: box.bottom - innerHeight + 12 });
  }

  /** Choose a cell by its number; false: it is not among those that are shown. */
  chooseId(id, focus) {
    const at = this.shown.findIndex((cell) => cell.id === id);
    if (at >= 0) this.choose(at, focus);
    return at >= 0;
  }

  next() {
    if (this.chosen + 1 < this.shown.length) this.choose(this.chosen + 1, true);
  }

  #walk(event) {
    const page = this.columns * Math.max(1, Math.floor(innerHeight / (this.height + this.gap)) - 1);
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns, ArrowUp: -this.columns, PageDown: page, PageUp: -page };
    let at = this.chosen;
    if (event.key === "Home") at = 0;
    else if (event.key === "End") at = this.shown.length - 1;
    else if (event.key in steps) at = Math.max(0, Math.min(this.shown.length - 1, at + steps[event.key]));
    else return;
    event.preventDefault();
    this.choose(at, true);
  }
}
