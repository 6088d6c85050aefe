package trail

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

const (
	maxMessages   = 10               // messages of one answer; SQS gives no more
	longPoll      = 20 * time.Second // SQS waits no longer
	callTimeout   = 10 * time.Second // for calls that do not wait
	objectTimeout = 10 * time.Minute // for a file, with all its records
	maxVisibility = 12 * time.Hour   // SQS hides no longer

	// pause after a failure, doubled each time: of a poller that got no answer,
	// and of a message that could not be worked off.
	minPollPause, maxPollPause       = time.Second, time.Minute
	minMessagePause, maxMessagePause = 30 * time.Second, 15 * time.Minute
)

// Run reads the queue until the context ends. What is being worked on then is
// given up and returned to the queue.
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
			s.Logger.Error("no answer from the queue", "error", err, "again_in", pause)
			sleep(ctx, pause)
			continue
		}
		failures = 0
		s.processMessages(ctx, messages)
	}
}

func (s *Source) receive(ctx context.Context) ([]types.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, longPoll+callTimeout)
	defer cancel()
	out, err := s.queue.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &s.QueueURL, MaxNumberOfMessages: maxMessages, WaitTimeSeconds: seconds(longPoll), VisibilityTimeout: seconds(s.Visibility),
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameApproximateReceiveCount},
	})
	if err != nil {
		return nil, fmt.Errorf("receive from the queue: %w", err)
	}
	return out.Messages, nil
}

func seconds(d time.Duration) int32 { return int32(d / time.Second) }

// backoff is the pause after so many failures before this one, with jitter.
func backoff(least, most time.Duration, failures int) time.Duration {
	d := min(least<<min(failures, 20), most)
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

// heldMessages is what one poller has in its hands.
type heldMessages struct {
	mu       sync.Mutex
	messages map[string]string // message id → receipt
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

// processMessages goes through the messages of one answer. All of them stay hidden until
// their turn is over.
func (s *Source) processMessages(ctx context.Context, messages []types.Message) {
	h := &heldMessages{messages: map[string]string{}}
	for _, m := range messages {
		h.messages[deref(m.MessageId)] = deref(m.ReceiptHandle)
	}
	holding, stop := context.WithCancel(ctx)
	var holder sync.WaitGroup
	holder.Go(func() { s.extendVisibility(holding, h) })
	defer holder.Wait()
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

// extendVisibility keeps hiding what is still in the hand. Where that fails, a message may
// come to somebody else too; its records are committed once all the same.
func (s *Source) extendVisibility(ctx context.Context, h *heldMessages) {
	beat := time.NewTicker(s.Visibility / 3)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
		}
		if err := s.changeVisibility(ctx, h.receipts(), s.Visibility); err != nil && ctx.Err() == nil {
			s.Logger.Warn("messages could not be kept hidden", "error", err)
		}
	}
}

// changeVisibility sets for how long from now messages stay hidden.
func (s *Source) changeVisibility(ctx context.Context, receipts map[string]string, d time.Duration) error {
	if len(receipts) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &s.QueueURL}
	for _, receipt := range receipts {
		in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{
			Id: text(strconv.Itoa(len(in.Entries))), ReceiptHandle: text(receipt), VisibilityTimeout: seconds(d)})
	}
	out, err := s.queue.ChangeMessageVisibilityBatch(ctx, in)
	if err != nil {
		return fmt.Errorf("hide messages: %w", err)
	}
	var all []error
	for _, f := range out.Failed {
		all = append(all, fmt.Errorf("hide a message: %s", deref(f.Code)))
	}
	return errors.Join(all...)
}

// releaseMessages makes messages visible for others at once; we are stopping.
func (s *Source) releaseMessages(ctx context.Context, messages []types.Message) {
	receipts := map[string]string{}
	for _, m := range messages {
		receipts[deref(m.MessageId)] = deref(m.ReceiptHandle)
		s.Observer.Message(MessageReturned)
	}
	if err := s.changeVisibility(context.WithoutCancel(ctx), receipts, 0); err != nil {
		s.Logger.Warn("messages could not be returned; the queue brings them later", "error", err)
	}
}

// finishMessage deletes a message that is worked off, and leaves one that is not.
func (s *Source) finishMessage(ctx context.Context, m types.Message, outcome MessageOutcome) {
	if outcome == MessageLeft && ctx.Err() != nil {
		s.releaseMessages(ctx, []types.Message{m})
		return
	}
	s.Observer.Message(outcome)
	if outcome == MessageLeft {
		pause := backoff(minMessagePause, maxMessagePause, receiveCount(m)-1)
		if err := s.changeVisibility(ctx, map[string]string{deref(m.MessageId): deref(m.ReceiptHandle)}, pause.Round(time.Second)); err != nil {
			s.Logger.Warn("the pause of a message could not be set", "message", deref(m.MessageId), "error", err)
		}
		return
	}
	// What is committed is deleted, even while we are stopping.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	if _, err := s.queue.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &s.QueueURL, ReceiptHandle: m.ReceiptHandle}); err != nil {
		s.Logger.Warn("a message could not be deleted; it will come again", "message", deref(m.MessageId), "error", err)
	}
}

// processMessage works one message off.
func (s *Source) processMessage(ctx context.Context, m types.Message) MessageOutcome {
	notices, outcome := unwrap([]byte(deref(m.Body)))
	if outcome == MessageUnknown || outcome == MessageNotJSON {
		s.Logger.Warn("a message of the queue announces no object of S3; it is deleted", "message", deref(m.MessageId), "outcome", string(outcome))
	}
	for _, n := range notices {
		n.attempt = receiveCount(m)
		start := time.Now()
		result, err := s.processObject(ctx, n)
		s.Observer.Object(result, time.Since(start))
		if err != nil && ctx.Err() == nil {
			s.Logger.Error("a file of the trail was not read", "bucket", n.Bucket, "key", n.Key, "attempt", n.attempt, "error", err)
		}
		if err != nil {
			outcome = MessageLeft // the other objects are read nevertheless
		}
	}
	return outcome
}

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
