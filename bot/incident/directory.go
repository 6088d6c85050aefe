package incident

import (
	"slices"
	"strings"
	"time"
)

// Provider is a system that has accounts of people.
type Provider string

// The providers of identities.
const (
	ProviderSlack     Provider = "slack"     // a Slack user id
	ProviderPagerDuty Provider = "pagerduty" // a PagerDuty user id
	ProviderMail      Provider = "mail"      // an e-mail address
	ProviderOIDC      Provider = "oidc"      // an OpenID Connect subject
	ProviderLocal     Provider = "local"     // a user of the operating system, on the control socket
	ProviderWeb       Provider = "web"       // a session on the pages, the id is the [PersonID]
	ProviderSystem    Provider = "system"    // the bot, for deadlines, effects and schedules
	ProviderSource    Provider = "source"    // an alert source, the id is its name
)

// Identity is the account of a person, a source or the bot at one provider.
type Identity struct {
	Provider Provider `json:"provider"`
	ID       string   `json:"id"`
}

// System is the identity of the bot.
var System = Identity{Provider: ProviderSystem, ID: "tocsin"}

func (h Identity) String() string { return string(h.Provider) + ":" + h.ID }

// PersonID identifies a person across providers. It is opaque and contains no name
// or address.
type PersonID string

// Person is a person of the configuration.
type Person struct {
	ID         PersonID   `json:"id"`
	Name       string     `json:"name"`
	Identities []Identity `json:"identities"`
	Responder  bool       `json:"responder"` // may acknowledge and is paged
}

// IDAt returns the person's id at a provider, or "".
func (p Person) IDAt(provider Provider) string {
	for _, h := range p.Identities {
		if h.Provider == provider {
			return h.ID
		}
	}
	return ""
}

// Department is the name of a department or team. The four required departments
// sign the closing record, other teams can be consulted on it.
type Department string

// The four departments that must sign every closing record.
const (
	Engineering    Department = "engineering"
	Security       Department = "security"
	Legal          Department = "legal"
	Communications Department = "communications"
)

// DataProtection is involved with legal and communications if personal data is
// suspected or confirmed.
const DataProtection Department = "dpo"

// RequiredDepartments returns the four departments that sign, in display order.
func RequiredDepartments() []Department {
	return []Department{Engineering, Security, Legal, Communications}
}

// Membership lets a person act for a department: sign, and everything else that
// its members may do. A member does so permanently, a deputy between two dates.
type Membership struct {
	Person PersonID  `json:"person"`
	Deputy bool      `json:"deputy,omitempty"`
	From   time.Time `json:"from,omitzero"`  // deputies only, inclusive
	Until  time.Time `json:"until,omitzero"` // deputies only, exclusive
}

func (m Membership) activeAt(at time.Time) bool {
	return !m.Deputy || !at.Before(m.From) && at.Before(m.Until)
}

// Team is a department or team with its members and deputies.
type Team struct {
	Name  Department `json:"name"`
	Head  PersonID   `json:"head,omitempty"`
	Group string     `json:"group,omitempty"` // Slack user group to mention
	// GroupMembers are the Slack ids of the members of Group when it was last
	// read, nil if it never was. They stay in effect while Slack is unavailable.
	GroupMembers []string     `json:"group_members,omitzero"`
	Members      []Membership `json:"members"`
}

// Directory holds the people, teams and audiences of the configuration. It is a snapshot, read
// in the transaction that decides a command.
type Directory struct {
	People []Person `json:"people"`
	Teams  []Team   `json:"teams"`
	// Former are the people who left the configuration. They have a name and no
	// authority: Person and Resolve do not return them.
	Former []FormerPerson `json:"former,omitempty"`
	// Audiences and Statements are the readers and the texts of updates.
	Audiences  []UpdateAudience `json:"audiences,omitempty"`
	Statements []Statement      `json:"statements,omitempty"`
}

