package srt

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	gosrt "github.com/datarhei/gosrt"

	"liuyun/internal/base/fault"
	"liuyun/internal/flow/ingest"
	"liuyun/internal/flow/ts"
)

// Server takes in encoders and gives streams to readers. Desk and Log must be set.
type Server struct {
	Desk ingest.Desk
	Log  *slog.Logger
	// Passphrase is what all connections are encrypted with; "" is none.
	Passphrase string
	// Sent counts bytes that a reader of a stream was sent; nil counts nothing.
	Sent func(stream string, bytes int64)

	asking, connected ingest.Quota
	running           sync.WaitGroup
}

// Serve takes in callers until ctx ends; then all connections are closed, and Serve
// returns when all are gone. It closes the listener.
func (s *Server) Serve(ctx context.Context, l *Listener) error {
	s.asking = ingest.Quota{Most: mostAsking, MostOfOne: mostAsking}
	s.connected = ingest.Quota{Most: mostConnections, MostOfOne: mostOfOne}
	stop := context.AfterFunc(ctx, l.Close)
	defer l.Close()
	defer stop()
	for {
		caller, err := l.Accept2()
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			return fault.Wrap(err, fault.Unavailable, "the SRT listener ended by itself")
		}
		host := ingest.HostOf(caller.RemoteAddr())
		if !s.asking.Take(host) {
			caller.Reject(gosrt.REJX_OVERLOAD)
			continue
		}
		s.running.Go(func() {
			answered := sync.OnceFunc(func() { s.asking.Give(host) })
			defer answered()
			s.serve(ctx, caller, host, answered)
		})
	}
	s.running.Wait()
	return nil
}

// serve is the life of one connection. It calls answered when the caller is let in.
func (s *Server) serve(ctx context.Context, caller gosrt.ConnRequest, host string, answered func()) {
	log := s.Log.With("from", caller.RemoteAddr().String())
	want, err := parseStreamID(caller.StreamId())
	if err != nil {
		log.Warn("a caller was refused", "reason", fault.Message(err))
		caller.Reject(reasonOf(err, false))
		return
	}
	if !s.connected.Take(host) {
		log.Warn("a caller was refused", "reason", "there are too many connections, or too many from this address")
		caller.Reject(gosrt.REJX_OVERLOAD)
		return
	}
	defer s.connected.Give(host)
	if why, ok := s.unlock(caller); !ok {
		log.Warn("a caller was refused", "reason", "the passphrase is missing, wrong or not expected")
		caller.Reject(why)
		return
	}
	if want.publish {
		s.publish(ctx, caller, want, answered, log)
	} else {
		s.play(ctx, caller, want, answered, log)
	}
}

// unlock agrees on the encryption with a caller, or says why it cannot.
func (s *Server) unlock(caller gosrt.ConnRequest) (why gosrt.RejectionReason, ok bool) {
	if caller.IsEncrypted() != (s.Passphrase != "") {
		return gosrt.REJ_UNSECURE, false
	}
	if s.Passphrase != "" && caller.SetPassphrase(s.Passphrase) != nil {
		return gosrt.REJ_BADSECRET, false
	}
	return 0, true
}

// publish takes in what an encoder sends.
func (s *Server) publish(ctx context.Context, caller gosrt.ConnRequest, want request, answered func(), log *slog.Logger) {
	c := &connection{}
	asking, cancel := context.WithTimeout(ctx, askTime)
	in, err := s.Desk.Publish(asking, want.name, ingest.Connection{
		Protocol: "srt", Remote: caller.RemoteAddr().String(), Backup: want.backup, Kick: c.kick, Quality: c.measured,
	})
	cancel()
	if err != nil {
		log.Warn("an encoder was refused", "reason", fault.Message(err))
		caller.Reject(reasonOf(err, true))
		return
	}
	defer in.Close()
	if !c.open(ctx, caller) {
		log.Info("an encoder has not waited for an answer")
		return
	}
	defer c.close()
	answered()
	log.Info("an encoder sends")
	feed := ts.NewFeed(in, log)
	err = c.receive(feed)
	log = log.With("lost", feed.Stats().Lost, "dropped", feed.Dropped())
	switch why := c.kicked(); {
	case why != "":
		log.Info("an encoder was sent away", "reason", why)
	case fault.CodeOf(err) == fault.Invalid || fault.CodeOf(err) == fault.Conflict:
		log.Warn("an encoder was sent away", "reason", fault.Message(err))
	case errors.Is(err, io.EOF):
		log.Info("an encoder has stopped, or was lost")
	default:
		log.Warn("an encoder was lost", "cause", err)
	}
}

