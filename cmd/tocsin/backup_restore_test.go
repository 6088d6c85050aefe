package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"tocsin/bot/incident"
	"tocsin/bot/response"
	"tocsin/store"
	"tocsin/store/storetest"
)

// restoreTest is an instance with a backup. After the backup it opened an incident and erased a text.
type restoreTest struct {
	dir, keyset, identity, backup, checkpoint string
	store                                     *store.Store
}

const erasedTitle = "Alice Example leaked a key"

func newRestoreTest(t *testing.T) *restoreTest {
	t.Helper()
	r := &restoreTest{dir: t.TempDir()}
	r.keyset, r.identity = filepath.Join(r.dir, "keyset"), filepath.Join(r.dir, "identity.txt")
	if err := store.CreateKeyset(r.keyset); err != nil {
		t.Fatal(err)
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	r.write(t, r.identity, []byte(id.String()+"\n"))
	r.store = r.open(t, storetest.SQLite(t))
	first := storetest.OpenIncident(t, r.store, erasedTitle)
	storetest.OpenIncident(t, r.store, "another one")
	older, err := r.store.RecordChanges(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, id.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	_, exportErr := r.store.Export(t.Context(), w)
	if err := errors.Join(exportErr, w.Close()); err != nil {
		t.Fatal(err)
	}
	r.backup = r.write(t, filepath.Join(r.dir, "backup.tocsin.age"), out.Bytes())
	storetest.OpenIncident(t, r.store, "lost with the machine")
	erase(t, r.store, first, incident.TextRef{Seq: 1, Name: "title"})
	c, err := r.store.RecordChanges(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	mail := "From: tocsin@example.com\nContent-Transfer-Encoding: base64\n\n" + base64.StdEncoding.EncodeToString([]byte("The last two:\n\n"+older.Note+"\n"+c.Note))
	r.checkpoint = r.write(t, filepath.Join(r.dir, "saved.eml"), []byte(mail))
	return r
}

func (r *restoreTest) write(t *testing.T, path string, content []byte) string {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (r *restoreTest) open(t *testing.T, url string) *store.Store {
	t.Helper()
	keys, err := store.LoadKeyset(r.keyset)
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), store.Config{URL: url}, store.Deps{Keyset: keys})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// erase records the erasure of texts of an incident, as legal and security do.
func erase(t *testing.T, s *store.Store, inc incident.Incident, refs ...incident.TextRef) {
	t.Helper()
	e := storetest.NewEvent(incident.EventErased, map[string]string{"refs": `[{"seq":1,"name":"title"}]`})
	storetest.MustTx(t, s, func(tx response.Tx) error {
		sealed, _ := incident.Seal(inc.Head, e, func() []byte { return []byte(rand.Text() + rand.Text())[:32] })
		return tx.Save(incident.Apply(inc, sealed), []incident.Event{sealed}, refs...)
	})
}

// restore runs tocsin backup restore.
func (r *restoreTest) restore(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := rootCommand()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(io.Discard)
	cmd.SetArgs(append([]string{"backup", "restore", "-c", filepath.Join(r.dir, "none.yaml")}, args...))
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

// TestBackupRestore restores a backup into each database. The gap, the incident numbers and the erasures follow the
// published checkpoint, and the history verifies.
func TestBackupRestore(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		r := newRestoreTest(t)
		args := []string{r.backup, "--into", url, "--identity", r.identity, "--keyset", r.keyset, "--checkpoint", r.checkpoint}
		out, err := r.restore(t, args...)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"2 incidents with 2 events", "entries of the notary's log that the backup does not have, and INC-3.", "The next incident is INC-104",
			"erased them after the backup: INC-1 (1 texts)", "tocsin backup release"} {
			if !strings.Contains(out, want) {
				t.Errorf("got %q, want %q in it", out, want)
			}
		}
		if out, err := r.restore(t, args...); err == nil || !strings.Contains(err.Error(), "nothing was restored") || !strings.Contains(err.Error(), "has rows already") {
			t.Errorf("second restore: got %q, %v", out, err)
		}
		s := r.open(t, url)
		if v, err := s.Verify(t.Context()); err != nil || len(v.Problems) > 0 {
			t.Errorf("got problems %+v, %v", v.Problems, err)
		}
		if _, err := s.RecordChanges(t.Context()); err != nil {
			t.Error(err)
		}
		err = s.View(t.Context(), func(tx response.Reader) error {
			events, err := tx.Timeline(1)
			inc, stateErr := tx.Incident(1)
			if len(events) != 2 || events[0].Text("title") != "" || inc.Title != "" || events[1].Kind != incident.EventErasureRepeated {
				t.Errorf("got title %q and events %+v, want the text erased", inc.Title, events)
			}
			paused, restoreErr := tx.PausedRestore()
			if paused.Gap.LostIncident != 3 || paused.Gap.Entries == 0 {
				t.Errorf("got %+v, want a gap up to INC-3", paused)
			}
			return errors.Join(err, stateErr, restoreErr)
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// TestBackupRestore_Refuses gives a restore everything that must not be restored. Each sentence names the fix, and the
// database stays empty: the right restore succeeds afterwards.
func TestBackupRestore_Refuses(t *testing.T) {
	r := newRestoreTest(t)
	good, err := os.ReadFile(r.backup)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(good)
	flipped[len(flipped)/2] ^= 1
	other := newRestoreTest(t)
	file := func(name string, content []byte) string { return r.write(t, filepath.Join(r.dir, name), content) }
	into := "sqlite:" + filepath.Join(r.dir, "restored.db")
	all := map[string]string{"": r.backup, "--into": into, "--identity": r.identity, "--keyset": r.keyset, "--checkpoint": r.checkpoint}
	run := func(change map[string]string) (string, error) {
		var args []string
		for _, flag := range []string{"", "--into", "--identity", "--keyset", "--checkpoint"} {
			value, changed := change[flag]
			if !changed {
				value = all[flag]
			}
			switch {
			case flag == "":
				args = append(args, value)
			case value != "":
				args = append(args, flag, value)
			}
		}
		return r.restore(t, args...)
	}
	for name, c := range map[string]struct {
		change map[string]string
		want   string
	}{
		"truncated":          {map[string]string{"": file("short.age", good[:len(good)/2])}, "nother copy"},
		"one byte short":     {map[string]string{"": file("byte.age", good[:len(good)-1])}, "nother copy"},
		"altered":            {map[string]string{"": file("flipped.age", flipped)}, "nother copy"},
		"no backup":          {map[string]string{"": filepath.Join(r.dir, "missing.age")}, "missing.age"},
		"other identity":     {map[string]string{"--identity": other.identity}, "identity"},
		"no identity":        {map[string]string{"--identity": ""}, "Name the file of the age identity"},
		"other keyset":       {map[string]string{"--keyset": other.keyset, "--checkpoint": other.checkpoint}, "Use a copy of the keyset of that instance"},
		"only keyset":        {map[string]string{"--keyset": other.keyset}, "check that the keyset is a copy"},
		"keyset missing":     {map[string]string{"--keyset": filepath.Join(r.dir, "none.json")}, "Name a copy of the keyset of the lost machine"},
		"identity as keyset": {map[string]string{"--keyset": r.identity}, "is not a keyset"},
		"no keyset":          {map[string]string{"--keyset": ""}, "tocsin"},
		"other checkpoint":   {map[string]string{"--checkpoint": other.checkpoint}, "not signed by this instance"},
		"no checkpoint":      {map[string]string{"--checkpoint": ""}, "--no-checkpoint"},
		"database in use":    {map[string]string{"--into": storetest.SQLite(t)}, ""},
		"no database":        {map[string]string{"--into": "restored.db"}, "--into sqlite:FILE"},
		"checkpoint missing": {map[string]string{"--checkpoint": filepath.Join(r.dir, "none.txt")}, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.want == "" { // a bot runs with the database
				s := r.open(t, c.change["--into"])
				storetest.OpenIncident(t, s, "x")
				c.want = "in use"
			}
			out, err := run(c.change)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "nothing was restored") || out != "" {
				t.Errorf("got %q, %v, want %q", out, err, c.want)
			} else {
				t.Log(err)
			}
		})
	}
	if out, err := run(nil); err != nil {
		t.Errorf("got %q, %v after the refusals, want a restore", out, err)
	}
}

// TestBackupRestore_Contradiction compares a backup with a checkpoint of another history of the instance.
func TestBackupRestore_Contradiction(t *testing.T) {
	r := newRestoreTest(t)
	s := r.open(t, storetest.SQLite(t)) // with the same keyset
	for range 2 {
		storetest.OpenIncident(t, s, "another history")
	}
	c, err := s.RecordChanges(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	note := r.write(t, filepath.Join(r.dir, "other.txt"), []byte(c.Note))
	into := "sqlite:" + filepath.Join(r.dir, "restored.db")
	out, err := r.restore(t, r.backup, "--into", into, "--identity", r.identity, "--keyset", r.keyset, "--checkpoint", note)
	if !errors.Is(err, store.ErrContradiction) {
		t.Errorf("got %q, %v, want a contradiction", out, err)
	}
}

// TestBackupRestore_Interrupted interrupts a restore at many points. The database stays empty, and the next restore
// succeeds.
func TestBackupRestore_Interrupted(t *testing.T) {
	r := newRestoreTest(t)
	into := "sqlite:" + filepath.Join(r.dir, "restored.db")
	args := []string{r.backup, "--into", into, "--identity", r.identity, "--keyset", r.keyset, "--no-checkpoint"}
	restored := false
	for wait := time.Duration(0); !restored; wait = wait*3/2 + 200*time.Microsecond {
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		cmd := rootCommand()
		cmd.SetOut(io.Discard)
		cmd.SetErr(io.Discard)
		cmd.SetArgs(append([]string{"backup", "restore", "-c", filepath.Join(r.dir, "none.yaml")}, args...))
		err := cmd.ExecuteContext(ctx)
		restored = err == nil
		if err != nil && ctx.Err() == nil {
			t.Fatalf("got %v after an interrupted restore, want an empty database", err)
		}
		cancel()
	}
	if n := r.open(t, into).Restores(); len(n) != 1 {
		t.Errorf("got restores %+v, want one", n)
	}
}
