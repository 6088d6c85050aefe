package response

import (
	"fmt"
	"time"

	"tocsin/bot/incident"
)

// targetLifetime is how long the store keeps the target of a page. An incident that
// takes longer loses the way to withdraw pages of removed steps.
const targetLifetime = 365 * 24 * time.Hour

// storeTarget stores the target of the page that starts, to withdraw the page there.
func (a *attempt) storeTarget(s *session) error {
	step := intArg(a.effect, "escalation_step")
	if step >= len(a.desk.Targets) {
		return nil
	}
	if _, err := s.tx.Values(NamespacePage, a.effect.Key); err != nil {
		return fmt.Errorf("lock the target of a page: %w", err)
	}
	if err := s.tx.PutValue(NamespacePage, a.effect.Key, a.desk.Targets[step], s.now.Add(targetLifetime)); err != nil {
		return fmt.Errorf("store the target of a page: %w", err)
	}
	return nil
}

// loadTarget sets the handler that ends the page of the effect where it was sent. For a
// page of an earlier version, which has no target, the handlers of the configuration stay.
func (a *attempt) loadTarget(s *session) error {
	e := a.effect
	if e.Kind != incident.EffectPageAck && e.Kind != incident.EffectPageResolve || a.desk.Withdraw == nil || e.Args["escalation_step"] == "" {
		return nil
	}
	key := incident.PageRef{Round: intArg(e, "round"), EscalationStep: intArg(e, "escalation_step")}.Key(e.Incident)
	found, err := s.tx.Values(NamespacePage, key)
	if err != nil {
		return fmt.Errorf("read the target of a page: %w", err)
	}
	if target := found[key]; target != nil {
		a.withdraw = a.desk.Withdraw(target)
	}
	return nil
}

// withdrawLatePage ends the page of the effect, which may have reached the pager although
// the incident no longer needs it. Nothing happens if no attempt was made, or if one reached
// somebody: that page is recorded, so the incident has ended it.
func (a *attempt) withdrawLatePage(s *session, attempted bool) error {
	if !attempted || len(a.wait.Reached) > 0 {
		return nil
	}
	dr, err := s.draft(a.effect.Incident)
	if err != nil {
		return err
	}
	if err := s.tx.Enqueue(dr.inc.WithdrawLatePage(a.effect, s.now)...); err != nil {
		return fmt.Errorf("withdraw a late page: %w", err)
	}
	return nil
}
