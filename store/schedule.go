package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/robfig/cron/v3"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// kindSweep is the kind of the periodic job that finds due schedules.
const kindSweep = "sweep"

// kindScheduled returns the kind of jobs of a schedule.
func kindScheduled(kind string) string { return "scheduled." + kind }

// A Schedule runs JobFuncs.Scheduled[Kind] at the times of Cron in Zone.
type Schedule struct {
	Name string // unique
	Kind string
	Cron string // five fields, or a descriptor like @daily
	Zone string // IANA time zone, or empty for UTC
}

// scheduleRow is a row of the table schedules.
type scheduleRow struct {
	ID        int64 `gorm:"primaryKey"`
	Name      string
	Kind      string
	Cron      string
	Zone      string
	NextRunAt time.Time
	LastRunAt *time.Time
}

func (scheduleRow) TableName() string { return "schedules" }

var cronParser = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)

// next returns the time of the first run after now.
func (r scheduleRow) next(now time.Time) (time.Time, error) {
	zone, err := time.LoadLocation(r.Zone)
	if err != nil {
		return time.Time{}, fmt.Errorf("schedule %s: zone %q: %w", r.Name, r.Zone, err)
	}
	fires, err := cronParser.Parse(r.Cron)
	if err != nil {
		return time.Time{}, fmt.Errorf("schedule %s: %w", r.Name, err)
	}
	next := fires.Next(now.In(zone))
	if next.IsZero() {
		return time.Time{}, fmt.Errorf("schedule %s: %q never fires", r.Name, r.Cron)
	}
	return next.UTC(), nil
}

// SetSchedules replaces all schedules. A schedule with unchanged kind, cron expression and zone retains its next run,
// so a restart neither repeats nor skips it. It returns an error for an invalid schedule.
func (s *Store) SetSchedules(ctx context.Context, schedules []Schedule) error {
	now := s.now()
	rows := make([]scheduleRow, len(schedules))
	names := make([]string, len(schedules))
	for i, sc := range schedules {
		row := scheduleRow{Name: sc.Name, Kind: sc.Kind, Cron: sc.Cron, Zone: sc.Zone}
		if row.Zone == "" {
			row.Zone = "UTC"
		}
		next, err := row.next(now)
		if err != nil {
			return err
		}
		row.NextRunAt = next
		rows[i], names[i] = row, sc.Name
	}
	return s.tx(ctx, func(tx *tx) error {
		obsolete := tx.db
		if len(names) > 0 {
			obsolete = obsolete.Where("name NOT IN ?", names)
		} else {
			obsolete = obsolete.Where("true")
		}
		if err := obsolete.Delete(&scheduleRow{}).Error; err != nil {
			return fmt.Errorf("remove schedules: %w", err)
		}
		for _, row := range rows {
			if err := tx.putSchedule(row); err != nil {
				return fmt.Errorf("set schedule %s: %w", row.Name, err)
			}
		}
		return nil
	})
}

func (t *tx) putSchedule(row scheduleRow) error {
	var known scheduleRow
	err := t.db.Where("name = ?", row.Name).Take(&known).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return t.db.Clauses(clause.OnConflict{DoNothing: true}).Create(&row).Error
	}
	if err != nil || (known.Kind == row.Kind && known.Cron == row.Cron && known.Zone == row.Zone) {
		return err
	}
	return t.db.Model(&known).Updates(map[string]any{
		"kind": row.Kind, "cron": row.Cron, "zone": row.Zone, "next_run_at": row.NextRunAt}).Error
}

// sweep enqueues the jobs of due schedules. If several runs of a schedule were missed, it enqueues one job.
func (s *Store) sweep(ctx context.Context, _ Task) error {
	now := s.now()
	var due []scheduleRow
	err := s.view(ctx, func(db *gorm.DB) error { return db.Where("next_run_at <= ?", now).Find(&due).Error })
	if err != nil {
		return fmt.Errorf("find due schedules: %w", err)
	}
	var errs []error
	for _, row := range due {
		errs = append(errs, s.fire(ctx, row, now))
	}
	return errors.Join(errs...)
}

// fire enqueues one job of a schedule and sets its next run. The update applies only if the next run is unchanged, so
// only one of several concurrent sweeps enqueues the job.
func (s *Store) fire(ctx context.Context, row scheduleRow, now time.Time) error {
	next, err := row.next(now)
	if err != nil {
		return err
	}
	return s.tx(ctx, func(tx *tx) error {
		updated := tx.db.Exec("UPDATE schedules SET next_run_at = ?, last_run_at = ? WHERE id = ? AND next_run_at = ?",
			next, now, row.ID, row.NextRunAt.UTC())
		if updated.Error != nil || updated.RowsAffected == 0 {
			return updated.Error
		}
		return tx.enqueue(job{kind: kindScheduled(row.Kind), ids: []int64{row.ID, row.NextRunAt.Unix()}})
	})
}
