package chat_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slack-go/slack"
	"github.com/slack-go/slack/slackevents"

	"tocsin/bot/sandbox/chat"
)

// checkSignatures fails the test if slack-go rejected the signature of a delivery.
func (a *app) checkSignatures(t *testing.T) {
	t.Helper()
	select {
	case err := <-a.badSignatures:
		t.Errorf("slack-go rejected a signature: %v", err)
	default:
	}
}

func TestCommand_OverHTTP(t *testing.T) {
	a, with := startApp(t)
	w := newFixture(t, with)
	var got slack.SlashCommand
	a.commands = func(rw http.ResponseWriter, r *http.Request) {
		got, _ = slack.SlashCommandParse(r)
		switch got.Text {
		case "list":
			rw.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(rw, `{"text":"three open"}`)
		case "public":
			_, _ = io.WriteString(rw, `{"response_type":"in_channel","text":"for everyone"}`)
		case "broken":
			rw.WriteHeader(http.StatusInternalServerError)
		}
	}
	m, err := w.ws.Act(ada).Command(lobby, "/incident", "list")
	if err != nil || m == nil || m.Text != "three open" || !m.Ephemeral {
		t.Fatalf("got %+v, %v", m, err)
	}
	if got.UserID != ada || got.UserName != "ada" || got.ChannelName != "lobby" || got.Command != "/incident" || got.TriggerID == "" || got.APIAppID != "A0BOT" {
		t.Errorf("got command %+v", got)
	}
	if e := w.ws.Ephemerals(ada); len(e) != 1 || len(w.ws.Ephemerals(ben)) != 0 || len(w.ws.Messages(lobby)) != 0 {
		t.Errorf("got ephemeral messages %v for ada, want 1", e)
	}
	if m, err = w.ws.Act(ada).Command(lobby, "/incident", "public"); err != nil || m.Ephemeral || len(w.ws.Messages(lobby)) != 1 {
		t.Errorf("got %+v, %v", m, err)
	}
	if m, err = w.ws.Act(ada).Command(locked, "/incident", "empty"); err != nil || m != nil || got.ChannelName != "privategroup" {
		t.Errorf("got %+v, %v in channel %s", m, err, got.ChannelName)
	}
	var seen *chat.ClientError
	if _, err = w.ws.Act(ada).Command(lobby, "/incident", "broken"); !errors.As(err, &seen) || seen.Code != "dispatch_failed" {
		t.Errorf("got %v", err)
	}
	if _, err = w.ws.Act(ben).Command(locked, "/incident", "list"); err == nil || errors.As(err, &seen) && seen.Code == "" {
		t.Error("a command in an invisible channel succeeded")
	}
	a.checkSignatures(t)
}

func TestCommand_Timeout(t *testing.T) {
	a, with := startApp(t)
	w := newFixture(t, with, func(c *chat.Config) { c.AckTimeout = 20 * time.Millisecond })
	release := make(chan struct{})
	a.commands = func(http.ResponseWriter, *http.Request) { <-release }
	_, err := w.ws.Act(ada).Command(general, "/incident", "list")
	close(release)
	var seen *chat.ClientError
	if !errors.As(err, &seen) || seen.Code != "operation_timeout" {
		t.Errorf("got %v", err)
	}
	if d := w.ws.Deliveries(); len(d) != 1 || d[0].OK || !strings.HasPrefix(d[0].Error, "http_timeout") {
		t.Errorf("got deliveries %+v, want one http_timeout", d)
	}
}

