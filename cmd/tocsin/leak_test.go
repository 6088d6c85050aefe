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

// TestLeak plants strings wherever people and outside systems can put some,
// and looks for them wherever somebody could read who has no key: in the
// database's files or its dump, in the arguments, errors and metadata of jobs,
// and in the logs at level debug. Then the keys are rotated, the old ones
// pruned, and everything has to read as before.
func TestLeak(t *testing.T) {
	t.Parallel()
	storetest.Databases(t, func(t *testing.T, url string) {
		l := &leakTest{canaries: map[string]string{}}
		post := newFailingMailServer(t, l.canary("answer of the mail server"))
		name := l.canary("name of a person")
		var slack *faultProxy
		o := company.Options{Seed: 31, HTTP: true, Limits: chat.Limits{Off: true}}
		l.botProcess = startBot(t, url, o, func(c map[string]any) {
			c["people"].([]any)[0].(map[string]any)["name"] = "Ada " + name
			host, port, _ := net.SplitHostPort(post)
			c["mail"].(map[string]any)["host"], c["mail"].(map[string]any)["port"] = host, port
			api := c["slack"].(map[string]any)
			slack = newFaultProxy(t, strings.TrimSuffix(api["api_url"].(string), "/api/"))
			api["api_url"] = slack.url + "/api/"
		})
		l.slackProxy = slack
		l.plantCanaries()
		l.checkReadable()
		l.searchCanaries("while it runs")
		l.rotateKeys()
	})
}

type leakTest struct {
	*botProcess
	slackProxy *faultProxy

	mu       sync.Mutex
	canaries map[string]string // the string, and where it was planted
}

