package page_test

import (
	"bufio"
	"net/http"
	"net/smtp"
	"strings"
	"testing"

	"tocsin/bot/sandbox/feed"
	"tocsin/bot/sandbox/page"
)

func TestStateIsWhatThePersonSees(t *testing.T) {
	w := newWorld(t)
	first := w.get("/api/state")
	if got := names(first.list("people"), "id"); got != lena+" "+ada+" "+ben {
		t.Errorf("people %q: those of the configuration come first, who has left not at all", got)
	}
	if got := first.str("user"); got != lena {
		t.Errorf("without a user, the page is for %q", got)
	}
	for user, want := range map[string]string{ada: "general inc-42 other", ben: "general other"} {
		if got := names(w.get("/api/state?user="+user).list("channels"), "name"); got != want {
			t.Errorf("%s sees %q, want %q", user, got, want)
		}
	}
	me := w.get("/api/state?user=" + ada)
	for _, p := range me.list("people") {
		if p.str("id") == ada && (p.str("department") != "security" || p.str("note") != "on call" || p.str("pager") != "PADA") {
			t.Errorf("ada is shown as %v", p.v)
		}
	}
	if me.list("channels")[2].at("member").v != false {
		t.Error("ada is shown as a member of #other")
	}
	w.ask(http.MethodGet, "/api/state?user=U0GONE", nil, http.StatusNotFound)
	w.ask(http.MethodGet, "/api/channel?id="+locked+"&user="+ben, nil, http.StatusNotFound)
	w.ask(http.MethodGet, "/api/channel?id="+locked+"&user="+ada, nil, http.StatusOK)
}

func TestMessagesThreadsAndWhispers(t *testing.T) {
	w := newWorld(t)
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
		t.Fatalf("ada sees %v", seen.v)
	}
	if seen.str("pins", 0, "message", "ts") != ts || seen.str("bookmarks", 0, "title") != "Runbook" || list[0].str("reactions", 0, "name") != "eyes" {
		t.Errorf("pins, bookmarks, reactions: %v", seen.v)
	}
	if n := len(w.get("/api/channel?user=" + ben + "&id=" + general).list("messages")); n != 1 {
		t.Errorf("ben sees %d messages, and one was whispered to ada", n)
	}
	if got := names(w.get("/api/thread?user="+ada+"&channel="+general+"&ts="+ts).list("messages"), "text"); got != "a &lt; b, <@U0BEN> yes aside" {
		t.Errorf("the thread is %q", got)
	}
	if code := w.refused("/api/message", m{"user": ada, "channel": other, "text": "x"}, http.StatusUnprocessableEntity); code != "refused" {
		t.Errorf("posting where one is not: %q", code)
	}
	w.post("/api/join", m{"user": ada, "channel": other})
	w.post("/api/message", m{"user": ada, "channel": other, "text": "x"})
	w.refused("/api/message", m{"user": ada, "channel": other, "text": "  "}, http.StatusBadRequest)
}

func TestTypedTextBecomesWireForm(t *testing.T) {
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
		w := newWorld(t)
		if got := w.post("/api/message", m{"user": ada, "channel": general, "text": typed}).str("message", "text"); got != want {
			t.Errorf("%q became %q, want %q", typed, got, want)
		}
	}
}

