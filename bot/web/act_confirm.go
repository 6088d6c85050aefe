package web

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"tocsin/bot/command"
	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// signingDesk is the part of [Desk] for acts that need a signature.
type signingDesk interface {
	// PrepareAct returns what the author of a command must do besides giving it.
	PrepareAct(ctx context.Context, cmd incident.Command) (incident.Act, error)
}

// valueActs is the value of a session with the acts that wait for a signature, as JSON.
const valueActs = "acts"

// The limits of acts that wait for a signature.
const (
	pendingActTTL  = time.Hour
	maxPendingActs = 5
)

// ceremonyAct is the kind of the ceremony that signs an act.
const ceremonyAct = "passkey act"

// pendingAct is an act that waits for a signature.
type pendingAct struct {
	ID      string           `json:"id"`
	At      time.Time        `json:"at"`
	Command incident.Command `json:"command"`
	Then    string           `json:"then"`
}

// signRoutes registers the pages of signatures, and the ceremonies of acts.
func (s *Server) signRoutes() {
	s.private("GET /acts/{act}", s.confirmPage)
	s.ceremony("/acts/{act}", ceremonyAct, s.beginPending, s.finishAct)
	s.private("GET /incidents/{id}/sign", s.chooseSignature)
	s.private("GET /incidents/{id}/sign/{department}", s.signPage)
	s.private("POST /incidents/{id}/sign/{department}", s.signAtOnce)
	s.private("POST /incidents/{id}/sign/{department}/object", s.objectHere)
	s.private("GET /incidents/{id}/signed/{department}", s.receiptPage)
	s.ceremony("/incidents/{id}/sign/{department}", ceremonyAct, s.beginSign, s.finishAct)
}

// needsProof reports whether the visitor must sign a command with a passkey. It returns an
// error if the visitor cannot.
func (s *Server) needsProof(ctx context.Context, v visitor, cmd incident.Command) (bool, error) {
	if !incident.HasStatement(cmd.Verb) && cmd.Verb != incident.VerbConclude {
		return false, nil
	}
	act, err := s.Desk().PrepareAct(ctx, v.command(cmd))
	if err != nil || v.meets(act.Level) {
		return false, err
	}
	if !hasKey(act, s.Now()) {
		return false, s.noKey(act.Level)
	}
	return true, nil
}

// meets reports whether the session of the visitor meets a level without a proof.
func (v visitor) meets(level incident.AuthLevel) bool {
	return level == incident.AuthAny || level == incident.AuthMFA && v.SecondFactor
}

// hasKey reports whether the visitor has a passkey that can sign an act.
func hasKey(act incident.Act, now time.Time) bool {
	return slices.ContainsFunc(act.Passkeys, func(k incident.Passkey) bool { return k.ActiveAt(now) })
}

// noKey returns the error for a visitor who needs a passkey and has none.
func (s *Server) noKey(level incident.AuthLevel) error {
	if level == incident.AuthMFA {
		return incident.Forbidden("this act needs a second factor. Sign in with one, or register a passkey at %s", incident.Literal(s.site.JoinPath("/account/passkeys").String()))
	}
	return incident.Forbidden("this act needs a signature with your passkey, and you have none. Register one at %s", incident.Literal(s.site.JoinPath("/account/passkeys").String()))
}

// confirm keeps a command and redirects to the page that takes its signature.
func (s *Server) confirm(w http.ResponseWriter, r *http.Request, cmd incident.Command, then string) error {
	p := pendingAct{ID: rand.Text(), At: s.Now().UTC(), Command: cmd, Then: then}
	acts := append(s.pendingActs(r.Context()), p)
	raw, err := json.Marshal(acts[max(0, len(acts)-maxPendingActs):])
	if err != nil {
		return fmt.Errorf("encode act: %w", err)
	}
	s.sessions.Put(r.Context(), valueActs, string(raw))
	http.Redirect(w, r, "/acts/"+p.ID, http.StatusSeeOther)
	return nil
}

// pendingActs returns the acts of the session that wait for a signature.
func (s *Server) pendingActs(ctx context.Context) (acts []pendingAct) {
	if raw := s.sessions.GetString(ctx, valueActs); raw == "" || json.Unmarshal([]byte(raw), &acts) != nil {
		return nil
	}
	return slices.DeleteFunc(acts, func(p pendingAct) bool { return s.Now().Sub(p.At) >= pendingActTTL })
}

// pending returns the act of a request that waits for a signature.
func (s *Server) pending(r *http.Request) (pendingAct, error) {
	for _, p := range s.pendingActs(r.Context()) {
		if p.ID == r.PathValue("act") {
			return p, nil
		}
	}
	return pendingAct{}, incident.Unknown("act", "this act expired, or belongs to another session. Nothing was changed. Fill in its form again")
}

