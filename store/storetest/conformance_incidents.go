package storetest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tocsin/bot/incident"
	"tocsin/bot/response"
)

func testSave(t *testing.T, s Subject) {
	inc := OpenIncident(t, s, "keys leaked")
	if inc.ID != 1 {
		t.Fatalf("got %s, want INC-1", inc.ID)
	}
	note := NewEvent(incident.EventNoted, nil, "text", "we saw it")
	var after incident.Incident
	MustTx(t, s, func(tx response.Tx) (err error) {
		after, err = SaveEvents(tx, inc, note, NewEvent(incident.EventLinked, map[string]string{"name": incident.LinkChannel, "value": "C1"}))
		return err
	})
	err := s.View(t.Context(), func(r response.Reader) error {
		got, err := r.Incident(1)
		if diff := cmp.Diff(after, got); diff != "" {
			t.Errorf("state (-want +got):\n%s", diff)
		}
		events, err2 := r.Timeline(1)
		if problems := incident.Verify(1, events, got.Head); len(events) != 3 || len(problems) > 0 {
			t.Errorf("got %d events with problems %v, want 3 without", len(events), problems)
		}
		one, err7 := r.Timeline(1, 2)
		missing, err8 := r.Timeline(1, 9)
		if len(one) != 1 || one[0].Hash != events[1].Hash || len(missing) != 0 {
			t.Errorf("Timeline of one event: got %+v and %+v, want the second event and none", one, missing)
		}
		if text := events[1].Text("text"); text != "we saw it" {
			t.Errorf("got text %q, want %q", text, "we saw it")
		}
		linked, err3 := r.IncidentByLink(incident.LinkChannel, "C1")
		other, err4 := r.IncidentByLink(incident.LinkChannel, "C2")
		if linked != 1 || other != 0 {
			t.Errorf("IncidentByLink: got %v, %v, want INC-1 and none", linked, other)
		}
		list, err5 := r.Summaries(incident.Filter{})
		if len(list) != 1 || list[0].Title != "keys leaked" || list[0].ID != 1 || !list[0].Restricted || list[0].Status != incident.Triage {
			t.Errorf("Summaries: got %+v", list)
		}
		none, err6 := r.Summaries(incident.Filter{Statuses: []incident.Status{incident.Closed}})
		if len(none) != 0 {
			t.Errorf("closed incidents: got %+v, want none", none)
		}
		_, unknown := r.Incident(7)
		if incident.CodeOf(unknown) != incident.CodeUnknown {
			t.Errorf("unknown incident: got %v", unknown)
		}
		return errors.Join(err, err2, err3, err4, err5, err6, err7, err8)
	})
	if err != nil {
		t.Error(err)
	}
}

func testStaleSave(t *testing.T, s Subject) {
	inc := OpenIncident(t, s, "x")
	MustTx(t, s, func(tx response.Tx) error {
		_, err := SaveEvents(tx, inc, NewEvent(incident.EventNoted, nil))
		return err
	})
	err := s.Tx(t.Context(), func(tx response.Tx) error {
		_, err := SaveEvents(tx, inc, NewEvent(incident.EventNoted, nil))
		return err
	})
	if !errors.Is(err, response.ErrChanged) {
		t.Errorf("stale save: got %v, want %v", err, response.ErrChanged)
	}
	err = s.Tx(t.Context(), func(tx response.Tx) error {
		_, err := SaveEvents(tx, incident.Incident{ID: inc.ID, Head: incident.Genesis(inc.ID)},
			NewEvent(incident.EventOpened, map[string]string{"status": "triage", "severity": "sev2"}))
		return err
	})
	if !errors.Is(err, response.ErrChanged) {
		t.Errorf("second opening: got %v, want %v", err, response.ErrChanged)
	}
	mustView(t, s, func(r response.Reader) error {
		events, err := r.Timeline(inc.ID)
		if len(events) != 2 {
			t.Errorf("got %d events, want 2", len(events))
		}
		return err
	})
}

