// The other tools beside the chat: where to begin, raising alerts, the fault
// switches, the request log.

import { h, fill, keyed, once, ask, send, working, toast, keep, kept } from "./dom.js";
import { world, exact, format } from "./world.js";

/** showStart is what a newcomer may try in their first minute. */
export function showStart(panel, { open, be }) {
  const state = world.state;
  const print = JSON.stringify(state.people);
  if (panel.dataset.print === print && panel.childElementCount) return;
  panel.dataset.print = print;
  const done = kept("done", {});
  const guide = [
    ["Raise an alert", "Send a signed Sentry webhook or CloudTrail event to the bot. It opens an incident, pages somebody and makes a private channel.", [["Alerts", () => open("alerts")]]],
    ["Acknowledge it", "Somebody is being woken. Acknowledge the page, or press “Acknowledge” in the incident's channel.", [["Pager", () => open("pager")]]],
    ["Run the steps", "In the incident's channel, settle the playbook's steps, set facts, then contain and resolve. Typing / shows the commands.", [["Write a command", () => document.getElementById("composer-text")?.focus()]]],
    ["Sign off as four departments", "Write and submit the closing record. Then be one person of each department in turn and sign it; nobody signs twice, nor their own record.", firsts(state).map((p) => [p.department, () => be(p.id)])],
    ["Review", "The postmortem is written and sent round: see the channel's files and the mailbox. Set a review meeting, conclude it with action items, and the incident is closed.", [["Mail", () => open("mail")]]],
  ];
  fill(panel, h("h2", {}, "What to try"),
    h("p", {}, "Everything here runs on this machine. You can be anybody of this workspace: choose a person at the top left. What you see is only what they see."),
    h("ol", { class: "guide" }, guide.map(([title, text, buttons], i) => {
      const box = h("input", { type: "checkbox", checked: Boolean(done[i]), "aria-label": "Done: " + title, onchange: () => keep("done", { ...kept("done", {}), [i]: box.checked }) });
      return h("li", {}, h("h3", {}, box, `${i + 1}. ${title}`), h("p", {}, text),
        h("p", { class: "row" }, buttons.map(([label, go]) => h("button", { type: "button", "data-testid": "guide", onclick: go }, label))));
    })),
    h("p", { class: "muted" }, "Then let something fail: ", h("button", { type: "button", class: "link", onclick: () => open("faults") }, "faults"), " and the ", h("button", { type: "button", class: "link", onclick: () => open("log") }, "request log"), "."));
}

/** firsts are one person of each department. */
function firsts(state) {
  const seen = new Set();
  return state.people.filter((p) => p.department && !seen.has(p.department) && seen.add(p.department));
}

const last = {}; // what became of each alert's latest sending

/** showAlerts raises alerts as the real senders do. */
export function showAlerts(panel, again) {
  const groups = group(world.state.alerts);
  const raise = (a, body, b) => working(b, async () => { last[a.id] = await send("/api/alert", { alert: a.id, ...body }); again(); });
  const told = (r) => {
    const codes = Object.entries(r.answers).map(([c, n]) => `${n} × ${c}`).concat(r.lost ? [`${r.lost} × no answer`] : []).join(", ");
    const good = !r.lost && Object.keys(r.answers).every((c) => c[0] === "2");
    return h("p", { class: "answer " + (good ? "good" : "bad"), "data-testid": "alert-answer" }, `${codes} in ${r.took_ms} ms`, !good && r.last ? h("small", {}, r.last) : null);
  };
  const card = (a) => {
    const one = h("button", { type: "button", class: a.from === "Bad input" ? "" : "primary", "data-testid": "alert-" + a.id, onclick: () => raise(a, { copies: 1 }, one) }, "Send");
    const many = h("button", { type: "button", "data-testid": "alert-" + a.id + "-100", title: "the same alert a hundred times more", "aria-label": "Send 100 copies", onclick: () => raise(a, { copies: 100, seed: last[a.id]?.seed }, many) }, "× 100");
    return h("article", { class: "alert", "data-alert": a.id }, h("div", {}, h("strong", {}, a.title), h("small", {}, a.text), last[a.id] ? told(last[a.id]) : null), h("div", { class: "row" }, one, many));
  };
  const list = once(panel, () => [h("h2", {}, "Raise an alert"),
    h("p", { class: "muted" }, "Real deliveries to the bot's webhooks, signed as their senders sign. Each press is a new alert; copies are the same one again."), h("div", { class: "list" })]);
  keyed(list, [...groups].flatMap(([from, of]) => [{ key: from, print: from, draw: () => h("h3", {}, from) },
    ...of.map((a) => ({ key: a.id, print: JSON.stringify([a, last[a.id]]), draw: () => card(a) }))]));
}

function group(list) {
  const out = new Map();
  for (const a of list) out.set(a.from, [...(out.get(a.from) || []), a]);
  return out;
}

/** showFaults is the switchboard. */
export function showFaults(panel) {
  const flip = (body) => send("/api/faults", body).catch((e) => toast(e.message));
  const systems = [...new Set(world.state.faults.map((f) => f.system))];
  const list = once(panel, () => [h("h2", {}, "Faults"), h("p", { class: "muted" }, "Let the outside world fail, and watch the bot catch up when it is well again."),
    h("p", {}, h("button", { type: "button", "data-testid": "faults-clear", onclick: () => flip({ clear: true }) }, "All well again")), h("div", { class: "list" })]);
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

let only = ""; // the system whose requests are shown

/** showLog lists the latest requests over every wire. */
export async function showLog(panel) {
  const { entries, unknown_methods: unknown } = await ask("/api/log", { limit: 150 });
  const list = once(panel, () => {
    const menu = h("select", { "aria-label": "Which system", "data-testid": "log-system", onchange: () => { only = menu.value; showLog(panel); } },
      ["", "Slack", "PagerDuty", "Mail", "Alerts"].map((s) => h("option", { value: s, selected: s === only }, s || "every system")));
    return [h("h2", {}, "Request log"), h("p", { class: "row" }, menu, h("span", { class: "muted" }, "← from the bot · → to the bot")), h("div", { class: "list log" })];
  });
  const line = (e) => {
    const at = new Date(e.at);
    return h("details", { class: "entry " + (e.ok ? "good" : "bad"), "data-testid": "log-entry" },
      h("summary", {}, h("time", { title: exact(at) }, format(at, { hour: "2-digit", minute: "2-digit", second: "2-digit" })),
        h("span", { class: "way", title: e.to_app ? "to the bot" : "from the bot" }, e.to_app ? "→" : "←"),
        h("span", { class: "what" }, h("b", {}, e.system), " ", e.what, e.text ? h("small", {}, e.text) : null), h("span", { class: "code" }, e.fault ? "⚡ " : "", e.status)),
      e.detail ? h("pre", {}, JSON.stringify(e.detail, null, 2)) : h("p", { class: "muted" }, "No more is known."));
  };
  const names = Object.entries(unknown || {}).map(([m, n]) => `${m} (${n})`).join(", ");
  const items = entries.filter((e) => !only || e.system === only).map((e) => ({ key: [e.at, e.system, e.what, e.text].join(" "), print: e.status, draw: () => line(e) }));
  if (names) items.unshift({ key: "unknown", print: names, draw: () => h("p", { class: "error" }, "Methods that the sandbox has not: " + names) });
  keyed(list, items);
}
