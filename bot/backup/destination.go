package backup

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// A Destination stores objects. It is safe for concurrent use. Its errors are
// [*tocsin/bot/health.Problem] values if a person can repair their cause.
type Destination interface {
	// Label returns the address without its parameters, such as s3://bucket/prefix.
	Label() string
	// Put stores an object completely or not at all. Storing an object again is not an
	// error.
	Put(ctx context.Context, u Upload) error
	// List returns the objects whose keys begin with a folder and are greater than from, which
	// may be "", in the order of their keys.
	List(ctx context.Context, folder, from string) ([]Stored, error)
	// Get returns the content of an object, or an error that wraps [ErrNotFound]. The
	// caller must close it.
	Get(ctx context.Context, key string) (io.ReadCloser, error)
	// Probe returns an error unless objects can be stored. It leaves at most one small
	// object with a fixed key.
	Probe(ctx context.Context) error
}

// ErrNotFound means that a destination does not have an object.
var ErrNotFound = errors.New("the object does not exist")

// An Upload is an object to store.
type Upload struct {
	Key     string
	Content io.ReaderAt
	Size    int64
	SHA256  [sha256.Size]byte
	// Until is the end of the object lock, or zero. Folders ignore it.
	Until time.Time
}

// Stored is an object of a destination.
type Stored struct {
	Key  string
	Size int64
}

// DestinationDeps are the parts of the process that destinations use. The zero value is
// complete.
type DestinationDeps struct {
	Logger *slog.Logger // default slog.Default
	// Timeout bounds one attempt at a small request. The default is 30 seconds. A file
	// has more time, by its size.
	Timeout time.Duration
	// MaxBackoff bounds the pause between two attempts. The default is 20 seconds.
	MaxBackoff time.Duration
	// PartSize is the size in bytes above which a bucket gets a file in parts. The default
	// is 64 MiB.
	PartSize int64

	client *http.Client // nil means the client of the SDK
}

// Destinations are all destinations of an instance.
type Destinations struct {
	list []Destination
	keep Keep
}

// Destinations returns the destinations of the configuration. It makes no connections.
func (c Config) Destinations(d DestinationDeps) (Destinations, error) {
	ds := Destinations{keep: c.Keep}
	for n, address := range c.To {
		one, err := newDestination(address, d)
		if err != nil {
			return ds, fmt.Errorf("backup.to[%d]: %w", n, err)
		}
		ds.list = append(ds.list, one)
	}
	return ds, nil
}

// All returns the destinations in the order of the configuration.
func (ds Destinations) All() []Destination { return ds.list }

func newDestination(address string, d DestinationDeps) (Destination, error) {
	at, problem := parseAddress(address)
	if problem != "" {
		return nil, incident.Invalid("to", "%q %s", address, problem)
	}
	if at.folder != "" {
		return folder{at.folder}, nil
	}
	return newBucket(at, d)
}

// address is the parsed address of a destination.
type address struct {
	folder string // or ""

	bucket, prefix   string // prefix is "" or ends with a slash
	region, endpoint string
	lock             lockMode
	parameters       string // "" or the query with its question mark
}

// label returns the address without its parameters.
func (a address) label() string {
	if a.folder != "" {
		return "dir:" + a.folder
	}
	return "s3://" + a.bucket + strings.TrimSuffix("/"+a.prefix, "/")
}

const addressForms = "Write a folder such as dir:/backup, or a bucket such as s3://bucket/prefix?region=eu-west-3"

// parseAddress parses the address of a destination. problem continues a sentence that
// begins with the address, and is "" if it is valid.
func parseAddress(s string) (a address, problem string) {
	if path, ok := strings.CutPrefix(s, "dir:"); ok {
		if !filepath.IsAbs(path) || filepath.Clean(path) == "/" {
			return a, "is not a folder with an absolute path. Write one such as dir:/backup"
		}
		return address{folder: filepath.Clean(path)}, ""
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "s3" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return a, "is not a destination. " + addressForms
	}
	a = address{bucket: u.Host, prefix: strings.Trim(u.Path, "/"), lock: lockCompliance}
	if u.RawQuery != "" {
		a.parameters = "?" + u.RawQuery
	}
	if a.prefix != "" {
		a.prefix += "/"
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return a, "has malformed parameters. " + addressForms
	}
	for name, values := range query {
		value := values[len(values)-1]
		switch name {
		case "region":
			a.region = value
		case "endpoint":
			if e, err := url.Parse(value); err != nil || e.Host == "" || e.Scheme != "https" && e.Scheme != "http" {
				return a, "has an endpoint that is not a URL. Write one such as endpoint=https://s3.example.com"
			}
			a.endpoint = value
		case "lock":
			a.lock = lockMode(value)
			if a.lock != lockCompliance && a.lock != lockGovernance && a.lock != lockNone {
				return a, "has an unknown lock. Write lock=compliance, lock=governance or lock=none"
			}
		default:
			return a, fmt.Sprintf("has the unknown parameter %.20q. Use region, endpoint and lock", name)
		}
	}
	return a, ""
}

// readSmall returns the content of a small object, such as a checkpoint.
func readSmall(ctx context.Context, d Destination, key string) ([]byte, error) {
	r, err := d.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	raw, err := io.ReadAll(io.LimitReader(r, maxSmall+1))
	if err == nil && len(raw) > maxSmall {
		err = fmt.Errorf("%s is larger than %d bytes", key, maxSmall)
	}
	return raw, err
}

// maxSmall is the maximum size of a checkpoint or a report in bytes.
const maxSmall = 1 << 20
