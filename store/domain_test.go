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

func newSalt() []byte {
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	return b
}

// mustTx runs f in a transaction and fails the test if it does not commit.
func (s *Store) mustTx(t testing.TB, f func(response.Tx) error) {
	t.Helper()
	if err := s.Tx(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

// newEvent returns an event with texts given as pairs of name and value.
func newEvent(kind incident.EventKind, fields map[string]string, texts ...string) incident.Event {
	e := incident.Event{Kind: kind, HappenedAt: noon, RecordedAt: noon, Via: incident.ViaCLI, Audience: incident.AudienceAll, Fields: fields}
	for i := 0; i < len(texts); i += 2 {
		if e.Texts == nil {
			e.Texts = map[string]incident.Text{}
		}
		e.Texts[texts[i]] = incident.Text{Value: texts[i+1]}
	}
	return e
}

// saveEvents seals events, applies them to an incident and saves it.
func saveEvents(tx response.Tx, inc incident.Incident, events ...incident.Event) (incident.Incident, error) {
	for i, e := range events {
		events[i], _ = incident.Seal(inc.Head, e, newSalt)
		inc = incident.Apply(inc, events[i])
	}
	return inc, tx.Save(inc, events)
}

// openIncident saves a new incident in triage.
func (s *Store) openIncident(t testing.TB, title string) (inc incident.Incident) {
	t.Helper()
	s.mustTx(t, func(tx response.Tx) error {
		id, err := tx.NewID()
		if err != nil {
			return err
		}
		inc, err = saveEvents(tx, incident.Incident{ID: id, Head: incident.Genesis(id)},
			newEvent(incident.EventOpened, map[string]string{"status": "triage", "severity": "sev2", "restricted": "true"}, "title", title))
		return err
	})
	return inc
}

func TestSave_RoundTrip(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		inc := s.openIncident(t, "keys leaked")
		if inc.ID != 1 {
			t.Fatalf("got %s, want INC-1", inc.ID)
		}
		note := newEvent(incident.EventNoted, nil, "text", "we saw it")
		var after incident.Incident
		s.mustTx(t, func(tx response.Tx) (err error) {
			after, err = saveEvents(tx, inc, note, newEvent(incident.EventLinked, map[string]string{"name": incident.LinkChannel, "value": "C1"}))
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
			return errors.Join(err, err2, err3, err4, err5, err6)
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestSave_RejectsStaleSequence(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		inc := s.openIncident(t, "x")
		s.mustTx(t, func(tx response.Tx) error {
			_, err := saveEvents(tx, inc, newEvent(incident.EventNoted, nil))
			return err
		})
		err := s.Tx(t.Context(), func(tx response.Tx) error {
			_, err := saveEvents(tx, inc, newEvent(incident.EventNoted, nil))
			return err
		})
		if !errors.Is(err, response.ErrChanged) {
			t.Errorf("stale save: got %v, want %v", err, response.ErrChanged)
		}
		err = s.Tx(t.Context(), func(tx response.Tx) error {
			_, err := saveEvents(tx, incident.Incident{ID: inc.ID, Head: incident.Genesis(inc.ID)},
				newEvent(incident.EventOpened, map[string]string{"status": "triage", "severity": "sev2"}))
			return err
		})
		if !errors.Is(err, response.ErrChanged) {
			t.Errorf("second opening: got %v, want %v", err, response.ErrChanged)
		}
		if n := s.count(t, "SELECT count(*) FROM events"); n != 2 {
			t.Errorf("got %d events, want 2", n)
		}
	})
}

func TestNewID_HasNoGaps(t *testing.T) {
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
						return incident.Conflict("rolled back by test")
					}
					_, err = saveEvents(tx, incident.Incident{ID: id, Head: incident.Genesis(id)},
						newEvent(incident.EventOpened, map[string]string{"status": "triage", "severity": "sev1"}))
					return err
				})
				if err != nil && incident.CodeOf(err) != incident.CodeConflict {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n, last := s.count(t, "SELECT count(*) FROM incidents"), s.count(t, "SELECT max(id) FROM incidents"); n != 13 || last != 13 {
			t.Errorf("got %d incidents, the last %d, want 13, 13", n, last)
		}
	})
}

