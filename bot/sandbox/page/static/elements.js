// Block Kit's interactive elements as controls of the browser. Elements with a
// value are added to surface.fields, which contain the values of a form.

import { h, working, confirm } from "./dom.js";
import { plain, words, safeLink } from "./text.js";
import { world, toLocal, fromLocal } from "./world.js";

/** valuesOf returns the values of the fields of a surface, by block and action. */
export function valuesOf(surface) {
  const out = {};
  for (const f of surface.fields) (out[f.block] ??= {})[f.action] = f.get();
  return out;
}

/** element renders an element of a block. id is for the label of an input. */
export function element(e, block, surface, id) {
  const draw = kinds[e.type];
  if (!draw) return h("span", { class: "unknown" }, e.type);
  const field = { block: block.block_id, action: e.action_id, type: e.type, get: () => null };
  const marks = { "data-testid": "action", "data-action-id": e.action_id, "data-block-id": block.block_id, "data-type": e.type };
  // Inputs of a form are only filled in. Changes of all other elements are sent to the app immediately.
  const dispatches = block.type !== "input" || block.dispatch_action === true;
  const changed = (control, typing) => { if (dispatches) use(e, block, surface, field.get(), control, typing); };
  const state = surface.state?.[block.block_id]?.[e.action_id];
  const el = draw({ e, block, surface, id, field, marks, state, changed, dispatches });
  if (field.stateful) surface.fields.push(field);
  return el;
}

async function use(e, block, surface, value, control, typing) {
  if (e.confirm) {
    const c = e.confirm;
    if (!(await confirm({ title: plain(c.title.text), text: words(c.text), confirm: c.confirm.text, deny: c.deny.text, danger: c.style === "danger" }))) return;
  }
  const act = () => surface.use({ action_id: e.action_id, block_id: block.block_id, value, values: valuesOf(surface), typing });
  // The person goes on typing, so the control stays enabled. The form may close before the text arrives, as in Slack.
  if (typing) await act().catch(() => {});
  else await working(control, act);
}

// shown reports whether a person still sees a control. The form may have closed meanwhile.
const shown = (control) => control.isConnected && (control.closest("dialog")?.open ?? true);

const hint = (e, otherwise) => e.placeholder?.text || otherwise;

/** options returns the options or option groups of a menu. */
function options(e) {
  const of = (o) => ({ value: o.value, label: o.text.text, text: o.text, description: o.description });
  if (e.option_groups) return e.option_groups.map((g) => ({ label: g.label.text, options: g.options.map(of) }));
  return (e.options || []).map(of);
}

const people = () => world.state.people.map((p) => ({ value: p.id, label: p.real_name + (p.department ? " – " + p.department : "") }));
const conversations = () => world.state.channels.filter((c) => c.name).map((c) => ({ value: c.id, label: "#" + c.name }));
const files = () => world.state.files.map((f) => ({ value: f.id, label: f.name }));

function single(read, first) {
  return ({ e, id, field, marks, state, changed }) => {
    const now = first(state, e) ?? "";
    const option = (o) => h("option", { value: o.value, selected: o.value === now }, o.label);
    const menu = h("select", { ...marks, id, "aria-label": id ? null : hint(e, "Choose"), onchange: () => changed(menu) },
      h("option", { value: "" }, hint(e, "Choose…")),
      read(e).map((o) => (o.options ? h("optgroup", { label: o.label }, o.options.map(option)) : option(o))));
    menu.value = now;
    Object.assign(field, { stateful: true, get: () => menu.value || null, set: (v) => { menu.value = v ?? ""; } });
    return menu;
  };
}

/** several renders a list of checkboxes or radio buttons, with a filter if it is long. */
function several(read, first, type = "checkbox") {
  return ({ e, id, field, marks, state, changed }) => {
    const now = first(state, e) || [];
    const list = read(e).flatMap((o) => o.options || [o]);
    const name = "g" + Math.random().toString(36).slice(2);
    const rows = list.map((o) => {
      const box = h("input", { type, name, value: o.value, checked: now.includes(o.value), onchange: () => { chips(); changed(box); } });
      return h("label", { class: "choice", "data-value": o.value }, box, h("span", {}, o.text ? words(o.text) : o.label, o.description ? h("small", {}, words(o.description)) : null));
    });
    const boxes = () => rows.map((r) => r.querySelector("input"));
    const count = h("small", { class: "count" });
    const chips = () => { count.textContent = list.length > 8 ? boxes().filter((b) => b.checked).length + " chosen" : ""; };
    chips();
    const filter = list.length > 8 ? h("input", { type: "search", placeholder: "Filter…", "aria-label": "Filter the choices", oninput: () => rows.forEach((r) => { r.hidden = !r.textContent.toLowerCase().includes(filter.value.toLowerCase()); }) }) : null;
    const get = () => boxes().filter((b) => b.checked).map((b) => b.value);
    Object.assign(field, { stateful: true, get: type === "radio" ? () => get()[0] ?? null : get,
      set: (v) => { boxes().forEach((b) => { b.checked = [].concat(v ?? []).includes(b.value); }); chips(); } });
    return h("div", { ...marks, class: "choices", id, role: type === "radio" ? "radiogroup" : "group" }, filter, h("div", { class: list.length > 8 ? "scroll" : "" }, rows), count);
  };
}

