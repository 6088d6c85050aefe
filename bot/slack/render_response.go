package slack

import (
	"slices"
	"strings"

	"github.com/slack-go/slack"

	"tocsin/bot/incident"
)

// recordDue offers to write and submit the closing record.
func (s renderer) recordDue() {
	s.line("Next: write the closing record and submit it for signing.")
	s.buttons(append(s.button(incident.VerbEditRecord, ActRecord, "Edit the record"), s.button(incident.VerbSubmit, ActSubmit, "Submit the record")...)...)
}

func (s renderer) dismissalApproval() {
	s.line(markupf("A second, independent person must agree. One of the two must be from %s.", mentionTeam(s.b.Directory, incident.Security)))
	s.buttons(s.button(incident.VerbDismiss, ActDismiss, "Agree and dismiss")...)
}

func (s renderer) personLeft() {
	if !slices.Contains(strings.Split(s.e.Field(incident.HeldRole), ","), string(incident.Commander)) || s.inc.Status.Ended() {
		return
	}
	s.small("the incident has no commander: take command with `role commander me`, or name another person")
}

// severityAnswers offers the two answers to an alert that proposes to raise the
// severity.
func (s renderer) severityAnswers() {
	proposed := s.e.Field("severity")
	s.line(markupf("Type `/incident severity %s` to raise it now, or `/incident severity keep because WHY` to keep it.", humanize(proposed)))
	s.buttons(append(s.button(incident.VerbSetSeverity, ActSeverity, "Raise it now", proposed),
		s.button(incident.VerbKeepSeverity, ActKeepSeverity, "Keep the severity")...)...)
}

func (s renderer) dismissalReview() { s.small("the next review meeting will list the dismissal") }

func (s renderer) mergedInto() {
	s.line(markupf("Continue in the channel of *%s*.", s.field("target")))
}

func (s renderer) splitFrom() {
	s.small(markupf("the timeline of %s has the earlier events", s.field("source")))
}

func (s renderer) legalHold() {
	s.small("retention deletes nothing of this incident until the hold is released")
}

// step returns the step of the event. After an erasure, the plan has no texts
// and the ID serves as title.
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

// botStep reports whether Tocsin performs the step of the event.
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
		return markupf("Assigned to %s (%s).", mention(s.b.Directory, s.inc.Roles[r]), humanize(r))
	case s.inc.Commander != "":
		return markupf("Assigned to %s until the role %s is filled.", mention(s.b.Directory, s.inc.Commander), humanize(r))
	}
	return markupf("No one has the role %s. Take it with `/incident role %s me`.", humanize(r), escape(string(r), 40))
}

func (s renderer) playbookDetail() {
	run := s.inc.Run(s.e.Field("run"))
	if run == nil {
		return
	}
	s.line(markupf("%s steps. Tocsin posts each step here when it is due.", formatNum(len(run.Plan))))
	if d := s.e.Field("digest"); d != "" {
		s.small(markupf("%s, pinned as %s", escape(run.Playbook, 80), shortDigest(d)))
	}
}

// shortDigest returns the first 12 digits of a digest.
func shortDigest(digest string) markup {
	name, hex, found := strings.Cut(digest, ":")
	if !found {
		name, hex = "sha256", digest
	}
	return escape(name+":"+hex[:min(12, len(hex))], 40)
}

func (s renderer) stepButtons(ref string, step incident.Step) {
	var row []slack.BlockElement
	if step.Action == "" {
		row = append(row, s.button(incident.VerbStepDone, ActStepDone, "Done", ref)...)
	}
	s.buttons(append(row, s.button(incident.VerbStepSkip, ActStepSkip, "Skip", ref)...)...)
}

// dueText returns the deadline of a step, or "".
func dueText(step incident.Step) markup {
	if step.Deadline <= 0 {
		return ""
	}
	if step.Started.IsZero() {
		return markupf("due within %s", escape(step.Deadline.String(), 40))
	}
	return markupf("due %s", dateMarkup(step.Started.Add(step.Deadline)))
}

func (s renderer) stepStarted() {
	ref, step := s.step()
	if step.Action != "" {
		s.line("Tocsin performs this step.")
	} else {
		s.line(s.assignee(step.Role))
	}
	s.instructions(step.Detail)
	s.small(dueText(step), escape(ref, 160))
	s.stepButtons(ref, step)
}

func (s renderer) stepLate() {
	ref, step := s.step()
	s.line(s.assignee(step.Role))
	s.small(dueText(step), escape(ref, 160))
	s.stepButtons(ref, step)
}
