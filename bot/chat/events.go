package chat

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// layout is the message about one kind of event: where people read it and how it looks.
// Its first line is the event's sentence after the icon, then the text that a person
// wrote. More adds details, next actions and buttons, or is nil. It writes the whole
// message of a layout without an icon.
type layout struct {
	place place
	icon  Icon
	more  func(*builder)
}

// exceptions return another place for some events of a kind.
var exceptions = map[incident.EventKind]func(*builder) place{
	// A person who takes over a role knows it. Everybody must know the commander, whom
	// the message about an acknowledgement names.
	incident.EventRoleAssigned: func(m *builder) place {
		switch person := incident.PersonID(m.event.Field("person")); {
		case m.event.Field("role") == string(incident.Commander) && m.event.RecordedAt.Equal(m.inc.Paging.AcknowledgedAt):
			return nowhere
		case m.event.Field("role") == string(incident.Commander):
			return inChannel
		case person == m.event.By, person == "":
			return nowhere
		}
		return inChecklist
	},
	// An awareness starts a legal deadline. Of personal data, legal must know.
	incident.EventFactSet: func(m *builder) place {
		switch incident.FactName(m.event.Field("fact")) {
		case incident.FactAware:
			return inChannel
		case incident.FactPersonalData:
			return placeIf(m.inc.IsRequest(m.event), inChecklist)
		}
		return nowhere
	},
	// Nobody joins for a department without members: people must configure or invite them.
	incident.EventDepartmentsInvolved: func(m *builder) place {
		return placeIf(slices.ContainsFunc(m.involvedNow(), func(name incident.Department) bool { return m.hasNoMembers(name) }), inChannel)
	},
	// A long result of a step that Tocsin performed is text to read.
	incident.EventStepDone: func(m *builder) place {
		return placeIf(m.botStep() && !isShortOutcome(m.event.Text("outcome")), inChecklist)
	},
	// The report of an outsider has no alert that explains it.
	incident.EventChannelOpened: func(m *builder) place { return placeIf(m.inc.Reporter != nil, inChannel) },
	// The message about the end has the decisions.
	incident.EventReviewConcluded: func(m *builder) place { return placeIf(isAllowed(m.inc, incident.VerbConclude), inChannel) },
}

// EventMessage returns the message about the brief's event, and false for events
// without a message. Via is the chat: commands from it were already answered
// there.
func EventMessage(b incident.Brief, via incident.Via) (Message, bool) {
	m := newEventBuilder(b)
	m.via = via
	if !m.tell() {
		return Message{}, false
	}
	if b.Event.Audience == incident.AudienceLegalSecurity {
		m.note("only legal and security can read the text")
	}
	if late := b.Event.RecordedAt.Sub(b.Event.HappenedAt); late > time.Minute {
		m.note("happened %s", b.Event.Stated(b.Event.HappenedAt))
	}
	return m.message(), true
}

// tell adds the event by its layout, and reports false for an event without a message.
func (m *builder) tell() bool {
	l := layouts[m.event.Kind]
	if m.place() == nowhere || l.icon == "" && l.more == nil {
		return false
	}
	if l.icon != "" {
		m.sentence(l.icon)
	}
	open := m.inc.Asks(m.event)
	if l.more != nil && (open || slices.Contains(lastingDetails, m.event.Kind)) {
		l.more(m)
	}
	if !open {
		m.removeButtons()
	}
	if !open && l.icon != "" && slices.Contains(mootWhenClosed, m.event.Kind) {
		m.requestClosed()
	}
	return true
}

// lastingDetails are the events whose details stay readable after the request is closed,
// because they contain more than the next action.
var lastingDetails = []incident.EventKind{incident.EventChannelOpened, incident.EventChannelReplaced, incident.EventStepStarted, incident.EventStepLate,
	incident.EventApproved, incident.EventObjected, incident.EventReviewScheduled, incident.EventSubmitted, incident.EventRevised, incident.EventActionAdded,
	incident.EventUpdated}

// removeButtons removes the buttons and menus of a message that give commands. A button
// that only asks a question stays.
func (m *builder) removeButtons() {
	m.Blocks = slices.DeleteFunc(m.Blocks, func(b Block) bool {
		_, menu := b.(Choice)
		return menu
	})
	for n, b := range m.Blocks {
		if row, ok := b.(Actions); ok {
			m.Blocks[n] = slices.DeleteFunc(slices.Clone(row), func(a Action) bool { return a.Ask == "" })
		}
	}
	m.Blocks = slices.DeleteFunc(m.Blocks, func(b Block) bool {
		row, ok := b.(Actions)
		return ok && len(row) == 0
	})
}

