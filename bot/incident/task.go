package incident

import (
	"cmp"
	"slices"
	"time"
)

// Task is work in an incident that waits for one person.
type Task struct {
	Incident ID        `json:"incident"`
	Sentence Sentence  `json:"-"`              // in the imperative, without a full stop
	Text     string    `json:"text"`           // the sentence in English
	Due      time.Time `json:"due,omitzero"`   // zero if there is no date
	Command  Command   `json:"command"`        // that a button opens or gives, with its arguments
	Typed    string    `json:"typed"`          // the command as people type it, without its texts
	Late     bool      `json:"late,omitempty"` // the date has passed
}

// unfinishedSteps returns the steps of people that are not finished. If started is set,
// it leaves out those that are not due yet.
func (i Incident) unfinishedSteps(started bool) (out []StepRef) {
	for _, r := range i.Runs {
		for _, s := range r.Plan {
			if s.Action == "" && !s.Finished() && (!started || !s.Started.IsZero()) {
				out = append(out, StepRef{Playbook: r.Playbook, Step: s.ID})
			}
		}
	}
	return out
}

// mustDo reports whether a step waits for a person: for the holder of its role, or if
// nobody holds the role, for the department with its name.
func (i Incident) mustDo(ref StepRef, d Directory, p PersonID, now time.Time) bool {
	_, step := i.Step(ref.String())
	if step == nil || step.Role == "" {
		return false
	}
	if holder := i.Roles[step.Role]; holder != "" {
		return holder == p
	}
	return i.represents(d, p, step.Role.department(), now)
}

// departmentsFor returns the departments for which a person can use a verb now: sign,
// object to, answer, withdraw or delegate.
func (i Incident) departmentsFor(v Verb, d Directory, p PersonID, now time.Time) (out []Department) {
	represents := func(team Department) bool { return i.represents(d, p, team, now) }
	for _, team := range RequiredDepartments() {
		switch v {
		case VerbSign:
			if i.SignedBy(team) == nil && represents(team) && !slices.ContainsFunc(i.Signatures, func(s Signature) bool { return s.By == p }) {
				out = append(out, team)
			}
		case VerbDelegate, VerbEndDelegation:
			if d.Member(p, team) && represents(team) {
				out = append(out, team)
			}
		case VerbObject, VerbWithdraw:
			if represents(team) {
				out = append(out, team)
			}
		}
	}
	for _, c := range i.Consultations {
		if (v == VerbAnswer && !c.Answered() || v == VerbObject || v == VerbWithdraw) && represents(c.Team) {
			out = append(out, c.Team)
		}
	}
	return out
}

// Tasks returns the work in the incident that waits for a person, the most urgent first.
// Nothing waits for people who may not read the incident.
func (i Incident) Tasks(env Env) []Task {
	if i.ID == 0 || !i.MayRead(env.Directory, env.Actor, env.Now) {
		return nil
	}
	t := &taskList{inc: i, env: env, possible: Possible(i, env)}
	t.responseTasks()
	t.signoffTasks()
	t.ownTasks()
	for n := range t.tasks {
		task := &t.tasks[n]
		task.Incident, task.Command.For, task.Text = i.ID, i.ID, task.Sentence.String()
		task.Late = !task.Due.IsZero() && env.Now.After(task.Due)
	}
	return t.tasks
}

// SortTasks sorts tasks of several incidents: those with a date first, by the date.
func SortTasks(tasks []Task) {
	slices.SortStableFunc(tasks, func(a, b Task) int {
		switch {
		case a.Due.IsZero() != b.Due.IsZero():
			return map[bool]int{true: 1, false: -1}[a.Due.IsZero()]
		}
		return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.Incident, b.Incident))
	})
}

// taskList collects the tasks of one person in one incident.
type taskList struct {
	inc      Incident
	env      Env
	possible []Verb
	tasks    []Task
}

func (t *taskList) can(v Verb) bool { return slices.Contains(t.possible, v) }

func (t *taskList) add(due time.Time, typed string, cmd Command, format string, args ...any) {
	t.tasks = append(t.tasks, Task{Sentence: Say(format, args...), Due: due, Typed: typed, Command: cmd})
}

