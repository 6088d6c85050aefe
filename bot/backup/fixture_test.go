package backup_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"filippo.io/age"

	"tocsin/bot/backup"
	"tocsin/bot/sandbox/aws"
)

// useSandboxKeys sets the credentials of the AWS sandbox.
func useSandboxKeys(t *testing.T) {
	t.Helper()
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "AKIASANDBOX", "AWS_SECRET_ACCESS_KEY": "sandbox-secret", "AWS_CA_BUNDLE": "",
		"AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", "AWS_REGION": "", "AWS_DEFAULT_REGION": ""} {
		t.Setenv(name, value)
	}
}

// newAccount returns an AWS account with the bucket "backups". It works in a synctest
// bubble.
func newAccount(t *testing.T, b aws.Bucket) *aws.Account {
	t.Helper()
	a := aws.New(aws.Config{})
	b.Name, b.MinPart = "backups", partSize
	a.AddBucket(b)
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// partSize is the size of the parts of large files in a bucket of [newAccount].
const partSize = 16 << 10

const bucketAddress = "s3://backups/tocsin?region=eu-west-1&endpoint=http://aws.sandbox"

// open returns the destinations of a configuration, which reach the account.
func open(t *testing.T, a *aws.Account, c backup.Config) backup.Destinations {
	t.Helper()
	d := backup.DestinationDeps{Timeout: 10 * time.Second, PartSize: partSize}
	if a != nil {
		d = d.WithClient(a.Client())
	}
	ds, err := c.Destinations(d)
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

// to returns a configuration with destinations.
func to(addresses ...string) backup.Config {
	c := backup.Defaults()
	c.To = addresses
	return c
}

func upload(key, content string) backup.Upload {
	return backup.Upload{Key: key, Content: bytes.NewReader([]byte(content)), Size: int64(len(content)), SHA256: sha256.Sum256([]byte(content)), Until: time.Now().Add(72 * time.Hour)}
}

func read(t *testing.T, d backup.Destination, key string) string {
	t.Helper()
	r, err := d.Get(context.Background(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	raw, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// newIdentity writes a new age identity and returns its file and its recipient.
func newIdentity(t *testing.T) (file, recipient string) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "identity.txt")
	if err := os.WriteFile(file, []byte("# created by age-keygen\n"+id.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, id.Recipient().String()
}
