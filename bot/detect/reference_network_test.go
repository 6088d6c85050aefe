package detect_test

// This file evaluates networks for the reference. It divides the address space into
// halves until each half is contained in a network or disjoint from all of them.

import (
	"math"
	"net"
	"sort"
	"strconv"
	"strings"
)

// refNetwork parses a network. It returns nil for other texts.
func refNetwork(text string) *net.IPNet {
	text = strings.TrimSpace(text)
	if !strings.Contains(text, ":") {
		text = refRegexp(`(^|\.)0+(\d)`).ReplaceAllString(text, "$1$2")
	}
	text = refRegexp(`/0+(\d)`).ReplaceAllString(text, "/$1")
	if !strings.Contains(text, "/") {
		text += map[bool]string{true: "/128", false: "/32"}[strings.Contains(text, ":")]
	}
	_, n, err := net.ParseCIDR(text)
	if err != nil {
		return nil
	}
	if ones, bits := n.Mask.Size(); bits == 128 && ones >= 96 && n.IP.To4() != nil {
		return &net.IPNet{IP: n.IP.To4(), Mask: net.CIDRMask(ones-96, 32)}
	}
	return n
}

func refHalves(block *net.IPNet) (*net.IPNet, *net.IPNet) {
	ones, bits := block.Mask.Size()
	upper := append(net.IP{}, block.IP...)
	upper[ones/8] |= 1 << (7 - ones%8)
	mask := net.CIDRMask(ones+1, bits)
	return &net.IPNet{IP: block.IP, Mask: mask}, &net.IPNet{IP: upper, Mask: mask}
}

// refRelation reports whether one of the networks contains the block, and whether
// one of them overlaps it.
func refRelation(block *net.IPNet, nets []*net.IPNet) (contained, overlaps bool) {
	ones, bits := block.Mask.Size()
	for _, n := range nets {
		o, b := n.Mask.Size()
		if b != bits {
			continue
		}
		contained = contained || o <= ones && n.Contains(block.IP)
		overlaps = overlaps || n.Contains(block.IP) || block.Contains(n.IP)
	}
	return contained, overlaps
}

func refCover(block *net.IPNet, nets []*net.IPNet) []any {
	contained, overlaps := refRelation(block, nets)
	if contained {
		return []any{block.String()}
	}
	if !overlaps {
		return nil
	}
	one, other := refHalves(block)
	first, second := refCover(one, nets), refCover(other, nets)
	if ones, _ := one.Mask.Size(); len(first) == 1 && len(second) == 1 && first[0] == one.String() && second[0] == other.String() && ones > 0 {
		return []any{block.String()}
	}
	return append(first, second...)
}

var refPrivate = []*net.IPNet{
	refNetwork("0.0.0.0/8"), refNetwork("10.0.0.0/8"), refNetwork("100.64.0.0/10"), refNetwork("127.0.0.0/8"), refNetwork("169.254.0.0/16"),
	refNetwork("172.16.0.0/12"), refNetwork("192.168.0.0/16"), refNetwork("224.0.0.0/3"), refNetwork("::/3"), refNetwork("4000::/2"), refNetwork("8000::/1"),
}

func refPublicSize(block *net.IPNet, nets []*net.IPNet) float64 {
	contained, overlaps := refRelation(block, nets)
	private, mixed := refRelation(block, refPrivate)
	ones, bits := block.Mask.Size()
	switch {
	case !overlaps || private:
		return 0
	case contained && !mixed || ones == 64: // the size of smaller IPv6 networks does not matter
		return math.Pow(2, float64(min(bits, 64)-ones))
	}
	one, other := refHalves(block)
	return refPublicSize(one, nets) + refPublicSize(other, nets)
}

var refRoots = []*net.IPNet{{IP: net.IP{0, 0, 0, 0}, Mask: net.CIDRMask(0, 32)}, {IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}}

func refIsWide(nets []*net.IPNet) bool {
	return refPublicSize(refRoots[0], nets) > math.Pow(2, 24) || refPublicSize(refRoots[1], nets) > math.Pow(2, 44)
}

type refOpening struct {
	protocol string
	from, to int
	network  *net.IPNet
}

type refFoundNetworks struct {
	nets     []*net.IPNet
	openings []refOpening
	unknown  map[string]bool
}

func refNetworks(event any) refObject {
	f := refFoundNetworks{unknown: map[string]bool{}}
	for _, part := range refAt(event, "requestParameters") {
		f.scan(part, "", nil, 0)
	}
	request := f.unknown
	f.unknown = map[string]bool{}
	for _, part := range refAt(event, "responseElements") {
		f.scan(part, "", nil, 0)
	}
	o := refObject{}
	if len(f.nets) > 0 {
		o = append(o, refMember{"list", append(refCover(refRoots[0], f.nets), refCover(refRoots[1], f.nets)...)}, refMember{"open", refIsWide(f.nets)})
	}
	open, other, admin := f.ports()
	for _, list := range []struct {
		name  string
		texts []any
	}{{"open_admin_ports", admin}, {"open_other_ports", other}, {"open_ports", open}} {
		if len(list.texts) > 0 {
			o = append(o, refMember{list.name, list.texts})
		}
	}
	var unknown []string
	for text := range request {
		unknown = append(unknown, text)
	}
	sort.Strings(unknown)
	if len(unknown) > 100 {
		unknown = unknown[:100]
	}
	if unknown != nil {
		var texts []any
		for _, text := range unknown {
			texts = append(texts, text)
		}
		o = append(o, refMember{"unknown", texts})
	}
	return o
}

