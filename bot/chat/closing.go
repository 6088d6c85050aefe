package chat

import (
	"context"
	"unicode/utf8"

	"tocsin/bot/command"
	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// maxOpenSteps is the maximum length of the list of open steps.
const maxOpenSteps = 600

// recordDue offers to write and submit the closing record.
func (m *builder) recordDue() {
	m.line("Next: write the closing record and submit it for signing.")
	m.buttons(append(m.verbButton("Edit the record", incident.VerbEditRecord), m.verbButton("Submit the record", incident.VerbSubmit)...)...)
}

// record adds the closing record and the steps that were left open.
func (m *builder) record(r incident.ClosingRecord) {
	if open := m.inc.Unfinished; open != nil {
		m.iconLine("warning", "%s", Strong{command.OpenStepsHeading})
		all := open.Text()
		m.Cut = utf8.RuneCountInString(all) > maxOpenSteps
		m.quote(text.Truncate(all, maxOpenSteps))
	}
	var filled Sections
	for _, f := range incident.RecordFields() {
		if value := r.Get(f.Name); value != "" && f.Name != "audience" && f.Name != "language" {
			filled = append(filled, Section{f.Label, value})
		}
	}
	if len(filled) > 0 {
		m.add(filled)
	}
	if r.Audience != "" {
		m.small(textf("audience: %s", string(r.Audience)), textf("language: %s", Plain(text.Truncate(r.Language, 40))))
	}
}

// frozen writes the submitted record with its digest.
func (m *builder) frozen() {
	m.line("The record is frozen. The departments sign this text:")
	if sub := m.inc.Submission; sub != nil && sub.Digest == m.event.Field("digest") {
		m.record(sub.Document.Record)
	}
	m.small(textf("revision %s", m.field("revision")), textf("%s", m.field("digest")))
	m.buttons(m.verbButton("Amend the record", incident.VerbAmend)...)
}

// missing lists the signatures, objections and answers that approval needs.
func (m *builder) missing() {
	unsigned, objections, unanswered := m.inc.Missing()
	var items List
	for _, name := range unsigned {
		items = append(items, string(name))
	}
	for _, o := range objections {
		items = append(items, textf("objection %s", Plain(text.Truncate(o.ID, 20))))
	}
	for _, c := range unanswered {
		items = append(items, textf("answer of %s", string(c.Team)))
	}
	if len(items) == 0 {
		m.note("nothing is missing")
		return
	}
	m.note("still missing: %s", items)
}

func (m *builder) objected() {
	m.note("the record cannot be approved until the objection is withdrawn or the record is amended")
	m.buttons(append(m.verbButton("Amend the record", incident.VerbAmend),
		m.button("Withdraw the objection", incident.Command{Verb: incident.VerbWithdraw, Item: m.event.Field("objection")})...)...)
}

func (m *builder) approved() {
	m.line("Tocsin is writing the postmortem. Next: schedule the review meeting.")
	m.note("%s", m.field("digest"))
	m.buttons(m.verbButton("Schedule the review", incident.VerbScheduleReview)...)
}

func (m *builder) reviewScheduled() {
	m.buttons(m.verbButton("Conclude the review", incident.VerbConclude)...)
}

func (m *builder) waiverApproval() {
	m.line("A member of %s must endorse the waiver.", Team(incident.Security))
}

func (m *builder) closed() {
	m.line("The incident was reviewed in person. Every action item has an owner and a due date:")
	m.bullets(actionLines(m.brief.Directory, m.inc.Actions))
}

// actionLines returns action items as lines of plain text.
func actionLines(d incident.Directory, items []incident.Action) []string {
	var out []string
	for _, a := range items {
		out = append(out, a.ID+" · "+string(a.Kind)+" · "+text.Truncate(a.Title, 120)+" · "+d.Name(a.Owner)+" · due "+a.Due.UTC().Format("2006-01-02"))
	}
	return out
}

// FinalMessage returns the final message of an incident. It contains the event
// that ended the incident and where to continue.
func FinalMessage(b incident.Brief) Message {
	m := newEventBuilder(b)
	m.tell()
	next := textf("no further action is needed · if the incident continues, type %s", Typed("reopen "+m.inc.ID.String()+" WHY"))
	if m.inc.MergedInto != 0 {
		next = textf("all further work belongs in %s", m.inc.MergedInto)
	}
	m.small(next, textf("this channel stays readable"))
	return m.message()
}

// AskSign requests the signature of a department in the channel of the
// incident. It mentions the group of the department and everyone who may sign
// for it.
func (c *Effects) AskSign(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	name := incident.Department(e.Args["department"])
	if b.Incident.Submission == nil || b.Incident.SignedBy(name) != nil {
		return noCommand, nil // amended or signed since the effect was created
	}
	return noCommand, c.postToChannel(ctx, b, SignatureRequest(b, name))
}

// SignatureRequest returns the request for the signature of a department.
func SignatureRequest(b incident.Brief, name incident.Department) Message {
	m := newBuilder(b)
	sub := m.inc.Submission
	m.iconLine("lower_left_fountain_pen", "%s: please read the closing record of %s, then press %s or %s. %s",
		Strong{string(name)}, Strong{m.inc.ID}, Strong{"Sign"}, Strong{"Object"}, m.representatives(name))
	m.small(textf("revision %d", sub.Document.Revision), textf("%s", digest(sub.Digest)))
	sign := m.action("Sign", incident.Command{Verb: incident.VerbSign, Department: name, Expect: sub.Digest})
	object := m.action("Object", incident.Command{Verb: incident.VerbObject, Department: name, Expect: sub.Digest})
	sign.Style, object.Style = StylePrimary, StyleDanger
	m.buttons(sign, object)
	return m.message()
}

// AskConsult requests the answer of a consulted team in the channel of the
// incident.
func (c *Effects) AskConsult(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	name := incident.Department(e.Args["department"])
	for _, consulted := range b.Incident.Consultations {
		if consulted.Team == name && !consulted.Answered() {
			return noCommand, c.postToChannel(ctx, b, AnswerRequest(b, consulted))
		}
	}
	return noCommand, nil // answered since the effect was created
}

// AnswerRequest returns the request for the answer of a consulted team.
func AnswerRequest(b incident.Brief, c incident.Consultation) Message {
	m := newBuilder(b)
	m.iconLine("speech_balloon", "%s: %s concerns you. How does the incident affect your team, and is anything missing? Press %s. %s",
		Strong{string(c.Team)}, Strong{m.inc.ID}, Strong{"Answer"}, m.representatives(c.Team))
	if c.Blocking {
		m.note("the closing record cannot be approved without your answer")
	}
	answer := m.action("Answer", incident.Command{Verb: incident.VerbAnswer, Department: c.Team})
	answer.Style = StylePrimary
	m.buttons(answer)
	return m.message()
}

// representatives mentions the group of a team and its current representatives.
func (m *builder) representatives(name incident.Department) Text {
	persons := incident.People(m.inc.Representatives(m.brief.Directory, name, m.brief.Now))
	if t, _ := m.brief.Directory.Team(name); t.Group != "" {
		return textf("%s %s", Group(t.Group), persons)
	}
	return textf("%s", persons)
}

// Retract edits the message of a closed request, which loses its buttons. It does nothing
// if the message was not posted.
func (c *Effects) Retract(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	channel, err := channelOf(b.Incident)
	if err != nil {
		return noCommand, err
	}
	m, ok := RetractedRequest(b, e), true
	if incident.EffectKind(e.Args["request"]) == incident.EffectPost {
		m, ok = EventMessage(b, incident.Via(c.platform.Name()))
	}
	if !ok {
		return noCommand, nil
	}
	return noCommand, c.optional(ctx, b, "retract a request", c.edit(ctx, b, channel, incident.RequestKey(e), m, b.Event.RecordedAt))
}

// RetractedRequest returns the request to a department after it was answered or became
// moot.
func RetractedRequest(b incident.Brief, e incident.Effect) Message {
	m := newBuilder(b)
	name := incident.Department(e.Args["department"])
	switch incident.EffectKind(e.Args["request"]) {
	case incident.EffectAskSign:
		if m.inc.AsksToSign(name, e.EventSeq()) {
			return SignatureRequest(b, name) // other people may sign now
		}
		if sig := m.inc.SignedBy(name); sig != nil {
			m.iconLine("lower_left_fountain_pen", "%s signed the closing record of %s.", Strong{string(name)}, Strong{m.inc.ID})
		} else {
			m.iconLine("lower_left_fountain_pen", "The request to %s to sign the closing record of %s no longer applies.", Strong{string(name)}, Strong{m.inc.ID})
		}
	default:
		m.iconLine("speech_balloon", "The question to %s about %s is closed.", Strong{string(name)}, Strong{m.inc.ID})
	}
	m.requestClosed()
	return m.message()
}
