package response

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// effectsByEvent lists the effects of every kind of event. Kinds without effects
// are listed too: a test fails if a new kind is missing. Effects of the channel
// share one lane, which starts with open_channel.
var effectsByEvent = map[incident.EventKind][]effectFunc{
	incident.EventOpened:        {openChannel, announce},
	incident.EventAlertAttached: {post, card},
	incident.EventAlertCounted:  {post, card},
	incident.EventSourceNoted:   {post},

	incident.EventRoundStarted:   {page, postRoundStarted, card, topic},
	incident.EventPageStarted:    {},
	incident.EventPaged:          {ackLatePage, card},
	incident.EventPageFailed:     {page, post, card},
	incident.EventPageUnanswered: {page, post, card},
	incident.EventAcknowledged:   {pageAck, ackTimer, post, card, topic},
	incident.EventAckTimedOut:    {post, card, topic},

	incident.EventSeveritySet:         {announce, ackTimerAgain, post, card, topic},
	incident.EventSeverityProposed:    {severityTimer, post, card},
	incident.EventSeverityKept:        {post, card},
	incident.EventRoleAssigned:        {invitePerson, post, card, topic},
	incident.EventFactSet:             {post, card},
	incident.EventDepartmentsInvolved: {inviteDepartments, post, card},
	incident.EventNoted:               {post},
	incident.EventEvidence:            {post, card},
	incident.EventUpdated:             {announceOpen, post, card},
	incident.EventContained:           {announceOpen, post, card, topic},
	incident.EventResolved:            {announceOpen, pageResolve, post, card, topic},
	incident.EventReopened:            {announceOpen, post, card, topic},
	incident.EventAccessGranted:       {invitePerson, post},
	incident.EventRestricted:          {post, card},
	incident.EventAccessRevoked:       {removePerson, post},
	incident.EventExclusionProposed:   {},
	incident.EventExcluded:            {excludeFromChannel, card, topic},
	incident.EventReadmissionProposed: {},
	incident.EventReadmitted:          {},
	incident.EventReplacementNamed:    {invitePerson, post},

	incident.EventDismissProposed:   {post, card},
	incident.EventDismissed:         {announceOpen, pageResolve, archive, card, topic},
	incident.EventMergedInto:        {announceOpen, pageResolve, archive, card, topic},
	incident.EventMergedFrom:        {inviteMerged, post, card},
	incident.EventSplitInto:         {post, card},
	incident.EventSplitFrom:         {inviteMerged, post, card},
	incident.EventLegalHoldSet:      {post},
	incident.EventLegalHoldReleased: {post},

	incident.EventPlaybookStarted: {post, card},
	incident.EventStepStarted:     {botStep, stepTimer, postTask, card},
	incident.EventStepDone:        {post, card},
	incident.EventStepSkipped:     {post, card},
	incident.EventStepLate:        {post, card},
	incident.EventConsulted:       {inviteRepresentatives, post, askConsult, card},
	incident.EventAnswered:        {post, card},
	incident.EventDelegated:       {invitePerson, post},

	incident.EventRecordEdited:       {post, card},
	incident.EventSubmitted:          {inviteSigners, post, askSigners, repeatConsult, card, topic},
	incident.EventRevised:            {inviteSigners, post, askSigners, repeatConsult, card, topic},
	incident.EventSigned:             {post, card},
	incident.EventSignatureWithdrawn: {post, card},
	incident.EventSignaturesVoided:   {post, card, topic},
	incident.EventAmended:            {post, card, topic},
	incident.EventObjected:           {post, card},
	incident.EventObjectionClosed:    {post, card},
	incident.EventApproved:           {writePostmortem, post, card, topic},

	incident.EventPostmortemWritten: {upload, announcePostmortem, mailPostmortem, card},
	incident.EventPostmortemShared:  {card},
	incident.EventReviewScheduled:   {mailInvitation, post, card},
	incident.EventReviewConcluded:   {post, card},
	incident.EventActionAdded:       {post, card},
	incident.EventActionDone:        {post, card},
	incident.EventWaiverProposed:    {post, card},
	incident.EventWaiverEndorsed:    {post, card},
	incident.EventClosed:            {announceOpen, pageResolve, post, card, topic},

	incident.EventChannelOpened:   {inviteResponders, post, card, topic},
	incident.EventChannelReplaced: {inviteResponders, post, card, topic},
	incident.EventInvited:         {},
	incident.EventLinked:          {},
	incident.EventEffectFailed:    {post, card},
	incident.EventErasureProposed: {post},
	incident.EventErased:          {post, card},
	incident.EventPersonLeft:      {postDeparture, askSignAgain},
}

