package pack

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"

	"tocsin/bot/incident"
	"tocsin/bot/notary"
	"tocsin/bot/trust"
)

// Options hold facts that the verifier has from other sources than the pack.
type Options struct {
	// Key is the public key of the notary. If it is "", the key of the pack is used, which proves nothing about the origin.
	Key string
	// Pins are fingerprints of passkeys. If there are any, every signature with a passkey must be by one of them.
	Pins []string
	// Published are texts with checkpoints that the verifier received. The log of the pack must continue them.
	Published []string
	// RequirePasskeys makes a signature without a passkey a problem.
	RequirePasskeys bool
}

// Verify checks a pack. It never fails: every problem is in the report.
func Verify(data []byte, o Options) Report {
	sum := sha256.Sum256(data)
	r := Report{SHA256: hex.EncodeToString(sum[:]), Checks: []Check{}, Signatures: []Signature{}}
	v := verification{o: o, report: &r, used: map[string]bool{}, hashes: map[int]string{}}
	v.run(data)
	r.finish()
	return r
}

// verification is the state of [Verify].
type verification struct {
	o      Options
	report *Report
	files  map[string][]byte
	used   map[string]bool // the files that a check read

	meta     meta
	id       incident.ID
	events   []incident.Event // without withheld ones
	hashes   map[int]string   // of all events
	withheld []int            // numbers of withheld events
	isWhole  bool             // no text is withheld or erased
	last     int              // number of the last event

	verifier   notary.Verifier
	checkpoint notary.Checkpoint
	isSigned   bool                          // the checkpoint carries the signature of the verifier
	heads      map[int]int64                 // first leaf by the number of the last event
	order      []int                         // of heads
	lines      map[string]map[int64]leafLine // by subject and id of the row
	steps      map[int64]bool                // indexes of the leaves in the pack, and whether they begin a step
	keys       map[int64]trust.Event         // opened
}

// run runs the checks. Each one can rely on the earlier ones.
func (v *verification) run(data []byte) {
	archive := findings{name: "files", ok: "every file has the SHA-256 of the manifest, and nothing was added"}
	defer func() { v.report.add(archive) }()
	var err error
	if v.files, err = decode(data); err == nil {
		err = checkManifest(v.files)
	}
	if err == nil {
		err = v.readMeta()
	}
	if err != nil {
		archive.problem("%s", err)
		return
	}
	v.use(manifestName, readmeName)
	v.readTimeline()
	v.readNotary()
	v.checkHeads()
	v.readKeys()
	v.checkRecords()
	v.checkSignatures()
	v.checkSignOff()
	v.checkDocuments()
	v.checkEvidence()
	v.checkPublished()
	for _, name := range slices.Sorted(maps.Keys(v.files)) {
		if !v.used[name] {
			archive.problem("the file %s does not belong to an evidence pack", name)
		}
	}
}

// use marks files as read.
func (v *verification) use(names ...string) {
	for _, n := range names {
		v.used[n] = true
	}
}

// file returns a file and marks it as read.
func (v *verification) file(name string) ([]byte, bool) {
	content, ok := v.files[name]
	v.used[name] = true
	return content, ok
}

// require adds a problem unless a file has a content that follows from the rest of the pack.
func (v *verification) require(f *findings, name string, want []byte) {
	switch have, ok := v.file(name); {
	case !ok:
		f.problem("the file %s is missing", name)
	case !bytes.Equal(have, want):
		f.problem("the file %s differs from the timeline", name)
	}
}

// folder returns the names of the files in a folder with a suffix, sorted.
func (v *verification) folder(prefix, suffix string) (out []string) {
	for _, name := range slices.Sorted(maps.Keys(v.files)) {
		if strings.HasPrefix(name, prefix) && strings.HasSuffix(name, suffix) {
			out = append(out, name)
		}
	}
	return out
}

// name returns the name of a person, or the id.
func (v *verification) name(p incident.PersonID) string {
	if name := v.meta.People[p]; name != "" {
		return name
	}
	return string(p)
}
