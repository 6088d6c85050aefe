package trail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"tocsin/bot/health"
)

const (
	maxMessages   = 10               // messages per receive, the maximum of SQS
	longPoll      = 20 * time.Second // wait of one receive, the maximum of SQS
	callTimeout   = 10 * time.Second // for a call, without the wait for messages
	objectTimeout = 10 * time.Minute // for a file with all its records
	maxVisibility = 12 * time.Hour   // the maximum of SQS

	// Bounds of the exponential pause after a failed receive and before the next
	// attempt of a failed message.
	minPollPause, maxPollPause       = time.Second, time.Minute
	minMessagePause, maxMessagePause = 30 * time.Second, 15 * time.Minute
)

// Run receives and processes messages until ctx ends. It then aborts the files being
// read, makes their messages visible again and returns nil.
func (s *Source) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for range s.Pollers {
		all.Go(func() { s.poll(ctx) })
	}
	all.Wait()
	return nil
}

func (s *Source) poll(ctx context.Context) {
	for failures := 0; ctx.Err() == nil; {
		messages, err := s.receive(ctx)
		if ctx.Err() != nil {
			s.releaseMessages(ctx, messages)
			return
		}
		s.Observer.Polled(len(messages), err)
		s.lastErr.Store(&err)
		if err != nil {
			pause := backoff(minPollPause, maxPollPause, failures)
			failures++
			s.Logger.Error("receive messages failed", "err", err, "retry_in", pause)
			sleep(ctx, pause)
			continue
		}
		failures = 0
		s.processMessages(ctx, messages)
	}
}

// Probe returns an error if Amazon refuses requests about the queue. It names a message
// that does not exist, because each receipt of a real one counts towards the dead-letter
// queue.
func (s *Source) Probe(ctx context.Context) error {
	unknown := "tocsin-doctor"
	_, err := s.queue.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{QueueUrl: &s.QueueURL, ReceiptHandle: &unknown})
	var invalid *types.ReceiptHandleIsInvalid
	if err == nil || errors.As(err, &invalid) {
		return nil
	}
	return explain("The queue of the CloudTrail log files", fmt.Errorf("probe queue: %w", err))
}

// ProbeFile returns an error if Amazon refuses to return a log file. The address has the
// form s3://BUCKET/KEY. The file must exist, because S3 answers a request for a missing one
// like one that it does not allow.
func (s *Source) ProbeFile(ctx context.Context, address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "s3" || u.Host == "" || len(u.Path) < 2 {
		return &health.Problem{Cause: fmt.Sprintf("%.200q is not the address of a file in S3", address), Fix: "Write one such as s3://BUCKET/AWSLogs/…/CloudTrail/…json.gz"}
	}
	key := u.Path[1:]
	out, err := s.bucket.GetObject(ctx, &s3.GetObjectInput{Bucket: &u.Host, Key: &key, Range: aws.String("bytes=0-0")})
	if err == nil {
		_, err = io.ReadFull(out.Body, make([]byte, 1))
		_ = out.Body.Close()
	}
	if err != nil {
		return explain("The bucket of the CloudTrail log files (S3)", fmt.Errorf("probe file: %w", err))
	}
	return nil
}

func (s *Source) receive(ctx context.Context) ([]types.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, longPoll+callTimeout)
	defer cancel()
	out, err := s.queue.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &s.QueueURL, MaxNumberOfMessages: maxMessages, WaitTimeSeconds: seconds(longPoll), VisibilityTimeout: seconds(s.Visibility),
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameApproximateReceiveCount},
	})
	if err != nil {
		return nil, fmt.Errorf("receive messages: %w", err)
	}
	return out.Messages, nil
}

func seconds(d time.Duration) int32 { return int32(d / time.Second) }

// backoff returns the pause after a failure that follows the given number of
// failures. It doubles from minimum to maximum, with up to 25 % jitter.
func backoff(minimum, maximum time.Duration, failures int) time.Duration {
	d := min(minimum<<min(failures, 20), maximum)
	return d - rand.N(d/4)
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// heldMessages holds the messages that one poller has received but not finished. It
// is safe for concurrent use.
type heldMessages struct {
	mu       sync.Mutex
	messages map[string]string // receipt handles by message ID
}

func (h *heldMessages) drop(id string) {
	h.mu.Lock()
	delete(h.messages, id)
	h.mu.Unlock()
}

func (h *heldMessages) receipts() map[string]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make(map[string]string, len(h.messages))
	for id, receipt := range h.messages {
		out[id] = receipt
	}
	return out
}

