package detect_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tocsin/bot/detect"
)

type object = map[string]any

// restrictingConditions restrict access. There is one for each key and operator
// that can.
var restrictingConditions = []object{
	{"StringEquals": object{"aws:PrincipalOrgID": "o-a1b2c3d4e5"}},
	{"StringEquals": object{"aws:PrincipalOrgID": "${aws:ResourceOrgID}"}},
	{"ForAnyValue:StringLike": object{"aws:PrincipalOrgPaths": []any{"o-a1b2c3d4e5/r-1/*"}}},
	{"StringEquals": object{"aws:SourceOrgID": "o-a1b2c3d4e5"}},
	{"ForAnyValue:StringEquals": object{"aws:SourceOrgPaths": "o-a1b2c3d4e5/r-1/"}},
	{"StringEquals": object{"aws:VpceOrgID": "o-a1b2c3d4e5"}},
	{"ForAnyValue:StringLike": object{"aws:VpceOrgPaths": "o-a1b2c3d4e5/*"}},
	{"StringEquals": object{"aws:PrincipalAccount": []any{"111122223333", "999988887777"}}},
	{"StringEquals": object{"AWS:SourceAccount": "111122223333"}},
	{"StringEquals": object{"aws:SourceAccount": "${aws:ResourceAccount}"}},
	{"StringEqualsIgnoreCase": object{"aws:SourceOwner": "111122223333"}},
	{"StringEquals": object{"aws:VpceAccount": "111122223333"}},
	{"StringLike": object{"kms:CallerAccount": "111122223333"}},
	{"StringEquals": object{"s3:DataAccessPointAccount": "111122223333"}},
	{"ArnLike": object{"s3:DataAccessPointArn": "arn:aws:s3:*:111122223333:accesspoint/*"}},
	{"ArnEquals": object{"aws:PrincipalArn": "arn:aws:iam::111122223333:role/app"}},
	{"StringLike": object{"aws:PrincipalArn": "arn:aws:iam::111122223333:*"}},
	{"ArnLike": object{"aws:SourceArn": "arn:*:*:*:111122223333:*"}},
	{"ArnLike": object{"aws:SourceArn": "arn:aws:s3:::bucket"}},
	{"ArnEquals": object{"aws:SourceVpcArn": "arn:aws:ec2:us-east-1:111122223333:vpc/vpc-1"}},
	{"StringEquals": object{"aws:SourceVpc": "vpc-0123"}},
	{"StringEquals": object{"aws:SourceVpce": []any{"vpce-0123", "vpce-4567"}}},
	{"StringLike": object{"aws:userid": "AROAEXAMPLEEXAMPLE12:*"}},
	{"StringEquals": object{"aws:userid": "111122223333"}},
	{"IpAddress": object{"aws:SourceIp": []any{"192.0.2.1", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "2001:db8::/32"}}},
}

