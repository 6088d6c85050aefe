package slack

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"tocsin/bot/incident"
)

// renderer writes the message about one event: the event, the incident in its
// present state and the directory.
type renderer struct {
	*messageBuilder
	b   incident.Brief
	e   incident.Event
	inc incident.Incident
}

// layout is the message about one kind of event. Its first line is the event's
// sentence after the icon, then the text that a person wrote. More adds
// details, next actions and buttons, or is nil. A layout without an icon sends
// no message.
type layout struct {
	icon string
	more func(renderer)
}

// silent events send no message: the card shows them, Slack itself does, or
// another message follows.
var silent = layout{}

// layouts holds every kind of event. A test compares it with the domain.
var layouts = map[incident.EventKind]layout{
	incident.EventOpened:              {"rotating_light", renderer.openedNotice},
	incident.EventAlertAttached:       {"bell", renderer.alertDetail},
	incident.EventAlertCounted:        {"repeat", nil},
	incident.EventSourceNoted:         {"memo", renderer.statusUnchanged},
	incident.EventAcknowledged:        {"raised_hand", renderer.severityButtons},
	incident.EventAckTimedOut:         {"hourglass", renderer.pagingRestarted},
	incident.EventRoundStarted:        {"pager", nil},
	incident.EventPageStarted:         silent, // paged or page_failed follows
	incident.EventPaged:               {"pager", nil},
	incident.EventPageFailed:          {"warning", renderer.nextStep},
	incident.EventPageUnanswered:      {"warning", renderer.nextStep},
	incident.EventSeveritySet:         {"level_slider", nil},
	incident.EventSeverityProposed:    {"chart_with_upwards_trend", renderer.severityAnswers},
	incident.EventSeverityKept:        {"level_slider", nil},
	incident.EventRoleAssigned:        {"bust_in_silhouette", nil},
	incident.EventFactSet:             {"pushpin", nil},
	incident.EventDepartmentsInvolved: {"telephone_receiver", nil},
	incident.EventNoted:               {"memo", nil},
	incident.EventEvidence:            {"file_folder", nil},
	incident.EventUpdated:             {"mega", nil},
	incident.EventContained:           {"shield", nil},
	incident.EventResolved:            {"white_check_mark", renderer.recordDue},
	incident.EventReopened:            {"rotating_light", nil},
	incident.EventDismissProposed:     {"grey_question", renderer.dismissalApproval},
	incident.EventDismissed:           {"grey_exclamation", renderer.dismissalReview},
	incident.EventMergedInto:          {"arrow_right", renderer.mergedInto},
	incident.EventMergedFrom:          {"arrow_left", nil},
	incident.EventSplitInto:           {"twisted_rightwards_arrows", nil},
	incident.EventSplitFrom:           {"twisted_rightwards_arrows", renderer.splitFrom},
	incident.EventLegalHoldSet:        {"lock", renderer.legalHold},
	incident.EventLegalHoldReleased:   {"unlock", nil},
	incident.EventPlaybookStarted:     {"book", renderer.playbookDetail},
	incident.EventStepStarted:         {"ballot_box_with_check", renderer.stepStarted},
	incident.EventStepDone:            {"heavy_check_mark", nil},
	incident.EventStepSkipped:         {"fast_forward", nil},
	incident.EventStepLate:            {"alarm_clock", renderer.stepLate},
	incident.EventAccessGranted:       {"key", nil},
	incident.EventRestricted:          {"lock", renderer.channelVisibility},
	incident.EventAccessRevoked:       {"key", nil},
	incident.EventExclusionProposed:   silent, // only legal and security may know
	incident.EventExcluded:            silent,
	incident.EventReadmissionProposed: silent,
	incident.EventReadmitted:          silent,
	incident.EventReplacementNamed:    {"handshake", nil},
	incident.EventChannelReplaced:     {"wave", renderer.welcome},
	incident.EventChannelOpened:       {"wave", renderer.welcome},
	incident.EventInvited:             silent, // Slack shows who joined
	incident.EventLinked:              silent,
	incident.EventEffectFailed:        {"x", renderer.effectFailed},
	incident.EventErasureProposed:     {"wastebasket", nil},
	incident.EventErased:              {"wastebasket", nil},
	incident.EventPersonLeft:          {"wave", renderer.personLeft},

	incident.EventRecordEdited:       {"pencil2", nil},
	incident.EventSubmitted:          {"lock_with_ink_pen", renderer.frozen},
	incident.EventSigned:             {"lower_left_fountain_pen", renderer.missing},
	incident.EventSignatureWithdrawn: {"leftwards_arrow_with_hook", nil},
	incident.EventSignaturesVoided:   {"warning", renderer.recordDue},
	incident.EventObjected:           {"no_entry", renderer.objected},
	incident.EventObjectionClosed:    {"heavy_check_mark", nil},
	incident.EventAmended:            {"pencil2", renderer.recordDue},
	incident.EventApproved:           {"tada", renderer.approved},
	incident.EventRevised:            {"arrows_counterclockwise", renderer.frozen},
	incident.EventConsulted:          {"speech_balloon", nil},
	incident.EventAnswered:           {"speech_balloon", nil},
	incident.EventDelegated:          {"handshake", nil},
	incident.EventActionAdded:        {"hammer_and_wrench", nil},
	incident.EventActionDone:         {"heavy_check_mark", nil},
	incident.EventReviewScheduled:    {"calendar", renderer.reviewScheduled},
	incident.EventReviewConcluded:    {"busts_in_silhouette", nil},
	incident.EventWaiverProposed:     {"grey_question", renderer.waiverApproval},
	incident.EventWaiverEndorsed:     {"white_check_mark", nil},
	incident.EventClosed:             {"checkered_flag", renderer.closed},
	incident.EventPostmortemWritten:  silent, // the message with the file follows
	incident.EventPostmortemShared:   silent,
}

