package response_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/redact"
	"tocsin/bot/response"
	"tocsin/store"
	"tocsin/store/storetest"
)

// runningDesk is a desk on a real database with a running queue. calls receives
// handler calls.
type runningDesk struct {
	*response.Desk
	store *store.Store
	calls chan string
}

func testDirectory() incident.Directory {
	var d incident.Directory
	for n, team := range incident.RequiredDepartments() {
		t := incident.Team{Name: team}
		for k := range 2 {
			id := incident.PersonID(fmt.Sprintf("p%d", 2*n+k+1))
			d.People = append(d.People, incident.Person{ID: id, Name: string(id), Responder: n < 2,
				Identities: []incident.Identity{{Provider: incident.ProviderLocal, ID: string(id)}}})
			t.Members = append(t.Members, incident.Membership{Person: id})
		}
		d.Teams = append(d.Teams, t)
	}
	return d
}

// openDesk opens the database and starts the queue. drain handles ranges of inbox
// rows, or ignores them if nil.
func openDesk(t *testing.T, url string, keys *store.Keyset, drain func(h *runningDesk, from, to int64) error) *runningDesk {
	t.Helper()
	s, err := store.Open(t.Context(), store.Config{URL: url}, store.Deps{Keyset: keys, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	h := &runningDesk{store: s, calls: make(chan string, 1000)}
	handle := func(result incident.Command) response.Handler {
		return func(_ context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
			name := string(e.Kind)
			if e.Kind == incident.EffectPost {
				name += " " + string(b.Event.Kind)
			}
			if !e.Refresh {
				h.calls <- name
			}
			return result, nil
		}
	}
	handlers := map[incident.EffectKind]response.Handler{}
	for _, kind := range []incident.EffectKind{incident.EffectInvite, incident.EffectPost, incident.EffectAskSign, incident.EffectUpload,
		incident.EffectAnnounce, incident.EffectAnnouncePostmortem, incident.EffectCard, incident.EffectTopic, incident.EffectPageAck,
		incident.EffectPageResolve, incident.EffectMailPostmortem} {
		handlers[kind] = handle(incident.Command{})
	}
	handlers[incident.EffectOpenChannel] = handle(incident.Command{Verb: incident.VerbLink, Links: map[string]string{incident.LinkChannel: "C1"}})
	routing, err := response.NewRouting([]response.Rule{{When: `level == "high"`, Open: incident.Sev2}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	h.Desk, err = response.New(response.Options{Store: s, Routing: routing, Redact: redact.New(redact.Options{}), Handlers: handlers, MissedAfter: 1000 * time.Hour,
		Policy: incident.Policy{EscalateAfter: time.Hour, AckTimeout: time.Hour}, Pages: []response.Handler{handle(incident.Command{})},
		RenderPostmortem: func(p response.Postmortem) (incident.Document, error) {
			return incident.Document{Files: []incident.File{{MediaType: "text/markdown", Content: fmt.Sprintf("%s, revision %d, %d events", p.Incident.Title, p.Revision, len(p.Timeline))}}}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.PutDirectory(t.Context(), testDirectory()); err != nil {
		t.Fatal(err)
	}
	jobs := store.JobFuncs{Perform: h.Perform, Drain: func(ctx context.Context, from, to int64) error {
		if drain == nil {
			return nil
		}
		return drain(h, from, to)
	}}
	if err := s.Run(t.Context(), jobs); err != nil {
		t.Fatal(err)
	}
	return h
}

// waitFor waits for calls with these names and returns all calls until then.
func (h *runningDesk) waitFor(t *testing.T, names ...string) []string {
	t.Helper()
	missing := map[string]int{}
	for _, name := range names {
		missing[name]++
	}
	var calls []string
	limit := time.After(30 * time.Second)
	for len(missing) > 0 {
		select {
		case name := <-h.calls:
			calls = append(calls, name)
			if missing[name]--; missing[name] <= 0 {
				delete(missing, name)
			}
		case <-limit:
			t.Fatalf("missing calls %v after %v", missing, calls)
		}
	}
	return calls
}

func (h *runningDesk) do(t *testing.T, person string, cmd incident.Command) incident.Result {
	t.Helper()
	cmd.By, cmd.Via, cmd.Auth = incident.Identity{Provider: incident.ProviderLocal, ID: person}, incident.ViaCLI, "unix socket"
	result, err := h.Do(t.Context(), cmd)
	if err != nil {
		t.Fatalf("%s: %v", cmd.Verb, err)
	}
	return result
}

func TestDeskDB_Lifecycle(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		keys, err := store.Ephemeral()
		if err != nil {
			t.Fatal(err)
		}
		h := openDesk(t, url, keys, nil)
		id := h.do(t, "p1", incident.Command{Key: "k", Verb: incident.VerbOpen, Title: "a key leaked", Severity: incident.Sev2}).Incident.ID
		h.waitFor(t, "page", "open_channel", "announce", "invite", "post channel_opened")
		if found, err := h.IncidentByLink(t.Context(), incident.LinkChannel, "C1"); err != nil || found != id {
			t.Errorf("incident of the channel: got %v, %v, want %v", found, err, id)
		}
		h.do(t, "p1", incident.Command{For: id, Verb: incident.VerbAcknowledge})
		h.waitFor(t, "page_ack", "post acknowledged")
		h.do(t, "p1", incident.Command{For: id, Verb: incident.VerbResolve, Text: "rotated"})
		record := map[string]string{}
		for _, f := range incident.RecordFields() {
			if f.Name != "audience" && f.Name != "language" {
				record[f.Name] = f.Label
			}
		}
		digest := h.do(t, "p1", incident.Command{For: id, Verb: incident.VerbSubmit, Record: record}).Incident.Submission.Digest
		h.waitFor(t, "page_resolve", "ask_sign", "ask_sign", "ask_sign", "ask_sign")

		// Restart the process.
		if err := h.store.Close(); err != nil {
			t.Fatal(err)
		}
		h = openDesk(t, url, keys, nil)
		for n, team := range incident.RequiredDepartments() {
			h.do(t, []string{"p2", "p3", "p5", "p7"}[n], incident.Command{For: id, Verb: incident.VerbSign, Department: team, Expect: digest})
		}
		h.waitFor(t, "upload", "announce_postmortem", "mail_postmortem")
		who := incident.Identity{Provider: incident.ProviderLocal, ID: "p5"}
		view, err := h.Show(t.Context(), who, id, "to check")
		if err != nil || view.Incident.Status != incident.Approved {
			t.Fatalf("got status %s, %v, want approved", view.Incident.Status, err)
		}
		if problems := incident.Verify(id, view.Timeline, view.Incident.Head); len(problems) > 0 {
			t.Errorf("verify chain: %v", problems)
		}
		if doc, err := h.Document(t.Context(), who, id, 1, ""); err != nil || doc.Digest != digest {
			t.Errorf("got postmortem %+v, %v", doc, err)
		}
	})
}

func TestDeskDB_ErasedTextKeepsChainValid(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		keys, err := store.Ephemeral()
		if err != nil {
			t.Fatal(err)
		}
		h := openDesk(t, url, keys, nil)
		id := h.do(t, "p1", incident.Command{Verb: incident.VerbOpen, Title: "a key leaked", Severity: incident.Sev2}).Incident.ID
		noted := h.do(t, "p1", incident.Command{For: id, Verb: incident.VerbNote, Text: "the victim's name"})
		h.do(t, "p1", incident.Command{For: id, Verb: incident.VerbInvolve, Department: incident.Legal})
		erase := incident.Command{For: id, Verb: incident.VerbErase, Text: "a request", Erase: []incident.TextRef{{Seq: noted.Events[0].Seq, Name: "text"}}}
		h.do(t, "p5", erase)
		h.do(t, "p3", erase)
		view, err := h.Show(t.Context(), incident.System, id, "")
		if err != nil {
			t.Fatal(err)
		}
		if text := view.Timeline[noted.Events[0].Seq-1].Texts["text"]; !text.Erased() || text.Value != "" {
			t.Errorf("got text %+v, want it erased", text)
		}
		if problems := incident.Verify(id, view.Timeline, view.Incident.Head); len(problems) > 0 {
			t.Errorf("verify chain: %v", problems)
		}
	})
}

func TestDeskDB_ConcurrentRepeatsOpenOneIncident(t *testing.T) {
	const senders, each = 8, 25
	storetest.Databases(t, func(t *testing.T, url string) {
		keys, err := store.Ephemeral()
		if err != nil {
			t.Fatal(err)
		}
		drained := make(chan int, senders*each)
		h := openDesk(t, url, keys, func(h *runningDesk, from, to int64) error {
			rows, err := h.store.Rows(context.Background(), from, to)
			if err != nil {
				return err
			}
			batch := make([]incident.DecodedDelivery, len(rows))
			for n, row := range rows {
				alert := incident.Alert{Source: "cloudtrail", Kind: "StopLogging", Level: incident.LevelHigh, Title: "StopLogging", Fingerprint: "f", Correlation: "AKIA", EventID: row.Delivery.ID}
				batch[n] = incident.DecodedDelivery{Row: row.ID, Source: row.Source, Signals: []incident.Signal{{Row: row.ID, Alert: &alert}}}
			}
			if err := h.Ingest(context.Background(), batch); err != nil {
				return err
			}
			if err := h.Ingest(context.Background(), batch); err != nil { // a repeated drain
				return err
			}
			drained <- len(rows)
			return nil
		})
		var wg sync.WaitGroup
		for sender := range senders {
			wg.Go(func() {
				for n := range each {
					d := intake.Delivery{Source: "cloudtrail", ID: fmt.Sprint(sender, "/", n), Body: []byte("{}"), Received: time.Now()}
					if err := h.store.Accept(context.Background(), []intake.Delivery{d}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		for n := 0; n < senders*each; {
			select {
			case rows := <-drained:
				n += rows
			case <-time.After(30 * time.Second):
				t.Fatalf("got %d drained rows", n)
			}
		}
		list, err := h.List(t.Context(), incident.System, incident.Filter{All: true})
		if err != nil || len(list) != 1 {
			t.Fatalf("got %d incidents, %v, want 1", len(list), err)
		}
		view, err := h.Show(t.Context(), incident.System, list[0].ID, "")
		if err != nil || len(view.Alerts) != 1 || view.Alerts[0].Count != senders*each {
			t.Errorf("got alerts %+v, %v, want one", view.Alerts, err)
		}
		pages := 0
		for _, name := range h.waitFor(t, "page", "open_channel", "post channel_opened", "post alert_counted") {
			if name == "page" {
				pages++
			}
		}
		if pages != 1 {
			t.Errorf("got %d pages, want 1", pages)
		}
	})
}

func TestDeskDB_PersonLeaves(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		keys, err := store.Ephemeral()
		if err != nil {
			t.Fatal(err)
		}
		h := openDesk(t, url, keys, nil)
		id := h.do(t, "p1", incident.Command{Verb: incident.VerbOpen, Title: "a key leaked", Severity: incident.Sev2}).Incident.ID
		h.do(t, "p1", incident.Command{For: id, Verb: incident.VerbAcknowledge})
		next := testDirectory()
		next.People = next.People[1:]
		for n := range next.Teams {
			next.Teams[n].Members = slices.DeleteFunc(next.Teams[n].Members, func(m incident.Membership) bool { return m.Person == "p1" })
		}
		if err := h.PutDirectory(t.Context(), next); err != nil {
			t.Fatal(err)
		}
		left, err := h.EndDepartures(t.Context())
		if err != nil || len(left) != 1 || left[0].Name != "p1" || len(left[0].Held) == 0 {
			t.Fatalf("got departures %+v, %v", left, err)
		}
		view, err := h.Show(t.Context(), incident.System, id, "")
		if err != nil {
			t.Fatal(err)
		}
		if view.Incident.Commander != "" || !view.Incident.NeedsPage() {
			t.Errorf("got commander %q, want a search for one", view.Incident.Commander)
		}
		if got := view.Directory.Name("p1"); got != "p1 (former)" {
			t.Errorf("got name %q, want it readable", got)
		}
		if problems := incident.Verify(id, view.Timeline, view.Incident.Head); len(problems) > 0 {
			t.Errorf("verify chain: %v", problems)
		}
		if again, err := h.EndDepartures(t.Context()); err != nil || len(again) != 0 {
			t.Errorf("a repeat: got %+v, %v", again, err)
		}
	})
}
