package telemetry

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"tocsin/bot/health"
	"tocsin/bot/incident"
)

// Part is an optional part of the bot. The bot serves without it, with a loss that
// people must know.
type Part struct {
	Name string // in /readyz, metrics and notices
	// System is the subject of the cause if an adapter does not explain an error. The
	// default is "the " and Name.
	System string
	// Check returns why the part does not work now. It runs every second, so it must
	// return at once. It may be nil.
	Check func(now time.Time) error
	// Probe asks the part and changes nothing there. It may be nil.
	Probe    func(context.Context) error
	Interval time.Duration // time between two probes, a minute if zero
	// Repaired is called after a probe that succeeds after a failed one. It may be nil.
	Repaired func(context.Context)
	// Needs is another part without which this one does not work, or "". The notices about
	// that part cover this one.
	Needs string
	// IsCovered reports whether notices about other parts cover the present problem. other
	// returns the last problem of a part that does not work or has not settled, or nil.
	// IsCovered may be nil.
	IsCovered func(present *health.Problem, other func(part string) *health.Problem) bool
	// Way is how people are notified through this part, or "".
	Way  Way
	Step int // position of the escalation step of WayPager
	// Effect is what users lose while the part does not work, as a sentence without its
	// full stop.
	Effect string
	// IsCritical marks a part without which responders can miss an incident.
	IsCritical bool
	// WithoutNotice marks a part about which another notice exists.
	WithoutNotice bool
}

// Way is a way to notify people.
type Way string

// The ways, in the order of preference.
const (
	WayChat  Way = "chat"
	WayMail  Way = "mail"
	WayPager Way = "pager"
)

const (
	probeInterval = time.Minute
	// impairedInterval is the time between two probes of a part that does not work, if
	// the interval of the part is longer.
	impairedInterval = 15 * time.Second
	probeTimeout     = 20 * time.Second

	// settleTime is how long a part must work before its impairment is over. It is longer
	// than the pause between two attempts at an effect. A part that fails sooner has not
	// recovered. This prevents a notice about each change.
	settleTime = 6 * time.Minute
	// outageTime is how long a failure counts although another operation succeeded later.
	// Each failure is visible for this long if only some operations fail.
	outageTime = 30 * time.Second
	// repeatTime is outageTime if only a probe or request succeeded, because it covers
	// less than the operation. An effect is repeated sooner.
	repeatTime = 10 * time.Minute
)

// Operations in [Parts.Report] that are not kinds of effects.
const (
	OpProbe   = "probe"
	OpRequest = "request" // any request, at the level of HTTP
	opCheck   = "check"
	opNeeds   = "needs"
)

// Parts holds the states of the optional parts. Adapters report the results of their
// calls, and [Readiness.Watch] runs the checks and probes. It is safe for concurrent
// use.
type Parts struct {
	list    func() []Part // of the current configuration
	clock   func() time.Time
	metrics *Metrics
	probes  sync.WaitGroup

	mu     sync.Mutex
	states map[string]*partState
}

// partState is the state of one part.
type partState struct {
	failures  map[string]failure // last results by operation
	lastProbe time.Time
	nextProbe time.Time
	isProbing bool
	episode   *episode // nil if the part works
}

// failure is the last result of an operation.
type failure struct {
	problem *health.Problem
	first   time.Time // of the failures without a success between them
	last    time.Time
}

// lastsAfter returns how long a failure counts although another operation succeeded.
func lastsAfter(operation string) time.Duration {
	if operation == OpProbe || operation == OpRequest {
		return repeatTime
	}
	return outageTime
}

// NewParts returns the states of the parts that list returns. It is called every second.
func NewParts(list func() []Part, clock func() time.Time, m *Metrics) *Parts {
	return &Parts{list: list, clock: clock, metrics: m, states: map[string]*partState{}}
}

// Report records the result of an operation of a part. A success repairs the failures of
// the operation, and older failures of others, except refusals. An interruption, and a pause that the bot
// takes to stay below a limit, are not results.
func (p *Parts) Report(part, system, operation string, err error) {
	var wait *incident.RetryAfter
	if errors.Is(err, context.Canceled) || errors.As(err, &wait) && wait.Queued {
		return
	}
	p.report(part, operation, health.Explain(system, err))
}

// report records the result of an operation, nil for a success.
func (p *Parts) report(part, operation string, problem *health.Problem) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, s := p.clock(), p.state(part)
	if problem != nil {
		f := failure{problem, now, now}
		if before, ok := s.failures[operation]; ok {
			f.first = before.first
		}
		if !problem.Since.IsZero() {
			f.first = problem.Since
		}
		s.failures[operation] = f
		return
	}
	delete(s.failures, operation)
	if operation != opCheck {
		maps.DeleteFunc(s.failures, func(failed string, f failure) bool {
			return failed != opCheck && failed != OpProbe && !f.isRefusal() && now.Sub(f.last) >= lastsAfter(operation)
		})
	}
	p.metrics.partWorked.WithLabelValues(part).Set(float64(now.Unix()))
}