// openConditions do not restrict access, because anyone can satisfy them.
var openConditions = []object{
	{},
	{"Bool": object{"aws:SecureTransport": "true"}},
	{"Bool": object{"aws:PrincipalIsAWSService": "true"}},
	{"DateLessThan": object{"aws:CurrentTime": "2030-01-01T00:00:00Z"}},
	{"NumericLessThan": object{"s3:max-keys": "10"}},
	{"StringLike": object{"aws:Referer": "https://example.com/*", "aws:UserAgent": "x"}},
	{"StringEquals": object{"sts:ExternalId": "7", "sts:RoleSessionName": "x"}},
	{"StringEquals": object{"aws:RequestedRegion": "us-east-1"}},
	{"StringEquals": object{"aws:PrincipalType": "AssumedRole"}},
	{"StringEquals": object{"aws:PrincipalTag/team": "us"}},
	{"StringEquals": object{"aws:username": "alice"}},
	{"StringEquals": object{"aws:ResourceOrgID": "o-a1b2c3d4e5", "aws:ResourceAccount": "111122223333", "s3:ResourceAccount": "111122223333"}},
	{"StringEquals": object{"lambda:FunctionUrlAuthType": "AWS_IAM"}},
	{"StringEquals": object{"kms:ViaService": "s3.us-east-1.amazonaws.com"}},
	{"StringLike": object{"s3:prefix": "home/*"}},
	{"StringLike": object{"aws:PrincipalArn": "arn:aws:iam::*:*"}},
	{"StringLike": object{"aws:PrincipalArn": "**"}},
	{"StringLike": object{"aws:PrincipalArn": "arn:aws:*:111122223333:*"}},
	{"StringLike": object{"aws:SourceArn": "arn:aws:*:*:111122223333:*"}},
	{"ArnLike": object{"aws:PrincipalArn": []any{"arn:aws:iam::111122223333:role/a", "arn:aws:iam::*:role/a"}}},
	{"ArnLike": object{"aws:PrincipalArn": "arn:aws:iam::1111*:role/a"}},
	{"ArnLike": object{"aws:SourceArn": "arn:aws:s3:::*"}},
	{"StringLike": object{"aws:PrincipalOrgID": "*"}},
	{"StringLike": object{"aws:PrincipalOrgID": "o-*"}},
	{"ForAnyValue:StringLike": object{"aws:PrincipalOrgPaths": "o-*/r-1/*"}},
	{"StringLike": object{"aws:PrincipalAccount": "1*"}},
	{"StringEquals": object{"aws:PrincipalAccount": "${aws:PrincipalAccount}"}},
	{"StringEquals": object{"aws:PrincipalAccount": []any{}}},
	{"StringLike": object{"aws:SourceVpc": "vpc-*"}},
	{"StringLike": object{"aws:SourceVpce": []any{"vpce-1", "*"}}},
	{"StringLike": object{"aws:userid": "AIDA*"}},
	{"StringLike": object{"aws:userid": "*:alice"}},
	{"IpAddress": object{"aws:SourceIp": "0.0.0.0/0"}},
	{"IpAddress": object{"aws:SourceIp": []any{"0.0.0.0/1", "128.0.0.0/1"}}},
	{"IpAddress": object{"aws:SourceIp": []any{"192.0.2.0/24", "::/0"}}},
	{"IpAddress": object{"aws:SourceIp": []any{"2.0.0.0/8", "3.0.0.0/8", "4.0.0.0/8", "5.0.0.0/8", "6.0.0.0/16"}}},
	{"IpAddress": object{"aws:SourceIp": "2000::/3"}},
	{"IpAddress": object{"aws:SourceIp": "::ffff:0.0.0.0/96"}},
	{"IpAddress": object{"aws:VpcSourceIp": "10.0.0.0/8"}},
	{"NotIpAddress": object{"aws:SourceIp": "192.0.2.0/24"}},
	{"StringNotEquals": object{"aws:PrincipalOrgID": "o-a1b2c3d4e5"}},
	{"ArnNotLike": object{"aws:SourceArn": "arn:aws:s3:::bucket"}},
	{"StringEqualsIfExists": object{"aws:PrincipalOrgID": "o-a1b2c3d4e5"}},
	{"ForAllValues:StringEquals": object{"aws:PrincipalOrgID": "o-a1b2c3d4e5"}},
	{"Null": object{"aws:PrincipalOrgID": "false"}},
}

// publicPrincipals are the ways to write a public principal.
var publicPrincipals = []object{
	{"Principal": "*"},
	{"Principal": object{"AWS": "*"}},
	{"Principal": object{"AWS": []any{"*"}}},
	{"Principal": object{"Service": "s3.amazonaws.com", "AWS": []any{"arn:aws:iam::111122223333:root", "*"}}},
	{"Principal": object{"AWS": "arn:aws:iam::*:root"}},
	{"Principal": object{"Federated": "*"}},
	{"NotPrincipal": object{"AWS": "111122223333"}},
}

// namedPrincipals are principals that are not public.
var namedPrincipals = []object{
	{"Principal": object{"AWS": "111122223333"}},
	{"Principal": object{"AWS": []any{"arn:aws:iam::999988887777:role/app", "AIDAEXAMPLEEXAMPLE12"}}},
	{"Principal": object{"Service": "ec2.amazonaws.com"}},
	{"Principal": object{"Federated": "arn:aws:iam::111122223333:saml-provider/us"}},
	{"Principal": object{"Federated": "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com"}},
}

