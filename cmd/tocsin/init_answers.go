package main

import (
	"errors"
	"fmt"
	"net"
	"net/mail"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"tocsin/bot/config"
	"tocsin/bot/incident"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/setting"
)

// initAnswers are the answers from which `tocsin init` writes a folder.
type initAnswers struct {
	Dir      string // absolute
	Sandbox  bool   // the answers are those of a sandbox
	Listen   string
	TimeZone string
	User     string // runs the service

	AnnounceChannel string
	PublicURL       string // at which people reach Tocsin, or ""
	SignOff         string // an [incident.AuthLevel], or "" for a placeholder
	SlackURL        string // public URL for Slack over HTTP, or "" for Socket Mode
	SlackAPI        string // only of a sandbox
	EmergencyGroup  string // Slack user group that is paged, or ""

	PagerDuty        bool
	PagerDutyURL     string // Events API, or "" for the default
	PagerDutyAPI     string // REST API, or "" for the default
	PagerDutyFrom    string // user of the REST API, or "" for none
	PagerDutyService string
	MailHost         string
	MailPort         int
	MailTLS          string
	MailUser         string
	MailFrom         string
	PageTo           []string // addresses that are paged by mail

	People  []initPerson
	Local   string // e-mail address of the person who uses the command line
	Sources []string

	secrets map[string]string // by variable
}

// initPerson is a person of a department or of a team.
type initPerson struct {
	Department, Name, Email, Slack, PagerDuty string
}

// initSecret is a variable of secrets.env.
type initSecret struct {
	name    string
	comment string
	own     bool   // Tocsin chooses the value
	prefix  string // with which each value begins, if not empty
}

// check returns an error for a value that cannot be this secret.
func (s initSecret) check(value string) error {
	if value == "" || strings.HasPrefix(value, s.prefix) {
		return nil
	}
	return fmt.Errorf("the value does not begin with %s. Copy it again, or leave it empty", s.prefix)
}

// initSource is a source that `tocsin init` can configure.
type initSource struct {
	name    string
	keys    string // below the name, with one %s for the variable
	secret  initSecret
	routing string
}

var initSources = []initSource{
	{"alertmanager", `tokens: ["${%s}"]`, initSecret{name: "ALERTMANAGER_TOKEN", comment: "Bearer token that Alertmanager sends (http_config, authorization, credentials).", own: true}, ""},
	{"cloudtrail", `api_keys: ["${%s}"]`, initSecret{name: "EVENTBRIDGE_KEY", comment: "API key that the connection of EventBridge sends.", own: true},
		"  - when: source == \"cloudtrail\" && level in [\"high\", \"critical\"]\n    open: sev2\n    playbook: leaked-aws-credentials\n"},
	{"pagerduty", `webhook_secrets: ["${%s}"]`, initSecret{name: "PAGERDUTY_WEBHOOK_SECRET", comment: "Secret of the v3 webhook subscription. PagerDuty shows it once, when you create the subscription."},
		"  - when: source == \"pagerduty\"\n    open: sev3\n"},
	{"sentry", `client_secrets: ["${%s}"]`, initSecret{name: "SENTRY_CLIENT_SECRET", comment: "Client secret of the internal integration in Sentry."},
		"  - when: source == \"sentry\" && tags[\"data_leak\"] == \"true\"\n    open: sev1\n    playbook: data-exposure\n"},
}

func initSourceNames() []string {
	var names []string
	for _, s := range initSources {
		names = append(names, s.name)
	}
	return names
}

// sourcesOf returns the chosen sources.
func (a initAnswers) sourcesOf() []initSource {
	return slices.DeleteFunc(slices.Clone(initSources), func(s initSource) bool { return !slices.Contains(a.Sources, s.name) })
}

