package bot

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"tocsin/bot/backup"
	"tocsin/bot/cloudtrail"
	"tocsin/bot/config"
	"tocsin/bot/detect"
	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/mail"
	"tocsin/bot/pagerduty"
	"tocsin/bot/redact"
	"tocsin/bot/response"
	"tocsin/bot/telemetry"
	"tocsin/bot/web"
	"tocsin/playbooks"
)

// generation is everything that follows from a configuration and that a reload
// replaces. It never changes after it is in force. A command, delivery or effect
// reads the current generation once, when it starts, and finishes with it.
type generation struct {
	config     config.Config
	library    *playbooks.Library
	rules      *detect.Ruleset
	cloudtrail *cloudtrail.Source
	redact     *redact.Redactor
	mail       *mail.Mailer    // nil without mail.host
	pagerREST  *pagerduty.REST // nil without pagerduty.api_key
	backup     *backup.Runner  // nil without backup.to
	desk       *response.Desk
	pages      *web.Server              // nil without public_url
	parts      []telemetry.Part         // that a reload can change
	sources    map[string]intake.Source // by name
}

// newGeneration builds everything that follows from a configuration. It changes
// nothing outside the result.
func (b *Bot) newGeneration(c config.Config) (_ *generation, err error) {
	g := &generation{config: c, redact: redact.New(c.Redaction)}
	rules, err := openDetection(c.Detection, b.log)
	if err != nil {
		return nil, err
	}
	g.rules, g.cloudtrail = rules, cloudtrail.New(c.Sources.CloudTrail, rules)
	if g.library, err = playbooks.Load(c.Playbooks.Folders...); err != nil {
		return nil, fmt.Errorf("playbooks.folders: %w", err)
	}
	if c.Mail.Host != "" {
		g.mail, err = mail.New(c.Mail, mail.Deps{Clock: b.clock, Logger: b.log})
		if err != nil {
			return nil, fmt.Errorf("mail: %w", err)
		}
	}
	g.pagerREST = pagerduty.NewREST(c.PagerDuty, pagerduty.NewHTTPClient(b.reportRequest("PagerDuty", partPagerAPI)))
	if g.sources, err = openSources(c.Sources, false, b.sourceDeps(c, g.cloudtrail)); err != nil {
		return nil, err
	}
	for name, source := range b.fixedSources {
		g.sources[name] = source
	}
	if g.backup, err = b.openBackups(c); err != nil {
		return nil, err
	}
	if g.pages, err = b.openPages(c); err != nil {
		return nil, err
	}
	return g, b.openDesk(g)
}

// liveDesk is the desk of the current generation.
type liveDesk struct{ current *atomic.Pointer[generation] }

func (d liveDesk) desk() *response.Desk { return d.current.Load().desk }

func (d liveDesk) Do(ctx context.Context, cmd incident.Command) (incident.Result, error) {
	return d.desk().Do(ctx, cmd)
}

func (d liveDesk) Offer(ctx context.Context, cmd incident.Command) error {
	return d.desk().Offer(ctx, cmd)
}

func (d liveDesk) Show(ctx context.Context, who incident.Identity, id incident.ID, reason string) (incident.View, error) {
	return d.desk().Show(ctx, who, id, reason)
}

func (d liveDesk) List(ctx context.Context, who incident.Identity, f incident.Filter) ([]incident.Summary, error) {
	return d.desk().List(ctx, who, f)
}

func (d liveDesk) Overview(ctx context.Context, who incident.Identity) (incident.Overview, error) {
	return d.desk().Overview(ctx, who)
}

func (d liveDesk) Alerts(ctx context.Context, who incident.Identity, e incident.AlertRequest) (incident.AlertResult, error) {
	return d.desk().Alerts(ctx, who, e)
}

func (d liveDesk) Directory(ctx context.Context) (incident.Directory, error) {
	return d.desk().Directory(ctx)
}

func (d liveDesk) IncidentByLink(ctx context.Context, name, value string) (incident.ID, error) {
	return d.desk().IncidentByLink(ctx, name, value)
}

func (d liveDesk) OpenForm(ctx context.Context, who incident.Identity, key incident.FormKey, reads bool) (incident.FormMemory, error) {
	return d.desk().OpenForm(ctx, who, key, reads)
}

func (d liveDesk) SaveDraft(ctx context.Context, who incident.Identity, key incident.FormKey, draft incident.FormDraft) error {
	return d.desk().SaveDraft(ctx, who, key, draft)
}

func (d liveDesk) CloseForm(ctx context.Context, who incident.Identity, key incident.FormKey, submitted bool) error {
	return d.desk().CloseForm(ctx, who, key, submitted)
}

