package aws

import (
	"bytes"
	"cmp"
	"crypto/md5" //nolint:gosec // S3 uses it for ETags
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const (
	maxParts       = 10_000
	defaultMinPart = 5 << 20
)

// upload is a multipart upload that is not complete.
type upload struct {
	key    string
	locked object // has the lock of the object
	parts  map[int][]byte
}

// Unfinished returns the keys of the uploads that are neither complete nor aborted.
func (a *Account) Unfinished(name string) (keys []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, u := range a.buckets[name].uploads {
		keys = append(keys, u.key)
	}
	slices.Sort(keys)
	return keys
}

// createUpload begins an upload. Only the checksum SHA256 is implemented.
func (a *Account) createUpload(n *response, r *http.Request, b *bucket, key string, _ []byte) *apiError {
	if r.Header.Get("X-Amz-Checksum-Algorithm") != "SHA256" {
		return &apiError{http.StatusNotImplemented, "NotImplemented", "the sandbox implements only uploads with SHA256"}
	}
	u := &upload{key: key, parts: map[int][]byte{}}
	if bad := b.lockObject(&u.locked, r.Header); bad != nil {
		return bad
	}
	a.serial++
	id := fmt.Sprintf("upload%d", a.serial)
	b.uploads[id] = u
	n.writeXML(struct {
		XMLName               xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ InitiateMultipartUploadResult"`
		Bucket, Key, UploadId string
	}{Bucket: b.Name, Key: key, UploadId: id})
	return nil
}

// upload returns the unfinished upload of a request.
func (b *bucket) upload(r *http.Request, key string) (*upload, *apiError) {
	u := b.uploads[r.URL.Query().Get("uploadId")]
	if u == nil || u.key != key {
		return nil, &apiError{http.StatusNotFound, "NoSuchUpload", "The specified multipart upload does not exist. The upload ID might be invalid, or the multipart upload might have been aborted or completed."}
	}
	return u, nil
}

func (a *Account) uploadPart(n *response, r *http.Request, b *bucket, key string, body []byte) *apiError {
	u, bad := b.upload(r, key)
	if bad != nil {
		return bad
	}
	number, err := strconv.Atoi(r.URL.Query().Get("partNumber"))
	sum := r.Header.Get("X-Amz-Checksum-Sha256")
	switch {
	case err != nil || number < 1 || number > maxParts:
		return badRequest("InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive")
	case sum == "":
		return badRequest("InvalidRequest", "Checksum Type mismatch occurred, expected checksum Type: sha256, actual checksum Type: null")
	case sum != checksum(body):
		return badRequest("BadDigest", "The SHA256 you specified did not match the calculated checksum.")
	}
	u.parts[number] = body
	n.header.Set("Etag", `"`+md5Hex(string(body))+`"`)
	n.header.Set("X-Amz-Checksum-Sha256", sum)
	return nil
}

// listedPart is a part in the request that completes an upload.
type listedPart struct {
	PartNumber     int
	ETag           string
	ChecksumSHA256 string
}

// completeUpload makes an object of the listed parts, unless the condition forbids this.
func (a *Account) completeUpload(n *response, r *http.Request, b *bucket, key string, body []byte) *apiError {
	if bad := b.checkCondition(r.Header, key); bad != nil {
		return bad
	}
	u, bad := b.upload(r, key)
	if bad != nil {
		return bad
	}
	var listed struct{ Part []listedPart }
	if err := xml.Unmarshal(body, &listed); err != nil || len(listed.Part) == 0 {
		return badRequest("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
	}
	o, bad := u.object(listed.Part, cmp.Or(b.MinPart, defaultMinPart))
	if bad != nil {
		return bad
	}
	delete(b.uploads, r.URL.Query().Get("uploadId"))
	a.store(b, key, "ObjectCreated:CompleteMultipartUpload", o)
	n.header.Set("X-Amz-Version-Id", o.version)
	n.writeXML(struct {
		XMLName                                         xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ CompleteMultipartUploadResult"`
		Bucket, Key, ETag, ChecksumSHA256, ChecksumType string
	}{Bucket: b.Name, Key: key, ETag: `"` + o.etag + `"`, ChecksumSHA256: o.sha256, ChecksumType: "COMPOSITE"})
	return nil
}

// object returns the object of parts. Its checksums are those of the checksums of the parts.
func (u *upload) object(listed []listedPart, minPart int) (*object, *apiError) {
	for i, p := range listed[1:] {
		if p.PartNumber <= listed[i].PartNumber {
			return nil, badRequest("InvalidPartOrder", "The list of parts was not in ascending order. Parts must be ordered by part number.")
		}
	}
	var data bytes.Buffer
	etags, sums := md5.New(), sha256.New() //nolint:gosec // S3 uses it for ETags
	for i, p := range listed {
		part, ok := u.parts[p.PartNumber]
		switch {
		case p.ChecksumSHA256 == "":
			return nil, badRequest("InvalidRequest", "The upload was created using a sha256 checksum. The complete request must include the checksum for each part.")
		case !ok || strings.Trim(p.ETag, `"`) != md5Hex(string(part)) || p.ChecksumSHA256 != checksum(part):
			return nil, badRequest("InvalidPart", "One or more of the specified parts could not be found.")
		case len(part) < minPart && i < len(listed)-1:
			return nil, badRequest("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
		}
		data.Write(part)
		etag, sum := md5.Sum(part), sha256.Sum256(part) //nolint:gosec // S3 uses it for ETags
		etags.Write(etag[:])
		sums.Write(sum[:])
	}
	o := u.locked
	o.data = data.Bytes()
	o.etag = fmt.Sprintf("%s-%d", hex.EncodeToString(etags.Sum(nil)), len(listed))
	o.sha256 = fmt.Sprintf("%s-%d", base64.StdEncoding.EncodeToString(sums.Sum(nil)), len(listed))
	return &o, nil
}

// abortUpload forgets an upload. It never touches an object.
func (a *Account) abortUpload(n *response, r *http.Request, b *bucket, key string, _ []byte) *apiError {
	if _, bad := b.upload(r, key); bad != nil {
		return bad
	}
	delete(b.uploads, r.URL.Query().Get("uploadId"))
	n.status = http.StatusNoContent
	return nil
}
