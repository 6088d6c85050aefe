// Converts Slack's mrkdwn and the Markdown of markdown blocks to nodes. Foreign
// text becomes text nodes only and cannot inject markup.

import { h } from "./dom.js";
import { world, nameOf, channelOf, groupOf, dateText, exact } from "./world.js";
import { emoji, emojiText } from "./emoji.js";

const entities = { "&amp;": "&", "&lt;": "<", "&gt;": ">" };
export const unescape = (s) => s.replace(/&(amp|lt|gt);/g, (e) => entities[e]);

export function safeLink(url) { return /^(https?:\/\/|mailto:)/i.test(url); }

/** link creates a link. Links to the workspace open on the page. */
export function link(url, children) {
  if (!safeLink(url)) return h("span", {}, children);
  const here = world.state && `https://${world.state.team.domain}.slack.com/`;
  const to = here && url.startsWith(here) ? url.slice(here.length) : "";
  const attrs = { href: url, target: "_blank", rel: "noopener noreferrer" };
  const archive = /^archives\/([A-Z0-9]+)(?:\/p(\d{10})(\d{6}))?/.exec(to);
  const file = /^files\/[^/]+\/([A-Z0-9]+)/.exec(to);
  const room = /^https:\/\/slack\.com\/app_redirect\?(?:.*&)?channel=([A-Z0-9]+)/.exec(url);
  if (archive) attrs.onclick = (e) => { e.preventDefault(); world.jump(archive[1], archive[2] && archive[2] + "." + archive[3]); };
  if (room) attrs.onclick = (e) => { e.preventDefault(); world.jump(room[1]); };
  if (file) attrs.onclick = (e) => { e.preventDefault(); world.file(file[1]); };
  return h("a", attrs, children);
}

export function mentionUser(id) {
  return h("span", { class: "mention" + (id === world.user ? " me" : ""), "data-user": id, title: id }, "@" + nameOf(id));
}

export function mentionChannel(id, label) {
  const ch = channelOf(id);
  const text = ch ? "#" + ch.name : label ? "#" + label : "a private channel";
  return ch ? h("a", { class: "mention", href: `#${world.user}/${id}`, onclick: (e) => { e.preventDefault(); world.jump(id); } }, text) : h("span", { class: "mention" }, text);
}

export function mentionGroup(id, label) {
  const g = groupOf(id);
  const mine = g?.members.includes(world.user);
  return h("span", { class: "mention group" + (mine ? " me" : "") }, "@" + (g ? g.handle : (label || id).replace(/^@/, "")));
}

export function mentionDate(seconds, pattern, url, fallback) {
  const t = h("time", { datetime: new Date(seconds * 1000).toISOString(), title: exact(new Date(seconds * 1000)) }, Number.isFinite(+seconds) ? dateText(seconds, pattern) : fallback);
  return url ? link(url, t) : t;
}

/** angle renders the text between < and >. */
function angle(body) {
  const bar = body.indexOf("|");
  const [target, label] = bar < 0 ? [body, ""] : [body.slice(0, bar), body.slice(bar + 1)];
  switch (target[0]) {
    case "@": return mentionUser(target.slice(1));
    case "#": return mentionChannel(target.slice(1), unescape(label));
    case "!": {
      const [kind, ...rest] = target.slice(1).split("^");
      if (kind === "subteam") return mentionGroup(rest[0], unescape(label));
      if (kind === "date" && /^\d+$/.test(rest[0] || "")) return mentionDate(Number(rest[0]), unescape(rest[1] || ""), rest[2] && unescape(rest[2]), unescape(label));
      if (["here", "channel", "everyone"].includes(kind)) return h("span", { class: "mention me" }, "@" + kind);
      return document.createTextNode(unescape(label || target));
    }
  }
  return link(unescape(target), unescape(label || target.replace(/^mailto:/, "")));
}

