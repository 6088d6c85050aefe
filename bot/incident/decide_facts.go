package incident

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"
)

func (d *decider) setFact() error {
	c := d.cmd.Fact
	if c == nil {
		return Invalid("fact", "no fact given. Type fact NAME VALUE with one of: %s", joinFacts())
	}
	f, t, err := d.fact(*c)
	if err != nil || f == nil {
		return err
	}
	if c.Name != FactTimeZone && c.Name != FactLanguage {
		if err := d.requireText("text", d.cmd.Text, "a fact needs a reason. Type fact %s VALUE because REASON", c.Name); err != nil {
			return err
		}
	}
	t["reason"] = d.cmd.Text
	d.emit(EventFactSet, f, t)
	d.voidSubmission("the fact " + string(c.Name) + " changed")
	d.involvePrivacyTeams()
	return nil
}

// involvePrivacyTeams involves legal, communications and data protection if
// personal data is suspected or confirmed.
func (d *decider) involvePrivacyTeams() {
	if p := d.inc.Facts.PersonalData; p == PersonalSuspected || p == PersonalConfirmed {
		d.involve(Legal, Communications, DataProtection)
	}
}

// fact checks a fact and returns the content of its event, or nil fields if the
// fact already has this value.
func (d *decider) fact(c FactChange) (fields, texts, error) {
	have, value := d.inc.Facts, strings.TrimSpace(c.Value)
	f := fields{"fact": string(c.Name)}
	same := func(in *Instant, at time.Time) bool { return in != nil && in.At.Equal(at) }
	switch c.Name {
	case FactOccurred, FactDetected, FactClassified, FactAware:
		at, err := time.Parse(time.RFC3339, value)
		if err != nil {
			return nil, nil, Invalid("value", "%q is not a time. Write it as 2026-11-24T02:31:00Z", value)
		}
		if at.After(d.env.Now.Add(time.Minute)) || at.UTC().Year() < 1970 {
			return nil, nil, Invalid("value", "%s is out of range. Use a time between 1970 and now", value)
		}
		at = stamp(at)
		var known *Instant
		switch c.Name {
		case FactOccurred:
			known = have.Occurred
		case FactDetected:
			known = have.Detected
		case FactClassified:
			known = have.Classified
		case FactAware:
			regime := strings.ToLower(strings.TrimSpace(c.Regime))
			if !roleName.MatchString(regime) {
				return nil, nil, Invalid("regime", "%q is not a law. Name one, such as gdpr, nis2, dora or cra", truncate(c.Regime))
			}
			f["regime"] = regime
			if in, ok := have.Aware[regime]; ok {
				known = &in
			}
		}
		if same(known, at) {
			return nil, nil, nil
		}
		f["value"] = instant(at)
		return f, texts{}, nil
	case FactPersonalData:
		v := PersonalData(strings.ToLower(value))
		if !slices.Contains([]PersonalData{PersonalUnknown, PersonalNo, PersonalSuspected, PersonalConfirmed}, v) {
			return nil, nil, Invalid("value", "unknown value %q of personal_data. Use unknown, no, suspected or confirmed", value)
		}
		if v == have.PersonalData {
			return nil, nil, nil
		}
		f["value"] = string(v)
		return f, texts{}, nil
	case FactAffected:
		return d.affected(c.Affected)
	case FactTimeZone:
		if _, err := time.LoadLocation(value); err != nil || value == "" || value == "Local" {
			return nil, nil, Invalid("value", "unknown time zone %q. Use a name such as Europe/Paris", value)
		}
		if value == have.TimeZone {
			return nil, nil, nil
		}
		f["value"] = value
		return f, texts{}, nil
	case FactLanguage:
		if err := checkLanguage("value", value); err != nil {
			return nil, nil, err
		}
		if value == have.Language {
			return nil, nil, nil
		}
		f["value"] = value
		return f, texts{}, nil
	}
	return nil, nil, Invalid("fact", "unknown fact %q. Known facts: %s", c.Name, joinFacts())
}

func joinFacts() string {
	names := make([]string, 0, 8)
	for _, n := range FactNames() {
		names = append(names, string(n))
	}
	return strings.Join(names, ", ")
}

// MaxAffected is the maximum of [Affected.Count]. It exceeds the world population
// and is exact in any JSON number.
const MaxAffected = 100_000_000_000

func (d *decider) affected(a *Affected) (fields, texts, error) {
	if a == nil || strings.TrimSpace(a.Who) == "" {
		return nil, nil, Invalid("affected", "the affected party is missing. Name a group or a company")
	}
	if a.Capacity != Controller && a.Capacity != Processor {
		return nil, nil, Invalid("capacity", "the capacity of the company is missing. Use controller or processor of the personal data")
	}
	if a.Count < 0 || a.Count > MaxAffected {
		return nil, nil, Invalid("count", "%d is not a number of people. Use 0 to %d", a.Count, int64(MaxAffected))
	}
	if a.NotifiedAt.After(d.env.Now.Add(time.Minute)) {
		return nil, nil, Invalid("notified_at", "%s is in the future. Give a time that has passed", TimeText(a.NotifiedAt))
	}
	next := Affected{Who: strings.TrimSpace(a.Who), Capacity: a.Capacity, Count: a.Count, NotifiedAt: stamp(a.NotifiedAt)}
	for _, known := range d.inc.Facts.Affected {
		known.By, known.Reason = "", ""
		if known == next {
			return nil, nil, nil
		}
	}
	return fields{"fact": string(FactAffected), "capacity": string(next.Capacity), "count": num(next.Count), "notified_at": instant(next.NotifiedAt)},
		texts{"who": next.Who}, nil
}

