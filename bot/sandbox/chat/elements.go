package chat

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
)

// parentKind is a set of the kinds of blocks that may contain an element.
type parentKind int

const (
	inSection parentKind = 1 << iota
	inActions
	inInput
)

type elementKind struct {
	parents parentKind
	check   func(*blockCheck, string, obj)
}

var elementKinds map[string]elementKind

func init() {
	everywhere := inSection | inActions | inInput
	people := func(multi bool) func(*blockCheck, string, obj) {
		return func(k *blockCheck, p string, e obj) { checkSelect(k, p, e, multi) }
	}
	elementKinds = map[string]elementKind{
		"button": {inSection | inActions, checkButton}, "workflow_button": {inSection | inActions, checkWorkflowButton}, "overflow": {inSection | inActions, checkOverflow},
		"static_select": {everywhere, checkStaticSelect}, "multi_static_select": {everywhere, checkStaticSelect},
		"users_select": {everywhere, people(false)}, "conversations_select": {everywhere, people(false)}, "channels_select": {everywhere, people(false)},
		"external_select": {everywhere, people(false)}, "multi_users_select": {everywhere, people(true)}, "multi_conversations_select": {everywhere, people(true)},
		"multi_channels_select": {everywhere, people(true)}, "multi_external_select": {everywhere, people(true)},
		"checkboxes": {everywhere, checkChoices}, "radio_buttons": {everywhere, checkChoices},
		"datepicker": {everywhere, checkDate}, "timepicker": {everywhere, checkTime}, "datetimepicker": {inActions | inInput, checkDateTime},
		"plain_text_input": {inInput, checkTextInput}, "number_input": {inInput, checkNumberInput}, "email_text_input": {inInput, checkPlaceholder},
		"url_text_input": {inInput, checkPlaceholder}, "rich_text_input": {inInput, checkRichTextInput}, "file_input": {inInput, checkFileInput},
		"image": {inSection, func(k *blockCheck, p string, e obj) { k.imageFields(p, e) }},
	}
}

// element validates an interactive element inside a block of kind parent. ids collects the action ids of the block.
func (k *blockCheck) element(p string, v any, parent parentKind, ids map[string]bool) {
	e, ok := v.(obj)
	if !ok {
		k.fail(p, "must be an object")
		return
	}
	kind, _ := e["type"].(string)
	def, known := elementKinds[kind]
	if !known || def.parents&parent == 0 {
		k.fail(p+"/type", "unsupported type: %s", kind)
		return
	}
	if id := k.optional(p, e, "action_id", 255); id != "" {
		if ids[id] {
			k.fail(p+"/action_id", "action_id must be unique: %s", id)
		}
		ids[id] = true
	}
	k.confirm(p, e)
	k.dispatch(p, e, parent)
	if e["focus_on_load"] == true {
		if k.focused++; k.focused > 1 {
			k.fail(p+"/focus_on_load", "only one element may have the focus")
		}
	}
	def.check(k, p, e)
}

func (k *blockCheck) confirm(p string, e obj) {
	v, present := e["confirm"]
	c, ok := v.(obj)
	switch {
	case !present || v == nil:
		return
	case !ok:
		k.fail(p+"/confirm", "must be an object")
		return
	}
	k.textField(p+"/confirm", c, "title", true, true, 100)
	k.textField(p+"/confirm", c, "text", true, false, 300)
	k.textField(p+"/confirm", c, "confirm", true, true, 30)
	k.textField(p+"/confirm", c, "deny", true, true, 30)
	k.oneOf(p+"/confirm", c, "style", "primary", "danger")
}

// Triggers of a text input with dispatch_action.
const (
	onCharacter = "on_character_entered"
	onEnter     = "on_enter_pressed"
)

// dispatch validates the dispatch_action_config of a text input.
func (k *blockCheck) dispatch(p string, e obj, parent parentKind) {
	v, present := e["dispatch_action_config"]
	if !present || v == nil {
		return
	}
	p += "/dispatch_action_config"
	c, ok := v.(obj)
	if kind, _ := e["type"].(string); !ok || parent != inInput || !strings.HasSuffix(kind, "_input") || kind == "file_input" {
		k.fail(p, "is only allowed as an object in a text input")
		return
	}
	seen := map[any]bool{}
	for i, on := range k.listField(p, c, "trigger_actions_on", 2) {
		if on != onCharacter && on != onEnter || seen[on] {
			k.fail(p+"/trigger_actions_on/"+itoa(i), "must be one of: %s, %s, each once", onEnter, onCharacter)
		}
		seen[on] = true
	}
}

// oneOf reports a problem if an optional field is not one of the values.
func (k *blockCheck) oneOf(p string, o obj, field string, values ...string) {
	if s := k.optional(p, o, field, 255); s != "" && !slices.Contains(values, s) {
		k.fail(p+"/"+field, "must be one of: %s", strings.Join(values, ", "))
	}
}

