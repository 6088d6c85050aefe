package cloudtrail

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"tocsin/bot/detect"
	"tocsin/bot/incident"
)

var builtinSource = New(Config{}, func() *detect.Ruleset {
	rs, _ := detect.Load(detect.Options{Builtin: true})
	return rs
}())

func policy(statement string) string {
	b, _ := json.Marshal(`{"Version":"2012-10-17","Statement":[` + statement + `]}`)
	return string(b)
}

// evaluateRecord decodes one record with the built-in rules and returns its alert.
func evaluateRecord(t *testing.T, o testRecord) incident.Alert {
	t.Helper()
	record := map[string]json.RawMessage{}
	for _, part := range []string{fmt.Sprintf(`{"eventSource":"%s.amazonaws.com","eventName":%q,"recipientAccountId":"111122223333","requestParameters":%s,`+
		`"userIdentity":{"type":"IAMUser","accountId":"111122223333","userName":"ada","arn":"arn:aws:iam::111122223333:user/ada"}}`, o.service, o.event, o.request),
		"{" + strings.TrimPrefix(o.rest, ",") + "}"} {
		if err := json.Unmarshal([]byte(part), &record); err != nil {
			t.Fatalf("%v in %s", err, part)
		}
	}
	body, _ := json.Marshal(record)
	got, err := builtinSource.Decode(nil, body)
	if err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return *got[0].Alert
}

const (
	noMFA          = `,"responseElements":{"ConsoleLogin":"Success"},"additionalEventData":{"MFAUsed":"No"}`
	asRoot         = `,"userIdentity":{"type":"Root","arn":"arn:aws:iam::111122223333:root"}`
	addEveryone    = `{"add":{"items":[{"group":"all"}]}}`
	addAccount     = `{"add":{"items":[{"userId":"999900001111"}]}}`
	removeEveryone = `{"remove":{"items":[{"group":"all"}]}}`
	allowAnyone    = `{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"*"}`
)

// testRecord holds the service, event and request of a record. Rest is JSON members
// that replace or extend the default ones.
type testRecord struct{ service, event, request, rest string }

