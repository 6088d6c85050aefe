package response

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tocsin/bot/incident"
)

func TestPaging_EscalatesStepByStep(t *testing.T) {
	fx := newFixture(t, nil)
	id := fx.open(t, incident.Sev3)
	for range 4 {
		fx.runQueue(t)
		fx.now = fx.now.Add(testPolicy.EscalateAfter)
	}
	want := []string{"page 1/0", "page 1/1", "page 1/2", "page 2/0"}
	if got := fx.pageCalls(); !slices.Equal(got, want) {
		t.Fatalf("got pages %v, want %v", got, want)
	}
	fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbAcknowledge})
	for range 5 {
		fx.runQueue(t)
		fx.now = fx.now.Add(testPolicy.EscalateAfter)
	}
	if got := fx.pageCalls(); !slices.Equal(got, want) {
		t.Errorf("got pages %v after the acknowledgement", got)
	}
	if n := countOf(fx.calls, "page_ack"); n != 4 {
		t.Errorf("got %d acknowledged pages, want 4", n)
	}
}

func (fx *fixture) pageCalls() []string {
	return slices.DeleteFunc(slices.Clone(fx.calls), func(c string) bool { return !strings.HasPrefix(c, "page ") })
}

func TestPaging_FailurePagesNextStep(t *testing.T) {
	for name, err := range map[string]error{"down": errUnavailable, "busy": &incident.RetryAfter{After: time.Minute, Err: errUnavailable}, "blocked": &incident.Blocked{Err: errUnavailable}, "rejected": &incident.Permanent{Err: errUnavailable}} {
		t.Run(name, func(t *testing.T) {
			failing := true
			fx := newFixture(t, func(o *Options) {
				succeed := o.Pages[0]
				o.Pages[0] = func(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
					if failing {
						return incident.Command{}, err
					}
					return succeed(ctx, b, e)
				}
			})
			id := fx.open(t, incident.Sev3)
			for range 3 { // repeated failures are recorded once
				if fx.store.isPending(incident.EffectPage, "0") {
					_ = fx.Perform(context.Background(), fx.store.start(fx.store.findPage(incident.EffectPage, "0")))
				}
			}
			if n := countOf(fx.eventKinds(id), incident.EventPageFailed); n != 1 {
				t.Errorf("got %d page_failed events, want 1", n)
			}
			if err := fx.Perform(context.Background(), fx.store.start(fx.store.findPage(incident.EffectPage, "1"))); err != nil {
				t.Fatal(err)
			}
			if got := fx.pageCalls(); !slices.Equal(got, []string{"page 1/1"}) {
				t.Errorf("got pages %v, want page 1/1", got)
			}
			failing = false
			if name != "rejected" {
				fx.now = fx.now.Add(2 * time.Minute)
				fx.runQueue(t)
				if got := fx.pageCalls(); !slices.Equal(got, []string{"page 1/1", "page 1/0"}) {
					t.Errorf("got pages %v, want the failed page again", got)
				}
			}
		})
	}
}

func (m *memory) findPage(kind incident.EffectKind, step string) int64 {
	for _, e := range m.effects {
		if e.Kind == kind && e.Args["escalation_step"] == step {
			return e.ID
		}
	}
	return 0
}

func (m *memory) isPending(kind incident.EffectKind, step string) bool {
	id := m.findPage(kind, step)
	return id != 0 && !m.effects[id-1].done
}

func TestPaging_TimeoutPagesNextStep(t *testing.T) {
	fx := newFixture(t, func(o *Options) {
		o.PageTimeout = time.Nanosecond
		o.Pages[0] = func(ctx context.Context, _ incident.Brief, _ incident.Effect) (incident.Command, error) {
			<-ctx.Done()
			return incident.Command{}, ctx.Err()
		}
	})
	id := fx.open(t, incident.Sev3)
	if err := fx.Perform(context.Background(), fx.store.start(fx.store.findPage(incident.EffectPage, "0"))); err != nil {
		t.Error(err)
	}
	if waits, _ := fx.store.WaitingEffects(WaitingQuery{Incident: id}); len(waits) != 1 {
		t.Errorf("got waiting effects %+v, want the page", waits)
	}
	if fx.store.incidents[id].Paging.EscalationStep != 1 || fx.store.findPage(incident.EffectPage, "1") == 0 {
		t.Errorf("next step was not paged: %+v", fx.store.incidents[id].Paging)
	}
}

