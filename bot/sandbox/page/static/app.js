// The frame of the page: the current person, the channel and the open tool. All
// data is from the server. A change event causes a new fetch of the displayed
// data.

import { $, h, fill, icon, keyed, shut, ask, send, toast, working, store, stored } from "./dom.js";
import { world, nameOf, titleOf, channelOf, personOf } from "./world.js";
import { mrkdwn, plain } from "./text.js";
import { blocks } from "./blocks.js";
import { showMessages, file } from "./messages.js";
import { showViews } from "./modal.js";
import { composer } from "./composer.js";
import { showPager } from "./pager.js";
import { showMail } from "./mail.js";
import { showAlerts, showFaults, showLog } from "./tools.js";
import { showStart, remaining } from "./checklist.js";

const HOME = "home";
const THREADS = "threads";
let tab = stored("tab", "start");
let thread = "";
let stick = true; // whether to scroll to new messages
let target = ""; // timestamp of a message to scroll to
let fresh = ""; // timestamp of the first message that was unread when the channel was opened
let freshReply = ""; // the same for the open thread
let seen = ""; // timestamp of the last message that the person scrolled to
let enterThread = false; // whether to move the focus to the thread when it is drawn

const tabs = [
  ["start", "Start", (s) => remaining(s), () => showStart($("panel"), { open, be })],
  ["alerts", "Alerts", () => 0, () => showAlerts($("panel"), () => show(tab))],
  ["pager", "Pager", (s) => s.ringing, () => showPager($("panel"))],
  ["mail", "Mail", (s) => s.mails, () => showMail($("panel"))],
  ["faults", "Faults", (s) => s.faults.filter((f) => f.on).length, () => showFaults($("panel"))],
  ["log", "Log", () => 0, () => showLog($("panel"))],
];

// The person and channel are part of the URL, to allow links to them.
function place() { const [user, channel] = location.hash.slice(1).split("/"); return { user: user || "", channel: channel || "" }; }
function go(user, channel) { location.hash = user + "/" + channel; }

function be(user) { go(user, world.channel); }
function jump(channel, ts) {
  if (channel !== HOME && channel !== THREADS && !channelOf(channel)) { toast(`This channel is not visible to ${nameOf(world.user)}.`); return; }
  target = ts || "";
  go(world.user, channel);
  pane("chat");
  if (channel === world.channel) refresh();
}

/* ---- fetching: one fetch at a time, repeated if a change happens during a fetch ---- */

let running = false;
let again = false;
async function refresh() {
  if (running) { again = true; return; }
  running = true;
  do {
    again = false;
    try {
      await fetchAll();
      $("banner").hidden = true;
    } catch (e) {
      $("banner").textContent = "The sandbox does not respond: " + e.message;
      $("banner").hidden = false;
    }
  } while (again);
  running = false;
}

async function fetchAll() {
  const want = place();
  const known = want.user && (!world.state || personOf(want.user));
  const state = await ask("/api/state", { user: known ? want.user : undefined }).catch((e) => (e.code === "not_found" ? ask("/api/state") : Promise.reject(e)));
  const turned = state.user !== world.user;
  world.state = state;
  world.user = state.user;
  const visible = [HOME, THREADS].includes(want.channel) || state.channels.some((c) => c.id === want.channel);
  const channel = visible ? want.channel : (state.channels.find((c) => c.member && c.kind !== "im") || state.channels[0])?.id || HOME;
  if (channel !== world.channel || turned) {
    $("composer").firstElementChild?.draft?.save();
    if (channel !== world.channel) thread = "";
    world.channel = channel;
    fresh = state.unread[channel]?.first || "";
    stick = true;
    $("messages").replaceChildren();
    $("composer").replaceChildren();
  }
  if (want.user !== world.user || want.channel !== channel) history.replaceState(null, "", "#" + world.user + "/" + channel);
  document.title = state.title;
  drawPeople();
  drawTabs();
  await (channel === HOME ? drawHome() : channel === THREADS ? drawThreads() : drawChannel());
  drawChannels();
  await drawThread();
  await drawPanel();
  showViews(state.views);
  document.body.dataset.shown = world.user + "/" + world.channel; // for browser tests
}

/* ---- left: person and channels ---- */

