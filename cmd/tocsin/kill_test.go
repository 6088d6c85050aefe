//go:build !race

package main_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
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
	"tocsin/bot/sandbox/mailbox"
	"tocsin/bot/sandbox/pager"
	"tocsin/store/storetest"
)

// TestKill_NothingLostOrDoubled kills the bot repeatedly under a load of alerts.
// Half of the kills happen between an external effect and the commit that records
// it, the others at random times. Every alert answered 2xx must be in an incident,
// and every effect must have happened exactly once.
//
// TOCSIN_TEST_KILLS sets the number of kills, by default 3.
func TestKill_NothingLostOrDoubled(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		kills := 3
		if n, err := strconv.Atoi(os.Getenv("TOCSIN_TEST_KILLS")); err == nil && n > 0 {
			kills = n
		}
		// SQLite is tested with Slack over HTTP, PostgreSQL with Socket Mode.
		o := company.Options{Seed: 11, HTTP: strings.HasPrefix(url, "sqlite:"), Limits: chat.Limits{Off: true}}
		k := &killTest{botProcess: startBot(t, url, o), random: rand.New(rand.NewPCG(2, uint64(kills))), kills: kills, notes: map[string]bool{}}
		k.load = newLoadGenerator(k.botProcess, 96, k.nextAlert)
		k.run()
	})
}

// botUser is the ID of the bot's user in Slack.
const botUser = "U0TOCSIN"

// storiesPerKill is the number of new stories between two kills.
const storiesPerKill = 4

type killTest struct {
	*botProcess
	load   *loadGenerator
	random *rand.Rand
	kills  int

	mu         sync.Mutex
	stories    []story // subjects of the alerts
	introduced int     // number of stories with at least one alert
	alertCount int     // number of alerts made
	repeats    []sentAlert

	people     sync.WaitGroup  // people who stop at the kill
	stopPeople func()          // stops people
	background sync.WaitGroup  // people who continue after a restart
	notes      map[string]bool // text of each note, and whether the bot confirmed it
	acks       []string        // dedup keys acknowledged in PagerDuty
	approvedID incident.ID     // incident that people complete

	trap  callTrap
	stats killStats
}

type killStats struct {
	aimed, hits  int
	targets      []string
	inFlight     []int64
	acceptedLate int
	mailRepeats  int
	doubledPosts int
}

// story is the subject of alerts that belong to one incident.
type story struct {
	name  string
	calls []feed.Call // for CloudTrail, of two kinds
	issue feed.Issue  // for Sentry, if calls is nil
}

// newStory returns a story named case-n. Even stories are CloudTrail's, odd ones are
// Sentry's.
func newStory(n int) story {
	s := story{name: fmt.Sprintf("case-%03d", n)}
	if n%2 == 0 {
		key, log := feed.CreateAccessKey(uint64(n)+1), feed.StopLogging(uint64(n)+1)
		key.Identity["userName"], key.Identity["arn"] = s.name, "arn:aws:iam::"+key.Account+":user/"+s.name
		log.Account, log.Identity = key.Account, key.Identity
		s.calls = []feed.Call{key, log}
		return s
	}
	s.issue = feed.NewIssue(feed.DataLeak, uint64(n)+1)
	s.issue.Org, s.issue.Value = "org-"+s.name, s.issue.Value+" in "+s.name
	return s
}

// nextAlert returns an alert of the next new story, or else of a random story. Every
// twentieth alert is a repeated delivery.
func (k *killTest) nextAlert() sentAlert {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.alertCount++
	if k.alertCount%20 == 0 && len(k.repeats) > 0 {
		return k.repeats[k.random.IntN(len(k.repeats))]
	}
	var s story
	if k.introduced < len(k.stories) {
		s = k.stories[k.introduced]
		k.introduced++
	} else {
		s = k.stories[k.random.IntN(len(k.stories))]
	}
	c := feed.Copy{N: k.alertCount}
	if s.calls != nil {
		p := sentAlert{story: s.name, trail: true, Delivery: k.company.Trail.Delivery(s.calls[k.random.IntN(2)], c)}
		if k.alertCount%7 == 0 {
			k.repeats = append(k.repeats, p)
		}
		return p
	}
	c.At = time.Now()
	if k.random.IntN(2) == 0 {
		return sentAlert{story: s.name, Delivery: k.company.Sentry.EventAlertDelivery(s.issue, c)}
	}
	d := k.company.Sentry.EventAlertDelivery(s.issue, c)
	return sentAlert{story: s.name, Delivery: k.company.Sentry.NewDelivery("error", feed.SentryError(s.issue, c), d.ID)}
}

