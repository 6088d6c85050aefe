// Package company runs the external systems of a demo: a payroll company with
// its staff, Slack workspace, PagerDuty account and mail server. All servers
// listen on loopback and use the real protocols.
//
// Tocsin is configured with the addresses and secrets of these systems. When it
// listens, [Company.Connect] gives its address to them.
package company

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"time"

	"tocsin/bot/sandbox/answer"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/feed"
	"tocsin/bot/sandbox/mailbox"
	"tocsin/bot/sandbox/pager"
)

// Options configures a company.
type Options struct {
	Seed  uint64           // determines names, IDs and random choices
	HTTP  bool             // Slack delivers over HTTP instead of Socket Mode
	Clock func() time.Time // default time.Now
	Addr  string           // host of the servers, default 127.0.0.1
	// Port is the port of the workspace. PagerDuty and the mail server have the next
	// two. Zero selects free ports.
	Port int
	// MailUsername and MailPassword are required of senders of mail, if they are set.
	MailUsername, MailPassword string
	// Limits are the rate limits of the workspace. Zero fields have Slack's
	// limits.
	Limits chat.Limits
}

// Person is a member of the staff.
type Person struct {
	ID         string // Slack user ID
	Name       string
	Email      string
	Pager      string // PagerDuty user ID, empty if not on call
	Department string
	Head       bool
}

// Company is a running set of external systems.
type Company struct {
	People  []Person
	Chat    *chat.Workspace
	Pager   *pager.Account
	Mail    *mailbox.Mailbox
	Sentry  feed.Sentry     // usable after Connect
	Trail   feed.CloudTrail // usable after Connect
	ChatURL string          // base URL of the workspace (the Web API is under /api/)
	PageURL string          // base URL of PagerDuty's Events API
	MailAt  string          // host:port of the mail server
	Answers *answer.Set     // replace the responses of single methods

	clock func() time.Time
}

// The configuration of Tocsin contains these values.
const (
	BotToken        = "xoxb-sandbox-bot-token"
	AppToken        = "xapp-sandbox-app-token"
	SigningSecret   = "5a9db0c55a9db0c55a9db0c55a9db0c5"
	AnnounceChannel = "incidents"
	PagerSecret     = "sandbox-pagerduty-webhook-secret"
	PagerToken      = "sandbox-pager-token0"
	PagerService    = "PEMERG"
	SentrySecret    = "sandbox-sentry-client-secret"
	TrailKey        = "sandbox-eventbridge-key"
	EmergencyGroup  = "S0EMERGENCY"
	EmergencyMail   = "emergency@" + domain
	CustomersMail   = "customers@" + domain
	EveryoneMail    = "everyone@" + domain

	domain = "payroll.example"
)

// PagerUser returns the address of the PagerDuty user in whose name Tocsin writes.
func PagerUser(people []Person) string {
	n := slices.IndexFunc(people, func(p Person) bool { return p.Pager != "" })
	return people[n].Email
}

// RoutingKey returns the integration key of the emergency service.
func RoutingKey() string { return "0123456789abcdef0123456789abcdef" }

