package cloudtrail

import (
	"slices"

	"tocsin/bot/incident"
)

// rule says that an event matters, how much, and why. When holds is nil, the
// event alone is enough.
type rule struct {
	id      string
	service string   // eventSource without its domain
	events  []string // event names, without API version
	level   incident.Level
	what    string // for the title
	why     string // for a responder: what it means, what makes it harmless
	holds   func(r *record, request map[string]any) bool
	failed  bool // also where AWS refused it
}

// verdict is what is thought of a record.
type verdict struct {
	level     incident.Level
	rule      string
	what, why string
}

// grade orders the levels.
func grade(l incident.Level) int {
	return slices.Index([]incident.Level{incident.LevelInformational, incident.LevelLow, incident.LevelMedium, incident.LevelHigh, incident.LevelCritical}, l)
}

// level is the one place that judges a record: the gravest rule that holds. An
// attempt that AWS refused says that somebody tried, and is graded below.
func (r *record) level(request map[string]any) verdict {
	out := verdict{level: incident.LevelInformational}
	consider := func(u rule) {
		v := verdict{level: u.level, rule: "tocsin/" + u.id, what: u.what, why: u.why}
		if r.failed() && !u.failed {
			v.level = incident.LevelLow
			if grade(u.level) >= grade(incident.LevelHigh) {
				v.level = incident.LevelMedium
			}
			v.what = "Refused: " + v.what
		}
		if grade(v.level) > grade(out.level) {
			out = v
		}
	}
	for _, u := range slices.Concat(index[r.service()+"/"+r.name()], anyEvent) {
		if u.holds == nil || u.holds(r, request) {
			consider(u)
		}
	}
	return out
}

// index finds the rules of an event.
var index = func() map[string][]rule {
	m := map[string][]rule{}
	for _, u := range notable {
		for _, e := range u.events {
			m[u.service+"/"+e] = append(m[u.service+"/"+e], u)
		}
	}
	return m
}()

const (
	critical = incident.LevelCritical
	high     = incident.LevelHigh
	medium   = incident.LevelMedium
	low      = incident.LevelLow
)

// anyEvent holds the rules that look at every event.
var anyEvent = []rule{
	{id: "root-used", level: high, failed: true, holds: rootActed,
		what: "The root account was used",
		why:  "Root can do everything and is not bound by policies. Harmless if the owner did one of the few tasks that need root, announced beforehand."},
}

