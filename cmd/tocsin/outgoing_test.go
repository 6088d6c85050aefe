//go:build !race

package main_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/feed"
	"tocsin/bot/sandbox/mailbox"
	"tocsin/store/storetest"
)

// outgoingSeeds are personal data and secrets as people and senders write them, with
// the part that must not leave. They are split because secret scanners would otherwise
// report this file.
var outgoingSeeds = []struct{ name, text, needle string }{
	{"mail with an underscore", "ada.b_c@corp.example", "b_c@corp"},
	{"mail with special characters", "z!b#c$d%e&f'g*h~i@corp.example", "b#c$d%e&f'g*h~i"},
	{"mail with a tag", "o'neil+pay_roll@corp.example", "neil+pay_roll"},
	{"GitHub token", "ghp_" + "0123456789abcdefghijABCDEFGHIJ012345", "0123456789abcdefghijABCDEFGHIJ012345"},
	{"Slack token", "xoxb-" + "1234567890-1234567890123-AbCdEfGhIjKlMnOpQrStUvWx", "AbCdEfGhIjKlMnOpQrStUvWx"},
	{"AWS secret", "AKIAIOSFODNN7EXAMPLE:" + "wJalrXUtnFEMI" + "/K7MDENG/bPxRfiCYEXAMPLEKEY", "K7MDENG/bPxRfiCY"},
	{"JWT", "eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U", "XgL0n3I9PlFUP0THsR8U"},
	{"private key", "-----BEGIN PRIVATE KEY----- MIIBOgIBAAJBAKj34GkxFhD90vcNLYLInFEX6Ppy1tPf9Cnzj4p4 -----END PRIVATE KEY-----", "MIIBOgIBAAJBAKj34"},
	{"IBAN", "DE89 3704 0044 0532 0130 00", "3704 0044 0532"},
	{"card", "4111 1111 1111 1111", "4111 1111 1111 1111"},
	{"phone", "+33 6 12 34 56 78", "12 34 56"},
	{"national id", "SSN 536-22-8726", "536-22-8726"},
	{"national id, wrong check digits", "NIR 1 85 05 78 006 084 92", "78 006"},
	{"passphrase", "password: correct horse battery staple", "horse battery"},
	{"name", "Zdenka  Ožegović", "Ožegović"},
}

// TestOutgoing_NoSeedLeaves plants seeds in every text that people and senders write. It
// takes incidents through their lives, and searches every byte that the bot sent for the
// seeds, decoded as its readers see it: messages, forms, files, bookmarks and topics in
// Slack, replies, pages, mails with their attachments and invitations, error reports,
// metrics and the log. It also plants notes for legal and security, which no channel and
// no mail to others may contain.
func TestOutgoing_NoSeedLeaves(t *testing.T) {
	t.Parallel()
	o := &outgoingTest{reports: newReportServer(t)}
	o.botProcess = startBot(t, storetest.SQLite(t), company.Options{Seed: 83, HTTP: true, Limits: chat.Limits{Off: true}}, func(c map[string]any) {
		c["telemetry"].(map[string]any)["sentry_dsn"] = strings.Replace(o.reports.URL, "http://", "http://public@", 1) + "/1"
		c["redaction"] = map[string]any{"literals": []string{"Zdenka Ožegović"}}
	})
	o.plant()
	o.close()
	o.search()
}

type outgoingTest struct {
	*botProcess
	reports  *reportServer
	fields   int
	rejected atomic.Int32 // pages
}

// reportServer receives the error reports of sentry-go.
type reportServer struct {
	*httptest.Server
	mu  sync.Mutex
	all []string
}

func newReportServer(t *testing.T) *reportServer {
	s := &reportServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			if unpacked, err := gzip.NewReader(r.Body); err == nil {
				body = unpacked
			}
		}
		text, _ := io.ReadAll(body)
		s.mu.Lock()
		s.all = append(s.all, string(text))
		s.mu.Unlock()
		_, _ = io.WriteString(w, `{"id":"1"}`)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *reportServer) texts() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all)
}

// text returns every seed in one text, which begins with the name of its field.
func (o *outgoingTest) text(field string) string {
	o.fields++
	parts := []string{field}
	for _, s := range outgoingSeeds {
		parts = append(parts, s.text)
	}
	return strings.Join(parts, " ; ")
}

