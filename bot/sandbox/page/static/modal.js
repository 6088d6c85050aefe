// The open form of a person, which is the top of their stack of views. It is
// drawn again only if the view changed. Typed values are preserved if their
// block and action still exist.

import { $, h, icon, shut, send, toast } from "./dom.js";
import { world } from "./world.js";
import { blocks } from "./blocks.js";
import { valuesOf } from "./elements.js";

let shown = null; // {key, view, surface}

/** showViews shows the top of the person's stack of views. */
export function showViews(stack) {
  const dialog = $("modal");
  const view = stack[stack.length - 1];
  if (!view) {
    shown = null;
    if (dialog.open) shut(dialog);
    return;
  }
  const key = [world.user, view.id, view.hash].join(" ");
  if (shown?.key === key && shown.depth === stack.length) return;
  const before = shown?.view.id === view.id ? shown.surface : null;
  const caret = before ? caretOf(dialog) : null;
  shown = { key, view, depth: stack.length, surface: draw(dialog, view, stack.length) };
  if (before) restore(before, shown.surface);
  if (!dialog.open) dialog.showModal();
  if (caret) setCaret(dialog, caret);
  const first = before ? null : dialog.querySelector(".modal-body input, .modal-body select, .modal-body textarea, .modal-body button");
  first?.focus();
}

/** caretOf returns where the person is in a form: the field, the selection and the scroll position. */
function caretOf(dialog) {
  const el = document.activeElement;
  const at = el?.closest?.("[data-action-id]");
  const caret = { top: dialog.querySelector(".modal-body")?.scrollTop || 0 };
  if (!at || !dialog.contains(at)) return caret;
  Object.assign(caret, { action: at.dataset.actionId, block: at.dataset.blockId, value: el.type === "checkbox" || el.type === "radio" ? el.value : null });
  try { caret.from = el.selectionStart; caret.to = el.selectionEnd; } catch { /* not a text field */ }
  return caret;
}

/** setCaret restores the place of the person in an updated form. */
function setCaret(dialog, caret) {
  dialog.querySelector(".modal-body").scrollTop = caret.top;
  if (!caret.action) return;
  let el = dialog.querySelector(`[data-action-id="${CSS.escape(caret.action)}"][data-block-id="${CSS.escape(caret.block)}"]`);
  if (el && caret.value !== null) el = el.querySelector(`input[value="${CSS.escape(caret.value)}"]`) || el;
  el?.focus({ preventScroll: true });
  if (caret.from !== undefined && caret.from !== null) try { el?.setSelectionRange(caret.from, caret.to); } catch { /* not a text field */ }
}

/** restore copies typed values to the updated form, as Slack does. */
function restore(from, to) {
  for (const f of to.fields) {
    const old = from.fields.find((x) => x.block === f.block && x.action === f.action && x.type === f.type);
    if (old) f.set?.(old.get());
  }
}

function draw(dialog, view, depth) {
  const surface = { kind: "view", state: view.state, fields: [], use: (action) => send("/api/click", { user: world.user, view: view.id, ...action }) };
  const user = world.user;
  const body = h("div", { class: "modal-body" }, h("p", { class: "error trouble", role: "alert", hidden: true, "data-testid": "modal-error" }), blocks(view.blocks, surface));
  const quit = (all) => send("/api/close", { user, view: view.id, all }).catch((e) => toast(e.message));
  const submit = view.submit ? h("button", { type: "submit", class: "primary", "data-testid": "modal-submit" }, view.submit) : null;
  const form = h("form", { novalidate: true, autocomplete: "off", onsubmit: (e) => { e.preventDefault(); press(user, view, surface, form, submit); } },
    h("header", {}, h("h2", { id: "modal-title" }, view.title || ""), depth > 1 ? h("small", {}, `form ${depth}, opened from another form`) : null,
      h("button", { type: "button", class: "plain", "data-testid": "modal-cross", "aria-label": "Close all forms", onclick: () => quit(true) }, icon("cross"))),
    body,
    h("footer", {}, h("button", { type: "button", "data-testid": "modal-close", onclick: () => quit(false) }, view.close || (depth > 1 ? "Back" : "Cancel")), submit));
  form.dataset.view = view.id;
  form.dataset.callback = view.callback_id || "";
  dialog.replaceChildren(form);
  dialog.oncancel = (e) => { e.preventDefault(); quit(false); };
  return surface;
}

async function press(user, view, surface, form, submit) {
  showErrors(form, {});
  submit.disabled = true;
  submit.setAttribute("aria-busy", "true");
  try {
    const result = await send("/api/submit", { user, view: view.id, values: valuesOf(surface) });
    if (result.outcome === "errors") showErrors(form, result.errors);
  } catch (e) {
    const p = form.querySelector(".trouble");
    p.textContent = e.message;
    p.hidden = false;
    p.scrollIntoView({ block: "nearest" });
  } finally {
    submit.disabled = false;
    submit.removeAttribute("aria-busy");
  }
}

/** showErrors shows errors under their fields. errors contains texts by block id. */
function showErrors(form, errors) {
  form.querySelector(".trouble").hidden = true;
  let first = null;
  for (const block of form.querySelectorAll(".block-input")) {
    const text = errors[block.dataset.blockId];
    const p = block.querySelector(".error");
    p.textContent = text || "";
    p.hidden = !text;
    block.classList.toggle("wrong", Boolean(text));
    for (const control of block.querySelectorAll("input, select, textarea")) {
      if (text) control.setAttribute("aria-invalid", "true"); else control.removeAttribute("aria-invalid");
    }
    if (text && !first) first = block;
  }
  first?.scrollIntoView({ block: "center" });
  first?.querySelector("input, select, textarea")?.focus();
}