// secretsOf returns the variables that the configuration needs.
func (a initAnswers) secretsOf() []initSecret {
	out := []initSecret{{name: "SLACK_BOT_TOKEN", comment: "Bot token (xoxb-…) from OAuth & Permissions of the Slack app.", prefix: "xox"}}
	if a.SlackURL == "" {
		out = append(out, initSecret{name: "SLACK_APP_TOKEN", comment: "App-level token (xapp-…) with the scope connections:write, from Basic Information of the Slack app.", prefix: "xapp-"})
	} else {
		out = append(out, initSecret{name: "SLACK_SIGNING_SECRET", comment: "Signing secret from Basic Information of the Slack app."})
	}
	if a.PagerDuty {
		out = append(out, initSecret{name: "PAGERDUTY_ROUTING_KEY", comment: "Integration key of an Events API v2 integration of the PagerDuty service that pages the responders."})
	}
	if a.PagerDutyFrom != "" {
		out = append(out, initSecret{name: "PAGERDUTY_API_KEY", comment: "REST API key of PagerDuty that may write, to update pages and page a chosen person."})
	}
	if a.MailUser != "" {
		out = append(out, initSecret{name: "SMTP_PASSWORD", comment: "Password of the user at the SMTP relay."})
	}
	for _, s := range a.sourcesOf() {
		out = append(out, s.secret)
	}
	return out
}

// initDepartments are the departments and the team that need people, in the order of
// the questions.
func initDepartments() []string {
	var out []string
	for _, d := range incident.RequiredDepartments() {
		out = append(out, string(d))
	}
	return out
}

// complete adds placeholders for the people that are missing: each department needs two.
func (a *initAnswers) complete() {
	var all []initPerson
	for _, department := range initDepartments() {
		people := slices.DeleteFunc(slices.Clone(a.People), func(p initPerson) bool { return p.Department != department })
		for n := len(people); n < 2; n++ {
			mark := fmt.Sprintf("%s %s-%d", config.Placeholder, department, n+1)
			dashed := strings.ReplaceAll(mark, " ", "-")
			people = append(people, initPerson{Department: department, Name: mark, Email: dashed + "@example.com", Slack: dashed})
		}
		all = append(all, people...)
	}
	for _, p := range a.People {
		if !slices.Contains(initDepartments(), p.Department) {
			all = append(all, p)
		}
	}
	a.People = all
}

var (
	slackUserID     = regexp.MustCompile(`^[UW][A-Z0-9]{4,}$`)
	pagerDutyUserID = regexp.MustCompile(`^P[A-Z0-9]{4,}$`)
	departmentName  = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)
)

// personForm is how a person is written.
const personForm = "NAME <EMAIL> SLACK-ID [PAGERDUTY-ID]"

// parsePerson parses a person in the form of [personForm].
func parsePerson(department, text string) (initPerson, error) {
	bad := func(why string) (initPerson, error) {
		return initPerson{}, fmt.Errorf("%q %s. Write %s, such as Ada Okafor <ada@example.com> U01AAAAAAA1 PAAAAA1", text, why, personForm)
	}
	end := strings.LastIndex(text, ">")
	if end < 0 {
		return bad("has no address in angle brackets")
	}
	address, err := mail.ParseAddress(strings.TrimSpace(text[:end+1]))
	if err != nil || address.Name == "" {
		return bad("does not begin with a name and an address")
	}
	p := initPerson{Department: department, Name: address.Name, Email: address.Address}
	for _, id := range strings.Fields(text[end+1:]) {
		switch {
		case slackUserID.MatchString(id) && p.Slack == "":
			p.Slack = id
		case pagerDutyUserID.MatchString(id) && p.PagerDuty == "":
			p.PagerDuty = id
		default:
			return bad("has " + strconv.Quote(id) + ", which is neither the member ID of a Slack profile nor a PagerDuty user ID")
		}
	}
	if p.Slack == "" {
		return bad("has no Slack member ID. Copy it from the profile in Slack, menu with three dots")
	}
	return p, nil
}

