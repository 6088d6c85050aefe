package slack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/slack-go/slack"

	"tocsin/bot/chat"
	"tocsin/bot/command"
	"tocsin/bot/incident"
)

// handleSubmission executes the command of a submitted form. It returns nil
// to close the form, or a response that shows errors below their fields.
func (s *Slack) handleSubmission(ctx context.Context, in interaction) any {
	verb := incident.Verb(in.View.CallbackID)
	if _, ok := command.FormOf(verb); !ok {
		return s.fieldErrors(ctx, in.View, errOldForm)
	}
	cmd, form, err := s.submitted(ctx, in, verb)
	if err != nil {
		return s.fieldErrors(ctx, in.View, err)
	}
	if next, _ := command.FormFor(cmd); next != form {
		return s.continueForm(ctx, in, next, cmd)
	}
	if verb == incident.VerbEditRecord && len(cmd.Record)+len(cmd.Confirm) == 0 {
		s.closeForm(in, true)
		return nil // no field changed
	}
	state, err := json.Marshal(in.View.State.Values)
	if err != nil {
		return s.fieldErrors(ctx, in.View, err)
	}
	key := idempotency("view", in.User.ID, in.View.ID, in.View.Hash, string(state))
	result, err := s.attempt(ctx, []string{key}, s.commandBy(in.account(), key, cmd), nil)
	if err != nil {
		return s.fieldErrors(ctx, in.View, err)
	}
	s.closeForm(in, true)
	if verb == incident.VerbOpen {
		done := textView(form.Title, "")
		done.Blocks.BlockSet = s.layout(chat.Result(cmd, result)).blocks
		return slack.NewUpdateViewSubmissionResponse(&done)
	}
	return nil
}

// continueForm shows the form that follows the submitted one.
func (s *Slack) continueForm(ctx context.Context, in interaction, next *command.FormSpec, cmd incident.Command) any {
	v, err := withDeadline(ctx, s, func() (slack.ModalViewRequest, error) {
		return s.buildForm(ctx, s.identityOf(in.account()), next, formRequest{verb: cmd.Verb, prefill: cmd}, in.View.ID)
	})
	if err != nil {
		if incident.CodeOf(err) == "" {
			err = fmt.Errorf("%w: %w", errNotRead, err)
		}
		return s.fieldErrors(ctx, in.View, err)
	}
	return slack.NewUpdateViewSubmissionResponse(&v)
}

// fieldErrors shows an error below the field that it names, or below the
// first field if the form does not have that field.
func (s *Slack) fieldErrors(ctx context.Context, v viewPayload, err error) any {
	message, _ := clip(clean(s.errorText(ctx, err)), 1000)
	var refused *incident.Error
	var inputs []string
	for _, b := range v.Blocks {
		if b.Type == "input" {
			inputs = append(inputs, b.BlockID)
		}
	}
	if len(inputs) == 0 {
		done := textView("Tocsin", message)
		return slack.NewUpdateViewSubmissionResponse(&done)
	}
	errors.As(err, &refused)
	return slack.NewErrorsViewSubmissionResponse(map[string]string{command.ErrorField(refused, inputs): message})
}

// submitted returns the command of a submitted form and the form.
func (s *Slack) submitted(ctx context.Context, in interaction, verb incident.Verb) (incident.Command, *command.FormSpec, error) {
	var meta formMeta
	if err := json.Unmarshal([]byte(in.View.PrivateMetadata), &meta); err != nil {
		return incident.Command{}, nil, errOldForm
	}
	form, _ := command.FormFor(meta.Given(verb))
	pc, err := s.parseContext(ctx, s.identityOf(in.account()), "")
	if err != nil {
		return incident.Command{}, form, err
	}
	if err := pc.Admit(verb); err != nil { // errors about fields may name people
		return incident.Command{}, form, err
	}
	pc.Incident = meta.Incident
	fields := maps.Clone(in.View.State.Values)
	for _, b := range in.View.Blocks {
		if _, sent := fields[b.BlockID]; b.Type == "input" && !sent {
			if fields == nil {
				fields = map[string]map[string]formElement{}
			}
			fields[b.BlockID] = map[string]formElement{b.BlockID: {}} // shown and left empty
		}
	}
	cmd, err := meta.command(verb, form, fields, pc)
	return cmd, form, err
}

// errOldForm reports a form that this version of Tocsin cannot read.
var errOldForm = incident.Invalid("", "an older version of Tocsin opened this form, and nothing was saved. Close the form and open it again")

// unreadableForm returns the answer to a submitted form that cannot be decoded, or nil for
// other payloads. Without it, Slack closes the form as if the form had been saved.
func unreadableForm(payload []byte) any {
	var kind struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(payload, &kind) != nil || kind.Type != "view_submission" {
		return nil
	}
	v := textView("Tocsin", "Nothing was saved: Tocsin cannot read this form. Close the form and type the command.")
	return slack.NewUpdateViewSubmissionResponse(&v)
}

// command returns the command of a form with its fields as Slack submits them.
func (m formMeta) command(verb incident.Verb, form *command.FormSpec, fields map[string]map[string]formElement, pc command.Context) (incident.Command, error) {
	values := command.Values{}
	for name, elements := range fields {
		e, ok := elements[name]
		if !ok {
			continue
		}
		given, err := e.values(name, pc.Directory)
		if err != nil {
			return incident.Command{}, err
		}
		if shown, sparse := m.Shown[name]; sparse && (len(given) == 0 || fingerprint(given[0]) == shown) {
			continue // unchanged
		}
		values[name] = given
	}
	return form.Command(verb, m.FormState, values, pc)
}

// values returns the values of an element of a form.
func (e formElement) values(field string, d incident.Directory) (out []string, err error) {
	users := e.Users
	if e.User != "" {
		users = append(users, e.User)
	}
	for _, user := range users {
		p, ok := d.Resolve(identity(user))
		if !ok {
			return nil, incident.Unknown(field, "a person you selected is not in the configuration. Ask an administrator to add them under people")
		}
		out = append(out, command.Mention(p.ID, p.Name))
	}
	for _, o := range append(e.Options, e.Option) {
		if o.Value != "" {
			out = append(out, o.Value)
		}
	}
	switch {
	case e.Date != "":
		out = append(out, e.Date)
	case e.DateTime > 0:
		out = append(out, time.Unix(e.DateTime, 0).UTC().Format(time.RFC3339))
	case e.Type == "plain_text_input" || e.Value != "":
		out = append(out, e.Value)
	}
	return out, nil
}
