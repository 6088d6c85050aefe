package redact

import "strings"

// secretKeys are suffixes of names that precede a secret, in lower case and
// without separators. A suffix marked whole must be a separate word. For
// example "pass" matches in DB_PASS but not in "bypass".
var secretKeys = []struct {
	name   string
	whole  bool
	prose  bool // also an everyday word, as in "token: expired"
	phrase bool // the value may be several words
}{
	{name: "password", phrase: true}, {name: "passwd", phrase: true}, {name: "passphrase", phrase: true}, {name: "passcode", phrase: true},
	{name: "motdepasse", phrase: true}, {name: "passwort", phrase: true},
	{name: "pwd", whole: true, phrase: true}, {name: "pass", whole: true, phrase: true}, {name: "sig", whole: true},
	{name: "secret", prose: true}, {name: "token", prose: true}, {name: "credential", prose: true}, {name: "credentials", prose: true},
	{name: "apikey"}, {name: "secretkey"}, {name: "accesskey"}, {name: "privatekey"}, {name: "signingkey"}, {name: "encryptionkey"},
	{name: "accountkey"}, {name: "authkey"}, {name: "routingkey"}, {name: "integrationkey"}, {name: "masterkey"},
	{name: "amzsignature"}, {name: "googsignature"}, {name: "sessid"}, {name: "jsessionid"},
	{name: "authorization"}, {name: "cookie"},
}

// harmlessTokens are words that turn a following "token" into a cursor or an
// idempotency key.
var harmlessTokens = []string{"client", "clientrequest", "request", "next", "page", "continuation", "idempotency", "forward", "pagination"}

// placeholders are values that describe a secret instead of being one.
var placeholders = map[string]bool{
	"": true, "null": true, "none": true, "nil": true, "undefined": true, "true": true, "false": true, "empty": true, "unset": true,
	"missing": true, "required": true, "invalid": true, "incorrect": true, "wrong": true, "expired": true, "changed": true,
	"reset": true, "revoked": true, "rotated": true, "string": true, "str": true, "bool": true, "int": true, "secret": true,
}

// schemes are the words before the secret in an Authorization header.
var schemes = map[string]bool{"bearer": true, "basic": true, "token": true, "apikey": true, "key": true, "negotiate": true, "digest": true}

// key is a name that can precede a secret.
type key struct {
	start, end   int // of the suffix in secretKeys
	name         string
	inLongerName bool // part of a longer name, as in SLACK_TOKEN
	prose        bool
	phrase       bool
}

// keyedValues finds values after a key, as in password=…, "token": "…",
// --password …, Authorization: Bearer … or <secret>…</secret>.
func (f *finder) keyedValues() {
	arn := 0 // end of the latest ARN (its ":secret:name" is not a secret)
	for i := 0; i < len(f.text); i++ {
		start, end := 0, 0
		switch f.text[i] {
		case 'a':
			if i >= arn && strings.HasPrefix(f.text[i:], "arn:") {
				arn = f.run(i, arnChars)
			}
		case ':':
			if i >= arn && f.byteAt(i+1) != ':' && f.byteAt(i-1) != ':' && !strings.HasPrefix(f.text[i+1:], "//") {
				start, end = f.afterSeparator(i)
			}
		case '=':
			start, end = f.afterSeparator(i)
		case ',':
			start, end = f.afterComma(i)
		case '>':
			start, end = f.afterTag(i)
		case ' ':
			start, end = f.afterWord(i)
		}
		if end > start && !f.isHarmless(start, end) {
			f.add(start, end, kindSecret)
			i = end - 1
		}
	}
}

var arnChars = setOf(":/_.+=,@*-", alnum)

// keyBefore returns the key that ends before the separator at i. Blanks, quotes
// and emphasis may be between them.
func (f *finder) keyBefore(i int) (k key, quoted, ok bool) {
	for n := 0; n < 5 && strings.IndexByte(" \"'\\*`", f.byteAt(i-1)) >= 0; n++ {
		i--
		quoted = quoted || f.text[i] == '"' || f.text[i] == '\''
	}
	k, ok = f.keyEnding(i)
	return k, quoted, ok
}

// keyEnding returns the key that ends directly before end.
func (f *finder) keyEnding(end int) (key, bool) {
	last := lower(f.byteAt(end - 1))
	for _, s := range secretKeys {
		if s.name[len(s.name)-1] != last {
			continue
		}
		start, ok := f.keySuffix(end, s.name)
		if !ok {
			continue
		}
		before := f.byteAt(start - 1)
		joined := before == '_' || before == '-' || before == '.'
		camel := alnum[before] && lower(before) == before && lower(f.text[start]) != f.text[start]
		if s.whole && wordChars[before] && !camel {
			continue
		}
		if s.name == "token" && f.followsAny(start, harmlessTokens) {
			continue
		}
		return key{start, end, s.name, joined || wordChars[before], s.prose, s.phrase}, true
	}
	return key{}, false
}

