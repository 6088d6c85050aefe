package detect_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tocsin/bot/detect"
)

const correlationHead = "title: many\nid: many\nlevel: high\ncorrelation:\n"

// loadCorrelation loads the rules a and b and a correlation over them.
func loadCorrelation(t testing.TB, o detect.Options, text string) (*detect.Ruleset, detect.LoadResult) {
	t.Helper()
	b := strings.Replace(rule("b"), "eventName: E", "eventName: F", 1)
	return load(t, o, map[string]string{"a.yml": rule("a"), "b.yml": b, "c.yml": correlationHead + indent(text)})
}

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// newEvent returns a record with a time in seconds after noon.
func newEvent(name, id string, second int, extra string) *detect.Record {
	r, err := detect.DecodeRecord(fmt.Appendf(nil, `{"eventName":%q,"eventID":%q,"eventTime":%q%s}`, name, id, noon.Add(time.Duration(second)*time.Second).Format(time.RFC3339), extra))
	if err != nil {
		panic(err)
	}
	return r
}

// playEvents passes events to a tracker and returns a line per firing with the IDs
// of its events.
func playEvents(rs *detect.Ruleset, events ...*detect.Record) (fired []string) {
	tracker := &detect.Tracker{}
	for _, r := range events {
		rs.Match(r, func(h detect.Hit) {
			tracker.Take(h, noon, func(f detect.Firing) {
				fired = append(fired, f.Correlation.ID+": "+strings.Join(f.Events, " "))
			})
		})
	}
	return fired
}

func TestCorrelation_EventCount(t *testing.T) {
	rs, result := loadCorrelation(t, detect.Options{}, "type: event_count\nrules: [a]\ngroup-by: [who]\ntimespan: 1m\ncondition: {gte: 3}")
	if err := result.Err(); err != nil {
		t.Fatal(err)
	}
	at := func(second int, who string) *detect.Record {
		extra := `,"who":"` + who + `"`
		if who == "-" {
			extra = ""
		}
		return newEvent("E", fmt.Sprintf("%s%d", who, second), second, extra)
	}
	for _, c := range []struct {
		name   string
		events []*detect.Record
		want   []string
	}{
		{"two", []*detect.Record{at(0, "x"), at(1, "x")}, nil},
		{"three", []*detect.Record{at(0, "x"), at(1, "x"), at(60, "x")}, []string{"many: x0 x1 x60"}},
		{"three in a longer time", []*detect.Record{at(0, "x"), at(1, "x"), at(61, "x")}, nil},
		{"the window slides", []*detect.Record{at(0, "x"), at(50, "x"), at(70, "x"), at(105, "x")}, []string{"many: x50 x70 x105"}},
		{"out of order", []*detect.Record{at(105, "x"), at(0, "x"), at(70, "x"), at(50, "x")}, []string{"many: x50 x70 x105"}},
		{"separate groups", []*detect.Record{at(0, "x"), at(1, "y"), at(2, "x"), at(3, "y")}, nil},
		{"duplicate events", []*detect.Record{at(0, "x"), at(1, "x"), at(1, "x"), at(0, "x")}, nil},
		{"one firing per window", []*detect.Record{at(0, "x"), at(1, "x"), at(2, "x"), at(3, "x"), at(4, "x"), at(5, "x"), at(59, "x")}, []string{"many: x0 x1 x2"}},
		{"firing in the next window", []*detect.Record{at(0, "x"), at(1, "x"), at(2, "x"), at(61, "x"), at(62, "x"), at(63, "x")}, []string{"many: x0 x1 x2", "many: x61 x62 x63"}},
		{"absent field is a separate group", []*detect.Record{at(0, "-"), at(1, ""), at(2, "-"), at(3, "-")}, []string{"many: -0 -2 -3"}},
	} {
		if got := playEvents(rs, c.events...); !slices.Equal(got, c.want) {
			t.Errorf("%s: got firings %q, want %q", c.name, got, c.want)
		}
	}
	if !rs.Rules()[0].Silent || rs.Rules()[1].Silent {
		t.Error("want only the counted rule to be silent")
	}
}

