package redact

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

var (
	localPart  = setOf("._+-", wordChars)
	domainPart = setOf(".-", wordChars)
	// localInner are the characters that are part of a local part only between
	// letters and digits, because they also enclose addresses in texts. The
	// characters / ? = and | are not in it: they precede addresses in URLs, ARNs and
	// links.
	localInner = setOf("'!#$%&*^`{}~")
)

// emails finds mail addresses, except those in keep.
func (f *finder) emails(keep map[string]bool) {
	from := 0
	for i := 0; ; {
		j := strings.IndexByte(f.text[i:], '@')
		if j < 0 {
			return
		}
		at := i + j
		i = at + 1
		for len(f.userAts) > 0 && f.userAts[0] < at {
			f.userAts = f.userAts[1:]
		}
		start, end := f.localStart(from, at), f.domainEnd(i)
		from = i
		host := len(f.userAts) > 0 && f.userAts[0] == at
		if start == at || end == i || host || strings.EqualFold(f.text[start:at], "git") {
			continue // git@github.com:owner/repository is not an address of a person
		}
		address, domain := strings.ToLower(f.text[start:end]), strings.ToLower(f.text[i:end])
		if !keep[address] && !keep[domain] {
			f.add(start, end, kindEmail)
		}
		i, from = end, end
	}
}

// localStart returns the start of the local part before at, at least floor.
func (f *finder) localStart(floor, at int) int {
	start := at
	if f.byteAt(at-1) == '"' && at-1 > floor {
		if q := strings.LastIndexByte(f.text[max(floor, at-66):at-1], '"'); q >= 0 {
			return max(floor, at-66) + q
		}
	}
	for start > floor {
		c := f.text[start-1]
		inner := localInner[c] && start < at && wordChars[f.text[start]] && start-1 > floor && wordChars[f.text[start-2]]
		if !localPart[c] && !inner {
			break
		}
		start--
	}
	for start < at && !wordChars[f.text[start]] {
		start++ // _emphasis_ and list dashes
	}
	return start
}

// domainEnd returns the end of the mail domain that starts at i. It returns i
// if there is no domain with a dot and a last label that does not start with a
// digit.
func (f *finder) domainEnd(i int) int {
	if !wordChars[f.byteAt(i)] {
		return i
	}
	end := f.run(i, domainPart)
	for end > i {
		for !wordChars[f.text[end-1]] {
			end--
		}
		dot := strings.LastIndexByte(f.text[i:end], '.')
		if dot < 0 {
			return i
		}
		if label := f.text[i+dot+1 : end]; len(label) > 1 && !digits[label[0]] {
			return end
		}
		end = i + dot
	}
	return i
}

// literals finds the literals that occur as whole words. For example "Ann" does
// not match in "Announcement".
func (f *finder) literals(texts []string) {
	for _, text := range texts {
		first, _ := utf8.DecodeRuneInString(text)
		last, _ := utf8.DecodeLastRuneInString(text)
		for i := 0; ; {
			j := strings.Index(f.text[i:], text)
			if j < 0 {
				break
			}
			start, end := i+j, i+j+len(text)
			before, _ := utf8.DecodeLastRuneInString(f.text[:start])
			after, _ := utf8.DecodeRuneInString(f.text[end:])
			i = start + 1
			glued := isWordRune(first) && isWordRune(before) || isWordRune(last) && isWordRune(after)
			if !glued {
				f.add(start, end, kindLiteral)
				i = end
			}
		}
	}
}

func isWordRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// ibanLengths are the lengths of IBANs by country code.
var ibanLengths = func() map[string]int {
	m := map[string]int{}
	for _, c := range strings.Fields(`AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28
		EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28
		LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22
		RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30`) {
		m[c[:2]] = int(c[2]-'0')*10 + int(c[3]-'0')
	}
	return m
}()

