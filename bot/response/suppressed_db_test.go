package response_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/redact"
	"tocsin/bot/response"
	"tocsin/store"
	"tocsin/store/storetest"
)

// testDesk is a desk on a real database whose queue does not run.
type testDesk struct {
	*response.Desk
	t     *testing.T
	store *store.Store
	keys  *store.Keyset
	now   time.Time
	last  int64
}

func newTestDesk(t *testing.T, url string, storm response.StormLimit, rules ...response.Rule) *testDesk {
	t.Helper()
	keys, err := store.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	h := &testDesk{t: t, keys: keys, now: time.Date(2026, 11, 20, 3, 0, 0, 0, time.UTC)}
	clock := func() time.Time { return h.now }
	if h.store, err = store.Open(t.Context(), store.Config{URL: url}, store.Deps{Keyset: keys, Logger: slog.New(slog.DiscardHandler), Clock: clock}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.store.Close() })
	routing, err := response.NewRouting(rules, nil)
	if err != nil {
		t.Fatal(err)
	}
	h.Desk, err = response.New(response.Options{Store: h.store, Routing: routing, Storm: storm, Redact: redact.New(redact.Options{}), Now: clock,
		RenderPostmortem: func(response.Postmortem) (incident.Document, error) {
			return incident.Document{}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.PutDirectory(t.Context(), testDirectory()); err != nil {
		t.Fatal(err)
	}
	return h
}

// deliver ingests one delivery for each alert, as one batch, and returns their
// outcomes.
func (h *testDesk) deliver(alerts ...incident.Alert) []response.DeliveryOutcome {
	h.t.Helper()
	var ds []intake.Delivery
	for n := range alerts {
		ds = append(ds, intake.Delivery{Source: "sentry", ID: fmt.Sprint(h.last + int64(n)), Body: []byte("{}"), Received: h.now})
	}
	if err := h.store.Accept(h.t.Context(), ds); err != nil {
		h.t.Fatal(err)
	}
	batch := make([]incident.DecodedDelivery, len(alerts))
	for n, a := range alerts {
		batch[n] = incident.DecodedDelivery{Row: h.last + int64(n) + 1, Source: "sentry", Signals: []incident.Signal{{Alert: &a}}}
	}
	if err := h.Ingest(h.t.Context(), batch); err != nil {
		h.t.Fatal(err)
	}
	out := make([]response.DeliveryOutcome, len(alerts))
	err := h.store.View(h.t.Context(), func(r response.Reader) (err error) {
		for n := range out {
			found, err := r.Deliveries(response.DeliveryQuery{Rows: []int64{h.last + int64(n) + 1}})
			if err != nil || len(found) != 1 {
				return fmt.Errorf("got %d deliveries, want 1: %w", len(found), err)
			}
			out[n] = found[0].Outcome
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.last += int64(len(alerts))
	return out
}

func (h *testDesk) do(cmd incident.Command) incident.Incident {
	h.t.Helper()
	cmd.By, cmd.Via, cmd.Auth = incident.Identity{Provider: incident.ProviderLocal, ID: "p1"}, incident.ViaCLI, "unix socket"
	result, err := h.Do(h.t.Context(), cmd)
	if err != nil {
		h.t.Fatalf("%s: %v", cmd.Verb, err)
	}
	return result.Incident
}

func (h *testDesk) alertRequest(e incident.AlertRequest) incident.AlertResult {
	h.t.Helper()
	a, err := h.Alerts(context.Background(), incident.Identity{Provider: incident.ProviderLocal, ID: "p1"}, e)
	if err != nil {
		h.t.Fatalf("%+v: %v", e, err)
	}
	return a
}

func (h *testDesk) alerts(id incident.ID) []response.AlertRow {
	h.t.Helper()
	var rows []response.AlertRow
	err := h.store.View(h.t.Context(), func(r response.Reader) (err error) {
		rows, err = r.Alerts(response.AlertQuery{Incident: id})
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return rows
}

func testAlert(level incident.Level, n int, correlation string) incident.Alert {
	return incident.Alert{Source: "sentry", Kind: fmt.Sprint("kind", n), Level: level, Title: "it broke", Fingerprint: fmt.Sprint("f", n), Correlation: correlation}
}

func outcomeList(list []response.DeliveryOutcome) string {
	var out []string
	for _, o := range list {
		out = append(out, fmt.Sprintf("%s/%d", o.Outcome, o.Incident))
	}
	return strings.Join(out, " ")
}

func TestDeskDB_SuppressedAlerts(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		h := newTestDesk(t, url, response.StormLimit{}, response.Rule{When: `level == "high"`, Open: incident.Sev3, RecurrenceWindow: time.Hour},
			response.Rule{When: `level == "low"`, Drop: "noise"}, response.Rule{When: `level == "medium"`, Attach: true})
		if got := outcomeList(h.deliver(testAlert("informational", 1, "a"), testAlert("informational", 1, "a"), testAlert("low", 2, "a"), testAlert("medium", 3, "b"))); got != "watched/0 watched/0 dropped/0 watched/0" {
			t.Fatalf("got %s", got)
		}
		dropped := h.alertRequest(incident.AlertRequest{Query: incident.QueryAlerts, Disposition: incident.DispositionDropped})
		if dropped.Occurrences != 1 || dropped.Alerts[0].Reason != "noise" {
			t.Errorf("got dropped alerts %+v", dropped)
		}
		watched := h.alertRequest(incident.AlertRequest{Query: incident.QueryAlerts, Disposition: incident.DispositionWatched})
		if watched.Kinds != 2 || watched.Occurrences != 3 {
			t.Errorf("got watched alerts %+v", watched)
		}
		one := watched.Alerts[slices.IndexFunc(watched.Alerts, func(l incident.AlertLine) bool { return l.Kind == "kind1" })].ID
		first := h.do(incident.Command{Verb: incident.VerbPromote, Alerts: []int64{one}})
		if again := h.do(incident.Command{Verb: incident.VerbPromote, Alerts: []int64{one}}); again.ID != first.ID {
			t.Errorf("second promote: got %s after %s", first.ID, again.ID)
		}
		h.do(incident.Command{Verb: incident.VerbPromote, Alerts: []int64{dropped.Alerts[0].ID}, For: first.ID})
		if got := outcomeList(h.deliver(testAlert("medium", 1, "a"), testAlert("high", 4, "a"), testAlert("medium", 5, "b"))); got != "counted/1 attached/1 watched/0" {
			t.Errorf("got %s", got)
		}
		rows := h.alerts(1)
		if len(rows) != 3 || rows[0].Count != 3 {
			t.Fatalf("got alerts %+v", rows)
		}

		// After a split, the moved alert and its repeats belong to the new incident. The
		// correlation key stays with the source.
		second := h.do(incident.Command{Key: "k", Verb: incident.VerbSplit, For: 1, Alerts: []int64{rows[2].ID}, Title: "another", Text: "another key"})
		if second.ID != 1 || len(h.alerts(2)) != 1 || len(h.alerts(1)) != 2 {
			t.Errorf("got alerts %+v", h.alerts(2))
		}
		moved, stays := rows[2].Alert.Fingerprint, rows[0].Alert.Fingerprint
		for fingerprint, want := range map[string]incident.ID{moved: 2, stays: 1, "new": 1} {
			a := testAlert("medium", 0, "a")
			a.Fingerprint = fingerprint
			if got := h.deliver(a); got[0].Incident != want {
				t.Errorf("%s: got %s, want %s", fingerprint, got[0].Incident, want)
			}
		}

		// A maintenance window suppresses alerts.
		h.alertRequest(incident.AlertRequest{Query: incident.QueryMaintenance, Key: "w", Add: &incident.MaintenanceWindow{When: `level == "high"`, Reason: "planned", From: h.now, To: h.now.Add(time.Hour)}})
		if got := outcomeList(h.deliver(testAlert("high", 10, "c"), testAlert("high", 10, "c"), testAlert("high", 11, "a"))); got != "maintenance/0 maintenance/0 attached/1" {
			t.Errorf("got %s", got)
		}
		if w := h.alertRequest(incident.AlertRequest{Query: incident.QueryMaintenance, End: 1}).MaintenanceWindows; len(w) != 1 || w[0].Suppressed != 2 || w[0].EndedBy != "p1" {
			t.Errorf("got windows %+v", w)
		}
		x := h.alertRequest(incident.AlertRequest{Query: incident.QueryExplain, Alert: h.alerts(response.MaintenanceAlerts)[0].ID}).Explanation
		if !strings.Contains(x.Outcome, "M1") || !x.Rules[0].Matched || x.Digest != x.CurrentDigest {
			t.Errorf("got explanation %+v", x)
		}

		// A false alarm is suppressed within its recurrence window of an hour.
		opened := h.deliver(testAlert("high", 20, "d"))[0].Incident
		h.do(incident.Command{Verb: incident.VerbDismiss, For: opened, Text: "a drill", NoPersonalData: true})
		if got := h.deliver(testAlert("high", 20, "d"))[0]; got.Outcome != "recurred" || got.Incident != opened {
			t.Errorf("got outcome %+v", got)
		}
		h.now = h.now.Add(2 * time.Hour)
		if got := h.deliver(testAlert("high", 20, "d"))[0]; got.Outcome != "opened" || got.Incident == opened {
			t.Errorf("got outcome %+v", got)
		}

		// The split incident is reopened and gets its alerts with their recurrences, but
		// no alerts of the source.
		h.do(incident.Command{Verb: incident.VerbDismiss, For: 2, Text: "a drill", NoPersonalData: true})
		own, other := rows[2].Alert, testAlert("high", 0, "a")
		own.Level, other.Fingerprint = "high", stays
		h.do(incident.Command{Verb: incident.VerbDismiss, For: 1, Text: "a drill", NoPersonalData: true})
		if got := outcomeList(h.deliver(own)); got != "recurred/2" {
			t.Errorf("got %s", got)
		}
		h.do(incident.Command{Verb: incident.VerbReopen, For: 2, Text: "not a false alarm"})
		if alerts := h.alerts(2); len(alerts) != 1 || alerts[0].Count != 3 {
			t.Errorf("got alerts %+v", alerts)
		}
		if got := outcomeList(h.deliver(own, other)); got != "counted/2 recurred/1" {
			t.Errorf("got %s", got)
		}
		if v, err := h.store.Verify(t.Context()); err != nil || len(v.Problems) > 0 {
			t.Errorf("verify: got %+v, %v", v.Problems, err)
		}
	})
}

func TestDeskDB_Storm(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		h := newTestDesk(t, url, response.StormLimit{Incidents: 5, Per: 10 * time.Minute}, response.Rule{When: "true", Open: incident.Sev2})
		var alerts []incident.Alert
		for n := range 200 {
			alerts = append(alerts, testAlert("high", n, fmt.Sprint("c", n)))
		}
		h.deliver(alerts...)
		if rows := h.alerts(6); len(rows) != 195 {
			t.Errorf("got %d grouped alerts, want 195", len(rows))
		}
		if got := outcomeList(h.deliver(alerts[0], alerts[199], testAlert("high", 900, "new"))); got != "counted/1 counted/6 grouped/6" {
			t.Errorf("got %s", got)
		}
		h.now = h.now.Add(11 * time.Minute)
		if got := outcomeList(h.deliver(testAlert("high", 901, "newer"), alerts[150])); got != "opened/7 counted/6" {
			t.Errorf("got %s", got)
		}
		if v, err := h.store.Verify(t.Context()); err != nil || len(v.Problems) > 0 {
			t.Errorf("verify: got %+v, %v", v.Problems, err)
		}
	})
}
