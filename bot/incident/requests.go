package incident

import (
	"cmp"
	"slices"
	"strings"
)

// Request is a message that asks people for something, by a button or a mention: in the
// channel, or a direct message. When nothing is asked any more, Tocsin edits the message.
type Request struct {
	Seq        int        `json:"seq"`                  // number of the event that asks
	Kind       EventKind  `json:"kind"`                 // of the event
	Effect     EffectKind `json:"effect"`               // that posts the message
	Department Department `json:"department,omitempty"` // of [EffectAskSign], [EffectMessageSigners] and [EffectAskConsult]
	Ref        string     `json:"ref,omitempty"`        // id of the thing in question: a digest, a step, the paged person, ...
}

// maxRequests is the maximum number of open requests that an incident records, and
// maxCalls the maximum of those that call for a responder: a page that nobody answers
// causes one after the other.
const (
	maxRequests = 100
	maxCalls    = 4
)

// requestKinds are the kinds of events whose post asks for something, with the field
// that names the thing in question.
var requestKinds = map[EventKind]string{
	EventChannelOpened: "", EventChannelReplaced: "", EventAckTimedOut: "", EventPageFailed: "", EventPageUnanswered: "",
	EventSeverityProposed: "alert", EventDismissProposed: "", EventWaiverProposed: "",
	EventStepStarted: "step", EventStepLate: "step", EventResolved: "", EventSignaturesVoided: "", EventAmended: "",
	EventUpdated: "update", EventAccessRequested: "", EventObjected: "objection", EventApproved: "", EventReviewScheduled: "when",
	EventSeveritySet: "", EventContained: "", EventReopened: "", EventClosed: "", EventSubmitted: "digest", EventRevised: "digest",
	EventActionAdded: "action", EventFactSet: "fact",
}

// amendSuffix is at the end of the reference of the request to amend the record, which an
// objection makes besides the one to close it.
const amendSuffix = "/amend"

// requests returns the requests of an event in the order of their messages. i is the
// incident after the event.
func (i Incident) requests(e Event) []Request {
	var out []Request
	field, asks := requestKinds[e.Kind]
	if e.Kind == EventSeveritySet { // nothing follows a lower severity
		asks = e.severity("severity").MoreSevereThan(e.severity("from"))
	}
	if e.Kind == EventFactSet {
		asks = suspectsPersonalData(e)
	}
	if asks {
		r := Request{Seq: e.Seq, Kind: e.Kind, Effect: EffectPost, Ref: e.Field(field)}
		if field == "step" {
			r.Ref = e.step().String()
		}
		if e.Kind == EventAccessRequested {
			r.Ref = string(e.By)
		}
		out = append(out, r)
		if e.Kind == EventObjected { // the objection can stay open while the record cannot be amended
			r.Ref += amendSuffix
			out = append(out, r)
		}
	}
	ask := func(kind EffectKind, team Department) {
		r := Request{Seq: e.Seq, Kind: e.Kind, Effect: kind, Department: team}
		if kind != EffectAskConsult && i.Submission != nil {
			r.Ref = i.Submission.Digest
		}
		out = append(out, r)
	}
	switch e.Kind {
	case EventSubmitted, EventRevised:
		for _, team := range RequiredDepartments() {
			ask(EffectAskSign, team)
			ask(EffectMessageSigners, team)
		}
		for _, c := range i.Consultations {
			ask(EffectAskConsult, c.Team)
		}
	case EventPersonLeft:
		for _, team := range splitList[Department](e.Field("signatures")) {
			ask(EffectAskSign, team)
			ask(EffectMessageSigners, team)
		}
	case EventSignersReminded:
		ask(EffectMessageSigners, e.department())
	case EventConsulted:
		ask(EffectAskConsult, e.department())
	case EventPersonalPageStarted, EventAbsencePageStarted:
		for _, p := range splitList[string](e.Field("people")) {
			out = append(out, Request{Seq: e.Seq, Kind: e.Kind, Effect: EffectPagePerson, Ref: p})
		}
	case EventUpdated:
		out = append(out, Request{Seq: e.Seq, Kind: e.Kind, Effect: EffectAskApproval, Ref: e.Field("update")})
	case EventUpdateDue:
		out = append(out, Request{Seq: e.Seq, Kind: e.Kind, Effect: EffectAskUpdate})
	}
	return out
}

