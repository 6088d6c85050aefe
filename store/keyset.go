package store

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/mac"
	"github.com/tink-crypto/tink-go/v2/prf"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// A Keyset holds the keys that never enter the database:
//
//   - one AES-256-GCM keyset that seals what people wrote and senders sent,
//   - one HMAC keyset that signs the heads of the timelines,
//   - one key for fingerprints, which must stay the same for as long as rows are compared by them.
//
// Rotate gives the first two a new primary key and keeps the older ones for reading; the fingerprint key is not
// rotated, because a new one would make every known fingerprint a stranger. A Keyset is safe for concurrent use.
type Keyset struct {
	path string // "" for an ephemeral keyset

	mu          sync.RWMutex
	seals       ring[tink.AEAD]
	macs        ring[tink.MAC]
	fingerprint *keyset.Handle
	prf         *prf.Set
}

// ring is one rotating keyset and the primitive over all of its keys.
type ring[P any] struct {
	handle    *keyset.Handle
	primitive P
}

// prefixSize is the length of Tink's output prefix: a version byte and the id of the key.
const prefixSize = 5

// keysetFile is the format of the file: three Tink keysets in JSON.
type keysetFile struct {
	Version     int             `json:"version"`
	Seal        json.RawMessage `json:"seal"`
	MAC         json.RawMessage `json:"mac"`
	Fingerprint json.RawMessage `json:"fingerprint"`
}

// Ephemeral returns a fresh keyset that exists in this process only: for demonstrations and tests.
func Ephemeral() (*Keyset, error) {
	seal, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("create the encryption key: %w", err)
	}
	sign, err := keyset.NewHandle(mac.HMACSHA256Tag256KeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("create the chain key: %w", err)
	}
	fingerprint, err := keyset.NewHandle(prf.HMACSHA256PRFKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("create the fingerprint key: %w", err)
	}
	return newKeyset("", seal, sign, fingerprint)
}

// CreateKeyset writes a fresh keyset to path, readable by its owner only. It refuses a path that exists.
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

// LoadKeyset reads the keyset in path. It refuses a file that anyone but its owner can read or write.
func LoadKeyset(path string) (*Keyset, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open keyset: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("inspect keyset: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("keyset %s is open to others (mode %#o): run chmod 600 %s", path, mode, path)
	}
	var file keysetFile
	decoder := json.NewDecoder(f)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&file); err != nil {
		return nil, fmt.Errorf("read keyset %s: %w", path, err)
	}
	if file.Version != 1 {
		return nil, fmt.Errorf("read keyset %s: version %d is unknown", path, file.Version)
	}
	var handles [3]*keyset.Handle
	for i, part := range []json.RawMessage{file.Seal, file.MAC, file.Fingerprint} {
		if handles[i], err = insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(part))); err != nil {
			return nil, fmt.Errorf("read keyset %s: %w", path, err)
		}
	}
	return newKeyset(path, handles[0], handles[1], handles[2])
}

func newKeyset(path string, seal, sign, fingerprint *keyset.Handle) (*Keyset, error) {
	k := &Keyset{path: path, fingerprint: fingerprint}
	var err error
	if k.prf, err = prf.NewPRFSet(fingerprint); err != nil {
		return nil, fmt.Errorf("use the fingerprint key: %w", err)
	}
	return k, k.setKeys(seal, sign)
}

// setKeys replaces the rotating keysets; the caller holds the lock or is the only owner.
func (k *Keyset) setKeys(seal, sign *keyset.Handle) error {
	sealer, err := aead.New(seal)
	if err != nil {
		return fmt.Errorf("use the encryption keys: %w", err)
	}
	signer, err := mac.New(sign)
	if err != nil {
		return fmt.Errorf("use the chain keys: %w", err)
	}
	k.seals, k.macs = ring[tink.AEAD]{seal, sealer}, ring[tink.MAC]{sign, signer}
	return nil
}

// Seal encrypts plaintext; aad names the place it is kept in and must be the same at Open.
func (k *Keyset) Seal(plaintext, aad []byte) ([]byte, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	sealed, err := k.seals.primitive.Encrypt(plaintext, aad)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return sealed, nil
}

// Open decrypts what Seal made, with any key of the keyset. It refuses a changed ciphertext and one from another place.
func (k *Keyset) Open(ciphertext, aad []byte) ([]byte, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	plaintext, err := k.seals.primitive.Decrypt(ciphertext, aad)
	if err != nil {
		return nil, fmt.Errorf("open sealed text: %w", err)
	}
	return plaintext, nil
}

// MAC signs data with the primary key. The result begins with the key's id.
func (k *Keyset) MAC(data []byte) []byte {
	k.mu.RLock()
	defer k.mu.RUnlock()
	sum, err := k.macs.primitive.ComputeMAC(data)
	if err != nil {
		panic(fmt.Sprintf("store: HMAC over %d bytes: %v", len(data), err)) // HMAC-SHA-256 has no input it refuses
	}
	return sum
}

