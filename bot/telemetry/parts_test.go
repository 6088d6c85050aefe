package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tocsin/bot/health"
	"tocsin/bot/incident"
)

// bench runs the checks of parts with a clock that the test moves.
type bench struct {
	*testing.T
	*Readiness
	mu      sync.Mutex
	now     time.Time
	parts   []Part
	notices []Notice
	sendErr error
	// failsWithoutWay makes the notices fail if no part of them works.
	failsWithoutWay bool
	isLive          bool
	metrics         *Metrics
	log             bytes.Buffer
}

func newBench(t *testing.T, parts ...Part) *bench {
	b := &bench{T: t, now: time.Date(2026, 11, 3, 12, 0, 0, 0, time.UTC), parts: parts, metrics: NewMetrics()}
	tracked := NewParts(func() []Part { return b.parts }, b.clock, b.metrics)
	b.Readiness = NewReadiness(Health{Parts: tracked, Metrics: b.metrics, Clock: b.clock, Logger: slog.New(slog.NewTextHandler(&b.log, nil)),
		IsLive: func(context.Context) (bool, error) { return b.isLive, nil },
		Notify: func(_ context.Context, n Notice) error {
			if b.failsWithoutWay && len(n.Working) == 0 {
				return ErrNoWay
			}
			if b.sendErr == nil {
				b.notices = append(b.notices, n)
			}
			return b.sendErr
		}})
	return b
}

func (b *bench) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

// pass moves the clock, runs the checks and waits for the probes.
func (b *bench) pass(d time.Duration) {
	b.mu.Lock()
	b.now = b.now.Add(d)
	b.mu.Unlock()
	b.check(b.Context())
	b.Readiness.parts.wait()
	b.check(b.Context())
}

