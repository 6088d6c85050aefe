package detect

import (
	"slices"
	"strings"
)

// restrictingKeys holds the condition keys that can restrict access to known
// principals, each with a function that reports whether a value restricts it.
//
// Keys that any caller can satisfy are missing on purpose:
// referrer, time, region, kind of principal, external ID and tags. The private
// address (aws:VpcSourceIp) is missing because every network can use the same
// private addresses. The network (aws:SourceVpc) identifies its owner.
var restrictingKeys = map[string]func(operator, value string) bool{
	"aws:principalorgid":        isOrganisation,
	"aws:principalorgpaths":     isOrganisation,
	"aws:sourceorgid":           isOrganisation,
	"aws:sourceorgpaths":        isOrganisation,
	"aws:vpceorgid":             isOrganisation,
	"aws:vpceorgpaths":          isOrganisation,
	"aws:principalaccount":      isOneAccount,
	"aws:sourceaccount":         isOneAccount,
	"aws:sourceowner":           isOneAccount,
	"aws:vpceaccount":           isOneAccount,
	"kms:calleraccount":         isOneAccount,
	"s3:dataaccesspointaccount": isOneAccount,
	"aws:principalarn":          namesAccount,
	"aws:sourcearn":             namesAccount,
	"aws:sourcevpcarn":          namesAccount,
	"s3:dataaccesspointarn":     namesAccount,
	"aws:sourcevpc":             isNetworkID,
	"aws:sourcevpce":            isNetworkID,
	"aws:userid":                isUniqueID,
}

// restrictsAccess reports whether the condition restricts access to known
// principals or networks. Each of its values must restrict it, because a caller
// needs to satisfy only one value.
func (c condition) restrictsAccess() bool {
	if !c.isEquality() {
		return false
	}
	if c.key == "aws:sourceip" {
		return isNarrow(c.values)
	}
	restricts := restrictingKeys[c.key]
	return restricts != nil && c.allValues(restricts)
}

// restrictsProvider reports whether the condition restricts the owners of the
// tokens that are accepted from an identity provider.
func (c condition) restrictsProvider(provider string) bool {
	host, claim := c.key, ""
	if i := strings.LastIndexByte(c.key, ':'); i >= 0 {
		host, claim = c.key[:i], c.key[i+1:]
	}
	if !c.isEquality() || host != provider && !isWildcard(provider) {
		return false
	}
	switch claim {
	case "sub", "repository", "repository_id", "repository_owner", "repository_owner_id", "job_workflow_ref":
		return c.allValues(isSubject)
	case "aud", "oaud", "app_id":
		// These providers issue a separate audience to each owner. Other providers
		// let the holder choose the audience of a token.
		return slices.Contains([]string{"cognito-identity.amazonaws.com", "accounts.google.com", "www.amazon.com", "graph.facebook.com"}, host) &&
			c.allValues(func(_, v string) bool { return !strings.ContainsAny(v, "*?$") })
	}
	return false
}

// isEquality reports whether the operator requires the key to be present and equal
// or similar to a value. Negations and tests for presence do not require that.
// IfExists passes without the key, and ForAllValues without a value.
func (c condition) isEquality() bool {
	switch strings.TrimPrefix(c.operator, "foranyvalue:") {
	case "stringequals", "stringequalsignorecase", "stringlike", "arnequals", "arnlike", "ipaddress":
		return true
	}
	return false
}

// allValues reports whether the condition has values and restricts is true for
// each of them.
func (c condition) allValues(restricts func(operator, value string) bool) bool {
	return len(c.values) > 0 && !slices.ContainsFunc(c.values, func(v string) bool { return v == "" || !restricts(c.operator, v) })
}

// isOrganisation reports whether the value is the ID of an organisation, also with
// a path below it, or the variable for the organisation of the resource.
func isOrganisation(_, value string) bool {
	id, _, _ := strings.Cut(value, "/")
	return strings.EqualFold(value, "${aws:ResourceOrgID}") || len(id) > 2 && strings.HasPrefix(id, "o-") && !strings.ContainsAny(id, "*?$")
}

func isOneAccount(_, value string) bool {
	return isAccount(value) || strings.EqualFold(value, "${aws:ResourceAccount}")
}

// namesAccount reports whether the value is an ARN with an account, or the ARN of
// one bucket, which has no account. A * of StringLike also matches colons, so the
// parts before the account must not contain wildcards. A * of ArnLike matches only
// within its part.
func namesAccount(operator, value string) bool {
	parts := strings.SplitN(value, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" {
		return false
	}
	if before := strings.Join(parts[:4], ":"); strings.ContainsAny(before, "*?") && !strings.Contains(operator, "arn") {
		return false
	}
	return isAccount(parts[4]) || parts[2] == "s3" && parts[3] == "" && parts[4] == "" && parts[5] != "" && !strings.ContainsAny(parts[5], "*?$")
}

func isNetworkID(_, value string) bool {
	id, ok := strings.CutPrefix(value, "vpc-")
	if !ok {
		id, ok = strings.CutPrefix(value, "vpce-")
	}
	return ok && id != "" && !strings.ContainsAny(id, "*?$")
}

// isUniqueID reports whether the value is the unique ID of a user or role, also
// with a session name, or the ID of an account (its root user).
func isUniqueID(_, value string) bool {
	id, _, _ := strings.Cut(value, ":")
	return isAccount(id) || len(id) >= 16 && strings.HasPrefix(id, "A") && !strings.ContainsAny(id, "*?$")
}

// isSubject reports whether the value of a claim has no wildcards and variables, or
// a complete owner before the first one. This is true for repo:us/*, but not for
// repo:* or repo:us*, because the names of other owners can begin with us.
func isSubject(_, value string) bool {
	at := strings.IndexAny(value, "*?$")
	if at < 0 {
		return true
	}
	_, owner, _ := strings.Cut(value[:at], ":")
	return strings.IndexAny(owner, ":/") > 0
}
