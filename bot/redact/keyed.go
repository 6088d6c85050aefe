package redact

import "strings"

// secretKeys are the endings of names under which secrets stand, in lower case
// and without separators. Whole endings must be a word of their own: "pass" is
// a key in DB_PASS and none in "bypass".
var secretKeys = []struct {
	name  string
	whole bool
	prose bool // also an everyday word: "token: expired" is no secret
}{
	{name: "password"}, {name: "passwd"}, {name: "passphrase"}, {name: "passcode"}, {name: "motdepasse"}, {name: "passwort"},
	{name: "pwd", whole: true}, {name: "pass", whole: true}, {name: "sig", whole: true},
	{name: "secret", prose: true}, {name: "token", prose: true}, {name: "credential", prose: true}, {name: "credentials", prose: true},
	{name: "apikey"}, {name: "secretkey"}, {name: "accesskey"}, {name: "privatekey"}, {name: "signingkey"}, {name: "encryptionkey"},
	{name: "accountkey"}, {name: "authkey"}, {name: "routingkey"}, {name: "integrationkey"}, {name: "masterkey"},
	{name: "amzsignature"}, {name: "googsignature"}, {name: "sessid"}, {name: "jsessionid"},
	{name: "authorization"}, {name: "cookie"},
}

// harmlessTokens are the words before "token" that make it a cursor or an
// idempotency key.
var harmlessTokens = []string{"client", "clientrequest", "request", "next", "page", "continuation", "idempotency", "forward", "pagination"}

// placeholders are values that say something about a secret instead of it.
var placeholders = map[string]bool{
	"": true, "null": true, "none": true, "nil": true, "undefined": true, "true": true, "false": true, "empty": true, "unset": true,
	"missing": true, "required": true, "invalid": true, "incorrect": true, "wrong": true, "expired": true, "changed": true,
	"reset": true, "revoked": true, "rotated": true, "string": true, "str": true, "bool": true, "int": true, "secret": true,
}

// schemes are the words that an Authorization header puts before the secret.
var schemes = map[string]bool{"bearer": true, "basic": true, "token": true, "apikey": true, "key": true, "negotiate": true, "digest": true}

// key is a name that a secret may follow.
type key struct {
	start, end int // of the ending that made it one
	name       string
	compound   bool // part of a longer name, as in SLACK_TOKEN
	prose      bool
}

// keyed finds values that stand beside a telling name: password=…,
// "token": "…", --password …, Authorization: Bearer …, <secret>…</secret>.
func (f *finder) keyed() {
	arn := 0 // the end of the latest ARN: in ":secret:name" nothing is secret
	for i := 0; i < len(f.v); i++ {
		start, end := 0, 0
		switch f.v[i] {
		case 'a':
			if i >= arn && strings.HasPrefix(f.v[i:], "arn:") {
				arn = f.run(i, arnChars)
			}
		case ':':
			if i >= arn && f.at(i+1) != ':' && f.at(i-1) != ':' && !strings.HasPrefix(f.v[i+1:], "//") {
				start, end = f.after(i)
			}
		case '=':
			start, end = f.after(i)
		case ',':
			start, end = f.afterComma(i)
		case '>':
			start, end = f.afterTag(i)
		case ' ':
			start, end = f.afterWord(i)
		}
		if end > start && !f.harmless(start, end) {
			f.add(start, end, aSecret)
			i = end - 1
		}
	}
}

var arnChars = setOf(":/_.+=,@*-", alnum)

// keyBefore returns the key that ends at the separator at i, with blanks,
// quotes and emphasis between the two.
func (f *finder) keyBefore(i int) (k key, quoted, ok bool) {
	for n := 0; n < 5 && strings.IndexByte(" \"'\\*`", f.at(i-1)) >= 0; n++ {
		i--
		quoted = quoted || f.v[i] == '"' || f.v[i] == '\''
	}
	k, ok = f.keyEnding(i)
	return k, quoted, ok
}

// keyEnding returns the key whose last letter is right before end.
func (f *finder) keyEnding(end int) (key, bool) {
	last := lower(f.at(end - 1))
	for _, s := range secretKeys {
		if s.name[len(s.name)-1] != last {
			continue
		}
		start, ok := f.suffix(end, s.name)
		if !ok {
			continue
		}
		before := f.at(start - 1)
		joined := before == '_' || before == '-' || before == '.'
		camel := alnum[before] && lower(before) == before && lower(f.v[start]) != f.v[start]
		if s.whole && wordly[before] && !camel {
			continue
		}
		if s.name == "token" && f.followsAny(start, harmlessTokens) {
			continue
		}
		return key{start, end, s.name, joined || wordly[before], s.prose}, true
	}
	return key{}, false
}