// asks reports whether a request is still open.
func (i Incident) asks(r Request) bool {
	allowed := func(v Verb) bool { return transition(v, i.Status) != nil }
	switch r.Effect {
	case EffectAskSign, EffectMessageSigners:
		return i.Submission != nil && i.Submission.Digest == r.Ref && i.SignedBy(r.Department) == nil && allowed(VerbSign)
	case EffectAskConsult:
		return allowed(VerbAnswer) && slices.ContainsFunc(i.Consultations, func(c Consultation) bool { return c.Team == r.Department && !c.Answered() })
	case EffectPagePerson:
		if r.Kind == EventAbsencePageStarted {
			return i.Status.Responding() && i.Here[PersonID(r.Ref)].IsZero()
		}
		return i.NeedsPage()
	case EffectAskUpdate:
		return allowed(VerbUpdate) && i.UpdateReminded
	}
	switch r.Kind {
	case EventChannelOpened, EventChannelReplaced, EventAckTimedOut, EventPageFailed, EventPageUnanswered:
		return allowed(VerbAcknowledge) && !i.Paging.Acknowledged()
	case EventSeveritySet:
		return i.Status.Responding()
	case EventContained:
		return allowed(VerbResolve) && allowed(VerbReopen)
	case EventReopened:
		return allowed(VerbContain)
	case EventClosed:
		return allowed(VerbReopen)
	case EventSubmitted, EventRevised:
		return i.Submission != nil && i.Submission.Digest == r.Ref && allowed(VerbAmend)
	case EventSeverityProposed:
		return i.SeverityProposal != nil && num(int(i.SeverityProposal.Alert)) == r.Ref
	case EventDismissProposed:
		return i.Dismissal != nil && allowed(VerbDismiss)
	case EventWaiverProposed:
		return i.Review.WaivedBy != "" && i.Review.EndorsedBy == "" && allowed(VerbWaiveActions)
	case EventStepStarted, EventStepLate:
		_, step := i.Step(r.Ref)
		return step != nil && !step.Finished() && allowed(VerbStepDone)
	case EventResolved, EventSignaturesVoided, EventAmended:
		return allowed(VerbSubmit)
	case EventUpdated:
		u := i.Update(r.Ref)
		return u != nil && u.Waits() && allowed(VerbApproveUpdate)
	case EventAccessRequested:
		return slices.ContainsFunc(i.AccessRequests, func(a AccessRequest) bool { return string(a.By) == r.Ref })
	case EventFactSet:
		return allowed(VerbSetFact) && i.LacksAwareness()
	case EventObjected:
		id, amends := strings.CutSuffix(r.Ref, amendSuffix)
		return (!amends || allowed(VerbAmend)) && slices.ContainsFunc(i.Objections, func(o Objection) bool { return o.ID == id && o.Open() })
	case EventActionAdded:
		return slices.ContainsFunc(i.OpenActions(), func(a Action) bool { return a.ID == r.Ref })
	case EventApproved:
		return allowed(VerbConclude) && i.Review.At.IsZero() && i.Review.Concluded.IsZero()
	case EventReviewScheduled:
		return i.Review.At.Equal(parseInstant(r.Ref)) && i.Review.Concluded.IsZero()
	}
	return true
}

// Asks reports whether the message about an event still asks for something. It is true
// for an event that never did.
func (i Incident) Asks(e Event) bool {
	for _, r := range i.requests(e) {
		if r.Effect == EffectPost {
			return i.asks(r)
		}
	}
	return true
}

// AsksToSign reports whether the request of the event seq to a department to sign is open.
func (i Incident) AsksToSign(team Department, seq int) bool {
	return slices.ContainsFunc(i.Requests, func(r Request) bool {
		return r.Effect == EffectAskSign && r.Department == team && r.Seq == seq && i.asks(r)
	})
}

