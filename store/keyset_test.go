package store

import (
	"bytes"
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

func TestKeysetFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyset")
	if err := CreateKeyset(path); err != nil {
		t.Fatal(err)
	}
	if mode := statMode(t, path); mode != 0o600 {
		t.Errorf("mode %#o", mode)
	}
	if err := CreateKeyset(path); err == nil {
		t.Error("an existing keyset was overwritten")
	}
	k, err := LoadKeyset(path)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := k.Seal([]byte("text"), []byte("here"))
	if err != nil {
		t.Fatal(err)
	}
	mark, sum := k.Fingerprint([]byte("x")), k.MAC([]byte("head"))
	if err := k.Rotate(); err != nil {
		t.Fatal(err)
	}
	if err := k.Save(); err != nil {
		t.Fatal(err)
	}
	if mode := statMode(t, path); mode != 0o600 {
		t.Errorf("mode after a rotation %#o", mode)
	}
	again, err := LoadKeyset(path)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := again.Open(sealed, []byte("here")); err != nil || string(plain) != "text" {
		t.Errorf("after a rotation: %q, %v", plain, err)
	}
	if err := again.VerifyMAC([]byte("head"), sum); err != nil {
		t.Error(err)
	}
	if again.Fingerprint([]byte("x")) != mark {
		t.Error("a rotation changed the fingerprints")
	}
	if again.Keys() != 2 || again.SealedWithPrimary(sealed) || again.SignedWithPrimary(sum) {
		t.Error("the old key still counts as the present one")
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("left beside the keyset: %v, %v", entries, err)
	}
}

func TestKeysetOpenToOthersIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyset")
	if err := CreateKeyset(path); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o602, 0o644} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadKeyset(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %#o: %v", mode, err)
		}
	}
}

func TestDamagedKeysetIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyset")
	for _, content := range []string{"", "{}", `{"version":2}`, `{"version":1,"seal":{},"mac":{},"fingerprint":{}}`, `{"version":1,"other":{}}`} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadKeyset(path); err == nil {
			t.Errorf("%q was accepted", content)
		}
	}
	if _, err := LoadKeyset(path + "-missing"); err == nil {
		t.Error("a missing keyset was accepted")
	}
}

func TestSealedTextIsBoundToItsPlace(t *testing.T) {
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
			t.Fatalf("opened as %q, %v", plain, err)
		}
		if _, err := k.Open(sealed, associatedData(there[0], there[1], there[2])); (err == nil) != (here == there) {
			t.Fatalf("sealed at %q, opened at %q: %v", here, there, err)
		}
		tampered := slices.Clone(sealed)
		tampered[rapid.IntRange(0, len(sealed)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if _, err := k.Open(tampered, associatedData(here[0], here[1], here[2])); err == nil {
			t.Fatal("a changed ciphertext was opened")
		}
	})
}

func TestMACCoversDataAndKey(t *testing.T) {
	k, other := mustEphemeral(t), mustEphemeral(t)
	sum := k.MAC([]byte("head"))
	if err := k.VerifyMAC([]byte("head"), sum); err != nil {
		t.Error(err)
	}
	if k.VerifyMAC([]byte("heaD"), sum) == nil || other.VerifyMAC([]byte("head"), sum) == nil {
		t.Error("a wrong MAC was accepted")
	}
	if k.Fingerprint([]byte("a")) == other.Fingerprint([]byte("a")) || k.Fingerprint([]byte("a")) == k.Fingerprint([]byte("b")) {
		t.Error("fingerprints meet")
	}
}

func TestPruneForgetsOldKeys(t *testing.T) {
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
		t.Error("a removed key still opens")
	}
	if k.VerifyMAC([]byte("head"), oldSum) == nil {
		t.Error("a removed key still verifies")
	}
	if _, err := k.Open(fresh, nil); err != nil || !k.SealedWithPrimary(fresh) || k.Keys() != 1 {
		t.Errorf("the primary key: %v", err)
	}
}

func TestKeysetPrintsNothing(t *testing.T) {
	k := mustEphemeral(t)
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if out := fmt.Sprintf(format, k); out != "keyset(hidden)" {
			t.Errorf("%s prints %q", format, out)
		}
	}
	if k.Save() == nil {
		t.Error("an ephemeral keyset was saved")
	}
}
