package story

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/feed"
	"tocsin/bot/sandbox/pager"
)

// sendFirstAlert sends the first alert.
func (p *player) sendFirstAlert() {
	p.log("alert", "%s", p.headline())
	p.startTime = p.Now()
	p.sendAlerts(p.headline(), 1, func(c feed.Copy) (feed.Answer, error) {
		if p.scenario.issue != nil {
			return p.Company.Sentry.EventAlert(p.ctx, *p.scenario.issue, c)
		}
		return p.Company.Trail.Deliver(p.ctx, p.scenario.calls[0], c)
	})
}

func (p *player) headline() string {
	if p.scenario.issue != nil {
		return "Sentry sent an alert: " + p.scenario.issue.Title()
	}
	return "EventBridge sent a CloudTrail event: " + p.scenario.calls[0].Name
}

// sendAlerts sends copies of an alert. It fails if one is not answered with 202.
func (p *player) sendAlerts(description string, copies int, send func(feed.Copy) (feed.Answer, error)) {
	began := p.Now()
	first := p.result.Alerts
	for n := range copies {
		if p.err != nil {
			return
		}
		a, err := send(feed.Copy{N: first + n, At: p.Now()})
		switch {
		case err != nil:
			p.fail("send alert: %w", err)
		case a.Status != 202:
			p.fail("send alert: got status %d: %s", a.Status, a.Body)
		default:
			p.result.Alerts++
		}
	}
	p.alertEntries = append(p.alertEntries, entry{at: began, head: "alert", body: description + " (answered with 202)"})
}

var (
	incidentPattern = regexp.MustCompile(`\bINC-\d+\b`)
	severityPattern = regexp.MustCompile(`\bsev[1-4]\b`)
)

// awaitBotSetup waits until the bot has announced the incident, paged, opened
// the channel and invited the responders. None of this needs a person.
func (p *player) awaitBotSetup() {
	announced := p.awaitMessage("C0INCIDENTS", "the announcement in #"+company.AnnounceChannel, func(text string) bool { return incidentPattern.MatchString(text) })
	text := p.read.message(announced)
	p.result.Incident, p.result.Severity = incidentPattern.FindString(text), severityPattern.FindString(text)
	p.alertSeverity = p.result.Severity
	p.log("#"+company.AnnounceChannel, "tocsin announced %s with only its number and severity", p.result.Incident)
	for _, word := range p.scenario.restrictedWords {
		if strings.Contains(text, word) {
			p.fail("the announcement of a restricted incident contains %q", word)
		}
	}

	page := p.awaitPage(1)
	p.log("PagerDuty", "paged %s: %s", p.nameList(p.onCall(page)), page.Title)

	p.await("the channel "+strings.ToLower(p.result.Incident), func() bool {
		ch, ok := p.chat.Channel(strings.ToLower(p.result.Incident))
		p.result.Channel = ch.ID
		return ok
	})
	if ch, _ := p.chat.Channel(p.result.Channel); p.err == nil && ch.Kind != chat.KindPrivate {
		p.fail("the channel %s is not private", ch.Name)
	}
	p.awaitMembers("the people on call", p.onCall(page)...)
	p.log(p.channelName(), "tocsin opened a private channel and invited %s", p.nameList(p.members()))
	p.awaitText("the alert", msgAlert, p.sourceName())
	p.awaitText("the checklist", msgChecklist)
	p.await("the first step", func() bool { _, ok := p.openStep(); return ok })
	p.await("the pinned card", func() bool { return len(p.chat.Pins(p.result.Channel)) == 1 })
	p.log(p.channelName(), "tocsin posted the alert and the playbook and pinned the incident card")
}

func (p *player) sourceName() string {
	source, _, _ := strings.Cut(p.scenario.source, ":")
	return source
}

// awaitPage waits until PagerDuty has received the page of a round.
func (p *player) awaitPage(round int) (page pager.Incident) {
	p.result.Rounds = round
	key := fmt.Sprintf("%s/%d", p.result.Incident, round)
	p.awaitOn("the page "+key, p.Company.Pager.Until, func() bool {
		found := p.Company.Pager.ByKey(key)
		if len(found) > 0 {
			page = found[0]
		}
		return len(found) > 0
	})
	return page
}

