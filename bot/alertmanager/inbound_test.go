package alertmanager_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tocsin/bot/alertmanager"
	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/intake/intaketest"
	"tocsin/bot/secret"
)

var source = alertmanager.New(alertmanager.Config{
	Tokens: []secret.String{secret.New("old"), secret.New("new"), {}},
	Basic:  []alertmanager.Basic{{Username: "am", Password: secret.New("pass")}, {Username: "am"}},
})

func firing(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/firing.json")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func bearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

func TestVerify(t *testing.T) {
	basic := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
	tests := []struct {
		name, authorization string
		ok                  bool
	}{
		{"first token", "Bearer old", true},
		{"second token", "bearer new", true},
		{"basic", basic("am:pass"), true},
		{"unknown token", "Bearer third", false},
		{"empty token", "Bearer ", false},
		{"token without scheme", "new", false},
		{"token with basic scheme", "Basic new", false},
		{"wrong user", basic("ma:pass"), false},
		{"wrong password", basic("am:"), false},
		{"no credentials", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			id, err := source.Verify(t.Context(), http.Header{"Authorization": {tt.authorization}}, firing(t), time.Time{})
			if tt.ok && (err != nil || len(id) != 64) {
				t.Errorf("got id %q, error %v; want an id of 64 characters", id, err)
			}
			if !tt.ok && incident.CodeOf(err) != incident.CodeForbidden {
				t.Errorf("got error %v, want forbidden", err)
			}
		})
	}
}

func TestVerify_NoSecretConfigured(t *testing.T) {
	for _, c := range []alertmanager.Config{{}, {Tokens: []secret.String{{}}}, {Basic: []alertmanager.Basic{{Username: "am"}}}} {
		if _, err := alertmanager.New(c).Verify(t.Context(), bearer(""), nil, time.Time{}); err == nil || incident.CodeOf(err) != "" {
			t.Errorf("got error %v, want an error without a domain code", err)
		}
	}
}

