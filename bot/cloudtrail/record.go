package cloudtrail

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"tocsin/bot/detect"
	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// record has the fields of a CloudTrail record that appear in an alert. It fits all
// versions 1.x, because minor versions only add fields.
type record struct {
	EventTime       text.Flex
	Timestamp       text.Flex // @timestamp, used by some tools instead of eventTime
	EventID         text.Flex
	EventSource     text.Flex
	EventName       text.Flex
	EventType       text.Flex
	Region          text.Flex
	ReadOnly        text.Flex
	SourceIPAddress text.Flex
	UserAgent       text.Flex
	ErrorCode       text.Flex
	ErrorMessage    text.Flex
	Account         text.Flex
	UserIdentity    identity
	Request         detect.Value // an object, or a string that contains one
}

type identity struct {
	Type        text.Flex
	PrincipalID text.Flex
	ARN         text.Flex
	AccountID   text.Flex
	AccessKeyID text.Flex
	UserName    text.Flex
	InvokedBy   text.Flex
	MFA         text.Flex
	IssuerARN   text.Flex
}

var (
	recordFields = detect.NewFields("eventTime", "@timestamp", "eventID", "eventSource", "eventName", "eventType", "awsRegion", "readOnly",
		"sourceIPAddress", "userAgent", "errorCode", "errorMessage", "recipientAccountId", "userIdentity", "requestParameters")
	identityFields = detect.NewFields("type", "principalId", "arn", "accountId", "accessKeyId", "userName", "invokedBy", "sessionContext")
	sessionFields  = detect.NewFields("attributes", "sessionIssuer")
	mfaField       = detect.NewFields("mfaAuthenticated")
	arnField       = detect.NewFields("arn")
)

// read reads the fields of a record. Like encoding/json, it ignores fields of an
// unexpected type.
func (r *record) read(v detect.Value) {
	texts := [...]*text.Flex{&r.EventTime, &r.Timestamp, &r.EventID, &r.EventSource, &r.EventName, &r.EventType, &r.Region, &r.ReadOnly,
		&r.SourceIPAddress, &r.UserAgent, &r.ErrorCode, &r.ErrorMessage, &r.Account}
	for key, member := range v.Members() {
		switch i := recordFields.Index(key); {
		case i < 0:
		case i < len(texts):
			*texts[i] = text.Flex(member.Text())
		case recordFields.Name(i) == "userIdentity":
			r.UserIdentity.read(member)
		default:
			r.Request = member
		}
	}
}

func (i *identity) read(v detect.Value) {
	texts := [...]*text.Flex{&i.Type, &i.PrincipalID, &i.ARN, &i.AccountID, &i.AccessKeyID, &i.UserName, &i.InvokedBy}
	for key, member := range v.Members() {
		switch n := identityFields.Index(key); {
		case n < 0:
		case n < len(texts):
			*texts[n] = text.Flex(member.Text())
		default:
			i.readSession(member)
		}
	}
}

func (i *identity) readSession(v detect.Value) {
	for key, member := range v.Members() {
		field, target := arnField, &i.IssuerARN
		switch sessionFields.Index(key) {
		case 0:
			field, target = mfaField, &i.MFA
		case 1:
		default:
			continue
		}
		for key, member := range member.Members() {
			if field.Index(key) == 0 {
				*target = text.Flex(member.Text())
			}
		}
	}
}

// requestTargets returns the texts of the request parameters that identify the target
// of a call, and reports whether there are any parameters.
func requestTargets(request detect.Value) (targets string, any bool) {
	if request.IsString() {
		return targetsInText(strings.TrimSpace(request.Text()))
	}
	found := make([]text.Flex, len(targetParameters))
	for key, member := range request.Members() {
		any = true
		if n, ok := targetOrder[string(key)]; ok && member.IsString() {
			found[n] = text.Flex(member.Text())
		}
	}
	return text.Join(", ", found...), any
}

// requestParameter returns a text of the request parameters, or "".
func requestParameter(request detect.Value, name string) text.Flex {
	for key, member := range request.Members() {
		if string(key) == name && member.IsString() {
			return text.Flex(member.Text())
		}
	}
	return ""
}

