package chat

import (
	"context"
	"errors"
	"fmt"

	"tocsin/bot/incident"
	"tocsin/bot/text"
	"tocsin/templates"
)

// updateApproval asks legal and communications to approve an update.
func (m *builder) updateApproval() {
	u := m.inc.Update(m.event.Field("update"))
	if u == nil || !u.Waits() {
		return
	}
	m.call("May exactly these words go to these audiences? One of you decides.",
		append(m.teamWithout(incident.Legal, u.By), m.teamWithout(incident.Communications, u.By)...)...)
	approve := m.button("Approve and send", incident.Command{Verb: incident.VerbApproveUpdate, Item: u.ID})
	for n := range approve {
		approve[n].Style = StylePrimary
	}
	m.buttons(approve...)
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

// Updates returns the register of updates: the texts and their recipients. The texts come
// from the timeline.
func Updates(b incident.Brief, timeline []incident.Event) Message {
	m := newBuilder(b)
	m.line("%s", Strong{Plain(fmt.Sprintf("Updates about %s", m.inc.ID))})
	if len(m.inc.Updates) == 0 {
		m.line("None was posted.")
	}
	for _, u := range m.inc.Updates {
		m.line("%s", Plain(templates.UpdateLine(u, b.Directory)))
		for _, e := range timeline {
			if e.Seq == u.Seq && e.Text("text") != "" {
				m.quote(text.Truncate(e.Text("text"), 600))
			}
		}
	}
	if next := m.inc.NextUpdate(); !next.At.IsZero() {
		m.small(textf("next update by %s", next.At))
	}
	return m.message()
}