function input(type, first, attrs = () => ({}), toValue = (v) => v || null, fromValue = (v) => v ?? "") {
  return ({ e, block, id, field, marks, state, changed, dispatches }) => {
    const many = e.multiline || type === "rich";
    const on = e.dispatch_action_config?.trigger_actions_on || ["on_enter_pressed"];
    let timer;
    const control = h(many ? "textarea" : "input", {
      ...marks, id, type: many ? null : type, rows: many ? "4" : null, placeholder: e.placeholder?.text, maxlength: e.max_length ? String(e.max_length) : null,
      "aria-label": id ? null : hint(e, e.type), autocomplete: "off", ...attrs(e),
      onchange: () => { if (block.type !== "input" || ["date", "time", "datetime-local"].includes(type)) changed(control); },
      oninput: () => { if (dispatches && on.includes("on_character_entered")) { clearTimeout(timer); timer = setTimeout(() => { if (shown(control)) changed(control, true); }, 600); } },
      onkeydown: (ev) => { if (ev.key === "Enter" && dispatches && !many && on.includes("on_enter_pressed")) { ev.preventDefault(); changed(control); } },
    });
    control.value = fromValue(first(state, e));
    Object.assign(field, { stateful: true, get: () => toValue(control.value), set: (v) => { control.value = fromValue(v); } });
    return control;
  };
}

const text = (state, e) => (state ? state.value : e.initial_value);
const option = (state, e) => (state ? state.selected_option?.value : e.initial_option?.value);
const optionList = (state, e) => (state ? state.selected_options : e.initial_options)?.map((o) => o.value);
const of = (now, initial) => (state, e) => (state ? state[now] : e[initial]);

const richOut = (v) => (v ? { type: "rich_text", elements: [{ type: "rich_text_section", elements: [{ type: "text", text: v }] }] } : null);
const richIn = (v) => (v?.elements || []).map((s) => (s.elements || []).map((x) => x.text || "").join("")).join("\n");

const kinds = {
  button({ e, block, surface, marks }) {
    const style = e.style === "primary" ? "primary" : e.style === "danger" ? "danger" : "";
    const attrs = { ...marks, "data-value": e.value, type: "button", class: style, "aria-label": e.accessibility_label || null, title: e.text.text.length > 30 ? e.text.text : null };
    const button = h("button", { ...attrs, onclick: () => {
      if (e.url && safeLink(e.url)) window.open(e.url, "_blank", "noopener");
      use(e, block, surface, e.value, button);
    } }, plain(e.text.text), e.url ? " ↗" : "");
    return button;
  },
  workflow_button: ({ e, marks }) => h("button", { ...marks, type: "button", disabled: true, title: "The sandbox does not support workflows" }, plain(e.text.text)),
  overflow({ e, block, surface, marks }) {
    const menu = h("details", { class: "overflow" }, h("summary", { ...marks, "aria-label": "More" }, "⋯"),
      h("div", { class: "menu" }, e.options.map((o) => {
        const item = h("button", { type: "button", "data-testid": "option", "data-value": o.value, onclick: () => {
          menu.open = false;
          if (o.url && safeLink(o.url)) window.open(o.url, "_blank", "noopener");
          use(e, block, surface, o.value, item);
        } }, plain(o.text.text), o.description ? h("small", {}, plain(o.description.text)) : null);
        return item;
      })));
    return menu;
  },
  static_select: single(options, option),
  external_select: single(() => [], option),
  users_select: single(people, of("selected_user", "initial_user")),
  conversations_select: single(conversations, of("selected_conversation", "initial_conversation")),
  channels_select: single(conversations, of("selected_channel", "initial_channel")),
  multi_static_select: several(options, optionList),
  multi_external_select: several(() => [], optionList),
  multi_users_select: several(people, of("selected_users", "initial_users")),
  multi_conversations_select: several(conversations, of("selected_conversations", "initial_conversations")),
  multi_channels_select: several(conversations, of("selected_channels", "initial_channels")),
  file_input: several(files, (state) => state?.files?.map((f) => f.id)),
  checkboxes: several(options, optionList),
  radio_buttons: several(options, (state, e) => [option(state, e)].filter(Boolean), "radio"),
  plain_text_input: input("text", text),
  email_text_input: input("email", text),
  url_text_input: input("url", text),
  number_input: input("number", text, (e) => ({ step: e.is_decimal_allowed ? "any" : "1", min: e.min_value, max: e.max_value })),
  rich_text_input: input("rich", of("rich_text_value", "initial_value"), undefined, richOut, richIn),
  datepicker: input("date", of("selected_date", "initial_date")),
  timepicker: input("time", of("selected_time", "initial_time")),
  datetimepicker: input("datetime-local", of("selected_date_time", "initial_date_time"), undefined, fromLocal, (v) => (v ? toLocal(v) : "")),
};
