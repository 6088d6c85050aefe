package slack

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	neutral "tocsin/bot/chat"
	"tocsin/bot/incident"
	"tocsin/bot/outbound"
	"tocsin/bot/redact"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/secret"
)

// noon is the time in these tests, for the workspace and for Slack under
// test.
var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// outboundTest connects a Slack under test with a sandbox workspace.
type outboundTest struct {
	*testing.T
	ws      *chat.Workspace
	slack   *Slack
	effects *neutral.Effects // on slack
	ctx     context.Context
}

func newOutboundTest(t *testing.T, change ...func(*chat.Config)) *outboundTest {
	t.Helper()
	cfg := chat.Config{
		People: []chat.Person{
			{ID: "U0ADA", Name: "ada"}, {ID: "U0BEN", Name: "ben"}, {ID: "U0CLEO", Name: "cleo"}, {ID: "U0DAN", Name: "dan"},
			{ID: "U0EVE", Name: "eve"}, {ID: "U0OLD", Name: "old", Deactivated: true},
		},
		Channels: []chat.SeedChannel{{ID: "C000000INC", Name: "incidents", Members: []string{"U0ADA", "U0BOT"}}},
		Clock:    func() time.Time { return noon },
	}
	cfg.Limits.Off = true
	for _, f := range change {
		f(&cfg)
	}
	ws := chat.New(cfg)
	base, err := ws.Start("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ws.Close(); err != nil {
			t.Error(err)
		}
	})
	set := ws.Config()
	s, err := New(Config{BotToken: secret.New(set.BotToken), SigningSecret: secret.New(set.SigningSecret), APIURL: base + "/api/",
		AnnounceChannel: "#incidents"}, Deps{Redact: redact.New(redact.Options{}).Text, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	f := &outboundTest{T: t, ws: ws, ctx: context.Background()}
	f.use(s)
	return f
}

// use makes the effects use another Slack under test.
func (f *outboundTest) use(s *Slack) {
	f.slack, f.effects = s, neutral.New(s, slog.New(slog.DiscardHandler))
}

// isPermanent reports whether a retry cannot help.
func isPermanent(err error) bool {
	var p *incident.Permanent
	return errors.As(err, &p)
}

// isBlocked reports whether an administrator must repair the cause.
func isBlocked(err error) bool {
	var b *incident.Blocked
	return errors.As(err, &b)
}

// testDirectory returns the people in the tests. Dan has no Slack user.
func testDirectory() incident.Directory {
	person := func(id, name, slack string, responder bool) incident.Person {
		p := incident.Person{ID: incident.PersonID(id), Name: name, Responder: responder}
		if slack != "" {
			p.Identities = []incident.Identity{{Provider: incident.ProviderSlack, ID: slack}}
		}
		return p
	}
	team := func(name incident.Department, group string, members ...incident.PersonID) incident.Team {
		t := incident.Team{Name: name, Group: group}
		for _, m := range members {
			t.Members = append(t.Members, incident.Membership{Person: m})
		}
		return t
	}
	return incident.Directory{
		People: []incident.Person{person("p1", "Ada Byron", "U0ADA", true), person("p2", "Ben Oduya", "U0BEN", true), person("p3", "Cleo Marsh", "U0CLEO", false),
			person("p4", "Dan Roe", "", true), person("p5", "Eve Stone", "U0EVE", false), person("p6", "Olaf Dahl", "U0OLD", false)},
		Teams: []incident.Team{team(incident.Engineering, "", "p1", "p2"), team(incident.Security, "S0SEC", "p2", "p5"),
			team(incident.Legal, "", "p3", "p4"), team(incident.Communications, "", "p5", "p3"), team("payroll", "", "p5")},
	}
}

// openedIncident returns INC-42 just after an alert opened it.
func openedIncident() incident.Incident {
	return incident.Incident{ID: 42, Status: incident.Triage, Severity: incident.Sev2, Title: "Root key used from an unknown address", Restricted: true,
		OpenedAt: noon.Add(-time.Second), UpdatedAt: noon, Paging: incident.Paging{Round: 1}, Links: map[string]string{},
		Alerts: []incident.AlertRef{{Alert: 1, Source: "cloudtrail", Kind: "cloudtrail.ConsoleLogin", Level: incident.LevelHigh, Title: "Root login",
			URL: "https://console.example.com/event/1", Rule: "AWS Root Credentials (vitaliy0x1)", At: noon}},
		Facts: incident.Facts{PersonalData: incident.PersonalUnknown}}
}

func brief(inc incident.Incident) incident.Brief {
	return incident.Brief{Incident: inc, Directory: testDirectory(), Now: noon, Attempt: 1, Mark: "mark-1",
		Event: incident.Event{Seq: 7, Kind: incident.EventUpdated, HappenedAt: noon, RecordedAt: noon, By: "p1", Audience: incident.AudienceResponders,
			Texts: map[string]incident.Text{"text": {Value: "the key is disabled"}}}}
}

// openChannel opens the channel of INC-42 and returns a brief with it.
func (f *outboundTest) openChannel() incident.Brief {
	f.Helper()
	b := brief(openedIncident())
	channel, err := f.slack.OpenChannel(f.ctx, b.Incident, true)
	if err != nil {
		f.Fatal(err)
	}
	b.Incident.Links = map[string]string{incident.LinkChannel: channel}
	return b
}

// openThread opens a channel without a card and begins the thread of a link.
func (f *outboundTest) openThread(link string) incident.Brief {
	f.Helper()
	b := f.openChannel()
	root, err := f.slack.Post(f.ctx, b.Incident.Links[incident.LinkChannel], neutral.Message{}, neutral.Mark{Key: "root"})
	if err != nil {
		f.Fatal(err)
	}
	b.Incident.Links[link] = root.ID
	return b
}

// replies returns the replies in the thread of a link.
func (f *outboundTest) replies(b incident.Brief, link string) []chat.Message {
	return f.ws.Thread(b.Incident.Links[incident.LinkChannel], b.Incident.Links[link])[1:]
}

var effect = incident.Effect{Key: "INC-42/7/x", Incident: 42, Seq: 7, Args: map[string]string{}}

func (f *outboundTest) must(h neutral.Handler, b incident.Brief, args ...string) incident.Command {
	f.Helper()
	cmd, err := h(f.ctx, b, effectWithArgs(args))
	if err != nil {
		f.Fatal(err)
	}
	return cmd
}

func effectWithArgs(args []string) incident.Effect {
	e := effect
	e.Args = map[string]string{}
	for n := 0; n+1 < len(args); n += 2 {
		e.Args[args[n]] = args[n+1]
	}
	return e
}

// failThenRetry performs an effect that must fail with a retryable error, and
// retries it like the worker.
func (f *outboundTest) failThenRetry(h neutral.Handler, b incident.Brief, args ...string) incident.Command {
	f.Helper()
	_, err := h(f.ctx, b, effectWithArgs(args))
	if err == nil || isPermanent(err) {
		f.Fatalf("first attempt: got error %v, want a retryable error", err)
	}
	var wait *incident.RetryAfter
	if !errors.As(err, &wait) {
		b.Attempt++
	}
	f.ws.ClearFaults()
	return f.must(h, b, args...)
}

// botMessages returns the messages of the bot in a channel.
func (f *outboundTest) botMessages(channel string) []chat.Message {
	return slices.DeleteFunc(f.ws.Messages(channel), func(m chat.Message) bool { return m.Subtype != "" || m.User != "U0BOT" })
}

func (f *outboundTest) incidentChannels() []chat.Channel {
	return slices.DeleteFunc(f.ws.Channels(""), func(c chat.Channel) bool { return !strings.HasPrefix(c.Name, "inc-") })
}

// lostReplyFaults are faults after which the call took effect but its
// response was lost.
var lostReplyFaults = []chat.FaultKind{chat.FaultDropAfter, chat.FaultServerAfter, chat.FaultInternalAfter}

// rejectedFaults are faults after which nothing happened and the call must be
// retried.
var rejectedFaults = []chat.FaultKind{chat.FaultServerError, chat.FaultRateLimit}

// eachFault runs a test with each fault in the first call of a method.
func eachFault(t *testing.T, method string, test func(f *outboundTest)) {
	for _, kind := range append(slices.Clone(lostReplyFaults), rejectedFaults...) {
		if method == "upload_url" && kind == chat.FaultInternalAfter {
			continue // not a method of the Web API, so it has no such response
		}
		t.Run(method+" "+string(kind), func(t *testing.T) {
			f := newOutboundTest(t)
			f.ws.SetFault(chat.Fault{Method: method, Kind: kind, Count: 1})
			test(f)
		})
	}
}

func TestPost_RateLimitUsesRetryAfter(t *testing.T) {
	f := newOutboundTest(t)
	b := f.openChannel()
	f.ws.SetFault(chat.Fault{Method: "chat.postMessage", Kind: chat.FaultRateLimit, RetryAfter: 17})
	_, err := f.effects.Post(f.ctx, b, effect)
	var wait *incident.RetryAfter
	if !errors.As(err, &wait) || wait.After != 17*time.Second {
		t.Fatalf("got error %v, want a retry after 17 s", err)
	}
}

// TestCheck_RetryAfterBounded covers values that overflow a duration or are not a
// number of seconds.
func TestCheck_RetryAfterBounded(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"17": 17 * time.Second, "99999999999": outbound.MaxRetryAfter, "18446744073": outbound.MaxRetryAfter, "-7": minRetryAfter, "0": minRetryAfter,
		"Fri, 31 Dec 9999 23:59:59 GMT": outbound.MaxRetryAfter, "soon": defaultRetryAfter, "": defaultRetryAfter,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", value)
			w.WriteHeader(http.StatusTooManyRequests)
		}))
		s, err := New(Config{BotToken: secret.New("xoxb-1"), SigningSecret: secret.New("s"), APIURL: server.URL + "/api/"}, Deps{Redact: redact.New(redact.Options{}).Text, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		var wait *incident.RetryAfter
		if err := classify("check", s.Check(t.Context())); !errors.As(err, &wait) || wait.After != want {
			t.Errorf("Retry-After %q: got error %v, want a retry after %v", value, err, want)
		}
		server.Close()
	}
}