func (k *killTest) run() {
	began := time.Now()
	k.company.Chat.Subscribe(func(e chat.Entry) {
		if e.Call != nil && e.Call.Landed {
			k.trap.onCall("slack " + e.Call.Method)
		}
	})
	k.pagerProxy.setAfterCall(func(_, body string) {
		for _, action := range []string{"trigger", "acknowledge", "resolve"} {
			if strings.Contains(body, `"event_action":"`+action+`"`) {
				k.trap.onCall("pager " + action)
			}
		}
	})
	targets := []string{"slack conversations.create", "slack files.completeUploadExternal", "slack chat.postMessage", "mail", "pager trigger",
		"slack conversations.invite", "slack pins.add", "pager acknowledge", "slack chat.update", "slack bookmarks.add"}
	if !k.socketMode() {
		targets = append(targets[2:], targets[:2]...) // a few kills then cover most targets on one of the databases
	}
	for n := range k.kills {
		k.addStories()
		if n%2 == 0 {
			k.aimedKill(targets[n/2%len(targets)])
		} else {
			k.randomKill()
		}
		k.people.Wait()
		k.start()
		k.load.resume()
	}
	killed := time.Now()
	k.background.Wait()
	k.load.drain()
	k.checkOutcome()
	k.t.Logf("idle %v after the last kill", time.Since(killed).Round(time.Second))
	t := k.t
	t.Logf("%d kills in %v: %d targeted, %d of them hit (%s), alerts in flight %v", k.kills, time.Since(began).Round(time.Second),
		k.stats.aimed, k.stats.hits, strings.Join(k.stats.targets, ", "), k.stats.inFlight)
}

// startPeople starts people who write notes, acknowledge incidents and acknowledge
// pages until the bot is killed.
func (k *killTest) startPeople() {
	ctx, cancel := context.WithCancel(k.t.Context())
	k.stopPeople = cancel
	for n := range 3 {
		r, who := rand.New(rand.NewPCG(k.random.Uint64(), 3)), k.company.In("engineering")[n]
		k.people.Go(func() {
			for range 15 {
				var channels []string
				if k.company.Chat.WaitFor(ctx, func() bool { channels = k.incidentChannels(who); return len(channels) > 0 }) != nil || ctx.Err() != nil {
					return
				}
				channel := channels[r.IntN(len(channels))]
				k.addNote(who, channel, fmt.Sprintf("remark %016x", r.Uint64()))
				if r.IntN(10) == 0 {
					_, _ = k.slash(who, channel, "ack") // the outcome is checked at the end
				}
			}
		})
	}
	seed := k.random.Uint64()
	k.people.Go(func() {
		var pages []pager.Incident
		waiting := func() bool {
			pages = slices.DeleteFunc(k.company.Pager.Snapshot().Incidents, func(in pager.Incident) bool { return in.Status != pager.Triggered })
			return len(pages) > 0
		}
		if k.company.Pager.Until(ctx, waiting) != nil {
			return
		}
		in := pages[seed%uint64(len(pages))]
		if k.company.Pager.Acknowledge(in.ID, k.company.In("security")[0].Pager) == nil {
			k.mu.Lock()
			k.acks = append(k.acks, in.Key)
			k.mu.Unlock()
		}
	})
}

// incidentChannels returns the restricted incident channels with who as a member.
// The channel of the incident that people complete is public and excluded.
func (k *killTest) incidentChannels(who company.Person) []string {
	var out []string
	for _, c := range k.company.Chat.Channels(who.ID) {
		if c.Creator == botUser && c.Kind == chat.KindPrivate && slices.Contains(c.Members, who.ID) {
			out = append(out, c.ID)
		}
	}
	return out
}

// addNote writes a note and records whether the bot confirmed it.
func (k *killTest) addNote(who company.Person, channel, text string) {
	confirmed := isRecorded(k.slash(who, channel, "note "+text))
	k.mu.Lock()
	defer k.mu.Unlock()
	k.notes[text] = confirmed
}

// randomKill kills the bot at a random time under load.
func (k *killTest) randomKill() {
	k.startPeople()
	k.load.allow(80)
	k.mu.Lock()
	written := len(k.notes) + k.random.IntN(10)
	k.mu.Unlock()
	eventually(20*time.Second, func() bool { k.mu.Lock(); defer k.mu.Unlock(); return len(k.notes) > written })
	k.killUnderLoad(int64(k.random.IntN(120)))
}

// aimedKill waits until an effect of the given kind took place, withholds its
// response, loads the bot with alerts, and kills it.
func (k *killTest) aimedKill(target string) {
	k.stats.aimed++
	hit := k.trap.arm(target)
	undo := k.provoke(target)
	k.startPeople()
	k.load.allow(60)
	select {
	case <-hit:
	case <-time.After(25 * time.Second): // no effect of that kind is due: take the next one of any kind
		k.trap.disarm()
		target = "any instead of " + target
		hit = k.trap.arm("slack ")
		k.addStories()
		k.load.allow(20)
		select {
		case <-hit:
		case <-time.After(25 * time.Second):
			k.t.Fatal("no effect within 50 s")
		}
	}
	k.stats.hits++
	k.stats.targets = append(k.stats.targets, target)
	k.killUnderLoad(0)
	k.trap.release()
	undo()
}

