package bus

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"liuyun/internal/contract/event"
)

const (
	eventStream   = "EVENTS"
	eventSubjects = "events.>"
	eventAge      = 7 * 24 * time.Hour
	// duplicateWindow is how long the stream knows an event that it has. A relay
	// that was killed between the stream's acknowledgement and the removal of the
	// row publishes it again within seconds of its start.
	duplicateWindow = time.Hour
	retryMin        = 200 * time.Millisecond
	retryMax        = 5 * time.Second
)

// announceSubject carries what Announce tells.
const announceSubject = "announce"

// Announce tells an event to those who watch now, at most once: progress, the
// load of a node. It is kept nowhere.
func (b *Bus) Announce(e event.Event) error {
	b.fill(&e)
	return b.Publish(announceSubject, e)
}

// Announced calls fn for each event that Announce tells on any node, until stop.
func (b *Bus) Announced(fn func(event.Event)) (stop func(), err error) {
	return b.Subscribe(announceSubject, func(_ string, data []byte) {
		var e event.Event
		if json.Unmarshal(data, &e) == nil {
			fn(e)
		}
	})
}

func (b *Bus) fill(e *event.Event) {
	if e.ID == "" {
		e.ID = b.ids.New("evt")
	}
	if e.Time.IsZero() {
		e.Time = time.Now().UTC().Truncate(time.Microsecond)
	}
}

// Events calls fn for the events of all tenants in order, from the one after the
// sequence number `after`, which [Bus.LastEvent] gives for those that come from now
// on; 0 is before the first. It goes on over lost connections until ctx ends (then it returns nil) or fn returns an
// error (then that). Events older than seven days are gone. A number that the
// stream has never reached, because it was made anew, begins at its first.
func (b *Bus) Events(ctx context.Context, after uint64, fn func(seq uint64, e event.Event) error) error {
	for wait := retryMin; ; wait = min(2*wait, retryMax) {
		seq, err := b.startAfter(ctx, after)
		if err == nil {
			wait = retryMin
			after, err = b.follow(ctx, seq, fn)
		}
		var stop stopped
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &stop):
			return stop.reason
		}
		b.options.Log.Debug("bus: events interrupted", "error", err)
		if !sleep(ctx, wait) {
			return nil
		}
	}
}

// LastEvent returns the sequence number of the newest event, 0 when there was
// none yet.
func (b *Bus) LastEvent(ctx context.Context) (uint64, error) {
	last, err := b.lastEvent(ctx)
	return last, explain(err, "events")
}

// stopped marks an error of the function that gets the events.
type stopped struct{ reason error }

func (s stopped) Error() string { return s.reason.Error() }

// startAfter returns the sequence number after which to begin.
func (b *Bus) startAfter(ctx context.Context, after uint64) (uint64, error) {
	last, err := b.lastEvent(ctx)
	if after > last {
		after = 0
	}
	return after, err
}

func (b *Bus) lastEvent(ctx context.Context) (uint64, error) {
	_, js, err := b.connection()
	if err != nil {
		return 0, err
	}
	stream, err := js.Stream(ctx, eventStream)
	if err != nil {
		return 0, err
	}
	return stream.CachedInfo().State.LastSeq, nil
}

// follow reads one ordered consumer until it breaks; it returns the last
// sequence number that fn has had.
func (b *Bus) follow(ctx context.Context, after uint64, fn func(seq uint64, e event.Event) error) (uint64, error) {
	_, js, err := b.connection()
	if err != nil {
		return after, err
	}
	consumer, err := js.OrderedConsumer(ctx, eventStream, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: after + 1, MaxResetAttempts: 3,
	})
	if err != nil {
		return after, err
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(64))
	if err != nil {
		return after, err
	}
	defer messages.Stop()
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return after, err
		}
		seq, e, err := decode(m)
		if err != nil {
			b.options.Log.Error("bus: event skipped", "error", err)
			continue
		}
		if err := fn(seq, e); err != nil {
			return after, stopped{err}
		}
		after = seq
	}
}