// targetsInText is requestTargets for parameters that are JSON in a string.
func targetsInText(request string) (targets string, any bool) {
	var parameters map[string]json.RawMessage
	if !strings.HasPrefix(request, "{") || json.Unmarshal([]byte(request), &parameters) != nil {
		return "", false
	}
	var found []text.Flex
	for _, k := range targetParameters {
		var s string
		if raw := parameters[k]; len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, &s) == nil {
			found = append(found, text.Flex(s))
		}
	}
	return text.Join(", ", found...), len(parameters) > 0
}

// apiDate matches the API version that some services append to their event names, as
// in GetFunction20150331v2 and CreateDistribution2020_05_31.
var apiDate = regexp.MustCompile(`20\d\d_?\d\d_?\d\d(v\d+)?$`)

// apiName returns the event name without an API version.
func (r *record) apiName() string {
	n := apiDate.ReplaceAllString(string(r.EventName), "")
	if n == "" {
		return string(r.EventName)
	}
	return n
}

// service returns the event source without its domain, such as "iam".
func (r *record) service() string {
	s, _, _ := strings.Cut(string(r.EventSource), ".")
	return s
}

// isFailed reports whether the call or the sign-in failed.
func (r *record) isFailed() bool {
	return r.ErrorCode != "" || r.EventName == "ConsoleLogin" && r.ErrorMessage != ""
}

// principal returns the actor of a record twice. The first value is for responders: an
// ARN if possible, and for a role session the ARN of the role. The second one is for
// the correlation key: kind and name without path, partition and session, because
// GuardDuty sends only these.
func (i identity) principal() (shown, key string) {
	switch {
	case i.Type == "Root":
		return firstNonEmpty(i.ARN, "root"), "root"
	case i.IssuerARN != "":
		return string(i.IssuerARN), arnKey(string(i.IssuerARN))
	case i.ARN != "":
		return withoutSession(string(i.ARN)), arnKey(string(i.ARN))
	case i.InvokedBy != "":
		return string(i.InvokedBy), "service/" + string(i.InvokedBy)
	case i.UserName != "":
		return string(i.UserName), "user/" + string(i.UserName)
	case i.PrincipalID != "":
		id, _, _ := strings.Cut(string(i.PrincipalID), ":") // without the session name
		return id, "principal/" + id
	case i.AccountID != "":
		return string(i.AccountID), "account/" + string(i.AccountID)
	}
	return "unknown", "unknown"
}

// withoutSession removes the session name of arn:aws:sts::1:assumed-role/ROLE/SESSION.
func withoutSession(arn string) string {
	head, rest, ok := strings.Cut(arn, ":assumed-role/")
	if !ok {
		return arn
	}
	role, _, _ := strings.Cut(rest, "/")
	return head + ":assumed-role/" + role
}

// arnKey returns "user/NAME" or "role/NAME" for the ARN of a user, role or role session.
// For other ARNs it returns the resource.
func arnKey(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 {
		return arn
	}
	kind, rest, ok := strings.Cut(parts[5], "/")
	switch {
	case !ok:
		return parts[5] // "root"
	case kind == "assumed-role":
		role, _, _ := strings.Cut(rest, "/")
		return "role/" + role
	case kind == "role" || kind == "user":
		return kind + "/" + rest[strings.LastIndex(rest, "/")+1:]
	}
	return parts[5]
}

// session returns the session name of a role, which often identifies the user.
func (i identity) session() string {
	if _, rest, ok := strings.Cut(string(i.ARN), ":assumed-role/"); ok {
		_, session, _ := strings.Cut(rest, "/")
		return session
	}
	return ""
}

// targetParameters are the request parameters that identify the target of a call, in
// display order.
var targetParameters = []string{
	"userName", "roleName", "roleArn", "groupName", "groupId", "policyArn", "policyName", "bucketName", "key", "name", "trailName", "detectorId",
	"configurationRecorderName", "keyId", "secretId", "snapshotId", "imageId", "instanceId", "dBSnapshotIdentifier", "dBClusterSnapshotIdentifier",
	"dBInstanceIdentifier", "functionName", "serialNumber", "logGroupName", "resourceArn", "accountId", "principalArn",
}

// targetOrder holds the position of each target parameter.
var targetOrder = func() map[string]int {
	order := map[string]int{}
	for n, k := range targetParameters {
		order[k] = n
	}
	return order
}()

// maxRequest is the maximum length of the request parameters in an alert, in bytes.
const maxRequest = 2000

