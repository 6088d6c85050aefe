package slack

import (
	"strings"

	"github.com/slack-go/slack"

	"tocsin/bot/incident"
)

// recordDue offers to write and submit the closing record.
func (s renderer) recordDue() {
	s.line("Next: write the closing record and submit it for signing.")
	s.buttons(append(s.button(incident.VerbEditRecord, ActRecord, "Write the record"), s.button(incident.VerbSubmit, ActSubmit, "Submit it")...)...)
}

func (s renderer) dismissalApproval() {
	s.line(mk("A second person, from %s, must agree.", team(s.b.Directory, incident.Security)))
	s.buttons(s.button(incident.VerbDismiss, ActDismiss, "Agree and dismiss")...)
}

func (s renderer) dismissalReview() { s.small("the next review meeting will list the dismissal") }

func (s renderer) mergedInto() { s.line(mk("Continue in the channel of *%s*.", s.field("target"))) }

func (s renderer) splitFrom() {
	s.small(mk("the timeline of %s has the earlier events", s.field("source")))
}

func (s renderer) legalHold() {
	s.small("retention deletes nothing of this incident until the hold is released")
}

// step returns the step of the event. The pinned plan may have lost its texts
// to an erasure: then the step has its id alone.
func (s renderer) step() (ref string, step incident.Step) {
	ref = s.e.Field("run") + "/" + s.e.Field("step")
	if _, found := s.inc.Step(ref); found != nil {
		return ref, *found
	}
	return ref, incident.Step{ID: s.e.Field("step"), Title: s.e.Field("step")}
}

func (s renderer) stepTitle(r incident.StepRef) string {
	if _, found := s.inc.Step(r.String()); found != nil {
		return found.Title
	}
	return r.Step
}

// botStep reports whether the bot does the event's step itself.
func (s renderer) botStep() bool {
	_, step := s.step()
	return step.Action != ""
}

func (s renderer) playbookTitle(id string) string {
	if run := s.inc.Run(id); run != nil && run.Title != "" {
		return run.Title
	}
	return id
}

// assignee mentions the person who has a role, or else the commander.
func (s renderer) assignee(r incident.Role) markup {
	switch {
	case r == "":
		return ""
	case s.inc.Roles[r] != "":
		return mk("Assigned to %s (%s).", who(s.b.Directory, s.inc.Roles[r]), word(r))
	case s.inc.Commander != "":
		return mk("Assigned to %s until the role %s is filled.", who(s.b.Directory, s.inc.Commander), word(r))
	}
	return mk("Unassigned: the role %s is not filled.", word(r))
}

func (s renderer) playbookDetail() {
	run := s.inc.Run(s.e.Field("run"))
	if run == nil {
		return
	}
	s.line(mk("%s steps. Tocsin posts each step here when it is due.", num(len(run.Plan))))
	if d := s.e.Field("digest"); d != "" {
		s.small(mk("%s, pinned as %s", esc(run.Playbook, 80), short(d)))
	}
}

// short returns the first 12 digits of a digest.
func short(digest string) markup {
	name, hex, found := strings.Cut(digest, ":")
	if !found {
		name, hex = "sha256", digest
	}
	return esc(name+":"+hex[:min(12, len(hex))], 40)
}

func (s renderer) stepButtons(ref string, step incident.Step) {
	var row []slack.BlockElement
	if step.Action == "" {
		row = append(row, s.button(incident.VerbStepDone, ActStepDone, "Done", ref)...)
	}
	s.buttons(append(row, s.button(incident.VerbStepSkip, ActStepSkip, "Skip", ref)...)...)
}

// due returns the deadline of a step, or "".
func due(step incident.Step) markup {
	if step.Deadline <= 0 {
		return ""
	}
	if step.Started.IsZero() {
		return mk("due within %s", esc(step.Deadline.String(), 40))
	}
	return mk("due %s", at(step.Started.Add(step.Deadline)))
}

func (s renderer) stepStarted() {
	ref, step := s.step()
	if step.Action != "" {
		s.line("Tocsin does this step itself.")
	} else {
		s.line(s.assignee(step.Role))
	}
	s.instructions(step.Detail)
	s.small(due(step), esc(ref, 160))
	s.stepButtons(ref, step)
}

func (s renderer) stepLate() {
	ref, step := s.step()
	s.line(s.assignee(step.Role))
	s.small(due(step), esc(ref, 160))
	s.stepButtons(ref, step)
}
