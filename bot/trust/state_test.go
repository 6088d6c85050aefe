package trust_test

import (
	"slices"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/trust"
)

var t0 = time.Date(2026, 11, 3, 9, 0, 0, 0, time.UTC)

// at returns a time some minutes after the first event.
func at(minutes int) time.Time { return t0.Add(time.Duration(minutes) * time.Minute) }

// registered returns the event of a registration. The key is named by its credential.
func registered(id int64, minute int, person incident.PersonID, key, through string, d trust.Details) trust.Event {
	d.Credential, d.PublicKey = []byte(key), []byte("spki "+key)
	return trust.Event{ID: id, At: at(minute), Kind: trust.PasskeyRegistered, Person: person, By: person, Through: through, Fingerprint: incident.KeyFingerprint(d.PublicKey), Details: d}
}

func fingerprint(key string) string { return incident.KeyFingerprint([]byte("spki " + key)) }

func TestFold_EarliestRevocationCounts(t *testing.T) {
	revoked := func(id int64, minute, since int) trust.Event {
		return trust.Event{ID: id, At: at(minute), Kind: trust.PasskeyRevoked, Person: "ada", By: "ada", Fingerprint: fingerprint("k1"), Details: trust.Details{Since: at(since)}}
	}
	s := trust.Fold([]trust.Event{registered(1, 0, "ada", "k1", "okta", trust.Details{}), registered(2, 1, "bob", "k2", "okta", trust.Details{}),
		revoked(3, 60, 60), revoked(4, 70, 30), revoked(5, 80, 50)})
	keys := s.Passkeys("ada")
	if len(keys) != 1 || !keys[0].RevokedAt.Equal(at(30)) {
		t.Fatalf("got %+v, want k1 revoked at %v", keys, at(30))
	}
	if !keys[0].ActiveAt(at(29)) || keys[0].ActiveAt(at(30)) {
		t.Error("the key is not active exactly until its revocation")
	}
	if owner, ok := s.Owner([]byte("k2")); !ok || owner.Person != "bob" || !owner.RevokedAt.IsZero() {
		t.Errorf("got %+v, %v, want the key of bob", owner, ok)
	}
	if _, ok := s.Owner([]byte("k3")); ok {
		t.Error("an unknown credential has an owner")
	}
}

// TestSince_FollowsApprovals checks that a key falls with the key or voucher that approved it.
func TestSince_FollowsApprovals(t *testing.T) {
	s := trust.Fold([]trust.Event{
		registered(1, 0, "ada", "before", "slack", trust.Details{}),
		registered(2, 10, "ada", "direct", "slack", trust.Details{}),
		registered(3, 11, "ada", "second", "passkey", trust.Details{Approvers: []string{fingerprint("direct")}}),
		{ID: 4, At: at(12), Kind: trust.Vouched, Person: "bob", By: "ada", Through: "passkey", Fingerprint: fingerprint("second"), Details: trust.Details{Expires: at(99)}},
		{ID: 5, At: at(13), Kind: trust.Vouched, Person: "cid", By: "ada", Through: "passkey", Fingerprint: fingerprint("second"), Details: trust.Details{Expires: at(99)}},
		{ID: 6, At: at(13), Kind: trust.Vouched, Person: "cid", By: "dan", Through: "okta", Fingerprint: fingerprint("other"), Details: trust.Details{Expires: at(99)}},
		registered(7, 14, "bob", "third", "okta", trust.Details{Approvers: []string{fingerprint("second")}, Used: []int64{4}}),
		registered(8, 15, "eve", "apart", "okta", trust.Details{}),
	})
	keys, open := s.Since([]string{"slack", "slack-oidc"}, at(5))
	var got []string
	for _, k := range keys {
		got = append(got, string(k.Credential))
	}
	if want := []string{"direct", "second", "third"}; !slices.Equal(got, want) || len(open) != 1 || open[0] != 5 {
		t.Errorf("got keys %v and open vouchers %v, want %v and [5]", got, open, want)
	}
}
