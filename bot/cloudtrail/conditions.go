package cloudtrail

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// The conditions of the rules. Each gets the record and its decoded request
// parameters, which may be nil.

type condition = func(*record, map[string]any) bool

// rootActed: a person with the root credentials, not a service on its behalf.
// Whoever knows the address of the root user can fail to sign in as it, so that
// counts as any other failed login.
func rootActed(r *record, _ map[string]any) bool {
	return r.UserIdentity.Type == "Root" && r.UserIdentity.InvokedBy == "" && r.EventType != "AwsServiceEvent" &&
		!(r.EventName == "ConsoleLogin" && r.failed())
}

// loginWithoutMFA asks only of identities whose MFA AWS itself checks.
func loginWithoutMFA(r *record, _ map[string]any) bool {
	return slices.Contains([]text{"IAMUser", "Root"}, r.UserIdentity.Type) &&
		r.Response.fields()["ConsoleLogin"] == "Success" && r.Additional.fields()["MFAUsed"] == "No"
}

func loginFailed(r *record, _ map[string]any) bool {
	return r.failed() || r.Response.fields()["ConsoleLogin"] == "Failure"
}

func forAnotherUser(r *record, request map[string]any) bool {
	user, _ := request["userName"].(string)
	return user != "" && (r.UserIdentity.Type != "IAMUser" || !strings.EqualFold(user, string(r.UserIdentity.UserName)))
}

var administrators = []string{"/AdministratorAccess", "/IAMFullAccess", "/PowerUserAccess", "/AWSOrganizationsFullAccess"}

func administratorPolicy(_ *record, request map[string]any) bool {
	arn, _ := request["policyArn"].(string)
	return slices.ContainsFunc(administrators, func(s string) bool { return strings.HasSuffix(arn, s) })
}

func administratorGroup(_ *record, request map[string]any) bool {
	group, _ := request["groupName"].(string)
	return strings.Contains(strings.ToLower(group), "admin") || strings.Contains(strings.ToLower(group), "root")
}

func policyAllowsEverything(_ *record, request map[string]any) bool {
	return slices.ContainsFunc(allows(request["policyDocument"]), func(s map[string]any) bool {
		return (has(s["Action"], "*") || has(s["Action"], "*:*")) && has(s["Resource"], "*")
	})
}

// trustsStrangers: everybody, or a principal of another account.
func trustsStrangers(r *record, request map[string]any) bool {
	doc := request["policyDocument"]
	if doc == nil {
		doc = request["assumeRolePolicyDocument"]
	}
	return slices.ContainsFunc(allows(doc), func(s map[string]any) bool {
		if everybody(s) {
			return true
		}
		p, _ := s["Principal"].(map[string]any)
		return slices.ContainsFunc(list(p["AWS"]), func(who string) bool {
			account := who
			if parts := strings.Split(who, ":"); len(parts) > 4 {
				account = parts[4]
			}
			return len(account) == 12 && account != string(r.Account)
		})
	})
}

func selectorsLeaveOut(_ *record, request map[string]any) bool {
	for _, s := range objects(request["eventSelectors"]) {
		if s["includeManagementEvents"] == false || s["readWriteType"] != nil && s["readWriteType"] != "All" {
			return true
		}
	}
	return false
}

func bucketPolicyPublic(_ *record, request map[string]any) bool {
	return slices.ContainsFunc(allows(request["bucketPolicy"]), everybody)
}

// policyPublic: the resource policy under that parameter lets everybody in.
func policyPublic(parameter string) condition {
	return func(_ *record, request map[string]any) bool {
		return slices.ContainsFunc(allows(request[parameter]), everybody)
	}
}

// aclPublic looks for a canned ACL in the header that S3 records, and for the
// groups of all users among the grants.
func aclPublic(_ *record, request map[string]any) bool {
	for _, canned := range list(request["x-amz-acl"]) {
		if strings.HasPrefix(canned, "public-") || canned == "authenticated-read" {
			return true
		}
	}
	group := func(s string) bool {
		return strings.HasSuffix(s, "AllUsers") || strings.HasSuffix(s, "AuthenticatedUsers")
	}
	return mentions(request["AccessControlPolicy"], group) || mentions(request["accessControlList"], group)
}

func publicAccessBlockWeakened(_ *record, request map[string]any) bool {
	c, _ := request["PublicAccessBlockConfiguration"].(map[string]any)
	for _, setting := range []string{"BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"} {
		if v, ok := c[setting]; ok && fmt.Sprint(v) == "false" {
			return true
		}
	}
	return false
}

