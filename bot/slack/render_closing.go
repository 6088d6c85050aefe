package slack

import (
	"strings"

	"tocsin/bot/incident"
)

// The voices of closing: the record, the signatures, the review.

func (s renderer) recordEdited() {
	var changed []markup
	for _, f := range incident.RecordFields() {
		_, text := s.e.Texts[f.Name]
		if text || s.e.Field(f.Name) != "" {
			changed = append(changed, esc(f.Label, 60))
		}
	}
	s.line(mk(":pencil2: %s edited the closing record: %s", s.by(), list(changed, 600)))
}

// record shows the closing record, every field with its share of the room; what
// is chosen rather than written stands below.
func (s renderer) record(r incident.ClosingRecord) {
	var filled []incident.RecordField
	for _, f := range incident.RecordFields() {
		if r.Get(f.Name) != "" && f.Name != "audience" && f.Name != "language" {
			filled = append(filled, f)
		}
	}
	share := s.share(len(filled))
	for _, f := range filled {
		text, cut := clip(strings.TrimSpace(clean(r.Get(f.Name))), share)
		s.cut = s.cut || cut
		s.line(mk("*%s*", esc(f.Label, 60)))
		s.quote(text)
	}
	if r.Audience != "" {
		s.small(mk("audience: %s", word(r.Audience)), mk("language: %s", esc(r.Language, 40)))
	}
}

// frozen is the record under a digest.
func (s renderer) frozen() {
	if sub := s.inc.Submission; sub != nil && sub.Digest == s.e.Field("digest") {
		s.record(sub.Document.Record)
	}
	s.small(mk("revision %s", s.field("revision")), s.field("digest"))
	s.buttons(s.button(incident.VerbAmend, ActAmend, "Amend")...)
}

func (s renderer) submitted() {
	s.line(mk(":lock_with_ink_pen: %s submitted the closing record. It is frozen; the departments are asked to sign exactly this:", s.by()))
	s.frozen()
}

func (s renderer) revised() {
	s.line(mk(":arrows_counterclockwise: %s revised the record. The departments are asked to sign exactly this:", s.by()))
	s.quoteText("reason")
	s.frozen()
}

func (s renderer) amended() {
	s.line(mk(":pencil2: %s amends the record. Its signatures are void.", s.by()))
	s.quoteText("reason")
	s.buttons(append(s.button(incident.VerbEditRecord, ActRecord, "Write the record"), s.button(incident.VerbSubmit, ActSubmit, "Submit it")...)...)
}

func (s renderer) signed() {
	how := markup("")
	if s.e.Field("deputy") == "true" {
		how = ", as deputy"
	}
	if s.e.Field("submitter") == "true" {
		how += ", who also submitted it"
	}
	s.line(mk(":lower_left_fountain_pen: *%s* signed: %s%s", word(s.e.Field("department")), s.by(), how))
	s.small(s.waiting(), short(s.e.Field("digest")))
}

// waiting says what is still missing.
func (s renderer) waiting() markup {
	unsigned, objections, unanswered := s.inc.Missing()
	var parts []markup
	for _, name := range unsigned {
		parts = append(parts, word(name))
	}
	for _, o := range objections {
		parts = append(parts, mk("objection %s", esc(o.ID, 20)))
	}
	for _, c := range unanswered {
		parts = append(parts, mk("the answer of %s", word(c.Team)))
	}
	if len(parts) == 0 {
		return "nothing is missing any more"
	}
	return mk("still missing: %s", list(parts, 800))
}

func (s renderer) signatureWithdrawn() {
	s.line(mk(":leftwards_arrow_with_hook: The signature of *%s* was withdrawn by %s.", word(s.e.Field("department")), s.by()))
	s.quoteText("reason")
}

func (s renderer) signaturesVoided() {
	s.line(":warning: *The record is open again and its signatures are void.*")
	s.quoteText("reason")
	s.buttons(append(s.button(incident.VerbEditRecord, ActRecord, "Write the record"), s.button(incident.VerbSubmit, ActSubmit, "Submit it")...)...)
}

