package chat_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/slack-go/slack"
	"github.com/slack-go/slack/slackevents"

	"tocsin/bot/sandbox/chat"
)

func TestModals(t *testing.T) {
	a, with := startApp(t)
	ck := &clock{t: time.Now()}
	w := newFixture(t, with, func(c *chat.Config) { c.Clock = ck.Now })
	var triggers []string
	var in slack.InteractionCallback
	answer := ""
	a.commands = func(_ http.ResponseWriter, r *http.Request) { triggers = append(triggers, r.FormValue("trigger_id")) }
	a.interactions = func(rw http.ResponseWriter, r *http.Request) {
		in = interactionOf(t, r)
		if in.TriggerID != "" {
			triggers = append(triggers, in.TriggerID)
		}
		_, _ = io.WriteString(rw, answer)
	}
	openTrigger := func() string {
		if _, err := w.ws.Act(ada).Command(general, "/incident", "open"); err != nil {
			t.Fatal(err)
		}
		return triggers[len(triggers)-1]
	}
	form := modal(input("title", "text", "Title"))
	tr := openTrigger()
	ck.Advance(3*time.Second + time.Millisecond)
	if _, err := w.api.OpenView(tr, form); err == nil || err.Error() != "expired_trigger_id" {
		t.Errorf("got %v, want expired_trigger_id", err)
	}
	_, err := w.api.OpenView(tr, form)
	var e slack.SlackErrorResponse
	if !errors.As(err, &e) || e.Err != "invalid_arguments" || !strings.Contains(e.ResponseMetadata.Messages[0], "`trigger_id` expired [json-pointer:/trigger_id]") {
		t.Errorf("got %+v, want invalid_arguments", err)
	}
	tr = openTrigger()
	opened, err := w.api.OpenView(tr, form)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = w.api.OpenView(tr, form); err == nil || err.Error() != "exchanged_trigger_id" {
		t.Errorf("got %v, want exchanged_trigger_id", err)
	}
	me := w.ws.Act(ada)
	if s, err := me.Submit(opened.ID, nil); err != nil || !s.Client || s.Errors["title"] == "" {
		t.Errorf("got %+v, %v for an empty form, want client errors", s, err)
	}
	fill := map[string]map[string]any{"title": {"text": "keys leaked"}}
	answer = `{"response_action":"errors","errors":{"title":"too short"}}`
	if s, err := me.Submit(opened.ID, fill); err != nil || s.Outcome != chat.SubmitErrors || s.Errors["title"] != "too short" || s.Client {
		t.Errorf("got %+v, %v", s, err)
	}
	if v := in.View.State.Values["title"]["text"].Value; v != "keys leaked" || in.View.CallbackID != "declare" || in.View.Hash == "" {
		t.Errorf("got value %q in %+v", v, in.View)
	}
	var seen *chat.ClientError
	answer = `{"response_action":"errors","errors":{"nowhere":"a"}}`
	if _, err := me.Submit(opened.ID, nil); !errors.As(err, &seen) || seen.Code != "trouble_connecting" {
		t.Errorf("got %v for errors of an unknown block, want trouble_connecting", err)
	}
	if _, err := w.api.UpdateView(form, "", "old-hash", opened.ID); err == nil || err.Error() != "hash_conflict" {
		t.Errorf("got %v, want hash_conflict", err)
	}
	updated, err := w.api.UpdateView(modal(input("title", "text", "New label")), "", opened.Hash, opened.ID)
	if err != nil || updated.State.Values["title"]["text"].Value != "keys leaked" {
		t.Errorf("got %+v, %v, want the typed text preserved", updated, err)
	}
	raw, _ := json.Marshal(slack.NewPushViewSubmissionResponse(&form))
	answer = string(raw)
	s, err := me.Submit(opened.ID, nil)
	if err != nil || s.Outcome != chat.SubmitPushed || s.View.Previous != opened.ID {
		t.Fatalf("got %+v, %v", s, err)
	}
	if _, err := w.api.PushView(triggers[len(triggers)-1], form); err != nil {
		t.Fatal(err)
	}
	if err := me.ClickView(w.ws.OpenViews(ada)[2].ID, chat.Action{ID: "text", Value: "typed"}); err != nil {
		t.Fatal(err)
	}
	tr = openTrigger()
	if _, err := w.api.PushView(tr, form); err == nil || err.Error() != "push_limit_reached" {
		t.Errorf("got %v, want push_limit_reached", err)
	}
	answer = ""
	top := w.ws.OpenViews(ada)[2]
	if s, err := me.Submit(top.ID, nil); err != nil || s.Outcome != chat.SubmitClosed || len(w.ws.OpenViews(ada)) != 2 {
		t.Errorf("got %+v, %v", s, err)
	}
	if err := me.CloseView(w.ws.OpenViews(ada)[1].ID, true); err != nil || len(w.ws.OpenViews(ada)) != 0 {
		t.Errorf("close all views: %v", err)
	}
	if in.Type != slack.InteractionTypeViewClosed || !in.IsCleared {
		t.Errorf("got interaction %s, want view_closed", in.Type)
	}
	if _, err := w.api.UpdateView(form, "", "", opened.ID); err == nil || err.Error() != "not_found" {
		t.Errorf("got %v for a closed view, want not_found", err)
	}
	a.checkSignatures(t)
}

