package response

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"tocsin/bot/incident"
)

// Document returns a revision of the postmortem if the reader may see the incident.
// Readers inside Tocsin who may read everything get the stored document. For others
// Document renders a copy from the texts that they may read. It writes the attempt to
// the audit log.
func (d *Desk) Document(ctx context.Context, who incident.Identity, id incident.ID, revision int, reason string) (incident.Document, error) {
	var doc incident.Document
	var inc incident.Incident
	var dir incident.Directory
	var timeline []incident.Event
	reader, err := d.read(ctx, Access{Handle: who, Action: "document", Incident: id, Reason: reason}, func(r Reader, i incident.Incident, people incident.Directory) (err error) {
		inc, dir = i, people
		if doc, err = r.Document(id, revision); err != nil {
			return err
		}
		timeline, err = r.Timeline(id)
		return err
	})
	if err != nil {
		return answer(d, who, incident.Document{}, err)
	}
	privileged := !inc.MayHavePrivileged() || mayReadPrivileged(who, reader, inc, dir, d.Now())
	if insideProviders[who.Provider] && privileged {
		return answer(d, who, doc, nil)
	}
	p, err := postmortemOf(id, timeline, dir, revision, privileged)
	if err == nil && !insideProviders[who.Provider] {
		p = redactedCopy(d.Redact, p)
	}
	if err == nil {
		doc, err = d.render(p, doc.Digest)
	}
	return answer(d, who, doc, err)
}

// postmortemOf returns the input to render a revision of the postmortem as it was
// written, for readers who may or may not read texts for legal and security. Texts
// that were erased since are not in it.
func postmortemOf(id incident.ID, timeline []incident.Event, dir incident.Directory, revision int, privileged bool) (Postmortem, error) {
	written := slices.IndexFunc(timeline, func(e incident.Event) bool {
		return e.Kind == incident.EventPostmortemWritten && e.Field("revision") == strconv.Itoa(revision)
	})
	if written < 0 {
		return Postmortem{}, incident.Unknown("revision", "%s has no postmortem with revision %d", id, revision)
	}
	before := timeline[:written]
	p := Postmortem{Directory: dir, Revision: revision, Written: timeline[written].RecordedAt, Copy: true}
	p.Alerts.Alerts, _ = strconv.ParseInt(timeline[written].Field("alerts"), 10, 64) // absent in events of earlier versions
	p.Alerts.Occurrences, _ = strconv.ParseInt(timeline[written].Field("occurrences"), 10, 64)
	if privileged {
		p.Incident, p.Timeline = incident.Fold(id, before), incident.WithoutSecret(before)
	} else {
		p.Incident, p.Timeline, p.Withheld = incident.WithholdPrivileged(id, before)
	}
	p.Incident = p.Incident.WithoutExclusions()
	return p, nil
}

// render renders a copy of a postmortem.
func (d *Desk) render(p Postmortem, digest string) (incident.Document, error) {
	doc, err := d.RenderPostmortem(p)
	if err != nil {
		return incident.Document{}, fmt.Errorf("render the postmortem: %w", err)
	}
	doc.Revision, doc.Digest = p.Revision, digest
	return doc, nil
}
