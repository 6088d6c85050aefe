package incident

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// updateFixture returns an incident of a company with audiences and statements.
func updateFixture(t tester, restricted bool) *fixture {
	w := fixtureIn(t, Active)
	w.inc.Restricted = restricted
	w.dir.Audiences = []UpdateAudience{{Name: "company", Channel: AnnounceAudience}, {Name: "customers", Channel: "C9", Mail: []string{"status@example.com"}, Restricted: true}}
	w.dir.Statements = []Statement{{Name: "holding", Text: "We look into {incident} ({severity}). Next update by {next}.", ApprovedBy: "Leg One"},
		{Name: "holding", Playbook: "other", Text: "not for this one", ApprovedBy: "Leg One"}, {Name: "correction", Text: "Correction of {earlier}: {text}"}}
	return w
}

// shared returns the audiences of the messages that the last event causes, by kind.
func (w *fixture) shared() (out []string) {
	for _, e := range w.events[len(w.events)-1].Effects(w.inc, Incident{}, Env{Now: w.now, Directory: w.dir, Policy: w.policy}) {
		if e.Kind.IsApproved() {
			out = append(out, string(e.Kind)+" "+e.Args["audience"])
		}
	}
	return out
}

func TestUpdate_LeavesOnlyAfterApproval(t *testing.T) {
	w := updateFixture(t, false)
	w.must("eng1", Command{Verb: VerbUpdate, Text: "logins work again"})
	if got := w.shared(); len(got) > 0 || w.inc.Update("u1").Waits() {
		t.Errorf("got messages %v of an update for responders, want none", got)
	}
	w.mustFail("com1", Command{Verb: VerbApproveUpdate, Item: "U1"}, CodeConflict)
	w.must("com1", Command{Verb: VerbUpdate, Text: "exports are off", Audiences: []string{"Company", "customers", "company"}})
	if got := w.shared(); len(got) > 0 || !w.inc.Update("U2").Waits() {
		t.Errorf("got messages %v before the approval, want none", got)
	}
	for p, code := range map[PersonID]Code{"com1": CodeConflict, "eng1": CodeForbidden, "sec1": CodeForbidden} {
		w.mustFail(p, Command{Verb: VerbApproveUpdate, Item: "U2"}, code)
	}
	w.mustFail("com2", Command{Verb: VerbApproveUpdate, Item: "U9"}, CodeUnknown)
	w.must("com2", Command{Verb: VerbApproveUpdate, Item: "u2"})
	if got, want := w.shared(), []string{"share_update company", "share_update customers", "mail_update customers"}; !slices.Equal(got, want) {
		t.Errorf("got messages %v after the approval, want %v", got, want)
	}
	for _, e := range w.events[len(w.events)-1].Effects(w.inc, Incident{}, Env{Now: w.now, Directory: w.dir, Policy: w.policy}) {
		// The announcements of the incident and its updates share a thread, so they share a lane.
		if isAnnounced := e.Args["audience"] == "company"; e.Kind == EffectShareUpdate && (e.Lane == announceIncident(effectBuilder{inc: w.inc})[0].Lane) != isAnnounced {
			t.Errorf("the message to %s is in the lane %s", e.Args["audience"], e.Lane)
		}
	}
	w.mustIgnore("leg1", Command{Verb: VerbApproveUpdate, Item: "U2"})
	sent := Command{Verb: VerbUpdateSent, Item: "U2", Text: "company", Channel: SystemSlack}
	w.must("", sent)
	w.mustIgnore("", sent)
	if u := w.inc.Update("U2"); u.ApprovedBy != "com2" || len(u.Sent) != 1 || u.Sent[0].Audience != "company" {
		t.Errorf("got register %+v, want the approval and the company", u)
	}
}

// TestUpdate_ApproverReadsRestrictedIncident posts an update about a restricted incident.
// Legal reads it to approve the words. Only audiences that may get them are accepted.
func TestUpdate_ApproverReadsRestrictedIncident(t *testing.T) {
	w := updateFixture(t, true)
	w.mustFail("leg1", Command{Verb: VerbApproveUpdate, Item: "U1"}, CodeUnknown)
	w.mustFail("eng1", Command{Verb: VerbUpdate, Text: "x", Audiences: []string{"company"}}, CodeConflict)
	w.must("eng1", Command{Verb: VerbUpdate, Text: "x", Audiences: []string{"customers"}})
	w.must("leg1", Command{Verb: VerbApproveUpdate, Item: "U1"})

	w = updateFixture(t, false)
	w.must("eng1", Command{Verb: VerbUpdate, Text: "x", Audiences: []string{"company"}})
	w.must("eng1", Command{Verb: VerbRestrict})
	w.mustFail("leg1", Command{Verb: VerbApproveUpdate, Item: "U1"}, CodeConflict)
}

