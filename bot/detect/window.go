package detect

import (
	"cmp"
	"slices"
	"time"
)

// Window is the state of one group of a correlation. It can be stored as JSON.
// Callers that mark a record as handled and store its windows in one transaction
// count each event exactly once. The size of a Window is limited. It contains IDs
// and digests, but no texts of records.
type Window struct {
	Seen    []Seen `json:"seen,omitempty"` // in the order of time
	Fired   []Span `json:"fired,omitempty"`
	Newest  int64  `json:"newest"`            // time of the newest event
	Late    int    `json:"late,omitempty"`    // events that were too late to count
	Dropped int    `json:"dropped,omitempty"` // events removed to limit the size
}

// Seen is an event that may still contribute to a firing. At is its time in Unix
// milliseconds, the unit of all times in a [Window].
type Seen struct {
	At        int64  `json:"at"`
	Event     string `json:"event"`
	RuleIndex int    `json:"rule_index,omitempty"`
	Value     string `json:"value,omitempty"`
}

// Span is the window of a firing. Events in it do not count again.
type Span struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// maxFired is the number of firings that a window stores. They prevent late events
// from counting again.
const maxFired = 64

// capacity returns the maximum number of events in a window.
func (c *Correlation) capacity() int { return max(256, 2*c.MinCount+2*c.MaxCount) }

// Advance adds an observation to a window. It returns the new window and, if the
// correlation fires, the firing. It does not modify w. An event that the window
// already contains with this value, or that lies in the window of a firing, changes nothing.
func (c *Correlation) Advance(w Window, o Observation) (Window, *Firing) {
	at, span := o.At.UnixMilli(), c.Timespan.Milliseconds()
	for _, f := range w.Fired {
		if f.From <= at && at <= f.To {
			return w, nil // part of an earlier firing
		}
	}
	if at < w.Newest-span-c.Lateness.Milliseconds() && w.Newest != 0 {
		w.Late++
		return w, nil
	}
	for _, s := range w.Seen {
		if s.Event == o.Event && (s.RuleIndex == o.RuleIndex || !c.temporal()) && s.Value == o.Value {
			return w, nil // duplicate
		}
	}
	seen := Seen{At: at, Event: o.Event, RuleIndex: o.RuleIndex, Value: o.Value}
	w.Seen, w.Fired = slices.Clone(w.Seen), slices.Clone(w.Fired)
	place, _ := slices.BinarySearchFunc(w.Seen, seen, earlier)
	w.Seen = slices.Insert(w.Seen, place, seen)
	w.Newest = max(w.Newest, at)
	if from, to, ok := c.findMatch(w.Seen, at); ok {
		return c.fire(w, from, to, o)
	}
	c.prune(&w)
	return w, nil
}

func earlier(a, b Seen) int {
	return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.RuleIndex, b.RuleIndex), cmp.Compare(a.Event, b.Event), cmp.Compare(a.Value, b.Value))
}

func (c *Correlation) temporal() bool { return c.Type == "temporal" || c.Type == "temporal_ordered" }

// findMatch returns the events seen[from:to] that lie within one timespan, include
// the time at, and satisfy the condition.
func (c *Correlation) findMatch(seen []Seen, at int64) (from, to int, ok bool) {
	span := c.Timespan.Milliseconds()
	for from = range seen {
		if seen[from].At < at-span {
			continue
		}
		if seen[from].At > at {
			break
		}
		to = from
		for to < len(seen) && seen[to].At <= seen[from].At+span {
			to++
		}
		if n := c.measure(seen[from:to]); n >= c.MinCount && (c.MaxCount == 0 || n <= c.MaxCount) {
			return from, to, true
		}
	}
	return 0, 0, false
}

// measure returns the number that the condition compares. It is the number of
// events, of distinct values or rules, or of rules that matched in order.
func (c *Correlation) measure(seen []Seen) int {
	switch c.Type {
	case "event_count":
		return len(seen)
	case "temporal_ordered":
		next := 0
		for _, s := range seen {
			if next < len(c.Rules) && s.RuleIndex == next {
				next++
			}
		}
		return next
	}
	distinct := map[any]struct{}{}
	for _, s := range seen {
		distinct[c.distinctKey(s)] = struct{}{}
	}
	return len(distinct)
}

