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

// layout is the message about one kind of event. Its first line is the event's
// sentence after the icon, then the text that a person wrote. More adds
// details, next actions and buttons, or is nil. A layout without an icon sends
// no message.
type layout struct {
	icon Icon
	more func(*builder)
}

// silent events send no message: the card shows them, the chat itself does, or
// another message follows.
var silent = layout{}

// layouts holds every kind of event. A test compares it with the domain.
var layouts = map[incident.EventKind]layout{
	incident.EventOpened:              {"rotating_light", (*builder).openedNotice},
	incident.EventAlertAttached:       {"bell", (*builder).alertDetail},
	incident.EventAlertCounted:        {"repeat", nil},
	incident.EventSourceNoted:         {"memo", (*builder).statusUnchanged},
	incident.EventAcknowledged:        {"raised_hand", (*builder).severityButtons},
	incident.EventAckTimedOut:         {"hourglass", (*builder).pagingRestarted},
	incident.EventRoundStarted:        {"pager", nil},
	incident.EventPageStarted:         silent, // paged or page_failed follows
	incident.EventPaged:               {"pager", nil},
	incident.EventPageFailed:          {"warning", (*builder).nextStep},
	incident.EventPageUnanswered:      {"warning", (*builder).nextStep},
	incident.EventSeveritySet:         {"level_slider", nil},
	incident.EventSeverityProposed:    {"chart_with_upwards_trend", (*builder).severityAnswers},
	incident.EventSeverityKept:        {"level_slider", nil},
	incident.EventRoleAssigned:        {"bust_in_silhouette", nil},
	incident.EventFactSet:             {"pushpin", nil},
	incident.EventDepartmentsInvolved: {"telephone_receiver", nil},
	incident.EventNoted:               {"memo", nil},
	incident.EventEvidence:            {"file_folder", nil},
	incident.EventUpdated:             {"mega", nil},
	incident.EventContained:           {"shield", nil},
	incident.EventResolved:            {"white_check_mark", (*builder).recordDue},
	incident.EventReopened:            {"rotating_light", nil},
	incident.EventDismissProposed:     {"grey_question", (*builder).dismissalApproval},
	incident.EventDismissed:           {"grey_exclamation", (*builder).dismissalReview},
	incident.EventMergedInto:          {"arrow_right", (*builder).mergedInto},
	incident.EventMergedFrom:          {"arrow_left", nil},
	incident.EventSplitInto:           {"twisted_rightwards_arrows", nil},
	incident.EventSplitFrom:           {"twisted_rightwards_arrows", (*builder).splitFrom},
	incident.EventLegalHoldSet:        {"lock", (*builder).legalHold},
	incident.EventLegalHoldReleased:   {"unlock", nil},
	incident.EventPlaybookStarted:     {"book", (*builder).playbookDetail},
	incident.EventStepStarted:         {"ballot_box_with_check", (*builder).stepStarted},
	incident.EventStepDone:            {"heavy_check_mark", nil},
	incident.EventStepSkipped:         {"fast_forward", nil},
	incident.EventStepLate:            {"alarm_clock", (*builder).stepLate},
	incident.EventAccessGranted:       {"key", nil},
	incident.EventAccessRequested:     {"key", (*builder).accessRequested},
	incident.EventBreakGlass:          {"warning", (*builder).brokenGlass},

	// The card and the message of the request show these.
	incident.EventAccessRequestExpired: silent,
	incident.EventAccessExpired:        silent,

	incident.EventRestricted:          {"lock", (*builder).channelVisibility},
	incident.EventAccessRevoked:       {"key", nil},
	incident.EventExclusionProposed:   silent, // only legal and security may know
	incident.EventExcluded:            silent,
	incident.EventReadmissionProposed: silent,
	incident.EventReadmitted:          silent,
	incident.EventReplacementNamed:    {"handshake", nil},
	incident.EventChannelReplaced:     {"wave", (*builder).welcome},
	incident.EventChannelLost:         silent, // the channel is gone: the welcome in the next one names it
	incident.EventChannelFound:        silent, // the messages that waited follow
	incident.EventChannelOpened:       {"wave", (*builder).welcome},
	incident.EventInvited:             silent, // the chat shows who joined
	incident.EventLinked:              silent,
	incident.EventEffectFailed:        {"x", (*builder).effectFailed},
	incident.EventEffectDropped:       {"x", (*builder).effectFailed},
	incident.EventRetried:             silent, // the command was answered, and the card shows what waits
	incident.EventErasureProposed:     {"wastebasket", nil},
	incident.EventErased:              {"wastebasket", nil},
	incident.EventPersonLeft:          {"wave", (*builder).personLeft},

	incident.EventRecordEdited:       {"pencil2", nil},
	incident.EventSubmitted:          {"lock_with_ink_pen", (*builder).frozen},
	incident.EventSigned:             {"lower_left_fountain_pen", (*builder).missing},
	incident.EventSignatureWithdrawn: {"leftwards_arrow_with_hook", nil},
	incident.EventSignaturesVoided:   {"warning", (*builder).recordDue},
	incident.EventObjected:           {"no_entry", (*builder).objected},
	incident.EventObjectionClosed:    {"heavy_check_mark", nil},
	incident.EventAmended:            {"pencil2", (*builder).recordDue},
	incident.EventApproved:           {"tada", (*builder).approved},
	incident.EventRevised:            {"arrows_counterclockwise", (*builder).frozen},
	incident.EventConsulted:          {"speech_balloon", nil},
	incident.EventAnswered:           {"speech_balloon", nil},
	incident.EventDelegated:          {"handshake", nil},
	incident.EventDelegationEnded:    {"handshake", nil},
	incident.EventActionAdded:        {"hammer_and_wrench", nil},
	incident.EventActionDone:         {"heavy_check_mark", nil},
	incident.EventReviewScheduled:    {"calendar", (*builder).reviewScheduled},
	incident.EventReviewInvited:      silent, // the invitation is a mail
	incident.EventReviewCancelled:    {"calendar", nil},
	incident.EventReviewConcluded:    {"busts_in_silhouette", nil},
	incident.EventWaiverProposed:     {"grey_question", (*builder).waiverApproval},
	incident.EventWaiverEndorsed:     {"white_check_mark", nil},
	incident.EventClosed:             {"checkered_flag", (*builder).closed},
	incident.EventPostmortemWritten:  silent, // the message with the file follows
	incident.EventPostmortemShared:   silent,

	incident.EventPostmortemWithdrawn: {"warning", nil},
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

// tell adds the event by its layout, and reports false for a silent event.
func (m *builder) tell() bool {
	l := layouts[m.event.Kind]
	if l.icon == "" {
		return false
	}
	m.sentence(l.icon)
	open, lasting := m.inc.Asks(m.event), slices.Contains(lastingDetails, m.event.Kind)
	if l.more != nil && (open || lasting) {
		l.more(m)
	}
	if !open && (m.removeButtons() || !lasting) {
		m.requestClosed()
	}
	return true
}

// lastingDetails are the events whose details stay readable after the request is closed,
// because they contain more than the next action.
var lastingDetails = []incident.EventKind{incident.EventChannelOpened, incident.EventChannelReplaced, incident.EventStepStarted, incident.EventStepLate,
	incident.EventApproved, incident.EventObjected, incident.EventReviewScheduled}

// removeButtons removes the buttons and menus of a message, and reports whether there
// were any.
func (m *builder) removeButtons() bool {
	before := len(m.Blocks)
	m.Blocks = slices.DeleteFunc(m.Blocks, func(b Block) bool {
		switch b.(type) {
		case Actions, Choice:
			return true
		}
		return false
	})
	return len(m.Blocks) < before
}

// requestClosed adds a note that the request is closed.
func (m *builder) requestClosed() {
	m.note("%s no action is needed any more", Icon("heavy_check_mark"))
}

// maxShortOutcome is the maximum length of the outcome of an automated step that
// is shown in small print.
const maxShortOutcome = 80

// sentence adds the event's sentence and quotes its text. A short outcome of a
// step that the bot did itself stays in one line of small print.
func (m *builder) sentence(icon Icon) {
	sentence, name := m.event.Sentence()
	if m.event.Kind == incident.EventRestricted && m.event.Field("restricted") != "true" {
		icon = "unlock"
	}
	outcome := m.event.Text("outcome")
	if m.event.Kind == incident.EventStepDone && m.botStep() && utf8.RuneCountInString(outcome) <= maxShortOutcome && !strings.Contains(outcome, "\n") {
		m.Notice = textf("%s %s: %s", Icon("robot_face"), m.resolve(sentence), Plain(outcome))
		m.small(m.Notice)
		return
	}
	m.iconLine(icon, "%s.", m.resolve(sentence))
	if !m.event.Kind.TextInside() {
		m.quoteText(name)
	}
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

func (m *builder) openedNotice() { m.restrictedNotice(m.event.Field("restricted") == "true") }

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

func (m *builder) alertDetail() {
	m.quoteText("detail")
	var rule, source Text
	if r := m.event.Text("rule"); r != "" {
		rule = textf("rule: %s", Plain(text.Truncate(r, 300)))
	}
	if u := m.event.Text("url"); IsPage(u) {
		source = textf("%s", Link{u, "open at the source"})
	}
	m.small(m.when("at"), rule, source)
}

func (m *builder) statusUnchanged() { m.note("the incident's status is unchanged") }

// severityButtons adds the menu of severities. After an acknowledgement in the
// chat, the reply to the person already contains this menu.
func (m *builder) severityButtons() {
	if m.event.Via != m.via {
		m.severityQuestion()
	}
}

// severityQuestion asks for the severity.
func (m *builder) severityQuestion() {
	if isAllowed(m.inc, incident.VerbSetSeverity) {
		m.line("Set the severity:")
		m.add(m.severityMenu())
	}
}

func (m *builder) pagingRestarted() {
	m.line("Paging restarted. Press %s to take over.", Strong{"Acknowledge"})
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
		m.note("If its %s channel is public, ask a workspace admin to make it private: an app cannot.", properName(string(m.via)))
	} else {
		m.note("The whole company can now read the incident. Its channel stays private. Announcements may now show the title.")
	}
}
