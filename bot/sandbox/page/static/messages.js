// Messages of a channel and of a thread. A message is drawn again only if it
// changed, to not disturb input in other messages.

import { h, icon, keyed, send, avatar, working, bytes, confirm, edit } from "./dom.js";
import { world, nameOf, handleOf, clock, day, exact, tsDate } from "./world.js";
import { mrkdwn, unescape } from "./text.js";
import { blocks, attachments } from "./blocks.js";
import { emojiText } from "./emoji.js";

const system = /^(channel|group)_(join|leave|topic|purpose|name|archive|unarchive)$|^tombstone$/;
const quick = ["+1", "eyes", "white_check_mark", "pushpin", "raised_hand", "warning", "pray", "tada"];

/** showMessages updates the displayed messages. where is "channel" or "thread". fresh is the timestamp of the first unread message, or "". */
export function showMessages(box, channel, list, where, openThread, fresh = "") {
  const items = [];
  const fixed = (key, draw) => items.push({ key, print: key, draw });
  if (!list.length) fixed("empty", () => h("p", { class: "empty" }, "No messages yet."));
  let before = null;
  for (const m of joined(list)) {
    const date = day(tsDate(m.ts));
    if (where === "channel" && (!before || day(tsDate(before.ts)) !== date)) {
      fixed("day " + date, () => h("div", { class: "day", role: "separator" }, h("span", {}, date)));
      before = null;
    }
    if (fresh && m.ts === fresh) {
      fixed("fresh", () => h("div", { class: "day fresh", role: "separator", "data-testid": "fresh" }, h("span", {}, "New")));
      before = null;
    }
    const follows = Boolean(before && !system.test(m.subtype) && !system.test(before.subtype) && before.user === m.user && !before.ephemeral === !m.ephemeral && m.ts - before.ts < 300);
    const thread = world.state.threads.find((t) => t.channel === channel.id && t.ts === m.ts);
    items.push({ key: m.ts + (m.ephemeral ? " ephemeral" : ""), print: JSON.stringify([m, follows, world.user, nameOf(m.user), thread?.unread]), draw: () => message(m, channel, follows, where, openThread, thread) });
    before = m;
  }
  keyed(box, items);
}

/** joined folds the joins that follow each other into one line, as Slack does. */
function joined(list) {
  const out = [];
  for (const m of list) {
    const last = out[out.length - 1];
    if (m.subtype === "channel_join" && last?.subtype === "channel_join") {
      out[out.length - 1] = { ...last, people: [...(last.people || [last.user]), m.user], ts: last.ts };
    } else out.push(m);
  }
  return out;
}

function joinText(people) {
  const names = people.map((u) => nameOf(u));
  const shown = names.length > 3 ? names.slice(0, 2).concat(`${names.length - 2} others`) : names;
  return h("span", { title: names.join(", ") }, shown.slice(0, -1).join(", ") + " and " + shown[shown.length - 1] + " have joined the channel");
}

