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
	algorithm = "AWS4-HMAC-SHA256"
	instant   = "20060102T150405Z"
	maxSkew   = 15 * time.Minute
)

func denied(code, message string) *fault { return &fault{http.StatusForbidden, code, message} }

// authentic checks Signature Version 4 by Amazon's description of it: the
// canonical request, the string to sign, the derived key. It was written
// without a look at the SDK's signer, so that one can catch the other out.
func (a *Account) authentic(r *http.Request, body []byte, service, region string, now time.Time) *fault {
	fields, ok := strings.CutPrefix(r.Header.Get("Authorization"), algorithm+" ")
	if !ok {
		return denied("MissingAuthenticationToken", "the request is not signed")
	}
	part := map[string]string{}
	for f := range strings.SplitSeq(fields, ",") {
		k, v, _ := strings.Cut(strings.TrimSpace(f), "=")
		part[k] = v
	}
	at, err := time.Parse(instant, r.Header.Get("X-Amz-Date"))
	if err != nil {
		return denied("IncompleteSignature", "X-Amz-Date is missing")
	}
	if skew := now.Sub(at); skew > maxSkew || skew < -maxSkew {
		return denied("RequestTimeTooSkewed", "the clocks differ too much")
	}
	scope := strings.Split(part["Credential"], "/")
	switch {
	case len(scope) != 5 || scope[1] != at.Format("20060102") || scope[4] != "aws4_request":
		return denied("IncompleteSignature", "the credential scope is malformed")
	case scope[0] != a.cfg.AccessKeyID:
		return denied("InvalidAccessKeyId", "the key is not known")
	case scope[3] != service:
		return denied("SignatureDoesNotMatch", "signed for another service")
	case scope[2] != region:
		return badRequest("AuthorizationHeaderMalformed", "the region is wrong; expecting "+region)
	}
	sum := sha256.Sum256(body)
	payload := hex.EncodeToString(sum[:])
	if said := r.Header.Get("X-Amz-Content-Sha256"); said == "UNSIGNED-PAYLOAD" {
		payload = said
	} else if said != "" && said != payload || said == "" && service == "s3" {
		return badRequest("XAmzContentSHA256Mismatch", "the body is not the one that was signed")
	}
	canonical, bad := canonicalRequest(r, strings.Split(part["SignedHeaders"], ";"), payload)
	if bad != nil {
		return bad
	}
	hashed := sha256.Sum256([]byte(canonical))
	toSign := strings.Join([]string{algorithm, at.Format(instant), strings.Join(scope[1:], "/"), hex.EncodeToString(hashed[:])}, "\n")
	key := []byte("AWS4" + a.cfg.SecretAccessKey)
	for _, s := range scope[1:] {
		key = mac(key, s)
	}
	if !hmac.Equal([]byte(part["Signature"]), []byte(hex.EncodeToString(mac(key, toSign)))) {
		return denied("SignatureDoesNotMatch", "the signature does not fit the request")
	}
	return nil
}

func mac(key []byte, s string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(s))
	return h.Sum(nil)
}

func canonicalRequest(r *http.Request, signed []string, payload string) (string, *fault) {
	if !slices.IsSorted(signed) || !slices.Contains(signed, "host") {
		return "", denied("SignatureDoesNotMatch", "the signed headers are not in order, or lack the host")
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
			query = append(query, escape(k, false)+"="+escape(v, false))
		}
	}
	slices.Sort(query)
	path := escape(r.URL.Path, true)
	if path == "" {
		path = "/"
	}
	return strings.Join([]string{r.Method, path, strings.Join(query, "&"), headers.String(), strings.Join(signed, ";"), payload}, "\n"), nil
}

// escape is Amazon's URI encoding: everything but the unreserved characters.
func escape(s string, path bool) string {
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
