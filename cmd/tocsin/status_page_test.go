package main

import (
	"context"
	"fmt"
	"io"
	"maps"
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
	// The client follows no redirects: they would show more than the response to compare.
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	request := func(method, path string) (status int, header http.Header, body string) {
		t.Helper()
		r, err := http.NewRequestWithContext(ctx, method, "http://"+b.Addr()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("If-None-Match", "*")
		r.Header.Set("Accept-Encoding", "gzip")
		r.Header.Set("Range", "bytes=0-10")
		res, err := client.Do(r)
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
	get := func(path string) (int, http.Header, string) { return request(http.MethodGet, path) }
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
		if status != http.StatusNotFound || status != wantStatus || body != wantBody || !maps.EqualFunc(header, wantHeader, slices.Equal) {
			t.Errorf("%s: got status %d, %v and %s, want the response of every unknown address", wrong, status, header, body)
		}
	}
	// Of two wrong addresses, one has the number of an incident that exists. No method and no
	// spelling of the path tells them apart.
	existing, missing := "/i/1-"+strings.Repeat("0", 32), "/i/9-"+strings.Repeat("0", 32)
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions, http.MethodTrace, "PROPFIND"} {
		for _, spelling := range []string{"%s", "%s/", "/%s", "/i/..%s", "%s?x=1", "%s;x", "%s%%2F", "%s%%00", "%s/../x", "%s" + strings.Repeat("a", 6000)} {
			a, b := fmt.Sprintf(spelling, existing), fmt.Sprintf(spelling, missing)
			gotStatus, gotHeader, gotBody := request(method, a)
			status, header, body := request(method, b)
			withoutPath := func(text string) string {
				return strings.ReplaceAll(strings.ReplaceAll(text, "/1-", "/N-"), "/9-", "/N-")
			}
			same := maps.EqualFunc(gotHeader, header, func(x, y []string) bool {
				return withoutPath(strings.Join(x, "|")) == withoutPath(strings.Join(y, "|"))
			})
			if gotStatus/100 == 2 || gotStatus != status || !same || withoutPath(gotBody) != withoutPath(body) {
				t.Errorf("%s %.80s: got status %d, %v and %s, want %d, %v and %s as for a missing incident", method, a, gotStatus, gotHeader, gotBody, status, header, body)
			}
		}
	}
	if status, header, body := request(http.MethodHead, path); status != http.StatusOK || body != "" || header.Get("Cache-Control") != "no-store" || header.Get("ETag")+header.Get("Last-Modified") != "" {
		t.Errorf("HEAD: got status %d and %v", status, header)
	}
}
