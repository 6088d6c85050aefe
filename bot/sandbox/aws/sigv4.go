package aws

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	algorithm     = "AWS4-HMAC-SHA256"
	amzDateLayout = "20060102T150405Z"
	maxSkew       = 15 * time.Minute
)

func denied(code, message string) *apiError { return &apiError{http.StatusForbidden, code, message} }

// verifySignature checks Signature Version 4 as Amazon documents it, with the
// canonical request, the string to sign and the derived key. It was written
// without reading the SDK's signer, which lets each implementation test the
// other.
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
	canonical, bad := canonicalRequest(r, strings.Split(part["SignedHeaders"], ";"), payload)
	if bad != nil {
		return bad
	}
	hashed := sha256.Sum256([]byte(canonical))
	toSign := strings.Join([]string{algorithm, at.Format(amzDateLayout), strings.Join(scope[1:], "/"), hex.EncodeToString(hashed[:])}, "\n")
	key := []byte("AWS4" + a.cfg.SecretAccessKey)
	for _, s := range scope[1:] {
		key = hmacSHA256(key, s)
	}
	if !hmac.Equal([]byte(part["Signature"]), []byte(hex.EncodeToString(hmacSHA256(key, toSign)))) {
		return denied("SignatureDoesNotMatch", "the signature does not match the request")
	}
	return nil
}

func hmacSHA256(key []byte, s string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(s))
	return h.Sum(nil)
}

func canonicalRequest(r *http.Request, signed []string, payload string) (string, *apiError) {
	if !slices.IsSorted(signed) || !slices.Contains(signed, "host") {
		return "", denied("SignatureDoesNotMatch", "the signed headers are not sorted or do not include host")
	}
	for k := range r.Header {
		if k = strings.ToLower(k); strings.HasPrefix(k, "x-amz-") && !slices.Contains(signed, k) {
			return "", denied("AccessDenied", "the header "+k+" is not signed")
		}
	}
	var headers strings.Builder
	for _, k := range signed {
		v := strings.Join(r.Header.Values(k), ",")
		switch k {
		case "host":
			v = r.Host
		case "content-length":
			v = r.Header.Get("Content-Length")
			if v == "" && r.ContentLength >= 0 {
				v = itoa(r.ContentLength)
			}
		}
		headers.WriteString(k + ":" + strings.Join(strings.Fields(v), " ") + "\n")
	}
	var query []string
	for k, vs := range r.URL.Query() {
		for _, v := range vs {
			query = append(query, uriEncode(k, false)+"="+uriEncode(v, false))
		}
	}
	slices.Sort(query)
	path := uriEncode(r.URL.Path, true)
	if path == "" {
		path = "/"
	}
	return strings.Join([]string{r.Method, path, strings.Join(query, "&"), headers.String(), strings.Join(signed, ";"), payload}, "\n"), nil
}

// uriEncode percent-encodes every byte except Amazon's unreserved characters.
// If path is true it leaves slashes alone.
func uriEncode(s string, path bool) string {
	const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; strings.IndexByte(plain, c) >= 0 || path && c == '/' {
			b.WriteByte(c)
		} else {
			b.WriteString("%" + strings.ToUpper(hex.EncodeToString([]byte{c})))
		}
	}
	return b.String()
}
