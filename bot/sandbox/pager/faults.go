package pager

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"time"
)

// Fault is an injected failure of the service.
type Fault string

// Possible faults. A call is applied if it changes the account.
const (
	FaultError    Fault = "500"     // reply 500, not applied
	FaultRefuse   Fault = "400"     // reply 400, not applied
	FaultThrottle Fault = "429"     // reply 429, not applied
	FaultSilence  Fault = "silence" // never reply, not applied
	FaultLate     Fault = "late"    // apply at once, reply after Delay
	FaultSlow     Fault = "slow"    // apply after Delay, even if the caller disconnected, then reply
	FaultSwallow  Fault = "swallow" // reply success, not applied
	FaultDrop     Fault = "drop"    // apply, then drop the connection without a reply
	FaultOffline  Fault = "offline" // drop the connection, not applied
	FaultAnswer   Fault = "answer"  // logged for requests that received one of Config.Answers, not applied
)

// Values of [Rule.Endpoint].
const (
	EndpointEvents = "events"
	EndpointREST   = "rest"
)

// Rule selects the requests that a fault affects. The first matching rule
// applies. Empty fields match everything.
type Rule struct {
	Fault    Fault         `json:"fault"`
	Endpoint string        `json:"endpoint,omitempty"` // EndpointEvents or EndpointREST
	Action   string        `json:"action,omitempty"`   // event_action of an event
	Skip     int           `json:"skip,omitempty"`     // matching requests that succeed first
	Times    int           `json:"times,omitempty"`    // then requests that fail, 0 for all until the next SetFaults
	Delay    time.Duration `json:"delay,omitempty"`    // for FaultLate and FaultSlow
}

// SetFaults replaces all rules. Without arguments it removes all faults. Calls
// that already wait because of [FaultSilence] continue to wait.
func (a *Account) SetFaults(rules ...Rule) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rules = slices.Clone(rules)
	a.notifyChange()
}

// takeFault returns the first rule that matches a request and uses up one of
// its times. It returns the zero Rule if none matches. The caller holds a.mu.
func (a *Account) takeFault(endpoint, action string) Rule {
	for i := range a.rules {
		r := &a.rules[i]
		if (r.Endpoint != "" && r.Endpoint != endpoint) || (r.Action != "" && r.Action != action) {
			continue
		}
		if r.Skip > 0 {
			r.Skip--
			continue
		}
		rule := *r
		if r.Times > 0 {
			if r.Times--; r.Times == 0 {
				a.rules = slices.Delete(a.rules, i, i+1)
			}
		}
		return rule
	}
	return Rule{}
}

// Values of [Request.Effect].
const (
	EffectPaged        = "paged"        // opened an incident
	EffectLogged       = "logged"       // trigger for an open alert, which adds a log entry and pages no one
	EffectAcknowledged = "acknowledged" // by event or REST call
	EffectResolved     = "resolved"     // by event or REST call
	EffectAnnotated    = "annotated"
	EffectRenamed      = "renamed"
	EffectIgnored      = "ignored" // accepted without a change, because nothing was open or it was acknowledged before
)

// Request is the log entry of one call.
type Request struct {
	Seq       int             `json:"seq"` // from 1, in order of arrival
	At        time.Time       `json:"at"`  // arrival time on the sandbox's clock
	Method    string          `json:"method"`
	Path      string          `json:"path"`
	Query     string          `json:"query,omitempty"`
	Body      json.RawMessage `json:"body,omitempty"`  // if the body is JSON
	Event     *Event          `json:"event,omitempty"` // if the call is a decodable event
	Fault     Fault           `json:"fault,omitempty"`
	Effect    string          `json:"effect,omitempty"` // one of the Effect constants, empty if not applied
	AppliedAt time.Time       `json:"landed_at,omitzero"`
	Abandoned bool            `json:"abandoned,omitempty"` // the caller disconnected before the call was applied
	Incident  string          `json:"incident,omitempty"`
	Status    int             `json:"status,omitempty"` // HTTP status of the reply, 0 if there is none yet
	Done      bool            `json:"done"`
}

// Requests returns a copy of the log in order of arrival.
func (a *Account) Requests() []Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make([]Request, len(a.requests))
	for i, r := range a.requests {
		all[i] = *r
	}
	return all
}

// recordEffect adds the effect of a request to its log entry. The caller holds
// a.mu and calls it in the critical section that changes the account.
func (a *Account) recordEffect(req *Request, r *http.Request, effect, incident string) {
	req.Effect, req.Incident = effect, incident
	req.AppliedAt, req.Abandoned = a.cfg.Now().UTC(), r.Context().Err() != nil
	a.notifyChange()
}

type reply struct {
	status int
	body   any
}

// endpoint handles a path after its request is logged and its fault is
// selected. If swallow is true, it returns the success reply without changing
// the account.
type endpoint func(req *Request, r *http.Request, body []byte, swallow bool) reply

