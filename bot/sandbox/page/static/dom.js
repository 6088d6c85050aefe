// Helpers for the whole page: creating elements, sending requests and showing
// errors.

/** h creates an element. Children are nodes or texts. Texts are never parsed as markup. */
export function h(tag, attrs, ...children) {
  const el = document.createElement(tag);
  for (const [k, v] of Object.entries(attrs || {})) {
    if (v === undefined || v === null || v === false) continue;
    if (k.startsWith("on")) el.addEventListener(k.slice(2), v);
    else if (k === "class") el.className = v;
    else if (k === "dataset") for (const [d, x] of Object.entries(v)) { if (x !== undefined && x !== null) el.dataset[d] = x; }
    else if (["value", "checked", "disabled", "selected", "hidden", "open", "multiple"].includes(k)) el[k] = v;
    else el.setAttribute(k, v === true ? "" : v);
  }
  el.append(...shown(children));
  return el;
}

const shown = (children) => children.flat(4).filter((c) => c !== null && c !== undefined && c !== false);

/** fill replaces the children of an element. */
export function fill(el, ...children) { el.replaceChildren(...shown(children)); }

/** sync makes next the children of box with as few changes as possible. */
function sync(box, next) {
  const stay = new Set(next);
  for (const el of [...box.children]) if (!stay.has(el)) el.remove();
  next.forEach((el, i) => { if (box.children[i] !== el) box.insertBefore(el, box.children[i] || null); });
}

/** keyed shows a list of {key, print, draw} in box. Elements with an unchanged
    key and print are not drawn again and preserve their focus and open parts. Others
    preserve their open menu. */
export function keyed(box, items) {
  const old = new Map([...box.children].map((el) => [el.dataset.key, el]));
  sync(box, items.map(({ key, print, draw }) => {
    const el = old.get(key);
    if (el && el.print === print) return el;
    const fresh = draw();
    fresh.dataset.key = key;
    fresh.print = print;
    if (el) keepMenu(el, fresh);
    return fresh;
  }));
}

/** keepMenu opens the menu of a new element that was open in the old one. */
function keepMenu(from, to) {
  const menu = from.querySelector("details.overflow[open] > summary[data-testid]");
  const same = menu && to.querySelector(`details.overflow > summary[data-testid="${menu.dataset.testid}"]`);
  if (same) same.parentElement.open = true;
}

/** once draws the fixed part of an empty panel. A panel is emptied when another tool opens. */
export function once(panel, draw) {
  if (panel.childElementCount === 0) fill(panel, draw());
  return panel.querySelector(".list");
}

// Icons are drawn as SVG because not every machine has a font for them.
const strokes = {
  lock: "M4.5 7.500h7v6h-7zM5.7 7.500V5.300a2.3 2.3 0 0 1 4.6 0v2.2",
  pin: "M8 14v-4M4.5 10h7M5.5 10V7l-1-1.500V3h7v2.500L10.5 7v3",
  people: "M6 7.300a2.2 2.2 0 1 0 0-4.4 2.2 2.2 0 0 0 0 4.400zM1.8 13c0-2.3 1.9-3.7 4.2-3.700s4.2 1.4 4.2 3.700M10.5 3.200a2.1 2.1 0 0 1 0 4M12 9.700c1.4.5 2.3 1.7 2.3 3.3",
  clip: "M12.8 7.300l-5 5a2.9 2.9 0 0 1-4.1-4.100l5.2-5.200a1.9 1.9 0 0 1 2.7 2.700l-5.1 5.100a.9.9 0 0 1-1.3-1.300l4.6-4.6",
  eye: "M1.5 8S4 3.7 8 3.7 14.5 8 14.5 8 12 12.3 8 12.3 1.5 8 1.5 8zM8 9.800a1.8 1.8 0 1 0 0-3.6 1.8 1.8 0 0 0 0 3.600z",
  reply: "M2.5 3h11v8h-6L4.5 13.500V11h-2z",
  smile: "M8 14.200a6.2 6.2 0 1 0 0-12.4 6.2 6.2 0 0 0 0 12.400zM5.8 6.500h.1M10.2 6.500h.1M5.4 9.500c1.3 1.900 3.900 1.900 5.200 0",
  bolt: "M9 1.800L3.500 9.200h4L7 14.200l5.500-7.400h-4z",
  home: "M2.5 7.500L8 3l5.5 4.500M4 6.500V13h8V6.5",
  mail: "M2 4h12v8.500H2zM2 4.500l6 4.5 6-4.5",
  picture: "M2 3.500h12v9.500H2zM2 11l3.5-3.5 3 3 2-2L14 12M10.5 6.300h.1",
  send: "M2.5 8h10M8.5 4l4 4-4 4",
  cross: "M4 4l8 8M12 4l-8 8",
  calendar: "M2.5 4h11v9.500h-11zM2.5 7h11M5.5 2.500V5M10.5 2.500V5",
  link: "M6.5 9.500l3-3M7 5l1.5-1.500a2.7 2.7 0 0 1 4 4L11 9M9 11l-1.5 1.500a2.7 2.7 0 0 1-4-4L5 7",
  app: "M8 2.500l1 2 2.2-.4.3 2.2 2 1-1 1.9 1 1.9-2 1-.3 2.200L9 13.500l-1 .5-1-.5-2.2.4-.3-2.2-2-1 1-1.9-1-1.9 2-1 .3-2.200L7 4.500zM8 10.200a2 2 0 1 0 0-4 2 2 0 0 0 0 4z",
};

