package incident

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fold replays a timeline and returns the resulting state. The state that the
// store holds is always equal to the fold of the stored events.
func Fold(id ID, events []Event) Incident {
	inc := New(id)
	for _, e := range events {
		inc = Apply(inc, e)
	}
	return inc
}

// New returns an incident before its first event.
func New(id ID) Incident { return Incident{ID: id, Head: Genesis(id)} }

// Apply folds one event into inc and returns the new state. It does not modify
// inc. It never fails: unknown or malformed content is ignored, and an erased
// text reads as empty.
func Apply(inc Incident, e Event) Incident {
	i := inc.clone()
	if e.Seq > 0 {
		i.Head = Head{Seq: e.Seq, Hash: e.Hash}
	}
	i.UpdatedAt = e.RecordedAt
	if e.By != "" && (e.By == i.Paging.AcknowledgedBy || e.By == i.Commander) {
		i.Paging.LastAction = e.RecordedAt
	}
	if e.Kind == EventOpened && i.Privileged == nil {
		i.Privileged = []int{}
	}
	if e.IsPrivileged() && i.Privileged != nil {
		i.Privileged = append(i.Privileged, e.Seq)
	}
	if e.By != "" && slices.Contains(writingEvents, e.Kind) {
		i.Written = maps.Clone(i.Written)
		if i.Written == nil {
			i.Written = map[PersonID]int{}
		}
		i.Written[e.By] += len(e.Texts)
	}
	switch e.Kind {
	case EventOpened:
		i.applyOpened(e)
	case EventAlertAttached, EventMergedFrom, EventSplitFrom:
		i.applyAttached(e)
	case EventAcknowledged:
		i.Paging.AcknowledgedBy, i.Paging.AcknowledgedAt, i.Paging.LastAction = e.By, e.RecordedAt, e.RecordedAt
		i.Paging.AcknowledgedSeverity = i.Severity
	case EventAckTimedOut:
		i.Paging.AcknowledgedBy, i.Paging.AcknowledgedSeverity = "", ""
		i.setRole(Commander, "")
	case EventRoundStarted, EventPageStarted, EventPageFailed, EventPageUnanswered:
		i.applyPaging(e)
	case EventSeveritySet:
		i.applySeveritySet(e)
	case EventSeverityProposed:
		i.applySeverityProposed(e)
	case EventSeverityKept:
		i.SeverityProposal = nil
		i.recordLowering(e.By)
	case EventRoleAssigned:
		i.setRole(Role(e.Field("role")), PersonID(e.Field("person")))
	case EventFactSet:
		i.applyFact(e)
	case EventDepartmentsInvolved:
		i.InvolvedDepartments = append(i.InvolvedDepartments, splitList[Department](e.Field("departments"))...)
	case EventEvidence:
		i.Evidence = append(i.Evidence, Evidence{ID: e.Field("evidence"), Name: e.Text("name"), Where: e.Text("where"), SHA256: e.Field("sha256"), By: e.By, At: e.RecordedAt})
	case EventRestricted:
		i.Restricted = e.Field("restricted") == "true"
	case EventMergedInto:
		i.MergedInto, _ = ParseID(e.Field("target"))
	case EventSplitInto:
		i.applySplitInto(e)
	case EventLegalHoldSet:
		i.LegalHold = &LegalHold{By: e.By, At: e.RecordedAt, Reason: e.Text("reason")}
	case EventLegalHoldReleased:
		i.LegalHold = nil
	case EventDismissProposed:
		i.Dismissal = &Dismissal{By: e.By, At: e.RecordedAt, Reason: e.Text("reason")}
	case EventDismissed:
		i.Dismissal = &Dismissal{By: e.By, At: e.RecordedAt, Reason: e.Text("reason")}
		if first := PersonID(e.Field("person")); first != "" {
			i.Dismissal.By, i.Dismissal.Second = first, e.By
		}
	case EventContained:
		i.setContainedAt(e.RecordedAt)
	case EventResolved:
		i.setContainedAt(e.RecordedAt)
		i.Unfinished = nil
		if steps := splitList[string](e.Field("open_steps")); len(steps) > 0 {
			i.Unfinished = &Unfinished{Steps: steps, By: e.By, At: e.RecordedAt, Reason: e.Text("reason")}
		}
	case EventReopened:
		i.applyReopened()
	case EventChannelOpened, EventChannelReplaced, EventLinked:
		if i.Links == nil {
			i.Links = map[string]string{}
		}
		i.Links[e.Field("name")] = e.Field("value")
	case EventDelegated:
		i.addDelegation(Delegation{Department: e.department(), From: e.By, To: e.person("person"), Until: parseInstant(e.Field("until"))}, e.RecordedAt)
	case EventErasureProposed:
		i.Erasure = &Erasure{By: e.By, At: e.RecordedAt, Reason: e.Text("reason"), Refs: textRefs(e)}
	case EventErased:
		i.Erasure = nil
	case EventPersonLeft:
		i.applyPersonLeft(e)
	default:
		i.applyAccess(e)
		i.applyPlaybook(e)
		i.applyClosing(e)
	}
	if s := e.Field("status"); s != "" {
		i.Status = Status(s)
	}
	if !i.Status.Live() {
		i.SeverityProposal = nil // the severity does not change any more
	}
	return i
}

