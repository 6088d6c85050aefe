package cloudtrail

import (
	"encoding/json"
	"fmt"
	"testing"

	"tocsin/bot/incident"
)

func policy(statement string) string {
	b, _ := json.Marshal(`{"Version":"2012-10-17","Statement":[` + statement + `]}`)
	return string(b)
}

// judge decodes one record and returns its alert. Rest is appended to it.
func judge(t *testing.T, service, event, request, rest string) incident.Alert {
	t.Helper()
	body := fmt.Sprintf(`{"eventSource":"%s.amazonaws.com","eventName":%q,"recipientAccountId":"111122223333","requestParameters":%s,`+
		`"userIdentity":{"type":"IAMUser","accountId":"111122223333","userName":"ada","arn":"arn:aws:iam::111122223333:user/ada"}%s}`, service, event, request, rest)
	var s Source
	got, err := s.Decode(nil, []byte(body))
	if err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return *got[0].Alert
}

const (
	noMFA  = `,"responseElements":{"ConsoleLogin":"Success"},"additionalEventData":{"MFAUsed":"No"}`
	root   = `,"userIdentity":{"type":"Root","arn":"arn:aws:iam::111122223333:root"}`
	all    = `{"add":{"items":[{"group":"all"}]}}`
	one    = `{"add":{"items":[{"userId":"999900001111"}]}}`
	taken  = `{"remove":{"items":[{"group":"all"}]}}`
	anyone = `{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"*"}`
)

