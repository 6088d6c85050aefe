package bot

import (
	"time"

	"tocsin/bot/secret"
	"tocsin/bot/telemetry"
)

// Config is the configuration. `tocsin config example` prints one with every
// key.
type Config struct {
	Listen     string `koanf:"listen"`
	Database   string `koanf:"database"`
	KeysetFile string `koanf:"keyset_file"`
	Control    string `koanf:"control_socket"`
	// ControlGroup is the group, by name or number, whose members may connect to
	// the control socket. Empty: only the user that runs the bot and root.
	ControlGroup string `koanf:"control_socket_group"`
	ReplicaID    string `koanf:"replica_id"`
	TimeZone     string `koanf:"time_zone"`
	Language     string `koanf:"language"`

	Slack     Slack     `koanf:"slack"`
	PagerDuty PagerDuty `koanf:"pagerduty"`
	Mail      Mail      `koanf:"mail"`
	People    []Person  `koanf:"people"`
	// Administrators are the local users who may operate the instance through the
	// control socket. Empty: the user that runs the bot.
	Administrators []string        `koanf:"administrators"`
	Departments    map[string]Team `koanf:"departments"`
	Teams          map[string]Team `koanf:"teams"`
	Escalation     Escalation      `koanf:"escalation"`
	Sources        Sources         `koanf:"sources"`
	Detection      Detection       `koanf:"detection"`
	Routing        []Rule          `koanf:"routing"`
	Storm          Storm           `koanf:"storm"`
	Retention      Retention       `koanf:"retention"`
	Playbooks      Playbooks       `koanf:"playbooks"`
	SignOff        SignOff         `koanf:"sign_off"`
	Review         Review          `koanf:"review"`
	Redaction      Redaction       `koanf:"redaction"`
	Telemetry      Telemetry       `koanf:"telemetry"`
}

// Slack configures the Slack workspace and app.
type Slack struct {
	BotToken        secret.String `koanf:"bot_token"`
	AppToken        secret.String `koanf:"app_token"`
	SigningSecret   secret.String `koanf:"signing_secret"`
	AnnounceChannel string        `koanf:"announce_channel"`
	Command         string        `koanf:"command"`
	APIURL          string        `koanf:"api_url"`
}

// PagerDuty configures the Events API. Each escalation step has its own key.
type PagerDuty struct {
	EventsURL string `koanf:"events_url"`
}

// Mail configures the SMTP relay and the sender.
type Mail struct {
	Host        string        `koanf:"host"`
	Port        int           `koanf:"port"`
	TLS         string        `koanf:"tls"`
	Username    string        `koanf:"username"`
	Password    secret.String `koanf:"password"`
	From        string        `koanf:"from"`
	Postmortems []string      `koanf:"postmortems"`
}

// Person is a person with an id at each identity provider. Responder overrides
// the default: members of engineering and security are responders.
type Person struct {
	Name      string `koanf:"name"`
	Email     string `koanf:"email"`
	Slack     string `koanf:"slack"`
	PagerDuty string `koanf:"pagerduty"`
	Local     string `koanf:"local"`
	OIDC      string `koanf:"oidc"`
	Responder *bool  `koanf:"responder"`
}

// Team is a department or an affected team. Head, Members and Deputies refer to
// people by e-mail address, Slack id or name. SlackGroup adds its members.
type Team struct {
	SlackGroup string   `koanf:"slack_group"`
	Head       string   `koanf:"head"`
	Members    []string `koanf:"members"`
	Deputies   []Deputy `koanf:"deputies"`
}

// Deputy may sign for a department from the first day to the last, inclusive.
type Deputy struct {
	Person string `koanf:"person"`
	From   Day    `koanf:"from"`
	To     Day    `koanf:"to"`
}

// Day is a calendar day, such as 2026-12-20.
type Day struct{ time.Time }

// UnmarshalText parses a day in the form 2006-01-02.
func (d *Day) UnmarshalText(b []byte) (err error) {
	d.Time, err = time.Parse(time.DateOnly, string(b))
	return err
}

