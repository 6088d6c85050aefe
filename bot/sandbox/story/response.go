package story

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"time"

	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/pager"
)

// runPlaybook works through the playbook until nothing of it is left to do before
// containment. What belongs to a step of the playbook is done with it.
func (p *play) runPlaybook() {
	if p.plot.consult {
		p.consult()
	}
	p.note(p.cast.roles[0].person, "at %s %s", p.ago(4), p.plot.prose.note)
	p.work()
	for _, deed := range []string{"evidence", "times", "personal", "aware", "affected", "update"} {
		p.doOnce(deed)
	}
	if p.plot.consult {
		p.answered()
	}
}

// note writes a note and waits until it is in the channel.
func (p *play) note(who company.Person, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	p.mustType(who, "note %s", text)
	words := text
	if rest, found := strings.CutPrefix(text, "at "); found {
		_, words, _ = strings.Cut(rest, " ")
	}
	p.said("the note", "added a note", who.Name, words)
	p.log(p.here(), "%s notes: %s", called(who), text)
}

// work settles every step that waits for a person, until the bot says that
// none is open.
func (p *play) work() {
	for p.err == nil {
		if c, ok := p.openStep(); ok {
			p.finishStep(c)
			continue
		}
		status := p.types(p.cast.first, "status")
		if !strings.Contains(status, "Open steps") {
			if p.err == nil && !strings.Contains(status, p.report.Incident) {
				p.fail("%s asks for the status and is answered: %q", p.cast.first.Name, status)
			}
			return
		}
		p.await("the next step of the playbook in the channel", func() bool { _, ok := p.openStep(); return ok })
	}
}

// openStep finds the earliest step that nobody settled yet.
func (p *play) openStep() (control, bool) {
	for _, m := range p.chat.Messages(p.report.Channel) {
		for _, c := range controls(m) {
			if c.action == "step_done" && !p.settled[ref(c)] {
				return c, true
			}
		}
	}
	return control{}, false
}

// ref is the step that a button is about: playbook/step.
func ref(c control) string {
	_, step, _ := strings.Cut(c.value, "|")
	return step
}

var mentioned = regexp.MustCompile(`<@(U\w+)>`)

// finishStep does a step, or skips it where the story has no use for it, by the
// person whose step it is.
func (p *play) finishStep(c control) {
	step := ref(c)
	playbook, id, _ := strings.Cut(step, "/")
	who := p.cast.first
	if m := mentioned.FindStringSubmatch(c.text); m != nil {
		if q, ok := p.person(m[1]); ok {
			who = q
		}
	}
	p.doOnce(storyActions[id])
	outcome, skip := p.outcome(id)
	verb, word := "step_done", "done"
	if skip {
		verb, word = "step_skip", "skipped"
	}
	if p.rng.IntN(3) == 0 {
		p.mustType(who, "step %s %s %s", map[bool]string{false: "done", true: "skip"}[skip], step, outcome)
	} else {
		c.action = verb
		p.press(who, c, p.report.Incident+"|"+step)
		values := fields{"text": outcome}
		if !skip && p.rng.IntN(2) == 0 {
			values["happened_at"] = p.just()
		}
		p.mustSubmit(who, p.form(who, verb), values)
	}
	p.settled[step] = true
	p.report.Steps[step] = word
	p.said("the step "+step+" being "+word, stepSentences[word], who.Name, outcome)
	p.log(p.here(), "%s: %s %s (%s): %s", called(who), id, word, playbook, outcome)
}

// storyActions are the things of the story that belong to a step of a playbook.
var storyActions = map[string]string{
	"preserve-evidence": "evidence", "save-state": "evidence", "trace-activity": "times", "set-times": "times",
	"check-data-access": "personal", "confirm-exposure": "personal", "assess-duty-to-notify": "aware", "who-is-affected": "affected",
	"update-stakeholders": "update", "declare-contained": "contain",
}

// doOnce does one thing of the story, once.
func (p *play) doOnce(name string) {
	if name == "" || p.deeds[name] || p.err != nil {
		return
	}
	p.deeds[name] = true
	commander, analyst := p.cast.first, p.cast.roles[2].person
	switch name {
	case "evidence":
		sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", p.plot.prose.evidence, p.Seed))
		p.mustType(analyst, `evidence "%s" in s3://evidence-locked/%s/ sha256:%s`, p.plot.prose.evidence, strings.ToLower(p.report.Incident), hex.EncodeToString(sum[:]))
		p.said("the evidence", "added evidence E1", p.plot.prose.evidence, hex.EncodeToString(sum[:]))
		p.log(p.here(), "%s keeps evidence: %s, sha256 %s…", called(analyst), p.plot.prose.evidence, hex.EncodeToString(sum[:4]))
	case "times":
		p.fact(analyst, "occurred", "occurred %s because %s", p.on(p.began.Add(-95*time.Minute)), p.plot.prose.occurred)
		p.fact(analyst, "detected", "detected %s because %s", p.on(p.began), p.plot.prose.detected)
	case "personal":
		p.personalData(analyst)
	case "aware":
		p.fact(p.cast.counsel, "aware (gdpr)", "aware gdpr %s because %s", p.on(p.Now()), p.plot.prose.aware)
	case "affected":
		p.fact(p.cast.counsel, "affected", "affected \"%s\" processor %d because %s", p.plot.prose.affected, 900+p.rng.IntN(4000), p.plot.prose.counted)
	case "update":
		p.mustType(p.cast.roles[3].person, "update %s", p.plot.prose.update)
		p.said("the status update", "posted a status update", p.plot.prose.update)
		p.log(p.here(), "%s tells the stakeholders: %s", called(p.cast.roles[3].person), p.plot.prose.update)
	case "contain":
		p.contain(commander)
	}
}

