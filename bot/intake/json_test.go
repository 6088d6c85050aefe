package intake

import (
	"strings"
	"testing"
)

func TestValidateJSON(t *testing.T) {
	for name, tt := range map[string]struct{ body, want string }{
		"object":                      {`{"a":[1,2.5e3,"x",null,true],"b":{"a":1}}`, ""},
		"string":                      {`"x"`, ""},
		"surrounding white space":     {" \r\n{}\t", ""},
		"maximum depth":               {strings.Repeat("[", 200) + strings.Repeat("]", 200), ""},
		"long small number":           {"0." + strings.Repeat("0", 400) + "1", ""},
		"large number":                {"1e308", ""},
		"escaped surrogate pair":      {`"\ud83d\ude00"`, ""},
		"empty":                       {"", "the body is empty. Send one JSON document"},
		"blank":                       {"  \n", "the body is empty. Send one JSON document"},
		"not JSON":                    {"hello", "the body is not JSON (byte 0). Send one JSON document"},
		"form":                        {"a=1&b=2", "the body is not JSON (byte 0)"},
		"truncated":                   {`{"data":{"event":`, "the JSON ends early at /data/event (byte 17). Send the whole document"},
		"trailing comma":              {`{"a":[1,]}`, "the body is not JSON at /a (byte 7)"},
		"too deep":                    {`{"a":` + strings.Repeat("[", 200), "the body is nested deeper than 200 levels at /a" + strings.Repeat("/0", 99) + "… (byte 205). Send a flatter document"},
		"far too deep":                {strings.Repeat("[", 100_000), "the body is nested deeper than 200 levels"},
		"number too large":            {`{"a":{"n":1e999999}}`, "a number is too large at /a/n (byte 18). The maximum is 1e308"},
		"number of 400 digits":        {`[` + strings.Repeat("9", 400) + `]`, "a number is too large at /0 (byte 401). The maximum is 1e308"},
		"invalid UTF-8":               {"{\"a\":\"x\xff\"}", "the body is not valid UTF-8 (byte 7). Encode it as UTF-8"},
		"lone surrogate":              {`{"a":"\ud800"}`, ""},
		"repeated key":                {`{"data":{"id":1,"x":2,"id":3}}`, "a key is repeated at /data/id (byte 22). Use each key once in an object"},
		"repeated key with an escape": {`{"id":1,"\u0069d":3}`, "a key is repeated at /id (byte 8). Use each key once in an object"},
		"two documents":               {`{}{}`, "the body contains more than one JSON document (byte 4). Send one for each request"},
		"byte order mark":             {"\ufeff{}", "the body is not JSON (byte 0)"},
	} {
		t.Run(name, func(t *testing.T) {
			err := validateJSON([]byte(tt.body))
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("got error %v, want none", err)
			case tt.want != "" && err == nil:
				t.Errorf("got no error, want %q", tt.want)
			case tt.want != "" && !strings.HasPrefix(err.Error(), tt.want):
				t.Errorf("got %q, want prefix %q", err, tt.want)
			}
		})
	}
}