/** icon draws an icon of 16 by 16 pixels, hidden from screen readers. */
export function icon(name) {
  const ns = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(ns, "svg");
  for (const [k, v] of Object.entries({ viewBox: "0 0 16 16", width: "16", height: "16", class: "icon", "aria-hidden": "true" })) svg.setAttribute(k, v);
  const path = document.createElementNS(ns, "path");
  path.setAttribute("d", strokes[name]);
  svg.append(path);
  return svg;
}

export const $ = (id) => document.getElementById(id);

/** Failure is an error response of the server with its code. */
export class Failure extends Error {
  constructor(code, message) { super(message); this.code = code; }
}

async function read(response) {
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Failure(body.error?.code || "http_" + response.status, body.error?.message || "The sandbox did not respond.");
  return body;
}

export async function ask(path, params) {
  const query = new URLSearchParams(Object.entries(params || {}).filter(([, v]) => v !== undefined)).toString();
  return read(await fetch(path + (query ? "?" + query : "")));
}

export async function send(path, body) {
  return read(await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }));
}

/** toast shows a message for eight seconds. */
export function toast(text, kind = "bad") {
  const el = h("div", { class: "toast " + kind, "data-testid": "toast" }, text);
  const close = h("button", { type: "button", class: "plain", "aria-label": "Dismiss", onclick: () => el.remove() }, icon("cross"));
  el.append(close);
  document.getElementById("toasts").append(el);
  setTimeout(() => el.remove(), 8000);
}

/** working disables a control while job runs and shows the error if it fails. */
export async function working(control, job) {
  control.setAttribute("aria-busy", "true");
  control.disabled = true;
  try {
    return await job();
  } catch (e) {
    toast(e.message);
    return undefined;
  } finally {
    control.removeAttribute("aria-busy");
    control.disabled = false;
  }
}

/** shut closes a dialog. It restores the caret, because the browser restores only the focus. */
export function shut(dialog) {
  dialog.close();
  const el = document.activeElement;
  el?.blur();
  el?.focus();
}

/** confirm shows a confirmation dialog with the texts of a Block Kit confirm object. It resolves to true or false. */
export function confirm(texts) {
  const dialog = $("confirm");
  return new Promise((resolve) => {
    const done = (answer) => { shut(dialog); resolve(answer); };
    dialog.replaceChildren(
      h("h2", { id: "confirm-title" }, texts.title),
      h("p", {}, texts.text),
      h("footer", {},
        h("button", { type: "button", "data-testid": "confirm-deny", onclick: () => done(false) }, texts.deny),
        h("button", { type: "button", class: texts.danger ? "danger" : "primary", "data-testid": "confirm-yes", onclick: () => done(true) }, texts.confirm)));
    dialog.oncancel = () => resolve(false);
    dialog.showModal();
  });
}

/** edit asks for a text. It resolves to the new text, or to null if the person cancels. */
export function edit({ title, note, text, rows = 5 }) {
  const dialog = $("confirm");
  return new Promise((resolve) => {
    const done = (answer) => { shut(dialog); resolve(answer); };
    const box = h("textarea", { rows: String(rows), "aria-label": title, "data-testid": "edit-text" });
    box.value = text;
    dialog.replaceChildren(h("h2", { id: "confirm-title" }, title), box, h("p", { class: "hint" }, note),
      h("footer", {},
        h("button", { type: "button", "data-testid": "edit-cancel", onclick: () => done(null) }, "Cancel"),
        h("button", { type: "button", class: "primary", "data-testid": "edit-save", onclick: () => done(box.value) }, "Save")));
    dialog.oncancel = () => resolve(null);
    dialog.showModal();
    box.focus();
  });
}

/** store and stored access the browser's storage, which may be unavailable. */
export function store(name, value) {
  try { localStorage.setItem("sandbox." + name, JSON.stringify(value)); } catch { /* storage unavailable */ }
}
export function stored(name, otherwise) {
  try { return JSON.parse(localStorage.getItem("sandbox." + name)) ?? otherwise; } catch { return otherwise; }
}

/** hue returns the colour of a name, which does not change. */
export function hue(text) {
  let n = 7;
  for (const c of text) n = (n * 31 + c.codePointAt(0)) % 360;
  return n;
}

export function avatar(name, isApp) {
  const el = h("span", { class: "avatar" + (isApp ? " app" : ""), "aria-hidden": "true" },
    isApp ? icon("app") : name.split(/[\s._-]+/).filter(Boolean).slice(0, 2).map((w) => w[0].toUpperCase()).join(""));
  el.style.setProperty("--hue", hue(name));
  return el;
}

export function bytes(n) {
  if (n < 1024) return n + " B";
  if (n < 1 << 20) return (n / 1024).toFixed(n < 10240 ? 1 : 0) + " KB";
  return (n / (1 << 20)).toFixed(1) + " MB";
}
