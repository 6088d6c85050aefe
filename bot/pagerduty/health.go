package pagerduty

import (
	"context"
	"fmt"
	"net/http"

	"tocsin/bot/health"
)

// Probe returns an error if the Events API cannot be reached. It sends no event, so it
// does not prove that the routing key is valid: only a page proves that.
func (c *Client) Probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+"/", nil)
	if err != nil {
		return fmt.Errorf("probe PagerDuty: %w", err)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return health.Explain("PagerDuty", err)
	}
	defer res.Body.Close()
	if res.StatusCode >= http.StatusInternalServerError || res.StatusCode == http.StatusTooManyRequests || res.StatusCode == http.StatusProxyAuthRequired {
		return health.Status("PagerDuty", res.StatusCode, nil)
	}
	return nil
}
