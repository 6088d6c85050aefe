package response

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// RestoreReader reads what waits for the release of a restore from a backup.
type RestoreReader interface {
	// PausedRestore returns the last restore that no person has released, or the zero value.
	PausedRestore() (PausedRestore, error)
	// HeldWork returns what waits for the release.
	HeldWork() (HeldWork, error)
}

// RestoreWriter releases a restore from a backup. Until then the effects from before it are held: they do not start, and
// later effects of their lanes wait behind them. Deliveries from before it wait too.
type RestoreWriter interface {
	// ReleaseHeld releases held effects of an incident, or of none for id 0. It discards those for which drop returns a
	// result. more reports that others remain, because there are many.
	ReleaseHeld(id incident.ID, drop func(incident.Effect) string) (more bool, err error)
	// EndRestore records who released a restore and all earlier ones, and lets the deliveries go on. No effect may be held
	// any more.
	EndRestore(id int64, by string) error
}

// PausedRestore is a restore from a backup that no person has released.
type PausedRestore struct {
	incident.Restore
	Gap RestoreGap
}

// RestoreGap is what the backup lacks, as far as the published checkpoint shows that the restore was compared with.
type RestoreGap struct {
	CheckedAt    time.Time   `json:"checked_at,omitzero"` // of the checkpoint, zero without one
	Entries      int64       `json:"entries"`             // of the notary's log
	LastIncident incident.ID `json:"last_incident"`       // in the backup
	LostIncident incident.ID `json:"lost_incident"`       // the newest that the checkpoint names, at least LastIncident
}

// HeldWork is what waits for the release of a restore.
type HeldWork struct {
	Effects    []HeldEffects
	Deliveries int64
	Erasures   int64 // that the restore repeated
}

// HeldEffects are effects of one kind and of one incident, or of none.
type HeldEffects struct {
	Incident incident.ID         `json:"incident,omitempty"`
	Kind     incident.EffectKind `json:"kind"` // or Confidential
	Count    int                 `json:"count"`
}

// RestoreOverview is what an administrator reads before the release of a restore.
type RestoreOverview struct {
	Paused         bool               `json:"paused"`
	RestoredAt     time.Time          `json:"restored_at,omitzero"`
	BackupAt       time.Time          `json:"backup_at,omitzero"`
	Gap            RestoreGap         `json:"gap"`
	Held           []HeldEffects      `json:"held,omitempty"`
	Deliveries     int64              `json:"deliveries"`
	Erasures       int64              `json:"erasures"`
	Unacknowledged []incident.Summary `json:"unacknowledged,omitempty"` // that are paged at the release, without titles
}

// HeldEffects returns the number of all held effects.
func (o RestoreOverview) HeldEffects() (n int) {
	for _, held := range o.Held {
		n += held.Count
	}
	return n
}

// RestoreOverview returns what waits for the release of a restore. Paused is false if nothing does.
func (d *Desk) RestoreOverview(ctx context.Context) (out RestoreOverview, err error) {
	err = d.Store.View(ctx, func(r Reader) error {
		out = RestoreOverview{}
		paused, err := r.PausedRestore()
		if err != nil || paused.ID == 0 {
			return err
		}
		held, err := r.HeldWork()
		if err != nil {
			return err
		}
		out = RestoreOverview{Paused: true, RestoredAt: paused.At, BackupAt: paused.BackupAt, Gap: paused.Gap, Held: held.Effects, Deliveries: held.Deliveries, Erasures: held.Erasures}
		all, err := d.unfinished(r)
		if err != nil {
			return err
		}
		for _, one := range all {
			inc, err := r.Incident(one.ID)
			if err != nil {
				return err
			}
			if inc.NeedsRound(d.Restores) {
				one.Title = ""
				out.Unacknowledged = append(out.Unacknowledged, one)
			}
		}
		return nil
	})
	if err != nil {
		return out, fmt.Errorf("read what waits for the release of the restore: %w", err)
	}
	return out, nil
}

// maxUnfinished bounds the list of unfinished incidents. It is far above any real number.
const maxUnfinished = 1_000_000

// unfinished returns the incidents with work to do, the oldest first.
func (d *Desk) unfinished(r Reader) ([]incident.Summary, error) {
	all, err := r.Summaries(incident.Filter{Statuses: incident.UnfinishedStatuses(), Limit: maxUnfinished})
	if err != nil {
		return nil, fmt.Errorf("list incidents: %w", err)
	}
	slices.Reverse(all)
	return all, nil
}

// Released counts what a release did.
type Released struct {
	Incidents int           `json:"incidents"` // unfinished ones
	Paged     []incident.ID `json:"paged,omitempty"`
}

// ReleaseRestore releases the last restore. Unacknowledged incidents get a new paging round, held pages and the deadlines
// of older rounds are dropped, and all other held effects and deliveries go on. Each incident is one transaction, and a
// release that was interrupted continues when it is repeated.
func (d *Desk) ReleaseRestore(ctx context.Context, who incident.Identity, reason string) (Released, error) {
	released, err := d.releaseRestore(ctx, who, reason)
	return answer(d, who, released, err)
}

