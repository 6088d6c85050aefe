package aws_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"tocsin/bot/sandbox/aws"
)

func codeOf(err error) string {
	if api := smithy.APIError(nil); errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// multipart makes the calls of one upload to b/k.
type multipart struct {
	*fixture
	id   *string
	list []types.CompletedPart
}

func (m *multipart) create(change func(*s3.CreateMultipartUploadInput)) error {
	in := &s3.CreateMultipartUploadInput{Bucket: sdk.String("b"), Key: sdk.String("k"), ChecksumAlgorithm: types.ChecksumAlgorithmSha256}
	change(in)
	out, err := m.s3.CreateMultipartUpload(m.Context(), in)
	if err == nil {
		m.id, m.list = out.UploadId, nil
	}
	return err
}

func (m *multipart) send(number int32, data []byte, sum [32]byte) error {
	in := &s3.UploadPartInput{Bucket: sdk.String("b"), Key: sdk.String("k"), UploadId: m.id, PartNumber: &number, Body: bytes.NewReader(data), ChecksumSHA256: sdk.String(base64.StdEncoding.EncodeToString(sum[:]))}
	out, err := m.s3.UploadPart(m.Context(), in)
	if err == nil {
		m.list = append(m.list, types.CompletedPart{PartNumber: &number, ETag: out.ETag, ChecksumSHA256: in.ChecksumSHA256})
	}
	return err
}

func (m *multipart) complete(list ...types.CompletedPart) error {
	_, err := m.s3.CompleteMultipartUpload(m.Context(), &s3.CompleteMultipartUploadInput{Bucket: sdk.String("b"), Key: sdk.String("k"), UploadId: m.id, IfNoneMatch: sdk.String("*"),
		MultipartUpload: &types.CompletedMultipartUpload{Parts: list}})
	return err
}

func (m *multipart) abort() error {
	_, err := m.s3.AbortMultipartUpload(m.Context(), &s3.AbortMultipartUploadInput{Bucket: sdk.String("b"), Key: sdk.String("k"), UploadId: m.id})
	return err
}

func TestBucket_Multipart(t *testing.T) {
	runWithAccount(t, func(f *fixture) {
		m := &multipart{fixture: f}
		full, rest := bytes.Repeat([]byte("a"), 5<<20), []byte("rest")
		fullSum, restSum := sha256.Sum256(full), sha256.Sum256(rest)
		plain := func(*s3.CreateMultipartUploadInput) {}
		check := func(what string, err error, code string) {
			t.Helper()
			if got := codeOf(err); got != code || (err == nil) != (code == "") {
				t.Errorf("%s: got %v, want the code %q", what, err, code)
			}
		}
		check("lock without a bucket with locks", m.create(func(in *s3.CreateMultipartUploadInput) {
			in.ObjectLockMode, in.ObjectLockRetainUntilDate = types.ObjectLockModeCompliance, sdk.Time(time.Now().Add(time.Hour))
		}), "InvalidRequest")
		check("create", m.create(plain), "")
		check("part number 0", m.send(0, rest, restSum), "InvalidArgument")
		check("part number 10001", m.send(10_001, rest, restSum), "InvalidArgument")
		check("another checksum", m.send(1, full, restSum), "BadDigest")
		check("a small part", m.send(1, rest, restSum), "")
		check("the last part", m.send(2, rest, restSum), "")
		check("a small part that is not the last one", m.complete(m.list...), "EntityTooSmall")
		check("a part again", m.send(1, full, fullSum), "")
		old, parts := m.list[0], []types.CompletedPart{m.list[2], m.list[1]}
		check("the part before", m.complete(old, parts[1]), "InvalidPart")
		check("order", m.complete(parts[1], parts[0]), "InvalidPartOrder")
		check("no checksum", m.complete(types.CompletedPart{PartNumber: parts[0].PartNumber, ETag: parts[0].ETag}), "InvalidRequest")
		if left := f.aws.Unfinished("b"); !slices.Equal(left, []string{"k"}) || len(f.aws.Objects("b")) != 0 {
			t.Errorf("got the uploads %v and %d objects, want k and none", left, len(f.aws.Objects("b")))
		}
		check("complete", m.complete(parts...), "")
		check("complete again", m.complete(parts...), "PreconditionFailed")
		check("abort what is complete", m.abort(), "NoSuchUpload")
		head, err := f.s3.HeadObject(f.Context(), &s3.HeadObjectInput{Bucket: sdk.String("b"), Key: sdk.String("k"), ChecksumMode: types.ChecksumModeEnabled})
		sum := sha256.Sum256(slices.Concat(fullSum[:], restSum[:]))
		if want := base64.StdEncoding.EncodeToString(sum[:]) + "-2"; err != nil || *head.ContentLength != 5<<20+4 || *head.ChecksumSHA256 != want {
			t.Errorf("got %+v, %v, want the checksum %s", head, err, want)
		}
		check("create for an object that exists", m.create(plain), "")
		check("part", m.send(1, rest, restSum), "")
		check("replace", m.complete(m.list...), "PreconditionFailed")
		check("abort", m.abort(), "")
		check("part after the end", m.send(2, rest, restSum), "NoSuchUpload")
		if left := f.aws.Unfinished("b"); left != nil || len(f.aws.Objects("b")) != 1 {
			t.Errorf("got the uploads %v and %d objects, want none and 1", left, len(f.aws.Objects("b")))
		}
		f.aws.AddBucket(aws.Bucket{Name: "b", MinPart: 1})
		check("create", m.create(plain), "")
		check("a part that may be small", errors.Join(m.send(1, rest, restSum), m.send(2, rest, restSum)), "")
		check("complete small parts", m.complete(m.list...), "")
	})
}
