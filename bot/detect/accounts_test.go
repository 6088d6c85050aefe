package detect_test

import (
	"strings"
	"testing"
)

const (
	ownKey     = "arn:aws:kms:eu-west-1:111122223333:key/1"
	foreignKey = "arn:aws:kms:eu-west-1:999988887777:key/1"
)

func TestRequestAccounts(t *testing.T) {
	for name, c := range map[string]struct{ params, answer, others, keys string }{
		"nothing":                     {`null`, `null`, "", ""},
		"own account":                 {`{"accountId":"111122223333","key":"` + ownKey + `"}`, `null`, "", ""},
		"key by ID":                   {`{"kmsKeyId":"1234abcd-12ab-34cd-56ef-1234567890ab"}`, `null`, "", ""},
		"own alias":                   {`{"kmsKeyId":"alias/999988887777"}`, `null`, "", ""},
		"another account":             {`{"a":[{"b":"999988887777"},"111122223333"]}`, `null`, `["999988887777"]`, ""},
		"role of another account":     {`{"r":"arn:aws-cn:iam::999988887777:role/x"}`, `null`, `["999988887777"]`, ""},
		"key of another account":      {`{"k":"` + foreignKey + `"}`, `null`, `["999988887777"]`, `["999988887777"]`},
		"alias of another account":    {`{"k":["arn:aws-us-gov:kms:us-gov-west-1:999988887777:alias/x"]}`, `null`, `["999988887777"]`, `["999988887777"]`},
		"own account as name of key":  {`{"k":"arn:aws:kms:eu-west-1:999988887777:alias/111122223333"}`, `null`, `["999988887777"]`, `["999988887777"]`},
		"own account in the path":     {`{"r":"arn:aws:iam::999988887777:role/arn:aws:iam::111122223333:role/x"}`, `null`, `["999988887777"]`, ""},
		"spaces and capitals":         {`{"k":" ARN:aws:KMS:eu-west-1:999988887777:key/1 "}`, `null`, `["999988887777"]`, `["999988887777"]`},
		"several":                     {`{"a":"999988887777","b":"000011112222","k":"` + foreignKey + `"}`, `null`, `["000011112222","999988887777"]`, `["999988887777"]`},
		"own and another key":         {`{"a":"` + ownKey + `","b":"` + foreignKey + `"}`, `null`, `["999988887777"]`, `["999988887777"]`},
		"key in the answer":           {`{}`, `{"x-amz-server-side-encryption-aws-kms-key-id":"` + foreignKey + `"}`, "", `["999988887777"]`},
		"account in the answer":       {`{}`, `{"ownerId":"999988887777"}`, "", ""},
		"a number with twelve digits": {`{"size":999988887777}`, `null`, "", ""},
		"longer numbers":              {`{"a":"9999888877776","b":"arn:aws:iam::99998888777:role/x"}`, `null`, "", ""},
		"ARN without account":         {`{"a":"arn:aws:s3:::999988887777"}`, `null`, "", ""},
		"not the resource of a key":   {`{"a":"x arn:aws:kms:eu-west-1:999988887777:key/1"}`, `null`, "", ""},
	} {
		record := strings.Replace(networkRecord(c.params, c.answer), "{", `{"recipientAccountId":"111122223333",`, 1)
		if got := field(t, record, "tocsin.request.other_accounts"); got != c.others {
			t.Errorf("%s: got other accounts %s, want %s", name, got, c.others)
		}
		if got := field(t, record, "tocsin.request.key_accounts"); got != c.keys {
			t.Errorf("%s: got accounts of keys %s, want %s", name, got, c.keys)
		}
	}
}
