package chat_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// TestPostMessage_InvalidBlocks checks the error code and the JSON pointer of blocks that Slack rejects.
func TestPostMessage_InvalidBlocks(t *testing.T) {
	x := strings.Repeat
	section := func(s string) string { return `{"type":"section","text":{"type":"mrkdwn","text":"` + s + `"}}` }
	button := func(more string) string {
		return `{"type":"button","action_id":"a","text":{"type":"plain_text","text":"Go"}` + more + `}`
	}
	option := func(v string) string { return `{"text":{"type":"plain_text","text":"` + v + `"},"value":"` + v + `"}` }
	w := newFixture(t)
	cases := []struct{ name, blocks, code, pointer string }{
		{"not JSON", `[{`, "invalid_blocks_format", ""},
		{"not a list", `{"type":"divider"}`, "invalid_blocks_format", ""},
		{"too many", "[" + x(`{"type":"divider"},`, 50) + `{"type":"divider"}]`, "invalid_blocks", "/blocks"},
		{"unknown block", `[{"type":"marquee"}]`, "invalid_blocks", "/blocks/0/type"},
		{"unknown element", `[{"type":"actions","elements":[{"type":"knob"}]}]`, "invalid_blocks", "/blocks/0/elements/0/type"},
		{"same block id", `[{"type":"divider","block_id":"a"},{"type":"divider","block_id":"a"}]`, "invalid_blocks", "/blocks/1/block_id"},
		{"block id too long", `[{"type":"divider","block_id":"` + x("a", 256) + `"}]`, "invalid_blocks", "/blocks/0/block_id"},
		{"empty section", `[{"type":"section"}]`, "invalid_blocks", "/blocks/0"},
		{"empty text", "[" + section("") + "]", "invalid_blocks", "/blocks/0/text/text"},
		{"section too long", "[" + section(x("a", 3001)) + "]", "invalid_blocks", "/blocks/0/text/text"},
		{"all too long", "[" + x(section(x("a", 2900))+",", 4) + section(x("a", 2900)) + "]", "msg_blocks_too_long", ""},
		{"eleven fields", `[{"type":"section","fields":[` + x(`{"type":"mrkdwn","text":"a"},`, 10) + `{"type":"mrkdwn","text":"a"}]}]`, "invalid_blocks", "/blocks/0/fields"},
		{"header in mrkdwn", `[{"type":"header","text":{"type":"mrkdwn","text":"a"}}]`, "invalid_blocks", "/blocks/0/text/type"},
		{"header too long", `[{"type":"header","text":{"type":"plain_text","text":"` + x("a", 151) + `"}}]`, "invalid_blocks", "/blocks/0/text/text"},
		{"context too full", `[{"type":"context","elements":[` + x(`{"type":"mrkdwn","text":"a"},`, 10) + `{"type":"mrkdwn","text":"a"}]}]`, "invalid_blocks", "/blocks/0/elements"},
		{"no actions", `[{"type":"actions","elements":[]}]`, "invalid_blocks", "/blocks/0/elements"},
		{"same action id", `[{"type":"actions","elements":[` + button("") + "," + button("") + `]}]`, "invalid_blocks", "/blocks/0/elements/1/action_id"},
		{"button value too long", `[{"type":"actions","elements":[` + button(`,"value":"`+x("a", 2001)+`"`) + `]}]`, "invalid_blocks", "/blocks/0/elements/0/value"},
		{"button style", `[{"type":"actions","elements":[` + button(`,"style":"loud"`) + `]}]`, "invalid_blocks", "/blocks/0/elements/0/style"},
		{"button in an input", `[{"type":"input","label":{"type":"plain_text","text":"a"},"element":` + button("") + `}]`, "invalid_blocks", "/blocks/0/element/type"},
		{"initial option unknown", `[{"type":"section","text":{"type":"mrkdwn","text":"a"},"accessory":{"type":"static_select","action_id":"a","options":[` + option("1") + `],"initial_option":` + option("2") + `}}]`, "invalid_blocks", "/blocks/0/accessory/initial_option"},
		{"overflow too long", `[{"type":"actions","elements":[{"type":"overflow","action_id":"a","options":[` + x(option("1")+",", 5) + option("2") + `]}]}]`, "invalid_blocks", "/blocks/0/elements/0/options"},
		{"two tables", "[" + x(`{"type":"table","rows":[[{"type":"raw_text","text":"a"}]]},`, 1) + `{"type":"table","rows":[[{"type":"raw_text","text":"a"}]]}]`, "invalid_blocks", "/blocks/1"},
		{"image without alt", `[{"type":"image","image_url":"https://example.com/a.png"}]`, "invalid_blocks", "/blocks/0"},
		{"emoji in mrkdwn", `[{"type":"section","text":{"type":"mrkdwn","text":"a","emoji":true}}]`, "invalid_blocks", "/blocks/0/text/emoji"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			out := w.callRaw("chat.postMessage", "channel", general, "text", "fallback", "blocks", c.blocks)
			if out["error"] != c.code {
				t.Fatalf("got %v, want %s", out, c.code)
			}
			if got := fmt.Sprint(out["response_metadata"]); c.pointer != "" && !strings.Contains(got, "[json-pointer:"+c.pointer+"]") {
				t.Errorf("got %s, want pointer %s", got, c.pointer)
			}
		})
	}
}

