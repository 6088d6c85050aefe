// The state of the sandbox, and times in the time zone of the current person.

export const world = { state: null, user: "", channel: "", jump: () => {}, file: () => {} };

export function personOf(id) { return world.state?.people.find((p) => p.id === id); }

export function nameOf(id) {
  const bot = world.state?.bot;
  if (bot && (id === bot.user_id || id === bot.bot_id)) return bot.name;
  const p = personOf(id);
  return p ? p.real_name || p.name : id || "unknown";
}

export function handleOf(id) {
  const bot = world.state?.bot;
  if (bot && id === bot.user_id) return bot.name;
  return personOf(id)?.name || id;
}

export function channelOf(id) { return world.state?.channels.find((c) => c.id === id); }

export function titleOf(ch) {
  if (ch.kind === "im") return nameOf(ch.with);
  return ch.name;
}

export function groupOf(id) { return world.state?.groups.find((g) => g.id === id); }

function zone() { return personOf(world.user)?.tz || "UTC"; }

const made = new Map();
export function format(date, options) {
  const key = zone() + JSON.stringify(options);
  if (!made.has(key)) {
    let f;
    try { f = new Intl.DateTimeFormat("en-GB", { ...options, timeZone: zone() }); } catch { f = new Intl.DateTimeFormat("en-GB", { ...options, timeZone: "UTC" }); }
    made.set(key, f);
  }
  return made.get(key).format(date);
}

export const clock = (date) => format(date, { hour: "2-digit", minute: "2-digit" });
export const day = (date) => format(date, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
export const exact = (date) => format(date, { dateStyle: "medium", timeStyle: "long" });
export const tsDate = (ts) => new Date(Number(ts) * 1000);

function relativeDay(date) {
  const of = (d) => format(d, { year: "numeric", month: "2-digit", day: "2-digit" });
  const now = Date.now();
  for (const [word, shift] of [["today", 0], ["yesterday", -1], ["tomorrow", 1]]) {
    if (of(date) === of(new Date(now + shift * 864e5))) return word;
  }
  return "";
}

function ago(date) {
  const s = Math.round((date - Date.now()) / 1000);
  const f = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (Math.abs(s) >= size) return f.format(Math.trunc(s / size), unit);
  }
  return f.format(s, "second");
}

const short = { day: "numeric", month: "short", year: "numeric" };
const long = { weekday: "long", day: "numeric", month: "long", year: "numeric" };
const tokens = {
  date_num: (d) => format(d, { year: "numeric", month: "2-digit", day: "2-digit" }).split("/").reverse().join("-"),
  date_slash: (d) => format(d, { year: "numeric", month: "2-digit", day: "2-digit" }),
  date: (d) => format(d, { day: "numeric", month: "long", year: "numeric" }),
  date_short: (d) => format(d, short),
  date_long: (d) => format(d, long),
  date_pretty: (d) => relativeDay(d) || tokens.date(d),
  date_short_pretty: (d) => relativeDay(d) || format(d, short),
  date_long_pretty: (d) => relativeDay(d) || format(d, long),
  time: clock,
  time_secs: (d) => format(d, { hour: "2-digit", minute: "2-digit", second: "2-digit" }),
  day_divider_pretty: (d) => relativeDay(d) || format(d, long),
  ago,
};

/** dateText fills in Slack's date format. Unknown tokens are not changed. */
export function dateText(seconds, pattern) {
  const date = new Date(Number(seconds) * 1000);
  return pattern.replace(/\{(\w+)\}/g, (all, name) => (tokens[name] ? tokens[name](date) : all));
}

/** toLocal and fromLocal convert between seconds and the value of <input type=datetime-local> in the person's zone. */
export function toLocal(seconds) {
  const parts = {};
  let f;
  const options = { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  try { f = new Intl.DateTimeFormat("en-GB", { ...options, timeZone: zone() }); } catch { f = new Intl.DateTimeFormat("en-GB", { ...options, timeZone: "UTC" }); }
  for (const p of f.formatToParts(new Date(seconds * 1000))) parts[p.type] = p.value;
  return `${parts.year}-${parts.month}-${parts.day}T${parts.hour}:${parts.minute}`;
}

export function fromLocal(text) {
  if (!text) return null;
  const wanted = Date.parse(text + "Z") / 1000;
  let guess = wanted;
  for (let i = 0; i < 3; i++) guess += wanted - Date.parse(toLocal(guess) + "Z") / 1000;
  return guess;
}
