package pagerduty_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tocsin/bot/health"
	"tocsin/bot/incident"
	"tocsin/bot/pagerduty"
	"tocsin/bot/sandbox/pager"
	"tocsin/bot/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const routingKey = "0123456789abcdef0123456789abcdef"

// account returns a PagerDuty account and a client that sends to it.
func account(t *testing.T, hooks ...pager.Webhook) (*pager.Account, *pagerduty.Client) {
	t.Helper()
	a := pager.New(pager.Config{
		Users:    []pager.User{{ID: "PANA", Name: "Ana Lima", Email: "ana@example.com"}},
		Services: []pager.Service{{ID: "PSEC", Name: "Security", RoutingKey: routingKey, OnCall: []string{"PANA"}}},
		Webhooks: hooks,
	})
	url, err := a.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	c, err := pagerduty.New(pagerduty.Config{EventsURL: url + "/"}, pagerduty.Target{RoutingKey: secret.New(routingKey)}, &http.Client{Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a, c
}

func brief() incident.Brief {
	return incident.Brief{Incident: incident.Incident{
		ID: 42, Status: incident.Triage, Severity: incident.Sev2, Title: "Leaked key\nin a repository", OpenedAt: time.Date(2026, 11, 3, 2, 31, 0, 0, time.UTC),
		Links:  map[string]string{incident.LinkChannel: "C123"},
		Alerts: []incident.AlertRef{{Source: "sentry", Kind: "sentry.issue", URL: "https://sentry.io/issues/1/"}},
		Head:   incident.Head{Seq: 3, Hash: "abc"},
	}, Attempt: 1, Mark: "INC-42/page/1/0", Page: incident.PageInfo{Subject: "application error (Sentry)", Links: incident.PageLinks{Status: "https://tocsin.example.com/i/1", Chat: "https://tocsin.example.com/c", Call: "https://meet.example.com/INC-42"}}}
}

func effect(round, route string) incident.Effect {
	return incident.Effect{Key: "INC-42/page/" + round + "/" + route, Kind: incident.EffectPage, Incident: 42, Args: map[string]string{"round": round, "escalation_step": route}}
}

func TestPage(t *testing.T) {
	a, c := account(t)
	cmd, err := c.Page(t.Context(), brief(), effect("1", "0"))
	if err != nil {
		t.Fatal(err)
	}
	if cmd.Verb != incident.VerbPaged || cmd.Round != 1 || cmd.EscalationStep != 0 || cmd.For != 42 {
		t.Errorf("got command %+v", cmd)
	}
	ev := a.Requests()[0].Event
	if ev.DedupKey != "INC-42/1" || ev.Payload.Summary != "INC-42 sev2: application error (Sentry)" || ev.Payload.Severity != "error" ||
		ev.Payload.Timestamp != "2026-11-03T02:31:00Z" || len(ev.Links) != 4 || ev.Links[2].Href != "https://meet.example.com/INC-42" || !strings.Contains(string(ev.Payload.Details), `"timeline_head":"3 abc","title":"Leaked key in a repository"`) || !strings.Contains(string(ev.Payload.Details), `"next":"acknowledge: you command"`) {
		t.Errorf("got event %+v, payload %+v", ev, ev.Payload)
	}
	if p := a.Snapshot().Pages; len(p) != 1 || p[0].User != "PANA" {
		t.Errorf("got pages %+v", p)
	}
}

func TestPage_RetryPagesOnce(t *testing.T) {
	a, c := account(t)
	for attempt := range 3 {
		b := brief()
		b.Attempt = attempt + 1
		if _, err := c.Page(t.Context(), b, effect("1", "0")); err != nil {
			t.Fatal(err)
		}
	}
	if p := a.Snapshot().Pages; len(p) != 1 {
		t.Errorf("got %d pages, want 1", len(p))
	}
	if _, err := c.Page(t.Context(), brief(), effect("2", "1")); err != nil {
		t.Fatal(err)
	}
	if p := a.Snapshot().Pages; len(p) != 2 || p[1].Key != "INC-42/2" {
		t.Errorf("got pages %+v after the second round", p)
	}
}

func TestPage_RestrictedIncident(t *testing.T) {
	a, c := account(t)
	b := brief()
	b.Incident.Restricted = true
	if _, err := c.Page(t.Context(), b, effect("2", "0")); err != nil {
		t.Fatal(err)
	}
	req := a.Requests()[0]
	if s := req.Event.Payload.Summary; s != "INC-42 sev2: application error (Sentry), page 2" {
		t.Errorf("got summary %q", s)
	}
	for _, word := range []string{"Leaked", "sentry.io"} {
		if strings.Contains(string(req.Body), word) {
			t.Errorf("page of a restricted incident contains %q: %s", word, req.Body)
		}
	}
}

// TestPage_AfterRestore pages about an incident of a paused restore. The page has the next step, and the number of the
// page does not count the rounds that the restore skipped.
func TestPage_AfterRestore(t *testing.T) {
	a, c := account(t)
	b := brief()
	b.Incident.Paging.Round, b.Incident.RoundGaps = 4602, []incident.RoundGap{{After: 1, Before: 4602}}
	b.Page.Note = "Tocsin is paused. The next step is to run tocsin backup release"
	if _, err := c.Page(t.Context(), b, effect("4602", "0")); err != nil {
		t.Fatal(err)
	}
	req := a.Requests()[0]
	if s := req.Event.Payload.Summary; !strings.HasSuffix(s, ", page 2") || !strings.Contains(string(req.Body), "run tocsin backup release.") {
		t.Errorf("got summary %q in %s", s, req.Body)
	}
}

func TestPage_LongSummary(t *testing.T) {
	a, c := account(t)
	b := brief()
	b.Page.Subject = strings.Repeat("é", 5000)
	if _, err := c.Page(t.Context(), b, effect("1", "0")); err != nil {
		t.Fatal(err)
	}
	if s := []rune(a.Requests()[0].Event.Payload.Summary); len(s) != 1024 || s[1023] != '…' {
		t.Errorf("got a summary of %d characters, want 1024", len(s))
	}
}

func TestPage_Severity(t *testing.T) {
	a, c := account(t)
	for s, want := range map[incident.Severity]string{"sev1": "critical", "sev2": "error", "sev3": "warning", "sev4": "info", "": "warning"} {
		b := brief()
		b.Incident.Severity = s
		if _, err := c.Page(t.Context(), b, effect("1", "0")); err != nil {
			t.Fatal(err)
		}
		reqs := a.Requests()
		if got := reqs[len(reqs)-1].Event.Payload.Severity; got != want {
			t.Errorf("%s: got severity %s, want %s", s, got, want)
		}
	}
}

func TestWithdraw_AcknowledgesOrResolves(t *testing.T) {
	a, c := account(t)
	steps := []struct {
		send   func(context.Context, incident.Brief, incident.Effect) (incident.Command, error)
		kind   incident.EffectKind
		status string
	}{{c.Page, incident.EffectPage, pager.Triggered}, {c.Withdraw, incident.EffectPageAck, pager.Acknowledged}, {c.Withdraw, incident.EffectPageAck, pager.Acknowledged},
		{c.Withdraw, incident.EffectPageResolve, pager.Resolved}, {c.Withdraw, incident.EffectPageResolve, pager.Resolved}}
	for i, s := range steps {
		e := effect("1", "0")
		e.Kind = s.kind
		cmd, err := s.send(t.Context(), brief(), e)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 && cmd.Verb != "" {
			t.Errorf("step %d: got command %s, want none", i, cmd.Verb)
		}
		if in := a.ByKey("INC-42/1"); len(in) != 1 || in[0].Status != s.status {
			t.Errorf("step %d: got %+v, want status %s", i, in, s.status)
		}
	}
}

func TestPage_ErrorTypes(t *testing.T) {
	a, c := account(t)
	page := func() error {
		_, err := c.Page(t.Context(), brief(), effect("1", "0"))
		if err != nil && strings.Contains(err.Error(), routingKey) {
			t.Errorf("error contains the routing key: %v", err)
		}
		return err
	}
	var wait *incident.RetryAfter
	var blocked *incident.Blocked

	a.SetFaults(pager.Rule{Fault: pager.FaultThrottle, Times: 1})
	if err := page(); !errors.As(err, &wait) || wait.After != 30*time.Second {
		t.Errorf("429: got error %v, want a retry after 30s", err)
	}
	a.SetFaults(pager.Rule{Fault: pager.FaultRefuse, Times: 2})
	if err := page(); !errors.As(err, &blocked) || !strings.Contains(err.Error(), "rejected by an injected fault") {
		t.Errorf("400: got error %v, want one for an administrator", err)
	}
	for _, f := range []pager.Fault{pager.FaultError, pager.FaultOffline} {
		a.SetFaults(pager.Rule{Fault: f, Times: 1})
		if err := page(); err == nil || errors.As(err, &blocked) || errors.As(err, &wait) {
			t.Errorf("%s: got error %v, want a temporary one", f, err)
		}
	}
	a.SetFaults(pager.Rule{Fault: pager.FaultDrop, Times: 1})
	if err := page(); err == nil {
		t.Error("lost response: got no error, want one")
	}
	if err := page(); err != nil || len(a.Snapshot().Pages) != 1 {
		t.Errorf("retry after a lost response: got error %v, pages %+v", err, a.Snapshot().Pages)
	}
	a.SetFaults(pager.Rule{Fault: pager.FaultSilence, Times: 1})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Page(ctx, brief(), effect("1", "0")); err == nil {
		t.Error("silent server: got no error, want one")
	}
}

func TestClient_RetryAfterHeader(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	defer s.Close()
	c, err := pagerduty.New(pagerduty.Config{EventsURL: s.URL}, pagerduty.Target{RoutingKey: secret.New("k")}, s.Client())
	if err != nil {
		t.Fatal(err)
	}
	var wait *incident.RetryAfter
	if _, err := c.Withdraw(t.Context(), brief(), effect("1", "0")); !errors.As(err, &wait) || wait.After != 7*time.Second {
		t.Errorf("got error %v, want a retry after 7s", err)
	}
}

func TestClient_RetryAfterBounded(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"3000": 5 * time.Minute, "99999999999": 5 * time.Minute, "Fri, 31 Dec 9999 23:59:59 GMT": 5 * time.Minute, "-1": 30 * time.Second, "soon": 30 * time.Second,
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", value)
			w.WriteHeader(http.StatusTooManyRequests)
		}))
		c, err := pagerduty.New(pagerduty.Config{EventsURL: s.URL}, pagerduty.Target{RoutingKey: secret.New("k")}, s.Client())
		if err != nil {
			t.Fatal(err)
		}
		var wait *incident.RetryAfter
		if _, err := c.Withdraw(t.Context(), brief(), effect("1", "0")); !errors.As(err, &wait) || wait.After != want {
			t.Errorf("Retry-After %q: got error %v, want a retry after %v", value, err, want)
		}
		s.Close()
	}
}

