package main

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"tocsin/bot"
	"tocsin/bot/sandbox/company"
	"tocsin/store"
)

// Without a signing secret, no request to Slack's paths can be genuine, and the
// bodies of strangers are not even read.
func TestSlackPaths_NeedSigningSecret(t *testing.T) {
	sandbox, err := company.Open(company.Options{Seed: 6})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sandbox.Close() })
	cfg, err := demoConfig(sandbox, demoOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := store.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	run, stop := context.WithTimeout(context.Background(), time.Minute)
	b, err := bot.New(run, cfg, bot.Options{Keyset: keys})
	if err != nil {
		stop()
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- b.Run(run) }()
	t.Cleanup(func() { stop(); <-ended; b.Close() })
	for _, path := range []string{"/slack/commands", "/slack/interactions", "/slack/events", "/slack/"} {
		if status, text := post(t, "http://"+b.Addr()+path, "{}"); status != http.StatusNotFound || !strings.Contains(text, "unknown path") {
			t.Errorf("%s: got %d %s, want 404 as for any unknown path", path, status, text)
		}
	}
}

// Failed verifications of strangers behind an address delay neither Slack's requests
// nor deliveries nor reports from that address.
func TestEndpoints_WrongSecretsDoNotDelayGenuineRequests(t *testing.T) {
	base, endpoints := startWithEndpoints(t), credentials()
	for path := range endpoints {
		for range 5 {
			_, _ = post(t, base+path, `{"title":"wrong"}`, "Content-Type", "application/x-www-form-urlencoded")
		}
	}
	for path, body := range map[string]string{"/hooks/sentry": "{}", "/hooks/cloudtrail": "{}", "/hooks/pagerduty": "{}", "/hooks/alertmanager": "{}",
		"/hooks/siem": "{}", "/slack/events": `{"type":"url_verification","challenge":"x"}`, "/slack/commands": "ssl_check=1",
		"/report": "title=a&description=b"} {
		if status, text := post(t, base+path, body, endpoints[path](body)...); status/100 != 2 {
			t.Errorf("%s: got %d %.200s, want 2xx", path, status, text)
		}
	}
}
