package response

import (
	"tocsin/bot/incident"
	"tocsin/playbooks"
)

// start starts a step that is due, or records that it is late. Tocsin carries out an
// automated step in the same transaction, because such a step only changes the
// incident.
func (s *session) start(id incident.ID, due playbooks.Due) error {
	ref, verb := due.Run+"/"+due.Step, incident.VerbStartStep
	if due.Late {
		verb = incident.VerbStepLate
	}
	err := s.doAsBot(id, incident.Command{Verb: verb, Step: ref})
	if err == nil && !due.Late {
		err = s.carryOut(id, ref)
	}
	if incident.CodeOf(err) != "" {
		return nil // the step is no longer due, or its action is not valid
	}
	return err
}

// carryOut carries out an automated step: it decides about the step's command like
// about any other, and then completes the step. It does nothing for the step of a
// person.
func (s *session) carryOut(id incident.ID, ref string) error {
	dr, err := s.draft(id)
	if err != nil {
		return err
	}
	_, step := dr.inc.Step(ref)
	if step == nil || step.Action == "" || step.Finished() {
		return nil
	}
	action, err := playbooks.ParseAction(step.Action)
	if err != nil {
		return incident.Invalid("action", "the action of step %s is not valid: %v", step.ID, err)
	}
	outcome := action.Outcome()
	if cmd := action.Command(id); cmd.Verb != "" {
		err := s.doAsBot(id, cmd)
		switch {
		case incident.CodeOf(err) != "":
			outcome = truncate("Tocsin could not do this: " + err.Error())
		case err != nil:
			return err
		}
	}
	return s.doAsBot(id, incident.Command{Verb: incident.VerbStepDone, Step: ref, Text: outcome})
}
