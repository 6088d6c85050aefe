package chat_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tocsin/bot/chat"
	"tocsin/bot/command"
	"tocsin/bot/incident"
	"tocsin/bot/redact"
	"tocsin/bot/response"
	"tocsin/store"
	"tocsin/store/storetest"
	"tocsin/templates"
)

// plainDesk is a desk on SQLite with a running queue, whose chat is a plainChat.
type plainDesk struct {
	*testing.T
	*plainChat
	url   string
	keys  *store.Keyset
	now   func() time.Time
	store *store.Store
	desk  *response.Desk
}

func newPlainDesk(t *testing.T, now func() time.Time) *plainDesk {
	t.Helper()
	keys, err := store.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	d := &plainDesk{T: t, plainChat: newPlainChat(), url: storetest.SQLite(t), keys: keys, now: now}
	d.start()
	t.Cleanup(func() { _ = d.store.Close() })
	return d
}

// start opens the database and starts the queue.
func (d *plainDesk) start() {
	d.Helper()
	s, err := store.Open(d.Context(), store.Config{URL: d.url}, store.Deps{Keyset: d.keys, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		d.Fatal(err)
	}
	effects := chat.New(d.plainChat, slog.New(slog.DiscardHandler))
	handlers := map[incident.EffectKind]response.Handler{}
	for kind, h := range effects.Handlers() {
		handlers[kind] = h
	}
	d.store = s
	d.desk, err = response.New(response.Options{Store: s, Redact: redact.New(redact.Options{}), Handlers: handlers, Pages: []response.Handler{effects.PageGroup("on-call")},
		Policy: incident.Policy{EscalateAfter: 24 * time.Hour, AckTimeout: 24 * time.Hour, EscalationSteps: 1}, Now: d.now, MissedAfter: 1000 * time.Hour,
		RenderPostmortem: func(p response.Postmortem) (incident.Document, error) {
			return templates.Postmortem(templates.Input{Incident: p.Incident, Timeline: p.Timeline, Directory: p.Directory, Revision: p.Revision, Written: p.Written})
		}})
	if err != nil {
		d.Fatal(err)
	}
	if err := d.desk.PutDirectory(d.Context(), plainDirectory()); err != nil {
		d.Fatal(err)
	}
	if err := s.Run(d.Context(), store.JobFuncs{Perform: d.desk.Perform, Drain: func(context.Context, int64, int64) error { return nil }}); err != nil {
		d.Fatal(err)
	}
}

// plainDirectory has two people in each department. The first four are responders.
func plainDirectory() incident.Directory {
	var d incident.Directory
	for n, team := range incident.RequiredDepartments() {
		members := []incident.Membership{}
		for k := range 2 {
			id := fmt.Sprintf("p%d", 2*n+k+1)
			d.People = append(d.People, incident.Person{ID: incident.PersonID(id), Name: id, Responder: n < 2, Identities: []incident.Identity{{Provider: plainProvider, ID: "@" + id}}})
			members = append(members, incident.Membership{Person: incident.PersonID(id)})
		}
		d.Teams = append(d.Teams, incident.Team{Name: team, Members: members})
	}
	return d
}

// do gives a command as a person in the chat.
func (d *plainDesk) do(person string, cmd incident.Command) incident.Incident {
	d.Helper()
	cmd.By, cmd.Via, cmd.Auth = incident.Identity{Provider: plainProvider, ID: "@" + person}, incident.Via(plainProvider), "plain"
	result, err := d.desk.Do(d.Context(), cmd)
	if err != nil {
		d.Fatalf("%s: got error %v", cmd.Verb, err)
	}
	return result.Incident
}

// ask types a question in the channel of an incident and returns the answer.
func (d *plainDesk) ask(person string, id incident.ID, question string) string {
	d.Helper()
	who := incident.Identity{Provider: plainProvider, ID: "@" + person}
	typed, err := command.Parse(question, command.Context{Incident: id, Who: incident.PersonID(person), By: who, Directory: plainDirectory(), Now: d.now(), Zone: time.UTC})
	if err != nil || !chat.IsQuestion(typed) {
		d.Fatalf("%s: got %+v, %v, want a question", question, typed, err)
	}
	m, err := chat.Reader{Desk: d.desk, Who: who, Via: incident.Via(plainProvider), Now: d.now()}.Answer(d.Context(), typed)
	if err != nil {
		return err.Error()
	}
	return plainText(m)
}

// press presses a button of a message and returns the incident after the command.
// It passes only the parts that a platform stores in a button.
func (d *plainDesk) press(person string, m *plainMessage, label string, more func(*incident.Command)) incident.Incident {
	d.Helper()
	for _, b := range m.Blocks {
		row, _ := b.(chat.Actions)
		for _, a := range row {
			if a.Label == label {
				cmd := command.Press(a.Command.Verb, a.Command.For, command.ButtonArgs(a.Command))
				if more != nil {
					more(&cmd)
				}
				return d.do(person, cmd)
			}
		}
	}
	d.Fatalf("got no button %q in %s, want one", label, m.text)
	return incident.Incident{}
}

// see waits for a message with all texts in a channel.
func (d *plainDesk) see(channel string, texts ...string) *plainMessage {
	d.Helper()
	var m *plainMessage
	d.until(fmt.Sprintf("a message in %s with %q", channel, texts), func() bool {
		if found := d.find(channel, texts...); found != nil {
			copied := *found
			m = &copied
		}
		return m != nil
	})
	return m
}

func (d *plainDesk) until(what string, ready func() bool) {
	d.Helper()
	ctx, cancel := context.WithTimeout(d.Context(), 30*time.Second)
	defer cancel()
	if err := d.waitFor(ctx, ready); err != nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		for name, c := range d.channels {
			for _, m := range c.messages {
				d.Logf("%s: %s", name, m.text)
			}
		}
		d.Fatalf("waited for %s: %v", what, err)
	}
}

