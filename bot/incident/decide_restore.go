package incident

import (
	"encoding/json"
	"slices"
)

// nextRound returns the fields of the next paging round.
func (d *decider) nextRound() fields {
	f, round := fields{"escalation_step": "0", "started_at": instant(d.env.Now)}, d.inc.Paging.Round+1
	for _, r := range d.inc.restoresSince(d.env.Restores) {
		round += r.roundGap()
	}
	if n := len(d.env.Restores); n > 0 {
		f["restore"] = num(int(d.env.Restores[n-1].ID))
	}
	f["round"] = num(round)
	return f
}

// pageRestored starts a paging round if the present one is from before a restore.
func (d *decider) pageRestored() error {
	if d.inc.NeedsRound(d.env.Restores) {
		d.startRound(d.cmd.Text)
	}
	return nil
}

// restored records that the last restore of the instance was released. The acknowledgement in force counts from now,
// because Tocsin could not see the activity of people. An incident that needs a page gets a new round.
func (d *decider) restored() error {
	n := len(d.env.Restores)
	if n == 0 || d.inc.ID > d.env.Restores[n-1].LastIncident {
		return nil
	}
	r := d.env.Restores[n-1]
	d.emit(EventRestored, fields{"backup_at": instant(r.BackupAt), "restored_at": instant(r.At), "restore": num(int(r.ID))}, nil)
	return d.pageRestored()
}

// repeatErasure erases texts that legal and security erased after the backup. The texts of lost events are lost too.
func (d *decider) repeatErasure() error {
	known := slices.DeleteFunc(slices.Clone(d.cmd.Erase), func(ref TextRef) bool { return ref.Seq < 1 || ref.Seq > d.inc.Head.Seq })
	if len(known) == 0 {
		return nil
	}
	refs, _ := json.Marshal(known)
	d.emit(EventErasureRepeated, fields{"refs": string(refs), "erasure": d.cmd.Item}, nil)
	d.voidSubmission("a text was erased")
	return nil
}
