package chat

import (
	"encoding/json"
	"sync"
	"time"
)

// Call is one request of the app, as it was received and answered. It is recorded after its effect and before its answer
// is written, so a subscriber may act exactly between the two.
type Call struct {
	Seq     int64          `json:"seq"`
	Time    time.Time      `json:"time"`
	Method  string         `json:"method"` // "upload_url" and "response_url" for the two endpoints that are no methods
	Args    map[string]any `json:"args"`   // without the token
	OK      bool           `json:"ok"`
	Error   string         `json:"error,omitempty"`
	Status  int            `json:"status"`            // HTTP status of the answer; 0 if none was given
	Landed  bool           `json:"landed"`            // the call changed the workspace
	Dropped bool           `json:"dropped,omitempty"` // the connection was cut instead of an answer
	Fault   FaultKind      `json:"fault,omitempty"`
	// Gone tells that the client had already given up when the effect landed.
	Gone   bool              `json:"gone,omitempty"`
	Result map[string]string `json:"result,omitempty"` // ids that the answer carried: channel, ts, view, file
}

// Delivery is one request of the workspace to the app.
type Delivery struct {
	Seq      int64           `json:"seq"`
	Time     time.Time       `json:"time"`
	Kind     string          `json:"kind"` // command, interaction or event
	Type     string          `json:"type"` // the command, the interaction's or the event's type
	ID       string          `json:"id"`   // event_id, or trigger_id
	Via      Mode            `json:"via"`
	User     string          `json:"user,omitempty"`
	Payload  json.RawMessage `json:"payload"`
	Attempt  int             `json:"attempt"` // 0 is the first
	OK       bool            `json:"ok"`
	Status   int             `json:"status,omitempty"`
	Answer   string          `json:"answer,omitempty"`
	Error    string          `json:"error,omitempty"`
	Duration time.Duration   `json:"duration"`
}

// Entry is what a log subscriber receives: exactly one of its fields is set.
type Entry struct {
	Call     *Call     `json:"call,omitempty"`
	Delivery *Delivery `json:"delivery,omitempty"`
}

// MethodCount counts the calls of one method since the start, whatever the log still holds.
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

// keep appends and, once twice the limit is reached, forgets all but the last limit entries: constant cost per entry.
func keep[T any](list []T, e T, limit int) []T {
	if len(list) >= 2*limit {
		list = append(make([]T, 0, 2*limit), list[len(list)-limit:]...)
	}
	return append(list, e)
}

func (j *journal) call(c Call) {
	j.mu.Lock()
	j.seq++
	c.Seq = j.seq
	j.calls = keep(j.calls, c, j.limit)
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
	j.deliveries = keep(j.deliveries, d, j.limit)
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

// Subscribe calls fn for every log entry from now on, from the goroutine that serves the call: a call's answer is not
// written before fn returns. fn must be safe for concurrent use and may use the Workspace.
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

// Calls returns the logged calls, oldest first, at least the last Config.LogLimit of them.
func (w *Workspace) Calls() []Call {
	w.journal.mu.Lock()
	defer w.journal.mu.Unlock()
	return append([]Call(nil), w.journal.calls...)
}

// Deliveries returns the logged deliveries, oldest first, at least the last Config.LogLimit of them.
func (w *Workspace) Deliveries() []Delivery {
	w.journal.mu.Lock()
	defer w.journal.mu.Unlock()
	return append([]Delivery(nil), w.journal.deliveries...)
}

// Counts returns how often each method was called.
func (w *Workspace) Counts() map[string]MethodCount {
	w.journal.mu.Lock()
	defer w.journal.mu.Unlock()
	out := make(map[string]MethodCount, len(w.journal.counts))
	for m, c := range w.journal.counts {
		out[m] = *c
	}
	return out
}

// UnknownMethods returns how often each method was called that the workspace does not have.
func (w *Workspace) UnknownMethods() map[string]int {
	w.journal.mu.Lock()
	defer w.journal.mu.Unlock()
	out := make(map[string]int, len(w.journal.unknown))
	for m, n := range w.journal.unknown {
		out[m] = n
	}
	return out
}
