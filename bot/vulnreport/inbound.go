package vulnreport

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// entry is a report by the form, as it is stored.
type entry struct {
	Reference   string `json:"reference"`
	Title       string `json:"title"`
	Asset       string `json:"asset,omitempty"`
	Severity    string `json:"severity,omitempty"`
	Contact     string `json:"contact,omitempty"`
	Description string `json:"description"`
}

// Decode makes an alert of a report. Of a drill nobody outside hears, nor of one
// that did not come by a door of this instance, now.
func (s *Source) Decode(h http.Header, body []byte) ([]incident.Signal, error) {
	signals, err := s.decode(h, body)
	if h.Get(incident.HeaderDrill) != "" || h.Get(incident.HeaderRecorded) != "" || arrived(h).IsZero() {
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
		return []incident.Signal{{Alert: s.form(e, arrived(h))}}, nil
	case viaMail:
		return s.mail(h, body), nil
	default:
		return nil, fmt.Errorf("decode report: %s is %.20q; want %s or %s", headerVia, via, viaForm, viaMail)
	}
}

// arrived is when a report came; zero where it was stored without.
func arrived(h http.Header) time.Time {
	at, err := time.Parse(time.RFC3339, h.Get(headerAt))
	if err != nil {
		return time.Time{}
	}
	return at.UTC()
}

func (s *Source) form(e entry, at time.Time) *incident.Alert {
	key := name + ":" + e.Reference
	return &incident.Alert{
		Source: name, Kind: "report.form", Level: level(e.Severity), Title: cmp.Or(strings.TrimSpace(e.Title), "Vulnerability report "+e.Reference),
		Detail: lines(field("Reference", e.Reference), field("Reporter", cmp.Or(e.Contact, "anonymous")), field("Severity, as stated", e.Severity),
			field("Where", e.Asset), e.Description),
		Fingerprint: key, Correlation: key, EventID: e.Reference, At: at,
		Report: &incident.VulnReport{Reply: s.answerForm(e), DuplicateKeys: incident.DuplicateKeys(e.Contact, e.Title, e.Asset, e.Description)},
	}
}

// mail makes an alert of a mail; one that another machine sent by itself – an
// absence note, a bounce – is kept and raises none. Whatever is wrong with the
// mail, or with its encryption, the alert is raised and says so.
func (s *Source) mail(h http.Header, raw []byte) []incident.Signal {
	l := &parsedMail{source: s}
	l.read(raw)
	t := threadOf(l.header, raw)
	if t.automatic {
		return nil
	}
	text := l.text()
	stated := ""
	if m := statedSeverity.FindStringSubmatch(text); m != nil {
		stated = strings.ToLower(m[1])
	}
	kept := fmt.Sprintf("%x, %d bytes, kept as it came", sha256.Sum256(raw), len(raw))
	if size := h.Get(headerFullSize); size != "" {
		kept += "; the whole mail has " + size + " bytes and is in the mailbox"
	}
	verdict := l.authentication()
	facts := []string{field("Reference", t.reference), field("Reporter", l.from), field("Severity, as stated", stated),
		field("Sender checks", verdict), field("Mail", "SHA-256 "+kept)}
	for _, f := range l.files {
		facts = append(facts, field("Attachment", f.String()))
	}
	facts = append(facts, l.notes...)
	key := name + ":" + t.reference
	return []incident.Signal{{Alert: &incident.Alert{
		Source: name, Kind: "report.mail", Level: level(stated), Title: cmp.Or(l.subject, "Vulnerability report "+t.reference),
		Detail: lines(append(facts, text)...), Fingerprint: key + ":" + reference(t.id, l.subject, text), Correlation: key, EventID: t.reference, At: arrived(h),
		Report: &incident.VulnReport{Reply: s.answerMail(t, l.header, verdict), DuplicateKeys: incident.DuplicateKeys(sender(l.header), l.subject, "", text)},
	}}}
}

// statedSeverity is a line of its own, as templates of reports have it.
var statedSeverity = regexp.MustCompile(`(?im)^[ \t*_#>-]*severity[ \t*_]*[:=][ \t*_]*(critical|high|medium|low)\b`)

func field(label, v string) string {
	if v == "" {
		return ""
	}
	return label + ": " + v
}

func lines(ss ...string) string {
	var out []string
	for _, s := range ss {
		if s != "" {
			out = append(out, s)
		}
	}
	return strings.Join(out, "\n")
}
