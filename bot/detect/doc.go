// Package detect runs Sigma rules over CloudTrail records.
//
// Load compiles rules once into matchers. Match looks a record's eventName and
// eventSource up in an index and evaluates only the rules that can match. What
// cannot be compiled is refused when it is loaded, with file, line and reason;
// matching itself cannot fail.
//
// # What a rule means here
//
// Where the Sigma specification leaves a choice, or where people read it in two
// ways, this package has decided:
//
//   - A field name is a path. At each object the longest key that spells the
//     beginning of the path wins, so a literal key with dots goes before nesting.
//     Arrays on the path are walked; one element that matches is enough.
//   - Strings compare without regard to case (Unicode simple folding) unless
//     the item is cased. Numbers and booleans compare by their text: 1e6 is
//     1000000. Regular expressions are RE2, search anywhere, and mind case.
//   - An object compares as its compact JSON text, as it was sent, with escapes
//     that JSON does not require undone. A contains on it also sees the strings
//     inside that JSON had to escape, so that a policy document inside a string
//     can be searched for "s3:GetObject" with its quotes. An array compares as
//     each of its elements and as its text.
//   - null holds where the field is absent or null; exists asks for presence
//     alone, and null counts as present. Nothing else holds for an absent field
//     or a null, neq included: neq means present and different from all values.
//   - gt, gte, lt, lte compare numbers and strings that spell one.
//   - A filter document only takes away. Its condition may say what to leave out
//     (selection) or, as in the specification's example, what remains
//     (not selection); a negation, or several joined by and, is read as the latter.
//   - A rule without id is known by its name, else by its file's name.
//
// # Correlations
//
// event_count, value_count, temporal and temporal_ordered. A window slides over
// the time of the events, not their arrival. An event counts in one firing at
// most, and for one group nothing fires again before the window that fired is
// over. A field of group-by that an event does not have makes a group of its own,
// distinct from an empty text. A condition needs a lower bound, because it is
// judged as events arrive and an upper bound alone would hold at once.
// An event that comes up to 24 hours (DefaultLateness) after newer ones of its
// group still counts; what a trail's files bring is late by minutes, by hours when
// AWS is in trouble. See Window for the state, which is a value to be kept wherever the record is
// marked as handled.
//
// # Derived fields
//
// Some fields stand in no record; they are worked out from it when a rule asks
// for them, and may be used like any other, by users' own rules too. A name that
// begins with tocsin. and is not listed here is refused. Those about policies read
// every policy in requestParameters, as an object or as JSON in a text, and what
// AddPermission of Lambda adds to one. Without a policy they are absent.
//
//   - tocsin.policy.public: true where a statement allows something to everybody,
//     to everybody but some (NotPrincipal), or to every federated identity, and no
//     condition narrows it; else false.
//   - tocsin.policy.narrowed: true where a statement allows something to everybody
//     and a condition narrows it; else false. A policy can be both.
//   - tocsin.policy.public_actions: what the public statements allow; * for a
//     NotAction.
//   - tocsin.policy.broad_actions: what any statement allows on all resources,
//     whatever its conditions; * for a NotAction.
//   - tocsin.policy.other_accounts: accounts whose principals a statement allows
//     something, other than recipientAccountId.
//   - tocsin.policy.open_providers: federated identity providers, such as
//     token.actions.githubusercontent.com, whose tokens are taken without a condition
//     that says whose (on the subject; on the audience where it is the owner's own).
//   - tocsin.policy.unreadable: true where something meant to be a policy is no JSON
//     that can be read, for a repeated key say; else absent.
//
// A condition narrows that demands equality or likeness (not a negation, IfExists,
// ForAllValues or Null) of one of these, each of its values being fixed where it
// counts: the organisation (aws:PrincipalOrgID, aws:PrincipalOrgPaths, also
// Source… and Vpce…), the account (aws:PrincipalAccount, aws:SourceAccount,
// aws:SourceOwner, aws:VpceAccount, kms:CallerAccount, s3:DataAccessPointAccount),
// an ARN with an account or of one bucket (aws:PrincipalArn, aws:SourceArn,
// aws:SourceVpcArn, s3:DataAccessPointArn), the network (aws:SourceVpc,
// aws:SourceVpce), networks of aws:SourceIp that are no wider than a /8, of IPv6 a
// /32, and four of those in all, or the unique id of an identity (aws:userid). No
// other condition does, and a Deny is not weighed against what is allowed.
//
// # Rules of our own
//
// They stand in rules, with fixtures. One about a change asks errorCode: null,
// for a call that AWS refused changes nothing, whatever it was; grave-call-refused
// tells of the attempt, and refused-calls counts. One about who calls, from where
// or with what asks for no outcome. What ordinary work sets off is off by default
// and says why.
package detect