func checkButton(k *blockCheck, p string, e obj) {
	k.textField(p, e, "text", true, true, 75)
	k.optional(p, e, "value", 2000)
	k.optional(p, e, "accessibility_label", 75)
	if u := k.optional(p, e, "url", 3000); u != "" && !strings.Contains(u, ":") {
		k.fail(p+"/url", "must be a valid URL")
	}
	k.oneOf(p, e, "style", "primary", "danger")
}

func checkWorkflowButton(k *blockCheck, p string, e obj) {
	k.textField(p, e, "text", true, true, 75)
	if e["workflow"] == nil {
		k.missing(p, "workflow")
	}
}

// option validates an option object and returns its value. Only options of an overflow menu may have a URL.
func (k *blockCheck) option(p string, v any, kind string) string {
	o, ok := v.(obj)
	if !ok {
		k.fail(p, "must be an option object")
		return ""
	}
	plain := kind != "checkboxes" && kind != "radio_buttons"
	k.textField(p, o, "text", true, plain, 75)
	k.textField(p, o, "description", false, plain, 75)
	if k.optional(p, o, "url", 3000) != "" && kind != "overflow" {
		k.fail(p+"/url", "is only allowed in an overflow menu")
	}
	return k.required(p, o, "value", 150)
}

// options validates the options of an element, or of a group of its options.
func (k *blockCheck) options(p string, e obj, limit int, kind string) {
	seen := map[string]bool{}
	for i, o := range k.listField(p, e, "options", limit) {
		value := k.option(p+"/options/"+itoa(i), o, kind)
		if value != "" && seen[value] {
			k.fail(p+"/options/"+itoa(i)+"/value", "option value must be unique: %s", value)
		}
		seen[value] = true
	}
}

func checkOverflow(k *blockCheck, p string, e obj) { k.options(p, e, 5, "overflow") }

func checkStaticSelect(k *blockCheck, p string, e obj) {
	checkSelect(k, p, e, strings.HasPrefix(e["type"].(string), "multi_"))
	_, groups := e["option_groups"]
	_, options := e["options"]
	switch {
	case groups && options:
		k.fail(p, "only one of options and option_groups is allowed")
	case groups:
		for i, g := range k.listField(p, e, "option_groups", 100) {
			at := p + "/option_groups/" + itoa(i)
			group, _ := g.(obj)
			k.textField(at, group, "label", true, true, 75)
			k.options(at, group, 100, e["type"].(string))
		}
	default:
		k.options(p, e, 100, e["type"].(string))
	}
	k.initial(p, e)
}

// initial reports a problem for every initial option that is not exactly equal to one of the options.
func (k *blockCheck) initial(p string, e obj) {
	known := allOptions(e)
	match := func(at string, v any) {
		for _, o := range known {
			if reflect.DeepEqual(o, v) {
				return
			}
		}
		k.fail(at, "must match an option")
	}
	if v := e["initial_option"]; v != nil {
		match(p+"/initial_option", v)
	}
	if list, ok := e["initial_options"].([]any); ok {
		for i, v := range list {
			match(p+"/initial_options/"+itoa(i), v)
		}
	}
}

// allOptions returns the options of an element, including those in groups.
func allOptions(e obj) []any {
	out, _ := e["options"].([]any)
	groups, _ := e["option_groups"].([]any)
	for _, g := range groups {
		group, _ := g.(obj)
		inner, _ := group["options"].([]any)
		out = append(out[:len(out):len(out)], inner...)
	}
	return out
}

// checkSelect validates the fields that all menus share. Only multi-select menus may have max_selected_items.
func checkSelect(k *blockCheck, p string, e obj, multi bool) {
	checkPlaceholder(k, p, e)
	if n, ok := e["max_selected_items"].(float64); ok {
		if !multi || n < 1 {
			k.fail(p+"/max_selected_items", "must be at least 1, in a multi-select")
		}
		for _, field := range []string{"initial_options", "initial_users", "initial_conversations", "initial_channels"} {
			if list, _ := e[field].([]any); float64(len(list)) > n {
				k.fail(p+"/"+field, "no more than %.0f items allowed", n)
			}
		}
	}
	k.initialIDs(p, e)
	if f, present := e["filter"]; present {
		k.filter(p+"/filter", f, strings.HasSuffix(e["type"].(string), "conversations_select"))
	}
	if e["response_url_enabled"] == true && k.on != onModal {
		k.fail(p+"/response_url_enabled", "is only allowed in a modal's input block")
	}
}

// initialIDs validates the initial values of menus of people, conversations and channels, which are ids.
func (k *blockCheck) initialIDs(p string, e obj) {
	for _, what := range []string{"user", "conversation", "channel"} {
		k.optional(p, e, "initial_"+what, 255)
		v, present := e["initial_"+what+"s"]
		list, ok := v.([]any)
		if present && !ok {
			k.fail(p+"/initial_"+what+"s", "must be an array")
		}
		for i, id := range list {
			if _, ok := id.(string); !ok {
				k.fail(p+"/initial_"+what+"s/"+itoa(i), "must be a string")
			}
		}
	}
}

