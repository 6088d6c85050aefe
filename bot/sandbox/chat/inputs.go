package chat

import (
	"fmt"
	"net/mail"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// inputKind describes a kind of element with state. field is the field of its state that contains the value, and
// initial is the field of the element with the initial value. multiple marks values that are lists.
type inputKind struct {
	field, initial   string
	multiple, option bool
}

var inputKinds = map[string]inputKind{
	"plain_text_input": {field: "value", initial: "initial_value"}, "number_input": {field: "value", initial: "initial_value"},
	"email_text_input": {field: "value", initial: "initial_value"}, "url_text_input": {field: "value", initial: "initial_value"},
	"rich_text_input": {field: "rich_text_value", initial: "initial_value"}, "file_input": {field: "files", multiple: true},
	"static_select": {field: "selected_option", initial: "initial_option", option: true}, "external_select": {field: "selected_option", initial: "initial_option", option: true},
	"radio_buttons":       {field: "selected_option", initial: "initial_option", option: true},
	"multi_static_select": {field: "selected_options", initial: "initial_options", option: true, multiple: true}, "multi_external_select": {field: "selected_options", initial: "initial_options", option: true, multiple: true},
	"checkboxes":   {field: "selected_options", initial: "initial_options", option: true, multiple: true},
	"users_select": {field: "selected_user", initial: "initial_user"}, "multi_users_select": {field: "selected_users", initial: "initial_users", multiple: true},
	"conversations_select": {field: "selected_conversation", initial: "initial_conversation"}, "multi_conversations_select": {field: "selected_conversations", initial: "initial_conversations", multiple: true},
	"channels_select": {field: "selected_channel", initial: "initial_channel"}, "multi_channels_select": {field: "selected_channels", initial: "initial_channels", multiple: true},
	"datepicker": {field: "selected_date", initial: "initial_date"}, "timepicker": {field: "selected_time", initial: "initial_time"},
	"datetimepicker": {field: "selected_date_time", initial: "initial_date_time"},
}

// stateOf returns state.values for all elements with state. The value is the typed one, or else the initial one, or else
// null or an empty list.
func stateOf(blocks []any, typed map[string]map[string]obj) obj {
	out := obj{}
	for _, b := range blocks {
		block, _ := b.(obj)
		id, _ := block["block_id"].(string)
		for _, e := range interactiveElements(block) {
			kind, _ := e["type"].(string)
			def, ok := inputKinds[kind]
			if !ok {
				continue
			}
			action, _ := e["action_id"].(string)
			state := typed[id][action]
			if state == nil || state["type"] != kind {
				state = obj{"type": kind, def.field: def.untouchedValue(e[def.initial])}
			}
			if out[id] == nil {
				out[id] = obj{}
			}
			out[id].(obj)[action] = state
		}
	}
	return out
}

// untouchedValue returns the value that Slack sends for an element that was not touched.
func (s inputKind) untouchedValue(initial any) any {
	if initial == nil && s.multiple {
		return []any{}
	}
	return initial
}

// inputState returns the state of an element after a person chose a value. given is a text, a list of texts, a number or
// a state object.
func (w *Workspace) inputState(e obj, given any) (obj, error) {
	kind, _ := e["type"].(string)
	def, ok := inputKinds[kind]
	if !ok {
		return nil, fmt.Errorf("element of type %s has no value", kind)
	}
	if o, ok := given.(obj); ok && kind != "rich_text_input" {
		given = o[def.field]
	}
	state := obj{"type": kind}
	var err error
	switch {
	case def.multiple:
		list := []any{}
		for _, g := range asList(given) {
			item := g
			if def.option {
				if item, err = findOption(e, g); err != nil {
					return nil, err
				}
			} else if kind == "file_input" {
				id, _ := g.(string)
				f := w.files[id]
				if f == nil {
					return nil, fmt.Errorf("file %q does not exist", id)
				}
				item = f.wire(w)
			} else if err = w.checkValue(kind, g); err != nil {
				return nil, err
			}
			list = append(list, item)
		}
		state[def.field] = list
	case given == nil || given == "":
		state[def.field] = nil
	case def.option:
		state[def.field], err = findOption(e, given)
	case kind == "datetimepicker":
		state[def.field], err = strconv.ParseInt(fmt.Sprint(given), 10, 64)
		if f, ok := given.(float64); ok {
			state[def.field], err = int64(f), nil
		}
	default:
		state[def.field], err = given, w.checkValue(kind, given)
	}
	return state, err
}

// checkValue returns an error for a value that Slack's client does not offer: a person who left, an unknown conversation,
// or an invalid date or time.
func (w *Workspace) checkValue(kind string, given any) error {
	s, _ := given.(string)
	ok := true
	switch kind {
	case "users_select", "multi_users_select":
		ok = s == w.cfg.Bot.UserID || w.people[s] != nil && !w.people[s].Deactivated
	case "conversations_select", "multi_conversations_select":
		ok = w.channels[s] != nil
	case "channels_select", "multi_channels_select":
		ok = w.channels[s] != nil && w.channels[s].kind == KindPublic
	case "datepicker":
		_, err := time.Parse(time.DateOnly, s)
		ok = err == nil
	case "timepicker":
		ok = timeForm.MatchString(s)
	}
	if !ok {
		return fmt.Errorf("%s does not offer %v", kind, given)
	}
	return nil
}

func asList(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	case []string:
		out := make([]any, len(v))
		for i, s := range v {
			out[i] = s
		}
		return out
	case string:
		if v == "" {
			return nil
		}
	}
	return []any{v}
}

