package aws

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"net/http"
	"time"
)

// Fault is an injected failure. It applies to calls of Op on Resource.
type Fault struct {
	Op       string // for example "sqs:DeleteMessage"
	Resource string // queue name or "bucket/key", empty for every resource
	Times    int    // calls that fail, 0 for all until Heal

	Delay      time.Duration // wait before the call is processed
	Status     int           // HTTP status of the error, 0 for no error
	Code       string        // AWS error code that is sent with Status
	LoseAnswer bool          // process the call, then drop the connection without a response
	CutAfter   int           // drop the connection after this many bytes of the body, 0 for all
}

// delay waits for f.Delay. It returns early if ctx or the account ends.
func (a *Account) delay(ctx context.Context, f *Fault) {
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

// Fail adds a fault. The first fault that matches a call applies.
func (a *Account) Fail(f Fault) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.faults = append(a.faults, &f)
}

// Heal removes all faults.
func (a *Account) Heal() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.faults = nil
}

// takeFault returns the first fault that matches and uses up one of its times.
// It returns nil if none matches.
func (a *Account) takeFault(op, resource string) *Fault {
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

// writeError writes an error in the format of the service.
func (n *response) writeError(service string, f *apiError) {
	n.status, n.code = f.status, f.code
	if service == "sqs" {
		n.header.Set("Content-Type", "application/x-amz-json-1.0")
		n.header.Set("X-Amzn-Query-Error", f.code+";Sender")
		n.writeJSON(map[string]string{"__type": "com.amazonaws.sqs#" + f.code, "message": f.message})
		return
	}
	n.writeXML(struct {
		XMLName   xml.Name `xml:"Error"`
		Code      string
		Message   string
		RequestID string `xml:"RequestId"`
	}{Code: f.code, Message: f.message, RequestID: "sandbox"})
}

func (n *response) writeJSON(v any) {
	n.header.Set("Content-Type", "application/x-amz-json-1.0")
	n.body, _ = json.Marshal(v) // strings, numbers and maps always encode
}

func (n *response) writeXML(v any) {
	n.header.Set("Content-Type", "application/xml")
	n.body, _ = xml.Marshal(v) // strings and numbers always encode
}

func badRequest(code, message string) *apiError {
	return &apiError{http.StatusBadRequest, code, message}
}
