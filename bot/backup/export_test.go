package backup

import "net/http"

// WithClient returns d with an HTTP client for buckets.
func (d DestinationDeps) WithClient(c *http.Client) DestinationDeps {
	d.client = c
	return d
}

// PartSizeOf is the function partSizeOf.
var PartSizeOf = partSizeOf
