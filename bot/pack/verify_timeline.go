package pack

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tocsin/bot/incident"
)

func (v *verification) readMeta() error {
	raw, ok := v.file(metaName)
	if !ok || len(raw) > maxRecord {
		return fmt.Errorf("the file %s is missing", metaName)
	}
	var probe struct {
		Format string `json:"format"`
	}
	if err := json.Unmarshal(raw, &probe); err != nil {
		return fmt.Errorf("the file %s is not JSON", metaName)
	}
	if probe.Format != format {
		return fmt.Errorf("the pack has the format %.60q. This version of Tocsin reads %s: use the version that wrote the pack or a newer one", probe.Format, format)
	}
	if err := decodeStrictly(bytes.TrimSuffix(raw, []byte("\n")), &v.meta); err != nil {
		return fmt.Errorf("the file %s is malformed", metaName)
	}
	id, err := incident.ParseID(v.meta.Incident)
	if err != nil || id.String() != v.meta.Incident {
		return fmt.Errorf("the file %s has no incident", metaName)
	}
	v.id, v.report.Incident, v.report.ExportedAt, v.report.IsWithheld, v.report.Origin = id, v.meta.Incident, v.meta.ExportedAt, v.meta.IsWithheld, v.meta.Origin
	return nil
}

// readTimeline reads the events and recomputes their chain.
func (v *verification) readTimeline() {
	f := findings{name: "timeline"}
	defer func() { v.report.add(f) }()
	raw, ok := v.file(timelineName)
	if !ok || len(raw) == 0 {
		f.problem("the file %s is missing", timelineName)
		return
	}
	var entries []entry
	for line := range strings.Lines(string(raw)) {
		e, err := parseEntry([]byte(line))
		if err != nil {
			f.problem("line %d of %s: %s", len(entries)+1, timelineName, err)
			return
		}
		entries = append(entries, e)
	}
	if v.chain(&f, entries); len(f.problems) == 0 {
		v.require(&f, chainName, chainLines(v.id, entries))
	}
	erased := v.checkTexts(&f)
	v.isWhole = !v.meta.IsWithheld && erased == 0 && len(f.problems) == 0
	f.ok = fmt.Sprintf("the chain of %d events is intact", v.last)
	if erased > 0 {
		f.note("%d texts were erased on record. Their commitments remain in the chain", erased)
	}
	if v.meta.IsWithheld {
		f.note("the pack is for readers outside legal and security: their texts are left out, their commitments remain")
	}
	if len(v.withheld) > 0 {
		f.note("%d events are known to legal and security only. The pack has their hashes: events %s", len(v.withheld), joinNumbers(v.withheld))
	}
}

// parseEntry parses a line of the timeline. It accepts only the bytes that the line has in a pack.
func parseEntry(line []byte) (e entry, err error) {
	if len(line) > maxRecord {
		return e, errors.New("the line is too long")
	}
	if bytes.HasPrefix(line, []byte(`{"withheld":`)) {
		var w withheldEvent
		err = decodeStrictly(bytes.TrimSuffix(line, []byte("\n")), &w)
		e = entry{incident.Event{Seq: w.Withheld, Hash: w.Hash}, true}
	} else {
		err = decodeStrictly(bytes.TrimSuffix(line, []byte("\n")), &e.event)
	}
	if err != nil {
		return e, errors.New("the line is not an event. If a newer version of Tocsin wrote the pack, use that version")
	}
	if want, err := e.line(); err != nil || !bytes.Equal(want, line) {
		return e, errors.New("the line is not in the form that Tocsin writes")
	}
	return e, nil
}

// chain recomputes the hash of each event from the one before. A withheld event continues the chain with its hash.
func (v *verification) chain(f *findings, entries []entry) {
	head := incident.Genesis(v.id)
	for n, e := range entries {
		switch {
		case e.event.Seq != n+1:
			f.problem("event %d is in the place of event %d: an event was removed, inserted or moved", e.event.Seq, n+1)
			return
		case e.isWithheld && !v.meta.IsWithheld:
			f.problem("event %d is withheld in a pack that withholds nothing", n+1)
			return
		case !e.isWithheld && !e.event.Follows(head):
			f.problem("event %d was changed, or belongs to another incident", n+1)
			return
		}
		head = incident.Head{Seq: n + 1, Hash: e.event.Hash}
		v.hashes[n+1], v.last = e.event.Hash, n+1
		if e.isWithheld {
			v.withheld = append(v.withheld, n+1)
			continue
		}
		v.events = append(v.events, e.event)
	}
}

