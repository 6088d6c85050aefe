package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tocsin/bot"
	"tocsin/bot/config"
	"tocsin/bot/incident"
	"tocsin/bot/response"
	"tocsin/bot/sandbox/answer"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/mailbox"
	"tocsin/bot/sandbox/pager"
	"tocsin/bot/secret"
	"tocsin/store"
)

// healthTest is a bot with the sandbox around it, whose clocks the test moves forward.
type healthTest struct {
	*testing.T
	company   *company.Company
	config    config.Config
	keys      *store.Keyset
	http      bool // Slack sends requests over HTTP
	bot       *bot.Bot
	stop      func()       // ends the bot
	ahead     atomic.Int64 // of the clocks, compared with three days ago
	skew      atomic.Int64 // of the clock of the sandbox, compared with the bot
	free      atomic.Int64 // space of the disk
	heartbeat atomic.Int64 // status of the heartbeat service
	broken    atomic.Bool  // whether the configuration file is invalid
	hangup    chan os.Signal
	mu        sync.Mutex
	log       bytes.Buffer
}

// now returns the time for the bot. It is in the past, because the queue compares the
// times of jobs with the clock of the machine.
func (h *healthTest) now() time.Time {
	return time.Now().Add(-72*time.Hour + time.Duration(h.ahead.Load()))
}

func (h *healthTest) pass(d time.Duration) { h.ahead.Add(int64(d)) }

func (h *healthTest) Write(line []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.log.Write(line)
}

func (h *healthTest) logText() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.log.String()
}

func startHealthTest(t *testing.T, http bool) *healthTest {
	h := &healthTest{T: t, http: http, hangup: make(chan os.Signal, 1)}
	h.free.Store(1 << 40)
	h.heartbeat.Store(200)
	var err error
	sandboxClock := func() time.Time { return h.now().Add(time.Duration(h.skew.Load())) }
	if h.company, err = company.Open(company.Options{Seed: 11, HTTP: http, Clock: sandboxClock, Limits: chat.Limits{Off: true}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.company.Close() })
	if h.config, err = demoConfig(h.company, demoOptions{Dir: t.TempDir(), HTTP: http}); err != nil {
		t.Fatal(err)
	}
	h.config.Telemetry.HeartbeatURL, h.config.Telemetry.HeartbeatInterval = secret.New(h.heartbeatService()), 10*time.Second
	if h.keys, err = store.Ephemeral(); err != nil {
		t.Fatal(err)
	}
	h.startBot()
	t.Cleanup(func() {
		h.stop()
		h.checkLog()
		if t.Failed() {
			t.Log(h.logText())
		}
	})
	return h
}

// startBot starts the bot with the current configuration.
func (h *healthTest) startBot() {
	h.Helper()
	cfg := h.config
	var err error
	h.bot, err = bot.New(h.Context(), cfg, bot.Options{Clock: h.now, LogOutput: h, Keyset: h.keys, Hangup: h.hangup, FreeDisk: func() (int64, error) { return h.free.Load(), nil },
		Load: func() (config.Config, error) {
			if h.broken.Load() {
				return cfg, fmt.Errorf("tocsin.yaml:1:1: not a configuration")
			}
			return cfg, nil
		}})
	if err != nil {
		h.Fatal(err)
	}
	h.company.Connect("http://" + h.bot.Addr())
	ctx, cancel := context.WithCancel(context.WithoutCancel(h.Context()))
	ended := make(chan error, 1)
	go func() { ended <- h.bot.Run(ctx) }()
	h.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			h.Errorf("the bot ended with %v", err)
		}
		h.bot.Close()
	})
	h.waitFor("the bot to be ready", func() bool {
		return strings.Contains(h.get("/readyz"), `"ready"`) && (h.http || h.company.Chat.Connections() > 0)
	})
}