func TestPublishView(t *testing.T) {
	a, with := startApp(t)
	w := newFixture(t, with)
	opened := make(chan *slackevents.AppHomeOpenedEvent, 4)
	a.events = func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		e, err := slackevents.ParseEvent(body, slackevents.OptionNoVerifyToken())
		if err != nil {
			t.Error(err)
		}
		if h, ok := e.InnerEvent.Data.(*slackevents.AppHomeOpenedEvent); ok {
			opened <- h
		}
	}
	if v, err := w.ws.Act(ada).OpenHome(); err != nil || v != nil {
		t.Fatalf("got %v, %v", v, err)
	}
	if e := <-opened; e.User != ada || e.Tab != "home" {
		t.Errorf("got %+v", e)
	}
	home := slack.HomeTabViewRequest{Type: slack.VTHomeTab, Blocks: slack.Blocks{BlockSet: []slack.Block{slack.NewHeaderBlock(plain("Open incidents"))}}}
	v, err := w.api.PublishView(ada, home, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.api.PublishView(ada, home, "stale"); err == nil || err.Error() != "hash_conflict" {
		t.Errorf("got %v", err)
	}
	if again, err := w.api.PublishView(ada, home, v.Hash); err != nil || again.ID != v.ID || again.Hash == v.Hash {
		t.Errorf("got %+v, %v", again, err)
	}
	if v, err := w.ws.Act(ada).OpenHome(); err != nil || v == nil || !strings.Contains(string(v.Blocks), "Open incidents") {
		t.Errorf("got %+v, %v", v, err)
	}
}