// distinctKey returns the rule index or value that distinguishes events.
func (c *Correlation) distinctKey(s Seen) any {
	if c.temporal() {
		return s.RuleIndex
	}
	return s.Value
}

// fire removes the events w.Seen[from:to] from the window and returns their firing.
func (c *Correlation) fire(w Window, from, to int, o Observation) (Window, *Firing) {
	f := &Firing{
		Correlation: o.Correlation, Group: o.Group,
		From: time.UnixMilli(w.Seen[from].At).UTC(), To: time.UnixMilli(w.Seen[to-1].At).UTC(),
	}
	for _, s := range w.Seen[from:to] {
		if !slices.Contains(f.Events, s.Event) {
			f.Events = append(f.Events, s.Event)
		}
	}
	start := w.Seen[from].At
	w.Seen = slices.Delete(w.Seen, from, to)
	w.Fired = append(w.Fired, Span{start, start + c.Timespan.Milliseconds()})
	c.prune(&w)
	return w, f
}

// prune removes events and firings that are too old to matter, and limits the size
// of the window.
func (c *Correlation) prune(w *Window) {
	horizon := w.Newest - c.Timespan.Milliseconds() - c.Lateness.Milliseconds()
	w.Seen = slices.DeleteFunc(w.Seen, func(s Seen) bool { return s.At < horizon })
	w.Fired = slices.DeleteFunc(w.Fired, func(s Span) bool { return s.To < horizon })
	if n := len(w.Fired) - maxFired; n > 0 {
		w.Fired = slices.Delete(w.Fired, 0, n)
	}
	if c.Type == "value_count" || c.Type == "temporal" {
		w.Seen = c.thin(w.Seen)
	}
	if n := len(w.Seen) - c.capacity(); n > 0 {
		w.Seen = slices.Delete(w.Seen, 0, n)
		w.Dropped += n
	}
}

// thin removes each event that lies between two events with an equal distinctKey
// that are at most one timespan apart. Every timespan with the removed event also
// contains one of the two.
func (c *Correlation) thin(seen []Seen) []Seen {
	span := c.Timespan.Milliseconds()
	remaining := seen[:0:0]
	last := map[any][2]int{} // indexes plus one of the last two remaining events per key
	removed := map[int]bool{}
	for i, s := range seen {
		k := c.distinctKey(s)
		l := last[k]
		if l[0] > 0 && l[1] > 0 && s.At-seen[l[0]-1].At <= span {
			removed[l[1]-1] = true
			last[k] = [2]int{l[0], i + 1}
			continue
		}
		last[k] = [2]int{l[1], i + 1}
	}
	if len(removed) == 0 {
		return seen
	}
	for i, s := range seen {
		if !removed[i] {
			remaining = append(remaining, s)
		}
	}
	return remaining
}

// Expired reports whether the window can be deleted, because at the time now no
// event can arrive in time to count.
func (c *Correlation) Expired(w Window, now time.Time) bool {
	return w.Newest < now.Add(-c.Timespan-c.Lateness).UnixMilli()
}

// Tracker evaluates correlations in memory. The zero value is ready to use. It is
// not safe for concurrent use.
type Tracker struct {
	windows map[string]Window
	// Forgotten is the number of windows deleted to stay within [MaxGroups].
	Forgotten int
}

// MaxGroups is the maximum number of groups in a [Tracker].
const MaxGroups = 100_000

// Take adds a hit to the windows of the correlations that count it. It calls fired
// for each correlation that fires, including correlations over correlations.
func (t *Tracker) Take(h Hit, arrived time.Time, fired func(Firing)) {
	h.Observe(arrived, func(o Observation) { t.advance(o, fired) })
}

func (t *Tracker) advance(o Observation, fired func(Firing)) {
	if t.windows == nil {
		t.windows = map[string]Window{}
	}
	w, known := t.windows[o.Key]
	if !known && len(t.windows) >= MaxGroups {
		for key := range t.windows { // delete an arbitrary window
			delete(t.windows, key)
			t.Forgotten++
			break
		}
	}
	w, f := o.Correlation.Correlation.Advance(w, o)
	t.windows[o.Key] = w
	if f != nil {
		fired(*f)
		f.Observe(func(o Observation) { t.advance(o, fired) })
	}
}
