package pack

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"tocsin/bot/notary"
)

// The subjects of leaves that a pack uses.
const (
	subjectIncidents = "incidents"
	subjectDocuments = "documents"
	subjectKeys      = "trust"
)

// readNotary opens the checkpoint and the leaves, and checks that the checkpoint covers each leaf.
func (v *verification) readNotary() {
	f := findings{name: "notary"}
	defer func() { v.report.add(f) }()
	v.heads, v.lines, v.steps = map[int]int64{}, map[string]map[int64]leafLine{}, map[int64]bool{}
	rawKey, _ := v.file(notaryKeyName)
	key := strings.TrimSpace(string(rawKey))
	if string(rawKey) != key+"\n" {
		f.problem("the file %s is malformed", notaryKeyName)
	}
	if v.o.Key != "" && strings.TrimSpace(v.o.Key) != key {
		f.problem("the pack has the notary key %.200s, and you expect %.200s. The pack belongs to another instance", key, v.o.Key)
		return
	}
	v.report.NotaryKey = key
	pem, err := notaryPEM(key)
	if err == nil {
		v.require(&f, notaryPEMName, pem)
		v.verifier, err = notary.NewVerifier(key)
	}
	if err != nil {
		f.problem("%s", err)
		return
	}
	note, _ := v.file(noteName)
	if v.checkpoint, err = v.verifier.Open(string(note)); err != nil || v.checkpoint.Note != string(note) {
		f.problem("the checkpoint has no valid signature of the notary key")
		return
	}
	text, signature, err := splitNote(string(note))
	if err != nil {
		f.problem("%s", err)
		return
	}
	v.require(&f, noteTextName, text)
	v.require(&f, noteSigName, signature)
	v.isSigned = true
	v.report.Checkpoint = fmt.Sprintf("%s, %d leaves", v.checkpoint.At.UTC().Format("2006-01-02 15:04:05 UTC"), v.checkpoint.Size)
	leaves := v.readLeaves(&f)
	f.ok = fmt.Sprintf("the notary signed the checkpoint of %s, and %d leaves of the pack are in its log", v.report.Checkpoint, leaves)
	if v.o.Key == "" {
		f.note("the notary key of the pack was not compared. Use --notary-key with the key that you received earlier")
	}
}

// readLeaves checks the inclusion of each leaf and indexes its lines.
func (v *verification) readLeaves(f *findings) (n int) {
	for _, name := range v.folder(leavesFolder, ".leaf") {
		base := strings.TrimSuffix(name, ".leaf")
		index, err := strconv.ParseInt(strings.TrimPrefix(base, leavesFolder), 10, 64)
		if err != nil || fmt.Sprintf("%s%09d", leavesFolder, index) != base {
			continue // an unknown file
		}
		if err := v.readLeaf(name, base+".proof", index); err != nil {
			f.problem("leaf %d: %s", index, err)
			continue
		}
		n++
	}
	return n
}

func (v *verification) readLeaf(name, proofName string, index int64) error {
	leaf, _ := v.file(name)
	raw, _ := v.file(proofName)
	hashes, err := parseHashLines(raw)
	if err != nil {
		return err
	}
	if index >= v.checkpoint.Size {
		return errors.New("the checkpoint does not cover it")
	}
	if err := (notary.Inclusion{Leaf: leaf, Index: index, Proof: hashes}).Check(v.checkpoint); err != nil {
		return err
	}
	if v.steps[index] = notary.IsStep(leaf); v.steps[index] {
		return nil
	}
	var lines []notary.Line
	subject, err := notary.ParseLeaf(leaf, func(l notary.Line) { lines = append(lines, l) })
	if err != nil {
		return err
	}
	known := v.lines[subject]
	if known == nil {
		known = map[int64]leafLine{}
		v.lines[subject] = known
	}
	for _, l := range lines {
		if subject == subjectIncidents {
			if l.ID == int64(v.id) {
				if err := v.readHead(l, index); err != nil {
					return err
				}
			}
			continue
		}
		if have, ok := known[l.ID]; !ok || subject == subjectDocuments && index > have.leaf { // documents can be written again
			known[l.ID] = leafLine{l, index}
		}
	}
	return nil
}

// readHead compares the last event that a line has with the chain of the pack.
func (v *verification) readHead(l notary.Line, index int64) error {
	text, commitment, found := strings.Cut(l.Detail, " ")
	if !found {
		return nil // the line is about the removal of the incident
	}
	seq, err := strconv.Atoi(text)
	if err != nil {
		return errors.New("the head of the timeline is malformed")
	}
	hash, known := v.hashes[seq]
	if !known {
		return fmt.Errorf("the notary knows event %d, and the timeline of the pack ends at event %d: its end was cut off", seq, v.last)
	}
	salt, _ := v.file(headSaltName)
	if notary.Commit(salt, fmt.Appendf(nil, "head %d\nseq %d\nhash %s\n", int64(v.id), seq, hash)).String() != commitment {
		return fmt.Errorf("the notary knows another event %d than the timeline of the pack", seq)
	}
	if have, ok := v.heads[seq]; !ok || index < have {
		v.heads[seq] = index
	}
	return nil
}