func TestCommandsAndForms(t *testing.T) {
	w := newWorld(t)
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
		return m{"text": "you said " + form["text"]}
	}
	if got := w.post("/api/command", m{"user": ada, "channel": general, "text": "/incident role scribe @ben"}).str("message", "text"); got != "you said role scribe <@U0BEN|ben>" {
		t.Errorf("the command was answered %q", got)
	}
	w.refused("/api/command", m{"user": ada, "channel": general, "text": "incident list"}, http.StatusBadRequest)

	if got := w.post("/api/command", m{"user": ada, "channel": locked, "text": "/incident record"}); got.at("message").v != nil {
		t.Errorf("a command that opens a form says %v", got.v)
	}
	id := w.get("/api/state?user="+ada).str("views", 0, "id")
	if id == "" || len(w.get("/api/state?user="+ben).list("views")) != 0 {
		t.Fatal("the form is not before ada alone")
	}
	values := func(summary, impact string) m {
		return m{"user": ada, "view": id, "values": m{"summary": m{"v": summary}, "impact": m{"v": impact}}}
	}
	if got := w.post("/api/submit", values("", "none")); got.str("outcome") != "errors" || got.str("errors", "summary") == "" || len(w.heard()) != 0 {
		t.Errorf("an empty field was submitted: %v", got.v)
	}
	w.interaction = func(in map[string]any) any {
		return m{"response_action": "errors", "errors": m{"impact": "who was affected?"}}
	}
	if got := w.post("/api/submit", values("a key leaked", "none")); got.str("errors", "impact") != "who was affected?" {
		t.Errorf("the app's errors: %v", got.v)
	}
	w.interaction = func(in map[string]any) any { return m{"response_action": "push", "view": view("Really?")} }
	if got := w.post("/api/submit", values("a key leaked", "some")); got.str("outcome") != "pushed" {
		t.Errorf("pushing: %v", got.v)
	}
	views := w.get("/api/state?user=" + ada).list("views")
	if len(views) != 2 || views[1].str("title") != "Really?" {
		t.Fatalf("the stack is %v", views)
	}
	w.interaction = nil
	w.post("/api/close", m{"user": ada, "view": views[1].str("id"), "all": true})
	if n := len(w.get("/api/state?user=" + ada).list("views")); n != 0 {
		t.Errorf("%d forms stay after the cross", n)
	}
	w.refused("/api/submit", values("late", "late"), http.StatusUnprocessableEntity)
}

func TestButtonsReachTheApp(t *testing.T) {
	w := newWorld(t)
	button := func(id, value string) m {
		return m{"type": "button", "action_id": id, "text": m{"type": "plain_text", "text": id}, "value": value}
	}
	ts, _ := w.api("chat.postMessage", m{"channel": general, "text": "card", "blocks": []m{{"type": "actions", "block_id": "b", "elements": []m{button("ack", "42"),
		{"type": "static_select", "action_id": "sev", "options": []m{{"text": m{"type": "plain_text", "text": "one"}, "value": "sev1"}}}}}}})["ts"].(string)
	w.post("/api/click", m{"user": ben, "channel": general, "ts": ts, "action_id": "ack"})
	w.post("/api/click", m{"user": ben, "channel": general, "ts": ts, "action_id": "sev", "block_id": "b", "value": "sev1"})
	heard := w.heard()
	if len(heard) != 2 {
		t.Fatalf("the app heard %d interactions", len(heard))
	}
	ack, sev := tree{heard[0]}, tree{heard[1]}
	if ack.str("user", "id") != ben || ack.str("actions", 0, "value") != "42" || sev.str("actions", 0, "selected_option", "value") != "sev1" {
		t.Errorf("the app heard %v, %v", ack.v, sev.v)
	}
	w.refused("/api/click", m{"user": ben, "channel": general, "ts": ts, "action_id": "none"}, http.StatusUnprocessableEntity)

	w.api("views.publish", m{"user_id": ada, "view": m{"type": "home", "blocks": []m{{"type": "actions", "elements": []m{button("go", "1")}}}}})
	home := w.post("/api/home", m{"user": ada})
	w.post("/api/click", m{"user": ada, "view": home.str("view", "id"), "action_id": "go"})
	if got := w.heard(); len(got) != 3 || w.get("/api/home?user="+ada).str("view", "id") == "" || w.get("/api/home?user="+ben).at("view").v != nil {
		t.Errorf("the home's button: %v", got)
	}
	if id := w.post("/api/dm", m{"user": ada}).str("channel"); w.get("/api/channel?user="+ada+"&id="+id).str("channel", "with") != bot {
		t.Error("the DM is not with the app")
	}
}

