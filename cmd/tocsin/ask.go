package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tocsin/bot/command"
	"tocsin/bot/control"
	"tocsin/bot/incident"
)

// askCommand is `tocsin incident ask` at the top level. It searches the whole period.
func askCommand(g *globalFlags) *cobra.Command {
	spec, _ := command.Find("ask")
	return &cobra.Command{
		Use: "ask " + spec.Usage(), Short: "Show the activity of a principal, access key, address or account",
		Long: "Search the stored deliveries and alerts for the activity of one principal, access key, address or account, in the last 24\n" +
			"hours or in a period: calls with their results, regions, addresses, user agents, alerts and incidents, and the events\n" +
			"in the order of their times. The kind of the value is guessed if it is unambiguous.\n\n" +
			"The answer has only records that you may read. The question is in the audit log. Tocsin stores the records of CloudTrail\n" +
			"that a rule matches or counts, not all of them. The search ends at the end of the period, also if that takes minutes.\n" +
			"Events beyond `limit` (20) are counted: add page 2, or limit 1000.",
		Example: "  tocsin " + strings.Join(spec.Examples, "\n  tocsin ") + "\n  tocsin ask AKIAIOSFODNN7EXAMPLE last 7d limit 1000 --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := g.client()
			if err != nil {
				return err
			}
			question := "ask " + command.JoinArgs(args)
			var all control.Reply
			for after := int64(0); ; {
				request := control.Request{Command: question}
				if after > 0 {
					request.Command, request.Skip = fmt.Sprintf("%s after D%d", question, after), all.Alerts.Trail.Count
				}
				var reply control.Reply
				if err := client.Do(cmd.Context(), "incident", request, &reply); err != nil {
					return g.replyError(cmd.OutOrStdout(), err)
				}
				if reply.Alerts == nil || reply.Alerts.Trail == nil { // help
					return show(cmd.OutOrStdout(), reply)
				}
				if all.Alerts == nil {
					all = reply
				} else {
					mergeTrails(all.Alerts.Trail, *reply.Alerts.Trail)
				}
				t := *all.Alerts.Trail
				if t.Next == 0 || strings.Contains(question, " after ") {
					break
				}
				after = t.Next
				_ = writeLine(cmd.ErrOrStderr(), "searched up to %s, %d deliveries", t.SearchedTo.UTC().Format("2006-01-02 15:04:05"), t.Deliveries) // only progress
			}
			if g.json {
				return writeJSON(cmd.OutOrStdout(), all.Alerts.Trail)
			}
			return show(cmd.OutOrStdout(), all)
		},
	}
}

// mergeTrails adds the answer of the rest of a search.
func mergeTrails(t *incident.Trail, rest incident.Trail) {
	for _, list := range []struct {
		to   *[]incident.Tally
		from []incident.Tally
	}{{&t.Calls, rest.Calls}, {&t.Principals, rest.Principals}, {&t.AccessKeys, rest.AccessKeys}, {&t.Accounts, rest.Accounts}, {&t.Regions, rest.Regions},
		{&t.Addresses, rest.Addresses}, {&t.UserAgents, rest.UserAgents}} {
		counts := map[string]int{}
		for _, one := range slices.Concat(*list.to, list.from) {
			counts[one.Value] += one.Count
		}
		*list.to = nil
		for value, n := range counts {
			*list.to = append(*list.to, incident.Tally{Value: value, Count: n})
		}
		slices.SortFunc(*list.to, func(a, b incident.Tally) int { return cmp.Or(b.Count-a.Count, cmp.Compare(a.Value, b.Value)) })
	}
	if t.First.IsZero() || !rest.First.IsZero() && rest.First.Before(t.First) {
		t.First = rest.First
	}
	if rest.Last.After(t.Last) {
		t.Last = rest.Last
	}
	ids := map[incident.ID]bool{}
	for _, id := range slices.Concat(t.Incidents, rest.Incidents) {
		ids[id] = true
	}
	t.Incidents = slices.Sorted(maps.Keys(ids))
	t.Events = append(t.Events, rest.Events...)
	t.Pages = (t.Count + rest.Count + t.Question.Limit - 1) / max(t.Question.Limit, 1)
	t.Count, t.Deliveries, t.Unread, t.SearchedTo, t.Next = t.Count+rest.Count, t.Deliveries+rest.Deliveries, t.Unread+rest.Unread, rest.SearchedTo, rest.Next
}
