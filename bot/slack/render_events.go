package slack

import (
	"strconv"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"tocsin/bot/incident"
)

// scene is what an event is told with: the event, the incident as it stands
// now, and who everybody is.
type scene struct {
	*page
	b   incident.Brief
	e   incident.Event
	inc incident.Incident
}

// voice tells one kind of event.
type voice func(scene)

// silent is the voice of events that are not told: the card shows them, Slack
// itself does, or another message says the same.
var silent voice

// voices holds every kind of event; a test holds it against the domain.
var voices = map[incident.EventKind]voice{
	incident.EventOpened:          scene.opened,
	incident.EventAlertAttached:   scene.alertAttached,
	incident.EventAlertCounted:    scene.alertCounted,
	incident.EventSourceNoted:     scene.sourceNoted,
	incident.EventAcknowledged:    scene.acknowledged,
	incident.EventLapsed:          scene.lapsed,
	incident.EventRound:           scene.round,
	incident.EventPageStarted:     silent, // paged or page_failed follows
	incident.EventPaged:           scene.paged,
	incident.EventPageFailed:      scene.pageFailed,
	incident.EventPageUnanswered:  scene.pageUnanswered,
	incident.EventSeveritySet:     scene.severitySet,
	incident.EventRoleAssigned:    scene.roleAssigned,
	incident.EventFactSet:         scene.factSet,
	incident.EventCalled:          scene.called,
	incident.EventNoted:           scene.noted,
	incident.EventEvidence:        scene.evidence,
	incident.EventUpdated:         scene.updated,
	incident.EventContained:       scene.contained,
	incident.EventResolved:        scene.resolved,
	incident.EventReopened:        scene.reopened,
	incident.EventDismissProposed: scene.dismissProposed,
	incident.EventDismissed:       scene.dismissed,
	incident.EventMergedInto:      scene.mergedInto,
	incident.EventMergedFrom:      scene.mergedFrom,
	incident.EventSplitInto:       scene.splitInto,
	incident.EventSplitFrom:       scene.splitFrom,
	incident.EventHeld:            scene.held,
	incident.EventHoldReleased:    scene.holdReleased,
	incident.EventPlaybookStarted: scene.playbookStarted,
	incident.EventStepStarted:     scene.stepStarted,
	incident.EventStepDone:        scene.stepDone,
	incident.EventStepSkipped:     scene.stepSkipped,
	incident.EventStepLate:        scene.stepLate,
	incident.EventAccessGranted:   scene.accessGranted,
	incident.EventRestricted:      scene.restricted,
	incident.EventChannelOpened:   scene.channelOpened,
	incident.EventInvited:         silent, // Slack says who joined
	incident.EventLinked:          silent,
	incident.EventEffectFailed:    scene.effectFailed,
	incident.EventEraseProposed:   scene.eraseProposed,
	incident.EventErased:          scene.erased,

	incident.EventRecordEdited:       scene.recordEdited,
	incident.EventSubmitted:          scene.submitted,
	incident.EventSigned:             scene.signed,
	incident.EventSignatureWithdrawn: scene.signatureWithdrawn,
	incident.EventSignaturesVoided:   scene.signaturesVoided,
	incident.EventObjected:           scene.objected,
	incident.EventObjectionClosed:    scene.objectionClosed,
	incident.EventAmended:            scene.amended,
	incident.EventApproved:           scene.approved,
	incident.EventRevised:            scene.revised,
	incident.EventConsulted:          scene.consulted,
	incident.EventAnswered:           scene.answered,
	incident.EventDelegated:          scene.delegated,
	incident.EventActionAdded:        scene.actionAdded,
	incident.EventActionDone:         scene.actionDone,
	incident.EventReviewScheduled:    scene.reviewScheduled,
	incident.EventReviewConcluded:    scene.reviewConcluded,
	incident.EventExceptionProposed:  scene.exceptionProposed,
	incident.EventExceptionEndorsed:  scene.exceptionEndorsed,
	incident.EventClosed:             scene.closed,
	incident.EventPostmortemWritten:  silent, // the message that shares it says so
	incident.EventPostmortemShared:   silent,
}

