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

// config has a secret in every kind of field.
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

func newConfig() config {
	s := secret.New(plaintext)
	return config{
		Token: s, Pointer: &s, List: []secret.String{s}, Map: map[string]secret.String{"k": s}, Any: s,
		Nested: nested{Deep: &nested{Secret: s, hidden: s}, Secret: s, hidden: s},
		hidden: s, hiddenPointer: &s, hiddenList: []secret.String{s},
		hiddenMap: map[string]secret.String{"k": s}, hiddenAny: &s,
	}
}

// findLeak reports whether out contains the plaintext in some encoding, and
// returns the name of the encoding.
func findLeak(out string) (string, bool) {
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

func TestString_Formatting(t *testing.T) {
	c := newConfig()
	values := map[string]any{"struct": c, "pointer": &c, "secret": c.Token, "pointer to secret": c.Pointer, "list": c.List, "map": c.Map, "interface": c.Any}
	for name, v := range values {
		for _, flags := range []string{"", "+", "#", " ", "0", "-", "+#", "20", "-20.3"} {
			for _, verb := range "vsqxXdobcUeEfFgGtpTw" {
				format := "%" + flags + string(verb)
				if how, leaked := findLeak(fmt.Sprintf(format, v)); leaked {
					t.Errorf("%s of a %s prints the secret (%s)", format, name, how)
				}
			}
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		if got := fmt.Sprintf(verb, c.Token); got != "[secret]" {
			t.Errorf("%s: got %q, want [secret]", verb, got)
		}
		if got := fmt.Sprintf(verb, secret.String{}); got != "" {
			t.Errorf("%s of an empty secret: got %q, want \"\"", verb, got)
		}
	}
}

func TestString_Encoders(t *testing.T) {
	c := newConfig()
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
		if how, leaked := findLeak(out); leaked {
			t.Errorf("%s prints the secret (%s):\n%s", name, how, out)
		}
		if !strings.Contains(out, "[secret]") {
			t.Errorf("%s: got %s, want [secret] in it", name, out)
		}
	}
}

func TestString_Decoding(t *testing.T) {
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
			t.Errorf("%s: empty string: got error %v, want the empty secret", name, err)
		}
		err := decode(`"[secret]"`, &s)
		if err == nil || !strings.Contains(err.Error(), secret.ErrMasked.Error()) {
			t.Errorf("%s: mask: got %v, want ErrMasked", name, err)
		}
	}
	var s settings
	if err := yaml.Unmarshal([]byte("token: 12345"), &s); err != nil || s.Token.Reveal() != "12345" {
		t.Errorf("unquoted YAML number: got %q, %v", s.Token.Reveal(), err)
	}
	if err := (&secret.String{}).UnmarshalText([]byte("[secret]")); !errors.Is(err, secret.ErrMasked) {
		t.Errorf("UnmarshalText of the mask: got %v, want ErrMasked", err)
	}
}

func TestString_Equal(t *testing.T) {
	s := secret.New(plaintext)
	for _, c := range []struct {
		name      string
		secret    secret.String
		candidate string
		want      bool
	}{
		{"equal", s, plaintext, true},
		{"different", s, plaintext[:len(plaintext)-1] + "0", false},
		{"prefix", s, plaintext[:4], false},
		{"empty candidate", s, "", false},
		{"mask", s, s.String(), false},
		{"empty secret, empty candidate", secret.New(""), "", false},
		{"empty secret", secret.String{}, plaintext, false},
	} {
		if got := c.secret.Equal(c.candidate); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
	if s.IsZero() || !secret.New("").IsZero() || secret.New("").Reveal() != "" || s.Reveal() != plaintext {
		t.Error("IsZero or Reveal is wrong")
	}
}
