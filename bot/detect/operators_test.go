package detect_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tocsin/bot/detect"
)

const ruleHead = "title: t\nid: t\nlogsource: {product: aws, service: cloudtrail}\nlevel: high\ndetection:\n"

// compile loads one rule from text.
func compile(t testing.TB, detection string) (*detect.Ruleset, detect.LoadResult) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rule.yml")
	if err := os.WriteFile(file, []byte(ruleHead+indent(detection)), 0o600); err != nil {
		t.Fatal(err)
	}
	return detect.Load(detect.Options{Placeholders: map[string][]string{"admins": {"alice", "root*"}}}, file)
}

func indent(s string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n  ") + "\n"
}

func matches(t testing.TB, rs *detect.Ruleset, record string) bool {
	t.Helper()
	r, err := detect.DecodeRecord([]byte(record))
	if err != nil {
		t.Fatalf("%s: %v", record, err)
	}
	hit := false
	rs.Match(r, func(detect.Hit) { hit = true })
	return hit
}

// operatorCases are items with JSON values of the field f that match and that do
// not match. The value "-" means that the record has no field f.
var operatorCases = []struct {
	item string
	yes  []string
	no   []string
}{
	{`f: abc`, []string{`"abc"`, `"ABC"`, `["x","Abc"]`, `[["abc"]]`}, []string{`"abcd"`, `""`, `null`, `-`, `{"abc":1}`, `"a bc"`}},
	{`f: 'straße'`, []string{`"STRAßE"`, `"straße"`}, []string{`"strasse"`}},
	{`f: 'K'`, []string{`"k"`, `"\u212a"`}, []string{`"x"`}},
	{`f: ''`, []string{`""`, `["a",""]`}, []string{`null`, `-`, `" "`, `[]`}},
	{`f: 'a*c'`, []string{`"ac"`, `"abc"`, `"a\nc"`, `"AxxC"`}, []string{`"acd"`, `"bac"`}},
	{`f: 'a?c'`, []string{`"abc"`, `"aéc"`, `"a?c"`}, []string{`"ac"`, `"abbc"`}},
	{`f: '*b*d'`, []string{`"abcd"`, `"bd"`, `"bbdd"`}, []string{`"db"`, `"abdc"`}},
	{`f: '*ab*ab'`, []string{`"abab"`, `"xabyab"`}, []string{`"ab"`, `"xab"`}},
	{`f: 'a\*c'`, []string{`"a*c"`}, []string{`"abc"`, `"a\\*c"`}},
	{`f: 'a\?c'`, []string{`"a?c"`}, []string{`"abc"`}},
	{`f: 'a\\*c'`, []string{`"a\\bc"`, `"a\\c"`}, []string{`"abc"`, `"a*c"`}},
	{`f: 'a\\\*c'`, []string{`"a\\*c"`}, []string{`"a\\bc"`, `"a*c"`}},
	{`f: 'a\bc'`, []string{`"a\\bc"`}, []string{`"abc"`}},
	{`f: 'a\\bc'`, []string{`"a\\bc"`}, []string{`"a\\\\bc"`}},
	{`f: 'a\\\\bc'`, []string{`"a\\\\bc"`}, []string{`"a\\bc"`}},
	{`f: [a, b]`, []string{`"a"`, `"B"`}, []string{`"c"`, `null`}},
	{`f: null`, []string{`null`, `-`}, []string{`""`, `"null"`, `0`, `false`, `[]`, `{}`}},
	{`f: [null, a]`, []string{`null`, `-`, `"a"`}, []string{`"b"`}},
	{`f: 'null'`, []string{`"null"`}, []string{`null`, `-`}},
	{`f: true`, []string{`true`, `"true"`, `"True"`}, []string{`false`, `1`, `null`}},
	{`f: 'false'`, []string{`false`, `"false"`}, []string{`true`, `0`}},
	{`f: 1000000`, []string{`1000000`, `1e6`, `1.0e+6`, `"1000000"`}, []string{`"1e+06"`, `100000`, `-1000000`}},
	{`f: 1.5`, []string{`1.5`, `15e-1`, `"1.5"`}, []string{`1.50001`, `"1.50"`}},
	{`f: 1.0e+6`, []string{`1000000`, `1e6`}, []string{`"1.0e+6"`}},
	{`f|contains: b`, []string{`"abc"`, `"B"`, `["x","abc"]`, `{"k":"abc"}`, `{"b":1}`}, []string{`"ac"`, `null`, `-`, `""`}},
	{`f|contains: ''`, []string{`""`, `"a"`, `0`, `{}`}, []string{`null`, `-`}},
	{`f|contains: 'null'`, []string{`"null"`, `{"a":null}`}, []string{`null`, `-`}},
	{`f|contains: '*'`, []string{`"x"`, `""`, `[]`}, []string{`null`, `-`}},
	{`f|contains: 'a*c'`, []string{`"xabcx"`, `"ac"`}, []string{`"ca"`}},
	{`f|contains: '"a":"b"'`, []string{`{"a":"b"}`, `{ "a" : "b" }`, `{"x":[{"a":"b"}]}`, `"x \"a\":\"b\""`}, []string{`{"a":1}`}},
	{`f|contains: '"Action":"s3:*"'`, []string{`{"doc":"{\"Action\":\"s3:Get\"}"}`, `{"Action":"s3:Get"}`}, []string{`{"doc":"{\"Action\":\"ec2\"}"}`}},
	{`f|contains: 'a<b'`, []string{`{"x":"a<b"}`, `{"x":"a\u003cb"}`}, []string{`{"x":"a\\u003cb"}`}},
	{`f|contains: 'a/b'`, []string{`{"x":"a\/b"}`, `"a\/b"`}, []string{`{"x":"a\\/b"}`}},
	{`f: '{"a":[1,true,null]}'`, []string{`{"a":[1,true,null]}`, `{ "a": [1, true, null] }`}, []string{`{"a":[1,true]}`}},
	{`f|startswith: ab`, []string{`"abc"`, `"AB"`}, []string{`"xab"`, `"a"`, `null`, `-`}},
	{`f|startswith: 'a*d'`, []string{`"abcdef"`}, []string{`"xad"`}},
	{`f|endswith: bc`, []string{`"abc"`, `"BC"`}, []string{`"bcd"`, `"c"`, `null`, `-`}},
	{`f|endswith: 'é?'`, []string{`"aÉx"`, `"éé"`}, []string{`"é"`, `"éxx"`}},
	{`f|contains|all: [a, b]`, []string{`"ab"`, `"bxa"`, `["xa","xb"]`}, []string{`"a"`, `"b"`, `null`, `-`}},
	{`f|all|contains: [a, b]`, []string{`"ab"`}, []string{`"a"`}},
	{`f|all: ['a*', '*b']`, []string{`"ab"`, `"a-b"`}, []string{`"a"`, `"ba"`}},
	{`f|cased: aBc`, []string{`"aBc"`}, []string{`"abc"`, `"ABC"`, `-`}},
	{`f|contains|cased: B`, []string{`"aBc"`}, []string{`"abc"`}},
	{`f|cased|startswith: 'é'`, []string{`"éa"`}, []string{`"Éa"`}},
	{`f|re: 'a.c'`, []string{`"xabcx"`}, []string{`"ABC"`, `"a\nc"`, `-`, `null`}},
	{`f|re|i: 'a.c'`, []string{`"ABC"`}, []string{`"ab"`}},
	{`f|re|s: 'a.c'`, []string{`"a\nc"`}, []string{`"A\nc"`}},
	{`f|re|m: '^b$'`, []string{`"a\nb"`}, []string{`"ab"`}},
	{`f|re|i|s: '^a.c$'`, []string{`"A\nC"`}, []string{`"xac"`}},
	{`f|re: '^\d+$'`, []string{`12`, `"12"`, `["x",7]`}, []string{`"a1"`}},
	{`f|re|all: ['^a', 'b$']`, []string{`"ab"`}, []string{`"a"`}},
	{`f|cidr: 10.0.0.0/8`, []string{`"10.1.2.3"`, `["x","10.0.0.1"]`}, []string{`"11.0.0.1"`, `"AWS Internal"`, `"10.000.000.001"`, `""`, `-`, `"10.1.2.3/32"`}},
	{`f|cidr: ['10.0.0.0/8', '2001:db8::/32']`, []string{`"2001:DB8::1"`, `"10.9.9.9"`}, []string{`"2001:db9::1"`, `"::1"`}},
	{`f|cidr: 0.0.0.0/0`, []string{`"203.0.113.7"`}, []string{`"2001:db8::1"`, `"ec2.amazonaws.com"`}},
	{`f|cidr: 192.0.2.7`, []string{`"192.0.2.7"`}, []string{`"192.0.2.8"`}},
	{`f|exists: true`, []string{`""`, `null`, `0`, `[]`}, []string{`-`}},
	{`f|exists: false`, []string{`-`}, []string{`""`, `null`}},
	{`f|fieldref: g`, []string{`"gee"`, `"GEE"`, `["x","gee"]`}, []string{`"ge"`, `null`, `-`}},
	{`f|fieldref|cased: g`, []string{`"Gee"`}, []string{`"gee"`}},
	{`f|fieldref|contains: g`, []string{`"a gee b"`}, []string{`"ge"`}},
	{`f|endswith|fieldref: g`, []string{`"user/gee"`}, []string{`"gee/x"`}},
	{`f|startswith|fieldref: g`, []string{`"gee/x"`}, []string{`"user/gee"`}},
	{`f|fieldref: absent`, nil, []string{`""`, `null`, `-`}},
	{`f|fieldref|neq: g`, []string{`"x"`}, []string{`"gee"`, `-`, `null`}},
	{`f|gt: 5`, []string{`6`, `5.1`, `"6"`, `1e3`, `[1,9]`}, []string{`5`, `"x"`, `true`, `null`, `-`, `"0x10"`, `"Inf"`, `"NaN"`, `"1_0"`, `""`}},
	{`f|gte: 5`, []string{`5`, `5.0`}, []string{`4.999`}},
	{`f|lt: 5`, []string{`4`, `-1`, `-1e9`}, []string{`5`, `"five"`, `-`}},
	{`f|lte: 5.5`, []string{`5.5`}, []string{`5.6`}},
	{`f|neq: abc`, []string{`"x"`, `""`, `1`}, []string{`"ABC"`, `null`, `-`, `["x","abc"]`}},
	{`f|neq: [a, b]`, []string{`"c"`}, []string{`"a"`, `"b"`}},
	{`f|neq: null`, []string{`"c"`, `""`}, []string{`null`, `-`}},
	{`f|contains|neq: b`, []string{`"ac"`}, []string{`"abc"`, `-`}},
	{`f|expand: '%admins%'`, []string{`"alice"`, `"ALICE"`, `"rootling"`}, []string{`"bob"`, `"%admins%"`}},
	{`f|contains|expand: 'user/%admins%'`, []string{`"arn:user/alice"`}, []string{`"arn:user/bob"`}},
	{`f: '%admins%'`, []string{`"%admins%"`}, []string{`"alice"`}},
	{`f|base64: foo`, []string{`"Zm9v"`}, []string{`"foo"`}},
	{`f|base64|contains: 'foob'`, []string{`"xxZm9vYg==x"`}, []string{`"Zm9v"`}},
	{`f|base64offset|contains: 'foobar'`, []string{`"Zm9vYmFy"`, `"YWZvb2Jhcg=="`, `"eHhmb29iYXI="`}, []string{`"foobar"`, `"YmFy"`}},
	{`f|wide|base64offset|contains: 'ping'`, []string{`"cABpAG4AZwA="`, `"AHAAaQBuAGcA"`}, []string{`"cGluZw=="`}},
	{`f|utf16le|base64: 'hi'`, []string{`"aABpAA=="`}, []string{`"aGk="`}},
	{`f|windash|contains: ' -x'`, []string{`"a -x b"`, `"a /x b"`, `"a –x b"`, `"a —x"`, `"a ―x"`}, []string{`"a-x"`, `"a x"`}},
	{`f|contains|windash: 'a-b'`, []string{`"a-b"`}, []string{`"a/b"`}},
	{`when|hour: 3`, []string{`1`}, nil},
	{`when|hour|gte: 4`, nil, []string{`1`}},
	{`when|month: 12`, []string{`1`}, nil},
	{`when|year|lt: 2027`, []string{`1`}, nil},
	{`n.a.b: 1`, []string{`1`}, nil},
	{`n.x: literal`, []string{`1`}, nil},
	{`n.list.k: two`, []string{`1`}, nil},
	{`n.list.k: three`, nil, []string{`1`}},
	{`n.list: '{"k":"one"}'`, []string{`1`}, nil},
	{`n.list.absent: null`, []string{`1`}, nil},
	{`n.list.maybe: null`, nil, []string{`1`}},
	{`n.list.maybe|exists: true`, []string{`1`}, nil},
	{`n.list.absent|exists: true`, nil, []string{`1`}},
	{`n.a: 'x'`, nil, []string{`1`}},
	{`n.a.b.c: null`, []string{`1`}, nil},
	{`'dotted.key': lit`, []string{`1`}, nil},
	{`'dotted.key.deep': 1`, nil, []string{`1`}},
	{`N.a.b: 1`, nil, []string{`1`}},
}

