package incident

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (j *decider) open() error {
	c := j.cmd
	title := strings.Join(strings.Fields(c.Title), " ")
	if err := j.requireText("title", title, "the title is missing; say in one line what happened"); err != nil {
		return err
	}
	severity := c.Severity
	if severity == "" {
		severity = Sev3
	}
	if _, err := ParseSeverity(string(severity)); err != nil {
		return err
	}
	restricted := "true"
	if c.Public {
		restricted = "false"
	}
	j.emit(EventOpened, fields{"status": string(Triage), "severity": string(severity), "restricted": restricted,
		"time_zone": j.env.Policy.TimeZone, "language": j.env.Policy.Language, "handle": string(c.By.Provider)},
		texts{"title": title, "text": c.Text})
	if c.Alert != nil {
		j.attached(*c.Alert)
	}
	j.startRuns(c.Runs)
	j.startPaging()
	return nil
}

// startPaging starts a paging round, unless the severity is not paged.
func (j *decider) startPaging() {
	if quiet := j.env.Policy.NoPageFrom; quiet == "" || j.inc.Severity.MoreSevereThan(quiet) {
		j.startRound()
	}
}

// startRound starts a paging round. It ends an acknowledgement in force.
func (j *decider) startRound() {
	j.emit(EventRoundStarted, fields{"round": num(j.inc.Paging.Round + 1), "escalation_step": "0"}, nil)
}

func (j *decider) acknowledge() error {
	if err := j.requireResponder(); err != nil {
		return err
	}
	if s := j.cmd.Severity; s != "" {
		if err := j.severity(s, ""); err != nil {
			return err
		}
	}
	if j.inc.Paging.Acknowledged() {
		return nil
	}
	j.setAcknowledgedBy()
	return nil
}

// setAcknowledgedBy records the actor's acknowledgement and makes the actor
// commander if there is none.
func (j *decider) setAcknowledgedBy() {
	f := fields{"round": num(j.inc.Paging.Round)}
	if j.inc.Status == Triage {
		f["status"] = string(Active)
	}
	j.emit(EventAcknowledged, f, texts{"text": j.cmd.Text})
	if j.inc.Commander == "" {
		j.emit(EventRoleAssigned, fields{"role": string(Commander), "person": string(j.env.Actor)}, nil)
	}
}

// ackImplicitly acknowledges for a responder who acts on an unacknowledged
// incident. The acknowledgement happens now, even if the command is backdated.
func (j *decider) ackImplicitly() {
	if !j.inc.Paging.Acknowledged() && j.requireResponder() == nil {
		cmd := j.cmd
		j.cmd.Text, j.cmd.HappenedAt = "", time.Time{}
		j.setAcknowledgedBy()
		j.cmd = cmd
	}
}

func (j *decider) contain() error {
	if err := j.requireText("text", j.cmd.Text, "the text is missing; say how the harm was stopped: contain HOW"); err != nil {
		return err
	}
	j.ackImplicitly()
	j.emit(EventContained, statusField(Contained), texts{"text": j.cmd.Text})
	return nil
}

func (j *decider) resolve() error {
	if err := j.requireText("text", j.cmd.Text, "the text is missing; say how service and security were restored: resolve HOW"); err != nil {
		return err
	}
	j.ackImplicitly()
	j.emit(EventResolved, statusField(Resolved), texts{"text": j.cmd.Text})
	return nil
}

func (j *decider) reopen() error {
	if err := j.requireText("text", j.cmd.Text, "the reason is missing; say why %s is not over: reopen WHY", j.inc.ID); err != nil {
		return err
	}
	j.emit(EventReopened, statusField(Active), texts{"reason": j.cmd.Text})
	j.startPaging()
	return nil
}

// dismissalNeedsSecurity reports whether a second person, from security, must
// confirm a dismissal. Reopening does not undo that the incident was contained,
// and lowering the severity does not undo its peak severity.
func (i Incident) dismissalNeedsSecurity() bool {
	return i.Severity.MoreSevereThan(Sev3) || i.PeakSeverity.MoreSevereThan(Sev3) || !i.ContainedAt.IsZero() || i.Facts.PersonalData != PersonalNo
}

