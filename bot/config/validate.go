package config

import (
	"fmt"
	"maps"
	"net"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"tocsin/bot/control"
	"tocsin/bot/incident"
	"tocsin/bot/response"
	"tocsin/bot/setting"
	"tocsin/playbooks"
)

// Validate returns all problems of the configuration, or nil. It reads playbooks,
// rules and key files and compiles them, but makes no connections.
func (c Config) Validate() Errors {
	var errs Errors
	for _, p := range c.problems() {
		errs = append(errs, Error{Key: p.Key, Fix: p.Fix})
	}
	return errs
}

// problems returns the problems of all parts, with their keys in the file. A part with
// a method Validate is checked without a line here.
func (c Config) problems() setting.Problems {
	var p setting.Problems
	c.validateGeneral(&p)
	for n := range reflect.TypeFor[Config]().NumField() {
		if part, ok := reflect.ValueOf(c).Field(n).Interface().(interface{ Validate() setting.Problems }); ok {
			key, _, _ := strings.Cut(reflect.TypeFor[Config]().Field(n).Tag.Get("yaml"), ",")
			p.AddBelow(key, part.Validate())
		}
	}
	c.validatePeople(&p)
	c.validateTeams(&p)
	p = append(p, c.Sources.problems()...)
	c.validateMailUse(&p)
	c.validateUpdates(&p)
	c.validateSignOff(&p)
	c.validateRouting(&p)
	return p
}

func (c Config) validateGeneral(p *setting.Problems) {
	if host, port, err := net.SplitHostPort(c.Listen); err != nil || port == "" || strings.Contains(host, "/") {
		p.Add("listen", "is not an address with a port. Write one such as 127.0.0.1:8080")
	}
	if c.PublicURL != "" && !setting.IsSite(c.PublicURL) {
		p.Add("public_url", "is not the address of a site. Write one such as https://tocsin.example.com, or omit the key")
	}
	c.validateConference(p)
	if _, err := time.LoadLocation(c.TimeZone); err != nil || c.TimeZone == "" || c.TimeZone == "Local" {
		p.Add("time_zone", "is not an IANA time zone. Write one such as Europe/Paris")
	}
	if err := incident.CheckLanguage(c.Language); err != nil {
		p.Add("language", "%s", err)
	}
	if _, err := cron.ParseStandard(c.Review.Agenda); err != nil {
		p.Add("review.agenda", "is not a cron schedule. Write five fields, such as \"0 9 * * MON\"")
	}
}

// validateMailUse checks the keys that need mail.
func (c Config) validateMailUse(p *setting.Problems) {
	if c.Mail.Host != "" {
		return
	}
	if slices.ContainsFunc(c.Escalation.Steps, func(s Step) bool { return s.Mail != nil }) {
		p.Add("mail.host", "is missing, but other keys use mail. Write the host of the SMTP relay")
	}
	const needed = "needs mail. Configure mail, or omit the key"
	if form := c.Sources.Report.Form; form != nil && form.Acknowledge {
		p.Add("sources.report.form.acknowledge", needed)
	}
	if len(c.Notary.Mail) > 0 {
		p.Add("notary.mail", needed)
	}
	if mailbox := c.Sources.Report.Mailbox; mailbox != nil && mailbox.Acknowledge {
		p.Add("sources.report.mailbox.acknowledge", needed)
	}
}

func (c Config) validatePeople(p *setting.Problems) {
	if len(c.People) == 0 {
		p.Add("people", "is empty. Add the people who respond and sign")
	}
	seen, names, addresses := map[incident.Identity]int{}, map[string]int{}, map[string]int{}
	for n, one := range c.People {
		key := setting.Index("people", n)
		if strings.TrimSpace(one.Name) == "" {
			p.Add(key+".name", "is missing. Write the name of the person")
		}
		name := incident.NormalName(one.Name)
		if other, taken := names[name]; taken && name != "" {
			p.Add(key+".name", "is also the name of people[%d], but some decisions take two people. Remove one of them, or write names that differ", other)
		}
		names[name] = n
		if one.Email != "" {
			p.CheckAddress(key+".email", one.Email)
		}
		if one.Email == "" && one.Slack == "" {
			p.Add(key+".email", "is missing. Set email or slack")
		}
		if one.Local != "" {
			if err := control.CheckUser(one.Local); err != nil {
				p.Add(key+".local", "%v", err)
			}
		}
		for _, h := range one.identities() {
			other, taken := seen[h]
			address := strings.ToLower(h.ID) // also of an account that has an address as its id
			if !taken && strings.Contains(address, "@") {
				other, taken = addresses[address]
				addresses[address] = n
			}
			if taken && other != n {
				p.Add(fmt.Sprintf("%s.%s", key, providerKey(h.Provider)), "already belongs to people[%d]. Remove it from one of them", other)
			}
			seen[h] = n
		}
	}
}

