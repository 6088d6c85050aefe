package backup

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"tocsin/bot/awsclient"
	"tocsin/bot/health"
)

const (
	// maxParts is the maximum number of parts of an object of S3.
	maxParts = 10_000
	// maxPart is the maximum size of a part in bytes.
	maxPart = 5 << 30
	// defaultPartSize is small enough to send a part again, and large enough for 625 GiB.
	defaultPartSize = 64 << 20
	// completeTimeout bounds an attempt to make an object of its parts. S3 takes some
	// minutes for a large object.
	completeTimeout = 10 * time.Minute
	// abortTimeout bounds the removal of a failed upload, also when Tocsin stops.
	abortTimeout = 10 * time.Second
)

// partSizeOf returns the size of the parts of a file. It is at least minimum.
func partSizeOf(size, minimum int64) int64 {
	return max(minimum, (size+maxParts-1)/maxParts)
}

// partsUpload is a file on its way to a bucket in parts. The bucket does not list it before
// it is complete.
type partsUpload struct {
	*bucket
	Upload
	key, id *string
	parts   []types.CompletedPart
	sums    hash.Hash // of the checksums of the parts
	whole   hash.Hash // of the content
}

// putParts stores a file in parts. Each part is sent again alone, after a failure, and S3
// verifies its checksum.
func (b *bucket) putParts(ctx context.Context, u Upload) error {
	p := &partsUpload{bucket: b, Upload: u, key: aws.String(b.prefix + u.Key), sums: sha256.New(), whole: sha256.New()}
	in := &s3.CreateMultipartUploadInput{Bucket: &b.address.bucket, Key: p.key, ChecksumAlgorithm: types.ChecksumAlgorithmSha256, ContentType: aws.String(contentType)}
	in.ObjectLockMode, in.ObjectLockRetainUntilDate = b.lockOf(u)
	created, err := b.client.CreateMultipartUpload(ctx, in)
	if err != nil {
		return b.explain(err)
	}
	p.id = created.UploadId
	if err := p.sendAll(ctx); err != nil {
		p.abort(ctx)
		return err
	}
	return p.complete(ctx)
}

// sendAll sends all parts, one after the other.
func (p *partsUpload) sendAll(ctx context.Context) error {
	size := partSizeOf(p.Size, p.partSize)
	for start := int64(0); start < p.Size; start += size {
		if err := p.send(ctx, io.NewSectionReader(p.Content, start, min(size, p.Size-start))); err != nil {
			return err
		}
	}
	if [sha256.Size]byte(p.whole.Sum(nil)) != p.SHA256 {
		return &health.Problem{Cause: "The file for the bucket " + p.label() + " changed since it was written", Fix: checkSpool}
	}
	return nil
}

// send sends the next part. The first read of the content is for the checksums, and the
// second one, which the operating system still has in memory, is for the request.
func (p *partsUpload) send(ctx context.Context, content *io.SectionReader) error {
	sum, size := sha256.New(), content.Size()
	if _, err := io.CopyN(io.MultiWriter(sum, p.whole), content, size); err != nil {
		return &health.Problem{Cause: "The file for the bucket " + p.label() + " cannot be read", Fix: checkSpool, Err: err}
	}
	if _, err := content.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read a part again: %w", err)
	}
	raw := sum.Sum(nil)
	_, _ = p.sums.Write(raw) // never an error
	encoded, number := base64.StdEncoding.EncodeToString(raw), aws.Int32(int32(len(p.parts)+1))
	sent, err := p.client.UploadPart(ctx, &s3.UploadPartInput{Bucket: &p.address.bucket, Key: p.key, UploadId: p.id, PartNumber: number, Body: content, ContentLength: &size,
		ChecksumAlgorithm: types.ChecksumAlgorithmSha256, ChecksumSHA256: &encoded})
	if err != nil {
		return p.explain(err)
	}
	p.parts = append(p.parts, types.CompletedPart{PartNumber: number, ETag: sent.ETag, ChecksumSHA256: &encoded})
	return nil
}

// complete makes the object of the parts. An object with this key must not exist.
func (p *partsUpload) complete(ctx context.Context) error {
	_, err := p.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: &p.address.bucket, Key: p.key, UploadId: p.id, IfNoneMatch: aws.String("*"),
		MultipartUpload: &types.CompletedMultipartUpload{Parts: p.parts}}, func(o *s3.Options) {
		o.HTTPClient = awsclient.WithTimeout(o.HTTPClient, completeTimeout)
	})
	if err == nil {
		return nil
	}
	p.abort(ctx)
	composite := fmt.Sprintf("%s-%d", base64.StdEncoding.EncodeToString(p.sums.Sum(nil)), len(p.parts))
	switch awsclient.Code(err) {
	case "PreconditionFailed":
		return p.checkStored(ctx, p.key, p.Size, composite)
	case "NoSuchUpload": // it is complete, or somebody removed it
		if stored := p.checkStored(ctx, p.key, p.Size, composite); awsclient.Code(stored) != "NotFound" {
			return stored
		}
	}
	return p.explain(err)
}

// abort removes the parts of a failed upload. It never removes an object.
func (p *partsUpload) abort(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	_, err := p.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &p.address.bucket, Key: p.key, UploadId: p.id})
	if err != nil && awsclient.Code(err) != "NoSuchUpload" {
		p.log.WarnContext(ctx, "failed upload stays until the lifecycle of the bucket removes it", "destination", p.label(), "key", p.Key, "err", p.explain(err))
	}
}
