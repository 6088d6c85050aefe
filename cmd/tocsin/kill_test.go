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

// TestKill kills the bot again and again while alerts pour in: half of the
// times right between an outside effect's landing and the commit that writes it
// down, half of the times at random. What was answered 2xx must be in an
// incident, and everything owed must stand outside exactly once.
//
// TOCSIN_TEST_KILLS is how often; 3 if unset.
func TestKill(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		kills := 3
		if n, err := strconv.Atoi(os.Getenv("TOCSIN_TEST_KILLS")); err == nil && n > 0 {
			kills = n
		}
		// One database hears of people over HTTP, the other over Socket Mode.
		o := company.Options{Seed: 11, HTTP: strings.HasPrefix(url, "sqlite:"), Limits: chat.Limits{Off: true}}
		k := &killing{survivor: raise(t, url, o), random: rand.New(rand.NewPCG(2, uint64(kills))), kills: kills, notes: map[string]bool{}}
		k.barrage = newBarrage(k.survivor, 96, k.alert)
		k.run()
	})
}

// ourself is the bot's user in the workspace.
const ourself = "U0TOCSIN"

// newsEachKill is how many new incidents begin between two kills.
const newsEachKill = 4

type killing struct {
	*survivor
	barrage *barrage
	random  *rand.Rand
	kills   int

	mu      sync.Mutex
	stories []story // what alerts are told about
	told    int     // of them, those that began
	number  int     // of alerts made
	again   []parcel

	people   sync.WaitGroup  // who gives up when the bot is not there
	dead     func()          // lets people know that it makes no sense
	lives    sync.WaitGroup  // who goes on when it is back
	notes    map[string]bool // what people wrote, and whether the bot said that it is recorded
	acks     []string        // dedup keys that somebody acknowledged in PagerDuty
	approved incident.ID     // lived by people to its postmortem

	aim     aim
	figures figures
}

type figures struct {
	aimed, hit  int
	targets     []string
	inFlight    []int64
	landedLate  int
	mailRepeats int
	gone        int
}

// story is one thing that goes wrong: all its alerts belong to one incident.
type story struct {
	name  string
	calls []feed.Call // of CloudTrail, of two kinds
	issue feed.Issue  // of Sentry, otherwise
}

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

// alert makes the next one: first one of each new story, then any.
func (k *killing) alert() parcel {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.number++
	if k.number%20 == 0 && len(k.again) > 0 {
		return k.again[k.random.IntN(len(k.again))] // one that was delivered, delivered again
	}
	var s story
	if k.told < len(k.stories) {
		s = k.stories[k.told]
		k.told++
	} else {
		s = k.stories[k.random.IntN(len(k.stories))]
	}
	c := feed.Copy{N: k.number}
	if s.calls != nil {
		p := parcel{story: s.name, trail: true, Delivery: k.company.Trail.Delivery(s.calls[k.random.IntN(2)], c)}
		if k.number%7 == 0 {
			k.again = append(k.again, p)
		}
		return p
	}
	c.At = time.Now()
	if k.random.IntN(2) == 0 {
		return parcel{story: s.name, Delivery: k.company.Sentry.EventAlertDelivery(s.issue, c)}
	}
	d := k.company.Sentry.EventAlertDelivery(s.issue, c)
	return parcel{story: s.name, Delivery: k.company.Sentry.NewDelivery("error", feed.SentryError(s.issue, c), d.ID)}
}

