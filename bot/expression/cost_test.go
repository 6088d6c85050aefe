package expression

import (
	"strings"
	"testing"
)

// costOf returns the cost of an expression on an alert.
func costOf(t *testing.T, source string, a testAlert) int {
	t.Helper()
	program, err := Compile(source, testAlert{}, Text)
	if err != nil {
		t.Fatalf("%s: %v", source, err)
	}
	e := program.estimator(a, maxSize)
	e.visit(program.node)
	return e.steps
}

// TestCost_GrowsWithValues checks a minimum cost for each byte or element that an
// operation reads or writes.
func TestCost_GrowsWithValues(t *testing.T) {
	const size = 100_000
	text := testAlert{Title: strings.Repeat("x", size), Detail: strings.Repeat("x", size)}
	list := testAlert{Kinds: make([]string, size)}
	for source, want := range map[string]int{
		`detail matches "(ab|cd)+"`:                          5 * size * 8,
		`detail contains "x"`:                                2 * size,
		`detail contains "` + strings.Repeat("x", 640) + `"`: 12 * size,
		`detail startsWith title`:                            size / 4,
		`detail endsWith title`:                              size / 4,
		`detail == title`:                                    size / 4,
		`detail != title`:                                    size / 4,
		`detail < title`:                                     size / 4,
		`detail + title`:                                     2 * size,
		`lower(detail)`:                                      16 * size,
		`upper(detail)`:                                      16 * size,
		`lower(lower(detail))`:                               64 * size,
		`trim(detail)`:                                       5 * size,
		`trim(detail, "abc")`:                                8 * size,
		`trimPrefix(detail, title)`:                          size / 4,
		`hasSuffix(detail, title)`:                           size / 4,
		`len(detail)`:                                        size,
		`int(detail)`:                                        size,
		`len(split(detail, ""))`:                             24 * size,
		`replace(detail, "x", "yyyy")`:                       27 * size,
		`indexOf(detail, "x")`:                               2 * size,
		`lastIndexOf(detail, "x")`:                           2 * size,
		`toBase64(detail)`:                                   6 * size,
		`fromBase64(detail)`:                                 6 * size,
		`string(fromJSON(detail))`:                           670 * size,
		`string(detail)`:                                     25 * size,
		`toJSON(detail)`:                                     500 * size,
		`let d = detail + detail; d contains "x"`:            6 * size,
		`(sample ? detail : title) contains "x"`:             2 * size,
		`(nil ?? detail) contains "x"`:                       2 * size,
		`[detail, title] == [title, detail]`:                 50 * size,
		`{"a": detail} == {"a": title}`:                      25 * size,
		`detail[1:] contains "x"`:                            2 * size,
		`any([detail, title], # contains "x")`:               4 * size,
		`any(kinds, # == "x")`:                               200 * size,
		`string(map(kinds, # + "x"))`:                        400 * size,
		`string(filter(kinds, # != "x"))`:                    400 * size,
		`join(kinds, "xx")`:                                  155 * size,
		`count(kinds)`:                                       455 * size,
		`"x" in kinds`:                                       60 * size,
		`string(kinds)`:                                      400 * size,
		`toJSON(kinds)`:                                      8000 * size,
		`any(kinds, sample)`:                                 120 * size,
		`kinds in [kinds, kinds]`:                            900 * size,
		`kinds == kinds`:                                     400 * size,
		`max(kinds) == nil`:                                  400 * size,
		`string(kinds == [kinds, kinds])`:                    60 * size,
		`any(map(kinds, # + "xxxx"), # contains "y")`:        200 * size,
		`any(filter(kinds, true), # == "x")`:                 300 * size,
	} {
		a := text
		if strings.Contains(source, "kinds") {
			a = list
		}
		if got := costOf(t, source, a); got < want {
			t.Errorf("%s: got a cost of %d, want at least %d", source, got, want)
		}
	}
}

