package redact

import "strings"

// nationalDigits are the digits behind a country code. Countries not listed are
// followed up to the fifteen digits of E.164.
var nationalDigits = map[string]int{
	"1": 10, "7": 10, "27": 9, "31": 9, "32": 9, "33": 9, "34": 9, "41": 9, "44": 10, "45": 8, "46": 9, "47": 8, "48": 9, "61": 9,
	"65": 8, "81": 10, "86": 11, "91": 10, "351": 9, "352": 9, "353": 9, "420": 9,
}

// phone returns how many groups make a telephone number, or 0.
func (n number) phone() int {
	first := n.groups[0]
	start := first.start
	plus := n.f.at(start-1) == '+' && !wordly[n.f.at(start-2)] || n.f.at(start-1) == '(' && n.f.at(start-2) == '+'
	d := n.f.v[start:first.end]
	switch {
	case plus:
		return n.international(0)
	case strings.HasPrefix(d, "00"):
		if k := n.international(2); k > 0 && n.apart(k) {
			return k
		}
	case d[0] == '0' && len(d) > 1:
		if k := n.trunk(); k > 0 {
			return k
		}
	}
	if k := n.american(); k > 0 {
		return k
	}
	return n.announced()
}

// international reads +33 6 12 34 56 78, or with 0033 after skip digits. Without
// a plus only the exact length of a listed country counts.
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
				limit++ // +44 (0)20 …
			}
		}
	}
	for k := len(n.groups); k > 0; k-- {
		size := n.size(k) - skip
		if !n.closed(k) || size < 8 || skip > 0 && (!known || size < limit-1) {
			continue
		}
		if size <= limit || k == 1 && skip == 0 && size <= 15 {
			return k
		}
	}
	return 0
}

// trunk reads national numbers that start with 0: French, British, German,
// Italian, Swiss and their like.
func (n number) trunk() int {
	if n.f.at(n.groups[0].start+1) == '0' {
		return 0
	}
	for _, size := range []int{10, 11, 12, 9} {
		for k := range len(n.groups) + 1 {
			if k > 0 && n.size(k) == size && n.trunkShape(k) && n.apart(k) {
				return k
			}
		}
	}
	return 0
}

func (n number) trunkShape(k int) bool {
	if k == 1 {
		return n.size(1) <= 11 // twelve digits are an AWS account
	}
	if n.shape(2, 2, 4) && n.groups[1].sep != " " {
		return false // a date
	}
	if n.shape(4, 4, 4) && n.groups[1].sep == "-" {
		return false // an AWS account as the console shows it
	}
	zeros := 0
	for i, g := range n.groups[:k] {
		if g.end-g.start < 2 || i > 1 && g.sep != n.groups[k-1].sep {
			return false
		}
		if g.end-g.start > 2 && n.f.v[g.start] == '0' {
			zeros++
		}
	}
	return zeros < k // 0644 0755 0600 are file modes
}

// american reads 555-123-4567, (555) 123-4567 and 1-800-555-1234.
func (n number) american() int {
	g := n.groups
	k := 3
	if n.shape(1, 3, 3, 4) && n.f.v[g[0].start] == '1' {
		g, k = g[1:], 4
	}
	m := number{g, n.f}
	if !m.shape(3, 3, 4) || n.f.v[g[0].start] < '2' || !n.apart(k) {
		return 0
	}
	one, two := g[1].sep, g[2].sep
	if one == "-" && two == "-" || one == "." && two == "." || one[0] == ')' && (two == "-" || two == "." || two == " ") {
		return k
	}
	return 0
}

// phoneWords announce a number that is not one by its looks.
var phoneWords = []struct {
	word  string
	whole bool
}{
	{"phone", false}, {"mobile", false}, {"whatsapp", false}, {"portable", true}, {"msisdn", true}, {"telefon", false}, {"handy", true},
	{"tel", true}, {"cell", true}, {"fax", true}, {"gsm", true}, {"sms", true}, {"tél", true}, {"téléphone", true},
}

// announced reads any number behind a word such as "phone".
func (n number) announced() int {
	if !n.f.phoneBefore(n.groups[0].start) {
		return 0
	}
	for k := len(n.groups); k > 0; k-- {
		size := n.size(k)
		date := size == 8 && (n.shape(8) || n.shape(4, 2, 2)) && strings.HasPrefix(n.digits(k), "20")
		if 7 <= size && size <= 13 && n.closed(k) && !date {
			return k
		}
	}
	return 0
}

// phoneBefore says whether the word before i announces a telephone number:
// "phone: ", "phone_number=", `"mobileNumber": "`, "tel. no. (".
func (f *finder) phoneBefore(i int) bool {
	const punctuation = " \t:=\"'`*#.()+\\-_,"
	text := strings.TrimRight(f.v[max(0, i-40):i], punctuation)
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
		if rest, ok := strings.CutSuffix(text, w.word); ok && (!w.whole || rest == "" || !wordly[rest[len(rest)-1]]) {
			return true
		}
	}
	return false
}