// TestPlatform_WholeIncident carries an incident through on a platform that is not
// Slack: from the page to the shared postmortem and the review.
func TestPlatform_WholeIncident(t *testing.T) {
	var calls atomic.Int64
	began := time.Now()
	// Time passes quickly, and no edit of the card waits.
	d := newPlainDesk(t, func() time.Time { return began.Add(time.Duration(calls.Add(1)) * 3 * time.Second) })
	id := d.do("p1", incident.Command{Verb: incident.VerbOpen, Title: "a key leaked to <@everyone>", Severity: incident.Sev2}).ID
	const channel = "#inc-1"
	d.see("#announcements", "INC-1 was opened at sev2.", "restricted")
	d.see("#announcements", "on-call: INC-1 sev2: security incident (reported by a person) needs a responder. Press Acknowledge: you command.")
	d.see("@p3", "needs a responder", "[Acknowledge]")
	card := d.see(channel, "INC-1 sev2 TRIAGE, restricted", "Commander: none; paging", "[Acknowledge]")
	d.until("the pin, the topic and the responders", func() bool {
		c := d.channels[channel]
		return d.find(channel, "INC-1 sev2 TRIAGE").pinned && c.topic == "INC-1" && c.private && len(c.members) == 4
	})

	d.press("p2", card, "Acknowledge", nil)
	d.see(channel, "p2 acknowledged")
	d.see(channel, "INC-1 sev2 ACTIVE", "p2 commands")
	d.do("p2", incident.Command{For: id, Verb: incident.VerbGrant, Person: "p7", Text: "for the press"})
	d.until("the invitation of a reader", func() bool { return slices.Contains(d.channels[channel].members, "p7") })
	d.do("p2", incident.Command{For: id, Verb: incident.VerbRevoke, Person: "p7", Text: "not needed"})
	d.until("the removal", func() bool { return !slices.Contains(d.channels[channel].members, "p7") })

	active := d.see(channel, "INC-1 sev2 ACTIVE", "[Contained]")
	d.press("p2", active, "Contained", func(c *incident.Command) { c.Text = "disabled" })
	d.press("p2", d.see(channel, "INC-1 sev2 CONTAINED"), "Resolved", func(c *incident.Command) { c.Text = "rotated" })
	d.see(channel, "Write the closing record", "[Submit the record]")
	record := map[string]string{"audience": string(incident.AudienceAll)}
	for _, f := range incident.RecordFields() {
		if f.Name != "audience" && f.Name != "language" {
			record[f.Name] = f.Label
		}
	}
	d.press("p1", d.see(channel, "[Submit the record]"), "Submit the record", func(c *incident.Command) { c.Record = record })
	d.see(channel, "The record is frozen.", "Root cause:\n> Root cause")
	for n, team := range incident.RequiredDepartments() {
		request := d.see(channel, string(team)+": please read the closing record of INC-1, then press Read and sign or Object.", "p"+fmt.Sprint(2*n+2), "[Object]")
		if strings.Contains(request.text, "@") || strings.Contains(request.text, "sha256") {
			t.Errorf("got %s, want plain names and no digest", request.text)
		}
		signer := []string{"p2", "p3", "p5", "p7"}[n]
		d.see("@"+signer, "Please sign the closing record of INC-1 for", "[Read and sign]")
		d.press(signer, request, "Read and sign", nil)
		d.see("@"+signer, "The closing record of INC-1 is signed for "+string(team))
	}
	d.see(channel, "Tocsin is writing the postmortem.")
	shared := d.see(channel, "Tocsin wrote the postmortem of INC-1, revision 1. Read inc-1-postmortem-r1.md and inc-1-postmortem-r1.html.")
	if len(shared.Files) != 2 || !strings.Contains(shared.Files[0].Content, "Root cause") {
		t.Errorf("got files %+v, want the postmortem twice", shared.Files)
	}
	d.see("#announcements", "The postmortem of INC-1 (sev2) is signed by every department.", "Prevention")
	d.until("the bookmark", func() bool {
		return slices.Contains(d.channels[channel].bookmarks, chat.Bookmark{Title: "Postmortem, revision 1", URL: "https://plain.test/inc-1-postmortem-r1.md", Icon: "page_facing_up"})
	})

	d.press("p1", d.see(channel, "[Schedule the review]"), "Schedule the review", func(c *incident.Command) { c.When = time.Now().Add(48 * time.Hour) })
	due := time.Now().AddDate(0, 1, 0)
	d.do("p1", incident.Command{For: id, Verb: incident.VerbConclude, Attendance: []incident.PersonID{"p1", "p2"}, Text: "decided", Reason: "all are here", Actions: []incident.Action{
		{Kind: incident.ActionDetection, Title: "alarm", Owner: "p1", Due: due}, {Kind: incident.ActionPrevention, Title: "no keys", Owner: "p2", Due: due}}})
	d.see(channel, "p1 held the review meeting. Attendance: p1, p2.", "> decided", "> all are here", "- A1 · detection · alarm · p1")
	d.see(channel, "INC-1 sev2 CLOSED")
	for question, want := range map[string]string{"status": "INC-1 sev2 CLOSED", "record show": "Root cause:\n> Root cause", "actions": "Action items of INC-1: 2", "actions my": "INC-1 · A1 · detection · alarm · p1 · due ", "actions overdue": "Overdue action items: none",
		"actions all": "INC-1 · A2 · prevention · no keys · p2 · due ", "list all": "- INC-1 · sev2 · closed · a key leaked",
		"alerts": "There are no", "help sign": "tocsin sign", "status INC-2": "INC-2"} {
		if got := d.ask("p1", id, question); !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", question, got, want)
		}
	}
	d.do("p1", incident.Command{For: id, Verb: incident.VerbReopen, Text: "the key leaked again"})
	announced := d.see("#announcements", "The postmortem of INC-1 (sev2) is signed by every department.")
	reply := d.see("#announcements", "INC-1 (sev2): The postmortem, revision 1, no longer applies because the incident was reopened.", "a new revision replaces it")
	if reply.Thread != announced.id {
		t.Errorf("got thread %q, want the announcement %q", reply.Thread, announced.id)
	}
	d.see(channel, "The postmortem, revision 1, no longer applies because the incident was reopened.")
	d.requireOnce()
}

