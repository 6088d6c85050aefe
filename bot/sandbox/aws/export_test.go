package aws

import (
	"net/http"
	"time"
)

// Refusal is the code with which a request is refused; "" if it is genuine.
func (a *Account) Refusal(r *http.Request, body []byte, service, region string, now time.Time) string {
	if f := a.authentic(r, body, service, region, now); f != nil {
		return f.code
	}
	return ""
}
