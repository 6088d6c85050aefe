package bot

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	slackgo "github.com/slack-go/slack"

	"tocsin/bot/health"
	"tocsin/bot/incident"
	"tocsin/bot/telemetry"
)

// TestAreWaitsCovered requires a notice about waiting effects unless a degraded part shows
// each cause.
func TestAreWaitsCovered(t *testing.T) {
	parts := []telemetry.Part{{Name: partSlack}, {Name: partMail}, {Name: "step 1", Way: telemetry.WayPager}, {Name: "step 2", Needs: partMail}}
	for name, c := range map[string]struct {
		systems, impaired []string
		want              bool
	}{
		"Slack refuses one call":      {[]string{"slack"}, nil, false},
		"Slack refuses the token":     {[]string{"slack"}, []string{partSlack}, true},
		"routing key":                 {[]string{"pagerduty"}, []string{"step 1"}, true},
		"routing key and one call":    {[]string{"slack", "pagerduty"}, []string{"step 1"}, false},
		"password":                    {[]string{"mail"}, []string{partMail, "step 2"}, true},
		"recipients of a step":        {[]string{"mail"}, []string{"step 2"}, true},
		"another system is also down": {[]string{"slack"}, []string{partMail}, false},
	} {
		if got := areWaitsCovered(c.systems, parts, func(part string) bool { return slices.Contains(c.impaired, part) }); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

// TestHealth_NoAddress has the mail relay refuse a person. /readyz and the notices do not have the
// name and the address.
func TestHealth_NoAddress(t *testing.T) {
	blocked := &incident.Blocked{Cause: incident.Say("the mail relay does not accept mail to %s (code %d)", incident.Literal("Ada <ada@example.com>"), 550), Fix: incident.Say("Correct the addresses")}
	for _, p := range []*health.Problem{
		describeWaiting(2, incident.WaitingEffect{Cause: blocked.Cause.String(), Fix: "Correct the addresses"}),
		withoutAddress(health.Explain("mail", blocked)),
	} {
		if text := p.Cause + p.Fix; strings.Contains(text, "Ada") || strings.Contains(text, "@") || !strings.Contains(text, "tocsin effects") || !strings.Contains(text, "Correct") {
			t.Errorf("got %q, %q, want the way to the address and the fix", p.Cause, p.Fix)
		}
	}
	if p := describeWaiting(1, incident.WaitingEffect{Cause: "the app lacks a scope"}); !strings.Contains(p.Cause, "lacks a scope") {
		t.Errorf("got %q, want the cause", p.Cause)
	}
	if p := withoutAddress(health.Explain("mail", blocked)); !p.IsRefusal {
		t.Error("got no refusal")
	}
}

// TestIsSlackAway requires one notice about Slack and Socket Mode if both fail for one
// reason, and two for two reasons.
func TestIsSlackAway(t *testing.T) {
	offline, token := &health.Problem{Cause: "Slack refuses connections"}, &health.Problem{Cause: "Slack does not accept the bot token"}
	for _, c := range []struct {
		slack *health.Problem
		want  bool
	}{{nil, false}, {offline, true}, {token, false}} {
		if got := isSlackAway(offline, func(string) *health.Problem { return c.slack }); got != c.want {
			t.Errorf("%v: got %v, want %v", c.slack, got, c.want)
		}
	}
}

// TestExplainFailure_IsForPeople requires a sentence without texts of libraries and
// without addresses for every error of a client.
func TestExplainFailure_IsForPeople(t *testing.T) {
	raw := regexp.MustCompile(`https?:|10\.0\.0\.7|\b(dial|EOF|EHLO|read|retry after)\b|["<]`)
	post := func(err error) error {
		return fmt.Errorf("page: %w", &url.Error{Op: "Post", URL: "https://10.0.0.7/v2", Err: err})
	}
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	for name, err := range map[string]error{
		"closed": post(io.EOF), "refused": post(refused), "no host": post(&net.DNSError{Err: "no such host", Name: "10.0.0.7"}), "unknown": errors.New(`invalid character '<'`),
		"status": fmt.Errorf("post: %w", slackgo.StatusCodeError{Code: 503, Status: "503"}), "SMTP": fmt.Errorf("mail: %w", &textproto.Error{Code: 451, Msg: "10.0.0.7 is greylisted"}),
		"limited": &incident.RetryAfter{After: time.Minute, Err: errors.New("post: slack rate limit exceeded")},
	} {
		for system, subject := range map[string]string{incident.SystemSlack: "Slack ", incident.SystemPagerDuty: "PagerDuty ", incident.SystemMail: "The mail relay "} {
			cause, fix := explainFailure(system, err)
			if !strings.HasPrefix(cause, subject) || raw.MatchString(cause) || raw.MatchString(fix) || (fix == "") != (name == "limited") {
				t.Errorf("%s, %s: got cause %q, fix %q", system, name, cause, fix)
			}
		}
	}
}
