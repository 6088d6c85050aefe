package bot

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/doctor"
	"tocsin/bot/health"
	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/mail"
	"tocsin/bot/outbound"
	"tocsin/bot/response"
	"tocsin/bot/slack"
	"tocsin/bot/telemetry"
	"tocsin/bot/text"
	"tocsin/store"
	"tocsin/templates"
)

// Names of the optional parts, in /readyz, metrics and notices.
const (
	partSlack         = "Slack API"
	partSocket        = "Slack Socket Mode"
	partSlackRequests = "Slack requests"
	partMail          = "mail"
	partPagerAPI      = "PagerDuty REST API"
	partConfiguration = "configuration"
	partClock         = "clock"
	partDisk          = "disk space"
	partMailbox       = "vulnerability mailbox"
	partSecurityTxt   = "security.txt"
	partWaiting       = "waiting effects"
	partTestPage      = "test page"
)

// slowProbe is the time between two probes that are expensive for the other side.
const slowProbe = 5 * time.Minute

// newReadiness returns the checks of the required parts, and the notices about the
// optional ones.
func (b *Bot) newReadiness() *telemetry.Readiness {
	if b.securityTxt != nil {
		b.metrics.SetSecurityTxtExpires(b.securityTxt.Expires())
	}
	return telemetry.NewReadiness(telemetry.Health{
		Required: map[string]func(context.Context) error{"database": b.store.Ping, "queue": b.store.PingQueue},
		Parts:    b.parts,
		IsLive:   b.hasLiveIncident,
		Notify:   b.notifyFault,
		Metrics:  b.metrics, Clock: b.clock, Logger: b.log,
	})
}

// retryEffects returns a function that makes the waiting effects of a system due.
func (b *Bot) retryEffects(system string) func(context.Context) {
	return func(ctx context.Context) {
		if _, err := b.store.RetryEffects(ctx, response.WaitingQuery{System: system, Release: response.ReleaseRule{KeepPauses: true}}); err != nil {
			b.log.Warn("retry waiting effects failed", "component", "bot", "system", system, "err", err)
		}
	}
}

// currentParts returns the optional parts of the current configuration.
func (b *Bot) currentParts() []telemetry.Part {
	g := b.current.Load()
	if g == nil {
		return nil
	}
	return append(b.fixedParts(), g.parts...)
}

// fixedParts returns the optional parts that a reload does not change.
func (b *Bot) fixedParts() []telemetry.Part {
	parts := append(append(b.chatParts(), b.certificateParts()...),
		telemetry.Part{Name: partConfiguration, Check: b.checkReload, Effect: "The earlier configuration stays in force: new people, rules and secrets do not apply"},
		telemetry.Part{Name: partNotary, Check: b.store.CheckNotary, IsCritical: true, Effect: "Somebody changed the log of the notary, or the disk failed, and no new checkpoint is signed. Run `tocsin verify`"},
		telemetry.Part{Name: partPublication, Check: b.publisher.Check, Effect: "A change of the stored history since the last published checkpoint can stay unnoticed"},
		telemetry.Part{Name: partClock, Check: b.clockWatch.Check, IsCritical: true, Effect: "Tocsin can reject genuine requests, and deadlines and pages are early or late"})
	parts = append(parts, telemetry.Part{Name: partWaiting, Probe: b.checkWaiting, Interval: waitingInterval, Effect: "Some messages, pages or mails are missing. `tocsin effects` lists them",
		IsCovered: func(_ *health.Problem, other func(string) *health.Problem) bool {
			systems := b.blockedSystems.Load()
			return systems != nil && areWaitsCovered(*systems, b.currentParts(), func(part string) bool { return other(part) != nil })
		}})
	parts = append(parts, telemetry.Part{Name: partTestPage, Probe: b.checkTestPage, Interval: testPageInterval, IsCritical: true, WithoutNotice: true, // the missed test sent one
		Effect: "A real page can reach nobody"})
	if len(b.store.Restores()) > 0 {
		parts = append(parts, telemetry.Part{Name: partRestore, Check: b.checkRestore, IsCritical: true, WithoutNotice: b.current.Load().mail != nil, // the restore has its own mails
			Effect: "Messages, pages, mails and deliveries from before the restore wait"})
	}
	if b.store.HasDisk() {
		parts = append(parts, telemetry.Part{Name: partDisk, Check: b.checkDisk, IsCritical: true, Effect: "Tocsin stops when the disk is full: it stores no alerts and pages nobody"})
	}
	if b.mailbox != nil {
		parts = append(parts, telemetry.Part{Name: partMailbox, System: "The mail server of the vulnerability mailbox", Check: b.checkMailbox, Effect: "Vulnerability reports stay in the mailbox unread"})
	}
	for _, source := range b.fixedSources {
		if checked, ok := source.(intake.Checked); ok {
			name, _ := checked.Check()
			parts = append(parts, telemetry.Part{Name: name, Check: func(time.Time) error { _, err := checked.Check(); return err }, Effect: sourceEffects[name]})
		}
	}
	if b.heartbeat != nil {
		parts = append(parts, b.heartbeat.Part())
	}
	if b.securityTxt != nil {
		parts = append(parts, telemetry.Part{Name: partSecurityTxt, Check: b.checkSecurityTxt, WithoutNotice: true}) // reminders cover it
	}
	return parts
}

