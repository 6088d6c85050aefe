package detect_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tocsin/bot/detect"
)

const tracedRule = `
title: Keys for another user
id: keys
logsource: {product: aws, service: cloudtrail}
detection:
  act:
    eventSource: iam.amazonaws.com
    eventName|startswith: CreateAccess
    userIdentity.type|expand: '%kinds%'
  self:
    requestParameters.userName|fieldref: userIdentity.userName
  broken:
    errorCode|exists: true
  condition: act and not (self or broken)
level: high
`

func TestTrace_DecidingComparisons(t *testing.T) {
	rs, result := detect.LoadText(detect.Options{Placeholders: map[string][]string{"kinds": {"IAMUser", "Root"}}}, []byte(tracedRule))
	if err := result.Err(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ record, want string }{
		"match": {`{"eventSource":"iam.amazonaws.com","eventName":"CreateAccessKey","userIdentity":{"type":"Root"}}`,
			`hit: eventSource:7 expected "iam.amazonaws.com" got "iam.amazonaws.com"; eventName|startswith:8 expected "CreateAccess" got "CreateAccessKey"; userIdentity.type|expand:9 expected "IAMUser" or "Root" got "Root"; ` +
				`requestParameters.userName|fieldref:11 expected the field userIdentity.userName got no value negated; errorCode|exists:13 expected true got no value negated`},
		"other event": {`{"eventSource":"iam.amazonaws.com","eventName":"ListUsers"}`, "1 others"},
		"two values differ": {`{"eventSource":"sts.amazonaws.com","eventName":"CreateAccessKey","userIdentity":{}}`,
			`eventSource:7 expected "iam.amazonaws.com" got "sts.amazonaws.com"; userIdentity.type|expand:9 expected "IAMUser" or "Root" got no value`},
		"excluded": {`{"eventSource":"iam.amazonaws.com","eventName":"CreateAccessKey","userIdentity":{"type":"Root"},"errorCode":"AccessDenied"}`,
			`errorCode|exists:13 expected true got "AccessDenied" negated`},
		"excluded by a field": {`{"eventSource":"iam.amazonaws.com","eventName":"CreateAccessKey","userIdentity":{"type":"IAMUser","userName":"jo"},"requestParameters":{"userName":"jo"}}`,
			`requestParameters.userName|fieldref:11 expected the field userIdentity.userName got "jo" negated`},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := detect.DecodeRecord([]byte(c.record))
			if err != nil {
				t.Fatal(err)
			}
			traces, others := rs.Trace(r)
			got := fmt.Sprintf("%d others", others)
			if len(traces) == 1 {
				var parts []string
				for _, m := range traces[0].Compared {
					part := fmt.Sprintf("%s:%d expected %s got %s", m.Field, m.Line, m.Expected, m.Actual)
					if m.Negated {
						part += " negated"
					}
					parts = append(parts, part)
				}
				if got = strings.Join(parts, "; "); traces[0].Hit {
					got = "hit: " + got
				}
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// Trace and Match agree for all records, also with a restored ruleset.
func TestTrace_AgreesWithMatch(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "own.yml"), []byte(tracedRule), 0o600); err != nil {
		t.Fatal(err)
	}
	o := detect.Options{Builtin: true, Levels: map[string]detect.Level{"keys": detect.Low}, Placeholders: map[string][]string{"kinds": {"IAMUser"}}}
	rs, result := detect.Load(o, folder)
	if err := result.Err(); err != nil {
		t.Fatal(err)
	}
	again, err := detect.Restore(rs.Source())
	if err != nil || again.Digest() != rs.Digest() {
		t.Fatalf("restore: got error %v, digest %s, want %s", err, again.Digest(), rs.Digest())
	}
	for change, other := range map[string]detect.Options{"level": {Builtin: true, Placeholders: o.Placeholders}, "built-ins": {Levels: o.Levels, Placeholders: o.Placeholders},
		"placeholders": {Builtin: true, Levels: o.Levels, Placeholders: map[string][]string{"kinds": {"Root"}}}, "off": {Builtin: true, Levels: o.Levels, Placeholders: o.Placeholders, Disable: []string{"keys"}}} {
		if changed, _ := detect.Load(other, folder); changed.Digest() == rs.Digest() {
			t.Errorf("got an unchanged digest after a change of %s", change)
		}
	}
	empty := o
	empty.Disable, empty.Enable = []string{}, []string{}
	if equal, _ := detect.Load(empty, folder); equal.Digest() != rs.Digest() {
		t.Error("got different digests for nil and empty options")
	}
	for _, source := range []string{"iam.amazonaws.com", "cloudtrail.amazonaws.com", "signin.amazonaws.com", "s3.amazonaws.com"} {
		for _, call := range []string{"StopLogging", "ConsoleLogin", "CreateAccessKey", "PutBucketPolicy", "ListUsers", "DeactivateMFADevice"} {
			for _, who := range []string{"Root", "IAMUser", "AssumedRole"} {
				r, err := detect.DecodeRecord(fmt.Appendf(nil, `{"eventSource":%q,"eventName":%q,"userIdentity":{"type":%q,"userName":"jo"},"additionalEventData":{"MFAUsed":"No"},"responseElements":{"ConsoleLogin":"Success"}}`, source, call, who))
				if err != nil {
					t.Fatal(err)
				}
				for _, rules := range []*detect.Ruleset{rs, again} {
					var want, got []string
					rules.Match(r, func(h detect.Hit) { want = append(want, h.Rule.ID) })
					traces, others := rules.Trace(r)
					singles := 0
					for _, rule := range rules.Rules() {
						if rule.Correlation == nil {
							singles++
						}
					}
					if len(traces)+others != singles {
						t.Errorf("got %d traces and %d other rules, want %d in total", len(traces), others, singles)
					}
					for _, x := range traces {
						if x.Hit {
							got = append(got, x.Rule.ID)
						}
						if len(x.Compared) == 0 {
							t.Errorf("%s for %s (hit: %v): got no comparisons", x.Rule.ID, r.Raw(), x.Hit)
						}
					}
					slices.Sort(want)
					slices.Sort(got)
					if !slices.Equal(want, got) {
						t.Errorf("%s: got hits %v from Trace, want %v", r.Raw(), got, want)
					}
				}
			}
		}
	}
}
