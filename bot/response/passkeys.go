package response

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/trust"
)

// Trust returns the state of the log of keys and providers.
func (d *Desk) Trust(ctx context.Context) (state trust.State, env trust.Env, err error) {
	err = d.Store.View(ctx, func(r Reader) error {
		dir, err := r.Directory()
		if err != nil {
			return err
		}
		events, err := r.TrustEvents()
		state, env = trust.Fold(events), d.trustEnv(dir)
		return err
	})
	if err != nil {
		return state, env, fmt.Errorf("read log of keys: %w", err)
	}
	return state, env, nil
}

func (d *Desk) trustEnv(dir incident.Directory) trust.Env {
	return trust.Env{Now: d.Now(), Directory: dir, RelyingParty: d.Policy.RelyingParty}
}

// RegisterPasskey registers a passkey for the actor, if a code, vouchers, an own passkey or a second factor allow it. counter is the
// counter of the new passkey.
func (d *Desk) RegisterPasskey(ctx context.Context, a trust.Actor, r trust.Registration, counter uint32) (trust.Event, error) {
	events, err := d.changeTrust(ctx, a, "passkey register", func(s *session, state trust.State, env trust.Env) ([]trust.Event, error) {
		events, err := state.Register(a, r, env)
		if err != nil {
			return nil, err
		}
		key := incident.Passkey{Person: a.Person, Fingerprint: events[0].Fingerprint}
		return events, usePasskey(s.tx, s.now, key, counter)
	})
	if err != nil {
		return trust.Event{}, err
	}
	return events[0], nil
}

// RevokePasskey revokes a passkey, or proposes it for the first of two people from security. It returns the events.
func (d *Desk) RevokePasskey(ctx context.Context, a trust.Actor, r trust.Revocation) ([]trust.Event, error) {
	return d.changeTrust(ctx, a, "passkey revoke", func(_ *session, state trust.State, env trust.Env) ([]trust.Event, error) {
		return state.Revoke(a, r, env)
	})
}

// IssueCode issues an enrolment code to a person. Earlier codes of the person are void then.
func (d *Desk) IssueCode(ctx context.Context, a trust.Actor, person incident.PersonID, reason string) (trust.EnrolmentCode, error) {
	random := make([]byte, trust.CodeBytes)
	_, _ = rand.Read(random) // never fails
	code := trust.EnrolmentCode{Person: person, Code: trust.NewCode(random)}
	events, err := d.changeTrust(ctx, a, "passkey code", func(_ *session, state trust.State, env trust.Env) ([]trust.Event, error) {
		code.Name = env.Directory.Name(person)
		return state.IssueCode(a, person, code.Code, reason, env)
	})
	if err != nil {
		return trust.EnrolmentCode{}, err
	}
	code.Expires = events[len(events)-1].Details.Expires
	return code, nil
}

// Vouch records the voucher of the actor for the next passkey of a person.
func (d *Desk) Vouch(ctx context.Context, a trust.Actor, v trust.Vouching) (trust.Event, error) {
	events, err := d.changeTrust(ctx, a, "passkey vouch", func(s *session, state trust.State, env trust.Env) ([]trust.Event, error) {
		e, err := state.Vouch(a, v, env)
		if err == nil && v.Proof != nil {
			err = s.useProof(state, *v.Proof)
		}
		return []trust.Event{e}, err
	})
	if err != nil {
		return trust.Event{}, err
	}
	return events[0], nil
}

