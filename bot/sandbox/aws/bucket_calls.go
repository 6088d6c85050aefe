package aws

import (
	"encoding/xml"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// serveBucket answers a path-style call of the S3 REST API.
func (a *Account) serveBucket(n *response, r *http.Request, op, resource string, body []byte) {
	name, key, _ := strings.Cut(resource, "/")
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.buckets[name]
	calls := map[string]func(*response, *http.Request, *bucket, string, []byte) *apiError{
		"s3:GetObject": a.getObject, "s3:HeadObject": a.getObject, "s3:PutObject": a.putObject, "s3:DeleteObject": a.deleteObject, "s3:ListObjectsV2": a.listObjects,
		"s3:CreateMultipartUpload": a.createUpload, "s3:UploadPart": a.uploadPart, "s3:CompleteMultipartUpload": a.completeUpload, "s3:AbortMultipartUpload": a.abortUpload}
	call, known := calls[op]
	bad := &apiError{http.StatusNotFound, "NoSuchBucket", "the bucket does not exist"}
	switch {
	case !known:
		bad = &apiError{http.StatusNotImplemented, "NotImplemented", "the sandbox does not implement " + op}
	case b != nil:
		bad = call(n, r, b, key, body)
	}
	if bad != nil {
		n.writeError("s3", bad)
	}
}

func (a *Account) getObject(n *response, r *http.Request, b *bucket, key string, _ []byte) *apiError {
	o := b.objects[key]
	if version := r.URL.Query().Get("versionId"); version != "" {
		o = b.version(key, version)
	}
	if o == nil {
		return &apiError{http.StatusNotFound, "NoSuchKey", "the specified key does not exist"}
	}
	n.header.Set("Etag", `"`+o.etag+`"`)
	n.header.Set("Last-Modified", o.modified.UTC().Format(http.TimeFormat))
	n.header.Set("Content-Type", "application/json")
	if r.Header.Get("X-Amz-Checksum-Mode") == "ENABLED" {
		n.header.Set("X-Amz-Checksum-Sha256", o.sha256)
	}
	n.body = o.data // an answer to HEAD has only its length
	return nil
}

// version returns a version of an object, or nil.
func (b *bucket) version(key, version string) *object {
	n := slices.IndexFunc(b.versions[key], func(o *object) bool { return o.version == version })
	if n < 0 {
		return nil
	}
	return b.versions[key][n]
}

// putObject stores a version of an object, unless its checksum, lock or condition forbids
// this.
func (a *Account) putObject(n *response, r *http.Request, b *bucket, key string, body []byte) *apiError {
	o := newObject(body)
	if bad := b.lockObject(o, r.Header); bad != nil {
		return bad
	}
	sum := r.Header.Get("X-Amz-Checksum-Sha256")
	if o.lock != "" && sum == "" {
		return badRequest("InvalidRequest", "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters")
	}
	if sum != "" && sum != checksum(body) {
		return badRequest("BadDigest", "The SHA256 you specified did not match the calculated checksum.")
	}
	if bad := b.checkCondition(r.Header, key); bad != nil {
		return bad
	}
	a.store(b, key, "ObjectCreated:Put", o)
	n.header.Set("Etag", `"`+o.etag+`"`)
	n.header.Set("X-Amz-Version-Id", o.version)
	return nil
}

// lockObject locks an object as the header says.
func (b *bucket) lockObject(o *object, h http.Header) *apiError {
	if o.lock = h.Get("X-Amz-Object-Lock-Mode"); o.lock == "" {
		return nil
	}
	var err error
	o.until, err = time.Parse(time.RFC3339, h.Get("X-Amz-Object-Lock-Retain-Until-Date"))
	switch {
	case !b.ObjectLock:
		return badRequest("InvalidRequest", "Bucket is missing Object Lock Configuration")
	case err != nil || !o.until.After(time.Now()):
		return badRequest("InvalidArgument", "The retain until date must be in the future!")
	}
	return nil
}

// checkCondition refuses to replace an object if the header forbids this.
func (b *bucket) checkCondition(h http.Header, key string) *apiError {
	if h.Get("If-None-Match") == "*" && b.objects[key] != nil {
		return &apiError{http.StatusPreconditionFailed, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold"}
	}
	return nil
}

// deleteObject hides the current version of an object, or deletes one version that is not
// locked.
func (a *Account) deleteObject(n *response, r *http.Request, b *bucket, key string, _ []byte) *apiError {
	n.status = http.StatusNoContent
	version := r.URL.Query().Get("versionId")
	if version == "" {
		delete(b.objects, key)
		a.notify(b, "ObjectRemoved:DeleteMarkerCreated", key, &object{})
		return nil
	}
	o := b.version(key, version)
	if o == nil {
		return nil
	}
	bypass := o.lock == "GOVERNANCE" && r.Header.Get("X-Amz-Bypass-Governance-Retention") == "true"
	if o.lock != "" && o.until.After(time.Now()) && !bypass {
		return denied("AccessDenied", "Access Denied because object protected by object lock.")
	}
	b.versions[key] = slices.DeleteFunc(b.versions[key], func(other *object) bool { return other == o })
	if b.objects[key] == o {
		delete(b.objects, key)
	}
	return nil
}

// listObjects returns a page of the keys with a prefix.
func (a *Account) listObjects(n *response, r *http.Request, b *bucket, _ string, _ []byte) *apiError {
	type content struct {
		Key          string
		LastModified string
		ETag         string
		Size         int
	}
	query := r.URL.Query()
	out := struct {
		XMLName               xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListBucketResult"`
		Name, Prefix          string
		KeyCount, MaxKeys     int
		IsTruncated           bool
		NextContinuationToken string    `xml:",omitempty"`
		Contents              []content `xml:",omitempty"`
	}{Name: b.Name, Prefix: query.Get("prefix"), MaxKeys: b.PageSize}
	if out.MaxKeys == 0 {
		out.MaxKeys = 1000
	}
	after := query.Get("start-after")
	if token := query.Get("continuation-token"); token != "" {
		after = strings.TrimPrefix(token, "after:")
	}
	for _, key := range slices.Sorted(maps.Keys(b.objects)) {
		o := b.objects[key]
		if !strings.HasPrefix(key, out.Prefix) || key <= after {
			continue
		}
		if len(out.Contents) == out.MaxKeys {
			out.IsTruncated, out.NextContinuationToken = true, "after:"+out.Contents[len(out.Contents)-1].Key
			break
		}
		out.Contents = append(out.Contents, content{key, o.modified.UTC().Format("2006-01-02T15:04:05.000Z"), `"` + o.etag + `"`, len(o.data)})
	}
	out.KeyCount = len(out.Contents)
	n.writeXML(out)
	return nil
}

// StoredObject is an object of a bucket.
type StoredObject struct {
	Key     string
	Data    []byte
	Version string
	Lock    string // COMPLIANCE, GOVERNANCE or empty
	Until   time.Time
}

// Objects returns the current objects of a bucket, by key.
func (a *Account) Objects(name string) (out []StoredObject) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.buckets[name]
	for _, key := range slices.Sorted(maps.Keys(b.objects)) {
		o := b.objects[key]
		out = append(out, StoredObject{key, o.data, o.version, o.lock, o.until})
	}
	return out
}