func TestNew_RoutingKeyRequired(t *testing.T) {
	if _, err := pagerduty.New(pagerduty.Config{}, pagerduty.Target{}, nil); err == nil {
		t.Error("no routing key: got no error, want one")
	}
}

// TestPageAndWebhooks sends pages to a PagerDuty account and decodes the webhooks that
// the account sends for them.
func TestPageAndWebhooks(t *testing.T) {
	type hook struct {
		header http.Header
		body   []byte
	}
	hooks := make(chan hook, 10)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		hooks <- hook{r.Header, body}
		w.WriteHeader(http.StatusAccepted)
	}))
	defer s.Close()
	a, c := account(t, pager.Webhook{URL: s.URL, Secrets: []string{"new", "unknown"}})
	next := func(label string) []incident.Signal {
		t.Helper()
		select {
		case h := <-hooks:
			if _, err := source.Verify(t.Context(), h.header, h.body, time.Now()); err != nil {
				t.Fatalf("%s: got error %v", label, err)
			}
			got, err := source.Decode(h.header, h.body)
			if err != nil {
				t.Fatalf("%s: got error %v", label, err)
			}
			return got
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: got no webhook within 10s", label)
			return nil
		}
	}

	if _, err := c.Page(t.Context(), brief(), effect("1", "0")); err != nil {
		t.Fatal(err)
	}
	if got := next("page of Tocsin"); got != nil {
		t.Errorf("page of Tocsin: got %+v, want no signal", got)
	}
	id := a.ByKey("INC-42/1")[0].ID
	if err := a.Acknowledge(id, "PANA"); err != nil {
		t.Fatal(err)
	}
	if got := next("acknowledgement"); len(got) != 1 || got[0].Command.Verb != incident.VerbAcknowledge || got[0].Command.By.ID != "PANA" || got[0].Subject.PageKey != "INC-42/1" {
		t.Errorf("acknowledgement by a user: got %+v", got)
	}
	if err := a.Annotate(id, "PANA", "on it"); err != nil {
		t.Fatal(err)
	}
	if got := next("note"); len(got) != 1 || got[0].Command.Text != "PagerDuty: note added by Ana Lima: on it" || got[0].Subject.PageKey != "INC-42/1" {
		t.Errorf("note: got %+v", got)
	}
	resolve := effect("1", "0")
	resolve.Kind = incident.EffectPageResolve
	if _, err := c.Withdraw(t.Context(), brief(), resolve); err != nil {
		t.Fatal(err)
	}
	if got := next("resolution by Tocsin"); got != nil {
		t.Errorf("resolution by Tocsin: got %+v, want no signal", got)
	}
	raised, err := a.Raise("Payroll is down", "PSEC", "PANA")
	if err != nil {
		t.Fatal(err)
	}
	if got := next("incident raised in PagerDuty"); len(got) != 1 || got[0].Alert == nil || got[0].Alert.Correlation != "pagerduty:"+raised {
		t.Errorf("incident raised in PagerDuty: got %+v", got)
	}
	a.Ping()
	if got := next("ping"); got != nil {
		t.Errorf("ping: got %+v, want no signal", got)
	}
}

