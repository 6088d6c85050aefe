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
		l := &leak{marks: map[string]string{}}
		post := newSourPost(t, l.mark("answer of the mail server"))
		name := l.mark("name of a person")
		var slack *wire
		o := company.Options{Seed: 31, HTTP: true, Limits: chat.Limits{Off: true}}
		l.survivor = raise(t, url, o, func(c map[string]any) {
			c["people"].([]any)[0].(map[string]any)["name"] = "Ada " + name
			host, port, _ := net.SplitHostPort(post)
			c["mail"].(map[string]any)["host"], c["mail"].(map[string]any)["port"] = host, port
			api := c["slack"].(map[string]any)
			slack = newWire(t, strings.TrimSuffix(api["api_url"].(string), "/api/"))
			api["api_url"] = slack.url + "/api/"
		})
		l.slack = slack
		l.plant()
		l.readable()
		l.search("while it runs")
		l.rotate()
	})
}

type leak struct {
	*survivor
	slack *wire

	mu    sync.Mutex
	marks map[string]string // the string, and where it was planted
}

// mark makes a string to plant: a word that nothing redacts and no chance repeats.
func (l *leak) mark(where string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := "Qz" + strings.ToLower(rand.Text()[:14]) + "zq"
	l.marks[m] = where
	return m
}

func (l *leak) plant() {
	t := l.t
	issue := feed.NewIssue(feed.DataLeak, 31)
	issue.Value, issue.Culprit = issue.Value+" "+l.mark("title of an alert"), "views "+l.mark("culprit of an alert")
	issue.Tags = append(issue.Tags, [2]string{"customer", l.mark("tag of an alert")})
	issue.Frames[len(issue.Frames)-1].Line = "raise " + l.mark("stack of an alert")
	issue.User.Email = l.mark("address of a user") + "@customer.example"
	issue.URL += "?q=" + l.mark("address of a request")
	copied := feed.Copy{Marker: []string{l.mark("deep in an alert")}}
	l.taken(l.company.Sentry.EventAlert(t.Context(), issue, copied))
	l.taken(l.company.Sentry.ErrorCreated(t.Context(), issue, copied))
	call := feed.CreateAccessKey(31)
	call.Identity["userName"], call.UserAgent = l.mark("user of a call"), l.mark("agent of a call")
	call.Request["userName"] = l.mark("argument of a call")
	l.taken(l.company.Trail.Deliver(t.Context(), call, copied))
	odd := fmt.Sprintf(`{"action":"%s","data":{"%s":1}}`, l.mark("action nobody knows"), l.mark("shape nobody knows"))
	l.taken(l.company.Sentry.Send(t.Context(), l.company.Sentry.NewDelivery("issue", []byte(odd), l.mark("id of a delivery"))))
	if a, _ := l.company.Sentry.Send(t.Context(), l.company.Sentry.NewDelivery("issue", []byte("no json "+l.mark("body that is no JSON")), "x")); a.Status != http.StatusBadRequest {
		t.Errorf("a body that is not JSON was answered %d", a.Status)
	}
	l.quiet(2 * time.Minute)
	l.sour()
	ada, second := l.company.In("engineering")[0], l.company.In("engineering")[1]
	channel := l.channelOf(1).ID
	for _, words := range []string{
		"note " + l.mark("note"), "fact personal_data suspected because " + l.mark("reason of a fact"),
		`fact affected "` + l.mark("party that is affected") + ` SA" processor 12 because they wrote`,
		`evidence "` + l.mark("name of evidence") + `" in s3://` + strings.ToLower(l.mark("place of evidence")) + `/x`,
		"update " + l.mark("update"), "severity sev2 because " + l.mark("reason of a severity"), "contain " + l.mark("containment"),
		"consult payments blocking", "resolve " + l.mark("resolution"),
	} {
		if _, err := l.ask(strings.Replace(words, " ", " INC-1 ", 1)); err != nil {
			t.Errorf("over the socket: %q: %v", words, err)
		}
	}
	payments := l.company.In("payments")[0]
	l.until(time.Minute, "the team was asked", func() bool {
		return l.count(`SELECT count(*) FROM effects WHERE kind = 'ask_consult' AND state = 'completed'`) == 1
	})
	l.insist(payments, channel, "answer payments "+l.mark("answer of a team"))
	_, _ = l.slash(ada, channel, "nonsense "+l.mark("words that were not understood"))
	_, _ = l.slash(ada, channel, "role scribe "+l.mark("person that nobody is"))
	_, _ = l.ask("open sev3 --public " + l.mark("title that a person gave"))
	for _, field := range []string{"summary", "impact", "root_cause", "contributing_factors", "what_was_done", "what_detected_it", "what_will_detect_it", "what_will_prevent_it"} {
		l.insist(second, channel, "record set "+field+" "+l.mark("record's "+field))
	}
	l.insist(second, channel, "record set audience all")
	l.insist(second, channel, "submit")
	l.insist(l.company.In("legal")[0], channel, "object legal "+l.view(1).Incident.Submission.Digest+" "+l.mark("objection"))
	l.insist(l.company.In("legal")[0], channel, "withdraw O1 because "+l.mark("withdrawal"))
	l.until(time.Minute, "the departments were asked", func() bool {
		return l.count(`SELECT count(*) FROM effects WHERE kind = 'ask_sign' AND state = 'completed'`) >= 4
	})
	digest := l.view(1).Incident.Submission.Digest
	for n, d := range []string{"engineering", "security", "legal", "communications"} {
		who := l.company.In(d)[0]
		if n == 0 {
			who = l.company.In(d)[2]
		}
		l.insist(who, channel, "sign "+d+" "+digest)
	}
	l.until(time.Minute, "the postmortem is shared", func() bool {
		return l.count(`SELECT count(*) FROM effects WHERE kind = 'upload' AND state = 'completed'`) == 1
	})
	l.insist(second, channel, "action add detection "+l.mark("action item")+" owner me due 2027-12-24")
	l.until(time.Minute, "the mail was tried", func() bool {
		return l.count(`SELECT count(*) FROM river_job WHERE state IN ('retryable', 'scheduled') AND attempt > 0`)+
			l.count(`SELECT count(*) FROM effects WHERE kind = 'mail_postmortem' AND state IN ('discarded', 'completed')`) > 0
	})
}

