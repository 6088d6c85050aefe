package incident

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (d *decider) open() error {
	c := d.cmd
	title := strings.Join(strings.Fields(c.Title), " ")
	if err := d.requireText("title", title, "the title is missing. Describe the incident in one line"); err != nil {
		return err
	}
	severity := c.Severity
	if severity == "" {
		severity = Sev3
	}
	severity, err := ParseSeverity(string(severity))
	if err != nil {
		return err
	}
	if d.byOutsider() {
		d.openReport(title, severity)
		return nil
	}
	restricted := "true"
	if c.Public {
		restricted = "false"
	}
	d.emit(EventOpened, fields{"status": string(Triage), "severity": string(severity), "restricted": restricted,
		"time_zone": d.env.Policy.TimeZone, "language": d.env.Policy.Language, "provider": string(c.By.Provider), "origin": string(c.Origin), "update_due": d.firstUpdateDue(severity)},
		texts{"title": title, "text": c.Text})
	if c.Alert != nil {
		if err := d.requireOrigin(alertName(*c.Alert), c.Alert.Origin); err != nil {
			return err
		}
		d.attachAlert(*c.Alert)
	}
	d.startRuns(c.Runs, "")
	d.startPaging()
	return nil
}

// startPaging starts a paging round, unless the severity is not paged.
func (d *decider) startPaging() {
	if quiet := d.env.Policy.NoPageFrom; quiet == "" || d.inc.Severity.MoreSevereThan(quiet) {
		d.startRound("")
	}
}

// startRound starts a paging round, unless the origin pages no one. It ends an
// acknowledgement in force.
func (d *decider) startRound(reason string) {
	if !d.inc.Origin.Pages() {
		return
	}
	d.emit(EventRoundStarted, d.nextRound(), texts{"reason": reason})
}

func (d *decider) acknowledge() error {
	if d.cmd.Via == ViaPager {
		if err := d.requireCurrentRound(); err != nil {
			return err
		}
	}
	if s := d.cmd.Severity; s != "" {
		if err := d.severity(s, ""); err != nil {
			return err
		}
	}
	if d.inc.Paging.Acknowledged() {
		return nil
	}
	d.recordAcknowledgement()
	return nil
}

// recordAcknowledgement records the actor's acknowledgement and makes the actor
// commander if there is none.
func (d *decider) recordAcknowledgement() {
	f := fields{"round": num(d.inc.Paging.Round)}
	if d.inc.Status == Triage {
		f["status"] = string(Active)
	}
	d.emit(EventAcknowledged, f, texts{"text": d.cmd.Text})
	if d.inc.Reporter != nil {
		d.startRuns(d.cmd.Runs, "")
	}
	if d.inc.Commander == "" {
		d.emit(EventRoleAssigned, fields{"role": string(Commander), "person": string(d.env.Actor)}, nil)
	}
}

// ackImplicitly acknowledges for the actor, who contains or resolves an
// unacknowledged incident. The acknowledgement happens now, even if the command is backdated.
func (d *decider) ackImplicitly() {
	if !d.inc.Paging.Acknowledged() {
		cmd := d.cmd
		d.cmd.Text, d.cmd.HappenedAt = "", time.Time{}
		d.recordAcknowledgement()
		d.cmd = cmd
	}
}

func (d *decider) contain() error {
	if err := d.requireText("text", d.cmd.Text, "the text is missing. Type contain HOW, such as contain disabled the key"); err != nil {
		return err
	}
	d.ackImplicitly()
	d.emit(EventContained, statusField(Contained), texts{"text": d.cmd.Text})
	return nil
}

func (d *decider) resolve() error {
	if err := d.requireText("text", d.cmd.Text, "the text is missing. Type resolve HOW, such as resolve rotated all keys"); err != nil {
		return err
	}
	how, why, open := d.cmd.Text, d.cmd.Reason, d.inc.OpenSteps()
	switch {
	case len(open) == 0 && why != "":
		how, why = how+" because "+why, ""
	case len(open) > 0 && strings.TrimSpace(why) == "":
		return Invalid("reason", "required steps are open: %s. Finish or skip them, or type resolve HOW because WHY. The four departments read the reason before they sign", strings.Join(open, ", "))
	}
	d.ackImplicitly()
	d.emit(EventResolved, fields{"status": string(Resolved), "open_steps": strings.Join(open, ",")}, texts{"text": how, "reason": why})
	return nil
}