// canary makes a string to plant: a word that nothing redacts and no chance repeats.
func (l *leakTest) canary(where string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := "Qz" + strings.ToLower(rand.Text()[:14]) + "zq"
	l.canaries[m] = where
	return m
}

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
	odd := fmt.Sprintf(`{"action":"%s","data":{"%s":1}}`, l.canary("action nobody knows"), l.canary("shape nobody knows"))
	l.requireAccepted(l.company.Sentry.Send(t.Context(), l.company.Sentry.NewDelivery("issue", []byte(odd), l.canary("id of a delivery"))))
	if a, _ := l.company.Sentry.Send(t.Context(), l.company.Sentry.NewDelivery("issue", []byte("no json "+l.canary("body that is no JSON")), "x")); a.Status != http.StatusBadRequest {
		t.Errorf("a body that is not JSON was answered %d", a.Status)
	}
	l.waitIdle(2 * time.Minute)
	l.failServices()
	ada, second := l.company.In("engineering")[0], l.company.In("engineering")[1]
	channel := l.channelOf(1).ID
	for _, words := range []string{
		"note " + l.canary("note"), "fact personal_data suspected because " + l.canary("reason of a fact"),
		`fact affected "` + l.canary("party that is affected") + ` SA" processor 12 because they wrote`,
		`evidence "` + l.canary("name of evidence") + `" in s3://` + strings.ToLower(l.canary("place of evidence")) + `/x`,
		"update " + l.canary("update"), "severity sev2 because " + l.canary("reason of a severity"), "contain " + l.canary("containment"),
		"consult payments blocking", "resolve " + l.canary("resolution"),
	} {
		if _, err := l.sendCommand(strings.Replace(words, " ", " INC-1 ", 1)); err != nil {
			t.Errorf("over the socket: %q: %v", words, err)
		}
	}
	payments := l.company.In("payments")[0]
	l.waitFor(time.Minute, "the team was asked", func() bool {
		return l.queryInt(`SELECT count(*) FROM effects WHERE kind = 'ask_consult' AND state = 'completed'`) == 1
	})
	l.slashUntilRecorded(payments, channel, "answer payments "+l.canary("answer of a team"))
	_, _ = l.slash(ada, channel, "nonsense "+l.canary("words that were not understood"))
	_, _ = l.slash(ada, channel, "role scribe "+l.canary("person that nobody is"))
	_, _ = l.sendCommand("open sev3 --public " + l.canary("title that a person gave"))
	for _, field := range []string{"summary", "impact", "root_cause", "contributing_factors", "what_was_done", "what_detected_it", "what_will_detect_it", "what_will_prevent_it"} {
		l.slashUntilRecorded(second, channel, "record set "+field+" "+l.canary("record's "+field))
	}
	l.slashUntilRecorded(second, channel, "record set audience all")
	l.slashUntilRecorded(second, channel, "submit")
	l.slashUntilRecorded(l.company.In("legal")[0], channel, "object legal "+l.view(1).Incident.Submission.Digest+" "+l.canary("objection"))
	l.slashUntilRecorded(l.company.In("legal")[0], channel, "withdraw O1 because "+l.canary("withdrawal"))
	l.waitFor(time.Minute, "the departments were asked", func() bool {
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
	l.waitFor(time.Minute, "the postmortem is shared", func() bool {
		return l.queryInt(`SELECT count(*) FROM effects WHERE kind = 'upload' AND state = 'completed'`) == 1
	})
	l.slashUntilRecorded(second, channel, "action add detection "+l.canary("action item")+" owner me due 2027-12-24")
	l.waitFor(time.Minute, "the mail was tried", func() bool {
		return l.queryInt(`SELECT count(*) FROM river_job WHERE state IN ('retryable', 'scheduled') AND attempt > 0`)+
			l.queryInt(`SELECT count(*) FROM effects WHERE kind = 'mail_postmortem' AND state IN ('discarded', 'completed')`) > 0
	})
}

// failServices lets Slack and PagerDuty fail for a while, in words that quote things.
func (l *leakTest) failServices() {
	html, code, pager := l.canary("HTML of Slack's error"), l.canary("code of Slack's refusal"), l.canary("words of PagerDuty's refusal")
	answered := map[string]int{}
	var mu sync.Mutex
	first := func(what string, n int) bool {
		mu.Lock()
		defer mu.Unlock()
		answered[what]++
		return answered[what] <= n
	}
	l.slackProxy.setOverride(func(r *http.Request, _ string) (int, string) {
		switch {
		case strings.HasSuffix(r.URL.Path, "chat.postMessage") && first("post", 3):
			return http.StatusOK, `{"ok":false,"error":"` + code + `","response_metadata":{"messages":["[ERROR] ` + code + `"]}}`
		case strings.HasSuffix(r.URL.Path, "chat.update") && first("update", 2):
			return http.StatusInternalServerError, "<html>" + html + "</html>"
		case strings.HasSuffix(r.URL.Path, "conversations.setTopic") && first("topic", 2):
			return http.StatusOK, "{ " + html // no JSON
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
	l.waitFor(time.Minute, "the page was refused", func() bool {
		return l.queryInt(`SELECT count(*) FROM effects WHERE kind = 'page' AND state = 'discarded'`) > 0
	})
}

func (l *leakTest) requireAccepted(a feed.Answer, err error) {
	l.t.Helper()
	if err != nil || a.Status != http.StatusAccepted {
		l.t.Errorf("an alert was answered %d: %v", a.Status, err)
	}
}

// checkReadable makes sure that what was planted did arrive: with the key, it reads.
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
	for mark, where := range l.canaries {
		if !bytes.Contains(bytes.ToLower(all), []byte(strings.ToLower(mark))) {
			missing = append(missing, where)
		}
	}
	slices.Sort(missing)
	// What is not shown with the incident is in the kept delivery, or was not kept.
	unseen := []string{"action nobody knows", "address of a user", "answer of the mail server", "argument of a call", "body that is no JSON",
		"deep in an alert", "HTML of Slack's error", "id of a delivery", "person that nobody is", "shape nobody knows", "tag of an alert", "address of a request",
		"code of Slack's refusal", "stack of an alert", "user of a call", "words that were not understood", "agent of a call", "culprit of an alert"}
	for _, where := range missing {
		if !slices.Contains(unseen, where) {
			l.t.Errorf("the %s cannot be read", where)
		}
	}
	l.t.Logf("%d strings planted, %d of them are shown with the incidents", len(l.canaries), len(l.canaries)-len(missing))
}

// searchCanaries looks for every string, in every spelling, in everything that is kept
// or printed.
func (l *leakTest) searchCanaries(when string) {
	l.t.Helper()
	places := l.exposedData()
	found, size := 0, 0
	for place, content := range places {
		size += len(content)
		lower := bytes.ToLower(content)
		for mark, where := range l.canaries {
			for _, spelling := range encodings(mark) {
				if bytes.Contains(content, []byte(spelling)) || bytes.Contains(lower, []byte(strings.ToLower(mark))) {
					found++
					at := max(bytes.Index(lower, []byte(strings.ToLower(mark))), 0)
					l.t.Errorf("%s: the %s stands in %s: …%q…", when, where, place, content[max(0, at-160):min(len(content), at+80)])
					break
				}
			}
		}
	}
	l.t.Logf("%s: %d strings, %d places, %d bytes: found %d", when, len(l.canaries), len(places), size, found)
}

// encodings of a string in bytes, as hexadecimal digits, and in the three
// alignments of base64.
func encodings(mark string) []string {
	out := []string{mark, hex.EncodeToString([]byte(mark)), hex.EncodeToString([]byte(strings.ToLower(mark)))}
	for skip := range 3 {
		encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat(" ", skip) + mark))
		out = append(out, strings.TrimRight(encoded, "=")[4:len(encoded)-6])
	}
	return out
}

// exposedData are what somebody may get hold of who has no key.
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
			l.t.Errorf("no database file among %v", files)
		}
	} else {
		out["the dump"] = pgDump(l.t, l.database)
	}
	var jobs []byte
	for _, row := range l.queryRows("SELECT kind, args, errors, metadata, tags, state FROM river_job") {
		jobs = fmt.Appendln(jobs, row)
	}
	if len(jobs) == 0 {
		l.t.Error("no jobs to look at")
	}
	out["the jobs"] = jobs
	return out
}

