package rtsp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/liberrors"

	"liuyun/internal/base/fault"
	"liuyun/internal/flow/ingest"
)

// Dialer dials an address that may hold a name.
type Dialer func(ctx context.Context, network, address string) (net.Conn, error)

// Puller takes a stream from a camera or a server.
type Puller struct {
	Dial Dialer
	Log  *slog.Logger
}

// mostDials bounds where one may be sent on to.
const mostDials = 5

// Pull plays address, rtsp://[user:password@]host[:port]/path or rtsps://…, and puts
// it into the input, until ctx or the stream ends; it closes neither. Packets come over
// the connection of the requests: over UDP they would go around what is dialled by. An
// error is a fault: invalid where nothing of it can be taken or the address is none,
// forbidden where the password is wrong or it may not be dialled, not found, and
// unavailable for what may be better the next time.
func (p *Puller) Pull(ctx context.Context, address string, in ingest.Input) error {
	u, err := base.ParseURL(address)
	if err != nil || u.Host == "" {
		return fault.New(fault.Invalid, "the address is no rtsp://host/path")
	}
	dials := 0
	tcp := gortsplib.ProtocolTCP
	c := &gortsplib.Client{
		Scheme: u.Scheme, Host: u.Host, Protocol: &tcp, ReadTimeout: readTime, WriteTimeout: writeTime, UserAgent: "liuyun",
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if dials++; dials > mostDials {
				return nil, fault.New(fault.Invalid, "it is sent on and on, from one address to the next")
			}
			return p.Dial(ctx, network, address)
		},
		OnPacketsLost: func(lost uint64) { p.Log.Debug("packets were lost", "count", lost) },
		OnDecodeError: func(err error) { p.Log.Debug("a packet cannot be read", "cause", err) },
	}
	if err := c.Start(); err != nil {
		return fmt.Errorf("start an RTSP client: %w", err)
	}
	stop := context.AfterFunc(ctx, c.Close)
	defer stop()
	defer c.Close()
	err = p.play(ctx, c, u, in)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return explain(err)
}

// play asks for the stream, and waits for its end.
func (p *Puller) play(ctx context.Context, c *gortsplib.Client, u *base.URL, in ingest.Input) error {
	setup, done := context.WithTimeout(ctx, 2*readTime) // for all requests together
	defer done()
	stop := context.AfterFunc(setup, c.Close)
	defer stop()
	d, _, err := c.Describe(u)
	if err != nil {
		return err
	}
	taken, leftOut, err := newReceiver(d)
	if err != nil {
		return err
	}
	if len(leftOut) > 0 {
		p.Log.Warn("of what is pulled some is left out", "tracks", leftOut)
	}
	var failure error
	var once sync.Once
	taken.failed = func(err error) {
		once.Do(func() { failure = err })
		go c.Close() // it waits for the caller
	}
	if err := taken.begin(in); err != nil {
		return err
	}
	defer taken.stop()
	for _, t := range taken.tracks {
		if _, err := c.Setup(d.BaseURL, t.media, 0, 0); err != nil {
			return err
		}
	}
	taken.listen(c)
	if _, err := c.Play(nil); err != nil {
		return err
	}
	stop()
	err = c.Wait()
	taken.stop()
	if failure != nil {
		return failure
	}
	return err
}

// explain makes a fault of what the library says.
func explain(err error) error {
	var known *fault.Error
	var status liberrors.ErrClientBadStatusCode
	switch {
	case err == nil:
		return fault.New(fault.Unavailable, "the stream has ended")
	case errors.As(err, &known):
		return err
	case !errors.As(err, &status):
		return fault.Wrap(err, fault.Unavailable, "the stream was not to be had: %v", err)
	case status.Code == base.StatusUnauthorized, status.Code == base.StatusForbidden:
		return fault.Wrap(err, fault.Forbidden, "it does not let us in; look at user and password in the address")
	case status.Code == base.StatusNotFound:
		return fault.Wrap(err, fault.NotFound, "there is no such stream; look at the path of the address")
	case status.Code == base.StatusUnsupportedTransport:
		return fault.Wrap(err, fault.Invalid, "it sends over UDP only, which is not taken")
	}
	return fault.Wrap(err, fault.Unavailable, "it answers %d %s", status.Code, strings.TrimSpace(status.Message))
}
