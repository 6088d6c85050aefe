package pack

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tocsin/bot/incident"
)

// storedDocument is the stored form of a document. Markdown and HTML are the files of documents of early versions.
type storedDocument struct {
	Revision       int
	Digest         string
	Files          []incident.File
	Markdown, HTML string
}

// checkDocuments checks the postmortems against the notary and the timeline.
func (v *verification) checkDocuments() {
	f := findings{name: "documents"}
	defer func() { v.report.add(f) }()
	proven := 0
	for _, e := range v.events {
		if e.Kind != incident.EventPostmortemWritten {
			continue
		}
		folder := documentFolder + "r" + fileWord(e.Field("revision")) + "/"
		stored, ok := v.file(folder + "stored.json")
		if !ok {
			if names := v.folder(folder, ""); len(names) > 0 && v.meta.IsWithheld {
				v.use(names...)
				f.note("the postmortem of revision %s is a copy for readers outside legal and security. The notary does not prove it", e.Field("revision"))
			} else {
				f.note("the postmortem of revision %s is not in the pack", e.Field("revision"))
			}
			continue
		}
		if err := v.checkDocument(folder, e, stored); err != nil {
			f.problem("the postmortem of revision %s: %s", e.Field("revision"), err)
			continue
		}
		proven++
	}
	f.ok = fmt.Sprintf("%d postmortems are the ones that the notary recorded", proven)
}

// checkDocument checks one stored postmortem.
func (v *verification) checkDocument(folder string, e incident.Event, stored []byte) error {
	content, _ := v.file(folder + "database.row")
	salt, _ := v.file(folder + "database.salt")
	row, err := parseRow(content)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(stored)
	line, known := v.lines[subjectDocuments][row.id]
	var d storedDocument
	switch {
	case row.table != "documents" || row.values["incident_id"] != strconv.FormatInt(int64(v.id), 10) || row.values["revision"] != e.Field("revision"):
		return fmt.Errorf("the row of the database is another one")
	case row.values["digest"] != e.Field("digest"):
		return fmt.Errorf("it belongs to the record %.80q, and event %d to %.80q", row.values["digest"], e.Seq, e.Field("digest"))
	case row.values["sealed_body"] != "sha256:"+hex.EncodeToString(sum[:]):
		return fmt.Errorf("stored.json was changed")
	case !known || !line.opens(salt, content):
		return fmt.Errorf("the notary did not record this content")
	}
	if err := json.Unmarshal(stored, &d); err != nil {
		return fmt.Errorf("stored.json is malformed")
	}
	contents := map[string]string{}
	for _, file := range d.Files {
		contents[documentFile(d.Revision, file.Name)] = file.Content
	}
	for _, name := range v.folder(folder, "") {
		if v.used[name] {
			continue
		}
		have, _ := v.file(name)
		want, ok := contents[name]
		if !ok && (string(have) == d.Markdown || string(have) == d.HTML) {
			continue
		}
		if !ok || want != string(have) {
			return fmt.Errorf("%s differs from stored.json", strings.TrimPrefix(name, folder))
		}
		delete(contents, name)
	}
	if len(contents) > 0 {
		missing := make([]string, 0, len(contents))
		for name := range contents {
			missing = append(missing, name)
		}
		return fmt.Errorf("%s is missing", slices.Min(missing))
	}
	return nil
}
