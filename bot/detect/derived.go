package detect

import (
	"encoding/json"
	"slices"
	"strings"
)

// derivedPrefix is the prefix of derived fields. They are computed from a record
// once, when a rule first needs them.
const derivedPrefix = "tocsin."

// derivedFields are the known derived fields. The package comment describes them.
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

// checkField returns an error for a field with the prefix of derived fields that
// is not one of them.
func checkField(path string, line int) error {
	if len(path) < len(derivedPrefix) || !strings.EqualFold(path[:len(derivedPrefix)], derivedPrefix) || slices.Contains(derivedFields, path) {
		return nil
	}
	return parseErrorf(line, "unknown field %q (known derived fields: %s)", path, strings.Join(derivedFields, ", "))
}

// checkCorrelationFields applies [checkField] to the fields of a correlation.
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

// recordFor returns the record that contains a path, either r or the record of
// its derived fields.
func (r *Record) recordFor(path string) *Record {
	if isDerived(path) {
		return r.derive()
	}
	return r
}

// derive returns a record of the derived fields. It computes them once per root.
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
			panic(err) // strings of a decoded record always encode and decode
		}
		r.derivedFrom = r.root
	}
	return r.derived
}
