package telemetry

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/intake"
)

// Readiness checks the required parts of the bot and serves /readyz. It is safe
// for concurrent use.
type Readiness struct {
	parts         map[string]func(context.Context) error
	degradedWatch *degradedWatch // nil if there are no optional parts
	metrics       *Metrics
	log           *slog.Logger

	mu       sync.Mutex
	failing  map[string]bool
	degraded []string              // optional parts that are impaired
	inFlight map[string]chan error // running checks by part
}

// With checkInterval and checkTimeout, /readyz responds 503 within 5 seconds of a
// failure.
const (
	checkInterval = time.Second
	checkTimeout  = 2 * time.Second
)

// Watch runs the checks every checkInterval until ctx ends.
func (r *Readiness) Watch(ctx context.Context) {
	tick := time.NewTicker(checkInterval)
	defer tick.Stop()
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
	for part := range r.parts {
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
	if r.degradedWatch == nil || ctx.Err() != nil {
		return
	}
	degraded, err := r.degradedWatch.check(within, r.metrics)
	if err != nil {
		r.log.ErrorContext(ctx, "send notice of degraded part failed", "retry_in", notifyRetry, "err", err)
	}
	r.mu.Lock()
	r.degraded = degraded
	r.mu.Unlock()
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
		go func() { answer <- r.parts[part](ctx) }()
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

// ServeHTTP serves /readyz. It responds 200 with the names of impaired optional
// parts, or 503 with the names of failed required parts.
func (r *Readiness) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.failing) == 0 {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(struct {
			Status   string   `json:"status"`
			Degraded []string `json:"degraded,omitempty"`
		}{"ready", r.degraded})
		return
	}
	message := ""
	for part := range r.failing {
		if message != "" {
			message += "; "
		}
		message += "the " + part + " does not respond"
	}
	intake.WriteError(w, http.StatusServiceUnavailable, &incident.Error{Code: "not_ready", Sentence: incident.Say("%s", message)})
}
