package window

import (
	"bytes"
	"context"
	"time"

	"liuyun/internal/av/caption"
	"liuyun/internal/av/dash"
	"liuyun/internal/av/mp4"
	"liuyun/internal/base/fault"
	"liuyun/internal/base/timebase"
)

// captionsBandwidth is what captions take, in bits a second: nobody reads faster.
const captionsBandwidth = 4000

// captionSets are the captions within a period, WebVTT in fragmented MP4: in segments of
// the numbers and times of the lead, up to the open one. A request for that waits until
// it is whole. They may be asked for as early as pictures: for shaka a stream has low
// latency where all that it has may.
func (g *Group) captionSets(a *anchor) (all []dash.LiveSet) {
	if len(g.captions) == 0 {
		return nil
	}
	list, open := g.within(g.renditions[0], a)
	first := open
	if len(list) > 0 {
		first = list[0]
	}
	if first == nil || first.init.Clock == 0 {
		return nil
	}
	i := first.init
	spans := g.spans(list, open, i)
	spans = spans[:min(len(spans), len(list)+1)]
	for _, c := range g.captions {
		name := captionsPrefix + c.language
		all = append(all, dash.LiveSet{Text: true, Lang: c.language, Role: dash.Caption, Rungs: []dash.LiveRung{{
			ID: name, Bandwidth: captionsBandwidth, Codec: mp4.WebVTT, Init: name + "/" + i.uri, Media: name + "/" + periodURI("$Number$", a),
			Timescale: i.Clock, Offset: timebase.MulDiv(a.Zero, i.Clock, int64(time.Second)), Number: first.number, Spans: spans,
			Early: g.early(),
		}}})
	}
	return all
}

// openText returns captions in MP4: an init section, "init7.mp4", or what is shown in a
// segment of a period, "12-7.m4s".
func (g *Group) openText(ctx context.Context, rendition, name string) (*File, error) {
	whole, period := splitPeriod(name)
	number, _, kind := parseName(whole)
	if kind != nameInit && (kind != nameSegment || period < 0) {
		return nil, errNoFile(name)
	}
	p := patience{limit: maxWait * g.o.Longest}
	defer p.end()
	for {
		t, wait, err := g.lookText(rendition, number, period)
		switch {
		case err != nil:
			return nil, err
		case wait == nil:
			return t.open()
		}
		if err := p.await(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// textFile is what a file of captions is made of.
type textFile struct {
	language string
	clock    int64
	segment  *segment // whole; nil for an init section
	cues     []caption.Cue
	caching  Caching
}

// lookText returns what a file is made of, or what to wait for. The period of an init
// section is -1.
func (g *Group) lookText(rendition string, number, period int64) (*textFile, <-chan struct{}, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.captionsNamed(rendition)
	if c == nil || len(g.renditions) == 0 {
		return nil, nil, errNoFile(rendition)
	}
	t := &textFile{language: c.language, caching: g.forFiles()}
	lead := g.renditions[0]
	if period < 0 {
		for _, i := range lead.inits {
			if i.Number == number && i.Clock > 0 {
				t.clock = i.Clock
				return t, nil, nil
			}
		}
		return nil, nil, errNoFile(initURI(number))
	}
	s := lead.find(number)
	if s == nil || s.anchor == nil || s.anchor.Number != period || s.init.Clock == 0 {
		return nil, nil, errNoFile(segmentURI(number))
	}
	if s == lead.open {
		return nil, lead.later(), nil
	}
	t.clock, t.segment, t.cues = s.init.Clock, s, c.frozen[number]
	return t, nil, nil
}

// open makes the file: always of the same bytes, because a segment that is whole does
// not change, and neither do its captions.
func (t *textFile) open() (*File, error) {
	body, err := t.write()
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the captions of the stream cannot be written")
	}
	return &File{Content: bytes.NewReader(body), Size: int64(len(body)), Type: "application/mp4", Caching: t.caching}, nil
}

func (t *textFile) write() ([]byte, error) {
	if t.segment == nil {
		return mp4.AppendTextInit(nil, mp4.TextTrack{Timescale: uint32(t.clock), Language: t.language})
	}
	at := func(d time.Duration) int64 { return timebase.MulDiv(int64(d), t.clock, int64(time.Second)) }
	f := mp4.TextFragment{Sequence: uint32(t.segment.number), Begin: t.segment.begin, End: t.segment.begin + max(at(t.segment.duration), 1)}
	for _, c := range t.cues {
		f.Cues = append(f.Cues, mp4.TextCue{ID: c.ID, Settings: c.Settings, Text: c.Text, Start: at(c.Start), End: at(c.End)})
	}
	return mp4.AppendTextFragment(nil, f)
}