// Forget removes the failure of an operation that is not needed any more. A refusal
// remains, because the system would refuse the operation again.
func (p *Parts) Forget(part, operation string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.state(part); !s.failures[operation].isRefusal() {
		delete(s.failures, operation)
	}
}

// ForgetRefusals removes all refusals, because a new configuration can have repaired
// their causes.
func (p *Parts) ForgetRefusals() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.states {
		maps.DeleteFunc(s.failures, func(_ string, f failure) bool { return f.isRefusal() })
		s.nextProbe = time.Time{}
	}
}

// Accept removes the refusals of a part, because its system accepted the credential that it
// refused. The refused operation itself may not be needed any more.
func (p *Parts) Accept(part string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.state(part).failures, func(_ string, f failure) bool { return f.isRefusal() })
}

func (f failure) isRefusal() bool { return f.problem != nil && f.problem.IsRefusal }

// state returns the state of a part. The caller holds mu.
func (p *Parts) state(part string) *partState {
	s := p.states[part]
	if s == nil {
		s = &partState{failures: map[string]failure{}}
		p.states[part] = s
	}
	return s
}

// update runs the checks, starts the probes that are due and returns the parts that do
// not work or have not settled, sorted by name.
func (p *Parts) update(ctx context.Context) []partReport {
	now, parts := p.clock(), slices.Clone(p.list())
	slices.SortFunc(parts, func(a, b Part) int { return cmp.Compare(a.Name, b.Name) })
	for _, part := range parts {
		if part.Check != nil {
			p.Report(part.Name, part.system(), opCheck, part.Check(now))
		}
		p.probe(ctx, part, now)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.forget(parts, now)
	for _, part := range parts {
		p.derive(part)
	}
	for _, part := range parts {
		s := p.state(part.Name)
		ended := s.advance(now)
		p.setMetrics(part.Name, s)
		if s.episode != nil {
			out = append(out, partReport{part, s.episode, ended})
		}
	}
	return out
}

// derive adds the failure of the part that a part needs. The caller holds mu.
func (p *Parts) derive(part Part) {
	if part.Needs == "" {
		return
	}
	s := p.state(part.Name)
	if _, last := p.state(part.Needs).summary(); last != nil {
		s.failures[opNeeds] = *last
		return
	}
	if _, before := s.failures[opNeeds]; before { // failures from that time have the same cause
		clear(s.failures)
		s.nextProbe = time.Time{}
	}
}

// partReport is a part that does not work, or that has not settled. ended reports that
// the impairment is over. It repeats until [Parts.end].
type partReport struct {
	Part
	*episode
	ended bool
}

// forget removes parts that the configuration no longer has. It returns those about which
// people have a notice, because the notice must end. The caller holds mu.
func (p *Parts) forget(parts []Part, now time.Time) (ended []partReport) {
	for name, s := range p.states {
		if slices.ContainsFunc(parts, func(one Part) bool { return one.Name == name }) {
			continue
		}
		p.metrics.degraded.DeleteLabelValues(name)
		p.metrics.degradedSince.DeleteLabelValues(name)
		p.metrics.partWorked.DeleteLabelValues(name)
		if e := s.episode; e != nil && e.isNotified {
			e.works = cmp.Or(e.works, now)
			e.problem = &health.Problem{Cause: "The configuration no longer has this part", Fix: "Do nothing"}
			ended = append(ended, partReport{Part{Name: name}, e, true})
			continue
		}
		delete(p.states, name)
	}
	return ended
}

// summary returns when the first failure began, and the last one. It returns nil if there
// is none.
func (s *partState) summary() (since time.Time, last *failure) {
	for _, op := range slices.Sorted(maps.Keys(s.failures)) {
		f := s.failures[op]
		if last == nil || f.last.After(last.last) {
			last = &f
		}
		if since.IsZero() || f.first.Before(since) {
			since = f.first
		}
	}
	return since, last
}

// setMetrics sets the metrics of a part. The caller holds mu.
func (p *Parts) setMetrics(part string, s *partState) {
	degraded, since := 0.0, 0.0
	if s.episode != nil && s.episode.works.IsZero() {
		degraded, since = 1, float64(s.episode.since.Unix())
	}
	p.metrics.degraded.WithLabelValues(part).Set(degraded)
	p.metrics.degradedSince.WithLabelValues(part).Set(since)
}

// ways returns the parts that notify people and work.
func (p *Parts) ways() []Part {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []Part
	for _, part := range p.list() {
		if s := p.states[part.Name]; part.Way != "" && (s == nil || len(s.failures) == 0) {
			out = append(out, part)
		}
	}
	return out
}

// wait blocks until all probes have ended.
func (p *Parts) wait() { p.probes.Wait() }

func (p Part) system() string { return cmp.Or(p.System, "the "+p.Name) }
