package detect

import (
	"slices"
	"strings"
)

// reserved are the keys of a detection that are no identifiers.
var reserved = []string{"condition", "timeframe"}

// detection compiles the map of named detections with its condition. The keys in
// skip are none of them. unused are the names that no condition uses.
func (c *compiler) detection(v *value, skip ...string) (e expr, unused []string, err error) {
	if v.kind != isMap {
		return nil, nil, faultf(v.line, "the detection must be a map, not %s", v.kind)
	}
	if f := v.get("timeframe"); f != nil {
		return nil, nil, faultf(f.line, "timeframe is obsolete; write a correlation document")
	}
	ids := &identifiers{used: map[string]bool{}}
	for i, name := range v.keys {
		if slices.Contains(reserved, name) || slices.Contains(skip, name) {
			continue
		}
		if name == "" || strings.ContainsAny(name, " \t\n()|*?") {
			return nil, nil, faultf(v.items[i].line, "%q cannot be the name of a detection", name)
		}
		e, err := c.named(name, v.items[i])
		if err != nil {
			return nil, nil, err
		}
		ids.add(name, e)
	}
	if len(ids.names) == 0 {
		return nil, nil, faultf(v.line, "nothing is to be detected")
	}
	condition := v.get("condition")
	if condition == nil {
		return nil, nil, faultf(v.line, "the condition is missing")
	}
	if e, err = conditions(condition, ids); err != nil {
		return nil, nil, err
	}
	for _, name := range ids.names {
		if !ids.used[name] {
			unused = append(unused, name)
		}
	}
	return e, unused, nil
}

// conditions compiles a condition, or a list of them joined by or.
func conditions(v *value, ids *identifiers) (expr, error) {
	list := []*value{v}
	if v.kind == isList {
		list = v.items
	}
	var es []expr
	for _, one := range list {
		if one.kind != isText {
			return nil, faultf(one.line, "a condition is a text, not %s", one.kind)
		}
		e, err := parseCondition(one.text, one.line, ids)
		if err != nil {
			return nil, err
		}
		es = append(es, e)
	}
	if len(es) == 0 {
		return nil, faultf(v.line, "the condition is empty")
	}
	return anyOf(es), nil
}

// named compiles one detection: a map is and, a list is or, texts are keywords.
func (c *compiler) named(name string, v *value) (expr, error) {
	switch v.kind {
	case isMap:
		return c.mapped(name, v)
	case isList:
		var es []expr
		for _, e := range v.items {
			if e.kind == isList {
				return nil, faultf(e.line, "a list stands in a list in %q", name)
			}
			x, err := c.named(name, e)
			if err != nil {
				return nil, err
			}
			es = append(es, x)
		}
		if len(es) == 0 {
			return nil, faultf(v.line, "%q is an empty list, so it could never match", name)
		}
		return anyOf(es), nil
	case isNull:
		return nil, faultf(v.line, "%q is empty", name)
	}
	if v.text == "" {
		return nil, faultf(v.line, "a keyword in %q is empty", name)
	}
	return c.item("", v)
}

func (c *compiler) mapped(name string, v *value) (expr, error) {
	var es []expr
	for i, key := range v.keys {
		e, err := c.item(key, v.items[i])
		if err != nil {
			return nil, err
		}
		es = append(es, e)
	}
	if len(es) == 0 {
		return nil, faultf(v.line, "%q is an empty map, so it would match everything", name)
	}
	return allOf(es), nil
}