func (j *decider) dismiss() error {
	if err := j.responderOrSecurity(); err != nil {
		return err
	}
	proposed := j.inc.Dismissal
	if j.inc.dismissalNeedsSecurity() {
		if proposed == nil {
			if err := j.requireText("text", j.cmd.Text, "the reason is missing; say why %s is a false alarm: dismiss WHY", j.inc.ID); err != nil {
				return err
			}
			j.emit(EventDismissProposed, nil, texts{"reason": j.cmd.Text})
			return nil
		}
		if proposed.By == j.env.Actor {
			return Conflict("you proposed to dismiss %s and a second person, from security, must confirm it with dismiss; that applies at sev1 and sev2, after containment, and unless personal data is ruled out", j.inc.ID)
		}
		if !j.inc.represents(j.env.Directory, j.env.Actor, Security, j.env.Now) {
			return Forbidden("only security can confirm the dismissal of %s; ask a member of security", j.inc.ID)
		}
		j.emit(EventDismissed, fields{"status": string(Dismissed), "person": string(proposed.By)}, texts{"reason": firstOf(j.cmd.Text, proposed.Reason)})
		return nil
	}
	if err := j.requireText("text", firstOf(j.cmd.Text, reasonOf(proposed)), "the reason is missing; say why %s is a false alarm: dismiss WHY", j.inc.ID); err != nil {
		return err
	}
	j.emit(EventDismissed, statusField(Dismissed), texts{"reason": firstOf(j.cmd.Text, reasonOf(proposed))})
	return nil
}

func (j *decider) responderOrSecurity() error {
	if j.inc.represents(j.env.Directory, j.env.Actor, Security, j.env.Now) {
		return nil
	}
	return j.requireResponder()
}

func reasonOf(d *Dismissal) string {
	if d == nil {
		return ""
	}
	return d.Reason
}

func firstOf(a, b string) string {
	if strings.TrimSpace(a) != "" {
		return a
	}
	return b
}

func (j *decider) setSeverity() error {
	return j.severity(j.cmd.Severity, j.cmd.Text)
}

// severity changes the severity. Raising it during the response pages again.
func (j *decider) severity(s Severity, reason string) error {
	parsed, err := ParseSeverity(string(s))
	if err != nil {
		return err
	}
	if parsed == j.inc.Severity {
		return nil
	}
	raised := parsed.MoreSevereThan(j.inc.Severity)
	j.emit(EventSeveritySet, fields{"severity": string(parsed), "from": string(j.inc.Severity)}, texts{"reason": reason})
	if raised && j.inc.Status.Responding() {
		j.startPaging()
	}
	j.voidSubmission("the severity changed")
	return nil
}

var roleName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)

func (j *decider) assignRole() error {
	c := j.cmd
	if !roleName.MatchString(string(c.Role)) {
		return Invalid("role", "%q is not a role name; use commander, scribe, communicator, operations or a role of a playbook (a-z, 0-9, - and _)", c.Role)
	}
	if roles := j.inc.roles(); !slices.Contains(roles, string(c.Role)) {
		if near := Nearest(string(c.Role), roles); near != "" {
			return Invalid("role", "unknown role %q; did you mean %q?", c.Role, near)
		}
	}
	if err := j.requirePerson("person", c.Person); err != nil {
		return err
	}
	if j.inc.Roles[c.Role] == c.Person {
		return nil
	}
	j.emit(EventRoleAssigned, fields{"role": string(c.Role), "person": string(c.Person)}, texts{"reason": c.Text})
	return nil
}

