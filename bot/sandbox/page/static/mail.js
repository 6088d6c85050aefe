// The mailbox: all mail from the bot, with invitations shown as in a mail program.

import { h, fill, icon, ask, bytes } from "./dom.js";
import { clock, exact, format } from "./world.js";

let reading = 0; // seq of the open mail, or 0

const methods = { REQUEST: "Invitation", CANCEL: "Cancelled", REPLY: "Reply", PUBLISH: "Event" };

function invitation(in_) {
  const full = { weekday: "short", day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", timeZoneName: "short" };
  const when = in_.start ? format(new Date(in_.start), full) + (in_.end ? " – " + clock(new Date(in_.end)) : "") : "no time";
  return h("section", { class: "invitation", "data-testid": "invitation", "data-method": in_.method },
    h("h4", {}, icon("calendar"), " ", (methods[in_.method] || "Event") + ": " + in_.summary),
    h("p", {}, when, in_.location ? " · " + in_.location : ""),
    in_.organizer ? h("p", { class: "muted" }, "from " + in_.organizer) : null,
    in_.attendees?.length ? h("p", { class: "muted" }, "to " + in_.attendees.join(", ")) : null,
    in_.rule ? h("p", { class: "muted" }, in_.rule) : null,
    in_.description ? h("p", { class: "pre-line" }, in_.description) : null);
}

function mailView(m) {
  const frame = m.html ? h("iframe", { sandbox: "", src: `/mail/${m.seq}/html`, title: "The mail as HTML" }) : null;
  const text = m.text ? h("pre", { class: "mail-text", hidden: Boolean(frame) }, m.text) : null;
  const swap = frame && text ? h("button", { type: "button", onclick: () => { frame.hidden = !frame.hidden; text.hidden = !text.hidden; swap.textContent = frame.hidden ? "Show HTML" : "Show text"; } }, "Show text") : null;
  return h("article", { class: "mail-view", "data-testid": "mail-open" },
    h("p", { class: "row" }, h("button", { type: "button", "data-testid": "mail-back", onclick: () => { reading = 0; mailbox.redraw(); } }, "← All mail"), swap,
      h("a", { class: "button", href: `/mail/${m.seq}/raw`, target: "_blank", rel: "noopener" }, "Source")),
    h("h3", {}, m.subject || "(no subject)"),
    h("dl", {}, h("dt", {}, "From"), h("dd", {}, m.from || m.sender), h("dt", {}, "To"), h("dd", {}, (m.to || []).join(", ")),
      h("dt", {}, "Sent to"), h("dd", {}, (m.recipients || []).join(", ")), h("dt", {}, "At"), h("dd", {}, exact(new Date(m.at))), h("dt", {}, "Id"), h("dd", {}, h("code", {}, m.message_id || "none"))),
    m.problem ? h("p", { class: "error" }, m.problem) : null,
    m.invitation ? invitation(m.invitation) : null,
    frame, text,
    (m.attachments || []).map((a, n) => h("p", { class: "file-head" }, h("span", { class: "file-icon" }, (a.name || a.type).split(/[./]/).pop().slice(0, 4)),
      h("div", { class: "file-name" }, h("strong", {}, a.name || a.type), h("small", {}, `${a.type} · ${bytes(a.size)}`)),
      h("a", { class: "button", href: `/mail/${m.seq}/part/${n}`, target: "_blank", rel: "noopener" }, "Open"),
      h("a", { class: "button", href: `/mail/${m.seq}/part/${n}?download=1` }, "Download"))));
}

const mailbox = { redraw: () => {} };

export async function showMail(panel) {
  const { mails } = await ask("/api/mail");
  mailbox.redraw = () => { panel.dataset.print = ""; showMail(panel); };
  const print = reading + " " + mails.length;
  if (panel.dataset.print === print && panel.childElementCount) return; // mail does not change, so the open frame is not redrawn
  panel.dataset.print = print;
  const m = mails.find((x) => x.seq === reading);
  if (m) {
    fill(panel, mailView(m));
    return;
  }
  fill(panel, h("h2", {}, "Mailbox"), mails.length ? h("ul", { class: "mail-list" }, mails.map((x) => h("li", {},
    h("button", { type: "button", class: "mail-line", "data-testid": "mail", "data-seq": x.seq, "data-message-id": x.message_id, onclick: () => { reading = x.seq; mailbox.redraw(); } },
      h("span", { class: "row" }, h("strong", {}, x.subject || "(no subject)"), h("time", {}, clock(new Date(x.at)))),
      h("small", {}, "to " + (x.recipients || []).join(", ")), x.invitation ? h("small", {}, icon("calendar"), " ", x.invitation.summary) : null,
      x.attachments?.length ? h("small", {}, icon("clip"), " ", x.attachments.map((a) => a.name || a.type).join(", ")) : null)))) : h("p", { class: "empty" }, "No mail yet. Mail from the bot appears here."));
}
