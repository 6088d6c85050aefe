package aws

import (
	"context"
	"crypto/md5" //nolint:gosec // SQS says what it delivers with an MD5, and the SDK checks it
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
	visible  time.Time // hidden until then
	received int
	handle   string // of the last receipt; only that one counts
}

// Message is a message that waits or is being worked on.
type Message struct {
	ID, Body string
	Received int       // how often
	Visible  time.Time // when it can be received again
}

// maxVisibility is how long a message can be hidden.
const maxVisibility = 12 * time.Hour

// AddQueue makes a queue.
func (a *Account) AddQueue(q Queue) {
	if q.Visibility == 0 {
		q.Visibility = 30 * time.Second
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.queues[q.Name] = &queue{Queue: q}
}

// Send puts a message into a queue.
func (a *Account) Send(name, body string) (id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.send(a.queues[name], body)
}

func (a *Account) send(q *queue, body string) string {
	a.serial++
	m := &message{id: "message-" + strconv.Itoa(a.serial), body: body, sent: time.Now(), visible: time.Now()}
	q.messages = append(q.messages, m)
	a.touch()
	return m.id
}

// Messages lists what is in a queue, hidden or not.
func (a *Account) Messages(name string) []Message {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []Message
	for _, m := range a.queues[name].messages {
		out = append(out, Message{ID: m.id, Body: m.body, Received: m.received, Visible: m.visible})
	}
	return out
}

// Duplicate delivers everything again that is hidden now: SQS delivers at
// least once. The receipts that are out stay good.
func (a *Account) Duplicate(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, m := range a.queues[name].messages {
		m.visible = time.Now()
	}
	a.touch()
}

type entry struct {
	ID                string `json:"Id"`
	ReceiptHandle     string
	VisibilityTimeout int
}

type call struct {
	QueueURL string `json:"QueueUrl"`
	entry
	Entries             []entry
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

// serveQueue answers a call of SQS's JSON protocol.
func (a *Account) serveQueue(n *answer, r *http.Request, op string, body []byte) {
	c := call{entry: entry{VisibilityTimeout: -1}}
	if err := json.Unmarshal(body, &c); err != nil {
		n.fail("sqs", badRequest("SerializationException", err.Error()))
		return
	}
	a.mu.Lock()
	q := a.queues[path.Base(c.QueueURL)]
	a.mu.Unlock()
	if q == nil {
		n.fail("sqs", badRequest("QueueDoesNotExist", "there is no such queue"))
		return
	}
	switch op {
	case "sqs:ReceiveMessage":
		a.receive(r.Context(), n, q, c)
	case "sqs:DeleteMessage":
		a.each(n, []entry{c.entry}, false, func(e entry) *fault { return a.remove(q, e) })
	case "sqs:DeleteMessageBatch":
		a.each(n, c.Entries, true, func(e entry) *fault { return a.remove(q, e) })
	case "sqs:ChangeMessageVisibility":
		a.each(n, []entry{c.entry}, false, func(e entry) *fault { return a.hide(q, e) })
	case "sqs:ChangeMessageVisibilityBatch":
		a.each(n, c.Entries, true, func(e entry) *fault { return a.hide(q, e) })
	case "sqs:SendMessage":
		a.mu.Lock()
		id := a.send(q, c.MessageBody)
		a.mu.Unlock()
		n.json(map[string]string{"MessageId": id, "MD5OfMessageBody": sum(c.MessageBody)})
	default:
		n.fail("sqs", badRequest("UnsupportedOperation", "the sandbox does not know "+op))
	}
}

func sum(s string) string {
	d := md5.Sum([]byte(s)) //nolint:gosec // see the import
	return hex.EncodeToString(d[:])
}

// each does something for every entry, of a batch or of a single call.
func (a *Account) each(n *answer, entries []entry, batch bool, do func(entry) *fault) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if batch && (len(entries) == 0 || len(entries) > 10) {
		n.fail("sqs", badRequest("TooManyEntriesInBatchRequest", "a batch has 1 to 10 entries"))
		return
	}
	var good, bad []map[string]any
	for _, e := range entries {
		switch f := do(e); {
		case f == nil:
			good = append(good, map[string]any{"Id": e.ID})
		case !batch:
			n.fail("sqs", f)
			return
		default:
			bad = append(bad, map[string]any{"Id": e.ID, "Code": f.code, "Message": f.message, "SenderFault": true})
		}
	}
	a.touch()
	if batch {
		n.json(map[string]any{"Successful": good, "Failed": bad})
		return
	}
	n.json(struct{}{})
}

// remove deletes a message by its last receipt. An older one is answered as if
// it had worked.
func (a *Account) remove(q *queue, e entry) *fault {
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

func (a *Account) hide(q *queue, e entry) *fault {
	d := time.Duration(e.VisibilityTimeout) * time.Second
	if d < 0 || d > maxVisibility {
		return badRequest("InvalidParameterValue", "VisibilityTimeout is 0 to 43200 s")
	}
	for _, m := range q.messages {
		if m.handle == e.ReceiptHandle {
			if !m.visible.After(time.Now()) {
				return badRequest("MessageNotInflight", "its time-out is over")
			}
			m.visible = time.Now().Add(d)
			return nil
		}
	}
	return badRequest("ReceiptHandleIsInvalid", "the receipt handle is not known")
}

// Deleted is how many messages of a queue were deleted.
func (a *Account) Deleted(name string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.queues[name].deleted
}

// receive waits as long as was asked for until there is something.
func (a *Account) receive(ctx context.Context, n *answer, q *queue, c call) {
	if c.MaxNumberOfMessages == 0 {
		c.MaxNumberOfMessages = 1
	}
	if c.MaxNumberOfMessages > 10 || c.WaitTimeSeconds > 20 {
		n.fail("sqs", badRequest("InvalidParameterValue", "at most 10 messages and 20 s"))
		return
	}
	until := time.Now().Add(time.Duration(c.WaitTimeSeconds) * time.Second)
	for {
		a.mu.Lock()
		got, next := a.take(q, c)
		changed := a.changed
		a.mu.Unlock()
		if len(got) > 0 || !time.Now().Before(until) {
			n.json(map[string]any{"Messages": got})
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
			n.json(map[string]any{})
			return
		}
	}
}

// take hands out what is visible and says when the next one will be.
func (a *Account) take(q *queue, c call) (got []map[string]any, next time.Time) {
	now := time.Now()
	hidden := q.Visibility
	if c.VisibilityTimeout >= 0 {
		hidden = time.Duration(c.VisibilityTimeout) * time.Second
	}
	kept := q.messages[:0:0]
	for _, m := range q.messages {
		if m.visible.After(now) || len(got) == c.MaxNumberOfMessages {
			if next.IsZero() || m.visible.Before(next) {
				next = m.visible
			}
			kept = append(kept, m)
			continue
		}
		if dead := a.queues[q.DeadLetter]; dead != nil && q.MaxReceiveCount > 0 && m.received >= q.MaxReceiveCount {
			dead.messages = append(dead.messages, m)
			continue
		}
		a.serial++
		m.received++
		m.handle, m.visible = m.id+"/receipt-"+strconv.Itoa(a.serial), now.Add(hidden)
		kept = append(kept, m)
		got = append(got, map[string]any{"MessageId": m.id, "ReceiptHandle": m.handle, "Body": m.body, "MD5OfBody": sum(m.body),
			"Attributes": map[string]string{"ApproximateReceiveCount": strconv.Itoa(m.received), "SentTimestamp": itoa(m.sent.UnixMilli())}})
	}
	q.messages = kept
	return got, next
}
