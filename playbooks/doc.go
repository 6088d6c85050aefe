// Package playbooks holds what to do in which incident: the format of a
// playbook, its validation, the built-in library, and Next, which says what is
// due now.
//
// A playbook is one YAML file:
//
//	version: 1                  # of the format
//	name: leaked-aws-credentials # the file's name
//	title: Leaked AWS credentials
//	description: When to use it, in a sentence or two.
//	match: source == "cloudtrail" && level in ["high", "critical"]
//	roles:                      # who is needed, and what for
//	  operations: Works in the AWS account.
//	consult:                    # affected teams that are asked before closing
//	  - {team: payments, blocking: true}
//	steps:
//	  - id: disable-key
//	    title: Disable the access key
//	    detail: |
//	      How, exactly.
//	    role: operations        # a task for a person ...
//	    deadline: 15m           # from when the step was started
//	  - id: involve-legal
//	    title: Call legal
//	    action: {involve: legal}   # ... or an action of the bot
//	    after: [disable-key]    # not before these are done or skipped
//	    phase: contained        # not before the incident has this status
//	    when: personal_data != "no"
//
// Parse lists every fault of a file at once, each with its line and column.
// When an incident starts a playbook, Pin copies the plan into the incident:
// what is due later is decided from that copy alone, so editing a file never
// changes an incident that is under way.
package playbooks