func decode(m jetstream.Msg) (seq uint64, e event.Event, err error) {
	meta, err := m.Metadata()
	if err != nil {
		return 0, e, err
	}
	return meta.Sequence.Stream, e, json.Unmarshal(m.Data(), &e)
}

// Consume calls fn for every event in order, beginning with the oldest kept when
// the name durable is new. Of all calls with that name in the whole cluster one
// gets each event, and the next comes only when fn has returned nil; after an
// error, or when the node is lost, the same event comes again. fn must therefore
// bear to see an event twice. It returns nil when ctx ends.
func (b *Bus) Consume(ctx context.Context, durable string, fn func(ctx context.Context, seq uint64, e event.Event) error) error {
	for wait := retryMin; ; wait = min(2*wait, retryMax) {
		err := b.consume(ctx, durable, fn)
		if ctx.Err() != nil {
			return nil
		}
		b.options.Log.Debug("bus: consumer interrupted", "consumer", durable, "error", err)
		if !sleep(ctx, wait) {
			return nil
		}
	}
}

func (b *Bus) consume(ctx context.Context, durable string, fn func(ctx context.Context, seq uint64, e event.Event) error) error {
	_, js, err := b.connection()
	if err != nil {
		return err
	}
	consumer, err := js.CreateOrUpdateConsumer(ctx, eventStream, jetstream.ConsumerConfig{
		Durable: durable, AckPolicy: jetstream.AckExplicitPolicy, AckWait: b.timing.ackWait,
		MaxAckPending: 1, // one at a time, whoever asks
		MaxDeliver:    -1,
	})
	if err != nil {
		return err
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(1), jetstream.PullExpiry(10*time.Second))
	if err != nil {
		return err
	}
	defer messages.Stop()
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		if err := b.take(ctx, durable, m, fn); err != nil {
			return err
		}
	}
}

// take gives one message to fn and acknowledges it, or says when to send it
// again. While fn runs it tells the server that it is at work.
func (b *Bus) take(ctx context.Context, durable string, m jetstream.Msg, fn func(ctx context.Context, seq uint64, e event.Event) error) error {
	seq, e, err := decode(m)
	if err != nil {
		b.options.Log.Error("bus: event skipped", "consumer", durable, "error", err)
		return m.Term()
	}
	working, done := context.WithCancel(ctx)
	var alive sync.WaitGroup
	alive.Go(func() {
		for sleep(working, b.timing.ackWait/3) {
			_ = m.InProgress() // when it fails the event comes twice, as it may
		}
	})
	err = fn(ctx, seq, e)
	done()
	alive.Wait()
	if err == nil {
		return m.DoubleAck(ctx)
	}
	if ctx.Err() == nil {
		b.options.Log.Warn("bus: event will be tried again", "consumer", durable, "event", e.ID, "error", err)
	}
	tries := uint64(1)
	if meta, metaErr := m.Metadata(); metaErr == nil {
		tries = meta.NumDelivered
	}
	return m.NakWithDelay(min(retryMin<<min(tries, 8), 30*time.Second))
}

// prepareEvents makes the stream, or brings its limits and copies up to date.
func (b *Bus) prepareEvents(ctx context.Context, js jetstream.JetStream, replicas int) error {
	_, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: eventStream, Subjects: []string{eventSubjects}, Storage: jetstream.FileStorage,
		MaxAge: eventAge, MaxBytes: int64(b.options.Config.Disk / 4), Discard: jetstream.DiscardOld,
		Duplicates: duplicateWindow, Replicas: replicas,
	})
	return err
}

// sleep waits and reports whether ctx still lives.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// publishEvent puts one event into the stream and returns when it is kept. The
// stream knows an event that it has had within the last hour.
func (b *Bus) publishEvent(ctx context.Context, eventID, kind string, body []byte) error {
	_, js, err := b.connection()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, b.timing.probeWait)
	defer cancel()
	_, err = js.Publish(ctx, "events."+kind, body, jetstream.WithMsgID(eventID), jetstream.WithExpectStream(eventStream))
	if err != nil {
		b.eventFailures.Add(1)
		return explain(err, "publish event")
	}
	b.eventFailures.Store(0)
	return nil
}
