package detect_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tocsin/bot/detect"
)

// networkRecord returns a record of a call with parameters and an answer, both in
// JSON.
func networkRecord(params, answer string) string {
	return `{"eventName":"E","requestParameters":` + params + `,"responseElements":` + answer + `}`
}

// inPermission returns the parameters of a security group that allow networks the
// port 22.
func inPermission(networks ...string) string {
	var items []object
	for _, n := range networks {
		items = append(items, object{"cidrIp": n})
	}
	b, _ := json.Marshal(object{"ipPermissions": object{"items": []any{object{"ipProtocol": "tcp", "fromPort": 22, "toPort": 22, "ipRanges": object{"items": items}}}}})
	return string(b)
}

func TestNetworkOpen_EachSpelling(t *testing.T) {
	for want, lists := range map[bool][][]string{
		true: {
			{"0.0.0.0/0"}, {"203.0.113.9/0"}, {" 0.0.0.0/0 "}, {"000.000.000.000/00"}, {"255.255.255.255/0"}, {"0.0.0.0/1"}, {"2.0.0.0/7"},
			{"::/0"}, {"0:0:0:0:0:0:0:0/0"}, {"::0/0"}, {"2001:db8::1/0"}, {"2000::/3"}, {"::/1"}, {"::0.0.0.0/0"}, {"2600::/12"},
			{"::ffff:0.0.0.0/96"}, {"::ffff:0:0/96"}, {"0:0:0:0:0:ffff:cb00:7109/96"}, {"::FFFF:203.0.113.9/97", "::ffff:10.0.0.0/97"},
			{"0.0.0.0/1", "128.0.0.0/1"}, {"::/1", "8000::/1"}, {"0.0.0.0/2", "64.0.0.0/2", "128.0.0.0/2", "192.0.0.0/2"},
			{"198.51.100.0/24", "0.0.0.0/0"}, {"3.0.0.0/8", "18.0.0.0/8"},
		},
		false: {
			{"198.51.100.7/32"}, {"198.51.100.7/8"}, {"10.0.0.0/8"}, {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"},
			{"fc00::/7"}, {"fd00::/8", "fe80::/10"}, {"2001:db8::/32"}, {"8000::/1"}, {"224.0.0.0/3"}, {"::ffff:192.0.2.0/120"},
			{"2400:cb00::/32", "2606:4700::/32", "2803:f800::/32", "2405:b500::/32", "2a06:98c0::/29"},
			{"3.0.0.0/9", "3.0.0.0/9", "3.0.0.0/10", "3.128.0.0/9"},
		},
	} {
		for _, list := range lists {
			record := networkRecord(inPermission(list...), "null")
			if got := field(t, record, "tocsin.network.open"); got != fmt.Sprint(want) {
				t.Errorf("%v: got open %s, want %t", list, got, want)
			}
			if got := field(t, record, "tocsin.network.open_ports"); (got == `["tcp/22"]`) != want {
				t.Errorf("%v: got open ports %s, want tcp/22: %t", list, got, want)
			}
			if condition := (object{"IpAddress": object{"aws:SourceIp": list}}); true {
				policy, _ := json.Marshal(object{"Statement": newStatement(publicPrincipals[0], object{"Condition": condition})})
				if got := field(t, networkRecord(string(policy), "null"), "tocsin.policy.public"); got != fmt.Sprint(want) {
					t.Errorf("%v in a policy: got public %s, want %t", list, got, want)
				}
			}
		}
	}
}

func TestField_Networks(t *testing.T) {
	const all = `"0.0.0.0/0"`
	for _, c := range []struct{ params, answer, field, want string }{
		{`null`, `null`, "open", ""},
		{`{"description":` + all + `,"tags":[{"value":` + all + `}]}`, `null`, "open", ""},
		{`{"policy":{"Statement":[{"Effect":"Deny","Condition":{"NotIpAddress":{"aws:SourceIp":` + all + `}}}]}}`, `null`, "open", ""},
		{`{"publicAccessCidrs":["203.0.113.9/0"]}`, `null`, "list", `["0.0.0.0/0"]`},
		{`{"addresses":["0.0.0.0/1","128.0.0.0/1","2001:DB8:0::1/32","192.0.2.128/25","192.0.2.0/25"]}`, `null`, "list", `["0.0.0.0/0","2001:db8::/32"]`},
		{`{"cidrs":["198.51.100.7/24","::ffff:192.0.2.1/127","192.0.2.2/31"]}`, `null`, "list", `["192.0.2.0/30","198.51.100.0/24"]`},
		// Defaults that only the answer has, also in JSON in a text.
		{`{"resourcesVpcConfig":{"subnetIds":["a"]}}`, `{"cluster":{"resourcesVpcConfig":{"publicAccessCidrs":[` + all + `]}}}`, "open", "true"},
		{`{}`, `{"update":{"params":[{"type":"PublicAccessCidrs","value":"[\"0.0.0.0/0\"]"}]}}`, "open", "true"},
		// Parameters of the groups of services.
		{`{"cIDRIP":"203.0.113.9/0"}`, `null`, "open", "true"},
		{`{"updates":[{"action":"INSERT","iPSetDescriptor":{"type":"IPV4","value":"1.2.3.4/0"}}]}`, `null`, "open", "true"},
		{`{"portInfo":{"fromPort":22,"toPort":22,"protocol":"tcp","cidrs":[` + all + `]}}`, `null`, "open_ports", `["tcp/22"]`},
		// Two halves in several permissions open what both allow.
		{`{"ipPermissions":{"items":[{"ipProtocol":"tcp","fromPort":20,"toPort":25,"ipRanges":{"items":[{"cidrIp":"3.0.0.0/8"}]}},{"ipProtocol":"6","fromPort":22,"toPort":80,"ipRanges":{"items":[{"cidrIp":"4.0.0.0/8"}]}}]}}`, `null`, "open_ports", `["tcp/22-25"]`},
		{`{"ipPermissions":{"items":[{"ipProtocol":"-1","ipRanges":{"items":[{"cidrIp":"3.0.0.0/8"}]}},{"ipProtocol":"udp","fromPort":53,"ipRanges":{"items":[{"cidrIp":"4.0.0.0/8"}]}}]}}`, `null`, "open_ports", `["udp/53"]`},
		{`{"ipPermissions":{"items":[{"ipProtocol":"tcp","fromPort":80,"toPort":443,"ipRanges":{"items":[{"cidrIp":"0.0.0.0/0"}]}}]}}`, `null`, "open_other_ports", `["tcp/80-443"]`},
		{`{"ipPermissions":{"items":[{"ipProtocol":"TCP","fromPort":80,"toPort":80,"ipRanges":{"items":[{"cidrIp":"0.0.0.0/0"}]}},{"ipProtocol":"tcp","fromPort":22,"toPort":22,"ipRanges":{"items":[{"cidrIp":"192.0.2.0/24"}]}}]}}`, `null`, "open_other_ports", ""},
		{`{"ModifyManagedPrefixListRequest":{"AddEntry":{"Cidr":"192.0.2.0/24"},"RemoveEntry":{"Cidr":"0.0.0.0/0"}}}`, `null`, "open", "false"},
		// Shapes of permissions.
		{`{"ipProtocol":"tcp","fromPort":3389,"toPort":3389,"cidrIp":"203.0.113.9/0","ipPermissions":{}}`, `null`, "open_admin_ports", `["3389"]`},
		{`{"ModifySecurityGroupRulesRequest":{"SecurityGroupRule":{"SecurityGroupRule":{"IpProtocol":"-1","CidrIpv6":"0::0/0"}}}}`, `null`, "open_ports", `["all"]`},
		{`{"ModifySecurityGroupRulesRequest":{"SecurityGroupRule":[{"SecurityGroupRule":{"IpProtocol":"tcp","FromPort":22,"ToPort":22,"CidrIpv4":"0.0.0.0/1"}},{"SecurityGroupRule":{"IpProtocol":"tcp","FromPort":22,"ToPort":22,"CidrIpv4":"128.0.0.0/1"}}]}}`, `null`, "open_ports", `["tcp/22"]`},
		{`{"ruleAction":"allow","egress":false,"aclProtocol":"6","cidrBlock":"0.0.0.0/0","portRange":{"from":20,"to":23}}`, `null`, "open_admin_ports", `["22","23"]`},
		{`{"aclProtocol":"-1","ipv6CidrBlock":"::/0"}`, `null`, "open_ports", `["all"]`},
		{`{"aclProtocol":"1","cidrBlock":"0.0.0.0/0","icmpTypeCode":{"type":-1,"code":-1}}`, `null`, "open_ports", `["icmp"]`},
		{`{}`, `{"securityGroupRuleSet":{"items":[{"isEgress":false,"ipProtocol":"tcp","fromPort":22,"toPort":22,"cidrIpv4":"0.0.0.0/0"}]}}`, "open_ports", `["tcp/22"]`},
		// What cannot be evaluated is named.
		{`{"ipPermissions":{"items":[{"ipProtocol":"tcp","prefixListIds":{"items":[{"prefixListId":"pl-1"}]},"ipRanges":{"items":[{"cidrIp":"all/0"}]}}]}}`, `{"cidrIp":"what"}`, "unknown", `["all/0","pl-1"]`},
	} {
		record := networkRecord(c.params, c.answer)
		if got := field(t, record, "tocsin.network."+c.field); got != c.want {
			t.Errorf("%s of %s: got %q, want %q", c.field, record, got, c.want)
		}
		compareNetworks(t, record)
	}
}

// compareNetworks compares the derived fields with the reference.
func compareNetworks(t interface {
	Helper()
	Errorf(string, ...any)
	Fatalf(string, ...any)
}, record string) {
	t.Helper()
	r, err := detect.DecodeRecord([]byte(record))
	if err != nil {
		t.Fatalf("%s: %v", record, err)
	}
	want := ""
	if found := refAt(refDerived(refDecode([]byte(record))), "tocsin.network"); found != nil {
		want = refJSON(found[0])
	}
	if got := r.Field("tocsin.network"); got != want {
		t.Errorf("got  %s\nwant %s\nfor %s", got, want, record)
	}
}

// spellNetwork returns texts that together are the network p.
func spellNetwork(t *rapid.T, p netip.Prefix) []string {
	if p.Bits() < p.Addr().BitLen() && rapid.IntRange(0, 3).Draw(t, "split") == 0 {
		b := p.Addr().AsSlice()
		b[p.Bits()/8] |= 0x80 >> (p.Bits() % 8)
		upper, _ := netip.AddrFromSlice(b)
		return append(spellNetwork(t, netip.PrefixFrom(p.Addr(), p.Bits()+1)), spellNetwork(t, netip.PrefixFrom(upper, p.Bits()+1))...)
	}
	b := p.Addr().AsSlice()
	for i := range b { // set host bits
		host := byte(0)
		if left := p.Bits() - 8*i; left < 8 {
			host = 0xff >> max(left, 0)
		}
		b[i] |= host & rapid.Byte().Draw(t, "host bits")
	}
	addr, _ := netip.AddrFromSlice(b)
	bits := p.Bits()
	text := addr.String()
	switch form := rapid.SampledFrom([]string{"", "mapped", "long", "upper", "zeros"}).Draw(t, "form"); {
	case form == "mapped" && addr.Is4():
		text, bits = "::ffff:"+text, bits+96
	case form == "long":
		text = addr.StringExpanded()
	case form == "upper":
		text = strings.ToUpper(text)
	case form == "zeros":
		return []string{fmt.Sprintf(" %s/0%d", text, bits)}
	}
	return []string{fmt.Sprintf("%s/%d", text, bits)}
}

// The spelling of networks, and their division among permissions, do not matter.
func TestNetworks_SpellingDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := netip.MustParsePrefix(rapid.SampledFrom([]string{
			"0.0.0.0/0", "::/0", "2000::/3", "198.51.100.0/24", "10.0.0.0/8", "2001:db8::/32", "3.0.0.0/8", "2.0.0.0/7", "2600::/20", "2600::/19",
		}).Draw(t, "network"))
		var permissions []any
		for _, text := range spellNetwork(t, base) {
			p := object{"ipProtocol": rapid.SampledFrom([]string{"tcp", "6", "TCP"}).Draw(t, "protocol"), "fromPort": rapid.IntRange(20, 22).Draw(t, "from"), "toPort": rapid.IntRange(22, 30).Draw(t, "to")}
			p[rapid.SampledFrom([]string{"cidrIp", "CidrIpv4", "x"}).Draw(t, "key")] = text
			permissions = append(permissions, p)
		}
		b, _ := json.Marshal(object{"permissions": rapid.Permutation(permissions).Draw(t, "permissions")})
		params := string(b)
		if rapid.Bool().Draw(t, "as text") {
			params = `{"request":` + refQuote(params) + `}`
		}
		record := networkRecord(params, "null")
		compareNetworks(t, record)
		r, err := detect.DecodeRecord([]byte(record))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := r.Field("tocsin.network.list"), `["`+base.String()+`"]`; got != want {
			t.Fatalf("got %s, want %s: %s", got, want, record)
		}
		wide := slices.Contains([]string{"0.0.0.0/0", "::/0", "2000::/3", "2.0.0.0/7", "2600::/19"}, base.String())
		if got := strings.Contains(r.Field("tocsin.network.open_admin_ports"), "22"); got != wide || r.Field("tocsin.network.open") != fmt.Sprint(wide) {
			t.Fatalf("got port 22 open %t and open %s, want %t: %s", got, r.Field("tocsin.network.open"), wide, record)
		}
	})
}