func TestPaging_AcknowledgesLatePage(t *testing.T) {
	var fx *fixture
	var id incident.ID
	fx = newFixture(t, func(o *Options) {
		o.Pages[0] = func(context.Context, incident.Brief, incident.Effect) (incident.Command, error) {
			fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbAcknowledge}) // during the page call
			fx.runKind(t, incident.EffectPageAck)
			return incident.Command{}, nil
		}
	})
	id = fx.open(t, incident.Sev3)
	fx.runQueue(t)
	if n := countOf(fx.calls, "page_ack"); n != 2 {
		t.Errorf("got %d acknowledgements at the pager, want one after the page too", n)
	}
}

// TestPaging_WithdrawsWherePaged replaces the escalation steps after the page. The page
// ends at the target that got it, in every round.
func TestPaging_WithdrawsWherePaged(t *testing.T) {
	var ended []string
	withdraw := func(target []byte) Handler {
		return func(_ context.Context, _ incident.Brief, e incident.Effect) (incident.Command, error) {
			ended = append(ended, fmt.Sprintf("%s %s %s/%s", e.Kind, target, e.Args["round"], e.Args["escalation_step"]))
			return incident.Command{}, nil
		}
	}
	fx := newFixture(t, func(o *Options) {
		o.Targets, o.Withdraw = [][]byte{[]byte("old0"), []byte("old1"), []byte("old2")}, withdraw
	})
	id := fx.open(t, incident.Sev3)
	fx.runQueue(t)
	fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbAcknowledge})
	fx.runQueue(t)
	fx.Desk.Targets = [][]byte{[]byte("new")}
	fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbPageAgain, Text: "more help"})
	fx.runQueue(t)
	fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbAcknowledge})
	fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbResolve, Text: "over"})
	fx.runQueue(t)
	slices.Sort(ended)
	want := "page_ack new 2/0,page_ack old0 1/0,page_ack old0 1/0,page_resolve new 2/0,page_resolve old0 1/0"
	if got := strings.Join(ended, ","); got != want || countOf(fx.calls, "page_ack") != 0 {
		t.Errorf("got %s\nwant %s, and no call of the handlers without a target", got, want)
	}
}

// A page of an earlier version has no target: the pagers of the configuration end it.
func TestPaging_WithdrawsPageOfEarlierVersion(t *testing.T) {
	fx := newFixture(t, func(o *Options) {
		o.Withdraw = func([]byte) Handler { panic("unexpected target") }
	})
	id := fx.open(t, incident.Sev3)
	fx.runQueue(t)
	inc := fx.store.incidents[id]
	inc.Pages = nil
	fx.store.incidents[id] = inc
	fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbAcknowledge})
	fx.runQueue(t)
	if n := countOf(fx.calls, "page_ack"); n != 1 {
		t.Errorf("got %d acknowledgements, want 1", n)
	}
}

// TestPaging_WithdrawsPageWithoutAnswer acknowledges an incident while its page is being
// sent. The pager may have got the page although its answer was lost, or although the
// process ended before the commit.
func TestPaging_WithdrawsPageWithoutAnswer(t *testing.T) {
	for name, crash := range map[string]bool{"the answer is lost": false, "the process ends": true} {
		t.Run(name, func(t *testing.T) {
			var fx *fixture
			var id incident.ID
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			fx = newFixture(t, func(o *Options) {
				o.Pages[0] = func(context.Context, incident.Brief, incident.Effect) (incident.Command, error) {
					fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbAcknowledge})
					fx.runKind(t, incident.EffectPageAck)
					if crash {
						cancel()
					}
					return incident.Command{}, errors.New("connection reset")
				}
			})
			id = fx.open(t, incident.Sev3)
			err := fx.Perform(ctx, fx.store.start(fx.store.findPage(incident.EffectPage, "0")))
			if (err != nil) != crash {
				t.Fatalf("got error %v", err)
			}
			fx.runQueue(t)
			if n := countOf(fx.calls, "page_ack"); n != 2 {
				t.Errorf("got %d acknowledgements at the pager, want one after the page too", n)
			}
		})
	}
}

