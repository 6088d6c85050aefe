package response

import (
	"encoding/json"
	"fmt"
	"time"

	"tocsin/bot/incident"
)

// firstIncident returns the live incident of the first correlation key that has
// one, or 0.
func firstIncident(r IncidentReader, keys ...string) (incident.ID, error) {
	incidents, err := r.IncidentsByCorrelation(keys...)
	if err != nil {
		return 0, err
	}
	for _, key := range keys {
		if id := incidents[key]; id != 0 {
			return id, nil
		}
	}
	return 0, nil
}

// alertByID returns one alert, also after a move.
func alertByID(r AlertReader, id int64) (AlertRow, error) {
	rows, err := r.Alerts(AlertQuery{ID: id})
	if err == nil && len(rows) == 0 {
		err = incident.NoAlert(id)
	}
	if err != nil {
		return AlertRow{}, err
	}
	return rows[0], nil
}

// countOccurrences returns how often an alert occurred in an incident.
func countOccurrences(r AlertReader, id incident.ID, a incident.Alert) (int64, error) {
	rows, err := r.Alerts(AlertQuery{Incident: id, Same: &a})
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	return rows[0].Count, nil
}

// deliveryByRow returns one stored delivery.
func deliveryByRow(r InboxReader, row int64) (Delivery, error) {
	found, err := r.Deliveries(DeliveryQuery{Rows: []int64{row}, Bodies: true})
	if err == nil && len(found) == 0 {
		err = incident.NoDelivery(row)
	}
	if err != nil {
		return Delivery{}, err
	}
	return found[0], nil
}

// getValue locks a key and decodes its value into v. It leaves v unchanged if there
// is none.
func getValue(kv KeyValues, n Namespace, key string, v any) error {
	values, err := kv.Values(n, key)
	if err != nil {
		return err
	}
	return decodeValue(values[key], v)
}

func decodeValue(raw []byte, v any) error {
	if len(raw) == 0 {
		return nil
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("decode value: %w", err)
	}
	return nil
}

// putValue stores v as the value of a locked key.
func putValue(kv KeyValues, n Namespace, key string, v any, expires time.Time) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode value: %w", err)
	}
	return kv.PutValue(n, key, raw, expires)
}
