package main

import (
	"fmt"
	"io"
	"slices"
	"time"

	"tocsin/bot/command"
	"tocsin/bot/control"
	"tocsin/bot/incident"
	"tocsin/templates"
)

// showOverview prints the tasks and the incidents of the person.
func showOverview(w io.Writer, v incident.Overview, names map[incident.PersonID]string) error {
	if len(v.Tasks) == 0 {
		if err := writeLine(w, "Nothing waits for you."); err != nil {
			return err
		}
	} else {
		t := newTable(w)
		t.row("INCIDENT", "DUE (UTC)", "WHAT WAITS FOR YOU", "COMMAND")
		for _, task := range v.Tasks {
			due := "-"
			if !task.Due.IsZero() {
				due = task.Due.UTC().Format("2006-01-02 15:04")
			}
			if task.Late {
				due += " LATE"
			}
			t.row(task.Incident, due, templates.Text(task.Sentence(), directory(names)), command.AboutIncident(task.Typed, task.Incident))
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	for _, part := range []struct {
		label string
		list  []incident.Summary
	}{{"Your incidents:", v.Mine}, {"Other open incidents:", v.Others}, {"Ended lately:", v.Ended}} {
		if len(part.list) == 0 {
			continue
		}
		if err := writeLine(w, "\n%s", part.label); err != nil {
			return err
		}
		if err := showList(w, part.list, names); err != nil {
			return err
		}
	}
	if v.Cut {
		return writeLine(w, "\nOlder incidents were not searched. List them: tocsin incident list all")
	}
	return nil
}

// showActions prints action items of several incidents.
func showActions(w io.Writer, items []incident.ActionItem, names map[incident.PersonID]string) error {
	if len(items) == 0 {
		return writeLine(w, "There are no such action items.")
	}
	t := newTable(w)
	t.row("INCIDENT", "ACTION ITEM", "COMMAND")
	for _, a := range items {
		finish := "-"
		if a.MayFinish {
			finish = command.AboutIncident("action done "+a.ID, a.Incident)
		}
		t.row(a.Incident, templates.ActionLine(a.Action, directory(names), time.Now()), finish)
	}
	return t.flush()
}

// showPlaybooks prints the running playbooks of an incident and the other ones.
func showPlaybooks(w io.Writer, p control.Playbooks) error {
	t := newTable(w)
	t.row("PLAYBOOK", "STATE", "TITLE")
	for _, r := range p.Running {
		t.row(r.Playbook, fmt.Sprintf("%d of %d steps", r.FinishedSteps(), len(r.Plan)), r.Title)
	}
	for _, a := range p.Available {
		if !slices.ContainsFunc(p.Running, func(r incident.Run) bool { return r.Playbook == a.Name }) {
			t.row(a.Name, "-", a.Title)
		}
	}
	return t.flush()
}
