package backup

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// A Class is how long a backup is retained. It is the folder of its object.
type Class string

// The classes. The first backup of a month is monthly, and the first of another day is
// daily.
const (
	Hourly  Class = "hourly"
	Daily   Class = "daily"
	Monthly Class = "monthly"
)

// classes are all classes.
var classes = []Class{Hourly, Daily, Monthly}

// Other folders of a destination.
const (
	checkpointFolder = "checkpoints/"
	proofFolder      = "proofs/"
)

const (
	timeLayout = "20060102T150405Z"
	fileSuffix = ".tocsin.age"
	// digestSize is how many bytes of the SHA-256 a key has.
	digestSize = 16
)

// An Object is one backup. Its key describes it.
type Object struct {
	Class  Class
	At     time.Time // of the snapshot, to the second, in UTC
	Origin string    // the instance, such as 3f2ac0e1d2b34a5c
	Digest string    // the first half of the SHA-256 of the content, in hexadecimal
}

var objectKey = regexp.MustCompile(`^(hourly|daily|monthly)/([0-9]{8}T[0-9]{6}Z)-([0-9a-f]{1,64})-([0-9a-f]{32})\.tocsin\.age$`)

// Key returns the name of the object below the address of a destination.
func (o Object) Key() string {
	return fmt.Sprintf("%s/%s-%s-%s%s", o.Class, o.At.UTC().Format(timeLayout), o.Origin, o.Digest, fileSuffix)
}

// parseKey parses a result of Key. It reports whether the key is one.
func parseKey(key string) (o Object, ok bool) {
	m := objectKey.FindStringSubmatch(key)
	if m == nil {
		return o, false
	}
	at, err := time.Parse(timeLayout, m[2])
	return Object{Class(m[1]), at, m[3], m[4]}, err == nil
}

// digestOf returns the digest of a SHA-256 for a key.
func digestOf(sum [sha256.Size]byte) string { return hex.EncodeToString(sum[:digestSize]) }

// shortOrigin returns the part of an origin such as "tocsin/3f2a…" for keys.
func shortOrigin(origin string) string { return strings.TrimPrefix(origin, "tocsin/") }

// checkpointKey returns the key of a checkpoint.
func checkpointKey(at time.Time, origin string, size int64) string {
	return fmt.Sprintf("%s%s-%s-%d.txt", checkpointFolder, at.UTC().Format(timeLayout), shortOrigin(origin), size)
}

// proofKey returns the key of a report.
func proofKey(at time.Time, origin string) string {
	return fmt.Sprintf("%s%s-%s.json", proofFolder, at.UTC().Format(timeLayout), shortOrigin(origin))
}

// smallKey matches the keys of checkpoints and reports.
var smallKey = regexp.MustCompile(`^(checkpoints|proofs)/([0-9]{8}T[0-9]{6}Z)-([0-9a-f]{1,64})(-[0-9]{1,19})?\.(txt|json)$`)

// parseSmallKey returns the time and the origin in the key of a checkpoint or report.
func parseSmallKey(key string) (at time.Time, origin string, ok bool) {
	m := smallKey.FindStringSubmatch(key)
	if m == nil {
		return at, "", false
	}
	at, err := time.Parse(timeLayout, m[2])
	return at, m[3], err == nil
}
