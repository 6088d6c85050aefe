package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/response"
	"tocsin/store/storetest"
)

var (
	noon       = storetest.Noon
	newEvent   = storetest.NewEvent
	saveEvents = storetest.SaveEvents
)

// mustTx runs f in a transaction and fails the test if it does not commit.
func (s *Store) mustTx(t testing.TB, f func(response.Tx) error) {
	t.Helper()
	storetest.MustTx(t, s, f)
}

// openIncident saves a new incident in triage.
func (s *Store) openIncident(t testing.TB, title string) incident.Incident {
	t.Helper()
	return storetest.OpenIncident(t, s, title)
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
		err := s.Tx(ctx, func(tx response.Tx) error { return tx.FinishEffect(job, response.EffectCompleted, seed) })
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
			event, _ := incident.Seal(inc.Head, newEvent(incident.EventErased, map[string]string{"refs": `[{"seq":1,"name":"title"}]`}, "reason", "asked to"), func() []byte { return make([]byte, 32) })
			return tx.Save(incident.Apply(inc, event), []incident.Event{event}, incident.TextRef{Seq: 1, Name: "title"})
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
	})
}
