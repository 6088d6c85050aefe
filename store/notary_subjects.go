package store

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gorm.io/gorm"

	"tocsin/bot/incident"
	"tocsin/bot/notary"
)

// The subjects of the notary's log.
const (
	subjectIncidents      = "incidents"
	subjectAudit          = "audit"
	subjectDocuments      = "documents"
	subjectTombstones     = "tombstones"
	subjectAlerts         = "alerts"
	subjectInbox          = "inbox"
	subjectConfigurations = "configurations"
	subjectMaintenance    = "maintenance"
	subjectErasures       = "erasures"
	subjectRestores       = "restores"
	subjectTrust          = "trust"
)

// subject is a kind of row that the log vouches for.
type subject struct {
	name string
	// relations hold the rows. An id is in the first relation that has it.
	relations []relation
	// appendOnly means that a row does not change after it was recorded. Otherwise only the columns in fixed do not.
	appendOnly bool
	fixed      []string
	// detail returns what the log holds in clear, after the commitment to the fixed columns if there are any.
	detail func(*Store, *notedRow) (string, error)
}

// relation is a table, or a part of one.
type relation struct {
	from    string // with a join, if necessary
	where   string // condition of the part, or ""
	id      string
	columns []string
	sealed  []sealedContent
	// table is the first part of a row's content, and of the associated data of its ciphertexts. key is the SQL
	// expression of the row part.
	table string
	key   string
	// mac, if set, is the column with the keyed hash of the other columns, see [Store.rowMAC].
	mac string
}

// sealedContent is a column with ciphertexts.
type sealedContent struct {
	column string
	use    plaintextUse
}

// plaintextUse is how the plaintext of a column is used.
type plaintextUse int

const (
	useHash   plaintextUse = iota // the content has its SHA-256
	useWhole                      // the content has the whole plaintext
	useDetail                     // only the detail is made from it, because erasing texts changes it
)

var subjects = []subject{
	{name: subjectIncidents, relations: []relation{{from: "incidents", table: "incidents", id: "id", key: "''",
		columns: []string{"head_seq", "head_hash", "status", "severity", "restricted", "commander", "opened_at", "updated_at", "review_at", "legal_hold", "merged_into", "origin"}}},
		detail: func(s *Store, r *notedRow) (string, error) {
			seq, _ := r.values["head_seq"].(int64)
			hash, _ := r.values["head_hash"].(string)
			return strconv.FormatInt(seq, 10) + " " + s.headCommitment(r.id, seq, hash).String(), nil
		}},
	{name: subjectAudit, appendOnly: true, relations: []relation{{from: "audit", table: "audit", id: "id", key: "id || ''",
		columns: []string{"at", "person", "action", "incident_id", "allowed", "position", "chain"}, sealed: []sealedContent{{"sealed_detail", useWhole}}}}},
	{name: subjectDocuments, fixed: []string{"incident_id", "revision", "digest"}, relations: []relation{{from: "documents", table: "documents", id: "id", key: "incident_id || '/' || revision",
		columns: []string{"incident_id", "revision", "digest", "at"}, sealed: []sealedContent{{"sealed_body", useHash}}}}},
	{name: subjectTombstones, appendOnly: true, relations: []relation{{from: "tombstones", table: "tombstones", id: "id", key: "''", mac: "mac",
		columns: []string{"table_name", "at", "older_than", "policy", "deleted", "first_id", "last_id", "hash"}}}},
	{name: subjectAlerts, relations: []relation{
		{from: "alerts", table: "alerts", id: "id", key: "id || ''",
			columns: []string{"incident_id", "hash", "correlation_hash", "source", "kind", "count", "first_at", "last_at", "rule", "routing_id", "maintenance_id", "recurrence_of", "storm", "origin"},
			sealed:  []sealedContent{{"sealed_body", useHash}}},
		{from: "moved_alerts", table: "moved_alerts", id: "id", key: "''", columns: []string{"moved_to"}, mac: "mac"},
	}},
	{name: subjectInbox, relations: []relation{{from: "inbox LEFT JOIN delivery_bodies ON inbox_id = id", table: "inbox", id: "id", key: "source || '/' || delivery_hash",
		columns: []string{"source", "delivery_hash", "received_at", "handled_at", "outcome", "unread", "incident_id", "alert_id", "rule", "routing_id"},
		sealed:  []sealedContent{{"sealed_reason", useHash}, {"sealed_body", useHash}}}}},
	{name: subjectConfigurations, relations: []relation{{from: "configurations", table: "configurations", id: "id", key: "id || ''",
		columns: []string{"digest", "detection_digest", "at"}, sealed: []sealedContent{{"sealed_rules", useHash}, {"sealed_detection", useHash}}}}},
	{name: subjectMaintenance, relations: []relation{{from: "maintenance_windows", table: "maintenance_windows", id: "id", key: "id || ''",
		columns: []string{"owner", "starts_at", "ends_at", "confirmed_by", "confirmed_at", "ended_by", "suppressed", "suppressed_severe", "at"}, sealed: []sealedContent{{"sealed_body", useHash}}}}},
	{name: subjectErasures, appendOnly: true, relations: []relation{{from: "events", where: "kind IN ('" + string(incident.EventErased) + "', '" + string(incident.EventErasureRepeated) + "')", table: "events", id: "id", key: "incident_id || '/' || seq",
		columns: []string{"incident_id", "seq", "kind", "recorded_at", "hash"}, sealed: []sealedContent{{"sealed_body", useDetail}}}}, detail: erasureDetail},
	{name: subjectRestores, fixed: []string{"at", "backup_at", "backup_size", "checkpoint", "last_incident", "next_incident", "last_inbox"}, relations: []relation{{from: "restores", table: "restores", id: "id", key: "''",
		columns: []string{"at", "backup_at", "backup_size", "checkpoint", "last_incident", "next_incident", "last_inbox", "released_at", "released_by"}}}, detail: restoreDetail},
	{name: subjectTrust, appendOnly: true, relations: []relation{{from: "trust_events", table: "trust_events", id: "id", key: "id || ''",
		columns: []string{"at", "kind", "person", "by_person", "through", "provider", "fingerprint"}, sealed: []sealedContent{{"sealed_details", useWhole}}}}, detail: trustDetail},
}

