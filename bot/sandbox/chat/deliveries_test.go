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

// good fails the test if a delivery did not verify with slack-go.
func (a *app) good(t *testing.T) {
	t.Helper()
	select {
	case err := <-a.bad:
		t.Errorf("slack-go refused a signature: %v", err)
	default:
	}
}

func TestCommandOverHTTP(t *testing.T) {
	a, with := withApp(t)
	w := newWorld(t, with)
	var got slack.SlashCommand
	a.commands = func(rw http.ResponseWriter, r *http.Request) {
		got, _ = slack.SlashCommandParse(r)
		switch got.Text {
		case "list":
			rw.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(rw, `{"text":"three open"}`)
		case "loud":
			_, _ = io.WriteString(rw, `{"response_type":"in_channel","text":"heard"}`)
		case "broken":
			rw.WriteHeader(http.StatusInternalServerError)
		}
	}
	m, err := w.ws.Act(ada).Command(lobby, "/incident", "list")
	if err != nil || m == nil || m.Text != "three open" || !m.Ephemeral {
		t.Fatalf("got %+v, %v", m, err)
	}
	if got.UserID != ada || got.UserName != "ada" || got.ChannelName != "lobby" || got.Command != "/incident" || got.TriggerID == "" || got.APIAppID != "A0BOT" {
		t.Errorf("the command said %+v", got)
	}
	if e := w.ws.Ephemerals(ada); len(e) != 1 || len(w.ws.Ephemerals(ben)) != 0 || len(w.ws.Messages(lobby)) != 0 {
		t.Errorf("ada sees %v", e)
	}
	if m, err = w.ws.Act(ada).Command(lobby, "/incident", "loud"); err != nil || m.Ephemeral || len(w.ws.Messages(lobby)) != 1 {
		t.Errorf("got %+v, %v", m, err)
	}
	if m, err = w.ws.Act(ada).Command(locked, "/incident", "quiet"); err != nil || m != nil || got.ChannelName != "privategroup" {
		t.Errorf("got %+v, %v, channel %s", m, err, got.ChannelName)
	}
	var seen *chat.ClientError
	if _, err = w.ws.Act(ada).Command(lobby, "/incident", "broken"); !errors.As(err, &seen) || seen.Code != "dispatch_failed" {
		t.Errorf("got %v", err)
	}
	if _, err = w.ws.Act(ben).Command(locked, "/incident", "list"); err == nil || errors.As(err, &seen) && seen.Code == "" {
		t.Error("ben typed in a channel that he cannot see")
	}
	a.good(t)
}

func TestLateCommandTimesOut(t *testing.T) {
	a, with := withApp(t)
	w := newWorld(t, with, func(c *chat.Config) { c.AckWithin = 20 * time.Millisecond })
	release := make(chan struct{})
	a.commands = func(http.ResponseWriter, *http.Request) { <-release }
	_, err := w.ws.Act(ada).Command(general, "/incident", "list")
	close(release)
	var seen *chat.ClientError
	if !errors.As(err, &seen) || seen.Code != "operation_timeout" {
		t.Errorf("got %v", err)
	}
	if d := w.ws.Deliveries(); len(d) != 1 || d[0].OK || !strings.HasPrefix(d[0].Error, "http_timeout") {
		t.Errorf("the log says %+v", d)
	}
}

func TestResponseURL(t *testing.T) {
	a, with := withApp(t)
	ck := &clock{t: time.Now()}
	w := newWorld(t, with, func(c *chat.Config) { c.Clock = ck.Now })
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
	if err := slack.PostWebhook(url, &slack.WebhookMessage{Text: "one too many"}); err == nil {
		t.Error("a sixth use was taken")
	}
	if n := len(w.ws.Ephemerals(ada)); n != 5 {
		t.Errorf("ada sees %d", n)
	}
	if _, err := w.ws.Act(ada).Command(lobby, "/incident", "slow"); err != nil {
		t.Fatal(err)
	}
	ck.Advance(31 * time.Minute)
	if err := slack.PostWebhook(url, &slack.WebhookMessage{Text: "late"}); err == nil {
		t.Error("an expired URL was taken")
	}
	if n := w.ws.Counts()["response_url"]; n.OK != 5 || n.Refused != 2 {
		t.Errorf("counted %+v", n)
	}
}

