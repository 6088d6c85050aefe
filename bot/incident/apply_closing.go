package incident

import "slices"

// unfreeze discards the submission and its signatures.
func (i *Incident) unfreeze() { i.Submission, i.Signatures = nil, nil }

func (i *Incident) applyReopened() {
	i.unfreeze()
	i.Dismissal, i.Unfinished = nil, nil
	i.Review = Review{}
}

func (i *Incident) applyClosing(e Event) {
	switch e.Kind {
	case EventRecordEdited:
		for _, f := range RecordFields() {
			if t, ok := e.Texts[f.Name]; ok {
				i.Record.set(f.Name, t.Value)
			}
			if v := e.Field(f.Name); v != "" {
				i.Record.set(f.Name, v)
			}
		}
	case EventSubmitted, EventRevised:
		i.applySubmission(e)
	case EventSigned:
		i.Signatures = append(i.Signatures, Signature{Department: Department(e.Field("department")), By: e.By, At: e.RecordedAt, Kind: e.Field("document"), Schema: e.Field("schema"),
			Digest: e.Field("digest"), Attestation: e.Text("attestation"), Auth: e.Auth, Deputy: e.Field("deputy") == "true", Submitter: e.Field("submitter") == "true"})
	case EventSignatureWithdrawn:
		i.Signatures = slices.DeleteFunc(i.Signatures, func(s Signature) bool { return s.Department == Department(e.Field("department")) })
	case EventSignaturesVoided, EventAmended:
		i.unfreeze()
	case EventObjected:
		i.Objections = append(i.Objections, Objection{ID: e.Field("objection"), Department: Department(e.Field("department")), By: e.By, At: e.RecordedAt, Reason: e.Text("reason"), Digest: e.Field("digest")})
	case EventObjectionClosed:
		for n := range i.Objections {
			if o := &i.Objections[n]; o.ID == e.Field("objection") {
				o.Closed, o.How = e.RecordedAt, e.Field("how")
			}
		}
	case EventApproved:
		i.Approved = atoi(e.Field("revision"))
	case EventConsulted, EventAnswered:
		i.applyConsultation(e)
	case EventActionAdded:
		i.Actions = append(i.Actions, Action{ID: e.Field("action"), Kind: ActionKind(e.Field("kind")), Title: e.Text("title"), Owner: PersonID(e.Field("owner")), Due: parseInstant(e.Field("due"))})
	case EventActionDone:
		for n := range i.Actions {
			if a := &i.Actions[n]; a.ID == e.Field("action") {
				a.Done, a.How = e.RecordedAt, e.Text("text")
			}
		}
	case EventPostmortemWritten:
		i.Postmortems = append(i.Postmortems, Postmortem{Revision: atoi(e.Field("revision")), Digest: e.Field("digest"), At: e.RecordedAt})
	case EventPostmortemShared:
		for n := range i.Postmortems {
			if p := &i.Postmortems[n]; p.Revision == atoi(e.Field("revision")) {
				p.Shared, p.FileID = true, e.Field("file")
			}
		}
	default:
		i.applyReview(e)
	}
}

func (i *Incident) applyReview(e Event) {
	switch e.Kind {
	case EventReviewScheduled:
		i.Review.At = parseInstant(e.Field("when"))
	case EventReviewConcluded:
		i.Review.Concluded, i.Review.By = e.RecordedAt, e.By
		i.Review.Attendance, i.Review.Decisions = splitList[PersonID](e.Field("people")), e.Text("decisions")
	case EventWaiverProposed:
		i.Review.Waiver, i.Review.WaivedBy = e.Text("reason"), e.By
	case EventWaiverEndorsed:
		i.Review.EndorsedBy = e.By
	}
}

// applySubmission freezes the record. It rebuilds the document from the state, and
// takes head and digest from the event, where an erased text cannot change them.
func (i *Incident) applySubmission(e Event) {
	revision := atoi(e.Field("revision"))
	doc := i.document(revision)
	doc.Head, doc.Events = e.Field("head"), atoi(e.Field("events"))
	i.Revision = revision
	i.Signatures = nil
	i.Submission = &Submission{By: e.By, At: e.RecordedAt, Digest: e.Field("digest"), Document: doc}
	for n := range i.Postmortems {
		i.Postmortems[n].Superseded = true
	}
	if e.Kind == EventRevised {
		i.Review = Review{}
	}
}

func (i *Incident) applyConsultation(e Event) {
	team := Department(e.Field("department"))
	n := slices.IndexFunc(i.Consultations, func(c Consultation) bool { return c.Team == team })
	if n < 0 {
		i.Consultations = append(i.Consultations, Consultation{Team: team, AskedBy: e.By, AskedAt: e.RecordedAt})
		n = len(i.Consultations) - 1
	}
	c := &i.Consultations[n]
	if e.Kind == EventAnswered {
		c.By, c.At, c.Answer = e.By, e.RecordedAt, e.Text("answer")
		return
	}
	c.Blocking = c.Blocking || e.Field("blocking") == "true"
}
