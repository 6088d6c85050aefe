package incident

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// voidSubmission takes a frozen record back to writing: its digest and its signatures
// count no longer. Outside of a review there is nothing to void.
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

// recordEdits checks changes of the record and returns those that change something.
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
				return nil, nil, Invalid("audience", "%q is no audience; use all, responders or legal_and_security", v)
			}
			f["audience"] = v
		case "language":
			if err := checkLanguage("language", v); err != nil {
				return nil, nil, err
			}
			f["language"] = v
		default:
			if strings.TrimSpace(v) == "" {
				return nil, nil, Invalid(field.Name, "%s cannot be emptied", field.Label)
			}
			t[field.Name] = v
		}
	}
	for _, name := range slices.Sorted(maps.Keys(record)) {
		if !slices.ContainsFunc(RecordFields(), func(r RecordField) bool { return r.Name == name }) {
			return nil, nil, Invalid("record", "the record has no field %q; it has %s", name, recordNames())
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

// edit emits the change of the record, if there is any. What changed is what
// the open objections were about.
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
		return Invalid("record", "name a field and its text; the fields are %s", recordNames())
	}
	return j.edit()
}

func (j *decider) submit() error {
	if err := j.edit(); err != nil {
		return err
	}
	return j.freeze(EventSubmitted, nil)
}

// freeze computes the digest that the departments are asked to sign.
func (j *decider) freeze(kind EventKind, t texts) error {
	for _, f := range RecordFields() {
		if f.Required && strings.TrimSpace(j.inc.Record.Get(f.Name)) == "" {
			return Invalid(f.Name, "%s is still empty; four departments cannot sign it like this", f.Label)
		}
	}
	revision := j.inc.Approved + 1
	doc := j.inc.document(revision)
	j.emit(kind, fields{"status": string(InReview), "revision": num(revision), "digest": doc.Digest(),
		"head": doc.Head, "events": num(doc.Events)}, t)
	return nil
}

// checkDigest checks that the actor looked at the record that is current.
func (j *decider) checkDigest() error {
	switch {
	case j.inc.Submission == nil:
		return Conflict("%s has no submitted record", j.inc.ID)
	case j.cmd.Expect == "":
		return Invalid("digest", "name the digest you read: %s", j.inc.Submission.Digest)
	case !sameDigest(j.cmd.Expect, j.inc.Submission.Digest):
		return Stale("the record changed since you read it; read it again (%s)", j.inc.Submission.Digest)
	}
	return nil
}

// sameDigest accepts the digest in full, or shortened to no less than 12 hex digits.
func sameDigest(seen, digest string) bool {
	full := strings.TrimPrefix(digest, "sha256:")
	seen = strings.TrimPrefix(strings.ToLower(strings.TrimSpace(seen)), "sha256:")
	return seen == full || len(seen) >= 12 && strings.HasPrefix(full, seen)
}

func (j *decider) sign() error {
	team, actor := j.cmd.Department, j.env.Actor
	if !slices.Contains(RequiredDepartments(), team) {
		return Invalid("department", "%q does not sign; engineering, security, legal and communications do (affected teams answer)", team)
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
		return Conflict("%s has signed for %s already", j.env.Directory.Name(have.By), team)
	}
	for _, s := range j.inc.Signatures {
		if s.By == actor {
			return Conflict("you have signed this record for %s; one person signs for one department", s.Department)
		}
	}
	for _, o := range j.inc.Objections {
		if o.Open() && o.Department == team {
			return Conflict("%s has an open objection (%s); withdraw it first", team, o.ID)
		}
	}
	f := fields{"department": string(team), "document": DocumentKind, "schema": DocumentSchema, "digest": j.inc.Submission.Digest}
	if j.inc.Submission.By == actor {
		if !j.env.Policy.SubmitterMaySign {
			return Forbidden("whoever submitted the record does not sign it; have somebody else from %s sign", team)
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

// approve closes the review when nothing is missing any more.
func (j *decider) approve() {
	if j.inc.Status == InReview && j.inc.fullySigned() {
		j.emit(EventApproved, fields{"status": string(Approved), "digest": j.inc.Submission.Digest, "revision": num(j.inc.Submission.Document.Revision)}, nil)
	}
}

func (j *decider) object() error {
	team := j.cmd.Department
	asked := slices.ContainsFunc(j.inc.Consultations, func(c Consultation) bool { return c.Team == team })
	if !slices.Contains(RequiredDepartments(), team) && !asked {
		return Invalid("department", "%q is neither one of the four departments nor consulted on %s", team, j.inc.ID)
	}
	if err := j.checkDigest(); err != nil {
		return err
	}
	if err := j.requireRepresentative(team); err != nil {
		return err
	}
	if err := j.requireText("text", j.cmd.Text, "an objection needs a reason"); err != nil {
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

// withdraw takes back an objection, by anybody who may speak for its
// department, or the actor's own signature.
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
			return Forbidden("only %s withdraws its objection", o.Department)
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
		return Unknown("objection", "there is nothing of yours to withdraw on %s", j.inc.ID)
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
	if err := j.requireText("text", j.cmd.Text, "say why the record is amended"); err != nil {
		return err
	}
	j.emit(EventAmended, fields{"status": string(Resolved), "digest": j.digest()}, texts{"reason": j.cmd.Text})
	return j.edit()
}

func (j *decider) revise() error {
	if err := j.requireText("text", j.cmd.Text, "say why the signed record is revised"); err != nil {
		return err
	}
	if err := j.edit(); err != nil {
		return err
	}
	return j.freeze(EventRevised, texts{"reason": j.cmd.Text})
}

// written is said by the bot when the postmortem of the approved record stands.
func (j *decider) written() error {
	if j.inc.Submission == nil || j.cmd.Document != j.inc.Submission.Digest || j.cmd.Revision != j.inc.Submission.Document.Revision {
		return Stale("a postmortem of %s does not stand for the approved record", j.cmd.Document)
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