// runKind performs the due effects of one kind.
func (fx *fixture) runKind(t *testing.T, kind incident.EffectKind) {
	t.Helper()
	for _, id := range fx.store.runnable(fx.now) {
		if fx.store.effects[id-1].Kind == kind {
			if err := fx.Perform(context.Background(), fx.store.start(id)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestPaging_RestartsAfterAckTimeout(t *testing.T) {
	fx := newFixture(t, nil)
	id := fx.open(t, incident.Sev2)
	fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbAcknowledge})
	fx.runQueue(t)
	fx.now = fx.now.Add(20 * time.Minute)
	fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbNote, Text: "on it"})
	fx.now = fx.now.Add(20 * time.Minute)
	fx.runQueue(t)
	if !fx.store.incidents[id].Paging.Acknowledged() {
		t.Fatal("acknowledgement timed out despite activity")
	}
	fx.now = fx.now.Add(10 * time.Minute)
	fx.runQueue(t)
	if inc := fx.store.incidents[id]; inc.Paging.Acknowledged() || inc.Paging.Round != 2 || countOf(fx.calls, "page 2/0") != 1 {
		t.Errorf("paging did not restart after 30 min without activity: %+v", inc.Paging)
	}
}

// With random orders, delays, failures and crashes, no page starts while the
// incident is acknowledged, and a page is sent whenever it is not.
func TestPaging_Property(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &pagingRun{t: t}
		p.fx = newFixture(t, func(o *Options) {
			for step := range o.Pages {
				o.Pages[step] = p.page
			}
		})
		severity := rapid.SampledFrom(incident.Severities()).Draw(t, "severity")
		p.id = p.fx.open(t, severity)
		for range rapid.IntRange(5, 60).Draw(t, "steps") {
			p.step()
		}
		p.checkHistory()
		p.checkLiveness()
	})
}

// pagingRun is one random run.
type pagingRun struct {
	t       *rapid.T
	fx      *fixture
	id      incident.ID
	arrived int  // pages that were sent
	healthy bool // nothing fails any more
}

// page is the handler of every step. It fails, succeeds, succeeds before a crash,
// or a person acts during the call.
func (p *pagingRun) page(_ context.Context, _ incident.Brief, e incident.Effect) (incident.Command, error) {
	inc := p.fx.store.incidents[p.id]
	if !inc.NeedsPage() || fmt.Sprint(inc.Paging.Round) != e.Args["round"] {
		p.t.Fatalf("sent a page of round %s that is not needed: %+v", e.Args["round"], inc.Paging)
	}
	if p.healthy {
		p.arrived++
		return incident.Command{}, nil
	}
	switch rapid.SampledFrom([]string{"sent", "sent", "crash", "down", "busy", "rejected", "overtaken"}).Draw(p.t, "the page") {
	case "down":
		return incident.Command{}, errUnavailable
	case "busy":
		return incident.Command{}, &incident.RetryAfter{After: time.Minute, Err: errUnavailable}
	case "rejected":
		return incident.Command{}, &incident.Permanent{Err: errUnavailable}
	case "crash":
		p.fx.store.crash = 1
	case "overtaken":
		p.actAsPerson()
	}
	p.arrived++
	return incident.Command{}, nil
}

// step lets a person act, time pass, or a job run.
func (p *pagingRun) step() {
	switch rapid.SampledFrom([]string{"job", "job", "job", "person", "time", "crash"}).Draw(p.t, "step") {
	case "person":
		p.actAsPerson()
	case "time":
		minutes := rapid.SampledFrom([]int{1, 4, 6, 31}).Draw(p.t, "minutes")
		p.fx.now = p.fx.now.Add(time.Duration(minutes) * time.Minute)
	case "crash": // at the first or the second commit of the next attempt
		p.fx.store.crash = rapid.IntRange(1, 2).Draw(p.t, "at commit")
		p.runJob()
		p.fx.store.crash = 0
	case "job":
		p.runJob()
	}
}

func (p *pagingRun) runJob() {
	due := slices.DeleteFunc(p.fx.store.runnable(p.fx.now), func(id int64) bool { return !p.fx.store.effects[id-1].Urgent })
	if len(due) == 0 {
		return
	}
	job := p.fx.store.start(rapid.SampledFrom(due).Draw(p.t, "job"))
	_ = p.fx.Perform(context.Background(), job) // errors are retried
}

