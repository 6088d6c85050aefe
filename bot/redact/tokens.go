package redact

import (
	"math"
	"strings"
)

// prefixed are secrets with a known prefix.
var prefixed = []struct {
	prefix string
	chars  *bytes256
	min    int // minimum number of characters after the prefix
}{
	{"xoxb-", urlsafe, 10}, {"xoxp-", urlsafe, 10}, {"xoxa-", urlsafe, 10}, {"xoxr-", urlsafe, 10}, {"xoxs-", urlsafe, 10},
	{"xoxe-", urlsafe, 10}, {"xoxe.", urlsafeDot, 10}, {"xoxc-", urlsafe, 10}, {"xoxd-", tokenChars, 10}, {"xapp-", urlsafe, 10},
	{"ghp_", urlsafe, 20}, {"gho_", urlsafe, 20}, {"ghu_", urlsafe, 20}, {"ghs_", urlsafe, 20}, {"ghr_", urlsafe, 20},
	{"github_pat_", urlsafe, 20}, {"glpat-", urlsafeDot, 16}, {"gldt-", urlsafe, 16}, {"glrt-", urlsafe, 16},
	{"sk_live_", urlsafe, 10}, {"sk_test_", urlsafe, 10}, {"rk_live_", urlsafe, 10}, {"rk_test_", urlsafe, 10}, {"whsec_", base64s, 16},
	{"sk-ant-", urlsafe, 16}, {"sk-proj-", urlsafe, 16}, {"sk-", alnum, 32},
	{"AIza", urlsafe, 35}, {"ya29.", urlsafeDot, 20}, {"GOCSPX-", urlsafe, 20}, {"1//0", urlsafe, 30},
	{"SG.", urlsafeDot, 40}, {"npm_", alnum, 30}, {"pypi-AgEI", urlsafe, 30}, {"dop_v1_", alnum, 40}, {"hvs.", urlsafeDot, 20},
	{"shpat_", alnum, 30}, {"NRAK-", alnum, 20}, {"lin_api_", alnum, 20}, {"dckr_pat_", urlsafe, 20}, {"xkeysib-", urlsafe, 30},
	{"sntrys_", tokenChars, 20}, {"sntryu_", alnum, 20}, {"tskey-", urlsafe, 16}, {"AGE-SECRET-KEY-1", alnum, 30},
	{"IQoJb3JpZ2lu", base64s, 60}, {"FwoGZXIvYXdz", base64s, 60}, {"FQoGZXIvYXdz", base64s, 60}, // AWS session tokens
}

// byFirst indexes prefixed by the first byte.
var byFirst = func() (m [256][]int) {
	for i, p := range prefixed {
		m[p.prefix[0]] = append(m[p.prefix[0]], i)
	}
	return m
}()

// wordRules tries the rules for prefixed tokens, JWTs, IBANs and identity numbers
// at the start of every word.
func (f *finder) wordRules() {
	for i := 0; i < len(f.text); i++ {
		if !alnum[f.text[i]] || i > 0 && wordChars[f.text[i-1]] {
			continue
		}
		if end := f.prefixedToken(i); end > i {
			f.add(i, end, kindSecret)
			i = end - 1
		} else if end := f.jwt(i); end > i {
			f.add(i, end, kindSecret)
			i = end - 1
		} else if end := f.iban(i); end > i {
			f.add(i, end, kindIBAN)
			i = end - 1
		} else if end := f.nir(i); end > i {
			f.add(i, end, kindNationalID)
			i = end - 1
		} else if start, end := f.namedID(i); end > start {
			f.add(start, end, kindNationalID)
			i = end - 1
		}
	}
}

func (f *finder) prefixedToken(i int) int {
	for _, n := range byFirst[f.text[i]] {
		p := prefixed[n]
		if !strings.HasPrefix(f.text[i:], p.prefix) {
			continue
		}
		from := i + len(p.prefix)
		if end := f.run(from, p.chars); end-from >= p.min {
			return end
		}
	}
	return 0
}

// jwt returns the end of the JSON Web Token that starts at i, or 0. It requires
// at least a header and a payload in base64url.
func (f *finder) jwt(i int) int {
	if !strings.HasPrefix(f.text[i:], "eyJ") {
		return 0
	}
	if i >= f.segmentEnd {
		f.segmentEnd = f.run(i, urlsafe)
	}
	end := f.segmentEnd
	if f.byteAt(end) != '.' || end-i < 8 || f.run(end+1, urlsafe)-end <= 8 {
		return 0
	}
	return f.run(i, urlsafeDot)
}

