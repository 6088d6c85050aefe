package redact

import (
	"math"
	"strings"
)

// prefixed are the secrets that name themselves.
var prefixed = []struct {
	prefix string
	chars  *bytes256
	min    int // characters after the prefix
}{
	{"xoxb-", urlsafe, 10}, {"xoxp-", urlsafe, 10}, {"xoxa-", urlsafe, 10}, {"xoxr-", urlsafe, 10}, {"xoxs-", urlsafe, 10},
	{"xoxe-", urlsafe, 10}, {"xoxe.", dotted, 10}, {"xoxc-", urlsafe, 10}, {"xoxd-", anyToken, 10}, {"xapp-", urlsafe, 10},
	{"ghp_", urlsafe, 20}, {"gho_", urlsafe, 20}, {"ghu_", urlsafe, 20}, {"ghs_", urlsafe, 20}, {"ghr_", urlsafe, 20},
	{"github_pat_", urlsafe, 20}, {"glpat-", dotted, 16}, {"gldt-", urlsafe, 16}, {"glrt-", urlsafe, 16},
	{"sk_live_", urlsafe, 10}, {"sk_test_", urlsafe, 10}, {"rk_live_", urlsafe, 10}, {"rk_test_", urlsafe, 10}, {"whsec_", base64s, 16},
	{"sk-ant-", urlsafe, 16}, {"sk-proj-", urlsafe, 16}, {"sk-", alnum, 32},
	{"AIza", urlsafe, 35}, {"ya29.", dotted, 20}, {"GOCSPX-", urlsafe, 20}, {"1//0", urlsafe, 30},
	{"SG.", dotted, 40}, {"npm_", alnum, 30}, {"pypi-AgEI", urlsafe, 30}, {"dop_v1_", alnum, 40}, {"hvs.", dotted, 20},
	{"shpat_", alnum, 30}, {"NRAK-", alnum, 20}, {"lin_api_", alnum, 20}, {"dckr_pat_", urlsafe, 20}, {"xkeysib-", urlsafe, 30},
	{"sntrys_", anyToken, 20}, {"sntryu_", alnum, 20}, {"tskey-", urlsafe, 16}, {"AGE-SECRET-KEY-1", alnum, 30},
	{"IQoJb3JpZ2lu", base64s, 60}, {"FwoGZXIvYXdz", base64s, 60}, {"FQoGZXIvYXdz", base64s, 60}, // AWS session tokens
}

// byFirst indexes prefixed by the first byte.
var byFirst = func() (m [256][]int) {
	for i, p := range prefixed {
		m[p.prefix[0]] = append(m[p.prefix[0]], i)
	}
	return m
}()

// words looks at every start of a word for what can be told from there.
func (f *finder) words() {
	for i := 0; i < len(f.v); i++ {
		if !alnum[f.v[i]] || i > 0 && wordly[f.v[i-1]] {
			continue
		}
		if end := f.prefixedToken(i); end > i {
			f.add(i, end, aSecret)
			i = end - 1
		} else if end := f.jwt(i); end > i {
			f.add(i, end, aSecret)
			i = end - 1
		} else if end := f.iban(i); end > i {
			f.add(i, end, anIBAN)
			i = end - 1
		} else if end := f.nir(i); end > i {
			f.add(i, end, aNationalID)
			i = end - 1
		}
	}
}

func (f *finder) prefixedToken(i int) int {
	for _, n := range byFirst[f.v[i]] {
		p := prefixed[n]
		if !strings.HasPrefix(f.v[i:], p.prefix) {
			continue
		}
		from := i + len(p.prefix)
		if end := f.run(from, p.chars); end-from >= p.min {
			return end
		}
	}
	return 0
}

// jwt returns the end of the JSON Web Token that starts at i: a header and a
// payload at least, in base64url.
func (f *finder) jwt(i int) int {
	if !strings.HasPrefix(f.v[i:], "eyJ") {
		return 0
	}
	if i >= f.segment {
		f.segment = f.run(i, urlsafe)
	}
	end := f.segment
	if f.at(end) != '.' || end-i < 8 || f.run(end+1, urlsafe)-end <= 8 {
		return 0
	}
	return f.run(i, dotted)
}

