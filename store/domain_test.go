package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/response"
	"tocsin/store/storetest"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 123456789, time.UTC)

func salt() []byte {
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	return b
}

// write runs f in a transaction that must commit.
func (s *Store) write(t testing.TB, f func(response.Tx) error) {
	t.Helper()
	if err := s.Tx(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

func event(kind incident.EventKind, fields map[string]string, texts ...string) incident.Event {
	e := incident.Event{Kind: kind, HappenedAt: noon, RecordedAt: noon, Via: incident.ViaCLI, Audience: incident.AudienceAll, Fields: fields}
	for i := 0; i < len(texts); i += 2 {
		if e.Texts == nil {
			e.Texts = map[string]incident.Text{}
		}
		e.Texts[texts[i]] = incident.Text{Value: texts[i+1]}
	}
	return e
}

// grow seals events onto an incident and saves it.
func grow(tx response.Tx, inc incident.Incident, events ...incident.Event) (incident.Incident, error) {
	for i, e := range events {
		events[i], _ = incident.Seal(inc.Head, e, salt)
		inc = incident.Apply(inc, events[i])
	}
	return inc, tx.Save(inc, events)
}

// open writes a new incident in triage.
func (s *Store) open(t testing.TB, title string) (inc incident.Incident) {
	t.Helper()
	s.write(t, func(tx response.Tx) error {
		id, err := tx.NewID()
		if err != nil {
			return err
		}
		inc, err = grow(tx, incident.Incident{ID: id, Head: incident.Genesis(id)},
			event(incident.EventOpened, map[string]string{"status": "triage", "severity": "sev2", "restricted": "true"}, "title", title))
		return err
	})
	return inc
}

func TestIncidentIsKeptAsItWasSaved(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		inc := s.open(t, "keys leaked")
		if inc.ID != 1 {
			t.Fatalf("the first incident is %s", inc.ID)
		}
		note := event(incident.EventNoted, nil, "text", "we saw it")
		var after incident.Incident
		s.write(t, func(tx response.Tx) (err error) {
			after, err = grow(tx, inc, note, event(incident.EventLinked, map[string]string{"name": incident.LinkChannel, "value": "C1"}))
			return err
		})
		err := s.View(t.Context(), func(r response.Reader) error {
			got, err := r.Incident(1)
			if diff := cmp.Diff(after, got); diff != "" {
				t.Errorf("state:\n%s", diff)
			}
			events, err2 := r.Timeline(1)
			if faults := incident.Verify(1, events, got.Head); len(events) != 3 || len(faults) > 0 {
				t.Errorf("%d events, faults %v", len(events), faults)
			}
			if text := events[1].Text("text"); text != "we saw it" {
				t.Errorf("text %q", text)
			}
			linked, err3 := r.IncidentByLink(incident.LinkChannel, "C1")
			stranger, err4 := r.IncidentByLink(incident.LinkChannel, "C2")
			if linked != 1 || stranger != 0 {
				t.Errorf("linked: %v, %v", linked, stranger)
			}
			list, err5 := r.Summaries(incident.Filter{})
			if len(list) != 1 || list[0].Title != "keys leaked" || list[0].ID != 1 || !list[0].Restricted || list[0].Status != incident.Triage {
				t.Errorf("list: %+v", list)
			}
			none, err6 := r.Summaries(incident.Filter{Statuses: []incident.Status{incident.Closed}})
			if len(none) != 0 {
				t.Errorf("closed: %+v", none)
			}
			_, unknown := r.Incident(7)
			if incident.CodeOf(unknown) != incident.CodeUnknown {
				t.Errorf("an unknown incident: %v", unknown)
			}
			return errors.Join(err, err2, err3, err4, err5, err6)
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestSaveIsGuardedByTheSequence(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		inc := s.open(t, "x")
		s.write(t, func(tx response.Tx) error { _, err := grow(tx, inc, event(incident.EventNoted, nil)); return err })
		err := s.Tx(t.Context(), func(tx response.Tx) error { _, err := grow(tx, inc, event(incident.EventNoted, nil)); return err })
		if !errors.Is(err, response.ErrChanged) {
			t.Errorf("a late save: %v", err)
		}
		err = s.Tx(t.Context(), func(tx response.Tx) error {
			_, err := grow(tx, incident.Incident{ID: inc.ID, Head: incident.Genesis(inc.ID)},
				event(incident.EventOpened, map[string]string{"status": "triage", "severity": "sev2"}))
			return err
		})
		if !errors.Is(err, response.ErrChanged) {
			t.Errorf("a second opening: %v", err)
		}
		if n := s.count(t, "SELECT count(*) FROM events"); n != 2 {
			t.Errorf("%d events", n)
		}
	})
}

func TestNumbersHaveNoGaps(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				err := s.Tx(t.Context(), func(tx response.Tx) error {
					id, err := tx.NewID()
					if err != nil {
						return err
					}
					if i%3 == 0 {
						return incident.Conflict("not this one")
					}
					_, err = grow(tx, incident.Incident{ID: id, Head: incident.Genesis(id)},
						event(incident.EventOpened, map[string]string{"status": "triage", "severity": "sev1"}))
					return err
				})
				if err != nil && incident.CodeOf(err) != incident.CodeConflict {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n, last := s.count(t, "SELECT count(*) FROM incidents"), s.count(t, "SELECT max(id) FROM incidents"); n != 13 || last != 13 {
			t.Errorf("%d incidents, the last is %d", n, last)
		}
	})
}

func TestCommandsCountOnce(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		for i, want := range []bool{true, false} {
			s.write(t, func(tx response.Tx) error {
				fresh, err := tx.RecordCommandKey(1, "view/hash")
				other, err2 := tx.RecordCommandKey(incident.ID(i+10), "view/hash")
				if fresh != want || !other {
					t.Errorf("pass %d: %v, elsewhere %v", i, fresh, other)
				}
				return errors.Join(err, err2)
			})
		}
	})
}

