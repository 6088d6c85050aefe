package incident

import (
	"errors"
	"slices"
	"strings"
	"time"
)

// Authority is a set of classes of people. Each row of the lifecycle table has
// one, and a person who belongs to one of its classes may issue the verb.
type Authority uint16

// The classes of people. Every class but [Anyone], [KnownPeople], [GlassBreakers],
// [Administrators] and [TheBot] also requires that the person may read the incident: see [Incident.MayRead]. An
// administrator who is excluded from the incident does not count as one.
const (
	Anyone                Authority = 1 << iota // everybody whom a provider authenticated, known to the configuration or not
	Readers                                     // everybody who may read the incident
	Participants                                // see [Incident.Participates]
	Responders                                  // responders of the configuration
	TheCommander                                // the commander of the incident, responder or not
	StepHolders                                 // the holder of the role of the step
	ItemOwners                                  // the owner of the action item
	DepartmentMembers                           // members, deputies and delegates of the named department
	SecurityTeam                                // members, deputies and delegates of security
	LegalOrSecurity                             // members, deputies and delegates of legal or security
	Administrators                              // the administrators of the configuration
	TheBot                                      // effects, deadlines and sources
	KnownPeople                                 // all people of the configuration, readers or not
	LegalOrCommunications                       // members, deputies and delegates of legal or communications
	GlassBreakers                               // see [Directory.MayBreakGlass], readers or not
)

// classes are the classes in the order of messages and documents.
var classes = []struct {
	class Authority
	words string
}{
	{Anyone, "anyone"},
	{Readers, "people who may read it"},
	{Participants, "participants (responders, people with a role, departments that are involved, consulted or sign)"},
	{Responders, "responders"},
	{TheCommander, "the commander"},
	{StepHolders, "the holder of the role of the step"},
	{ItemOwners, "the owner of the action item"},
	{DepartmentMembers, "members and deputies of the named department"},
	{SecurityTeam, "security"},
	{LegalOrSecurity, "legal and security"},
	{Administrators, "administrators"},
	{TheBot, "the bot"},
	{KnownPeople, "all people of the configuration"},
	{LegalOrCommunications, "legal and communications"},
	{GlassBreakers, "responders, security, legal and heads of departments"},
}

// Has reports whether the set contains a class.
func (a Authority) Has(class Authority) bool { return a&class != 0 }

// Words returns the names of the classes, in the order of the declaration.
func (a Authority) Words() []string {
	var out []string
	for _, c := range classes {
		if a.Has(c.class) {
			out = append(out, c.words)
		}
	}
	return out
}

// String returns the classes as part of a sentence, as in "responders or the
// commander".
func (a Authority) String() string {
	words := a.Words()
	if last := len(words) - 1; last > 0 {
		return strings.Join(words[:last], ", ") + " or " + words[last]
	}
	return strings.Join(words, "")
}

// errNoAccess is the error for people who may not read an incident. It is the same
// whether the incident exists or not, so that nobody can find out by asking.
func errNoAccess(id ID) *Error {
	return Unknown("incident", "%s does not exist, or you may not read it. Check the number, or ask a responder for access", id)
}

// NoAccess returns the error for people who may not read an incident, and for an
// incident that does not exist.
func NoAccess(id ID) error { return errNoAccess(id) }

// NoAlert is [NoAccess] for an alert.
func NoAlert(id int64) error {
	return Unknown("alert", "A%d does not exist, or you may not read it. Check the number, or ask a responder for access", id)
}

// NoPlaybook returns the error for a playbook that does not exist, with the nearest names.
func NoPlaybook(name string, known []PlaybookInfo) error {
	names := make([]string, len(known))
	for n, p := range known {
		names[n] = p.Name
	}
	near := NearestAll(name, names, maxSuggestions)
	if len(near) == 0 {
		return Unknown("playbook", "unknown playbook %q. Type playbook list for the names", truncate(name))
	}
	return Unknown("playbook", "unknown playbook %q. Did you mean %s?", truncate(name), Choices(near))
}

// NoDelivery is [NoAccess] for a stored delivery.
func NoDelivery(id int64) error {
	return Unknown("delivery", "D%d does not exist, or you may not read it. Check the number, or ask a responder for access", id)
}