// pgDump is what pg_dump makes of a database.
func pgDump(t *testing.T, url string) []byte {
	t.Helper()
	command := "pg_dump"
	if _, err := exec.LookPath(command); err != nil {
		found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/pg_dump")
		if len(found) == 0 {
			t.Fatal("there is no pg_dump")
		}
		command = found[len(found)-1]
	}
	out, err := exec.Command(command, "--dbname", url).Output()
	if err != nil {
		t.Fatalf("pg_dump: %v", err)
	}
	if !bytes.Contains(out, []byte("COPY public.inbox")) {
		t.Error("the dump holds no deliveries")
	}
	return out
}

// rotateKeys gives the database new keys, twice: by the running bot and without one.
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
		t.Error("after the rotation by the running bot something reads otherwise")
	}
	if _, err := l.sendCommand("note INC-2 " + l.canary("note after the rotation")); err != nil {
		t.Error(err)
	}
	before = l.incidentTexts()
	l.stop()
	l.searchCanaries("after its end")
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
			t.Error("with the old keys the bot ended without an error")
		}
	case <-time.After(30 * time.Second):
		t.Error("the bot starts with the keys that were pruned")
		l.kill()
	}
	if out, err := l.run("verify"); err == nil {
		t.Errorf("with the old keys the verification passes: %s", out)
	}
	if err := os.WriteFile(l.keyset, current, 0o600); err != nil {
		t.Fatal(err)
	}
	l.start()
	l.checkVerify()
	if l.incidentTexts() != before {
		t.Error("after the rotation without a bot something reads otherwise")
	}
	l.searchCanaries("after the rotations")
}

// whileLoaded does something while alerts come in, of incidents that are known
// and of new ones. Each has to be taken, and to be read afterwards.
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
	l.waitFor(time.Minute, "it pours", func() bool { return number.Load() > 50 })
	do()
	b.setUnlimited(false)
	b.drain()
	l.waitFor(2*time.Minute, "every alert is worked", func() bool { return l.queryInt("SELECT count(*) FROM inbox WHERE handled_at IS NULL") == 0 })
	if bad := l.queryInt("SELECT CAST(coalesce(sum(count), 0) AS bigint) FROM alerts WHERE kind LIKE '%.unreadable'"); bad != 1 { // the one that was planted
		l.t.Errorf("%d deliveries could not be read", bad)
	}
	if b.results.statuses[http.StatusAccepted] != b.results.sent {
		l.t.Errorf("%d alerts during the rotation, answered %v", b.results.sent, b.results.statuses)
	}
	l.t.Logf("%d alerts came in meanwhile", b.results.sent)
}

// incidentTexts is what people read of every incident, but for what goes on meanwhile.
func (l *leakTest) incidentTexts() string {
	l.t.Helper()
	var b strings.Builder
	for n := range 4 { // what poured in later belongs to others
		v := l.view(incident.ID(n + 1))
		fmt.Fprintln(&b, v.Incident.Title, v.Incident.Record)
		for _, e := range v.Timeline {
			if e.By == "" {
				continue // the bot's own words go on: what failed is tried again
			}
			for _, name := range []string{"title", "text", "reason", "detail"} {
				fmt.Fprintln(&b, e.Kind, name, e.Text(name))
			}
		}
	}
	return b.String()
}

// newFailingMailServer is a mail server that refuses everybody for now, and says why in words of its own.
func newFailingMailServer(t *testing.T, mark string) string {
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
				fmt.Fprint(c, "220 sour ESMTP\r\n")
				in := bufio.NewScanner(c)
				for in.Scan() {
					switch verb, _, _ := strings.Cut(strings.ToUpper(in.Text()), " "); verb {
					case "RCPT":
						fmt.Fprintf(c, "451 4.7.1 <%s>: %s is greylisted\r\n", in.Text(), mark)
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

// TestSpellings makes sure that the search would find something.
func TestSpellings(t *testing.T) {
	const mark = "Qzabcdefghijklmnzq"
	for _, kept := range []string{"…" + mark + "…", hex.EncodeToString([]byte("x" + mark + "y")),
		base64.StdEncoding.EncodeToString([]byte(mark + "…")), base64.StdEncoding.EncodeToString([]byte("1" + mark + "…")),
		base64.StdEncoding.EncodeToString([]byte("12" + mark + "…")), base64.StdEncoding.EncodeToString([]byte("123" + mark))} {
		if !slices.ContainsFunc(encodings(mark), func(s string) bool { return strings.Contains(kept, s) }) {
			t.Errorf("%s would not be found in %s", mark, kept)
		}
	}
}
