package detect

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// Correlation is a rule about several events.
type Correlation struct {
	Type     string // event_count, value_count, temporal, temporal_ordered
	Rules    []*Rule
	GroupBy  []string
	Timespan time.Duration
	MinCount int      // fires from here
	MaxCount int      // up to here; 0 for no bound
	Values   []string // value_count: the fields whose values are told apart
	// Lateness is how long after newer events of its group an event still counts.
	Lateness time.Duration

	generate bool
	aliases  map[string]map[string]string // alias, rule id or name, field
}

// DefaultLateness covers what CloudTrail delivers late when it is in trouble.
const DefaultLateness = 24 * time.Hour

// feed is the place of a rule in a correlation.
type feed struct {
	to    *Rule
	index int
}

// Observation is what a hit means to one group of a correlation.
type Observation struct {
	Correlation *Rule
	Group       []GroupValue
	Key         string // tells groups of this correlation apart; made of digests, holds no text
	Event       string // the record's eventID, or a digest of it
	At          time.Time
	RuleIndex   int    // which of the correlation's rules
	Value       string // value_count: a digest of the values
}

// GroupValue is a field of group-by and the text it has in an event.
type GroupValue struct {
	Field  string `json:"field"`
	Value  string `json:"value"`
	Absent bool   `json:"absent,omitempty"`
}

// Firing is a correlation that came true for a group.
type Firing struct {
	Correlation *Rule
	Group       []GroupValue
	From, To    time.Time // of the contributing events
	Events      []string  // their ids, in the order of time
}

// Observe calls each with what a hit means to the correlations that count it.
// An event without a time of its own counts at the time it arrived.
func (h Hit) Observe(arrived time.Time, each func(Observation)) {
	for _, f := range h.Rule.feeds {
		if o, ok := f.observe(h, arrived); ok {
			each(o)
		}
	}
}

// observe is not ok for an event that lacks the values to be counted.
func (f feed) observe(h Hit, arrived time.Time) (Observation, bool) {
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
	var values []string
	for _, field := range c.Values {
		text, found := h.Record.Lookup(c.fieldFor(field, h.Rule))
		if !found {
			return o, false
		}
		values = append(values, text)
	}
	o.setDigests(values)
	return o, true
}

// Observe is what the firing means to the correlations that are built on it.
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
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:16])
}

// fieldFor is the field that stands for a common name in the events of a rule.
func (c *Correlation) fieldFor(field string, r *Rule) string {
	for _, key := range []string{r.ID, r.Name} {
		if f := c.aliases[field][key]; f != "" {
			return f
		}
	}
	return field
}
