package slack

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/redact"
	"tocsin/bot/sandbox/answer"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/secret"
)

// fakeDesk is a Desk that holds incidents in memory and decides commands like
// the real Desk. It records the commands.
type fakeDesk struct {
	mu          sync.Mutex
	incidents   map[incident.ID]incident.Incident
	commands    []incident.Command
	results     map[string]incident.Result
	now         func() time.Time
	redact      func(incident.Incident) incident.Incident // applied to an incident before Show returns it
	beforeDo    func(context.Context) error               // runs at the start of Do
	onDirectory func()                                    // runs at the start of Directory
	onLookup    func()                                    // runs at the start of IncidentByLink
	listErr     error                                     // of List and Overview
	timeline    []incident.Event                          // of every incident
	policy      incident.Policy
	seen        map[incident.PersonID]*incident.SeenRecord
	drafts      map[incident.PersonID]map[string]incident.FormDraft
	editors     map[incident.PersonID]time.Time
	saveErr     error // of SaveDraft
}

func newFakeDesk(now func() time.Time) *fakeDesk {
	return &fakeDesk{incidents: map[incident.ID]incident.Incident{}, results: map[string]incident.Result{}, now: now, seen: map[incident.PersonID]*incident.SeenRecord{},
		drafts: map[incident.PersonID]map[string]incident.FormDraft{}, editors: map[incident.PersonID]time.Time{}}
}

func (c *fakeDesk) Do(ctx context.Context, cmd incident.Command) (incident.Result, error) {
	if c.beforeDo != nil {
		if err := c.beforeDo(ctx); err != nil {
			return incident.Result{}, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if r, ok := c.results[cmd.Key]; ok && cmd.Key != "" {
		r.Unchanged = true
		return r, nil
	}
	inc, ok := c.incidents[cmd.For]
	if cmd.Verb == incident.VerbOpen {
		inc, ok = incident.New(43), true
	}
	if !ok {
		return incident.Result{}, incident.Unknown("incident", "there is no %s", cmd.For)
	}
	person, _ := testDirectory().Resolve(cmd.By)
	events, err := incident.Decide(cmd, inc, incident.Env{Now: c.now(), Actor: person.ID, System: cmd.By.Provider == incident.ProviderSystem, Directory: testDirectory(), Policy: c.policy, Timeline: c.timeline})
	if err != nil {
		return incident.Result{}, err
	}
	for n := range events {
		events[n], inc.Head = incident.Seal(inc.Head, events[n], func() []byte { return bytes.Repeat([]byte{1}, 32) })
		inc = incident.Apply(inc, events[n])
	}
	c.timeline = append(c.timeline, events...)
	r := incident.Result{Incident: inc, Events: events, Unchanged: len(events) == 0}
	c.incidents[inc.ID], c.results[cmd.Key] = inc, r
	c.commands = append(c.commands, cmd)
	return r, nil
}

func (c *fakeDesk) Offer(_ context.Context, cmd incident.Command) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	inc, ok := c.incidents[cmd.For]
	if !ok {
		return nil
	}
	person, _ := testDirectory().Resolve(cmd.By)
	_, err := incident.Offer(cmd, inc, incident.Env{Now: c.now(), Actor: person.ID, Directory: testDirectory()})
	return err
}

func (c *fakeDesk) Alerts(_ context.Context, _ incident.Identity, e incident.AlertRequest) (incident.AlertResult, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.Disposition == incident.DispositionDropped {
		return incident.AlertResult{}, incident.Forbidden("only responders can see alerts")
	}
	return incident.AlertResult{Disposition: e.Disposition, Kinds: 1, Occurrences: 3, Alerts: []incident.AlertLine{{ID: 17, Kind: "sentry.issue", Title: "<@U1> *broke*", Count: 3, LastAt: c.now()}}}, nil
}

func (c *fakeDesk) Show(_ context.Context, who incident.Identity, id incident.ID, _ string) (incident.View, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	inc, ok := c.incidents[id]
	if !ok {
		return incident.View{}, incident.Unknown("incident", "there is no %s", id)
	}
	person, _ := testDirectory().Resolve(who)
	env := incident.Env{Now: c.now(), Actor: person.ID, Directory: testDirectory()}
	if !inc.MayRead(testDirectory(), person.ID, c.now()) {
		return incident.View{}, incident.Forbidden("%s is restricted. Ask its commander for access", id)
	}
	if c.redact != nil {
		inc = c.redact(inc)
	}
	return incident.View{Incident: inc, Directory: testDirectory(), Draft: incident.DraftRecord(c.incidents[id], c.timeline, testDirectory()), Possible: incident.Possible(inc, env), Tasks: inc.Tasks(env),
		Playbooks: []incident.PlaybookInfo{{Name: "data-exposure", Title: "Data exposure"}}, Timeline: c.timeline, Reader: person.ID, Policy: c.policy}, nil
}

func (c *fakeDesk) Overview(_ context.Context, who incident.Identity) (incident.Overview, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	person, ok := testDirectory().Resolve(who)
	if !ok {
		return incident.Overview{}, incident.NotLinked(who)
	}
	if c.listErr != nil {
		return incident.Overview{}, c.listErr
	}
	v := incident.Overview{Person: person.ID, Directory: testDirectory()}
	for _, id := range slices.Sorted(maps.Keys(c.incidents)) {
		inc := c.incidents[id]
		if env := (incident.Env{Now: c.now(), Actor: person.ID, Directory: testDirectory()}); inc.MayRead(env.Directory, person.ID, env.Now) {
			v.Tasks, v.Mine = append(v.Tasks, inc.Tasks(env)...), append(v.Mine, inc.Summary())
		}
	}
	return v, nil
}

// OpenForm remembers drafts, editors and the submitted record that a person saw like the
// real Desk.
func (c *fakeDesk) OpenForm(_ context.Context, who incident.Identity, key incident.FormKey, reads bool) (incident.FormMemory, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	person, _ := testDirectory().Resolve(who)
	m := incident.FormMemory{Draft: c.drafts[person.ID][key.Form]}
	for _, other := range slices.Sorted(maps.Keys(c.editors)) {
		if other != person.ID {
			m.Editors = append(m.Editors, incident.Editor{Person: other, Since: c.editors[other]})
		}
	}
	if key.Edits {
		c.editors[person.ID] = c.now()
	}
	if sub := c.incidents[key.Incident].Submission; reads && sub != nil {
		m.Seen = c.seen[person.ID]
		c.seen[person.ID] = &incident.SeenRecord{At: c.now(), Document: sub.Document}
	}
	return m, nil
}

func (c *fakeDesk) SaveDraft(_ context.Context, who incident.Identity, key incident.FormKey, draft incident.FormDraft) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	person, _ := testDirectory().Resolve(who)
	if c.saveErr != nil {
		return c.saveErr
	}
	if c.drafts[person.ID] == nil {
		c.drafts[person.ID] = map[string]incident.FormDraft{}
	}
	draft.At = c.now()
	c.drafts[person.ID][key.Form] = draft
	return nil
}

