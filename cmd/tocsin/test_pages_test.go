package main

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bot"
	"tocsin/bot/config"
	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/pager"
	"tocsin/store"
)

// testPageRun is a bot with the sandbox around it.
type testPageRun struct {
	*testing.T
	ctx     context.Context
	company *company.Company
	bot     *bot.Bot
	head    company.Person
}

func startTestPageRun(t *testing.T, change func(*config.Config)) *testPageRun {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	sandbox, err := company.Open(company.Options{Seed: 6})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sandbox.Close() })
	cfg, err := demoConfig(sandbox, demoOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	change(&cfg)
	keys, err := store.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	b, err := bot.New(ctx, cfg, bot.Options{Keyset: keys})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	sandbox.Connect("http://" + b.Addr())
	run, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- b.Run(run) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("bot stopped with %v", err)
		}
	})
	r := &testPageRun{T: t, ctx: ctx, company: sandbox, bot: b, head: sandbox.In("engineering")[0]}
	r.untilChat("the connection", func() bool { return sandbox.Chat.Connections() > 0 })
	return r
}

// slash types a command outside of any incident.
func (r *testPageRun) slash(text string) string {
	r.Helper()
	m, err := r.company.Chat.Act(r.head.ID).Command("C0GENERAL", "/incident", text)
	if err != nil || m == nil {
		r.Fatalf("%s: got %v, %v, want an answer", text, m, err)
	}
	return m.Text + string(m.Blocks)
}

func (r *testPageRun) untilChat(what string, done func() bool) {
	r.Helper()
	if err := r.company.Chat.WaitFor(r.ctx, done); err != nil {
		r.Fatalf("%s: %v", what, err)
	}
}

// page waits for the test page in PagerDuty.
func (r *testPageRun) page(status string) (found pager.Incident) {
	r.Helper()
	if err := r.company.Pager.Until(r.ctx, func() bool {
		all := r.company.Pager.Snapshot().Incidents
		if len(all) == 1 {
			found = all[0]
		}
		return found.Status == status
	}); err != nil {
		r.Fatalf("got %+v, %v, want one page that is %s", r.company.Pager.Snapshot().Incidents, err, status)
	}
	return found
}

func (r *testPageRun) wantAcknowledged() {
	r.Helper()
	if got := r.slash("page test list"); !strings.Contains(got, r.head.Name+" acknowledged step 1 after ") || !strings.Contains(got, "started by "+r.head.Name) {
		r.Errorf("got %s, want the acknowledgement of %s", got, r.head.Name)
	}
	found, err := r.bot.Desk().List(r.ctx, incident.Identity{Provider: incident.ProviderSlack, ID: r.head.ID}, incident.Filter{All: true})
	if err != nil || len(found) != 0 {
		r.Errorf("got %v, %v, want no incident", found, err)
	}
}

// TestTestPage_PagerDuty acknowledges a test page in PagerDuty, with webhooks and without.
func TestTestPage_PagerDuty(t *testing.T) {
	for name, change := range map[string]func(*config.Config){
		"webhook": func(c *config.Config) { c.PagerDuty.APIKey = config.Defaults().PagerDuty.APIKey },
		"polled":  func(c *config.Config) { c.Sources.PagerDuty.WebhookSecrets = nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := startTestPageRun(t, change)
			if got := r.slash("page test"); !strings.Contains(got, "Tocsin sends a test page through step 1") {
				t.Fatalf("got %s, want the start of a test", got)
			}
			page := r.page(pager.Triggered)
			if !strings.HasPrefix(page.Title, "TEST ") || !strings.Contains(page.Title, "Nothing is wrong") {
				t.Errorf("got title %q, want the mark of a test", page.Title)
			}
			if got := r.slash("page test"); !strings.Contains(got, "A test page has been running since") {
				t.Errorf("got %s, want one test at a time", got)
			}
			if err := r.company.Pager.Acknowledge(page.ID, r.head.Pager); err != nil {
				t.Fatal(err)
			}
			r.page(pager.Resolved)
			r.wantAcknowledged()
		})
	}
}