func TestCorrelation_OtherTypes(t *testing.T) {
	v := func(id string, second int, value string) *detect.Record {
		return newEvent("E", id, second, `,"secret":"`+value+`","user":"u"`)
	}
	e, f := func(id string, s int) *detect.Record { return newEvent("E", id, s, `,"user":"u"`) }, func(id string, s int) *detect.Record { return newEvent("F", id, s, `,"actor":"u"`) }
	for _, c := range []struct {
		name, text string
		events     []*detect.Record
		want       []string
	}{
		{"distinct values", "type: value_count\nrules: [a]\ntimespan: 1h\ncondition: {gte: 3, field: secret}",
			[]*detect.Record{v("1", 0, "x"), v("2", 1, "x"), v("3", 2, "y"), v("4", 3, "y"), e("5", 4), v("6", 5, "z")}, []string{"many: 1 2 3 4 6"}},
		{"one value", "type: value_count\nrules: [a]\ntimespan: 1h\ncondition: {gt: 1, field: secret}",
			[]*detect.Record{v("1", 0, "x"), v("2", 1, "x"), v("3", 2, "x")}, nil},
		{"tuples", "type: value_count\nrules: [a]\ntimespan: 1h\ncondition: {gte: 2, field: [secret, user]}",
			[]*detect.Record{v("1", 0, "x"), v("2", 1, "x"), v("3", 2, "y")}, []string{"many: 1 2 3"}},
		{"range", "type: event_count\nrules: [a]\ntimespan: 1h\ncondition: {gte: 2, lte: 3}",
			[]*detect.Record{e("1", 0), e("2", 1)}, []string{"many: 1 2"}},
		{"equal", "type: event_count\nrules: [a]\ntimespan: 1h\ncondition: {eq: 2}", []*detect.Record{e("1", 0), e("2", 1)}, []string{"many: 1 2"}},
		{"both rules", "type: temporal\nrules: [a, b]\ntimespan: 1m", []*detect.Record{f("1", 0), e("2", 60)}, []string{"many: 1 2"}},
		{"one rule twice", "type: temporal\nrules: [a, b]\ntimespan: 1m", []*detect.Record{e("1", 0), e("2", 10)}, nil},
		{"both rules too far apart", "type: temporal\nrules: [a, b]\ntimespan: 1m", []*detect.Record{e("1", 0), f("2", 61)}, nil},
		{"one rule is enough", "type: temporal\nrules: [a, b]\ntimespan: 1m\ncondition: {gte: 1}", []*detect.Record{e("1", 0)}, []string{"many: 1"}},
		{"alias", "type: temporal\nrules: [a, b]\ntimespan: 1m\ngroup-by: [person]\naliases: {person: {a: user, b: actor}}",
			[]*detect.Record{e("1", 0), f("2", 1)}, []string{"many: 1 2"}},
		{"without alias", "type: temporal\nrules: [a, b]\ntimespan: 1m\ngroup-by: [user]", []*detect.Record{e("1", 0), f("2", 1)}, nil},
		{"in order", "type: temporal_ordered\nrules: [a, b]\ntimespan: 1m", []*detect.Record{f("2", 20), e("1", 10)}, []string{"many: 1 2"}},
		{"out of order", "type: temporal_ordered\nrules: [a, b]\ntimespan: 1m", []*detect.Record{f("1", 10), e("2", 20)}, nil},
		{"several rules", "type: event_count\nrules: [a, b]\ntimespan: 1m\ncondition: {gte: 2}", []*detect.Record{f("1", 10), e("2", 20)}, []string{"many: 1 2"}},
	} {
		rs, result := loadCorrelation(t, detect.Options{}, c.text)
		if err := result.Err(); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := playEvents(rs, c.events...); !slices.Equal(got, c.want) {
			t.Errorf("%s: got firings %q, want %q", c.name, got, c.want)
		}
	}
}

