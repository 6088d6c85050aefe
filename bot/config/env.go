package config

import (
	"regexp"
	"slices"
	"strings"

	"tocsin/bot/incident"
)

// envPrefix is the prefix of the environment variables that override the file:
// TOCSIN_DATABASE, TOCSIN_SLACK__BOT_TOKEN.
const envPrefix = "TOCSIN_"

// kubernetesVars matches NAME=VALUE of variables that have the prefix but set no
// key. Kubernetes sets them in every container if a service is named tocsin or
// tocsin-…. TOCSIN_TEST_… is reserved for tests that start this program.
var kubernetesVars = regexp.MustCompile(`^TOCSIN_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)=` +
	`|^TOCSIN_([A-Z0-9_]+_)?PORT=(tcp|udp|sctp)://|^TOCSIN_TEST_`)

// override returns the tree with the values of TOCSIN_… variables, and an error for
// each variable that sets no key and that the file does not use either.
func override(root *node, environ []string) (*node, Errors) {
	var errs Errors
	used := map[string]bool{}
	root.addVariables(used, map[*node]bool{})
	keys := singleValueKeys()
	for _, variable := range slices.Sorted(slices.Values(environ)) {
		name, value, _ := strings.Cut(variable, "=")
		rest, ours := strings.CutPrefix(name, envPrefix)
		if !ours {
			continue
		}
		key := strings.ToLower(strings.ReplaceAll(rest, "__", "."))
		switch {
		case slices.Contains(keys, key):
			root = root.with(strings.Split(key, "."), &node{kind: isText, text: value, at: place{variable: name}})
		case !used[name] && !kubernetesVars.MatchString(variable):
			errs = append(errs, Error{Key: name, Fix: suggestVar(rest, keys)})
		}
	}
	return root, errs
}

// addVariables adds the names of the variables that the texts of n refer to.
func (n *node) addVariables(names map[string]bool, seen map[*node]bool) {
	if seen[n] {
		return
	}
	seen[n] = true
	for _, m := range envRef.FindAllStringSubmatch(n.text, -1) {
		names[m[1]] = true
	}
	for _, e := range n.keys {
		e.value.addVariables(names, seen)
	}
	for _, item := range n.items {
		item.addVariables(names, seen)
	}
}

// with returns n with another value below it. A value that is neither a map nor empty
// stays, and the decoder reports it.
func (n *node) with(path []string, value *node) *node {
	switch {
	case len(path) == 0:
		return value
	case n.kind != isMap && n.kind != isNull:
		return n
	}
	out := *n
	out.kind, out.keys = isMap, slices.Clone(n.keys)
	for i, e := range out.keys {
		if e.name == path[0] {
			out.keys[i].value = e.value.with(path[1:], value)
			if len(path) == 1 {
				out.keys[i].at = value.at
			}
			return &out
		}
	}
	empty := &node{kind: isNull, at: value.at}
	out.keys = append(out.keys, entry{path[0], value.at, empty.with(path[1:], value)})
	return &out
}

// suggestVar returns the error for a variable that sets no key, with the most
// similar variable that does.
func suggestVar(rest string, keys []string) string {
	var known []string
	for _, key := range keys {
		known = append(known, strings.ToUpper(strings.ReplaceAll(key, ".", "__")))
	}
	if near := incident.Nearest(rest, known); near != "" {
		return "does not set any key. Did you mean " + envPrefix + near + "?"
	}
	return "does not set any key. Write the name of a key with two underscores for a dot, such as TOCSIN_SLACK__BOT_TOKEN, or choose a name without the prefix TOCSIN_. Only keys with a single value can be set"
}
