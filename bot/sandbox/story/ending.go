package story

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/mailbox"
)

// awaitPostmortem waits until the postmortem is uploaded, announced to the
// audience in the record and mailed. It saves the files.
func (p *player) awaitPostmortem() {
	shared := p.awaitText("the postmortem", fmt.Sprintf(msgPostmortem, p.result.Incident), msgRevision, ".md", ".html")
	for _, f := range p.chat.Files() {
		if strings.Contains(f.Name, "postmortem") && f.Complete && slices.Contains(f.Shares[p.result.Channel], shared.TS) {
			p.saveFile(f)
		}
	}
	for _, name := range []string{"postmortem.md", "postmortem.html"} {
		if p.err == nil && p.result.Files[name] == "" {
			p.fail("%s was not shared in the channel", name)
		}
	}
	p.log(p.channelName(), "tocsin posted the postmortem as Markdown and HTML for %s…", shortDigest(p.result.Digest))
	p.checkAnnouncement()
	m := p.awaitMail("the mail with the postmortem", func(m mailbox.Message) bool {
		return strings.Contains(strings.ToLower(m.Subject), "postmortem") && strings.Contains(m.Subject, p.result.Incident) &&
			strings.Contains(m.Text, p.result.Digest) && len(m.Attachments) > 0
	})
	p.log("mail", "%q was sent to %s", m.Subject, strings.Join(m.Recipients, ", "))
}

// saveFile writes an uploaded file to Dir.
func (p *player) saveFile(f chat.File) {
	content, ok := p.chat.FileContent(f.ID)
	name := "postmortem" + filepath.Ext(f.Name)
	if !ok {
		p.fail("the file %s has no content", f.Name)
		return
	}
	if err := os.WriteFile(filepath.Join(p.Dir, name), content, 0o600); err != nil {
		p.fail("save %s: %w", name, err)
		return
	}
	p.result.Files[name] = f.ID
}

// checkAnnouncement waits until the postmortem is announced to the audience in
// the record, and fails if the whole company can see the announcement of a
// postmortem with a smaller audience.
func (p *player) checkAnnouncement() {
	announcement := containsAll(fmt.Sprintf(msgPostmortemOf, p.result.Incident), msgAllSigned)
	isPublic := func() bool {
		return slices.ContainsFunc(p.chat.Messages("C0INCIDENTS"), func(m chat.Message) bool { return announcement(p.read.message(m)) })
	}
	switch p.scenario.audience {
	case "all":
		p.await("the announcement of the postmortem in #"+company.AnnounceChannel, isPublic)
		p.log("#"+company.AnnounceChannel, "tocsin announced the postmortem to the whole company")
	case "responders":
		p.awaitMessage(p.result.Channel, "the announcement of the postmortem in the channel", announcement)
		p.log(p.channelName(), "tocsin announced the postmortem to the participants only")
	default:
		readers := append(p.Company.In("legal"), p.Company.In("security")...)
		for _, who := range readers {
			p.await("the announcement of the postmortem in a direct message to "+who.Name, func() bool {
				return slices.ContainsFunc(p.chat.DMs(who.ID), func(ch chat.Channel) bool {
					return slices.ContainsFunc(p.chat.Messages(ch.ID), func(m chat.Message) bool { return announcement(p.read.message(m)) })
				})
			})
		}
		p.log("direct", "tocsin announced the postmortem to legal and security only: %s", p.nameList(readers))
	}
	if p.err == nil && p.scenario.audience != "all" && isPublic() {
		p.fail("the postmortem for %s was announced to the whole company", p.scenario.audience)
	}
}

// awaitMail waits for a matching mail and fails if it cannot be parsed.
func (p *player) awaitMail(subject string, match func(mailbox.Message) bool) (found mailbox.Message) {
	p.awaitOn(subject, p.Company.Mail.Until, func() bool {
		for _, m := range p.Company.Mail.Messages() {
			if match(m) {
				found = m
				return true
			}
		}
		return false
	})
	if found.Problem != "" {
		p.fail("parse mail %q: %s", found.Subject, found.Problem)
	}
	return found
}

// holdReview schedules the review meeting, checks the invitation and concludes
// the review with one action item for detection and one for prevention. The people meet
// within minutes, because a review concluded long before its meeting cancels the meeting.
func (p *player) holdReview() {
	chair := p.cast.chair
	at := p.Now().In(p.Zone).Truncate(time.Minute).Add(time.Duration(5+p.rng.IntN(10)) * time.Minute)
	if p.rng.IntN(2) == 0 {
		p.press(chair, p.awaitButton("review_schedule"), nil)
		p.mustSubmit(chair, p.awaitForm(chair, "schedule_review"), formValues{"when": at.Unix()})
	} else {
		p.mustType(chair, "review %s", typedTime(at, "2006-01-02 15:04"))
	}
	p.awaitText("the review meeting", msgReviewScheduled, chair.Name)
	p.log(p.channelName(), "%s scheduled the review meeting for %s", nameAndDepartment(chair), at.Format("Monday, 2 January, 15:04"))
	p.checkInvitation(at)

	conclusion := formValues{
		"text": p.scenario.texts.decisions, "attendance": p.attendance(),
		"reason":    "Everyone was in the room, so the meeting began at once.",
		"detection": p.scenario.texts.detection, "detection_owner": p.cast.roles[2].person.ID, "detection_due": at.AddDate(0, 1, 0).Format(time.DateOnly),
		"prevention": p.scenario.texts.prevention, "prevention_owner": p.cast.roles[1].person.ID, "prevention_due": at.AddDate(0, 2, 0).Format(time.DateOnly),
	}
	if answer := p.typeCommand(chair, "review conclude"); answer != "" {
		p.fail("type /incident review conclude as %s: got reply %q, want a form", chair.Name, answer)
	}
	p.mustSubmit(chair, p.awaitForm(chair, "conclude_review"), conclusion)
	p.awaitText("the conclusion of the review", msgReviewHeld, chair.Name, p.scenario.texts.decisions)
	p.awaitText("the action item A1", fmt.Sprintf(msgActionItem, "A1"), "detection", p.cast.roles[2].person.Name, p.scenario.texts.detection)
	p.awaitText("the action item A2", fmt.Sprintf(msgActionItem, "A2"), "prevention", p.cast.roles[1].person.Name, p.scenario.texts.prevention)
	p.log(p.channelName(), "%s concluded the review: %s", nameAndDepartment(chair), p.scenario.texts.decisions)
	p.log(p.channelName(), "action item A1 (detection) was assigned to %s: %s", nameAndDepartment(p.cast.roles[2].person), p.scenario.texts.detection)
	p.log(p.channelName(), "action item A2 (prevention) was assigned to %s: %s", nameAndDepartment(p.cast.roles[1].person), p.scenario.texts.prevention)
}

