package incident

import "slices"

// verbsByNeed are the verbs of people in the order in which people need them: first the
// steps of the lifecycle, then what keeps others informed, then the rest. Verbs that are
// not listed follow in the order of the lifecycle table.
var verbsByNeed = []Verb{
	VerbAcknowledge, VerbContain, VerbResolve, VerbDismiss, VerbSign, VerbSubmit, VerbEditRecord, VerbAnswer, VerbConclude, VerbScheduleReview,
	VerbSetSeverity, VerbUpdate, VerbStepDone, VerbHandover, VerbNote, VerbSetFact, VerbAddAction,
	VerbPageAgain, VerbAssignRole, VerbInvolve, VerbConsult, VerbEvidence, VerbObject, VerbStartPlaybook, VerbStepSkip,
	VerbFinishAction, VerbAmend, VerbRevise, VerbReopen, VerbGrant,
}

// movingVerbs are the verbs whose purpose is to change the status. They are the first
// suggestions for a person whose command was refused.
var movingVerbs = []Verb{VerbAcknowledge, VerbContain, VerbResolve, VerbSign, VerbSubmit, VerbConclude, VerbAmend, VerbRevise, VerbReopen, VerbDismiss}

// Possible returns the verbs that a person may use on the incident now, in the order in
// which people need them. It leaves out verbs that would change nothing at the moment,
// such as an acknowledgement after another one. It returns nil for people who may not
// read the incident.
//
// The arguments of a verb can still be refused: the holder of a role may finish the steps
// of the role only.
func Possible(inc Incident, env Env) []Verb {
	if inc.ID == 0 || !inc.MayRead(env.Directory, env.Actor, env.Now) {
		return nil
	}
	d := newDecider(Command{}, inc, env)
	var out []Verb
	for _, t := range Transitions {
		if !slices.Contains(t.From, inc.Status) || slices.Contains(out, t.Verb) || t.Who&^TheBot == 0 {
			continue
		}
		if d.cmd = (Command{Verb: t.Verb}); d.mayUse(t.Who) && d.isUseful() {
			out = append(out, t.Verb)
		}
	}
	slices.SortStableFunc(out, func(a, b Verb) int { return a.need(inc.Status) - b.need(inc.Status) })
	return out
}

// need returns the place of the verb in verbsByNeed. People write the closing record after
// the response.
func (v Verb) need(s Status) int {
	if n := slices.Index(verbsByNeed, v); n >= 0 && (v != VerbEditRecord || s.Closing()) {
		return n
	}
	return len(verbsByNeed)
}

// mayUse reports whether the actor may use the verb with at least one value of its
// arguments.
func (d *decider) mayUse(who Authority) bool {
	actor, dir, now := d.env.Actor, d.env.Directory, d.env.Now
	for _, c := range classes {
		if !who.Has(c.class) || c.class == TheBot || c.class == Anyone {
			continue
		}
		var may bool
		switch c.class {
		case StepHolders:
			may = slices.ContainsFunc(d.inc.unfinishedSteps(false), func(s StepRef) bool { return d.inc.mustDo(s, dir, actor, now) })
		case ItemOwners:
			may = slices.ContainsFunc(d.inc.Actions, func(a Action) bool { return a.Owner == actor && !a.IsDone() })
		case DepartmentMembers:
			may = len(d.inc.departmentsFor(d.cmd.Verb, dir, actor, now)) > 0
		default:
			may = d.isA(c.class)
		}
		if may {
			return true
		}
	}
	return false
}

// isUseful reports whether the verb can change anything in the present state.
func (d *decider) isUseful() bool {
	inc := d.inc
	switch d.cmd.Verb {
	case VerbAcknowledge:
		return !inc.Paging.Acknowledged()
	case VerbPageAgain:
		return inc.Paging.Acknowledged() || inc.Paging.Round == 0
	case VerbKeepSeverity:
		return inc.SeverityProposal != nil
	case VerbStepDone, VerbStepSkip:
		return len(inc.unfinishedSteps(false)) > 0
	case VerbFinishAction:
		return len(inc.OpenActions()) > 0
	case VerbWithdraw:
		return len(inc.Signatures) > 0 || slices.ContainsFunc(inc.Objections, Objection.Open)
	case VerbScheduleReview:
		return inc.Review.Concluded.IsZero()
	case VerbReleaseLegalHold:
		return inc.LegalHold != nil
	case VerbSetLegalHold:
		return inc.LegalHold == nil
	case VerbConfirmChange:
		return len(inc.DistrustedChanges) > 0
	case VerbReadmit:
		return len(inc.Exclusions) > 0
	case VerbReplacement, VerbRequestAccess, VerbBreakGlass:
		return false // for administrators, and for people who may not read the incident
	case VerbEndorseAccess:
		return slices.ContainsFunc(inc.AccessRequests, func(r AccessRequest) bool { return r.By != d.env.Actor && d.env.Now.Before(r.Until) })
	case VerbEndDelegation:
		return slices.ContainsFunc(inc.Delegations, func(g Delegation) bool { return d.env.Now.Before(g.Until) })
	}
	return true
}

// maxSuggestions is how many commands the error of a refused command suggests.
const maxSuggestions = 3

// suggestions returns the first commands of [Possible] without the refused one, as people
// type them: those that change the status before the others. It returns "" for people who
// may not read the incident.
func (d *decider) suggestions() string {
	var moves, others []string
	for _, v := range Possible(d.inc, d.env) {
		word := v.CommandName()
		switch {
		case v == d.cmd.Verb, slices.Contains(others, word):
		case slices.Contains(movingVerbs, v):
			moves = append(moves, word)
		default:
			others = append(others, word)
		}
	}
	words := append(moves, others...)
	return Choices(words[:min(len(words), maxSuggestions)])
}
