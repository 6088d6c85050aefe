package mailtext

import (
	"slices"
	"strconv"
	"strings"
)

// maxParameters is the maximum number of parameters of a header value that are read.
const maxParameters = 100

// Params splits a header value such as Content-Type into its first word in lower case and
// its parameters. It accepts values without quotes that contain spaces, quotes without an
// end, encoded words, and parameters in parts with a charset (RFC 2231).
func Params(value string) (word string, params map[string]string) {
	word, rest, _ := strings.Cut(value, ";")
	if fields := strings.Fields(word); len(fields) > 0 {
		word = fields[0]
		if len(fields) > 1 && strings.Contains(fields[1], "=") { // the semicolon is missing
			rest = strings.Join(fields[1:], " ") + ";" + rest
		}
	} else {
		word = ""
	}
	params = map[string]string{}
	type piece struct {
		n       int
		text    string
		encoded bool
	}
	pieces := map[string][]piece{}
	for n := 0; n < maxParameters && rest != ""; n++ {
		var key, v string
		key, v, rest = nextParam(rest)
		if key == "" || v == "" {
			continue
		}
		name, suffix, continued := strings.Cut(key, "*")
		if !continued {
			if _, known := params[key]; !known {
				params[key] = Words(v)
			}
			continue
		}
		number, encoded := strings.CutSuffix(suffix, "*")
		encoded = encoded || suffix == ""
		at, _ := strconv.Atoi(number)
		pieces[name] = append(pieces[name], piece{at, v, encoded})
	}
	for name, list := range pieces {
		slices.SortStableFunc(list, func(a, b piece) int { return a.n - b.n })
		charset := ""
		var raw []byte
		for n, p := range list {
			if n == 0 && p.encoded {
				if parts := strings.SplitN(p.text, "'", 3); len(parts) == 3 {
					charset, p.text = parts[0], parts[2]
				}
			}
			if p.encoded {
				raw = append(raw, percentDecode(p.text)...)
			} else {
				raw = append(raw, p.text...)
			}
		}
		params[name], _ = Charset(raw, charset)
	}
	return strings.ToLower(word), params
}

// nextParam reads the first parameter of s.
func nextParam(s string) (key, value, rest string) {
	s = strings.TrimLeft(s, "; \t\r\n")
	equals := strings.IndexAny(s, "=;")
	if equals < 0 {
		return "", "", ""
	}
	if s[equals] == ';' {
		return "", "", s[equals+1:]
	}
	key = strings.ToLower(strings.TrimSpace(s[:equals]))
	s = strings.TrimLeft(s[equals+1:], " \t\r\n")
	if !strings.HasPrefix(s, `"`) {
		value, rest, _ = strings.Cut(s, ";")
		return key, strings.Trim(strings.TrimSpace(value), `"`), rest
	}
	var b strings.Builder
	for n := 1; n < len(s); n++ {
		switch {
		case s[n] == '\\' && n+1 < len(s):
			n++
			b.WriteByte(s[n])
		case s[n] == '"':
			return key, b.String(), s[n+1:]
		default:
			b.WriteByte(s[n])
		}
	}
	value, rest, _ = strings.Cut(s[1:], ";") // the quote has no end
	return key, strings.TrimSpace(value), rest
}

func percentDecode(s string) []byte {
	out := make([]byte, 0, len(s))
	for n := 0; n < len(s); n++ {
		if s[n] == '%' && n+2 < len(s) {
			if high, low := hexValue(s[n+1]), hexValue(s[n+2]); high >= 0 && low >= 0 {
				out = append(out, byte(high<<4|low))
				n += 2
				continue
			}
		}
		out = append(out, s[n])
	}
	return out
}
