package web_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/web"
)

// serve requests the status page with a token.
func serve(t *testing.T, page incident.StatusPage, err error) *httptest.ResponseRecorder {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("GET "+web.StatusPath+"{token}", web.NewStatusPage(func(context.Context, string) (incident.StatusPage, error) { return page, err }, slog.New(slog.DiscardHandler)))
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/i/x", nil))
	return w
}

var open = incident.StatusPage{ID: 42, Severity: incident.Sev1, Status: incident.Triage, OpenedAt: time.Date(2026, 11, 3, 3, 6, 0, 0, time.UTC),
	Page: incident.PageInfo{Subject: "possible data exposure (Sentry)", Links: incident.PageLinks{Chat: "https://slack.com/app_redirect?channel=C1", Call: "https://meet.example.com/1", Runbook: "javascript:alert(1)"}}}

func TestStatusPage_States(t *testing.T) {
	with := func(change func(*incident.StatusPage)) incident.StatusPage {
		p := open
		change(&p)
		return p
	}
	for name, test := range map[string]struct {
		page    incident.StatusPage
		want    []string
		without string
	}{
		"not acknowledged": {open, []string{"INC-42", "sev1", "possible data exposure (Sentry)", "Not acknowledged", "you become the commander", "restricted", "Join the call", `channel=C1"`}, "<script"},
		"acknowledged": {with(func(p *incident.StatusPage) {
			p.Acknowledged, p.Status, p.AcknowledgedAt = true, incident.Active, open.OpenedAt
		}), []string{"Acknowledged</strong> at 2026-11-03 03:06 UTC", "A responder commands"}, "Not acknowledged"},
		"resolved": {with(func(p *incident.StatusPage) { p.Status = incident.InReview }), []string{"in review", "no longer needs a responder"}, "Not acknowledged"},
		"merged":   {with(func(p *incident.StatusPage) { p.Status, p.MergedInto = incident.Merged, 7 }), []string{"continues in INC-7"}, "Not acknowledged"},
		"drill":    {with(func(p *incident.StatusPage) { p.Origin = incident.OriginDrill }), []string{"[DRILL] INC-42"}, "<script"},
		"hostile":  {with(func(p *incident.StatusPage) { p.Title = "<script>alert(1)</script>" }), []string{"&lt;script&gt;"}, "<script"},
	} {
		t.Run(name, func(t *testing.T) {
			w := serve(t, test.page, nil)
			for _, want := range test.want {
				if !strings.Contains(w.Body.String(), want) {
					t.Errorf("got no %q in %s", want, w.Body)
				}
			}
			if w.Code != http.StatusOK || strings.Contains(w.Body.String(), test.without) || strings.Contains(w.Body.String(), "javascript:alert") {
				t.Errorf("got status %d with %q or a script: %s", w.Code, test.without, w.Body)
			}
		})
	}
}

func TestStatusPage_Headers(t *testing.T) {
	for _, err := range []error{nil, incident.Unknown("", "unknown"), errors.New("database is away")} {
		h := serve(t, open, err).Header()
		for name, want := range map[string]string{"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store", "X-Robots-Tag": "noindex"} {
			if !strings.Contains(h.Get(name), want) {
				t.Errorf("%v: got %s %q, want %q", err, name, h.Get(name), want)
			}
		}
	}
}

func TestStatusPage_ShowsNoErrorText(t *testing.T) {
	for code, err := range map[int]error{http.StatusNotFound: incident.Unknown("incident", "INC-42 was deleted. Look elsewhere"), http.StatusServiceUnavailable: errors.New("open /secret: denied")} {
		w := serve(t, open, err)
		if body := w.Body.String(); w.Code != code || strings.Contains(body, "INC-42") || strings.Contains(body, "secret") {
			t.Errorf("got status %d and %s, want %d without the error", w.Code, body, code)
		}
	}
}