// iban returns the end of the IBAN that starts at i, or 0. It checks the country
// code and the length of ISO 13616. A number that is written in groups of four,
// or after the word IBAN, may have wrong check digits, as with a typing error.
func (f *finder) iban(i int) int {
	if !letters[f.byteAt(i)] || !letters[f.byteAt(i+1)] || !digits[f.byteAt(i+2)] || !digits[f.byteAt(i+3)] {
		return 0
	}
	length := ibanLengths[strings.ToUpper(f.text[i:i+2])]
	if length == 0 {
		return 0
	}
	chars, end := f.readGrouped(i, length, alnum)
	if len(chars) < length || wordChars[f.byteAt(end)] {
		return 0
	}
	rest := 0
	for _, c := range append(chars[4:], chars[:4]...) {
		if digits[c] {
			rest = (rest*10 + int(c-'0')) % 97
		} else {
			rest = (rest*100 + int(lower(c)-'a') + 10) % 97
		}
	}
	if rest != 1 && !f.inFours(i, end) && !f.wordBefore(i, "iban") {
		return 0
	}
	return end
}

// inFours reports whether the text is in groups of four, with one kind of blank or
// dash between them. The last group may be shorter.
func (f *finder) inFours(i, end int) bool {
	sep := f.byteAt(i + 4)
	if sep != ' ' && sep != '-' {
		return false
	}
	for n := i; n < end; n++ {
		if ((n-i)%5 == 4) != (f.text[n] == sep) {
			return false
		}
	}
	return true
}

// wordBefore reports whether word precedes i. At most four blanks, quotes or
// punctuation marks may be between them.
func (f *finder) wordBefore(i int, word string) bool {
	for n := 0; n < 4 && strings.IndexByte(" \t:=#.\"'*`", f.byteAt(i-1)) >= 0; n++ {
		i--
	}
	from := i - len(word)
	return from >= 0 && strings.EqualFold(f.text[from:i], word) && !wordChars[f.byteAt(from-1)]
}

// readGrouped reads n bytes of set from i on, with single blanks, dashes or
// dots between them. It returns these bytes and the end of the text read.
func (f *finder) readGrouped(i, n int, set *bytes256) ([]byte, int) {
	var chars []byte
	for len(chars) < n {
		c := f.byteAt(i)
		if (c == ' ' || c == '-' || c == '.') && len(chars) > 0 {
			i++
			c = f.byteAt(i)
		}
		if !set[c] {
			break
		}
		chars = append(chars, c)
		i++
	}
	return chars, i
}

// nir returns the end of the French social security number that starts at i, or
// 0. It checks the month and the check digits. Corsican departments are written
// 2A and 2B. A number in the usual groups may have wrong check digits or none.
func (f *finder) nir(i int) int {
	if c := f.byteAt(i); c != '1' && c != '2' {
		return 0
	}
	if f.byteAt(i-1) == '.' && digits[f.byteAt(i-2)] {
		return 0 // decimals of a number
	}
	if end := f.nirShape(i); end > i {
		return end
	}
	chars, end := f.readGrouped(i, 15, nirChars)
	if len(chars) < 15 || wordChars[f.byteAt(end)] {
		return 0
	}
	n, corsica := 0, 0
	for j, c := range chars {
		switch {
		case digits[c]:
		case j == 6 && lower(c) == 'a' && chars[5] == '2':
			c, corsica = '0', 1_000_000
		case j == 6 && chars[5] == '2':
			c, corsica = '0', 2_000_000
		default:
			return 0
		}
		if j < 13 {
			n = n*10 + int(c-'0')
		}
	}
	month := int(chars[3]-'0')*10 + int(chars[4]-'0')
	check := int(chars[13]-'0')*10 + int(chars[14]-'0')
	if month == 0 || 12 < month && month < 20 || 42 < month && month < 50 || 97-(n-corsica)%97 != check {
		return 0
	}
	return end
}

var nirChars = setOf("abAB", digits)

// nirShape returns the end of a number at i in the groups of a French social
// security number, "1 85 05 78 006 084 91", or 0. The check digits may be missing.
func (f *finder) nirShape(i int) int {
	sep, end := f.byteAt(i+1), 0
	if sep != ' ' && sep != '-' && sep != '.' {
		return 0
	}
	at := i + 1
	for n, size := range [...]int{2, 2, 2, 3, 3, 2} {
		if f.byteAt(at) != sep {
			break
		}
		to := f.run(at+1, nirChars)
		if to-at-1 != size {
			break
		}
		at = to
		if n >= 4 {
			end = to
		}
	}
	if end == 0 || wordChars[f.byteAt(end)] {
		return 0
	}
	return end
}
