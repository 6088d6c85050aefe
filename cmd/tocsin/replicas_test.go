//go:build !race

package main_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
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
	"tocsin/bot/slack"
	"tocsin/store/storetest"
)

// replicas are two bots with one database. Slack sends every second command and click to the
// other one.
type replicas struct {
	*botProcess
	second *botProcess
}

func startReplicas(t *testing.T, seed uint64) *replicas {
	t.Helper()
	s := startBot(t, storetest.Postgres(t), company.Options{Seed: seed, HTTP: true, Limits: chat.Limits{Off: true}}, configureEverything)
	b := &botProcess{t: t, binary: s.binary, dir: t.TempDir(), database: s.database, keyset: s.keyset, company: s.company, pagerProxy: s.pagerProxy, url: "http://" + freeAddress(t), telemetry: freeAddress(t)}
	b.config, b.socket = filepath.Join(b.dir, "tocsin.yaml"), filepath.Join(b.dir, "control.sock")
	raw, err := os.ReadFile(s.config)
	config := map[string]any{}
	if err == nil {
		err = json.Unmarshal(raw, &config)
	}
	if err == nil {
		b.log, err = os.OpenFile(filepath.Join(b.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	config["telemetry"].(map[string]any)["listen"] = b.telemetry
	config["listen"], config["control_socket"], config["replica_id"] = strings.TrimPrefix(b.url, "http://"), b.socket, "second"
	b.writeConfig(config)
	t.Cleanup(b.kill)
	b.start()

	proxies := make([]*httputil.ReverseProxy, 2)
	for n, to := range []string{s.url, b.url} {
		target, err := url.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		proxies[n] = httputil.NewSingleHostReverseProxy(target)
	}
	var turn, events atomic.Int64
	balancer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		counter := &turn
		if r.URL.Path == "/slack/events" {
			counter = &events
		}
		proxies[counter.Add(1)%2].ServeHTTP(w, r)
	}))
	t.Cleanup(balancer.Close)
	s.company.Chat.SetDelivery(chat.ModeHTTP, balancer.URL+"/slack/commands", balancer.URL+"/slack/interactions", balancer.URL+"/slack/events")
	return &replicas{s, b}
}

// act is what one person does: a command, or a click if it has a button.
type act struct {
	who           company.Person
	channel, text string
	ts            string
	button        string
}

// atOnce performs acts at the same time and returns what each person reads then.
func (r *replicas) atOnce(acts ...act) []string {
	r.t.Helper()
	out, before := make([]string, len(acts)), make([]int, len(acts))
	for n, a := range acts {
		before[n] = len(r.company.Chat.Ephemerals(a.who.ID))
	}
	var all sync.WaitGroup
	begin := make(chan struct{})
	for _, a := range acts {
		all.Go(func() {
			<-begin
			var err error
			if a.button != "" {
				err = r.company.Chat.Act(a.who.ID).Click(a.channel, a.ts, chat.Action{ID: a.button, Outdated: true})
			} else {
				_, err = r.slash(a.who, a.channel, a.text)
			}
			if err != nil {
				r.t.Errorf("%+v: %v", a, err)
			}
		})
	}
	close(begin)
	all.Wait()
	for n, a := range acts {
		read := func() bool { return len(r.company.Chat.Ephemerals(a.who.ID)) > before[n] }
		if !eventually(20*time.Second, read) {
			r.t.Errorf("%s reads nothing after %s%s", a.who.Name, a.text, a.button)
			continue
		}
		for _, m := range r.company.Chat.Ephemerals(a.who.ID)[before[n]:] {
			out[n] += m.Text + string(m.Blocks)
		}
	}
	return out
}

// count returns how many events of a kind the incident has.
func (r *replicas) count(id incident.ID, kind incident.EventKind) int {
	return len(slices.DeleteFunc(r.view(id).Timeline, func(e incident.Event) bool { return e.Kind != kind }))
}

