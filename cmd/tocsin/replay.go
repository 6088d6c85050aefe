package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bot/command"
	"tocsin/bot/config"
	"tocsin/bot/control"
	"tocsin/bot/incident"
	"tocsin/bot/setting"
	"tocsin/bot/text"
	"tocsin/store"
)

// replayOptions are the flags of `tocsin replay`.
type replayOptions struct {
	*globalFlags
	since, until, source, out, to, reason string
	secrets                               []string
	asNew, drill                          bool
}

func replayCommand(g *globalFlags) *cobra.Command {
	r := &replayOptions{globalFlags: g}
	cmd := &cobra.Command{
		Use: "replay [FILE…]", Short: "Process stored or recorded deliveries again, here or on another instance",
		Long: "Process deliveries again: stored ones with --since, or recorded ones from files.\n\n" +
			"--since alone reprocesses the stored deliveries that led to no incident: watched, dropped, suppressed by maintenance,\n" +
			"recurred, undecodable and ignored ones, and partly unreadable ones. They are decoded and routed again with\n" +
			"the current configuration. Alerts are not counted twice, and other deliveries of an incident are not touched. With --as-new, all stored deliveries are ingested as new\n" +
			"ones and counted again. With --out, they are only written to a file, one JSON object per line: the raw body, its SHA-256,\n" +
			"sender, time and verification.\n\n" +
			"Deliveries with --as-new are a replay, and deliveries of a file are a recording. Their incidents are marked [REPLAY] or\n" +
			"[RECORDING] everywhere and page no one. With --drill, deliveries are ingested as new ones too, and their incidents page\n" +
			"responders with the mark [DRILL]. Alerts of a replay, a drill or a recording never count for live alerts or incidents.\n\n" +
			"FILE is such a recording or, with --source, a body as the source posts it. For the source report it is a body that the\n" +
			"form stored, or a mail. It is sent to the running bot over the control socket, under your name.\n\n" +
			"With --to, deliveries are sent to another instance, which ingests a known delivery only once. To a URL they are posted\n" +
			"and signed with --secret as their source signs them. Deliveries without an id are known there only for a while: one hour\n" +
			"for Alertmanager, ten minutes for a generic source without delivery_header. Deliveries of sns, trail and report cannot be\n" +
			"signed for a URL. To the other instance, deliveries to a URL are live: they open incidents without a mark, and page. Send\n" +
			"all others to its control socket with unix:PATH, forwarded with ssh -L from another machine. There you act as your user\n" +
			"on that machine, and the replay is in its audit log.\n\n" +
			"Only administrators can replay. Deliveries of a restricted incident are exported only to people who may read it. The\n" +
			"number of the others is printed.",
		Example: "  tocsin replay --since 2h\n  tocsin replay --since 2026-11-20T00:00:00Z --source sentry --out sentry.ndjson\n" +
			"  tocsin replay sentry.ndjson --to https://staging.example.com --secret sentry=$SENTRY_CLIENT_SECRET\n" +
			"  ssh -fNL /tmp/staging.sock:/var/lib/tocsin/tocsin.db.sock staging && tocsin replay sns.ndjson --to unix:/tmp/staging.sock\n" +
			"  tocsin replay --source cloudtrail event.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			done, err := r.run(cmd.Context(), args)
			if err != nil {
				return g.replyError(cmd.OutOrStdout(), err)
			}
			text := countDeliveries(done.Deliveries)
			if done.LeftOut > 0 {
				text += fmt.Sprintf("\n%s left out, because you may not read the restricted incidents they belong to", countDeliveries(done.LeftOut))
			}
			return g.print(cmd.OutOrStdout(), done, text)
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.since, "since", "", "replay stored deliveries since this `time` (such as \"2026-11-20 02:31 CET\", or an age such as 2h or 3d)")
	f.StringVar(&r.until, "until", "", "replay stored deliveries until this `time` (default now)")
	f.StringVar(&r.source, "source", "", "replay only deliveries of this `source` (required for a file with a bare body)")
	f.StringVar(&r.out, "out", "", "write the stored deliveries to this new `file` and send nothing")
	f.StringVar(&r.to, "to", "", "`URL` of the instance to send to, or its control socket as unix:PATH (default the running bot)")
	f.StringArrayVar(&r.secrets, "secret", nil, "`SOURCE=SECRET` to sign with for a URL (also alertmanager=USER:PASSWORD, repeatable)")
	f.StringVar(&r.reason, "reason", "", "`reason` for the audit log")
	f.BoolVar(&r.asNew, "as-new", false, "ingest as new deliveries and count them again, marked [REPLAY] and without paging")
	f.BoolVar(&r.drill, "drill", false, "like --as-new, but marked [DRILL], and page responders")
	cmd.MarkFlagsMutuallyExclusive("out", "to")
	cmd.MarkFlagsMutuallyExclusive("as-new", "drill")
	cmd.MarkFlagsMutuallyExclusive("out", "drill")
	return cmd
}

