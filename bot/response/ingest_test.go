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

func alert(kind, fingerprint, correlation string) incident.Alert {
	return incident.Alert{Source: "cloudtrail", Kind: kind, Level: incident.LevelHigh, Title: kind + " by AKIA", Fingerprint: fingerprint, Correlation: correlation, At: at}
}

func reported(row int64, alerts ...incident.Alert) incident.DecodedDelivery {
	r := incident.DecodedDelivery{Row: row, Source: "cloudtrail"}
	for _, a := range alerts {
		r.Signals = append(r.Signals, incident.Signal{Row: row, Alert: &a})
	}
	return r
}

// routed makes a world whose rules open sev2 for what is high, sev1 for what is
// critical, and watch the rest.
func routed(t *testing.T, change func(*Options)) *world {
	return newWorld(t, func(o *Options) {
		o.Routing = routing(t,
			Rule{When: `level == "critical"`, Open: "sev1", Playbook: "data-exposure"},
			Rule{When: `level == "high"`, Open: "sev2"},
			Rule{When: `level == "medium"`, Attach: true},
			Rule{When: `level == "low"`, Drop: "noise"})
		if change != nil {
			change(o)
		}
	})
}

func (w *world) report(t *testing.T, batch ...incident.DecodedDelivery) {
	t.Helper()
	if err := w.Ingest(context.Background(), batch); err != nil {
		t.Fatal(err)
	}
}

func (w *world) outcomes(rows ...int64) []string {
	var out []string
	for _, row := range rows {
		out = append(out, w.store.handled[row].Outcome)
	}
	return out
}

func count[T comparable](list []T, what T) int {
	n := 0
	for _, x := range list {
		if x == what {
			n++
		}
	}
	return n
}

func TestStormRingsOnce(t *testing.T) {
	w := routed(t, nil)
	row := int64(0)
	for range 20 {
		var batch []incident.DecodedDelivery
		for range 50 {
			row++
			a := alert("StopLogging", "f1", "AKIA1")
			a.EventID = fmt.Sprint(row)
			batch = append(batch, reported(row, a))
		}
		w.report(t, batch...)
		w.report(t, batch...) // drained again after a crash
	}
	w.settle(t)
	if len(w.store.incidents) != 1 || count(w.calls, "page 1/0") != 1 || count(w.calls, "open_channel") != 1 {
		t.Errorf("%d incidents, calls %v", len(w.store.incidents), w.calls)
	}
	if w.store.alerts[0].Count != 1000 {
		t.Errorf("counted %d", w.store.alerts[0].Count)
	}
	var marks []string
	for _, e := range w.store.events[1] {
		if e.Kind == incident.EventAlertCounted {
			marks = append(marks, e.Field("count"))
		}
	}
	if !slices.Equal(marks, []string{"10", "100", "1000"}) {
		t.Errorf("marked %v", marks)
	}
}

// unread is a delivery that could not be read, with the alert about it.
func unread(row int64) incident.DecodedDelivery {
	a := alert("unreadable", "f6", "") // which would open an incident, if rules were asked
	out := reported(row, a)
	out.Failed = "no shape we know"
	return out
}

func TestAlertsOfOneCorrelationAreOneIncident(t *testing.T) {
	lib, err := playbooks.Load()
	if err != nil {
		t.Fatal(err)
	}
	w := routed(t, func(o *Options) { o.Playbooks = lib })
	medium, low, watched := alert("ListUsers", "f3", "k"), alert("Noise", "f4", "k"), alert("Quiet", "f5", "k")
	medium.Level, low.Level, watched.Level = incident.LevelMedium, incident.LevelLow, incident.LevelInformational
	w.report(t, reported(1, medium)) // nothing to join yet
	w.report(t, reported(2, alert("StopLogging", "f1", "k")), reported(3, alert("StopLogging", "f1", "k")), reported(4, low), reported(5, watched),
		unread(6), reported(7, medium), reported(8))
	if got := w.outcomes(1, 2, 3, 4, 5, 6, 7, 8); !slices.Equal(got, []string{"watched", "opened", "counted", "dropped", "watched", "undecodable", "counted", "ignored"}) {
		t.Errorf("outcomes %v", got)
	}
	if !slices.ContainsFunc(w.store.alerts, func(row AlertRow) bool { return row.Alert.Kind == "unreadable" && row.Incident == WatchedAlerts }) {
		t.Error("nobody is shown the delivery that could not be read")
	}
	inc := w.store.incidents[1]
	if inc.Severity != incident.Sev2 || inc.Paging.Round != 1 {
		t.Fatalf("opened %+v", inc)
	}
	w.say(t, "p1", incident.Command{For: 1, Verb: incident.VerbAcknowledge})
	grave := alert("GetObject", "f2", "k")
	grave.Level = incident.LevelCritical
	w.report(t, reported(10, grave))
	inc = w.store.incidents[1]
	if got := w.outcomes(10); got[0] != "attached" || inc.Severity != incident.Sev1 || inc.Paging.Acknowledged() || inc.Paging.Round != 2 {
		t.Errorf("%v: a graver alert did not raise and page: %+v", got, inc.Paging)
	}
	if inc.Run("data-exposure") == nil {
		t.Errorf("the rule's playbook does not run: %v", inc.Runs)
	}
	if len(w.store.incidents) != 1 {
		t.Errorf("%d incidents", len(w.store.incidents))
	}
}

