package incident

import (
	"testing"

	"pgregory.net/rapid"
)

// checkUntil checks a property with random draws, and goes on with fixed ones until the
// draws covered enough for a conclusive test. The number of random draws, which -short
// lowers, and their seed do not decide about it.
func checkUntil(t *testing.T, covered func() bool, property func(*rapid.T)) {
	t.Helper()
	rapid.Check(t, property)
	fixed := rapid.Custom(func(rt *rapid.T) bool { property(rt); return true })
	for seed := 0; !t.Failed() && !covered(); seed++ {
		if seed == 500 {
			t.Fatal("the draws do not cover enough for a conclusive test")
		}
		fixed.Example(seed)
	}
}
