package config

import (
	"context"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"tocsin/bot/cloudtrail"
	"tocsin/bot/intake"
	"tocsin/bot/setting"
)

// owners are the packages that own the keys of each section: the package declares the
// struct with the keys. The keys of a source belong to the package of its type.
var owners = map[string]string{
	"database": "store", "keyset_file": "store", "replica_id": "store", "retention": "store",
	"control_socket": "bot/control", "control_socket_group": "bot/control", "administrators": "bot/control",
	"slack": "bot/slack", "pagerduty": "bot/pagerduty", "mail": "bot/mail", "detection": "bot/detect", "redaction": "bot/redact", "telemetry": "bot/telemetry", "backup": "bot/backup", "notary": "bot/publication",
	"sign_in": "bot/web", "tls": "bot/web", "serve": "bot/web",
	"routing": "bot/response", "storm": "bot/response",
	"escalation.steps.pagerduty": "bot/pagerduty", "escalation.steps.mail": "bot/mail",
	// Several parts use these keys.
	"listen": "bot/config", "public_url": "bot/config", "conference_url": "bot/config", "time_zone": "bot/config", "language": "bot/config", "people": "bot/config", "departments": "bot/config", "teams": "bot/config",
	"secrets_file": "bot/config", "escalation": "bot/config", "sources": "bot/config", "playbooks": "bot/config", "updates": "bot/config", "sign_off": "bot/config", "review": "bot/config",
}

// TestConfig_EachKeyHasOneOwner walks all keys. Each must be declared once, with a yaml
// tag, by the package that owns it.
func TestConfig_EachKeyHasOneOwner(t *testing.T) {
	owners := maps.Clone(owners)
	used, declared := map[string]bool{}, map[string]string{}
	var walk func(rt reflect.Type, key string)
	walk = func(rt reflect.Type, key string) {
		for rt.Kind() == reflect.Pointer || rt.Kind() == reflect.Slice || rt.Kind() == reflect.Map {
			rt = rt.Elem()
		}
		if !hasKeys(rt) {
			return
		}
		for f := range rt.Fields() {
			name := f.Tag.Get("yaml")
			below := setting.Join(key, strings.TrimSuffix(name, ",inline"))
			switch {
			case name == "" || !f.IsExported():
				t.Errorf("%s.%s has no key", rt, f.Name)
				continue
			case name == ",inline":
				walk(f.Type, key)
				continue
			case declared[below] != "":
				t.Errorf("%s is declared by %s and by %s", below, declared[below], rt)
			}
			declared[below] = rt.String()
			owner, section := ownerOf(owners, below)
			if strings.HasSuffix(key, ".limits") || rt == reflect.TypeFor[intake.Usual]() {
				owner = "bot/intake"
			}
			used[section] = true
			if got := strings.TrimPrefix(rt.PkgPath(), "tocsin/"); got != owner && section != below {
				t.Errorf("%s is declared by %s of %s, want %s", below, rt, got, owner)
			}
			walk(f.Type, below)
		}
	}
	for _, s := range kinds() {
		rt := reflect.TypeOf(s.Settings)
		owners[indexPattern.ReplaceAllString(s.Key, "")] = strings.TrimPrefix(rt.PkgPath(), "tocsin/")
		if strings.HasSuffix(rt.PkgPath(), "/config") {
			t.Errorf("%s belongs to this package, want an adapter", s.Key)
		}
	}
	walk(reflect.TypeFor[Config](), "")
	for section := range owners {
		if !used[section] {
			t.Errorf("no key belongs to %s", section)
		}
	}
	if len(declared) < 150 {
		t.Errorf("got %d keys, want at least 150", len(declared))
	}
}

// ownerOf returns the owner of a key and the section that names it.
func ownerOf(owners map[string]string, key string) (owner, section string) {
	for section = key; section != ""; section = section[:max(strings.LastIndex(section, "."), 0)] {
		if owner, ok := owners[section]; ok {
			return owner, section
		}
	}
	return "", ""
}

