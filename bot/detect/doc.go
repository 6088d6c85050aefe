// Package detect evaluates Sigma rules against CloudTrail records.
//
// [Load] compiles rules into a [Ruleset] and reports each rule that it cannot
// compile as a [RuleError] with file, line and reason. [Ruleset.Match] looks up
// the record's eventName and other fields in an index and evaluates only the
// rules that can match. Matching cannot fail. [Ruleset.Trace] explains why each
// rule matches a record or does not.
//
// [ReadItems] splits a file or stream into records and decodes each once. The rules
// and the alerts read the decoded [Record]. [Read] passes on only the records. A
// [Tracker] counts hits for
// correlations in memory, and [Correlation.Advance] counts them in a [Window]
// that the caller stores.
//
// # Semantics of rules
//
// The Sigma specification leaves some choices open. This package makes them as
// follows:
//
//   - A field name is a path. At each object, the longest key that equals the
//     beginning of the path is used. A literal key with dots therefore takes
//     precedence over nested keys. Arrays on the path are searched, and one
//     matching element is enough.
//   - Strings compare case-insensitively (Unicode simple folding) unless the item
//     has the modifier cased. Numbers and booleans compare by their text, and 1e6
//     equals 1000000. Regular expressions use RE2 syntax, match anywhere in the
//     text and are case-sensitive.
//   - An object compares as its compact JSON text in the original order of keys,
//     without escapes that JSON does not require. The modifier contains also
//     searches the decoded strings inside the object. It therefore finds
//     "s3:GetObject", quotes included, in a policy document inside a string. An
//     array compares as each of its elements and as its JSON text.
//   - null matches an absent field and the value null. The modifier exists tests
//     only for presence, and null counts as present. No other item matches an
//     absent field or null. In particular, neq requires a value that is present
//     and differs from all values of the rule.
//   - gt, gte, lt and lte compare numbers and strings that contain a number.
//   - A filter document only excludes records. Its condition describes either the
//     records to exclude (selection) or, as in the example of the specification,
//     the remaining ones (not selection). A negation, or several negations joined
//     by and, describes the remaining records.
//   - A rule without id is identified by its name, or without a name by the name
//     of its file. Correlations and filters name a rule by its id or name, or by
//     its title if it is in the same file.
//
// # Correlations
//
// The supported types are event_count, value_count, temporal and
// temporal_ordered. A window slides over the times of events, not the times of
// their arrival. An event contributes to at most one firing. After a firing, the
// group does not fire again until its window has passed. Events that lack a
// group-by field form a separate group, distinct from the group of the empty
// text. A value_count counts each element of a list as a value. A condition needs a
// lower bound. It is evaluated as events arrive, and an
// upper bound alone would hold immediately.
//
// A late event still counts if it is older than the newest event of its group by
// at most the timespan plus 24 hours ([DefaultLateness]). The log files of a trail
// are late by minutes, and by hours during AWS disruptions. [Window] is the state
// of one group. Store it together with the mark that the record was handled.
//
// # Derived fields
//
// Fields whose names start with tocsin. are not part of the record. They are
// computed from it when a rule first needs them, and every rule may use them like
// other fields. Rules with a tocsin. field that is not listed here are rejected.
//
// The policy fields cover every policy in requestParameters, either an object or
// JSON in a string, and the statement that AddPermission of Lambda adds to a
// policy, or that of SNS and SQS. The fields public, narrowed and denies are absent if the request has no policy.
// Empty lists are absent.
//
//   - tocsin.policy.public: true if a statement allows something to everyone, to
//     everyone with exceptions (NotPrincipal) or to every federated identity, and
//     no condition restricts it. Otherwise false.
//   - tocsin.policy.narrowed: true if a statement allows something to everyone and
//     a condition restricts it. Otherwise false. A policy can be both.
//   - tocsin.policy.denies: true if a statement denies something. Otherwise false.
//   - tocsin.policy.public_actions: the actions that public statements allow, or *
//     for a NotAction.
//   - tocsin.policy.broad_actions: the actions that any statement allows on all
//     resources, regardless of its conditions, or * for a NotAction.
//   - tocsin.policy.powers: the actions with which the holder of an identity policy
//     can gain other permissions. It is * for all actions on all resources, iam:* for
//     all actions of IAM, and otherwise the names of actions, such as iam:PassRole,
//     that a statement allows on all roles, users, groups or policies. Wildcards
//     anywhere in an action or a resource are evaluated.
//   - tocsin.policy.other_accounts: the accounts, except recipientAccountId, whose
//     principals a statement allows something.
//   - tocsin.policy.open_providers: federated identity providers, such as
//     token.actions.githubusercontent.com, that a statement trusts without
//     restricting the owner of the token. A condition on the subject restricts it.
//     A condition on the audience restricts it only for providers that issue a
//     separate audience to each owner.
//   - tocsin.policy.unreadable: true if a text looks like a policy but cannot be
//     decoded as JSON, for example because of a repeated key. Otherwise absent.
//
// A condition restricts a statement if its operator tests for equality or
// likeness and each of its values is fixed in the part that matters. Negations,
// IfExists, ForAllValues and Null restrict nothing. These keys count:
//
//   - The organisation: aws:PrincipalOrgID, aws:PrincipalOrgPaths, and their
//     Source… and Vpce… variants.
//   - The account: aws:PrincipalAccount, aws:SourceAccount, aws:SourceOwner,
//     aws:VpceAccount, kms:CallerAccount, s3:DataAccessPointAccount.
//   - An ARN with an account, or of one bucket: aws:PrincipalArn, aws:SourceArn,
//     aws:SourceVpcArn, s3:DataAccessPointArn.
//   - The network: aws:SourceVpc, aws:SourceVpce.
//   - Addresses: aws:SourceIp, with networks that are not wide (see below).
//   - The unique id of an identity: aws:userid.
//
// No other key restricts a statement. Deny statements are not subtracted from the
// actions that a policy allows.
//
// The network fields cover every network in requestParameters, and in
// responseElements because AWS answers with the defaults that it filled in. A
// network is a text in CIDR notation in any parameter except descriptions, tags,
// policies and parameters whose names start with remove. Its spelling does not
// matter: 203.0.113.9/0 and the two halves 0.0.0.0/1 and 128.0.0.0/1 both are
// 0.0.0.0/0, and ::ffff:0.0.0.0/96 is too. Networks are wide if together they have
// more public addresses than a /8 (IPv6: a /20). Private networks do not count.
//
//   - tocsin.network.open: true if the networks of the call are wide, false if not,
//     and absent without networks.
//   - tocsin.network.list: the fewest networks in canonical form that together are
//     the networks of the call.
//   - tocsin.network.open_ports: what wide networks can reach, such as tcp/22,
//     tcp/1024-65535, icmp, or all for all protocols and ports. The fields of a
//     permission give the ports, and permissions of one call count together.
//   - tocsin.network.open_other_ports: the same without entries for only port 80 or
//     only port 443.
//   - tocsin.network.open_admin_ports: which of the TCP ports 22, 23, 3389, 5900,
//     5985 and 5986 wide networks can reach.
//   - tocsin.network.unknown: prefix lists, whose networks the record does not
//     contain, and texts in place of a network that are none.
//
// Whether a permission allows or denies, and in which direction, is in other fields
// of the record.
//
// These fields cover calls of single services:
//
//   - tocsin.secret.names: the secrets and parameters that a call to Secrets Manager
//     or Systems Manager names, or that KMS decrypted for one. A name, an ARN and a
//     version of one secret give the same text. For a path, it is the path.
//   - tocsin.secret.count: the number of these secrets, absent for a path.
//   - tocsin.lifecycle.days: the shortest time in days after which an enabled
//     lifecycle rule of a bucket deletes objects or all their previous versions. A
//     date counts from the time of the record. Deletions of markers and incomplete
//     uploads do not count.
//   - tocsin.trail.management_events: all, some or none, the management events that
//     the basic or advanced event selectors of a request include together.
//
// The request fields are the accounts that a call names, except recipientAccountId. An
// account is a text of twelve digits, or the account of an ARN.
//
//   - tocsin.request.other_accounts: the accounts in requestParameters.
//   - tocsin.request.key_accounts: the accounts of KMS keys in requestParameters and
//     responseElements. The ID of a key without an account is not another account.
//
// # Built-in rules
//
// The built-in rules are in the folder rules, with fixtures that [Check] runs.
// Rules about a change require errorCode: null, because a call that AWS refused
// changed nothing. The rule severe-call-refused reports refused attempts, and
// refused-calls counts them. Rules about the caller, its address or its tools
// match regardless of the outcome. Rules that routine work matches are off by
// default and give the reason.
package detect