func (f *refFoundNetworks) scan(v any, key string, at *refOpening, depth int) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			f.scan(e, key, at, depth)
		}
	case refObject:
		if o := refPermission(v); o != nil {
			at = o
		}
		for _, m := range v {
			if k := strings.ToLower(m.key); !refRegexp(`(?s)^(description|statement|tags|tagset|tagspecificationset|remove.*)$`).MatchString(k) {
				f.scan(m.value, k, at, depth)
			}
		}
	case string:
		f.text(strings.TrimSpace(v), key, at, depth)
	}
}

func (f *refFoundNetworks) text(text, key string, at *refOpening, depth int) {
	if strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[") {
		if depth < 3 && refValid(text) {
			f.scan(refDecode([]byte(text)), key, at, depth+1)
		}
		return
	}
	cidr := strings.Contains(key, "cidr")
	if strings.HasPrefix(text, "pl-") {
		f.unknown[text] = true
		return
	}
	if !cidr && !strings.Contains(text, "/") {
		return
	}
	var nets []*net.IPNet
	for _, part := range refRegexp(`[, ]+`).Split(strings.Trim(text, ", "), -1) {
		if part == "" {
			continue
		}
		n := refNetwork(part)
		if n == nil {
			if cidr {
				f.unknown[text] = true
			}
			return
		}
		nets = append(nets, n)
	}
	f.nets = append(f.nets, nets...)
	for _, n := range nets {
		if at != nil {
			o := *at
			o.network = n
			f.openings = append(f.openings, o)
		}
	}
}

func refPermission(v refObject) *refOpening {
	o := refOpening{from: -1, to: -1}
	known := false
	number := func(v any) int {
		n, err := strconv.Atoi(strings.ToLower(refText(v)))
		if err != nil || n < 0 || n > 65535 {
			return -1
		}
		return n
	}
	for _, m := range v {
		if m.value == nil {
			continue
		}
		key := strings.ToLower(m.key)
		rng, isObject := m.value.(refObject)
		switch {
		case key == "ipprotocol" || key == "protocol" || key == "aclprotocol":
			o.protocol = strings.ToLower(refText(m.value))
		case key == "fromport":
			o.from = number(m.value)
		case key == "toport":
			o.to = number(m.value)
		case key == "portrange" && isObject:
			o.from, o.to = -1, -1
			for _, end := range rng {
				switch end.key {
				case "from":
					o.from = number(end.value)
				case "to":
					o.to = number(end.value)
				}
			}
		default:
			continue
		}
		known = true
	}
	if !known {
		return nil
	}
	for number, name := range map[string]string{"": "tcp", "6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6", "-1": "all"} {
		if o.protocol == number {
			o.protocol = name
			break
		}
	}
	if o.from < 0 || o.protocol != "tcp" && o.protocol != "udp" {
		o.from, o.to = 0, 65535
	}
	o.to = max(o.to, o.from)
	return &o
}

// ports tries each port at which an opening begins or ends.
func (f *refFoundNetworks) ports() (open, other, admin []any) {
	protocols, edges := map[string]bool{}, map[int]bool{65536: true}
	for _, o := range f.openings {
		protocols[o.protocol] = true
		edges[o.from], edges[o.to+1] = true, true
	}
	var names []string
	for p := range protocols {
		names = append(names, p)
	}
	sort.Strings(names)
	var ports []int
	for e := range edges {
		ports = append(ports, e)
	}
	sort.Ints(ports)
	reached := map[int]bool{}
	for _, p := range names {
		start := -1
		for _, port := range ports {
			if reachable := f.reaches(p, port); reachable && start < 0 {
				start = port
			} else if !reachable && start >= 0 {
				text := p
				if p == "tcp" || p == "udp" {
					text += "/" + strconv.Itoa(start)
					if port-1 > start {
						text += "-" + strconv.Itoa(port-1)
					}
				}
				open = append(open, text)
				if !refRegexp(`^(tcp|udp)/(80|443)$`).MatchString(text) {
					other = append(other, text)
				}
				for _, a := range []int{22, 23, 3389, 5900, 5985, 5986} {
					if start <= a && a < port && (p == "tcp" || p == "all") {
						reached[a] = true
					}
				}
				start = -1
			}
		}
	}
	for _, a := range []int{22, 23, 3389, 5900, 5985, 5986} {
		if reached[a] {
			admin = append(admin, strconv.Itoa(a))
		}
	}
	return open, other, admin
}

func (f *refFoundNetworks) reaches(protocol string, port int) bool {
	var nets []*net.IPNet
	direct := false
	for _, o := range f.openings {
		if o.protocol == protocol && o.from <= port && port <= o.to || o.protocol == "all" && port < 65536 {
			nets = append(nets, o.network)
			direct = direct || o.protocol == protocol
		}
	}
	return direct && refIsWide(nets)
}
