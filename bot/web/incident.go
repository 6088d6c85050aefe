package web

import (
	"cmp"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/command"
	"tocsin/bot/incident"
	"tocsin/bot/text"
	"tocsin/templates"
)

// incidentData is the data of the page of an incident.
type incidentData struct {
	incident.View
	ID       incident.ID
	Inc      incident.Incident
	Notice   string
	Now      time.Time
	Acts     acts
	In       map[string][]button // the buttons of the sections
	Tasks    []taskLine
	Clocks   []clock
	Waits    []string // for others
	Entries  entries
	Tracks   template.HTML
	Alerts   []alertLine
	Sum      incident.AlertCount
	Runs     []runLine
	Facts    []command.FactLine
	Record   recordData
	Readers  []readerLine
	Requests []requestLine
}

type (
	// clock is a time that people watch.
	clock struct {
		Label string
		At    time.Time
		Late  bool
		Note  string
	}
	// readerLine is a person who may read the incident.
	readerLine struct {
		Name, Why string
		Until     time.Time
		Revoke    string // address of the form that ends the access
	}
	// requestLine is a request for access.
	requestLine struct {
		Name   string
		Until  time.Time
		Button *button
	}
	alertLine struct {
		incident.AlertRef
		Explain string
	}
	runLine struct {
		incident.Run
		Done  int
		Steps []stepLine
	}
	stepLine struct {
		incident.Step
		Who     string
		Due     time.Time
		Late    bool
		Buttons []button
	}
)

func (s *Server) incidentPage(w http.ResponseWriter, r *http.Request, v visitor) error {
	id, err := incident.ParseID(r.PathValue("id"))
	if err != nil {
		return err
	}
	view, err := s.Desk().Show(r.Context(), v.identity(), id, "opened the page of the incident")
	if err != nil {
		return err
	}
	data, err := s.incidentData(view)
	if err != nil {
		return err
	}
	data.Notice = s.notice(r.Context())
	data.Entries = entriesOf(view, r.URL.Query())
	title := view.Incident.Origin.Marked(id.String())
	return s.render(w, v, http.StatusOK, "incident", title, data)
}

// incidentData returns the data of the page but the timeline and the notice.
func (s *Server) incidentData(v incident.View) (incidentData, error) {
	inc, now := v.Incident, s.Now()
	d := incidentData{View: v, ID: inc.ID, Inc: inc, Now: now, Clocks: clocksOf(inc, now), Waits: waitsFor(v, now), Sum: incident.SumAlerts(v.AlertCounts), Facts: command.FactLines(inc.Facts), Record: recordOf(v)}
	d.Acts, d.In = actsOf(v)
	for _, t := range v.Tasks {
		d.Tasks = append(d.Tasks, newTaskLine(t, v.Directory))
	}
	for _, a := range v.Alerts {
		d.Alerts = append(d.Alerts, alertLine{a, fmt.Sprintf("%s/alerts/%d", incidentPath(inc.ID), a.Alert)})
	}
	can := func(verb incident.Verb) bool { return slices.Contains(v.Possible, verb) }
	for _, run := range inc.Runs {
		d.Runs = append(d.Runs, newRunLine(run, v, can, now))
	}
	for _, reader := range inc.Readers(v.Directory, now) {
		line := readerLine{Name: v.Directory.Name(reader.Person), Why: templates.Text(reader.Why, v.Directory), Until: reader.Until}
		if can(incident.VerbRevoke) && slices.Contains(inc.Access, reader.Person) {
			line.Revoke = newButton(incident.Command{Verb: incident.VerbRevoke, For: inc.ID, Person: reader.Person}).Path
		}
		d.Readers = append(d.Readers, line)
	}
	for _, request := range inc.AccessRequests {
		if !now.Before(request.Until) {
			continue
		}
		line := requestLine{Name: v.Directory.Name(request.By), Until: request.Until}
		if can(incident.VerbEndorseAccess) && request.By != v.Reader {
			b := newButton(incident.Command{Verb: incident.VerbEndorseAccess, For: inc.ID, Person: request.By})
			line.Button = &b
		}
		d.Requests = append(d.Requests, line)
	}
	var err error
	d.Tracks, err = templates.Tracks(inc, v.Timeline, v.Directory)
	return d, err
}