// TestHealth_RestartWithoutThePart restarts the bot with a configuration without a part
// about which people have a notice. The notice ends.
func TestHealth_RestartWithoutThePart(t *testing.T) {
	t.Parallel()
	h := startHealthTest(t, false)
	h.heartbeat.Store(503)
	h.waitFor("the failed heartbeat", func() bool { h.pass(10 * time.Second); return h.degraded()["heartbeat"] != "" })
	h.pass(16 * time.Minute)
	h.waitFor("the notice", func() bool { return h.hasNotice("Slack", ": heartbeat") })
	h.stop()
	h.config.Telemetry.HeartbeatURL = secret.String{}
	h.startBot()
	h.waitFor("the end of the notice", func() bool { return h.hasNotice("Slack", "Works again: heartbeat") })
}

// goType is the name of a Go type, which means nothing to operators.
var goType = regexp.MustCompile(`\*[a-z]+\.[A-Za-z]+`)

// checkLog requires that each line has one component and no Go type, and that each line
// about an effect identifies it.
func (h *healthTest) checkLog() {
	for line := range strings.Lines(h.logText()) {
		if strings.Count(line, " component=") != 1 || goType.MatchString(line) {
			h.Errorf("got log line %q, want one component and no Go type", line)
		}
		if strings.Contains(line, `msg="effect `) {
			for _, key := range []string{" kind=", " incident=", " attempt=", " err="} {
				if !strings.Contains(line, key) {
					h.Errorf("got log line %q, want%s", line, key)
				}
			}
		}
	}
}

// heartbeatService starts a service that answers with the status of the test.
func (h *healthTest) heartbeatService() string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(int(h.heartbeat.Load()))
	}))
	h.Cleanup(s.Close)
	return s.URL
}

func (h *healthTest) get(path string) string {
	res, err := http.Get("http://" + h.bot.TelemetryAddr() + path)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return string(body)
}

// degraded returns the causes in /readyz by part.
func (h *healthTest) degraded() map[string]string {
	var body struct {
		Degraded []struct {
			Part, Cause, Fix string
			Since            time.Time
		}
	}
	_ = json.Unmarshal([]byte(h.get("/readyz")), &body)
	out := map[string]string{}
	for _, d := range body.Degraded {
		if d.Since.IsZero() {
			h.Errorf("%s has no begin", d.Part)
		}
		if d.Cause == "" || d.Fix == "" {
			h.Errorf("%s has the cause %q and the fix %q, want both", d.Part, d.Cause, d.Fix)
		}
		out[d.Part] = d.Cause
	}
	return out
}

func (h *healthTest) waitFor(what string, done func() bool) {
	h.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(60 * time.Second); ; {
		if done() {
			return
		}
		select {
		case <-limit:
			h.Fatalf("waited for %s, got /readyz %s", what, h.get("/readyz"))
		case <-tick.C:
		}
	}
}

// hasNotice reports whether a notice with a text arrived by a way.
func (h *healthTest) hasNotice(way, text string) bool {
	switch way {
	case "mail":
		return slices.ContainsFunc(h.company.Mail.Messages(), func(m mailbox.Message) bool { return strings.Contains(m.Subject+m.Text, text) })
	case "Slack":
		return slices.ContainsFunc(h.company.Chat.Messages("C0INCIDENTS"), func(m chat.Message) bool { return strings.Contains(m.Text+string(m.Blocks), text) })
	}
	return slices.ContainsFunc(h.company.Pager.Snapshot().Pages, func(p pager.Page) bool { return strings.Contains(p.Text, text) })
}

// outage is a part that fails through the protocol of its system.
type outage struct {
	part  string
	cause string // is in the cause in /readyz
	http  bool   // Slack sends requests over HTTP
	// begin and end change the system.
	begin, end func(*healthTest)
	notice     string // the way of the notice
	without    string // the way that gets no notice, or ""
}

func slackAnswer(method, body string) func(*healthTest) {
	return func(h *healthTest) { h.company.Answers.Put(answer.Answer{Method: method, Body: answer.Text(body)}) }
}

func clearAnswer(method string) func(*healthTest) {
	return func(h *healthTest) { h.company.Answers.Put(answer.Answer{Method: method, Left: answer.Times(0)}) }
}

