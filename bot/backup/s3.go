package backup

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"tocsin/bot/awsclient"
	"tocsin/bot/health"
	"tocsin/bot/incident"
)

// lockMode is the object lock of the objects of a bucket.
type lockMode string

// The modes. Compliance is the default: nobody can delete a backup before its time, also
// not an attacker with the account's administrator. The price is that nobody can delete one
// that was written by mistake. Its size is bounded, and it can be read only with an identity.
const (
	lockCompliance lockMode = "compliance"
	lockGovernance lockMode = "governance"
	lockNone       lockMode = "none"
)

const (
	// minRate is the slowest transfer that Tocsin waits for, in bytes per second.
	minRate = 256 << 10
	// putAttempts is how often the SDK tries a request. It doubles the pause each time.
	putAttempts = 5
	// probeKey is the key of the object that [Destination.Probe] leaves.
	probeKey = "probe/tocsin"
	// contentType is the type of all objects.
	contentType = "application/octet-stream"
	// checkSpool is the fix if the content is not the one of the checksum.
	checkSpool = "Check the disk of backup.spool and the network: the content changed on its way"
)

// bucket is a [Destination] in S3. It needs the rights to put, get and list objects, and to
// abort its own uploads. It never replaces or deletes an object.
type bucket struct {
	address
	client   *s3.Client
	log      *slog.Logger
	partSize int64
}

// newBucket returns the destination of an address.
func newBucket(at address, d DestinationDeps) (*bucket, error) {
	if d.Logger == nil {
		d.Logger = slog.Default()
	}
	b := &bucket{address: at, log: d.Logger.With("component", "backup"), partSize: cmp.Or(d.PartSize, defaultPartSize)}
	backoff := cmp.Or(d.MaxBackoff, 20*time.Second)
	loaded, err := awsclient.Load(context.Background(), awsclient.Options{Region: at.region, Endpoint: at.endpoint, Timeout: cmp.Or(d.Timeout, 30*time.Second), MinRate: minRate,
		MaxResponse: maxParts * maxPart, Logger: b.log, Client: d.client,
		Retryer: func() aws.Retryer {
			standard := retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = putAttempts, backoff })
			return retry.AddWithErrorCodes(standard, "ConditionalRequestConflict")
		}})
	if err != nil {
		return nil, err
	}
	if loaded.Region == "" && at.endpoint != "" {
		loaded.Region = "us-east-1" // compatible services ignore it
	}
	if loaded.Region == "" {
		return nil, incident.Invalid("to", "%q has no region. Write %s?region=eu-west-3, or set AWS_REGION", at.label(), at.label())
	}
	b.client = s3.NewFromConfig(loaded, func(o *s3.Options) {
		o.UsePathStyle = at.endpoint != ""
		o.DisableLogOutputChecksumValidationSkipped = true
	})
	return b, nil
}

func (b *bucket) Label() string { return b.label() }

// Put implements [Destination]. S3 verifies the SHA-256 of the content, and stores nothing if
// another content arrives. An object with this key must not exist, so the credentials cannot
// hide a backup behind another one.
func (b *bucket) Put(ctx context.Context, u Upload) error {
	if u.Size > b.partSize {
		return b.putParts(ctx, u)
	}
	sum := base64.StdEncoding.EncodeToString(u.SHA256[:])
	in := &s3.PutObjectInput{Bucket: &b.bucket, Key: aws.String(b.prefix + u.Key), Body: io.NewSectionReader(u.Content, 0, u.Size), ContentLength: &u.Size,
		ChecksumAlgorithm: types.ChecksumAlgorithmSha256, ChecksumSHA256: &sum, IfNoneMatch: aws.String("*"), ContentType: aws.String(contentType)}
	in.ObjectLockMode, in.ObjectLockRetainUntilDate = b.lockOf(u)
	_, err := b.client.PutObject(ctx, in)
	if awsclient.Code(err) == "PreconditionFailed" {
		return b.checkStored(ctx, in.Key, u.Size, sum)
	}
	return b.explain(err)
}