// NotLinked returns the error for an account that belongs to no person of the
// configuration.
func NotLinked(by Identity) error {
	if by.Provider == ProviderLocal && by.ID == "" {
		return Forbidden("your user ID is shared between programs or has no name in this container, so it belongs to no person. Mount the control socket on the host and connect as yourself. To report an incident, use open")
	}
	return Forbidden("%s is not linked to a person. Ask an administrator to add it under people. To report an incident, use open", by)
}

// IsDenied reports whether err denies access or authority. Such attempts are in the
// audit log.
func IsDenied(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	return e.Code == CodeForbidden || e.Code == CodeUnknown && slices.Contains([]string{"incident", "alert", "delivery"}, e.Field)
}

// Admit makes the checks of authority that need no incident. Callers make them
// before they read anything, so that an account without a person cannot find out
// which incidents exist.
func Admit(cmd Command, env Env) error {
	if err := checkDistrust(cmd, env); err != nil {
		return err
	}
	switch who := cmd.Verb.who(); {
	case env.System && !who.Has(TheBot):
		return Forbidden("the bot may not use %q. A person must use it", cmd.Verb)
	case env.System:
		return nil
	case who == TheBot:
		return Forbidden("only the bot may use %q. Type help for your commands", cmd.Verb)
	case who.Has(Anyone), who.Has(Administrators) && env.Administrator:
		return nil
	case env.Actor == "":
		return NotLinked(cmd.By)
	case who == GlassBreakers && !env.Directory.MayBreakGlass(env.Actor, env.Now):
		return Forbidden("break-glass is for %s, and %s is none of them. Type access request %s because REASON", who, env.Directory.Name(env.Actor), cmd.For)
	}
	return nil
}

// needsNoAccess reports whether people who may not read an incident may use the verb on
// it. Excluded people may not.
func (v Verb) needsNoAccess() bool { return v.who().Has(KnownPeople | GlassBreakers) }

// MayAddress reports whether the author of a command, who is admitted, may name the
// incident: the bot, people who may read it, and administrators with a verb of
// theirs who are not excluded, and people who ask for access or take it by break-glass.
// For anybody else it does not exist.
func MayAddress(cmd Command, inc Incident, env Env) bool {
	return env.System || cmd.Verb.needsNoAccess() && !inc.Excludes(env.Actor) || cmd.Verb.who().Has(Administrators) && env.Administrator && !inc.Excludes(env.Actor) || inc.MayRead(env.Directory, env.Actor, env.Now)
}

// Authorize checks that the author of a command may use its verb on an incident.
// [Decide] does so too. Callers that read more than the incident do it before.
func Authorize(cmd Command, inc Incident, env Env) error {
	d := newDecider(cmd, inc, env)
	return d.authorize()
}

// authorize checks that the actor may use the verb on the incident. It is the only
// place that does. Deciders add only what depends on the arguments of the verb.
func (d *decider) authorize() error {
	if err := Admit(d.cmd, d.env); err != nil {
		return err
	}
	who := d.cmd.Verb.who()
	if row := transition(d.cmd.Verb, d.inc.Status); row != nil {
		who = row.Who
	}
	switch {
	case d.env.System:
		if !who.Has(TheBot) {
			return Forbidden("the bot may not use %q. A person must use it", d.cmd.Verb)
		}
		return nil
	case who.Has(Anyone), who.Has(Administrators) && d.env.Administrator && !d.inc.Excludes(d.env.Actor):
		return nil
	case d.cmd.Verb.needsNoAccess() && !d.inc.Excludes(d.env.Actor):
		return nil
	case !d.inc.MayRead(d.env.Directory, d.env.Actor, d.env.Now):
		return errNoAccess(d.inc.ID)
	case !who.Has(Readers) && d.inc.readsByBreakGlass(d.env.Directory, d.env.Actor, d.env.Now):
		return d.readsOnly()
	case !d.holds(who):
		return d.refused(who)
	}
	return nil
}

