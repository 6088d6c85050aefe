package response

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tocsin/bot/incident"
)

func TestPagesGoRouteByRoute(t *testing.T) {
	w := newWorld(t, nil)
	id := w.open(t, incident.Sev3)
	for range 4 {
		w.settle(t)
		w.now = w.now.Add(policy.EscalateAfter)
	}
	want := []string{"page 1/0", "page 1/1", "page 1/2", "page 2/0"}
	if got := w.pages(); !slices.Equal(got, want) {
		t.Fatalf("paged %v, want %v", got, want)
	}
	w.say(t, "p1", incident.Command{For: id, Verb: incident.VerbAcknowledge})
	for range 5 {
		w.settle(t)
		w.now = w.now.Add(policy.EscalateAfter)
	}
	if got := w.pages(); !slices.Equal(got, want) {
		t.Errorf("paged on after the acknowledgement: %v", got)
	}
	if n := count(w.calls, "page_ack"); n != 2 {
		t.Errorf("%d rounds were silenced", n)
	}
}

func (w *world) pages() []string {
	return slices.DeleteFunc(slices.Clone(w.calls), func(c string) bool { return !strings.HasPrefix(c, "page ") })
}

func TestAFailedPageGoesByTheNextRouteAtOnce(t *testing.T) {
	for name, err := range map[string]error{"down": errDown, "busy": &incident.RetryAfter{After: time.Hour, Err: errDown}, "refused": &incident.Permanent{Err: errDown}} {
		t.Run(name, func(t *testing.T) {
			down := true
			w := newWorld(t, func(o *Options) {
				works := o.Pages[0]
				o.Pages[0] = func(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
					if down {
						return incident.Command{}, err
					}
					return works(ctx, b, e)
				}
			})
			id := w.open(t, incident.Sev3)
			for range 3 { // tried on, but said once
				if w.store.pending(incident.EffectPage, "0") {
					_ = w.Perform(context.Background(), w.store.start(w.store.find(incident.EffectPage, "0")))
				}
			}
			if n := count(w.kinds(id), incident.EventPageFailed); n != 1 {
				t.Errorf("said %d times that the page failed", n)
			}
			if err := w.Perform(context.Background(), w.store.start(w.store.find(incident.EffectPage, "1"))); err != nil {
				t.Fatal(err)
			}
			if got := w.pages(); !slices.Equal(got, []string{"page 1/1"}) {
				t.Errorf("paged %v", got)
			}
			down = false
			if name != "refused" {
				w.settle(t)
				if got := w.pages(); !slices.Contains(got, "page 1/0") {
					t.Errorf("the failed route was not tried on: %v", got)
				}
			}
		})
	}
}

func (m *memory) find(kind incident.EffectKind, route string) int64 {
	for _, e := range m.effects {
		if e.Kind == kind && e.Args["escalation_step"] == route {
			return e.ID
		}
	}
	return 0
}

func (m *memory) pending(kind incident.EffectKind, route string) bool {
	id := m.find(kind, route)
	return id != 0 && !m.effects[id-1].done
}

func TestASilentPagerDoesNotHoldUpTheNextRoute(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.PageTimeout = time.Nanosecond
		o.Pages[0] = func(ctx context.Context, _ incident.Brief, _ incident.Effect) (incident.Command, error) {
			<-ctx.Done()
			return incident.Command{}, ctx.Err()
		}
	})
	id := w.open(t, incident.Sev3)
	if err := w.Perform(context.Background(), w.store.start(w.store.find(incident.EffectPage, "0"))); err == nil {
		t.Error("the silent route is not tried again")
	}
	if w.store.incidents[id].Paging.EscalationStep != 1 || w.store.find(incident.EffectPage, "1") == 0 {
		t.Errorf("the next route does not go: %+v", w.store.incidents[id].Paging)
	}
}

func TestALatePageIsSilenced(t *testing.T) {
	var w *world
	var id incident.ID
	w = newWorld(t, func(o *Options) {
		o.Pages[0] = func(context.Context, incident.Brief, incident.Effect) (incident.Command, error) {
			w.say(t, "p1", incident.Command{For: id, Verb: incident.VerbAcknowledge}) // while the page is on its way
			w.settleKind(t, incident.EffectPageAck)
			return incident.Command{}, nil
		}
	})
	id = w.open(t, incident.Sev3)
	w.settle(t)
	if n := count(w.calls, "page_ack"); n != 2 {
		t.Errorf("the pager was told %d times; the page came after the first", n)
	}
}

