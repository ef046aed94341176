// What moved the verdict on the chosen cell: asked for on demand (the key `a`), and then for every cell
// that stays chosen for a moment. Nothing else waits for it, and what comes late is not shown.
import { ask, icon, make, Refused } from "./app.js";

const CHOSEN_FOR_MS = 600;
const KEPT = 60;
const SHOWN = "attribution";

export class Attribution {
  constructor(slide) {
    this.slide = slide;
    this.on = sessionStorage.getItem(SHOWN) === "on";
    this.results = new Map(); // by cell: { said } or { error }
    this.cell = null;
    this.asking = null;
    this.box = make("div", { class: "state", role: "status" });
    this.text = make("section", { class: "attribution", "aria-label": "What moved the verdict" });
    this.about = make("p", { class: "soft" });
    this.button = make("button", { type: "button", id: "attribution-toggle", "aria-keyshortcuts": "a" }, "What moved the verdict", make("kbd", { "aria-hidden": "true" }, "a"));
    this.button.addEventListener("click", () => this.toggle());
    this.#mark();
  }

  toggle() {
    this.on = !this.on;
    if (this.on) sessionStorage.setItem(SHOWN, "on");
    else sessionStorage.removeItem(SHOWN);
    for (const [id, result] of this.results) if (result.error) this.results.delete(id); // asked anew
    this.#mark();
    this.#leave();
    const slot = this.slot;
    if (this.cell && slot?.isConnected) {
      this.#choose(0);
      slot.replaceChildren(...this.#shown());
    }
  }

  /** Where the picture of a cell goes; what is there follows what comes. */
  picture(cell) {
    const other = cell.id !== this.cell?.id;
    this.cell = cell;
    this.slot = make("div", { class: "slot" });
    if (other) {
      this.#leave();
      this.#choose(CHOSEN_FOR_MS);
    }
    this.slot.replaceChildren(...this.#shown());
    return this.slot;
  }

  /** Its words, below. */
  words() {
    return this.text;
  }

  /** Its figures, which need not be read each time: below the decisions. */
  figures() {
    return this.about;
  }

  #mark() {
    document.documentElement.dataset.attribution = this.on ? "on" : "off";
    this.button.setAttribute("aria-pressed", String(this.on));
  }

  #leave() {
    clearTimeout(this.waiting);
    this.asking?.abort();
    this.asking = null;
  }

  #choose(after) {
    if (!this.on || !this.cell.crop || this.results.has(this.cell.id)) return;
    const cell = this.cell;
    this.waiting = setTimeout(() => this.#ask(cell), after);
  }

  async #ask(cell) {
    const asking = new AbortController();
    this.asking = asking;
    let result;
    try {
      result = { said: await ask(`/slides/${this.slide}/cells/${cell.id}/attribution`, undefined, false, asking.signal) };
    } catch (error) {
      if (asking.signal.aborted) return; // another cell was chosen
      if (!(error instanceof Refused)) throw error;
      result = { error: error.message };
    }
    this.results.set(cell.id, result);
    if (this.results.size > KEPT) this.results.delete(this.results.keys().next().value);
    if (this.cell?.id === cell.id) this.slot.replaceChildren(...this.#shown());
  }

  /** What stands beside the crop; the words are put below. */
  #shown() {
    this.about.textContent = "";
    if (!this.on || !this.cell.crop) {
      this.text.replaceChildren(...(this.cell.crop ? [this.button] : []));
      this.slot.hidden = true;
      return [];
    }
    this.slot.hidden = false;
    const result = this.results.get(this.cell.id);
    if (!result?.said) {
      this.text.replaceChildren(this.button);
      this.box.replaceChildren(...(result ? [icon("gap"), result.error] : ["Each part of the picture is covered once, and the classifier is asked again. This takes some seconds."]));
      this.box.setAttribute("aria-busy", String(!result));
      return [this.box];
    }
    const { said } = result;
    const item = (kind, text) => make("li", {}, make("span", { class: `swatch ${kind}`, "aria-hidden": "true" }), make("span", {}, text));
    this.text.replaceChildren(
      this.button,
      ...(said.warning ? [make("p", { class: "notice warn" }, icon("uncertain"), make("span", {}, said.warning))] : []),
      make("ul", {}, item("lowers", `Darker violet: ${said.lowers}`), item("raises", `Darker orange: ${said.raises}`)),
      ...(said.decides ? [make("p", {}, said.decides)] : []),
    );
    this.about.textContent = `${said.figures} By ${said.by}. Colours show what the network reacts to, not what makes a cell a blast.`;
    if (!result.picture) {
      const { id } = this.cell;
      result.picture = make("img", { class: "large", src: said.picture, alt: said.alt });
      result.picture.addEventListener("error", () => {
        this.results.set(id, { error: "The picture did not come." });
        if (this.cell?.id === id) this.slot.replaceChildren(...this.#shown());
      });
    }
    return [result.picture];
  }
}
