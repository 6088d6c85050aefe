package slack

import (
	"strconv"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"tocsin/bot/incident"
)

// renderer is what an event is told with: the event, the incident as it stands
// now, and who everybody is.
type renderer struct {
	*page
	b   incident.Brief
	e   incident.Event
	inc incident.Incident
}

// renderFunc tells one kind of event.
type renderFunc func(renderer)

// skip is the voice of events that are not told: the card shows them, Slack
// itself does, or another message says the same.
var skip renderFunc

// renderers holds every kind of event; a test holds it against the domain.
var renderers = map[incident.EventKind]renderFunc{
	incident.EventOpened:              renderer.opened,
	incident.EventAlertAttached:       renderer.alertAttached,
	incident.EventAlertCounted:        renderer.alertCounted,
	incident.EventSourceNoted:         renderer.sourceNoted,
	incident.EventAcknowledged:        renderer.acknowledged,
	incident.EventAckTimedOut:         renderer.ackTimedOut,
	incident.EventRoundStarted:        renderer.round,
	incident.EventPageStarted:         skip, // paged or page_failed follows
	incident.EventPaged:               renderer.paged,
	incident.EventPageFailed:          renderer.pageFailed,
	incident.EventPageUnanswered:      renderer.pageUnanswered,
	incident.EventSeveritySet:         renderer.severitySet,
	incident.EventRoleAssigned:        renderer.roleAssigned,
	incident.EventFactSet:             renderer.factSet,
	incident.EventDepartmentsInvolved: renderer.departmentsInvolved,
	incident.EventNoted:               renderer.noted,
	incident.EventEvidence:            renderer.evidence,
	incident.EventUpdated:             renderer.updated,
	incident.EventContained:           renderer.contained,
	incident.EventResolved:            renderer.resolved,
	incident.EventReopened:            renderer.reopened,
	incident.EventDismissProposed:     renderer.dismissProposed,
	incident.EventDismissed:           renderer.dismissed,
	incident.EventMergedInto:          renderer.mergedInto,
	incident.EventMergedFrom:          renderer.mergedFrom,
	incident.EventSplitInto:           renderer.splitInto,
	incident.EventSplitFrom:           renderer.splitFrom,
	incident.EventLegalHoldSet:        renderer.held,
	incident.EventLegalHoldReleased:   renderer.holdReleased,
	incident.EventPlaybookStarted:     renderer.playbookStarted,
	incident.EventStepStarted:         renderer.stepStarted,
	incident.EventStepDone:            renderer.stepDone,
	incident.EventStepSkipped:         renderer.stepSkipped,
	incident.EventStepLate:            renderer.stepLate,
	incident.EventAccessGranted:       renderer.accessGranted,
	incident.EventRestricted:          renderer.restricted,
	incident.EventChannelOpened:       renderer.channelOpened,
	incident.EventInvited:             skip, // Slack says who joined
	incident.EventLinked:              skip,
	incident.EventEffectFailed:        renderer.effectFailed,
	incident.EventErasureProposed:     renderer.eraseProposed,
	incident.EventErased:              renderer.erased,

	incident.EventRecordEdited:       renderer.recordEdited,
	incident.EventSubmitted:          renderer.submitted,
	incident.EventSigned:             renderer.signed,
	incident.EventSignatureWithdrawn: renderer.signatureWithdrawn,
	incident.EventSignaturesVoided:   renderer.signaturesVoided,
	incident.EventObjected:           renderer.objected,
	incident.EventObjectionClosed:    renderer.objectionClosed,
	incident.EventAmended:            renderer.amended,
	incident.EventApproved:           renderer.approved,
	incident.EventRevised:            renderer.revised,
	incident.EventConsulted:          renderer.consulted,
	incident.EventAnswered:           renderer.answered,
	incident.EventDelegated:          renderer.delegated,
	incident.EventActionAdded:        renderer.actionAdded,
	incident.EventActionDone:         renderer.actionDone,
	incident.EventReviewScheduled:    renderer.reviewScheduled,
	incident.EventReviewConcluded:    renderer.reviewConcluded,
	incident.EventWaiverProposed:     renderer.exceptionProposed,
	incident.EventWaiverEndorsed:     renderer.exceptionEndorsed,
	incident.EventClosed:             renderer.closed,
	incident.EventPostmortemWritten:  skip, // the message that shares it says so
	incident.EventPostmortemShared:   skip,
}