// policyFields are request parameters with policies. The value is true for policies
// in a JSON text and false for objects.
var policyFields = map[string]bool{
	"policy": true, "policyDocument": true, "assumeRolePolicyDocument": true, "resourcePolicy": true, "attributes.Policy": true,
	"bucketPolicy": false, "PutAccessPointPolicyRequest.Policy": true,
}

// encodeRandomly encodes v as JSON with a random order of keys, random spaces and
// unnecessary escapes.
func encodeRandomly(t *rapid.T, v any) string {
	space := func() string { return rapid.SampledFrom([]string{"", "", " ", "\n  "}).Draw(t, "space") }
	switch v := v.(type) {
	case object:
		keys := rapid.Permutation(slices.Sorted(maps.Keys(v))).Draw(t, "order")
		var members []string
		for _, k := range keys {
			members = append(members, space()+encodeRandomly(t, k)+space()+":"+encodeRandomly(t, v[k])+space())
		}
		return "{" + strings.Join(members, ",") + "}"
	case []any:
		var elements []string
		for _, e := range v {
			elements = append(elements, space()+encodeRandomly(t, e))
		}
		return "[" + strings.Join(elements, ",") + "]"
	case string:
		var b strings.Builder
		escape := rapid.IntRange(0, 4).Draw(t, "escape")
		for i, c := range v {
			switch {
			case c == '"' || c == '\\' || c < ' ' || escape > 0 && i%5 == escape:
				fmt.Fprintf(&b, `\u%04x`, c)
			default:
				b.WriteRune(c)
			}
		}
		return `"` + b.String() + `"`
	}
	return fmt.Sprint(v)
}

// policyRecord returns a record with a policy in a random request parameter.
func policyRecord(t *rapid.T, policy any) string {
	place := rapid.SampledFrom(slices.Sorted(maps.Keys(policyFields))).Draw(t, "place")
	if policyFields[place] {
		policy = encodeRandomly(t, policy)
	}
	var params any = policy
	parts := strings.Split(place, ".")
	for _, key := range slices.Backward(parts) {
		params = object{key: params}
	}
	return encodeRandomly(t, object{"eventName": "PutPolicy", "recipientAccountId": "111122223333", "requestParameters": params})
}

func field(t testing.TB, record, path string) string {
	r, err := detect.DecodeRecord([]byte(record))
	if err != nil {
		t.Fatalf("%s: %v", record, err)
	}
	return r.Field(path)
}