// plant sends alerts and runs commands with seeds in every text.
func (o *outgoingTest) plant() {
	t := o.t
	o.pagerProxy.setOverride(func(_ *http.Request, body string) (status int, answer string) {
		if strings.Contains(body, `"event_action":"trigger"`) && o.rejected.Add(1) <= 3 { // the page, its reduced form, and the page again
			raw, _ := json.Marshal(o.text("error of the pager"))
			status, answer = http.StatusBadRequest, `{"status":"invalid event","message":`+string(raw)+`,"errors":[`+string(raw)+`]}`
		}
		return status, answer
	})
	issue := feed.NewIssue(feed.DataLeak, 83)
	issue.Value, issue.Culprit, issue.URL = o.text("title of an alert"), o.text("culprit"), "https://shop.example/login?user=ada.b_c%40corp.example&password=correct+horse"
	issue.Tags = append(issue.Tags, [2]string{"customer", o.text("tag")})
	if a, err := o.company.Sentry.EventAlert(t.Context(), issue, feed.Copy{}); err != nil || a.Status != http.StatusAccepted {
		t.Fatalf("send alert: got status %d, %v", a.Status, err)
	}
	o.waitIdle(2 * time.Minute)
	channel := o.channelOf(1).ID
	for n, s := range outgoingSeeds { // titles are short
		if _, err := o.sendCommand(fmt.Sprintf("open sev3 --public Title %d %s", n, s.text)); err != nil {
			t.Errorf("open: %v", err)
		}
	}
	for _, command := range []string{"ack", "public", "note " + o.text("note"), "fact personal_data suspected because " + o.text("reason of a fact"),
		`fact affected "` + o.text("affected party") + `" processor 12 because ` + o.text("reason"), `evidence "` + o.text("name of evidence") + `" in "` + o.text("place of evidence") + `"`,
		"update " + o.text("update"), "severity sev2 because " + o.text("reason of a severity"), "contain " + o.text("containment"), "consult payments blocking",
		"involve legal because " + o.text("reason of involving"), "resolve " + o.text("resolution") + " because " + o.text("reason of open steps")} {
		verb, rest, _ := strings.Cut(command, " ")
		if _, err := o.sendCommand(strings.TrimSpace(verb + " INC-1 " + rest)); err != nil {
			t.Errorf("%q: %v", command, err)
		}
	}
	for _, run := range o.view(1).Incident.Runs {
		for _, step := range run.Plan {
			if !step.Finished() {
				_, _ = o.sendCommand("step done INC-1 " + run.Playbook + "/" + step.ID + " " + o.text("outcome of a step"))
			}
		}
	}
	security := o.company.In("security")[0]
	o.slashUntilRecorded(security, channel, "note --audience legal_and_security "+privilegedNote+" "+o.text("note for legal and security"))
	o.waitFor(time.Minute, "the request to the team", func() bool {
		return o.queryInt(`SELECT count(*) FROM effects WHERE kind = 'ask_consult' AND state = 'completed'`) == 1
	})
	o.slashUntilRecorded(o.company.In("payments")[0], channel, "answer payments "+o.text("answer"))
	for _, field := range []string{"summary", "impact", "root_cause", "contributing_factors", "what_was_done", "what_detected_it", "what_will_detect_it", "what_will_prevent_it"} {
		o.slashUntilRecorded(security, channel, "record set "+field+" "+o.text(field))
	}
	o.slashUntilRecorded(security, channel, "record set audience all")
}

const privilegedNote = "Qzprivilegednotezq"

// close takes the incident to its last mail, opens every form that shows texts, and
// makes the bot quote input in refusals.
func (o *outgoingTest) close() {
	channel := o.channelOf(1).ID
	security, legal, engineer := o.company.In("security")[0], o.company.In("legal")[0], o.company.In("engineering")[1]
	quoted := []string{"role scribe ada.b_c@corp.example", "severity ghp_" + "0123456789abcdefghijABCDEFGHIJ012345", `merge into "ada.b_c@corp.example"`}
	for _, command := range append(quoted, "record", "status", "status INC-2", "list", "alerts watched", "explain alert A1", "record set", "help note") {
		_, _ = o.slash(engineer, channel, command)
	}
	if _, err := o.company.Chat.Act(engineer.ID).OpenHome(); err != nil {
		o.t.Errorf("open home: %v", err)
	}
	o.slashUntilRecorded(security, channel, "submit")
	digest := o.view(1).Incident.Submission.Digest
	o.slashUntilRecorded(legal, channel, "object legal "+digest+" "+o.text("objection"))
	o.slashUntilRecorded(legal, channel, "withdraw O1 because "+o.text("withdrawal"))
	for _, form := range []string{"sign", "object", "submit", "amend", "conclude"} {
		_, _ = o.slash(legal, channel, form)
	}
	signer := []int{2, 1, 0, 0} // neither submitter nor reader
	for n, d := range []string{"engineering", "security", "legal", "communications"} {
		o.slashUntilRecorded(o.company.In(d)[signer[n]], channel, "sign "+d+" "+digest)
	}
	o.waitFor(time.Minute, "the mail with the postmortem", func() bool { return len(o.company.Mail.For(company.EveryoneMail)) == 1 })
	o.slashUntilRecorded(security, channel, "review 2027-11-24 10:00")
	o.slashUntilRecorded(security, channel, "action add detection "+o.text("action item")+" owner me due 2027-12-24")
	_, _ = o.slash(security, channel, "review conclude with me because "+o.text("early review")+": "+o.text("decisions"))
	_, _ = o.slash(security, channel, "review waive "+o.text("waiver"))
	_, _ = o.slash(security, channel, "status")
	o.waitIdle(2 * time.Minute)
}

