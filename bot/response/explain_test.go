package response

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"tocsin/bot/incident"
)

// detector judges by a single word: records that hold it match.
type detector struct {
	word string
	gone bool // rules that were kept cannot be used any more
}

func (d detector) Rules() (string, []byte)      { return "sha256:" + d.word, []byte(d.word) }
func (d detector) Evaluates(source string) bool { return source == "cloudtrail" }
func (d detector) Explain(rules, body []byte, event string, most int) (out []incident.RecordTrace, more int, err error) {
	if rules != nil && d.gone {
		return nil, 0, errors.New("a modifier is not known")
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

func (d detector) ExplainCorrelation(rules []byte, a incident.Alert) (string, error) {
	if a.Title != "several" {
		return "", nil
	}
	if rules == nil {
		rules = []byte(d.word)
	}
	return "counted by " + string(rules), nil
}

// An alert about deliveries that cannot be read is one, whatever the reason; the
// explanation tells each reason, and where its newest delivery is.
func TestExplainTellsWhyDeliveriesAreNotRead(t *testing.T) {
	w := routed(t, func(*Options) {})
	for n, why := range []string{"resource x is unknown", "not JSON", "resource x is unknown"} {
		row := reported(int64(n+1), incident.Alert{Source: "sentry", Kind: incident.UndecodableKind("sentry"), Level: incident.LevelInformational, Title: "Deliveries cannot be read", Fingerprint: "u"})
		row.Failed = why
		w.report(t, row)
	}
	x := w.errand(t, "p1", incident.AlertRequest{Query: incident.QueryExplain, Alert: 1}).Explanation
	want := []incident.DecodeFailure{{Reason: "resource x is unknown", Count: 2, Last: 3}, {Reason: "not JSON", Count: 1, Last: 2}}
	if !slices.Equal(x.DecodeFailures, want) || x.Alert.Count != 3 {
		t.Errorf("%+v", x)
	}
}

// TestExplainKeepsRestrictedIncidentsToTheirReaders: a delivery with many records
// shows none but the alert's own to somebody who may not read what the others
// are part of, and nothing of a delivery that spoke for such an incident.
func TestExplainKeepsRestrictedIncidentsToTheirReaders(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.Routing, o.Detect = routing(t, Rule{When: `kind == "Secret"`, Open: "sev2"}, Rule{When: "true", Watch: true}), detector{word: "stop"}
	})
	secret, quiet := alert("Secret", "f1", "AKIA"), alert("Quiet", "f2", "ASIA")
	quiet.EventID = "stop two"
	w.report(t, reported(1, secret), reported(2, quiet))
	w.say(t, "p1", incident.Command{Verb: incident.VerbRestrict, For: 1, Text: "an insider"})
	w.report(t, incident.DecodedDelivery{Row: 3, Source: "pagerduty", Signals: []incident.Signal{{Row: 3, Command: &incident.Command{
		Verb: incident.VerbSourceNote, For: 1, By: incident.Identity{Provider: incident.ProviderSource, ID: "pagerduty"}, Text: "it rang"}}}})
	w.store.bodies = map[int64]string{2: "stop one\nstop two"}
	ask := func(person string, e incident.AlertRequest) (*incident.Explanation, error) {
		e.Query = incident.QueryExplain
		a, err := w.Alerts(context.Background(), slack(person), e)
		return a.Explanation, err
	}
	for _, person := range []string{"p1", "p5"} { // a responder, and legal
		if x, err := ask(person, incident.AlertRequest{Delivery: 2}); err != nil || len(x.Detection.Records) != 1 || x.Detection.Records[0].ID != "stop two" {
			t.Errorf("%s sees of the alert's own record %+v, %v", person, x, err)
		}
	}
	for row := range w.store.alerts {
		w.store.alerts[row].Alert.EventID = "another"
	}
	if x, err := ask("p1", incident.AlertRequest{Delivery: 2}); err != nil || len(x.Detection.Records) != 2 {
		t.Errorf("a responder sees %+v, %v", x, err)
	}
	if x, err := ask("p5", incident.AlertRequest{Delivery: 2}); err != nil || len(x.Detection.Records) != 0 || !strings.Contains(x.Detection.Note, "not shown") {
		t.Errorf("legal sees %+v, %v", x, err)
	}
	if x, err := ask("p5", incident.AlertRequest{Delivery: 3}); incident.CodeOf(err) != incident.CodeForbidden {
		t.Errorf("legal sees what was said about it: %+v, %v", x, err)
	}
	if x, err := ask("p1", incident.AlertRequest{Delivery: 3}); err != nil || x.Incident != 1 {
		t.Errorf("a responder sees %+v, %v", x, err)
	}
	w.say(t, "p1", incident.Command{Verb: incident.VerbGrant, For: 1, Person: "p5", Text: "counsel"})
	if x, err := ask("p5", incident.AlertRequest{Delivery: 2}); err != nil || len(x.Detection.Records) != 2 {
		t.Errorf("legal, who was let in, sees %+v, %v", x, err)
	}
}

