package response

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// The memory of forms is bounded: every value expires, and a draft has a maximum size.
const (
	draftTTL    = 7 * 24 * time.Hour
	seenTTL     = 400 * 24 * time.Hour // of the record that a person saw
	editorTTL   = 30 * time.Minute     // after the last sign of life
	closedTTL   = time.Hour            // how long drafts of a submitted form are ignored
	maxDraft    = 128 << 10            // bytes of all fields together
	maxEditors  = 20
	maxOpenings = 10 // open forms of one editor
)

// storedDraft is the last draft of a form, or the mark of its submission.
type storedDraft struct {
	incident.FormDraft
	View      string `json:"view"`
	Submitted bool   `json:"submitted,omitempty"`
}

// storedEditor is an editor with the forms that the person has open.
type storedEditor struct {
	incident.Editor
	At    time.Time `json:"at"` // of the last sign of life
	Views []string  `json:"views"`
}

// OpenForm returns what Tocsin remembers for a person who opens a form. A form that edits
// the closing record makes the person an editor. With reads, the submitted record counts
// as seen from now on.
func (d *Desk) OpenForm(ctx context.Context, who incident.Identity, key incident.FormKey, reads bool) (incident.FormMemory, error) {
	var out incident.FormMemory
	err := d.inForm(ctx, who, key, func(tx Tx, person incident.PersonID, inc incident.Incident) error {
		out = incident.FormMemory{}
		var stored storedDraft
		if err := getValue(tx, NamespaceDraft, draftKey(person, key), &stored); err != nil {
			return err
		}
		if !stored.Submitted && d.Now().Sub(stored.At) < draftTTL {
			out.Draft = stored.FormDraft
		}
		if key.Edits {
			editors, err := d.editFrom(tx, inc, person, key.View, true)
			if err != nil {
				return err
			}
			for _, e := range editors {
				if e.Person != person {
					out.Editors = append(out.Editors, e.Editor)
				}
			}
		}
		var err error
		if reads && inc.Submission != nil {
			out.Seen, err = d.seeRecord(tx, person, inc)
		}
		return err
	})
	return answer(d, who, out, err)
}

// SaveDraft stores the text that a person typed into a form. Only this person gets it
// back. A draft that arrives after a newer one, or after the submission, is ignored.
func (d *Desk) SaveDraft(ctx context.Context, who incident.Identity, key incident.FormKey, draft incident.FormDraft) error {
	size := 0
	for name, value := range draft.Values {
		size += len(name) + len(value)
	}
	if size > maxDraft {
		return incident.Invalid("text", "the text has %d bytes. Shorten it to %d bytes", size, maxDraft)
	}
	return d.inForm(ctx, who, key, func(tx Tx, person incident.PersonID, inc incident.Incident) error {
		var stored storedDraft
		if err := getValue(tx, NamespaceDraft, draftKey(person, key), &stored); err != nil {
			return err
		}
		if stored.View == key.View && (stored.Submitted || stored.Order > draft.Order) {
			return nil
		}
		if maps.Equal(stored.Values, draft.Values) && !stored.Submitted {
			return nil
		}
		now := d.Now()
		next := storedDraft{FormDraft: draft, View: key.View}
		next.At = now
		if err := putValue(tx, NamespaceDraft, draftKey(person, key), next, now.Add(draftTTL)); err != nil || !key.Edits {
			return err
		}
		_, err := d.editFrom(tx, inc, person, key.View, true)
		return err
	})
}

// CloseForm ends the editing of a person. If the form was submitted, its draft is deleted.
func (d *Desk) CloseForm(ctx context.Context, who incident.Identity, key incident.FormKey, submitted bool) error {
	return d.inForm(ctx, who, key, func(tx Tx, person incident.PersonID, inc incident.Incident) error {
		if submitted {
			var stored storedDraft
			if err := getValue(tx, NamespaceDraft, draftKey(person, key), &stored); err != nil { // locks it
				return err
			}
			mark := storedDraft{View: key.View, Submitted: true}
			if err := putValue(tx, NamespaceDraft, draftKey(person, key), mark, d.Now().Add(closedTTL)); err != nil {
				return err
			}
		}
		if !key.Edits {
			return nil
		}
		_, err := d.editFrom(tx, inc, person, key.View, false)
		return err
	})
}

