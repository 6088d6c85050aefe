package incident

import (
	"encoding/json"
	"fmt"
)

// The kinds of events about playbooks.
const (
	EventPlaybookStarted EventKind = "playbook_started"
	EventStepStarted     EventKind = "step_started"
	EventStepDone        EventKind = "step_done"
	EventStepSkipped     EventKind = "step_skipped"
	EventStepLate        EventKind = "step_late"
)

var playbookEvents = eventTable{
	EventPlaybookStarted: {
		fields:  "chosen digest run", // chosen is set if a person named the playbook
		apply:   (*Incident).applyPlaybookStarted,
		effects: effects{updatePager, postEvent, refreshCard, refreshChecklist},
		sentence: func(e Event) Sentence {
			if e.is("chosen") {
				return Say("%s started the playbook %s", e.By, PlaybookRef(e.Field("run")))
			}
			return Say("Playbook %s started", PlaybookRef(e.Field("run")))
		},
		lane:  laneResponse,
		minor: true,
	},
	EventStepStarted: {
		fields:   "run step",
		apply:    (*Incident).applyStepStarted,
		effects:  effects{timeStep, postTask, refreshCard, refreshChecklist},
		sentence: func(e Event) Sentence { return Say("Step %s is due", e.step()) },
		lane:     laneResponse,
		minor:    true,
	},
	EventStepDone: {
		fields:   "run step",
		apply:    applyFinish(StepDone),
		effects:  effects{postBotOutcome, refreshCard, refreshChecklist},
		sentence: func(e Event) Sentence { return Say("%s completed step %s", e.By, e.step()) },
		text:     "outcome",
		lane:     laneResponse,
	},
	EventStepSkipped: {
		fields:   "run step",
		apply:    applyFinish(StepSkipped),
		effects:  effects{refreshCard, refreshChecklist},
		sentence: func(e Event) Sentence { return Say("%s skipped step %s", e.By, e.step()) },
		text:     "outcome",
		lane:     laneResponse,
	},
	EventStepLate: {
		fields:   "run step",
		apply:    (*Incident).applyStepLate,
		effects:  effects{postEvent, refreshCard, refreshChecklist},
		sentence: func(e Event) Sentence { return Say("Step %s is late", e.step()) },
		lane:     laneResponse,
	},
}

func (i *Incident) applyPlaybookStarted(e Event) {
	var run Run
	if json.Unmarshal([]byte(e.Text("run")), &run) != nil {
		run = Run{Playbook: e.Field("run"), Digest: e.Field("digest")} // erased
	}
	for n := range run.Plan {
		run.Plan[n].Status = StepOpen
	}
	i.Runs = append(i.Runs, run)
}

func (i *Incident) applyStepStarted(e Event) {
	if _, s := i.Step(e.step().String()); s != nil {
		s.Started = e.RecordedAt
	}
}

// applyFinish returns a function that finishes a step with a status.
func applyFinish(status StepStatus) func(*Incident, Event) {
	return func(i *Incident, e Event) {
		if _, s := i.Step(e.step().String()); s != nil {
			s.Status, s.By, s.At, s.Outcome = status, e.By, e.HappenedAt, e.Text("outcome")
		}
	}
}

func (i *Incident) applyStepLate(e Event) {
	if _, s := i.Step(e.step().String()); s != nil {
		s.Status = StepLate
	}
}

// step returns the step of the event, or nil.
func (c effectBuilder) step() *Step {
	_, step := c.inc.Step(c.event.step().String())
	return step
}

// postTask posts a step that a person must carry out.
func postTask(c effectBuilder) []Effect {
	if step := c.step(); step == nil || step.Action != "" {
		return nil
	}
	return postEvent(c)
}

// postBotOutcome posts the result of a step that Tocsin performed. The message about a
// step of a person shows its result itself.
func postBotOutcome(c effectBuilder) []Effect {
	if step := c.step(); step == nil || step.Action == "" {
		return nil
	}
	return postEvent(c)
}

// editSteps builds an edit of the message about each open step of the role that was
// assigned: it names another person now.
func editSteps(c effectBuilder) []Effect {
	role := Role(c.event.Field("role"))
	var out []Effect
	for _, r := range c.inc.Requests {
		if r.Kind != EventStepStarted {
			continue
		}
		if _, step := c.inc.Step(r.Ref); step != nil && (step.Role == role || role == Commander && c.inc.Roles[step.Role] == "") {
			out = append(out, c.retract(r))
		}
	}
	return out
}

// timeStep builds the deadline of a step, which counts from its start.
func timeStep(c effectBuilder) []Effect {
	step := c.step()
	if step == nil || step.Action != "" || step.Deadline <= 0 {
		return nil
	}
	return []Effect{c.deadline(Command{Verb: VerbStepLate, Step: c.event.step().String()}, c.event.RecordedAt.Add(step.Deadline),
		fmt.Sprintf("%s/%d/step_timer", c.inc.ID, c.event.Seq))}
}