// stepSentences and factSentences are parts of the bot's sentences by which
// the story recognises a message.
var (
	stepSentences = map[string]string{"done": "completed step", "skipped": "skipped step"}
	factSentences = map[string]string{"occurred": "set the time of occurrence", "detected": "set the time of detection",
		"aware (gdpr)": "set the time of awareness under gdpr", "affected": "added the affected party", "personal data": "set personal data to"}
)

// fact sets a fact, typed or in the form.
func (p *play) fact(who company.Person, name, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if fact, value, _ := strings.Cut(text, " "); p.rng.IntN(2) == 0 {
		known, reason, _ := strings.Cut(value, " because ")
		p.press(who, p.button(`a button "Fact"`, "fact", anyControl), nil)
		p.mustSubmit(who, p.form(who, "set_fact"), fields{"fact": fact, "value": known, "text": reason})
	} else {
		p.mustType(who, "fact %s", text)
	}
	p.said("the fact "+name, factSentences[name], who.Name)
	p.log(p.here(), "%s sets a fact: %s", called(who), text)
}

// personalData states that personal data may be involved, which brings legal
// and communications in at once.
func (p *play) personalData(who company.Person) {
	p.fact(who, "personal data", "personal_data %s because %s", p.plot.personal, p.plot.prose.personal)
	called := append(p.Company.In("legal"), p.Company.In("communications")...)
	p.joined("legal and communications", called...)
	p.log(p.here(), "personal data may be involved: legal and communications are in at once: %s", p.names(called))
	p.mustType(p.cast.first, "role legal %s", p.mention(p.cast.counsel))
	p.said("the legal lead", p.cast.counsel.Name, "the role legal")
}

// consult asks an affected team, without whose answer nothing is approved.
func (p *play) consult() {
	p.mustType(p.cast.first, "consult payments blocking")
	p.said("the question to the payments team", "payments", "concerns you")
	p.joined("the payments team", p.Company.In("payments")...)
	p.log(p.here(), "%s consults the payments team: nothing is approved without its answer", called(p.cast.first))
}

func (p *play) answered() {
	who := p.cast.consulted
	p.press(who, p.button(`the button "Answer"`, "answer", anyControl), nil)
	p.mustSubmit(who, p.form(who, "answer"), fields{"text": p.plot.prose.answer})
	p.said("the answer of the payments team", "payments", "answered", p.plot.prose.answer)
	p.log(p.here(), "%s answers for payments: %s", called(who), p.plot.prose.answer)
}

// contain says that the harm no longer spreads: on the card, or typed.
func (p *play) contain(commander company.Person) {
	how := p.plot.prose.contained
	if p.rng.IntN(2) == 0 {
		p.press(commander, p.button(`the button "Contained"`, "contain", anyControl), nil)
		p.mustSubmit(commander, p.form(commander, "contain"), fields{"text": how, "happened_at": p.just()})
	} else {
		p.mustType(commander, "contain at %s %s", p.just(), how)
	}
	p.said("the containment", "marked the incident as contained", commander.Name, how)
	p.log(p.here(), "%s: contained: %s", called(commander), how)
}

// containment is said by now; what the playbook has for afterwards is done.
func (p *play) containment() {
	p.doOnce("contain")
	p.work()
}

// recovery says that service and security are restored; the pager forgets it.
func (p *play) recovery() {
	commander, how := p.cast.first, p.plot.prose.resolved
	if p.rng.IntN(2) == 0 {
		p.press(commander, p.button(`the button "Resolved"`, "resolve", anyControl), nil)
		p.mustSubmit(commander, p.form(commander, "resolve"), fields{"text": how})
	} else {
		p.mustType(commander, "resolve %s", how)
	}
	p.said("the resolution", "marked the incident as resolved", commander.Name, how)
	p.log(p.here(), "%s: resolved: %s", called(commander), how)
	for round := 1; round <= p.report.Rounds; round++ {
		p.awaitPagerStatus(round, pager.Resolved)
	}
	p.log("PagerDuty", "every page is resolved")
	p.work()
}
