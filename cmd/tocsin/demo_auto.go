package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/story"
	"tocsin/bot/terminal"
)

// runDemoStory plays a complete incident and writes the transcript and the
// postmortem to dir. The workspace has no rate limits, because the simulated
// people act faster than Slack lets an app respond.
func runDemoStory(ctx context.Context, out io.Writer, o demoOptions, dir string) (err error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("create output folder: %w", err)
	}
	o.HTTP, o.Limits = o.HTTP || story.OverHTTP(o.Seed), chat.Limits{Off: true}
	o.Level = "warn"
	began := time.Now()
	d, err := startDemo(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	result, err := d.playStory(ctx, o, out, dir, 0)
	if err != nil {
		return fmt.Errorf("play incident (see %s for the steps until then): %w", filepath.Join(dir, "transcript.md"), err)
	}
	return writeText(out, fmt.Sprintf("\n%s is closed, %s after the first alert. Wrote transcript.md, postmortem.md and postmortem.html to %s\n%s\n",
		result.Incident, time.Since(began).Round(time.Second/10), terminal.Line(dir), result.Counts))
}

// playStory plays the incident of o.Seed with this bot. timeout limits the wait
// for each step. Zero means the default of [story.Config].
func (d *demo) playStory(ctx context.Context, o demoOptions, out io.Writer, dir string, timeout time.Duration) (story.Result, error) {
	zone, err := time.LoadLocation(cmp.Or(d.Config.TimeZone, "UTC"))
	if err != nil {
		return story.Result{}, fmt.Errorf("time zone: %w", err)
	}
	return story.Run(ctx, story.Config{Company: d.Company, Seed: o.Seed, Out: out, Dir: dir, Now: o.Clock, Zone: zone, WaitTimeout: timeout})
}
