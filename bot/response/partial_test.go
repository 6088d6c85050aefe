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

var errRefused = &incident.Blocked{System: incident.SystemMail, Cause: incident.Say("the mail relay does not accept mail to ben@example.com (code 550)"),
	Fix: incident.Say("Correct the addresses"), Err: errors.New("550")}

// recipients is a handler that sends to three people. It refuses one of them and fails
// completely while the system is away.
type recipients struct {
	got           []string
	refused, away bool
}

func (r *recipients) handle(_ context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
	if r.away {
		return incident.Command{}, errUnavailable
	}
	reached := slices.Clone(b.Reached)
	for _, one := range []string{"ana@example.com", "ben@example.com", "cy@example.com"} {
		if !slices.Contains(reached, one) && (one != "ben@example.com" || !r.refused) {
			r.got, reached = append(r.got, one), append(reached, one)
		}
	}
	if r.refused {
		return incident.Command{}, &incident.Partial{Reached: reached, Err: errRefused}
	}
	return incident.Command{}, nil
}

// TestPartial_EachRecipientOnce refuses one recipient, takes the system away, gives it
// back, and then accepts the recipient.
func TestPartial_EachRecipientOnce(t *testing.T) {
	for _, kind := range []incident.EffectKind{incident.EffectAnnounce, incident.EffectPage} {
		t.Run(string(kind), func(t *testing.T) {
			r := &recipients{refused: true}
			fx := newFixture(t, func(o *Options) {
				o.Handlers[incident.EffectAnnounce] = r.handle
				o.Pages = []Handler{o.Pages[0], o.Pages[1], o.Pages[2]}
				if kind == incident.EffectPage {
					o.Handlers[incident.EffectAnnounce], o.Pages[0] = o.Handlers[incident.EffectCard], r.handle
				}
			})
			id := fx.open(t, incident.Sev1)
			o := &outage{fixture: fx}
			for n, change := range []func(){func() {}, func() {}, func() { r.away = true }, func() { r.away = false }} {
				change()
				fx.runQueue(t)
				w := o.wait(t, kind)
				if fmt.Sprint(w.Reached) != "[ana@example.com cy@example.com]" || w.Attempts != n+1 {
					t.Fatalf("attempt %d: got %+v", n+1, w)
				}
				if !r.away && (!w.Blocked || w.Cause != errRefused.Cause.String() || w.Fix != errRefused.Fix.String() || !w.Visible(fx.now)) {
					t.Errorf("attempt %d: got %+v, want a visible wait for an administrator", n+1, w)
				}
				fx.now = w.NextAttempt
			}
			if kind == incident.EffectPage {
				kinds := fx.eventKinds(id)
				if countOf(kinds, incident.EventPageFailed) != 0 {
					t.Errorf("got events %v, want no failed page", kinds)
				}
			}
			r.refused = false
			fx.runQueue(t)
			if fmt.Sprint(r.got) != "[ana@example.com cy@example.com ben@example.com]" || len(o.waits(t, WaitingQuery{})) != 0 {
				t.Errorf("got mails to %v, waiting effects %+v", r.got, o.waits(t, WaitingQuery{}))
			}
		})
	}
}

// TestPartial_PageIsSent checks that a page that reached a person neither fails nor pages
// the next step at once, and that its end is requested once.
func TestPartial_PageIsSent(t *testing.T) {
	r := &recipients{refused: true}
	fx := newFixture(t, func(o *Options) {
		page := o.Pages[0]
		o.Pages[0] = func(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
			_, err := r.handle(ctx, b, e)
			cmd, _ := page(ctx, b, e)
			cmd.Verb, cmd.Key, cmd.For, cmd.Round, cmd.EscalationStep = incident.VerbPaged, e.Key, e.Incident, intArg(e, "round"), intArg(e, "escalation_step")
			return cmd, err
		}
	})
	id := fx.open(t, incident.Sev1)
	fx.runQueue(t)
	if kinds := fx.eventKinds(id); countOf(kinds, incident.EventPaged) != 1 || countOf(kinds, incident.EventPageFailed) != 0 {
		t.Errorf("got events %v, want one page that was sent", kinds)
	}
	fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbAcknowledge})
	fx.now = fx.now.Add(10 * time.Second)
	fx.runQueue(t)
	if n := countOf(fx.calls, string(incident.EffectPageAck)); n != 1 || fmt.Sprint(r.got) != "[ana@example.com cy@example.com]" || len(fx.pageCalls()) != 1 {
		t.Errorf("got %d ends of the page, mails to %v and pages %v, want one end and no other page", n, r.got, fx.pageCalls())
	}
	if waits := (&outage{fixture: fx}).waits(t, WaitingQuery{}); len(waits) != 0 {
		t.Errorf("still waiting: %+v", waits)
	}
}
