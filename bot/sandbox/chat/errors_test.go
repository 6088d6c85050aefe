package chat_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/slack-go/slack"

	"tocsin/bot/sandbox/chat"
)

// TestAPIErrors provokes every error code through slack-go.
func TestAPIErrors(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	text := func(s string) slack.MsgOption { return slack.MsgOptionText(s, false) }
	post := func(w *fixture, ch string, o ...slack.MsgOption) error {
		_, _, err := w.api.PostMessage(ch, o...)
		return err
	}
	create := func(name string) func(*fixture) error {
		return func(w *fixture) error {
			_, err := w.api.CreateConversation(slack.CreateConversationParams{ChannelName: name})
			return err
		}
	}
	archived := func(w *fixture) string {
		id := w.create("done", false)
		if err := w.api.ArchiveConversation(id); err != nil {
			w.Fatal(err)
		}
		return id
	}
	invite := func(ch string, users ...string) func(*fixture) error {
		return func(w *fixture) error { _, err := w.api.InviteUsersToConversation(ch, users...); return err }
	}
	meta := func(m slack.SlackMetadata) slack.MsgOption { return slack.MsgOptionMetadata(m) }
	cases := []struct {
		name, want string
		do         func(*fixture) error
	}{
		{"no token", "not_authed", func(w *fixture) error {
			_, err := slack.New("", slack.OptionAPIURL(w.url+"/api/")).AuthTest()
			return err
		}},
		{"wrong token", "invalid_auth", func(w *fixture) error {
			_, err := slack.New("xoxb-no", slack.OptionAPIURL(w.url+"/api/")).AuthTest()
			return err
		}},
		{"app token for a bot method", "not_allowed_token_type", func(w *fixture) error {
			_, err := slack.New(w.ws.Config().AppToken, slack.OptionAPIURL(w.url+"/api/")).AuthTest()
			return err
		}},
		{"unknown method", "unknown_method", func(w *fixture) error { _, err := w.api.GetEmoji(); return err }},
		{"name with capitals", "invalid_name_specials", create("Incident")},
		{"name with a space", "invalid_name_specials", create("an incident")},
		{"name with a dot", "invalid_name_specials", create("inc.1")},
		{"name too long", "invalid_name_maxlength", create(long(81))},
		{"name of punctuation", "invalid_name_punctuation", create("-_-")},
		{"empty name", "invalid_name_required", create("")},
		{"name taken", "name_taken", create("lobby")},
		{"name taken by an archived channel", "name_taken", func(w *fixture) error { archived(w); return create("done")(w) }},
		{"post to an unknown channel", "channel_not_found", func(w *fixture) error { return post(w, "C0NONE", text("a")) }},
		{"post to an invisible private channel", "channel_not_found", func(w *fixture) error { return post(w, locked, text("a")) }},
		{"post without membership", "not_in_channel", func(w *fixture) error { return post(w, lobby, text("a")) }},
		{"post to an archived channel", "is_archived", func(w *fixture) error { return post(w, archived(w), text("a")) }},
		{"post without text", "no_text", func(w *fixture) error { return post(w, general, text("")) }},
		{"reply to an unknown message", "cannot_reply_to_message", func(w *fixture) error { return post(w, general, text("a"), slack.MsgOptionTS("1.000001")) }},
		{"text and markdown", "markdown_text_conflict", func(w *fixture) error { return post(w, general, text("a"), slack.MsgOptionMarkdownText("b")) }},
		{"too many attachments", "too_many_attachments", func(w *fixture) error {
			return post(w, general, slack.MsgOptionAttachments(make([]slack.Attachment, 101)...))
		}},
		{"metadata without a type", "invalid_metadata_format", func(w *fixture) error {
			return post(w, general, text("a"), meta(slack.SlackMetadata{EventPayload: map[string]any{"k": "v"}}))
		}},
		{"deep metadata", "invalid_metadata_schema", func(w *fixture) error {
			return post(w, general, text("a"), meta(slack.SlackMetadata{EventType: "t", EventPayload: map[string]any{"a": map[string]any{"b": map[string]any{"c": 1}}}}))
		}},
		{"huge metadata", "metadata_too_large", func(w *fixture) error {
			return post(w, general, text("a"), meta(slack.SlackMetadata{EventType: "t", EventPayload: map[string]any{"a": long(20_000)}}))
		}},
		{"update of another user's message", "cant_update_message", func(w *fixture) error {
			m, _ := w.ws.Act(ada).Post(general, "mine", "")
			_, _, _, err := w.api.UpdateMessage(general, m.TS, text("a"))
			return err
		}},
		{"update of an unknown message", "message_not_found", func(w *fixture) error {
			_, _, _, err := w.api.UpdateMessage(general, "1.000001", text("a"))
			return err
		}},
		{"update too long", "msg_too_long", func(w *fixture) error {
			_, _, _, err := w.api.UpdateMessage(general, w.post(general, "a"), text(long(4001)))
			return err
		}},
		{"delete of another user's message", "cant_delete_message", func(w *fixture) error {
			m, _ := w.ws.Act(ada).Post(general, "mine", "")
			_, _, err := w.api.DeleteMessage(general, m.TS)
			return err
		}},
		{"ephemeral to a non-member", "user_not_in_channel", func(w *fixture) error {
			_, err := w.api.PostEphemeral(w.create("inc-1", true), ada, text("a"))
			return err
		}},
		{"permalink of an unknown message", "message_not_found", func(w *fixture) error {
			_, err := w.api.GetPermalink(&slack.PermalinkParameters{Channel: general, Ts: "1.000001"})
			return err
		}},
		{"invite a member", "already_in_channel", invite(general, ada)},
		{"invite an unknown user", "user_not_found", invite(general, "U0NONE")},
		{"invite the bot", "cant_invite_self", invite(general, bot)},
		{"invite a deactivated user", "cant_invite", invite(general, dee)},
		{"invite without membership", "not_in_channel", invite(lobby, ben)},
		{"invite a guest to a second channel", "ura_max_channels", func(w *fixture) error { return invite(w.create("inc-1", false), gus)(w) }},
		{"kick the bot", "cant_kick_self", func(w *fixture) error { return w.api.KickUserFromConversation(general, bot) }},
		{"kick from general", "cant_kick_from_general", func(w *fixture) error { return w.api.KickUserFromConversation(general, ada) }},
		{"join a private channel", "channel_not_found", func(w *fixture) error { _, _, _, err := w.api.JoinConversation(locked); return err }},
		{"info of an invisible private channel", "channel_not_found", func(w *fixture) error {
			_, err := w.api.GetConversationInfo(&slack.GetConversationInfoInput{ChannelID: locked})
			return err
		}},
		{"history without membership", "not_in_channel", func(w *fixture) error {
			_, err := w.api.GetConversationHistory(&slack.GetConversationHistoryParameters{ChannelID: lobby})
			return err
		}},
		{"history with a bad bound", "invalid_ts_oldest", func(w *fixture) error {
			_, err := w.api.GetConversationHistory(&slack.GetConversationHistoryParameters{ChannelID: general, Oldest: "noon"})
			return err
		}},
		{"history with a bad cursor", "invalid_cursor", func(w *fixture) error {
			_, err := w.api.GetConversationHistory(&slack.GetConversationHistoryParameters{ChannelID: general, Cursor: "x"})
			return err
		}},
		{"replies to an unknown message", "thread_not_found", func(w *fixture) error {
			_, _, _, err := w.api.GetConversationReplies(&slack.GetConversationRepliesParameters{ChannelID: general, Timestamp: "1.000001"})
			return err
		}},
		{"list of unknown types", "invalid_types", func(w *fixture) error {
			_, _, err := w.api.GetConversations(&slack.GetConversationsParameters{Types: []string{"secret"}})
			return err
		}},
		{"topic too long", "too_long", func(w *fixture) error { _, err := w.api.SetTopicOfConversation(general, long(251)); return err }},
		{"topic without membership", "not_in_channel", func(w *fixture) error { _, err := w.api.SetTopicOfConversation(lobby, "a"); return err }},
		{"topic of an archived channel", "is_archived", func(w *fixture) error { _, err := w.api.SetTopicOfConversation(archived(w), "a"); return err }},
		{"rename to a taken name", "name_taken", func(w *fixture) error { _, err := w.api.RenameConversation(w.create("a", false), "lobby"); return err }},
		{"archive twice", "already_archived", func(w *fixture) error { return w.api.ArchiveConversation(archived(w)) }},
		{"archive general", "cant_archive_general", func(w *fixture) error { return w.api.ArchiveConversation(general) }},
		{"open with too many", "too_many_users", func(w *fixture) error {
			_, _, _, err := w.api.OpenConversation(&slack.OpenConversationParameters{Users: strings.Split("1 2 3 4 5 6 7 8 9", " ")})
			return err
		}},
		{"open with a deactivated user", "user_disabled", func(w *fixture) error {
			_, _, _, err := w.api.OpenConversation(&slack.OpenConversationParameters{Users: []string{dee}})
			return err
		}},
		{"unknown person", "user_not_found", func(w *fixture) error { _, err := w.api.GetUserInfo("U0NONE"); return err }},
		{"unknown address", "users_not_found", func(w *fixture) error { _, err := w.api.GetUserByEmail("no@example.com"); return err }},
		{"address of a deactivated user", "users_not_found", func(w *fixture) error { _, err := w.api.GetUserByEmail("dee@example.com"); return err }},
		{"unknown group", "no_such_subteam", func(w *fixture) error { _, err := w.api.GetUserGroupMembers("S0NONE"); return err }},
		{"disabled group", "no_such_subteam", func(w *fixture) error { _, err := w.api.GetUserGroupMembers("S0OLD"); return err }},
		{"pin twice", "already_pinned", func(w *fixture) error {
			item := slack.NewRefToMessage(general, w.post(general, "a"))
			if err := w.api.AddPin(general, item); err != nil {
				w.Error(err)
			}
			return w.api.AddPin(general, item)
		}},
		{"pin an unknown message", "message_not_found", func(w *fixture) error { return w.api.AddPin(general, slack.NewRefToMessage(general, "1.000001")) }},
		{"react twice", "already_reacted", func(w *fixture) error {
			item := slack.NewRefToMessage(general, w.post(general, "a"))
			if err := w.api.AddReaction("eyes", item); err != nil {
				w.Error(err)
			}
			return w.api.AddReaction("eyes", item)
		}},
		{"react with colons", "invalid_name", func(w *fixture) error {
			return w.api.AddReaction(":eyes:", slack.NewRefToMessage(general, w.post(general, "a")))
		}},
		{"bookmark a bad link", "invalid_link", func(w *fixture) error {
			_, err := w.api.AddBookmark(general, slack.AddBookmarkParameters{Title: "a", Type: "link", Link: "runbook"})
			return err
		}},
		{"bookmark of another type", "invalid_bookmark_type", func(w *fixture) error {
			_, err := w.api.AddBookmark(general, slack.AddBookmarkParameters{Title: "a", Type: "folder", Link: "https://example.com"})
			return err
		}},
		{"edit an unknown bookmark", "not_found", func(w *fixture) error {
			_, err := w.api.EditBookmark(general, "Bk0", slack.EditBookmarkParameters{Link: "https://a.example"})
			return err
		}},
		{"complete an unknown file", "file_not_found", func(w *fixture) error {
			_, err := w.api.CompleteUploadExternalContext(w.Context(), slack.CompleteUploadExternalParameters{Files: []slack.FileSummary{{ID: "F0"}}})
			return err
		}},
		{"complete before the upload", "file_not_found", func(w *fixture) error {
			u, err := w.api.GetUploadURLExternalContext(w.Context(), slack.GetUploadURLExternalParameters{FileName: "a.txt", FileSize: 3})
			if err != nil {
				return err
			}
			_, err = w.api.CompleteUploadExternalContext(w.Context(), slack.CompleteUploadExternalParameters{Files: []slack.FileSummary{{ID: u.FileID}}})
			return err
		}},
		{"modal with an unknown trigger", "invalid_trigger_id", func(w *fixture) error {
			_, err := w.api.OpenView("1.2.abc", modal(input("b", "a", "Title")))
			return err
		}},
		{"malformed trigger", "invalid_arguments", func(w *fixture) error { _, err := w.api.OpenView("soon", modal(input("b", "a", "Title"))); return err }},
		{"update an unknown view", "not_found", func(w *fixture) error {
			_, err := w.api.UpdateView(modal(input("b", "a", "T")), "", "", "V0")
			return err
		}},
		{"publish to an unknown user", "invalid_arguments", func(w *fixture) error {
			_, err := w.api.PublishView("U0NONE", slack.HomeTabViewRequest{Type: slack.VTHomeTab}, "")
			return err
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newFixture(t)
			err := c.do(w)
			if err == nil || err.Error() != c.want {
				t.Fatalf("got %v, want %s", err, c.want)
			}
			if calls := w.ws.Calls(); calls[len(calls)-1].Error != c.want || calls[len(calls)-1].Landed {
				t.Errorf("got logged call %+v, want error %s without effect", calls[len(calls)-1], c.want)
			}
		})
	}
}

