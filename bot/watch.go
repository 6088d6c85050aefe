package bot

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tocsin/bot/intake"
	"tocsin/bot/trail"
)

// metrics counts what the bot does; it is the Observer of intake and response.
type metrics struct {
	registry   *prometheus.Registry
	deliveries *prometheus.CounterVec
	answer     *prometheus.HistogramVec
	commits    *prometheus.CounterVec
	batch      prometheus.Histogram
	decoded    *prometheus.CounterVec
	ingested   *prometheus.CounterVec
	effects    *prometheus.CounterVec
	effectTime *prometheus.HistogramVec
	ready      *prometheus.GaugeVec
	slack      *prometheus.CounterVec
	pulled     *prometheus.CounterVec
	degraded   *prometheus.GaugeVec
	expires    prometheus.Gauge
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tocsin_intake_deliveries_total",
			Help: "Total number of webhook requests, by source and outcome."}, []string{"source", "outcome"}),
		answer: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "tocsin_intake_request_duration_seconds",
			Help: "Time from a webhook request to its response, in seconds.", Buckets: prometheus.ExponentialBuckets(.001, 2, 13)}, []string{"source"}),
		commits: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tocsin_intake_commits_total",
			Help: "Total number of commits of delivery batches, by outcome."}, []string{"outcome"}),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "tocsin_intake_commit_deliveries",
			Help: "Number of deliveries in one committed batch.", Buckets: prometheus.ExponentialBuckets(1, 2, 11)}),
		decoded: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tocsin_intake_decoded_total",
			Help: "Total number of stored deliveries decoded, by source and outcome."}, []string{"source", "outcome"}),
		ingested: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tocsin_ingested_total",
			Help: "Total number of decoded deliveries ingested, by outcome."}, []string{"outcome"}),
		effects: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tocsin_effects_total",
			Help: "Total number of effect attempts, by kind and outcome."}, []string{"kind", "outcome"}),
		effectTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "tocsin_effect_duration_seconds",
			Help: "Time from the start to the end of one effect attempt, in seconds.", Buckets: prometheus.ExponentialBuckets(.005, 2, 13)}, []string{"kind"}),
		ready: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "tocsin_ready",
			Help: "Whether the required part works: 1 or 0."}, []string{"part"}),
		slack: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tocsin_slack_rejected_requests_total",
			Help: "Total number of inbound Slack requests rejected, by HTTP status."}, []string{"status"}),
		pulled: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tocsin_source_operations_total",
			Help: "Total number of operations on certificates, queues and files, by source, operation and outcome."}, []string{"source", "operation", "outcome"}),
		degraded: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "tocsin_degraded",
			Help: "Whether the optional part is impaired: 1 or 0."}, []string{"part"}),
		expires: prometheus.NewGauge(prometheus.GaugeOpts{Name: "tocsin_security_txt_expires_timestamp_seconds",
			Help: "Unix time at which /.well-known/security.txt expires, in seconds, or 0 without one."}),
	}
	m.registry.MustRegister(m.deliveries, m.answer, m.commits, m.batch, m.decoded, m.ingested, m.effects, m.effectTime, m.ready, m.slack, m.pulled, m.degraded, m.expires,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) refusedSlack(status int) { m.slack.WithLabelValues(strconv.Itoa(status)).Inc() }

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

func (m *metrics) Delivery(source string, outcome intake.Outcome, took time.Duration) {
	m.deliveries.WithLabelValues(source, string(outcome)).Inc()
	m.answer.WithLabelValues(source).Observe(took.Seconds())
}

func (m *metrics) Commit(deliveries int, _ time.Duration, err error) {
	if err != nil {
		m.commits.WithLabelValues("failed").Inc()
		return
	}
	m.commits.WithLabelValues("ok").Inc()
	m.batch.Observe(float64(deliveries))
}

func (m *metrics) Decoded(source string, _ int, failed bool) {
	outcome := "ok"
	if failed {
		outcome = "undecodable"
	}
	m.decoded.WithLabelValues(source, outcome).Inc()
}

func (m *metrics) EffectDone(kind, outcome string, took time.Duration) {
	m.effects.WithLabelValues(kind, outcome).Inc()
	m.effectTime.WithLabelValues(kind).Observe(took.Seconds())
}

func (m *metrics) Ingested(outcome string, n int) {
	m.ingested.WithLabelValues(outcome).Add(float64(n))
}

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

// Certificate counts the certificates of SNS that were fetched and judged.
func (m *metrics) Certificate(err error) {
	m.pulled.WithLabelValues("sns", "certificate", outcomeLabel(err)).Inc()
}

// Subscription counts the attempts to confirm a subscription.
func (m *metrics) Subscription(_ string, err error) {
	m.pulled.WithLabelValues("sns", "subscription", outcomeLabel(err)).Inc()
}

// Polled counts the questions to the queue of the trail.
func (m *metrics) Polled(_ int, err error) {
	m.pulled.WithLabelValues("trail", "poll", outcomeLabel(err)).Inc()
}

// Message counts the messages of that queue.
func (m *metrics) Message(o trail.MessageOutcome) {
	m.pulled.WithLabelValues("trail", "message", string(o)).Inc()
}

// Object counts the files that it told of.
func (m *metrics) Object(o trail.ObjectOutcome, _ time.Duration) {
	m.pulled.WithLabelValues("trail", "object", string(o)).Inc()
}

// Records counts the records in those files.
func (m *metrics) Records(kept, skipped, bad int) {
	for outcome, n := range map[string]int{"stored": kept, "skipped": skipped, "malformed": bad} {
		m.pulled.WithLabelValues("trail", "record", outcome).Add(float64(n))
	}
}

func outcomeLabel(err error) string {
	if err != nil {
		return "failed"
	}
	return "ok"
}
