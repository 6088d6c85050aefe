package story

import (
	"maps"
)

// texts are the texts that people type in one kind of incident.
type texts struct {
	severityReason, note                                  string
	evidence, occurredReason, detectedReason              string
	personalReason, awareReason, affected, affectedReason string
	answer, update                                        string
	contained, resolved                                   string
	recordFields                                          map[string]any // fields of the closing record by name
	objections, amendments                                map[string]string
	decisions, detection, prevention                      string
	outcomes                                              map[string]string // outcomes of steps by step id
}

func (w texts) record() formValues { return formValues(maps.Clone(w.recordFields)) }

// amendedFields are the fields of the closing record that an amendment changes,
// by the department that objected.
var amendedFields = map[string]string{"engineering": "root_cause", "security": "impact", "legal": "impact", "communications": "summary"}

// amendment returns the field and its new text after a department's objection.
func (w texts) amendment(department string) (field, text string) {
	field = amendedFields[department]
	before, _ := w.recordFields[field].(string)
	return field, before + " " + w.amendments[department]
}

// stepOutcome returns the outcome of a step, or the reason for skipping it.
func (p *player) stepOutcome(step string) (text string, skipped bool) {
	if reason := skippedSteps[step]; reason != "" {
		return reason, true
	}
	if outcome := p.scenario.texts.outcomes[step]; outcome != "" {
		return outcome, false
	}
	return pick(p.rng, "done and checked by a second person", "done, nothing unexpected was found", "done, the details are in the evidence store"), false
}

// skippedSteps are the reasons for the steps that this company skips.
var skippedSteps = map[string]string{
	"answer-aws":       "there is no case and no mail from AWS",
	"purge-copies":     "documents are never cached because they are served with no-store and without a CDN",
	"hunt-persistence": "the credential report and Access Analyzer show no new resources",
}

var leakTexts = texts{
	severityReason: "one document of one employer was displayed and none was downloaded",
	note:           "an employer reported a document of another company to support",
	evidence:       "access log of the documents service", occurredReason: "the deployment at that time removed the tenant check", detectedReason: "the alert rule fired first at that time",
	personalReason: "the documents contain names, salaries and bank accounts", awareReason: "the request was repeated with two test tenants and returned the other one's document",
	affected: "Example SA", affectedReason: "the access log joined with the document owners shows this number of employees",
	answer:    "no pay run read or wrote a document in this period, so no run must be repeated",
	update:    "Downloads of documents are disabled while we fix an authorisation check. Pay runs are not affected.",
	contained: "downloads are disabled and the request fails from outside", resolved: "the tenant check is restored with a test, and downloads are enabled again",
	recordFields: map[string]any{
		"summary":              "For ninety minutes the documents service could show one employer's document to another employer. Downloads were disabled, and the check was restored and tested.",
		"impact":               "The access log shows which documents were requested across employers. No pay run and no payment was affected.",
		"root_cause":           "A refactoring moved the tenant check into a helper that the download view did not call. No test requested another tenant's document.",
		"contributing_factors": "The view was excluded from the authorisation linter a year earlier, for a reason that no longer applied.",
		"what_was_done":        "Downloads were disabled, logs were saved, the check was restored with a test, and every request in this period was reviewed.",
		"what_will_detect_it":  "The same rule, and a probe that requests another tenant's document every minute.",
		"what_will_prevent_it": "The tenant is checked in the data layer, which no view can bypass.",
	},
	objections: objections("the documents service"),
	amendments: amendments("the documents service"),
	decisions:  "The tenant check moves into the data layer. Exclusions from the linter expire after ninety days.",
	detection:  "Probe that requests another tenant's document every minute", prevention: "Row-level security for all document tables",
	outcomes: map[string]string{
		"confirm-exposure": "confirmed with two test tenants, the document of the second one was returned", "save-state": "saved and hashed deployment, ingress and settings",
		"stop-exposure": "disabled the feature flag, the request returns 403", "set-times": "from the deployment until the flag was disabled",
		"who-saw-it": "the log is complete for this period and lists every cross-tenant request", "fix-cause": "restored the check with a test that fails without it",
		"verify-recovery": "the request fails from outside, and the probe alerts when it succeeds in a test",
	},
}

