package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"tocsin/bot"
	"tocsin/bot/generic"
	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/secret"
	"tocsin/bot/setting"
	"tocsin/bot/vulnreport"
	"tocsin/store"
)

// TestEndpoints_EverySource enables every source with a webhook and sends valid and
// invalid requests to each endpoint of the bot.
func TestEndpoints_EverySource(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	sandbox, err := company.Open(company.Options{Seed: 5, HTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sandbox.Close() }()
	cfg, err := demoConfig(sandbox, demoOptions{Dir: t.TempDir(), HTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	const key = "0123456789abcdef-token"
	cfg.Sources.Alertmanager.Tokens = []secret.String{secret.New(key)}
	cfg.Sources.HackerOne.Secrets = []secret.String{secret.New(key)}
	cfg.Sources.Generic = []generic.Config{{Name: "scanner", Tokens: []secret.String{secret.New(key)}, Mapping: map[string]string{"title": "body.title", "level": `"high"`},
		Limits: intake.Limits{Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}}, {Name: "siem", Tokens: []secret.String{secret.New(key)}, Mapping: map[string]string{"title": "body.title"}}}
	cfg.Sources.Report.Form = &vulnreport.FormConfig{Company: "Payroll"}
	cfg.Sources.Report.SecurityTxt = &vulnreport.SecurityTxt{Contacts: []string{"mailto:security@payroll.example"}, Expires: setting.Day{Time: time.Now().AddDate(0, 6, 0)}}
	cfg.Sources.SNS.Topics = []string{"arn:aws:sns:eu-west-3:123456789012:security-events"}
	if errs := cfg.Validate(); len(errs) > 0 {
		t.Fatal(errs)
	}
	keys, err := store.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	b, err := bot.New(ctx, cfg, bot.Options{Keyset: keys})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	base := "http://" + b.Addr()
	sandbox.Connect(base)
	run, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- b.Run(run) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()

	send := func(method, path, body string, header ...string) (int, string) {
		t.Helper()
		return request(ctx, t, method, base+path, body, header...)
	}
	expect := func(want int, method, path, body string, header ...string) string {
		t.Helper()
		status, text := send(method, path, body, header...)
		if status != want {
			t.Errorf("%s %s: got %d, want %d: %s", method, path, status, want, text)
		}
		return text
	}
	sign := func(body string) string {
		m := hmac.New(sha256.New, []byte(key))
		_, _ = io.Copy(m, bytes.NewReader([]byte(body)))
		return "sha256=" + hex.EncodeToString(m.Sum(nil))
	}
	firing := `{"version":"4","groupKey":"{}:{alertname=\"Odd\"}","truncatedAlerts":0,"status":"firing","receiver":"t","groupLabels":{"alertname":"Odd"},"commonLabels":{},"commonAnnotations":{},"externalURL":"http://a",` +
		`"alerts":[{"status":"firing","labels":{"alertname":"Odd logins","severity":"critical"},"annotations":{},"startsAt":"2026-11-20T02:00:00Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://p","fingerprint":"f1"}]}`
	expect(202, "POST", "/hooks/alertmanager", firing, "Authorization", "Bearer "+key)
	expect(401, "POST", "/hooks/alertmanager", firing, "Authorization", "Bearer wrong")
	expect(202, "POST", "/hooks/siem", `{"title":"an odd process"}`, "Authorization", "Bearer "+key)
	expect(403, "POST", "/hooks/scanner", `{"title":"from the wrong network"}`, "Authorization", "Bearer "+key)
	filed := `{"data":{"activity":{"type":"activity-bug-filed","id":"1"},"report":{"id":"7","type":"report","attributes":{"title":"A hole","state":"new","created_at":"2026-11-20T02:00:00Z","vulnerability_information":"x"},"relationships":{}}}}`
	expect(202, "POST", "/hooks/hackerone", filed, "X-H1-Signature", sign(filed), "X-H1-Event", "report_created", "X-H1-Delivery", "d1")
	expect(401, "POST", "/hooks/hackerone", filed, "X-H1-Signature", sign("x"))
	expect(401, "POST", "/hooks/report", `{}`)
	if status, _ := send("POST", "/hooks/sns", `{"Type":"Notification"}`); status/100 != 4 {
		t.Errorf("unsigned SNS message: got status %d, want 4xx", status)
	}
	if txt := expect(200, "GET", "/.well-known/security.txt", ""); !strings.Contains(txt, "Contact: mailto:security@payroll.example") {
		t.Errorf("got security.txt %s, want the contact", txt)
	}
	expect(200, "GET", "/report", "")
	form := url.Values{"title": {"Payslips of others"}, "description": {"Change the number in the address."}}.Encode()
	if text := expect(200, "POST", "/report", form, "Content-Type", "application/x-www-form-urlencoded"); !strings.Contains(text, "reference") {
		t.Errorf("got response of the form %s, want a reference", text)
	}

	// The two reports open incidents of sev4, which do not page. The alerts are stored.
	system := incident.Identity{Provider: incident.ProviderSystem, ID: "test"}
	tick := time.NewTicker(50 * time.Millisecond) // poll, because the bot does not notify of an empty queue
	defer tick.Stop()
	for {
		list, err := b.Desk().List(ctx, system, incident.Filter{All: true})
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 2 {
			for _, s := range list {
				if s.Severity != incident.Sev4 {
					t.Errorf("%s: got %s, want sev4", s.ID, s.Severity)
				}
			}
			break
		}
		select {
		case <-ctx.Done():
			t.Fatalf("got %d incidents, want 2 (form and HackerOne)", len(list))
		case <-tick.C:
		}
	}
	if pages := sandbox.Pager.Snapshot().Pages; len(pages) != 0 {
		t.Errorf("got pages %+v, want none", pages)
	}
}