func TestRecordCommandKey_OncePerIncident(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		for i, want := range []bool{true, false} {
			s.mustTx(t, func(tx response.Tx) error {
				fresh, err := tx.RecordCommandKey(1, "view/hash")
				other, err2 := tx.RecordCommandKey(incident.ID(i+10), "view/hash")
				if fresh != want || !other {
					t.Errorf("pass %d: got %v, other incident %v, want %v, true", i, fresh, other, want)
				}
				return errors.Join(err, err2)
			})
		}
	})
}

func TestCorrelate_OneLiveIncidentPerKey(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		a, b := s.openIncident(t, "a"), s.openIncident(t, "b")
		s.mustTx(t, func(tx response.Tx) error { return errors.Join(tx.Correlate("k", a.ID), tx.Correlate("k", a.ID)) })
		if err := s.Tx(t.Context(), func(tx response.Tx) error { return tx.Correlate("k", b.ID) }); !errors.Is(err, response.ErrCorrelated) {
			t.Errorf("second incident: got %v, want %v", err, response.ErrCorrelated)
		}
		correlated := func() (id incident.ID) {
			t.Helper()
			if err := s.View(t.Context(), func(r response.Reader) (err error) { id, err = r.IncidentByCorrelation("k"); return err }); err != nil {
				t.Fatal(err)
			}
			return id
		}
		if id := correlated(); id != a.ID {
			t.Errorf("got %s, want %s", id, a.ID)
		}
		s.mustTx(t, func(tx response.Tx) error { return tx.MoveCorrelations(a.ID, b.ID) })
		if id := correlated(); id != b.ID {
			t.Errorf("after MoveCorrelations: got %s, want %s", id, b.ID)
		}
		s.mustTx(t, func(tx response.Tx) error { return tx.ReleaseCorrelations(b.ID) })
		if id := correlated(); id != 0 {
			t.Errorf("after ReleaseCorrelations: got %s, want none", id)
		}
		s.mustTx(t, func(tx response.Tx) error { return tx.Correlate("k", a.ID) })
		if err := s.Tx(t.Context(), func(tx response.Tx) error { return tx.Correlate("z", 99) }); err == nil {
			t.Error("unsaved incident: got no error")
		}
	})
}

func TestCorrelate_ConcurrentOpeningsCreateOneIncident(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		var wg sync.WaitGroup
		var mu sync.Mutex
		rejected := 0
		for range 8 {
			wg.Go(func() {
				err := s.Tx(t.Context(), func(tx response.Tx) error {
					id, err := tx.NewID()
					if err != nil {
						return err
					}
					if err := tx.Correlate("k", id); err != nil { // allowed before the first Save
						return err
					}
					_, err = saveEvents(tx, incident.Incident{ID: id, Head: incident.Genesis(id)},
						newEvent(incident.EventOpened, map[string]string{"status": "triage", "severity": "sev1"}))
					return err
				})
				mu.Lock()
				defer mu.Unlock()
				if errors.Is(err, response.ErrCorrelated) {
					rejected++
				} else if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := s.count(t, "SELECT count(*) FROM incidents"); n != 1 || rejected != 7 {
			t.Errorf("got %d incidents and %d rejected, want 1, 7", n, rejected)
		}
	})
}

func TestCountAlertAndMoveAlerts(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		a, b := s.openIncident(t, "a"), s.openIncident(t, "b")
		alert := incident.Alert{Source: "sentry", Kind: "sentry.issue", Title: "boom", Fingerprint: "f", Correlation: "c", Tags: map[string]string{"k": "v"}, At: dbTime(noon)}
		other := alert
		other.Fingerprint, other.Correlation = "g", "d"
		count := func(id incident.ID, al incident.Alert, n, before, total int64) {
			t.Helper()
			s.mustTx(t, func(tx response.Tx) error {
				row, known, err := tx.CountAlert(id, al, n, noon, response.RoutingDecision{})
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
		s.mustTx(t, func(tx response.Tx) error { return errors.Join(tx.Correlate("c", a.ID), tx.MoveAlerts(0, a.ID)) })
		s.mustTx(t, func(tx response.Tx) error { return tx.MoveAlerts(b.ID, a.ID) })
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
			t.Errorf("got counts %s, want [16 5] [] [4]", got)
		}
	})
}

func TestAccept_DeduplicatesAndDrains(t *testing.T) {
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
		if rows, jobs := s.count(t, "SELECT count(*) FROM inbox"), s.countJobs(t, "kind = 'drain' AND queue = 'intake'"); rows != 3 || jobs != 1 {
			t.Fatalf("got %d rows, %d jobs, want 3, 1", rows, jobs)
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
				var outcomes []response.DeliveryOutcome
				for _, id := range ids {
					outcomes = append(outcomes, response.DeliveryOutcome{Row: id, Outcome: "undecodable", Reason: "not JSON"})
				}
				return tx.MarkHandled(outcomes)
			})
			drained <- rows
			return err
		}})
		if err != nil {
			t.Fatal(err)
		}
		rows := receive(t, drained)
		if len(rows) != 3 || cmp.Diff(one, rows[0].Delivery) != "" {
			t.Errorf("got drained rows %+v", rows)
		}
		b, err := s.Backlog(t.Context())
		if err != nil || b.Inbox != 0 || b.Effects != 0 {
			t.Errorf("got backlog %+v, %v, want none", b, err)
		}
		if again, err := s.Rows(t.Context(), 1, 100); err != nil || len(again) != 0 {
			t.Errorf("after the drain: got rows %v, %v, want none", again, err)
		}
	})
}

