package chat

import (
	"fmt"
	"slices"
	"time"

	"tocsin/bot/command"
	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// The limits of lists in one message.
const (
	maxListedTasks   = 10
	maxListedMine    = 10
	maxMenuButtons   = 6
	maxOthersListed  = 10
	maxOverviewShows = 5
)

// buttonLabels are the labels of verbs in the menu. Verbs without a label are listed as
// words.
var buttonLabels = map[incident.Verb]string{
	incident.VerbAcknowledge: "Acknowledge", incident.VerbContain: "Contained", incident.VerbResolve: "Resolved", incident.VerbSubmit: "Submit the record",
	incident.VerbSign: "Read and sign", incident.VerbAnswer: "Answer", incident.VerbConclude: "Conclude the review", incident.VerbScheduleReview: "Schedule the review",
	incident.VerbSetSeverity: "Severity", incident.VerbUpdate: "Update", incident.VerbEditRecord: "Closing record", incident.VerbNote: "Note",
	incident.VerbSetFact: "Fact", incident.VerbAddAction: "Action item", incident.VerbHandover: "Hand over", incident.VerbPageAgain: "Page again",
	incident.VerbReopen: "Reopen", incident.VerbDismiss: "False alarm", incident.VerbAmend: "Amend", incident.VerbRevise: "Revise", incident.VerbStepDone: "Complete the step",
	incident.VerbFinishAction: "Done", incident.VerbAssignRole: "Role", incident.VerbEvidence: "Evidence", incident.VerbObject: "Object", incident.VerbEndorseAccess: "Endorse",
}

// needsArgument are verbs whose form needs a step, a department or an item.
var needsArgument = []incident.Verb{incident.VerbStepDone, incident.VerbStepSkip, incident.VerbAnswer, incident.VerbFinishAction}

// ask returns a button with a typed question or form.
func ask(label, typed string) Action { return Action{Label: label, Ask: typed} }

// reportButton returns the button that opens the form for a report.
func reportButton() Action {
	a := ask("Report an incident", "open")
	a.Style = StyleDanger
	return a
}

// Menu returns the possible commands of a person in an incident, the most useful first.
func Menu(v incident.View, now time.Time) Message {
	m := newBuilder(briefOf(v, now))
	m.line("%s is %s at %s. %s.", Strong{m.inc.ID}, Strong{humanize(m.inc.Status)}, Strong{string(m.inc.Severity)}, m.commanderLine())
	m.tasks(v.Tasks, false)
	var row []Action
	var words []any
	listed := map[string]bool{}
	for _, t := range v.Tasks[:min(len(v.Tasks), maxListedTasks)] {
		listed[t.Command.Verb.CommandName()] = true // has a button already
	}
	for _, verb := range v.Possible {
		label, word := buttonLabels[verb], verb.CommandName()
		_, form := command.FormOf(verb)
		plain := verb == incident.VerbAcknowledge || verb == incident.VerbPageAgain
		switch {
		case listed[word]:
		case label != "" && len(row) < maxMenuButtons && (form || plain) && !slices.Contains(needsArgument, verb):
			a := m.action(label, incident.Command{Verb: verb})
			if len(row) == 0 {
				a.Style = StylePrimary
			}
			row, listed[word] = append(row, a), true
		default:
			listed[word] = true
			words = append(words, Code(word))
		}
	}
	if len(row) > 0 {
		m.heading("You can do this now:")
		m.buttons(row...)
	}
	if len(words) > 0 {
		m.note("Also: %s.", Joined{" ", words})
	}
	id := m.inc.ID.String()
	m.buttons(ask("Timeline", "timeline "+id), ask("Status", "status "+id), ask("My work", "my"), ask("All commands", "help"))
	return m.message()
}

// tasks lists tasks with their buttons. If named is set, each names its incident.
func (m *builder) tasks(tasks []incident.Task, named bool) {
	if len(tasks) == 0 {
		return
	}
	m.heading("Waiting for you:")
	for _, t := range tasks[:min(len(tasks), maxListedTasks)] {
		m.task(t, named)
	}
	if more := len(tasks) - maxListedTasks; more > 0 {
		m.note("%d more. Finish some of these first.", more)
	}
}

func (m *builder) task(t incident.Task, named bool) {
	what := m.resolve(t.Sentence())
	if named {
		what = textf("%s: %s", Strong{t.Incident}, what)
	}
	icon := Icon("small_blue_diamond")
	switch {
	case t.Late:
		icon, what = "alarm_clock", textf("%s, %s since %s", what, Strong{"late"}, dueOf(t))
	case !t.Due.IsZero():
		what = textf("%s, by %s", what, dueOf(t))
	}
	m.iconLine(icon, "%s", what)
	label := buttonLabels[t.Command.Verb]
	_, form := command.FormOf(t.Command.Verb)
	if label != "" && (form || t.Command.Verb == incident.VerbAcknowledge || t.Command.Verb == incident.VerbEndorseAccess) {
		m.buttons(Action{Label: label, Command: t.Command})
		return
	}
	m.note("type %s", Typed(command.AboutIncident(t.Typed, t.Incident)))
}

// dueOf returns the date of a task as an argument: action items have a day.
func dueOf(t incident.Task) any {
	if t.Command.Verb == incident.VerbFinishAction {
		return incident.Day(t.Due)
	}
	return t.Due
}

// Overview returns the tasks and the incidents of a person. If report is set, it begins
// with the button for a report.
func Overview(v incident.Overview, report bool) Message {
	m := &builder{Message: Message{Directory: v.Directory}, brief: incident.Brief{Directory: v.Directory}}
	if report {
		m.line("Report a security problem here, at any hour. You can also type %s.", Typed("open WHAT HAPPENED"))
		m.buttons(reportButton(), ask("All commands", "help"))
	}
	m.tasks(v.Tasks, true)
	if len(v.Tasks) == 0 {
		m.line("Nothing waits for you.")
	}
	m.incidentList("Your incidents:", v.Mine, maxListedMine)
	m.incidentList("Other open incidents:", v.Others, maxOthersListed)
	m.incidentList("Ended lately:", v.Ended, maxListedMine)
	if v.Cut {
		m.note("Older incidents were not searched. Type %s to list them.", Typed("list all"))
	}
	return m.Message
}

// incidentList lists incidents with buttons that show the first ones.
func (m *builder) incidentList(label string, list []incident.Summary, limit int) {
	if len(list) == 0 {
		return
	}
	m.heading(label)
	var lines []string
	var shows []Action
	for n, s := range list[:min(len(list), limit)] {
		lines = append(lines, text.Truncate(SummaryLine(s), 200))
		if n < maxOverviewShows {
			shows = append(shows, ask("Show "+s.ID.String(), "status "+s.ID.String()))
		}
	}
	if more := len(list) - limit; more > 0 {
		lines = append(lines, fmt.Sprintf("%d more", more))
	}
	m.bullets(lines)
	m.buttons(shows...)
}

// Welcome returns the menu of a person whom the configuration does not know.
func Welcome() Message {
	m := &builder{}
	m.line("Report a security problem here, at any hour. You can also type %s.", Typed("open WHAT HAPPENED"))
	m.buttons(reportButton())
	m.note("Your account is not linked to a person in Tocsin, so you cannot use other commands. Ask an administrator to add you under people.")
	return m.Message
}

// briefOf returns the parts of a view that messages show.
func briefOf(v incident.View, now time.Time) incident.Brief {
	return incident.Brief{Incident: v.Incident, Directory: v.Directory, Withheld: v.Withheld, Waiting: v.Waiting, AlertCounts: v.AlertCounts, Page: v.Page, Now: now}
}
