package intake

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// headerMalformed is a stored header of a verified body that is not one JSON document. Its
// value is the reason. No request can set it, because only the headers that a source names
// are stored.
const headerMalformed = "Tocsin-Malformed"

// malformedWindow is how long an identical malformed body counts as a repeat, if the
// credential is in a header. An empty body a day later is another delivery. An identical
// signed body is always a repeat, because a recorded one could be sent again.
const malformedWindow = time.Hour

// markMalformed marks a verified delivery whose body is not one JSON document. received is
// the body as it was received. The ID does not come from the sender, because it must not
// hide a later delivery that is readable.
func (v *Delivery) markMalformed(ep *endpoint, h http.Header, reason error, received []byte) {
	v.Header[headerMalformed] = cleanText(reason.Error(), maxLine)
	v.ID = "malformed:" + text.SHA256(received)
	verifier, ok := ep.Source.(HeaderVerifier)
	if !ok {
		return
	}
	if possible, _ := verifier.VerifyHeader(h); possible {
		v.ID += fmt.Sprintf("@%d", v.Received.Truncate(malformedWindow).Unix())
	}
}

// malformedReason returns why the body of a stored row is not one JSON document, or nil. It
// reads the body again, because a newer program may read more.
func malformedReason(row Row) error {
	stored := row.Header[headerMalformed]
	if stored == "" {
		return nil
	}
	if _, isShort := parseShortening(row.Header[headerShortened]); isShort {
		return errors.New(stored) // only the beginning of the body is stored
	}
	return validateJSON(row.Body)
}

// malformed adds the alert about a body that is not one JSON document. All such bodies of a
// source belong to one incident, because the position and the kind of the error differ
// from body to body.
func malformed(out incident.DecodedDelivery, row Row, reason string) incident.DecodedDelivery {
	out = undecodable(out, row, reason)
	key := incident.UndecodableKind(row.Source) + "|malformed"
	for n := range out.Signals {
		out.Signals[n].Alert.Fingerprint, out.Signals[n].Alert.Correlation = key, key
	}
	return out
}
