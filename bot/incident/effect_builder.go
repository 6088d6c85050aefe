package incident

import (
	"slices"
	"strconv"
	"strings"
)

// effects are the functions that build the effects of a kind of event, in this
// order.
type effects []effectFunc

// effectFunc builds the effects of one kind for an event.
type effectFunc func(effectBuilder) []Effect

// effectBuilder builds the effects of one event.
type effectBuilder struct {
	inc       Incident // after the whole command
	takenFrom Incident // see [Event.TakenFrom]
	event     Event
	env       Env
}

// Effects returns the work that follows from the event. inc is the incident after
// the whole command, and takenFrom the incident of [Event.TakenFrom], if there is one.
func (e Event) Effects(inc, takenFrom Incident, env Env) []Effect {
	c := effectBuilder{inc: inc, takenFrom: takenFrom, event: e, env: env}
	var out []Effect
	for _, build := range eventSpecs[e.Kind].effects {
		out = append(out, build(c)...)
	}
	return out
}

// effect returns an effect whose key contains the incident, the event and more.
func (c effectBuilder) effect(kind EffectKind, args map[string]string, more ...string) Effect {
	key := append([]string{c.inc.ID.String(), strconv.Itoa(c.event.Seq), string(kind)}, more...)
	return Effect{Key: strings.Join(key, "/"), Kind: kind, Incident: c.inc.ID, Seq: c.event.Seq, Args: args}
}

// inChannel returns an effect in the lane of the incident's channel, which starts
// with open_channel.
func (c effectBuilder) inChannel(kind EffectKind, args map[string]string, more ...string) Effect {
	e := c.effect(kind, args, more...)
	e.Lane = c.inc.ID.String() + "/channel"
	return e
}

// channelEffect builds an effect without arguments in the channel's lane.
func channelEffect(kind EffectKind) effectFunc {
	return func(c effectBuilder) []Effect { return []Effect{c.inChannel(kind, nil)} }
}

// refreshEffect builds an effect that shows the current state. It has one key for
// each incident and kind, so it runs again instead of being queued twice. While the
// channel is being replaced there is none: the old channel would show the excluded
// person what ended, and the new one gets its card and topic when it is opened.
func refreshEffect(kind EffectKind) effectFunc {
	return func(c effectBuilder) []Effect {
		if c.inc.ReplacesChannel() {
			return nil
		}
		e := c.effect(kind, nil)
		e.Key, e.Refresh = c.inc.refreshKey(kind), true
		return []Effect{e}
	}
}

func (i Incident) refreshKey(kind EffectKind) string { return i.ID.String() + "/" + string(kind) }

// CardKey returns the idempotency key of the card, which is also its mark in the channel.
func (i Incident) CardKey() string { return i.refreshKey(EffectCard) }

// Effects of many kinds of events.
var (
	postEvent   = channelEffect(EffectPost)
	refreshCard = refreshEffect(EffectCard)
	// refreshChecklist and refreshSignoff show in the first message of a thread how far it
	// is.
	refreshChecklist = refreshEffect(EffectChecklist)
	refreshSignoff   = refreshEffect(EffectSignoff)
)

// announceIncident builds a post in the announce channel: only id and severity of a
// restricted incident. The posts of one incident have their own lane: they stay in order,
// in one thread, and do not wait for its channel.
func announceIncident(c effectBuilder) []Effect {
	e := c.effect(EffectAnnounce, nil)
	e.Lane = c.announceLane()
	return []Effect{e}
}

func (c effectBuilder) announceLane() string { return c.inc.ID.String() + "/announce" }

// invite builds the invitation of people to the channel.
func (c effectBuilder) invite(people []PersonID) []Effect {
	slices.Sort(people)
	people = slices.DeleteFunc(slices.Compact(people), func(p PersonID) bool { return p == "" || !c.inc.MayInvite(c.env.Directory, p, c.env.Now) })
	if len(people) == 0 {
		return nil
	}
	return []Effect{c.inChannel(EffectInvite, map[string]string{"people": joinList(people)})}
}

// invitePerson invites the person of the event.
func invitePerson(c effectBuilder) []Effect { return c.invite([]PersonID{c.event.person("person")}) }

// participants returns the people with access or a role, the opener, the
// commander and the representatives of involved departments. Access of the opener that
// was revoked does not come back.
func (c effectBuilder) participants(inc Incident) []PersonID {
	people := append(slices.Clone(inc.Access), inc.Commander)
	if inc.MayInvite(c.env.Directory, inc.OpenedBy, c.env.Now) {
		people = append(people, inc.OpenedBy)
	}
	for _, p := range inc.Roles {
		people = append(people, p)
	}
	return append(people, c.representatives(inc.InvolvedDepartments...)...)
}

func (c effectBuilder) representatives(teams ...Department) []PersonID {
	var out []PersonID
	for _, team := range teams {
		out = append(out, c.inc.Representatives(c.env.Directory, team, c.env.Now)...)
	}
	return out
}

// ask builds a request to one department in the channel.
func (c effectBuilder) ask(kind EffectKind, team Department) Effect {
	return c.inChannel(kind, map[string]string{"department": string(team)}, string(team))
}
