package slack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"tocsin/bot/incident"
)

// formRequest is a form to be opened for a verb, with values for its fields.
type formRequest struct {
	verb    incident.Verb
	prefill incident.Command
	prepare func(context.Context, *incident.Command) // adds to prefill after the form was opened, or nil
}

// form describes the form of a verb. The callback ID of the form is the verb.
type form struct {
	title, submit string // at most 24 characters each
	reads         bool   // blocks needs the incident
	blocks        func(*formBuilder) []slack.Block
}

// formBuilder holds the input for the blocks of a form.
type formBuilder struct {
	prefill incident.Command
	b       incident.Brief // has no incident unless form.reads is true
	meta    formMeta
	zone    *time.Location
}

// formMeta is the private_metadata of a form, at most 3,000 characters.
type formMeta struct {
	Incident   incident.ID         `json:"i,omitempty"`
	Department incident.Department `json:"d,omitempty"`
	Step       string              `json:"s,omitempty"`
	Expect     string              `json:"x,omitempty"` // digest of the record in the form
	Shown      map[string]string   `json:"h,omitempty"` // record field → fingerprint of the value in the form
}

// openForm opens a form. The trigger expires after three seconds, so a form
// that needs data opens with a placeholder and is updated in the background.
// Later errors appear in the form. If the update fails, notify receives the
// error.
func (s *Slack) openForm(ctx context.Context, trigger string, who incident.Identity, request formRequest, notify func(*ephemeral)) error {
	f, ok := forms[request.verb]
	if !ok {
		return incident.Invalid("verb", "%s has no form: type the command", request.verb)
	}
	request.prefill.Verb = request.verb
	if !f.reads && request.prepare == nil {
		v, err := f.view(request, incident.Brief{Now: s.cfg.Clock()}, s.cfg.Zone)
		if err != nil {
			return err
		}
		_, err = s.client.OpenViewContext(ctx, trigger, v)
		return triggerError(err)
	}
	opened, err := s.client.OpenViewContext(ctx, trigger, textView(f.title, "Loading…"))
	if err != nil {
		return triggerError(err)
	}
	s.runInBackground(func(ctx context.Context) {
		v, err := s.buildForm(ctx, who, f, request)
		if err != nil {
			v = textView(f.title, s.errorText(ctx, err))
		}
		if _, err := s.client.UpdateViewContext(ctx, v, "", "", opened.ID); err != nil {
			s.log.WarnContext(ctx, "update form failed", "verb", request.verb, "err", err)
			notify(s.errorReply(ctx, incident.Conflict("Nothing was saved: Slack did not accept the form. Try again.")))
		}
	})
	return nil
}

// buildForm returns the view of a form that needs data.
func (s *Slack) buildForm(ctx context.Context, who incident.Identity, f form, request formRequest) (slack.ModalViewRequest, error) {
	b := incident.Brief{Now: s.cfg.Clock()}
	if f.reads {
		var err error
		if b, err = s.show(ctx, who, request.prefill.For, "opened the form "+f.title+" in Slack"); err != nil {
			return slack.ModalViewRequest{}, err
		}
	}
	if request.prepare != nil {
		request.prepare(ctx, &request.prefill)
	}
	return f.view(request, b, s.cfg.Zone)
}

