package chat

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/text"
	"tocsin/templates"
)

// Card updates the pinned card in the channel. The first call posts and pins
// the card. Later calls return [incident.RetryAfter] if the card, or the
// platform, was edited too often. The next attempt shows the newest state.
//
// If the platform does not allow pins or bookmarks, Card returns the command for the
// posted card together with the error. The next attempts repeat the pin and the bookmark.
func (c *Effects) Card(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	channel, err := channelOf(b.Incident)
	if err != nil {
		return noCommand, err
	}
	m, mark, links := Card(b), markOf(b, b.Mark), map[string]string{}
	id := b.Incident.Links[incident.LinkCard]
	if id != "" {
		if err := c.pace.edit(channel+"/"+id, b.Now); err != nil {
			return noCommand, err
		}
		err = c.platform.Update(ctx, channel, id, m, mark)
	}
	switch {
	case id == "", errors.Is(err, ErrNoMessage):
		// Always search: an earlier attempt may have stopped between posting and pinning.
		card, err := c.postOnce(ctx, b, channel, b.Mark, m, true)
		if err != nil {
			return noCommand, err
		}
		id = card.ID
		links[incident.LinkCard] = id
	case err != nil:
		return noCommand, err
	}
	var refused error
	if links[incident.LinkCard] != "" || b.Attempt > 1 {
		refused = c.optional(ctx, b, "pin the card", c.platform.Pin(ctx, channel, id))
	}
	if refused == nil || isBlocked(refused) {
		refused = cmp.Or(refused, c.bookmarkAlert(ctx, b, channel, links))
	}
	switch {
	case refused != nil && !isBlocked(refused):
		return noCommand, refused
	case len(links) == 0:
		return noCommand, refused
	}
	return resultCommand(b, e, incident.Command{Verb: incident.VerbLink, Links: links}), refused
}

// noBookmark is stored as the ID if the platform does not accept a bookmark.
// It prevents further attempts.
const noBookmark = "none"

// bookmarkAlert adds a bookmark for the first alert with a URL and stores its
// ID in links. It does nothing if the incident has a bookmark.
func (c *Effects) bookmarkAlert(ctx context.Context, b incident.Brief, channel string, links map[string]string) error {
	if b.Incident.Links[incident.LinkBookmark] != "" {
		return nil
	}
	n := slices.IndexFunc(b.Incident.Alerts, func(a incident.AlertRef) bool { return IsPage(a.URL) })
	if n < 0 {
		return nil
	}
	a := b.Incident.Alerts[n]
	id, err := c.platform.Bookmark(ctx, channel, Bookmark{Title: "Alert in " + properName(a.Source), URL: a.URL, Icon: "bell"})
	if err := c.optional(ctx, b, "add a bookmark", err); err != nil {
		return err
	}
	if err != nil {
		id = noBookmark
	}
	links[incident.LinkBookmark] = id
	return nil
}