// Resolve returns the person with an identity. Mail addresses are compared without
// regard to case.
func (d Directory) Resolve(h Identity) (Person, bool) {
	if h.Provider == ProviderWeb {
		return d.Person(PersonID(h.ID))
	}
	for _, p := range d.People {
		for _, have := range p.Identities {
			if have == h || have.Provider == h.Provider && h.Provider == ProviderMail && strings.EqualFold(have.ID, h.ID) {
				return p, true
			}
		}
	}
	return Person{}, false
}

// Person returns the person with an id.
func (d Directory) Person(id PersonID) (Person, bool) {
	for _, p := range d.People {
		if p.ID == id {
			return p, true
		}
	}
	return Person{}, false
}

// PeopleNamed returns the people with a full name, an account or an id, without regard
// to case. It includes people who left.
func (d Directory) PeopleNamed(name string) []PersonID {
	if name == "" {
		return nil
	}
	var out []PersonID
	for _, p := range d.People {
		named := func(h Identity) bool { return strings.EqualFold(h.ID, name) || strings.EqualFold(h.String(), name) }
		if strings.EqualFold(p.Name, name) || string(p.ID) == name || slices.ContainsFunc(p.Identities, named) {
			out = append(out, p.ID)
		}
	}
	for _, p := range d.Former {
		if (strings.EqualFold(p.Name, name) || string(p.ID) == name) && !slices.Contains(out, p.ID) {
			out = append(out, p.ID)
		}
	}
	return out
}

// PersonNamed returns the only person with a full name, an account or an id, like PeopleNamed.
func (d Directory) PersonNamed(name string) (PersonID, error) {
	name = strings.TrimSpace(name)
	switch ids := d.PeopleNamed(name); len(ids) {
	case 0:
		return "", Unknown("person", "unknown person %q. Use a name, a mail address or an account under people", name)
	case 1:
		return ids[0], nil
	default:
		return "", Invalid("person", "%d people are called %q. Use a mail address or an id", len(ids), name)
	}
}

// Name returns the name of a person, marked if the person left the configuration.
// It returns "Tocsin" for an empty id, and the id if the person is unknown.
func (d Directory) Name(id PersonID) string {
	if id == "" {
		return "Tocsin"
	}
	if p, ok := d.Person(id); ok {
		return p.Name
	}
	if p, ok := d.FormerPerson(id); ok {
		return p.Name + " (former)"
	}
	return string(id)
}

// Names returns the names of all people, former ones included, by id.
func (d Directory) Names() map[PersonID]string {
	out := map[PersonID]string{}
	for _, p := range d.Former {
		out[p.ID] = d.Name(p.ID)
	}
	for _, p := range d.People {
		out[p.ID] = p.Name
	}
	return out
}

// Team returns the department or team with a name, without regard to case.
func (d Directory) Team(name Department) (Team, bool) {
	for _, t := range d.Teams {
		if strings.EqualFold(string(t.Name), string(name)) {
			return t, true
		}
	}
	return Team{}, false
}

// Represents reports whether a person may sign and answer for a team at a time, as
// a member or deputy.
func (d Directory) Represents(p PersonID, name Department, at time.Time) bool {
	t, ok := d.Team(name)
	return ok && slices.ContainsFunc(t.Members, func(m Membership) bool { return m.Person == p && m.activeAt(at) })
}

// Member reports whether a person is a member of a team, not a deputy.
func (d Directory) Member(p PersonID, name Department) bool {
	t, ok := d.Team(name)
	return ok && slices.ContainsFunc(t.Members, func(m Membership) bool { return m.Person == p && !m.Deputy })
}

// Representatives returns the members and deputies of a team at a time.
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

// Responder reports whether a person is a responder.
func (d Directory) Responder(id PersonID) bool {
	p, ok := d.Person(id)
	return ok && p.Responder
}

// Responders returns the people who are paged and may acknowledge.
func (d Directory) Responders() []PersonID {
	var out []PersonID
	for _, p := range d.People {
		if p.Responder {
			out = append(out, p.ID)
		}
	}
	return out
}
