package incident

import (
	"regexp"
	"slices"
	"strings"
)

// languages are the codes of ISO 639-1.
const languages = "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo es et eu " +
	"fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km " +
	"kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om " +
	"or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr " +
	"ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu"

// languageTag is a language with the script and the country that it may be
// written for, in the form of BCP 47.
var languageTag = regexp.MustCompile(`^([A-Za-z]{2})(-[A-Za-z]{4})?(-([A-Za-z]{2}|[0-9]{3}))?$`)

// CheckLanguage refuses what is no tag of a language there is, and says which
// there are. A record that claims a language nobody has is read out by no screen
// reader and found by no search.
func CheckLanguage(tag string) error { return checkLanguage("language", tag) }

func checkLanguage(field, tag string) error {
	m := languageTag.FindStringSubmatch(tag)
	if m != nil && slices.Contains(strings.Fields(languages), strings.ToLower(m[1])) {
		return nil
	}
	return Invalid(field, "%q is no language; write its code, with a country if need be, as in en or fr-CA; the codes are %s", clip(tag), languages)
}
