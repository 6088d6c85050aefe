package cloudtrail

import (
	"encoding/json"
	"fmt"
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
			got, err := s.Explain(nil, []byte(c.body), c.event)
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, j := range got {
				if j.Fault != "" {
					j.ID = "fault"
				} else if !j.Rules[0].Hit || j.Others == 0 {
					t.Errorf("%+v", j)
				}
				ids = append(ids, j.ID)
			}
			if text := strings.Join(ids, " "); text != c.want {
				t.Errorf("%q, want %q", text, c.want)
			}
		})
	}
	if _, err := s.Explain([]byte("no rules"), nil, ""); err == nil {
		t.Error("rules were restored from nothing")
	}
}

func TestCountedNamesTheRuleAndTheEvents(t *testing.T) {
	rules, _ := detect.Load(detect.Options{Builtin: true})
	s := New(Config{Rules: rules})
	for _, r := range rules.Rules() {
		if r.Correlation == nil {
			continue
		}
		a := correlated(detect.Firing{Correlation: r, Events: []string{"e1", "e2"}}, incident.Observation{About: &incident.Alert{}})
		_, source := s.Rules()
		for _, kept := range [][]byte{nil, source} {
			said, err := s.Counted(kept, a)
			if err != nil || !strings.HasPrefix(said, r.Title+" ("+r.ID+"), from ") || !strings.HasSuffix(said, ". Events (2): e1, e2") {
				t.Errorf("%q, %v", said, err)
			}
		}
	}
	if said, err := s.Counted(nil, incident.Alert{Kind: "cloudtrail.StopLogging"}); said != "" || err != nil {
		t.Errorf("%q, %v", said, err)
	}
}
