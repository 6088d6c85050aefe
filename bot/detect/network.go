package detect

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
)

// addressRange is the addresses from one to another, both of the same family.
// IPv4-mapped IPv6 addresses are IPv4 addresses here.
type addressRange struct{ from, to netip.Addr }

// maxPublic4 and maxPublic6 are the sizes of the largest networks that are not
// wide, in IPv4 addresses and in IPv6 networks of 64 bits. They are the sizes of a
// /8 and of a /20.
const (
	maxPublic4 = 1 << (32 - 8)
	maxPublic6 = 1 << (64 - 20)
)

// privateRanges are the IPv4 addresses that no host on the internet has.
var privateRanges = rangesOf("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/3")

// globalRange contains the IPv6 addresses that hosts on the internet have.
var globalRange = rangesOf("2000::/3")[0]

func rangesOf(networks ...string) (out []addressRange) {
	for _, text := range networks {
		out = append(out, newAddressRange(netip.MustParsePrefix(text)))
	}
	return out
}

// newAddressRange returns the addresses of a network. The host bits of the prefix
// do not matter.
func newAddressRange(p netip.Prefix) addressRange {
	p = p.Masked()
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return addressRange{p.Addr(), lastAddress(p)}
}

func lastAddress(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := range b {
		if host := 8*(i+1) - p.Bits(); host >= 8 {
			b[i] = 0xff
		} else if host > 0 {
			b[i] |= 1<<host - 1
		}
	}
	last, _ := netip.AddrFromSlice(b)
	return last
}

// parseRange parses a network or address as AWS does. Host bits, leading zeros and
// surrounding spaces do not matter.
func parseRange(text string) (addressRange, bool) {
	addr, bits, isNetwork := strings.Cut(strings.TrimSpace(text), "/")
	if !strings.Contains(addr, ":") {
		parts := strings.Split(addr, ".")
		for i := range parts {
			parts[i] = trimZeros(parts[i])
		}
		addr = strings.Join(parts, ".")
	}
	if isNetwork {
		addr += "/" + trimZeros(bits)
	}
	p, err := parseNetwork(addr)
	if err != nil || strings.Contains(addr, "%") { // a zone
		return addressRange{}, false
	}
	return newAddressRange(p), true
}

// trimZeros removes the zeros before a digit.
func trimZeros(s string) string {
	for len(s) > 1 && s[0] == '0' && s[1] >= '0' && s[1] <= '9' {
		s = s[1:]
	}
	return s
}

// mergeRanges sorts ranges and joins those that overlap or follow each other.
func mergeRanges(ranges []addressRange) []addressRange {
	ranges = slices.Clone(ranges)
	sortRanges(ranges)
	return joinSorted(ranges)
}

func sortRanges(ranges []addressRange) {
	slices.SortFunc(ranges, func(a, b addressRange) int { return a.from.Compare(b.from) })
}

// joinSorted joins sorted ranges. It reuses their memory.
func joinSorted(ranges []addressRange) []addressRange {
	out := ranges[:0]
	for _, r := range ranges {
		if n := len(out); n > 0 && out[n-1].from.Is4() == r.from.Is4() && (!out[n-1].to.Next().IsValid() || r.from.Compare(out[n-1].to.Next()) <= 0) {
			if r.to.Compare(out[n-1].to) > 0 {
				out[n-1].to = r.to
			}
			continue
		}
		out = append(out, r)
	}
	return out
}

// areWide reports whether merged ranges contain more public addresses than a /8
// (IPv6: a /20). No organisation has that many, so practically anyone can get one.
func areWide(merged []addressRange) bool {
	var four, six uint64
	for _, r := range merged {
		if r.from.Is4() {
			four += r.size4()
			for _, private := range privateRanges {
				if common, ok := r.intersect(private); ok {
					four -= common.size4()
				}
			}
		} else if common, ok := r.intersect(globalRange); ok {
			six += prefix64(common.to) - prefix64(common.from) + 1
		}
	}
	return four > maxPublic4 || six > maxPublic6
}

func (r addressRange) intersect(o addressRange) (addressRange, bool) {
	if r.from.Compare(o.from) < 0 {
		r.from = o.from
	}
	if r.to.Compare(o.to) > 0 {
		r.to = o.to
	}
	return r, r.from.Compare(r.to) <= 0
}

func (r addressRange) size4() uint64 {
	from, to := r.from.As4(), r.to.As4()
	return uint64(binary.BigEndian.Uint32(to[:])) - uint64(binary.BigEndian.Uint32(from[:])) + 1
}

// prefix64 returns the first 64 bits of an IPv6 address.
func prefix64(a netip.Addr) uint64 {
	b := a.As16()
	return binary.BigEndian.Uint64(b[:8])
}

// appendNetworks appends the fewest networks that together are the range.
func (r addressRange) appendNetworks(out []string) []string {
	for from := r.from; from.IsValid() && from.Compare(r.to) <= 0; {
		p := netip.PrefixFrom(from, from.BitLen())
		for p.Bits() > 0 {
			larger := netip.PrefixFrom(from, p.Bits()-1)
			if larger.Masked().Addr() != from || lastAddress(larger).Compare(r.to) > 0 {
				break
			}
			p = larger
		}
		out = append(out, p.String())
		from = lastAddress(p).Next()
	}
	return out
}

// isNarrow reports whether the networks of a condition are valid and not wide.
func isNarrow(networks []string) bool {
	var ranges []addressRange
	for _, text := range networks {
		r, ok := parseRange(text)
		if !ok {
			return false
		}
		ranges = append(ranges, r)
	}
	return len(ranges) > 0 && !areWide(mergeRanges(ranges))
}