func newStatement(os ...object) object {
	out := object{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"}
	for _, o := range os {
		maps.Copy(out, o)
	}
	return out
}

// mergeConditions merges two condition blocks. If both have a key, the second one
// counts.
func mergeConditions(a, b object) object {
	out := object{}
	for _, block := range []object{a, b} {
		for op, keys := range block {
			all := object{}
			if before, ok := out[op].(object); ok {
				maps.Copy(all, before)
			}
			maps.Copy(all, keys.(object))
			out[op] = all
		}
	}
	return out
}

func TestPolicyPublic_EachCondition(t *testing.T) {
	for narrow, conditions := range map[bool][]object{true: restrictingConditions, false: openConditions} {
		for _, c := range conditions {
			for _, p := range publicPrincipals {
				policy, _ := json.Marshal(object{"Statement": newStatement(p, object{"Condition": c})})
				record, _ := json.Marshal(object{"requestParameters": object{"policy": string(policy)}})
				if got := field(t, string(record), "tocsin.policy.public"); got != fmt.Sprint(!narrow) {
					t.Errorf("got public %s, want %t: %s", got, !narrow, policy)
				}
			}
		}
	}
}

// A policy with a public statement is public unless a condition restricts the
// statement. Other conditions, other statements and the encoding do not matter.
func TestPolicyPublic_RandomPolicies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		condition := object{}
		for range rapid.IntRange(0, 3).Draw(t, "useless") {
			condition = mergeConditions(condition, rapid.SampledFrom(openConditions).Draw(t, "condition"))
		}
		principal := rapid.SampledFrom(publicPrincipals).Draw(t, "principal")
		narrowed := rapid.Bool().Draw(t, "narrowed")
		if narrowed {
			condition = mergeConditions(condition, rapid.SampledFrom(restrictingConditions).Draw(t, "narrowing"))
		}
		statements := []any{newStatement(principal, object{"Condition": condition})}
		if len(condition) == 0 && rapid.Bool().Draw(t, "absent") {
			statements[0] = newStatement(principal)
		}
		for range rapid.IntRange(0, 2).Draw(t, "others") {
			other := newStatement(rapid.SampledFrom(namedPrincipals).Draw(t, "named principal"))
			if rapid.Bool().Draw(t, "deny") {
				other = newStatement(rapid.SampledFrom(publicPrincipals).Draw(t, "denied"), object{"Effect": "Deny"})
			}
			statements = append(statements, other)
		}
		var policy any = object{"Version": "2012-10-17", "Statement": rapid.Permutation(statements).Draw(t, "statements")}
		if len(statements) == 1 && rapid.Bool().Draw(t, "single") {
			policy = object{"Statement": statements[0]}
		}
		record := policyRecord(t, policy)
		r, err := detect.DecodeRecord([]byte(record))
		if err != nil {
			t.Fatalf("%s: %v", record, err)
		}
		if got := r.Field("tocsin.policy.public"); got != fmt.Sprint(!narrowed) {
			t.Fatalf("got public %s, want %t: %s", got, !narrowed, record)
		}
		if _, got := r.Lookup("tocsin.policy.public_actions"); got == narrowed {
			t.Fatalf("got public actions %t, want %t: %s", got, !narrowed, record)
		}
		if want := refDerived(refDecode([]byte(record))); refJSON(refAt(want, "tocsin.policy")) != "["+r.Field("tocsin.policy")+"]" {
			t.Fatalf("got  %s\nwant %s\nfor %s", r.Field("tocsin.policy"), refJSON(want), record)
		}
	})
}