// readyz returns the parts in /readyz as "part since cause", after the status.
func (b *bench) readyz() string {
	w := httptest.NewRecorder()
	b.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	var body struct {
		Status   string
		Degraded []Degraded
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || w.Code != http.StatusOK {
		b.Fatalf("got %d %s", w.Code, w.Body)
	}
	out := body.Status
	for _, d := range body.Degraded {
		out += fmt.Sprintf("; %s since %s: %s. %s", d.Part, d.Since.Format(time.TimeOnly), d.Cause, d.Fix)
	}
	return out
}

func (b *bench) wantReadyz(want string) {
	b.Helper()
	if got := b.readyz(); got != want {
		b.Errorf("got /readyz %q, want %q", got, want)
	}
}

func (b *bench) metricsText() string {
	w := httptest.NewRecorder()
	promhttp.HandlerFor(b.metrics.registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

func (b *bench) wantMetric(want string) {
	b.Helper()
	if !strings.Contains(b.metricsText(), want+"\n") {
		b.Errorf("/metrics has no line %s", want)
	}
}

// wantNotices compares the notices, "+" before the part for a recovery.
func (b *bench) wantNotices(want ...string) {
	b.Helper()
	var got []string
	for _, n := range b.notices {
		name := n.Name
		if !n.Recovered.IsZero() {
			name = "+" + name
		}
		got = append(got, name)
	}
	if !slices.Equal(got, want) {
		b.Errorf("got notices %q, want %q", got, want)
	}
}

var errRefused = &health.Problem{Cause: "The mail server refuses connections", Fix: "Start it", Err: errors.New("dial 10.0.0.7: refused by <secret>")}

// An impaired part is in /readyz at once with its begin and its cause, and the bot stays
// ready. Notices start after noticeDelay and repeat daily. One notice reports the
// recovery.
func TestParts_NotifiesAfterDelayDailyAndOnRecovery(t *testing.T) {
	var failure error
	b := newBench(t, Part{Name: "vulnerability mailbox", Check: func(time.Time) error { return failure }},
		Part{Name: "security.txt", WithoutNotice: true, Check: func(time.Time) error { return &health.Problem{Cause: "It expires soon", Fix: "Extend it"} }})
	b.pass(0)
	security := "security.txt since 12:00:00: It expires soon. Extend it"
	b.wantReadyz("degraded; " + security)
	failure = errRefused
	b.pass(time.Minute)
	b.wantReadyz("degraded; " + security + "; vulnerability mailbox since 12:01:00: The mail server refuses connections. Start it")
	b.wantMetric(`tocsin_degraded{part="vulnerability mailbox"} 1`)
	b.wantMetric(`tocsin_degraded_since_timestamp_seconds{part="vulnerability mailbox"} 1.79370726e+09`)
	b.pass(noticeDelay - time.Second)
	b.wantNotices()
	b.sendErr = errors.New("database unavailable")
	b.pass(time.Second)
	b.sendErr = nil
	b.pass(noticeRetry - time.Second)
	b.wantNotices()
	b.pass(time.Second)
	b.wantNotices("vulnerability mailbox")
	if n := b.notices[0]; !n.Since.Equal(time.Date(2026, 11, 3, 12, 1, 0, 0, time.UTC)) || n.Problem != errRefused {
		t.Errorf("got notice %+v", n)
	}
	b.pass(noticeInterval - time.Second)
	b.wantNotices("vulnerability mailbox")
	b.pass(time.Second)
	b.wantNotices("vulnerability mailbox", "vulnerability mailbox")
	failure = nil
	b.pass(time.Second)
	works := b.now
	b.wantReadyz("degraded; " + security)
	b.wantMetric(`tocsin_degraded{part="vulnerability mailbox"} 0`)
	b.pass(settleTime - time.Second)
	b.wantNotices("vulnerability mailbox", "vulnerability mailbox")
	b.pass(time.Second)
	b.pass(time.Hour)
	b.wantNotices("vulnerability mailbox", "vulnerability mailbox", "+vulnerability mailbox")
	if got := b.notices[2].Recovered; !got.Equal(works) {
		t.Errorf("got recovered at %s, want %s", got, works)
	}
	for _, want := range []string{`level=WARN msg="part degraded" component=readiness part="vulnerability mailbox"`, `level=INFO msg="part recovered" component=readiness part="vulnerability mailbox"`} {
		if got := strings.Count(b.log.String(), want); got != 1 {
			t.Errorf("got %d log lines %q, want 1:\n%s", got, want, &b.log)
		}
	}
}

// The log has the recovery although its notice waits for another replica, and a failure
// after it.
func TestParts_LogsARecoveryWhoseNoticeWaits(t *testing.T) {
	var failure error = errRefused
	b := newBench(t, Part{Name: "mail", Check: func(time.Time) error { return failure }})
	b.pass(0)
	b.pass(noticeDelay)
	failure, b.sendErr = nil, &incident.RetryAfter{After: time.Minute, Err: errors.New("another replica has the fault")}
	b.pass(0)
	for range 3 {
		b.pass(settleTime)
	}
	failure = errRefused
	b.pass(time.Second)
	failure = nil
	b.pass(time.Second)
	b.sendErr = nil
	b.pass(settleTime)
	b.wantNotices("mail", "+mail")
	var got []string
	for line := range strings.Lines(b.log.String()) {
		got = append(got, strings.Fields(line[strings.Index(line, "part "):])[1])
	}
	if want := []string{`degraded"`, `recovered"`, `degraded"`, `recovered"`}; !slices.Equal(got, want) {
		t.Errorf("got log lines %q, want %q", got, want)
	}
}

// While an incident is live, people know after liveDelay.
func TestParts_NotifiesSoonerWhileAnIncidentIsLive(t *testing.T) {
	b := newBench(t, Part{Name: "Slack API", Check: func(time.Time) error { return errRefused }})
	b.pass(0)
	b.pass(liveDelay)
	b.wantNotices()
	b.isLive = true
	b.pass(liveInterval)
	b.wantNotices("Slack API")
	if !b.notices[0].IsLive {
		t.Error("the notice does not know that an incident is live")
	}
}

// A part that changes all the time is one impairment with one notice.
func TestParts_FlappingSendsOneNotice(t *testing.T) {
	var failure error
	b := newBench(t, Part{Name: "mail", Check: func(time.Time) error { return failure }})
	for range 100 {
		failure = errRefused
		b.pass(settleTime / 2)
		b.wantReadyz("degraded; mail since 12:03:00: The mail server refuses connections. Start it")
		failure = nil
		b.pass(settleTime / 2)
		b.wantReadyz("ready")
	}
	b.wantNotices("mail")
	b.pass(settleTime)
	b.wantNotices("mail", "+mail")
	if got := strings.Count(b.log.String(), "\n"); got != 2 {
		t.Errorf("got %d log lines, want 2:\n%s", got, &b.log)
	}
}

// Short failures that repeat, such as rate limits, are visible but need no notice.
func TestParts_ShortFailuresSendNoNotice(t *testing.T) {
	b := newBench(t, Part{Name: "Slack API", System: "Slack"})
	b.isLive = true
	for range 20 {
		b.Readiness.parts.Report("Slack API", "Slack", "post", &incident.RetryAfter{Err: errors.New("429")})
		b.pass(0)
		if got := b.readyz(); !strings.HasPrefix(got, "degraded; Slack API since 12:00:00") {
			t.Errorf("got /readyz %q, want the limit", got)
		}
		b.pass(3 * time.Second)
		b.Readiness.parts.Report("Slack API", "Slack", "post", nil)
		b.pass(0)
		b.wantReadyz("ready")
		b.pass(settleTime / 2)
	}
	b.wantNotices()
}

// A notice names the parts that notify people and work.
func TestParts_NoticeUsesWaysThatWork(t *testing.T) {
	ok := func(time.Time) error { return nil }
	b := newBench(t, Part{Name: "Slack API", Way: WayChat, Check: func(time.Time) error { return errRefused }},
		Part{Name: "mail", Way: WayMail, Check: ok}, Part{Name: "clock", Check: ok})
	b.pass(0)
	b.pass(noticeDelay)
	if got := b.notices[0].Working; len(got) != 1 || got[0].Name != "mail" {
		t.Errorf("got ways %+v, want only mail", got)
	}
}

// If no way to notify people works for a minute, the log has an error each minute, and
// the heartbeat stops.
func TestParts_NoWayLogsAnErrorAndStopsTheHeartbeat(t *testing.T) {
	var failure error = errRefused
	b := newBench(t, Part{Name: "mail", Check: func(time.Time) error { return failure }})
	b.sendErr = fmt.Errorf("notify: %w", ErrNoWay)
	b.pass(0)
	b.pass(noticeDelay)
	if b.Readiness.parts.isMute() || strings.Contains(b.log.String(), "level=ERROR") {
		t.Errorf("want no error before the second attempt:\n%s", &b.log)
	}
	b.pass(noticeRetry)
	if !b.Readiness.parts.isMute() || strings.Count(b.log.String(), "level=ERROR") != 1 {
		t.Errorf("want a mute bot and one error in the log:\n%s", &b.log)
	}
	b.sendErr = nil
	b.pass(noticeRetry)
	b.wantNotices("mail")
	if b.Readiness.parts.isMute() {
		t.Error("still mute after a notice was sent")
	}
	b.sendErr, failure = ErrNoWay, nil
	b.pass(time.Second)
	b.pass(settleTime)
	b.sendErr = nil
	b.pass(time.Hour)
	b.wantNotices("mail") // a recovery without a way is not sent later
}

// A way that fails once, in the second of a notice, is no silence: the notice is sent a
// minute later.
func TestParts_ShortFailureOfTheOnlyWay(t *testing.T) {
	b := newBench(t, Part{Name: "Slack API", System: "Slack", Way: WayChat}, Part{Name: "clock", Check: func(time.Time) error { return errRefused }})
	b.failsWithoutWay = true
	b.pass(0)
	b.Readiness.parts.Report("Slack API", "Slack", "post", health.Status("Slack", 502, nil))
	b.pass(noticeDelay)
	b.Readiness.parts.Report("Slack API", "Slack", "post", nil)
	b.pass(0)
	if b.Readiness.parts.isMute() {
		t.Error("the heartbeat stops because of one failure")
	}
	b.pass(noticeRetry)
	b.wantNotices("clock")
	if strings.Contains(b.log.String(), "level=ERROR") {
		t.Errorf("got an error in the log:\n%s", &b.log)
	}
}

// A probe finds an outage and the end of it. It runs once per interval while the part
// works and sooner while it does not, and a hung probe does not start again.
func TestParts_Probe(t *testing.T) {
	var failure error
	calls, repairs := 0, 0
	b := newBench(t, Part{Name: "Slack API", System: "Slack", Interval: 5 * time.Minute, Repaired: func(context.Context) { repairs++ }, Probe: func(ctx context.Context) error {
		calls++
		if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > probeTimeout {
			t.Error("the probe has no time limit")
		}
		return failure
	}})
	b.pass(0)
	b.wantMetric(`tocsin_part_last_success_timestamp_seconds{part="Slack API"} 1.7937072e+09`)
	b.pass(3 * time.Minute)
	if calls != 1 {
		t.Errorf("got %d probes after 3 minutes, want 1", calls)
	}
	failure = context.DeadlineExceeded
	b.pass(3 * time.Minute)
	b.wantReadyz("degraded; Slack API since 12:06:00: Slack does not answer in time. Check the network, the firewall and the status page")
	if repairs != 0 {
		t.Errorf("got %d repairs while the probe fails, want none", repairs)
	}
	failure = nil
	b.pass(2 * impairedInterval)
	b.wantReadyz("ready")
	b.pass(5 * time.Minute)
	if repairs != 1 {
		t.Errorf("got %d repairs, want 1", repairs)
	}
}

// A refused effect makes the next probe due, which shows whether the system refuses all of
// them. Many refusals cause few probes.
func TestParts_ProbeSoonAfterARefusal(t *testing.T) {
	var probes int
	b := newBench(t, Part{Name: "mail", Interval: 5 * time.Minute, Probe: func(context.Context) error {
		if probes++; probes > 1 {
			return &health.Problem{Cause: "The mail relay rejects the password", Fix: "Correct it", IsRefusal: true}
		}
		return nil
	}})
	b.pass(0)
	b.pass(time.Minute)
	b.wantReadyz("ready")
	b.Readiness.parts.ProbeSoon("mail")
	b.pass(0)
	b.wantReadyz("degraded; mail since 12:01:00: The mail relay rejects the password. Correct it")
	for range 10 {
		b.Readiness.parts.ProbeSoon("mail")
		b.pass(time.Second)
	}
	if probes != 2 {
		t.Errorf("got %d probes, want 2", probes)
	}
}

// Calls report their results. A success of another operation repairs an outage after
// outageTime, and a probe after repeatTime. Only the operation repairs a refusal.
func TestParts_Report(t *testing.T) {
	b := newBench(t, Part{Name: "Slack API", System: "Slack"})
	report := func(operation string, err error) {
		b.Readiness.parts.Report("Slack API", "Slack", operation, err)
		b.pass(0)
	}
	outage := func(at string) string {
		return "degraded; Slack API since " + at + ": Slack answers with the HTTP status 502. Check the status page of Slack"
	}
	report("post", health.Status("Slack", 502, nil))
	b.wantReadyz(outage("12:00:00"))
	report("card", nil)
	b.wantReadyz(outage("12:00:00"))
	b.pass(outageTime)
	report(OpProbe, nil)
	b.wantReadyz(outage("12:00:00"))
	report("card", nil)
	b.wantReadyz("ready")

	refused := &incident.Blocked{System: "slack", Cause: incident.Say("the Slack app lacks the scope %s", "pins:write"), Fix: incident.Say("add it"), Err: errors.New("xoxb")}
	b.pass(settleTime)
	report("post", refused)
	want := "degraded; Slack API since 12:06:30: The Slack app lacks the scope pins:write. Add it"
	b.wantReadyz(want)
	b.pass(time.Minute)
	report("card", nil)
	b.wantReadyz(want)
	report("post", nil)
	b.wantReadyz("ready")
	report("post", refused)
	b.pass(2 * repeatTime)
	report(OpProbe, nil)
	b.Readiness.parts.Forget("Slack API", "post")
	b.pass(0)
	b.wantReadyz(want)
	b.Readiness.parts.ForgetRefusals() // after a reload
	b.pass(0)
	b.wantReadyz("ready")
	report("post", refused)
	report("card", health.Status("Slack", 502, nil))
	b.Readiness.parts.Accept("Slack API")
	b.pass(0)
	b.wantReadyz(outage("12:06:30"))
	report("card", nil)
	report("post", health.Status("Slack", 502, nil))
	b.pass(repeatTime)
	report(OpProbe, nil)
	b.wantReadyz("ready")

	report("post", health.Status("Slack", 502, nil))
	b.Readiness.parts.Forget("Slack API", "post") // skipped
	b.pass(0)
	b.wantReadyz("ready")
	for _, ignored := range []error{fmt.Errorf("shutdown: %w", context.Canceled), &incident.RetryAfter{Queued: true, Err: errors.New("paced")}} {
		report("post", ignored)
		b.wantReadyz("ready")
	}
	report("post", &incident.RetryAfter{Err: errors.New("429")})
	b.wantReadyz("degraded; Slack API since 12:06:30: Slack limits the rate of requests. Wait. Tocsin tries again")
}

// A part that needs another one does not work without it. The notice is about the other.
func TestParts_NeededPart(t *testing.T) {
	var failure error = errRefused
	b := newBench(t, Part{Name: "mail", Check: func(time.Time) error { return failure }}, Part{Name: "escalation step 2 (mail)", Needs: "mail"})
	b.pass(0)
	b.wantReadyz("degraded; escalation step 2 (mail) since 12:00:00: The mail server refuses connections. Start it; mail since 12:00:00: The mail server refuses connections. Start it")
	b.pass(noticeDelay)
	failure = nil
	b.pass(time.Second)
	b.pass(settleTime)
	b.wantReadyz("ready")
	b.wantNotices("mail", "+mail")
}

// A failure that notices about other parts cover is in /readyz and has no notice. It has
// one when the other parts have settled and it lasts.
func TestParts_CoveredPart(t *testing.T) {
	var failure error = errRefused
	b := newBench(t, Part{Name: "mail", Check: func(time.Time) error { return failure }},
		Part{Name: "waiting effects", Check: func(time.Time) error { return errRefused }, IsCovered: func(present *health.Problem, other func(string) *health.Problem) bool {
			p := other("mail")
			return p != nil && p.Cause == present.Cause
		}})
	b.pass(0)
	b.wantReadyz("degraded; mail since 12:00:00: The mail server refuses connections. Start it; waiting effects since 12:00:00: The mail server refuses connections. Start it")
	b.pass(noticeDelay)
	b.wantNotices("mail")
	failure = nil
	b.pass(time.Second)
	b.wantNotices("mail")
	b.pass(settleTime)
	b.pass(time.Second)
	b.wantNotices("mail", "+mail", "waiting effects")
}

// A part that a reload removes disappears with its metrics, and a report about it is
// ignored.
func TestParts_RemovedByReload(t *testing.T) {
	b := newBench(t, Part{Name: "mail", Check: func(time.Time) error { return errRefused }})
	b.pass(0)
	b.parts = nil
	b.Readiness.parts.Report("mail", "mail", "post", errRefused)
	b.pass(0)
	b.wantReadyz("ready")
	if strings.Contains(b.metricsText(), `part="mail"`) {
		t.Error("the metrics of the removed part remain")
	}
	b.wantNotices()
}

// If a reload removes a part, the notices about it end.
func TestParts_RemovedByReloadAfterANotice(t *testing.T) {
	b := newBench(t, Part{Name: "mail", Check: func(time.Time) error { return errRefused }})
	b.pass(0)
	b.pass(noticeDelay)
	b.wantNotices("mail")
	b.parts, b.sendErr = nil, errors.New("database unavailable")
	b.pass(time.Second)
	b.wantReadyz("ready")
	b.sendErr = nil
	for range 3 {
		b.pass(noticeRetry)
		b.wantNotices("mail", "+mail")
	}
}
