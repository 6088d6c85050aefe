package bot

import (
	"fmt"
	"maps"
	"net"
	"net/mail"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"tocsin/bot/control"
	"tocsin/bot/incident"
	"tocsin/bot/response"
	"tocsin/playbooks"
)

// Validate returns all problems of the configuration, or nil. It reads playbooks,
// rules and key files and compiles them, but makes no connections.
func (c Config) Validate() ConfigErrors {
	var f ConfigErrors
	c.validateGeneral(&f)
	c.validateAdapters(&f)
	c.validatePeople(&f)
	c.validateTeams(&f)
	c.validateEscalation(&f)
	c.validateSources(&f)
	c.Detection.validate(&f)
	c.validateRouting(&f)
	c.validateStorm(&f)
	c.validateRetention(&f)
	return f
}

func (c Config) validateGeneral(f *ConfigErrors) {
	if host, port, err := net.SplitHostPort(c.Listen); err != nil || port == "" || strings.Contains(host, "/") {
		f.add("listen", "is not an address with a port. Write one such as 127.0.0.1:8080")
	}
	if path, ok := strings.CutPrefix(c.Database, "sqlite:"); !(ok && path != "") && !strings.HasPrefix(c.Database, "postgres://") && !strings.HasPrefix(c.Database, "postgresql://") {
		f.add("database", "is not a database URL. Write sqlite:FILE or postgres://USER@HOST/NAME")
	}
	if c.KeysetFile == "" {
		f.add("keyset_file", "is missing. Run `tocsin keys create FILE` and write the path of the file")
	}
	if _, err := time.LoadLocation(c.TimeZone); err != nil || c.TimeZone == "" || c.TimeZone == "Local" {
		f.add("time_zone", "is not an IANA time zone. Write one such as Europe/Paris")
	}
	if err := incident.CheckLanguage(c.Language); err != nil {
		f.add("language", "%s", err)
	}
	if c.ReplicaID == "" {
		f.add("replica_id", "is missing. Write a name that does not change when the process restarts")
	}
	if _, err := cron.ParseStandard(c.Review.Agenda); err != nil {
		f.add("review.agenda", "is not a cron schedule. Write five fields, such as \"0 9 * * MON\"")
	}
	if !slices.Contains([]string{"text", "json"}, c.Telemetry.LogFormat) {
		f.add("telemetry.log_format", "unknown format. Write text or json")
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.Telemetry.LogLevel) {
		f.add("telemetry.log_level", "unknown level. Write debug, info, warn or error")
	}
	if dsn := c.Telemetry.SentryDSN; !dsn.IsZero() {
		if u, err := url.Parse(dsn.Reveal()); err != nil || u.User == nil || u.Host == "" {
			f.add("telemetry.sentry_dsn", "is not a DSN. Copy it from Client Keys in the settings of the Sentry project")
		}
	}
}

func (c Config) validateAdapters(f *ConfigErrors) {
	s := c.Slack
	if s.BotToken.IsZero() {
		f.add("slack.bot_token", "is missing. Copy the token that begins with xoxb- from OAuth & Permissions in the settings of the Slack app")
	}
	if s.AppToken.IsZero() && s.SigningSecret.IsZero() {
		f.add("slack.app_token", "is missing. Set it to use Socket Mode, or set slack.signing_secret to use HTTP")
	}
	if s.AnnounceChannel == "" {
		f.add("slack.announce_channel", "is missing. Write the name of the channel for incident announcements")
	}
	if !strings.HasPrefix(s.Command, "/") || strings.ContainsAny(s.Command, " \t") || len(s.Command) > 32 {
		f.add("slack.command", "is not a slash command. Write the command of the Slack app, such as /incident")
	}
	for key, address := range map[string]string{"slack.api_url": s.APIURL, "pagerduty.events_url": c.PagerDuty.EventsURL} {
		if u, err := url.Parse(address); address != "" && (err != nil || u.Host == "") {
			f.add(key, "is not a URL. Write one that begins with https://, or omit the key")
		}
	}
	m := c.Mail
	if m.Host == "" {
		if m.From == "" && len(m.Postmortems) == 0 && c.countMailSteps() == 0 {
			return
		}
		f.add("mail.host", "is missing, but other keys use mail. Write the host of the SMTP relay")
	}
	if _, err := mail.ParseAddress(m.From); err != nil {
		f.add("mail.from", "is not a mail address. Write one such as Tocsin <tocsin@example.com>")
	}
	if m.Port < 1 || m.Port > 65535 {
		f.add("mail.port", "is out of range. Write a port such as 587")
	}
	if !slices.Contains([]string{"mandatory", "opportunistic", "implicit", "none"}, m.TLS) {
		f.add("mail.tls", "unknown mode. Write mandatory, implicit, opportunistic or none")
	}
	validateAddresses("mail.postmortems", m.Postmortems, f)
}

