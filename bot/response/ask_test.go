package response

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
)

const askedKey = "AKIAIOSFODNN7EXAMPLE"

// newAskFixture returns a desk whose deliveries are lines: "CALL KEY" for each record, with
// the call as the fingerprint of the alert.
func newAskFixture(t *testing.T) *fixture {
	t.Helper()
	var fx *fixture
	fx = newFixture(t, func(o *Options) {
		o.Decode = func(d incident.StoredDelivery) (out []incident.Signal, err error) {
			for line := range strings.Lines(string(d.Body)) {
				call, key, ok := strings.Cut(strings.TrimSpace(line), " ")
				if !ok {
					err = errors.New("unknown shape")
					continue
				}
				at := fx.now.Add(-time.Hour)
				out = append(out, incident.Signal{Alert: &incident.Alert{Source: "cloudtrail", Fingerprint: call, Kind: "cloudtrail." + call, At: at},
					Activity: &incident.Activity{At: at, Call: call, AccessKey: key}})
			}
			return out, err
		}
	})
	return fx
}

// fillAsk stores the deliveries, with a key in those of the restricted incident.
func (fx *fixture) fillAsk(t *testing.T, secretKey string) (restricted, public incident.ID) {
	restricted, public = fx.open(t, incident.Sev2), fx.open(t, incident.Sev2)
	for id, isPublic := range map[incident.ID]bool{restricted: false, public: true} {
		inc := fx.store.incidents[id]
		inc.Restricted = !isPublic
		fx.store.incidents[id] = inc
	}
	alert := func(id int64, in incident.ID, fingerprint, key string) AlertRow {
		return AlertRow{ID: id, Incident: in, Count: 1, FirstAt: fx.now, LastAt: fx.now, Alert: incident.Alert{Source: "cloudtrail", Kind: "k", Fingerprint: fingerprint, Tags: map[string]string{"access_key": key}}}
	}
	fx.store.alerts = []AlertRow{alert(1, restricted, "secret", secretKey), alert(2, public, "open", askedKey), alert(3, WatchedAlerts, "watched", askedKey), alert(4, restricted, "moved", secretKey)}
	fx.store.bodies = map[int64]string{}
	for row, d := range map[int64]struct {
		body    string
		outcome DeliveryOutcome
	}{
		1: {"secret " + secretKey, DeliveryOutcome{Outcome: "opened", Incident: restricted, Alert: 1}},
		2: {"open " + askedKey, DeliveryOutcome{Outcome: "opened", Incident: public, Alert: 2}},
		3: {"watched " + askedKey, DeliveryOutcome{Outcome: "watched", Alert: 3}},
		4: {"moved " + secretKey, DeliveryOutcome{Outcome: "watched", Alert: 4}},                                // promoted later
		5: {"open " + askedKey + "\nsecret " + secretKey, DeliveryOutcome{Outcome: "opened", Incident: public}}, // two records
		6: {"forgotten " + secretKey + "\nopen other", DeliveryOutcome{Outcome: "opened", Incident: public}},    // no alert has the fingerprint any more
		7: {"new " + secretKey, DeliveryOutcome{}},                                                              // not handled
		8: {secretKey, DeliveryOutcome{Outcome: "undecodable", Incident: restricted, Alert: 1}},                 // cannot be decoded
		9: {"open other", DeliveryOutcome{Outcome: "opened", Incident: public, Alert: 2}},                       // of another key
	} {
		d.outcome.Row = row
		fx.store.bodies[row], fx.store.handled[row] = d.body, d.outcome
	}
	return restricted, public
}

func (fx *fixture) mustAsk(t *testing.T, person string, q incident.Question) incident.Trail {
	t.Helper()
	q.Kind, q.Value = incident.SubjectKey, askedKey
	a, err := fx.Alerts(t.Context(), incident.Identity{Provider: incident.ProviderLocal, ID: person}, incident.AlertRequest{Query: incident.QueryAsk, Ask: &q})
	if err != nil {
		t.Fatal(err)
	}
	return *a.Trail
}

func askedCalls(trail incident.Trail) (out []string) {
	for _, e := range trail.Events {
		out = append(out, fmt.Sprintf("D%d %s %d", e.Delivery, e.Call, e.Incident))
	}
	return out
}