// sent returns all data that left the bot, by place.
func (o *outgoingTest) sent() map[string][]string {
	out := map[string][]string{}
	for _, c := range o.company.Chat.Calls() {
		raw, _ := json.Marshal(c.Args)
		var args any
		_ = json.Unmarshal(raw, &args)
		out["Slack "+c.Method] = append(out["Slack "+c.Method], stringsIn(args)...)
	}
	for _, d := range o.company.Chat.Deliveries() {
		var body any
		_ = json.Unmarshal([]byte(d.Answer), &body)
		out["reply to a "+d.Type] = append(append(out["reply to a "+d.Type], d.Answer), stringsIn(body)...)
	}
	for _, f := range o.company.Chat.Files() {
		raw, _ := o.company.Chat.FileContent(f.ID)
		out["file "+f.Name] = append(out["file "+f.Name], f.Name, f.Title, string(raw))
	}
	for _, r := range o.company.Pager.Requests() {
		var body any
		_ = json.Unmarshal(r.Body, &body)
		out["PagerDuty"] = append(append(out["PagerDuty"], string(r.Body)), stringsIn(body)...)
	}
	for _, m := range o.company.Mail.Messages() {
		place := "mail to " + strings.Join(m.Recipients, ", ")
		out[place] = append(out[place], mailTexts(m)...)
	}
	_, metrics := o.httpGet("/metrics")
	_, ready := o.httpGet("/readyz")
	out["metrics"], out["readyz"], out["the log"], out["error reports"] = []string{metrics}, []string{ready}, strings.Split(o.logText(), "\n"), o.reports.texts()
	return out
}

// search requires that no seed is in the data that left, and that the data is complete.
func (o *outgoingTest) search() {
	t := o.t
	places := o.sent()
	size, count := 0, 0
	for place, texts := range places {
		for _, text := range texts {
			size += len(text)
			for _, decoded := range decodings(text) {
				for _, s := range outgoingSeeds {
					if at := strings.Index(decoded, s.needle); at >= 0 {
						if count++; count <= 40 {
							t.Errorf("%s: got the %s: …%q…", place, s.name, decoded[max(0, at-80):min(len(decoded), at+60)])
						}
					}
				}
				if strings.Contains(decoded, privilegedNote) && !strings.HasPrefix(place, "reply to") {
					t.Errorf("%s: got the note for legal and security", place)
				}
			}
		}
	}
	for _, place := range []string{"Slack chat.postMessage", "Slack chat.update", "Slack views.open", "Slack views.publish", "Slack conversations.setTopic", "Slack bookmarks.add",
		"reply to a /incident", "file inc-1-postmortem-r1.md", "file inc-1-postmortem-r1.html", "PagerDuty", "mail to " + company.EveryoneMail, "mail to " + company.EmergencyMail, "error reports"} {
		if len(places[place]) == 0 {
			t.Errorf("nothing left by %s", place)
		}
	}
	if !slices.ContainsFunc(o.company.Mail.Messages(), func(m mailbox.Message) bool { _, ok := m.Calendar(); return ok }) {
		t.Error("got no invitation")
	}
	const leftOut = "1 note for legal and security was left out."
	for _, place := range []string{"Slack chat.postMessage", "reply to a /incident"} { // the files and the status
		if !strings.Contains(strings.Join(places[place], "\n"), leftOut) {
			t.Errorf("%s: the line about the note that was left out is missing", place)
		}
	}
	if status := o.mustRun("incident", "status", "INC-1"); !strings.Contains(status, leftOut) || strings.Contains(status, privilegedNote) || !strings.Contains(status, "horse battery") {
		t.Errorf("got status for an engineer on the control socket: want all texts but the note for legal and security, and the line about it\n%s", status)
	}
	everyone := o.company.Mail.For(company.EveryoneMail)[0]
	for _, a := range everyone.Attachments {
		if !bytes.Contains(a.Content, []byte(leftOut)) || !bytes.Contains(a.Content, []byte("note ; ")) {
			t.Errorf("%s: the line about the note that was left out, or the text of the other note, is missing", a.Name)
		}
	}
	t.Logf("planted %d seeds in %d texts, searched %d places with %d bytes, found %d", len(outgoingSeeds), o.fields, len(places), size, count)
}
