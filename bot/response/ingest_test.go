package response

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tocsin/bot/incident"
	"tocsin/playbooks"
)

func testAlert(kind, fingerprint, correlation string) incident.Alert {
	return incident.Alert{Source: "cloudtrail", Kind: kind, Level: incident.LevelHigh, Title: kind + " by AKIA", Fingerprint: fingerprint, Correlation: correlation, At: startTime}
}

func delivery(row int64, alerts ...incident.Alert) incident.DecodedDelivery {
	r := incident.DecodedDelivery{Row: row, Source: "cloudtrail"}
	for _, a := range alerts {
		r.Signals = append(r.Signals, incident.Signal{Row: row, Alert: &a})
	}
	return r
}

// newRoutedFixture returns a fixture whose rules open sev1 for critical and sev2
// for high alerts, attach medium ones, drop low ones and watch the rest.
func newRoutedFixture(t *testing.T, change func(*Options)) *fixture {
	return newFixture(t, func(o *Options) {
		o.Routing = mustRouting(t,
			Rule{When: `level == "critical"`, Open: "sev1", Playbook: "data-exposure"},
			Rule{When: `level == "high"`, Open: "sev2"},
			Rule{When: `level == "medium"`, Attach: true},
			Rule{When: `level == "low"`, Drop: "noise"})
		if change != nil {
			change(o)
		}
	})
}

func (fx *fixture) ingest(t *testing.T, batch ...incident.DecodedDelivery) {
	t.Helper()
	if err := fx.Ingest(context.Background(), batch); err != nil {
		t.Fatal(err)
	}
}

func (fx *fixture) outcomes(rows ...int64) []string {
	var out []string
	for _, row := range rows {
		out = append(out, fx.store.handled[row].Outcome)
	}
	return out
}

func countOf[T comparable](list []T, what T) int {
	n := 0
	for _, x := range list {
		if x == what {
			n++
		}
	}
	return n
}

func TestIngest_RepeatsOpenOneIncident(t *testing.T) {
	fx := newRoutedFixture(t, nil)
	row := int64(0)
	for range 20 {
		var batch []incident.DecodedDelivery
		for range 50 {
			row++
			a := testAlert("StopLogging", "f1", "AKIA1")
			a.EventID = fmt.Sprint(row)
			batch = append(batch, delivery(row, a))
		}
		fx.ingest(t, batch...)
		fx.ingest(t, batch...) // repeated drain
	}
	fx.runQueue(t)
	if len(fx.store.incidents) != 1 || countOf(fx.calls, "page 1/0") != 1 || countOf(fx.calls, "open_channel") != 1 {
		t.Errorf("got %d incidents, calls %v, want one incident, page and channel", len(fx.store.incidents), fx.calls)
	}
	if fx.store.alerts[0].Count != 1000 {
		t.Errorf("got %d occurrences, want 1000", fx.store.alerts[0].Count)
	}
	var marks []string
	for _, e := range fx.store.events[1] {
		if e.Kind == incident.EventAlertCounted {
			marks = append(marks, e.Field("count"))
		}
	}
	if !slices.Equal(marks, []string{"10", "100", "1000"}) {
		t.Errorf("got milestones %v", marks)
	}
}

// undecodableDelivery is an undecodable delivery with the alert about it.
func undecodableDelivery(row int64) incident.DecodedDelivery {
	a := testAlert("unreadable", "f6", "")
	a.Level = incident.LevelInformational // rules would open no incident for it
	out := delivery(row, a)
	out.Failed, out.Signals[0].Unreadable = "unknown format", true
	return out
}

