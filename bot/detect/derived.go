package detect

import (
	"encoding/json"
	"slices"
	"strings"
)

// derivedPrefix is the prefix of derived fields. They are computed from a record
// once, when a rule first needs them.
const derivedPrefix = "tocsin."

// family is a group of derived fields that are computed together.
type family int8

const (
	notDerived family = iota - 1 // fields of the record itself
	policyFields
	networkFields
	secretFields
	lifecycleFields
	trailFields
	requestFields
	families // their number
)

// derivedFields are the known derived fields of each family. The package comment
// describes them.
var derivedFields = [families][]string{
	policyFields: {
		"tocsin.policy.public",
		"tocsin.policy.narrowed",
		"tocsin.policy.denies",
		"tocsin.policy.public_actions",
		"tocsin.policy.broad_actions",
		"tocsin.policy.powers",
		"tocsin.policy.other_accounts",
		"tocsin.policy.open_providers",
		"tocsin.policy.unreadable",
	},
	networkFields: {
		"tocsin.network.open",
		"tocsin.network.list",
		"tocsin.network.open_ports",
		"tocsin.network.open_other_ports",
		"tocsin.network.open_admin_ports",
		"tocsin.network.unknown",
	},
	secretFields:    {"tocsin.secret.names", "tocsin.secret.count"},
	lifecycleFields: {"tocsin.lifecycle.days"},
	trailFields:     {"tocsin.trail.management_events"},
	requestFields: {
		"tocsin.request.other_accounts",
		"tocsin.request.key_accounts",
	},
}

// familyNames are the parts of the names of fields between tocsin. and the next
// dot.
var familyNames = [families]string{
	policyFields: "policy", networkFields: "network", secretFields: "secret", lifecycleFields: "lifecycle", trailFields: "trail", requestFields: "request",
}

// read returns the fields of the family that have a value, or nil.
func (f family) read(r *Record) map[string]any {
	switch f {
	case networkFields:
		return readNetworks(r)
	case secretFields:
		return readSecrets(r)
	case lifecycleFields:
		return readLifecycle(r)
	case trailFields:
		return readTrail(r)
	case requestFields:
		return readAccounts(r)
	default:
		return readPolicies(r)
	}
}

// familyOf returns the family of a path, or notDerived.
func familyOf(path string) family {
	name, ok := strings.CutPrefix(path, derivedPrefix)
	if !ok {
		return notDerived
	}
	name, _, _ = strings.Cut(name, ".")
	return family(slices.Index(familyNames[:], name)) // notDerived is -1
}

func isDerived(path string) bool { return strings.HasPrefix(path, derivedPrefix) }

// checkField returns an error for a field with the prefix of derived fields that
// is not one of them.
func checkField(path string, line int) error {
	if len(path) < len(derivedPrefix) || !strings.EqualFold(path[:len(derivedPrefix)], derivedPrefix) {
		return nil
	}
	known := slices.Concat(derivedFields[:]...)
	if slices.Contains(known, path) {
		return nil
	}
	return parseErrorf(line, "unknown field %q (known derived fields: %s)", path, strings.Join(known, ", "))
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
	if f := familyOf(path); f != notDerived {
		return r.derive(f)
	}
	return r
}

// derivedRecord is a record of the derived fields of one family. from is the root
// that they were computed for.
type derivedRecord struct {
	record *Record
	from   int32
}

// noFields is the record of a family without values. It is only read.
var noFields = func() *Record {
	r, _ := DecodeRecord([]byte(`{}`))
	return r
}()

// derive returns a record of the derived fields of a family. It computes them once
// per root.
func (r *Record) derive(f family) *Record {
	d := &r.derived[f]
	if d.record != nil && d.from == r.root {
		return d.record
	}
	d.record, d.from = noFields, r.root
	if found := f.read(r); found != nil {
		b, err := json.Marshal(map[string]any{"tocsin": map[string]any{familyNames[f]: found}})
		if err == nil {
			d.record, err = DecodeRecord(b)
		}
		if err != nil {
			panic(err) // strings of a decoded record always encode and decode
		}
	}
	return d.record
}
