package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/klauspost/compress/s2"
	"gorm.io/gorm"

	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/text"
)

// sealedDelivery is the encrypted part of a delivery: its id, its origin, the headers, the body as received, the SHA-256
// of the body, the sender, how the sender was verified and the evaluation of the source.
type sealedDelivery struct {
	ID       string            `json:"id"`
	Origin   string            `json:"origin,omitempty"` // absent in old rows, see origin
	Header   map[string]string `json:"header,omitempty"`
	Body     []byte            `json:"body"`
	SHA256   string            `json:"sha256,omitempty"` // absent in old rows
	Sender   string            `json:"sender,omitempty"`
	Verified string            `json:"verified,omitempty"`
	// Evaluation is absent in most rows.
	Evaluation string `json:"evaluation,omitempty"`
}

func newSealedDelivery(d intake.Delivery) sealedDelivery {
	return sealedDelivery{d.ID, d.Origin.String(), d.Header, d.Body, bodyHash(d.Body), d.Sender, d.Verified, d.Evaluation}
}

// Headers that marked the deliveries of old rows. Senders could not set them.
const (
	oldHeaderDrill    = "Tocsin-Drill"    // replayed as new
	oldHeaderRecorded = "Tocsin-Recorded" // from a file, or replayed as new
)

// origin returns the origin of the delivery. Old rows have none, and a header marks those that are not live.
func (d sealedDelivery) origin() (incident.Origin, error) {
	switch {
	case d.Origin == incident.OriginLive.String():
		return incident.OriginLive, nil
	case d.Origin != "":
		return incident.ParseOrigin(d.Origin)
	case d.Header[oldHeaderDrill] != "":
		return incident.OriginReplay, nil
	case d.Header[oldHeaderRecorded] != "":
		return incident.OriginRecording, nil
	}
	return incident.OriginLive, nil
}

func bodyHash(body []byte) string {
	return text.SHA256(body)
}

// sha256 returns the stored SHA-256, or computes it for old rows.
func (d sealedDelivery) sha256() string {
	if d.SHA256 == "" {
		return bodyHash(d.Body)
	}
	return d.SHA256
}

// inboxKey returns the row part of the associated data of an inbox row's ciphertexts. It is not the row's id, because
// the delivery is sealed before the row exists. Source and delivery hash are unique too.
func inboxKey(source, hash string) string { return source + "/" + hash }

// encode implements [sealedEncoder]. The encoding is the byte formatCompressed, the length of the metadata as a
// uvarint, the metadata in JSON, and the body compressed with S2. A body in JSON would be longer and slow to parse.
// Compression is fast and saves disk writes, because every body is written twice: to the WAL and to the database.
func (d sealedDelivery) encode() ([]byte, error) {
	body := d.Body
	d.Body = nil
	metadata, err := json.Marshal(d, jsontext.AllowInvalidUTF8(true)) // headers may contain any bytes
	if err != nil {
		return nil, fmt.Errorf("encode delivery: %w", err)
	}
	head := 1 + binary.MaxVarintLen64 + len(metadata)
	out := make([]byte, 0, head+s2.MaxEncodedLen(len(body)))
	out = append(out, formatCompressed)
	out = binary.AppendUvarint(out, uint64(len(metadata)))
	out = append(out, metadata...)
	return out[:len(out)+len(s2.Encode(out[len(out):cap(out)], body))], nil
}

// maxStoredBody is the maximum size of a body in bytes. It is far above every limit of a source, and bounds the memory
// for a row that was damaged or written with a stolen key.
const maxStoredBody = 256 << 20

// The first byte of an encoded delivery is its format. The oldest rows are JSON and begin with a brace.
const (
	formatUncompressed = 1 // old rows, with the body as received
	formatCompressed   = 2 // written by encode
)

// decode implements [sealedDecoder]. It reads all formats.
func (d *sealedDelivery) decode(data []byte) (err error) {
	if len(data) > 0 && data[0] == '{' {
		return json.Unmarshal(data, d)
	}
	if len(data) == 0 || data[0] != formatUncompressed && data[0] != formatCompressed {
		return errors.New("unknown delivery format")
	}
	length, n := binary.Uvarint(data[1:])
	if n <= 0 || length > uint64(len(data)-1-n) {
		return errors.New("delivery is truncated")
	}
	metadata, body := data[1+n:][:length], data[1+n:][length:]
	if err := json.Unmarshal(metadata, d); err != nil {
		return err
	}
	if d.Body = body; data[0] != formatCompressed {
		return nil
	}
	if n, err := s2.DecodedLen(body); err != nil || n > maxStoredBody {
		return errors.New("delivery is malformed or too large")
	}
	d.Body, err = s2.Decode(nil, body)
	return err
}

// openDelivery decrypts the delivery of a row, and returns the SHA-256 of its body.
func (s *Store) openDelivery(row inboxRow) (delivery intake.Delivery, sha256 string, err error) {
	var d sealedDelivery
	if err := s.unseal("inbox", inboxKey(row.Source, row.DeliveryHash), "sealed_body", row.SealedBody, &d); err != nil {
		return delivery, "", err
	}
	origin, err := d.origin()
	if err != nil {
		return delivery, "", fmt.Errorf("read origin of delivery %d: %w", row.ID, err)
	}
	return intake.Delivery{Source: row.Source, ID: d.ID, Origin: origin, Header: d.Header, Body: d.Body, Received: row.ReceivedAt.UTC(), Sender: d.Sender, Verified: d.Verified, Evaluation: d.Evaluation}, d.sha256(), nil
}

// maxLastDeliveries is how many deliveries LastDelivery reads to find one that its sender sent.
const maxLastDeliveries = 50

// LastDelivery returns the time and the sender of the last live delivery of a source, or the zero time. It scans the
// inbox back to that delivery.
func (s *Store) LastDelivery(ctx context.Context, source string) (at time.Time, sender string, err error) {
	err = s.view(ctx, func(db *gorm.DB) error {
		var rows []inboxRow
		err := db.Raw("SELECT id, source, delivery_hash, received_at, sealed_body FROM inbox JOIN delivery_bodies ON inbox_id = id WHERE source = ? ORDER BY id DESC LIMIT ?",
			source, maxLastDeliveries).Scan(&rows).Error
		if err != nil {
			return fmt.Errorf("read last deliveries: %w", err)
		}
		for _, row := range rows {
			d, _, err := s.openDelivery(row)
			if err != nil {
				return err
			}
			if d.Origin == incident.OriginLive && d.Received.After(at) {
				at, sender = d.Received, d.Sender
			}
		}
		return nil
	})
	return at, sender, err
}
