// The worklist by keyboard, and alive.
import { BACKGROUND, live, shortcut } from "./app.js";

const rows = document.getElementById("rows");
const links = () => [...rows.querySelectorAll(".slide-link")];

function move(step) {
  const all = links();
  const at = all.indexOf(document.activeElement);
  const next = all[Math.max(0, Math.min(all.length - 1, at < 0 ? (step > 0 ? 0 : all.length - 1) : at + step))];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}
shortcut("j", () => move(1));
shortcut("k", () => move(-1));
shortcut("f", () => document.querySelector("#filters select").focus());

for (const select of document.querySelectorAll("#filters select")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}

live("/events", async () => {
  const address = new URL(location.href);
  address.searchParams.set("part", "true");
  const answer = await fetch(address, { headers: { Accept: "text/html", ...BACKGROUND } });
  const text = await answer.text(); // nothing is awaited after this: a key may move the focus meanwhile
  if (!answer.ok || answer.redirected) return;
  const parsed = new DOMParser().parseFromString(`<table><tbody>${text}</tbody></table>`, "text/html");
  const before = new Map([...rows.rows].map((row) => [row.dataset.slide, row.textContent]));
  const focused = document.activeElement?.id;
  rows.replaceChildren(...parsed.querySelector("tbody").children);
  for (const row of rows.rows) {
    const was = before.get(row.dataset.slide);
    const without = (text) => text.replace(/\d+\u202f(s|min|h|d)\s*$/, "");
    if (was === undefined || without(was) !== without(row.textContent)) row.classList.add("changed");
  }
  if (focused?.startsWith("slide-")) document.getElementById(focused)?.focus();
  document.querySelector(".empty")?.toggleAttribute("hidden", rows.rows.length > 0);
});
