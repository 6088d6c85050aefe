package config

import (
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
)

func TestSignOff_Attestations(t *testing.T) {
	for name, a := range map[string]Attestation{
		"no text": {Version: "1"}, "long text": {Version: "1", Text: strings.Repeat("é", 1001)}, "no version": {Text: "x"}, "reserved version": {Version: "tocsin/1", Text: "x"},
	} {
		s := SignOff{Require: "any", DeputyAfter: time.Hour, HeadAfter: 2 * time.Hour, Attestations: map[string]Attestation{"legal": a}}
		if p := s.Validate(); len(p) != 1 || !strings.HasPrefix(p[0].Key, "attestations.legal.") {
			t.Errorf("%s: got %v, want one problem", name, p)
		}
	}
	s := SignOff{Require: "any", DeputyAfter: time.Hour, HeadAfter: 2 * time.Hour, Attestations: map[string]Attestation{"legal": {Version: "2026-11", Text: strings.Repeat("é", 1000)}}}
	if p := s.Validate(); len(p) != 0 {
		t.Errorf("got %v, want no problem", p)
	}
	policy := s.Policy(incident.Policy{})
	if got := policy.Attestation(incident.Legal); got.Version != "2026-11" || policy.Attestation(incident.Security).Text == "" || policy.SignHeadAfter != 2*time.Hour {
		t.Errorf("got %+v, want the statement of the configuration for legal and the built-in one for security", policy)
	}
}