func (d *decider) reopen() error {
	if err := d.requireText("text", d.cmd.Text, "the reason for reopening %s is missing. Type reopen WHY", d.inc.ID); err != nil {
		return err
	}
	d.emit(EventReopened, statusField(Active), texts{"reason": d.cmd.Text})
	d.startPaging()
	return nil
}

func firstOf(a, b string) string {
	if strings.TrimSpace(a) != "" {
		return a
	}
	return b
}

var roleName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)

func (d *decider) assignRole() error {
	c := d.cmd
	if !roleName.MatchString(string(c.Role)) {
		return Invalid("role", "%q is not a role name. Use commander, scribe, communicator, operations or a role of a playbook (a-z, 0-9, - and _)", c.Role)
	}
	if roles := d.inc.RoleNames(); !slices.Contains(roles, string(c.Role)) {
		if near := Nearest(string(c.Role), roles); near != "" {
			return Invalid("role", "unknown role %q. Did you mean %q?", c.Role, near)
		}
	}
	if err := d.requirePerson("person", c.Person); err != nil {
		return err
	}
	if (c.Role == Commander || c.Person != d.env.Actor) && !d.isA(Responders) && !d.isA(TheCommander) {
		return Forbidden("only responders and the commander give roles to others or take command. Ask one of them, or take another role for yourself")
	}
	if d.inc.Roles[c.Role] == c.Person {
		return nil
	}
	d.emit(EventRoleAssigned, fields{"role": string(c.Role), "person": string(c.Person)}, texts{"reason": c.Text})
	return nil
}

