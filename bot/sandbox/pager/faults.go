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

// Fault is one way in which the service can fail a caller.
type Fault string

// The faults. Landed says whether the call takes its effect.
const (
	FaultError    Fault = "500"     // answers 500; does not land
	FaultRefuse   Fault = "400"     // answers 400; does not land
	FaultThrottle Fault = "429"     // answers 429; does not land
	FaultSilence  Fault = "silence" // never answers; does not land
	FaultLate     Fault = "late"    // lands at once, answers after Delay
	FaultSlow     Fault = "slow"    // lands after Delay, whether or not the caller still waits, then answers
	FaultSwallow  Fault = "swallow" // answers as if it had landed; does not land
	FaultDrop     Fault = "drop"    // lands, then drops the connection without an answer
	FaultOffline  Fault = "offline" // drops the connection; does not land
)

// The endpoints that a Rule can name.
const (
	EndpointEvents = "events"
	EndpointREST   = "rest"
)

// Rule switches a fault on. The first rule that fits a request decides; empty
// fields fit everything.
type Rule struct {
	Fault    Fault         `json:"fault"`
	Endpoint string        `json:"endpoint,omitempty"` // EndpointEvents or EndpointREST
	Action   string        `json:"action,omitempty"`   // event_action of an event
	Skip     int           `json:"skip,omitempty"`     // let so many fitting requests through first
	Times    int           `json:"times,omitempty"`    // then fail so many; 0 means until SetFaults is called again
	Delay    time.Duration `json:"delay,omitempty"`    // of FaultLate and FaultSlow
}

// SetFaults replaces all rules; without arguments the service is well again.
// Calls that hang in silence stay hanging, as they would.
func (a *Account) SetFaults(rules ...Rule) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rules = slices.Clone(rules)
	a.touch()
}

// fault takes the rule that decides a request; the lock is held.
func (a *Account) fault(endpoint, action string) Rule {
	for i := range a.rules {
		r := &a.rules[i]
		if (r.Endpoint != "" && r.Endpoint != endpoint) || (r.Action != "" && r.Action != action) {
			continue
		}
		if r.Skip > 0 {
			r.Skip--
			continue
		}
		taken := *r
		if r.Times > 0 {
			if r.Times--; r.Times == 0 {
				a.rules = slices.Delete(a.rules, i, i+1)
			}
		}
		return taken
	}
	return Rule{}
}

// What a request did to the account.
const (
	EffectPaged        = "paged"        // opened an incident
	EffectLogged       = "logged"       // trigger on an open alert: a log entry, nobody is paged
	EffectAcknowledged = "acknowledged" // also by REST
	EffectResolved     = "resolved"     // also by REST
	EffectAnnotated    = "annotated"
	EffectIgnored      = "ignored" // accepted, and there was nothing to acknowledge or resolve
)

// Request is one call that reached the service.
type Request struct {
	Seq       int             `json:"seq"` // from 1, in order of arrival
	At        time.Time       `json:"at"`  // arrival, on the sandbox's clock
	Method    string          `json:"method"`
	Path      string          `json:"path"`
	Query     string          `json:"query,omitempty"`
	Body      json.RawMessage `json:"body,omitempty"`  // if it was JSON
	Event     *Event          `json:"event,omitempty"` // if it was an event that could be decoded
	Fault     Fault           `json:"fault,omitempty"`
	Effect    string          `json:"effect,omitempty"` // empty: it did not land
	AppliedAt time.Time       `json:"landed_at,omitzero"`
	Abandoned bool            `json:"abandoned,omitempty"` // the caller had hung up before it landed
	Incident  string          `json:"incident,omitempty"`
	Status    int             `json:"status,omitempty"` // what was answered; 0: nothing, or not yet
	Done      bool            `json:"done"`
}

// Requests returns the log in order of arrival.
func (a *Account) Requests() []Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make([]Request, len(a.requests))
	for i, r := range a.requests {
		all[i] = *r
	}
	return all
}

// recordEffect writes down, together with the effect itself, that a request had one;
// the lock is held.
func (a *Account) recordEffect(req *Request, r *http.Request, effect, incident string) {
	req.Effect, req.Incident = effect, incident
	req.AppliedAt, req.Abandoned = a.cfg.Now().UTC(), r.Context().Err() != nil
	a.touch()
}

type reply struct {
	status int
	body   any
}

// endpoint is what one path does once the request is logged and its fault
// known. With swallow set it answers without effect.
type endpoint func(req *Request, r *http.Request, body []byte, swallow bool) reply

// serve wraps an endpoint with the log and the faults.
func (a *Account) serve(kind string, act endpoint) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, maxEvent+1))
		if err != nil {
			panic(http.ErrAbortHandler) // the caller went away in the middle of its request
		}
		req, rule := a.arrive(kind, r, body)
		answer, ok := a.answer(kind, act, req, rule, r, body)
		if ok {
			ok = r.Context().Err() == nil
		}
		a.mu.Lock()
		if req.Done = true; ok {
			req.Status = answer.status
		}
		a.touch()
		a.mu.Unlock()
		if !ok {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(answer.status)
		_ = json.NewEncoder(w).Encode(answer.body) // the caller may be gone
	}
}

func (a *Account) arrive(kind string, r *http.Request, body []byte) (*Request, Rule) {
	a.mu.Lock()
	defer a.mu.Unlock()
	req := &Request{
		Seq: len(a.requests) + 1, At: a.cfg.Now().UTC(),
		Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery,
	}
	if json.Valid(body) {
		req.Body = bytes.Clone(body)
	}
	action := ""
	if kind == EndpointEvents {
		if ev, _ := parseEvent(body); ev != nil {
			req.Event, action = ev, ev.Action
		}
	}
	rule := a.fault(kind, action)
	req.Fault = rule.Fault
	a.requests = append(a.requests, req)
	a.touch()
	return req, rule
}

// answer applies the fault. It returns false when the caller gets none.
func (a *Account) answer(kind string, act endpoint, req *Request, rule Rule, r *http.Request, body []byte) (reply, bool) {
	land := func(swallow bool) reply { return act(req, r, body, swallow) }
	switch rule.Fault {
	case FaultError, FaultRefuse, FaultThrottle:
		return canned(kind, rule.Fault), true
	case FaultOffline:
		return reply{}, false
	case FaultSilence:
		ctx, stop := a.requestOrAccountDone(r.Context())
		defer stop()
		<-ctx.Done()
		return reply{}, false
	case FaultSwallow:
		return land(true), true
	case FaultSlow:
		if a.cfg.Wait(a.ctx, rule.Delay) != nil {
			return reply{}, false
		}
		return land(false), true
	case FaultLate:
		answer := land(false)
		ctx, stop := a.requestOrAccountDone(r.Context())
		defer stop()
		return answer, a.cfg.Wait(ctx, rule.Delay) == nil
	case FaultDrop:
		land(false)
		return reply{}, false
	default:
		return land(false), true
	}
}

// requestOrAccountDone ends with the caller or with the account.
func (a *Account) requestOrAccountDone(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(a.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

func canned(kind string, f Fault) reply {
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
		return invalidEvent("the sandbox was told to refuse")
	case FaultThrottle:
		return throttled()
	default:
		return reply{http.StatusInternalServerError, eventReply{Status: "error", Message: "Internal Server Error"}}
	}
}