// validateLocal adds an error for a local user that does not identify one person.
func validateLocal(key, name string, f *ConfigErrors) {
	if err := control.CheckUser(name); err != nil {
		f.add(key, "%v", err)
	}
}

func (c Config) countMailSteps() (n int) {
	for _, r := range c.Escalation.Steps {
		if r.Mail != nil {
			n++
		}
	}
	return n
}

func validateAddresses(key string, list []string, f *ConfigErrors) {
	for n, a := range list {
		if _, err := mail.ParseAddress(a); err != nil {
			f.add(fmt.Sprintf("%s[%d]", key, n), "is not a mail address. Write one such as ada@example.com")
		}
	}
}

func (c Config) validatePeople(f *ConfigErrors) {
	if len(c.People) == 0 {
		f.add("people", "is empty. Add the people who respond and sign")
	}
	for n, name := range c.Administrators {
		validateLocal(fmt.Sprintf("administrators[%d]", n), name, f)
	}
	seen, names, addresses := map[incident.Identity]int{}, map[string]int{}, map[string]int{}
	for n, p := range c.People {
		key := fmt.Sprintf("people[%d]", n)
		if strings.TrimSpace(p.Name) == "" {
			f.add(key+".name", "is missing. Write the name of the person")
		}
		name := incident.NormalName(p.Name)
		if other, taken := names[name]; taken && name != "" {
			f.add(key+".name", "is also the name of people[%d], but some decisions take two people. Remove one of them, or write names that differ", other)
		}
		names[name] = n
		if p.Email != "" {
			validateAddresses(key+".email", []string{p.Email}, f)
		}
		if p.Email == "" && p.Slack == "" {
			f.add(key+".email", "is missing. Set email or slack")
		}
		if p.Local != "" {
			validateLocal(key+".local", p.Local, f)
		}
		for _, h := range p.identities() {
			other, taken := seen[h]
			address := strings.ToLower(h.ID) // also of an account that has an address as its id
			if !taken && strings.Contains(address, "@") {
				other, taken = addresses[address]
				addresses[address] = n
			}
			if taken && other != n {
				f.add(fmt.Sprintf("%s.%s", key, providerKey(h.Provider)), "already belongs to people[%d]. Remove it from one of them", other)
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

func (c Config) validateTeams(f *ConfigErrors) {
	for _, name := range incident.RequiredDepartments() {
		key := "departments." + string(name)
		t, ok := c.Departments[string(name)]
		if !ok {
			f.add(key, "is missing. Add it, because engineering, security, legal and communications must sign")
			continue
		}
		if people := c.teamMembers(t); t.SlackGroup == "" && len(people) < 2 {
			f.add(key+".members", "has %d people. Add at least 2, or set slack_group", len(people))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Departments)) {
		if !slices.Contains(incident.RequiredDepartments(), incident.Department(name)) {
			f.add("departments."+name, "is not a department that signs. Move it to teams")
		}
		c.validateTeam("departments."+name, c.Departments[name], f)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Teams)) {
		if _, twice := c.Departments[name]; twice {
			f.add("teams."+name, "is also a department. Rename it or remove it")
		}
		c.validateTeam("teams."+name, c.Teams[name], f)
	}
}

func (c Config) validateTeam(key string, t Team, f *ConfigErrors) {
	if t.Head != "" && c.findPerson(t.Head) == nil {
		f.add(key+".head", "is not listed under people. Write an e-mail address, Slack id or name from there")
	}
	for n, m := range t.Members {
		if c.findPerson(m) == nil {
			f.add(fmt.Sprintf("%s.members[%d]", key, n), "is not listed under people. Write an e-mail address, Slack id or name from there")
		}
	}
	for n, d := range t.Deputies {
		at := fmt.Sprintf("%s.deputies[%d]", key, n)
		if c.findPerson(d.Person) == nil {
			f.add(at+".person", "is not listed under people. Write an e-mail address, Slack id or name from there")
		}
		if d.From.IsZero() {
			f.add(at+".from", "is missing. Write the first day, such as 2026-12-20")
		}
		if d.To.IsZero() || d.To.Before(d.From.Time) {
			f.add(at+".to", "is missing or before from. Write the last day, such as 2027-01-03")
		}
	}
}

func (c Config) validateEscalation(f *ConfigErrors) {
	if c.Escalation.EscalateAfter < 30*time.Second || c.Escalation.EscalateAfter > time.Hour {
		f.add("escalation.escalate_after", "is out of range. Write a duration between 30s and 1h")
	}
	if c.Escalation.AckTimeout < time.Minute {
		f.add("escalation.ack_timeout", "is too short. Write a duration of at least 1m")
	}
	if q := c.Escalation.NoPageFrom; q != "" && q != "sev2" && q != "sev3" && q != "sev4" {
		f.add("escalation.no_page_from", "unknown severity. Write sev2, sev3 or sev4, or \"\" to page for every incident")
	}
	if len(c.Escalation.Steps) == 0 {
		f.add("escalation.steps", "is empty. Add at least one step with pagerduty, mail or slack_group")
	}
	for n, r := range c.Escalation.Steps {
		key := fmt.Sprintf("escalation.steps[%d]", n)
		set := 0
		if r.PagerDuty != nil {
			set++
			if k := r.PagerDuty.RoutingKey; len(k.Reveal()) != 32 {
				f.add(key+".pagerduty.routing_key", "does not have 32 characters. Copy the key of an Events API v2 integration")
			}
		}
		if r.Mail != nil {
			set++
			if len(r.Mail.To) == 0 {
				f.add(key+".mail.to", "is empty. Add at least one address")
			}
			validateAddresses(key+".mail.to", r.Mail.To, f)
		}
		if r.SlackGroup != "" {
			set++
		}
		if set != 1 {
			f.add(key, "is not a valid step. Set exactly one of pagerduty, mail and slack_group")
		}
	}
}

func (c Config) validateRouting(f *ConfigErrors) {
	library, err := playbooks.Load(c.Playbooks.Folders...)
	if err != nil {
		f.add("playbooks.folders", "%v", err)
		library, _ = playbooks.Load()
	}
	for _, name := range library.Names() {
		p, _ := library.Get(name)
		for _, team := range p.Teams() {
			if _, ok := c.Departments[string(team)]; ok || slices.Contains(incident.RequiredDepartments(), team) {
				continue // validateTeams reports a missing department
			}
			if _, ok := c.Teams[string(team)]; !ok {
				f.add("teams."+string(team), "is missing. Add the team, because the playbook %s uses it", name)
			}
		}
	}
	always := -1 // index of the first rule that matches every alert
	for n, r := range c.Routing {
		key, rule := fmt.Sprintf("routing[%d]", n), r.rule()
		switch {
		case always >= 0:
			f.add(key+".when", "is never evaluated because routing[%d] matches every alert. Move this rule up or remove it", always)
		case strings.TrimSpace(r.When) == "true":
			always = n
		}
		if r.Open != "" {
			if _, err := incident.ParseSeverity(r.Open); err != nil {
				f.add(key+".open", "unknown severity. Write sev1, sev2, sev3 or sev4")
				rule.Open = incident.Sev3 // reported above, so check the rest of the rule with a valid severity
			}
		}
		if r.Playbook != "" {
			if _, ok := library.Get(r.Playbook); !ok {
				f.add(key+".playbook", "unknown playbook. Use one of %s", strings.Join(library.Names(), ", "))
				rule.Playbook = ""
			}
		}
		for _, name := range response.UnknownSources(r.When, c.Sources.names()) {
			f.add(key+".when", "unknown source %q. Use one of %s", name, strings.Join(c.Sources.names(), ", "))
		}
		if _, err := response.NewRouting([]response.Rule{rule}, library.Names()); err != nil {
			f.add(key+".when", "%s", strings.TrimPrefix(strings.TrimPrefix(err.Error(), "routing[0]: "), "when: "))
		}
	}
}

func (c Config) validateStorm(f *ConfigErrors) {
	if c.Storm.Incidents < 0 {
		f.add("storm.incidents", "is negative. Write a number of incidents, or 0 for no limit")
	}
	if c.Storm.Incidents != 0 && (c.Storm.Per < time.Second || c.Storm.Per > 24*time.Hour) {
		f.add("storm.per", "is out of range. Write a duration between 1s and 24h")
	}
}