func TestCorrelation_Chain(t *testing.T) {
	rs, result := load(t, detect.Options{}, map[string]string{
		"0.yml": strings.Replace(correlationHead, "id: many", "id: chain", 1) + indent("type: temporal\nrules: [many, b]\ngroup-by: [who]\ntimespan: 5m\ngenerate: true"),
		"a.yml": rule("a"), "b.yml": strings.Replace(rule("b"), "eventName: E", "eventName: F", 1),
		"c.yml": correlationHead + indent("type: event_count\nrules: [a]\ngroup-by: [who]\ntimespan: 1m\ncondition: {gte: 2}"),
	})
	if result.Err() != nil {
		t.Fatal(result.Err())
	}
	who := `,"who":"x"`
	got := playEvents(rs, newEvent("E", "1", 0, who), newEvent("E", "2", 1, who), newEvent("F", "3", 100, who))
	if len(got) != 2 || got[0] != "many: 1 2" || !strings.HasPrefix(got[1], "chain: ") {
		t.Errorf("got firings %q, want many and then chain", got)
	}
	for _, r := range rs.Rules() {
		if r.Silent != (r.ID == "a") {
			t.Errorf("%s: got silent %t, want %t", r.ID, r.Silent, r.ID == "a")
		}
	}
	_, result = load(t, detect.Options{}, map[string]string{
		"x.yml": strings.Replace(correlationHead, "id: many", "id: x", 1) + indent("type: temporal\nrules: [y]\ntimespan: 1m"),
		"y.yml": strings.Replace(correlationHead, "id: many", "id: y", 1) + indent("type: temporal\nrules: [x]\ntimespan: 1m"),
	})
	if len(result.Refused) != 2 || !strings.Contains(result.Err().Error(), "refers to itself") {
		t.Errorf("cycle of correlations: got errors %v, want two", result.Err())
	}
}

func TestLoad_RejectsInvalidCorrelations(t *testing.T) {
	for text, reason := range map[string]string{
		"type: value_sum\nrules: [a]\ntimespan: 1m\ncondition: {gte: 1, field: x}": `"value_sum" is not supported`,
		"rules: [a]\ntimespan: 1m": "type of the correlation is missing",
		"type: event_count\nrules: [zz]\ntimespan: 1m\ncondition: {gte: 1}":                                       `names the unknown rule "zz"`,
		"type: event_count\nrules: [a, a]\ntimespan: 1m\ncondition: {gte: 1}":                                     "twice",
		"type: event_count\ntimespan: 1m\ncondition: {gte: 1}":                                                    "names no rules",
		"type: event_count\nrules: [a]\ncondition: {gte: 1}":                                                      "timespan is missing",
		"type: event_count\nrules: [a]\ntimespan: 1M\ncondition: {gte: 1}":                                        `timespan "1M"`,
		"type: event_count\nrules: [a]\ntimespan: 1m\ngroupby: [x]\ncondition: {gte: 1}":                          `unknown key "groupby"`,
		"type: event_count\nrules: [a]\ntimespan: 1m\ngenerate: maybe\ncondition: {gte: 1}":                       "generate must be true or false",
		"type: event_count\nrules: [a]\ntimespan: 1m\ncondition: {gte: 1}\naliases: {x: {c: f}}\ngroup-by: [x]":   `names "c", which the correlation does not list`,
		"type: event_count\nrules: [a]\ntimespan: 1m\ncondition: {gte: 1}\naliases: {x: {a: [f]}}\ngroup-by: [x]": `needs the name of a field for "a"`,
		"type: event_count\nrules: [a]\ntimespan: 1m":                                                             "condition of the correlation is missing",
		"type: event_count\nrules: [a]\ntimespan: 1m\ncondition: {lt: 5}":                                         "no lower bound",
		"type: event_count\nrules: [a]\ntimespan: 1m\ncondition: {neq: 5}":                                        "neq is not supported",
		"type: event_count\nrules: [a]\ntimespan: 1m\ncondition: {gte: 5, lt: 5}":                                 "can never match",
		"type: event_count\nrules: [a]\ntimespan: 1m\ncondition: {gte: 5, field: x}":                              "takes no condition.field",
		"type: value_count\nrules: [a]\ntimespan: 1m\ncondition: {gte: 5}":                                        "needs condition.field",
		"type: event_count\nrules: [a]\ntimespan: 1m\ncondition: {gte: 99999}":                                    "whole number up to",
		"type: event_count\nrules: [a]\ntimespan: 1m\ncondition: {about: 5}":                                      `unknown condition "about"`,
		"type: temporal\nrules: [a, b]\ntimespan: 1m\ncondition: {gte: 3}":                                        "more rules than the correlation has (2)",
		"type: temporal_ordered\nrules: [a, b]\ntimespan: 1m\ncondition: {gte: 2}":                                "takes no condition",
		"type: temporal\nrules: [a, b]\ntimespan: 1m\naliases: {x: {}}":                                           "needs a field for each rule",
		"type: event_count\nrules: [a]\ntimespan: 1m\ncondition: 5":                                               "must be a map such as",
	} {
		_, result := loadCorrelation(t, detect.Options{}, text)
		if len(result.Refused) != 1 || !strings.Contains(result.Err().Error(), reason) || result.Refused[0].Line == 0 {
			t.Errorf("got errors %v, want one with a line and %s", result.Err(), reason)
		}
	}
}

