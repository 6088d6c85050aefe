package notary

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A Range is the ids from First to Last, both included.
type Range struct{ First, Last int64 }

// Ranges is a set of ids. [Ranges.Normal] sorts it and joins adjacent ranges. The other methods need a normal set.
type Ranges []Range

// Normal returns the sorted set without overlaps. It may reuse the memory of r.
func (r Ranges) Normal() Ranges {
	slices.SortFunc(r, func(a, b Range) int { return cmp.Compare(a.First, b.First) })
	out := r[:0]
	for _, one := range r {
		if n := len(out); n > 0 && (out[n-1].Last == math.MaxInt64 || one.First <= out[n-1].Last+1) {
			out[n-1].Last = max(out[n-1].Last, one.Last)
			continue
		}
		out = append(out, one)
	}
	return out
}

// Contains reports whether an id is in the set.
func (r Ranges) Contains(id int64) bool {
	n, _ := slices.BinarySearchFunc(r, id, func(one Range, id int64) int { return cmp.Compare(one.Last, id) })
	return n < len(r) && r[n].First <= id
}

// Last returns the greatest id, or 0 for an empty set.
func (r Ranges) Last() int64 {
	if len(r) == 0 {
		return 0
	}
	return r[len(r)-1].Last
}

// Len returns the number of ids.
func (r Ranges) Len() (n int64) {
	for _, one := range r {
		n += one.Last - one.First + 1
	}
	return n
}

// Cut returns the first n ids of the set and the others.
func (r Ranges) Cut(n int64) (head, tail Ranges) {
	for k, one := range r {
		size := one.Last - one.First + 1
		if size <= n {
			n -= size
			continue
		}
		head = slices.Clone(r[:k])
		if n > 0 {
			head = append(head, Range{one.First, one.First + n - 1})
		}
		return head, append(Ranges{{one.First + n, one.Last}}, r[k+1:]...)
	}
	return r, nil
}

// String returns a text such as "5,7-9".
func (r Ranges) String() string {
	var b []byte
	for n, one := range r {
		if n > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, one.First, 10)
		if one.Last != one.First {
			b = append(b, '-')
			b = strconv.AppendInt(b, one.Last, 10)
		}
	}
	return string(b)
}

// ParseRanges parses a result of [Ranges.String].
func ParseRanges(text string) (Ranges, error) {
	var out Ranges
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		var one Range
		var errs [2]error
		one.First, errs[0] = parseNumber(first)
		one.Last, errs[1] = parseNumber(last)
		if errors.Join(errs[:]...) != nil || one.Last < one.First || len(out) > 0 && one.First <= out.Last() {
			return nil, errors.New("the ids are malformed")
		}
		out = append(out, one)
	}
	return out, nil
}

// Overlaps reports whether the set has an id of a range.
func (r Ranges) Overlaps(one Range) bool {
	n, _ := slices.BinarySearchFunc(r, one.First, func(a Range, id int64) int { return cmp.Compare(a.Last, id) })
	return n < len(r) && r[n].First <= one.Last
}
