package telemetry

import (
	"cmp"
	"context"
	"math/rand/v2"
	"time"
)

// probe starts the probe of a part if it is due. The interval varies by a fifth, which
// prevents that all parts and replicas probe at once.
func (p *Parts) probe(ctx context.Context, part Part, now time.Time) {
	if part.Probe == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.state(part.Name)
	interval := cmp.Or(part.Interval, probeInterval)
	if len(s.failures) > 0 {
		interval = min(interval, impairedInterval)
		if latest := now.Add(interval); s.nextProbe.After(latest) {
			s.nextProbe = latest
		}
	}
	if s.isProbing || now.Before(s.nextProbe) {
		return
	}
	s.isProbing = true
	s.lastProbe, s.nextProbe = now, now.Add(interval*4/5+rand.N(interval*2/5))
	p.probes.Go(func() {
		err := runProbe(ctx, part.Probe)
		p.mu.Lock()
		s.isProbing = false
		_, failed := s.failures[OpProbe]
		p.mu.Unlock()
		if ctx.Err() != nil {
			return
		}
		p.Report(part.Name, part.system(), OpProbe, err)
		if failed && err == nil && part.Repaired != nil {
			part.Repaired(ctx)
		}
	})
}

// ProbeSoon makes a probe of a part due, at most every impairedInterval. Call it after the
// system refused an operation: the probe shows whether it refuses all of them.
func (p *Parts) ProbeSoon(part string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.state(part)
	if soon := s.lastProbe.Add(impairedInterval); s.nextProbe.After(soon) {
		s.nextProbe = soon
	}
}

// runProbe calls a probe with a time limit.
func runProbe(ctx context.Context, probe func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	return probe(ctx)
}