// requestClosed adds a note that the request is closed.
func (m *builder) requestClosed() {
	m.note("%s no action is needed any more", Icon("heavy_check_mark"))
}

// maxShortOutcome is the maximum length of the outcome of an automated step that needs no
// message.
const maxShortOutcome = 80

func isShortOutcome(outcome string) bool {
	return utf8.RuneCountInString(outcome) <= maxShortOutcome && !strings.Contains(outcome, "\n")
}

// sentence adds the event's sentence and quotes its text.
func (m *builder) sentence(icon Icon) {
	sentence, name := m.event.Sentence()
	if m.event.Kind == incident.EventRestricted && m.event.Field("restricted") != "true" {
		icon = "unlock"
	}
	m.iconLine(icon, "%s.", m.resolve(withoutDetails(sentence)))
	if !m.event.Kind.TextInside() {
		m.quoteText(name)
	}
}

// withoutDetails returns a sentence without the identifiers that few readers need.
func withoutDetails(sentence Text) Text {
	sentence.Args = slices.Clone(sentence.Args)
	for n, arg := range sentence.Args {
		if _, detail := arg.(incident.Detail); detail {
			sentence.Args[n] = incident.Detail("")
		}
	}
	return sentence
}

// quoteText quotes a text of the event. It withholds texts for legal and
// security, because others read the channel, and marks erased texts.
func (m *builder) quoteText(name string) {
	t, ok := m.event.Texts[name]
	switch {
	case !ok, m.event.Audience == incident.AudienceLegalSecurity:
	case t.Value == "":
		m.note("the text was erased")
	default:
		m.quote(t.Value)
	}
}

// field returns a field of the event.
func (m *builder) field(name string) Plain { return Plain(text.Truncate(m.event.Field(name), 200)) }

// when returns the time in a field, or an empty text.
func (m *builder) when(field string) Text {
	t, err := time.Parse(time.RFC3339, m.event.Field(field))
	if err != nil {
		return Text{}
	}
	return textf("%s", t)
}

func (m *builder) restrictedNotice(restricted bool) {
	if restricted {
		m.note("restricted: outside this channel, Tocsin shows only the number and severity")
	}
}

// welcome is the first message in the channel.
func (m *builder) welcome() {
	m.line("This is the channel of %s (%s). Every %s command and button here is recorded in the timeline.",
		Strong{m.inc.ID}, Strong{string(m.inc.Severity)}, Typed(""))
	m.quote(m.inc.Title)
	if m.inc.Reporter != nil {
		m.line("Reported by %s. The report paged no one. Raise the severity to page, or press %s to start the playbooks.", m.reporter(), Strong{"Acknowledge"})
	}
	m.formerChannel()
	m.restrictedNotice(m.inc.Restricted)
	if isAllowed(m.inc, incident.VerbAcknowledge) && !m.inc.Paging.Acknowledged() {
		m.buttons(m.ackButton()...)
	}
}

// formerChannel names the channel that was lost.
func (m *builder) formerChannel() {
	switch before := m.event.Field("before"); m.event.Field("how") {
	case incident.ChannelArchived:
		m.line("The earlier channel %s was archived. Its messages stay readable there.", Channel(before))
	case incident.ChannelDeleted:
		m.line("The earlier channel was deleted, or Tocsin was removed from it. The timeline has every recorded event.")
	}
}

// maxAlertLines and maxAlertLine limit the text of an alert in the channel. The rest is
// among its details.
const (
	maxAlertLines = 2
	maxAlertLine  = 160
)

// alertLines shows an alert in at most five lines.
func (m *builder) alertLines() {
	m.iconLine("bell", "%s alert, level %s:", Strong{Plain(incident.SystemName(m.event.Field("source")))}, m.event.Field("level"))
	m.quoteText("title")
	var lines []string
	if m.event.Audience != incident.AudienceLegalSecurity {
		for _, l := range strings.Split(m.event.Text("detail"), "\n") {
			if l = strings.TrimSpace(l); l != "" && l != m.event.Text("title") && len(lines) < maxAlertLines {
				lines = append(lines, text.Truncate(l, maxAlertLine))
			}
		}
	}
	m.quote(strings.Join(lines, "\n"))
	m.small(m.when("at"), m.alertLink())
	m.buttons(m.detailsButton())
}

