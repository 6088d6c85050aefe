package response

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"tocsin/bot/incident"
)

var errBlocked = &incident.Blocked{System: incident.SystemSlack, Cause: incident.Say("the app may not do this"), Fix: incident.Say("Allow the app to do this"), Err: errors.New("restricted_action")}

// outage is a fixture whose handlers fail while their system is away.
type outage struct {
	*fixture
	away map[string]error // by system
	done []string         // kinds of effects that succeeded
}

func newOutage(t testingT) *outage {
	o := &outage{away: map[string]error{}}
	systemOf := func(e incident.Effect) string {
		switch e.Kind {
		case incident.EffectPage:
			return []string{incident.SystemPagerDuty, incident.SystemMail, incident.SystemSlack}[intArg(e, "escalation_step")]
		case incident.EffectPageAck, incident.EffectPageResolve:
			return incident.SystemPagerDuty
		case incident.EffectMailPostmortem, incident.EffectMailInvitation, incident.EffectMailNotice, incident.EffectMailHandover, incident.EffectMailRemindActions, incident.EffectAcknowledgeReport:
			return incident.SystemMail
		}
		return incident.SystemSlack
	}
	wrap := func(next Handler) Handler {
		return func(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
			if err := o.away[systemOf(e)]; err != nil {
				return incident.Command{}, err
			}
			if err := o.away[string(e.Kind)]; err != nil {
				return incident.Command{}, err
			}
			o.done = append(o.done, string(e.Kind))
			return next(ctx, b, e)
		}
	}
	o.fixture = newFixture(t, func(options *Options) {
		for kind, h := range options.Handlers {
			options.Handlers[kind] = wrap(h)
		}
		for n, h := range options.Pages {
			options.Pages[n] = wrap(h)
		}
		options.SystemOf = systemOf
	})
	return o
}

func (o *outage) waits(t *testing.T, q WaitingQuery) []incident.WaitingEffect {
	t.Helper()
	waits, err := o.store.WaitingEffects(q)
	if err != nil {
		t.Fatal(err)
	}
	return waits
}

// wait returns the only waiting effect of a kind.
func (o *outage) wait(t *testing.T, kind incident.EffectKind) incident.WaitingEffect {
	t.Helper()
	waits := slices.DeleteFunc(o.waits(t, WaitingQuery{}), func(w incident.WaitingEffect) bool { return w.Kind != kind })
	if len(waits) != 1 {
		t.Fatalf("got %d waiting effects of kind %s, want 1: %+v", len(waits), kind, o.waits(t, WaitingQuery{}))
	}
	return waits[0]
}

func TestPostpone_PausesGrowToOneHour(t *testing.T) {
	for name, c := range map[string]struct {
		err     error
		longest time.Duration
	}{
		"blocked": {errBlocked, time.Hour},
		"down":    {errUnavailable, 5 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOutage(t)
			o.away[string(incident.EffectAnnounce)] = c.err
			o.open(t, incident.Sev3)
			var last time.Duration
			for range 60 {
				if err := o.performFirst(t, incident.EffectAnnounce); err != nil {
					t.Fatal(err)
				}
				w := o.wait(t, incident.EffectAnnounce)
				next := w.NextAttempt.Sub(o.now)
				if next < last || next > c.longest || next > 2*max(last, 2*time.Second) {
					t.Fatalf("attempt %d: got pause %s after %s, want one that doubles at most and is at most %s", w.Attempts, next, last, c.longest)
				}
				last, o.now = next, w.NextAttempt
			}
			if last < c.longest/2 {
				t.Errorf("got last pause %s, want about %s", last, c.longest)
			}
			if w := o.wait(t, incident.EffectAnnounce); w.Attempts != 60 || !w.Since.Equal(startTime) || w.Blocked != (name == "blocked") {
				t.Errorf("got %+v, want 60 attempts since the start", w)
			}
			o.now = o.now.Add(365 * 24 * time.Hour) // an outage of any length loses nothing
			delete(o.away, string(incident.EffectAnnounce))
			o.runQueue(t)
			if n := countOf(o.done, string(incident.EffectAnnounce)); n != 1 || len(o.waits(t, WaitingQuery{})) != 0 {
				t.Errorf("after the repair: announced %d times, %d effects wait", n, len(o.waits(t, WaitingQuery{})))
			}
		})
	}
}