// attendance returns the Slack ids of the commander, the chair and the signers.
func (p *player) attendance() []string {
	out := []string{p.cast.first.ID}
	add := func(id string) {
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	add(p.cast.chair.ID)
	for _, d := range signingDepartments() {
		add(p.cast.signers[d].ID)
	}
	return out
}

// checkInvitation waits for the invitation to the review meeting and checks it as
// a calendar program would.
func (p *player) checkInvitation(at time.Time) {
	m := p.awaitMail("the invitation to the review meeting", func(m mailbox.Message) bool { _, ok := m.Calendar(); return ok })
	part, _ := m.Calendar()
	props := parseCalendar(part.Content)
	if p.err != nil {
		return
	}
	for name, want := range map[string]string{"METHOD": "REQUEST", "DTSTART": at.UTC().Format("20060102T150405Z"), "BEGIN": "VCALENDAR"} {
		if !slices.Contains(props[name], want) {
			p.fail("check invitation: got %s %q, want %q", name, props[name], want)
		}
	}
	for _, who := range []company.Person{p.cast.first, p.cast.scribe, p.cast.signers["legal"]} {
		if !slices.ContainsFunc(props["ATTENDEE"], func(v string) bool { return strings.EqualFold(v, "mailto:"+who.Email) }) {
			p.fail("check invitation: got attendees %q, want also %s", props["ATTENDEE"], who.Email)
		}
	}
	p.log("mail", "a calendar invitation was sent to %d people", len(m.Recipients))
}

// parseCalendar returns the properties of an iCalendar object by name. It joins
// continuation lines and omits parameters.
func parseCalendar(content []byte) map[string][]string {
	text := strings.ReplaceAll(string(content), "\r\n", "\n")
	text = strings.NewReplacer("\n ", "", "\n\t", "").Replace(text)
	props := map[string][]string{}
	for line := range strings.SplitSeq(text, "\n") {
		quoted := false
		end := strings.IndexFunc(line, func(r rune) bool {
			if r == '"' {
				quoted = !quoted
			}
			return r == ':' && !quoted
		})
		if end < 0 {
			continue
		}
		name, _, _ := strings.Cut(line[:end], ";")
		props[strings.ToUpper(name)] = append(props[strings.ToUpper(name)], strings.TrimSpace(line[end+1:]))
	}
	return props
}

// checkEnd waits until the channel, the card and the topic show the incident as
// closed. It fails if a part of the story did not happen, if the bot called
// unknown methods, or if a first delivery to the bot failed.
func (p *player) checkEnd() {
	p.result.EndAt = p.Now()
	p.awaitText("the end", msgIncidentClosed)
	p.await("the card to show closed", func() bool {
		pins := p.chat.Pins(p.result.Channel)
		return len(pins) == 1 && strings.Contains(strings.ToLower(pins[0].Message.Text), msgClosedStatus)
	})
	for _, action := range []string{"evidence", "times", "personal", "aware", "affected", "update", "contain"} {
		if p.err == nil && !p.doneActions[action] {
			p.fail("the action %s was not performed", action)
		}
	}
	if len(p.result.Steps) == 0 || !p.hasDoneAndSkippedSteps() {
		p.fail("got steps %v, want done and skipped ones", p.result.Steps)
	}
	for method, n := range p.chat.UnknownMethods() {
		p.fail("the bot called the unknown method %s %d times", method, n)
	}
	for _, d := range p.chat.Deliveries() {
		if !d.OK && d.Attempt == 0 {
			p.fail("the bot did not accept the %s %s: %s", d.Kind, d.Type, fmt.Sprint(d.Status, " ", d.Error))
		}
	}
	p.result.Counts = p.count()
	for _, m := range p.Company.Mail.Messages() {
		p.result.Mails = append(p.result.Mails, m.MessageID)
	}
	p.log(p.channelName(), "%s was closed", p.result.Incident)
}

// hasDoneAndSkippedSteps reports whether at least one step was done and one was
// skipped.
func (p *player) hasDoneAndSkippedSteps() bool {
	done, skipped := 0, 0
	for _, status := range p.result.Steps {
		if status == "done" {
			done++
		} else {
			skipped++
		}
	}
	return done > 0 && skipped > 0
}