// awaitPagerStatus waits until the page of a round has one of the statuses.
func (p *player) awaitPagerStatus(round int, status ...string) {
	key := fmt.Sprintf("%s/%d", p.result.Incident, round)
	p.awaitOn(fmt.Sprintf("the page %s to be %s", key, strings.Join(status, " or ")), p.Company.Pager.Until, func() bool {
		found := p.Company.Pager.ByKey(key)
		return len(found) > 0 && slices.Contains(status, found[0].Status)
	})
}

// onCall returns the people whom a page reached.
func (p *player) onCall(page pager.Incident) []company.Person {
	var people []company.Person
	for _, q := range p.Company.People {
		if q.Pager != "" && slices.Contains(page.Assignees, q.Pager) {
			people = append(people, q)
		}
	}
	return people
}

func (p *player) nameList(people []company.Person) string {
	out := make([]string, len(people))
	for n, q := range people {
		out[n] = nameAndDepartment(q)
	}
	return strings.Join(out, ", ")
}

// members returns the people in the channel of the incident.
func (p *player) members() []company.Person {
	ch, _ := p.chat.Channel(p.result.Channel)
	var out []company.Person
	for _, id := range ch.Members {
		if q, ok := p.person(id); ok {
			out = append(out, q)
		}
	}
	return out
}

// awaitMembers waits until people are in the channel of the incident.
func (p *player) awaitMembers(subject string, people ...company.Person) {
	p.await("the invitation of "+subject, func() bool {
		ch, _ := p.chat.Channel(p.result.Channel)
		return !slices.ContainsFunc(people, func(q company.Person) bool { return !slices.Contains(ch.Members, q.ID) })
	})
}

// acknowledgeFirstPage acknowledges the first round, which makes the person
// commander.
func (p *player) acknowledgeFirstPage() {
	p.firstAct = p.Now()
	p.acknowledge(p.cast.first, p.scenario.ackBy, 1)
	p.awaitText("the commander", fmt.Sprintf(msgCommander, p.cast.first.Name))
	p.log(p.channelName(), "%s became commander", nameAndDepartment(p.cast.first))
}

// acknowledge acknowledges a round of paging in one of three ways.
func (p *player) acknowledge(who company.Person, way string, round int) {
	switch way {
	case "pagerduty":
		page := p.awaitPage(round)
		if p.err != nil {
			return
		}
		if err := p.Company.Pager.Acknowledge(page.ID, who.Pager); err != nil {
			p.fail("acknowledge in PagerDuty as %s: %w", who.Name, err)
		}
		p.log("PagerDuty", "%s acknowledged the page, and a webhook notified tocsin", nameAndDepartment(who))
	case "button":
		button := p.awaitButton("ack")
		answer := p.pressForReply(who, button, nil)
		if p.err == nil && !strings.Contains(answer, msgYouAcknowledge) {
			p.fail("press %q as %s: got reply %q", button.label, who.Name, answer)
		}
		p.log(p.channelName(), "%s pressed %q", nameAndDepartment(who), button.label)
	default:
		p.mustType(who, "ack")
		p.log(p.channelName(), "%s typed /incident ack", nameAndDepartment(who))
	}
	p.awaitText("the acknowledgement by "+who.Name, fmt.Sprintf(msgAcknowledgedBy, who.Name))
	p.awaitPagerStatus(round, pager.Acknowledged)
	p.log("PagerDuty", "stopped paging because round %d was acknowledged", round)
}

// gradeAndAssign sets the severity and assigns roles. More alerts are sent
// before or after.
func (p *player) gradeAndAssign() {
	if !p.scenario.alertsAfterGrading {
		p.sendMoreAlerts()
	}
	p.setSeverity()
	for _, r := range p.cast.roles {
		p.mustType(p.cast.first, "role %s %s", r.role, p.mention(r.person))
		p.awaitText("the role "+r.role, r.person.Name, msgRoleAssigned, r.role)
		p.awaitMembers(r.person.Name, r.person)
		p.log(p.channelName(), "%s was assigned the role %s", nameAndDepartment(r.person), r.role)
	}
	if p.scenario.alertsAfterGrading {
		p.sendMoreAlerts()
	}
}

