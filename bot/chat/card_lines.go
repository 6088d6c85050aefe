package chat

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// The lines of the card. Each has its own function, which returns an empty text if there
// is nothing to show.

// maxCardTitle is the maximum length of the title on the card.
const maxCardTitle = 140

// head returns the first line: the incident, its severity and status, and more.
func (m *builder) head(more Text) Text {
	return textf("%s %s %s%s", m.inc.ID, string(m.inc.Severity), strings.ToUpper(humanize(m.inc.Status)), more)
}

func (m *builder) plainHeading() Text {
	if m.inc.Restricted {
		return m.head(textf(", restricted"))
	}
	return m.head(textf(""))
}

func (m *builder) activeHeading() Text {
	since := cmp.Or(m.inc.StatusSince, m.inc.OpenedAt)
	return m.head(textf(" %s, %s", span(m.brief.Now.Sub(since)), m.inCommand()))
}

func (m *builder) containedHeading() Text {
	return m.head(textf(" after %s, %s", span(m.inc.ContainedAt.Sub(m.inc.OpenedAt)), m.inCommand()))
}

func (m *builder) resolvedHeading() Text {
	return m.head(textf(" %s, contained after %s", m.clock(m.inc.ResolvedAt), span(m.inc.ContainedAt.Sub(m.inc.OpenedAt))))
}

func (m *builder) revisionHeading() Text {
	return m.head(textf(", revision %d", m.inc.Revision))
}

func (m *builder) inCommand() Text {
	if m.inc.Commander == "" {
		return textf("no commander")
	}
	return textf("%s commands", m.name(m.inc.Commander))
}

func (m *builder) titleLine() Text {
	title := text.Truncate(text.Line(m.inc.Title), maxCardTitle)
	if title == "" {
		return Text{}
	}
	return textf("%s", incident.Quoted(title))
}

// commanderLine names the commander, or the people who are paged and for how long.
func (m *builder) commanderLine() Text {
	switch p := m.inc.Paging; {
	case m.inc.Commander != "":
		return textf("Commander: %s", m.name(m.inc.Commander))
	case m.inc.NeedsPage():
		waited := m.brief.Now.Sub(cmp.Or(p.StartedAt, p.EscalationStepAt, m.inc.OpenedAt))
		if waited < time.Second {
			return textf("Commander: none; paging %s", m.paged())
		}
		return textf("Commander: none; paging %s (%s)", m.paged(), span(waited))
	}
	return textf("Commander: none; no page")
}

// paged names the people whom the page that runs reached, or its escalation step.
func (m *builder) paged() Text {
	var people List
	for _, c := range m.inc.Calls {
		if name := m.name(c.Person); c.Cause == incident.CalledOnCall && !c.At.Before(m.inc.Paging.EscalationStepAt) && len(people) < maxCardAbsent {
			people = append(people, textf("%s", name))
		}
	}
	if len(people) > 0 {
		return join(people)
	}
	return textf("escalation step %d", m.inc.Paging.EscalationStep+1)
}

func (m *builder) sinceLine() Text {
	alerts := textf("no alert")
	switch n := m.alertTotal(); {
	case n == 0 && m.inc.Reporter != nil:
		alerts = textf("reported by %s", m.reporter())
	case n == 1:
		alerts = textf("1 alert")
	case n > 1:
		alerts = textf("%s alerts", grouped(n))
	}
	return textf("Since %s, %s, personal data %s", m.clock(m.inc.OpenedAt), alerts, m.personalData())
}

func (m *builder) alertTotal() int64 {
	return max(incident.SumAlerts(m.brief.AlertCounts).Alerts, int64(len(m.inc.Alerts)))
}

func (m *builder) personalData() string {
	return string(cmp.Or(m.inc.Facts.PersonalData, incident.PersonalUnknown))
}

// dataLine shows the fact about personal data and the affected people.
func (m *builder) dataLine() Text {
	if m.inc.Facts.PersonalData == incident.PersonalNo {
		return textf("No personal data")
	}
	return textf("Personal data %s; %s", m.personalData(), m.affected())
}