// effectBuilder builds the effects of one event.
type effectBuilder struct {
	inc    incident.Incident // after the whole command
	other  incident.Incident // of a merge or split: the incident that was merged into inc or that inc was split from
	event  incident.Event
	dir    incident.Directory
	policy incident.Policy
	now    time.Time
}

// effectFunc builds the effects of one kind for an event.
type effectFunc func(effectBuilder) []incident.Effect

// effects returns the effects of the event.
func (c effectBuilder) effects() []incident.Effect {
	var out []incident.Effect
	for _, build := range effectsByEvent[c.event.Kind] {
		out = append(out, build(c)...)
	}
	return out
}

// effect returns an effect whose key contains the incident, the event and more.
func (c effectBuilder) effect(kind incident.EffectKind, args map[string]string, more ...string) incident.Effect {
	key := append([]string{c.inc.ID.String(), strconv.Itoa(c.event.Seq), string(kind)}, more...)
	return incident.Effect{Key: strings.Join(key, "/"), Kind: kind, Incident: c.inc.ID, Seq: c.event.Seq, Args: args}
}

// inChannel returns an effect in the lane of the incident's channel.
func (c effectBuilder) inChannel(kind incident.EffectKind, args map[string]string, more ...string) incident.Effect {
	e := c.effect(kind, args, more...)
	e.Lane = c.inc.ID.String() + "/channel"
	return e
}

// plainEffect builds an effect without arguments and without a lane.
func plainEffect(kind incident.EffectKind) effectFunc {
	return func(c effectBuilder) []incident.Effect { return []incident.Effect{c.effect(kind, nil)} }
}

// channelEffect builds an effect without arguments in the channel's lane.
func channelEffect(kind incident.EffectKind) effectFunc {
	return func(c effectBuilder) []incident.Effect { return []incident.Effect{c.inChannel(kind, nil)} }
}

// refreshEffect builds an effect that shows the current state. It has one key for
// each incident and kind, so it runs again instead of being queued twice. While the
// channel is being replaced there is none: the old channel would show the excluded
// person what ended, and the new one gets its card and topic when it is opened.
func refreshEffect(kind incident.EffectKind) effectFunc {
	return func(c effectBuilder) []incident.Effect {
		if c.inc.ReplacesChannel() {
			return nil
		}
		e := c.effect(kind, nil)
		e.Key, e.Refresh = c.inc.ID.String()+"/"+string(kind), true
		return []incident.Effect{e}
	}
}

// revision returns the arguments of an effect about a document.
func (c effectBuilder) revision() map[string]string {
	return map[string]string{"revision": c.event.Field("revision"), "digest": c.event.Field("digest")}
}

var (
	openChannel    = channelEffect(incident.EffectOpenChannel)
	post           = channelEffect(incident.EffectPost)
	archive        = channelEffect(incident.EffectArchive)
	card           = refreshEffect(incident.EffectCard)
	topic          = refreshEffect(incident.EffectTopic)
	mailInvitation = plainEffect(incident.EffectMailInvitation)
)

// announce builds a post in the announce channel. The posts of one incident have
// their own lane: they stay in order and do not wait for its channel.
func announce(c effectBuilder) []incident.Effect {
	e := c.effect(incident.EffectAnnounce, nil)
	e.Lane = c.inc.ID.String() + "/announce"
	return []incident.Effect{e}
}

