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
