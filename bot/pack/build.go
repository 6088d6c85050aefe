package pack

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/notary"
)

// Build returns the pack of the parts. Equal parts make equal bytes.
func Build(p Parts) ([]byte, error) {
	files := map[string][]byte{}
	events := copyTimeline(p.Timeline, p.IsWithheld)
	for _, add := range []func() error{
		func() error { return addMeta(files, p) },
		func() error { return addTimeline(files, p.Incident, events) },
		func() error { return addNotary(files, p.Proofs) },
	} {
		if err := add(); err != nil {
			return nil, fmt.Errorf("build evidence pack of %s: %w", p.Incident, err)
		}
	}
	visible := visibleEvents(events)
	for name, content := range recordFiles(p.Incident, visible) {
		files[name] = content
	}
	for _, e := range visible {
		proof, err := proofOf(e)
		if err != nil || proof == nil || e.Kind != incident.EventSigned {
			continue
		}
		for name, content := range signatureFiles(e, *proof) {
			files[name] = content
		}
	}
	files[evidenceName] = evidenceTable(incident.Fold(p.Incident, visible))
	addRows(files, p.Proofs)
	for _, d := range p.Documents {
		for _, f := range d.Files {
			files[documentFile(d.Revision, f.Name)] = []byte(f.Content)
		}
	}
	files[readmeName] = readme(p, visible, files)
	files[manifestName] = manifest(files)
	return encode(files)
}

func addMeta(files map[string][]byte, p Parts) error {
	people := map[incident.PersonID]string{}
	for id, name := range p.People {
		people[id] = name
	}
	b, err := json.MarshalIndent(meta{Format: format, Incident: p.Incident.String(), ExportedAt: p.At.UTC().Truncate(time.Second), IsWithheld: p.IsWithheld,
		RelyingParty: p.RelyingParty.ID, Origin: p.RelyingParty.Origin, People: people}, "", "  ")
	files[metaName] = append(b, '\n')
	return err
}

// entry is one event of the timeline of a pack. If it is withheld, only its number and hash are set.
type entry struct {
	event      incident.Event
	isWithheld bool
}

// copyTimeline returns the timeline as the readers of the pack may see it.
func copyTimeline(timeline []incident.Event, isWithheld bool) []entry {
	out := make([]entry, len(timeline))
	for n, e := range timeline {
		switch {
		case !isWithheld:
			out[n].event = e
		case e.Kind.Secret():
			out[n] = entry{incident.Event{Seq: e.Seq, Hash: e.Hash}, true}
		default:
			out[n].event = e.WithoutPrivileged()
		}
	}
	return out
}

// visibleEvents returns the events of a pack that are not withheld.
func visibleEvents(entries []entry) (out []incident.Event) {
	for _, e := range entries {
		if !e.isWithheld {
			out = append(out, e.event)
		}
	}
	return out
}

// line returns the line of an event in the file of the timeline.
func (e entry) line() ([]byte, error) {
	var v any = e.event
	if e.isWithheld {
		v = withheldEvent{e.event.Seq, e.event.Hash}
	}
	b, err := json.Marshal(v)
	return append(b, '\n'), err
}

func addTimeline(files map[string][]byte, id incident.ID, entries []entry) error {
	var b []byte
	for _, e := range entries {
		line, err := e.line()
		if err != nil {
			return err
		}
		b = append(b, line...)
	}
	files[timelineName], files[chainName] = b, chainLines(id, entries)
	return nil
}

// chainLines returns the line of each event whose SHA-256, without the line break, is the hash of the chain. A withheld
// event has a line with its hash only.
func chainLines(id incident.ID, entries []entry) []byte {
	var b []byte
	head := incident.Genesis(id)
	for _, e := range entries {
		if e.isWithheld {
			line, _ := e.line() // an integer and a text
			b = append(b, line...)
		} else {
			b = append(append(b, e.event.ChainText(head)...), '\n')
		}
		head = incident.Head{Seq: e.event.Seq, Hash: e.event.Hash}
	}
	return b
}

// isSubmission reports whether an event submits a closing record.
func isSubmission(e incident.Event) bool {
	return e.Kind == incident.EventSubmitted || e.Kind == incident.EventRevised
}

// recordName returns the name of the file with the record that an event submitted.
func recordName(e incident.Event) string {
	return fmt.Sprintf("%s%06d-r%s.json", recordsFolder, e.Seq, fileWord(e.Field("revision")))
}

// recordFiles returns the submitted records whose texts are all in the timeline. Texts that were erased or are withheld
// change the digest.
func recordFiles(id incident.ID, events []incident.Event) map[string][]byte {
	out := map[string][]byte{}
	for n, e := range events {
		if !isSubmission(e) {
			continue
		}
		sub := incident.Fold(id, events[:n+1]).Submission
		if raw, err := canonicalRecord(sub.Document); err == nil && sub.Document.Digest() == e.Field("digest") {
			out[recordName(e)] = raw
		}
	}
	return out
}

// proofOf returns the proof in an event, or nil.
func proofOf(e incident.Event) (*incident.Proof, error) {
	text := e.Field("proof")
	if text == "" {
		return nil, nil
	}
	var p incident.Proof
	if err := decodeStrictly([]byte(text), &p); err != nil {
		return nil, fmt.Errorf("the proof of event %d is malformed", e.Seq)
	}
	return &p, nil
}

// decodeStrictly decodes JSON without unknown members and without bytes after it.
func decodeStrictly(data []byte, v any) error {
	in := json.NewDecoder(bytes.NewReader(data))
	in.DisallowUnknownFields()
	if err := in.Decode(v); err != nil {
		return err
	}
	if in.InputOffset() != int64(len(data)) {
		return errors.New("bytes follow the value")
	}
	return nil
}