func TestAppThatFailsIsNamed(t *testing.T) {
	w := newWorld(t)
	w.ws.SetDelivery("", "http://127.0.0.1:1/commands", "", "")
	if code := w.refused("/api/command", m{"user": ada, "channel": general, "text": "/incident list"}, http.StatusBadGateway); code == "" {
		t.Error("the failure has no code")
	}
	w.post("/api/faults", m{"name": "slack-offline", "on": true})
	if code := w.refused("/api/command", m{"user": ada, "channel": general, "text": "/incident list"}, http.StatusServiceUnavailable); code != "offline" {
		t.Errorf("offline is called %q", code)
	}
}

func TestPagerActsForTheWorkspacesPeople(t *testing.T) {
	w := newWorld(t)
	res, err := http.Post(w.paged+"/v2/enqueue", "application/json", strings.NewReader(
		`{"routing_key":"`+routingKey+`","event_action":"trigger","dedup_key":"INC-42/1","payload":{"summary":"a key leaked","source":"tocsin","severity":"critical"}}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	state := w.get("/api/pager")
	id := state.str("incidents", 0, "id")
	if id == "" || state.str("pages", 0, "user") != "PADA" || w.get("/api/state").str("ringing") != "1" {
		t.Fatalf("the pager shows %v", state.v)
	}
	w.post("/api/pager/ack", m{"user": ben, "incident": id})
	w.post("/api/pager/note", m{"user": "PADA", "incident": id, "text": "on it"})
	if got := w.get("/api/pager"); got.str("incidents", 0, "status") != "acknowledged" || got.str("incidents", 0, "acknowledged_by", 0) != "PBEN" || got.str("incidents", 0, "notes", 0, "content") != "on it" {
		t.Errorf("acknowledged: %v", got.v)
	}
	w.refused("/api/pager/ack", m{"user": lena, "incident": id}, http.StatusNotFound)
	w.refused("/api/pager/resolve", m{"user": ben, "incident": "none"}, http.StatusNotFound)
	w.post("/api/pager/resolve", m{"user": ada, "incident": id})
	w.refused("/api/pager/ack", m{"user": ada, "incident": id}, http.StatusConflict)
}

func TestFilesAreSealedAndSeenByTheirReaders(t *testing.T) {
	w := newWorld(t)
	f := w.post("/api/upload", m{"user": ada, "channel": locked, "name": "post mortem.html", "content": []byte("<script>alert(1)</script>")}).str("message", "files", 0, "id")
	get := func(path string) (*http.Response, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, body := w.do(req)
		return res, string(body)
	}
	res, body := get("/files/" + f + "?user=" + ada)
	if body != "<script>alert(1)</script>" || !strings.HasPrefix(res.Header.Get("Content-Security-Policy"), "sandbox; default-src 'none'") {
		t.Errorf("the file comes as %q under %q", body, res.Header.Get("Content-Security-Policy"))
	}
	if res, _ = get("/files/" + f + "?download=1&user=" + ada); !strings.Contains(res.Header.Get("Content-Disposition"), "post%20mortem.html") {
		t.Errorf("the download is called %q", res.Header.Get("Content-Disposition"))
	}
	if res, _ = get("/files/" + f + "?user=" + ben); res.StatusCode != http.StatusNotFound {
		t.Errorf("who is not in the channel gets the file: %d", res.StatusCode)
	}
}

const invite = "From: Tocsin <tocsin@example.com>\r\nTo: Ada <ada@example.com>\r\nSubject: Review\r\nMessage-ID: <r42@tocsin>\r\nMIME-Version: 1.0\r\n" +
	"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<h1>Review</h1>\r\n--b\r\n" +
	"Content-Type: text/calendar; method=REQUEST; name=invite.ics\r\n\r\nBEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VTIMEZONE\r\nTZID:Europe/Paris\r\nBEGIN:STANDARD\r\n" +
	"DTSTART:19701025T030000\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\nBEGIN:VEVENT\r\nUID:inc-42\r\nSUMMARY:Review of INC-42\\, four depart\r\n ments\r\n" +
	"DTSTART;TZID=Europe/Paris:20261124T100000\r\nDTEND:20261124T100000Z\r\nORGANIZER;CN=Tocsin:mailto:tocsin@example.com\r\n" +
	"ATTENDEE;CN=\"Roth: Lena\":mailto:lena@example.com\r\nATTENDEE:mailto:ada@example.com\r\nBEGIN:VALARM\r\nDESCRIPTION:wake up\r\nEND:VALARM\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n--b--\r\n"

func TestMailIsReadAsAMailProgramReadsIt(t *testing.T) {
	w := newWorld(t)
	if err := smtp.SendMail(w.smtp, nil, "tocsin@example.com", []string{"ada@example.com"}, []byte(invite)); err != nil {
		t.Fatal(err)
	}
	l := w.get("/api/mail").at("mails", 0)
	want := map[string]string{"summary": "Review of INC-42, four departments", "method": "REQUEST", "start": "2026-11-24T10:00:00+01:00", "end": "2026-11-24T10:00:00Z",
		"organizer": "Tocsin <tocsin@example.com>", "attendees": "[Roth: Lena <lena@example.com> ada@example.com]", "description": "", "uid": "inc-42"}
	for field, v := range want {
		if got := l.str("invitation", field); got != v {
			t.Errorf("%s of the invitation is %q, want %q", field, got, v)
		}
	}
	if l.at("html").v != true || l.str("subject") != "Review" {
		t.Errorf("the letter is %v", l.v)
	}
	for path, want := range map[string]string{"/mail/1/html": "<h1>Review</h1>", "/mail/1/raw": "Subject: Review", "/mail/1/part/0": "BEGIN:VCALENDAR", "/mail/1/part/1": "not_found", "/mail/9/html": "not_found", "/mail/1/none": "not_found"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, body := w.do(req)
		if !strings.Contains(string(body), want) || want != "not_found" && !strings.HasPrefix(res.Header.Get("Content-Security-Policy"), "sandbox") {
			t.Errorf("%s: %s", path, body)
		}
	}
}

func TestAlertsAreRealDeliveries(t *testing.T) {
	w := newWorld(t)
	for _, c := range w.get("/api/state").list("alerts") {
		id := c.str("id")
		w.mu.Lock()
		w.hooks = nil
		w.mu.Unlock()
		got := w.post("/api/alert", m{"alert": id})
		want := "202"
		if id == "forged" {
			want = "401"
		}
		n := len(w.hooks)
		if n == 0 || got.str("answers", want) != got.str("sent") {
			t.Errorf("%s was answered %v", id, got.v)
		}
		for _, h := range w.hooks {
			if h.path == "/hooks/cloudtrail" && h.header.Get("X-Api-Key") != apiKey {
				t.Errorf("%s came without its key", id)
			}
		}
	}
	w.refused("/api/alert", m{"alert": "none"}, http.StatusNotFound)
	w.refused("/api/alert", m{"alert": "forged", "copies": 100_000}, http.StatusBadRequest)
}

func TestCopiesAreOfTheSameAlert(t *testing.T) {
	w := newWorld(t)
	first := w.post("/api/alert", m{"alert": "sentry-data-leak"})
	w.post("/api/alert", m{"alert": "sentry-data-leak", "copies": 49, "seed": first.at("seed").v})
	second := w.post("/api/alert", m{"alert": "sentry-data-leak"})
	if first.str("seed") == second.str("seed") {
		t.Error("two presses are one alert")
	}
	ids := map[string]bool{}
	for _, h := range w.hooks {
		ids[h.header.Get("Request-ID")] = true
	}
	if len(w.hooks) != 51 || len(ids) != 51 {
		t.Errorf("%d deliveries with %d ids", len(w.hooks), len(ids))
	}
}

func TestAlertsWithoutAnAddressAreNoChoice(t *testing.T) {
	w := newWorld(t, func(c *page.Config) { c.Sentry = feed.Sentry{} })
	for _, c := range w.get("/api/state").list("alerts") {
		if c.str("from") != "CloudTrail" {
			t.Errorf("%s is offered", c.str("id"))
		}
	}
}

func TestSwitchesLeaveEachOtherAlone(t *testing.T) {
	w := newWorld(t)
	on := func() string {
		var out []string
		for _, s := range w.get("/api/state").list("faults") {
			if s.at("on").v == true {
				out = append(out, s.str("name"))
			}
		}
		return strings.Join(out, " ")
	}
	var all []string
	for _, s := range w.get("/api/state").list("faults") {
		name := s.str("name")
		all = append(all, name)
		w.post("/api/faults", m{"name": name, "on": true})
		w.post("/api/faults", m{"name": name, "on": true}) // twice is once
		if got := on(); got != strings.Join(all, " ") {
			t.Fatalf("after %s: %q", name, got)
		}
	}
	for len(all) > 3 {
		w.post("/api/faults", m{"name": all[1], "on": false})
		all = append(all[:1], all[2:]...)
		if got := on(); got != strings.Join(all, " ") {
			t.Fatalf("on is %q, want %q", got, all)
		}
	}
	if got := w.post("/api/faults", m{"clear": true}); on() != "" || len(got.list("faults")) == 0 {
		t.Errorf("after clearing: %q", on())
	}
	w.refused("/api/faults", m{"name": "none", "on": true}, http.StatusNotFound)
}

func TestLogTellsOfEveryWire(t *testing.T) {
	w := newWorld(t)
	w.api("auth.test", nil)
	w.post("/api/command", m{"user": ada, "channel": general, "text": "/incident list"})
	w.post("/api/alert", m{"alert": "forged"})
	if err := smtp.SendMail(w.smtp, nil, "a@example.com", []string{"b@example.com"}, []byte(invite)); err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, e := range w.get("/api/log").list("entries") {
		seen[e.str("what")] = e.str("system") + " " + e.str("to_app") + " " + e.str("status")
	}
	for what, want := range map[string]string{"auth.test": "Slack false 200", "/incident": "Slack true 200", "forged": "Alerts true 1 × 401", "SMTP": "Mail false 250"} {
		if seen[what] != want {
			t.Errorf("%s is logged as %q, want %q", what, seen[what], want)
		}
	}
	if n := len(w.get("/api/log?limit=1").list("entries")); n != 1 {
		t.Errorf("limit=1 gives %d", n)
	}
	w.ask(http.MethodGet, "/api/log?limit=x", nil, http.StatusBadRequest)
}

func TestForeignPagesAreRefused(t *testing.T) {
	w := newWorld(t, func(c *page.Config) { c.Hosts = []string{"demo.example.com"} })
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
			t.Errorf("host %q: %d, want %d", host, got, want)
		}
	}
	if got := try(http.MethodPost, "", map[string]string{"Sec-Fetch-Site": "cross-site"}); got != http.StatusForbidden {
		t.Errorf("a POST from another site: %d", got)
	}
	if got := try(http.MethodPost, "", map[string]string{"Sec-Fetch-Site": "same-origin"}); got != http.StatusOK {
		t.Errorf("a POST of the page: %d", got)
	}
	w.refused("/api/message", m{"user": ada, "chanel": general}, http.StatusBadRequest)
}

func TestStreamTellsOfChangesAndEnds(t *testing.T) {
	w := newWorld(t)
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
	notice := func(of string) {
		t.Helper()
		for lines.Scan() {
			if lines.Text() == "event: change" {
				return
			}
		}
		t.Fatalf("the stream ended before it told of %s", of)
	}
	notice("its beginning")
	w.post("/api/message", m{"user": ada, "channel": general, "text": "hello"})
	notice("a message")
	w.post("/api/faults", m{"name": "mail-550", "on": true})
	notice("a switch")
	w.pager.SetOnCall("PSEC", "PBEN")
	notice("the pager")
	if err := w.page.Close(); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
		// what was under way; the stream has to end
	}
}
