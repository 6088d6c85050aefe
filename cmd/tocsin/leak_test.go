//go:build !race

package main_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/feed"
	"tocsin/store/storetest"
)

// TestStorage_NoPlaintext puts unique strings, the canaries, into every input of
// people and external systems. It searches them in all data that is readable without
// a key: the files or dump of the database, the arguments, errors and metadata of
// jobs, and the log at level debug. Then it rotates and prunes the keys, after which
// all incidents must read as before.
func TestStorage_NoPlaintext(t *testing.T) {
	t.Parallel()
	storetest.Databases(t, func(t *testing.T, url string) {
		l := &leakTest{canaries: map[string]string{}}
		smtp := newFailingMailServer(t, l.canary("answer of the mail server"))
		name := l.canary("name of a person")
		var slackProxy *faultProxy
		o := company.Options{Seed: 31, HTTP: true, Limits: chat.Limits{Off: true}}
		l.botProcess = startBot(t, url, o, func(c map[string]any) {
			c["people"].([]any)[0].(map[string]any)["name"] = "Ada " + name
			host, port, _ := net.SplitHostPort(smtp)
			c["mail"].(map[string]any)["host"], c["mail"].(map[string]any)["port"] = host, port
			api := c["slack"].(map[string]any)
			slackProxy = newFaultProxy(t, strings.TrimSuffix(api["api_url"].(string), "/api/"))
			api["api_url"] = slackProxy.url + "/api/"
		})
		l.slackProxy = slackProxy
		l.plantCanaries()
		l.checkReadable()
		l.searchCanaries("running")
		l.rotateKeys()
	})
}

type leakTest struct {
	*botProcess
	slackProxy *faultProxy

	mu       sync.Mutex
	canaries map[string]string // input of each canary, by its text
	suffix   string            // behind each canary
}

// canary returns a new canary. No redaction rule matches it, and it is unique.
func (l *leakTest) canary(where string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := "Qz" + strings.ToLower(rand.Text()[:14]) + "zq"
	l.canaries[c] = where
	return c + l.suffix
}