func TestUpdate_Statements(t *testing.T) {
	w := updateFixture(t, false)
	w.inc.Facts.TimeZone = "Europe/Paris"
	paris, err := ParseZone(w.inc.Facts.TimeZone)
	if err != nil {
		t.Fatal(err)
	}
	next := w.now.Add(time.Hour).Truncate(time.Minute)
	holding := Command{Verb: VerbUpdate, Statement: "Holding", Audiences: []string{"company"}, When: next}
	for field, change := range map[string]func(*Command){
		"text":      func(c *Command) { c.Text = "my own words" },
		"when":      func(c *Command) { c.When = time.Time{} },
		"statement": func(c *Command) { c.Statement = "unknown" },
		"audiences": func(c *Command) { c.Audiences = []string{"press"} },
		"item":      func(c *Command) { c.Item = "U9" },
	} {
		cmd := holding
		change(&cmd)
		_, err := w.decideAs("eng1", cmd)
		refused := new(Error)
		if !errors.As(err, &refused) || refused.Field != field {
			t.Errorf("wrong %s: got %v, want an error of the field", field, err)
		}
	}
	w.must("eng1", holding)
	if got := w.shared(); !slices.Equal(got, []string{"share_update company"}) {
		t.Errorf("got messages %v of a statement that was approved beforehand, want one", got)
	}
	if got := w.events[len(w.events)-1].Text("text"); !strings.HasPrefix(got, "We look into INC-7 (") || !strings.Contains(got, next.In(paris).Format("15:04")+" Europe/Paris (") {
		t.Errorf("got text %q, want the filled statement", got)
	}
	w.must("com1", Command{Verb: VerbUpdate, Statement: "correction", Item: "U1", Text: "only exports are off"})
	u := w.inc.Update("U2")
	if text := w.events[len(w.events)-1].Text("text"); !u.Waits() || u.Corrects != "U1" || !slices.Equal(u.Audiences, []string{"company"}) || !strings.HasPrefix(text, "Correction of U1, ") {
		t.Errorf("got correction %+v with text %q, want one for the company that waits", u, text)
	}
}

func TestNextUpdate_DueOnce(t *testing.T) {
	w := newFixture(t)
	w.policy.FirstUpdate = map[Severity]time.Duration{Sev1: 15 * time.Minute, Sev2: time.Hour}
	w.must("eng1", Command{Verb: VerbOpen, Title: "x", Severity: Sev2})
	if got := w.inc.NextUpdate(); !got.First || got.At.Sub(w.inc.OpenedAt) != time.Hour {
		t.Errorf("got next update %+v, want the first one after an hour", got)
	}
	w.must("eng1", Command{Verb: VerbSetSeverity, Severity: Sev1, Text: "worse"})
	due := w.inc.UpdateDue
	if got := due.Sub(w.events[len(w.events)-1].RecordedAt); got > 15*time.Minute {
		t.Errorf("got the first update due after %s at sev1, want 15 minutes", got)
	}
	_, err := w.decideAs("", Command{Verb: VerbUpdateTimeout})
	moved := new(NotDue)
	if !errors.As(err, &moved) || !moved.Until.Equal(due) {
		t.Errorf("got %v before the update is due, want the time", err)
	}
	w.now = due
	w.must("", Command{Verb: VerbUpdateTimeout})
	w.mustIgnore("", Command{Verb: VerbUpdateTimeout})
	w.must("eng1", Command{Verb: VerbAssignRole, Role: Communicator, Person: "com1"})
	if got := w.inc.Communicators(w.dir, w.now); !slices.Equal(got, []PersonID{"com1"}) {
		t.Errorf("got %v to remind, want the communicator", got)
	}
	w.must("com1", Command{Verb: VerbUpdate, Text: "x", When: w.now.Add(time.Hour)})
	if got := w.inc.NextUpdate(); got.First || got.By != "com1" || w.inc.UpdateReminded {
		t.Errorf("got next update %+v, want another reminder for the communicator", got)
	}
	w.must("com1", Command{Verb: VerbUpdate, Text: "y"})
	if got := w.inc.NextUpdate(); !got.At.IsZero() {
		t.Errorf("got next update %+v, want none", got)
	}
}
