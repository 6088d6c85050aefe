package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/response"
)

func testCountAndMoveAlerts(t *testing.T, s Subject) {
	a, b := OpenIncident(t, s, "a"), OpenIncident(t, s, "b")
	alert := incident.Alert{Source: "sentry", Kind: "sentry.issue", Title: "boom", Fingerprint: "f", Correlation: "c", Tags: map[string]string{"k": "v"}, At: stored(Noon)}
	other := alert
	other.Fingerprint, other.Correlation = "g", "d"
	count := func(id incident.ID, al incident.Alert, n, before, total int64) {
		t.Helper()
		MustTx(t, s, func(tx response.Tx) error {
			row, known, err := tx.CountAlert(id, al, n, Noon, response.RoutingDecision{})
			if known != before || row.Count != total || row.Incident != id || (row.Alert.Title == "boom") != (before == 0) || row.ID == 0 || row.Hash == "" {
				t.Errorf("got %d before, row %+v, want %d before, count %d", known, row, before, total)
			}
			return err
		})
	}
	count(a.ID, alert, 1, 0, 1)
	changed := alert
	changed.Title = "later occurrence"
	count(a.ID, changed, 10, 1, 11)
	count(b.ID, alert, 2, 0, 2)
	count(b.ID, other, 5, 0, 5)
	count(0, alert, 3, 0, 3)
	count(0, other, 4, 0, 4)
	MustTx(t, s, func(tx response.Tx) error { return errors.Join(tx.Correlate("c", a.ID), tx.MoveAlerts(0, a.ID)) })
	MustTx(t, s, func(tx response.Tx) error { return tx.MoveAlerts(b.ID, a.ID) })
	counts := func(id incident.ID) (out []int64) {
		t.Helper()
		err := s.View(t.Context(), func(r response.Reader) error {
			rows, err := r.Alerts(response.AlertQuery{Incident: id, Limit: 10})
			for _, row := range rows {
				out = append(out, row.Count)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if got := fmt.Sprint(counts(a.ID), counts(b.ID), counts(0)); got != "[16 5] [] [4]" {
		t.Errorf("got counts %s, want [16 5] [] [4]", got)
	}
}

func testMoveAndSplitAlerts(t *testing.T, s Subject) {
	a, b := OpenIncident(t, s, "a"), OpenIncident(t, s, "b")
	one := incident.Alert{Source: "sentry", Kind: "k", Title: "one", Fingerprint: "1", Correlation: "c"}
	two, three := one, one
	two.Fingerprint, three.Fingerprint, three.Correlation = "2", "3", "d"
	var first response.AlertRow
	MustTx(t, s, func(tx response.Tx) (err error) {
		first, _, err = tx.CountAlert(response.WatchedAlerts, one, 3, Noon, response.RoutingDecision{Rule: 2})
		_, _, err2 := tx.CountAlert(response.DroppedAlerts, one, 4, Noon, response.RoutingDecision{})
		row, known, err3 := tx.MoveAlert(a.ID, one, response.RoutingDecision{Rule: 5, Storm: true})
		if known || row.Count != 7 || row.Incident != a.ID || row.Decision.Rule != 5 || !row.Decision.Storm {
			t.Errorf("MoveAlert: got known %v, %+v", known, row)
		}
		row, known, err4 := tx.MoveAlert(a.ID, one, response.RoutingDecision{})
		if !known || row.Count != 7 {
			t.Errorf("second MoveAlert: got known %v, %+v", known, row)
		}
		missing, _, err5 := tx.MoveAlert(a.ID, two, response.RoutingDecision{})
		if missing.ID != 0 {
			t.Errorf("MoveAlert of an unknown alert: got %+v", missing)
		}
		return errors.Join(err, err2, err3, err4, err5)
	})
	MustTx(t, s, func(tx response.Tx) error {
		second, _, err := tx.CountAlert(a.ID, two, 1, Noon, response.RoutingDecision{})
		third, _, err2 := tx.CountAlert(a.ID, three, 1, Noon, response.RoutingDecision{})
		err3 := errors.Join(tx.Correlate("c", a.ID), tx.Correlate("d", a.ID), tx.MoveAlerts(a.ID, b.ID, second.ID, third.ID))
		keys, err4 := tx.IncidentsByCorrelation("unknown", "d", "c")
		if len(keys) != 2 || keys["c"] != a.ID || keys["d"] != b.ID {
			t.Errorf("got incidents %v, want c in %s and d in %s", keys, a.ID, b.ID)
		}
		moved, err7 := tx.Alerts(response.AlertQuery{ID: third.ID})
		if len(moved) != 1 || moved[0].Incident != b.ID {
			t.Errorf("after the split: got %+v, want incident %s", moved, b.ID)
		}
		// A row that was merged into another is found by its old id.
		again, _, err8 := tx.CountAlert(response.WatchedAlerts, three, 2, Noon, response.RoutingDecision{})
		_, _, err9 := tx.MoveAlert(b.ID, three, response.RoutingDecision{})
		found, err10 := tx.Alerts(response.AlertQuery{ID: again.ID})
		if len(found) != 1 || found[0].ID != third.ID || found[0].Count != 3 {
			t.Errorf("merged row: got %+v, want id %d with count 3", found, third.ID)
		}
		return errors.Join(err, err2, err3, err4, err7, err8, err9, err10)
	})
	err := s.View(t.Context(), func(r response.Reader) error {
		found, err := r.Alerts(response.AlertQuery{ID: first.ID})
		if err != nil || len(found) != 1 {
			t.Errorf("got %+v, %v, want the first alert", found, err)
		}
		found, err = r.Alerts(response.AlertQuery{ID: 999})
		if err != nil || len(found) != 0 {
			t.Errorf("unknown alert: got %+v, %v, want none", found, err)
		}
		counts, err := r.CountAlerts(response.WatchedAlerts, Noon)
		if len(counts) > 0 {
			t.Errorf("got %+v, want none", counts)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func testAlertQueries(t *testing.T, s Subject) {
	inc := OpenIncident(t, s, "a")
	alert := func(n int) incident.Alert {
		return incident.Alert{Source: "sentry", Fingerprint: fmt.Sprint(n), Correlation: "c"}
	}
	MustTx(t, s, func(tx response.Tx) (err error) {
		for n := range 5 {
			at := Noon.Add(time.Duration(-n) * time.Minute)
			_, _, err1 := tx.CountAlert(inc.ID, alert(n), int64(n+1), at, response.RoutingDecision{})
			_, _, err2 := tx.CountAlert(response.DroppedAlerts, alert(n), 1, at, response.RoutingDecision{})
			err = errors.Join(err, err1, err2)
		}
		return err
	})
	mustView(t, s, func(r response.Reader) error {
		same, other := alert(3), incident.Alert{Source: "else", Fingerprint: "3"}
		all, err := r.Alerts(response.AlertQuery{Incident: inc.ID})
		if err != nil || len(all) != 5 {
			return fmt.Errorf("got %d alerts, want 5: %w", len(all), err)
		}
		for name, c := range map[string]struct {
			query response.AlertQuery
			want  []string
		}{
			"incident":    {response.AlertQuery{Incident: inc.ID}, []string{"0", "1", "2", "3", "4"}},
			"limit":       {response.AlertQuery{Incident: inc.ID, Limit: 2}, []string{"0", "1"}},
			"after":       {response.AlertQuery{Incident: inc.ID, After: all[2].ID, Limit: 9}, []string{"3", "4"}},
			"same":        {response.AlertQuery{Incident: inc.ID, Same: &same}, []string{"3"}},
			"none":        {response.AlertQuery{Incident: inc.ID, Same: &other}, nil},
			"by id":       {response.AlertQuery{ID: all[1].ID}, []string{"1"}},
			"disposition": {response.AlertQuery{Incident: response.DroppedAlerts, Limit: 3}, []string{"0", "1", "2"}},
		} {
			rows, err := r.Alerts(c.query)
			var got []string
			for _, row := range rows {
				got = append(got, row.Alert.Fingerprint)
			}
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%s: got %v, %v, want %v", name, got, err, c.want)
			}
		}
		if all[3].Count != 4 {
			t.Errorf("got %d occurrences, want 4", all[3].Count)
		}
		byID, byAlert, err := r.AlertIncidents([]int64{all[0].ID, 999}, []incident.Alert{other, same})
		if len(byID) != 1 || byID[all[0].ID] != inc.ID || len(byAlert) != 2 || len(byAlert[0]) != 0 || !slices.Equal(byAlert[1], []incident.ID{inc.ID}) {
			t.Errorf("AlertIncidents: got %v, %v", byID, byAlert)
		}
		counts, err2 := r.CountAlerts(response.DroppedAlerts, Noon.Add(-90*time.Second))
		if total := incident.SumAlerts(counts); total.Alerts != 2 || total.Occurrences != 2 {
			t.Errorf("CountAlerts: got %+v, want 2 alerts with 2 occurrences", counts)
		}
		return errors.Join(err, err2)
	})
}

func testConfigurations(t *testing.T, s Subject) {
	MustTx(t, s, func(tx response.Tx) error {
		rules := func(routing, detection string) response.Configuration {
			return response.Configuration{Routing: response.Ruleset{Digest: routing, Source: []byte("[" + routing + "]")}, Detection: response.Ruleset{Digest: detection, Source: []byte(detection)}}
		}
		one, err7 := tx.PutConfiguration(rules("sha256:1", "sha256:a"))
		two, err8 := tx.PutConfiguration(rules("sha256:1", "sha256:b"))
		same, err9 := tx.PutConfiguration(rules("sha256:1", "sha256:a"))
		single, err10 := tx.PutConfiguration(rules("sha256:2", ""))
		c, err11 := tx.Configuration(two)
		bare, err12 := tx.Configuration(single)
		if one != same || one == two || single == one || string(c.Routing.Source) != "[sha256:1]" || string(c.Detection.Source) != "sha256:b" || c.Detection.Digest != "sha256:b" || c.Since.IsZero() {
			t.Errorf("got configurations %d, %d, %d: %+v", one, two, same, c)
		}
		if bare.Detection.Digest != "" || bare.Detection.Source != nil || bare.Routing.Digest != "sha256:2" {
			t.Errorf("without detection rules: got %+v", bare)
		}
		return errors.Join(err7, err8, err9, err10, err11, err12)
	})
}

func testMaintenanceWindows(t *testing.T, s Subject) {
	window := incident.MaintenanceWindow{When: "true", Reason: "database migration", Owner: "p1", From: stored(Noon), To: stored(Noon.Add(time.Hour))}
	MustTx(t, s, func(tx response.Tx) (err error) {
		window.ID, err = tx.PutMaintenance(window)
		return errors.Join(err, tx.AddSuppressed(window.ID, 3, 1))
	})
	window.Suppressed, window.SuppressedSevere = 3, 1
	err := s.View(t.Context(), func(r response.Reader) error {
		list, err := r.MaintenanceWindows(Noon)
		late, err2 := r.MaintenanceWindows(Noon.Add(2 * time.Hour))
		if len(list) != 1 || list[0] != window || len(late) != 0 {
			t.Errorf("got windows %+v, after the end %+v", list, late)
		}
		return errors.Join(err, err2)
	})
	if err != nil {
		t.Error(err)
	}
	window.ConfirmedBy, window.ConfirmedAt = "s0", stored(Noon.Add(time.Minute))
	put := func(m incident.MaintenanceWindow) {
		t.Helper()
		MustTx(t, s, func(tx response.Tx) error {
			id, err := tx.PutMaintenance(m)
			if id != m.ID {
				t.Errorf("got window %d, want %d", id, m.ID)
			}
			return err
		})
	}
	changed := window
	changed.Suppressed = 0 // only AddSuppressed changes the counts
	put(changed)
	err = s.View(t.Context(), func(r response.Reader) error {
		got, err := r.MaintenanceWindow(window.ID)
		if got != window {
			t.Errorf("got window %+v, want %+v", got, window)
		}
		if _, unknown := r.MaintenanceWindow(99); incident.CodeOf(unknown) != incident.CodeUnknown {
			t.Errorf("unknown window: got %v", unknown)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	window.To, window.EndedBy = stored(Noon.Add(2*time.Minute)), "p2"
	put(window)
	mustView(t, s, func(r response.Reader) error {
		got, err := r.MaintenanceWindow(window.ID)
		list, err2 := r.MaintenanceWindows(Noon.Add(3 * time.Minute))
		if got != window || len(list) != 0 {
			t.Errorf("after the end: got window %+v and list %+v, want %+v and none", got, list, window)
		}
		return errors.Join(err, err2)
	})
}
