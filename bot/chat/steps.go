package chat

import (
	"slices"
	"strings"

	"tocsin/bot/incident"
	"tocsin/bot/text"
)

func (m *builder) dismissalApproval() {
	m.line("A second, independent person must agree. One of the two must be from %s.", Team(incident.Security))
	m.buttons(m.verbButton("Agree and dismiss", incident.VerbDismiss)...)
}

func (m *builder) personLeft() {
	if !slices.Contains(strings.Split(m.event.Field(incident.HeldRole), ","), string(incident.Commander)) || m.inc.Status.Ended() {
		return
	}
	m.note("the incident has no commander: take command with %s, or name another person", Code("role commander me"))
}

// severityAnswers offers the two answers to an alert that proposes to raise the
// severity.
func (m *builder) severityAnswers() {
	proposed := incident.Severity(m.event.Field("severity"))
	m.line("Type %s to raise it now, or %s to keep it.", Typed("severity "+string(proposed)), Typed("severity keep because WHY"))
	m.buttons(append(m.button("Raise it now", incident.Command{Verb: incident.VerbSetSeverity, Severity: proposed}),
		m.verbButton("Keep the severity", incident.VerbKeepSeverity)...)...)
}

func (m *builder) dismissalReview() { m.note("the next review meeting will list the dismissal") }

func (m *builder) mergedInto() { m.line("Continue in the channel of %s.", Strong{m.field("target")}) }

func (m *builder) splitFrom() { m.note("the timeline of %s has the earlier events", m.field("source")) }

func (m *builder) legalHold() {
	m.note("retention deletes nothing of this incident until the hold is released")
}

// step returns the step of the event. After an erasure, the plan has no texts
// and the ID serves as title.
func (m *builder) step() (ref string, step incident.Step) {
	ref = m.event.Field("run") + "/" + m.event.Field("step")
	if _, found := m.inc.Step(ref); found != nil {
		return ref, *found
	}
	return ref, incident.Step{ID: m.event.Field("step"), Title: m.event.Field("step")}
}

func (m *builder) stepTitle(r incident.StepRef) string {
	if _, found := m.inc.Step(r.String()); found != nil {
		return found.Title
	}
	return r.Step
}

// botStep reports whether Tocsin performs the step of the event.
func (m *builder) botStep() bool {
	_, step := m.step()
	return step.Action != ""
}

func (m *builder) playbookTitle(id string) string {
	if run := m.inc.Run(id); run != nil && run.Title != "" {
		return run.Title
	}
	return id
}

// assignee names the person who has a role, or else the commander.
func (m *builder) assignee(r incident.Role) {
	switch {
	case r == "":
	case m.inc.Roles[r] != "":
		m.line("Assigned to %s (%s).", m.inc.Roles[r], string(r))
	case m.inc.Commander != "":
		m.line("Assigned to %s until the role %s is filled.", m.inc.Commander, string(r))
	default:
		m.line("No one has the role %s. Take it with %s.", string(r), Typed("role "+string(r)+" me"))
	}
}

func (m *builder) playbookDetail() {
	run := m.inc.Run(m.event.Field("run"))
	if run == nil {
		return
	}
	m.line("%d steps. Tocsin posts each step here when it is due.", len(run.Plan))
	if d := m.event.Field("digest"); d != "" {
		m.note("%s, pinned as %s", Plain(text.Truncate(run.Playbook, 80)), digest(d))
	}
}

func (m *builder) stepButtons(ref string, step incident.Step) {
	var row []Action
	if step.Action == "" {
		row = append(row, m.button("Done", incident.Command{Verb: incident.VerbStepDone, Step: ref})...)
	}
	m.buttons(append(row, m.button("Skip", incident.Command{Verb: incident.VerbStepSkip, Step: ref})...)...)
}

// due returns the deadline of a step, or an empty text.
func due(step incident.Step) Text {
	if step.Deadline <= 0 {
		return Text{}
	}
	if step.Started.IsZero() {
		return textf("due within %s", step.Deadline.String())
	}
	return textf("due %s", step.Started.Add(step.Deadline))
}

func (m *builder) stepStarted() {
	ref, step := m.step()
	if step.Action != "" {
		m.line("Tocsin performs this step.")
	} else {
		m.assignee(step.Role)
	}
	if passages := splitInstructions(strings.Trim(step.Detail, "\n ")); len(passages) > 0 {
		m.add(Instructions(passages))
	}
	m.small(due(step), textf("%s", Plain(text.Truncate(ref, 160))))
	m.stepButtons(ref, step)
}

func (m *builder) stepLate() {
	ref, step := m.step()
	m.assignee(step.Role)
	m.small(due(step), textf("%s", Plain(text.Truncate(ref, 160))))
	m.stepButtons(ref, step)
}
