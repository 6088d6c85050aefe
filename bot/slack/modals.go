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

// formRequest is a form to be opened: for which verb, and what was said already.
type formRequest struct {
	verb    incident.Verb
	prefill incident.Command
	prepare func(context.Context, *incident.Command) // looks up what takes too long before opening; may be nil
}

// form is how a verb is asked for. Its callback id is the verb.
type form struct {
	title, submit string // at most 24 characters each
	reads         bool   // its fields need the incident
	blocks        func(*formBuilder) []slack.Block
}

// formBuilder is a form being made.
type formBuilder struct {
	prefill incident.Command
	b       incident.Brief // zero unless the form reads
	meta    formMeta
	zone    *time.Location
}

// formMeta travels with a form in its private_metadata, at most 3,000 characters.
type formMeta struct {
	Incident   incident.ID         `json:"i,omitempty"`
	Department incident.Department `json:"d,omitempty"`
	Step       string              `json:"s,omitempty"`
	Expect     string              `json:"x,omitempty"` // the digest that the form shows
	Shown      map[string]string   `json:"h,omitempty"` // record field → hash of what the form shows
}

// openForm opens a form with the trigger, which lives three seconds. A form
// that has to look something up opens empty first and is filled in afterwards;
// what goes wrong then is shown in it, or told.
func (s *Slack) openForm(ctx context.Context, trigger, user string, a formRequest, tell func(*ephemeral)) error {
	f, ok := forms[a.verb]
	if !ok {
		return incident.Invalid("verb", "there is no form for %s; type it", a.verb)
	}
	a.prefill.Verb = a.verb
	if !f.reads && a.prepare == nil {
		v, err := f.view(a, incident.Brief{Now: s.cfg.Clock()}, s.cfg.Zone)
		if err != nil {
			return err
		}
		_, err = s.client.OpenViewContext(ctx, trigger, v)
		return triggerError(err)
	}
	opened, err := s.client.OpenViewContext(ctx, trigger, textView(f.title, "One moment…"))
	if err != nil {
		return triggerError(err)
	}
	s.runInBackground(func(ctx context.Context) {
		v, err := s.buildForm(ctx, user, f, a)
		if err != nil {
			v = textView(f.title, s.errorText(ctx, err))
		}
		if _, err := s.client.UpdateViewContext(ctx, v, "", "", opened.ID); err != nil {
			s.log.WarnContext(ctx, "could not fill in a form", "verb", a.verb, "error", err)
			tell(s.errorReply(ctx, incident.Conflict("Slack did not take the form; nothing was recorded. Try again.")))
		}
	})
	return nil
}

// buildForm makes a form that needs looking up.
func (s *Slack) buildForm(ctx context.Context, user string, f form, a formRequest) (slack.ModalViewRequest, error) {
	b := incident.Brief{Now: s.cfg.Clock()}
	if f.reads {
		var err error
		if b, err = s.show(ctx, user, a.prefill.For, "opened the form "+f.title+" in Slack"); err != nil {
			return slack.ModalViewRequest{}, err
		}
	}
	if a.prepare != nil {
		a.prepare(ctx, &a.prefill)
	}
	return f.view(a, b, s.cfg.Zone)
}

