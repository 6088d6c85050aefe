package notary

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

var exampleLeaf = Leaf{Subject: "alerts", Lines: []Line{
	{ID: 5, Commitment: Commit([]byte("salt"), []byte("content")), Detail: "17 more"},
	{ID: 6, Commitment: Commit([]byte("salt"), []byte("other"))},
	{ID: 7, Gone: 3},
	{ID: 9, IsMissing: true},
}}

func TestLeaf_RoundTrip(t *testing.T) {
	var lines []Line
	subject, err := ParseLeaf(exampleLeaf.Text(), func(l Line) { lines = append(lines, l) })
	if err != nil || subject != "alerts" || !reflect.DeepEqual(lines, exampleLeaf.Lines) {
		t.Errorf("got %q %+v, %v, want %+v", subject, lines, err, exampleLeaf)
	}
	for _, step := range []Step{{}, {Last: 9, Changes: Ranges{{1, 3}, {9, 9}}}} {
		if got, err := ParseStep(step.Text()); err != nil || !reflect.DeepEqual(got, step) || !IsStep(step.Text()) {
			t.Errorf("got step %+v, %v, want %+v", got, err, step)
		}
	}
}

func FuzzParseLeaf(f *testing.F) {
	f.Add(exampleLeaf.Text())
	f.Add(Step{Last: 9, Changes: Ranges{{1, 3}, {9, 9}}}.Text())
	f.Add([]byte("alerts\n5 gone\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		leaf := Leaf{}
		var err error
		if leaf.Subject, err = ParseLeaf(text, func(l Line) { leaf.Lines = append(leaf.Lines, l) }); err == nil {
			var again []Line
			if subject, err := ParseLeaf(leaf.Text(), func(l Line) { again = append(again, l) }); err != nil || subject != leaf.Subject || !reflect.DeepEqual(again, leaf.Lines) {
				t.Errorf("got %+v, %v after a round trip, want %+v", again, err, leaf)
			}
		}
		if step, err := ParseStep(text); err == nil {
			if again, err := ParseStep(step.Text()); err != nil || !reflect.DeepEqual(again, step) {
				t.Errorf("got step %+v, %v after a round trip, want %+v", again, err, step)
			}
		}
	})
}

// TestRanges_MatchSet compares random sets with maps.
func TestRanges_MatchSet(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		var r Ranges
		want := map[int64]bool{}
		for range rng.IntN(8) {
			first := rng.Int64N(40) + 1
			last := first + rng.Int64N(6)
			r = append(r, Range{first, last})
			for id := first; id <= last; id++ {
				want[id] = true
			}
		}
		r = r.Normal()
		check := func(name string, r Ranges, from, to int) {
			t.Helper()
			n := 0
			for id := range int64(60) {
				isMember := want[id] && n >= from && n < to
				if want[id] {
					n++
				}
				if r.Contains(id) != isMember {
					t.Fatalf("%s: %s contains %d: got %v, want %v", name, r, id, !isMember, isMember)
				}
			}
		}
		check("normal", r, 0, 60)
		if len(r) > 0 {
			parsed, err := ParseRanges(r.String())
			if err != nil || !slices.Equal(parsed, r) {
				t.Fatalf("parse %s: got %s, %v", r, parsed, err)
			}
		}
		n := rng.Int64N(r.Len() + 2)
		head, tail := r.Cut(n)
		check("head", head, 0, int(n))
		check("tail", tail, int(n), 60)
	}
}

func FuzzParseRanges(f *testing.F) {
	f.Add("5,7-9")
	f.Add("9223372036854775807")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRanges(text)
		if err != nil {
			return
		}
		again, err := ParseRanges(r.Normal().String())
		if err != nil || !bytes.Equal([]byte(again.String()), []byte(r.Normal().String())) {
			t.Errorf("got %s, %v, want %s", again, err, r)
		}
	})
}
