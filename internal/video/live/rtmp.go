package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path"
	"sync"
	"syscall"
	"time"

	"github.com/bluenviron/gortmplib"
	"github.com/bluenviron/gortmplib/pkg/amf0"
	"github.com/bluenviron/gortmplib/pkg/message"

	"liuyun/internal/av/h264"
	"liuyun/internal/base/fault"
)

// Limits of what comes in. Who has not shown a key yet gets little of everything.
const (
	mostConnections = 1000
	mostOfOne       = 64 // from one address
	mostStrangers   = 64 // that have not shown a key yet
	strangerTime    = 10 * time.Second
	strangerBytes   = 64 << 10
	readTime        = 15 * time.Second // without a byte: the encoder is gone
	writeTime       = 5 * time.Second
	farewellTime    = time.Second
)

// ingress counts connections.
type ingress struct {
	mu        sync.Mutex
	open      map[*connection]struct{}
	from      map[string]int // by address
	strangers int
}

// enter takes in a connection, or says why not.
func (g *ingress) enter(c *connection) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case len(g.open) >= mostConnections:
		return "there are too many encoders"
	case g.from[c.host] >= mostOfOne:
		return "there are too many encoders at this address"
	case g.strangers >= mostStrangers:
		return "too many encoders connect at once"
	}
	g.open[c] = struct{}{}
	g.from[c.host]++
	g.strangers++
	return ""
}

// known counts a connection no longer as one without a key.
func (g *ingress) known(c *connection) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !c.trusted() {
		g.strangers--
		c.trust()
	}
}

func (g *ingress) exit(c *connection) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !c.trusted() {
		g.strangers--
	}
	delete(g.open, c)
	if g.from[c.host]--; g.from[c.host] == 0 {
		delete(g.from, c.host)
	}
}

func (g *ingress) kickAll(why string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.open {
		c.kick(why)
	}
}

// connection is one encoder's. It is the reader and writer that the library works
// on, with limits of time and, before there is a key, of bytes.
type connection struct {
	net  net.Conn
	host string
	gate *gate // of the goroutine that reads

	mu      sync.Mutex
	left    int64     // bytes that a stranger may still send; negative for no limit
	until   time.Time // of the handshake
	because string    // why it is to end, "" goes on
}

func newConnection(n net.Conn, now time.Time) *connection {
	host, _, _ := net.SplitHostPort(n.RemoteAddr().String())
	return &connection{net: n, host: host, gate: newGate(), left: strangerBytes, until: now.Add(strangerTime)}
}

func (c *connection) trusted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.left < 0
}

func (c *connection) trust() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = -1
}

// kick has the next read return, and why be told.
func (c *connection) kick(why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.because == "" {
		c.because = why
		_ = c.net.SetReadDeadline(time.Unix(1, 0)) // closed already: nobody reads
	}
}

func (c *connection) kicked() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.because
}

// errTooMuch ends a stranger that talks and shows no key.
var errTooMuch = errors.New("too many bytes without a stream key")

// Read reads what the encoder sends.
func (c *connection) Read(p []byte) (int, error) {
	c.mu.Lock()
	if c.because != "" {
		c.mu.Unlock()
		return 0, os.ErrDeadlineExceeded
	}
	deadline := time.Now().Add(readTime)
	if c.left >= 0 {
		deadline = c.until
		if c.left == 0 {
			c.mu.Unlock()
			return 0, errTooMuch
		}
		p = p[:min(int64(len(p)), c.left)]
	}
	err := c.net.SetReadDeadline(deadline)
	c.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n, err := c.net.Read(p)
	c.mu.Lock()
	if c.left >= 0 {
		c.left -= int64(n)
	}
	c.mu.Unlock()
	if refused := c.gate.pass(p[:n]); refused != nil {
		return 0, refused
	}
	return n, err
}

// Write sends to the encoder.
func (c *connection) Write(p []byte) (int, error) {
	if err := c.net.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return 0, err
	}
	return c.net.Write(p)
}

// farewell closes the connection so that what was written arrives: what comes in
// meanwhile is read, for a second.
func (c *connection) farewell() {
	defer c.net.Close()
	if half, ok := c.net.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_ = c.net.SetReadDeadline(time.Now().Add(farewellTime))
		_, _ = io.Copy(io.Discard, io.LimitReader(c.net, 4<<20))
	}
}

// Listener is where encoders push by RTMP.
type Listener struct {
	// Address is host:port; "" listens nowhere.
	Address string
	// Optional has the service go on without when the port is taken.
	Optional bool
}

