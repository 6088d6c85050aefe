package secret_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"tocsin/bot/secret"
)

const plaintext = "xoxb-plaintext-7f3a9"

// config holds a secret in every place a configuration could.
type config struct {
	Token   secret.String            `json:"token" yaml:"token"`
	Pointer *secret.String           `json:"pointer" yaml:"pointer"`
	List    []secret.String          `json:"list" yaml:"list"`
	Map     map[string]secret.String `json:"map" yaml:"map"`
	Any     any                      `json:"any" yaml:"any"`
	Nested  nested                   `json:"nested" yaml:"nested"`
	Empty   secret.String            `json:"empty,omitzero" yaml:"empty,omitempty"`

	hidden        secret.String
	hiddenPointer *secret.String
	hiddenList    []secret.String
	hiddenMap     map[string]secret.String
	hiddenAny     any
}

type nested struct {
	Deep   *nested       `json:"deep,omitempty" yaml:"deep,omitempty"`
	Secret secret.String `json:"secret" yaml:"secret"`
	hidden secret.String
}

func filled() config {
	s := secret.New(plaintext)
	return config{
		Token: s, Pointer: &s, List: []secret.String{s}, Map: map[string]secret.String{"k": s}, Any: s,
		Nested: nested{Deep: &nested{Secret: s, hidden: s}, Secret: s, hidden: s},
		hidden: s, hiddenPointer: &s, hiddenList: []secret.String{s},
		hiddenMap: map[string]secret.String{"k": s}, hiddenAny: &s,
	}
}

// leaks reports in which disguise the plaintext stands in out.
func leaks(out string) (string, bool) {
	for name, form := range map[string]string{
		"plain": plaintext, "hex": hex.EncodeToString([]byte(plaintext)), "hex upper": strings.ToUpper(hex.EncodeToString([]byte(plaintext))),
		"base64": base64.StdEncoding.EncodeToString([]byte(plaintext)), "bytes": strings.Trim(fmt.Sprint([]byte(plaintext)), "[]"),
		"part": plaintext[5:],
	} {
		if strings.Contains(out, form) {
			return name, true
		}
	}
	return "", false
}

func TestNoFormattingShowsTheSecret(t *testing.T) {
	c := filled()
	values := map[string]any{"struct": c, "pointer": &c, "secret": c.Token, "pointer to secret": c.Pointer, "list": c.List, "map": c.Map, "interface": c.Any}
	for name, v := range values {
		for _, flags := range []string{"", "+", "#", " ", "0", "-", "+#", "20", "-20.3"} {
			for _, verb := range "vsqxXdobcUeEfFgGtpTw" {
				format := "%" + flags + string(verb)
				if how, leaked := leaks(fmt.Sprintf(format, v)); leaked {
					t.Errorf("%s of a %s shows the secret (%s)", format, name, how)
				}
			}
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		if got := fmt.Sprintf(verb, c.Token); got != "[secret]" {
			t.Errorf("%s gives %q, want [secret]", verb, got)
		}
		if got := fmt.Sprintf(verb, secret.String{}); got != "" {
			t.Errorf("%s of an empty secret gives %q, want nothing", verb, got)
		}
	}
}

func TestNoEncoderShowsTheSecret(t *testing.T) {
	c := filled()
	encoders := map[string]func() (string, error){
		"json": func() (string, error) { b, err := json.Marshal(c); return string(b), err },
		"yaml": func() (string, error) { b, err := yaml.Marshal(c); return string(b), err },
		"slog json": func() (string, error) {
			var b bytes.Buffer
			slog.New(slog.NewJSONHandler(&b, nil)).Info("started", "config", c, "token", c.Token, "pointer", c.Pointer, slog.Group("g", "t", c.Token))
			return b.String(), nil
		},
		"slog text": func() (string, error) {
			var b bytes.Buffer
			slog.New(slog.NewTextHandler(&b, nil)).Info("started", "config", c, "token", c.Token, "pointer", c.Pointer, slog.Group("g", "t", c.Token))
			return b.String(), nil
		},
		"template": func() (string, error) {
			var b bytes.Buffer
			err := template.Must(template.New("").Parse(`{{.Token}} {{.Pointer}} {{.Map}} {{printf "%+v" .}}`)).Execute(&b, c)
			return b.String(), err
		},
		"error": func() (string, error) { return fmt.Errorf("dial with %v: %+v", c.Token, c).Error(), nil },
	}
	for name, encode := range encoders {
		out, err := encode()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if how, leaked := leaks(out); leaked {
			t.Errorf("%s shows the secret (%s):\n%s", name, how, out)
		}
		if !strings.Contains(out, "[secret]") {
			t.Errorf("%s does not show that a secret is set:\n%s", name, out)
		}
	}
}

func TestDecoding(t *testing.T) {
	type settings struct {
		Token secret.String `json:"token" yaml:"token"`
	}
	for name, decode := range map[string]func(string, *settings) error{
		"json": func(v string, s *settings) error { return json.Unmarshal([]byte(`{"token":`+v+`}`), s) },
		"yaml": func(v string, s *settings) error { return yaml.Unmarshal([]byte(`token: `+v), s) },
	} {
		var s settings
		if err := decode(strconv.Quote(plaintext), &s); err != nil || s.Token.Reveal() != plaintext {
			t.Errorf("%s: got %q, %v", name, s.Token.Reveal(), err)
		}
		s = settings{}
		if err := decode(`""`, &s); err != nil || !s.Token.IsZero() {
			t.Errorf("%s: an empty string must decode to the empty secret, got %v", name, err)
		}
		err := decode(`"[secret]"`, &s)
		if err == nil || !strings.Contains(err.Error(), secret.ErrMasked.Error()) {
			t.Errorf("%s: the mask must be refused, got %v", name, err)
		}
	}
	var s settings
	if err := yaml.Unmarshal([]byte("token: 12345"), &s); err != nil || s.Token.Reveal() != "12345" {
		t.Errorf("an unquoted number in YAML: got %q, %v", s.Token.Reveal(), err)
	}
	if err := (&secret.String{}).UnmarshalText([]byte("[secret]")); !errors.Is(err, secret.ErrMasked) {
		t.Errorf("UnmarshalText of the mask: %v", err)
	}
}

func TestEqual(t *testing.T) {
	s := secret.New(plaintext)
	for _, c := range []struct {
		name      string
		secret    secret.String
		candidate string
		want      bool
	}{
		{"the same", s, plaintext, true},
		{"another", s, plaintext[:len(plaintext)-1] + "0", false},
		{"a prefix", s, plaintext[:4], false},
		{"nothing", s, "", false},
		{"the mask", s, s.String(), false},
		{"unset against nothing", secret.New(""), "", false},
		{"unset against something", secret.String{}, plaintext, false},
	} {
		if got := c.secret.Equal(c.candidate); got != c.want {
			t.Errorf("%s: Equal = %v, want %v", c.name, got, c.want)
		}
	}
	if s.IsZero() || !secret.New("").IsZero() || secret.New("").Reveal() != "" || s.Reveal() != plaintext {
		t.Error("IsZero and Reveal disagree with what was stored")
	}
}