func TestIngest_GroupsAlertsByCorrelationKey(t *testing.T) {
	lib, err := playbooks.Load()
	if err != nil {
		t.Fatal(err)
	}
	fx := newRoutedFixture(t, func(o *Options) { o.Playbooks = lib })
	medium, low, watched := testAlert("ListUsers", "f3", "k"), testAlert("Noise", "f4", "k"), testAlert("Quiet", "f5", "k")
	medium.Level, low.Level, watched.Level = incident.LevelMedium, incident.LevelLow, incident.LevelInformational
	fx.ingest(t, delivery(1, medium)) // no live incident yet
	fx.ingest(t, delivery(2, testAlert("StopLogging", "f1", "k")), delivery(3, testAlert("StopLogging", "f1", "k")), delivery(4, low), delivery(5, watched),
		undecodableDelivery(6), delivery(7, medium), delivery(8))
	if got := fx.outcomes(1, 2, 3, 4, 5, 6, 7, 8); !slices.Equal(got, []string{"watched", "opened", "counted", "dropped", "watched", "undecodable", "counted", "ignored"}) {
		t.Errorf("got outcomes %v", got)
	}
	if unread := fx.store.incidents[2]; unread.Severity != incident.Sev3 || unread.Alerts[0].Kind != "unreadable" || fx.store.handled[6].Incident != 2 || fx.store.handled[6].Reason != "unknown format" {
		t.Errorf("got %+v and outcome %+v, want an incident about the undecodable delivery", unread, fx.store.handled[6])
	}
	inc := fx.store.incidents[1]
	if inc.Severity != incident.Sev2 || inc.Paging.Round != 1 {
		t.Fatalf("got incident %+v", inc)
	}
	fx.do(t, "p1", incident.Command{For: 1, Verb: incident.VerbAcknowledge})
	critical := testAlert("GetObject", "f2", "k")
	critical.Level = incident.LevelCritical
	fx.ingest(t, delivery(10, critical))
	inc = fx.store.incidents[1]
	if got := fx.outcomes(10); got[0] != "attached" || inc.Severity != incident.Sev1 || inc.Paging.Acknowledged() || inc.Paging.Round != 2 {
		t.Errorf("outcome %v: more severe alert did not raise the severity and page: %+v", got, inc.Paging)
	}
	if inc.Run("data-exposure") == nil {
		t.Errorf("playbook of the rule did not start: %v", inc.Runs)
	}
	if len(fx.store.incidents) != 2 {
		t.Errorf("got %d incidents, want 2", len(fx.store.incidents))
	}
}

func TestIngest_LimitsAlertsInTimeline(t *testing.T) {
	fx := newRoutedFixture(t, nil)
	for n := range int64(100) {
		fx.ingest(t, delivery(n, testAlert("GetObject", fmt.Sprint("f", n), "k")))
	}
	if n := len(fx.store.incidents[1].Alerts); n != maxAttached {
		t.Errorf("got %d alerts in the timeline, want %d", n, maxAttached)
	}
	if n := len(fx.store.alerts); n != 100 {
		t.Errorf("got %d stored alerts, want 100", n)
	}
	left := testAlert("GetObject", "left out", "k")
	left.LeftOut = 762
	fx.ingest(t, delivery(100, left))
	if got := fx.store.incidents[1].Alerts; len(got) != maxAttached+1 || got[maxAttached].LeftOut != 762 {
		t.Errorf("got %+v, want the alert about items that were left out", got[len(got)-1])
	}
}

func TestReopen_LeavesKeyWithLiveIncident(t *testing.T) {
	fx := newRoutedFixture(t, nil)
	fx.ingest(t, delivery(1, testAlert("StopLogging", "f1", "k")))
	fx.do(t, "p1", incident.Command{For: 1, Verb: incident.VerbDismiss, Text: "a drill"})
	fx.do(t, "p3", incident.Command{For: 1, Verb: incident.VerbDismiss, Text: "yes"})
	fx.ingest(t, delivery(2, testAlert("StopLogging", "f1", "k")))
	if len(fx.store.incidents) != 2 {
		t.Fatalf("got %d incidents, want 2", len(fx.store.incidents))
	}
	fx.do(t, "p1", incident.Command{For: 1, Verb: incident.VerbReopen, Text: "not a false alarm"})
	if fx.store.correlate["k"] != 2 {
		t.Error("reopened incident took the correlation key of a live one")
	}
}

