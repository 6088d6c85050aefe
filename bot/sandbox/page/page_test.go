package page_test

import (
	"bufio"
	"net/http"
	"strings"
	"testing"

	"tocsin/bot/sandbox/page"
)

func TestState_DependsOnPerson(t *testing.T) {
	w := newFixture(t)
	first := w.get("/api/state")
	if got := names(first.list("people"), "id"); got != lena+" "+ada+" "+ben {
		t.Errorf("got people %q, want configured people first and no deactivated ones", got)
	}
	if got := first.str("user"); got != lena {
		t.Errorf("got default user %q, want %q", got, lena)
	}
	for user, want := range map[string]string{ada: "general inc-42 other", ben: "general other"} {
		if got := names(w.get("/api/state?user="+user).list("channels"), "name"); got != want {
			t.Errorf("got channels %q for %s, want %q", got, user, want)
		}
	}
	me := w.get("/api/state?user=" + ada)
	for _, p := range me.list("people") {
		if p.str("id") == ada && (p.str("department") != "security" || p.str("note") != "on call" || p.str("pager") != "PADA") {
			t.Errorf("got person %v", p.v)
		}
	}
	if me.list("channels")[2].at("member").v != false {
		t.Error("got member true for ada in #other, want false")
	}
	w.request(http.MethodGet, "/api/state?user=U0GONE", nil, http.StatusNotFound)
	w.request(http.MethodGet, "/api/channel?id="+locked+"&user="+ben, nil, http.StatusNotFound)
	w.request(http.MethodGet, "/api/channel?id="+locked+"&user="+ada, nil, http.StatusOK)
}

func TestChannel_MessagesThreadsAndEphemerals(t *testing.T) {
	w := newFixture(t)
	ts := w.post("/api/message", m{"user": ada, "channel": general, "text": "a < b, @ben"}).str("message", "ts")
	w.post("/api/message", m{"user": ben, "channel": general, "text": "yes", "thread_ts": ts})
	w.api("chat.postEphemeral", m{"channel": general, "user": ada, "text": "for you"})
	w.api("chat.postEphemeral", m{"channel": general, "user": ada, "text": "aside", "thread_ts": ts})
	w.post("/api/react", m{"user": ben, "channel": general, "ts": ts, "name": "eyes"})
	w.post("/api/pin", m{"user": ben, "channel": general, "ts": ts})
	w.api("bookmarks.add", m{"channel_id": general, "title": "Runbook", "type": "link", "link": "https://example.com"})

	seen := w.get("/api/channel?user=" + ada + "&id=" + general)
	list := seen.list("messages")
	if len(list) != 2 || list[0].str("text") != "a &lt; b, <@U0BEN>" || list[0].str("replies") != "1" || list[1].at("ephemeral").v != true {
		t.Fatalf("got channel %v", seen.v)
	}
	if seen.str("pins", 0, "message", "ts") != ts || seen.str("bookmarks", 0, "title") != "Runbook" || list[0].str("reactions", 0, "name") != "eyes" {
		t.Errorf("got pins, bookmarks and reactions %v", seen.v)
	}
	if n := len(w.get("/api/channel?user=" + ben + "&id=" + general).list("messages")); n != 1 {
		t.Errorf("got %d messages for ben, want 1 without the ephemeral one", n)
	}
	if got := names(w.get("/api/thread?user="+ada+"&channel="+general+"&ts="+ts).list("messages"), "text"); got != "a &lt; b, <@U0BEN> yes aside" {
		t.Errorf("got thread %q", got)
	}
	if code := w.postError("/api/message", m{"user": ada, "channel": other, "text": "x"}, http.StatusUnprocessableEntity); code != "refused" {
		t.Errorf("got code %q for a post without membership, want refused", code)
	}
	w.post("/api/join", m{"user": ada, "channel": other})
	w.post("/api/message", m{"user": ada, "channel": other, "text": "x"})
	w.postError("/api/message", m{"user": ada, "channel": other, "text": "  "}, http.StatusBadRequest)
}

