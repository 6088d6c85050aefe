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

	"tocsin/bot/incident"
	"tocsin/bot/response"
	"tocsin/playbooks"
)

// Validate reports everything that is wrong, each with its key and what to do.
// It reads the playbooks, and compiles the routing and the rules, but connects to nothing.
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
		f.add("listen", "write an address and a port, such as 127.0.0.1:8080")
	}
	if path, ok := strings.CutPrefix(c.Database, "sqlite:"); !(ok && path != "") && !strings.HasPrefix(c.Database, "postgres://") && !strings.HasPrefix(c.Database, "postgresql://") {
		f.add("database", "write sqlite:FILE or postgres://USER@HOST/NAME")
	}
	if c.KeysetFile == "" {
		f.add("keyset_file", "name the file with the keys; `tocsin keys create FILE` makes one")
	}
	if _, err := time.LoadLocation(c.TimeZone); err != nil || c.TimeZone == "" || c.TimeZone == "Local" {
		f.add("time_zone", "write a zone's name, such as Europe/Paris")
	}
	if err := incident.CheckLanguage(c.Language); err != nil {
		f.add("language", "%s", err)
	}
	if c.ReplicaID == "" {
		f.add("replica_id", "give this process a name that stays the same over restarts")
	}
	if _, err := cron.ParseStandard(c.Review.Agenda); err != nil {
		f.add("review.agenda", "write five cron fields, such as \"0 9 * * MON\"")
	}
	if !slices.Contains([]string{"text", "json"}, c.Telemetry.LogFormat) {
		f.add("telemetry.log_format", "write text or json")
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.Telemetry.LogLevel) {
		f.add("telemetry.log_level", "write debug, info, warn or error")
	}
	if dsn := c.Telemetry.SentryDSN; !dsn.IsZero() {
		if u, err := url.Parse(dsn.Reveal()); err != nil || u.User == nil || u.Host == "" {
			f.add("telemetry.sentry_dsn", "copy the DSN from the project's client keys")
		}
	}
}

func (c Config) validateAdapters(f *ConfigErrors) {
	s := c.Slack
	if s.BotToken.IsZero() {
		f.add("slack.bot_token", "is missing; it begins with xoxb- and stands under OAuth & Permissions of the app")
	}
	if s.AppToken.IsZero() && s.SigningSecret.IsZero() {
		f.add("slack.app_token", "is missing; set it for Socket Mode, or slack.signing_secret for HTTP")
	}
	if s.AnnounceChannel == "" {
		f.add("slack.announce_channel", "name the channel that hears of every incident")
	}
	if !strings.HasPrefix(s.Command, "/") || strings.ContainsAny(s.Command, " \t") || len(s.Command) > 32 {
		f.add("slack.command", "write the slash command of the app, such as /incident")
	}
	for key, address := range map[string]string{"slack.api_url": s.APIURL, "pagerduty.events_url": c.PagerDuty.EventsURL} {
		if u, err := url.Parse(address); address != "" && (err != nil || u.Host == "") {
			f.add(key, "write a whole address with https://, or leave it out")
		}
	}
	m := c.Mail
	if m.Host == "" {
		if m.From == "" && len(m.Postmortems) == 0 && c.mailRoutes() == 0 {
			return
		}
		f.add("mail.host", "is missing, and mail is to be sent")
	}
	if _, err := mail.ParseAddress(m.From); err != nil {
		f.add("mail.from", "write the address the bot sends from")
	}
	if m.Port < 1 || m.Port > 65535 {
		f.add("mail.port", "write a port, such as 587")
	}
	if !slices.Contains([]string{"mandatory", "opportunistic", "implicit", "none"}, m.TLS) {
		f.add("mail.tls", "write mandatory, implicit, opportunistic or none")
	}
	addresses("mail.postmortems", m.Postmortems, f)
}

func (c Config) mailRoutes() (n int) {
	for _, r := range c.Escalation.Steps {
		if r.Mail != nil {
			n++
		}
	}
	return n
}

func addresses(key string, list []string, f *ConfigErrors) {
	for n, a := range list {
		if _, err := mail.ParseAddress(a); err != nil {
			f.add(fmt.Sprintf("%s[%d]", key, n), "is no e-mail address")
		}
	}
}

func (c Config) validatePeople(f *ConfigErrors) {
	if len(c.People) == 0 {
		f.add("people", "name the people who respond and who sign")
	}
	seen := map[incident.Identity]int{}
	for n, p := range c.People {
		key := fmt.Sprintf("people[%d]", n)
		if strings.TrimSpace(p.Name) == "" {
			f.add(key+".name", "is missing")
		}
		if p.Email != "" {
			addresses(key+".email", []string{p.Email}, f)
		}
		if p.Email == "" && p.Slack == "" {
			f.add(key+".email", "is missing, and so is slack: give at least one of them")
		}
		for _, h := range p.identities() {
			if other, taken := seen[h]; taken {
				f.add(fmt.Sprintf("%s.%s", key, providerKey(h.Provider)), "is people[%d]'s already; one handle is one person", other)
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
			f.add(key, "is missing; engineering, security, legal and communications all sign")
			continue
		}
		if people := c.members(t); t.SlackGroup == "" && len(people) < 2 {
			f.add(key+".members", "has %d people; name at least two, or a slack_group", len(people))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Departments)) {
		if !slices.Contains(incident.RequiredDepartments(), incident.Department(name)) {
			f.add("departments."+name, "is none of the four; put affected teams under teams")
		}
		c.validateTeam("departments."+name, c.Departments[name], f)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Teams)) {
		if _, twice := c.Departments[name]; twice {
			f.add("teams."+name, "stands under departments already")
		}
		c.validateTeam("teams."+name, c.Teams[name], f)
	}
}

