package sns

import (
	"crypto/x509"
	"net/http"
)

// NewWith makes a source that asks this client and believes these roots.
func NewWith(c Config, client *http.Client, roots *x509.CertPool) (*Source, error) {
	return newSource(c, client, roots)
}

// StringToSign shows the text that is signed.
func StringToSign(body []byte) (string, error) {
	env, err := parseEnvelope(body)
	if err != nil {
		return "", err
	}
	return env.stringToSign()
}
