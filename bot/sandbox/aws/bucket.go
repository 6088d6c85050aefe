package aws

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

type bucket struct {
	Bucket
	objects map[string]*object
}

type object struct {
	data []byte
	etag string
	at   time.Time
}

// AddBucket makes a bucket.
func (a *Account) AddBucket(b Bucket) {
	if b.Region == "" {
		b.Region = a.cfg.Region
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.buckets[b.Name] = &bucket{Bucket: b, objects: map[string]*object{}}
}

// Put stores an object and tells the bucket's queue.
func (a *Account) Put(name, key string, data []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.buckets[name]
	o := &object{data: data, etag: sum(string(data)), at: time.Now()}
	b.objects[key] = o
	a.notify(b, "ObjectCreated:Put", key, o)
}

// Remove deletes an object and tells the bucket's queue.
func (a *Account) Remove(name, key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.buckets[name]
	delete(b.objects, key)
	a.notify(b, "ObjectRemoved:Delete", key, &object{})
}

// Event is the notification of S3 about an object.
func (a *Account) Event(name, what, key string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.buckets[name]
	o := b.objects[key]
	if o == nil {
		o = &object{}
	}
	return a.event(b, what, key, o)
}

func (a *Account) notify(b *bucket, what, key string, o *object) {
	if q := a.queues[b.Notify]; q != nil {
		a.send(q, a.event(b, what, key, o))
	}
}

func (a *Account) event(b *bucket, what, key string, o *object) string {
	a.serial++
	s3 := map[string]any{"key": url.QueryEscape(key), "sequencer": fmt.Sprintf("%016X", a.serial)}
	if o.etag != "" {
		s3["eTag"], s3["size"] = o.etag, len(o.data)
	}
	record := map[string]any{
		"eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": b.Region, "eventTime": time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), "eventName": what,
		"userIdentity": map[string]string{"principalId": "AWS:AROASANDBOX:someone"}, "requestParameters": map[string]string{"sourceIPAddress": "203.0.113.7"},
		"s3": map[string]any{"s3SchemaVersion": "1.0", "bucket": map[string]any{"name": b.Name, "arn": "arn:aws:s3:::" + b.Name}, "object": s3},
	}
	out, _ := json.Marshal(map[string]any{"Records": []any{record}}) // the sandbox's own values cannot fail
	return string(out)
}

// regionOf is the region that a request must be signed for.
func (a *Account) regionOf(service, resource string) string {
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

// serveBucket answers a call of S3's REST protocol, in path style.
func (a *Account) serveBucket(n *answer, r *http.Request, op, resource string) {
	name, key, _ := strings.Cut(resource, "/")
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.buckets[name]
	switch {
	case op != "s3:GetObject" && op != "s3:HeadObject":
		n.fail("s3", &fault{http.StatusNotImplemented, "NotImplemented", "the sandbox does not know " + op})
		return
	case b == nil:
		n.fail("s3", &fault{http.StatusNotFound, "NoSuchBucket", "there is no such bucket"})
		return
	}
	o := b.objects[key]
	if o == nil {
		n.fail("s3", &fault{http.StatusNotFound, "NoSuchKey", "the specified key does not exist"})
		return
	}
	n.header.Set("Etag", `"`+o.etag+`"`)
	n.header.Set("Last-Modified", o.at.UTC().Format(http.TimeFormat))
	n.header.Set("Content-Type", "application/json")
	if r.Method == http.MethodGet {
		n.body = o.data
	}
}