var outages = []outage{
	{part: "Slack API", cause: "Slack answers with the HTTP status 500", notice: "mail", without: "Slack",
		begin: func(h *healthTest) { h.company.Chat.SetFault(chat.Fault{Method: "*", Kind: chat.FaultServerError}) },
		end:   func(h *healthTest) { h.company.Chat.ClearFaults() }},
	{part: "Slack API", cause: "token", notice: "mail", without: "Slack",
		begin: slackAnswer("auth.test", `{"ok":false,"error":"token_revoked"}`), end: clearAnswer("auth.test")},
	{part: "Slack Socket Mode", cause: "Slack does not accept the app token", notice: "mail",
		begin: func(h *healthTest) {
			slackAnswer("apps.connections.open", `{"ok":false,"error":"invalid_auth"}`)(h)
			h.company.Chat.DropSockets()
		}, end: clearAnswer("apps.connections.open")},
	{part: "Slack requests", cause: "3 requests to /slack/ had a wrong signature", notice: "Slack", http: true,
		begin: func(h *healthTest) {
			for range 3 {
				h.signedWrongly()
			}
		},
		end: func(h *healthTest) {
			_, _ = h.company.Chat.Act(h.company.People[0].ID).Command("C0GENERAL", "/incident", "help")
		}},
	{part: "mail", cause: "The mail relay closes the connection", notice: "Slack", without: "mail",
		begin: func(h *healthTest) { h.company.Mail.SetFaults(mailbox.Rule{Fault: mailbox.FaultOffline}) },
		end:   func(h *healthTest) { h.company.Mail.SetFaults() }},
	{part: "escalation step 1 (PagerDuty)", cause: "PagerDuty answers with the HTTP status 500", notice: "mail",
		begin: func(h *healthTest) { h.company.Pager.SetFaults(pager.Rule{Fault: pager.FaultError}) },
		end:   func(h *healthTest) { h.company.Pager.SetFaults() }},
	{part: "escalation step 3 (Slack group)", cause: "The Slack user group S0EMERGENCY does not exist", notice: "Slack",
		begin: slackAnswer("usergroups.users.list", `{"ok":false,"error":"no_such_subteam"}`), end: clearAnswer("usergroups.users.list")},
	{part: "clock", cause: "The clock of this machine is 1m", notice: "Slack",
		begin: func(h *healthTest) { h.skew.Store(int64(90 * time.Second)) }, end: func(h *healthTest) { h.skew.Store(0) }},
	{part: "disk space", cause: "The disk of the database has 100 MiB left", notice: "mail",
		begin: func(h *healthTest) { h.free.Store(100 << 20) }, end: func(h *healthTest) { h.free.Store(1 << 40) }},
	{part: "configuration", cause: "The last reload of the configuration was refused", notice: "Slack",
		begin: func(h *healthTest) { h.broken.Store(true); h.hangup <- os.Interrupt },
		end:   func(h *healthTest) { h.broken.Store(false); h.hangup <- os.Interrupt }},
	{part: "heartbeat", cause: "The heartbeat service answers with the HTTP status 503", notice: "Slack",
		begin: func(h *healthTest) { h.heartbeat.Store(503) }, end: func(h *healthTest) { h.heartbeat.Store(200) }},
}

func (h *healthTest) signedWrongly() {
	req, _ := http.NewRequest(http.MethodPost, "http://"+h.bot.Addr()+"/slack/events", strings.NewReader("{}"))
	req.Header.Set("X-Slack-Request-Timestamp", fmt.Sprint(h.now().Unix()))
	req.Header.Set("X-Slack-Signature", "v0=0123")
	if res, err := http.DefaultClient.Do(req); err == nil {
		_ = res.Body.Close()
	}
}

// TestHealth_EachDependency takes each dependency away through the protocol of its
// system. It must be seen in /readyz, in metrics, in the log and in a notice by a way
// that works, and so must its recovery.
func TestHealth_EachDependency(t *testing.T) {
	for _, o := range outages {
		t.Run(o.part+" "+o.cause, func(t *testing.T) {
			t.Parallel()
			startHealthTest(t, o.http).run(o)
		})
	}
}

