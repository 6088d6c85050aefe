package pager_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	pd "github.com/PagerDuty/go-pagerduty"
	"github.com/PagerDuty/go-pagerduty/webhookv3"
	"go.uber.org/goleak"

	"tocsin/bot/intake/intaketest"
	"tocsin/bot/sandbox/pager"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	routingKey = "0123456789abcdef0123456789abcdef"
	token      = "u+sandboxtoken"
)

// manualClock is a manual clock that only Add advances.
type manualClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *manualClock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *manualClock) Add(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.now = c.now.Add(d) }

func newAccount(t *testing.T, change func(*pager.Config)) (*pager.Account, *pd.Client, *manualClock) {
	t.Helper()
	c := &manualClock{now: time.Date(2026, 11, 2, 2, 31, 0, 0, time.UTC)}
	cfg := pager.Config{
		Users: []pager.User{{ID: "PANA", Name: "Ana Lima", Email: "ana@example.com"}, {ID: "PBEN", Name: "Ben Ode", Email: "ben@example.com"}},
		Services: []pager.Service{
			{ID: "PSEC", Name: "Security", RoutingKey: routingKey, OnCall: []string{"PANA"}},
			{ID: "POTH", Name: "Other", RoutingKey: strings.Repeat("f", 32)},
		},
		APIToken: token, Now: c.Now,
		Backoff: func(int) time.Duration { return 0 },
	}
	if change != nil {
		change(&cfg)
	}
	a := pager.New(cfg)
	url, err := a.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	client := pd.NewClient(token, pd.WithAPIEndpoint(url), pd.WithV2EventsAPIEndpoint(url))
	client.HTTPClient = &http.Client{Transport: transport}
	return a, client, c
}

func event(action, key string) *pd.V2Event {
	e := &pd.V2Event{RoutingKey: routingKey, Action: action, DedupKey: key, Client: "tocsin", ClientURL: "https://tocsin.example.com/INC-42"}
	if action == "trigger" {
		e.Payload = &pd.V2Payload{Summary: "INC-42 sev1", Source: "tocsin", Severity: "critical", Details: map[string]string{"id": "INC-42"}}
	}
	return e
}

func send(t *testing.T, c *pd.Client, e *pd.V2Event) *pd.V2EventResponse {
	t.Helper()
	res, err := c.ManageEventWithContext(t.Context(), e)
	if err != nil {
		t.Fatalf("%s %s: %v", e.Action, e.DedupKey, err)
	}
	return res
}

func timeoutContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestEnqueue_PagesOncePerKeyUntilResolved(t *testing.T) {
	a, c, _ := newAccount(t, nil)
	for range 3 {
		if res := send(t, c, event("trigger", "INC-42/1")); res.Status != "success" || res.DedupKey != "INC-42/1" {
			t.Fatalf("got %+v, want success for INC-42/1", res)
		}
	}
	send(t, c, event("acknowledge", "INC-42/1"))
	send(t, c, event("acknowledge", "INC-42/1"))
	send(t, c, event("trigger", "INC-42/1")) // acknowledged alerts are open
	ins := a.ByKey("INC-42/1")
	if len(ins) != 1 || ins[0].Status != pager.Acknowledged || ins[0].Urgency != "high" || ins[0].Number != 1 {
		t.Fatalf("wrong incidents: %+v", ins)
	}
	if pages := a.Snapshot().Pages; len(pages) != 1 || pages[0].User != "PANA" {
		t.Fatalf("pages: got %+v, want one to PANA", pages)
	}
	send(t, c, event("resolve", "INC-42/1"))
	send(t, c, event("resolve", "INC-42/1")) // nothing is open
	send(t, c, event("acknowledge", "never"))
	send(t, c, event("trigger", "INC-42/1"))
	if n := len(a.Snapshot().Pages); n != 2 {
		t.Fatalf("got %d pages after a trigger for a resolved alert, want 2", n)
	}
	var effects []string
	for _, r := range a.Requests() {
		effects = append(effects, r.Effect)
	}
	want := "paged logged logged acknowledged ignored logged resolved ignored ignored paged"
	if got := strings.Join(effects, " "); got != want {
		t.Fatalf("effects\n got %s\nwant %s", got, want)
	}
}