// suffix says whether name, with single separators anywhere in it, ends at end,
// and where it starts.
func (f *finder) suffix(end int, name string) (int, bool) {
	i := end
	for j := len(name) - 1; j >= 0; j-- {
		i--
		if c := f.at(i); j < len(name)-1 && (c == '_' || c == '-' || c == '.' || c == ' ') {
			i--
		}
		if lower(f.at(i)) != name[j] {
			return 0, false
		}
	}
	return i, true
}

func (f *finder) followsAny(end int, names []string) bool {
	if c := f.at(end - 1); c == '_' || c == '-' || c == '.' {
		end--
	}
	for _, n := range names {
		if start, ok := f.suffix(end, n); ok && !wordly[f.at(start-1)] {
			return true
		}
	}
	return false
}

// after returns the value behind the ':' or '=' at i.
func (f *finder) after(i int) (int, int) {
	k, quotedKey, ok := f.keyBefore(i)
	if !ok {
		return 0, 0
	}
	start := i + 1
	for n := 0; n < 6 && strings.IndexByte(" \t*`=>", f.at(start)) >= 0; n++ {
		start++
	}
	switch k.name {
	case "authorization":
		return f.header(start)
	case "cookie":
		return f.cookies(start)
	}
	from, end, quoted := f.value(start)
	value := f.v[from:end]
	switch {
	case k.name == "pwd" && strings.HasPrefix(value, "/"):
		return 0, 0 // the shell's working directory
	case strings.HasSuffix(k.name, "token") && len(value) < 7 && f.run(from, digits) >= end:
		return 0, 0 // how many of them
	case f.v[i] == ':' && k.prose && !k.compound && !quotedKey && !quoted && !random(value):
		return 0, 0 // a sentence
	}
	return from, end
}

// afterComma reads ["Authorization", "Bearer …"], as Sentry lists headers.
func (f *finder) afterComma(i int) (int, int) {
	if f.at(i-1) != '"' {
		return 0, 0
	}
	k, _, ok := f.keyBefore(i)
	open, start := k.start, i+1
	for n := 0; n < 32 && urlsafe[f.at(open-1)]; n++ {
		open--
	}
	for n := 0; n < 4 && strings.IndexByte("\\\" ", f.at(open-1)) >= 0; n++ {
		open--
	}
	for n := 0; n < 2 && f.at(start) == ' '; n++ {
		start++
	}
	if q := f.at(start); !ok || f.at(open-1) != '[' || q != '"' && q != '\\' {
		return 0, 0
	}
	switch k.name {
	case "authorization":
		return f.header(start)
	case "cookie":
		return f.cookies(start)
	}
	from, end, _ := f.value(start)
	return from, end
}

// afterTag reads <password>…</password>.
func (f *finder) afterTag(i int) (int, int) {
	k, ok := f.keyEnding(i)
	if !ok {
		return 0, 0
	}
	tag := k.start
	for n := 0; n < 32 && (urlsafe[f.at(tag-1)] || f.at(tag-1) == ':'); n++ {
		tag--
	}
	if f.at(tag-1) != '<' {
		return 0, 0
	}
	end := i + 1
	for end < len(f.v) && f.v[end] != '<' && f.v[end] != '\n' {
		end++
	}
	return i + 1, end
}

// afterWord reads what needs no more than a blank: --password hunter2,
// "password is hunter2", "Bearer …".
func (f *finder) afterWord(i int) (int, int) {
	if start, ok := f.suffix(i, "bearer"); ok && !wordly[f.at(start-1)] {
		if end := f.run(i+1, anyToken); end-i > 12 && random(f.v[i+1:end]) {
			return i + 1, end
		}
		return 0, 0
	}
	if k, ok := f.keyEnding(i); ok {
		flag := k.start
		for n := 0; n < 32 && urlsafe[f.at(flag-1)]; n++ {
			flag--
		}
		if strings.HasPrefix(f.v[flag:], "--") && f.at(i+1) != '-' {
			from, end, _ := f.value(i + 1)
			return from, end
		}
	}
	for _, verb := range []string{" is", " was", " est", " ist"} {
		if !strings.HasSuffix(f.v[:i], verb) {
			continue
		}
		if k, ok := f.keyEnding(i - len(verb)); ok {
			from, end, quoted := f.value(i + 1)
			for !quoted && end > from && strings.IndexByte(".,;:!?", f.v[end-1]) >= 0 {
				end-- // the sentence's, not the secret's
			}
			if quoted || random(f.v[from:end]) || !k.prose && strings.ContainsAny(f.v[from:end], "0123456789") {
				return from, end
			}
		}
	}
	return 0, 0
}

