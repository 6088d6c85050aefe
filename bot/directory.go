package bot

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"

	"tocsin/bot/incident"
)

// identities lists a person's names at the doors.
func (p Person) identities() []incident.Identity {
	var out []incident.Identity
	for door, id := range map[incident.Provider]string{incident.ProviderSlack: p.Slack, incident.ProviderPagerDuty: p.PagerDuty,
		incident.ProviderMail: strings.ToLower(p.Email), incident.ProviderLocal: p.Local, incident.ProviderOIDC: p.OIDC} {
		if id != "" {
			out = append(out, incident.Identity{Provider: door, ID: id})
		}
	}
	slices.SortFunc(out, func(a, b incident.Identity) int { return strings.Compare(string(a.Provider), string(b.Provider)) })
	return out
}

// id is opaque and stays the same as long as the address, or without one the
// Slack id, does. It stands in the clear in the database, so it tells nothing.
func (p Person) id() incident.PersonID {
	key := strings.ToLower(p.Email)
	if key == "" {
		key = p.Slack
	}
	sum := sha256.Sum256([]byte("tocsin person " + key))
	return incident.PersonID("p-" + hex.EncodeToString(sum[:6]))
}

// find returns the person somebody is named by: address, Slack id or name.
func (c Config) find(ref string) *Person {
	for n := range c.People {
		if p := &c.People[n]; ref != "" && (strings.EqualFold(p.Email, ref) || p.Slack == ref || p.Name == ref) {
			return p
		}
	}
	return nil
}

// members returns the distinct people a team names.
func (c Config) members(t Team) []incident.PersonID {
	var out []incident.PersonID
	for _, ref := range append(slices.Clone(t.Members), t.Head) {
		if p := c.find(ref); p != nil && !slices.Contains(out, p.id()) {
			out = append(out, p.id())
		}
	}
	return out
}

// groups lists the Slack user groups the configuration names.
func (c Config) groups() []string {
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

// Directory is everybody the bot knows: the people of the configuration, and
// the members of the Slack user groups it names. A group's member who is not
// under people is known by the Slack id alone.
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
		team := incident.Team{Name: incident.Department(name), Group: t.SlackGroup}
		if head := c.find(t.Head); head != nil {
			team.Head = head.id()
		}
		people := c.members(t)
		for _, user := range groups[t.SlackGroup] {
			id, known := bySlack[user]
			if !known {
				stranger := Person{Name: user, Slack: user}
				id = stranger.id()
				bySlack[user] = id
				d.People = append(d.People, incident.Person{ID: id, Name: user, Identities: stranger.identities()})
			}
			if !slices.Contains(people, id) {
				people = append(people, id)
			}
		}
		for _, p := range people {
			team.Members = append(team.Members, incident.Membership{Person: p})
		}
		for _, deputy := range t.Deputies {
			if p := c.find(deputy.Person); p != nil {
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
	return d
}

// markResponders makes responders of engineering and security, except for those whose
// entry says otherwise.
func (c Config) markResponders(d *incident.Directory) {
	for n := range d.People {
		p := &d.People[n]
		at := slices.IndexFunc(c.People, func(q Person) bool { return q.id() == p.ID })
		if at >= 0 && c.People[at].Responder != nil {
			continue
		}
		p.Responder = d.Member(p.ID, incident.Engineering) || d.Member(p.ID, incident.Security)
	}
}
