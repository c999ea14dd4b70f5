package bus

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"liuyun/internal/base/fault"
)

const (
	// reconnectBuffer is what may be sent into a connection that is down; more is
	// refused. It is short: who waits for an answer must learn of the gap.
	reconnectBuffer = 256 << 10
	// A subscription holds this much that its function has not taken yet; what
	// comes above it is dropped, and the log says so.
	pendingMessages = 16_384
	pendingBytes    = 16 << 20
)

// connect makes the client. It returns when there is a connection.
func (b *Bus) connect(ctx context.Context) error {
	connected := make(chan struct{}, 1)
	log := b.options.Log
	options := []nats.Option{
		nats.Name(b.options.Name),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(), // who may come in is asked of the records, which may be away for a while
		nats.RetryOnFailedConnect(true),
		nats.ReconnectBufSize(reconnectBuffer),
		nats.PingInterval(10 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.Timeout(5 * time.Second),
		nats.ConnectHandler(func(*nats.Conn) { connected <- struct{}{} }),
		nats.DisconnectErrHandler(func(conn *nats.Conn, err error) {
			if err != nil && !conn.IsClosed() {
				log.Warn("bus: connection lost", "error", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) {
			log.Info("bus: connected again")
			if b.options.Reconnected != nil {
				b.options.Reconnected()
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			log.Warn("bus: message dropped or refused", "subject", subject, "error", err)
		}),
	}
	url := ""
	if b.embedded() {
		options = append(options, nats.InProcessServer(inProcess{b}), nats.Token(b.token), nats.ReconnectWait(50*time.Millisecond), nats.ReconnectJitter(0, 0))
	} else {
		url = strings.Join(b.options.URLs, ",")
		options = append(options, nats.Secure(b.options.TLS), nats.TLSHandshakeFirst(),
			nats.ReconnectWait(500*time.Millisecond), nats.ReconnectJitter(250*time.Millisecond, 500*time.Millisecond))
	}
	conn, err := nats.Connect(url, options...)
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "the bus cannot be reached")
	}
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(5*time.Second))
	if err != nil {
		conn.Close()
		return fault.Wrap(err, fault.Internal, "the bus has no streams")
	}
	select {
	case <-connected:
	case <-ctx.Done():
		conn.Close()
		return nil
	}
	b.mu.Lock()
	b.conn, b.js = conn, js
	b.mu.Unlock()
	return nil
}

func (b *Bus) disconnect() {
	b.mu.Lock()
	conn := b.conn
	b.conn, b.js = nil, nil
	b.mu.Unlock()
	if conn != nil {
		_ = conn.FlushTimeout(time.Second) // what was published last is a courtesy
		conn.Close()
	}
}

// explain makes a fault of what the client says.
func explain(err error, what string) error {
	var f *fault.Error
	switch {
	case err == nil, errors.As(err, &f):
		return err
	case errors.Is(err, nats.ErrMaxPayload):
		return fault.New(fault.Limit, "%s: a message holds at most %d bytes", what, MaxMessage)
	case errors.Is(err, context.Canceled):
		return fault.Wrap(err, fault.Canceled, "%s: stopped", what)
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrNoStreamResponse):
		return fault.Wrap(err, fault.Unavailable, "%s: nobody answers on the bus", what)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return fault.Wrap(err, fault.Unavailable, "%s: no answer in time", what)
	default:
		return fault.Wrap(err, fault.Unavailable, "%s: the bus failed", what)
	}
}
