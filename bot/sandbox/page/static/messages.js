// Messages of a channel and of a thread. A message is drawn again only if it
// changed, to not disturb input in other messages.

import { h, icon, keyed, send, avatar, working, bytes } from "./dom.js";
import { world, nameOf, handleOf, clock, day, exact, tsDate } from "./world.js";
import { mrkdwn } from "./text.js";
import { blocks, attachments } from "./blocks.js";
import { emojiText } from "./emoji.js";

const system = /^(channel|group)_(join|leave|topic|purpose|name|archive|unarchive)$/;

/** showMessages updates the displayed messages. where is "channel" or "thread". */
export function showMessages(box, channel, list, where, openThread) {
  const items = [];
  const fixed = (key, draw) => items.push({ key, print: key, draw });
  if (!list.length) fixed("empty", () => h("p", { class: "empty" }, "No messages yet."));
  let before = null;
  for (const m of list) {
    const date = day(tsDate(m.ts));
    if (where === "channel" && (!before || day(tsDate(before.ts)) !== date)) {
      fixed("day " + date, () => h("div", { class: "day", role: "separator" }, h("span", {}, date)));
      before = null;
    }
    const follows = Boolean(before && !system.test(m.subtype) && !system.test(before.subtype) && before.user === m.user && !before.ephemeral === !m.ephemeral && m.ts - before.ts < 300);
    items.push({ key: m.ts + (m.ephemeral ? " ephemeral" : ""), print: JSON.stringify([m, follows, world.user, nameOf(m.user)]), draw: () => message(m, channel, follows, where, openThread) });
    before = m;
  }
  keyed(box, items);
}

function message(m, channel, follows, where, openThread) {
  const isApp = Boolean(m.bot_id);
  const at = tsDate(m.ts);
  const id = (where === "thread" ? "t-" : "m-") + m.ts;
  if (system.test(m.subtype)) {
    return h("article", { class: "message system", id, "data-testid": "message", "data-ts": m.ts }, mrkdwn(m.text), h("time", { datetime: at.toISOString(), title: exact(at) }, clock(at)));
  }
  const surface = { kind: "message", state: null, fields: [],
    use: (action) => send("/api/click", { user: world.user, channel: channel.id, ts: m.ts, ...action }) };
  const hasBlocks = m.blocks?.length > 0;
  return h("article", { class: ["message", follows && "follows", m.ephemeral && "ephemeral", m.pinned && "pinned"].filter(Boolean).join(" "), id,
    "data-testid": "message", "data-ts": m.ts, "data-ephemeral": m.ephemeral ? "true" : null, "aria-label": `${nameOf(m.user)} at ${clock(at)}` },
    avatar(nameOf(m.user), isApp),
    h("div", { class: "content" },
      m.pinned ? h("p", { class: "mark" }, icon("pin"), " pinned") : null,
      m.ephemeral ? h("p", { class: "mark" }, icon("eye"), " only visible to you") : null,
      h("p", { class: "byline" }, h("strong", {}, nameOf(m.user)), isApp ? h("span", { class: "badge" }, "app") : null,
        h("time", { datetime: at.toISOString(), title: exact(at) }, clock(at)), m.edited ? h("span", { class: "edited" }, "(edited)") : null),
      h("div", { class: "text" }, hasBlocks ? blocks(m.blocks, surface) : m.text ? mrkdwn(m.text) : null, attachments(m.attachments, surface)),
      (m.files || []).map(file),
      (m.reactions || []).length ? h("div", { class: "reactions" }, m.reactions.map((r) => {
        const b = h("button", { type: "button", class: r.users.includes(world.user) ? "mine" : "", title: r.users.map(handleOf).join(", "),
          onclick: () => working(b, () => send("/api/react", { user: world.user, channel: channel.id, ts: m.ts, name: r.name })) }, emojiText(r.name), " ", r.count);
        return b;
      })) : null,
      m.replies && where === "channel" ? h("button", { type: "button", class: "replies", "data-testid": "open-thread", "data-ts": m.ts, onclick: () => openThread(m.ts) }, `${m.replies} ${m.replies === 1 ? "reply" : "replies"}`) : null),
    m.ephemeral ? null : tools(m, channel, where, openThread));
}

function tools(m, channel, where, openThread) {
  const to = { user: world.user, channel: channel.id, ts: m.ts };
  const tool = (label, sign, job) => {
    const b = h("button", { type: "button", title: label, "aria-label": label, onclick: () => job(b) }, sign);
    return b;
  };
  return h("div", { class: "tools" },
    where === "channel" ? tool("Reply in a thread", icon("reply"), () => openThread(m.ts)) : null,
    tool("React with a thumb", icon("thumb"), (b) => working(b, () => send("/api/react", { ...to, name: "+1" }))),
    tool("React with eyes", icon("eye"), (b) => working(b, () => send("/api/react", { ...to, name: "eyes" }))),
    m.pinned || where !== "channel" ? null : tool("Pin to the channel", icon("pin"), (b) => working(b, () => send("/api/pin", to))));
}

const address = (f) => `/files/${f.id}?user=${encodeURIComponent(world.user)}`;

/** file shows a file. Text can be read on the page, and HTML in a sandboxed frame. */
export function file(f) {
  const readable = /^text\/|json|markdown/.test(f.mimetype) || /\.(md|txt|log|csv|ya?ml|ics)$/i.test(f.name);
  const html = /^text\/html/.test(f.mimetype);
  const image = /^image\//.test(f.mimetype);
  const pane = h("div", { class: "preview", hidden: true });
  const open = h("button", { type: "button", "data-testid": "file-open", "aria-expanded": "false", onclick: async () => {
    pane.hidden = !pane.hidden;
    open.setAttribute("aria-expanded", String(!pane.hidden));
    if (pane.childElementCount) return;
    if (html || image) pane.append(html ? h("iframe", { sandbox: "", src: address(f), title: f.title }) : h("img", { src: address(f), alt: f.title }));
    else pane.append(h("pre", { tabindex: "0" }, await (await fetch(address(f))).text()));
  } }, "Read");
  return h("div", { class: "file", "data-testid": "file", "data-file-id": f.id, "data-name": f.name },
    h("div", { class: "file-head" }, h("span", { class: "file-icon", "aria-hidden": "true" }, (f.name.split(".").pop() || "file").slice(0, 4)),
      h("div", {}, h("strong", {}, f.title || f.name), h("small", {}, `${f.name} · ${bytes(f.size)}`)),
      readable || html || image ? open : null,
      h("a", { class: "button", href: address(f), target: "_blank", rel: "noopener" }, "Open"),
      h("a", { class: "button", href: address(f) + "&download=1", "data-testid": "file-download" }, "Download")),
    pane);
}