func operatorRecord(f string) string {
	field := `"f":` + f + `,`
	if f == "-" {
		field = ""
	}
	return `{` + field + `"g":"Gee","when":"2026-12-20T03:04:05Z","dotted.key":"lit","dotted":{"key":{"deep":1}},` +
		`"n":{"a":{"b":1},"a.b.c":null,"x":"literal","list":[{"k":"one"},{"k":"two","maybe":"m"},{"k":[]}]},"eventName":"E"}`
}

func TestMatch_Operators(t *testing.T) {
	for _, c := range operatorCases {
		rs, result := compile(t, "s:\n  "+c.item+"\ncondition: s")
		if err := result.Err(); err != nil {
			t.Errorf("%s: %v", c.item, err)
			continue
		}
		ref := refParse([]byte(ruleHead + indent("s:\n  "+c.item+"\ncondition: s")))
		ref.placeholders = map[string][]string{"admins": {"alice", "root*"}}
		for _, f := range slices.Concat(c.yes, c.no) {
			want, record := slices.Contains(c.yes, f), operatorRecord(f)
			if got := matches(t, rs, record); got != want {
				t.Errorf("%s with f=%s: got %t, want %t", c.item, f, got, want)
			}
			if got := ref.matches([]byte(record)); got != want {
				t.Errorf("reference: %s with f=%s: got %t, want %t", c.item, f, got, want)
			}
		}
	}
}