// sour lets Slack and PagerDuty fail for a while, in words that quote things.
func (l *leak) sour() {
	html, code, pager := l.mark("HTML of Slack's error"), l.mark("code of Slack's refusal"), l.mark("words of PagerDuty's refusal")
	answered := map[string]int{}
	var mu sync.Mutex
	first := func(what string, n int) bool {
		mu.Lock()
		defer mu.Unlock()
		answered[what]++
		return answered[what] <= n
	}
	l.slack.answerWith(func(r *http.Request, _ string) (int, string) {
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
	l.pages.answerWith(func(_ *http.Request, body string) (int, string) {
		if strings.Contains(body, `"event_action":"trigger"`) && first("page", 4) {
			return http.StatusBadRequest, `{"status":"invalid event","message":"` + pager + `","errors":["` + pager + `"]}`
		}
		if first("ack", 2) {
			return http.StatusInternalServerError, pager
		}
		return 0, ""
	})
	l.taken(l.company.Trail.Deliver(l.t.Context(), feed.StopLogging(77), feed.Copy{}))
	l.until(time.Minute, "the page was refused", func() bool {
		return l.count(`SELECT count(*) FROM effects WHERE kind = 'page' AND state = 'discarded'`) > 0
	})
}

func (l *leak) taken(a feed.Answer, err error) {
	l.t.Helper()
	if err != nil || a.Status != http.StatusAccepted {
		l.t.Errorf("an alert was answered %d: %v", a.Status, err)
	}
}

// readable makes sure that what was planted did arrive: with the key, it reads.
func (l *leak) readable() {
	l.t.Helper()
	var all []byte
	for n := range l.count("SELECT count(*) FROM incidents") {
		reply, err := l.ask("status " + incident.ID(n+1).String())
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
	for mark, where := range l.marks {
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
	l.t.Logf("%d strings planted, %d of them are shown with the incidents", len(l.marks), len(l.marks)-len(missing))
}

// search looks for every string, in every spelling, in everything that is kept
// or printed.
func (l *leak) search(when string) {
	l.t.Helper()
	places := l.places()
	found, size := 0, 0
	for place, content := range places {
		size += len(content)
		lower := bytes.ToLower(content)
		for mark, where := range l.marks {
			for _, spelling := range spellings(mark) {
				if bytes.Contains(content, []byte(spelling)) || bytes.Contains(lower, []byte(strings.ToLower(mark))) {
					found++
					at := max(bytes.Index(lower, []byte(strings.ToLower(mark))), 0)
					l.t.Errorf("%s: the %s stands in %s: …%q…", when, where, place, content[max(0, at-160):min(len(content), at+80)])
					break
				}
			}
		}
	}
	l.t.Logf("%s: %d strings, %d places, %d bytes: found %d", when, len(l.marks), len(places), size, found)
}

// spellings of a string in bytes, as hexadecimal digits, and in the three
// alignments of base64.
func spellings(mark string) []string {
	out := []string{mark, hex.EncodeToString([]byte(mark)), hex.EncodeToString([]byte(strings.ToLower(mark)))}
	for skip := range 3 {
		encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat(" ", skip) + mark))
		out = append(out, strings.TrimRight(encoded, "=")[4:len(encoded)-6])
	}
	return out
}

// places are what somebody may get hold of who has no key.
func (l *leak) places() map[string][]byte {
	l.t.Helper()
	out := map[string][]byte{"the log": []byte(l.logged())}
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
		out["the dump"] = dump(l.t, l.database)
	}
	var jobs []byte
	for _, row := range l.rows("SELECT kind, args, errors, metadata, tags, state FROM river_job") {
		jobs = fmt.Appendln(jobs, row)
	}
	if len(jobs) == 0 {
		l.t.Error("no jobs to look at")
	}
	out["the jobs"] = jobs
	return out
}

// dump is what pg_dump makes of a database.
func dump(t *testing.T, url string) []byte {
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

// rotate gives the database new keys, twice: by the running bot and without one.
func (l *leak) rotate() {
	t := l.t
	old, err := os.ReadFile(l.keyset)
	if err != nil {
		t.Fatal(err)
	}
	before := l.shown()
	l.whileItPours(func() {
		for range 3 {
			t.Log(strings.TrimSpace(l.must("keys", "rotate", "--prune")))
		}
	})
	l.intact()
	if l.shown() != before {
		t.Error("after the rotation by the running bot something reads otherwise")
	}
	if _, err := l.ask("note INC-2 " + l.mark("note after the rotation")); err != nil {
		t.Error(err)
	}
	before = l.shown()
	l.stop()
	l.search("after its end")
	t.Log(strings.TrimSpace(l.must("keys", "rotate", "--prune")))
	l.intact()

	current, err := os.ReadFile(l.keyset)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(l.keyset, old, 0o600); err != nil {
		t.Fatal(err)
	}
	p := l.launch()
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
	l.intact()
	if l.shown() != before {
		t.Error("after the rotation without a bot something reads otherwise")
	}
	l.search("after the rotations")
}

// whileItPours does something while alerts come in, of incidents that are known
// and of new ones. Each has to be taken, and to be read afterwards.
func (l *leak) whileItPours(do func()) {
	l.t.Helper()
	var number atomic.Int64
	call := feed.StopLogging(77)
	b := newBarrage(l.survivor, 8, func() parcel {
		n := int(number.Add(1))
		if n%50 == 0 && n <= 500 {
			return parcel{story: "new", trail: true, Delivery: l.company.Trail.Delivery(newStory(2 * n).calls[0], feed.Copy{N: n})}
		}
		return parcel{story: "known", trail: true, Delivery: l.company.Trail.Delivery(call, feed.Copy{N: n})}
	})
	b.pour(true)
	l.until(time.Minute, "it pours", func() bool { return number.Load() > 50 })
	do()
	b.pour(false)
	b.drain()
	l.until(2*time.Minute, "every alert is worked", func() bool { return l.count("SELECT count(*) FROM inbox WHERE handled_at IS NULL") == 0 })
	if bad := l.count("SELECT CAST(coalesce(sum(count), 0) AS bigint) FROM alerts WHERE kind LIKE '%.unreadable'"); bad != 1 { // the one that was planted
		l.t.Errorf("%d deliveries could not be read", bad)
	}
	if b.books.statuses[http.StatusAccepted] != b.books.sent {
		l.t.Errorf("%d alerts during the rotation, answered %v", b.books.sent, b.books.statuses)
	}
	l.t.Logf("%d alerts came in meanwhile", b.books.sent)
}

// shown is what people read of every incident, but for what goes on meanwhile.
func (l *leak) shown() string {
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

// newSourPost is a mail server that refuses everybody for now, and says why in words of its own.
func newSourPost(t *testing.T, mark string) string {
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
		if !slices.ContainsFunc(spellings(mark), func(s string) bool { return strings.Contains(kept, s) }) {
			t.Errorf("%s would not be found in %s", mark, kept)
		}
	}
}
