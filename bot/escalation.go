package bot

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"tocsin/bot/config"
	"tocsin/bot/health"
	"tocsin/bot/incident"
	"tocsin/bot/outbound"
	"tocsin/bot/pagerduty"
	"tocsin/bot/response"
	"tocsin/bot/telemetry"
	"tocsin/templates"
)

// pager pages the target of one escalation step.
type pager struct {
	system   string                      // see [incident.Blocked]
	target   string                      // for people
	probe    func(context.Context) error // may be nil
	interval time.Duration               // between probes
	needs    string                      // the part that the target needs, or ""
	page     response.Handler
	// withdraw ends a page: it acknowledges or resolves the page at the target, or
	// notifies the paged people that nobody is needed any more.
	withdraw response.Handler
	// notice pages about Tocsin, without an incident, or resolves such a page. It is nil
	// if the target has another way for notices.
	notice response.Handler
	// test sends a test page, and endTest ends it. endTest is nil if the target has no end.
	test, endTest response.Handler
}

// target is an escalation step as the store keeps it with each page. It contains the
// routing key, which the store encrypts: a page can only be withdrawn with it.
type target struct {
	PagerDuty  string   `json:"pagerduty,omitempty"` // routing key
	Mail       []string `json:"mail,omitempty"`
	SlackGroup string   `json:"slack_group,omitempty"`
}

func newTarget(step config.Step) target {
	t := target{SlackGroup: step.SlackGroup}
	if step.PagerDuty != nil {
		t.PagerDuty = step.PagerDuty.RoutingKey.Reveal()
	}
	if step.Mail != nil {
		t.Mail = step.Mail.To
	}
	return t
}

// removedStep stands for the index of a step that is not in the configuration.
const removedStep = -1

// openPager opens the target of an escalation step with its index. A removed step can
// need mail although the configuration has none any more.
func (b *Bot) openPager(g *generation, n int, t target) (pager, error) {
	switch {
	case t.PagerDuty != "":
		var observe func(outbound.Exchange)
		if n != removedStep {
			observe = b.reportEvent(stepPart(n, "PagerDuty"))
		}
		client, err := pagerduty.New(g.config.PagerDuty, pagerduty.NewTarget(t.PagerDuty), pagerduty.NewHTTPClient(observe))
		if err != nil {
			return pager{}, err
		}
		client.LogTo(b.log)
		page := client.Page
		if n != removedStep && g.pagerREST != nil {
			page = b.pageOnCall(client, g.pagerREST)
		}
		return pager{system: incident.SystemPagerDuty, target: "PagerDuty", probe: client.Probe, page: page, notice: pageNotice(client), withdraw: client.Withdraw,
			test: testHandler(func(ctx context.Context, e incident.Effect) error {
				return client.SendTestPage(ctx, e.TestPage(), e.After)
			}),
			endTest: testHandler(func(ctx context.Context, e incident.Effect) error {
				return client.ResolveTestPage(ctx, e.TestPage(), e.After)
			})}, nil
	case t.Mail != nil && g.mail == nil:
		return pager{}, nil
	case t.Mail != nil:
		return pager{system: incident.SystemMail, target: "mail", needs: partMail, page: g.mail.PageTo(t.Mail), withdraw: g.mail.WithdrawPage(t.Mail),
			test: testHandler(func(ctx context.Context, e incident.Effect) error {
				return g.mail.SendTestPage(ctx, t.Mail, e.TestPage())
			})}, nil
	default:
		probe := func(ctx context.Context) error { return b.chat.ProbeGroup(ctx, t.SlackGroup) }
		return pager{system: b.chat.Name(), target: "Slack group", probe: probe, interval: slowProbe, needs: partSlack,
			page: b.chatEffects.PageGroup(t.SlackGroup), withdraw: b.chatEffects.WithdrawPage,
			test: b.chatEffects.TestGroup(t.SlackGroup), endTest: b.chatEffects.EndTestGroup}, nil
	}
}

