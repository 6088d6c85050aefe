package story

import (
	"maps"
)

// prose is what the people say about one sort of incident.
type prose struct {
	grading, note                      string
	evidence, occurred, detected       string
	personal, aware, affected, counted string
	answer, update                     string
	contained, resolved                string
	closing                            map[string]any // fields of the record
	objections, amendments             map[string]string
	decisions, detection, prevention   string
	outcomes                           map[string]string // of a playbook's steps, by id
}

func (w prose) record() fields { return fields(maps.Clone(w.closing)) }

// amendments are in these fields of the record.
var amendedFields = map[string]string{"engineering": "root_cause", "security": "impact", "legal": "impact", "communications": "summary"}

// amendment is what is changed to meet a department's objection.
func (w prose) amendment(department string) (field, text string) {
	field = amendedFields[department]
	before, _ := w.closing[field].(string)
	return field, before + " " + w.amendments[department]
}

// outcome is what came of a step, or why it is skipped.
func (p *play) outcome(step string) (text string, skipped bool) {
	if why := skippedSteps[step]; why != "" {
		return why, true
	}
	if said := p.plot.prose.outcomes[step]; said != "" {
		return said, false
	}
	return pick(p.rng, "done and checked by a second person", "done; nothing unexpected was found", "done, the details are in the evidence store"), false
}

// skippedSteps are the steps that this company has no use for, with the reason.
var skippedSteps = map[string]string{
	"answer-aws":       "there is no case and no mail from AWS",
	"purge-copies":     "documents are never cached: they are served with no-store and no CDN is in front of them",
	"hunt-persistence": "the credential report and Access Analyzer show nothing that was created since",
}

var leakProse = prose{
	grading:  "one document of one employer was shown, and none was downloaded",
	note:     "an employer told support that a document looked like somebody else's",
	evidence: "access log of the documents service", occurred: "the deployment of that time removed the tenant check", detected: "the alert rule fired for the first time then",
	personal: "the documents hold names, salaries and bank accounts", aware: "the request was repeated with two test tenants and returned the other one's document",
	affected: "Example SA", counted: "the access log joined with the owners gives that many employees",
	answer:    "no pay run read or wrote a document in that time; nothing has to be repeated",
	update:    "Downloads of documents are switched off while we correct an authorisation check; pay runs are not affected. Next update in an hour.",
	contained: "downloads are off; the request fails from outside", resolved: "the tenant check is back with a test that fails without it; downloads are on again",
	closing: map[string]any{
		"summary":              "For ninety minutes the documents service could show one employer's document to a session of another. Downloads were switched off, the check was put back and tested.",
		"impact":               "The access log shows which documents were requested across employers. No pay run and no payment was affected.",
		"root_cause":           "A refactoring moved the tenant check into a helper that the download view did not call. No test asked for another tenant's document.",
		"contributing_factors": "The view had been excluded from the authorisation linter a year before, for a reason that no longer held.",
		"what_was_done":        "Downloads were switched off, logs were saved, the check was restored with a test, and every request of the time was looked at.",
		"what_detected_it":     "The alert rule on cross-tenant access, at the first request after the deployment.",
		"what_will_detect_it":  "The same rule, and a probe that asks for another tenant's document every minute.",
		"what_will_prevent_it": "Tenancy is checked in the data layer, where no view can leave it out.",
	},
	objections: objections("the documents service"),
	amendments: amendments("the documents service"),
	decisions:  "The tenant check moves into the data layer; exclusions from the linter expire after ninety days.",
	detection:  "Probe that asks for another tenant's document every minute", prevention: "Row-level security on every table of documents",
	outcomes: map[string]string{
		"confirm-exposure": "confirmed with two test tenants: the second one's document is returned", "save-state": "deployment, ingress and settings saved and hashed",
		"stop-exposure": "feature flag off; the request answers 403", "set-times": "since the deployment, until the flag was off",
		"who-saw-it": "the log is complete for the whole time; every cross-tenant request is listed", "fix-cause": "the check is back, with a test that fails without it",
		"verify-recovery": "the request fails from outside, and the probe rang when it was made to succeed",
	},
}

