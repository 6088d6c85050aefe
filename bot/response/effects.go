package response

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// effectsByEvent is the whole list: which effects each event calls for. An event that
// effectsByEvent for none stands here too, so that a new kind cannot be forgotten.
// Effects of the channel wait in its lane behind open_channel.
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

	incident.EventSeveritySet:         {announce, post, card, topic},
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
	incident.EventInvited:         {},
	incident.EventLinked:          {},
	incident.EventEffectFailed:    {post, card},
	incident.EventErasureProposed: {post},
	incident.EventErased:          {post, card},
}

// effectBuilder is one event as the list sees it: the incident stands as it was
// after the whole command.
type effectBuilder struct {
	inc    incident.Incident
	from   incident.Incident // the one that was merged into inc, or that inc was split from, where the event is about that
	event  incident.Event
	dir    incident.Directory
	policy incident.Policy
	now    time.Time
}

type effectFunc func(effectBuilder) []incident.Effect

// effects lists the effects one event calls for.
func (c effectBuilder) effects() []incident.Effect {
	var out []incident.Effect
	for _, call := range effectsByEvent[c.event.Kind] {
		out = append(out, call(c)...)
	}
	return out
}

// effect makes one effect of the event, with a key that is the event's own.
func (c effectBuilder) effect(kind incident.EffectKind, args map[string]string, more ...string) incident.Effect {
	key := append([]string{c.inc.ID.String(), strconv.Itoa(c.event.Seq), string(kind)}, more...)
	return incident.Effect{Key: strings.Join(key, "/"), Kind: kind, Incident: c.inc.ID, Seq: c.event.Seq, Args: args}
}

// inChannel puts an effect into the lane of the incident's channel.
func (c effectBuilder) inChannel(kind incident.EffectKind, args map[string]string, more ...string) incident.Effect {
	e := c.effect(kind, args, more...)
	e.Lane = c.inc.ID.String() + "/channel"
	return e
}

// plainEffect is an effect without arguments, outside the channel or inside.
func plainEffect(kind incident.EffectKind) effectFunc {
	return func(c effectBuilder) []incident.Effect { return []incident.Effect{c.effect(kind, nil)} }
}

func channel(kind incident.EffectKind) effectFunc {
	return func(c effectBuilder) []incident.Effect { return []incident.Effect{c.inChannel(kind, nil)} }
}

// refreshEffect is an effect that is rendered from the present.
func refreshEffect(kind incident.EffectKind) effectFunc {
	return func(c effectBuilder) []incident.Effect {
		e := c.effect(kind, nil)
		e.Key, e.Refresh = c.inc.ID.String()+"/"+string(kind), true
		return []incident.Effect{e}
	}
}

// revision is an effect about a document.
func (c effectBuilder) revision() map[string]string {
	return map[string]string{"revision": c.event.Field("revision"), "digest": c.event.Field("digest")}
}

var (
	openChannel    = channel(incident.EffectOpenChannel)
	post           = channel(incident.EffectPost)
	archive        = channel(incident.EffectArchive)
	card           = refreshEffect(incident.EffectCard)
	topic          = refreshEffect(incident.EffectTopic)
	mailInvitation = plainEffect(incident.EffectMailInvitation)
)

// announce tells the company, in order for each incident. It need not wait for
// the channel.
func announce(c effectBuilder) []incident.Effect {
	e := c.effect(incident.EffectAnnounce, nil)
	e.Lane = c.inc.ID.String() + "/announce"
	return []incident.Effect{e}
}

// announceOpen tells more, where the incident is not restricted: of one that is
// nothing but its id and severity is heard outside.
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

// page pages the route whose turn it is, and sets its clock. Keys by round and
// route: whatever calls for a page, each goes out once.
func page(c effectBuilder) []incident.Effect {
	route := c.event.Field("next")
	if c.event.Kind == incident.EventRoundStarted {
		route = c.event.Field("escalation_step")
	}
	round := c.event.Field("round")
	if route == "" || round != strconv.Itoa(c.inc.Paging.Round) {
		return nil
	}
	out := []incident.Effect{c.effect(incident.EffectPage, nil), c.effect(incident.EffectEscalationTimer, nil)}
	for n := range out {
		out[n].Key = fmt.Sprintf("%s/%s/%s/%s", c.inc.ID, out[n].Kind, round, route)
		out[n].Urgent = true
		out[n].Args = map[string]string{"round": round, "escalation_step": route}
	}
	out[1].After = c.now.Add(c.policy.EscalateAfter)
	return out
}

