package incident

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Maximum lengths of texts, in runes.
const (
	MaxTitle = 200
	MaxText  = 20000
)

// Maximum number of texts of one person in one incident, of verbs that write. Reading
// an incident reads every text of it, so that one account could otherwise slow down
// every command for the incident and use up the memory. Commands that move the
// incident have no limit, because nothing may stop responders.
const (
	MaxTexts       = 500 // of a participant
	MaxReaderTexts = 100 // of a person who only reads along
)

// Decide checks one command and returns the events that it leads to. It returns
// no events and no error if the command changes nothing. If the command is not
// allowed or malformed, it returns an [*Error] for the person who gave it.
//
// inc is the incident of the command. For [VerbOpen] it is [New]. Decide is pure
// and does not modify inc. It does not decide [VerbMerge] and [VerbSplit], which
// change two incidents: see [DecideMerge] and [DecideSplit].
func Decide(cmd Command, inc Incident, env Env) ([]Event, error) {
	d := newDecider(cmd, inc, env)
	if err := d.check(); err != nil {
		return nil, err
	}
	line := transition(cmd.Verb, inc.Status)
	if line == nil {
		return nil, d.notAllowed()
	}
	decide := verbs[cmd.Verb].decide
	if decide == nil {
		return nil, Invalid("verb", "%q needs a second incident. Name both, such as INC-42 and INC-41", cmd.Verb)
	}
	if err := d.checkLevel(); err != nil {
		return nil, err
	}
	if err := decide(&d); err != nil {
		return nil, err
	}
	if err := d.secondLocal(inc); err != nil {
		return nil, err
	}
	d.cancelVoidedMeeting(inc)
	d.withdrawVoidedPostmortem(inc)
	if len(d.events) > 0 && !line.allows(inc.Status, d.inc.Status) {
		return nil, fmt.Errorf("%s: no transition from %s to %s", cmd.Verb, inc.Status, d.inc.Status)
	}
	return d.events, nil
}

// decider holds one command while it is checked. inc is a copy of the incident that
// already contains the events emitted so far.
type decider struct {
	cmd    Command
	env    Env
	inc    Incident
	events []Event
	// local is set for an act by the command line that needs a higher level, see
	// [LocalProposal]. localFirst is who proposed the act with the digest, or "".
	local      bool
	localFirst PersonID
	cmdDigest  string
}

// newDecider returns a decider for cmd. It replaces the department of cmd by its
// configured spelling, which makes "Legal" and "legal" equal.
func newDecider(cmd Command, inc Incident, env Env) decider {
	if team, ok := env.Directory.Team(cmd.Department); ok {
		cmd.Department = team.Name
	}
	return decider{cmd: cmd, env: env, inc: inc.clone()}
}

// fields and texts are the content of an event: data for machines, prose of people.
type (
	fields map[string]string
	texts  map[string]string
)

