package story

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/pager"
)

// runPlaybook finishes the steps of the playbook that are open before
// containment, together with the actions that belong to them.
func (p *player) runPlaybook() {
	if p.scenario.consult {
		p.consultPayments()
	}
	p.addNote(p.cast.roles[0].person, "at %s %s", p.timeAgo(4), p.scenario.texts.note)
	p.finishOpenSteps()
	for _, action := range []string{"evidence", "times", "personal", "aware", "affected", "update"} {
		p.doOnce(action)
	}
	if p.scenario.consult {
		p.answerForPayments()
	}
}

// addNote adds a note and waits for its message in the channel.
func (p *player) addNote(who company.Person, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	p.mustType(who, "note %s", text)
	words := text
	if rest, found := strings.CutPrefix(text, "at "); found {
		_, words, _ = strings.Cut(rest, " ")
	}
	p.awaitText("the note", msgNote, who.Name, words)
	p.log(p.channelName(), "%s added a note: %s", nameAndDepartment(who), text)
}

// finishOpenSteps does or skips every open step until the status of the incident
// lists none.
func (p *player) finishOpenSteps() {
	for p.err == nil {
		if c, ok := p.openStep(); ok {
			p.finishStep(c)
			continue
		}
		status := p.typeCommand(p.cast.first, "status")
		if !strings.Contains(status, msgOpenSteps) {
			if p.err == nil && !strings.Contains(status, p.result.Incident) {
				p.fail("type /incident status as %s: got reply %q", p.cast.first.Name, status)
			}
			return
		}
		p.await("the next step of the playbook", func() bool { _, ok := p.openStep(); return ok })
	}
}

// openStep returns the button of the earliest step that is not finished.
func (p *player) openStep() (control, bool) {
	for _, m := range p.messages(p.result.Channel) {
		for _, c := range controls(m) {
			if c.action == "step_done" && !p.finishedSteps[stepOf(c)] {
				return c, true
			}
		}
	}
	return control{}, false
}

// stepOf returns the step of a button as playbook/step.
func stepOf(c control) string {
	_, step, _ := strings.Cut(c.value, "|")
	return step
}

// finishStep does or skips a step as the person it is assigned to, or else as
// the commander.
func (p *player) finishStep(c control) {
	step := stepOf(c)
	playbook, id, _ := strings.Cut(step, "/")
	who := p.cast.first
	for _, q := range p.Company.People {
		if strings.Contains(p.read.mrkdwn(c.text), q.Name) {
			who = q
		}
	}
	p.doOnce(storyActions[id])
	outcome, skip := p.stepOutcome(id)
	verb, word := "step_done", "done"
	if skip {
		verb, word = "step_skip", "skipped"
	}
	if p.rng.IntN(3) == 0 {
		p.mustType(who, "step %s %s %s", map[bool]string{false: "done", true: "skip"}[skip], step, outcome)
	} else {
		c.action = verb
		p.press(who, c, p.result.Incident+"|"+step)
		values := formValues{"text": outcome}
		if !skip && p.rng.IntN(2) == 0 {
			values["happened_at"] = p.Now().Unix()
		}
		p.mustSubmit(who, p.awaitForm(who, verb), values)
	}
	p.finishedSteps[step] = true
	p.result.Steps[step] = word
	p.awaitText("the ticked step "+step, stepMarks[word], who.Name, outcome)
	p.log(p.channelName(), "%s %s step %s (%s): %s", nameAndDepartment(who), map[bool]string{false: "completed", true: "skipped"}[skip], id, playbook, outcome)
}

// storyActions are the actions of doOnce by the step of a playbook that they
// belong to.
var storyActions = map[string]string{
	"preserve-evidence": "evidence", "save-state": "evidence", "trace-activity": "times", "set-times": "times",
	"check-data-access": "personal", "confirm-exposure": "personal", "assess-duty-to-notify": "aware", "who-is-affected": "affected",
	"update-stakeholders": "update", "declare-contained": "contain",
}

// doOnce performs the action called name unless it was performed before. It does
// nothing if name is empty.
func (p *player) doOnce(name string) {
	if name == "" || p.doneActions[name] || p.err != nil {
		return
	}
	p.doneActions[name] = true
	commander, analyst := p.cast.first, p.cast.roles[2].person
	switch name {
	case "evidence":
		sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", p.scenario.texts.evidence, p.Seed))
		p.mustType(analyst, `evidence "%s" in s3://evidence-locked/%s/ sha256:%s`, p.scenario.texts.evidence, strings.ToLower(p.result.Incident), hex.EncodeToString(sum[:]))
		p.awaitText("the evidence", msgEvidence, p.scenario.texts.evidence)
		p.log(p.channelName(), "%s recorded evidence: %s, sha256 %s…", nameAndDepartment(analyst), p.scenario.texts.evidence, hex.EncodeToString(sum[:4]))
	case "times":
		occurred := p.startTime.Add(-95 * time.Minute)
		p.setFact(analyst, "occurred", formValues{"value": occurred.Unix(), "text": p.scenario.texts.occurredReason}, "occurred %s because %s", p.dateTime(occurred), p.scenario.texts.occurredReason)
		p.setFact(analyst, "detected", formValues{"value": p.startTime.Unix(), "text": p.scenario.texts.detectedReason}, "detected %s because %s", p.dateTime(p.startTime), p.scenario.texts.detectedReason)
	case "personal":
		p.setPersonalData(analyst)
	case "aware":
		now := p.Now()
		p.setFact(p.cast.counsel, "aware (gdpr)", formValues{"regime": "gdpr", "value": now.Unix(), "text": p.scenario.texts.awareReason}, "aware gdpr %s because %s", p.dateTime(now), p.scenario.texts.awareReason)
	case "affected":
		count := 900 + p.rng.IntN(4000)
		p.setFact(p.cast.counsel, "affected", formValues{"who": p.scenario.texts.affected, "capacity": "processor", "count": strconv.Itoa(count), "text": p.scenario.texts.affectedReason},
			"affected \"%s\" processor %d because %s", p.scenario.texts.affected, count, p.scenario.texts.affectedReason)
	case "update":
		p.postHoldingStatement()
		p.informCustomers()
	case "contain":
		p.contain(commander)
	}
}

