// Package company is the outside world of a demo in one piece: a payroll
// company with its people, its Slack workspace, its PagerDuty account and its
// mail server, all on loopback and speaking the real protocols.
//
// A bot is connected to it like to the real thing: it is given these addresses
// and secrets, and after it listens Connect tells the outside systems where.
package company

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/feed"
	"tocsin/bot/sandbox/mailbox"
	"tocsin/bot/sandbox/pager"
)

// Options say which company it is.
type Options struct {
	Seed  uint64           // changes names, ids and what is random
	HTTP  bool             // Slack delivers over HTTP instead of Socket Mode
	Clock func() time.Time // time.Now if nil
	Addr  string           // host the servers listen on; 127.0.0.1 if empty
	// Limits of the workspace's rate; zero is what Slack allows.
	Limits chat.Limits
}

// Person is somebody who works there.
type Person struct {
	ID         string // Slack user id
	Name       string
	Email      string
	Pager      string // PagerDuty user id; "" for those who are not on call
	Department string
	Head       bool
}

// Company is the running outside world.
type Company struct {
	People  []Person
	Chat    *chat.Workspace
	Pager   *pager.Account
	Mail    *mailbox.Mailbox
	Sentry  feed.Sentry     // usable after Connect
	Trail   feed.CloudTrail // usable after Connect
	ChatURL string          // base of the workspace; the Web API stands under /api/
	PageURL string          // base of PagerDuty's Events API
	MailAt  string          // host:port of the mail server

	clock func() time.Time
}

// What the bot is configured with.
const (
	BotToken        = "xoxb-sandbox-bot-token"
	AppToken        = "xapp-sandbox-app-token"
	SigningSecret   = "sandbox-signing-secret"
	AnnounceChannel = "incidents"
	PagerSecret     = "sandbox-pagerduty-webhook-secret"
	SentrySecret    = "sandbox-sentry-client-secret"
	TrailKey        = "sandbox-eventbridge-key"
	EmergencyGroup  = "S0EMERGENCY"
	EmergencyMail   = "emergency@" + domain
	EveryoneMail    = "everyone@" + domain

	domain = "payroll.example"
)

// RoutingKey is the integration key of the emergency service.
func RoutingKey() string { return "0123456789abcdef0123456789abcdef" }

