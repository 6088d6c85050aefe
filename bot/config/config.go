// Package config composes the configuration of the program from those of its parts,
// and reads it from a file.
//
// Each part declares a Config with yaml tags and its own Validate. This package owns
// only the keys that several parts need, such as people and the escalation policy.
// [Load] decodes the file once and reports every problem with its file, line and
// column:
//
//	c, err := config.Load("tocsin.yaml")
//	// tocsin.yaml:12:14: slack.bot_token: the environment variable SLACK_BOT_TOKEN is not set. Set it or write the value
package config

import (
	"strings"
	"time"

	"tocsin/bot/backup"
	"tocsin/bot/control"
	"tocsin/bot/detect"
	"tocsin/bot/incident"
	"tocsin/bot/mail"
	"tocsin/bot/pagerduty"
	"tocsin/bot/publication"
	"tocsin/bot/redact"
	"tocsin/bot/response"
	"tocsin/bot/slack"
	"tocsin/bot/telemetry"
	"tocsin/bot/web"
	"tocsin/store"
)

// Config is the configuration. `tocsin config example` prints one with every
// key.
type Config struct {
	Listen string `yaml:"listen"`
	// PublicURL is the address at which people and senders reach Listen, or "".
	PublicURL string `yaml:"public_url"`
	// ConferenceURL is the address of the call of an incident, with [IncidentID] for its ID,
	// or "".
	ConferenceURL string `yaml:"conference_url"`
	// SecretsFile names a file with lines NAME=VALUE. They set the variables ${NAME} that
	// the environment does not set.
	SecretsFile string         `yaml:"secrets_file"`
	Store       store.Config   `yaml:",inline"`
	Control     control.Config `yaml:",inline"`
	Web         web.Config     `yaml:",inline"`
	TimeZone    string         `yaml:"time_zone"`
	Language    string         `yaml:"language"`

	Slack       slack.Config        `yaml:"slack"`
	PagerDuty   pagerduty.Config    `yaml:"pagerduty"`
	Mail        mail.Config         `yaml:"mail"`
	People      []Person            `yaml:"people"`
	Departments map[string]Team     `yaml:"departments"`
	Teams       map[string]Team     `yaml:"teams"`
	Escalation  Escalation          `yaml:"escalation"`
	Sources     Sources             `yaml:"sources"`
	Detection   detect.Config       `yaml:"detection"`
	Routing     []response.Rule     `yaml:"routing"`
	Storm       response.StormLimit `yaml:"storm"`
	Retention   store.Retention     `yaml:"retention"`
	Backup      backup.Config       `yaml:"backup"`
	Notary      publication.Config  `yaml:"notary"`
	Playbooks   Playbooks           `yaml:"playbooks"`
	Updates     Updates             `yaml:"updates"`
	SignOff     SignOff             `yaml:"sign_off"`
	Review      Review              `yaml:"review"`
	Redaction   redact.Options      `yaml:"redaction"`
	Telemetry   telemetry.Config    `yaml:"telemetry"`
}

// Playbooks adds folders to the built-in playbooks.
type Playbooks struct {
	Folders []string `yaml:"folders"`
}

// Review configures the agenda of incidents that await review.
type Review struct {
	Agenda string `yaml:"agenda"`
}

// Defaults returns the configuration that [Load] starts from. The routing rules
// apply only if the file has no key routing.
func Defaults() Config {
	c := Config{
		Listen: "127.0.0.1:8080", Store: store.Defaults(), Web: web.Defaults(), TimeZone: "UTC", Language: "en",
		Slack: slack.Defaults(), Mail: mail.Defaults(), Telemetry: telemetry.Defaults(), Retention: store.DefaultRetention(), Backup: backup.Defaults(), Notary: publication.Defaults(),
		Escalation: Escalation{EscalateAfter: 5 * time.Minute, AckTimeout: 30 * time.Minute, NoPageFrom: "sev4", PageTest: PageTest{At: "Tue 10:00"}},
		SignOff:    SignOff{DeputyAfter: incident.DefaultSignDeputyAfter, HeadAfter: incident.DefaultSignHeadAfter},
		Review:     Review{Agenda: "0 9 * * MON"},
		Storm:      response.StormLimit{Incidents: 30, Per: 5 * time.Minute},
		Routing: []response.Rule{
			{When: `source == "cloudtrail" && level in ["high", "critical"]`, Open: "sev2", Playbook: "leaked-aws-credentials"},
			{When: `source == "sentry" && tags["data_leak"] == "true"`, Open: "sev1", Playbook: "data-exposure"},
			{When: `source == "pagerduty"`, Open: "sev3"},
			{When: `source == "report" && level in ["high", "critical"]`, Open: "sev3"},
			{When: `source == "report"`, Open: "sev4"},
			{When: `true`, Watch: true},
		},
	}
	c.Sources.setDefaults()
	return c
}

// ControlPath returns the path of the control socket. Without control_socket it
// is FILE.sock for the database sqlite:FILE, and tocsin.sock for PostgreSQL.
func (c Config) ControlPath() string {
	if c.Control.Socket != "" {
		return c.Control.Socket
	}
	if path, ok := strings.CutPrefix(c.Store.URL, "sqlite:"); ok {
		return path + ".sock"
	}
	return "tocsin.sock"
}