// A page links only to web addresses, and its texts contain no character that deceives
// its reader.
func TestPage_HostileTexts(t *testing.T) {
	a, c := account(t)
	b := brief()
	b.Incident.Title = "x\x1b[31m\u202egnp.exe\r\n\x00y\u2066"
	b.Page.Subject = b.Incident.Title
	b.Incident.Alerts = nil
	for _, u := range []string{"javascript:alert(1)", "JaVaScRiPt://x/%0aalert(1)", "data:text/html,<script>alert(1)</script>", "vbscript:x", "file:///etc/passwd", "//evil.example", "https://", "https://x.example/\"><script>", "https://x.example/\nx", "https://ok.example/1"} {
		b.Incident.Alerts = append(b.Incident.Alerts[:min(len(b.Incident.Alerts), 4)], incident.AlertRef{Source: "s\u202e", Kind: "k\x1b", URL: u})
		if _, err := c.Page(t.Context(), b, effect("1", "0")); err != nil {
			t.Fatal(err)
		}
	}
	links := 0
	for _, r := range a.Requests() {
		if strings.ContainsAny(r.Event.Payload.Summary, "\x1b\x00\r\n\u202e\u2066") {
			t.Errorf("got summary %q", r.Event.Payload.Summary)
		}
		for _, l := range r.Event.Links {
			if links++; !strings.HasPrefix(l.Href, "https://tocsin.example.com/") && l.Href != b.Page.Links.Call && l.Href != "https://ok.example/1" || strings.ContainsAny(l.Text, "\x1b\u202e") {
				t.Errorf("got link %+v", l)
			}
		}
	}
	if links != 31 {
		t.Errorf("got %d links, want the status page, the channel and the call ten times and one alert", links)
	}
}