// roles returns the names of the built-in roles, the assigned roles and the roles in
// playbooks of the incident.
func (i *Incident) roles() []string {
	out := roleNames()
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

func (j *decider) note() error {
	if err := j.requireText("text", j.cmd.Text, "the note is empty; type note TEXT"); err != nil {
		return err
	}
	j.emit(EventNoted, nil, texts{"text": j.cmd.Text})
	return nil
}

func (j *decider) update() error {
	if err := j.requireText("text", j.cmd.Text, "the update is empty; type update TEXT"); err != nil {
		return err
	}
	j.emit(EventUpdated, nil, texts{"text": j.cmd.Text})
	return nil
}

func (j *decider) grant() error {
	if err := j.requirePerson("person", j.cmd.Person); err != nil {
		return err
	}
	if err := j.requireText("text", j.cmd.Text, "access needs a reason; type grant PERSON because REASON"); err != nil {
		return err
	}
	if slices.Contains(j.inc.Access, j.cmd.Person) {
		return nil
	}
	j.emit(EventAccessGranted, fields{"person": string(j.cmd.Person)}, texts{"reason": j.cmd.Text})
	return nil
}

func (j *decider) restrict() error {
	if j.inc.Restricted != j.cmd.Public {
		return nil
	}
	if j.cmd.Public && j.inc.Commander != j.env.Actor && j.responderOrSecurity() != nil && !j.inc.represents(j.env.Directory, j.env.Actor, Legal, j.env.Now) {
		return Forbidden("only the commander, responders, security or legal can make %s public; ask one of them", j.inc.ID)
	}
	j.emit(EventRestricted, fields{"restricted": strconv.FormatBool(!j.cmd.Public)}, texts{"reason": j.cmd.Text})
	return nil
}

// erase needs one person from legal and one from security who name the same texts.
// The first command proposes the erasure, the second one confirms it.
func (j *decider) erase() error {
	represents := func(p PersonID, team Department) bool { return j.inc.represents(j.env.Directory, p, team, j.env.Now) }
	actor := j.env.Actor
	if !represents(actor, Legal) && !represents(actor, Security) {
		return Forbidden("only legal and security can erase texts, together; ask one of each")
	}
	if len(j.cmd.Erase) == 0 {
		return Invalid("erase", "no text given; name its event and its field, as in 17/text")
	}
	for _, ref := range j.cmd.Erase {
		if ref.Seq < 1 || ref.Seq > j.inc.Head.Seq || ref.Name == "" {
			return Unknown("erase", "event %d of %s has no text %q; name an event and its field, as in 17/text", ref.Seq, j.inc.ID, ref.Name)
		}
	}
	refs, _ := json.Marshal(j.cmd.Erase)
	p := j.inc.Erasure
	if p == nil || !slices.Equal(p.Refs, j.cmd.Erase) {
		if err := j.requireText("text", j.cmd.Text, "the reason is missing; add because REASON"); err != nil {
			return err
		}
		j.emit(EventErasureProposed, fields{"refs": string(refs)}, texts{"reason": j.cmd.Text})
		return nil
	}
	both := represents(p.By, Legal) && represents(actor, Security) || represents(p.By, Security) && represents(actor, Legal)
	if p.By == actor || !both {
		return Conflict("one person from legal and another from security must confirm the erasure; ask the other department to type the same command")
	}
	j.emit(EventErased, fields{"refs": string(refs), "person": string(p.By)}, texts{"reason": p.Reason})
	j.voidSubmission("a text was erased")
	return nil
}

// DecideMerge decides [VerbMerge]. It returns the events of the source, which ends,
// and of the target, which continues with the source's alerts. The target takes
// the more severe severity and personal data fact of both, and a legal hold.
// Signatures of the target are voided. Only responders and security may merge,
// because merging ends the paging of the source.
func DecideMerge(cmd Command, source, target Incident, env Env) (sourceEvents, targetEvents []Event, err error) {
	s := newDecider(cmd, source, env)
	if err := s.authorize(); err != nil {
		return nil, nil, err
	}
	if source.Status == Merged && source.MergedInto == target.ID {
		return nil, nil, nil
	}
	if transition(VerbMerge, source.Status) == nil {
		return nil, nil, s.notAllowed()
	}
	if err := s.responderOrSecurity(); err != nil {
		return nil, nil, err
	}
	switch {
	case source.ID == target.ID:
		return nil, nil, Invalid("target", "%s cannot be merged into itself; name another incident", source.ID)
	case !target.Status.Live():
		return nil, nil, Conflict("%s is %s and cannot take over another incident; choose one that is not approved or ended", target.ID, target.Status)
	case !target.MayRead(env.Directory, env.Actor, env.Now):
		return nil, nil, Forbidden("%s is restricted; ask its commander for access", target.ID)
	case source.Restricted && !target.Restricted:
		return nil, nil, Conflict("%s is restricted and %s is public; restrict %[2]s first", source.ID, target.ID)
	}
	s.emit(EventMergedInto, fields{"status": string(Merged), "target": target.ID.String()}, texts{"reason": cmd.Text})

	t := newDecider(cmd, target, env)
	alerts, _ := json.Marshal(source.Alerts)
	t.emit(EventMergedFrom, source.originFields(), texts{"reason": cmd.Text, "alerts": string(alerts)})
	if source.Severity.MoreSevereThan(target.Severity) {
		if err := t.severity(source.Severity, "merged from "+source.ID.String()); err != nil {
			return nil, nil, err
		}
	}
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

// originFields returns the properties of i that an incident inherits when it takes
// over alerts of i. With them, a merge or split cannot bypass the second person
// of a dismissal.
func (i *Incident) originFields() fields {
	peak := i.PeakSeverity
	if i.Severity.MoreSevereThan(peak) {
		peak = i.Severity
	}
	return fields{"source": i.ID.String(), "contained_at": instant(i.ContainedAt), "peak_severity": string(peak)}
}