// generationParts returns the optional parts that a reload can change.
func (b *Bot) generationParts(g *generation, steps []pager) []telemetry.Part {
	parts := append(b.sourceParts(g), b.backupParts(g)...)
	if g.mail != nil {
		parts = append(parts, telemetry.Part{Name: partMail, Probe: g.mail.Probe, Repaired: b.retryEffects(incident.SystemMail), Interval: slowProbe, Way: telemetry.WayMail, Effect: "Tocsin sends no mail: no pages by mail, postmortems, invitations and acknowledgements"})
	}
	if g.pagerREST != nil {
		parts = append(parts, telemetry.Part{Name: partPagerAPI, System: "PagerDuty", Probe: g.pagerREST.Probe, Repaired: b.retryEffects(incident.SystemPagerDuty), Interval: slowProbe,
			Effect: "Pages show an old title, chosen people are paged by mail, and acknowledgements can arrive late. Tocsin still pages the escalation policy"})
	}
	for n, step := range steps {
		part := telemetry.Part{Name: stepPart(n, step.target), Probe: step.probe, Repaired: b.retryEffects(step.system), Interval: step.interval, Needs: step.needs, IsCritical: true, Step: n,
			Effect: fmt.Sprintf("Step %d of the escalation policy pages nobody. Tocsin pages the other steps", n+1)}
		if step.system == incident.SystemPagerDuty {
			part.Way = telemetry.WayPager
		}
		parts = append(parts, part)
	}
	return parts
}

const stepPrefix = "escalation step "

// stepPart returns the name of the part of an escalation step.
func stepPart(n int, target string) string {
	return stepPrefix + strconv.Itoa(n+1) + " (" + target + ")"
}

func (b *Bot) checkReload(time.Time) error {
	b.reloads.mu.Lock()
	defer b.reloads.mu.Unlock()
	if b.reloads.err == nil {
		return nil
	}
	return &health.Problem{Cause: "The last reload of the configuration was refused", Since: b.reloads.failedAt, Err: b.reloads.err,
		Fix: "Run `tocsin reload --status` to read the error, correct the file and reload"}
}

// waitingInterval is the time between two counts of the waiting effects.
const waitingInterval = 15 * time.Second

// checkWaiting counts the effects that wait, and returns an error if some of them wait
// for an administrator.
func (b *Bot) checkWaiting(ctx context.Context) error {
	counts, first, err := b.store.CountWaiting(ctx)
	if err != nil {
		return &health.Problem{Cause: "The waiting effects cannot be read", Fix: "Check the database", Err: err}
	}
	for _, system := range []string{incident.SystemSlack, incident.SystemPagerDuty, incident.SystemMail, incident.SystemTocsin} {
		if !slices.ContainsFunc(counts, func(c store.WaitingCount) bool { return c.System == system }) {
			counts = append(counts, store.WaitingCount{System: system})
		}
	}
	blocked := 0 // without effects of secret events: everybody reads this part
	var systems []string
	for _, c := range counts {
		b.metrics.SetWaiting(c.System, c.Blocked, c.Failed, c.Since)
		if blocked += c.Public; c.Public > 0 {
			systems = append(systems, c.System)
		}
	}
	b.blockedSystems.Store(&systems)
	if blocked == 0 {
		return nil
	}
	return describeWaiting(blocked, first)
}

// describeWaiting returns the problem of a number of waiting effects.
func describeWaiting(number int, first incident.WaitingEffect) *health.Problem {
	cause := first.Cause
	if strings.Contains(cause, "@") {
		cause = unnamedRecipient
	}
	return &health.Problem{Since: first.Since, Cause: fmt.Sprintf("Effects that wait for an administrator: %d, the first one because %s", number, cause), Fix: first.Fix}
}

