package response_test

import (
	"fmt"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/response"
	"tocsin/store/storetest"
)

var otherOrigins = []incident.Origin{incident.OriginReplay, incident.OriginDrill, incident.OriginRecording}

// decoded returns decoded deliveries of an origin with one signal each, as the inbox
// passes them to the desk, and stores their rows.
func (h *testDesk) decoded(o incident.Origin, signals ...incident.Signal) []incident.DecodedDelivery {
	h.t.Helper()
	var out []incident.DecodedDelivery
	for _, signal := range signals {
		h.last++
		d := intake.Delivery{Source: "sentry", ID: time.Duration(h.last).String(), Origin: o, Body: []byte("{}"), Received: h.now}
		if err := h.store.Accept(h.t.Context(), []intake.Delivery{d}); err != nil {
			h.t.Fatal(err)
		}
		out = append(out, incident.DecodedDelivery{Row: h.last, Source: "sentry", Origin: o, Signals: []incident.Signal{signal.WithOrigin(o)}})
	}
	return out
}

// ingestWithOrigin ingests alerts of an origin and returns their outcomes.
func (h *testDesk) ingestWithOrigin(o incident.Origin, alerts ...incident.Alert) string {
	h.t.Helper()
	var signals []incident.Signal
	for _, a := range alerts {
		signals = append(signals, incident.Signal{Alert: &a})
	}
	return h.ingestDecoded(h.decoded(o, signals...))
}

