package incident

import (
	"slices"
	"strings"
)

// The kinds of events about the outside systems of the incident.
const (
	EventChannelOpened   EventKind = "channel_opened"
	EventChannelReplaced EventKind = "channel_replaced" // the incident continues in another channel
	EventChannelLost     EventKind = "channel_lost"     // the channel is archived or gone, and is replaced
	EventChannelFound    EventKind = "channel_found"    // the lost channel works again before it was replaced
	EventInvited         EventKind = "invited"
	EventLinked          EventKind = "linked"
	EventEffectFailed    EventKind = "effect_failed"
	EventEffectDropped   EventKind = "effect_dropped"
	EventRetried         EventKind = "retried" // waiting effects were tried at once
)

var channelEvents = eventTable{
	EventChannelOpened: {
		fields:   "name value",
		apply:    (*Incident).applyLink,
		effects:  effects{inviteExpected, postEvent, refreshCard, setTopic},
		sentence: func(Event) Sentence { return Say("The incident's channel was opened") },
		lane:     laneCommunication,
		minor:    true,
	},
	EventChannelLost: {
		fields:   "channel how",
		apply:    func(i *Incident, e Event) { i.LostChannel, i.LostHow = e.Field("channel"), e.Field("how") },
		effects:  effects{replaceLostChannel},
		sentence: sayChannelLost,
		lane:     laneCommunication,
	},
	EventChannelFound: {
		fields:   "channel",
		apply:    func(i *Incident, _ Event) { i.LostChannel, i.LostHow = "", "" },
		effects:  effects{refreshCard},
		sentence: func(Event) Sentence { return Say("The incident's channel works again") },
		lane:     laneCommunication,
		minor:    true,
	},
	EventChannelReplaced: {
		fields: "before how name value",
		apply: func(i *Incident, e Event) {
			i.FormerChannels, i.LostChannel, i.LostHow = append(i.FormerChannels, i.Links[LinkChannel]), "", ""
			i.applyLink(e)
		},
		effects:      effects{announceReplacement, inviteExpected, welcome, refreshCard, setTopic},
		sentence:     func(Event) Sentence { return Say("The incident continues in a new channel") },
		announcement: "%s (%s) continues in another channel.",
		lane:         laneCommunication,
	},
	EventInvited: {
		fields: "people",
		apply: func(i *Incident, e Event) {
			people := splitList[PersonID](e.Field("people"))
			i.addAccess(people...)
			for _, p := range people {
				delete(i.NotInvited, p)
			}
		},
		sentence: func(e Event) Sentence {
			return Say("Tocsin invited %s to the channel", People(splitList[PersonID](e.Field("people"))))
		},
		lane:  laneCommunication,
		minor: true,
	},
	EventLinked: {
		fields:   "name value",
		apply:    (*Incident).applyLink,
		effects:  effects{refreshNewThread},
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
	EventEffectDropped: {
		fields:  "effect",
		effects: effects{postEvent, refreshCard},
		sentence: func(e Event) Sentence {
			return Say("The administrator %s gave up an effect that waited: %s (%s)", e.literal("administrator"), effectKind(e.Field("effect")), e.literal("effect"))
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
		return Say("The card was posted in the channel")
	case LinkPin:
		return Say("The card was pinned in the channel")
	case LinkChecklist:
		return Say("The thread of the checklist was started in the channel")
	case LinkAlerts:
		return Say("The thread of the alerts was started in the channel")
	case LinkSignoff:
		return Say("The thread of the sign-off was started in the channel")
	case LinkBookmark:
		return Say("The alert was bookmarked in the channel")
	case LinkCall:
		return Say("The call was bookmarked in the channel")
	case LinkAnnouncement:
		return Say("The incident has a thread in the announce channel")
	}
	return Say("The location of %s was recorded", e.literal("name"))
}

// setTopic sets the topic of a new channel. It has no lane: posts do not wait for it.
func setTopic(c effectBuilder) []Effect { return []Effect{c.effect(EffectTopic, nil)} }

// refreshNewThread updates the first message of a thread that was just started: it may
// show an older state.
func refreshNewThread(c effectBuilder) []Effect {
	switch {
	case c.event.Field("value") == "":
	case c.event.Field("name") == LinkChecklist:
		return refreshChecklist(c)
	case c.event.Field("name") == LinkSignoff:
		return refreshSignoff(c)
	}
	return nil
}

// effectKind returns the kind of effect in an effect's key, "INC-42/17/open_channel".
func effectKind(key string) string {
	parts := strings.SplitN(key, "/", 4)
	return parts[min(2, len(parts)-1)]
}

// inviteExpected invites the people who were called and the participants to a new
// channel. It has no lane because the channel exists: the invitations do not wait for
// posts.
func inviteExpected(c effectBuilder) []Effect {
	effects := c.invite(append(c.inc.calledBefore(c.event.Seq), c.participants(c.inc)...))
	for n := range effects {
		effects[n].Lane = ""
	}
	return effects
}

// Values of the field how of [EventChannelLost].
const (
	ChannelArchived = "archived"
	ChannelDeleted  = "gone" // deleted, or the bot was removed from it
)

func sayChannelLost(e Event) Sentence {
	if e.Field("how") == ChannelArchived {
		return Say("The incident's channel was archived. Tocsin opens another one")
	}
	return Say("The incident's channel was deleted, or Tocsin was removed from it. Tocsin opens another one")
}

// replaceLostChannel builds the replacement of a lost channel. It has no lane: the posts
// in the lane of the channel wait for it.
func replaceLostChannel(c effectBuilder) []Effect {
	return []Effect{c.effect(EffectReplaceChannel, map[string]string{"channel": c.event.Field("channel")})}
}

// announceReplacement announces where the incident continues after it lost its channel.
// The channel of a restricted incident is not announced, and neither is a channel that it
// left because of an exclusion.
func announceReplacement(c effectBuilder) []Effect {
	if c.event.Field("how") == "" || c.inc.Restricted {
		return nil
	}
	return announceIncident(c)
}

// HasLeft reports whether the incident left a channel and must not return to it.
func (i Incident) HasLeft(channel string) bool {
	return slices.Contains(i.FormerChannels, channel) || slices.ContainsFunc(i.Exclusions, func(x Exclusion) bool { return x.Left == channel })
}

// welcome posts the first message in another channel. After the loss of a channel it has
// no lane, because the posts that waited for the channel come after it.
func welcome(c effectBuilder) []Effect {
	out := postEvent(c)
	for n := range out {
		if c.event.Field("how") != "" {
			out[n].Lane = ""
		}
	}
	return out
}
