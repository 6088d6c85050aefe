package templates

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// overview returns the key times and roles.
func (w pageBuilder) overview(doc incident.SignedDocument, signed []incident.Event) []labelValue {
	inc := w.Incident
	at := func(kinds ...incident.EventKind) (first, last time.Time) {
		for _, e := range signed {
			if slices.Contains(kinds, e.Kind) {
				if first.IsZero() {
					first = e.HappenedAt
				}
				last = e.HappenedAt
			}
		}
		return first, last
	}
	opened, _ := at(incident.EventOpened)
	acknowledged, _ := at(incident.EventAcknowledged)
	_, contained := at(incident.EventContained)
	_, resolved := at(incident.EventResolved)
	out := []labelValue{{Label: "Severity", Value: string(doc.Severity)}}
	add := func(label string, t time.Time, since time.Time) {
		if t.IsZero() {
			return
		}
		p := labelValue{Label: label, Value: w.timestamp(t).String()}
		if !since.IsZero() && t.After(since) {
			p.Note = "after " + formatDuration(t.Sub(since))
		}
		out = append(out, p)
	}
	if f := doc.Facts.Occurred; f != nil {
		add("Occurred", f.At, time.Time{})
		if d := doc.Facts.Detected; d != nil {
			add("Detected", d.At, f.At)
		}
	} else if d := doc.Facts.Detected; d != nil {
		add("Detected", d.At, time.Time{})
	}
	add("Opened", opened, time.Time{})
	add("Acknowledged", acknowledged, opened)
	add("Contained", contained, opened)
	add("Resolved", resolved, opened)
	add("Record frozen", inc.Submission.At, time.Time{})
	out = append(out, labelValue{Label: "Personal data", Value: humanize(doc.Facts.PersonalData)})
	if open := doc.Unfinished; open != nil {
		out = append(out, labelValue{Label: "Steps left open", Value: oneLine(strings.Join(inc.StepTitles(open.Steps), "; ")), Note: oneLine(open.Reason)})
	}
	if inc.Commander != "" {
		out = append(out, labelValue{Label: "Commander", Value: personName(w.Directory, inc.Commander)})
	}
	for _, role := range slices.Sorted(maps.Keys(inc.Roles)) {
		if role != incident.Commander {
			out = append(out, labelValue{Label: label(role), Value: personName(w.Directory, inc.Roles[role])})
		}
	}
	return out
}

// facts returns the signed facts.
func (w pageBuilder) facts(f incident.Facts) []fact {
	var out []fact
	instant := func(name string, key string, in *incident.Instant) {
		if in != nil {
			out = append(out, fact{name, w.timestamp(in.At).String(), w.textOrRestricted("fact/"+key, in.Reason), personName(w.Directory, in.By)})
		}
	}
	instant("Occurred", "occurred/", f.Occurred)
	instant("Detected", "detected/", f.Detected)
	for _, regime := range slices.Sorted(maps.Keys(f.Aware)) {
		in := f.Aware[regime]
		instant("Aware, "+label(regime), "aware/"+regime, &in)
	}
	instant("Classified", "classified/", f.Classified)
	reason, by := w.lastFact(incident.FactPersonalData)
	out = append(out, fact{"Personal data", humanize(f.PersonalData), w.textOrRestricted("fact/personal_data/", reason), by})
	for _, a := range f.Affected {
		value := oneLine(a.Who)
		if w.hidden["fact/affected/"+a.Who] {
			value = restrictedText
		} else {
			value += ", we are the " + string(a.Capacity)
			if a.Count > 0 {
				value += ", " + incident.PeopleCount(a.Count)
			}
			if !a.NotifiedAt.IsZero() {
				value += ", notified " + w.timestamp(a.NotifiedAt).String()
			}
		}
		out = append(out, fact{"Affected", value, w.textOrRestricted("fact/affected/"+a.Who, a.Reason), personName(w.Directory, a.By)})
	}
	if f.TimeZone != "" {
		out = append(out, fact{Name: "Time zone", Value: f.TimeZone})
	}
	return out
}

// lastFact returns the reason and the person of the last signed event that set a
// fact.
func (w pageBuilder) lastFact(n incident.FactName) (reason, by string) {
	for _, e := range w.Timeline {
		if e.Kind == incident.EventFactSet && e.Field("fact") == string(n) && e.Seq <= w.Incident.Submission.Document.Events {
			reason, by = e.Text("reason"), personName(w.Directory, e.By)
		}
	}
	return reason, by
}

