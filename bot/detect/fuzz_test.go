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

// FuzzDecodeRecord checks that DecodeRecord accepts only valid JSON, does not
// modify its input and agrees with encoding/json. The compact text of a record
// decodes to an equal record.
func FuzzDecodeRecord(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":[1,{"b":null}],"c":"\u00e9\ud83d\ude00\n"}`, ` {"a" : 1.50e-3 } `, `{"a":{"a":{}}}`, `{"a.b":{"c":true},"a":[[]]}`} {
		f.Add([]byte(s))
	}
	for _, p := range append(intaketest.Fixtures(f, "testdata/trail/*/*.json"), intaketest.Corpus(f, "aws-eventbridge/*/*.json", "aws-guardduty/*.json")...) {
		f.Add(p.Body)
	}
	rs, _ := detect.Load(detect.Options{All: true, Builtin: true})
	f.Fuzz(func(t *testing.T, src []byte) {
		before := bytes.Clone(src)
		r, err := detect.DecodeRecord(src)
		if !bytes.Equal(before, src) {
			t.Fatalf("got input %q after decoding, want %q", src, before)
		}
		if err != nil {
			return
		}
		if !json.Valid(src) || !utf8.Valid(src) {
			t.Fatalf("got no error for %q", src)
		}
		if !bytes.Equal(r.Raw(), bytes.TrimSpace(src)) {
			t.Fatalf("got raw %q, want %q", r.Raw(), bytes.TrimSpace(src))
		}
		text, _ := r.Lookup("")
		if want := refJSON(refDecode(src)); text != want {
			t.Fatalf("got text %s, want %s", text, want)
		}
		again, err := detect.DecodeRecord([]byte(text))
		if err != nil {
			t.Fatalf("decode compact text: got error %v", err)
		}
		hits := func(r *detect.Record) (n int) {
			rs.Match(r, func(detect.Hit) { n++ })
			return n
		}
		if second, _ := again.Lookup(""); second != text || hits(r) != hits(again) {
			t.Fatalf("decode compact text: got %s with %d hits, want %s with %d", second, hits(again), text, hits(r))
		}
		_, err = detect.Read(bytes.NewReader(src), func(*detect.Record) error { return nil }, func(detect.Problem) {})
		if err != nil && !bytes.HasPrefix(src, []byte{0x1f, 0x8b}) {
			t.Fatal(err)
		}
	})
}

// FuzzCompile checks that loading any file is deterministic, gives a reason for
// each refused document, and returns rules that can be matched.
func FuzzCompile(f *testing.F) {
	for _, truth := range operatorCases {
		f.Add(ruleHead + indent("s:\n  "+truth.item+"\ncondition: s"))
	}
	for _, c := range conditionCases {
		f.Add(ruleHead + indent("a: {f: 1}\nb: [x]\nc: {g|re: y}\ncondition: "+c.condition))
	}
	f.Add(rule("a") + "---\n" + correlationHead + indent("type: event_count\nrules: [a]\ntimespan: 1m\ncondition: {gte: 3}"))
	f.Add(rule("a") + "---\nfilter:\n  rules: any\n  s: {f: 1}\n  condition: not s\n")
	for _, p := range append(intaketest.Fixtures(f, sigmaDir+"/*/*.yml"), intaketest.Corpus(f, "sigma-cloudtrail/*/*.yml")...) {
		f.Add(string(p.Body))
	}
	r, err := detect.DecodeRecord([]byte(operatorRecord(`"abc"`)))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, src string) {
		var results []string
		for range 2 {
			rs, result := detect.LoadText(detect.Options{All: true}, []byte(src))
			if result.Usable != len(rs.Rules()) {
				t.Fatalf("got %d usable rules, want %d", result.Usable, len(rs.Rules()))
			}
			hits := 0
			rs.Match(r, func(h detect.Hit) { hits++; _ = h.Rule.Title })
			for _, refused := range result.Refused {
				if refused.Reason == "" || refused.File == "" {
					t.Fatalf("got %+v, want a file and a reason", refused)
				}
			}
			b, _ := json.Marshal(result)
			results = append(results, string(b), strings.Repeat("x", hits))
		}
		if results[0] != results[2] || results[1] != results[3] {
			t.Fatalf("got %s with hits %s, then %s with hits %s", results[0], results[1], results[2], results[3])
		}
	})
}