// findSubject returns the subject with a name, or nil.
func findSubject(name string) *subject {
	for n := range subjects {
		if subjects[n].name == name {
			return &subjects[n]
		}
	}
	return nil
}

// needsHistory reports whether earlier lines about a row restrict its later content.
func (s *subject) needsHistory() bool {
	return s.appendOnly || s.fixed != nil || s.name == subjectIncidents
}

// hasMAC reports whether the rows of a table have a MAC.
func (s *subject) hasMAC(table string) bool {
	return slices.ContainsFunc(s.relations, func(r relation) bool { return r.table == table && r.mac != "" })
}

// notedRow is a row of a subject as the log sees it.
type notedRow struct {
	id         int64
	table      string
	commitment notary.Commitment
	detail     string
	// values holds the clear columns. It is valid until the next row is read.
	values map[string]any
	// content is what the commitment binds to. It is valid until the next row is read.
	content []byte
	mac     string
	plain   []byte // of the column for the detail
	// problem is the reason why the row cannot be vouched for, or "".
	problem string
}

// rowFilter selects rows of a relation by id.
type rowFilter struct {
	where string
	args  []any
	limit int
}

func filterByIDs(ids []int64) rowFilter {
	if n := len(ids); ids[n-1]-ids[0] == int64(n-1) {
		return rowFilter{"BETWEEN ? AND ?", []any{ids[0], ids[n-1]}, n}
	}
	return rowFilter{"IN ?", []any{padToPowerOfTwo(ids)}, len(ids)}
}

// readRows calls fn with the rows of a relation in the order of their ids.
func (s *Store) readRows(db *gorm.DB, sub *subject, rel *relation, f rowFilter, fn func(*notedRow) error) error {
	selected := append([]string{rel.id, rel.key}, rel.columns...)
	if rel.mac != "" {
		selected = append(selected, rel.mac)
	}
	for _, c := range rel.sealed {
		selected = append(selected, c.column)
	}
	where := rel.id + " " + f.where
	if rel.where != "" {
		where += " AND " + rel.where
	}
	rows, err := db.Raw("SELECT "+strings.Join(selected, ", ")+" FROM "+rel.from+" WHERE "+where+" ORDER BY "+rel.id+" LIMIT "+strconv.Itoa(f.limit), f.args...).Rows()
	if err != nil {
		return fmt.Errorf("read %s for the notary: %w", rel.table, err)
	}
	defer func() { _ = rows.Close() }()
	values, into := make([]any, len(selected)), make([]any, len(selected))
	for n := range values {
		into[n] = &values[n]
	}
	row := notedRow{table: rel.table, values: make(map[string]any, len(rel.columns))}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return fmt.Errorf("read %s for the notary: %w", rel.table, err)
		}
		if err := s.noteRow(sub, rel, values, &row); err != nil {
			return err
		}
		if err := fn(&row); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read %s for the notary: %w", rel.table, err)
	}
	return nil
}

