package aws

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"
)

type bucket struct {
	Bucket
	objects  map[string]*object   // the current ones
	versions map[string][]*object // all, in the order of their creation
	uploads  map[string]*upload   // unfinished ones by their id
}

type object struct {
	data     []byte
	etag     string
	modified time.Time

	version string
	sha256  string // in base64, with the number of parts if there are any
	lock    string // COMPLIANCE, GOVERNANCE or empty
	until   time.Time
}

// AddBucket creates a bucket, replacing one of that name.
func (a *Account) AddBucket(b Bucket) {
	if b.Region == "" {
		b.Region = a.cfg.Region
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.buckets[b.Name] = &bucket{Bucket: b, objects: map[string]*object{}, versions: map[string][]*object{}, uploads: map[string]*upload{}}
}

// Put stores an object and sends an event to the bucket's queue. The bucket
// must exist.
func (a *Account) Put(name, key string, data []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.buckets[name]
	a.store(b, key, "ObjectCreated:Put", newObject(data))
}

// store adds a version of an object and sends an event. The caller holds a.mu.
func (a *Account) store(b *bucket, key, event string, o *object) {
	a.serial++
	o.modified, o.version = time.Now(), fmt.Sprintf("v%d", a.serial)
	b.objects[key] = o
	b.versions[key] = append(b.versions[key], o)
	a.notify(b, event, key, o)
}

// newObject returns an object that arrives in one request.
func newObject(data []byte) *object {
	return &object{data: data, etag: md5Hex(string(data)), sha256: checksum(data)}
}

// Remove deletes an object and sends an event to the bucket's queue. The bucket
// must exist.
func (a *Account) Remove(name, key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.buckets[name]
	delete(b.objects, key)
	a.notify(b, "ObjectRemoved:Delete", key, &object{})
}

// Event returns the S3 event message about an object without sending it.
// eventName is for example "ObjectCreated:Put".
func (a *Account) Event(name, eventName, key string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.buckets[name]
	o := b.objects[key]
	if o == nil {
		o = &object{}
	}
	return a.event(b, eventName, key, o)
}

func (a *Account) notify(b *bucket, eventName, key string, o *object) {
	if q := a.queues[b.Notify]; q != nil {
		a.send(q, a.event(b, eventName, key, o))
	}
}

func (a *Account) event(b *bucket, eventName, key string, o *object) string {
	a.serial++
	s3 := map[string]any{"key": url.QueryEscape(key), "sequencer": fmt.Sprintf("%016X", a.serial)}
	if o.etag != "" {
		s3["eTag"], s3["size"] = o.etag, len(o.data)
	}
	record := map[string]any{
		"eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": b.Region, "eventTime": time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), "eventName": eventName,
		"userIdentity": map[string]string{"principalId": "AWS:AROASANDBOX:someone"}, "requestParameters": map[string]string{"sourceIPAddress": "203.0.113.7"},
		"s3": map[string]any{"s3SchemaVersion": "1.0", "bucket": map[string]any{"name": b.Name, "arn": "arn:aws:s3:::" + b.Name}, "object": s3},
	}
	out, _ := json.Marshal(map[string]any{"Records": []any{record}}) // strings, numbers and maps always encode
	return string(out)
}

// signingRegion returns the region for which a request must be signed.
func (a *Account) signingRegion(service, resource string) string {
	if service != "s3" {
		return a.cfg.Region
	}
	name, _, _ := strings.Cut(resource, "/")
	a.mu.Lock()
	defer a.mu.Unlock()
	if b := a.buckets[name]; b != nil {
		return b.Region
	}
	return a.cfg.Region
}

// checksum returns the SHA-256 of data as S3 writes it.
func checksum(data []byte) string {
	sum := sha256.Sum256(data)
	return base64.StdEncoding.EncodeToString(sum[:])
}
