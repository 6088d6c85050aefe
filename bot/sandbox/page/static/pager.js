// The PagerDuty account: incidents, paged people, and the buttons of on-call people.

import { h, fill, keyed, once, ask, send, working } from "./dom.js";
import { link } from "./text.js";
import { world, personOf, clock, exact } from "./world.js";

const words = { triggered: "paging", acknowledged: "acknowledged", resolved: "resolved" };
let actor = ""; // pager user who acts; reset when the person changes

export async function showPager(panel) {
  const data = await ask("/api/pager");
  const user = (id) => data.users.find((u) => u.id === id)?.name || id || "the bot";
  const mine = personOf(world.user)?.pager || "";
  const oncall = data.services.flatMap((s) => s.on_call || []);
  if (panel.dataset.as !== world.user) { actor = mine || oncall[0] || data.users[0]?.id || ""; panel.dataset.as = world.user; }
  const open = [...panel.querySelectorAll("details[open]")].map((d) => d.dataset.key);
  const details = (key, title, ...body) => h("details", { "data-key": key, open: open.includes(key) }, h("summary", {}, title), body);
  const list = once(panel, () => [h("h2", {}, "PagerDuty"), h("div", { class: "head" }), h("div", { class: "list" })]);

  const card = (in_) => {
    const pages = data.pages.filter((p) => p.incident === in_.id);
    const act = (path, label, cls) => {
      const b = h("button", { type: "button", class: cls, "data-testid": "pager-" + path, "data-incident": in_.id, onclick: () => working(b, () => send("/api/pager/" + path, { user: actor, incident: in_.id })) }, label);
      return b;
    };
    return h("article", { class: "page " + in_.status, "data-testid": "pager-incident", "data-incident": in_.id, "data-status": in_.status, "data-key": in_.incident_key },
      h("header", {}, h("span", { class: "status" }, words[in_.status] || in_.status), h("span", { class: "muted" }, `#${in_.number} · ${in_.urgency} · `, h("time", { title: exact(new Date(in_.created_at)) }, clock(new Date(in_.created_at))))),
      h("h3", {}, in_.title), in_.event?.summary && in_.event.summary !== in_.title ? h("p", { class: "muted", "data-testid": "pager-retitled" }, "paged as: " + in_.event.summary) : null,
      h("p", { class: "muted" }, (data.services.find((s) => s.id === in_.service)?.name || in_.service), " · ", (in_.assignees || []).length ? "for " + in_.assignees.map(user).join(", ") : "no assignee", " · ", h("code", {}, in_.incident_key || "created by hand")),
      in_.acknowledged_by?.length ? h("p", { class: "muted" }, "acknowledged by " + in_.acknowledged_by.map(user).join(", ")) : null,
      in_.status === "resolved" ? null : h("p", { class: "row" }, in_.status === "triggered" ? act("ack", "Acknowledge", "primary") : null, act("resolve", "Resolve", "")),
      (in_.notes || []).length ? h("ul", { class: "notes", "data-testid": "pager-notes" }, in_.notes.map((n) => h("li", {}, h("small", {}, `${clock(new Date(n.at))} ${user(n.user)}: `), n.content))) : null,
      pages.length ? details(in_.id + " pages", `Paged ${pages.length} ${pages.length === 1 ? "time" : "times"}`, h("ul", {}, pages.map((p) => h("li", {}, `${clock(new Date(p.at))} ${user(p.user)}: ${p.text}`)))) : h("p", { class: "muted" }, "No one was paged."),
      details(in_.id + " log", "Log", h("ul", {}, (in_.log || []).map((l) => h("li", {}, `${clock(new Date(l.at))} ${l.kind} by ${user(l.by)}${l.text ? ": " + l.text : ""}`)))),
      in_.event ? details(in_.id + " event", "Event from the bot", h("pre", {}, JSON.stringify(in_.event, null, 2))) : null,
      (in_.links || []).map((l) => h("p", {}, link(l.href, l.text || l.href))));
  };

  const head = panel.querySelector(".head");
  const print = JSON.stringify([data.users, data.services, mine, world.user]);
  if (head.print !== print) {
    head.print = print;
    const menu = h("select", { id: "pager-as", "data-testid": "pager-as", onchange: () => { actor = menu.value; } },
      data.users.map((u) => h("option", { value: u.id, selected: u.id === actor }, u.name + (oncall.includes(u.id) ? " – on call" : "") + (u.id === mine ? " (you)" : ""))));
    fill(head, h("p", { class: "muted" }, "On call: ", data.services.map((s) => `${s.name}: ${(s.on_call || []).map(user).join(", ") || "no one"}`).join(", ")),
      h("p", { class: "row" }, h("label", { for: "pager-as" }, "Act as"), menu));
  }
  keyed(list, data.incidents.length
    ? data.incidents.map((in_) => ({ key: in_.id, print: JSON.stringify([in_, data.pages.filter((p) => p.incident === in_.id)]), draw: () => card(in_) }))
    : [{ key: "none", print: "", draw: () => h("p", { class: "empty" }, "No pages. Send an alert to page the responders.") }]);
}
