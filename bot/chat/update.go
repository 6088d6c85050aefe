package chat

import (
	"context"
	"errors"
	"fmt"

	"tocsin/bot/incident"
	"tocsin/bot/text"
	"tocsin/templates"
)

// updateApproval shows the people who can approve an update, or the one who did.
func (m *builder) updateApproval() {
	u := m.inc.Update(m.event.Field("update"))
	switch {
	case u == nil || len(u.Audiences) == 0:
		return
	case u.ApprovedBy != "":
		m.iconLine("heavy_check_mark", "%s approved these words at %s for %s.", u.ApprovedBy, u.ApprovedAt, incident.Labels(u.Audiences))
	case u.Waits():
		approvers := people(m.inc.Approvers(*u, m.brief.Directory, m.brief.Now))
		if len(approvers) == 0 {
			m.line("It goes to %s when a second person of legal or communications approves these words. There is none: ask an administrator to add one.", incident.Labels(u.Audiences))
			break
		}
		m.line("It goes to %s when one of these people approves these words: %s.", incident.Labels(u.Audiences), approvers)
		m.buttons(m.approveButton(*u)...)
	}
	if next := m.when("update_due"); next.Format != "" {
		m.small(textf("next update by %s", next))
	}
}

// people lists persons without a mention.
func people(ids []incident.PersonID) (out List) {
	for _, p := range ids {
		out = append(out, p)
	}
	return out
}

func (m *builder) approveButton(u incident.Update) []Action {
	approve := m.button("Approve and send", incident.Command{Verb: incident.VerbApproveUpdate, Item: u.ID})
	for n := range approve {
		approve[n].Style = StylePrimary
	}
	return approve
}

// AskApproval requests the approval of an update in direct messages to legal and
// communications.
func (c *Effects) AskApproval(ctx context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
	u := b.Incident.Update(b.Event.Field("update"))
	if u == nil || !u.Waits() {
		return noCommand, nil // approved since the effect was created
	}
	_, err := c.sendToEach(ctx, b, b.Incident.Approvers(*u, b.Directory, b.Now), ApprovalRequest(b, *u))
	return noCommand, err
}

// ApprovalRequest returns the direct message that requests the approval of an update.
func ApprovalRequest(b incident.Brief, u incident.Update) Message {
	m := newEventBuilder(b)
	m.iconLine("mega", "%s asks you to approve update %s about %s.", u.By, Plain(u.ID), Strong{m.inc.ID})
	m.quoteText("text")
	m.line("Exactly these words go to %s when you press %s. One approval is enough. If the words must change, tell %s, who can post another update.",
		incident.Labels(u.Audiences), Strong{"Approve and send"}, u.By)
	if next := m.when("update_due"); next.Format != "" {
		m.small(textf("next update by %s", next))
	}
	m.buttons(m.approveButton(u)...)
	return m.message()
}

// ShareUpdate posts the approved words of an update in the channel of an audience. In the
// announce channel they are a reply in the thread of the incident.
func (c *Effects) ShareUpdate(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	audience, known := b.Directory.Audience(e.Args["audience"])
	switch {
	case !known || audience.Channel == "":
		return noCommand, &incident.Permanent{Err: fmt.Errorf("share update: the audience %q has no channel any more", e.Args["audience"])}
	case b.Event.Text("text") == "":
		return noCommand, &incident.Permanent{Err: errors.New("share update: the text was erased")}
	}
	m := SharedUpdate(b)
	sent := incident.UpdateSentCommand(e, audience.Name)
	if audience.Channel == incident.AnnounceAudience {
		if _, err := c.announceInThread(ctx, b, e, m, true); err != nil {
			return noCommand, err
		}
		return sent, nil
	}
	channel, err := c.platform.NamedChannel(ctx, audience.Channel)
	if err == nil {
		_, err = c.postOnce(ctx, b, channel, b.Mark, m, b.Attempt > 1)
	}
	if err != nil {
		return noCommand, err
	}
	return sent, nil
}

// SharedUpdate returns the message about an update for an audience.
func SharedUpdate(b incident.Brief) Message {
	m := newEventBuilder(b)
	if earlier := m.event.Field("corrects"); earlier != "" {
		m.iconLine("mega", "%s: correction of update %s", Strong{m.inc.ID}, Plain(earlier))
	} else {
		m.iconLine("mega", "%s: update %s", Strong{m.inc.ID}, m.field("update"))
	}
	m.quoteText("text")
	if next := m.when("update_due"); next.Format != "" {
		m.small(textf("next update by %s", next))
	}
	return m.message()
}

// AskUpdate reminds the communicator in a direct message that an update is due.
func (c *Effects) AskUpdate(ctx context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
	if b.Incident.Status.Ended() || !b.Incident.UpdateReminded {
		return noCommand, nil // posted since the effect was created
	}
	_, err := c.sendToEach(ctx, b, b.Incident.Communicators(b.Directory, b.Now), UpdateReminder(b))
	return noCommand, err
}

// UpdateReminder returns the reminder that an update is due.
func UpdateReminder(b incident.Brief) Message {
	m := newEventBuilder(b)
	word := "next"
	if m.inc.NextUpdate().First {
		word = "first"
	}
	m.iconLine("alarm_clock", "The %s update about %s is due now.", Plain(word), Strong{m.inc.ID})
	m.line("Press %s, or type %s.", Strong{"Update"}, Typed("update "+m.inc.ID.String()+" TEXT"))
	m.buttons(m.verbButton("Update", incident.VerbUpdate)...)
	return m.message()
}

// Updates returns the register of updates: the texts, which are in the timeline, and their
// recipients.
func Updates(b incident.Brief, timeline []incident.Event) Message {
	m := newBuilder(b)
	m.line("%s", Strong{Plain(fmt.Sprintf("Updates about %s", m.inc.ID))})
	if len(m.inc.Updates) == 0 {
		m.line("None was posted.")
	}
	for _, u := range m.inc.Updates {
		m.line("%s, %s at %s%s", Strong{Plain(u.ID)}, u.By, u.At, m.approval(u))
		for _, e := range timeline {
			if e.Seq == u.Seq && e.Text("text") != "" {
				m.quote(text.Truncate(e.Text("text"), 600))
			}
		}
		m.small(textf("got it: %s", m.recipients(u)))
	}
	if next := m.inc.NextUpdate(); !next.At.IsZero() {
		m.small(textf("next update by %s", next.At))
	}
	return m.message()
}

// approval returns the approval of an update and the number of the update that it corrects.
func (m *builder) approval(u incident.Update) Text {
	corrects := textf("")
	if u.Corrects != "" {
		corrects = textf(", corrects %s", Plain(u.Corrects))
	}
	switch {
	case u.Waits():
		return textf("%s, waits for approval for %s", corrects, incident.Labels(u.Audiences))
	case u.ApprovedBeforehand != "":
		return textf("%s, approved beforehand by %s", corrects, Plain(u.ApprovedBeforehand))
	case u.ApprovedBy != "":
		return textf("%s, approved by %s at %s", corrects, u.ApprovedBy, u.ApprovedAt)
	}
	return corrects
}

// recipients lists the recipients of an update.
func (m *builder) recipients(u incident.Update) List {
	out := List{textf("the responders")}
	for _, s := range u.Sent {
		if s.Withheld {
			out = append(out, textf("%s not, because the incident became restricted", Plain(s.Audience)))
			continue
		}
		out = append(out, textf("%s by %s at %s", Plain(s.Audience), Plain(templates.MediumName(s.Medium)), s.At))
	}
	return out
}
