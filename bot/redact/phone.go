package redact

import "strings"

// nationalDigits are the numbers of digits after a country code. Numbers of
// other countries have up to the 15 digits of E.164.
var nationalDigits = map[string]int{
	"1": 10, "7": 10, "27": 9, "31": 9, "32": 9, "33": 9, "34": 9, "41": 9, "44": 10, "45": 8, "46": 9, "47": 8, "48": 9, "61": 9,
	"65": 8, "81": 10, "86": 11, "91": 10, "351": 9, "352": 9, "353": 9, "420": 9,
}

// phone returns the number of groups that form a phone number, or 0.
func (n number) phone() int {
	first := n.groups[0]
	start := first.start
	plus := n.f.byteAt(start-1) == '+' && !wordChars[n.f.byteAt(start-2)] || n.f.byteAt(start-1) == '(' && n.f.byteAt(start-2) == '+'
	d := n.f.text[start:first.end]
	switch {
	case plus:
		return n.international(0)
	case strings.HasPrefix(d, "00"):
		if k := n.international(2); k > 0 && n.isSeparate(k) {
			return k
		}
	case d[0] == '0' && len(d) > 1:
		if k := n.national(); k > 0 {
			return k
		}
	}
	if k := n.northAmerican(); k > 0 {
		return k
	}
	return n.afterPhoneWord()
}

// international matches +33 6 12 34 56 78, or the form with 0033 if skip is 2.
// Without a plus the country must be listed and the length must match.
func (n number) international(skip int) int {
	d := n.digits(len(n.groups))[skip:]
	if len(d) == 0 || d[0] == '0' {
		return 0
	}
	limit, known := 15, false
	for cc := 1; cc <= 3 && cc <= len(d); cc++ {
		if digits, ok := nationalDigits[d[:cc]]; ok {
			limit, known = cc+digits, true
			if len(d) > cc && d[cc] == '0' {
				limit++ // trunk zero, as in +44 (0)20 …
			}
		}
	}
	for k := len(n.groups); k > 0; k-- {
		size := n.digitCount(k) - skip
		if !n.endsNumber(k) || size < 8 || skip > 0 && (!known || size < limit-1) {
			continue
		}
		if size <= limit || k == 1 && skip == 0 && size <= 15 {
			return k
		}
	}
	return 0
}

// national matches numbers with a leading 0, as in France, Britain, Germany,
// Italy and Switzerland.
func (n number) national() int {
	if n.f.byteAt(n.groups[0].start+1) == '0' {
		return 0
	}
	for _, size := range []int{10, 11, 12, 9} {
		for k := range len(n.groups) + 1 {
			if k > 0 && n.digitCount(k) == size && n.nationalShape(k) && n.isSeparate(k) {
				return k
			}
		}
	}
	return 0
}

func (n number) nationalShape(k int) bool {
	if k == 1 {
		return n.digitCount(1) <= 11 // twelve digits are an AWS account
	}
	if n.hasShape(2, 2, 4) && n.groups[1].sep != " " {
		return false // a date
	}
	if n.hasShape(4, 4, 4) && n.groups[1].sep == "-" {
		return false // an AWS account in the format of the console
	}
	zeros := 0
	for i, g := range n.groups[:k] {
		if g.end-g.start < 2 || i > 1 && g.sep != n.groups[k-1].sep {
			return false
		}
		if g.end-g.start > 2 && n.f.text[g.start] == '0' {
			zeros++
		}
	}
	return zeros < k // 0644 0755 0600 are file modes
}

// northAmerican matches 555-123-4567, (555) 123-4567 and 1-800-555-1234.
func (n number) northAmerican() int {
	g := n.groups
	k := 3
	if n.hasShape(1, 3, 3, 4) && n.f.text[g[0].start] == '1' {
		g, k = g[1:], 4
	}
	m := number{g, n.f}
	if !m.hasShape(3, 3, 4) || n.f.text[g[0].start] < '2' || !n.isSeparate(k) {
		return 0
	}
	one, two := g[1].sep, g[2].sep
	if one == "-" && two == "-" || one == "." && two == "." || one[0] == ')' && (two == "-" || two == "." || two == " ") {
		return k
	}
	return 0
}

// phoneWords mark a following number as a phone number in any format.
var phoneWords = []struct {
	word  string
	whole bool
}{
	{"phone", false}, {"mobile", false}, {"whatsapp", false}, {"portable", true}, {"msisdn", true}, {"telefon", false}, {"handy", true},
	{"tel", true}, {"cell", true}, {"fax", true}, {"gsm", true}, {"sms", true}, {"tél", true}, {"téléphone", true},
}

// afterPhoneWord matches any number of 7 to 13 digits after a word such as
// "phone".
func (n number) afterPhoneWord() int {
	if !n.f.phoneWordBefore(n.groups[0].start) {
		return 0
	}
	for k := len(n.groups); k > 0; k-- {
		size := n.digitCount(k)
		date := size == 8 && (n.hasShape(8) || n.hasShape(4, 2, 2)) && strings.HasPrefix(n.digits(k), "20")
		if 7 <= size && size <= 13 && n.endsNumber(k) && !date {
			return k
		}
	}
	return 0
}

// phoneWordBefore reports whether the word before i marks a phone number, as in
// "phone: ", "phone_number=", `"mobileNumber": "` or "tel. no. (".
func (f *finder) phoneWordBefore(i int) bool {
	const punctuation = " \t:=\"'`*#.()+\\-_,"
	text := strings.TrimRight(f.text[max(0, i-40):i], punctuation)
	if text == "" || digits[text[len(text)-1]] {
		return false
	}
	text = strings.ToLower(text)
	for _, w := range []string{"number", "no", "nr", "num"} {
		if rest, ok := strings.CutSuffix(text, w); ok {
			text = strings.TrimRight(rest, punctuation)
			break
		}
	}
	for _, w := range phoneWords {
		if rest, ok := strings.CutSuffix(text, w.word); ok && (!w.whole || rest == "" || !wordChars[rest[len(rest)-1]]) {
			return true
		}
	}
	return false
}