// RoleNames returns the names of the built-in roles, the assigned roles and the roles in
// playbooks of the incident.
func (i Incident) RoleNames() []string {
	var out []string
	for _, r := range Roles() {
		out = append(out, string(r))
	}
	for r := range i.Roles {
		out = append(out, string(r))
	}
	for _, run := range i.Runs {
		for _, s := range run.Plan {
			if s.Role != "" {
				out = append(out, string(s.Role))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (d *decider) note() error {
	if err := d.requireText("text", d.cmd.Text, "the note is empty. Type note TEXT"); err != nil {
		return err
	}
	if d.hasMessage(KeptAsNote) {
		return nil
	}
	f, t := d.messageContent()
	t["text"] = d.cmd.Text
	d.emit(EventNoted, f, t)
	return nil
}

func (d *decider) restrict() error {
	if d.inc.Restricted != d.cmd.Public {
		return nil
	}
	d.emit(EventRestricted, fields{"restricted": strconv.FormatBool(!d.cmd.Public)}, texts{"reason": d.cmd.Text})
	return nil
}

// erase needs one person from legal and one from security who name the same texts.
// The first command proposes the erasure, the second one confirms it.
func (d *decider) erase() error {
	if len(d.cmd.Erase) == 0 {
		return Invalid("erase", "no text given. Name its event and its field, as in 17/text")
	}
	for _, ref := range d.cmd.Erase {
		if ref.Seq < 1 || ref.Seq > d.inc.Head.Seq || ref.Name == "" {
			return Unknown("erase", "event %d of %s has no text %q. Name an event and its field, as in 17/text", ref.Seq, d.inc.ID, ref.Name)
		}
	}
	refs, _ := json.Marshal(d.cmd.Erase)
	p := d.inc.Erasure
	if p == nil || !slices.Equal(p.Refs, d.cmd.Erase) {
		if err := d.requireText("text", d.cmd.Text, "the reason is missing. Add because REASON"); err != nil {
			return err
		}
		d.emit(EventErasureProposed, fields{"refs": string(refs)}, texts{"reason": d.cmd.Text})
		return nil
	}
	if err := d.secondPerson(p.By, "erase the texts, one from legal and another from security"); err != nil {
		return err
	}
	if !d.completes(p.By) {
		return Conflict("one person from legal and another from security must confirm the erasure. Ask the other department to type the same command")
	}
	d.emit(EventErased, fields{"refs": string(refs), "person": string(p.By)}, texts{"reason": p.Reason})
	d.voidSubmission("a text was erased")
	return nil
}

// DecideMerge decides [VerbMerge]. It returns the events of the source, which ends,
// and of the target, which continues with the source's alerts. The target takes
// the more severe severity and personal data fact of both, a legal hold and an
// alert's proposal of a severity, and everybody who is excluded from the source is
// excluded from the target. Signatures of the target are voided. Merging ends the
// paging of the source. A target that does not exist is [New].
func DecideMerge(cmd Command, source, target Incident, env Env) (sourceEvents, targetEvents []Event, err error) {
	s := newDecider(cmd, source, env)
	if err := s.check(); err != nil {
		return nil, nil, err
	}
	if source.Status == Merged && source.MergedInto == target.ID {
		return nil, nil, nil
	}
	if transition(VerbMerge, source.Status) == nil {
		return nil, nil, s.notAllowed()
	}
	switch {
	case source.ID == target.ID:
		return nil, nil, Invalid("target", "%s cannot be merged into itself. Name another incident", source.ID)
	case target.Status == "" || !target.belongs(env.Directory, env.Actor, env.Now):
		return nil, nil, errNoAccess(target.ID)
	case !target.Status.Live():
		return nil, nil, Conflict("%s is %s and cannot take over another incident. Choose one that is not approved or ended", target.ID, target.Status)
	case source.Restricted && !target.Restricted:
		return nil, nil, Conflict("%s is restricted and %s is public. Restrict %[2]s first", source.ID, target.ID)
	}
	t := newDecider(cmd, target, env)
	if err := t.requireOrigin(source.ID.String(), source.Origin); err != nil {
		return nil, nil, err
	}
	s.emit(EventMergedInto, fields{"status": string(Merged), "target": target.ID.String()}, texts{"reason": cmd.Text})
	s.cancelVoidedMeeting(source)

	alerts, _ := json.Marshal(source.Alerts)
	t.emit(EventMergedFrom, source.inheritedFields(), texts{"reason": cmd.Text, "alerts": string(alerts)})
	t.inheritExclusions(source)
	if source.Severity.MoreSevereThan(target.Severity) {
		if err := t.severity(source.Severity, "merged from "+source.ID.String()); err != nil {
			return nil, nil, err
		}
	}
	t.inheritProposal(source)
	if p := source.Facts.PersonalData; p.moreSeriousThan(target.Facts.PersonalData) {
		t.emit(EventFactSet, fields{"fact": string(FactPersonalData), "value": string(p)}, texts{"reason": "merged from " + source.ID.String()})
		t.involvePrivacyTeams()
	}
	if source.LegalHold != nil { // a held target gets both reasons, for the person who releases it
		reason := firstOf(source.LegalHold.Reason, "merged from "+source.ID.String())
		if target.LegalHold != nil {
			reason = target.LegalHold.Reason + "; " + source.ID.String() + ": " + reason
		}
		t.emit(EventLegalHoldSet, nil, texts{"reason": reason})
	}
	t.voidSubmission("another incident was merged into this one")
	return s.events, t.events, nil
}

// inheritedFields returns the properties of i that an incident inherits when it takes
// over alerts of i. With them, a merge or split cannot bypass the second person
// of a dismissal, or undo that a person lowered the severity.
func (i *Incident) inheritedFields() fields {
	peak := i.PeakSeverity
	if i.Severity.MoreSevereThan(peak) {
		peak = i.Severity
	}
	named := make([]string, len(i.Delegations))
	for n, g := range i.Delegations {
		named[n] = string(g.From) + ">" + string(g.To)
	}
	return fields{"source": i.ID.String(), "named": strings.Join(named, ","), "contained_at": instant(i.ContainedAt), "peak_severity": string(peak),
		"peak_personal_data": string(i.peakPersonalData()), "lowered_by": joinList(i.LoweredBy), "lowered_from": string(i.LoweredFrom)}
}
