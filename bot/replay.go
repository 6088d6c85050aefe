package bot

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/response"
	"tocsin/store"
)

// Recorded is a delivery in a file. `tocsin replay --out` writes one JSON line
// for each, and `tocsin replay FILE` reads them.
type Recorded struct {
	Row      int64             `json:"row,omitempty"` // id in the inbox that it was exported from
	Source   string            `json:"source"`
	ID       string            `json:"id,omitempty"` // id that the source assigned
	Header   map[string]string `json:"header,omitempty"`
	Body     []byte            `json:"body"` // exact bytes received
	SHA256   string            `json:"sha256"`
	Received time.Time         `json:"received,omitzero"`
	Sender   string            `json:"sender,omitempty"`
	Verified string            `json:"verified,omitempty"` // how the sender was authenticated
}

// Check returns an error if the body does not have the recorded hash. It accepts
// a delivery without a hash.
func (r Recorded) Check() error {
	sum := sha256.Sum256(r.Body)
	if got := hex.EncodeToString(sum[:]); r.SHA256 != "" && r.SHA256 != got {
		return fmt.Errorf("the body of %s delivery %s was changed after it was recorded: its SHA-256 is %s, not %s", r.Source, r.ID, got, r.SHA256)
	}
	return nil
}

// Replayed is the result of `tocsin replay`.
type Replayed struct {
	Deliveries int `json:"deliveries"`
	// LeftOut is the number of deliveries of restricted incidents that the user
	// may not read.
	LeftOut int `json:"left_out,omitempty"`
}

// retention returns the newest tombstones: the proofs of deletion, which contain
// no text and no names.
func (c *control) retention(ctx context.Context, _ incident.Identity, _ ControlRequest) (any, error) {
	return c.store.Tombstones(ctx, 100)
}

// reprocess routes stored deliveries again if they were undecodable or ignored,
// or if their alerts were suppressed.
func (c *control) reprocess(ctx context.Context, _ incident.Identity, ask ControlRequest) (any, error) {
	if ask.Filter == nil {
		return nil, incident.Invalid("since", "no start time. Add --since, such as --since 2h")
	}
	n, err := c.store.Reprocess(ctx, *ask.Filter)
	return Replayed{Deliveries: n}, err
}

// replayAsNew ingests stored deliveries again, as new deliveries.
func (c *control) replayAsNew(ctx context.Context, who incident.Identity, ask ControlRequest) (any, error) {
	if ask.Filter == nil {
		return nil, incident.Invalid("since", "no start time. Add --since, such as --since 2h")
	}
	filter := *ask.Filter
	if now := c.now(); filter.To.IsZero() || filter.To.After(now) {
		filter.To = now // exclude the deliveries that this call creates
	}
	out := Replayed{}
	left, err := c.readable(ctx, who, filter, "replay-as-new", ask.Reason, func(batch []Recorded) error {
		for _, part := range splitBatch(batch) {
			n, err := c.ingestRecorded(ctx, who, part, true)
			out.Deliveries += n
			if err != nil {
				return err
			}
		}
		return nil
	})
	out.LeftOut = left
	return out, err
}

// splitBatch splits deliveries into batches of at most ingestBatch deliveries,
// which end when their bodies reach ingestBatchBytes.
func splitBatch(all []Recorded) [][]Recorded {
	var out [][]Recorded
	start, size := 0, 0
	for n, r := range all {
		size += len(r.Body)
		if n+1-start == ingestBatch || size >= ingestBatchBytes || n == len(all)-1 {
			out = append(out, all[start:n+1])
			start, size = n+1, 0
		}
	}
	return out
}

// readable calls fn with the stored deliveries of a filter that a person may
// read, and returns how many others there are.
func (c *control) readable(ctx context.Context, who incident.Identity, filter store.DeliveryFilter, action, reason string, fn func([]Recorded) error) (leftOut int, err error) {
	g := c.current()
	export := g.desk.NewExport(who, action, reason)
	err = c.store.Deliveries(ctx, filter, func(batch []store.StoredDelivery) error {
		rows := make([]response.ExportedDelivery, len(batch))
		for n, d := range batch {
			rows[n] = response.ExportedDelivery{Handled: d.Handled, Outcome: d.Outcome, Alerts: g.severalAlerts(d.Delivery)}
		}
		allowed, err := export.Allowed(ctx, rows)
		if err != nil {
			return err
		}
		var out []Recorded
		for n, d := range batch {
			if allowed[n] {
				out = append(out, newRecorded(d.Row, d.Delivery, d.SHA256))
			}
		}
		return fn(out)
	})
	return export.LeftOut, err
}

// severalAlerts returns the alerts of a delivery that has more than one. The
// inbox stores the incident of only one of them.
func (g *generation) severalAlerts(d intake.Delivery) []incident.Alert {
	source, known := g.sources[d.Source]
	if !known {
		return nil
	}
	header := http.Header{}
	for name, value := range d.Header {
		header.Set(name, value)
	}
	signals, err := source.Decode(header, d.Body)
	if err != nil || len(signals) < 2 {
		return nil
	}
	var out []incident.Alert
	for _, s := range signals {
		if s.Alert != nil {
			out = append(out, *s.Alert)
		}
	}
	return out
}