// TestPage_RefusedByAnyStatus answers with each refusal of the Events API.
func TestPage_RefusedByAnyStatus(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		cause  string // "" if the error is temporary
	}{
		"unknown key":   {400, `{"status":"invalid event","message":"Event object is invalid","errors":["Invalid routing key"]}`, "does not accept the routing key (status 400)"},
		"short key":     {400, `{"status":"invalid event","message":"Event object is invalid","errors":["Length of 'routing_key' is incorrect (should be 32 characters)"]}`, "does not accept the routing key (status 400)"},
		"invalid event": {400, `{"status":"invalid event","message":"Event object is invalid","errors":["'payload.timestamp' is invalid"]}`, "rejects the event (status 400)"},
		"payment":       {402, "", "rejects the event (status 402)"},
		"unauthorized":  {401, `{"message":"x"}`, "does not accept the routing key (status 401)"},
		"forbidden":     {403, "", "does not accept the routing key (status 403)"},
		"not found":     {404, "<html>", "does not accept the routing key (status 404)"},
		"too large":     {413, `{"message":"Event exceeds the maximum size of 512 KB"}`, "rejects the event (status 413)"},
		"timeout":       {408, "", ""},
		"server error":  {503, "<html>", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			}))
			defer s.Close()
			client, err := pagerduty.New(pagerduty.Config{EventsURL: s.URL}, pagerduty.Target{RoutingKey: secret.New("k")}, s.Client())
			if err != nil {
				t.Fatal(err)
			}
			for name, send := range map[string]func(context.Context, incident.Brief, incident.Effect) (incident.Command, error){"page": client.Page, "withdraw": client.Withdraw} {
				_, err := send(t.Context(), brief(), effect("1", "0"))
				blocked := new(incident.Blocked)
				if errors.As(err, &blocked) != (c.cause != "") || errors.As(err, new(*incident.Permanent)) {
					t.Fatalf("%s: got %v", name, err)
				}
				if c.cause != "" && (!strings.Contains(blocked.Cause.String(), c.cause) || blocked.System != incident.SystemPagerDuty || !strings.Contains(blocked.Fix.String(), "routing_key")) {
					t.Errorf("%s: got cause %q, fix %q", name, blocked.Cause, blocked.Fix)
				}
			}
		})
	}
}

