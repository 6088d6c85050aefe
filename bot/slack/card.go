package slack

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"tocsin/bot/incident"
	"tocsin/templates"
)

// Card updates the pinned card in the channel. The first call posts and pins
// the card.
func (s *Slack) Card(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	channel, err := channelOf(b.Incident)
	if err != nil {
		return noCommand, err
	}
	links := map[string]string{}
	m, meta := card(b), metadata(b, b.Mark)
	meta.EventPayload[metaCard] = true
	ts := b.Incident.Links[incident.LinkCard]
	if ts != "" {
		_, _, _, err = s.client.UpdateMessageContext(ctx, channel, ts, m.options(meta)...)
	}
	switch {
	case ts == "", errorCode(err) == "message_not_found":
		if ts, err = s.firstCard(ctx, b, channel, m, meta); err != nil {
			return noCommand, err
		}
		links[incident.LinkCard] = ts
	case err != nil:
		return noCommand, classify("edit the card", err)
	}
	if err := s.bookmarkAlert(ctx, b, channel, links); err != nil {
		return noCommand, err
	}
	if len(links) == 0 {
		return noCommand, nil
	}
	return resultCommand(b, e, incident.Command{Verb: incident.VerbLink, Links: links}), nil
}

// firstCard posts and pins the card, unless an earlier attempt posted it. It
// always searches first, because an earlier attempt may have stopped between
// posting and pinning.
func (s *Slack) firstCard(ctx context.Context, b incident.Brief, channel string, m message, meta slack.SlackMetadata) (string, error) {
	found, ok, err := s.findMessage(ctx, channel, b.Incident.OpenedAt, func(payload map[string]any) bool {
		return payload[metaCard] == true && payload[metaIncident] == b.Incident.ID.String()
	})
	if err != nil {
		return "", err
	}
	ts := found.Timestamp
	if !ok {
		if ts, err = s.post(ctx, channel, m, meta); err != nil {
			return "", err
		}
	}
	err = s.client.AddPinContext(ctx, channel, slack.NewRefToMessage(channel, ts))
	if errorCode(err) == "already_pinned" {
		return ts, nil
	}
	return ts, s.ignorePermanent(ctx, b, "pin the card", err)
}

// ignorePermanent classifies the error of an optional call. It logs a
// permanent error and returns nil.
func (s *Slack) ignorePermanent(ctx context.Context, b incident.Brief, what string, err error) error {
	err = classify(what, err)
	if isPermanent(err) || ignorableCodes[errorCode(err)] {
		s.log.WarnContext(ctx, "optional Slack call failed", "call", what, "incident", b.Incident.ID, "err", err)
		return nil
	}
	return err
}

// ignorableCodes are further permanent error codes of pins and bookmarks.
var ignorableCodes = map[string]bool{"too_many_pins": true, "not_pinnable": true, "permission_denied": true, "too_many_bookmarks": true, "too_many_tabs": true,
	"invalid_link": true, "invalid_bookmark_type": true, "not_implemented": true, "parent_bookmark_disabled": true}

// bookmarkAlert adds a bookmark for the first alert with a URL and stores its
// ID in links. It does nothing if the incident has a bookmark.
func (s *Slack) bookmarkAlert(ctx context.Context, b incident.Brief, channel string, links map[string]string) error {
	if b.Incident.Links[incident.LinkBookmark] != "" {
		return nil
	}
	for _, a := range b.Incident.Alerts {
		if !goodURL(a.URL) {
			continue
		}
		id, err := s.bookmark(ctx, channel, "Alert in "+sourceName(a.Source), a.URL, ":bell:")
		if err := s.ignorePermanent(ctx, b, "add a bookmark", err); err != nil {
			return err
		}
		links[incident.LinkBookmark] = id
		return nil
	}
	return nil
}

// noBookmark is stored as the ID if the workspace does not accept a bookmark.
// It prevents further attempts.
const noBookmark = "none"

// bookmark adds a link to the bookmark bar and returns its ID. If a bookmark
// with this title exists, bookmark returns the ID of that one.
func (s *Slack) bookmark(ctx context.Context, channel, title, url, emoji string) (string, error) {
	have, err := s.client.ListBookmarksContext(ctx, channel)
	if err != nil {
		return noBookmark, err
	}
	if n := slices.IndexFunc(have, func(m slack.Bookmark) bool { return m.Title == title }); n >= 0 {
		return have[n].ID, nil
	}
	added, err := s.client.AddBookmarkContext(ctx, channel, slack.AddBookmarkParameters{Title: title, Type: "link", Link: url, Emoji: emoji})
	if err != nil {
		return noBookmark, err
	}
	return added.ID, nil
}

