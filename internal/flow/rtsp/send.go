package rtsp

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"path"
	"strconv"
	"sync"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/liberrors"
	"github.com/pion/rtp"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/timebase"
	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/ingest"
)

// watch returns the stream of an address, a reader of it, and its tracks.
func (h *handler) watch(address, query string) (ingest.Program, *hub.Reader, []hub.Track, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, nil, nil, fault.New(fault.Invalid, "the query of the address cannot be read")
	}
	ctx, cancel := context.WithTimeout(h.ctx, deskTime)
	defer cancel()
	program, err := h.Desk.Watch(ctx, path.Base(address), values.Get("token"))
	if err != nil {
		return nil, nil, nil, err
	}
	r := program.Source().Read()
	first, err := r.Next(ctx)
	if err != nil {
		return nil, nil, nil, fault.Wrap(err, fault.Unavailable, "nothing is on air; try again in a moment")
	}
	return program, r, first.Tracks, nil
}

// describeTracks is what a player of an address is told of its stream. Where tracks are
// set up is said in full: players put together relative addresses in different ways
// where there is a query, and it holds the token.
func describeTracks(tracks []hub.Track, address *base.URL) ([]byte, error) {
	d, _, err := descriptionOf(tracks)
	if err != nil {
		return nil, err
	}
	for i, media := range d.Medias {
		control := address.CloneWithoutCredentials()
		control.Path = path.Join("/", control.Path, "trackID="+strconv.Itoa(i))
		media.Control = control.String()
	}
	return d.Marshal()
}

// outTrack is a track on the way out.
type outTrack struct {
	media *description.Media
	packetizer
	clock int64 // ticks a second, of units and of timestamps alike
}

// packetizer makes packets of units.
type packetizer interface {
	form() format.Format
	// pack returns the packets of a unit. Their timestamps are relative to the unit.
	pack(u hub.Unit) ([]*rtp.Packet, error)
}

// firstType is the payload type of the first track (RFC 3551: dynamic).
const firstType = 96

// descriptionOf describes tracks, and returns what sends them.
func descriptionOf(tracks []hub.Track) (*description.Session, []*outTrack, error) {
	d := &description.Session{}
	var out []*outTrack
	for i, t := range tracks {
		p, err := packetizerOf(t, uint8(firstType+i))
		if err != nil {
			return nil, nil, fault.Wrap(err, fault.Internal, "the stream cannot be described for RTSP")
		}
		media := &description.Media{Type: description.MediaTypeAudio, Formats: []format.Format{p.form()}}
		if t.Codec.Video() {
			media.Type = description.MediaTypeVideo
		}
		d.Medias = append(d.Medias, media)
		out = append(out, &outTrack{media: media, packetizer: p, clock: t.Clock})
	}
	return d, out, nil
}

// player is a session that a stream is sent to. Each has a reader of its own, so that
// it begins at once and a slow one loses what is its own.
type player struct {
	from    net.Addr
	log     *slog.Logger
	id      string // of the stream
	sent    func(stream string, bytes int64)
	program ingest.Program
	reader  *hub.Reader
	known   []hub.Track // that the player was told of
	tracks  []*outTrack
	stream  *gortsplib.ServerStream // for the library: it describes, nothing is written to it

	epoch time.Time // the time of day at the stream's time 0

	ctx    context.Context // of the session, whose calls have none
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	wanted  bool // the player has asked to begin
	running bool
}

// want notes that the player has asked to begin.
func (p *player) want() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wanted = true
}

// start reports whether it is to begin now.
func (p *player) start() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.wanted && !p.running
	p.running = p.running || now
	return now
}

func (p *player) started() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running
}

