package telemetry

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"

	"tocsin/bot/intake"
	"tocsin/bot/response"
	"tocsin/bot/trail"
)

// Metrics holds the Prometheus metrics. It implements the Observer interfaces of
// packages intake, response, sns and trail, and is safe for concurrent use.
type Metrics struct {
	registry           *prometheus.Registry
	deliveries         *prometheus.CounterVec
	requestTime        *prometheus.HistogramVec
	evictions          *prometheus.CounterVec
	refusals           *prometheus.CounterVec
	commits            *prometheus.CounterVec
	commitSize         prometheus.Histogram
	lastDelivery       *prometheus.GaugeVec
	decoded            *prometheus.CounterVec
	ingested           *prometheus.CounterVec
	conditionFailures  *prometheus.CounterVec
	effects            *prometheus.CounterVec
	effectTime         *prometheus.HistogramVec
	ready              *prometheus.GaugeVec
	slackRejected      *prometheus.CounterVec
	operations         *prometheus.CounterVec
	degraded           *prometheus.GaugeVec
	degradedSince      *prometheus.GaugeVec
	partWorked         *prometheus.GaugeVec
	clockSkew          *prometheus.GaugeVec
	diskFree           prometheus.Gauge
	waiting            *prometheus.GaugeVec
	waitingSince       *prometheus.GaugeVec
	heldEffects        prometheus.Gauge
	heldDeliveries     prometheus.Gauge
	securityTxtExpires prometheus.Gauge
	droppedLines       prometheus.Counter
	backups            *backupTimes
}