func (h *healthTest) run(o outage) {
	o.begin(h)
	h.pass(6 * time.Minute) // the next probe is due
	h.waitFor(o.part+" degraded", func() bool { return strings.Contains(h.degraded()[o.part], o.cause) })
	h.waitFor("the metric", func() bool { return strings.Contains(h.get("/metrics"), `tocsin_degraded{part="`+o.part+`"} 1`) })
	h.waitFor("the log", func() bool {
		return strings.Contains(strings.ReplaceAll(h.logText(), "part="+o.part, `part="`+o.part), `msg="part degraded" component=readiness part="`+o.part)
	})
	along := map[string]string{"Slack API": "escalation step 3 (Slack group)", "mail": "escalation step 2 (mail)", "escalation step 1 (PagerDuty)": "PagerDuty REST API"}[o.part]
	if got := h.degraded(); len(got) > 2 || len(got) == 2 && got[along] == "" {
		h.Errorf("got degraded parts %q, want only %s", got, o.part)
	}
	h.pass(16 * time.Minute)
	h.waitFor("the notice", func() bool { return h.hasNotice(o.notice, "Degraded since ") && h.hasNotice(o.notice, ": "+o.part) })
	if o.without != "" && h.hasNotice(o.without, o.part) || h.hasNotice("PagerDuty", "Degraded") {
		h.Error("a notice went by a way that does not work, or paged without need")
	}
	o.end(h)
	h.pass(time.Minute)
	h.waitFor("the recovery", func() bool { return len(h.degraded()) == 0 })
	h.pass(7 * time.Minute)
	h.waitFor("the notice of the recovery", func() bool { return h.hasNotice(o.notice, "Works again: "+o.part) })
}

// TestHealth_PagesIfNothingElseWorks takes Slack and mail away. PagerDuty pages after 15
// minutes, because a critical part does not work. The page is resolved after the
// recovery.
func TestHealth_PagesIfNothingElseWorks(t *testing.T) {
	t.Parallel()
	h := startHealthTest(t, false)
	h.company.Chat.SetFault(chat.Fault{Method: "*", Kind: chat.FaultServerError})
	h.company.Mail.SetFaults(mailbox.Rule{Fault: mailbox.FaultOffline})
	h.pass(6 * time.Minute)
	h.waitFor("two degraded parts", func() bool { d := h.degraded(); return d["Slack API"] != "" && d["mail"] != "" })
	h.pass(16 * time.Minute)
	h.waitFor("the page", func() bool { return h.hasNotice("PagerDuty", ": Slack API") })
	if h.hasNotice("PagerDuty", ": mail") {
		t.Error("got a page about mail, which is not critical")
	}
	h.waitFor("an error about mail in the log", func() bool {
		h.pass(5 * time.Second) // the second attempt follows a minute later
		return strings.Contains(h.logText(), `level=ERROR msg="send notice of degraded part failed" component=readiness part=mail`)
	})
	h.company.Chat.ClearFaults()
	h.company.Mail.SetFaults()
	h.pass(time.Minute)
	h.waitFor("the recovery", func() bool { return len(h.degraded()) == 0 })
	h.pass(7 * time.Minute)
	h.waitFor("the end of the page", func() bool {
		return slices.ContainsFunc(h.company.Pager.Snapshot().Incidents, func(in pager.Incident) bool {
			return strings.Contains(in.Title, "Slack API") && in.Status == "resolved"
		})
	})
	if got := len(h.company.Pager.Snapshot().Incidents); got != 1 { // no incident about the page, and none about the group
		t.Errorf("got %d incidents in PagerDuty, want 1", got)
	}
}

// TestHealth_LiveIncident takes Slack away during an incident. People know after two
// minutes, by mail and by a page.
func TestHealth_LiveIncident(t *testing.T) {
	t.Parallel()
	h := startHealthTest(t, false)
	h.open(incident.Sev4)
	h.company.Chat.SetFault(chat.Fault{Method: "*", Kind: chat.FaultServerError})
	h.pass(time.Minute)
	h.waitFor("the outage", func() bool { return h.degraded()["Slack API"] != "" })
	h.pass(2*time.Minute + 15*time.Second)
	h.waitFor("the notices", func() bool {
		return h.hasNotice("mail", ": Slack API") && h.hasNotice("PagerDuty", ": Slack API")
	})
}