// FuzzRead checks that the sizes of reads do not change the result, and that the
// raw bytes of each record can be decoded.
func FuzzRead(f *testing.F) {
	one := `{"eventName":"E","eventID":"1","x":[{"y":"\\"}]}`
	for _, s := range []string{
		`{"Records":[` + one + `,` + one + `]}`, one + "\n" + one, `[` + one + `,7,{}]`, `{"detail-type":"x","detail":` + one + `}`,
		`{"a":1,"Records":[` + one + `]}`, `[` + one + `,{"eventName":`, "x\n" + one, gzipped(one),
	} {
		f.Add([]byte(s))
	}
	for _, p := range append(intaketest.Fixtures(f, trailFixtures...), intaketest.Corpus(f, "cloudtrail-invictus/records/*.json", "cloudtrail-otrf/*", "aws-eventbridge/envelopes/*.json")...) {
		f.Add(p.Body)
		f.Add([]byte(gzipped(string(p.Body))))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		describe := func(in io.Reader) string {
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
		if want, got := describe(bytes.NewReader(src)), describe(iotest.HalfReader(iotest.OneByteReader(bytes.NewReader(src)))); want != got {
			t.Fatalf("small reads: got  %s\nwant %s", got, want)
		}
	})
}

// FuzzPolicies checks that the derived fields of any policy agree with the
// reference, and that spaces do not change them.
func FuzzPolicies(f *testing.F) {
	for _, principal := range append(publicPrincipals, namedPrincipals...) {
		for _, c := range append(restrictingConditions, openConditions...) {
			b, _ := json.Marshal(object{"Statement": []any{newStatement(principal, object{"Condition": c})}})
			f.Add(string(b), false)
		}
	}
	for _, action := range []string{"*", "iam:*", "i?m:P*", "*:Put*", "sts:Assume*", "iam:?ass*"} {
		for _, resource := range []string{"*", "arn:aws:iam::111122223333:*", "arn:aws-cn:iam::*:role/*", "arn:aws:iam::*:user/?*"} {
			b, _ := json.Marshal(object{"Statement": newStatement(object{"Action": action, "Resource": []any{resource, "arn:aws:s3:::b"}})})
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
			t.Fatalf("got  %s\nwant %s\nfor %s", got, want, record)
		}
		again, err := detect.DecodeRecord([]byte(` { "requestParameters" : { "policy" : ` + policy + ` } , "recipientAccountId" : "111122223333" }`))
		if err != nil {
			t.Fatal(err)
		}
		if second, _ := again.Lookup("tocsin.policy"); second != got {
			t.Fatalf("with spaces: got %s, want %s", second, got)
		}
	})
}

// FuzzNetworks checks that the derived fields of any networks agree with the
// reference.
func FuzzNetworks(f *testing.F) {
	f.Add(`{"ipProtocol":"tcp","fromPort":22,"cidrIp":"203.0.113.9/0"}`)
	f.Add(`{"aclProtocol":-1,"ipv6CidrBlock":"::/1, 8000::/1","x":{"portRange":{"from":1,"to":0},"cidrs":["::ffff:0:0/95","pl-1"]}}`)
	f.Add(`{"a":"[\"0.0.0.0/0\",\"1.2.3.4%eth0/8\"]","cidr":"01.2.3.4/008"}`)
	f.Fuzz(func(t *testing.T, params string) {
		record := networkRecord(params, "null")
		if _, err := detect.DecodeRecord([]byte(record)); err != nil {
			return
		}
		compareNetworks(t, record)
	})
}