func (p *pagingRun) actAsPerson() {
	cmd := rapid.SampledFrom([]incident.Command{
		{Verb: incident.VerbAcknowledge}, {Verb: incident.VerbAcknowledge}, {Verb: incident.VerbNote, Text: "x"},
		{Verb: incident.VerbSetSeverity, Severity: incident.Sev1, Text: "worse"}, {Verb: incident.VerbSetSeverity, Severity: incident.Sev3, Text: "better"},
		{Verb: incident.VerbContain, Text: "x"}, {Verb: incident.VerbResolve, Text: "x"}, {Verb: incident.VerbReopen, Text: "x"},
	}).Draw(p.t, "command")
	cmd.For, cmd.Via = p.id, incident.ViaSlack
	cmd.By = slackIdentity(rapid.SampledFrom([]string{"p1", "p2", "p3", "p5"}).Draw(p.t, "person"))
	_, err := p.fx.Do(context.Background(), cmd)
	if err != nil && incident.CodeOf(err) == "" && !errors.Is(err, errCrash) {
		p.t.Fatalf("%s: %v", cmd.Verb, err)
	}
}

// checkHistory checks the timeline: no page started while the incident was
// acknowledged.
func (p *pagingRun) checkHistory() {
	inc := incident.New(p.id)
	for _, e := range p.fx.store.events[p.id] {
		if e.Kind == incident.EventPageStarted && (!inc.NeedsPage() || e.Field("round") != fmt.Sprint(inc.Paging.Round)) {
			p.t.Fatalf("page %s/%s started at event %d, acknowledged by %q", e.Field("round"), e.Field("escalation_step"), e.Seq, inc.Paging.AcknowledgedBy)
		}
		inc = incident.Apply(inc, e)
	}
}

// checkLiveness makes everything succeed and checks that paging continues if
// needed. Every step of the present round may have been discarded, but all of the
// next round are paged.
func (p *pagingRun) checkLiveness() {
	p.healthy, p.fx.store.crash, p.arrived = true, 0, 0
	for range 3 * testPolicy.EscalationSteps {
		for due := p.fx.store.runnable(p.fx.now); len(due) > 0; due = p.fx.store.runnable(p.fx.now) {
			if err := p.fx.Perform(context.Background(), p.fx.store.start(due[0])); err != nil {
				p.t.Fatalf("perform a healthy effect: %v", err)
			}
		}
		p.fx.now = p.fx.now.Add(testPolicy.EscalateAfter)
	}
	if inc := p.fx.store.incidents[p.id]; inc.NeedsPage() && p.arrived < testPolicy.EscalationSteps {
		p.t.Fatalf("got %d pages without an acknowledgement: %+v", p.arrived, inc.Paging)
	}
}

// TestPaging_FailureIsExplained requires the timeline and the list of waiting effects to
// have the explanation for people, and the log to have the error.
func TestPaging_FailureIsExplained(t *testing.T) {
	var log bytes.Buffer
	fx := newFixture(t, func(o *Options) {
		o.Pages[0] = func(context.Context, incident.Brief, incident.Effect) (incident.Command, error) {
			return incident.Command{}, fmt.Errorf("post to 10.0.0.7: %w", io.EOF)
		}
		o.SystemOf = func(incident.Effect) string { return incident.SystemPagerDuty }
		o.Explain = func(system string, _ error) (cause, fix string) {
			return system + " closes the connection", "Check the network"
		}
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
	})
	id := fx.open(t, incident.Sev3)
	_ = fx.Perform(context.Background(), fx.store.start(fx.store.findPage(incident.EffectPage, "0")))
	var reason string
	for _, e := range fx.store.events[id] {
		if e.Kind == incident.EventPageFailed {
			reason = e.Text("reason")
		}
	}
	if want := "pagerduty closes the connection. Check the network"; reason != want {
		t.Errorf("got reason %q, want %q", reason, want)
	}
	waits, err := fx.store.WaitingEffects(WaitingQuery{Incident: id})
	if err != nil || len(waits) != 1 || waits[0].Cause != "pagerduty closes the connection" || waits[0].Fix != "Check the network" {
		t.Errorf("got waiting effects %+v, %v", waits, err)
	}
	if !strings.Contains(log.String(), "post to 10.0.0.7: EOF") {
		t.Errorf("got log %s, want the error", &log)
	}
}
