// What every page has: requests that name their session, words for screen readers, shortcuts,
// the theme, and whether the page is live.

export const csrf = document.querySelector('meta[name="csrf"]')?.content ?? "";

export class Refused extends Error {}

/** Marks what nobody asked for: it keeps no idle session open. */
export const BACKGROUND = { "X-Background": "1" };

/** Ask the server; what it refuses is a sentence for the user. `signal`: may end it before. */
export async function ask(path, body, background = false, signal = undefined) {
  const options = { signal, headers: { Accept: "application/json", ...(background ? BACKGROUND : {}) }, credentials: "same-origin" };
  if (body !== undefined) {
    options.method = "POST";
    options.headers["Content-Type"] = "application/json";
    options.headers["X-CSRF-Token"] = csrf;
    options.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Refused("The server does not answer. Nothing was saved.");
  }
  if (answer.status === 401) location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(sentence(said.error ?? `The server refused this (${answer.status})`));
  return said;
}

function sentence(line) {
  return line.charAt(0).toUpperCase() + line.slice(1) + (/[.!?]$/.test(line) ? "" : ".");
}

let clearing = 0;
/** Say something to everybody: on the screen for a while, and to a screen reader. */
export function say(line, bad = false) {
  const place = document.getElementById(bad ? "refused" : "said");
  place.textContent = line;
  clearTimeout(clearing);
  clearing = setTimeout(() => {
    document.getElementById("said").textContent = "";
    document.getElementById("refused").textContent = "";
  }, bad ? 9000 : 3500);
}

/** An icon of the page's sprite. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** An element with classes, attributes and children; text is text. */
export function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name === "class") made.className = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

// ---- shortcuts

const shortcuts = new Map();
/** What a key does while nobody types. */
export function shortcut(key, does) {
  shortcuts.set(key, does);
}

function typing(event) {
  return event.target.closest?.("input, textarea, select, [contenteditable]") || document.querySelector("dialog[open]");
}

let going = 0;
addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing || typing(event)) return;
  if (Date.now() - going < 1500) {
    going = 0;
    const link = document.querySelector(`nav [data-go="${CSS.escape(event.key)}"]`);
    if (link) {
      event.preventDefault();
      link.click();
      return;
    }
  }
  if (event.key === "g") going = Date.now();
  const does = shortcuts.get(event.key);
  if (does && does(event) !== false) event.preventDefault();
});

const help = document.getElementById("help");
const openHelp = () => help.showModal();
document.getElementById("help-open").addEventListener("click", openHelp);
shortcut("?", openHelp);
for (const dialog of document.querySelectorAll("dialog")) {
  dialog.addEventListener("click", (event) => {
    if (event.target.closest("[data-close]")) dialog.close();
  });
}

// ---- theme

const THEMES = ["auto", "light", "dark"];
const themeButton = document.getElementById("theme");
function showTheme() {
  const theme = document.documentElement.dataset.theme ?? "auto";
  themeButton.querySelector(".text").textContent = theme.charAt(0).toUpperCase() + theme.slice(1);
  dispatchEvent(new Event("theme"));
}
function nextTheme() {
  const now = document.documentElement.dataset.theme ?? "auto";
  const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
  if (next === "auto") {
    delete document.documentElement.dataset.theme;
    localStorage.removeItem("theme");
  } else {
    document.documentElement.dataset.theme = next;
    localStorage.setItem("theme", next);
  }
  showTheme();
}
themeButton.addEventListener("click", nextTheme);
shortcut("t", nextTheme);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("theme")));
showTheme();

// ---- live

const light = document.getElementById("live");
function showLive(state, text) {
  if (!light || light.dataset.state === state) return;
  light.dataset.state = state;
  light.querySelector(".text").textContent = text;
}

let lives = 0;
/**
 * Call `look` whenever something changed on the server, one call at a time; what comes meanwhile
 * is looked at after. Only while the page is seen: a browser has few connections to one host.
 * `alerts`: look at changes of alerts as well.
 */
export function live(address, look, alerts = false) {
  lives += 1;
  let stream = null;
  let heard = 0;
  let busy = false;
  let again = false;
  async function run(changes) {
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    try {
      await look(changes);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
    } finally {
      busy = false;
      if (again) {
        again = false;
        run([]);
      }
    }
  }
  function open() {
    if (stream || document.hidden) return;
    stream = new EventSource(address);
    heard = Date.now();
    const on = () => {
      heard = Date.now();
      showLive("on", "Live");
    };
    stream.addEventListener("open", (event) => {
      on();
      if (event.data === undefined) return; // the browser's own event: the server's comes after it
      dispatchEvent(new Event("alerts")); // what changed between the page and its stream is told by nobody
      run([]);
    });
    stream.addEventListener("beat", on);
    stream.addEventListener("change", (event) => {
      on();
      const changes = JSON.parse(event.data);
      if (changes.some(([kind]) => kind === "alert" || kind === "everything")) dispatchEvent(new Event("alerts"));
      if (alerts || changes.some(([kind]) => kind !== "alert")) run(changes);
    });
    stream.addEventListener("over", () => location.reload());
    stream.addEventListener("error", () => {
      showLive("off", "Not live");
      if (stream?.readyState === EventSource.CLOSED) {
        close();
        setTimeout(open, 4000);
      }
    });
  }
  function close() {
    stream?.close();
    stream = null;
  }
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      close();
      showLive("wait", "Paused");
    } else {
      open();
      run([]);
    }
  });
  // A cable that is pulled closes no connection: who hears nothing says so, and asks again.
  setInterval(() => {
    if (!stream || Date.now() - heard < 20_000) return;
    showLive("off", "Not live");
    close();
    open();
  }, 2000);
  addEventListener("pagehide", close);
  open();
}

// ---- alerts, on every page

const badge = document.getElementById("alert-count");
const unwatched = document.getElementById("unwatched");
let clearingNews = 0;

async function showAlerts() {
  let standing;
  try {
    standing = await ask("/alerts/standing", undefined, true);
  } catch {
    return;
  }
  const number = standing.unacknowledged;
  badge.hidden = number === 0;
  badge.classList.toggle("urgent", standing.urgent > 0);
  badge.querySelector(".n").textContent = number > 99 ? "99+" : number;
  unwatched.hidden = standing.watched;
  const before = Number(sessionStorage.getItem("alert-newest") ?? -1);
  sessionStorage.setItem("alert-newest", Math.max(before, standing.newest));
  const news = document.getElementById("alert-news");
  if (before >= 0 && standing.newest > before) {
    news.textContent = `${number} not acknowledged. Newest: ${standing.line}`;
    clearTimeout(clearingNews);
    clearingNews = setTimeout(() => (news.textContent = ""), 12000);
  } else if (number === 0) {
    news.textContent = "";
  }
}

if (badge) {
  addEventListener("alerts", showAlerts);
  showAlerts();
  setInterval(() => document.hidden || showAlerts(), 30000); // that nobody watches is no change
  // a page that shows nothing else live still hears of alerts
  addEventListener("DOMContentLoaded", () => {
    if (lives === 0) live("/events?alerts=true", async () => {});
  });
}
