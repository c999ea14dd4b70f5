package window

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/timebase"
	"liuyun/internal/flow/hub"
)

// cutter turns units into parts and segments. It belongs to the goroutine of Run.
//
// One track leads: the pictures, or the first sound where there are none. It decides
// where segments begin. The others follow: their units wait until the lead has come
// as far, so that they are cut at their frame nearest to the same moment.
type cutter struct {
	g      *Group
	period []hub.Track
	byUnit []*track // by the index of a unit's track; nil is ignored
	tracks []*track // the lead first; those without a track of the period too
	wall   wallClock

	begun   bool // segments are open
	pending hub.Unit
	waiting bool       // pending is the lead's newest unit, whose duration is not known yet
	bounds  []boundary // of the lead's open segment and of earlier ones that others are in
	next    int64      // number of the next segment
	line    int64      // discontinuities so far
	jump    bool       // the next segment is at another time of day, and begins with a key frame
	turned  bool       // with the newest unit a slate begins or ends: without a plan, no segment is in part a slate
	anchor  *anchor    // of the segments of now

	dependent bool          // the lead's open segment begins without a key frame
	shown     int64         // the latest presentation of a unit of the lead
	lastKey   int64         // decode time of the newest key frame; -1 is none
	interval  time.Duration // between the last two key frames
	day       time.Duration // when the last segment ended; what follows is not before it
}

// boundary is where a segment begins.
type boundary struct {
	number        int64
	at            int64         // ticks of the lead, where it is decoded
	shown         int64         // and where its first picture is presented
	wall          time.Duration // what makes a time of the stream one of the world, if hasWall
	hasWall       bool
	discontinuity bool
	line          int64
	dependent     bool    // the lead has no key frame there
	anchor        *anchor // nil where the time of day is not known
}

// begin begins a period. Where the tracks are those of the period before, it goes on.
func (c *cutter) begin(period []hub.Track) error {
	if c.tracks != nil && slices.EqualFunc(c.period, period, sameTrack) {
		return nil
	}
	if err := c.finish(); err != nil {
		return err
	}
	byUnit, order, err := arrange(period)
	if err != nil {
		return err
	}
	c.g.fixPart(period, order)
	tracks := make([]*track, 0, len(order))
	for i, index := range order {
		t, err := c.newTrack(&period[index], renditionName(period, order, i))
		if err != nil {
			return err
		}
		tracks = append(tracks, t)
		byUnit[index] = t
	}
	c.period, c.byUnit = period, byUnit
	c.tracks = append(tracks, c.absent(tracks)...)
	c.lastKey = -1
	return nil
}

func sameTrack(a, b hub.Track) bool {
	return a.Codec == b.Codec && a.Clock == b.Clock && bytes.Equal(a.Config, b.Config) &&
		a.Width == b.Width && a.Height == b.Height && a.Channels == b.Channels && a.Language == b.Language
}

// arrange says which tracks are cut: the first of pictures, which leads, and all
// sound.
func arrange(period []hub.Track) (byUnit []*track, order []int, err error) {
	byUnit = make([]*track, len(period))
	for i := range period {
		if period[i].Codec.Video() {
			order = append(order, i)
			break
		}
	}
	for i := range period {
		if !period[i].Codec.Video() {
			order = append(order, i)
		}
	}
	if len(order) == 0 {
		return nil, nil, fault.New(fault.Invalid, "the stream has neither pictures nor sound: send H.264 and AAC")
	}
	return byUnit, order, nil
}

func renditionName(period []hub.Track, order []int, i int) string {
	pictures := 0
	if period[order[0]].Codec.Video() {
		pictures = 1
	}
	switch n := i - pictures + 1; {
	case n == 0:
		return "video"
	case n == 1:
		return "audio"
	default:
		return fmt.Sprintf("audio%d", n)
	}
}

func (c *cutter) newTrack(source *hub.Track, name string) (*track, error) {
	init, err := newInit(source)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "the %s of the stream cannot be packaged", name)
	}
	if source.Clock <= 0 {
		return nil, fmt.Errorf("%s: clock of %d", name, source.Clock)
	}
	t := c.g.track(c.g.rendition(name), source.Clock, !source.Codec.Video(), nominal(source))
	c.g.setInit(t.r, c.next, init)
	return t, nil
}

