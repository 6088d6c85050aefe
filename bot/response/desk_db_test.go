package response_test

import (
	"context"
	"fmt"
	"log/slog"
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

// house is a desk on a real database, its queue worked, its outside a channel
// of what the handlers were called for.
type house struct {
	*response.Desk
	store *store.Store
	saw   chan string
}

func directory() incident.Directory {
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

// moveIn opens the database and starts the work. drain is called with ranges
// of inbox rows; nil leaves them alone.
func moveIn(t *testing.T, url string, keys *store.Keyset, drain func(h *house, from, to int64) error) *house {
	t.Helper()
	s, err := store.Open(t.Context(), store.Config{URL: url, Keyset: keys, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	h := &house{store: s, saw: make(chan string, 1000)}
	handle := func(result incident.Command) response.Handler {
		return func(_ context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
			name := string(e.Kind)
			if e.Kind == incident.EffectPost {
				name += " " + string(b.Event.Kind)
			}
			if !e.Refresh {
				h.saw <- name
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
	h.Desk, err = response.New(response.Options{Store: s, Routing: routing, Redact: redact.New(redact.Options{}), Handlers: handlers,
		Policy: incident.Policy{EscalateAfter: time.Hour, AckTimeout: time.Hour}, Pages: []response.Handler{handle(incident.Command{})},
		RenderPostmortem: func(inc incident.Incident, timeline []incident.Event, _ incident.Directory, revision int, _ time.Time) (incident.Document, error) {
			return incident.Document{Markdown: fmt.Sprintf("%s, revision %d, %d events", inc.Title, revision, len(timeline))}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.PutDirectory(t.Context(), directory()); err != nil {
		t.Fatal(err)
	}
	work := store.JobFuncs{Perform: h.Perform, Drain: func(ctx context.Context, from, to int64) error {
		if drain == nil {
			return nil
		}
		return drain(h, from, to)
	}}
	if err := s.Run(t.Context(), work); err != nil {
		t.Fatal(err)
	}
	return h
}

// expect waits until each of the names was seen and returns all that came before.
func (h *house) expect(t *testing.T, names ...string) []string {
	t.Helper()
	missing := map[string]int{}
	for _, name := range names {
		missing[name]++
	}
	var saw []string
	limit := time.After(30 * time.Second)
	for len(missing) > 0 {
		select {
		case name := <-h.saw:
			saw = append(saw, name)
			if missing[name]--; missing[name] <= 0 {
				delete(missing, name)
			}
		case <-limit:
			t.Fatalf("still missing %v after %v", missing, saw)
		}
	}
	return saw
}

func (h *house) say(t *testing.T, person string, cmd incident.Command) incident.Result {
	t.Helper()
	cmd.By, cmd.Via, cmd.Auth = incident.Identity{Provider: incident.ProviderLocal, ID: person}, incident.ViaCLI, "unix socket"
	result, err := h.Do(t.Context(), cmd)
	if err != nil {
		t.Fatalf("%s: %v", cmd.Verb, err)
	}
	return result
}

func TestLifeOnARealDatabase(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		keys, err := store.Ephemeral()
		if err != nil {
			t.Fatal(err)
		}
		h := moveIn(t, url, keys, nil)
		id := h.say(t, "p1", incident.Command{Key: "k", Verb: incident.VerbOpen, Title: "a key leaked", Severity: incident.Sev2}).Incident.ID
		h.expect(t, "page", "open_channel", "announce", "invite", "post channel_opened")
		if found, err := h.IncidentByLink(t.Context(), incident.LinkChannel, "C1"); err != nil || found != id {
			t.Errorf("the channel leads to %v, %v", found, err)
		}
		h.say(t, "p1", incident.Command{For: id, Verb: incident.VerbAcknowledge})
		h.expect(t, "page_ack", "post acknowledged")
		h.say(t, "p1", incident.Command{For: id, Verb: incident.VerbResolve, Text: "rotated"})
		record := map[string]string{}
		for _, f := range incident.RecordFields() {
			if f.Name != "audience" && f.Name != "language" {
				record[f.Name] = f.Label
			}
		}
		digest := h.say(t, "p1", incident.Command{For: id, Verb: incident.VerbSubmit, Record: record}).Incident.Submission.Digest
		h.expect(t, "page_resolve", "ask_sign", "ask_sign", "ask_sign", "ask_sign")

		// A restart in the middle changes nothing.
		if err := h.store.Close(); err != nil {
			t.Fatal(err)
		}
		h = moveIn(t, url, keys, nil)
		for n, team := range incident.RequiredDepartments() {
			h.say(t, []string{"p2", "p3", "p5", "p7"}[n], incident.Command{For: id, Verb: incident.VerbSign, Department: team, Expect: digest})
		}
		h.expect(t, "upload", "announce_postmortem", "mail_postmortem")
		who := incident.Identity{Provider: incident.ProviderLocal, ID: "p5"}
		view, err := h.Show(t.Context(), who, id, "to check")
		if err != nil || view.Incident.Status != incident.Approved {
			t.Fatalf("it is %s, %v", view.Incident.Status, err)
		}
		if faults := incident.Verify(id, view.Timeline, view.Incident.Head); len(faults) > 0 {
			t.Errorf("the chain: %v", faults)
		}
		if doc, err := h.Document(t.Context(), who, id, 1, ""); err != nil || doc.Digest != digest {
			t.Errorf("the postmortem: %+v, %v", doc, err)
		}
	})
}

func TestAnErasedTextIsGoneAndTheChainHolds(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		keys, err := store.Ephemeral()
		if err != nil {
			t.Fatal(err)
		}
		h := moveIn(t, url, keys, nil)
		id := h.say(t, "p1", incident.Command{Verb: incident.VerbOpen, Title: "a key leaked", Severity: incident.Sev2}).Incident.ID
		noted := h.say(t, "p1", incident.Command{For: id, Verb: incident.VerbNote, Text: "the victim's name"})
		h.say(t, "p1", incident.Command{For: id, Verb: incident.VerbInvolve, Department: incident.Legal})
		erase := incident.Command{For: id, Verb: incident.VerbErase, Text: "a request", Erase: []incident.TextRef{{Seq: noted.Events[0].Seq, Name: "text"}}}
		h.say(t, "p5", erase)
		h.say(t, "p3", erase)
		view, err := h.Show(t.Context(), incident.System, id, "")
		if err != nil {
			t.Fatal(err)
		}
		if text := view.Timeline[noted.Events[0].Seq-1].Texts["text"]; !text.Erased() || text.Value != "" {
			t.Errorf("the text is still there: %+v", text)
		}
		if faults := incident.Verify(id, view.Timeline, view.Incident.Head); len(faults) > 0 {
			t.Errorf("the chain: %v", faults)
		}
	})
}

// TestStormOnARealDatabase sends copies from many sides at once.
func TestStormOnARealDatabase(t *testing.T) {
	const senders, each = 8, 25
	storetest.Databases(t, func(t *testing.T, url string) {
		keys, err := store.Ephemeral()
		if err != nil {
			t.Fatal(err)
		}
		drained := make(chan int, senders*each)
		h := moveIn(t, url, keys, func(h *house, from, to int64) error {
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
			if err := h.Ingest(context.Background(), batch); err != nil { // a drain that was repeated
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
				t.Fatalf("only %d rows were drained", n)
			}
		}
		list, err := h.List(t.Context(), incident.System, incident.Filter{All: true})
		if err != nil || len(list) != 1 {
			t.Fatalf("%d incidents, %v", len(list), err)
		}
		view, err := h.Show(t.Context(), incident.System, list[0].ID, "")
		if err != nil || len(view.Alerts) != 1 || view.Alerts[0].Count != senders*each {
			t.Errorf("alerts %+v, %v", view.Alerts, err)
		}
		pages := 0
		for _, name := range h.expect(t, "open_channel", "post channel_opened", "post alert_counted") {
			if name == "page" {
				pages++
			}
		}
		if pages != 1 {
			t.Errorf("paged %d times", pages)
		}
	})
}
