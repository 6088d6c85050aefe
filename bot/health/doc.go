// Package health describes in plain words why a system that Tocsin depends on does not
// work. A [Problem] has a cause and its fix. Both are safe to show to operators. They
// quote no response and no secret. The only address in them is of a refused sender.
//
// Adapters return problems from their probes. [Explain] turns any other error of a
// request into one:
//
//	if err := client.Probe(ctx); err != nil {
//		p := health.Explain("Slack", err)
//		fmt.Println(p.Cause, p.Fix)
//	}
package health
