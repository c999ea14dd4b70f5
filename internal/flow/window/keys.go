package window

import (
	"context"

	"liuyun/internal/av/hls"
	"liuyun/internal/base/fault"
)

// keysName is the playlist of key frames of a rendition.
const keysName = "keys.m3u8"

// Keys returns the playlist of the key frames of a rendition: the first of each whole
// segment, as a range of it. What a viewer sees while looking for a place needs no
// more, and it is bounded as the window is. It waits for a rendition that is planned, as
// Playlist does. Faults: not found for a rendition, or where it has no pictures;
// unavailable before the first segment.
func (g *Group) Keys(ctx context.Context, rendition string) (Answer, error) {
	return g.waited(ctx, func() (Answer, <-chan struct{}, error) { return g.keys(rendition) })
}

// keys returns the answer, or what to wait for.
func (g *Group) keys(rendition string) (Answer, <-chan struct{}, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r, wait, err := g.withSegments(rendition)
	p := g.planned(rendition)
	if r == nil && p != nil && p.Height == 0 || r != nil && r.init().Channels > 0 {
		return Answer{}, nil, fault.New(fault.NotFound, "the stream has no pictures %q", rendition)
	}
	if r == nil {
		return Answer{}, wait, err
	}
	list := r.listed(g.first)
	version := list[0].number<<24 ^ list[len(list)-1].number<<1
	if r.over(g) {
		version++
	}
	if r.keys.bytes == nil || r.keys.version != version {
		body, err := g.describeKeys(r, list).AppendTo(make([]byte, 0, len(r.keys.bytes)+4096))
		if err != nil {
			return Answer{}, nil, fault.Wrap(err, fault.Internal, "the playlist of key frames of the stream cannot be written")
		}
		r.keys = g.o.Buffers.text(version, body)
	}
	return r.keys.answer(g.caching(Query{MSN: -1})), nil, nil
}

func (g *Group) describeKeys(r *rendition, list []*segment) *hls.LivePlaylist {
	p := &hls.LivePlaylist{
		Target: g.o.Longest, KeysOnly: true, MediaSequence: list[0].number, DiscontinuitySequence: list[0].line,
		Ended: r.over(g), Segments: make([]hls.LiveSegment, len(list)),
	}
	if list[0].discontinuity {
		p.DiscontinuitySequence--
	}
	for i, s := range list {
		out := &p.Segments[i]
		start(out, s)
		out.URI, out.Duration, out.Range, out.Gap = s.uri, s.duration, hls.Range{Length: s.key}, s.key == 0 || s.gap
		if out.Gap {
			out.Range = hls.Range{}
		}
	}
	return p
}