// findOption returns the option with the given value. For menus with an external source, it returns a given option
// object unchanged.
func findOption(e obj, given any) (any, error) {
	value, isText := given.(string)
	if o, ok := given.(obj); ok {
		value, isText = o["value"].(string)
		if strings.HasSuffix(e["type"].(string), "external_select") {
			return o, nil
		}
	}
	for _, o := range allOptions(e) {
		if option, ok := o.(obj); ok && isText && option["value"] == value {
			return option, nil
		}
	}
	return nil, fmt.Errorf("option %v does not exist", given)
}

// inputErrors returns the errors that Slack's client shows before it submits a form, by block id.
func inputErrors(blocks []any, state obj) map[string]string {
	out := map[string]string{}
	for _, b := range blocks {
		block, _ := b.(obj)
		e, _ := block["element"].(obj)
		if block["type"] != "input" || e == nil {
			continue
		}
		id := block["block_id"].(string)
		values, _ := state[id].(obj)
		value, _ := values[e["action_id"].(string)].(obj)
		if text := inputError(block, e, value); text != "" {
			out[id] = text
		}
	}
	return out
}

func inputError(block, e, state obj) string {
	kind := e["type"].(string)
	v := state[inputKinds[kind].field]
	list, many := v.([]any)
	if v == nil || v == "" || many && len(list) == 0 {
		if block["optional"] == true {
			return ""
		}
		return "Please complete this required field."
	}
	s, _ := v.(string)
	switch kind {
	case "plain_text_input":
		n := float64(utf8.RuneCountInString(s))
		if least, ok := e["min_length"].(float64); ok && n < least {
			return fmt.Sprintf("Please enter at least %.0f characters.", least)
		}
		if most, ok := e["max_length"].(float64); ok && n > most || n > 3000 {
			return fmt.Sprintf("Please enter no more than %.0f characters.", min(3000, orMaxInput(most)))
		}
	case "number_input":
		n, err := strconv.ParseFloat(s, 64)
		if err != nil || e["is_decimal_allowed"] != true && n != float64(int64(n)) {
			return "Please enter a valid number."
		}
		if least, err := strconv.ParseFloat(fmt.Sprint(e["min_value"]), 64); err == nil && n < least {
			return fmt.Sprintf("Please enter a number no less than %v.", least)
		}
		if most, err := strconv.ParseFloat(fmt.Sprint(e["max_value"]), 64); err == nil && n > most {
			return fmt.Sprintf("Please enter a number no more than %v.", most)
		}
	case "email_text_input":
		if _, err := mail.ParseAddress(s); err != nil {
			return "Please enter a valid email address."
		}
	case "url_text_input":
		if !isWebURL(s) {
			return "Please enter a valid URL."
		}
	}
	if most, ok := e["max_selected_items"].(float64); ok && float64(len(list)) > most {
		return fmt.Sprintf("Please select no more than %.0f items.", most)
	}
	return ""
}

func orMaxInput(v float64) float64 {
	if v == 0 {
		return 3000
	}
	return v
}
