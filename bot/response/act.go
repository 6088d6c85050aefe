package response

import (
	"context"
	"fmt"

	"tocsin/bot/incident"
	"tocsin/bot/trust"
)

// PrepareAct returns what the author of a command must do besides giving it: the level, the
// statement to sign, and the passkeys that can sign it. It returns the error of [Desk.Do] if
// the command would be refused whatever the author signs. It changes nothing.
func (d *Desk) PrepareAct(ctx context.Context, cmd incident.Command) (incident.Act, error) {
	var out incident.Act
	err := d.Store.View(ctx, func(r Reader) error {
		out = incident.Act{}
		dir, err := r.Directory()
		if err != nil {
			return err
		}
		s := &session{d: d, now: d.Now(), dir: dir}
		env := s.env(cmd)
		if err := incident.Admit(cmd, env); err != nil {
			return err
		}
		inc, err := r.Incident(cmd.For)
		if incident.CodeOf(err) != "" || err == nil && !incident.MayAddress(cmd, inc, env) {
			return incident.NoAccess(cmd.For)
		}
		if err != nil {
			return err
		}
		if out, err = incident.PrepareAct(cmd, inc, env); err != nil || !out.Signable {
			return err
		}
		events, err := r.TrustEvents()
		if err != nil {
			return fmt.Errorf("read log of keys: %w", err)
		}
		out.Passkeys = trust.Fold(events).Passkeys(env.Actor)
		return nil
	})
	if err != nil {
		err = fmt.Errorf("prepare %s of %s: %w", cmd.Verb, cmd.For, err)
	}
	return answer(d, cmd.By, out, err)
}

// addTrust adds to the environment of a decision the passkeys of the actor, if the command
// has a proof.
func (s *session) addTrust(cmd incident.Command, env *incident.Env) error {
	if cmd.Proof == nil || env.System {
		return nil
	}
	events, err := s.tx.TrustEvents()
	if err != nil {
		return fmt.Errorf("read log of keys: %w", err)
	}
	state := trust.Fold(events)
	env.Passkeys, env.Distrusts = state.Passkeys(env.Actor), state.Distrusts()
	return nil
}

// countProof counts the use of the passkey of a command that [incident.Decide] accepted. It
// refuses a passkey whose counter did not rise.
func (s *session) countProof(cmd incident.Command, events []incident.Event) error {
	if cmd.Proof == nil || len(events) == 0 {
		return nil
	}
	log, err := s.tx.TrustEvents()
	if err != nil {
		return fmt.Errorf("read log of keys: %w", err)
	}
	return s.useProof(trust.Fold(log), *cmd.Proof)
}
