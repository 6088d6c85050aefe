package chat

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/text"
)

func (m *builder) dismissalApproval() {
	m.call("A second, independent person must agree. One of the two must be from security.", m.teamWithout(incident.Security, m.event.By)...)
	m.buttons(m.verbButton("Agree and dismiss", incident.VerbDismiss)...)
}

func (m *builder) personLeft() {
	if !slices.Contains(strings.Split(m.event.Field(incident.HeldRole), ","), string(incident.Commander)) || m.inc.Status.Ended() {
		return
	}
	m.note("the incident has no commander: to take command, type %s", Typed("role commander me"))
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

// performer returns the person who performs a step: of its role, or else the commander.
func (m *builder) performer(step incident.Step) incident.PersonID {
	return cmp.Or(m.inc.Roles[step.Role], m.inc.Commander)
}

// presentAfterStep is how long a person who finished a step counts as present.
const presentAfterStep = 30 * time.Minute

// isBusy reports whether a person worked in the thread when a step started: another step
// was open, or the person finished one shortly before. Such a person follows the thread and
// needs no mention.
func (m *builder) isBusy(p incident.PersonID, with incident.Step) bool {
	before := true
	for _, r := range m.inc.Runs {
		for _, s := range r.Plan {
			switch {
			case s.ID == with.ID && s.Started.Equal(with.Started):
				before = false
			case s.Action != "" || s.Started.IsZero():
			case s.Finished() && s.By == p && with.Started.Sub(s.At).Abs() < presentAfterStep:
				return true
			case m.performer(s) != p, s.Finished() && s.At.Before(with.Started):
			case s.Started.Before(with.Started), s.Started.Equal(with.Started) && before:
				return true
			}
		}
	}
	return false
}

// assigned names the person who performs a step.
func (m *builder) assigned(step incident.Step) Text {
	p := m.performer(step)
	switch {
	case p == "" && step.Role != "":
		return textf("nobody has the role %s", string(step.Role))
	case p == "":
		return textf("not assigned")
	}
	return m.called(step, p)
}

// called names or mentions the person who performs a step, and says why the step is the
// commander's if it is another role's.
func (m *builder) called(step incident.Step, who any) Text {
	if step.Role == "" || m.inc.Roles[step.Role] != "" {
		return textf("%s", who)
	}
	return textf("%s, because nobody has the role %s", who, string(step.Role))
}

// stepLine shows a step in one line: who performs it and until when, or how it ended.
func (m *builder) stepLine() {
	ref, step := m.step()
	title, outcome := Strong{Plain(text.Truncate(step.Title, 200))}, Plain(text.Truncate(text.Line(step.Outcome), 300))
	switch step.Status {
	case incident.StepDone:
		m.iconLine("white_check_mark", "%s · %s: %s", title, step.By, outcome)
	case incident.StepSkipped:
		m.iconLine("fast_forward", "%s · skipped by %s: %s", title, step.By, outcome)
	default:
		parts := []any{title, m.assigned(step)}
		if p := m.performer(step); p != "" && !m.isBusy(p, step) && !m.gotRoleAfter(p, step.Role) {
			parts[1] = m.called(step, Mention(p))
		}
		if d := due(step); !isEmpty(d) {
			parts = append(parts, d)
		}
		m.iconLine("white_large_square", "%s", Joined{" · ", parts})
		m.stepButtons(ref, step)
	}
}

// gotRoleAfter reports whether a person got a role after the event. The message about the
// role, which notifies the person, lists the step.
func (m *builder) gotRoleAfter(p incident.PersonID, r incident.Role) bool {
	return slices.ContainsFunc(m.inc.Calls, func(c incident.Call) bool {
		return c.Person == p && c.Cause == incident.CalledRole && c.Role == r && c.Seq > m.event.Seq
	})
}

func (m *builder) stepLate() {
	ref, step := m.step()
	m.call("Finish the step, or skip it with a reason.", m.performer(step))
	m.small(due(step))
	m.stepButtons(ref, step)
}

// roleTasks notifies a person about a role and about the open steps of the role.
func (m *builder) roleTasks() {
	person := incident.PersonID(m.event.Field("person"))
	if person == "" || person == m.event.By {
		return
	}
	var open List
	for _, step := range m.currentSteps() {
		if string(step.Role) == m.event.Field("role") && len(open) < 5 {
			open = append(open, Plain(text.Truncate(step.Title, 100)))
		}
	}
	task := textf("no step is open for you now")
	if len(open) > 0 {
		task = textf("your open steps: %s", open)
	}
	role := incident.Role(m.event.Field("role"))
	var who any = Mention(person)
	if role == incident.LegalLead && len(open) == 0 && m.inc.LacksAwareness() {
		who = person // the message about the personal data notified legal
	}
	m.line("%s: %s.%s", who, task, m.roleDuty(role))
}

// roleDuty returns the duty of a role that is not a step, as a sentence after a space, or an
// empty text.
func (m *builder) roleDuty(r incident.Role) Text {
	switch next := m.inc.NextUpdate(); {
	case r == incident.LegalLead && m.inc.LacksAwareness():
		return textf(" Decide when the company became aware, and record it as the fact “aware”.")
	case r == incident.Communicator && !next.At.IsZero():
		return textf(" The next update is due at %s: press %s on the card.", next.At, Strong{"Update"})
	}
	return textf("")
}

func (m *builder) stepButtons(ref string, step incident.Step) {
	var row []Action
	if step.Action == "" {
		row = append(row, m.button("Done", incident.Command{Verb: incident.VerbStepDone, Step: ref})...)
	}
	row = append(row, m.button("Skip", incident.Command{Verb: incident.VerbStepSkip, Step: ref})...)
	m.buttons(append(row, m.detailsButton())...)
}

// due returns the deadline of a step, or an empty text.
func due(step incident.Step) Text {
	if step.Deadline <= 0 {
		return Text{}
	}
	if step.Started.IsZero() {
		return textf("due within %s of its start", span(step.Deadline))
	}
	return textf("due %s", step.Started.Add(step.Deadline))
}

// stepDetails shows what to do in a step.
func (m *builder) stepDetails() {
	ref, step := m.step()
	m.line("%s", Strong{Plain(text.Truncate(step.Title, 300))})
	m.small(m.assigned(step), due(step), textf("%s", Plain(text.Truncate(ref, 160))))
	m.instructions(step)
	if step.Finished() {
		m.quote(step.Outcome)
	}
}

// instructions adds the instructions of a step.
func (m *builder) instructions(step incident.Step) {
	if passages := splitInstructions(strings.Trim(step.Detail, "\n ")); len(passages) > 0 {
		m.add(Instructions(passages))
	}
}

// maxNextSteps is the number of open steps that the first message of the checklist names.
const maxNextSteps = 3

// Checklist returns the first message of the checklist's thread: how far the playbooks are
// and which steps are next.
func Checklist(b incident.Brief) Message {
	m := newBuilder(b)
	finished, total := 0, 0
	var titles List
	for _, r := range m.inc.Runs {
		titles = append(titles, Plain(text.Truncate(cmp.Or(r.Title, r.Playbook), 80)))
		total += len(r.Plan)
		finished += r.FinishedSteps()
	}
	if total == 0 {
		m.iconLine("book", "%s: no playbook runs. Notes and evidence are in this thread.", Strong{"Checklist"})
		return m.message()
	}
	m.iconLine("book", "%s: %d of %d steps finished. %s", Strong{"Checklist"}, finished, total, titles)
	steps := m.currentSteps()
	if !isAllowed(m.inc, incident.VerbStepDone) {
		steps = nil
	}
	for _, s := range steps[:min(len(steps), maxNextSteps)] {
		parts := []any{Plain(text.Truncate(s.Title, 120)), m.assigned(s)}
		if d := due(s); !isEmpty(d) {
			parts = append(parts, d)
		}
		m.line("Next: %s", Joined{" · ", parts})
	}
	if more := len(steps) - maxNextSteps; more > 0 {
		m.line("And %d more.", more)
	}
	m.note("each step is a line in this thread, with its buttons")
	return m.message()
}
