package response

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tocsin/bot/incident"
)

// testPages is a desk with the pages of its tests.
type testPages struct {
	*fixture
	codes   []string // of the tests, in their order
	sent    []string // "code step"
	ended   []string // "code step"
	notices []map[string]string
	row     int64 // of the last delivery
}

func newTestPages(t testingT) *testPages {
	tp := &testPages{}
	record := func(list *[]string) Handler {
		return func(_ context.Context, _ incident.Brief, e incident.Effect) (incident.Command, error) {
			page := e.TestPage()
			if !slices.Contains(tp.codes, page.Code) {
				tp.codes = append(tp.codes, page.Code)
			}
			*list = append(*list, fmt.Sprint(page.Code, " ", page.Step))
			return incident.Command{}, nil
		}
	}
	tp.fixture = newFixture(t, func(o *Options) {
		o.Handlers[incident.EffectTestPage], o.Handlers[incident.EffectTestPageEnd] = record(&tp.sent), record(&tp.ended)
		o.Handlers[incident.EffectNotice] = func(_ context.Context, _ incident.Brief, e incident.Effect) (incident.Command, error) {
			tp.notices = append(tp.notices, e.Args)
			return incident.Command{}, nil
		}
	})
	return tp
}

// ask gives a request to the desk for a person.
func (tp *testPages) ask(person, key string, r incident.TestPageRequest) (incident.AlertResult, error) {
	return tp.Alerts(context.Background(), slackIdentity(person), incident.AlertRequest{Query: incident.QueryTestPage, Key: key, Test: r})
}

// pass moves the clock and runs the queue.
func (tp *testPages) pass(t testingT, d time.Duration) {
	t.Helper()
	tp.now = tp.now.Add(d)
	tp.runQueue(t)
}

func (tp *testPages) last(t testingT) incident.TestPage {
	t.Helper()
	list, err := tp.TestPages(context.Background())
	if err != nil || len(list.Tests) == 0 {
		t.Fatalf("got %+v, %v, want a test", list, err)
	}
	return list.Tests[0]
}

