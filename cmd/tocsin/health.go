package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bot/config"
	"tocsin/bot/outbound"
)

// Limits of requests to a process on this machine.
const (
	localTimeout  = 5 * time.Second
	localInterval = 200 * time.Millisecond // between two attempts
	maxLocalBody  = 1 << 20
)

// getLocal requests a URL of a process on this machine that may still be starting. It
// repeats the request until done returns true, ctx ends or wait has passed, and returns
// the last answer.
func getLocal(ctx context.Context, url string, limits outbound.Limits, wait time.Duration, done func(status int, err error) bool) (status int, body []byte, err error) {
	end := time.Now().Add(wait)
	for {
		status, body, err = getOnce(ctx, url, limits)
		if done(status, err) || !time.Now().Before(end) {
			return status, body, err
		}
		select {
		case <-ctx.Done():
			return status, body, err
		case <-time.After(localInterval):
		}
	}
}

func getOnce(ctx context.Context, url string, limits outbound.Limits) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	res, err := outbound.NewClient(localTimeout, limits).Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err = io.ReadAll(io.LimitReader(res.Body, maxLocalBody))
	return res.StatusCode, body, err
}

func healthCommand(g *globalFlags) *cobra.Command {
	var (
		url  string
		wait time.Duration
	)
	cmd := &cobra.Command{
		Use: "health", Short: "Check whether the running bot is ready", Args: noArguments,
		Long: "Request /readyz of the running bot, for example as the health check of a container. The exit status is 0 if the bot is\n" +
			"ready and 1 if it is not or does not answer within 5 seconds. With --wait it repeats the request until the bot is ready.",
		Example: "  tocsin health\n  tocsin health --wait 30s\n  tocsin health --url http://127.0.0.1:9464/readyz",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var limits outbound.Limits
			if url == "" {
				limits.IsLocal = true
				c, err := config.Load(g.config)
				var invalid config.Errors // the bot may run with the configuration that was valid
				if err != nil && (!errors.As(err, &invalid) || c.Telemetry.Listen == "") {
					return err
				}
				url = "http://" + c.Telemetry.Listen + "/readyz"
			}
			status, body, err := getLocal(cmd.Context(), url, limits, wait, func(status int, err error) bool { return err == nil && status == http.StatusOK })
			switch {
			case err != nil:
				return fmt.Errorf("no bot answers at %s. Start it with `tocsin serve`, or read its log for the reason: %w", url, err)
			case status != http.StatusOK:
				return fmt.Errorf("the bot is not ready (status %d). Wait, or correct the cause that it names: %s", status, bytes.TrimSpace(body))
			}
			return writeText(cmd.OutOrStdout(), string(body))
		},
	}
	cmd.Flags().StringVar(&url, "url", "", "`URL` of /readyz (default the address telemetry.listen in the configuration)")
	cmd.Flags().DurationVar(&wait, "wait", 0, "`time` to wait until the bot is ready")
	return cmd
}
