// The tools next to the chat: sending alerts, the fault switches and the request
// log. The checklist is in checklist.js.

import { h, keyed, once, ask, send, working, toast } from "./dom.js";
import { world, exact, format } from "./world.js";

const last = {}; // latest result by alert

/** showAlerts shows buttons that send alerts like the real senders. */
export function showAlerts(panel, again) {
  const groups = group(world.state.alerts);
  const raise = (a, body, b) => working(b, async () => { last[a.id] = await send("/api/alert", { alert: a.id, ...body }); again(); });
  const result = (r) => {
    const codes = Object.entries(r.answers).map(([c, n]) => `${n} × ${c}`).concat(r.lost ? [`${r.lost} × no response`] : []).join(", ");
    const good = !r.lost && Object.keys(r.answers).every((c) => c[0] === "2");
    return h("p", { class: "answer " + (good ? "good" : "bad"), "data-testid": "alert-answer" }, `${codes} in ${r.took_ms} ms`, r.outcome ? h("span", { class: "outcome", "data-testid": "alert-outcome" }, outcome(r.outcome)) : null, !good && r.last ? h("small", {}, r.last) : null);
  };
  const outcome = (text) => text[0].toUpperCase() + text.slice(1);
  const card = (a) => {
    const one = h("button", { type: "button", class: a.from === "Bad input" ? "" : "primary", "data-testid": "alert-" + a.id, onclick: () => raise(a, { copies: 1 }, one) }, "Send");
    const many = h("button", { type: "button", "data-testid": "alert-" + a.id + "-100", title: "Send 100 more copies of the last alert", "aria-label": "Send 100 copies", onclick: () => raise(a, { copies: 100, seed: last[a.id]?.seed }, many) }, "× 100");
    return h("article", { class: "alert", "data-alert": a.id }, h("div", {}, h("strong", {}, a.title), h("small", {}, a.text)), h("div", { class: "row" }, one, many), last[a.id] ? result(last[a.id]) : null);
  };
  const list = once(panel, () => [h("h2", {}, "Send an alert"),
    h("p", { class: "muted" }, "Real deliveries to the bot's webhooks with valid signatures, unless noted. Send creates a new alert. × 100 repeats the last one. The answer says what the bot did and which rule decided."), h("div", { class: "list" })]);
  keyed(list, [...groups].flatMap(([from, of]) => [{ key: from, print: from, draw: () => h("h3", {}, from) },
    ...of.map((a) => ({ key: a.id, print: JSON.stringify([a, last[a.id]]), draw: () => card(a) }))]));
}

function group(list) {
  const out = new Map();
  for (const a of list) out.set(a.from, [...(out.get(a.from) || []), a]);
  return out;
}

/** showFaults shows the fault switches. */
export function showFaults(panel) {
  const flip = (body) => send("/api/faults", body).catch((e) => toast(e.message));
  const systems = [...new Set(world.state.faults.map((f) => f.system))];
  const list = once(panel, () => [h("h2", {}, "Faults"), h("p", { class: "muted" }, "Make external systems fail and watch the bot recover afterwards."),
    h("p", {}, h("button", { type: "button", "data-testid": "faults-clear", onclick: () => flip({ clear: true }) }, "Clear all faults")), h("div", { class: "list" })]);
  panel.querySelector("[data-testid=faults-clear]").disabled = !world.state.faults.some((f) => f.on);
  const row = (f) => {
    const box = h("input", { type: "checkbox", role: "switch", checked: f.on, "data-testid": "fault-" + f.name, onchange: () => flip({ name: f.name, on: box.checked }) });
    return h("label", { class: "switch" }, box, h("span", {}, f.title, h("small", {}, f.text)));
  };
  keyed(list, systems.map((s) => {
    const of = world.state.faults.filter((f) => f.system === s);
    return { key: s, print: JSON.stringify(of), draw: () => h("fieldset", { class: "faults" }, h("legend", {}, s), of.map(row)) };
  }));
}

let only = ""; // system to show, or "" for all

/** showLog shows the latest requests of all systems. */
export async function showLog(panel) {
  const { entries, unknown_methods: unknown } = await ask("/api/log", { limit: 150 });
  const list = once(panel, () => {
    const menu = h("select", { "aria-label": "System", "data-testid": "log-system", onchange: () => { only = menu.value; showLog(panel); } },
      ["", "Slack", "PagerDuty", "Mail", "Alerts"].map((s) => h("option", { value: s, selected: s === only }, s || "all systems")));
    return [h("h2", {}, "Request log"), h("p", { class: "row" }, menu, h("span", { class: "muted" }, "← from the bot · → to the bot")), h("div", { class: "list log" })];
  });
  const line = (e) => {
    const at = new Date(e.at);
    return h("details", { class: "entry " + (e.ok ? "good" : "bad"), "data-testid": "log-entry" },
      h("summary", {}, h("time", { title: exact(at) }, format(at, { hour: "2-digit", minute: "2-digit", second: "2-digit" })),
        h("span", { class: "way", title: e.to_app ? "to the bot" : "from the bot" }, e.to_app ? "→" : "←"),
        h("span", { class: "what" }, h("b", {}, e.system), " ", e.what, e.text ? h("small", {}, e.text) : null), h("span", { class: "code" }, e.fault ? "⚡ " : "", e.status)),
      e.detail ? h("pre", {}, JSON.stringify(e.detail, null, 2)) : h("p", { class: "muted" }, "No details."));
  };
  const names = Object.entries(unknown || {}).map(([m, n]) => `${m} (${n})`).join(", ");
  const items = entries.filter((e) => !only || e.system === only).map((e) => ({ key: [e.at, e.system, e.what, e.text].join(" "), print: e.status, draw: () => line(e) }));
  if (names) items.unshift({ key: "unknown", print: names, draw: () => h("p", { class: "error" }, "Methods that the sandbox does not support: " + names) });
  keyed(list, items);
}