function message(m, channel, follows, where, openThread, thread) {
  const isApp = Boolean(m.bot_id);
  const at = tsDate(m.ts);
  const id = (where === "thread" ? "t-" : "m-") + m.ts;
  const time = h("time", { datetime: at.toISOString(), title: exact(at) }, clock(at));
  if (system.test(m.subtype)) {
    return h("article", { class: "message system", id, "data-testid": "message", "data-ts": m.ts }, h("div", {}, m.people ? joinText(m.people) : mrkdwn(m.text), where === "channel" ? replies(m, openThread, thread) : null), time);
  }
  const surface = { kind: "message", state: null, fields: [],
    use: (action) => send("/api/click", { user: world.user, channel: channel.id, ts: m.ts, ...action }) };
  const hasBlocks = m.blocks?.length > 0;
  const mine = m.notified?.includes(world.user) && channel.kind.endsWith("_channel");
  return h("article", { class: ["message", follows && "follows", m.ephemeral && "ephemeral", m.pinned && "pinned", mine && "mentions-me"].filter(Boolean).join(" "), id,
    "data-testid": "message", "data-ts": m.ts, "data-ephemeral": m.ephemeral ? "true" : null, "data-mentions-me": mine ? "true" : null, "aria-label": `${nameOf(m.user)} at ${clock(at)}` },
    avatar(nameOf(m.user), isApp),
    h("div", { class: "content" },
      m.pinned ? h("p", { class: "mark" }, icon("pin"), " pinned") : null,
      m.ephemeral ? h("p", { class: "mark" }, icon("eye"), " only visible to you") : null,
      m.broadcast ? h("p", { class: "mark" }, icon("reply"), where === "channel" ? [" replied in ", h("button", { type: "button", class: "link", onclick: () => openThread(m.thread_ts) }, "a thread")] : " also sent to the channel") : null,
      h("p", { class: "byline" }, h("strong", {}, nameOf(m.user)), isApp ? h("span", { class: "badge" }, "app") : null,
        time, m.edited ? h("span", { class: "edited" }, "(edited)") : null),
      h("div", { class: "text" }, hasBlocks ? blocks(m.blocks, surface) : m.text ? mrkdwn(m.text) : null, attachments(m.attachments, surface)),
      (m.files || []).map(file),
      (m.reactions || []).length ? h("div", { class: "reactions" }, m.reactions.map((r) => {
        const own = r.users.includes(world.user);
        const b = h("button", { type: "button", class: own ? "mine" : "", "data-testid": "reaction", "data-name": r.name, "aria-pressed": String(own), "aria-label": `${r.name}, ${r.count}`, title: `${r.users.map(handleOf).join(", ")}: ${r.name}`,
          onclick: () => working(b, () => send(own ? "/api/unreact" : "/api/react", { user: world.user, channel: channel.id, ts: m.ts, name: r.name })) }, emojiText(r.name), " ", r.count);
        return b;
      })) : null,
      where === "channel" ? replies(m, openThread, thread) : null),
    m.ephemeral ? null : tools(m, channel, where, openThread));
}

/** replies shows the number of replies, their authors and whether the person has unread ones. */
function replies(m, openThread, thread) {
  if (!m.replies) return null;
  const unread = thread?.unread.messages || 0;
  return h("button", { type: "button", class: "replies" + (unread ? " unread" : ""), "data-testid": "open-thread", "data-ts": m.ts, "data-unread": unread, onclick: () => openThread(m.ts) },
    h("span", { class: "faces", "aria-hidden": "true" }, (m.reply_users || []).slice(0, 4).map((u) => avatar(nameOf(u), u === world.state.bot.user_id))),
    h("b", {}, `${m.replies} ${m.replies === 1 ? "reply" : "replies"}`), unread ? h("span", { class: "pill" }, `${unread} new`) : null, h("small", {}, "last at " + clock(tsDate(m.latest_reply))));
}

function tools(m, channel, where, openThread) {
  const to = { user: world.user, channel: channel.id, ts: m.ts };
  if (!channel.member || channel.archived) return null;
  const menu = (label, sign, testid, items) => {
    const d = h("details", { class: "overflow", name: "tools" }, h("summary", { title: label, "aria-label": label, "data-testid": testid }, sign), h("div", { class: "menu" + (testid === "react" ? " emojis" : "") }, items(() => { d.open = false; })));
    return d;
  };
  const own = m.user === world.user && !m.bot_id;
  const shortcuts = (world.state.shortcuts || []).filter((s) => s.type === "message");
  const entry = (label, job, more = {}) => (close) => {
    const b = h("button", { type: "button", ...more, onclick: () => { close(); job(b); } }, label);
    return b;
  };
  const entries = [
    where === "channel" ? entry("Reply in a thread", () => openThread(m.thread_ts || m.ts), { "data-testid": "reply" }) : null,
    ...shortcuts.map((s) => entry([s.name, h("small", {}, world.state.bot.name + (s.description ? ": " + s.description : ""))], (b) => working(b, () => send("/api/shortcut", { ...to, callback_id: s.callback_id })), { "data-testid": "shortcut", "data-callback": s.callback_id })),
    m.pinned || where !== "channel" ? null : entry("Pin to the channel", (b) => working(b, () => send("/api/pin", to)), { "data-testid": "pin" }),
    own ? entry("Edit message", async (b) => {
      const text = await edit({ title: "Edit message", note: "An edit notifies nobody. The bot learns of it.", text: unescape(m.text) });
      if (text !== null) working(b, () => send("/api/edit", { ...to, text }));
    }, { "data-testid": "edit" }) : null,
    own ? entry("Delete message", async (b) => {
      if (await confirm({ title: "Delete message", text: "Delete this message? The bot learns of it.", confirm: "Delete", deny: "Cancel", danger: true })) working(b, () => send("/api/delete", to));
    }, { "data-testid": "delete", class: "danger" }) : null,
  ].filter(Boolean);
  return h("div", { class: "tools", role: "group", "aria-label": "Message actions" },
    menu("Add a reaction", icon("smile"), "react", (close) => quick.map((name) => {
      const b = h("button", { type: "button", title: name, "aria-label": name, "data-testid": "emoji", "data-name": name, onclick: () => { close(); working(b, () => send("/api/react", { ...to, name })); } }, emojiText(name));
      return b;
    })),
    entries.length ? menu("More actions", "⋯", "more", (close) => entries.map((draw) => draw(close))) : null);
}