// IsRequest reports whether the message about an event asks for something.
func (i Incident) IsRequest(e Event) bool {
	return slices.ContainsFunc(i.requests(e), func(r Request) bool { return r.Effect == EffectPost })
}

// OwnMessages returns the numbers of those late events whose messages must not become part
// of a summary: they still ask for something, and Tocsin edits the message when nothing is
// asked any more. Of several calls for a responder only the last one asks.
func (i Incident) OwnMessages(late []Event) map[int]bool {
	own, call := map[int]bool{}, 0
	for _, e := range late {
		if !i.IsRequest(e) || !i.Asks(e) {
			continue
		}
		if e.Kind == EventAckTimedOut || e.Kind == EventPageFailed || e.Kind == EventPageUnanswered {
			delete(own, call)
			call = e.Seq
		}
		own[e.Seq] = true
	}
	return own
}

// trackRequests records the requests of an event and forgets those that are no longer
// open.
func (i *Incident) trackRequests(e Event) {
	i.Requests = slices.DeleteFunc(append(slices.Clone(i.Requests), i.requests(e)...), func(r Request) bool { return !i.asks(r) })
	calls := 0
	for n := len(i.Requests) - 1; n >= 0; n-- {
		switch i.Requests[n].Kind {
		case EventPageFailed, EventPageUnanswered, EventAckTimedOut:
			if calls++; calls > maxCalls {
				i.Requests = slices.Delete(i.Requests, n, n+1)
			}
		}
	}
	if over := len(i.Requests) - maxRequests; over > 0 {
		i.Requests = slices.Delete(i.Requests, 0, over)
	}
	if len(i.Requests) == 0 {
		i.Requests = nil
	}
}

// Retractions returns the effects that edit the messages of the requests that before had
// open and after has not, and the message about the end, which lists the action items.
func Retractions(before, after Incident) []Effect {
	if after.ReplacesChannel() || before.Links[LinkChannel] != after.Links[LinkChannel] {
		return nil // the messages are in a channel that the incident leaves
	}
	var out []Effect
	for _, r := range before.Requests {
		listsChanged := r.Kind == EventClosed && len(after.OpenActions()) != len(before.OpenActions())
		if !listsChanged && (slices.Contains(after.Requests, r) || after.asks(r)) {
			continue
		}
		c := effectBuilder{inc: after, event: Event{Seq: after.Head.Seq}}
		if e := c.retract(r); !slices.ContainsFunc(out, func(have Effect) bool { return have.Key == e.Key }) { // an objection has two requests
			out = append(out, e)
		}
	}
	return out
}

// retract builds the edit of the message of a request. The edits of one message have their
// own lane: they stay in order, and do not wait for the posts of the channel.
func (c effectBuilder) retract(r Request) Effect {
	args := map[string]string{"request": string(r.Effect), "seq": num(r.Seq)}
	more := []string{num(r.Seq), string(r.Effect)}
	if r.Department != "" {
		args["department"] = string(r.Department)
		more = append(more, string(r.Department))
	}
	if r.Effect == EffectPagePerson {
		args["person"] = r.Ref
		more = append(more, r.Ref)
	}
	e := c.effect(EffectRetract, args, more...)
	e.Lane = RequestKey(e) + "/edits"
	return e
}

// RequestKey returns the idempotency key of the effect that posted the message which an
// [EffectRetract] edits.
func RequestKey(retract Effect) string {
	c := effectBuilder{inc: Incident{ID: retract.Incident}, event: Event{Seq: retract.EventSeq()}}
	kind := EffectKind(retract.Args["request"])
	if about := cmp.Or(retract.Args["department"], retract.Args["person"]); about != "" {
		return c.effect(kind, nil, about).Key
	}
	return c.effect(kind, nil).Key
}

// EventSeq returns the number of the event that the effect shows: the event that caused it,
// or the one that asked, for an [EffectRetract], or the one with the words of an update.
func (e Effect) EventSeq() int {
	if e.Kind == EffectRetract || e.Kind.IsApproved() {
		return atoi(e.Args["seq"])
	}
	return e.Seq
}