// withheldTexts are the events whose text stays out of the channel: the reason
// of an erasure may repeat the erased text.
var withheldTexts = map[incident.EventKind]bool{incident.EventErasureProposed: true, incident.EventErased: true}

// render returns the message about the brief's event, and false for events
// without a message.
func render(b incident.Brief) (message, bool) {
	r := renderer{messageBuilder: &messageBuilder{id: b.Incident.ID}, b: b, e: b.Event, inc: b.Incident}
	if !r.event() {
		return message{}, false
	}
	if b.Event.Audience == incident.AudienceLegalSecurity {
		r.small("only legal and security can read the text")
	}
	if late := b.Event.RecordedAt.Sub(b.Event.HappenedAt); late > time.Minute {
		r.small(markupf("happened %s", dateMarkup(b.Event.HappenedAt)))
	}
	return r.build(), true
}

// event writes the event by its layout, and reports false for a silent event.
func (s renderer) event() bool {
	l := layouts[s.e.Kind]
	if l.icon == "" {
		return false
	}
	s.sentence(l.icon)
	if l.more != nil {
		l.more(s)
	}
	return true
}

// sentence writes the event's sentence and quotes its text. A short outcome of
// a step that the bot did itself stays in one grey line.
func (s renderer) sentence(icon string) {
	sentence, text := s.e.Sentence()
	if s.e.Kind == incident.EventRestricted && s.e.Field("restricted") != "true" {
		icon = "unlock"
	}
	line := markupf(":%s: %s.", markup(icon), s.fill(sentence))
	if outcome := s.e.Text("outcome"); s.e.Kind == incident.EventStepDone && s.botStep() && units(outcome) <= 80 && !strings.Contains(outcome, "\n") {
		line = markupf(":robot_face: %s: %s", s.fill(sentence), escape(outcome, 200))
		s.text = string(line)
		s.small(line)
		return
	}
	s.line(line)
	if !withheldTexts[s.e.Kind] {
		s.quoteText(text)
	}
}

// fill inserts the arguments into the format of a sentence. A test ensures
// that formats contain no markup.
func (s renderer) fill(sentence incident.Sentence) markup {
	return markup(sentence.Show(func(arg any) string { return string(s.arg(arg)) }).String())
}

// arg returns an argument of a sentence as markup.
func (s renderer) arg(arg any) markup {
	switch v := arg.(type) {
	case incident.PersonID:
		return mention(s.b.Directory, v)
	case incident.People:
		return mentionAll(s.b.Directory, v, 1500)
	case incident.Departments:
		return s.departments(v)
	case incident.Labels:
		parts := make([]markup, len(v))
		for n, l := range v {
			parts[n] = escape(l, 60)
		}
		return joinLimited(parts, 600)
	case incident.Severity:
		return markupf("*%s*", humanize(v))
	case incident.StepRef:
		return markupf("*%s*", escape(s.stepTitle(v), 300))
	case incident.PlaybookRef:
		return markupf("*%s*", escape(s.playbookTitle(string(v)), 200))
	case incident.Quoted:
		if s.e.Audience == incident.AudienceLegalSecurity {
			return "…"
		}
		return s.inert(string(v))
	case incident.Day:
		return markup(v.String())
	case incident.Literal:
		if strings.HasPrefix(string(v), "sha256:") {
			return shortDigest(string(v))
		}
		return escape(string(v), 200)
	case time.Time:
		if v.IsZero() {
			return "not set"
		}
		return dateMarkup(v)
	}
	return humanize(fmt.Sprint(arg))
}

// inert returns text of a person or a source for use inside a sentence. Text
// that Slack would format becomes code, which readers can also copy.
func (s renderer) inert(text string) markup {
	short, cut := clip(text, maxInlineText)
	s.truncated = s.truncated || cut
	if formatted.MatchString(short) {
		return markupf("`%s`", escape(short, maxInlineText))
	}
	return escape(short, maxInlineText)
}

// maxInlineText is the maximum length of a quoted text inside a sentence.
const maxInlineText = 1000

