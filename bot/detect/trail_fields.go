package detect

import (
	"slices"
	"strings"
)

// coverage is which management events selectors include.
type coverage struct {
	found, any  bool
	read, write bool // all that read, all that write
}

// readTrail returns the derived fields about event selectors without their prefix,
// or nil if the request has none. The events that one of several selectors includes
// are included.
func readTrail(r *Record) map[string]any {
	params, _ := r.member(r.root, "requestParameters")
	if params < 0 || r.nodes[params].kind != kindObject {
		return nil
	}
	var c coverage
	if n := r.memberFold(params, "eventselectors"); n >= 0 {
		c.found = true
		for _, selector := range r.objects(n) {
			c.addBasic(r, selector)
		}
	}
	if n := r.memberFold(params, "advancedeventselectors"); n >= 0 && (!c.found || len(r.objects(n)) > 0) {
		c.found = true
		for _, selector := range r.objects(n) {
			c.addAdvanced(r, selector)
		}
	}
	switch {
	case !c.found:
		return nil
	case c.read && c.write:
		return map[string]any{"management_events": "all"}
	case c.any:
		return map[string]any{"management_events": "some"}
	}
	return map[string]any{"management_events": "none"}
}

// addBasic adds a selector with the default that AWS uses for a missing member, all
// management events.
func (c *coverage) addBasic(r *Record, n int32) {
	if include := r.memberFold(n, "includemanagementevents"); include >= 0 && strings.EqualFold(string(r.textOf(include)), "false") {
		return
	}
	c.any = true
	if excluded := r.memberFold(n, "excludemanagementeventsources"); excluded >= 0 && slices.ContainsFunc(r.textList(excluded), func(s string) bool { return s != "" }) {
		return
	}
	kind := ""
	if only := r.memberFold(n, "readwritetype"); only >= 0 {
		kind = strings.ToLower(string(r.textOf(only)))
	}
	c.read = c.read || kind != "writeonly"
	c.write = c.write || kind != "readonly"
}

// addAdvanced adds a selector for management events. Each of its fields other than
// the category excludes some.
func (c *coverage) addAdvanced(r *Record, n int32) {
	management, limited := false, false
	read, write := true, true
	for _, field := range r.objects(r.memberFold(n, "fieldselectors")) {
		name, equals := r.childText(field, "field"), []string(nil)
		if e := r.memberFold(field, "equals"); e >= 0 {
			equals = r.textList(e)
		}
		has := func(text string) bool {
			return slices.ContainsFunc(equals, func(s string) bool { return strings.EqualFold(s, text) })
		}
		switch {
		case strings.EqualFold(name, "eventCategory"):
			management = has("Management")
		case strings.EqualFold(name, "readOnly"):
			read, write = read && has("true"), write && has("false")
		default:
			limited = true
		}
	}
	if !management {
		return
	}
	c.any = true
	c.read, c.write = c.read || read && !limited, c.write || write && !limited
}