// conditionCases are conditions over detections such as a, which is true if the
// record's field f contains the character a. yes and no are values of f.
var conditionCases = []struct {
	condition string
	yes, no   []string
}{
	{"a", []string{"a", "ab"}, []string{"", "b"}},
	{"not a", []string{"", "b"}, []string{"a"}},
	{"not not a", []string{"a"}, []string{""}},
	{"a and b", []string{"ab"}, []string{"a", "b", ""}},
	{"a or b", []string{"a", "b", "ab"}, []string{"", "c"}},
	{"a or b and c", []string{"a", "bc", "abc"}, []string{"b", "c"}},
	{"(a or b) and c", []string{"ac", "bc"}, []string{"a", "b", "ab", "c"}},
	{"a and not b", []string{"a", "ac"}, []string{"ab", "b", ""}},
	{"not a and b", []string{"b"}, []string{"ab", "a", ""}},
	{"not (a or b)", []string{"", "c"}, []string{"a", "b"}},
	{"a AND NOT (b OR c)", []string{"a"}, []string{"ab", "ac"}},
	{"1 of them", []string{"a", "b", "c"}, []string{"", "_"}},
	{"any of them", []string{"a"}, []string{""}},
	{"all of them", []string{"abc"}, []string{"ab", ""}},
	{"1 of sel_*", []string{"x", "y"}, []string{"a"}},
	{"all of sel_*", []string{"xy", "xya"}, []string{"x", "y"}},
	{"1 of *_x", []string{"x"}, []string{"y"}},
	{"1 of a", []string{"a"}, []string{"b"}},
	{"a and not 1 of sel_*", []string{"a"}, []string{"ax", "ay"}},
	{"1 of _*", []string{"_"}, []string{"a"}},
	{"(((a)))", []string{"a"}, []string{""}},
	{"\n  - a\n  - b and c", []string{"a", "bc"}, []string{"b", "c"}},
}