func TestMessage_WireForm(t *testing.T) {
	for typed, want := range map[string]string{
		"hello":                           "hello",
		"@ada and @lena.roth.":            "<@U0ADA> and <@U0LENA>.",
		"(@ben) @nobody mail a@ben.com":   "(<@U0BEN>) @nobody mail a@ben.com",
		"#inc-42 #nowhere":                "<#C0LOCKED> #nowhere",
		"@security please":                "<!subteam^S0SEC> please",
		"<@U0BEN|ben> <@U0NOT> <!here>":   "<@U0BEN> &lt;@U0NOT&gt; &lt;!here&gt;",
		"R&D <script> <https://x|bank>":   "R&amp;D &lt;script&gt; &lt;https://x|bank&gt;",
		"@ada,@ben":                       "<@U0ADA>,<@U0BEN>",
		"https://example.com/@ada#inc-42": "https://example.com/@ada#inc-42",
	} {
		w := newFixture(t)
		if got := w.post("/api/message", m{"user": ada, "channel": general, "text": typed}).str("message", "text"); got != want {
			t.Errorf("got %q for %q, want %q", got, typed, want)
		}
	}
}

func TestCommandsAndForms(t *testing.T) {
	w := newFixture(t)
	input := func(block string) m {
		return m{"type": "input", "block_id": block, "label": m{"type": "plain_text", "text": block}, "element": m{"type": "plain_text_input", "action_id": "v"}}
	}
	view := func(title string) m {
		return m{"type": "modal", "callback_id": "record", "title": m{"type": "plain_text", "text": title}, "submit": m{"type": "plain_text", "text": "Save"},
			"notify_on_close": true, "blocks": []m{input("summary"), input("impact")}}
	}
	w.command = func(form map[string]string) any {
		if strings.HasPrefix(form["text"], "record") {
			w.api("views.open", m{"trigger_id": form["trigger_id"], "view": view("Closing record")})
			return nil
		}
		return m{"text": "got " + form["text"]}
	}
	if got := w.post("/api/command", m{"user": ada, "channel": general, "text": "/incident role scribe @ben"}).str("message", "text"); got != "got role scribe <@U0BEN|ben>" {
		t.Errorf("got answer %q", got)
	}
	w.postError("/api/command", m{"user": ada, "channel": general, "text": "incident list"}, http.StatusBadRequest)

	if got := w.post("/api/command", m{"user": ada, "channel": locked, "text": "/incident record"}); got.at("message").v != nil {
		t.Errorf("got answer %v for a command that opens a form, want none", got.v)
	}
	id := w.get("/api/state?user="+ada).str("views", 0, "id")
	if id == "" || len(w.get("/api/state?user="+ben).list("views")) != 0 {
		t.Fatal("the form is not open for ada only")
	}
	values := func(summary, impact string) m {
		return m{"user": ada, "view": id, "values": m{"summary": m{"v": summary}, "impact": m{"v": impact}}}
	}
	if got := w.post("/api/submit", values("", "none")); got.str("outcome") != "errors" || got.str("errors", "summary") == "" || len(w.receivedInteractions()) != 0 {
		t.Errorf("got %v for an empty field, want client errors", got.v)
	}
	w.interaction = func(in map[string]any) any {
		return m{"response_action": "errors", "errors": m{"impact": "who was affected?"}}
	}
	if got := w.post("/api/submit", values("a key leaked", "none")); got.str("errors", "impact") != "who was affected?" {
		t.Errorf("got %v, want the errors of the app", got.v)
	}
	w.interaction = func(in map[string]any) any { return m{"response_action": "push", "view": view("Really?")} }
	if got := w.post("/api/submit", values("a key leaked", "some")); got.str("outcome") != "pushed" {
		t.Errorf("got %v, want outcome pushed", got.v)
	}
	views := w.get("/api/state?user=" + ada).list("views")
	if len(views) != 2 || views[1].str("title") != "Really?" {
		t.Fatalf("got views %v, want 2", views)
	}
	w.interaction = nil
	w.post("/api/close", m{"user": ada, "view": views[1].str("id"), "all": true})
	if n := len(w.get("/api/state?user=" + ada).list("views")); n != 0 {
		t.Errorf("got %d views after closing all, want 0", n)
	}
	w.postError("/api/submit", values("late", "late"), http.StatusUnprocessableEntity)
}