// view returns the view of the form. A form without inputs has no submit
// button.
func (f form) view(request formRequest, b incident.Brief, zone *time.Location) (slack.ModalViewRequest, error) {
	fb := &formBuilder{prefill: request.prefill, b: b, zone: zone, meta: formMeta{Incident: request.prefill.For, Department: request.prefill.Department, Step: request.prefill.Step}}
	blocks := f.blocks(fb)
	data, err := json.Marshal(fb.meta)
	if err != nil {
		return slack.ModalViewRequest{}, fmt.Errorf("encode the form's metadata: %w", err)
	}
	v := slack.ModalViewRequest{Type: slack.VTModal, CallbackID: string(request.verb), PrivateMetadata: string(data), Title: plainText(f.title),
		Close: plainText("Cancel"), Blocks: slack.Blocks{BlockSet: blocks}}
	for _, block := range blocks {
		if _, ok := block.(*slack.InputBlock); ok {
			v.Submit = plainText(f.submit)
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

// triggerError returns errTriggerExpired if err reports an expired trigger.
// Slack has several error codes for this.
func triggerError(err error) error {
	var refused slack.SlackErrorResponse
	switch errorCode(err) {
	case "":
		if err != nil {
			return fmt.Errorf("open form: %w", err)
		}
		return nil
	case "expired_trigger_id", "exchanged_trigger_id", "invalid_trigger_id":
		return errTriggerExpired
	case "invalid_arguments":
		if errors.As(err, &refused) && strings.Contains(strings.Join(refused.ResponseMetadata.Messages, " "), "trigger_id") {
			return errTriggerExpired
		}
	}
	return fmt.Errorf("open form: %w", err)
}

var errTriggerExpired = incident.Conflict("Nothing was saved: the form did not open within the three seconds that Slack allows. Try again.")

// openStatus shows the status of an incident to one person, in a view without
// buttons.
func (s *Slack) openStatus(ctx context.Context, in interaction, id incident.ID) error {
	opened, err := s.client.OpenViewContext(ctx, in.TriggerID, textView(id.String(), "Loading…"))
	if err != nil {
		return triggerError(err)
	}
	s.runInBackground(func(ctx context.Context) {
		m, err := s.status(ctx, s.identityOf(in.account()), id)
		v := textView(id.String(), "")
		if err != nil {
			v = textView(id.String(), s.errorText(ctx, err))
		} else {
			v.Blocks.BlockSet = nil
			for _, b := range s.layout(m).blocks {
				if _, row := b.(*slack.ActionBlock); !row { // a button cannot open a form on top of this view
					v.Blocks.BlockSet = append(v.Blocks.BlockSet, b)
				}
			}
		}
		if _, err := s.client.UpdateViewContext(ctx, v, "", "", opened.ID); err != nil {
			s.log.WarnContext(ctx, "update status view failed", "err", err)
		}
	})
	return nil
}

// inputText returns a text input.
//
// Every input uses the name of its argument as block ID and action ID.
// [Slack.fieldErrors] finds the field of an error by this name.
func inputText(name, label, initial string, multiline bool) *slack.InputBlock {
	e := slack.NewPlainTextInputBlockElement(nil, name)
	e.Multiline, e.MaxLength = multiline, maxInputText
	e.InitialValue, _ = clip(clean(initial), maxInputText)
	return slack.NewInputBlock(name, plainText(label), nil, e)
}

// maxInputText is the maximum length of a text input in Slack.
const maxInputText = 3000

func optional(b *slack.InputBlock) *slack.InputBlock {
	b.Optional = true
	return b
}

func hint(b *slack.InputBlock, text string) *slack.InputBlock {
	b.Hint = plainText(text)
	return b
}

// inputSelect returns a menu of values.
func inputSelect(name, label string, values []string, initial string) *slack.InputBlock {
	var options []*slack.OptionBlockObject
	e := slack.NewOptionsSelectBlockElement(slack.OptTypeStatic, plainText("Select an option"), name)
	for _, v := range values {
		shown, _ := clip(strings.ReplaceAll(v, "_", " "), 70)
		o := slack.NewOptionBlockObject(v, plainText(shown), nil)
		options = append(options, o)
		if v == initial {
			e.InitialOption = o
		}
	}
	e.Options = options
	return slack.NewInputBlock(name, plainText(label), nil, e)
}

// inputCheckbox returns a single checkbox.
func inputCheckbox(name, label, option string) *slack.InputBlock {
	return slack.NewInputBlock(name, plainText(label), nil, slack.NewCheckboxGroupsBlockElement(name, slack.NewOptionBlockObject("yes", plainText(option), nil)))
}

// inputUser returns a menu of the users in the workspace.
func inputUser(name, label, initial string) *slack.InputBlock {
	e := slack.NewOptionsSelectBlockElement(slack.OptTypeUser, plainText("Select a person"), name)
	e.InitialUser = initial
	return slack.NewInputBlock(name, plainText(label), nil, e)
}

// happenedAtInput returns the optional input for the time of an event.
func (f *formBuilder) happenedAtInput() *slack.InputBlock {
	initial := ""
	if !f.prefill.HappenedAt.IsZero() {
		initial = f.prefill.HappenedAt.In(f.zone).Format(time.RFC3339)
	}
	return hint(optional(inputText("happened_at", "When did this happen?", initial, false)), "Empty means the current time. Examples: 02:31, yesterday 23:10, 2026-11-24 10:00. Time zone: "+f.zone.String()+".")
}

// toStrings converts a slice to strings.
func toStrings[T ~string](values []T) []string {
	out := make([]string, len(values))
	for n, v := range values {
		out[n] = string(v)
	}
	return out
}