// run replays stored deliveries or files, to the running bot, to a file or to
// another instance. It returns how many deliveries were replayed.
func (r *replayOptions) run(ctx context.Context, files []string) (control.Replayed, error) {
	if (r.since == "") == (len(files) == 0) {
		return control.Replayed{}, errors.New("name either files or, for stored deliveries, --since")
	}
	if r.drill && r.to != "" && !strings.HasPrefix(r.to, "unix:") {
		return control.Replayed{}, errors.New("--drill has no effect for a URL, because deliveries to a URL are live there; " + useSocketHint)
	}
	if r.out != "" && len(files) > 0 {
		return control.Replayed{}, errors.New("--out requires --since, because it writes stored deliveries")
	}
	var c config.Config
	client, err := r.client()
	if url := r.to != "" && !strings.HasPrefix(r.to, "unix:"); err == nil && (r.socket == "" || url) {
		c, err = config.Load(r.config)
	}
	if err != nil {
		return control.Replayed{}, err
	}
	if r.since != "" && r.out == "" && r.to == "" {
		return r.reprocess(ctx, client)
	}
	sink, err := r.sink(ctx, client, c.Sources)
	if err != nil {
		return control.Replayed{}, err
	}
	n, leftOut := 0, 0
	each := func(d control.Recorded) error {
		if err := sink.write(d); err != nil {
			return err
		}
		n++
		return nil
	}
	if r.since != "" {
		span, spanErr := r.filter(time.Now())
		if err = spanErr; err == nil {
			leftOut, err = client.Export(ctx, span, r.reason, each)
		}
	}
	for _, file := range files {
		if err == nil {
			err = readRecording(file, r.source, c.Sources, each)
		}
	}
	err = errors.Join(err, sink.close(err == nil))
	return control.Replayed{Deliveries: n, LeftOut: leftOut}, err
}

func countDeliveries(n int) string {
	if n == 1 {
		return "1 delivery"
	}
	return fmt.Sprintf("%d deliveries", n)
}

// reprocess makes the running bot process its stored deliveries again.
func (r *replayOptions) reprocess(ctx context.Context, client *control.Client) (control.Replayed, error) {
	var done control.Replayed
	span, err := r.filter(time.Now())
	if err != nil {
		return done, err
	}
	name := "reprocess"
	if r.asNew || r.drill {
		name = "replay-as-new"
	}
	return done, client.Do(ctx, name, control.Request{Filter: &span, Origin: r.origin(), Reason: r.reason}, &done)
}

// origin returns the origin of the deliveries, or the zero value for the default of the
// request.
func (r *replayOptions) origin() incident.Origin {
	switch {
	case r.drill:
		return incident.OriginDrill
	case r.asNew:
		return incident.OriginReplay
	}
	return ""
}

func (r *replayOptions) filter(now time.Time) (store.DeliveryFilter, error) {
	span := store.DeliveryFilter{Source: r.source}
	var err error
	if span.From, err = parseTimeOrAge(r.since, now); err != nil {
		return span, fmt.Errorf("--since: %w", err)
	}
	if r.until != "" {
		if span.To, err = parseTimeOrAge(r.until, now); err != nil {
			return span, fmt.Errorf("--until: %w", err)
		}
	}
	return span, nil
}

