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

// published is the postmortem on its way: uploaded, announced to the audience
// that was signed, and mailed.
func (p *play) published() {
	shared := p.said("the postmortem", "postmortem of "+p.report.Incident, "revision 1", p.report.Digest, ".md", ".html")
	for _, f := range p.chat.Files() {
		if strings.Contains(f.Name, "postmortem") && f.Complete && slices.Contains(f.Shares[p.report.Channel], shared.TS) {
			p.keep(f)
		}
	}
	for _, name := range []string{"postmortem.md", "postmortem.html"} {
		if p.err == nil && p.report.Files[name] == "" {
			p.fail("%s was not shared in the channel", name)
		}
	}
	p.log(p.here(), "the postmortem is in the channel, as Markdown and as a page, under %s…", short(p.report.Digest))
	p.announced()
	m := p.mail("the postmortem by mail", func(m mailbox.Message) bool {
		return strings.Contains(strings.ToLower(m.Subject), "postmortem") && strings.Contains(m.Subject, p.report.Incident) &&
			strings.Contains(m.Text, p.report.Digest) && len(m.Attachments) > 0
	})
	p.log("mail", "%q goes to %s", m.Subject, strings.Join(m.Recipients, ", "))
}

// keep writes a file as it was uploaded.
func (p *play) keep(f chat.File) {
	content, ok := p.chat.FileContent(f.ID)
	name := "postmortem" + filepath.Ext(f.Name)
	if !ok {
		p.fail("the file %s has no content", f.Name)
		return
	}
	if err := os.WriteFile(filepath.Join(p.Dir, name), content, 0o600); err != nil {
		p.fail("keep %s: %w", name, err)
		return
	}
	p.report.Files[name] = f.ID
}

// announced waits until the audience that was signed heard of the postmortem,
// and makes sure that nobody else did.
func (p *play) announced() {
	news := containing("The postmortem of "+p.report.Incident, "signed by every department")
	general := func() bool {
		return slices.ContainsFunc(p.chat.Messages("C0INCIDENTS"), func(m chat.Message) bool { return news(p.read.message(m)) })
	}
	switch p.plot.audience {
	case "all":
		p.await("the news of the postmortem in #"+company.AnnounceChannel, general)
		p.log("#"+company.AnnounceChannel, "the whole company hears that the postmortem is there")
	case "responders":
		p.message(p.report.Channel, "the news of the postmortem in the channel", news)
		p.log(p.here(), "those who took part hear that the postmortem is there, and nobody else")
	default:
		readers := append(p.Company.In("legal"), p.Company.In("security")...)
		for _, who := range readers {
			p.await("the news of the postmortem in a direct message to "+who.Name, func() bool {
				return slices.ContainsFunc(p.chat.DMs(who.ID), func(ch chat.Channel) bool {
					return slices.ContainsFunc(p.chat.Messages(ch.ID), func(m chat.Message) bool { return news(p.read.message(m)) })
				})
			})
		}
		p.log("direct", "legal and security hear that the postmortem is there, and nobody else: %s", p.names(readers))
	}
	if p.err == nil && p.plot.audience != "all" && general() {
		p.fail("the whole company heard of a postmortem for %s", p.plot.audience)
	}
}

// mail waits for a mail.
func (p *play) mail(what string, fits func(mailbox.Message) bool) (found mailbox.Message) {
	p.until(what, p.Company.Mail.Until, func() bool {
		for _, m := range p.Company.Mail.Messages() {
			if fits(m) {
				found = m
				return true
			}
		}
		return false
	})
	if found.Problem != "" {
		p.fail("the mail %q cannot be read: %s", found.Subject, found.Problem)
	}
	return found
}

