package web

import (
	"crypto/rand"
	"net/url"
	"slices"
	"strings"

	"tocsin/bot/command"
	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// button is a button of an incident: it opens a form, or gives its command at once.
type button struct {
	Verb   incident.Verb
	Label  string
	Path   string
	Form   bool
	Args   []string
	Key    string
	Danger bool
	Values map[string]string // more values
}

// newButton returns the button of a command.
func newButton(c incident.Command) button {
	b := button{Verb: c.Verb, Label: labelOf(c.Verb), Path: doPath(c.For, c.Verb), Args: command.ButtonArgs(c), Danger: slices.Contains(dangerous, c.Verb)}
	if c.Verb == incident.VerbSign { // has a page of its own
		b.Path, b.Form = c.For.SignPath(c.Department), true
		return b
	}
	if _, ok := command.PageForm(c); ok && (command.AsksForm(c) || !hasForm(c)) {
		b.Form = true
		query := url.Values{"arg": b.Args}
		if c.Person != "" && len(b.Args) == 0 {
			query.Set("person", string(c.Person))
		}
		if c.Fact != nil {
			query.Set("fact", string(c.Fact.Name))
		}
		if encoded := query.Encode(); encoded != "" {
			b.Path += "?" + encoded
		}
		return b
	}
	b.Key = rand.Text()
	return b
}

func doPath(id incident.ID, verb incident.Verb) string {
	if id == 0 {
		return "/do/" + string(verb)
	}
	return incidentPath(id) + "/do/" + string(verb)
}

// labels are the labels of buttons whose form has a longer title, or that have no form.
var labels = map[incident.Verb]string{
	incident.VerbAcknowledge: "Acknowledge", incident.VerbContain: "Contain", incident.VerbResolve: "Resolve", incident.VerbDismiss: "Dismiss…",
	incident.VerbSign: "Read and sign", incident.VerbSubmit: "Submit for signing", incident.VerbEditRecord: "Edit the closing record", incident.VerbObject: "Object…",
	incident.VerbApproveUpdate: "Approve the update", incident.VerbHere: "I am here", incident.VerbRetry: "Try failed effects again", incident.VerbRestrict: "Open to the company",
	incident.VerbSetFact: "Set a fact", incident.VerbUpdate: "Post an update", incident.VerbNote: "Add a note", incident.VerbEvidence: "Add evidence",
	incident.VerbWaiveActions: "Waive action items…", incident.VerbExclude: "Exclude a person…", incident.VerbErase: "Erase texts…", incident.VerbReopen: "Reopen",
}

func labelOf(v incident.Verb) string {
	if label := labels[v]; label != "" {
		return label
	}
	if form, ok := command.PageForm(incident.Command{Verb: v}); ok {
		return form.Title
	}
	return text.Capital(strings.ReplaceAll(string(v), "_", " "))
}

// acts are the buttons of an incident.
type acts struct {
	First []button // the most likely ones
	Rest  []button
}

// sectionVerbs are the verbs whose buttons stand in a section of the page.
var sectionVerbs = map[incident.Verb]string{
	incident.VerbEditRecord: "record", incident.VerbSubmit: "record", incident.VerbSign: "record", incident.VerbObject: "record", incident.VerbWithdraw: "record", incident.VerbAmend: "record",
	incident.VerbRevise: "record", incident.VerbDelegate: "record", incident.VerbEndDelegation: "record", incident.VerbConsult: "record", incident.VerbAnswer: "record",
	incident.VerbGrant: "people", incident.VerbRevoke: "people", incident.VerbExclude: "people", incident.VerbReadmit: "people", incident.VerbEndorseAccess: "people",
	incident.VerbAssignRole: "people", incident.VerbHandover: "people", incident.VerbInvolve: "people", incident.VerbPageAgain: "people", incident.VerbRestrict: "people",
	incident.VerbScheduleReview: "review", incident.VerbConclude: "review", incident.VerbWaiveActions: "review", incident.VerbAddAction: "review", incident.VerbFinishAction: "review",
	incident.VerbEvidence: "evidence", incident.VerbSetFact: "facts", incident.VerbStartPlaybook: "playbooks", incident.VerbPromote: "alerts", incident.VerbSplit: "alerts",
	incident.VerbSetLegalHold: "documents", incident.VerbReleaseLegalHold: "documents", incident.VerbErase: "documents",
}

// actsOf sorts the verbs that a person can use now: the three most likely ones, those of a
// section, and the rest.
func actsOf(v incident.View) (acts, map[string][]button) {
	var out acts
	sections := map[string][]button{}
	for _, verb := range v.Possible {
		if len(command.Typed(verb)) == 0 || verb == incident.VerbReplacement || verb == incident.VerbOpen {
			continue
		}
		b := newButton(incident.Command{Verb: verb, For: v.Incident.ID})
		if verb == incident.VerbRestrict {
			if !v.Incident.Restricted {
				continue
			}
			b.Values = map[string]string{"public": "yes"}
		}
		switch section := sectionVerbs[verb]; {
		case len(out.First) < 3 && !b.Danger && verb != incident.VerbWithdraw:
			out.First = append(out.First, b)
			if section != "" {
				sections[section] = append(sections[section], b)
			}
		case section != "":
			sections[section] = append(sections[section], b)
		default:
			out.Rest = append(out.Rest, b)
		}
	}
	return out, sections
}