// filter validates the filter of a conversations menu.
func (k *blockCheck) filter(p string, v any, allowed bool) {
	f, ok := v.(obj)
	if !ok || !allowed || len(f) == 0 {
		k.fail(p, "must be an object with at least one field, in a menu of conversations")
		return
	}
	if _, present := f["include"]; !present {
		return
	}
	for i, kind := range k.listField(p, f, "include", 4) {
		if s, _ := kind.(string); !slices.Contains([]string{"im", "mpim", "private", "public"}, s) {
			k.fail(p+"/include/"+itoa(i), "must be one of: im, mpim, private, public")
		}
	}
}

func checkPlaceholder(k *blockCheck, p string, e obj) {
	k.textField(p, e, "placeholder", false, true, 150)
}

func checkChoices(k *blockCheck, p string, e obj) {
	k.options(p, e, 10, e["type"].(string))
	k.initial(p, e)
}

var (
	dateForm = regexp.MustCompile(`^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$`)
	timeForm = regexp.MustCompile(`^([01]\d|2[0-3]):[0-5]\d$`)
)

func checkDate(k *blockCheck, p string, e obj) {
	checkPlaceholder(k, p, e)
	if s := k.optional(p, e, "initial_date", 20); s != "" && !dateForm.MatchString(s) {
		k.fail(p+"/initial_date", "must have the format YYYY-MM-DD")
	}
}

func checkTime(k *blockCheck, p string, e obj) {
	checkPlaceholder(k, p, e)
	if s := k.optional(p, e, "initial_time", 20); s != "" && !timeForm.MatchString(s) {
		k.fail(p+"/initial_time", "must have the format HH:mm")
	}
	if zone := k.optional(p, e, "timezone", 100); zone != "" {
		if _, err := time.LoadLocation(zone); err != nil {
			k.fail(p+"/timezone", "must be a time zone such as Europe/Paris")
		}
	}
}

func checkDateTime(k *blockCheck, p string, e obj) {
	if v, present := e["initial_date_time"]; present {
		if n, ok := v.(float64); !ok || n < 1e9 || n >= 1e10 {
			k.fail(p+"/initial_date_time", "must be a 10-digit unix time")
		}
	}
}

func checkTextInput(k *blockCheck, p string, e obj) {
	checkPlaceholder(k, p, e)
	minLength, maxLength := 0.0, 3000.0
	if n, ok := e["min_length"].(float64); ok {
		if minLength = n; n < 0 || n > 3000 {
			k.fail(p+"/min_length", "must be between 0 and 3000")
		}
	}
	if n, ok := e["max_length"].(float64); ok {
		if maxLength = n; n < 1 || n > 3000 {
			k.fail(p+"/max_length", "must be between 1 and 3000")
		}
	}
	if minLength > maxLength {
		k.fail(p+"/min_length", "must not exceed max_length")
	}
	k.optional(p, e, "initial_value", int(maxLength))
}

func checkRichTextInput(k *blockCheck, p string, e obj) {
	checkPlaceholder(k, p, e)
	if v, ok := e["initial_value"].(obj); ok && v["type"] == "rich_text" {
		checkRichText(k, p+"/initial_value", v)
	} else if e["initial_value"] != nil {
		k.fail(p+"/initial_value", "must be a rich_text block")
	}
	for _, field := range []string{"min_lines", "max_lines"} {
		if n, ok := e[field].(float64); ok && (n < 1 || n > 100) {
			k.fail(p+"/"+field, "must be between 1 and 100")
		}
	}
}

func checkNumberInput(k *blockCheck, p string, e obj) {
	checkPlaceholder(k, p, e)
	if k.on == onMessage {
		k.fail(p+"/type", "unsupported type: number_input")
	}
	if _, ok := e["is_decimal_allowed"].(bool); !ok {
		k.missing(p, "is_decimal_allowed")
	}
	for _, field := range []string{"min_value", "max_value", "initial_value"} {
		k.optional(p, e, field, 50)
	}
}

func checkFileInput(k *blockCheck, p string, e obj) {
	if k.on != onModal {
		k.fail(p+"/type", "unsupported type: file_input")
	}
	if n, ok := e["max_files"].(float64); ok && (n < 1 || n > 10) {
		k.fail(p+"/max_files", "must be between 1 and 10")
	}
	if _, present := e["filetypes"]; present {
		for i, v := range k.listField(p, e, "filetypes", 100) {
			if s, _ := v.(string); s == "" {
				k.fail(p+"/filetypes/"+itoa(i), "must be a string")
			}
		}
	}
}
