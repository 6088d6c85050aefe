package bot

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// readiness watches the parts without which nothing can be promised.
type readiness struct {
	parts   map[string]func(context.Context) error
	upkeep  *degradedWatch // nil: there is none
	metrics *metrics
	log     *slog.Logger

	mu       sync.Mutex
	faults   map[string]string
	degraded []string              // parts that are out of order and not needed
	inFlight map[string]chan error // parts that were asked and have not answered yet
}

// checkEvery and checkWithin keep the time from a loss to a 503 below 5 s.
const (
	checkEvery  = time.Second
	checkWithin = 2 * time.Second
)

// watch checks until ctx ends.
func (r *readiness) watch(ctx context.Context) {
	tick := time.NewTicker(checkEvery)
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

// check asks every part. One that stands still may not even notice that its time
// is over: it is lost as well, and is not asked again before it has answered.
func (r *readiness) check(ctx context.Context) {
	within, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	var wg sync.WaitGroup
	for part := range r.parts {
		answer := r.ask(within, part)
		wg.Go(func() {
			select {
			case err := <-answer:
				r.answered(part)
				r.set(ctx, part, err)
			case <-within.Done():
				r.set(ctx, part, within.Err())
			}
		})
	}
	wg.Wait()
	if r.upkeep == nil || ctx.Err() != nil {
		return
	}
	degraded, err := r.upkeep.check(within, r.metrics)
	if err != nil {
		r.log.ErrorContext(ctx, "people could not be told of a fault; trying again", "error", err)
	}
	r.mu.Lock()
	r.degraded = degraded
	r.mu.Unlock()
}

func (r *readiness) ask(ctx context.Context, part string) chan error {
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

func (r *readiness) answered(part string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.inFlight, part)
}

func (r *readiness) set(ctx context.Context, part string, err error) {
	if ctx.Err() != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, was := r.faults[part]
	switch {
	case err != nil && !was:
		r.log.ErrorContext(ctx, "not ready", "part", part, "error", err)
		r.faults[part] = "does not answer"
	case err == nil && was:
		r.log.InfoContext(ctx, "ready again", "part", part)
		delete(r.faults, part)
	}
	value := 1.0
	if err != nil {
		value = 0
	}
	r.metrics.ready.WithLabelValues(part).Set(value)
}

// ServeHTTP answers /readyz: 200, with the parts that are out of order and not
// needed for it, or 503 with those that are lost.
func (r *readiness) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if len(r.faults) == 0 {
		_ = json.NewEncoder(w).Encode(struct {
			Status   string   `json:"status"`
			Degraded []string `json:"degraded,omitempty"`
		}{"ready", r.degraded})
		return
	}
	message := ""
	for part, fault := range r.faults {
		if message != "" {
			message += "; "
		}
		message += "the " + part + " " + fault
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"code": "not_ready", "message": message}})
}
