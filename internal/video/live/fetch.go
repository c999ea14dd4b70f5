package live

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	avhls "liuyun/internal/av/hls"
	"liuyun/internal/base/fault"
	"liuyun/internal/flow/hls"
	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/ingest"
	"liuyun/internal/flow/rtsp"
	"liuyun/internal/flow/srt"
	"liuyun/internal/flow/ts"
	"liuyun/internal/kit/dial"
	"liuyun/internal/kit/store"
)

const (
	// firstWait is how long a source that failed is left alone at first, and mostWait at
	// most; a failure that is not likely to pass by itself, such as a wrong password,
	// begins with longWait.
	firstWait = time.Second
	longWait  = 10 * time.Second
	mostWait  = time.Minute
	// ranWell is how long a source has run that begins anew with firstWait.
	ranWell = 30 * time.Second
	// lookAgain is how often the records are looked at: another node may change them.
	lookAgain = 3 * time.Second
)

// fetching is all sources that this node fetches.
type fetching struct {
	wake chan struct{}

	// looking is held while the records are looked at; mu never while the store is waited
	// for, as it is taken within transactions, see shown. Looking is taken first.
	looking sync.Mutex

	mu      sync.Mutex
	running map[string]*fetch // by the stream
}

// fetch is one of them.
type fetch struct {
	source source
	log    *slog.Logger
	cancel context.CancelFunc
	done   chan struct{}
	again  chan struct{} // it is tried now

	mu      sync.Mutex
	state   SourceState
	problem string
	next    time.Time
}

func (f *fetch) set(state SourceState, problem string, next time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state, f.problem, f.next = state, problem, next
}

func (f *fetch) show(d *StreamSource) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d.State, d.Problem = f.state, f.problem
	if !f.next.IsZero() {
		next := f.next.UTC()
		d.NextTry = &next
	}
}

// again has a source that waits tried now.
func (g *fetching) again(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f := g.running[id]; f != nil {
		select {
		case f.again <- struct{}{}:
		default:
		}
	}
}

// reconcile has the records looked at now.
func (s *Service) reconcile() {
	select {
	case s.fetching.wake <- struct{}{}:
	default:
	}
}

// fetchAll fetches what the records say until ctx ends.
func (s *Service) fetchAll(ctx context.Context) {
	var working sync.WaitGroup
	defer working.Wait()
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		if err := s.fetchWanted(ctx, &working); err != nil && ctx.Err() == nil {
			s.Log.Warn("the sources of streams were not looked at", "cause", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-s.fetching.wake:
		case <-tick.C:
		}
	}
}

// fetchWanted begins what is to be fetched and ends what is not. What is read and what
// is done about it are one, see unfetch.
func (s *Service) fetchWanted(ctx context.Context, working *sync.WaitGroup) error {
	s.fetching.looking.Lock()
	defer s.fetching.looking.Unlock()
	var list []*stream
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		list, err = queryStreams(tx, `WHERE source_on = 1 AND source_node = ?`, s.Node)
		return err
	})
	if err != nil {
		return err
	}
	wanted := make(map[string]*stream, len(list))
	for _, r := range list {
		wanted[r.ID] = r
	}
	s.fetching.mu.Lock()
	defer s.fetching.mu.Unlock()
	for id, f := range s.fetching.running {
		if r := wanted[id]; r == nil || r.Source != f.source {
			f.cancel()
		}
		select {
		case <-f.done:
			delete(s.fetching.running, id)
		default:
			delete(wanted, id) // when it is over
		}
	}
	for id, r := range wanted {
		fetching, cancel := context.WithCancel(ctx)
		f := &fetch{
			source: r.Source, cancel: cancel, done: make(chan struct{}), again: make(chan struct{}, 1), state: SourceConnecting,
			log: s.Log.With("stream", id, "name", r.Name, "tenant", r.Tenant, "source", kindOf(r.Source)),
		}
		s.fetching.running[id] = f
		working.Go(func() {
			defer s.reconcile()
			defer close(f.done)
			defer cancel()
			s.keep(fetching, f, id)
		})
	}
	return nil
}

// unfetch ends the fetching of a stream whose record is gone, and waits for that.
func (s *Service) unfetch(id string) {
	s.fetching.looking.Lock()
	s.fetching.mu.Lock()
	f := s.fetching.running[id]
	s.fetching.mu.Unlock()
	s.fetching.looking.Unlock()
	if f != nil {
		f.cancel()
		<-f.done
	}
}

// kindOf is a source in the log: its protocol and host.
func kindOf(s source) string {
	if s.Asset != "" {
		return s.Asset
	}
	u, err := url.Parse(s.URL)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// keep fetches one source again and again until ctx ends.
func (s *Service) keep(ctx context.Context, f *fetch, id string) {
	for wait := firstWait; ; {
		f.set(SourceConnecting, "", time.Time{})
		begun := time.Now()
		err := s.fetchOnce(ctx, f, id)
		if ctx.Err() != nil {
			return
		}
		switch {
		case time.Since(begun) > ranWell:
			wait = firstWait
		case fault.CodeOf(err) == fault.Invalid || fault.CodeOf(err) == fault.Forbidden:
			wait = max(wait, longWait)
		}
		why := "the source has ended"
		if err != nil {
			why = fault.Message(err)
		}
		f.log.Warn("a source is tried again", "in", wait, "reason", why, "cause", err)
		f.set(SourceWaiting, why, time.Now().Add(wait))
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
			wait = min(2*wait, mostWait)
		case <-f.again:
			timer.Stop()
			wait = firstWait
		}
	}
}