var keyProse = prose{
	grading:  "the new key belongs to a user that could read payslips",
	note:     "a build failed with AccessDenied, and nobody knew why",
	evidence: "CloudTrail events of the two keys", occurred: "CloudTrail has the first call with the old key then", detected: "the event reached us then",
	personal: "the user's policy allows to read the bucket with payslips", aware: "the bucket's access log shows that an object was read",
	affected: "Example SA", counted: "the objects that could be read belong to that many employees",
	answer:    "no payment file was changed; the bank's confirmations match our own",
	update:    "A technical account was misused and is disabled. Pay runs are not affected. Next update in an hour.",
	contained: "both keys are inactive, sessions are revoked", resolved: "all credentials are replaced, foreign users are gone, no foreign call since",
	closing: map[string]any{
		"summary":              "A long-lived access key was used from outside to make another key for an administrator. Both were disabled within minutes of the alert.",
		"impact":               "The key could read the bucket with payslips. The bucket's access log shows what was read.",
		"root_cause":           "A long-lived key of a deployment user stood in a build log that everybody in the company could read.",
		"contributing_factors": "The user had more rights than the deployment needed, and nothing limited where the key could be used from.",
		"what_was_done":        "The keys were disabled, sessions revoked, logs saved, every call was traced, all secrets within reach were replaced.",
		"what_detected_it":     "The rule on access keys made for another user, a minute after it happened.",
		"what_will_detect_it":  "An alarm on any use of a long-lived key from an unknown network.",
		"what_will_prevent_it": "The build gets short-lived credentials; long-lived keys are forbidden by policy.",
	},
	objections: objections("the deployment user"),
	amendments: amendments("the deployment user"),
	decisions:  "Long-lived keys end this quarter; build logs are scanned before anybody can read them.",
	detection:  "Alarm on any use of a long-lived key from an unknown network", prevention: "Short-lived credentials for the build, and a policy that forbids long-lived keys",
	outcomes: trailOutcomes,
}

var trailProse = prose{
	grading:  "whoever switches the audit trail off has something to hide",
	note:     "the nightly report of the audit trail came empty",
	evidence: "CloudTrail events of the user", occurred: "the trail has the user's first foreign call then", detected: "the event reached us then",
	personal: "while the trail was off, the bucket with payslips could have been read", aware: "the bucket's own access log shows a foreign address",
	affected: "Example SA", counted: "the bucket holds payslips of that many employees",
	answer:    "no payment file was changed; the bank's confirmations match our own",
	update:    "A technical account was misused and is disabled. The audit trail is on again. Next update in an hour.",
	contained: "the user's keys are inactive, the trail is on", resolved: "all credentials are replaced, the trail is on everywhere and watched",
	closing: map[string]any{
		"summary":              "A technical user's key was used from outside to switch the audit trail off. The key was disabled and the trail switched on again.",
		"impact":               "For some minutes management events were not recorded. Other logs cover the time; they show what was read.",
		"root_cause":           "The technical user was allowed to stop the trail, and its key stood in a ticket.",
		"contributing_factors": "The organisation's guard rail against stopping the trail did not cover this account.",
		"what_was_done":        "The key was disabled, the trail switched on, logs saved, the time without trail was reconstructed from other logs.",
		"what_detected_it":     "The rule on a stopped trail, by the last event that the trail recorded.",
		"what_will_detect_it":  "A check every five minutes that each account's trail records.",
		"what_will_prevent_it": "A guard rail for the whole organisation: nobody stops the trail.",
	},
	objections: objections("the technical user"),
	amendments: amendments("the technical user"),
	decisions:  "The guard rail covers every account from now on; tickets are scanned for keys.",
	detection:  "Check every five minutes that each account's trail records", prevention: "Guard rail for the whole organisation that denies stopping the trail",
	outcomes: trailOutcomes,
}

var trailOutcomes = map[string]string{
	"identify-key": "a long-lived key of a technical user, last used a few minutes ago", "disable-key": "the key reads Inactive",
	"revoke-sessions": "everything issued before now is denied", "preserve-evidence": "events of all regions saved, hashed and locked",
	"find-the-leak": "found where it was readable; removed there", "trace-activity": "every call with the key is listed, from the first to the last",
	"hunt-resources": "nothing foreign in any region", "check-data-access": "could read the bucket with payslips; its access log was looked at",
	"remove-foothold": "nothing left that anybody could come back with", "replace-credentials": "the workload uses a role now; every secret in reach is new",
	"verify-recovery": "production is well, logging is on in all regions, no call with the old key",
}

// objections are what each department finds missing.
func objections(system string) map[string]string {
	return map[string]string{
		"engineering":    "the root cause does not say why no test found it",
		"security":       "the impact does not say on which logs it rests",
		"legal":          "the impact does not say whether people have to be told",
		"communications": "the summary does not say what customers of " + system + " were told",
	}
}

// amendments are the sentences that meet the objections.
func amendments(system string) map[string]string {
	return map[string]string{
		"engineering":    "No test covered it, because tests ran with a user of all rights.",
		"security":       "This rests on access logs that are complete for the whole time.",
		"legal":          "Legal decided whom to tell; the decision stands in the timeline.",
		"communications": "Customers of " + system + " were told on the same day, in the words that legal approved.",
	}
}
