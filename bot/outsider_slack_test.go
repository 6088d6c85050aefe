package bot

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tocsin/bot/command"
	"tocsin/bot/control"
	"tocsin/bot/incident"
	"tocsin/bot/redact"
	"tocsin/bot/response"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/secret"
	"tocsin/bot/slack"
	"tocsin/store"
	"tocsin/store/storetest"
)

const slackCanary = "canary-title"

// slackOutsiders is a desk on a real database behind Slack, with the restricted
// INC-1. Ada is a responder, Ben is known and has no access, Eve is unknown.
type slackOutsiders struct {
	*testing.T
	ws      *chat.Workspace
	slack   *slack.Slack
	desk    *response.Desk
	store   *store.Store
	channel string
	api     string
}

func newSlackOutsiders(t *testing.T) *slackOutsiders {
	t.Helper()
	cfg := chat.Config{People: []chat.Person{{ID: "U0ADA", Name: "ada"}, {ID: "U0BEN", Name: "ben"}, {ID: "U0EVE", Name: "eve", Guest: chat.GuestMulti}}}
	cfg.Limits.Off = true
	e := &slackOutsiders{T: t, ws: chat.New(cfg)}
	base, err := e.ws.Start("")
	if err != nil {
		t.Fatal(err)
	}
	e.api = base + "/api/"
	set := e.ws.Config()
	if e.slack, err = slack.New(slack.Config{BotToken: secret.New(set.BotToken), SigningSecret: secret.New(set.SigningSecret), APIURL: e.api}, slack.Deps{Redact: redact.New(redact.Options{}).Text, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	if err := e.slack.Check(t.Context()); err != nil {
		t.Log(err) // the sandbox grants the scopes that its tests need
	}
	keys, err := store.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	if e.store, err = store.Open(t.Context(), store.Config{URL: storetest.SQLite(t)}, store.Deps{Keyset: keys, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	e.desk, err = response.New(response.Options{Store: e.store, Redact: redact.New(redact.Options{}), Policy: incident.Policy{NoPageFrom: incident.Sev4},
		RenderPostmortem: func(response.Postmortem) (incident.Document, error) {
			return incident.Document{}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	person := func(id incident.PersonID, slackID string, responder bool) incident.Person {
		return incident.Person{ID: id, Name: "Name of " + string(id), Responder: responder, Identities: []incident.Identity{{Provider: incident.ProviderSlack, ID: slackID}}}
	}
	dir := incident.Directory{People: []incident.Person{person("ada", "U0ADA", true), person("ben", "U0BEN", false)}, Teams: []incident.Team{{Name: incident.Legal}}}
	if err := e.desk.PutDirectory(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if _, err := e.desk.Do(t.Context(), incident.Command{Verb: incident.VerbOpen, Title: slackCanary, Via: incident.ViaSlack,
		By: incident.Identity{Provider: incident.ProviderSlack, ID: "U0ADA"}}); err != nil {
		t.Fatal(err)
	}
	e.slack.Serve(e.desk)
	server := httptest.NewServer(e.slack.Handler())
	e.ws.SetDelivery(chat.ModeHTTP, server.URL+"/slack/commands", server.URL+"/slack/interactions", server.URL+"/slack/events")
	t.Cleanup(func() {
		server.Close()
		e.slack.Wait()
		_ = e.ws.Close()
		_ = e.store.Close()
	})
	if e.channel, err = e.ws.Act("U0ADA").CreateChannel("shared", false); err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"U0BEN", "U0EVE", set.Bot.UserID} {
		if err := e.ws.Act("U0ADA").Invite(e.channel, user); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

// post sends a signed form to Slack under test and returns the response body.
func (e *slackOutsiders) post(path string, form url.Values) string {
	e.Helper()
	body := form.Encode()
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("X-Slack-Request-Timestamp", stamp)
	r.Header.Set("X-Slack-Signature", chat.Sign(e.ws.Config().SigningSecret, stamp, []byte(body)))
	w := httptest.NewRecorder()
	e.slack.Handler().ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		e.Fatalf("%s: got %d %s", path, w.Code, w.Body)
	}
	return w.Body.String()
}

// answers returns the new answers to a person since the last call: ephemeral messages
// and open forms, which it closes.
func (e *slackOutsiders) answers(user string, seen int) string {
	e.Helper()
	e.slack.Wait()
	var out []string
	for _, m := range e.ws.Ephemerals(user)[seen:] {
		out = append(out, m.Text+string(m.Blocks))
	}
	for _, v := range e.ws.OpenViews(user) {
		out = append(out, v.Title+" "+string(v.Blocks))
		if err := e.ws.Act(user).CloseView(v.ID, true); err != nil {
			e.Fatal(err)
		}
	}
	return strings.Join(out, "\n")
}

// typed types a command and returns all that the person sees of it.
func (e *slackOutsiders) typed(user, text string) string {
	e.Helper()
	seen := len(e.ws.Ephemerals(user))
	if _, err := e.ws.Act(user).Command(e.channel, "/incident", text); err != nil {
		e.Fatalf("%s typed %q: %v", user, text, err)
	}
	return e.answers(user, seen)
}

// pressed presses a button with a forged value.
func (e *slackOutsiders) pressed(user, action, value string) string {
	e.Helper()
	blocks, _ := json.Marshal([]any{map[string]any{"type": "actions", "elements": []any{map[string]any{"type": "button", "action_id": action, "value": value,
		"text": map[string]string{"type": "plain_text", "text": "Press"}}}}})
	res, err := http.PostForm(e.api+"chat.postMessage", url.Values{"token": {e.ws.Config().BotToken}, "channel": {e.channel}, "text": {"x"}, "blocks": {string(blocks)}})
	if err != nil {
		e.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	var posted struct {
		TS string `json:"ts"`
	}
	if err != nil || json.Unmarshal(raw, &posted) != nil || posted.TS == "" {
		e.Fatalf("post a button: got %s, %v", raw, err)
	}
	seen := len(e.ws.Ephemerals(user))
	if err := e.ws.Act(user).Click(e.channel, posted.TS, chat.Action{ID: action}); err != nil {
		e.Fatal(err)
	}
	return e.answers(user, seen)
}

// submitted submits a form with forged metadata and returns the response.
func (e *slackOutsiders) submitted(user string, verb incident.Verb, id incident.ID) string {
	e.Helper()
	input := func(name string) map[string]any {
		return map[string]any{name: map[string]any{"type": "plain_text_input", "value": "sev1", "selected_user": "U0ADA", "selected_date": "2030-01-01",
			"selected_option": map[string]string{"value": "personal_data"}}}
	}
	values := map[string]any{}
	for _, name := range []string{"text", "value", "title", "fact", "person", "owner", "due", "name", "sha256"} {
		values[name] = input(name)
	}
	payload, _ := json.Marshal(map[string]any{"type": "view_submission", "user": map[string]string{"id": user, "team_id": e.ws.Config().Team.ID},
		"view": map[string]any{"id": "V1", "hash": fmt.Sprint(verb, id, user), "callback_id": verb, "private_metadata": fmt.Sprintf(`{"i":%d,"d":"legal","s":"a/b","x":"sha256:00"}`, id),
			"blocks": []any{map[string]string{"type": "input", "block_id": "text"}}, "state": map[string]any{"values": values}}})
	return e.post("/slack/interactions", url.Values{"payload": {string(payload)}})
}

// randomBlockID is the ID that the sandbox gives a block without one.
var randomBlockID = regexp.MustCompile(`"block_id":"[A-Za-z0-9+/]{6}"`)

// TestSlackOutsider_SameAnswerWhetherItExists compares the answers to typed
// commands, buttons and forms about a restricted incident with those about one that
// does not exist.
func TestSlackOutsider_SameAnswerWhetherItExists(t *testing.T) {
	e := newSlackOutsiders(t)
	const missing = incident.ID(99)
	same := func(user, what string, ask func(id incident.ID) string) {
		t.Helper()
		got, want := ask(1), ask(missing)
		if strings.Contains(got, slackCanary) {
			t.Errorf("%s, %s: got the title", user, what)
		}
		strip := func(s string, id incident.ID) string {
			return randomBlockID.ReplaceAllString(strings.ReplaceAll(s, id.String(), "X"), "")
		}
		if strip(got, 1) != strip(want, missing) || got == "" {
			t.Errorf("%s, %s:\n if it exists: %s\n if not:       %s", user, what, got, want)
		}
	}
	values := map[incident.Verb]string{
		incident.VerbSetSeverity: "|sev1", incident.VerbStepDone: "|a/b", incident.VerbStepSkip: "|a/b", incident.VerbSign: "|legal|sha256:00",
		incident.VerbObject: "|legal|sha256:00", incident.VerbWithdraw: "|O1", incident.VerbAnswer: "|legal", incident.VerbEndorseAccess: "|ada",
		incident.VerbApproveUpdate: "|U1", incident.VerbStartPlaybook: "|data-exposure", incident.VerbFinishAction: "|A1",
	}
	buttons := map[string]string{}
	for _, row := range incident.Transitions {
		if row.Verb != incident.VerbOpen && len(command.Typed(row.Verb)) > 0 {
			buttons[slack.ActionID(row.Verb)] = values[row.Verb]
		}
	}
	for _, user := range []string{"U0BEN", "U0EVE"} {
		for _, v := range command.Specs() {
			if v.Name == "open" || v.Name == "help" {
				continue
			}
			for _, example := range append(slices.Clone(v.Examples), v.Name) {
				words := strings.Fields(example)
				if !v.NeedsIncident {
					continue
				}
				rest := strings.ReplaceAll(strings.Join(words[1:], " "), "INC-42", "")
				same(user, example, func(id incident.ID) string { return e.typed(user, words[0]+" "+id.String()+" "+rest) })
			}
		}
		same(user, "merge into", func(id incident.ID) string { return e.typed(user, "merge INC-98 into "+id.String()) })
		for _, question := range []string{"timeline", "status", "playbook", "record show"} {
			same(user, "question "+question, func(id incident.ID) string { return e.pressed(user, "ask/0", question+" "+id.String()) })
		}
		same(user, "promote into", func(id incident.ID) string { return e.typed(user, "alerts promote A1 sev1 into "+id.String()) })
		for _, action := range slices.Sorted(maps.Keys(buttons)) {
			same(user, "button "+action, func(id incident.ID) string { return e.pressed(user, action, id.String()+buttons[action]) })
		}
		for _, row := range incident.Transitions {
			if row.Verb == incident.VerbOpen || len(e.submitted(user, row.Verb, missing)) == 0 { // no form
				continue
			}
			same(user, "form "+string(row.Verb), func(id incident.ID) string { return e.submitted(user, row.Verb, id) })
		}
	}
	for _, text := range []string{"list", "list all", "list triage"} {
		if got := e.typed("U0BEN", text); !strings.Contains(got, "INC-1") || strings.Contains(got, slackCanary) {
			t.Errorf("%s by Ben: got %s", text, got)
		}
		if got := e.typed("U0EVE", text); strings.Contains(got, "INC-") || !strings.Contains(got, "is not linked to a person") {
			t.Errorf("%s by Eve: got %s", text, got)
		}
	}
	for _, user := range []string{"U0BEN", "U0EVE"} {
		for _, text := range []string{"", "my", "actions my", "actions overdue", "actions all"} {
			if got := e.typed(user, text); strings.Contains(got, "INC-1") || strings.Contains(got, slackCanary) || got == "" {
				t.Errorf("%q by %s: got %s", text, user, got)
			}
		}
	}
	if got := e.typed("U0EVE", "sign leagl"); strings.Contains(got, "legal") {
		t.Errorf("a typing error of Eve: got %s, want no department", got)
	}
	if _, err := e.ws.Act("U0EVE").OpenHome(); err != nil {
		t.Fatal(err)
	}
	e.slack.Wait()
	home, _ := e.ws.Home("U0EVE")
	if strings.Contains(string(home.Blocks), "INC-") {
		t.Errorf("home tab of Eve: got %s", home.Blocks)
	}
}

// TestSlackOutsider_Reports opens an incident as Eve, typed and by the form, and
// checks the answer, the timeline and that she gets nothing more.
func TestSlackOutsider_Reports(t *testing.T) {
	e := newSlackOutsiders(t)
	const answer = "Your report was saved"
	if got := e.typed("U0EVE", "open sev1 --public The root key leaked"); !strings.Contains(got, answer) || strings.Contains(got, "INC-") {
		t.Errorf("open by Eve: got %s, want %q without a number", got, answer)
	}
	if _, err := e.ws.Act("U0EVE").Command(e.channel, "/incident", "open"); err != nil {
		t.Fatal(err)
	}
	e.slack.Wait()
	form := e.ws.OpenViews("U0EVE")[0]
	out, err := e.ws.Act("U0EVE").Submit(form.ID, map[string]map[string]any{"title": {"title": "And another one"}, "severity": {"severity": "sev1"}})
	if err != nil || out.Outcome != chat.SubmitUpdated || !strings.Contains(string(out.View.Blocks), answer) {
		t.Errorf("form of Eve: got %+v, %v", out, err)
	}
	team := e.ws.Config().Team.ID
	v, err := e.desk.Show(context.Background(), incident.Identity{Provider: incident.ProviderSlack, ID: "U0ADA"}, 2, "on call")
	if err != nil || v.Incident.Severity != incident.Sev4 || !v.Incident.Restricted || v.Incident.NeedsPage() || v.Incident.Status != incident.Triage {
		t.Fatalf("got %+v, %v", v.Incident, err)
	}
	opened, _ := v.Timeline[0].Sentence()
	noted, _ := v.Timeline[len(v.Timeline)-1].Sentence()
	for _, sentence := range []string{opened.String(), noted.String()} {
		for _, part := range []string{"“eve”", "team " + team, "account U0EVE", "unknown to Tocsin, name not verified"} {
			if !strings.Contains(sentence, part) {
				t.Errorf("got %q, want %q in it", sentence, part)
			}
		}
	}
	for _, text := range []string{"status INC-2", "note INC-2 more", "list"} {
		if got := e.typed("U0EVE", text); !strings.Contains(got, "is not linked to a person") || strings.Contains(got, "leaked") {
			t.Errorf("%s by Eve: got %s", text, got)
		}
	}
}

// TestSlackOutsider_OtherWorkspace sends commands of a user of another workspace
// whose ID is configured for another person.
func TestSlackOutsider_OtherWorkspace(t *testing.T) {
	e := newSlackOutsiders(t)
	own := e.ws.Config().Team.ID
	for _, test := range []struct {
		team, enterprise string
		foreign          bool
	}{{own, "", false}, {"", "", false}, {"T0OTHER", "", true}, {"T0OTHER", "E0OTHER", true}} {
		form := url.Values{"command": {"/incident"}, "text": {"note INC-1 hello " + test.team + test.enterprise}, "user_id": {"U0ADA"}, "user_name": {"ada"},
			"team_id": {test.team}, "enterprise_id": {test.enterprise}, "channel_id": {e.channel}, "trigger_id": {"1.2." + test.team + test.enterprise}}
		if got := e.post("/slack/commands", form); strings.Contains(got, "is not linked to a person") != test.foreign {
			t.Errorf("command of team %q, organization %q: got %s", test.team, test.enterprise, got)
		}
		payload, _ := json.Marshal(map[string]any{"type": "view_submission", "user": map[string]string{"id": "U0ADA", "team_id": test.team}, "team": map[string]string{"id": own},
			"enterprise": map[string]string{"id": test.enterprise}, "view": map[string]any{"id": "V1", "hash": test.team + test.enterprise, "callback_id": "note", "private_metadata": `{"i":1}`,
				"blocks": []any{map[string]string{"type": "input", "block_id": "text"}}, "state": map[string]any{"values": map[string]any{"text": map[string]any{"text": map[string]string{"value": "hi"}}}}}})
		if got := e.post("/slack/interactions", url.Values{"payload": {string(payload)}}); strings.Contains(got, "is not linked to a person") != test.foreign {
			t.Errorf("form of team %q, organization %q: got %s", test.team, test.enterprise, got)
		}
	}
}

// TestControlOutsider gives commands as a local user without a person. The answers
// contain no names.
func TestControlOutsider(t *testing.T) {
	e := newSlackOutsiders(t)
	c := control.NewServer(control.Options{Desk: func() control.Desk { return e.desk }, Store: e.store, Zone: time.UTC, Clock: time.Now})
	mallory := incident.Identity{Provider: incident.ProviderLocal, ID: "mallory"}
	ask := func(command string) (string, error) {
		reply, err := c.Incident(t.Context(), mallory, control.Request{Command: command, Key: "cli/" + command})
		out, _ := json.Marshal(reply)
		return string(out), err
	}
	for _, command := range []string{"status INC-1", "status INC-99", "list", "note INC-1 x", "sign leagl", "role scribe @aba", "alerts", "explain A1", "maintenance"} {
		if out, err := ask(command); err == nil || err.Error() != incident.NotLinked(mallory).Error() || strings.Contains(out, "Name of") {
			t.Errorf("%s: got %s, %v, want only that the account has no person", command, out, err)
		}
	}
	out, err := ask("open sev1 a key leaked")
	if err != nil || !strings.Contains(out, `"reported":true`) || strings.Contains(out, "Name of") || strings.Contains(out, "leaked") {
		t.Errorf("open: got %s, %v", out, err)
	}
	v, err := e.desk.Show(t.Context(), incident.Identity{Provider: incident.ProviderSlack, ID: "U0ADA"}, 2, "on call")
	if err != nil || v.Incident.Severity != incident.Sev4 || v.Incident.Reporter == nil || v.Incident.Reporter.User != "mallory" {
		t.Errorf("got %+v, %v", v.Incident, err)
	}
}

// TestControlAdministrator_NamesAReplacement gives the command as an administrator
// whom the configuration does not list under people. The answer has nothing else of
// the restricted incident.
func TestControlAdministrator_NamesAReplacement(t *testing.T) {
	e := newSlackOutsiders(t)
	options := e.desk.Options
	options.Administrators = []string{"root"}
	desk, err := response.New(options)
	if err != nil {
		t.Fatal(err)
	}
	c := control.NewServer(control.Options{Desk: func() control.Desk { return desk }, Store: e.store, Zone: time.UTC, Clock: time.Now})
	root := incident.Identity{Provider: incident.ProviderLocal, ID: "root"}
	ask := func(command string) (control.Reply, error) {
		return c.Incident(t.Context(), root, control.Request{Command: command, Key: "cli/" + command})
	}
	reply, err := ask("replacement INC-1 legal ada because the only signer is a suspect")
	if err != nil || len(reply.Result.Events) != 1 || reply.Names["ada"] == "" {
		t.Fatalf("got %+v, %v, want the event and the names", reply, err)
	}
	if i := reply.Result.Incident; i.ID != 1 || i.Title != "" || len(i.Alerts)+len(i.Roles)+len(i.Delegations) > 0 {
		t.Errorf("got %+v, want nothing that only readers see", i)
	}
	for _, command := range []string{"status INC-1", "note INC-1 x", "role INC-1 scribe @aba"} {
		if _, err := ask(command); err == nil || err.Error() != incident.NotLinked(root).Error() {
			t.Errorf("%s: got %v, want only that the account has no person", command, err)
		}
	}
}
