package chat_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slack-go/slack"
	"github.com/slack-go/slack/socketmode"

	"tocsin/bot/sandbox/chat"
)

func TestChannelMethods(t *testing.T) {
	w := newFixture(t)
	ch, err := w.api.CreateConversation(slack.CreateConversationParams{ChannelName: "inc-42", IsPrivate: true})
	if err != nil || ch.Creator != bot || !ch.IsPrivate || !ch.IsMember {
		t.Fatalf("got %+v, %v", ch, err)
	}
	if _, err := w.api.InviteUsersToConversation(ch.ID, ada, ben); err != nil {
		t.Fatal(err)
	}
	if _, err := w.api.SetTopicOfConversation(ch.ID, "INC-42 sev1"); err != nil {
		t.Fatal(err)
	}
	mark, err := w.api.AddBookmark(ch.ID, slack.AddBookmarkParameters{Title: "Runbook", Type: "link", Link: "https://runbook.example", Emoji: ":book:"})
	if err != nil {
		t.Fatal(err)
	}
	title := "The runbook"
	if _, err := w.api.EditBookmark(ch.ID, mark.ID, slack.EditBookmarkParameters{Title: &title}); err != nil {
		t.Fatal(err)
	}
	if got := w.ws.Bookmarks(ch.ID); len(got) != 1 || got[0].Title != title || got[0].Link != "https://runbook.example" {
		t.Errorf("got bookmarks %+v", got)
	}
	if err := w.api.KickUserFromConversation(ch.ID, ben); err != nil {
		t.Fatal(err)
	}
	info, err := w.api.GetConversationInfo(&slack.GetConversationInfoInput{ChannelID: ch.ID, IncludeNumMembers: true})
	if err != nil || info.Topic.Value != "INC-42 sev1" || info.NumMembers != 2 {
		t.Errorf("got %+v, %v", info, err)
	}
	if got := w.ws.Channels(ben); len(got) != 2 {
		t.Errorf("got channels %v for ben, want 2", got)
	}
	if got := w.ws.Channels(ada); len(got) != 4 {
		t.Errorf("got channels %v for ada, want 4", got)
	}
	if _, err := w.api.RenameConversation(ch.ID, "inc-42-keys"); err != nil {
		t.Fatal(err)
	}
	if got, ok := w.ws.Channel("inc-42-keys"); !ok || got.ID != ch.ID {
		t.Errorf("got %+v", got)
	}
	ts := w.post(ch.ID, "card")
	if err := w.api.AddPin(ch.ID, slack.NewRefToMessage(ch.ID, ts)); err != nil {
		t.Fatal(err)
	}
	if pins, _, err := w.api.ListPins(ch.ID); err != nil || len(pins) != 1 || pins[0].Message.Timestamp != ts || len(w.ws.Pins(ch.ID)) != 1 {
		t.Errorf("got pins %+v, %v", pins, err)
	}
	if err := w.ws.Act(ada).React(ch.ID, ts, "eyes"); err != nil {
		t.Fatal(err)
	}
	reacted, err := w.api.GetReactions(slack.NewRefToMessage(ch.ID, ts), slack.GetReactionsParameters{Full: true})
	if err != nil || len(reacted.Reactions) != 1 || reacted.Reactions[0].Users[0] != ada {
		t.Errorf("got %+v, %v", reacted, err)
	}
}

func TestDirectMessages(t *testing.T) {
	w := newFixture(t)
	id, _, err := w.api.PostMessage(ada, slack.MsgOptionText("please sign", false))
	if err != nil || !strings.HasPrefix(id, "D") {
		t.Fatalf("got %q, %v", id, err)
	}
	dm, open, _, err := w.api.OpenConversation(&slack.OpenConversationParameters{Users: []string{ada}, ReturnIM: true})
	if err != nil || dm.ID != id || !open {
		t.Errorf("got %+v, %v", dm, err)
	}
	if mine := w.ws.DMs(ada); len(mine) != 1 || mine[0].ID != id || len(w.ws.DMs(ben)) != 0 {
		t.Errorf("got DMs %v for ada, want only %s", mine, id)
	}
	if _, _, _, err := w.api.OpenConversation(&slack.OpenConversationParameters{Users: []string{ada, ben}}); err != nil {
		t.Error(err)
	}
	if got, err := w.ws.Act(ada).OpenDM(); err != nil || got != id {
		t.Errorf("got %s, %v", got, err)
	}
	w.clock.Advance(time.Second)
	if _, err := w.ws.Act(ada).Post(id, "signed", ""); err != nil {
		t.Error(err)
	}
}