func TestCorrelationHasOneLiveIncident(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		a, b := s.open(t, "a"), s.open(t, "b")
		s.write(t, func(tx response.Tx) error { return errors.Join(tx.Correlate("k", a.ID), tx.Correlate("k", a.ID)) })
		if err := s.Tx(t.Context(), func(tx response.Tx) error { return tx.Correlate("k", b.ID) }); !errors.Is(err, response.ErrCorrelated) {
			t.Errorf("a second incident: %v", err)
		}
		holder := func() (id incident.ID) {
			t.Helper()
			if err := s.View(t.Context(), func(r response.Reader) (err error) { id, err = r.IncidentByCorrelation("k"); return err }); err != nil {
				t.Fatal(err)
			}
			return id
		}
		if id := holder(); id != a.ID {
			t.Errorf("held by %s", id)
		}
		s.write(t, func(tx response.Tx) error { return tx.MoveCorrelations(a.ID, b.ID) })
		if id := holder(); id != b.ID {
			t.Errorf("after a move held by %s", id)
		}
		s.write(t, func(tx response.Tx) error { return tx.ReleaseCorrelations(b.ID) })
		if id := holder(); id != 0 {
			t.Errorf("after a release held by %s", id)
		}
		s.write(t, func(tx response.Tx) error { return tx.Correlate("k", a.ID) })
		if err := s.Tx(t.Context(), func(tx response.Tx) error { return tx.Correlate("z", 99) }); err == nil {
			t.Error("a key was bound to an incident that never came")
		}
	})
}

