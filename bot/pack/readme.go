package pack

import (
	"bytes"
	_ "embed"
	"fmt"
	"strings"
	"text/template"
	"time"

	"tocsin/bot/incident"
)

//go:embed readme.txt.tmpl
var readmeText string

var readmeTemplate = template.Must(template.New("readme").Parse(readmeText))

// readmeData is the input of the template.
type readmeData struct {
	Incident, Exported, Checkpoint, NotaryKey, Origin string
	IsWithheld                                        bool
	Events                                            int
	Signers                                           []string
	HasRecords, HasSignatures, HasDocuments, HasKeys  bool
	Genesis                                           string // hash before the first event
	Head                                              string // hash of the last event
}

// readme returns the README for the person who verifies the pack.
func readme(p Parts, events []incident.Event, files map[string][]byte) []byte {
	has := func(folder string) bool {
		for name := range files {
			if strings.HasPrefix(name, folder) {
				return true
			}
		}
		return false
	}
	d := readmeData{Incident: p.Incident.String(), Exported: readmeTime(p.At), NotaryKey: p.Proofs.Verifier, Origin: p.RelyingParty.Origin, IsWithheld: p.IsWithheld,
		Events: len(p.Timeline), HasRecords: has(recordsFolder), HasSignatures: has(signFolder), HasDocuments: has(documentFolder), HasKeys: has(keysFolder),
		Genesis: incident.Genesis(p.Incident).Hash}
	if n := len(p.Timeline); n > 0 {
		d.Head = p.Timeline[n-1].Hash
	}
	for _, s := range incident.Fold(p.Incident, events).Signatures {
		d.Signers = append(d.Signers, signerLine(p, events, s))
	}
	var b bytes.Buffer
	if err := readmeTemplate.Execute(&b, d); err != nil {
		panic(fmt.Sprintf("pack: README: %v", err)) // the template and its data are constant
	}
	return b.Bytes()
}

// signerLine describes a signature for the README.
func signerLine(p Parts, events []incident.Event, s incident.Signature) string {
	name := string(s.By)
	if known := p.People[s.By]; known != "" {
		name = known + " (" + name + ")"
	}
	how := ByServer
	for _, e := range events {
		if e.Kind != incident.EventSigned || e.By != s.By || !e.RecordedAt.Equal(s.At) {
			continue
		}
		if proof, err := proofOf(e); err == nil && proof != nil {
			how = "with the passkey " + proof.Fingerprint()
		}
	}
	return fmt.Sprintf("%s: %s, %s,\n      %s", s.Department, name, readmeTime(s.At), how)
}

func readmeTime(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 UTC") }
