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

// TestARevokedSlackTokenStopsNeitherAlertsNorPages: Slack may be what was
// broken into.
func TestARevokedSlackTokenStopsNeitherAlertsNorPages(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	world, err := company.Open(company.Options{Seed: 6})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = world.Close() }()
	cfg, err := demoConfig(world, demoOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Slack.AppToken, cfg.Slack.BotToken = secret.New("xapp-revoked"), secret.New("xoxb-revoked")
	keys, err := store.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	refused := make(chan struct{}, 100)
	defer world.Chat.Subscribe(func(e chat.Entry) {
		if e.Call != nil && e.Call.Method == "apps.connections.open" {
			select {
			case refused <- struct{}{}:
			default:
			}
		}
	})()
	b, err := bot.New(ctx, cfg, bot.Options{Keyset: keys})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	world.Connect("http://" + b.Addr())
	run, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- b.Run(run) }()
	select {
	case <-refused:
	case err := <-ended:
		t.Fatalf("the bot ended: %v", err)
	case <-ctx.Done():
		t.Fatal("the bot did not try to connect")
	}
	if a, err := world.Trail.Deliver(ctx, feed.StopLogging(6), feed.Copy{}); err != nil || a.Status != 202 {
		t.Fatalf("%+v, %v", a, err)
	}
	if err := world.Pager.Until(ctx, func() bool { return len(world.Pager.Snapshot().Pages) > 0 }); err != nil {
		t.Errorf("nobody was paged: %v", err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("the bot ended with %v", err)
	}
}