// header returns the secret of an Authorization header's value.
func (f *finder) header(i int) (int, int) {
	for n := 0; n < 4 && strings.IndexByte("\"'\\ ", f.at(i)) >= 0; n++ {
		i++
	}
	word := f.run(i, urlsafe)
	if f.at(word) == ' ' {
		scheme := strings.ToLower(f.v[i:min(word, i+16)])
		if strings.HasPrefix(scheme, "aws4-") {
			return 0, 0 // a signature of this one request, and an access key id
		}
		if schemes[scheme] {
			return word + 1, f.bare(word + 1)
		}
	}
	if end := f.bare(i); random(f.v[i:end]) {
		return i, end
	}
	return 0, 0
}

// cookies returns the whole value of a Cookie header.
func (f *finder) cookies(i int) (int, int) {
	if !strings.Contains(f.v[i:min(len(f.v), i+64)], "=") {
		return 0, 0
	}
	if from, end, quoted := f.value(i); quoted {
		return from, end
	}
	end := i
	for end < len(f.v) && f.v[end] != '\n' && f.v[end] != '"' {
		end++
	}
	return i, end
}

// longestQuoted bounds the search for a closing quote.
const longestQuoted = 4096

// value returns the value that starts at i, inside its quotes if it has any.
// A list or an object is no value.
func (f *finder) value(i int) (start, end int, quoted bool) {
	q := i
	for n := 0; n < 8 && f.at(q) == '\\'; n++ {
		q++
	}
	depth := q - i // backslashes before the quote: a string inside a string
	switch f.at(q) {
	case '"', '\'':
		slashes := 0
		for end = q + 1; end < min(len(f.v), q+longestQuoted); end++ {
			switch {
			case f.v[end] == f.v[q] && (depth == 0 && slashes%2 == 0 || depth > 0 && slashes <= depth):
				return q + 1, max(q+1, end-min(slashes, depth)), true
			case f.v[end] == '\\':
				slashes++
			default:
				slashes = 0
			}
		}
		return q + 1, f.bare(q + 1), true
	case '{', '[', '(':
		return i, i, false
	}
	return i, f.bare(i), false
}

// bare returns the end of the value without quotes that starts at i.
func (f *finder) bare(i int) int {
	if i <= f.plain {
		return f.plain
	}
	for ; i < len(f.v); i++ {
		c := f.v[i]
		if closing[c] || (c == ',' || c == ';' || c == '&') && f.pairFollows(i+1) {
			break
		}
	}
	f.plain = i
	return i
}

var closing = setOf("\"'<>`|)]}", blanks)

// pairFollows says whether a value ends before i: a blank, the end or name=
// stands there.
func (f *finder) pairFollows(i int) bool {
	if i >= len(f.v) || blanks[f.v[i]] {
		return true
	}
	name := i
	for name < min(len(f.v), i+40) && dotted[f.v[name]] {
		name++
	}
	return name > i && (f.at(name) == '=' || f.at(name) == ':')
}

// harmless says that a value under a secret's name is none.
func (f *finder) harmless(start, end int) bool {
	v := f.v[start:end]
	if len(v) > 64 {
		return strings.HasPrefix(v, "arn:")
	}
	if placeholders[strings.ToLower(strings.TrimRight(v, ".,;:!?"))] || strings.Trim(v, "*.•x") == "" {
		return true
	}
	id, _, _ := strings.Cut(v, "/") // an id and its scope, in a signed request
	return strings.HasPrefix(v, "${") || strings.HasPrefix(v, "arn:") || accessKeyID(id)
}

// accessKeyID says whether v is the public id of an AWS key or principal.
func accessKeyID(v string) bool {
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

// random says whether v looks made by a machine or to be guessed by nobody:
// at least eight characters, with digits and letters or capitals inside.
func random(v string) bool {
	digit, letter, inner := false, false, false
	for i := range min(len(v), 64) {
		c := v[i]
		digit = digit || digits[c]
		letter = letter || wordly[c] && !digits[c]
		inner = inner || i > 0 && 'A' <= c && c <= 'Z' && 'a' <= v[i-1] && v[i-1] <= 'z'
	}
	return len(v) >= 8 && letter && (digit || inner)
}
