package incident

import (
	"slices"
	"time"
)

// Restore is a restore of the instance from a backup. The records between BackupAt and At are lost.
type Restore struct {
	ID       int64 // id in the store, greater for later restores
	At       time.Time
	BackupAt time.Time
	// LastIncident is the number of the last incident in the backup.
	LastIncident ID
}

// AboutRestore is the argument "about" of the notice about a restore that waits for its release. The others are "backup"
// (RFC 3339), "administrators" (comma-separated local users) and the numbers of "effects", "deliveries" and
// unacknowledged "incidents".
const AboutRestore = "restore"

// minRoundGap is the minimum number of paging rounds that a restore skips. It covers a clock that is wrong.
const minRoundGap = 1000

// roundGap returns the number of paging rounds that a restore skips. The lost machine may have used the next numbers as
// deduplication keys, and a pager ignores a page whose key is open or acknowledged. A round follows from a timeout or
// from commands of people, so the lost machine started less than one in a second. The gap grows with the time since the
// backup, so a second restore of one backup does not use the rounds of the first one either.
func (r Restore) roundGap() int {
	return max(int(r.At.Sub(r.BackupAt)/time.Second), 0) + minRoundGap
}

// RoundGap is a range of paging rounds that the incident skipped because of a restore.
type RoundGap struct {
	After  int `json:"after"`  // the last round before
	Before int `json:"before"` // the next round
}

// restoresSince returns the restores of the instance since the paging round began, or since the incident opened.
func (i Incident) restoresSince(all []Restore) (out []Restore) {
	for _, r := range all {
		if i.ID <= r.LastIncident && r.ID > i.Paging.Restore {
			out = append(out, r)
		}
	}
	return out
}

// NeedsRound reports whether a responder must be paged, but the paging round is from before a restore: its pages and
// deadlines are held, and the lost machine may have sent them.
func (i Incident) NeedsRound(restores []Restore) bool {
	return i.NeedsPage() && len(i.restoresSince(restores)) > 0
}

// roundsSince returns the number of rounds after a round, without the rounds that restores skipped.
func (i Incident) roundsSince(round int) int {
	n := i.Paging.Round - round
	for _, gap := range i.RoundGaps {
		if round <= gap.After {
			n -= gap.Before - gap.After - 1
		}
	}
	return n
}

// LastRounds returns the numbers of the last n paging rounds, the newest first.
func (i Incident) LastRounds(n int) []int {
	all := i.pagedRounds()
	slices.Reverse(all)
	return all[:min(n, len(all))]
}

// pagedRounds returns the numbers of all rounds, in order.
func (i Incident) pagedRounds() (out []int) {
	for round := 1; round <= i.Paging.Round; round++ {
		if n := slices.IndexFunc(i.RoundGaps, func(g RoundGap) bool { return round == g.After+1 }); n >= 0 {
			round = i.RoundGaps[n].Before
		}
		out = append(out, round)
	}
	return out
}

// LostErasure is an erasure that a published checkpoint names. Event is the number of its event in the lost timeline.
type LostErasure struct {
	Incident ID
	Event    int
	Refs     []TextRef
}
