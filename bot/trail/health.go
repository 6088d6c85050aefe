package trail

import (
	"errors"
	"fmt"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go"

	"tocsin/bot/health"
)

// explain returns why Amazon refused a request, or why it could not be made.
func explain(system string, err error) error {
	var api smithy.APIError
	var signing *v4.SigningError
	switch {
	case errors.As(err, &signing):
		return &health.Problem{Cause: "Tocsin has no AWS credentials for the CloudTrail log files", Fix: "Give the process a role or credentials, and restart Tocsin", Err: err}
	case !errors.As(err, &api):
		return health.Explain(system, err)
	}
	p := &health.Problem{Cause: fmt.Sprintf("%s answers with the error %.60q", system, api.ErrorCode()), Fix: "Check sources.trail and the status page of AWS", Err: err}
	switch api.ErrorCode() {
	case "AccessDenied", "AccessDeniedException", "KMS.DisabledException", "KMS.NotFoundException", "KMS.AccessDeniedException":
		p.Fix = "Allow the role of Tocsin to read it, and to use its KMS key"
	case "InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "ExpiredToken", "InvalidAccessKeyId", "InvalidSecurity":
		p.Fix = "Renew the AWS credentials of Tocsin, and check the clock"
	case "NoSuchKey":
		p.Fix = "Name a log file that exists"
	case "PermanentRedirect":
		p.Fix = "Name a log file in a bucket of the region of the queue. Tocsin reads buckets of other regions too, and this check does not"
	case "AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist", "NoSuchBucket":
		p.Fix = "Create it, or correct sources.trail.queue_url and restart Tocsin"
	}
	return p
}
