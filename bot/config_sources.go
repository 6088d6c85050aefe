package bot

import (
	"time"

	"tocsin/bot/secret"
)

// Sources configures the systems that send alerts. A source without a secret is
// off.
type Sources struct {
	TrustedProxies []string `koanf:"trusted_proxies"`

	Sentry       SentrySource       `koanf:"sentry"`
	CloudTrail   CloudTrailSource   `koanf:"cloudtrail"`
	SNS          SNSSource          `koanf:"sns"`
	Trail        TrailSource        `koanf:"trail"`
	PagerDuty    PagerDutySource    `koanf:"pagerduty"`
	Alertmanager AlertmanagerSource `koanf:"alertmanager"`
	Generic      []GenericSource    `koanf:"generic"`
	HackerOne    HackerOneSource    `koanf:"hackerone"`
	Report       ReportSource       `koanf:"report"`
}

// Limits bounds the requests to one source. Rate is in requests per second and
// sender. MaxBody is in bytes. Zero values mean the default.
type Limits struct {
	Off        bool     `koanf:"off"`
	Networks   []string `koanf:"networks"`
	MaxBody    int64    `koanf:"max_body"`
	Rate       float64  `koanf:"rate"`
	Burst      int      `koanf:"burst"`
	MaxWaiting int      `koanf:"max_waiting"`
}

// SentrySource receives the webhooks of a Sentry integration.
type SentrySource struct {
	ClientSecrets []secret.String `koanf:"client_secrets"`
	Limits        Limits          `koanf:"limits"`
}

// CloudTrailSource receives CloudTrail events from an EventBridge API
// destination.
type CloudTrailSource struct {
	APIKeys []secret.String `koanf:"api_keys"`
	Header  string          `koanf:"header"`
	Limits  Limits          `koanf:"limits"`
}

// SNSSource receives the messages of SNS topics.
type SNSSource struct {
	Topics  []string `koanf:"topics"`
	AllowV1 bool     `koanf:"allow_v1"`
	Limits  Limits   `koanf:"limits"`
}

// TrailSource reads CloudTrail log files that a queue announces.
type TrailSource struct {
	QueueURL string `koanf:"queue_url"`
	Region   string `koanf:"region"`
	Endpoint string `koanf:"endpoint"`
	Pollers  int    `koanf:"pollers"`
}

// PagerDutySource receives PagerDuty's v3 webhooks.
type PagerDutySource struct {
	WebhookSecrets []secret.String `koanf:"webhook_secrets"`
	Limits         Limits          `koanf:"limits"`
}

// AlertmanagerSource receives the webhooks of Prometheus Alertmanager.
type AlertmanagerSource struct {
	Tokens []secret.String `koanf:"tokens"`
	Basic  []Basic         `koanf:"basic"`
	Limits Limits          `koanf:"limits"`
}

// Basic holds credentials for basic authentication.
type Basic struct {
	Username string        `koanf:"username"`
	Password secret.String `koanf:"password"`
}

// GenericSource receives JSON at /hooks/NAME. Its mapping converts the JSON to
// alerts.
type GenericSource struct {
	Name           string            `koanf:"name"`
	Tokens         []secret.String   `koanf:"tokens"`
	HMAC           HMAC              `koanf:"hmac"`
	Headers        []string          `koanf:"headers"`
	DeliveryHeader string            `koanf:"delivery_header"`
	Mapping        map[string]string `koanf:"mapping"`
	Tags           map[string]string `koanf:"tags"`
	Limits         Limits            `koanf:"limits"`
}

// HMAC configures the signature of the raw body.
type HMAC struct {
	Header  string          `koanf:"header"`
	Prefix  string          `koanf:"prefix"`
	Secrets []secret.String `koanf:"secrets"`
}

// HackerOneSource receives HackerOne's webhooks.
type HackerOneSource struct {
	Secrets []secret.String `koanf:"secrets"`
	Limits  Limits          `koanf:"limits"`
}

// ReportSource receives vulnerability reports from a form and by mail.
type ReportSource struct {
	Form        *ReportForm    `koanf:"form"`
	Mailbox     *ReportMailbox `koanf:"mailbox"`
	SecurityTxt *SecurityTxt   `koanf:"security_txt"`
	Keys        []PGPKey       `koanf:"pgp_keys"`
	Signers     []string       `koanf:"pgp_signers"`
	AuthServID  string         `koanf:"auth_serv_id"`
}

// ReportForm is the public form at /report.
type ReportForm struct {
	Company        string   `koanf:"company"`
	Policy         string   `koanf:"policy"`
	Contact        string   `koanf:"contact"`
	TrustedOrigins []string `koanf:"trusted_origins"`
	Acknowledge    bool     `koanf:"acknowledge"`
}

// ReportMailbox is the mailbox for vulnerability reports, read over IMAP.
type ReportMailbox struct {
	Address     string        `koanf:"address"`
	TLS         string        `koanf:"tls"`
	Username    string        `koanf:"username"`
	Password    secret.String `koanf:"password"`
	Folder      string        `koanf:"folder"`
	Poll        time.Duration `koanf:"poll"`
	MaxMessage  int64         `koanf:"max_message"`
	Aliases     []string      `koanf:"aliases"`
	Acknowledge bool          `koanf:"acknowledge"`
}

// SecurityTxt holds the fields of /.well-known/security.txt.
type SecurityTxt struct {
	Contacts        []string `koanf:"contacts"`
	Expires         Day      `koanf:"expires"`
	Encryption      []string `koanf:"encryption"`
	Policy          []string `koanf:"policy"`
	Acknowledgments []string `koanf:"acknowledgments"`
	Languages       []string `koanf:"languages"`
	Canonical       []string `koanf:"canonical"`
	Hiring          []string `koanf:"hiring"`
}

// PGPKey names a file with an armored private key.
type PGPKey struct {
	File       string        `koanf:"file"`
	Passphrase secret.String `koanf:"passphrase"`
}
