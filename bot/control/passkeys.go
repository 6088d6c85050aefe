package control

import (
	"context"
	"slices"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/trust"
)

// PasskeyDesk lists and changes passkeys.
type PasskeyDesk interface {
	Passkeys(ctx context.Context, person incident.PersonID) (trust.PasskeyList, error)
	IssueCode(ctx context.Context, a trust.Actor, person incident.PersonID, reason string) (trust.EnrolmentCode, error)
	Vouch(ctx context.Context, a trust.Actor, v trust.Vouching) (trust.Event, error)
	RevokePasskey(ctx context.Context, a trust.Actor, r trust.Revocation) ([]trust.Event, error)
}

// PasskeyRequest is a request about the passkeys of a person.
type PasskeyRequest struct {
	Person      string    `json:"person,omitempty"`      // as typed
	Fingerprint string    `json:"fingerprint,omitempty"` // or its beginning
	Since       time.Time `json:"since,omitzero"`        // from when a revoked passkey does not count
}

// PasskeyChange is the result of `tocsin passkeys vouch` and `revoke`.
type PasskeyChange struct {
	Person       string    `json:"person"` // name
	Fingerprints []string  `json:"fingerprints,omitempty"`
	Expires      time.Time `json:"expires,omitzero"` // of a voucher
}

// listPasskeys is the operation of `tocsin passkeys list`.
func (c *Server) listPasskeys(ctx context.Context, _ incident.Identity, ask Request) (any, error) {
	var person incident.PersonID
	if ask.Passkey.Person != "" {
		_, p, err := c.passkeyPerson(ctx, incident.Identity{}, ask)
		if err != nil {
			return nil, err
		}
		person = p.ID
	}
	return c.Desk().Passkeys(ctx, person)
}

// passkeyRoster is the operation of `tocsin doctor`. It has numbers only.
func (c *Server) passkeyRoster(ctx context.Context, _ incident.Identity, _ Request) (any, error) {
	list, err := c.Desk().Passkeys(ctx, "")
	return trust.PasskeyList{Roster: list.Roster, Required: list.Required}, err
}

// issueCode is the operation of `tocsin passkeys code`.
func (c *Server) issueCode(ctx context.Context, who incident.Identity, ask Request) (any, error) {
	actor, person, err := c.passkeyPerson(ctx, who, ask)
	if err != nil {
		return nil, err
	}
	return c.Desk().IssueCode(ctx, actor, person.ID, ask.Reason)
}

// vouch is the operation of `tocsin passkeys vouch`. The user of the host is the voucher.
func (c *Server) vouch(ctx context.Context, who incident.Identity, ask Request) (any, error) {
	actor, person, err := c.passkeyPerson(ctx, who, ask)
	if err != nil {
		return nil, err
	}
	e, err := c.Desk().Vouch(ctx, actor, trust.Vouching{Person: person.ID, Reason: ask.Reason})
	return PasskeyChange{Person: person.Name, Expires: e.Details.Expires}, err
}

// revokePasskey is the operation of `tocsin passkeys revoke`.
func (c *Server) revokePasskey(ctx context.Context, who incident.Identity, ask Request) (any, error) {
	actor, person, err := c.passkeyPerson(ctx, who, ask)
	if err != nil {
		return nil, err
	}
	list, err := c.Desk().Passkeys(ctx, person.ID)
	if err != nil {
		return nil, err
	}
	fingerprint := strings.TrimPrefix(strings.ToLower(strings.TrimSpace(ask.Passkey.Fingerprint)), "sha256:")
	isOwn := func(k trust.PasskeyLine) bool {
		return strings.HasPrefix(strings.TrimPrefix(k.Fingerprint, "sha256:"), fingerprint)
	}
	if !slices.ContainsFunc(list.Passkeys, isOwn) {
		return nil, incident.Unknown("fingerprint", "%s has no passkey with the fingerprint %q. Use one that `tocsin passkeys list` prints", person.Name, ask.Passkey.Fingerprint)
	}
	events, err := c.Desk().RevokePasskey(ctx, actor, trust.Revocation{Fingerprint: fingerprint, Since: ask.Passkey.Since, Reason: ask.Reason})
	out := PasskeyChange{Person: person.Name}
	for _, e := range events {
		if e.Kind == trust.PasskeyRevoked {
			out.Fingerprints = append(out.Fingerprints, e.Fingerprint)
		}
	}
	return out, err
}

// passkeyPerson returns the user of the host as an actor, and the person that the request names. People who left have passkeys to
// revoke, too.
func (c *Server) passkeyPerson(ctx context.Context, who incident.Identity, ask Request) (trust.Actor, incident.Person, error) {
	desk := c.Desk()
	dir, err := desk.Directory(ctx)
	if err != nil {
		return trust.Actor{}, incident.Person{}, err
	}
	actor := trust.Actor{Handle: who, Through: string(who.Provider), Administrator: desk.Administers(who)}
	if p, known := dir.Resolve(who); known {
		actor.Person = p.ID
	}
	id, err := dir.PersonNamed(ask.Passkey.Person)
	if err != nil {
		return actor, incident.Person{}, err
	}
	return actor, incident.Person{ID: id, Name: dir.Name(id)}, nil
}
