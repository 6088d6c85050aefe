package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	"gorm.io/gorm"

	"tocsin/bot/notary"
	"tocsin/bot/response"
	"tocsin/store/storetest"
	"tocsin/store/stream"
)

// filledStream returns a stream with rows in every table.
func filledStream(t testing.TB) []byte {
	t.Helper()
	s := openTest(t, storetest.SQLite(t))
	fillTables(t, s)
	data, _ := s.mustExport(t)
	return data
}

// mustBeEmpty requires that a failed import left no row: a whole stream can be imported afterwards.
func mustBeEmpty(t *testing.T, url string, data []byte) {
	t.Helper()
	if _, err := importTest(t, url, data, ImportOptions{}); err != nil {
		t.Errorf("import after a failed one: %v", err)
	}
}

func TestImport_RestoreHoldsUnfinishedWork(t *testing.T) {
	data := filledStream(t)
	storetest.Databases(t, func(t *testing.T, url string) {
		var amended int64
		got, err := importTest(t, url, data, ImportOptions{Restore: true, Amend: func(tx response.Tx) error {
			d := tx.(domainTx)
			if err := d.db.Raw("SELECT count(*) FROM restores WHERE released_at IS NULL AND at = ?", dbTime(noon)).Scan(&amended).Error; err != nil {
				return err
			}
			return d.db.Exec("UPDATE effects SET state = 'completed' WHERE id = 3").Error
		}})
		if err != nil {
			t.Fatal(err)
		}
		s := openTest(t, url)
		if held := s.count(t, "SELECT count(*) FROM effects WHERE held"); held != 3 || amended == 0 {
			t.Errorf("got %d effects held and %d new restores during Amend, want 3 and 1", held, amended)
		}
		if jobs := s.countJobs(t, "kind IN ('effect', 'drain')"); jobs != 0 {
			t.Errorf("got %d jobs, want 0", jobs)
		}
		if done := s.count(t, "SELECT count(*) FROM effects WHERE state = 'completed'"); done != 1 {
			t.Errorf("got %d effects amended, want 1", done)
		}
		if want := got.Manifest.LastIncident + 101; got.NextIncident != want {
			t.Errorf("next incident: got %d, want %d", got.NextIncident, want)
		}
		s.mustTx(t, func(tx response.Tx) error {
			id, err := tx.NewID()
			if err != nil || int64(id) != got.NextIncident {
				t.Errorf("got %s, %v, want %d", id, err, got.NextIncident)
			}
			return err
		})
		if n := s.count(t, "SELECT count(*) FROM restores WHERE last_incident = ? AND next_incident = ? AND last_inbox = 3 AND backup_size = 3", got.Manifest.LastIncident, got.NextIncident); n != 1 {
			t.Errorf("got %d rows of the restore, want 1", n)
		}
	})
}

func TestImport_AmendFails(t *testing.T) {
	data, failed := filledStream(t), errors.New("failed by test")
	storetest.Databases(t, func(t *testing.T, url string) {
		_, err := importTest(t, url, data, ImportOptions{Restore: true, Amend: func(response.Tx) error { return failed }})
		if !errors.Is(err, failed) {
			t.Errorf("got %v, want %v", err, failed)
		}
		mustBeEmpty(t, url, data)
	})
}

