package peer

import (
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"liuyun/internal/av/opus"
	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/ingest"
)

const mostLayers = 4

// Times of layers and key frames.
const (
	keyEvery   = 2 * time.Second        // one is asked for unless one came
	keyAgain   = 500 * time.Millisecond // the soonest that it is asked for again
	layerGone  = time.Second            // without a packet
	layersWait = 2 * time.Second        // for all that are offered
	pictureGap = 200 * time.Millisecond // that a lost packet is waited for
	soundGap   = 120 * time.Millisecond
)

// layer is one of the sizes in which a publisher sends its pictures at once; without
// simulcast the only one.
type layer struct {
	ask    func() // for a key frame
	clock  *trackClock
	order  reorder
	make   assembler
	pixels int  // of its last key frame; 0: none came
	broken bool // it waits for a key frame

	heard, key, asked time.Time // the last packet, key frame and question for one
}

// alive reports whether packets come.
func (l *layer) alive(now time.Time) bool { return now.Sub(l.heard) < layerGone }

// want asks for a key frame, unless that was done just now.
func (l *layer) want(now time.Time) {
	if now.Sub(l.asked) >= keyAgain {
		l.asked = now
		l.ask()
	}
}

// readVideo takes in one layer until it ends.
func (p *publisher) readVideo(t *webrtc.TrackRemote, r *webrtc.RTPReceiver) {
	l := &layer{order: reorder{wait: pictureGap}, broken: true, clock: newTrackClock(&p.time, 90000)}
	l.ask = func() {
		// An error is that of a connection that is closed.
		_ = p.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(t.SSRC())}})
	}
	if !p.addLayer(l) {
		return
	}
	reports := r.ReadRTCP
	if rid := t.RID(); rid != "" {
		reports = func() ([]rtcp.Packet, interceptor.Attributes, error) { return r.ReadSimulcastRTCP(rid) }
	}
	go p.readReports(reports, l.clock, t, func() bool { return p.chosen == l })
	p.read(t, func(in packet) (err error) {
		l.heard = in.at
		l.order.push(in, func(in packet, lost bool) {
			l.make.put(in, lost, func(c picture) {
				if err == nil {
					err = p.takePicture(l, c, in.at)
				}
			})
		})
		return err
	})
}

func (p *publisher) addLayer(l *layer) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.layers) >= mostLayers {
		return false
	}
	p.layers = append(p.layers, l)
	return true
}

// takePicture hands a picture to the input, if it is of the layer that is used.
func (p *publisher) takePicture(l *layer, c picture, at time.Time) error {
	pts := l.clock.at(c.stamp, at)
	if p.first.IsZero() {
		p.first = at
	}
	if c.set != nil {
		l.pixels = pixels(c.set)
	}
	switch {
	case c.broken:
		l.broken = true
	case c.key:
		l.broken, l.key = false, at
	}
	if l.broken {
		l.want(at)
		return nil
	}
	if !p.choose(l, c.key, at) {
		return nil
	}
	if !p.toldVideo {
		p.toldVideo = true
		if err := p.input.Video(hub.H264, nil); err != nil {
			return err
		}
	}
	// Another layer may come a moment earlier than the one before.
	p.last = max(pts, p.last+1)
	return p.input.Picture(ingest.Picture{Units: c.units, DTS: p.last, PTS: p.last, At: at})
}

// choose reports whether a picture is of the layer to use: the largest that comes.
// Layers change at key frames.
func (p *publisher) choose(l *layer, key bool, at time.Time) bool {
	if l == p.chosen {
		return true
	}
	if !key {
		return false
	}
	switch {
	case p.chosen == nil:
		best, known := p.best(at)
		if known < p.expected && at.Sub(p.first) < layersWait {
			return false
		}
		if best != l {
			best.want(at)
			return false
		}
	case p.chosen.alive(at) && l.pixels <= p.chosen.pixels:
		return false
	}
	l.clock.settle()
	p.chosen = l
	p.log.Info("a WebRTC publisher's layer is used", "pixels", l.pixels, "layers", len(p.layers))
	return true
}

// best is the largest layer that comes, and how many there are of which a key frame
// came.
func (p *publisher) best(now time.Time) (best *layer, known int) {
	for _, l := range p.layers {
		if !l.alive(now) || l.key.IsZero() {
			continue
		}
		known++
		if best == nil || l.pixels > best.pixels {
			best = l
		}
	}
	return best, known
}

// askForKeys asks for those key frames that are due. The caller holds mu.
func (p *publisher) askForKeys(now time.Time) {
	refresh := p.refreshed.Swap(false)
	best, _ := p.best(now)
	for _, l := range p.layers {
		if !l.alive(now) {
			continue
		}
		due := l.broken
		switch {
		case p.chosen == nil:
			due = due || (l == best && now.Sub(p.first) >= layersWait)
		case l == p.chosen:
			due = due || refresh || now.Sub(l.key) >= keyEvery
		default: // it takes over at its key frame
			due = due || (l == best && (!p.chosen.alive(now) || l.pixels > p.chosen.pixels))
		}
		if due {
			l.want(now)
		}
	}
}

// readAudio takes in the sound until it ends.
func (p *publisher) readAudio(t *webrtc.TrackRemote, r *webrtc.RTPReceiver) {
	clock := newTrackClock(&p.time, opus.Rate)
	order := reorder{wait: soundGap}
	go p.readReports(r.ReadRTCP, clock, t, func() bool { return true })
	p.read(t, func(in packet) (err error) {
		order.push(in, func(in packet, _ bool) {
			if err == nil && len(in.payload) > 0 {
				err = p.takeSound(clock, in)
			}
		})
		return err
	})
}

func (p *publisher) takeSound(clock *trackClock, in packet) error {
	if !p.toldSound {
		p.toldSound = true
		if err := p.input.Audio(hub.Opus, opus.Plain(2).Record()); err != nil {
			return err
		}
	}
	return p.input.Sound(ingest.Sound{Data: in.payload, PTS: clock.at(in.stamp, in.at), At: in.at})
}
