package aws

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"net/http"
	"time"
)

// Fault is something that goes wrong on purpose.
type Fault struct {
	Op       string // "sqs:DeleteMessage"
	Resource string // a queue's name or "bucket/key"; every one if empty
	Times    int    // how often; 0 means until Heal

	Delay      time.Duration // think for so long first
	Status     int           // answer with this status
	Code       string        // and this code
	LoseAnswer bool          // do it, and drop the connection instead of answering
	CutAfter   int           // end the body after so many bytes
}

// think waits as long as the fault says, or until the account is closed or
// nobody waits for the answer any more.
func (a *Account) think(ctx context.Context, f *Fault) {
	if f == nil || f.Delay <= 0 {
		return
	}
	timer := time.NewTimer(f.Delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-a.ctx.Done():
	}
}

// Fail switches a fault on.
func (a *Account) Fail(f Fault) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.faults = append(a.faults, &f)
}

// Heal switches all faults off.
func (a *Account) Heal() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.faults = nil
}

// fault takes the first that fits.
func (a *Account) fault(op, resource string) *Fault {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, f := range a.faults {
		if f.Op != op || f.Resource != "" && f.Resource != resource {
			continue
		}
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				a.faults = append(a.faults[:i:i], a.faults[i+1:]...)
			}
		}
		return f
	}
	return nil
}

// fail writes an error as the service does.
func (n *answer) fail(service string, f *fault) {
	n.status, n.code = f.status, f.code
	if service == "sqs" {
		n.header.Set("Content-Type", "application/x-amz-json-1.0")
		n.header.Set("X-Amzn-Query-Error", f.code+";Sender")
		n.json(map[string]string{"__type": "com.amazonaws.sqs#" + f.code, "message": f.message})
		return
	}
	n.header.Set("Content-Type", "application/xml")
	n.body, _ = xml.Marshal(struct { // these fields cannot fail
		XMLName   xml.Name `xml:"Error"`
		Code      string
		Message   string
		RequestID string `xml:"RequestId"`
	}{Code: f.code, Message: f.message, RequestID: "sandbox"})
}

func (n *answer) json(v any) {
	n.header.Set("Content-Type", "application/x-amz-json-1.0")
	n.body, _ = json.Marshal(v) // the sandbox's own values cannot fail
}

func badRequest(code, message string) *fault { return &fault{http.StatusBadRequest, code, message} }
