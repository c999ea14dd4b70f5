package window

import (
	"context"
	"errors"
	"strconv"
	"time"

	"liuyun/internal/av/hls"
	"liuyun/internal/base/fault"
)

// Playlist returns the media playlist of a rendition: "video", "audio" and, of
// further tracks of sound, "audio2" …. It waits as q asks (rfc8216bis 6.2.5.2), at
// most three target durations. Faults: invalid for a query that asks for what is too
// far ahead, not found for a rendition, unavailable before the first segment and
// when it has waited for too long.
func (g *Group) Playlist(ctx context.Context, rendition string, q Query) (Answer, error) {
	if q.Part >= 0 && q.MSN < 0 {
		return Answer{}, fault.New(fault.Invalid, "_HLS_part needs _HLS_msn")
	}
	return g.waited(ctx, func() (Answer, <-chan struct{}, error) { return g.playlist(rendition, q) })
}

// waited returns what ask does, once that is there.
func (g *Group) waited(ctx context.Context, ask func() (Answer, <-chan struct{}, error)) (Answer, error) {
	p := patience{limit: maxWait * g.o.Longest}
	defer p.end()
	for {
		answer, wait, err := ask()
		if err != nil || wait == nil {
			return answer, err
		}
		if err := p.await(ctx, wait); err != nil {
			return Answer{}, err
		}
	}
}

// maxWait is how many target durations a request waits (rfc8216bis 6.2.5.2).
const maxWait = 3

// patience is how long one request waits, in all.
type patience struct {
	limit time.Duration
	timer *time.Timer // nil until it waits: most that are asked for the second time do not
}

func (p *patience) await(ctx context.Context, wait <-chan struct{}) error {
	if p.timer == nil {
		p.timer = time.NewTimer(p.limit)
	}
	select {
	case <-wait:
		return nil
	case <-p.timer.C:
	case <-ctx.Done():
		if err := ctx.Err(); !errors.Is(err, context.DeadlineExceeded) {
			return fault.Wrap(err, fault.Canceled, "the request was given up")
		}
	}
	return fault.New(fault.Unavailable, "nothing new has come from the stream for a while: try again")
}

func (p *patience) end() {
	if p.timer != nil {
		p.timer.Stop()
	}
}

// playlist returns the answer, or what to wait for.
func (g *Group) playlist(rendition string, q Query) (Answer, <-chan struct{}, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.captionsNamed(rendition); c != nil {
		return g.captionsPlaylist(c, q)
	}
	r, wait, err := g.withSegments(rendition)
	if r == nil {
		return Answer{}, wait, err
	}
	if !r.over(g) {
		ready, err := r.ready(q, g.partTarget, g.o.Longest)
		if err != nil {
			return Answer{}, nil, err
		}
		if !ready {
			return Answer{}, r.later(), nil
		}
	}
	body, err := g.text(r, q.Skip)
	if err != nil {
		return Answer{}, nil, err
	}
	return body.answer(g.caching(q)), nil, nil
}

// withSegments returns the rendition of that name if it has segments, else what to wait
// for, or why that is in vain.
func (g *Group) withSegments(name string) (*rendition, <-chan struct{}, error) {
	r := g.named(name)
	switch {
	case r == nil && g.planned(name) != nil && !g.ended:
		return nil, g.laterRendition(), nil
	case r == nil && len(g.renditions) > 0:
		return nil, nil, fault.New(fault.NotFound, "the stream has no rendition %q", name)
	case r != nil && r.derived != nil && len(r.listed(g.first)) == 0 && !r.over(g):
		return nil, r.later(), nil
	case r == nil || len(r.listed(g.first)) == 0:
		return nil, nil, errNotYet()
	}
	return r, nil, nil
}

// over reports whether nothing more comes of a rendition.
func (r *rendition) over(g *Group) bool { return g.ended && !r.going && r.open == nil }

// caching of a playlist: what names its version is that version for as long as
// somebody may ask for it; what does not is soon another one.
func (g *Group) caching(q Query) Caching {
	if q.MSN >= 0 {
		return Caching{MaxAge: 6 * g.o.Longest}
	}
	return Caching{MaxAge: time.Second}
}

// forFiles is the caching of what never changes.
func (g *Group) forFiles() Caching {
	return Caching{MaxAge: max(6*g.o.Longest, g.o.Keep), Immutable: true}
}

// later is what one who waits for the next part or segment waits for.
func (r *rendition) later() <-chan struct{} {
	if r.wait == nil {
		r.wait = make(chan struct{})
	}
	return r.wait
}

// ready reports whether the playlist has what q asks for.
func (r *rendition) ready(q Query, partTarget, longest time.Duration) (bool, error) {
	if q.MSN < 0 {
		return true, nil
	}
	whole := r.segments[len(r.segments)-1]
	parts := int64(0) // of the open segment
	last := whole.number
	if r.open != nil && len(r.open.parts) > 0 {
		parts, last = int64(len(r.open.parts)), r.open.number
	}
	msn, part := q.MSN, q.Part
	if msn == whole.number && part >= int64(len(whole.parts)) {
		msn, part = msn+1, 0 // rfc8216bis 6.2.5.2
	}
	if msn > last+2 {
		return false, fault.New(fault.Invalid, "_HLS_msn=%d is too far ahead: the last segment is %d", q.MSN, last)
	}
	if msn == whole.number+1 && part >= parts+advance(partTarget, longest) {
		return false, fault.New(fault.Invalid, "_HLS_part=%d is too far ahead: the last part of segment %d is %d", q.Part, msn, parts-1)
	}
	return msn <= whole.number || msn == last && part >= 0 && part < parts, nil
}

