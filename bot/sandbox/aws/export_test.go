package aws

import (
	"net/http"
	"time"
)

// RejectionCode returns the error code for a request with an invalid signature,
// or "" if the signature is valid.
func (a *Account) RejectionCode(r *http.Request, body []byte, service, region string, now time.Time) string {
	if f := a.verifySignature(r, body, service, region, now); f != nil {
		return f.code
	}
	return ""
}
