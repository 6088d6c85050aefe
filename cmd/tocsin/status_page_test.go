package main

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bot"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/feed"
	"tocsin/bot/sandbox/pager"
	"tocsin/store"
)

// TestStatusPage_LinkOfPage follows the link of the first page of a restricted incident. The
// page has it although Slack has no channel yet, and wrong addresses get equal responses.
func TestStatusPage_LinkOfPage(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	sandbox, err := company.Open(company.Options{Seed: 6})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sandbox.Close() }()
	cfg, err := demoConfig(sandbox, demoOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	cfg.PublicURL = "https://tocsin.example.com/"
	keys, err := store.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	b, err := bot.New(ctx, cfg, bot.Options{Keyset: keys})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	sandbox.Connect("http://" + b.Addr())
	run, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- b.Run(run) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("bot stopped with %v", err)
		}
	}()
	if a, err := sandbox.Trail.Deliver(ctx, feed.StopLogging(6), feed.Copy{}); err != nil || a.Status != http.StatusAccepted {
		t.Fatalf("got response %+v, %v, want 202", a, err)
	}
	if err := sandbox.Pager.Until(ctx, func() bool { return len(sandbox.Pager.Snapshot().Pages) > 0 }); err != nil {
		t.Fatal(err)
	}
	requests := sandbox.Pager.Requests()
	event := requests[slices.IndexFunc(requests, func(r pager.Request) bool { return r.Event != nil })].Event
	if want := "INC-1 sev2: possible leaked credentials (CloudTrail)"; event.Payload.Summary != want {
		t.Errorf("got title %q, want %q", event.Payload.Summary, want)
	}
	if len(event.Links) == 0 || !strings.HasPrefix(event.Links[0].Href, "https://tocsin.example.com/i/1-") {
		t.Fatalf("got links %+v, want the status page first", event.Links)
	}
	get := func(path string) (status int, header http.Header, body string) {
		res, err := http.Get("http://" + b.Addr() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		raw, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		res.Header.Del("Date")
		return res.StatusCode, res.Header, string(raw)
	}
	path := strings.TrimPrefix(event.Links[0].Href, "https://tocsin.example.com")
	status, _, body := get(path)
	if status != http.StatusOK || !strings.Contains(body, "possible leaked credentials (CloudTrail)") || !strings.Contains(body, "Not acknowledged") || !strings.Contains(body, "slack.com/") {
		t.Errorf("got status %d and %s", status, body)
	}
	for _, secret := range []string{"StopLogging", "AKIA", "arn:", sandbox.People[0].Name} {
		if strings.Contains(body, secret) {
			t.Errorf("the status page of a restricted incident has %q: %s", secret, body)
		}
	}
	wantStatus, wantHeader, wantBody := get("/i/9-" + path[len("/i/1-"):])
	for _, wrong := range []string{"/i/1-0000", "/i/x", "/i/-1", "/i/" + strings.ToUpper(path[3:]), path + "0", "/i/99999999999999999999-1", "/i/%00"} {
		status, header, body := get(wrong)
		if status != http.StatusNotFound || status != wantStatus || body != wantBody || header.Get("Content-Security-Policy") != wantHeader.Get("Content-Security-Policy") || len(header) != len(wantHeader) {
			t.Errorf("%s: got status %d and %s, want the response of every unknown address", wrong, status, body)
		}
	}
}