// openSteps returns the escalation steps in order, with their targets as the store keeps
// them. It adds the handlers that end pages of earlier versions to handlers: these pages
// have no target, so every PagerDuty integration gets the event.
func (b *Bot) openSteps(g *generation, handlers map[incident.EffectKind]response.Handler) (steps []pager, targets [][]byte, err error) {
	var withdraw []response.Handler
	for n, step := range g.config.Escalation.Steps {
		t := newTarget(step)
		p, err := b.openPager(g, n, t)
		if err != nil {
			return nil, nil, fmt.Errorf("escalation.steps[%d]: %w", n, err)
		}
		stored, err := json.Marshal(t)
		if err != nil {
			return nil, nil, fmt.Errorf("escalation.steps[%d]: %w", n, err)
		}
		steps, targets = append(steps, p), append(targets, stored)
		if step.PagerDuty != nil {
			withdraw = append(withdraw, p.withdraw)
		}
	}
	if len(withdraw) > 0 {
		handlers[incident.EffectPageAck], handlers[incident.EffectPageResolve] = callAll(withdraw), callAll(withdraw)
	}
	handlers[incident.EffectPageNotice] = ofStep(steps, "page about Tocsin", func(p pager) response.Handler { return p.notice })
	handlers[incident.EffectTestPage] = ofStep(steps, "send a test page", func(p pager) response.Handler { return p.test })
	handlers[incident.EffectTestPageEnd] = ofStep(steps, "end a test page", endOfTest)
	return steps, targets, nil
}

// pageHandlers returns the page handlers of steps.
func pageHandlers(steps []pager) []response.Handler {
	var out []response.Handler
	for _, p := range steps {
		out = append(out, p.page)
	}
	return out
}

// withdrawPage returns the handler that ends a page at the target where it was sent. A
// removed target that cannot be opened any more, or that refuses the call, is gone: no
// administrator will repair it.
func (b *Bot) withdrawPage(g *generation, targets [][]byte, steps []pager) func([]byte) response.Handler {
	return func(stored []byte) response.Handler {
		if n := slices.IndexFunc(targets, func(t []byte) bool { return bytes.Equal(t, stored) }); n >= 0 {
			return steps[n].withdraw
		}
		return func(ctx context.Context, brief incident.Brief, e incident.Effect) (incident.Command, error) {
			withdraw, err := b.openRemoved(g, stored)
			if err != nil || withdraw == nil {
				b.log.WarnContext(ctx, "page stays open at a removed escalation step", "component", "bot", "incident", brief.Incident.ID, "err", err)
				return incident.Command{}, nil
			}
			cmd, err := withdraw(ctx, brief, e)
			if errors.As(err, new(*incident.Blocked)) || errors.As(err, new(*incident.Permanent)) {
				b.log.WarnContext(ctx, "removed escalation step refused to end a page", "component", "bot", "incident", brief.Incident.ID, "err", err)
				return incident.Command{}, nil
			}
			return cmd, err
		}
	}
}

// openRemoved returns the handler that ends pages at the target of a removed step, or nil
// if the configuration has no way to do so.
func (b *Bot) openRemoved(g *generation, stored []byte) (response.Handler, error) {
	var t target
	if err := json.Unmarshal(stored, &t); err != nil {
		return nil, fmt.Errorf("decode target: %w", err)
	}
	p, err := b.openPager(g, removedStep, t)
	return p.withdraw, err
}

// callAll returns a handler that calls all handlers, also after an error. A retry calls
// all of them again, and pagers ignore a repeated event. An error that a retry can fix
// takes precedence.
func callAll(handlers []response.Handler) response.Handler {
	return func(ctx context.Context, brief incident.Brief, e incident.Effect) (cmd incident.Command, err error) {
		var retry, final []error
		for _, h := range handlers {
			var err error
			if cmd, err = h(ctx, brief, e); errors.As(err, new(*incident.Permanent)) {
				final = append(final, err)
			} else if err != nil {
				retry = append(retry, err)
			}
		}
		if len(retry) > 0 {
			return incident.Command{}, errors.Join(retry...)
		}
		return cmd, errors.Join(final...)
	}
}

// onCallTimeout is how long a page waits for the names of the people on call. The page was
// sent before.
const onCallTimeout = 3 * time.Second