function drawPeople() {
  const { people, team } = world.state;
  $("team-name").textContent = team.name;
  const select = $("person");
  const print = JSON.stringify(people);
  if (select.print !== print) {
    select.print = print;
    const by = new Map();
    for (const p of people) by.set(p.department || "", [...(by.get(p.department || "") || []), p]);
    const option = (p) => h("option", { value: p.id }, p.real_name + (p.guest ? " (guest)" : ""));
    select.replaceChildren(...[...by].map(([d, list]) => (d ? h("optgroup", { label: d }, list.map(option)) : by.size > 1 ? h("optgroup", { label: "other" }, list.map(option)) : list.map(option))).flat());
  }
  select.value = world.user;
  const me = personOf(world.user);
  $("person-note").textContent = [me.title?.includes(me.department) ? "" : me.department, me.title, me.note].filter(Boolean).join(" · ");
}

function drawChannels() {
  const { bot, unread, threads, shortcuts } = world.state;
  const line = (id, sign, label, extra = {}) => h("button", { type: "button", class: ["channel", extra.unread && "unread", extra.faint && "faint"].filter(Boolean).join(" "), "data-testid": "channel", "data-channel-id": id, "data-name": label, "data-unread": extra.unread || 0,
    "aria-current": id === world.channel ? "page" : null, onclick: () => { jump(id); } }, h("span", { class: "sign", "aria-hidden": "true" }, sign.length > 1 ? icon(sign) : sign), h("span", { class: "label" }, label),
    extra.mentions ? h("span", { class: "pill", title: `${extra.mentions} for you` }, extra.mentions) : extra.unread ? h("span", { class: "dot", title: `${extra.unread} unread` }) : null, extra.badge ? h("small", {}, extra.badge) : null);
  const marks = (c) => (c && c.id !== world.channel && unread[c.id] ? { unread: unread[c.id].messages, mentions: unread[c.id].mentions } : {});
  const shown = (c) => line(c.id, c.kind === "private_channel" ? "lock" : c.kind === "public_channel" ? "#" : "people", titleOf(c), {
    ...marks(c), faint: !c.member || c.archived, badge: c.archived ? "archived" : "" });
  const all = world.state.channels;
  const rooms = all.filter((c) => c.kind.endsWith("_channel"));
  const order = (a, b) => Number(b.member) - Number(a.member) || Number(Boolean(a.archived)) - Number(Boolean(b.archived)) || a.name.localeCompare(b.name, "en", { numeric: true });
  const dms = all.filter((c) => !c.kind.endsWith("_channel") && c.with !== bot.user_id);
  const botDM = all.find((c) => c.with === bot.user_id);
  const waiting = threads.filter((t) => t.unread.messages);
  const add = h("button", { type: "button", class: "channel", "data-testid": "open-dm", "data-name": bot.name, onclick: () => working(add, async () => { const { channel } = await send("/api/dm", { user: world.user }); await refresh(); jump(channel); }) }, h("span", { class: "sign" }, icon("mail")), h("span", { class: "label" }, bot.name));
  const run = (s) => {
    const b = h("button", { type: "button", class: "channel", "data-testid": "global-shortcut", "data-callback": s.callback_id, title: s.description, onclick: () => working(b, () => send("/api/shortcut", { user: world.user, callback_id: s.callback_id })) }, h("span", { class: "sign" }, icon("bolt")), h("span", { class: "label" }, s.name));
    return b;
  };
  const items = [line(THREADS, "reply", "Threads", { unread: waiting.length, mentions: waiting.reduce((n, t) => n + t.unread.mentions, 0) }),
    h("h2", {}, "Channels"), rooms.sort(order).map(shown),
    h("h2", {}, "Direct messages"), botDM ? line(botDM.id, "mail", bot.name, marks(botDM)) : add, dms.map(shown),
    h("h2", {}, "App: " + bot.name), line(HOME, "home", "Home"), (shortcuts || []).filter((s) => s.type === "global").map(run)].flat(3).filter(Boolean);
  const print = JSON.stringify(items.map((el) => [el.dataset.channelId, el.className, el.textContent, el.ariaCurrent]));
  if ($("channels").print === print) return; // do not replace a button that is being clicked
  $("channels").print = print;
  const focus = document.activeElement?.dataset?.channelId;
  $("channels").replaceChildren(...items);
  if (focus) $("channels").querySelector(`[data-channel-id="${CSS.escape(focus)}"]`)?.focus();
  const total = all.reduce((n, c) => n + (marks(c).mentions || 0), 0) + waiting.length;
  $("panes").firstElementChild.dataset.count = total || "";
}

/** markRead tells the workspace that the person has seen a channel or a thread up to a message. */
function markRead(unread, channel, threadTS) {
  if (!unread?.messages || document.hidden) return;
  send("/api/read", { user: world.user, channel, thread_ts: threadTS, ts: unread.last }).catch(() => {}); // the person may have left the channel
}

