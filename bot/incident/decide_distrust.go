package incident

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
)

// distrusted undoes the acts through a distrusted provider. The incident becomes as it would be without these acts:
// signatures, acknowledgements, decisions, access and roles. Other changes are listed for people to confirm.
//
// The status only moves back. A signature that was given in another way stays valid as long as its record is frozen.
func (d *decider) distrusted() error {
	x := d.cmd.Distrust
	if x == nil {
		return Invalid("distrust", "the distrusted provider is missing")
	}
	undone := x.undone(d.env.Timeline)
	r := repair{decider: d, x: *x, undone: undone, as: withoutEvents(d.inc.ID, d.env.Timeline, undone), before: d.inc, fields: fields{}}
	if !r.plan() {
		return nil
	}
	reason := d.cmd.Text
	d.emit(EventDistrusted, r.fields, texts{"reason": reason})
	r.exclusions()
	if d.inc.LegalHold == nil && r.as.LegalHold != nil {
		d.emit(EventLegalHoldSet, nil, texts{"reason": firstOf(r.as.LegalHold.Reason, reason)})
	}
	if !d.inc.Restricted && r.as.Restricted {
		d.emit(EventRestricted, fields{"restricted": "true"}, texts{"reason": reason})
	}
	return r.finish(reason)
}

// repair is the work of a distrust in one incident.
type repair struct {
	*decider
	x        DistrustedProvider
	undone   map[int]bool
	as       Incident // as the incident would be
	before   Incident
	fields   fields
	severity Severity // to return to, or ""
	revise   bool     // the approved record needs a new revision
}

// plan computes the fields of the event. It reports whether any act was through the provider.
func (r *repair) plan() bool {
	var seqs []int
	var changes []DistrustedChange
	known := map[int]bool{}
	for _, e := range r.env.Timeline {
		if e.Kind == EventDistrusted {
			for _, seq := range parseRanges(e.Field("undone")) {
				known[seq] = true
			}
		}
		if r.undone[e.Seq] && !known[e.Seq] {
			seqs = append(seqs, e.Seq)
		}
		if r.x.obtained(e) && r.lists(e) {
			changes = append(changes, DistrustedChange{Seq: e.Seq, Kind: e.Kind, By: e.By, At: e.RecordedAt, Provider: r.x.Provider})
		}
	}
	seqs = slices.DeleteFunc(seqs, func(seq int) bool { return known[seq] })
	if len(seqs)+len(changes) == 0 {
		return false
	}
	r.set("distrusted", r.x.Provider)
	r.set("since", instant(r.x.Since))
	r.set("undone", formatRanges(seqs))
	if len(changes) > 0 {
		r.set("changes", encoded(changes))
	}
	r.planPeople()
	r.planSignoff()
	r.planProposals()
	r.planSeverity()
	r.planStatus()
	return true
}

func (r *repair) set(name, value string) { r.fields[name] = value }

func encoded(v any) string {
	data, _ := json.Marshal(v) // plain data
	return string(data)
}

// lists reports whether a person must confirm an event through the provider.
func (r *repair) lists(e Event) bool {
	if e.By == "" && e.Kind != EventOpened || slices.Contains(unlisted, e.Kind) || slices.ContainsFunc(r.before.DistrustedChanges, func(c DistrustedChange) bool { return c.Seq == e.Seq }) {
		return false
	}
	switch e.Kind {
	case EventSeveritySet:
		return e.severity("severity").MoreSevereThan(e.severity("from"))
	case EventRestricted:
		return e.is("restricted")
	case EventReopened, EventAmended, EventRevised, EventSignatureWithdrawn:
		return true
	}
	return !slices.Contains(reversible, e.Kind)
}

// keptAccess is who has access after a distrust.
type keptAccess struct {
	Access   []PersonID             `json:"access,omitempty"`
	Until    map[PersonID]time.Time `json:"until,omitempty"`
	Revoked  []PersonID             `json:"revoked,omitempty"`
	Requests []AccessRequest        `json:"requests,omitempty"`
	Glass    []BreakGlass           `json:"break_glass,omitempty"`
}

func accessOf(i Incident) keptAccess {
	return keptAccess{i.Access, i.AccessUntil, i.Revoked, i.AccessRequests, i.BreakGlass}
}

