package web

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/text"
	"tocsin/templates"
)

// incidentRoutes registers the pages of the incidents.
func (s *Server) incidentRoutes() {
	s.private("GET /incidents", s.incidentsPage)
	s.private("GET /incidents/{id}", s.incidentPage)
	s.private("GET /incidents/{id}/live", s.live)
	s.private("GET /incidents/{id}/alerts/{alert}", s.alertPage)
	s.private("GET /incidents/{id}/postmortem/{revision}", s.postmortemPage)
}

// listView is a tab of the list of incidents.
type listView struct {
	Name, Title string
	statuses    []incident.Status
	mine        bool
}

// listViews are the tabs. The first one is the default.
var listViews = []listView{
	{Name: "live", Title: "Live", statuses: unended()},
	{Name: "waiting", Title: "Waiting for me"},
	{Name: "mine", Title: "Mine", mine: true},
	{Name: "in_review", Title: "In review", statuses: []incident.Status{incident.InReview}},
	{Name: "approved", Title: "Approved", statuses: []incident.Status{incident.Approved}},
	{Name: "closed", Title: "Closed", statuses: []incident.Status{incident.Closed}},
	{Name: "dismissed", Title: "Dismissed", statuses: []incident.Status{incident.Dismissed}},
	{Name: "all", Title: "All"},
}

func unended() (out []incident.Status) {
	for _, s := range incident.Statuses() {
		if !s.Ended() {
			out = append(out, s)
		}
	}
	return out
}

// listData is the data of the list of incidents.
type listData struct {
	Views    []tab
	View     listView
	Notice   string
	Found    incident.Found
	Tasks    []taskLine
	Cut      bool
	Query    url.Values
	Filtered bool
	Choices  []choice
	Older    string // address of the next page, or ""
	Now      time.Time
}

// tab is a link that looks like a tab.
type tab struct {
	Title, Path string
	Current     bool
}

// choice is a menu of the filter.
type choice struct {
	Name, Label string
	Options     []option
}

// taskLine is work that waits for the person.
type taskLine struct {
	incident.Task
	Text, Title string
	Path        string
	Label       string
	Args        []string
	Form        bool // opens a form
	Key         string
}

func (s *Server) incidentsPage(w http.ResponseWriter, r *http.Request, v visitor) error {
	query := r.URL.Query()
	view := listViews[0]
	if n := slices.IndexFunc(listViews, func(l listView) bool { return l.Name == query.Get("view") }); n >= 0 {
		view = listViews[n]
	}
	data := listData{View: view, Notice: s.notice(r.Context()), Query: query, Now: s.Now()}
	for _, l := range listViews {
		data.Views = append(data.Views, tab{l.Title, "/incidents?view=" + l.Name, l.Name == view.Name})
	}
	if view.Name == "waiting" {
		if err := s.listTasks(r, v, &data); err != nil {
			return err
		}
		return s.render(w, v, http.StatusOK, "incidents", "Incidents", data)
	}
	q, err := searchOf(query, view, v)
	if err != nil {
		return err
	}
	if data.Found, err = s.Desk().Search(r.Context(), v.identity(), q); err != nil {
		return err
	}
	for _, name := range filterNames {
		data.Filtered = data.Filtered || query.Get(name) != ""
	}
	data.choices()
	if data.Found.More {
		last := data.Found.Incidents[len(data.Found.Incidents)-1].Position()
		next := url.Values{}
		for name, values := range query {
			if name == "view" || slices.Contains(filterNames, name) {
				next[name] = values
			}
		}
		next.Set("before", fmt.Sprintf("%d-%d", last.At.UnixMicro(), last.ID))
		data.Older = "/incidents?" + next.Encode()
	}
	return s.render(w, v, http.StatusOK, "incidents", "Incidents", data)
}

// filterNames are the parameters of the filter.
var filterNames = []string{"q", "severity", "source", "playbook", "department", "from", "until"}

// searchOf returns the search of an address.
func searchOf(query url.Values, view listView, v visitor) (incident.Search, error) {
	q := incident.Search{Statuses: view.statuses, Source: query.Get("source"), Playbook: query.Get("playbook"), Department: incident.Department(query.Get("department")),
		Words: strings.Fields(text.Truncate(query.Get("q"), 200))}
	if view.mine {
		q.Person = v.ID
	}
	if severity := query.Get("severity"); severity != "" {
		q.Severities = []incident.Severity{incident.Severity(severity)}
	}
	for name, at := range map[string]*time.Time{"from": &q.From, "until": &q.Until} {
		day := query.Get(name)
		if day == "" {
			continue
		}
		var err error
		if *at, err = time.Parse(time.DateOnly, day); err != nil {
			return q, incident.Invalid(name, "%q is not a day. Use a date such as 2026-11-20", text.Truncate(day, 20))
		}
	}
	if !q.Until.IsZero() {
		q.Until = q.Until.AddDate(0, 0, 1) // the whole day
	}
	if before := query.Get("before"); before != "" {
		at, id, _ := strings.Cut(before, "-")
		micros, err1 := strconv.ParseInt(at, 10, 64)
		number, err2 := strconv.ParseInt(id, 10, 64)
		if err1 != nil || err2 != nil {
			return q, incident.Invalid("before", "the address of this page of the list is malformed. Start at the first page")
		}
		q.Before = incident.Position{At: time.UnixMicro(micros), ID: incident.ID(number)}
	}
	return q, nil
}

// choices adds the menus of the filter.
func (d *listData) choices() {
	menu := func(name, label string, values []string) {
		c := choice{Name: name, Label: label}
		for _, value := range values {
			c.Options = append(c.Options, option{value, value, d.Query.Get(name) == value})
		}
		if chosen := d.Query.Get(name); chosen != "" && !slices.Contains(values, chosen) {
			c.Options = append(c.Options, option{chosen, chosen, true})
		}
		if len(c.Options) > 0 {
			d.Choices = append(d.Choices, c)
		}
	}
	var severities, departments []string
	for _, s := range incident.Severities() {
		severities = append(severities, string(s))
	}
	for _, t := range d.Found.Directory.Teams {
		departments = append(departments, string(t.Name))
	}
	menu("severity", "Severity", severities)
	menu("source", "Source of an alert", d.Found.Sources)
	menu("playbook", "Playbook", d.Found.Playbooks)
	menu("department", "Department", departments)
}

// listTasks reads the work that waits for the person.
func (s *Server) listTasks(r *http.Request, v visitor, data *listData) error {
	overview, err := s.Desk().Overview(r.Context(), v.identity())
	if err != nil {
		return err
	}
	titles := map[incident.ID]string{}
	for _, list := range [][]incident.Summary{overview.Mine, overview.Others, overview.Ended} {
		for _, i := range list {
			titles[i.ID] = i.Title
		}
	}
	data.Cut = overview.Cut
	for _, t := range overview.Tasks {
		line := newTaskLine(t, overview.Directory)
		line.Title = titles[t.Incident]
		data.Tasks = append(data.Tasks, line)
	}
	return nil
}

// newTaskLine returns a task with its button.
func newTaskLine(t incident.Task, dir incident.Directory) taskLine {
	b := newButton(t.Command)
	return taskLine{Task: t, Text: text.Capital(templates.Text(t.Sentence(), dir)), Path: b.Path, Label: b.Label, Args: b.Args, Form: b.Form, Key: b.Key}
}
