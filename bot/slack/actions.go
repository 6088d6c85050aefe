package slack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"tocsin/bot/incident"
)

// handleInteraction works on a button, a form or a shortcut. What it returns is the
// answer to a submitted form; everything else is answered with nothing and
// told to the person beside it.
func (s *Slack) handleInteraction(ctx context.Context, in interaction) any {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	switch in.Type {
	case "view_submission":
		return s.handleSubmission(ctx, in)
	case "block_actions":
		for _, a := range in.Actions {
			if err := s.handleAction(ctx, in, a); err != nil {
				s.notify(in, s.errorReply(ctx, err))
			}
		}
	case "shortcut":
		if in.CallbackID == ShortcutOpen {
			if err := s.openForm(ctx, in.TriggerID, in.User.ID, formRequest{verb: incident.VerbOpen}, s.notifier(in)); err != nil {
				s.notify(in, s.errorReply(ctx, err))
			}
		}
	case "message_action":
		if err := s.handleShortcut(ctx, in); err != nil {
			s.notify(in, s.errorReply(ctx, err))
		}
	}
	return nil
}

// formByAction says which form an action opens, and how its value's second part is meant.
var formByAction = map[string]struct {
	verb incident.Verb
	arg  func(*incident.Command, string)
}{
	ActStepDone:       {incident.VerbStepDone, func(c *incident.Command, v string) { c.Step = v }},
	ActStepSkip:       {incident.VerbStepSkip, func(c *incident.Command, v string) { c.Step = v }},
	ActSign:           {incident.VerbSign, setDepartment},
	ActObject:         {incident.VerbObject, setDepartment},
	ActAnswer:         {incident.VerbAnswer, setDepartment},
	ActRecord:         {incident.VerbEditRecord, nil},
	ActSubmit:         {incident.VerbSubmit, nil},
	ActAmend:          {incident.VerbAmend, nil},
	ActContain:        {incident.VerbContain, nil},
	ActResolve:        {incident.VerbResolve, nil},
	ActDismiss:        {incident.VerbDismiss, nil},
	ActNote:           {incident.VerbNote, nil},
	ActFact:           {incident.VerbSetFact, nil},
	ActAction:         {incident.VerbAddAction, nil},
	ActReviewSchedule: {incident.VerbScheduleReview, nil},
	ActReviewConclude: {incident.VerbConclude, nil},
}

func setDepartment(c *incident.Command, v string) { c.Department = incident.Department(v) }

// handleAction does what a button or menu says. Whoever sees a message can press its
// buttons, at any time: the Desk judges as if it had been typed.
func (s *Slack) handleAction(ctx context.Context, in interaction, a formElement) error {
	raw := a.Value
	if raw == "" {
		raw = a.Option.Value
	}
	opened, isForm := formByAction[a.ActionID]
	switch {
	case isForm, a.ActionID == ActAcknowledge, a.ActionID == ActSeverity, a.ActionID == ActWithdraw, a.ActionID == ActStatus:
	default:
		return nil // a link, or a menu inside a form
	}
	id, args, err := parseValue(raw)
	if err != nil {
		return err
	}
	arg := ""
	if len(args) > 0 {
		arg = args[0]
	}
	cmd := incident.Command{For: id}
	switch {
	case isForm:
		cmd.Verb = opened.verb
		if opened.arg != nil {
			opened.arg(&cmd, arg)
		}
		return s.openForm(ctx, in.TriggerID, in.User.ID, formRequest{verb: opened.verb, prefill: cmd}, s.notifier(in))
	case a.ActionID == ActStatus:
		return s.openStatus(ctx, in, id)
	case a.ActionID == ActAcknowledge:
		cmd.Verb = incident.VerbAcknowledge
	case a.ActionID == ActSeverity:
		cmd.Verb, cmd.Severity = incident.VerbSetSeverity, incident.Severity(arg)
	case a.ActionID == ActWithdraw:
		cmd.Verb, cmd.Item = incident.VerbWithdraw, arg
	}
	cmd = commandBy(in.User.ID, idempotency("action", in.TriggerID, in.User.ID, a.ActionID, raw), cmd)
	result, err := s.attempt(ctx, idempotency("pressed", in.User.ID, a.ActionID, raw), cmd, func(ctx context.Context, cmd incident.Command, o outcome) {
		s.replyToAction(ctx, in, cmd, o)
	})
	if err != nil {
		return err
	}
	s.replyToAction(ctx, in, cmd, outcome{result: result})
	return nil
}

// replyToAction answers a button.
func (s *Slack) replyToAction(ctx context.Context, in interaction, cmd incident.Command, o outcome) {
	if o.err != nil {
		s.notify(in, s.errorReply(ctx, o.err))
		return
	}
	s.notify(in, newEphemeral(resultMessage(cmd, o.result)))
}

// handleShortcut keeps a message of the incident's channel as a note or as evidence.
func (s *Slack) handleShortcut(ctx context.Context, in interaction) error {
	if in.CallbackID != ShortcutAddNote && in.CallbackID != ShortcutAddEvidence {
		return nil
	}
	w, err := s.parseContext(ctx, in.User.ID, in.channel())
	if err != nil {
		return err
	}
	if w.Incident == 0 {
		return incident.Invalid("incident", "this is no incident's channel; a message is kept where its incident is")
	}
	text := incident.Readable(unescape(in.Message.Text), w.Directory)
	said := incident.Command{For: w.Incident, Text: text, HappenedAt: sentAt(in.Message.TS)}
	if in.CallbackID == ShortcutAddNote {
		return s.openForm(ctx, in.TriggerID, in.User.ID, formRequest{verb: incident.VerbNote, prefill: said}, s.notifier(in))
	}
	sum := sha256.Sum256([]byte(text))
	said.Text, said.Evidence = "", &incident.Evidence{Name: evidenceName(text), SHA256: hex.EncodeToString(sum[:])}
	a := formRequest{verb: incident.VerbEvidence, prefill: said}
	if len(in.Message.Files) > 0 {
		said.Evidence.Name, said.Evidence.Where, said.Evidence.SHA256 = in.Message.Files[0].Name, in.Message.Files[0].Permalink, ""
	} else {
		a.prepare = func(ctx context.Context, said *incident.Command) {
			link, err := s.client.GetPermalinkContext(ctx, &slack.PermalinkParameters{Channel: in.channel(), Ts: in.Message.TS})
			if err != nil {
				s.log.WarnContext(ctx, "could not find a message's link", "error", err)
				return
			}
			said.Evidence.Where = link
		}
	}
	return s.openForm(ctx, in.TriggerID, in.User.ID, a, s.notifier(in))
}

// sentAt reads when a message was sent out of its id, or is zero.
func sentAt(ts string) time.Time {
	whole, _, _ := strings.Cut(ts, ".")
	seconds, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || seconds <= 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}

// notifier is how the person behind an interaction hears of what happens after it
// was answered.
func (s *Slack) notifier(in interaction) func(*ephemeral) {
	return func(e *ephemeral) { s.notify(in, e) }
}

// responseURLNotifier is the same through a slash command's response_url.
func (s *Slack) responseURLNotifier(url string) func(*ephemeral) {
	return func(e *ephemeral) {
		if url != "" {
			s.runInBackground(func(ctx context.Context) { s.respond(ctx, url, *e) })
		}
	}
}

// evidenceName is what a message is called as evidence: how it begins.
func evidenceName(text string) string {
	short, _ := clip(strings.Join(strings.Fields(text), " "), 120)
	return "message: " + short
}