// TestSubmit_EveryInput fills in every kind of input as a page does and reads the submission with slack-go.
func TestSubmit_EveryInput(t *testing.T) {
	a, with := startApp(t)
	w := newFixture(t, with)
	var in slack.InteractionCallback
	a.interactions = func(_ http.ResponseWriter, r *http.Request) { in = interactionOf(t, r) }
	trigger := ""
	a.commands = func(_ http.ResponseWriter, r *http.Request) { trigger = r.FormValue("trigger_id") }
	if _, err := w.ws.Act(ada).Command(general, "/incident", "open"); err != nil {
		t.Fatal(err)
	}
	option := func(v string) *slack.OptionBlockObject {
		return slack.NewOptionBlockObject(v, plain("Severity "+v), nil)
	}
	field := func(name string, e slack.BlockElement) slack.Block {
		return slack.NewInputBlock(name, plain(name), nil, e)
	}
	number := slack.NewNumberInputBlockElement(nil, "a", false)
	number.MinValue = "1"
	note := input("note", "a", "Note")
	note.Optional = true
	v, err := w.api.OpenView(trigger, modal(
		field("severity", slack.NewOptionsSelectBlockElement(slack.OptTypeStatic, nil, "a", option("sev1"), option("sev2"))),
		field("teams", slack.NewCheckboxGroupsBlockElement("a", option("legal"), option("security"))),
		field("who", slack.NewOptionsMultiSelectBlockElement(slack.MultiOptTypeUser, nil, "a")),
		field("day", slack.NewDatePickerBlockElement("a")),
		field("at", slack.NewDateTimePickerBlockElement("a")),
		field("count", number), field("mail", slack.NewEmailTextInputBlockElement(nil, "a")), note,
	))
	if err != nil {
		t.Fatal(err)
	}
	fill := func(block string, value any) map[string]map[string]any {
		return map[string]map[string]any{block: {"a": value}}
	}
	me := w.ws.Act(ada)
	if _, err := me.Submit(v.ID, fill("severity", "sev9")); err == nil {
		t.Error("an unknown option was accepted")
	}
	bad := map[string]map[string]any{"count": {"a": "0"}, "mail": {"a": "invalid"}}
	s, err := me.Submit(v.ID, bad)
	if err != nil || !s.Client || len(s.Errors) != 7 || s.Errors["note"] != "" || !strings.Contains(s.Errors["count"], "no less than 1") {
		t.Errorf("got %+v, %v, want 7 client errors", s, err)
	}
	all := map[string]map[string]any{"severity": {"a": "sev1"}, "teams": {"a": []string{"legal", "security"}}, "who": {"a": []any{ada, ben}},
		"day": {"a": "2026-11-20"}, "at": {"a": "1795165200"}, "count": {"a": "3"}, "mail": {"a": "ada@example.com"}}
	if s, err = me.Submit(v.ID, all); err != nil || s.Outcome != chat.SubmitClosed {
		t.Fatalf("got %+v, %v", s, err)
	}
	got := in.View.State.Values
	if got["severity"]["a"].SelectedOption.Value != "sev1" || len(got["teams"]["a"].SelectedOptions) != 2 || len(got["who"]["a"].SelectedUsers) != 2 ||
		got["day"]["a"].SelectedDate != "2026-11-20" || got["at"]["a"].SelectedDateTime != 1795165200 || got["count"]["a"].Value != "3" || got["note"]["a"].Value != "" {
		t.Errorf("got values %+v", got)
	}
}

func TestViews_ExternalIDsAndHomeButtons(t *testing.T) {
	a, with := startApp(t)
	w := newFixture(t, with)
	triggers := make(chan string, 8)
	var in slack.InteractionCallback
	a.interactions = func(_ http.ResponseWriter, r *http.Request) {
		in = interactionOf(t, r)
		triggers <- in.TriggerID
	}
	triggerOf := func(user string) string {
		if err := w.ws.Act(user).Shortcut("declare"); err != nil || in.Type != slack.InteractionTypeShortcut {
			t.Fatalf("shortcut: %v, %s", err, in.Type)
		}
		return <-triggers
	}
	form := modal(input("title", "text", "Title"))
	form.ExternalID = "declare-1"
	if _, err := w.api.OpenView(triggerOf(ada), form); err != nil {
		t.Fatal(err)
	}
	if _, err := w.api.OpenView(triggerOf(ben), form); err == nil || err.Error() != "duplicate_external_id" {
		t.Errorf("got %v", err)
	}
	form.Title = plain("Declared")
	if _, err := w.api.UpdateView(form, "declare-1", "", ""); err != nil || w.ws.OpenViews(ada)[0].Title != "Declared" {
		t.Errorf("got %v", err)
	}
	if _, err := w.api.PushView(triggerOf(ben), modal(input("b", "a", "L"))); err == nil || err.Error() != "not_found" {
		t.Errorf("got %v for a push without a modal, want not_found", err)
	}
	home, err := w.api.PublishView(ben, slack.HomeTabViewRequest{Type: slack.VTHomeTab, Blocks: slack.Blocks{BlockSet: []slack.Block{
		slack.NewActionBlock("row", slack.NewButtonBlockElement("open", "INC-1", plain("Open")))}}}, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.ws.Act(ben).ClickView(home.ID, chat.Action{ID: "open"}); err != nil || in.View.ID != home.ID || in.Container.Type != "view" {
		t.Errorf("got %v, %+v", err, in.Container)
	}
	ts := w.post(general, "card")
	if err := w.ws.Act(ben).MessageShortcut("add_note", general, ts); err != nil || in.Type != slack.InteractionTypeMessageAction || in.Message.Timestamp != ts {
		t.Errorf("got %v, %s", err, in.Type)
	}
}