// deliver ingests recorded deliveries. A delivery that is already stored changes
// nothing, unless the request sets AsNew.
func (c *control) deliver(ctx context.Context, who incident.Identity, ask ControlRequest) (any, error) {
	n, err := c.ingestRecorded(ctx, who, ask.Recorded, ask.AsNew)
	return Replayed{Deliveries: n}, err
}

// replayAsNew ingests a batch when it reaches ingestBatch deliveries or
// ingestBatchBytes of bodies. At most ingestBatch deliveries are in flight.
const (
	ingestBatch      = 64
	ingestBatchBytes = 4 << 20
)

// ingestRecorded stores deliveries through the edge, as if their source had sent
// them, and returns how many succeeded. With asNew, each counts again, as part of
// a drill. It stores nothing if the hash of a body is wrong.
func (c *control) ingestRecorded(ctx context.Context, who incident.Identity, list []Recorded, asNew bool) (int, error) {
	for _, r := range list {
		if err := r.Check(); err != nil {
			return 0, incident.Invalid("body", "%v", err)
		}
	}
	errs := make([]error, len(list))
	var wg sync.WaitGroup
	slots := make(chan struct{}, ingestBatch)
	for n, r := range list {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			d := intake.Delivery{Source: r.Source, ID: r.ID, Header: map[string]string{}, Body: r.Body, Sender: r.Sender, Verified: "replayed by " + who.String()}
			maps.Copy(d.Header, r.Header)
			if d.ID == "" {
				d.ID = "sha256:" + sha256Hex(r.Body)
			}
			d.Header[incident.HeaderRecorded] = "yes"
			delete(d.Header, incident.HeaderDrill) // the recorded delivery may be part of a drill
			if asNew {
				d.ID += "#" + rand.Text()
				d.Header[incident.HeaderDrill] = "yes"
			}
			errs[n] = c.edge.Deliver(ctx, d)
			if incident.CodeOf(errs[n]) == incident.CodeUnknown {
				errs[n] = incident.Unknown("source", "source %s is not configured in this instance. Add it under sources, or replay only other sources with --source", r.Source)
			}
		})
	}
	wg.Wait()
	done := 0
	for _, err := range errs {
		if err == nil {
			done++
		}
	}
	return done, errors.Join(errs...)
}

func sha256Hex(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

func newRecorded(row int64, d intake.Delivery, hash string) Recorded {
	return Recorded{Row: row, Source: d.Source, ID: d.ID, Header: d.Header, Body: d.Body, SHA256: hash, Received: d.Received, Sender: d.Sender, Verified: d.Verified}
}

// exportLine is a line of an export: a delivery, or the end with the number of
// deliveries that were left out.
type exportLine struct {
	*Recorded
	End     bool `json:"end,omitempty"`
	LeftOut int  `json:"left_out,omitempty"`
}

// export writes the stored deliveries that the user may read as JSON lines, with
// the exact bytes received. An error aborts the connection, because a partial
// export must not look complete.
func (c *control) export(w http.ResponseWriter, r *http.Request, who incident.Identity, ask ControlRequest) {
	if ask.Filter == nil {
		writeError(w, http.StatusBadRequest, incident.Invalid("since", "no start time. Add --since, such as --since 2h"))
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := json.NewEncoder(w)
	left, err := c.readable(r.Context(), who, *ask.Filter, "export", ask.Reason, func(batch []Recorded) error {
		for _, d := range batch {
			if err := out.Encode(exportLine{Recorded: &d}); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = out.Encode(exportLine{End: true, LeftOut: left})
	}
	if err != nil {
		panic(http.ErrAbortHandler)
	}
}

// Export calls fn for each stored delivery that the filter selects and the user
// may read, in the order of their ids. It stops at the first error. leftOut is
// the number of deliveries that the user may not read. reason is written to the
// audit log.
func (c *Client) Export(ctx context.Context, filter store.DeliveryFilter, reason string, fn func(Recorded) error) (leftOut int, err error) {
	res, err := c.post(ctx, "export", ControlRequest{Filter: &filter, Reason: reason})
	if err != nil {
		return 0, err
	}
	defer func() { _ = res.Body.Close() }()
	for in := json.NewDecoder(res.Body); ; {
		var line exportLine
		if err := in.Decode(&line); err != nil {
			return 0, fmt.Errorf("read deliveries: %w", err)
		}
		if line.End {
			return line.LeftOut, nil
		}
		if line.Recorded == nil {
			continue
		}
		if err := line.Check(); err != nil {
			return 0, err
		}
		if err := fn(*line.Recorded); err != nil {
			return 0, err
		}
	}
}