// notable is the reviewed table of events that a company on AWS must not miss.
var notable = []rule{
	// Signing in.
	{id: "root-console-login", service: "signin", events: []string{"ConsoleLogin"}, level: critical, holds: rootActed,
		what: "Root signed in to the console",
		why:  "Ask the owner of the root mailbox at once. Harmless if it was announced."},
	{id: "console-login-without-mfa", service: "signin", events: []string{"ConsoleLogin"}, level: high, holds: loginWithoutMFA,
		what: "Console login without MFA",
		why:  "A password alone was enough. Check whether the person and the address are known; MFA of federated users is checked by their identity provider and does not show here."},
	{id: "console-login-failed", service: "signin", events: []string{"ConsoleLogin"}, level: low, failed: true, holds: loginFailed,
		what: "Console login failed",
		why:  "One is a typing error; many are somebody guessing."},

	// Identities.
	{id: "mfa-removed", service: "iam", events: []string{"DeactivateMFADevice"}, level: high,
		what: "An MFA device was removed",
		why:  "An attacker removes the second factor to stay. Harmless if the person lost the device and asked for it."},
	{id: "mfa-device-deleted", service: "iam", events: []string{"DeleteVirtualMFADevice"}, level: medium,
		what: "A virtual MFA device was deleted",
		why:  "It follows the removal of the device from a user; by itself it is tidying up."},
	{id: "access-key-for-another-user", service: "iam", events: []string{"CreateAccessKey"}, level: high, holds: forAnotherUser,
		what: "IAM access key created for another user",
		why:  "It gives a second, lasting identity to whoever has the first. Harmless if an administrator set up a service user."},
	{id: "access-key-created", service: "iam", events: []string{"CreateAccessKey"}, level: low,
		what: "IAM access key created",
		why:  "A user's own key: rotation, or persistence if the user's session was stolen."},
	{id: "password-set-for-another-user", service: "iam", events: []string{"CreateLoginProfile", "UpdateLoginProfile"}, level: high, holds: forAnotherUser,
		what: "Console password set for another user",
		why:  "It allows to sign in as that user. Harmless if the help desk reset a password that was asked for."},
	{id: "administrator-policy-attached", service: "iam", events: []string{"AttachUserPolicy", "AttachRolePolicy", "AttachGroupPolicy"}, level: high, holds: administratorPolicy,
		what: "Administrator policy attached",
		why:  "Whoever has that identity may now do everything, or give itself everything."},
	{id: "policy-allows-everything", service: "iam", level: high, holds: policyAllowsEverything,
		events: []string{"PutUserPolicy", "PutRolePolicy", "PutGroupPolicy", "CreatePolicy", "CreatePolicyVersion"},
		what:   "Policy written that allows everything",
		why:    "Action and resource are both *. Harmless in a sandbox account only."},
	{id: "default-policy-version-changed", service: "iam", events: []string{"SetDefaultPolicyVersion"}, level: medium,
		what: "Another version of a policy made the default",
		why:  "An old, wider version may have come back into force."},
	{id: "role-trust-opened", service: "iam", events: []string{"UpdateAssumeRolePolicy", "CreateRole"}, level: high, holds: trustsStrangers,
		what: "Role can be assumed from outside the account",
		why:  "The trust policy names everybody or another account. Harmless if that account is yours or a vendor's with an external id."},
	{id: "role-trust-changed", service: "iam", events: []string{"UpdateAssumeRolePolicy"}, level: medium,
		what: "Trust policy of a role changed",
		why:  "Who may become this role is not who it was."},
	{id: "permissions-boundary-removed", service: "iam", events: []string{"DeleteUserPermissionsBoundary", "DeleteRolePermissionsBoundary"}, level: high,
		what: "Permissions boundary removed",
		why:  "What held an identity down is gone."},
	{id: "identity-provider-changed", service: "iam", level: high,
		events: []string{"CreateSAMLProvider", "UpdateSAMLProvider", "CreateOpenIDConnectProvider", "AddClientIDToOpenIDConnectProvider", "UpdateOpenIDConnectProviderThumbprint"},
		what:   "Identity provider added or changed",
		why:    "Whoever controls the provider can sign in as anybody it is trusted for."},
	{id: "password-policy-weakened", service: "iam", events: []string{"DeleteAccountPasswordPolicy", "UpdateAccountPasswordPolicy"}, level: medium,
		what: "Password policy of the account changed",
		why:  "Compare it with the one before."},
	{id: "user-created", service: "iam", events: []string{"CreateUser"}, level: low,
		what: "IAM user created",
		why:  "Where people sign in through an identity provider, a new IAM user is unusual."},
	{id: "group-joined", service: "iam", events: []string{"AddUserToGroup"}, level: medium, holds: administratorGroup,
		what: "User added to a group of administrators",
		why:  "The group's name says so; check what the group may do."},
	{id: "trust-anchor-created", service: "rolesanywhere", events: []string{"CreateTrustAnchor"}, level: high,
		what: "Roles can be assumed with certificates of a new authority",
		why:  "Roles Anywhere gives sessions to whoever holds such a certificate."},
	{id: "federation-token", service: "sts", events: []string{"GetFederationToken"}, level: medium,
		what: "Federation token taken",
		why:  "It outlives the access key it was made with: deleting the key does not end it."},
	{id: "root-assumed", service: "sts", events: []string{"AssumeRoot"}, level: high,
		what: "Root session taken in a member account",
		why:  "Central root access was used. Harmless if the organisation's administrator announced it."},

	// The eyes.
	{id: "trail-stopped", service: "cloudtrail", events: []string{"StopLogging", "DeleteTrail", "DeleteEventDataStore"}, level: critical,
		what: "CloudTrail logging was stopped",
		why:  "From now on nobody sees what is done. There is hardly a harmless reason; start it again first, then ask."},
	{id: "trail-changed", service: "cloudtrail", events: []string{"UpdateTrail"}, level: high,
		what: "A trail was changed",
		why:  "Check the bucket, the regions, the global services and the log file validation against the intended ones."},
	{id: "trail-blinded", service: "cloudtrail", events: []string{"PutEventSelectors"}, level: high, holds: selectorsLeaveOut,
		what: "A trail no longer records all management events",
		why:  "Its selectors leave out management events, or writes or reads of them."},
	{id: "trail-selectors-changed", service: "cloudtrail", events: []string{"PutEventSelectors", "PutInsightSelectors"}, level: low,
		what: "What a trail records was changed",
		why:  "Compare the selectors with the ones before."},
	{id: "guardduty-off", service: "guardduty", level: critical, events: []string{"DeleteDetector"},
		what: "GuardDuty was switched off",
		why:  "From now on nobody looks for intruders in this region."},
	{id: "guardduty-suspended", service: "guardduty", events: []string{"UpdateDetector"}, level: critical, holds: param("enable", "false"),
		what: "GuardDuty was suspended",
		why:  "From now on nobody looks for intruders in this region."},
	{id: "guardduty-weakened", service: "guardduty", level: high,
		events: []string{"UpdateDetector", "DisassociateFromMasterAccount", "DisassociateFromAdministratorAccount", "DisassociateMembers", "DeleteMembers", "StopMonitoringMembers", "DeletePublishingDestination"},
		what:   "GuardDuty was weakened",
		why:    "Features, members or the export of findings were changed."},
	{id: "guardduty-suppressed", service: "guardduty", events: []string{"CreateFilter", "UpdateFilter", "CreateIPSet", "UpdateIPSet"}, level: medium,
		what: "GuardDuty was told to overlook something",
		why:  "A suppression rule or a list of trusted addresses was changed; check what it hides."},
	{id: "config-off", service: "config", events: []string{"StopConfigurationRecorder", "DeleteConfigurationRecorder", "DeleteDeliveryChannel"}, level: high,
		what: "AWS Config was switched off",
		why:  "Changes of configuration are no longer recorded."},
	{id: "securityhub-off", service: "securityhub", events: []string{"DisableSecurityHub", "DeleteMembers", "DisassociateFromAdministratorAccount"}, level: high,
		what: "Security Hub was switched off or left",
		why:  "Findings of this account are no longer collected."},
	{id: "macie-off", service: "macie2", events: []string{"DisableMacie"}, level: high,
		what: "Macie was switched off", why: "Nobody looks for personal data in buckets any more."},
	{id: "access-analyzer-deleted", service: "access-analyzer", events: []string{"DeleteAnalyzer"}, level: medium,
		what: "An access analyzer was deleted", why: "Resources shared with strangers are no longer reported."},
	{id: "flow-logs-deleted", service: "ec2", events: []string{"DeleteFlowLogs"}, level: high,
		what: "Flow logs were deleted",
		why:  "Traffic of that network is no longer recorded. Harmless where the network itself was taken down."},
	{id: "logs-deleted", service: "logs", events: []string{"DeleteLogGroup", "DeleteLogStream"}, level: medium,
		what: "Logs were deleted", why: "Harmless where the thing that wrote them was taken down."},
	{id: "alarms-off", service: "monitoring", events: []string{"DeleteAlarms", "DisableAlarmActions"}, level: medium,
		what: "Alarms were deleted or silenced", why: "Check which."},
	{id: "event-rule-off", service: "events", events: []string{"DisableRule", "DeleteRule", "RemoveTargets", "DeleteApiDestination", "DeauthorizeConnection", "DeleteConnection"}, level: high,
		what: "An EventBridge rule was switched off",
		why:  "It may be the one that brings these alerts here."},

	// Data that becomes everybody's.
	{id: "bucket-public-policy", service: "s3", events: []string{"PutBucketPolicy"}, level: critical, holds: bucketPolicyPublic,
		what: "Bucket opened to the world by its policy",
		why:  "The policy allows everybody without a condition. Harmless for a bucket that serves a public site."},
	{id: "bucket-public-acl", service: "s3", events: []string{"PutBucketAcl", "PutObjectAcl", "CreateBucket"}, level: critical, holds: aclPublic,
		what: "Bucket or object opened to the world by its ACL",
		why:  "All users, or all AWS users, are granted access."},
	{id: "public-access-block-weakened", service: "s3", level: high, holds: publicAccessBlockWeakened,
		events: []string{"PutBucketPublicAccessBlock", "PutPublicAccessBlock", "PutAccountPublicAccessBlock"},
		what:   "Public access block weakened",
		why:    "At least one of its four settings was switched off."},
	{id: "public-access-block-removed", service: "s3", events: []string{"DeleteBucketPublicAccessBlock", "DeletePublicAccessBlock", "DeleteAccountPublicAccessBlock"}, level: high,
		what: "Public access block removed",
		why:  "A policy or an ACL can now open the bucket to everybody."},
	{id: "bucket-versioning-suspended", service: "s3", events: []string{"PutBucketVersioning"}, level: medium, holds: anywhere("Suspended"),
		what: "Versioning of a bucket suspended", why: "What is overwritten or deleted from now on is gone: a step before extortion."},
	{id: "snapshot-public", service: "ec2", events: []string{"ModifySnapshotAttribute"}, level: critical, holds: sharedWithAll("createVolumePermission"),
		what: "Snapshot shared with everybody", why: "Anybody with an AWS account can copy the disk. Take it back first."},
	{id: "snapshot-shared", service: "ec2", events: []string{"ModifySnapshotAttribute"}, level: high, holds: shared("createVolumePermission"),
		what: "Snapshot shared with another account", why: "That account can copy the disk. Harmless if it is yours."},
	{id: "image-public", service: "ec2", events: []string{"ModifyImageAttribute"}, level: critical, holds: sharedWithAll("launchPermission"),
		what: "Machine image shared with everybody", why: "Anybody with an AWS account can start it and read its disks."},
	{id: "image-shared", service: "ec2", events: []string{"ModifyImageAttribute"}, level: high, holds: shared("launchPermission"),
		what: "Machine image shared with another account", why: "That account can start it and read its disks. Harmless if it is yours."},
	{id: "shared-snapshot-copied", service: "ec2", events: []string{"SharedSnapshotCopyInitiated", "SharedSnapshotVolumeCreated"}, level: high, holds: byAnotherAccount,
		what: "Another account used a shared snapshot", why: "The data has left, or is in, that account."},
	{id: "database-snapshot-public", service: "rds", events: []string{"ModifyDBSnapshotAttribute", "ModifyDBClusterSnapshotAttribute"}, level: critical, holds: restoreBy(true),
		what: "Database snapshot shared with everybody", why: "Anybody with an AWS account can restore the database. Take it back first."},
	{id: "database-snapshot-shared", service: "rds", events: []string{"ModifyDBSnapshotAttribute", "ModifyDBClusterSnapshotAttribute"}, level: high, holds: restoreBy(false),
		what: "Database snapshot shared with another account", why: "That account can restore the database. Harmless if it is yours."},
	{id: "database-public", service: "rds", events: []string{"CreateDBInstance", "ModifyDBInstance"}, level: medium, holds: param("publiclyAccessible", "true"),
		what: "Database made reachable from the internet", why: "Check its security groups."},
	{id: "function-public", service: "lambda", events: []string{"AddPermission"}, level: high, holds: param("principal", "*"),
		what: "Everybody may call a function", why: "The permission names * as its principal; a condition may narrow it."},
	{id: "function-url-public", service: "lambda", events: []string{"CreateFunctionUrlConfig", "UpdateFunctionUrlConfig"}, level: high, holds: param("authType", "NONE"),
		what: "A function answers the internet without authentication", why: "Harmless for a public webhook; a favourite back door."},
	{id: "repository-public", service: "ecr", events: []string{"SetRepositoryPolicy"}, level: high, holds: policyPublic("policyText"),
		what: "Image repository opened to everybody", why: "The policy allows everybody without a condition."},

	// The network.
	{id: "security-group-open", service: "ec2", events: []string{"AuthorizeSecurityGroupIngress"}, level: high, holds: openToTheWorld,
		what: "Security group opened to the world", why: "A port other than 80 and 443 can be reached from every address."},
	{id: "security-group-open-web", service: "ec2", events: []string{"AuthorizeSecurityGroupIngress"}, level: low, holds: webOpenToTheWorld,
		what: "Security group opened to the world for the web", why: "Ports 80 and 443 only: usual for a public service."},
	{id: "password-data-read", service: "ec2", events: []string{"GetPasswordData"}, level: medium, failed: true,
		what: "Windows administrator passwords read", why: "Many in a row are an attacker who looks for a way in."},
	{id: "serial-console-enabled", service: "ec2", events: []string{"EnableSerialConsoleAccess"}, level: medium,
		what: "Serial console of machines enabled", why: "It goes around the network's rules."},
	{id: "disk-encryption-off", service: "ec2", events: []string{"DisableEbsEncryptionByDefault"}, level: medium,
		what: "Encryption of new disks switched off", why: "New disks are readable by whoever can copy them."},
	{id: "waf-deleted", service: "wafv2", events: []string{"DeleteWebACL", "DisassociateWebACL"}, level: medium,
		what: "A web firewall was removed", why: "Check what it stood in front of."},

	// Keys and secrets.
	{id: "key-deletion-scheduled", service: "kms", events: []string{"ScheduleKeyDeletion"}, level: high,
		what: "An encryption key is to be deleted", why: "What it encrypts is lost when the waiting period ends. It can be cancelled until then."},
	{id: "key-disabled", service: "kms", events: []string{"DisableKey", "DeleteImportedKeyMaterial"}, level: high,
		what: "An encryption key was disabled", why: "What it encrypts cannot be read now."},
	{id: "key-policy-public", service: "kms", events: []string{"PutKeyPolicy", "CreateKey"}, level: high, holds: policyPublic("policy"),
		what: "Everybody may use an encryption key", why: "The policy allows everybody without a condition."},
	{id: "secrets-read-in-bulk", service: "secretsmanager", events: []string{"BatchGetSecretValue"}, level: medium, failed: true,
		what: "Secrets read in bulk", why: "Harmless for a deployment; otherwise everything that was read must be rotated."},
	{id: "secret-read", service: "secretsmanager", events: []string{"GetSecretValue"}, level: low, failed: true,
		what: "A secret was read", why: "Normal for the service that owns it. Note who reads which."},
	{id: "secret-destroyed", service: "secretsmanager", events: []string{"DeleteSecret"}, level: high, holds: param("forceDeleteWithoutRecovery", "true"),
		what: "A secret was deleted beyond recovery", why: "The waiting period was skipped."},
	{id: "secret-policy-public", service: "secretsmanager", events: []string{"PutResourcePolicy"}, level: high, holds: policyPublic("resourcePolicy"),
		what: "Everybody may read a secret", why: "The policy allows everybody without a condition."},
	{id: "backup-deleted", service: "backup", events: []string{"DeleteRecoveryPoint", "DeleteBackupVault", "DeleteBackupVaultLockConfiguration"}, level: high,
		what: "A backup was deleted", why: "A step before extortion. Harmless where retention did it."},

	// The account.
	{id: "organization-left", service: "organizations", events: []string{"LeaveOrganization", "DeleteOrganization"}, level: critical,
		what: "The account leaves its organisation", why: "The organisation's guard rails and its trail end with it."},
	{id: "guard-rail-removed", service: "organizations", level: high,
		events: []string{"DetachPolicy", "DeletePolicy", "DisablePolicyType", "RemoveAccountFromOrganization", "DeregisterDelegatedAdministrator"},
		what:   "A guard rail of the organisation was removed", why: "Accounts may now do what they could not."},
	{id: "region-enabled", service: "account", events: []string{"EnableRegion"}, level: medium,
		what: "A region was enabled", why: "A region that nobody watches is a place to hide."},
	{id: "alternate-contact-changed", service: "account", events: []string{"PutAlternateContact", "DeleteAlternateContact"}, level: medium,
		what: "Contact of the account changed", why: "AWS would warn somebody else."},
	{id: "mail-sending-changed", service: "ses", events: []string{"UpdateAccountSendingEnabled", "PutAccountSendingAttributes", "PutAccountDetails"}, level: medium,
		what: "Mail sending of the account changed", why: "Stolen keys are often used to send mail."},
}