// involve involves the departments that are not involved yet.
func (d *decider) involve(teams ...Department) {
	var fresh []string
	for _, team := range teams {
		if !slices.Contains(d.inc.InvolvedDepartments, team) {
			fresh = append(fresh, string(team))
		}
	}
	if len(fresh) > 0 {
		d.emit(EventDepartmentsInvolved, fields{"departments": strings.Join(fresh, ",")}, texts{"reason": d.cmd.Text})
	}
}

func (d *decider) involveDepartment() error {
	if err := d.requireTeam(); err != nil {
		return err
	}
	d.involve(d.cmd.Department)
	return nil
}

var sha256Hex = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (d *decider) addEvidence() error {
	e := d.cmd.Evidence
	if e == nil || strings.TrimSpace(e.Name) == "" {
		return Invalid("name", "the evidence has no name. Type evidence NAME")
	}
	sum := strings.TrimPrefix(strings.ToLower(strings.TrimSpace(e.SHA256)), "sha256:")
	if sum != "" && !sha256Hex.MatchString(sum) {
		return Invalid("sha256", "%q is not a SHA-256. Use 64 hexadecimal digits", truncate(e.SHA256))
	}
	if d.cmd.Message != nil {
		return d.keepAsEvidence(sum)
	}
	if slices.ContainsFunc(d.inc.Evidence, func(h Evidence) bool { return sum != "" && h.SHA256 == sum && h.Name == e.Name }) {
		return nil
	}
	d.emit(EventEvidence, fields{"evidence": d.nextEvidence(), "sha256": sum},
		texts{"name": e.Name, "where": e.Where, "text": d.cmd.Text})
	d.voidSubmission("new evidence was added")
	return nil
}

// startRuns starts the playbooks that were not started yet. chosen is set if a person
// named them.
func (d *decider) startRuns(runs []Run, chosen string) {
	for _, r := range runs {
		if d.inc.Run(r.Playbook) != nil {
			continue
		}
		plan, _ := json.Marshal(r.Fill(d.inc.ID, Alert{}))
		d.emit(EventPlaybookStarted, fields{"run": r.Playbook, "digest": r.Digest, "chosen": chosen}, texts{"run": string(plan)})
		for _, a := range r.Consult {
			d.consultTeam(a.Team, a.Blocking)
		}
	}
}

func (d *decider) startPlaybooks() error {
	if d.env.System {
		d.startRuns(d.cmd.Runs, "")
		return nil
	}
	if d.cmd.Playbook == "" || len(d.cmd.Runs) != 1 {
		return Invalid("playbook", "no playbook given. Type playbook list, then playbook start NAME")
	}
	d.startRuns(d.cmd.Runs, "true")
	return nil
}

// step returns the step of the command and its run. It returns an error if the
// step is unknown or ambiguous.
func (d *decider) step() (*Run, *Step, error) {
	run, step := d.inc.Step(d.cmd.Step)
	for n := range d.inc.Runs {
		other := &d.inc.Runs[n]
		if step != nil && other.Playbook != run.Playbook && step.ID == d.cmd.Step && slices.ContainsFunc(other.Plan, func(s Step) bool { return s.ID == step.ID }) {
			return nil, nil, Invalid("step", "two playbooks have a step %[1]q. Type %[2]s/%[1]s or %[3]s/%[1]s", step.ID, run.Playbook, other.Playbook)
		}
	}
	if step == nil {
		var open []string
		for _, r := range d.inc.Runs {
			for _, s := range r.Plan {
				if !s.Finished() {
					open = append(open, s.ID)
				}
			}
		}
		switch near := Nearest(d.cmd.Step, open); {
		case len(d.inc.Runs) == 0:
			return nil, nil, Unknown("step", "%s has no step %q because no playbook was started", d.inc.ID, d.cmd.Step)
		case near != "":
			return nil, nil, Unknown("step", "%s has no step %q. Did you mean %q? (open steps: %s)", d.inc.ID, d.cmd.Step, near, strings.Join(open, ", "))
		case len(open) == 0:
			return nil, nil, Unknown("step", "%s has no step %q. All steps are finished", d.inc.ID, d.cmd.Step)
		}
		return nil, nil, Unknown("step", "%s has no step %q. Open steps: %s", d.inc.ID, d.cmd.Step, strings.Join(open, ", "))
	}
	return run, step, nil
}

func stepFields(r *Run, s *Step) fields { return fields{"run": r.Playbook, "step": s.ID} }

