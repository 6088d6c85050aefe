package generic_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tocsin/bot/generic"
	"tocsin/bot/incident"
	"tocsin/bot/secret"
)

const maxBody = 1 << 20

// everyField returns a mapping with one expression in every text field.
func everyField(expression string) bomb {
	b := bomb{mapping: generic.Mapping{}, tags: generic.Tags{"a": expression, "b": expression}}
	for _, field := range []string{"title", "kind", "level", "fingerprint", "correlation", "detail", "url", "event_id", "at", "project", "release",
		"environment", "account", "region", "principal", "address", "rule"} {
		b.mapping[field] = expression
	}
	return b
}

// object returns a JSON object with a text of about the largest size.
func object(t testing.TB, text string) []byte {
	t.Helper()
	body, err := json.Marshal(map[string]string{"text": text})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

type bomb struct {
	mapping generic.Mapping
	tags    generic.Tags
	body    []byte
}

// bombs returns mappings and bodies that are expensive together.
func bombs(t testing.TB) map[string]bomb {
	numbers := []byte(`{"a":[` + strings.TrimSuffix(strings.Repeat("1,", maxBody/2-10), ",") + `]}`)
	items := []byte(`{"a":[` + strings.TrimSuffix(strings.Repeat(`{"t":"x","n":1},`, maxBody/16-10), ",") + `]}`)
	deep := []byte(strings.Repeat(`[`, 99) + strings.TrimSuffix(strings.Repeat("1,", maxBody/2-200), ",") + strings.Repeat(`]`, 99))
	with := func(b bomb, body []byte) bomb { b.body = body; return b }
	each := func(b bomb, body []byte) bomb { b.mapping["each"] = "body.a"; return with(b, body) }
	return map[string]bomb{
		"lower":            with(everyField(`lower(body.text)`), object(t, strings.Repeat("Ж", maxBody/2-50))),
		"lower and trim":   with(everyField(`lower(trim(body.text))`), object(t, strings.Repeat("İ", maxBody/2-50))),
		"pattern":          with(everyField(`body.text matches "(?i)(x?){9}(failed|denied)" ? "a" : "b"`), object(t, strings.Repeat("x", maxBody-50))),
		"concatenation":    with(everyField(`body.text + body.text + body.text`), object(t, strings.Repeat("x", maxBody-50))),
		"split and join":   with(everyField(`join(split(body.text, ""), "--")`), object(t, strings.Repeat("x", maxBody-50))),
		"replace":          with(everyField(`replace(body.text, "x", "yyyyyyyyyyyyyyyy")`), object(t, strings.Repeat("x", maxBody-50))),
		"print":            with(everyField(`toJSON(body)`), deep),
		"print text":       with(everyField(`string(body)`), numbers),
		"equal":            with(everyField(`string(body == body)`), items),
		"any":              with(everyField(`any(body.a, .t == "y") ? "a" : "b"`), items),
		"map of a filter":  with(everyField(`string(len(map(filter(body.a, .n == 1), .t)))`), items),
		"in":               with(everyField(`"y" in body.a ? "a" : "b"`), numbers),
		"numbers":          each(everyField(`string(item)`), numbers),
		"items":            each(everyField(`item.t`), items),
		"items by pattern": each(bomb{mapping: generic.Mapping{"title": `item.t`, "when": `item.t matches "(?i)(x?){9}(failed|denied)|x"`}}, items),
		"whole body":       each(bomb{mapping: generic.Mapping{"title": `item.t`, "detail": `len(filter(body.a, .n > 1)) > 0 ? "a" : "b"`}}, items),
	}
}

func newBomb(t testing.TB, b bomb) *generic.Source {
	t.Helper()
	s, err := generic.New(generic.Config{Tokens: []secret.String{secret.New("t")}, Mapping: b.mapping, Tags: b.tags})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestDecode_ExpensiveMappingStillAlerts decodes bodies of the largest size. Each item
// has an alert, or the last alert stands for the items that are left.
func TestDecode_ExpensiveMappingStillAlerts(t *testing.T) {
	all := bombs(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) {
			got, err := newBomb(t, all[name]).Decode(nil, all[name].body)
			if err != nil || len(got) == 0 || len(got) > 20_000 {
				t.Fatalf("got %d signals, error %v; want 1 to 20,000", len(got), err)
			}
			for _, signal := range got {
				if signal.Alert == nil || signal.Alert.Title == "" {
					t.Fatalf("got signal %+v, want an alert with a title", signal)
				}
			}
		})
	}
}