func (h *testDesk) ingestDecoded(batch []incident.DecodedDelivery) string {
	h.t.Helper()
	if err := h.Ingest(h.t.Context(), batch); err != nil {
		h.t.Fatal(err)
	}
	out := make([]response.DeliveryOutcome, len(batch))
	err := h.store.View(h.t.Context(), func(r response.Reader) (err error) {
		for n, d := range batch {
			found, err := r.Deliveries(response.DeliveryQuery{Rows: []int64{d.Row}})
			if err != nil || len(found) != 1 {
				return fmt.Errorf("got deliveries %+v, %w", found, err)
			}
			out[n] = found[0].Outcome
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return outcomeList(out)
}

func (h *testDesk) incident(id incident.ID) incident.Incident {
	h.t.Helper()
	var inc incident.Incident
	err := h.store.View(h.t.Context(), func(r response.Reader) (err error) { inc, err = r.Incident(id); return err })
	if err != nil {
		h.t.Fatal(err)
	}
	return inc
}

func (h *testDesk) timeline(id incident.ID) []incident.Event {
	h.t.Helper()
	var events []incident.Event
	err := h.store.View(h.t.Context(), func(r response.Reader) (err error) { events, err = r.Timeline(id); return err })
	if err != nil {
		h.t.Fatal(err)
	}
	return events
}

func (h *testDesk) mustReject(code incident.Code, cmd incident.Command) {
	h.t.Helper()
	cmd.By, cmd.Via = incident.Identity{Provider: incident.ProviderLocal, ID: "p1"}, incident.ViaCLI
	if _, err := h.Do(h.t.Context(), cmd); incident.CodeOf(err) != code {
		h.t.Errorf("%s: got error %v, want code %s", cmd.Verb, err, code)
	}
}

// Alerts with one correlation key open one incident for each origin, whichever is
// first, and count only there.
func TestOriginDB_NeverAttachesToOther(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		h := newTestDesk(t, url, response.StormLimit{}, response.Rule{When: `level == "high"`, Open: incident.Sev1, RecurrenceWindow: time.Hour}, response.Rule{When: "true", Watch: true})
		first, second := testAlert("high", 1, "a"), testAlert("high", 2, "a")
		watched := testAlert("low", 3, "a")
		order := append(otherOrigins, incident.OriginLive)
		for _, o := range order { // stored as watched before an incident takes them
			if got := h.ingestWithOrigin(o, watched); got != "watched/0" {
				t.Fatalf("%s: got %s", o, got)
			}
		}
		for n, o := range order {
			id := incident.ID(n + 1)
			if got, want := h.ingestWithOrigin(o, first, first, second), "opened/"+id.String()[4:]+" counted/"+id.String()[4:]+" attached/"+id.String()[4:]; got != want {
				t.Errorf("%s: got %s, want %s", o, got, want)
			}
			inc := h.incident(id)
			if inc.Origin != o || inc.NeedsPage() != o.Pages() {
				t.Errorf("%s: got origin %s, needs a page %v", o, inc.Origin, inc.NeedsPage())
			}
		}
		for n, o := range order {
			rows := h.alerts(incident.ID(n + 1))
			if len(rows) != 3 || rows[0].Count+rows[1].Count+rows[2].Count != 4 {
				t.Errorf("%s: got %d alerts, want 3 with 4 occurrences: %+v", o, len(rows), rows)
			}
			for _, row := range rows {
				if row.Alert.Origin != o {
					t.Errorf("%s: got an alert of origin %s", o, row.Alert.Origin)
				}
			}
		}
		if rows := h.alerts(response.WatchedAlerts); len(rows) != 0 {
			t.Errorf("got watched alerts %+v, want each in the incident of its origin", rows)
		}
		h.mustReject(incident.CodeConflict, incident.Command{Verb: incident.VerbMerge, For: 1, Target: 4, Text: "the same"})
		h.mustReject(incident.CodeConflict, incident.Command{Verb: incident.VerbMerge, For: 4, Target: 2, Text: "the same"})

		// The end of one incident is no end of another, and no recurrence suppresses an
		// alert of another origin.
		for id := incident.ID(1); id <= 4; id++ {
			h.do(incident.Command{Verb: incident.VerbSetSeverity, For: id, Severity: incident.Sev1})
		}
		h.do(incident.Command{Verb: incident.VerbAcknowledge, For: 1})
		h.do(incident.Command{Verb: incident.VerbResolve, For: 1, Text: "done"})
		if got := h.ingestWithOrigin(incident.OriginLive, first); got != "counted/4" {
			t.Errorf("live alert: got %s", got)
		}
		if v, err := h.store.Verify(t.Context()); err != nil || len(v.Problems) > 0 {
			t.Errorf("got %+v, %v", v, err)
		}
	})
}

// A recurrence of a dismissed replay does not suppress the live alert.
func TestOriginDB_RecurrenceOfOther(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		h := newTestDesk(t, url, response.StormLimit{}, response.Rule{When: "true", Open: incident.Sev3, RecurrenceWindow: time.Hour})
		alert := testAlert("high", 1, "a")
		alert.Ongoing = true
		h.ingestWithOrigin(incident.OriginReplay, alert)
		h.do(incident.Command{Verb: incident.VerbDismiss, For: 1, Text: "a drill", NoPersonalData: true})
		if got := h.ingestWithOrigin(incident.OriginLive, alert); got != "opened/2" {
			t.Errorf("live: got %s, want an incident", got)
		}
		h.do(incident.Command{Verb: incident.VerbDismiss, For: 2, Text: "a mistake", NoPersonalData: true})
		if got := h.ingestWithOrigin(incident.OriginLive, alert); got != "recurred/2" {
			t.Errorf("live again: got %s, want a recurrence", got)
		}
		if got := h.ingestWithOrigin(incident.OriginReplay, alert); got != "recurred/1" {
			t.Errorf("replay again: got %s, want a recurrence of the replay", got)
		}
		if got := h.ingestWithOrigin(incident.OriginDrill, alert); got != "opened/3" {
			t.Errorf("drill: got %s, want an incident", got)
		}
	})
}

// A replay uses up no limit of live alerts, and groups its own storm.
func TestOriginDB_StormOfReplay(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		h := newTestDesk(t, url, response.StormLimit{Incidents: 3, Per: time.Hour}, response.Rule{When: "true", Open: incident.Sev3})
		var alerts []incident.Alert
		for n := range 6 {
			alerts = append(alerts, testAlert("high", n, ""))
		}
		if got := h.ingestWithOrigin(incident.OriginReplay, alerts...); got != "opened/1 opened/2 opened/3 grouped/4 grouped/4 grouped/4" {
			t.Errorf("replay: got %s", got)
		}
		if inc := h.incident(4); inc.Origin != incident.OriginReplay || inc.NeedsPage() {
			t.Errorf("got incident %+v, want one of the replay", inc.Summary())
		}
		if got := h.ingestWithOrigin(incident.OriginLive, alerts[:3]...); got != "opened/5 opened/6 opened/7" {
			t.Errorf("live: got %s, want no storm", got)
		}
		if got := h.ingestWithOrigin(incident.OriginLive, alerts[3:]...); got != "grouped/8 grouped/8 grouped/8" {
			t.Errorf("live: got %s, want a storm of its own", got)
		}
		if inc := h.incident(8); inc.Origin != incident.OriginLive || !inc.NeedsPage() {
			t.Errorf("got incident %+v, want a live one", inc.Summary())
		}
	})
}

