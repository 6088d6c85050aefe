package response

import (
	"context"
	"fmt"

	"tocsin/bot/incident"
	"tocsin/bot/pack"
)

// Pack returns the evidence pack of an incident if the reader may see the incident. Texts for legal and security are
// in the pack only if the reader may see them. Pack writes the attempt to the audit log. A pack is not redacted, because its
// hashes cover the texts, so it is only for readers inside Tocsin.
func (d *Desk) Pack(ctx context.Context, who incident.Identity, id incident.ID, reason string) ([]byte, error) {
	data, err := d.buildPack(ctx, who, id, reason)
	return answer(d, who, data, err)
}

func (d *Desk) buildPack(ctx context.Context, who incident.Identity, id incident.ID, reason string) ([]byte, error) {
	if !insideProviders[who.Provider] {
		return nil, incident.Forbidden("an evidence pack is not sent to %s. Export it on the pages or with `tocsin export`", who.Provider)
	}
	if d.RecordChanges != nil {
		if err := d.RecordChanges(ctx); err != nil {
			return nil, fmt.Errorf("record changes before the export of %s: %w", id, err)
		}
	}
	var p pack.Parts
	var copies []Postmortem
	_, err := d.read(ctx, Access{Handle: who, Action: "pack", Incident: id, Reason: reason}, func(r Reader, inc incident.Incident, dir incident.Directory) (err error) {
		p = pack.Parts{Incident: id, At: d.Now(), RelyingParty: d.Policy.RelyingParty}
		person, _ := dir.Resolve(who)
		p.IsWithheld = inc.MayHavePrivileged() && !mayReadPrivileged(who, person.ID, inc, dir, d.Now())
		if p.Timeline, err = r.Timeline(id); err != nil {
			return err
		}
		if p.Proofs, err = packProofs(r, p); err != nil {
			return err
		}
		p.People = peopleOf(p, dir)
		copies, err = d.packDocuments(r, &p, inc, dir)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, copied := range copies { // outside of the transaction
		doc, err := d.render(copied, "")
		if err != nil {
			return nil, err
		}
		p.Documents = append(p.Documents, pack.Document{Revision: doc.Revision, Files: doc.Files})
	}
	return pack.Build(p)
}

// packProofs returns the proofs that the parts of a pack need.
func packProofs(r Reader, p pack.Parts) (pack.Proofs, error) {
	q := pack.Query{Incident: p.Incident, Documents: !p.IsWithheld}
	for _, e := range p.Timeline {
		switch {
		case e.Kind.Secret():
			if p.IsWithheld {
				q.Cuts = append(q.Cuts, e.Seq)
			}
		case e.Field("proof") != "", e.Kind == incident.EventSigned, e.Kind == incident.EventSubmitted, e.Kind == incident.EventRevised, e.Kind == incident.EventApproved:
			q.Seqs = append(q.Seqs, e.Seq)
		}
	}
	log, err := r.TrustEvents()
	if err != nil {
		return pack.Proofs{}, err
	}
	q.Keys = pack.KeyEvents(log, pack.Fingerprints(p.Timeline))
	return r.PackProofs(q)
}

// packDocuments adds the stored postmortems to a pack. For a reader who may not see every text it returns the copies to
// render.
func (d *Desk) packDocuments(r Reader, p *pack.Parts, inc incident.Incident, dir incident.Directory) (copies []Postmortem, err error) {
	for _, written := range inc.Postmortems {
		if p.IsWithheld {
			c, err := postmortemOf(p.Incident, p.Timeline, dir, written.Revision, false)
			if err != nil {
				return nil, err
			}
			copies = append(copies, c)
			continue
		}
		doc, err := r.Document(p.Incident, written.Revision)
		if incident.CodeOf(err) != "" {
			continue // pruned
		}
		if err != nil {
			return nil, err
		}
		p.Documents = append(p.Documents, pack.Document{Revision: written.Revision, Files: doc.Files})
	}
	return copies, nil
}

// peopleOf returns the names of the people whose ids are in a pack.
func peopleOf(p pack.Parts, dir incident.Directory) map[incident.PersonID]string {
	out := map[incident.PersonID]string{}
	add := func(id incident.PersonID) {
		if person, known := dir.Person(id); known {
			out[id] = person.Name
		}
	}
	for _, e := range p.Timeline {
		if !p.IsWithheld || !e.Kind.Secret() {
			add(e.By)
		}
	}
	for _, id := range pack.KeyPeople(p.Proofs) {
		add(id)
	}
	return out
}
