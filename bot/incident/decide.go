package incident

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits on what a person may write, in runes.
const (
	MaxTitle = 200
	MaxText  = 20000
)

// Decide judges one command: it returns the events the command leads to, none
// where what it asks for is already true, or an *Error that says why not and
// what is possible now. inc is the incident the command is for (for VerbOpen
// one that has only its ID and Genesis head). It is pure.
func Decide(cmd Command, inc Incident, env Env) ([]Event, error) {
	j := newDecider(cmd, inc, env)
	if err := j.authorize(); err != nil {
		return nil, err
	}
	line := transition(cmd.Verb, inc.Status)
	if line == nil {
		return nil, j.notAllowed()
	}
	decide, ok := deciders[cmd.Verb]
	if !ok {
		return nil, Invalid("verb", "%q needs a second incident", cmd.Verb)
	}
	if err := decide(&j); err != nil {
		return nil, err
	}
	if len(j.events) > 0 && !line.allows(inc.Status, j.inc.Status) {
		return nil, fmt.Errorf("the table has no way from %s to %s by %s", inc.Status, j.inc.Status, cmd.Verb)
	}
	return j.events, nil
}

// deciders holds what each verb checks and leads to. VerbMerge and VerbSplit see
// two incidents and stand apart, in DecideMerge and DecideSplit.
var deciders = map[Verb]func(*decider) error{
	VerbOpen: (*decider).open, VerbAcknowledge: (*decider).acknowledge,
	VerbContain: (*decider).contain, VerbResolve: (*decider).resolve,
	VerbReopen: (*decider).reopen, VerbDismiss: (*decider).dismiss,
	VerbSetSeverity: (*decider).setSeverity, VerbAssignRole: (*decider).assignRole,
	VerbNote: (*decider).note, VerbUpdate: (*decider).update,
	VerbGrant: (*decider).grant, VerbRestrict: (*decider).restrict, VerbErase: (*decider).erase,
	VerbPromote: (*decider).promote, VerbSetLegalHold: (*decider).setLegalHold, VerbReleaseLegalHold: (*decider).releaseLegalHold,

	VerbSetFact: (*decider).setFact, VerbEvidence: (*decider).addEvidence, VerbInvolve: (*decider).involveDepartment,
	VerbStepDone: (*decider).stepDone, VerbStepSkip: (*decider).stepSkip,
	VerbConsult: (*decider).consult, VerbAnswer: (*decider).answer, VerbDelegate: (*decider).delegate,

	VerbEditRecord: (*decider).editRecord, VerbSubmit: (*decider).submit, VerbSign: (*decider).sign,
	VerbObject: (*decider).object, VerbWithdraw: (*decider).withdraw, VerbAmend: (*decider).amend, VerbRevise: (*decider).revise,
	VerbAddAction: (*decider).addAction, VerbFinishAction: (*decider).finishAction,
	VerbScheduleReview: (*decider).scheduleReview, VerbConclude: (*decider).conclude, VerbWaiveActions: (*decider).waiveActions,

	VerbAttach: (*decider).attach, VerbCount: (*decider).count, VerbSourceNote: (*decider).sourceNote,
	VerbStartPlaybook: (*decider).startPlaybooks, VerbStartStep: (*decider).startStep, VerbStepLate: (*decider).stepLate,
	VerbPage: (*decider).page, VerbPaged: (*decider).paged, VerbPageFailed: (*decider).pageFailed,
	VerbPageTimeout: (*decider).pageTimeout, VerbAckTimeout: (*decider).ackTimeout,
	VerbLink: (*decider).link, VerbInvited: (*decider).invited,
	VerbPostmortemWritten: (*decider).written, VerbPostmortemShared: (*decider).shared, VerbEffectFailed: (*decider).effectFailed,
}

// decider is one command being judged: inc is a copy to which the events
// found so far have been applied.
type decider struct {
	cmd    Command
	env    Env
	inc    Incident
	events []Event
}

// newDecider begins a judgement. A department goes by the name the configuration
// gives it, so that "Legal" and "legal" are one.
func newDecider(cmd Command, inc Incident, env Env) decider {
	if team, ok := env.Directory.Team(cmd.Department); ok {
		cmd.Department = team.Name
	}
	return decider{cmd: cmd, env: env, inc: inc.clone()}
}

// fields and texts are the two halves of an event's content.
type (
	fields map[string]string
	texts  map[string]string
)

// emit adds an event and applies it, so that what follows sees its result.
func (j *decider) emit(kind EventKind, f fields, t texts) {
	e := Event{Kind: kind, RecordedAt: stamp(j.env.Now), HappenedAt: stamp(j.env.Now), By: j.env.Actor,
		Auth: j.cmd.Auth, Via: j.cmd.Via, Audience: AudienceResponders, Fields: map[string]string{}}
	if !j.cmd.HappenedAt.IsZero() {
		e.HappenedAt = stamp(j.cmd.HappenedAt)
	}
	if j.cmd.Audience != "" {
		e.Audience = j.cmd.Audience
	}
	for name, v := range f {
		if v != "" {
			e.Fields[name] = strings.ToValidUTF8(v, "\uFFFD") // what JSON would make of it, before it is sealed
		}
	}
	for name, v := range t {
		if v == "" {
			continue
		}
		if e.Texts == nil {
			e.Texts = map[string]Text{}
		}
		e.Texts[name] = Text{Value: strings.ToValidUTF8(v, "\uFFFD")}
	}
	j.events = append(j.events, e)
	j.inc = Apply(j.inc, e)
}