const inside = "((?:<[^<>\\n]*>|[^<\\n])+?)";
const inlineMarks = new RegExp(`<([^<>\\n]+)>|\`([^\`\\n]+)\`|\\*${inside}\\*|_${inside}_|~${inside}~|:([a-z0-9_+'-]+):|(https?:\\/\\/[^\\s<>]*[^\\s<>.,;:!?)\\]"'])`, "g");
const word = /[\p{L}\p{N}]/u;

/** inline renders one line of mrkdwn. Of a verbatim text, plain addresses do not become links. */
export function inline(text, verbatim) {
  const out = [];
  let rest = 0;
  for (let m; (m = next(text, rest, verbatim));) {
    out.push(unescape(text.slice(rest, m.index)), m.node);
    rest = m.end;
  }
  out.push(unescape(text.slice(rest)));
  return out.filter((x) => x !== "");
}

/** next returns the next valid mark after a position. */
function next(text, from, verbatim) {
  const re = new RegExp(inlineMarks.source, "g");
  re.lastIndex = from;
  for (let m; (m = re.exec(text));) {
    const [all, angled, code, bold, italic, strike, name, url] = m;
    const end = m.index + all.length;
    const found = (node) => ({ index: m.index, end, node });
    if (angled) return found(angle(angled));
    if (code) return found(h("code", {}, unescape(code)));
    if (url && !verbatim) return found(link(unescape(url), unescape(url)));
    if (url) {
      re.lastIndex = end;
      continue;
    }
    if (name) {
      if (emoji[name]) return found(h("span", { class: "emoji", title: ":" + name + ":", role: "img", "aria-label": name }, emojiText(name)));
    } else {
      const body = bold ?? italic ?? strike;
      const free = !word.test(text[m.index - 1] || " ") && !word.test(text[end] || " ") && body === body.trim();
      if (free) return found(h(bold ? "strong" : italic ? "em" : "s", {}, inline(body, verbatim)));
    }
    re.lastIndex = m.index + 1;
  }
  return null;
}

function lines(text, verbatim) {
  const out = [];
  let quote = null;
  const flush = () => { if (quote) { out.push(h("blockquote", {}, quote)); quote = null; } };
  const all = text.split("\n");
  all.forEach((line, i) => {
    const m = /^(?:&gt;|>)\s?(.*)$/.exec(line);
    if (m) {
      quote = quote || [];
      if (quote.length) quote.push(h("br"));
      quote.push(...inline(m[1], verbatim));
      return;
    }
    const after = quote !== null;
    flush();
    if (i > 0 && !after) out.push(h("br"));
    out.push(...inline(line, verbatim));
  });
  flush();
  return out;
}

