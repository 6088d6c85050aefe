package chat

import (
	"slices"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// The lines of the card after the response.

// affectedLine names the affected parties and the capacity of the company.
func (m *builder) affectedLine() Text {
	if len(m.inc.Facts.Affected) == 0 {
		return m.dataLine()
	}
	var capacities List
	for _, c := range []incident.Capacity{incident.Controller, incident.Processor} {
		if slices.ContainsFunc(m.inc.Facts.Affected, func(a incident.Affected) bool { return a.Capacity == c }) {
			capacities = append(capacities, string(c))
		}
	}
	return textf("%s; we are %s", m.affected(), capacities)
}

// notifyLine names the parties to notify, and the deadline. A processor notifies its
// controller without delay. The deadline of the law is for the controller.
func (m *builder) notifyLine() Text {
	var untold []incident.Affected
	for _, a := range m.inc.Facts.Affected {
		if a.NotifiedAt.IsZero() {
			untold = append(untold, a)
		}
	}
	who := any("legal")
	if p := m.lawyerID(); p != "" {
		who = m.name(p)
	}
	regime, at := m.legalDeadline()
	switch {
	case len(m.inc.Facts.Affected) == 0:
		return Text{}
	case len(untold) == 0:
		return textf("Notified: %s", parties(m.inc.Facts.Affected))
	case untold[0].Capacity == incident.Controller && regime != "" && !m.brief.Now.After(at):
		return textf("Tell the authority and %s by %s (%s)", parties(untold), m.clock(at), who)
	}
	return textf("Tell %s without delay (%s)", parties(untold), who)
}

// recordLine names the person who writes the closing record, and counts the parts that a
// person wrote or confirmed.
func (m *builder) recordLine() Text {
	line := textf("Closing record: %s, %d of %d parts confirmed", m.owner(incident.Scribe), m.inc.Record.ConfirmedParts(), len(incident.RecordParts()))
	if len(m.brief.Editors) > 0 {
		e := m.brief.Editors[len(m.brief.Editors)-1]
		return textf("%s; %s is editing since %s", line, m.name(e.Person), m.clock(e.Since))
	}
	return line
}

// openLine counts the open steps and missing answers.
func (m *builder) openLine() Text {
	var items List
	switch n := len(m.inc.OpenSteps()); {
	case n == 1:
		items = append(items, textf("1 step"))
	case n > 1:
		items = append(items, textf("%d steps", n))
	}
	items = append(items, m.awaitedAnswers()...)
	if len(items) == 0 {
		return textf("Open: nothing")
	}
	return textf("Open: %s", items)
}

// awaitedAnswers names the teams whose answer the approval needs.
func (m *builder) awaitedAnswers() (items List) {
	_, _, unanswered := m.inc.Missing()
	for n, c := range unanswered {
		if n == maxCardRoles {
			return append(items, textf("%d more", len(unanswered)-n))
		}
		items = append(items, textf("%s answer", incident.Quoted(possessive(text.Truncate(text.Line(string(c.Team)), 40)))))
	}
	return items
}

func (m *builder) signedLine() Text {
	var items List
	for _, name := range incident.RequiredDepartments() {
		if sig := m.inc.SignedBy(name); sig != nil {
			items = append(items, textf("%s %s", string(name), m.name(sig.By)))
		}
	}
	if len(items) == 0 {
		return textf("Signed: none yet")
	}
	return textf("Signed: %s", items)
}

// unsignedLine names the departments that did not sign, for how long they wait, and their
// deputies.
func (m *builder) unsignedLine() Text {
	unsigned, _, _ := m.inc.Missing()
	var items List
	for _, name := range unsigned {
		items = append(items, m.waitsFor(name))
	}
	items = append(items, m.awaitedAnswers()...)
	if len(items) == 0 {
		return textf("Waiting: none")
	}
	return textf("Waiting: %s", items)
}

// waitsFor names a department, its signer and deputy. A department with several members is
// named alone.
func (m *builder) waitsFor(name incident.Department) Text {
	var members, deputies []incident.PersonID
	for _, p := range m.inc.Representatives(m.brief.Directory, name, m.brief.Now) {
		if m.brief.Directory.Member(p, name) {
			members = append(members, p)
		} else {
			deputies = append(deputies, p)
		}
	}
	out := textf("%s", string(name))
	if len(members) == 1 {
		out = textf("%s %s", out, m.name(members[0]))
	}
	if sub := m.inc.Submission; sub != nil && m.brief.Now.Sub(sub.At) >= time.Hour {
		out = textf("%s %s", out, span(m.brief.Now.Sub(sub.At)))
	}
	if len(deputies) > 0 {
		out = textf("%s (deputy %s)", out, m.name(deputies[0]))
	}
	return out
}

// objectionsLine counts the open objections, and reports whether the record changed.
func (m *builder) objectionsLine() Text {
	_, objections, _ := m.inc.Missing()
	changed := "unchanged since submission"
	if !m.inc.Unchanged() {
		changed = "changed since submission"
	}
	var teams List
	for _, o := range objections {
		if !slices.Contains(teams, any(string(o.Department))) {
			teams = append(teams, string(o.Department))
		}
	}
	if len(teams) == 0 {
		return textf("Objections 0; %s", changed)
	}
	return textf("Objections %d (%s); %s", len(objections), teams, changed)
}

func (m *builder) reviewLine() Text {
	switch r := m.inc.Review; {
	case !r.Concluded.IsZero():
		return textf("Review held %s", r.Concluded)
	case !r.At.IsZero():
		return textf("Review %s", r.At)
	}
	return textf("Review: no time set")
}

// actionsLine counts the action items and names the next one.
func (m *builder) actionsLine() Text {
	open, total := m.inc.OpenActions(), len(m.inc.Actions)
	switch {
	case total == 0:
		return textf("Action items: none")
	case len(open) == 0:
		return textf("Action items %d/%d done", total, total)
	}
	next := slices.MinFunc(open, func(a, b incident.Action) int { return a.Due.Compare(b.Due) })
	return textf("Action items %d/%d done, next: %s (%s, %s)", total-len(open), total, Plain(next.ID), m.name(next.Owner), incident.Day(next.Due))
}

func (m *builder) dismissalLine() Text {
	d := m.inc.Dismissal
	if d == nil {
		return Text{}
	}
	reason := incident.Quoted(text.Truncate(text.Line(d.Reason), maxCardTitle))
	if d.Second == "" {
		return textf("False alarm: %s (%s)", reason, m.name(d.By))
	}
	return textf("False alarm: %s (%s, %s)", reason, m.name(d.By), m.name(d.Second))
}

func (m *builder) mergedLine() Text {
	if m.inc.MergedInto == 0 {
		return Text{}
	}
	return textf("Continues in %s", m.inc.MergedInto)
}
