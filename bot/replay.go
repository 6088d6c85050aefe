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

// Recorded is a delivery outside of the database: a line of what `tocsin
// replay --out` writes and `tocsin replay FILE` reads.
type Recorded struct {
	Row      int64             `json:"row,omitempty"` // of the inbox it comes from
	Source   string            `json:"source"`
	ID       string            `json:"id,omitempty"` // which the source gave it
	Header   map[string]string `json:"header,omitempty"`
	Body     []byte            `json:"body"` // as it was received
	SHA256   string            `json:"sha256"`
	Received time.Time         `json:"received,omitzero"`
	Sender   string            `json:"sender,omitempty"`
	Verified string            `json:"verified,omitempty"` // how it was found to be genuine
}

// Check compares the body with its hash.
func (r Recorded) Check() error {
	sum := sha256.Sum256(r.Body)
	if got := hex.EncodeToString(sum[:]); r.SHA256 != "" && r.SHA256 != got {
		return fmt.Errorf("the body of %s %s is not the one that was recorded: its SHA-256 is %s, not %s", r.Source, r.ID, got, r.SHA256)
	}
	return nil
}

// Replayed says what `tocsin replay` did.
type Replayed struct {
	Deliveries int `json:"deliveries"`
}

// retention shows the proofs of what was deleted by schedule: no text, no name.
func (c *control) retention(ctx context.Context, _ incident.Identity, _ ControlRequest) (any, error) {
	return c.store.Tombstones(ctx, 100)
}

// reprocess has stored deliveries that led to nothing routed anew.
func (c *control) reprocess(ctx context.Context, who incident.Identity, ask ControlRequest) (any, error) {
	if ask.Filter == nil {
		return nil, incident.Invalid("since", "say since when")
	}
	if _, err := c.desk.AuthorizeAlertAccess(ctx, who, "reconsider"); err != nil {
		return nil, err
	}
	n, err := c.store.Reprocess(ctx, *ask.Filter)
	return Replayed{n}, err
}

// replayAsNew takes stored deliveries in once more, as new ones.
func (c *control) replayAsNew(ctx context.Context, who incident.Identity, ask ControlRequest) (any, error) {
	if ask.Filter == nil {
		return nil, incident.Invalid("since", "say since when")
	}
	if _, err := c.desk.AuthorizeAlertAccess(ctx, who, "replay"); err != nil {
		return nil, err
	}
	span := *ask.Filter
	if now := c.now(); span.To.IsZero() || span.To.After(now) {
		span.To = now // not what it takes in itself
	}
	var some []Recorded
	total, size := 0, 0
	flush := func() error {
		n, err := c.ingestRecorded(ctx, who, some, true)
		total, some, size = total+n, nil, 0
		return err
	}
	err := c.store.Deliveries(ctx, span, func(row int64, d intake.Delivery, hash string) error {
		some, size = append(some, recorded(row, d, hash)), size+len(d.Body)
		if len(some) < ingestBatch && size < ingestBatchBytes {
			return nil
		}
		return flush()
	})
	return Replayed{total}, errors.Join(err, flush())
}

// deliver takes recorded deliveries in. One that is known already changes
// nothing, unless it is to count anew.
func (c *control) deliver(ctx context.Context, who incident.Identity, ask ControlRequest) (any, error) {
	if _, err := c.desk.AuthorizeAlertAccess(ctx, who, "replay"); err != nil {
		return nil, err
	}
	n, err := c.ingestRecorded(ctx, who, ask.Recorded, ask.AsNew)
	return Replayed{n}, err
}

// ingestBatch is how many deliveries wait for one commit together, and takeBytes
// what they weigh, but for the last one.
const (
	ingestBatch      = 64
	ingestBatchBytes = 4 << 20
)

// ingestRecorded hands deliveries to the intake, which treats them as it treats those
// of any other door.
func (c *control) ingestRecorded(ctx context.Context, who incident.Identity, list []Recorded, anew bool) (int, error) {
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
				d.ID = "sha256:" + hashOf(r.Body)
			}
			d.Header[incident.HeaderRecorded] = "yes"
			delete(d.Header, incident.HeaderDrill) // if it was recorded in one
			if anew {
				d.ID += "#" + rand.Text()
				d.Header[incident.HeaderDrill] = "yes"
			}
			errs[n] = c.edge.Deliver(ctx, d)
			if incident.CodeOf(errs[n]) == incident.CodeUnknown {
				errs[n] = incident.Unknown("source", "a delivery of %s cannot be taken in: no such source is configured in this instance; add it under sources, or replay others alone with --source", r.Source)
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

func hashOf(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

func recorded(row int64, d intake.Delivery, hash string) Recorded {
	return Recorded{Row: row, Source: d.Source, ID: d.ID, Header: d.Header, Body: d.Body, SHA256: hash, Received: d.Received, Sender: d.Sender, Verified: d.Verified}
}

// export writes stored deliveries, one JSON line each, as they were received.
// An error behind the first line breaks the connection off: half an export
// must not look whole.
func (c *control) export(w http.ResponseWriter, r *http.Request) {
	var ask ControlRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxAsk)).Decode(&ask); err != nil || ask.Filter == nil {
		writeError(w, http.StatusBadRequest, incident.Invalid("since", "say since when"))
		return
	}
	who, _ := r.Context().Value(peerKey{}).(incident.Identity)
	var refused *incident.Error
	switch _, err := c.desk.AuthorizeAlertAccess(r.Context(), who, "export"); {
	case errors.As(err, &refused):
		writeError(w, http.StatusConflict, refused)
		return
	case err != nil:
		writeError(w, http.StatusServiceUnavailable, &incident.Error{Code: "unavailable", Sentence: incident.Say("%s", err)})
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := json.NewEncoder(w)
	err := c.store.Deliveries(r.Context(), *ask.Filter, func(row int64, d intake.Delivery, hash string) error {
		return out.Encode(recorded(row, d, hash))
	})
	if err != nil {
		panic(http.ErrAbortHandler)
	}
}

// Export reads stored deliveries from the running bot, in their order.
func (c *Client) Export(ctx context.Context, span store.DeliveryFilter, fn func(Recorded) error) error {
	res, err := c.post(ctx, "export", ControlRequest{Filter: &span})
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	for in := json.NewDecoder(res.Body); in.More(); {
		var r Recorded
		if err := in.Decode(&r); err != nil {
			return fmt.Errorf("read the deliveries: %w", err)
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
