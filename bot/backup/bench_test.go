package backup_test

import (
	"context"
	"crypto/rand"
	"io"
	"testing"
	"time"

	"tocsin/bot/backup"
)

// BenchmarkRun encrypts and stores 64 MiB, the export of about a million alerts, in a folder.
func BenchmarkRun(b *testing.B) {
	block := make([]byte, 1<<20)
	_, _ = rand.Read(block)
	c := to("dir:" + b.TempDir())
	c.Recipients = []string{"age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"}
	ds, err := c.Destinations(backup.DestinationDeps{})
	if err != nil {
		b.Fatal(err)
	}
	at := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	r := backup.NewRunner(c, ds, backup.Deps{Origin: "tocsin/3f2a", SpoolFolder: b.TempDir(), Clock: func() time.Time { return at }, Export: func(_ context.Context, w io.Writer) (backup.Snapshot, error) {
		for range 64 {
			if _, err := w.Write(block); err != nil {
				return backup.Snapshot{}, err
			}
		}
		return backup.Snapshot{At: at}, nil
	}})
	b.SetBytes(64 << 20)
	b.ReportAllocs()
	for b.Loop() {
		at = at.Add(time.Hour)
		if _, err := r.Run(b.Context(), at); err != nil {
			b.Fatal(err)
		}
	}
}
