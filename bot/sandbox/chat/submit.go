package chat

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Outcomes of a [Submission].
const (
	SubmitErrors  = "errors"  // the form stays open with errors under its fields
	SubmitClosed  = "closed"  // the view is closed and the one below is shown
	SubmitCleared = "cleared" // the whole stack is closed
	SubmitUpdated = "updated" // the view was replaced
	SubmitPushed  = "pushed"  // a view was opened on top
)

// Submission is the result of submitting a modal.
type Submission struct {
	Outcome string            `json:"outcome"`
	Errors  map[string]string `json:"errors,omitempty"` // by block id
	// Client reports whether the errors are from Slack's client, which then did not send the form to the app.
	Client bool  `json:"client,omitempty"`
	View   *View `json:"view,omitempty"` // for SubmitUpdated and SubmitPushed
}

// Submit fills in values, by block id and action id, and submits a modal.
func (a Actor) Submit(viewID string, values map[string]map[string]any) (Submission, error) {
	v, err := a.lockView(viewID)
	if err != nil {
		return Submission{}, err
	}
	w := a.w
	if err := w.fillElements(v.blocks, values, v.values); err != nil {
		w.mu.Unlock()
		return Submission{}, err
	}
	w.touch()
	state := stateOf(v.blocks, v.values)
	if errs := inputErrors(v.blocks, state); len(errs) > 0 || v.kind != "modal" || v.raw["submit"] == nil {
		w.mu.Unlock()
		if len(errs) == 0 {
			return Submission{}, fmt.Errorf("view %s has no submit button", viewID)
		}
		return Submission{Outcome: SubmitErrors, Errors: errs, Client: true}, nil
	}
	d := a.interaction("view_submission", w.newTrigger(a.user, v.id), obj{"view": w.viewWire(v), "response_urls": a.responseURLs(v, state)})
	w.mu.Unlock()
	body, err := w.deliverForPerson(d, "We had some trouble connecting. The form")
	if err != nil {
		return Submission{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return a.applySubmission(v, body)
}

// responseURLs returns the response URLs of a submission: one for each conversation menu with response_url_enabled.
func (a Actor) responseURLs(v *view, state obj) []obj {
	out := []obj{}
	for _, b := range v.blocks {
		block, _ := b.(obj)
		e, _ := block["element"].(obj)
		if e["response_url_enabled"] != true {
			continue
		}
		values, _ := state[block["block_id"].(string)].(obj)
		value, _ := values[e["action_id"].(string)].(obj)
		id, _ := value[inputKinds[e["type"].(string)].field].(string)
		if ch := a.w.channels[id]; ch != nil {
			out = append(out, obj{"block_id": block["block_id"], "action_id": e["action_id"], "channel_id": id, "response_url": a.w.newResponseURL(ch, a.user, nil)})
		}
	}
	return out
}

func troubleConnecting(reason string) error {
	return &ClientError{Code: "trouble_connecting", Text: "We had some trouble connecting. Try again? (" + reason + ")"}
}

// applySubmission performs the response_action of the app's response to a view_submission. The caller holds mu.
func (a Actor) applySubmission(v *view, body []byte) (Submission, error) {
	var answer struct {
		Action string            `json:"response_action"`
		Errors map[string]string `json:"errors"`
		View   obj               `json:"view"`
	}
	if s := strings.TrimSpace(string(body)); s != "" && json.Unmarshal(body, &answer) != nil {
		return Submission{}, troubleConnecting("response is not JSON")
	}
	w := a.w
	switch answer.Action {
	case "":
		w.closeView(v)
		return Submission{Outcome: SubmitClosed}, nil
	case "clear":
		w.clearStack(a.user)
		w.touch()
		return Submission{Outcome: SubmitCleared}, nil
	case "errors":
		for id := range answer.Errors {
			if !hasInput(v.blocks, id) {
				return Submission{}, troubleConnecting("errors contain " + id + ", which is not an input block")
			}
		}
		if len(answer.Errors) == 0 {
			return Submission{}, troubleConnecting("errors are empty")
		}
		return Submission{Outcome: SubmitErrors, Errors: answer.Errors}, nil
	case "update", "push":
		blocks, err := w.checkView(answer.View, onModal)
		if err != nil {
			return Submission{}, troubleConnecting("invalid view: " + errorDetail(err))
		}
		out := Submission{Outcome: SubmitUpdated}
		if answer.Action == "push" {
			out.Outcome = SubmitPushed
			v, err = w.push(a.user, answer.View, blocks)
		} else if err = w.setExternalID(v, answer.View); err == nil {
			w.setContent(v, answer.View, blocks)
		}
		if err != nil {
			return Submission{}, troubleConnecting(errorDetail(err))
		}
		s := v.snapshot()
		out.View = &s
		return out, nil
	}
	return Submission{}, troubleConnecting("unknown response_action " + answer.Action)
}

// errorDetail returns the code of an API error with its messages, or the text of another error.
func errorDetail(err error) string {
	var r *responseError
	if errors.As(err, &r) && r.extra != nil {
		return fmt.Sprint(r.code, " ", r.extra["response_metadata"])
	}
	return err.Error()
}

func hasInput(blocks []any, id string) bool {
	for _, b := range blocks {
		if o, _ := b.(obj); o["type"] == "input" && o["block_id"] == id {
			return true
		}
	}
	return false
}

// closeView removes a view from its stack. The caller holds mu.
func (w *Workspace) closeView(v *view) {
	stack := w.stacks[v.user]
	for i, x := range stack {
		if x == v {
			w.stacks[v.user] = append(stack[:i:i], stack[i+1:]...)
			w.dropView(v)
		}
	}
	w.touch()
}

// closedViewWire returns a view without the values that were filled in, which Slack does not send when a view is closed.
// The caller holds mu.
func (w *Workspace) closedViewWire(v *view) obj {
	o := w.viewWire(v)
	o["state"] = obj{"values": obj{}}
	return o
}

// CloseView closes a modal like its cancel button. If all is set, it closes the whole stack like the close button. The
// app is notified of views with notify_on_close.
func (a Actor) CloseView(viewID string, all bool) error {
	v, err := a.lockView(viewID)
	if err != nil {
		return err
	}
	w := a.w
	all = all || v.raw["clear_on_close"] == true
	closing := []*view{v}
	if all {
		closing = append([]*view(nil), w.stacks[a.user]...)
	}
	var deliveries []delivery
	for i := len(closing) - 1; i >= 0; i-- {
		if x := closing[i]; x.raw["notify_on_close"] == true {
			deliveries = append(deliveries, a.interaction("view_closed", "", obj{"view": w.closedViewWire(x), "is_cleared": all}))
		}
		w.closeView(closing[i])
	}
	w.mu.Unlock()
	for _, d := range deliveries {
		w.send(d) // the form is closed, so a failure is not shown
	}
	return nil
}
