// Package playbooks defines playbooks, the instructions for a kind of incident.
// [Parse] reads and validates one file. [Load] reads the built-in playbooks and
// the user's folders into a [Library]. [Next] returns the steps that are due in
// an incident.
//
// A playbook is one YAML file:
//
//	version: 1                  # of the format
//	name: leaked-aws-credentials # equals the file name
//	title: Leaked AWS credentials
//	description: When to use the playbook, in one or two sentences.
//	match: source == "cloudtrail" && level in ["high", "critical"]
//	roles:                      # role and its task
//	  operations: Works in the AWS account.
//	consult:                    # affected teams that must answer before closing
//	  - {team: payments, blocking: true}
//	steps:
//	  - id: disable-key
//	    title: Disable the access key
//	    detail: |
//	      Exact instructions.
//	    role: operations        # a task for a person
//	    deadline: 15m           # counted from the start of the step
//	  - id: involve-legal
//	    title: Involve legal
//	    action: {involve: legal}   # or an action of the bot
//	    after: [disable-key]    # wait until these are done or skipped
//	    phase: contained        # wait until the incident has this status
//	    when: personal_data != "no"
//
// [Parse] returns all errors of a file at once, each with its line and column.
// When an incident starts a playbook, [Playbook.Pin] copies the plan into the
// incident. [Next] uses only that copy. An edit of the file therefore does not
// change an incident that already runs the playbook.
package playbooks