func TestUnlikeCopiesDoNotFillTheTimeline(t *testing.T) {
	w := routed(t, nil)
	for n := range int64(100) {
		w.report(t, reported(n, alert("GetObject", fmt.Sprint("f", n), "k")))
	}
	if n := len(w.store.incidents[1].Alerts); n != maxAttached {
		t.Errorf("%d alerts in the timeline", n)
	}
	if n := len(w.store.alerts); n != 100 {
		t.Errorf("%d alerts are kept", n)
	}
}

func TestANewIncidentFollowsAnEndedOne(t *testing.T) {
	w := routed(t, nil)
	w.report(t, reported(1, alert("StopLogging", "f1", "k")))
	w.say(t, "p1", incident.Command{For: 1, Verb: incident.VerbDismiss, Text: "a drill"})
	w.say(t, "p3", incident.Command{For: 1, Verb: incident.VerbDismiss, Text: "yes"})
	w.report(t, reported(2, alert("StopLogging", "f1", "k")))
	if len(w.store.incidents) != 2 {
		t.Fatalf("%d incidents", len(w.store.incidents))
	}
	w.say(t, "p1", incident.Command{For: 1, Verb: incident.VerbReopen, Text: "it was none"})
	if w.store.correlate["k"] != 2 {
		t.Error("a reopened incident took the key of the one that lives")
	}
}

func TestReopenedIncidentGathersAgain(t *testing.T) {
	w := routed(t, nil)
	w.report(t, reported(1, alert("StopLogging", "f1", "k")))
	w.say(t, "p1", incident.Command{For: 1, Verb: incident.VerbDismiss, Text: "a drill"})
	w.say(t, "p3", incident.Command{For: 1, Verb: incident.VerbDismiss, Text: "yes"})
	if len(w.store.correlate) != 0 {
		t.Fatal("a dismissed incident kept its key")
	}
	w.say(t, "p1", incident.Command{For: 1, Verb: incident.VerbReopen, Text: "it was none"})
	w.report(t, reported(2, alert("StopLogging", "f1", "k")))
	if len(w.store.incidents) != 1 || w.store.alerts[0].Count != 2 {
		t.Errorf("%d incidents", len(w.store.incidents))
	}
}

// TestWhatIsOverTwiceIsSaidTwice: a finding that is resolved and told so again is
// noted once, one that came back in between once more; and where it was split
// off, there.
func TestWhatIsOverTwiceIsSaidTwice(t *testing.T) {
	w := routed(t, nil)
	row := int64(0)
	came := func(fingerprint string) {
		row++
		w.report(t, reported(row, alert("finding", fingerprint, "k")))
	}
	over := func() {
		row++
		w.report(t, incident.DecodedDelivery{Row: row, Source: "cloudtrail", Signals: []incident.Signal{{Row: row, Subject: incident.IncidentRef{Correlation: "k", Fingerprint: "f"},
			Command: &incident.Command{Key: "f is resolved", Verb: incident.VerbSourceNote, By: incident.Identity{Provider: incident.ProviderSource, ID: "cloudtrail"}, Via: incident.ViaSource, Text: "resolved"}}}})
	}
	came("other")
	came("f")
	for n, step := range []struct {
		do    func()
		notes int
	}{{over, 1}, {over, 1}, {func() { came("f") }, 1}, {over, 2}, {over, 2}, {func() { came("other") }, 2}, {over, 2}} {
		step.do()
		if got := count(w.kinds(1), incident.EventSourceNoted); got != step.notes {
			t.Fatalf("step %d: %d notes, want %d", n, got, step.notes)
		}
	}
	w.say(t, "p1", incident.Command{Key: "s", Verb: incident.VerbSplit, For: 1, Alerts: []int64{2}, Title: "another", Text: "another account"})
	came("f")
	over()
	if n, there := count(w.kinds(1), incident.EventSourceNoted), count(w.kinds(2), incident.EventSourceNoted); n != 2 || there != 1 {
		t.Errorf("%d notes in the one, %d in the other", n, there)
	}
}

