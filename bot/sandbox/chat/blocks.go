package chat

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// surface is the place where blocks are shown. Some blocks are not allowed on every surface.
type surface int

const (
	onMessage surface = iota
	onModal
	onHome
)

// blockCheck validates a list of blocks and collects the errors that Slack would return, each with a JSON pointer.
type blockCheck struct {
	on       surface
	problems []string
	ids      map[string]bool
	text     int // total characters of all blocks
	markdown int
	inputs   []string // JSON pointers of the input blocks
	tables   int
	focused  int // elements with focus_on_load
}

func (k *blockCheck) fail(ptr, format string, args ...any) {
	k.problems = append(k.problems, "[ERROR] "+fmt.Sprintf(format, args...)+" [json-pointer:"+ptr+"]")
}

// messageBlocks validates the blocks of a message and returns them as JSON. It adds the ids that Slack would add.
func (w *Workspace) messageBlocks(list []any, ptr string) (json.RawMessage, error) {
	k := &blockCheck{on: onMessage}
	k.blocks(ptr, list, 50)
	if len(k.problems) > 0 {
		return nil, &responseError{code: "invalid_blocks", extra: obj{"errors": k.messages(), "response_metadata": obj{"messages": k.problems}}}
	}
	if k.text > maxBlockText || k.markdown > maxMarkdown {
		return nil, apiError("msg_blocks_too_long")
	}
	w.fillIDs(list)
	return json.Marshal(list)
}

// messages returns the problems without the "[ERROR] " prefix, as Slack's errors array contains them.
func (k *blockCheck) messages() []string {
	out := make([]string, len(k.problems))
	for i, p := range k.problems {
		out[i] = p[len("[ERROR] "):]
	}
	return out
}

// blocks validates a list of at most limit blocks.
func (k *blockCheck) blocks(ptr string, list []any, limit int) {
	k.ids = map[string]bool{}
	if len(list) > limit {
		k.fail(ptr, "no more than %d items allowed", limit)
		return
	}
	for i, b := range list {
		p := ptr + "/" + itoa(i)
		block, ok := b.(obj)
		if !ok {
			k.fail(p, "must be an object")
			continue
		}
		k.block(p, block)
	}
}

func (k *blockCheck) block(p string, b obj) {
	kind, _ := b["type"].(string)
	check, known := blockKinds[kind]
	if !known {
		k.fail(p+"/type", "unsupported type: %s", kind)
		return
	}
	if id := k.optional(p, b, "block_id", 255); id != "" {
		if k.ids[id] {
			k.fail(p+"/block_id", "block_id must be unique: %s", id)
		}
		k.ids[id] = true
	}
	check(k, p, b)
}

// optional returns the string field, or "" if it is absent. It reports a problem if the field is not a string or has
// more than limit characters.
func (k *blockCheck) optional(p string, o obj, field string, limit int) string {
	v, present := o[field]
	if !present || v == nil {
		return ""
	}
	s, ok := v.(string)
	if !ok {
		k.fail(p+"/"+field, "must be a string")
		return ""
	}
	if utf8.RuneCountInString(s) > limit {
		k.fail(p+"/"+field, "must be less than %d characters", limit+1)
	}
	return s
}

// required is like optional but also reports a problem if the field is absent or empty.
func (k *blockCheck) required(p string, o obj, field string, limit int) string {
	s := k.optional(p, o, field, limit)
	if s == "" {
		k.missing(p, field)
	}
	return s
}

func (k *blockCheck) missing(p, field string) { k.fail(p, "missing required field: %s", field) }

// textObject validates a text object of 1 to limit characters. If plain is set, mrkdwn is not allowed.
func (k *blockCheck) textObject(p string, v any, plain bool, limit int) {
	t, ok := v.(obj)
	if !ok {
		k.fail(p, "must be a text object")
		return
	}
	switch kind, _ := t["type"].(string); {
	case kind != "plain_text" && (plain || kind != "mrkdwn"):
		k.fail(p+"/type", "must be one of: plain_text%s", map[bool]string{false: ", mrkdwn"}[plain])
	case kind == "mrkdwn" && t["emoji"] != nil:
		k.fail(p+"/emoji", "is only allowed with plain_text")
	case kind == "plain_text" && t["verbatim"] != nil:
		k.fail(p+"/verbatim", "is only allowed with mrkdwn")
	}
	s, ok := t["text"].(string)
	n := utf8.RuneCountInString(s)
	switch {
	case !ok || n == 0:
		k.fail(p+"/text", "must be more than 0 characters")
	case n > limit:
		k.fail(p+"/text", "must be less than %d characters", limit+1)
	}
	k.text += n
}

// textField validates the text object in a field. It reports a missing field only if must is set.
func (k *blockCheck) textField(p string, o obj, field string, must, plain bool, limit int) {
	v, present := o[field]
	if !present || v == nil {
		if must {
			k.missing(p, field)
		}
		return
	}
	k.textObject(p+"/"+field, v, plain, limit)
}