// cases has, for each rule with a condition, a record that it holds for and a
// near miss that differs in what the condition asks for.
var cases = []struct {
	rule, service, event, request, rest string
	level                               incident.Level
}{
	{"root-used", "s3", "ListBuckets", `null`, root, high},
	{"", "s3", "ListBuckets", `null`, `,"userIdentity":{"type":"Root","invokedBy":"backup.amazonaws.com"}`, "informational"},
	{"", "s3", "ListBuckets", `null`, ``, "informational"},
	{"", "kms", "RotateKey", `null`, `,"userIdentity":{"type":"Root"},"eventType":"AwsServiceEvent"`, "informational"},
	{"root-console-login", "signin", "ConsoleLogin", `null`, root + `,"responseElements":{"ConsoleLogin":"Success"}`, critical},
	{"console-login-failed", "signin", "ConsoleLogin", `null`, root + `,"errorMessage":"Failed authentication","responseElements":{"ConsoleLogin":"Failure"}`, low},
	{"console-login-without-mfa", "signin", "ConsoleLogin", `null`, noMFA, high},
	{"", "signin", "ConsoleLogin", `null`, `,"responseElements":{"ConsoleLogin":"Success"},"additionalEventData":{"MFAUsed":"Yes"}`, "informational"},
	{"", "signin", "ConsoleLogin", `null`, noMFA + `,"userIdentity":{"type":"AssumedRole"}`, "informational"},
	{"console-login-failed", "signin", "ConsoleLogin", `null`, `,"responseElements":{"ConsoleLogin":"Failure"},"additionalEventData":{"MFAUsed":"No"}`, low},

	{"mfa-removed", "iam", "DeactivateMFADevice", `{"userName":"bob"}`, ``, high},
	{"access-key-for-another-user", "iam", "CreateAccessKey", `{"userName":"bob"}`, ``, high},
	{"access-key-created", "iam", "CreateAccessKey", `{"userName":"ada"}`, ``, low},
	{"access-key-created", "iam", "CreateAccessKey", `null`, ``, low},
	{"", "iam", "DeleteAccessKey", `{"userName":"bob"}`, ``, "informational"},
	{"password-set-for-another-user", "iam", "UpdateLoginProfile", `{"userName":"bob"}`, ``, high},
	{"", "iam", "UpdateLoginProfile", `{"userName":"ada"}`, ``, "informational"},
	{"administrator-policy-attached", "iam", "AttachRolePolicy", `{"policyArn":"arn:aws:iam::aws:policy/AdministratorAccess"}`, ``, high},
	{"", "iam", "AttachRolePolicy", `{"policyArn":"arn:aws:iam::aws:policy/ReadOnlyAccess"}`, ``, "informational"},
	{"policy-allows-everything", "iam", "PutUserPolicy", `{"policyDocument":` + policy(`{"Effect":"Allow","Action":["*"],"Resource":"*"}`) + `}`, ``, high},
	{"", "iam", "PutUserPolicy", `{"policyDocument":` + policy(`{"Effect":"Allow","Action":"s3:*","Resource":"*"}`) + `}`, ``, "informational"},
	{"", "iam", "PutUserPolicy", `{"policyDocument":` + policy(`{"Effect":"Deny","Action":"*","Resource":"*"}`) + `}`, ``, "informational"},
	{"", "iam", "PutUserPolicy", `{"policyDocument":"no JSON"}`, ``, "informational"},
	{"role-trust-opened", "iam", "CreateRole", `{"assumeRolePolicyDocument":` + policy(`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::999900001111:root"}}`) + `}`, ``, high},
	{"role-trust-opened", "iam", "UpdateAssumeRolePolicy", `{"policyDocument":` + policy(`{"Effect":"Allow","Principal":{"AWS":["*"]}}`) + `}`, ``, high},
	{"role-trust-opened", "iam", "UpdateAssumeRolePolicy", `{"policyDocument":"%7B%22Statement%22%3A%7B%22Effect%22%3A%22Allow%22%2C%22Principal%22%3A%22%2A%22%7D%7D"}`, ``, high},
	{"role-trust-changed", "iam", "UpdateAssumeRolePolicy", `{"policyDocument":` + policy(`{"Effect":"Allow","Principal":{"AWS":"111122223333","Service":"ec2.amazonaws.com"}}`) + `}`, ``, medium},
	{"", "iam", "CreateRole", `{"assumeRolePolicyDocument":` + policy(`{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"}}`) + `}`, ``, "informational"},
	{"group-joined", "iam", "AddUserToGroup", `{"groupName":"Admins"}`, ``, medium},
	{"", "iam", "AddUserToGroup", `{"groupName":"readers"}`, ``, "informational"},

	{"trail-stopped", "cloudtrail", "StopLogging", `{"name":"t"}`, ``, critical},
	{"", "firehose", "StopLogging", `{"name":"t"}`, ``, "informational"},
	{"trail-changed", "cloudtrail", "UpdateTrail", `{"name":"t"}`, ``, high},
	{"trail-blinded", "cloudtrail", "PutEventSelectors", `{"eventSelectors":[{"readWriteType":"All","includeManagementEvents":false}]}`, ``, high},
	{"trail-blinded", "cloudtrail", "PutEventSelectors", `{"eventSelectors":[{"readWriteType":"ReadOnly","includeManagementEvents":true}]}`, ``, high},
	{"trail-selectors-changed", "cloudtrail", "PutEventSelectors", `{"eventSelectors":[{"readWriteType":"All","includeManagementEvents":true}]}`, ``, low},
	{"guardduty-off", "guardduty", "DeleteDetector", `{"detectorId":"d"}`, ``, critical},
	{"guardduty-suspended", "guardduty", "UpdateDetector", `{"enable":false}`, ``, critical},
	{"guardduty-weakened", "guardduty", "UpdateDetector", `{"enable":true}`, ``, high},
	{"config-off", "config", "StopConfigurationRecorder", `{}`, ``, high},

	{"bucket-public-policy", "s3", "PutBucketPolicy", `{"bucketPolicy":{"Statement":` + anyone + `}}`, ``, critical},
	{"", "s3", "PutBucketPolicy", `{"bucketPolicy":{"Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Condition":{"StringEquals":{"aws:SourceVpc":"v"}}}]}}`, ``, "informational"},
	{"bucket-public-acl", "s3", "PutBucketAcl", `{"x-amz-acl":["public-read"]}`, ``, critical},
	{"bucket-public-acl", "s3", "PutBucketAcl", `{"AccessControlPolicy":{"AccessControlList":{"Grant":[{"Grantee":{"URI":"http://acs.amazonaws.com/groups/global/AllUsers"}}]}}}`, ``, critical},
	{"", "s3", "PutBucketAcl", `{"x-amz-acl":["private"]}`, ``, "informational"},
	{"public-access-block-weakened", "s3", "PutBucketPublicAccessBlock", `{"PublicAccessBlockConfiguration":{"BlockPublicAcls":true,"BlockPublicPolicy":false}}`, ``, high},
	{"", "s3", "PutBucketPublicAccessBlock", `{"PublicAccessBlockConfiguration":{"BlockPublicAcls":true,"BlockPublicPolicy":true}}`, ``, "informational"},
	{"bucket-versioning-suspended", "s3", "PutBucketVersioning", `{"VersioningConfiguration":{"Status":"Suspended"}}`, ``, medium},
	{"", "s3", "PutBucketVersioning", `{"VersioningConfiguration":{"Status":"Enabled"}}`, ``, "informational"},
	{"snapshot-public", "ec2", "ModifySnapshotAttribute", `{"createVolumePermission":` + all + `}`, ``, critical},
	{"snapshot-shared", "ec2", "ModifySnapshotAttribute", `{"createVolumePermission":` + one + `}`, ``, high},
	{"", "ec2", "ModifySnapshotAttribute", `{"createVolumePermission":` + taken + `}`, ``, "informational"},
	{"image-public", "ec2", "ModifyImageAttribute", `{"launchPermission":` + all + `}`, ``, critical},
	{"image-shared", "ec2", "ModifyImageAttribute", `{"launchPermission":` + one + `}`, ``, high},
	{"", "ec2", "ModifyImageAttribute", `{"launchPermission":` + taken + `}`, ``, "informational"},
	{"shared-snapshot-copied", "ec2", "SharedSnapshotCopyInitiated", `{}`, `,"userIdentity":{"accountId":"999900001111"}`, high},
	{"", "ec2", "SharedSnapshotCopyInitiated", `{}`, ``, "informational"},
	{"database-snapshot-public", "rds", "ModifyDBSnapshotAttribute", `{"attributeName":"restore","valuesToAdd":["all"]}`, ``, critical},
	{"database-snapshot-shared", "rds", "ModifyDBSnapshotAttribute", `{"attributeName":"restore","valuesToAdd":["999900001111"]}`, ``, high},
	{"", "rds", "ModifyDBSnapshotAttribute", `{"attributeName":"restore","valuesToRemove":["all"]}`, ``, "informational"},
	{"database-public", "rds", "ModifyDBInstance", `{"publiclyAccessible":true}`, ``, medium},
	{"", "rds", "ModifyDBInstance", `{"publiclyAccessible":false}`, ``, "informational"},
	{"function-public", "lambda", "AddPermission20150331v2", `{"principal":"*"}`, ``, high},
	{"", "lambda", "AddPermission20150331v2", `{"principal":"s3.amazonaws.com"}`, ``, "informational"},
	{"function-url-public", "lambda", "CreateFunctionUrlConfig", `{"authType":"NONE"}`, ``, high},
	{"", "lambda", "CreateFunctionUrlConfig", `{"authType":"AWS_IAM"}`, ``, "informational"},
	{"repository-public", "ecr", "SetRepositoryPolicy", `{"policyText":` + policy(anyone) + `}`, ``, high},
	{"", "ecr", "SetRepositoryPolicy", `{"policyText":` + policy(`{"Effect":"Allow","Principal":{"AWS":"111122223333"}}`) + `}`, ``, "informational"},

	{"security-group-open", "ec2", "AuthorizeSecurityGroupIngress", `{"ipPermissions":{"items":[{"fromPort":22,"toPort":22,"ipRanges":{"items":[{"cidrIp":"0.0.0.0/0"}]}}]}}`, ``, high},
	{"security-group-open", "ec2", "AuthorizeSecurityGroupIngress", `{"ipPermissions":{"items":[{"ipProtocol":"-1","ipv6Ranges":{"items":[{"cidrIpv6":"::/0"}]}}]}}`, ``, high},
	{"security-group-open", "ec2", "AuthorizeSecurityGroupIngress", `{"cidrIp":"0.0.0.0/0","fromPort":3389,"toPort":3389}`, ``, high},
	{"security-group-open-web", "ec2", "AuthorizeSecurityGroupIngress", `{"ipPermissions":{"items":[{"fromPort":443,"toPort":443,"ipRanges":{"items":[{"cidrIp":"0.0.0.0/0"}]}}]}}`, ``, low},
	{"", "ec2", "AuthorizeSecurityGroupIngress", `{"ipPermissions":{"items":[{"fromPort":22,"toPort":22,"ipRanges":{"items":[{"cidrIp":"10.0.0.0/0"}]}}]}}`, ``, "informational"},

	{"key-deletion-scheduled", "kms", "ScheduleKeyDeletion", `{"keyId":"k"}`, ``, high},
	{"key-policy-public", "kms", "PutKeyPolicy", `{"policy":` + policy(anyone) + `}`, ``, high},
	{"", "kms", "PutKeyPolicy", `{"policy":` + policy(`{"Effect":"Deny","Principal":"*"}`) + `}`, ``, "informational"},
	{"secret-read", "secretsmanager", "GetSecretValue", `{"secretId":"s"}`, ``, low},
	{"secret-destroyed", "secretsmanager", "DeleteSecret", `{"forceDeleteWithoutRecovery":true}`, ``, high},
	{"", "secretsmanager", "DeleteSecret", `{"recoveryWindowInDays":7}`, ``, "informational"},
	{"secret-policy-public", "secretsmanager", "PutResourcePolicy", `{"resourcePolicy":` + policy(anyone) + `}`, ``, high},
	{"", "secretsmanager", "PutResourcePolicy", `{"resourcePolicy":` + policy(`{"Effect":"Allow","Principal":{"AWS":"111122223333"}}`) + `}`, ``, "informational"},
	{"organization-left", "organizations", "LeaveOrganization", `null`, ``, critical},
}

func TestNotableEvents(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range cases {
		t.Run(c.service+" "+c.event+" "+c.rule, func(t *testing.T) {
			a := judge(t, c.service, c.event, c.request, c.rest)
			want := ""
			if c.rule != "" {
				want = "tocsin/" + c.rule
			}
			if a.Rule != want || a.Level != c.level {
				t.Errorf("judged %s by %q, want %s by %q: %s", a.Level, a.Rule, c.level, want, a.Title)
			}
		})
		seen[c.rule] = true
	}
	for _, u := range notable {
		if u.holds != nil && !seen[u.id] {
			t.Errorf("rule %s has a condition and no case", u.id)
		}
	}
}

func TestNotableTableIsSound(t *testing.T) {
	ids := map[string]bool{}
	for _, u := range append(anyEvent, notable...) {
		if u.id == "" || ids[u.id] || u.what == "" || u.why == "" || grade(u.level) < 1 {
			t.Errorf("rule %+v", u)
		}
		ids[u.id] = true
		for _, e := range u.events {
			if apiDate.MatchString(e) {
				t.Errorf("rule %s: %s carries an API version and never matches", u.id, e)
			}
		}
	}
}