func TestEnqueue_RejectsInvalidEvents(t *testing.T) {
	_, c, _ := newAccount(t, nil)
	for name, invalidate := range map[string]func(*pd.V2Event){
		"unknown routing key": func(e *pd.V2Event) { e.RoutingKey = strings.Repeat("0", 32) },
		"no routing key":      func(e *pd.V2Event) { e.RoutingKey = "" },
		"no action":           func(e *pd.V2Event) { e.Action = "" },
		"unknown action":      func(e *pd.V2Event) { e.Action = "panic" },
		"no payload":          func(e *pd.V2Event) { e.Payload = nil },
		"no summary":          func(e *pd.V2Event) { e.Payload.Summary = " " },
		"long summary":        func(e *pd.V2Event) { e.Payload.Summary = strings.Repeat("é", 1025) },
		"no source":           func(e *pd.V2Event) { e.Payload.Source = "" },
		"unknown severity":    func(e *pd.V2Event) { e.Payload.Severity = "sev1" },
		"invalid time":        func(e *pd.V2Event) { e.Payload.Timestamp = "yesterday" },
		"long key":            func(e *pd.V2Event) { e.DedupKey = strings.Repeat("k", 256) },
		"link without target": func(e *pd.V2Event) { e.Links = []any{map[string]string{"text": "x"}} },
		"resolve without key": func(e *pd.V2Event) { e.Action, e.DedupKey = "resolve", "" },
	} {
		e := event("trigger", "k")
		invalidate(e)
		_, err := c.ManageEventWithContext(t.Context(), e)
		var api pd.APIError
		if !errors.As(err, &api) || api.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: got %v, want status 400", name, err)
		}
	}
	big := event("trigger", "k")
	big.Payload.Details = strings.Repeat("x", 512<<10)
	_, err := c.ManageEventWithContext(t.Context(), big)
	var api pd.APIError
	if !errors.As(err, &api) || api.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("event over 512 KB: got %v, want status 413", err)
	}
}

func TestEnqueue_ErrorBody(t *testing.T) {
	a, _, _ := newAccount(t, nil)
	w := httptest.NewRecorder()
	a.Handler().ServeHTTP(w, httptest.NewRequest("POST", "/v2/enqueue", strings.NewReader(`{"event_action":"resolve"}`)))
	want := `{"status":"invalid event","message":"Event object is invalid","errors":["'routing_key' is missing or blank","'dedup_key' is missing or blank"]}`
	if got := strings.TrimSpace(w.Body.String()); w.Code != 400 || got != want {
		t.Fatalf("got %d %s, want 400 %s", w.Code, got, want)
	}
}

func TestEnqueue_RateLimit(t *testing.T) {
	_, c, clock := newAccount(t, func(cfg *pager.Config) { cfg.EventsPerMinute = 2 })
	send(t, c, event("trigger", "a"))
	clock.Add(30 * time.Second)
	send(t, c, event("trigger", "b"))
	_, err := c.ManageEventWithContext(t.Context(), event("trigger", "c"))
	var api pd.APIError
	if !errors.As(err, &api) || !api.RateLimited() {
		t.Fatalf("third event in a minute: got %v, want a rate limit error", err)
	}
	clock.Add(30 * time.Second)
	send(t, c, event("trigger", "c"))
}

