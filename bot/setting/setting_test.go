package setting_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/secret"
	"tocsin/bot/setting"
)

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{"400d": 400 * 24 * time.Hour, "0d": 0, "36500d": 36500 * 24 * time.Hour, "90m": 90 * time.Minute, "-1h": -time.Hour} {
		if got, err := setting.ParseDuration(text); err != nil || got != want {
			t.Errorf("%s: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "-1d", "36501d", "1.5d", "1d12h", "400", "day"} {
		if got, err := setting.ParseDuration(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

func TestParseNetwork(t *testing.T) {
	for text, want := range map[string]string{"192.0.2.7/24": "192.0.2.0/24", "192.0.2.7": "192.0.2.7/32", "2001:db8::1": "2001:db8::1/128", "::/0": "::/0"} {
		if got, err := setting.ParseNetwork(text); err != nil || got.String() != want {
			t.Errorf("%s: got %v, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "office", "192.0.2.0/33", "192.0.2"} {
		if got, err := setting.ParseNetwork(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

func TestProblems_Err(t *testing.T) {
	var p setting.Problems
	if err := p.Err(); err != nil {
		t.Errorf("got %v without problems, want nil", err)
	}
	p.Add("port", "is out of range. Write a port such as 587")
	p.CheckSecrets("tokens", []secret.String{secret.New("0123456789abcdef"), secret.New("short")})
	var below setting.Problems
	below.AddBelow("mail", p)
	err := below.Err()
	var first *incident.Error
	if !errors.As(err, &first) || first.Field != "mail.port" || first.Code != incident.CodeInvalid {
		t.Errorf("got %v, want an incident.Error with the field mail.port", err)
	}
	if want := "mail.tokens[1]: is too short. Use at least 16 characters"; err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "tokens[0]") {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestJoin(t *testing.T) {
	for want, parts := range map[string][2]string{"a.b": {"a", "b"}, "a": {"a", ""}, "b": {"", "b"}, "": {"", ""}} {
		if got := setting.Join(parts[0], parts[1]); got != want {
			t.Errorf("%q: got %s, want %s", parts, got, want)
		}
	}
}