// TestPostpone_RepairedSystems refuses every effect of a system at the opening or in the
// middle of an incident, and repairs the system.
func TestPostpone_RepairedSystems(t *testing.T) {
	for _, system := range []string{incident.SystemSlack, incident.SystemPagerDuty, incident.SystemMail} {
		for name, err := range map[string]error{"blocked": errBlocked, "down": errUnavailable, "busy": &incident.RetryAfter{After: time.Second, Err: errUnavailable}} {
			for _, atOpening := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s/%s/opening %v", system, name, atOpening), func(t *testing.T) {
					reference := newOutage(t)
					play(t, reference, func() {}, func() {})
					o := newOutage(t)
					refuse, repair := func() { o.away[system] = err }, func() { delete(o.away, system) }
					if atOpening {
						refuse()
						play(t, o, repair, func() {})
					} else {
						play(t, o, func() {}, func() {
							refuse()
							o.do(t, "p1", incident.Command{For: 1, Verb: incident.VerbNote, Text: "during the outage"})
							o.runQueue(t)
							repair()
							o.now = o.now.Add(10 * time.Second)
							o.runQueue(t)
						})
					}
					if waits := o.waits(t, WaitingQuery{}); len(waits) != 0 {
						t.Errorf("still waiting: %+v", waits)
					}
					for _, kind := range []incident.EffectKind{incident.EffectOpenChannel, incident.EffectAnnounce} {
						if got, want := countOf(o.done, string(kind)), countOf(reference.done, string(kind)); got != want {
							t.Errorf("%s: performed %d times, want %d", kind, got, want)
						}
					}
					for _, e := range o.store.effects {
						if !e.done && e.Kind != incident.EffectDeadline {
							t.Errorf("%s is not done", e.Key)
						}
					}
				})
			}
		}
	}
}

// play opens and acknowledges an incident.
func play(t *testing.T, o *outage, afterOpening, middle func()) {
	id := o.open(t, incident.Sev2)
	o.runQueue(t)
	afterOpening()
	o.now = o.now.Add(10 * time.Second)
	o.runQueue(t)
	o.do(t, "p1", incident.Command{For: id, Verb: incident.VerbAcknowledge})
	o.runQueue(t)
	middle()
	o.do(t, "p1", incident.Command{For: id, Verb: incident.VerbContain, Text: "key disabled"})
	o.runQueue(t)
}

// waitLong makes an effect of a new incident fail until its pauses are long.
func (o *outage) waitLong(t *testing.T, kind incident.EffectKind) incident.WaitingEffect {
	t.Helper()
	o.away[string(kind)] = errBlocked
	o.open(t, incident.Sev3)
	o.runQueue(t)
	for range 12 {
		o.now = o.wait(t, kind).NextAttempt
		o.runQueue(t)
	}
	return o.wait(t, kind)
}

func TestPostpone_SuccessOfSystemReleases(t *testing.T) {
	o := newOutage(t)
	w := o.waitLong(t, incident.EffectAnnounce)
	o.now = o.now.Add(time.Minute)
	o.do(t, "p1", incident.Command{For: w.Incident, Verb: incident.VerbNote, Text: "a post succeeds, and the announcement is refused again"})
	o.runQueue(t)
	if again := o.wait(t, incident.EffectAnnounce); again.Attempts != w.Attempts+1 {
		t.Errorf("got %d attempts after a success of the system, want %d", again.Attempts, w.Attempts+1)
	}
	o.do(t, "p1", incident.Command{For: w.Incident, Verb: incident.VerbNote, Text: "at once after the release"})
	o.runQueue(t)
	if again := o.wait(t, incident.EffectAnnounce); again.Attempts != w.Attempts+1 {
		t.Errorf("got %d attempts after two successes in a row, want %d", again.Attempts, w.Attempts+1)
	}
	delete(o.away, string(incident.EffectAnnounce))
	o.now = o.now.Add(time.Minute)
	o.do(t, "p1", incident.Command{For: w.Incident, Verb: incident.VerbNote, Text: "after the repair"})
	o.runQueue(t)
	if n := countOf(o.done, string(incident.EffectAnnounce)); n != 1 {
		t.Errorf("announced %d times after the repair and a success of the system, want once", n)
	}
}

