package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"tocsin/bot/health"
	"tocsin/bot/outbound"
	"tocsin/bot/telemetry"
	"tocsin/store"
)

func (d *Doctor) checkConfiguration() {
	if len(d.Warnings) == 0 {
		d.ok("configuration", "It is valid")
	}
	for _, w := range d.Warnings {
		d.warn("configuration", w.String(), "Correct it, or leave it if it is intended")
	}
}

// copyRecord is the result of the last comparison of a copy of the keyset. It lies next to
// the keyset.
type copyRecord struct {
	Compared time.Time `json:"compared"`
	Keys     string    `json:"keys"`
}

// copyTTL is how long a comparison counts.
const copyTTL = 180 * 24 * time.Hour

const copyFix = "Keep a copy of the keyset on another machine, apart from the backups of the database. Bring it here once and run `tocsin doctor --keyset-copy FILE`"

func (d *Doctor) checkKeyset(ctx context.Context) {
	path := d.Config.Store.KeysetFile
	keys, err := store.LoadKeyset(path)
	if err != nil {
		text, fix, _ := strings.Cut(err.Error(), ". ")
		d.fail("keyset", text, fix)
		return
	}
	d.checkOwner(ctx, path)
	d.checkCopy(path, keys)
}

// checkOwner compares the owner of the keyset with the user that the bot runs as. This
// process can run as another user, such as root.
func (d *Doctor) checkOwner(ctx context.Context, path string) {
	const check = "keyset"
	owner, err := d.Owner(path)
	if err != nil {
		d.fail(check, "Its owner cannot be read", "Check the permissions of its folder")
		return
	}
	user, how, known := d.botUser(ctx)
	switch {
	case !known:
		d.ok(check, fmt.Sprintf("Only its owner, user %d, can read it. Run `tocsin serve` as that user", owner))
	case owner == user || user == 0: // root reads every file
		d.ok(check, "Only its owner can read it")
	default:
		d.fail(check, fmt.Sprintf("Its file belongs to user %d, but %s user %d: Tocsin cannot read the keyset at its next start", owner, how, user),
			fmt.Sprintf("Run chown %d %s", user, path))
	}
}

// botUser returns the user that the bot runs as: the owner of its control socket if it
// runs, or of its SQLite database.
func (d *Doctor) botUser(ctx context.Context) (user uint32, how string, known bool) {
	if d.IsRunning(ctx) {
		if user, err := d.Owner(d.Config.ControlPath()); err == nil {
			return user, "the running bot is", true
		}
	}
	if file, ok := strings.CutPrefix(d.Config.Store.URL, "sqlite:"); ok {
		if user, err := d.Owner(file); err == nil {
			return user, "the database to", true
		}
	}
	return 0, "", false
}

// fileOwner returns the user that a file belongs to.
func fileOwner(path string) (uint32, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, fmt.Errorf("read the owner of %s: the system does not support it", path)
	}
	return stat.Uid, nil
}

// checkCopy compares a copy of the keyset, or reads when one was compared last.
func (d *Doctor) checkCopy(path string, keys *store.Keyset) {
	const check = "keyset copy"
	record := path + ".copy"
	if d.KeysetCopy != "" {
		if original, err := os.Stat(path); err == nil {
			if other, err := os.Stat(d.KeysetCopy); err == nil && os.SameFile(original, other) {
				d.fail(check, d.KeysetCopy+" is the keyset itself", "Name the copy from the other machine")
				return
			}
		}
		other, err := store.LoadKeyset(d.KeysetCopy)
		switch {
		case err != nil:
			d.fail(check, strings.ReplaceAll(err.Error(), "\n", " "), "Check the file, and replace the copy if it is damaged")
			return
		case other.KeyIDs() != keys.KeyIDs():
			d.fail(check, "It has other keys than the keyset: it is of another installation, or from before a rotation", "Replace the copy with the current "+path)
			return
		}
		raw, err := json.Marshal(copyRecord{d.Clock().UTC().Truncate(time.Second), keys.KeyIDs()})
		if err == nil {
			err = os.WriteFile(record, raw, 0o600)
		}
		if err != nil {
			d.warn(check, "It has the same keys, but the date of the comparison cannot be stored in "+record, "Run the command as the user of Tocsin")
			return
		}
		d.ok(check, "It has the same keys. The date of this comparison is stored in "+record+". Remove the copy from this machine")
		return
	}
	var last copyRecord
	raw, err := os.ReadFile(record)
	switch {
	case err != nil || json.Unmarshal(raw, &last) != nil:
		d.warn(check, "No copy was ever compared. The database cannot be read without the keyset", copyFix)
	case last.Keys != keys.KeyIDs():
		d.warn(check, "The keys were rotated after the last comparison, so the copy is out of date", copyFix)
	case d.Clock().Sub(last.Compared) > copyTTL:
		d.warn(check, "The last comparison was on "+last.Compared.Format(time.DateOnly), copyFix)
	default:
		d.ok(check, "A copy had the same keys on "+last.Compared.Format(time.DateOnly))
	}
}

