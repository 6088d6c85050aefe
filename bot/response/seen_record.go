package response

import (
	"context"
	"time"

	"tocsin/bot/incident"
)

// seenTTL is how long Tocsin stores the record that a person saw.
const seenTTL = 400 * 24 * time.Hour

// SeeRecord stores the submitted record of an incident as seen by a person. It returns the
// record that the person saw before, or nil.
func (d *Desk) SeeRecord(ctx context.Context, who incident.Identity, id incident.ID) (*incident.SeenRecord, error) {
	var out *incident.SeenRecord
	err := d.Store.Tx(ctx, func(tx Tx) error {
		dir, err := tx.Directory()
		if err != nil {
			return err
		}
		person, known := dir.Resolve(who)
		if !known {
			return incident.NotLinked(who)
		}
		inc, err := tx.Incident(id)
		if err != nil {
			return err
		}
		if !inc.MayRead(dir, person.ID, d.Now()) {
			return incident.NoAccess(id)
		}
		out = nil
		if inc.Submission != nil {
			out, err = d.seeRecord(tx, person.ID, inc)
		}
		return err
	})
	return answer(d, who, out, err)
}

// seeRecord stores the submitted record as seen and returns what the person saw before.
func (d *Desk) seeRecord(tx Tx, person incident.PersonID, inc incident.Incident) (*incident.SeenRecord, error) {
	key := inc.ID.String() + "/" + string(person)
	var before incident.SeenRecord
	if err := getValue(tx, NamespaceSeen, key, &before); err != nil {
		return nil, err
	}
	now := d.Now()
	if err := putValue(tx, NamespaceSeen, key, incident.SeenRecord{At: now, Document: inc.Submission.Document}, now.Add(seenTTL)); err != nil {
		return nil, err
	}
	if before.At.IsZero() || now.Sub(before.At) >= seenTTL {
		return nil, nil
	}
	return &before, nil
}
