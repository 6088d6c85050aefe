package command

import (
	"maps"
	"slices"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// change is a command with its effect: the incident afterwards and the new events.
type change struct {
	cmd    incident.Command
	inc    incident.Incident
	events []incident.Event
}

// event returns the last event of a kind, or a zero one.
func (c change) event(kind incident.EventKind) (out incident.Event) {
	for _, e := range c.events {
		if e.Kind == kind {
			out = e
		}
	}
	return out
}

func (c change) has(kind incident.EventKind) bool { return c.event(kind).Kind != "" }

// done returns a result that is one sentence about the incident.
func done(format string) func(change) incident.Sentence {
	return func(c change) incident.Sentence {
		return incident.Sentence{Format: format, Args: []any{c.inc.ID}}
	}
}

func opened(c change) incident.Sentence {
	if c.inc.Restricted {
		return incident.Say("%s is open at %s, for its participants only. Tocsin is creating the channel and will invite you", c.inc.ID, c.inc.Severity)
	}
	return incident.Say("%s is open at %s, for the whole company. Tocsin is creating the channel and will invite you", c.inc.ID, c.inc.Severity)
}

func acknowledged(c change) incident.Sentence {
	switch {
	case c.has(incident.EventRoleAssigned):
		return incident.Say("You acknowledged %s and are its commander. Paging stopped", c.inc.ID)
	case c.inc.Commander != "":
		return incident.Say("You acknowledged %s. Paging stopped, and %s stays the commander", c.inc.ID, c.inc.Commander)
	}
	return incident.Say("You acknowledged %s. Paging stopped", c.inc.ID)
}

func severitySet(c change) incident.Sentence {
	from := incident.Severity(c.event(incident.EventSeveritySet).Field("from"))
	switch {
	case c.has(incident.EventRoundStarted):
		return incident.Say("The severity of %s is now %s, it was %s. A new paging round starts", c.inc.ID, c.inc.Severity, from)
	case from != "":
		return incident.Say("The severity of %s is now %s, it was %s. Nobody is paged because of it", c.inc.ID, c.inc.Severity, from)
	}
	return incident.Say("The severity of %s is now %s", c.inc.ID, c.inc.Severity)
}

func severityKept(c change) incident.Sentence {
	return incident.Say("The severity of %s stays %s. The proposal of the alert is rejected", c.inc.ID, c.inc.Severity)
}

func roleAssigned(c change) incident.Sentence {
	e := c.event(incident.EventRoleAssigned)
	return incident.Say("%s has the role %s in %s", incident.PersonID(e.Field("person")), e.Field("role"), c.inc.ID)
}

func handedOver(c change) incident.Sentence {
	return incident.Say("%s commands %s now. Tocsin sends the new commander a briefing", c.inc.Commander, c.inc.ID)
}

func playbookStarted(c change) incident.Sentence {
	run := c.inc.Run(c.event(incident.EventPlaybookStarted).Field("run"))
	if run == nil {
		return incident.Say("The playbook starts in %s", c.inc.ID)
	}
	return incident.Say("The playbook %s runs in %s. Tocsin posts its first steps. Steps in total: %d", incident.Literal(run.Playbook), c.inc.ID, len(run.Plan))
}

// factSet names the fact, its value and how it is known. A breach of personal data under
// the GDPR has its deadline at once.
func factSet(c change) incident.Sentence {
	e := c.event(incident.EventFactSet)
	name, known := strings.ReplaceAll(e.Field("fact"), "_", " "), incident.Quoted(e.Text("reason"))
	clock, _ := c.inc.ReportingClock()
	switch at, err := time.Parse(time.RFC3339Nano, e.Field("value")); {
	case e.Field("fact") == string(incident.FactAffected):
		return incident.Say("%s is affected by %s. How this is known: %s", incident.Quoted(e.Text("who")), c.inc.ID, known)
	case e.Field("fact") == string(incident.FactAware) && e.Field("regime") == incident.RegimeGDPR && !clock.Due.IsZero():
		return incident.Say("The company is aware under the GDPR in %s since %s. The 72 hours end at %s. How this is known: %s", c.inc.ID, at, clock.Due, known)
	case e.Field("fact") == string(incident.FactAware):
		return incident.Say("The company is aware under %s in %s since %s. How this is known: %s", incident.Literal(strings.ToUpper(e.Field("regime"))), c.inc.ID, at, known)
	case err == nil:
		return incident.Say("The fact %s of %s is now %s. How this is known: %s", name, c.inc.ID, at, known)
	case known == "":
		return incident.Say("The fact %s of %s is now %s", name, c.inc.ID, incident.Literal(e.Field("value")))
	case c.has(incident.EventDepartmentsInvolved):
		return incident.Say("The fact %s of %s is now %s, and Tocsin involves %s. How this is known: %s", name, c.inc.ID, incident.Literal(e.Field("value")),
			departmentsOf(c.event(incident.EventDepartmentsInvolved)), known)
	}
	return incident.Say("The fact %s of %s is now %s. How this is known: %s", name, c.inc.ID, incident.Literal(e.Field("value")), known)
}

func departmentsOf(e incident.Event) incident.Labels {
	return strings.Split(e.Field("departments"), ",")
}

// stepFinished names the step and the number of the others.
func stepFinished(c change) incident.Sentence {
	e, format := c.event(incident.EventStepDone), "The step %s of %s is done. Other open steps: %d"
	if e.Kind == "" {
		e, format = c.event(incident.EventStepSkipped), "The step %s of %s is skipped. Other open steps: %d"
	}
	title := e.Field("step")
	if _, step := c.inc.Step(e.Field("run") + "/" + title); step != nil {
		title = step.Title
	}
	return incident.Sentence{Format: format, Args: []any{incident.Quoted(title), c.inc.ID, len(c.inc.OpenSteps())}}
}

func noted(c change) incident.Sentence {
	e := c.event(incident.EventNoted)
	readers := map[incident.Audience]string{incident.AudienceAll: "everyone who can read the incident", incident.AudienceLegalSecurity: "legal and security only"}[e.Audience]
	if readers == "" {
		readers = "responders"
	}
	return incident.Say("The note is entry %d of the timeline of %s, for %s", e.Seq, c.inc.ID, readers)
}

func evidenceAdded(c change) incident.Sentence {
	e := c.event(incident.EventEvidence)
	return incident.Say("The evidence %s is in the timeline of %s: %s", incident.Literal(e.Field("evidence")), c.inc.ID, incident.Quoted(e.Text("name")))
}

func recordEdited(c change) incident.Sentence {
	var labels incident.Labels
	for _, name := range append(slices.Sorted(maps.Keys(c.cmd.Record)), c.cmd.Confirm...) {
		labels = append(labels, strings.ReplaceAll(name, "_", " "))
	}
	return incident.Say("Saved in the closing record of %s: %s", c.inc.ID, labels)
}

func signed(c change) incident.Sentence {
	e := c.event(incident.EventSigned)
	unsigned, _, _ := c.inc.Missing()
	if len(unsigned) == 0 {
		return incident.Say("You signed the closing record of %s for %s. Every department has signed", c.inc.ID, incident.Department(e.Field("department")))
	}
	return incident.Say("You signed the closing record of %s for %s. Not signed yet: %s", c.inc.ID, incident.Department(e.Field("department")), incident.Labels(names(unsigned)))
}

func withdrawn(c change) incident.Sentence {
	if e := c.event(incident.EventSignatureWithdrawn); e.Kind != "" {
		return incident.Say("Your signature of %s for %s is withdrawn", c.inc.ID, incident.Department(e.Field("department")))
	}
	return incident.Say("The objection %s of %s is withdrawn", incident.Literal(c.event(incident.EventObjectionClosed).Field("objection")), c.inc.ID)
}

func delegated(c change) incident.Sentence {
	return incident.Say("%s can act for %s in %s until %s", c.cmd.Person, c.cmd.Department, c.inc.ID, c.cmd.Until)
}

func delegationEnded(c change) incident.Sentence {
	return incident.Say("%s no longer acts for %s in %s. Signatures that were given stay valid", c.cmd.Person, c.cmd.Department, c.inc.ID)
}

func consulted(c change) incident.Sentence {
	e := c.event(incident.EventConsulted)
	if e.Field("blocking") == "true" {
		return incident.Say("Tocsin asks %s in %s. The record cannot be approved without the answer", incident.Department(e.Field("department")), c.inc.ID)
	}
	return incident.Say("Tocsin asks %s in %s", incident.Department(e.Field("department")), c.inc.ID)
}

func involved(c change) incident.Sentence {
	return incident.Say("%s can read %s now. Tocsin invites the members to the channel", departmentsOf(c.event(incident.EventDepartmentsInvolved)), c.inc.ID)
}

func answered(c change) incident.Sentence {
	return incident.Say("The answer of %s is recorded in %s", incident.Department(c.event(incident.EventAnswered).Field("department")), c.inc.ID)
}

func revised(c change) incident.Sentence {
	return incident.Say("Revision %d of the closing record of %s is frozen. Tocsin requests the signatures of the departments", c.inc.Revision, c.inc.ID)
}

func dismissed(c change) incident.Sentence {
	if c.has(incident.EventDismissed) {
		return incident.Say("%s is dismissed as a false alarm. Its channel stays readable", c.inc.ID)
	}
	return incident.Say("You proposed to dismiss %s. The incident stays open until another person confirms", c.inc.ID)
}

func merged(c change) incident.Sentence {
	return incident.Say("%s is merged into %s. Continue there", c.inc.ID, c.cmd.Target)
}

func reviewScheduled(c change) incident.Sentence {
	return incident.Say("The review meeting of %s is at %s. Tocsin mails the invitations", c.inc.ID, c.inc.Review.At)
}

func concluded(c change) incident.Sentence {
	return incident.Say("The review of %s is recorded. Action items of the incident: %d", c.inc.ID, len(c.inc.Actions))
}

func waived(c change) incident.Sentence {
	if c.has(incident.EventWaiverEndorsed) {
		return incident.Say("You endorsed the waiver of the action items of %s", c.inc.ID)
	}
	return incident.Say("You proposed to close %s without the required action items", c.inc.ID)
}

func actionAdded(c change) incident.Sentence {
	if len(c.inc.Actions) == 0 {
		return incident.Say("The action item is added to %s", c.inc.ID)
	}
	a := c.inc.Actions[len(c.inc.Actions)-1]
	return incident.Say("The action item %s is added to %s for %s, due %s", incident.Literal(a.ID), c.inc.ID, a.Owner, incident.Day(a.Due))
}

func actionDone(c change) incident.Sentence {
	return incident.Say("The action item %s of %s is done. Open ones: %d", incident.Literal(c.event(incident.EventActionDone).Field("action")), c.inc.ID, len(c.inc.OpenActions()))
}

func granted(c change) incident.Sentence {
	return incident.Say("%s can now read %s", c.cmd.Person, c.inc.ID)
}

func endorsed(c change) incident.Sentence {
	return incident.Say("%s can now read %s. The access ends after %d days", c.cmd.Person, c.inc.ID, int(incident.AccessTTL.Hours()/24))
}

func revoked(c change) incident.Sentence {
	return incident.Say("%s can no longer read %s", c.cmd.Person, c.inc.ID)
}

func replaced(c change) incident.Sentence {
	return incident.Say("%s acts for %s in %s", c.cmd.Person, c.cmd.Department, c.inc.ID)
}

func restricted(c change) incident.Sentence {
	if c.inc.Restricted {
		return incident.Say("Only participants can now read %s", c.inc.ID)
	}
	return incident.Say("The whole company can now read %s", c.inc.ID)
}

func erased(c change) incident.Sentence {
	if c.has(incident.EventErased) {
		return incident.Say("The texts of %s are erased permanently: %d", c.inc.ID, len(c.cmd.Erase))
	}
	return incident.Say("You proposed to erase texts of %s: %d", c.inc.ID, len(c.cmd.Erase))
}

func promoted(c change) incident.Sentence {
	return incident.Say("The alert is attached to %s, which is %s at %s", c.inc.ID, c.inc.Status, c.inc.Severity)
}

func split(c change) incident.Sentence {
	if n := len(c.inc.SplitInto); n > 0 {
		return incident.Say("The alerts of %s moved to the new incident %s", c.inc.ID, c.inc.SplitInto[n-1])
	}
	return incident.Say("The alerts moved to the new incident %s", c.inc.ID)
}