func (c *fakeDesk) CloseForm(_ context.Context, who incident.Identity, key incident.FormKey, submitted bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	person, _ := testDirectory().Resolve(who)
	delete(c.editors, person.ID)
	if submitted {
		delete(c.drafts[person.ID], key.Form)
	}
	return nil
}

func (c *fakeDesk) List(_ context.Context, _ incident.Identity, f incident.Filter) ([]incident.Summary, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.listErr != nil {
		return nil, c.listErr
	}
	var out []incident.Summary
	for _, inc := range c.incidents {
		if f.All || !inc.Status.Ended() {
			out = append(out, inc.Summary())
		}
	}
	slices.SortFunc(out, func(a, b incident.Summary) int { return int(a.ID - b.ID) })
	return out, nil
}

func (c *fakeDesk) Directory(context.Context) (incident.Directory, error) {
	if c.onDirectory != nil {
		c.onDirectory()
	}
	return testDirectory(), nil
}

func (c *fakeDesk) IncidentByLink(_ context.Context, name, value string) (incident.ID, error) {
	if c.onLookup != nil {
		c.onLookup()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, inc := range c.incidents {
		if inc.Links[name] == value {
			return inc.ID, nil
		}
	}
	return 0, incident.Unknown(name, "no incident has that link")
}

// last returns the last recorded command.
func (c *fakeDesk) last() incident.Command {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.commands) == 0 {
		return incident.Command{}
	}
	return c.commands[len(c.commands)-1]
}

func (c *fakeDesk) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.commands)
}

// change modifies INC-42 without a command.
func (c *fakeDesk) change(f func(*incident.Incident)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	inc := c.incidents[42]
	f(&inc)
	c.incidents[42] = inc
}

// inboundTest connects a sandbox workspace with a Slack under test and a
// fakeDesk.
type inboundTest struct {
	*testing.T
	ws      *chat.Workspace
	slack   *Slack
	desk    *fakeDesk
	answers *answer.Set
	channel string // channel of INC-42
	mu      sync.Mutex
	now     time.Time
	stop    func() // ends Socket Mode
}

func (e *inboundTest) clock() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.now
}

// advance moves the clock of the workspace and of Slack under test.
func (e *inboundTest) advance(d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.now = e.now.Add(d)
}