// TestTestPage_Slack presses the button of a test page to a group. The button then goes
// away in all messages.
func TestTestPage_Slack(t *testing.T) {
	t.Parallel()
	r := startTestPageRun(t, func(c *config.Config) { c.Escalation.Steps = c.Escalation.Steps[2:] })
	r.slash("page test")
	var page chat.Message
	find := func(text string) func() bool {
		return func() bool {
			all := r.company.Chat.Messages("C0INCIDENTS")
			n := slices.IndexFunc(all, func(m chat.Message) bool { return strings.Contains(m.Text, text) })
			if n >= 0 {
				page = all[n]
			}
			return n >= 0
		}
	}
	r.untilChat("the page", find("this is a test page of Tocsin"))
	var blocks []struct {
		Elements []struct {
			ID    string `json:"action_id"`
			Value string `json:"value"`
		} `json:"elements"`
	}
	if err := json.Unmarshal(page.Blocks, &blocks); err != nil {
		t.Fatal(err)
	}
	for _, b := range blocks {
		for _, e := range b.Elements {
			if strings.HasPrefix(e.Value, "page test ack ") {
				if err := r.company.Chat.Act(r.head.ID).Click(page.Channel, page.TS, chat.Action{ID: e.ID, Value: e.Value}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	r.untilChat("the end of the page", find("acknowledged a test page of Tocsin"))
	if strings.Contains(string(page.Blocks), "page test ack") {
		t.Errorf("got %s, want no button", page.Blocks)
	}
	r.wantAcknowledged()
}

// TestTestPage_Mail types the code of a test page that arrived by mail.
func TestTestPage_Mail(t *testing.T) {
	t.Parallel()
	r := startTestPageRun(t, func(c *config.Config) { c.Escalation.Steps = c.Escalation.Steps[1:2] })
	r.slash("page test")
	const subject = "TEST page of Tocsin "
	code := ""
	for code == "" && r.ctx.Err() == nil {
		for _, m := range r.company.Mail.Messages() {
			code, _ = strings.CutPrefix(m.Subject, subject)
		}
	}
	if got := r.slash("page test list"); strings.Contains(got, code) {
		t.Errorf("got %s, want no code of a running test", got)
	}
	if got := r.slash("page test ack " + strings.ToLower(code)); !strings.Contains(got, "You acknowledged the test page after") {
		t.Errorf("got %s, want the acknowledgement", got)
	}
	r.wantAcknowledged()
}

// TestTestPage_WeeklyMissed lets the weekly test page be missed at each step, which notifies
// people and degrades the bot.
func TestTestPage_WeeklyMissed(t *testing.T) {
	t.Parallel()
	h := startHealthTest(t, false)
	h.stop()
	zone, err := time.LoadLocation(h.config.TimeZone)
	if err != nil {
		t.Fatal(err)
	}
	due := h.now().In(zone).Truncate(time.Minute).Add(2 * time.Minute)
	h.config.Escalation.PageTest.At = due.Format("Mon 15:04")
	h.startBot()
	h.pass(2 * time.Minute)
	// The timers run at once, because the clock is in the past.
	h.waitFor("the degraded part", func() bool {
		return strings.Contains(h.degraded()["test page"], "Nobody acknowledged the test page of")
	})
	for _, way := range []string{"Slack", "mail"} {
		h.waitFor("the notice by "+way, func() bool { return h.hasNotice(way, "Nobody acknowledged the test page of") })
	}
	h.waitFor("the end after the last step", func() bool {
		list, err := h.bot.Desk().TestPages(h.Context())
		return err == nil && len(list.Tests) == 1 && list.Tests[0].StartedBy == "" && list.Tests[0].EscalationStep == 2 && !list.Tests[0].Running()
	})
}
