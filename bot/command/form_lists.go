package command

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"tocsin/bot/incident"
)

// The functions below fill the menus of forms from the incident and the directory.

// field returns the field of a form with a name, or nil.
func (f *Form) field(name string) *Field {
	if n := slices.IndexFunc(f.Fields, func(field Field) bool { return field.Name == name }); n >= 0 {
		return &f.Fields[n]
	}
	return nil
}

// list adds an option with a title to a menu.
func (f *Field) list(option, title string) {
	f.offer(option)
	f.Titles = maps.Clone(f.Titles)
	if f.Titles == nil {
		f.Titles = map[string]string{}
	}
	f.Titles[option] = title
}

// inOrder runs several functions that fill a form.
func inOrder(fill ...func(*Form, FormContext)) func(*Form, FormContext) {
	return func(f *Form, c FormContext) {
		for _, step := range fill {
			step(f, c)
		}
	}
}

// explainIfEmpty shows a text instead of the fields if a menu has nothing to offer.
func explainIfEmpty(name, why string) func(*Form, FormContext) {
	return func(f *Form, c FormContext) {
		if menu := f.field(name); menu != nil && len(menu.Options) == 0 && menu.Value == "" {
			f.Document, f.Fields = []Paragraph{{KindPlain, fmt.Sprintf(why, c.Incident.ID)}}, nil
		}
	}
}

// selectOnly selects the only option of a menu.
func selectOnly(name string) func(*Form, FormContext) {
	return func(f *Form, _ FormContext) {
		if menu := f.field(name); menu != nil && menu.Value == "" && len(menu.Options) == 1 {
			menu.Value = menu.Options[0]
		}
	}
}

// listRoles offers the roles of the incident and shows who has the given one.
func listRoles(f *Form, c FormContext) {
	roles := f.field(roleArg.Name)
	for _, r := range c.Incident.RoleNames() {
		roles.offer(r)
	}
	if person := f.field(personArg.Name); person.Value == "" {
		person.Value = string(c.Incident.Roles[c.Given.Role])
	}
}

// listTeams offers the departments that sign and the teams of the directory.
func listTeams(f *Form, c FormContext) {
	menu := f.field(departmentArg.Name)
	for _, d := range incident.RequiredDepartments() {
		menu.offer(string(d))
	}
	for _, t := range c.Directory.Teams {
		menu.offer(string(t.Name))
	}
}

// listConsulted offers the teams that were consulted.
func listConsulted(f *Form, c FormContext) {
	menu := f.field(departmentArg.Name)
	for _, asked := range c.Incident.Consultations {
		menu.offer(string(asked.Team))
	}
}

// listDelegations offers the departments with a delegation. If there is only one, it
// also selects the person.
func listDelegations(f *Form, c FormContext) {
	menu, person := f.field(departmentArg.Name), f.field(personArg.Name)
	for _, g := range c.Incident.Delegations {
		menu.offer(string(g.Department))
	}
	if len(c.Incident.Delegations) == 1 && person.Value == "" {
		person.Value = string(c.Incident.Delegations[0].To)
	}
}

// listSteps offers the steps that people can still finish, by their titles. The steps
// that started come first.
func listSteps(f *Form, c FormContext) {
	menu := f.field(stepArg.Name)
	for _, started := range []bool{true, false} {
		for _, run := range c.Incident.Runs {
			for _, s := range run.Plan {
				if ref := run.Playbook + "/" + s.ID; s.Action == "" && !s.Finished() && s.Started.IsZero() != started {
					menu.list(ref, s.Title)
				}
			}
		}
	}
	run, step := c.Incident.Step(c.Given.Step)
	if step != nil {
		menu.Value = run.Playbook + "/" + step.ID
		menu.list(menu.Value, step.Title)
	}
}

// listWithdrawable offers the open objections and the signatures.
func listWithdrawable(f *Form, c FormContext) {
	menu := f.field("item")
	for _, o := range c.Incident.Objections {
		if o.Open() {
			menu.list(o.ID, o.ID+" of "+string(o.Department)+": "+o.Reason)
		}
	}
	for _, s := range c.Incident.Signatures {
		menu.list(string(s.Department), "The signature of "+string(s.Department)+" by "+c.Directory.Name(s.By))
	}
}

// listOpenActions offers the action items that are not done.
func listOpenActions(f *Form, c FormContext) {
	menu := f.field("item")
	for _, a := range c.Incident.OpenActions() {
		menu.list(a.ID, a.ID+" "+a.Title)
	}
}

// listAlerts offers the alerts of the incident.
func listAlerts(f *Form, c FormContext) {
	menu := f.field("alerts")
	for _, a := range c.Incident.Alerts {
		menu.list("A"+strconv.FormatInt(a.Alert, 10), fmt.Sprintf("A%d %s", a.Alert, a.Title))
	}
}

// listSuppressed offers the suppressed alerts.
func listSuppressed(f *Form, c FormContext) {
	menu := f.field("alerts")
	for _, a := range c.Alerts {
		menu.list("A"+strconv.FormatInt(a.ID, 10), fmt.Sprintf("A%d %s", a.ID, a.Title))
	}
}

// listOthers offers the other incidents in the menu of an argument.
func listOthers(name string) func(*Form, FormContext) {
	return func(f *Form, c FormContext) {
		menu := f.field(name)
		for _, s := range c.Others {
			if s.ID != c.Given.For || c.Given.Verb == incident.VerbPromote {
				menu.list(s.ID.String(), s.ID.String()+" "+s.Title)
			}
		}
	}
}

// listTexts offers the texts of the timeline, the newest first.
func listTexts(f *Form, c FormContext) {
	menu := f.field("erase")
	for n := len(c.Timeline) - 1; n >= 0; n-- {
		e := c.Timeline[n]
		for _, name := range slices.Sorted(maps.Keys(e.Texts)) {
			if e.Texts[name].Value != "" {
				ref := strconv.Itoa(e.Seq) + "/" + name
				menu.list(ref, ref+" "+strings.Join(strings.Fields(e.Texts[name].Value), " "))
			}
		}
	}
}