// A maintenance window suppresses alerts of every origin and counts the live ones.
func TestOriginDB_MaintenanceCountsLive(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		h := newTestDesk(t, url, response.StormLimit{}, response.Rule{When: "true", Open: incident.Sev3})
		h.alertRequest(incident.AlertRequest{Query: incident.QueryMaintenance,
			Add: &incident.MaintenanceWindow{When: `source == "sentry"`, From: h.now, To: h.now.Add(time.Hour), Reason: "a move"}})
		for _, o := range append(otherOrigins, incident.OriginLive) {
			if got := h.ingestWithOrigin(o, testAlert("high", 1, "a"), testAlert("high", 1, "a")); got != "maintenance/0 maintenance/0" {
				t.Errorf("%s: got %s", o, got)
			}
		}
		a := h.alertRequest(incident.AlertRequest{Query: incident.QueryAlerts, Disposition: incident.DispositionMaintenance})
		if a.Kinds != 1 || a.Occurrences != 2 || len(a.Alerts) != 4 {
			t.Errorf("got %d alerts, %d occurrences and a list of %d; want 1, 2 and 4", a.Kinds, a.Occurrences, len(a.Alerts))
		}
		if w := h.alertRequest(incident.AlertRequest{Query: incident.QueryMaintenance}); len(w.MaintenanceWindows) != 1 || w.MaintenanceWindows[0].Suppressed != 2 {
			t.Errorf("got windows %+v, want 2 suppressed alerts", w.MaintenanceWindows)
		}
		for _, row := range h.alerts(response.MaintenanceAlerts) { // promoted alerts keep their origin
			inc := h.do(incident.Command{Verb: incident.VerbPromote, Alerts: []int64{row.ID}, Severity: incident.Sev2})
			if inc.Origin != row.Alert.Origin || inc.NeedsPage() != inc.Origin.Pages() {
				t.Errorf("promoted %s alert: got an incident of origin %s, needs a page %v", row.Alert.Origin, inc.Origin, inc.NeedsPage())
			}
		}
	})
}

// A command of a delivery acts on an incident of its origin alone, also if it names the
// number of another.
func TestOriginDB_CommandsOfDeliveries(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		h := newTestDesk(t, url, response.StormLimit{}, response.Rule{When: "true", Open: incident.Sev3})
		alert := testAlert("high", 1, "a")
		h.ingestWithOrigin(incident.OriginLive, alert)
		note := func(text string) *incident.Command {
			return &incident.Command{Key: "k" + text, Verb: incident.VerbSourceNote, By: incident.Identity{Provider: incident.ProviderSource, ID: "sentry"}, Via: incident.ViaSource, Text: text}
		}
		before := len(h.timeline(1))
		for _, o := range otherOrigins {
			batch := h.decoded(o, incident.Signal{Command: note("by key"), Subject: incident.IncidentRef{Correlation: "a"}},
				incident.Signal{Command: note("by page"), Subject: incident.IncidentRef{PageKey: "INC-1/1"}})
			if got := h.ingestDecoded(batch); got != "ignored/0 ignored/1" {
				t.Errorf("%s: got %s, want nothing for a live incident", o, got)
			}
		}
		h.ingestWithOrigin(incident.OriginDrill, alert)
		own := h.decoded(incident.OriginDrill, incident.Signal{Command: note("resolved"), Subject: incident.IncidentRef{Correlation: "a"}})
		if got := h.ingestDecoded(own); got != "command/2" {
			t.Errorf("drill: got %s, want a note in its incident", got)
		}
		if got := h.ingestDecoded(h.decoded(incident.OriginLive, incident.Signal{Command: note("by page"), Subject: incident.IncidentRef{PageKey: "INC-1/1"}})); got != "command/1" || len(h.timeline(1)) != before+1 {
			t.Errorf("live command after its replay: got %s and %d events, want one more than %d", got, len(h.timeline(1)), before)
		}
		live := h.decoded(incident.OriginLive, incident.Signal{Command: note("acknowledged"), Subject: incident.IncidentRef{PageKey: "INC-2/1"}})
		if got := h.ingestDecoded(live); got != "command/2" {
			t.Errorf("live: got %s, want a note in the incident of the drill", got)
		}
	})
}
