//go:build !race

package main_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/feed"
	"tocsin/store/storetest"
)

// TestKill_OrderOfTheOpening kills the bot at every call to Slack with which it opens an
// incident, before the call takes effect and after that. It also fails every call in every
// way that Slack has. Each time the channel must read as after an undisturbed opening.
//
// Each call is disturbed in one way. With TOCSIN_TEST_HEAVY these are more ways, and also
// PostgreSQL with Socket Mode. TOCSIN_TEST_DISTURBANCES sets the number of ways.
func TestKill_OrderOfTheOpening(t *testing.T) {
	t.Parallel()
	databases, ways := map[string]string{"sqlite": storetest.SQLite(t)}, 1
	if fullSize {
		databases["postgres"], ways = storetest.Postgres(t), 2
	}
	if n, err := strconv.Atoi(os.Getenv("TOCSIN_TEST_DISTURBANCES")); err == nil {
		ways = min(n, len(disturbances))
	}
	for name, url := range databases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := &openings{botProcess: startBot(t, url, company.Options{Seed: 71, HTTP: name == "sqlite", Limits: chat.Limits{Off: true}}, configureEverything)}
			o.company.Chat.ChooseFaults(o.choose)
			o.company.Chat.Subscribe(o.onEntry)
			o.run(ways)
		})
	}
}

// disturbances are the ways to disturb a call. During the first two the bot is killed.
var disturbances = []chat.FaultKind{chat.FaultDelay, chat.FaultHang, chat.FaultDropAfter, chat.FaultRateLimit, chat.FaultServerAfter, chat.FaultServerError, chat.FaultInternalAfter, chat.FaultFatalAfter}

// openings opens incidents, one after the other.
type openings struct {
	*botProcess
	opened  int
	skipped int      // openings that did not make the call
	want    []string // the channel after an undisturbed opening

	mu    sync.Mutex
	calls []string       // of the current opening, such as "chat.postMessage 2"
	count map[string]int // by method
	fault chat.Fault     // of the call target
	at    string
	hit   chan struct{}
}