func (s renderer) objected() {
	s.line(mk(":no_entry: *%s objects* (%s), %s:", word(s.e.Field("department")), s.field("objection"), s.by()))
	s.quoteText("reason")
	s.small("nothing is approved until it is withdrawn or the record amended")
	s.buttons(append(s.button(incident.VerbAmend, ActAmend, "Amend the record"),
		s.button(incident.VerbWithdraw, ActWithdraw, "Withdraw the objection", s.e.Field("objection"))...)...)
}

func (s renderer) objectionClosed() {
	how := markup("withdrawn")
	if s.e.Field("how") == "amended" {
		how = "met: the record was amended"
	}
	s.line(mk(":heavy_check_mark: Objection %s is closed: %s.", s.field("objection"), how))
	s.quoteText("reason")
}

func (s renderer) approved() {
	s.line(":tada: *Approved.* Every department signed the same record. The postmortem is being written; a review meeting is due.")
	s.small(mk("revision %s", s.field("revision")), s.field("digest"))
	s.buttons(s.button(incident.VerbScheduleReview, ActReviewSchedule, "Schedule the review")...)
}

func (s renderer) consulted() {
	must := markup("")
	if s.e.Field("blocking") == "true" {
		must = ". Nothing is approved without its answer"
	}
	s.line(mk(":speech_balloon: *%s* is consulted%s.", word(s.e.Field("department")), must))
}

func (s renderer) answered() {
	s.line(mk(":speech_balloon: *%s* answered, %s:", word(s.e.Field("department")), s.by()))
	s.quoteText("answer")
}

func (s renderer) delegated() {
	s.line(mk(":handshake: %s may speak for *%s* until %s, named by %s.", s.person("person"), word(s.e.Field("department")), s.when("until"), s.by()))
	s.quoteText("reason")
}

func (s renderer) actionAdded() {
	s.line(mk(":hammer_and_wrench: Action item *%s* (%s), owned by %s", s.field("action"), word(s.e.Field("kind")), s.person("owner")))
	s.quoteText("title")
	if d, _, ok := strings.Cut(s.e.Field("due"), "T"); ok {
		s.small(mk("due %s", esc(d, 20)))
	}
}

func (s renderer) actionDone() {
	s.line(mk(":heavy_check_mark: Action item *%s* is done, says %s.", s.field("action"), s.by()))
	s.quoteText("text")
}

func (s renderer) reviewScheduled() {
	s.line(mk(":calendar: The review meeting is set for %s, by %s.", s.when("when"), s.by()))
	s.quoteText("text")
	s.buttons(s.button(incident.VerbConclude, ActReviewConclude, "Conclude the review")...)
}

func (s renderer) reviewConcluded() {
	var present []incident.PersonID
	for _, id := range strings.FieldsFunc(s.e.Field("people"), func(r rune) bool { return r == ',' }) {
		present = append(present, incident.PersonID(id))
	}
	s.line(mk(":busts_in_silhouette: The review was concluded by %s. Present: %s", s.by(), people(s.b.Directory, present, 1500)))
	s.quoteText("decisions")
}

func (s renderer) exceptionProposed() {
	s.line(mk(":grey_question: %s asks to close without an action item for both detection and prevention. Somebody from %s has to endorse it.",
		s.by(), team(s.b.Directory, incident.Security)))
	s.quoteText("reason")
}

func (s renderer) exceptionEndorsed() {
	s.line(mk(":white_check_mark: %s endorsed the exception for security.", s.by()))
	s.quoteText("reason")
}

func (s renderer) closed() {
	s.line(mk(":checkered_flag: *%s is closed.* It was reviewed in person, and what will detect and prevent the next one has owners and dates.", markup(s.inc.ID.String())))
	s.items(actions(s.b.Directory, s.inc.Actions))
}

// actions lists action items, in plain text.
func actions(d incident.Directory, items []incident.Action) []string {
	var out []string
	for _, a := range items {
		text, _ := clip(a.Title, 120)
		out = append(out, a.ID+" · "+string(a.Kind)+" · "+text+" · "+d.Name(a.Owner)+" · due "+a.Due.UTC().Format("2006-01-02"))
	}
	return out
}