func TestPagerCommands(t *testing.T) {
	w := routed(t, nil)
	w.report(t, reported(1, alert("StopLogging", "f1", "k")))
	command := func(row int64, person, page string, verb incident.Verb) incident.DecodedDelivery {
		cmd := incident.Command{Key: fmt.Sprint("webhook", row), Verb: verb, By: incident.Identity{Provider: incident.ProviderPagerDuty, ID: person}, Via: incident.ViaPager}
		return incident.DecodedDelivery{Row: row, Source: "pagerduty", Signals: []incident.Signal{{Row: row, Command: &cmd, Subject: incident.IncidentRef{PageKey: page}}}}
	}
	w.report(t,
		command(2, "Pnobody", "INC-1/1", incident.VerbAcknowledge),
		command(3, "Pp5", "INC-1/1", incident.VerbAcknowledge), // of legal, no responder
		command(4, "Pp1", "INC-77/1", incident.VerbAcknowledge),
		command(5, "Pp1", "somebody else's", incident.VerbAcknowledge))
	if got := w.outcomes(2, 3, 4, 5); !slices.Equal(got, []string{"ignored", "ignored", "ignored", "ignored"}) {
		t.Errorf("outcomes %v", got)
	}
	if w.store.incidents[1].Paging.Acknowledged() {
		t.Fatal("somebody who may not has it")
	}
	w.report(t, command(6, "Pp1", "INC-1/1", incident.VerbAcknowledge))
	if inc := w.store.incidents[1]; inc.Commander != "p1" || w.outcomes(6)[0] != "command" {
		t.Errorf("not acknowledged: %v", w.store.handled[6])
	}
}

// sick is a store that fails whenever one row is touched.
type sick struct {
	*memory
	row int64
}

func (s sick) Tx(ctx context.Context, f func(Tx) error) error {
	return s.memory.Tx(ctx, func(tx Tx) error { return f(sickTx{tx, s.row}) })
}

type sickTx struct {
	Tx
	row int64
}

func (s sickTx) Claim(rows []int64) ([]int64, error) {
	if slices.Contains(rows, s.row) {
		return nil, errors.New("this row is broken")
	}
	return s.Tx.Claim(rows)
}

func TestOneBrokenRowDoesNotHoldUpTheRest(t *testing.T) {
	w := routed(t, func(o *Options) { o.Store = sick{o.Store.(*memory), 2} })
	err := w.Ingest(context.Background(), []incident.DecodedDelivery{reported(1, alert("A", "f1", "k")), reported(2, alert("A", "f1", "k")), reported(3, alert("A", "f1", "k"))})
	if err == nil {
		t.Error("the broken row is not tried again")
	}
	if got := w.outcomes(1, 2, 3); !slices.Equal(got, []string{"opened", "", "counted"}) {
		t.Errorf("outcomes %v", got)
	}
}

// TestEvaluatedAnew has deliveries routed again by other rules: what was counted is not counted twice.
func TestEvaluatedAnew(t *testing.T) {
	w := routed(t, nil)
	quiet := leveled("informational", "f1", "AKIA1")
	w.report(t, reported(1, quiet), reported(2, quiet), reported(3, leveled("low", "f2", "AKIA2")))
	anew := func(rows ...incident.DecodedDelivery) {
		for n := range rows {
			rows[n].Reprocessed = true
			delete(w.store.handled, rows[n].Row)
		}
		w.report(t, rows...)
	}
	anew(reported(1, quiet), reported(2, quiet))
	if row := w.store.alerts[0]; row.Count != 2 || row.Incident != WatchedAlerts {
		t.Errorf("by the same rules: %+v", row)
	}
	w.Routing = routing(t, Rule{When: "true", Open: "sev3"})
	w.Desk.routing.Store(0)
	anew(reported(1, quiet))
	anew(reported(2, quiet), reported(3, leveled("low", "f2", "AKIA2")))
	if row := w.store.alerts[0]; row.Count != 2 || row.Incident != 1 {
		t.Errorf("by other rules: %+v", row)
	}
	if row := w.store.alerts[1]; row.Count != 1 || row.Incident != 2 {
		t.Errorf("what was dropped: %+v", row)
	}
	if got := w.outcomes(1, 2, 3); !slices.Equal(got, []string{"opened", "counted", "opened"}) {
		t.Errorf("%v", got)
	}
}

