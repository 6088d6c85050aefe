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