// privateKeys finds PEM and PGP private keys, even if the end is missing.
func (f *finder) privateKeys() {
	const begin, label, end = "-----BEGIN ", "PRIVATE KEY", "-----END "
	noEnd := false
	for i := 0; ; {
		j := strings.Index(f.text[i:], begin)
		if j < 0 {
			return
		}
		i += j
		head := f.text[i:min(len(f.text), i+80)]
		from := i
		i += len(begin)
		if !strings.Contains(head, label) {
			continue
		}
		stop := len(f.text)
		if !noEnd {
			if k := strings.Index(f.text[i:], end); k >= 0 {
				stop = i + k + len(end)
				if k := strings.Index(f.text[stop:min(len(f.text), stop+80)], "-----"); k >= 0 {
					stop += k + len("-----")
				}
			} else {
				noEnd = true
			}
		}
		f.add(from, stop, kindSecret)
		i = stop
	}
}

// userinfo finds the password in scheme://user:password@host. It also finds a
// secret in place of the user, as in a Sentry DSN.
func (f *finder) userinfo() {
	for i := 0; ; {
		j := strings.Index(f.text[i:], "://")
		if j < 0 {
			return
		}
		i += j + len("://")
		end, host := i, -1
		for end < len(f.text) && strings.IndexByte(" \t\r\n\"'<>`", f.text[end]) < 0 && !strings.HasPrefix(f.text[end:], "://") {
			if host < 0 && strings.IndexByte("/?#", f.text[end]) >= 0 {
				host = end
			}
			end++
		}
		if host < 0 {
			host = end
		}
		authority := f.text[i:host]
		colon := strings.IndexByte(authority, ':')
		at := strings.LastIndexByte(authority, '@')
		if at < 0 && colon >= 0 && f.run(i+colon+1, digits) < host {
			// a password with a slash, because a port has only digits
			at = strings.LastIndexByte(f.text[i:end], '@')
		}
		switch {
		case at < 0:
		case colon >= 0 && colon < at:
			f.add(i+colon+1, i+at, kindSecret)
			f.userAts = append(f.userAts, i+at)
		case at >= 16 && looksRandom(f.text[i:i+at]):
			f.add(i, i+at, kindSecret)
			f.userAts = append(f.userAts, i+at)
		}
		i = max(i, end)
	}
}

// secretURLs are prefixes of URLs with a secret path.
var secretURLs = []string{
	"hooks.slack.com/", "discord.com/api/webhooks/", "discordapp.com/api/webhooks/", "api.telegram.org/bot",
	"events.pagerduty.com/integration/", "webhook.office.com/",
}

// webhookURLs finds the secret path elements of webhook URLs.
func (f *finder) webhookURLs() {
	for _, u := range secretURLs {
		for i := 0; ; {
			j := strings.Index(f.text[i:], u)
			if j < 0 {
				break
			}
			i += j + len(u)
			for {
				end := f.run(i, webhookChars)
				if end-i >= 16 && f.run(i, digits) < end {
					f.add(i, end, kindSecret)
				}
				i = end
				if f.byteAt(i) != '/' {
					break
				}
				i++
			}
		}
	}
}

var webhookChars = setOf(":@", urlsafe)

// awsSecretKeys finds AWS secret access keys by format. They are forty base64
// characters with a higher entropy than hashes or words.
func (f *finder) awsSecretKeys() {
	const length, entropy = 40, 4.25
	for i := 0; i < len(f.text); {
		if !base64s[f.text[i]] {
			i++
			continue
		}
		end := f.run(i, base64s)
		before, after := f.byteAt(i-1), f.byteAt(end)
		if end-i == length && before != '-' && before != '_' && after != '-' && after != '_' && after != '=' && entropyBits(f.text[i:end]) >= entropy {
			f.add(i, end, kindSecret)
		}
		i = end
	}
}

// entropyBits returns the entropy of v in bits per character. It returns 0 if v
// has no lower-case letter, no upper-case letter or no digit.
func entropyBits(v string) float64 {
	var count [256]int
	small, capital, digit := false, false, false
	for i := range len(v) {
		c := v[i]
		count[c]++
		small = small || 'a' <= c && c <= 'z'
		capital = capital || 'A' <= c && c <= 'Z'
		digit = digit || digits[c]
	}
	if !small || !capital || !digit {
		return 0
	}
	sum := 0.0
	for _, n := range count {
		if n > 0 {
			p := float64(n) / float64(len(v))
			sum -= p * math.Log2(p)
		}
	}
	return sum
}

// isAccessKeyID reports whether v is the public ID of an AWS key or principal.
func isAccessKeyID(v string) bool {
	if len(v) < 16 || len(v) > 24 || v[0] != 'A' {
		return false
	}
	for i := range len(v) {
		if !digits[v[i]] && (v[i] < 'A' || v[i] > 'Z') {
			return false
		}
	}
	switch v[:4] {
	case "AKIA", "ASIA", "AIDA", "AROA", "AGPA", "ANPA", "ANVA", "ABIA", "ACCA":
		return true
	}
	return false
}
