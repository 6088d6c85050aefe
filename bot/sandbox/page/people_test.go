package page_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"tocsin/bot/sandbox/page"
)

func TestMessages_EditReactAndDelete(t *testing.T) {
	w := newFixture(t)
	ts := w.post("/api/message", m{"user": ada, "channel": general, "text": "first @ben"}).str("message", "ts")
	at := m{"user": ada, "channel": general, "ts": ts}
	with := func(more m) m {
		out := m{}
		for _, part := range []m{at, more} {
			for k, v := range part {
				out[k] = v
			}
		}
		return out
	}
	w.post("/api/edit", with(m{"text": "second @lena.roth & <b>"}))
	w.post("/api/react", with(m{"name": "eyes"}))
	w.post("/api/react", with(m{"name": "pushpin"}))
	w.post("/api/unreact", with(m{"name": "eyes"}))
	got := w.get("/api/channel?user="+ben+"&id="+general).at("messages", 0)
	if got.str("text") != "second <@"+lena+"> &amp; &lt;b&gt;" || got.str("edited") == "" || names(got.list("reactions"), "name") != "pushpin" || got.str("notified") != "["+ben+"]" {
		t.Errorf("got message %v", got.v)
	}
	if code := w.postError("/api/edit", with(m{"text": " "}), http.StatusBadRequest); code != "bad_request" {
		t.Errorf("got %q for an empty text", code)
	}
	w.postError("/api/delete", with(m{"user": ben}), http.StatusUnprocessableEntity)
	w.post("/api/delete", at)
	if got := w.get("/api/channel?user=" + ben + "&id=" + general).list("messages"); len(got) != 0 {
		t.Errorf("got %d messages after the deletion", len(got))
	}
}

func TestFiles_EditAndDelete(t *testing.T) {
	w := newFixture(t)
	up := w.post("/api/upload", m{"user": ada, "channel": general, "name": "list.csv", "content": []byte("a"), "comment": "the list"})
	id := up.str("message", "files", 0, "id")
	w.postError("/api/file/edit", m{"user": ben, "file": id, "content": []byte("b")}, http.StatusUnprocessableEntity)
	w.post("/api/file/edit", m{"user": ada, "file": id, "content": []byte("b,c")})
	if raw, _ := w.ws.FileContent(id); string(raw) != "b,c" {
		t.Errorf("got content %q", raw)
	}
	w.post("/api/file/delete", m{"user": ada, "file": id})
	if got := w.get("/api/channel?user="+ben+"&id="+general).at("messages", 0, "files", 0); got.at("deleted").v != true {
		t.Errorf("got file %v, want a deleted one", got.v)
	}
	if got := w.get("/api/state?user=" + ada).list("files"); len(got) != 0 {
		t.Errorf("got %d files after the deletion", len(got))
	}
	w.request(http.MethodGet, "/files/"+id+"?user="+ada, nil, http.StatusNotFound)
}

func TestThreads_UnreadUntilRead(t *testing.T) {
	w := newFixture(t)
	parent := w.post("/api/message", m{"user": ada, "channel": general, "text": "a question"}).str("message", "ts")
	reply := func(text string) string {
		return w.post("/api/message", m{"user": ben, "channel": general, "text": text, "thread_ts": parent}).str("message", "ts")
	}
	first := reply("one")
	reply("two")
	last := reply("three @ada")
	list := w.get("/api/threads?user="+ada).at("threads", 0)
	if got := names(list.list("messages"), "text"); got != "a question two three <@"+ada+">" || list.str("replies") != "3" {
		t.Errorf("got thread %q, want the first message and the last two replies", got)
	}
	state := w.get("/api/state?user="+ada).at("threads", 0, "unread")
	if state.str("messages") != "3" || state.str("mentions") != "1" || state.str("first") != first {
		t.Errorf("got unread %v", state.v)
	}
	w.post("/api/read", m{"user": ada, "channel": general, "thread_ts": parent, "ts": last})
	if got := w.get("/api/state?user="+ada).at("threads", 0, "unread").str("messages"); got != "0" {
		t.Errorf("got %s unread replies after reading", got)
	}
	if got := w.get("/api/state?user="+lena).str("unread", general, "messages"); got != "1" {
		t.Errorf("got %s unread messages, want only the question", got)
	}
	w.post("/api/follow", m{"user": ada, "channel": general, "ts": parent, "on": false})
	if got := w.get("/api/state?user=" + ada).list("threads"); len(got) != 0 {
		t.Errorf("got %d threads after unfollowing", len(got))
	}
}

func TestShortcuts_ReachTheBot(t *testing.T) {
	w := newFixture(t)
	ts := w.post("/api/message", m{"user": ada, "channel": general, "text": "keep this"}).str("message", "ts")
	w.post("/api/shortcut", m{"user": ada, "callback_id": "keep", "channel": general, "ts": ts})
	w.post("/api/shortcut", m{"user": ada, "callback_id": "report"})
	got := w.receivedInteractions()
	if len(got) != 2 || got[0]["type"] != "message_action" || got[0]["message_ts"] != ts || got[1]["type"] != "shortcut" || got[1]["callback_id"] != "report" {
		t.Errorf("got interactions %v", got)
	}
}

