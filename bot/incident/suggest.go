package incident

import (
	"slices"
	"strings"
)

// Nearest returns the word of known that is most similar to got, or "" if none is
// similar. A word is similar within an edit distance of a third of its length, or
// if got has three or more letters and is its prefix. Case is ignored.
//
// The distance is written here because this package imports only the standard library.
func Nearest(got string, known []string) string {
	got = strings.ToLower(truncate(got))
	best, least := "", len(got)+1
	for _, k := range known {
		d := distance(got, strings.ToLower(k))
		if len(got) >= 3 && strings.HasPrefix(strings.ToLower(k), got) {
			d = min(d, 1)
		}
		if limit := max(1, (len(k)+2)/3); d <= limit && d < least && d < len(k) {
			best, least = k, d
		}
	}
	return best
}

// NearestAll returns at most limit words of known that are similar to got, the most
// similar first.
func NearestAll(got string, known []string, limit int) (out []string) {
	for len(out) < limit {
		rest := slices.DeleteFunc(slices.Clone(known), func(k string) bool { return slices.Contains(out, k) })
		near := Nearest(got, rest)
		if near == "" {
			break
		}
		out = append(out, near)
	}
	return out
}

// Choices returns words as a choice in a sentence, as in "ack, note or page".
func Choices(words []string) string {
	if last := len(words) - 1; last > 0 {
		return strings.Join(words[:last], ", ") + " or " + words[last]
	}
	return strings.Join(words, "")
}

// distance returns the Levenshtein distance. Swapping two adjacent letters counts as
// one edit.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	before, last := make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := range x {
		row := make([]int, len(y)+1)
		row[0] = i + 1
		for j := range y {
			cost := 1
			if x[i] == y[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(y)]
}

// truncate shortens a quotation for an error message to 60 runes.
func truncate(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return s
}
