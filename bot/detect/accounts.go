package detect

import (
	"slices"
	"strings"
)

// accounts are the other accounts that a call names.
type accounts struct {
	own   string
	named []string
	keys  []string // of KMS keys
}

// readAccounts returns the derived fields about accounts without their prefix, or nil
// if the call names no other account.
func readAccounts(r *Record) map[string]any {
	found := accounts{own: r.Field("recipientAccountId")}
	if n, _ := r.member(r.root, "requestParameters"); n >= 0 {
		r.eachString(n, func(text string) {
			found.addName(text)
			found.addKey(text)
		})
	}
	if n, _ := r.member(r.root, "responseElements"); n >= 0 {
		r.eachString(n, found.addKey)
	}
	out := map[string]any{}
	for name, list := range map[string][]string{"other_accounts": found.named, "key_accounts": found.keys} {
		if len(list) > 0 {
			slices.Sort(list)
			out[name] = slices.Compact(list)
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// addName adds the account that a text is, or that an ARN belongs to.
func (a *accounts) addName(text string) {
	if account, _ := accountOf(text); account != "" && account != a.own {
		a.named = append(a.named, account)
	}
}

// addKey adds the account of a text that is the ARN of a KMS key or of its alias. The ID
// of a key without an account belongs to the account of the call.
func (a *accounts) addKey(text string) {
	if account, service := accountOf(text); account != "" && account != a.own && service == "kms" {
		a.keys = append(a.keys, account)
	}
}

// accountOf returns the account that a text is, or the account and the service of an
// ARN. Both are empty for other texts.
func accountOf(text string) (account, service string) {
	text = strings.TrimSpace(text)
	if isAccount(text) {
		return text, ""
	}
	if arn := strings.SplitN(text, ":", 6); len(arn) == 6 && strings.EqualFold(arn[0], "arn") && isAccount(arn[4]) {
		return arn[4], strings.ToLower(arn[2])
	}
	return "", ""
}

// eachString calls visit with each string in a value, keys excluded.
func (r *Record) eachString(from int32, visit func(string)) {
	for n := from; n < r.nodes[from].next; n++ {
		if nd := &r.nodes[n]; nd.kind == kindString {
			visit(string(r.stringOf(nd)))
		}
	}
}