func TestReopen_RestoresCorrelationKey(t *testing.T) {
	fx := newRoutedFixture(t, nil)
	fx.ingest(t, delivery(1, testAlert("StopLogging", "f1", "k")))
	fx.do(t, "p1", incident.Command{For: 1, Verb: incident.VerbDismiss, Text: "a drill"})
	fx.do(t, "p3", incident.Command{For: 1, Verb: incident.VerbDismiss, Text: "yes"})
	if len(fx.store.correlate) != 0 {
		t.Fatal("dismissed incident still has its correlation key")
	}
	fx.do(t, "p1", incident.Command{For: 1, Verb: incident.VerbReopen, Text: "not a false alarm"})
	fx.ingest(t, delivery(2, testAlert("StopLogging", "f1", "k")))
	if len(fx.store.incidents) != 1 || fx.store.alerts[0].Count != 2 {
		t.Errorf("got %d incidents, want 1", len(fx.store.incidents))
	}
}

// A source note with a key is recorded again only if its alert occurred again. If
// the alert was split off, the note belongs to the new incident.
func TestSourceNote_RepeatedAfterRecurrence(t *testing.T) {
	fx := newRoutedFixture(t, nil)
	row := int64(0)
	occur := func(fingerprint string) {
		row++
		fx.ingest(t, delivery(row, testAlert("finding", fingerprint, "k")))
	}
	resolve := func() {
		row++
		fx.ingest(t, incident.DecodedDelivery{Row: row, Source: "cloudtrail", Signals: []incident.Signal{{Row: row, Subject: incident.IncidentRef{Correlation: "k", Fingerprint: "f"},
			Command: &incident.Command{Key: "f is resolved", Verb: incident.VerbSourceNote, By: incident.Identity{Provider: incident.ProviderSource, ID: "cloudtrail"}, Via: incident.ViaSource, Text: "resolved"}}}})
	}
	occur("other")
	occur("f")
	for n, step := range []struct {
		do    func()
		notes int
	}{{resolve, 1}, {resolve, 1}, {func() { occur("f") }, 1}, {resolve, 2}, {resolve, 2}, {func() { occur("other") }, 2}, {resolve, 2}} {
		step.do()
		if got := countOf(fx.eventKinds(1), incident.EventSourceNoted); got != step.notes {
			t.Fatalf("step %d: got %d notes, want %d", n, got, step.notes)
		}
	}
	fx.do(t, "p1", incident.Command{Key: "s", Verb: incident.VerbSplit, For: 1, Alerts: []int64{2}, Title: "another", Text: "another account"})
	occur("f")
	resolve()
	if source, target := countOf(fx.eventKinds(1), incident.EventSourceNoted), countOf(fx.eventKinds(2), incident.EventSourceNoted); source != 2 || target != 1 {
		t.Errorf("got %d and %d notes, want 2 and 1", source, target)
	}
}

