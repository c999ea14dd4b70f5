package window

import (
	"fmt"
	"time"

	"liuyun/internal/av/dash"
	"liuyun/internal/base/fault"
	"liuyun/internal/base/timebase"
)

// TimeName is the address, relative to that of the manifest, at which a handler of it
// has to tell the time of day.
const TimeName = "time"

// Manifest returns the window as MPEG-DASH of low latency: of the same segments, which
// are offered from their first part on. It is unavailable before each rendition that
// the source sends has a segment, and where the source does not tell the time of day.
func (g *Group) Manifest() (Answer, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.lineup(); !ok {
		return Answer{}, errNotYet()
	}
	version := g.manifestVersion()
	if g.mpd.bytes == nil || g.mpd.version != version {
		l := g.live()
		if len(l.Periods) == 0 {
			return Answer{}, errNotYet()
		}
		body, err := l.AppendTo(make([]byte, 0, len(g.mpd.bytes)+4096))
		if err != nil {
			return Answer{}, fault.Wrap(err, fault.Internal, "the DASH manifest of the stream cannot be written")
		}
		g.mpd = g.o.Buffers.text(version, body)
	}
	return g.mpd.answer(g.caching(Query{MSN: -1})), nil
}

// manifestVersion changes with what the manifest says: not with each part.
func (g *Group) manifestVersion() int64 {
	version := (g.first*31+int64(g.events.version))*31 + int64(len(g.captions))
	for _, r := range g.renditions {
		version = version*31 + int64(len(r.segments))
		if n := len(r.segments); n > 0 {
			version = version*31 + r.segments[n-1].number
		}
		if r.open != nil {
			version = version*31 + 1
		}
		if r.open != nil && len(r.open.parts) > 0 {
			version = version*31 + 1
		}
	}
	if g.ended {
		version++
	}
	return version
}

// latency is how far behind players should be that know low latency.
func (g *Group) latency() time.Duration {
	g.lag = max(g.lag, g.lagging())
	return max(5*g.partTarget, 1500*time.Millisecond).Round(100*time.Millisecond) + g.lag
}

// lagging is how far what is made of the stream comes behind it, rounded up.
func (g *Group) lagging() (lag time.Duration) {
	const step = 500 * time.Millisecond
	head := func(r *rendition) time.Duration {
		if r.open == nil || r.init().Clock == 0 {
			return 0
		}
		return duration(r.open.begin, r.init().Clock) + r.open.lasts()
	}
	source := head(g.renditions[0])
	for _, r := range g.renditions {
		if at := time.Duration(0); r.derived != nil && r.going && len(r.inits) > 0 {
			if at = head(r); at > 0 && source > at {
				lag = max(lag, source-at-g.partTarget)
			}
		}
	}
	return min((lag+step-1)/step*step, g.o.Longest)
}

func (g *Group) live() *dash.Live {
	latency := g.latency()
	l := &dash.Live{
		Published: time.Now(), Update: time.Second, Depth: g.o.Keep, Delay: latency, Latency: latency,
		MinBuffer: max(2*g.partTarget, time.Second), MaxSegment: g.o.Segment, Timing: TimeName,
	}
	anchors, peaks := g.anchors(), g.peaks()
	for i, a := range anchors {
		if i > 0 && i == len(anchors)-1 && !g.hasAll(a) {
			break
		}
		p := g.period(a, peaks)
		if len(p.Sets) > 0 {
			l.Periods = append(l.Periods, p)
		}
		for _, set := range p.Sets {
			for i := range set.Rungs {
				l.MaxSegment = max(l.MaxSegment, set.Rungs[i].Longest())
			}
		}
	}
	for i := 1; i < len(l.Periods); i++ { // a period may be over before the next begins
		before := &l.Periods[i-1]
		before.Duration = min(before.Duration, l.Periods[i].Start.Sub(before.Start))
	}
	if n := len(l.Periods); n > 0 {
		last := &l.Periods[n-1]
		if g.ended {
			l.Update, l.End = 0, last.Start.Add(last.Duration)
		} else {
			last.Duration = 0
		}
	}
	return l
}