func (c Config) validateTeam(key string, t Team, f *ConfigErrors) {
	if t.Head != "" && c.find(t.Head) == nil {
		f.add(key+".head", "is nobody under people")
	}
	for n, m := range t.Members {
		if c.find(m) == nil {
			f.add(fmt.Sprintf("%s.members[%d]", key, n), "is nobody under people; name them by e-mail address, Slack id or name")
		}
	}
	for n, d := range t.Deputies {
		at := fmt.Sprintf("%s.deputies[%d]", key, n)
		if c.find(d.Person) == nil {
			f.add(at+".person", "is nobody under people")
		}
		if d.From.IsZero() {
			f.add(at+".from", "is missing; write the first day, such as 2026-12-20")
		}
		if d.To.IsZero() || d.To.Before(d.From.Time) {
			f.add(at+".to", "write the last day, not before the first")
		}
	}
}

func (c Config) validateEscalation(f *ConfigErrors) {
	if c.Escalation.EscalateAfter < 30*time.Second || c.Escalation.EscalateAfter > time.Hour {
		f.add("escalation.escalate_after", "write how long one route has, between 30s and 1h")
	}
	if c.Escalation.AckTimeout < time.Minute {
		f.add("escalation.ack_timeout", "write after how much silence of the commander the alias is paged anew, at least 1m")
	}
	if q := c.Escalation.NoPageFrom; q != "" && q != "sev2" && q != "sev3" && q != "sev4" {
		f.add("escalation.no_page_from", "write sev4, sev3 or sev2, or leave it empty to wake somebody for every incident")
	}
	if len(c.Escalation.Steps) == 0 {
		f.add("escalation.steps", "name at least one way to page: pagerduty, mail or slack_group")
	}
	for n, r := range c.Escalation.Steps {
		key := fmt.Sprintf("escalation.steps[%d]", n)
		set := 0
		if r.PagerDuty != nil {
			set++
			if k := r.PagerDuty.RoutingKey; len(k.Reveal()) != 32 {
				f.add(key+".pagerduty.routing_key", "an Events API v2 integration key has 32 characters")
			}
		}
		if r.Mail != nil {
			set++
			if len(r.Mail.To) == 0 {
				f.add(key+".mail.to", "name at least one address")
			}
			addresses(key+".mail.to", r.Mail.To, f)
		}
		if r.SlackGroup != "" {
			set++
		}
		if set != 1 {
			f.add(key, "a route is exactly one of pagerduty, mail and slack_group")
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
				continue // a missing one of the four was named above
			}
			if _, ok := c.Teams[string(team)]; !ok {
				f.add("teams."+string(team), "is missing; the playbook %s asks it", name)
			}
		}
	}
	always := -1 // the first rule that is true for every alert
	for n, r := range c.Routing {
		key, rule := fmt.Sprintf("routing[%d]", n), r.rule()
		switch {
		case always >= 0:
			f.add(key+".when", "is never asked: routing[%d] is true for every alert, and the first that is true decides; move it up, or leave it out", always)
		case strings.TrimSpace(r.When) == "true":
			always = n
		}
		if r.Open != "" {
			if _, err := incident.ParseSeverity(r.Open); err != nil {
				f.add(key+".open", "write sev1, sev2, sev3 or sev4")
				rule.Open = incident.Sev3 // said already; the rest of the rule may be wrong as well
			}
		}
		if r.Playbook != "" {
			if _, ok := library.Get(r.Playbook); !ok {
				f.add(key+".playbook", "there is no playbook of that name; there are %s", strings.Join(library.Names(), ", "))
				rule.Playbook = ""
			}
		}
		for _, name := range response.UnknownSources(r.When, c.Sources.names()) {
			f.add(key+".when", "%q is no source; there are %s", name, strings.Join(c.Sources.names(), ", "))
		}
		if _, err := response.NewRouting([]response.Rule{rule}, library.Names()); err != nil {
			f.add(key+".when", "%s", strings.TrimPrefix(strings.TrimPrefix(err.Error(), "routing[0]: "), "when: "))
		}
	}
}

func (c Config) validateStorm(f *ConfigErrors) {
	if c.Storm.Incidents < 0 {
		f.add("storm.incidents", "write how many incidents alerts may open, or 0 for no limit")
	}
	if c.Storm.Incidents != 0 && (c.Storm.Per < time.Second || c.Storm.Per > 24*time.Hour) {
		f.add("storm.per", "write within what time, between 1s and 24h")
	}
}