// changeTrust decides on the log, appends the events and writes them to the audit log, in one transaction. A refusal is in the audit
// log too.
func (d *Desk) changeTrust(ctx context.Context, a trust.Actor, action string, decide func(*session, trust.State, trust.Env) ([]trust.Event, error)) (events []trust.Event, err error) {
	err = d.write(ctx, func(s *session) error {
		log, err := s.tx.TrustEvents()
		if err != nil {
			return fmt.Errorf("read log of keys: %w", err)
		}
		if events, err = decide(s, trust.Fold(log), d.trustEnv(s.dir)); err != nil {
			return err
		}
		for n := range events {
			if err := s.appendTrust(&events[n], action); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, d.RefusePasskey(ctx, a, action, fmt.Errorf("%s: %w", action, err))
	}
	return events, nil
}

// useProof counts the use of the passkey that signed a verified proof.
func (s *session) useProof(state trust.State, p incident.Proof) error {
	key, known := state.Key(p.Credential)
	if !known {
		return incident.Forbidden("this passkey is not registered. Use one of your own")
	}
	return usePasskey(s.tx, s.now, key.Passkey, p.Counter())
}

// appendTrust appends an event, writes it to the audit log, and notifies the person and security.
func (s *session) appendTrust(e *trust.Event, action string) error {
	id, err := s.tx.AppendTrust(*e)
	if err != nil {
		return err
	}
	e.ID = id
	reason := fmt.Sprintf("%s for %s", e.Kind, s.dir.Name(e.Person))
	for _, more := range []string{e.Fingerprint, e.Details.Approval, e.Details.Reason} {
		if more != "" {
			reason += "; " + more
		}
	}
	if err := s.tx.Audit(Access{At: s.now, Person: e.By, Handle: e.Details.Handle, Action: action, Reason: reason, Allowed: true}); err != nil {
		return err
	}
	if e.Kind == trust.VoucherVoided {
		return nil
	}
	return s.tx.Enqueue(noticesOf(fmt.Sprintf("trust/%d", id), s.now, passkeyNotice(*e))...)
}

// passkeyNotice returns the arguments of the notice about an event.
func passkeyNotice(e trust.Event) map[string]string {
	args := map[string]string{"about": incident.AboutPasskey, "event": string(e.Kind), "person": string(e.Person), "by": string(e.By), "at": e.At.UTC().Format(time.RFC3339), "people": string(e.Person)}
	if e.Fingerprint != "" {
		args["key"] = e.Fingerprint
	}
	if !e.Details.Since.IsZero() {
		args["since"] = e.Details.Since.UTC().Format(time.RFC3339)
	}
	return args
}

// passkeyUse is the state of a passkey that changes with every use.
type passkeyUse struct {
	Count uint32    `json:"count"` // that the authenticator signed last
	At    time.Time `json:"at"`
}

// counterError is a use of a passkey whose counter did not rise, which is the sign of a copy.
type counterError struct {
	refusal *incident.Error
	key     incident.Passkey
}

func (e *counterError) Error() string { return e.refusal.Error() }
func (e *counterError) Unwrap() error { return e.refusal }

// usePasskey stores the counter and the time of a use of a passkey. It refuses a counter that did not rise, unless the passkey does not
// count.
func usePasskey(tx Tx, now time.Time, key incident.Passkey, counter uint32) error {
	var use passkeyUse
	if err := getValue(tx, NamespacePasskey, key.Fingerprint, &use); err != nil {
		return err
	}
	if counter <= use.Count && counter != 0 && use.Count != 0 {
		return &counterError{incident.Forbidden("the counter of this passkey did not rise, so it may be a copy. Security is notified. Use another passkey and have this one revoked"), key}
	}
	return putValue(tx, NamespacePasskey, key.Fingerprint, passkeyUse{counter, now}, time.Time{})
}

// UsePasskey counts the use of a passkey for a sign-in or as a second factor. The page has verified the signature. If the actor is a
// person, the key must belong to this person.
func (d *Desk) UsePasskey(ctx context.Context, a trust.Actor, credential []byte, counter uint32, action string) (key trust.Key, err error) {
	err = d.write(ctx, func(s *session) error {
		log, err := s.tx.TrustEvents()
		if err != nil {
			return fmt.Errorf("read log of keys: %w", err)
		}
		if key, err = trust.Fold(log).Usable(a.Person, credential, d.trustEnv(s.dir)); err != nil {
			return err
		}
		if err := usePasskey(s.tx, s.now, key.Passkey, counter); err != nil {
			return err
		}
		return s.tx.Audit(Access{At: s.now, Person: key.Person, Handle: a.Handle, Action: action, Reason: key.Fingerprint, Allowed: true})
	})
	if err != nil {
		return trust.Key{}, d.RefusePasskey(ctx, a, action, err)
	}
	return key, nil
}

// RefusePasskey writes a refusal to the audit log, notifies security about a counter, and returns the error for the person. Errors of
// the database are returned unchanged.
func (d *Desk) RefusePasskey(ctx context.Context, a trust.Actor, action string, refusal error) error {
	var domain *incident.Error
	if !errors.As(refusal, &domain) {
		return refusal
	}
	err := d.Store.Tx(ctx, func(tx Tx) error {
		now := d.Now()
		access := Access{At: now, Person: a.Person, Handle: a.Handle, Action: action, Reason: domain.Error()}
		var copied *counterError
		if errors.As(refusal, &copied) {
			access.Person = copied.key.Person
			access.Reason += "; " + copied.key.Fingerprint
			args := map[string]string{"about": incident.AboutPasskey, "event": "counter", "person": string(copied.key.Person), "key": copied.key.Fingerprint, "at": now.UTC().Format(time.RFC3339), "people": string(copied.key.Person)}
			if err := tx.Enqueue(noticesOf(fmt.Sprintf("passkey-counter/%s/%d", copied.key.Fingerprint, now.Unix()/3600), now, args)...); err != nil {
				return err
			}
		}
		return tx.Audit(access)
	})
	if err != nil {
		return fmt.Errorf("audit %s: %w", action, err)
	}
	return d.redactError(a.Handle.Provider, refusal)
}