// newPlayer lets a player in.
func (h *handler) newPlayer(r *gortsplib.ServerHandlerOnSetupCtx) (*player, error) {
	if err := h.enter(r.Conn); err != nil {
		return nil, err
	}
	remote := r.Conn.NetConn().RemoteAddr()
	id := path.Base(r.Path)
	p := &player{from: remote, log: h.Log.With("player", remote.String(), "stream", id), id: id, sent: h.Sent, done: make(chan struct{})}
	err := p.open(h, r.Path, r.Query)
	if err != nil {
		h.door.sessions.Give(p.host())
		return nil, err
	}
	p.ctx, p.cancel = context.WithCancel(h.ctx)
	values, _ := url.ParseQuery(r.Query) // open has read it
	go ingest.Recheck(p.ctx, h.Desk, id, values.Get("token"), func(why string) {
		p.log.Info("a player was sent away", "reason", why)
		p.cancel()
	})
	return p, nil
}

func (p *player) open(h *handler, address, query string) (err error) {
	if p.program, p.reader, p.known, err = h.watch(address, query); err != nil {
		return err
	}
	d, tracks, err := descriptionOf(p.known)
	if err != nil {
		return err
	}
	p.tracks, p.stream = tracks, &gortsplib.ServerStream{Server: h.server, Desc: d}
	return p.stream.Initialize()
}

func (p *player) host() string { return ingest.HostOf(p.from) }

func (p *player) close(cause error) {
	p.cancel()
	if p.started() {
		<-p.done
	}
	p.stream.Close()
	p.log.Info("a player has left", "cause", cause)
}

// run sends until the session or the stream ends. A stream whose tracks become others
// ends for the player, who asks again.
func (p *player) run(session *gortsplib.ServerSession) {
	defer close(p.done)
	defer session.Close()
	chosen := make(map[*description.Media]bool)
	for _, media := range session.Medias() {
		chosen[media] = true
	}
	p.log.Info("a player watches")
	defer p.program.Enter()()
	for {
		item, err := p.reader.Next(p.ctx)
		if err != nil {
			return
		}
		if item.Tracks != nil {
			if !sameTracks(item.Tracks, p.known) {
				p.log.Info("the stream's tracks have changed: its players have to ask again")
				return
			}
			continue
		}
		if item.Unit.Track >= len(p.tracks) || !chosen[p.tracks[item.Unit.Track].media] {
			continue
		}
		if err := p.send(session, p.tracks[item.Unit.Track], item.Unit); err != nil {
			if p.ctx.Err() == nil {
				p.log.Warn("a player was lost", "cause", err)
			}
			return
		}
	}
}

// sameTracks reports whether two periods are one.
func sameTracks(a, b []hub.Track) bool { return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) }

// send sends one unit. It waits for a player that is slow, who then goes on at the
// next key frame that the stream has, or is lost.
func (p *player) send(session *gortsplib.ServerSession, t *outTrack, u hub.Unit) error {
	packets, err := t.pack(u)
	if err != nil {
		p.log.Debug("a unit was left out", "cause", err)
		return nil
	}
	at := time.Duration(timebase.MulDiv(u.PTS, int64(time.Second), t.clock))
	if p.epoch.IsZero() {
		p.epoch = u.Wall.Add(-at)
	}
	bytes := 0
	for _, packet := range packets {
		packet.Timestamp += uint32(u.PTS)
		if err := p.write(session, t.media, packet, p.epoch.Add(at)); err != nil {
			return err
		}
		bytes += packet.MarshalSize()
	}
	if p.sent != nil {
		p.sent(p.id, int64(bytes))
	}
	return nil
}

// pause is how long a full queue is left alone.
const pause = 5 * time.Millisecond

// write queues a packet, once there is room.
func (p *player) write(session *gortsplib.ServerSession, media *description.Media, packet *rtp.Packet, shown time.Time) error {
	for {
		err := session.WritePacketRTPWithNTP(media, packet, shown)
		var full liberrors.ErrServerWriteQueueFull
		if !errors.As(err, &full) {
			return err
		}
		select {
		case <-time.After(pause):
		case <-p.ctx.Done():
			return p.ctx.Err()
		}
	}
}
