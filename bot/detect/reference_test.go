package detect_test

// The reference is a second implementation of Sigma for CloudTrail, written for
// clarity instead of speed. It shares no code with package detect and does not
// import it. It decodes records with encoding/json and turns each pattern into a
// regular expression.

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/goccy/go-yaml"
)

type refObject []refMember

type refMember struct {
	key   string
	value any
}

// refDecode preserves the order of keys and the spelling of numbers.
func refDecode(src []byte) any {
	d := json.NewDecoder(bytes.NewReader(src))
	d.UseNumber()
	var value func() any
	value = func() any {
		t, err := d.Token()
		if err != nil {
			panic(err)
		}
		switch t {
		case json.Delim('{'):
			o := refObject{}
			for d.More() {
				k, _ := d.Token()
				o = append(o, refMember{k.(string), value()})
			}
			_, _ = d.Token()
			return o
		case json.Delim('['):
			a := []any{}
			for d.More() {
				a = append(a, value())
			}
			_, _ = d.Token()
			return a
		}
		return t
	}
	return value()
}

// refRegexp caches compiled expressions, which saves minutes of test time.
func refRegexp(s string) *regexp.Regexp {
	re, ok := refCompiled[s]
	if !ok {
		re = regexp.MustCompile(s)
		refCompiled[s] = re
	}
	return re
}

var refCompiled = map[string]*regexp.Regexp{}

func refQuote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s)
	return strings.NewReplacer("\\u2028", "\u2028", "\\u2029", "\u2029").Replace(strings.TrimSpace(b.String()))
}

func refJSON(v any) string {
	switch v := v.(type) {
	case refObject:
		var parts []string
		for _, m := range v {
			parts = append(parts, refQuote(m.key)+":"+refJSON(m.value))
		}
		return "{" + strings.Join(parts, ",") + "}"
	case []any:
		var parts []string
		for _, e := range v {
			parts = append(parts, refJSON(e))
		}
		return "[" + strings.Join(parts, ",") + "]"
	case string:
		return refQuote(v)
	case nil:
		return "null"
	}
	return fmt.Sprint(v)
}

// refAt returns all values at a path.
func refAt(v any, path string) []any {
	if path == "" {
		return []any{v}
	}
	switch v := v.(type) {
	case []any:
		var out []any
		for _, e := range v {
			out = append(out, refAt(e, path)...)
		}
		return out
	case refObject:
		parts := strings.Split(path, ".")
		for n := len(parts); n > 0; n-- {
			for _, m := range v {
				if m.key == strings.Join(parts[:n], ".") {
					return refAt(m.value, strings.Join(parts[n:], "."))
				}
			}
		}
	}
	return nil
}