func TestREST(t *testing.T) {
	a, c, _ := newAccount(t, nil)
	ctx := t.Context()
	send(t, c, event("trigger", "INC-42/1"))
	users, err := c.ListUsersWithContext(ctx, pd.ListUsersOptions{Query: "ben"})
	if err != nil || len(users.Users) != 1 || users.Users[0].Email != "ben@example.com" {
		t.Fatalf("list users: got %+v, %v", users, err)
	}
	if u, err := c.GetUserWithContext(ctx, "PANA", pd.GetUserOptions{}); err != nil || u.Name != "Ana Lima" {
		t.Fatalf("get user: got %+v, %v", u, err)
	}
	_, err = c.GetUserWithContext(ctx, "PNONE", pd.GetUserOptions{})
	var api pd.APIError
	if !errors.As(err, &api) || !api.NotFound() {
		t.Fatalf("get unknown user: got %v, want not found", err)
	}
	on, err := c.ListOnCallsWithContext(ctx, pd.ListOnCallOptions{Includes: []string{"users"}, Earliest: true})
	if err != nil || len(on.OnCalls) != 1 || on.OnCalls[0].User.Email != "ana@example.com" || on.OnCalls[0].End != "" {
		t.Fatalf("list users on call: got %+v, %v", on, err)
	}
	a.SetOnCall("PSEC")
	if on, err = c.ListOnCallsWithContext(ctx, pd.ListOnCallOptions{}); err != nil || len(on.OnCalls) != 0 {
		t.Fatalf("list users on call: got %+v, %v, want none", on, err)
	}
	list, err := c.ListIncidentsWithContext(ctx, pd.ListIncidentsOptions{IncidentKey: "INC-42/1"})
	if err != nil || len(list.Incidents) != 1 || list.Incidents[0].Assignments[0].Assignee.ID != "PANA" {
		t.Fatalf("list incidents: got %+v, %v", list, err)
	}
	id := list.Incidents[0].ID
	if _, err := c.ManageIncidentsWithContext(ctx, "ben@example.com", []pd.ManageIncidentsOptions{{ID: id, Status: "acknowledged"}}); err != nil {
		t.Fatal(err)
	}
	in, err := c.GetIncidentWithContext(ctx, id)
	if err != nil || in.Status != "acknowledged" || in.Acknowledgements[0].Acknowledger.ID != "PBEN" {
		t.Fatalf("get incident: got %+v, %v", in, err)
	}
	if _, err := c.ManageIncidentsWithContext(ctx, "unknown@example.com", []pd.ManageIncidentsOptions{{ID: id, Status: "resolved"}}); err == nil {
		t.Fatal("an unknown user resolved an incident")
	}
	if _, err := c.CreateIncidentNoteWithContext(ctx, id, pd.IncidentNote{Content: "looking", User: pd.APIObject{Summary: "ana@example.com"}}); err != nil {
		t.Fatal(err)
	}
	made, err := c.CreateIncidentWithContext(ctx, "ana@example.com", &pd.CreateIncidentOptions{Title: "By hand", Service: &pd.APIReference{ID: "PSEC", Type: "service_reference"}})
	if err != nil || made.IncidentNumber != 2 {
		t.Fatalf("create incident: got %+v, %v", made, err)
	}
	if got, _ := a.Incident(id); len(got.Notes) != 1 || got.Notes[0].User != "PANA" {
		t.Fatalf("wrong notes: %+v", got.Notes)
	}
	unauthorized := pd.NewClient("wrong", pd.WithAPIEndpoint("http://"+serveAgain(t, a)))
	unauthorized.HTTPClient = c.HTTPClient
	if _, err := unauthorized.ListUsersWithContext(ctx, pd.ListUsersOptions{}); !errors.As(err, &api) || api.StatusCode != 401 {
		t.Fatalf("wrong token: got %v, want status 401", err)
	}
}

