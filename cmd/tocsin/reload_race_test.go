package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tocsin/bot"
	"tocsin/bot/config"
	"tocsin/bot/incident"
	"tocsin/bot/response"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/feed"
	"tocsin/store"
)

// TestReload_UnderLoad reloads between two configurations while deliveries and
// commands arrive. Nothing may be lost or refused. Run it with the race detector.
func TestReload_UnderLoad(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	sandbox, err := company.Open(company.Options{Seed: 37})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sandbox.Close() }()
	cfg, err := demoConfig(sandbox, demoOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	other := cfg
	other.Routing = append([]response.Rule{{When: `kind == "never"`, Watch: true}}, cfg.Routing...)
	other.Redaction.Literals = []string{"blue heron"}
	keys, err := store.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	var loads atomic.Int64
	b, err := bot.New(ctx, cfg, bot.Options{Keyset: keys, Logger: slog.New(slog.DiscardHandler), Load: func() (config.Config, error) {
		if loads.Add(1)%2 == 1 {
			return other, nil
		}
		return cfg, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	sandbox.Connect("http://" + b.Addr())
	run, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- b.Run(run) }()

	var load, reloads sync.WaitGroup
	done := make(chan struct{})
	reloads.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				if err := b.Reload(ctx); err != nil {
					t.Errorf("reload: %v", err)
					return
				}
			}
		}
	})
	const senders, each = 4, 15
	for n := range senders {
		load.Go(func() {
			for k := range each {
				if a, err := sandbox.Trail.Deliver(ctx, feed.StopLogging(uint64(n)), feed.Copy{N: n*each + k}); err != nil || a.Status != 202 {
					t.Errorf("got response %+v, %v, want 202", a, err)
				}
				_, err := b.Desk().Do(ctx, incident.Command{Verb: incident.VerbOpen, Title: fmt.Sprintf("incident %d/%d", n, k), Severity: incident.Sev4,
					By: incident.System, Via: incident.ViaSystem, Key: fmt.Sprintf("load/%d/%d", n, k)})
				if err != nil {
					t.Errorf("open: %v", err)
				}
			}
		})
	}
	load.Wait()
	close(done)
	reloads.Wait()
	if loads.Load() < 2 {
		t.Errorf("got %d reloads, want at least 2 during the load", loads.Load())
	}
	list, err := b.Desk().List(ctx, incident.System, incident.Filter{All: true, Limit: 1000})
	if err != nil || len(list) < senders*each {
		t.Errorf("got %d incidents, %v, want at least %d", len(list), err, senders*each)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("bot stopped with %v", err)
	}
}
