package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func mustEphemeral(t interface{ Fatal(...any) }) *Keyset {
	k, err := Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeyset_FileRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyset")
	if err := CreateKeyset(path); err != nil {
		t.Fatal(err)
	}
	if mode := statMode(t, path); mode != 0o600 {
		t.Errorf("got mode %#o, want 0600", mode)
	}
	if err := CreateKeyset(path); err == nil {
		t.Error("existing file: got no error")
	}
	k, err := LoadKeyset(path)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := k.Seal([]byte("text"), []byte("here"))
	if err != nil {
		t.Fatal(err)
	}
	fingerprint, sum := k.Fingerprint([]byte("x")), k.MAC([]byte("head"))
	if err := k.Rotate(); err != nil {
		t.Fatal(err)
	}
	if err := k.Save(); err != nil {
		t.Fatal(err)
	}
	if mode := statMode(t, path); mode != 0o600 {
		t.Errorf("after Rotate: got mode %#o, want 0600", mode)
	}
	again, err := LoadKeyset(path)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := again.Open(sealed, []byte("here")); err != nil || string(plain) != "text" {
		t.Errorf("after Rotate: got %q, %v, want text", plain, err)
	}
	if err := again.VerifyMAC([]byte("head"), sum); err != nil {
		t.Error(err)
	}
	if again.Fingerprint([]byte("x")) != fingerprint {
		t.Error("Rotate changed the fingerprint")
	}
	if again.Keys() != 2 || again.SealedWithPrimary(sealed) || again.SignedWithPrimary(sum) {
		t.Error("got the old key reported as primary after Rotate")
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("got files %v, %v, want only the keyset", entries, err)
	}
}

func TestLoadKeyset_RejectsOpenPermissions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyset")
	if err := CreateKeyset(path); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o602, 0o644} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadKeyset(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %#o: got %v, want an error with chmod 600", mode, err)
		}
	}
}

func TestLoadKeyset_RejectsDamagedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyset")
	for _, content := range []string{"", "{}", `{"version":2}`, `{"version":1,"seal":{},"mac":{},"fingerprint":{}}`, `{"version":1,"other":{}}`} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadKeyset(path); err == nil {
			t.Errorf("%q: got no error", content)
		}
	}
	if _, err := LoadKeyset(path + "-missing"); err == nil {
		t.Error("missing file: got no error")
	}
}

func TestKeysetOpen_RequiresSameAssociatedData(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := mustEphemeral(t)
		text := rapid.SliceOf(rapid.Byte()).Draw(t, "text")
		part := rapid.StringN(0, 8, -1)
		here := [3]string{part.Draw(t, "table"), part.Draw(t, "row"), part.Draw(t, "column")}
		there := [3]string{part.Draw(t, "table2"), part.Draw(t, "row2"), part.Draw(t, "column2")}
		sealed, err := k.Seal(text, associatedData(here[0], here[1], here[2]))
		if err != nil {
			t.Fatal(err)
		}
		if plain, err := k.Open(sealed, associatedData(here[0], here[1], here[2])); err != nil || !bytes.Equal(plain, text) {
			t.Fatalf("got %q, %v, want %q", plain, err, text)
		}
		if _, err := k.Open(sealed, associatedData(there[0], there[1], there[2])); (err == nil) != (here == there) {
			t.Fatalf("sealed at %q, opened at %q: %v", here, there, err)
		}
		tampered := slices.Clone(sealed)
		tampered[rapid.IntRange(0, len(sealed)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if _, err := k.Open(tampered, associatedData(here[0], here[1], here[2])); err == nil {
			t.Fatal("changed ciphertext: got no error")
		}
	})
}

func TestKeysetMAC_CoversDataAndKey(t *testing.T) {
	k, other := mustEphemeral(t), mustEphemeral(t)
	sum := k.MAC([]byte("head"))
	if err := k.VerifyMAC([]byte("head"), sum); err != nil {
		t.Error(err)
	}
	if k.VerifyMAC([]byte("heaD"), sum) == nil || other.VerifyMAC([]byte("head"), sum) == nil {
		t.Error("wrong MAC: got no error")
	}
	if k.Fingerprint([]byte("a")) == other.Fingerprint([]byte("a")) || k.Fingerprint([]byte("a")) == k.Fingerprint([]byte("b")) {
		t.Error("got equal fingerprints for different keys or data")
	}
}

func TestKeysetPrune_RemovesOldKeys(t *testing.T) {
	k := mustEphemeral(t)
	old, err := k.Seal([]byte("text"), nil)
	if err != nil {
		t.Fatal(err)
	}
	oldSum := k.MAC([]byte("head"))
	if err := k.Rotate(); err != nil {
		t.Fatal(err)
	}
	fresh, err := k.Seal([]byte("text"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Prune(); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Open(old, nil); err == nil {
		t.Error("Open with a removed key: got no error")
	}
	if k.VerifyMAC([]byte("head"), oldSum) == nil {
		t.Error("VerifyMAC with a removed key: got no error")
	}
	if _, err := k.Open(fresh, nil); err != nil || !k.SealedWithPrimary(fresh) || k.Keys() != 1 {
		t.Errorf("primary key after Prune: got %v and %d keys", err, k.Keys())
	}
}

func TestKeyset_PrintsNoKeys(t *testing.T) {
	k := mustEphemeral(t)
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if out := fmt.Sprintf(format, k); out != "keyset(hidden)" {
			t.Errorf("%s: got %q, want keyset(hidden)", format, out)
		}
	}
	if k.Save() == nil {
		t.Error("Save of an ephemeral keyset: got no error")
	}
}

// TestKeyset_Notary checks that the notary key survives a rotation and a reload, and that another keyset has another.
func TestKeyset_Notary(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyset.json")
	if err := CreateKeyset(path); err != nil {
		t.Fatal(err)
	}
	verifier := func(k *Keyset, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		key, err := k.Notary()
		if err != nil {
			t.Fatal(err)
		}
		return key.Verifier().String()
	}
	k, err := LoadKeyset(path)
	first := verifier(k, err)
	if err := errors.Join(k.changeAndSave(k.Rotate), k.changeAndSave(k.Prune)); err != nil {
		t.Fatal(err)
	}
	if got := verifier(LoadKeyset(path)); got != first {
		t.Errorf("after a rotation: got %s, want %s", got, first)
	}
	if got := verifier(Ephemeral()); got == first {
		t.Error("another keyset has an equal notary key")
	}
}
