package web

import (
	"crypto/rand"
	"errors"
	"net/http"
	"slices"
	"strings"

	"tocsin/bot/chat"
	"tocsin/bot/command"
	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// signData is the data of the page of a signature.
type signData struct {
	ID         incident.ID
	Back, Path string
	Department string
	Severity   incident.Severity
	Title      string
	Digest     string
	Revision   int
	Notes      []string
	Parts      []signPart
	Refusal    []string // why the visitor cannot sign
	Statement  string
	Version    string
	Attested   string
	Signatures []signatureLine
	Level      incident.AuthLevel
	Plain      bool // the session meets the level
	Passkey    bool // the visitor has a passkey
	Objects    bool // the visitor may object
	Receipt    string
	Problem    string
	Objection  string // that was typed
}

// signPart is a part of the record, or something that the signer must see.
type signPart struct {
	Heading, Text string
	Warn          bool
}

// signatureLine is one department in the list of signatures.
type signatureLine struct {
	Department, Name, When, How, Fingerprint string
	Receipt                                  string
	Signers                                  string // who can sign, or ""
}

// signedPath returns the path of the receipt of a signature.
func signedPath(id incident.ID, team incident.Department) string {
	return incidentPath(id) + "/signed/" + string(team)
}

// signTarget returns the incident and the department of a request.
func signTarget(r *http.Request) (incident.ID, incident.Department, error) {
	id, err := incident.ParseID(r.PathValue("id"))
	if err != nil {
		return 0, "", err
	}
	team := incident.Department(r.PathValue("department"))
	if team != "" && !slices.Contains(incident.RequiredDepartments(), team) {
		return 0, "", incident.Unknown("department", "%q does not sign the closing record. Engineering, security, legal and communications do", team)
	}
	return id, team, nil
}

// chooseSignature redirects to the page of the department that the visitor can sign for.
func (s *Server) chooseSignature(w http.ResponseWriter, r *http.Request, v visitor) error {
	id, _, err := signTarget(r)
	if err != nil {
		return err
	}
	view, err := s.Desk().Show(r.Context(), v.identity(), id, "chose a signature on a page")
	if err != nil {
		return err
	}
	env := incident.Env{Now: s.Now(), Actor: view.Reader, Directory: view.Directory, Policy: view.Policy}
	choice := incident.RequiredDepartments()[0]
	for _, may := range []func(incident.Department) bool{
		func(team incident.Department) bool { return view.Incident.MaySign(team, env) == nil },
		func(team incident.Department) bool {
			return view.Incident.Represents(view.Directory, v.ID, team, s.Now())
		},
	} {
		if n := slices.IndexFunc(incident.RequiredDepartments(), may); n >= 0 {
			choice = incident.RequiredDepartments()[n]
			break
		}
	}
	http.Redirect(w, r, id.SignPath(choice), http.StatusSeeOther) //nolint:gosec // a path of this site with a number and a department
	return nil
}

// signPage shows the record and the statement of a department, and takes the signature.
func (s *Server) signPage(w http.ResponseWriter, r *http.Request, v visitor) error {
	return s.showSign(w, r, v, nil, "")
}

// showSign shows the page of a signature, after a rejected one with the error.
func (s *Server) showSign(w http.ResponseWriter, r *http.Request, v visitor, rejected error, objection string) error {
	id, team, err := signTarget(r)
	if err != nil {
		return err
	}
	reader := chat.Reader{Desk: readableDesk{s.Desk()}, Who: v.identity(), Via: incident.ViaWeb, Now: s.Now()}
	given := incident.Command{Verb: incident.VerbSign, For: id, Department: team}
	c, err := reader.FormContext(r.Context(), signSpec(), given, rand.Text())
	if err != nil {
		return err
	}
	data, err := s.signData(r, v, c)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if refused := new(incident.Error); errors.As(rejected, &refused) {
		status, data.Problem, data.Objection = statusOf(refused), text.Capital(refused.String())+".", objection
	} else if rejected != nil {
		return rejected
	}
	return s.render(w, v, status, "sign_record", "Sign "+id.String()+" for "+string(team), data)
}

// signData collects what the page of a signature shows.
func (s *Server) signData(r *http.Request, v visitor, c command.FormContext) (signData, error) {
	id, team := c.Given.For, c.Given.Department
	f := signSpec().Open(c)
	data := signData{ID: id, Back: incidentPath(id), Path: id.SignPath(team), Department: string(team), Severity: c.Incident.Severity, Title: c.Incident.Title,
		Attested: f.State.Statement, Level: c.Incident.RequiredLevel(c.Given, c.Env.Policy), Signatures: s.signatureLines(c)}
	if sub := c.Incident.Submission; sub != nil {
		data.Digest, data.Revision = sub.Digest, sub.Document.Revision
	}
	if sig := c.Incident.SignedBy(team); sig != nil && sig.By == v.ID && sig.Meets(c.Env.Policy.SignLevel) {
		data.Receipt = signedPath(id, team)
	}
	if data.Attested == "" {
		for _, p := range f.Document {
			data.Refusal = append(data.Refusal, p.Text)
		}
		return data, nil
	}
	data.parts(f.Document)
	data.Statement, data.Version = c.Env.Policy.Attestation(team).Text, c.Env.Policy.Attestation(team).Version
	act, err := s.Desk().PrepareAct(r.Context(), v.command(incident.Command{Verb: incident.VerbSign, For: id, Department: team, Expect: data.Digest, Attested: data.Attested}))
	if err != nil {
		return data, err
	}
	data.Plain, data.Passkey, data.Objects = v.meets(act.Level), hasKey(act, s.Now()) && s.library != nil, true
	return data, nil
}

// parts sorts the text above the form into parts.
func (d *signData) parts(document []command.Paragraph) {
	for _, p := range document {
		switch last := len(d.Parts) - 1; {
		case p.Kind == command.KindHeading:
			warn := strings.HasPrefix(p.Text, "Changed since") || strings.HasPrefix(p.Text, "The record was amended") || strings.HasPrefix(p.Text, "Open objections") || strings.HasPrefix(p.Text, "Steps ")
			d.Parts = append(d.Parts, signPart{Heading: p.Text, Warn: warn})
		case p.Kind == command.KindNote || last < 0:
			d.Notes = append(d.Notes, p.Text)
		default:
			d.Parts[last].Text = strings.TrimSpace(d.Parts[last].Text + "\n" + p.Text)
		}
	}
	d.Notes = slices.DeleteFunc(d.Notes, func(n string) bool { return strings.HasSuffix(n, d.Digest) }) // the page has its own line
	slices.SortStableFunc(d.Parts, func(a, b signPart) int { return boolOrder(b.Warn) - boolOrder(a.Warn) })
}

func boolOrder(b bool) int {
	if b {
		return 1
	}
	return 0
}

// signatureLines returns who signed for each department and how, or who can sign.
func (s *Server) signatureLines(c command.FormContext) []signatureLine {
	var out []signatureLine
	for _, team := range incident.RequiredDepartments() {
		line := signatureLine{Department: string(team)}
		if sig := c.Incident.SignedBy(team); sig != nil {
			line.Name, line.When, line.How = c.Directory.Name(sig.By), sig.At.UTC().Format("2006-01-02 15:04 UTC"), sig.Method()
			line.Receipt = signedPath(c.Incident.ID, team)
			if sig.Proof != nil {
				line.Fingerprint = sig.Proof.Fingerprint()
			}
			if !sig.Meets(c.Env.Policy.SignLevel) {
				line.How += ", which no longer suffices: " + line.Name + " must sign again"
			}
		} else {
			var names []string
			for _, p := range c.Incident.Signers(team, c.Env) {
				names = append(names, c.Directory.Name(p))
			}
			line.Signers = strings.Join(names, ", ")
		}
		out = append(out, line)
	}
	return out
}

// signCommand returns the command of a submitted page.
func signCommand(r *http.Request) (incident.Command, error) {
	id, team, err := signTarget(r)
	if err != nil {
		return incident.Command{}, err
	}
	if err := r.ParseForm(); err != nil {
		return incident.Command{}, incident.Invalid("", "the form is malformed. Open the page again")
	}
	return incident.Command{Verb: incident.VerbSign, For: id, Department: team, Expect: r.PostForm.Get("digest"), Attested: r.PostForm.Get("attested")}, nil
}

// signAtOnce signs without a passkey, if the session meets the level.
func (s *Server) signAtOnce(w http.ResponseWriter, r *http.Request, v visitor) error {
	cmd, err := signCommand(r)
	if err != nil {
		return err
	}
	cmd.Key = s.key(v, r)
	if _, err := s.Desk().Do(r.Context(), v.command(cmd)); err != nil {
		return s.showSign(w, r, v, err, "")
	}
	http.Redirect(w, r, signedPath(cmd.For, cmd.Department), http.StatusSeeOther)
	return nil
}

// beginSign requests the signature of a passkey under the record.
func (s *Server) beginSign(r *http.Request, v visitor) (any, error) {
	cmd, err := signCommand(r)
	if err != nil {
		return nil, err
	}
	return s.beginAct(r, v, cmd, "")
}

// objectHere objects to the record on the page.
func (s *Server) objectHere(w http.ResponseWriter, r *http.Request, v visitor) error {
	cmd, err := signCommand(r)
	if err != nil {
		return err
	}
	cmd.Verb, cmd.Attested, cmd.Key = incident.VerbObject, "", s.key(v, r)
	cmd.Text = strings.ReplaceAll(strings.TrimSpace(r.PostForm.Get("text")), "\r\n", "\n")
	if err := s.act(w, r, v, cmd, cmd.For.SignPath(cmd.Department)); err != nil {
		return s.showSign(w, r, v, err, cmd.Text)
	}
	return nil
}

// receiptData is the data of the receipt of a signature.
type receiptData struct {
	signatureLine
	ID         incident.ID
	Back       string
	Mine       bool
	Digest     string
	Statement  string
	Version    string
	Event      int
	Hash       string
	Challenge  bool
	Credential string
	Checkpoint string
	Void       bool // the signature does not count any more
	Left       []string
	Status     incident.Status
}

// receiptPage shows a signature as it was recorded.
func (s *Server) receiptPage(w http.ResponseWriter, r *http.Request, v visitor) error {
	id, team, err := signTarget(r)
	if err != nil {
		return err
	}
	view, err := s.Desk().Show(r.Context(), v.identity(), id, "opened the receipt of a signature")
	if err != nil {
		return err
	}
	n := len(view.Timeline) - 1
	for ; n >= 0; n-- {
		if e := view.Timeline[n]; e.Kind == incident.EventSigned && e.Field("department") == string(team) {
			break
		}
	}
	if n < 0 {
		return incident.Unknown("signature", "nobody signed %s for %s. Read the record first", id, team)
	}
	e := view.Timeline[n]
	sig := incident.SignatureOf(e)
	data := receiptData{ID: id, Back: incidentPath(id), Mine: sig.By == v.ID, Digest: sig.Digest, Statement: sig.Attestation, Version: sig.AttestationVersion, Event: e.Seq, Hash: e.Hash, Status: view.Incident.Status,
		signatureLine: signatureLine{Department: string(team), Name: view.Directory.Name(sig.By), When: sig.At.UTC().Format("2006-01-02 15:04:05 UTC"), How: sig.Method()}}
	if sig.Proof != nil {
		data.Fingerprint = sig.Proof.Fingerprint()
	}
	have := view.Incident.SignedBy(team)
	data.Void = have == nil || have.Digest != sig.Digest || have.By != sig.By
	if unsigned, _, _ := view.Incident.Missing(); view.Incident.Status == incident.InReview {
		for _, d := range unsigned {
			data.Left = append(data.Left, string(d))
		}
	}
	if s.Checkpoint != nil {
		if data.Checkpoint, err = s.Checkpoint(r.Context()); err != nil {
			s.Log.WarnContext(r.Context(), "read checkpoint for a receipt failed", "err", err)
		}
	}
	return s.render(w, v, http.StatusOK, "sign_receipt", "Receipt: "+id.String()+" signed for "+string(team), data)
}