// TestHealth_NothingWorks takes Slack, mail and PagerDuty away. The log has an error. The
// notices are sent when a way works again.
func TestHealth_NothingWorks(t *testing.T) {
	t.Parallel()
	h := startHealthTest(t, false)
	h.company.Chat.SetFault(chat.Fault{Method: "*", Kind: chat.FaultServerError})
	h.company.Mail.SetFaults(mailbox.Rule{Fault: mailbox.FaultOffline})
	h.company.Pager.SetFaults(pager.Rule{Fault: pager.FaultOffline})
	h.pass(6 * time.Minute)
	h.waitFor("three degraded parts", func() bool {
		d := h.degraded()
		return d["Slack API"] != "" && d["mail"] != "" && d["escalation step 1 (PagerDuty)"] != ""
	})
	h.pass(16 * time.Minute)
	h.waitFor("errors in the log", func() bool {
		h.pass(5 * time.Second) // the second attempt follows a minute later
		return strings.Contains(h.logText(), `level=ERROR msg="send notice of degraded part failed" component=readiness part="Slack API"`)
	})
	h.company.Chat.ClearFaults()
	h.pass(time.Minute)
	h.waitFor("Slack to work", func() bool { return h.degraded()["Slack API"] == "" })
	h.pass(time.Minute)
	h.waitFor("the notice about mail", func() bool { return h.hasNotice("Slack", ": mail") })
}

// TestHealth_RefusedPage gives PagerDuty a routing key that it rejects. The escalation step
// stays degraded although PagerDuty answers, and the page waits for an administrator.
func TestHealth_RefusedPage(t *testing.T) {
	t.Parallel()
	h := startHealthTest(t, false)
	h.company.Answers.Put(answer.Answer{Method: "pagerduty.events", Status: 400, Body: `{"status":"invalid event","message":"Event object is invalid","errors":["Invalid routing key"]}`})
	id := h.open(incident.Sev1)
	h.waitFor("the refused step", func() bool { return h.degraded()["escalation step 1 (PagerDuty)"] != "" })
	// The timers of the pages run at once, because the clock is in the past. Each new round
	// replaces the page that waits, so a rare count can miss it.
	h.waitFor("the waiting effect", func() bool {
		h.pass(time.Second)
		return strings.Contains(h.degraded()["waiting effects"], "wait for an administrator: 1, the first one because PagerDuty does not accept the routing key")
	})
	h.waitFor("its metrics", func() bool {
		h.pass(time.Second)
		return strings.Contains(h.get("/metrics"), `tocsin_effects_waiting{blocked="true",system="pagerduty"} 1`)
	})
	h.company.Answers.Put(answer.Answer{Method: "pagerduty.events", Left: answer.Times(0)})
	if _, err := h.bot.Store().RetryEffects(t.Context(), response.WaitingQuery{Incident: id}); err != nil {
		t.Fatal(err)
	}
	h.waitFor("the page", func() bool { return len(h.company.Pager.Snapshot().Pages) > 0 })
	h.pass(20 * time.Second)
	h.waitFor("the recovery", func() bool { return len(h.degraded()) == 0 })
}

