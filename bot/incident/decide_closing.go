package incident

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// voidSubmission returns a frozen record to editing and voids its signatures. It
// does nothing unless the incident is in review.
func (d *decider) voidSubmission(why string) {
	if d.inc.Status != InReview {
		return
	}
	d.emit(EventSignaturesVoided, fields{"status": string(Resolved), "signatures": num(len(d.inc.Signatures)), "digest": d.digest()}, texts{"reason": why})
}

func (d *decider) digest() string {
	if d.inc.Submission == nil {
		return ""
	}
	return d.inc.Submission.Digest
}

// recordEdits checks edits of the record and returns the effective ones.
func (d *decider) recordEdits(record map[string]string) (texts, fields, error) {
	t, f := texts{}, fields{}
	for _, field := range RecordFields() {
		v, ok := record[field.Name]
		if !ok || v == d.inc.Record.Get(field.Name) {
			continue
		}
		if err := d.checkUnseen(field, field.Name); err != nil {
			if strings.TrimSpace(v) == "" {
				continue // the text of the other person stays
			}
			return nil, nil, err
		}
		switch field.Name {
		case "audience":
			switch Audience(v) {
			case AudienceAll, AudienceResponders, AudienceLegalSecurity:
			default:
				return nil, nil, Invalid("audience", "unknown audience %q. Use all, responders or legal_and_security", v)
			}
			f["audience"] = v
		case "language":
			if err := checkLanguage("language", v); err != nil {
				return nil, nil, err
			}
			f["language"] = v
		default:
			if strings.TrimSpace(v) == "" {
				return nil, nil, Invalid(field.Name, "%s cannot be empty. Type its text", field.Label)
			}
			t[field.Name] = v
		}
	}
	for _, name := range slices.Sorted(maps.Keys(record)) {
		if !slices.ContainsFunc(RecordFields(), func(r RecordField) bool { return r.Name == name }) {
			return nil, nil, Invalid("record", "unknown field %q of the closing record. Known fields: %s", name, recordNames())
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

// checkUnseen returns an error about an argument if the field changed after the person
// read the record.
func (d *decider) checkUnseen(field RecordField, argument string) error {
	e, ok := partEdits(d.env.Timeline)[field.Name]
	if d.cmd.Seen == 0 || !ok || e.Seq <= d.cmd.Seen {
		return nil
	}
	name, label, at := d.env.Directory.Name(e.By), strings.ToLower(field.Label), e.RecordedAt.UTC().Format("15:04")
	switch {
	case argument == "confirm":
		return Invalid(argument, "%s changed %s at %s UTC, after you opened the form, so nothing was saved. Untick %[2]s and submit again", name, label, at)
	case d.cmd.Verb == VerbEditRecord:
		return Invalid(argument, "%s changed %s at %s UTC, after you opened the form, so nothing was saved. To keep that text, clear this field and submit again. To add to it, copy your text and open the form again", name, label, at)
	}
	return Invalid(argument, "%s changed %s at %s UTC, after you opened the form, so nothing was saved. Copy your text and open the form again", name, label, at)
}

// confirmDrafts adds the drafts that the person confirms to the texts of the record. It
// returns the names of the added parts. A part that has a text already stays as it is.
func (d *decider) confirmDrafts(t texts) ([]string, error) {
	if len(d.cmd.Confirm) == 0 {
		return nil, nil
	}
	drafts, seen := DraftRecord(d.inc, d.env.Timeline, d.env.Directory), []PartDraft(nil)
	if d.cmd.Seen > 0 {
		upTo := slices.DeleteFunc(slices.Clone(d.env.Timeline), func(e Event) bool { return e.Seq > d.cmd.Seen })
		seen = DraftRecord(Fold(d.inc.ID, upTo), upTo, d.env.Directory)
	}
	var added []string
	for n, field := range RecordParts() {
		draft := drafts[n]
		if _, edited := t[field.Name]; edited || !slices.Contains(d.cmd.Confirm, field.Name) {
			continue
		}
		if err := d.checkUnseen(field, "confirm"); err != nil {
			return nil, err
		}
		switch {
		case d.inc.Record.Get(field.Name) != "":
			continue
		case draft.Text == "":
			return nil, Invalid("confirm", "there is no draft of %s. %s", strings.ToLower(field.Label), draft.Missing)
		case seen != nil && seen[n].Text != draft.Text:
			return nil, Invalid("confirm", "the draft of %s changed after you opened the form, so nothing was saved. Open the form again and read it", strings.ToLower(field.Label))
		}
		t[field.Name] = draft.Text
		added = append(added, field.Name)
	}
	for _, name := range d.cmd.Confirm {
		if !slices.ContainsFunc(RecordParts(), func(f RecordField) bool { return f.Name == name }) {
			return nil, Invalid("confirm", "%q is not a part of the closing record that has a draft. Use one of: %s", name, recordNames())
		}
	}
	return added, nil
}

// edit emits the edits of the record and the confirmed drafts, if any, and closes the
// open objections, which were about the old text.
func (d *decider) edit() error {
	t, f, err := d.recordEdits(d.cmd.Record)
	if err != nil {
		return err
	}
	confirmed, err := d.confirmDrafts(t)
	if err != nil {
		return err
	}
	f["confirmed_drafts"] = joinList(confirmed)
	if len(confirmed) == 0 {
		delete(f, "confirmed_drafts")
	}
	if len(t)+len(f) > 0 {
		d.emit(EventRecordEdited, f, t)
		d.closeObjections("amended")
	}
	return nil
}

func (d *decider) editRecord() error {
	if len(d.cmd.Record)+len(d.cmd.Confirm) == 0 {
		return Invalid("record", "no field given. Type record set FIELD TEXT with one of: %s", recordNames())
	}
	return d.edit()
}

// submit freezes the record. The person must have seen every part as it is now.
func (d *decider) submit() error {
	for _, f := range RecordFields() {
		if _, given := d.cmd.Record[f.Name]; given || slices.Contains(d.cmd.Confirm, f.Name) {
			continue // edit checks these
		}
		if err := d.checkUnseen(f, f.Name); err != nil {
			return err
		}
	}
	if err := d.edit(); err != nil {
		return err
	}
	return d.freeze(EventSubmitted, nil)
}

// freeze emits kind with the digest that the departments sign. It returns an error
// if a required part is not confirmed or a required field is empty.
func (d *decider) freeze(kind EventKind, t texts) error {
	var unconfirmed []string
	first := ""
	for _, f := range RecordParts() {
		if f.Required && strings.TrimSpace(d.inc.Record.Get(f.Name)) == "" {
			unconfirmed = append(unconfirmed, strings.ToLower(f.Label))
			first = firstOf(first, f.Name)
		}
	}
	if len(unconfirmed) > 0 {
		return Invalid(first, "these parts of the closing record are not confirmed: %s. Tick or write them in the form, or type record confirm PART or record set PART TEXT", strings.Join(unconfirmed, ", "))
	}
	for _, f := range RecordFields() {
		if f.Required && strings.TrimSpace(d.inc.Record.Get(f.Name)) == "" {
			return Invalid(f.Name, "%s is empty. Fill it in, then submit the closing record", f.Label)
		}
	}
	revision := d.inc.Approved + 1
	doc := d.inc.document(revision)
	d.emit(kind, fields{"status": string(InReview), "revision": num(revision), "digest": doc.Digest(),
		"head": doc.Head, "events": num(doc.Events)}, t)
	return nil
}

// checkDigest returns an error if the actor did not read the current record.
func (d *decider) checkDigest() error {
	switch {
	case d.inc.Submission == nil:
		return Conflict("%s has no submitted closing record. Type submit first", d.inc.ID)
	case d.cmd.Expect == "":
		return Invalid("digest", "the digest is missing. Read the closing record, then add %s", d.inc.Submission.Digest)
	case !sameDigest(d.cmd.Expect, d.inc.Submission.Digest):
		return Stale("the closing record changed after you read it. Read it again, then decide")
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

func (d *decider) sign() error {
	team, actor := d.cmd.Department, d.env.Actor
	if !slices.Contains(RequiredDepartments(), team) {
		return Invalid("department", "%q does not sign the closing record. Engineering, security, legal and communications do, affected teams use answer", team)
	}
	if err := d.checkDigest(); err != nil {
		return err
	}
	if have := d.inc.SignedBy(team); have != nil && have.Meets(d.env.Policy.SignLevel) {
		if have.By == actor {
			return nil
		}
		return Conflict("%s already signed for %s. One signature is enough", d.env.Directory.Name(have.By), team)
	}
	for _, s := range d.inc.Signatures {
		if s.Department == team {
			continue // below the required level, so the new one replaces it
		}
		if s.By == actor {
			return Conflict("you already signed this record for %s. Ask another person to sign for %s", s.Department, team)
		}
		if err := d.secondPerson(s.By, "sign for "+string(s.Department)+" and "+string(team)); err != nil {
			return err
		}
	}
	for _, o := range d.inc.Objections {
		if o.Open() && o.Department == team {
			return Conflict("%s has the open objection %s. Type withdraw %[2]s before you sign", team, o.ID)
		}
	}
	f := fields{"department": string(team), "document": DocumentKind, "schema": DocumentSchema, "digest": d.inc.Submission.Digest}
	if d.env.Directory.SameHuman(d.inc.Submission.By, actor) {
		if !d.env.Policy.SubmitterMaySign {
			return Forbidden("you submitted the closing record and cannot sign it. Ask another member of %s to sign", team)
		}
		f["submitter"] = "true"
	}
	if !d.env.Directory.Member(actor, team) {
		f["deputy"] = "true"
	}
	if err := d.checkAttested(); err != nil {
		return err
	}
	attested := d.env.Policy.Attestation(team)
	f["attestation_version"] = attested.Version
	d.emit(EventSigned, f, texts{"attestation": attested.Text})
	d.approve()
	return nil
}

// approve emits the approval if no signature at the required level, answer or objection is
// outstanding, and no proposal of an alert to raise the severity.
func (d *decider) approve() {
	if d.inc.Status == InReview && d.inc.fullySigned() && d.inc.SeverityProposal == nil && len(d.inc.SignedBelow(d.env.Policy)) == 0 {
		d.emit(EventApproved, fields{"status": string(Approved), "digest": d.inc.Submission.Digest, "revision": num(d.inc.Submission.Document.Revision)}, nil)
	}
}

func (d *decider) object() error {
	team := d.cmd.Department
	asked := slices.ContainsFunc(d.inc.Consultations, func(c Consultation) bool { return c.Team == team })
	if !slices.Contains(RequiredDepartments(), team) && !asked {
		return Invalid("department", "%q does not sign and was not consulted on %s. Type consult %[1]s first", team, d.inc.ID)
	}
	if err := d.checkDigest(); err != nil {
		return err
	}
	if err := d.requireText("text", d.cmd.Text, "an objection needs a reason. Describe the error in the closing record"); err != nil {
		return err
	}
	if slices.ContainsFunc(d.inc.Objections, func(o Objection) bool { return o.Open() && o.Department == team && o.Reason == d.cmd.Text }) {
		return nil
	}
	if d.inc.SignedBy(team) != nil {
		d.emit(EventSignatureWithdrawn, fields{"department": string(team), "digest": d.digest()}, nil)
	}
	d.emit(EventObjected, fields{"objection": fmt.Sprintf("O%d", len(d.inc.Objections)+1), "department": string(team), "digest": d.digest()}, texts{"reason": d.cmd.Text})
	return nil
}

// withdraw withdraws objections of the departments that the actor represents, or
// else the actor's own signature.
func (d *decider) withdraw() error {
	found := false
	for _, o := range d.inc.Objections {
		mine := d.inc.represents(d.env.Directory, d.env.Actor, o.Department, d.env.Now)
		if !o.Open() || d.cmd.Item != "" && !strings.EqualFold(o.ID, d.cmd.Item) || d.cmd.Department != "" && o.Department != d.cmd.Department {
			continue
		}
		if !mine {
			if d.cmd.Item == "" {
				continue
			}
			return Forbidden("only %s can withdraw the objection %s. Ask one of its members", o.Department, o.ID)
		}
		found = true
		d.emit(EventObjectionClosed, fields{"objection": o.ID, "how": "withdrawn"}, texts{"reason": d.cmd.Text})
	}
	if !found && d.cmd.Item == "" {
		for _, s := range d.inc.Signatures {
			if s.By == d.env.Actor && (d.cmd.Department == "" || s.Department == d.cmd.Department) {
				found = true
				d.emit(EventSignatureWithdrawn, fields{"department": string(s.Department), "digest": s.Digest}, texts{"reason": d.cmd.Text})
				break
			}
		}
	}
	if !found {
		return Unknown("objection", "you have no such objection or signature on %s. Type record show to see them", d.inc.ID)
	}
	d.approve()
	return nil
}

func (d *decider) closeObjections(how string) {
	for _, o := range d.inc.Objections {
		if o.Open() {
			d.emit(EventObjectionClosed, fields{"objection": o.ID, "how": how}, nil)
		}
	}
}

func (d *decider) amend() error {
	if err := d.requireText("text", d.cmd.Text, "the reason is missing. Type amend WHY"); err != nil {
		return err
	}
	d.emit(EventAmended, fields{"status": string(Resolved), "digest": d.digest()}, texts{"reason": d.cmd.Text})
	return d.edit()
}

func (d *decider) revise() error {
	if err := d.requireText("text", d.cmd.Text, "the reason is missing. Type revise because WHY"); err != nil {
		return err
	}
	if err := d.edit(); err != nil {
		return err
	}
	return d.freeze(EventRevised, texts{"reason": d.cmd.Text})
}

// postmortemWritten records that the postmortem of the approved record is written.
func (d *decider) postmortemWritten() error {
	if d.inc.Submission == nil || d.cmd.Document != d.inc.Submission.Digest || d.cmd.Revision != d.inc.Submission.Document.Revision {
		return Stale("the postmortem %s does not match the approved record of %s. Write it again", d.cmd.Document, d.inc.ID)
	}
	if slices.ContainsFunc(d.inc.Postmortems, func(p Postmortem) bool { return p.Revision == d.cmd.Revision }) {
		return nil
	}
	written := fields{"revision": num(d.cmd.Revision), "digest": d.cmd.Document}
	if d.cmd.Count > 0 {
		written["alerts"], written["occurrences"] = strconv.FormatInt(d.cmd.Count, 10), strconv.FormatInt(d.cmd.Occurrences, 10)
	}
	d.emit(EventPostmortemWritten, written, nil)
	return nil
}

func (d *decider) postmortemShared() error {
	for _, p := range d.inc.Postmortems {
		if p.Revision == d.cmd.Revision && !p.Shared {
			d.emit(EventPostmortemShared, fields{"revision": num(p.Revision), "file": d.cmd.Item}, nil)
		}
	}
	return nil
}
