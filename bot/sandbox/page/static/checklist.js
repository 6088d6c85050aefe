// The start page: a checklist that ticks itself from what happens.

import { h, keyed, once } from "./dom.js";
import { world } from "./world.js";

/** remaining returns the number of open entries of the checklist. */
export function remaining(state) { return state.checklist.filter((t) => t.done < t.need).length; }

/** showStart shows the checklist for a first visit. */
export function showStart(panel, { open, be }) {
  const { checklist, people } = world.state;
  const now = checklist.find((t) => t.done < t.need)?.id;
  const list = once(panel, () => [h("h2", {}, "Your first incident"),
    h("p", {}, "Everything here runs on this machine. Choose a person above the channels to act as this person. You see only what this person sees. The list ticks itself."),
    h("p", { class: "progress", "data-testid": "progress" }), h("div", { class: "list guide" }),
    h("p", { class: "muted" }, "Then try the ", h("button", { type: "button", class: "link", onclick: () => open("faults") }, "faults"), " and open the ", h("button", { type: "button", class: "link", onclick: () => open("log") }, "request log"), ".")]);
  const done = checklist.length - remaining(world.state);
  const bar = h("progress", { "aria-label": "Checklist", max: String(checklist.length) });
  bar.value = done;
  panel.querySelector(".progress").replaceChildren(bar, h("span", {}, `${done} of ${checklist.length} done`));
  const room = () => world.state.channels.find((c) => c.member && c.kind === "private_channel");
  const go = (t) => {
    if (t.open) return [[t.open[0].toUpperCase() + t.open.slice(1), () => open(t.open)]];
    if (t.id === "sign") return firsts(people).map((p) => [p.department, () => be(p.id)]);
    return room() ? [["#" + room().name, () => world.jump(room().id)]] : [];
  };
  keyed(list, checklist.map((t, i) => {
    const ticked = t.done >= t.need;
    const ways = ticked ? [] : go(t);
    return { key: t.id, print: JSON.stringify([t, now === t.id, ways.map((w) => w[0]), world.user]), draw: () =>
      h("article", { class: "task" + (ticked ? " done" : now === t.id ? " now" : ""), "data-testid": "task", "data-task": t.id, "data-done": String(ticked), "aria-current": now === t.id ? "step" : null },
        h("span", { class: "tick", role: "img", "aria-label": ticked ? "done" : "open" }, ticked ? "✓" : String(i + 1)),
        h("div", {}, h("h3", {}, t.title, t.need > 1 ? h("small", {}, ` ${t.done} of ${t.need}`) : null), ticked ? null : h("p", {}, t.text),
          now === t.id && ways.length ? h("p", { class: "row" }, ways.map(([label, job]) => h("button", { type: "button", "data-testid": "guide", onclick: job }, label))) : null)) };
  }));
}

/** firsts returns the first person of each of the four departments that sign. */
function firsts(people) {
  const seen = new Set();
  return people.filter((p) => p.department && !seen.has(p.department) && seen.add(p.department)).slice(0, 4);
}
