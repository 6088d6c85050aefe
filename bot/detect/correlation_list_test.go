package detect_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"tocsin/bot/detect"
)

// A call with a list of values counts each value, whatever the division of the
// values among calls.
func TestAdvance_CountsEachElementOfLists(t *testing.T) {
	rs, result := loadCorrelation(t, detect.Options{}, "type: value_count\nrules: [a]\ntimespan: 1m\ncondition: {gte: 10, field: v}")
	if err := result.Err(); err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.IntRange(0, 14), 1, 40).Draw(t, "values")
		distinct := map[int]bool{}
		var events []*detect.Record
		for len(values) > 0 {
			n := rapid.IntRange(1, len(values)).Draw(t, "values of an event")
			for _, v := range values[:n] {
				distinct[v] = true
			}
			b, _ := json.Marshal(values[:n])
			if n == 1 && rapid.Bool().Draw(t, "single") {
				b = b[1 : len(b)-1]
			}
			events = append(events, newEvent("E", fmt.Sprint(len(events)), len(events), `,"v":`+string(b)))
			values = values[n:]
		}
		events = append(events, events...) // a repeated delivery counts nothing
		if got := playEvents(rs, events...); (len(got) > 0) != (len(distinct) >= 10) {
			t.Fatalf("%d distinct values: got firings %q", len(distinct), got)
		}
	})
}

// Two fields count as pairs, and one event cannot fill the memory.
func TestObserve_ListsAreBounded(t *testing.T) {
	rs, result := loadCorrelation(t, detect.Options{}, "type: value_count\nrules: [a]\ntimespan: 1m\ncondition: {gte: 10, field: [v, w]}")
	if err := result.Err(); err != nil {
		t.Fatal(err)
	}
	many := make([]int, 5000)
	for i := range many {
		many[i] = i
	}
	b, _ := json.Marshal(many)
	for extra, want := range map[string]int{
		`,"v":[1,2,[2,null]],"w":["a","b"]`:       4,
		`,"v":[],"w":["a"]`:                       0,
		`,"v":[null],"w":["a"]`:                   0,
		`,"v":[{"x":1}],"w":"a"`:                  1,
		`,"v":` + string(b) + `,"w":` + string(b): 256,
	} {
		seen := []string{}
		rs.Match(newEvent("E", "1", 0, extra), func(h detect.Hit) {
			h.Observe(noon, func(o detect.Observation) { seen = append(seen, o.Value) })
		})
		if slices.Sort(seen); len(seen) != want || len(slices.Compact(seen)) != want {
			t.Errorf("%.60s: got %d observations, want %d distinct ones", extra, len(seen), want)
		}
	}
}