// inForm calls more in a transaction if the person may read the incident of the form.
func (d *Desk) inForm(ctx context.Context, who incident.Identity, key incident.FormKey, more func(Tx, incident.PersonID, incident.Incident) error) error {
	return d.Store.Tx(ctx, func(tx Tx) error {
		dir, err := tx.Directory()
		if err != nil {
			return err
		}
		person, known := dir.Resolve(who)
		if !known {
			return incident.NotLinked(who)
		}
		var inc incident.Incident
		if key.Incident != 0 {
			if inc, err = tx.Incident(key.Incident); err != nil {
				return err
			}
			if !inc.MayRead(dir, person.ID, d.Now()) {
				return incident.NoAccess(key.Incident)
			}
		}
		return more(tx, person.ID, inc)
	})
}

// editFrom adds a form to those that a person has open, or removes it, and returns the
// editors. If the list of people changes, the card is updated.
func (d *Desk) editFrom(tx Tx, inc incident.Incident, person incident.PersonID, view string, open bool) ([]storedEditor, error) {
	editors, err := editorsOf(tx, inc.ID, d.Now())
	if err != nil {
		return nil, err
	}
	now := d.Now()
	n := slices.IndexFunc(editors, func(e storedEditor) bool { return e.Person == person })
	joins := n < 0 && open && len(editors) < maxEditors
	switch {
	case n < 0 && !joins:
		return editors, nil
	case joins:
		editors, n = append(editors, storedEditor{Editor: incident.Editor{Person: person, Since: now}}), len(editors)
	}
	me := &editors[n]
	me.At = now
	me.Views = slices.DeleteFunc(me.Views, func(v string) bool { return v == view })
	if open {
		me.Views = append(me.Views, view)
		me.Views = me.Views[max(0, len(me.Views)-maxOpenings):]
	}
	leaves := len(me.Views) == 0
	if leaves {
		editors = slices.Delete(editors, n, n+1)
	}
	if err := putValue(tx, NamespaceEditors, inc.ID.String(), editors, now.Add(editorTTL)); err != nil || !joins && !leaves {
		return editors, err
	}
	return editors, tx.Enqueue(inc.CardRefresh()...)
}

// editorsOf returns the people who edit the closing record of an incident.
func editorsOf(kv KeyValues, id incident.ID, now time.Time) ([]storedEditor, error) {
	var editors []storedEditor
	err := getValue(kv, NamespaceEditors, id.String(), &editors)
	return slices.DeleteFunc(editors, func(e storedEditor) bool { return now.Sub(e.At) >= editorTTL }), err
}

// storedSeen is the submission that a person saw, by the number of events that it covers.
// It holds no text, because an erased text must not come back.
type storedSeen struct {
	At     time.Time `json:"at"`
	Events int       `json:"events"`
}

// seeRecord stores the submitted record as seen and returns what the person saw before,
// without the texts that the person may not read or that were erased since.
func (d *Desk) seeRecord(tx Tx, person incident.PersonID, inc incident.Incident) (*incident.SeenRecord, error) {
	key := inc.ID.String() + "/" + string(person)
	var before storedSeen
	if err := getValue(tx, NamespaceSeen, key, &before); err != nil {
		return nil, err
	}
	now := d.Now()
	if err := putValue(tx, NamespaceSeen, key, storedSeen{At: now, Events: inc.Submission.Document.Events}, now.Add(seenTTL)); err != nil {
		return nil, err
	}
	if before.At.IsZero() || now.Sub(before.At) >= seenTTL {
		return nil, nil
	}
	dir, err := tx.Directory()
	if err != nil {
		return nil, err
	}
	timeline, err := tx.Timeline(inc.ID)
	if err != nil {
		return nil, fmt.Errorf("read the timeline of %s: %w", inc.ID, err)
	}
	if inc.MayHavePrivileged() && !mayReadPrivileged(incident.Identity{}, person, inc, dir, now) {
		_, timeline, _ = incident.WithholdPrivileged(inc.ID, timeline)
	}
	sub := incident.SubmissionOf(inc.ID, timeline, before.Events)
	if sub == nil {
		return nil, nil
	}
	return &incident.SeenRecord{At: before.At, Document: sub.Document}, nil
}

func draftKey(person incident.PersonID, key incident.FormKey) string {
	return strings.Join([]string{key.Incident.String(), string(person), key.Form}, "/")
}