// Card returns the message with the present state of an incident.
func Card(b incident.Brief) Message {
	m := newBuilder(b)
	inc := m.inc
	m.Notice = textf("%s · %s · %s", inc.ID, string(inc.Severity), string(inc.Status))
	m.add(Headline(fmt.Sprintf("%s · %s · %s", inc.ID, inc.Severity, humanize(inc.Status))))
	m.quote(inc.Title)
	m.add(Fields{
		{"Reported by", m.reporter()},
		{"Commander", m.commander()},
		{"Opened", textf("%s", inc.OpenedAt)},
		{"Roles", m.roles()},
		{"Proposed by an alert", m.proposedSeverity()},
		{"Personal data", word(inc.Facts.PersonalData)},
		{"Alerts", m.alerts()},
		{"Playbooks", m.playbooks()},
		{"Involved", m.involvedDepartments()},
		{"Review", m.review()},
		{"Continues in", m.continuedIn()},
	})
	m.waiting()
	m.signoff()
	m.openSteps()
	if len(inc.Actions) > 0 {
		m.heading("Action items")
		m.bullets(actionLines(b.Directory, inc.Actions))
	}
	m.buttons(m.controls()...)
	m.severityQuestion()
	visibility := textf("public within the company")
	if inc.Restricted {
		visibility = textf("restricted")
	}
	if b.Withheld > 0 {
		m.note("%s", Plain(templates.LeftOut(b.Withheld)))
	}
	m.small(visibility, textf("updated %s", latest(inc.UpdatedAt, inc.OpenedAt)), textf("%s", Typed("help")))
	return m.message()
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// reporter returns the reporter of an incident that an unknown person opened, or
// an empty text.
func (m *builder) reporter() Text {
	if m.inc.Reporter == nil {
		return Text{}
	}
	return m.resolve(m.inc.Reporter.Sentence())
}

func (m *builder) commander() Text {
	switch {
	case m.inc.Commander != "":
		return textf("%s", m.inc.Commander)
	case m.inc.NeedsPage():
		return textf("%s unassigned, paging round %d", Icon("pager"), m.inc.Paging.Round)
	}
	return textf("unassigned")
}

// proposedSeverity returns the severity that an alert proposes, or an empty text.
func (m *builder) proposedSeverity() Text {
	p := m.inc.SeverityProposal
	if p == nil {
		return Text{}
	}
	return textf("%s, raised at %s without an answer", Strong{string(p.Severity)}, p.Until)
}

// join returns the items as one text, or an empty text without items.
func join(items List) Text {
	if len(items) == 0 {
		return Text{}
	}
	return textf("%s", items)
}

func (m *builder) roles() Text {
	var items List
	for _, r := range slices.Sorted(maps.Keys(m.inc.Roles)) {
		if r != incident.Commander {
			items = append(items, textf("%s: %s", string(r), m.inc.Roles[r]))
		}
	}
	return join(items)
}

// maxListedRules is the maximum number of detection rules that a line of a kind names.
const maxListedRules = 5

// alerts counts all alerts by kind, also those that were left out of deliveries, and names
// the detection rules of those that the incident lists.
func (m *builder) alerts() Text {
	rules := map[string][]string{}
	listed, left := map[string]int64{}, map[string]int{}
	for _, a := range m.inc.Alerts {
		listed[a.Kind]++
		left[a.Kind] += a.LeftOut
		if rule := text.Truncate(a.Rule, 200); rule != "" && !slices.Contains(rules[a.Kind], rule) {
			rules[a.Kind] = append(rules[a.Kind], rule)
		}
	}
	counts := m.brief.AlertCounts
	for _, kind := range slices.Sorted(maps.Keys(listed)) { // in case the totals are unknown
		if !slices.ContainsFunc(counts, func(c incident.AlertCount) bool { return c.Kind == kind }) {
			counts = append(slices.Clip(counts), incident.AlertCount{Kind: kind, Alerts: listed[kind], Occurrences: listed[kind]})
		}
	}
	var items List
	for _, c := range counts {
		line := fmt.Sprintf("%d × %s", c.Alerts, text.Truncate(c.Kind, 80))
		if names := rules[c.Kind]; len(names) > maxListedRules {
			line += " (" + strings.Join(names[:maxListedRules], ", ") + " …)"
		} else if len(names) > 0 {
			line += " (" + strings.Join(names, ", ") + ")"
		}
		if c.Occurrences > c.Alerts {
			line += fmt.Sprintf(", occurred %d times", c.Occurrences)
		}
		if n := left[c.Kind]; n > 0 {
			line += fmt.Sprintf(", and %d more that were not read", n)
		}
		items = append(items, Plain(line))
	}
	return join(items)
}

func (m *builder) playbooks() Text {
	var items List
	for _, r := range m.inc.Runs {
		finished := 0
		for _, step := range r.Plan {
			if step.Finished() {
				finished++
			}
		}
		items = append(items, textf("%s: %d of %d steps", Plain(r.Playbook), finished, len(r.Plan)))
	}
	return join(items)
}

func (m *builder) involvedDepartments() Text {
	var items List
	for _, name := range m.inc.InvolvedDepartments {
		items = append(items, string(name))
	}
	return join(items)
}

func (m *builder) review() Text {
	switch r := m.inc.Review; {
	case !r.Concluded.IsZero():
		return textf("concluded %s", r.Concluded)
	case !r.At.IsZero():
		return textf("%s", r.At)
	}
	return Text{}
}

func (m *builder) continuedIn() Text {
	if m.inc.MergedInto == 0 {
		return Text{}
	}
	return textf("%s", m.inc.MergedInto)
}

// waiting adds a line about effects that wait for an outside system, with the cause, the
// repair and a button to try again. The line starts with the causes that an administrator
// must repair.
func (m *builder) waiting() {
	waits := slices.Clone(m.brief.Waiting)
	if len(waits) == 0 {
		return
	}
	slices.SortStableFunc(waits, func(a, b incident.WaitingEffect) int {
		switch {
		case a.Blocked == b.Blocked:
			return a.Since.Compare(b.Since)
		case a.Blocked:
			return -1
		}
		return 1
	})
	first, causes := waits[0], map[string]bool{}
	for _, w := range waits {
		causes[w.System+"/"+w.Cause] = true
	}
	system, cause := Strong{textf("Waiting for %s:", Plain(properName(first.System)))}, Plain(text.Truncate(first.Cause, 200))
	if others := len(causes) - 1; others == 0 {
		m.iconLine("hourglass", "%s %s, since %s.", system, cause, first.Since)
	} else {
		m.iconLine("hourglass", "%s %s, since %s. Other causes: %d.", system, cause, first.Since, others)
	}
	switch fix := Plain(text.Truncate(first.Fix, 300)); {
	case fix == "":
	case first.Blocked:
		m.note("%s. Tocsin tries again afterwards.", fix)
	default:
		m.note("%s. Tocsin tries again by itself.", fix)
	}
	m.buttons(m.verbButton("Try again", incident.VerbRetry)...)
}

// openSteps lists the steps that were started and are not finished, if the
// status allows finishing steps.
func (m *builder) openSteps() {
	if !isAllowed(m.inc, incident.VerbStepDone) {
		return
	}
	var steps []string
	for _, r := range m.inc.Runs {
		for _, step := range r.Plan {
			if step.Finished() || step.Started.IsZero() {
				continue
			}
			late := ""
			if step.Status == incident.StepLate {
				late = "LATE: "
			}
			steps = append(steps, late+step.Title)
		}
	}
	if len(steps) > 0 {
		m.heading("Open steps")
		m.bullets(steps[:min(len(steps), 12)])
	}
}

// signoff lists the signatures, objections and answers of the submitted
// record, if there is one.
func (m *builder) signoff() {
	if m.inc.Submission == nil {
		return
	}
	var fields Fields
	for _, name := range incident.RequiredDepartments() {
		state := textf("%s not signed", Icon("hourglass"))
		if sig := m.inc.SignedBy(name); sig != nil {
			state = textf("%s %s", Icon("heavy_check_mark"), sig.By)
		}
		fields = append(fields, Field{humanize(name), state})
	}
	m.add(fields)
	_, objections, _ := m.inc.Missing()
	for _, o := range objections {
		m.iconLine("no_entry", "%s objected (%s):", string(o.Department), Plain(text.Truncate(o.ID, 20)))
		m.quote(text.Truncate(o.Reason, 300))
	}
	for _, c := range m.inc.Consultations {
		if c.Answered() {
			m.note("%s: %s %s", string(c.Team), Icon("heavy_check_mark"), c.By)
		} else {
			m.note("%s: %s not answered", string(c.Team), Icon("hourglass"))
		}
	}
	m.note("closing record %s", digest(m.inc.Submission.Digest))
}

// controls returns the buttons of the card: the verbs that the status allows
// and that are likely to be needed. An incident that nobody acknowledged has
// Acknowledge as the first button, even if its severity pages no one.
func (m *builder) controls() []Action {
	var row []Action
	if isAllowed(m.inc, incident.VerbAcknowledge) && !m.inc.Paging.Acknowledged() {
		row = append(row, m.ackButton()...)
	}
	// Before containment, the record and action items are available only as
	// commands.
	editRecord, addAction := incident.VerbEditRecord, incident.VerbAddAction
	if isAllowed(m.inc, incident.VerbContain) {
		editRecord, addAction = "", ""
	}
	for _, c := range []struct {
		verb  incident.Verb
		label string
	}{
		{incident.VerbContain, "Mark as contained"},
		{incident.VerbResolve, "Mark as resolved"},
		{incident.VerbSubmit, "Submit the record"},
		{editRecord, "Edit the record"},
		{incident.VerbAmend, "Amend the record"},
		{incident.VerbConclude, "Conclude the review"},
		{incident.VerbScheduleReview, "Schedule the review"},
		{incident.VerbSetFact, "Set a fact"},
		{incident.VerbNote, "Add a note"},
		{addAction, "Add an action item"},
		{incident.VerbDismiss, "Dismiss as false alarm"},
	} {
		row = append(row, m.verbButton(c.label, c.verb)...)
	}
	return row
}
