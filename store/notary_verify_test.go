package store

import (
	"context"
	"strings"
	"testing"

	"tocsin/bot/notary"
	"tocsin/store/storetest"
)

// verify returns the result of Verify.
func (s *Store) verify(t testing.TB, published ...notary.Checkpoint) Verification {
	t.Helper()
	v, err := s.Verify(context.WithoutCancel(t.Context()), published...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// mustVerify fails the test if Verify finds a problem.
func (s *Store) mustVerify(t testing.TB, when string, published ...notary.Checkpoint) {
	t.Helper()
	if v := s.verify(t, published...); len(v.Problems) > 0 {
		t.Fatalf("%s: got problems\n%s", when, problemLines(v))
	}
}

func problemLines(v Verification) string {
	var lines []string
	for _, p := range v.Problems {
		lines = append(lines, "["+string(p.Kind)+"] "+p.String())
	}
	return strings.Join(lines, "\n")
}

func TestVerify_CleanAtEveryTime(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		s.mustVerify(t, "new")
		first := s.record(t)
		s.mustVerify(t, "empty", first)
		s.addSamples(t)
		s.mustVerify(t, "before the first record", first)
		second := s.record(t)
		s.mustVerify(t, "recorded", first, second)
		if v := s.verify(t); v.Rows != 21 || v.Waiting != 0 || v.Leaves != second.Size || v.Newest == nil || v.Newest.Size != second.Size {
			t.Errorf("got %+v", v)
		}
	})
}