// TestReplicas_SameActAtOnce lets people do the same at both replicas at the same time. It
// happens once, and everybody reads what happened.
func TestReplicas_SameActAtOnce(t *testing.T) {
	t.Parallel()
	r := startReplicas(t, 81)
	in := r.company.In
	engineers, security, legal, communications := in("engineering"), in("security"), in("legal"), in("communications")
	var id incident.ID
	var channel string
	open := func() {
		t.Helper()
		reply, err := r.sendCommand("open sev3 --public a stranger's payslip")
		if err != nil {
			t.Fatal(err)
		}
		id = reply.Result.Incident.ID
		channel = r.channelOf(id).ID
		r.waitIdle(time.Minute)
	}
	once := func(what string, kind incident.EventKind, before int, want []string, got []string) {
		t.Helper()
		r.waitIdle(time.Minute)
		if n := r.count(id, kind) - before; n != 1 {
			t.Errorf("%s: got %d events %s, want 1", what, n, kind)
		}
		for n, w := range want {
			ok := false
			for _, part := range strings.Split(w, "|") {
				ok = ok || strings.Contains(got[n], part)
			}
			if !ok {
				t.Errorf("%s: person %d reads %.500s, want %q", what, n+1, got[n], w)
			}
		}
	}
	either := func(first string) []string { return []string{first, first} }

	open()
	card := r.view(id).Incident.Links[incident.LinkCard]
	press := act{who: engineers[0], channel: channel, ts: card, button: slack.ActionID(incident.VerbAcknowledge)}
	once("one button, twice", incident.EventAcknowledged, 0, nil, r.atOnce(press, press))
	open()
	card = r.view(id).Incident.Links[incident.LinkCard]
	press.channel, press.ts = channel, card
	other := press
	other.who = security[0]
	once("two people acknowledge", incident.EventAcknowledged, 0, either("acknowledged|command"), r.atOnce(press, other))
	commands := func(text string, who ...company.Person) (out []act) {
		for _, p := range who {
			out = append(out, act{who: p, channel: channel, text: text})
		}
		return out
	}
	before := r.count(id, incident.EventSeveritySet)
	once("severity", incident.EventSeveritySet, before, either("sev2"), r.atOnce(commands("severity sev2 because of payslips", engineers[0], security[0])...))
	if reply, err := r.slash(communications[0], channel, "update --to company exports are off"); err != nil || !strings.Contains(reply, "U1") {
		t.Fatalf("update: got %s, %v", reply, err)
	}
	once("approve an update", incident.EventUpdateApproved, 0, either("goes to its audiences|approved"), r.atOnce(commands("update approve U1", legal[0], communications[1])...))
	both := append(commands("update --to company exports are on", communications[0]), commands("update --to company --corrects U1 exports are off until noon", communications[1])...)
	r.atOnce(both...)
	r.waitIdle(time.Minute)
	if updates := r.view(id).Incident.Updates; len(updates) != 3 || updates[1].ID == updates[2].ID {
		t.Errorf("two updates: got %+v, want U2 and U3", updates)
	}
	approveAndCorrect := append(commands("update approve U2", legal[0]), commands("update --to company --corrects U2 no, off", communications[0])...)
	r.atOnce(approveAndCorrect...)
	r.waitIdle(time.Minute)
	if n := r.count(id, incident.EventUpdateApproved); n != 2 {
		t.Errorf("approve and correct: got %d approvals, want 2", n)
	}
	for u, want := range map[string]bool{"U2": false, "U4": true} {
		inc := r.view(id).Incident
		if v := inc.Update(u); v == nil || v.Waits() != want {
			t.Errorf("%s: got %+v, want it to wait: %t", u, v, want)
		}
	}
	once("contain", incident.EventContained, 0, either("contained"), r.atOnce(commands("contain the flag is off", engineers[0], engineers[1])...))
	once("resolve", incident.EventResolved, 0, either("resolved"), r.atOnce(commands("resolve fixed because open steps do not matter", engineers[0], engineers[1])...))
	for _, field := range []string{"summary", "impact", "root_cause", "what_was_done", "what_detected_it", "what_will_detect_it", "what_will_prevent_it"} {
		r.slashUntilRecorded(engineers[0], channel, "record set "+field+" text of "+field)
	}
	once("submit", incident.EventSubmitted, 0, either("frozen|submitted|in review"), r.atOnce(commands("submit", engineers[0], engineers[1])...))
	digest := r.view(id).Incident.Submission.Digest
	once("two sign for one department", incident.EventSigned, 0, either("signed|sign"), r.atOnce(commands("sign security "+digest, security[0], security[1])...))
	before = r.count(id, incident.EventSigned)
	answers := r.atOnce(append(commands("sign legal "+digest, legal[0]), commands("sign communications "+digest, communications[0])...)...)
	r.waitIdle(time.Minute)
	if n := r.count(id, incident.EventSigned) - before; n != 2 {
		t.Errorf("two departments sign: got %d signatures, want 2: %s", n, answers)
	}
	once("the last signature, twice", incident.EventApproved, 0, either("approved|signed|already"), r.atOnce(commands("sign engineering "+digest, engineers[2], engineers[2])...))
	r.waitIdle(time.Minute)
	effects := r.checkEffects()
	if doubled := r.checkMessages(effects); doubled > 0 {
		t.Errorf("%d messages were doubled", doubled)
	}
	if files := len(slices.DeleteFunc(r.company.Chat.Files(), func(f chat.File) bool { return len(f.Shares) == 0 })); files != 2 {
		t.Errorf("got %d files, want the postmortem in two formats", files)
	}
	if mails := r.company.Mail.Counts(); len(mails) == 0 {
		t.Error("got no mails")
	} else {
		for mail, n := range mails {
			if n != 1 {
				t.Errorf("mail %s: got it %d times", mail, n)
			}
		}
	}
	r.checkVerify()
}
