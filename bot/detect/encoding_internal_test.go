package detect

import (
	"strings"
	"testing"
)

// Rules and log files that are saved on Windows have a byte order mark, or are in UTF-16.
func TestEncodings_MarkIsReadOrRefused(t *testing.T) {
	const rule = "title: t\nlogsource: {product: aws, service: cloudtrail}\ndetection:\n  a: {eventName: A}\n  condition: a\n"
	utf16 := "\xff\xfe"
	for _, c := range []byte(rule) {
		utf16 += string([]byte{c, 0})
	}
	for name, src := range map[string]string{"plain": rule, "with a mark": "\ufeff" + rule, "UTF-16": utf16} {
		if values, err := parseYAML([]byte(src)); err != nil || len(values) != 1 || values[0].str("title") != "t" {
			t.Errorf("rule %s: got %d documents, error %v; want 1", name, len(values), err)
		}
	}
	if _, err := parseYAML([]byte("title: \xff")); err == nil || !strings.Contains(err.Error(), "not UTF-8") {
		t.Errorf("rule in another encoding: got error %v", err)
	}
	items := 0
	err := ReadItems(strings.NewReader("\xff\xfe{\x00}\x00"), Limits{}, func(*Item) error { items++; return nil })
	if err == nil || !strings.Contains(err.Error(), "UTF-16") || items > 0 {
		t.Errorf("log file in UTF-16: got %d items, error %v; want a clear error", items, err)
	}
}