// newInboundTest returns an inboundTest that delivers requests in the given
// mode.
func newInboundTest(t *testing.T, mode chat.Mode, change ...func(*options)) *inboundTest {
	t.Helper()
	e := &inboundTest{T: t, now: noon, answers: answer.NewSet(), stop: func() {}}
	cfg := chat.Config{Mode: mode, Clock: e.clock, People: []chat.Person{{ID: "U0ADA", Name: "ada"}, {ID: "U0BEN", Name: "ben"}, {ID: "U0CLEO", Name: "cleo"},
		{ID: "U0EVE", Name: "eve"}, {ID: "U0ZOE", Name: "zoe"}}, Groups: []chat.Group{{ID: "S0SEC", Handle: "security", Members: []string{"U0BEN", "U0EVE"}}}}
	cfg.Limits.Off, cfg.Answers = true, e.answers
	cfg.EventRetries = []time.Duration{0} // the events before the first connection
	e.ws = chat.New(cfg)
	base, err := e.ws.Start("")
	if err != nil {
		t.Fatal(err)
	}
	set := e.ws.Config()
	own := options{Config{BotToken: secret.New(set.BotToken), AppToken: secret.New(set.AppToken), SigningSecret: secret.New(set.SigningSecret), APIURL: base + "/api/"},
		Deps{Redact: redact.New(redact.Options{}).Text, Clock: e.clock, Logger: slog.New(slog.DiscardHandler)}}
	for _, f := range change {
		f(&own)
	}
	if e.slack, err = New(own.Config, own.Deps); err != nil {
		t.Fatal(err)
	}
	inc := incident.New(42)
	e.desk = newFakeDesk(e.clock)
	e.slack.Serve(e.desk)
	e.channel = e.must(e.ws.Act("U0ADA").CreateChannel("inc-42", true))
	for _, user := range []string{"U0BEN", "U0CLEO", "U0EVE", "U0ZOE", set.Bot.UserID} {
		if err := e.ws.Act("U0ADA").Invite(e.channel, user); err != nil {
			t.Fatal(err)
		}
	}
	events, err := incident.Decide(incident.Command{Verb: incident.VerbOpen, Title: "Root key used", Severity: incident.Sev2}, inc,
		incident.Env{Now: noon.Add(-time.Hour), Actor: "p1", Directory: testDirectory()})
	if err != nil {
		t.Fatal(err)
	}
	for _, ev := range events {
		ev, inc.Head = incident.Seal(inc.Head, ev, func() []byte { return bytes.Repeat([]byte{1}, 32) })
		inc = incident.Apply(inc, ev)
	}
	inc.Links = map[string]string{incident.LinkChannel: e.channel}
	e.desk.incidents[42] = inc
	e.connect(mode)
	return e
}

// connect connects the workspace and registers the cleanup.
func (e *inboundTest) connect(mode chat.Mode) {
	e.Helper()
	server := httptest.NewServer(e.slack.Handler())
	e.ws.SetDelivery(mode, server.URL+"/slack/commands", server.URL+"/slack/interactions", server.URL+"/slack/events")
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	if mode == chat.ModeSocket {
		go func() { ended <- e.slack.RunSocket(ctx) }()
		e.waitUntil(func() bool { return e.ws.Connections() > 0 })
	} else {
		ended <- nil
	}
	e.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			e.Error(err)
		}
	})
	e.Cleanup(func() {
		e.stop()
		server.Close()
		e.slack.Wait()
		if err := e.ws.Close(); err != nil {
			e.Error(err)
		}
	})
}

func (e *inboundTest) waitUntil(ready func() bool) {
	e.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := e.ws.WaitFor(ctx, ready); err != nil {
		e.Fatal(err)
	}
}

func (e *inboundTest) must(s string, err error) string {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
	return s
}

// typeCommand types a slash command in the channel of INC-42 and returns the
// reply.
func (e *inboundTest) typeCommand(user, text string) string {
	e.Helper()
	m, err := e.ws.Act(user).Command(e.channel, "/incident", text)
	if err != nil {
		e.Fatalf("%s typed %q: %v", user, text, err)
	}
	if m == nil {
		return ""
	}
	return m.Text + string(m.Blocks)
}

// currentForm returns the form that the user has open.
func (e *inboundTest) currentForm(user string) chat.View {
	e.Helper()
	e.slack.Wait()
	views := e.ws.OpenViews(user)
	if len(views) == 0 {
		e.Fatalf("got no open form for %s, want one", user)
	}
	return views[len(views)-1]
}

// submit fills in fields by the names of their arguments and submits the
// form.
func (e *inboundTest) submit(user string, fields map[string]any) chat.Submission {
	e.Helper()
	values := map[string]map[string]any{}
	for name, v := range fields {
		values[name] = map[string]any{name: v}
	}
	out, err := e.ws.Act(user).Submit(e.currentForm(user).ID, values)
	if err != nil {
		e.Fatal(err)
	}
	return out
}

// lastEphemeral returns the last ephemeral message to a user.
func (e *inboundTest) lastEphemeral(user string) chat.Message {
	e.Helper()
	e.slack.Wait()
	all := e.ws.Ephemerals(user)
	if len(all) == 0 {
		e.Fatalf("got no ephemeral message to %s, want one", user)
	}
	return all[len(all)-1]
}

// bothModes runs a test over HTTP and in Socket Mode.
func bothModes(t *testing.T, test func(t *testing.T, e *inboundTest)) {
	for _, mode := range []chat.Mode{chat.ModeHTTP, chat.ModeSocket} {
		t.Run(string(mode), func(t *testing.T) { test(t, newInboundTest(t, mode)) })
	}
}
