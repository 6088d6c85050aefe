package response

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"tocsin/bot/incident"
)

// wordDetector has one rule: records that contain its word match.
type wordDetector struct {
	word         string
	incompatible bool // stored rules do not compile
}

func (d wordDetector) Rules() (string, []byte)      { return "sha256:" + d.word, []byte(d.word) }
func (d wordDetector) Evaluates(source string) bool { return source == "cloudtrail" }
func (d wordDetector) Explain(rules, body []byte, event string, most int) (out []incident.RecordTrace, more int, err error) {
	if rules != nil && d.incompatible {
		return nil, 0, errors.New("unknown modifier")
	}
	if rules == nil {
		rules = []byte(d.word)
	}
	lines := strings.Split(string(body), "\n")
	if n := slices.Index(lines, event); n >= 0 {
		lines, most = lines[n:n+1], 1
	}
	for _, line := range lines[:min(most, len(lines))] {
		out = append(out, incident.RecordTrace{Name: string(rules), ID: line, Rules: []incident.DetectionTrace{{ID: string(rules), Matched: strings.Contains(line, string(rules))}}})
	}
	return out, len(lines) - len(out), nil
}

func (d wordDetector) ExplainCorrelation(rules []byte, a incident.Alert) (string, error) {
	if a.Title != "several" {
		return "", nil
	}
	if rules == nil {
		rules = []byte(d.word)
	}
	return "counted by " + string(rules), nil
}

// All undecodable deliveries of a source are one alert. Its explanation lists
// each reason with the newest delivery.
func TestExplain_ListsDecodeFailures(t *testing.T) {
	fx := newRoutedFixture(t, func(*Options) {})
	for n, why := range []string{"resource x is unknown", "not JSON", "resource x is unknown"} {
		row := delivery(int64(n+1), incident.Alert{Source: "sentry", Kind: incident.UndecodableKind("sentry"), Level: incident.LevelInformational, Title: "Deliveries cannot be read", Fingerprint: "u"})
		row.Failed, row.Signals[0].Unreadable = why, true
		fx.ingest(t, row)
	}
	x := fx.alertRequest(t, "p1", incident.AlertRequest{Query: incident.QueryExplain, Alert: 1}).Explanation
	want := []incident.DecodeFailure{{Reason: "resource x is unknown", Count: 2, Last: 3}, {Reason: "not JSON", Count: 1, Last: 2}}
	if !slices.Equal(x.DecodeFailures, want) || x.Alert.Count != 3 {
		t.Errorf("got %+v, want decode failures %+v", x, want)
	}
}

// An explanation shows the records of other alerts only to readers of all
// incidents that can have them, and a delivery about a restricted incident only
// to its readers.
func TestExplain_HonoursRestriction(t *testing.T) {
	fx := newFixture(t, func(o *Options) {
		o.Routing, o.Detect = mustRouting(t, Rule{When: `kind == "Secret"`, Open: "sev2"}, Rule{When: "true", Watch: true}), wordDetector{word: "stop"}
	})
	secret, quiet := testAlert("Secret", "f1", "AKIA"), testAlert("Quiet", "f2", "ASIA")
	quiet.EventID = "stop two"
	fx.ingest(t, delivery(1, secret), delivery(2, quiet))
	fx.do(t, "p1", incident.Command{Verb: incident.VerbRestrict, For: 1, Text: "an insider"})
	fx.ingest(t, incident.DecodedDelivery{Row: 3, Source: "pagerduty", Signals: []incident.Signal{{Row: 3, Command: &incident.Command{
		Verb: incident.VerbSourceNote, For: 1, By: incident.Identity{Provider: incident.ProviderSource, ID: "pagerduty"}, Text: "triggered"}}}})
	fx.store.bodies = map[int64]string{2: "stop one\nstop two"}
	explain := func(person string, e incident.AlertRequest) (*incident.Explanation, error) {
		e.Query = incident.QueryExplain
		a, err := fx.Alerts(context.Background(), slackIdentity(person), e)
		return a.Explanation, err
	}
	for _, person := range []string{"p1", "p5"} { // a responder and legal
		if x, err := explain(person, incident.AlertRequest{Delivery: 2}); err != nil || len(x.Detection.Records) != 1 || x.Detection.Records[0].ID != "stop two" {
			t.Errorf("%s, record of the alert: got %+v, %v", person, x, err)
		}
	}
	for row := range fx.store.alerts {
		fx.store.alerts[row].Alert.EventID = "another"
	}
	if x, err := explain("p1", incident.AlertRequest{Delivery: 2}); err != nil || len(x.Detection.Records) != 2 {
		t.Errorf("responder: got %+v, %v", x, err)
	}
	if x, err := explain("p5", incident.AlertRequest{Delivery: 2}); err != nil || len(x.Detection.Records) != 0 || !strings.Contains(x.Detection.Note, "not shown") {
		t.Errorf("legal: got %+v, %v, want no records", x, err)
	}
	if x, err := explain("p5", incident.AlertRequest{Delivery: 3}); incident.CodeOf(err) != incident.CodeUnknown {
		t.Errorf("legal, delivery about a restricted incident: got %+v, %v, want unknown", x, err)
	}
	if x, err := explain("p1", incident.AlertRequest{Delivery: 3}); err != nil || x.Incident != 1 {
		t.Errorf("responder: got %+v, %v", x, err)
	}
	fx.do(t, "p1", incident.Command{Verb: incident.VerbGrant, For: 1, Person: "p5", Text: "counsel"})
	if x, err := explain("p5", incident.AlertRequest{Delivery: 2}); err != nil || len(x.Detection.Records) != 2 {
		t.Errorf("legal with access: got %+v, %v", x, err)
	}
}

