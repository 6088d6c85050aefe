package intake

import (
	"strings"
	"testing"
)

func TestWellFormed(t *testing.T) {
	for name, c := range map[string]struct{ body, fault string }{
		"an object":                   {`{"a":[1,2.5e3,"x",null,true],"b":{"a":1}}`, ""},
		"a text":                      {`"x"`, ""},
		"white space around":          {" \r\n{}\t", ""},
		"deep, but not too":           {strings.Repeat("[", 200) + strings.Repeat("]", 200), ""},
		"a long number that is small": {"0." + strings.Repeat("0", 400) + "1", ""},
		"a large number":              {"1e308", ""},
		"an escaped surrogate pair":   {`"\ud83d\ude00"`, ""},
		"empty":                       {"", "the body is empty; one JSON document is expected"},
		"blank":                       {"  \n", "the body is empty; one JSON document is expected"},
		"no JSON":                     {"hello", "the body is not JSON (byte 0)"},
		"a form":                      {"a=1&b=2", "the body is not JSON (byte 0)"},
		"cut off":                     {`{"data":{"event":`, "the JSON ends early at /data/event (byte 17)"},
		"a comma too many":            {`{"a":[1,]}`, "the body is not JSON at /a (byte 7)"},
		"too deep":                    {`{"a":` + strings.Repeat("[", 200), "the body is nested deeper than 200 levels at /a" + strings.Repeat("/0", 99) + "… (byte 205)"},
		"far too deep":                {strings.Repeat("[", 100_000), "the body is nested deeper than 200 levels"},
		"a number too large":          {`{"a":{"n":1e999999}}`, "a number is too large at /a/n (byte 18); none may go beyond 1e308"},
		"a number of 400 digits":      {`[` + strings.Repeat("9", 400) + `]`, "a number is too large at /0 (byte 401); none may go beyond 1e308"},
		"bad UTF-8":                   {"{\"a\":\"x\xff\"}", "the text is not valid UTF-8 (byte 7)"},
		"a surrogate alone":           {`{"a":"\ud800"}`, ""},
		"a repeated key":              {`{"data":{"id":1,"x":2,"id":3}}`, "a key is repeated at /data/id (byte 22); every key may stand once in its object"},
		"a key repeated in disguise":  {`{"id":1,"\u0069d":3}`, "a key is repeated at /id (byte 8); every key may stand once in its object"},
		"two documents":               {`{}{}`, "the body holds more than one JSON document; the second ends at byte 4"},
		"a byte order mark":           {"\ufeff{}", "the body is not JSON (byte 0)"},
	} {
		t.Run(name, func(t *testing.T) {
			err := validateJSON([]byte(c.body))
			switch {
			case c.fault == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.fault != "" && err == nil:
				t.Errorf("taken; want %q", c.fault)
			case c.fault != "" && !strings.HasPrefix(err.Error(), c.fault):
				t.Errorf("%q; want %q", err, c.fault)
			}
		})
	}
}
