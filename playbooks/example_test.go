package playbooks_test

import (
	"fmt"
	"time"

	"tocsin/bot/incident"
	"tocsin/playbooks"
)

// A library of playbooks is usually read with Load. This example parses one
// playbook, starts it in an incident and lists the steps that are due.
func ExampleNext() {
	p, err := playbooks.Parse("lost-laptop.yaml", []byte(`
version: 1
name: lost-laptop
title: Lost laptop
description: A company laptop was lost or stolen.
roles:
  operations: Manages the devices.
steps:
  - id: lock
    title: Lock the device
    role: operations
    deadline: 15m
  - id: note
    title: Record the lock
    action: {note: The device is locked.}
    after: [lock]
  - id: involve-legal
    title: Involve legal
    action: {involve: legal}
    when: personal_data != "no"
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	now := time.Date(2026, 11, 2, 2, 31, 0, 0, time.UTC)
	inc := incident.New(42)
	inc.Status = incident.Active
	inc.Runs = []incident.Run{p.Pin()}

	for _, d := range playbooks.Next(inc, now) {
		fmt.Printf("start %s, by the bot: %v\n", d.Step, d.Bot)
		_, step := inc.Step(d.Run + "/" + d.Step)
		step.Started = now
	}
	now = now.Add(15 * time.Minute)
	for _, d := range playbooks.Next(inc, now) {
		fmt.Printf("late: %s\n", d.Step)
	}
	// Output:
	// start lock, by the bot: false
	// start involve-legal, by the bot: true
	// late: lock
}

func ExampleParse_errors() {
	_, err := playbooks.Parse("lost-laptop.yaml", []byte(`version: 1
name: lost-laptop
titel: Lost laptop
description: A company laptop was lost or stolen.
roles: {operations: Manages the devices.}
steps:
  - {id: lock, title: Lock the device, role: operations, when: severity == "sve1"}
`))
	fmt.Println(err)
	// Output:
	// lost-laptop.yaml:1:1: missing key "title", add it to the playbook
	// lost-laptop.yaml:3:1: unknown key "titel" in a playbook (did you mean title?)
	// lost-laptop.yaml:7:76: when: severity cannot be "sve1" (did you mean sev1?)
}