func TestVerify_DeliveryID(t *testing.T) {
	id := func(change ...string) string {
		body := strings.NewReplacer(change...).Replace(string(firing(t)))
		id, err := source.Verify(t.Context(), bearer("new"), []byte(body), time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	duplicates := [][]string{
		{"stuck for 20 minutes", "stuck for 4 hours"},
		{`"notification_reason":"new"`, `"notification_reason":"repeat"`},
		{"https://alertmanager.example.com", "https://alertmanager-2.example.com"},
	}
	for _, change := range duplicates {
		if id(change...) != id() {
			t.Errorf("change %q: got another delivery id, want an equal one", change)
		}
	}
	changes := [][]string{
		{"2026-11-03T02:11:00.123Z", "2026-11-03T08:11:00Z"},
		{`{"status":"firing","labels"`, `{"status":"resolved","labels"`},
		{"c1f5a1b1b1b1b1b1", "c2f5a1b1b1b1b1b1"},
		{`"truncatedAlerts":3`, `"truncatedAlerts":4`},
		{`{team=\"pay\"}:`, `{team=\"play\"}:`},
	}
	for _, change := range changes {
		if id(change...) == id() {
			t.Errorf("change %q: got an equal delivery id, want another one", change)
		}
	}
	at := func(now time.Time) string {
		id, err := source.Verify(t.Context(), bearer("new"), firing(t), now)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	ten := time.Date(2026, 11, 3, 10, 0, 0, 0, time.UTC)
	if at(ten) != at(ten.Add(10*time.Minute)) || at(ten) == at(ten.Add(4*time.Hour)) {
		t.Error("want equal ids for a retry after 10 minutes, and another id for a reminder after 4 hours")
	}
	if id, err := source.Verify(t.Context(), bearer("new"), []byte(`{"text":"custom"}`), time.Time{}); id != "" || err != nil {
		t.Errorf("custom payload: got id %q, error %v; want an empty id and no error", id, err)
	}
}

func TestDecode(t *testing.T) {
	got, err := source.Decode(nil, firing(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || got[0].Alert == nil || got[1].Alert == nil || got[2].Command == nil {
		t.Fatalf("got signals %+v, want two alerts and a command", got)
	}
	correlation := got[0].Alert.Correlation
	if len(correlation) != len("alertmanager:")+32 || !strings.HasPrefix(correlation, "alertmanager:") || got[2].Subject.Correlation != correlation {
		t.Errorf("got correlation key %q for the alert and %q for the note", correlation, got[2].Subject.Correlation)
	}
	want := &incident.Alert{
		Source: "alertmanager", Kind: "alertmanager.alert", Level: incident.LevelCritical, Title: "Payouts are stuck for 20 minutes",
		Detail: "The queue <!channel> holds 1204 payouts.\nrunbook_url: https://wiki.example.com/payouts\n" +
			"Alertmanager truncated 3 more alerts of this group (max_alerts). They may still be firing.\n" +
			"alertname = PayoutsStuck\nenv = prod\ninstance = pay-3:9100\nservice = payouts\nseverity = critical",
		Fingerprint: "alertmanager:c1f5a1b1b1b1b1b1 2026-11-03T02:11:00.123Z", Correlation: correlation, EventID: "c1f5a1b1b1b1b1b1",
		At: time.Date(2026, 11, 3, 2, 11, 0, 123e6, time.UTC), URL: "https://prometheus.example.com/graph?g0.expr=x",
		Project: "payouts", Environment: "prod", Rule: "PayoutsStuck",
		Tags:    map[string]string{"alertname": "PayoutsStuck", "severity": "critical", "service": "payouts", "instance": "pay-3:9100", "env": "prod"},
		Ongoing: true,
	}
	if d := cmp.Diff(want, got[0].Alert); d != "" {
		t.Error(d)
	}
	if left := got[1].Alert; left.LeftOut != 3 || left.Kind != "alertmanager.alert" || left.Title != "3 more alerts of this group were left out by Alertmanager" || left.Level != incident.LevelCritical ||
		left.Correlation != correlation || left.Fingerprint == want.Fingerprint || !cmp.Equal(left.Tags, want.Tags) {
		t.Errorf("got alert %+v, want one about 3 alerts that were left out", left)
	}
	note := got[2].Command
	if note.Verb != incident.VerbSourceNote || note.Text != "Alertmanager: PayoutsSlow on payouts: resolved" || note.Key == "" ||
		!note.HappenedAt.Equal(time.Date(2026, 11, 3, 2, 20, 0, 0, time.UTC)) {
		t.Errorf("got note %+v", note)
	}
}

func TestDecode_ResolvedNoteContainsInstance(t *testing.T) {
	body := `{"version":"4","groupKey":"g","alerts":[
		{"status":"resolved","labels":{"alertname":"A","instance":"i1"},"annotations":{"summary":"Disk full"},"endsAt":"2026-11-03T02:20:00Z","fingerprint":"f1"},
		{"status":"resolved","labels":{"alertname":"A","instance":"i2"},"annotations":{"summary":"Disk full on i2"},"endsAt":"2026-11-03T02:20:00Z","fingerprint":"f2"},
		{"status":"firing","labels":{"alertname":"A","instance":"i3"},"annotations":{"summary":"Disk full"},"fingerprint":"f3"}]}`
	got, err := (&alertmanager.Source{}).Decode(nil, []byte(body))
	if err != nil || len(got) != 3 {
		t.Fatalf("got %d signals, error %v; want 3 signals", len(got), err)
	}
	if a, b := got[1].Command.Text, got[2].Command.Text; a != "Alertmanager: Disk full (i1): resolved" || b != "Alertmanager: Disk full on i2: resolved" {
		t.Errorf("got notes %q and %q", a, b)
	}
}

func TestDecode_NotAlertmanager(t *testing.T) {
	for name, body := range map[string]string{
		"not JSON": `{`, "custom payload": `{"text":"disk full"}`, "list": `[]`, "text": `"x"`, "no alerts": `{"version":"4","groupKey":"g"}`,
		"alerts not a list": `{"version":"4","groupKey":"g","alerts":"none"}`,
	} {
		got, err := source.Decode(nil, []byte(body))
		if err == nil || len(got) > 0 || len(err.Error()) > 300 {
			t.Errorf("%s: got %d signals, error %v; want an error", name, len(got), err)
		}
	}
}

// An odd item becomes an alert if Tocsin understands it, and is reported otherwise. Its
// neighbours stay the same.
func TestDecode_OddItems(t *testing.T) {
	const critical = `{"status":"firing","labels":{"alertname":"real","severity":"critical"},"startsAt":"2026-11-29T20:00:00Z","fingerprint":"f"}`
	wrap := func(items []string) []byte {
		return []byte(`{"version":"4","groupKey":"g","alerts":[` + strings.Join(items, ",") + `]}`)
	}
	for item, want := range map[string]string{ // the title of its alert, or "" if it cannot be read
		`{"status":"pending","labels":{"alertname":"odd"},"startsAt":"2026-11-29T20:00:00Z"}`: "odd",
		`{"labels":{"alertname":"odd"}}`: "odd",
		`{"status":7,"labels":{"alertname":"odd","n":1,"b":true,"l":["a",{"b":1}],"o":{"c":2},"z":null}}`: "odd",
		`{"status":{},"labels":["a"],"annotations":{"summary":["x","y"]}}`:                                `["x","y"]`,
		`{"status":"firing","annotations":{"summary":"only a summary"}}`:                                  "only a summary",
		`{"status":"firing","annotations":"all in one","startsAt":[1],"generatorURL":{}}`:                 "Alert",
		`{"status":"firing","fingerprint":12}`:                                                            "Alert 12",
		`{"status":"firing"}`:                                                                             "", `{}`: "", `null`: "", `7`: "", `"disk full"`: "", `[]`: "", `true`: "",
	} {
		intaketest.ItemByItem(t, source, nil, wrap, []string{critical, strings.ReplaceAll(critical, "real", "other")}, item)
		got, err := source.Decode(nil, wrap([]string{item, critical}))
		var unread *intake.Unread
		switch {
		case want == "" && (len(got) != 1 || !errors.As(err, &unread) || unread.Bad != 1 || unread.Items != 2):
			t.Errorf("%s: got %d signals, error %v; want 1 of 2 items unread", item, len(got), err)
		case want != "" && (err != nil || len(got) != 2 || got[0].Alert.Title != want):
			t.Errorf("%s: got %+v, error %v; want the title %q", item, got, err, want)
		}
	}
	got, _ := source.Decode(nil, wrap([]string{`{"status":"pending","labels":{"alertname":"odd","n":1,"b":true,"l":["a", {"b":1}],"o":{"c": 2},"z":null}}`}))
	if d := cmp.Diff(map[string]string{"alertname": "odd", "n": "1", "b": "true", "l": `["a",{"b":1}]`, "o": `{"c":2}`, "z": ""}, got[0].Alert.Tags); d != "" {
		t.Error(d)
	}
	if !strings.Contains(got[0].Alert.Detail, "Status, read as firing: pending") {
		t.Errorf("got detail %q, want the status", got[0].Alert.Detail)
	}
}

func TestDecode_Grafana(t *testing.T) {
	body, err := os.ReadFile("testdata/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	got, err := source.Decode(nil, body)
	if err != nil || len(got) != 2 || got[1].Command == nil {
		t.Fatalf("got %+v, error %v; want an alert and a note", got, err)
	}
	want := &incident.Alert{
		Source: "alertmanager", Kind: "alertmanager.alert", Level: incident.LevelCritical, Title: "Errors above 5 % for 10 minutes",
		Detail: "The share of failed logins is unusual.\nValues: B = 44.23943737541908, C = 1\nDashboard: https://grafana.example.com/d/dash\n" +
			"Silence: https://grafana.example.com/alerting/silence/new?alertmanager=grafana\nImage: https://grafana.example.com/image.png\n" +
			"alertname = LoginErrors\ngrafana_folder = Security\nseverity = critical",
		Fingerprint: "alertmanager:c6eadffa33fcdf37 2026-11-03T02:11:00Z", Correlation: got[1].Subject.Correlation, EventID: "c6eadffa33fcdf37",
		At: time.Date(2026, 11, 3, 2, 11, 0, 0, time.UTC), URL: "https://grafana.example.com/d/dash?viewPanel=2", Rule: "LoginErrors",
		Tags: map[string]string{"alertname": "LoginErrors", "grafana_folder": "Security", "severity": "critical"}, Ongoing: true,
	}
	if d := cmp.Diff(want, got[0].Alert); d != "" {
		t.Error(d)
	}
	without, err := source.Decode(nil, bytes.Replace(body, []byte(`"groupKey"`), []byte(`"groupKeyX"`), 1))
	if err != nil || len(without) != 2 || without[0].Alert.Correlation == "" || without[0].Alert.Correlation != without[1].Subject.Correlation {
		t.Errorf("without a group key: got %+v, error %v; want an alert and a note of one group", without, err)
	}
}

func TestDecode_HostileText(t *testing.T) {
	body := fmt.Sprintf(`{"version":4,"groupKey":"g","groupKey":"h","truncatedAlerts":1e400,"alerts":[
		{"status":"firing","labels":{"severity":7,"alertname":"a"},"annotations":{"summary":%q},"startsAt":"never","generatorURL":"javascript:alert(1)"}]}`,
		strings.Repeat("x", 100<<10))
	got, err := source.Decode(nil, append([]byte(body), '\n'))
	if err != nil || len(got) != 1 {
		t.Fatalf("got %d signals, error %v; want 1 signal", len(got), err)
	}
	a := got[0].Alert
	if a.Ongoing {
		t.Error("alert without a start time: got Ongoing true, want false")
	}
	if a.URL != "" || !a.At.IsZero() || a.Level != incident.LevelMedium || a.Fingerprint == "alertmanager: never" {
		t.Errorf("got alert %.300v", a)
	}
}

// The start times are in another zone to check that fingerprints use UTC.
func TestDecode_LargeGroup(t *testing.T) {
	var alerts []string
	for n := range 500 {
		alerts = append(alerts, fmt.Sprintf(`{"status":"firing","labels":{"alertname":"A","instance":"i%d"},"startsAt":"2026-11-03T03:11:00+01:00","fingerprint":"%016x"}`, n, n))
	}
	body := `{"version":"4","groupKey":"{}:{alertname=\"A\"}","status":"firing","notification_reason":"new","routeLabels":{},"alerts":[` + strings.Join(alerts, ",") + `]}`
	got, err := source.Decode(nil, []byte(body))
	if err != nil || len(got) != 500 {
		t.Fatalf("got %d signals, error %v; want 500 signals", len(got), err)
	}
	seen := map[string]bool{}
	for _, s := range got {
		seen[s.Alert.Fingerprint] = true
		if s.Alert.Correlation != got[0].Alert.Correlation || !s.Alert.Ongoing || !strings.HasSuffix(s.Alert.Fingerprint, " 2026-11-03T02:11:00Z") {
			t.Fatalf("got alert %+v", s.Alert)
		}
	}
	if len(seen) != 500 {
		t.Errorf("got %d fingerprints, want 500", len(seen))
	}
	if drill := got[0].WithOrigin(incident.OriginDrill); drill.Alert.Ongoing {
		t.Errorf("drill: got alert %+v, want one that is not ongoing", drill.Alert)
	}
	got, err = source.Decode(nil, []byte(strings.ReplaceAll(body, `{"status":"firing",`, `{"status":"resolved","endsAt":"2026-11-03T04:00:00Z",`)))
	if err != nil || len(got) != 1 || !strings.HasSuffix(got[0].Command.Text, "A on i4, and 495 more: resolved") || got[0].Command.HappenedAt.Hour() != 4 {
		t.Errorf("500 resolved: got %+v, error %v; want one note", got, err)
	}
}

func TestSource_HostileBodies(t *testing.T) {
	intaketest.Hostile(t, intaketest.SourceCase{Source: source, Genuine: firing(t), Signed: func([]byte) http.Header { return bearer("new") }})
}

func FuzzDecode(f *testing.F) {
	f.Add(firing(f))
	f.Add([]byte(`{"version":"4","groupKey":"g","alerts":[{"status":"firing","labels":{"a":"\ud800"}}]}`))
	f.Add([]byte(`{"version":"4","groupKey":"g","truncatedAlerts":3,"status":"resolved","alerts":[{"status":"resolved","endsAt":"0001-01-01T00:00:00Z"},{"status":"firing"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, decodeErr := intaketest.Decode(t, source, nil, body)
		unreadable := decodeErr != nil && !errors.As(decodeErr, new(*intake.Unread))
		if id, err := source.Verify(t.Context(), bearer("new"), body, time.Time{}); err != nil || (id == "") != unreadable {
			t.Fatalf("got id %q, verify error %v, decode error %v", id, err, decodeErr)
		}
		for _, s := range got {
			if s.Alert != nil && s.Alert.Correlation == "" {
				t.Fatalf("alert %+v has no correlation key", s.Alert)
			}
		}
	})
}

// FuzzDecode_ItemByItem puts any JSON value between two critical alerts.
func FuzzDecode_ItemByItem(f *testing.F) {
	for _, s := range []string{`{"status":"pending"}`, `{"labels":["a"],"endsAt":7}`, `null`, `"x"`, `{"status":"resolved","fingerprint":"f","labels":{"alertname":{}}}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, item string) {
		if !json.Valid([]byte(item)) {
			return
		}
		intaketest.ItemByItem(t, source, nil, func(items []string) []byte {
			return []byte(`{"version":"4","groupKey":"g","alerts":[` + strings.Join(items, ",") + `]}`)
		}, []string{`{"status":"firing","labels":{"alertname":"a","severity":"critical"},"fingerprint":"1"}`, `{"status":"firing","labels":{"alertname":"b"}}`}, item)
	})
}