// serve returns a handler that logs the request, applies the fault and calls
// act.
func (a *Account) serve(kind string, act endpoint) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, maxEventBytes+1))
		if err != nil {
			panic(http.ErrAbortHandler) // the caller disconnected while sending its request
		}
		if a.sendAnswer(kind, w, r, body) {
			return
		}
		req, rule := a.recordRequest(kind, r, body)
		response, ok := a.applyFault(kind, act, req, rule, r, body)
		if ok {
			ok = r.Context().Err() == nil
		}
		a.mu.Lock()
		if req.Done = true; ok {
			req.Status = response.status
		}
		a.notifyChange()
		a.mu.Unlock()
		if !ok {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(response.status)
		_ = json.NewEncoder(w).Encode(response.body) // the caller may have disconnected
	}
}

func (a *Account) recordRequest(kind string, r *http.Request, body []byte) (*Request, Rule) {
	a.mu.Lock()
	defer a.mu.Unlock()
	req := a.newRequest(kind, r, body)
	action := ""
	if req.Event != nil {
		action = req.Event.Action
	}
	rule := a.takeFault(kind, action)
	req.Fault = rule.Fault
	a.requests = append(a.requests, req)
	a.notifyChange()
	return req, rule
}

// sendAnswer sends the answer of Config.Answers for a request, if there is one and
// the account is not offline. It reports whether it did.
func (a *Account) sendAnswer(kind string, w http.ResponseWriter, r *http.Request, body []byte) bool {
	a.mu.Lock()
	offline := slices.ContainsFunc(a.rules, func(r Rule) bool { return r.Fault == FaultOffline })
	a.mu.Unlock()
	if offline {
		return false
	}
	instead, ok := a.cfg.Answers.Take(answerPrefix + kind)
	if !ok {
		return false
	}
	a.mu.Lock()
	req := a.newRequest(kind, r, body)
	req.Fault, req.Status, req.Done = FaultAnswer, instead.HTTPStatus(), true
	a.requests = append(a.requests, req)
	a.notifyChange()
	a.mu.Unlock()
	instead.Write(w)
	return true
}

// answerPrefix precedes an endpoint in the name of an answer.
const answerPrefix = "pagerduty."

// Methods returns the names that an answer can have.
func Methods() []string { return []string{answerPrefix + EndpointEvents, answerPrefix + EndpointREST} }

// newRequest returns the log entry of a request. The caller holds a.mu and adds the
// entry.
func (a *Account) newRequest(kind string, r *http.Request, body []byte) *Request {
	req := &Request{
		Seq: len(a.requests) + 1, At: a.cfg.Now().UTC(),
		Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery,
	}
	if json.Valid(body) {
		req.Body = bytes.Clone(body)
	}
	if kind == EndpointEvents {
		req.Event, _ = parseEvent(body)
	}
	return req
}

// applyFault calls act as the fault requires and returns the reply. It returns
// false if the connection must be dropped without a reply.
func (a *Account) applyFault(kind string, act endpoint, req *Request, rule Rule, r *http.Request, body []byte) (reply, bool) {
	apply := func(swallow bool) reply { return act(req, r, body, swallow) }
	switch rule.Fault {
	case FaultError, FaultRefuse, FaultThrottle:
		return faultReply(kind, rule.Fault), true
	case FaultOffline:
		return reply{}, false
	case FaultSilence:
		ctx, stop := a.requestOrAccountDone(r.Context())
		defer stop()
		<-ctx.Done()
		return reply{}, false
	case FaultSwallow:
		return apply(true), true
	case FaultSlow:
		if a.cfg.Wait(a.ctx, rule.Delay) != nil {
			return reply{}, false
		}
		return apply(false), true
	case FaultLate:
		response := apply(false)
		ctx, stop := a.requestOrAccountDone(r.Context())
		defer stop()
		return response, a.cfg.Wait(ctx, rule.Delay) == nil
	case FaultDrop:
		apply(false)
		return reply{}, false
	default:
		return apply(false), true
	}
}

// requestOrAccountDone returns a context that ends with ctx or with the
// account. The caller must call the returned function.
func (a *Account) requestOrAccountDone(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(a.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

func faultReply(kind string, f Fault) reply {
	if kind == EndpointREST {
		switch f {
		case FaultRefuse:
			return restError(http.StatusBadRequest, 2001, "Invalid Input Provided")
		case FaultThrottle:
			return restError(http.StatusTooManyRequests, 2020, "Rate Limit Exceeded")
		default:
			return restError(http.StatusInternalServerError, 2000, "Internal Server Error")
		}
	}
	switch f {
	case FaultRefuse:
		return invalidEvent("rejected by an injected fault")
	case FaultThrottle:
		return throttled()
	default:
		return reply{http.StatusInternalServerError, eventReply{Status: "error", Message: "Internal Server Error"}}
	}
}