func TestPostpone_SuccessOfOtherSystemDoesNotRelease(t *testing.T) {
	o := newOutage(t)
	o.away[incident.SystemMail] = errBlocked
	w := o.waitLong(t, incident.EffectAnnounce)
	o.now = o.now.Add(time.Minute)
	err := o.write(context.Background(), func(s *session) error {
		return s.tx.Enqueue(incident.Effect{Key: "ack", Kind: incident.EffectPageAck, Incident: w.Incident, Seq: 1, Args: map[string]string{"round": "1"}})
	})
	if err != nil {
		t.Fatal(err)
	}
	o.runQueue(t)
	if again := o.wait(t, incident.EffectAnnounce); again.Attempts != w.Attempts {
		t.Errorf("got %d attempts after a success of PagerDuty, want %d", again.Attempts, w.Attempts)
	}
}

func TestPostpone_LaneOrder(t *testing.T) {
	o := newOutage(t)
	id := o.open(t, incident.Sev3)
	o.runQueue(t)
	note := func(text string) {
		o.do(t, "p1", incident.Command{For: id, Verb: incident.VerbNote, Text: text})
		o.runQueue(t)
	}
	o.away[string(incident.EffectPost)], o.done = errBlocked, nil
	note("first")
	note("second")
	if w := o.wait(t, incident.EffectPost); w.Attempts != 1 {
		t.Errorf("got %d attempts at the first post, want 1: the second one waits behind it", w.Attempts)
	}
	delete(o.away, string(incident.EffectPost))
	o.away[string(incident.EffectInvite)] = errBlocked
	o.now = o.now.Add(time.Hour)
	o.do(t, "p1", incident.Command{For: id, Verb: incident.VerbGrant, Person: "p5", Text: "counsel"})
	o.runQueue(t)
	if got := countOf(o.done, string(incident.EffectPost)); got < 3 || o.wait(t, incident.EffectInvite).Attempts == 0 {
		t.Errorf("got %d posts, want at least three although the invitation waits", got)
	}
	delete(o.away, string(incident.EffectInvite))
	o.now = o.now.Add(time.Hour)
	o.runQueue(t)
	if waits := o.waits(t, WaitingQuery{}); len(waits) != 0 || countOf(o.done, string(incident.EffectInvite)) != 1 {
		t.Errorf("still waiting: %+v", waits)
	}
}

// TestPostpone_Page pages the next step at once and sends the refused page after the
// repair only if the incident still needs it.
func TestPostpone_Page(t *testing.T) {
	for _, acknowledged := range []bool{false, true} {
		t.Run(fmt.Sprintf("acknowledged %v", acknowledged), func(t *testing.T) {
			o := newOutage(t)
			o.away[incident.SystemPagerDuty] = errBlocked
			id := o.open(t, incident.Sev2)
			o.runQueue(t)
			if got := o.pageCalls(); !slices.Equal(got, []string{"page 1/1"}) {
				t.Errorf("got pages %v, want the next step at once", got)
			}
			if acknowledged {
				o.do(t, "p1", incident.Command{For: id, Verb: incident.VerbAcknowledge})
				o.runQueue(t)
			}
			delete(o.away, incident.SystemPagerDuty)
			for range 4 {
				o.now = o.now.Add(30 * time.Second)
				o.runQueue(t)
			}
			want := []string{"page 1/1", "page 1/0"}
			if acknowledged {
				want = want[:1]
			}
			if got := o.pageCalls(); !slices.Equal(got, want) {
				t.Errorf("got pages %v, want %v", got, want)
			}
			if waits := o.waits(t, WaitingQuery{}); len(waits) != 0 {
				t.Errorf("still waiting: %+v", waits)
			}
		})
	}
}