const address = (f) => `/files/${f.id}?user=${encodeURIComponent(world.user)}`;

/** file shows a file. Text can be read on the page, and HTML in a sandboxed frame. */
export function file(f) {
  if (f.deleted) return h("div", { class: "file gone", "data-testid": "file-gone" }, "This file was deleted.");
  const readable = /^text\/|json|markdown/.test(f.mimetype) || /\.(md|txt|log|csv|ya?ml|ics)$/i.test(f.name);
  const html = /^text\/html/.test(f.mimetype);
  const image = /^image\//.test(f.mimetype);
  const pane = h("div", { class: "preview", hidden: true });
  const read = async () => (await fetch(address(f))).text();
  const open = h("button", { type: "button", "data-testid": "file-open", "aria-expanded": "false", onclick: async () => {
    pane.hidden = !pane.hidden;
    open.setAttribute("aria-expanded", String(!pane.hidden));
    if (pane.childElementCount) return;
    if (html || image) pane.append(html ? h("iframe", { sandbox: "", src: address(f), title: f.title }) : h("img", { src: address(f), alt: f.title }));
    else pane.append(h("pre", { tabindex: "0" }, await read()));
  } }, "Read");
  const own = f.user === world.user;
  const change = own && readable ? h("button", { type: "button", "data-testid": "file-edit", onclick: () => working(change, async () => {
    const text = await edit({ title: "Edit " + f.name, note: "The bot learns of the change.", text: await read(), rows: 12 });
    if (text !== null) await send("/api/file/edit", { user: world.user, file: f.id, content: base64(new TextEncoder().encode(text)) });
  }) }, "Edit") : null;
  const remove = own ? h("button", { type: "button", class: "danger", "data-testid": "file-delete", onclick: async () => {
    if (await confirm({ title: "Delete file", text: `Delete ${f.name} everywhere? The bot learns of it.`, confirm: "Delete", deny: "Cancel", danger: true })) working(remove, () => send("/api/file/delete", { user: world.user, file: f.id }));
  } }, "Delete") : null;
  return h("div", { class: "file", "data-testid": "file", "data-file-id": f.id, "data-name": f.name },
    h("div", { class: "file-head" }, h("span", { class: "file-icon", "aria-hidden": "true" }, (f.name.split(".").pop() || "file").slice(0, 4)),
      h("div", { class: "file-name" }, h("strong", {}, f.title || f.name), h("small", {}, `${f.name} · ${bytes(f.size)}`)),
      h("div", { class: "row" }, readable || html || image ? open : null,
        h("a", { class: "button", href: address(f), target: "_blank", rel: "noopener" }, "Open"),
        h("a", { class: "button", href: address(f) + "&download=1", "data-testid": "file-download" }, "Download"), change, remove)),
    pane);
}

/** base64 encodes bytes, in parts because a function call has a limited number of arguments. */
export function base64(data) {
  let raw = "";
  for (let i = 0; i < data.length; i += 0x8000) raw += String.fromCharCode(...data.subarray(i, i + 0x8000));
  return btoa(raw);
}
