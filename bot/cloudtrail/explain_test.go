package cloudtrail

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tocsin/bot/detect"
	"tocsin/bot/incident"
)

// TestExplainFindsTheRecordsThatDecodeFinds wraps a record in each of the ways
// in which it may come.
func TestExplainFindsTheRecordsThatDecodeFinds(t *testing.T) {
	rules, _ := detect.Load(detect.Options{Builtin: true})
	s := New(Config{Rules: rules})
	record := func(id string) string {
		return fmt.Sprintf(`{"eventID":%q,"eventTime":"2026-11-20T02:31:00Z","eventSource":"cloudtrail.amazonaws.com","eventName":"StopLogging"}`, id)
	}
	message, err := json.Marshal(`{"detail-type":"AWS API Call via CloudTrail","detail":` + record("a") + `}`)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ body, event, want string }{
		"bare":            {record("a"), "", "a"},
		"envelope":        {`{"detail-type":"AWS API Call via CloudTrail","detail":` + record("a") + `}`, "", "a"},
		"array":           {"[" + record("a") + "," + record("b") + "]", "", "a b"},
		"one of an array": {"[" + record("a") + "," + record("b") + "]", "b", "b"},
		"another event":   {"[" + record("a") + "," + record("b") + "]", "c", "a b"},
		"file":            {`{"Records":[` + record("a") + `]}`, "", "a"},
		"sns":             {`{"Type":"Notification","Message":` + string(message) + `}`, "", "a"},
		"finding":         {`{"detail-type":"GuardDuty Finding","detail":{"id":"f","type":"t","severity":8}}`, "", ""},
		"not judged":      {`{"eventID":"a","eventSource":"x","eventName":"y","eventName":"z"}`, "", "fault"},
		"no JSON":         {"x", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, _, err := s.Explain(nil, []byte(c.body), c.event, 10)
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, j := range got {
				if j.Error != "" {
					j.ID = "fault"
				} else if !j.Rules[0].Matched || j.Others == 0 {
					t.Errorf("%+v", j)
				}
				ids = append(ids, j.ID)
			}
			if text := strings.Join(ids, " "); text != c.want {
				t.Errorf("%q, want %q", text, c.want)
			}
		})
	}
	if _, _, err := s.Explain([]byte("no rules"), nil, "", 10); err == nil {
		t.Error("rules were restored from nothing")
	}
}

// TestExplainGoesThroughAsManyAsAreAsked, and finds the event however many there are.
func TestExplainGoesThroughAsManyAsAreAsked(t *testing.T) {
	rules, _ := detect.Load(detect.Options{Builtin: true})
	s := New(Config{Rules: rules})
	var all []string
	for n := range 500 {
		all = append(all, fmt.Sprintf(`{"eventID":"e%d","eventSource":"s3.amazonaws.com","eventName":"GetObject"}`, n))
	}
	body := []byte("[" + strings.Join(all, ",") + "]")
	for _, most := range []int{0, 3, 1000} {
		got, more, err := s.Explain(nil, body, "none", most)
		if err != nil || len(got) != min(most, 500) || more != 500-len(got) {
			t.Errorf("%d of at most %d records and %d more, %v", len(got), most, more, err)
		}
		got, more, err = s.Explain(nil, body, "e499", most)
		if err != nil || len(got) != 1 || got[0].ID != "e499" || more != 0 {
			t.Errorf("the event is %+v and %d more, %v", got, more, err)
		}
	}
}

// TestRulesOfThePastAreRestoredOnce, and the oldest of them are let go.
func TestRulesOfThePastAreRestoredOnce(t *testing.T) {
	rules, _ := detect.Load(detect.Options{Builtin: true})
	s := New(Config{Rules: rules})
	_, source := s.Rules()
	first, err := s.rulesFrom(source)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.rulesFrom(slices.Clone(source)); err != nil || again != first {
		t.Errorf("they were restored again, %v", err)
	}
	for n := range 2 * maxPastRulesets {
		others, _ := detect.Load(detect.Options{Builtin: true, Disable: []string{rules.Rules()[n].ID}})
		if _, err := s.rulesFrom(others.Source()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(s.past.sets); n != maxPastRulesets {
		t.Errorf("%d rulesets are held ready", n)
	}
}

func TestCountedNamesTheRuleAndTheEvents(t *testing.T) {
	rules, _ := detect.Load(detect.Options{Builtin: true})
	s := New(Config{Rules: rules})
	for _, r := range rules.Rules() {
		if r.Correlation == nil {
			continue
		}
		a := correlationAlert(detect.Firing{Correlation: r, Events: []string{"e1", "e2"}}, incident.Observation{About: &incident.Alert{}})
		_, source := s.Rules()
		for _, kept := range [][]byte{nil, source} {
			said, err := s.ExplainCorrelation(kept, a)
			if err != nil || !strings.HasPrefix(said, r.Title+" ("+r.ID+"), from ") || !strings.HasSuffix(said, ". Events (2): e1, e2") {
				t.Errorf("%q, %v", said, err)
			}
		}
	}
	if said, err := s.ExplainCorrelation(nil, incident.Alert{Kind: "cloudtrail.StopLogging"}); said != "" || err != nil {
		t.Errorf("%q, %v", said, err)
	}
}
