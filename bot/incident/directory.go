package incident

import (
	"slices"
	"strings"
	"time"
)

// Provider is a way into the house; a Handle is a name behind that door.
type Provider string

// The doors a handle can stand behind.
const (
	ProviderSlack     Provider = "slack"     // a Slack user id
	ProviderPagerDuty Provider = "pagerduty" // a PagerDuty user id
	ProviderMail      Provider = "mail"      // an e-mail address
	ProviderOIDC      Provider = "oidc"      // an OpenID Connect subject
	ProviderLocal     Provider = "local"     // a user of the operating system
	ProviderSystem    Provider = "system"    // the bot itself: clocks, effects, schedules
	ProviderSource    Provider = "source"    // an alert source; the id is its name
)

// Identity is how a person, or the bot itself, is known behind one door.
type Identity struct {
	Provider Provider `json:"provider"`
	ID       string   `json:"id"`
}

// System is the handle under which the bot records what it did.
var System = Identity{Provider: ProviderSystem, ID: "tocsin"}

func (h Identity) String() string { return string(h.Provider) + ":" + h.ID }

// PersonID names one human, whichever door they came through. It is opaque:
// it never contains a name or an address.
type PersonID string

// Person is a human the configuration knows.
type Person struct {
	ID         PersonID   `json:"id"`
	Name       string     `json:"name"`
	Identities []Identity `json:"identities"`
	Responder  bool       `json:"responder"` // may acknowledge and be paged
}

// IDAt returns the person's id behind a door, or "".
func (p Person) IDAt(door Provider) string {
	for _, h := range p.Identities {
		if h.Provider == door {
			return h.ID
		}
	}
	return ""
}

// Department signs the closing record, or, as an affected team, is consulted on it.
type Department string

// The four departments whose signatures nothing can replace.
const (
	Engineering    Department = "engineering"
	Security       Department = "security"
	Legal          Department = "legal"
	Communications Department = "communications"
)

// DataProtection is called together with legal and communications as soon as
// personal data is suspected, where the configuration has such a team.
const DataProtection Department = "dpo"

// RequiredDepartments are the four, in the order they are shown.
func RequiredDepartments() []Department {
	return []Department{Engineering, Security, Legal, Communications}
}

// Membership lets a person sign for a department: always, or as a deputy between two dates.
type Membership struct {
	Person PersonID  `json:"person"`
	Deputy bool      `json:"deputy,omitempty"`
	From   time.Time `json:"from,omitzero"`  // deputies only, inclusive
	Until  time.Time `json:"until,omitzero"` // deputies only, exclusive
}

func (m Membership) activeAt(at time.Time) bool {
	return !m.Deputy || !at.Before(m.From) && at.Before(m.Until)
}

// Team is a department or an affected team, with who speaks for it.
type Team struct {
	Name    Department   `json:"name"`
	Head    PersonID     `json:"head,omitempty"`
	Group   string       `json:"group,omitempty"` // Slack user group to mention
	Members []Membership `json:"members"`
}

// Directory is everybody the bot knows, at one moment. It is a plain value,
// read inside the transaction that judges a command.
type Directory struct {
	People []Person `json:"people"`
	Teams  []Team   `json:"teams"`
}

// Resolve finds the person behind a handle. E-mail addresses compare without case.
func (d Directory) Resolve(h Identity) (Person, bool) {
	for _, p := range d.People {
		for _, have := range p.Identities {
			if have == h || have.Provider == h.Provider && h.Provider == ProviderMail && strings.EqualFold(have.ID, h.ID) {
				return p, true
			}
		}
	}
	return Person{}, false
}

// Person returns the person with that id.
func (d Directory) Person(id PersonID) (Person, bool) {
	for _, p := range d.People {
		if p.ID == id {
			return p, true
		}
	}
	return Person{}, false
}

// Name returns a person's name, the system's own, or the id where nobody is known.
func (d Directory) Name(id PersonID) string {
	if id == "" {
		return "Tocsin"
	}
	if p, ok := d.Person(id); ok {
		return p.Name
	}
	return string(id)
}

// Team returns a department or team by name, without regard to case.
func (d Directory) Team(name Department) (Team, bool) {
	for _, t := range d.Teams {
		if strings.EqualFold(string(t.Name), string(name)) {
			return t, true
		}
	}
	return Team{}, false
}

// Represents reports whether the person may sign or answer for the team at that moment.
func (d Directory) Represents(p PersonID, name Department, at time.Time) bool {
	t, ok := d.Team(name)
	return ok && slices.ContainsFunc(t.Members, func(m Membership) bool { return m.Person == p && m.activeAt(at) })
}

// Member reports whether the person belongs to the team by right, not as a deputy.
func (d Directory) Member(p PersonID, name Department) bool {
	t, ok := d.Team(name)
	return ok && slices.ContainsFunc(t.Members, func(m Membership) bool { return m.Person == p && !m.Deputy })
}

// Representatives lists who may speak for the team at that moment.
func (d Directory) Representatives(name Department, at time.Time) []PersonID {
	t, _ := d.Team(name)
	var out []PersonID
	for _, m := range t.Members {
		if m.activeAt(at) && !slices.Contains(out, m.Person) {
			out = append(out, m.Person)
		}
	}
	return out
}

// Responders lists who may be paged and may acknowledge.
func (d Directory) Responders() []PersonID {
	var out []PersonID
	for _, p := range d.People {
		if p.Responder {
			out = append(out, p.ID)
		}
	}
	return out
}