// confirmData is the data of the page that takes the signature under an act.
type confirmData struct {
	ID        incident.ID
	Path      string
	Back      string
	Statement string
	Says      []labelled
	Danger    bool
}

// labelled is a text with a label.
type labelled struct{ Label, Text string }

// confirmPage shows what the visitor signs.
func (s *Server) confirmPage(w http.ResponseWriter, r *http.Request, v visitor) error {
	p, err := s.pending(r)
	if err != nil {
		return err
	}
	act, err := s.Desk().PrepareAct(r.Context(), v.command(p.Command))
	if err != nil {
		return err
	}
	dir, err := s.Desk().Directory(r.Context())
	if err != nil {
		return err
	}
	data := confirmData{ID: p.Command.For, Path: r.URL.Path, Back: incidentPath(p.Command.For), Statement: act.Statement.Attestation, Says: says(p.Command, dir), Danger: slices.Contains(dangerous, p.Command.Verb)}
	return s.render(w, v, http.StatusOK, "sign_confirm", text.Capital(p.Command.Verb.CommandName())+": sign with your passkey", data)
}

// says returns what a command says, for the person who signs it.
func says(c incident.Command, dir incident.Directory) []labelled {
	var erase string
	for _, ref := range c.Erase {
		erase += fmt.Sprintf("%d/%s ", ref.Seq, ref.Name)
	}
	personal := ""
	if c.NoPersonalData {
		personal = "No personal data is involved"
	}
	person := ""
	if c.Person != "" {
		person = dir.Name(c.Person)
	}
	all := []labelled{{"Incident", c.For.String()}, {"Department", string(c.Department)}, {"Person", person}, {"About", c.Item}, {"Texts", erase}, {"Personal data", personal},
		{"Channel", c.Channel}, {"Reason", c.Text}, {"Record", c.Expect}}
	return slices.DeleteFunc(all, func(l labelled) bool { return l.Text == "" })
}

// beginPending requests the signature under an act that waits.
func (s *Server) beginPending(r *http.Request, v visitor) (any, error) {
	p, err := s.pending(r)
	if err != nil {
		return nil, err
	}
	return s.beginAct(r, v, p.Command, p.Then)
}

// beginAct requests the signature of a passkey of the visitor under the statement of a command.
func (s *Server) beginAct(r *http.Request, v visitor, cmd incident.Command, then string) (any, error) {
	ctx := r.Context()
	act, err := s.Desk().PrepareAct(ctx, v.command(cmd))
	if err != nil {
		return nil, err
	}
	if !act.Signable {
		return nil, incident.Invalid("verb", "this act takes no signature. Use its button on the page of %s", cmd.For)
	}
	statement := act.Statement
	statement.Time, statement.Nonce = incident.StatementTime(s.Now()), newNonce()
	options, data, err := s.beginAssertion(ctx, v, statement.Challenge())
	if err != nil {
		return nil, err
	}
	return options, s.begin(ctx, ceremony{Kind: ceremonyAct, Data: data, Statement: &statement, Act: &cmd, Then: then})
}

// finishAct carries out the command whose statement was signed. The Desk judges the proof, and
// writes a refusal to the audit log.
func (s *Server) finishAct(r *http.Request, v visitor) (any, error) {
	ctx := r.Context()
	c, err := s.take(ctx, ceremonyAct)
	if err != nil {
		return nil, s.Desk().RefusePasskey(ctx, s.actor(ctx, v), ceremonyAct, err)
	}
	parsed, err := readAssertion(r)
	if err != nil {
		return nil, s.Desk().RefusePasskey(ctx, s.actor(ctx, v), ceremonyAct, err)
	}
	state, _, err := s.Desk().Trust(ctx)
	if err != nil {
		return nil, err
	}
	key, known := state.Key(parsed.RawID)
	if !known {
		key.Credential = parsed.RawID
	}
	proof := s.newProof(*c.Statement, key, parsed)
	cmd := *c.Act
	cmd.Proof, cmd.Key = &proof, "web/proof/"+c.Statement.Nonce
	result, err := s.Desk().Do(ctx, v.command(cmd))
	if err != nil {
		return nil, err
	}
	s.forget(ctx, r.PathValue("act"))
	if cmd.Verb == incident.VerbSign {
		return finished{signedPath(cmd.For, cmd.Department)}, nil
	}
	return finished{s.outcome(ctx, cmd, result, c.Then)}, nil
}

// forget removes an act that was carried out from the session.
func (s *Server) forget(ctx context.Context, id string) {
	acts := slices.DeleteFunc(s.pendingActs(ctx), func(p pendingAct) bool { return p.ID == id })
	if raw, err := json.Marshal(acts); err == nil && id != "" {
		s.sessions.Put(ctx, valueActs, string(raw))
	}
}

// signSpec is the form to sign, whose text the page shows.
func signSpec() *command.FormSpec {
	spec, _ := command.FormOf(incident.VerbSign)
	return spec
}
