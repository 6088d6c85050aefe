package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bot"
	"tocsin/bot/config"
	"tocsin/bot/incident"
	"tocsin/bot/mail"
	"tocsin/bot/pagerduty"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/page"
	"tocsin/bot/secret"
	"tocsin/store"
)

// demoOptions configures a demo.
type demoOptions struct {
	Dir    string // folder of the database
	Seed   uint64
	HTTP   bool // Slack over HTTP instead of Socket Mode
	Limits chat.Limits
	Logger *slog.Logger
	Log    io.Writer // destination of the bot's log without Logger
	Level  string    // least level of the bot's log, or "" for the default
	Clock  func() time.Time
	Pages  bool // serve the pages, at which people sign in with an OpenID provider of the sandbox
}

// demo runs the bot and the sandbox in one process. For the bot, only the
// addresses in its configuration differ from production.
type demo struct {
	Company *company.Company
	Bot     *bot.Bot
	Config  config.Config
	idp     *demoProvider // nil without pages
	ended   chan error
	cancel  context.CancelFunc
}

// startDemo starts the sandbox and the bot, and waits until the bot is connected
// to Slack. The caller must call Close.
func startDemo(ctx context.Context, o demoOptions) (_ *demo, err error) {
	d := &demo{ended: make(chan error, 1), cancel: func() {}}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	if d.Company, err = company.Open(company.Options{Seed: o.Seed, HTTP: o.HTTP, Clock: o.Clock, Limits: o.Limits}); err != nil {
		return nil, err
	}
	if d.Config, err = demoConfig(d.Company, o); err != nil {
		return nil, err
	}
	if o.Pages {
		if d.idp, err = serveProvider(&d.Config, d.Company, o.Clock); err != nil {
			return nil, err
		}
	}
	keys, err := store.Ephemeral()
	if err != nil {
		return nil, err
	}
	if d.Bot, err = bot.New(ctx, d.Config, bot.Options{Clock: o.Clock, Logger: o.Logger, LogOutput: o.Log, Keyset: keys}); err != nil {
		return nil, err
	}
	d.Company.Connect("http://" + d.Bot.Addr())
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	d.cancel = cancel
	go func() { d.ended <- d.Bot.Run(run) }()
	return d, d.awaitSocket(ctx)
}

// awaitSocket waits until the bot has opened its Socket Mode connection. With
// HTTP it returns at once.
func (d *demo) awaitSocket(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	up := func() bool { return d.Config.Slack.AppToken.IsZero() || d.Company.Chat.Connections() > 0 }
	if err := d.Company.Chat.WaitFor(ctx, up); err != nil {
		return fmt.Errorf("wait for the bot to connect to Slack: %w", err)
	}
	return nil
}

// Close stops the bot, then the sandbox.
func (d *demo) Close() error {
	var errs []error
	d.cancel()
	if d.Bot != nil {
		if d.Config.Listen != "" && d.Company != nil {
			select {
			case err := <-d.ended:
				errs = append(errs, err)
			case <-time.After(20 * time.Second):
				errs = append(errs, errors.New("the bot did not stop within 20 s"))
			}
		}
		d.Bot.Close()
	}
	if d.idp != nil {
		errs = append(errs, d.idp.server.Close())
	}
	if d.Company != nil {
		errs = append(errs, d.Company.Close())
	}
	return errors.Join(errs...)
}