// play gives a stream to a reader.
func (s *Server) play(ctx context.Context, caller gosrt.ConnRequest, want request, answered func(), log *slog.Logger) {
	asking, cancel := context.WithTimeout(ctx, askTime)
	program, err := s.Desk.Watch(asking, want.name, want.token)
	cancel()
	if err != nil {
		log.Info("a reader was refused", "stream", want.name, "reason", fault.Message(err))
		caller.Reject(reasonOf(err, false))
		return
	}
	c := &connection{}
	if !c.open(ctx, caller) {
		return
	}
	defer c.close()
	answered()
	log.Info("a reader comes", "stream", want.name)
	defer program.Enter()()
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	s.running.Go(func() { // readers send nothing: this ends with the connection
		defer cancel()
		for buffer := make([]byte, 1500); ; {
			if _, err := c.conn.Read(buffer); err != nil {
				return
			}
		}
	})
	s.running.Go(func() { c.bound(reading) })
	s.running.Go(func() { ingest.Recheck(reading, s.Desk, want.name, want.token, c.kick) })
	w := &paced{ctx: reading, to: c.conn, pause: time.NewTimer(0), sent: func(n int64) {
		if s.Sent != nil {
			s.Sent(want.name, n)
		}
	}}
	defer w.pause.Stop()
	defer w.report()
	err = ts.Send(reading, program.Source().Read(), w)
	if err != nil && reading.Err() == nil {
		log.Info("a reader was sent away", "stream", want.name, "reason", fault.Message(err))
		return
	}
	log.Info("a reader goes", "stream", want.name)
}

// connection is one that was accepted, or soon will be.
type connection struct {
	conn  gosrt.Conn
	stop  func() bool
	deaf  *time.Timer
	heard atomic.Int64 // when media came last, in nanoseconds

	mu      sync.Mutex
	why     string
	quality ingest.Quality
}

// open accepts a caller, unless it was sent away already.
func (c *connection) open(ctx context.Context, caller gosrt.ConnRequest) bool {
	conn, err := caller.Accept()
	if err != nil {
		return false
	}
	c.mu.Lock()
	c.conn = conn
	kicked := c.why != ""
	c.mu.Unlock()
	if kicked {
		conn.Close()
	}
	c.heard.Store(time.Now().UnixNano())
	c.stop = context.AfterFunc(ctx, func() { c.kick("the server is stopping") })
	c.deaf = time.AfterFunc(deafTime, c.endDeaf)
	return true
}

// endDeaf ends a connection from which nothing has come in deafTime, not even an answer
// to an acknowledgement, of which gosrt sends a hundred a second: what let the caller in
// was lost. They ask again four times a second, for three seconds, and gosrt does not
// hear them while it has the connection.
func (c *connection) endDeaf() {
	var s gosrt.Statistics
	if c.conn.Stats(&s); s.Accumulated.PktRecv == 0 && s.Instantaneous.MsRTT == firstRTT {
		c.kick("it has not heard that it is let in, or is gone")
	}
}

func (c *connection) close() {
	c.stop()
	c.deaf.Stop()
	c.conn.Close()
}

// kick ends the connection. SRT has no word for why.
func (c *connection) kick(why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.why == "" {
		c.why = why
	}
	if c.conn != nil {
		go c.conn.Close()
	}
}

func (c *connection) kicked() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.why
}