// severeRecords must have level high or critical. harmlessRecords are near misses and
// ordinary work, and must have a lower level.
var severeRecords = []testRecord{
	{"ec2", "AuthorizeSecurityGroupIngress", `{"ipPermissions":{"items":[{"fromPort":22,"toPort":22,"ipRanges":{"items":[{"cidrIp":"10.0.0.0/0"}]}}]}}`, ``},
	{"s3", "ListBuckets", `null`, asRoot},
	{"signin", "ConsoleLogin", `null`, asRoot + `,"responseElements":{"ConsoleLogin":"Success"}`},
	{"signin", "ConsoleLogin", `null`, noMFA},
	{"iam", "DeactivateMFADevice", `{"userName":"bob"}`, ``},
	{"iam", "CreateAccessKey", `{"userName":"bob"}`, ``},
	{"iam", "UpdateLoginProfile", `{"userName":"bob"}`, ``},
	{"iam", "AttachRolePolicy", `{"policyArn":"arn:aws:iam::aws:policy/AdministratorAccess"}`, ``},
	{"iam", "PutUserPolicy", `{"policyDocument":` + policy(`{"Effect":"Allow","Action":["*"],"Resource":"*"}`) + `}`, ``},
	{"iam", "CreateRole", `{"assumeRolePolicyDocument":` + policy(`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::999900001111:root"}}`) + `}`, ``},
	{"iam", "UpdateAssumeRolePolicy", `{"policyDocument":` + policy(`{"Effect":"Allow","Principal":{"AWS":["*"]}}`) + `}`, ``},
	{"iam", "UpdateAssumeRolePolicy", `{"policyDocument":"%7B%22Statement%22%3A%7B%22Effect%22%3A%22Allow%22%2C%22Principal%22%3A%22%2A%22%7D%7D"}`, ``},
	{"iam", "AddUserToGroup", `{"groupName":"Admins"}`, ``},
	{"cloudtrail", "StopLogging", `{"name":"t"}`, ``},
	{"cloudtrail", "UpdateTrail", `{"name":"t"}`, ``},
	{"cloudtrail", "PutEventSelectors", `{"eventSelectors":[{"readWriteType":"All","includeManagementEvents":false}]}`, ``},
	{"cloudtrail", "PutEventSelectors", `{"eventSelectors":[{"readWriteType":"ReadOnly","includeManagementEvents":true}]}`, ``},
	{"guardduty", "DeleteDetector", `{"detectorId":"d"}`, ``},
	{"guardduty", "UpdateDetector", `{"enable":false}`, ``},
	{"guardduty", "UpdateDetector", `{"enable":true}`, ``},
	{"config", "StopConfigurationRecorder", `{}`, ``},
	{"s3", "PutBucketPolicy", `{"bucketPolicy":{"Statement":` + allowAnyone + `}}`, ``},
	{"s3", "PutBucketAcl", `{"x-amz-acl":["public-read"]}`, ``},
	{"s3", "PutBucketAcl", `{"AccessControlPolicy":{"AccessControlList":{"Grant":[{"Grantee":{"URI":"http://acs.amazonaws.com/groups/global/AllUsers"}}]}}}`, ``},
	{"s3", "PutBucketPublicAccessBlock", `{"PublicAccessBlockConfiguration":{"BlockPublicAcls":true,"BlockPublicPolicy":false}}`, ``},
	{"s3", "PutBucketVersioning", `{"VersioningConfiguration":{"Status":"Suspended"}}`, ``},
	{"ec2", "ModifySnapshotAttribute", `{"createVolumePermission":` + addEveryone + `}`, ``},
	{"ec2", "ModifySnapshotAttribute", `{"createVolumePermission":` + addAccount + `}`, ``},
	{"ec2", "ModifyImageAttribute", `{"launchPermission":` + addEveryone + `}`, ``},
	{"ec2", "ModifyImageAttribute", `{"launchPermission":` + addAccount + `}`, ``},
	{"ec2", "SharedSnapshotCopyInitiated", `{}`, `,"userIdentity":{"accountId":"999900001111"}`},
	{"rds", "ModifyDBSnapshotAttribute", `{"attributeName":"restore","valuesToAdd":["all"]}`, ``},
	{"rds", "ModifyDBSnapshotAttribute", `{"attributeName":"restore","valuesToAdd":["999900001111"]}`, ``},
	{"rds", "ModifyDBInstance", `{"publiclyAccessible":true}`, ``},
	{"lambda", "AddPermission20150331v2", `{"principal":"*"}`, ``},
	{"lambda", "CreateFunctionUrlConfig", `{"authType":"NONE"}`, ``},
	{"ecr", "SetRepositoryPolicy", `{"policyText":` + policy(allowAnyone) + `}`, ``},
	{"ec2", "AuthorizeSecurityGroupIngress", `{"ipPermissions":{"items":[{"fromPort":22,"toPort":22,"ipRanges":{"items":[{"cidrIp":"0.0.0.0/0"}]}}]}}`, ``},
	{"ec2", "AuthorizeSecurityGroupIngress", `{"ipPermissions":{"items":[{"ipProtocol":"-1","ipv6Ranges":{"items":[{"cidrIpv6":"::/0"}]}}]}}`, ``},
	{"ec2", "AuthorizeSecurityGroupIngress", `{"cidrIp":"0.0.0.0/0","fromPort":3389,"toPort":3389}`, ``},
	{"kms", "ScheduleKeyDeletion", `{"keyId":"k"}`, ``},
	{"kms", "PutKeyPolicy", `{"policy":` + policy(allowAnyone) + `}`, ``},
	{"secretsmanager", "DeleteSecret", `{"forceDeleteWithoutRecovery":true}`, ``},
	{"secretsmanager", "PutResourcePolicy", `{"resourcePolicy":` + policy(allowAnyone) + `}`, ``},
	{"organizations", "LeaveOrganization", `null`, ``},
}

