package aws

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const (
	algorithm     = "AWS4-HMAC-SHA256"
	amzDateLayout = "20060102T150405Z"
	maxSkew       = 15 * time.Minute
)

func denied(code, message string) *apiError { return &apiError{http.StatusForbidden, code, message} }

// verifySignature signs the request again with the signer of the SDK and compares the
// signatures. AWS checks more than the signature, which the signer does not: the scope,
// the clock, the hash of the body, and that all important headers are signed.
func (a *Account) verifySignature(r *http.Request, body []byte, service, region string, now time.Time) *apiError {
	fields, ok := strings.CutPrefix(r.Header.Get("Authorization"), algorithm+" ")
	if !ok {
		return denied("MissingAuthenticationToken", "the request is not signed")
	}
	part := map[string]string{}
	for f := range strings.SplitSeq(fields, ",") {
		k, v, _ := strings.Cut(strings.TrimSpace(f), "=")
		part[k] = v
	}
	at, err := time.Parse(amzDateLayout, r.Header.Get("X-Amz-Date"))
	if err != nil {
		return denied("IncompleteSignature", "X-Amz-Date is missing")
	}
	if skew := now.Sub(at); skew > maxSkew || skew < -maxSkew {
		return denied("RequestTimeTooSkewed", "the clocks differ by more than 15 minutes")
	}
	scope := strings.Split(part["Credential"], "/")
	switch {
	case len(scope) != 5 || scope[1] != at.Format("20060102") || scope[4] != "aws4_request":
		return denied("IncompleteSignature", "the credential scope is malformed")
	case scope[0] != a.cfg.AccessKeyID:
		return denied("InvalidAccessKeyId", "unknown access key")
	case scope[3] != service:
		return denied("SignatureDoesNotMatch", "signed for another service")
	case scope[2] != region:
		return badRequest("AuthorizationHeaderMalformed", "the region is wrong. Expecting "+region)
	}
	sum := sha256.Sum256(body)
	payload := hex.EncodeToString(sum[:])
	if declared := r.Header.Get("X-Amz-Content-Sha256"); declared == "UNSIGNED-PAYLOAD" {
		payload = declared
	} else if declared != "" && declared != payload || declared == "" && service == "s3" {
		return badRequest("XAmzContentSHA256Mismatch", "the body does not match the signed hash")
	}
	again, bad := unsigned(r, strings.Split(part["SignedHeaders"], ";"))
	if bad != nil {
		return bad
	}
	credentials := sdk.Credentials{AccessKeyID: a.cfg.AccessKeyID, SecretAccessKey: a.cfg.SecretAccessKey}
	err = v4.NewSigner().SignHTTP(r.Context(), credentials, again, payload, service, region, at, func(o *v4.SignerOptions) {
		o.DisableURIPathEscaping = service == "s3" // its paths are escaped once
	})
	_, want, _ := strings.Cut(again.Header.Get("Authorization"), "Signature=")
	if err != nil || !hmac.Equal([]byte(part["Signature"]), []byte(want)) {
		return denied("SignatureDoesNotMatch", "the signature does not match the request")
	}
	return nil
}

// unsigned returns the request as it was before its signature, with only the headers
// that the signature names.
func unsigned(r *http.Request, signed []string) (*http.Request, *apiError) {
	if !slices.IsSorted(signed) || !slices.Contains(signed, "host") {
		return nil, denied("SignatureDoesNotMatch", "the signed headers are not sorted or do not include host")
	}
	out := r.Clone(r.Context())
	if !slices.Contains(signed, "content-length") {
		out.ContentLength = 0 // the signer signs every other length
	}
	for k := range r.Header {
		name := strings.ToLower(k)
		if slices.Contains(signed, name) {
			continue
		}
		if strings.HasPrefix(name, "x-amz-") {
			return nil, denied("AccessDenied", "the header "+name+" is not signed")
		}
		out.Header.Del(k)
	}
	return out, nil
}
