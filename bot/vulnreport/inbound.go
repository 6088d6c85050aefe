package vulnreport

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// entry is the stored form of a report by form.
type entry struct {
	Reference   string `json:"reference"`
	Title       string `json:"title"`
	Asset       string `json:"asset,omitempty"`
	Severity    string `json:"severity,omitempty"`
	Contact     string `json:"contact,omitempty"`
	Description string `json:"description"`
}

// Decode returns an alert for a report, or nothing for an automatic mail. A report with
// an unknown arrival time gets no acknowledgement, because it may be old.
func (s *Source) Decode(h http.Header, body []byte) ([]incident.Signal, error) {
	signals, err := s.decode(h, body)
	if arrivalTime(h).IsZero() {
		for _, signal := range signals {
			signal.Alert.Report.Reply = nil
		}
	}
	return signals, err
}

func (s *Source) decode(h http.Header, body []byte) ([]incident.Signal, error) {
	switch via := h.Get(headerVia); via {
	case viaForm:
		var e entry
		if err := json.Unmarshal(body, &e); err != nil {
			return nil, fmt.Errorf("decode report by form: %w", err)
		}
		return []incident.Signal{{Alert: s.formAlert(e, arrivalTime(h))}}, nil
	case viaMail:
		return s.mailSignals(h, body), nil
	default:
		return nil, fmt.Errorf("decode report: %s is %.20q, want %s or %s", headerVia, via, viaForm, viaMail)
	}
}

// arrivalTime returns the arrival time of a report, or the zero time if it is unknown.
func arrivalTime(h http.Header) time.Time {
	at, err := time.Parse(time.RFC3339, h.Get(headerAt))
	if err != nil {
		return time.Time{}
	}
	return at.UTC()
}

func (s *Source) formAlert(e entry, at time.Time) *incident.Alert {
	key := sourceName + ":" + e.Reference
	return &incident.Alert{
		Source: sourceName, Kind: "report.form", Level: levelOf(e.Severity), Title: cmp.Or(strings.TrimSpace(e.Title), "Vulnerability report "+e.Reference),
		Detail: text.Lines(text.Field("Reference", e.Reference), text.Field("Reporter", cmp.Or(e.Contact, "anonymous")), text.Field("Stated severity", e.Severity),
			text.Field("Asset", e.Asset), e.Description),
		Fingerprint: key, Correlation: key, EventID: e.Reference, At: at,
		Report: &incident.VulnReport{Reply: s.answerForm(e), DuplicateKeys: incident.DuplicateKeys(e.Contact, e.Title, e.Asset, e.Description)},
	}
}

// mailSignals returns an alert for a mail. It returns nothing for an automatic mail,
// such as an out-of-office reply or a bounce. A problem with the mail or with its
// encryption does not prevent the alert. It appears in the detail of the alert.
func (s *Source) mailSignals(h http.Header, raw []byte) []incident.Signal {
	l := &parsedMail{source: s, budget: newBudget()}
	l.read(raw)
	t := threadOf(l.header, l.body)
	if t.automatic {
		return nil
	}
	body := l.text()
	stated := ""
	if m := statedSeverity.FindStringSubmatch(body); m != nil {
		stated = strings.ToLower(m[1])
	}
	stored := fmt.Sprintf("%s, %d bytes, stored unchanged", text.SHA256(raw), len(raw))
	if size := h.Get(headerFullSize); size != "" {
		stored += " but truncated: the full mail of " + size + " bytes is in the mailbox"
	}
	checks := l.authentication()
	facts := []string{text.Field("Reference", t.reference), text.Field("Reporter", l.from), text.Field("Stated severity", stated),
		text.Field("Sender checks", checks), text.Field("Mail", "SHA-256 "+stored)}
	facts = append(facts, l.budget.omissions()...) // before texts of the sender, which may be cut
	for _, f := range l.files {
		facts = append(facts, text.Field("Attachment", f.String()))
	}
	facts = append(facts, l.notes...)
	key := sourceName + ":" + t.reference
	return []incident.Signal{{Alert: &incident.Alert{
		Source: sourceName, Kind: "report.mail", Level: levelOf(stated), Title: cmp.Or(l.subject, "Vulnerability report "+t.reference),
		Detail: text.Lines(append(facts, body)...), Fingerprint: key + ":" + reference(t.id, l.subject, body), Correlation: key, EventID: t.reference, At: arrivalTime(h),
		Report: &incident.VulnReport{Reply: s.answerMail(t, l.header, checks), DuplicateKeys: incident.DuplicateKeys(sender(l.header), l.subject, "", body),
			Thread: sourceName + ":" + t.anyAuthor, Answers: len(t.ancestors) > 0},
	}}}
}

// statedSeverity matches a line such as "Severity: high", which report templates
// contain.
var statedSeverity = regexp.MustCompile(`(?im)^[ \t*_#>-]*severity[ \t*_]*[:=][ \t*_]*(critical|high|medium|low)\b`)