var harmlessRecords = []testRecord{
	{"s3", "ListBuckets", `null`, `,"userIdentity":{"type":"Root","invokedBy":"backup.amazonaws.com"}`},
	{"s3", "ListBuckets", `null`, ``},
	{"kms", "RotateKey", `null`, `,"userIdentity":{"type":"Root"},"eventType":"AwsServiceEvent"`},
	{"signin", "ConsoleLogin", `null`, asRoot + `,"errorMessage":"Failed authentication","responseElements":{"ConsoleLogin":"Failure"}`},
	{"signin", "ConsoleLogin", `null`, `,"responseElements":{"ConsoleLogin":"Success"},"additionalEventData":{"MFAUsed":"Yes"}`},
	{"signin", "ConsoleLogin", `null`, noMFA + `,"userIdentity":{"type":"AssumedRole"}`},
	{"signin", "ConsoleLogin", `null`, `,"responseElements":{"ConsoleLogin":"Failure"},"additionalEventData":{"MFAUsed":"No"}`},
	{"iam", "CreateAccessKey", `{"userName":"ada"}`, ``},
	{"iam", "CreateAccessKey", `null`, ``},
	{"iam", "DeleteAccessKey", `{"userName":"bob"}`, ``},
	{"iam", "UpdateLoginProfile", `{"userName":"ada"}`, ``},
	{"iam", "AttachRolePolicy", `{"policyArn":"arn:aws:iam::aws:policy/ReadOnlyAccess"}`, ``},
	{"iam", "PutUserPolicy", `{"policyDocument":` + policy(`{"Effect":"Allow","Action":"s3:*","Resource":"*"}`) + `}`, ``},
	{"iam", "PutUserPolicy", `{"policyDocument":` + policy(`{"Effect":"Deny","Action":"*","Resource":"*"}`) + `}`, ``},
	{"iam", "PutUserPolicy", `{"policyDocument":"no JSON"}`, ``},
	{"iam", "UpdateAssumeRolePolicy", `{"policyDocument":` + policy(`{"Effect":"Allow","Principal":{"AWS":"111122223333","Service":"ec2.amazonaws.com"}}`) + `}`, ``},
	{"iam", "CreateRole", `{"assumeRolePolicyDocument":` + policy(`{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"}}`) + `}`, ``},
	{"iam", "AddUserToGroup", `{"groupName":"readers"}`, ``},
	{"firehose", "StopLogging", `{"name":"t"}`, ``},
	{"cloudtrail", "PutEventSelectors", `{"eventSelectors":[{"readWriteType":"All","includeManagementEvents":true}]}`, ``},
	{"s3", "PutBucketAcl", `{"x-amz-acl":["private"]}`, ``},
	{"s3", "PutBucketPublicAccessBlock", `{"PublicAccessBlockConfiguration":{"BlockPublicAcls":true,"BlockPublicPolicy":true}}`, ``},
	{"s3", "PutBucketVersioning", `{"VersioningConfiguration":{"Status":"Enabled"}}`, ``},
	{"ec2", "ModifySnapshotAttribute", `{"createVolumePermission":` + removeEveryone + `}`, ``},
	{"ec2", "ModifyImageAttribute", `{"launchPermission":` + removeEveryone + `}`, ``},
	{"ec2", "SharedSnapshotCopyInitiated", `{}`, ``},
	{"rds", "ModifyDBSnapshotAttribute", `{"attributeName":"restore","valuesToRemove":["all"]}`, ``},
	{"rds", "ModifyDBInstance", `{"publiclyAccessible":false}`, ``},
	{"lambda", "AddPermission20150331v2", `{"principal":"s3.amazonaws.com"}`, ``},
	{"lambda", "CreateFunctionUrlConfig", `{"authType":"AWS_IAM"}`, ``},
	{"ecr", "SetRepositoryPolicy", `{"policyText":` + policy(`{"Effect":"Allow","Principal":{"AWS":"111122223333"}}`) + `}`, ``},
	{"ec2", "AuthorizeSecurityGroupIngress", `{"ipPermissions":{"items":[{"fromPort":443,"toPort":443,"ipRanges":{"items":[{"cidrIp":"0.0.0.0/0"}]}}]}}`, ``},
	{"ec2", "AuthorizeSecurityGroupIngress", `{"ipPermissions":{"items":[{"fromPort":22,"toPort":22,"ipRanges":{"items":[{"cidrIp":"10.0.0.0/8"}]}}]}}`, ``},
	{"kms", "PutKeyPolicy", `{"policy":` + policy(`{"Effect":"Deny","Principal":"*"}`) + `}`, ``},
	{"secretsmanager", "GetSecretValue", `{"secretId":"s"}`, ``},
	{"secretsmanager", "DeleteSecret", `{"recoveryWindowInDays":7}`, ``},
	{"secretsmanager", "PutResourcePolicy", `{"resourcePolicy":` + policy(`{"Effect":"Allow","Principal":{"AWS":"111122223333"}}`) + `}`, ``},
}