func TestField_DerivedFields(t *testing.T) {
	const own = `"eventSource":"lambda.amazonaws.com","recipientAccountId":"111122223333","requestParameters":`
	for _, c := range []struct{ params, field, want string }{
		{`null`, "public", ""},
		{`{"bucketName":"b","x":"{"}`, "public", ""},
		{`{"rules":[{"Statement":{"ByteMatchStatement":{}}}]}`, "public", ""}, // WAF rule
		{`{"policy":"%7B%22Statement%22%3A%7B%22Effect%22%3A%22Allow%22%2C%22Principal%22%3A%22*%22%7D%7D"}`, "public", "true"},
		{`{"desiredState":"{\"Doc\":{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":\"*\"}]}}"}`, "public", "true"},
		{`{"p":{"Statement":[{"Effect":"Allow","Principal":{"AWS":["999988887777","arn:aws:iam::111122223333:root","arn:aws:iam::999988887777:root"]}}]}}`, "other_accounts", `["999988887777"]`},
		{`{"p":{"Statement":[{"Effect":"Deny","Principal":{"AWS":"999988887777"}}]}}`, "other_accounts", ""},
		{`{"p":{"Statement":[{"Effect":"Allow","Principal":"*","Action":["s3:Put*","s3:**"]},{"Effect":"Allow","NotPrincipal":"x","NotAction":"s3:Get*"}]}}`, "public_actions", `["*","s3:*","s3:Put*"]`},
		{`{"p":{"Statement":[{"Effect":"Allow","Action":"iam:*","Resource":["arn:aws:s3:::b","arn:*:*:*:*:*"]},{"Effect":"Allow","Action":"a:b","Resource":"arn:aws:s3:::*"}]}}`, "broad_actions", `["iam:*"]`},
		{`{"p":{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Allow","Action":"iam:P*","Resource":"*"}]}}`, "powers", `["*","iam:PassRole","iam:PutGroupPolicy","iam:PutRolePermissionsBoundary","iam:PutRolePolicy","iam:PutUserPermissionsBoundary","iam:PutUserPolicy"]`},
		{`{"p":{"Statement":[{"Effect":"Allow","Action":["IAM:*"],"Resource":"arn:aws:iam::111122223333:*"}]}}`, "powers", `["iam:*"]`},
		{`{"p":{"Statement":[{"Effect":"Allow","Action":["iam:?ass*"],"Resource":"arn:*:iam::*:role/*"}]}}`, "powers", `["iam:PassRole"]`},
		{`{"p":{"Statement":[{"Effect":"Allow","Action":["iam:?ass*"],"Resource":"arn:aws:iam::999988887777:role/*"}]}}`, "powers", ""},
		{`{"p":{"Statement":[{"Effect":"Allow","Action":["iam:PassRole"],"Resource":["arn:aws:iam::111122223333:role/a*","arn:aws:iam::111122223333:user/*"]}]}}`, "powers", ""},
		{`{"p":{"Statement":[{"Effect":"Allow","NotAction":"s3:*","NotResource":"arn:aws:s3:::b"}]}}`, "powers", `["*"]`},
		{`{"p":{"Statement":[{"Effect":"Deny","Action":"*","Resource":"*"},{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}}`, "powers", ""},
		{`{"p":{"Statement":[{"Effect":"Allow","Principal":{"Federated":"cognito-identity.amazonaws.com"}}]}}`, "open_providers", `["cognito-identity.amazonaws.com"]`},
		{`{"policy":"{\"Statement\":[],\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":\"*\"}]}"}`, "unreadable", "true"},
		{`{"policy":"{\"Statement\":[],\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":\"*\"}]}"}`, "public", ""},
		{`{"body":"{ not json"}`, "unreadable", ""},
		{`{"policy":"%7B+%22Statement%22%3A+%7B%22Effect%22%3A%22Allow%22%2C%22Principal%22%3A%22*%22%7D%7D"}`, "public", "true"},
		{`{"policy":"%7B%22Statement%22%3A%7B%22Effect%22%3A%22Allow%22%2C%22Principal%22%3A%22*%22%2C%22Action%22%3A%22a+b%22%7D%7D"}`, "public_actions", `["a+b"]`},
		{`{"principal":"*","action":"lambda:InvokeFunction"}`, "public_actions", `["lambda:InvokeFunction"]`},
		{`{"principal":"*","sourceAccount":"111122223333"}`, "narrowed", "true"},
		{`{"principal":"999988887777"}`, "other_accounts", `["999988887777"]`},
	} {
		if got := field(t, "{"+own+c.params+"}", "tocsin.policy."+c.field); got != c.want {
			t.Errorf("%s of %s: got %q, want %q", c.field, c.params, got, c.want)
		}
	}
}

// Derived fields work with all modifiers, and fields of the record do not replace
// them.
func TestMatch_DerivedFields(t *testing.T) {
	const public = `{"tocsin":{"policy":{"public":false}},"tocsin.policy.public":false,"recipientAccountId":"999988887777",` +
		`"requestParameters":{"p":{"Statement":[{"Effect":"Allow","Principal":{"AWS":["*","111122223333"]},"Action":"s3:GetObject"}]}}}`
	for item, want := range map[string]bool{
		"tocsin.policy.public: true":                                                         true,
		"tocsin.policy.public: false":                                                        false,
		"tocsin.policy.public: null":                                                         false,
		"tocsin.policy.unreadable: null":                                                     true,
		"tocsin.policy.unreadable|exists: true":                                              false,
		"tocsin.policy.public_actions|startswith: 's3:'":                                     true,
		"tocsin.policy.public_actions|re: '^s3:Put'":                                         false,
		"tocsin.policy.other_accounts|fieldref: recipientAccountId":                          false,
		"requestParameters.p.Statement.Principal.AWS|fieldref: tocsin.policy.other_accounts": true,
		"recipientAccountId|fieldref|neq: tocsin.policy.other_accounts":                      true,
		"recipientAccountId|fieldref|neq: tocsin.policy.open_providers":                      false,
	} {
		detection := "s: {" + item + "}\ncondition: s"
		rs, result := compile(t, detection)
		if err := result.Err(); err != nil {
			t.Fatal(err)
		}
		if got := matches(t, rs, public); got != want {
			t.Errorf("%s: got %t, want %t", item, got, want)
		}
		if got := refParse([]byte(ruleHead + indent(detection))).matches([]byte(public)); got != want {
			t.Errorf("reference: %s: got %t, want %t", item, got, want)
		}
	}
	r, err := detect.DecodeRecord([]byte(public))
	if err != nil {
		t.Fatal(err)
	}
	rs, _ := compile(t, "s: {tocsin.policy.public: false}\ncondition: s")
	if traces, _ := rs.Trace(r); len(traces) != 1 || traces[0].Compared[0].Actual != `"true"` {
		t.Errorf("got traces %+v, want one with the actual value true", traces)
	}
	if err := r.Decode([]byte(`{}`)); err != nil || r.Field("tocsin.policy.public") != "" {
		t.Errorf("got public %q and error %v, want no value of the previous record", r.Field("tocsin.policy.public"), err)
	}
}

