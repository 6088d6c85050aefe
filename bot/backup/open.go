package backup

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
)

// Open returns the stream of a backup. where is a file, or the address of an object such as
// s3://bucket/prefix/daily/NAME?region=eu-west-3. The caller must close the stream, and
// must not trust it before it has ended without an error.
//
// If no identity fits, the error names the recipients of the backup.
func Open(ctx context.Context, where string, ids Identities) (io.ReadCloser, error) {
	raw, err := openRaw(ctx, where)
	if err != nil {
		return nil, err
	}
	content, err := decrypt(raw, ids)
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	return readCloser{content, raw}, nil
}

type readCloser struct {
	io.Reader
	io.Closer
}

// openRaw returns the encrypted content of a backup.
func openRaw(ctx context.Context, where string) (io.ReadCloser, error) {
	if !strings.HasPrefix(where, "s3:") {
		file, err := os.Open(strings.TrimPrefix(where, "dir:"))
		if err != nil {
			return nil, fmt.Errorf("open backup: %w", err)
		}
		return file, nil
	}
	destination, query, _ := strings.Cut(where, "?")
	parent, name := path.Split(destination)
	root, class := path.Split(strings.TrimSuffix(parent, "/"))
	if _, ok := parseKey(class + "/" + name); !ok {
		return nil, fmt.Errorf("%q is not the address of a backup. Copy it from `tocsin backup list`", where)
	}
	if query != "" {
		query = "?" + query
	}
	d, err := newDestination(strings.TrimSuffix(root, "/")+query, DestinationDeps{})
	if err != nil {
		return nil, err
	}
	return d.Get(ctx, class+"/"+name)
}