// severeEvents are severe with every request, by service.
var severeEvents = map[string][]string{
	"iam":           {"DeactivateMFADevice", "DeleteUserPermissionsBoundary", "DeleteRolePermissionsBoundary", "CreateSAMLProvider", "UpdateSAMLProvider", "CreateOpenIDConnectProvider", "AddClientIDToOpenIDConnectProvider", "UpdateOpenIDConnectProviderThumbprint"},
	"rolesanywhere": {"CreateTrustAnchor"},
	"sts":           {"AssumeRoot"},
	"cloudtrail":    {"StopLogging", "DeleteTrail", "DeleteEventDataStore", "UpdateTrail"},
	"guardduty":     {"DeleteDetector", "UpdateDetector", "DisassociateFromMasterAccount", "DisassociateFromAdministratorAccount", "DisassociateMembers", "DeleteMembers", "StopMonitoringMembers", "DeletePublishingDestination"},
	"config":        {"StopConfigurationRecorder", "DeleteConfigurationRecorder", "DeleteDeliveryChannel"},
	"securityhub":   {"DisableSecurityHub", "DeleteMembers", "DisassociateFromAdministratorAccount"},
	"macie2":        {"DisableMacie"},
	"ec2":           {"DeleteFlowLogs"},
	"events":        {"DisableRule", "DeleteRule", "RemoveTargets", "DeleteApiDestination", "DeauthorizeConnection", "DeleteConnection"},
	"s3":            {"DeleteBucketPublicAccessBlock", "DeletePublicAccessBlock", "DeleteAccountPublicAccessBlock"},
	"kms":           {"ScheduleKeyDeletion", "DisableKey", "DeleteImportedKeyMaterial"},
	"backup":        {"DeleteRecoveryPoint", "DeleteBackupVault", "DeleteBackupVaultLockConfiguration"},
	"organizations": {"LeaveOrganization", "DeleteOrganization", "DetachPolicy", "DeletePolicy", "DisablePolicyType", "RemoveAccountFromOrganization", "DeregisterDelegatedAdministrator"},
}

// The shipped routing rules page for the severe records.
func TestEvaluate_Severity(t *testing.T) {
	for _, o := range severeRecords {
		if a := evaluateRecord(t, o); !isSevere(a) {
			t.Errorf("%+v: got level %s of rule %q, want high or critical", o, a.Level, a.Rule)
		}
	}
	for _, o := range harmlessRecords {
		if a := evaluateRecord(t, o); isSevere(a) {
			t.Errorf("%+v: got level %s of rule %q, want lower than high", o, a.Level, a.Rule)
		}
	}
	for service, events := range severeEvents {
		for _, event := range events {
			if a := evaluateRecord(t, testRecord{service, event, "{}", ""}); !isSevere(a) {
				t.Errorf("%s %s: got level %s of rule %q, want high or critical", service, event, a.Level, a.Rule)
			}
		}
	}
}

func isSevere(a incident.Alert) bool {
	return a.Level == incident.LevelHigh || a.Level == incident.LevelCritical
}