// serveAgain serves the account on another port and returns host:port.
func serveAgain(t *testing.T, a *pager.Account) string {
	t.Helper()
	srv := httptest.NewServer(a.Handler())
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

func TestAccount_Faults(t *testing.T) {
	a, c, _ := newAccount(t, nil)
	last := func() pager.Request { r := a.Requests(); return r[len(r)-1] }
	for _, tc := range []struct {
		fault   pager.Fault
		status  int // 0 means no reply
		applied bool
	}{
		{pager.FaultError, 500, false}, {pager.FaultRefuse, 400, false}, {pager.FaultThrottle, 429, false},
		{pager.FaultSwallow, 202, false}, {pager.FaultDrop, 0, true}, {pager.FaultOffline, 0, false},
		{pager.FaultLate, 202, true}, {pager.FaultSlow, 202, true},
	} {
		t.Run(string(tc.fault), func(t *testing.T) {
			a.SetFaults(pager.Rule{Fault: tc.fault, Endpoint: pager.EndpointEvents, Action: "trigger", Times: 1, Delay: time.Millisecond})
			key := "k-" + string(tc.fault)
			_, err := c.ManageEventWithContext(t.Context(), event("trigger", key))
			var api pd.APIError
			status := 0
			if errors.As(err, &api) {
				status = api.StatusCode
			} else if err == nil {
				status = 202
			}
			if status != tc.status {
				t.Errorf("status: got %d, want %d (error %v)", status, tc.status, err)
			}
			if err := a.Until(timeoutContext(t), func() bool { return last().Done }); err != nil {
				t.Fatal(err)
			}
			if got := len(a.ByKey(key)) == 1; got != tc.applied || last().Effect == pager.EffectPaged != tc.applied {
				t.Errorf("applied: got %v, want %v, log entry %+v", got, tc.applied, last())
			}
			if last().Fault != tc.fault || last().Status != tc.status {
				t.Errorf("wrong log entry: %+v", last())
			}
			send(t, c, event("trigger", key)) // the fault applied once
			if len(a.ByKey(key)) != 1 {
				t.Errorf("got %d incidents after the second send, want 1", len(a.ByKey(key)))
			}
		})
	}
}

func TestFaultSilence_CallerDisconnects(t *testing.T) {
	a, c, _ := newAccount(t, nil)
	a.SetFaults(pager.Rule{Fault: pager.FaultSilence})
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := c.ManageEventWithContext(ctx, event("trigger", "k"))
		failed <- err
	}()
	if err := a.Until(timeoutContext(t), func() bool { return len(a.Requests()) == 1 }); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-failed; err == nil {
		t.Fatal("got a reply, want an error")
	}
	if err := a.Until(timeoutContext(t), func() bool { return a.Requests()[0].Done }); err != nil {
		t.Fatal(err)
	}
	if r := a.Requests()[0]; r.Effect != "" || r.Status != 0 {
		t.Fatalf("wrong log entry: %+v", r)
	}
}