/** mrkdwn renders a text in Slack's markup. */
export function mrkdwn(text, verbatim = false) {
  const parts = String(text || "").split(/```/);
  if (parts.length % 2 === 0) parts.push(parts.splice(-2).join("```")); // an unclosed fence is plain text
  return h("div", { class: "mrkdwn" }, parts.map((part, i) =>
    i % 2 ? h("pre", {}, unescape(part.replace(/^\n|\n$/g, ""))) : lines(i ? part.replace(/^\n/, "") : part, verbatim)));
}

/** plain renders plain_text with emoji shortcodes and line breaks. */
export function plain(text) {
  return String(text || "").split(/(\n|:[a-z0-9_+'-]+:)/).map((p) => (p === "\n" ? h("br") : p[0] === ":" && emoji[p.slice(1, -1)] ? emojiText(p.slice(1, -1)) : p));
}

/** words renders a text object. */
export function words(t) {
  if (!t) return [];
  return t.type === "mrkdwn" ? mrkdwn(t.text, t.verbatim) : h("div", { class: "plain-text" }, plain(t.text));
}

// The subset of Markdown that messages use.

const mdMarks = /`([^`\n]+)`|\[([^\]\n]+)\]\(([^)\s]+)\)|\*\*([^\n]+?)\*\*|__([^\n]+?)__|\*([^*\n]+)\*|_([^_\n]+)_|~~([^\n]+?)~~|<((?:[@#!])[^<>\n]+)>|<(https?:[^<>\s]+)>|:([a-z0-9_+'-]+):/g;

function mdInline(text) {
  const out = [];
  let rest = 0;
  for (const m of text.matchAll(mdMarks)) {
    const [all, code, label, url, b1, b2, i1, i2, s, at, bare, name] = m;
    const before = text[m.index - 1] || " ";
    let node;
    if (code !== undefined) node = h("code", {}, code);
    else if (label !== undefined) node = link(url, mdInline(label));
    else if (b1 ?? b2) node = h("strong", {}, mdInline(b1 ?? b2));
    else if ((i1 ?? i2) && !(i2 && word.test(before))) node = h("em", {}, mdInline(i1 ?? i2));
    else if (s) node = h("s", {}, mdInline(s));
    else if (at) node = angle(at);
    else if (bare) node = link(bare, bare);
    else if (name && emoji[name]) node = emojiText(name);
    else continue;
    out.push(text.slice(rest, m.index), node);
    rest = m.index + all.length;
  }
  out.push(text.slice(rest));
  return out.filter((x) => x !== "");
}

const row = (line) => line.trim().replace(/^\||\|$/g, "").split("|").map((c) => c.trim());

/** markdown renders standard Markdown. */
export function markdown(text) {
  const out = [];
  const src = String(text).split("\n");
  for (let i = 0; i < src.length;) {
    const line = src[i];
    let m;
    if (!line.trim()) { i++; continue; }
    if ((m = /^\s*```/.exec(line))) {
      const body = [];
      for (i++; i < src.length && !/^\s*```/.test(src[i]); i++) body.push(src[i]);
      i++;
      out.push(h("pre", {}, body.join("\n")));
    } else if ((m = /^(#{1,6})\s+(.*)$/.exec(line))) {
      out.push(h("h" + Math.min(6, m[1].length + 2), {}, mdInline(m[2]))); i++;
    } else if (/^\s*([-*_])(\s*\1){2,}\s*$/.test(line)) {
      out.push(h("hr")); i++;
    } else if (/^\s*>/.test(line)) {
      const body = [];
      for (; i < src.length && /^\s*>/.test(src[i]); i++) body.push(src[i].replace(/^\s*>\s?/, ""));
      out.push(h("blockquote", {}, markdown(body.join("\n"))));
    } else if (/^\s*([-*+]|\d+[.)])\s+/.test(line)) {
      const ordered = /^\s*\d/.test(line);
      const items = [];
      for (; i < src.length && (m = /^(\s*)([-*+]|\d+[.)])\s+(\[[ xX]\]\s+)?(.*)$/.exec(src[i])); i++) {
        const li = h("li", { class: m[3] ? "task" : "" }, m[3] ? (/x/i.test(m[3]) ? "☑ " : "☐ ") : null, mdInline(m[4]));
        li.style.marginLeft = Math.floor(m[1].length / 2) * 1.2 + "em";
        items.push(li);
      }
      out.push(h(ordered ? "ol" : "ul", {}, items));
    } else if (line.includes("|") && /^[\s|:-]+$/.test(src[i + 1] || "") && (src[i + 1] || "").includes("-")) {
      const head = row(line);
      const body = [];
      for (i += 2; i < src.length && src[i].includes("|"); i++) body.push(row(src[i]));
      out.push(h("div", { class: "table" }, h("table", {}, h("thead", {}, h("tr", {}, head.map((c) => h("th", {}, mdInline(c))))),
        h("tbody", {}, body.map((r) => h("tr", {}, r.map((c) => h("td", {}, mdInline(c)))))))));
    } else {
      const body = [];
      for (; i < src.length && src[i].trim() && !/^(\s*>|\s*```|#{1,6}\s|\s*([-*+]|\d+[.)])\s)/.test(src[i]); i++) body.push(src[i]);
      if (!body.length) body.push(src[i++]);
      out.push(h("p", {}, body.flatMap((l, n) => (n ? [h("br"), ...mdInline(l)] : mdInline(l)))));
    }
  }
  return h("div", { class: "markdown" }, out);
}
