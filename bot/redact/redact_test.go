package redact_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tocsin/bot/redact"
)

// The secrets are split because secret scanners would otherwise report this file.
const (
	awsSecret = "wJalrXUtnFEMI" + "/K7MDENG/bPxRfiCYEXAMPLEKEY"
	slackBot  = "xoxb-" + "1234567890-1234567890123-AbCdEfGhIjKlMnOpQrStUvWx"
	github    = "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"
	stripe    = "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc"
	jwt       = "eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxMjM0NTY3ODkwIn0" + ".dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
	google    = "AIza" + "SyDaGmWKa4JsXZ-HjGw7ISLn_3namBGewQe"
	pem       = "-----BEGIN RSA PRIVATE KEY-----\nMIIBOgIBAAJBAKj34GkxFhD90vcNLYLInFEX6Ppy1tPf9Cnzj4p4WGeKLs1Pt8Qu\n-----END RSA PRIVATE KEY-----"
)

// redacted are texts with the expected result.
var redacted = []struct{ rule, in, want string }{
	{"email", "mail jean.dupont@example.com now", "mail [email] now"},
	{"email, tag and subdomain", "jean+pay@mail.example.co.uk,", "[email],"},
	{"email at the end of a sentence", "Ask o'brien@example.com.", "Ask [email]."},
	{"email in mrkdwn", "<mailto:a.b@example.com|a.b@example.com>", "<mailto:[email]|[email]>"},
	{"email, emphasised", "*a@example.com* _b@example.com_ `c@example.com`", "*[email]* _[email]_ `[email]`"},
	{"email, URL-encoded", "GET /u?email=jean%40example.com&x=1", "GET /u?email=[email]&x=1"},
	{"email, encoded twice", "to=jean%2540example.com;", "to=[email];"},
	{"email in JSON", `{"user":{"email":"jean@example.com"},"n":1}`, `{"user":{"email":"[email]"},"n":1}`},
	{"email in escaped JSON", `"{\"m\":\"a\njean\u0040example.com\"}"`, `"{\"m\":\"a\n[email]\"}"`},
	{"email, HTML entity", "jean&#64;example.com &lt;b&commat;example.com&gt;", "[email] &lt;[email]&gt;"},
	{"email, zero-width space", "jean\u200b@exam\u200bple.com ok", "[email] ok"},
	{"email, soft hyphen and full width", "je\u00adan＠example．com", "[email]"},
	{"email, defanged", "jean[at]example[.]com and jean(at)example(dot)com", "[email] and [email]"},
	{"email, accents", "jérôme@exämple.fr", "[email]"},
	{"email as session name", "arn:aws:sts::123456789012:assumed-role/Admin/jean@example.com", "arn:aws:sts::123456789012:assumed-role/Admin/[email]"},
	{"email, quoted local part", `"jean dupont"@example.com`, `[email]`},

	{"phone, international", "call +33 6 12 34 56 78 today", "call [phone] today"},
	{"phone, no spaces", "+14155552671", "[phone]"},
	{"phone, trunk zero", "+44 (0)20 7946 0958", "[phone]"},
	{"phone, dashes", "tel:+49-151-12345678", "tel:[phone]"},
	{"phone, followed by a number", "+33 6 12 34 56 78 22 errors", "[phone] 22 errors"},
	{"phone, 00", "0033 6 12 34 56 78", "[phone]"},
	{"phone, French", "06 12 34 56 78 or 0612345678 or 06.12.34.56.78", "[phone] or [phone] or [phone]"},
	{"phone, no-break spaces", "06\u00a012\u202f34\u00a056\u00a078", "[phone]"},
	{"phone, British", "020 7946 0958 / 07700 900123", "[phone] / [phone]"},
	{"phone, German", "0151/12345678, 030 12345678", "[phone], [phone]"},
	{"phone, American", "555-123-4567, (555) 123-4567, 1-800-555-1234, 415.555.2671", "[phone], [phone], [phone], [phone]"},
	{"phone, announced", `{"phone_number": "5551234567", "mobile":"612345678"} Tel. no.: 612 345 678`, `{"phone_number": "[phone]", "mobile":"[phone]"} Tel. no.: [phone]`},
	{"phone, Arabic digits", "+٣٣ ٦١٢٣٤٥٦٧٨", "[phone]"},
	{"phone, percent-encoded plus", "?p=%2B33612345678&x=1", "?p=[phone]&x=1"},

	{"iban", "IBAN FR14 2004 1010 0505 0001 3M02 606 please", "IBAN [iban] please"},
	{"iban, compact", "DE89370400440532013000", "[iban]"},
	{"iban, small letters and dashes", "gb82-west-1234-5698-7654-32", "[iban]"},
	{"iban, no-break spaces", "DE89\u00a03704\u00a00044\u00a00532\u00a00130\u00a000", "[iban]"},

	{"card", "paid with 4111111111111111.", "paid with [card]."},
	{"card, spaces", "5500 0000 0000 0004 12/27", "[card] 12/27"},
	{"card, dashes", "4111-1111-1111-1111", "[card]"},
	{"card, Amex", "3782 822463 10005", "[card]"},
	{"card, nineteen digits", "6304000000000000000", "[card]"},
	{"card, two in a row", "4111 1111 1111 1111 4111 1111 1111 1111", "[card] [card]"},
	{"card, zero-width joiner", "4111\u200d1111\u200d1111\u200d1111", "[card]"},
	{"card, full width", "４１１１１１１１１１１１１１１１", "[card]"},
	{"card in escaped text", `"pan:\n4111111111111111\n"`, `"pan:\n[card]\n"`},

	{"French social security number", "NIR 1 85 05 78 006 084 91, 185057800608491", "NIR [national-id], [national-id]"},
	{"American social security number", "SSN 536-22-8726.", "SSN [national-id]."},

	{"French number, wrong check digits", "NIR 1 85 05 78 006 084 92.", "NIR [national-id]."},
	{"French number, dashes, no check digits", "2-94-03-75-120-005", "[national-id]"},
	{"French number, compact, wrong check digits", "NIR: 185057800608492 ok", "NIR: [national-id] ok"},
	{"American number, not issued", "SSN 900-22-8726, ssn: 536 22 8726", "SSN [national-id], ssn: [national-id]"},
	{"national number after its name", "DNI 12345678Z; CPF 123.456.789-09; steuer-id 12 345 678 901; passport no. 12AB34567", "DNI [national-id]; CPF [national-id]; steuer-id [national-id]; passport no. [national-id]"},
	{"phone inside a longer number", "x 12 34 06 12 34 56 78 99 y", "x [phone] y"},
	{"iban, wrong check digits", "DE89 3704 0044 0532 0130 01 and IBAN: DE89370400440532013001", "[iban] and IBAN: [iban]"},
	{"email, special characters", "a!b#c$d%e&f'g*h^i`j{k}l~m_n-o.p+q@example.com", "[email]"},

	{"secret, AWS", "leaked " + awsSecret + " in build", "leaked [secret] in build"},
	{"secret, AWS after its id", "AKIAIOSFODNN7EXAMPLE:" + awsSecret, "AKIAIOSFODNN7EXAMPLE:[secret]"},
	{"secret, AWS by name", "aws_secret_access_key = aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n", "aws_secret_access_key = [secret]\n"},
	{"secret, Slack", "token is " + slackBot + ".", "token is [secret]."},
	{"secret, GitHub", "clone with " + github, "clone with [secret]"},
	{"secret, GitHub fine-grained", "github_pat_" + "11ABCDEFG0123456789_abcdefghij", "[secret]"},
	{"secret, Stripe", "key `" + stripe + "`", "key `[secret]`"},
	{"secret, Google", "https://maps.example.com/?key=" + google + "&v=3", "https://maps.example.com/?key=[secret]&v=3"},
	{"secret, JWT", "got " + jwt + " back", "got [secret] back"},
	{"secret, PEM", "found\n" + pem + "\nin repo", "found\n[secret]\nin repo"},
	{"secret, PEM in JSON", strings.ReplaceAll(`{"key":"`+pem+`"}`, "\n", `\n`), `{"key":"[secret]"}`},
	{"secret, PEM cut off", pem[:70], "[secret]"},
	{"secret, header", "Authorization: Bearer abc123def456", "Authorization: Bearer [secret]"},
	{"secret, basic", `-H "Authorization: Basic dXNlcjpwYXNz"`, `-H "Authorization: Basic [secret]"`},
	{"secret, header pair", `[["Authorization","Bearer abcdef"],["X-Api-Key","k"],["Host","a"]]`, `[["Authorization","Bearer [secret]"],["X-Api-Key","[secret]"],["Host","a"]]`},
	{"secret, bearer alone", "sent bearer abcdef1234567890 to it", "sent bearer [secret] to it"},
	{"secret, cookie", "Cookie: session=abc; theme=dark\nHost: a", "Cookie: [secret]\nHost: a"},
	{"secret, password=", "password=hunter2 user=jean", "password=[secret] user=jean"},
	{"secret, password in prose", "the password is hunter2, sorry", "the password is [secret], sorry"},
	{"secret, password:", "Password: hunter", "Password: [secret]"},
	{"secret, bold", "*password:* `hunter2`", "*password:* `[secret]`"},
	{"secret, quoted", `password = "hunter two, three"`, `password = "[secret]"`},
	{"secret, with commas", "DB_PASS=a,b;c&d host=x", "DB_PASS=[secret] host=x"},
	{"secret, JSON", `{"client_secret": "abcdefgh", "a":1}`, `{"client_secret": "[secret]", "a":1}`},
	{"secret, escaped JSON", `{\"password\":\"hun\\\"ter2\",\"a\":1}`, `{\"password\":\"[secret]\",\"a\":1}`},
	{"secret, query", "/cb?access_token=abc&x=1", "/cb?access_token=[secret]&x=1"},
	{"secret, encoded query", "/cb%3Faccess_token%3Dabc%26x%3D1", "/cb%3Faccess_token%3D[secret]%26x%3D1"},
	{"secret, presigned URL", "https://b.s3.amazonaws.com/k?X-Amz-Signature=deadbeef&X-Amz-Date=20240115T100000Z", "https://b.s3.amazonaws.com/k?X-Amz-Signature=[secret]&X-Amz-Date=20240115T100000Z"},
	{"secret, flag", "mysql --password hunter2 --host db", "mysql --password [secret] --host db"},
	{"secret, Go struct", "{User:jean Password:hunter2 Port:5432}", "{User:jean Password:[secret] Port:5432}"},
	{"secret, XML", "<db:password>hunter2</db:password>", "<db:password>[secret]</db:password>"},
	{"secret, camel case", "dbPass=x1 apiKey: y2", "dbPass=[secret] apiKey: [secret]"},
	{"secret, URL", "postgres://tocsin:hunter2@db.example.com:5432/tocsin", "postgres://tocsin:[secret]@db.example.com:5432/tocsin"},
	{"secret, URL with an at sign", "redis://:p@ss@cache:6379", "redis://:[secret]@cache:6379"},
	{"secret, URL with a slash", "redis://:pa/ss@cache:6379", "redis://:[secret]@cache:6379"},
	{"secret, Sentry DSN", "https://0123456789abcdef0123456789abcdef@o42.ingest.sentry.io/7", "https://[secret]@o42.ingest.sentry.io/7"},
	{"secret, Sentry DSN, old", "https://public:s3cr3t@sentry.example.com/7", "https://public:[secret]@sentry.example.com/7"},
	{"secret, Slack webhook", "https://hooks.slack.com/services/T00000000/B00000000/" + "XXXXabcdefgh1234ijkl5678", "https://hooks.slack.com/services/T00000000/B00000000/[secret]"},
	{"secret, passphrase", "password: correct horse battery staple", "password: [secret]"},
	{"secret, passphrase with a sentence after it", "Passphrase = Correct-Horse battery staple. Change it", "Passphrase = [secret]. Change it"},
	{"secret, passphrase before a key", "passwd: correct horse battery staple user: jean", "passwd: [secret] user: jean"},
	{"secret, passphrase in an assignment", "password=correct horse battery staple", "password=[secret]"},
	{"secret, passphrase in prose", "the password is correct horse battery staple, sorry", "the password is [secret], sorry"},
	{"secret, passphrase with a link word", "password: fish and chips on friday", "password: [secret]"},
	{"secret, passphrase in a list", "- pwd: correct horse battery staple\n- next", "- pwd: [secret]\n- next"},
	{"secret, before a clause", "password: hunter2 and then the attacker left", "password: [secret] and then the attacker left"},
	{"secret, before a command", "PASS=hunter2 ls", "PASS=[secret] ls"},
	{"secret, zero-width", "pass\u200bword=hun\u200bter2", "pass\u200bword=[secret]"},
}

