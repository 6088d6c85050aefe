package playbooks

import (
	"os"
	"strings"
	"testing"

	"tocsin/bot/incident"
)

const placeholderBook = `version: 1
name: x
title: X
description: X
roles: {operations: Works.}
steps:
  - id: a
    title: A
    role: operations
    detail: |
      Check the owner's key:
        %s
`

func TestParse_Placeholders(t *testing.T) {
	for line, want := range map[string]string{
		"aws iam get-user --user-name {{iam_user}}":        "",
		"WHERE key = '{{access_key_id}}'":                  "",
		"docker ps --format '{{.Names}}'":                  "",
		"aws s3 ls {{buket}}":                              `x.yaml:12:19: unknown placeholder "buket" (did you mean bucket?)`,
		"echo {{NAME}}":                                    `x.yaml:12:14: unknown placeholder "NAME" (did you mean`,
		"aws iam get-user --user-name '{{iam_user}}'":      `x.yaml:12:39: the placeholder "iam_user" is between quotes, remove the quotes because Tocsin adds them if the value needs them`,
		`aws iam get-user --user-name "x-{{iam_user}}"`:    `the placeholder "iam_user" is between quotes`,
		"aws iam get-user --user-name 'a'{{iam_user}} 'b'": "",
	} {
		_, err := Parse("x.yaml", []byte(strings.Replace(placeholderBook, "%s", line, 1)))
		switch {
		case want == "" && err != nil, want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: got %v, want %q", line, err, want)
		}
	}
}

// The documentation lists every placeholder.
func TestPlaceholders_AreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../docs/playbooks.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range incident.Placeholders() {
		if !strings.Contains(string(doc), "`{{"+name+"}}`") {
			t.Errorf("docs/playbooks.md does not list {{%s}}", name)
		}
	}
}