func (d liveDesk) Ingest(ctx context.Context, batch []incident.DecodedDelivery) error {
	return d.desk().Ingest(ctx, batch)
}

func (d liveDesk) Perform(ctx context.Context, job response.Job) error {
	return d.desk().Perform(ctx, job)
}

func (d liveDesk) Sweep(ctx context.Context, name string, at time.Time) error {
	return d.desk().Sweep(ctx, name, at)
}

func (d liveDesk) Notify(ctx context.Context, key string, args map[string]string) error {
	return d.desk().Notify(ctx, key, args)
}

// liveSource is a source of the current generation. The set of sources is the
// same in every generation.
type liveSource struct {
	current *atomic.Pointer[generation]
	of      func(*generation) intake.Source
}

func newLiveSource(current *atomic.Pointer[generation], name string) liveSource {
	return liveSource{current, func(g *generation) intake.Source { return g.sources[name] }}
}

func (s liveSource) source() intake.Source { return s.of(s.current.Load()) }

func (s liveSource) Name() string { return s.source().Name() }

func (s liveSource) Headers() []string { return s.source().Headers() }

func (s liveSource) Verify(ctx context.Context, h http.Header, body []byte, now time.Time) (string, error) {
	return s.source().Verify(ctx, h, body, now)
}

// VerifyFrom is [intake.SenderVerifier], for the sources that implement it.
func (s liveSource) VerifyFrom(ctx context.Context, from netip.Addr, h http.Header, body []byte, now time.Time) (string, error) {
	if source, ok := s.source().(intake.SenderVerifier); ok {
		return source.VerifyFrom(ctx, from, h, body, now)
	}
	return s.source().Verify(ctx, h, body, now)
}

// VerifyHeader is [intake.HeaderVerifier], for the sources that implement it.
func (s liveSource) VerifyHeader(h http.Header) (possible bool, err error) {
	source, ok := s.source().(intake.HeaderVerifier)
	if !ok {
		return false, nil
	}
	return source.VerifyHeader(h)
}

// SignsTimes is [intake.Dated], for the sources that implement it.
func (s liveSource) SignsTimes() bool {
	source, ok := s.source().(intake.Dated)
	return ok && source.SignsTimes()
}

func (s liveSource) Decode(h http.Header, body []byte) ([]incident.Signal, error) {
	return s.source().Decode(h, body)
}

// DecodeEvaluated is [intake.EvaluatedDecoder], for the sources that implement it.
func (s liveSource) DecodeEvaluated(h http.Header, body []byte, evaluation string) ([]incident.Signal, error) {
	source := s.source()
	if decoder, ok := source.(intake.EvaluatedDecoder); ok {
		return decoder.DecodeEvaluated(h, body, evaluation)
	}
	return source.Decode(h, body)
}

// liveRecords is the source of CloudTrail records for the sources that do not change,
// with the detection rules of the current generation.
type liveRecords struct{ liveSource }

func (r liveRecords) DecodeItem(h http.Header, body detect.Item) ([]incident.Signal, error) {
	return r.current.Load().cloudtrail.DecodeItem(h, body)
}

// cloudtrailOf returns the source of CloudTrail records, which exists even if its
// webhook is off.
func cloudtrailOf(g *generation) intake.Source { return g.cloudtrail }

func (r liveRecords) Evaluate(record *detect.Item) (evaluation string, notable bool) {
	return r.current.Load().cloudtrail.Evaluate(record)
}

// liveRedactor returns the redactor of the current generation, for the log and for
// errors of Slack.
func (b *Bot) liveRedactor() liveRedactor {
	return liveRedactor{&b.current, redact.New(b.start.Redaction)}
}

// liveRedactor redacts with the current generation.
type liveRedactor struct {
	current *atomic.Pointer[generation]
	first   *redact.Redactor // before the first generation exists
}

func (r liveRedactor) Text(s string) string {
	if g := r.current.Load(); g != nil {
		return g.redact.Text(s)
	}
	return r.first.Text(s)
}

// openDetection compiles the rules and logs their warnings and counts.
func openDetection(c detect.Config, log *slog.Logger) (*detect.Ruleset, error) {
	rules, report := c.Load()
	if err := report.Err(); err != nil {
		return nil, fmt.Errorf("detection.rules: %w", err)
	}
	log = log.With("component", "detect")
	for _, w := range report.Warnings {
		log.Warn("detection rule warning", "rule", w.Rule, "file", w.File, "line", w.Line, "reason", w.Reason)
	}
	log.Info("detection rules loaded", "rules", report.Usable, "off", len(report.Off), "for_other_logs", len(report.Skipped), "digest", rules.Digest())
	return rules, nil
}