// Open starts the company's systems. Close ends them.
func Open(o Options) (_ *Company, err error) {
	c := &Company{People: staff(o.Seed), clock: o.Clock}
	if c.clock == nil {
		c.clock = time.Now
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	host := cmp.Or(o.Addr, "127.0.0.1")
	mode := chat.ModeSocket
	if o.HTTP {
		mode = chat.ModeHTTP
	}
	c.Chat = chat.New(chat.Config{
		Team: chat.Team{ID: "T0PAYROLL", Name: "Payroll & Partners", Domain: "payroll"},
		Bot:  chat.Bot{UserID: "U0TOCSIN", BotID: "B0TOCSIN", AppID: "A0TOCSIN", Name: "tocsin"}, BotToken: BotToken, AppToken: AppToken, SigningSecret: SigningSecret,
		Scopes: append(slices.Clone(chat.DefaultScopes), "chat:write.public"), Commands: []string{"/incident"},
		People: c.members(), Groups: []chat.Group{{ID: EmergencyGroup, Handle: "emergency", Name: "Emergency", Members: c.ids("engineering", "security")}},
		Channels: []chat.SeedChannel{{ID: "C0INCIDENTS", Name: AnnounceChannel, Purpose: "Every incident is announced here", Members: append(c.ids(), "U0TOCSIN")},
			{ID: "C0GENERAL", Name: "general", Purpose: "Everybody", Members: c.ids()}},
		Mode: mode, Clock: o.Clock, Seed: o.Seed, Limits: o.Limits})
	if c.ChatURL, err = c.Chat.Start(host + ":0"); err != nil {
		return nil, fmt.Errorf("start the workspace: %w", err)
	}
	c.Pager = pager.New(pager.Config{Users: c.responders(), Services: []pager.Service{{ID: "PEMERG", Name: "Emergency alias", RoutingKey: RoutingKey(), OnCall: c.onCall()}},
		Seed: fmt.Sprint(o.Seed), Now: o.Clock})
	if c.PageURL, err = c.Pager.Start(host + ":0"); err != nil {
		return nil, fmt.Errorf("start the pager: %w", err)
	}
	c.Mail = mailbox.New(mailbox.Config{Domain: "mail." + domain, Now: o.Clock})
	if c.MailAt, err = c.Mail.Start(host + ":0"); err != nil {
		return nil, fmt.Errorf("start the mail server: %w", err)
	}
	return c, nil
}

// Connect tells the outside systems where the bot listens.
func (c *Company) Connect(bot string) {
	mode := c.Chat.Config().Mode
	c.Chat.SetDelivery(mode, bot+"/slack/commands", bot+"/slack/interactions", bot+"/slack/events")
	c.Pager.AddWebhook(pager.Webhook{URL: bot + "/hooks/pagerduty", Secrets: []string{PagerSecret}})
	c.Sentry = feed.Sentry{URL: bot + "/hooks/sentry", Secret: SentrySecret, Now: c.clock, Within: patience}
	c.Trail = feed.CloudTrail{URL: bot + "/hooks/cloudtrail", APIKey: TrailKey, Now: c.clock, Within: patience}
}

// Close ends everything that Open started.
func (c *Company) Close() error {
	var errs []error
	if c.Chat != nil {
		errs = append(errs, c.Chat.Close())
	}
	if c.Pager != nil {
		errs = append(errs, c.Pager.Close())
	}
	if c.Mail != nil {
		errs = append(errs, c.Mail.Close())
	}
	return errors.Join(errs...)
}

// patience is how long the senders wait for an answer. The real Sentry waits
// one second; how fast the bot answers is measured, and not decided by how busy
// the machine is that plays a demo.
const patience = 20 * time.Second

// In lists the people of a department, its head first.
func (c *Company) In(department string) []Person {
	var out []Person
	for _, p := range c.People {
		if p.Department == department {
			out = append(out, p)
		}
	}
	return out
}

// Departments lists them, the four that sign first.
func Departments() []string {
	return []string{"engineering", "security", "legal", "communications", "payments"}
}

// names are given to the staff in an order the seed decides.
var names = []string{"Ada Okafor", "Bruno Lind", "Chloé Marchand", "Dmitri Vance", "Esra Yıldız", "Farid Haddad", "Grace Mbeki",
	"Hugo Silva", "Ines Brandt", "Jonas Weber", "Keiko Mori", "Liam Doyle", "Maya Cohen", "Noor Rahman", "Otto Berg", "Priya Nair"}

// staff hires three engineers, three for security and two for each of the others.
func staff(seed uint64) []Person {
	order := rand.New(rand.NewPCG(seed, 1)).Perm(len(names))
	sizes := map[string]int{"engineering": 4, "security": 3, "legal": 2, "communications": 2, "payments": 2}
	var out []Person
	for _, department := range Departments() {
		for n := range sizes[department] {
			k := len(out)
			p := Person{ID: fmt.Sprintf("U%03d%s", k+1, initials(names[order[k]])), Name: names[order[k]], Department: department, Head: n == 0}
			p.Email = fmt.Sprintf("%s@%s", handle(p.Name), domain)
			if department == "engineering" || department == "security" {
				p.Pager = fmt.Sprintf("P%03d%s", k+1, initials(p.Name))
			}
			out = append(out, p)
		}
	}
	return out
}

func initials(name string) string { return string([]byte{name[0], name[len(name)-1] &^ 0x20 & 0x5f}) }

// handle makes an ASCII user name.
func handle(name string) string {
	var b []byte
	for _, r := range name {
		switch {
		case r == ' ':
			b = append(b, '.')
		case r >= 'A' && r <= 'Z':
			b = append(b, byte(r|0x20))
		case r >= 'a' && r <= 'z':
			b = append(b, byte(r))
		case r == 'é':
			b = append(b, 'e')
		case r == 'ı':
			b = append(b, 'i')
		}
	}
	return string(b)
}

func (c *Company) members() []chat.Person {
	out := make([]chat.Person, len(c.People))
	for n, p := range c.People {
		out[n] = chat.Person{ID: p.ID, Name: handle(p.Name), RealName: p.Name, Email: p.Email, TZ: "Europe/Paris"}
		if p.Head {
			out[n].Title = "Head of " + p.Department
		}
	}
	return out
}

// ids lists the Slack ids of departments, or of everybody.
func (c *Company) ids(departments ...string) []string {
	var out []string
	for _, p := range c.People {
		if len(departments) == 0 || slices.Contains(departments, p.Department) {
			out = append(out, p.ID)
		}
	}
	return out
}

func (c *Company) responders() []pager.User {
	var out []pager.User
	for _, p := range c.People {
		if p.Pager != "" {
			out = append(out, pager.User{ID: p.Pager, Name: p.Name, Email: p.Email})
		}
	}
	return out
}

// onCall are the first two of engineering and of security.
func (c *Company) onCall() []string {
	return []string{c.In("engineering")[0].Pager, c.In("security")[0].Pager}
}