// clone returns a copy deep enough for Apply to modify in place.
func (i Incident) clone() Incident {
	i.Roles, i.Links, i.Facts.Aware = maps.Clone(i.Roles), maps.Clone(i.Links), maps.Clone(i.Facts.Aware)
	i.Access, i.InvolvedDepartments, i.Delegations = slices.Clone(i.Access), slices.Clone(i.InvolvedDepartments), slices.Clone(i.Delegations)
	i.Revoked, i.Exclusions = slices.Clone(i.Revoked), slices.Clone(i.Exclusions)
	i.Paging.Started, i.Paging.Failed = slices.Clone(i.Paging.Started), slices.Clone(i.Paging.Failed)
	i.Alerts, i.Evidence, i.Facts.Affected = slices.Clone(i.Alerts), slices.Clone(i.Evidence), slices.Clone(i.Facts.Affected)
	i.Signatures, i.Objections, i.Consultations = slices.Clone(i.Signatures), slices.Clone(i.Objections), slices.Clone(i.Consultations)
	i.Postmortems, i.Actions, i.MergedFrom = slices.Clone(i.Postmortems), slices.Clone(i.Actions), slices.Clone(i.MergedFrom)
	i.SplitInto, i.LoweredBy, i.Privileged = slices.Clone(i.SplitInto), slices.Clone(i.LoweredBy), slices.Clone(i.Privileged)
	i.Runs = slices.Clone(i.Runs)
	for n := range i.Runs {
		i.Runs[n].Plan = slices.Clone(i.Runs[n].Plan)
	}
	return i
}

func (i *Incident) applyOpened(e Event) {
	i.Title, i.Origin = e.Text("title"), Origin(e.Field("origin"))
	i.applySeverity(Severity(e.Field("severity")))
	i.Restricted = e.Field("restricted") == "true"
	i.OpenedAt, i.OpenedBy = e.RecordedAt, e.By
	if e.is("reported") {
		i.Reporter = &Reporter{User: e.Text("reporter_user"), Team: e.Text("reporter_team"), Name: e.Text("reporter_name")}
	}
	i.Facts.PersonalData = PersonalUnknown
	i.Facts.TimeZone, i.Facts.Language = e.Field("time_zone"), e.Field("language")
	i.Record.Audience, i.Record.Language = AudienceResponders, e.Field("language")
}

func (i *Incident) applyAttached(e Event) {
	if e.Kind == EventMergedFrom || e.Kind == EventSplitFrom {
		var alerts []AlertRef
		_ = json.Unmarshal([]byte(e.Text("alerts")), &alerts) // fails if the text was erased, which is acceptable
		i.Alerts = append(i.Alerts, alerts...)
		switch id, err := ParseID(e.Field("source")); {
		case err != nil:
		case e.Kind == EventSplitFrom:
			i.SplitFrom = id
		default:
			i.MergedFrom = append(i.MergedFrom, id)
		}
		i.inherit(e)
		return
	}
	id, _ := strconv.ParseInt(e.Field("alert"), 10, 64)
	i.Alerts = append(i.Alerts, AlertRef{Alert: id, Source: e.Field("source"), Kind: e.Field("kind"), Level: Level(e.Field("level")),
		Title: e.Text("title"), URL: e.Text("url"), Rule: e.Text("rule"), Fingerprint: e.Field("fingerprint"), At: parseInstant(e.Field("at"))})
}

// applySplitInto removes the alerts that moved to another incident.
func (i *Incident) applySplitInto(e Event) {
	gone := splitList[string](e.Field("alerts"))
	i.Alerts = slices.DeleteFunc(i.Alerts, func(a AlertRef) bool { return slices.Contains(gone, strconv.FormatInt(a.Alert, 10)) })
	if id, err := ParseID(e.Field("target")); err == nil {
		i.SplitInto = append(i.SplitInto, id)
	}
}

