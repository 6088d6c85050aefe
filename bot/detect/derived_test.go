package detect_test

import (
	"encoding/json"
	"fmt"
	"testing"
)

func TestField_Secrets(t *testing.T) {
	const (
		secrets    = "secretsmanager"
		parameters = "ssm"
		here       = `:111122223333:eu-west-1:`
	)
	for _, c := range []struct{ service, params, answer, field, want string }{
		{secrets, `{"secretId":"db"}`, `null`, "names", `["secret` + here + `db"]`},
		{secrets, `{"secretId":"arn:aws:secretsmanager:eu-west-1:111122223333:secret:db-AbC123"}`, `null`, "names", `["secret` + here + `db"]`},
		{secrets, `{"secretId":"arn:aws-cn:secretsmanager:cn-north-1:999988887777:secret:a/db-AbC123"}`, `null`, "names", `["secret:999988887777:cn-north-1:a/db"]`},
		{secrets, `{"secretId":"db","versionId":"1","versionStage":"AWSCURRENT"}`, `null`, "count", `1`},
		{secrets, `{"secretIdList":["a","b","a"]}`, `null`, "count", `2`},
		{secrets, `{"filters":[{"key":"name","values":["a"]}]}`, `null`, "names", ""},
		{secrets, `{"filters":[]}`, `{"secretValues":[{"aRN":"arn:aws:secretsmanager:eu-west-1:111122223333:secret:a-AbC123"}]}`, "names", `["secret` + here + `a"]`},
		{parameters, `{"names":["/a/b","/a/b:3","/a/b:prod","arn:aws:ssm:eu-west-1:111122223333:parameter/a/b"]}`, `null`, "names", `["parameter` + here + `a/b"]`},
		{parameters, `{"name":"a"}`, `null`, "names", `["parameter` + here + `a"]`},
		{parameters, `{"name":"/aws/reference/secretsmanager/db"}`, `null`, "names", `["secret` + here + `db"]`},
		{parameters, `{"path":"/a/"}`, `null`, "names", `["parameters` + here + `a/"]`},
		{parameters, `{"path":"/a"}`, `null`, "count", ""},
		{parameters, `{"path":"/a"}`, `{"parameters":[{"name":"/a/b"},{"name":"/a/c"}]}`, "count", `2`},
		{"kms", `{"encryptionContext":{"PARAMETER_ARN":"arn:aws:ssm:eu-west-1:111122223333:parameter/a/b"}}`, `null`, "names", `["parameter` + here + `a/b"]`},
		{"kms", `{"encryptionContext":{"SecretARN":"arn:aws:secretsmanager:eu-west-1:111122223333:secret:db-AbC123"}}`, `null`, "names", `["secret` + here + `db"]`},
		{"kms", `{"encryptionContext":{"aws:ebs:id":"vol-1"}}`, `null`, "names", ""},
		{"s3", `{"name":"a"}`, `null`, "names", ""},
	} {
		record := fmt.Sprintf(`{"eventSource":"%s.amazonaws.com","awsRegion":"eu-west-1","recipientAccountId":"111122223333","requestParameters":%s,"responseElements":%s}`, c.service, c.params, c.answer)
		if got := field(t, record, "tocsin.secret."+c.field); got != c.want {
			t.Errorf("%s of %s: got %q, want %q", c.field, record, got, c.want)
		}
	}
}