// A window decoded from JSON advances like the original window.
func TestAdvance_DoesNotModifyWindow(t *testing.T) {
	rs, result := loadCorrelation(t, detect.Options{Lateness: time.Minute}, "type: value_count\nrules: [a]\ntimespan: 1m\ncondition: {gte: 4, field: v}")
	if err := result.Err(); err != nil {
		t.Fatal(err)
	}
	c := rs.Rules()[2].Correlation
	rapid.Check(t, func(t *rapid.T) {
		var w detect.Window
		for i := range rapid.IntRange(1, 60).Draw(t, "events") {
			r := newEvent("E", fmt.Sprint(i), rapid.IntRange(0, 400).Draw(t, "second"), fmt.Sprintf(`,"v":"%d"`, rapid.IntRange(0, 5).Draw(t, "value")))
			rs.Match(r, func(h detect.Hit) {
				h.Observe(noon, func(o detect.Observation) {
					before, _ := json.Marshal(w)
					next, fired := c.Advance(w, o)
					if after, _ := json.Marshal(w); string(before) != string(after) {
						t.Fatalf("got a modified window %s, want %s", after, before)
					}
					var stored detect.Window
					if err := json.Unmarshal(before, &stored); err != nil {
						t.Fatal(err)
					}
					again, firedAgain := c.Advance(stored, o)
					a, _ := json.Marshal(next)
					b, _ := json.Marshal(again)
					if string(a) != string(b) || !reflect.DeepEqual(fired, firedAgain) {
						t.Fatalf("window from JSON: got %s, firing %+v, want %s, firing %+v", b, firedAgain, a, fired)
					}
					if fired != nil && (fired.To.Sub(fired.From) > time.Minute || len(fired.Events) < 4) {
						t.Fatalf("got firing %+v, want at least 4 events within a minute", fired)
					}
					w = next
				})
			})
		}
		if !slices.IsSortedFunc(w.Seen, func(a, b detect.Seen) int { return int(a.At - b.At) }) {
			t.Fatalf("got events %+v, want them in the order of time", w.Seen)
		}
	})
}

// A correlation fires if and only if a timespan contains enough events, for any
// order of arrival.
func TestAdvance_AgreesWithDirectCount(t *testing.T) {
	rs, _ := loadCorrelation(t, detect.Options{}, "type: event_count\nrules: [a]\ntimespan: 1m\ncondition: {gte: 4}")
	rapid.Check(t, func(t *rapid.T) {
		seconds := rapid.SliceOfN(rapid.IntRange(0, 600), 1, 20).Draw(t, "seconds")
		var events []*detect.Record
		for i, s := range seconds {
			events = append(events, newEvent("E", fmt.Sprint(i), s, ""))
		}
		want := false
		for _, from := range seconds {
			n := 0
			for _, s := range seconds {
				if s >= from && s <= from+60 {
					n++
				}
			}
			want = want || n >= 4
		}
		if got := playEvents(rs, events...); (len(got) > 0) != want {
			t.Fatalf("%v: got firings %q, want any: %t", seconds, got, want)
		}
	})
}

