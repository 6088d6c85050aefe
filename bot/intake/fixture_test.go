package intake_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/intake"
)

// memoryStore is a Store in memory. If hold is set, each Accept sends the size of
// its batch to entered and then waits for a value from hold.
type memoryStore struct {
	entered chan int
	hold    chan struct{}

	mu      sync.Mutex
	rows    []intake.Row
	known   map[string]bool
	commits []int
	fail    error
}

func (m *memoryStore) Accept(ctx context.Context, ds []intake.Delivery) error {
	if m.hold != nil {
		m.entered <- len(ds)
		select {
		case <-m.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.commits = append(m.commits, len(ds))
	if m.fail != nil {
		return m.fail
	}
	if m.known == nil {
		m.known = map[string]bool{}
	}
	for _, d := range ds {
		if k := d.Source + "\x00" + d.ID; !m.known[k] {
			m.known[k] = true
			m.rows = append(m.rows, intake.Row{ID: int64(len(m.rows) + 1), Delivery: d})
		}
	}
	return nil
}

func (m *memoryStore) Rows(_ context.Context, from, to int64) ([]intake.Row, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return nil, m.fail
	}
	return slices.Clone(slices.DeleteFunc(slices.Clone(m.rows), func(r intake.Row) bool { return r.ID < from || r.ID > to })), nil
}

func (m *memoryStore) stored() []intake.Row {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.rows)
}

func (m *memoryStore) commitSizes() []int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.commits)
}

// signed is a source with an HMAC in X-Signature and the delivery's ID in X-Delivery.
type signed struct{}

var key = []byte("test key")

func sign(body []byte) string {
	m := hmac.New(sha256.New, key)
	m.Write(body)
	return hex.EncodeToString(m.Sum(nil))
}

func (signed) Name() string      { return "signed" }
func (signed) Headers() []string { return []string{"X-Kind"} }

func (signed) Verify(_ context.Context, h http.Header, body []byte, _ time.Time) (string, error) {
	switch {
	case h.Get("X-Broken") != "":
		return "", errors.New("no secret is configured")
	case h.Get("X-Delivery") == "bad":
		return "", incident.Invalid("X-Delivery", "the ID must not be bad")
	case !hmac.Equal([]byte(h.Get("X-Signature")), []byte(sign(body))):
		return "", incident.Forbidden("the signature does not match the body")
	}
	return h.Get("X-Delivery"), nil
}

func (signed) Decode(h http.Header, body []byte) ([]incident.Signal, error) {
	var v struct{ Title, Key, Note string }
	if err := json.Unmarshal(body, &v); err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	switch {
	case v.Note != "":
		return []incident.Signal{{Command: &incident.Command{Verb: incident.VerbSourceNote, Text: v.Note}, Subject: incident.IncidentRef{PageKey: v.Key}}}, nil
	case v.Title != "":
		return []incident.Signal{{Alert: &incident.Alert{Source: "signed", Kind: h.Get("X-Kind"), Title: v.Title, Fingerprint: v.Key}}}, nil
	}
	return nil, nil
}

// desk is a Desk that records all deliveries.
type desk struct {
	mu       sync.Mutex
	batch    []incident.DecodedDelivery // of all calls
	calls    int
	maxBatch int // largest batch of one call
	fail     error
}

func (d *desk) Ingest(_ context.Context, batch []incident.DecodedDelivery) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls++
	d.maxBatch = max(d.maxBatch, len(batch))
	d.batch = append(d.batch, batch...)
	return d.fail
}

// counter is an Observer that counts outcomes.
type counter struct {
	mu       sync.Mutex
	outcomes map[string]int // by "source/outcome"
	decoded  []string       // "source signals failed" of each row
}

func (c *counter) Delivery(source string, o intake.Outcome, _ time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outcomes == nil {
		c.outcomes = map[string]int{}
	}
	c.outcomes[source+"/"+string(o)]++
}
func (c *counter) Commit(int, time.Duration, error) {}
func (c *counter) Decoded(source string, n int, failed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.decoded = append(c.decoded, fmt.Sprintf("%s %d %v", source, n, failed))
}

func (c *counter) count(k string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.outcomes[k]
}

type testEdge struct {
	*intake.Edge
	store   *memoryStore
	desk    *desk
	metrics *counter
}

var testTime = time.Date(2026, 11, 3, 2, 31, 0, 0, time.UTC)

func newTestEdge(t testing.TB, change func(*intake.Options)) testEdge {
	t.Helper()
	r := testEdge{store: &memoryStore{}, desk: &desk{}, metrics: &counter{}}
	o := intake.Options{
		Store: r.store, Desk: r.desk, Sources: []intake.Source{signed{}}, Observer: r.metrics,
		Clock: func() time.Time { return testTime }, Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&o)
	}
	if s, ok := o.Store.(*memoryStore); ok {
		r.store = s
	}
	r.Edge = intake.New(o)
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// post returns a correctly signed request to the source signed.
func post(id string, body []byte) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/hooks/signed", bytes.NewReader(body))
	r.Header.Set("X-Delivery", id)
	r.Header.Set("X-Signature", sign(body))
	r.Header.Set("X-Kind", "signed.test")
	return r
}

func (r testEdge) do(req *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	return w
}

// errorReply returns the code and message of an error response. It fails the test
// if the response has another form.
func errorReply(t *testing.T, w *httptest.ResponseRecorder) (code, message string) {
	t.Helper()
	var v struct {
		Error struct{ Code, Message string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil || v.Error.Code == "" || v.Error.Message == "" {
		t.Fatalf("got status %d with body %q, want an error with code and message", w.Code, w.Body)
	}
	if ct := w.Header().Get("Content-Type"); ct != "application/json" {
		t.Errorf("got Content-Type %q, want application/json", ct)
	}
	return v.Error.Code, v.Error.Message
}

// jsonString returns a JSON document of n bytes.
func jsonString(n int) []byte { return []byte(`"` + strings.Repeat("a", n-2) + `"`) }
