package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/story"
)

// runDemoStory plays a whole incident by itself and leaves in dir what is left of
// it: the transcript and the postmortem. People are quicker here than Slack
// lets an app be, so the workspace has no rate limits.
func runDemoStory(ctx context.Context, out io.Writer, o demoOptions, dir string) (err error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("make the folder for the transcript: %w", err)
	}
	o.HTTP, o.Limits = o.HTTP || story.OverHTTP(o.Seed), chat.Limits{Off: true}
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	began := time.Now()
	d, err := startDemo(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	report, err := d.playStory(ctx, o, out, dir, 0)
	if err != nil {
		return fmt.Errorf("the story broke off (%s shows how far it came): %w", filepath.Join(dir, "transcript.md"), err)
	}
	_, err = fmt.Fprintf(out, "\n%s went from the first alert to closed in %s. Left in %s: transcript.md, postmortem.md, postmortem.html\n",
		report.Incident, time.Since(began).Round(time.Second/10), dir)
	return err
}

// playStory plays the seed's incident with this bot. patience is for each thing
// that has to happen; zero is the story's own.
func (d *demo) playStory(ctx context.Context, o demoOptions, out io.Writer, dir string, patience time.Duration) (story.Result, error) {
	zone, err := time.LoadLocation(cmp.Or(d.Config.TimeZone, "UTC"))
	if err != nil {
		return story.Result{}, fmt.Errorf("time zone: %w", err)
	}
	return story.Run(ctx, story.Config{Company: d.Company, Seed: o.Seed, Out: out, Dir: dir, Now: o.Clock, Zone: zone, WaitTimeout: patience})
}
