package redact

import "strings"

// number is a row of groups of digits as people write cards and telephones:
// what stands at one place and the groups that follow it.
type number struct {
	groups []group
	f      *finder
}

type group struct {
	start, end int
	sep        string // what stands between it and the group before
}

// maxDigits is how many digits a row is followed for; a card has at most 19.
const maxDigits = 19

// numbers looks at every group of digits for a card, a social security number
// or a telephone that starts there.
func (f *finder) numbers() {
	var buffer [maxDigits]group
	for i := 0; i < len(f.v); {
		if !digits[f.v[i]] {
			i++
			continue
		}
		n := number{groups: f.row(i, buffer[:0]), f: f}
		if len(n.groups) == 0 { // too long for any of them
			i = f.run(i, digits)
			continue
		}
		i = n.groups[0].end
		if wordly[f.at(n.groups[0].start-1)] || f.at(n.groups[0].start-1) == '.' && digits[f.at(n.groups[0].start-2)] {
			continue // inside an identifier or behind a decimal point
		}
		start := n.groups[0].start
		if k := n.card(); k > 0 {
			i = n.groups[k-1].end
			f.add(start, i, aCard)
		} else if k := n.ssn(); k > 0 {
			i = n.groups[k-1].end
			f.add(start, i, aNationalID)
		} else if k := n.phone(); k > 0 {
			i = n.groups[k-1].end
			for n := 0; n < 2 && (f.at(start-1) == '+' || f.at(start-1) == '('); n++ {
				start--
			}
			f.add(start, i, aPhone)
		}
	}
}

// separators may stand between the groups of one number.
var separators = setOf(" -./()")

// row collects the groups from i on, up to maxDigits digits. It is empty if the
// first group alone is longer.
func (f *finder) row(i int, groups []group) []group {
	total, sep := 0, ""
	for {
		end := i
		for end < len(f.v) && end-i <= maxDigits && digits[f.v[end]] {
			end++
		}
		if total += end - i; total > maxDigits {
			return groups
		}
		groups = append(groups, group{i, end, sep})
		next := end
		for next < end+3 && separators[f.at(next)] {
			next++
		}
		sep = f.v[end:min(next, len(f.v))]
		if !digits[f.at(next)] {
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

// size is the number of digits in the first k groups.
func (n number) size(k int) int {
	total := 0
	for _, g := range n.groups[:k] {
		total += g.end - g.start
	}
	return total
}

// digits returns the digits of the first k groups.
func (n number) digits(k int) string {
	if k == 1 {
		return n.f.v[n.groups[0].start:n.groups[0].end]
	}
	var b strings.Builder
	for _, g := range n.groups[:k] {
		b.WriteString(n.f.v[g.start:g.end])
	}
	return b.String()
}

// uniform says whether one of the given separators stands between all of the
// first k groups.
func (n number) uniform(k int, seps string) bool {
	for _, g := range n.groups[1:k] {
		if len(g.sep) != 1 || !strings.Contains(seps, g.sep) || g.sep != n.groups[1].sep {
			return false
		}
	}
	return true
}

// shape says whether the first groups have these sizes.
func (n number) shape(sizes ...int) bool {
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

// apart says whether the first k groups stand for themselves: not glued to a
// letter, nor part of a longer dashed identifier or a decimal number.
func (n number) apart(k int) bool {
	before, after := n.groups[0].start, n.groups[k-1].end
	f := n.f
	dashed := (f.at(before-1) == '-' || f.at(before-1) == '_') && wordly[f.at(before-2)] ||
		(f.at(after) == '-' || f.at(after) == '_') && wordly[f.at(after+1)]
	return !dashed && n.closed(k)
}

// closed says whether the k-th group ends a number: no letter and no decimals
// follow.
func (n number) closed(k int) bool {
	end := n.groups[k-1].end
	return !wordly[n.f.at(end)] && !(n.f.at(end) == '.' && digits[n.f.at(end+1)])
}

// card returns how many groups make a payment card number, or 0.
func (n number) card() int {
	for k := len(n.groups); k > 0; k-- {
		size := n.size(k)
		if size < 13 || !n.closed(k) || k > 1 && !n.apart(k) {
			continue
		}
		grouped := n.uniform(k, " -") || k == 4 && n.shape(4, 4, 4, 4) && n.uniform(k, ".")
		for i, g := range n.groups[:k] {
			grouped = grouped && (g.end-g.start >= 3 || i == k-1)
		}
		if d := n.digits(k); grouped && issued(d) && luhn(d) {
			return k
		}
	}
	return 0
}

// issued says whether a card scheme issues numbers of this length and start.
func issued(d string) bool {
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

func luhn(d string) bool {
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

// ssn returns 3 if a social security number of the United States stands here.
func (n number) ssn() int {
	if !n.shape(3, 2, 4) || !n.uniform(3, "-") || !n.apart(3) {
		return 0
	}
	d := n.digits(3)
	if d[:3] == "000" || d[:3] == "666" || d[0] == '9' || d[3:5] == "00" || d[5:] == "0000" {
		return 0
	}
	return 3
}