/* ---- middle: a channel, or the app's home ---- */

async function drawChannel() {
  const data = await ask("/api/channel", { id: world.channel, user: world.user });
  const ch = data.channel;
  const pins = data.pins.length ? h("details", { class: "overflow pins" }, h("summary", { "data-testid": "pins" }, icon("pin"), " " + data.pins.length), h("div", { class: "menu" }, data.pins.map((p) => h("button", { type: "button", onclick: () => jump(ch.id, p.message.ts) }, h("small", {}, nameOf(p.message.user)), p.message.text.slice(0, 120) || "a message")))) : null;
  const members = h("details", { class: "overflow" }, h("summary", { "data-testid": "members", title: "Members" }, icon("people"), " " + ch.members.length), h("div", { class: "menu" }, ch.members.map((m) => h("span", { "data-user": m }, nameOf(m)))));
  header([h("h1", {}, ch.kind === "private_channel" ? [icon("lock"), " "] : ch.kind === "public_channel" ? "# " : "", titleOf(ch)), ch.topic ? mrkdwn(ch.topic) : null], [pins, ch.kind === "im" ? null : members], JSON.stringify([ch.id, ch.topic, ch.name, ch.members, data.pins.map((p) => p.message.ts), world.user]));
  const bar = $("bookmarks");
  bar.hidden = !data.bookmarks.length;
  bar.replaceChildren(...data.bookmarks.map((b) => h("a", { href: /^https?:/.test(b.link) ? b.link : null, target: "_blank", rel: "noopener noreferrer", "data-testid": "bookmark" }, b.emoji ? plain(b.emoji) : icon("link"), " ", b.title)));
  const box = $("messages");
  const list = data.messages;
  showMessages(box, ch, list, "channel", openThread, fresh);
  if (data.earlier) box.prepend(h("p", { class: "empty", "data-key": "earlier" }, `${data.earlier} earlier messages are not shown.`));
  box.dataset.channel = ch.id;
  drawComposer(ch);
  if (target) reveal(); else if (stick) box.scrollTop = box.scrollHeight;
  const last = list[list.length - 1]?.ts || "";
  if (stick) seen = last;
  $("newer").hidden = stick || last <= seen;
  if (stick && document.body.dataset.pane === "chat") markRead(world.state.unread[ch.id], ch.id, "");
}

/** drawThreads lists the threads that the person follows, with the last replies. */
async function drawThreads() {
  const { threads } = await ask("/api/threads", { user: world.user });
  header([h("h1", {}, icon("reply"), " Threads")], [], "threads " + threads.length);
  $("bookmarks").hidden = true;
  $("composer").replaceChildren();
  const box = $("messages");
  $("newer").hidden = true;
  if (box.dataset.channel !== THREADS) box.replaceChildren();
  box.dataset.channel = THREADS;
  const open = (t) => () => openThread(t.ts, t.channel);
  keyed(box, threads.length ? threads.map((t) => ({ key: t.channel + t.ts, print: JSON.stringify(t), draw: () => {
    const list = h("div", {});
    showMessages(list, { ...channelOf(t.channel), member: false }, t.messages, "list", open(t));
    return h("section", { class: "thread-card" + (t.unread.messages ? " unread" : ""), "data-testid": "thread-card", "data-ts": t.ts },
      h("header", { class: "row" }, h("h2", {}, "#" + (channelOf(t.channel)?.name || "")), t.unread.messages ? h("span", { class: "pill" }, `${t.unread.messages} new`) : null,
        h("button", { type: "button", "data-testid": "open-thread", "data-ts": t.ts, onclick: open(t) }, `Open, ${t.replies} ${t.replies === 1 ? "reply" : "replies"}`)), list);
  } })) : [{ key: "none", print: "", draw: () => h("p", { class: "empty" }, "No threads yet. You follow a thread in which you wrote or were mentioned.") }]);
}

function reveal() {
  const el = $("m-" + target);
  target = "";
  if (!el) return;
  stick = false;
  el.scrollIntoView({ block: "center" });
  el.classList.add("flash");
  setTimeout(() => el.classList.remove("flash"), 2000);
}

function header(title, right, print) {
  const el = $("channel-head");
  if (el.print === print) return;
  el.print = print;
  fill(el, h("div", { class: "title" }, title), h("div", { class: "row" }, right));
}

