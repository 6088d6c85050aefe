package incident

import "strings"

// The kinds of events about the outside systems of the incident.
const (
	EventChannelOpened   EventKind = "channel_opened"
	EventChannelReplaced EventKind = "channel_replaced" // the incident continues in another channel
	EventInvited         EventKind = "invited"
	EventLinked          EventKind = "linked"
	EventEffectFailed    EventKind = "effect_failed"
	EventRetried         EventKind = "retried" // waiting effects were tried at once
)

var channelEvents = eventTable{
	EventChannelOpened: {
		fields:   "name value",
		apply:    (*Incident).applyLink,
		effects:  effects{inviteResponders, postEvent, refreshCard, refreshTopic},
		sentence: func(Event) Sentence { return Say("The incident's channel was opened") },
		lane:     laneCommunication,
		minor:    true,
	},
	EventChannelReplaced: {
		fields:   "name value",
		apply:    (*Incident).applyLink,
		effects:  effects{inviteResponders, postEvent, refreshCard, refreshTopic},
		sentence: func(Event) Sentence { return Say("The incident continues in a new channel") },
		lane:     laneCommunication,
	},
	EventInvited: {
		fields: "people",
		apply:  func(i *Incident, e Event) { i.addAccess(splitList[PersonID](e.Field("people"))...) },
		sentence: func(e Event) Sentence {
			return Say("Tocsin invited %s to the channel", People(splitList[PersonID](e.Field("people"))))
		},
		lane:  laneCommunication,
		minor: true,
	},
	EventLinked: {
		fields:   "name value",
		apply:    (*Incident).applyLink,
		sentence: sayLinked,
		lane:     laneResponse,
		minor:    true,
	},
	EventEffectFailed: {
		fields:  "effect",
		effects: effects{postEvent, refreshCard},
		sentence: func(e Event) Sentence {
			return Say("Failed and will not be retried: %s (%s)", effectKind(e.Field("effect")), e.literal("effect"))
		},
		text: "reason",
		lane: laneResponse,
	},
	EventRetried: {
		sentence: say("%s had Tocsin try again what waits for an outside system"),
		lane:     laneCommunication,
		minor:    true,
	},
}

func (i *Incident) applyLink(e Event) {
	if i.Links == nil {
		i.Links = map[string]string{}
	}
	i.Links[e.Field("name")] = e.Field("value")
}

func sayLinked(e Event) Sentence {
	switch e.Field("name") {
	case LinkCard:
		return Say("The card was pinned in the channel")
	case LinkBookmark:
		return Say("The alert was bookmarked in the channel")
	}
	return Say("The location of %s was recorded", e.literal("name"))
}

// effectKind returns the kind of effect in an effect's key, "INC-42/17/open_channel".
func effectKind(key string) string {
	parts := strings.SplitN(key, "/", 4)
	return parts[min(2, len(parts)-1)]
}

// inviteResponders invites the responders and participants to a new channel. It
// has no lane because the channel exists: the invitations do not wait for posts.
func inviteResponders(c effectBuilder) []Effect {
	effects := c.invite(append(c.env.Directory.Responders(), c.participants(c.inc)...))
	for n := range effects {
		effects[n].Lane = ""
	}
	return effects
}
