// Block Kit's layout blocks. A surface contains their state and handles actions:
//   {kind: "message" | "view", state: values by block and action, fields: [], use(action) → Promise}
// Interactive elements are in elements.js.

import { h, icon } from "./dom.js";
import { words, plain, markdown, link, mentionUser, mentionChannel, mentionGroup, mentionDate } from "./text.js";
import { emojiText } from "./emoji.js";
import { world } from "./world.js";
import { element } from "./elements.js";

/** blocks renders a list of blocks, with a placeholder for unknown types. */
export function blocks(list, surface) {
  return (list || []).map((b) => {
    const draw = drawers[b.type];
    const el = draw ? draw(b, surface) : h("p", { class: "unknown" }, `Blocks of type ${b.type} are not supported.`);
    el.classList.add("block", "block-" + b.type);
    if (b.block_id) el.dataset.blockId = b.block_id;
    return el;
  });
}

const drawers = {
  header: (b) => h("h3", {}, plain(b.text.text)),
  divider: () => h("hr"),
  markdown: (b) => markdown(b.text),
  section(b, surface) {
    const body = h("div", { class: "section-body" }, b.text ? words(b.text) : null,
      b.fields ? h("div", { class: "fields" }, b.fields.map((f) => h("div", { class: "field" }, words(f)))) : null);
    if (!b.accessory) return h("div", {}, body);
    const side = b.accessory.type === "image" ? picture(b.accessory, true) : element(b.accessory, b, surface);
    return h("div", { class: "with-accessory" }, body, h("div", { class: "accessory" }, side));
  },
  context: (b) => h("div", {}, b.elements.map((e) => (e.type === "image" ? picture(e, true) : words(e)))),
  actions: (b, surface) => h("div", {}, b.elements.map((e) => element(e, b, surface))),
  image: (b) => h("figure", {}, b.title ? h("figcaption", {}, plain(b.title.text)) : null, picture(b, false)),
  input(b, surface) {
    const id = "f" + ++numbers;
    const group = ["checkboxes", "radio_buttons", "multi_static_select", "multi_users_select", "multi_conversations_select", "multi_channels_select"].includes(b.element.type);
    const title = [plain(b.label.text), b.optional ? h("span", { class: "optional" }, " (optional)") : null];
    const control = element(b.element, b, surface, id);
    const error = h("p", { class: "error", id: id + "-error", role: "alert", "data-testid": "field-error", hidden: true });
    const hint = b.hint ? h("p", { class: "hint", id: id + "-hint" }, plain(b.hint.text)) : null;
    control.setAttribute("aria-describedby", [hint?.id, error.id].filter(Boolean).join(" "));
    if (!b.optional && !group) control.setAttribute("aria-required", "true");
    return h(group ? "fieldset" : "div", {}, group ? h("legend", {}, title) : h("label", { for: id }, title), control, hint, error);
  },
  rich_text: (b) => h("div", {}, b.elements.map(rich)),
  table: (b) => h("div", { class: "table" }, h("table", {}, b.rows.map((r, i) =>
    h("tr", {}, r.map((c) => h(i ? "td" : "th", {}, c.type === "rich_text" ? c.elements.map(rich) : c.text)))))),
  file: (b) => h("p", { class: "placeholder" }, "Remote file " + b.external_id),
  video: (b) => h("p", { class: "placeholder" }, "▶ ", plain(b.title.text), " – ", b.alt_text),
};
let numbers = 0;

/** picture shows an image of the workspace, or the alternative text of an external image. */
function picture(p, small) {
  const own = p.slack_file?.id && world.state?.files.find((f) => f.id === p.slack_file.id);
  if (own) return h("img", { src: `/files/${own.id}?user=${world.user}`, alt: p.alt_text, class: small ? "small" : "" });
  return h("span", { class: "placeholder" + (small ? " small" : ""), role: "img", "aria-label": p.alt_text, title: p.image_url || "" }, icon("picture"), small ? null : " " + p.alt_text);
}

function rich(e) {
  switch (e.type) {
    case "rich_text_section": return h("div", { class: "rich" }, e.elements.map(part));
    case "rich_text_quote": return h("blockquote", {}, e.elements.map(part));
    case "rich_text_preformatted": return h("pre", {}, e.elements.map((x) => x.text ?? x.url ?? ""));
    case "rich_text_list": {
      const list = h(e.style === "ordered" ? "ol" : "ul", { start: e.offset ? String(e.offset + 1) : null }, e.elements.map((x) => h("li", {}, x.elements.map(part))));
      list.style.marginLeft = (e.indent || 0) * 1.4 + "em";
      return list;
    }
  }
  return h("span", {}, e.type);
}

function part(e) {
  let node;
  switch (e.type) {
    case "text": node = h("span", { class: "pre-line" }, e.text); break;
    case "link": node = link(e.url, e.text || e.url); break;
    case "user": node = mentionUser(e.user_id); break;
    case "channel": node = mentionChannel(e.channel_id); break;
    case "usergroup": node = mentionGroup(e.usergroup_id); break;
    case "broadcast": node = h("span", { class: "mention me" }, "@" + e.range); break;
    case "emoji": node = h("span", { class: "emoji" }, emojiText(e.name)); break;
    case "date": node = mentionDate(e.timestamp, e.format || "{date}", e.url, e.fallback || ""); break;
    case "color": node = h("code", {}, e.value); break;
    default: node = h("span", {}, e.type);
  }
  const style = e.style || {};
  if (style.code) node = h("code", {}, node);
  if (style.bold) node = h("strong", {}, node);
  if (style.italic) node = h("em", {}, node);
  if (style.strike) node = h("s", {}, node);
  return node;
}

/** attachments renders the legacy attachments of a message. */
export function attachments(list, surface) {
  return (list || []).map((a) => {
    const el = h("div", { class: "attachment" }, a.pretext ? words({ type: "mrkdwn", text: a.pretext }) : null,
      a.title ? h("strong", {}, a.title_link ? link(a.title_link, a.title) : a.title) : null,
      a.blocks ? blocks(a.blocks, surface) : a.text ? words({ type: "mrkdwn", text: a.text }) : null,
      (a.fields || []).map((f) => h("div", { class: "field" }, h("strong", {}, f.title), words({ type: "mrkdwn", text: f.value }))),
      a.footer ? h("small", {}, a.footer) : null);
    if (/^#?[0-9a-f]{6}$/i.test(a.color || "")) el.style.borderLeftColor = "#" + a.color.replace("#", "");
    return el;
  });
}