// signatureFiles returns the parts of a proof as files for openssl.
func signatureFiles(e incident.Event, p incident.Proof) map[string][]byte {
	folder := fmt.Sprintf("%s%06d-%s/", signFolder, e.Seq, fileWord(e.Field("department")))
	client := sha256.Sum256(p.ClientData)
	return map[string][]byte{
		folder + "statement.txt":          p.Statement.Text(),
		folder + "authenticator-data.bin": p.AuthenticatorData,
		folder + "client-data.json":       p.ClientData,
		folder + "signed.bin":             slices.Concat(p.AuthenticatorData, client[:]),
		folder + "signature.bin":          p.Signature,
		folder + "public-key.pem":         publicPEM(p.PublicKey),
		folder + "fingerprint-of-key.txt": []byte(p.Fingerprint() + "\n"),
	}
}

func publicPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// fileWord returns a text as a part of a file name.
func fileWord(text string) string {
	word := strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '-'
	}, text)
	if len(word) > 40 {
		word = word[:40]
	}
	if word == "" {
		return "-"
	}
	return word
}

// documentFile returns the name of a file of a postmortem.
func documentFile(revision int, name string) string {
	base, extension := name, ""
	if n := strings.LastIndexByte(name, '.'); n > 0 {
		base, extension = name[:n], "."+fileWord(name[n+1:])
	}
	return fmt.Sprintf("%sr%d/%s%s", documentFolder, revision, fileWord(base), extension)
}

// evidenceTable returns the hashes of the evidence: id, SHA-256 and name, separated by tabs.
func evidenceTable(inc incident.Incident) []byte {
	var b bytes.Buffer
	for _, e := range inc.Evidence {
		name := strings.Join(strings.Fields(e.Name), " ")
		hash := e.SHA256
		if hash == "" {
			hash = "-"
		}
		fmt.Fprintf(&b, "%s\t%s\t%s\n", e.ID, hash, name)
	}
	return b.Bytes()
}

func addNotary(files map[string][]byte, p Proofs) error {
	text, signature, err := splitNote(p.Checkpoint)
	if err != nil {
		return err
	}
	key, err := notaryPEM(p.Verifier)
	if err != nil {
		return err
	}
	files[noteName], files[noteTextName], files[noteSigName] = []byte(p.Checkpoint), text, signature
	files[notaryKeyName], files[notaryPEMName] = []byte(p.Verifier+"\n"), key
	files[headSaltName] = p.Salt
	for _, l := range p.Leaves {
		name := fmt.Sprintf("%s%09d", leavesFolder, l.Index)
		files[name+".leaf"], files[name+".proof"] = l.Leaf, hashLines(l.Proof)
	}
	for _, e := range p.Earlier {
		name := fmt.Sprintf("%s%09d", earlierFolder, e.Size)
		files[name+".txt"], files[name+".proof"] = []byte(e.Note), hashLines(e.Proof)
	}
	return nil
}

// splitNote returns the signed text of a note and its Ed25519 signature. They are files for openssl.
func splitNote(note string) (text, signature []byte, err error) {
	body, rest, found := strings.Cut(note, "\n\n")
	line, _, _ := strings.Cut(rest, "\n")
	fields := strings.Fields(line)
	if !found || len(fields) != 3 {
		return nil, nil, errors.New("the checkpoint has no signature")
	}
	const hash = 4 // bytes before the signature that name the key
	raw, err := base64.StdEncoding.DecodeString(fields[2])
	if err != nil || len(raw) != hash+ed25519.SignatureSize {
		return nil, nil, errors.New("the signature of the checkpoint is malformed")
	}
	return []byte(body + "\n"), raw[hash:], nil
}

// notaryPEM returns the public key of a verifier, "name+hash+key".
func notaryPEM(verifier string) ([]byte, error) {
	parts := strings.SplitN(verifier, "+", 3)
	raw, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil || len(parts) != 3 || len(raw) != 1+ed25519.PublicKeySize {
		return nil, errors.New("the public key of the notary is malformed")
	}
	der, err := x509.MarshalPKIXPublicKey(ed25519.PublicKey(raw[1:]))
	return publicPEM(der), err
}

// hashLines returns hashes in hexadecimal, one in each line.
func hashLines(hashes []notary.Hash) []byte {
	var b []byte
	for _, h := range hashes {
		b = append(hex.AppendEncode(b, h[:]), '\n')
	}
	return b
}

// parseHashLines parses a result of hashLines.
func parseHashLines(text []byte) ([]notary.Hash, error) {
	const line = 2*sha256.Size + 1
	if len(text)%line != 0 || len(text) > 64*line {
		return nil, errors.New("the hashes of the proof are malformed")
	}
	var out []notary.Hash
	for one := range slices.Chunk(text, line) {
		raw, err := hex.DecodeString(string(one[:line-1]))
		if err != nil || one[line-1] != '\n' {
			return nil, errors.New("the hashes of the proof are malformed")
		}
		out = append(out, notary.Hash(raw))
	}
	return out, nil
}

func addRows(files map[string][]byte, p Proofs) {
	for _, row := range p.Keys {
		name := fmt.Sprintf("%s%06d", keysFolder, row.ID)
		files[name+".row"], files[name+".salt"] = []byte(row.Content), row.Salt
	}
	for _, d := range p.Documents {
		folder := documentFolder + "r" + strconv.Itoa(d.Revision) + "/"
		files[folder+"stored.json"], files[folder+"database.row"], files[folder+"database.salt"] = d.Stored, []byte(d.Content), d.Salt
	}
}
