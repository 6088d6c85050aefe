package incident

import (
	"regexp"
	"slices"
	"strings"
)

// iso639_1 are the codes of ISO 639-1.
const iso639_1 = "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo es et eu " +
	"fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km " +
	"kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om " +
	"or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr " +
	"ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu"

// iso639_2 are the codes of ISO 639-2 for these languages, and the codes that do
// not identify a language. They are rejected: BCP 47 requires the shorter code.
const iso639_2 = "aar abk afr aka alb amh ara arg arm asm ava ave aym aze bak bam baq bel ben bis bod bos bre bul bur cat ces cha che chi chu chv " +
	"cor cos cre cym cze dan deu div dut dzo ell eng epo est eus ewe fao fas fij fin fra fre fry ful geo ger gla gle glg glv gre grn " +
	"guj hat hau heb her hin hmo hrv hun hye ibo ice ido iii iku ile ina ind ipk isl ita jav jpn kal kan kas kat kau kaz khm kik kin " +
	"kir kom kon kor kua kur lao lat lav lim lin lit ltz lub lug mac mah mal mao mar may mkd mlg mlt mon mri msa mya nau nav nbl nde " +
	"ndo nep nld nno nob nor nya oci oji ori orm oss pan per pli pol por pus que roh ron rum run rus sag san sin slk slo slv sme smo " +
	"sna snd som sot spa sqi srd srp ssw sun swa swe tah tam tat tel tgk tgl tha tib tir ton tsn tso tuk tur twi uig ukr urd uzb ven " +
	"vie vol wel wln wol xho yid yor zha zho zul " +
	"mis mul und zxx"

// languageTag matches a BCP 47 language with optional script and region.
var languageTag = regexp.MustCompile(`^([A-Za-z]{2,3})(-[A-Za-z]{4})?(-([A-Za-z]{2}|[0-9]{3}))?$`)

// privateUse matches the codes reserved for private use.
var privateUse = regexp.MustCompile(`^q[a-t]`)

// CheckLanguage returns an [*Error] if tag is not a BCP 47 tag of an existing
// language. Screen readers and searches do not work with an invalid one. Codes of
// two letters are checked against ISO 639-1. Codes of three letters are accepted
// unless the language has a shorter code or the code is for private use.
//
// The lists are here because this package imports only the standard library. The
// package golang.org/x/text/language also accepts the longer codes that BCP 47 rejects.
func CheckLanguage(tag string) error { return checkLanguage("language", tag) }

func checkLanguage(field, tag string) error {
	if m := languageTag.FindStringSubmatch(tag); m != nil {
		code := strings.ToLower(m[1])
		if len(code) == 2 && slices.Contains(strings.Fields(iso639_1), code) ||
			len(code) == 3 && !privateUse.MatchString(code) && !slices.Contains(strings.Fields(iso639_2), code) {
			return nil
		}
	}
	return Invalid(field, "unknown language %q. Use a code such as en or fr-CA, or one of three letters such as fil if it has no short one (short codes: %s)", truncate(tag), iso639_1)
}
