package publication

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"tocsin/bot/health"
	"tocsin/bot/notary"
)

// memoryLog is a log whose checkpoints grow by one entry with each call of grow.
type memoryLog struct {
	latest, last             notary.Checkpoint
	first, at, now, document time.Time
	err                      error
}

func (l *memoryLog) grow(at time.Time) {
	l.latest = notary.Checkpoint{Size: l.latest.Size + 1, At: at, Note: fmt.Sprint("note ", l.latest.Size+1)}
	if l.latest.Size == 1 {
		l.first = at
	}
}

func (l *memoryLog) LatestCheckpoint(context.Context) (notary.Checkpoint, error) {
	return l.latest, l.err
}
func (l *memoryLog) LastPublished(context.Context) (notary.Checkpoint, time.Time, error) {
	return l.last, l.at, l.err
}
func (l *memoryLog) FirstCheckpoint(context.Context) (time.Time, error) { return l.first, l.err }
func (l *memoryLog) LastPostmortem(context.Context) (time.Time, error)  { return l.document, l.err }
func (l *memoryLog) MarkPublished(_ context.Context, c notary.Checkpoint) error {
	l.last, l.at = c, l.now
	return l.err
}

type testWay struct {
	sent []int64
	err  error
}

func (w *testWay) way(name string) Way {
	return Way{Name: name, Explain: func(err error) *health.Problem {
		return &health.Problem{Cause: err.Error(), Fix: "repair it", Err: err}
	},
		Publish: func(_ context.Context, c notary.Checkpoint) error {
			if w.err == nil {
				w.sent = append(w.sent, c.Size)
			}
			return w.err
		}}
}

type publisherTest struct {
	t *testing.T
	*Publisher
	log        *memoryLog
	chat, mail testWay
}

func newPublisherTest(t *testing.T) *publisherTest {
	p := &publisherTest{t: t, log: &memoryLog{now: time.Date(2026, 11, 30, 20, 0, 0, 0, time.UTC)}}
	p.Publisher = New(p.log, func() time.Time { return p.log.now }, slog.New(slog.DiscardHandler))
	return p
}

// run runs the publisher after a duration and requires the sizes that both ways have sent.
func (p *publisherTest) run(after time.Duration, wantChat, wantMail string) {
	p.t.Helper()
	p.log.now = p.log.now.Add(after)
	if err := p.Run(p.t.Context(), []Way{p.chat.way("chat"), p.mail.way("mail")}); err != nil {
		p.t.Fatal(err)
	}
	if chat, mail := fmt.Sprint(p.chat.sent), fmt.Sprint(p.mail.sent); chat != wantChat || mail != wantMail {
		p.t.Errorf("got %s and %s, want %s and %s", chat, mail, wantChat, wantMail)
	}
}

func TestRun_HourlyIfTheLogGrew(t *testing.T) {
	p := newPublisherTest(t)
	p.run(0, "[]", "[]") // no checkpoint yet
	p.log.grow(p.log.now)
	p.run(59*time.Minute, "[]", "[]")
	p.log.grow(p.log.now)
	p.run(time.Minute, "[2]", "[2]")
	p.run(2*time.Hour, "[2]", "[2]") // the log did not grow
	p.log.grow(p.log.now)
	p.run(0, "[2 3]", "[2 3]")
	p.log.grow(p.log.now)
	p.run(59*time.Minute, "[2 3]", "[2 3]")
	p.run(time.Minute, "[2 3 4]", "[2 3 4]")
}

func TestRun_AfterEachPostmortem(t *testing.T) {
	p := newPublisherTest(t)
	p.log.grow(p.log.now)
	p.log.document = p.log.now.Add(30*time.Second + time.Millisecond)
	p.run(time.Minute, "[]", "[]") // no checkpoint covers the postmortem yet
	p.log.grow(p.log.now)
	p.run(0, "[2]", "[2]")
	p.log.grow(p.log.now.Add(time.Minute))
	p.run(time.Minute, "[2]", "[2]") // once
}

func TestRun_RetriesTheWaysThatFailed(t *testing.T) {
	p := newPublisherTest(t)
	p.log.grow(p.log.now)
	p.mail.err = errors.New("the relay does not answer")
	p.run(time.Hour, "[1]", "[]")
	since := p.log.now
	p.log.grow(p.log.now)
	p.run(time.Minute, "[1]", "[]")
	var problem *health.Problem
	if err := p.Check(p.log.now); !errors.As(err, &problem) || problem.Cause != "Checkpoints are not published by mail: the relay does not answer" || !problem.Since.Equal(since) || problem.Fix == "" {
		t.Errorf("got %+v, want the way and the cause", problem)
	}
	p.mail.err = nil
	p.run(time.Minute, "[1]", "[1]") // the same checkpoint
	if err := p.Check(p.log.now); err != nil {
		t.Errorf("got %v after a success", err)
	}
	p.run(time.Hour, "[1 2]", "[1 2]")

	p.log.grow(p.log.now)
	p.chat.err, p.mail.err = errors.New("no chat"), errors.New("no mail")
	p.run(time.Hour, "[1 2]", "[1 2]")
	if p.log.last.Size != 2 {
		t.Errorf("got checkpoint %d recorded as published, want 2", p.log.last.Size)
	}
	p.log.grow(p.log.now)
	p.chat.err, p.mail.err = nil, nil
	p.run(time.Minute, "[1 2 4]", "[1 2 4]") // the newest one
}

// TestRun_RemovedWay removes a way that failed from the configuration.
func TestRun_RemovedWay(t *testing.T) {
	p := newPublisherTest(t)
	p.log.grow(p.log.now)
	p.mail.err = errors.New("the relay does not answer")
	p.run(time.Hour, "[1]", "[]")
	if err := p.Run(t.Context(), []Way{p.chat.way("chat")}); err != nil || p.Check(p.log.now) != nil {
		t.Errorf("got %v and problem %v, want none", err, p.Check(p.log.now))
	}
	p.log.err = errors.New("database unavailable")
	if err := p.Run(t.Context(), []Way{p.chat.way("chat")}); err == nil || !strings.Contains(err.Error(), "database unavailable") {
		t.Errorf("got %v, want the error of the database", err)
	}
}

// TestMessage_OpensAgain opens a checkpoint from the lines that syslog servers store.
func TestMessage_OpensAgain(t *testing.T) {
	key, err := notary.NewKey("tocsin/0123456789abcdef", []byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	c, err := key.Sign(notary.Checkpoint{Size: 7, At: time.Now(), LastIncident: 3, Erasures: []notary.Erasure{{Incident: 2, Event: 9, Refs: []string{"7/text"}}}})
	if err != nil {
		t.Fatal(err)
	}
	line := Message(c).String()
	if strings.Contains(line, "\n") {
		t.Errorf("got %q, want one line", line)
	}
	for _, stored := range []string{line, "Nov 30 21:00:00 host tocsin " + strings.ReplaceAll(c.Note, "\n", "#012")} {
		if got, err := key.Verifier().Open(stored); err != nil || got.Root != c.Root || got.Size != 7 {
			t.Errorf("%q: got %+v, %v", stored, got, err)
		}
	}
}

func TestConfig_Validate(t *testing.T) {
	if p := (Config{Channel: true, Mail: []string{"Audit <audit@example.com>"}, Syslog: "tcp://[::1]:601"}).Validate(); len(p) > 0 {
		t.Errorf("got %v", p)
	}
	if p := (Config{Mail: []string{"audit"}, Syslog: "logs.example.com"}).Validate(); len(p) != 2 {
		t.Errorf("got %v, want both keys", p)
	}
}