// fetchOnce fetches a source until it ends.
func (s *Service) fetchOnce(ctx context.Context, f *fetch, id string) error {
	r, err := s.streamOf(ctx, id)
	if err != nil {
		return err
	}
	fetching, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	protocol, pull, err := s.puller(fetching, r.Tenant, f)
	if err != nil {
		return err
	}
	in := &lateInput{open: func() (ingest.Input, error) {
		in, err := s.publish(fetching, r, ingest.Connection{
			Protocol: protocol, Encoder: "source", Remote: hostOf(f.source.URL), Kick: func(why string) { cancel(errors.New(why)) },
		})
		if err == nil {
			f.set(SourceRunning, "", time.Time{})
		}
		return in, err
	}}
	defer in.Close()
	err = pull(fetching, in)
	if cause := context.Cause(fetching); cause != nil && ctx.Err() == nil {
		return fault.Wrap(cause, fault.Unavailable, "%v", cause)
	}
	return err
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host
}

// puller is what fetches a source, by its protocol.
func (s *Service) puller(ctx context.Context, tenant string, f *fetch) (protocol string, pull func(context.Context, ingest.Input) error, err error) {
	address := f.source.URL
	if f.source.Asset != "" {
		prefix, err := s.Published(ctx, tenant, f.source.Asset)
		if err != nil {
			return "", nil, err
		}
		p := &hls.Puller{Fetch: s.objects(prefix), Loop: true, Log: f.log}
		return "file", func(ctx context.Context, in ingest.Input) error { return p.Pull(ctx, published, in) }, nil
	}
	if err := s.checkAddress(address); err != nil {
		return "", nil, err
	}
	allowed, err := dial.New(s.Config.Allow)
	if err != nil {
		return "", nil, err
	}
	switch scheme, _, _ := strings.Cut(address, ":"); scheme {
	case "srt":
		p := &srt.Puller{Dial: allowed.DialContext, Log: f.log}
		return "srt", func(ctx context.Context, in ingest.Input) error { return p.Pull(ctx, address, in) }, nil
	case "rtsp", "rtsps":
		p := &rtsp.Puller{Dial: allowed.DialContext, Log: f.log}
		return "rtsp", func(ctx context.Context, in ingest.Input) error { return p.Pull(ctx, address, in) }, nil
	case "udp":
		u, err := ts.ParseUDP(address)
		return "ts", func(ctx context.Context, in ingest.Input) error { return u.Receive(ctx, in, f.log) }, err
	}
	return "hls", func(ctx context.Context, in ingest.Input) error {
		transport := allowed.Transport()
		defer transport.CloseIdleConnections()
		return (&hls.Web{Client: &http.Client{Transport: transport}, Log: f.log}).Pull(ctx, address, in)
	}, nil
}

// published is the playlist of an asset, as objects fetches it.
const published = "asset:///master.m3u8"

// objects fetches what lies below a prefix: the files of an asset's result.
func (s *Service) objects(prefix string) hls.Fetch {
	return func(ctx context.Context, address string, part avhls.SourceRange) (io.ReadCloser, string, error) {
		u, err := url.Parse(address)
		if err != nil || u.Scheme != "asset" {
			return nil, "", fault.New(fault.Invalid, "%q is no file of the asset", address)
		}
		object, err := s.Objects.Open(ctx, prefix+strings.TrimPrefix(path.Clean("/"+u.Path), "/"))
		if err != nil {
			return nil, "", err
		}
		if part.Length == 0 {
			return object, address, nil
		}
		if _, err := object.Seek(part.Offset, io.SeekStart); err != nil {
			object.Close()
			return nil, "", err
		}
		return struct {
			io.Reader
			io.Closer
		}{io.LimitReader(object, part.Length), object}, address, nil
	}
}

// lateInput is an input that is there when something has come: a stream is not said to
// connect while its source does not answer.
type lateInput struct {
	open func() (ingest.Input, error)

	in     ingest.Input
	expect *[2]bool
}

func (l *lateInput) ready() error {
	if l.in != nil {
		return nil
	}
	in, err := l.open()
	if err != nil {
		return err
	}
	l.in = in
	if l.expect != nil {
		in.Expect(l.expect[0], l.expect[1])
	}
	return nil
}

func (l *lateInput) Expect(pictures, sound bool) {
	if l.in != nil {
		l.in.Expect(pictures, sound)
		return
	}
	l.expect = &[2]bool{pictures, sound}
}

func (l *lateInput) Video(codec hub.Codec, config []byte) error {
	if err := l.ready(); err != nil {
		return err
	}
	return l.in.Video(codec, config)
}

func (l *lateInput) Audio(codec hub.Codec, config []byte) error {
	if err := l.ready(); err != nil {
		return err
	}
	return l.in.Audio(codec, config)
}

func (l *lateInput) Picture(p ingest.Picture) error {
	if err := l.ready(); err != nil {
		return err
	}
	return l.in.Picture(p)
}

func (l *lateInput) Sound(s ingest.Sound) error {
	if err := l.ready(); err != nil {
		return err
	}
	return l.in.Sound(s)
}

func (l *lateInput) Splice(section []byte, pts int64, at time.Time) error {
	if l.in == nil {
		return nil // nothing is on air that it could cut
	}
	return l.in.Splice(section, pts, at)
}

func (l *lateInput) Close() {
	if l.in != nil {
		l.in.Close()
	}
}
