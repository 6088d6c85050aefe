// Package telemetry shows operators how the bot is: the log, error reports, metrics
// and the state of its parts.
//
// [OpenLog] returns the log, which redacts every record and never blocks its caller. It
// reports errors to Sentry. [Metrics] implements the Observer interfaces of other
// packages and serves /metrics. [Readiness] checks the parts of the bot, serves /readyz
// and notifies people if a part stays impaired:
//
//	m := telemetry.NewMetrics()
//	log, err := telemetry.OpenLog(cfg, os.Stderr, redactor, m)
//	if err != nil {
//		return err
//	}
//	defer log.Close()
//	ready := telemetry.NewReadiness(telemetry.Health{Required: required, Metrics: m, Logger: log.Logger})
//	go ready.Watch(ctx)
//
// Only this package imports sentry-go and the Prometheus client.
package telemetry
