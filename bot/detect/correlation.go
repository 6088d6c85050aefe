package detect

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tocsin/bot/text"
)

// Correlation is the part of a [Rule] that counts the hits of other rules.
type Correlation struct {
	Type     string // event_count, value_count, temporal, temporal_ordered
	Rules    []*Rule
	GroupBy  []string
	Timespan time.Duration
	MinCount int      // smallest count that fires
	MaxCount int      // largest count that fires, or 0 for no limit
	Values   []string // fields with the distinct values that value_count counts
	// Lateness, plus the timespan, is how much older than the newest event of its
	// group an event may be to count.
	Lateness time.Duration

	generate bool
	aliases  map[string]map[string]string // fields by alias, then by rule id
}

// DefaultLateness covers delays of CloudTrail during AWS disruptions.
const DefaultLateness = 24 * time.Hour

// feed connects a rule to a correlation that counts its hits. index is the
// position of the rule in the correlation.
type feed struct {
	to    *Rule
	index int
}

// Observation is one event for a group of a correlation. [Correlation.Advance]
// adds it to the group's [Window].
type Observation struct {
	Correlation *Rule
	Group       []GroupValue
	Key         string // digest of the correlation and the group
	Event       string // the record's eventID, or a digest of the record
	At          time.Time
	RuleIndex   int    // position of the rule in Correlation.Rules
	Value       string // for value_count, a digest of one combination of values
}

// GroupValue is a group-by field and its text in an event.
type GroupValue struct {
	Field  string `json:"field"`
	Value  string `json:"value"`
	Absent bool   `json:"absent,omitempty"`
}

// Firing reports that the condition of a correlation became true for a group.
type Firing struct {
	Correlation *Rule
	Group       []GroupValue
	From, To    time.Time // of the first and last contributing event
	Events      []string  // IDs of the contributing events, in the order of time
}

// Observe calls each for each correlation that counts the hit, with one observation.
// For a value_count, it calls each with one observation per value, because a list
// has as many values as it has elements. It uses the time of arrival for a record
// without a valid time. A value_count correlation does not count a record that lacks
// one of its fields.
func (h Hit) Observe(arrived time.Time, each func(Observation)) {
	for _, f := range h.Rule.feeds {
		f.observe(h, arrived, each)
	}
}

func (f feed) observe(h Hit, arrived time.Time, each func(Observation)) {
	c := f.to.Correlation
	o := Observation{Correlation: f.to, RuleIndex: f.index, At: h.Record.Time(), Event: h.Record.EventID()}
	if o.At.IsZero() {
		o.At = arrived
	}
	if o.Event == "" {
		o.Event = digest(string(h.Record.Raw()))
	}
	for _, field := range c.GroupBy {
		text, found := h.Record.Lookup(c.fieldFor(field, h.Rule))
		o.Group = append(o.Group, GroupValue{Field: field, Value: text, Absent: !found})
	}
	for _, values := range c.tuples(h) {
		o.setDigests(values)
		each(o)
	}
}

// tuples returns the combinations of the values of the counted fields, or one empty
// combination if the correlation counts no fields. A window holds no more values
// than its capacity, so there are no more combinations than that.
func (c *Correlation) tuples(h Hit) [][]string {
	out := [][]string{nil}
	for _, field := range c.Values {
		values := h.Record.values(c.fieldFor(field, h.Rule), c.capacity())
		var longer [][]string
		for _, tuple := range out {
			for _, v := range values {
				if len(longer) < c.capacity() {
					longer = append(longer, append(slices.Clone(tuple), v))
				}
			}
		}
		out = longer
	}
	return out
}

// values returns the distinct texts of the values at a path, at most limit. Each
// element of a list is a value.
func (r *Record) values(path string, limit int) (out []string) {
	r = r.recordFor(path)
	seen := map[string]bool{}
	r.eachLeaf(r.root, path, func(n int32) bool {
		if text := string(r.textOf(n)); !seen[text] {
			seen[text] = true
			out = append(out, text)
		}
		return len(out) < limit
	})
	return out
}

// eachLeaf calls each with the values at a path that are not lists or null, until
// it returns false.
func (r *Record) eachLeaf(n int32, path string, each func(int32) bool) bool {
	nd := &r.nodes[n]
	switch {
	case nd.kind == kindArray:
		for c := n + 1; c < nd.next; c = r.nodes[c].next {
			if !r.eachLeaf(c, path, each) {
				return false
			}
		}
	case path == "":
		return nd.kind == kindNull || each(n)
	case nd.kind == kindObject:
		if child, used := r.member(n, path); child >= 0 {
			return r.eachLeaf(child, rest(path, used), each)
		}
	}
	return true
}

// Observe calls each with one observation per correlation that counts the firing.
// The values of its fields are taken from the group of the firing.
func (f Firing) Observe(each func(Observation)) {
	for _, to := range f.Correlation.feeds {
		o := Observation{Correlation: to.to, RuleIndex: to.index, At: f.To, Event: digest(strings.Join(f.Events, "\x00"))}
		lookup := func(field string) GroupValue {
			field = to.to.Correlation.fieldFor(field, f.Correlation)
			for _, g := range f.Group {
				if g.Field == field {
					return g
				}
			}
			return GroupValue{Absent: true}
		}
		for _, field := range to.to.Correlation.GroupBy {
			g := lookup(field)
			g.Field = field
			o.Group = append(o.Group, g)
		}
		var values []string
		for _, field := range to.to.Correlation.Values {
			values = append(values, lookup(field).Value)
		}
		o.setDigests(values)
		each(o)
	}
}

// setDigests computes Key from the group and Value from the values.
func (o *Observation) setDigests(values []string) {
	var b strings.Builder
	for _, g := range o.Group {
		fmt.Fprintf(&b, "%t\x00%d\x00%s", g.Absent, len(g.Value), g.Value)
	}
	o.Key = digest(o.Correlation.ID + "\x00" + b.String())
	if len(values) > 0 {
		o.Value = digest(strings.Join(values, "\x00"))
	}
}

func digest(s string) string {
	return text.SHA256(s)[:32]
}

// fieldFor returns the field of the rule's events that an alias stands for, or
// field itself if it is not an alias.
func (c *Correlation) fieldFor(field string, r *Rule) string {
	if f := c.aliases[field][r.ID]; f != "" {
		return f
	}
	return field
}
