// Pictures of cells, many in one answer: thousands of requests would cost server and browser more than
// all that is in them. What is looked at comes first, the rest of the slide while nothing else is done.
import { BACKGROUND } from "./app.js";

const MOST = 60; // of an answer: MOST_PICTURES of gallery.py
const AT_ONCE = 2; // answers that are waited for
const AGAIN_MS = 3000; // after one that did not come

const keyOf = (cell) => `${cell.id} ${cell.frame}`; // a better view is another picture

export class Pictures {
  constructor(slide) {
    this.slide = slide;
    this.kept = new Map(); // by key: the address of a picture; null: none came of this cell
    this.wanted = new Map(); // by id: { key, images, asked }, of those that are not here yet
    this.near = new Set(); // ids, those that are looked at now last
    this.later = new Set();
    this.asking = 0;
  }

  /** Have an image show a cell, at once where its picture is here; `near`: somebody may see it now. */
  show(image, cell, near) {
    const key = keyOf(cell);
    if (this.kept.has(key)) {
      put(image, this.kept.get(key));
      return;
    }
    let wanted = this.wanted.get(cell.id);
    if (wanted?.key !== key) this.wanted.set(cell.id, (wanted = { key, images: [], asked: false }));
    wanted.images.push(image);
    if (near) this.hurry([cell.id]);
    else if (!wanted.asked && !this.near.has(cell.id)) this.later.add(cell.id);
    this.#ask();
  }

  /** These are looked at now: they come before all others. */
  hurry(ids) {
    for (const id of ids) {
      if (this.wanted.get(id)?.asked !== false) continue;
      this.later.delete(id);
      this.near.delete(id);
      this.near.add(id);
    }
    this.#ask();
  }

  /** In a moment, so that all that is wanted now is one question. */
  #ask() {
    if (this.soon) return;
    this.soon = true;
    queueMicrotask(() => {
      this.soon = false;
      while (this.near.size && this.asking < AT_ONCE) this.#fetch([...this.near].slice(-MOST), this.near, {});
      if (this.near.size || this.asking || !this.later.size || this.idle) return;
      const ahead = () => {
        this.idle = 0;
        if (!this.asking && !this.near.size) this.#fetch([...this.later].slice(0, MOST), this.later, BACKGROUND);
      };
      this.idle = window.requestIdleCallback ? requestIdleCallback(ahead) : setTimeout(ahead, 100);
    });
  }

  async #fetch(ids, from, headers) {
    if (!ids.length) return;
    this.asking += 1;
    const asked = new Map();
    for (const id of ids) {
      from.delete(id);
      const wanted = this.wanted.get(id);
      wanted.asked = true;
      asked.set(id, wanted);
    }
    try {
      const answer = await fetch(`/slides/${this.slide}/pictures?cells=${ids.join(",")}`, { headers, credentials: "same-origin" });
      if (!answer.ok) throw new Error(`${answer.status}`);
      const found = await answer.json();
      for (const [id, wanted] of asked) this.#arrived(id, wanted, found[id]);
    } catch {
      await new Promise((done) => setTimeout(done, AGAIN_MS)); // what was asked for is asked for again
      for (const [id, wanted] of asked) {
        wanted.asked = false;
        if (this.wanted.get(id) === wanted) from.add(id);
      }
    }
    this.asking -= 1;
    this.#ask();
  }

  #arrived(id, wanted, jpeg) {
    // an address of a blob would be fetched through the browser's network service, one by one
    const address = jpeg ? `data:image/jpeg;base64,${jpeg}` : null;
    this.kept.set(wanted.key, address);
    for (const image of wanted.images) put(image, address);
    if (this.wanted.get(id) === wanted) this.wanted.delete(id);
  }
}

function put(image, address) {
  if (address) image.src = address;
  else image.alt = "no picture";
}
