package pack

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/notary"
	"tocsin/bot/trust"
)

// columns are the columns of the row that a notary committed to. Its content has a line for the table and the id, and a
// line for each column.
type columns struct {
	table  string
	id     int64
	values map[string]string // texts without their quotes
}

func parseRow(content []byte) (c columns, err error) {
	lines := strings.Split(string(content), "\n")
	if len(lines) < 2 || lines[len(lines)-1] != "" {
		return c, errors.New("the row is malformed")
	}
	table, id, _ := strings.Cut(lines[0], " ")
	c = columns{table: table, values: map[string]string{}}
	if c.id, err = strconv.ParseInt(id, 10, 64); err != nil {
		return c, errors.New("the id of the row is malformed")
	}
	for _, line := range lines[1 : len(lines)-1] {
		name, value, found := strings.Cut(line, " ")
		if _, isDouble := c.values[name]; !found || isDouble {
			return c, errors.New("a column of the row is malformed")
		}
		if strings.HasPrefix(value, `"`) {
			if value, err = strconv.Unquote(value); err != nil {
				return c, errors.New("a text of the row is malformed")
			}
		}
		c.values[name] = value
	}
	return c, nil
}

// keyEvent returns the event of the log of keys in a row.
func keyEvent(content []byte) (e trust.Event, err error) {
	c, err := parseRow(content)
	if err != nil {
		return e, err
	}
	if c.table != "trust_events" {
		return e, fmt.Errorf("the row belongs to the table %.30q", c.table)
	}
	e = trust.Event{ID: c.id, Kind: trust.Kind(c.values["kind"]), Person: incident.PersonID(c.values["person"]), By: incident.PersonID(c.values["by_person"]),
		Through: c.values["through"], Provider: c.values["provider"], Fingerprint: c.values["fingerprint"]}
	if e.At, err = time.Parse(time.RFC3339Nano, c.values["at"]); err != nil {
		return e, errors.New("the time of the row is malformed")
	}
	if err := json.Unmarshal([]byte(c.values["sealed_details"]), &e.Details); err != nil {
		return e, errors.New("the details of the row are malformed")
	}
	return e, nil
}

// leafLine is a line of a leaf about one row.
type leafLine struct {
	notary.Line
	leaf int64 // index
}

// opens reports whether the line is the commitment to a content.
func (l leafLine) opens(salt, content []byte) bool {
	return l.Gone == 0 && !l.IsMissing && l.Commitment == notary.Commit(salt, content)
}
