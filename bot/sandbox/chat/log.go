package chat

import (
	"encoding/json"
	"sync"
	"time"
)

// Call is one request of the app with its response. It is logged after the call takes effect and before the response is
// written. A subscriber can act between the two.
type Call struct {
	Seq     int64          `json:"seq"`
	Time    time.Time      `json:"time"`
	Method  string         `json:"method"` // "upload_url" or "response_url" for requests to these URLs
	Args    map[string]any `json:"args"`   // without the token
	OK      bool           `json:"ok"`
	Error   string         `json:"error,omitempty"`
	Status  int            `json:"status"`            // HTTP status of the response, 0 without a response
	Landed  bool           `json:"landed"`            // whether the call changed the workspace
	Dropped bool           `json:"dropped,omitempty"` // whether the connection was closed without a response
	Fault   FaultKind      `json:"fault,omitempty"`
	// Gone reports whether the client had already disconnected when the call took effect.
	Gone   bool              `json:"gone,omitempty"`
	Result map[string]string `json:"result,omitempty"` // ids in the response: channel, ts, view, file, bookmark
}

// Delivery is one request of the workspace to the app.
type Delivery struct {
	Seq      int64           `json:"seq"`
	Time     time.Time       `json:"time"`
	Kind     string          `json:"kind"` // command, interaction or event
	Type     string          `json:"type"` // command, or type of the interaction or event
	ID       string          `json:"id"`   // event_id or trigger_id
	Via      Mode            `json:"via"`
	User     string          `json:"user,omitempty"`
	Payload  json.RawMessage `json:"payload"`
	Attempt  int             `json:"attempt"` // 0 for the first attempt
	OK       bool            `json:"ok"`
	Status   int             `json:"status,omitempty"`
	Answer   string          `json:"answer,omitempty"`
	Error    string          `json:"error,omitempty"`
	Duration time.Duration   `json:"duration"`
}

// Entry is a log entry for subscribers. Exactly one field is set.
type Entry struct {
	Call     *Call     `json:"call,omitempty"`
	Delivery *Delivery `json:"delivery,omitempty"`
}

// MethodCount counts all calls of one method since the start, including calls that are no longer in the log.
type MethodCount struct {
	Calls   int `json:"calls"`
	OK      int `json:"ok"`
	Refused int `json:"refused"`
	Landed  int `json:"landed"`
}

type journal struct {
	mu         sync.Mutex
	limit      int
	seq        int64
	calls      []Call
	deliveries []Delivery
	counts     map[string]*MethodCount
	unknown    map[string]int
	subs       map[int]func(Entry)
	nextSub    int
}

func (j *journal) init(limit int) {
	j.limit, j.counts, j.unknown, j.subs = limit, map[string]*MethodCount{}, map[string]int{}, map[int]func(Entry){}
}

// appendBounded appends e. When list has reached twice the limit, it first drops all but the last limit entries. The
// amortized cost per entry is constant.
func appendBounded[T any](list []T, e T, limit int) []T {
	if len(list) >= 2*limit {
		list = append(make([]T, 0, 2*limit), list[len(list)-limit:]...)
	}
	return append(list, e)
}

func (j *journal) call(c Call) {
	j.mu.Lock()
	j.seq++
	c.Seq = j.seq
	j.calls = appendBounded(j.calls, c, j.limit)
	n := j.counts[c.Method]
	if n == nil {
		n = &MethodCount{}
		j.counts[c.Method] = n
	}
	n.Calls++
	switch {
	case c.OK:
		n.OK++
	default:
		n.Refused++
	}
	if c.Landed {
		n.Landed++
	}
	if c.Error == "unknown_method" {
		j.unknown[c.Method]++
	}
	subs := j.subscribers()
	j.mu.Unlock()
	for _, fn := range subs {
		fn(Entry{Call: &c})
	}
}

func (j *journal) delivery(d Delivery) {
	j.mu.Lock()
	j.seq++
	d.Seq = j.seq
	j.deliveries = appendBounded(j.deliveries, d, j.limit)
	subs := j.subscribers()
	j.mu.Unlock()
	for _, fn := range subs {
		fn(Entry{Delivery: &d})
	}
}

func (j *journal) subscribers() []func(Entry) {
	out := make([]func(Entry), 0, len(j.subs))
	for _, fn := range j.subs {
		out = append(out, fn)
	}
	return out
}

// Subscribe calls fn for every new log entry until cancel is called. fn runs on the goroutine that serves the call, and
// the response is not written before fn returns. fn must be safe for concurrent use and may use the Workspace.
func (w *Workspace) Subscribe(fn func(Entry)) (cancel func()) {
	j := &w.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	j.nextSub++
	id := j.nextSub
	j.subs[id] = fn
	return func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		delete(j.subs, id)
	}
}

// Calls returns the logged calls, oldest first. The log contains at least the last Config.LogLimit calls.
func (w *Workspace) Calls() []Call {
	w.journal.mu.Lock()
	defer w.journal.mu.Unlock()
	return append([]Call(nil), w.journal.calls...)
}

// Deliveries returns the logged deliveries, oldest first. The log contains at least the last Config.LogLimit deliveries.
func (w *Workspace) Deliveries() []Delivery {
	w.journal.mu.Lock()
	defer w.journal.mu.Unlock()
	return append([]Delivery(nil), w.journal.deliveries...)
}

// Counts returns the number of calls by method.
func (w *Workspace) Counts() map[string]MethodCount {
	w.journal.mu.Lock()
	defer w.journal.mu.Unlock()
	out := make(map[string]MethodCount, len(w.journal.counts))
	for m, c := range w.journal.counts {
		out[m] = *c
	}
	return out
}

// UnknownMethods returns the number of calls by method, for methods that the workspace does not support.
func (w *Workspace) UnknownMethods() map[string]int {
	w.journal.mu.Lock()
	defer w.journal.mu.Unlock()
	out := make(map[string]int, len(w.journal.unknown))
	for m, n := range w.journal.unknown {
		out[m] = n
	}
	return out
}