function drawComposer(ch) {
  const el = $("composer");
  const mode = !ch.member ? "join" : ch.archived ? "archived" : "write";
  if (el.firstElementChild && el.dataset.mode === mode) return;
  el.dataset.mode = mode;
  if (mode === "write") {
    const form = composer({ id: "composer", label: `Message ${ch.kind === "im" ? titleOf(ch) : "#" + ch.name}, or type /`, posted: () => { stick = true; refresh(); } });
    el.replaceChildren(form);
    form.draft.load();
  } else if (mode === "archived") {
    el.replaceChildren(h("p", { class: "empty" }, "This channel is archived."));
  } else {
    const join = h("button", { type: "button", class: "primary", "data-testid": "join", onclick: () => working(join, () => send("/api/join", { user: world.user, channel: ch.id })) }, "Join #" + ch.name);
    el.replaceChildren(h("p", { class: "empty" }, "You are not a member of this channel. ", join));
  }
}

let greeted = "";
async function drawHome() {
  if (greeted !== world.user) { greeted = world.user; await send("/api/home", { user: world.user }).catch((e) => toast(e.message)); }
  const { view } = await ask("/api/home", { user: world.user });
  header([h("h1", {}, icon("home"), " " + world.state.bot.name)], [], "home");
  $("bookmarks").hidden = true;
  $("newer").hidden = true;
  $("composer").replaceChildren();
  const box = $("messages");
  const print = JSON.stringify([world.user, view]);
  if (box.dataset.channel === HOME && box.firstElementChild?.print === print) return;
  box.dataset.channel = HOME;
  const surface = { kind: "view", state: view?.state, fields: [], use: (action) => send("/api/click", { user: world.user, view: view.id, ...action }) };
  const el = h("div", { class: "home", "data-testid": "home", "data-key": "home" }, view ? blocks(view.blocks, surface) : h("p", { class: "empty" }, "The app has not published a Home tab for you."));
  el.print = print;
  box.replaceChildren(el);
}

/* ---- right: a thread, or the tools ---- */

let threadChannel = ""; // channel of the open thread
function openThread(ts, channel = world.channel) {
  thread = ts;
  threadChannel = channel;
  enterThread = true;
  pane("side");
  refresh();
}

/** closeThread closes the thread and returns the focus to the button that opens it. */
async function closeThread() {
  const ts = thread;
  thread = "";
  pane("chat");
  await refresh();
  $("messages").querySelector(`[data-testid="open-thread"][data-ts="${CSS.escape(ts)}"]`)?.focus({ preventScroll: true });
}

async function drawThread() {
  const el = $("thread");
  el.hidden = !thread;
  $("tools").hidden = Boolean(thread);
  if (!thread) { el.replaceChildren(); return; }
  const data = await ask("/api/thread", { channel: threadChannel, ts: thread, user: world.user }).catch(() => null);
  if (!data) { thread = ""; return drawThread(); }
  const state = world.state.threads.find((t) => t.channel === threadChannel && t.ts === thread);
  if (el.dataset.ts !== thread + world.user || !el.childElementCount) {
    el.dataset.ts = thread + world.user;
    freshReply = state?.unread.first || "";
    const form = composer({ id: "thread", label: "Reply…", channel: threadChannel, threadTS: thread, posted: refresh });
    const ts = thread, channel = threadChannel;
    const follow = h("button", { type: "button", "data-testid": "follow", onclick: () => working(follow, () => send("/api/follow", { user: world.user, channel, ts, on: follow.dataset.on !== "true" })) });
    el.replaceChildren(h("header", {}, h("h2", {}, "Thread", h("small", {}, " #" + data.channel.name)), data.channel.member ? follow : null, h("button", { type: "button", class: "plain", "data-testid": "thread-close", "aria-label": "Close the thread", title: "Close (Esc)", onclick: closeThread }, icon("cross"))),
      h("div", { class: "thread-list", role: "log", tabindex: "0", "aria-label": "Thread" }), form);
    form.draft.load();
  }
  const follow = el.querySelector("[data-testid=follow]");
  if (follow) { follow.dataset.on = String(Boolean(state)); follow.textContent = state ? "Unfollow" : "Follow"; }
  const list = el.querySelector(".thread-list");
  const end = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  showMessages(list, data.channel, data.messages, "thread", openThread, freshReply);
  if (end) list.scrollTop = list.scrollHeight;
  if (enterThread) list.focus({ preventScroll: true });
  enterThread = false;
  markRead(state?.unread, threadChannel, thread);
}