func TestRacingCorrelationsOpenOneIncident(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		var wg sync.WaitGroup
		var mu sync.Mutex
		lost := 0
		for range 8 {
			wg.Go(func() {
				err := s.Tx(t.Context(), func(tx response.Tx) error {
					id, err := tx.NewID()
					if err != nil {
						return err
					}
					if err := tx.Correlate("k", id); err != nil { // before the first save, as the contract allows
						return err
					}
					_, err = grow(tx, incident.Incident{ID: id, Head: incident.Genesis(id)},
						event(incident.EventOpened, map[string]string{"status": "triage", "severity": "sev1"}))
					return err
				})
				mu.Lock()
				defer mu.Unlock()
				if errors.Is(err, response.ErrCorrelated) {
					lost++
				} else if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := s.count(t, "SELECT count(*) FROM incidents"); n != 1 || lost != 7 {
			t.Errorf("%d incidents, %d lost the race", n, lost)
		}
	})
}

func TestAlertsAreCountedAndMoved(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		a, b := s.open(t, "a"), s.open(t, "b")
		alert := incident.Alert{Source: "sentry", Kind: "sentry.issue", Title: "boom", Fingerprint: "f", Correlation: "c", Tags: map[string]string{"k": "v"}, At: dbTime(noon)}
		other := alert
		other.Fingerprint, other.Correlation = "g", "d"
		tally := func(id incident.ID, al incident.Alert, n, before, count int64) {
			t.Helper()
			s.write(t, func(tx response.Tx) error {
				row, known, err := tx.CountAlert(id, al, n, noon, response.RoutingDecision{})
				if known != before || row.Count != count || row.Incident != id || (row.Alert.Title == "boom") != (before == 0) || row.ID == 0 || row.Hash == "" {
					t.Errorf("before %d, row %+v", known, row)
				}
				return err
			})
		}
		tally(a.ID, alert, 1, 0, 1)
		changed := alert
		changed.Title = "a later copy"
		tally(a.ID, changed, 10, 1, 11)
		tally(b.ID, alert, 2, 0, 2)
		tally(b.ID, other, 5, 0, 5)
		tally(0, alert, 3, 0, 3)
		tally(0, other, 4, 0, 4)
		s.write(t, func(tx response.Tx) error { return errors.Join(tx.Correlate("c", a.ID), tx.MoveAlerts(0, a.ID)) })
		s.write(t, func(tx response.Tx) error { return tx.MoveAlerts(b.ID, a.ID) })
		counts := func(id incident.ID) (out []int64) {
			t.Helper()
			err := s.View(t.Context(), func(r response.Reader) error {
				rows, err := r.Alerts(id, 10)
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
			t.Errorf("counts %s", got)
		}
	})
}

func TestDeliveriesAreAcceptedOnceAndDrained(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		one := intake.Delivery{Source: "sentry", ID: "d1", Header: map[string]string{"Sentry-Hook-Resource": "issue"}, Body: []byte("{\x00}"), Received: dbTime(noon), Sender: "10.0.0.1"}
		two, elsewhere := one, one
		two.ID, elsewhere.Source = "d2", "cloudtrail"
		for _, batch := range [][]intake.Delivery{{one, one}, {one, two, elsewhere}, {two}, nil} {
			if err := s.Accept(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
		}
		if rows, jobs := s.count(t, "SELECT count(*) FROM inbox"), s.count(t, "SELECT count(*) FROM river_job WHERE kind = 'drain' AND queue = 'intake'"); rows != 3 || jobs != 1 {
			t.Fatalf("%d rows, %d jobs", rows, jobs)
		}
		drained := make(chan []intake.Row, 10)
		err := s.Run(t.Context(), JobFuncs{Drain: func(ctx context.Context, from, to int64) error {
			rows, err := s.Rows(ctx, from, to)
			if err != nil {
				return err
			}
			err = s.Tx(ctx, func(tx response.Tx) error {
				var ids []int64
				for _, row := range rows {
					ids = append(ids, row.ID)
				}
				ids, err := tx.Claim(ids)
				if err != nil {
					return err
				}
				rows = slices.DeleteFunc(rows, func(r intake.Row) bool { return !slices.Contains(ids, r.ID) })
				var settled []response.DeliveryOutcome
				for _, id := range ids {
					settled = append(settled, response.DeliveryOutcome{Row: id, Outcome: "undecodable", Reason: "not JSON"})
				}
				return tx.MarkHandled(settled)
			})
			drained <- rows
			return err
		}})
		if err != nil {
			t.Fatal(err)
		}
		rows := receive(t, drained)
		if len(rows) != 3 || cmp.Diff(one, rows[0].Delivery) != "" {
			t.Errorf("drained %+v", rows)
		}
		b, err := s.Backlog(t.Context())
		if err != nil || b.Inbox != 0 || b.Effects != 0 {
			t.Errorf("backlog %+v, %v", b, err)
		}
		if again, err := s.Rows(t.Context(), 1, 100); err != nil || len(again) != 0 {
			t.Errorf("still unhandled: %v, %v", again, err)
		}
	})
}