// NewMetrics returns metrics of the process and of the bot, all zero.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tocsin_intake_deliveries_total",
			Help: "Total number of webhook requests, by source and outcome."}, []string{"source", "outcome"}),
		requestTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "tocsin_intake_request_duration_seconds",
			Help: "Time from a webhook request to its response, in seconds.", Buckets: prometheus.ExponentialBuckets(.001, 2, 13)}, []string{"source"}),
		evictions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tocsin_admission_evictions_total",
			Help: "Total number of stalled connections and bodies that gave way to another sender, by resource."}, []string{"resource"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tocsin_admission_refusals_total",
			Help: "Total number of connections and bodies refused because nothing could give way, by resource."}, []string{"resource"}),
		commits: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tocsin_intake_commits_total",
			Help: "Total number of commits of delivery batches, by outcome."}, []string{"outcome"}),
		commitSize: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "tocsin_intake_commit_deliveries",
			Help: "Number of deliveries in one committed batch.", Buckets: prometheus.ExponentialBuckets(1, 2, 11)}),
		lastDelivery: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "tocsin_source_last_delivery_timestamp_seconds",
			Help: "Unix time of the last delivery of the source that was accepted, in seconds."}, []string{"source"}),
		decoded: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tocsin_intake_decoded_total",
			Help: "Total number of stored deliveries decoded, by source and outcome."}, []string{"source", "outcome"}),
		ingested: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tocsin_ingested_total",
			Help: "Total number of decoded deliveries ingested, by outcome."}, []string{"outcome"}),
		conditionFailures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tocsin_condition_failures_total",
			Help: "Total number of conditions that could not be evaluated on an alert, by kind of condition."}, []string{"of"}),
		effects: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tocsin_effects_total",
			Help: "Total number of effect attempts, by kind and outcome."}, []string{"kind", "outcome"}),
		effectTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "tocsin_effect_duration_seconds",
			Help: "Time from the start to the end of one effect attempt, in seconds.", Buckets: prometheus.ExponentialBuckets(.005, 2, 13)}, []string{"kind"}),
		ready: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "tocsin_ready",
			Help: "Whether the required part works: 1 or 0."}, []string{"part"}),
		slackRejected: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tocsin_slack_rejected_requests_total",
			Help: "Total number of inbound Slack requests rejected, by HTTP status."}, []string{"status"}),
		operations: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tocsin_source_operations_total",
			Help: "Total number of operations on certificates, queues and files, by source, operation and outcome."}, []string{"source", "operation", "outcome"}),
		degraded: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "tocsin_degraded",
			Help: "Whether the optional part is impaired: 1 or 0."}, []string{"part"}),
		degradedSince: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "tocsin_degraded_since_timestamp_seconds",
			Help: "Unix time since which the optional part is impaired, in seconds, or 0 if it works."}, []string{"part"}),
		partWorked: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "tocsin_part_last_success_timestamp_seconds",
			Help: "Unix time of the last success of the optional part, in seconds."}, []string{"part"}),
		clockSkew: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "tocsin_clock_skew_seconds",
			Help: "Difference between the clock of Tocsin and the clock of the outside system, in seconds, positive if Tocsin is ahead."}, []string{"system"}),
		diskFree: prometheus.NewGauge(prometheus.GaugeOpts{Name: "tocsin_disk_free_bytes",
			Help: "Free space of the disk with the SQLite database, in bytes, or 0 without SQLite."}),
		waiting: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "tocsin_effects_waiting",
			Help: "Number of effects that failed and will be retried, by system and by whether an administrator must repair the cause."}, []string{"system", "blocked"}),
		waitingSince: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "tocsin_effects_waiting_since_timestamp_seconds",
			Help: "Unix time of the first failure of the effect that has waited longest, in seconds, or 0 without one, by system."}, []string{"system"}),
		heldEffects: prometheus.NewGauge(prometheus.GaugeOpts{Name: "tocsin_effects_held",
			Help: "Number of effects from before a restore that wait for its release."}),
		heldDeliveries: prometheus.NewGauge(prometheus.GaugeOpts{Name: "tocsin_deliveries_held",
			Help: "Number of deliveries from before a restore that wait for its release."}),
		securityTxtExpires: prometheus.NewGauge(prometheus.GaugeOpts{Name: "tocsin_security_txt_expires_timestamp_seconds",
			Help: "Unix time at which /.well-known/security.txt expires, in seconds, or 0 without one."}),
		droppedLines: prometheus.NewCounter(prometheus.CounterOpts{Name: "tocsin_log_lines_dropped_total",
			Help: "Total number of log lines dropped because the reader of the log stalled or went away."}),
		backups: newBackupTimes(),
	}
	m.registry.MustRegister(m.deliveries, m.requestTime, m.evictions, m.refusals, m.commits, m.commitSize, m.lastDelivery, m.decoded, m.ingested, m.conditionFailures, m.effects, m.effectTime, m.ready, m.slackRejected, m.operations, m.degraded, m.degradedSince, m.partWorked, m.clockSkew, m.diskFree, m.waiting, m.waitingSince, m.heldEffects, m.heldDeliveries, m.securityTxtExpires, m.droppedLines, m.backups,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// CountSlackRejection counts an inbound request of Slack that was rejected, by HTTP status.
func (m *Metrics) CountSlackRejection(status int) {
	m.slackRejected.WithLabelValues(strconv.Itoa(status)).Inc()
}

// SetSecurityTxtExpires sets when security.txt expires.
func (m *Metrics) SetSecurityTxtExpires(at time.Time) { m.securityTxtExpires.Set(float64(at.Unix())) }

// SetLastDelivery sets when a source delivered last.
func (m *Metrics) SetLastDelivery(source string, at time.Time) {
	m.lastDelivery.WithLabelValues(source).Set(float64(at.Unix()))
}

// SetDiskFree sets the free space of the disk with the database, in bytes.
func (m *Metrics) SetDiskFree(bytes int64) { m.diskFree.Set(float64(bytes)) }

// SetHeld sets what waits for the release of a restore.
func (m *Metrics) SetHeld(r response.RestoreOverview) {
	m.heldEffects.Set(float64(r.HeldEffects()))
	m.heldDeliveries.Set(float64(r.Deliveries))
}

// SetWaiting sets how many effects of a system wait: for an administrator, and for the
// system. since is the first failure of the effect that has waited longest, or zero.
func (m *Metrics) SetWaiting(system string, blocked, failed int, since time.Time) {
	m.waiting.WithLabelValues(system, "true").Set(float64(blocked))
	m.waiting.WithLabelValues(system, "false").Set(float64(failed))
	at := 0.0
	if !since.IsZero() {
		at = float64(since.Unix())
	}
	m.waitingSince.WithLabelValues(system).Set(at)
}

func (m *Metrics) countDroppedLines(lines int) { m.droppedLines.Add(float64(lines)) }

const (
	// gatherTTL is how long collected values are served again. Anyone can request
	// /metrics, and collecting the values costs more than sending them.
	gatherTTL     = time.Second
	scrapeTimeout = 10 * time.Second // for a scraper that does not read
)

// Handler returns the handler of /metrics.
func (m *Metrics) Handler() http.Handler {
	var mu sync.Mutex
	var families []*dto.MetricFamily
	var expires time.Time
	gather := prometheus.GathererFunc(func() (_ []*dto.MetricFamily, err error) {
		mu.Lock()
		defer mu.Unlock()
		if time.Now().After(expires) {
			families, err = m.registry.Gather()
			expires = time.Now().Add(gatherTTL)
		}
		return families, err
	})
	h := promhttp.HandlerFor(gather, promhttp.HandlerOpts{Registry: m.registry})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(scrapeTimeout)) // the server has a longer one
		h.ServeHTTP(w, r)
	})
}