// parsePersonFlag parses DEPARTMENT: PERSON.
func parsePersonFlag(text string) (initPerson, error) {
	department, person, found := strings.Cut(text, ":")
	department = strings.TrimSpace(department)
	if !found || !departmentName.MatchString(department) {
		return initPerson{}, fmt.Errorf("--person %q does not begin with a department. Write \"engineering: %s\" for engineering, security, legal, communications or another team", text, personForm)
	}
	p, err := parsePerson(department, strings.TrimSpace(person))
	if err != nil {
		return p, fmt.Errorf("--person: %w", err)
	}
	return p, nil
}

// check returns the first answer that cannot be right.
func (a initAnswers) check() error {
	if _, port, err := net.SplitHostPort(a.Listen); err != nil || port == "" {
		return fmt.Errorf("--listen %q is not an address with a port. Write one such as 127.0.0.1:8080", a.Listen)
	}
	if err := checkTimeZone(a.TimeZone); err != nil && a.TimeZone != "" {
		return fmt.Errorf("--time-zone %q is not an IANA time zone. Write one such as Europe/Paris", a.TimeZone)
	}
	if a.PublicURL != "" && !setting.IsSite(a.PublicURL) {
		return fmt.Errorf("--public-url %q is not the address of a site. Write one such as https://tocsin.example.com", a.PublicURL)
	}
	if err := a.checkSignOff(); err != nil {
		return err
	}
	if err := a.checkPagerDutyAPI(); err != nil {
		return err
	}
	for _, name := range a.Sources {
		if !slices.Contains(initSourceNames(), name) {
			return fmt.Errorf("unknown source %q. Use some of %s, and add others later with `tocsin config example`", name, strings.Join(initSourceNames(), ", "))
		}
	}
	if !a.PagerDuty && a.MailHost == "" && a.EmergencyGroup == "" {
		return errors.New("nothing pages the responders. Use PagerDuty, or set --mail-host and --page-to, or --page-slack-group")
	}
	if len(a.PageTo) > 0 && a.MailHost == "" {
		return errors.New("--page-to needs a mail relay. Set --mail-host")
	}
	if a.MailHost != "" && (a.MailPort < 1 || a.MailPort > 65535) {
		return fmt.Errorf("--mail-port %d is not a port. Write a number from 1 to 65535, such as 587", a.MailPort)
	}
	if modes := []string{"mandatory", "implicit", "opportunistic", "none"}; a.MailHost != "" && !slices.Contains(modes, a.MailTLS) {
		return fmt.Errorf("--mail-tls %q is not a mode of TLS. Use one of %s", a.MailTLS, strings.Join(modes, ", "))
	}
	seen := map[string]string{}
	for _, p := range a.People {
		for _, id := range []string{strings.ToLower(p.Email), p.Slack, p.PagerDuty} {
			if other, twice := seen[id]; twice && id != "" {
				return fmt.Errorf("%s and %s both have %s. Write each person once, in one department", other, p.Name, id)
			}
			seen[id] = p.Name
		}
	}
	if a.Local != "" && !slices.ContainsFunc(a.People, func(p initPerson) bool { return strings.EqualFold(p.Email, a.Local) }) {
		return fmt.Errorf("%s is the address of no person. Write the address of one of the people, or leave it out", a.Local)
	}
	return nil
}

// checkSignOff returns an error if people cannot sign as chosen.
func (a initAnswers) checkSignOff() error {
	switch {
	case a.SignOff == "" || a.SignOff == string(incident.AuthAny):
		return nil
	case !slices.Contains(incident.AuthLevels(), incident.AuthLevel(a.SignOff)):
		return fmt.Errorf("--sign-off %q is not a way to sign. Write passkey, mfa or any", a.SignOff)
	case a.PublicURL == "":
		return fmt.Errorf("--sign-off %s needs the pages. Set --public-url to their address, or write any", a.SignOff)
	}
	return nil
}

// SignLevel returns the value of sign_off.require.
func (a initAnswers) SignLevel() string {
	if a.SignOff == "" {
		return config.Placeholder + " passkey, mfa or any"
	}
	return a.SignOff
}