func (m *builder) alertLink() Text {
	if u := m.event.Text("url"); IsPage(u) {
		return textf("%s", Link{u, "open at the source"})
	}
	return Text{}
}

// EventDetails returns everything about an event, also what its message leaves out.
func EventDetails(b incident.Brief) Message {
	m := newEventBuilder(b)
	switch b.Event.Kind {
	case incident.EventStepStarted, incident.EventStepLate:
		m.stepDetails()
	case incident.EventAlertAttached:
		m.alertDetails()
	default:
		m.sentence("information_source")
		for _, name := range []string{"digest", "sha256"} {
			if id := m.event.Field(name); id != "" {
				m.line("%s %s", Plain(detailLabels[name]), Code(id))
			}
		}
	}
	return m.message()
}

// detailLabels name the identifiers of an event.
var detailLabels = map[string]string{"digest": "Digest of the record:", "sha256": "SHA-256:"}

func (m *builder) alertDetails() {
	sentence, name := m.event.Sentence()
	m.line("%s.", m.resolve(sentence))
	m.quoteText(name)
	m.quoteText("detail")
	var ids List
	for _, id := range []string{m.event.Text("rule"), m.event.Field("fingerprint")} {
		if id != "" {
			ids = append(ids, Plain(text.Truncate(id, 300)))
		}
	}
	m.small(m.when("at"), m.alertLink())
	m.small(textf("%s", ids))
}

// evidenceDetails offers the hash of evidence.
func (m *builder) evidenceDetails() {
	if m.event.Field("sha256") != "" {
		m.buttons(m.detailsButton())
	}
}

func (m *builder) statusUnchanged() { m.note("the incident's status is unchanged") }

// emptyDepartments asks for people of the departments that have no members.
func (m *builder) emptyDepartments() {
	var empty List
	for _, name := range m.involvedNow() {
		if m.hasNoMembers(name) {
			empty = append(empty, string(name))
		}
	}
	m.line("Nobody joins for %s. Grant a person access, and add members to the configuration.", empty)
}

// commands names the commander after an acknowledgement.
func (m *builder) commands() {
	if m.inc.Commander != "" {
		m.line("%s commands. Nobody is paged any more.", m.inc.Commander)
	}
}

// severityRaised offers what follows a higher severity: a responder, or an update for the
// people outside the channel.
func (m *builder) severityRaised() {
	from, to := incident.Severity(m.event.Field("from")), incident.Severity(m.event.Field("severity"))
	if !to.MoreSevereThan(from) {
		return
	}
	if !m.inc.Paging.Acknowledged() {
		m.buttons(m.ackButton()...)
		return
	}
	m.buttons(m.verbButton("Post an update", incident.VerbUpdate)...)
}

// nextStatus offers the verb that moves the incident on.
func (m *builder) nextStatus() {
	row := m.verbButton("Mark as contained", incident.VerbContain)
	if len(row) == 0 {
		row = m.verbButton("Mark as resolved", incident.VerbResolve)
	}
	if len(row) > 0 {
		m.buttons(append(row, m.verbButton("Post an update", incident.VerbUpdate)...)...)
	}
}

func (m *builder) pagingRestarted() {
	m.call("Paging restarted. Press Acknowledge to take over.", incident.PersonID(m.event.Field("person")))
	m.buttons(m.ackButton()...)
}

// nextStep names the escalation step that is paged next.
func (m *builder) nextStep() {
	if next := m.event.Field("next"); next != "" {
		n, _ := strconv.Atoi(next)
		m.line("Tocsin is paging escalation step %d now. Press %s to stop paging.", n+1, Strong{"Acknowledge"})
	}
	m.buttons(m.ackButton()...)
}

func (m *builder) effectFailed() {
	m.line("Complete the action by hand, or contact an administrator.")
}

func (m *builder) channelVisibility() {
	if m.event.Field("restricted") == "true" {
		m.note("If its %s channel is public, ask a workspace admin to make it private: an app cannot.", incident.SystemName(string(m.via)))
	} else {
		m.note("The whole company can now read the incident. Its channel stays private. Announcements may now show the title.")
	}
}