// absent are renditions that have no track in this period: they get gaps.
func (c *cutter) absent(present []*track) (others []*track) {
	for _, r := range c.g.all() {
		if r.derived != nil || slices.ContainsFunc(present, func(t *track) bool { return t.r == r }) {
			continue
		}
		others = append(others, c.g.track(r, 90000, true, 1800))
	}
	return others
}

// nominal is what a unit of the track lasts by what is said of it.
func nominal(source *hub.Track) int64 {
	switch {
	case source.Codec == hub.Opus:
		return max(source.Clock/50, 1)
	case !source.Codec.Video():
		return 1024
	case source.Rate.Valid():
		return max(timebase.MulDiv(source.Clock, source.Rate.Den, source.Rate.Num), 1)
	default:
		return source.Clock / 25
	}
}

// write takes a unit.
func (c *cutter) write(u hub.Unit) error {
	var t *track
	if u.Track < len(c.byUnit) {
		t = c.byUnit[u.Track]
	}
	switch {
	case t == nil:
		return nil
	case u.DTS < 0:
		c.g.count(func(h *Health) { h.Dropped++ })
		return nil
	case t == c.tracks[0]:
		if err := c.lead(u); err != nil {
			return err
		}
		return c.follow()
	}
	if len(t.queue) >= maxAhead { // the lead is silent
		t.queue = slices.Delete(t.queue, 0, 1)
		c.g.count(func(h *Health) { h.Dropped++ })
	}
	t.queue = append(t.queue, u)
	return c.follow()
}

// maxAhead is how many frames of sound may wait for pictures: about 10 s.
const maxAhead = 512

// lead takes a unit of the track that leads, and writes the one before it.
func (c *cutter) lead(u hub.Unit) error {
	t := c.tracks[0]
	c.see(t, &u)
	if !c.waiting {
		return c.resume(t, u)
	}
	before := c.pending
	gap := u.DTS - t.cursor
	if gap <= 0 || gap > t.most {
		c.g.count(func(h *Health) { h.Gaps++ })
		if err := c.finish(); err != nil {
			return err
		}
		return c.resume(t, u)
	}
	t.add(&before, gap)
	if d := u.DTS - before.DTS; d > 0 && d <= t.limit {
		t.frame = d
	}
	c.pending = u
	length := t.cursor - t.start
	if u.Key && c.g.breaks.Swap(false) {
		c.jump = true
	}
	c.turned = u.Still != before.Still
	moment, crossed := c.cross(t, u.PTS)
	cut := crossed && c.mayEnd(t, length)
	if moment == none {
		cut = u.Key && c.mayEnd(t, length)
	}
	switch {
	case cut:
	case length+t.frame > t.most+t.frame/2:
		cut = true
		c.g.count(func(h *Health) { h.Dependent++ })
	case c.isFirst() && c.g.o.Soon > 0:
		cut = duration(length, t.clock) >= c.g.o.Soon
	}
	if cut {
		return c.cut(t, moment, false)
	}
	c.g.reached(t, u.DTS)
	return t.endPart()
}

// see notes what a unit tells about key frames and the time of day.
func (c *cutter) see(t *track, u *hub.Unit) {
	at := duration(u.DTS, t.clock)
	if c.wall.see(at, u.Wall, u.Key) {
		c.jump = true
	}
	if t.sound {
		return
	}
	if u.Key && c.lastKey >= 0 && u.DTS > c.lastKey {
		c.interval = duration(u.DTS-c.lastKey, t.clock)
	}
	if u.Key || c.lastKey < 0 {
		c.lastKey = u.DTS
	}
	c.g.count(func(h *Health) {
		h.KeyInterval = c.interval
		h.LongestKeyInterval = max(h.LongestKeyInterval, c.interval)
		h.SinceKey = duration(u.DTS-c.lastKey, t.clock)
	})
}

// mayEnd reports whether a segment of that length ends at a key frame.
func (c *cutter) mayEnd(t *track, length int64) bool {
	o := &c.g.o
	target := o.Segment
	if c.isFirst() { // so that a stream starts soon
		target = min(target, time.Second)
	}
	switch {
	case c.jump, c.dependent, c.turned:
		return true
	case duration(length, t.clock) >= target-o.Part/2:
		return true
	case t.sound:
		return false
	default: // the next key frame would come too late
		return duration(length, t.clock)+c.interval > o.Longest
	}
}

// isFirst reports whether the lead is in the first segment there ever was.
func (c *cutter) isFirst() bool { return c.bounds[len(c.bounds)-1].number == c.g.begins }

