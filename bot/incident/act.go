package incident

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// actDomain separates the digests of acts from all other digests. It changes with the
// fields of [Command.ActDigest].
const actDomain = "tocsin-act-v1\n"

// actAttestations are the sentences that a person confirms for an act besides the signature.
// They contain no text of people. A verb without one cannot be signed with a passkey.
var actAttestations = map[Verb]string{
	VerbObject:           "I object to this closing record for my department. It must not be approved until the objection is withdrawn or the record is amended.",
	VerbWithdraw:         "I withdraw the objection of my department, or my own signature.",
	VerbWaiveActions:     "I agree that this incident is closed without the required action items.",
	VerbDismiss:          "I agree that this incident is dismissed as a false alarm.",
	VerbSetLegalHold:     "I set a legal hold: retention must not delete this incident.",
	VerbReleaseLegalHold: "I release the legal hold: retention may delete this incident again.",
	VerbErase:            "I agree that the named texts of this incident are erased.",
	VerbExclude:          "I agree that the named person is excluded from this incident.",
	VerbReadmit:          "I agree that the named person is readmitted to this incident.",
}

// ActDigest returns the digest of what the command says, for the statement of an act other
// than a signature. It covers every argument that the verbs of such acts read.
func (c Command) ActDigest() string {
	erase := make([]string, len(c.Erase))
	for n, ref := range c.Erase {
		erase[n] = fmt.Sprintf("%d/%s", ref.Seq, ref.Name)
	}
	content := struct {
		Verb           Verb       `json:"verb"`
		Incident       string     `json:"incident"`
		Department     Department `json:"department"`
		Person         PersonID   `json:"person"`
		Item           string     `json:"item"`
		Severity       Severity   `json:"severity"`
		Text           string     `json:"text"`
		Reason         string     `json:"reason"`
		Expect         string     `json:"expect"`
		Channel        string     `json:"channel"`
		Audience       Audience   `json:"audience"`
		HappenedAt     string     `json:"happened_at"`
		Erase          []string   `json:"erase"`
		NoPersonalData bool       `json:"no_personal_data"`
	}{c.Verb, c.For.String(), c.Department, c.Person, c.Item, c.Severity, c.Text, c.Reason, c.Expect, c.Channel, c.Audience, instant(c.HappenedAt), erase, c.NoPersonalData}
	sum := sha256.Sum256(append([]byte(actDomain), canonical(content)...))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// HasStatement reports whether people can sign the verb with a passkey.
func HasStatement(v Verb) bool { return v == VerbSign || actAttestations[v] != "" }

// isSensitive reports whether the command needs [Policy.SensitiveLevel] in the present state.
func (i Incident) isSensitive(c Command) bool {
	switch c.Verb {
	case VerbDismiss:
		return !i.OneMayDismiss()
	case VerbConclude:
		return strings.TrimSpace(c.Waiver) != "" && i.Review.WaivedBy == ""
	case VerbSign:
		return false
	}
	return actAttestations[c.Verb] != ""
}

// RequiredLevel returns how surely the author of a command must be recognised.
func (i Incident) RequiredLevel(c Command, p Policy) AuthLevel {
	level := AuthAny
	switch {
	case c.Verb == VerbSign:
		level = p.SignLevel
	case i.isSensitive(c):
		level = p.SensitiveLevel
	}
	if level == "" {
		return AuthAny
	}
	return level
}

// StatementOf returns the statement that the actor of env signs for a command, without a
// time and a nonce. It returns false if the verb has none.
func StatementOf(c Command, inc Incident, env Env) (ActStatement, bool) {
	if team, ok := env.Directory.Team(c.Department); ok {
		c.Department = team.Name
	}
	s := ActStatement{Act: string(c.Verb), Incident: c.For.String(), Department: c.Department, Person: env.Actor}
	if c.Verb == VerbSign {
		if inc.Submission != nil {
			s.Digest = inc.Submission.Digest
		}
		s.Attestation = env.Policy.Attestation(c.Department).Text
		return s, true
	}
	s.Digest, s.Attestation = c.ActDigest(), actAttestations[c.Verb]
	return s, s.Attestation != ""
}

// Act is what the author of a command must do besides giving it.
type Act struct {
	Level     AuthLevel
	Signable  bool         // with a passkey
	Statement ActStatement // without a time and a nonce
	Attested  string       // [Attestation.ID] of the statement of a signature
	Passkeys  []Passkey    // of the author, revoked ones included
}

// PrepareAct returns what the author of a command must do, or the error of [Decide] if the
// command would be refused whatever the author signs.
func PrepareAct(c Command, inc Incident, env Env) (Act, error) {
	out := Act{Level: inc.RequiredLevel(c, env.Policy)}
	out.Statement, out.Signable = StatementOf(c, inc, env)
	if c.Verb == VerbSign {
		out.Attested = env.Policy.Attestation(out.Statement.Department).ID()
	}
	if c.Verb != VerbConclude {
		env.Policy.SignLevel, env.Policy.SensitiveLevel = AuthAny, AuthAny
	}
	c.Proof = nil
	if verbs[c.Verb].decide == nil || c.NeedsTimeline() {
		return out, nil
	}
	_, err := Decide(c, inc, env)
	return out, err
}

// PageURL returns the address of a path on the pages, or "" without pages.
func (p Policy) PageURL(path string) string {
	if p.RelyingParty.Origin == "" {
		return ""
	}
	return p.RelyingParty.Origin + path
}

// SignPath returns the path of the page on which a department signs the record, or of the
// choice of a department.
func (id ID) SignPath(team Department) string {
	path := "/incidents/" + id.String() + "/sign"
	if team != "" {
		path += "/" + url.PathEscape(string(team))
	}
	return path
}

// ProofWindow is how far the time of a statement may be from the time of the decision.
const ProofWindow = 10 * time.Minute

// checkLevel checks how the author of the command was recognised. A proof is judged at
// every level.
func (d *decider) checkLevel() error {
	if d.env.System {
		return nil
	}
	if d.cmd.Proof != nil {
		if err := d.judgeProof(*d.cmd.Proof); err != nil {
			return err
		}
	}
	level, byHost := d.inc.RequiredLevel(d.cmd, d.env.Policy), d.cmd.Via == ViaCLI && d.cmd.By.Provider == ProviderLocal
	switch {
	case level == AuthAny:
		return nil
	case d.cmd.Verb == VerbConclude:
		return Forbidden("a waiver in the minutes is not possible, because a waiver needs %s. Propose it on its own, with review waive", level.words())
	case d.cmd.Verb == VerbSign && d.cmd.Via == ViaCLI:
		return Forbidden("a signature by the command line is not possible, because it needs %s. %s", level.words(), d.pageAdvice())
	case d.cmd.Proof != nil, level == AuthMFA && d.cmd.Via == ViaWeb && d.cmd.SecondFactor:
		return nil
	case byHost:
		d.local, d.cmdDigest = true, d.cmd.ActDigest()
		d.localFirst = d.inc.localProposal(d.cmdDigest, d.env.Now)
		return nil
	}
	return Forbidden("%s in %s needs %s. %s", d.cmd.Verb.CommandName(), d.inc.ID, level.words(), d.pageAdvice())
}

// words returns the level for people.
func (l AuthLevel) words() string {
	if l == AuthMFA {
		return "a sign-in with a second factor"
	}
	return "a signature with your passkey"
}

// ActPath returns the path of the page for an act.
func (c Command) ActPath() string {
	if c.Verb == VerbSign || c.Verb == VerbObject {
		return c.For.SignPath(c.Department)
	}
	return "/incidents/" + c.For.String() + "/do/" + string(c.Verb)
}

// pageAdvice returns the sentence about the page for the act.
func (d *decider) pageAdvice() string {
	if u := d.env.Policy.PageURL(d.cmd.ActPath()); u != "" {
		return "Open " + u
	}
	return "Ask an administrator to set public_url, then use the page of the incident"
}

// judgeProof checks that the proof is the actor's own statement about this command, made
// now, with a passkey of the actor.
func (d *decider) judgeProof(p Proof) error {
	want, ok := StatementOf(d.cmd, d.inc, d.env)
	if !ok {
		return Invalid("proof", "%s is not signed with a passkey. Send it without a proof", d.cmd.Verb.CommandName())
	}
	if d.cmd.Verb == VerbSign {
		if err := d.checkRecordRead(); err != nil {
			return err
		}
	}
	if err := p.Verify(); err != nil {
		return badProof(d.inc.ID, err.Error())
	}
	have := p.Statement
	for _, c := range []struct {
		equal bool
		about string
	}{
		{have.Act == want.Act, "the signature is about another act"},
		{have.Incident == want.Incident, "the signature is about another incident"},
		{have.Digest == want.Digest, "the signature is about another text"},
		{have.Attestation == want.Attestation, "the signature is about another statement"},
		{have.Department == want.Department, "the signature is for another department"},
		{have.Person == want.Person && d.env.Actor != "", "the signature is of another person"},
		{d.env.Now.Sub(have.SignedAt()).Abs() <= ProofWindow, "the signature is more than 10 minutes old, or from the future"},
		{p.RelyingParty == d.env.Policy.RelyingParty.ID && p.Origin == d.env.Policy.RelyingParty.Origin, "the signature was made on another website"},
		{!d.inc.nonceUsed(have.Nonce), "the signature was used before"},
	} {
		if !c.equal {
			return badProof(d.inc.ID, c.about)
		}
	}
	return d.judgeKey(p)
}

// judgeKey checks that the key of the proof is an active passkey of the actor.
func (d *decider) judgeKey(p Proof) error {
	n := slices.IndexFunc(d.env.Passkeys, func(k Passkey) bool {
		return k.Person == d.env.Actor && string(k.Credential) == string(p.Credential) && string(k.PublicKey) == string(p.PublicKey)
	})
	switch {
	case n < 0:
		return badProof(d.inc.ID, "the key is not a passkey of yours that Tocsin knows")
	case !d.env.Passkeys[n].ActiveAt(d.env.Now):
		return badProof(d.inc.ID, "the passkey is revoked")
	}
	return nil
}

// badProof returns the error for a proof that is refused. It counts as a denied attempt.
func badProof(id ID, why string) error {
	return &Error{Code: CodeForbidden, Field: "proof", Sentence: Say("%s, so nothing was recorded in %s. Open the page again and sign with your passkey", Quoted(why), id)}
}

// checkRecordRead returns an error if the record or the statement changed after the person
// read it, and if an argument of the signature is not in the statement.
func (d *decider) checkRecordRead() error {
	if !d.cmd.HappenedAt.IsZero() || d.cmd.Audience != "" {
		return Invalid("proof", "a signature has no time and audience of its own. Leave them out")
	}
	if err := d.checkDigest(); err != nil {
		return err
	}
	return d.checkAttested()
}

// checkAttested returns an error if the attestation changed after the person read it.
func (d *decider) checkAttested() error {
	if d.cmd.Attested != "" && d.cmd.Attested != d.env.Policy.Attestation(d.cmd.Department).ID() {
		return Stale("the statement that %s signs changed after you read it. Read it again, then sign", d.cmd.Department)
	}
	return nil
}

// nonceUsed reports whether a recorded act has the nonce.
func (i Incident) nonceUsed(nonce string) bool {
	_, used := i.Nonces[nonce]
	return used
}

// trackProof stores the nonce of the proof of an event for as long as the proof could be
// used again.
func (i *Incident) trackProof(e Event) {
	p := e.Proof()
	if p == nil {
		return
	}
	kept := map[string]time.Time{p.Statement.Nonce: e.RecordedAt}
	for nonce, at := range i.Nonces {
		if e.RecordedAt.Sub(at) <= 2*ProofWindow {
			kept[nonce] = at
		}
	}
	i.Nonces = kept
}

// Proof returns the proof of the author of the event, or nil.
func (e Event) Proof() *Proof {
	raw := e.Field("proof")
	if raw == "" {
		return nil
	}
	var p Proof
	if json.Unmarshal([]byte(raw), &p) != nil {
		return nil
	}
	return &p
}
