package aws

import (
	"context"
	"crypto/md5" //nolint:gosec // SQS sends MD5 checksums, which the SDK verifies
	"encoding/hex"
	"encoding/json"
	"net/http"
	"path"
	"strconv"
	"time"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

type queue struct {
	Queue
	messages []*message
	deleted  int
}

type message struct {
	id, body string
	sent     time.Time
	visible  time.Time // hidden until this time
	received int
	handle   string // latest receipt handle, the only valid one
}

// Message is an undeleted message, visible or hidden.
type Message struct {
	ID, Body string
	Received int       // number of times received
	Visible  time.Time // hidden until this time
}

// maxVisibility is the longest visibility timeout that SQS accepts.
const maxVisibility = 12 * time.Hour

// AddQueue creates a queue, replacing one of that name.
func (a *Account) AddQueue(q Queue) {
	if q.Visibility == 0 {
		q.Visibility = 30 * time.Second
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.queues[q.Name] = &queue{Queue: q}
}

// Send adds a message to the named queue and returns its ID. The queue must
// exist.
func (a *Account) Send(name, body string) (id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.send(a.queues[name], body)
}

func (a *Account) send(q *queue, body string) string {
	a.serial++
	m := &message{id: "message-" + strconv.Itoa(a.serial), body: body, sent: time.Now(), visible: time.Now()}
	q.messages = append(q.messages, m)
	a.notifyChange()
	return m.id
}

// Messages returns all messages of the named queue, visible and hidden.
func (a *Account) Messages(name string) []Message {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []Message
	for _, m := range a.queues[name].messages {
		out = append(out, Message{ID: m.id, Body: m.body, Received: m.received, Visible: m.visible})
	}
	return out
}

// Duplicate makes all hidden messages visible at once, because SQS delivers at
// least once. Issued receipt handles remain valid until the message is received
// again.
func (a *Account) Duplicate(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, m := range a.queues[name].messages {
		m.visible = time.Now()
	}
	a.notifyChange()
}

type batchEntry struct {
	ID                string `json:"Id"`
	ReceiptHandle     string
	VisibilityTimeout int
}

type queueInput struct {
	QueueURL string `json:"QueueUrl"`
	batchEntry
	Entries             []batchEntry
	MaxNumberOfMessages int
	WaitTimeSeconds     int
	MessageBody         string
	SystemAttributes    []string `json:"MessageSystemAttributeNames"`
}

func queueName(body []byte) string {
	var c struct {
		QueueURL string `json:"QueueUrl"`
	}
	if json.Unmarshal(body, &c) != nil {
		return ""
	}
	return path.Base(c.QueueURL)
}

// serveQueue answers a call of the SQS JSON protocol.
func (a *Account) serveQueue(n *response, r *http.Request, op string, body []byte) {
	c := queueInput{batchEntry: batchEntry{VisibilityTimeout: -1}}
	if err := json.Unmarshal(body, &c); err != nil {
		n.writeError("sqs", badRequest("SerializationException", err.Error()))
		return
	}
	a.mu.Lock()
	q := a.queues[path.Base(c.QueueURL)]
	a.mu.Unlock()
	if q == nil {
		n.writeError("sqs", badRequest("QueueDoesNotExist", "the queue does not exist"))
		return
	}
	switch op {
	case "sqs:ReceiveMessage":
		a.receive(r.Context(), n, q, c)
	case "sqs:DeleteMessage":
		a.forEachEntry(n, []batchEntry{c.batchEntry}, false, func(e batchEntry) *apiError { return a.deleteMessage(q, e) })
	case "sqs:DeleteMessageBatch":
		a.forEachEntry(n, c.Entries, true, func(e batchEntry) *apiError { return a.deleteMessage(q, e) })
	case "sqs:ChangeMessageVisibility":
		a.forEachEntry(n, []batchEntry{c.batchEntry}, false, func(e batchEntry) *apiError { return a.changeVisibility(q, e) })
	case "sqs:ChangeMessageVisibilityBatch":
		a.forEachEntry(n, c.Entries, true, func(e batchEntry) *apiError { return a.changeVisibility(q, e) })
	case "sqs:SendMessage":
		a.mu.Lock()
		id := a.send(q, c.MessageBody)
		a.mu.Unlock()
		n.writeJSON(map[string]string{"MessageId": id, "MD5OfMessageBody": md5Hex(c.MessageBody)})
	default:
		n.writeError("sqs", badRequest("UnsupportedOperation", "the sandbox does not implement "+op))
	}
}

func md5Hex(s string) string {
	d := md5.Sum([]byte(s)) //nolint:gosec // see the import
	return hex.EncodeToString(d[:])
}

// forEachEntry calls do for every entry of a batch, or for the one entry of a
// single call, and writes the response. It holds a.mu while it calls do.
func (a *Account) forEachEntry(n *response, entries []batchEntry, batch bool, do func(batchEntry) *apiError) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if batch && (len(entries) == 0 || len(entries) > 10) {
		n.writeError("sqs", badRequest("TooManyEntriesInBatchRequest", "a batch must have 1 to 10 entries"))
		return
	}
	var good, bad []map[string]any
	for _, e := range entries {
		switch f := do(e); {
		case f == nil:
			good = append(good, map[string]any{"Id": e.ID})
		case !batch:
			n.writeError("sqs", f)
			return
		default:
			bad = append(bad, map[string]any{"Id": e.ID, "Code": f.code, "Message": f.message, "SenderFault": true})
		}
	}
	a.notifyChange()
	if batch {
		n.writeJSON(map[string]any{"Successful": good, "Failed": bad})
		return
	}
	n.writeJSON(struct{}{})
}

// deleteMessage deletes the message with the given receipt handle. Like SQS it
// reports success for an outdated handle, which deletes nothing.
func (a *Account) deleteMessage(q *queue, e batchEntry) *apiError {
	if e.ReceiptHandle == "" {
		return badRequest("ReceiptHandleIsInvalid", "the receipt handle is empty")
	}
	for i, m := range q.messages {
		if m.handle == e.ReceiptHandle {
			q.messages = append(q.messages[:i:i], q.messages[i+1:]...)
			q.deleted++
			break
		}
	}
	return nil
}

func (a *Account) changeVisibility(q *queue, e batchEntry) *apiError {
	d := time.Duration(e.VisibilityTimeout) * time.Second
	if d < 0 || d > maxVisibility {
		return badRequest("InvalidParameterValue", "VisibilityTimeout must be between 0 and 43200 seconds")
	}
	for _, m := range q.messages {
		if m.handle == e.ReceiptHandle {
			if !m.visible.After(time.Now()) {
				return badRequest("MessageNotInflight", "the visibility timeout has ended")
			}
			m.visible = time.Now().Add(d)
			return nil
		}
	}
	return badRequest("ReceiptHandleIsInvalid", "unknown receipt handle")
}

// Deleted returns the number of messages deleted from the named queue.
func (a *Account) Deleted(name string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.queues[name].deleted
}

// receive writes the visible messages. If there are none, it waits up to
// WaitTimeSeconds for one.
func (a *Account) receive(ctx context.Context, n *response, q *queue, c queueInput) {
	if c.MaxNumberOfMessages == 0 {
		c.MaxNumberOfMessages = 1
	}
	if c.MaxNumberOfMessages > 10 || c.WaitTimeSeconds > 20 {
		n.writeError("sqs", badRequest("InvalidParameterValue", "MaxNumberOfMessages must be at most 10 and WaitTimeSeconds at most 20"))
		return
	}
	until := time.Now().Add(time.Duration(c.WaitTimeSeconds) * time.Second)
	for {
		a.mu.Lock()
		got, next := a.takeVisible(q, c)
		changed := a.changed
		a.mu.Unlock()
		if len(got) > 0 || !time.Now().Before(until) {
			n.writeJSON(map[string]any{"Messages": got})
			return
		}
		if next.IsZero() || next.After(until) {
			next = until
		}
		timer := time.NewTimer(time.Until(next))
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
		case <-a.ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil || a.ctx.Err() != nil {
			n.writeJSON(map[string]any{})
			return
		}
	}
}

// takeVisible returns the visible messages and hides them. It also returns when
// the next message becomes visible. The caller holds a.mu.
func (a *Account) takeVisible(q *queue, c queueInput) (got []map[string]any, next time.Time) {
	now := time.Now()
	hidden := q.Visibility
	if c.VisibilityTimeout >= 0 {
		hidden = time.Duration(c.VisibilityTimeout) * time.Second
	}
	remaining := q.messages[:0:0]
	for _, m := range q.messages {
		if m.visible.After(now) || len(got) == c.MaxNumberOfMessages {
			if next.IsZero() || m.visible.Before(next) {
				next = m.visible
			}
			remaining = append(remaining, m)
			continue
		}
		if dead := a.queues[q.DeadLetter]; dead != nil && q.MaxReceiveCount > 0 && m.received >= q.MaxReceiveCount {
			dead.messages = append(dead.messages, m)
			continue
		}
		a.serial++
		m.received++
		m.handle, m.visible = m.id+"/receipt-"+strconv.Itoa(a.serial), now.Add(hidden)
		remaining = append(remaining, m)
		got = append(got, map[string]any{"MessageId": m.id, "ReceiptHandle": m.handle, "Body": m.body, "MD5OfBody": md5Hex(m.body),
			"Attributes": map[string]string{"ApproximateReceiveCount": strconv.Itoa(m.received), "SentTimestamp": itoa(m.sent.UnixMilli())}})
	}
	q.messages = remaining
	return got, next
}