// render tells the brief's event; false for those that are not told.
func render(b incident.Brief) (message, bool) {
	speak := voices[b.Event.Kind]
	if speak == nil {
		return message{}, false
	}
	p := &page{id: b.Incident.ID}
	speak(scene{page: p, b: b, e: b.Event, inc: b.Incident})
	if b.Event.Audience == incident.AudienceLegalSecurity {
		p.small("the texts are for legal and security alone")
	}
	if late := b.Event.RecordedAt.Sub(b.Event.HappenedAt); late > time.Minute {
		p.small(mk("happened %s", at(b.Event.HappenedAt)))
	}
	return p.done(), true
}

func (s scene) by() markup { return who(s.b.Directory, s.e.By) }

func (s scene) person(field string) markup {
	return who(s.b.Directory, incident.PersonID(s.e.Field(field)))
}

func (s scene) field(name string) markup { return esc(s.e.Field(name), 200) }

// route is a route of the emergency alias as people count.
func (s scene) route(field string) markup {
	n, _ := strconv.Atoi(s.e.Field(field))
	return num(n + 1)
}

// when is an instant in a field, or "" where there is none.
func (s scene) when(field string) markup {
	t, err := time.Parse(time.RFC3339, s.e.Field(field))
	if err != nil {
		return ""
	}
	return at(t)
}

// say quotes a text of the event. What is for legal and security alone is not
// for a channel that others read, and what was erased is said to be gone.
func (s scene) say(name string) {
	t, there := s.e.Texts[name]
	switch {
	case !there, s.e.Audience == incident.AudienceLegalSecurity:
	case t.Value == "":
		s.small("the text was erased")
	default:
		s.quote(t.Value)
	}
}

// mostInValue is what a button may carry.
const mostInValue = 2000

// button is one of ours about this incident, if the lifecycle has a place for
// what it asks for.
func (s scene) button(v incident.Verb, action, label string, args ...string) []slack.BlockElement {
	carried := value(s.inc.ID, args...)
	if !possible(s.inc, v) || units(carried) > mostInValue {
		return nil
	}
	return []slack.BlockElement{button(action, label, carried)}
}

// mine is what to press first, where nobody has it.
func (s scene) mine() []slack.BlockElement {
	if !possible(s.inc, incident.VerbAcknowledge) {
		return nil
	}
	return []slack.BlockElement{button(ActAcknowledge, "I have it", value(s.inc.ID)).WithStyle(slack.StylePrimary)}
}

func (s scene) opened() {
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
	s.say("text")
	if s.e.Field("restricted") == "true" {
		s.small("restricted: outside this channel only its number and severity are shown")
	}
}

// channelOpened is the first thing said in the channel.
func (s scene) channelOpened() {
	s.line(mk(":wave: This is the channel of *%s* (%s). What is done with `/incident` or a button goes on the record.",
		markup(s.inc.ID.String()), word(s.inc.Severity)))
	s.quote(s.inc.Title)
	if s.inc.Restricted {
		s.small("restricted: outside this channel only its number and severity are shown")
	}
	if s.inc.PageOwed() {
		s.buttons(s.mine()...)
	}
}

func (s scene) alertAttached() {
	from := markup("")
	if !strings.HasPrefix(s.e.Field("kind"), s.e.Field("source")+".") {
		from = mk(" from %s", s.field("source"))
	}
	s.line(mk(":bell: *Alert*%s: %s, level %s", from, s.field("kind"), s.field("level")))
	s.say("title")
	s.say("detail")
	var rule, where markup
	if r := s.e.Text("rule"); r != "" {
		rule = mk("rule: %s", esc(r, 300))
	}
	if goodURL(s.e.Text("url")) {
		where = link(s.e.Text("url"), "look at it there")
	}
	s.small(s.when("at"), rule, where)
}

func (s scene) alertCounted() {
	s.line(mk(":repeat: The same alert has now come *%s* times.", s.field("count")))
	s.say("title")
}

