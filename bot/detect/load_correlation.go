package detect

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// linkCorrelations compiles the correlations. Those that build on others come
// after them.
func (l *loader) linkCorrelations() {
	pending := map[*Rule]*document{}
	for _, d := range l.correlations {
		if err := l.register(d.rule); err != nil {
			l.refuse(d, err)
			continue
		}
		pending[d.rule] = d
	}
	for len(pending) > 0 {
		before := len(pending)
		for _, d := range l.correlations {
			if pending[d.rule] == nil || l.dependsOnPending(d, pending) {
				continue
			}
			delete(pending, d.rule)
			if err := l.compileCorrelation(d); err != nil {
				l.unregister(d.rule)
				l.refuse(d, err)
				continue
			}
			l.rules = append(l.rules, d.rule)
		}
		if len(pending) == before {
			for _, d := range l.correlations {
				if pending[d.rule] != nil {
					l.refuse(d, parseErrorf(d.value.line, "the correlation builds on itself"))
				}
			}
			break
		}
	}
	l.connectFeeds()
}

func (l *loader) dependsOnPending(d *document, pending map[*Rule]*document) bool {
	for _, name := range d.value.get("correlation").strs("rules") {
		if r := l.known[name]; r != nil && pending[r] != nil {
			return true
		}
	}
	return false
}

func (l *loader) unregister(r *Rule) {
	for _, key := range []string{r.ID, r.Name} {
		if l.known[key] == r {
			delete(l.known, key)
		}
	}
}

// connectFeeds tells the rules of the correlations that are on whom they feed, and
// silences those that only feed.
func (l *loader) connectFeeds() {
	loud := map[*Rule]bool{}
	for _, r := range l.rules {
		c := r.Correlation
		if c == nil || l.offReason(r) != "" {
			continue
		}
		for i, fed := range c.Rules {
			fed.feeds = append(fed.feeds, feed{to: r, index: i})
			fed.Silent = true
			loud[fed] = loud[fed] || c.generate
		}
	}
	for r := range loud {
		r.Silent = !loud[r]
	}
}

func (l *loader) compileCorrelation(d *document) error {
	v := d.value.get("correlation")
	if v.kind != isMap {
		return parseErrorf(v.line, "the correlation must be a map")
	}
	if err := checkKeys(d.value, v); err != nil {
		return err
	}
	c := &Correlation{Type: v.str("type"), GroupBy: v.strs("group-by"), generate: v.str("generate") == "true", Lateness: l.options.Lateness}
	if c.Lateness == 0 {
		c.Lateness = DefaultLateness
	}
	switch c.Type {
	case "event_count", "value_count", "temporal", "temporal_ordered":
	case "":
		return parseErrorf(v.line, "the type of the correlation is missing")
	default:
		return parseErrorf(v.get("type").line, "correlations of type %q are not supported; there are event_count, value_count, temporal and temporal_ordered", c.Type)
	}
	for _, name := range v.strs("rules") {
		r := l.known[name]
		if r == nil {
			return parseErrorf(v.get("rules").line, "the correlation names the rule %q, which is not loaded", name)
		}
		if slices.Contains(c.Rules, r) {
			return parseErrorf(v.get("rules").line, "the correlation names the rule %q twice", name)
		}
		c.Rules = append(c.Rules, r)
	}
	if len(c.Rules) == 0 {
		return parseErrorf(v.line, "the correlation names no rules")
	}
	var err error
	if c.Timespan, err = readTimespan(v); err != nil {
		return err
	}
	if err := c.readAliases(v.get("aliases")); err != nil {
		return err
	}
	if err := c.readCondition(v); err != nil {
		return err
	}
	for _, alias := range slices.Sorted(maps.Keys(c.aliases)) {
		for _, r := range c.Rules {
			if c.fieldFor(alias, r) == alias {
				l.warn(d, "the alias %q has no field for the rule %q, so a field of that name is looked for", alias, r.ID)
			}
		}
		if !slices.Contains(c.GroupBy, alias) && !slices.Contains(c.Values, alias) {
			l.warn(d, "the alias %q is not used", alias)
		}
	}
	d.rule.Correlation = c
	return nil
}

// correlationKeys are what a correlation may say.
var correlationKeys = []string{"type", "rules", "group-by", "timespan", "condition", "aliases", "generate"}

