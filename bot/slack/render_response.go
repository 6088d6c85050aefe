package slack

import (
	"strings"

	"github.com/slack-go/slack"

	"tocsin/bot/incident"
)

// The voices of the response: what people do, and the steps of the playbooks.

func (s renderer) noted() {
	s.line(mk(":memo: Note by %s", s.by()))
	s.quoteText("text")
}

func (s renderer) evidence() {
	s.line(mk(":file_folder: Evidence *%s*, kept by %s", s.field("evidence"), s.by()))
	s.quoteText("name")
	s.quoteText("where")
	s.quoteText("text")
	if sum := s.e.Field("sha256"); sum != "" {
		s.small(mk("SHA-256 %s", esc(sum, 80)))
	}
}

func (s renderer) updated() {
	s.line(mk(":mega: Status update by %s", s.by()))
	s.quoteText("text")
}

func (s renderer) contained() {
	s.line(mk(":shield: *Contained* by %s: the harm no longer spreads.", s.by()))
	s.quoteText("text")
}

func (s renderer) resolved() {
	s.line(mk(":white_check_mark: *Resolved* by %s: service and security are restored. Now the closing record is written.", s.by()))
	s.quoteText("text")
	s.buttons(append(s.button(incident.VerbEditRecord, ActRecord, "Write the record"), s.button(incident.VerbSubmit, ActSubmit, "Submit it")...)...)
}

func (s renderer) reopened() {
	s.line(mk(":rotating_light: *Reopened* by %s: it is not over.", s.by()))
	s.quoteText("reason")
}

func (s renderer) dismissProposed() {
	s.line(mk(":grey_question: %s says that it is a false alarm. Somebody from %s has to agree.", s.by(), team(s.b.Directory, incident.Security)))
	s.quoteText("reason")
	s.buttons(s.button(incident.VerbDismiss, ActDismiss, "I agree")...)
}

func (s renderer) dismissed() {
	first := markup("")
	if s.e.Field("person") != "" {
		first = mk("%s and ", s.person("person"))
	}
	s.line(mk(":grey_exclamation: *Dismissed* as a false alarm by %s%s.", first, s.by()))
	s.quoteText("reason")
	s.small("it is listed for the next review meeting")
}

func (s renderer) mergedInto() {
	s.line(mk(":arrow_right: *Merged into %s* by %s. Everything goes on there.", s.field("target"), s.by()))
	s.quoteText("reason")
}

func (s renderer) mergedFrom() {
	s.line(mk(":arrow_left: *%s was merged into this incident* by %s. Its alerts are here now.", s.field("source"), s.by()))
	s.quoteText("reason")
}

func (s renderer) splitInto() {
	s.line(mk(":twisted_rightwards_arrows: *Some alerts are %s now*, split off by %s. They stay in this timeline.", s.field("target"), s.by()))
	s.quoteText("reason")
}

func (s renderer) splitFrom() {
	s.line(mk(":twisted_rightwards_arrows: *Split from %s* by %s. What happened before stands there.", s.field("source"), s.by()))
	s.quoteText("reason")
}

func (s renderer) held() {
	s.line(mk(":lock: *Legal hold*, set by %s: nothing of this incident is deleted by schedule.", s.by()))
	s.quoteText("reason")
}

func (s renderer) holdReleased() {
	s.line(mk(":unlock: The legal hold is released by %s.", s.by()))
	s.quoteText("reason")
}

// step finds the step the event is about. A pinned plan can have lost its
// texts to an erasure; then there is none.
func (s renderer) step() (ref string, step incident.Step) {
	ref = s.e.Field("run") + "/" + s.e.Field("step")
	if _, found := s.inc.Step(ref); found != nil {
		return ref, *found
	}
	return ref, incident.Step{ID: s.e.Field("step"), Title: s.e.Field("step")}
}

// role mentions whoever has a role, or says that nobody has it yet.
func (s renderer) role(r incident.Role) markup {
	switch {
	case r == "":
		return ""
	case s.inc.Roles[r] != "":
		return mk("for %s (%s)", who(s.b.Directory, s.inc.Roles[r]), word(r))
	case s.inc.Commander != "":
		return mk("for %s, until somebody has the role %s", who(s.b.Directory, s.inc.Commander), word(r))
	}
	return mk("for whoever takes the role %s; nobody has it yet", word(r))
}

func (s renderer) playbookStarted() {
	run := s.inc.Run(s.e.Field("run"))
	if run == nil {
		run = &incident.Run{Playbook: s.e.Field("run")}
	}
	title := run.Title
	if title == "" {
		title = run.Playbook
	}
	s.line(mk(":book: *Playbook:* %s. %s steps; each is shown here when its turn comes.", esc(title, 200), num(len(run.Plan))))
	if d := s.e.Field("digest"); d != "" {
		s.small(mk("%s, pinned as %s", esc(run.Playbook, 80), short(d)))
	}
}

// short is the beginning of a digest, enough to compare by eye.
func short(digest string) markup {
	name, hex, found := strings.Cut(digest, ":")
	if !found {
		name, hex = "sha256", digest
	}
	return esc(name+":"+hex[:min(12, len(hex))], 40)
}

func (s renderer) stepButtons(ref string, step incident.Step) {
	var row []slack.BlockElement
	if step.Action == "" {
		row = append(row, s.button(incident.VerbStepDone, ActStepDone, "Done", ref)...)
	}
	s.buttons(append(row, s.button(incident.VerbStepSkip, ActStepSkip, "Skip", ref)...)...)
}

// due says until when a step has to be done.
func due(step incident.Step) markup {
	if step.Deadline <= 0 {
		return ""
	}
	if step.Started.IsZero() {
		return mk("due within %s", esc(step.Deadline.String(), 40))
	}
	return mk("due %s", at(step.Started.Add(step.Deadline)))
}

func (s renderer) stepStarted() {
	ref, step := s.step()
	if step.Action != "" {
		s.line(mk(":robot_face: *Next step:* %s\ndone by the bot", esc(step.Title, 300)))
	} else {
		s.line(mk(":ballot_box_with_check: *Next step:* %s\n%s", esc(step.Title, 300), s.role(step.Role)))
	}
	s.instructions(step.Detail)
	s.small(due(step), esc(ref, 160))
	s.stepButtons(ref, step)
}

func (s renderer) stepDone() {
	_, step := s.step()
	outcome := s.e.Text("outcome")
	switch {
	case step.Action == "":
		s.line(mk(":heavy_check_mark: Step done by %s: *%s*", s.by(), esc(step.Title, 300)))
		s.quoteText("outcome")
	case units(outcome) > 80 || strings.Contains(outcome, "\n"):
		s.line(mk(":clipboard: *%s*", esc(step.Title, 300)))
		s.quoteText("outcome")
	default:
		said := mk(":robot_face: %s: %s", esc(step.Title, 300), esc(outcome, 200))
		s.text = string(said)
		s.small(said)
	}
}

func (s renderer) stepSkipped() {
	_, step := s.step()
	s.line(mk(":fast_forward: Step skipped by %s: *%s*", s.by(), esc(step.Title, 300)))
	s.quoteText("outcome")
}

func (s renderer) stepLate() {
	ref, step := s.step()
	s.line(mk(":alarm_clock: *This step is late:* %s\n%s", esc(step.Title, 300), s.role(step.Role)))
	s.small(due(step), esc(ref, 160))
	s.stepButtons(ref, step)
}