// parseTimeOrAge parses a date, an age before now, or a time as people type it in
// commands. A time without a zone is in UTC.
func parseTimeOrAge(s string, now time.Time) (time.Time, error) {
	if day, err := time.Parse(time.DateOnly, s); err == nil {
		return day, nil
	}
	if span, err := setting.ParseDuration(s); err == nil && span >= 0 {
		return now.Add(-span), nil
	}
	if at, err := command.ParsePast(s+" ago", command.Context{Now: now}); err == nil { // 2h30, 90 min
		return at, nil
	}
	at, err := command.ParsePast(s, command.Context{Now: now})
	if err != nil {
		return time.Time{}, fmt.Errorf("invalid time %q. Write a time such as 2026-11-20T02:31:00Z, or an age such as 2h or 3d: %w", s, err)
	}
	return at, nil
}

// sink is a destination of deliveries. complete reports whether all deliveries were
// written. If not, close discards an unfinished file.
type sink struct {
	write func(control.Recorded) error
	close func(complete bool) error
}

func (r *replayOptions) sink(ctx context.Context, client *control.Client, sources config.Sources) (sink, error) {
	path, socket := strings.CutPrefix(r.to, "unix:")
	switch {
	case r.out != "":
		return newFileSink(r.out)
	case socket && len(r.secrets) > 0:
		return sink{}, errors.New("--secret is only for a URL, because the operating system identifies you on a control socket")
	case socket:
		client = control.NewClient(path)
	case r.to != "":
		return newInstanceSink(ctx, r.to, r.secrets, sources, r.asNew)
	}
	var batch []control.Recorded
	size := 0
	send := func() error {
		if len(batch) == 0 {
			return nil
		}
		var done control.Replayed
		err := client.Do(ctx, "deliver", control.Request{Recorded: batch, Origin: r.origin(), Reason: r.reason}, &done)
		batch, size = nil, 0
		if err != nil && socket {
			err = fmt.Errorf("--to %s: %w", r.to, err)
		}
		return err
	}
	return sink{close: func(bool) error { return send() }, write: func(d control.Recorded) error {
		batch, size = append(batch, d), size+len(d.Body)
		if size < 4<<20 && len(batch) < 500 {
			return nil
		}
		return send()
	}}, nil
}

// newFileSink returns a sink that writes a recording readable only by its owner.
// The file appears under its name only when it is complete.
func newFileSink(name string) (sink, error) {
	f, err := createWholeFile(name)
	if err != nil {
		return sink{}, fmt.Errorf("--out: %w", err)
	}
	encoder := json.NewEncoder(f)
	return sink{write: func(d control.Recorded) error { return encoder.Encode(d) }, close: f.end}, nil
}

// readRecording calls each for every delivery in a recording. If source is set, it
// skips deliveries of other sources. A file that is not a recording is read as one
// bare body of source.
func readRecording(name, source string, sources config.Sources, each func(control.Recorded) error) error {
	raw, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = raw.Close() }()
	in := json.NewDecoder(raw)
	for n := 1; ; n++ {
		var d control.Recorded
		switch err := in.Decode(&d); {
		case errors.Is(err, io.EOF):
			return nil
		case n == 1 && (err != nil || d.Source == "" || len(d.Body) == 0):
			return readBody(name, source, sources, each)
		case err != nil:
			return fmt.Errorf("%s, delivery %d: %w", name, n, err)
		}
		if err := d.Check(); err != nil {
			return fmt.Errorf("%s, delivery %d: %w", name, n, err)
		}
		if source == "" || source == d.Source {
			if err := each(d); err != nil {
				return fmt.Errorf("%s, delivery %d: %w", name, n, err)
			}
		}
	}
}

// readBody calls each with a delivery made of a bare body. It sets the headers that
// a bare body lacks and the source's decoder needs.
func readBody(name, source string, sources config.Sources, each func(control.Recorded) error) error {
	if source == "" {
		return fmt.Errorf("%s is not a recording (to replay a bare body, name its source with --source)", name)
	}
	body, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	d := control.Recorded{Source: source, Body: body, Received: time.Now()}
	for _, s := range sources.All() {
		if s.Name == source && s.BareHeader != nil {
			d.Header = s.BareHeader(body)
		}
	}
	if d.Header == nil && !json.Valid(body) {
		return fmt.Errorf("%s is not a JSON document", name)
	}
	d.SHA256 = text.SHA256(body)
	return each(d)
}