// added are the permissions that a request to share something adds.
func added(request map[string]any, permission string) []map[string]any {
	p, _ := request[permission].(map[string]any)
	return objects(p["add"])
}

func sharedWithAll(permission string) condition {
	return func(_ *record, request map[string]any) bool {
		return slices.ContainsFunc(added(request, permission), func(g map[string]any) bool { return g["group"] == "all" })
	}
}

func shared(permission string) condition {
	return func(_ *record, request map[string]any) bool { return len(added(request, permission)) > 0 }
}

func byAnotherAccount(r *record, _ map[string]any) bool {
	return r.UserIdentity.AccountID != "" && r.UserIdentity.AccountID != r.Account
}

// restoreBy: a database snapshot can be restored by everybody, or by anybody.
func restoreBy(everybody bool) condition {
	return func(_ *record, request map[string]any) bool {
		if request["attributeName"] != "restore" {
			return false
		}
		values := list(request["valuesToAdd"])
		return len(values) > 0 && (!everybody || slices.Contains(values, "all"))
	}
}

// param: a request parameter has this value, whatever its type.
func param(name, value string) condition {
	return func(_ *record, request map[string]any) bool {
		v, ok := request[name]
		return ok && strings.EqualFold(fmt.Sprint(v), value)
	}
}

// anywhere: the value stands somewhere in the request.
func anywhere(value string) condition {
	return func(_ *record, request map[string]any) bool {
		return mentions(request, func(s string) bool { return s == value })
	}
}

// worldRanges finds the ranges of a security group that are open to every
// address: for the web alone, and for anything else.
func worldRanges(request map[string]any) (web, other bool) {
	permissions := objects(request["ipPermissions"])
	if permissions == nil { // the old form has one range at the top
		permissions = []map[string]any{request}
	}
	for _, p := range permissions {
		open := mentions(p, func(s string) bool { return s == "0.0.0.0/0" || s == "::/0" })
		from, to := fmt.Sprint(p["fromPort"]), fmt.Sprint(p["toPort"])
		switch {
		case !open:
		case from == to && (from == "80" || from == "443"):
			web = true
		default:
			other = true
		}
	}
	return web, other
}

func openToTheWorld(_ *record, request map[string]any) bool {
	_, other := worldRanges(request)
	return other
}

func webOpenToTheWorld(_ *record, request map[string]any) bool {
	web, _ := worldRanges(request)
	return web
}

// allows are the statements of a policy with the effect Allow. The policy is an
// object or a string, plain or URL-encoded.
func allows(doc any) []map[string]any {
	if s, ok := doc.(string); ok {
		if !strings.HasPrefix(strings.TrimSpace(s), "{") {
			s, _ = url.QueryUnescape(s)
		}
		var m map[string]any
		if json.Unmarshal([]byte(s), &m) != nil {
			return nil
		}
		doc = m
	}
	m, _ := doc.(map[string]any)
	statements := objects(m["Statement"])
	return slices.DeleteFunc(statements, func(s map[string]any) bool { return s["Effect"] != "Allow" })
}

// everybody: the statement names * as its principal, without a condition.
func everybody(s map[string]any) bool {
	if c, ok := s["Condition"].(map[string]any); ok && len(c) > 0 {
		return false
	}
	if s["Principal"] == "*" {
		return true
	}
	p, _ := s["Principal"].(map[string]any)
	return slices.Contains(list(p["AWS"]), "*")
}

// list is a string, or the strings of an array.
func list(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, e := range v {
			if s, ok := e.(string); ok {
				out = append(out, s)
			}
		}
		return out
	}
	return nil
}

func has(v any, want string) bool { return slices.Contains(list(v), want) }

// objects is an object, the objects of an array, or those of EC2's {"items": [...]}.
func objects(v any) []map[string]any {
	switch v := v.(type) {
	case map[string]any:
		if items, ok := v["items"].([]any); ok {
			return objects(items)
		}
		if len(v) == 0 {
			return nil
		}
		return []map[string]any{v}
	case []any:
		var out []map[string]any
		for _, e := range v {
			if m, ok := e.(map[string]any); ok {
				out = append(out, m)
			}
		}
		return out
	}
	return nil
}

// mentions reports whether any text inside a value is one that is looked for.
func mentions(v any, wanted func(string) bool) bool {
	switch v := v.(type) {
	case string:
		return wanted(v)
	case []any:
		return slices.ContainsFunc(v, func(e any) bool { return mentions(e, wanted) })
	case map[string]any:
		for _, e := range v {
			if mentions(e, wanted) {
				return true
			}
		}
	}
	return false
}
