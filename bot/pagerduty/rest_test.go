package pagerduty_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/outbound"
	"tocsin/bot/pagerduty"
	"tocsin/bot/sandbox/answer"
	"tocsin/bot/sandbox/pager"
	"tocsin/bot/secret"
)

const apiKey = "u+abcdefghijklmnop-q"

// restAccount returns an account with a REST token, its events client and its REST client.
func restAccount(t *testing.T, change ...func(*pagerduty.Config)) (*pager.Account, *pagerduty.Client, *pagerduty.REST) {
	t.Helper()
	a := pager.New(pager.Config{
		Users:    []pager.User{{ID: "PANA", Name: "Ana Lima", Email: "ana@example.com"}, {ID: "PBOB", Name: "Bob Ray", Email: "bob@example.com"}, {ID: "PBOT", Name: "Tocsin", Email: "tocsin@example.com"}},
		Services: []pager.Service{{ID: "PSEC", Name: "Security", RoutingKey: routingKey, OnCall: []string{"PANA"}}}, APIToken: apiKey,
	})
	url, err := a.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := pagerduty.Config{EventsURL: url, APIURL: url, APIKey: secret.New(apiKey), From: "tocsin@example.com", Service: "PSEC"}
	for _, c := range change {
		c(&cfg)
	}
	transport := &http.Transport{}
	events, err := pagerduty.New(cfg, pagerduty.Target{RoutingKey: secret.New(routingKey)}, &http.Client{Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a, events, pagerduty.NewREST(cfg, &http.Client{Transport: transport})
}

// paged returns the brief of an event after the incident was paged.
func paged(kind incident.EventKind, fields map[string]string) incident.Brief {
	b := brief()
	b.Incident.Paging.Round, b.Incident.Pages = 1, []incident.PageRef{{Round: 1}}
	b.Directory = incident.Directory{People: []incident.Person{{ID: "p1", Name: "Ana Lima"}}}
	b.Event = incident.Event{Seq: 9, Kind: kind, By: "p1", Fields: fields, HappenedAt: time.Date(2026, 11, 3, 3, 12, 0, 0, time.UTC)}
	b.Now = b.Event.HappenedAt.Add(time.Hour)
	return b
}

func TestUpdatePage_ChangesTitleAndAddsNoteOnce(t *testing.T) {
	a, events, rest := restAccount(t)
	if _, err := events.Page(t.Context(), brief(), effect("1", "0")); err != nil {
		t.Fatal(err)
	}
	b := paged(incident.EventSeveritySet, map[string]string{"from": "sev2", "severity": "sev1"})
	b.Incident.Severity = incident.Sev1
	a.SetFaults(pager.Rule{Endpoint: pager.EndpointREST, Fault: pager.FaultDrop, Times: 1, Skip: 1}) // the first response is lost after its effect
	for attempt := range 4 {
		if _, err := rest.UpdatePage(t.Context(), b, incident.Effect{}); err != nil && attempt > 1 {
			t.Fatal(err)
		}
	}
	in := a.ByKey("INC-42/1")[0]
	if in.Title != "INC-42 sev1: application error (Sentry)" {
		t.Errorf("got title %q", in.Title)
	}
	if len(in.Notes) != 1 || in.Notes[0].Content != "INC-42 severity changed from sev2 to sev1 by Ana Lima at 03:12 UTC (Tocsin 9)" || in.Notes[0].User != "PBOT" {
		t.Errorf("got notes %+v, want one", in.Notes)
	}
	if n := len(slices.DeleteFunc(a.Requests(), func(r pager.Request) bool { return r.Effect != pager.EffectRenamed })); n != 1 {
		t.Errorf("got %d changes of the title, want 1", n)
	}
	if pages := a.Snapshot().Pages; len(pages) != 1 {
		t.Errorf("got %d pages, want 1", len(pages))
	}
}

// TestUpdatePage_OwnNotesAreNoNews decodes the notes that Tocsin adds by the REST API: the
// webhook reports them.
func TestUpdatePage_OwnNotesAreNoNews(t *testing.T) {
	a, events, rest := restAccount(t)
	if _, err := events.Page(t.Context(), brief(), effect("1", "0")); err != nil {
		t.Fatal(err)
	}
	annotated := string(fixture(t, "annotated.json"))
	for _, kind := range []incident.EventKind{incident.EventAcknowledged, incident.EventContained, incident.EventResolved, incident.EventSeveritySet} {
		if _, err := rest.UpdatePage(t.Context(), paged(kind, map[string]string{"from": "sev2", "severity": "sev1"}), incident.Effect{}); err != nil {
			t.Fatal(err)
		}
	}
	notes := a.ByKey("INC-42/1")[0].Notes
	if len(notes) != 4 {
		t.Fatalf("got notes %+v, want 4", notes)
	}
	for _, n := range notes {
		if got, err := source.Decode(nil, []byte(strings.Replace(annotated, "key disabled", n.Content, 1))); err != nil || len(got) != 0 {
			t.Errorf("note %q: got signals %+v and error %v, want none", n.Content, got, err)
		}
	}
	decodeOne(t, []byte(strings.Replace(annotated, "key disabled", "asked in INC-42 (Tocsin 9)", 1)))
}

func TestUpdatePage_RestrictedNamesNobody(t *testing.T) {
	a, events, rest := restAccount(t)
	if _, err := events.Page(t.Context(), brief(), effect("1", "0")); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []incident.EventKind{incident.EventAcknowledged, incident.EventContained, incident.EventResolved} {
		b := paged(kind, nil)
		b.Incident.Restricted, b.Event.Texts = true, map[string]incident.Text{"text": {Value: "Leaked"}}
		if _, err := rest.UpdatePage(t.Context(), b, incident.Effect{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range a.ByKey("INC-42/1")[0].Notes {
		if strings.Contains(n.Content, "Ana") || strings.Contains(n.Content, "Leaked") {
			t.Errorf("got note %q of a restricted incident", n.Content)
		}
	}
	if n := len(a.ByKey("INC-42/1")[0].Notes); n != 3 {
		t.Errorf("got %d notes, want 3", n)
	}
}

func TestUpdatePage_WithoutPage(t *testing.T) {
	_, _, rest := restAccount(t)
	b := paged(incident.EventAcknowledged, nil)
	if _, err := rest.UpdatePage(t.Context(), b, incident.Effect{}); err != nil {
		t.Errorf("old event without a page: got %v, want nothing", err)
	}
	b.Event.RecordedAt = b.Now
	if _, err := rest.UpdatePage(t.Context(), b, incident.Effect{}); !errors.As(err, new(*incident.RetryAfter)) {
		t.Errorf("new event without a page: got %v, want a retry", err)
	}
}

func TestPagePerson_PagesOnceAndEnds(t *testing.T) {
	a, _, rest := restAccount(t)
	b := paged(incident.EventResolved, nil)
	a.SetFaults(pager.Rule{Endpoint: pager.EndpointREST, Action: "", Fault: pager.FaultDrop, Times: 1, Skip: 1})
	for range 3 {
		_ = rest.PagePerson(t.Context(), b, "PBOB", "17")
	}
	pages := a.Snapshot().Pages
	if len(pages) != 1 || pages[0].User != "PBOB" || pages[0].Text != "INC-42 sev2: application error (Sentry)" {
		t.Fatalf("got pages %+v, want one to PBOB", pages)
	}
	got := decodeOne(t, []byte(`{"event":{"id":"E","event_type":"incident.acknowledged","agent":{"id":"PBOB","type":"user_reference"},"data":{"id":"`+pages[0].Incident+`","incident_key":"`+pages[0].Key+`"}}}`))
	if got.Command == nil || got.Command.Verb != incident.VerbAcknowledge || got.Subject.PageKey != "INC-42/0" {
		t.Errorf("got %+v for %+v, want an acknowledgement of INC-42", got.Command, got.Subject)
	}
	if got, err := source.Decode(nil, []byte(`{"event":{"id":"E","event_type":"incident.triggered","data":{"id":"Q","incident_key":"`+pages[0].Key+`"}}}`)); got != nil || err != nil {
		t.Errorf("got %+v, %v for the own page, want nothing", got, err)
	}
	b.Incident.Status = incident.Resolved
	if _, err := rest.UpdatePage(t.Context(), b, incident.Effect{}); err != nil {
		t.Fatal(err)
	}
	if err := rest.PagePerson(t.Context(), b, "PBOB", "17"); err != nil {
		t.Fatal(err)
	}
	if n := len(a.Snapshot().Pages); n != 1 {
		t.Errorf("got %d pages after the end, want 1", n)
	}
}

func TestREST_OnCallAndAcknowledgements(t *testing.T) {
	a, events, rest := restAccount(t)
	if got, err := rest.OnCall(t.Context()); err != nil || !slices.Equal(got, []pagerduty.OnCall{{User: "PANA", Name: "Ana Lima", Level: 1}}) {
		t.Errorf("got %+v, %v, want PANA", got, err)
	}
	if _, err := events.Page(t.Context(), brief(), effect("1", "0")); err != nil {
		t.Fatal(err)
	}
	if got, err := rest.Acknowledgements(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("got %+v, %v before the acknowledgement, want none", got, err)
	}
	if err := a.Acknowledge(a.ByKey("INC-42/1")[0].ID, "PANA"); err != nil {
		t.Fatal(err)
	}
	got, err := rest.Acknowledgements(t.Context())
	if err != nil || len(got) != 1 || got[0].At.IsZero() {
		t.Fatalf("got %+v, %v, want one", got, err)
	}
	if cmd, ok := got[0].Command(); !ok || cmd.For != 42 || cmd.Round != 1 || cmd.By.ID != "PANA" || cmd.Via != incident.ViaPager {
		t.Errorf("got %+v", cmd)
	}
}

// TestREST_ErrorTypes answers every call with each kind of failure.
// TestREST_ReadsLongLists ends a page to a person and reads its acknowledgement while the
// service has 149 newer incidents with long titles.
func TestREST_ReadsLongLists(t *testing.T) {
	a, events, rest := restAccount(t)
	b := paged(incident.EventResolved, nil)
	if err := rest.PagePerson(t.Context(), b, "PANA", "7"); err != nil {
		t.Fatal(err)
	}
	for n := range 149 {
		if err := events.Notice(t.Context(), pagerduty.Notice{Key: strconv.Itoa(n), Summary: strings.Repeat("a long title ", 70)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, page := range a.Snapshot().Pages {
		if err := a.Acknowledge(page.Incident, "PANA"); err != nil {
			t.Fatal(err)
		}
	}
	if acks, err := rest.Acknowledgements(t.Context()); err != nil || len(acks) != 150 {
		t.Errorf("got %d acknowledgements and %v, want 150", len(acks), err)
	}
	b.Incident.Status = incident.Resolved
	if _, err := rest.UpdatePage(t.Context(), b, incident.Effect{}); err != nil {
		t.Fatal(err)
	}
	if in := a.ByKey("tocsin-page/INC-42/7/PANA")[0]; in.Status != "resolved" {
		t.Errorf("page to a person: got %s, want resolved", in.Status)
	}
}

func TestREST_ErrorTypes(t *testing.T) {
	a, _, rest := restAccount(t)
	calls := map[string]func(context.Context) error{
		"update": func(ctx context.Context) error {
			_, err := rest.UpdatePage(ctx, paged(incident.EventAcknowledged, nil), incident.Effect{})
			return err
		},
		"person":  func(ctx context.Context) error { return rest.PagePerson(ctx, brief(), "PBOB", "1") },
		"on call": func(ctx context.Context) error { _, err := rest.OnCall(ctx); return err },
		"acks":    func(ctx context.Context) error { _, err := rest.Acknowledgements(ctx); return err },
		"probe":   rest.Probe,
	}
	for name, call := range calls {
		a.SetFaults(pager.Rule{Endpoint: pager.EndpointREST, Fault: pager.FaultThrottle, Times: 1})
		if err := call(t.Context()); !errors.As(err, new(*incident.RetryAfter)) {
			t.Errorf("%s, rate limit: got %v", name, err)
		}
		a.SetFaults(pager.Rule{Endpoint: pager.EndpointREST, Fault: pager.FaultError, Times: 1})
		if err := call(t.Context()); err == nil || errors.As(err, new(*incident.Blocked)) || errors.As(err, new(*incident.Permanent)) {
			t.Errorf("%s, server error: got %v, want an error to retry", name, err)
		}
		a.SetFaults()
	}
}

func TestREST_RefusalsNameTheKey(t *testing.T) {
	for want, change := range map[string]func(*pagerduty.Config){
		"API key":        func(c *pagerduty.Config) { c.APIKey = secret.New("wrong") },
		"service":        func(c *pagerduty.Config) { c.Service = "PNONE" },
		"pagerduty.from": func(c *pagerduty.Config) { c.From = "nobody@example.com" },
	} {
		_, _, rest := restAccount(t, change)
		var refused *incident.Blocked
		if err := rest.Probe(t.Context()); !errors.As(err, &refused) || !strings.Contains(refused.Cause.String(), want) {
			t.Errorf("got %v, want a refusal about %s", err, want)
		}
	}
}

// TestREST_Garbage answers every call with bodies that are not those of PagerDuty. No call
// panics or takes a refusal for a success, and none reads more than it may.
func TestREST_Garbage(t *testing.T) {
	answers := answer.NewSet()
	a := pager.New(pager.Config{Services: []pager.Service{{ID: "PSEC", RoutingKey: routingKey}}, APIToken: apiKey, Answers: answers})
	url, err := a.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	client := outbound.NewClient(5*time.Second, outbound.Limits{MaxResponse: 1 << 20})
	t.Cleanup(func() {
		client.CloseIdleConnections()
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	rest := pagerduty.NewREST(pagerduty.Config{APIURL: url, APIKey: secret.New(apiKey), From: "tocsin@example.com", Service: "PSEC"}, client)
	resolved := paged(incident.EventResolved, nil)
	resolved.Incident.Status = incident.Resolved
	calls := map[string]func(context.Context) error{
		"update": func(ctx context.Context) error {
			_, err := rest.UpdatePage(ctx, resolved, incident.Effect{})
			return err
		},
		"person":  func(ctx context.Context) error { return rest.PagePerson(ctx, brief(), "PBOB", "1") },
		"on call": func(ctx context.Context) error { _, err := rest.OnCall(ctx); return err },
		"acks": func(ctx context.Context) error {
			acks, err := rest.Acknowledgements(ctx)
			for _, ack := range acks { // one has no time that can be read
				_, _ = ack.Command()
				_, _ = ack.TestPage()
			}
			return err
		},
		"probe": rest.Probe,
	}
	bodies := []string{"", "null", "{}", "[]", "0", `"x"`, "<html>", "\xff\xfe", `{"incidents":null,"more":true}`, `{"incidents":[null],"more":true,"limit":100}`, `{"incidents":[{"id":7}]}`,
		`{"incidents":[{"id":"P1","incident_key":"INC-42/1","acknowledgements":[null,{"acknowledger":{"type":"user","id":"x"},"at":"never"}]}]}`, `{"service":null}`, `{"service":{}}`, `{"oncalls":[null]}`,
		`{"oncalls":[{"escalation_level":-1,"user":null}]}`, `{"users":[{}],"more":true}`, strings.Repeat("[", 1<<16), `{"incidents":[` + strings.Repeat(" ", 2<<20)}
	for name, call := range calls {
		for _, status := range []int{200, 201, 204, 301, 400, 401, 402, 403, 404, 408, 429, 500, 503, 599} {
			for _, body := range bodies {
				if status == 204 && body != "" {
					continue
				}
				answers.Put(answer.Answer{Method: "pagerduty.rest", Status: status, Body: answer.Text(body)})
				err := call(t.Context())
				if status >= 300 && err == nil {
					t.Errorf("%s, status %d, %.40q: got no error", name, status, body)
				}
				if isFinal := errors.As(err, new(*incident.Permanent)); isFinal && status/100 != 4 {
					t.Errorf("%s, status %d, %.40q: got the permanent error %v", name, status, body, err)
				}
			}
		}
	}
}

// TestREST_ManyPages ends the page to a person behind a full list of other open pages, and
// stops at a list that never ends.
func TestREST_ManyPages(t *testing.T) {
	var asked, resolved atomic.Int64
	endless := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			resolved.Add(1)
		}
		n := asked.Add(1)
		key := "other"
		if n == 2 {
			key = "tocsin-page/INC-42/9/PBOB"
		}
		_, _ = fmt.Fprintf(w, `{"incidents":[{"id":"P%d","incident_key":%q,"acknowledgements":[]}],"more":%t,"limit":100}`, n, key, endless || n == 1)
	}))
	t.Cleanup(server.Close)
	rest := pagerduty.NewREST(pagerduty.Config{APIURL: server.URL, APIKey: secret.New(apiKey), From: "tocsin@example.com", Service: "PSEC"}, server.Client())
	b := paged(incident.EventResolved, nil)
	b.Incident.Status, b.Incident.Pages = incident.Resolved, nil
	if _, err := rest.UpdatePage(t.Context(), b, incident.Effect{}); err != nil || resolved.Load() != 1 || asked.Load() != 3 {
		t.Errorf("got %d calls and %d ended pages, %v, want 3 and 1", asked.Load(), resolved.Load(), err)
	}
	endless = true
	asked.Store(10)
	if _, err := rest.Acknowledgements(t.Context()); err != nil || asked.Load() != 20 {
		t.Errorf("got %d calls, %v, want 10", asked.Load()-10, err)
	}
}
