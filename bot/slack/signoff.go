package slack

import (
	"context"

	"github.com/slack-go/slack"

	"tocsin/bot/incident"
)

// AskSign requests the signature of a department in the channel of the
// incident. It mentions the user group of the department and everyone who may
// sign for it.
func (s *Slack) AskSign(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	name := incident.Department(e.Args["department"])
	if b.Incident.Submission == nil || b.Incident.SignedBy(name) != nil {
		return noCommand, nil // amended or signed since the effect was created
	}
	_, err := s.postToChannel(ctx, b, askSign(b, name))
	return noCommand, err
}

func askSign(b incident.Brief, name incident.Department) message {
	inc, p := b.Incident, messageBuilder{id: b.Incident.ID}
	digest := inc.Submission.Digest
	p.line(markupf(":lower_left_fountain_pen: *%s*: please read the closing record of *%s*, then press *Sign* or *Object*. %s", humanize(name), markup(inc.ID.String()), representatives(b, name)))
	p.small(markupf("revision %s", formatNum(inc.Submission.Document.Revision)), shortDigest(digest))
	p.buttons(button(ActSign, "Sign", buttonValue(inc.ID, string(name), digest)).WithStyle(slack.StylePrimary),
		button(ActObject, "Object", buttonValue(inc.ID, string(name), digest)).WithStyle(slack.StyleDanger))
	return p.build()
}

// AskConsult requests the answer of a consulted team in the channel of the
// incident.
func (s *Slack) AskConsult(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	name := incident.Department(e.Args["department"])
	for _, c := range b.Incident.Consultations {
		if c.Team == name && !c.Answered() {
			_, err := s.postToChannel(ctx, b, askConsult(b, c))
			return noCommand, err
		}
	}
	return noCommand, nil // answered since the effect was created
}

func askConsult(b incident.Brief, c incident.Consultation) message {
	inc, p := b.Incident, messageBuilder{id: b.Incident.ID}
	p.line(markupf(":speech_balloon: *%s*: *%s* concerns you. How does the incident affect your team, and is anything missing? Press *Answer*. %s", humanize(c.Team), markup(inc.ID.String()), representatives(b, c.Team)))
	if c.Blocking {
		p.small("the closing record cannot be approved without your answer")
	}
	p.buttons(button(ActAnswer, "Answer", buttonValue(inc.ID, string(c.Team))).WithStyle(slack.StylePrimary))
	return p.build()
}

// representatives mentions the user group of a team and its current
// representatives.
func representatives(b incident.Brief, name incident.Department) markup {
	t, _ := b.Directory.Team(name)
	persons := mentionAll(b.Directory, b.Incident.Representatives(b.Directory, name, b.Now), 1500)
	if g := mentionGroup(t.Group); g != "" {
		return markupf("%s %s", g, persons)
	}
	return persons
}
