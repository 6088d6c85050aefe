package slack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"time"
)

// MaxFile is the maximum size of a file that Tocsin downloads for its hash, in bytes.
const MaxFile = 256 << 20

// FileTimeout is the maximum duration of a download.
const FileTimeout = 35 * time.Second

// errTooLarge ends a download above MaxFile.
var errTooLarge = errors.New("file too large")

// HashFile downloads a file and returns its SHA-256 and its size. It stores no content.
// If the file can never be hashed, it returns the reason for people and no error.
func (s *Slack) HashFile(ctx context.Context, id string) (sum string, size int64, reason string, err error) {
	info, _, _, err := s.client.GetFileInfoContext(ctx, id, 0, 0)
	switch code := errorCode(err); {
	case code == "file_not_found" || code == "file_deleted":
		return "", 0, "the file was deleted before Tocsin could download it", nil
	case err != nil:
		return "", 0, "", classify("read files", err)
	case info.IsExternal:
		return "", 0, "Slack does not store the file", nil
	case int64(info.Size) > MaxFile:
		return "", 0, tooLarge, nil
	}
	w := &fileHash{hash: sha256.New(), left: MaxFile}
	err = s.files.GetFileContext(ctx, info.URLPrivateDownload, w)
	switch {
	case errors.Is(err, errTooLarge):
		return "", 0, tooLarge, nil
	case err != nil:
		return "", 0, "", classify("download files", err)
	case w.size != int64(info.Size):
		return "", 0, "", fmt.Errorf("download file %s: got %d bytes, want %d", id, w.size, info.Size)
	}
	return hex.EncodeToString(w.hash.Sum(nil)), w.size, "", nil
}

var tooLarge = fmt.Sprintf("the file is larger than %d MiB", MaxFile>>20)

// fileHash hashes the bytes of a file up to a limit.
type fileHash struct {
	hash       hash.Hash
	size, left int64
}

func (w *fileHash) Write(p []byte) (int, error) {
	if w.left -= int64(len(p)); w.left < 0 {
		return 0, errTooLarge
	}
	w.size += int64(len(p))
	return w.hash.Write(p)
}
