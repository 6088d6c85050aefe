package response

import (
	"fmt"
	"slices"

	"tocsin/bot/incident"
	"tocsin/playbooks"
)

// localHandler returns what does an effect that needs nobody outside, or nil. Each
// ends the job in the transaction that writes what came of it.
func (a *attempt) localHandler() func(*session) error {
	do := map[incident.EffectKind]func(*session) (string, error){
		incident.EffectEscalationTimer: a.pageTimer,
		incident.EffectAckTimer:        a.ackTimer,
		incident.EffectStepTimer:       a.stepTimer,
		incident.EffectBotStep:         a.botStep,
		incident.EffectWritePostmortem: a.writePostmortem,
		incident.EffectStormTimer:      a.stormTimer,
	}[a.effect.Kind]
	if do == nil {
		return nil
	}
	return func(s *session) error {
		result, err := do(s)
		switch {
		case incident.CodeOf(err) != "":
			result = "refused: " + err.Error()
		case err != nil:
			return err
		case result == "":
			return nil // put off
		}
		return s.finish(a.job, result)
	}
}

// pageTimer asks the next route when nobody has acknowledged in time.
func (a *attempt) pageTimer(s *session) (string, error) {
	err := s.doAsBot(a.effect.Incident, incident.Command{Verb: incident.VerbPageTimeout, Round: intArg(a.effect, "round"), EscalationStep: intArg(a.effect, "escalation_step")})
	return "rang", err
}

// ackTimer takes the incident from a commander who fell silent. A sign of
// life puts it off.
func (a *attempt) ackTimer(s *session) (string, error) {
	dr, err := s.draft(a.effect.Incident)
	if err != nil {
		return "", err
	}
	at, holds := dr.inc.AckTimeoutAt(s.d.Policy)
	switch {
	case !holds || dr.inc.Paging.Round != intArg(a.effect, "round"):
		return "nothing to watch over any more", nil
	case s.now.Before(at):
		if err := s.tx.SnoozeEffect(a.job, at); err != nil {
			return "", fmt.Errorf("put the timer off: %w", err)
		}
		return "", nil
	}
	return "rang", s.doAsBot(a.effect.Incident, incident.Command{Verb: incident.VerbAckTimeout})
}

// stepTimer says that a step is late.
func (a *attempt) stepTimer(s *session) (string, error) {
	return "rang", s.doAsBot(a.effect.Incident, incident.Command{Verb: incident.VerbStepLate, Step: a.stepRef()})
}

func (a *attempt) stepRef() string { return a.effect.Args["run"] + "/" + a.effect.Args["step"] }

// botStep does a step of a playbook that needs nobody: it is said as a command
// like any other, and then it is done.
func (a *attempt) botStep(s *session) (string, error) {
	dr, err := s.draft(a.effect.Incident)
	if err != nil {
		return "", err
	}
	_, step := dr.inc.Step(a.stepRef())
	if step == nil || step.Finished() {
		return "nothing to do any more", nil
	}
	action, err := playbooks.ParseAction(step.Action)
	if err != nil {
		return "", incident.Invalid("action", "%s", err)
	}
	outcome := action.Outcome()
	if cmd := action.Command(a.effect.Incident); cmd.Verb != "" {
		err := s.doAsBot(a.effect.Incident, cmd)
		switch {
		case incident.CodeOf(err) != "":
			outcome = truncate("The bot could not do it: " + err.Error())
		case err != nil:
			return "", err
		}
	}
	return "done", s.doAsBot(a.effect.Incident, incident.Command{Verb: incident.VerbStepDone, Step: a.stepRef(), Text: outcome})
}

// writePostmortem renders the document of the record that was approved. One
// whose record changed meanwhile is not written.
func (a *attempt) writePostmortem(s *session) (string, error) {
	id, revision := a.effect.Incident, intArg(a.effect, "revision")
	dr, err := s.draft(id)
	if err != nil {
		return "", err
	}
	if sub := dr.inc.Submission; sub == nil || sub.Digest != a.effect.Args["digest"] || len(dr.inc.Signatures) < len(incident.RequiredDepartments()) {
		return "the record changed; this revision is not written", nil
	}
	if slices.ContainsFunc(dr.inc.Postmortems, func(p incident.Postmortem) bool { return p.Revision == revision }) {
		return "written before", nil
	}
	timeline, err := s.tx.Timeline(id)
	if err != nil {
		return "", fmt.Errorf("read the timeline of %s: %w", id, err)
	}
	doc, err := s.d.RenderPostmortem(dr.inc, timeline, s.dir, revision, s.now)
	if err != nil {
		return "", fmt.Errorf("render the postmortem: %w", err)
	}
	doc.Revision, doc.Digest = revision, a.effect.Args["digest"]
	err = s.doAsBot(id, incident.Command{Verb: incident.VerbPostmortemWritten, Document: doc.Digest, Revision: revision})
	if err != nil {
		return "", err
	}
	if err := s.tx.PutDocument(id, doc); err != nil {
		return "", fmt.Errorf("keep the postmortem: %w", err)
	}
	return "written", nil
}