// refused returns the error for a reader who is in none of the classes.
func (d *decider) refused(who Authority) error {
	name := d.cmd.Verb.CommandName()
	if d.cmd.Verb == VerbRestrict && d.cmd.Public {
		name = "public"
	}
	if who == DepartmentMembers && d.cmd.Verb != VerbWithdraw {
		return Forbidden("%s is not a member or current deputy of %s. Ask one of them. You can use %s", d.env.Directory.Name(d.env.Actor), d.cmd.Department, d.suggestions())
	}
	return Forbidden("%s in %s is for %s, and %s is none of them. Ask one of them. You can use %s", name, d.inc.ID, who&^TheBot, d.env.Directory.Name(d.env.Actor), d.suggestions())
}

// readsOnly returns the error for a reader by break-glass.
func (d *decider) readsOnly() error {
	return Forbidden("break-glass in %s allows reading and notes only. To do more, type access request %[1]s because REASON", d.inc.ID)
}

// holds reports whether the actor, who may read the incident, belongs to a class.
func (d *decider) holds(who Authority) bool {
	for _, c := range classes {
		if who.Has(c.class) && d.isA(c.class) {
			return true
		}
	}
	return false
}

// isA reports whether the actor, who may read the incident, belongs to one class.
func (d *decider) isA(class Authority) bool {
	actor, dir, now := d.env.Actor, d.env.Directory, d.env.Now
	switch class {
	case Anyone, Readers:
		return true
	case Participants:
		return d.inc.Participates(dir, actor, now)
	case Responders:
		return dir.Responder(actor)
	case TheCommander:
		return d.inc.Commander == actor
	case StepHolders:
		return d.holdsStep()
	case ItemOwners:
		return slices.ContainsFunc(d.inc.Actions, func(a Action) bool { return a.Owner == actor && strings.EqualFold(a.ID, d.cmd.Item) })
	case DepartmentMembers:
		return d.representsNamed()
	case SecurityTeam:
		return d.inc.represents(dir, actor, Security, now)
	case LegalOrSecurity:
		return d.inc.represents(dir, actor, Legal, now) || d.inc.represents(dir, actor, Security, now)
	case LegalOrCommunications:
		return d.inc.represents(dir, actor, Legal, now) || d.inc.represents(dir, actor, Communications, now)
	case Administrators:
		return d.env.Administrator
	}
	return false
}

// holdsStep reports whether the actor has the role of the step of the command. A
// role that nobody has belongs to the department with its name.
func (d *decider) holdsStep() bool {
	_, step := d.inc.Step(d.cmd.Step)
	if step == nil || step.Role == "" {
		return false
	}
	if holder := d.inc.Roles[step.Role]; holder != "" {
		return holder == d.env.Actor
	}
	return d.inc.represents(d.env.Directory, d.env.Actor, step.Role.department(), d.env.Now)
}

// department returns the department whose members perform the steps of a role that
// nobody has.
func (r Role) department() Department {
	if r == Communicator {
		return Communications
	}
	return Department(r)
}

// representsNamed reports whether the actor represents the department of the
// command, or for [VerbWithdraw] any department with a part in the sign-off. It
// leaves departments without such a part to the decider, which rejects them.
func (d *decider) representsNamed() bool {
	represents := func(team Department) bool { return d.inc.represents(d.env.Directory, d.env.Actor, team, d.env.Now) }
	asked := RequiredDepartments()
	for _, c := range d.inc.Consultations {
		asked = append(asked, c.Team)
	}
	switch _, known := d.env.Directory.Team(d.cmd.Department); {
	case d.cmd.Verb == VerbWithdraw:
		return slices.ContainsFunc(asked, represents)
	case !known, d.cmd.Verb != VerbDelegate && d.cmd.Verb != VerbEndDelegation && !slices.Contains(asked, d.cmd.Department):
		return true
	}
	return represents(d.cmd.Department)
}

// Participates reports whether a person takes part in the incident: responders,
// people with a role, and representatives of departments that were involved or
// consulted or that sign. Reading alone does not make a participant.
func (i Incident) Participates(d Directory, p PersonID, now time.Time) bool {
	if !i.belongs(d, p, now) {
		return false
	}
	if d.Responder(p) || len(i.RolesOf(p)) > 0 {
		return true
	}
	return slices.ContainsFunc(append(i.departmentsWithAccess(), RequiredDepartments()...), func(team Department) bool {
		return i.represents(d, p, team, now)
	})
}
