package command_test

import (
	"strings"
	"testing"
	"time"

	. "tocsin/bot/command"
	. "tocsin/bot/incident"
)

func TestParse_Ask(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	at := func(text string) time.Time {
		v, err := time.Parse("2006-01-02 15:04", text)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for text, want := range map[string]Question{
		"ask AKIAIOSFODNN7EXAMPLE":      {Kind: SubjectKey, Value: "AKIAIOSFODNN7EXAMPLE"},
		"ask key id abc":                {Kind: SubjectKey, Value: "abc"},
		"ask 198.51.100.7 last 24h":     {Kind: SubjectAddress, Value: "198.51.100.7", From: at("2026-11-29 12:00")},
		"ask 2001:db8::1":               {Kind: SubjectAddress, Value: "2001:db8::1"},
		"ask 123456789012 last day":     {Kind: SubjectAccount, Value: "123456789012", From: at("2026-11-29 12:00")},
		"ask ada@example.com":           {Kind: SubjectPrincipal, Value: "ada@example.com"},
		"ask role/Admin since 10:00":    {Kind: SubjectPrincipal, Value: "role/Admin", From: at("2026-11-30 10:00")},
		"ask principal Ada to 11:00":    {Kind: SubjectPrincipal, Value: "Ada", To: at("2026-11-30 11:00")},
		"ask user: ada page 2 limit 50": {Kind: SubjectPrincipal, Value: "ada", Page: 2, Limit: 50},
		"ask principal arn:aws:iam::123456789012:user/ada from 2026-11-29 20:00 to 22:00": {Kind: SubjectPrincipal, Value: "arn:aws:iam::123456789012:user/ada", From: at("2026-11-29 20:00"), To: at("2026-11-29 22:00")},
		"ask ip AWS_Internal from 2026-11-28 23:00 to 01:30 after D20":                    {Kind: SubjectAddress, Value: "AWS_Internal", From: at("2026-11-28 23:00"), To: at("2026-11-29 01:30"), After: 20},
		"ask principal ada from 2026-11-29 20:00 CET to 22:00":                            {Kind: SubjectPrincipal, Value: "ada", From: at("2026-11-29 19:00"), To: at("2026-11-29 21:00")},
	} {
		w, err := Parse(text, Context{Now: now})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got := *w.AlertRequest.Ask
		got.From, got.To = utc(got.From), utc(got.To)
		if got != want {
			t.Errorf("%s: got %+v, want %+v", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"ask": "needs a principal", "ask ada": "several kinds", "ask key": "is missing", "ask role/x from": "needs a date or time", "ask role/x from 10:00 to 2026-11-29 10:00": "ends before it begins",
		"ask role/x from 10:00 since 11:00": "two times", "ask role/x last": "length of time", "ask role/x page 0": "not a number", "ask role/x limit 1001": "from 1 to 1000",
		"ask role/x after 7 days": "not a delivery", "ask role/x fron 10:00": `Did you mean "from"`,
	} {
		if _, err := Parse(text, Context{Now: now}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
	w, err := Parse("ask role/x", Context{Now: now, Incident: 7})
	if err != nil || w.AlertRequest.Ask.Incident != 7 {
		t.Errorf("got %+v, %v, want the incident of the channel", w.AlertRequest, err)
	}
}