// plantCanaries sends alerts and runs commands with a canary in every text.
func (l *leakTest) plantCanaries() {
	t := l.t
	issue := feed.NewIssue(feed.DataLeak, 31)
	issue.Value, issue.Culprit = issue.Value+" "+l.canary("title of an alert"), "views "+l.canary("culprit of an alert")
	issue.Tags = append(issue.Tags, [2]string{"customer", l.canary("tag of an alert")})
	issue.Frames[len(issue.Frames)-1].Line = "raise " + l.canary("stack of an alert")
	issue.User.Email = l.canary("address of a user") + "@customer.example"
	issue.URL += "?q=" + l.canary("address of a request")
	copied := feed.Copy{Marker: []string{l.canary("deep in an alert")}}
	l.requireAccepted(l.company.Sentry.EventAlert(t.Context(), issue, copied))
	l.requireAccepted(l.company.Sentry.ErrorCreated(t.Context(), issue, copied))
	call := feed.CreateAccessKey(31)
	call.Identity["userName"], call.UserAgent = l.canary("user of a call"), l.canary("agent of a call")
	call.Request["userName"] = l.canary("argument of a call")
	l.requireAccepted(l.company.Trail.Deliver(t.Context(), call, copied))
	odd := fmt.Sprintf(`{"action":"%s","data":{"%s":1}}`, l.canary("unknown action"), l.canary("unknown shape"))
	l.requireAccepted(l.company.Sentry.Send(t.Context(), l.company.Sentry.NewDelivery("issue", []byte(odd), l.canary("id of a delivery"))))
	l.requireAccepted(l.company.Sentry.Send(t.Context(), l.company.Sentry.NewDelivery("issue", []byte("no json "+l.canary("body that is not JSON")), "x")))
	l.waitIdle(2 * time.Minute)
	l.failServices()
	ada, second := l.company.In("engineering")[0], l.company.In("engineering")[1]
	channel := l.channelOf(1).ID
	for _, command := range []string{
		"note " + l.canary("note"), "fact personal_data suspected because " + l.canary("reason of a fact"),
		`fact affected "` + l.canary("affected party") + ` SA" processor 12 because they wrote`,
		`evidence "` + l.canary("name of evidence") + `" in s3://` + strings.ToLower(l.canary("place of evidence")) + `/x`,
		"update " + l.canary("update"), "severity sev2 because " + l.canary("reason of a severity"), "contain " + l.canary("containment"),
		"consult payments blocking", "resolve " + l.canary("resolution") + " because " + l.canary("open steps"),
	} {
		if _, err := l.sendCommand(strings.Replace(command, " ", " INC-1 ", 1)); err != nil {
			t.Errorf("over the socket: %q: %v", command, err)
		}
	}
	payments := l.company.In("payments")[0]
	l.waitFor(time.Minute, "the request to the team", func() bool {
		return l.queryInt(`SELECT count(*) FROM effects WHERE kind = 'ask_consult' AND state = 'completed'`) == 1
	})
	l.slashUntilRecorded(payments, channel, "answer payments "+l.canary("answer of a team"))
	_, _ = l.slash(ada, channel, "nonsense "+l.canary("unknown command"))
	_, _ = l.slash(ada, channel, "role scribe "+l.canary("unknown person"))
	_, _ = l.sendCommand("open sev3 --public " + l.canary("title from a person"))
	for _, field := range []string{"summary", "impact", "root_cause", "contributing_factors", "what_was_done", "what_detected_it", "what_will_detect_it", "what_will_prevent_it"} {
		l.slashUntilRecorded(second, channel, "record set "+field+" "+l.canary("closing record's "+field))
	}
	l.slashUntilRecorded(second, channel, "record set audience all")
	l.slashUntilRecorded(second, channel, "submit")
	l.slashUntilRecorded(l.company.In("legal")[0], channel, "object legal "+l.view(1).Incident.Submission.Digest+" "+l.canary("objection"))
	l.slashUntilRecorded(l.company.In("legal")[0], channel, "withdraw O1 because "+l.canary("withdrawal"))
	l.waitFor(time.Minute, "the requests to sign", func() bool {
		return l.queryInt(`SELECT count(*) FROM effects WHERE kind = 'ask_sign' AND state = 'completed'`) >= 4
	})
	digest := l.view(1).Incident.Submission.Digest
	for n, d := range []string{"engineering", "security", "legal", "communications"} {
		who := l.company.In(d)[0]
		if n == 0 {
			who = l.company.In(d)[2]
		}
		l.slashUntilRecorded(who, channel, "sign "+d+" "+digest)
	}
	l.waitFor(time.Minute, "the upload of the postmortem", func() bool {
		return l.queryInt(`SELECT count(*) FROM effects WHERE kind = 'upload' AND state = 'completed'`) == 1
	})
	l.slashUntilRecorded(second, channel, "action add detection "+l.canary("action item")+" owner me due 2027-12-24")
	l.waitFor(time.Minute, "an attempt to send the mail", func() bool {
		return l.queryInt(`SELECT count(*) FROM river_job WHERE state IN ('retryable', 'scheduled') AND attempt > 0`)+
			l.queryInt(`SELECT count(*) FROM effects WHERE kind = 'mail_postmortem' AND state IN ('discarded', 'completed')`) > 0
	})
}