// checkKeys refuses what would have no effect where it stands: a misspelt
// group-by must not make one group of everything.
func checkKeys(document, correlation *value) error {
	for i, key := range correlation.keys {
		if !slices.Contains(correlationKeys, key) {
			return parseErrorf(correlation.items[i].line, "a correlation has no key %q; there are %s", key, strings.Join(correlationKeys, ", "))
		}
	}
	for i, key := range document.keys {
		if slices.Contains(correlationKeys[1:], key) {
			return parseErrorf(document.items[i].line, "%s belongs under correlation", key)
		}
	}
	if g := correlation.get("generate"); g != nil && g.text != "true" && g.text != "false" {
		return parseErrorf(g.line, "generate is true or false")
	}
	return nil
}

// readTimespan reads <n>s, m, h, d or w.
func readTimespan(v *value) (time.Duration, error) {
	text := v.str("timespan")
	if text == "" {
		return 0, parseErrorf(v.line, "the timespan is missing")
	}
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}
	unit := units[text[len(text)-1]]
	n, err := strconv.Atoi(text[:len(text)-1])
	if err != nil || unit == 0 || n <= 0 || n > int(365*24*time.Hour/unit) {
		return 0, parseErrorf(v.get("timespan").line, "the timespan %q is not a number of s, m, h, d or w within a year", text)
	}
	return time.Duration(n) * unit, nil
}

func (c *Correlation) readAliases(v *value) error {
	if v == nil {
		return nil
	}
	c.aliases = map[string]map[string]string{}
	for i, alias := range v.keys {
		fields := map[string]string{}
		for j, rule := range v.items[i].keys {
			field := v.items[i].items[j]
			switch {
			case !slices.ContainsFunc(c.Rules, func(r *Rule) bool { return r.listedIn([]string{rule}) }):
				return parseErrorf(field.line, "the alias %q names %q, which is none of the correlation's rules", alias, rule)
			case field.kind != isText || field.text == "":
				return parseErrorf(field.line, "the alias %q needs the name of a field for %q", alias, rule)
			}
			fields[rule] = field.text
		}
		if len(fields) == 0 {
			return parseErrorf(v.items[i].line, "the alias %q needs a field for each rule", alias)
		}
		c.aliases[alias] = fields
	}
	return nil
}

// MaxCount bounds what a condition may ask for, and so what a window holds.
const MaxCount = 10_000

// readCondition reads the condition.
func (c *Correlation) readCondition(v *value) error {
	cond := v.get("condition")
	temporal := strings.HasPrefix(c.Type, "temporal")
	if cond == nil || cond.kind == isNull {
		if !temporal {
			return parseErrorf(v.line, "the condition of the correlation is missing")
		}
		c.MinCount = len(c.Rules)
		return nil
	}
	if cond.kind != isMap {
		return parseErrorf(cond.line, "the condition of a correlation is a map such as {gte: 10}")
	}
	if c.Type == "temporal_ordered" {
		return parseErrorf(cond.line, "temporal_ordered takes no condition: all its rules must match, in their order")
	}
	for i, key := range cond.keys {
		e := cond.items[i]
		if key == "field" {
			c.Values = cond.strs("field")
			continue
		}
		n, err := strconv.Atoi(e.text)
		if err != nil || n < 0 || n > MaxCount {
			return parseErrorf(e.line, "%s needs a whole number up to %d, not %q", key, MaxCount, e.text)
		}
		switch key {
		case "gt":
			c.MinCount = n + 1
		case "gte":
			c.MinCount = n
		case "lt":
			c.MaxCount = n - 1
		case "lte":
			c.MaxCount = n
		case "eq":
			c.MinCount, c.MaxCount = n, n
		case "neq":
			return parseErrorf(e.line, "neq would hold with the first event; use gt or gte")
		default:
			return parseErrorf(e.line, "the condition %q is not known", key)
		}
	}
	switch {
	case c.MinCount < 1:
		return parseErrorf(cond.line, "the condition has no lower bound above zero (gt, gte or eq), so it would hold before anything is counted")
	case c.MaxCount != 0 && c.MaxCount < c.MinCount:
		return parseErrorf(cond.line, "the condition can never hold")
	case c.Type == "value_count" && len(c.Values) == 0:
		return parseErrorf(cond.line, "value_count needs condition.field")
	case c.Type != "value_count" && len(c.Values) > 0:
		return parseErrorf(cond.line, "%s takes no field", c.Type)
	case temporal && c.MinCount > len(c.Rules):
		return parseErrorf(cond.line, "the correlation has only %d rules", len(c.Rules))
	}
	return nil
}
