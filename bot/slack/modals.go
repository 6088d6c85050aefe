package slack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/slack-go/slack"

	"tocsin/bot/command"
	"tocsin/bot/incident"
)

// formRequest is a form to be opened for a verb, with values for its fields.
type formRequest struct {
	verb    incident.Verb
	prefill incident.Command
	people  incident.Directory                       // of the people in prefill, if the form needs no state
	prepare func(context.Context, *incident.Command) // adds to prefill after the form was opened, or nil
}

// formMeta is the private_metadata of a form, at most 3,000 characters.
type formMeta struct {
	command.FormState
	Shown map[string]string `json:"h,omitempty"` // field → fingerprint of the value in the form
}

// openForm opens a form. The trigger expires after three seconds, so a form
// that needs data opens with a placeholder and is updated in the background.
// Later errors appear in the form. If the update fails, notify receives the
// error.
func (s *Slack) openForm(ctx context.Context, trigger string, who incident.Identity, request formRequest, notify func(*ephemeral)) error {
	request.prefill.Verb = request.verb
	f, ok := command.FormFor(request.prefill)
	if !ok {
		return incident.Invalid("verb", "%s has no form. Type the command", request.verb)
	}
	instead := command.UsageOf(request.verb, request.prefill.For)
	if !f.KeepsDrafts() && !f.NeedsState && !f.NeedsOthers && !f.NeedsAlerts && request.prepare == nil {
		v, err := formView(f, command.FormContext{Given: request.prefill, Directory: request.people})
		if err != nil {
			return err
		}
		_, err = s.client.OpenViewContext(ctx, trigger, v)
		return triggerError("open the form", instead, err)
	}
	opened, err := s.client.OpenViewContext(ctx, trigger, textView(f.Title, "Loading…"))
	if err != nil {
		return triggerError("open the form", instead, err)
	}
	s.runInBackground(func(ctx context.Context) {
		v, err := s.buildForm(ctx, who, f, request, opened.ID)
		if err != nil {
			if incident.CodeOf(err) == "" {
				err = fmt.Errorf("%w: %w", errNotRead, err)
			}
			v = textView(f.Title, s.errorText(ctx, err))
		}
		if _, err := s.client.UpdateViewContext(ctx, v, "", "", opened.ID); err != nil {
			s.log.WarnContext(ctx, "update form failed", "verb", request.verb, "err", err)
			notify(s.errorReply(ctx, incident.Conflict("Nothing was saved: Slack did not accept the form. Try again.")))
		}
	})
	return nil
}

// buildForm returns the content of a view: a form that needs data.
func (s *Slack) buildForm(ctx context.Context, who incident.Identity, f *command.FormSpec, request formRequest, view string) (slack.ModalViewRequest, error) {
	if request.prepare != nil {
		request.prepare(ctx, &request.prefill)
	}
	c, err := s.reader(who).FormContext(ctx, f, request.prefill, view)
	if err != nil {
		return slack.ModalViewRequest{}, err
	}
	return formView(f, c)
}

// formView returns the view of a form. The callback ID is the verb. A form without
// inputs has no submit button.
func formView(spec *command.FormSpec, c command.FormContext) (slack.ModalViewRequest, error) {
	f := spec.Open(c)
	nameSlackUsers(f, c.Directory)
	meta := formMeta{FormState: f.State, Shown: map[string]string{}}
	blocks := documentBlocks(f)
	for _, field := range f.Fields {
		blocks = append(blocks, meta.fieldBlocks(field)...)
	}
	data, err := json.Marshal(meta)
	if err != nil {
		return slack.ModalViewRequest{}, fmt.Errorf("encode the form's metadata: %w", err)
	}
	v := slack.ModalViewRequest{Type: slack.VTModal, CallbackID: string(c.Given.Verb), PrivateMetadata: string(data), Title: plainText(spec.Title),
		NotifyOnClose: spec.Edits, Close: plainText("Cancel"), Blocks: slack.Blocks{BlockSet: blocks}}
	for _, block := range blocks {
		if _, ok := block.(*slack.InputBlock); ok {
			v.Submit = plainText(spec.Submit)
			return v, nil
		}
	}
	v.Close = plainText("Close")
	return v, nil
}

// textView returns a view that contains only a text.
func textView(title, text string) slack.ModalViewRequest {
	text, _ = clip(clean(text), maxBlockText)
	return slack.ModalViewRequest{Type: slack.VTModal, Title: plainText(title), Close: plainText("Close"),
		Blocks: slack.Blocks{BlockSet: []slack.Block{slack.NewSectionBlock(plainText(text), nil, nil)}}}
}

// triggerError returns errTriggerExpired if err reports an expired trigger, and otherwise
// an [apiError]. Slack has several error codes for an expired trigger.
func triggerError(what, instead string, err error) error {
	var refused slack.SlackErrorResponse
	switch errorCode(err) {
	case "":
		if err != nil {
			return &apiError{what, instead, err}
		}
		return nil
	case "expired_trigger_id", "exchanged_trigger_id", "invalid_trigger_id":
		return errTriggerExpired
	case "invalid_arguments":
		if errors.As(err, &refused) && strings.Contains(strings.Join(refused.ResponseMetadata.Messages, " "), "trigger_id") {
			return errTriggerExpired
		}
	}
	return &apiError{what, instead, err}
}

var errTriggerExpired = incident.Conflict("Nothing was saved: the form did not open within the three seconds that Slack allows. Try again.")