// announceOpen announces an incident that is not restricted. Of a restricted one
// only id and severity are announced, by announce.
func announceOpen(c effectBuilder) []incident.Effect {
	if c.inc.Restricted {
		return nil
	}
	return announce(c)
}

func upload(c effectBuilder) []incident.Effect {
	return []incident.Effect{c.inChannel(incident.EffectUpload, c.revision())}
}

func announcePostmortem(c effectBuilder) []incident.Effect {
	return []incident.Effect{c.effect(incident.EffectAnnouncePostmortem, c.revision())}
}

func mailPostmortem(c effectBuilder) []incident.Effect {
	return []incident.Effect{c.effect(incident.EffectMailPostmortem, c.revision())}
}

func writePostmortem(c effectBuilder) []incident.Effect {
	return []incident.Effect{c.effect(incident.EffectWritePostmortem, c.revision())}
}

// page builds the page of the next escalation step and its timer. Their keys
// contain round and step, so each page is sent once even if several events
// require it.
func page(c effectBuilder) []incident.Effect {
	step := c.event.Field("next")
	if c.event.Kind == incident.EventRoundStarted {
		step = c.event.Field("escalation_step")
	}
	round := c.event.Field("round")
	if step == "" || round != strconv.Itoa(c.inc.Paging.Round) {
		return nil
	}
	out := []incident.Effect{c.effect(incident.EffectPage, nil), c.effect(incident.EffectEscalationTimer, nil)}
	for n := range out {
		out[n].Key = fmt.Sprintf("%s/%s/%s/%s", c.inc.ID, out[n].Kind, round, step)
		out[n].Urgent = true
		out[n].Args = map[string]string{"round": round, "escalation_step": step}
	}
	out[1].After = c.now.Add(c.policy.EscalateAfter)
	return out
}

// forEachRound builds one effect for every round, because a page of an earlier
// round may still be open at the pager.
func (c effectBuilder) forEachRound(kind incident.EffectKind) []incident.Effect {
	var out []incident.Effect
	for round := 1; round <= c.inc.Paging.Round; round++ {
		n := strconv.Itoa(round)
		e := c.effect(kind, map[string]string{"round": n}, n)
		e.Urgent = true
		out = append(out, e)
	}
	return out
}

func pageAck(c effectBuilder) []incident.Effect { return c.forEachRound(incident.EffectPageAck) }
func pageResolve(c effectBuilder) []incident.Effect {
	return c.forEachRound(incident.EffectPageResolve)
}

// ackLatePage acknowledges or resolves a page that was sent after the incident
// stopped needing one. The acknowledgement may have reached the pager before the
// page.
func ackLatePage(c effectBuilder) []incident.Effect {
	kind := incident.EffectPageAck
	switch {
	case c.inc.NeedsPage():
		return nil
	case !c.inc.Status.Responding():
		kind = incident.EffectPageResolve
	}
	e := c.effect(kind, map[string]string{"round": c.event.Field("round")})
	e.Urgent = true
	return []incident.Effect{e}
}

// invite builds the invitation of people to the channel.
func (c effectBuilder) invite(people []incident.PersonID) []incident.Effect {
	slices.Sort(people)
	people = slices.DeleteFunc(slices.Compact(people), func(p incident.PersonID) bool { return p == "" || !c.inc.MayInvite(c.dir, p, c.now) })
	if len(people) == 0 {
		return nil
	}
	ids := make([]string, len(people))
	for n, p := range people {
		ids[n] = string(p)
	}
	return []incident.Effect{c.inChannel(incident.EffectInvite, map[string]string{"people": strings.Join(ids, ",")})}
}

// inviteResponders invites the responders and participants to a new channel. It
// has no lane because the channel exists: the invitations do not wait for posts.
func inviteResponders(c effectBuilder) []incident.Effect {
	effects := c.invite(append(c.dir.Responders(), c.participants(c.inc)...))
	for n := range effects {
		effects[n].Lane = ""
	}
	return effects
}