// authorize checks what holds for every verb: who speaks, and that the arguments
// are of a sane size.
func (j *decider) authorize() error {
	cmd, env := j.cmd, j.env
	switch {
	case env.System:
		if !slices.Contains(botVerbs, cmd.Verb) && !slices.Contains(sharedVerbs, cmd.Verb) {
			return Forbidden("%s is for a person to say, not for the bot", cmd.Verb)
		}
	case slices.Contains(botVerbs, cmd.Verb):
		return Forbidden("%s is for the bot itself to say", cmd.Verb)
	case env.Actor == "" && cmd.Verb != VerbOpen:
		return Forbidden("nobody the configuration knows stands behind %s; have an administrator add it under people", cmd.By)
	case env.Actor != "" && cmd.Verb != VerbOpen && !j.inc.MayRead(env.Directory, env.Actor, env.Now):
		return Forbidden("%s is restricted; ask its commander for access", j.inc.ID)
	}
	if cmd.HappenedAt.After(env.Now.Add(time.Minute)) {
		return Invalid("happened_at", "%s is in the future", cmd.HappenedAt.Format(time.RFC3339))
	}
	for _, arg := range cmd.freeTexts() {
		limit := MaxText
		if arg.field == "title" {
			limit = MaxTitle
		}
		if n := utf8.RuneCountInString(arg.text); n > limit {
			return Invalid(arg.field, "%s has %d characters, at most %d are kept; put the rest into a file and add it as evidence", arg.field, n, limit)
		}
	}
	for _, arg := range cmd.dates() {
		if y := arg.at.UTC().Year(); !arg.at.IsZero() && (y < 1970 || y > 9999) {
			return Invalid(arg.field, "the year %d is none of ours", y)
		}
	}
	switch cmd.Audience {
	case "", AudienceAll, AudienceResponders, AudienceLegalSecurity:
	default:
		return Invalid("audience", "%q is no audience; use all, responders or legal_and_security", cmd.Audience)
	}
	return nil
}

// notAllowed says that the lifecycle has no place for the verb now, and what it has.
func (j *decider) notAllowed() error {
	if j.inc.Status == Merged {
		return Conflict("%s was merged into %s; go on there", j.inc.ID, j.inc.MergedInto)
	}
	var words []string
	for _, v := range AllowedVerbs(j.inc.Status) {
		if word := v.CommandName(); !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	hint := ""
	if (j.cmd.Verb == VerbSetFact || j.cmd.Verb == VerbEvidence || j.cmd.Verb == VerbEditRecord) && (j.inc.Status == Approved || j.inc.Status == Closed) {
		hint = " The record is signed: revise it first."
	}
	if j.cmd.Verb == VerbEditRecord && j.inc.Status == InReview {
		hint = " The record is frozen while departments sign: amend it."
	}
	return Conflict("%s is %s, so %s is not possible.%s Possible now: %s.", j.inc.ID, strings.ReplaceAll(string(j.inc.Status), "_", " "), j.cmd.Verb.CommandName(), hint, strings.Join(words, ", "))
}

// requireText returns an Invalid error when a text is missing.
func (j *decider) requireText(field, value, what string) error {
	switch {
	case strings.TrimSpace(value) != "":
		return nil
	case field == "text": // the verb's own words, which have no name for people
		return Invalid(field, "%s", what)
	}
	return Invalid(field, "%s is missing: %s", field, what)
}

// requireResponder checks that the actor may take hold of an incident.
func (j *decider) requireResponder() error {
	p, ok := j.env.Directory.Person(j.env.Actor)
	if !ok || !p.Responder {
		return Forbidden("only responders may do this; %s is not one of them", j.env.Directory.Name(j.env.Actor))
	}
	return nil
}

// requireRepresentative checks that the actor may speak for a department now.
func (j *decider) requireRepresentative(team Department) error {
	if _, ok := j.env.Directory.Team(team); !ok {
		return Unknown("department", "there is no department %q; the configuration has %s", team, j.teams())
	}
	if !j.inc.represents(j.env.Directory, j.env.Actor, team, j.env.Now) {
		return Forbidden("%s belongs neither to %s nor to its deputies of today", j.env.Directory.Name(j.env.Actor), team)
	}
	return nil
}

func (j *decider) teams() string {
	names := make([]string, 0, len(j.env.Directory.Teams))
	for _, t := range j.env.Directory.Teams {
		names = append(names, string(t.Name))
	}
	return strings.Join(names, ", ")
}

// requirePerson checks that a person named in an argument exists.
func (j *decider) requirePerson(field string, p PersonID) error {
	if _, ok := j.env.Directory.Person(p); !ok {
		return Unknown(field, "%q is nobody the configuration knows", p)
	}
	return nil
}

// statusField is the field by which an event changes the status.
func statusField(s Status) fields { return fields{"status": string(s)} }

func num(n int) string { return strconv.Itoa(n) }

func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return stamp(t).Format(time.RFC3339Nano)
}
