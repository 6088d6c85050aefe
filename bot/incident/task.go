package incident

import (
	"cmp"
	"slices"
	"time"
)

// Task is work in an incident that waits for one person.
type Task struct {
	Incident ID        `json:"incident"`
	Due      time.Time `json:"due,omitzero"`    // zero if there is no date
	Late     bool      `json:"late,omitempty"`  // the date has passed
	Command  Command   `json:"command"`         // that does the work
	Typed    string    `json:"typed"`           // the command as people type it, without the incident
	Title    string    `json:"title,omitempty"` // of the step or action item
	By       PersonID  `json:"by,omitempty"`    // the author of a proposal that the person decides about
}

// Sentence returns the task as an imperative without a full stop.
func (t Task) Sentence() Sentence {
	switch t.Command.Verb {
	case VerbAcknowledge:
		return Say("acknowledge the page")
	case VerbSetSeverity:
		return Say("decide about the severity. An alert proposes %s", t.Command.Severity)
	case VerbDismiss:
		return Say("confirm or reject the dismissal that %s proposed", t.By)
	case VerbEndorseAccess:
		return Say("endorse the access that %s asks for, or let the request end", t.By)
	case VerbErase:
		return Say("confirm the erasure that %s proposed", t.By)
	case VerbWaiveActions:
		return Say("endorse the waiver of the action items that %s proposed", t.By)
	case VerbSign:
		return Say("read and sign the closing record for %s", t.Command.Department)
	case VerbAnswer:
		return Say("answer for %s", t.Command.Department)
	case VerbEditRecord:
		return Say("write the closing record and submit it for signing")
	case VerbConclude:
		return Say("hold and conclude the review meeting")
	case VerbScheduleReview:
		return Say("schedule the review meeting")
	case VerbConfirmChange:
		return Say("confirm or undo changes that came through %s: events %s", Literal(t.Title), Literal(t.Command.Item))
	case VerbStepDone:
		return Say("do the step %s", Quoted(t.Title))
	}
	return Say("finish the action item %s: %s", Literal(t.Command.Item), Quoted(t.Title))
}

// unfinishedSteps returns the steps of people that are not finished. If started is set,
// it leaves out the steps that are not due yet.
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

// mustDo reports whether a step waits for a person: for the holder of its role, or for
// the commander and the department with the role's name if the role has no holder.
func (i Incident) mustDo(ref StepRef, d Directory, p PersonID, now time.Time) bool {
	_, step := i.Step(ref.String())
	if step == nil || p == "" {
		return false
	}
	if holder := i.Roles[step.Role]; holder != "" {
		return holder == p
	}
	return p == i.Commander || step.Role != "" && i.represents(d, p, step.Role.department(), now)
}

// departmentsFor returns the departments that a person can act for with a verb: sign,
// object, answer, withdraw or delegate.
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
		task.Incident, task.Command.For = i.ID, i.ID
		end := task.Due
		if task.Command.Verb == VerbFinishAction {
			end = end.AddDate(0, 0, 1) // the whole day
		}
		task.Late = !task.Due.IsZero() && env.Now.After(end)
	}
	return t.tasks
}

// SortTasks sorts tasks of several incidents by date. Tasks without a date are last.
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

func (t *taskList) add(typed string, task Task) {
	task.Typed = typed
	t.tasks = append(t.tasks, task)
}