func TestOpenView_InvalidViews(t *testing.T) {
	w := newFixture(t)
	x := strings.Repeat
	head := `"type":"modal","title":{"type":"plain_text","text":"Title"}`
	submit := `,"submit":{"type":"plain_text","text":"Send"}`
	in := `{"type":"input","block_id":"b","label":{"type":"plain_text","text":"L"},"element":{"type":"plain_text_input","action_id":"a"}}`
	form := func(blocks string) string { return `{` + head + submit + `,"blocks":[` + blocks + `]}` }
	field := func(kind, more string) string {
		return `{"type":"input","label":{"type":"plain_text","text":"L"},"element":{"type":"` + kind + `"` + more + `}}`
	}
	text := func(more string) string { return field("plain_text_input", more) }
	option := func(v string) string {
		return `{"text":{"type":"plain_text","text":"` + v + `"},"value":"v` + v[:1] + `"}`
	}
	radio := func(more, options string) string {
		return form(field("radio_buttons", more+`,"options":[`+options+`]`))
	}
	cases := []struct{ name, view, want string }{
		{"input without submit", `{` + head + `,"blocks":[` + in + `]}`, "must define `submit` to use an `input` block [json-pointer:/view/blocks/0/input]"},
		{"title too long", `{"type":"modal","title":{"type":"plain_text","text":"` + x("a", 25) + `"},"blocks":[{"type":"divider"}]}`, "[json-pointer:/view/title/text]"},
		{"no title", `{"type":"modal","blocks":[{"type":"divider"}]}`, "missing required field: title"},
		{"no blocks", `{` + head + `}`, "missing required field: blocks"},
		{"private metadata", `{` + head + `,"private_metadata":"` + x("a", 3001) + `","blocks":[{"type":"divider"}]}`, "/view/private_metadata"},
		{"markdown in a modal", `{` + head + submit + `,"blocks":[{"type":"markdown","text":"a"}]}`, "/view/blocks/0/type"},
		{"min over max", `{` + head + submit + `,"blocks":[{"type":"input","label":{"type":"plain_text","text":"L"},"element":{"type":"plain_text_input","min_length":9,"max_length":2}}]}`, "/view/blocks/0/element/min_length"},
		{"too large", `{` + head + `,"blocks":[` + x(`{"type":"section","text":{"type":"mrkdwn","text":"`+x("a", 2990)+`"}},`, 90) + `{"type":"divider"}]}`, "view_too_large"},
		{"eleven radio buttons", radio("", x(option("1")+",", 10)+option("2")), "/view/blocks/0/element/options]"},
		{"link in a radio button", radio("", strings.Replace(option("1"), "}", `},"url":"https://example.com"`, 1)), "is only allowed in an overflow menu"},
		{"radio label too long", radio("", option(x("a", 76))), "/view/blocks/0/element/options/0/text/text"},
		{"two with the focus", form(text(`,"focus_on_load":true`) + "," + text(`,"focus_on_load":true`)), "/view/blocks/1/element/focus_on_load"},
		{"trigger unknown", form(text(`,"dispatch_action_config":{"trigger_actions_on":["on_blur"]}`)), "/view/blocks/0/element/dispatch_action_config/trigger_actions_on/0"},
		{"trigger of a menu", form(field("users_select", `,"dispatch_action_config":{"trigger_actions_on":["on_enter_pressed"]}`)), "/view/blocks/0/element/dispatch_action_config"},
		{"too many people", form(field("multi_users_select", `,"max_selected_items":1,"initial_users":["U1","U2"]`)), "/view/blocks/0/element/initial_users"},
		{"people as text", form(field("multi_users_select", `,"initial_users":"U1"`)), "/view/blocks/0/element/initial_users"},
		{"limit of a single menu", form(field("users_select", `,"max_selected_items":1`)), "/view/blocks/0/element/max_selected_items"},
		{"filter of people", form(field("users_select", `,"filter":{"include":["im"]}`)), "/view/blocks/0/element/filter"},
		{"filter unknown", form(field("conversations_select", `,"filter":{"include":["secret"]}`)), "/view/blocks/0/element/filter/include/0"},
		{"placeholder too long", form(field("users_select", `,"placeholder":{"type":"plain_text","text":"`+x("a", 151)+`"}`)), "/view/blocks/0/element/placeholder/text"},
		{"date", form(field("datepicker", `,"initial_date":"30.11.2026"`)), "/view/blocks/0/element/initial_date"},
		{"time", form(field("timepicker", `,"initial_time":"25:00"`)), "/view/blocks/0/element/initial_time"},
		{"time zone", form(field("timepicker", `,"timezone":"Mars/Olympus"`)), "/view/blocks/0/element/timezone"},
		{"date and time", form(field("datetimepicker", `,"initial_date_time":"tomorrow"`)), "/view/blocks/0/element/initial_date_time"},
		{"optional as text", form(`{"type":"input","optional":"yes","label":{"type":"plain_text","text":"L"},"element":{"type":"plain_text_input"}}`), "/view/blocks/0/optional"},
		{"confirm without title", form(`{"type":"actions","elements":[{"type":"button","text":{"type":"plain_text","text":"Go"},"confirm":{"text":{"type":"plain_text","text":"a"},"confirm":{"type":"plain_text","text":"a"},"deny":{"type":"plain_text","text":"a"}}}]}`), "missing required field: title"},
		{"home instead of a modal", `{"type":"home","blocks":[]}`, "/view/type"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			raw, _ := json.Marshal(w.callRaw("views.open", "trigger_id", "1.2.abc", "view", c.view))
			var out map[string]any
			_ = json.Unmarshal(raw, &out)
			if got := fmt.Sprint(out); !strings.Contains(got, c.want) {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// FuzzBlocks checks that arbitrary blocks are either accepted or rejected with an error code.
func FuzzBlocks(f *testing.F) {
	f.Add(`[{"type":"section","text":{"type":"mrkdwn","text":"a"},"accessory":{"type":"button"}}]`)
	f.Add(`[{"type":"input","element":{"type":"static_select","options":[1,{}]}},{"type":"rich_text","elements":[{"elements":3}]},7,null]`)
	f.Add(`[{"type":"table","rows":[[{}],4]},{"type":"context","elements":[{"type":"image"}]}]`)
	w := newFixture(f)
	f.Fuzz(func(t *testing.T, blocks string) {
		inner := &fixture{TB: t, ws: w.ws, url: w.url}
		out := inner.callRaw("chat.postMessage", "channel", general, "text", "a", "blocks", blocks)
		if out["ok"] != true && out["error"] == "" {
			t.Errorf("got %v, want ok or an error", out)
		}
	})
}
