package story

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/mailbox"
)

// postHoldingStatement tells the company, as the communicator, that people work on the
// incident. The words were approved beforehand.
func (p *player) postHoldingStatement() {
	who := p.cast.roles[3].person
	p.mustType(who, "update --to company --statement holding --next 30m")
	p.awaitText("the holding statement", who.Name, msgHolding)
	p.awaitMessage("C0INCIDENTS", "the holding statement in #"+company.AnnounceChannel, containsAll(fmt.Sprintf(msgHoldingText, p.result.Incident)))
	p.log("#"+company.AnnounceChannel, "%s sent the holding statement to the company", nameAndDepartment(who))
}

// informCustomers writes an update to the customers as the communicator. A second person
// approves it in a direct message, and only then the customers get the mail.
func (p *player) informCustomers() {
	who, words := p.cast.roles[3].person, p.scenario.texts.update
	if p.Seed%2 == 0 {
		p.mustType(who, "update --to customers --next 1h %s", words)
	} else {
		p.press(who, p.awaitButton("update"), nil)
		p.mustSubmit(who, p.awaitForm(who, "update"), formValues{"text": words, "audiences": []string{"customers"}, "when": p.Now().Add(time.Hour).Unix()})
	}
	p.awaitText("the update to the customers", who.Name, msgUpdate, words)
	p.log(p.channelName(), "%s wrote an update for the customers: %s", nameAndDepartment(who), words)
	approver := p.cast.counsel
	if p.Seed%3 == 0 {
		approver = p.secondCommunicator()
	}
	mailed := func(m mailbox.Message) bool {
		return m.Subject == fmt.Sprintf(msgUpdateMail, p.result.Incident) && strings.Contains(m.Text, words)
	}
	if p.err == nil && slices.ContainsFunc(p.Company.Mail.Messages(), mailed) {
		p.fail("the customers got the update before its approval")
	}
	p.press(approver, p.awaitDirectControl(approver, "the request to approve the update", "approve_update", msgApprovalRequest, words), nil)
	p.awaitText("the approval of the update", words, fmt.Sprintf(msgUpdateApproved, approver.Name))
	m := p.awaitMail("the mail with the update", mailed)
	if p.err == nil && !slices.Equal(m.Recipients, []string{company.CustomersMail}) {
		p.fail("the update was mailed to %v, want %s", m.Recipients, company.CustomersMail)
	}
	p.log("mail", "%s approved the update, which was sent to the customers", nameAndDepartment(approver))
}

// readRegister reads who got which update, as the communicator. The bot records the
// recipients after the messages, so the story may have to look again.
func (p *player) readRegister() {
	who, complete, register := p.cast.roles[3].person, containsAll("U1", "company by Slack", "U2", p.scenario.texts.update, "customers by mail"), ""
	for attempt := 0; p.err == nil && !complete(register) && attempt < 50; attempt++ {
		register = p.typeCommand(who, "updates")
	}
	if p.err == nil && !complete(register) {
		p.fail("type /incident updates as %s: got reply %q", who.Name, register)
	}
	p.log(p.channelName(), "%s read who got which update", nameAndDepartment(who))
}

// secondCommunicator returns a person of communications who is not the communicator.
func (p *player) secondCommunicator() company.Person {
	for _, q := range p.Company.In("communications") {
		if q.ID != p.cast.roles[3].person.ID {
			return q
		}
	}
	return p.cast.counsel
}

// awaitDirectControl waits for a button in a direct message of the bot with these texts.
func (p *player) awaitDirectControl(who company.Person, subject, action string, texts ...string) (found control) {
	p.await(subject, func() bool {
		for _, ch := range p.chat.DMs(who.ID) {
			for _, m := range p.chat.Messages(ch.ID) {
				if containsAll(texts...)(p.read.message(m)) {
					all := controls(m)
					if n := slices.IndexFunc(all, func(c control) bool { return c.action == action }); n >= 0 {
						found = all[n]
						return true
					}
				}
			}
		}
		return false
	})
	return found
}
