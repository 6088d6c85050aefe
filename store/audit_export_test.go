package store

import (
	"encoding/json"
	"strings"
	"testing"

	"tocsin/bot/response"
	"tocsin/store/storetest"
)

// exportProofs exports the audit log with proofs and sends the lines through JSON.
func exportProofs(t *testing.T, s *Store, q AuditQuery) (out []AuditLine) {
	t.Helper()
	err := s.ExportAudit(t.Context(), q, true, func(line AuditLine) error {
		data, err := json.Marshal(line)
		if err != nil {
			return err
		}
		var received AuditLine
		out = append(out, received)
		return json.Unmarshal(data, &out[len(out)-1])
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func checkExport(c *AuditChecker, lines []AuditLine) error {
	for _, line := range lines {
		if err := c.Check(line); err != nil {
			return err
		}
	}
	return nil
}

// TestExportAudit_ProofsCheck checks an export without the database and the keyset, and
// changes every part of it.
func TestExportAudit_ProofsCheck(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		w := newWorld(t, url)
		key, err := w.NotaryVerifier()
		if err != nil {
			t.Fatal(err)
		}
		if err := w.MarkPublished(t.Context(), w.last); err != nil {
			t.Fatal(err)
		}
		w.mustTx(t, func(tx response.Tx) error { return w.audit(tx) }) // not in the log yet
		lines := exportProofs(t, w.Store, AuditQuery{})
		checker := &AuditChecker{Verifier: key, Published: []string{"A mail.\n" + w.first.Note, "> " + strings.ReplaceAll(w.last.Note, "\n", "\n> ")}}
		if err := checkExport(checker, lines); err != nil {
			t.Fatal(err)
		}
		if r := checker.Result(); r.Proven == 0 || r.Newer == 0 || r.Verifier != key {
			t.Errorf("got %+v, want proven entries and one that is newer", r)
		}
		if one := exportProofs(t, w.Store, AuditQuery{IDs: []int64{2}}); len(one) != 3 || one[2].ID != 2 || one[2].Proof == nil {
			t.Errorf("got %d lines for one entry, want a header, a leaf and the entry", len(one))
		}
		entry := 2 // after the header and the first leaf
		for name, change := range map[string]func(lines []AuditLine) []AuditLine{
			"person":   func(l []AuditLine) []AuditLine { l[entry].Person = "eve"; return l },
			"reason":   func(l []AuditLine) []AuditLine { l[entry].Reason += "!"; return l },
			"account":  func(l []AuditLine) []AuditLine { l[entry].Account.ID = "U9"; return l },
			"result":   func(l []AuditLine) []AuditLine { l[entry].Allowed = !l[entry].Allowed; return l },
			"time":     func(l []AuditLine) []AuditLine { l[entry].At = l[entry].At.Add(1e9); return l },
			"incident": func(l []AuditLine) []AuditLine { l[entry].Incident = 77; return l },
			"number":   func(l []AuditLine) []AuditLine { l[entry].ID = 99; return l },
			"content too": func(l []AuditLine) []AuditLine {
				l[entry].Action, l[entry].Proof.Content = "read", strings.Replace(l[entry].Proof.Content, `action "`+l[entry].Action+`"`, `action "read"`, 1)
				return l
			},
			"salt":           func(l []AuditLine) []AuditLine { l[entry].Proof.Salt[0]++; return l },
			"leaf":           func(l []AuditLine) []AuditLine { l[1].Leaf.Leaf[7]++; return l },
			"leaf left out":  func(l []AuditLine) []AuditLine { return append(l[:1:1], l[2:]...) },
			"order":          func(l []AuditLine) []AuditLine { return append(l, l[entry]) },
			"header":         func(l []AuditLine) []AuditLine { l[0].Checkpoint = w.first.Note; return l },
			"no header":      func(l []AuditLine) []AuditLine { return l[1:] },
			"foreign header": func(l []AuditLine) []AuditLine { l[0].Checkpoint = w.foreignSigner()(w.last); return l },
		} {
			if err := checkExport(&AuditChecker{Verifier: key, Published: []string{w.last.Note}}, change(exportProofs(t, w.Store, AuditQuery{}))); err == nil {
				t.Errorf("%s changed: got no error", name)
			}
		}
		if err := checkExport(&AuditChecker{Verifier: key, Published: []string{w.first.Note}}, lines); err == nil {
			t.Error("another published checkpoint: got no error")
		}
	})
}
