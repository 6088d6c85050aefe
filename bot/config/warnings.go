package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"tocsin/bot/incident"
	"tocsin/bot/setting"
	"tocsin/store"
)

// Check is [Load] for a person who wrote the file. It also returns warnings: what is
// valid, but does not work as its author expects. It reads the keyset, which a command
// that only talks to the running bot does not need.
func Check(path string) (c Config, warnings Errors, err error) {
	return load(path, func(c Config) setting.Problems { return append(c.problems(), c.checkKeyset()...) })
}

// checkKeyset returns the problem of a keyset that exists. A configuration may be checked
// on another machine, so a missing one is a warning.
func (c Config) checkKeyset() (p setting.Problems) {
	if _, err := store.LoadKeyset(c.Store.KeysetFile); c.Store.KeysetFile != "" && err != nil && !errors.Is(err, fs.ErrNotExist) {
		advice := ""
		if errors.Is(err, fs.ErrPermission) {
			advice = adviceOf(err)
		}
		p.Add("keyset_file", "%v%s", err, advice)
	}
	return p
}

// warnings returns what is valid, but cannot work as its author expects, by key. A part
// with a method Warnings is checked without a line here.
func (c Config) warnings() setting.Problems {
	var p setting.Problems
	for n := range reflect.TypeFor[Config]().NumField() {
		if part, ok := reflect.ValueOf(c).Field(n).Interface().(interface{ Warnings() setting.Problems }); ok {
			key, _, _ := strings.Cut(reflect.TypeFor[Config]().Field(n).Tag.Get("yaml"), ",")
			p.AddBelow(key, part.Warnings())
		}
	}
	if path := c.Store.KeysetFile; path != "" {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			p.Add("keyset_file", "%s does not exist. If the database is new, run `tocsin keys create %s`. Otherwise restore your copy of the keyset", path, path)
		}
	}
	c.warnPages(&p)
	c.warnPeople(&p)
	c.warnTeams(&p)
	c.warnSignOff(&p)
	c.warnSources(&p)
	c.warnEscalation(&p)
	c.warnRouting(&p)
	return p
}

var (
	slackUserID     = regexp.MustCompile(`^[UW][A-Z0-9]{5,}$`)
	slackGroupID    = regexp.MustCompile(`^S[A-Z0-9]{5,}$`)
	pagerDutyUserID = regexp.MustCompile(`^P[A-Z0-9]{5,}$`)
)

const (
	groupFix  = "is not the id of a Slack user group, so Slack finds no members. Write the id that begins with S: in Slack, open the group, the menu with three dots, Copy group ID"
	memberFix = "is not a Slack member ID, so Tocsin does not recognize the person in Slack. Write the id that begins with U: in Slack, open the profile, the menu with three dots, Copy member ID"
)

func (c Config) warnPeople(p *setting.Problems) {
	for n, one := range c.People {
		key := setting.Index("people", n)
		if one.Slack != "" && !slackUserID.MatchString(one.Slack) {
			p.Add(key+".slack", "%q %s", one.Slack, memberFix)
		}
		if one.PagerDuty != "" && !pagerDutyUserID.MatchString(one.PagerDuty) {
			p.Add(key+".pagerduty", "%q is not the id of a PagerDuty user, so Tocsin does not know who acknowledged a page there. Write the id from the address of the person's page, such as PAAAAA1", one.PagerDuty)
		}
	}
	hasGroup := c.Departments[string(incident.Engineering)].SlackGroup != "" || c.Departments[string(incident.Security)].SlackGroup != ""
	if hasGroup || len(c.People) == 0 {
		return
	}
	if !slices.ContainsFunc(c.Directory(nil).People, func(p incident.Person) bool { return p.Responder }) {
		p.Add("people", "has no responder. A page needs a responder to acknowledge it. Remove responder: false from a member of engineering or security")
	}
}

func (c Config) warnTeams(p *setting.Problems) {
	for list, teams := range map[string]map[string]Team{"departments": c.Departments, "teams": c.Teams} {
		for _, name := range slices.Sorted(maps.Keys(teams)) {
			t, key := teams[name], setting.Join(list, name)
			if t.SlackGroup != "" && !slackGroupID.MatchString(t.SlackGroup) {
				p.Add(key+".slack_group", "%q %s", t.SlackGroup, groupFix)
			}
			if t.SlackGroup == "" && len(c.teamMembers(t)) == 0 {
				p.Add(key, "is empty, so questions to this team get no answer. Add members")
			}
			for n, d := range t.Deputies {
				if q := c.findPerson(d.Person); q != nil && slices.Contains(c.teamMembers(t), q.id()) {
					p.Add(fmt.Sprintf("%s.deputies[%d].person", key, n), "is already a member and signs without it. Remove the deputy, or write another person")
				}
			}
		}
	}
	if _, ok := c.Teams["dpo"]; !ok {
		p.Add("teams", "has no team dpo, which Tocsin involves when personal data is suspected. Add the team")
	}
}

