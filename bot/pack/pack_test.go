package pack

import (
	"archive/zip"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tocsin/bot/incident"
)

// TestVerify_SignedWithPasskeys verifies the pack of an approved incident.
func TestVerify_SignedWithPasskeys(t *testing.T) {
	w := closed(t)
	data := build(t, w.parts())
	r := mustVerify(t, data, Options{Key: w.notary.Verifier().String(), Published: []string{"> " + w.published[0].Note, w.last.Note}, RequirePasskeys: true,
		Pins: []string{w.keys["ada"].fingerprint(), w.keys["sam"].fingerprint(), strings.ToUpper(w.keys["lea"].fingerprint()), w.keys["cora"].fingerprint()}})
	for _, s := range r.Signatures {
		if s.How != ByPasskey || !s.Counts || !s.IsPinned || s.Fingerprint != w.keys[s.Person].fingerprint() || s.Name == "" {
			t.Errorf("got signature %+v, want one that counts with the passkey of %s", s, s.Person)
		}
	}
	if len(r.Signatures) != 4 {
		t.Errorf("got %d signatures, want 4", len(r.Signatures))
	}
	for _, c := range r.Checks {
		if c.Result == ResultNote {
			t.Errorf("got note %s: %s, want none", c.Name, c.Detail)
		}
	}
	if again := build(t, w.parts()); !bytes.Equal(again, data) {
		t.Error("equal parts made different packs")
	}
	if _, err := zip.NewReader(bytes.NewReader(data), int64(len(data))); err != nil {
		t.Errorf("other programs cannot open the pack: %v", err)
	}
}

// extract writes the files of a pack to a folder.
func extract(t *testing.T, data []byte) string {
	t.Helper()
	files, err := decode(data)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// readmeCommands returns the commands of section 4 of the README.
func readmeCommands(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, readmeName))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n4. CHECK")
	section, _, _ = strings.Cut(section, "\n5. THE FILES")
	var b strings.Builder
	for line := range strings.Lines(section) {
		if command, ok := strings.CutPrefix(line, "    "); ok {
			b.WriteString(command)
		}
	}
	return b.String()
}

// runReadme runs the commands of the README with bash. It returns how many groups failed or did not run.
func runReadme(t *testing.T, dir string) (out string, failed int) {
	t.Helper()
	commands := readmeCommands(t, dir)
	cmd := exec.Command("bash", "-c", commands)
	cmd.Dir = dir
	raw, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("run the commands of the README: %v", err)
	}
	out = string(raw)
	return out, strings.Count(out, "FAILED") + strings.Count(commands, "echo checked") - strings.Count(out, "checked\n")
}