// TestCost_FollowsResults checks the minimum cost of an operation on a result, which
// is free if the estimator loses the size of the result.
func TestCost_FollowsResults(t *testing.T) {
	const size = 100_000
	x := strings.Repeat("x", size)
	a := testAlert{Title: x, Detail: x, Kinds: []string{"a", x}, Tags: map[string]string{"k": x}}
	for source, want := range map[string]int{
		`trimSuffix(detail, title)`:              size,
		`hasPrefix(detail, title)`:               size,
		`detail <= title`:                        size / 4,
		`detail > title`:                         size / 4,
		`detail >= title`:                        size / 4,
		`not (detail contains "x")`:              2 * size,
		`(detail contains "x") ? 1 : 2`:          2 * size,
		`[detail + "x"][0] contains "y"`:         3 * size,
		`kinds[1] contains "x"`:                  2 * size,
		`kinds[-1] contains "x"`:                 2 * size,
		`(detail ?? "x") contains "y"`:           2 * size,
		`((detail + "x") ?? "y") contains "z"`:   3 * size,
		`detail in [detail + "a", detail + "b"]`: 5 * size / 2,
		`[detail] in [[title], [title]]`:         50 * size,
		`find(kinds, # != "x") contains "y"`:     2 * size,
		`findLast(kinds, # != "x") contains "y"`: 2 * size,
		`first([detail + "x"]) contains "z"`:     3 * size,
		`lower(first([detail + "x"]))`:           17 * size,
		`last(kinds) contains "x"`:               2 * size,
		`get(kinds, 1) contains "x"`:             2 * size,
		`lower(get(tags, "k"))`:                  16 * size,
		`string(take(kinds, 2))`:                 25 * size,
		`lower(take(kinds, 2)[1])`:               16 * size,
		`lower(join(values(tags), ""))`:          18 * size,
		`lower(join(keys({"k": detail}), ""))`:   18 * size, // keys counts the values too
		`(sample ? kinds : nil) == kinds`:        25 * size,
		`kinds[1:][0] contains "x"`:              2 * size,
		`lower({"k": detail + "x"}["k"])`:        17 * size,
		`lower([detail + "x", "y"][0])`:          17 * size,
		`lower(toBase64(detail))`:                38 * size,
		`lower(fromJSON(detail))`:                248 * size,
		`lower(string(kinds))`:                   89 * size,
		`any(kinds, # contains "x")`:             2 * size,
	} {
		if got := costOf(t, source, a); got < want {
			t.Errorf("%s: got a cost of %d, want at least %d", source, got, want)
		}
	}
	for source, limit := range map[string]int{
		`kinds[0] contains "x"`: size, `first(kinds) contains "x"`: size, `get(kinds, 0) contains "x"`: size, // exact elements
		`kinds[5] == ""`: size, `kinds[-5] == ""`: size, `get(kinds, 9) == ""`: size, // no such element
	} {
		if got := costOf(t, source, a); got > limit {
			t.Errorf("%s: got a cost of %d, want at most %d", source, got, limit)
		}
	}
}

// TestCost_DecodedBody checks values of a decoded JSON document, which are lists and
// maps of any values.
func TestCost_DecodedBody(t *testing.T) {
	const size = 100_000
	x := strings.Repeat("x", size)
	env := testBody{Body: map[string]any{"list": []any{"a", x, map[string]any{"deep": x, x: "a"}}}}
	for source, want := range map[string]int{
		`body.list[1] contains "x"`:        2 * size,
		`body.list[-1].deep contains "x"`:  2 * size,
		`any(body.list, string(#) == "x")`: 75 * size, // a text, a text and a key
		`toJSON(body)`:                     3 * 500 * size,
		`body.list[9] == ""`:               0,
		`body.list[-9] == ""`:              0,
	} {
		program, err := Compile(source, testBody{}, Text)
		if err != nil {
			t.Fatalf("%s: %v", source, err)
		}
		e := program.estimator(env, maxSize)
		if e.visit(program.node); e.steps < want {
			t.Errorf("%s: got a cost of %d, want at least %d", source, e.steps, want)
		}
	}
}

// TestCost_Saturates requires sizes that neither overflow nor become smaller.
func TestCost_Saturates(t *testing.T) {
	for _, c := range [][3]int{{0, maxSize, 0}, {maxSize, 0, 0}, {maxSize, maxSize, maxSize}, {maxSize, 2, maxSize}, {3, 4, 12}, {1 << 31, 1 << 31, maxSize}, {1 << 33, 1 << 31, maxSize}} {
		if got := product(c[0], c[1]); got != c[2] {
			t.Errorf("%d times %d: got %d, want %d", c[0], c[1], got, c[2])
		}
	}
	e := &estimator{limit: maxSize}
	for range 3 {
		if e.charge(maxSize); e.steps != maxSize {
			t.Errorf("got %d steps, want the maximum", e.steps)
		}
	}
	if e.charge(-5); e.steps != maxSize {
		t.Errorf("got %d steps after a negative charge, want no change", e.steps)
	}
}