// Open starts the company's systems. The caller must call [Company.Close].
func Open(o Options) (_ *Company, err error) {
	c := &Company{People: newStaff(o.Seed), Answers: answer.NewSet(), clock: o.Clock}
	if c.clock == nil {
		c.clock = time.Now
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	addr := func(n int) string {
		port := 0
		if o.Port != 0 {
			port = o.Port + n
		}
		return net.JoinHostPort(cmp.Or(o.Addr, "127.0.0.1"), strconv.Itoa(port))
	}
	mode := chat.ModeSocket
	if o.HTTP {
		mode = chat.ModeHTTP
	}
	c.Chat = chat.New(chat.Config{
		Team: chat.Team{ID: "T0PAYROLL", Name: "Payroll & Partners", Domain: "payroll"},
		Bot:  chat.Bot{UserID: "U0TOCSIN", BotID: "B0TOCSIN", AppID: "A0TOCSIN", Name: "tocsin"}, BotToken: BotToken, AppToken: AppToken, SigningSecret: SigningSecret,
		Scopes: append(slices.Clone(chat.DefaultScopes), "chat:write.public"), Commands: []string{"/incident"}, Events: Events(), Shortcuts: Shortcuts(),
		People: c.chatPeople(), Groups: []chat.Group{{ID: EmergencyGroup, Handle: "emergency", Name: "Emergency", Members: c.slackIDs("engineering", "security")}},
		Channels: []chat.SeedChannel{{ID: "C0INCIDENTS", Name: AnnounceChannel, Purpose: "Every incident is announced here", Members: append(c.slackIDs(), "U0TOCSIN")},
			{ID: "C0GENERAL", Name: "general", Purpose: "All staff", Members: c.slackIDs()}},
		Mode: mode, Clock: o.Clock, Seed: o.Seed, Limits: o.Limits, Answers: c.Answers})
	if c.ChatURL, err = c.Chat.Start(addr(0)); err != nil {
		return nil, fmt.Errorf("start workspace: %w", err)
	}
	c.Pager = pager.New(pager.Config{Users: c.pagerUsers(), APIToken: PagerToken, Services: []pager.Service{{ID: PagerService, Name: "Emergency", RoutingKey: RoutingKey(), OnCall: c.onCall()}},
		Seed: fmt.Sprint(o.Seed), Now: o.Clock, Answers: c.Answers})
	if c.PageURL, err = c.Pager.Start(addr(1)); err != nil {
		return nil, fmt.Errorf("start pager: %w", err)
	}
	c.Mail = mailbox.New(mailbox.Config{Domain: "mail." + domain, Now: o.Clock, Answers: c.Answers, Username: o.MailUsername, Password: o.MailPassword})
	if c.MailAt, err = c.Mail.Start(addr(2)); err != nil {
		return nil, fmt.Errorf("start mail server: %w", err)
	}
	return c, nil
}

// Connect configures the external systems to send to Tocsin at the base URL
// bot.
func (c *Company) Connect(bot string) {
	mode := c.Chat.Config().Mode
	c.Chat.SetDelivery(mode, bot+"/slack/commands", bot+"/slack/interactions", bot+"/slack/events")
	c.Pager.AddWebhook(pager.Webhook{URL: bot + "/hooks/pagerduty", Secrets: []string{PagerSecret}})
	c.Sentry = feed.Sentry{URL: bot + "/hooks/sentry", Secret: SentrySecret, Now: c.clock, Timeout: senderTimeout}
	c.Trail = feed.CloudTrail{URL: bot + "/hooks/cloudtrail", APIKey: TrailKey, Now: c.clock, Timeout: senderTimeout}
}

// Close stops all systems that Open started.
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

// senderTimeout is how long the alert senders wait for a response. The real
// Sentry waits one second. A busy machine must not break a demo, and other
// tests measure the response time.
const senderTimeout = 20 * time.Second

// In returns the staff of a department, its head first.
func (c *Company) In(department string) []Person {
	var out []Person
	for _, p := range c.People {
		if p.Department == department {
			out = append(out, p)
		}
	}
	return out
}

// Departments returns all departments. The first four sign closing records.
func Departments() []string {
	return []string{"engineering", "security", "legal", "communications", "payments"}
}

// staffNames are the names of the staff, assigned in an order that depends on
// the seed.
var staffNames = []string{"Ada Okafor", "Bruno Lind", "Chloé Marchand", "Dmitri Vance", "Esra Yıldız", "Farid Haddad", "Grace Mbeki",
	"Hugo Silva", "Ines Brandt", "Jonas Weber", "Keiko Mori", "Liam Doyle", "Maya Cohen", "Noor Rahman", "Otto Berg", "Priya Nair"}

// newStaff returns four engineers, three people for security and two for each
// other department.
func newStaff(seed uint64) []Person {
	order := rand.New(rand.NewPCG(seed, 1)).Perm(len(staffNames))
	sizes := map[string]int{"engineering": 4, "security": 3, "legal": 2, "communications": 2, "payments": 2}
	var out []Person
	for _, department := range Departments() {
		for n := range sizes[department] {
			k := len(out)
			p := Person{ID: fmt.Sprintf("U%03d%s", k+1, initials(staffNames[order[k]])), Name: staffNames[order[k]], Department: department, Head: n == 0}
			p.Email = fmt.Sprintf("%s@%s", userName(p.Name), domain)
			if department == "engineering" || department == "security" {
				p.Pager = fmt.Sprintf("P%03d%s", k+1, initials(p.Name))
			}
			out = append(out, p)
		}
	}
	return out
}

func initials(name string) string { return string([]byte{name[0], name[len(name)-1] &^ 0x20 & 0x5f}) }

// userName returns name in lower case and ASCII, with dots for spaces.
func userName(name string) string {
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

func (c *Company) chatPeople() []chat.Person {
	out := make([]chat.Person, len(c.People))
	for n, p := range c.People {
		out[n] = chat.Person{ID: p.ID, Name: userName(p.Name), RealName: p.Name, Email: p.Email, TZ: "Europe/Paris"}
		if p.Head {
			out[n].Title = "Head of " + p.Department
		}
	}
	return out
}

// slackIDs returns the Slack IDs of the given departments, or of all staff.
func (c *Company) slackIDs(departments ...string) []string {
	var out []string
	for _, p := range c.People {
		if len(departments) == 0 || slices.Contains(departments, p.Department) {
			out = append(out, p.ID)
		}
	}
	return out
}

func (c *Company) pagerUsers() []pager.User {
	var out []pager.User
	for _, p := range c.People {
		if p.Pager != "" {
			out = append(out, pager.User{ID: p.Pager, Name: p.Name, Email: p.Email})
		}
	}
	return out
}

// onCall returns the heads of engineering and security.
func (c *Company) onCall() []string {
	return []string{c.In("engineering")[0].Pager, c.In("security")[0].Pager}
}

// Shortcuts returns the shortcuts that the app of the workspace declares, as its manifest
// does.
func Shortcuts() []chat.Shortcut {
	return []chat.Shortcut{
		{Type: chat.ShortcutGlobal, CallbackID: "open_incident", Name: "Report an incident", Description: "Report a security problem"},
		{Type: chat.ShortcutMessage, CallbackID: "add_note", Name: "Add to timeline", Description: "Add this message to the timeline of the incident"},
		{Type: chat.ShortcutMessage, CallbackID: "add_action", Name: "Make an action item", Description: "Make this message an action item with an owner and a due date"},
		{Type: chat.ShortcutMessage, CallbackID: "add_evidence", Name: "Keep as evidence", Description: "Keep this message and its files as evidence with their SHA-256"},
	}
}

// Events returns the types of events that the app of the workspace subscribes to, as
// its manifest does.
func Events() []string {
	return []string{"app_home_opened", "app_mention", "file_change", "file_deleted", "message.channels", "message.groups", "message.im",
		"reaction_added", "reaction_removed", "subteam_members_changed"}
}