func TestLoad_RejectsUnknownDerivedFields(t *testing.T) {
	for _, detection := range []string{
		"s: {tocsin.policy.pubic: true}\ncondition: s", "s: {Tocsin.policy.public: true}\ncondition: s", "s: {tocsin.policy: x}\ncondition: s",
		"s: {eventName|fieldref: tocsin.policy.acounts}\ncondition: s", "s: {tocsin.policy.public.x|exists: true}\ncondition: s",
	} {
		_, result := compile(t, detection)
		if len(result.Refused) != 1 || result.Refused[0].Line == 0 || !strings.Contains(result.Refused[0].Reason, "known derived fields: tocsin.policy.public, ") {
			t.Errorf("%s: got errors %v", detection, result.Refused)
		}
	}
	for correlation, ok := range map[string]bool{
		"group-by: [tocsin.policy.public_actions]\ncondition: {gte: 3}":                     true,
		"group-by: [eventName, tocsin.policy.actions]\ncondition: {gte: 3}":                 false,
		"group-by: tocsin.policy.actions\ncondition: {gte: 3}":                              false,
		"group-by: [kind]\naliases: {kind: {a: tocsin.policy.public}}\ncondition: {gte: 3}": true,
		"group-by: [kind]\naliases: {kind: {a: tocsin.policy.publik}}\ncondition: {gte: 3}": false,
	} {
		_, result := detect.LoadText(detect.Options{}, []byte(rule("a")+"---\n"+correlationHead+indent("type: event_count\nrules: [a]\ntimespan: 1m\n"+correlation)))
		if (result.Err() == nil) != ok {
			t.Errorf("%s: got error %v, want valid: %t", correlation, result.Err(), ok)
		}
	}
	_, result := detect.LoadText(detect.Options{}, []byte(rule("a")+"---\n"+correlationHead+
		indent("type: value_count\nrules: [a]\ntimespan: 1m\ncondition: {gte: 3, field: tocsin.policy.x}")))
	if result.Err() == nil {
		t.Error("unknown field in a condition: got no error")
	}
}

func TestMatch_PolicyRulesAgreeWithReference(t *testing.T) {
	dir := t.TempDir()
	var refs []refRule
	for i, item := range []string{
		"tocsin.policy.public: false", "tocsin.policy.broad_actions|startswith: ''", "tocsin.policy.other_accounts|exists: true",
		"tocsin.policy.narrowed|exists: true", "tocsin.policy.unreadable: true", "tocsin.policy.public: true",
	} {
		src := strings.Replace(ruleHead, "id: t", fmt.Sprintf("id: r%d", i), 1) + indent("s: {"+item+"}\ncondition: s")
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.yml", i)), []byte(src), 0o600); err != nil {
			t.Fatal(err)
		}
		refs = append(refs, refParse([]byte(src)))
	}
	rs, result := detect.Load(detect.Options{}, dir)
	if err := result.Err(); err != nil {
		t.Fatal(err)
	}
	compareHitsOnBoth(t, rs, refs)
}
