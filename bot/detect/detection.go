package detect

import (
	"errors"
	"slices"
	"strings"
)

// reserved are the keys of a detection that do not name a selection.
var reserved = []string{"condition", "timeframe"}

// detection compiles a map of named detections and its condition. It ignores the
// keys in skip. unused are the names that the condition does not use. The error
// joins all errors in the detection.
func (c *compiler) detection(v *value, skip ...string) (e expr, unused []string, err error) {
	if v.kind != isMap {
		return nil, nil, parseErrorf(v.line, "the detection must be a map, not %s", v.kind)
	}
	if f := v.get("timeframe"); f != nil {
		return nil, nil, parseErrorf(f.line, "timeframe is obsolete, write a correlation document instead")
	}
	var errs []error
	ids := &identifiers{used: map[string]bool{}}
	for i, name := range v.keys {
		if slices.Contains(reserved, name) || slices.Contains(skip, name) {
			continue
		}
		if name == "" || strings.ContainsAny(name, " \t\n()|*?") {
			errs = append(errs, parseErrorf(v.items[i].line, "%q cannot be the name of a detection, because it is empty or contains a space or one of ( ) | * ?", name))
			continue
		}
		e, err := c.selection(name, v.items[i])
		if err != nil {
			errs = append(errs, err)
		}
		ids.add(name, e) // also after an error, to report the errors of the condition too
	}
	if len(ids.names) == 0 && len(errs) == 0 {
		return nil, nil, parseErrorf(v.line, "the detection has nothing except a condition")
	}
	if condition := v.get("condition"); condition == nil {
		err = parseErrorf(v.line, "the condition is missing")
	} else {
		e, err = compileConditions(condition, ids)
	}
	if err = errors.Join(append(errs, err)...); err != nil {
		return nil, nil, err
	}
	for _, name := range ids.names {
		if !ids.used[name] {
			unused = append(unused, name)
		}
	}
	return e, unused, nil
}

// compileConditions compiles a condition or a list of conditions joined by or.
func compileConditions(v *value, ids *identifiers) (expr, error) {
	list := []*value{v}
	if v.kind == isList {
		list = v.items
	}
	var es []expr
	for _, one := range list {
		if one.kind != isText {
			return nil, parseErrorf(one.line, "the condition must be a text, not %s", one.kind)
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

// selection compiles one named detection. The items of a map are joined by and,
// those in a list by or. Texts are keywords.
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
	var errs []error
	for _, e := range v.items {
		if e.kind == isList {
			errs = append(errs, parseErrorf(e.line, "%q contains a list inside a list", name))
			continue
		}
		x, err := c.selection(name, e)
		es, errs = append(es, x), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if len(es) == 0 {
		return nil, parseErrorf(v.line, "%q is an empty list, so it could never match", name)
	}
	return anyOf(es), nil
}

func (c *compiler) selectionMap(name string, v *value) (expr, error) {
	var es []expr
	var errs []error
	for i, key := range v.keys {
		e, err := c.item(key, v.items[i])
		es, errs = append(es, e), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if len(es) == 0 {
		return nil, parseErrorf(v.line, "%q is an empty map, so it would match everything", name)
	}
	return allOf(es), nil
}
