package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bot"
	"tocsin/store"
)

// replayOptions is what `tocsin replay` was told.
type replayOptions struct {
	*globalFlags
	since, until, source, out, to string
	secrets                       []string
	asNew                         bool
}

func replayCommand(g *globalFlags) *cobra.Command {
	r := &replayOptions{globalFlags: g}
	cmd := &cobra.Command{
		Use: "replay [FILE…]", Short: "Send stored or recorded deliveries through intake again, here or on another instance",
		Long: "Send deliveries through intake again.\n\n" +
			"--since alone has the stored deliveries that led to nothing – watched, dropped, kept back, late, undecodable, ignored –\n" +
			"decoded and routed anew, as the configuration is now. What was counted is not counted twice, and what belongs to an\n" +
			"incident is history and stays as it is. With --as-new all of them come in as new deliveries and count anew: for drills.\n" +
			"With --out they are only written to a file, one JSON line each: the raw body, its SHA-256, sender, time and how it was\n" +
			"verified.\n\n" +
			"FILE is such a recording, or, with --source, a body as a sender would post it (of report: what the form stored, or a\n" +
			"mail). It goes into the running bot over the control socket, in your name.\n\n" +
			"With --to they go to another instance. A delivery that it knows counts once there. To an address they are posted,\n" +
			"signed with --secret as their sources sign. There, what has no id of its own – Alertmanager, and generic sources\n" +
			"without delivery_header – is known for an hour or ten minutes, as when its sender repeats it. SNS, reports and what\n" +
			"the trail's reader found cannot be signed by anybody but their senders. They, and everything else, go to a control\n" +
			"socket: unix:PATH, over ssh -L if it is on another machine. There you are whoever you are on that machine, and it\n" +
			"stands in its audit log.",
		Example: "  tocsin replay --since 2h\n  tocsin replay --since 2026-11-20T00:00:00Z --source sentry --out sentry.ndjson\n" +
			"  tocsin replay sentry.ndjson --to https://staging.example.com --secret sentry=$SENTRY_CLIENT_SECRET\n" +
			"  ssh -fNL /tmp/staging.sock:/var/lib/tocsin/tocsin.db.sock staging && tocsin replay sns.ndjson --to unix:/tmp/staging.sock\n" +
			"  tocsin replay --source cloudtrail event.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			done, err := r.run(cmd.Context(), args)
			if err != nil {
				return g.replyError(cmd.OutOrStdout(), err)
			}
			said := fmt.Sprintf("%d deliveries", done.Deliveries)
			if done.Deliveries == 1 {
				said = "1 delivery"
			}
			return g.print(cmd.OutOrStdout(), done, said)
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.since, "since", "", "stored deliveries since a time (RFC 3339) or for a span (2h, 3d)")
	f.StringVar(&r.until, "until", "", "up to a time or a span ago. Now if empty")
	f.StringVar(&r.source, "source", "", "only those of a source. For raw files, the source they come from")
	f.StringVar(&r.out, "out", "", "write them to this file and send nothing")
	f.StringVar(&r.to, "to", "", "send them to the instance under this address, or on this control socket (unix:PATH)")
	f.StringArrayVar(&r.secrets, "secret", nil, "SOURCE=SECRET to sign with, for an address. May be repeated (alertmanager=USER:PASSWORD, too)")
	f.BoolVar(&r.asNew, "as-new", false, "as new deliveries, which count anew")
	cmd.MarkFlagsMutuallyExclusive("out", "to")
	return cmd
}

// run picks the way: from files or from the store, to here, to a file or to
// another instance.
func (r *replayOptions) run(ctx context.Context, files []string) (bot.Replayed, error) {
	if (r.since == "") == (len(files) == 0) {
		return bot.Replayed{}, errors.New("name recordings, or say --since when the stored deliveries are meant")
	}
	if r.out != "" && len(files) > 0 {
		return bot.Replayed{}, errors.New("--out writes stored deliveries. Give --since")
	}
	c, err := bot.Load(r.config)
	if err != nil {
		return bot.Replayed{}, err
	}
	client := bot.NewClient(c.ControlPath())
	if r.since != "" && r.out == "" && r.to == "" {
		return r.reprocess(ctx, client)
	}
	sink, err := r.sink(ctx, client, c.Sources)
	if err != nil {
		return bot.Replayed{}, err
	}
	n := 0
	each := func(d bot.Recorded) error {
		if err := sink.write(d); err != nil {
			return err
		}
		n++
		return nil
	}
	if r.since != "" {
		span, spanErr := r.filter(time.Now())
		if err = spanErr; err == nil {
			err = client.Export(ctx, span, each)
		}
	}
	for _, file := range files {
		if err == nil {
			err = readRecording(file, r.source, each)
		}
	}
	err = errors.Join(err, sink.close(err == nil))
	return bot.Replayed{Deliveries: n}, err
}