// sortHeads sorts the heads, and reports one that a later leaf saw earlier in the timeline.
func (v *verification) sortHeads(f *findings) {
	v.order = slices.Sorted(maps.Keys(v.heads))
	for n := 1; n < len(v.order); n++ {
		if v.heads[v.order[n]] < v.heads[v.order[n-1]] {
			f.problem("leaf %d has event %d, and leaf %d has only event %d: the timeline became shorter", v.heads[v.order[n]], v.order[n], v.heads[v.order[n-1]], v.order[n-1])
		}
	}
}

// leafOf returns the index of the first leaf in the pack whose head has an event, or -1. A withheld event between both
// breaks the chain, because its link to the event before cannot be computed.
func (v *verification) leafOf(seq int) int64 {
	n, _ := slices.BinarySearch(v.order, seq)
	if n == len(v.order) {
		return -1
	}
	if w, _ := slices.BinarySearch(v.withheld, seq+1); w < len(v.withheld) && v.withheld[w] <= v.order[n] {
		return -1
	}
	return v.heads[v.order[n]]
}

// checkHeads reports which events the checkpoint does not prove.
func (v *verification) checkHeads() {
	f := findings{name: "timeline and notary"}
	defer func() { v.report.add(f) }()
	v.use(headSaltName)
	if !v.isSigned || v.last == 0 {
		return
	}
	if v.sortHeads(&f); len(v.order) == 0 {
		f.problem("no leaf in the pack proves the timeline")
		return
	}
	last := v.order[len(v.order)-1]
	f.ok = fmt.Sprintf("the notary proves the timeline up to event %d of %d", last, v.last)
	if last < v.last {
		f.note("%d events, from event %d on, are newer than the checkpoint. A later export proves them", v.last-last, last+1)
	}
	var open []int
	for _, e := range v.events {
		if e.Seq <= last && v.leafOf(e.Seq) < 0 {
			open = append(open, e.Seq)
		}
	}
	if len(open) > 0 {
		f.note("only this file vouches for events %s, because withheld events follow them directly", joinNumbers(open))
	}
}

// checkPublished compares the checkpoint of the pack with the received ones.
func (v *verification) checkPublished() {
	f := findings{name: "published checkpoints"}
	earlier := v.readEarlier(&f)
	defer func() { v.report.add(f) }()
	if len(v.o.Published) == 0 {
		f.ok = fmt.Sprintf("the log continues the %d published checkpoints of the pack", len(earlier))
		f.note("no published checkpoint was given. Use --checkpoint with one that you received in a mail or message")
		return
	}
	if !v.isSigned {
		return
	}
	for _, text := range v.o.Published {
		found, err := v.verifier.OpenAll(text)
		if err != nil {
			f.problem("a file of --checkpoint has no checkpoint with a valid signature of the notary key %s", v.report.NotaryKey)
			continue
		}
		for _, c := range found {
			v.comparePublished(&f, c, earlier)
		}
	}
	f.ok = "the log of the pack continues the published checkpoints"
}

// comparePublished reports whether the log of the pack continues a published checkpoint.
func (v *verification) comparePublished(f *findings, c notary.Checkpoint, earlier map[int64]notary.Checkpoint) {
	when := fmt.Sprintf("the published checkpoint of %s with %d leaves", c.At.UTC().Format("2006-01-02 15:04:05 UTC"), c.Size)
	own, proven := earlier[c.Size]
	if c.Size == v.checkpoint.Size {
		own, proven = v.checkpoint, true
	}
	switch {
	case c.Origin != v.checkpoint.Origin:
		f.problem("%s belongs to another instance", when)
	case proven && own.Root != c.Root:
		f.problem("%s has another log than the pack: the log was rewritten", when)
	case proven:
	case c.Size > v.checkpoint.Size:
		f.note("%s is newer than the pack, so the pack cannot show that the log contains it. Export the pack again", when)
	default:
		f.note("the pack has no proof for %s. Use a checkpoint that the pack has under %s, or run `tocsin verify` on the instance", when, earlierFolder)
	}
}

// readEarlier checks that the log of the pack continues each published checkpoint that the pack has.
func (v *verification) readEarlier(f *findings) map[int64]notary.Checkpoint {
	out := map[int64]notary.Checkpoint{}
	for _, name := range v.folder(earlierFolder, ".txt") {
		base := strings.TrimSuffix(name, ".txt")
		note, _ := v.file(name)
		raw, _ := v.file(base + ".proof")
		if !v.isSigned {
			continue
		}
		c, err := v.verifier.Open(string(note))
		if err != nil || !bytes.Equal(note, []byte(c.Note)) || fmt.Sprintf("%s%09d", earlierFolder, c.Size) != base {
			f.problem("%s has no valid signature of the notary key", name)
			continue
		}
		hashes, err := parseHashLines(raw)
		if err == nil {
			err = notary.CheckConsistency(hashes, c, v.checkpoint)
		}
		if err != nil {
			f.problem("the log of the pack does not continue the checkpoint in %s: %s", name, err)
			continue
		}
		out[c.Size] = c
	}
	return out
}
