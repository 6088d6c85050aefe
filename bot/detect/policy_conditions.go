package detect

import (
	"slices"
	"strings"
)

// Which conditions keep strangers out. What is not listed here does not: a
// referrer, a time, a region, the kind of principal, an external id, a tag that
// anybody can give to their own. A private address (aws:VpcSourceIp) is not
// listed either, for everybody can have it in a network of their own; the
// network itself is.

// restrictingKeys says, for each key that can keep strangers out, which values do.
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

// restrictsAccess reports whether a condition keeps strangers out. Each of its values
// has to, since one of them is enough to be let in.
func (c condition) restrictsAccess() bool {
	if !c.isEquality() {
		return false
	}
	if c.key == "aws:sourceip" {
		return isNarrow(c.values)
	}
	keeps := restrictingKeys[c.key]
	return keeps != nil && c.allValues(keeps)
}

// restrictsProvider reports whether a condition says whose tokens of an identity provider
// are taken.
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
		// The audience is the owner's own at these. At others a token names
		// whatever audience its holder asked for.
		return slices.Contains([]string{"cognito-identity.amazonaws.com", "accounts.google.com", "www.amazon.com", "graph.facebook.com"}, host) &&
			c.allValues(func(_, v string) bool { return !strings.ContainsAny(v, "*?$") })
	}
	return false
}

// isEquality: the operator holds for what equals a value, and for nothing else. A
// negation, a test for presence, one that passes where the key is absent
// (IfExists) or has no value (ForAllValues) demands nothing.
func (c condition) isEquality() bool {
	switch strings.TrimPrefix(c.operator, "foranyvalue:") {
	case "stringequals", "stringequalsignorecase", "stringlike", "arnequals", "arnlike", "ipaddress":
		return true
	}
	return false
}

func (c condition) allValues(keeps func(operator, value string) bool) bool {
	return len(c.values) > 0 && !slices.ContainsFunc(c.values, func(v string) bool { return v == "" || !keeps(c.operator, v) })
}

// isOrganisation: the id of an organisation, perhaps with a path below it, or
// the organisation that the resource is in.
func isOrganisation(_, value string) bool {
	id, _, _ := strings.Cut(value, "/")
	return strings.EqualFold(value, "${aws:ResourceOrgID}") || len(id) > 2 && strings.HasPrefix(id, "o-") && !strings.ContainsAny(id, "*?$")
}

func isOneAccount(_, value string) bool {
	return isAccount(value) || strings.EqualFold(value, "${aws:ResourceAccount}")
}

// namesAccount: an ARN of one account, or of one bucket, whose ARN has none. A
// star of StringLike also stands for colons, so that nothing before the account
// may be left open; those of ArnLike stay within their part.
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

// isUniqueID: the id of a user or role, perhaps of its sessions, or an account's root.
func isUniqueID(_, value string) bool {
	id, _, _ := strings.Cut(value, ":")
	return isAccount(id) || len(id) >= 16 && strings.HasPrefix(id, "A") && !strings.ContainsAny(id, "*?$")
}

// isSubject: a claim without wildcards and variables, or one that names an owner before the
// first: repo:us/*, but not repo:*, and not repo:us*, which somebody else's name
// may begin with too.
func isSubject(_, value string) bool {
	at := strings.IndexAny(value, "*?$")
	if at < 0 {
		return true
	}
	_, owner, _ := strings.Cut(value[:at], ":")
	return strings.IndexAny(owner, ":/") > 0
}

// isNarrow reports whether networks are few addresses among all: each of
// them no wider than a /8, of IPv6 a /32, and together no more than four of those.
func isNarrow(networks []string) bool {
	const most = 4
	share4, share6 := 0.0, 0.0
	for _, text := range networks {
		p, err := parseNetwork(strings.TrimSpace(text))
		if err != nil {
			return false
		}
		bits, widest, share := p.Bits(), 8, &share4
		switch {
		case p.Addr().Is4In6():
			bits -= 96
		case p.Addr().Is6():
			widest, share = 32, &share6
		}
		if bits < widest {
			return false
		}
		*share += 1 / float64(uint64(1)<<min(bits-widest, 62))
	}
	return len(networks) > 0 && share4 <= most && share6 <= most
}