// unnamedRecipient replaces a cause that has a mail address, because the address is personal
// and the health of the parts is for everybody who watches Tocsin.
const unnamedRecipient = "the mail relay does not accept mail to a recipient that `tocsin effects` names"

// withoutAddress returns a problem of a part without a mail address.
func withoutAddress(p *health.Problem) *health.Problem {
	if !strings.Contains(p.Cause, "@") {
		return p
	}
	unnamed := *p
	unnamed.Cause = text.Capital(unnamedRecipient)
	return &unnamed
}

// areWaitsCovered reports whether parts that do not work show why all waiting effects
// wait. The escalation steps of PagerDuty and mail report refused pages themselves.
func areWaitsCovered(systems []string, parts []telemetry.Part, isImpaired func(part string) bool) bool {
	covering := map[string][]string{incident.SystemSlack: {partSlack}, incident.SystemMail: {partMail}}
	for _, part := range parts {
		switch {
		case part.Way == telemetry.WayPager:
			covering[incident.SystemPagerDuty] = append(covering[incident.SystemPagerDuty], part.Name)
		case part.Needs == partMail:
			covering[incident.SystemMail] = append(covering[incident.SystemMail], part.Name)
		}
	}
	return !slices.ContainsFunc(systems, func(system string) bool { return !slices.ContainsFunc(covering[system], isImpaired) })
}

func (b *Bot) checkDisk(time.Time) error {
	free, err := b.freeDisk()
	if err != nil {
		return &health.Problem{Cause: "The free space of the disk of the database cannot be read", Fix: "Check that the folder of the database exists and is readable", Err: err}
	}
	b.metrics.SetDiskFree(free)
	if p := doctor.DiskProblem(free); p != nil {
		return p
	}
	return nil
}

func (b *Bot) checkMailbox(time.Time) error {
	_, err := b.mailbox.Err()
	return err
}

func (b *Bot) checkSecurityTxt(now time.Time) error {
	warning := b.securityTxt.ExpiryWarning(now)
	if warning == "" {
		return nil
	}
	cause, fix, _ := strings.Cut(warning, ": ")
	return &health.Problem{Cause: cause, Fix: text.Capital(fix)}
}

// hasLiveIncident reports whether an incident is live.
func (b *Bot) hasLiveIncident(ctx context.Context) (bool, error) { return b.Desk().HasLive(ctx) }

// reportRequest returns the observer of the requests of a client. It compares the clock
// of the system with the own one. part is the part that the client needs.
func (b *Bot) reportRequest(system, part string) func(outbound.Exchange) {
	return func(x outbound.Exchange) {
		b.clockWatch.Observe(system, x, b.clock())
		switch {
		case x.Err != nil:
			b.parts.Report(part, system, telemetry.OpRequest, x.Err)
		case x.Response.StatusCode == http.StatusTooManyRequests: // the system works. Probes find a limit that lasts
		case x.Response.StatusCode >= http.StatusInternalServerError:
			b.parts.Report(part, system, telemetry.OpRequest, health.Status(system, x.Response.StatusCode, nil))
		default:
			b.parts.Report(part, system, telemetry.OpRequest, nil)
		}
	}
}

// reportEvent returns the observer of the requests to PagerDuty with a routing key. An event
// that PagerDuty accepts shows that it accepts the key, whatever the event is about.
func (b *Bot) reportEvent(part string) func(outbound.Exchange) {
	report := b.reportRequest("PagerDuty", part)
	return func(x outbound.Exchange) {
		report(x)
		if x.Err == nil && x.Response.StatusCode == http.StatusAccepted {
			b.parts.Accept(part)
		}
	}
}

// effectObserver counts the attempts at effects and reports them to the parts.
type effectObserver struct {
	*telemetry.Metrics
	parts *telemetry.Parts
	steps []pager
}

// EffectDone implements [response.Observer].
func (o effectObserver) EffectDone(a response.EffectAttempt) {
	o.Metrics.EffectDone(a)
	for _, part := range o.partsOf(a) {
		o.report(part, a)
	}
}