// checkTexts compares each text with its commitment. It returns the number of erased texts.
func (v *verification) checkTexts(f *findings) (erased int) {
	refs := map[incident.TextRef]bool{}
	for _, e := range v.events {
		for _, ref := range e.ErasedTexts() {
			refs[ref] = true
		}
	}
	for _, e := range v.events {
		mayLack := func(name string) bool {
			return refs[incident.TextRef{Seq: e.Seq, Name: name}] || v.meta.IsWithheld && e.IsPrivileged()
		}
		if err := e.CheckTexts(mayLack); err != nil {
			f.problem("%s", err)
		}
		if v.meta.IsWithheld && e.IsPrivileged() {
			continue
		}
		for _, t := range e.Texts {
			if t.Erased() {
				erased++
			}
		}
	}
	return erased
}

// checkRecords recomputes the digest of each submitted record from its file.
func (v *verification) checkRecords() {
	f := findings{name: "records"}
	defer func() { v.report.add(f) }()
	derived := recordFiles(v.id, v.events)
	found := 0
	for _, e := range v.events {
		if !isSubmission(e) {
			continue
		}
		name := recordName(e)
		raw, ok := v.file(name)
		if !ok {
			if v.isWhole {
				f.problem("the file %s is missing", name)
			} else {
				f.note("the text of the record that event %d submitted is not in the pack, because a part was erased or is withheld. Its digest is %s", e.Seq, e.Field("digest"))
			}
			continue
		}
		if err := v.checkRecord(e, raw); err != nil {
			f.problem("%s: %s", name, err)
			continue
		}
		if want, ok := derived[name]; v.isWhole && (!ok || !bytes.Equal(want, raw)) {
			f.problem("%s is not the record that follows from the timeline", name)
			continue
		}
		found++
	}
	if f.ok = fmt.Sprintf("%d submitted records have the digests of the timeline", found); found == 0 {
		f.ok = "no record was submitted yet"
	}
}

// checkRecord checks a record against the event that submitted it.
func (v *verification) checkRecord(e incident.Event, raw []byte) error {
	var doc incident.SignedDocument
	if len(raw) > maxRecord || decodeStrictly(raw, &doc) != nil {
		return errors.New("the file is not a record")
	}
	canonical, err := canonicalRecord(doc)
	switch {
	case err != nil || !bytes.Equal(canonical, raw):
		return errors.New("the file is not in canonical form (RFC 8785)")
	case doc.Digest() != e.Field("digest"):
		return fmt.Errorf("the digest is %s, and event %d has %s", doc.Digest(), e.Seq, e.Field("digest"))
	case doc.Incident != v.meta.Incident:
		return fmt.Errorf("the record belongs to %.20q", doc.Incident)
	case fmt.Sprint(doc.Revision) != e.Field("revision") || fmt.Sprint(doc.Events) != e.Field("events") || doc.Head != e.Field("head"):
		return fmt.Errorf("revision or head differ from event %d", e.Seq)
	case doc.Events >= e.Seq || doc.Head != v.hashes[doc.Events]:
		return errors.New("the record covers another timeline")
	}
	return nil
}

// canonicalRecord returns the canonical form of a record, or an error if a number in it has none.
func canonicalRecord(doc incident.SignedDocument) (b []byte, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("a number of the record has no canonical form")
		}
	}()
	return doc.Canonical(), nil
}

// checkEvidence compares the table of evidence with the timeline.
func (v *verification) checkEvidence() {
	f := findings{name: "evidence"}
	inc := incident.Fold(v.id, v.events)
	v.require(&f, evidenceName, evidenceTable(inc))
	hashed := slices.DeleteFunc(slices.Clone(inc.Evidence), func(e incident.Evidence) bool { return e.SHA256 == "" })
	f.ok = fmt.Sprintf("%d items, %d of them with a SHA-256, are those of the timeline", len(inc.Evidence), len(hashed))
	v.report.add(f)
}

func joinNumbers(numbers []int) string {
	if len(numbers) > maxFindings {
		return strings.Trim(fmt.Sprint(numbers[:maxFindings]), "[]") + " …"
	}
	return strings.Trim(fmt.Sprint(numbers), "[]")
}
