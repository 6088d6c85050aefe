package redact

import "strings"

// number is a sequence of digit groups, the way people write card and phone
// numbers.
type number struct {
	groups []group
	f      *finder
}

type group struct {
	start, end int
	sep        string // text between this group and the previous one
}

// maxDigits is the maximum number of digits in a sequence. A card number has at
// most 19.
const maxDigits = 19

// numbers finds cards, US social security numbers and phone numbers. It tries
// them at every group of digits.
func (f *finder) numbers() {
	var buffer [maxDigits]group
	for i := 0; i < len(f.text); {
		if !digits[f.text[i]] {
			i++
			continue
		}
		n := number{groups: f.readGroups(i, buffer[:0]), f: f}
		if len(n.groups) == 0 { // too long for all of them
			i = f.run(i, digits)
			continue
		}
		i = n.groups[0].end
		if wordChars[f.byteAt(n.groups[0].start-1)] || f.byteAt(n.groups[0].start-1) == '.' && digits[f.byteAt(n.groups[0].start-2)] {
			continue // inside an identifier or after a decimal point
		}
		start := n.groups[0].start
		if k := n.card(); k > 0 {
			i = n.groups[k-1].end
			f.add(start, i, kindCard)
		} else if k := n.ssn(); k > 0 {
			i = n.groups[k-1].end
			f.add(start, i, kindNationalID)
		} else if k := n.phone(); k > 0 {
			i = n.groups[k-1].end
			for n := 0; n < 2 && (f.byteAt(start-1) == '+' || f.byteAt(start-1) == '('); n++ {
				start--
			}
			start, i = f.widen(start, i)
			f.add(start, i, kindPhone)
		}
	}
}

// widen returns the whole number if a phone number was found inside of a longer one
// with one separator between its groups. A fragment of an identity number would
// otherwise remain on both sides. The number before must not be a date or a time.
func (f *finder) widen(start, end int) (int, int) {
	const maxGroups = 12
	sep := f.byteAt(start - 1)
	if sep != ' ' && sep != '-' && sep != '.' || !digits[f.byteAt(start-2)] {
		return start, end
	}
	left := start
	for n := 0; n < maxGroups && f.byteAt(left-1) == sep && digits[f.byteAt(left-2)]; n++ {
		for left--; digits[f.byteAt(left-1)] && start-left < 2*maxDigits; {
			left--
		}
	}
	if c := f.byteAt(left - 1); wordChars[c] || strings.IndexByte("-.:/,_+", c) >= 0 {
		return start, end
	}
	for n := 0; n < maxGroups && f.byteAt(end) == sep && digits[f.byteAt(end+1)]; n++ {
		end = f.run(end+1, digits)
	}
	return left, end
}

// separators may occur between the groups of a number.
var separators = setOf(" -./()")

// readGroups returns the groups from i on, with at most maxDigits digits. It
// returns none if the first group is longer.
func (f *finder) readGroups(i int, groups []group) []group {
	total, sep := 0, ""
	for {
		end := i
		for end < len(f.text) && end-i <= maxDigits && digits[f.text[end]] {
			end++
		}
		if total += end - i; total > maxDigits {
			return groups
		}
		groups = append(groups, group{i, end, sep})
		next := end
		for next < end+3 && separators[f.byteAt(next)] {
			next++
		}
		sep = f.text[end:min(next, len(f.text))]
		if !digits[f.byteAt(next)] {
			return groups
		}
		switch sep {
		case " ", "-", ".", "/", ")", "(", ") ", " (", ")-":
		default:
			return groups
		}
		i = next
	}
}

// digitCount returns the number of digits in the first k groups.
func (n number) digitCount(k int) int {
	total := 0
	for _, g := range n.groups[:k] {
		total += g.end - g.start
	}
	return total
}

// digits returns the digits of the first k groups.
func (n number) digits(k int) string {
	if k == 1 {
		return n.f.text[n.groups[0].start:n.groups[0].end]
	}
	var b strings.Builder
	for _, g := range n.groups[:k] {
		b.WriteString(n.f.text[g.start:g.end])
	}
	return b.String()
}

// sameSeparator reports whether the first k groups are all separated by one
// character out of seps.
func (n number) sameSeparator(k int, seps string) bool {
	for _, g := range n.groups[1:k] {
		if len(g.sep) != 1 || !strings.Contains(seps, g.sep) || g.sep != n.groups[1].sep {
			return false
		}
	}
	return true
}

// hasShape reports whether the first groups have these sizes.
func (n number) hasShape(sizes ...int) bool {
	if len(n.groups) < len(sizes) {
		return false
	}
	for i, size := range sizes {
		if n.groups[i].end-n.groups[i].start != size {
			return false
		}
	}
	return true
}

// isSeparate reports whether the first k groups are not attached to a letter, a
// dashed identifier or a decimal number.
func (n number) isSeparate(k int) bool {
	before, after := n.groups[0].start, n.groups[k-1].end
	f := n.f
	dashed := (f.byteAt(before-1) == '-' || f.byteAt(before-1) == '_') && wordChars[f.byteAt(before-2)] ||
		(f.byteAt(after) == '-' || f.byteAt(after) == '_') && wordChars[f.byteAt(after+1)]
	return !dashed && n.endsNumber(k)
}

// endsNumber reports whether the k-th group is not followed by a letter or
// decimals.
func (n number) endsNumber(k int) bool {
	end := n.groups[k-1].end
	return !wordChars[n.f.byteAt(end)] && !(n.f.byteAt(end) == '.' && digits[n.f.byteAt(end+1)])
}

// card returns the number of groups that form a payment card number, or 0.
func (n number) card() int {
	for k := len(n.groups); k > 0; k-- {
		size := n.digitCount(k)
		if size < 13 || !n.endsNumber(k) || k > 1 && !n.isSeparate(k) {
			continue
		}
		grouped := n.sameSeparator(k, " -") || k == 4 && n.hasShape(4, 4, 4, 4) && n.sameSeparator(k, ".")
		for i, g := range n.groups[:k] {
			grouped = grouped && (g.end-g.start >= 3 || i == k-1)
		}
		if d := n.digits(k); grouped && isIssued(d) && luhnValid(d) {
			return k
		}
	}
	return 0
}

// isIssued reports whether a card scheme issues numbers with this length and
// prefix.
func isIssued(d string) bool {
	n := len(d)
	two, four := int(d[0]-'0')*10+int(d[1]-'0'), d[:4]
	switch {
	case d[0] == '4':
		return n == 13 || n == 16 || n == 19
	case 51 <= two && two <= 55, "2221" <= four && four <= "2720":
		return n == 16
	case two == 34, two == 37:
		return n == 15
	case two == 36, two == 38, two == 39, "3000" <= four && four <= "3059":
		return n == 14 || n == 16 || n == 19
	case two == 35:
		return n >= 16
	case two == 50, 56 <= two && two <= 58, d[0] == '6':
		return true
	}
	return false
}

func luhnValid(d string) bool {
	sum := 0
	for i := range len(d) {
		v := int(d[len(d)-1-i] - '0')
		if i%2 == 1 {
			if v *= 2; v > 9 {
				v -= 9
			}
		}
		sum += v
	}
	return sum%10 == 0
}

// ssn returns 3 if the first groups form a US social security number, else 0.
func (n number) ssn() int {
	if !n.hasShape(3, 2, 4) || !n.sameSeparator(3, "-") || !n.isSeparate(3) {
		return 0
	}
	d := n.digits(3)
	if d[:3] == "000" || d[:3] == "666" || d[0] == '9' || d[3:5] == "00" || d[5:] == "0000" {
		return 0
	}
	return 3
}
