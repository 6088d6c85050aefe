package chat

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"tocsin/bot/incident"
	"tocsin/templates"
)

// Upload shares the postmortem in the channel of the incident.
func (c *Effects) Upload(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	channel, err := channelOf(b.Incident)
	if err != nil {
		return noCommand, err
	}
	doc := b.Document
	if doc == nil {
		return noCommand, &incident.Permanent{Err: fmt.Errorf("%s has no postmortem to share", b.Incident.ID)}
	}
	m := sharedPostmortem(b, *doc)
	if len(m.Files) == 0 {
		return noCommand, &incident.Permanent{Err: fmt.Errorf("the postmortem of %s is empty", b.Incident.ID)}
	}
	shared, err := c.postOnce(ctx, b, channel, b.Mark, m, b.Attempt > 1)
	if err != nil {
		return noCommand, err
	}
	if shared.URL != "" {
		title := fmt.Sprintf("Postmortem, revision %d", doc.Revision)
		if _, err := c.platform.Bookmark(ctx, channel, Bookmark{Title: title, URL: shared.URL, Icon: "page_facing_up"}); err != nil {
			c.log.WarnContext(ctx, "optional chat call failed", "call", "add a bookmark", "incident", b.Incident.ID, "err", err)
		}
	}
	return resultCommand(b, e, incident.Command{Verb: incident.VerbPostmortemShared, Revision: doc.Revision, Item: shared.File}), nil
}

// sharedPostmortem returns the message that shares the files of the postmortem. It
// contains no text that a person wrote.
func sharedPostmortem(b incident.Brief, doc incident.Document) Message {
	m := newEventBuilder(b)
	for _, f := range doc.Files {
		if f.Content != "" {
			f.Name = strings.ToLower(f.Name)
			m.Files = append(m.Files, f)
		}
	}
	m.iconLine("page_facing_up", "%s Read %s.", Strong{textf("Tocsin wrote the postmortem of %s, revision %d.", m.inc.ID, doc.Revision)}, SharedFiles{})
	if b.Withheld > 0 {
		m.line("%s", Plain(templates.LeftOut(b.Withheld)))
	}
	return m.message()
}

// AnnouncePostmortem announces the postmortem to the audience in the signed record, unless
// it was superseded since.
func (c *Effects) AnnouncePostmortem(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	record := b.Incident.Record
	if sub := b.Incident.Submission; sub != nil {
		record = sub.Document.Record
	}
	revision, _ := strconv.Atoi(e.Args["revision"])
	if b.Incident.PostmortemOf(revision).Superseded {
		return noCommand, nil
	}
	b.Mark = incident.PostmortemKey(b.Incident.ID, revision)
	m := PostmortemAnnouncement(b, record)
	switch record.Audience {
	case incident.AudienceAll:
		return noCommand, c.announce(ctx, b, m)
	case incident.AudienceLegalSecurity:
		_, err := c.sendToEach(ctx, b, b.Incident.PostmortemReaders(record.Audience, b.Directory, b.Now), m)
		return noCommand, err
	}
	return c.postIn(ctx, b, e, inSignoff, m)
}

// AnnounceWithdrawal announces to the audience of a postmortem that it no longer applies.
// In the announce channel it replies to the announcement. The channel of the incident has
// the event.
func (c *Effects) AnnounceWithdrawal(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	m := PostmortemWithdrawal(b)
	switch incident.Audience(b.Event.Field("audience")) {
	case incident.AudienceAll:
		revision, _ := strconv.Atoi(e.Args["revision"])
		_, err := c.inAnnounceChannel(ctx, func(channel string) error {
			announced, _, err := c.platform.Find(ctx, channel, "", incident.PostmortemKey(b.Incident.ID, revision), b.Incident.PostmortemOf(revision).At)
			if err != nil {
				return err
			}
			m.Thread = announced.ID
			_, err = c.postOnce(ctx, b, channel, b.Mark, m, b.Attempt > 1)
			return err
		})
		return noCommand, err
	case incident.AudienceLegalSecurity:
		_, err := c.sendToEach(ctx, b, b.Event.PostmortemReaders(), m)
		return noCommand, err
	}
	return noCommand, nil
}

// PostmortemWithdrawal returns the message that a postmortem no longer applies.
func PostmortemWithdrawal(b incident.Brief) Message {
	m := newEventBuilder(b)
	sentence, _ := m.event.Sentence()
	m.iconLine("warning", "%s (%s): %s.", Strong{textf("%s", m.inc.ID)}, string(m.inc.Severity), sentence)
	m.note("When every department has signed the new record, a new revision replaces it")
	return m.message()
}

// PostmortemAnnouncement returns the announcement of the postmortem of a record.
func PostmortemAnnouncement(b incident.Brief, record incident.ClosingRecord) Message {
	m := newBuilder(b)
	m.iconLine("page_facing_up", "%s (%s) is signed by every department.", Strong{textf("The postmortem of %s", m.inc.ID)}, string(m.inc.Severity))
	m.quote(m.inc.Title)
	for _, f := range incident.RecordFields() {
		if text := record.Get(f.Name); text != "" && (f.Name == "summary" || f.Name == "what_will_prevent_it") {
			m.heading(f.Label)
			m.quote(text)
		}
	}
	if sub := m.inc.Submission; sub != nil {
		m.small(textf("revision %d", sub.Document.Revision), replaces(m.inc, sub.Document.Revision))
	}
	return m.message()
}

// replaces names the postmortem that a revision replaces, if there is one.
func replaces(inc incident.Incident, revision int) Text {
	if old := inc.ReplacedPostmortem(revision); old > 0 {
		return textf("replaces revision %d", old)
	}
	return Text{}
}