// An explanation uses the detection rules at the time if they are stored and
// compile, adds the current rules if they differ, and notes the missing ones.
func TestExplain_DetectionRules(t *testing.T) {
	matches := func(list []incident.RecordTrace) string {
		out := ""
		for _, j := range list {
			if out += j.Name; j.Rules[0].Matched {
				out += "!"
			}
		}
		return out
	}
	for name, c := range map[string]struct {
		change                   func(*fixture)
		source                   string
		digest, records, current string
		note, counted            string
		evaluated                bool
	}{
		"unchanged":      {source: "cloudtrail", digest: "sha256:stop", records: "stop!", evaluated: true},
		"changed":        {change: func(fx *fixture) { fx.Detect = wordDetector{word: "start"} }, source: "cloudtrail", digest: "sha256:stop", records: "stop!", current: "start", evaluated: true},
		"incompatible":   {change: func(fx *fixture) { fx.Detect = wordDetector{word: "start", incompatible: true} }, source: "cloudtrail", digest: "sha256:stop", current: "start", note: "cannot compile", evaluated: true},
		"not stored":     {change: func(fx *fixture) { fx.store.configurations[0].Detection = Ruleset{} }, source: "cloudtrail", current: "stop!", note: "were not stored", evaluated: true},
		"another source": {source: "sentry", digest: "sha256:stop"},
		"several events": {change: func(fx *fixture) {
			delete(fx.store.handled, 1)
			fx.store.alerts[0].Alert.Title = "several"
			fx.Detect = wordDetector{word: "start"}
		}, source: "cloudtrail", digest: "sha256:stop", counted: "counted by stop"},
		"deleted": {change: func(fx *fixture) { delete(fx.store.handled, 1) }, source: "cloudtrail", digest: "sha256:stop", note: "no longer stored"},
	} {
		t.Run(name, func(t *testing.T) {
			fx := newFixture(t, func(o *Options) {
				o.Routing, o.Detect = mustRouting(t, Rule{When: "true", Watch: true}), wordDetector{word: "stop"}
			})
			a := alertWithLevel("low", "f1", "AKIA")
			a.Source = c.source
			fx.ingest(t, delivery(1, a))
			fx.store.bodies = map[int64]string{1: "stop"}
			if c.change != nil {
				c.change(fx)
			}
			x := fx.alertRequest(t, "p1", incident.AlertRequest{Query: incident.QueryExplain, Alert: 1}).Explanation
			d := x.Detection
			if d.Digest != c.digest || matches(d.Records) != c.records || matches(d.CurrentRecords) != c.current || (d.Delivery == 1) != c.evaluated || !strings.Contains(d.Note, c.note) || c.note == "" && d.Note != "" {
				t.Errorf("got detection %+v", d)
			}
			if c.counted != d.Counted {
				t.Errorf("counted: got %q, want %q", d.Counted, c.counted)
			}
			if now, _ := fx.Detect.Rules(); d.CurrentDigest != now || x.Digest != x.CurrentDigest || x.Delivery != nil {
				t.Errorf("got %+v", x)
			}
		})
	}
}

func TestExplain_ShowsComparedValues(t *testing.T) {
	rules := []Rule{{When: `source == "cloudtrail" && level in ["high", "critical"] && tags["team"] == "web"`, Open: "sev2"},
		{When: `level == "low"`, Drop: "noise"}, {When: "true", Watch: true}}
	fx := newFixture(t, func(o *Options) { o.Routing = mustRouting(t, rules...) })
	a := alertWithLevel("medium", "f1", "AKIA")
	a.Tags = map[string]string{"team": "pay"}
	fx.ingest(t, delivery(1, a))
	original := fx.Routing.Digest()
	x := fx.alertRequest(t, "p1", incident.AlertRequest{Query: incident.QueryExplain, Alert: 1}).Explanation
	if len(x.Rules) != 3 || !x.Rules[2].Matched || x.Digest != original || x.CurrentDigest != original || x.CurrentRules != nil || !strings.HasPrefix(x.Outcome, "watched") {
		t.Fatalf("got %+v", x)
	}
	why := strings.Join(x.Rules[0].Why, "\n")
	if strings.Contains(why, "source ==") || !strings.Contains(why, `level = "medium"`) || !strings.Contains(why, `tags["team"] = "pay"`) {
		t.Errorf("got reasons:\n%s", why)
	}
	// After a change of the configuration, both rulesets are shown.
	fx.Routing = mustRouting(t, Rule{When: `level == "medium"`, Open: "sev3"})
	fx.Desk.routing.Store(0)
	x = fx.alertRequest(t, "p1", incident.AlertRequest{Query: incident.QueryExplain, Delivery: 1}).Explanation
	if x.Digest != original || x.CurrentDigest == original || len(x.Rules) != 3 || len(x.CurrentRules) != 1 || !x.CurrentRules[0].Matched || x.Delivery == nil {
		t.Errorf("got %+v", x)
	}
}