// demoConfig returns an ordinary configuration with the sandbox's addresses.
func demoConfig(c *company.Company, o demoOptions) (config.Config, error) {
	cfg := config.Defaults()
	cfg.Listen, cfg.Telemetry.Listen, cfg.TimeZone = "127.0.0.1:0", "127.0.0.1:0", "Europe/Paris"
	cfg.ConferenceURL = "https://meet.example.com/" + config.IncidentID
	cfg.Telemetry.LogLevel = cmp.Or(o.Level, cfg.Telemetry.LogLevel)
	cfg.Store.URL = "sqlite:" + filepath.Join(o.Dir, "tocsin.db")
	cfg.Store.KeysetFile = filepath.Join(o.Dir, "keyset") // only named: the demo's keys stay in memory
	cfg.Slack.APIURL, cfg.Slack.BotToken = c.ChatURL+"/api/", secret.New(company.BotToken)
	cfg.Slack.AnnounceChannel = company.AnnounceChannel
	cfg.SignOff.Require = incident.AuthAny // the story signs in the chat
	if o.HTTP {
		cfg.Slack.SigningSecret = secret.New(company.SigningSecret)
	} else {
		cfg.Slack.AppToken = secret.New(company.AppToken)
	}
	host, port, err := net.SplitHostPort(c.MailAt)
	if err != nil {
		return cfg, err
	}
	cfg.Mail.Host, cfg.Mail.TLS, cfg.Mail.From = host, "none", "tocsin@payroll.example"
	if cfg.Mail.Port, err = strconv.Atoi(port); err != nil {
		return cfg, err
	}
	cfg.Mail.Postmortems = []string{company.EveryoneMail}
	cfg.PagerDuty = pagerduty.Config{EventsURL: c.PageURL, APIURL: c.PageURL, APIKey: secret.New(company.PagerToken), From: company.PagerUser(c.People), Service: company.PagerService}
	cfg.Updates = demoUpdates(c)
	cfg.Escalation.PageTest = config.PageTest{} // a demo on a Tuesday must not surprise people
	cfg.Escalation.Steps = []config.Step{
		{PagerDuty: &pagerduty.Target{RoutingKey: secret.New(company.RoutingKey())}},
		{Mail: &mail.Target{To: []string{company.EmergencyMail}}},
		{SlackGroup: company.EmergencyGroup},
	}
	cfg.Sources.Sentry.ClientSecrets = []secret.String{secret.New(company.SentrySecret)}
	cfg.Sources.CloudTrail.APIKeys = []secret.String{secret.New(company.TrailKey)}
	cfg.Sources.PagerDuty.WebhookSecrets = []secret.String{secret.New(company.PagerSecret)}
	cfg.Departments, cfg.Teams = map[string]config.Team{}, map[string]config.Team{}
	for _, p := range c.People {
		cfg.People = append(cfg.People, config.Person{Name: p.Name, Email: p.Email, Slack: p.ID, PagerDuty: p.Pager})
		teams := cfg.Departments
		if p.Department == "payments" {
			teams = cfg.Teams
		}
		t := teams[p.Department]
		t.Members = append(t.Members, p.Email)
		if p.Head {
			t.Head = p.Email
		}
		teams[p.Department] = t
	}
	counsel := c.In("legal")
	cfg.Teams["dpo"] = config.Team{Members: []string{counsel[len(counsel)-1].Email}} // also the data protection officer
	if faults := cfg.Validate(); len(faults) > 0 {
		return cfg, faults
	}
	return cfg, nil
}

// demoUpdates returns audiences and statements to try updates with. Both audiences may get
// the approved words about restricted incidents, which most incidents of the sandbox are.
func demoUpdates(c *company.Company) config.Updates {
	return config.Updates{
		FirstWithin: config.FirstWithin{Sev1: 15 * time.Minute, Sev2: time.Hour},
		Audiences: []config.Audience{
			{Name: "company", SlackChannel: company.AnnounceChannel, Restricted: true},
			{Name: "customers", Mail: []string{company.CustomersMail}, Restricted: true},
		},
		Statements: []config.StatementText{
			{Name: "holding", Text: "We are investigating a security incident, {incident}. The next update comes by {next}.", ApprovedBy: c.In("legal")[0].Email},
			{Name: "correction", Text: "Correction of update {earlier}: {text}"},
		},
	}
}

