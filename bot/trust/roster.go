package trust

import (
	"slices"

	"tocsin/bot/incident"
)

// RosterLine is how many people of a department have a passkey.
type RosterLine struct {
	Department incident.Department `json:"department"`
	People     int                 `json:"people"`
	Enrolled   int                 `json:"enrolled"` // have an active passkey
}

// Roster returns the enrolment of the departments that sign.
func (s State) Roster(env Env) []RosterLine {
	var out []RosterLine
	for _, name := range incident.RequiredDepartments() {
		line := RosterLine{Department: name}
		for _, p := range env.Directory.Representatives(name, env.Now) {
			line.People++
			if s.active(p, env.Now) > 0 {
				line.Enrolled++
			}
		}
		out = append(out, line)
	}
	return out
}

// Departments returns the departments and teams that a person acts for.
func Departments(env Env, person incident.PersonID) (out []incident.Department) {
	for _, t := range env.Directory.Teams {
		if env.Directory.Represents(person, t.Name, env.Now) {
			out = append(out, t.Name)
		}
	}
	return out
}

// otherDepartment reports whether a person acts for a department, and for none of another person.
func otherDepartment(env Env, person, by incident.PersonID) bool {
	theirs, ours := Departments(env, by), Departments(env, person)
	return len(theirs) > 0 && !slices.ContainsFunc(theirs, func(d incident.Department) bool { return slices.Contains(ours, d) })
}

// keyOfDepartments returns a department of a person with a person who has an active passkey.
func (s State) keyOfDepartments(person incident.PersonID, env Env) (incident.Department, bool) {
	for _, name := range Departments(env, person) {
		for _, p := range env.Directory.Representatives(name, env.Now) {
			if s.active(p, env.Now) > 0 {
				return name, true
			}
		}
	}
	return "", false
}

// CanVouch returns the people whose voucher counts for the next passkey of a person and who have a passkey, in the order of the
// configuration.
func (s State) CanVouch(person incident.PersonID, env Env) (out []incident.PersonID) {
	first := len(s.Passkeys(person)) == 0
	for _, p := range env.Directory.People {
		if s.active(p.ID, env.Now) > 0 && incident.Independent(env.Directory, nil, p.ID, person) && (!first || otherDepartment(env, person, p.ID)) {
			out = append(out, p.ID)
		}
	}
	return out
}

// Waiting returns the people who need a voucher that a person can give: they have an enrolment code, or all their passkeys are
// revoked.
func (s State) Waiting(by incident.PersonID, env Env) (out []incident.PersonID) {
	for _, p := range env.Directory.People {
		code := slices.ContainsFunc(s.Codes, func(c Code) bool { return c.Person == p.ID && c.ActiveAt(env.Now) })
		lost := len(s.Passkeys(p.ID)) > 0 && s.active(p.ID, env.Now) == 0
		if (code || lost) && slices.Contains(s.CanVouch(p.ID, env), by) && s.mayVouch(by, p.ID, env) == nil {
			out = append(out, p.ID)
		}
	}
	return out
}