// planPeople restores access, delegations and roles.
func (r *repair) planPeople() {
	as, now := r.as, r.env.Now
	glass := slices.Clone(r.before.BreakGlass)
	for n, b := range glass { // every use stays in the list
		counts := slices.ContainsFunc(as.BreakGlass, func(want BreakGlass) bool { return want.By == b.By && want.At.Equal(b.At) })
		if !counts && now.Before(b.Until) {
			glass[n].Until = stamp(now)
		}
	}
	as.BreakGlass = glass
	if kept := encoded(accessOf(as)); kept != encoded(accessOf(r.before)) {
		r.set("kept_access", kept)
	}
	if kept := encoded(as.Delegations); len(as.Delegations)+len(r.before.Delegations) > 0 && kept != encoded(r.before.Delegations) {
		r.set("kept_delegations", kept)
	}
	if !maps.Equal(as.Roles, r.before.Roles) {
		r.set("kept_roles", encoded(as.Roles))
	}
	after := r.before
	after.applyKept(Event{Fields: r.fields, RecordedAt: now})
	var gone []PersonID
	for _, p := range r.env.Directory.People {
		if r.before.Restricted && r.before.MayRead(r.env.Directory, p.ID, now) && !after.MayRead(r.env.Directory, p.ID, now) {
			gone = append(gone, p.ID)
		}
	}
	r.set("removed", joinList(gone))
}

// planSignoff drops signatures and answers, and opens objections again.
func (r *repair) planSignoff() {
	var teams, answers []Department
	var objections []string
	for _, e := range r.env.Timeline {
		if e.Kind == EventSigned && r.undone[e.Seq] && slices.ContainsFunc(r.before.Signatures, func(s Signature) bool {
			return s.Department == e.department() && s.By == e.By && s.At.Equal(e.RecordedAt)
		}) {
			teams = append(teams, e.department())
		}
		if e.Kind == EventAnswered && r.undone[e.Seq] && slices.ContainsFunc(r.before.Consultations, func(c Consultation) bool { return c.Team == e.department() && c.At.Equal(e.RecordedAt) }) {
			answers = append(answers, e.department())
		}
	}
	for _, o := range r.as.Objections {
		if o.Open() && slices.ContainsFunc(r.before.Objections, func(have Objection) bool { return have.ID == o.ID && !have.Open() }) {
			objections = append(objections, o.ID)
		}
	}
	r.set("signatures", joinList(teams))
	r.set("answers", joinList(answers))
	r.set("objections", joinList(objections))
}

// planProposals drops proposals that wait for a second person, and the parts of a review that rest on the provider.
func (r *repair) planProposals() {
	var fell []string
	add := func(name string, have, would bool) {
		if have && !would {
			fell = append(fell, name)
		}
	}
	add("dismissal", r.before.Dismissal != nil, r.as.Dismissal != nil && r.before.Dismissal != nil && r.as.Dismissal.By == r.before.Dismissal.By)
	add("erasure", r.before.Erasure != nil, r.as.Erasure != nil)
	add("conclusion", !r.before.Review.Concluded.IsZero(), !r.as.Review.Concluded.IsZero())
	add("waiver", r.before.Review.WaivedBy != "", r.as.Review.WaivedBy == r.before.Review.WaivedBy)
	add("endorsement", r.before.Review.EndorsedBy != "", r.as.Review.EndorsedBy == r.before.Review.EndorsedBy)
	r.set("fell", strings.Join(fell, ","))
	if p := r.before.Paging; p.Acknowledged() && r.as.Paging.AcknowledgedBy != p.AcknowledgedBy {
		r.set("lapsed", string(p.AcknowledgedBy))
	}
	if r.before.LoweredFrom != r.as.LoweredFrom || !slices.Equal(r.before.LoweredBy, r.as.LoweredBy) {
		r.set("lowered_from", string(r.as.LoweredFrom))
		r.set("kept_lowered_by", encoded(r.as.LoweredBy))
	}
}

// planSeverity returns the severity to the most severe one that the incident ever had, if it was lowered through the provider, or
// the proposal of an alert was rejected through it, and no other person has set the severity since.
func (r *repair) planSeverity() {
	lowered := false
	for _, e := range r.env.Timeline {
		switch e.Kind {
		case EventSeveritySet:
			lowered = lowered && (r.undone[e.Seq] || e.By == "") || r.undone[e.Seq] && e.severity("from").MoreSevereThan(e.severity("severity"))
		case EventSeverityKept:
			lowered = lowered || r.undone[e.Seq]
		case EventSplitFrom:
			lowered = lowered || e.Field("lowered_from") != "" && r.x.obtained(e)
		}
	}
	if peak := r.before.PeakSeverity; lowered && peak.MoreSevereThan(r.before.Severity) {
		r.severity = peak
	}
}

// planStatus decides the status. An incident that returns to the response is in triage, because its responders believe that it
// is over. So is one that was reopened and then ended through the provider: people decide again how it ends.
func (r *repair) planStatus() {
	status := r.before.Status
	after := r.before
	after.applyKept(Event{Fields: r.fields})
	left := slices.ContainsFunc(after.Signatures, func(s Signature) bool { return after.Submission != nil && s.Digest == after.Submission.Digest })
	back := r.as.Status.Before(status)
	switch {
	case status.Signed() && after.fullySigned() && r.severity == "":
		if closed := r.as.Status == status && after.closeBlocker() == "" && !after.Review.Concluded.IsZero(); !closed && transition(VerbConclude, status) == nil {
			status = Approved
		}
	case status.Signed() && (left || !r.as.Status.Before(InReview)):
		r.revise = true
	case transition(VerbSign, status) != nil && left:
	case back && (r.as.Status.Responding() && !status.Responding() || !transition(VerbDistrusted, status).allows(status, r.as.Status)):
		status = Triage
	case back:
		status = r.as.Status
	}
	if status != r.before.Status {
		r.set("status", string(status))
	}
	if !status.Signed() && transition(VerbSign, status) == nil && r.before.Submission != nil {
		r.set("record", "reopened")
	}
}

