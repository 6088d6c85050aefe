package incident

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// voidSubmission returns a frozen record to editing and voids its signatures. It
// does nothing unless the incident is in review.
func (j *decider) voidSubmission(why string) {
	if j.inc.Status != InReview {
		return
	}
	j.emit(EventSignaturesVoided, fields{"status": string(Resolved), "signatures": num(len(j.inc.Signatures)), "digest": j.digest()}, texts{"reason": why})
}

func (j *decider) digest() string {
	if j.inc.Submission == nil {
		return ""
	}
	return j.inc.Submission.Digest
}

// recordEdits checks edits of the record and returns the effective ones.
func (j *decider) recordEdits(record map[string]string) (texts, fields, error) {
	t, f := texts{}, fields{}
	for _, field := range RecordFields() {
		v, ok := record[field.Name]
		if !ok || v == j.inc.Record.Get(field.Name) {
			continue
		}
		switch field.Name {
		case "audience":
			switch Audience(v) {
			case AudienceAll, AudienceResponders, AudienceLegalSecurity:
			default:
				return nil, nil, Invalid("audience", "unknown audience %q; use all, responders or legal_and_security", v)
			}
			f["audience"] = v
		case "language":
			if err := checkLanguage("language", v); err != nil {
				return nil, nil, err
			}
			f["language"] = v
		default:
			if strings.TrimSpace(v) == "" {
				return nil, nil, Invalid(field.Name, "%s cannot be empty; type its text", field.Label)
			}
			t[field.Name] = v
		}
	}
	for _, name := range slices.Sorted(maps.Keys(record)) {
		if !slices.ContainsFunc(RecordFields(), func(r RecordField) bool { return r.Name == name }) {
			return nil, nil, Invalid("record", "unknown field %q of the closing record; known fields: %s", name, recordNames())
		}
	}
	return t, f, nil
}

func recordNames() string {
	names := make([]string, 0, 10)
	for _, f := range RecordFields() {
		names = append(names, f.Name)
	}
	return strings.Join(names, ", ")
}

// edit emits the edits of the record, if any, and closes the open objections,
// which were about the old text.
func (j *decider) edit() error {
	t, f, err := j.recordEdits(j.cmd.Record)
	if err != nil {
		return err
	}
	if len(t)+len(f) > 0 {
		j.emit(EventRecordEdited, f, t)
		j.closeObjections("amended")
	}
	return nil
}

func (j *decider) editRecord() error {
	if len(j.cmd.Record) == 0 {
		return Invalid("record", "no field given; type record set FIELD TEXT with one of: %s", recordNames())
	}
	return j.edit()
}

func (j *decider) submit() error {
	if err := j.edit(); err != nil {
		return err
	}
	return j.freeze(EventSubmitted, nil)
}

// freeze emits kind with the digest that the departments sign. It returns an error
// if a required field is empty.
func (j *decider) freeze(kind EventKind, t texts) error {
	for _, f := range RecordFields() {
		if f.Required && strings.TrimSpace(j.inc.Record.Get(f.Name)) == "" {
			return Invalid(f.Name, "%s is empty; fill it in, then submit the closing record", f.Label)
		}
	}
	revision := j.inc.Approved + 1
	doc := j.inc.document(revision)
	j.emit(kind, fields{"status": string(InReview), "revision": num(revision), "digest": doc.Digest(),
		"head": doc.Head, "events": num(doc.Events)}, t)
	return nil
}

// checkDigest returns an error if the actor did not read the current record.
func (j *decider) checkDigest() error {
	switch {
	case j.inc.Submission == nil:
		return Conflict("%s has no submitted closing record; type submit first", j.inc.ID)
	case j.cmd.Expect == "":
		return Invalid("digest", "the digest is missing; read the closing record, then add %s", j.inc.Submission.Digest)
	case !sameDigest(j.cmd.Expect, j.inc.Submission.Digest):
		return Stale("the closing record changed after you read it; read it again, then use the digest %s", j.inc.Submission.Digest)
	}
	return nil
}

// sameDigest reports whether seen is digest, in full or its first 12 or more
// hexadecimal digits.
func sameDigest(seen, digest string) bool {
	full := strings.TrimPrefix(digest, "sha256:")
	seen = strings.TrimPrefix(strings.ToLower(strings.TrimSpace(seen)), "sha256:")
	return seen == full || len(seen) >= 12 && strings.HasPrefix(full, seen)
}

func (j *decider) sign() error {
	team, actor := j.cmd.Department, j.env.Actor
	if !slices.Contains(RequiredDepartments(), team) {
		return Invalid("department", "%q does not sign the closing record; engineering, security, legal and communications do, affected teams use answer", team)
	}
	if err := j.checkDigest(); err != nil {
		return err
	}
	if err := j.requireRepresentative(team); err != nil {
		return err
	}
	if have := j.inc.SignedBy(team); have != nil {
		if have.By == actor {
			return nil
		}
		return Conflict("%s already signed for %s; one signature is enough", j.env.Directory.Name(have.By), team)
	}
	for _, s := range j.inc.Signatures {
		if s.By == actor {
			return Conflict("you already signed this record for %s; ask another person to sign for %s", s.Department, team)
		}
	}
	for _, o := range j.inc.Objections {
		if o.Open() && o.Department == team {
			return Conflict("%s has the open objection %s; type withdraw %[2]s before you sign", team, o.ID)
		}
	}
	f := fields{"department": string(team), "document": DocumentKind, "schema": DocumentSchema, "digest": j.inc.Submission.Digest}
	if j.inc.Submission.By == actor {
		if !j.env.Policy.SubmitterMaySign {
			return Forbidden("you submitted the closing record and cannot sign it; ask another member of %s to sign", team)
		}
		f["submitter"] = "true"
	}
	if !j.env.Directory.Member(actor, team) {
		f["deputy"] = "true"
	}
	j.emit(EventSigned, f, texts{"attestation": Attestation})
	j.approve()
	return nil
}

