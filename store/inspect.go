package store

import (
	"context"
	"crypto/hmac"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"tocsin/bot/incident"
)

// Inspection is the state of a database that was not opened for work.
type Inspection struct {
	// Schema is the version of the schema, 0 for a new database.
	Schema int64
	// IsChecked reports that SQLite checked the structure of the file, which takes too long
	// for a large one.
	IsChecked bool
	// FreeDisk is the free space for the SQLite file in bytes, or -1.
	FreeDisk int64
}

// maxQuickCheck is the maximum size of a file whose structure is checked, in bytes.
const maxQuickCheck = 1 << 30

// ErrDamaged means that SQLite finds errors in the structure of a database.
var ErrDamaged = errors.New("the structure of the database is damaged")

// Inspect reads a database. It does not migrate the schema, takes no lock from a running
// process and creates nothing. The keyset must open the database.
func Inspect(ctx context.Context, c Config, keys *Keyset) (Inspection, error) {
	s := &Store{keys: keys}
	if path, ok := strings.CutPrefix(c.URL, "sqlite:"); ok {
		return s.inspectSQLite(ctx, path)
	}
	in := Inspection{FreeDisk: -1}
	config, err := pgx.ParseConfig(c.URL)
	if err != nil {
		return in, errors.New("postgres: invalid URL") // the parser's error may contain the password
	}
	db := stdlib.OpenDB(*config)
	defer func() { _ = db.Close() }()
	var readOnly bool
	if err := db.QueryRowContext(ctx, "SELECT pg_is_in_recovery() OR NOT has_schema_privilege(current_schema(), 'CREATE')").Scan(&readOnly); err != nil {
		return in, fmt.Errorf("query database: %w", err)
	}
	if readOnly {
		return in, errors.New("the server is a standby, or the user may not create tables")
	}
	return s.inspectSchema(ctx, db, "SELECT to_regclass('schema_migrations') IS NOT NULL", in)
}

func (s *Store) inspectSQLite(ctx context.Context, path string) (Inspection, error) {
	in := Inspection{FreeDisk: -1}
	folder := filepath.Dir(path)
	var disk syscall.Statfs_t
	if err := syscall.Statfs(folder, &disk); err != nil {
		return in, fmt.Errorf("read the folder %s: %w", folder, err)
	}
	in.FreeDisk = int64(disk.Bavail) * int64(disk.Bsize) //nolint:unconvert // the types differ between systems
	const writable = 2                                   // W_OK of access(2)
	if err := syscall.Access(folder, writable); err != nil {
		return in, fmt.Errorf("write to the folder %s: %w", folder, err)
	}
	file, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return in, nil
	}
	if err == nil {
		err = syscall.Access(path, writable)
	}
	if err != nil {
		return in, fmt.Errorf("write to %s: %w", path, err)
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return in, fmt.Errorf("resolve %s: %w", path, err)
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?mode=ro&_pragma=busy_timeout(5000)&_pragma=query_only(1)")
	if err != nil {
		return in, fmt.Errorf("open %s: %w", path, err)
	}
	defer func() { _ = db.Close() }()
	if in.IsChecked = file.Size() <= maxQuickCheck; in.IsChecked {
		var report string
		if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&report); err != nil {
			return in, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if report != "ok" {
			return in, fmt.Errorf("%w: %s", ErrDamaged, report)
		}
	}
	return s.inspectSchema(ctx, db, "SELECT count(*) FROM sqlite_master WHERE name = 'schema_migrations'", in)
}

// inspectSchema reads the version of the schema and compares the mark of the keyset.
func (s *Store) inspectSchema(ctx context.Context, db *sql.DB, exists string, in Inspection) (Inspection, error) {
	var isOpened bool
	if err := db.QueryRowContext(ctx, exists).Scan(&isOpened); err != nil || !isOpened {
		return in, err
	}
	if err := db.QueryRowContext(ctx, "SELECT COALESCE(MAX(version_id), 0) FROM schema_migrations").Scan(&in.Schema); err != nil {
		return in, fmt.Errorf("read the schema version: %w", err)
	}
	if in.Schema > SchemaVersion() {
		return in, &NewerSchemaError{Table: ownVersions, Database: in.Schema, Program: SchemaVersion()}
	}
	var known string
	var sealed []byte
	err := db.QueryRowContext(ctx, "SELECT mark, sealed_mark FROM keyset WHERE id = 1").Scan(&known, &sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return in, nil
	}
	if err != nil {
		return in, fmt.Errorf("read the mark of the keyset: %w", err)
	}
	return in, s.checkMark(known, sealed)
}

// KeyIDs identifies the current keys without revealing them. It changes when the keys
// are rotated.
func (k *Keyset) KeyIDs() string {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return fmt.Sprintf("%s/%d/%d", k.Fingerprint([]byte("tocsin keyset"))[:16], k.sealKeys.handle.KeysetInfo().GetPrimaryKeyId(), k.macKeys.handle.KeysetInfo().GetPrimaryKeyId())
}

// tokenTTL is how long a token of [Keyset.Token] is valid.
const tokenTTL = 5 * time.Minute

// Token returns a text that proves the possession of the keyset to a running bot.
func (k *Keyset) Token(now time.Time) string {
	stamp := strconv.FormatInt(now.Unix(), 10)
	return stamp + "-" + k.Fingerprint([]byte("tocsin doctor "+stamp))
}

// statusPageDigits is the length of the keyed hash in the address of a status page: 128
// bits in hexadecimal.
const statusPageDigits = 32

// StatusPageToken returns the last part of the address of the status page of an incident.
// Nobody without the keyset can guess it.
func (s *Store) StatusPageToken(id incident.ID) string {
	number := strconv.FormatInt(int64(id), 10)
	return number + "-" + s.keys.Fingerprint([]byte("tocsin status page " + number))[:statusPageDigits]
}

// StatusPageID returns the incident of a token of [Store.StatusPageToken]. It takes equal
// time for every wrong token with a number.
func (s *Store) StatusPageID(token string) (incident.ID, bool) {
	number, _, _ := strings.Cut(token, "-")
	id, err := strconv.ParseInt(number, 10, 64)
	isGenuine := hmac.Equal([]byte(token), []byte(s.StatusPageToken(incident.ID(id))))
	return incident.ID(id), err == nil && isGenuine
}

// CheckToken reports whether a text is a token of the keyset of this database, at a time.
func (s *Store) CheckToken(token string, now time.Time) bool {
	stamp, _, _ := strings.Cut(token, "-")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	at := time.Unix(seconds, 0)
	return err == nil && now.Sub(at).Abs() <= tokenTTL && hmac.Equal([]byte(token), []byte(s.keys.Token(at)))
}
