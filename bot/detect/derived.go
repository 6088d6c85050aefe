package detect

import (
	"encoding/json"
	"slices"
	"strings"
)

// derivedPrefix begins the names of fields that no record has: they are worked
// out from it, once and only when a rule asks.
const derivedPrefix = "tocsin."

// derivedFields are all of them; the package comment says what they mean.
var derivedFields = []string{
	"tocsin.policy.public",
	"tocsin.policy.narrowed",
	"tocsin.policy.public_actions",
	"tocsin.policy.broad_actions",
	"tocsin.policy.other_accounts",
	"tocsin.policy.open_providers",
	"tocsin.policy.unreadable",
}

func isDerived(path string) bool { return strings.HasPrefix(path, derivedPrefix) }

// checkField refuses a field that looks like a derived one and is none.
func checkField(path string, line int) error {
	if len(path) < len(derivedPrefix) || !strings.EqualFold(path[:len(derivedPrefix)], derivedPrefix) || slices.Contains(derivedFields, path) {
		return nil
	}
	return parseErrorf(line, "the field %q is not known; there are %s", path, strings.Join(derivedFields, ", "))
}

// checkCorrelationFields looks at the fields that a correlation names.
func checkCorrelationFields(correlation *value) error {
	check := func(v *value) error {
		if v == nil {
			return nil
		}
		if v.kind == isText {
			return checkField(v.text, v.line)
		}
		for _, one := range v.items {
			if err := checkField(one.text, one.line); err != nil {
				return err
			}
		}
		return nil
	}
	fields := []*value{correlation.get("group-by"), correlation.get("condition").get("field")}
	if aliases := correlation.get("aliases"); aliases != nil {
		fields = append(fields, aliases.items...)
	}
	for _, v := range fields {
		if err := check(v); err != nil {
			return err
		}
	}
	return nil
}

// recordFor is where a path leads from: the record itself, or what is derived from it.
func (r *Record) recordFor(path string) *Record {
	if isDerived(path) {
		return r.derive()
	}
	return r
}

// derive works out the derived fields, unless that was done already.
func (r *Record) derive() *Record {
	if r.derivedFrom != r.root || r.derived == nil {
		fields := map[string]any{}
		if policy := readPolicies(r); policy != nil {
			fields["tocsin"] = map[string]any{"policy": policy}
		}
		b, err := json.Marshal(fields)
		if err == nil {
			r.derived, err = DecodeRecord(b)
		}
		if err != nil {
			panic(err) // texts of a record that was decoded can be written and read again
		}
		r.derivedFrom = r.root
	}
	return r.derived
}
