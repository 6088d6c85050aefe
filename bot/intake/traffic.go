package intake

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Undecodable is the cause of a delivery that was accepted but cannot be read, besides
// the outcomes of requests.
const Undecodable Outcome = "undecodable"

// Bounds of the refusals that impair a source. A stranger who tries a source that is
// otherwise silent must not impair it for long, so a burst of refusals counts for
// burstTime, and refusals over a longer time count for persistentTime.
const (
	refusalsOfSender = 3  // of one address
	refusalsOfAll    = 10 // of all addresses
	burstTime        = 10 * time.Minute
	persistentTime   = 24 * time.Hour
	refusalLogTime   = time.Minute // between two log lines about one cause
	maxCountedFrom   = 64          // addresses of one source that are counted
)

// Traffic records for each source what it delivered last, and which deliveries were
// refused and why. It is safe for concurrent use.
type Traffic struct {
	log   *slog.Logger
	start time.Time

	mu      sync.Mutex
	sources map[string]*sourceTraffic
}

// SourceTraffic is what one source sends.
type SourceTraffic struct {
	Name         string    `json:"name"`
	Since        time.Time `json:"since"` // when the counts began
	Accepted     int64     `json:"accepted"`
	LastAccepted time.Time `json:"last_accepted,omitzero"` // also from before Since
	AcceptedFrom string    `json:"accepted_from,omitempty"`
	// RefusedSince is the time of the first refusal after the last accepted delivery, or
	// zero.
	RefusedSince time.Time `json:"refused_since,omitzero"`
	Refusals     []Refusal `json:"refusals,omitempty"` // by cause, the last first
}

// Refusal counts the refused deliveries of one source with the same cause.
type Refusal struct {
	Cause   Outcome   `json:"cause"`
	Count   int64     `json:"count"`
	Last    time.Time `json:"last"`
	From    string    `json:"from"`    // address of the last sender
	Message string    `json:"message"` // what the last sender was told

	unlogged int64
	logged   time.Time
}

// sourceTraffic is the state of one source.
type sourceTraffic struct {
	SourceTraffic
	byCause map[Outcome]*Refusal
	from    map[string]int // refusals by address since the last accepted delivery
	refused int            // refusals since then
}

// NewTraffic returns a Traffic that counts from start on.
func NewTraffic(start time.Time, log *slog.Logger) *Traffic {
	return &Traffic{log: log.With("component", "intake"), start: start, sources: map[string]*sourceTraffic{}}
}

func (t *Traffic) source(name string) *sourceTraffic {
	s := t.sources[name]
	if s == nil {
		s = &sourceTraffic{SourceTraffic: SourceTraffic{Name: name, Since: t.start}, byCause: map[Outcome]*Refusal{}, from: map[string]int{}}
		t.sources[name] = s
	}
	return s
}

// Accept records a delivery that a source has stored.
func (t *Traffic) Accept(source, from string, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.source(source)
	s.Accepted++
	if at.After(s.LastAccepted) {
		s.LastAccepted, s.AcceptedFrom = at, from
	}
	s.RefusedSince, s.refused = time.Time{}, 0
	clear(s.from)
}

// Restore sets the last delivery before the start, which is not counted.
func (t *Traffic) Restore(source, from string, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.source(source); at.After(s.LastAccepted) {
		s.LastAccepted, s.AcceptedFrom = at, from
	}
}

// Refuse records a delivery that was refused or cannot be read. It logs the first one
// with its cause within a minute, and [Traffic.LogRefusals] logs the number of others.
func (t *Traffic) Refuse(source string, cause Outcome, from, message string, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.source(source)
	r := s.byCause[cause]
	if r == nil {
		r = &Refusal{Cause: cause}
		s.byCause[cause] = r
	}
	r.Count, r.unlogged, r.Last, r.From, r.Message = r.Count+1, r.unlogged+1, at, from, message
	if cause != Undecodable {
		if s.RefusedSince.IsZero() {
			s.RefusedSince = at
		}
		s.refused++
		if _, known := s.from[from]; known || len(s.from) < maxCountedFrom {
			s.from[from]++
		}
	}
	t.logRefusal(source, r, at)
}

// LogRefusals logs the refusals that are not logged yet, once a minute for each cause.
func (t *Traffic) LogRefusals(source string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.sources[source]; s != nil {
		for _, r := range s.byCause {
			t.logRefusal(source, r, now)
		}
	}
}

