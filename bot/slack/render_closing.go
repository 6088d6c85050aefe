package slack

import (
	"strings"

	"tocsin/bot/incident"
)

// openStepsLabel is the heading of the steps that were open at the resolution.
const openStepsLabel = "Steps left open at the resolution"

// record adds the closing record and the steps that were left open. Long texts share the space of the message
// evenly.
func (s renderer) record(r incident.ClosingRecord) {
	var filled []incident.RecordField
	for _, f := range incident.RecordFields() {
		if r.Get(f.Name) != "" && f.Name != "audience" && f.Name != "language" {
			filled = append(filled, f)
		}
	}
	if open := s.inc.Unfinished; open != nil {
		text, cut := clip(clean(open.Text()), 600)
		s.truncated = s.truncated || cut
		s.line(markupf(":warning: *%s*", openStepsLabel))
		s.quote(text)
	}
	share := s.quoteLimit(len(filled) + 1)
	for _, f := range filled {
		text, cut := clip(strings.TrimSpace(clean(r.Get(f.Name))), share)
		s.truncated = s.truncated || cut
		s.line(markupf("*%s*", escape(f.Label, 60)))
		s.quote(text)
	}
	if r.Audience != "" {
		s.small(markupf("audience: %s", humanize(r.Audience)), markupf("language: %s", escape(r.Language, 40)))
	}
}

// frozen writes the submitted record with its digest.
func (s renderer) frozen() {
	s.line("The record is frozen. The departments sign this text:")
	if sub := s.inc.Submission; sub != nil && sub.Digest == s.e.Field("digest") {
		s.record(sub.Document.Record)
	}
	s.small(markupf("revision %s", s.field("revision")), s.field("digest"))
	s.buttons(s.button(incident.VerbAmend, ActAmend, "Amend the record")...)
}

func (s renderer) missing() { s.small(s.waiting()) }

// waiting lists the signatures, withdrawals and answers that approval needs.
func (s renderer) waiting() markup {
	unsigned, objections, unanswered := s.inc.Missing()
	var parts []markup
	for _, name := range unsigned {
		parts = append(parts, humanize(name))
	}
	for _, o := range objections {
		parts = append(parts, markupf("objection %s", escape(o.ID, 20)))
	}
	for _, c := range unanswered {
		parts = append(parts, markupf("answer of %s", humanize(c.Team)))
	}
	if len(parts) == 0 {
		return "nothing is missing"
	}
	return markupf("still missing: %s", joinLimited(parts, 800))
}

func (s renderer) objected() {
	s.small("the record cannot be approved until the objection is withdrawn or the record is amended")
	s.buttons(append(s.button(incident.VerbAmend, ActAmend, "Amend the record"),
		s.button(incident.VerbWithdraw, ActWithdraw, "Withdraw the objection", s.e.Field("objection"))...)...)
}

func (s renderer) approved() {
	s.line("Tocsin is writing the postmortem. Next: schedule the review meeting.")
	s.small(s.field("digest"))
	s.buttons(s.button(incident.VerbScheduleReview, ActReviewSchedule, "Schedule the review")...)
}

func (s renderer) reviewScheduled() {
	s.buttons(s.button(incident.VerbConclude, ActReviewConclude, "Conclude the review")...)
}

func (s renderer) waiverApproval() {
	s.line(markupf("A member of %s must endorse the waiver.", mentionTeam(s.b.Directory, incident.Security)))
}

func (s renderer) closed() {
	s.line("The incident was reviewed in person. Every action item has an owner and a due date:")
	s.items(actionLines(s.b.Directory, s.inc.Actions))
}

// actionLines returns action items as lines of plain text.
func actionLines(d incident.Directory, items []incident.Action) []string {
	var out []string
	for _, a := range items {
		text, _ := clip(a.Title, 120)
		out = append(out, a.ID+" · "+string(a.Kind)+" · "+text+" · "+d.Name(a.Owner)+" · due "+a.Due.UTC().Format("2006-01-02"))
	}
	return out
}
