package chat

import (
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
)

func addForm(args map[string]any, form url.Values) {
	for k, v := range form {
		if len(v) > 0 {
			args[k] = v[0]
		}
	}
}

// str returns a string, number or boolean argument as text. It returns "" for every other type.
func (c *call) str(name string) string {
	switch v := c.args[name].(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case bool:
		return strconv.FormatBool(v)
	}
	return ""
}

func (c *call) flag(name string) bool {
	s := c.str(name)
	return s == "true" || s == "1"
}

// list returns the elements of a comma-separated argument, or the strings of a JSON array.
func (c *call) list(name string) []string {
	var out []string
	if a, ok := c.args[name].([]any); ok {
		for _, v := range a {
			if s, ok := v.(string); ok {
				out = append(out, s)
			}
		}
		return out
	}
	for _, s := range strings.Split(c.str(name), ",") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// value returns a structured argument: a value of a JSON body, or the decoded JSON of a form field. It returns nil if
// the argument is absent or empty.
func (c *call) value(name string) (any, error) {
	s, isText := c.args[name].(string)
	if !isText {
		return c.args[name], nil
	}
	if strings.TrimSpace(s) == "" {
		return nil, nil
	}
	var v any
	err := json.Unmarshal([]byte(s), &v)
	return v, err
}