// failServices makes Slack and PagerDuty fail for a while with canaries in the errors.
func (l *leakTest) failServices() {
	html, code, pager := l.canary("HTML of Slack's error"), l.canary("code of Slack's error"), l.canary("text of PagerDuty's error")
	calls := map[string]int{}
	var mu sync.Mutex
	first := func(kind string, n int) bool {
		mu.Lock()
		defer mu.Unlock()
		calls[kind]++
		return calls[kind] <= n
	}
	l.slackProxy.setOverride(func(r *http.Request, _ string) (int, string) {
		switch {
		case strings.HasSuffix(r.URL.Path, "chat.postMessage") && first("post", 3):
			return http.StatusOK, `{"ok":false,"error":"` + code + `","response_metadata":{"messages":["[ERROR] ` + code + `"]}}`
		case strings.HasSuffix(r.URL.Path, "chat.update") && first("update", 2):
			return http.StatusInternalServerError, "<html>" + html + "</html>"
		case strings.HasSuffix(r.URL.Path, "conversations.setTopic") && first("topic", 2):
			return http.StatusOK, "{ " + html // invalid JSON
		}
		return 0, ""
	})
	l.pagerProxy.setOverride(func(_ *http.Request, body string) (int, string) {
		if strings.Contains(body, `"event_action":"trigger"`) && first("page", 4) {
			return http.StatusBadRequest, `{"status":"invalid event","message":"` + pager + `","errors":["` + pager + `"]}`
		}
		if first("ack", 2) {
			return http.StatusInternalServerError, pager
		}
		return 0, ""
	})
	l.requireAccepted(l.company.Trail.Deliver(l.t.Context(), feed.StopLogging(77), feed.Copy{}))
	l.waitFor(time.Minute, "a page that waits", func() bool {
		return l.queryInt(`SELECT count(*) FROM effects WHERE kind = 'page' AND waiting_since IS NOT NULL`) > 0
	})
}

// requireAccepted fails the test unless the response is 202.
func (l *leakTest) requireAccepted(a feed.Answer, err error) {
	l.t.Helper()
	if err != nil || a.Status != http.StatusAccepted {
		l.t.Errorf("send alert: got status %d, %v, want 202", a.Status, err)
	}
}

// checkReadable requires the canaries to have arrived: the bot, which has the key,
// shows them with the incidents.
func (l *leakTest) checkReadable() {
	l.t.Helper()
	var all []byte
	for n := range l.queryInt("SELECT count(*) FROM incidents") {
		reply, err := l.sendCommand("status " + incident.ID(n+1).String())
		if err != nil {
			l.t.Fatal(err)
		}
		raw, err := json.Marshal(reply)
		if err != nil {
			l.t.Fatal(err)
		}
		all = append(all, raw...)
	}
	missing := []string{}
	for canary, where := range l.canaries {
		if !bytes.Contains(bytes.ToLower(all), []byte(strings.ToLower(canary))) {
			missing = append(missing, where)
		}
	}
	slices.Sort(missing)
	// These are only in the stored delivery, or not stored at all.
	notShown := []string{"unknown action", "address of a user", "answer of the mail server", "text of PagerDuty's error", "argument of a call", "body that is not JSON",
		"deep in an alert", "HTML of Slack's error", "id of a delivery", "unknown person", "unknown shape", "tag of an alert", "address of a request",
		"code of Slack's error", "stack of an alert", "user of a call", "unknown command", "agent of a call", "culprit of an alert"}
	for _, where := range missing {
		if !slices.Contains(notShown, where) {
			l.t.Errorf("%s is not shown with any incident", where)
		}
	}
	l.t.Logf("%d canaries, %d of them shown with the incidents", len(l.canaries), len(l.canaries)-len(missing))
}

// loggedCanaries are in errors of other systems. The log shows these errors, redacted.
var loggedCanaries = []string{"code of Slack's error", "HTML of Slack's error", "text of PagerDuty's error", "answer of the mail server"}

// searchCanaries requires that no canary is in the exposed data, in any encoding.
func (l *leakTest) searchCanaries(when string) {
	l.t.Helper()
	places := l.exposedData()
	found, size := 0, 0
	for place, content := range places {
		size += len(content)
		lower := bytes.ToLower(content)
		for canary, where := range l.canaries {
			if place == "the log" && slices.Contains(loggedCanaries, where) {
				continue
			}
			for _, encoded := range encodings(canary) {
				if bytes.Contains(content, []byte(encoded)) || bytes.Contains(lower, []byte(strings.ToLower(canary))) {
					found++
					at := max(bytes.Index(lower, []byte(strings.ToLower(canary))), 0)
					l.t.Errorf("%s: got %s in %s: …%q…", when, where, place, content[max(0, at-160):min(len(content), at+80)])
					break
				}
			}
		}
	}
	l.t.Logf("%s: searched %d canaries in %d places with %d bytes, found %d", when, len(l.canaries), len(places), size, found)
}