func (k *killing) run() {
	began := time.Now()
	k.company.Chat.Subscribe(func(e chat.Entry) {
		if e.Call != nil && e.Call.Landed {
			k.aim.landed("slack " + e.Call.Method)
		}
	})
	k.pages.onLanded(func(_, body string) {
		for _, action := range []string{"trigger", "acknowledge", "resolve"} {
			if strings.Contains(body, `"event_action":"`+action+`"`) {
				k.aim.landed("pager " + action)
			}
		}
	})
	targets := []string{"slack conversations.create", "slack files.completeUploadExternal", "slack chat.postMessage", "mail", "pager trigger",
		"slack conversations.invite", "slack pins.add", "pager acknowledge", "slack chat.update", "slack bookmarks.add"}
	if !k.socketMode() {
		targets = append(targets[2:], targets[:2]...) // so that few kills see most of them on one of the databases
	}
	for n := range k.kills {
		k.news()
		if n%2 == 0 {
			k.aimedKill(targets[n/2%len(targets)])
		} else {
			k.randomKill()
		}
		k.people.Wait()
		k.start()
		k.barrage.open()
	}
	killed := time.Now()
	k.lives.Wait()
	k.barrage.drain()
	k.judge()
	k.t.Logf("everything was done %v after the last kill", time.Since(killed).Round(time.Second))
	t := k.t
	t.Logf("%d kills in %v: %d aimed, %d of them hit (%s); in flight at each: %v", k.kills, time.Since(began).Round(time.Second),
		k.figures.aimed, k.figures.hit, strings.Join(k.figures.targets, ", "), k.figures.inFlight)
}