func TestHistory_MetadataAndPages(t *testing.T) {
	w := newFixture(t)
	for i := range 5 {
		_, _, err := w.api.PostMessage(general, slack.MsgOptionText(fmt.Sprint("m", i), false),
			slack.MsgOptionMetadata(slack.SlackMetadata{EventType: "tocsin.message", EventPayload: map[string]any{"key": fmt.Sprint("k", i)}}))
		if err != nil {
			t.Fatal(err)
		}
	}
	root := w.ws.Messages(general)[0].TS
	for i := range 3 {
		if _, _, err := w.api.PostMessage(general, slack.MsgOptionText(fmt.Sprint("r", i), false), slack.MsgOptionTS(root)); err != nil {
			t.Fatal(err)
		}
	}
	var texts, keys []string
	p := &slack.GetConversationHistoryParameters{ChannelID: general, Limit: 2, IncludeAllMetadata: true}
	for {
		h, err := w.api.GetConversationHistory(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range h.Messages {
			texts, keys = append(texts, m.Text), append(keys, fmt.Sprint(m.Metadata.EventPayload["key"]))
		}
		if p.Cursor = h.ResponseMetaData.NextCursor; p.Cursor == "" {
			break
		}
	}
	if got := strings.Join(texts, " "); got != "m4 m3 m2 m1 m0" || strings.Join(keys, " ") != "k4 k3 k2 k1 k0" {
		t.Errorf("got history %v with keys %v", texts, keys)
	}
	h, err := w.api.GetConversationHistory(&slack.GetConversationHistoryParameters{ChannelID: general, Oldest: w.ws.Messages(general)[3].TS, Inclusive: true})
	if err != nil || len(h.Messages) != 2 || h.Messages[0].Metadata.EventType != "" {
		t.Errorf("got %+v, %v", h, err)
	}
	first, more, cursor, err := w.api.GetConversationReplies(&slack.GetConversationRepliesParameters{ChannelID: general, Timestamp: root, Limit: 2})
	if err != nil || !more || len(first) != 2 || first[0].Text != "m0" || first[0].ReplyCount != 3 || first[1].Text != "r0" {
		t.Fatalf("got %+v, %v", first, err)
	}
	rest, more, _, err := w.api.GetConversationReplies(&slack.GetConversationRepliesParameters{ChannelID: general, Timestamp: root, Cursor: cursor})
	if err != nil || more || len(rest) != 2 || rest[1].Text != "r2" {
		t.Errorf("got %+v, %v", rest, err)
	}
	users, err := w.api.GetUsers(slack.GetUsersOptionLimit(2))
	if err != nil || len(users) != 6 {
		t.Errorf("got %d users, %v, want 6", len(users), err)
	}
	ids, next, err := w.api.GetUsersInConversation(&slack.GetUsersInConversationParameters{ChannelID: general, Limit: 3})
	if err != nil || len(ids) != 3 || next == "" {
		t.Errorf("got %v, %v", ids, err)
	}
	if got, err := w.api.GetUserByEmail("ADA@example.com"); err != nil || got.ID != ada || got.Profile.Email != "ada@example.com" || got.TZOffset != 3600 {
		t.Errorf("got %+v, %v", got, err)
	}
	if groups, err := w.api.GetUserGroups(slack.GetUserGroupsOptionIncludeUsers(true)); err != nil || len(groups) != 1 || len(groups[0].Users) != 2 {
		t.Errorf("got %+v, %v", groups, err)
	}
}

func TestUploadAndShare(t *testing.T) {
	w := newFixture(t)
	text := "# Postmortem"
	f, err := w.api.UploadFile(slack.UploadFileParameters{Filename: "postmortem.md", Title: "INC-42", Content: text, FileSize: len(text), Channel: general, InitialComment: "signed"})
	if err != nil {
		t.Fatal(err)
	}
	m := w.ws.Messages(general)[0]
	if m.Text != "signed" || len(m.Files) != 1 || m.Files[0].ID != f.ID || m.Files[0].Title != "INC-42" {
		t.Errorf("got message %+v", m)
	}
	info, _, _, err := w.api.GetFileInfo(f.ID, 0, 0)
	if err != nil || info.Size != len(text) || len(info.Channels) != 1 {
		t.Fatalf("got %+v, %v", info, err)
	}
	var got bytes.Buffer
	if err := w.api.GetFile(info.URLPrivateDownload, &got); err != nil || got.String() != text {
		t.Errorf("downloaded %q, %v", got.String(), err)
	}
	// Without a channel the file is not shared until a message contains its permalink.
	f, err = w.api.UploadFile(slack.UploadFileParameters{Filename: "p.html", Content: text, FileSize: len(text)})
	if err != nil {
		t.Fatal(err)
	}
	info, _, _, err = w.api.GetFileInfo(f.ID, 0, 0)
	if err != nil || len(info.Channels) != 0 || len(w.ws.Messages(general)) != 1 {
		t.Fatalf("got %+v, %v", info, err)
	}
	w.post(general, "the page: <"+info.Permalink+"|p.html>")
	if ms := w.ws.Messages(general); len(ms) != 2 || len(ms[1].Files) != 1 || ms[1].Files[0].ID != f.ID {
		t.Errorf("got messages %+v", ms)
	}
	if _, err := w.api.UploadFile(slack.UploadFileParameters{Filename: "p.html", Content: text, FileSize: 3}); err == nil {
		t.Error("an upload with a wrong length succeeded")
	}
	if raw, ok := w.ws.FileContent(f.ID); !ok || string(raw) != text {
		t.Errorf("got content %q, want %q", raw, text)
	}
}

func TestFaults(t *testing.T) {
	w := newFixture(t)
	post := func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		defer cancel()
		_, _, err := w.api.PostMessageContext(ctx, general, slack.MsgOptionText("a", false))
		return err
	}
	last := func() chat.Call { c := w.ws.Calls(); return c[len(c)-1] }
	var limited *slack.RateLimitedError
	var status slack.StatusCodeError
	cases := []struct {
		fault   chat.Fault
		applied bool
		check   func(error) bool
	}{
		{chat.Fault{Kind: chat.FaultServerError}, false, func(e error) bool { return errors.As(e, &status) && status.Code == 500 }},
		{chat.Fault{Kind: chat.FaultServerAfter}, true, func(e error) bool { return errors.As(e, &status) && status.Code == 500 }},
		{chat.Fault{Kind: chat.FaultRateLimit, RetryAfter: 7}, false, func(e error) bool { return errors.As(e, &limited) && limited.RetryAfter == 7*time.Second }},
		{chat.Fault{Kind: chat.FaultDropAfter}, true, func(e error) bool { return e != nil && last().Dropped }},
		{chat.Fault{Kind: chat.FaultInternalAfter}, true, func(e error) bool { return e != nil && e.Error() == "internal_error" }},
		{chat.Fault{Kind: chat.FaultHang}, false, func(e error) bool { return errors.Is(e, context.DeadlineExceeded) }},
		{chat.Fault{Kind: chat.FaultDelay, Delay: 10 * time.Second}, true, func(e error) bool { return errors.Is(e, context.DeadlineExceeded) }},
		{chat.Fault{Kind: chat.FaultSlow, Delay: time.Millisecond}, true, func(e error) bool { return e == nil }},
	}
	for _, c := range cases {
		t.Run(string(c.fault.Kind), func(t *testing.T) {
			n := len(w.ws.Messages(general))
			c.fault.Method, c.fault.Count = "chat.*", 1
			w.ws.SetFault(c.fault)
			if err := post(); !c.check(err) {
				t.Errorf("got %v", err)
			}
			if applied := len(w.ws.Messages(general)) > n; applied != c.applied || last().Landed != c.applied || last().Fault != c.fault.Kind {
				t.Errorf("got effect %v and logged call %+v, want effect %v", applied, last(), c.applied)
			}
			if err := post(); err != nil {
				t.Errorf("second call with count 1: %v", err)
			}
		})
	}
	w.ws.SetOffline(true)
	if err := post(); err == nil {
		t.Error("a post succeeded while offline")
	}
	if _, err := w.ws.Act(ada).Post(general, "a", ""); !errors.Is(err, chat.ErrOffline) {
		t.Errorf("got %v", err)
	}
	w.ws.ClearFaults()
	id := w.ws.SetFault(chat.Fault{Method: "*", Kind: chat.FaultServerError})
	if err := post(); err == nil {
		t.Error("a post succeeded with a fault")
	}
	w.ws.ClearFault(id)
	if err := post(); err != nil {
		t.Error(err)
	}
}