// encodings returns the canary as plain text, as hexadecimal digits, and in the three
// alignments of base64.
func encodings(canary string) []string {
	out := []string{canary, hex.EncodeToString([]byte(canary)), hex.EncodeToString([]byte(strings.ToLower(canary)))}
	for skip := range 3 {
		encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat(" ", skip) + canary))
		out = append(out, strings.TrimRight(encoded, "=")[4:len(encoded)-6])
	}
	return out
}

// exposedData returns all data readable without a key, by place.
func (l *leakTest) exposedData() map[string][]byte {
	l.t.Helper()
	out := map[string][]byte{"the log": []byte(l.logText())}
	if path, ok := strings.CutPrefix(l.database, "sqlite:"); ok {
		files, err := filepath.Glob(path + "*")
		if err != nil {
			l.t.Fatal(err)
		}
		for _, f := range files {
			if info, err := os.Stat(f); err != nil || !info.Mode().IsRegular() {
				continue
			}
			raw, err := os.ReadFile(f)
			if err != nil {
				l.t.Fatal(err)
			}
			out[filepath.Base(f)] = raw
		}
		if len(out["tocsin.db"]) == 0 {
			l.t.Errorf("got files %v, want tocsin.db with data", files)
		}
	} else {
		out["the dump"] = pgDump(l.t, l.database)
	}
	var jobs []byte
	for _, row := range l.queryRows("SELECT kind, args, errors, metadata, tags, state FROM river_job") {
		jobs = fmt.Appendln(jobs, row)
	}
	if len(jobs) == 0 {
		l.t.Error("got no jobs")
	}
	out["the jobs"] = jobs
	return out
}

// pgDump returns the output of pg_dump.
func pgDump(t *testing.T, url string) []byte {
	t.Helper()
	command := "pg_dump"
	if _, err := exec.LookPath(command); err != nil {
		found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/pg_dump")
		if len(found) == 0 {
			t.Fatal("pg_dump is not installed")
		}
		command = found[len(found)-1]
	}
	out, err := exec.Command(command, "--dbname", url).Output()
	if err != nil {
		t.Fatalf("pg_dump: %v", err)
	}
	if !bytes.Contains(out, []byte("COPY public.inbox")) {
		t.Error("dump contains no deliveries")
	}
	return out
}

// rotateKeys rotates the keys with the running bot and again without one. It requires
// that the old keys no longer open the database.
func (l *leakTest) rotateKeys() {
	t := l.t
	old, err := os.ReadFile(l.keyset)
	if err != nil {
		t.Fatal(err)
	}
	before := l.incidentTexts()
	l.whileLoaded(func() {
		for range 3 {
			t.Log(strings.TrimSpace(l.mustRun("keys", "rotate", "--prune")))
		}
	})
	l.checkVerify()
	if l.incidentTexts() != before {
		t.Error("incidents differ after the rotation by the running bot")
	}
	if _, err := l.sendCommand("note INC-2 " + l.canary("note after the rotation")); err != nil {
		t.Error(err)
	}
	before = l.incidentTexts()
	l.stop()
	l.searchCanaries("stopped")
	t.Log(strings.TrimSpace(l.mustRun("keys", "rotate", "--prune")))
	l.checkVerify()

	current, err := os.ReadFile(l.keyset)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(l.keyset, old, 0o600); err != nil {
		t.Fatal(err)
	}
	p := l.startProcess()
	select {
	case <-p.ended:
		if p.err == nil {
			t.Error("bot with the old keys exited without an error")
		}
	case <-time.After(30 * time.Second):
		t.Error("bot started with pruned keys")
		l.kill()
	}
	if out, err := l.run("verify"); err == nil {
		t.Errorf("verify with the old keys succeeded: %s", out)
	}
	if err := os.WriteFile(l.keyset, current, 0o600); err != nil {
		t.Fatal(err)
	}
	l.start()
	l.checkVerify()
	if l.incidentTexts() != before {
		t.Error("incidents differ after the rotation without a bot")
	}
	l.searchCanaries("restarted")
}

