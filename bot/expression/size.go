package expression

import "unicode/utf8"

// value is the size of a value: an upper bound, or the value itself.
type value struct {
	known  bool
	v      any
	scalar bool // not a list or map
	text   int  // bytes of the longest text in it
	total  int  // bytes of all texts in it, and elementSize for each element
	list   int  // elements of the longest list in it
}

// elementSize is the part of an element in [value].total.
const elementSize = 16

func scalar(text int) value { return value{scalar: true, text: text, total: text + elementSize} }

func known(v any) value {
	out := value{known: true, v: v, scalar: true}
	switch v := v.(type) {
	case string:
		out.text = len(v)
	case nil, bool, int, int64, float64:
		out.text = 0
	default:
		out.scalar = false
	}
	out.total = out.text + elementSize
	return out
}

// number is a value that is not a text.
var number = scalar(0)

// join returns a bound for both values.
func join(a, b value) value {
	return value{scalar: a.scalar && b.scalar, text: max(a.text, b.text), total: max(a.total, b.total), list: max(a.list, b.list)}
}

// bound returns the sizes of a value without the value itself.
func (e *estimator) bound(v value) value {
	if !v.known || v.scalar {
		v.known, v.v = false, nil
		return v
	}
	out := value{}
	e.measure(v.v, &out)
	return out
}

// measure adds the sizes of a list or map.
func (e *estimator) measure(v any, out *value) {
	if e.exceeded() {
		return
	}
	e.work += elementSteps
	e.charge(elementSteps)
	out.total = min(out.total+elementSize, maxSize)
	text := func(s string) {
		out.text, out.total = max(out.text, len(s)), min(out.total+len(s), maxSize)
	}
	switch v := v.(type) {
	case string:
		text(v)
	case []any:
		out.list = max(out.list, len(v))
		for _, item := range v {
			e.measure(item, out)
		}
	case []string:
		out.list = max(out.list, len(v))
		for _, item := range v {
			e.measure(item, out)
		}
	case map[string]any:
		out.list = max(out.list, len(v))
		for key, item := range v {
			text(key)
			e.measure(item, out)
		}
	case map[string]string:
		out.list = max(out.list, len(v))
		for key, item := range v {
			text(key)
			e.measure(item, out)
		}
	}
}

// textOf returns the bytes of a value that a function reads as a text.
func textOf(v value) int {
	if v.known && !v.scalar {
		return 0 // the function fails on it
	}
	return v.text
}

// runesOf returns the characters of a value that a pattern reads. It does not count
// those of a long text, because counting takes time too.
func runesOf(v value) int {
	if s, ok := v.v.(string); ok && len(s) < 1<<16 {
		return utf8.RuneCountInString(s)
	}
	return textOf(v)
}