func TestField_Lifecycle(t *testing.T) {
	for rules, want := range map[string]string{
		`null`:                      "",
		`{"Expiration":{"Days":7}}`: "7",
		`[{"Status":"Enabled","Expiration":{"Days":7}},{"Status":"Disabled","Expiration":{"Days":1}}]`:                                   "7",
		`{"status":"ENABLED","expiration":[{"days":"2"}]}`:                                                                               "2",
		`{"Status":"Enabled","Expiration":{"Days":null}}`:                                                                                "",
		`{"Status":"Enabled","Expiration":{"Days":"many"}}`:                                                                              "",
		`{"Status":"Enabled","Expiration":{"ExpiredObjectDeleteMarker":true}}`:                                                           "",
		`{"Status":"Enabled","AbortIncompleteMultipartUpload":{"DaysAfterInitiation":1}}`:                                                "",
		`{"Status":"Enabled","Transition":{"Days":1},"NoncurrentVersionTransition":{"NoncurrentDays":1}}`:                                "",
		`{"Status":"Enabled","NoncurrentVersionExpiration":{"NoncurrentDays":1}}`:                                                        "1",
		`{"Status":"Enabled","NoncurrentVersionExpiration":{"NoncurrentDays":1,"NewerNoncurrentVersions":3}}`:                            "",
		`{"Status":"Enabled","Expiration":{"Days":90},"NoncurrentVersionExpiration":{"NoncurrentDays":5,"NewerNoncurrentVersions":"0"}}`: "5",
		`{"Status":"Enabled","Expiration":{"Date":"2026-03-04T00:00:00.000Z"}}`:                                                          "2",
		`{"Status":"Enabled","Expiration":{"Date":"2026-03-02"}}`:                                                                        "0",
		`{"Status":"Enabled","Expiration":{"Date":"2030-03-02"}}`:                                                                        "1461",
		`{"Status":"Enabled","Expiration":{"Date":"Mon Mar 09 00:00:00 UTC 2026"}}`:                                                      "7",
		`{"Status":"Enabled","Expiration":{"Date":"some day"}}`:                                                                          "0",
	} {
		for _, at := range []string{"2026-03-02T09:00:00Z", "2026-03-02 09:00:00.000000000"} {
			record := fmt.Sprintf(`{"eventTime":%q,"requestParameters":{"LifecycleConfiguration":{"Rule":%s}}}`, at, rules)
			if got := field(t, record, "tocsin.lifecycle.days"); got != want {
				t.Errorf("%s: got %q, want %q", record, got, want)
			}
		}
	}
}

func TestField_TrailManagementEvents(t *testing.T) {
	basic := func(selectors string) string { return `{"eventSelectors":` + selectors + `}` }
	advanced := func(fields ...string) string {
		var selectors []any
		for _, f := range fields {
			selectors = append(selectors, object{"fieldSelectors": json.RawMessage(f)})
		}
		b, _ := json.Marshal(object{"advancedEventSelectors": selectors})
		return string(b)
	}
	const management = `{"field":"eventCategory","equals":["Management"]}`
	for params, want := range map[string]string{
		`null`:              "",
		`{"trailName":"t"}`: "",
		basic(`[]`):         "none",
		basic(`[{}]`):       "all",
		basic(`{"includeManagementEvents":true}`):                                                                                       "all",
		basic(`[{"includeManagementEvents":"False"}]`):                                                                                  "none",
		basic(`[{"readWriteType":"WriteOnly"}]`):                                                                                        "some",
		basic(`[{"readWriteType":"WriteOnly"},{"readWriteType":"READONLY"}]`):                                                           "all",
		basic(`[{"excludeManagementEventSources":[]}]`):                                                                                 "all",
		basic(`[{"excludeManagementEventSources":["kms.amazonaws.com"]}]`):                                                              "some",
		basic(`[{"includeManagementEvents":false},{"includeManagementEvents":true}]`):                                                   "all",
		advanced(`[` + management + `]`):                                                                                                "all",
		advanced(`[{"field":"eventCategory","equals":["Data"]}]`):                                                                       "none",
		advanced(`[{"field":"eventCategory","equals":["Data"]}]`, `[`+management+`]`):                                                   "all",
		advanced(`[` + management + `,{"field":"readOnly","equals":["true"]}]`):                                                         "some",
		advanced(`[`+management+`,{"field":"readOnly","equals":["true"]}]`, `[`+management+`,{"field":"readOnly","equals":["false"]}]`): "all",
		advanced(`[` + management + `,{"field":"eventSource","notEquals":["kms.amazonaws.com"]}]`):                                      "some",
		`{"eventSelectors":[{}],"advancedEventSelectors":[]}`:                                                                           "all",
		`{"eventSelectors":[],"advancedEventSelectors":[{"fieldSelectors":[` + management + `]}]}`:                                      "all",
	} {
		if got := field(t, `{"requestParameters":`+params+`}`, "tocsin.trail.management_events"); got != want {
			t.Errorf("%s: got %q, want %q", params, got, want)
		}
	}
}