// reviewed is the meeting: set, invited to, held, and concluded with an action
// item each for detection and prevention.
func (p *play) reviewed() {
	chair := p.cast.chair
	day := p.Now().In(p.Zone).AddDate(0, 0, 5+p.rng.IntN(9))
	at := time.Date(day.Year(), day.Month(), day.Day(), 10, 0, 0, 0, p.Zone)
	if p.rng.IntN(2) == 0 {
		p.press(chair, p.button(`the button "Schedule the review"`, "review_schedule", anyControl), nil)
		p.mustSubmit(chair, p.form(chair, "schedule_review"), fields{"when": at.Unix()})
	} else {
		p.mustType(chair, "review %s", at.Format("2006-01-02 15:04"))
	}
	p.said("the review meeting", "scheduled the review meeting", chair.Name)
	p.log(p.here(), "%s sets the review meeting for %s", called(chair), at.Format("Monday, 2 January, 15:04"))
	p.invited(at)

	conclusion := fields{
		"text": p.plot.prose.decisions, "attendance": p.attendance(),
		"detection": p.plot.prose.detection, "detection_owner": p.cast.roles[2].person.ID, "detection_due": day.AddDate(0, 1, 0).Format(time.DateOnly),
		"prevention": p.plot.prose.prevention, "prevention_owner": p.cast.roles[1].person.ID, "prevention_due": day.AddDate(0, 2, 0).Format(time.DateOnly),
	}
	if answer := p.types(chair, "review conclude"); answer != "" {
		p.fail("%s types /incident review conclude and gets no form but: %s", chair.Name, answer)
	}
	p.mustSubmit(chair, p.form(chair, "conclude_review"), conclusion)
	p.said("the conclusion of the review", "concluded the review", chair.Name, p.plot.prose.decisions)
	p.said("the detection action", "added action item A1", "detection", p.cast.roles[2].person.Name, p.plot.prose.detection)
	p.said("the prevention action", "added action item A2", "prevention", p.cast.roles[1].person.Name, p.plot.prose.prevention)
	p.log(p.here(), "%s concludes the review: %s", called(chair), p.plot.prose.decisions)
	p.log(p.here(), "A1 detection, %s: %s", called(p.cast.roles[2].person), p.plot.prose.detection)
	p.log(p.here(), "A2 prevention, %s: %s", called(p.cast.roles[1].person), p.plot.prose.prevention)
}

// attendance are the commander, the chair and whoever signed.
func (p *play) attendance() []string {
	out := []string{p.cast.first.ID}
	add := func(id string) {
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	add(p.cast.chair.ID)
	for _, d := range signing() {
		add(p.cast.signers[d].ID)
	}
	return out
}

// invited reads the invitation to the meeting as a calendar would.
func (p *play) invited(at time.Time) {
	m := p.mail("the invitation to the review meeting", func(m mailbox.Message) bool { _, ok := m.Calendar(); return ok })
	part, _ := m.Calendar()
	props := calendar(part.Content)
	if p.err != nil {
		return
	}
	for name, want := range map[string]string{"METHOD": "REQUEST", "DTSTART": at.UTC().Format("20060102T150405Z"), "BEGIN": "VCALENDAR"} {
		if !slices.Contains(props[name], want) {
			p.fail("the invitation has %s %q, not %q", name, props[name], want)
		}
	}
	for _, who := range []company.Person{p.cast.first, p.cast.scribe, p.cast.signers["legal"]} {
		if !slices.ContainsFunc(props["ATTENDEE"], func(v string) bool { return strings.EqualFold(v, "mailto:"+who.Email) }) {
			p.fail("the invitation does not name %s; it names %q", who.Email, props["ATTENDEE"])
		}
	}
	p.log("mail", "an invitation for the calendar goes to %d people", len(m.Recipients))
}

// calendar reads the properties of an iCalendar object: by name, without their
// parameters, continuation lines joined.
func calendar(content []byte) map[string][]string {
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

// ended waits until everything that is kept current says that it is over, and
// makes sure that the bot asked for nothing the outside world does not have.
func (p *play) ended() {
	p.said("the end", "The incident was closed.")
	p.await("the card saying closed", func() bool {
		pins := p.chat.Pins(p.report.Channel)
		return len(pins) == 1 && strings.Contains(pins[0].Message.Text, "closed")
	})
	p.await("the topic saying closed", func() bool {
		ch, _ := p.chat.Channel(p.report.Channel)
		return strings.Contains(ch.Topic, "closed")
	})
	for _, deed := range []string{"evidence", "times", "personal", "aware", "affected", "update", "contain"} {
		if p.err == nil && !p.deeds[deed] {
			p.fail("nobody did %s", deed)
		}
	}
	if len(p.report.Steps) == 0 || !p.both() {
		p.fail("the playbook's steps were not all done or skipped: %v", p.report.Steps)
	}
	for method, n := range p.chat.UnknownMethods() {
		p.fail("the bot called %s %d times, which the workspace does not have", method, n)
	}
	for _, d := range p.chat.Deliveries() {
		if !d.OK && d.Attempt == 0 {
			p.fail("the bot did not take the %s %s: %s", d.Kind, d.Type, fmt.Sprint(d.Status, " ", d.Error))
		}
	}
	for _, m := range p.Company.Mail.Messages() {
		p.report.Mails = append(p.report.Mails, m.MessageID)
	}
	p.log(p.here(), "%s is closed", p.report.Incident)
}

// both reports whether steps were done and steps were skipped.
func (p *play) both() bool {
	done, skipped := 0, 0
	for _, how := range p.report.Steps {
		if how == "done" {
			done++
		} else {
			skipped++
		}
	}
	return done > 0 && skipped > 0
}