func TestImport_Checkpoint(t *testing.T) {
	s := openTest(t, storetest.SQLite(t))
	var roots []tlog.Hash // by size
	var tree notary.Tree
	err := s.tx(t.Context(), func(tx *tx) error {
		for n := range 5 {
			roots = append(roots, tree.Root())
			leaf := fmt.Appendf(nil, "leaf %d", n)
			hashes := notary.JoinHashes(tree.Add(leaf))
			if err := tx.db.Exec("INSERT INTO notary_leaves (n, leaf, hashes) VALUES (?, ?, ?)", n, leaf, hashes).Error; err != nil {
				return err
			}
		}
		roots = append(roots, tree.Root())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	data, _ := s.mustExport(t)
	keys, err := testKeys()
	if err != nil {
		t.Fatal(err)
	}
	key, err := keys.Notary()
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := notary.NewKey("tocsin/0000000000000000", make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	forged, err := notary.NewKey(keys.origin(), make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		c    notary.Checkpoint
		want error
		next int64
		key  notary.Key
	}{
		"empty log":           {notary.Checkpoint{Size: 0, Root: roots[0]}, nil, 101, key},
		"older":               {notary.Checkpoint{Size: 3, Root: roots[3]}, nil, 101, key},
		"equal":               {notary.Checkpoint{Size: 5, Root: roots[5]}, nil, 101, key},
		"newer":               {notary.Checkpoint{Size: 6, Root: roots[1], LastIncident: 42, At: time.Now()}, nil, 143, key},
		"older, other root":   {notary.Checkpoint{Size: 3, Root: roots[4]}, ErrContradiction, 0, key},
		"equal, other root":   {notary.Checkpoint{Size: 5, Root: roots[4]}, ErrContradiction, 0, key},
		"before a new log":    {notary.Checkpoint{Size: 6, Root: roots[1], At: time.Now().Add(-time.Hour)}, ErrContradiction, 0, key},
		"of another instance": {notary.Checkpoint{Size: 5, Root: roots[5]}, ErrForeignCheckpoint, 0, foreign},
		"forged":              {notary.Checkpoint{Size: 5, Root: roots[5]}, ErrForeignCheckpoint, 0, forged},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := test.key.Sign(test.c)
			if err != nil {
				t.Fatal(err)
			}
			got, err := importTest(t, storetest.SQLite(t), data, ImportOptions{Restore: true, Checkpoint: &c})
			if !errors.Is(err, test.want) || got.NextIncident != test.next {
				t.Errorf("got next incident %d, %v; want %d, %v", got.NextIncident, err, test.next, test.want)
			}
		})
	}
}

// TestImport_Keyset uses the keyset of another instance, and keysets from before and after the keys were pruned.
func TestImport_Keyset(t *testing.T) {
	dir := t.TempDir()
	load := func(name string) *Keyset {
		t.Helper()
		k, err := LoadKeyset(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	if err := errors.Join(CreateKeyset(filepath.Join(dir, "current")), CreateKeyset(filepath.Join(dir, "other"))); err != nil {
		t.Fatal(err)
	}
	current := load("current")
	s := openTest(t, storetest.SQLite(t), func(c *testConfig) { c.Keyset = current })
	fillTables(t, s)
	data, m := s.mustExport(t)
	if err := copyFile(filepath.Join(dir, "current"), filepath.Join(dir, "copy")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(current.Rotate(), current.Save()); err != nil {
		t.Fatal(err)
	}
	if err := copyFile(filepath.Join(dir, "current"), filepath.Join(dir, "rotated")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(current.Prune(), current.Save()); err != nil {
		t.Fatal(err)
	}
	if len(m.Keys.Seal) != 1 || len(m.Keys.MAC) != 1 {
		t.Fatalf("got keys %+v, want one of each", m.Keys)
	}
	for name, want := range map[string]string{"other": "the keyset belongs to", "current": "needs the key " + m.Keys.Seal[0], "copy": "", "rotated": ""} {
		t.Run(name, func(t *testing.T) {
			url := storetest.SQLite(t)
			_, err := Import(t.Context(), Config{URL: url}, Deps{Keyset: load(name), Logger: slog.New(slog.DiscardHandler)}, bytes.NewReader(data), ImportOptions{})
			switch {
			case want == "" && err != nil:
				t.Errorf("got %v", err)
			case want != "" && (!errors.Is(err, ErrKeyset) || !strings.Contains(err.Error(), want)):
				t.Errorf("got %v, want %q", err, want)
			}
			_, missing := os.Stat(strings.TrimPrefix(url, "sqlite:"))
			if name == "other" && !errors.Is(missing, os.ErrNotExist) {
				t.Error("the database was created before the keyset was checked")
			}
		})
	}
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o600)
}

// TestImport_DamageLeavesNothing cuts and changes a stream at many places.
func TestImport_DamageLeavesNothing(t *testing.T) {
	data := filledStream(t)
	storetest.Databases(t, func(t *testing.T, url string) {
		const places = 12
		for n := range places {
			at := len(data) * n / places
			changed := bytes.Clone(data)
			changed[at] ^= 0x10
			for name, bad := range map[string][]byte{"cut": data[:at], "changed": changed} {
				_, err := importTest(t, url, bad, ImportOptions{})
				version := new(stream.VersionError)
				if err == nil || !errors.Is(err, stream.ErrDamaged) && !errors.As(err, &version) {
					t.Fatalf("%s at %d of %d: got %v, want %v", name, at, len(data), err, stream.ErrDamaged)
				}
			}
		}
		mustBeEmpty(t, url, data)
	})
}

// TestImport_OtherMAC changes the MAC at the end, which only the keyset can check.
func TestImport_OtherMAC(t *testing.T) {
	var b bytes.Buffer
	keys, err := testKeys()
	if err != nil {
		t.Fatal(err)
	}
	r, err := stream.NewReader(bytes.NewReader(filledStream(t)))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w, err := stream.NewWriter(&b, r.Header())
	if err != nil {
		t.Fatal(err)
	}
	for r.NextTable() {
		if err := w.Table(r.Table().Name, r.Table().Columns); err != nil {
			t.Fatal(err)
		}
		for r.NextRow() {
			if err := w.Row(r.Row()); err != nil {
				t.Fatal(err)
			}
		}
	}
	m, err := r.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(m, nil, func(sum []byte) []byte { return keys.streamMAC(sum)[1:] }); err != nil {
		t.Fatal(err)
	}
	url := storetest.SQLite(t)
	if _, err := importTest(t, url, b.Bytes(), ImportOptions{}); !errors.Is(err, stream.ErrDamaged) || !strings.Contains(err.Error(), "MAC") {
		t.Errorf("got %v, want %v", err, stream.ErrDamaged)
	}
}

// TestImport_OtherSchema writes streams whose tables and columns are not those of their version.
func TestImport_OtherSchema(t *testing.T) {
	keys, err := testKeys()
	if err != nil {
		t.Fatal(err)
	}
	var tables map[string][]stream.Column
	s := openTest(t, storetest.SQLite(t))
	if err := s.view(t.Context(), func(db *gorm.DB) (err error) {
		tables, err = streamTables(db, s.backend.engine().columns)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	write := func(version int64, change func(name string, columns []stream.Column) (string, []stream.Column)) []byte {
		var b bytes.Buffer
		w, err := stream.NewWriter(&b, stream.Header{Schema: version, Origin: keys.origin(), Engine: "sqlite", At: noon})
		if err != nil {
			t.Fatal(err)
		}
		for _, table := range exportedTables {
			name, columns := change(table.name, tables[table.name])
			if name == "" {
				continue
			}
			if err := w.Table(name, columns); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.Close(Manifest{}, nil, keys.streamMAC); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	links := func(name string, columns []stream.Column) func(string, []stream.Column) (string, []stream.Column) {
		return func(table string, known []stream.Column) (string, []stream.Column) {
			if table == "links" {
				return name, columns
			}
			return table, known
		}
	}
	same := func(table string, known []stream.Column) (string, []stream.Column) { return table, known }
	id, name, value := stream.Column{Name: "incident_id", Type: stream.Int}, stream.Column{Name: "name", Type: stream.Text}, stream.Column{Name: "value_hash", Type: stream.Text}
	for what, test := range map[string]struct {
		data []byte
		want string
	}{
		"newer schema":   {write(SchemaVersion()+1, same), "schema version"},
		"older schema":   {write(firstStreamSchema-1, same), "schema version"},
		"missing table":  {write(SchemaVersion(), links("", nil)), "the table links"},
		"unknown table":  {write(SchemaVersion(), links("lynx", nil)), "table \"lynx\""},
		"unknown column": {write(SchemaVersion(), links("links", []stream.Column{id, name, {Name: "new", Type: stream.Int}, value})), "column links.new"},
		"missing column": {write(SchemaVersion(), links("links", []stream.Column{id, value})), "column links.name"},
		"other type":     {write(SchemaVersion(), links("links", []stream.Column{id, {Name: "name", Type: stream.Int}, value})), "column links.name"},
		"unknown type":   {write(SchemaVersion(), links("links", []stream.Column{id, {Name: "name", Type: "float"}, value})), "column links.name"},
		"column twice":   {write(SchemaVersion(), links("links", []stream.Column{id, name, name, value})), "twice"},
	} {
		_, err := importTest(t, storetest.SQLite(t), test.data, ImportOptions{})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", what, err, test.want)
		}
	}
}

// TestImport_EndsWithContext interrupts an import in the middle.
func TestImport_EndsWithContext(t *testing.T) {
	data := filledStream(t)
	storetest.Databases(t, func(t *testing.T, url string) {
		ctx, cancel := context.WithCancel(t.Context())
		keys, err := testKeys()
		if err != nil {
			t.Fatal(err)
		}
		half := io.MultiReader(bytes.NewReader(data[:len(data)/2]), readerFunc(func([]byte) (int, error) { cancel(); return 0, context.Canceled }))
		_, err = Import(ctx, Config{URL: url}, Deps{Keyset: keys, Logger: slog.New(slog.DiscardHandler)}, half, ImportOptions{})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
		mustBeEmpty(t, url, data)
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// failingWriter fails after a number of bytes, like a full disk.
type failingWriter struct{ left int }

var errDiskFull = errors.New("no space left on device")

func (w *failingWriter) Write(b []byte) (int, error) {
	if w.left -= len(b); w.left < 0 {
		return 0, errDiskFull
	}
	return len(b), nil
}

// TestExport_DiskFull fails at several places. The store still works, and no snapshot stays open.
func TestExport_DiskFull(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		fillTables(t, s)
		data, _ := s.mustExport(t)
		for n := range 10 {
			if _, err := s.Export(t.Context(), &failingWriter{len(data) * n / 10}); !errors.Is(err, errDiskFull) {
				t.Errorf("got %v, want %v", err, errDiskFull)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := s.Export(ctx, io.Discard); err != nil {
			t.Error(err)
		}
	})
}
