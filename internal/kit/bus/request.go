package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"liuyun/internal/base/fault"
)

const (
	// requestTimeout holds for a request whose ctx has no deadline.
	requestTimeout = 10 * time.Second
	// serveAtOnce bounds the requests of one subject that a node answers at the
	// same time; more wait in the subscription.
	serveAtOnce = 64

	faultHeader   = "Fault"      // code of the fault; the data is its message
	timeoutHeader = "Timeout-Ms" // how long the one who asks will wait
)

// Publish sends v as JSON to all who are subscribed now. It may be lost: there is
// no error when nobody listens or the connection breaks.
func (b *Bus) Publish(subject string, v any) error {
	conn, _, err := b.connection()
	if err != nil {
		return err
	}
	data, err := encode(v)
	if err != nil {
		return err
	}
	return explain(conn.Publish(subject, data), subject)
}

// Subscribe calls fn for each message on the subject, which may hold wildcards,
// one after the other, until stop is called. data is fn's to keep. When fn falls
// behind by 16,384 messages or 16 MiB, more are dropped.
func (b *Bus) Subscribe(subject string, fn func(subject string, data []byte)) (stop func(), err error) {
	conn, _, err := b.connection()
	if err != nil {
		return nil, err
	}
	sub, err := conn.Subscribe(subject, func(m *nats.Msg) { fn(m.Subject, m.Data) })
	if err != nil {
		return nil, explain(err, subject)
	}
	if err = sub.SetPendingLimits(pendingMessages, pendingBytes); err == nil {
		// The next message from another node must find the subscription.
		err = conn.FlushTimeout(requestTimeout)
	}
	if err != nil {
		_ = sub.Unsubscribe() // who tries again hears each message once
		return nil, explain(err, subject)
	}
	return func() { _ = sub.Unsubscribe() }, nil
}

// From is the subject by which a node says in its own name what is said on a subject: an
// Admit that allows this one alone lets it speak for nobody else. Who says it is heard by
// SubscribeFrom and ServeFrom.
func From(subject, node string) string { return subject + "." + node }

// SubscribeFrom is Subscribe to a subject on which nodes speak in their own names; fn is
// told in whose.
func (b *Bus) SubscribeFrom(subject string, fn func(node string, data []byte)) (stop func(), err error) {
	return b.Subscribe(From(subject, "*"), func(of string, data []byte) { fn(of[len(subject)+1:], data) })
}

// ServeFrom is Serve on a subject on which nodes ask in their own names; fn is told in
// whose.
func (b *Bus) ServeFrom(subject string, fn func(ctx context.Context, node string, data []byte) (any, error)) (stop func(), err error) {
	return b.serve(From(subject, "*"), func(ctx context.Context, m *nats.Msg) (any, error) {
		return fn(ctx, m.Subject[len(subject)+1:], m.Data)
	})
}

// Serve answers requests on the subject until stop is called; of several nodes
// that serve it one gets each. fn may run up to 64 times at once. What it returns
// goes back as JSON, a fault with its code and message; the cause stays here.
// ctx ends when the one who asked stops waiting. stop waits for running answers.
func (b *Bus) Serve(subject string, fn func(ctx context.Context, data []byte) (any, error)) (stop func(), err error) {
	return b.serve(subject, func(ctx context.Context, m *nats.Msg) (any, error) { return fn(ctx, m.Data) })
}

func (b *Bus) serve(subject string, fn func(ctx context.Context, m *nats.Msg) (any, error)) (stop func(), err error) {
	conn, _, err := b.connection()
	if err != nil {
		return nil, err
	}
	var running sync.WaitGroup
	slots := make(chan struct{}, serveAtOnce)
	sub, err := conn.QueueSubscribe(subject, "serve", func(m *nats.Msg) {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			b.answer(m, fn)
		})
	})
	if err != nil {
		return nil, explain(err, subject)
	}
	if err := sub.SetPendingLimits(pendingMessages, pendingBytes); err != nil {
		return nil, explain(err, subject)
	}
	if err := conn.FlushTimeout(requestTimeout); err != nil {
		return nil, explain(err, subject)
	}
	return func() { _ = sub.Unsubscribe(); running.Wait() }, nil
}

func (b *Bus) answer(m *nats.Msg, fn func(ctx context.Context, m *nats.Msg) (any, error)) {
	timeout := requestTimeout
	if ms, err := strconv.Atoi(m.Header.Get(timeoutHeader)); err == nil && ms > 0 {
		timeout = min(time.Duration(ms)*time.Millisecond, time.Hour)
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	v, err := b.call(ctx, m, fn)
	reply := nats.NewMsg(m.Reply)
	if err == nil {
		reply.Data, err = encode(v)
	}
	if err != nil {
		if ctx.Err() != nil {
			err = explain(err, m.Subject)
		}
		if fault.CodeOf(err) == fault.Internal {
			b.options.Log.Error("bus: request failed", "subject", m.Subject, "error", err)
		}
		reply.Header.Set(faultHeader, string(fault.CodeOf(err)))
		message := fault.Message(err)
		reply.Data = []byte(message[:min(len(message), MaxMessage)])
	}
	if m.Reply == "" {
		return
	}
	if err := m.RespondMsg(reply); err != nil {
		b.options.Log.Warn("bus: answer not sent", "subject", m.Subject, "error", err)
	}
}

func (b *Bus) call(ctx context.Context, m *nats.Msg, fn func(ctx context.Context, m *nats.Msg) (any, error)) (v any, err error) {
	defer func() {
		if r := recover(); r != nil {
			b.options.Log.Error("bus: panic", "subject", m.Subject, "panic", r, "stack", string(debug.Stack()))
			err = fault.New(fault.Internal, "%s: a defect in the program, see its log", m.Subject)
		}
	}()
	return fn(ctx, m)
}

// Request sends in as JSON to one of those who serve the subject and decodes the
// answer into out, which may be nil. A fault of the other side comes back with
// its code and message. Nobody there, no connection and no answer within ctx's
// deadline (10 s when it has none) are fault.Unavailable: then it is not known
// whether the request was carried out.
func (b *Bus) Request(ctx context.Context, subject string, in, out any) error {
	conn, _, err := b.connection()
	if err != nil {
		return err
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, requestTimeout)
		defer cancel()
	}
	m := nats.NewMsg(subject)
	if m.Data, err = encode(in); err != nil {
		return err
	}
	deadline, _ := ctx.Deadline()
	m.Header.Set(timeoutHeader, strconv.FormatInt(max(time.Until(deadline).Milliseconds(), 1), 10))
	reply, err := conn.RequestMsgWithContext(ctx, m)
	if err != nil {
		return explain(err, subject)
	}
	if code := reply.Header.Get(faultHeader); code != "" {
		return fault.New(fault.Code(code), "%s", reply.Data)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(reply.Data, out); err != nil {
		return fault.Wrap(err, fault.Internal, "%s: the answer is not what was expected; do all nodes run the same version?", subject)
	}
	return nil
}

func encode(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode message: %w", err)
	}
	if len(data) > MaxMessage {
		return nil, fault.New(fault.Limit, "a message of %d bytes is too large for the bus: at most %d", len(data), MaxMessage)
	}
	return data, nil
}
