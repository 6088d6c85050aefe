package response

import (
	"errors"
	"fmt"
	"slices"

	"tocsin/bot/incident"
)

// localHandler returns the function for an effect that needs no outside system,
// or nil for any other effect. It commits the result and completes the job in one
// transaction.
func (a *attempt) localHandler() func(*session) error {
	do := map[incident.EffectKind]func(*session) (string, error){
		incident.EffectDeadline:        a.deadline,
		incident.EffectBotStep:         a.botStep,
		incident.EffectWritePostmortem: a.writePostmortem,
		incident.EffectTestPageDue:     a.testPageDue,
	}[a.effect.Kind]
	if do == nil {
		return nil
	}
	return func(s *session) error {
		result, err := do(s)
		switch {
		case incident.CodeOf(err) != "":
			result = "rejected: " + err.Error()
		case err != nil:
			return err
		case result == "":
			return nil // snoozed
		}
		return s.finish(a.job, result)
	}
}

// deadline gives the command of a deadline. If the incident moved the deadline, it
// snoozes the effect until then.
func (a *attempt) deadline(s *session) (string, error) {
	err := s.doAsBot(a.effect.Incident, a.effect.Deadline().Command)
	early := new(incident.NotDue)
	if !errors.As(err, &early) {
		return "deadline passed", err
	}
	if err := s.tx.SnoozeEffect(a.job, early.Until); err != nil {
		return "", fmt.Errorf("snooze deadline: %w", err)
	}
	return "", nil
}

func (a *attempt) stepRef() string { return a.effect.Args["run"] + "/" + a.effect.Args["step"] }

// botStep carries out an automated step that an earlier version of Tocsin enqueued.
func (a *attempt) botStep(s *session) (string, error) {
	return "done", s.carryOut(a.effect.Incident, a.stepRef())
}

// writePostmortem renders and stores the postmortem of the approved closing
// record. It writes nothing if the record has changed since.
func (a *attempt) writePostmortem(s *session) (string, error) {
	id, revision := a.effect.Incident, intArg(a.effect, "revision")
	dr, err := s.draft(id)
	if err != nil {
		return "", err
	}
	if sub := dr.inc.Submission; sub == nil || sub.Digest != a.effect.Args["digest"] || len(dr.inc.Signatures) < len(incident.RequiredDepartments()) {
		return "the closing record changed, so this revision was not written", nil
	}
	if slices.ContainsFunc(dr.inc.Postmortems, func(p incident.Postmortem) bool { return p.Revision == revision }) {
		return "already written", nil
	}
	timeline, err := s.tx.Timeline(id)
	if err != nil {
		return "", fmt.Errorf("read the timeline of %s: %w", id, err)
	}
	counts, err := countAlerts(s.tx, id)
	if err != nil {
		return "", err
	}
	total := incident.SumAlerts(counts)
	doc, err := s.d.RenderPostmortem(Postmortem{Alerts: total, Incident: dr.inc.WithoutExclusions(), Timeline: incident.WithoutSecret(timeline), Directory: s.dir, Revision: revision, Written: s.now})
	if err != nil {
		return "", fmt.Errorf("render the postmortem: %w", err)
	}
	doc.Revision, doc.Digest = revision, a.effect.Args["digest"]
	err = s.doAsBot(id, incident.Command{Verb: incident.VerbPostmortemWritten, Document: doc.Digest, Revision: revision, Count: total.Alerts, Occurrences: total.Occurrences})
	if err != nil {
		return "", err
	}
	if err := s.tx.PutDocument(id, doc); err != nil {
		return "", fmt.Errorf("store the postmortem: %w", err)
	}
	return "written", nil
}