// testFailedTx writes something of everything in a transaction that fails.
func testFailedTx(t *testing.T, s Subject) {
	failed := errors.New("rolled back by test")
	err := s.Tx(t.Context(), func(tx response.Tx) error {
		id, err := tx.NewID()
		_, err2 := SaveEvents(tx, incident.Incident{ID: id, Head: incident.Genesis(id)}, NewEvent(incident.EventOpened, map[string]string{"status": "triage", "severity": "sev2"}))
		_, err3 := tx.RecordCommandKey(id, "k")
		_, _, err4 := tx.CountAlert(id, incident.Alert{Source: "s", Fingerprint: "f"}, 1, Noon, response.RoutingDecision{})
		_, err5 := tx.Values(response.NamespaceAck, "a")
		return errors.Join(err, err2, err3, err4, err5, tx.Correlate("k", id), tx.PutValue(response.NamespaceAck, "a", []byte("1"), Noon), failed)
	})
	if !errors.Is(err, failed) {
		t.Fatalf("got %v, want %v", err, failed)
	}
	inc := OpenIncident(t, s, "x")
	MustTx(t, s, func(tx response.Tx) error {
		fresh, err := tx.RecordCommandKey(inc.ID, "k")
		correlated, err2 := tx.IncidentsByCorrelation("k")
		values, err3 := tx.Values(response.NamespaceAck, "a")
		alerts, err4 := tx.Alerts(response.AlertQuery{Incident: inc.ID})
		if inc.ID != 1 || !fresh || len(correlated) != 0 || values["a"] != nil || len(alerts) != 0 {
			t.Errorf("got %s, key fresh %v, correlations %v, values %s, alerts %v, want nothing of the failed transaction", inc.ID, fresh, correlated, values, alerts)
		}
		return errors.Join(err, err2, err3, err4)
	})
}

func testSummaries(t *testing.T, s Subject) {
	for _, title := range []string{"a", "b", "c"} {
		OpenIncident(t, s, title)
	}
	mustView(t, s, func(r response.Reader) error {
		for limit, want := range map[int][]string{0: {"c", "b", "a"}, 2: {"c", "b"}} {
			list, err := r.Summaries(incident.Filter{All: true, Limit: limit})
			var got []string
			for _, summary := range list {
				got = append(got, summary.Title)
			}
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("limit %d: got %v, %v, want %v", limit, got, err, want)
			}
		}
		return nil
	})
}

func testErase(t *testing.T, s Subject) {
	inc := OpenIncident(t, s, "a personal name")
	title := incident.TextRef{Seq: 1, Name: "title"}
	MustTx(t, s, func(tx response.Tx) (err error) {
		inc, err = saveAndErase(tx, inc, []incident.TextRef{title}, NewEvent(incident.EventErased, map[string]string{"refs": `[{"seq":1,"name":"title"}]`}, "reason", "asked to"))
		return err
	})
	mustView(t, s, func(r response.Reader) error {
		got, err := r.Incident(inc.ID)
		events, err2 := r.Timeline(inc.ID)
		list, err3 := r.Summaries(incident.Filter{})
		if got.Title != "" || list[0].Title != "" || !events[0].Texts["title"].Erased() || events[1].Text("reason") != "asked to" {
			t.Errorf("got %+v\n%+v, want the title erased", got, events)
		}
		if problems := incident.Verify(inc.ID, events, got.Head); len(problems) > 0 {
			t.Errorf("got problems %v", problems)
		}
		return errors.Join(err, err2, err3)
	})
	for _, ref := range []incident.TextRef{{Seq: 9, Name: "title"}, {Seq: 1, Name: "other"}} {
		err := s.Tx(t.Context(), func(tx response.Tx) error {
			_, err := saveAndErase(tx, inc, []incident.TextRef{ref}, NewEvent(incident.EventNoted, nil))
			return err
		})
		if incident.CodeOf(err) != incident.CodeUnknown {
			t.Errorf("%+v: got %v, want unknown", ref, err)
		}
	}
}

func testCommandKeys(t *testing.T, s Subject) {
	for i, want := range []bool{true, false} {
		MustTx(t, s, func(tx response.Tx) error {
			fresh, err := tx.RecordCommandKey(1, "view/hash")
			other, err2 := tx.RecordCommandKey(incident.ID(i+10), "view/hash")
			if fresh != want || !other {
				t.Errorf("pass %d: got %v, other incident %v, want %v, true", i, fresh, other, want)
			}
			return errors.Join(err, err2)
		})
	}
}

