package store

import (
	"fmt"
	"strings"
)

// Positions in a lane. Effects with Ahead share the first one, and the others follow from
// aheadPos + 1 on.
const (
	aheadPos  = 0
	emptyLane = -1 // instead of the position of the last effect
)

// putAhead sets the row's state and position to the begin of its lane, where it starts at once. The effects that have not
// started come after it, because startNextInLane starts none while an earlier one is unfinished. The caller has locked
// the lane.
func (t domainTx) putAhead(row *effectRow, ends map[string]int64) error {
	if _, err := t.laneEnd(row.Lane, ends); err != nil {
		return err
	}
	row.State, row.LanePos = effectAvailable, aheadPos
	return nil
}

// laneEnd returns the position of the last unfinished effect of a lane, or emptyLane. ends holds the ends of lanes that
// are known already.
func (t domainTx) laneEnd(lane string, ends map[string]int64) (int64, error) {
	last, known := ends[lane]
	if known {
		return last, nil
	}
	err := t.db.Raw("SELECT coalesce(max(lane_pos), ?) FROM effects WHERE lane = ? AND state IN ('available', 'pending')", emptyLane, lane).Scan(&last).Error
	ends[lane] = last
	return last, err
}

// appendToLane sets the row's state and position to the end of its lane. The state is available if the lane is empty,
// otherwise pending. The caller has locked the lane. ends holds the ends of lanes that are known already.
func (t domainTx) appendToLane(row *effectRow, ends map[string]int64) error {
	row.State, row.LanePos = effectAvailable, aheadPos+1
	if row.Lane == "" {
		return nil
	}
	last, err := t.laneEnd(row.Lane, ends)
	if err != nil {
		return err
	}
	if last > emptyLane {
		row.State, row.LanePos = effectPending, last+1
	}
	return nil
}

// startNextInLane makes the first unfinished effect of a lane available, unless it already is or is held, and returns its
// job.
func (t domainTx) startNextInLane(lane string) (*job, error) {
	if lane == "" {
		return nil, nil
	}
	var rows []effectRow
	err := t.db.Raw("SELECT * FROM effects WHERE lane = ? AND state IN ('available', 'pending') ORDER BY lane_pos LIMIT 1", lane).Scan(&rows).Error
	if err != nil || len(rows) == 0 || rows[0].State == effectAvailable || rows[0].Held {
		return nil, err
	}
	row := rows[0]
	if err := t.db.Exec("UPDATE effects SET state = 'available' WHERE id = ?", row.ID).Error; err != nil {
		return nil, fmt.Errorf("start effect %d: %w", row.ID, err)
	}
	next := row.job(t.nextRun(row, timeOrZero(row.After)))
	return &next, nil
}

// stepAside moves an effect to the end of a lane that it shares only with waiting effects of its kind, and returns the job
// of the next effect of the lane it leaves. Effects of one kind stay in order.
func (t domainTx) stepAside(row *effectRow) (*job, error) {
	left := row.Lane
	aside := "/" + row.Kind
	if left == "" || strings.HasSuffix(left, aside) {
		return nil, nil
	}
	row.Lane += aside
	if err := t.lockLane(row.Lane); err != nil {
		return nil, err
	}
	if err := t.appendToLane(row, map[string]int64{}); err != nil {
		return nil, fmt.Errorf("leave lane: %w", err)
	}
	if err := t.db.Exec("UPDATE effects SET lane = ?, lane_pos = ?, state = ? WHERE id = ?", row.Lane, row.LanePos, row.State, row.ID).Error; err != nil {
		return nil, fmt.Errorf("leave lane: %w", err)
	}
	return t.startNextInLane(left)
}

// lockLane locks a lane until the end of the transaction.
func (t domainTx) lockLane(lane string) error {
	if lane == "" {
		return nil
	}
	if err := t.tx.queue.lockLane(t.db, lane); err != nil {
		return fmt.Errorf("lock lane: %w", err)
	}
	return nil
}

// lockEffect locks the lane of an effect and then the effect, in the order of Enqueue.
func (t domainTx) lockEffect(id int64) (effectRow, error) {
	if err := t.lockLaneOf(id); err != nil {
		return effectRow{}, err
	}
	return t.selectEffect("id = ?", id)
}

// lockLaneOf locks the lane of an effect.
func (t domainTx) lockLaneOf(id int64) error {
	if t.lockClause == "" {
		return nil // SQLite has one writer
	}
	var lane string
	if err := t.db.Raw("SELECT lane FROM effects WHERE id = ?", id).Scan(&lane).Error; err != nil {
		return fmt.Errorf("read effect: %w", err)
	}
	return t.lockLane(lane)
}
