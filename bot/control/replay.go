package control

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/text"
	"tocsin/store"
)

// Recorded is a delivery in a file. `tocsin replay --out` writes one JSON line
// for each, and `tocsin replay FILE` reads them.
type Recorded struct {
	Row      int64             `json:"row,omitempty"` // id in the inbox that it was exported from
	Source   string            `json:"source"`
	ID       string            `json:"id,omitempty"`     // id that the source assigned
	Origin   incident.Origin   `json:"origin,omitempty"` // that it had where it was exported
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
	if got := text.SHA256(r.Body); r.SHA256 != "" && r.SHA256 != got {
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
func (c *Server) retention(ctx context.Context, _ incident.Identity, _ Request) (any, error) {
	return c.Store.Tombstones(ctx, 100)
}

// reprocess routes stored deliveries again if they were undecodable or ignored,
// or if their alerts were suppressed.
func (c *Server) reprocess(ctx context.Context, _ incident.Identity, ask Request) (any, error) {
	if ask.Filter == nil {
		return nil, incident.Invalid("since", "no start time. Add --since, such as --since 2h")
	}
	n, err := c.Store.Reprocess(ctx, *ask.Filter)
	return Replayed{Deliveries: n}, err
}

// replayAsNew ingests stored deliveries again, as new deliveries of a replay or a drill.
func (c *Server) replayAsNew(ctx context.Context, who incident.Identity, ask Request) (any, error) {
	if ask.Filter == nil {
		return nil, incident.Invalid("since", "no start time. Add --since, such as --since 2h")
	}
	origin, err := incident.ParseOrigin(cmp.Or(string(ask.Origin), string(incident.OriginReplay)))
	if err != nil {
		return nil, err
	}
	filter := *ask.Filter
	if now := c.Clock(); filter.To.IsZero() || filter.To.After(now) {
		filter.To = now // exclude the deliveries that this call creates
	}
	out := Replayed{}
	left, err := c.Export(ctx, who, filter, "replay-as-new", ask.Reason, func(batch []Recorded) error {
		for _, part := range splitBatch(batch) {
			n, err := c.ingestRecorded(ctx, who, part, origin)
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

// deliver ingests recorded deliveries, with the origin recording by default. A recording
// of a delivery that is already stored changes nothing.
func (c *Server) deliver(ctx context.Context, who incident.Identity, ask Request) (any, error) {
	origin, err := incident.ParseOrigin(cmp.Or(string(ask.Origin), string(incident.OriginRecording)))
	if err != nil {
		return nil, err
	}
	n, err := c.ingestRecorded(ctx, who, ask.Recorded, origin)
	return Replayed{Deliveries: n}, err
}

// replayAsNew ingests a batch when it reaches ingestBatch deliveries or
// ingestBatchBytes of bodies. At most ingestBatch deliveries are in flight.
const (
	ingestBatch      = 64
	ingestBatchBytes = 4 << 20
)

// ingestRecorded stores deliveries through the edge, with an origin that is not live,
// and returns how many succeeded. It stores nothing if the hash of a body is wrong.
func (c *Server) ingestRecorded(ctx context.Context, who incident.Identity, list []Recorded, origin incident.Origin) (int, error) {
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
			d := intake.Delivery{Source: r.Source, ID: r.ID, Origin: origin, Header: r.Header, Body: r.Body, Sender: r.Sender, Verified: "replayed by " + who.String()}
			if d.ID == "" {
				d.ID = text.Digest(r.Body)
			}
			if origin.CountsAgain() {
				d.ID += "#" + rand.Text()
			}
			errs[n] = c.Deliver(ctx, d)
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

// NewRecorded returns a stored delivery for a file. row is its id in the inbox and hash
// the SHA-256 of its body.
func NewRecorded(row int64, d intake.Delivery, hash string) Recorded {
	return Recorded{Row: row, Source: d.Source, ID: d.ID, Origin: d.Origin, Header: d.Header, Body: d.Body, SHA256: hash, Received: d.Received, Sender: d.Sender, Verified: d.Verified}
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
func (c *Server) export(w http.ResponseWriter, r *http.Request, who incident.Identity, ask Request) {
	if ask.Filter == nil {
		intake.WriteError(w, http.StatusBadRequest, incident.Invalid("since", "no start time. Add --since, such as --since 2h"))
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := json.NewEncoder(w)
	left, err := c.Export(r.Context(), who, *ask.Filter, "export", ask.Reason, func(batch []Recorded) error {
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
	res, err := c.post(ctx, "export", Request{Filter: &filter, Reason: reason})
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
