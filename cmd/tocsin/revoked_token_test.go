package main

import (
	"context"
	"testing"
	"time"

	"tocsin/bot"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/feed"
	"tocsin/bot/secret"
	"tocsin/store"
)

// TestRevokedSlackToken_AlertsStillPage covers an attack on Slack itself: the bot must
// page although its Slack tokens are revoked.
func TestRevokedSlackToken_AlertsStillPage(t *testing.T) {
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
	cfg.Slack.AppToken, cfg.Slack.BotToken = secret.New("xapp-revoked"), secret.New("xoxb-revoked")
	keys, err := store.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	rejected := make(chan struct{}, 100)
	defer sandbox.Chat.Subscribe(func(e chat.Entry) {
		if e.Call != nil && e.Call.Method == "apps.connections.open" {
			select {
			case rejected <- struct{}{}:
			default:
			}
		}
	})()
	b, err := bot.New(ctx, cfg, bot.Options{Keyset: keys})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	sandbox.Connect("http://" + b.Addr())
	run, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- b.Run(run) }()
	select {
	case <-rejected:
	case err := <-ended:
		t.Fatalf("bot stopped: %v", err)
	case <-ctx.Done():
		t.Fatal("bot did not try to connect to Slack")
	}
	if a, err := sandbox.Trail.Deliver(ctx, feed.StopLogging(6), feed.Copy{}); err != nil || a.Status != 202 {
		t.Fatalf("got response %+v, %v, want 202", a, err)
	}
	if err := sandbox.Pager.Until(ctx, func() bool { return len(sandbox.Pager.Snapshot().Pages) > 0 }); err != nil {
		t.Errorf("got no page: %v", err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("bot stopped with %v", err)
	}
}