// setSeverity sets the severity as the commander. A more severe one starts a new
// round of paging.
func (p *player) setSeverity() {
	commander, before := p.cast.first, p.result.Severity
	if p.rng.IntN(2) == 0 {
		p.mustType(commander, "severity %s because %s", p.scenario.severity, p.scenario.texts.severityReason)
	} else {
		switch c := p.awaitButton("severity"); {
		case len(c.options) > 0:
			p.pressForReply(commander, c, p.result.Incident+"|"+p.scenario.severity)
		default:
			p.press(commander, c, nil)
			p.mustSubmit(commander, p.awaitForm(commander, "set_severity"), formValues{"severity": p.scenario.severity, "text": p.scenario.texts.severityReason})
		}
	}
	p.awaitText("the new severity", msgSeverity, p.scenario.severity, commander.Name)
	p.result.Severity = p.scenario.severity
	p.log(p.channelName(), "%s set the severity to %s", nameAndDepartment(commander), p.scenario.severity)
	if p.scenario.severity < before {
		p.awaitRepage()
	}
}

// awaitRepage waits for the new round of paging after the severity was raised,
// and acknowledges it.
func (p *player) awaitRepage() {
	page := p.awaitPage(p.result.Rounds + 1)
	p.log("PagerDuty", "paged again (round %d) because the severity was raised: %s", p.result.Rounds, p.nameList(p.onCall(page)))
	p.acknowledge(p.cast.second, pick(p.rng, "pagerduty", "button", "command"), p.result.Rounds)
}

// sendMoreAlerts sends repeats of the first alert, which the bot counts, and an
// alert of another kind, which it attaches to the incident.
func (p *player) sendMoreAlerts() {
	p.log("alert", "the first alert was repeated %d times, followed by a related alert of another kind", p.scenario.copies)
	copies := fmt.Sprintf("%d more deliveries of the first alert, each with new ids and a new time", p.scenario.copies)
	if p.scenario.issue != nil {
		p.sendAlerts(copies, p.scenario.copies, func(c feed.Copy) (feed.Answer, error) {
			return p.Company.Sentry.EventAlert(p.ctx, *p.scenario.issue, c)
		})
		p.sendAlerts("Sentry sent an error of the same project", 1, func(c feed.Copy) (feed.Answer, error) {
			return p.Company.Sentry.ErrorCreated(p.ctx, *p.scenario.issue, c)
		})
	} else {
		then := p.scenario.calls[1]
		p.sendAlerts(copies, p.scenario.copies, func(c feed.Copy) (feed.Answer, error) { return p.Company.Trail.Deliver(p.ctx, p.scenario.calls[0], c) })
		p.sendAlerts("EventBridge sent the next call of the same user: "+then.Name, 1, func(c feed.Copy) (feed.Answer, error) {
			return p.Company.Trail.Deliver(p.ctx, then, c)
		})
	}
	p.await("the second kind of alert", func() bool {
		alerts := 0
		for _, m := range p.messages(p.result.Channel) {
			if strings.Contains(p.read.message(m), msgAlert) {
				alerts++
			}
		}
		return alerts == 2
	})
	p.awaitText("the number of repeats", msgAlertRepeated)
	p.log(p.channelName(), "tocsin counted the repeats and attached the other alert to the incident")
	if p.alertSeverity < p.result.Severity { // the alert is more severe than the commander's severity
		p.acceptSeverity()
	}
}

// acceptSeverity raises the severity as the alert proposes, because the commander
// lowered it. It does not page again: the first page was acknowledged at that severity.
func (p *player) acceptSeverity() {
	who := p.cast.second
	p.awaitText("the proposed severity", fmt.Sprintf(msgSeverityWanted, p.alertSeverity))
	accept := p.awaitControl("the button that raises the severity", "severity", func(c control) bool { return strings.HasSuffix(c.value, "|"+p.alertSeverity) })
	p.pressForReply(who, accept, nil)
	p.awaitText("the severity of the alert", fmt.Sprintf(msgSeverityBefore, p.result.Severity), p.alertSeverity, who.Name)
	p.result.Severity = p.alertSeverity
	p.log(p.channelName(), "the alert proposed %s because the commander had lowered the severity, and %s pressed %q", p.alertSeverity, nameAndDepartment(who), accept.label)
}