func TestFaultSlow_ActsAfterClientTimeout(t *testing.T) {
	w := newFixture(t)
	w.ws.SetFault(chat.Fault{Method: "chat.postMessage", Kind: chat.FaultSlow, Delay: 150 * time.Millisecond, Count: 1})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, _, err := w.api.PostMessageContext(ctx, general, slack.MsgOptionText("late", false)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	w.waitFor(func() bool { return len(w.ws.Messages(general)) == 1 })
}

// TestSubscribe_RunsBetweenEffectAndResponse checks the order that the kill test in cmd/tocsin depends on.
func TestSubscribe_RunsBetweenEffectAndResponse(t *testing.T) {
	w := newFixture(t)
	hold, seen := make(chan struct{}), make(chan chat.Call, 1)
	cancel := w.ws.Subscribe(func(e chat.Entry) {
		if e.Call != nil && e.Call.Method == "chat.postMessage" {
			seen <- *e.Call
			<-hold
		}
	})
	defer cancel()
	answered := make(chan string, 1)
	go func() { answered <- w.post(general, "a") }()
	c := <-seen
	if len(w.ws.Messages(general)) != 1 || !c.Landed || c.Result["ts"] == "" || c.Args["text"] != "a" || c.Args["token"] != nil {
		t.Errorf("got logged call %+v", c)
	}
	select {
	case <-answered:
		t.Error("response sent before the subscriber returned")
	default:
	}
	close(hold)
	if ts := <-answered; ts != c.Result["ts"] {
		t.Errorf("got ts %s, want logged ts %s", ts, c.Result["ts"])
	}
}

func TestTimestamps_Deterministic(t *testing.T) {
	run := func() string {
		w := newFixture(t)
		var out []string
		for i := range 3 {
			out = append(out, w.post(general, fmt.Sprint(i)))
		}
		w.clock.Advance(time.Second)
		out = append(out, w.post(w.create("x", false), "a"))
		return strings.Join(out, " ")
	}
	if a, b := run(), run(); a != b || !strings.HasPrefix(a, "1795165200.000000 1795165200.000001") {
		t.Errorf("got timestamps %s\nand %s, want equal ones", a, b)
	}
}

func TestVerifyURL(t *testing.T) {
	a, with := startApp(t)
	w := newFixture(t, with)
	a.events = func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, rest, _ := strings.Cut(string(body), `"challenge":"`)
		challenge, _, _ := strings.Cut(rest, `"`)
		_, _ = io.WriteString(rw, challenge)
	}
	if err := w.ws.VerifyURL(); err != nil {
		t.Error(err)
	}
	a.events = nil
	if err := w.ws.VerifyURL(); err == nil {
		t.Error("an empty response was accepted")
	}
}