func TestDecode_ItemsLeftHaveOneAlert(t *testing.T) {
	const items = 100_000
	s := newBomb(t, bomb{mapping: generic.Mapping{"each": "body", "title": `"item " + string(item)`, "level": `"low"`}})
	got, err := s.Decode(nil, []byte("["+strings.TrimSuffix(strings.Repeat("1,", items), ",")+"]"))
	if err != nil {
		t.Fatal(err)
	}
	last := got[len(got)-1].Alert
	want := fmt.Sprintf("%d items from generic were not read", items-len(got)+1)
	if len(got) < 100 || last.Title != want || last.Level != incident.LevelHigh || !strings.Contains(last.Detail, "cheaper expressions") {
		t.Errorf("got %d alerts, the last %+v; want %q", len(got), last, want)
	}
}

func TestDecode_FailingEachStillAlerts(t *testing.T) {
	s := newBomb(t, bomb{mapping: generic.Mapping{"each": "body.findings", "title": "item.title"}})
	for body, want := range map[string]string{
		`{"title":"Hello"}`:               "mapping.each failed: got nothing, want a list",
		`{"title":"Hello","findings":{}}`: "mapping.each failed: got an object, want a list",
	} {
		got, err := s.Decode(nil, []byte(body))
		if err != nil || len(got) != 1 || got[0].Alert.Title != "Hello" || !strings.Contains(got[0].Alert.Detail, want) {
			t.Errorf("%s: got %+v, %v; want one alert with %q", body, got, err, want)
		}
	}
}

func TestNew_RefusesUnboundedExpressions(t *testing.T) {
	for source, want := range map[string]string{
		`map(1..1000000, #)`:                      "mapping.title: the range operator .. is not allowed",
		`repeat(body.a, 100000)`:                  "mapping.title: the function repeat is not allowed",
		`any(body.a, any(body.b, #)) ? "" : ""`:   "mapping.title: a predicate inside a predicate is not allowed",
		`body.a matches body.b ? "" : ""`:         "mapping.title: a pattern that is not constant is not allowed",
		`string(date(body.since))`:                "mapping.title: the function date is not allowed",
		`let a = [body, body]; let b = [a, a]; a`: "mapping.title: returns a slice",
	} {
		_, err := generic.New(generic.Config{Tokens: []secret.String{secret.New("t")}, Mapping: generic.Mapping{"title": source}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", source, err, want)
		}
	}
}

// BenchmarkMapping_Worst reports the time of expensive mappings on parsed bodies of
// 1 MiB. The target is below 50 ms.
func BenchmarkMapping_Worst(b *testing.B) {
	all := bombs(b)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		b.Run(strings.ReplaceAll(name, " ", "_"), func(b *testing.B) {
			evaluate, err := newBomb(b, all[name]).Evaluate(all[name].body)
			if err != nil {
				b.Fatal(err)
			}
			before := cpuTime()
			for b.Loop() {
				evaluate()
			}
			b.ReportMetric(float64((cpuTime()-before).Microseconds())/1000/float64(b.N), "cpu-ms/eval")
		})
	}
}

// cpuTime returns the CPU time of the process, which does not depend on the load of
// the machine as much as the time of a clock.
func cpuTime() time.Duration {
	var used syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