function drawTabs() {
  const el = $("tabs");
  if (!el.childElementCount) {
    el.append(...tabs.map(([id, label]) => h("button", { type: "button", role: "tab", id: "tab-" + id, "data-testid": "tab-" + id, "aria-controls": "panel", onclick: () => open(id) }, label, h("span", { class: "count", hidden: true }))));
    el.addEventListener("keydown", (e) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[e.key];
      if (!step) return;
      const i = (tabs.findIndex(([id]) => id === tab) + step + tabs.length) % tabs.length;
      open(tabs[i][0]);
      $("tab-" + tabs[i][0]).focus();
    });
  }
  tabs.forEach(([id, , count], i) => {
    const button = el.children[i];
    const n = count(world.state);
    button.setAttribute("aria-selected", String(id === tab));
    button.tabIndex = id === tab ? 0 : -1;
    button.lastElementChild.textContent = n;
    button.lastElementChild.hidden = !n;
    button.lastElementChild.className = "count " + id;
  });
}

function open(id) { thread = ""; pane("side"); show(id); }

function show(id) {
  tab = id;
  store("tab", id);
  refresh();
}

async function drawPanel() {
  const panel = $("panel");
  const [id, , , draw] = tabs.find(([x]) => x === tab) || tabs[0];
  panel.setAttribute("aria-labelledby", "tab-" + id);
  if (panel.dataset.holds !== id) { // also if another tool was still drawing when this one was opened
    panel.replaceChildren();
    panel.dataset.print = "";
    panel.dataset.holds = id;
  }
  const focus = document.activeElement && panel.contains(document.activeElement) ? document.activeElement.dataset.testid : "";
  const top = panel.scrollTop;
  await draw();
  panel.scrollTop = top;
  if (focus && !panel.contains(document.activeElement)) panel.querySelector(`[data-testid="${CSS.escape(focus)}"]`)?.focus();
}

/* ---- start ---- */

function pane(id) {
  document.body.dataset.pane = id;
  for (const b of $("panes").children) b.setAttribute("aria-pressed", String(b.dataset.pane === id));
}

world.jump = jump;
world.file = (id) => {
  const f = world.state.files.find((x) => x.id === id);
  if (!f) { toast("This file is not visible to you."); return; }
  const dialog = $("confirm");
  dialog.replaceChildren(h("h2", { id: "confirm-title" }, f.title), file(f), h("footer", {}, h("button", { type: "button", onclick: () => shut(dialog) }, "Close")));
  dialog.oncancel = null;
  dialog.showModal();
};
$("person").addEventListener("change", (e) => be(e.target.value));
$("messages").addEventListener("scroll", (e) => {
  const b = e.target;
  stick = b.scrollHeight - b.scrollTop - b.clientHeight < 40;
  if (stick) $("newer").hidden = true;
  if (stick && channelOf(world.channel)) markRead(world.state?.unread[world.channel], world.channel, "");
});
$("newer").addEventListener("click", () => { stick = true; $("messages").scrollTop = $("messages").scrollHeight; $("messages").focus({ preventScroll: true }); refresh(); });
$("thread").addEventListener("keydown", (e) => { if (e.key === "Escape" && !e.defaultPrevented && !e.target.closest("details[open]")) { e.preventDefault(); closeThread(); } });
for (const b of $("panes").children) b.addEventListener("click", () => pane(b.dataset.pane));
document.addEventListener("click", (e) => { for (const d of document.querySelectorAll("details.overflow[open]")) if (!d.contains(e.target)) d.open = false; });
document.addEventListener("keydown", (e) => { if (e.key === "Escape") for (const d of document.querySelectorAll("details.overflow[open]")) { d.open = false; d.querySelector("summary").focus(); } });
document.addEventListener("toggle", (e) => {
  const menu = e.target.matches?.("details.overflow") && e.target.querySelector(".menu");
  if (!menu) return;
  menu.classList.remove("up", "placed");
  if (!e.target.open) return;
  const box = (e.target.closest("#messages, .thread-list, .modal-body") || document.body).getBoundingClientRect();
  menu.classList.toggle("up", menu.getBoundingClientRect().bottom > box.bottom && e.target.getBoundingClientRect().top - menu.offsetHeight > box.top);
  menu.classList.add("placed");
}, true);
window.addEventListener("hashchange", refresh);
const stream = new EventSource("/api/events");
stream.addEventListener("change", refresh);
stream.onerror = () => { $("banner").textContent = "The connection to the sandbox is lost. Reconnecting…"; $("banner").hidden = false; };
refresh();