func (w pageBuilder) alerts() []datedLine {
	var out []datedLine
	for _, a := range w.Incident.Alerts {
		text := fmt.Sprintf("%s, %s, %s: %s", oneLine(a.Source), oneLine(a.Kind), a.Level, oneLine(a.Title))
		if a.Rule != "" {
			text += " (rule: " + oneLine(a.Rule) + ")"
		}
		if a.Count > 1 {
			text += fmt.Sprintf(", %d times", a.Count)
		}
		out = append(out, datedLine{formatUTC(a.At), text})
	}
	if total := w.Alerts; total.Alerts > int64(len(out)) || total.Occurrences > total.Alerts {
		text := fmt.Sprintf("%s with %s", plural(int(total.Alerts), "alert"), plural(int(total.Occurrences), "occurrence"))
		if total.Alerts > int64(len(out)) {
			text += fmt.Sprintf(". This list has the first %d", len(out))
		}
		out = append(out, datedLine{"in total", text})
	}
	return out
}

func (w pageBuilder) playbooks() []datedLine {
	var out []datedLine
	for _, r := range w.Incident.Runs {
		n := map[incident.StepStatus]int{}
		for _, s := range r.Plan {
			n[s.Status]++
		}
		out = append(out, datedLine{Text: fmt.Sprintf("%s (%s): %s done, %d skipped, %d unfinished, plan %s", oneLine(r.Title), oneLine(r.Playbook),
			plural(n[incident.StepDone], "step"), n[incident.StepSkipped], n[incident.StepOpen]+n[incident.StepLate], oneLine(r.Digest))})
	}
	return out
}

func (w pageBuilder) evidence() []evidence {
	var out []evidence
	for _, e := range w.Incident.Evidence {
		row := evidence{ID: oneLine(e.ID), Name: oneLine(e.Name), Where: oneLine(e.Where), SHA256: oneLine(e.SHA256), By: personName(w.Directory, e.By), At: formatUTC(e.At)}
		if e.SHA256 == "" && e.NotHashed != "" {
			row.SHA256 = "none: " + oneLine(e.NotHashed)
		}
		var changes []string
		for _, c := range e.Changes {
			changes = append(changes, "original "+oneLine(c.How)+" "+formatUTC(c.At))
		}
		row.Changes = strings.Join(changes, ", ")
		if w.hidden["evidence/"+e.ID] {
			row.Name, row.Where, row.By = restrictedText, "", ""
		}
		out = append(out, row)
	}
	return out
}

func (w pageBuilder) signatures(digest string) []signature {
	var out []signature
	for _, team := range incident.RequiredDepartments() {
		for _, s := range w.Incident.Signatures {
			if s.Department == team && s.Digest == digest {
				out = append(out, signature{byline: w.byline(s.By, s.At), Department: label(s.Department), Auth: oneLine(madeHow(s)), Sentence: oneLine(s.Attestation),
					Digest: s.Digest, Deputy: s.Deputy, Submitter: s.Submitter})
			}
		}
	}
	return out
}

// madeHow returns how a signature was made, with the fingerprint of its key.
func madeHow(s incident.Signature) string {
	how := "Signed " + s.Method()
	if s.Proof != nil {
		how += ", " + s.Proof.Fingerprint()
	}
	return how
}

func (w pageBuilder) objections() []objection {
	var out []objection
	for _, o := range w.Incident.Objections {
		row := objection{byline: w.byline(o.By, o.At), ID: oneLine(o.ID), Department: label(o.Department), Reason: w.textOrRestricted("objection/"+o.ID, o.Reason), Digest: o.Digest, Closed: "Open"}
		if !o.Open() {
			row.Closed = map[string]string{"amended": "Closed by amending the record"}[o.How]
			if row.Closed == "" {
				row.Closed = label(o.How)
			}
			row.Closed += ", " + w.timestamp(o.Closed).String()
			if why := w.withdrawalReason(o.ID); why != "" {
				row.Closed += ": “" + clip(why, 300) + "”"
			}
		}
		out = append(out, row)
	}
	return out
}

