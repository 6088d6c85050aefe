package chat

import (
	"cmp"
	"context"
	"slices"
	"unicode/utf8"

	"tocsin/bot/command"
	"tocsin/bot/incident"
	"tocsin/bot/text"
	"tocsin/templates"
)

// maxOpenSteps is the maximum length of the list of open steps.
const maxOpenSteps = 600

// recordDue offers to write and submit the closing record.
func (m *builder) recordDue() {
	m.call("Write the closing record, then submit it for signing.", m.recordOwner())
	m.buttons(append(m.verbButton("Edit the record", incident.VerbEditRecord), m.verbButton("Submit the record", incident.VerbSubmit)...)...)
}

// recordOwner returns the person who writes the closing record.
func (m *builder) recordOwner() incident.PersonID {
	return cmp.Or(m.inc.Roles[incident.Scribe], m.inc.Commander)
}

// record adds the closing record and the steps that were left open.
func (m *builder) record(r incident.ClosingRecord) {
	if open := m.inc.Unfinished; open != nil {
		m.iconLine("warning", "%s", Strong{command.OpenStepsHeading})
		all := open.Titled(m.inc).Text()
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

// drafts adds the drafts of the parts of the record that nobody wrote or confirmed, while
// the record can be edited.
func (m *builder) drafts(all []incident.PartDraft) {
	if !isAllowed(m.inc, incident.VerbEditRecord) {
		return
	}
	var open Sections
	var missing []string
	for n, part := range incident.RecordParts() {
		switch {
		case n >= len(all) || m.inc.Record.Get(part.Name) != "":
		case all[n].Text != "":
			open = append(open, Section{"Draft: " + part.Label, all[n].Text})
		case part.Required:
			missing = append(missing, part.Label+": "+all[n].Missing+".")
		}
	}
	if len(open) > 0 {
		m.line("Tocsin drafted these parts from the timeline. A draft is not submitted and not signed until a person confirms it. Type %s to confirm a part.", Typed("record confirm PART"))
		m.add(open)
	}
	if len(missing) > 0 {
		m.line("Nobody wrote these parts:")
		m.bullets(missing)
	}
}

// frozen writes the submitted record.
func (m *builder) frozen() {
	m.line("The record is frozen. The departments sign this text:")
	if sub := m.inc.Submission; sub != nil && sub.Digest == m.event.Field("digest") {
		m.record(sub.Document.Record)
	}
	m.small(textf("revision %s", m.field("revision")))
	m.buttons(append(m.verbButton("Amend the record", incident.VerbAmend), m.detailsButton())...)
}

func (m *builder) objected() {
	id := m.event.Field("objection")
	n := slices.IndexFunc(m.inc.Objections, func(o incident.Objection) bool { return o.ID == id })
	if n >= 0 && !m.inc.Objections[n].Open() {
		m.iconLine("heavy_check_mark", "The objection is closed: %s.", Plain(humanize(m.inc.Objections[n].How)))
		return
	}
	submitter := incident.PersonID("")
	if m.inc.Submission != nil {
		submitter = m.inc.Submission.By
	}
	m.call("The record cannot be approved until it is amended or the objection is withdrawn.", m.inc.Commander, submitter)
	m.buttons(append(m.verbButton("Amend the record", incident.VerbAmend),
		m.button("Withdraw the objection", incident.Command{Verb: incident.VerbWithdraw, Item: id})...)...)
}

func (m *builder) approved() {
	m.line("Tocsin is writing the postmortem.")
	if !m.inc.Review.At.IsZero() {
		return
	}
	m.call("Schedule the review meeting.", m.inc.Commander)
	m.buttons(m.verbButton("Schedule the review", incident.VerbScheduleReview)...)
}

func (m *builder) reviewScheduled() {
	m.buttons(m.verbButton("Conclude the review", incident.VerbConclude)...)
}

func (m *builder) waiverApproval() {
	m.call("A member of security must endorse the waiver.", m.teamWithout(incident.Security, m.event.By)...)
	m.note("to endorse, type %s", Typed("review waive REASON"))
}

// erasureApproval asks the other department to confirm an erasure with the same command.
func (m *builder) erasureApproval() {
	if m.inc.Erasure == nil {
		return
	}
	line, ok := command.Format(command.Parsed{Command: incident.Command{Verb: incident.VerbErase, Erase: m.inc.Erasure.Refs}}, m.brief.Directory)
	if !ok {
		return
	}
	m.call("The other department must agree.", append(m.teamWithout(incident.Legal, m.event.By), m.teamWithout(incident.Security, m.event.By)...)...)
	m.note("to agree, type %s", Typed(line))
}

// teamWithout returns the representatives of a department except one person.
func (m *builder) teamWithout(name incident.Department, p incident.PersonID) []incident.PersonID {
	people := m.inc.Representatives(m.brief.Directory, name, m.brief.Now)
	return slices.DeleteFunc(slices.Clone(people), func(q incident.PersonID) bool { return q == p })
}

// callPerson notifies the person of the event, who may sign now.
func (m *builder) callPerson() {
	if p := m.event.Field("person"); p != "" && incident.PersonID(p) != m.event.By {
		m.call("you can now sign in this thread.", incident.PersonID(p))
	}
}

// actionAdded notifies the owner of an action item, and then shows who completed it.
func (m *builder) actionAdded() {
	id := m.event.Field("action")
	n := slices.IndexFunc(m.inc.Actions, func(a incident.Action) bool { return a.ID == id })
	if n < 0 {
		return
	}
	a := m.inc.Actions[n]
	if a.IsDone() {
		m.iconLine("heavy_check_mark", "%s: %s.", Strong{Plain(a.ID)}, m.resolve(a.Progress(m.brief.Now)))
		return
	}
	if a.Owner != m.event.By {
		m.call("the action item is yours.", a.Owner)
	}
	m.buttons(m.button("Done", incident.Command{Verb: incident.VerbFinishAction, Item: a.ID})...)
}

func (m *builder) closed() {
	if d := m.inc.Review.Decisions; d != "" {
		m.line("%s held the review meeting. Attendance: %s. Decisions:", m.inc.Review.By, incident.People(m.inc.Review.Attendance))
		m.quote(d)
		if why := m.inc.Review.EarlyReason; why != "" {
			m.line("Why the review was concluded before the time of the meeting:")
			m.quote(why)
		}
	}
	if len(m.inc.Actions) > 0 {
		m.line("Every action item has an owner and a due date:")
		m.actionList()
	}
	m.buttons(m.verbButton("Reopen", incident.VerbReopen)...)
}

// Signoff returns the first message of the sign-off's thread: who signed, and what approval
// still needs.
func Signoff(b incident.Brief) Message {
	m := newBuilder(b)
	sub := m.inc.Submission
	unsigned, objections, unanswered := m.inc.Missing()
	var signed, waiting List
	for _, name := range incident.RequiredDepartments() {
		if sig := m.inc.SignedBy(name); sig != nil {
			signed = append(signed, textf("%s (%s)", string(name), sig.By))
		}
	}
	if sub != nil {
		for _, name := range unsigned {
			waiting = append(waiting, string(name))
		}
	}
	for _, o := range objections {
		waiting = append(waiting, textf("objection %s of %s", Plain(text.Truncate(o.ID, 20)), string(o.Department)))
	}
	for _, c := range unanswered {
		waiting = append(waiting, textf("answer of %s", string(c.Team)))
	}
	title := Strong{"Answers and sign-off"}
	switch {
	case sub == nil:
		m.iconLine("lower_left_fountain_pen", "%s: the closing record is not submitted yet.", title)
	case len(waiting) == 0:
		m.iconLine("lower_left_fountain_pen", "%s: revision %d is approved.", title, sub.Document.Revision)
	default:
		m.iconLine("lower_left_fountain_pen", "%s: revision %d, %d of %d signatures.", title, sub.Document.Revision, len(signed), len(incident.RequiredDepartments()))
	}
	if len(signed) > 0 {
		m.line("Signed: %s.", signed)
	}
	if len(waiting) > 0 {
		m.line("Waiting for: %s.", waiting)
	}
	m.note("the requests and answers are in this thread")
	return m.message()
}

// actionList lists the action items of the incident.
func (m *builder) actionList() {
	var lines []string
	for _, a := range m.inc.Actions {
		lines = append(lines, templates.ActionLine(a, m.brief.Directory, m.brief.Now))
	}
	m.bullets(lines)
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

// AskSign requests the signature of a department in the thread of the sign-off. It names
// the people who may sign and notifies nobody: they get a direct message and a mail.
func (c *Effects) AskSign(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	name := incident.Department(e.Args["department"])
	if b.Incident.Submission == nil || b.Incident.SignedBy(name) != nil {
		return noCommand, nil // amended or signed since the effect was created
	}
	return c.postIn(ctx, b, e, inSignoff, SignatureRequest(b, name))
}

// SignatureRequest returns the request for the signature of a department.
func SignatureRequest(b incident.Brief, name incident.Department) Message {
	m := newBuilder(b)
	sub := m.inc.Submission
	m.iconLine("lower_left_fountain_pen", "%s: please read the closing record of %s, then press %s or %s. %s",
		Strong{string(name)}, Strong{m.inc.ID}, Strong{"Read and sign"}, Strong{"Object"}, m.signers(name))
	m.small(textf("revision %d", sub.Document.Revision))
	m.buttons(m.signButtons(name, sub.Digest)...)
	return m.message()
}

// AskConsult requests the answer of a consulted team in the thread of the sign-off.
func (c *Effects) AskConsult(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	name := incident.Department(e.Args["department"])
	for _, consulted := range b.Incident.Consultations {
		if consulted.Team == name && !consulted.Answered() {
			return c.postIn(ctx, b, e, inSignoff, AnswerRequest(b, consulted))
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

// signers names the people who may sign for a department.
func (m *builder) signers(name incident.Department) Text {
	able := m.inc.Representatives(m.brief.Directory, name, m.brief.Now)
	if sub := m.inc.Submission; sub != nil && len(able) > 1 {
		able = m.teamWithout(name, sub.By) // the submitter may sign in small companies only
	}
	if len(able) == 0 {
		return Text{}
	}
	return textf("They can sign: %s.", people(able))
}

// representatives mentions the group of a team and its current representatives.
func (m *builder) representatives(name incident.Department) Text {
	people := m.inc.Representatives(m.brief.Directory, name, m.brief.Now)
	if sub := m.inc.Submission; sub != nil && len(people) > 1 {
		people = m.teamWithout(name, sub.By) // who wrote the text knows it
	}
	var persons List
	for _, p := range people {
		persons = append(persons, Mention(p))
	}
	if t, _ := m.brief.Directory.Team(name); t.Group != "" {
		return textf("%s %s", Group(t.Group), persons)
	}
	return textf("%s", persons)
}

// Retract edits the messages of a closed request, which lose their buttons. It does nothing
// if they were not posted.
func (c *Effects) Retract(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	key := incident.RequestKey(e)
	m, at, ok := RetractedRequest(b, e), inSignoff, true
	switch incident.EffectKind(e.Args["request"]) {
	case incident.EffectMessageSigners, incident.EffectPagePerson, incident.EffectAskUpdate, incident.EffectAskApproval:
		return noCommand, c.retractDirect(ctx, b, e)
	case incident.EffectPost:
		at = newEventBuilder(b).place()
		m, ok = EventMessage(b, incident.Via(c.platform.Name()))
	}
	if !ok {
		return noCommand, nil
	}
	return noCommand, c.optional(ctx, b, "retract a request", c.editAt(ctx, b, at, key, m))
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
			m.iconLine("heavy_check_mark", "%s: %s signed the closing record at %s.", Strong{string(name)}, sig.By, sig.At)
			m.small(textf("revision %d", m.inc.Submission.Document.Revision))
			return m.message()
		}
		m.iconLine("heavy_minus_sign", "%s: this request no longer applies, because the closing record changed.", Strong{string(name)})
	default:
		m.iconLine("heavy_check_mark", "%s answered.", Strong{string(name)})
	}
	return m.message()
}