// crowd is people who write notes, take incidents over and acknowledge pages
// until the bot is dead.
func (k *killing) crowd() {
	ctx, cancel := context.WithCancel(k.t.Context())
	k.dead = cancel
	for n := range 3 {
		r, who := rand.New(rand.NewPCG(k.random.Uint64(), 3)), k.company.In("engineering")[n]
		k.people.Go(func() {
			for range 15 {
				var channels []string
				if k.company.Chat.WaitFor(ctx, func() bool { channels = k.rooms(who); return len(channels) > 0 }) != nil || ctx.Err() != nil {
					return
				}
				channel := channels[r.IntN(len(channels))]
				k.note(who, channel, fmt.Sprintf("remark %016x", r.Uint64()))
				if r.IntN(10) == 0 {
					_, _ = k.slash(who, channel, "ack") // what came of it is seen in the end
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

// rooms are the incidents' channels that somebody is in, but for the one whose
// people must not be disturbed.
func (k *killing) rooms(who company.Person) []string {
	var out []string
	for _, c := range k.company.Chat.Channels(who.ID) {
		if c.Creator == ourself && c.Kind == chat.KindPrivate && slices.Contains(c.Members, who.ID) {
			out = append(out, c.ID)
		}
	}
	return out
}

// note writes a note, and into the books whether the bot said that it has it.
func (k *killing) note(who company.Person, channel, text string) {
	done := recorded(k.slash(who, channel, "note "+text))
	k.mu.Lock()
	defer k.mu.Unlock()
	k.notes[text] = done
}

func (k *killing) randomKill() {
	k.crowd()
	k.barrage.allow(80)
	k.mu.Lock()
	written := len(k.notes) + k.random.IntN(10)
	k.mu.Unlock()
	eventually(20*time.Second, func() bool { k.mu.Lock(); defer k.mu.Unlock(); return len(k.notes) > written })
	k.strike(int64(k.random.IntN(120)))
}

// aimedKill waits until an effect of the given kind has landed, keeps its
// answer back, fills the wire with alerts, and kills.
func (k *killing) aimedKill(target string) {
	k.figures.aimed++
	hit := k.aim.at(target)
	undo := k.provoke(target)
	k.crowd()
	k.barrage.allow(60)
	select {
	case <-hit:
	case <-time.After(25 * time.Second): // nothing of that kind is due; take whatever comes next
		k.aim.disarm()
		target = "anything instead of " + target
		hit = k.aim.at("slack ")
		k.news()
		k.barrage.allow(20)
		select {
		case <-hit:
		case <-time.After(25 * time.Second):
			k.t.Fatal("no effect landed")
		}
	}
	k.figures.hit++
	k.figures.targets = append(k.figures.targets, target)
	k.strike(0)
	k.aim.release()
	undo()
}

// strike fills the wire, kills after so many more answers, and waits for the end.
func (k *killing) strike(after int64) {
	p := k.current()
	n := k.barrage.killWhenFull(after, func() { _ = p.cmd.Process.Kill() })
	k.dead()
	<-p.ended
	k.figures.inFlight = append(k.figures.inFlight, n)
}

// news lets new things go wrong.
func (k *killing) news() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for range newsEachKill {
		k.stories = append(k.stories, newStory(len(k.stories)))
	}
}

// provoke brings about what would not happen by itself.
func (k *killing) provoke(target string) (undo func()) {
	switch target {
	case "mail":
		// PagerDuty is down, so the alias is paged by mail; the mail server takes the
		// message and is slow to say so.
		before := len(k.company.Mail.Messages())
		k.company.Mail.SetFaults(mailbox.Rule{Fault: mailbox.FaultLate, Delay: 5 * time.Second})
		k.pages.answerWith(func(_ *http.Request, body string) (int, string) {
			if strings.Contains(body, `"event_action":"trigger"`) {
				return http.StatusInternalServerError, "{}"
			}
			return 0, ""
		})
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			if k.company.Mail.Until(ctx, func() bool { return len(k.company.Mail.Messages()) > before }) == nil {
				k.aim.landed("mail")
			}
		}()
		return func() { cancel(); k.company.Mail.SetFaults(); k.pages.answerWith(nil) }
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
		k.lives.Go(func() {
			id := k.declare("the backup key was in a screenshot")
			k.approved = id
			k.live(id)
		})
	}
	return func() {}
}

// declare opens an incident by hand. A question that was not answered is asked
// again only if nothing came of it.
func (k *killing) declare(title string) incident.ID {
	reply, err := k.ask("open sev3 --public " + title)
	if err != nil {
		k.t.Errorf("open: %v", err)
		return 0
	}
	return reply.Result.Incident.ID
}

// live takes an incident to the last signature.
func (k *killing) live(id incident.ID) {
	channel := k.channelOf(id).ID
	first, departments := k.company.In("engineering")[1], []string{"engineering", "security", "legal", "communications"}
	if !eventually(30*time.Second, func() bool {
		c, _ := k.company.Chat.Channel(channel)
		return slices.Contains(c.Members, first.ID)
	}) {
		k.t.Errorf("%s was not invited", first.Name)
		return
	}
	words := []string{"ack", "resolve the key is dead"}
	for _, field := range []string{"summary", "impact", "root_cause", "what_was_done", "what_detected_it", "what_will_detect_it", "what_will_prevent_it"} {
		words = append(words, "record set "+field+" said about "+field)
	}
	words = append(words, "record set audience all")
	for _, w := range append(words, "submit") {
		if !k.insist(first, channel, w) {
			return
		}
	}
	asked := func() bool { // nobody signs before they were asked
		n := 0
		for _, m := range k.company.Chat.Messages(channel) {
			if key, _ := markOf(m); strings.Contains(key, "/ask_sign/") {
				n++
			}
		}
		return n == len(departments)
	}
	if !eventually(60*time.Second, asked) {
		k.t.Error("the departments were not asked to sign")
		return
	}
	reply, err := k.ask("status " + id.String())
	if err != nil {
		k.t.Error(err)
		return
	}
	digest := reply.View.Incident.Submission.Digest
	for _, d := range departments {
		k.insist(k.company.In(d)[0], channel, "sign "+d+" "+digest)
	}
}

// aim waits for a call to land whose name begins with a target. The call's
// answer is kept back until release.
type aim struct {
	mu     sync.Mutex
	target string
	hit    chan struct{}
	free   chan struct{}
}

func (a *aim) at(target string) (hit <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.target, a.hit, a.free = target, make(chan struct{}), make(chan struct{})
	return a.hit
}

func (a *aim) disarm() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.target = ""
}

func (a *aim) landed(what string) {
	a.mu.Lock()
	if a.target == "" || !strings.HasPrefix(what, a.target) {
		a.mu.Unlock()
		return
	}
	a.target = ""
	close(a.hit)
	free := a.free
	a.mu.Unlock()
	<-free
}

func (a *aim) release() {
	a.mu.Lock()
	defer a.mu.Unlock()
	close(a.free)
}
