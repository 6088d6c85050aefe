package incident

import (
	"maps"
	"slices"
	"strings"
)

// pageWay returns the medium of a page to a person, for a sentence.
func (p Provider) pageWay() string {
	switch p {
	case ProviderPagerDuty:
		return "through PagerDuty"
	case ProviderMail:
		return "by mail"
	}
	return "in a direct message"
}

// WaysTo returns the ways to page a person, the best first.
func (p Policy) WaysTo(person Person) []Provider {
	return slices.DeleteFunc(slices.Clone(p.PersonalPages), func(medium Provider) bool { return person.IDAt(medium) == "" })
}

// pagePeople pages a person or the representatives of a team, on call or not. They get
// access with the page.
func (d *decider) pagePeople() error {
	var people []PersonID
	if d.cmd.Department != "" {
		if err := d.requireTeam(); err != nil {
			return err
		}
		if people = d.inc.Representatives(d.env.Directory, d.cmd.Department, d.env.Now); len(people) == 0 {
			return Conflict("%s has no members who can be paged. Name a person", d.cmd.Department)
		}
	}
	if p := d.cmd.Person; p != "" && !slices.Contains(people, p) {
		people = append(people, p)
	}
	if err := d.requireText("text", d.cmd.Text, "a page to a person needs a reason. Type page PERSON because REASON"); err != nil {
		return err
	}
	if !d.inc.Origin.Pages() {
		return Conflict("%s is %s, which pages no one. To exercise paging, replay its deliveries with --drill", d.inc.ID, d.inc.Origin.described())
	}
	byMedium, unreachable := map[Provider][]PersonID{}, []string{}
	for _, p := range people {
		if err := d.requirePerson("person", p); err != nil {
			return err
		}
		person, _ := d.env.Directory.Person(p)
		if ways := d.env.Policy.WaysTo(person); len(ways) > 0 {
			byMedium[ways[0]] = append(byMedium[ways[0]], p)
		} else {
			unreachable = append(unreachable, person.Name)
		}
	}
	if len(byMedium) == 0 {
		return Conflict("%s cannot be paged: no PagerDuty ID, mail address or chat account is known. Add one under people", strings.Join(unreachable, ", "))
	}
	for _, medium := range slices.Sorted(maps.Keys(byMedium)) {
		for _, p := range byMedium[medium] {
			if !d.inc.MayRead(d.env.Directory, p, d.env.Now) {
				d.emit(EventAccessGranted, fields{"person": string(p)}, texts{"reason": d.cmd.Text})
			}
		}
		slices.Sort(byMedium[medium])
		d.emit(EventPersonalPageStarted, fields{"people": joinList(byMedium[medium]), "medium": string(medium)}, texts{"reason": d.cmd.Text})
	}
	return nil
}

// personPaged records the medium in which a person was paged.
func (d *decider) personPaged() error {
	d.emit(EventPersonPaged, fields{"person": string(d.cmd.Person), "medium": d.cmd.Item}, nil)
	return nil
}
