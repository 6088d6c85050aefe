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

// errTooLong ends a download that is longer than Slack said.
var errTooLong = errors.New("download too long")

// HashFile downloads a file and returns its SHA-256 and its size. It stores no content.
// If the file has no hash, it returns the reason for people. With an error besides, the
// download is incomplete and a later one can succeed.
func (s *Slack) HashFile(ctx context.Context, id string) (sum string, size int64, reason string, err error) {
	info, _, _, err := s.client.GetFileInfoContext(ctx, id, 0, 0)
	switch code := errorCode(err); {
	case code == "file_not_found" || code == "file_deleted":
		return "", 0, fileDeleted, nil
	case err != nil:
		return "", 0, "", classify("read files", err)
	case info.IsExternal || info.URLPrivateDownload == "":
		return "", 0, "Slack does not store the file", nil
	case int64(info.Size) > MaxFile:
		return "", 0, tooLarge, nil
	}
	w := &fileHash{hash: sha256.New(), want: int64(info.Size)}
	err = s.files.GetFileContext(ctx, info.URLPrivateDownload, w)
	switch {
	case errors.Is(err, errTooLong):
		reason = fmt.Sprintf("the download was longer than the %d bytes of the file", w.want)
	case err != nil && w.size == 0:
		return "", 0, "", classify("download files", err)
	case w.size != w.want:
		reason = fmt.Sprintf("the download ended after %d of %d bytes", w.size, w.want)
	default:
		return hex.EncodeToString(w.hash.Sum(nil)), w.size, "", nil
	}
	return "", 0, reason, fmt.Errorf("download file %s: %s", id, reason)
}

// The reasons why a file has no hash that need no further attempt.
const fileDeleted = "the file was deleted before Tocsin could download it"

var tooLarge = fmt.Sprintf("the file is larger than %d MiB", MaxFile>>20)

// fileHash hashes a file of a known size.
type fileHash struct {
	hash       hash.Hash
	size, want int64
}

func (w *fileHash) Write(p []byte) (int, error) {
	if w.size += int64(len(p)); w.size > w.want {
		return 0, errTooLong
	}
	return w.hash.Write(p)
}
