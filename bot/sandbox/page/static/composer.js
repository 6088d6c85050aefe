// The message box with hints for commands and mentions, and file uploads.

import { h, icon, send, toast, store, stored } from "./dom.js";
import { world } from "./world.js";
import { base64 } from "./messages.js";

const recent = () => stored("recent", []);

/** composer creates a message box for the current channel, or for a thread in it. */
export function composer(place) {
  const { label, threadTS, id } = place;
  let choices = [];
  let picked = -1;
  let past = -1;
  let busy = false;
  const list = h("ul", { class: "hints", role: "listbox", id: id + "-hints", hidden: true });
  const box = h("textarea", { id: id + "-text", rows: "1", "data-testid": id + "-text", "aria-label": label, placeholder: label, autocomplete: "off", spellcheck: "true",
    role: "combobox", "aria-expanded": "false", "aria-controls": id + "-hints", "aria-autocomplete": "list",
    oninput: () => { grow(); past = -1; suggest(); }, onkeydown: key, onblur: () => setTimeout(hide, 150) });
  const attach = h("input", { type: "file", id: id + "-file", class: "hidden-input", "aria-label": "Attach a file", onchange: () => { const f = attach.files[0]; attach.value = ""; if (f) upload(f); } });
  const go = h("button", { type: "submit", class: "primary", "data-testid": id + "-send", "aria-label": "Send" }, icon("send"));
  const form = h("form", { class: "composer", onsubmit: (e) => { e.preventDefault(); post(); } }, list,
    h("label", { class: "button plain attach", for: id + "-file", title: "Attach a file" }, icon("clip")), attach, box, go);
  const key_ = () => [world.user, place.channel || world.channel, threadTS || ""].join("/");
  form.draft = { save: () => drafts.set(form.for, box.value), load: () => { form.for = key_(); box.value = drafts.get(form.for) || ""; grow(); hide(); } };

  function grow() {
    box.style.height = "auto";
    box.style.height = Math.min(box.scrollHeight, 180) + "px";
  }

  function hide() {
    choices = [];
    picked = -1;
    list.hidden = true;
    box.setAttribute("aria-expanded", "false");
    box.removeAttribute("aria-activedescendant");
  }

  /** candidates returns the hints for the text at the caret: commands, people or channels. */
  function candidates() {
    const text = box.value;
    const before = text.slice(0, box.selectionStart);
    if (!threadTS && before.startsWith("/") && !before.includes("\n")) {
      const typed = before.toLowerCase();
      const known = (world.state.commands || []).filter((c) => c.text.startsWith(typed) && c.text.trim() !== typed.trim());
      const mine = recent().filter((t) => t.toLowerCase().startsWith(typed) && t !== text).slice(0, 3).map((t) => ({ text: t, help: "recent" }));
      return [...mine, ...known].map((c) => ({ ...c, from: 0, shown: c.text }));
    }
    const m = /(?:^|\s)([@#])([\w.-]*)$/.exec(before);
    if (!m) return [];
    const from = before.length - m[2].length - 1;
    const of = m[1] === "@"
      ? [...world.state.people.map((p) => ({ name: p.name, help: p.real_name })), ...world.state.groups.filter((g) => !g.disabled).map((g) => ({ name: g.handle, help: g.name || "group" }))]
      : world.state.channels.filter((c) => c.name).map((c) => ({ name: c.name, help: c.topic || "" }));
    const typed = m[2].toLowerCase();
    return of.filter((x) => x.name.startsWith(typed) || x.help.toLowerCase().startsWith(typed)).map((x) => ({ text: m[1] + x.name + " ", shown: m[1] + x.name, help: x.help, from }));
  }

  /** unfinished reports whether the typed command ends in the middle of a word, so that Enter completes it. */
  function unfinished() {
    const typed = box.value.toLowerCase();
    return typed.startsWith("/") && !typed.includes("\n") && !(world.state.commands || []).some((c) => (c.text.trim() + " ").startsWith(typed.trimEnd() + " ")) &&
      choices.some((c) => c.help !== "recent" && c.from === 0);
  }

  function suggest() {
    choices = candidates().slice(0, 9);
    picked = -1;
    list.hidden = choices.length === 0;
    box.setAttribute("aria-expanded", String(!list.hidden));
    list.replaceChildren(...(choices.length ? [h("li", { class: "keys", role: "presentation" }, "↑ ↓ choose · Tab or Enter complete · Esc close")] : []), ...choices.map((c, i) => h("li", { role: "option", id: `${id}-hint-${i}`, "data-testid": "hint", onmousedown: (e) => { e.preventDefault(); take(i); } }, h("code", {}, c.shown), h("small", {}, c.help))));
    if (unfinished()) mark(choices.findIndex((c) => c.help !== "recent"));
  }

  function mark(i) {
    picked = (i + choices.length) % choices.length;
    const options = list.querySelectorAll("[role=option]");
    options.forEach((li, n) => li.setAttribute("aria-selected", String(n === picked)));
    options[picked].scrollIntoView({ block: "nearest" });
    box.setAttribute("aria-activedescendant", `${id}-hint-${picked}`);
  }

  function take(i) {
    const c = choices[i];
    const end = box.selectionStart;
    box.value = box.value.slice(0, c.from) + c.text + box.value.slice(c.from === 0 && c.text[0] === "/" ? box.value.length : end);
    const caret = c.from + c.text.length;
    box.setSelectionRange(caret, caret);
    grow();
    hide();
    box.focus();
    if (c.text.endsWith(" ") && c.text[0] === "/") suggest();
  }

  function key(e) {
    const open = choices.length > 0;
    if (open && (e.key === "ArrowDown" || e.key === "ArrowUp")) {
      e.preventDefault();
      mark(picked + (e.key === "ArrowDown" ? 1 : picked < 0 ? 0 : -1));
    } else if (open && (e.key === "Tab" || e.key === "Enter") && !e.shiftKey && (picked >= 0 || e.key === "Tab")) {
      e.preventDefault();
      take(Math.max(0, picked));
    } else if (open && e.key === "Escape") {
      e.preventDefault();
      hide();
    } else if (e.key === "Enter" && !e.shiftKey && !e.isComposing) {
      e.preventDefault();
      post();
    } else if (!open && e.key === "ArrowUp" && (box.value === "" || past >= 0) && recent().length) {
      e.preventDefault();
      past = Math.min(past + 1, recent().length - 1);
      box.value = recent()[past];
      grow();
    }
  }

  async function post() {
    const text = box.value.trim();
    if (!text || busy) return;
    hide();
    const to = { user: world.user, channel: place.channel || world.channel };
    const isCommand = text.startsWith("/");
    if (isCommand && threadTS) {
      toast(`${text.split(" ")[0]} is not supported in threads, as in Slack. Type it in the channel.`);
      return;
    }
    busy = true;
    form.setAttribute("aria-busy", "true");
    try {
      if (isCommand) {
        store("recent", [text, ...recent().filter((t) => t !== text)].slice(0, 20));
        await send("/api/command", { ...to, text });
      } else await send("/api/message", { ...to, text, thread_ts: threadTS });
      if (box.value.trim() === text) box.value = "";
      drafts.delete(form.for);
      past = -1;
      place.posted?.();
    } catch (e) {
      toast(e.message);
    } finally {
      busy = false;
      form.removeAttribute("aria-busy");
      grow();
    }
  }

  async function upload(f) {
    const data = new Uint8Array(await f.arrayBuffer());
    try {
      await send("/api/upload", { user: world.user, channel: place.channel || world.channel, name: f.name, content: base64(data), comment: box.value, thread_ts: threadTS });
      box.value = "";
      grow();
    } catch (e) {
      toast(e.message);
    }
  }
  return form;
}

const drafts = new Map(); // unsent texts by person and place