func TestALargeBatchIsOneCommitAndOneJob(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		var batch []intake.Delivery
		for i := range inboxChunk*2 + 1 {
			batch = append(batch, intake.Delivery{Source: "s", ID: fmt.Sprint(i), Body: []byte("{}"), Received: noon})
		}
		if err := s.Accept(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		rows, err := s.Rows(t.Context(), 0, 1<<40)
		if jobs := s.count(t, "SELECT count(*) FROM river_job"); err != nil || len(rows) != len(batch) || jobs != 1 {
			t.Errorf("%d rows, %d jobs, %v", len(rows), jobs, err)
		}
	})
}

func TestPapers(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		inc := s.open(t, "x")
		dir := incident.Directory{People: []incident.Person{{ID: "p1", Name: "Ada", Identities: []incident.Identity{{Provider: incident.ProviderMail, ID: "a@x"}}}},
			Teams: []incident.Team{{Name: incident.Legal, Members: []incident.Membership{{Person: "p1"}}}}}
		doc := incident.Document{Revision: 1, Digest: "sha256:1", Markdown: "# x", HTML: "<h1>"}
		newer := doc
		newer.Digest = "sha256:2"
		err := s.View(t.Context(), func(r response.Reader) error {
			d, err := r.Directory()
			if len(d.People) != 0 {
				t.Errorf("people before any were put: %v", d)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		s.write(t, func(tx response.Tx) error {
			return errors.Join(tx.PutDirectory(incident.Directory{}), tx.PutDirectory(dir), tx.PutDocument(inc.ID, doc), tx.PutDocument(inc.ID, newer),
				tx.Audit(response.Access{At: noon, Person: "p1", Handle: incident.Identity{Provider: incident.ProviderSlack, ID: "U1"}, Action: "show", Incident: inc.ID, Reason: "why", Allowed: true}))
		})
		err = s.View(t.Context(), func(r response.Reader) error {
			gotDir, err := r.Directory()
			gotDoc, err2 := r.Document(inc.ID, 1)
			if diff := cmp.Diff(dir, gotDir) + cmp.Diff(newer, gotDoc); diff != "" {
				t.Error(diff)
			}
			_, missing := r.Document(inc.ID, 2)
			if incident.CodeOf(missing) != incident.CodeUnknown {
				t.Errorf("a missing revision: %v", missing)
			}
			return errors.Join(err, err2)
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// TestStatusesStandInTheSchema keeps the CHECK of both dialects equal to the domain's list.
func TestStatusesStandInTheSchema(t *testing.T) {
	var quoted []string
	for _, status := range incident.Statuses() {
		quoted = append(quoted, "'"+string(status)+"'")
	}
	want := "CHECK (status IN (" + strings.Join(quoted, ", ") + "))"
	for _, d := range []dialect{dialectSQLite, dialectPostgres} {
		schema, err := migrations.ReadFile(d.folder + "/0002_domain.sql")
		if err != nil || !bytes.Contains(schema, []byte(want)) {
			t.Errorf("%s does not say %s (%v)", d.folder, want, err)
		}
	}
}

// TestNothingIsKeptInTheClear looks for what people wrote in the file itself, its journal included.
func TestNothingIsKeptInTheClear(t *testing.T) {
	const seed = "Xyzzy-Geheimnis"
	url := storetest.SQLite(t)
	s := openTest(t, url)
	inc := s.open(t, seed)
	if err := s.Accept(t.Context(), []intake.Delivery{{Source: "sentry", ID: seed, Body: []byte(seed), Header: map[string]string{seed: seed}, Sender: seed, Received: noon}}); err != nil {
		t.Fatal(err)
	}
	s.write(t, func(tx response.Tx) error {
		_, err := grow(tx, inc, event(incident.EventNoted, map[string]string{"f": seed}, "text", seed))
		_, _, err2 := tx.CountAlert(inc.ID, incident.Alert{Source: "sentry", Title: seed, Fingerprint: seed, Correlation: seed, Principal: seed}, 1, noon, response.RoutingDecision{})
		_, err3 := tx.RecordCommandKey(inc.ID, seed)
		return errors.Join(err, err2, err3, tx.Correlate(seed, inc.ID),
			tx.MarkHandled([]response.DeliveryOutcome{{Row: 1, Outcome: "undecodable", Reason: seed}}),
			tx.PutDirectory(incident.Directory{People: []incident.Person{{ID: "p", Name: seed}}}),
			tx.PutDocument(inc.ID, incident.Document{Revision: 1, Markdown: seed}),
			tx.Audit(response.Access{Action: "show", Handle: incident.Identity{Provider: incident.ProviderMail, ID: seed}, Reason: seed}),
			tx.Enqueue(incident.Effect{Key: "INC-1/1/post", Kind: incident.EffectPost, Incident: 1, Seq: 1}))
	})
	done := make(chan error, 1)
	s.perform(t, func(ctx context.Context, job response.Job) error {
		err := s.Tx(ctx, func(tx response.Tx) error { return tx.CompleteEffect(job, seed) })
		done <- err
		return fmt.Errorf("ignored: %s", seed)
	})
	if err := receive(t, done); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(strings.TrimPrefix(url, "sqlite:") + "*")
	if err != nil || len(files) < 3 {
		t.Fatalf("files %v, %v", files, err)
	}
	for _, file := range files {
		if data, err := os.ReadFile(file); err != nil || bytes.Contains(data, []byte(seed)) {
			t.Errorf("%s holds it (%v)", filepath.Base(file), err)
		}
	}
}

func TestErasedTextIsGoneAndTheChainHolds(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		inc := s.open(t, "a name that must go")
		s.write(t, func(tx response.Tx) error {
			if _, err := grow(tx, inc, event(incident.EventErased, map[string]string{"refs": `[{"seq":1,"name":"title"}]`}, "reason", "asked to")); err != nil {
				return err
			}
			return tx.Erase(inc.ID, []incident.TextRef{{Seq: 1, Name: "title"}})
		})
		err := s.View(t.Context(), func(r response.Reader) error {
			got, err := r.Incident(inc.ID)
			events, err2 := r.Timeline(inc.ID)
			list, err3 := r.Summaries(incident.Filter{})
			if got.Title != "" || list[0].Title != "" || !events[0].Texts["title"].Erased() || events[1].Text("reason") != "asked to" {
				t.Errorf("%+v\n%+v", got, events)
			}
			return errors.Join(err, err2, err3)
		})
		if err != nil {
			t.Error(err)
		}
		if v, err := s.Verify(t.Context()); err != nil || len(v.Problems) > 0 || v.Incidents != 1 || v.Events != 2 {
			t.Errorf("%+v, %v", v, err)
		}
		for _, ref := range []incident.TextRef{{Seq: 9, Name: "title"}, {Seq: 1, Name: "other"}} {
			err := s.Tx(t.Context(), func(tx response.Tx) error { return tx.Erase(inc.ID, []incident.TextRef{ref}) })
			if incident.CodeOf(err) != incident.CodeUnknown {
				t.Errorf("%+v: %v", ref, err)
			}
		}
	})
}