// emit appends an event and applies it to d.inc. Empty fields and texts are left
// out. Invalid UTF-8 is replaced, as JSON encoding would do after sealing.
func (d *decider) emit(kind EventKind, f fields, t texts) {
	e := Event{Kind: kind, RecordedAt: stamp(d.env.Now), HappenedAt: stamp(d.env.Now), By: d.env.Actor,
		Auth: d.cmd.Auth, Via: d.cmd.Via, Audience: AudienceResponders, Fields: map[string]string{}}
	if !d.cmd.HappenedAt.IsZero() {
		e.HappenedAt = stamp(d.cmd.HappenedAt)
	}
	switch {
	case kind.Secret():
		e.Audience = AudienceLegalSecurity
	case d.cmd.Audience != "":
		e.Audience = d.cmd.Audience
	}
	if d.cmd.Zone != "" && (!d.cmd.HappenedAt.IsZero() || slices.ContainsFunc([]string{"when", "until", "value", "notified_at"}, func(name string) bool { return f[name] != "" })) {
		e.Fields["zone"] = d.cmd.Zone
	}
	if d.cmd.Through != "" {
		e.Fields["through"] = d.cmd.Through
	}
	d.markLevel(&e)
	for name, v := range f {
		if v != "" {
			e.Fields[name] = strings.ToValidUTF8(v, "\uFFFD")
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
	d.events = append(d.events, e)
	d.inc.apply(e)
}

// check makes the checks that come before the status: the authority of the actor
// and the bounds of the arguments.
func (d *decider) check() error {
	if err := d.authorize(); err != nil {
		return err
	}
	if err := d.checkOrigin(); err != nil {
		return err
	}
	if err := d.checkWritten(); err != nil {
		return err
	}
	return d.checkArguments()
}

// checkWritten returns an error if the actor has written too many texts.
func (d *decider) checkWritten() error {
	if d.env.System || !verbs[d.cmd.Verb].writes {
		return nil
	}
	limit := MaxReaderTexts
	if d.isA(Participants) {
		limit = MaxTexts
	}
	if d.inc.Written[d.env.Actor] < limit {
		return nil
	}
	return Conflict("%s has written %d texts in %s, which is the maximum. Write into a file and ask a responder to add it as evidence", d.env.Directory.Name(d.env.Actor), limit, d.inc.ID)
}

// checkArguments makes the checks that apply to every verb: whether texts and dates
// are within bounds.
func (d *decider) checkArguments() error {
	cmd, env := d.cmd, d.env
	if cmd.HappenedAt.After(env.Now.Add(time.Minute)) {
		return Invalid("happened_at", "%s is in the future. Give a time that has passed", TimeText(cmd.HappenedAt))
	}
	if cmd.Zone != "" {
		if _, err := ParseZone(cmd.Zone); err != nil {
			return err
		}
	}
	for _, arg := range cmd.freeTexts() {
		limit := MaxText
		if arg.field == "title" {
			limit = MaxTitle
		}
		if n := utf8.RuneCountInString(arg.text); n > limit {
			return Invalid(arg.field, "%s has %d characters, the maximum is %d. Shorten it, or add a file as evidence", arg.field, n, limit)
		}
	}
	for _, arg := range cmd.dates() {
		if y := arg.at.UTC().Year(); !arg.at.IsZero() && (y < 1970 || y > 9999) {
			return Invalid(arg.field, "year %d is out of range. Use a year from 1970 to 9999", y)
		}
	}
	switch cmd.Audience {
	case AudienceLegalSecurity:
		if cmd.Verb == VerbOpen {
			return Invalid("audience", "the title of an incident cannot be for legal and security only. Open the incident, then add a note for them")
		}
	case "", AudienceAll, AudienceResponders:
	default:
		return Invalid("audience", "unknown audience %q. Use all, responders or legal_and_security", cmd.Audience)
	}
	return nil
}

// notAllowed returns the error for a verb that is not possible in the current
// status. It suggests the commands that lead on from there.
func (d *decider) notAllowed() error {
	if d.inc.Status == Merged {
		return Conflict("%s was merged into %s. Continue in %[2]s", d.inc.ID, d.inc.MergedInto)
	}
	id, status, name := d.inc.ID, strings.ReplaceAll(string(d.inc.Status), "_", " "), d.cmd.Verb.CommandName()
	edits := d.cmd.Verb == VerbSetFact || d.cmd.Verb == VerbEvidence || d.cmd.Verb == VerbEditRecord
	switch {
	case edits && (d.inc.Status == Approved || d.inc.Status == Closed):
		return Conflict("%s is %s and its record is signed, so %s is not possible. Revise the record first", id, status, name)
	case d.cmd.Verb == VerbEditRecord && d.inc.Status == InReview:
		return Conflict("%s is %s and its record is frozen, so %s is not possible. Amend the record first", id, status, name)
	}
	return Conflict("%s is %s, so %s is not possible. You can use %s", id, status, name, d.suggestions())
}

// requireText returns an Invalid error with the given message if value is blank.
func (d *decider) requireText(field, value, format string, args ...any) error {
	if strings.TrimSpace(value) != "" {
		return nil
	}
	return Invalid(field, format, args...)
}

// requireTeam returns an error if the department of the command is unknown.
func (d *decider) requireTeam() error {
	if _, ok := d.env.Directory.Team(d.cmd.Department); !ok {
		return Unknown("department", "unknown department %q. Known departments: %s", d.cmd.Department, d.teams())
	}
	return nil
}

func (d *decider) teams() string {
	names := make([]string, 0, len(d.env.Directory.Teams))
	for _, t := range d.env.Directory.Teams {
		names = append(names, string(t.Name))
	}
	return strings.Join(names, ", ")
}

// requirePerson returns an error if the person of an argument is unknown or may not
// take part.
func (d *decider) requirePerson(field string, p PersonID) error {
	if _, ok := d.env.Directory.Person(p); !ok {
		return Unknown(field, "unknown person %q. Mention them with @, or ask an administrator to add them under people", p)
	}
	if d.inc.Excludes(p) {
		return Invalid(field, "%s cannot take part in %s. Name another person, or ask legal or security", d.env.Directory.Name(p), d.inc.ID)
	}
	return nil
}

// statusField returns the event field that changes the status.
func statusField(s Status) fields { return fields{"status": string(s)} }

func num(n int) string { return strconv.Itoa(n) }

func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return stamp(t).Format(time.RFC3339Nano)
}