// keySuffix returns the start of name if it ends at end. The text may contain
// single separators anywhere in the name.
func (f *finder) keySuffix(end int, name string) (int, bool) {
	i := end
	for j := len(name) - 1; j >= 0; j-- {
		i--
		if c := f.byteAt(i); j < len(name)-1 && (c == '_' || c == '-' || c == '.' || c == ' ') {
			i--
		}
		if lower(f.byteAt(i)) != name[j] {
			return 0, false
		}
	}
	return i, true
}

func (f *finder) followsAny(end int, names []string) bool {
	if c := f.byteAt(end - 1); c == '_' || c == '-' || c == '.' {
		end--
	}
	for _, n := range names {
		if start, ok := f.keySuffix(end, n); ok && !wordChars[f.byteAt(start-1)] {
			return true
		}
	}
	return false
}

// afterSeparator returns the value after the ':' or '=' at i, or an empty
// range.
func (f *finder) afterSeparator(i int) (int, int) {
	k, quotedKey, ok := f.keyBefore(i)
	if !ok {
		return 0, 0
	}
	start := i + 1
	for n := 0; n < 6 && strings.IndexByte(" \t*`=>", f.byteAt(start)) >= 0; n++ {
		start++
	}
	switch k.name {
	case "authorization":
		return f.authorizationValue(start)
	case "cookie":
		return f.cookieValue(start)
	}
	from, end, quoted := f.readValue(start)
	value := f.text[from:end]
	switch {
	case k.name == "pwd" && strings.HasPrefix(value, "/"):
		return 0, 0 // working directory of the shell
	case strings.HasSuffix(k.name, "token") && len(value) < 7 && f.run(from, digits) >= end:
		return 0, 0 // a number of tokens
	case f.text[i] == ':' && k.prose && !k.inLongerName && !quotedKey && !quoted && !looksRandom(value):
		return 0, 0 // part of a sentence
	case k.phrase && !quoted && !f.isHarmless(from, end):
		end = f.phraseEnd(from, end, start > i+1)
	}
	return from, end
}

// afterComma returns the value in ["Authorization", "Bearer …"], the form of
// headers in Sentry.
func (f *finder) afterComma(i int) (int, int) {
	if f.byteAt(i-1) != '"' {
		return 0, 0
	}
	k, _, ok := f.keyBefore(i)
	open, start := k.start, i+1
	for n := 0; n < 32 && urlsafe[f.byteAt(open-1)]; n++ {
		open--
	}
	for n := 0; n < 4 && strings.IndexByte("\\\" ", f.byteAt(open-1)) >= 0; n++ {
		open--
	}
	for n := 0; n < 2 && f.byteAt(start) == ' '; n++ {
		start++
	}
	if q := f.byteAt(start); !ok || f.byteAt(open-1) != '[' || q != '"' && q != '\\' {
		return 0, 0
	}
	switch k.name {
	case "authorization":
		return f.authorizationValue(start)
	case "cookie":
		return f.cookieValue(start)
	}
	from, end, _ := f.readValue(start)
	return from, end
}

// afterTag returns the value in <password>…</password>.
func (f *finder) afterTag(i int) (int, int) {
	k, ok := f.keyEnding(i)
	if !ok {
		return 0, 0
	}
	tag := k.start
	for n := 0; n < 32 && (urlsafe[f.byteAt(tag-1)] || f.byteAt(tag-1) == ':'); n++ {
		tag--
	}
	if f.byteAt(tag-1) != '<' {
		return 0, 0
	}
	end := i + 1
	for end < len(f.text) && f.text[end] != '<' && f.text[end] != '\n' {
		end++
	}
	return i + 1, end
}

// afterWord returns values that follow a blank, as in --password hunter2,
// "password is hunter2" and "Bearer …".
func (f *finder) afterWord(i int) (int, int) {
	if start, ok := f.keySuffix(i, "bearer"); ok && !wordChars[f.byteAt(start-1)] {
		if end := f.run(i+1, tokenChars); end-i > 12 && looksRandom(f.text[i+1:end]) {
			return i + 1, end
		}
		return 0, 0
	}
	if k, ok := f.keyEnding(i); ok {
		flag := k.start
		for n := 0; n < 32 && urlsafe[f.byteAt(flag-1)]; n++ {
			flag--
		}
		if strings.HasPrefix(f.text[flag:], "--") && f.byteAt(i+1) != '-' {
			from, end, _ := f.readValue(i + 1)
			return from, end
		}
	}
	for _, verb := range []string{" is", " was", " est", " ist"} {
		if !strings.HasSuffix(f.text[:i], verb) {
			continue
		}
		if k, ok := f.keyEnding(i - len(verb)); ok {
			from, end, quoted := f.readValue(i + 1)
			for !quoted && end > from && strings.IndexByte(".,;:!?", f.text[end-1]) >= 0 {
				end-- // punctuation of the sentence
			}
			if quoted || looksRandom(f.text[from:end]) || !k.prose && strings.ContainsAny(f.text[from:end], "0123456789") {
				return from, end
			}
			if k.phrase && !f.isHarmless(from, end) {
				return f.wordsAfterVerb(from, end)
			}
		}
	}
	return 0, 0
}