// receive passes on what comes until the connection ends, or must.
func (c *connection) receive(feed *ts.Feed) error {
	var watching sync.WaitGroup
	defer watching.Wait()
	ended := make(chan struct{})
	defer close(ended)
	watching.Go(func() { c.watch(ended) })
	for buffer := make([]byte, 1500); ; {
		n, err := c.conn.Read(buffer)
		if err != nil {
			return errors.Join(feed.Flush(), err)
		}
		now := time.Now()
		c.heard.Store(now.UnixNano())
		if err := feed.Write(buffer[:n], now); err != nil {
			return err
		}
	}
}

// watch measures the connection each second, and ends it where it is of no use.
func (c *connection) watch(ended <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var s gosrt.Statistics
	for {
		select {
		case <-ended:
			return
		case now := <-tick.C:
			c.conn.Stats(&s)
			c.note(s)
			if now.Sub(time.Unix(0, c.heard.Load())) > silentTime {
				c.kick("nothing has come for a while")
			}
			if s.Instantaneous.ByteRecvBuf > mostBuffered {
				c.kick("it sends more than can wait for its time: choose a smaller latency, or fewer bits a second")
			}
		}
	}
}

// mostOfReader is how many bytes of a reader may wait for their time: readers send nothing.
const mostOfReader = 1 << 20

// bound ends a reader that sends, or that has more kept for it than it could want, until
// ctx ends: each side says itself for how long the other one keeps what it has.
func (c *connection) bound(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var s gosrt.Statistics
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.conn.Stats(&s)
			if s.Instantaneous.ByteRecvBuf > mostOfReader || s.Instantaneous.ByteSendBuf > mostBuffered {
				c.kick("it sends, or does not take what it is sent")
			}
		}
	}
}

// note keeps what a second was like, with the seconds before it.
func (c *connection) note(s gosrt.Statistics) {
	const memory = 0.8
	all := s.Interval.PktRecvUnique + s.Interval.PktRecvLoss
	loss := 0.0
	if all > 0 {
		loss = float64(s.Interval.PktRecvLoss) / float64(all)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.quality.Loss = memory*c.quality.Loss + (1-memory)*min(loss, 1)
	c.quality.RTT = time.Duration(s.Instantaneous.MsRTT * float64(time.Millisecond))
}

func (c *connection) measured() ingest.Quality {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.quality
}

// paced writes datagrams to a reader, not too many at once: what it begins with, a
// picture group at least, would not fit the buffers on the way.
type paced struct {
	ctx   context.Context
	to    gosrt.Conn
	pause *time.Timer
	sent  func(int64)
	begun time.Time // of the burst
	burst int       // datagrams
	count int64     // bytes that sent was not told yet
}

// report tells what was sent.
func (p *paced) report() {
	p.sent(p.count)
	p.count = 0
}

const (
	mostBurst  = 64
	burstTime  = 5 * time.Millisecond // 64 datagrams in 5 ms are 130 Mbit/s
	queueTries = 200

	reportBytes = 64 << 10
)

// Write writes one datagram. Where the queue is full it waits: this reader alone lags.
func (p *paced) Write(b []byte) (int, error) {
	now := time.Now()
	if now.Sub(p.begun) > burstTime {
		p.begun, p.burst = now, 0
	}
	if p.burst++; p.burst > mostBurst {
		if err := p.wait(); err != nil {
			return 0, err
		}
		p.begun, p.burst = time.Now(), 1
	}
	for range queueTries {
		n, err := p.to.Write(b)
		if err == nil {
			if p.count += int64(n); p.count >= reportBytes {
				p.report()
			}
			return n, nil
		}
		if err := p.wait(); err != nil {
			return 0, err
		}
	}
	return 0, errors.New("the reader takes nothing")
}

func (p *paced) wait() error {
	p.pause.Reset(burstTime)
	select {
	case <-p.ctx.Done():
		return p.ctx.Err()
	case <-p.pause.C:
		return nil
	}
}