// pageOnCall returns the handler that pages through PagerDuty and names the people who are
// on call. Without their names the page counts all the same.
func (b *Bot) pageOnCall(client *pagerduty.Client, rest *pagerduty.REST) response.Handler {
	return func(ctx context.Context, brief incident.Brief, e incident.Effect) (incident.Command, error) {
		cmd, err := client.Page(ctx, brief, e)
		if err != nil {
			return cmd, err
		}
		ctx, cancel := context.WithTimeout(ctx, onCallTimeout)
		defer cancel()
		users, err := rest.OnCall(ctx)
		if err != nil {
			b.log.WarnContext(ctx, "read on-call people failed", "component", "bot", "incident", brief.Incident.ID, "err", err)
		}
		for _, u := range users {
			if p, known := brief.Directory.Resolve(incident.Identity{Provider: incident.ProviderPagerDuty, ID: u.User}); known && u.Level == users[0].Level {
				cmd.People = append(cmd.People, p.ID)
			}
		}
		return cmd, nil
	}
}

// updatePager returns the handler that updates the pages that went to PagerDuty.
func updatePager(g *generation) response.Handler {
	return func(ctx context.Context, brief incident.Brief, e incident.Effect) (incident.Command, error) {
		steps := g.config.Escalation.Steps
		brief.Incident.Pages = slices.DeleteFunc(slices.Clone(brief.Incident.Pages), func(p incident.PageRef) bool {
			return p.EscalationStep >= len(steps) || steps[p.EscalationStep].PagerDuty == nil
		})
		return g.pagerREST.UpdatePage(ctx, brief, e)
	}
}

// personalPages returns the ways to page a chosen person, the best first. A provider has the
// name of its system.
func (b *Bot) personalPages(g *generation) (ways []incident.Provider) {
	if g.pagerREST != nil {
		ways = append(ways, incident.ProviderPagerDuty)
	}
	if g.mail != nil {
		ways = append(ways, incident.ProviderMail)
	}
	return append(ways, incident.Provider(b.chat.Name()))
}

// pagePeople returns the handler that pages a chosen person by the first way that works. A
// later way must not wait for the repair of an earlier one.
func (b *Bot) pagePeople(g *generation) response.Handler {
	policy := incident.Policy{PersonalPages: b.personalPages(g)}
	return func(ctx context.Context, brief incident.Brief, e incident.Effect) (incident.Command, error) {
		person, known := brief.Directory.Person(incident.PersonID(e.Args["person"]))
		isHere := brief.Event.Kind == incident.EventAbsencePageStarted && !brief.Incident.Here[person.ID].IsZero()
		if !known || isHere || !brief.Incident.Status.Responding() || brief.Incident.Excludes(person.ID) {
			return incident.Command{}, nil
		}
		var failed []error
		for _, way := range policy.WaysTo(person) {
			err := b.pagePerson(ctx, g, way, person, brief, e)
			if err == nil {
				return incident.Command{Verb: incident.VerbPersonPaged, For: brief.Incident.ID, By: incident.System, Via: incident.ViaSystem, Key: e.Key, Person: person.ID, Item: string(way)}, nil
			}
			failed = append(failed, err)
		}
		return incident.Command{}, errors.Join(failed...)
	}
}

func (b *Bot) pagePerson(ctx context.Context, g *generation, way incident.Provider, person incident.Person, brief incident.Brief, e incident.Effect) error {
	switch way {
	case incident.ProviderPagerDuty:
		return g.pagerREST.PagePerson(ctx, brief, person.IDAt(way), strconv.Itoa(e.Seq))
	case incident.ProviderMail:
		return g.mail.PagePerson(ctx, brief, person.IDAt(way))
	}
	return b.chatEffects.PagePerson(ctx, brief, person.ID)
}

// pollInterval is the time between two looks for acknowledgements in PagerDuty.
const pollInterval = 10 * time.Second

// pollAcknowledgements reads the acknowledgements in PagerDuty while an incident is live, if
// no webhook reports them. A command that was given before changes nothing.
func (b *Bot) pollAcknowledgements(ctx context.Context) {
	given := map[string]bool{}
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		g := b.current.Load()
		if g.pagerREST == nil || len(g.config.Sources.PagerDuty.WebhookSecrets) > 0 {
			continue
		}
		if awaits, err := awaitsAcknowledgement(ctx, g.desk); err != nil || !awaits {
			clear(given)
			continue
		}
		b.takeAcknowledgements(ctx, g, given)
	}
}