// TestAsk_Restriction asks as several people. An answer to a person who may not read an
// incident is the same as if its records were about another key.
func TestAsk_Restriction(t *testing.T) {
	for person, want := range map[string]string{
		"p1": "[D1 secret 1 D2 open 2 D3 watched 0 D4 moved 1 D5 open 2 D5 secret 1 D6 forgotten 0 D7 new 0] unread 1", // a responder
		"p5": "[D2 open 2 D3 watched 0 D5 open 2] unread 0",                                                            // legal, which reads suppressed alerts
		"p7": "[D2 open 2 D5 open 2] unread 0",                                                                         // communications
	} {
		fx := newAskFixture(t)
		restricted, _ := fx.fillAsk(t, askedKey)
		fx.store.audit = nil
		got := fx.mustAsk(t, person, incident.Question{})
		if text := fmt.Sprint(askedCalls(got), " unread ", got.Unread); text != want {
			t.Errorf("%s: got %s, want %s", person, text, want)
		}
		asked, read := 0, map[bool]int{}
		for _, a := range fx.store.audit {
			if a.Action != incident.QueryAsk || string(a.Person) != person {
				t.Errorf("%s: got entry %+v", person, a)
			}
			switch {
			case strings.HasPrefix(a.Reason, "key "+askedKey+" from "):
				asked++
			case a.Incident == restricted:
				read[a.Allowed]++
			}
		}
		if mayRead := person == "p1"; asked != 1 || read[mayRead] != 1 || read[!mayRead] != 0 {
			t.Errorf("%s: got %d questions and the restricted incident %v in the audit log, want it once", person, asked, read)
		}
		if person == "p1" {
			continue
		}
		other := newAskFixture(t)
		other.fillAsk(t, "AKIAOTHERKEYOFNOBODY")
		if without := other.mustAsk(t, person, incident.Question{}); !reflect.DeepEqual(got, without) {
			t.Errorf("%s can tell that the incident exists:\ngot  %+v\nwant %+v", person, got, without)
		}
	}
	fx := newAskFixture(t)
	fx.fillAsk(t, askedKey)
	_, err := fx.Alerts(t.Context(), incident.Identity{Provider: incident.ProviderSlack, ID: "U9"}, incident.AlertRequest{Query: incident.QueryAsk, Ask: &incident.Question{Kind: incident.SubjectKey, Value: askedKey}})
	if incident.CodeOf(err) != incident.CodeForbidden {
		t.Errorf("an account of nobody: got %v", err)
	}
}

// TestAsk_AuditsRecordsOnly asks about a key that no record of the restricted incident has.
func TestAsk_AuditsRecordsOnly(t *testing.T) {
	fx := newAskFixture(t)
	restricted, _ := fx.fillAsk(t, "AKIAOTHERKEYOFNOBODY")
	fx.store.audit = nil
	for _, person := range []string{"p1", "p7"} {
		fx.mustAsk(t, person, incident.Question{})
	}
	for _, a := range fx.store.audit {
		if a.Incident == restricted {
			t.Errorf("got entry %+v about an incident without a record", a)
		}
	}
}

func TestAsk_SummaryAndPages(t *testing.T) {
	fx := newAskFixture(t)
	fx.fillAsk(t, askedKey)
	all := fx.mustAsk(t, "p1", incident.Question{})
	if all.Count != 8 || all.Deliveries != 9 || all.Next != 0 || all.Pages != 1 || len(all.Incidents) != 2 || len(all.Alerts) != 4 || !all.First.Equal(fx.now.Add(-time.Hour)) {
		t.Errorf("got %+v", all)
	}
	if got := fmt.Sprint(all.Calls); got != "[{open 2} {secret 2} {forgotten 1} {moved 1} {new 1} {watched 1}]" {
		t.Errorf("got calls %s", got)
	}
	var paged []string
	for page := 1; page <= 3; page++ {
		got := fx.mustAsk(t, "p1", incident.Question{Page: page, Limit: 3})
		if got.Pages != 3 || got.Count != 8 {
			t.Errorf("page %d: got %d pages of %d events", page, got.Pages, got.Count)
		}
		paged = append(paged, askedCalls(got)...)
	}
	if !reflect.DeepEqual(paged, askedCalls(all)) {
		t.Errorf("got pages %v, want %v", paged, askedCalls(all))
	}
	if got := fx.mustAsk(t, "p1", incident.Question{To: fx.now.Add(-2 * time.Hour)}); got.Count != 0 {
		t.Errorf("before the events: got %+v", got)
	}
	if got := fx.mustAsk(t, "p1", incident.Question{After: 4}); got.Count != 4 || len(got.Alerts) != 0 {
		t.Errorf("the rest of a search: got %+v, want the deliveries after D4", got)
	}
}

func TestAsk_DefaultPeriod(t *testing.T) {
	fx := newAskFixture(t)
	restricted, public := fx.fillAsk(t, askedKey)
	fx.store.alerts[1].FirstAt = fx.now.Add(-50 * time.Hour)
	fx.store.alerts[0].FirstAt = fx.now.Add(-50 * time.Hour)
	for _, c := range []struct {
		person string
		in     incident.ID
		want   time.Duration
	}{{"p7", 0, 24 * time.Hour}, {"p7", public, 51 * time.Hour}, {"p1", restricted, 51 * time.Hour}, {"p7", restricted, 24 * time.Hour}, {"p7", 99, 24 * time.Hour}} {
		if got := fx.mustAsk(t, c.person, incident.Question{Incident: c.in}).Question; !got.From.Equal(fx.now.Add(-c.want)) || !got.To.Equal(fx.now) {
			t.Errorf("%s in %s: got %s to %s, want the last %s", c.person, c.in, got.From, got.To, c.want)
		}
	}
}
