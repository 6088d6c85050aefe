package incident

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// EventKind is the kind of an event. The files events_*.go describe all of them,
// by topic. Stored timelines contain the kinds, so a kind is never renamed.
type EventKind string

// eventSpec is the description of a kind of event. A new kind needs nothing else,
// except a layout in chat.
type eventSpec struct {
	// fields are the fields that hold ids, constants, numbers and times, separated
	// by spaces. Every other field is redacted for readers outside Tocsin. Any event
	// may have the field status, which becomes the status of the incident, the field
	// zone, the zone of a time that a person typed, the fields through and second_factor, see
	// [Command], the field proof, the [Proof] of the author as JSON, and the fields local,
	// local_first and act_digest of an act by the command line, see [LocalProposal].
	fields string
	// secret is set if only legal and security may know that the event exists.
	secret bool
	// repeatable is set if a person can repeat the event without moving the incident.
	// Its texts count towards [MaxTexts].
	repeatable bool
	// apply changes the state. It is nil for an event that changes none.
	apply func(*Incident, Event)
	// effects build the work that follows.
	effects effects
	// sentence returns the event in one sentence without a full stop.
	sentence func(Event) Sentence
	// text is the name of the text that a person wrote about the event, or "".
	text string
	// textInside is set if the text stays out of chat, because it may repeat an erased
	// text.
	textInside bool
	// hint is the sentence for the author of a command who may not expect the event, or "".
	hint string
	// announcement is the format of the sentence for the company. Its arguments are the
	// number and the severity of the incident.
	announcement string
	// broadcast is set if the announce channel shows the announcement, too, and not only
	// its thread.
	broadcast bool
	// lane is the row of the event in the picture of the timeline.
	lane Lane
	// milestone is the label of the event in the key of the picture, or "".
	milestone string
	// minor is set for less important events, which documents print in grey.
	minor bool
	// item returns the key of the part of the state that repeats texts of the event.
	// Documents withhold it together with the event.
	item func(Event) string
}

// eventTable describes kinds of events.
type eventTable map[EventKind]eventSpec

// eventSpecs describes every kind of event.
var eventSpecs = func() eventTable {
	all := eventTable{}
	for _, topic := range eventTopics {
		maps.Copy(all, topic)
	}
	return all
}()

// eventTopics are the parts of eventSpecs.
var eventTopics = []eventTable{alertEvents, pagingEvents, personalPageEvents, severityEvents, responseEvents, factEvents, playbookEvents, presenceEvents,
	endingEvents, recordEvents, reviewEvents, meetingEvents, accessEvents, accessRequestEvents, updateEvents, retentionEvents, channelEvents, restoreEvents, distrustEvents}

// EventKinds returns every kind of event, sorted.
func EventKinds() []EventKind { return slices.Sorted(maps.Keys(eventSpecs)) }

// Secret reports whether only legal and security may know that an event of the
// kind exists.
func (k EventKind) Secret() bool { return eventSpecs[k].secret }

// TextInside reports whether the text of the event stays out of chat.
func (k EventKind) TextInside() bool { return eventSpecs[k].textInside }

// Hint returns the sentence for the author of a command who may not expect an event
// of the kind, or "".
func (k EventKind) Hint() string { return eventSpecs[k].hint }

// Announcement returns the format of the sentence for the company. Its arguments are
// the number and the severity of the incident.
func (k EventKind) Announcement() string {
	return cmp.Or(eventSpecs[k].announcement, "There is an update about %s (%s).")
}

// Broadcast reports whether the announce channel shows the announcement of the kind, and
// not only the thread of the incident there.
func (k EventKind) Broadcast() bool { return eventSpecs[k].broadcast }

// Milestone returns the label of the kind in the key of a timeline's picture, or ""
// if the picture does not number it.
func (k EventKind) Milestone() string { return eventSpecs[k].milestone }

// Minor reports whether events of the kind are less important to readers.
func (k EventKind) Minor() bool { return eventSpecs[k].minor }

// Lane is a row in the picture of a timeline.
type Lane string

// The lanes.
const (
	laneDetection     Lane = "Detection"
	laneResponse      Lane = "Response"
	laneCommunication Lane = "Communication"
	laneSignOff       Lane = "Sign-off"
)

// Lanes returns the lanes from top to bottom.
func Lanes() []Lane { return []Lane{laneDetection, laneResponse, laneCommunication, laneSignOff} }

// Lane returns the lane of the kind.
func (k EventKind) Lane() Lane { return eventSpecs[k].lane }

// Item returns the key of the part of the state that repeats texts of the event, such
// as "objection/O1", or "". Documents withhold it if they withhold the event.
func (e Event) Item() string {
	if item := eventSpecs[e.Kind].item; item != nil {
		return item(e)
	}
	return ""
}

// plainFields are the fields that hold ids, constants, numbers and times.
var plainFields = func() map[string]bool {
	plain := map[string]bool{"status": true, "zone": true, "through": true, "second_factor": true, "proof": true, "local": true, "local_first": true, "act_digest": true}
	for _, spec := range eventSpecs {
		for _, name := range strings.Fields(spec.fields) {
			plain[name] = true
		}
	}
	return plain
}()

// IsPlainField reports whether a field of events holds ids, constants, numbers and
// times only. A name means the same in every kind of event.
func IsPlainField(name string) bool { return plainFields[name] }