func TestButtonUpdatesItsMessage(t *testing.T) {
	a, with := withApp(t)
	w := newWorld(t, with)
	button := func(id, value string) *slack.ButtonBlockElement {
		return slack.NewButtonBlockElement(id, value, plain("Go"))
	}
	blocks := slack.MsgOptionBlocks(slack.NewActionBlock("row", button("have", "INC-1"), button("drop", "INC-1")))
	_, ts, err := w.api.PostMessage(general, blocks, slack.MsgOptionText("card", false))
	if err != nil {
		t.Fatal(err)
	}
	var in slack.InteractionCallback
	a.interactions = func(_ http.ResponseWriter, r *http.Request) {
		in = interactionOf(t, r)
		if in.ActionCallback.BlockActions[0].ActionID == "have" {
			if err := slack.PostWebhook(in.ResponseURL, &slack.WebhookMessage{Text: "taken", ReplaceOriginal: true}); err != nil {
				t.Error(err)
			}
		}
	}
	if err := w.ws.Act(ada).Click(general, ts, chat.Action{ID: "have"}); err != nil {
		t.Fatal(err)
	}
	act := in.ActionCallback.BlockActions[0]
	if in.Type != slack.InteractionTypeBlockActions || in.User.ID != ada || in.Channel.ID != general || in.Message.Timestamp != ts || act.Value != "INC-1" || act.BlockID != "row" || in.Container.MessageTs != ts {
		t.Errorf("got %+v", in)
	}
	if m := w.ws.Messages(general)[0]; m.Text != "taken" || m.Edited == "" || m.Blocks != nil {
		t.Errorf("the message is %+v", m)
	}
	if err := w.ws.Act(ada).Click(general, ts, chat.Action{ID: "nothing"}); err == nil {
		t.Error("a button that is not there was pressed")
	}
	if _, err := w.api.PostEphemeral(general, ben, blocks, slack.MsgOptionText("for ben", false)); err != nil {
		t.Fatal(err)
	}
	e := w.ws.Ephemerals(ben)[0]
	if err := w.ws.Act(ada).Click(general, e.TS, chat.Action{ID: "drop"}); err == nil {
		t.Error("ada pressed ben's button")
	}
	if err := w.ws.Act(ben).Click(general, e.TS, chat.Action{ID: "drop"}); err != nil || !in.Container.IsEphemeral || in.Message.Timestamp != "" {
		t.Errorf("%v, %+v", err, in)
	}
	if err := slack.PostWebhook(in.ResponseURL, &slack.WebhookMessage{DeleteOriginal: true}); err != nil || len(w.ws.Ephemerals(ben)) != 0 {
		t.Errorf("%v, ben still sees %v", err, w.ws.Ephemerals(ben))
	}
	a.good(t)
}

// TestEvents looks at what the app hears, through slack-go's parser.
func TestEvents(t *testing.T) {
	a, with := withApp(t)
	w := newWorld(t, with)
	var mu sync.Mutex
	heard := map[string]int{}
	a.events = func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		e, err := slackevents.ParseEvent(body, slackevents.OptionNoVerifyToken())
		if err != nil {
			t.Errorf("slack-go does not parse %s: %v", body, err)
			return
		}
		key := e.InnerEvent.Type
		if m, ok := e.InnerEvent.Data.(*slackevents.MessageEvent); ok {
			key += " " + m.ChannelType + " " + m.SubType
			if m.BotID != "" {
				key += " own"
			}
		}
		mu.Lock()
		heard[key]++
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
	if _, err := me.Post(locked, "the app is not here", ""); err != nil {
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
	waitDeliveries(t, w)
	mu.Lock()
	defer mu.Unlock()
	for _, want := range []string{"message channel  own", "message channel ", "app_mention", "message channel file_share", "reaction_added", "pin_added",
		"member_joined_channel", "message group channel_join", "member_left_channel", "message channel channel_topic", "message channel message_changed", "group_archive", "team_join"} {
		if heard[want] != 1 {
			t.Errorf("heard %q %d times, of %v", want, heard[want], heard)
		}
	}
	if heard["message group "] != 0 {
		t.Error("the app heard a channel that it was not in")
	}
	a.good(t)
}

// waitDeliveries blocks until no event is pending.
func waitDeliveries(t *testing.T, w *world) {
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
		case <-time.After(5 * time.Millisecond): // the last delivery is logged just before it stops counting as pending
		case <-deadline:
			t.Fatal("events are pending for ever")
		}
	}
}

func TestEventRetriesDuplicatesAndOrder(t *testing.T) {
	a, with := withApp(t)
	w := newWorld(t, with, func(c *chat.Config) { c.EventRetries = []time.Duration{0, 0, 0} })
	type heard struct{ id, num, reason, text string }
	var mu sync.Mutex
	var got []heard
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
		got = append(got, heard{e.ID, r.Header.Get("X-Slack-Retry-Num"), r.Header.Get("X-Slack-Retry-Reason"), e.Event.Text})
		if fail > 0 {
			fail--
			rw.WriteHeader(http.StatusBadGateway)
		}
	}
	take := func() []heard {
		waitDeliveries(t, w)
		mu.Lock()
		defer mu.Unlock()
		out := got
		got = nil
		return out
	}
	w.post(general, "a")
	g := take()
	if len(g) != 3 || g[0].num != "" || g[1].num != "1" || g[2].num != "2" || g[1].reason != "http_error" || g[0].id != g[2].id {
		t.Errorf("retries: %+v", g)
	}
	mu.Lock()
	fail = 99
	mu.Unlock()
	w.post(general, "lost")
	if g = take(); len(g) != 4 {
		t.Errorf("a lost cause is delivered four times, not %d", len(g))
	}
	mu.Lock()
	fail = 0
	mu.Unlock()
	w.ws.DuplicateEvents(1)
	w.post(general, "twice")
	if g = take(); len(g) != 2 || g[0].id != g[1].id {
		t.Errorf("duplicates: %+v", g)
	}
	w.ws.DuplicateEvents(0)
	w.ws.HoldEvents()
	w.post(general, "first")
	w.post(general, "second")
	w.ws.ReleaseEvents(chat.Reversed)
	if g = take(); len(g) != 2 || g[0].text != "second" || g[1].text != "first" {
		t.Errorf("held and reversed: %+v", g)
	}
}
