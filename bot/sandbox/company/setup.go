package company

import (
	"net"
	"strconv"
)

// Setup holds the addresses and credentials that Tocsin needs for the systems of a
// company, and its people. All values are public: they open nothing but a sandbox.
type Setup struct {
	Page string `json:"page"` // URL of the web page
	Bot  string `json:"bot"`  // URL of Tocsin, the receiver of alerts and webhooks

	Slack struct {
		APIURL          string `json:"api_url"`
		BotToken        string `json:"bot_token"`
		AppToken        string `json:"app_token,omitempty"`
		SigningSecret   string `json:"signing_secret,omitempty"`
		AnnounceChannel string `json:"announce_channel"`
		EmergencyGroup  string `json:"emergency_group"`
	} `json:"slack"`
	PagerDuty struct {
		EventsURL     string `json:"events_url"`
		APIURL        string `json:"api_url"`
		APIKey        string `json:"api_key"`
		From          string `json:"from"`
		Service       string `json:"service"`
		RoutingKey    string `json:"routing_key"`
		WebhookSecret string `json:"webhook_secret"`
	} `json:"pagerduty"`
	Mail struct {
		Host      string `json:"host"`
		Port      int    `json:"port"`
		Username  string `json:"username,omitempty"`
		Password  string `json:"password,omitempty"`
		From      string `json:"from"`
		Emergency string `json:"emergency"`
		Everyone  string `json:"everyone"`
	} `json:"mail"`
	Sentry struct {
		ClientSecret string `json:"client_secret"`
	} `json:"sentry"`
	CloudTrail struct {
		APIKey string `json:"api_key"`
	} `json:"cloudtrail"`
	AWS    AWSSetup      `json:"aws"`
	People []SetupPerson `json:"people"`
}

// AWSSetup holds the keys and credentials of the source trail.
type AWSSetup struct {
	QueueURL        string `json:"queue_url,omitempty"`
	Region          string `json:"region,omitempty"`
	Endpoint        string `json:"endpoint,omitempty"`
	AccessKeyID     string `json:"access_key_id,omitempty"`
	SecretAccessKey string `json:"secret_access_key,omitempty"`
}

// SetupPerson is a member of the staff.
type SetupPerson struct {
	Name       string `json:"name"`
	Email      string `json:"email"`
	Slack      string `json:"slack"`
	PagerDuty  string `json:"pagerduty,omitempty"`
	Department string `json:"department"`
	Head       bool   `json:"head,omitempty"`
}

// Setup returns the addresses, credentials and people of c. The caller adds the page,
// the bot and AWS.
func (c *Company) Setup(o Options) (Setup, error) {
	var s Setup
	host, port, err := net.SplitHostPort(c.MailAt)
	if err != nil {
		return s, err
	}
	if s.Mail.Port, err = strconv.Atoi(port); err != nil {
		return s, err
	}
	s.Slack.APIURL, s.Slack.BotToken = c.ChatURL+"/api/", BotToken
	s.Slack.AnnounceChannel, s.Slack.EmergencyGroup = AnnounceChannel, EmergencyGroup
	if o.HTTP {
		s.Slack.SigningSecret = SigningSecret
	} else {
		s.Slack.AppToken = AppToken
	}
	s.PagerDuty.EventsURL, s.PagerDuty.RoutingKey, s.PagerDuty.WebhookSecret = c.PageURL, RoutingKey(), PagerSecret
	s.PagerDuty.APIURL, s.PagerDuty.APIKey, s.PagerDuty.From, s.PagerDuty.Service = c.PageURL, PagerToken, PagerUser(c.People), PagerService
	s.Mail.Host, s.Mail.Username, s.Mail.Password = host, o.MailUsername, o.MailPassword
	s.Mail.From, s.Mail.Emergency, s.Mail.Everyone = "tocsin@"+domain, EmergencyMail, EveryoneMail
	s.Sentry.ClientSecret, s.CloudTrail.APIKey = SentrySecret, TrailKey
	for _, p := range c.People {
		s.People = append(s.People, SetupPerson{Name: p.Name, Email: p.Email, Slack: p.ID, PagerDuty: p.Pager, Department: p.Department, Head: p.Head})
	}
	return s, nil
}