func (d *Desk) releaseRestore(ctx context.Context, who incident.Identity, reason string) (out Released, err error) {
	var paused PausedRestore
	var all []incident.Summary
	var held HeldWork
	err = d.Store.View(ctx, func(r Reader) (err error) {
		if paused, err = r.PausedRestore(); err != nil || paused.ID == 0 {
			return err
		}
		if held, err = r.HeldWork(); err != nil {
			return err
		}
		all, err = d.unfinished(r)
		return err
	})
	if err != nil {
		return out, fmt.Errorf("release restore: %w", err)
	}
	if paused.ID == 0 {
		return out, incident.Conflict("no restore waits for a release. Do nothing: Tocsin works normally")
	}
	ids := []incident.ID{}
	for _, one := range all {
		ids = append(ids, one.ID)
	}
	out.Incidents = len(ids)
	for _, one := range held.Effects { // also of incidents that ended, and of none
		ids = append(ids, one.Incident)
	}
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		paged, err := d.releaseIncident(ctx, paused, id)
		if err != nil {
			return out, fmt.Errorf("release %s: %w", id, err)
		}
		if paged {
			out.Paged = append(out.Paged, id)
		}
	}
	err = d.write(ctx, func(s *session) error { return s.endRestore(paused, who, reason) })
	if err != nil {
		return out, fmt.Errorf("end restore: %w", err)
	}
	return out, nil
}

// releaseIncident releases an incident, or the effects of none.
func (d *Desk) releaseIncident(ctx context.Context, paused PausedRestore, id incident.ID) (paged bool, err error) {
	for more := true; more; {
		err := d.write(ctx, func(s *session) (err error) {
			if id == 0 {
				err = s.endLostTests(paused)
			} else {
				paged, err = s.restored(paused, id, paged)
			}
			if err != nil {
				return err
			}
			more, err = s.tx.ReleaseHeld(id, func(e incident.Effect) string { return s.dropReason(e, paused) })
			return err
		})
		if err != nil {
			return false, err
		}
	}
	return paged, nil
}

// restored records the release in the timeline of an incident, once for each restore.
func (s *session) restored(paused PausedRestore, id incident.ID, before bool) (paged bool, err error) {
	dr, err := s.draft(id)
	if err != nil || dr.inc.Status.Ended() {
		return before, err
	}
	fresh, err := s.tx.RecordCommandKey(id, "restore/"+strconv.FormatInt(paused.ID, 10)+"/"+paused.At.UTC().Format(time.RFC3339Nano))
	if err != nil || !fresh {
		return before, err
	}
	paged = dr.inc.NeedsRound(s.d.Restores)
	err = s.doAsBot(id, incident.Command{Verb: incident.VerbRestored, Text: "Tocsin was restored from the backup of " + backupTime(paused.Restore) + " and released"})
	return paged, err
}

// dropReason returns why a held effect is dropped, or "". The lost machine may have sent the held pages, and a new paging
// round replaces them. No deadline of an older round and no test page may page people.
func (s *session) dropReason(e incident.Effect, paused PausedRestore) string {
	switch e.Kind {
	case incident.EffectPage, incident.EffectPagePerson, incident.EffectTestPage, incident.EffectPageNotice:
	case incident.EffectDeadline:
		if verb := e.Deadline().Command.Verb; verb != incident.VerbPageTimeout && verb != incident.VerbAbsenceTimeout {
			return ""
		}
	default:
		return ""
	}
	return "dropped at the release of the restore from the backup of " + backupTime(paused.Restore)
}

func backupTime(r incident.Restore) string { return r.BackupAt.UTC().Format("2006-01-02 15:04 UTC") }

// endRestore ends the pause and records who ended it.
func (s *session) endRestore(paused PausedRestore, who incident.Identity, reason string) error {
	person, _ := s.dir.Resolve(who)
	entry := Access{At: s.now, Person: person.ID, Handle: who, Action: "restore released", Reason: truncate(reason), Allowed: true}
	if err := s.tx.Audit(entry); err != nil {
		return fmt.Errorf("audit release: %w", err)
	}
	return s.tx.EndRestore(paused.ID, who.String())
}

// restoreNote returns the note in a page about an incident while a restore waits for its release, or "".
func (s *session) restoreNote(id incident.ID) (string, error) {
	paused, err := s.tx.PausedRestore()
	if err != nil || paused.ID == 0 || id > paused.LastIncident {
		return "", err
	}
	return "Tocsin was restored from the backup of " + backupTime(paused.Restore) + " and is paused. The next step is to run tocsin backup release", nil
}

// pageRestored starts a paging round for an incident whose pages are held.
func (s *session) pageRestored(id incident.ID, why string) error {
	if !slices.ContainsFunc(s.d.Restores, func(r incident.Restore) bool { return id <= r.LastIncident }) {
		return nil
	}
	dr, err := s.draft(id)
	if err != nil || !dr.inc.NeedsRound(s.d.Restores) {
		return err
	}
	return s.doAsBot(id, incident.Command{Verb: incident.VerbPageRestored, Text: why})
}

