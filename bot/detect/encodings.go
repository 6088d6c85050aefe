package detect

import (
	"encoding/base64"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
)

// maxEncodings is the maximum number of patterns that windash and expand derive
// from one value.
const maxEncodings = 5000

// expand returns the text with each %name% replaced by each of its values, in all
// combinations.
func (c *compiler) expand(text string, line int) ([]string, error) {
	out := []string{""}
	for {
		start := strings.IndexByte(text, '%')
		end := -1
		if start >= 0 {
			end = strings.IndexByte(text[start+1:], '%')
		}
		if end < 0 {
			break
		}
		name := text[start+1 : start+1+end]
		values := c.placeholders[name]
		if len(values) == 0 {
			return nil, parseErrorf(line, "the placeholder %%%s%% has no value (set it under detection.placeholders or with --placeholder)", name)
		}
		if len(out)*len(values) > maxEncodings {
			return nil, parseErrorf(line, "the placeholders expand to more than %d values", maxEncodings)
		}
		var next []string
		for _, before := range out {
			for _, v := range values {
				next = append(next, before+text[:start]+v)
			}
		}
		out, text = next, text[start+1+end+1:]
	}
	for i := range out {
		out[i] += text
	}
	return out, nil
}

// applyEncodings applies the encoding modifiers in the order of the rule.
func applyEncodings(p pattern, line int, encodings []string) ([]pattern, error) {
	ps := []pattern{p}
	for _, c := range encodings {
		var next []pattern
		for _, p := range ps {
			if c != "windash" && p.hasWildcard() {
				return nil, parseErrorf(line, "a value with wildcards cannot be encoded with %s", c)
			}
			encoded := applyEncoding(p, c)
			if len(encoded)+len(next) > maxEncodings {
				return nil, parseErrorf(line, "%s produces more than %d values", c, maxEncodings)
			}
			next = append(next, encoded...)
		}
		ps = next
	}
	return ps, nil
}

func applyEncoding(p pattern, encoding string) []pattern {
	switch encoding {
	case "windash":
		return windash(p)
	case "base64":
		return []pattern{pattern([]rune(base64.StdEncoding.EncodeToString(p.bytes())))}
	case "base64offset":
		return base64offset(p.bytes())
	}
	// UTF-16. Each byte of the result becomes a rune, because base64 can follow.
	var out pattern
	if encoding == "utf16" {
		out = pattern{0xff, 0xfe}
	}
	for _, u := range utf16.Encode(p) {
		low, high := rune(u&0xff), rune(u>>8)
		if encoding == "utf16be" {
			low, high = high, low
		}
		out = append(out, low, high)
	}
	return []pattern{out.asBytes()}
}

// asBytes marks the runes of p as bytes with rawByte. It changes p.
func (p pattern) asBytes() pattern {
	for i, r := range p {
		if r >= 0x80 {
			p[i] = rawByte | r
		}
	}
	return p
}

// rawByte is a bit outside Unicode. It marks a rune as a byte of UTF-16 text
// instead of a character.
const rawByte rune = 1 << 24

func (p pattern) bytes() []byte {
	var b []byte
	for _, r := range p {
		if r&rawByte != 0 {
			b = append(b, byte(r))
			continue
		}
		b = append(b, string(r)...)
	}
	return b
}

// base64offset encodes the value at each of the three offsets that it can have in
// a longer text. It leaves out the characters that depend on adjacent bytes.
func base64offset(b []byte) []pattern {
	var out []pattern
	for offset := range 3 {
		padded := append(make([]byte, offset), b...)
		text := base64.RawStdEncoding.EncodeToString(padded)
		from := [3]int{0, 2, 3}[offset]
		to := len(padded) / 3 * 4
		switch len(padded) % 3 {
		case 1:
			to++
		case 2:
			to += 2
		}
		if from < to {
			out = append(out, pattern([]rune(text[from:to])))
		}
	}
	return out
}

// windash replaces each dash or slash at the beginning of a word with each of the
// dashes that Windows programs accept.
func windash(p pattern) []pattern {
	out := []pattern{nil}
	word := func(i int) bool {
		return i >= 0 && i < len(p) && (p[i] == '_' || p[i] > 0 && (unicode.IsLetter(p[i]) || unicode.IsDigit(p[i])))
	}
	for i, r := range p {
		dashes := []rune{r}
		if (r == '-' || r == '/') && !word(i-1) && word(i+1) {
			dashes = []rune("-/–—―")
		}
		var next []pattern
		for _, before := range out {
			for _, d := range dashes {
				if len(next) <= maxEncodings {
					next = append(next, append(slices.Clone(before), d))
				}
			}
		}
		out = next
	}
	return out
}
