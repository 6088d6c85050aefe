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
}

// retention returns the newest tombstones: the proofs of deletion, which contain
// no text and no names.
func (c *control) retention(ctx context.Context, _ incident.Identity, _ ControlRequest) (any, error) {
	return c.store.Tombstones(ctx, 100)
}

// reprocess routes stored deliveries again if they were undecodable or ignored,
// or if their alerts were suppressed.
func (c *control) reprocess(ctx context.Context, who incident.Identity, ask ControlRequest) (any, error) {
	if ask.Filter == nil {
		return nil, incident.Invalid("since", "no start time. Add --since, such as --since 2h")
	}
	if _, err := c.desk.AuthorizeAlertAccess(ctx, who, "reprocess"); err != nil {
		return nil, err
	}
	n, err := c.store.Reprocess(ctx, *ask.Filter)
	return Replayed{n}, err
}

// replayAsNew ingests stored deliveries again, as new deliveries.
func (c *control) replayAsNew(ctx context.Context, who incident.Identity, ask ControlRequest) (any, error) {
	if ask.Filter == nil {
		return nil, incident.Invalid("since", "no start time. Add --since, such as --since 2h")
	}
	if _, err := c.desk.AuthorizeAlertAccess(ctx, who, "replay"); err != nil {
		return nil, err
	}
	filter := *ask.Filter
	if now := c.now(); filter.To.IsZero() || filter.To.After(now) {
		filter.To = now // exclude the deliveries that this call creates
	}
	var some []Recorded
	total, size := 0, 0
	flush := func() error {
		n, err := c.ingestRecorded(ctx, who, some, true)
		total, some, size = total+n, nil, 0
		return err
	}
	err := c.store.Deliveries(ctx, filter, func(row int64, d intake.Delivery, hash string) error {
		some, size = append(some, newRecorded(row, d, hash)), size+len(d.Body)
		if len(some) < ingestBatch && size < ingestBatchBytes {
			return nil
		}
		return flush()
	})
	return Replayed{total}, errors.Join(err, flush())
}

// deliver ingests recorded deliveries. A delivery that is already stored changes
// nothing, unless the request sets AsNew.
func (c *control) deliver(ctx context.Context, who incident.Identity, ask ControlRequest) (any, error) {
	if _, err := c.desk.AuthorizeAlertAccess(ctx, who, "replay"); err != nil {
		return nil, err
	}
	n, err := c.ingestRecorded(ctx, who, ask.Recorded, ask.AsNew)
	return Replayed{n}, err
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

// export writes stored deliveries as JSON lines, with the exact bytes received.
// An error aborts the connection, because a partial export must not look complete.
func (c *control) export(w http.ResponseWriter, r *http.Request) {
	var ask ControlRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxControlRequest)).Decode(&ask); err != nil || ask.Filter == nil {
		writeError(w, http.StatusBadRequest, incident.Invalid("since", "no start time. Add --since, such as --since 2h"))
		return
	}
	who, _ := r.Context().Value(peerKey{}).(incident.Identity)
	var rejected *incident.Error
	switch _, err := c.desk.AuthorizeAlertAccess(r.Context(), who, "export"); {
	case errors.As(err, &rejected):
		writeError(w, http.StatusConflict, rejected)
		return
	case err != nil:
		writeError(w, http.StatusServiceUnavailable, &incident.Error{Code: "unavailable", Sentence: incident.Say("the export did not start: %s. Run the command again", err)})
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := json.NewEncoder(w)
	err := c.store.Deliveries(r.Context(), *ask.Filter, func(row int64, d intake.Delivery, hash string) error {
		return out.Encode(newRecorded(row, d, hash))
	})
	if err != nil {
		panic(http.ErrAbortHandler)
	}
}

// Export calls fn for each stored delivery that the filter selects, in the order
// of their ids. It stops at the first error.
func (c *Client) Export(ctx context.Context, filter store.DeliveryFilter, fn func(Recorded) error) error {
	res, err := c.post(ctx, "export", ControlRequest{Filter: &filter})
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	for in := json.NewDecoder(res.Body); in.More(); {
		var r Recorded
		if err := in.Decode(&r); err != nil {
			return fmt.Errorf("read deliveries: %w", err)
		}
		if err := r.Check(); err != nil {
			return err
		}
		if err := fn(r); err != nil {
			return err
		}
	}
	return nil
}
