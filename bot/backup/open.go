package backup

import (
	"context"
	"errors"
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
	return Destinations{}.Open(ctx, where, ids)
}

// Open is the function [Open] that also accepts the key of a backup at one of the
// destinations, and an address without the parameters of its destination.
func (ds Destinations) Open(ctx context.Context, where string, ids Identities) (io.ReadCloser, error) {
	raw, o, err := ds.openRaw(ctx, where)
	if err != nil {
		return nil, err
	}
	return openChecked(raw, o, ids)
}

type readCloser struct {
	io.Reader
	io.Closer
}

// openRaw returns the encrypted content of a backup, and its object if its name is a key.
func (ds Destinations) openRaw(ctx context.Context, where string) (io.ReadCloser, Object, error) {
	where, query, _ := strings.Cut(where, "?")
	parent, name := path.Split(strings.TrimPrefix(where, "dir:"))
	root, class := path.Split(strings.TrimSuffix(parent, "/"))
	key := class + "/" + name
	o, isKey := parseKey(key)
	if _, err := os.Stat(strings.TrimPrefix(where, "dir:")); err == nil {
		file, err := os.Open(strings.TrimPrefix(where, "dir:"))
		return file, o, err
	}
	for _, d := range ds.list {
		if isKey && (where == key || where == d.Label()+"/"+key) {
			r, err := d.Get(ctx, key)
			if errors.Is(err, ErrNotFound) && where == key {
				continue // another destination may have it
			}
			return r, o, err
		}
	}
	if !isKey || !strings.HasPrefix(where, "s3:") {
		return nil, o, fmt.Errorf("%q is neither a file nor the address of a backup. Copy the address from `tocsin backup list`", where)
	}
	if query != "" {
		query = "?" + query
	}
	d, err := newDestination(strings.TrimSuffix(root, "/")+query, DestinationDeps{})
	if err != nil {
		return nil, o, err
	}
	r, err := d.Get(ctx, key)
	return r, o, err
}