func TestMatch_Conditions(t *testing.T) {
	for _, c := range conditionCases {
		names := []string{"a", "b", "c", "_low"}
		if strings.Contains(c.condition, "sel_") || strings.Contains(c.condition, "*_x") {
			names = append(names, "sel_x", "sel_y")
		}
		var d strings.Builder
		for _, n := range names {
			letter := n[len(n)-1:]
			if n == "_low" {
				letter = "_"
			}
			fmt.Fprintf(&d, "%s:\n  f|contains: %s\n", n, letter)
		}
		d.WriteString("condition: " + c.condition)
		rs, result := compile(t, d.String())
		if err := result.Err(); err != nil {
			t.Errorf("%s: %v", c.condition, err)
			continue
		}
		ref := refParse([]byte(ruleHead + indent(d.String())))
		for _, f := range slices.Concat(c.yes, c.no) {
			want, record := slices.Contains(c.yes, f), fmt.Sprintf(`{"f":%q,"eventName":"e"}`, f)
			if got := matches(t, rs, record); got != want {
				t.Errorf("%s with %q: got %t, want %t", c.condition, f, got, want)
			}
			if got := ref.matches([]byte(record)); got != want {
				t.Errorf("reference: %s with %q: got %t, want %t", c.condition, f, got, want)
			}
		}
	}
}