func TestPost_RefusalsHaveHints(t *testing.T) {
	cases := map[string]struct {
		change func(*chat.Config)
		setup  func(*outboundTest, incident.Brief)
		hint   string
	}{
		"archived": {setup: func(f *outboundTest, b incident.Brief) {
			if err := f.slack.client.ArchiveConversation(b.Incident.Links[incident.LinkChannel]); err != nil {
				f.Fatal(err)
			}
		}, hint: "Unarchive"},
		"unknown channel": {setup: func(_ *outboundTest, b incident.Brief) { b.Incident.Links[incident.LinkChannel] = "C0NOWHERE1" }, hint: "Invite the app"},
		"no channel":      {setup: func(_ *outboundTest, b incident.Brief) { delete(b.Incident.Links, incident.LinkChannel) }, hint: "no channel"},
		"scope": {change: func(c *chat.Config) {
			c.Scopes = slices.DeleteFunc(slices.Clone(chat.DefaultScopes), func(s string) bool { return s == "chat:write" })
		}, hint: "chat:write"},
		"token": {setup: func(f *outboundTest, _ incident.Brief) {
			other, err := New(Config{BotToken: secret.New("xoxb-wrong"), SigningSecret: secret.New("x"), APIURL: f.ws.BaseURL() + "/api/"},
				Deps{Redact: redact.New(redact.Options{}).Text, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				f.Fatal(err)
			}
			f.use(other)
		}, hint: "slack.bot_token"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var changes []func(*chat.Config)
			if c.change != nil {
				changes = append(changes, c.change)
			}
			f := newOutboundTest(t, changes...)
			b := f.openChannel()
			if c.setup != nil {
				c.setup(f, b)
			}
			_, err := f.effects.Post(f.ctx, b, effect)
			if isBlocked(err) == (name == "no channel") || !strings.Contains(err.Error(), c.hint) {
				t.Fatalf("got error %v, want one with the hint %q", err, c.hint)
			}
			if b.Event.Kind = incident.EventEffectFailed; isBlocked(err) {
				return
			}
			if _, err := f.effects.Post(f.ctx, b, effect); err != nil {
				t.Fatalf("post failure message: got error %v, want nil", err)
			}
		})
	}
}
