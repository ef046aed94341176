// The page of a slide: cells are gone through, decided about and signed, by mouse or by keyboard.
import { ask, icon, live, make, Refused, say, shortcut } from "./app.js";
import { Attribution } from "./attribution.js";
import { drawWhenSeen } from "./chart.js";
import { Gallery, percent, WORDS } from "./gallery.js";

const page = document.getElementById("slide");
const slide = page.dataset.id;
const mayDecide = page.dataset.may === "decide";
const head = document.getElementById("slide-head");
const panel = document.getElementById("cell");
const standing = () => head.querySelector(".slide-title").dataset;
const KEYS = { blast: "b", normal: "n", uncertain: "u", not_a_cell: "x" };

const attribution = page.dataset.attribution === "yes" ? new Attribution(slide) : null;
const place = document.getElementById("gallery");
const gallery = new Gallery(place, slide, showCell);

// ---- the chosen cell

let asked = 0;
function showCell(cell, byUser) {
  if (!cell) {
    panel.replaceChildren(make("p", { class: "soft" }, gallery.cells.length ? "No cell is like that." : "No cell has come in yet."));
    return;
  }
  const label = (name) => make("span", { class: `label is-${name}` }, icon(name), WORDS[name] ?? name);
  const large = cell.crop
    ? make("img", { class: "large", alt: `Cell ${cell.id}, as the device saw it` })
    : make("div", { class: "large" }, "The device sends pictures of suspicious cells only: none came of this one.");
  if (cell.crop) gallery.pictures.show(large, cell, true);
  const opinions = make("table", { class: "opinions" }, make("caption", {}, "probability of a blast"));
  const line = (who, what, p) => opinions.append(make("tr", {}, make("th", { scope: "row" }, who), make("td", {}, what), make("td", {}, p)));
  line("Model", label(cell.label), percent(cell.p));
  if (cell.second !== null) line("Second opinion", label(cell.second), percent(cell.secondP));
  if (cell.reviewed) line(cell.by, label(cell.reviewed), "");
  const differ = cell.second !== null && cell.second !== cell.label
    ? make("p", { class: "notice warn" }, icon("uncertain"), "The two opinions differ.") : null;
  const decide = make("div", { class: "decide", role: "group", "aria-label": "What this cell is" });
  if (mayDecide) {
    for (const [name, key] of Object.entries(KEYS)) {
      const button = make("button", { type: "button", "aria-pressed": String(cell.reviewed === name), "data-label": name, "aria-keyshortcuts": key }, label(name), make("kbd", { "aria-hidden": "true" }, key));
      button.addEventListener("click", () => decideOn(cell, name));
      decide.append(button);
    }
    const undo = make("button", { type: "button", class: "wide", "aria-keyshortcuts": "z" }, "Take back my last decision", make("kbd", { "aria-hidden": "true" }, "z"));
    undo.addEventListener("click", takeBack);
    const why = make("input", { type: "text", id: "why", class: "wide", maxlength: 2000, placeholder: "Reason, optional", "aria-label": "Reason, optional" });
    decide.append(why, undo);
  }
  const facts = [`frame ${cell.frame}`, `seen in ${cell.views === 1 ? "1 frame" : `${cell.views} frames`}`, cell.whole ? null : "cut by the edge", `found with ${percent(cell.score)}`];
  const keep = panel.contains(document.activeElement) ? document.activeElement.dataset.label ?? document.activeElement.id : null;
  panel.replaceChildren(
    make("div", { class: "pictures" }, large, attribution?.picture(cell)),
    attribution?.words() ?? "",
    make("h3", {}, `Cell ${cell.id}`),
    opinions,
    ...(differ ? [differ] : []),
    ...(mayDecide ? [decide] : []),
    make("p", { class: "soft" }, facts.filter(Boolean).join(" · ")),
    attribution?.figures() ?? "",
    make("ul", { class: "history" }),
  );
  if (keep) (panel.querySelector(`[data-label="${CSS.escape(keep)}"]`) ?? document.getElementById(keep))?.focus();
  clearTimeout(asked);
  if (cell.reviewed || cell.touched) asked = setTimeout(() => showHistory(cell), byUser ? 120 : 0);
}

async function showHistory(cell) {
  try {
    const { decisions } = await ask(`/slides/${slide}/cells/${cell.id}`);
    if (gallery.current !== cell) return;
    panel.querySelector(".history")?.replaceChildren(
      ...decisions.reverse().map((one) =>
        make("li", {}, `${one.user} ${one.did}: ${one.was === one.label ? "" : `${WORDS[one.was] ?? one.was} → `}${WORDS[one.label] ?? one.label}`, make("small", {}, one.at, one.reason ? `: ${one.reason}` : ""))),
    );
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
  }
}

// ---- decisions

function apply([id, reviewed, by]) {
  const cell = gallery.byId.get(id);
  if (!cell) return;
  Object.assign(cell, { reviewed, by, saving: false, touched: true });
  gallery.refresh(id);
}

async function decideOn(cell, label) {
  if (!cell || !mayDecide) return;
  const why = document.getElementById("why")?.value || null;
  cell.saving = true;
  gallery.refresh(cell.id);
  const fromGallery = place.contains(document.activeElement);
  if (fromGallery) gallery.next();
  try {
    const { decided } = await ask(`/slides/${slide}/cells/${cell.id}/decision`, { label, reason: why });
    apply(decided);
    say(`Cell ${cell.id}: ${WORDS[label]}, saved.`);
    showCounts();
  } catch (error) {
    cell.saving = false;
    gallery.refresh(cell.id);
    if (!(error instanceof Refused)) throw error;
    say(`Cell ${cell.id} was not changed. ${error.message}`, true);
  }
}