// TestChecklist_TicksItself checks which deeds count: a command, a button that opens no
// form, and an accepted form, each by as many people as needed.
func TestChecklist_TicksItself(t *testing.T) {
	var offset time.Duration
	w := newFixture(t, func(c *page.Config) { c.Now = func() time.Time { return time.Now().Add(offset) } })
	done := func() string {
		var out []string
		for _, x := range w.get("/api/state?user=" + ada).list("checklist") {
			if x.str("done") != "0" {
				out = append(out, x.str("id")+x.str("done"))
			}
		}
		return strings.Join(out, " ")
	}
	modal := m{"type": "modal", "callback_id": "sign", "title": m{"type": "plain_text", "text": "Sign"}, "submit": m{"type": "plain_text", "text": "Sign"}, "blocks": []any{m{"type": "input", "block_id": "why", "label": m{"type": "plain_text", "text": "Why"}, "element": m{"type": "plain_text_input", "action_id": "why"}}}}
	w.interaction = func(in map[string]any) any {
		if in["type"] == "block_actions" && in["actions"].([]any)[0].(map[string]any)["action_id"] == "sign" {
			w.api("views.open", m{"trigger_id": in["trigger_id"], "view": modal})
		}
		if state := (tree{in}).str("view", "state", "values", "why", "why", "value"); in["type"] == "view_submission" && state == "refused" {
			return m{"response_action": "errors", "errors": m{"why": "give a reason"}}
		}
		return nil
	}
	if got := done(); got != "" {
		t.Errorf("got %q before anything happened", got)
	}
	w.post("/api/alert", m{"alert": "forged"})
	if got := done(); got != "" {
		t.Errorf("got %q after a rejected alert", got)
	}
	w.post("/api/alert", m{"alert": "sentry-data-leak"})
	w.command = func(form map[string]string) any {
		if form["text"] == "resolve" {
			w.api("views.open", m{"trigger_id": form["trigger_id"], "view": modal})
		}
		return nil
	}
	for _, text := range []string{"contain the key is disabled", "resolve"} {
		w.post("/api/command", m{"user": ada, "channel": general, "text": "/incident " + text})
	}
	if got := done(); got != "alert1" {
		t.Errorf("got %q before the form of a command could open", got)
	}
	offset = time.Minute
	if got := done(); got != "alert1 contain1" {
		t.Errorf("got %q after an alert and a command", got)
	}
	button := func(id string) m {
		return m{"type": "button", "action_id": id, "text": m{"type": "plain_text", "text": id}}
	}
	ts, _ := w.api("chat.postMessage", m{"channel": general, "text": "card", "blocks": []any{m{"type": "actions", "elements": []any{button("ack"), button("sign")}}}})["ts"].(string)
	for _, user := range []string{ada, ben} {
		for _, id := range []string{"ack", "sign"} {
			w.post("/api/click", m{"user": user, "channel": general, "ts": ts, "action_id": id})
		}
	}
	offset = 2 * time.Minute
	if got := done(); got != "alert1 acknowledge1 contain1" {
		t.Errorf("got %q, want the button that acts and not the one that opens a form", got)
	}
	submit := func(user, why string) {
		w.post("/api/submit", m{"user": user, "view": w.ws.OpenViews(user)[0].ID, "values": m{"why": m{"why": why}}})
	}
	if submit(ada, "refused"); done() != "alert1 acknowledge1 contain1" {
		t.Errorf("got %q after a refused form", done())
	}
	submit(ada, "read")
	submit(ben, "read")
	if got := done(); got != "alert1 acknowledge1 contain1 sign2" {
		t.Errorf("got %q after two people signed", got)
	}
}

func TestAlert_ReturnsOutcome(t *testing.T) {
	var seen string
	outcome := errors.New("the bot is busy")
	w := newFixture(t, func(c *page.Config) {
		c.Outcome = func(_ context.Context, body []byte) (string, error) {
			seen = string(body)
			return "watched by rule 4", outcome
		}
	})
	if got := w.post("/api/alert", m{"alert": "forged"}); got.str("outcome") != "" || seen != "" {
		t.Errorf("got outcome %v for a rejected alert", got.v)
	}
	if got := w.post("/api/alert", m{"alert": "sentry-crash"}).str("outcome"); !strings.Contains(got, "not decided yet") {
		t.Errorf("got outcome %q without a decision", got)
	}
	outcome = nil
	if got := w.post("/api/alert", m{"alert": "sentry-crash"}).str("outcome"); got != "watched by rule 4" || seen != string(w.hooks[len(w.hooks)-1].body) {
		t.Errorf("got outcome %q for body %s", got, seen)
	}
}

// TestTyping_ReachesOnlyInputsThatAsk checks the page's parameter typing.
func TestTyping_ReachesOnlyInputsThatAsk(t *testing.T) {
	w := newFixture(t)
	input := func(id, on string) m {
		return m{"type": "input", "block_id": id, "dispatch_action": true, "label": m{"type": "plain_text", "text": id},
			"element": m{"type": "plain_text_input", "action_id": id, "dispatch_action_config": m{"trigger_actions_on": []string{on}}}}
	}
	w.command = func(form map[string]string) any {
		w.api("views.open", m{"trigger_id": form["trigger_id"], "view": m{"type": "modal", "title": m{"type": "plain_text", "text": "Record"}, "submit": m{"type": "plain_text", "text": "Save"},
			"blocks": []any{input("typed", "on_character_entered"), input("entered", "on_enter_pressed")}}})
		return nil
	}
	w.post("/api/command", m{"user": ada, "channel": general, "text": "/incident record"})
	view := w.ws.OpenViews(ada)[0].ID
	for _, id := range []string{"typed", "entered"} {
		w.post("/api/click", m{"user": ada, "view": view, "action_id": id, "block_id": id, "value": "a draft", "typing": true})
	}
	got := w.receivedInteractions()
	if len(got) != 1 || (tree{got[0]}).str("actions", 0, "action_id") != "typed" {
		t.Errorf("got interactions %v, want one", got)
	}
}