func TestClick_ReachesApp(t *testing.T) {
	w := newFixture(t)
	button := func(id, value string) m {
		return m{"type": "button", "action_id": id, "text": m{"type": "plain_text", "text": id}, "value": value}
	}
	ts, _ := w.api("chat.postMessage", m{"channel": general, "text": "card", "blocks": []m{{"type": "actions", "block_id": "b", "elements": []m{button("ack", "42"),
		{"type": "static_select", "action_id": "sev", "options": []m{{"text": m{"type": "plain_text", "text": "one"}, "value": "sev1"}}}}}}})["ts"].(string)
	w.post("/api/click", m{"user": ben, "channel": general, "ts": ts, "action_id": "ack"})
	w.post("/api/click", m{"user": ben, "channel": general, "ts": ts, "action_id": "sev", "block_id": "b", "value": "sev1"})
	received := w.receivedInteractions()
	if len(received) != 2 {
		t.Fatalf("got %d interactions, want 2", len(received))
	}
	ack, sev := tree{received[0]}, tree{received[1]}
	if ack.str("user", "id") != ben || ack.str("actions", 0, "value") != "42" || sev.str("actions", 0, "selected_option", "value") != "sev1" {
		t.Errorf("got interactions %v, %v", ack.v, sev.v)
	}
	w.postError("/api/click", m{"user": ben, "channel": general, "ts": ts, "action_id": "none"}, http.StatusUnprocessableEntity)

	w.api("views.publish", m{"user_id": ada, "view": m{"type": "home", "blocks": []m{{"type": "actions", "elements": []m{button("go", "1")}}}}})
	home := w.post("/api/home", m{"user": ada})
	w.post("/api/click", m{"user": ada, "view": home.str("view", "id"), "action_id": "go"})
	if got := w.receivedInteractions(); len(got) != 3 || w.get("/api/home?user="+ada).str("view", "id") == "" || w.get("/api/home?user="+ben).at("view").v != nil {
		t.Errorf("got interactions %v, want one of the Home tab", got)
	}
	if id := w.post("/api/dm", m{"user": ada}).str("channel"); w.get("/api/channel?user="+ada+"&id="+id).str("channel", "with") != bot {
		t.Error("the DM does not contain the app")
	}
}

func TestErrors_AppFailsOrOffline(t *testing.T) {
	w := newFixture(t)
	w.ws.SetDelivery("", "http://127.0.0.1:1/commands", "", "")
	if code := w.postError("/api/command", m{"user": ada, "channel": general, "text": "/incident list"}, http.StatusBadGateway); code == "" {
		t.Error("got an empty error code")
	}
	w.post("/api/faults", m{"name": "slack-offline", "on": true})
	if code := w.postError("/api/command", m{"user": ada, "channel": general, "text": "/incident list"}, http.StatusServiceUnavailable); code != "offline" {
		t.Errorf("got code %q, want offline", code)
	}
}

func TestHandler_RejectsOtherHostsAndOrigins(t *testing.T) {
	w := newFixture(t, func(c *page.Config) { c.Hosts = []string{"demo.example.com"} })
	try := func(method, host string, header map[string]string) int {
		req, err := http.NewRequestWithContext(t.Context(), method, w.url+"/api/faults", strings.NewReader(`{"clear":true}`))
		if method == http.MethodGet {
			req, err = http.NewRequestWithContext(t.Context(), method, w.url+"/api/state", nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		if host != "" {
			req.Host = host
		}
		for k, v := range header {
			req.Header.Set(k, v)
		}
		res, _ := w.do(req)
		return res.StatusCode
	}
	for host, want := range map[string]int{"": 200, "localhost:7000": 200, "[::1]:80": 200, "LOCALHOST": 200, "demo.example.com": 200, "evil.example.com": 421, "127.0.0.1.nip.io": 421, "10.0.0.1": 421} {
		if got := try(http.MethodGet, host, nil); got != want {
			t.Errorf("host %q: got %d, want %d", host, got, want)
		}
	}
	if got := try(http.MethodPost, "", map[string]string{"Sec-Fetch-Site": "cross-site"}); got != http.StatusForbidden {
		t.Errorf("POST from another site: got %d, want 403", got)
	}
	if got := try(http.MethodPost, "", map[string]string{"Sec-Fetch-Site": "same-origin"}); got != http.StatusOK {
		t.Errorf("POST from the page: got %d, want 200", got)
	}
	w.postError("/api/message", m{"user": ada, "chanel": general}, http.StatusBadRequest)
}

func TestEvents_ChangesAndClose(t *testing.T) {
	w := newFixture(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+"/api/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	lines := bufio.NewScanner(res.Body)
	waitForEvent := func(cause string) {
		t.Helper()
		for lines.Scan() {
			if lines.Text() == "event: change" {
				return
			}
		}
		t.Fatalf("the stream ended before the event for %s", cause)
	}
	waitForEvent("the start")
	w.post("/api/message", m{"user": ada, "channel": general, "text": "hello"})
	waitForEvent("a message")
	w.post("/api/faults", m{"name": "mail-550", "on": true})
	waitForEvent("a switch")
	w.pager.SetOnCall("PSEC", "PBEN")
	waitForEvent("the pager")
	if err := w.page.Close(); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
		// read buffered events until the stream ends
	}
}
