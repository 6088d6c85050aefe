package detect

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
)

// maxOpenings is how many openings are compared with each other. AWS allows fewer
// in a security group or network ACL.
const maxOpenings = 1000

// maxUnknown is the number of unknown networks that are named.
const maxUnknown = 100

// ports is what a permission opens, a protocol and the range of its ports. known is
// false if the request does not say it.
type ports struct {
	known    bool
	protocol string // tcp, udp, icmp, all, or another name or number
	from, to int
}

// opening is a permission for a range of addresses.
type opening struct {
	ports
	addresses addressRange
}

// networks collects the networks of one request and of AWS's answer, which has the
// defaults. It recognises networks by their form, in any parameter.
type networks struct {
	ranges   []addressRange
	openings []opening
	unknown  []string
	inAnswer bool
}

// readNetworks returns the derived fields about networks without their prefix, or
// nil if the request has no networks.
func readNetworks(r *Record) map[string]any {
	var found networks
	for _, name := range []string{"requestParameters", "responseElements"} {
		if n, _ := r.member(r.root, name); n >= 0 {
			found.inAnswer = name == "responseElements"
			found.scan(r, n, "", ports{}, 0)
		}
	}
	out := map[string]any{}
	if len(found.unknown) > 0 {
		slices.Sort(found.unknown)
		found.unknown = slices.Compact(found.unknown)
		out["unknown"] = found.unknown[:min(len(found.unknown), maxUnknown)]
	}
	if merged := mergeRanges(found.ranges); len(merged) > 0 {
		out["open"] = areWide(merged)
		var list []string
		for _, one := range merged {
			list = one.appendNetworks(list)
		}
		out["list"] = list
	}
	found.addPorts(out)
	if len(out) == 0 {
		return nil
	}
	return out
}

// scan finds networks in a value. key is the key of the value in lower case, and
// of are the ports of the permission that contains it.
func (f *networks) scan(r *Record, n int32, key string, of ports, depth int) {
	nd := &r.nodes[n]
	switch nd.kind {
	case kindObject:
		if p := r.readPorts(n); p.known {
			of = p
		}
		for c := n + 1; c < nd.next; c = r.nodes[c].next {
			if key := strings.ToLower(string(r.keyOf(&r.nodes[c]))); !isAboutOther(key) {
				f.scan(r, c, key, of, depth)
			}
		}
	case kindArray:
		for c := n + 1; c < nd.next; c = r.nodes[c].next {
			f.scan(r, c, key, of, depth)
		}
	case kindString:
		f.scanText(r.stringOf(nd), key, of, depth)
	}
}

// isAboutOther reports whether a parameter does not say what the request allows,
// but describes it, removes something or is a policy.
func isAboutOther(key string) bool {
	switch key {
	case "description", "statement", "tags", "tagset", "tagspecificationset":
		return true
	}
	return strings.HasPrefix(key, "remove")
}

// scanText finds networks in a text, which can be a network, a list of networks or
// JSON.
func (f *networks) scanText(b []byte, key string, of ports, depth int) {
	b = bytes.TrimSpace(b)
	if len(b) > 0 && (b[0] == '[' || b[0] == '{') {
		inner := new(Record)
		if depth < maxNestedJSON && inner.decodeWhole(b) == nil {
			f.scan(inner, 0, key, of, depth+1)
		}
		return
	}
	if bytes.HasPrefix(b, []byte("pl-")) {
		f.addUnknown(string(b))
		return
	}
	isNetwork := strings.Contains(key, "cidr")
	if !isNetwork && !bytes.Contains(b, []byte("/")) {
		return
	}
	var ranges []addressRange
	for text := range strings.FieldsFuncSeq(string(b), func(c rune) bool { return c == ',' || c == ' ' }) {
		one, ok := parseRange(text)
		if !ok {
			if isNetwork {
				f.addUnknown(string(b))
			}
			return
		}
		ranges = append(ranges, one)
	}
	f.ranges = append(f.ranges, ranges...)
	if of.known {
		for _, one := range ranges {
			f.openings = append(f.openings, opening{of, one})
		}
	}
}

func (f *networks) addUnknown(text string) {
	if !f.inAnswer {
		f.unknown = append(f.unknown, text)
	}
}

// readPorts returns the ports of a permission, if the object describes one.
func (r *Record) readPorts(n int32) (p ports) {
	p.from, p.to = -1, -1
	for c := n + 1; c < r.nodes[n].next; c = r.nodes[c].next {
		text := func() string { return strings.ToLower(string(r.textOf(c))) }
		if r.nodes[c].kind == kindNull {
			continue
		}
		switch strings.ToLower(string(r.keyOf(&r.nodes[c]))) {
		case "ipprotocol", "protocol", "aclprotocol":
			p.known, p.protocol = true, text()
		case "fromport":
			p.known, p.from = true, portNumber(text())
		case "toport":
			p.known, p.to = true, portNumber(text())
		case "portrange":
			if r.nodes[c].kind == kindObject {
				p.known, p.from, p.to = true, portNumber(r.childText(c, "from")), portNumber(r.childText(c, "to"))
			}
		}
	}
	return p.normalize()
}