func TestUnknownMethods_Counted(t *testing.T) {
	w := newFixture(t)
	for range 3 {
		w.callRaw("emoji.list")
	}
	if got := w.ws.UnknownMethods(); got["emoji.list"] != 3 {
		t.Errorf("got %v, want 3 calls of emoji.list", got)
	}
}

func TestMissingScope_NamesNeededScopes(t *testing.T) {
	w := newFixture(t, func(c *chat.Config) { c.Scopes = []string{"chat:write", "channels:manage"} })
	_, err := w.api.CreateConversation(slack.CreateConversationParams{ChannelName: "inc-1", IsPrivate: true})
	var e slack.SlackErrorResponse
	if !errors.As(err, &e) || e.Err != "missing_scope" || !strings.Contains(e.Needed, "groups:write") || e.Provided != "chat:write,channels:manage" {
		t.Errorf("got %+v", err)
	}
	if _, err := w.api.CreateConversation(slack.CreateConversationParams{ChannelName: "inc-1"}); err != nil {
		t.Errorf("create a public channel with channels:manage: %v", err)
	}
}

func TestInvite_ListsEveryError(t *testing.T) {
	w := newFixture(t)
	id := w.create("inc-1", true)
	_, err := w.api.InviteUsersToConversation(id, ada, "U0NONE", dee)
	var e slack.SlackErrorResponse
	if !errors.As(err, &e) || len(e.Errors) != 2 || e.Errors[0].ConversationsInviteResponseError.Error != "user_not_found" {
		t.Fatalf("got %+v", err)
	}
	if ch, _ := w.ws.Channel(id); len(ch.Members) != 1 {
		t.Errorf("got members %v, want only the bot", ch.Members)
	}
	if out := w.callRaw("conversations.invite", "channel", id, "users", ada+",U0NONE", "force", "true"); out["ok"] != true {
		t.Errorf("invite with force: %v", out)
	}
	if ch, _ := w.ws.Channel(id); len(ch.Members) != 2 {
		t.Errorf("got members %v, want 2", ch.Members)
	}
}

