package detect

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// linkCorrelations compiles the correlations. A correlation over other
// correlations is compiled after them.
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
					l.refuse(d, parseErrorf(d.value.line, "the correlation refers to itself, directly or through other correlations"))
				}
			}
			break
		}
	}
	l.connectFeeds()
}

func (l *loader) dependsOnPending(d *document, pending map[*Rule]*document) bool {
	for _, name := range d.value.get("correlation").strs("rules") {
		if r, err := l.ruleNamed(d, name, 0); err == nil && pending[r] != nil {
			return true
		}
	}
	return false
}

// connectFeeds adds each correlation that is on to the feeds of its rules. A rule
// becomes silent unless one of its correlations has generate: true.
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
		return parseErrorf(v.line, "the type of the correlation is missing (event_count, value_count, temporal or temporal_ordered)")
	default:
		return parseErrorf(v.get("type").line, "correlation type %q is not supported, only event_count, value_count, temporal and temporal_ordered are", c.Type)
	}
	for _, name := range v.strs("rules") {
		r, err := l.ruleNamed(d, name, v.get("rules").line)
		if err != nil {
			return err
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
	if err := c.readAliases(d, v.get("aliases")); err != nil {
		return err
	}
	if err := c.readCondition(v); err != nil {
		return err
	}
	for _, alias := range slices.Sorted(maps.Keys(c.aliases)) {
		for _, r := range c.Rules {
			if c.fieldFor(alias, r) == alias {
				l.warn(d, "the alias %q has no field for the rule %q, and the alias itself is used as the field", alias, r.ID)
			}
		}
		if !slices.Contains(c.GroupBy, alias) && !slices.Contains(c.Values, alias) {
			l.warn(d, "the alias %q is not used", alias)
		}
	}
	d.rule.Correlation = c
	return nil
}

// correlationKeys are the keys that a correlation may have.
var correlationKeys = []string{"type", "rules", "group-by", "timespan", "condition", "aliases", "generate"}

// checkKeys rejects unknown and misplaced keys. A misspelt group-by must not put
// all events into one group.
func checkKeys(document, correlation *value) error {
	for i, key := range correlation.keys {
		if !slices.Contains(correlationKeys, key) {
			return parseErrorf(correlation.items[i].line, "unknown key %q in the correlation (known keys: %s)", key, strings.Join(correlationKeys, ", "))
		}
	}
	for i, key := range document.keys {
		if slices.Contains(correlationKeys[1:], key) {
			return parseErrorf(document.items[i].line, "%s must be under correlation", key)
		}
	}
	if g := correlation.get("generate"); g != nil && g.text != "true" && g.text != "false" {
		return parseErrorf(g.line, "generate must be true or false")
	}
	return nil
}

// readTimespan reads a timespan such as 90s. The units are s, m, h, d and w, and
// the maximum is 365 days.
func readTimespan(v *value) (time.Duration, error) {
	text := v.str("timespan")
	if text == "" {
		return 0, parseErrorf(v.line, "the timespan is missing")
	}
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}
	unit := units[text[len(text)-1]]
	n, err := strconv.Atoi(text[:len(text)-1])
	if err != nil || unit == 0 || n <= 0 || n > int(365*24*time.Hour/unit) {
		return 0, parseErrorf(v.get("timespan").line, "the timespan %q must be a whole number with the unit s, m, h, d or w, and at most one year", text)
	}
	return time.Duration(n) * unit, nil
}

// readAliases reads the fields that an alias stands for, by the id of the rule.
func (c *Correlation) readAliases(d *document, v *value) error {
	if v == nil {
		return nil
	}
	c.aliases = map[string]map[string]string{}
	for i, alias := range v.keys {
		fields := map[string]string{}
		for j, name := range v.items[i].keys {
			field, rules := v.items[i].items[j], rulesNamed(c.Rules, d.file, name)
			switch {
			case len(rules) == 0:
				return parseErrorf(field.line, "the alias %q names %q, which the correlation does not list under rules", alias, name)
			case len(rules) > 1:
				return parseErrorf(field.line, "the alias %q names %d rules with %q. Write the id of one of them", alias, len(rules), name)
			case field.kind != isText || field.text == "":
				return parseErrorf(field.line, "the alias %q needs the name of a field for %q", alias, name)
			case fields[rules[0].ID] != "":
				return parseErrorf(field.line, "the alias %q names the rule %q twice", alias, name)
			}
			fields[rules[0].ID] = field.text
		}
		if len(fields) == 0 {
			return parseErrorf(v.items[i].line, "the alias %q needs a field for each rule", alias)
		}
		c.aliases[alias] = fields
	}
	return nil
}

// MaxCount is the largest bound of a condition. It limits the size of a [Window].
const MaxCount = 10_000

// readCondition reads the bounds and fields of the condition. Without a condition,
// a temporal correlation requires all its rules.
func (c *Correlation) readCondition(v *value) error {
	cond := v.get("condition")
	temporal := strings.HasPrefix(c.Type, "temporal")
	if cond == nil || cond.kind == isNull {
		if !temporal {
			return parseErrorf(v.line, "the condition of the correlation is missing, for example {gte: 10}")
		}
		c.MinCount = len(c.Rules)
		return nil
	}
	if cond.kind != isMap {
		return parseErrorf(cond.line, "the condition of a correlation must be a map such as {gte: 10}")
	}
	if c.Type == "temporal_ordered" {
		return parseErrorf(cond.line, "temporal_ordered takes no condition, because all its rules must match in order")
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
			return parseErrorf(e.line, "neq is not supported, because it would match the first event (use gt or gte)")
		default:
			return parseErrorf(e.line, "unknown condition %q (known: gt, gte, lt, lte, eq and field)", key)
		}
	}
	switch {
	case c.MinCount < 1:
		return parseErrorf(cond.line, "the condition has no lower bound above zero (gt, gte or eq) and would match immediately")
	case c.MaxCount != 0 && c.MaxCount < c.MinCount:
		return parseErrorf(cond.line, "the condition can never match, because its upper bound is below its lower bound")
	case c.Type == "value_count" && len(c.Values) == 0:
		return parseErrorf(cond.line, "value_count needs condition.field")
	case c.Type != "value_count" && len(c.Values) > 0:
		return parseErrorf(cond.line, "%s takes no condition.field, only value_count does", c.Type)
	case temporal && c.MinCount > len(c.Rules):
		return parseErrorf(cond.line, "the condition needs more rules than the correlation has (%d)", len(c.Rules))
	}
	return nil
}