func TestPage_ReducedAfterRejectedContent(t *testing.T) {
	a, c := account(t)
	a.SetFaults(pager.Rule{Fault: pager.FaultRefuse, Times: 1})
	if _, err := c.Page(t.Context(), brief(), effect("1", "0")); err != nil {
		t.Fatal(err)
	}
	requests := a.Requests()
	last := requests[len(requests)-1].Event
	if len(a.Snapshot().Pages) != 1 || last.DedupKey != "INC-42/1" || !strings.Contains(last.Payload.Summary, "INC-42") || len(last.Links) != 0 {
		t.Errorf("got pages %+v, last event %+v, want one page without details", a.Snapshot().Pages, last)
	}
}

func TestPage_UntrustedCertificate(t *testing.T) {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	c, err := pagerduty.New(pagerduty.Config{EventsURL: s.URL}, pagerduty.Target{RoutingKey: secret.New("k")}, http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	blocked := new(incident.Blocked)
	if _, err := c.Page(t.Context(), brief(), effect("1", "0")); !errors.As(err, &blocked) || !strings.Contains(blocked.Cause.String(), "certificate") {
		t.Errorf("got %v, want one for an administrator about the certificate", err)
	}
}

// Operators read the cause of a failed call, although the library returns the text of the
// error alone.
func TestPage_NamesTheCauseOfAnOutage(t *testing.T) {
	for want, serve := range map[string]http.HandlerFunc{
		"PagerDuty refuses connections":              nil,
		"PagerDuty closes the connection":            func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"PagerDuty answers with the HTTP status 503": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"PagerDuty answers with the HTTP status 500": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = w.Write([]byte(`{"status":"error","message":"Internal Server Error"}`))
		},
		"PagerDuty does not answer in time": func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // the server notices the end of the connection only then
			<-r.Context().Done()
		},
	} {
		t.Run(want, func(t *testing.T) {
			server := httptest.NewServer(serve)
			defer server.Close()
			if serve == nil {
				server.Close()
			}
			client, err := pagerduty.New(pagerduty.Config{EventsURL: server.URL}, pagerduty.NewTarget(routingKey), nil)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			_, err = client.Page(ctx, brief(), effect("1", ""))
			if p := health.Explain("PagerDuty", err); p == nil || p.Cause != want {
				t.Errorf("got %+v for %v", p, err)
			}
		})
	}
}