// lockOf returns the mode and the end of the lock of an object, or "" and nil without one.
func (b *bucket) lockOf(u Upload) (types.ObjectLockMode, *time.Time) {
	if b.lock == lockNone || u.Until.IsZero() {
		return "", nil
	}
	return types.ObjectLockMode(strings.ToUpper(string(b.lock))), &u.Until
}

// checkStored returns an error unless an object has this size and checksum. Then it is
// stored, and only the answer to an earlier attempt was lost.
func (b *bucket) checkStored(ctx context.Context, key *string, size int64, sum string) error {
	known, err := b.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &b.bucket, Key: key, ChecksumMode: types.ChecksumModeEnabled})
	if err != nil {
		return b.explain(err)
	}
	if aws.ToInt64(known.ContentLength) != size || aws.ToString(known.ChecksumSHA256) != sum {
		return &health.Problem{Cause: "The bucket " + b.label() + " has another object with the name of the new backup", Fix: "Check that no other instance writes to this prefix"}
	}
	return nil
}

// List implements [Destination].
func (b *bucket) List(ctx context.Context, folder, from string) ([]Stored, error) {
	in := &s3.ListObjectsV2Input{Bucket: &b.bucket, Prefix: aws.String(b.prefix + folder)}
	if from != "" {
		in.StartAfter = aws.String(b.prefix + from)
	}
	var out []Stored
	for pages := s3.NewListObjectsV2Paginator(b.client, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, b.explain(err)
		}
		for _, o := range page.Contents {
			out = append(out, Stored{strings.TrimPrefix(aws.ToString(o.Key), b.prefix), aws.ToInt64(o.Size)})
		}
	}
	return out, nil
}

// Get implements [Destination].
func (b *bucket) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	out, err := b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.bucket, Key: aws.String(b.prefix + key), ChecksumMode: types.ChecksumModeEnabled})
	if awsclient.Code(err) == "NoSuchKey" {
		return nil, fmt.Errorf("read %s/%s: %w", b.label(), key, ErrNotFound)
	}
	if err != nil {
		return nil, b.explain(err)
	}
	return bucketBody{out.Body, b}, nil
}

// Probe implements [Destination]. It stores the object with probeKey, or is refused because
// it exists. Both show that the credentials may store objects. The object stays, because
// they may not delete it.
func (b *bucket) Probe(ctx context.Context) error {
	_, err := b.client.PutObject(ctx, &s3.PutObjectInput{Bucket: &b.bucket, Key: aws.String(b.prefix + probeKey), Body: strings.NewReader("Tocsin stores this object to check that it can store backups.\n"),
		ChecksumAlgorithm: types.ChecksumAlgorithmSha256, IfNoneMatch: aws.String("*")})
	if awsclient.Code(err) == "PreconditionFailed" {
		return nil
	}
	return b.explain(err)
}

// explain returns why the bucket cannot be used, or nil without an error.
func (b *bucket) explain(err error) error {
	if err == nil {
		return nil
	}
	return awsclient.Explain(awsclient.Explanation{System: "The bucket " + b.label(), Use: "the backups", Check: "Check backup.to",
		Denied: "Allow the role of Tocsin to put, get and list objects there, to abort uploads, and to use the KMS key of the bucket. docs/operations.md has the policy",
		Fixes: map[string]string{
			"NoSuchBucket":                "Create the bucket, or correct backup.to",
			"PermanentRedirect":           "Add the region of the bucket to backup.to, such as ?region=eu-west-3",
			"InvalidRequest":              "Create the bucket with an object lock, or write lock=none in backup.to. docs/operations.md has the commands",
			"BadDigest":                   checkSpool,
			"XAmzContentChecksumMismatch": checkSpool,
			"NoSuchUpload":                "Wait: Tocsin tries again. Let the lifecycle of the bucket retain unfinished uploads for a day",
			"EntityTooLarge":              "Use a folder as destination, or retain less with retention",
			"SlowDown":                    "Wait. Tocsin tries again",
		}}, err)
}

// bucketBody is the content of an object with explained errors.
type bucketBody struct {
	io.ReadCloser
	bucket *bucket
}

func (r bucketBody) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = r.bucket.explain(err)
	}
	return n, err
}
