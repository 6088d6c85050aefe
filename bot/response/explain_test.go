package response

import (
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

func (d detector) Rules() (string, []byte)   { return "sha256:" + d.word, []byte(d.word) }
func (d detector) Judges(source string) bool { return source == "cloudtrail" }
func (d detector) Explain(rules, body []byte, _ string) ([]incident.JudgedRecord, error) {
	if rules != nil && d.gone {
		return nil, errors.New("a modifier is not known")
	}
	if rules == nil {
		rules = []byte(d.word)
	}
	return []incident.JudgedRecord{{Name: string(rules), Rules: []incident.TriedDetection{{ID: string(rules), Hit: strings.Contains(string(body), string(rules))}}}}, nil
}

func (d detector) Counted(rules []byte, a incident.Alert) (string, error) {
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
		row := reported(int64(n+1), incident.Alert{Source: "sentry", Kind: incident.UnreadKind("sentry"), Level: incident.LevelInformational, Title: "Deliveries cannot be read", Fingerprint: "u"})
		row.Failed = why
		w.report(t, row)
	}
	x := w.errand(t, "p1", incident.Errand{Query: incident.QueryExplain, Alert: 1}).Explanation
	want := []incident.Unread{{Reason: "resource x is unknown", Count: 2, Last: 3}, {Reason: "not JSON", Count: 1, Last: 2}}
	if !slices.Equal(x.Unread, want) || x.Alert.Count != 3 {
		t.Errorf("%+v", x)
	}
}

// TestExplainTellsByWhichDetectionRules: by those of then while they are kept
// and can be used, with those of now beside them, and says what is missing.
func TestExplainTellsByWhichDetectionRules(t *testing.T) {
	told := func(list []incident.JudgedRecord) string {
		out := ""
		for _, j := range list {
			if out += j.Name; j.Rules[0].Hit {
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
		"of the past":    {change: func(w *world) { w.Detect = detector{word: "start", gone: true} }, source: "cloudtrail", then: "sha256:stop", today: "start", note: "cannot be compiled", judged: true},
		"not kept":       {change: func(w *world) { w.store.routings[0].Detection = Ruleset{} }, source: "cloudtrail", today: "stop!", note: "were not kept", judged: true},
		"another source": {source: "sentry", then: "sha256:stop"},
		"several events": {change: func(w *world) {
			delete(w.store.handled, 1)
			w.store.alerts[0].Alert.Title = "several"
			w.Detect = detector{word: "start"}
		}, source: "cloudtrail", then: "sha256:stop", counted: "counted by stop"},
		"deleted": {change: func(w *world) { delete(w.store.handled, 1) }, source: "cloudtrail", then: "sha256:stop", note: "not kept any more"},
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
			x := w.errand(t, "p1", incident.Errand{Query: incident.QueryExplain, Alert: 1}).Explanation
			d := x.Detection
			if d.Digest != c.then || told(d.Records) != c.records || told(d.Today) != c.today || (d.Delivery == 1) != c.judged || !strings.Contains(d.Note, c.note) || c.note == "" && d.Note != "" {
				t.Errorf("%+v", d)
			}
			if c.counted != d.Counted {
				t.Errorf("counted by %q", d.Counted)
			}
			if now, _ := w.Detect.Rules(); d.Present != now || x.Digest != x.Present || x.Delivery != nil {
				t.Errorf("%+v", x)
			}
		})
	}
}