func (w pageBuilder) withdrawalReason(id string) string {
	for _, e := range w.Timeline {
		if e.Kind == incident.EventObjectionClosed && e.Field("objection") == id && !w.isRestricted(e) && !w.hidden["objection/"+id] {
			return oneLine(e.Text("reason"))
		}
	}
	return ""
}

func (w pageBuilder) consultations() []consultation {
	var out []consultation
	for _, c := range w.Incident.Consultations {
		row := consultation{Team: label(c.Team), ConsultedAt: w.timestamp(c.AskedAt).String(), Blocking: c.Blocking, Answer: "No answer."}
		if c.Answered() {
			row.byline, row.Answer = w.byline(c.By, c.At), w.textOrRestricted("answer/"+string(c.Team), c.Answer)
		}
		out = append(out, row)
	}
	return out
}

// updates returns the register of updates: each text, who got it and who approved it.
func (w pageBuilder) updates() []sentUpdate {
	texts := map[int]string{}
	for _, e := range w.Timeline {
		if e.Kind == incident.EventUpdated && !w.isRestricted(e) {
			texts[e.Seq] = cleanText(erasedOr(e.Texts["text"]))
		}
	}
	var out []sentUpdate
	for _, u := range w.Incident.Updates {
		row := sentUpdate{byline: w.byline(u.By, u.At), ID: oneLine(u.ID), Corrects: oneLine(u.Corrects), Text: cmp.Or(texts[u.Seq], restrictedText), Recipients: []string{"the responders"}}
		for _, s := range u.Sent {
			if s.Withheld {
				row.Recipients = append(row.Recipients, fmt.Sprintf("%s not, because the incident became restricted", oneLine(s.Audience)))
			} else {
				row.Recipients = append(row.Recipients, fmt.Sprintf("%s by %s at %s", oneLine(s.Audience), MediumName(s.Medium), w.timestamp(s.At)))
			}
		}
		switch {
		case u.Waits():
			row.Approval = "Nobody approved it for " + joinAnd(u.Audiences)
		case u.ApprovedBeforehand != "":
			row.Approval = oneLine(u.ApprovedBeforehand) + " approved these words beforehand"
		case u.ApprovedBy != "":
			row.Approval = personName(w.Directory, u.ApprovedBy) + " approved it at " + w.timestamp(u.ApprovedAt).String()
		}
		out = append(out, row)
	}
	return out
}

// erasedOr returns a text, or the mark of an erased one.
func erasedOr(t incident.Text) string {
	if t.Value == "" && t.Commitment != "" {
		return string(incident.Erased)
	}
	return t.Value
}

// MediumName returns the name of a medium of updates as people read it.
func MediumName(medium string) string {
	if medium == incident.SystemSlack {
		return "Slack"
	}
	return medium
}

func (w pageBuilder) actions() []action {
	var out []action
	for _, a := range w.Incident.Actions {
		row := action{ID: oneLine(a.ID), Kind: label(a.Kind), Title: w.textOrRestricted("action/"+a.ID, a.Title), Owner: personName(w.Directory, a.Owner), Due: a.Due.UTC().Format(time.DateOnly), Done: "open"}
		if a.IsDone() {
			row.Done = actionMark(a) + Text(a.Progress(a.Done), w.Directory)
		}
		out = append(out, row)
	}
	return out
}

func (w pageBuilder) review() *review {
	r := w.Incident.Review
	if r.At.IsZero() && r.Concluded.IsZero() {
		return nil
	}
	out := &review{Decisions: w.textOrRestricted("review/", r.Decisions), Waiver: w.textOrRestricted("review/", r.Waiver), EarlyReason: w.textOrRestricted("review/", r.EarlyReason)}
	if !r.At.IsZero() {
		out.At = w.timestamp(r.At).String()
	}
	if r.Decisions == "" {
		out.Decisions = ""
	}
	if r.Waiver == "" {
		out.Waiver = ""
	}
	if r.EarlyReason == "" {
		out.EarlyReason = ""
	}
	if !r.Concluded.IsZero() {
		out.Concluded = w.timestamp(r.Concluded).String()
		var names []string
		for _, p := range r.Attendance {
			names = append(names, personName(w.Directory, p))
		}
		out.Attendance = joinAnd(names)
	}
	return out
}