func TestPostpone_CardShowsWaits(t *testing.T) {
	o := newOutage(t)
	var cards [][]incident.WaitingEffect
	succeed := o.Handlers[incident.EffectCard]
	o.Handlers[incident.EffectCard] = func(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
		cards = append(cards, b.Waiting)
		return succeed(ctx, b, e)
	}
	id := o.open(t, incident.Sev3)
	o.runQueue(t)
	o.away[string(incident.EffectInvite)], cards = errBlocked, nil
	o.do(t, "p1", incident.Command{For: id, Verb: incident.VerbGrant, Person: "p5", Text: "counsel"})
	o.runQueue(t)
	if len(cards) == 0 || len(cards[len(cards)-1]) != 1 || cards[len(cards)-1][0].Cause != "the app may not do this" {
		t.Fatalf("got cards with waiting effects %+v, want the invitation on the last one", cards)
	}
	delete(o.away, string(incident.EffectInvite))
	o.now, cards = o.now.Add(time.Hour), nil
	o.runQueue(t)
	if len(cards) == 0 || len(cards[len(cards)-1]) != 0 {
		t.Errorf("got cards with waiting effects %+v, want a new card without one", cards)
	}
}

// TestPostpone_CardAfterSkip acknowledges an incident whose refused page waits. The page is
// not needed any more, and the card no longer shows it.
func TestPostpone_CardAfterSkip(t *testing.T) {
	o := newOutage(t)
	var shown []int // number of waiting effects on each card
	succeed := o.Handlers[incident.EffectCard]
	o.Handlers[incident.EffectCard] = func(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
		shown = append(shown, len(b.Waiting))
		return succeed(ctx, b, e)
	}
	o.away[incident.SystemPagerDuty] = errBlocked
	id := o.open(t, incident.Sev2)
	o.runQueue(t)
	if !slices.Contains(shown, 1) {
		t.Fatalf("got cards with %v waiting effects, want the page on one", shown)
	}
	delete(o.away, incident.SystemPagerDuty)
	o.do(t, "p1", incident.Command{For: id, Verb: incident.VerbAcknowledge})
	for range 3 {
		o.now = o.now.Add(time.Minute)
		o.runQueue(t)
	}
	if shown[len(shown)-1] != 0 || len(o.waits(t, WaitingQuery{})) != 0 {
		t.Errorf("got cards with %v waiting effects, want none on the last one", shown)
	}
}

// TestPostpone_KeepsPartOfResult returns a result together with an error: what succeeded
// is recorded, and the effect waits for the rest.
func TestPostpone_KeepsPartOfResult(t *testing.T) {
	o := newOutage(t)
	o.Handlers[incident.EffectOpenChannel] = func(_ context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
		if b.Incident.Links[incident.LinkChannel] != "" {
			return incident.Command{}, nil
		}
		return incident.Command{Verb: incident.VerbLink, Links: map[string]string{incident.LinkChannel: "C1"}}, errBlocked
	}
	id := o.open(t, incident.Sev3)
	o.runQueue(t)
	if o.store.incidents[id].Links[incident.LinkChannel] != "C1" || len(o.waits(t, WaitingQuery{})) != 1 {
		t.Errorf("got links %v, waiting %+v", o.store.incidents[id].Links, o.waits(t, WaitingQuery{}))
	}
}

// TestExplainFailure_NamesAPauseOnce checks the cause of a call that a system limited.
func TestExplainFailure_NamesAPauseOnce(t *testing.T) {
	d := &Desk{Options: Options{Redact: redactNothing{}}}
	cause, _ := d.explainFailure(incident.SystemSlack, &incident.RetryAfter{After: time.Second, Err: errors.New("post messages: retry after 1s")})
	if want := "post messages: retry after 1s"; cause != want {
		t.Errorf("got %q, want %q", cause, want)
	}
}