// resume begins segments with a unit of the lead, after nothing or a break.
func (c *cutter) resume(t *track, u hub.Unit) error {
	if !u.Key {
		return nil
	}
	gap := u.DTS - t.cursor
	goesOn := t.placed && gap >= -t.frame && gap <= t.limit
	if !goesOn {
		t.cursor, t.placed = u.DTS, true
		for _, other := range c.tracks[1:] {
			other.placed = false
		}
		c.wall.reset(duration(u.DTS, t.clock), u.Wall)
	}
	c.pending, c.waiting, c.begun = u, true, true
	return c.cut(t, none, !goesOn)
}

// none is no moment.
const none = math.MinInt64

// cross notes when a unit of the lead is presented. Where a plan says how far apart
// segments may begin, it returns the last such moment that this is not before, else
// none, and whether this is the first unit since then.
func (c *cutter) cross(t *track, pts int64) (moment int64, first bool) {
	before := c.shown
	c.shown = max(before, pts)
	every := ticks(c.g.every(), t.clock)
	if every <= 0 || t.sound {
		return none, false
	}
	moment = c.shown / every * every
	return moment, before < moment
}

// cut ends the lead's segment, if one is open, and begins the next at its cursor: with
// what is presented at that moment or, where that is none, as the pending unit says.
func (c *cutter) cut(t *track, moment int64, discontinuity bool) error {
	if discontinuity = (discontinuity || c.jump) && c.next > c.g.begins; discontinuity {
		c.line++
	}
	c.jump = false
	c.dependent = !c.pending.Key && moment == none
	shown := moment + t.frame/2 // renditions are cut at the picture nearest to it: not one before the moment
	if moment == none {
		shown = c.pending.PTS
	}
	c.endDay(t)
	if at := duration(t.cursor, t.clock); discontinuity && c.wall.valid && c.wall.offset+at < c.day {
		c.wall.offset = c.day - at
	}
	b := boundary{
		number: c.next, at: t.cursor, shown: max(shown, t.cursor), wall: c.wall.offset, hasWall: c.wall.valid,
		discontinuity: discontinuity, line: c.line, dependent: !c.pending.Key,
	}
	c.moor(t, &b)
	c.next++
	c.bounds = append(c.bounds, b)
	if err := t.turn(&b, b.shown, int64(b.wall+duration(b.at, t.clock))); err != nil {
		return err
	}
	c.g.mark(t, &b)
	return c.hurry(b.number)
}

// endDay notes the time of day at which the lead's open segment ends.
func (c *cutter) endDay(lead *track) {
	if lead.open && len(c.bounds) > 0 {
		if b := c.bounds[len(c.bounds)-1]; b.hasWall {
			c.day = b.wall + duration(lead.cursor, lead.clock)
		}
	}
}

// finish writes what waits, and closes all segments. The next unit of the lead goes
// on, or begins anew where its time is another.
func (c *cutter) finish() error {
	if !c.begun {
		return nil
	}
	lead := c.tracks[0]
	if c.waiting {
		lead.add(&c.pending, lead.frame)
		c.pending, c.waiting = hub.Unit{}, false
	}
	c.endDay(lead)
	if err := c.close(lead); err != nil {
		return err
	}
	for _, t := range c.tracks[1:] {
		if err := c.catchUp(t, c.next); err != nil {
			return err
		}
		if err := c.drain(t); err != nil {
			return err
		}
		if err := c.close(t); err != nil {
			return err
		}
	}
	c.bounds, c.begun = c.bounds[:0], false
	c.g.markEnd(lead)
	return nil
}

// close ends a track's segment with nothing after it.
func (c *cutter) close(t *track) error {
	if !t.open {
		return nil
	}
	if t.cursor == t.start && len(t.samples) == 0 { // nothing has come: a gap as long as the lead's
		lead := c.tracks[0]
		end := c.inTicksOf(t, lead.cursor)
		if err := c.gap(t, max(end, t.cursor+t.frame)); err != nil {
			return err
		}
	}
	return t.end()
}

func (c *cutter) inTicksOf(t *track, at int64) int64 {
	return timebase.MulDiv(at, t.clock, c.tracks[0].clock)
}

func duration(n, clock int64) time.Duration {
	return time.Duration(timebase.MulDiv(n, int64(time.Second), clock))
}

// ticks rounds down.
func ticks(d time.Duration, clock int64) int64 {
	return int64(d/time.Second)*clock + int64(d%time.Second)*clock/int64(time.Second)
}