var keyTexts = texts{
	severityReason: "the new key belongs to a user with access to payslips",
	note:           "a build failed with AccessDenied for an unknown reason",
	evidence:       "CloudTrail events of the two keys", occurredReason: "CloudTrail contains the first call with the old key at that time", detectedReason: "the event arrived at that time",
	personalReason: "the user's policy allows reading the bucket with payslips", awareReason: "the bucket's access log shows that an object was read",
	affected: "Example SA", affectedReason: "the readable objects belong to this number of employees",
	answer:    "no payment file was changed, and the bank's confirmations match our records",
	update:    "A technical account was misused and has been disabled. Pay runs are not affected.",
	contained: "both keys are inactive and all sessions are revoked", resolved: "all credentials are replaced, foreign users are deleted, and there were no more foreign calls",
	recordFields: map[string]any{
		"summary":              "A long-lived access key was used from outside to create a key for an administrator. Both keys were disabled within minutes of the alert.",
		"impact":               "The key allowed access to the bucket with payslips. The bucket's access log lists every object that was read.",
		"root_cause":           "A long-lived key of a deployment user appeared in a build log that the whole company could read.",
		"contributing_factors": "The user had more permissions than the deployment needed, and the key worked from any network.",
		"what_was_done":        "The keys were disabled, sessions were revoked, logs were saved, every call was traced, and all accessible secrets were replaced.",
		"what_will_detect_it":  "An alert on any use of a long-lived key from an unknown network.",
		"what_will_prevent_it": "The build uses short-lived credentials, and a policy forbids long-lived keys.",
	},
	objections: objections("the deployment user"),
	amendments: amendments("the deployment user"),
	decisions:  "Long-lived keys are removed this quarter. Build logs are scanned before they are published.",
	detection:  "Alert on any use of a long-lived key from an unknown network", prevention: "Short-lived credentials for the build, and a policy that forbids long-lived keys",
	outcomes: trailOutcomes,
}

var trailTexts = texts{
	severityReason: "disabling the audit trail suggests an attempt to hide other actions",
	note:           "the nightly report of the audit trail was empty",
	evidence:       "CloudTrail events of the user", occurredReason: "the trail contains the user's first foreign call at that time", detectedReason: "the event arrived at that time",
	personalReason: "the bucket with payslips may have been read while the trail was disabled", awareReason: "the access log of the bucket shows a foreign address",
	affected: "Example SA", affectedReason: "the bucket contains payslips of this number of employees",
	answer:    "no payment file was changed, and the bank's confirmations match our records",
	update:    "A technical account was misused and has been disabled. The audit trail is enabled again.",
	contained: "the user's keys are inactive and the trail is enabled", resolved: "all credentials are replaced, and the trail is enabled and monitored everywhere",
	recordFields: map[string]any{
		"summary":              "A technical user's key was used from outside to disable the audit trail. The key was disabled and the trail was enabled again.",
		"impact":               "For some minutes management events were not recorded. Other logs cover this period and list every object that was read.",
		"root_cause":           "The technical user was allowed to stop the trail, and its key appeared in a ticket.",
		"contributing_factors": "The organisation's guard rail against stopping the trail did not cover this account.",
		"what_was_done":        "The key was disabled, the trail was enabled, logs were saved, and the gap was reconstructed from other logs.",
		"what_will_detect_it":  "A check every five minutes that the trail of each account is recording.",
		"what_will_prevent_it": "A guard rail for the whole organisation that denies stopping the trail.",
	},
	objections: objections("the technical user"),
	amendments: amendments("the technical user"),
	decisions:  "The guard rail will cover every account. Tickets are scanned for keys.",
	detection:  "Check every five minutes that the trail of each account is recording", prevention: "Guard rail for the whole organisation that denies stopping the trail",
	outcomes: trailOutcomes,
}

var trailOutcomes = map[string]string{
	"identify-key": "a long-lived key of a technical user, last used a few minutes ago", "disable-key": "the key has the status Inactive",
	"revoke-sessions": "all sessions issued before now are denied", "preserve-evidence": "saved, hashed and locked the events of all regions",
	"find-the-leak": "found and removed the published key", "trace-activity": "listed every call with the key",
	"hunt-resources": "no foreign resources in any region", "check-data-access": "the key had access to the bucket with payslips, whose access log was reviewed",
	"remove-foothold": "no remaining way for the attacker to return", "replace-credentials": "the workload now uses a role, and every accessible secret was replaced",
	"verify-recovery": "production works, logging is enabled in all regions, and the old key was not used",
}

// objections returns the objection of each department.
func objections(system string) map[string]string {
	return map[string]string{
		"engineering":    "the root cause does not explain why no test found the problem",
		"security":       "the impact does not name the logs that support it",
		"legal":          "the impact does not state whether people must be notified",
		"communications": "the summary does not describe the notice to customers of " + system,
	}
}

// amendments returns the sentence that addresses each objection.
func amendments(system string) map[string]string {
	return map[string]string{
		"engineering":    "No test covered this case because tests ran with full permissions.",
		"security":       "Access logs that are complete for the whole period support this.",
		"legal":          "Legal decided which people to notify and recorded the decision in the timeline.",
		"communications": "Customers of " + system + " were notified on that day with a text approved by legal.",
	}
}