// inviteMerged invites the participants of the other incident of a merge or
// split.
func inviteMerged(c effectBuilder) []incident.Effect { return c.invite(c.participants(c.other)) }

// participants returns the people with access or a role, the opener, the
// commander and the representatives of involved departments. Access of the opener that
// was revoked does not come back.
func (c effectBuilder) participants(inc incident.Incident) []incident.PersonID {
	people := append(slices.Clone(inc.Access), inc.Commander)
	if inc.MayInvite(c.dir, inc.OpenedBy, c.now) {
		people = append(people, inc.OpenedBy)
	}
	for _, p := range inc.Roles {
		people = append(people, p)
	}
	return append(people, c.representatives(inc.InvolvedDepartments...)...)
}

// postRoundStarted posts that another paging round started. The first is not
// posted.
func postRoundStarted(c effectBuilder) []incident.Effect {
	if c.event.Field("round") == "1" {
		return nil
	}
	return post(c)
}

func invitePerson(c effectBuilder) []incident.Effect {
	return c.invite([]incident.PersonID{incident.PersonID(c.event.Field("person"))})
}

func inviteDepartments(c effectBuilder) []incident.Effect {
	return c.invite(c.representatives(departments(c.event.Field("departments"))...))
}

func inviteRepresentatives(c effectBuilder) []incident.Effect {
	return c.invite(c.representatives(departments(c.event.Field("department"))...))
}

func inviteSigners(c effectBuilder) []incident.Effect {
	return c.invite(c.representatives(incident.RequiredDepartments()...))
}

func (c effectBuilder) representatives(teams ...incident.Department) []incident.PersonID {
	var out []incident.PersonID
	for _, team := range teams {
		out = append(out, c.inc.Representatives(c.dir, team, c.now)...)
	}
	return out
}

func departments(list string) []incident.Department {
	var out []incident.Department
	for _, name := range strings.Split(list, ",") {
		if name != "" {
			out = append(out, incident.Department(name))
		}
	}
	return out
}

// ask builds a request to one department in the channel.
func (c effectBuilder) ask(kind incident.EffectKind, team incident.Department) incident.Effect {
	return c.inChannel(kind, map[string]string{"department": string(team)}, string(team))
}

func askSigners(c effectBuilder) []incident.Effect {
	var out []incident.Effect
	for _, team := range incident.RequiredDepartments() {
		out = append(out, c.ask(incident.EffectAskSign, team))
	}
	return out
}

func askConsult(c effectBuilder) []incident.Effect {
	return []incident.Effect{c.ask(incident.EffectAskConsult, incident.Department(c.event.Field("department")))}
}

// repeatConsult repeats the question to teams that have not answered.
func repeatConsult(c effectBuilder) []incident.Effect {
	var out []incident.Effect
	for _, consulted := range c.inc.Consultations {
		if !consulted.Answered() {
			out = append(out, c.ask(incident.EffectAskConsult, consulted.Team))
		}
	}
	return out
}

// step returns the step of the event, or nil, and the arguments of an effect
// about it.
func (c effectBuilder) step() (*incident.Step, map[string]string) {
	args := map[string]string{"run": c.event.Field("run"), "step": c.event.Field("step")}
	_, step := c.inc.Step(args["run"] + "/" + args["step"])
	return step, args
}

// botStep builds the effect that carries out an automated step.
func botStep(c effectBuilder) []incident.Effect {
	step, args := c.step()
	if step == nil || step.Action == "" {
		return nil
	}
	return []incident.Effect{c.effect(incident.EffectBotStep, args)}
}

// postTask posts a step that a person must carry out.
func postTask(c effectBuilder) []incident.Effect {
	if step, _ := c.step(); step == nil || step.Action != "" {
		return nil
	}
	return post(c)
}