// reprocess has the running bot do it with what it has stored.
func (r *replayOptions) reprocess(ctx context.Context, client *bot.Client) (bot.Replayed, error) {
	var done bot.Replayed
	span, err := r.filter(time.Now())
	if err != nil {
		return done, err
	}
	what := "reprocess"
	if r.asNew {
		what = "replay-as-new"
	}
	return done, client.Do(ctx, what, bot.ControlRequest{Filter: &span}, &done)
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

// parseTimeOrAge reads a time, or how long ago it was.
func parseTimeOrAge(s string, now time.Time) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, s); err == nil {
			return at, nil
		}
	}
	var span bot.Duration
	if err := span.UnmarshalText([]byte(s)); err != nil || span.Duration < 0 {
		return time.Time{}, fmt.Errorf("%q is neither a time, such as 2026-11-20T02:31:00Z, nor a span, such as 2h or 3d", s)
	}
	return now.Add(-span.Duration), nil
}

// sink takes deliveries somewhere. end is told whether all of them came.
type sink struct {
	write func(bot.Recorded) error
	close func(whole bool) error
}

func (r *replayOptions) sink(ctx context.Context, client *bot.Client, sources bot.Sources) (sink, error) {
	path, socket := strings.CutPrefix(r.to, "unix:")
	switch {
	case r.out != "":
		return newFileSink(r.out)
	case socket && len(r.secrets) > 0:
		return sink{}, errors.New("--secret signs what is posted to an address. On a control socket you are known to the operating system")
	case socket:
		client = bot.NewClient(path)
	case r.to != "":
		return newInstanceSink(ctx, r.to, r.secrets, sources, r.asNew)
	}
	var some []bot.Recorded
	size := 0
	send := func() error {
		if len(some) == 0 {
			return nil
		}
		var done bot.Replayed
		err := client.Do(ctx, "deliver", bot.ControlRequest{Recorded: some, AsNew: r.asNew}, &done)
		some, size = nil, 0
		if err != nil && socket {
			err = fmt.Errorf("--to %s: %w", r.to, err)
		}
		return err
	}
	return sink{close: func(bool) error { return send() }, write: func(d bot.Recorded) error {
		some, size = append(some, d), size+len(d.Body)
		if size < 4<<20 && len(some) < 500 {
			return nil
		}
		return send()
	}}, nil
}

// newFileSink writes a recording that only its owner may read. It appears whole, or not at all.
func newFileSink(name string) (sink, error) {
	f, err := os.OpenFile(name+".part", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return sink{}, fmt.Errorf("--out: %w", err)
	}
	w := bufio.NewWriter(f)
	encoder := json.NewEncoder(w)
	return sink{
		write: func(d bot.Recorded) error { return encoder.Encode(d) },
		close: func(whole bool) error {
			if err := errors.Join(w.Flush(), f.Sync(), f.Close()); err != nil || !whole {
				return errors.Join(err, os.Remove(name+".part"))
			}
			return os.Rename(name+".part", name)
		},
	}, nil
}

// readRecording reads a recording, or, where a source is named and it is none,
// a body as a sender posts it.
func readRecording(name, source string, each func(bot.Recorded) error) error {
	raw, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = raw.Close() }()
	in := json.NewDecoder(raw)
	for n := 1; ; n++ {
		var d bot.Recorded
		switch err := in.Decode(&d); {
		case errors.Is(err, io.EOF):
			return nil
		case n == 1 && (err != nil || d.Source == "" || len(d.Body) == 0):
			return readBody(name, source, each)
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

func readBody(name, source string, each func(bot.Recorded) error) error {
	if source == "" {
		return fmt.Errorf("%s is no recording. If it is a body as a sender posts it, name the --source", name)
	}
	body, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	document := json.Valid(body)
	if !document && source != "report" {
		return fmt.Errorf("%s is not one JSON document", name)
	}
	d := bot.Recorded{Source: source, Body: body, Received: time.Now()}
	sum := sha256.Sum256(body)
	d.SHA256 = hex.EncodeToString(sum[:])
	switch {
	case source == "sentry":
		d.Header = map[string]string{"Sentry-Hook-Resource": sentryResource(d.Body)}
	case source == "report" && document:
		d.Header = map[string]string{"X-Report-Via": "form"}
	case source == "report":
		d.Header = map[string]string{"X-Report-Via": "mail"}
	}
	return each(d)
}

// sentryResource guesses what the header of a Sentry webhook said that a bare
// body has lost.
func sentryResource(body []byte) string {
	var shape struct {
		Data map[string]json.RawMessage `json:"data"`
	}
	_ = json.Unmarshal(body, &shape) // valid JSON; another shape has no data
	for _, known := range []struct{ key, resource string }{{"metric_alert", "metric_alert"}, {"event", "event_alert"}, {"error", "error"},
		{"comment_id", "comment"}, {"activity", "activity_alert"}, {"issue", "issue"}, {"installation", "installation"}} {
		if _, ok := shape.Data[known.key]; ok {
			return known.resource
		}
	}
	return "unknown"
}
