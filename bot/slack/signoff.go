package slack

import (
	"context"

	"github.com/slack-go/slack"

	"tocsin/bot/incident"
)

// AskSign asks a department for its signature, in the incident's channel: its
// user group and everybody who may sign for it are mentioned.
func (s *Slack) AskSign(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	name := incident.Department(e.Args["department"])
	if b.Incident.Submission == nil || b.Incident.SignedBy(name) != nil {
		return noCommand, nil // amended or signed in the meantime
	}
	_, err := s.postToChannel(ctx, b, askSign(b, name))
	return noCommand, err
}

func askSign(b incident.Brief, name incident.Department) message {
	inc, p := b.Incident, messageBuilder{id: b.Incident.ID}
	digest := inc.Submission.Digest
	p.line(markupf(":lower_left_fountain_pen: *%s*, please read the closing record of %s and sign it, or object. %s", humanize(name), markup(inc.ID.String()), representatives(b, name)))
	p.small(markupf("revision %s", formatNum(inc.Submission.Document.Revision)), shortDigest(digest))
	p.buttons(button(ActSign, "Sign", buttonValue(inc.ID, string(name), digest)).WithStyle(slack.StylePrimary),
		button(ActObject, "Object", buttonValue(inc.ID, string(name), digest)).WithStyle(slack.StyleDanger))
	return p.build()
}

// AskConsult asks an affected team for its answer.
func (s *Slack) AskConsult(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	name := incident.Department(e.Args["department"])
	for _, c := range b.Incident.Consultations {
		if c.Team == name && !c.Answered() {
			_, err := s.postToChannel(ctx, b, askConsult(b, c))
			return noCommand, err
		}
	}
	return noCommand, nil // answered in the meantime
}

func askConsult(b incident.Brief, c incident.Consultation) message {
	inc, p := b.Incident, messageBuilder{id: b.Incident.ID}
	p.line(markupf(":speech_balloon: *%s*, this incident concerns you. Please say what it means for you, and whether anything is missing. %s", humanize(c.Team), representatives(b, c.Team)))
	if c.Blocking {
		p.small("the record is not approved without your answer")
	}
	p.buttons(button(ActAnswer, "Answer", buttonValue(inc.ID, string(c.Team))).WithStyle(slack.StylePrimary))
	return p.build()
}

// representatives mentions the team's user group and those who may speak for it now.
func representatives(b incident.Brief, name incident.Department) markup {
	t, _ := b.Directory.Team(name)
	persons := mentionAll(b.Directory, b.Incident.Representatives(b.Directory, name, b.Now), 1500)
	if g := mentionGroup(t.Group); g != "" {
		return markupf("%s %s", g, persons)
	}
	return persons
}
