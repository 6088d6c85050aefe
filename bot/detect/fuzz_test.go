package detect_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"tocsin/bot/detect"
	"tocsin/bot/intake/intaketest"
)

// FuzzDecodeRecord: what is accepted is valid JSON that reads the same twice,
// keeps its bytes, and whose text is what encoding/json makes of it.
func FuzzDecodeRecord(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":[1,{"b":null}],"c":"\u00e9\ud83d\ude00\n"}`, ` {"a" : 1.50e-3 } `, `{"a":{"a":{}}}`, `{"a.b":{"c":true},"a":[[]]}`} {
		f.Add([]byte(s))
	}
	for _, p := range intaketest.Recorded(f, "aws-eventbridge/*/*.json", "aws-guardduty/*.json") {
		f.Add(p.Body)
	}
	rs, _ := detect.Load(detect.Options{All: true, Builtin: true})
	f.Fuzz(func(t *testing.T, src []byte) {
		kept := bytes.Clone(src)
		r, err := detect.DecodeRecord(src)
		if !bytes.Equal(kept, src) {
			t.Fatal("the bytes changed")
		}
		if err != nil {
			return
		}
		if !json.Valid(src) || !utf8.Valid(src) {
			t.Fatalf("%q is accepted", src)
		}
		if !bytes.Equal(r.Raw(), bytes.TrimSpace(src)) {
			t.Fatalf("raw is %q", r.Raw())
		}
		text, _ := r.Lookup("")
		if want := refJSON(refDecode(src)); text != want {
			t.Fatalf("text is %s, not %s", text, want)
		}
		again, err := detect.DecodeRecord([]byte(text))
		if err != nil {
			t.Fatalf("its own text is refused: %v", err)
		}
		hits := func(r *detect.Record) (n int) {
			rs.Match(r, func(detect.Hit) { n++ })
			return n
		}
		if second, _ := again.Lookup(""); second != text || hits(r) != hits(again) {
			t.Fatalf("the second reading differs: %s", second)
		}
		_, err = detect.Read(bytes.NewReader(src), func(*detect.Record) error { return nil }, func(detect.Problem) {})
		if err != nil && !bytes.HasPrefix(src, []byte{0x1f, 0x8b}) {
			t.Fatal(err)
		}
	})
}

// FuzzCompile: any file is either used or refused with a reason, the same each
// time, and what is used can be matched.
func FuzzCompile(f *testing.F) {
	for _, truth := range operatorCases {
		f.Add(ruleHead + indent("s:\n  "+truth.item+"\ncondition: s"))
	}
	for _, c := range conditionCases {
		f.Add(ruleHead + indent("a: {f: 1}\nb: [x]\nc: {g|re: y}\ncondition: "+c.condition))
	}
	f.Add(rule("a") + "---\n" + correlationHead + indent("type: event_count\nrules: [a]\ntimespan: 1m\ncondition: {gte: 3}"))
	f.Add(rule("a") + "---\nfilter:\n  rules: any\n  s: {f: 1}\n  condition: not s\n")
	for _, p := range intaketest.Recorded(f, "sigma-cloudtrail/*/*.yml") {
		f.Add(string(p.Body))
	}
	r, err := detect.DecodeRecord([]byte(operatorRecord(`"abc"`)))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, src string) {
		var said []string
		for range 2 {
			rs, report := detect.LoadText(detect.Options{All: true}, []byte(src))
			if report.Usable != len(rs.Rules()) {
				t.Fatalf("%d usable of %d", report.Usable, len(rs.Rules()))
			}
			hits := 0
			rs.Match(r, func(h detect.Hit) { hits++; _ = h.Rule.Title })
			for _, refused := range report.Refused {
				if refused.Reason == "" || refused.File == "" {
					t.Fatal("refused without a reason")
				}
			}
			b, _ := json.Marshal(report)
			said = append(said, string(b), strings.Repeat("x", hits))
		}
		if said[0] != said[2] || said[1] != said[3] {
			t.Fatalf("%s then %s", said[0], said[2])
		}
	})
}

// FuzzRead: how a stream is cut into reads changes nothing, and every record
// that is handed on can be decoded by itself.
func FuzzRead(f *testing.F) {
	one := `{"eventName":"E","eventID":"1","x":[{"y":"\\"}]}`
	for _, s := range []string{
		`{"Records":[` + one + `,` + one + `]}`, one + "\n" + one, `[` + one + `,7,{}]`, `{"detail-type":"x","detail":` + one + `}`,
		`{"a":1,"Records":[` + one + `]}`, `[` + one + `,{"eventName":`, "x\n" + one, gzipped(one),
	} {
		f.Add([]byte(s))
	}
	for _, p := range intaketest.Recorded(f, "cloudtrail-invictus/records/*.json", "cloudtrail-otrf/*", "aws-eventbridge/envelopes/*.json") {
		f.Add(p.Body)
		f.Add([]byte(gzipped(string(p.Body))))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		look := func(in io.Reader) string {
			var out strings.Builder
			counts, err := detect.Read(in, func(r *detect.Record) error {
				again, err := detect.DecodeRecord(bytes.Clone(r.Raw()))
				if err != nil {
					t.Fatalf("%q: %v", r.Raw(), err)
				}
				fmt.Fprintf(&out, "%q ", again.Field(""))
				return nil
			}, func(p detect.Problem) { fmt.Fprintf(&out, "%v ", p) })
			fmt.Fprintf(&out, "%+v %v", counts, err)
			return out.String()
		}
		if whole, parts := look(bytes.NewReader(src)), look(iotest.HalfReader(iotest.OneByteReader(bytes.NewReader(src)))); whole != parts {
			t.Fatalf("at once: %s\nin parts: %s", whole, parts)
		}
	})
}

// FuzzPolicies: whatever stands in a policy, it is judged as the reference does,
// the same twice, and spaces change nothing.
func FuzzPolicies(f *testing.F) {
	for _, principal := range append(publicPrincipals, namedPrincipals...) {
		for _, c := range append(restrictingConditions, openConditions...) {
			b, _ := json.Marshal(object{"Statement": []any{newStatement(principal, object{"Condition": c})}})
			f.Add(string(b), false)
		}
	}
	f.Add(`%7B%22Statement%22%3A%7B%22Effect%22%3A%22Allow%22%2C%22Principal%22%3A%22*%22%7D%7D`, true)
	f.Add(`{"Statement":[],"Statement":[{"Effect":"Allow","Principal":"*"}]}`, true)
	f.Add(`{"a":"{\"Statement\":{\"Effect\":\"Allow\",\"NotAction\":1,\"Resource\":[\"*\",null]}}"}`, false)
	f.Fuzz(func(t *testing.T, policy string, asText bool) {
		if asText {
			policy = refQuote(policy)
		}
		record := `{"recipientAccountId":"111122223333","requestParameters":{"policy":` + policy + `}}`
		r, err := detect.DecodeRecord([]byte(record))
		if err != nil {
			return
		}
		got, _ := r.Lookup("tocsin.policy")
		want := ""
		if found := refAt(refDerived(refDecode([]byte(record))), "tocsin.policy"); found != nil {
			want = refJSON(found[0])
		}
		if got != want {
			t.Fatalf("%s\nthe reference says %s\nof %s", got, want, record)
		}
		again, err := detect.DecodeRecord([]byte(` { "requestParameters" : { "policy" : ` + policy + ` } , "recipientAccountId" : "111122223333" }`))
		if err != nil {
			t.Fatal(err)
		}
		if second, _ := again.Lookup("tocsin.policy"); second != got {
			t.Fatalf("with spaces %s, without %s", second, got)
		}
	})
}
