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
title: Keys for another
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

// TestTryNamesTheComparisonsThatDecide holds one rule against records that each
// fail it in another way.
func TestTryNamesTheComparisonsThatDecide(t *testing.T) {
	rs, report := detect.LoadText(detect.Options{Placeholders: map[string][]string{"kinds": {"IAMUser", "Root"}}}, []byte(tracedRule))
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ record, want string }{
		"hit": {`{"eventSource":"iam.amazonaws.com","eventName":"CreateAccessKey","userIdentity":{"type":"Root"}}`,
			`hit: eventSource:7 asks "iam.amazonaws.com" has "iam.amazonaws.com"; eventName|startswith:8 asks "CreateAccess" has "CreateAccessKey"; userIdentity.type|expand:9 asks "IAMUser" or "Root" has "Root"; ` +
				`requestParameters.userName|fieldref:11 asks the field userIdentity.userName has nothing left out; errorCode|exists:13 asks true has nothing left out`},
		"another event": {`{"eventSource":"iam.amazonaws.com","eventName":"ListUsers"}`, "1 others"},
		"two differ": {`{"eventSource":"sts.amazonaws.com","eventName":"CreateAccessKey","userIdentity":{}}`,
			`eventSource:7 asks "iam.amazonaws.com" has "sts.amazonaws.com"; userIdentity.type|expand:9 asks "IAMUser" or "Root" has nothing`},
		"left out": {`{"eventSource":"iam.amazonaws.com","eventName":"CreateAccessKey","userIdentity":{"type":"Root"},"errorCode":"AccessDenied"}`,
			`errorCode|exists:13 asks true has "AccessDenied" left out`},
		"by a field": {`{"eventSource":"iam.amazonaws.com","eventName":"CreateAccessKey","userIdentity":{"type":"IAMUser","userName":"jo"},"requestParameters":{"userName":"jo"}}`,
			`requestParameters.userName|fieldref:11 asks the field userIdentity.userName has "jo" left out`},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := detect.DecodeRecord([]byte(c.record))
			if err != nil {
				t.Fatal(err)
			}
			tried, others := rs.Trace(r)
			got := fmt.Sprintf("%d others", others)
			if len(tried) == 1 {
				var parts []string
				for _, m := range tried[0].Compared {
					part := fmt.Sprintf("%s:%d asks %s has %s", m.Field, m.Line, m.Expected, m.Actual)
					if m.Negated {
						part += " left out"
					}
					parts = append(parts, part)
				}
				if got = strings.Join(parts, "; "); tried[0].Hit {
					got = "hit: " + got
				}
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestTryAgreesWithMatch: what is explained is what was decided, whatever the
// record; and rules that were kept decide as those they were kept from.
func TestTryAgreesWithMatch(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "own.yml"), []byte(tracedRule), 0o600); err != nil {
		t.Fatal(err)
	}
	o := detect.Options{Builtin: true, Levels: map[string]detect.Level{"keys": detect.Low}, Placeholders: map[string][]string{"kinds": {"IAMUser"}}}
	rs, report := detect.Load(o, folder)
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	again, err := detect.Restore(rs.Source())
	if err != nil || again.Digest() != rs.Digest() {
		t.Fatalf("restored: %v, %s and %s", err, rs.Digest(), again.Digest())
	}
	for change, other := range map[string]detect.Options{"level": {Builtin: true, Placeholders: o.Placeholders}, "built-ins": {Levels: o.Levels, Placeholders: o.Placeholders},
		"placeholders": {Builtin: true, Levels: o.Levels, Placeholders: map[string][]string{"kinds": {"Root"}}}, "off": {Builtin: true, Levels: o.Levels, Placeholders: o.Placeholders, Disable: []string{"keys"}}} {
		if changed, _ := detect.Load(other, folder); changed.Digest() == rs.Digest() {
			t.Errorf("the digest does not see the %s", change)
		}
	}
	same := o
	same.Disable, same.Enable = []string{}, []string{}
	if alike, _ := detect.Load(same, folder); alike.Digest() != rs.Digest() {
		t.Error("the digest changes with how nothing is written")
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
					tried, others := rules.Trace(r)
					singles := 0
					for _, rule := range rules.Rules() {
						if rule.Correlation == nil {
							singles++
						}
					}
					if len(tried)+others != singles {
						t.Errorf("%d tried, %d others, %d in all", len(tried), others, singles)
					}
					for _, x := range tried {
						if x.Hit {
							got = append(got, x.Rule.ID)
						}
						if len(x.Compared) == 0 {
							t.Errorf("nothing says why %s matches %s: %v", x.Rule.ID, r.Raw(), x.Hit)
						}
					}
					slices.Sort(want)
					slices.Sort(got)
					if !slices.Equal(want, got) {
						t.Errorf("%s: matched %v, explained %v", r.Raw(), want, got)
					}
				}
			}
		}
	}
}