func TestAccept_LargeBatchEnqueuesOneJob(t *testing.T) {
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
		if jobs := s.countJobs(t, "true"); err != nil || len(rows) != len(batch) || jobs != 1 {
			t.Errorf("got %d rows, %d jobs, %v, want %d rows and 1 job", len(rows), jobs, err, len(batch))
		}
	})
}

// Documents that were stored before documents had a list of files remain readable.
func TestDocument_ReadsMarkdownAndHTML(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		inc := s.openIncident(t, "x")
		for name, c := range map[string]struct {
			stored map[string]any
			files  []incident.File
		}{
			"both": {map[string]any{"Revision": 2, "Digest": "sha256:1", "Markdown": "# x", "HTML": "<h1>"}, []incident.File{
				{Name: inc.ID.String() + "-postmortem-r2.md", Title: "Postmortem of " + inc.ID.String() + " (Markdown)", MediaType: "text/markdown", Content: "# x"},
				{Name: inc.ID.String() + "-postmortem-r2.html", Title: "Postmortem of " + inc.ID.String() + " (HTML)", MediaType: "text/html", Content: "<h1>"}}},
			"empty": {map[string]any{"Revision": 2, "Digest": "sha256:1", "Markdown": "", "HTML": ""}, nil},
		} {
			s.mustTx(t, func(tx response.Tx) error {
				return tx.PutDocument(inc.ID, incident.Document{Revision: 2, Digest: "sha256:1"})
			})
			sealed, err := s.seal("documents", rowKey(int(inc.ID), 2), "sealed_body", c.stored)
			if err != nil {
				t.Fatal(err)
			}
			err = s.tx(t.Context(), func(tx *tx) error {
				return tx.db.Exec("UPDATE documents SET sealed_body = ? WHERE revision = 2", sealed).Error
			})
			if err != nil {
				t.Fatal(err)
			}
			err = s.View(t.Context(), func(r response.Reader) error {
				got, err := r.Document(inc.ID, 2)
				if diff := cmp.Diff(incident.Document{Revision: 2, Digest: "sha256:1", Files: c.files}, got); diff != "" {
					t.Errorf("%s: %s", name, diff)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestDirectoryDocumentsAndAudit(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		inc := s.openIncident(t, "x")
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
		s.mustTx(t, func(tx response.Tx) error {
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
				t.Errorf("missing revision: got %v", missing)
			}
			return errors.Join(err, err2)
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// TestSchema_ListsAllStatuses compares the CHECK constraint of both dialects with incident.Statuses.
func TestSchema_ListsAllStatuses(t *testing.T) {
	var quoted []string
	for _, status := range incident.Statuses() {
		quoted = append(quoted, "'"+string(status)+"'")
	}
	want := "CHECK (status IN (" + strings.Join(quoted, ", ") + "))"
	for _, d := range []dialect{dialectSQLite, dialectPostgres} {
		schema, err := migrations.ReadFile(d.folder + "/0002_domain.sql")
		if err != nil || !bytes.Contains(schema, []byte(want)) {
			t.Errorf("%s: got no %s (%v)", d.folder, want, err)
		}
	}
}

// TestStore_WritesNoPlaintext searches the database files, including the WAL, for text written by people.
func TestStore_WritesNoPlaintext(t *testing.T) {
	const seed = "Xyzzy-secret"
	url := storetest.SQLite(t)
	s := openTest(t, url)
	inc := s.openIncident(t, seed)
	if err := s.Accept(t.Context(), []intake.Delivery{{Source: "sentry", ID: seed, Body: []byte(seed), Header: map[string]string{seed: seed}, Sender: seed, Received: noon}}); err != nil {
		t.Fatal(err)
	}
	s.mustTx(t, func(tx response.Tx) error {
		_, err := saveEvents(tx, inc, newEvent(incident.EventNoted, map[string]string{"f": seed}, "text", seed))
		_, _, err2 := tx.CountAlert(inc.ID, incident.Alert{Source: "sentry", Title: seed, Fingerprint: seed, Correlation: seed, Principal: seed}, 1, noon, response.RoutingDecision{})
		_, err3 := tx.RecordCommandKey(inc.ID, seed)
		return errors.Join(err, err2, err3, tx.Correlate(seed, inc.ID),
			tx.MarkHandled([]response.DeliveryOutcome{{Row: 1, Outcome: "undecodable", Reason: seed}}),
			tx.PutDirectory(incident.Directory{People: []incident.Person{{ID: "p", Name: seed}}}),
			tx.PutDocument(inc.ID, incident.Document{Revision: 1, Files: []incident.File{{Content: seed}}}),
			tx.Audit(response.Access{Action: "show", Handle: incident.Identity{Provider: incident.ProviderMail, ID: seed}, Reason: seed}),
			tx.Enqueue(incident.Effect{Key: "INC-1/1/post", Kind: incident.EffectPost, Incident: 1, Seq: 1}))
	})
	done := make(chan error, 1)
	s.runEffects(t, func(ctx context.Context, job response.Job) error {
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
		t.Fatalf("got files %v, %v, want at least 3", files, err)
	}
	for _, file := range files {
		if data, err := os.ReadFile(file); err != nil || bytes.Contains(data, []byte(seed)) {
			t.Errorf("%s: got the plaintext (%v)", filepath.Base(file), err)
		}
	}
}

func TestErase_RemovesTextAndChainVerifies(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		inc := s.openIncident(t, "a personal name")
		s.mustTx(t, func(tx response.Tx) error {
			if _, err := saveEvents(tx, inc, newEvent(incident.EventErased, map[string]string{"refs": `[{"seq":1,"name":"title"}]`}, "reason", "asked to")); err != nil {
				return err
			}
			return tx.Erase(inc.ID, []incident.TextRef{{Seq: 1, Name: "title"}})
		})
		err := s.View(t.Context(), func(r response.Reader) error {
			got, err := r.Incident(inc.ID)
			events, err2 := r.Timeline(inc.ID)
			list, err3 := r.Summaries(incident.Filter{})
			if got.Title != "" || list[0].Title != "" || !events[0].Texts["title"].Erased() || events[1].Text("reason") != "asked to" {
				t.Errorf("got %+v\n%+v, want the title erased", got, events)
			}
			return errors.Join(err, err2, err3)
		})
		if err != nil {
			t.Error(err)
		}
		if v, err := s.Verify(t.Context()); err != nil || len(v.Problems) > 0 || v.Incidents != 1 || v.Events != 2 {
			t.Errorf("Verify: got %+v, %v", v, err)
		}
		for _, ref := range []incident.TextRef{{Seq: 9, Name: "title"}, {Seq: 1, Name: "other"}} {
			err := s.Tx(t.Context(), func(tx response.Tx) error { return tx.Erase(inc.ID, []incident.TextRef{ref}) })
			if incident.CodeOf(err) != incident.CodeUnknown {
				t.Errorf("%+v: got %v, want unknown", ref, err)
			}
		}
	})
}