// processMessages processes the messages of one receive in order. Until a message is
// finished, extendVisibility prevents its delivery to another poller.
func (s *Source) processMessages(ctx context.Context, messages []types.Message) {
	h := &heldMessages{messages: map[string]string{}}
	for _, m := range messages {
		h.messages[deref(m.MessageId)] = deref(m.ReceiptHandle)
	}
	extendCtx, stop := context.WithCancel(ctx)
	var extender sync.WaitGroup
	extender.Go(func() { s.extendVisibility(extendCtx, h) })
	defer extender.Wait()
	defer stop()
	for i, m := range messages {
		if ctx.Err() != nil {
			s.releaseMessages(ctx, messages[i:])
			return
		}
		outcome := s.processMessage(ctx, m)
		h.drop(deref(m.MessageId))
		s.finishMessage(ctx, m, outcome)
	}
}

// extendVisibility renews the visibility timeout of the held messages until ctx ends.
// If that fails, another poller can receive a message too. Its records are still
// stored only once.
func (s *Source) extendVisibility(ctx context.Context, h *heldMessages) {
	ticker := time.NewTicker(s.Visibility / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := s.changeVisibility(ctx, h.receipts(), s.Visibility); err != nil && ctx.Err() == nil {
			s.Logger.Warn("extend visibility failed", "err", err)
		}
	}
}

// changeVisibility sets the visibility timeout of messages to d from now.
func (s *Source) changeVisibility(ctx context.Context, receipts map[string]string, d time.Duration) error {
	if len(receipts) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &s.QueueURL}
	for _, receipt := range receipts {
		in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{
			Id: aws.String(strconv.Itoa(len(in.Entries))), ReceiptHandle: aws.String(receipt), VisibilityTimeout: seconds(d)})
	}
	out, err := s.queue.ChangeMessageVisibilityBatch(ctx, in)
	if err != nil {
		return fmt.Errorf("change visibility: %w", err)
	}
	var failed []error
	for _, f := range out.Failed {
		failed = append(failed, fmt.Errorf("change visibility of a message: %s", deref(f.Code)))
	}
	return errors.Join(failed...)
}

// releaseMessages makes messages visible again at shutdown, even though ctx has
// ended.
func (s *Source) releaseMessages(ctx context.Context, messages []types.Message) {
	receipts := map[string]string{}
	for _, m := range messages {
		receipts[deref(m.MessageId)] = deref(m.ReceiptHandle)
		s.Observer.Message(MessageReturned)
	}
	if err := s.changeVisibility(context.WithoutCancel(ctx), receipts, 0); err != nil {
		s.Logger.Warn("release messages failed", "err", err)
	}
}

// finishMessage deletes a processed message. A message with a failed file stays in
// the queue and becomes visible after a pause.
func (s *Source) finishMessage(ctx context.Context, m types.Message, outcome MessageOutcome) {
	if outcome == MessageLeft && ctx.Err() != nil {
		s.releaseMessages(ctx, []types.Message{m})
		return
	}
	s.Observer.Message(outcome)
	if outcome == MessageLeft {
		pause := backoff(minMessagePause, maxMessagePause, receiveCount(m)-1)
		if err := s.changeVisibility(ctx, map[string]string{deref(m.MessageId): deref(m.ReceiptHandle)}, pause.Round(time.Second)); err != nil {
			s.Logger.Warn("delay message failed", "message", deref(m.MessageId), "err", err)
		}
		return
	}
	// Its records are committed. Delete the message even during shutdown.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	if _, err := s.queue.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &s.QueueURL, ReceiptHandle: m.ReceiptHandle}); err != nil {
		s.Logger.Warn("delete message failed", "message", deref(m.MessageId), "err", err)
	}
}

// processMessage reads the files of one message. If one file fails, it still reads
// the others and returns MessageLeft.
func (s *Source) processMessage(ctx context.Context, m types.Message) MessageOutcome {
	notices, outcome := unwrap([]byte(deref(m.Body)))
	if outcome == MessageUnknown || outcome == MessageNotJSON {
		s.Logger.Warn("message without S3 object found", "message", deref(m.MessageId), "outcome", string(outcome))
		if err := s.accept(ctx, []Delivery{s.unreadMessage(deref(m.Body), deref(m.MessageId))}); err != nil {
			outcome = MessageLeft
		}
	}
	for _, n := range notices {
		n.attempt = receiveCount(m)
		start := time.Now()
		result, err := s.processObject(ctx, n)
		s.Observer.Object(result, time.Since(start))
		if err != nil && ctx.Err() == nil {
			s.Logger.Error("read log file failed", "bucket", n.Bucket, "key", n.Key, "attempt", n.attempt, "err", err)
		}
		if err != nil {
			outcome = MessageLeft
		}
	}
	return outcome
}

// receiveCount returns the number of deliveries of a message, at least 1.
func receiveCount(m types.Message) int {
	n, err := strconv.Atoi(m.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)])
	if err != nil {
		return 1
	}
	return max(n, 1)
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