// killUnderLoad kills the bot after minAnswered more responses, with enough alerts
// in flight, and waits until the process has ended.
func (k *killTest) killUnderLoad(minAnswered int64) {
	p := k.current()
	n := k.load.killWhenFull(minAnswered, func() { _ = p.cmd.Process.Kill() })
	k.stopPeople()
	<-p.ended
	k.stats.inFlight = append(k.stats.inFlight, n)
}

// addStories adds new stories for nextAlert.
func (k *killTest) addStories() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for range storiesPerKill {
		k.stories = append(k.stories, newStory(len(k.stories)))
	}
}

// provoke causes an effect that alerts alone do not cause.
func (k *killTest) provoke(target string) (undo func()) {
	switch target {
	case "mail":
		// PagerDuty fails, so the page goes by mail. The mail server accepts the
		// message and responds late.
		before := len(k.company.Mail.Messages())
		k.company.Mail.SetFaults(mailbox.Rule{Fault: mailbox.FaultLate, Delay: 5 * time.Second})
		k.pagerProxy.setOverride(func(_ *http.Request, body string) (int, string) {
			if strings.Contains(body, `"event_action":"trigger"`) {
				return http.StatusInternalServerError, "{}"
			}
			return 0, ""
		})
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			if k.company.Mail.Until(ctx, func() bool { return len(k.company.Mail.Messages()) > before }) == nil {
				k.trap.onCall("mail")
			}
		}()
		return func() { cancel(); k.company.Mail.SetFaults(); k.pagerProxy.setOverride(nil) }
	case "pager acknowledge":
		k.people.Go(func() {
			for _, in := range k.company.Pager.Snapshot().Incidents {
				id, _, _ := incident.ParsePageKey(in.Key)
				if channel, ok := k.company.Chat.Channel(strings.ToLower(id.String())); ok && in.Status == "triggered" {
					_, _ = k.slash(k.company.In("engineering")[0], channel.ID, "ack")
				}
			}
		})
	case "slack files.completeUploadExternal":
		k.background.Go(func() {
			id := k.openIncident("the backup key was in a screenshot")
			k.approvedID = id
			k.completeIncident(id)
		})
	}
	return func() {}
}

// openIncident opens a public incident over the control socket.
func (k *killTest) openIncident(title string) incident.ID {
	reply, err := k.sendCommand("open sev3 --public " + title)
	if err != nil {
		k.t.Errorf("open: %v", err)
		return 0
	}
	return reply.Result.Incident.ID
}

// completeIncident takes an incident to its last signature.
func (k *killTest) completeIncident(id incident.ID) {
	channel := k.channelOf(id).ID
	first, departments := k.company.In("engineering")[1], []string{"engineering", "security", "legal", "communications"}
	if !eventually(30*time.Second, func() bool {
		c, _ := k.company.Chat.Channel(channel)
		return slices.Contains(c.Members, first.ID)
	}) {
		k.t.Errorf("%s was not invited within 30 s", first.Name)
		return
	}
	commands := []string{"ack", "resolve the key is disabled"}
	for _, field := range []string{"summary", "impact", "root_cause", "what_was_done", "what_detected_it", "what_will_detect_it", "what_will_prevent_it"} {
		commands = append(commands, "record set "+field+" text of "+field)
	}
	commands = append(commands, "record set audience all")
	for _, command := range append(commands, "submit") {
		if !k.slashUntilRecorded(first, channel, command) {
			return
		}
	}
	asked := func() bool { // people sign after the request
		n := 0
		for _, m := range everyMessage(k.company.Chat, channel) {
			if key, _ := messageKey(m); strings.Contains(key, "/ask_sign/") {
				n++
			}
		}
		return n == len(departments)
	}
	if !eventually(60*time.Second, asked) {
		k.t.Error("departments were not asked to sign within 60 s")
		return
	}
	reply, err := k.sendCommand("status " + id.String())
	if err != nil {
		k.t.Error(err)
		return
	}
	digest := reply.View.Incident.Submission.Digest
	for _, d := range departments {
		k.slashUntilRecorded(k.company.In(d)[0], channel, "sign "+d+" "+digest)
	}
}

// callTrap waits for the first call whose name begins with target, and withholds its
// response until release.
type callTrap struct {
	mu       sync.Mutex
	target   string
	hit      chan struct{}
	released chan struct{}
}

func (a *callTrap) arm(target string) (hit <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.target, a.hit, a.released = target, make(chan struct{}), make(chan struct{})
	return a.hit
}

func (a *callTrap) disarm() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.target = ""
}

func (a *callTrap) onCall(what string) {
	a.mu.Lock()
	if a.target == "" || !strings.HasPrefix(what, a.target) {
		a.mu.Unlock()
		return
	}
	a.target = ""
	close(a.hit)
	free := a.released
	a.mu.Unlock()
	<-free
}

func (a *callTrap) release() {
	a.mu.Lock()
	defer a.mu.Unlock()
	close(a.released)
}