// exclusions ends the exclusions through the provider and restores the exclusions that ended through it.
func (r *repair) exclusions() {
	for _, x := range r.before.Exclusions {
		n := slices.IndexFunc(r.as.Exclusions, func(want Exclusion) bool { return want.Person == x.Person })
		switch {
		case n < 0:
			r.emit(EventReadmitted, fields{"person": string(x.Person)}, texts{"reason": r.cmd.Text})
		case r.as.Exclusions[n].Readmitter != x.Readmitter: // the proposal to readmit does not count
			r.emit(EventReadmitted, fields{"person": string(x.Person)}, texts{"reason": r.cmd.Text})
			r.shutOut(x.Person, fields{"person": string(x.Person), "second": string(x.Second)}, texts{"reason": firstOf(x.Reason, r.cmd.Text)})
		}
	}
	for _, x := range r.as.Exclusions {
		if !r.inc.Excludes(x.Person) {
			r.shutOut(x.Person, fields{"person": string(x.Person), "second": string(x.Second)}, texts{"reason": firstOf(x.Reason, r.cmd.Text)})
		}
	}
	if p := r.before.ExclusionProposed; p != nil && r.inc.ExclusionProposed != nil && (r.as.ExclusionProposed == nil || r.as.ExclusionProposed.Person != p.Person) {
		r.emit(EventReadmitted, fields{"person": string(p.Person)}, texts{"reason": r.cmd.Text})
	}
}

// finish restores the severity, submits a new revision of an approved record and pages, if an acknowledgement ended or the
// incident returned to the response.
func (r *repair) finish(reason string) error {
	round := r.inc.Paging.Round
	if r.severity != "" {
		if err := r.decider.severity(r.severity, reason); err != nil {
			return err
		}
	}
	if r.revise {
		if err := r.freeze(EventRevised, texts{"reason": reason}); err != nil {
			return err
		}
	}
	if r.inc.Status.Responding() && r.inc.Paging.Round == round && (r.fields["lapsed"] != "" || !r.before.Status.Responding()) {
		r.startPaging()
	}
	return nil
}

// confirmChange closes entries of the list of changes through a distrusted provider. Undone states that people undid them with
// other commands.
func (d *decider) confirmChange() error {
	open := d.inc.DistrustedChanges
	if len(open) == 0 {
		return Conflict("no change in %s waits for a confirmation", d.inc.ID)
	}
	wanted := parseRanges(d.cmd.Item)
	if strings.EqualFold(strings.TrimSpace(d.cmd.Item), "all") {
		for _, c := range open {
			wanted = append(wanted, c.Seq)
		}
	}
	var seqs []int
	for _, c := range open {
		if slices.Contains(wanted, c.Seq) {
			seqs = append(seqs, c.Seq)
		}
	}
	if len(seqs) == 0 {
		return Unknown("item", "%q is not a change that waits. Type confirm all, or the numbers of %s", d.cmd.Item, changeNumbers(open))
	}
	f := fields{"confirmed": formatRanges(seqs)}
	if d.cmd.Undone {
		if err := d.requireText("text", d.cmd.Text, "describe how you undid the change. Type confirm %s undone HOW", d.cmd.Item); err != nil {
			return err
		}
		f["how"] = "undone"
	}
	d.emit(EventChangeConfirmed, f, texts{"text": d.cmd.Text})
	return nil
}

// changeNumbers returns the numbers of changes for people.
func changeNumbers(changes []DistrustedChange) string {
	seqs := make([]int, len(changes))
	for n, c := range changes {
		seqs[n] = c.Seq
	}
	return formatRanges(seqs)
}

// DecideSeparate returns the events of an incident that gives the alerts of another one back, because [VerbDistrusted] undid the
// merge of source into it.
func DecideSeparate(cmd Command, source, from Incident, env Env) []Event {
	d := newDecider(cmd, from, env)
	var ids []string
	for _, a := range source.Alerts {
		if slices.ContainsFunc(from.Alerts, func(have AlertRef) bool { return have.Alert == a.Alert }) {
			ids = append(ids, num(int(a.Alert)))
		}
	}
	if len(ids) == 0 && !slices.Contains(from.MergedFrom, source.ID) {
		return nil
	}
	d.emit(EventSeparated, fields{"source": source.ID.String(), "alerts": strings.Join(ids, ",")}, texts{"reason": cmd.Text})
	d.voidSubmission("alerts left for another incident")
	return d.events
}