// authorizationValue returns the secret in an Authorization header's value.
func (f *finder) authorizationValue(i int) (int, int) {
	for n := 0; n < 4 && strings.IndexByte("\"'\\ ", f.byteAt(i)) >= 0; n++ {
		i++
	}
	word := f.run(i, urlsafe)
	if f.byteAt(word) == ' ' {
		scheme := strings.ToLower(f.text[i:min(word, i+16)])
		if strings.HasPrefix(scheme, "aws4-") {
			return 0, 0 // a signature for one request and an access key ID
		}
		if schemes[scheme] {
			return word + 1, f.bareEnd(word + 1)
		}
	}
	if end := f.bareEnd(i); looksRandom(f.text[i:end]) {
		return i, end
	}
	return 0, 0
}

// cookieValue returns the whole value of a Cookie header.
func (f *finder) cookieValue(i int) (int, int) {
	if !strings.Contains(f.text[i:min(len(f.text), i+64)], "=") {
		return 0, 0
	}
	if from, end, quoted := f.readValue(i); quoted {
		return from, end
	}
	end := i
	for end < len(f.text) && f.text[end] != '\n' && f.text[end] != '"' {
		end++
	}
	return i, end
}

// maxQuoted limits the search for a closing quote, in bytes.
const maxQuoted = 4096

// readValue returns the value at i, without its quotes. A list or object is not
// a value.
func (f *finder) readValue(i int) (start, end int, quoted bool) {
	q := i
	for n := 0; n < 8 && f.byteAt(q) == '\\'; n++ {
		q++
	}
	depth := q - i // backslashes before the quote, if a string is nested in a string
	switch f.byteAt(q) {
	case '"', '\'':
		slashes := 0
		for end = q + 1; end < min(len(f.text), q+maxQuoted); end++ {
			switch {
			case f.text[end] == f.text[q] && (depth == 0 && slashes%2 == 0 || depth > 0 && slashes <= depth):
				return q + 1, max(q+1, end-min(slashes, depth)), true
			case f.text[end] == '\\':
				slashes++
			default:
				slashes = 0
			}
		}
		return q + 1, f.bareEnd(q + 1), true
	case '{', '[', '(':
		return i, i, false
	}
	return i, f.bareEnd(i), false
}

// bareEnd returns the end of the unquoted value that starts at i.
func (f *finder) bareEnd(i int) int {
	if i <= f.bareValueEnd {
		return f.bareValueEnd
	}
	for ; i < len(f.text); i++ {
		c := f.text[i]
		if valueEnd[c] || (c == ',' || c == ';' || c == '&') && f.valueEndsBefore(i+1) {
			break
		}
	}
	f.bareValueEnd = i
	return i
}

var valueEnd = setOf("\"'<>`|)]}", blank)

// valueEndsBefore reports whether a value ends before i. It does if a blank,
// the end of the text or name= follows.
func (f *finder) valueEndsBefore(i int) bool {
	if i >= len(f.text) || blank[f.text[i]] {
		return true
	}
	name := i
	for name < min(len(f.text), i+40) && urlsafeDot[f.text[name]] {
		name++
	}
	return name > i && (f.byteAt(name) == '=' || f.byteAt(name) == ':')
}

// isHarmless reports whether a value after a key is not a secret, such as a
// placeholder, an ARN or an access key ID.
func (f *finder) isHarmless(start, end int) bool {
	v := f.text[start:end]
	if len(v) > 64 {
		return strings.HasPrefix(v, "arn:")
	}
	if placeholders[strings.ToLower(strings.TrimRight(v, ".,;:!?"))] || strings.Trim(v, "*.•x") == "" {
		return true
	}
	id, _, _ := strings.Cut(v, "/") // ID and scope in a signed request
	return strings.HasPrefix(v, "${") || strings.HasPrefix(v, "arn:") || isAccessKeyID(id)
}

// looksRandom reports whether v looks generated or hard to guess. It has at
// least eight characters and a letter, and also a digit or an upper-case letter
// after a lower-case one.
func looksRandom(v string) bool {
	digit, letter, inner := false, false, false
	for i := range min(len(v), 64) {
		c := v[i]
		digit = digit || digits[c]
		letter = letter || wordChars[c] && !digits[c]
		inner = inner || i > 0 && 'A' <= c && c <= 'Z' && 'a' <= v[i-1] && v[i-1] <= 'z'
	}
	return len(v) >= 8 && letter && (digit || inner)
}
