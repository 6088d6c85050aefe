package config

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"

	"tocsin/bot/incident"
	"tocsin/bot/setting"
)

// Person is a person with an id at each identity provider. Responder overrides
// the default: members of engineering and security are responders.
type Person struct {
	Name      string `yaml:"name"`
	Email     string `yaml:"email"`
	Slack     string `yaml:"slack"`
	PagerDuty string `yaml:"pagerduty"`
	Local     string `yaml:"local"`
	OIDC      string `yaml:"oidc"`
	Responder *bool  `yaml:"responder"`
}

// Team is a department or an affected team. Head, Members and Deputies refer to
// people by e-mail address, Slack id or name. SlackGroup adds its members.
type Team struct {
	SlackGroup string   `yaml:"slack_group"`
	Head       string   `yaml:"head"`
	Members    []string `yaml:"members"`
	Deputies   []Deputy `yaml:"deputies"`
}

// Deputy may sign for a department from the first day to the last, inclusive.
type Deputy struct {
	Person string      `yaml:"person"`
	From   setting.Day `yaml:"from"`
	To     setting.Day `yaml:"to"`
}

// identities returns the person's identities, sorted by provider.
func (p Person) identities() []incident.Identity {
	var out []incident.Identity
	for provider, id := range map[incident.Provider]string{incident.ProviderSlack: p.Slack, incident.ProviderPagerDuty: p.PagerDuty,
		incident.ProviderMail: strings.ToLower(p.Email), incident.ProviderLocal: p.Local, incident.ProviderOIDC: p.OIDC} {
		if id != "" {
			out = append(out, incident.Identity{Provider: provider, ID: id})
		}
	}
	slices.SortFunc(out, func(a, b incident.Identity) int { return strings.Compare(string(a.Provider), string(b.Provider)) })
	return out
}

// id returns a hash of the e-mail address, or of the Slack id if the person has
// no address. It is stable while that value does not change. The database stores
// it unencrypted, and it does not reveal the name.
func (p Person) id() incident.PersonID {
	key := strings.ToLower(p.Email)
	if key == "" {
		key = p.Slack
	}
	sum := sha256.Sum256([]byte("tocsin person " + key))
	return incident.PersonID("p-" + hex.EncodeToString(sum[:6]))
}

// findPerson returns the person with an e-mail address, Slack id or name, or nil.
func (c Config) findPerson(ref string) *Person {
	for n := range c.People {
		if p := &c.People[n]; ref != "" && (strings.EqualFold(p.Email, ref) || p.Slack == ref || p.Name == ref) {
			return p
		}
	}
	return nil
}

// teamMembers returns the members and the head of t, without duplicates.
func (c Config) teamMembers(t Team) []incident.PersonID {
	var out []incident.PersonID
	for _, ref := range append(slices.Clone(t.Members), t.Head) {
		if p := c.findPerson(ref); p != nil && !slices.Contains(out, p.id()) {
			out = append(out, p.id())
		}
	}
	return out
}

// SlackGroups returns the configured Slack user groups, sorted, without
// duplicates.
func (c Config) SlackGroups() []string {
	var out []string
	for _, teams := range []map[string]Team{c.Departments, c.Teams} {
		for _, t := range teams {
			if t.SlackGroup != "" && !slices.Contains(out, t.SlackGroup) {
				out = append(out, t.SlackGroup)
			}
		}
	}
	slices.Sort(out)
	return out
}

// Directory returns the configured people and audiences, and the members of the Slack user
// groups. The argument maps the id of a group to the Slack ids of its members. A
// member who is not listed under people has only a Slack identity.
func (c Config) Directory(groups map[string][]string) incident.Directory {
	var d incident.Directory
	bySlack := map[string]incident.PersonID{}
	for _, p := range c.People {
		d.People = append(d.People, incident.Person{ID: p.id(), Name: p.Name, Identities: p.identities(), Responder: p.Responder != nil && *p.Responder})
		if p.Slack != "" {
			bySlack[p.Slack] = p.id()
		}
	}
	add := func(name string, t Team) {
		team := incident.Team{Name: incident.Department(name), Group: t.SlackGroup, GroupMembers: groups[t.SlackGroup]}
		if head := c.findPerson(t.Head); head != nil {
			team.Head = head.id()
		}
		people := c.teamMembers(t)
		for _, user := range groups[t.SlackGroup] {
			id, known := bySlack[user]
			if !known {
				unlisted := Person{Name: user, Slack: user}
				id = unlisted.id()
				bySlack[user] = id
				d.People = append(d.People, incident.Person{ID: id, Name: user, Identities: unlisted.identities()})
			}
			if !slices.Contains(people, id) {
				people = append(people, id)
			}
		}
		for _, p := range people {
			team.Members = append(team.Members, incident.Membership{Person: p})
		}
		for _, deputy := range t.Deputies {
			if p := c.findPerson(deputy.Person); p != nil {
				team.Members = append(team.Members, incident.Membership{Person: p.id(), Deputy: true, From: deputy.From.Time, Until: deputy.To.AddDate(0, 0, 1)})
			}
		}
		d.Teams = append(d.Teams, team)
	}
	for _, name := range incident.RequiredDepartments() {
		add(string(name), c.Departments[string(name)])
	}
	for _, name := range slices.Sorted(maps.Keys(c.Teams)) {
		add(name, c.Teams[name])
	}
	c.markResponders(&d)
	c.addUpdates(&d)
	return d
}

// markResponders marks the members of engineering and security as responders,
// except people whose entry sets responder.
func (c Config) markResponders(d *incident.Directory) {
	for n := range d.People {
		p := &d.People[n]
		n := slices.IndexFunc(c.People, func(q Person) bool { return q.id() == p.ID })
		if n >= 0 && c.People[n].Responder != nil {
			continue
		}
		p.Responder = d.Member(p.ID, incident.Engineering) || d.Member(p.ID, incident.Security)
	}
}