// anchors are the periods of which there are segments, the oldest first.
func (g *Group) anchors() (all []*anchor) {
	lead := g.renditions[0]
	see := func(s *segment) {
		if s.anchor != nil && (len(all) == 0 || all[len(all)-1].Number != s.anchor.Number) {
			all = append(all, s.anchor)
		}
	}
	for _, s := range lead.listed(g.first) {
		if !s.gap {
			see(s)
		}
	}
	if lead.open != nil && len(lead.open.parts) > 0 {
		see(lead.open)
	}
	return all
}

// hasAll reports whether a period has all that goes on. Shaka takes no notice of what
// comes to a period later than the period itself, and stands still where that is the
// sound. What does not come is waited for until a segment is whole.
func (g *Group) hasAll(a *anchor) bool {
	if list, _ := g.within(g.renditions[0], a); len(list) > 0 {
		return true
	}
	for _, r := range g.renditions {
		if _, ok := g.representation(r, a); !ok && (r.derived == nil || r.going) {
			return false
		}
	}
	return true
}

// peaks are what renditions take at most, in bits a second, over all periods: dash.js loses
// one whose place in the order of rates changes, or that a new period knows nothing of.
func (g *Group) peaks() map[string]int64 {
	peaks := make(map[string]int64, len(g.renditions))
	for _, r := range g.renditions {
		peaks[r.name] = measure(r.listed(g.first), g.o.Longest).peak
		if planned := g.planned(r.name); planned != nil {
			peaks[r.name] = max(peaks[r.name], planned.Bitrate)
		}
	}
	return peaks
}

// period describes one of them.
func (g *Group) period(a *anchor, peaks map[string]int64) dash.LivePeriod {
	p := dash.LivePeriod{ID: fmt.Sprint("p", a.Number), Start: time.Unix(0, a.Day)}
	var pictures dash.LiveSet
	var sound []dash.LiveSet
	for _, r := range g.renditions {
		rung, ok := g.representation(r, a)
		if !ok || r.derived == nil && r.init().Channels == 0 && g.plan.WithoutSource {
			continue
		}
		rung.Bandwidth = peaks[r.name]
		last := rung.Spans[len(rung.Spans)-1]
		end := duration(last.Start+last.Duration-rung.Offset, rung.Timescale)
		p.Duration = max(p.Duration, end.Truncate(time.Millisecond))
		i := r.init()
		if i.Channels == 0 {
			pictures.Rungs = append(pictures.Rungs, rung)
			continue
		}
		sound = append(sound, dash.LiveSet{
			Lang: i.Language, Role: dash.Main, Channels: i.Channels, SampleRate: i.Sampling,
			Made: g.made(r, a), Rungs: []dash.LiveRung{rung},
		})
	}
	if len(pictures.Rungs) > 0 {
		pictures.Video, pictures.Role, pictures.Made = true, dash.Main, g.made(g.renditions[0], a)
		pictures.Schemes = g.events.schemes()
		p.Sets = append(p.Sets, pictures)
	}
	p.Sets = append(p.Sets, sound...)
	if len(p.Sets) > 0 {
		p.Sets = append(p.Sets, g.captionSets(a)...)
		p.Events = g.events.streams(a, int64(p.Duration))
	}
	return p
}

// made is when the newest segment of a period was made.
func (g *Group) made(r *rendition, a *anchor) dash.Made {
	for i := len(r.segments) - 1; i >= 0; i-- {
		if s := r.segments[i]; s.anchor != nil && s.anchor.Number == a.Number && s.time != 0 && !s.gap {
			return dash.Made{At: time.Unix(0, s.time), Ticks: s.begin}
		}
	}
	return dash.Made{}
}

