package incident

import (
	"strings"
	"testing"
)

func TestCheckLanguage(t *testing.T) {
	for _, tag := range []string{"en", "fr-CA", "de-CH", "zh-Hant-TW", "es-419", "EN-gb", "fil", "yue-Hant-HK", "FIL-ph", "gsw-CH"} {
		if err := CheckLanguage(tag); err != nil {
			t.Errorf("%s: %v", tag, err)
		}
	}
	for _, tag := range []string{"", "e", "zz", "zz-notalang", "en-notalang", "eng", "ENG-gb", "fre", "fra-CA", "deu", "ger", "und", "mul", "qaa", "fil-notalang", "fili", "en_US", "english", "en-", "en-US-", " en", strings.Repeat("e", 5000)} {
		err := CheckLanguage(tag)
		if CodeOf(err) != CodeInvalid || !strings.Contains(err.Error(), " de ") || !strings.Contains(err.Error(), " zu") || len(err.Error()) > 1000 {
			t.Errorf("%.20q: %v", tag, err)
		}
	}
}
