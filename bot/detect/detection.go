package detect

import (
	"errors"
	"slices"
	"strings"
)

// reserved are the keys of a detection that are no identifiers.
var reserved = []string{"condition", "timeframe"}

// detection compiles the map of named detections with its condition. The keys in
// skip are none of them. unused are the names that no condition uses. The error
// joins all faults that are found.
func (c *compiler) detection(v *value, skip ...string) (e expr, unused []string, err error) {
	if v.kind != isMap {
		return nil, nil, parseErrorf(v.line, "the detection must be a map, not %s", v.kind)
	}
	if f := v.get("timeframe"); f != nil {
		return nil, nil, parseErrorf(f.line, "timeframe is obsolete; write a correlation document")
	}
	var wrong []error
	ids := &identifiers{used: map[string]bool{}}
	for i, name := range v.keys {
		if slices.Contains(reserved, name) || slices.Contains(skip, name) {
			continue
		}
		if name == "" || strings.ContainsAny(name, " \t\n()|*?") {
			wrong = append(wrong, parseErrorf(v.items[i].line, "%q cannot be the name of a detection", name))
			continue
		}
		e, err := c.selection(name, v.items[i])
		if err != nil {
			wrong = append(wrong, err)
		}
		ids.add(name, e) // the condition is read even so, to say what is wrong with it too
	}
	if len(ids.names) == 0 && len(wrong) == 0 {
		return nil, nil, parseErrorf(v.line, "nothing is to be detected")
	}
	if condition := v.get("condition"); condition == nil {
		err = parseErrorf(v.line, "the condition is missing")
	} else {
		e, err = compileConditions(condition, ids)
	}
	if err = errors.Join(append(wrong, err)...); err != nil {
		return nil, nil, err
	}
	for _, name := range ids.names {
		if !ids.used[name] {
			unused = append(unused, name)
		}
	}
	return e, unused, nil
}

// compileConditions compiles a condition, or a list of them joined by or.
func compileConditions(v *value, ids *identifiers) (expr, error) {
	list := []*value{v}
	if v.kind == isList {
		list = v.items
	}
	var es []expr
	for _, one := range list {
		if one.kind != isText {
			return nil, parseErrorf(one.line, "a condition is a text, not %s", one.kind)
		}
		e, err := parseCondition(one.text, one.line, ids)
		if err != nil {
			return nil, err
		}
		es = append(es, e)
	}
	if len(es) == 0 {
		return nil, parseErrorf(v.line, "the condition is empty")
	}
	return anyOf(es), nil
}

// selection compiles one detection: a map is and, a list is or, texts are keywords.
func (c *compiler) selection(name string, v *value) (expr, error) {
	switch v.kind {
	case isMap:
		return c.selectionMap(name, v)
	case isList:
		return c.selectionList(name, v)
	case isNull:
		return nil, parseErrorf(v.line, "%q is empty", name)
	}
	if v.text == "" {
		return nil, parseErrorf(v.line, "a keyword in %q is empty", name)
	}
	return c.item("", v)
}

func (c *compiler) selectionList(name string, v *value) (expr, error) {
	var es []expr
	var wrong []error
	for _, e := range v.items {
		if e.kind == isList {
			wrong = append(wrong, parseErrorf(e.line, "a list stands in a list in %q", name))
			continue
		}
		x, err := c.selection(name, e)
		es, wrong = append(es, x), append(wrong, err)
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, err
	}
	if len(es) == 0 {
		return nil, parseErrorf(v.line, "%q is an empty list, so it could never match", name)
	}
	return anyOf(es), nil
}

func (c *compiler) selectionMap(name string, v *value) (expr, error) {
	var es []expr
	var wrong []error
	for i, key := range v.keys {
		e, err := c.item(key, v.items[i])
		es, wrong = append(es, e), append(wrong, err)
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, err
	}
	if len(es) == 0 {
		return nil, parseErrorf(v.line, "%q is an empty map, so it would match everything", name)
	}
	return allOf(es), nil
}