// alert converts an evaluated record.
func (r *record) alert(v verdict) incident.Alert {
	principal, key := r.UserIdentity.principal()
	target, hasRequest := requestTargets(r.Request)
	api := r.apiName()
	title := r.service() + " " + api
	if v.rule != nil {
		title = v.rule.Title
	}
	result := ""
	if r.isFailed() {
		result = "failed: " + firstNonEmpty(r.ErrorCode, r.ErrorMessage)
	}
	a := incident.Alert{
		Source: sourceName, Kind: "cloudtrail." + api, Level: v.level(), Rule: ruleAndAuthor(v.rule),
		Title:       text.Join(", ", text.Flex(fmt.Sprintf("%s (%s by %s)", title, api, principal)), text.Flex(result)),
		Fingerprint: text.Join("|", "cloudtrail", text.Flex(r.service()), text.Flex(api), text.Flex(key), r.Account, text.Flex(target), text.Flex(v.level()), text.Flex(failureLabel(r.isFailed()))),
		Correlation: "cloudtrail:" + string(r.Account) + ":" + key,
		EventID:     string(r.EventID), At: text.Timestamp(r.EventTime),
		URL:     r.console(),
		Account: string(r.Account), Region: string(r.Region), Principal: principal, Address: string(r.SourceIPAddress),
	}
	a.Tags = r.tags()
	a.Detail = text.Join("\n",
		text.Flex(v.description()), text.Field("Event", r.EventSource+" "+r.EventName), text.Field("Account", text.Flex(text.Join(", ", r.Account, r.Region))),
		text.Field("Principal", text.Flex(principal)), text.Field("Session", text.Flex(r.UserIdentity.session())), text.Field("Access key", r.UserIdentity.AccessKeyID),
		text.Field("MFA", r.UserIdentity.MFA), text.Field("Target", text.Flex(target)), text.Field("Source address", r.SourceIPAddress),
		text.Field("User agent", r.UserAgent), text.Field("Error", text.Flex(text.Join(" ", r.ErrorCode, r.ErrorMessage))), unreadTime(r.EventTime))
	if v.rule != nil {
		a.Tags["rule_id"] = v.rule.ID
		if hasRequest {
			a.Detail += "\nRequest: " + compact(r.Request.Raw())
		}
	}
	return a
}

func failureLabel(failed bool) string {
	if failed {
		return "failed"
	}
	return ""
}

func (r *record) tags() map[string]string {
	tags := map[string]string{}
	for k, v := range map[string]text.Flex{
		"event_source": r.EventSource, "event_name": r.EventName, "event_type": r.EventType, "identity_type": r.UserIdentity.Type,
		"error_code": r.ErrorCode, "read_only": r.ReadOnly, "mfa": r.UserIdentity.MFA,
		"access_key": r.UserIdentity.AccessKeyID, "bucket": requestParameter(r.Request, "bucketName"), "session": text.Flex(r.UserIdentity.session()), "address": text.Flex(addressKind(string(r.SourceIPAddress))),
	} {
		if v != "" {
			tags[k] = string(v)
		}
	}
	return tags
}

// addressKind classifies the content of sourceIPAddress, which need not be an IP
// address.
func addressKind(s string) string {
	if s == "" {
		return ""
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return "ip"
	}
	if s == "AWS Internal" || strings.HasSuffix(s, ".amazonaws.com") {
		return "aws service"
	}
	return "not an address"
}

var (
	regionName = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-\d$`)
	eventUUID  = regexp.MustCompile(`^[0-9a-fA-F-]{36}$`)
)

// console returns the URL of the event's page in the AWS console, or "" if the region
// or the ID is invalid.
func (r *record) console() string {
	if !regionName.MatchString(string(r.Region)) || !eventUUID.MatchString(string(r.EventID)) {
		return ""
	}
	return fmt.Sprintf("https://%[1]s.console.aws.amazon.com/cloudtrailv2/home?region=%[1]s#/events/%[2]s", r.Region, r.EventID)
}

// compact returns raw without white space, cut after maxRequest bytes.
func compact(raw json.RawMessage) string {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return ""
	}
	s := b.String()
	if len(s) > maxRequest {
		s = s[:maxRequest] + "…"
	}
	return strings.ToValidUTF8(s, "")
}

// unreadTime returns the line of the detail about a time that cannot be read.
func unreadTime(candidates ...text.Flex) text.Flex {
	return text.Field("Time", text.UnreadTime(text.Timestamp(candidates...), candidates...))
}