func (s scene) sourceNoted() {
	s.line(mk(":memo: %s says:", s.field("source")))
	s.say("text")
	s.small("Noted. It moves nothing here.")
}

func (s scene) acknowledged() {
	s.line(mk(":raised_hand: %s has it.", s.by()))
	s.say("text")
	if s.e.Via != incident.ViaSlack { // who said it here was asked in the answer
		s.grading()
	}
}

// grading asks how grave it is.
func (s scene) grading() {
	if possible(s.inc, incident.VerbSetSeverity) {
		s.line("How grave is it?")
		s.buttons(severities(s.inc))
	}
}

func (s scene) lapsed() {
	s.line(mk(":hourglass: %s had it and has not acted for a while. The acknowledgement has lapsed.", s.person("person")))
	s.buttons(s.mine()...)
}

func (s scene) round() {
	s.line(mk(":pager: Round %s of paging begins.", s.field("round")))
}

func (s scene) paged() {
	s.line(mk(":pager: The emergency alias was paged (round %s, route %s).", s.field("round"), s.route("route")))
}

func (s scene) next() {
	if s.e.Field("next") != "" {
		s.small(mk("route %s is tried now", s.route("next")))
	}
	s.buttons(s.mine()...)
}

func (s scene) pageFailed() {
	s.line(mk(":warning: The page did not go out (round %s, route %s).", s.field("round"), s.route("route")))
	s.say("reason")
	s.next()
}

func (s scene) pageUnanswered() {
	s.line(mk(":warning: Nobody answered the page in time (round %s, route %s).", s.field("round"), s.route("route")))
	s.next()
}

func (s scene) severitySet() {
	s.line(mk(":level_slider: Severity %s → *%s*, by %s", s.field("from"), s.field("severity"), s.by()))
	s.say("reason")
}

func (s scene) roleAssigned() {
	s.line(mk(":bust_in_silhouette: %s is now *%s*.", s.person("person"), word(s.e.Field("role"))))
	s.say("reason")
}

func (s scene) factSet() {
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
	s.say("who")
	s.say("reason")
}

func (s scene) counted() markup {
	if n := s.e.Field("count"); n != "" && n != "0" {
		return esc(n, 20)
	}
	return "an unknown number of"
}

func (s scene) called() {
	var teams []markup
	for _, name := range strings.Split(s.e.Field("departments"), ",") {
		called := team(s.b.Directory, incident.Department(name))
		if t, _ := s.b.Directory.Team(incident.Department(name)); len(t.Members) == 0 && t.Group == "" {
			called = mk("%s (the configuration names nobody)", called)
		}
		teams = append(teams, called)
	}
	s.line(mk(":telephone_receiver: Called in: %s", list(teams, 600)))
	s.say("reason")
}

// effectFailed names the effect by its key: the incident, the event, the kind.
func (s scene) effectFailed() {
	parts := strings.SplitN(s.e.Field("effect"), "/", 4)
	s.line(mk(":x: Something could not be done in the outside world and is not tried again: *%s*", word(parts[min(2, len(parts)-1)])))
	s.say("reason")
	s.small(s.field("effect"))
}

func (s scene) accessGranted() {
	s.line(mk(":key: %s may read along, granted by %s.", s.person("person"), s.by()))
	s.say("reason")
}

func (s scene) restricted() {
	if s.e.Field("restricted") == "true" {
		s.line(mk(":lock: The incident is restricted from now on, by %s.", s.by()))
		s.small("Slack does not let an app make a public channel private; a workspace admin can.")
	} else {
		s.line(mk(":unlock: The incident is open to the company from now on, by %s.", s.by()))
		s.small("A private channel stays private; the announcements may now name the title.")
	}
	s.say("reason")
}

func (s scene) eraseProposed() {
	s.line(mk(":wastebasket: %s asks to erase texts. It takes legal and security together.", s.by()))
}

func (s scene) erased() {
	s.line(mk(":wastebasket: Texts were erased from the timeline by %s and %s.", s.by(), s.person("person")))
}