func testCorrelations(t *testing.T, s Subject) {
	a, b := OpenIncident(t, s, "a"), OpenIncident(t, s, "b")
	MustTx(t, s, func(tx response.Tx) error { return errors.Join(tx.Correlate("k", a.ID), tx.Correlate("k", a.ID)) })
	if err := s.Tx(t.Context(), func(tx response.Tx) error { return tx.Correlate("k", b.ID) }); !errors.Is(err, response.ErrCorrelated) {
		t.Errorf("second incident: got %v, want %v", err, response.ErrCorrelated)
	}
	correlated := func() (id incident.ID) {
		t.Helper()
		if err := s.View(t.Context(), func(r response.Reader) error {
			ids, err := r.IncidentsByCorrelation("j", "k")
			id = ids["k"]
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return id
	}
	if id := correlated(); id != a.ID {
		t.Errorf("got %s, want %s", id, a.ID)
	}
	MustTx(t, s, func(tx response.Tx) error { return tx.MoveCorrelations(a.ID, b.ID) })
	if id := correlated(); id != b.ID {
		t.Errorf("after MoveCorrelations: got %s, want %s", id, b.ID)
	}
	MustTx(t, s, func(tx response.Tx) error { return tx.MoveCorrelations(b.ID, 0) })
	if id := correlated(); id != 0 {
		t.Errorf("after the release: got %s, want none", id)
	}
	MustTx(t, s, func(tx response.Tx) error { return tx.Correlate("k", a.ID) })

}

func testEndedIncidents(t *testing.T, s Subject) {
	inc := OpenIncident(t, s, "a")
	known := incident.Alert{Source: "sentry", Fingerprint: "1", Correlation: "c"}
	other := known
	other.Fingerprint = "2"
	MustTx(t, s, func(tx response.Tx) error {
		_, _, err := tx.CountAlert(inc.ID, known, 1, Noon, response.RoutingDecision{})
		return errors.Join(err, tx.Correlate("c", inc.ID))
	})
	look := func(a incident.Alert, since time.Time) (id incident.ID, known bool) {
		t.Helper()
		err := s.View(t.Context(), func(r response.Reader) (err error) { id, known, err = r.EndedIncident("c", a, since); return err })
		if err != nil {
			t.Fatal(err)
		}
		return id, known
	}
	if id, _ := look(known, time.Time{}); id != 0 {
		t.Errorf("live incident: got %s, want none", id)
	}
	MustTx(t, s, func(tx response.Tx) error { return tx.MoveCorrelations(inc.ID, 0) })
	if id, known := look(known, Noon.Add(-time.Hour)); id != inc.ID || !known {
		t.Errorf("known alert: got %s, known %v, want %s, true", id, known, inc.ID)
	}
	if id, known := look(other, Noon.Add(-time.Hour)); id != inc.ID || known {
		t.Errorf("other alert: got %s, known %v, want %s, false", id, known, inc.ID)
	}
	if id, _ := look(known, Noon.Add(time.Hour)); id != 0 {
		t.Errorf("outside the window: got %s, want none", id)
	}
	// An alert about an ongoing state belongs to the last incident that has it, even if a later incident has the
	// key.
	next := OpenIncident(t, s, "b")
	MustTx(t, s, func(tx response.Tx) error { return tx.Correlate("c", next.ID) })
	MustTx(t, s, func(tx response.Tx) error { return tx.MoveCorrelations(next.ID, 0) })
	known.Ongoing, other.Ongoing = true, true
	if id, known := look(known, Noon.Add(time.Hour)); id != inc.ID || !known {
		t.Errorf("repeated ongoing alert: got %s, known %v, want %s, true", id, known, inc.ID)
	}
	if id, known := look(other, Noon.Add(-time.Hour)); id != next.ID || known {
		t.Errorf("new ongoing alert: got %s, known %v, want %s, false", id, known, next.ID)
	}
}

func testDirectoryAndDocuments(t *testing.T, s Subject) {
	inc := OpenIncident(t, s, "x")
	dir := incident.Directory{People: []incident.Person{{ID: "p1", Name: "Ada", Identities: []incident.Identity{{Provider: incident.ProviderMail, ID: "a@x"}}}},
		Teams: []incident.Team{{Name: incident.Legal, Members: []incident.Membership{{Person: "p1"}}}}}
	doc := incident.Document{Revision: 1, Digest: "sha256:1", Files: []incident.File{{Name: "x.md", Title: "x", MediaType: "text/markdown", Content: "# x"}, {Name: "x.html", MediaType: "text/html", Content: "<h1>"}}}
	newer := doc
	newer.Digest = "sha256:2"
	err := s.View(t.Context(), func(r response.Reader) error {
		d, err := r.Directory()
		if len(d.People) != 0 {
			t.Errorf("empty directory: got %v", d)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	MustTx(t, s, func(tx response.Tx) error {
		return errors.Join(tx.PutDirectory(incident.Directory{}), tx.PutDirectory(dir), tx.PutDocument(inc.ID, doc), tx.PutDocument(inc.ID, newer),
			tx.Audit(response.Access{At: Noon, Person: "p1", Handle: incident.Identity{Provider: incident.ProviderSlack, ID: "U1"}, Action: "show", Incident: inc.ID, Reason: "why", Allowed: true}))
	})
	err = s.View(t.Context(), func(r response.Reader) error {
		gotDir, err := r.Directory()
		gotDoc, err2 := r.Document(inc.ID, 1)
		if diff := cmp.Diff(dir, gotDir) + cmp.Diff(newer, gotDoc); diff != "" {
			t.Error(diff)
		}
		_, missing := r.Document(inc.ID, 2)
		if incident.CodeOf(missing) != incident.CodeUnknown {
			t.Errorf("missing revision: got %v", missing)
		}
		return errors.Join(err, err2)
	})
	if err != nil {
		t.Error(err)
	}
}
