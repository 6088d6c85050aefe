package detect

import (
	"slices"
	"strings"
)

// power is an action with which its holder can gain other permissions, and the kind
// of identity that it acts on.
type power struct{ action, kind string }

var knownPowers = []power{
	{"iam:AddUserToGroup", "group"},
	{"iam:AttachGroupPolicy", "group"},
	{"iam:AttachRolePolicy", "role"},
	{"iam:AttachUserPolicy", "user"},
	{"iam:CreateAccessKey", "user"},
	{"iam:CreateLoginProfile", "user"},
	{"iam:CreatePolicyVersion", "policy"},
	{"iam:DeleteRolePermissionsBoundary", "role"},
	{"iam:DeleteUserPermissionsBoundary", "user"},
	{"iam:PassRole", "role"},
	{"iam:PutGroupPolicy", "group"},
	{"iam:PutRolePermissionsBoundary", "role"},
	{"iam:PutRolePolicy", "role"},
	{"iam:PutUserPermissionsBoundary", "user"},
	{"iam:PutUserPolicy", "user"},
	{"iam:SetDefaultPolicyVersion", "policy"},
	{"iam:UpdateAssumeRolePolicy", "role"},
	{"iam:UpdateLoginProfile", "user"},
	{"sts:AssumeRole", "role"},
}

var partitions = []string{"aws", "aws-cn", "aws-us-gov"}

// powers returns the powers that a statement allows over all identities of a kind
// in the account. It returns only * for all actions, and iam:* for all actions of
// IAM. Names that no action and no identity has show whether a pattern allows all
// of them.
func (s *statement) powers(account string) (out []string) {
	if s.allResources && s.allowsActions("zq0:Zq0", "qx9:Qx9") {
		return []string{"*"}
	}
	over := map[string]bool{}
	for _, kind := range []string{"group", "policy", "role", "user"} {
		over[kind] = s.allResources || s.reachesAll(account, kind)
	}
	if over["group"] && over["policy"] && over["role"] && over["user"] && s.allowsActions("iam:Zq0", "iam:Qx9") {
		return []string{"iam:*"}
	}
	for _, p := range knownPowers {
		if over[p.kind] && s.allowsActions(p.action) {
			out = append(out, p.action)
		}
	}
	return out
}

// allowsActions reports whether the statement allows all of the actions.
func (s *statement) allowsActions(actions ...string) bool {
	return !slices.ContainsFunc(actions, func(a string) bool { return !anyPatternMatches(s.actions, a) })
}

// reachesAll reports whether the resources of the statement are all identities of a
// kind in the account.
func (s *statement) reachesAll(account, kind string) bool {
	return slices.ContainsFunc(partitions, func(partition string) bool {
		begin := "arn:" + partition + ":iam::" + account + ":" + kind + "/"
		return anyPatternMatches(s.resources, begin+"zq0") && anyPatternMatches(s.resources, begin+"Qx/9")
	})
}

func anyPatternMatches(patterns []string, text string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matchesPattern(p, text) })
}

// matchesPattern reports whether the pattern of a policy, with the wildcards * and
// ?, matches the text without regard to case.
func matchesPattern(pattern, text string) bool {
	pattern, text = strings.ToLower(pattern), strings.ToLower(text)
	star, retry := -1, 0 // the last * and the place in the text from which it is tried again
	p, t := 0, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, retry = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p, t = p+1, t+1
		case star >= 0:
			retry++
			p, t = star+1, retry
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
