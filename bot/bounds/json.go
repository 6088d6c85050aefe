package bounds

import "bytes"

// MaxJSONTokens is the maximum number of names and values in a JSON document. Each
// costs up to 150 bytes when it is decoded, and in genuine documents each has more than
// 5 bytes.
const MaxJSONTokens = 200_000

// TooManyTokens reports whether a JSON document may have more than [MaxJSONTokens]
// names and values. It counts the punctuation marks outside strings, because every name
// and value needs one. For nearly all documents, a count of all marks is low enough.
// Data that is not an object or a list, such as a mail, has no tokens.
//
// Decoders of JSON limit at most the depth. A count before the decoding costs no memory.
func TooManyTokens(document []byte) bool {
	if start := bytes.TrimLeft(document, " \t\r\n"); len(start) == 0 || start[0] != '{' && start[0] != '[' {
		return false
	}
	if most := countAll(document); most < MaxJSONTokens {
		return false
	}
	n, quoted := 1, false
	for i := 0; i < len(document) && n <= MaxJSONTokens; i++ {
		switch c := document[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ',' || c == ':' || c == '[' || c == '{'):
			n++
		}
	}
	return n > MaxJSONTokens
}

func countAll(document []byte) (n int) {
	for _, mark := range []byte(",:[{") {
		n += bytes.Count(document, []byte{mark})
	}
	return n
}