// refText returns the text that a value compares as.
func refText(v any) string {
	if n, ok := v.(json.Number); ok && strings.ContainsAny(string(n), ".eE") {
		f, err := n.Float64()
		if err != nil {
			return string(n)
		}
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	switch v.(type) {
	case refObject, []any:
		return refJSON(v)
	}
	return fmt.Sprint(v)
}

func refFloat(s string) float64 {
	f, _ := json.Number(s).Float64()
	return f
}

// refTexts returns the texts of a value and, for a list, of its elements.
func refTexts(v any) []string {
	if v == nil {
		return nil
	}
	out := []string{refText(v)}
	if a, ok := v.([]any); ok {
		for _, e := range a {
			out = append(out, refTexts(e)...)
		}
	}
	return out
}

// refInnerStrings returns the strings inside objects that contain JSON escapes.
func refInnerStrings(v any, inObject bool) []string {
	var out []string
	switch v := v.(type) {
	case refObject:
		for _, m := range v {
			out = append(out, refInnerStrings(m.value, true)...)
		}
	case []any:
		for _, e := range v {
			out = append(out, refInnerStrings(e, inObject)...)
		}
	case string:
		if inObject && refQuote(v) != `"`+v+`"` {
			out = append(out, v)
		}
	}
	return out
}

type refRule struct {
	id           string
	detection    map[string]any
	placeholders map[string][]string
}

func refParse(src []byte) refRule {
	var doc map[string]any
	if err := yaml.Unmarshal(src, &doc); err != nil {
		panic(err)
	}
	id, _ := doc["id"].(string)
	return refRule{id: id, detection: doc["detection"].(map[string]any)}
}

func (r refRule) matches(record []byte) bool { return r.matchesEvent(refDecode(record)) }

func (r refRule) matchesEvent(event any) bool {
	conditions, ok := r.detection["condition"].([]any)
	if !ok {
		conditions = []any{r.detection["condition"]}
	}
	for _, c := range conditions {
		if r.condition(event, c.(string)) {
			return true
		}
	}
	return false
}

// condition replaces "1 of x*" and names by true and false and then simplifies the
// text from the inside.
func (r refRule) condition(event any, text string) bool {
	text = " " + strings.NewReplacer("(", " ( ", ")", " ) ").Replace(text) + " "
	quantified := refRegexp(`(?i)\b(1|any|all) of (\S+)`)
	text = quantified.ReplaceAllStringFunc(text, func(s string) string {
		m := quantified.FindStringSubmatch(s)
		hits, of := 0, 0
		for name, d := range r.detection {
			g := "^" + strings.ReplaceAll(regexp.QuoteMeta(m[2]), `\*`, ".*") + "$"
			if strings.EqualFold(m[2], "them") {
				g = "^[^_]"
			}
			if name == "condition" || !refRegexp(g).MatchString(name) {
				continue
			}
			of++
			if r.detects(event, d) {
				hits++
			}
		}
		return fmt.Sprint(hits > 0 && (strings.ToLower(m[1]) != "all" || hits == of))
	})
	var words []string
	for _, w := range strings.Fields(text) {
		if d, ok := r.detection[w]; ok {
			w = fmt.Sprint(r.detects(event, d))
		}
		words = append(words, strings.ToLower(w))
	}
	s := " " + strings.Join(words, " ") + " "
	for range 1000 {
		before := s
		for _, rule := range [][2]string{
			{" ( true ) ", " true "}, {" ( false ) ", " false "}, {" not true ", " false "}, {" not false ", " true "},
		} {
			s = strings.ReplaceAll(s, rule[0], rule[1])
		}
		if s != before {
			continue
		}
		if and := refRegexp(` (true|false) and (true|false) `); and.MatchString(s) {
			m := and.FindString(s)
			s = strings.Replace(s, m, fmt.Sprintf(" %t ", !strings.Contains(m, "false")), 1)
			continue
		}
		or := refRegexp(` (true|false) or (true|false) `)
		at := or.FindStringIndex(s)
		if at == nil {
			break
		}
		m := s[at[0]:at[1]]
		s = s[:at[0]] + fmt.Sprintf(" %t ", strings.Contains(m, "true")) + s[at[1]:]
	}
	switch strings.TrimSpace(s) {
	case "true":
		return true
	case "false":
		return false
	}
	panic("condition simplified to " + s)
}

func (r refRule) detects(event, d any) bool {
	switch d := d.(type) {
	case map[string]any:
		for key, v := range d {
			if !r.item(event, key, v) {
				return false
			}
		}
		return true
	case []any:
		for _, e := range d {
			if r.detects(event, e) {
				return true
			}
		}
		return false
	}
	return r.item(event, "", d)
}

func (r refRule) item(event any, key string, v any) bool {
	words := strings.Split(key, "|")
	mods := map[string]bool{}
	for _, w := range words[1:] {
		mods[w] = true
	}
	values, ok := v.([]any)
	if !ok {
		values = []any{v}
	}
	found := refField(event, words[0])
	present := refPresent(found)
	if mods["exists"] {
		return (len(found) > 0) == v.(bool)
	}
	hits := 0
	for _, want := range values {
		if mods["neq"] && mods["fieldref"] && !refPresent(refField(event, want.(string))) {
			return false // an absent field is not different
		}
		if r.value(event, found, present, words[0] == "", words[1:], mods, want) {
			hits++
		}
	}
	switch {
	case mods["neq"]:
		return present && hits == 0
	case mods["all"]:
		return hits == len(values)
	}
	return hits > 0
}

func refPresent(found []any) bool {
	for _, f := range found {
		if f != nil {
			return true
		}
	}
	return false
}

func (r refRule) value(event any, found []any, present, keyword bool, order []string, mods map[string]bool, want any) bool {
	if want == nil {
		return !present
	}
	var texts []string
	for _, f := range found {
		texts = append(texts, refTexts(f)...)
		if keyword || mods["contains"] {
			texts = append(texts, refInnerStrings(f, false)...)
		}
	}
	if mods["fieldref"] {
		for _, other := range refField(event, want.(string)) {
			for _, o := range refTexts(other) {
				for _, t := range texts {
					if refCompare(t, regexp.QuoteMeta(o), mods, keyword) {
						return true
					}
				}
			}
		}
		return false
	}
	wants := []string{refScalar(want)}
	if mods["expand"] {
		for name, values := range r.placeholders {
			var next []string
			for _, w := range wants {
				for _, v := range values {
					next = append(next, strings.ReplaceAll(w, "%"+name+"%", v))
				}
			}
			wants = next
		}
	}
	for _, w := range wants {
		for _, t := range texts {
			if refTest(t, w, order, mods, keyword) {
				return true
			}
		}
	}
	return false
}

func refScalar(v any) string {
	switch v := v.(type) {
	case float64:
		return refText(json.Number(fmt.Sprint(v)))
	default:
		return fmt.Sprint(v)
	}
}

func refTest(text, want string, order []string, mods map[string]bool, keyword bool) bool {
	switch {
	case mods["re"]:
		flags := ""
		for _, f := range []string{"i", "m", "s"} {
			if mods[f] {
				flags += f
			}
		}
		if flags != "" {
			want = "(?" + flags + ")" + want
		}
		return refRegexp(want).MatchString(text)
	case mods["cidr"]:
		if !strings.Contains(want, "/") {
			want += map[bool]string{true: "/128", false: "/32"}[strings.Contains(want, ":")]
		}
		_, n, err := net.ParseCIDR(want)
		ip := net.ParseIP(text)
		return err == nil && ip != nil && n.Contains(ip)
	}
	for name, part := range map[string]func(time.Time) int{
		"hour": time.Time.Hour, "minute": time.Time.Minute, "day": time.Time.Day, "year": time.Time.Year,
		"month": func(t time.Time) int { return int(t.Month()) },
	} {
		if mods[name] {
			at, err := time.Parse(time.RFC3339, text)
			if err != nil {
				return false
			}
			text = fmt.Sprint(part(at.UTC()))
		}
	}
	for _, op := range []string{"gt", "gte", "lt", "lte"} {
		if mods[op] {
			if !refRegexp(`^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$`).MatchString(text) {
				return false
			}
			a, b := refFloat(text), refFloat(want)
			return map[string]bool{"gt": a > b, "gte": a >= b, "lt": a < b, "lte": a <= b}[op]
		}
	}
	for _, w := range refEncodings(want, order) {
		if refCompare(text, w, mods, keyword) {
			return true
		}
	}
	return false
}

// refEncodings returns the regular expressions of a value after its encodings.
func refEncodings(want string, order []string) []string {
	forms := []string{want}
	encoded := false
	for _, mod := range order {
		var next []string
		for _, f := range forms {
			raw := f
			if !encoded {
				raw = strings.NewReplacer(`\*`, `*`, `\?`, `?`, `\\`, `\`).Replace(f)
			}
			switch mod {
			case "base64":
				next, encoded = append(next, base64.StdEncoding.EncodeToString([]byte(raw))), true
			case "wide", "utf16le":
				var b []byte
				for _, u := range utf16.Encode([]rune(raw)) {
					b = append(b, byte(u), byte(u>>8))
				}
				next, encoded = append(next, string(b)), true
			case "base64offset":
				next, encoded = append(next, refOffsets(raw)...), true
			case "windash":
				next = append(next, refDashes(f)...)
			default:
				next = append(next, f)
			}
		}
		forms = next
	}
	var out []string
	for _, f := range forms {
		if encoded {
			out = append(out, regexp.QuoteMeta(f))
			continue
		}
		out = append(out, refPattern(f))
	}
	return out
}

// refOffsets returns, for each offset, the part of the base64 text that does not
// depend on adjacent bytes.
func refOffsets(s string) []string {
	var out []string
	for before := range 3 {
		var common []string
		for _, filler := range []byte{0, 0xff, 0x55, 0xaa} {
			pad := bytes.Repeat([]byte{filler}, before)
			tail := bytes.Repeat([]byte{filler}, 6)
			common = append(common, base64.StdEncoding.EncodeToString(append(append(pad, s...), tail...)))
		}
		var stable []byte
		for i := range common[0] {
			same := true
			for _, c := range common {
				same = same && c[i] == common[0][i]
			}
			if same {
				stable = append(stable, common[0][i])
			} else if len(stable) > 0 {
				break
			}
		}
		if len(stable) > 0 {
			out = append(out, string(stable))
		}
	}
	return out
}

func refDashes(s string) []string {
	at := refRegexp(`\B[-/]\b`).FindStringIndex(s)
	if at == nil {
		return []string{s}
	}
	var out []string
	for _, rest := range refDashes("\x00" + s[at[1]:]) {
		for _, d := range []string{"-", "/", "–", "—", "―"} {
			out = append(out, s[:at[0]]+d+strings.TrimPrefix(rest, "\x00"))
		}
	}
	return out
}

// refPattern returns the regular expression of a value with wildcards and escapes.
func refPattern(s string) string {
	token := refRegexp(`(?s)\\[\\*?]|\*|\?|.`)
	return token.ReplaceAllStringFunc(s, func(t string) string {
		switch {
		case t == "*":
			return ".*"
		case t == "?":
			return "."
		case len(t) == 2 && t[0] == '\\':
			return regexp.QuoteMeta(t[1:])
		}
		return regexp.QuoteMeta(t)
	})
}

func refCompare(text, re string, mods map[string]bool, keyword bool) bool {
	begin, end := "^", "$"
	if mods["contains"] || mods["endswith"] || keyword {
		begin = ""
	}
	if mods["contains"] || mods["startswith"] || keyword {
		end = ""
	}
	flags := "(?is)"
	if mods["cased"] {
		flags = "(?s)"
	}
	return refRegexp(flags + begin + "(?:" + re + ")" + end).MatchString(text)
}

func refSorted(hits []string) []string {
	sort.Strings(hits)
	return hits
}