func TestIngest_PagerCommands(t *testing.T) {
	fx := newRoutedFixture(t, nil)
	fx.ingest(t, delivery(1, testAlert("StopLogging", "f1", "k")))
	command := func(row int64, person, page string, verb incident.Verb) incident.DecodedDelivery {
		cmd := incident.Command{Key: fmt.Sprint("webhook", row), Verb: verb, By: incident.Identity{Provider: incident.ProviderPagerDuty, ID: person}, Via: incident.ViaPager}
		return incident.DecodedDelivery{Row: row, Source: "pagerduty", Signals: []incident.Signal{{Row: row, Command: &cmd, Subject: incident.IncidentRef{PageKey: page}}}}
	}
	fx.ingest(t,
		command(2, "Pnobody", "INC-1/1", incident.VerbAcknowledge),
		command(3, "Pp5", "INC-1/1", incident.VerbAcknowledge), // legal is not a responder
		command(4, "Pp1", "INC-77/1", incident.VerbAcknowledge),
		command(5, "Pp1", "of another system", incident.VerbAcknowledge))
	if got := fx.outcomes(2, 3, 4, 5); !slices.Equal(got, []string{"ignored", "ignored", "ignored", "ignored"}) {
		t.Errorf("got outcomes %v", got)
	}
	if fx.store.incidents[1].Paging.Acknowledged() {
		t.Fatal("acknowledged by a person who is not a responder")
	}
	fx.ingest(t, command(6, "Pp1", "INC-1/1", incident.VerbAcknowledge))
	if inc := fx.store.incidents[1]; inc.Commander != "p1" || fx.outcomes(6)[0] != "command" {
		t.Errorf("got %v, want acknowledged by p1", fx.store.handled[6])
	}
}

// brokenDB is a store that fails on one row.
type brokenDB struct {
	*memory
	row int64
}

func (s brokenDB) Tx(ctx context.Context, f func(Tx) error) error {
	return s.memory.Tx(ctx, func(tx Tx) error { return f(brokenTx{tx, s.row}) })
}

type brokenTx struct {
	Tx
	row int64
}

func (s brokenTx) Claim(rows []int64) ([]int64, error) {
	if slices.Contains(rows, s.row) {
		return nil, errors.New("broken row")
	}
	return s.Tx.Claim(rows)
}

func TestIngest_FailureBlocksOnlyItsDelivery(t *testing.T) {
	fx := newRoutedFixture(t, func(o *Options) { o.Store = brokenDB{o.Store.(*memory), 2} })
	err := fx.Ingest(context.Background(), []incident.DecodedDelivery{delivery(1, testAlert("A", "f1", "k")), delivery(2, testAlert("A", "f1", "k")), delivery(3, testAlert("A", "f1", "k"))})
	if err == nil {
		t.Error("got no error for the broken row")
	}
	if got := fx.outcomes(1, 2, 3); !slices.Equal(got, []string{"opened", "", "counted"}) {
		t.Errorf("got outcomes %v", got)
	}
}

// Deliveries that are routed again by other rules are not counted twice.
func TestIngest_ReprocessedCountsOnce(t *testing.T) {
	fx := newRoutedFixture(t, nil)
	quiet := alertWithLevel("informational", "f1", "AKIA1")
	fx.ingest(t, delivery(1, quiet), delivery(2, quiet), delivery(3, alertWithLevel("low", "f2", "AKIA2")))
	reprocess := func(rows ...incident.DecodedDelivery) {
		for n := range rows {
			rows[n].Reprocessed = true
			delete(fx.store.handled, rows[n].Row)
		}
		fx.ingest(t, rows...)
	}
	reprocess(delivery(1, quiet), delivery(2, quiet))
	if row := fx.store.alerts[0]; row.Count != 2 || row.Incident != WatchedAlerts {
		t.Errorf("unchanged rules: got %+v", row)
	}
	fx.Routing = mustRouting(t, Rule{When: "true", Open: "sev3"})
	fx.Desk.routing.Store(0)
	reprocess(delivery(1, quiet))
	reprocess(delivery(2, quiet), delivery(3, alertWithLevel("low", "f2", "AKIA2")))
	if row := fx.store.alerts[0]; row.Count != 2 || row.Incident != 1 {
		t.Errorf("changed rules: got %+v", row)
	}
	if row := fx.store.alerts[1]; row.Count != 1 || row.Incident != 2 {
		t.Errorf("dropped alert: got %+v", row)
	}
	if got := fx.outcomes(1, 2, 3); !slices.Equal(got, []string{"opened", "counted", "opened"}) {
		t.Errorf("got outcomes %v", got)
	}
}

