package srt

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	gosrt "github.com/datarhei/gosrt"

	"liuyun/internal/base/fault"
	"liuyun/internal/flow/ingest"
	"liuyun/internal/flow/ts"
)

// Dialer dials an address that may hold a name.
type Dialer func(ctx context.Context, network, address string) (net.Conn, error)

// Puller takes a stream from a server that it calls.
type Puller struct {
	Dial Dialer // finds the address, and says whether it may be called
	Log  *slog.Logger
}

// source is an address srt://host:port with its query.
type source struct {
	host, streamID, passphrase string
	latency                    time.Duration
}

const defaultLatency = 120 * time.Millisecond

// CheckAddress says what is wrong with an address to pull from: it has to be
// srt://host:port, with streamid, passphrase and latency (milliseconds) in its query.
func CheckAddress(address string) error {
	_, err := parseAddress(address)
	return err
}

func parseAddress(address string) (source, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "srt" || u.Hostname() == "" || u.Port() == "" {
		return source{}, fault.New(fault.Invalid, "the address is no srt://host:port")
	}
	q := u.Query()
	s := source{host: u.Host, streamID: q.Get("streamid"), passphrase: q.Get("passphrase"), latency: defaultLatency}
	if u.Fragment != "" {
		return source{}, fault.New(fault.Invalid, "the address has a #: write %%23 for it in the stream id")
	}
	if mode := q.Get("mode"); mode != "" && mode != "caller" {
		return source{}, fault.New(fault.Invalid, "the mode of the address is %q: only caller is there", mode)
	}
	if n := len(s.passphrase); n > 0 && (n < ShortestPassphrase || n > LongestPassphrase) {
		return source{}, fault.New(fault.Invalid, "the passphrase has to have %d to %d characters", ShortestPassphrase, LongestPassphrase)
	}
	if len(s.streamID) > gosrt.MAX_STREAMID_SIZE {
		return source{}, fault.New(fault.Invalid, "the stream id has more than %d characters", gosrt.MAX_STREAMID_SIZE)
	}
	if text := q.Get("latency"); text != "" {
		ms, err := strconv.Atoi(text)
		s.latency = time.Duration(ms) * time.Millisecond
		if err != nil || s.latency < 0 || s.latency > LongestLatency {
			return source{}, fault.New(fault.Invalid, "the latency of the address is %q: it has to be milliseconds, %d at most", text, LongestLatency.Milliseconds())
		}
	}
	return s, nil
}

// connectTime is how long a server may take to answer.
const connectTime = 5 * time.Second

// Pull calls address and puts what it sends into the input, until ctx or the stream
// ends; it does not close the input. A stream that ended well is no error. An error is
// a fault: invalid where nothing of it can be taken or the address is none, forbidden
// where it may not be called or does not let us in, and unavailable for what may be
// better the next time.
func (p *Puller) Pull(ctx context.Context, address string, in ingest.Input) error {
	from, err := parseAddress(address)
	if err != nil {
		return err
	}
	host, err := p.allowed(ctx, from.host)
	if err != nil {
		return err
	}
	conn, err := call(ctx, host, from)
	if err != nil {
		return err
	}
	c := &connection{conn: conn}
	c.heard.Store(time.Now().UnixNano())
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		conn.Close()
		close(ended)
	})
	defer func() {
		if stop() {
			conn.Close()
		} else {
			<-ended
		}
	}()
	feed := ts.NewFeed(in, p.Log)
	err = c.receive(feed)
	p.Log.Info("a pull has ended", "lost", feed.Stats().Lost, "dropped", feed.Dropped())
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case c.kicked() != "":
		return fault.New(fault.Unavailable, "%s", c.kicked())
	case errors.Is(err, io.EOF):
		return nil
	}
	return err
}

// allowed finds the address of a host, by a dialer that refuses those that may not be
// called. Nothing is sent by it.
func (p *Puller) allowed(ctx context.Context, host string) (string, error) {
	looking, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	probe, err := p.Dial(looking, "udp", host)
	if err != nil {
		if fault.CodeOf(err) == fault.Forbidden {
			return "", err
		}
		return "", fault.Wrap(err, fault.Unavailable, "%s cannot be found", host)
	}
	defer probe.Close()
	return probe.RemoteAddr().String(), nil
}

// call connects to a server.
func call(ctx context.Context, host string, from source) (gosrt.Conn, error) {
	c := config(from.latency)
	c.StreamId, c.Passphrase, c.ConnectionTimeout, c.Logger = from.streamID, from.passphrase, connectTime, &farewell{}
	type answer struct {
		conn gosrt.Conn
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		conn, err := gosrt.Dial("srt", host, c)
		answers <- answer{conn, err}
	}()
	select {
	case a := <-answers:
		return a.conn, explain(a.err, from.host)
	case <-ctx.Done():
		go func() { // it cannot be called off
			if a := <-answers; a.err == nil {
				a.conn.Close()
			}
		}()
		return nil, ctx.Err()
	}
}

// explain says why a server did not let us in.
func explain(err error, host string) error {
	if err == nil {
		return nil
	}
	if _, text, refused := strings.Cut(err.Error(), "REJECT ("); refused {
		code, _ := strconv.ParseUint(strings.TrimSuffix(text, ")"), 32, 32) // as gosrt writes it
		switch reason := gosrt.RejectionReason(code); reason {
		case gosrt.REJ_BADSECRET, gosrt.REJ_UNSECURE:
			return fault.New(fault.Forbidden, "%s refuses the passphrase, or that there is none", host)
		case gosrt.REJX_FORBIDDEN, gosrt.REJX_UNAUTHORIZED, gosrt.REJ_PEER:
			return fault.New(fault.Forbidden, "%s refuses the stream id", host)
		case gosrt.REJX_NOTFOUND:
			return fault.New(fault.NotFound, "%s has nothing of this stream id now", host)
		default:
			return fault.New(fault.Unavailable, "%s refuses the connection: reason %d", host, reason)
		}
	}
	return fault.Wrap(err, fault.Unavailable, "%s does not answer as an SRT server", host)
}

// farewell has gosrt end as a whole: a dialer's goroutine that reads the socket would
// wait for ever to tell that it is closed, and is only asked in the moment after. So
// the socket is closed when that goroutine, which looks up every three seconds, has
// seen that it is over and waits.
type farewell struct{ silent }

const (
	looksUp  = 3 * time.Second
	closing  = "closing socket"
	allowing = 300 * time.Millisecond
)

// Print is called with what gosrt does.
func (farewell) Print(topic string, _ uint32, _ int, message func() string) {
	if topic == "dial" && message() == closing {
		time.Sleep(looksUp + allowing)
	}
}