// render tells the brief's event; false for those that are not told.
func render(b incident.Brief) (message, bool) {
	speak := renderers[b.Event.Kind]
	if speak == nil {
		return message{}, false
	}
	p := &page{id: b.Incident.ID}
	speak(renderer{page: p, b: b, e: b.Event, inc: b.Incident})
	if b.Event.Audience == incident.AudienceLegalSecurity {
		p.small("the texts are for legal and security alone")
	}
	if late := b.Event.RecordedAt.Sub(b.Event.HappenedAt); late > time.Minute {
		p.small(mk("happened %s", at(b.Event.HappenedAt)))
	}
	return p.done(), true
}

func (s renderer) by() markup { return who(s.b.Directory, s.e.By) }

func (s renderer) person(field string) markup {
	return who(s.b.Directory, incident.PersonID(s.e.Field(field)))
}

func (s renderer) field(name string) markup { return esc(s.e.Field(name), 200) }

// route is a route of the emergency alias as people count.
func (s renderer) route(field string) markup {
	n, _ := strconv.Atoi(s.e.Field(field))
	return num(n + 1)
}

// when is an instant in a field, or "" where there is none.
func (s renderer) when(field string) markup {
	t, err := time.Parse(time.RFC3339, s.e.Field(field))
	if err != nil {
		return ""
	}
	return at(t)
}

// quoteText quotes a text of the event. What is for legal and security alone is not
// for a channel that others read, and what was erased is said to be gone.
func (s renderer) quoteText(name string) {
	t, there := s.e.Texts[name]
	switch {
	case !there, s.e.Audience == incident.AudienceLegalSecurity:
	case t.Value == "":
		s.small("the text was erased")
	default:
		s.quote(t.Value)
	}
}

// maxButtonValue is what a button may carry.
const maxButtonValue = 2000

// button is one of ours about this incident, if the lifecycle has a place for
// what it asks for.
func (s renderer) button(v incident.Verb, action, label string, args ...string) []slack.BlockElement {
	carried := value(s.inc.ID, args...)
	if !possible(s.inc, v) || units(carried) > maxButtonValue {
		return nil
	}
	return []slack.BlockElement{button(action, label, carried)}
}

// ackButtons is what to press first, where nobody has it.
func (s renderer) ackButtons() []slack.BlockElement {
	if !possible(s.inc, incident.VerbAcknowledge) {
		return nil
	}
	return []slack.BlockElement{button(ActAcknowledge, "I have it", value(s.inc.ID)).WithStyle(slack.StylePrimary)}
}

func (s renderer) opened() {
	by := who(s.b.Directory, s.e.By)
	if s.e.By == "" {
		by = "an alert"
	}
	s.line(mk(":rotating_light: *%s* · *%s* · opened by %s", markup(s.inc.ID.String()), s.field("severity"), by))
	title := s.e.Text("title")
	if title == "" {
		title = s.inc.Title
	}
	s.quote(title)
	s.quoteText("text")
	if s.e.Field("restricted") == "true" {
		s.small("restricted: outside this channel only its number and severity are shown")
	}
}

// channelOpened is the first thing said in the channel.
func (s renderer) channelOpened() {
	s.line(mk(":wave: This is the channel of *%s* (%s). What is done with `/incident` or a button goes on the record.",
		markup(s.inc.ID.String()), word(s.inc.Severity)))
	s.quote(s.inc.Title)
	if s.inc.Restricted {
		s.small("restricted: outside this channel only its number and severity are shown")
	}
	if s.inc.NeedsPage() {
		s.buttons(s.ackButtons()...)
	}
}

func (s renderer) alertAttached() {
	from := markup("")
	if !strings.HasPrefix(s.e.Field("kind"), s.e.Field("source")+".") {
		from = mk(" from %s", s.field("source"))
	}
	s.line(mk(":bell: *Alert*%s: %s, level %s", from, s.field("kind"), s.field("level")))
	s.quoteText("title")
	s.quoteText("detail")
	var rule, where markup
	if r := s.e.Text("rule"); r != "" {
		rule = mk("rule: %s", esc(r, 300))
	}
	if goodURL(s.e.Text("url")) {
		where = link(s.e.Text("url"), "look at it there")
	}
	s.small(s.when("at"), rule, where)
}

func (s renderer) alertCounted() {
	s.line(mk(":repeat: The same alert has now come *%s* times.", s.field("count")))
	s.quoteText("title")
}

func (s renderer) sourceNoted() {
	s.line(mk(":memo: %s says:", s.field("source")))
	s.quoteText("text")
	s.small("Noted. It moves nothing here.")
}