// newRunLine returns a playbook with the buttons of its steps.
func newRunLine(run incident.Run, v incident.View, can func(incident.Verb) bool, now time.Time) runLine {
	line := runLine{Run: run, Done: run.FinishedSteps()}
	for _, s := range run.Plan {
		step := stepLine{Step: s, Who: string(s.Role)}
		if holder := v.Incident.Roles[s.Role]; holder != "" {
			step.Who = v.Directory.Name(holder)
		}
		if s.Action != "" {
			step.Who = "Tocsin"
		}
		if s.Deadline > 0 && !s.Started.IsZero() && !s.Finished() {
			step.Due = s.Started.Add(s.Deadline)
			step.Late = now.After(step.Due)
		}
		for _, verb := range []incident.Verb{incident.VerbStepDone, incident.VerbStepSkip} {
			if !s.Finished() && s.Action == "" && can(verb) {
				step.Buttons = append(step.Buttons, newButton(incident.Command{Verb: verb, For: v.Incident.ID, Step: run.Playbook + "/" + s.ID}))
			}
		}
		line.Steps = append(line.Steps, step)
	}
	return line
}

// clocksOf returns the times that run.
func clocksOf(inc incident.Incident, now time.Time) []clock {
	clocks := []clock{{Label: "Opened", At: inc.OpenedAt}}
	add := func(label string, at time.Time, watched bool) {
		if !at.IsZero() {
			clocks = append(clocks, clock{Label: label, At: at, Late: watched && now.After(at)})
		}
	}
	add("Contained", inc.ContainedAt, false)
	add("Resolved", inc.ResolvedAt, false)
	if c, ok := inc.ReportingClock(); ok {
		switch {
		case c.Processor:
			clocks = append(clocks, clock{Label: "Notify the controllers", Note: "without delay"})
		case c.Due.IsZero():
			clocks = append(clocks, clock{Label: "Report to the authority", Note: "starts when legal sets the fact aware"})
		default:
			add("Report to the authority", c.Due, true)
		}
	}
	if inc.Status.Responding() {
		add("Next update", inc.UpdateDue, true)
	}
	if p := inc.SeverityProposal; p != nil {
		add("Severity becomes "+string(p.Severity), p.Until, true)
	}
	if inc.Review.Concluded.IsZero() {
		add("Review meeting", inc.Review.At, true)
	} else {
		add("Review concluded", inc.Review.Concluded, false)
	}
	return clocks
}

// waitsFor returns what the incident waits for, and who can do it.
func waitsFor(v incident.View, now time.Time) (out []string) {
	inc, dir := v.Incident, v.Directory
	names := func(people []incident.PersonID) string {
		var all []string
		for _, p := range people {
			all = append(all, dir.Name(p))
		}
		return cmp.Or(strings.Join(all, ", "), "a responder")
	}
	commander := names(slices.DeleteFunc([]incident.PersonID{inc.Commander}, func(p incident.PersonID) bool { return p == "" }))
	if inc.NeedsPage() {
		out = append(out, "Nobody acknowledged the page. Tocsin pages escalation step "+strconv.Itoa(inc.Paging.EscalationStep+1)+".")
	}
	if p := inc.Dismissal; p != nil && p.Second == "" {
		out = append(out, "A second person must confirm the dismissal that "+dir.Name(p.By)+" proposed.")
	}
	allows := func(verb incident.Verb) bool { return slices.Contains(incident.AllowedVerbs(inc.Status), verb) }
	switch {
	case allows(incident.VerbSign) && inc.Submission != nil:
		unsigned, objections, unanswered := inc.Missing()
		for _, team := range unsigned {
			out = append(out, text.Capital(string(team))+" has not signed. These people can: "+names(inc.Representatives(dir, team, now))+".")
		}
		for _, o := range objections {
			out = append(out, "Objection "+o.ID+" of "+string(o.Department)+" is open. The record must be amended, or "+dir.Name(o.By)+" withdraws it.")
		}
		for _, c := range unanswered {
			out = append(out, "The team "+string(c.Team)+" has not answered.")
		}
	case allows(incident.VerbSubmit):
		out = append(out, "The closing record must be written and submitted for signing, by "+commander+" or another participant.")
	case allows(incident.VerbConclude) && inc.Review.Concluded.IsZero():
		out = append(out, "The review meeting must be held and concluded.")
	case allows(incident.VerbConclude):
		out = append(out, "The review is concluded. The incident closes with action items for detection and prevention, or with a waiver that security endorses.")
	}
	for _, w := range v.Waiting {
		line := incident.SystemName(w.System) + ": " + text.Line(w.Cause)
		if w.Fix != "" {
			line += " " + text.Line(w.Fix)
		}
		out = append(out, line)
	}
	return out
}