func (d *decider) startStep() error {
	run, step, err := d.step()
	if err != nil || step.Finished() || !step.Started.IsZero() {
		return err
	}
	d.emit(EventStepStarted, stepFields(run, step), nil)
	if step.Action == "" {
		d.callForRole(step.Role)
	}
	return nil
}

func (d *decider) stepLate() error {
	run, step, err := d.step()
	if err != nil || step.Status != StepOpen {
		return err
	}
	d.emit(EventStepLate, stepFields(run, step), nil)
	return nil
}

func (d *decider) stepDone() error {
	run, step, err := d.step()
	if err != nil || step.Finished() {
		return err
	}
	d.emit(EventStepDone, stepFields(run, step), texts{"outcome": d.cmd.Text})
	return nil
}

func (d *decider) stepSkip() error {
	run, step, err := d.step()
	if err != nil || step.Finished() {
		return err
	}
	if err := d.requireText("text", d.cmd.Text, "a skipped step needs a reason. Type step skip %s because REASON", step.ID); err != nil {
		return err
	}
	d.emit(EventStepSkipped, stepFields(run, step), texts{"outcome": d.cmd.Text})
	return nil
}

func (d *decider) consult() error {
	if _, ok := d.env.Directory.Team(d.cmd.Department); !ok {
		return Unknown("department", "unknown team %q. Known teams: %s", d.cmd.Department, d.teams())
	}
	d.consultTeam(d.cmd.Department, d.cmd.Blocking)
	return nil
}

// consultTeam consults a team once. A later call can make it blocking, but cannot
// undo that.
func (d *decider) consultTeam(team Department, blocking bool) {
	if t, ok := d.env.Directory.Team(team); ok {
		team = t.Name
	}
	for _, c := range d.inc.Consultations {
		if c.Team == team && (c.Blocking || !blocking) {
			return
		}
	}
	f := fields{"department": string(team)}
	if blocking {
		f["blocking"] = "true"
	}
	d.emit(EventConsulted, f, nil)
}

func (d *decider) answer() error {
	team := d.cmd.Department
	asked := slices.IndexFunc(d.inc.Consultations, func(c Consultation) bool { return c.Team == team })
	if asked < 0 {
		return Unknown("department", "%q was not consulted on %s. Type consult %[1]s first", team, d.inc.ID)
	}
	if err := d.requireText("text", d.cmd.Text, "the answer is missing. Type answer %s TEXT", team); err != nil {
		return err
	}
	if have := d.inc.Consultations[asked]; have.By == d.env.Actor && have.Answer == d.cmd.Text {
		return nil
	}
	d.emit(EventAnswered, fields{"department": string(team)}, texts{"answer": d.cmd.Text})
	d.approve()
	return nil
}

// maxDelegation is the maximum duration of a delegation in an incident.
const maxDelegation = 90 * 24 * time.Hour

func (d *decider) delegate() error {
	c := d.cmd
	if err := d.requireTeam(); err != nil {
		return err
	}
	if !d.env.Directory.Member(d.env.Actor, c.Department) {
		return Forbidden("a deputy cannot delegate. Ask a member of %s to delegate", c.Department)
	}
	if err := d.requirePerson("person", c.Person); err != nil {
		return err
	}
	switch {
	case d.env.Directory.SameHuman(c.Person, d.env.Actor):
		return Invalid("person", "you cannot delegate to yourself. Name another person")
	case !c.Until.After(d.env.Now):
		return Invalid("until", "the end of the delegation is missing or has passed. Type until and a date in the future, such as until 2026-12-01")
	case c.Until.After(d.env.Now.Add(maxDelegation)):
		return Invalid("until", "a delegation lasts at most 90 days. For longer, ask an administrator to add a deputy")
	}
	want := Delegation{Department: c.Department, From: d.env.Actor, To: c.Person, Until: stamp(c.Until)}
	if slices.Contains(d.inc.Delegations, want) {
		return nil
	}
	d.emit(EventDelegated, fields{"department": string(c.Department), "person": string(c.Person), "until": instant(c.Until)}, texts{"reason": c.Text})
	return nil
}

// endDelegation ends the delegations of a department to a person. A signature that the
// person gave stays valid. Members end any delegation, and delegates their own.
func (d *decider) endDelegation() error {
	c := d.cmd
	if err := d.requireTeam(); err != nil {
		return err
	}
	if _, ok := d.env.Directory.Person(c.Person); !ok {
		return Unknown("person", "unknown person %q. Mention them with @", c.Person)
	}
	if !d.env.Directory.Member(d.env.Actor, c.Department) && c.Person != d.env.Actor {
		return Forbidden("only members of %s and the delegate end a delegation. Ask one of them", c.Department)
	}
	if !slices.ContainsFunc(d.inc.Delegations, func(g Delegation) bool {
		return g.Department == c.Department && g.To == c.Person && g.Until.After(d.env.Now)
	}) {
		return nil
	}
	d.emit(EventDelegationEnded, fields{"department": string(c.Department), "person": string(c.Person)}, texts{"reason": c.Text})
	return nil
}
