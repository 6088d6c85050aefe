package incident

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"
)

// clientData is the part of the client data of a browser that a proof depends on.
type clientData struct {
	kind, challenge, origin string
	embedded                bool // the page was inside a page of another origin
}

// verifyClientData checks what the browser signed.
func (p Proof) verifyClientData() error {
	client, err := parseClientData(p.ClientData)
	if err != nil {
		return err
	}
	switch {
	case client.kind != "webauthn.get":
		return errors.New("the client data is not about a signature")
	case client.challenge != base64.RawURLEncoding.EncodeToString(p.Statement.Challenge()):
		return errors.New("the passkey signed another statement")
	case client.origin != p.Origin:
		return errors.New("the page belongs to another origin")
	case client.embedded:
		return errors.New("the page was inside a page of another origin")
	}
	return nil
}

var errClientData = errors.New("the client data is not one JSON object with unique members")

// parseClientData reads client data more strictly than encoding/json: names are compared with
// regard to case, and a member that occurs twice is an error, because two readers could
// choose different ones.
func parseClientData(raw []byte) (clientData, error) {
	var out clientData
	if len(raw) > maxClientData || !utf8.Valid(raw) {
		return out, errClientData
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return out, errClientData
	}
	seen := map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		if err != nil || !ok || seen[name] {
			return out, errClientData
		}
		seen[name] = true
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return out, errClientData
		}
		if err := out.set(name, value); err != nil {
			return out, err
		}
	}
	if _, err := dec.Token(); err != nil {
		return out, errClientData
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return out, errClientData
	}
	return out, nil
}

// set sets one member. Browsers may add members that this version does not know.
func (c *clientData) set(name string, value json.RawMessage) error {
	var target any
	switch name {
	case "type":
		target = &c.kind
	case "challenge":
		target = &c.challenge
	case "origin":
		target = &c.origin
	case "crossOrigin":
		var embedded bool
		err := json.Unmarshal(value, &embedded)
		c.embedded = c.embedded || embedded
		if err != nil {
			return errClientData
		}
		return nil
	case "topOrigin":
		c.embedded = true
		return nil
	default:
		return nil
	}
	if json.Unmarshal(value, target) != nil {
		return errClientData
	}
	return nil
}