// partsOf returns the parts that an effect needs.
func (o effectObserver) partsOf(a response.EffectAttempt) (parts []string) {
	switch a.System {
	case incident.SystemSlack:
		parts = append(parts, partSlack)
	case incident.SystemMail:
		parts = append(parts, partMail)
	}
	if a.Effect.Kind == incident.EffectPagerUpdate {
		parts = append(parts, partPagerAPI)
	}
	isEnd := a.Effect.Kind == incident.EffectPageAck || a.Effect.Kind == incident.EffectPageResolve
	only, err := strconv.Atoi(a.Effect.Args["escalation_step"])
	if err != nil || a.Effect.Kind != incident.EffectPage && a.Effect.Kind != incident.EffectPageNotice && a.Effect.Kind != incident.EffectTestPage && !isEnd {
		only = -1
	}
	for n, step := range o.steps {
		if n == only || only < 0 && isEnd && step.system == incident.SystemPagerDuty {
			parts = append(parts, stepPart(n, step.target))
		}
	}
	return parts
}

func (o effectObserver) report(part string, a response.EffectAttempt) {
	operation := string(a.Effect.Kind)
	var permanent *incident.Permanent
	var blocked *incident.Blocked
	switch {
	case a.Outcome == response.AttemptSkipped:
		o.parts.Forget(part, operation)
	case a.Outcome == response.AttemptCompleted:
		o.parts.Report(part, a.System, operation, nil)
	case a.Err == nil, errors.As(a.Err, &permanent), a.Outcome == response.AttemptSnoozed: // the database failed, the effect is wrong, or the system limits the rate
	case errors.As(a.Err, &blocked) && !strings.HasPrefix(part, stepPrefix): // partWaiting shows it, and the probe if it concerns all effects
		o.parts.ProbeSoon(part)
	default:
		o.parts.Report(part, a.System, operation, withoutAddress(health.Explain(a.System, explain(a.System, a.Err))))
	}
}

// explain returns why a call of a system failed.
func explain(system string, err error) error {
	var blocked *incident.Blocked
	switch {
	case errors.Is(err, context.Canceled), errors.As(err, &blocked):
		return err
	case system == incident.SystemSlack:
		return slack.Explain(err)
	case system == incident.SystemMail:
		return mail.Explain(err)
	case system == incident.SystemPagerDuty:
		return health.Explain("PagerDuty", err)
	}
	return err
}

// explainFailure returns for people why a call of a system failed and what to do. The
// system works if it only limits the rate of requests.
func explainFailure(system string, err error) (cause, fix string) {
	p := health.Explain(systemNames[system], explain(system, err))
	if limited := new(incident.RetryAfter); errors.As(err, &limited) {
		return p.Cause, ""
	}
	return p.Cause, p.Fix
}

// systemNames are the subjects of causes.
var systemNames = map[string]string{incident.SystemSlack: "Slack", incident.SystemPagerDuty: "PagerDuty", incident.SystemMail: "The mail relay"}

// notifyFault notifies people about an optional part by the ways that work. PagerDuty
// pages them only about a critical part that strangers cannot impair, while an incident is live or if neither the chat
// nor mail works.
func (b *Bot) notifyFault(ctx context.Context, n telemetry.Notice) error {
	f := response.Fault{Part: n.Name, Replica: b.start.Store.ReplicaID, Since: n.Since, Recovered: n.Recovered,
		Args: map[string]string{"about": templates.AboutFault, "cause": n.Problem.Cause, "fix": n.Problem.Fix, "effect": n.Effect}}
	pager := slices.IndexFunc(n.Working, func(p telemetry.Part) bool { return p.Way == telemetry.WayPager })
	for way, kind := range map[telemetry.Way]incident.EffectKind{telemetry.WayChat: incident.EffectNotice, telemetry.WayMail: incident.EffectMailNotice} {
		if slices.ContainsFunc(n.Working, func(p telemetry.Part) bool { return p.Way == way }) {
			f.Ways = append(f.Ways, kind)
		}
	}
	if n.IsCritical && !n.Problem.ByAnyone && pager >= 0 && n.Recovered.IsZero() && (n.IsLive || len(f.Ways) == 0) {
		f.Ways, f.EscalationStep = append(f.Ways, incident.EffectPageNotice), n.Working[pager].Step
	}
	if len(f.Ways) == 0 && n.Recovered.IsZero() { // a recovery also resolves the page
		return telemetry.ErrNoWay
	}
	return b.Desk().NotifyFault(ctx, f)
}

// restoreFaults continues the notices about parts that did not work before a restart.
// The notice about a part that the configuration no longer has ends.
func (b *Bot) restoreFaults(ctx context.Context) error {
	open, err := b.Desk().OpenFaults(ctx, b.start.Store.ReplicaID)
	if err != nil {
		return err
	}
	for part, since := range open {
		b.parts.Restore(part, since)
	}
	return nil
}