func (m *builder) affected() Text {
	switch total := m.affectedPeople(); {
	case len(m.inc.Facts.Affected) == 0:
		return textf("affected not counted")
	case total == 0:
		return textf("%s, people not counted", parties(m.inc.Facts.Affected))
	case total == 1:
		return textf("%s, 1 person", parties(m.inc.Facts.Affected))
	default:
		return textf("%s, %s people", parties(m.inc.Facts.Affected), grouped(int64(total)))
	}
}

func (m *builder) affectedPeople() (total int) {
	for _, a := range m.inc.Facts.Affected {
		total += a.Count
	}
	return total
}

// parties names the first party and the number of the others.
func parties(all []incident.Affected) Text {
	first := incident.Quoted(text.Truncate(text.Line(all[0].Who), 60))
	if len(all) == 1 {
		return textf("%s", first)
	}
	return textf("%s and %d more", first, len(all)-1)
}

// deadlineLine names the next legal deadline and the person who decides.
func (m *builder) deadlineLine() Text {
	if m.inc.Facts.PersonalData == incident.PersonalNo && len(m.inc.Facts.Aware) == 0 {
		return textf("Deadline: none")
	}
	regime, at := m.legalDeadline()
	c, ok := m.inc.ReportingClock()
	switch {
	case regime == "" && ok && c.Processor && !c.Aware.IsZero():
		return textf("Deadline: notify %s without delay; %s decides", parties(m.inc.Facts.Affected), m.lawyer())
	case regime == "":
		return textf("Deadline: none yet; %s sets “aware”", m.lawyer())
	case m.brief.Now.After(at):
		return textf("Deadline: %s passed at %s; %s decides", Plain(strings.ToUpper(regime)), m.clock(at), m.lawyer())
	}
	return textf("Deadline: %s by %s; %s decides", Plain(strings.ToUpper(regime)), m.clock(at), m.lawyer())
}

// regimeTimes holds the time from the awareness to the first report under each law. DORA
// is not among them: its deadline depends on the classification, and the card must not
// show a false one.
var regimeTimes = map[string]time.Duration{"nis2": 24 * time.Hour, "cra": 24 * time.Hour}

// legalDeadline returns the law with the next deadline. After all deadlines, it returns the
// last.
func (m *builder) legalDeadline() (regime string, at time.Time) {
	for _, name := range slices.Sorted(maps.Keys(m.inc.Facts.Aware)) {
		limit, known := regimeTimes[name]
		due := m.inc.Facts.Aware[name].At.Add(limit)
		if c, ok := m.inc.ReportingClock(); ok && name == incident.RegimeGDPR {
			due, known = c.Due, !c.Due.IsZero()
		}
		if !known {
			continue
		}
		if passed := m.brief.Now.After(at); regime == "" || passed && due.After(at) || !passed && due.Before(at) && !m.brief.Now.After(due) {
			regime, at = name, due
		}
	}
	return regime, at
}

// lawyer names the person who decides for legal.
func (m *builder) lawyer() Text {
	if p := m.lawyerID(); p != "" {
		return textf("%s (legal)", m.name(p))
	}
	return textf("legal")
}

// lawyerID returns the person who decides for legal, or "" if there are several.
func (m *builder) lawyerID() incident.PersonID {
	if p := m.inc.Roles[incident.LegalLead]; p != "" {
		return p
	}
	if people := m.inc.Representatives(m.brief.Directory, incident.Legal, m.brief.Now); len(people) == 1 {
		return people[0]
	}
	return ""
}

// stepsLine counts the finished steps and names the next one.
func (m *builder) stepsLine() Text {
	done, total := 0, 0
	for _, r := range m.inc.Runs {
		total += len(r.Plan)
		done += r.FinishedSteps()
	}
	steps := m.currentSteps()
	switch {
	case total == 0:
		return textf("Steps: no playbook runs")
	case len(steps) == 0:
		return textf("Steps %d/%d", done, total)
	}
	next := steps[0]
	if due := dueAt(next); !due.IsZero() {
		late := textf("")
		if m.brief.Now.After(due) {
			late = textf("LATE since ")
		}
		return textf("Steps %d/%d; next: %s (%s, %s%s)", done, total, stepName(next), m.owner(next.Role), late, m.clock(due))
	}
	return textf("Steps %d/%d; next: %s (%s)", done, total, stepName(next), m.owner(next.Role))
}