// childText returns the text of a member, or "".
func (r *Record) childText(n int32, key string) string {
	if c, used := r.member(n, key); c >= 0 && used == len(key) {
		return string(r.textOf(c))
	}
	return ""
}

// portNumber returns -1 for a text that is not the number of a port.
func portNumber(text string) int {
	if n, err := strconv.Atoi(text); err == nil && n >= 0 && n <= 65535 {
		return n
	}
	return -1
}

// normalize replaces numbers of protocols by names and missing ports by all ports.
// Requests without a protocol are about TCP.
func (p ports) normalize() ports {
	switch p.protocol {
	case "-1":
		p.protocol = "all"
	case "6", "":
		p.protocol = "tcp"
	case "17":
		p.protocol = "udp"
	case "1":
		p.protocol = "icmp"
	case "58":
		p.protocol = "icmpv6"
	}
	switch {
	case p.protocol != "tcp" && p.protocol != "udp" || p.from < 0:
		p.from, p.to = 0, 65535
	case p.to < p.from:
		p.to = p.from
	}
	return p
}

func (p ports) String() string {
	switch {
	case p.protocol != "tcp" && p.protocol != "udp":
		return p.protocol
	case p.from == p.to:
		return p.protocol + "/" + strconv.Itoa(p.from)
	}
	return p.protocol + "/" + strconv.Itoa(p.from) + "-" + strconv.Itoa(p.to)
}

// contains reports whether the ports include a TCP port.
func (p ports) contains(port int) bool {
	return (p.protocol == "tcp" || p.protocol == "all") && p.from <= port && port <= p.to
}

// isWeb reports whether all ports are 80 or 443.
func (p ports) isWeb() bool {
	return (p.protocol == "tcp" || p.protocol == "udp") && p.from == p.to && (p.from == 80 || p.from == 443)
}

// adminPorts are the ports of SSH, Telnet, Remote Desktop, VNC and WinRM.
var adminPorts = []int{22, 23, 3389, 5900, 5985, 5986}

// addPorts adds the fields about ports that wide networks can reach.
func (f *networks) addPorts(out map[string]any) {
	if len(f.openings) > maxOpenings {
		f.openings = f.openings[:maxOpenings]
	}
	var open, other, admin []string
	reachable := openPorts(f.openings)
	for _, p := range reachable {
		open = append(open, p.String())
		if !p.isWeb() {
			other = append(other, p.String())
		}
	}
	for _, port := range adminPorts {
		if slices.ContainsFunc(reachable, func(p ports) bool { return p.contains(port) }) {
			admin = append(admin, strconv.Itoa(port))
		}
	}
	for name, list := range map[string][]string{"open_ports": open, "open_other_ports": other, "open_admin_ports": admin} {
		if len(list) > 0 {
			out[name] = list
		}
	}
}

// openPorts returns the ports that wide networks can reach. Several permissions
// count together, because two halves of the internet are all of it.
func openPorts(openings []opening) (out []ports) {
	openings = slices.Clone(openings)
	slices.SortFunc(openings, func(a, b opening) int { return a.addresses.from.Compare(b.addresses.from) })
	var protocols []string
	for _, o := range openings {
		protocols = append(protocols, o.protocol)
	}
	slices.Sort(protocols)
	for _, protocol := range slices.Compact(protocols) {
		out = append(out, openPortsOf(protocol, openings)...)
	}
	return out
}

// openPortsOf returns the open ports of one protocol. Openings for all protocols
// count too, but only together with one for the protocol. The openings are sorted
// by their addresses.
func openPortsOf(protocol string, openings []opening) (out []ports) {
	var starts []int // where the reachable addresses can change
	for _, o := range openings {
		if o.protocol == protocol {
			starts = append(starts, o.from, o.to+1)
		}
	}
	slices.Sort(starts)
	starts = slices.Compact(starts)
	var reach []addressRange
	for i := range len(starts) - 1 {
		p := ports{true, protocol, starts[i], starts[i+1] - 1}
		reach = reach[:0]
		direct := false
		for _, o := range openings {
			if o.protocol == protocol && o.from <= p.from && p.to <= o.to || o.protocol == "all" {
				reach = append(reach, o.addresses)
				direct = direct || o.protocol == protocol
			}
		}
		if !direct || !areWide(joinSorted(reach)) {
			continue
		}
		if n := len(out); n > 0 && out[n-1].to+1 == p.from {
			out[n-1].to = p.to
			continue
		}
		out = append(out, p)
	}
	return out
}
