package redact

import "strings"

// idWords are the words before an identity number, in lower case. The rules for
// numbers know few national formats, so the word decides.
var idWords = []string{
	"ssn", "social security number", "social security no", "social security", "nir", "insee", "sécurité sociale", "numéro de sécu", "secu", "sécu",
	"national id", "national-id", "national_id", "nationalid", "national insurance number", "national insurance", "nino", "nhs number", "tax id", "tax-id", "tax_id", "taxid",
	"passport number", "passport no", "passport", "passeport", "reisepass", "personalausweis", "steuer-id", "steueridentifikationsnummer", "sozialversicherungsnummer",
	"dni", "nie", "nif", "codice fiscale", "cpf", "cnpj", "bsn", "pesel", "personnummer", "itin", "aadhaar", "identity number", "identity card number", "id card number",
}

// idWordsByFirst indexes idWords by the first byte, in the same order.
var idWordsByFirst = func() (m [256][]string) {
	for _, w := range idWords {
		m[w[0]] = append(m[w[0]], w)
	}
	return m
}()

// namedID returns the identity number after a word such as "SSN" at i, or an empty
// range. It has 6 to 20 letters and digits, at least six of them digits, and each of
// its groups contains a digit or is one letter.
func (f *finder) namedID(i int) (int, int) {
	for _, w := range idWordsByFirst[lower(f.text[i])] {
		end := i + len(w)
		if end > len(f.text) || !strings.EqualFold(f.text[i:end], w) || wordChars[f.byteAt(end)] {
			continue
		}
		from := end
		for n := 0; n < 6 && strings.IndexByte(" \t:=#\"'*`.", f.byteAt(from)) >= 0; n++ {
			from++
		}
		if to := f.idEnd(from); from > end && to > from {
			return from, to
		}
	}
	return 0, 0
}

// idEnd returns the end of the identity number at i, or 0.
func (f *finder) idEnd(i int) int {
	end, count, numbers := i, 0, 0
	var sizes []int
	for at := i; ; {
		to := f.run(at, alnum)
		n := 0
		for _, c := range []byte(f.text[at:min(to, at+24)]) {
			if digits[c] {
				n++
			}
		}
		if to == at || to-at > 20 || n == 0 && to-at > 1 || count+to-at > 20 {
			break
		}
		end, count, numbers = to, count+to-at, numbers+n
		sizes = append(sizes, to-at)
		if c := f.byteAt(to); c != ' ' && c != '-' && c != '.' && c != '/' || !alnum[f.byteAt(to+1)] {
			break
		}
		at = to + 1
	}
	date := len(sizes) >= 3 && sizes[0] == 4 && sizes[1] == 2 && sizes[2] >= 2
	if numbers < 6 || date || wordChars[f.byteAt(end)] {
		return 0
	}
	return end
}
