package detect

import (
	"cmp"
	"slices"
	"time"
)

// Window is the state of one group of a correlation: a plain value that encodes
// as JSON. Whoever marks a record as handled keeps the windows that it advanced
// in the same transaction, and nothing is counted twice or lost. Its size is
// bounded; it holds ids and digests, no texts.
type Window struct {
	Seen    []Seen `json:"seen,omitempty"` // in the order of time
	Fired   []Span `json:"fired,omitempty"`
	Newest  int64  `json:"newest"`            // Unix milliseconds, as all times here
	Late    int    `json:"late,omitempty"`    // events that came too late to count
	Dropped int    `json:"dropped,omitempty"` // events that made room for newer ones
}

// Seen is an event that may still contribute.
type Seen struct {
	At        int64  `json:"at"`
	Event     string `json:"event"`
	RuleIndex int    `json:"which,omitempty"`
	Value     string `json:"value,omitempty"`
}

// Span is the time of a firing, during which nothing fires again.
type Span struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// maxFired is how many firings a window remembers for events that come late.
const maxFired = 64

// capacity is how many events a window holds.
func (c *Correlation) capacity() int { return max(256, 2*c.MinCount+2*c.MaxCount) }

// Advance takes an observation into a window and reports whether the
// correlation fires. It leaves the given window as it is.
func (c *Correlation) Advance(w Window, o Observation) (Window, *Firing) {
	at, span := o.At.UnixMilli(), c.Timespan.Milliseconds()
	for _, f := range w.Fired {
		if f.From <= at && at <= f.To {
			return w, nil // it belongs to what was told already
		}
	}
	if at < w.Newest-span-c.Lateness.Milliseconds() && w.Newest != 0 {
		w.Late++
		return w, nil
	}
	for _, s := range w.Seen {
		if s.Event == o.Event && (s.RuleIndex == o.RuleIndex || !c.temporal()) {
			return w, nil // delivered again
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
	return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.RuleIndex, b.RuleIndex), cmp.Compare(a.Event, b.Event))
}

func (c *Correlation) temporal() bool { return c.Type == "temporal" || c.Type == "temporal_ordered" }

// findMatch looks for a stretch of the timespan's length, with an event of that time
// in it, for which the condition is true.
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

// measure is what the condition is about.
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

// distinctKey is what tells contributions apart.
func (c *Correlation) distinctKey(s Seen) any {
	if c.temporal() {
		return s.RuleIndex
	}
	return s.Value
}

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

// prune forgets what can no longer contribute, and keeps the window small.
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

// thin leaves out an event that stands between two of its kind no further
// apart than the timespan: whatever stretch it is in, one of them is in too.
func (c *Correlation) thin(seen []Seen) []Seen {
	span := c.Timespan.Milliseconds()
	kept := seen[:0:0]
	last := map[any][2]int{} // the kept places of the last two of a kind, plus one
	gone := map[int]bool{}
	for i, s := range seen {
		k := c.distinctKey(s)
		l := last[k]
		if l[0] > 0 && l[1] > 0 && s.At-seen[l[0]-1].At <= span {
			gone[l[1]-1] = true
			last[k] = [2]int{l[0], i + 1}
			continue
		}
		last[k] = [2]int{l[1], i + 1}
	}
	if len(gone) == 0 {
		return seen
	}
	for i, s := range seen {
		if !gone[i] {
			kept = append(kept, s)
		}
	}
	return kept
}

// Expired reports whether nothing that can still arrive needs the window.
func (c *Correlation) Expired(w Window, now time.Time) bool {
	return w.Newest < now.Add(-c.Timespan-c.Lateness).UnixMilli()
}

// Tracker keeps the windows of a run in memory.
type Tracker struct {
	windows map[string]Window
	// Forgotten counts windows that were given up because there were too many groups.
	Forgotten int
}

// MaxGroups is how many groups a Tracker holds.
const MaxGroups = 100_000

// Take advances the windows that a hit concerns and calls fired for each
// correlation that comes true, and for those built on it.
func (t *Tracker) Take(h Hit, arrived time.Time, fired func(Firing)) {
	h.Observe(arrived, func(o Observation) { t.advance(o, fired) })
}

func (t *Tracker) advance(o Observation, fired func(Firing)) {
	if t.windows == nil {
		t.windows = map[string]Window{}
	}
	w, known := t.windows[o.Key]
	if !known && len(t.windows) >= MaxGroups {
		for key := range t.windows { // any
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
