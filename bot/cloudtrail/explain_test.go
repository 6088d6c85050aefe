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

// Explain finds records in every form that Decode accepts.
func TestExplain_FindsRecords(t *testing.T) {
	rules, _ := detect.Load(detect.Options{Builtin: true})
	s := New(Config{}, rules)
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
		"undecodable":     {`{"eventID":"a","eventSource":"x","eventName":"y","eventName":"z"}`, "", "error"},
		"not JSON":        {"x", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, _, err := s.Explain(nil, []byte(c.body), c.event, 10)
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, trace := range got {
				if trace.Error != "" {
					trace.ID = "error"
				} else if !trace.Rules[0].Matched || trace.Others == 0 {
					t.Errorf("got %+v, want a matching rule first and other rules", trace)
				}
				ids = append(ids, trace.ID)
			}
			if text := strings.Join(ids, " "); text != c.want {
				t.Errorf("got %q, want %q", text, c.want)
			}
		})
	}
	if _, _, err := s.Explain([]byte("not rules"), nil, "", 10); err == nil {
		t.Error("got no error for invalid stored rules")
	}
}

// The limit does not apply to the record with the requested ID.
func TestExplain_Limit(t *testing.T) {
	rules, _ := detect.Load(detect.Options{Builtin: true})
	s := New(Config{}, rules)
	var all []string
	for n := range 500 {
		all = append(all, fmt.Sprintf(`{"eventID":"e%d","eventSource":"s3.amazonaws.com","eventName":"GetObject"}`, n))
	}
	body := []byte("[" + strings.Join(all, ",") + "]")
	for _, limit := range []int{0, 3, 1000} {
		got, more, err := s.Explain(nil, body, "none", limit)
		if err != nil || len(got) != min(limit, 500) || more != 500-len(got) {
			t.Errorf("limit %d: got %d records and %d more, error %v, want %d", limit, len(got), more, err, min(limit, 500))
		}
		got, more, err = s.Explain(nil, body, "e499", limit)
		if err != nil || len(got) != 1 || got[0].ID != "e499" || more != 0 {
			t.Errorf("limit %d: got %+v and %d more, error %v, want e499 only", limit, got, more, err)
		}
	}
}

func TestRulesetCache(t *testing.T) {
	rules, _ := detect.Load(detect.Options{Builtin: true})
	s := New(Config{}, rules)
	_, source := s.Rules()
	first, err := s.rulesFrom(source)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := s.rulesFrom(slices.Clone(source)); err != nil || second != first {
		t.Errorf("got another ruleset, error %v, want the cached one", err)
	}
	for n := range 2 * maxPastRulesets {
		others, _ := detect.Load(detect.Options{Builtin: true, Disable: []string{rules.Rules()[n].ID}})
		if _, err := s.rulesFrom(others.Source()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(s.past.sets); n != maxPastRulesets {
		t.Errorf("got %d cached rulesets, want %d", n, maxPastRulesets)
	}
}

func TestExplainCorrelation(t *testing.T) {
	rules, _ := detect.Load(detect.Options{Builtin: true})
	s := New(Config{}, rules)
	for _, r := range rules.Rules() {
		if r.Correlation == nil {
			continue
		}
		a := correlationAlert(detect.Firing{Correlation: r, Events: []string{"e1", "e2"}}, incident.Observation{About: &incident.Alert{}})
		_, source := s.Rules()
		for _, stored := range [][]byte{nil, source} {
			got, err := s.ExplainCorrelation(stored, a)
			if err != nil || !strings.HasPrefix(got, r.Title+" ("+r.ID+"), from ") || !strings.HasSuffix(got, ". Events (2): e1, e2") {
				t.Errorf("got %q, error %v, want rule %s with its events", got, err, r.ID)
			}
		}
	}
	if got, err := s.ExplainCorrelation(nil, incident.Alert{Kind: "cloudtrail.StopLogging"}); got != "" || err != nil {
		t.Errorf("got %q, error %v, want nothing for an alert about one event", got, err)
	}
}