func TestFaultSlow_AppliedAfterCallerDisconnects(t *testing.T) {
	release := make(chan struct{})
	a, _, _ := newAccount(t, func(cfg *pager.Config) {
		cfg.Wait = func(ctx context.Context, _ time.Duration) error {
			select {
			case <-release:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	a.SetFaults(pager.Rule{Fault: pager.FaultSlow, Delay: time.Minute})
	disconnected := make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		context.AfterFunc(r.Context(), func() { close(disconnected) })
		a.Handler().ServeHTTP(w, r)
	})
	srv := httptest.NewServer(handler)
	defer srv.Close()
	c := pd.NewClient(token, pd.WithV2EventsAPIEndpoint(srv.URL))
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := c.ManageEventWithContext(ctx, event("trigger", "k"))
		failed <- err
	}()
	if err := a.Until(timeoutContext(t), func() bool { return len(a.Requests()) == 1 }); err != nil {
		t.Fatal(err)
	}
	cancel()
	<-failed
	<-disconnected
	close(release)
	if err := a.Until(timeoutContext(t), func() bool { return a.Requests()[0].Done }); err != nil {
		t.Fatal(err)
	}
	if r := a.Requests()[0]; !r.Abandoned || r.Effect != pager.EffectPaged || r.Status != 0 {
		t.Fatalf("wrong log entry: %+v", r)
	}
}

// receiver is a webhook endpoint that replies with the statuses of script, then
// 202. Status 0 drops the connection.
type receiver struct {
	mu      sync.Mutex
	script  []int
	got     []received
	secrets []string
	url     string
}

type received struct {
	id, body string
	verified []bool // per secret
	event    struct {
		ID        string          `json:"id"`
		EventType string          `json:"event_type"`
		Agent     *pager.Ref      `json:"agent"`
		Client    *pager.Client   `json:"client"`
		Data      json.RawMessage `json:"data"`
	}
}

func newReceiver(t *testing.T, secrets []string, script ...int) *receiver {
	t.Helper()
	rec := &receiver{secrets: secrets, script: script}
	srv := httptest.NewServer(rec)
	t.Cleanup(srv.Close)
	rec.url = srv.URL
	return rec
}

func (rec *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in received
	for _, s := range rec.secrets {
		in.verified = append(in.verified, webhookv3.VerifySignature(r, s) == nil)
	}
	body, _ := io.ReadAll(r.Body)
	in.id, in.body = r.Header.Get("X-Webhook-Id"), string(body)
	var frame struct{ Event json.RawMessage }
	_ = json.Unmarshal(body, &frame)
	_ = json.Unmarshal(frame.Event, &in.event)
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.got = append(rec.got, in)
	status := http.StatusAccepted
	if len(rec.script) > 0 {
		status, rec.script = rec.script[0], rec.script[1:]
	}
	if status == 0 {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(status)
}

func deliveriesFinished(a *pager.Account, n int) func() bool {
	return func() bool {
		done := 0
		for _, d := range a.Snapshot().Deliveries {
			if d.State != pager.Pending {
				done++
			}
		}
		return done >= n
	}
}

func TestWebhook_SignedOrderedAndRetried(t *testing.T) {
	secrets := []string{"old", "new"}
	rec := newReceiver(t, secrets, 500, 429, 0, 202, 503)
	a, c, _ := newAccount(t, func(cfg *pager.Config) { cfg.Webhooks = []pager.Webhook{{URL: rec.url, Secrets: secrets}} })
	send(t, c, event("trigger", "INC-42/1"))
	id := a.ByKey("INC-42/1")[0].ID
	if err := a.Acknowledge(id, "PBEN"); err != nil {
		t.Fatal(err)
	}
	if err := a.Annotate(id, "PANA", "rotated the key – ключ"); err != nil {
		t.Fatal(err)
	}
	send(t, c, event("resolve", "INC-42/1"))
	if err := a.Until(timeoutContext(t), deliveriesFinished(a, 4)); err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, in := range rec.got {
		kinds = append(kinds, in.event.EventType)
		if !in.verified[0] || !in.verified[1] {
			t.Errorf("%s: signatures verified: got %v, want all", in.event.EventType, in.verified)
		}
	}
	want := "incident.triggered incident.triggered incident.triggered incident.triggered incident.acknowledged incident.acknowledged incident.annotated incident.resolved"
	if got := strings.Join(kinds, " "); got != want {
		t.Fatalf("order\n got %s\nwant %s", got, want)
	}
	if rec.got[0].id != rec.got[3].id || rec.got[0].body != rec.got[3].body || rec.got[3].id == rec.got[4].id {
		t.Error("attempts of a delivery have different IDs or bodies, or two deliveries share an ID")
	}
	trigger, ack, resolve := rec.got[3].event, rec.got[5].event, rec.got[7].event
	if trigger.Agent != nil || trigger.Client.Name != "tocsin" || ack.Agent.ID != "PBEN" || resolve.Agent != nil {
		t.Errorf("wrong agents: %+v %+v %+v", trigger.Agent, ack.Agent, resolve.Agent)
	}
	var data struct {
		IncidentKey string `json:"incident_key"`
		Status      string
		Assignees   []pager.Ref
	}
	if err := json.Unmarshal(ack.Data, &data); err != nil || data.IncidentKey != "INC-42/1" || data.Status != "acknowledged" || data.Assignees[0].ID != "PANA" {
		t.Errorf("wrong data: %+v, %v", data, err)
	}
	first := a.Snapshot().Deliveries[0]
	if first.State != pager.Delivered || len(first.Attempts) != 4 || !a.Redeliver(first.ID) {
		t.Fatalf("wrong delivery: %+v", first)
	}
	if err := a.Until(timeoutContext(t), func() bool { return len(a.Snapshot().Deliveries[0].Attempts) == 5 }); err != nil {
		t.Fatal(err)
	}
}

func TestWebhook_DropsDisableSubscription(t *testing.T) {
	rec := newReceiver(t, nil, 401, 404, 400)
	a, c, clock := newAccount(t, func(cfg *pager.Config) {
		cfg.Webhooks = []pager.Webhook{{URL: rec.url, Events: []string{"incident.triggered"}}}
	})
	for i := range 3 {
		send(t, c, event("trigger", fmt.Sprint(i)))
	}
	if err := a.Until(timeoutContext(t), deliveriesFinished(a, 3)); err != nil {
		t.Fatal(err)
	}
	for _, d := range a.Snapshot().Deliveries {
		if d.State != pager.Dropped || len(d.Attempts) != 1 {
			t.Errorf("got %+v, want dropped after one attempt", d)
		}
	}
	send(t, c, event("trigger", "while disabled"))
	clock.Add(25 * time.Hour)
	send(t, c, event("trigger", "after"))
	if err := a.Until(timeoutContext(t), deliveriesFinished(a, 4)); err != nil {
		t.Fatal(err)
	}
	if d := a.Snapshot().Deliveries; len(d) != 4 || d[3].State != pager.Delivered {
		t.Fatalf("wrong deliveries: %+v", d)
	}
}

func TestAccount_ActAsUser(t *testing.T) {
	a, _, _ := newAccount(t, nil)
	id, err := a.Raise("Strange login", "PSEC", "PBEN")
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Acknowledge(id, "PNONE"); !errors.Is(err, pager.ErrNoUser) {
		t.Errorf("unknown user: got %v, want ErrNoUser", err)
	}
	if err := a.Acknowledge("QNONE", "PANA"); !errors.Is(err, pager.ErrNoIncident) {
		t.Errorf("unknown incident: got %v, want ErrNoIncident", err)
	}
	if err := errors.Join(a.Acknowledge(id, "PANA"), a.Acknowledge(id, "PANA"), a.Acknowledge(id, "PBEN"), a.Resolve(id, "PANA")); err != nil {
		t.Error(err)
	}
	if err := a.Acknowledge(id, "PANA"); !errors.Is(err, pager.ErrResolved) {
		t.Errorf("resolved incident: got %v, want ErrResolved", err)
	}
	in, _ := a.Incident(id)
	if len(in.Log) != 4 || !in.Manual || in.Key == "" {
		t.Errorf("wrong incident: %+v", in)
	}
}

func TestSeed_DeterminesIDs(t *testing.T) {
	ids := func(seed string) string {
		a, c, _ := newAccount(t, func(cfg *pager.Config) { cfg.Seed = seed })
		return send(t, c, event("trigger", "")).DedupKey + a.Snapshot().Incidents[0].ID
	}
	if one, two, other := ids("1"), ids("1"), ids("2"); one != two || one == other {
		t.Fatalf("got %s and %s for seed 1, %s for seed 2", one, two, other)
	}
}

// TestSign_ComputedElsewhere compares signatures with the output of another
// implementation.
func TestSign_ComputedElsewhere(t *testing.T) {
	intaketest.OnBoth(t, []string{"testdata/webhook/signature-cases.json"}, []string{"pagerduty/webhook-v3-signature-cases.json"}, func(t *testing.T, payloads []intaketest.Payload) {
		var v struct {
			Secret string
			File   string `json:"body_file"`
			Cases  []struct{ Name, Value, Expect string }
		}
		if err := json.Unmarshal(payloads[0].Body, &v); err != nil {
			t.Fatal(err)
		}
		body, err := os.ReadFile(filepath.Join(filepath.Dir(payloads[0].Path), v.File))
		if err != nil {
			t.Fatal(err)
		}
		if got := pager.Sign(body, v.Secret); got != v.Cases[0].Value {
			t.Fatalf("got %s, want %s", got, v.Cases[0].Value)
		}
	})
}

func FuzzEnqueue(f *testing.F) {
	f.Add(`{"routing_key":"` + routingKey + `","event_action":"trigger","payload":{"summary":"s","source":"s","severity":"info"}}`)
	f.Add(`{"event_action":"resolve","dedup_key":"k"}`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, body string) {
		a := pager.New(pager.Config{Services: []pager.Service{{ID: "P", RoutingKey: routingKey}}})
		defer a.Close()
		w := httptest.NewRecorder()
		a.Handler().ServeHTTP(w, httptest.NewRequest("POST", "/v2/enqueue", strings.NewReader(body)))
		if w.Code != 202 && w.Code != 400 && w.Code != 413 {
			t.Fatalf("%q: got status %d, want 202, 400 or 413", body, w.Code)
		}
	})
}
