// Parts of a page that are fetched anew when something changed: `data-part` says from where,
// `data-kinds` for which changes, `data-every` how often in any case. What somebody types into, has
// opened or looks at stays.
import { BACKGROUND, live, shortcut } from "./app.js";

const parts = [...document.querySelectorAll("[data-part]")];
const LEAST_MS = 1000;

function busy(part) {
  return [...part.querySelectorAll("input:not([type=hidden]), textarea, select")].some((field) => field === document.activeElement || field.value !== field.defaultValue && field.tagName !== "SELECT");
}

async function again(part) {
  if (busy(part)) {
    part.dataset.late = "yes";
    return;
  }
  delete part.dataset.late;
  const answer = await fetch(part.dataset.part, { headers: { Accept: "text/html", ...BACKGROUND } });
  const text = await answer.text(); // nothing is awaited after this: somebody may type meanwhile
  if (!answer.ok || answer.redirected || busy(part)) return;
  const parsed = new DOMParser().parseFromString(text, "text/html");
  const focused = part.contains(document.activeElement) ? document.activeElement : null;
  const region = focused?.getAttribute("aria-labelledby");
  const opened = [...part.querySelectorAll("details")].map((one) => one.open);
  const pictures = [...part.querySelectorAll("img[data-every]")];
  part.replaceChildren(...parsed.body.childNodes);
  part.querySelectorAll("details").forEach((one, at) => (one.open = opened[at] ?? false));
  part.querySelectorAll("img[data-every]").forEach((one, at) => pictures[at] && one.replaceWith(pictures[at]));
  if (focused?.id) document.getElementById(focused.id)?.focus();
  else if (region) part.querySelector(`[tabindex][aria-labelledby="${region}"]`)?.focus();
}

let waiting = 0;
let last = 0;
function soon() {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    last = Date.now();
    for (const part of parts) again(part);
  }, Math.max(0, last + LEAST_MS - Date.now()));
}

const kinds = new Set(parts.flatMap((part) => (part.dataset.kinds ?? "").split(" ")));
live("/events", async (changes) => {
  if (changes.length === 0 || changes.some(([kind]) => kind === "everything" || kinds.has(kind))) soon();
}, kinds.has("alert"));

addEventListener("focusout", () => {
  if (parts.some((part) => part.dataset.late)) setTimeout(soon, 300);
});
for (const part of parts) {
  const every = Number(part.dataset.every ?? 30000); // ages grow though nothing changes
  setInterval(() => document.hidden || again(part), every);
}

for (const picture of document.querySelectorAll("img[data-every]")) {
  const address = picture.getAttribute("src");
  picture.addEventListener("error", () => picture.classList.add("missing"));
  picture.addEventListener("load", () => picture.classList.remove("missing"));
  setInterval(() => {
    if (!document.hidden) picture.src = `${address}?at=${Date.now()}`;
  }, Number(picture.dataset.every));
}

function move(step) {
  const all = [...document.querySelectorAll("[data-step]")];
  const at = all.indexOf(document.activeElement);
  const next = all[Math.max(0, Math.min(all.length - 1, at < 0 ? (step > 0 ? 0 : all.length - 1) : at + step))];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}
shortcut("j", () => move(1));
shortcut("k", () => move(-1));
for (const select of document.querySelectorAll("#filters select")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}