// TestExplainTellsByWhichDetectionRules: by those of then while they are kept
// and can be used, with those of now beside them, and says what is missing.
func TestExplainTellsByWhichDetectionRules(t *testing.T) {
	told := func(list []incident.RecordTrace) string {
		out := ""
		for _, j := range list {
			if out += j.Name; j.Rules[0].Matched {
				out += "!"
			}
		}
		return out
	}
	for name, c := range map[string]struct {
		change               func(*world)
		source               string
		then, records, today string
		note, counted        string
		judged               bool
	}{
		"unchanged":      {source: "cloudtrail", then: "sha256:stop", records: "stop!", judged: true},
		"changed":        {change: func(w *world) { w.Detect = detector{word: "start"} }, source: "cloudtrail", then: "sha256:stop", records: "stop!", today: "start", judged: true},
		"of the past":    {change: func(w *world) { w.Detect = detector{word: "start", gone: true} }, source: "cloudtrail", then: "sha256:stop", today: "start", note: "cannot compile", judged: true},
		"not kept":       {change: func(w *world) { w.store.routings[0].Detection = Ruleset{} }, source: "cloudtrail", today: "stop!", note: "were not stored", judged: true},
		"another source": {source: "sentry", then: "sha256:stop"},
		"several events": {change: func(w *world) {
			delete(w.store.handled, 1)
			w.store.alerts[0].Alert.Title = "several"
			w.Detect = detector{word: "start"}
		}, source: "cloudtrail", then: "sha256:stop", counted: "counted by stop"},
		"deleted": {change: func(w *world) { delete(w.store.handled, 1) }, source: "cloudtrail", then: "sha256:stop", note: "no longer stored"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(o *Options) {
				o.Routing, o.Detect = routing(t, Rule{When: "true", Watch: true}), detector{word: "stop"}
			})
			a := leveled("low", "f1", "AKIA")
			a.Source = c.source
			w.report(t, reported(1, a))
			w.store.bodies = map[int64]string{1: "stop"}
			if c.change != nil {
				c.change(w)
			}
			x := w.errand(t, "p1", incident.AlertRequest{Query: incident.QueryExplain, Alert: 1}).Explanation
			d := x.Detection
			if d.Digest != c.then || told(d.Records) != c.records || told(d.CurrentRecords) != c.today || (d.Delivery == 1) != c.judged || !strings.Contains(d.Note, c.note) || c.note == "" && d.Note != "" {
				t.Errorf("%+v", d)
			}
			if c.counted != d.Counted {
				t.Errorf("counted by %q", d.Counted)
			}
			if now, _ := w.Detect.Rules(); d.CurrentDigest != now || x.Digest != x.CurrentDigest || x.Delivery != nil {
				t.Errorf("%+v", x)
			}
		})
	}
}

func TestExplainNamesTheValuesThatDidNotFit(t *testing.T) {
	rules := []Rule{{When: `source == "cloudtrail" && level in ["high", "critical"] && tags["team"] == "web"`, Open: "sev2"},
		{When: `level == "low"`, Drop: "noise"}, {When: "true", Watch: true}}
	w := newWorld(t, func(o *Options) { o.Routing = routing(t, rules...) })
	a := leveled("medium", "f1", "AKIA")
	a.Tags = map[string]string{"team": "pay"}
	w.report(t, reported(1, a))
	then := w.Routing.Digest()
	x := w.errand(t, "p1", incident.AlertRequest{Query: incident.QueryExplain, Alert: 1}).Explanation
	if len(x.Rules) != 3 || !x.Rules[2].Matched || x.Digest != then || x.CurrentDigest != then || x.CurrentRules != nil || !strings.HasPrefix(x.Outcome, "watched") {
		t.Fatalf("%+v", x)
	}
	why := strings.Join(x.Rules[0].Why, "\n")
	if strings.Contains(why, "source ==") || !strings.Contains(why, `level = "medium"`) || !strings.Contains(why, `tags["team"] = "pay"`) {
		t.Errorf("why not:\n%s", why)
	}
	// The configuration changes: the old rules still explain it, the new ones say what would be.
	w.Routing = routing(t, Rule{When: `level == "medium"`, Open: "sev3"})
	w.Desk.routing.Store(0)
	x = w.errand(t, "p1", incident.AlertRequest{Query: incident.QueryExplain, Delivery: 1}).Explanation
	if x.Digest != then || x.CurrentDigest == then || len(x.Rules) != 3 || len(x.CurrentRules) != 1 || !x.CurrentRules[0].Matched || x.Delivery == nil {
		t.Errorf("%+v", x)
	}
}