// setFact sets a fact by a command, or in the menu of facts and the form of the fact.
func (p *player) setFact(who company.Person, name string, form formValues, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if fact, _, _ := strings.Cut(text, " "); p.rng.IntN(2) == 0 {
		p.press(who, p.awaitButton("fact"), nil)
		p.mustSubmit(who, p.awaitForm(who, "set_fact"), formValues{"fact": fact})
		p.mustSubmit(who, p.awaitForm(who, "set_fact"), form)
	} else {
		p.mustType(who, "fact %s", text)
	}
	if strings.HasPrefix(name, "aware") {
		p.awaitText("the fact "+name, msgAware, who.Name)
	}
	p.log(p.channelName(), "%s set a fact: %s", nameAndDepartment(who), text)
}

// setPersonalData sets the fact that personal data may be affected, which
// involves legal and communications immediately.
func (p *player) setPersonalData(who company.Person) {
	p.setFact(who, "personal data", formValues{"value": p.scenario.personalData, "text": p.scenario.texts.personalReason}, "personal_data %s because %s", p.scenario.personalData, p.scenario.texts.personalReason)
	involved := append(p.Company.In("legal"), p.Company.In("communications")...)
	p.awaitMembers("legal and communications", involved...)
	p.log(p.channelName(), "tocsin involved legal and communications because of the personal data: %s", p.nameList(involved))
	p.mustType(p.cast.first, "role legal %s", p.mention(p.cast.counsel))
	p.awaitText("the role legal", p.cast.counsel.Name, msgRoleAssigned, "legal")
}

// consultPayments consults the payments team, which blocks approval until it
// answers.
func (p *player) consultPayments() {
	p.mustType(p.cast.first, "consult payments blocking")
	p.awaitText("the consultation of payments", "payments", msgConsulted)
	p.awaitMembers("the payments team", p.Company.In("payments")...)
	p.log(p.channelName(), "%s consulted payments, which blocks approval until it answers", nameAndDepartment(p.cast.first))
}

func (p *player) answerForPayments() {
	who := p.cast.consulted
	p.press(who, p.awaitButton("answer"), nil)
	p.mustSubmit(who, p.awaitForm(who, "answer"), formValues{"text": p.scenario.texts.answer})
	p.awaitText("the answer of payments", "payments", msgAnswered, p.scenario.texts.answer)
	p.log(p.channelName(), "%s answered for payments: %s", nameAndDepartment(who), p.scenario.texts.answer)
}

// contain sets the incident to contained by a command or in the form.
func (p *player) contain(commander company.Person) {
	how := p.scenario.texts.contained
	if p.rng.IntN(2) == 0 {
		p.press(commander, p.awaitButton("contain"), nil)
		p.mustSubmit(commander, p.awaitForm(commander, "contain"), formValues{"text": how, "happened_at": p.Now().Unix()})
	} else {
		p.mustType(commander, "contain at %s %s", p.timeNow(), how)
	}
	p.awaitText("the containment", msgContained, commander.Name, how)
	p.log(p.channelName(), "%s contained the incident: %s", nameAndDepartment(commander), how)
}

// finishContainment contains the incident, unless a step already did, and
// finishes the steps that open after containment.
func (p *player) finishContainment() {
	p.doOnce("contain")
	p.finishOpenSteps()
}

// resolve resolves the incident and waits until every page is resolved.
func (p *player) resolve() {
	commander, how := p.cast.first, p.scenario.texts.resolved
	if p.rng.IntN(2) == 0 {
		p.press(commander, p.awaitButton("resolve"), nil)
		p.mustSubmit(commander, p.awaitForm(commander, "resolve"), formValues{"text": how})
	} else {
		p.mustType(commander, "resolve %s", how)
	}
	p.awaitText("the resolution", msgResolved, commander.Name, how)
	p.log(p.channelName(), "%s resolved the incident: %s", nameAndDepartment(commander), how)
	for round := 1; round <= p.result.Rounds; round++ {
		p.awaitPagerStatus(round, pager.Resolved)
	}
	p.log("PagerDuty", "resolved every page")
	p.readRegister()
	p.finishOpenSteps()
}