func TestRateLimits(t *testing.T) {
	w := newFixture(t, func(c *chat.Config) { c.Limits = chat.Limits{PostBurst: 2} })
	w.post(general, "1")
	w.post(general, "2")
	_, _, err := w.api.PostMessage(general, slack.MsgOptionText("3", false))
	var limited *slack.RateLimitedError
	if !errors.As(err, &limited) || limited.RetryAfter != time.Second {
		t.Fatalf("got %v", err)
	}
	other := w.create("other", false)
	w.post(other, "limits are per channel")
	w.clock.Advance(time.Second)
	w.post(general, "3")
	for i := range 19 {
		w.create(fmt.Sprintf("c-%d", i), false)
	}
	if _, err = w.api.CreateConversation(slack.CreateConversationParams{ChannelName: "c-20"}); !errors.As(err, &limited) {
		t.Errorf("got %v for the 21st call in a minute, want a rate limit", err)
	}
	w.ws.SetRateLimits(false)
	w.create("c-20", false)
}

func TestJSONBodies(t *testing.T) {
	w := newFixture(t)
	send := func(header, media, body string) map[string]any {
		req, _ := http.NewRequest(http.MethodPost, w.url+"/api/chat.postMessage", strings.NewReader(body))
		req.Header.Set("Content-Type", media)
		if header != "" {
			req.Header.Set("Authorization", "Bearer "+header)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		var out map[string]any
		_ = json.NewDecoder(resp.Body).Decode(&out)
		return out
	}
	token := w.ws.Config().BotToken
	body := `{"channel":"` + general + `","text":"a","blocks":[{"type":"divider"}],"unfurl_links":false}`
	if out := send(token, "application/json; charset=utf-8", body); out["ok"] != true || out["warning"] != nil {
		t.Errorf("got %v", out)
	}
	if out := send(token, "application/json", body); out["warning"] != "missing_charset" {
		t.Errorf("got %v", out)
	}
	if out := send("", "application/json", `{"token":"`+token+`",`+body[1:]); out["error"] != "not_authed" {
		t.Errorf("got %v for a token in a JSON body, want not_authed", out)
	}
	if out := send(token, "application/json", "{"); out["error"] != "invalid_json" {
		t.Errorf("got %v", out)
	}
	if out := send(token, "text/csv", "a"); out["error"] != "invalid_post_type" {
		t.Errorf("got %v", out)
	}
}