// preserved are texts that must not change, because responders need them.
var preserved = []struct{ name, text string }{
	{"access key ids", "AKIAIOSFODNN7EXAMPLE ASIATFQR7NSC5AU2ZV3I AIDATFQR7NSC5AU2ZV3IE"},
	{"access key ids by name", `{"accessKeyId":"AKIAIOSFODNN7EXAMPLE","accessKey":"AKIAIOSFODNN7EXAMPLE"} access key: ASIATFQR7NSC5AU2ZV3I`},
	{"ARNs", "arn:aws:iam::123456789012:user/jean arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-AbC123 arn:aws:sts::123456789012:assumed-role/Admin/i-0dbc91f429e48eeed"},
	{"account ids", "account 123456789012, 012345678901, 0612-3456-7890"},
	{"request ids", "request 6f4c1a2e-0612-4111-8111-061234567890, REQ: 3X9D4QY1B2C3D4E5, eventID 11111111-1111-1111-1111-111111111111"},
	{"S3 host ids", "x-amz-id-2: eftixk72aD6Ap51TnqcoF8eFidJG9Z/2mkiDFu8yU9AS1ed4OpIszj7UDNEHGran0d1cHc3bNn0="},
	{"hashes", "sha1 da39a3ee5e6b4b0d3255bfef95601890afd80709 sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
	{"image digests", "repo/app@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
	{"times", "2024-01-15T10:00:00Z 2024-01-15 10:30:45.123456789 +0000 2024-01-15T10:00:00+05:30 15/01/2024 10:30 01-02-2024 10:30 01.02.2024 20240115T100000Z"},
	{"unix times", "1700000000.123456 1700000000 1700000000000 1700000000123456 1700000000123456789 p1700000000123456"},
	{"IP addresses", "192.168.100.200 10.0.0.1:5432 203.0.113.7/32 2001:0db8:85a3::8a2e:0370:7334"},
	{"Slack ids", "<@U024BE7LH> <#C024BE91L|general> <!subteam^S012345|@oncall> U0612345678"},
	{"incident ids and dedup keys", "INC-42 INC-42/1 R02ABCDEF0123456789 alert-0612345678"},
	{"versions and modules", "github.com/foo/bar@v1.2.3 react@18.2.0 go1.26.0 @types/node"},
	{"ssh remotes", "git@github.com:owner/repo.git root@10.0.0.5 deploy@localhost"},
	{"counts", "1234567 errors in 3600 s, 99.999999999 %, 0.123456789012, 200 500 1000, max_tokens=4096"},
	{"ports and URLs", "https://example.com:8443/a/b?x=1#y http://localhost:8080 s3://bucket/key"},
	{"words after a name of an identity number", "passport service 2.0, INSEE 2024-01-15, SSN exposure of 120 people, nir 42, national id: unknown"},
	{"sentences about a password", "the password is not known to anyone, password is stored encrypted, password: required when you log in, Password: none of the users"},
	{"file modes", "0644 0755 0600"},
	{"prose about secrets", "The token: expired yesterday. secret: nobody knows. Password: changed. reset the password, rotate secrets; password=${DB_PASSWORD} PWD=/root bypass=true"},
	{"cursors", `{"nextToken":"abcdefghijklmnop","clientToken":"0123abcd-0123-0123-0123-0123456789ab"}`},
	{"signed headers", "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20240115/us-east-1/s3/aws4_request, SignedHeaders=host"},
	{"path of forty letters", "src/main/java/org/acme/Service1/Handler2"},
	{"invalid cards", "4111111111111112 4111 1111 1111 1112 12345678901234567890123"},
	{"invalid IBANs", "DE89370400440532013001 FR7612345678901234567890123"},
	{"certificates", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"},
	{"markers", "[email] [phone] [iban] [card] [secret] [national-id] [redacted] password=[secret]"},
	{"escapes and symbols", "100%25 of C:\\new\\table &amp; &lt;b&gt; “ok” … → 🔥 \u200b\x00\xff"},
}

func TestText_Redacts(t *testing.T) {
	r := redact.New(redact.Options{})
	for _, c := range redacted {
		t.Run(c.rule, func(t *testing.T) {
			if got := r.Text(c.in); got != c.want {
				t.Errorf("\n  in   %q\n  got  %q\n  want %q", c.in, got, c.want)
			}
			if got := r.Text(r.Text(c.in)); got != c.want {
				t.Errorf("second redaction: got %q, want %q", got, c.want)
			}
		})
	}
}

func TestText_PreservesResponderData(t *testing.T) {
	r := redact.New(redact.Options{})
	for _, c := range preserved {
		t.Run(c.name, func(t *testing.T) {
			if got := r.Text(c.text); got != c.text {
				t.Errorf("\n  got  %q\n  want %q", got, c.text)
			}
		})
	}
}

func TestNew_Options(t *testing.T) {
	r := redact.New(redact.Options{
		KeepEmails: []string{"Status@example.com", "@acme.example"},
		Literals:   []string{"Ann", "Jérôme  Lefèvre", " x ", "Acme (Paris)", "[email]"},
	})
	for _, c := range []struct{ name, in, want string }{
		{"address to keep", "status@example.com other@example.com", "status@example.com [email]"},
		{"domain to keep", "Any.One@ACME.example a@sub.acme.example", "Any.One@ACME.example [email]"},
		{"name", "Ann, ANN and ann's; announce Joann", "[redacted], [redacted] and [redacted]'s; announce Joann"},
		{"accents and blanks", "JEROME\n lefevre, Je\u0301rôme\u00a0Lefèvre", "[redacted], [redacted]"},
		{"encoded", "?n=J%C3%A9r%C3%B4me x", "?n=J%C3%A9r%C3%B4me x"},
		{"punctuation", "at acme (paris).", "at [redacted]."},
		{"in an address", "ann@example.com", "[email]"},
		{"one letter", "x x", "x x"},
		{"markers", "[email] [redacted]", "[email] [redacted]"},
	} {
		if got := r.Text(c.in); got != c.want {
			t.Errorf("%s:\n  got  %q\n  want %q", c.name, got, c.want)
		}
	}
}

// texts generates texts from the examples above, with separators between them.
func texts() *rapid.Generator[string] {
	var pieces []string
	for _, c := range redacted {
		pieces = append(pieces, c.in)
	}
	for _, c := range preserved {
		pieces = append(pieces, c.text)
	}
	glue := []string{"", " ", "\n", ",", ":", "=", "\"", "'", "\\\"", "-", ".", "/", "@", "+", "[", "]", "0", "a", "é", "%40", "%", "\\", "&#64;", "\u200b", "password=", "token: ", "Ann", "[secret]", "[email]"}
	piece := rapid.OneOf(rapid.SampledFrom(pieces), rapid.SampledFrom(glue), rapid.StringN(0, 6, -1),
		rapid.Custom(func(t *rapid.T) string { // part of an example
			p := rapid.SampledFrom(pieces).Draw(t, "piece")
			from := rapid.IntRange(0, len(p)).Draw(t, "from")
			return p[from:rapid.IntRange(from, len(p)).Draw(t, "to")]
		}))
	return rapid.Custom(func(t *rapid.T) string { return strings.Join(rapid.SliceOfN(piece, 0, 12).Draw(t, "pieces"), "") })
}

func TestText_Idempotent(t *testing.T) {
	r := redact.New(redact.Options{Literals: []string{"Ann", "dupont"}})
	rapid.Check(t, func(t *rapid.T) {
		in := texts().Draw(t, "text")
		once := r.Text(in)
		if twice := r.Text(once); twice != once {
			t.Fatalf("\n  in    %q\n  once  %q\n  twice %q", in, once, twice)
		}
	})
}

func TestText_RedactsSecretsInAnyContext(t *testing.T) {
	r := redact.New(redact.Options{})
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.SampledFrom([]string{slackBot, github, stripe, "jean.dupont@example.com", "4111111111111111", "DE89370400440532013000"}).Draw(t, "secret")
		around := rapid.StringMatching(`([a-z0-9 ]{0,20}[ \n"'<>(),;:|])?`)
		in := around.Draw(t, "before") + secret + " " + around.Draw(t, "after")
		if got := r.Text(in); strings.Contains(got, secret) {
			t.Fatalf("%q: got %q, which contains the secret", in, got)
		}
	})
}

// TestText_TenMegabytesOfDigits does not end if a rule scans the rest of the text at each
// digit.
func TestText_TenMegabytesOfDigits(t *testing.T) {
	text := strings.Repeat("1234567890", 1<<20)
	if got := redact.New(redact.Options{}).Text(text); got != text {
		t.Error("digits that are not a number were changed")
	}
}

func FuzzText(f *testing.F) {
	for _, c := range redacted {
		f.Add(c.in)
	}
	for _, c := range preserved {
		f.Add(c.text)
	}
	r := redact.New(redact.Options{Literals: []string{"Ann"}})
	f.Fuzz(func(t *testing.T, in string) {
		once := r.Text(in)
		if twice := r.Text(once); twice != once {
			t.Errorf("\n  in    %q\n  once  %q\n  twice %q", in, once, twice)
		}
		if strings.Contains(r.Text(in+" "+slackBot+" "), slackBot) {
			t.Errorf("a token after %q was not redacted", in)
		}
	})
}

func BenchmarkText(b *testing.B) {
	var all strings.Builder
	for _, c := range preserved {
		all.WriteString(c.text + "\n")
	}
	plain := strings.Repeat("2024-01-15T10:00:00Z level=info component=desk incident=INC-42 took=12ms user=U024BE7LH\n", 100)
	matches := strings.Repeat("password: correct horse battery staple, SSN 536-22-8726, NIR 1 85 05 78 006 084 92, mail a!b@example.com\n", 50)
	for name, text := range map[string]string{"preserved": all.String(), "log": plain, "digits": strings.Repeat("1234567890", 1000), "matches": matches} {
		b.Run(name, func(b *testing.B) {
			r := redact.New(redact.Options{})
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				r.Text(text)
			}
		})
	}
}