func TestResponseURL(t *testing.T) {
	a, with := startApp(t)
	ck := &clock{t: time.Now()}
	w := newFixture(t, with, func(c *chat.Config) { c.Clock = ck.Now })
	var url string
	a.commands = func(_ http.ResponseWriter, r *http.Request) { url = r.FormValue("response_url") }
	if _, err := w.ws.Act(ada).Command(lobby, "/incident", "slow"); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if err := slack.PostWebhook(url, &slack.WebhookMessage{Text: fmt.Sprint("answer ", i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := slack.PostWebhook(url, &slack.WebhookMessage{Text: "sixth answer"}); err == nil {
		t.Error("a sixth use of the response URL succeeded")
	}
	if n := len(w.ws.Ephemerals(ada)); n != 5 {
		t.Errorf("got %d ephemeral messages, want 5", n)
	}
	if _, err := w.ws.Act(ada).Command(lobby, "/incident", "slow"); err != nil {
		t.Fatal(err)
	}
	ck.Advance(31 * time.Minute)
	if err := slack.PostWebhook(url, &slack.WebhookMessage{Text: "late"}); err == nil {
		t.Error("an expired response URL succeeded")
	}
	if n := w.ws.Counts()["response_url"]; n.OK != 5 || n.Refused != 2 {
		t.Errorf("got counts %+v, want 5 ok and 2 refused", n)
	}
}

func TestClick_ReplacesMessage(t *testing.T) {
	a, with := startApp(t)
	w := newFixture(t, with)
	button := func(id, value string) *slack.ButtonBlockElement {
		return slack.NewButtonBlockElement(id, value, plain("Go"))
	}
	blocks := slack.MsgOptionBlocks(slack.NewActionBlock("row", button("ack", "INC-1"), button("drop", "INC-1")))
	_, ts, err := w.api.PostMessage(general, blocks, slack.MsgOptionText("card", false))
	if err != nil {
		t.Fatal(err)
	}
	var in slack.InteractionCallback
	a.interactions = func(_ http.ResponseWriter, r *http.Request) {
		in = interactionOf(t, r)
		if in.ActionCallback.BlockActions[0].ActionID == "ack" {
			if err := slack.PostWebhook(in.ResponseURL, &slack.WebhookMessage{Text: "acknowledged", ReplaceOriginal: true}); err != nil {
				t.Error(err)
			}
		}
	}
	if err := w.ws.Act(ada).Click(general, ts, chat.Action{ID: "ack"}); err != nil {
		t.Fatal(err)
	}
	act := in.ActionCallback.BlockActions[0]
	if in.Type != slack.InteractionTypeBlockActions || in.User.ID != ada || in.Channel.ID != general || in.Message.Timestamp != ts || act.Value != "INC-1" || act.BlockID != "row" || in.Container.MessageTs != ts {
		t.Errorf("got %+v", in)
	}
	if m := w.ws.Messages(general)[0]; m.Text != "acknowledged" || m.Edited == "" || m.Blocks != nil {
		t.Errorf("got message %+v, want the replacement", m)
	}
	if err := w.ws.Act(ada).Click(general, ts, chat.Action{ID: "nothing"}); err == nil {
		t.Error("a click on an unknown button succeeded")
	}
	if _, err := w.api.PostEphemeral(general, ben, blocks, slack.MsgOptionText("for ben", false)); err != nil {
		t.Fatal(err)
	}
	e := w.ws.Ephemerals(ben)[0]
	if err := w.ws.Act(ada).Click(general, e.TS, chat.Action{ID: "drop"}); err == nil {
		t.Error("a click on the ephemeral message of another person succeeded")
	}
	if err := w.ws.Act(ben).Click(general, e.TS, chat.Action{ID: "drop"}); err != nil || !in.Container.IsEphemeral || in.Message.Timestamp != "" {
		t.Errorf("got %v, %+v", err, in)
	}
	if err := slack.PostWebhook(in.ResponseURL, &slack.WebhookMessage{DeleteOriginal: true}); err != nil || len(w.ws.Ephemerals(ben)) != 0 {
		t.Errorf("got %v and ephemeral messages %v, want none", err, w.ws.Ephemerals(ben))
	}
	a.checkSignatures(t)
}

// TestEvents parses all events with slack-go.
func TestEvents(t *testing.T) {
	a, with := startApp(t)
	w := newFixture(t, with)
	var mu sync.Mutex
	received := map[string]int{}
	a.events = func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		e, err := slackevents.ParseEvent(body, slackevents.OptionNoVerifyToken())
		if err != nil {
			t.Errorf("parse event %s: %v", body, err)
			return
		}
		key := e.InnerEvent.Type
		if m, ok := e.InnerEvent.Data.(*slackevents.MessageEvent); ok {
			key += " " + m.ChannelType + " " + m.SubType
			if m.BotID != "" {
				key += " from bot"
			}
		}
		mu.Lock()
		received[key]++
		mu.Unlock()
	}
	me := w.ws.Act(ada)
	ts := w.post(general, "hello")
	if _, err := me.Post(general, "<@U0BOT> help", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := me.Upload(general, "trace.log", []byte("oops"), "see", ts); err != nil {
		t.Fatal(err)
	}
	if _, err := me.Post(locked, "the app is not a member", ""); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{me.React(general, ts, "eyes"), me.Pin(general, ts), me.Invite(locked, bot), me.Leave(general)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.api.SetTopicOfConversation(general, "sev1"); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := w.api.UpdateMessage(general, ts, slack.MsgOptionText("hello again", false)); err != nil {
		t.Fatal(err)
	}
	if err := w.api.ArchiveConversation(w.create("old", true)); err != nil {
		t.Fatal(err)
	}
	w.ws.AddPerson(chat.Person{ID: "U0EVE", Name: "eve"})
	waitEventsDelivered(t, w)
	mu.Lock()
	defer mu.Unlock()
	for _, want := range []string{"message channel  from bot", "message channel ", "app_mention", "message channel file_share", "reaction_added", "pin_added",
		"member_joined_channel", "message group channel_join", "member_left_channel", "message channel channel_topic", "message channel message_changed", "group_archive", "team_join"} {
		if received[want] != 1 {
			t.Errorf("got event %q %d times, want once; all events: %v", want, received[want], received)
		}
	}
	if received["message group "] != 0 {
		t.Error("the app received an event of a channel without being a member")
	}
	a.checkSignatures(t)
}

// waitEventsDelivered waits until no event is pending.
func waitEventsDelivered(t *testing.T, w *fixture) {
	t.Helper()
	done := make(chan struct{}, 1)
	cancel := w.ws.Subscribe(func(e chat.Entry) {
		select {
		case done <- struct{}{}:
		default:
		}
	})
	defer cancel()
	for deadline := time.After(10 * time.Second); w.ws.PendingEvents() > 0; {
		select {
		case <-done:
		case <-time.After(5 * time.Millisecond): // the last delivery is logged before it stops counting as pending
		case <-deadline:
			t.Fatal("events are still pending after 10 s")
		}
	}
}

func TestEvents_RetriesDuplicatesAndOrder(t *testing.T) {
	a, with := startApp(t)
	w := newFixture(t, with, func(c *chat.Config) { c.EventRetries = []time.Duration{0, 0, 0} })
	type attempt struct{ id, num, reason, text string }
	var mu sync.Mutex
	var got []attempt
	fail := 2
	a.events = func(rw http.ResponseWriter, r *http.Request) {
		var e struct {
			ID    string `json:"event_id"`
			Event struct {
				Text string `json:"text"`
			} `json:"event"`
		}
		_ = json.NewDecoder(r.Body).Decode(&e)
		mu.Lock()
		defer mu.Unlock()
		got = append(got, attempt{e.ID, r.Header.Get("X-Slack-Retry-Num"), r.Header.Get("X-Slack-Retry-Reason"), e.Event.Text})
		if fail > 0 {
			fail--
			rw.WriteHeader(http.StatusBadGateway)
		}
	}
	take := func() []attempt {
		waitEventsDelivered(t, w)
		mu.Lock()
		defer mu.Unlock()
		out := got
		got = nil
		return out
	}
	w.post(general, "a")
	g := take()
	if len(g) != 3 || g[0].num != "" || g[1].num != "1" || g[2].num != "2" || g[1].reason != "http_error" || g[0].id != g[2].id {
		t.Errorf("got retries %+v", g)
	}
	mu.Lock()
	fail = 99
	mu.Unlock()
	w.post(general, "lost")
	if g = take(); len(g) != 4 {
		t.Errorf("got %d attempts of an event that always fails, want 4", len(g))
	}
	mu.Lock()
	fail = 0
	mu.Unlock()
	w.ws.DuplicateEvents(1)
	w.post(general, "twice")
	if g = take(); len(g) != 2 || g[0].id != g[1].id {
		t.Errorf("got duplicates %+v", g)
	}
	w.ws.DuplicateEvents(0)
	w.ws.HoldEvents()
	w.post(general, "first")
	w.post(general, "second")
	w.ws.ReleaseEvents(chat.Reversed)
	if g = take(); len(g) != 2 || g[0].text != "second" || g[1].text != "first" {
		t.Errorf("got held events %+v, want second before first", g)
	}
}