// owner names the person with a role, or else the role.
func (m *builder) owner(r incident.Role) any {
	if p := m.inc.Roles[r]; p != "" {
		return m.name(p)
	}
	return textf("no %s", string(cmp.Or(r, incident.Commander)))
}

// peopleLine counts the people who are here, and names those who were called and show no
// sign. If nobody is absent, it names the people with a role.
func (m *builder) peopleLine() Text {
	here := textf("Here %d", m.inc.Present())
	absent := m.inc.Absent(m.brief.Now)
	if len(absent) == 0 {
		if items := m.roles(); len(items) > 0 {
			return textf("%s; %s", here, items)
		}
		return here
	}
	var items List
	for _, p := range absent[:min(len(absent), maxCardAbsent)] {
		if p.PagedAt.IsZero() {
			items = append(items, textf("%s (called %s)", m.name(p.Person), m.clock(p.CalledAt())))
		} else {
			items = append(items, textf("%s (paged %s)", m.name(p.Person), m.clock(p.PagedAt)))
		}
	}
	if more := len(absent) - len(items); more > 0 {
		items = append(items, textf("%d more", more))
	}
	return textf("%s; no sign of %s", here, items)
}

// maxCardAbsent is the number of absent people that the card names.
const maxCardAbsent = 3

// maxCardRoles is the number of roles that the card names.
const maxCardRoles = 4

func (m *builder) roles() List {
	var items List
	for _, r := range slices.Sorted(maps.Keys(m.inc.Roles)) {
		if r != incident.Commander {
			items = append(items, textf("%s %s", string(r), m.name(m.inc.Roles[r])))
		}
	}
	if more := len(items) - maxCardRoles; more > 0 {
		items = append(items[:maxCardRoles], textf("%d more", more))
	}
	return items
}

// updateLine shows when the next update is due, and the person who writes it.
func (m *builder) updateLine() Text {
	by := textf("no communicator yet")
	if p := m.inc.Roles[incident.Communicator]; p != "" {
		by = textf("%s", m.name(p))
	}
	next, which := m.inc.NextUpdate(), "Next"
	if next.First {
		which = "First"
	}
	switch {
	case next.At.IsZero():
		return textf("Updates: %s", by)
	case m.brief.Now.After(next.At):
		return textf("%s update LATE since %s (%s)", Plain(which), m.clock(next.At), by)
	}
	return textf("%s update due %s (%s)", Plain(which), m.clock(next.At), by)
}

// name returns the first name of a person, or the whole name if another person has the
// first name too. The card has no mentions, because an edit does not notify people.
func (m *builder) name(id incident.PersonID) incident.Quoted {
	full := text.Line(m.brief.Directory.Name(id))
	first, _, _ := strings.Cut(full, " ")
	same := 0
	for _, p := range m.brief.Directory.People {
		if other, _, _ := strings.Cut(text.Line(p.Name), " "); other == first {
			same++
		}
	}
	if same == 1 {
		full = first
	}
	return incident.Quoted(text.Truncate(full, 40))
}

// clock returns a time as an argument: only the time of the day if the day is obvious.
func (m *builder) clock(at time.Time) any {
	if d := at.Sub(m.brief.Now); !m.brief.Now.IsZero() && d.Abs() < 20*time.Hour {
		return Clock(at)
	}
	return at
}

// span returns a duration in one unit: "40 s", "6 min", "7 h", "3 days".
func span(d time.Duration) Text {
	switch d = max(d, 0); {
	case d < time.Minute:
		return textf("%d s", int(d/time.Second))
	case d < 2*time.Hour:
		return textf("%d min", int(d/time.Minute))
	case d < 48*time.Hour:
		return textf("%d h", int(d/time.Hour))
	}
	return textf("%d days", int(d/(24*time.Hour)))
}

// grouped returns a number with commas: "3,964".
func grouped(n int64) Plain {
	s := strconv.FormatInt(n, 10)
	for at := len(s) - 3; at > 0; at -= 3 {
		s = s[:at] + "," + s[at:]
	}
	return Plain(s)
}

// possessive returns a name with the ending of an owner: "payments'", "legal's".
func possessive(name string) string {
	if strings.HasSuffix(name, "s") {
		return name + "'"
	}
	return name + "'s"
}