// responseTasks are the acknowledgement, an answer to an alert, and the second person of
// a decision.
func (t *taskList) responseTasks() {
	inc, me := t.inc, t.env.Actor
	if inc.NeedsPage() && t.can(VerbAcknowledge) {
		t.add(inc.Paging.EscalationStepAt.Add(t.env.Policy.EscalateAfter), "ack", Command{Verb: VerbAcknowledge}, "acknowledge: nobody answered paging round %d", inc.Paging.Round)
	}
	if p := inc.SeverityProposal; p != nil && t.can(VerbSetSeverity) {
		t.add(p.Until, "severity "+string(p.Severity), Command{Verb: VerbSetSeverity}, "decide about the severity: an alert proposes %s", p.Severity)
	}
	if p := inc.Dismissal; p != nil && p.By != me && p.Second == "" && inc.Status.Responding() && t.can(VerbDismiss) {
		t.add(time.Time{}, "dismiss", Command{Verb: VerbDismiss}, "confirm or reject the dismissal that %s proposed", p.By)
	}
	if p := inc.Erasure; p != nil && p.By != me && t.can(VerbErase) {
		t.add(time.Time{}, "erase", Command{Verb: VerbErase}, "confirm the erasure that %s proposed", p.By)
	}
	if r := inc.Review; r.WaivedBy != "" && r.EndorsedBy == "" && r.WaivedBy != me && inc.represents(t.env.Directory, me, Security, t.env.Now) && t.can(VerbWaiveActions) {
		t.add(time.Time{}, "review waive", Command{Verb: VerbWaiveActions}, "endorse the waiver of the action items that %s proposed", r.WaivedBy)
	}
}

// signoffTasks are the closing record, signatures, answers and the review meeting.
func (t *taskList) signoffTasks() {
	inc, me, dir, now := t.inc, t.env.Actor, t.env.Directory, t.env.Now
	if t.can(VerbSign) && (!dir.SameHuman(inc.Submission.By, me) || t.env.Policy.SubmitterMaySign) {
		for _, team := range inc.departmentsFor(VerbSign, dir, me, now) {
			t.add(time.Time{}, "sign "+string(team), Command{Verb: VerbSign, Department: team, Expect: inc.Submission.Digest}, "read and sign the closing record for %s", team)
		}
	}
	if t.can(VerbAnswer) {
		for _, team := range inc.departmentsFor(VerbAnswer, dir, me, now) {
			t.add(time.Time{}, "answer "+string(team), Command{Verb: VerbAnswer, Department: team}, "answer for %s", team)
		}
	}
	if inc.Commander != me {
		return
	}
	switch {
	case t.can(VerbSubmit):
		t.add(time.Time{}, "record", Command{Verb: VerbEditRecord}, "write the closing record and submit it for signing")
	case t.can(VerbConclude) && !inc.Review.At.IsZero() && inc.Review.Concluded.IsZero():
		t.add(inc.Review.At, "review conclude", Command{Verb: VerbConclude}, "hold and conclude the review meeting")
	case t.can(VerbConclude) && inc.Review.Concluded.IsZero():
		t.add(time.Time{}, "review", Command{Verb: VerbScheduleReview}, "schedule the review meeting")
	}
}

// ownTasks are the steps and action items of the person.
func (t *taskList) ownTasks() {
	inc, me := t.inc, t.env.Actor
	if t.can(VerbStepDone) {
		for _, ref := range inc.unfinishedSteps(true) {
			if !inc.mustDo(ref, t.env.Directory, me, t.env.Now) {
				continue
			}
			_, step := inc.Step(ref.String())
			var due time.Time
			if step.Deadline > 0 {
				due = step.Started.Add(step.Deadline)
			}
			t.add(due, "step done "+ref.String(), Command{Verb: VerbStepDone, Step: ref.String()}, "step %s", ref)
		}
	}
	if t.can(VerbFinishAction) {
		for _, a := range inc.Actions {
			if a.Owner == me && a.Done.IsZero() {
				t.add(a.Due, "action done "+a.ID, Command{Verb: VerbFinishAction, Item: a.ID}, "action item %s: %s", Literal(a.ID), Quoted(a.Title))
			}
		}
	}
}

// Overview is what one person needs to know about all incidents.
type Overview struct {
	Person   PersonID   `json:"person"`
	Tasks    []Task     `json:"tasks"`    // that wait for the person, those with the next date first
	Mine     []Summary  `json:"mine"`     // live incidents in which the person has a part
	Others   int        `json:"others"`   // number of other live incidents that the person may read
	Ended    []Summary  `json:"ended"`    // that ended lately and that the person may read
	Searched int        `json:"searched"` // number of incidents, if there are more
}

// HasPart reports whether a person has a part in the incident: opened or acknowledged it,
// or has a role in it.
func (i Incident) HasPart(p PersonID) bool {
	return i.OpenedBy == p || i.Paging.AcknowledgedBy == p || len(i.RolesOf(p)) > 0
}