// TestPostMessage_Concurrent checks that no message is lost and that all timestamps differ.
func TestPostMessage_Concurrent(t *testing.T) {
	w := newFixture(t, func(c *chat.Config) { c.LogLimit = 100 })
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			for i := range 100 {
				if _, _, err := w.api.PostMessage(general, slack.MsgOptionText(fmt.Sprint(g, i), false)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for _, m := range w.ws.Messages(general) {
		seen[m.TS] = true
	}
	if len(seen) != 1600 || w.ws.Counts()["chat.postMessage"].Landed != 1600 || len(w.ws.Calls()) > 200 {
		t.Errorf("got %d messages, counts %+v, %d logged calls", len(seen), w.ws.Counts()["chat.postMessage"], len(w.ws.Calls()))
	}
}

// TestClose_EndsPendingWork closes a workspace with a hanging call, an open socket and events that wait for a retry.
func TestClose_EndsPendingWork(t *testing.T) {
	w := newSocketFixture(t, func(c *chat.Config) { c.EventRetries = []time.Duration{time.Hour} })
	w.post(general, "an event without a receiver")
	w.waitFor(func() bool { return len(w.ws.Deliveries()) == 1 || w.ws.PendingEvents() == 1 })
	w.connectSocket(func(*socketmode.Client, socketmode.Event) {})
	w.ws.SetFault(chat.Fault{Method: "auth.test", Kind: chat.FaultHang})
	hanging := make(chan struct{})
	cancel := w.ws.Subscribe(func(e chat.Entry) {
		if e.Call != nil && e.Call.Method == "auth.test" {
			close(hanging)
		}
	})
	defer cancel()
	failed := make(chan error, 1)
	go func() { _, err := w.api.AuthTest(); failed <- err }()
	<-hanging
	if err := w.ws.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := <-failed; err == nil {
		t.Error("the hanging call succeeded")
	}
	if err := w.ws.Close(); err != nil {
		t.Errorf("close again: %v", err)
	}
}

func TestPostMessage_PublicWithoutMembership(t *testing.T) {
	w := newFixture(t, func(c *chat.Config) { c.Scopes = append([]string{"chat:write.public"}, chat.DefaultScopes...) })
	w.post(lobby, "announced")
	if _, err := w.api.PostEphemeral(lobby, ada, slack.MsgOptionText("psst", false)); err != nil {
		t.Error(err)
	}
	if _, _, err := w.api.PostMessage(locked, slack.MsgOptionText("a", false)); err == nil || err.Error() != "channel_not_found" {
		t.Errorf("got %v", err)
	}
	if _, _, warnings, err := w.api.JoinConversation(lobby); err != nil || len(warnings) != 0 {
		t.Errorf("join: %v, %v", warnings, err)
	}
	if _, _, warnings, err := w.api.JoinConversation(lobby); err != nil || len(warnings) != 1 {
		t.Errorf("join again: %v, %v", warnings, err)
	}
}