func providerKey(d incident.Provider) string {
	if d == incident.ProviderMail {
		return "email"
	}
	return string(d)
}

func (c Config) validateTeams(p *setting.Problems) {
	for _, name := range incident.RequiredDepartments() {
		key := "departments." + string(name)
		t, ok := c.Departments[string(name)]
		if !ok {
			p.Add(key, "is missing. Add it, because engineering, security, legal and communications must sign")
			continue
		}
		if people := c.teamMembers(t); t.SlackGroup == "" && len(people) < 2 {
			p.Add(key+".members", "has %d people. Add at least 2, or set slack_group", len(people))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Departments)) {
		if !slices.Contains(incident.RequiredDepartments(), incident.Department(name)) {
			p.Add("departments."+name, "is not a department that signs. Move it to teams")
		}
		c.validateTeam("departments."+name, c.Departments[name], p)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Teams)) {
		if _, twice := c.Departments[name]; twice {
			p.Add("teams."+name, "is also a department. Rename it or remove it")
		}
		c.validateTeam("teams."+name, c.Teams[name], p)
	}
}

func (c Config) validateTeam(key string, t Team, p *setting.Problems) {
	if t.Head != "" && c.findPerson(t.Head) == nil {
		p.Add(key+".head", "is not listed under people. Write an e-mail address, Slack id or name from there")
	}
	for n, m := range t.Members {
		if c.findPerson(m) == nil {
			p.Add(fmt.Sprintf("%s.members[%d]", key, n), "is not listed under people. Write an e-mail address, Slack id or name from there")
		}
	}
	for n, d := range t.Deputies {
		at := fmt.Sprintf("%s.deputies[%d]", key, n)
		if c.findPerson(d.Person) == nil {
			p.Add(at+".person", "is not listed under people. Write an e-mail address, Slack id or name from there")
		}
		if d.From.IsZero() {
			p.Add(at+".from", "is missing. Write the first day, such as 2026-12-20")
		}
		if d.To.IsZero() || d.To.Before(d.From.Time) {
			p.Add(at+".to", "is missing or before from. Write the last day, such as 2027-01-03")
		}
	}
}

func (c Config) validateRouting(p *setting.Problems) {
	library, err := playbooks.Load(c.Playbooks.Folders...)
	if err != nil {
		p.Add("playbooks.folders", "%v", err)
		library, _ = playbooks.Load()
	}
	for _, name := range library.Names() {
		book, _ := library.Get(name)
		for _, team := range book.Teams() {
			if _, ok := c.Departments[string(team)]; ok || slices.Contains(incident.RequiredDepartments(), team) {
				continue // validateTeams reports a missing department
			}
			if _, ok := c.Teams[string(team)]; !ok {
				p.Add("teams."+string(team), "is missing. Add the team, because the playbook %s uses it", name)
			}
		}
	}
	always := -1 // index of the first rule that matches every alert
	for n, r := range c.Routing {
		key, rule := setting.Index("routing", n), r
		switch {
		case always >= 0:
			p.Add(key+".when", "is never evaluated because routing[%d] matches every alert. Move this rule up or remove it", always)
		case strings.TrimSpace(r.When) == "true":
			always = n
		}
		if r.Open != "" {
			if _, err := incident.ParseSeverity(string(r.Open)); err != nil {
				p.Add(key+".open", "unknown severity. Write sev1, sev2, sev3 or sev4")
				rule.Open = incident.Sev3 // reported above, so check the rest of the rule with a valid severity
			}
		}
		if r.Playbook != "" {
			if _, ok := library.Get(r.Playbook); !ok {
				p.Add(key+".playbook", "unknown playbook. Use one of %s", strings.Join(library.Names(), ", "))
				rule.Playbook = ""
			}
		}
		for _, name := range response.UnknownSources(r.When, c.Sources.Names()) {
			p.Add(key+".when", "unknown source %q. Use one of %s", name, strings.Join(c.Sources.Names(), ", "))
		}
		if _, err := response.NewRouting([]response.Rule{rule}, library.Names()); err != nil {
			p.Add(key+".when", "%s", strings.TrimPrefix(strings.TrimPrefix(err.Error(), "routing[0]: "), "when: "))
		}
	}
}