// Run takes in streams until ctx ends; then encoders are told to go, and what is in
// the window is whole on the disk.
func (s *Service) Run(ctx context.Context, on Listener, ready func()) error {
	if err := os.MkdirAll(s.Folder, 0o700); err != nil {
		return err
	}
	if err := s.clean(ctx); err != nil {
		return fmt.Errorf("remove what deleted streams left: %w", err)
	}
	socket, err := s.listen(on)
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	s.mu.Lock()
	s.running = running
	if socket != nil {
		s.listener = socket.Addr().String()
	}
	s.mu.Unlock()
	if err := s.resume(ctx); err != nil {
		return err
	}
	ready()
	encoders := &ingress{open: make(map[*connection]struct{}), from: make(map[string]int)}
	var connections sync.WaitGroup
	if socket != nil {
		context.AfterFunc(ctx, func() { socket.Close() })
		s.accept(running, socket, encoders, &connections)
		if ctx.Err() == nil {
			return fault.New(fault.Unavailable, "the RTMP listener ended by itself")
		}
	}
	<-ctx.Done()
	encoders.kickAll("the server is stopping")
	connections.Wait()
	stop()
	s.work.Wait()
	return nil
}

// listen opens the port, or returns nil where there is none.
func (s *Service) listen(on Listener) (net.Listener, error) {
	if on.Address == "" {
		return nil, nil
	}
	socket, err := net.Listen("tcp", on.Address)
	switch {
	case err == nil:
		s.Log.Info("RTMP is listened for", "address", socket.Addr().String())
		return socket, nil
	case on.Optional && errors.Is(err, syscall.EADDRINUSE):
		s.Log.Warn("no RTMP: another program has the port; choose another with live.rtmp_listen", "address", on.Address)
		return nil, nil
	}
	return nil, fault.Wrap(err, fault.Unavailable, "%s cannot be listened on for RTMP: %v; choose another address with live.rtmp_listen", on.Address, err)
}

// accept takes in connections until the socket is closed.
func (s *Service) accept(ctx context.Context, socket net.Listener, encoders *ingress, connections *sync.WaitGroup) {
	for {
		n, err := socket.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			s.Log.Warn("an encoder was not taken in", "cause", err)
			time.Sleep(100 * time.Millisecond) // out of descriptors: they come back
			continue
		}
		c := newConnection(n, time.Now())
		if why := encoders.enter(c); why != "" {
			s.Log.Warn("an encoder was refused", "from", c.host, "reason", why)
			n.Close()
			continue
		}
		connections.Go(func() {
			defer encoders.exit(c)
			defer c.net.Close()
			s.serve(ctx, c, encoders)
		})
	}
}

// serve is the life of one connection.
func (s *Service) serve(ctx context.Context, c *connection, encoders *ingress) {
	log := s.Log.With("from", c.net.RemoteAddr().String())
	rtmp := &gortmplib.ServerConn{RW: c}
	err := rtmp.Initialize()
	if err == nil {
		err = rtmp.Accept()
	}
	if err != nil {
		log.Info("a connection to the RTMP port came to nothing", "cause", err)
		return
	}
	key := path.Base(rtmp.URL.Path)
	refuse := func(err error) {
		log.Warn("an encoder was refused", "key", maskKey(key), "reason", fault.Message(err))
		c.tell(rtmp, "error", "NetStream.Publish.BadName", fault.Message(err))
	}
	if !rtmp.Publish {
		refuse(fault.New(fault.Invalid, "this port takes streams in and gives none out"))
		return
	}
	joining, cancel := context.WithTimeout(ctx, strangerTime)
	l, err := s.join(joining, key, c, rtmp.FlashVer)
	cancel()
	if err != nil {
		refuse(err)
		return
	}
	encoders.known(c)
	log = l.log.With("from", c.net.RemoteAddr().String())
	log.Info("an encoder sends", "encoder", rtmp.FlashVer)
	err = l.receive(c, rtmp)
	l.leave(c)
	switch why := c.kicked(); {
	case why != "":
		log.Info("an encoder was sent away", "reason", why)
		c.tell(rtmp, "status", "NetStream.Unpublish.Success", why)
	case fault.CodeOf(err) == fault.Invalid || fault.CodeOf(err) == fault.Conflict:
		log.Warn("an encoder was sent away", "reason", fault.Message(err))
		c.tell(rtmp, "error", "NetStream.Publish.Failed", fault.Message(err))
	case errors.Is(err, io.EOF):
		log.Info("an encoder has stopped")
	default:
		log.Warn("an encoder was lost", "cause", err)
	}
}

