package config

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"tocsin/bot/alertmanager"
	"tocsin/bot/cloudtrail"
	"tocsin/bot/generic"
	"tocsin/bot/hackerone"
	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/pagerduty"
	"tocsin/bot/sentry"
	"tocsin/bot/setting"
	"tocsin/bot/sns"
	"tocsin/bot/trail"
	"tocsin/bot/vulnreport"
)

// Sources is the list of the systems that send alerts. A new source is one line
// here: everything else about it follows from its [intake.Registration]. A source
// without a secret is off.
type Sources struct {
	TrustedProxies []netip.Prefix `yaml:"trusted_proxies"`

	Sentry       sentry.Config          `yaml:"sentry"`
	CloudTrail   cloudtrail.Config      `yaml:"cloudtrail"`
	SNS          sns.Config             `yaml:"sns"`
	Trail        trail.Config           `yaml:"trail"`
	PagerDuty    pagerduty.SourceConfig `yaml:"pagerduty"`
	Alertmanager alertmanager.Config    `yaml:"alertmanager"`
	Generic      []generic.Config       `yaml:"generic"`
	HackerOne    hackerone.Config       `yaml:"hackerone"`
	Report       vulnreport.Config      `yaml:"report"`
}

// Source is a registered source with its key in the configuration.
type Source struct {
	Key string // such as sources.sentry or sources.generic[0]
	intake.Settings
	intake.Registration
}

// listed reports whether the source is an element of a list.
func (s Source) listed() bool { return strings.HasSuffix(s.Key, "]") }

// All returns all sources in the order of the struct, including those that are off.
// A list has one source for each element.
func (s Sources) All() []Source {
	var out []Source
	add := func(key string, v reflect.Value) {
		if settings, ok := v.Interface().(intake.Settings); ok {
			out = append(out, Source{key, settings, settings.Registration()})
		}
	}
	for _, f := range fieldsOf(reflect.TypeFor[Sources]()) {
		key, v := setting.Join("sources", f.name), reflect.ValueOf(s).FieldByIndex(f.index)
		add(key, v)
		if v.Kind() == reflect.Slice {
			for n := range v.Len() {
				add(setting.Index(key, n), v.Index(n))
			}
		}
	}
	return out
}

// kinds returns one source for each key, also for an empty list.
func kinds() []Source {
	var one Sources
	v := reflect.ValueOf(&one).Elem()
	for n := range v.NumField() {
		if f := v.Field(n); f.Kind() == reflect.Slice {
			f.Set(reflect.MakeSlice(f.Type(), 1, 1))
		}
	}
	return one.All()
}

// setDefaults sets the defaults of the sources that have any.
func (s *Sources) setDefaults() {
	v := reflect.ValueOf(s).Elem()
	for n := range v.NumField() {
		if to, ok := v.Field(n).Addr().Interface().(interface{ SetDefaults() }); ok {
			to.SetDefaults()
		}
	}
}

// On returns the configured sources. A source is also on if another one that is on
// feeds it.
func (s Sources) On() []Source {
	all := s.All()
	return slices.DeleteFunc(slices.Clone(all), func(one Source) bool {
		return !one.On && !slices.ContainsFunc(all, func(other Source) bool { return other.On && other.Feeds == one.Name })
	})
}

// Names returns the sources that an alert may have, sorted, including sources
// that are off. Alerts from SNS have the source cloudtrail, and reports from
// HackerOne have the source report.
func (s Sources) Names() []string {
	var names []string
	for _, one := range s.All() {
		names = append(names, one.Name)
	}
	slices.Sort(names)
	return names
}

// Limits returns the limits of the webhooks by source.
func (s Sources) Limits() map[string]intake.Limits {
	out := map[string]intake.Limits{}
	for _, one := range s.All() {
		out[one.Name] = one.Limits
	}
	return out
}

// UsualSeverities returns the severity of incidents about unread deliveries by source.
func (s Sources) UsualSeverities() map[string]incident.Severity {
	out := map[string]incident.Severity{}
	for _, one := range s.All() {
		out[one.Name] = one.Usual.UnreadSeverity()
	}
	return out
}

// problems returns the problems of all sources, by key below sources.
func (s Sources) problems() setting.Problems {
	var p setting.Problems
	all := s.All()
	taken := map[string]string{} // the key that has a name
	for _, one := range all {
		if !one.listed() {
			taken[one.Name] = one.Key
		}
	}
	for _, one := range all {
		p.AddBelow(one.Key, one.Validate())
		p.AddBelow(setting.Join(one.Key, "limits"), one.Limits.Validate())
		p.AddBelow(one.Key, one.Usual.Validate())
		if one.listed() {
			if other, twice := taken[one.Name]; twice {
				p.Add(setting.Join(one.Key, "name"), "the name %q is already used by %s. Choose another", one.Name, other)
			}
			taken[one.Name] = one.Key
		}
	}
	return p
}
