package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// keysetFile is the format of the file. It holds three Tink keysets in JSON.
type keysetFile struct {
	Version     int             `json:"version"`
	Seal        json.RawMessage `json:"seal"`
	MAC         json.RawMessage `json:"mac"`
	Fingerprint json.RawMessage `json:"fingerprint"`
}

// CreateKeyset writes a new keyset to path, readable only by its owner. It returns an error if path exists.
func CreateKeyset(path string) error {
	k, err := Ephemeral()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("create keyset: %w", err)
	}
	data, err := k.encode()
	if err == nil {
		_, err = f.Write(data)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// LoadKeyset reads the keyset in path. It returns an error if users other than the owner can read or write the file.
func LoadKeyset(path string) (*Keyset, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("keyset %s does not exist. If the database is new, run `tocsin keys create %s`. Otherwise restore your copy of the keyset, because no other opens the database: %w", path, path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open keyset: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("inspect keyset: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("keyset %s is accessible to other users (mode %#o). Run chmod 600 %s", path, mode, path)
	}
	var file keysetFile
	decoder := json.NewDecoder(f)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&file); err != nil {
		return nil, fmt.Errorf("the file %s is not a keyset. Name the file that `tocsin keys create` wrote, or a copy of it: %w", path, err)
	}
	if file.Version != 1 {
		return nil, fmt.Errorf("read keyset %s: unknown version %d", path, file.Version)
	}
	var handles [3]*keyset.Handle
	for i, part := range []json.RawMessage{file.Seal, file.MAC, file.Fingerprint} {
		if handles[i], err = insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(part))); err != nil {
			return nil, fmt.Errorf("read keyset %s: %w", path, err)
		}
	}
	return newKeyset(path, handles[0], handles[1], handles[2])
}

// Save atomically replaces the file that the keyset was loaded from. It returns an error for an ephemeral keyset.
func (k *Keyset) Save() error {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.path == "" {
		return errors.New("save keyset: an ephemeral keyset has no file")
	}
	data, err := k.encode()
	if err != nil {
		return err
	}
	dir := filepath.Dir(k.path)
	f, err := os.CreateTemp(dir, ".keyset-*") // CreateTemp opens with mode 0600
	if err != nil {
		return fmt.Errorf("save keyset: %w", err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), k.path)
	}
	if err != nil {
		return fmt.Errorf("save keyset: %w", errors.Join(err, ignoreMissing(os.Remove(f.Name()))))
	}
	return syncDir(dir)
}

// changeAndSave applies change and saves the keyset. If either fails, it restores the previous keys, because a key that
// is not in a file must not seal anything. The caller must prevent sealing until it returns.
func (k *Keyset) changeAndSave(change func() error) error {
	k.mu.RLock()
	seals, macs := k.sealKeys, k.macKeys
	k.mu.RUnlock()
	err := change()
	if err == nil {
		err = k.Save()
	}
	if err != nil {
		k.mu.Lock()
		k.sealKeys, k.macKeys = seals, macs
		k.mu.Unlock()
	}
	return err
}

func (k *Keyset) encode() ([]byte, error) {
	file := keysetFile{Version: 1}
	for _, part := range []struct {
		handle *keyset.Handle
		into   *json.RawMessage
	}{{k.sealKeys.handle, &file.Seal}, {k.macKeys.handle, &file.MAC}, {k.fingerprint, &file.Fingerprint}} {
		var buf bytes.Buffer
		if err := insecurecleartextkeyset.Write(part.handle, keyset.NewJSONWriter(&buf)); err != nil {
			return nil, fmt.Errorf("encode keyset: %w", err)
		}
		*part.into = buf.Bytes()
	}
	data, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode keyset: %w", err)
	}
	return append(data, '\n'), nil
}
