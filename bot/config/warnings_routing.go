package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"tocsin/bot/incident"
	"tocsin/bot/response"
	"tocsin/bot/setting"
)

// levels are the levels of alerts, the most severe first.
var levels = []string{string(incident.LevelCritical), string(incident.LevelHigh), string(incident.LevelMedium), string(incident.LevelLow), string(incident.LevelInformational)}

// translated holds words of senders that many people expect as a level. Every adapter
// translates them in this way.
var translated = map[string]incident.Level{"fatal": incident.LevelCritical, "error": incident.LevelHigh, "warning": incident.LevelMedium, "warn": incident.LevelMedium,
	"info": incident.LevelLow, "debug": incident.LevelInformational}

// given returns what the alerts of each source can contain.
func (s Sources) given() []response.Given {
	var out []response.Given
	for _, one := range s.All() {
		out = append(out, one.given())
	}
	return out
}

// given returns what the alerts of the source can contain.
func (s Source) given() response.Given {
	g := response.Given{Source: cmp.Or(s.Alerts.Source, s.Name), Kinds: s.Alerts.Kinds, Levels: levels}
	if len(s.Alerts.Levels) > 0 {
		g.Levels = nil
		for _, l := range s.Alerts.Levels {
			g.Levels = append(g.Levels, string(l))
		}
	}
	return g
}

// reportSource is the source of the reports that people send, from any system.
const reportSource = "report"

// warnReports warns if a report of a person opens no incident. A person waits for an
// answer, and watched alerts wait for nobody.
func (c Config) warnReports(p *setting.Problems) {
	levels := map[int][]string{}
	for _, one := range c.Sources.On() {
		g := one.given()
		if g.Source != reportSource {
			continue
		}
		for n, unopened := range response.FindUnopened(c.Routing, g) {
			levels[n] = append(levels[n], unopened...)
		}
	}
	for n, unopened := range levels {
		slices.Sort(unopened)
		p.Add(setting.Index("routing", n), "opens no incident for the reports that people send with the level %s, so nobody sees them. Add a rule above it: when: source == \"report\", open: sev4", strings.Join(slices.Compact(unopened), ", "))
	}
}

func (c Config) warnRouting(p *setting.Problems) {
	if !slices.ContainsFunc(c.Routing, func(r response.Rule) bool { return r.Open != "" }) {
		p.Add("routing", "opens no incident: no rule has open. Add open: sev3 to a rule, or incidents open only by command")
	} else if !slices.ContainsFunc(c.Routing, c.pages) {
		p.Add("routing", "sends no page: no rule opens an incident that is more severe than escalation.no_page_from (%s). Correct either value", c.Escalation.NoPageFrom)
	}
	for n, r := range c.Routing {
		c.warnSourcesOf(setting.Index("routing", n)+".when", r, p)
	}
	c.warnReports(p)
	given := c.Sources.given()
	for _, n := range response.FindNever(c.Routing, given) {
		key := setting.Index("routing", n.Rule) + ".when"
		switch {
		case len(n.Otherwise) > 0:
			p.Add(key, "%s", c.describeMismatch(n.Otherwise[0], given))
		case n.Shadowed:
			p.Add(key, "never decides, because earlier rules match each of its alerts. Move the rule up, or remove it")
		default:
			p.Add(key, "can never be true: no alert has these values together. Compare the sources, kinds and levels with docs/sources.md, and correct the condition")
		}
	}
	for n, r := range c.Routing {
		key := setting.Index("routing", n) + ".when"
		if response.OrdersLevels(r.When) {
			p.Add(key, "compares levels by the alphabet, where critical is before high. List them: level in [\"critical\", \"high\"]")
		}
	}
}

// pages reports whether incidents that a rule opens page people.
func (c Config) pages(r response.Rule) bool {
	return r.Open != "" && (c.Escalation.NoPageFrom == "" || string(r.Open) < c.Escalation.NoPageFrom)
}

// warnSourcesOf warns about rules for a source that is off, or whose alerts have another
// source.
func (c Config) warnSourcesOf(key string, r response.Rule, p *setting.Problems) {
	on := c.Sources.On()
	for _, name := range response.ComparedSources(r.When) {
		gives := func(s Source) bool { return cmp.Or(s.Alerts.Source, s.Name) == name }
		if slices.ContainsFunc(on, gives) {
			continue
		}
		for _, s := range c.Sources.All() {
			switch {
			case s.Name == name && !gives(s):
				p.Add(key, "names the source %q, but its alerts have the source %q. Write source == %q", name, s.Alerts.Source, s.Alerts.Source)
			case s.Name == name:
				p.Add(key, "names the source %q, which is off because %s has no secret. Configure the source, or remove the rule", name, s.Key)
			}
		}
	}
}

// describeMismatch returns why no alert has a value, and the values that alerts have.
func (c Config) describeMismatch(m response.Mismatch, given []response.Given) string {
	var known []string
	for _, g := range given {
		if m.Field == "level" {
			known = append(known, g.Levels...)
		} else {
			known = append(known, g.Kinds...)
		}
	}
	slices.Sort(known)
	known = slices.Compact(known)
	text := fmt.Sprintf("compares %s with %q, which no alert has. ", m.Field, m.Text)
	if level, ok := translated[strings.ToLower(m.Text)]; ok && m.Field == "level" {
		return text + fmt.Sprintf("Tocsin translates it: write %q (fatal: critical, error: high, warning: medium, info: low, debug: informational)", level)
	}
	if near := incident.Nearest(strings.ToLower(m.Text), known); near != "" {
		return text + fmt.Sprintf("Did you mean %q?", near)
	}
	if m.Field == "level" {
		known = levels
	}
	return text + "Use one of " + strings.Join(known, ", ")
}