// requireOnce requires that no message was posted twice.
func (d *plainDesk) requireOnce() {
	d.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, c := range d.channels {
		seen := map[string]string{}
		for _, m := range c.messages {
			if before, twice := seen[m.mark.Key]; twice {
				d.Errorf("%s: got two messages with the mark %s: %q and %q, want one", name, m.mark.Key, before, m.text)
			}
			seen[m.mark.Key] = m.text
		}
	}
}

// TestCard_LastStateAfterRestart changes an incident often at one time. The card is
// edited once. After a restart three seconds later it shows the last state.
func TestCard_LastStateAfterRestart(t *testing.T) {
	var now atomic.Pointer[time.Time]
	began := time.Now()
	now.Store(&began)
	d := newPlainDesk(t, func() time.Time { return *now.Load() })
	const channel = "#inc-1"
	id := d.do("p1", incident.Command{Verb: incident.VerbOpen, Title: "a key leaked", Severity: incident.Sev2}).ID
	d.see(channel, "INC-1 sev2 TRIAGE")
	assign := func(person incident.PersonID) {
		d.do("p1", incident.Command{For: id, Verb: incident.VerbAssignRole, Role: incident.Commander, Person: person, Text: "shift"})
	}
	edits := func() int { return d.find(channel, "INC-1 sev2 TRIAGE").edits }
	assign("p2")
	d.until("the first edit", func() bool { return edits() > 0 })
	for range 5 {
		assign("p3")
		assign("p2")
	}
	assign("p4")
	d.see(channel, "p1 assigned the role commander to p4.")
	if err := d.store.Close(); err != nil {
		t.Fatal(err)
	}
	count := func() int {
		d.mu.Lock()
		defer d.mu.Unlock()
		return edits()
	}
	if n := count(); n != 1 {
		t.Errorf("got %d edits of the card at one time, want 1", n)
	}
	later := began.Add(3 * time.Second)
	now.Store(&later)
	d.start()
	d.see(channel, "INC-1 sev2", "Commander: p4")
	if n := count(); n != 2 {
		t.Errorf("got %d edits after the restart, want 2", n)
	}
	d.requireOnce()
}