// view makes the form's view.
func (f form) view(a formRequest, b incident.Brief, zone *time.Location) (slack.ModalViewRequest, error) {
	fill := &formBuilder{prefill: a.prefill, b: b, zone: zone, meta: formMeta{Incident: a.prefill.For, Department: a.prefill.Department, Step: a.prefill.Step}}
	blocks := f.blocks(fill)
	data, err := json.Marshal(fill.meta)
	if err != nil {
		return slack.ModalViewRequest{}, fmt.Errorf("encode the form's metadata: %w", err)
	}
	v := slack.ModalViewRequest{Type: slack.VTModal, CallbackID: string(a.verb), PrivateMetadata: string(data), Title: plainText(f.title),
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

// textView is a view that only says something.
func textView(title, text string) slack.ModalViewRequest {
	text, _ = clip(clean(text), maxBlockText)
	return slack.ModalViewRequest{Type: slack.VTModal, Title: plainText(title), Close: plainText("Close"),
		Blocks: slack.Blocks{BlockSet: []slack.Block{slack.NewSectionBlock(plainText(text), nil, nil)}}}
}

// triggerError makes of Slack's ways to say that a trigger is too old one refusal
// that people understand.
func triggerError(err error) error {
	var refused slack.SlackErrorResponse
	switch errorCode(err) {
	case "":
		if err != nil {
			return fmt.Errorf("open a form: %w", err)
		}
		return nil
	case "expired_trigger_id", "exchanged_trigger_id", "invalid_trigger_id":
		return errTriggerExpired
	case "invalid_arguments":
		if errors.As(err, &refused) && strings.Contains(strings.Join(refused.ResponseMetadata.Messages, " "), "trigger_id") {
			return errTriggerExpired
		}
	}
	return fmt.Errorf("open a form: %w", err)
}

var errTriggerExpired = incident.Conflict("Slack waits three seconds for a form, and they were over; nothing was recorded. Try again.")

// openStatus shows how an incident stands, for one person's eyes.
func (s *Slack) openStatus(ctx context.Context, in interaction, id incident.ID) error {
	opened, err := s.client.OpenViewContext(ctx, in.TriggerID, textView(id.String(), "One moment…"))
	if err != nil {
		return triggerError(err)
	}
	s.runInBackground(func(ctx context.Context) {
		m, err := s.status(ctx, in.User.ID, id)
		v := textView(id.String(), "")
		if err != nil {
			v = textView(id.String(), s.errorText(ctx, err))
		} else {
			v.Blocks.BlockSet = nil
			for _, b := range m.blocks {
				if _, row := b.(*slack.ActionBlock); !row { // a form cannot be opened over this one
					v.Blocks.BlockSet = append(v.Blocks.BlockSet, b)
				}
			}
		}
		if _, err := s.client.UpdateViewContext(ctx, v, "", "", opened.ID); err != nil {
			s.log.WarnContext(ctx, "could not show a status", "error", err)
		}
	})
	return nil
}

// The inputs of forms. A block's id and its element's action id are the name
// of the argument, so that a refusal finds its field.

// inputText asks for words.
func inputText(name, label, initial string, multiline bool) *slack.InputBlock {
	e := slack.NewPlainTextInputBlockElement(nil, name)
	e.Multiline, e.MaxLength = multiline, maxInputText
	e.InitialValue, _ = clip(clean(initial), maxInputText)
	return slack.NewInputBlock(name, plainText(label), nil, e)
}

// maxInputText is what a text input takes.
const maxInputText = 3000

func optional(b *slack.InputBlock) *slack.InputBlock {
	b.Optional = true
	return b
}

func hint(b *slack.InputBlock, says string) *slack.InputBlock {
	b.Hint = plainText(says)
	return b
}

// inputSelect asks for one of some values.
func inputSelect(name, label string, values []string, initial string) *slack.InputBlock {
	var options []*slack.OptionBlockObject
	e := slack.NewOptionsSelectBlockElement(slack.OptTypeStatic, plainText("Choose"), name)
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

// inputCheckbox asks for one consent.
func inputCheckbox(name, label, says string) *slack.InputBlock {
	return slack.NewInputBlock(name, plainText(label), nil, slack.NewCheckboxGroupsBlockElement(name, slack.NewOptionBlockObject("yes", plainText(says), nil)))
}

// inputUser asks for a person.
func inputUser(name, label, initial string) *slack.InputBlock {
	e := slack.NewOptionsSelectBlockElement(slack.OptTypeUser, plainText("Choose"), name)
	e.InitialUser = initial
	return slack.NewInputBlock(name, plainText(label), nil, e)
}

// happenedAtInput asks when it was, where that is not now.
func (f *formBuilder) happenedAtInput() *slack.InputBlock {
	initial := ""
	if !f.prefill.HappenedAt.IsZero() {
		initial = f.prefill.HappenedAt.In(f.zone).Format(time.RFC3339)
	}
	return hint(optional(inputText("happened_at", "When was that?", initial, false)), "Empty means now. 02:31, yesterday 23:10, 2026-11-24 10:00; the time zone is "+f.zone.String()+".")
}

// toStrings makes plain words of typed ones.
func toStrings[T ~string](of []T) []string {
	out := make([]string, len(of))
	for n, v := range of {
		out[n] = string(v)
	}
	return out
}
