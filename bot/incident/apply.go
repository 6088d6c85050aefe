package incident

import (
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
		inc.apply(e)
	}
	return inc
}

// New returns an incident before its first event.
func New(id ID) Incident { return Incident{ID: id, Head: Genesis(id)} }

// Apply folds one event into inc and returns the new state. It does not modify
// inc. It never fails: unknown or malformed content is ignored, and an erased
// text reads as empty.
func Apply(inc Incident, e Event) Incident {
	inc.apply(e)
	return inc
}

// apply folds one event into i. It does not modify copies of i that were made before.
func (i *Incident) apply(e Event) {
	*i = i.clone()
	if e.Seq > 0 {
		i.Head = Head{Seq: e.Seq, Hash: e.Hash}
	}
	i.UpdatedAt = e.RecordedAt
	if e.By != "" && e.Kind != EventPresence && (e.By == i.Paging.AcknowledgedBy || e.By == i.Commander) {
		i.Paging.LastAction = e.RecordedAt
	}
	if e.Kind == EventOpened && i.Privileged == nil {
		i.Privileged = []int{}
	}
	if e.IsPrivileged() && i.Privileged != nil {
		i.Privileged = append(i.Privileged, e.Seq)
	}
	spec := eventSpecs[e.Kind]
	if e.By != "" && spec.repeatable {
		i.Written = maps.Clone(i.Written)
		if i.Written == nil {
			i.Written = map[PersonID]int{}
		}
		i.Written[e.By] += len(e.Texts)
	}
	i.markHere(e)
	i.trackProof(e)
	i.trackLocal(e)
	if spec.apply != nil {
		spec.apply(i, e)
	}
	if s := e.Field("status"); s != "" {
		i.Status, i.StatusSince = Status(s), e.HappenedAt
	}
	if !i.Status.Live() {
		i.SeverityProposal = nil // the severity does not change any more
	}
	i.trackRequests(e)
}

// clone returns a copy deep enough for Apply to modify in place.
func (i Incident) clone() Incident {
	i.Roles, i.Links, i.Facts.Aware = maps.Clone(i.Roles), maps.Clone(i.Links), maps.Clone(i.Facts.Aware)
	i.Access, i.InvolvedDepartments, i.Delegations = slices.Clone(i.Access), slices.Clone(i.InvolvedDepartments), slices.Clone(i.Delegations)
	i.AccessUntil, i.AccessRequests, i.BreakGlass = maps.Clone(i.AccessUntil), slices.Clone(i.AccessRequests), slices.Clone(i.BreakGlass)
	i.Revoked, i.Exclusions = slices.Clone(i.Revoked), slices.Clone(i.Exclusions)
	i.Pages, i.FormerChannels = slices.Clone(i.Pages), slices.Clone(i.FormerChannels)
	i.Paging.Started, i.Paging.Failed = slices.Clone(i.Paging.Started), slices.Clone(i.Paging.Failed)
	i.Alerts, i.Evidence, i.Facts.Affected = slices.Clone(i.Alerts), slices.Clone(i.Evidence), slices.Clone(i.Facts.Affected)
	i.Signatures, i.Objections, i.Consultations = slices.Clone(i.Signatures), slices.Clone(i.Objections), slices.Clone(i.Consultations)
	i.Postmortems, i.Actions, i.MergedFrom = slices.Clone(i.Postmortems), slices.Clone(i.Actions), slices.Clone(i.MergedFrom)
	i.SplitInto, i.LoweredBy, i.Privileged = slices.Clone(i.SplitInto), slices.Clone(i.LoweredBy), slices.Clone(i.Privileged)
	i.Calls, i.Here, i.NotInvited = slices.Clone(i.Calls), maps.Clone(i.Here), maps.Clone(i.NotInvited)
	i.DistrustedChanges = slices.Clone(i.DistrustedChanges)
	i.Runs, i.Messages, i.Updates = slices.Clone(i.Runs), slices.Clone(i.Messages), slices.Clone(i.Updates)
	for n := range i.Updates {
		i.Updates[n].Sent = slices.Clone(i.Updates[n].Sent)
	}
	if i.Meeting != nil {
		meeting := *i.Meeting
		meeting.Invited = slices.Clone(meeting.Invited)
		i.Meeting = &meeting
	}
	for n := range i.Runs {
		i.Runs[n].Plan = slices.Clone(i.Runs[n].Plan)
	}
	return i
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