// awaitsAcknowledgement reports whether an incident is live or a test page runs.
func awaitsAcknowledgement(ctx context.Context, desk *response.Desk) (bool, error) {
	live, err := desk.HasLive(ctx)
	if err != nil || live {
		return live, err
	}
	tests, err := desk.TestPages(ctx)
	return len(tests.Tests) > 0 && tests.Tests[0].Running(), err
}

// takeAcknowledgements gives the acknowledgements that were not given yet.
func (b *Bot) takeAcknowledgements(ctx context.Context, g *generation, given map[string]bool) {
	acks, err := g.pagerREST.Acknowledgements(ctx)
	b.parts.Report(partPagerAPI, "PagerDuty", telemetry.OpRequest, err)
	if err != nil && ctx.Err() == nil {
		b.log.WarnContext(ctx, "read acknowledgements failed", "component", "bot", "err", err)
	}
	for _, ack := range acks {
		if test, isTest := ack.TestPage(); isTest {
			if err := g.desk.AcknowledgeTestPage(ctx, test); err != nil && ctx.Err() == nil {
				b.log.WarnContext(ctx, "record acknowledgement of test page failed", "component", "bot", "err", err) // the next look gives it again
			}
			continue
		}
		cmd, isPage := ack.Command()
		if !isPage || given[cmd.Key] {
			continue
		}
		switch _, err := g.desk.Do(ctx, cmd); {
		case incident.CodeOf(err) != "":
			b.log.InfoContext(ctx, "acknowledgement in PagerDuty refused", "component", "bot", "incident", cmd.For, "err", err)
		case err != nil:
			continue // the next look gives it again
		}
		given[cmd.Key] = true
	}
}

// pageNotice returns the handler that pages about Tocsin.
func pageNotice(client *pagerduty.Client) response.Handler {
	return func(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
		summary, details := templates.NoticeText(e.Args)
		return incident.Command{}, client.Notice(ctx, pagerduty.Notice{Key: e.Args["part"] + "/" + e.Args["since"], Summary: "Tocsin: " + summary, Details: details,
			IsResolved: e.Args["recovered"] != "", At: e.After})
	}
}

// testHandler returns the handler that calls send for the effect of a test page.
func testHandler(send func(context.Context, incident.Effect) error) response.Handler {
	return func(ctx context.Context, _ incident.Brief, e incident.Effect) (incident.Command, error) {
		return incident.Command{}, send(ctx, e)
	}
}

// endOfTest returns the handler that ends a test page. A mail has no end.
func endOfTest(p pager) response.Handler {
	if p.test == nil || p.endTest != nil {
		return p.endTest
	}
	return testHandler(func(context.Context, incident.Effect) error { return nil })
}

// ofStep returns the handler that chooses the handler of the step that an effect names.
func ofStep(steps []pager, task string, choose func(pager) response.Handler) response.Handler {
	return func(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
		n, err := strconv.Atoi(e.Args["escalation_step"])
		if err != nil || n >= len(steps) || choose(steps[n]) == nil {
			return incident.Command{}, &incident.Permanent{Err: fmt.Errorf("%s: escalation step %d cannot do so any more", task, n+1)}
		}
		return choose(steps[n])(ctx, b, e)
	}
}

// testPageInterval is the time between two looks for the result of the last test page.
const testPageInterval = 15 * time.Second

// checkTestPage returns an error if nobody acknowledged the last test page in time.
func (b *Bot) checkTestPage(ctx context.Context) error {
	tests, err := b.Desk().TestPages(ctx)
	if err != nil {
		return &health.Problem{Cause: "The result of the last test page cannot be read", Fix: "Check the database", Err: err}
	}
	if t, failing := tests.Failing(); failing {
		return &health.Problem{Since: t.MissedAt, Cause: "Nobody acknowledged the test page of " + t.StartedAt.UTC().Format("2006-01-02 15:04 UTC") + " in time",
			Fix: "Check who is on call, and whether their pagers work. Then type /incident page test, or run `tocsin incident page test`"}
	}
	return nil
}