// TestNothingIsLostWhateverIsConfigured throws alerts at storms, windows of maintenance and false alarms: every delivery
// is settled once, and every copy is counted once, somewhere.
func TestNothingIsLostWhateverIsConfigured(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, func(o *Options) {
			o.Storm = StormLimit{Incidents: rapid.IntRange(0, 3).Draw(t, "storm"), Per: 5 * time.Minute}
			o.Routing = routing(t, Rule{When: `level == "critical"`, Open: "sev1"}, Rule{When: `level == "high"`, Open: "sev3", RecurrenceWindow: time.Hour},
				Rule{When: `level == "medium"`, Attach: true}, Rule{When: `level == "low"`, Drop: "noise"})
		})
		row := int64(0)
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			switch rapid.IntRange(0, 10).Draw(t, "step") {
			case 0:
				w.now = w.now.Add(time.Duration(rapid.IntRange(1, 90).Draw(t, "minutes")) * time.Minute)
			case 1:
				_, _ = w.Alerts(context.Background(), slack("p1"), incident.AlertRequest{Query: incident.QueryMaintenance, Add: &incident.MaintenanceWindow{When: `level == "high"`, Reason: "x",
					From: w.now, To: w.now.Add(10 * time.Minute)}})
			case 2:
				for id, inc := range w.store.incidents {
					if inc.Status.Responding() {
						_, _ = w.Do(context.Background(), incident.Command{Verb: incident.VerbSetFact, For: id, By: slack("p1"), Text: "looked", Fact: &incident.FactChange{Name: incident.FactPersonalData, Value: "no"}})
						_, _ = w.Do(context.Background(), incident.Command{Verb: incident.VerbDismiss, For: id, By: slack("p1"), Text: "a drill"})
					}
				}
			case 3:
				for _, a := range slices.Clone(w.store.alerts) {
					_, _ = w.Do(context.Background(), incident.Command{Verb: incident.VerbPromote, Alerts: []int64{a.ID}, By: slack("p1")})
				}
			case 4:
				w.settle(t)
			case 10:
				if rows := slices.DeleteFunc(slices.Clone(w.store.alerts), func(a AlertRow) bool { return a.Incident <= 0 }); len(rows) > 0 {
					moved := rapid.SampledFrom(rows).Draw(t, "moved")
					_, _ = w.Do(context.Background(), incident.Command{Verb: incident.VerbSplit, For: moved.Incident, Alerts: []int64{moved.ID}, Title: "another", By: slack("p1")})
				}
			default:
				var batch []incident.DecodedDelivery
				for range rapid.IntRange(1, 8).Draw(t, "batch") {
					row++
					level := rapid.SampledFrom([]incident.Level{"critical", "high", "high", "medium", "low", "informational"}).Draw(t, "level")
					n := rapid.IntRange(0, 6).Draw(t, "which")
					batch = append(batch, reported(row, leveled(level, fmt.Sprint("f", n), fmt.Sprint("c", n/2))))
				}
				if err := w.Ingest(context.Background(), batch); err != nil {
					t.Fatal(err)
				}
			}
		}
		copies := int64(0)
		for _, a := range w.store.alerts {
			if a.Incident != -9 { // added up
				copies += a.Count
			}
		}
		if copies != row || len(w.store.handled) != int(row) {
			t.Fatalf("%d deliveries came, %d are settled, %d copies are counted", row, len(w.store.handled), copies)
		}
		for key, id := range w.store.correlate {
			if !w.store.incidents[id].Status.Live() {
				t.Fatalf("%s still leads to %s, which is %s", key, id, w.store.incidents[id].Status)
			}
		}
		for n, s := range w.store.handled {
			if s.Outcome == "" || s.Routing == 0 {
				t.Fatalf("delivery %d: %+v", n, s)
			}
		}
	})
}