// formatted matches text that Slack formats or replaces by an emoji.
var formatted = regexp.MustCompile(`[*_~]|:[a-zA-Z0-9+-]+:`)

// departments mentions the user groups of departments. It marks departments
// without members.
func (s renderer) departments(names incident.Departments) markup {
	var parts []markup
	for _, name := range names {
		part := mentionTeam(s.b.Directory, name)
		if t, _ := s.b.Directory.Team(name); len(t.Members) == 0 && t.Group == "" {
			part = markupf("%s (no members configured)", part)
		}
		parts = append(parts, part)
	}
	return joinLimited(parts, 600)
}

func (s renderer) field(name string) markup { return escape(s.e.Field(name), 200) }

// when returns the time in a field, or "".
func (s renderer) when(field string) markup {
	t, err := time.Parse(time.RFC3339, s.e.Field(field))
	if err != nil {
		return ""
	}
	return dateMarkup(t)
}

// quoteText quotes a text of the event. It withholds texts for legal and
// security, because others read the channel, and marks erased texts.
func (s renderer) quoteText(name string) {
	t, ok := s.e.Texts[name]
	switch {
	case !ok, s.e.Audience == incident.AudienceLegalSecurity:
	case t.Value == "":
		s.small("the text was erased")
	default:
		s.quote(t.Value)
	}
}

// maxButtonValue is the maximum length of a button's value in Slack.
const maxButtonValue = 2000

// button returns a button about this incident, or nothing if the incident's
// status does not allow the verb.
func (s renderer) button(v incident.Verb, action, label string, args ...string) []slack.BlockElement {
	carried := buttonValue(s.inc.ID, args...)
	if !isAllowed(s.inc, v) || units(carried) > maxButtonValue {
		return nil
	}
	return []slack.BlockElement{button(action, label, carried)}
}

// ackButtons returns the button Acknowledge, or nothing if the status does not
// allow it.
func (s renderer) ackButtons() []slack.BlockElement {
	if !isAllowed(s.inc, incident.VerbAcknowledge) {
		return nil
	}
	return []slack.BlockElement{button(ActAcknowledge, "Acknowledge", buttonValue(s.inc.ID)).WithStyle(slack.StylePrimary)}
}

func (s renderer) openedNotice() { s.restrictedNotice(s.e.Field("restricted") == "true") }

func (s renderer) restrictedNotice(restricted bool) {
	if restricted {
		s.small("restricted: outside this channel, Tocsin shows only the number and severity")
	}
}

// welcome is the first message in the channel.
func (s renderer) welcome() {
	s.line(markupf("This is the channel of *%s* (*%s*). Every `/incident` command and button here is recorded in the timeline.",
		markup(s.inc.ID.String()), humanize(s.inc.Severity)))
	s.quote(s.inc.Title)
	if s.inc.Reporter != nil {
		s.line(markupf("Reported by %s. The report paged no one. Raise the severity to page, or press *Acknowledge* to start the playbooks.", s.reporter()))
	}
	s.restrictedNotice(s.inc.Restricted)
	if isAllowed(s.inc, incident.VerbAcknowledge) && !s.inc.Paging.Acknowledged() {
		s.buttons(s.ackButtons()...)
	}
}

func (s renderer) alertDetail() {
	s.quoteText("detail")
	var rule, where markup
	if r := s.e.Text("rule"); r != "" {
		rule = markupf("rule: %s", escape(r, 300))
	}
	if goodURL(s.e.Text("url")) {
		where = linkMarkup(s.e.Text("url"), "open at the source")
	}
	s.small(s.when("at"), rule, where)
}

func (s renderer) statusUnchanged() { s.small("the incident's status is unchanged") }

// severityButtons adds the menu of severities. After an acknowledgement in
// Slack, the ephemeral reply already contains this menu.
func (s renderer) severityButtons() {
	if s.e.Via != incident.ViaSlack && isAllowed(s.inc, incident.VerbSetSeverity) {
		s.line("Set the severity:")
		s.buttons(severities(s.inc))
	}
}

func (s renderer) pagingRestarted() {
	s.line("Paging restarted. Press *Acknowledge* to take over.")
	s.buttons(s.ackButtons()...)
}

// nextStep names the escalation step that is paged next.
func (s renderer) nextStep() {
	if next := s.e.Field("next"); next != "" {
		var n int
		_, _ = fmt.Sscan(next, &n)
		s.line(markupf("Tocsin is paging escalation step %s now. Press *Acknowledge* to stop paging.", formatNum(n+1)))
	}
	s.buttons(s.ackButtons()...)
}

func (s renderer) effectFailed() {
	s.line("Complete the action by hand, or contact an administrator.")
}

func (s renderer) channelVisibility() {
	if s.e.Field("restricted") == "true" {
		s.small("If its Slack channel is public, ask a workspace admin to make it private: an app cannot.")
	} else {
		s.small("The whole company can now read the incident. Its channel stays private. Announcements may now show the title.")
	}
}
