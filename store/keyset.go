package store

import (
	"crypto/ed25519"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/mac"
	"github.com/tink-crypto/tink-go/v2/prf"
	"github.com/tink-crypto/tink-go/v2/tink"

	"tocsin/bot/notary"
)

// A Keyset holds the keys that are never stored in the database:
//
//   - an AES-256-GCM keyset that encrypts text written by people and deliveries from sources,
//   - an HMAC keyset that signs the heads of the timelines,
//   - a key for fingerprints, which must not change while rows are compared by fingerprint.
//
// [Keyset.Rotate] adds a new primary key to the first two and retains the older keys for reading. It does not rotate
// the fingerprint key, because stored fingerprints would no longer match. A Keyset is safe for concurrent use.
type Keyset struct {
	path string // empty for an ephemeral keyset

	mu          sync.RWMutex
	sealKeys    keyring[tink.AEAD]
	macKeys     keyring[tink.MAC]
	fingerprint *keyset.Handle
	prf         *prf.Set
}

// keyring is one rotating keyset and the primitive that uses all its keys.
type keyring[P any] struct {
	handle    *keyset.Handle
	primitive P
}

// prefixSize is the length of Tink's output prefix, which is a version byte and the id of the key.
const prefixSize = 5

// Ephemeral returns a new keyset that exists only in this process, for demonstrations and tests.
func Ephemeral() (*Keyset, error) {
	seal, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("create encryption key: %w", err)
	}
	sign, err := keyset.NewHandle(mac.HMACSHA256Tag256KeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("create chain key: %w", err)
	}
	fingerprint, err := keyset.NewHandle(prf.HMACSHA256PRFKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("create fingerprint key: %w", err)
	}
	return newKeyset("", seal, sign, fingerprint)
}

func newKeyset(path string, seal, sign, fingerprint *keyset.Handle) (*Keyset, error) {
	k := &Keyset{path: path, fingerprint: fingerprint}
	var err error
	if k.prf, err = prf.NewPRFSet(fingerprint); err != nil {
		return nil, fmt.Errorf("use fingerprint key: %w", err)
	}
	return k, k.setKeys(seal, sign)
}

// setKeys replaces the rotating keysets. The caller holds the lock or is the only owner.
func (k *Keyset) setKeys(seal, sign *keyset.Handle) error {
	sealer, err := aead.New(seal)
	if err != nil {
		return fmt.Errorf("use encryption keys: %w", err)
	}
	signer, err := mac.New(sign)
	if err != nil {
		return fmt.Errorf("use chain keys: %w", err)
	}
	k.sealKeys, k.macKeys = keyring[tink.AEAD]{seal, sealer}, keyring[tink.MAC]{sign, signer}
	return nil
}

// Seal encrypts plaintext with the primary key. The associated data aad names where the ciphertext is stored, and Open
// needs an equal aad.
func (k *Keyset) Seal(plaintext, aad []byte) ([]byte, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	sealed, err := k.sealKeys.primitive.Encrypt(plaintext, aad)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return sealed, nil
}

// Open decrypts a result of [Keyset.Seal] with any key of the keyset. It returns an error if the ciphertext was changed
// or sealed with other associated data.
func (k *Keyset) Open(ciphertext, aad []byte) ([]byte, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	plaintext, err := k.sealKeys.primitive.Decrypt(ciphertext, aad)
	if err != nil {
		return nil, fmt.Errorf("open sealed text: %w", err)
	}
	return plaintext, nil
}

// MAC signs data with the primary key. The result has a prefix with the key's id.
func (k *Keyset) MAC(data []byte) []byte {
	k.mu.RLock()
	defer k.mu.RUnlock()
	sum, err := k.macKeys.primitive.ComputeMAC(data)
	if err != nil {
		panic(fmt.Sprintf("store: HMAC over %d bytes: %v", len(data), err)) // HMAC-SHA-256 accepts every input
	}
	return sum
}

// VerifyMAC checks a MAC of any key of the keyset.
func (k *Keyset) VerifyMAC(data, sum []byte) error {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if err := k.macKeys.primitive.VerifyMAC(sum, data); err != nil {
		return fmt.Errorf("verify MAC: %w", err)
	}
	return nil
}

// Fingerprint returns a keyed hash in hexadecimal, which finds equal data without storing it. Rotate does not change
// it.
func (k *Keyset) Fingerprint(data []byte) string { return hex.EncodeToString(k.derive(data)) }