func TestAdvance_LimitsWindowSize(t *testing.T) {
	for _, text := range []string{
		"type: event_count\nrules: [a]\ntimespan: 1s\ncondition: {gte: 50}",
		"type: value_count\nrules: [a]\ntimespan: 1d\ncondition: {gte: 50, field: v}",
		"type: temporal\nrules: [a, b]\ntimespan: 1d",
		"type: temporal_ordered\nrules: [b, a]\ntimespan: 1d",
	} {
		rs, result := loadCorrelation(t, detect.Options{}, text)
		if err := result.Err(); err != nil {
			t.Fatal(err)
		}
		c := rs.Rules()[2].Correlation
		var w detect.Window
		random := rand.New(rand.NewPCG(1, 2))
		for i := range 3000 {
			r := newEvent("E", fmt.Sprint(i), 2*i+random.IntN(5), fmt.Sprintf(`,"v":"%d"`, i%40))
			rs.Match(r, func(h detect.Hit) {
				h.Observe(noon, func(o detect.Observation) { w, _ = c.Advance(w, o) })
			})
		}
		if len(w.Seen) > 256 || len(w.Fired) > 64 {
			t.Errorf("%s: got %d events and %d firings, want at most 256 and 64", text, len(w.Seen), len(w.Fired))
		}
		if c.Type == "event_count" && w.Dropped == 0 {
			t.Error("got no dropped events, want some")
		}
		if !c.Expired(w, noon.Add(100*time.Hour)) || c.Expired(w, noon) {
			t.Errorf("%s: got expired %t after 100 hours and %t at noon, want true and false", text, c.Expired(w, noon.Add(100*time.Hour)), c.Expired(w, noon))
		}
	}
	rs, _ := loadCorrelation(t, detect.Options{Lateness: time.Minute}, "type: event_count\nrules: [a]\ntimespan: 1m\ncondition: {gte: 2}")
	c := rs.Rules()[2].Correlation
	var w detect.Window
	for i, second := range []int{1000, 0} {
		rs.Match(newEvent("E", fmt.Sprint(i), second, ""), func(h detect.Hit) {
			h.Observe(noon, func(o detect.Observation) { w, _ = c.Advance(w, o) })
		})
	}
	if w.Late != 1 || len(w.Seen) != 1 {
		t.Errorf("too late event: got %+v, want it only counted as late", w)
	}
}

// A value_count correlation fires if and only if a timespan contains enough
// distinct values, although it removes redundant events.
func TestAdvance_ThinningPreservesFirings(t *testing.T) {
	rs, _ := loadCorrelation(t, detect.Options{}, "type: value_count\nrules: [a]\ntimespan: 1m\ncondition: {gte: 4, field: v}")
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(t, "events")
		seconds, values := make([]int, n), make([]int, n)
		var events []*detect.Record
		for i := range n {
			seconds[i], values[i] = rapid.IntRange(0, 300).Draw(t, "second"), rapid.IntRange(0, 5).Draw(t, "value")
			events = append(events, newEvent("E", fmt.Sprint(i), seconds[i], fmt.Sprintf(`,"v":"%d"`, values[i])))
		}
		want := false
		for _, from := range seconds {
			distinct := map[int]bool{}
			for i, s := range seconds {
				if s >= from && s <= from+60 {
					distinct[values[i]] = true
				}
			}
			want = want || len(distinct) >= 4
		}
		if got := playEvents(rs, events...); (len(got) > 0) != want {
			t.Fatalf("values %v at %v: got firings %q, want any: %t", values, seconds, got, want)
		}
	})
}
