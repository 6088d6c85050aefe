package incident

import "time"

// RegimeGDPR is the name of the GDPR in the fact aware.
const RegimeGDPR = "gdpr"

// gdprNotice is how long a controller has to notify the supervisory authority after it
// became aware of a breach (GDPR 33(1)). These are clock hours, also on weekends.
const gdprNotice = 72 * time.Hour

// ReportingClock is the deadline for the report of a breach of personal data under the
// GDPR. It exists from the first suspicion on.
type ReportingClock struct {
	Aware time.Time // of the fact aware, zero while nobody set it
	Due   time.Time // zero while nobody set the fact aware
	// Processor is set if the company processes the data for others only. Then there is no
	// number of hours: the company notifies them without undue delay.
	Processor bool
}

// Overdue reports whether the deadline has passed.
func (c ReportingClock) Overdue(now time.Time) bool { return !c.Due.IsZero() && now.After(c.Due) }

// ReportingClock returns the deadline for the report of a breach, and false if personal
// data is neither suspected nor confirmed and nobody stated an awareness.
func (i Incident) ReportingClock() (ReportingClock, bool) {
	aware, known := i.Facts.Aware[RegimeGDPR]
	p := i.Facts.PersonalData
	if !known && p != PersonalSuspected && p != PersonalConfirmed || p == PersonalNo {
		return ReportingClock{}, false
	}
	c := ReportingClock{Processor: len(i.Facts.Affected) > 0}
	for _, a := range i.Facts.Affected {
		c.Processor = c.Processor && a.Capacity == Processor
	}
	if known {
		c.Aware = aware.At
		if !c.Processor {
			c.Due = aware.At.Add(gdprNotice)
		}
	}
	return c, true
}