func TestTestPage_Acknowledged(t *testing.T) {
	for name, acknowledge := range map[string]func(*testPages) error{
		"typed": func(tp *testPages) error {
			_, err := tp.ask("p1", "a", incident.TestPageRequest{Code: strings.ToLower(tp.codes[0])})
			return err
		},
		"at the pager": func(tp *testPages) error {
			return tp.AcknowledgeTestPage(context.Background(), incident.TestPageAck{Code: tp.codes[0], By: incident.Identity{Provider: incident.ProviderPagerDuty, ID: "Pp1"}, Name: "Ada"})
		},
		"by webhook": func(tp *testPages) error {
			tp.row++
			return tp.Ingest(context.Background(), []incident.DecodedDelivery{{Row: tp.row, Source: "pagerduty", Signals: []incident.Signal{{Row: tp.row, TestPage: &incident.TestPageAck{Code: tp.codes[0], By: incident.Identity{Provider: incident.ProviderPagerDuty, ID: "Pp1"}}}}}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			tp := newTestPages(t)
			for range 2 { // Slack repeats a command
				if _, err := tp.ask("p1", "k", incident.TestPageRequest{Start: true}); err != nil {
					t.Fatal(err)
				}
			}
			tp.runQueue(t)
			tp.now = tp.now.Add(40 * time.Second)
			for range 2 {
				if err := acknowledge(tp); err != nil {
					t.Fatal(err)
				}
			}
			tp.pass(t, time.Hour)
			got := tp.last(t)
			if got.AcknowledgedBy != "p1" || got.AcknowledgedAt.Sub(got.StartedAt) != 40*time.Second || got.Missed() || got.Running() {
				t.Errorf("got %+v, want an acknowledgement of p1 after 40 s", got)
			}
			if len(tp.sent) != 1 || len(tp.ended) != 1 || len(tp.notices) != 0 || len(tp.store.incidents) != 0 {
				t.Errorf("sent %v, ended %v, notices %v, %d incidents, want one page with its end only", tp.sent, tp.ended, tp.notices, len(tp.store.incidents))
			}
		})
	}
}

func TestTestPage_MissedEscalatesAndNotifies(t *testing.T) {
	tp := newTestPages(t)
	if err := tp.StartTestPage(context.Background(), "schedule/1"); err != nil {
		t.Fatal(err)
	}
	tp.pass(t, 0)
	if err := tp.AcknowledgeTestPage(context.Background(), incident.TestPageAck{Code: tp.codes[0], By: incident.Identity{Provider: incident.ProviderPagerDuty, ID: "unknown"}, Name: "Nobody Known"}); err != nil {
		t.Fatal(err)
	}
	tp.pass(t, 5*time.Minute)
	list, _ := tp.TestPages(context.Background())
	if _, failing := list.Failing(); !failing || len(tp.sent) != 2 || len(tp.notices) != 1 || tp.notices[0]["next"] != "2" || tp.notices[0]["stranger"] != "Nobody Known" {
		t.Fatalf("got %+v, sent %v, notices %v, want a missed test at step 2 with one notice", list, tp.sent, tp.notices)
	}
	tp.pass(t, 5*time.Minute)
	tp.pass(t, 5*time.Minute)
	tp.pass(t, time.Hour)
	if got := tp.last(t); got.Running() || got.AcknowledgedBy != "" || len(tp.sent) != 3 || len(tp.ended) != 3 || len(tp.notices) != 2 || tp.notices[1]["steps"] != "3" || tp.notices[1]["next"] != "" {
		t.Errorf("got %+v, sent %v, ended %v, notices %v, want an end after three steps with a second notice", got, tp.sent, tp.ended, tp.notices)
	}
	if _, err := tp.ask("p1", "late", incident.TestPageRequest{Code: tp.codes[0]}); incident.CodeOf(err) != incident.CodeConflict {
		t.Errorf("got %v, want a conflict", err)
	}
	if _, err := tp.ask("p1", "again", incident.TestPageRequest{Start: true}); err != nil {
		t.Fatal(err)
	}
	tp.pass(t, 0)
	if list, _ = tp.TestPages(context.Background()); len(list.Tests) != 2 {
		t.Fatalf("got %+v, want two tests", list)
	}
	if _, failing := list.Failing(); !failing {
		t.Error("a running test hides the missed one")
	}
	if _, err := tp.ask("p1", "ack", incident.TestPageRequest{Code: tp.codes[1]}); err != nil {
		t.Fatal(err)
	}
	list, _ = tp.TestPages(context.Background())
	if _, failing := list.Failing(); failing {
		t.Errorf("got %+v, want the missed test to be over after one that passed", list)
	}
}

func TestTestPage_Refused(t *testing.T) {
	tp := newTestPages(t)
	if _, err := tp.ask("p1", "k", incident.TestPageRequest{Start: true}); err != nil {
		t.Fatal(err)
	}
	tp.pass(t, 0)
	for name, test := range map[string]struct {
		person string
		ask    incident.TestPageRequest
		want   incident.Code
	}{
		"second test":        {"p1", incident.TestPageRequest{Start: true}, incident.CodeConflict},
		"unknown code":       {"p1", incident.TestPageRequest{Code: "AAAAAA"}, incident.CodeUnknown},
		"start by counsel":   {"p5", incident.TestPageRequest{Start: true}, incident.CodeForbidden},
		"list by counsel":    {"p5", incident.TestPageRequest{}, incident.CodeForbidden},
		"ack by counsel":     {"p5", incident.TestPageRequest{Code: tp.codes[0]}, incident.CodeForbidden},
		"start by a guest":   {"nobody", incident.TestPageRequest{Start: true}, incident.CodeForbidden},
		"acknowledge, guest": {"nobody", incident.TestPageRequest{Code: tp.codes[0]}, incident.CodeForbidden},
	} {
		got, err := tp.ask(test.person, name, test.ask)
		if incident.CodeOf(err) != test.want || got.TestPages != nil {
			t.Errorf("%s: got %+v, %v, want %s", name, got, err, test.want)
		}
	}
	if got := tp.last(t); !got.Running() {
		t.Errorf("got %+v, want a running test", got)
	}
	list, err := tp.ask("p1", "l", incident.TestPageRequest{})
	if err != nil || strings.Contains(fmt.Sprintf("%+v", list), tp.codes[0]) {
		t.Errorf("got %+v, %v, want a list without the code", list, err)
	}
}

// TestTestPage_AnyOrder mixes starts, acknowledgements and times in any order.
func TestTestPage_AnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tp := newTestPages(t)
		for n := range rapid.IntRange(1, 15).Draw(t, "steps") {
			before := len(tp.codes)
			switch rapid.SampledFrom([]string{"start", "schedule", "ack", "stranger", "time"}).Draw(t, "action") {
			case "start":
				_, _ = tp.ask("p1", fmt.Sprint(n), incident.TestPageRequest{Start: true})
			case "schedule":
				if err := tp.StartTestPage(context.Background(), fmt.Sprint("schedule/", n)); err != nil {
					t.Fatal(err)
				}
			case "ack":
				if before > 0 {
					_, _ = tp.ask("p2", fmt.Sprint(n), incident.TestPageRequest{Code: rapid.SampledFrom(tp.codes).Draw(t, "code")})
				}
			case "stranger":
				if before > 0 {
					if err := tp.AcknowledgeTestPage(context.Background(), incident.TestPageAck{Code: rapid.SampledFrom(tp.codes).Draw(t, "code"), By: incident.Identity{Provider: incident.ProviderPagerDuty, ID: "x"}, Name: "x"}); err != nil {
						t.Fatal(err)
					}
				}
			case "time":
				tp.now = tp.now.Add(time.Duration(rapid.IntRange(0, 400).Draw(t, "seconds")) * time.Second)
			}
			tp.runQueue(t)
			if len(tp.codes) > before+1 {
				t.Fatalf("one action started %d tests", len(tp.codes)-before)
			}
		}
		for range 4 {
			tp.pass(t, 5*time.Minute)
		}
		list, err := tp.TestPages(context.Background())
		if err != nil || len(list.Tests) != len(tp.codes) {
			t.Fatalf("got %+v, %v, want %d tests", list, err, len(tp.codes))
		}
		for n, test := range list.Tests {
			code := tp.codes[len(tp.codes)-1-n]
			steps := test.EscalationStep + 1
			if test.Running() || test.Missed() != (steps > 1 || test.AcknowledgedBy == "") || countPrefix(tp.sent, code) != steps || countPrefix(tp.ended, code) != steps {
				t.Fatalf("got %+v with pages %v and ends %v, want the end of %d steps", test, tp.sent, tp.ended, steps)
			}
		}
	})
}

func countPrefix(list []string, prefix string) (n int) {
	for _, s := range list {
		if strings.HasPrefix(s, prefix) {
			n++
		}
	}
	return n
}