// minDisk is the free space below which the disk needs attention, in bytes.
const minDisk = 512 << 20

// DiskProblem returns the problem of a disk of the database with free bytes, or nil.
func DiskProblem(free int64) *health.Problem {
	if free >= minDisk {
		return nil
	}
	return &health.Problem{Cause: fmt.Sprintf("The disk of the database has %d MiB left", free>>20), Fix: fmt.Sprintf("Free at least %d MiB, or enlarge the disk", minDisk>>20)}
}

func (d *Doctor) checkDatabase(ctx context.Context) {
	const check = "database"
	keys, err := store.LoadKeyset(d.Config.Store.KeysetFile)
	if err != nil {
		d.skip(check, "It can only be checked with the keyset", "Repair the keyset first")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	in, err := store.Inspect(ctx, d.Config.Store, keys)
	var newer *store.NewerSchemaError
	switch {
	case errors.As(err, &newer):
		d.fail(check, fmt.Sprintf("It has the schema version %d, and this program knows versions up to %d", newer.Database, newer.Program), "Run the program that migrated it or a newer one, or restore a backup from before the upgrade")
	case errors.Is(err, store.ErrKeyset):
		d.fail(check, "The keyset does not open it", "Restore the keyset of this database, from after the last rotation")
	case errors.Is(err, store.ErrDamaged):
		d.fail(check, "Its structure is damaged", "Stop Tocsin and restore a backup. docs/operations.md describes it")
	case err != nil:
		d.failAs(check, err, "It cannot be used: "+firstLine(err), "Check the key database, the permissions of the folder and the server")
	case in.Schema == 0:
		d.ok(check, "It does not exist yet. `tocsin serve` creates it")
	case in.Schema < store.SchemaVersion():
		d.ok(check, fmt.Sprintf("The keyset opens it. `tocsin serve` upgrades its schema from version %d to %d", in.Schema, store.SchemaVersion()))
	default:
		d.ok(check, fmt.Sprintf("The keyset opens it, and it has the schema version %d", in.Schema))
	}
	d.checkDisk(in.FreeDisk)
}

// checkDisk checks the free space of the disk of the database. It is -1 if the database
// has no file here.
func (d *Doctor) checkDisk(free int64) {
	const check = "disk space"
	if free < 0 {
		return
	}
	if d.FreeDisk != nil {
		free = d.FreeDisk()
	}
	if p := DiskProblem(free); p != nil {
		d.fail(check, p.Cause, p.Fix)
		return
	}
	d.ok(check, fmt.Sprintf("The disk of the database has %d MiB left", free>>20))
}

func firstLine(err error) string { line, _, _ := strings.Cut(err.Error(), "\n"); return line }

// checkBot reports whether the bot runs, and its health.
func (d *Doctor) checkBot(ctx context.Context) {
	const check = "running bot"
	if !d.IsRunning(ctx) {
		d.skip(check, "No bot runs with this configuration, so its own health is unknown", "Start `tocsin serve` and run this command again")
		return
	}
	res, err := d.get(ctx, "http://"+d.Config.Telemetry.Listen+"/readyz", outbound.Limits{IsLocal: true})
	if err != nil {
		d.fail(check, "It does not answer on "+d.Config.Telemetry.Listen, "Read its log")
		return
	}
	defer func() { _ = res.Body.Close() }()
	var state struct {
		Degraded []telemetry.Degraded     `json:"degraded"`
		Error    struct{ Message string } `json:"error"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&state); err != nil {
		d.fail(check, "Another program answers on "+d.Config.Telemetry.Listen, "Check the key telemetry.listen")
		return
	}
	if res.StatusCode != http.StatusOK {
		d.fail(check, "It is not ready: "+state.Error.Message, "Read its log")
		return
	}
	if len(state.Degraded) == 0 {
		d.ok(check, "It is ready, and every part works")
	}
	for _, part := range state.Degraded {
		d.fail(check, part.Part+": "+part.Cause, part.Fix)
	}
}

// IsRunning reports whether a bot listens on the control socket.
func (d *Doctor) IsRunning(ctx context.Context) bool {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", d.Config.ControlPath())
	if err == nil {
		_ = conn.Close()
	}
	return err == nil || errors.Is(err, os.ErrPermission)
}

func (d *Doctor) get(ctx context.Context, url string, limits outbound.Limits) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	return outbound.NewClient(probeTimeout, limits).Do(req)
}

func (d *Doctor) checkClock() {
	err := d.clocks.Check(d.Clock())
	if err != nil {
		d.failAs("clock", err, "It is wrong", "Synchronize it with NTP")
		return
	}
	d.ok("clock", "It agrees with the other systems")
}