func (t *Traffic) logRefusal(source string, r *Refusal, now time.Time) {
	if r.unlogged == 0 || now.Sub(r.logged) < refusalLogTime {
		return
	}
	t.log.Warn("deliveries refused", "source", source, "cause", string(r.Cause), "deliveries", r.unlogged, "sender", r.From, "message", r.Message)
	r.unlogged, r.logged = 0, now
}

// Of returns what a source sends.
func (t *Traffic) Of(source string) SourceTraffic {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sources[source]
	if s == nil {
		return SourceTraffic{Name: source, Since: t.start}
	}
	out := s.SourceTraffic
	for _, r := range s.byCause {
		out.Refusals = append(out.Refusals, *r)
	}
	slices.SortFunc(out.Refusals, func(a, b Refusal) int {
		return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(a.Cause, b.Cause))
	})
	return out
}

// Refused returns the last refusal of a source that refuses all deliveries, and since
// when. It returns a zero time if the source works.
func (t *Traffic) Refused(source string, now time.Time) (last Refusal, since time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sources[source]
	if s == nil || s.RefusedSince.IsZero() {
		return Refusal{}, time.Time{}
	}
	most := 0
	for _, n := range s.from {
		most = max(most, n)
	}
	for cause, r := range s.byCause {
		if cause != Undecodable && r.Last.After(last.Last) {
			last = *r
		}
	}
	counts := burstTime
	if last.Last.Sub(s.RefusedSince) > burstTime {
		counts = persistentTime
	}
	if most < refusalsOfSender && s.refused < refusalsOfAll || now.Sub(last.Last) > counts {
		return Refusal{}, time.Time{}
	}
	last.Count = int64(s.refused)
	return last, s.RefusedSince
}

// SilentSince returns the time of the last delivery of a source that has been silent for
// longer than expected, or of the start if it never delivered. It returns a zero time if
// the source is not silent.
func (t *Traffic) SilentSince(source string, expected time.Duration, now time.Time) time.Time {
	if expected <= 0 {
		return time.Time{}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	last := t.start
	if s := t.sources[source]; s != nil && !s.LastAccepted.IsZero() {
		last = s.LastAccepted
	}
	if now.Sub(last) <= expected {
		return time.Time{}
	}
	return last
}

// refusalTexts name the causes of refusals for people, with the HTTP status.
var refusalTexts = map[Outcome]string{
	Refused:       "a missing or wrong credential or signature (401)",
	NetworkDenied: "the network of the sender is not allowed (403)",
	RateLimited:   "the rate limit of the source (429)",
	Malformed:     "a body that is incomplete, compressed or not of the protocol (400, 415)",
	TooLarge:      "a body above the limit of the source (413)",
	WrongMethod:   "a method other than POST (405)",
	Disabled:      "the source is off (404)",
	QueueFull:     "too many waiting deliveries (503)",
	Failed:        "verification or storage is unavailable (503)",
	Undecodable:   "no decoder reads it (202)",
}

// Text returns the cause of a refusal for people.
func (r Refusal) Text() string { return cmp.Or(refusalTexts[r.Cause], string(r.Cause)) }

// Fix returns what an administrator can do about a refusal of a source. key is the key of
// the source in the configuration and secret the one of its credential below it.
func (r Refusal) Fix(key, secret string) string {
	switch r.Cause {
	case Refused:
		return fmt.Sprintf("Set %s.%s to the credential of the sender and reload Tocsin, or set the sender to the credential of Tocsin. If you do not know the address, a stranger sent them", key, secret)
	case NetworkDenied:
		return fmt.Sprintf("Add the network of the sender to %s.limits.networks and restart Tocsin", key)
	case RateLimited:
		return fmt.Sprintf("Raise %s.limits.rate and restart Tocsin", key)
	case TooLarge:
		return fmt.Sprintf("Let the sender send less, or raise %s.limits.max_body and restart Tocsin", key)
	case WrongMethod:
		return "Set the method of the sender to POST"
	case Malformed:
		return "Let the sender send the whole body, uncompressed and without a change on the way"
	case QueueFull, Failed:
		return "Read the log, and check the database"
	}
	return "Run `tocsin sources` for the details"
}