// Delivery implements [intake.Observer].
func (m *Metrics) Delivery(source string, outcome intake.Outcome, took time.Duration) {
	m.deliveries.WithLabelValues(source, string(outcome)).Inc()
	m.requestTime.WithLabelValues(source).Observe(took.Seconds())
}

// Evicted implements [intake.AdmissionObserver].
func (m *Metrics) Evicted(r intake.Resource) { m.evictions.WithLabelValues(string(r)).Inc() }

// Refused implements [intake.AdmissionObserver].
func (m *Metrics) Refused(r intake.Resource) { m.refusals.WithLabelValues(string(r)).Inc() }

// Commit implements [intake.Observer].
func (m *Metrics) Commit(deliveries int, _ time.Duration, err error) {
	if err != nil {
		m.commits.WithLabelValues("failed").Inc()
		return
	}
	m.commits.WithLabelValues("ok").Inc()
	m.commitSize.Observe(float64(deliveries))
}

// Decoded implements [intake.Observer].
func (m *Metrics) Decoded(source string, _ int, failed bool) {
	outcome := "ok"
	if failed {
		outcome = "undecodable"
	}
	m.decoded.WithLabelValues(source, outcome).Inc()
}

// EffectDone implements [response.Observer].
func (m *Metrics) EffectDone(a response.EffectAttempt) {
	kind := string(a.Effect.Kind)
	m.effects.WithLabelValues(kind, string(a.Outcome)).Inc()
	m.effectTime.WithLabelValues(kind).Observe(a.Took.Seconds())
}

// Ingested counts decoded deliveries by outcome.
func (m *Metrics) Ingested(outcome string, n int) {
	m.ingested.WithLabelValues(outcome).Add(float64(n))
}

// ConditionFailed counts conditions that could not be evaluated.
func (m *Metrics) ConditionFailed(of string) {
	m.conditionFailures.WithLabelValues(of).Inc()
}

// Certificate counts fetched and checked SNS signing certificates.
func (m *Metrics) Certificate(err error) {
	m.operations.WithLabelValues("sns", "certificate", outcomeLabel(err)).Inc()
}

// Subscription counts attempts to confirm an SNS subscription.
func (m *Metrics) Subscription(_ string, err error) {
	m.operations.WithLabelValues("sns", "subscription", outcomeLabel(err)).Inc()
}

// Polled counts receive requests to the trail queue.
func (m *Metrics) Polled(_ int, err error) {
	m.operations.WithLabelValues("trail", "poll", outcomeLabel(err)).Inc()
}

// Message counts messages of the trail queue.
func (m *Metrics) Message(o trail.MessageOutcome) {
	m.operations.WithLabelValues("trail", "message", string(o)).Inc()
}

// Object counts the log files that the messages announce.
func (m *Metrics) Object(o trail.ObjectOutcome, _ time.Duration) {
	m.operations.WithLabelValues("trail", "object", string(o)).Inc()
}

// Records counts the records in the log files.
func (m *Metrics) Records(stored, skipped, malformed int) {
	for outcome, n := range map[string]int{"stored": stored, "skipped": skipped, "malformed": malformed} {
		m.operations.WithLabelValues("trail", "record", outcome).Add(float64(n))
	}
}

func outcomeLabel(err error) string {
	if err != nil {
		return "failed"
	}
	return "ok"
}