// derive returns 32 secret bytes for data, from the key of the fingerprints.
func (k *Keyset) derive(data []byte) []byte {
	sum, err := k.prf.ComputePrimaryPRF(data, 32)
	if err != nil {
		panic(fmt.Sprintf("store: fingerprint of %d bytes: %v", len(data), err)) // the PRF supports 32 bytes
	}
	return sum
}

// Notary returns the key that signs checkpoints of the notary. It is made from the fingerprint key, so it needs no copy
// of its own, and Rotate does not change it.
func (k *Keyset) Notary() (notary.Key, error) {
	seed, err := k.prf.ComputePrimaryPRF([]byte("tocsin notary key"), ed25519.SeedSize)
	if err != nil {
		return notary.Key{}, fmt.Errorf("derive notary key: %w", err)
	}
	return notary.NewKey(k.origin(), seed)
}

// origin names the instance in checkpoints and streams of rows.
func (k *Keyset) origin() string { return "tocsin/" + k.Fingerprint([]byte("tocsin keyset"))[:16] }

// streamMAC returns the keyed hash of the SHA-256 of a stream of rows.
func (k *Keyset) streamMAC(sum []byte) []byte {
	return k.derive(append([]byte("tocsin stream "), sum...))
}

// keyIDs returns the ids of the keys for ciphertexts and MACs.
func (k *Keyset) keyIDs() keyIDs {
	k.mu.RLock()
	defer k.mu.RUnlock()
	ids := newKeyIDs()
	for set, handle := range map[*map[uint32]bool]*keyset.Handle{&ids.seal: k.sealKeys.handle, &ids.mac: k.macKeys.handle} {
		for _, info := range handle.KeysetInfo().GetKeyInfo() {
			(*set)[info.GetKeyId()] = true
		}
	}
	return ids
}

// Rotate adds a new primary key to the encryption and chain keysets and retains the older keys for reading. Callers
// must save the keyset before they seal anything with the new key.
func (k *Keyset) Rotate() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	seal, err := rotateHandle(k.sealKeys.handle, func(m *keyset.Manager) (uint32, error) { return m.Add(aead.AES256GCMKeyTemplate()) })
	if err != nil {
		return fmt.Errorf("rotate encryption keys: %w", err)
	}
	sign, err := rotateHandle(k.macKeys.handle, func(m *keyset.Manager) (uint32, error) { return m.Add(mac.HMACSHA256Tag256KeyTemplate()) })
	if err != nil {
		return fmt.Errorf("rotate chain keys: %w", err)
	}
	return k.setKeys(seal, sign)
}

// rotateHandle returns a copy of handle with a new primary key.
func rotateHandle(handle *keyset.Handle, add func(*keyset.Manager) (uint32, error)) (*keyset.Handle, error) {
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

// Prune removes all keys except the primary ones. Data sealed or signed with a removed key can no longer be read or
// verified, so callers must run [Store.Reseal] first.
func (k *Keyset) Prune() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	seal, err := pruneHandle(k.sealKeys.handle)
	if err != nil {
		return fmt.Errorf("prune encryption keys: %w", err)
	}
	sign, err := pruneHandle(k.macKeys.handle)
	if err != nil {
		return fmt.Errorf("prune chain keys: %w", err)
	}
	return k.setKeys(seal, sign)
}

// pruneHandle returns a copy of handle with only the primary key.
func pruneHandle(handle *keyset.Handle) (*keyset.Handle, error) {
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

// Keys returns the number of encryption keys. It is 1, or more after a rotation that has not been pruned.
func (k *Keyset) Keys() int {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.sealKeys.handle.Len()
}

// SealedWithPrimary reports whether ciphertext was sealed with the current primary key.
func (k *Keyset) SealedWithPrimary(ciphertext []byte) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return hasKeyPrefix(ciphertext, k.sealKeys.handle)
}

// SignedWithPrimary reports whether sum was signed with the current primary key.
func (k *Keyset) SignedWithPrimary(sum []byte) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return hasKeyPrefix(sum, k.macKeys.handle)
}

func hasKeyPrefix(output []byte, handle *keyset.Handle) bool {
	return len(output) > prefixSize && binary.BigEndian.Uint32(output[1:prefixSize]) == handle.KeysetInfo().GetPrimaryKeyId()
}

// String hides the keys if a keyset is printed by mistake.
func (k *Keyset) String() string { return "keyset(hidden)" }

// GoString hides the keys for the format %#v.
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

// associatedData returns the associated data that binds a ciphertext to its table, row and column. Each part has a
// length prefix, which makes the result unique.
func associatedData(table, row, column string) []byte {
	var b []byte
	for _, part := range []string{table, row, column} {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	return b
}