// TestEstimator_StopsAboveItsLimit bounds the work of the estimator itself on large
// values.
func TestEstimator_StopsAboveItsLimit(t *testing.T) {
	const limit = 10_000
	a := testAlert{Kinds: make([]string, 100_000)}
	list := make([]any, 100_000)
	for source, env := range map[string]any{
		`string(kinds)`: a, `kinds == kinds`: a, `any(kinds, # == "x")`: a, `len(map(kinds, #)) > 1`: a,
		`any(body, # == "x")`: testBody{Body: list}, `string(body)`: testBody{Body: list},
		strings.Repeat("sample or ", 240) + "sample": a,
	} {
		program, err := Compile(source, env, Text)
		if err != nil {
			t.Fatalf("%s: %v", source, err)
		}
		e := program.estimator(env, limit)
		if e.visit(program.node); e.work > 2*limit {
			t.Errorf("%s: got %d steps of work, want at most %d", source, e.work, 2*limit)
		}
	}
}

// TestRun_CountsEachNode checks the steps of small expressions.
func TestRun_CountsEachNode(t *testing.T) {
	a := testAlert{Title: "abcdefgh", Kinds: []string{"a"}, Tags: map[string]string{"key": "b", "other": "c"}}
	for source, want := range map[string]int{
		`sample`:              runSteps + nodeSteps,
		`tags["key"]`:         runSteps + 3*nodeSteps + memberSteps + 3,
		`title[1:2]`:          runSteps + 4*nodeSteps + memberSteps,
		`"key" in tags`:       runSteps + 3*nodeSteps + memberSteps + 3,
		`len([1, 2])`:         runSteps + 4*nodeSteps + 2*elementSteps + memberSteps,
		`len({"k": 1})`:       runSteps + 5*nodeSteps + elementSteps + 2*memberSteps + 1 + 2,
		`len(values(tags))`:   runSteps + 3*nodeSteps + 2*memberSteps + 3*elementSteps + 2*3*elementSteps + 2*5,
		`any(kinds, sample)`:  runSteps + 4*nodeSteps + elementSteps,
		`round(1.5)`:          runSteps + 2*nodeSteps + memberSteps,
		`tags?.key ?? "none"`: runSteps + 6*nodeSteps + memberSteps + 3,
	} {
		program, err := Compile(source, testAlert{}, Text)
		if err != nil {
			t.Fatalf("%s: %v", source, err)
		}
		b := NewBudget(ConditionSteps)
		if _, err := program.Run(a, b); err != nil || b.Used() != want {
			t.Errorf("%s: got %d steps, %v; want %d", source, b.Used(), err, want)
		}
	}
}

// TestBudget_IsShared runs one expression until the budget is used up.
func TestBudget_IsShared(t *testing.T) {
	program, err := Compile(`lower(detail)`, testAlert{}, Text)
	if err != nil {
		t.Fatal(err)
	}
	b, runs := NewBudget(MappingSteps), 0
	if b.Exhausted() {
		t.Error("got a new budget exhausted, want it usable")
	}
	a := testAlert{Detail: strings.Repeat("x", 100_000)}
	for ; ; runs++ {
		if _, err := program.Run(a, b); err != nil {
			break
		}
	}
	if want := MappingSteps / (100_000 * caseSteps); runs != want {
		t.Errorf("got %d runs, want %d", runs, want)
	}
	for n := 0; !b.Exhausted(); n++ {
		if _, err := program.Run(a, b); err == nil {
			t.Fatal("got no error, want one")
		}
		if n > MappingSteps/nodeSteps {
			t.Fatal("refused runs do not use up the budget")
		}
	}
}

func TestRun_MemoryIsBounded(t *testing.T) {
	program, err := Compile(`len(map(kinds, #)) > 1`, testAlert{}, Condition)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := program.Run(testAlert{Kinds: make([]string, maxMemory)}, NewBudget(maxSize)); err == nil || err.Error() != "memory budget exceeded (1:5)" {
		t.Errorf("got %v, want the memory budget exceeded", err)
	}
}
