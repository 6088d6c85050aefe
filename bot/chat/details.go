package chat

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/text"
	"tocsin/templates"
)

// details adds everything that the card leaves out.
func (m *builder) details() {
	inc := m.inc
	m.quote(inc.Title)
	m.add(Fields{
		{"Reported by", m.reporter()},
		{"Commander", m.commander()},
		{"Opened", textf("%s", inc.OpenedAt)},
		{"Roles", m.roleNames()},
		{"Proposed by an alert", m.proposedSeverity()},
		{"Personal data", word(inc.Facts.PersonalData)},
		{"Alerts", m.alerts()},
		{"Playbooks", m.playbooks()},
		{"Involved", m.involvedDepartments()},
		{"Review", m.review()},
		{"Continues in", m.continuedIn()},
	})
	m.signoff()
	m.openSteps()
	if len(inc.Actions) > 0 {
		m.heading("Action items")
		m.actionList()
	}
	visibility := textf("public within the company")
	if inc.Restricted {
		visibility = textf("restricted")
	}
	if m.brief.Withheld > 0 {
		m.note("%s", Plain(templates.LeftOut(m.brief.Withheld)))
	}
	m.small(visibility, textf("updated %s", latest(inc.UpdatedAt, inc.OpenedAt)), textf("%s", Typed("help")))
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// reporter returns the reporter of an incident that an unknown person opened, or
// an empty text.
func (m *builder) reporter() Text {
	if m.inc.Reporter == nil {
		return Text{}
	}
	return m.resolve(m.inc.Reporter.Sentence())
}

func (m *builder) commander() Text {
	switch {
	case m.inc.Commander != "":
		return textf("%s", m.inc.Commander)
	case m.inc.NeedsPage():
		return textf("%s unassigned, paging round %d", Icon("pager"), m.inc.PageNumber(m.inc.Paging.Round))
	}
	return textf("unassigned")
}

// proposedSeverity returns the severity that an alert proposes, or an empty text.
func (m *builder) proposedSeverity() Text {
	p := m.inc.SeverityProposal
	if p == nil {
		return Text{}
	}
	return textf("%s, raised at %s without an answer", Strong{string(p.Severity)}, p.Until)
}

// join returns the items as one text, or an empty text without items.
func join(items List) Text {
	if len(items) == 0 {
		return Text{}
	}
	return textf("%s", items)
}

func (m *builder) roleNames() Text {
	var items List
	for _, r := range slices.Sorted(maps.Keys(m.inc.Roles)) {
		if r != incident.Commander {
			items = append(items, textf("%s: %s", string(r), m.inc.Roles[r]))
		}
	}
	return join(items)
}

// maxListedRules is the maximum number of detection rules that a line of a kind names.
const maxListedRules = 5

// alerts counts all alerts by kind, including the ones that deliveries left out, and names
// the detection rules of the listed alerts.
func (m *builder) alerts() Text {
	rules := map[string][]string{}
	listed, left := map[string]int64{}, map[string]int{}
	for _, a := range m.inc.Alerts {
		listed[a.Kind]++
		left[a.Kind] += a.LeftOut
		if rule := text.Truncate(a.Rule, 200); rule != "" && !slices.Contains(rules[a.Kind], rule) {
			rules[a.Kind] = append(rules[a.Kind], rule)
		}
	}
	counts := m.brief.AlertCounts
	for _, kind := range slices.Sorted(maps.Keys(listed)) { // in case the totals are unknown
		if !slices.ContainsFunc(counts, func(c incident.AlertCount) bool { return c.Kind == kind }) {
			counts = append(slices.Clip(counts), incident.AlertCount{Kind: kind, Alerts: listed[kind], Occurrences: listed[kind]})
		}
	}
	var items List
	for _, c := range counts {
		line := fmt.Sprintf("%d × %s", c.Alerts, text.Truncate(c.Kind, 80))
		if names := rules[c.Kind]; len(names) > maxListedRules {
			line += " (" + strings.Join(names[:maxListedRules], ", ") + " …)"
		} else if len(names) > 0 {
			line += " (" + strings.Join(names, ", ") + ")"
		}
		if c.Occurrences > c.Alerts {
			line += fmt.Sprintf(", occurred %d times", c.Occurrences)
		}
		if n := left[c.Kind]; n > 0 {
			line += fmt.Sprintf(", and %d more that were not read", n)
		}
		items = append(items, Plain(line))
	}
	return join(items)
}

func (m *builder) playbooks() Text {
	var items List
	for _, r := range m.inc.Runs {
		items = append(items, textf("%s: %d of %d steps", Plain(r.Playbook), r.FinishedSteps(), len(r.Plan)))
	}
	return join(items)
}

func (m *builder) involvedDepartments() Text {
	var items List
	for _, name := range m.inc.InvolvedDepartments {
		items = append(items, string(name))
	}
	return join(items)
}

func (m *builder) review() Text {
	switch r := m.inc.Review; {
	case r.EarlyReason != "":
		return textf("concluded %s before the meeting's time: %s", r.Concluded, incident.Quoted(text.Truncate(text.Line(r.EarlyReason), maxCardTitle)))
	case !r.Concluded.IsZero():
		return textf("concluded %s", r.Concluded)
	case !r.At.IsZero():
		return textf("%s", r.At)
	}
	return Text{}
}

func (m *builder) continuedIn() Text {
	if m.inc.MergedInto == 0 {
		return Text{}
	}
	return textf("%s", m.inc.MergedInto)
}

// openSteps lists the steps that were started and are not finished, if the
// status allows finishing steps.
func (m *builder) openSteps() {
	if !isAllowed(m.inc, incident.VerbStepDone) {
		return
	}
	var steps []string
	for _, r := range m.inc.Runs {
		for _, step := range r.Plan {
			if step.Finished() || step.Started.IsZero() {
				continue
			}
			late := ""
			if step.Status == incident.StepLate {
				late = "LATE: "
			}
			steps = append(steps, late+step.Title)
		}
	}
	if len(steps) > 0 {
		m.heading("Open steps")
		m.bullets(steps[:min(len(steps), 12)])
	}
}

// signoff lists the signatures, objections and answers of the submitted
// record, if there is one.
func (m *builder) signoff() {
	if m.inc.Submission == nil {
		return
	}
	var fields Fields
	for _, name := range incident.RequiredDepartments() {
		state := textf("%s not signed", Icon("hourglass"))
		if sig := m.inc.SignedBy(name); sig != nil {
			state = textf("%s %s", Icon("heavy_check_mark"), sig.By)
		}
		fields = append(fields, Field{humanize(name), state})
	}
	m.add(fields)
	_, objections, _ := m.inc.Missing()
	for _, o := range objections {
		m.iconLine("no_entry", "%s objected (%s):", string(o.Department), Plain(text.Truncate(o.ID, 20)))
		m.quote(text.Truncate(o.Reason, 300))
	}
	for _, c := range m.inc.Consultations {
		if c.Answered() {
			m.note("%s: %s %s", string(c.Team), Icon("heavy_check_mark"), c.By)
		} else {
			m.note("%s: %s not answered", string(c.Team), Icon("hourglass"))
		}
	}
	m.note("closing record %s", digest(m.inc.Submission.Digest))
}
