package response

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"tocsin/bot/incident"
)

// TestShareUpdate_OnlyApprovedWordsLeave shares an update about a restricted incident. The
// handler gets the redacted words and nothing else about the incident.
func TestShareUpdate_OnlyApprovedWordsLeave(t *testing.T) {
	var briefs []incident.Brief
	fx := newUpdateFixture(t, &briefs)
	id := fx.open(t, incident.Sev2)
	fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbUpdate, Text: "logins work again", Audiences: []string{"customers"}})
	fx.runQueue(t)
	if len(briefs) > 0 {
		t.Fatalf("got %d messages before the approval, want none", len(briefs))
	}
	fx.do(t, "p7", incident.Command{For: id, Verb: incident.VerbApproveUpdate, Item: "U1"})
	fx.runQueue(t)
	if len(briefs) != 1 || briefs[0].Event.Text("text") != "logins work again" {
		t.Fatalf("got briefs %+v, want the approved words once", briefs)
	}
	b := briefs[0]
	b.Directory = incident.Directory{}
	if data, err := json.Marshal(b); err != nil || strings.Contains(string(data), "a key leaked") || b.Incident.Commander != "" {
		t.Errorf("got brief %s, %v, want no title and no commander", data, err)
	}
	if sent := fx.store.incidents[id].Updates[0].Sent; len(sent) != 1 || sent[0].Withheld {
		t.Errorf("got register %+v, want one entry", sent)
	}
}

// TestShareUpdate_WithheldAfterRestriction restricts the incident between the approval and
// the message. The audience leaves the configuration.
func TestShareUpdate_WithheldAfterRestriction(t *testing.T) {
	var briefs []incident.Brief
	fx := newUpdateFixture(t, &briefs)
	id := fx.do(t, "p1", incident.Command{Verb: incident.VerbOpen, Title: "x", Severity: incident.Sev2, Public: true}).Incident.ID
	fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbUpdate, Text: "logins work again", Audiences: []string{"company"}})
	fx.do(t, "p7", incident.Command{For: id, Verb: incident.VerbApproveUpdate, Item: "U1"})
	fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbRestrict})
	if err := fx.PutDirectory(context.Background(), testDirectory()); err != nil {
		t.Fatal(err)
	}
	fx.runQueue(t)
	if sent := fx.store.incidents[id].Updates[0].Sent; len(briefs) != 0 || len(sent) != 1 || !sent[0].Withheld || sent[0].Audience != "company" {
		t.Errorf("got %d messages and register %+v, want none and the reason", len(briefs), sent)
	}
}

// TestUpdateDue_RemindsUntilPosted promises the next update and lets the time pass.
func TestUpdateDue_RemindsUntilPosted(t *testing.T) {
	var briefs []incident.Brief
	fx := newUpdateFixture(t, &briefs)
	id := fx.open(t, incident.Sev2)
	next := fx.now.Add(3600e9)
	fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbUpdate, Text: "x", When: next})
	fx.runQueue(t)
	reminders := func() int {
		return len(slices.DeleteFunc(slices.Clone(fx.calls), func(c string) bool { return c != string(incident.EffectAskUpdate) }))
	}
	if reminders() != 0 {
		t.Fatal("reminded before the update is due")
	}
	fx.now = next
	fx.runQueue(t)
	fx.now = next.Add(3600e9)
	fx.runQueue(t)
	if reminders() != 1 {
		t.Errorf("got %d reminders, want 1", reminders())
	}
}

func newUpdateFixture(t *testing.T, briefs *[]incident.Brief) *fixture {
	t.Helper()
	fx := newFixture(t, func(o *Options) {
		share := func(_ context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
			*briefs = append(*briefs, b)
			return incident.UpdateSentCommand(e, e.Args["audience"]), nil
		}
		o.Handlers[incident.EffectShareUpdate], o.Handlers[incident.EffectMailUpdate] = share, share
		ask := o.Handlers[incident.EffectNotice]
		o.Handlers[incident.EffectAskUpdate] = ask
	})
	dir := testDirectory()
	dir.Audiences = []incident.UpdateAudience{{Name: "company", Channel: "C7"}, {Name: "customers", Mail: []string{"status@example.com"}, Restricted: true}}
	if err := fx.PutDirectory(context.Background(), dir); err != nil {
		t.Fatal(err)
	}
	return fx
}
