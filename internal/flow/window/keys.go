package window

import (
	"liuyun/internal/av/hls"
	"liuyun/internal/base/fault"
)

// keysName is the playlist of key frames of a rendition.
const keysName = "keys.m3u8"

// Keys returns the playlist of the key frames of a rendition: the first of each whole
// segment, as a range of it. What a viewer sees while looking for a place needs no
// more, and it is bounded as the window is. Faults: not found for a rendition, or
// where it has no pictures; unavailable before the first segment.
func (g *Group) Keys(rendition string) (Answer, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.named(rendition)
	if r == nil && len(g.renditions) == 0 || r != nil && len(r.listed(g.first)) == 0 {
		return Answer{}, errNotYet()
	}
	if r == nil || r.init().Channels > 0 {
		return Answer{}, fault.New(fault.NotFound, "the stream has no pictures %q", rendition)
	}
	list := r.listed(g.first)
	version := list[0].number<<24 ^ list[len(list)-1].number<<1
	if r.over(g) {
		version++
	}
	if r.keys.bytes == nil || r.keys.version != version {
		body, err := g.describeKeys(r, list).AppendTo(make([]byte, 0, len(r.keys.bytes)+4096))
		if err != nil {
			return Answer{}, fault.Wrap(err, fault.Internal, "the playlist of key frames of the stream cannot be written")
		}
		r.keys = text{version, body}
	}
	return Answer{Text: r.keys.bytes, Caching: g.caching(Query{MSN: -1})}, nil
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