// approve emits the approval if no signature, answer or objection is outstanding.
func (j *decider) approve() {
	if j.inc.Status == InReview && j.inc.fullySigned() {
		j.emit(EventApproved, fields{"status": string(Approved), "digest": j.inc.Submission.Digest, "revision": num(j.inc.Submission.Document.Revision)}, nil)
	}
}

func (j *decider) object() error {
	team := j.cmd.Department
	asked := slices.ContainsFunc(j.inc.Consultations, func(c Consultation) bool { return c.Team == team })
	if !slices.Contains(RequiredDepartments(), team) && !asked {
		return Invalid("department", "%q does not sign and was not consulted on %s; type consult %[1]s first", team, j.inc.ID)
	}
	if err := j.checkDigest(); err != nil {
		return err
	}
	if err := j.requireRepresentative(team); err != nil {
		return err
	}
	if err := j.requireText("text", j.cmd.Text, "an objection needs a reason; say what is wrong with the closing record"); err != nil {
		return err
	}
	if slices.ContainsFunc(j.inc.Objections, func(o Objection) bool { return o.Open() && o.Department == team && o.Reason == j.cmd.Text }) {
		return nil
	}
	if j.inc.SignedBy(team) != nil {
		j.emit(EventSignatureWithdrawn, fields{"department": string(team), "digest": j.digest()}, nil)
	}
	j.emit(EventObjected, fields{"objection": fmt.Sprintf("O%d", len(j.inc.Objections)+1), "department": string(team), "digest": j.digest()}, texts{"reason": j.cmd.Text})
	return nil
}

// withdraw withdraws objections of the departments that the actor represents, or
// else the actor's own signature.
func (j *decider) withdraw() error {
	found := false
	for _, o := range j.inc.Objections {
		mine := j.inc.represents(j.env.Directory, j.env.Actor, o.Department, j.env.Now)
		if !o.Open() || j.cmd.Item != "" && !strings.EqualFold(o.ID, j.cmd.Item) || j.cmd.Department != "" && o.Department != j.cmd.Department {
			continue
		}
		if !mine {
			if j.cmd.Item == "" {
				continue
			}
			return Forbidden("only %s can withdraw the objection %s; ask one of its members", o.Department, o.ID)
		}
		found = true
		j.emit(EventObjectionClosed, fields{"objection": o.ID, "how": "withdrawn"}, texts{"reason": j.cmd.Text})
	}
	if !found && j.cmd.Item == "" {
		for _, s := range j.inc.Signatures {
			if s.By == j.env.Actor && (j.cmd.Department == "" || s.Department == j.cmd.Department) {
				found = true
				j.emit(EventSignatureWithdrawn, fields{"department": string(s.Department), "digest": s.Digest}, texts{"reason": j.cmd.Text})
				break
			}
		}
	}
	if !found {
		return Unknown("objection", "you have no such objection or signature on %s; type record show to see them", j.inc.ID)
	}
	j.approve()
	return nil
}

func (j *decider) closeObjections(how string) {
	for _, o := range j.inc.Objections {
		if o.Open() {
			j.emit(EventObjectionClosed, fields{"objection": o.ID, "how": how}, nil)
		}
	}
}

func (j *decider) amend() error {
	if err := j.requireText("text", j.cmd.Text, "the reason is missing; type amend WHY"); err != nil {
		return err
	}
	j.emit(EventAmended, fields{"status": string(Resolved), "digest": j.digest()}, texts{"reason": j.cmd.Text})
	return j.edit()
}

func (j *decider) revise() error {
	if err := j.requireText("text", j.cmd.Text, "the reason is missing; type revise because WHY"); err != nil {
		return err
	}
	if err := j.edit(); err != nil {
		return err
	}
	return j.freeze(EventRevised, texts{"reason": j.cmd.Text})
}

// written records that the postmortem of the approved record is written.
func (j *decider) written() error {
	if j.inc.Submission == nil || j.cmd.Document != j.inc.Submission.Digest || j.cmd.Revision != j.inc.Submission.Document.Revision {
		return Stale("the postmortem %s does not match the approved record of %s; write it again", j.cmd.Document, j.inc.ID)
	}
	if slices.ContainsFunc(j.inc.Postmortems, func(p Postmortem) bool { return p.Revision == j.cmd.Revision }) {
		return nil
	}
	j.emit(EventPostmortemWritten, fields{"revision": num(j.cmd.Revision), "digest": j.cmd.Document}, nil)
	return nil
}

func (j *decider) shared() error {
	for _, p := range j.inc.Postmortems {
		if p.Revision == j.cmd.Revision && !p.Shared {
			j.emit(EventPostmortemShared, fields{"revision": num(p.Revision), "file": j.cmd.Item}, nil)
		}
	}
	return nil
}