async function takeBack() {
  if (!mayDecide) return;
  try {
    const { decided } = await ask(`/slides/${slide}/undo`, {});
    apply(decided);
    gallery.chooseId(decided[0], true);
    const cell = gallery.byId.get(decided[0]);
    say(`Taken back: cell ${decided[0]} is ${WORDS[cell?.reviewed ?? cell?.label] ?? "as before"} again.`);
    showCounts();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    say(error.message, true);
  }
}

const atTheCells = () => place.contains(document.activeElement) || panel.contains(document.activeElement);
for (const [name, key] of Object.entries(KEYS)) {
  shortcut(key, () => {
    if (!atTheCells()) return false;
    decideOn(gallery.current, name);
    return true;
  });
}
shortcut("z", () => (atTheCells() ? (takeBack(), true) : false));
if (attribution) shortcut("a", () => attribution.toggle());
shortcut("c", () => gallery.choose(Math.max(0, gallery.chosen), true));

// ---- filters

const buttons = [...document.querySelectorAll("[data-filter]")];
function showCounts() {
  for (const button of buttons) button.querySelector(".n").textContent = gallery.count(button.dataset.filter).toLocaleString("en").replaceAll(",", "\u202f");
}
function filterBy(button) {
  for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
  gallery.setFilter(button.dataset.filter);
  const n = gallery.shown.length;
  document.getElementById("shown").textContent = n === gallery.cells.length ? "" : `${n} of ${gallery.cells.length} shown`;
}
for (const [at, button] of buttons.entries()) {
  button.addEventListener("click", () => filterBy(button));
  shortcut(String(at + 1), () => filterBy(button));
  button.title = `Key ${at + 1}`;
}

// ---- cells come in

async function fetchAll(first) {
  let { rows, after } = first;
  const all = [...rows];
  while (after) {
    ({ rows, after } = await ask(`/slides/${slide}/cells?after=${encodeURIComponent(after)}`));
    all.push(...rows);
    if (first.show) first.show(rows);
  }
  return all;
}

const first = JSON.parse(document.getElementById("first-cells").textContent);
gallery.add(first.rows);
performance.mark("first-cells");
showCounts();
fetchAll({ ...first, show: (rows) => { gallery.add(rows); showCounts(); } })
  .catch((error) => say(error.message, true))
  .finally(() => place.setAttribute("aria-busy", "false"));

// ---- news

let fetched = 0;
live(`/events?slide=${slide}`, async () => {
  const news = await ask(`/slides/${slide}/news?since=${standing().decisions}`, undefined, true);
  swap(head, news.head);
  swap(document.getElementById("signatures"), news.signatures);
  swap(document.getElementById("quality"), news.quality);
  news.decided.forEach(apply);
  showCounts();
  if (news.cells !== gallery.cells.length || standing().running === "yes") {
    if (Date.now() - fetched > 2500) {
      fetched = Date.now();
      const { rows, after } = await ask(`/slides/${slide}/cells`, undefined, true);
      gallery.replace(await fetchAll({ rows, after }));
      showCounts();
      drawn.again();
    }
  }
});

function swap(into, html) {
  const focused = into.contains(document.activeElement) ? document.activeElement.dataset.keep : null;
  const parsed = new DOMParser().parseFromString(html, "text/html");
  into.replaceChildren(...parsed.body.childNodes);
  if (focused) into.querySelector(`[data-keep="${CSS.escape(focused)}"]`)?.focus();
}

const drawn = drawWhenSeen(document.getElementById("chart"), document.getElementById("chart-table"), `/slides/${slide}/points`, page.dataset.plotly);

// ---- signatures

const signing = document.getElementById("sign");
const form = document.getElementById("sign-form");
let seen = null;
function openSign() {
  const button = document.getElementById("sign-open");
  if (!button || button.disabled) {
    if (button) say("The slide is still under way: it can be signed when it has ended.", true);
    return;
  }
  const { standing: order, decisions, unreviewed, review, disposition } = standing();
  seen = { standing: order, decisions: Number(decisions) };
  form.reset();
  document.getElementById("sign-error").textContent = "";
  const lines = [];
  if (review === "signed" || review === "first") lines.push("You sign as second reader.");
  if (Number(unreviewed)) lines.push(`Nobody has looked at ${unreviewed} of the cells that were not cleared.`);
  if (disposition) lines.push(`The model says: ${form.querySelector(`[value="${disposition}"]`)?.parentElement.textContent.trim().toLowerCase()}. Whoever concludes otherwise writes why.`);
  document.getElementById("sign-about").textContent = lines.join(" ");
  signing.showModal();
  form.querySelector("input[type=radio]").focus();
}

async function send(dialog, error, path, body, done) {
  try {
    await ask(path, body);
    dialog.close();
    say(done);
  } catch (refused) {
    if (!(refused instanceof Refused)) throw refused;
    error.textContent = refused.message;
  }
}

if (signing) {
  shortcut("s", openSign);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const values = new FormData(form);
    const body = { conclusion: values.get("conclusion"), comment: values.get("comment") || null, ...seen };
    send(signing, document.getElementById("sign-error"), `/slides/${slide}/signature`, body, "Signed.");
  });
}
const reopening = document.getElementById("reopen");
head.addEventListener("click", (event) => {
  if (event.target.closest("#sign-open")) openSign();
  if (event.target.closest("#reopen-open")) reopening.showModal();
});
document.getElementById("reopen-form")?.addEventListener("submit", (event) => {
  event.preventDefault();
  const reason = new FormData(event.target).get("reason");
  send(reopening, document.getElementById("reopen-error"), `/slides/${slide}/reopen`, { reason }, "Taken up again.");
});