// listField returns a list field of 1 to limit elements. Otherwise it reports a problem and returns nil.
func (k *blockCheck) listField(p string, o obj, field string, limit int) []any {
	v, present := o[field]
	list, ok := v.([]any)
	switch {
	case !present:
		k.missing(p, field)
	case !ok:
		k.fail(p+"/"+field, "must be an array")
	case len(list) == 0:
		k.fail(p+"/"+field, "no less than 1 items allowed")
	case len(list) > limit:
		k.fail(p+"/"+field, "no more than %d items allowed", limit)
	default:
		return list
	}
	return nil
}

func (k *blockCheck) allowOn(p string, on ...surface) {
	for _, s := range on {
		if s == k.on {
			return
		}
	}
	k.fail(p+"/type", "block is not allowed on this surface")
}

var blockKinds map[string]func(*blockCheck, string, obj)

func init() {
	blockKinds = map[string]func(*blockCheck, string, obj){
		"section": checkSection, "header": checkHeader, "context": checkContext, "actions": checkActions, "image": checkImage,
		"input": checkInput, "rich_text": checkRichText, "markdown": checkMarkdown, "table": checkTable, "file": checkFileBlock, "video": checkVideo,
		"divider": func(*blockCheck, string, obj) {},
	}
}

func checkSection(k *blockCheck, p string, b obj) {
	k.textField(p, b, "text", b["fields"] == nil, false, 3000)
	if b["fields"] != nil {
		for i, f := range k.listField(p, b, "fields", 10) {
			k.textObject(p+"/fields/"+itoa(i), f, false, 2000)
		}
	}
	if a, present := b["accessory"]; present && a != nil {
		k.element(p+"/accessory", a, inSection, map[string]bool{})
	}
}

func checkHeader(k *blockCheck, p string, b obj) { k.textField(p, b, "text", true, true, 150) }

func checkContext(k *blockCheck, p string, b obj) {
	for i, e := range k.listField(p, b, "elements", 10) {
		at := p + "/elements/" + itoa(i)
		o, _ := e.(obj)
		switch o["type"] {
		case "image":
			k.imageFields(at, o)
		case "plain_text", "mrkdwn":
			k.textObject(at, o, false, 3000)
		default:
			k.fail(at+"/type", "unsupported type: %v", o["type"])
		}
	}
}

func checkActions(k *blockCheck, p string, b obj) {
	ids := map[string]bool{}
	for i, e := range k.listField(p, b, "elements", 25) {
		k.element(p+"/elements/"+itoa(i), e, inActions, ids)
	}
}

// imageFields validates the fields that image blocks and image elements share.
func (k *blockCheck) imageFields(p string, o obj) {
	url := k.optional(p, o, "image_url", 3000)
	_, file := o["slack_file"].(obj)
	switch {
	case url != "" && file:
		k.fail(p, "only one of image_url and slack_file is allowed")
	case url == "" && !file:
		k.missing(p, "image_url")
	case url != "" && !isWebURL(url):
		k.fail(p+"/image_url", "must be a valid URL")
	}
	k.required(p, o, "alt_text", 2000)
}

func checkImage(k *blockCheck, p string, b obj) {
	k.imageFields(p, b)
	k.textField(p, b, "title", false, true, 2000)
}

func checkInput(k *blockCheck, p string, b obj) {
	k.inputs = append(k.inputs, p)
	k.textField(p, b, "label", true, true, 2000)
	k.textField(p, b, "hint", false, true, 2000)
	for _, field := range []string{"optional", "dispatch_action"} {
		if v, present := b[field]; present && v != true && v != false {
			k.fail(p+"/"+field, "must be a boolean")
		}
	}
	if b["element"] == nil {
		k.missing(p, "element")
		return
	}
	if e, _ := b["element"].(obj); e["type"] == "file_input" && b["dispatch_action"] == true {
		k.fail(p+"/dispatch_action", "is not allowed with file_input")
	}
	k.element(p+"/element", b["element"], inInput, map[string]bool{})
}

// fillIDs adds a random id to every block and interactive element without one, as Slack does. Actions refer to these
// ids. The caller holds mu.
func (w *Workspace) fillIDs(list []any) {
	for _, b := range list {
		block, ok := b.(obj)
		if !ok || block["type"] == "markdown" {
			continue
		}
		if s, _ := block["block_id"].(string); s == "" {
			block["block_id"] = w.shortID()
		}
		for _, e := range interactiveElements(block) {
			if s, _ := e["action_id"].(string); s == "" {
				e["action_id"] = w.shortID()
			}
		}
	}
}

// shortID returns a random six-character id in the style of Slack's block ids.
func (w *Workspace) shortID() string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/"
	b := make([]byte, 6)
	for i := range b {
		b[i] = letters[w.random.IntN(len(letters))]
	}
	return string(b)
}

// interactiveElements returns the elements of a block that a person can click or fill in.
func interactiveElements(block obj) []obj {
	var found []any
	switch block["type"] {
	case "section":
		found = []any{block["accessory"]}
	case "actions":
		found, _ = block["elements"].([]any)
	case "input":
		found = []any{block["element"]}
	}
	var out []obj
	for _, e := range found {
		if o, ok := e.(obj); ok && o["type"] != "image" {
			out = append(out, o)
		}
	}
	return out
}