// choose returns the fault of a call and counts it.
func (o *openings) choose(method string, _ map[string]any) chat.Fault {
	if slices.Contains([]string{"apps.connections.open", "auth.test", "usergroups.users.list"}, method) {
		return chat.Fault{} // of a start
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.count[method]++
	call := method + " " + strconv.Itoa(o.count[method])
	o.calls = append(o.calls, call)
	if call != o.at {
		return chat.Fault{}
	}
	o.at = ""
	return o.fault
}

// onEntry reports the disturbed call. It has taken effect by then, or will not.
func (o *openings) onEntry(e chat.Entry) {
	if e.Call == nil || e.Call.Fault == "" {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.hit != nil {
		close(o.hit)
		o.hit = nil
	}
}

// begin forgets the calls of the last opening and disturbs a call of the next one.
func (o *openings) begin(at string, fault chat.Fault) (hit <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls, o.count, o.at, o.fault, o.hit = nil, map[string]int{}, at, fault, make(chan struct{})
	return o.hit
}

// alert opens the next incident.
func (o *openings) alert() {
	o.t.Helper()
	o.opened++
	issue := feed.NewIssue(feed.DataLeak, uint64(o.opened)+700)
	issue.Org = "org-" + strconv.Itoa(o.opened)
	answer, err := o.company.Sentry.EventAlert(o.t.Context(), issue, feed.Copy{N: o.opened})
	if err != nil || answer.Status/100 != 2 {
		o.t.Fatalf("alert: got %+v, %v", answer, err)
	}
}

func (o *openings) run(ways int) {
	calls, known := o.undisturbed(), o.undisturbed()
	o.want = o.channelText(2)
	if first := strings.Join(o.want[:min(3, len(o.want))], ", "); first != "card slack.card, alert_attached/post slack.alerts, checklist/first slack.checklist" {
		o.t.Errorf("got %s first, want the card, the alert and the first steps", first)
	}
	o.t.Logf("calls: %s\nchannel:\n%s", strings.Join(calls, ", "), strings.Join(o.want, "\n"))
	for n, call := range calls {
		for way := range ways {
			if !slices.Contains(known, call) { // only the first opening after a start makes the call
				o.stop()
				o.start()
			}
			o.disturb(call, disturbances[(n+way*3)%len(disturbances)])
		}
	}
	if o.skipped*5 > o.opened {
		o.t.Errorf("%d of %d openings did not make the call", o.skipped, o.opened)
	}
	o.checkMessages(o.checkEffects())
	o.checkVerify()
	paged := map[string]int{}
	for _, in := range o.company.Pager.Snapshot().Incidents {
		if strings.HasPrefix(in.Key, "INC-") { // the others are about absent people
			paged[in.Key]++
		}
	}
	for n := range o.opened {
		if key := fmt.Sprintf("INC-%d/1", n+1); paged[key] != 1 {
			o.t.Errorf("got %d pages %s, want 1", paged[key], key)
		}
	}
}

// undisturbed opens an incident and returns the calls.
func (o *openings) undisturbed() []string {
	o.t.Helper()
	o.begin("", chat.Fault{})
	o.alert()
	o.channelOf(incident.ID(o.opened))
	o.waitIdle(time.Minute)
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.calls)
}

// disturb opens an incident with one disturbed call.
func (o *openings) disturb(call string, way chat.FaultKind) {
	o.t.Helper()
	hit := o.begin(call, chat.Fault{Kind: way})
	o.alert()
	id := incident.ID(o.opened)
	isHit := eventually(30*time.Second, func() bool {
		select {
		case <-hit:
			return true
		default: // several invitations can be in one call
			return o.queryInt(fmt.Sprintf("SELECT count(*) FROM incidents WHERE id = %d", id)) == 1 && o.queryInt(backlogQuery) == 0
		}
	})
	select {
	case <-hit:
		if way == chat.FaultDelay || way == chat.FaultHang {
			o.kill()
			o.start()
		}
	default:
		o.skipped++
		o.t.Logf("%s of %s, %s: the opening did not make the call (idle: %v)", call, id, way, isHit)
	}
	o.channelOf(id)
	o.waitIdle(2 * time.Minute)
	if got := o.channelText(id); !slices.Equal(got, o.want) {
		o.t.Errorf("%s of %s, %s:\n got:\n%s\n want:\n%s", call, id, way, strings.Join(got, "\n"), strings.Join(o.want, "\n"))
	}
}

// channelText returns the contents of the channel of an incident without the parts that
// differ between two openings. It reports contents that the incident does not link.
func (o *openings) channelText(id incident.ID) (out []string) {
	o.t.Helper()
	ws, inc := o.company.Chat, o.view(id).Incident
	var channels []chat.Channel
	for _, c := range ws.Channels("") {
		if strings.HasPrefix(c.Name+"-", strings.ToLower(id.String())+"-") {
			channels = append(channels, c)
		}
	}
	if len(channels) != 1 || channels[0].ID != inc.Links[incident.LinkChannel] {
		o.t.Errorf("%s: got %d channels, want the linked one", id, len(channels))
		return nil
	}
	c := channels[0]
	label := func(m chat.Message) string {
		key, _ := messageKey(m)
		key = strings.TrimPrefix(key, id.String()+"/")
		if seq, rest, ok := strings.Cut(key, "/"); ok {
			if n, err := strconv.Atoi(seq); err == nil {
				key = string(o.eventKind(id, n)) + "/" + rest
			}
		}
		if key == "" {
			key = m.Subtype
		}
		return key
	}
	roots := map[string]string{}
	for _, link := range []string{incident.LinkCard, incident.LinkAlerts, incident.LinkChecklist} {
		if ts := inc.Links[link]; ts != "" {
			roots[ts] = link
		}
	}
	topics := 0
	for _, m := range ws.Messages(c.ID) {
		if m.Subtype == "channel_topic" {
			topics++
			continue // it is set beside the messages
		}
		if m.Subtype != "" && m.Subtype != "bot_message" {
			continue
		}
		out = append(out, label(m)+" "+roots[m.TS])
		for _, reply := range ws.Thread(c.ID, m.TS) {
			if reply.TS != m.TS {
				out = append(out, "  "+label(reply))
			}
		}
	}
	for _, p := range ws.Pins(c.ID) {
		out = append(out, "pinned "+label(p.Message))
	}
	for _, b := range ws.Bookmarks(c.ID) {
		out = append(out, "bookmarked "+b.Title)
	}
	out = append(out, fmt.Sprintf("topic set %d times, holds the ID: %v", topics, strings.HasPrefix(c.Topic, id.String())),
		fmt.Sprintf("members %d", len(c.Members)))
	return out
}

// eventKind returns the kind of an event of an incident.
func (o *openings) eventKind(id incident.ID, seq int) incident.EventKind {
	o.t.Helper()
	for _, row := range o.queryRows(fmt.Sprintf("SELECT kind FROM events WHERE incident_id = %d AND seq = %d", id, seq)) {
		return incident.EventKind(row[0])
	}
	return ""
}