// representation describes a rendition within a period: its segments from the first
// that is there to the last, that which is open, and the next one, for which a request
// waits until it is.
func (g *Group) representation(r *rendition, a *anchor) (rung dash.LiveRung, ok bool) {
	list, open := g.within(r, a)
	if len(list) == 0 && open == nil {
		return rung, false
	}
	first := open
	if len(list) > 0 {
		first = list[0]
	}
	i := first.init
	if i.Clock == 0 {
		return rung, false
	}
	rung = dash.LiveRung{
		ID: r.name, Codec: i.Codec, Width: i.Width, Height: i.Height, Init: r.name + "/" + i.uri, Media: r.name + "/" + periodURI("$Number$", a),
		Timescale: i.Clock, Offset: timebase.MulDiv(a.Zero, i.Clock, int64(time.Second)), Number: first.number,
		Early: g.early(),
	}
	if i.Channels == 0 {
		rung.FrameRate = r.rate()
	}
	rung.Spans = g.spans(list, open, i)
	return rung, true
}

// early is how long before it is whole a segment may be asked for.
func (g *Group) early() time.Duration { return g.o.Segment - g.partTarget }

// within returns the segments of a rendition from the first that is there within a
// period to the last, and the open one, or nil.
func (g *Group) within(r *rendition, a *anchor) (list []*segment, open *segment) {
	list = r.listed(g.first)
	belongs := func(s *segment) bool { return s.anchor != nil && s.anchor.Number == a.Number }
	for len(list) > 0 && (!belongs(list[0]) || list[0].gap) {
		list = list[1:]
	}
	n := 0
	for i, s := range list {
		if belongs(s) && !s.gap {
			n = i + 1
		}
	}
	open = r.open
	if open != nil && (!belongs(open) || len(open.parts) == 0 || open.parts[0].gap) {
		open = nil
	}
	return list[:n], open
}

// periodURI is the name of a segment in DASH. It has the period in it, because players
// ask for the next segment before it is known that another period begins with it, and
// what they would get then is not for the decoder that they have.
func periodURI(number string, a *anchor) string { return fmt.Sprintf("%s-%d.m4s", number, a.Number) }

// spans are when segments are presented, each until the next one. The open one is
// expected to be as long as it usually is, and another one after it. Sound is cut
// between its frames: it is expected to be a frame longer, because players ask for
// what they have already got where a segment ends later than they were told.
func (g *Group) spans(list []*segment, open *segment, i *initSection) []dash.Span {
	clock, frame := i.Clock, int64(0)
	if i.Channels > 0 {
		frame = clock / 40
	}
	all := make([]dash.Span, 0, len(list)+2)
	end := int64(0)
	add := func(begin, lasts int64) {
		begin = max(begin, end)
		if n := len(all); n > 0 && end > 0 { // what was there before is shown until then
			all[n-1].Duration = max(begin-all[n-1].Start, 1)
		}
		all = append(all, dash.Span{Start: begin, Duration: max(lasts, 1)})
		end = begin + 1
	}
	for _, s := range list {
		add(s.begin, ticks(s.duration, clock))
	}
	if open != nil && (len(list) == 0 || list[len(list)-1].number+1 == open.number) {
		expected := max(g.expected(open.number), open.lasts())
		next := open.begin + ticks(expected, clock) + frame
		add(open.begin, next-open.begin)
		add(next, ticks(g.expected(open.number+1), clock))
	}
	return all
}

// expected is how long a segment will be, if key frames go on as they do.
func (g *Group) expected(number int64) time.Duration {
	target := g.o.Segment
	if number == g.begins {
		target = min(target, time.Second)
		if g.o.Soon > 0 {
			return g.o.Soon
		}
	}
	every := g.health.KeyInterval
	if every <= 0 || every > g.o.Longest {
		return target
	}
	count := (target - g.o.Part/2 + every - 1) / every
	return max(count, 1) * every
}
