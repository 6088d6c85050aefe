package config

import (
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"tocsin/bot/mail"
	"tocsin/bot/pagerduty"
	"tocsin/bot/setting"
)

// Escalation is the escalation policy: the steps and their timeouts.
type Escalation struct {
	EscalateAfter time.Duration `yaml:"escalate_after"`
	AckTimeout    time.Duration `yaml:"ack_timeout"`
	NoPageFrom    string        `yaml:"no_page_from"`
	PageTest      PageTest      `yaml:"page_test"`
	Steps         []Step        `yaml:"steps"`
}

// PageTest is the weekly test page.
type PageTest struct {
	At string `yaml:"at"` // such as "Tue 10:00" in the configured time zone, or "" for none
}

// testTime is a day of the week and a time of day.
var testTime = regexp.MustCompile(`^(?i:(sun|mon|tue|wed|thu|fri|sat)) ([01]?[0-9]|2[0-3]):([0-5][0-9])$`)

// Cron returns the time as a cron expression, or "" for none.
func (t PageTest) Cron() string {
	m := testTime.FindStringSubmatch(t.At)
	if m == nil {
		return ""
	}
	return m[3] + " " + m[2] + " * * " + strings.ToUpper(m[1])
}

// Next returns the time of the first weekly test page after now, or the zero time if none
// is configured.
func (t PageTest) Next(now time.Time, zone string) time.Time {
	at, err := cron.ParseStandard(t.Cron())
	place, unknown := time.LoadLocation(zone)
	if err != nil || unknown != nil {
		return time.Time{}
	}
	return at.Next(now.In(place)).UTC()
}

// Validate returns the problems of the test page.
func (t PageTest) Validate() setting.Problems {
	var p setting.Problems
	if t.At != "" && t.Cron() == "" {
		p.Add("at", "is not a day of the week and a time. Write such as \"Tue 10:00\" in the time zone of time_zone, or \"\" to send no weekly test page")
	}
	return p
}

// Step is one page target of the escalation policy. Exactly one field is set. A new kind
// of step is one line here: its type has the keys and may have a method Validate.
type Step struct {
	PagerDuty  *pagerduty.Target `yaml:"pagerduty"`
	Mail       *mail.Target      `yaml:"mail"`
	SlackGroup string            `yaml:"slack_group"`
}

// Validate returns the problems of the policy, by keys below escalation.
func (e Escalation) Validate() setting.Problems {
	var p setting.Problems
	if e.EscalateAfter < 30*time.Second || e.EscalateAfter > time.Hour {
		p.Add("escalate_after", "is out of range. Write a duration between 30s and 1h")
	}
	if e.AckTimeout < time.Minute {
		p.Add("ack_timeout", "is too short. Write a duration of at least 1m")
	}
	if q := e.NoPageFrom; q != "" && q != "sev2" && q != "sev3" && q != "sev4" {
		p.Add("no_page_from", "unknown severity. Write sev2, sev3 or sev4, or \"\" to page for every incident")
	}
	p.AddBelow("page_test", e.PageTest.Validate())
	if len(e.Steps) == 0 {
		p.Add("steps", "is empty. Add at least one step with %s", stepKinds("or"))
	}
	for n, step := range e.Steps {
		p.AddBelow(setting.Index("steps", n), step.validate())
	}
	return p
}

// validate returns the problems of the step and of its target.
func (s Step) validate() setting.Problems {
	var p setting.Problems
	set := 0
	for _, f := range fieldsOf(reflect.TypeFor[Step]()) {
		target := reflect.ValueOf(s).FieldByIndex(f.index)
		if target.IsZero() {
			continue
		}
		set++
		if t, ok := target.Interface().(interface{ Validate() setting.Problems }); ok {
			p.AddBelow(f.name, t.Validate())
		}
	}
	if set != 1 {
		p.Add("", "is not a valid step. Set exactly one of %s", stepKinds("and"))
	}
	return p
}

// stepKinds lists the keys of a step.
func stepKinds(conjunction string) string {
	var names []string
	for _, f := range fieldsOf(reflect.TypeFor[Step]()) {
		names = append(names, f.name)
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " " + conjunction + " " + names[last]
}
