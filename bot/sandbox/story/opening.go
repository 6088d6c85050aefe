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

// sendFirstAlert has the outside system tell of what it saw, for the first time.
func (p *play) sendFirstAlert() {
	p.log("alert", "%s", p.headline())
	p.began = p.Now()
	p.delivered(p.headline(), 1, func(c feed.Copy) (feed.Answer, error) {
		if p.plot.issue != nil {
			return p.Company.Sentry.EventAlert(p.ctx, *p.plot.issue, c)
		}
		return p.Company.Trail.Deliver(p.ctx, p.plot.calls[0], c)
	})
}

func (p *play) headline() string {
	if p.plot.issue != nil {
		return "Sentry sends an alert rule that fired: " + p.plot.issue.Title()
	}
	return "EventBridge sends a CloudTrail event: " + p.plot.calls[0].Name
}

// delivered sends copies of an alert, each of which has to be answered 202.
func (p *play) delivered(what string, copies int, send func(feed.Copy) (feed.Answer, error)) {
	began := p.Now()
	first := p.report.Alerts
	for n := range copies {
		if p.err != nil {
			return
		}
		a, err := send(feed.Copy{N: first + n, At: p.Now()})
		switch {
		case err != nil:
			p.fail("send the alert: %w", err)
		case a.Status != 202:
			p.fail("send the alert: answered %d: %s", a.Status, a.Body)
		default:
			p.report.Alerts++
		}
	}
	p.sent = append(p.sent, entry{at: began, head: "alert", body: what + "; answered 202"})
}

var (
	incidentNumber = regexp.MustCompile(`\bINC-\d+\b`)
	grade          = regexp.MustCompile(`\bsev[1-4]\b`)
)

// awaitBotSetup is what the bot does by itself: it pages, makes the channel,
// brings the responders in and tells the company that there is something.
func (p *play) awaitBotSetup() {
	announced := p.message("C0INCIDENTS", "the announcement in #"+company.AnnounceChannel, func(text string) bool { return incidentNumber.MatchString(text) })
	text := p.read.message(announced)
	p.report.Incident, p.report.Severity = incidentNumber.FindString(text), grade.FindString(text)
	p.opened = p.report.Severity
	p.log("#"+company.AnnounceChannel, "tocsin announces %s, and nothing but its number and severity", p.report.Incident)
	for _, word := range p.plot.secret {
		if strings.Contains(text, word) {
			p.fail("the announcement of a restricted incident tells %q", word)
		}
	}

	page := p.paged(1)
	p.log("PagerDuty", "rings at %s: %s", p.pagedPeople(page), page.Title)

	p.await("the channel "+strings.ToLower(p.report.Incident), func() bool {
		ch, ok := p.chat.Channel(strings.ToLower(p.report.Incident))
		p.report.Channel = ch.ID
		return ok
	})
	if ch, _ := p.chat.Channel(p.report.Channel); p.err == nil && ch.Kind != chat.KindPrivate {
		p.fail("the channel %s is not private", ch.Name)
	}
	responders := append(p.Company.In("engineering"), p.Company.In("security")...)
	p.joined("the responders", responders...)
	p.log(p.here(), "a private channel is open; invited: %s", p.names(p.members()))
	p.said("the alert", "Alert", p.sourceName())
	p.await("the pinned card", func() bool { return len(p.chat.Pins(p.report.Channel)) == 1 })
	p.log(p.here(), "the alert, the playbook and a pinned card that is kept current")
}

func (p *play) sourceName() string {
	source, _, _ := strings.Cut(strings.ToLower(p.plot.source), ":")
	return source
}

// paged waits until a round of paging has reached PagerDuty.
func (p *play) paged(round int) (page pager.Incident) {
	p.report.Rounds = round
	key := fmt.Sprintf("%s/%d", p.report.Incident, round)
	p.until("the page "+key, p.Company.Pager.Until, func() bool {
		found := p.Company.Pager.ByKey(key)
		if len(found) > 0 {
			page = found[0]
		}
		return len(found) > 0
	})
	return page
}

// awaitPagerStatus waits until PagerDuty knows of a round that it has that status.
func (p *play) awaitPagerStatus(round int, status ...string) {
	key := fmt.Sprintf("%s/%d", p.report.Incident, round)
	p.until(fmt.Sprintf("the page %s being %s", key, strings.Join(status, " or ")), p.Company.Pager.Until, func() bool {
		found := p.Company.Pager.ByKey(key)
		return len(found) > 0 && slices.Contains(status, found[0].Status)
	})
}

// pagedPeople names those at whom a page rings.
func (p *play) pagedPeople(page pager.Incident) string {
	var people []company.Person
	for _, q := range p.Company.People {
		if q.Pager != "" && slices.Contains(page.Assignees, q.Pager) {
			people = append(people, q)
		}
	}
	return p.names(people)
}

func (p *play) names(people []company.Person) string {
	out := make([]string, len(people))
	for n, q := range people {
		out[n] = called(q)
	}
	return strings.Join(out, ", ")
}

// members are the people in the incident's channel.
func (p *play) members() []company.Person {
	ch, _ := p.chat.Channel(p.report.Channel)
	var out []company.Person
	for _, id := range ch.Members {
		if q, ok := p.person(id); ok {
			out = append(out, q)
		}
	}
	return out
}

