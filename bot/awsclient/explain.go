package awsclient

import (
	"errors"
	"fmt"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go"

	"tocsin/bot/health"
)

// Explanation describes a system of AWS for [Explain].
type Explanation struct {
	System string // the subject of causes, such as "The bucket of backups (S3)"
	Use    string // of the credentials, such as "the backups"
	Check  string // the fix of unknown errors, such as "Check backup.to"
	// Denied is the fix if the credentials may not make a request.
	Denied string
	// Fixes are the fixes of other errors by their codes.
	Fixes map[string]string
}

// Code returns the code of an error of AWS, or "".
func Code(err error) string {
	if api := smithy.APIError(nil); errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// Explain returns why AWS refused a request, or why it could not be made.
func Explain(e Explanation, err error) error {
	var signing *v4.SigningError
	code := Code(err)
	switch {
	case errors.As(err, &signing):
		return &health.Problem{Cause: "Tocsin has no AWS credentials for " + e.Use, Fix: "Give the process a role or credentials, and restart Tocsin", Err: err}
	case code == "":
		return health.Explain(e.System, err)
	}
	p := &health.Problem{Cause: fmt.Sprintf("%s answers with the error %.60q", e.System, code), Fix: e.Check + " and the status page of AWS", Err: err}
	switch code {
	case "AccessDenied", "AccessDeniedException", "Forbidden", "KMS.DisabledException", "KMS.NotFoundException", "KMS.AccessDeniedException":
		p.Fix = e.Denied
	case "InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "ExpiredToken", "InvalidAccessKeyId", "InvalidSecurity":
		p.Fix = "Renew the AWS credentials of Tocsin, and check the clock"
	case "RequestTimeTooSkewed":
		p.Fix = "Correct the clock of this machine: it differs from the clock of AWS by more than 15 minutes"
	}
	if fix := e.Fixes[code]; fix != "" {
		p.Fix = fix
	}
	return p
}