// With random alerts, storms, maintenance windows, dismissals, promotions and
// splits, every delivery is handled once and every occurrence is counted once.
func TestIngest_PropertyNothingIsLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fx := newFixture(t, func(o *Options) {
			o.Storm = StormLimit{Incidents: rapid.IntRange(0, 3).Draw(t, "storm"), Per: 5 * time.Minute}
			o.Routing = mustRouting(t, Rule{When: `level == "critical"`, Open: "sev1"}, Rule{When: `level == "high"`, Open: "sev3", RecurrenceWindow: time.Hour},
				Rule{When: `level == "medium"`, Attach: true}, Rule{When: `level == "low"`, Drop: "noise"})
		})
		row := int64(0)
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			switch rapid.IntRange(0, 10).Draw(t, "step") {
			case 0:
				fx.now = fx.now.Add(time.Duration(rapid.IntRange(1, 90).Draw(t, "minutes")) * time.Minute)
			case 1:
				_, _ = fx.Alerts(context.Background(), slackIdentity("p1"), incident.AlertRequest{Query: incident.QueryMaintenance, Add: &incident.MaintenanceWindow{When: `level == "high"`, Reason: "x",
					From: fx.now, To: fx.now.Add(10 * time.Minute)}})
			case 2:
				for id, inc := range fx.store.incidents {
					if inc.Status.Responding() {
						_, _ = fx.Do(context.Background(), incident.Command{Verb: incident.VerbSetFact, For: id, By: slackIdentity("p1"), Text: "looked", Fact: &incident.FactChange{Name: incident.FactPersonalData, Value: "no"}})
						_, _ = fx.Do(context.Background(), incident.Command{Verb: incident.VerbDismiss, For: id, By: slackIdentity("p1"), Text: "a drill", NoPersonalData: true})
					}
				}
			case 3:
				for _, a := range slices.Clone(fx.store.alerts) {
					_, _ = fx.Do(context.Background(), incident.Command{Verb: incident.VerbPromote, Alerts: []int64{a.ID}, By: slackIdentity("p1")})
				}
			case 4:
				fx.runQueue(t)
			case 10:
				if rows := slices.DeleteFunc(slices.Clone(fx.store.alerts), func(a AlertRow) bool { return a.Incident <= 0 }); len(rows) > 0 {
					moved := rapid.SampledFrom(rows).Draw(t, "moved")
					_, _ = fx.Do(context.Background(), incident.Command{Verb: incident.VerbSplit, For: moved.Incident, Alerts: []int64{moved.ID}, Title: "another", By: slackIdentity("p1")})
				}
			default:
				var batch []incident.DecodedDelivery
				for range rapid.IntRange(1, 8).Draw(t, "batch") {
					row++
					level := rapid.SampledFrom([]incident.Level{"critical", "high", "high", "medium", "low", "informational"}).Draw(t, "level")
					n := rapid.IntRange(0, 6).Draw(t, "which")
					batch = append(batch, delivery(row, alertWithLevel(level, fmt.Sprint("f", n), fmt.Sprint("c", n/2))))
				}
				if err := fx.Ingest(context.Background(), batch); err != nil {
					t.Fatal(err)
				}
			}
		}
		occurrences := int64(0)
		for _, a := range fx.store.alerts {
			if a.Incident != -9 { // added to another row
				occurrences += a.Count
			}
		}
		if occurrences != row || len(fx.store.handled) != int(row) {
			t.Fatalf("got %d deliveries handled and %d occurrences counted, want %d", len(fx.store.handled), occurrences, row)
		}
		for key, id := range fx.store.correlate {
			if !fx.store.incidents[id].Status.Live() {
				t.Fatalf("correlation key %s is bound to %s, which is %s", key, id, fx.store.incidents[id].Status)
			}
		}
		for n, s := range fx.store.handled {
			if s.Outcome == "" || s.Routing == 0 {
				t.Fatalf("delivery %d: got %+v", n, s)
			}
		}
	})
}
