package telemetry

import (
	"time"

	"tocsin/bot/health"
)

// episode is an impairment, with interruptions that are shorter than settleTime.
type episode struct {
	since      time.Time
	problem    *health.Problem // the last one
	works      time.Time       // since when the part works again, zero while it does not
	worked     time.Duration   // total of the interruptions that are over
	isDerived  bool            // a part that this one needs does not work either
	nextNotice time.Time       // zero before the first attempt
	retryAt    time.Time       // after an attempt that failed
	isLogged   bool
	isNotified bool
	noWay      int // attempts at the last notice, at least noticeRetry apart, for which no way worked
}

func (e *episode) isMute() bool { return e.noWay > 1 }

// advance updates the episode and reports whether it has ended.
func (s *partState) advance(now time.Time) (ended bool) {
	since, last := s.summary()
	if last == nil {
		if s.episode == nil {
			return false
		}
		if s.episode.works.IsZero() {
			s.episode.works = now
		}
		return now.Sub(s.episode.works) >= settleTime
	}
	if s.episode == nil {
		s.episode = &episode{since: since}
	}
	if works := s.episode.works; !works.IsZero() {
		s.episode.worked += now.Sub(works)
	}
	_, s.episode.isDerived = s.failures[opNeeds]
	s.episode.problem, s.episode.works = last.problem, time.Time{}
	return false
}

// Restore continues an impairment from before a restart, about which people have a
// notice. Call it before [Readiness.Watch].
func (p *Parts) Restore(part string, since time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state(part).episode = &episode{since: since, isLogged: true, isNotified: true, nextNotice: p.clock().Add(noticeInterval),
		problem: &health.Problem{Cause: "Tocsin was restarted while the part did not work", Fix: "Wait for the next check"}}
}

// setNotified records that people were notified about a part.
func (p *Parts) setNotified(part string, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.state(part).episode; e != nil {
		e.nextNotice, e.isNotified, e.noWay = now.Add(noticeInterval), true, 0
	}
}

// setUnsent records that a notice about a part could not be sent. noWay reports that no
// way to notify people works.
func (p *Parts) setUnsent(part string, now time.Time, noWay bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.state(part).episode
	if e == nil {
		return
	}
	e.retryAt = now.Add(noticeRetry)
	if noWay {
		e.noWay++
	} else {
		e.noWay = 0
	}
}

// end forgets an impairment that is over.
func (p *Parts) end(part string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state(part).episode = nil
}

// isMute reports whether people should know about a part, but no way to notify them
// works. One attempt does not show it, because a way that failed a second ago is not tried.
func (p *Parts) isMute() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.states {
		if s.episode != nil && s.episode.isMute() && s.episode.works.IsZero() {
			return true
		}
	}
	return false
}
