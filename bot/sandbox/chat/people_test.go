package chat_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/slack-go/slack"
	"github.com/slack-go/slack/slackevents"

	"tocsin/bot/sandbox/chat"
)

// receivedEvent is an event that the app received, raw and as slack-go decodes it.
type receivedEvent struct {
	raw map[string]any
	in  any
}

// newEventFixture starts a workspace whose events go to the returned channel.
func newEventFixture(t *testing.T, change ...func(*chat.Config)) (*fixture, chan receivedEvent) {
	t.Helper()
	a, with := startApp(t)
	events := make(chan receivedEvent, 64)
	a.events = func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var outer struct {
			Event map[string]any `json:"event"`
		}
		if err := json.Unmarshal(body, &outer); err != nil {
			t.Error(err)
		}
		in, _ := slackevents.ParseEvent(body, slackevents.OptionNoVerifyToken())
		events <- receivedEvent{outer.Event, in.InnerEvent.Data}
	}
	return newFixture(t, append([]func(*chat.Config){with}, change...)...), events
}

// next returns the next event of a type, and with a subtype if that is not empty.
func next(t *testing.T, events chan receivedEvent, typ, subtype string) receivedEvent {
	t.Helper()
	for {
		select {
		case e := <-events:
			if s, _ := e.raw["subtype"].(string); e.raw["type"] == typ && (subtype == "" || s == subtype) {
				return e
			}
		case <-t.Context().Done():
			t.Fatalf("no event %s %s", typ, subtype)
		}
	}
}