// settleKind performs what is due of one kind.
func (w *world) settleKind(t *testing.T, kind incident.EffectKind) {
	t.Helper()
	for _, id := range w.store.runnable(w.now) {
		if w.store.effects[id-1].Kind == kind {
			if err := w.Perform(context.Background(), w.store.start(id)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestASilentCommanderLosesIt(t *testing.T) {
	w := newWorld(t, nil)
	id := w.open(t, incident.Sev2)
	w.say(t, "p1", incident.Command{For: id, Verb: incident.VerbAcknowledge})
	w.settle(t)
	w.now = w.now.Add(20 * time.Minute)
	w.say(t, "p1", incident.Command{For: id, Verb: incident.VerbNote, Text: "on it"})
	w.now = w.now.Add(20 * time.Minute)
	w.settle(t)
	if !w.store.incidents[id].Paging.Acknowledged() {
		t.Fatal("a sign of life did not put it off")
	}
	w.now = w.now.Add(10 * time.Minute)
	w.settle(t)
	if inc := w.store.incidents[id]; inc.Paging.Acknowledged() || inc.Paging.Round != 2 || count(w.calls, "page 2/0") != 1 {
		t.Errorf("nobody was paged after 30 silent minutes: %+v", inc.Paging)
	}
}

// TestPagingHolds throws random orders, delays, failures and restarts at one
// incident. No page may start while somebody holds it, and whenever nobody
// does, a page goes out.
func TestPagingHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &pagingRun{t: t}
		p.w = newWorld(t, func(o *Options) {
			for route := range o.Pages {
				o.Pages[route] = p.page
			}
		})
		severity := rapid.SampledFrom(incident.Severities()).Draw(t, "severity")
		p.id = p.w.open(t, severity)
		for range rapid.IntRange(5, 60).Draw(t, "steps") {
			p.step()
		}
		p.history()
		p.liveness()
	})
}

// pagingRun is one random life.
type pagingRun struct {
	t    *rapid.T
	w    *world
	id   incident.ID
	rang int  // pages that arrived
	calm bool // nothing fails any more
}

// page is every route's handler: it fails, lands, lands and dies, or somebody
// acts while it is on its way.
func (p *pagingRun) page(_ context.Context, _ incident.Brief, e incident.Effect) (incident.Command, error) {
	inc := p.w.store.incidents[p.id]
	if !inc.NeedsPage() || fmt.Sprint(inc.Paging.Round) != e.Args["round"] {
		p.t.Fatalf("a page of round %s goes out that nobody owes: %+v", e.Args["round"], inc.Paging)
	}
	if p.calm {
		p.rang++
		return incident.Command{}, nil
	}
	switch rapid.SampledFrom([]string{"lands", "lands", "dies", "down", "busy", "refused", "overtaken"}).Draw(p.t, "the page") {
	case "down":
		return incident.Command{}, errDown
	case "busy":
		return incident.Command{}, &incident.RetryAfter{After: time.Minute, Err: errDown}
	case "refused":
		return incident.Command{}, &incident.Permanent{Err: errDown}
	case "dies":
		p.w.store.crash = 1
	case "overtaken":
		p.act()
	}
	p.rang++
	return incident.Command{}, nil
}

// step lets a person act, time pass, or the queue start something.
func (p *pagingRun) step() {
	switch rapid.SampledFrom([]string{"job", "job", "job", "person", "time", "crash"}).Draw(p.t, "step") {
	case "person":
		p.act()
	case "time":
		minutes := rapid.SampledFrom([]int{1, 4, 6, 31}).Draw(p.t, "minutes")
		p.w.now = p.w.now.Add(time.Duration(minutes) * time.Minute)
	case "crash": // at the first or the second commit of the next attempt
		p.w.store.crash = rapid.IntRange(1, 2).Draw(p.t, "at commit")
		p.job()
		p.w.store.crash = 0
	case "job":
		p.job()
	}
}

func (p *pagingRun) job() {
	due := slices.DeleteFunc(p.w.store.runnable(p.w.now), func(id int64) bool { return !p.w.store.effects[id-1].Urgent })
	if len(due) == 0 {
		return
	}
	job := p.w.store.start(rapid.SampledFrom(due).Draw(p.t, "job"))
	_ = p.w.Perform(context.Background(), job) // an error is tried again
}

func (p *pagingRun) act() {
	cmd := rapid.SampledFrom([]incident.Command{
		{Verb: incident.VerbAcknowledge}, {Verb: incident.VerbAcknowledge}, {Verb: incident.VerbNote, Text: "x"},
		{Verb: incident.VerbSetSeverity, Severity: incident.Sev1, Text: "worse"}, {Verb: incident.VerbSetSeverity, Severity: incident.Sev3, Text: "better"},
		{Verb: incident.VerbContain, Text: "x"}, {Verb: incident.VerbResolve, Text: "x"}, {Verb: incident.VerbReopen, Text: "x"},
	}).Draw(p.t, "command")
	cmd.For, cmd.Via = p.id, incident.ViaSlack
	cmd.By = slack(rapid.SampledFrom([]string{"p1", "p2", "p3", "p5"}).Draw(p.t, "person"))
	_, err := p.w.Do(context.Background(), cmd)
	if err != nil && incident.CodeOf(err) == "" && !errors.Is(err, errCrash) {
		p.t.Fatalf("%s: %v", cmd.Verb, err)
	}
}

// history replays the timeline: no page started while somebody held it.
func (p *pagingRun) history() {
	inc := incident.New(p.id)
	for _, e := range p.w.store.events[p.id] {
		if e.Kind == incident.EventPageStarted && (!inc.NeedsPage() || e.Field("round") != fmt.Sprint(inc.Paging.Round)) {
			p.t.Fatalf("page %s/%s started at event %d while %q had it", e.Field("round"), e.Field("escalation_step"), e.Seq, inc.Paging.AcknowledgedBy)
		}
		inc = incident.Apply(inc, e)
	}
}

// liveness lets everything work again: while nobody has it, it rings and rings.
// Every route of the present round may have refused for good; from the next one
// on each rings in its turn.
func (p *pagingRun) liveness() {
	p.calm, p.w.store.crash, p.rang = true, 0, 0
	for range 3 * policy.EscalationSteps {
		for due := p.w.store.runnable(p.w.now); len(due) > 0; due = p.w.store.runnable(p.w.now) {
			if err := p.w.Perform(context.Background(), p.w.store.start(due[0])); err != nil {
				p.t.Fatalf("with everything well again: %v", err)
			}
		}
		p.w.now = p.w.now.Add(policy.EscalateAfter)
	}
	if inc := p.w.store.incidents[p.id]; inc.NeedsPage() && p.rang < policy.EscalationSteps {
		p.t.Fatalf("nobody has it, and it rang %d times: %+v", p.rang, inc.Paging)
	}
}