// tell sends the last word.
func (c *connection) tell(rtmp *gortmplib.ServerConn, level, code, text string) {
	err := rtmp.Write(&message.CommandAMF0{
		ChunkStreamID: 5, MessageStreamID: 0x1000000, Name: "onStatus",
		Arguments: amf0.Data{nil, amf0.Object{{Key: "level", Value: level}, {Key: "code", Value: code}, {Key: "description", Value: text}}},
	})
	if err == nil {
		c.farewell()
	}
}

// receive passes on what comes until the connection ends, or must.
func (l *session) receive(c *connection, rtmp *gortmplib.ServerConn) error {
	for {
		m, err := rtmp.Read()
		if err != nil {
			return err
		}
		now := time.Now()
		if err := l.put(c, now, func(f *feed) error { return f.message(m, now) }); err != nil {
			return err
		}
		if command, ok := m.(*message.CommandAMF0); ok && (command.Name == "FCUnpublish" || command.Name == "deleteStream") {
			return io.EOF
		}
	}
}

// message takes one message of RTMP.
func (f *feed) message(m message.Message, now time.Time) error {
	switch m := m.(type) {
	case *message.DataAMF0:
		f.metadata(m.Payload)
	case *message.Video:
		return f.video(m, now)
	case *message.Audio:
		return f.audio(m, now)
	case *message.VideoExSequenceStart, *message.VideoExMultitrack:
		return fault.New(fault.Invalid, "the pictures are not H.264 as RTMP has always carried it; choose H.264 in the encoder")
	case *message.AudioExSequenceStart, *message.AudioExMultitrack:
		return fault.New(fault.Invalid, "the sound is not AAC as RTMP has always carried it; choose AAC in the encoder")
	}
	return nil
}

// metadata learns of what the encoder will send.
func (f *feed) metadata(payload amf0.Data) {
	for _, value := range payload {
		var o amf0.Object
		switch v := value.(type) {
		case amf0.Object:
			o = v
		case amf0.ECMAArray:
			o = amf0.Object(v)
		default:
			continue
		}
		pictures, sound := names(o, "videocodecid"), names(o, "audiocodecid")
		if pictures || sound {
			f.noPictures, f.noSound = !pictures, !sound
		}
	}
}

// names reports whether a codec is named; 0 is none.
func names(o amf0.Object, field string) bool {
	value, found := o.Get(field)
	return found && value != float64(0)
}

func (f *feed) video(m *message.Video, now time.Time) error {
	if m.Codec != message.CodecH264 {
		return fault.New(fault.Invalid, "the pictures are not H.264; choose H.264 in the encoder")
	}
	switch m.Type {
	case message.VideoTypeConfig:
		var sequence, picture [][]byte
		for _, set := range m.AVCConfig.SequenceParameterSets {
			sequence = append(sequence, set.NALUnit)
		}
		for _, set := range m.AVCConfig.PictureParameterSets {
			picture = append(picture, set.NALUnit)
		}
		config, err := h264.Config(sequence, picture)
		if err != nil {
			return fault.Wrap(err, fault.Invalid, "the encoder's H.264 configuration cannot be read")
		}
		return f.setPicture(config, int(m.AVCConfig.LengthSizeMinusOne)+1)
	case message.VideoTypeAU:
		return f.putPicture(m.AU, milliseconds(m.DTS), signed24(m.PTSDelta), now)
	}
	return nil
}

func (f *feed) audio(m *message.Audio, now time.Time) error {
	switch {
	case m.Codec != message.CodecMPEG4Audio:
		return fault.New(fault.Invalid, "the sound is not AAC; choose AAC in the encoder")
	case m.AACType == message.AudioAACTypeConfig && m.AACConfig != nil:
		config, err := m.AACConfig.Marshal()
		if err != nil {
			return fault.Wrap(err, fault.Invalid, "the encoder's AAC configuration cannot be read")
		}
		return f.setSound(config)
	case m.AACType == message.AudioAACTypeAU:
		f.putSound(m.AU, milliseconds(m.DTS), now)
	}
	return nil
}

// milliseconds is a timestamp as it was on the wire.
func milliseconds(d time.Duration) uint32 { return uint32(d / time.Millisecond) }

// signed24 is a composition time: a signed number of 24 bits, which the library
// takes for an unsigned one.
func signed24(d time.Duration) int32 { return int32(uint32(d/time.Millisecond)<<8) >> 8 }

// resume goes on with the streams that were on air here when the server ended:
// their encoders come back on their own.
func (s *Service) resume(ctx context.Context) error {
	list, err := s.unfinished(ctx)
	if err != nil {
		return err
	}
	for _, r := range list {
		if _, err := s.session(r, Reconnecting, func(*session) error { return nil }); err != nil {
			s.Log.Error("the window of a stream was not opened", "stream", r.ID, "cause", err)
		}
	}
	return nil
}
