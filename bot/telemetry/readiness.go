package telemetry

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/intake"
)

// Health is the part of the bot that [NewReadiness] checks.
type Health struct {
	// Required are the parts without which the bot is not ready. A check that does not
	// return in time counts as failed.
	Required map[string]func(context.Context) error
	// Parts are the parts without which the bot stays ready.
	Parts *Parts
	// IsLive reports whether an incident is live. Notices are then sent sooner.
	IsLive func(context.Context) (bool, error)
	// Notify sends a notice. It returns [ErrNoWay] if no way of the notice reaches
	// people.
	Notify  func(context.Context, Notice) error
	Metrics *Metrics
	Clock   func() time.Time
	Logger  *slog.Logger
}

// Readiness checks the required parts of the bot and serves /readyz. It is safe
// for concurrent use.
type Readiness struct {
	required map[string]func(context.Context) error
	parts    *Parts
	notices  *notices
	metrics  *Metrics
	log      *slog.Logger

	mu       sync.Mutex
	failing  map[string]bool
	degraded []Degraded            // optional parts that do not work
	inFlight map[string]chan error // running checks by part
}

// Degraded is an optional part that does not work, as /readyz lists it.
type Degraded struct {
	Part  string    `json:"part"`
	Since time.Time `json:"since"`
	Cause string    `json:"cause"` // a sentence without its full stop
	Fix   string    `json:"fix"`   // an instruction without its full stop
}

// With checkInterval and checkTimeout, /readyz responds 503 within 5 seconds of a
// failure.
const (
	checkInterval = time.Second
	checkTimeout  = 2 * time.Second
)

// NewReadiness returns a Readiness. It makes no checks before [Readiness.Watch].
func NewReadiness(h Health) *Readiness {
	log := h.Logger.With("component", "readiness")
	return &Readiness{required: h.Required, parts: h.Parts, metrics: h.Metrics, log: log, failing: map[string]bool{},
		notices: &notices{send: h.Notify, isLive: h.IsLive, clock: h.Clock, log: log}}
}

// Watch runs the checks every checkInterval until ctx ends.
func (r *Readiness) Watch(ctx context.Context) {
	tick := time.NewTicker(checkInterval)
	defer tick.Stop()
	defer r.parts.wait()
	for {
		r.check(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// check runs the checks of all parts and waits up to checkTimeout. A check that
// ignores its context and does not return in time counts as failed, and does not
// start again before it returns.
func (r *Readiness) check(ctx context.Context) {
	within, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for part := range r.required {
		answer := r.startCheck(within, part)
		wg.Go(func() {
			select {
			case err := <-answer:
				r.finishCheck(part)
				r.set(ctx, part, err)
			case <-within.Done():
				r.set(ctx, part, within.Err())
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return
	}
	reports := r.parts.update(ctx)
	var degraded []Degraded
	for _, p := range reports {
		if p.works.IsZero() {
			degraded = append(degraded, Degraded{p.Name, p.since.UTC().Truncate(time.Second), p.problem.Cause, p.problem.Fix})
		}
	}
	r.mu.Lock()
	r.degraded = degraded
	r.mu.Unlock()
	r.notices.sendAll(ctx, reports, r.parts)
}

func (r *Readiness) startCheck(ctx context.Context, part string) chan error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.inFlight == nil {
		r.inFlight = map[string]chan error{}
	}
	if r.inFlight[part] == nil {
		answer := make(chan error, 1)
		r.inFlight[part] = answer
		go func() { answer <- r.required[part](ctx) }()
	}
	return r.inFlight[part]
}

func (r *Readiness) finishCheck(part string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.inFlight, part)
}

func (r *Readiness) set(ctx context.Context, part string, err error) {
	if ctx.Err() != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	wasFailing := r.failing[part]
	switch {
	case err != nil && !wasFailing:
		r.log.ErrorContext(ctx, "part failed", "part", part, "err", err)
		r.failing[part] = true
	case err == nil && wasFailing:
		r.log.InfoContext(ctx, "part recovered", "part", part)
		delete(r.failing, part)
	}
	value := 1.0
	if err != nil {
		value = 0
	}
	r.metrics.ready.WithLabelValues(part).Set(value)
}

const statusNotReady = "not_ready"

// State returns the status of /readyz, "ready", "degraded" or "not_ready", and the parts
// that do not work.
func (r *Readiness) State() (status string, parts []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.failing) > 0 {
		return statusNotReady, slices.Sorted(maps.Keys(r.failing))
	}
	for _, d := range r.degraded {
		parts = append(parts, d.Part)
	}
	if len(parts) > 0 {
		return "degraded", parts
	}
	return "ready", nil
}

// ServeStatus serves /readyz for strangers: 200 or 503 without details.
func (r *Readiness) ServeStatus(w http.ResponseWriter, _ *http.Request) {
	if status, _ := r.State(); status == statusNotReady {
		intake.WriteError(w, http.StatusServiceUnavailable, &incident.Error{Code: statusNotReady, Sentence: incident.Say("Tocsin is not ready. Try again in a minute")})
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte("{\"status\":\"ready\"}\n"))
}

// ServeHTTP serves /readyz of the telemetry listener. It responds 200 with the optional parts that do not work, or
// 503 with the names of failed required parts.
func (r *Readiness) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	status, parts := r.State()
	if status == statusNotReady {
		for n, part := range parts {
			parts[n] = "the " + part + " does not respond"
		}
		message := strings.Join(parts, ". ") + ". Restore it"
		intake.WriteError(w, http.StatusServiceUnavailable, &incident.Error{Code: statusNotReady, Sentence: incident.Say("%s", message)})
		return
	}
	r.mu.Lock()
	degraded := r.degraded
	r.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(struct {
		Status   string     `json:"status"`
		Degraded []Degraded `json:"degraded,omitempty"`
	}{status, degraded})
}
