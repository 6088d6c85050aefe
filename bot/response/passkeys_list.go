package response

import (
	"context"

	"tocsin/bot/incident"
	"tocsin/bot/trust"
)

// Passkeys returns the passkeys of a person, or of all people, in the order of their registration.
func (d *Desk) Passkeys(ctx context.Context, person incident.PersonID) (trust.PasskeyList, error) {
	out := trust.PasskeyList{Passkeys: []trust.PasskeyLine{}, Required: d.Policy.SignLevel == incident.AuthPasskey}
	state, env, err := d.Trust(ctx)
	if err != nil {
		return out, err
	}
	out.Roster = state.Roster(env)
	uses, err := d.passkeyUses(ctx, state, person)
	if err != nil {
		return out, err
	}
	for _, k := range state.Keys {
		if person == "" || k.Person == person {
			out.Passkeys = append(out.Passkeys, trust.PasskeyLine{Person: k.Person, Name: env.Directory.Name(k.Person), Departments: trust.Departments(env, k.Person), Fingerprint: k.Fingerprint, Key: k.Name,
				RegisteredAt: k.RegisteredAt, Approval: k.Approval, LastUsed: uses[k.Fingerprint].At, RevokedAt: k.RevokedAt, RevokedReason: k.RevokedReason})
		}
	}
	return out, nil
}

// passkeyUses returns the last uses of the passkeys of a person, or of all people.
func (d *Desk) passkeyUses(ctx context.Context, state trust.State, person incident.PersonID) (map[string]passkeyUse, error) {
	out := map[string]passkeyUse{}
	err := d.Store.Tx(ctx, func(tx Tx) error {
		var keys []string
		for _, k := range state.Keys {
			if person == "" || k.Person == person {
				keys = append(keys, k.Fingerprint)
			}
		}
		if len(keys) == 0 {
			return nil
		}
		values, err := tx.Values(NamespacePasskey, keys...)
		if err != nil {
			return err
		}
		for _, key := range keys {
			var use passkeyUse
			if err := decodeValue(values[key], &use); err != nil {
				return err
			}
			out[key] = use
		}
		return nil
	})
	return out, err
}