func demoCommand() *cobra.Command {
	var (
		auto bool
		out  string
		addr string
		seed uint64
		http bool
	)
	cmd := &cobra.Command{
		Use: "demo", Short: "Try Tocsin on this machine with a sandbox of Slack, PagerDuty and mail", Args: noArguments,
		Long: "Start the bot with a sandbox that implements the protocols of Slack, PagerDuty and mail, and print the address of a\n" +
			"web page. On the page you can act as any person of a sandbox company. At a second address you sign in to the pages of\n" +
			"Tocsin, with an OpenID provider of the sandbox. With --auto, the sandbox plays a complete incident and writes the\n" +
			"transcript and the postmortem to a folder. Nothing else is stored.",
		Example: "  tocsin demo\n  tocsin demo --addr 127.0.0.1:8081 --seed 3\n  tocsin demo --auto --out out",
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := os.MkdirTemp("", "tocsin-demo-")
			if err != nil {
				return err
			}
			defer func() { _ = os.RemoveAll(dir) }()
			log, stop := guardSideChannels()
			defer stop()
			o := demoOptions{Dir: dir, Seed: seed, HTTP: http, Log: log}
			if auto {
				return runDemoStory(cmd.Context(), cmd.OutOrStdout(), o, out)
			}
			o.Pages = true
			return serveDemo(cmd.Context(), cmd, o, addr)
		},
	}
	cmd.Flags().BoolVar(&auto, "auto", false, "play a complete incident and exit")
	cmd.Flags().StringVar(&out, "out", "out", "with --auto: `folder` for transcript.md, postmortem.md and postmortem.html")
	cmd.Flags().Uint64Var(&seed, "seed", 1, "`number` that determines the company's people and, with --auto, the course of the incident")
	cmd.Flags().StringVar(&addr, "addr", "127.0.0.1:0", "`address` of the page (port 0 selects a free port)")
	cmd.Flags().BoolVar(&http, "http", false, "use Slack over HTTP instead of Socket Mode")
	return cmd
}

// serveDemo serves the page until ctx or the bot ends.
func serveDemo(ctx context.Context, cmd *cobra.Command, o demoOptions, addr string) error {
	d, err := startDemo(ctx, o)
	if err != nil {
		return err
	}
	w, err := servePage(d.Company, addr, nil, deliveryOutcome(d.Bot))
	if err != nil {
		return errors.Join(err, d.Close())
	}
	text := fmt.Sprintf("\n  Tocsin is running with a sandbox of Slack, PagerDuty and mail. Open\n\n    %s\n\n  Sign in to the pages of Tocsin as any person at\n\n    %s\n\n  Press Ctrl-C to stop. Nothing is stored.\n\n", w.URL, d.Config.PublicURL)
	if err := writeText(cmd.OutOrStdout(), text); err != nil {
		return errors.Join(err, w.Close(), d.Close())
	}
	var ended error
	select {
	case <-ctx.Done():
	case ended = <-d.ended:
		d.ended <- nil
	}
	return errors.Join(ended, w.Close(), d.Close())
}

// demoPage is the running web server of a demo's page.
type demoPage struct {
	URL    string
	page   *page.Page
	server *http.Server
}

// servePage serves the page of a company at addr. It adds the address of the page to
// setup, if there is one, and serves it. outcome returns the outcome of an
// alert, or is nil. The caller must close the page before the company.
func servePage(c *company.Company, addr string, setup *company.Setup, outcome func(context.Context, []byte) (string, error)) (*demoPage, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("serve page: %w", err)
	}
	url := "http://" + l.Addr().String()
	cfg := page.Config{Workspace: c.Chat, Pager: c.Pager, Mailbox: c.Mail, Sentry: c.Sentry, CloudTrail: c.Trail, People: demoPeople(c), Answers: c.Answers,
		Commands: demoHints(), Outcome: outcome}
	if setup != nil {
		setup.Page = url
		cfg.Setup = setup
	}
	p := page.New(cfg)
	w := &demoPage{URL: url, page: p, server: &http.Server{Handler: p.Handler(), ReadHeaderTimeout: 5 * time.Second}}
	go func() { _ = w.server.Serve(l) }()
	return w, nil
}

// Close ends all event streams of the page, waits up to 2 seconds for requests in
// progress, and stops the server.
func (w *demoPage) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := errors.Join(w.page.Close(), w.server.Shutdown(ctx)); err != nil {
		return errors.Join(err, w.server.Close())
	}
	return nil
}

// demoPeople returns the company's people as the page shows them.
func demoPeople(c *company.Company) []page.Person {
	out := make([]page.Person, len(c.People))
	for n, p := range c.People {
		out[n] = page.Person{User: p.ID, Department: p.Department}
		if p.Pager != "" {
			out[n].Note = "responder"
		}
	}
	return out
}
