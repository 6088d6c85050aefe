package web

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/trust"
)

// passkeysView is the input of the page with the passkeys of a person.
type passkeysView struct {
	Done       string // result of a form or a ceremony
	Own        []trust.PasskeyLine
	Active     bool   // has a passkey that counts
	Approval   string // reason for which a registration is allowed now, or ""
	Missing    string // missing part of a registration
	NeedsCode  bool
	Vouchers   []voucherView // for the visitor
	CanVouch   []person      // for the visitor
	Waiting    []person      // for a voucher of the visitor
	Others     []person      // whom the visitor can vouch for otherwise
	IsSecurity bool
	All        []trust.PasskeyLine
	Proposals  []proposalView
	Roster     []trust.RosterLine
	Now        time.Time
}

type person struct {
	ID   incident.PersonID
	Name string
}

type voucherView struct {
	Name    string
	Expires time.Time
}

type proposalView struct {
	trust.Proposal
	Name, Owner string
	IsMine      bool
}

// passkeyDone are the messages after a form or a ceremony.
var passkeyDone = map[string]string{
	"registered": "Your passkey is registered. Security has been notified.",
	"vouched":    "Your voucher is recorded. It counts for 24 hours, for the next passkey of this person.",
	"revoked":    "The passkey is revoked.",
	"proposed":   "Your proposal is recorded. A second person from security must confirm it within 24 hours.",
	"confirmed":  "Your session has a second factor.",
}

// passkeysPage shows the passkeys of the visitor.
func (s *Server) passkeysPage(w http.ResponseWriter, r *http.Request, v visitor) error {
	ctx := r.Context()
	state, env, err := s.Desk().Trust(ctx)
	if err != nil {
		return err
	}
	list, err := s.Desk().Passkeys(ctx, "")
	if err != nil {
		return err
	}
	view := passkeysView{Done: passkeyDone[r.URL.Query().Get("done")], Now: env.Now, Roster: list.Roster}
	for _, k := range list.Passkeys {
		if k.Person == v.ID {
			view.Own = append(view.Own, k)
			view.Active = view.Active || k.RevokedAt.IsZero()
		}
	}
	if s.library == nil {
		view.Missing = errNoPasskeys.Error()
	} else if view.Approval, err = state.MayRegister(s.actor(ctx, v), "", env); err != nil {
		view.Missing = err.Error()
	}
	view.NeedsCode = view.Approval == "" && (len(view.Own) == 0 || v.Through == incident.ThroughHost)
	for _, voucher := range state.Vouchers {
		if voucher.Person == v.ID && voucher.ActiveAt(env.Now) {
			view.Vouchers = append(view.Vouchers, voucherView{env.Directory.Name(voucher.By), voucher.Expires})
		}
	}
	view.CanVouch, view.Waiting = people(env, state.CanVouch(v.ID, env)), people(env, state.Waiting(v.ID, env))
	if view.Active {
		for _, p := range env.Directory.People {
			if slices.Contains(state.CanVouch(p.ID, env), v.ID) && !slices.Contains(view.Waiting, person{p.ID, p.Name}) {
				view.Others = append(view.Others, person{p.ID, p.Name})
			}
		}
	}
	if view.IsSecurity = env.Directory.Represents(v.ID, incident.Security, env.Now); view.IsSecurity {
		view.All = slices.DeleteFunc(list.Passkeys, func(k trust.PasskeyLine) bool { return k.Person == v.ID })
		for _, p := range state.Proposals {
			if p.ActiveAt(env.Now) {
				owner := slices.IndexFunc(state.Keys, func(k trust.Key) bool { return k.Fingerprint == p.Fingerprint })
				view.Proposals = append(view.Proposals, proposalView{p, env.Directory.Name(p.By), env.Directory.Name(state.Keys[owner].Person), p.By == v.ID})
			}
		}
	}
	return s.render(w, v, http.StatusOK, "passkeys", "Passkeys", view)
}

// people returns people with their names.
func people(env trust.Env, ids []incident.PersonID) []person {
	out := make([]person, len(ids))
	for n, id := range ids {
		out[n] = person{id, env.Directory.Name(id)}
	}
	return out
}

// revokePasskey revokes a passkey, or proposes it.
func (s *Server) revokePasskey(w http.ResponseWriter, r *http.Request, v visitor) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxCeremonyBody)
	revocation := trust.Revocation{Fingerprint: r.FormValue("key"), Reason: r.FormValue("because")}
	if since := strings.TrimSpace(r.FormValue("since")); since != "" {
		var err error
		if revocation.Since, err = time.Parse("2006-01-02T15:04", since); err != nil {
			return incident.Invalid("since", "the time %q is malformed. Use a time in UTC, such as 2026-11-03T09:30", since)
		}
	}
	events, err := s.Desk().RevokePasskey(r.Context(), s.actor(r.Context(), v), revocation)
	if err != nil {
		return err
	}
	done := "revoked"
	if events[0].Kind == trust.RevocationProposed {
		done = "proposed"
	}
	http.Redirect(w, r, "/account/passkeys?done="+done, http.StatusSeeOther)
	return nil
}
