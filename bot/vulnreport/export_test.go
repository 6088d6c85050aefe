package vulnreport

// SplitParts returns the parts of a multipart body, and whether the last one has an
// end.
func SplitParts(body, boundary string) (parts []string, ended bool) {
	for raw, end := range splitParts([]byte(body), boundary) {
		parts, ended = append(parts, string(raw)), end
	}
	return parts, ended
}

// CheckPackets checks the packets of a decrypted message.
func CheckPackets(b []byte) error { return checkPackets(b) }

// Cost is the work for one mail: the units taken from each budget.
type Cost struct{ Parts, Header, Plain, Encrypted, KeyPackets, Decryptions, Signatures, Hashed, Text, HTML int64 }

// CostOf decodes a mail and returns its cost.
func (s *Source) CostOf(raw []byte) Cost {
	l := &parsedMail{source: s, budget: newBudget()}
	l.read(raw)
	b := l.budget
	return Cost{b.parts.Used(), b.header.Used(), b.plain.Used(), b.encrypted.Used(), b.keyPackets.Used(), b.decryptions.Used(), b.signatures.Used(), b.hashed.Used(),
		b.text.Used(), b.html.Used()}
}

// Limits is the largest allowed cost.
var Limits = Cost{maxParts, maxHeaderBytes, maxPlainBytes, maxEncrypted, maxKeyPackets, maxDecryptions, maxSignatures, maxHashedBytes, maxTextBytes, maxTextBytes}
