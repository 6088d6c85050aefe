package sns

import (
	"crypto/x509"
	"net/http"
)

// NewWith returns a Source that uses the given client and roots.
func NewWith(c Config, d Deps, client *http.Client, roots *x509.CertPool) (*Source, error) {
	d.client, d.roots = client, roots
	return New(c, d)
}

// StringToSign returns the text that Amazon signs.
func StringToSign(body []byte) (string, error) {
	env, err := parseEnvelope(body)
	if err != nil {
		return "", err
	}
	return env.stringToSign()
}