// canSign reports whether a person can sign: in Slack, on a page or on this machine.
func (p Person) canSign() bool { return p.Slack != "" || p.Local != "" || p.OIDC != "" }

// warnSignOff warns if four different people cannot sign for the four departments. The
// person who submits the record does not sign, unless the configuration allows it.
func (c Config) warnSignOff(p *setting.Problems) {
	var members []map[incident.PersonID]bool
	for _, name := range incident.RequiredDepartments() {
		key, t := "departments."+string(name), c.Departments[string(name)]
		if t.SlackGroup != "" {
			continue // its members are not known here
		}
		able := map[incident.PersonID]bool{}
		for n := range c.People {
			if one := &c.People[n]; one.canSign() && slices.Contains(c.teamMembers(t), one.id()) {
				able[one.id()] = true
			}
		}
		if all := len(c.teamMembers(t)); all >= 2 && len(able) < 2 {
			p.Add(key+".members", "has %d people, and %d of them can sign. Write the slack id of the others, or local", all, len(able))
		}
		members = append(members, able)
	}
	if !canAssign(members, "") {
		p.Add("departments", "cannot close an incident: each department needs a signature by another person. Add people to the departments")
		return
	}
	if c.SignOff.SubmitterMaySign {
		return
	}
	for n := range c.People {
		if one := &c.People[n]; !canAssign(members, one.id()) {
			p.Add("departments", "cannot close an incident that %s submits, because the person who submits the record does not sign. Add another person to the departments of %s", one.Name, one.Name)
			return
		}
	}
}

// canAssign reports whether each set has a person of its own, without the person left
// out.
func canAssign(sets []map[incident.PersonID]bool, without incident.PersonID) bool {
	owner := map[incident.PersonID]int{}
	var place func(set int, seen map[incident.PersonID]bool) bool
	place = func(set int, seen map[incident.PersonID]bool) bool {
		for _, person := range slices.Sorted(maps.Keys(sets[set])) {
			if person == without || seen[person] {
				continue
			}
			seen[person] = true
			if other, taken := owner[person]; !taken || place(other, seen) {
				owner[person] = set
				return true
			}
		}
		return false
	}
	for n := range sets {
		if !place(n, map[incident.PersonID]bool{}) {
			return false
		}
	}
	return true
}

func (c Config) warnSources(p *setting.Problems) {
	for n, network := range c.Sources.TrustedProxies {
		if network.Bits() == 0 {
			p.Add(fmt.Sprintf("sources.trusted_proxies[%d]", n), "trusts X-Forwarded-For of every address, so any sender can choose the address that limits and logs see. Write the address of your proxy")
		}
	}
	for _, one := range c.Sources.All() {
		if w, ok := one.Settings.(interface{ Warnings() setting.Problems }); ok {
			p.AddBelow(one.Key, w.Warnings())
		}
		if !slices.ContainsFunc(c.Sources.On(), func(on Source) bool { return on.Name == one.Name }) && one.Usual.ExpectedInterval != 0 {
			p.Add(one.Key+".expected_interval", "has no effect, because the source has no secret and is off. Configure the source, or remove the key")
		}
	}
}

func (c Config) warnEscalation(p *setting.Problems) {
	seen := map[string]int{}
	for n, step := range c.Escalation.Steps {
		key := fmt.Sprintf("escalation.steps[%d]", n)
		if step.SlackGroup != "" && !slackGroupID.MatchString(step.SlackGroup) {
			p.Add(key+".slack_group", "%q %s", step.SlackGroup, groupFix)
		}
		target := step.SlackGroup
		if step.PagerDuty != nil {
			target = step.PagerDuty.RoutingKey.Reveal()
			p.AddBelow(key+".pagerduty", step.PagerDuty.Warnings())
		}
		if target == "" {
			continue
		}
		if first, twice := seen[target]; twice {
			p.Add(key, "pages the same target as escalation.steps[%d], which then already has the page. Write another target, or remove the step", first)
		}
		seen[target] = n
	}
}