// whileLoaded calls do under a load of alerts for existing and new incidents. Every
// alert must be accepted and decoded.
func (l *leakTest) whileLoaded(do func()) {
	l.t.Helper()
	var number atomic.Int64
	call := feed.StopLogging(77)
	b := newLoadGenerator(l.botProcess, 8, func() sentAlert {
		n := int(number.Add(1))
		if n%50 == 0 && n <= 500 {
			return sentAlert{story: "new", trail: true, Delivery: l.company.Trail.Delivery(newStory(2 * n).calls[0], feed.Copy{N: n})}
		}
		return sentAlert{story: "known", trail: true, Delivery: l.company.Trail.Delivery(call, feed.Copy{N: n})}
	})
	b.setUnlimited(true)
	l.waitFor(time.Minute, "50 alerts", func() bool { return number.Load() > 50 })
	do()
	b.setUnlimited(false)
	b.drain()
	l.waitFor(2*time.Minute, "every alert to be handled", func() bool { return l.queryInt("SELECT count(*) FROM inbox WHERE handled_at IS NULL") == 0 })
	if bad := l.queryInt("SELECT CAST(coalesce(sum(count), 0) AS bigint) FROM alerts WHERE kind LIKE '%.unreadable'"); bad != 2 { // sent by plantCanaries
		l.t.Errorf("got %d undecodable deliveries, want 2", bad)
	}
	if b.results.statuses[http.StatusAccepted] != b.results.sent {
		l.t.Errorf("got statuses %v for %d alerts, want only 202", b.results.statuses, b.results.sent)
	}
	l.t.Logf("%d alerts received during the rotation", b.results.sent)
}

// incidentTexts returns the texts of the first incidents, without events of the bot,
// which still change.
func (l *leakTest) incidentTexts() string {
	l.t.Helper()
	var b strings.Builder
	for n := range 4 { // later alerts belong to other incidents
		v := l.view(incident.ID(n + 1))
		fmt.Fprintln(&b, v.Incident.Title, v.Incident.Record)
		for _, e := range v.Timeline {
			if e.By == "" {
				continue // the bot still adds events, because it retries
			}
			for _, name := range []string{"title", "text", "reason", "detail"} {
				fmt.Fprintln(&b, e.Kind, name, e.Text(name))
			}
		}
	}
	return b.String()
}

// newFailingMailServer starts a mail server that rejects every recipient temporarily
// with an error that contains canary. It returns the address.
func newFailingMailServer(t *testing.T, canary string) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				_ = c.SetDeadline(time.Now().Add(time.Minute))
				fmt.Fprint(c, "220 failing ESMTP\r\n")
				in := bufio.NewScanner(c)
				for in.Scan() {
					switch verb, _, _ := strings.Cut(strings.ToUpper(in.Text()), " "); verb {
					case "RCPT":
						fmt.Fprintf(c, "451 4.7.1 <%s>: %s is greylisted\r\n", in.Text(), canary)
					case "QUIT":
						fmt.Fprint(c, "221 bye\r\n")
						return
					default:
						fmt.Fprint(c, "250 ok\r\n")
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

// TestEncodings_FindCanary requires the search to find a canary in each encoding.
func TestEncodings_FindCanary(t *testing.T) {
	const canary = "Qzabcdefghijklmnzq"
	for _, stored := range []string{"…" + canary + "…", hex.EncodeToString([]byte("x" + canary + "y")),
		base64.StdEncoding.EncodeToString([]byte(canary + "…")), base64.StdEncoding.EncodeToString([]byte("1" + canary + "…")),
		base64.StdEncoding.EncodeToString([]byte("12" + canary + "…")), base64.StdEncoding.EncodeToString([]byte("123" + canary))} {
		if !slices.ContainsFunc(encodings(canary), func(s string) bool { return strings.Contains(stored, s) }) {
			t.Errorf("no encoding of %s found in %s", canary, stored)
		}
	}
}