func TestEditAndDelete_Messages(t *testing.T) {
	w, events := newEventFixture(t)
	m, err := w.ws.Act(ada).Post(general, "first <@"+ben+">", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.ws.Act(ben).EditMessage(general, m.TS, "stolen"); err == nil {
		t.Error("another person edited a message")
	}
	if err := w.ws.Act(ada).EditMessage(general, m.TS, "second <@"+cyd+">"); err != nil {
		t.Fatal(err)
	}
	changed := next(t, events, "message", "message_changed").in.(*slackevents.MessageEvent)
	if changed.Message.Text != "second <@"+cyd+">" || changed.PreviousMessage.Text != "first <@"+ben+">" || changed.Message.Edited == nil || changed.Message.Edited.User != ada {
		t.Errorf("got event %+v", changed)
	}
	if got := w.ws.Messages(general)[0].Notified; !slices.Equal(got, []string{ben}) {
		t.Errorf("got notified %v after an edit, want only %s", got, ben)
	}
	reply, err := w.ws.Act(ben).Post(general, "a reply", m.TS)
	if err != nil {
		t.Fatal(err)
	}
	// A message with replies becomes a tombstone. It goes with its last reply.
	if err := w.ws.Act(ada).DeleteMessage(general, m.TS); err != nil {
		t.Fatal(err)
	}
	e := next(t, events, "message", "message_changed").raw
	if inner := e["message"].(map[string]any); inner["subtype"] != "tombstone" || inner["text"] != "This message was deleted." {
		t.Errorf("got event %v, want a tombstone", e)
	}
	replies, _, _, err := w.api.GetConversationReplies(&slack.GetConversationRepliesParameters{ChannelID: general, Timestamp: m.TS})
	if err != nil || len(replies) != 2 || replies[0].SubType != "tombstone" || replies[1].Text != "a reply" {
		t.Errorf("got %+v, %v", replies, err)
	}
	if err := w.ws.Act(ben).DeleteMessage(general, reply.TS); err != nil {
		t.Fatal(err)
	}
	gone := map[string]string{} // previous texts by timestamp, because the order of events is not guaranteed
	for range 2 {
		d := next(t, events, "message", "message_deleted").in.(*slackevents.MessageEvent)
		gone[d.DeletedTimeStamp] = d.PreviousMessage.Text
	}
	if gone[reply.TS] != "a reply" || gone[m.TS] == "" {
		t.Errorf("got deleted messages %v", gone)
	}
	if got := w.ws.Messages(general); len(got) != 0 {
		t.Errorf("got messages %+v, want none", got)
	}
}

func TestReactions_AddAndRemove(t *testing.T) {
	w, events := newEventFixture(t)
	ts := w.post(general, "look")
	for _, user := range []string{ben, ada} {
		if err := w.ws.Act(user).React(general, ts, "pushpin"); err != nil {
			t.Fatal(err)
		}
		if user == ben {
			next(t, events, "reaction_added", "")
		}
	}
	added := next(t, events, "reaction_added", "").in.(*slackevents.ReactionAddedEvent)
	if added.User != ada || added.Reaction != "pushpin" || added.Item.Timestamp != ts || added.ItemUser != bot {
		t.Errorf("got event %+v", added)
	}
	if err := w.ws.Act(ada).Unreact(general, ts, "pushpin"); err != nil {
		t.Fatal(err)
	}
	removed := next(t, events, "reaction_removed", "").in.(*slackevents.ReactionRemovedEvent)
	if removed.User != ada || removed.Reaction != "pushpin" || removed.Item.Channel != general {
		t.Errorf("got event %+v", removed)
	}
	got, err := w.api.GetReactions(slack.NewRefToMessage(general, ts), slack.NewGetReactionsParameters())
	if err != nil || len(got.Reactions) != 1 || got.Reactions[0].Count != 1 || !slices.Equal(got.Reactions[0].Users, []string{ben}) {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := w.ws.Act(ben).Unreact(general, ts, "pushpin"); err != nil || w.ws.Messages(general)[0].Reactions != nil {
		t.Errorf("got %v, want no reaction", err)
	}
	if err := w.ws.Act(ben).Unreact(general, ts, "pushpin"); err == nil {
		t.Error("a reaction was removed twice")
	}
}

func TestFiles_EditAndDelete(t *testing.T) {
	w, events := newEventFixture(t)
	upload := func(comment string) chat.Message {
		m, err := w.ws.Act(ada).Upload(general, "list.csv", []byte("a,b"), comment, "")
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	alone := upload("")
	if e := next(t, events, "file_shared", "").in.(*slackevents.FileSharedEvent); e.FileID != alone.Files[0].ID || e.ChannelID != general || e.UserID != ada {
		t.Errorf("got event %+v", e)
	}
	described := upload("the list of affected people")
	id := described.Files[0].ID
	info, _, _, err := w.api.GetFileInfo(id, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.ws.Act(ben).DeleteFile(id); err == nil {
		t.Error("another person deleted a file")
	}
	if err := w.ws.Act(ada).EditFile(id, "Affected people", []byte("a,b,c")); err != nil {
		t.Fatal(err)
	}
	if e := next(t, events, "file_change", ""); e.raw["file_id"] != id {
		t.Errorf("got event %v", e.raw)
	}
	var got bytes.Buffer
	if err := w.api.GetFile(info.URLPrivate, &got); err != nil || got.String() != "a,b,c" {
		t.Errorf("downloaded %q, %v", got.String(), err)
	}
	for _, f := range []string{id, alone.Files[0].ID} {
		if err := w.ws.Act(ada).DeleteFile(f); err != nil {
			t.Fatal(err)
		}
		if e := next(t, events, "file_deleted", "").in.(*slackevents.FileDeletedEvent); e.FileID != f {
			t.Errorf("got event %+v", e)
		}
	}
	if _, _, _, err := w.api.GetFileInfo(id, 0, 0); err == nil || err.Error() != "file_deleted" {
		t.Errorf("got %v, want file_deleted", err)
	}
	if err := w.api.GetFile(info.URLPrivate, io.Discard); err == nil {
		t.Error("a deleted file was downloaded")
	}
	history, err := w.api.GetConversationHistory(&slack.GetConversationHistoryParameters{ChannelID: general})
	if err != nil || len(history.Messages) != 1 || history.Messages[0].Files[0].Mode != "tombstone" || history.Messages[0].Files[0].URLPrivate != "" {
		t.Errorf("got %+v, %v, want one message with a tombstone", history, err)
	}
}

// TestDownload_WithoutAccess checks that a client without a valid token receives the page that asks to sign in, and that
// the bot receives only files that it can see.
func TestDownload_WithoutAccess(t *testing.T) {
	w := newFixture(t)
	seen, err := w.ws.Act(ada).Upload(general, "a.txt", []byte("secret"), "", "")
	if err != nil {
		t.Fatal(err)
	}
	hidden, err := w.ws.Act(ada).Upload(locked, "b.txt", []byte("secret"), "", "")
	if err != nil {
		t.Fatal(err)
	}
	info, _, _, err := w.api.GetFileInfo(seen.Files[0].ID, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(info.URLPrivate)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK || !strings.Contains(string(body), "Sign in") || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		t.Errorf("got %s %q, want the page to sign in", resp.Status, body)
	}
	if _, _, _, err := w.api.GetFileInfo(hidden.Files[0].ID, 0, 0); err == nil || err.Error() != "file_not_found" {
		t.Errorf("got %v for a file of another channel, want file_not_found", err)
	}
	if err := w.api.GetFile(strings.Replace(info.URLPrivate, seen.Files[0].ID+"/a.txt", hidden.Files[0].ID+"/b.txt", 1), io.Discard); err == nil {
		t.Error("the bot downloaded a file of a channel without being a member")
	}
}

func TestUnreadAndThreads(t *testing.T) {
	w := newFixture(t)
	parent := w.post(general, "alert")
	reply := func(text string, options ...slack.MsgOption) string {
		_, ts, err := w.api.PostMessage(general, append(options, slack.MsgOptionText(text, false), slack.MsgOptionTS(parent))...)
		if err != nil {
			t.Fatal(err)
		}
		return ts
	}
	first := reply("nobody is mentioned")
	if got := w.ws.Threads(ada); len(got) != 0 {
		t.Errorf("got threads %+v, want none without a mention", got)
	}
	section := slack.NewSectionBlock(slack.NewTextBlockObject(slack.MarkdownType, "<!subteam^S0SEC> please look", false, false), nil, nil)
	last := reply("fallback", slack.MsgOptionBlocks(section))
	if got := w.ws.Thread(general, parent)[2].Notified; !slices.Equal(got, []string{ada, ben}) {
		t.Errorf("got notified %v, want the members of the group", got)
	}
	got := w.ws.Threads(ada)
	if len(got) != 1 || got[0].TS != parent || got[0].Replies != 2 || got[0].Unread != (chat.Unread{Messages: 2, Mentions: 1, First: first, Last: last}) {
		t.Fatalf("got threads %+v", got)
	}
	if u := w.ws.Unread(ada)[general]; u.Messages != 1 || u.Mentions != 0 {
		t.Errorf("got unread %+v, want only the parent", u)
	}
	if err := w.ws.Act(ada).MarkRead(general, parent, last); err != nil {
		t.Fatal(err)
	}
	if err := w.ws.Act(ada).MarkRead(general, "", parent); err != nil {
		t.Fatal(err)
	}
	if u, th := w.ws.Unread(ada), w.ws.Threads(ada)[0].Unread; len(u) != 0 || th.Messages != 0 || w.ws.Threads(ben)[0].Unread.Messages != 2 {
		t.Errorf("got unread %v, %v after reading", u, th)
	}
	if err := w.ws.Act(ada).Follow(general, parent, false); err != nil || len(w.ws.Threads(ada)) != 0 {
		t.Errorf("got %v, want no thread after unfollowing", err)
	}
	_, broadcast, err := w.api.PostMessage(general, slack.MsgOptionText("resolved <!here>", false), slack.MsgOptionTS(parent), slack.MsgOptionBroadcast())
	if err != nil {
		t.Fatal(err)
	}
	if u := w.ws.Unread(ada)[general]; u != (chat.Unread{Messages: 1, First: broadcast, Last: broadcast}) {
		t.Errorf("got unread %+v, want the broadcast, which notifies nobody in a thread", u)
	}
	for text, want := range map[string][]string{"<!here> now": {ada, ben, cyd, gus}, "<@" + ada + "|ada> now": {ada}, "plain @ada": nil} {
		w.post(general, text)
		all := w.ws.Messages(general)
		if got := all[len(all)-1].Notified; !slices.Equal(got, want) {
			t.Errorf("got notified %v for %q, want %v", got, text, want)
		}
	}
	w.post(ada, "in person")
	dm := w.ws.DMs(ada)[0].ID
	if u := w.ws.Unread(ada)[dm]; u.Mentions != 1 {
		t.Errorf("got unread %+v in a DM, want one that notifies", u)
	}
}

func TestThreadBroadcast_HasRoot(t *testing.T) {
	w, events := newEventFixture(t)
	m, err := w.ws.Act(ada).Post(general, "parent", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.api.PostMessage(general, slack.MsgOptionText("closed", false), slack.MsgOptionTS(m.TS), slack.MsgOptionBroadcast()); err != nil {
		t.Fatal(err)
	}
	e := next(t, events, "message", "thread_broadcast")
	if root := fmt.Sprint(e.raw["root"]); !strings.Contains(root, m.TS) || e.raw["thread_ts"] != m.TS {
		t.Errorf("got event %v", e.raw)
	}
}

func TestShortcuts_AreDeclared(t *testing.T) {
	a, with := startApp(t)
	w := newFixture(t, with, func(c *chat.Config) {
		c.Shortcuts = []chat.Shortcut{{Type: chat.ShortcutMessage, CallbackID: "keep"}, {Type: chat.ShortcutGlobal, CallbackID: "report"}}
	})
	var in slack.InteractionCallback
	a.interactions = func(_ http.ResponseWriter, r *http.Request) { in = interactionOf(t, r) }
	m, err := w.ws.Act(ada).Upload(general, "a.txt", []byte("a"), "evidence", "")
	if err != nil {
		t.Fatal(err)
	}
	me := w.ws.Act(ada)
	if err := me.MessageShortcut("keep", general, m.TS); err != nil || in.Type != slack.InteractionTypeMessageAction || in.CallbackID != "keep" ||
		in.MessageTs != m.TS || in.Channel.ID != general || len(in.Message.Files) != 1 || in.ResponseURL == "" || in.TriggerID == "" {
		t.Errorf("got %+v, %v", in, err)
	}
	if err := me.Shortcut("report"); err != nil || in.Type != slack.InteractionTypeShortcut || in.CallbackID != "report" || in.Channel.ID != "" {
		t.Errorf("got %+v, %v", in, err)
	}
	if me.Shortcut("keep") == nil || me.MessageShortcut("report", general, m.TS) == nil {
		t.Error("a shortcut of the wrong type ran")
	}
	if _, err := w.api.PostEphemeral(general, ada, slack.MsgOptionText("for you", false)); err != nil {
		t.Fatal(err)
	}
	if me.MessageShortcut("keep", general, w.ws.Ephemerals(ada)[0].TS) == nil {
		t.Error("a shortcut ran on an ephemeral message")
	}
}

// TestDispatchAction checks when a text input tells the app about its value, and that a closed view has no values.
func TestDispatchAction(t *testing.T) {
	a, with := startApp(t)
	w := newFixture(t, with)
	var got []slack.InteractionCallback
	var raw string
	a.commands = func(_ http.ResponseWriter, r *http.Request) {
		text := func(id string, on ...string) slack.Block {
			b := input(id, id, "Text")
			b.DispatchAction = len(on) > 0
			if len(on) > 0 {
				b.Element.(*slack.PlainTextInputBlockElement).DispatchActionConfig = &slack.DispatchActionConfig{TriggerActionsOn: on}
			}
			return b
		}
		if _, err := w.api.OpenView(r.FormValue("trigger_id"), modal(text("silent"), text("enter", "on_enter_pressed"), text("typed", "on_character_entered"))); err != nil {
			t.Error(err)
		}
	}
	a.interactions = func(_ http.ResponseWriter, r *http.Request) {
		raw = r.FormValue("payload")
		got = append(got, interactionOf(t, r))
	}
	if _, err := w.ws.Act(ada).Command(general, "/incident", "open"); err != nil {
		t.Fatal(err)
	}
	view := w.ws.OpenViews(ada)[0].ID
	for _, c := range []struct {
		id     string
		typing bool
		want   int
	}{{"silent", false, 0}, {"enter", true, 0}, {"enter", false, 1}, {"typed", true, 1}, {"typed", false, 1}} {
		got = nil
		if err := w.ws.Act(ada).ClickView(view, chat.Action{ID: c.id, Block: c.id, Value: "draft", Typing: c.typing}); err != nil || len(got) != c.want {
			t.Errorf("got %d interactions and %v for %+v", len(got), err, c)
		}
	}
	if v := got[0].View.State.Values["silent"]["silent"].Value; v != "draft" || got[0].ActionCallback.BlockActions[0].Value != "draft" {
		t.Errorf("got %+v, want the values of all inputs", got[0].View.State)
	}
	if err := w.ws.Act(ada).CloseView(view, false); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(raw, "draft") || !strings.Contains(raw, `"view_closed"`) || !strings.Contains(raw, `"state":{"values":{}}`) {
		t.Errorf("got %s, want a closed view without values", raw)
	}
}

// TestClick_AfterUpdate checks a press on a button that the app updated in the same moment. Blocks without an id get new
// ones with each update.
func TestClick_AfterUpdate(t *testing.T) {
	a, with := startApp(t)
	w := newFixture(t, with)
	var got []slack.InteractionCallback
	a.interactions = func(_ http.ResponseWriter, r *http.Request) { got = append(got, interactionOf(t, r)) }
	card := func(value string) slack.MsgOption {
		return slack.MsgOptionBlocks(slack.NewActionBlock("", slack.NewButtonBlockElement("sign", value, plain("Sign"))))
	}
	_, ts, err := w.api.PostMessage(general, slack.MsgOptionText("card", false), card("INC-1"))
	if err != nil {
		t.Fatal(err)
	}
	var before []struct {
		ID string `json:"block_id"`
	}
	if err := json.Unmarshal(w.ws.Messages(general)[0].Blocks, &before); err != nil {
		t.Fatal(err)
	}
	press := func() error {
		return w.ws.Act(ada).Click(general, ts, chat.Action{ID: "sign", Block: before[0].ID, Value: "INC-1"})
	}
	for _, value := range []string{"INC-1", "INC-2"} {
		if _, _, _, err := w.api.UpdateMessage(general, ts, slack.MsgOptionText("card", false), card(value)); err != nil {
			t.Fatal(err)
		}
		err := press()
		if value == "INC-1" && (err != nil || len(got) != 1 || got[0].ActionCallback.BlockActions[0].BlockID == before[0].ID) {
			t.Errorf("got %v and %d interactions after an update", err, len(got))
		}
		if value == "INC-2" && err == nil {
			t.Error("a press on a button that has another value now reached the app")
		}
	}
}