func (i *Incident) setRole(r Role, p PersonID) {
	if i.Roles == nil {
		i.Roles = map[Role]PersonID{}
	}
	if p == "" {
		delete(i.Roles, r)
	} else {
		i.Roles[r] = p
	}
	if r == Commander {
		i.Commander = p
	}
}

func (i *Incident) applyPaging(e Event) {
	step, next := atoi(e.Field("escalation_step")), e.Field("next")
	p := &i.Paging
	current := atoi(e.Field("round")) == p.Round
	switch {
	case e.Kind == EventRoundStarted:
		*p = Paging{Round: atoi(e.Field("round")), StartedAt: parseInstant(e.Field("started_at")), EscalationStepAt: e.RecordedAt, LastAction: p.LastAction}
	case !current:
	case e.Kind == EventPageStarted:
		p.Started = append(p.Started, step)
	case e.Kind == EventPageFailed:
		p.Failed = append(p.Failed, step)
	}
	if next != "" && current {
		p.EscalationStep, p.EscalationStepAt = atoi(next), e.RecordedAt
	}
}

func (i *Incident) applyFact(e Event) {
	set := Instant{At: parseInstant(e.Field("value")), SetAt: e.RecordedAt, By: e.By, Reason: e.Text("reason")}
	switch FactName(e.Field("fact")) {
	case FactOccurred:
		i.Facts.Occurred = &set
	case FactDetected:
		i.Facts.Detected = &set
	case FactClassified:
		i.Facts.Classified = &set
	case FactAware:
		if i.Facts.Aware == nil {
			i.Facts.Aware = map[string]Instant{}
		}
		i.Facts.Aware[e.Field("regime")] = set
	case FactPersonalData:
		i.applyPersonalData(PersonalData(e.Field("value")), e.By)
	case FactTimeZone:
		i.Facts.TimeZone = e.Field("value")
	case FactLanguage:
		i.Facts.Language, i.Record.Language = e.Field("value"), e.Field("value")
	case FactAffected:
		next := Affected{Who: e.Text("who"), Capacity: Capacity(e.Field("capacity")), Count: atoi(e.Field("count")), NotifiedAt: parseInstant(e.Field("notified_at")), By: e.By, Reason: e.Text("reason")}
		i.Facts.Affected = slices.DeleteFunc(i.Facts.Affected, func(a Affected) bool { return a.Who == next.Who })
		i.Facts.Affected = append(i.Facts.Affected, next)
	}
}

// setContainedAt sets ContainedAt if it is not set yet.
func (i *Incident) setContainedAt(at time.Time) {
	if i.ContainedAt.IsZero() {
		i.ContainedAt = at
	}
}

func (i *Incident) applyPlaybook(e Event) {
	switch e.Kind {
	case EventPlaybookStarted:
		var run Run
		if json.Unmarshal([]byte(e.Text("run")), &run) != nil {
			run = Run{Playbook: e.Field("run"), Digest: e.Field("digest")} // erased
		}
		for n := range run.Plan {
			run.Plan[n].Status = StepOpen
		}
		i.Runs = append(i.Runs, run)
	case EventStepStarted, EventStepDone, EventStepSkipped, EventStepLate:
		_, s := i.Step(e.Field("run") + "/" + e.Field("step"))
		if s == nil {
			return
		}
		if e.Kind == EventStepStarted {
			s.Started = e.RecordedAt
			return
		}
		s.Status = map[EventKind]StepStatus{EventStepDone: StepDone, EventStepSkipped: StepSkipped, EventStepLate: StepLate}[e.Kind]
		if e.Kind != EventStepLate {
			s.By, s.At, s.Outcome = e.By, e.HappenedAt, e.Text("outcome")
		}
	}
}

func textRefs(e Event) []TextRef {
	var refs []TextRef
	_ = json.Unmarshal([]byte(e.Field("refs")), &refs) // written by Decide
	return refs
}

// joinList joins the elements of a list as splitList splits them.
func joinList[T ~string](list []T) string {
	out := make([]string, len(list))
	for n, v := range list {
		out[n] = string(v)
	}
	return strings.Join(out, ",")
}

func splitList[T ~string](s string) []T {
	var out []T
	for _, p := range strings.Split(s, ",") {
		if p != "" {
			out = append(out, T(p))
		}
	}
	return out
}

func parseInstant(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s) // written by Decide, "" yields the zero time
	if t = t.UTC(); err != nil || t.Year() < 0 || t.Year() > 9999 {
		return time.Time{}
	}
	return t
}

func atoi(s string) int {
	n, _ := strconv.Atoi(s) // written by Decide
	return n
}