func TestMatch_DetectionForms(t *testing.T) {
	for _, c := range []struct {
		name, detection string
		yes, no         []string
	}{
		{"map", "s: {a: 1, b: 2}\ncondition: s", []string{`{"a":1,"b":2}`}, []string{`{"a":1}`, `{"a":1,"b":3}`}},
		{"list of maps", "s:\n  - {a: 1}\n  - {b: 2}\ncondition: s", []string{`{"a":1}`, `{"b":2}`}, []string{`{"c":1}`}},
		{"keywords", "s:\n  - foo\n  - 'b*r'\ncondition: s", []string{`{"x":"a FOO b"}`, `{"foo":1}`, `{"x":{"y":["bar"]}}`, `{"x":"b","y":"r"}`}, []string{`{"x":"f oo"}`}},
		{"one keyword", "s: foo\ncondition: s", []string{`{"x":"foo"}`}, []string{`{"x":1}`}},
		{"number as keyword", "s: 42\ncondition: s", []string{`{"x":4242}`}, []string{`{"x":4}`}},
		{"all keywords", "s:\n  '|all': [foo, bar]\ncondition: s", []string{`{"x":"foo","y":"bar"}`}, []string{`{"x":"foo"}`}},
		{"keyword with backslash", "s: 'DOM\\user'\ncondition: s", []string{`{"x":"DOM\\user"}`}, []string{`{"x":"DOMuser"}`}},
		{"keyword with regular expression", "s:\n  '|re': 'fo+\"'\ncondition: s", []string{`{"x":"foo"}`}, []string{`{"x":"f"}`}},
		{"maps and keywords", "s:\n  - foo\n  - {a: 1}\ncondition: s", []string{`{"x":"foo"}`, `{"a":1}`}, []string{`{"a":2}`}},
	} {
		rs, result := compile(t, c.detection)
		if err := result.Err(); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		ref := refParse([]byte(ruleHead + indent(c.detection)))
		for _, record := range slices.Concat(c.yes, c.no) {
			want := slices.Contains(c.yes, record)
			if got := matches(t, rs, record); got != want {
				t.Errorf("%s: %s: got %t, want %t", c.name, record, got, want)
			}
			if got := ref.matches([]byte(record)); got != want {
				t.Errorf("reference: %s: %s: got %t, want %t", c.name, record, got, want)
			}
		}
	}
}

// Patterns and texts consist of characters whose handling could differ.
func TestMatch_PatternsAgreeWithReference(t *testing.T) {
	letters := []rune{'a', 'A', 'b', 'k', 'K', '\u212a', 's', '\u017f', 'é', 'É', '"', '\\', '*', '?', '\n', 'x'}
	rapid.Check(t, func(r *rapid.T) {
		pattern := string(rapid.SliceOfN(rapid.SampledFrom(letters), 1, 6).Draw(r, "pattern"))
		how := rapid.SampledFrom([]string{"", "|contains", "|startswith", "|endswith", "|contains|cased", "|cased", "|re", "|re|i"}).Draw(r, "how")
		if strings.HasPrefix(how, "|re") {
			pattern = strings.NewReplacer(`\`, "(a", "*", "k)+", "?", "[sx]").Replace(pattern)
			if _, err := regexp.Compile(pattern); err != nil {
				return
			}
		}
		quoted, _ := json.Marshal(pattern)
		src := ruleHead + indent("s: {f"+how+": "+string(quoted)+"}\ncondition: s")
		rs, result := detect.LoadText(detect.Options{}, []byte(src))
		if err := result.Err(); err != nil {
			r.Fatal(err)
		}
		ref := refParse([]byte(src))
		for range 5 {
			text := string(rapid.SliceOfN(rapid.SampledFrom(letters), 0, 12).Draw(r, "text"))
			value, _ := json.Marshal(text)
			record := `{"eventName":"e","f":` + string(value) + `}`
			if got, want := matches(t, rs, record), ref.matches([]byte(record)); got != want {
				r.Fatalf("%s with %s: got %t, want %t as in the reference", src, record, got, want)
			}
		}
	})
}
