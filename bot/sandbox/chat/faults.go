package chat

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// FaultKind is a kind of injected failure.
type FaultKind string

// Kinds of faults. "After" means that the call takes effect before it fails.
const (
	FaultSlow          FaultKind = "slow"           // wait for Delay, then act even if the client has disconnected
	FaultDelay         FaultKind = "delay"          // act immediately, respond after Delay
	FaultServerError   FaultKind = "server_error"   // status 500 with an HTML body, no effect
	FaultServerAfter   FaultKind = "server_after"   // act, then status 500 with an HTML body
	FaultRateLimit     FaultKind = "rate_limit"     // status 429 with Retry-After, no effect
	FaultDropAfter     FaultKind = "drop_after"     // act, then close the connection
	FaultInternalAfter FaultKind = "internal_after" // act, then return internal_error
	FaultFatalAfter    FaultKind = "fatal_after"    // act, then return fatal_error
	FaultHang          FaultKind = "hang"           // do not act, do not respond
	FaultOffline       FaultKind = "offline"        // logged for requests that SetOffline(true) cuts off
	FaultAnswer        FaultKind = "answer"         // logged for requests that received one of Config.Answers
)

// Fault injects a failure into calls of a method. Method is a name, a prefix followed by "*", or "*" for all. The upload,
// download and response URLs are called "upload_url", "url_private" and "response_url". Count is the number of calls that fail. If it is 0, the
// fault stays until it is cleared.
type Fault struct {
	Method     string        `json:"method"`
	Kind       FaultKind     `json:"kind"`
	Count      int           `json:"count,omitempty"`
	Delay      time.Duration `json:"delay,omitempty"`
	RetryAfter int           `json:"retry_after,omitempty"` // seconds, at least 1
}

func (f Fault) matches(method string) bool {
	if prefix, ok := strings.CutSuffix(f.Method, "*"); ok {
		return strings.HasPrefix(method, prefix)
	}
	return f.Method == method
}

type activeFault struct {
	Fault
	id        int
	remaining int
}

type faultSet struct {
	mu      sync.Mutex
	choose  func(method string, args map[string]any) Fault
	active  []*activeFault
	next    int
	offline bool
}

// SetFault adds a fault and returns its id. If several faults match a call, the oldest applies.
func (w *Workspace) SetFault(f Fault) int {
	b := &w.faults
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next++
	b.active = append(b.active, &activeFault{Fault: f, id: b.next, remaining: f.Count})
	return b.next
}

// ChooseFaults lets choose select the fault of each call. A zero Fault selects one of those of [Workspace.SetFault]. choose
// must be safe for concurrent use. A call waits for it and acts afterwards.
func (w *Workspace) ChooseFaults(choose func(method string, args map[string]any) Fault) {
	w.faults.mu.Lock()
	defer w.faults.mu.Unlock()
	w.faults.choose = choose
}

// ClearFault removes a fault. Unknown ids are ignored.
func (w *Workspace) ClearFault(id int) {
	b := &w.faults
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, f := range b.active {
		if f.id == id {
			b.active = append(b.active[:i:i], b.active[i+1:]...)
			return
		}
	}
}

// ClearFaults removes all faults and ends [Workspace.SetOffline].
func (w *Workspace) ClearFaults() {
	w.faults.mu.Lock()
	w.faults.active = nil
	w.faults.mu.Unlock()
	w.SetOffline(false)
}

// Faults returns the active faults. Count is the number of calls that will still fail.
func (w *Workspace) Faults() []Fault {
	b := &w.faults
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]Fault, 0, len(b.active))
	for _, f := range b.active {
		g := f.Fault
		g.Count = f.remaining
		out = append(out, g)
	}
	return out
}

// SetOffline disconnects the workspace. While it is offline, requests get no response, connections are closed and people
// cannot act.
func (w *Workspace) SetOffline(off bool) {
	w.faults.mu.Lock()
	w.faults.offline = off
	w.faults.mu.Unlock()
	if off {
		w.sockets.closeAll()
	}
}

// Offline reports whether the workspace is offline.
func (w *Workspace) Offline() bool {
	w.faults.mu.Lock()
	defer w.faults.mu.Unlock()
	return w.faults.offline
}

// take returns the fault that applies to a call of method and decrements its count. It returns the zero Fault if none
// applies.
func (b *faultSet) take(method string, args map[string]any) Fault {
	b.mu.Lock()
	choose := b.choose
	b.mu.Unlock()
	var chosen Fault
	if choose != nil {
		chosen = choose(method, args)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.offline {
		return Fault{Kind: FaultOffline}
	}
	if chosen.Kind != "" {
		return chosen
	}
	for i, f := range b.active {
		if !f.matches(method) {
			continue
		}
		if f.Count > 0 {
			f.remaining--
			if f.remaining == 0 {
				b.active = append(b.active[:i:i], b.active[i+1:]...)
			}
		}
		return f.Fault
	}
	return Fault{}
}

// sendAnswer sends the answer of Config.Answers for a call, if there is one and the workspace is not offline. It reports
// whether it did.
func (w *Workspace) sendAnswer(rw http.ResponseWriter, c *call) bool {
	if w.Offline() {
		return false
	}
	a, ok := w.cfg.Answers.Take(c.method)
	if !ok {
		return false
	}
	entry := Call{Time: c.now, Method: c.method, Args: c.args, Fault: FaultAnswer, Status: a.HTTPStatus()}
	var body struct {
		OK    bool   `json:"ok"`
		Error string `json:"error"`
	}
	if json.Unmarshal([]byte(a.Body), &body) == nil {
		entry.OK, entry.Error = body.OK, body.Error
	}
	w.journal.call(entry)
	a.Write(rw)
	return true
}

// Methods returns the names of the methods that a fault or an answer can name, sorted.
func (w *Workspace) Methods() []string {
	names := []string{"response_url", "upload_url", "url_private"}
	for name := range w.handlers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