// privateKeys finds PEM and PGP private keys, also those whose end is cut off.
func (f *finder) privateKeys() {
	const begin, label, end = "-----BEGIN ", "PRIVATE KEY", "-----END "
	noEnd := false
	for i := 0; ; {
		j := strings.Index(f.v[i:], begin)
		if j < 0 {
			return
		}
		i += j
		head := f.v[i:min(len(f.v), i+80)]
		from := i
		i += len(begin)
		if !strings.Contains(head, label) {
			continue
		}
		stop := len(f.v)
		if !noEnd {
			if k := strings.Index(f.v[i:], end); k >= 0 {
				stop = i + k + len(end)
				if k := strings.Index(f.v[stop:min(len(f.v), stop+80)], "-----"); k >= 0 {
					stop += k + len("-----")
				}
			} else {
				noEnd = true
			}
		}
		f.add(from, stop, aSecret)
		i = stop
	}
}

// userinfo finds the password of scheme://user:password@host, and a secret that
// stands for the user, as in a Sentry DSN.
func (f *finder) userinfo() {
	for i := 0; ; {
		j := strings.Index(f.v[i:], "://")
		if j < 0 {
			return
		}
		i += j + len("://")
		end, host := i, -1
		for end < len(f.v) && strings.IndexByte(" \t\r\n\"'<>`", f.v[end]) < 0 && !strings.HasPrefix(f.v[end:], "://") {
			if host < 0 && strings.IndexByte("/?#", f.v[end]) >= 0 {
				host = end
			}
			end++
		}
		if host < 0 {
			host = end
		}
		authority := f.v[i:host]
		colon := strings.IndexByte(authority, ':')
		at := strings.LastIndexByte(authority, '@')
		if at < 0 && colon >= 0 && f.run(i+colon+1, digits) < host {
			// not a port: a password with a slash in it
			at = strings.LastIndexByte(f.v[i:end], '@')
		}
		switch {
		case at < 0:
		case colon >= 0 && colon < at:
			f.add(i+colon+1, i+at, aSecret)
			f.userAts = append(f.userAts, i+at)
		case at >= 16 && random(f.v[i:i+at]):
			f.add(i, i+at, aSecret)
			f.userAts = append(f.userAts, i+at)
		}
		i = max(i, end)
	}
}

// secretURLs are the addresses whose path is the secret.
var secretURLs = []string{
	"hooks.slack.com/", "discord.com/api/webhooks/", "discordapp.com/api/webhooks/", "api.telegram.org/bot",
	"events.pagerduty.com/integration/", "webhook.office.com/",
}

// hooks finds the secret parts of webhook addresses.
func (f *finder) hooks() {
	for _, u := range secretURLs {
		for i := 0; ; {
			j := strings.Index(f.v[i:], u)
			if j < 0 {
				break
			}
			i += j + len(u)
			for {
				end := f.run(i, hookPart)
				if end-i >= 16 && f.run(i, digits) < end {
					f.add(i, end, aSecret)
				}
				i = end
				if f.at(i) != '/' {
					break
				}
				i++
			}
		}
	}
}

var hookPart = setOf(":@", urlsafe)

// awsSecretKeys finds AWS secret access keys by their looks: forty characters
// of base64 that are neither a hash nor words.
func (f *finder) awsSecretKeys() {
	const length, entropy = 40, 4.25
	for i := 0; i < len(f.v); {
		if !base64s[f.v[i]] {
			i++
			continue
		}
		end := f.run(i, base64s)
		before, after := f.at(i-1), f.at(end)
		if end-i == length && before != '-' && before != '_' && after != '-' && after != '_' && after != '=' && bits(f.v[i:end]) >= entropy {
			f.add(i, end, aSecret)
		}
		i = end
	}
}

// bits returns the entropy of v per character, or 0 if v lacks small letters,
// capitals or digits.
func bits(v string) float64 {
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