// joined waits until people are in the incident's channel.
func (p *play) joined(what string, people ...company.Person) {
	p.await(what+" being invited", func() bool {
		ch, _ := p.chat.Channel(p.report.Channel)
		return !slices.ContainsFunc(people, func(q company.Person) bool { return !slices.Contains(ch.Members, q.ID) })
	})
}

// acknowledged is somebody saying that they have it.
func (p *play) acknowledged() {
	p.acknowledge(p.cast.first, p.plot.ackBy, 1)
	p.said("the commander", p.cast.first.Name, "took the role commander")
	p.log(p.here(), "%s is commander", called(p.cast.first))
}

// acknowledge acknowledges a round of paging in one of three ways.
func (p *play) acknowledge(who company.Person, way string, round int) {
	switch way {
	case "pagerduty":
		page := p.paged(round)
		if p.err != nil {
			return
		}
		if err := p.Company.Pager.Acknowledge(page.ID, who.Pager); err != nil {
			p.fail("%s acknowledges at PagerDuty: %w", who.Name, err)
		}
		p.log("PagerDuty", "%s acknowledges the page; a webhook tells the bot", called(who))
	case "button":
		answer := p.pressForReply(who, p.button(`a button "Acknowledge"`, "ack", anyControl), nil)
		if p.err == nil && !strings.Contains(answer, "You acknowledged") {
			p.fail("%s presses \"Acknowledge\" and is told: %s", who.Name, answer)
		}
		p.log(p.here(), "%s presses \"Acknowledge\"", called(who))
	default:
		p.mustType(who, "ack")
		p.log(p.here(), "%s types /incident ack", called(who))
	}
	p.message(p.report.Channel, "that "+who.Name+" has it", containing(who.Name+" acknowledged the incident"))
	p.awaitPagerStatus(round, pager.Acknowledged)
	p.log("PagerDuty", "is quiet: round %d is acknowledged", round)
}

// gradeAndAssign grades the incident and hands out roles. More alerts come before
// that, or after.
func (p *play) gradeAndAssign() {
	if !p.plot.late {
		p.moreAlerts()
	}
	p.graded()
	for _, part := range p.cast.roles {
		p.mustType(p.cast.first, "role %s %s", part.role, p.mention(part.person))
		p.said("the "+part.role, part.person.Name, "the role "+part.role)
		p.joined("the "+part.role, part.person)
		p.log(p.here(), "%s is %s", called(part.person), part.role)
	}
	if p.plot.late {
		p.moreAlerts()
	}
}

// graded is the commander saying how grave it is. Graded worse, it pages anew.
func (p *play) graded() {
	commander, before := p.cast.first, p.report.Severity
	if p.rng.IntN(2) == 0 {
		p.mustType(commander, "severity %s because %s", p.plot.severity, p.plot.prose.grading)
	} else {
		menu := p.button("the menu of severities", "severity", func(c control) bool { return len(c.options) > 0 })
		p.pressForReply(commander, menu, p.report.Incident+"|"+p.plot.severity)
	}
	p.said("the new severity", "changed the severity", p.plot.severity, commander.Name)
	p.report.Severity = p.plot.severity
	p.log(p.here(), "%s grades it %s", called(commander), p.plot.severity)
	if p.plot.severity < before {
		p.awaitRepage()
	}
}

// awaitRepage is a new round of paging: it is graver than it was when somebody took
// it, so it is taken anew.
func (p *play) awaitRepage() {
	page := p.paged(p.report.Rounds + 1)
	p.log("PagerDuty", "it is graver than it was, so round %d rings at %s", p.report.Rounds, p.pagedPeople(page))
	p.acknowledge(p.cast.second, pick(p.rng, "pagerduty", "button", "command"), p.report.Rounds)
}

// moreAlerts are copies of the first alert, which are counted, and one of
// another kind, which belongs to the same incident.
func (p *play) moreAlerts() {
	p.log("alert", "the same alert comes %d more times, and another kind of alert about the same thing", p.plot.copies)
	copies := fmt.Sprintf("%d more copies of the same alert, each with its own ids and time", p.plot.copies)
	second := "sentry.error"
	if p.plot.issue != nil {
		p.delivered(copies, p.plot.copies, func(c feed.Copy) (feed.Answer, error) { return p.Company.Sentry.EventAlert(p.ctx, *p.plot.issue, c) })
		p.delivered("Sentry tells of an error of the same project", 1, func(c feed.Copy) (feed.Answer, error) {
			return p.Company.Sentry.ErrorCreated(p.ctx, *p.plot.issue, c)
		})
	} else {
		then := p.plot.calls[1]
		second = "cloudtrail." + then.Name
		p.delivered(copies, p.plot.copies, func(c feed.Copy) (feed.Answer, error) { return p.Company.Trail.Deliver(p.ctx, p.plot.calls[0], c) })
		p.delivered("EventBridge sends what the same user did next: "+then.Name, 1, func(c feed.Copy) (feed.Answer, error) {
			return p.Company.Trail.Deliver(p.ctx, then, c)
		})
	}
	p.said("the second kind of alert", "Alert", second)
	p.said("the count of copies", "occurred 10 times")
	p.log(p.here(), "the copies were counted, the other alert joined the incident")
	if p.opened < p.report.Severity { // graded less grave by a person, and it is not
		p.said("the severity that the alert asks for", "changed the severity from **"+p.report.Severity, p.opened)
		p.report.Severity = p.opened
		p.awaitRepage()
	}
}