// checkPagerDutyAPI returns an error if only a part of the REST API is set.
func (a initAnswers) checkPagerDutyAPI() error {
	switch {
	case a.PagerDutyFrom == "" && a.PagerDutyService == "":
		return nil
	case !a.PagerDuty:
		return errors.New("--pagerduty-from and --pagerduty-service need PagerDuty. Leave out --pagerduty=false")
	case a.PagerDutyFrom == "":
		return errors.New("--pagerduty-service needs --pagerduty-from. Add the login address of a PagerDuty user")
	case !pagerDutyUserID.MatchString(a.PagerDutyService): // services have IDs of the same form
		return fmt.Errorf("--pagerduty-service %q is not the ID of a service. Copy it from the address of the service in PagerDuty, such as PABC123", a.PagerDutyService)
	}
	return nil
}

// useSandbox answers everything with the setup of a running sandbox.
func (a *initAnswers) useSandbox(s company.Setup) error {
	a.Listen = strings.TrimSuffix(strings.TrimPrefix(s.Bot, "http://"), "/")
	a.AnnounceChannel, a.SlackAPI, a.EmergencyGroup = s.Slack.AnnounceChannel, s.Slack.APIURL, s.Slack.EmergencyGroup
	a.SignOff = string(incident.AuthAny) // the people of the sandbox sign in its chat
	a.PagerDuty, a.PagerDutyURL = true, s.PagerDuty.EventsURL
	a.PagerDutyAPI, a.PagerDutyFrom, a.PagerDutyService = s.PagerDuty.APIURL, s.PagerDuty.From, s.PagerDuty.Service
	a.MailHost, a.MailPort, a.MailTLS, a.MailUser, a.MailFrom, a.PageTo = s.Mail.Host, s.Mail.Port, "none", s.Mail.Username, s.Mail.From, []string{s.Mail.Emergency}
	a.Sources = initSourceNames()
	if s.Slack.AppToken == "" {
		a.SlackURL = s.Bot
	}
	for _, p := range s.People {
		a.People = append(a.People, initPerson{Department: p.Department, Name: p.Name, Email: p.Email, Slack: p.Slack, PagerDuty: p.PagerDuty})
	}
	if len(a.People) == 0 {
		return errors.New("the sandbox has no people. Start it with `tocsin sandbox`, without --aws")
	}
	if a.Sandbox = true; a.Local == "" {
		a.Local = a.People[0].Email
	}
	a.secrets = map[string]string{"SLACK_BOT_TOKEN": s.Slack.BotToken, "SLACK_APP_TOKEN": s.Slack.AppToken, "SLACK_SIGNING_SECRET": s.Slack.SigningSecret,
		"PAGERDUTY_ROUTING_KEY": s.PagerDuty.RoutingKey, "PAGERDUTY_API_KEY": s.PagerDuty.APIKey, "PAGERDUTY_WEBHOOK_SECRET": s.PagerDuty.WebhookSecret, "SMTP_PASSWORD": s.Mail.Password,
		"SENTRY_CLIENT_SECRET": s.Sentry.ClientSecret, "EVENTBRIDGE_KEY": s.CloudTrail.APIKey}
	return nil
}

// defaultTimeZone returns the time zone of this machine, or UTC.
func defaultTimeZone() string {
	if zone := strings.TrimPrefix(os.Getenv("TZ"), ":"); zone != "" && !strings.HasPrefix(zone, "/") {
		return zone
	}
	target, err := filepath.EvalSymlinks("/etc/localtime")
	if err != nil {
		return "UTC"
	}
	_, zone, found := strings.Cut(target, "/zoneinfo/")
	if !found || zone == "Etc/UTC" {
		return "UTC"
	}
	return zone
}

// currentUser returns the name of the user of this process.
func currentUser() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return strconv.Itoa(os.Getuid())
}

// serviceUser returns the user that the unit names by default.
func serviceUser() string {
	if name := currentUser(); name != "root" {
		return name
	}
	return "tocsin"
}