func (s renderer) acknowledged() {
	s.line(mk(":raised_hand: %s has it.", s.by()))
	s.quoteText("text")
	if s.e.Via != incident.ViaSlack { // who said it here was asked in the answer
		s.severityButtons()
	}
}

// severityButtons asks how grave it is.
func (s renderer) severityButtons() {
	if possible(s.inc, incident.VerbSetSeverity) {
		s.line("How grave is it?")
		s.buttons(severities(s.inc))
	}
}

func (s renderer) ackTimedOut() {
	s.line(mk(":hourglass: %s had it and has not acted for a while. The acknowledgement has lapsed.", s.person("person")))
	s.buttons(s.ackButtons()...)
}

func (s renderer) round() {
	s.line(mk(":pager: Round %s of paging begins.", s.field("round")))
}

func (s renderer) paged() {
	s.line(mk(":pager: The emergency alias was paged (round %s, route %s).", s.field("round"), s.route("escalation_step")))
}

func (s renderer) next() {
	if s.e.Field("next") != "" {
		s.small(mk("route %s is tried now", s.route("next")))
	}
	s.buttons(s.ackButtons()...)
}

func (s renderer) pageFailed() {
	s.line(mk(":warning: The page did not go out (round %s, route %s).", s.field("round"), s.route("escalation_step")))
	s.quoteText("reason")
	s.next()
}

func (s renderer) pageUnanswered() {
	s.line(mk(":warning: Nobody answered the page in time (round %s, route %s).", s.field("round"), s.route("escalation_step")))
	s.next()
}

func (s renderer) severitySet() {
	s.line(mk(":level_slider: Severity %s → *%s*, by %s", s.field("from"), s.field("severity"), s.by()))
	s.quoteText("reason")
}

func (s renderer) roleAssigned() {
	s.line(mk(":bust_in_silhouette: %s is now *%s*.", s.person("person"), word(s.e.Field("role"))))
	s.quoteText("reason")
}

func (s renderer) factSet() {
	name := word(s.e.Field("fact"))
	if r := s.e.Field("regime"); r != "" {
		name = mk("%s (%s)", name, word(r))
	}
	val := s.when("value")
	switch {
	case s.e.Field("fact") == string(incident.FactAffected):
		val = mk("%s people, we as %s", s.counted(), s.field("capacity"))
	case s.e.Field("fact") == string(incident.FactTimeZone):
		val = esc(s.e.Field("value"), 80) // a name, with its underscores
	case val == "":
		val = word(s.e.Field("value"))
	}
	s.line(mk(":pushpin: Fact *%s*: %s, set by %s", name, val, s.by()))
	s.quoteText("who")
	s.quoteText("reason")
}

func (s renderer) counted() markup {
	if n := s.e.Field("count"); n != "" && n != "0" {
		return esc(n, 20)
	}
	return "an unknown number of"
}

func (s renderer) departmentsInvolved() {
	var teams []markup
	for _, name := range strings.Split(s.e.Field("departments"), ",") {
		called := team(s.b.Directory, incident.Department(name))
		if t, _ := s.b.Directory.Team(incident.Department(name)); len(t.Members) == 0 && t.Group == "" {
			called = mk("%s (the configuration names nobody)", called)
		}
		teams = append(teams, called)
	}
	s.line(mk(":telephone_receiver: Called in: %s", list(teams, 600)))
	s.quoteText("reason")
}

// effectFailed names the effect by its key: the incident, the event, the kind.
func (s renderer) effectFailed() {
	parts := strings.SplitN(s.e.Field("effect"), "/", 4)
	s.line(mk(":x: Something could not be done in the outside world and is not tried again: *%s*", word(parts[min(2, len(parts)-1)])))
	s.quoteText("reason")
	s.small(s.field("effect"))
}

func (s renderer) accessGranted() {
	s.line(mk(":key: %s may read along, granted by %s.", s.person("person"), s.by()))
	s.quoteText("reason")
}

func (s renderer) restricted() {
	if s.e.Field("restricted") == "true" {
		s.line(mk(":lock: The incident is restricted from now on, by %s.", s.by()))
		s.small("Slack does not let an app make a public channel private; a workspace admin can.")
	} else {
		s.line(mk(":unlock: The incident is open to the company from now on, by %s.", s.by()))
		s.small("A private channel stays private; the announcements may now name the title.")
	}
	s.quoteText("reason")
}

func (s renderer) eraseProposed() {
	s.line(mk(":wastebasket: %s asks to erase texts. It takes legal and security together.", s.by()))
}

func (s renderer) erased() {
	s.line(mk(":wastebasket: Texts were erased from the timeline by %s and %s.", s.by(), s.person("person")))
}