// TestReadme_CommandsCheckThePack runs the commands with openssl and sha256sum on a pack, and on packs with one changed file
// whose manifest fits.
func TestReadme_CommandsCheckThePack(t *testing.T) {
	w := closed(t)
	data := build(t, w.parts())
	dir := extract(t, data)
	out, failed := runReadme(t, dir)
	if failed != 0 || strings.Count(out, "checked\n") != 8 || strings.Count(out, "Verified OK") != 3 || strings.Count(out, "Signature Verified Successfully") != 2 {
		t.Fatalf("got %d failures, want 8 groups checked:\n%s", failed, out)
	}
	for _, a := range w.keys {
		if !strings.Contains(out, ": "+a.fingerprint()+"\n") {
			t.Errorf("the fingerprint %s is missing", a.fingerprint())
		}
	}
	files, err := decode(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{manifestName, chainName, "records/000003-r1.json", "signatures/000005-security/statement.txt", "signatures/000005-security/authenticator-data.bin",
		"signatures/000004-engineering/signature.bin", noteTextName, "notary/leaves/000000004.proof", headSaltName, "keys/000002.row"} {
		changed := cloneFiles(files)
		if len(files[name]) == 0 {
			t.Fatalf("%s is missing", name)
		}
		changed[name] = bytes.Clone(files[name])
		changed[name][len(files[name])/2] ^= 1
		if name != manifestName {
			changed[manifestName] = manifest(changed)
		}
		data, err := encode(changed)
		if err != nil {
			t.Fatal(err)
		}
		if out, failed := runReadme(t, extract(t, data)); failed == 0 {
			t.Errorf("%s changed: the commands found nothing:\n%s", name, out)
		}
	}
}

func cloneFiles(files map[string][]byte) map[string][]byte {
	out := map[string][]byte{}
	for name, content := range files {
		out[name] = content
	}
	return out
}

// TestVerify_EveryByte changes every byte of a small pack, and every tenth byte of one with signatures.
func TestVerify_EveryByte(t *testing.T) {
	small := newWorld(t)
	small.open()
	small.step()
	data := build(t, closed(t).parts())
	for step, data := range map[int][]byte{1: build(t, small.parts()), 10: data} {
		for n := 0; n < len(data); n += step {
			data[n] ^= 1 << (n % 8)
			files, err := decode(data)
			if err == nil {
				err = checkManifest(files)
			}
			if data[n] ^= 1 << (n % 8); err == nil {
				t.Fatalf("byte %d changed: the archive is accepted", n)
			}
		}
	}
	for name, changed := range map[string][]byte{"byte after the end": append(bytes.Clone(data), 0), "byte before the start": append([]byte{0}, data...),
		"cut": data[:len(data)-1], "empty": nil, "twice": append(bytes.Clone(data), data...)} {
		if Verify(changed, Options{}).Verified {
			t.Errorf("%s: the pack is accepted", name)
		}
	}
}

// TestVerify_EveryFile changes files and repairs the manifest and the archive, as a forger would.
func TestVerify_EveryFile(t *testing.T) {
	w := closed(t)
	files, err := decode(build(t, w.parts()))
	if err != nil {
		t.Fatal(err)
	}
	refuse := func(what string, change func(map[string][]byte)) {
		t.Helper()
		changed := cloneFiles(files)
		change(changed)
		changed[manifestName] = manifest(changed)
		data, err := encode(changed)
		if err == nil && Verify(data, Options{}).Verified {
			t.Errorf("%s: the pack is accepted", what)
		}
	}
	for name, content := range files {
		if name == manifestName || name == readmeName {
			continue
		}
		refuse(name+" removed", func(f map[string][]byte) { delete(f, name) })
		refuse(name+" longer", func(f map[string][]byte) { f[name] = append(bytes.Clone(content), '\n') })
		if name == metaName { // the time of the export and the names of people are not proven
			continue
		}
		for n := 0; n < len(content); n += max(1, len(content)/8) {
			refuse(name+" changed", func(f map[string][]byte) {
				f[name] = bytes.Clone(content)
				f[name][n] ^= 1
			})
		}
	}
	refuse("file added", func(f map[string][]byte) { f["notes.txt"] = nil })
}

// TestDecode_Names refuses names that leave the folder of the reader.
func TestDecode_Names(t *testing.T) {
	for _, name := range []string{"", "/etc/passwd", "../x", "a/../x", "a//b", "a/", ".ssh/x", "a\\b", "C:x", "a\x00", strings.Repeat("a", 201), "ä"} {
		if _, err := encode(map[string][]byte{name: nil}); err == nil {
			t.Errorf("%q: got no error", name)
		}
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		if f, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store}); err == nil {
			_, _ = f.Write([]byte("x")) // a bytes.Buffer does not fail
		}
		_ = z.Close() // a bytes.Buffer does not fail
		if _, err := decode(b.Bytes()); err == nil {
			t.Errorf("%q in an archive: got no error", name)
		}
	}
}

// TestVerify_Withheld verifies the variant without texts for legal and security, and erased texts.
func TestVerify_Withheld(t *testing.T) {
	w := newWorld(t)
	w.open()
	w.add(incident.EventNoted, "lea", incident.AudienceLegalSecurity, nil, map[string]string{"text": "canary: legal advice"})
	w.step()
	w.add(incident.EventExclusionProposed, "lea", incident.AudienceLegalSecurity, map[string]string{"person": "canary-person"}, map[string]string{"reason": "canary: suspect"})
	w.step()
	for _, team := range incident.RequiredDepartments() {
		w.sign(team, nil)
	}
	w.approve()
	w.documents = nil
	w.step()
	p := w.parts()
	p.IsWithheld = true
	data := build(t, p)
	if bytes.Contains(data, []byte("canary")) {
		t.Error("the pack has a text for legal and security")
	}
	r := mustVerify(t, data, Options{})
	if len(r.Signatures) != 4 || r.Signatures[0].How != ByServer {
		t.Errorf("got signatures %+v, want 4 that the server vouches for", r.Signatures)
	}
	if r := Verify(data, Options{RequirePasskeys: true}); r.Verified {
		t.Error("signatures without a passkey are accepted although passkeys are required")
	}
	if !slices.ContainsFunc(r.Checks, func(c Check) bool { return strings.Contains(c.Detail, "events 5") }) {
		t.Errorf("got checks %+v, want the withheld event named", r.Checks)
	}
	if out, failed := runReadme(t, extract(t, data)); failed != 0 {
		t.Errorf("got %d failures from the commands of the README:\n%s", failed, out)
	}

	p.IsWithheld = false
	ref := w.timeline[0]
	w.add(incident.EventErased, "lea", incident.AudienceResponders, map[string]string{"refs": `[{"seq":1,"name":"title"}]`}, nil)
	w.timeline[0].Texts = map[string]incident.Text{"title": {Commitment: ref.Texts["title"].Commitment}}
	w.step()
	mustVerify(t, build(t, w.parts()), Options{})
	w.timeline[1].Texts = map[string]incident.Text{}
	for name, text := range p.Timeline[1].Texts {
		w.timeline[1].Texts[name] = incident.Text{Commitment: text.Commitment}
	}
	if r := Verify(build(t, w.parts()), Options{}); r.Verified {
		t.Error("texts that are missing without an erasure are accepted")
	}
}