// TestHealth_RoutingKeyAcceptedAgain lets PagerDuty refuse a page that nobody needs later.
// The step recovers when PagerDuty accepts another event with the routing key.
func TestHealth_RoutingKeyAcceptedAgain(t *testing.T) {
	t.Parallel()
	h := startHealthTest(t, false)
	h.pass(3 * 24 * time.Hour) // to the present, so that pauses and rounds last as long as elsewhere
	const step = "escalation step 1 (PagerDuty)"
	paged := h.open(incident.Sev1)
	h.waitFor("the first page", func() bool { return len(h.company.Pager.Snapshot().Pages) > 0 })
	h.company.Answers.Put(answer.Answer{Method: "pagerduty.events", Status: 400, Body: `{"status":"invalid event","message":"Event object is invalid","errors":["Invalid routing key"]}`})
	refused := h.open(incident.Sev1)
	h.waitFor("the refused page", func() bool { return h.degraded()[step] != "" })
	h.acknowledge(refused)
	retry := func(query response.WaitingQuery) {
		if _, err := h.bot.Store().RetryEffects(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	retry(response.WaitingQuery{Incident: refused})
	h.waitFor("the end of the page that nobody needs", func() bool {
		waiting, err := h.bot.Store().WaitingEffects(t.Context(), response.WaitingQuery{Incident: refused})
		return err == nil && !slices.ContainsFunc(waiting, func(w incident.WaitingEffect) bool { return w.Kind == incident.EffectPage })
	})
	h.company.Answers.Put(answer.Answer{Method: "pagerduty.events", Left: answer.Times(0)})
	if h.degraded()[step] == "" {
		t.Error("the step recovered although PagerDuty accepted nothing")
	}
	h.acknowledge(paged)
	h.waitFor("the recovery", func() bool { return h.degraded()[step] == "" })
}

func (h *healthTest) acknowledge(id incident.ID) {
	h.Helper()
	if _, err := h.bot.Desk().Do(h.Context(), incident.Command{Verb: incident.VerbAcknowledge, For: id, By: incident.Identity{Provider: incident.ProviderSlack, ID: h.company.People[0].ID}, Via: incident.ViaSlack}); err != nil {
		h.Fatal(err)
	}
}

// open opens an incident.
func (h *healthTest) open(severity incident.Severity) incident.ID {
	h.Helper()
	r, err := h.bot.Desk().Do(h.Context(), incident.Command{Verb: incident.VerbOpen, Title: "a key leaked", Severity: severity, By: incident.System, Via: incident.ViaSystem})
	if err != nil {
		h.Fatal(err)
	}
	return r.Incident.ID
}

// TestHealth_StrangerPagesNobody sends alerts with wrong credentials during an incident.
// People get a notice, but no page, because anyone can send such alerts.
func TestHealth_StrangerPagesNobody(t *testing.T) {
	t.Parallel()
	h := startHealthTest(t, false)
	h.open(incident.Sev4)
	for range 3 {
		res, err := http.Post("http://"+h.bot.Addr()+"/hooks/sentry", "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
	}
	h.waitFor("the refusals", func() bool { return h.degraded()["source sentry"] != "" })
	h.pass(2*time.Minute + 15*time.Second)
	h.waitFor("the notice", func() bool { return h.hasNotice("Slack", ": source sentry") && h.hasNotice("mail", ": source sentry") })
	db, err := sql.Open("sqlite", strings.TrimPrefix(h.config.Store.URL, "sqlite:"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	notices, pages := 0, 0 // a page would be committed together with the notices
	if err := db.QueryRow("SELECT COALESCE(SUM(kind = 'mail_notice'), 0), COALESCE(SUM(kind = 'page_notice'), 0) FROM effects").Scan(&notices, &pages); err != nil || notices != 1 || pages != 0 {
		t.Errorf("got %d notices by mail and %d pages, error %v, want that a stranger pages nobody", notices, pages, err)
	}
}

// TestHealth_RateLimitIsNoOutage lets Slack limit the rate of some messages. Slack works,
// so nothing is degraded.
func TestHealth_RateLimitIsNoOutage(t *testing.T) {
	t.Parallel()
	h := startHealthTest(t, false)
	limited := make(chan struct{}, 1000)
	defer h.company.Chat.Subscribe(func(e chat.Entry) {
		if e.Call != nil && e.Call.Method == "conversations.create" {
			limited <- struct{}{}
		}
	})()
	h.company.Chat.SetFault(chat.Fault{Method: "conversations.create", Kind: chat.FaultRateLimit, RetryAfter: 1})
	h.open(incident.Sev4)
	<-limited
	<-limited // so the first result was reported
	h.free.Store(100 << 20)
	h.waitFor("a check of all parts after the limit", func() bool { return h.degraded()["disk space"] != "" })
	if got := h.degraded(); len(got) != 1 {
		t.Errorf("got degraded parts %q because of a limit, want only the disk space", got)
	}
	h.company.Chat.ClearFaults()
	h.waitFor("the channel", func() bool {
		return slices.ContainsFunc(h.company.Chat.Calls(), func(c chat.Call) bool { return c.Method == "conversations.create" && c.OK })
	})
	if got := strings.Count(h.logText(), "part degraded"); got != 1 {
		t.Errorf("got %d degraded parts, want only the disk space", got)
	}
}