const (
	// restoreMailInterval is the time between two mails about a restore that waits for its release.
	restoreMailInterval = 15 * time.Minute
	// restorePageDelay is how long an unacknowledged sev1 or sev2 incident from before the restore waits for the release.
	restorePageDelay = 5 * time.Minute
)

// WatchRestore mails people as long as a restore waits for its release. After restorePageDelay it pages them about the
// unacknowledged sev1 and sev2 incidents from before the restore. All replicas call it again and again: there is one mail
// and one page. It returns what waits.
func (d *Desk) WatchRestore(ctx context.Context) (RestoreOverview, error) {
	out, err := d.RestoreOverview(ctx)
	if err != nil || !out.Paused {
		return out, err
	}
	args := map[string]string{"about": incident.AboutRestore, "backup": out.BackupAt.UTC().Format(time.RFC3339), "effects": strconv.Itoa(out.HeldEffects()),
		"deliveries": strconv.FormatInt(out.Deliveries, 10), "incidents": strconv.Itoa(len(out.Unacknowledged)), "administrators": strings.Join(d.Administrators, ",")}
	var waited time.Duration
	err = d.Store.Tx(ctx, func(tx Tx) error {
		key, since, now := out.RestoredAt.UTC().Format(time.RFC3339Nano), time.Time{}, d.Now()
		if err := getValue(tx, NamespaceRestore, key, &since); err != nil {
			return err
		}
		if since.IsZero() {
			since = now
			if err := putValue(tx, NamespaceRestore, key, since, time.Time{}); err != nil {
				return err
			}
		}
		waited = now.Sub(since)
		mail := incident.Effect{Key: "notice/restore/" + key + "/" + strconv.Itoa(int(waited/restoreMailInterval)), Kind: incident.EffectMailNotice, After: now, Args: args}
		return tx.Enqueue(mail)
	})
	if err != nil {
		return out, fmt.Errorf("enqueue mail about the restore: %w", err)
	}
	if waited < restorePageDelay {
		return out, nil
	}
	for _, inc := range out.Unacknowledged {
		if inc.Severity != incident.Sev1 && inc.Severity != incident.Sev2 {
			continue
		}
		err := d.write(ctx, func(s *session) error {
			return s.pageRestored(inc.ID, "nobody acknowledged the incident in the 5 minutes after Tocsin was restored from a backup")
		})
		if err != nil {
			return out, fmt.Errorf("page %s after the restore: %w", inc.ID, err)
		}
	}
	return out, nil
}

// endLostTests ends the test pages from before a restore, without a result.
func (s *session) endLostTests(paused PausedRestore) error {
	rows, err := readTestPages(s.tx)
	if err != nil {
		return err
	}
	for n := range rows {
		if rows[n].Running() && rows[n].StartedAt.Before(paused.At) {
			rows[n].EndedAt = s.now
		}
	}
	return putTestPages(s.tx, rows)
}

// RepeatErasures erases texts again that were erased after a backup, in the transaction that restores it. It returns the
// erasures that the backup did not have. Incidents and events that the backup does not have either are lost.
func RepeatErasures(tx Tx, now func() time.Time, erasures []incident.LostErasure) (repeated []incident.LostErasure, err error) {
	dir, err := tx.Directory()
	if err != nil {
		return nil, fmt.Errorf("read directory: %w", err)
	}
	d, err := New(Options{Store: noStore{}, Redact: noRedactor{}, Now: now,
		RenderPostmortem: func(Postmortem) (incident.Document, error) { return incident.Document{}, nil }})
	if err != nil {
		return nil, err
	}
	s := &session{d: d, tx: tx, now: now(), dir: dir, drafts: map[incident.ID]*draft{}}
	for _, e := range erasures {
		dr, err := s.draft(e.Incident)
		if incident.CodeOf(err) == incident.CodeUnknown {
			continue
		}
		if err != nil {
			return nil, err
		}
		if e.Event <= dr.inc.Head.Seq {
			known, err := tx.Timeline(e.Incident, e.Event)
			if err != nil {
				return nil, fmt.Errorf("read event %d of %s: %w", e.Event, e.Incident, err)
			}
			if len(known) == 1 && known[0].Kind.Erases() {
				continue
			}
		}
		before := len(dr.events)
		if err := s.doAsBot(e.Incident, incident.Command{Verb: incident.VerbRepeatErasure, Erase: e.Refs, Item: strconv.Itoa(e.Event)}); err != nil {
			return nil, fmt.Errorf("erase texts of %s: %w", e.Incident, err)
		}
		if len(dr.events) > before {
			repeated = append(repeated, e)
		}
	}
	if err := s.flush(); err != nil {
		return nil, fmt.Errorf("repeat erasures: %w", err)
	}
	return repeated, nil
}

// noStore and noRedactor stand for the parts of a Desk that a single transaction does not use.
type (
	noStore    struct{ Store }
	noRedactor struct{}
)

func (noRedactor) Text(string) string { return "" }