// TestSources_RegistrationsAreComplete checks what the rest of the program relies on.
func TestSources_RegistrationsAreComplete(t *testing.T) {
	keys := fieldsOf(reflect.TypeFor[Sources]())
	if got := len(kinds()); got != len(keys)-1 { // all but trusted_proxies
		t.Errorf("got %d registered sources, want %d: each type of Sources must implement intake.Settings", got, len(keys)-1)
	}
	names := map[string]bool{}
	for _, s := range kinds() {
		switch {
		case s.Name == "" || names[s.Name]:
			t.Errorf("%s: got the name %q, want one of its own", s.Key, s.Name)
		case s.New == nil:
			t.Errorf("%s: it cannot be created", s.Key)
		case (s.Post.Sign == nil) == (s.Post.Refusal == ""):
			t.Errorf("%s: got no signature and no reason, or both", s.Key)
		case s.Feeds != "" && !slices.ContainsFunc(kinds(), func(other Source) bool { return other.Name == s.Feeds }):
			t.Errorf("%s feeds the unknown source %s", s.Key, s.Feeds)
		case !s.listed() && s.On:
			t.Errorf("%s is on without a configuration", s.Key)
		}
		names[s.Name] = true
		key, _, _ := strings.Cut(strings.TrimPrefix(s.Key, "sources."), "[")
		var example map[string]any
		if err := yaml.Unmarshal([]byte(s.Example), &example); err != nil || !slices.Equal(slices.Collect(maps.Keys(example)), []string{key}) {
			t.Errorf("%s: got an example of %v, %v, want one of %s", s.Key, slices.Collect(maps.Keys(example)), err, key)
		}
	}
}

// TestSources_AreCreated creates every source of the example. A source with the name of
// its registration must result, and one that runs or fails later must be fixed. It must
// accept the deliveries that Post signs.
func TestSources_AreCreated(t *testing.T) {
	c, err := parseText(Example)
	if err != nil {
		t.Fatal(err)
	}
	on := c.Sources.On()
	if len(on) != len(c.Sources.All()) || len(on) != len(kinds())+1 {
		t.Errorf("got %d sources that are on, want all %d, with two generic ones", len(on), len(kinds())+1)
	}
	deps := intake.Deps{Records: cloudtrail.New(c.Sources.CloudTrail, nil), Accept: func(context.Context, []intake.Delivery) error { return nil }}
	for _, s := range on {
		source, err := s.New(deps)
		if err != nil {
			t.Errorf("%s: %v", s.Key, err)
			continue
		}
		if source.Name() != s.Name {
			t.Errorf("%s: got the source %s, want %s", s.Key, source.Name(), s.Name)
		}
		_, runs := source.(intake.Runner)
		_, checked := source.(intake.Checked)
		if (runs || checked) && !s.Fixed {
			t.Errorf("%s must be fixed, because a reload would lose its state", s.Key)
		}
		if s.Post.Sign == nil {
			continue
		}
		signed, forged := http.Header{}, http.Header{}
		s.Post.Sign(signed, canary[:32], "id-1", []byte("{}"))
		s.Post.Sign(forged, "another secret", "id-1", []byte("{}"))
		if _, err := source.Verify(t.Context(), signed, []byte("{}"), time.Now()); err != nil {
			t.Errorf("%s: got %v for its own signature, want nil", s.Key, err)
		}
		if _, err := source.Verify(t.Context(), forged, []byte("{}"), time.Now()); err == nil {
			t.Errorf("%s: another secret was accepted", s.Key)
		}
	}
}

// TestSources_FeedTurnsOn checks that the reader of log files needs the decoder of their
// records, which has no keys then.
func TestSources_FeedTurnsOn(t *testing.T) {
	s := Defaults().Sources
	if on := s.On(); len(on) > 0 {
		t.Errorf("got %v on, want none without a configuration", on)
	}
	s.Trail.QueueURL = "https://sqs.eu-west-1.amazonaws.com/111122223333/trail"
	var names []string
	for _, one := range s.On() {
		names = append(names, one.Name)
	}
	if !slices.Equal(names, []string{"cloudtrail", "trail"}) {
		t.Errorf("got %v on, want cloudtrail and trail", names)
	}
}