// Escalation is the escalation policy: the steps and their timeouts.
type Escalation struct {
	EscalateAfter time.Duration    `koanf:"escalate_after"`
	AckTimeout    time.Duration    `koanf:"ack_timeout"`
	NoPageFrom    string           `koanf:"no_page_from"`
	Steps         []EscalationStep `koanf:"steps"`
}

// EscalationStep is one page target. Exactly one field is set.
type EscalationStep struct {
	PagerDuty  *PagerDutyStep `koanf:"pagerduty"`
	Mail       *MailStep      `koanf:"mail"`
	SlackGroup string         `koanf:"slack_group"`
}

// PagerDutyStep pages with an Events API v2 integration.
type PagerDutyStep struct {
	RoutingKey secret.String `koanf:"routing_key"`
}

// MailStep pages by mail.
type MailStep struct {
	To []string `koanf:"to"`
}

// Rule is a routing rule. The first rule whose condition is true decides.
type Rule struct {
	When             string   `koanf:"when"`
	Open             string   `koanf:"open"`
	Playbook         string   `koanf:"playbook"`
	Attach           bool     `koanf:"attach"`
	Watch            bool     `koanf:"watch"`
	Drop             string   `koanf:"drop"`
	RecurrenceWindow Duration `koanf:"recurrence_window"`
}

// Storm limits how many incidents alerts may open within a duration. Above the
// limit, one incident groups the rest. Zero Incidents means no limit.
type Storm struct {
	Incidents int           `koanf:"incidents"`
	Per       time.Duration `koanf:"per"`
}

// Playbooks adds folders to the built-in playbooks.
type Playbooks struct {
	Folders []string `koanf:"folders"`
}

// SignOff configures signatures. No setting reduces the number required.
type SignOff struct {
	SubmitterMaySign bool `koanf:"submitter_may_sign"`
}

// Redaction configures redaction of outgoing text. KeepEmails are addresses and
// domains that stay readable. Literals are always redacted.
type Redaction struct {
	KeepEmails []string `koanf:"keep_emails"`
	Literals   []string `koanf:"literals"`
}

// Review configures the agenda of incidents that await review.
type Review struct {
	Agenda string `koanf:"agenda"`
}

// Telemetry configures the bot's own logs and error reports.
type Telemetry = telemetry.Config

// Defaults returns the configuration that [Load] starts from. The routing rules
// apply only if the file has no key routing.
func Defaults() Config {
	return Config{
		Listen: "127.0.0.1:8080", Database: "sqlite:tocsin.db", ReplicaID: "tocsin-1", TimeZone: "UTC", Language: "en",
		Slack:      Slack{AnnounceChannel: "incidents", Command: "/incident"},
		Mail:       Mail{Port: 587, TLS: "mandatory"},
		Escalation: Escalation{EscalateAfter: 5 * time.Minute, AckTimeout: 30 * time.Minute, NoPageFrom: "sev4"},
		Sources:    Sources{CloudTrail: CloudTrailSource{Header: "X-Api-Key"}},
		Review:     Review{Agenda: "0 9 * * MON"},
		Storm:      Storm{Incidents: 30, Per: 5 * time.Minute},
		Retention:  Retention{Alerts: days(400), Inbox: days(400), Audit: days(400)},
		Telemetry:  Telemetry{LogFormat: "text", LogLevel: "info"},
		Routing: []Rule{
			{When: `source == "cloudtrail" && level in ["high", "critical"]`, Open: "sev2", Playbook: "leaked-aws-credentials"},
			{When: `source == "sentry" && tags["data_leak"] == "true"`, Open: "sev1", Playbook: "data-exposure"},
			{When: `source == "pagerduty"`, Open: "sev3"},
			{When: `source == "report" && level in ["high", "critical"]`, Open: "sev3"},
			{When: `source == "report"`, Open: "sev4"},
			{When: `true`, Watch: true},
		},
	}
}