// card returns the message with the present state of an incident.
func card(b incident.Brief) message {
	inc := b.Incident
	p := &messageBuilder{id: inc.ID}
	p.text = fmt.Sprintf("%s · %s · %s", inc.ID, inc.Severity, humanize(inc.Status))
	p.title(fmt.Sprintf("%s · %s · %s", inc.ID, inc.Severity, strings.ReplaceAll(string(inc.Status), "_", " ")))
	p.quote(inc.Title)
	s := renderer{messageBuilder: p, b: b, inc: inc}
	p.pairs(
		[2]markup{"Reported by", s.reporter()},
		[2]markup{"Commander", s.commander()},
		[2]markup{"Opened", dateMarkup(inc.OpenedAt)},
		[2]markup{"Roles", s.roles()},
		[2]markup{"Proposed by an alert", s.proposedSeverity()},
		[2]markup{"Personal data", humanize(inc.Facts.PersonalData)},
		[2]markup{"Alerts", s.alerts()},
		[2]markup{"Playbooks", s.playbooks()},
		[2]markup{"Involved", s.involvedDepartments()},
		[2]markup{"Review", s.review()},
		[2]markup{"Continues in", s.continuedIn()},
	)
	s.signoff()
	s.openSteps()
	if len(inc.Actions) > 0 {
		p.line("*Action items*")
		p.items(actionLines(b.Directory, inc.Actions))
	}
	p.buttons(s.controls()...)
	s.severityButtons()
	visibility := markup("public within the company")
	if inc.Restricted {
		visibility = "restricted"
	}
	if b.Withheld > 0 {
		p.small(escape(templates.LeftOut(b.Withheld), 100))
	}
	p.small(visibility, markupf("updated %s", dateMarkup(latest(inc.UpdatedAt, inc.OpenedAt))), "`/incident help`")
	return p.build()
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// reporter returns the reporter of an incident that somebody unknown opened, or "".
func (s renderer) reporter() markup {
	if s.inc.Reporter == nil {
		return ""
	}
	return s.fill(s.inc.Reporter.Sentence())
}

func (s renderer) commander() markup {
	switch {
	case s.inc.Commander != "":
		return mention(s.b.Directory, s.inc.Commander)
	case s.inc.NeedsPage():
		return markupf(":pager: unassigned, paging round %s", formatNum(s.inc.Paging.Round))
	}
	return "unassigned"
}

// proposedSeverity returns the severity that an alert proposes, or "".
func (s renderer) proposedSeverity() markup {
	p := s.inc.SeverityProposal
	if p == nil {
		return ""
	}
	return markupf("*%s*, raised at %s without an answer", humanize(p.Severity), dateMarkup(p.Until))
}

func (s renderer) roles() markup {
	var parts []markup
	for r, id := range s.inc.Roles {
		if r != incident.Commander {
			parts = append(parts, markupf("%s: %s", humanize(r), mention(s.b.Directory, id)))
		}
	}
	slices.Sort(parts)
	return joinLimited(parts, 800)
}

// alerts counts the alerts by kind and detection rule.
func (s renderer) alerts() markup {
	count := map[markup]int{}
	for _, a := range s.inc.Alerts {
		kind := escape(a.Kind, 80)
		if a.Rule != "" {
			kind = markupf("%s (%s)", kind, escape(a.Rule, 200))
		}
		count[kind]++
	}
	var parts []markup
	for kind, n := range count {
		parts = append(parts, markupf("%s × %s", formatNum(n), kind))
	}
	slices.Sort(parts)
	return joinLimited(parts, 1200)
}

func (s renderer) playbooks() markup {
	var parts []markup
	for _, r := range s.inc.Runs {
		finished := 0
		for _, step := range r.Plan {
			if step.Finished() {
				finished++
			}
		}
		parts = append(parts, markupf("%s: %s of %s steps", escape(r.Playbook, 80), formatNum(finished), formatNum(len(r.Plan))))
	}
	return joinLimited(parts, 800)
}

func (s renderer) involvedDepartments() markup {
	var parts []markup
	for _, name := range s.inc.InvolvedDepartments {
		parts = append(parts, humanize(name))
	}
	return joinLimited(parts, 400)
}

func (s renderer) review() markup {
	switch r := s.inc.Review; {
	case !r.Concluded.IsZero():
		return markupf("concluded %s", dateMarkup(r.Concluded))
	case !r.At.IsZero():
		return dateMarkup(r.At)
	}
	return ""
}

func (s renderer) continuedIn() markup {
	if s.inc.MergedInto == 0 {
		return ""
	}
	return markup(s.inc.MergedInto.String())
}

// openSteps lists the steps that were started and are not finished, if the
// status allows finishing steps.
func (s renderer) openSteps() {
	if !isAllowed(s.inc, incident.VerbStepDone) {
		return
	}
	var steps []string
	for _, r := range s.inc.Runs {
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
		s.line("*Open steps*")
		s.items(steps[:min(len(steps), 12)])
	}
}

// signoff lists the signatures, objections and answers of the submitted
// record, if there is one.
func (s renderer) signoff() {
	if s.inc.Submission == nil {
		return
	}
	var parts [][2]markup
	for _, name := range incident.RequiredDepartments() {
		state := markup(":hourglass: not signed")
		if sig := s.inc.SignedBy(name); sig != nil {
			state = markupf(":heavy_check_mark: %s", mention(s.b.Directory, sig.By))
		}
		parts = append(parts, [2]markup{humanize(name), state})
	}
	s.pairs(parts...)
	_, objections, _ := s.inc.Missing()
	for _, o := range objections {
		s.line(markupf(":no_entry: %s objected (%s):", humanize(o.Department), escape(o.ID, 20)))
		reason, _ := clip(o.Reason, 300)
		s.quote(reason)
	}
	for _, c := range s.inc.Consultations {
		state := markup(":hourglass: not answered")
		if c.Answered() {
			state = markupf(":heavy_check_mark: %s", mention(s.b.Directory, c.By))
		}
		s.small(markupf("%s: %s", humanize(c.Team), state))
	}
	s.small(markupf("closing record %s", shortDigest(s.inc.Submission.Digest)))
}

// isAllowed reports whether the status of the incident allows a verb.
func isAllowed(inc incident.Incident, v incident.Verb) bool {
	return slices.Contains(incident.AllowedVerbs(inc.Status), v)
}

// controls returns the buttons of the card: the verbs that the status allows
// and that are likely to be needed. An incident that nobody acknowledged has
// Acknowledge as the first button, even if its severity pages no one.
func (s renderer) controls() []slack.BlockElement {
	var row []slack.BlockElement
	if isAllowed(s.inc, incident.VerbAcknowledge) && !s.inc.Paging.Acknowledged() {
		row = append(row, s.ackButtons()...)
	}
	// Before containment, the record and action items are available only as
	// commands.
	editRecord, addAction := incident.VerbEditRecord, incident.VerbAddAction
	if isAllowed(s.inc, incident.VerbContain) {
		editRecord, addAction = "", ""
	}
	for _, c := range []struct {
		verb          incident.Verb
		action, label string
	}{
		{incident.VerbContain, ActContain, "Mark as contained"},
		{incident.VerbResolve, ActResolve, "Mark as resolved"},
		{incident.VerbSubmit, ActSubmit, "Submit the record"},
		{editRecord, ActRecord, "Edit the record"},
		{incident.VerbAmend, ActAmend, "Amend the record"},
		{incident.VerbConclude, ActReviewConclude, "Conclude the review"},
		{incident.VerbScheduleReview, ActReviewSchedule, "Schedule the review"},
		{incident.VerbSetFact, ActFact, "Set a fact"},
		{incident.VerbNote, ActNote, "Add a note"},
		{addAction, ActAction, "Add an action item"},
		{incident.VerbDismiss, ActDismiss, "Dismiss as false alarm"},
	} {
		row = append(row, s.button(c.verb, c.action, c.label)...)
	}
	return row
}

// sourceName returns the proper name of a source.
func sourceName(source string) string {
	known := map[string]string{"cloudtrail": "CloudTrail", "sentry": "Sentry", "pagerduty": "PagerDuty", "alertmanager": "Alertmanager"}
	if name, ok := known[source]; ok {
		return name
	}
	return source
}