// noteRow sets row from the values of a query of readRows.
func (s *Store) noteRow(sub *subject, rel *relation, values []any, row *notedRow) error {
	row.id, _ = values[0].(int64)
	row.problem, row.detail = "", ""
	key, _ := values[1].(string)
	values = values[2:]
	row.content = appendContent(row.content[:0], rel.table, row.id)
	for n, column := range rel.columns {
		row.values[column] = values[n]
		row.content = appendColumn(row.content, column, values[n])
	}
	values = values[len(rel.columns):]
	if rel.mac != "" {
		if row.mac, _ = values[0].(string); row.mac != s.rowMAC(row.content) {
			row.problem = "its MAC is invalid: the row was not written by this instance"
		}
		row.content = appendColumn(row.content, rel.mac, values[0])
		values = values[1:]
	}
	for n, c := range rel.sealed {
		sealed, _ := values[n].([]byte)
		if sealed == nil {
			row.content = appendColumn(row.content, c.column, nil)
			continue
		}
		plain, err := s.keys.Open(sealed, associatedData(rel.table, key, c.column))
		if err != nil {
			row.problem = c.column + " was changed or moved, or its key is missing"
			continue
		}
		if row.content = appendPlaintext(row.content, c, plain); c.use == useDetail {
			row.plain = plain
		}
	}
	row.commitment = notary.Commit(s.salt(sub.name, row.id), row.content)
	var details []string
	if sub.fixed != nil {
		details = append(details, s.fixedCommitment(sub, row).String())
	}
	if sub.detail != nil {
		detail, err := sub.detail(s, row)
		if err != nil {
			return err
		}
		details = append(details, detail)
	}
	row.detail = strings.Join(details, " ")
	return nil
}

// appendContent begins the content of a row. A content is text, so that people can compare it with an exported row. It has
// a line for each column.
func appendContent(b []byte, table string, id int64) []byte {
	return append(strconv.AppendInt(append(append(b, table...), ' '), id, 10), '\n')
}

func appendColumn(b []byte, column string, value any) []byte {
	b = append(append(b, column...), ' ')
	switch v := value.(type) {
	case nil:
		b = append(b, "null"...)
	case int64:
		b = strconv.AppendInt(b, v, 10)
	case bool: // SQLite returns an integer
		digit := byte('0')
		if v {
			digit = '1'
		}
		b = append(b, digit)
	case time.Time:
		b = v.UTC().AppendFormat(b, time.RFC3339Nano)
	case []byte:
		b = strconv.AppendQuote(b, string(v))
	case string:
		b = strconv.AppendQuote(b, v)
	default: // no column has another type, unless the database was changed
		b = fmt.Appendf(b, "%T %v", v, v)
	}
	return append(b, '\n')
}

func appendPlaintext(b []byte, c sealedContent, plain []byte) []byte {
	switch c.use {
	case useWhole:
		return appendColumn(b, c.column, plain)
	case useHash:
		sum := sha256.Sum256(plain)
		return append(hex.AppendEncode(append(append(b, c.column...), " sha256:"...), sum[:]), '\n')
	}
	return b
}

// salt returns the salt of the commitments of a row. It hides the content, because only the owner of the keyset can
// compute it. A rotation does not change it.
func (s *Store) salt(subject string, id int64) []byte {
	return s.keys.derive(strconv.AppendInt(append(append([]byte("tocsin notary salt "), subject...), ' '), id, 10))
}

// rowMAC returns the keyed hash of the content of a row that justifies a removal.
func (s *Store) rowMAC(content []byte) string { return s.hash("notary", "row", string(content)) }

// headCommitment returns the commitment to one event of a timeline. The log has it in clear for each recorded head, and
// every later timeline must contain this event.
func (s *Store) headCommitment(id, seq int64, hash string) notary.Commitment {
	return notary.Commit(s.salt(subjectIncidents, id), fmt.Appendf(nil, "head %d\nseq %d\nhash %s\n", id, seq, hash))
}

// fixedCommitment returns the commitment to the columns of a row that never change.
func (s *Store) fixedCommitment(sub *subject, row *notedRow) notary.Commitment {
	content := appendContent([]byte("fixed "), row.table, row.id)
	for _, column := range sub.fixed {
		content = appendColumn(content, column, row.values[column])
	}
	return notary.Commit(s.salt(sub.name, row.id), content)
}

// erasureDetail returns the incident, the event and the texts that the event erased, "42 17 12/reason,13/title".
func erasureDetail(_ *Store, row *notedRow) (string, error) {
	if row.problem != "" {
		return "", nil
	}
	var e incident.Event
	if err := json.Unmarshal(row.plain, &e); err != nil {
		return "", fmt.Errorf("decode event of an erasure: %w", err)
	}
	refs := make([]string, 0, len(e.Fields))
	for _, ref := range e.ErasedTexts() {
		refs = append(refs, strconv.Itoa(ref.Seq)+"/"+ref.Name)
	}
	id, _ := row.values["incident_id"].(int64)
	return fmt.Sprintf("%d %d %s", id, e.Seq, strings.Join(refs, ",")), nil
}

// restoreDetail returns the number of leaves in the backup, and the time of the restore in Unix seconds.
func restoreDetail(_ *Store, row *notedRow) (string, error) {
	size, _ := row.values["backup_size"].(int64)
	at, _ := row.values["at"].(time.Time)
	return fmt.Sprintf("%d %d", size, at.Unix()), nil
}

// trustDetail returns the kind of a trust event, and the fingerprint of its key.
func trustDetail(_ *Store, row *notedRow) (string, error) {
	kind, _ := row.values["kind"].(string)
	fingerprint, _ := row.values["fingerprint"].(string)
	return strings.TrimSpace(kind + " " + fingerprint), nil
}