// VerifyMAC checks a MAC made by any key of the keyset.
func (k *Keyset) VerifyMAC(data, sum []byte) error {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if err := k.macs.primitive.VerifyMAC(sum, data); err != nil {
		return fmt.Errorf("verify MAC: %w", err)
	}
	return nil
}

// Fingerprint is a keyed hash by which equal data are recognized without being kept. Rotate does not change it.
func (k *Keyset) Fingerprint(data []byte) string {
	sum, err := k.prf.ComputePrimaryPRF(data, 32)
	if err != nil {
		panic(fmt.Sprintf("store: fingerprint of %d bytes: %v", len(data), err)) // 32 bytes are within the PRF's reach
	}
	return hex.EncodeToString(sum)
}

// Rotate gives the encryption and chain keysets a new primary key each and keeps the older keys for reading. Save
// the keyset before anything is sealed with the new key.
func (k *Keyset) Rotate() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	seal, err := rotated(k.seals.handle, func(m *keyset.Manager) (uint32, error) { return m.Add(aead.AES256GCMKeyTemplate()) })
	if err != nil {
		return fmt.Errorf("rotate the encryption keys: %w", err)
	}
	sign, err := rotated(k.macs.handle, func(m *keyset.Manager) (uint32, error) { return m.Add(mac.HMACSHA256Tag256KeyTemplate()) })
	if err != nil {
		return fmt.Errorf("rotate the chain keys: %w", err)
	}
	return k.setKeys(seal, sign)
}

func rotated(handle *keyset.Handle, add func(*keyset.Manager) (uint32, error)) (*keyset.Handle, error) {
	m := keyset.NewManagerFromHandle(handle)
	id, err := add(m)
	if err != nil {
		return nil, err
	}
	if err := m.SetPrimary(id); err != nil {
		return nil, err
	}
	return m.Handle()
}

// Prune removes every key but the primary ones. What is still sealed or signed by a removed key cannot be read or
// verified again, so every row is sealed anew first.
func (k *Keyset) Prune() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	seal, err := pruned(k.seals.handle)
	if err != nil {
		return fmt.Errorf("prune the encryption keys: %w", err)
	}
	sign, err := pruned(k.macs.handle)
	if err != nil {
		return fmt.Errorf("prune the chain keys: %w", err)
	}
	return k.setKeys(seal, sign)
}

func pruned(handle *keyset.Handle) (*keyset.Handle, error) {
	info := handle.KeysetInfo()
	m := keyset.NewManagerFromHandle(handle)
	for _, key := range info.GetKeyInfo() {
		if key.GetKeyId() == info.GetPrimaryKeyId() {
			continue
		}
		if err := m.Delete(key.GetKeyId()); err != nil {
			return nil, err
		}
	}
	return m.Handle()
}

// Keys is the number of encryption keys: 1 unless a rotation has not been pruned yet.
func (k *Keyset) Keys() int {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.seals.handle.Len()
}

// SealedWithPrimary says whether ciphertext was sealed with the present primary key.
func (k *Keyset) SealedWithPrimary(ciphertext []byte) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return hasKeyPrefix(ciphertext, k.seals.handle)
}

// SignedWithPrimary says whether sum was made with the present primary key.
func (k *Keyset) SignedWithPrimary(sum []byte) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return hasKeyPrefix(sum, k.macs.handle)
}

func hasKeyPrefix(output []byte, handle *keyset.Handle) bool {
	return len(output) > prefixSize && binary.BigEndian.Uint32(output[1:prefixSize]) == handle.KeysetInfo().GetPrimaryKeyId()
}

// Save replaces the file the keyset was loaded from, in one step. An ephemeral keyset has no file to save to.
func (k *Keyset) Save() error {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.path == "" {
		return errors.New("save keyset: it has no file")
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

// changeAndSave makes a change and saves it. What cannot be saved is not changed: nothing may be sealed with a key that is in no
// file. The caller sees to it that nothing is sealed meanwhile.
func (k *Keyset) changeAndSave(change func() error) error {
	k.mu.RLock()
	seals, macs := k.seals, k.macs
	k.mu.RUnlock()
	err := change()
	if err == nil {
		err = k.Save()
	}
	if err != nil {
		k.mu.Lock()
		k.seals, k.macs = seals, macs
		k.mu.Unlock()
	}
	return err
}

func (k *Keyset) encode() ([]byte, error) {
	file := keysetFile{Version: 1}
	for _, part := range []struct {
		handle *keyset.Handle
		into   *json.RawMessage
	}{{k.seals.handle, &file.Seal}, {k.macs.handle, &file.MAC}, {k.fingerprint, &file.Fingerprint}} {
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

// String keeps a keyset that is printed by mistake from saying anything.
func (k *Keyset) String() string { return "keyset(hidden)" }

// GoString does the same for %#v.
func (k *Keyset) GoString() string { return k.String() }

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// syncDir makes a rename in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// associatedData is the associated data that binds a ciphertext to where it is kept: table, row and column, each length-prefixed
// so that no two places read alike.
func associatedData(table, row, column string) []byte {
	var b []byte
	for _, part := range []string{table, row, column} {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	return b
}