// forEachRound tells the pager about every round: an older one may still ring.
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

// ackLatePage silences a page that landed after somebody had acknowledged, or
// after it was over: the acknowledgement may have reached the pager before it.
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

// ackTimer watches over the one who has it, once in each round: a timer that
// rings too early is put off.
func ackTimer(c effectBuilder) []incident.Effect {
	at, ok := c.inc.AckTimeoutAt(c.policy)
	if !ok {
		return nil
	}
	round := strconv.Itoa(c.inc.Paging.Round)
	e := c.effect(incident.EffectAckTimer, map[string]string{"round": round})
	e.Key = fmt.Sprintf("%s/%s/%s", c.inc.ID, e.Kind, round)
	e.Urgent, e.After = true, at
	return []incident.Effect{e}
}

// invite brings people into the channel.
func (c effectBuilder) invite(people []incident.PersonID) []incident.Effect {
	slices.Sort(people)
	people = slices.DeleteFunc(slices.Compact(people), func(p incident.PersonID) bool { return p == "" })
	if len(people) == 0 {
		return nil
	}
	words := make([]string, len(people))
	for n, p := range people {
		words[n] = string(p)
	}
	return []incident.Effect{c.inChannel(incident.EffectInvite, map[string]string{"people": strings.Join(words, ",")})}
}

// inviteResponders invites everybody who belongs in the channel by now. They
// are not kept waiting behind what is said in it: the channel is there.
func inviteResponders(c effectBuilder) []incident.Effect {
	effects := c.invite(append(c.dir.Responders(), c.participants(c.inc)...))
	for n := range effects {
		effects[n].Lane = ""
	}
	return effects
}

// inviteMerged brings along whoever worked on the incident that ended, or that
// this one was split from.
func inviteMerged(c effectBuilder) []incident.Effect { return c.invite(c.participants(c.from)) }

// participants lists who has to do with an incident by name.
func (c effectBuilder) participants(inc incident.Incident) []incident.PersonID {
	people := append(slices.Clone(inc.Access), inc.OpenedBy, inc.Commander)
	for _, p := range inc.Roles {
		people = append(people, p)
	}
	return append(people, c.representatives(inc.InvolvedDepartments...)...)
}

// postRoundStarted says that paging begins anew. The first round goes without saying.
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

// ask asks one department, in the channel.
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

// repeatConsult asks again the teams whose answer is still missing.
func repeatConsult(c effectBuilder) []incident.Effect {
	var out []incident.Effect
	for _, consulted := range c.inc.Consultations {
		if !consulted.Answered() {
			out = append(out, c.ask(incident.EffectAskConsult, consulted.Team))
		}
	}
	return out
}

// step finds the step an event is about.
func (c effectBuilder) step() (*incident.Step, map[string]string) {
	args := map[string]string{"run": c.event.Field("run"), "step": c.event.Field("step")}
	_, step := c.inc.Step(args["run"] + "/" + args["step"])
	return step, args
}

// botStep does a step that the playbook gives to the bot.
func botStep(c effectBuilder) []incident.Effect {
	step, args := c.step()
	if step == nil || step.Action == "" {
		return nil
	}
	return []incident.Effect{c.effect(incident.EffectBotStep, args)}
}

// postTask shows a step that the playbook gives to a person.
func postTask(c effectBuilder) []incident.Effect {
	if step, _ := c.step(); step == nil || step.Action != "" {
		return nil
	}
	return post(c)
}

// stepTimer watches over a step's deadline, which counts from its start.
func stepTimer(c effectBuilder) []incident.Effect {
	step, args := c.step()
	if step == nil || step.Action != "" || step.Deadline <= 0 {
		return nil
	}
	e := c.effect(incident.EffectStepTimer, args)
	e.After = c.event.RecordedAt.Add(step.Deadline)
	return []incident.Effect{e}
}
