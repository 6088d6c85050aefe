package chat

import (
	"strings"
	"sync"
	"time"
)

// FaultKind is a way in which the service misbehaves.
type FaultKind string

// The faults. "After" means that the effect has landed.
const (
	FaultSlow          FaultKind = "slow"           // wait Delay, then act, even if the client has gone by then
	FaultDelay         FaultKind = "delay"          // act at once, answer after Delay
	FaultServerError   FaultKind = "server_error"   // 500 with an HTML body, no effect
	FaultServerAfter   FaultKind = "server_after"   // act, then 500 with an HTML body
	FaultRateLimit     FaultKind = "rate_limit"     // 429 with Retry-After, no effect
	FaultDropAfter     FaultKind = "drop_after"     // act, then cut the connection
	FaultInternalAfter FaultKind = "internal_after" // act, then answer internal_error
	FaultHang          FaultKind = "hang"           // never act, never answer
	FaultOffline       FaultKind = "offline"        // what the log says while SetOffline(true) cuts connections
)

// Fault is a switch for some methods. Method is a name, a prefix that ends in "*", or "*"; the endpoints that are no
// methods are called "upload_url" and "response_url". Count is for how many calls it holds, 0 until it is cleared.
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
	id   int
	left int
}

type faultBoard struct {
	mu      sync.Mutex
	active  []*activeFault
	next    int
	offline bool
}

// SetFault switches a fault on and returns its id. Where several match a call, the one set first is used.
func (w *Workspace) SetFault(f Fault) int {
	b := &w.faults
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next++
	b.active = append(b.active, &activeFault{Fault: f, id: b.next, left: f.Count})
	return b.next
}

// ClearFault switches one fault off; an id that is not on is ignored.
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

// ClearFaults switches all faults off and goes online.
func (w *Workspace) ClearFaults() {
	w.faults.mu.Lock()
	w.faults.active = nil
	w.faults.mu.Unlock()
	w.SetOffline(false)
}

// Faults returns the switches that are on, with the count that is left.
func (w *Workspace) Faults() []Fault {
	b := &w.faults
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]Fault, 0, len(b.active))
	for _, f := range b.active {
		g := f.Fault
		g.Count = f.left
		out = append(out, g)
	}
	return out
}

// SetOffline cuts the workspace off: every request has its connection closed unanswered, sockets fall, people cannot act.
func (w *Workspace) SetOffline(off bool) {
	w.faults.mu.Lock()
	w.faults.offline = off
	w.faults.mu.Unlock()
	if off {
		w.sockets.closeAll()
	}
}

// Offline tells whether SetOffline is on.
func (w *Workspace) Offline() bool {
	w.faults.mu.Lock()
	defer w.faults.mu.Unlock()
	return w.faults.offline
}

// take returns the fault that holds for this call and uses one of its count.
func (b *faultBoard) take(method string) Fault {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.offline {
		return Fault{Kind: FaultOffline}
	}
	for i, f := range b.active {
		if !f.matches(method) {
			continue
		}
		if f.Count > 0 {
			f.left--
			if f.left == 0 {
				b.active = append(b.active[:i:i], b.active[i+1:]...)
			}
		}
		return f.Fault
	}
	return Fault{}
}