// advance is the Advance Part Limit of rfc8216bis 6.2.5.2, and no less than the parts
// that the longest segment can have: hls.js at standard latency asks for the last part
// of the next segment, which it takes to have as many as the one before.
func advance(partTarget, longest time.Duration) int64 {
	ahead := max(3*time.Second, longest)
	return max(3, int64((ahead+partTarget-1)/partTarget))
}

// text returns the newest version of the playlist. A delta update is not offered
// compressed: it is short, each part has another one, and nothing may delay it.
func (g *Group) text(r *rendition, skip bool) (*text, error) {
	cached := &r.texts[0]
	if skip {
		cached = &r.texts[1]
	}
	if cached.bytes != nil && cached.version == r.version {
		return cached, nil
	}
	p := g.describe(r)
	if skip {
		p.Skip = p.SkipMax()
	}
	body, err := p.AppendTo(make([]byte, 0, len(cached.bytes)+4096))
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the playlist %s of the stream cannot be written", r.name)
	}
	if *cached = g.o.Buffers.text(r.version, body); skip {
		cached.zip = nil
	}
	return cached, nil
}

// describe says what is in the playlist now.
func (g *Group) describe(r *rendition) *hls.LivePlaylist {
	list := r.listed(g.first)
	p := &hls.LivePlaylist{
		Target: g.o.Longest, PartTarget: g.partTarget,
		CanBlockReload: true, PartHoldBack: 3 * g.partTarget, HoldBack: 3 * g.o.Longest, CanSkipUntil: 6 * g.o.Longest,
		MediaSequence: list[0].number, DiscontinuitySequence: list[0].line, Ended: r.over(g),
		Segments: make([]hls.LiveSegment, len(list)),
	}
	if list[0].discontinuity {
		p.DiscontinuitySequence--
	}
	ago := r.openFor()
	for i := len(list) - 1; i >= 0; i-- {
		s := list[i]
		out := &p.Segments[i]
		start(out, s)
		out.URI, out.Duration, out.Gap = s.uri, s.duration, s.gap
		if ago <= 3*g.o.Longest+time.Second { // which of these are told is for the playlist
			out.Parts = parts(s)
		}
		ago += s.duration
	}
	p.Ranges = g.ranges()
	if p.Ended {
		return p
	}
	p.Hint = partName(list[len(list)-1].number+1, 0) // if nothing is open, it comes when the stream does
	if s := r.open; s != nil {
		start(&p.Open, s)
		p.Open.Parts = parts(s)
		p.Hint = partName(s.number, len(s.parts))
	}
	p.Reports = g.reports(r)
	return p
}

func start(out *hls.LiveSegment, s *segment) {
	out.Map, out.Discontinuity = s.init.uri, s.discontinuity
	if s.time != 0 {
		out.Time = time.Unix(0, s.time)
	}
}

func parts(s *segment) []hls.Part {
	list := make([]hls.Part, len(s.parts))
	for i, p := range s.parts {
		list[i] = hls.Part{URI: partName(s.number, i), Duration: p.duration, Independent: p.independent, Gap: p.gap}
	}
	return list
}

func segmentURI(number int64) string { return strconv.FormatInt(number, 10) + ".m4s" }

func partName(number int64, index int) string {
	return strconv.FormatInt(number, 10) + "." + strconv.Itoa(index) + ".m4s"
}

// reports says how far the other renditions have come: the same in the whole playlist
// and in the delta update of one version, whichever is asked for first.
func (g *Group) reports(r *rendition) []hls.Report {
	if r.reported.version == r.version && r.reported.list != nil {
		return r.reported.list
	}
	list := make([]hls.Report, 0, len(g.renditions))
	for _, other := range g.renditions {
		if report, ok := other.report(); ok && other != r {
			list = append(list, report)
		}
	}
	r.reported.version, r.reported.list = r.version, list
	return list
}

// report says how far a rendition has come.
func (r *rendition) report() (hls.Report, bool) {
	report := hls.Report{URI: "../" + r.name + "/media.m3u8"}
	switch n := len(r.segments); {
	case r.open != nil && len(r.open.parts) > 0:
		report.LastMSN, report.LastPart = r.open.number, int64(len(r.open.parts)-1)
	case n > 0 && len(r.segments[n-1].parts) > 0:
		report.LastMSN, report.LastPart = r.segments[n-1].number, int64(len(r.segments[n-1].parts)-1)
	default:
		return report, false
	}
	return report, true
}

func errNotYet() error {
	return fault.New(fault.Unavailable, "the stream has not begun yet: try again in a few seconds")
}