// responseTasks are the acknowledgement, an answer to an alert, and the second person of
// a decision.
func (t *taskList) responseTasks() {
	inc, me := t.inc, t.env.Actor
	if inc.NeedsPage() && t.can(VerbAcknowledge) {
		t.add("ack", Task{Due: inc.Paging.EscalationStepAt.Add(t.env.Policy.EscalateAfter), Command: Command{Verb: VerbAcknowledge}})
	}
	if p := inc.SeverityProposal; p != nil && t.can(VerbSetSeverity) {
		t.add("severity "+string(p.Severity), Task{Due: p.Until, Command: Command{Verb: VerbSetSeverity, Severity: p.Severity}})
	}
	if p := inc.Dismissal; p != nil && p.By != me && p.Second == "" && t.can(VerbDismiss) {
		t.add("dismiss", Task{By: p.By, Command: Command{Verb: VerbDismiss}})
	}
	for _, r := range inc.AccessRequests {
		if r.By != me && t.env.Now.Before(r.Until) && t.can(VerbEndorseAccess) {
			t.add("access endorse "+string(r.By), Task{Due: r.Until, By: r.By, Command: Command{Verb: VerbEndorseAccess, Person: r.By}})
		}
	}
	if c := inc.DistrustedChanges; len(c) > 0 && (inc.Commander == me || inc.Commander == "") && t.can(VerbConfirmChange) {
		t.add("confirm "+changeNumbers(c), Task{Title: c[0].Provider, Command: Command{Verb: VerbConfirmChange, Item: changeNumbers(c)}})
	}
	if p := inc.Erasure; p != nil && p.By != me && t.can(VerbErase) {
		t.add("erase", Task{By: p.By, Command: Command{Verb: VerbErase}})
	}
	if r := inc.Review; r.WaivedBy != "" && r.EndorsedBy == "" && r.WaivedBy != me && inc.represents(t.env.Directory, me, Security, t.env.Now) && t.can(VerbWaiveActions) {
		t.add("review waive", Task{By: r.WaivedBy, Command: Command{Verb: VerbWaiveActions}})
	}
}

// signoffTasks are the closing record, signatures, answers and the review meeting.
func (t *taskList) signoffTasks() {
	inc, me, dir, now := t.inc, t.env.Actor, t.env.Directory, t.env.Now
	if t.can(VerbSign) && (!dir.SameHuman(inc.Submission.By, me) || t.env.Policy.SubmitterMaySign) {
		for _, team := range inc.departmentsFor(VerbSign, dir, me, now) {
			t.add("sign "+string(team), Task{Command: Command{Verb: VerbSign, Department: team, Expect: inc.Submission.Digest}})
		}
	}
	if t.can(VerbAnswer) {
		for _, team := range inc.departmentsFor(VerbAnswer, dir, me, now) {
			t.add("answer "+string(team), Task{Command: Command{Verb: VerbAnswer, Department: team}})
		}
	}
	if inc.Commander != me {
		return
	}
	switch {
	case t.can(VerbSubmit):
		t.add("record", Task{Command: Command{Verb: VerbEditRecord}})
	case t.can(VerbConclude) && !inc.Review.At.IsZero() && inc.Review.Concluded.IsZero():
		t.add("review conclude", Task{Due: inc.Review.At, Command: Command{Verb: VerbConclude}})
	case t.can(VerbConclude) && inc.Review.Concluded.IsZero():
		t.add("review", Task{Command: Command{Verb: VerbScheduleReview}})
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
			t.add("step done "+ref.String(), Task{Due: due, Title: step.Title, Command: Command{Verb: VerbStepDone, Step: ref.String()}})
		}
	}
	if t.can(VerbFinishAction) {
		for _, a := range inc.Actions {
			if a.Owner == me && !a.IsDone() {
				t.add("action done "+a.ID, Task{Due: a.Due, Title: a.Title, Command: Command{Verb: VerbFinishAction, Item: a.ID}})
			}
		}
	}
}

// Overview is the work of one person in all incidents.
type Overview struct {
	Person PersonID  `json:"person"`
	Tasks  []Task    `json:"tasks"`            // that wait for the person, by date
	Mine   []Summary `json:"mine"`             // live incidents with a part or a task of the person
	Others []Summary `json:"others,omitempty"` // other live incidents that the person may read
	Ended  []Summary `json:"ended,omitempty"`  // that ended lately and that the person may read
	// Actions are the action items of all incidents that the person may read: the open
	// ones by due date, then those that were done, the last one first.
	Actions   []ActionItem `json:"actions,omitempty"`
	Cut       bool         `json:"cut,omitempty"` // older incidents were not searched
	Directory Directory    `json:"-"`
}

// HasPart reports whether a person has a part in the incident: opened or acknowledged it,
// or has a role in it.
func (i Incident) HasPart(p PersonID) bool {
	return i.OpenedBy == p || i.Paging.AcknowledgedBy == p || len(i.RolesOf(p)) > 0
}
