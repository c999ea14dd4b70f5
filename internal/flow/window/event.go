package window

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"liuyun/internal/av/dash"
	"liuyun/internal/av/hls"
	"liuyun/internal/av/mp4"
	"liuyun/internal/av/scte35"
	"liuyun/internal/base/fault"
)

// maxEvents is how many of what is told of times the window holds.
const maxEvents = 256

// Schemes of what is told of times in DASH.
const (
	schemeSplice = "urn:scte:scte35:2014:xml+bin" // in the manifest
	schemeBinary = "urn:scte:scte35:2013:bin"     // in segments
	schemeMarker = "urn:liuyun:marker:2026"       // in both: a JSON object
)

// Marker is what somebody tells of a time of a stream.
type Marker struct {
	ID         string // of its own, or "" for one that is made
	Class      string
	At         time.Time // the zero Time is now
	Duration   time.Duration
	Attributes []hls.DateAttribute
}

// event is what is told of a time: of a marker, or of sections of SCTE 35. It stands in
// the journal.
type event struct {
	Number   uint64              `json:"number"`
	ID       string              `json:"id"`
	Class    string              `json:"class,omitempty"`
	At       time.Duration       `json:"at"`  // of the stream
	Day      int64               `json:"day"` // nanoseconds since 1970
	Duration time.Duration       `json:"duration,omitempty"`
	Planned  time.Duration       `json:"planned,omitempty"`
	Command  []byte              `json:"command,omitempty"`
	Out      []byte              `json:"out,omitempty"`
	In       []byte              `json:"in,omitempty"`
	Splice   uint32              `json:"splice,omitempty"` // event of SCTE 35
	Attrs    []hls.DateAttribute `json:"attributes,omitempty"`
}

func (e *event) spliced() bool { return len(e.Command)+len(e.Out)+len(e.In) > 0 }

// eventLog is what is told of times, the oldest first. Group.mu guards it.
type eventLog struct {
	list    []*event
	version uint64
	told    []message // for segments, the newest
	number  uint64    // of the newest message
}

// message is what is told in the segments of pictures once.
type message struct {
	number uint64
	mp4.Event
}

// maxMessages is how many wait for a rendition that is late.
const maxMessages = 16

// Mark tells viewers something of a time of the stream. Faults: unavailable while the
// stream does not say what time it is, invalid for a name that is taken or for too
// many of them.
func (g *Group) Mark(m Marker) (id string, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	e := &event{ID: m.ID, Class: m.Class, Duration: m.Duration, Attrs: slices.Clone(m.Attributes)}
	if m.At.IsZero() {
		m.At = time.Now()
	}
	at, ok := g.moment(m.At)
	if !ok {
		return "", errNotYet()
	}
	e.At, e.Day = at, m.At.UnixNano()
	if e.ID == "" {
		e.ID = fmt.Sprintf("marker-%d-%d", m.At.Unix(), g.events.number+1)
	}
	if err := g.tell(e); err != nil {
		return "", err
	}
	text, err := json.Marshal(markerMessage(e))
	if err != nil {
		return "", fault.Wrap(err, fault.Invalid, "the marker cannot be written")
	}
	g.message(mp4.Event{Scheme: schemeMarker, Time: uint64(max(at/time.Millisecond, 0)), Timescale: 1000, Duration: uint32(min(m.Duration/time.Millisecond, 1<<31)), Message: text})
	return e.ID, nil
}

func markerMessage(e *event) map[string]string {
	all := map[string]string{"id": e.ID}
	if e.Class != "" {
		all["class"] = e.Class
	}
	for _, a := range e.Attrs {
		all[a.Name] = a.Value
	}
	return all
}

// Splice takes a splice_info_section of SCTE 35 that is for a moment of the stream, in
// ticks of 1/90000. One that ends a break says so of the one that began it. What
// cannot be read is passed on as a command.
func (g *Group) Splice(section []byte, pts int64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, err := g.splice(section, duration(pts, 90000))
	return err
}

// SpliceAt takes a section that is for a time of day; the zero Time is now. It returns
// the ID of the range of dates that tells of it.
func (g *Group) SpliceAt(section []byte, day time.Time) (id string, err error) {
	if day.IsZero() {
		day = time.Now()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	at, ok := g.moment(day)
	if !ok {
		return "", errNotYet()
	}
	return g.splice(section, at)
}

func (g *Group) splice(section []byte, at time.Duration) (id string, err error) {
	info, err := scte35.Parse(section)
	if err != nil {
		return "", fault.Wrap(err, fault.Invalid, "the splice_info_section cannot be read: %v", err)
	}
	day, ok := g.dayOf(at)
	if !ok {
		return "", errNotYet()
	}
	if known := g.known35(section, at); known != nil {
		return known.ID, nil // it is said several times, to be safe
	}
	section = slices.Clone(section)
	lasts := ^uint32(0)
	if info.Duration > 0 {
		lasts = uint32(min(info.Duration*9/100_000, 1<<32-2)) // ticks
	}
	g.message(mp4.Event{Scheme: schemeBinary, Time: uint64(max(ticks(at, 90000), 0)), Timescale: 90000, Duration: lasts, Message: section})
	if begun := g.begun(info); info.Kind == scte35.In && begun != nil {
		begun.In = section
		if n := at - begun.At; n > 0 {
			begun.Duration = n
		}
		g.changed(begun)
		return begun.ID, nil
	}
	e := &event{At: at, Day: day, Splice: info.Event, ID: fmt.Sprintf("splice-%d-%d", info.Event, day/int64(time.Millisecond))}
	switch {
	case info.Canceled || info.Kind == scte35.Command:
		e.Command = section
	case info.Kind == scte35.Out:
		e.Out, e.Planned = section, info.Duration
	default:
		e.In = section
	}
	return e.ID, g.tell(e)
}

// known35 returns what a section has told already, or nil.
func (g *Group) known35(section []byte, at time.Duration) *event {
	for _, e := range g.events.list {
		for _, s := range [][]byte{e.Command, e.Out, e.In} {
			if len(s) > 0 && slices.Equal(s, section) && (e.At-at).Abs() < 10*time.Second {
				return e
			}
		}
	}
	return nil
}

// begun returns the break that a section ends, or nil.
func (g *Group) begun(info scte35.Info) *event {
	for i := len(g.events.list) - 1; i >= 0; i-- {
		if e := g.events.list[i]; len(e.Out) > 0 && len(e.In) == 0 && e.Splice == info.Event {
			return e
		}
	}
	return nil
}

// tell adds an event.
func (g *Group) tell(e *event) error {
	g.forgetEvents()
	log := &g.events
	if len(log.list) >= maxEvents {
		return fault.New(fault.Invalid, "the window holds %d markers already: wait until the oldest have left it", maxEvents)
	}
	if slices.ContainsFunc(log.list, func(o *event) bool { return o.ID == e.ID }) {
		return fault.New(fault.Conflict, "there is a marker %q already", e.ID)
	}
	if err := g.dateRange(e).Validate(); err != nil {
		return fault.Wrap(err, fault.Invalid, "the marker cannot be written: %v", err)
	}
	e.Number = log.version + 1
	log.list = append(log.list, e)
	g.changed(e)
	return nil
}

// changed has the playlists written anew, and notes an event in the journal.
func (g *Group) changed(e *event) {
	g.events.version++
	line := *e
	g.later(task{line: record{Event: &line}})
	g.wakeAll()
}

// forgetEvents drops what was over before the window begins.
func (g *Group) forgetEvents() {
	start := g.windowStart()
	if start == 0 {
		return
	}
	g.events.list = slices.DeleteFunc(g.events.list, func(e *event) bool {
		return e.Day+int64(max(e.Duration, e.Planned, 0)) < start
	})
}

// windowStart is the time of day at which the oldest segment began; 0 is unknown.
func (g *Group) windowStart() int64 {
	if len(g.renditions) > 0 {
		if list := g.renditions[0].listed(g.first); len(list) > 0 {
			return list[0].time
		}
	}
	return 0
}

// ranges are the events as playlists say them.
func (g *Group) ranges() []hls.DateRange {
	if len(g.events.list) == 0 {
		return nil
	}
	g.forgetEvents()
	all := make([]hls.DateRange, len(g.events.list))
	for i, e := range g.events.list {
		all[i] = *g.dateRange(e)
	}
	return all
}

func (g *Group) dateRange(e *event) *hls.DateRange {
	return &hls.DateRange{
		ID: e.ID, Class: e.Class, Start: time.Unix(0, e.Day).Round(time.Millisecond), Duration: e.Duration, Planned: e.Planned,
		Command: e.Command, Out: e.Out, In: e.In, Attributes: e.Attrs,
	}
}

// dayOf returns the time of day of a moment of the stream.
func (g *Group) dayOf(at time.Duration) (day int64, ok bool) {
	for i := len(g.marks) - 1; i >= 0; i-- {
		m := &g.marks[i]
		if shown := duration(m.shown, m.clock); m.hasWall && (shown <= at || i == 0) {
			return int64(m.wall + duration(m.at, m.clock) + at - shown), true
		}
	}
	return 0, false
}

// moment returns the moment of the stream that was at a time of day.
func (g *Group) moment(day time.Time) (at time.Duration, ok bool) {
	for i := len(g.marks) - 1; i >= 0; i-- {
		m := &g.marks[i]
		if begun := m.wall + duration(m.at, m.clock); m.hasWall && (int64(begun) <= day.UnixNano() || i == 0) {
			return duration(m.shown, m.clock) + time.Duration(day.UnixNano()) - begun, true
		}
	}
	return 0, false
}

// message has something told in the next part of each rendition of pictures.
func (g *Group) message(m mp4.Event) {
	log := &g.events
	log.number++
	m.ID = uint32(log.number)
	if len(log.told) == maxMessages {
		log.told = append(log.told[:0], log.told[1:]...)
	}
	log.told = append(log.told, message{log.number, m})
}

// untold returns the messages after the one of that number.
func (g *Group) untold(told uint64) ([]mp4.Event, uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	log := &g.events
	if told >= log.number {
		return nil, told
	}
	var all []mp4.Event
	for _, m := range log.told {
		if m.number > told {
			all = append(all, m.Event)
		}
	}
	return all, log.number
}

// schemes are those of the messages in segments.
func (l *eventLog) schemes() []dash.Scheme {
	if len(l.list) == 0 {
		return nil
	}
	return []dash.Scheme{{URI: schemeBinary}, {URI: schemeMarker}}
}

// streams are the events of a period, as a manifest says them.
func (l *eventLog) streams(a *anchor, lasts int64) (all []dash.EventStream) {
	spliced := dash.EventStream{Scheme: dash.Scheme{URI: schemeSplice}, Timescale: 1000, Offset: a.Zero / 1e6}
	marked := dash.EventStream{Scheme: dash.Scheme{URI: schemeMarker}, Timescale: 1000, Offset: a.Zero / 1e6}
	for _, e := range l.list {
		if e.At < time.Duration(a.Zero) || e.At > time.Duration(a.Zero+lasts)+time.Minute {
			continue
		}
		one := dash.LiveEvent{ID: e.Number, Start: int64(e.At / time.Millisecond), Duration: int64(max(e.Duration, e.Planned) / time.Millisecond)}
		if e.spliced() {
			for _, section := range [][]byte{e.Out, e.Command, e.In} {
				if len(section) > 0 && one.Splice == nil {
					one.Splice = section
				}
			}
			spliced.Events = append(spliced.Events, one)
			continue
		}
		if text, err := json.Marshal(markerMessage(e)); err == nil {
			one.Text = string(text)
			marked.Events = append(marked.Events, one)
		}
	}
	for _, s := range []dash.EventStream{spliced, marked} {
		if len(s.Events) > 0 {
			all = append(all, s)
		}
	}
	return all
}

// toldRecords are the lines of the journal for events and captions.
func (g *Group) toldRecords() (all []record) {
	for _, e := range g.events.list {
		line := *e
		all = append(all, record{Event: &line})
	}
	for _, c := range g.captions {
		all = append(all, record{Captions: &captionsRecord{Language: c.language}})
		for number, cues := range c.frozen {
			all = append(all, record{Captions: &captionsRecord{c.language, number, cues}})
		}
	}
	return all
}

// retell takes over what the journal says of events and captions.
func (g *Group) retell(lines []record) {
	for _, r := range lines {
		if e := r.Event; e != nil {
			known := slices.IndexFunc(g.events.list, func(o *event) bool { return o.ID == e.ID })
			if known >= 0 {
				g.events.list[known] = e
			} else if len(g.events.list) < maxEvents {
				g.events.list = append(g.events.list, e)
			}
			g.events.version = max(g.events.version, e.Number)
			continue
		}
		if !validLanguage(r.Captions.Language) {
			continue
		}
		if c, err := g.captionsIn(r.Captions.Language); err == nil && r.Captions.Number >= g.first {
			c.frozen[r.Captions.Number] = r.Captions.Cues
		}
	}
	g.tasks = nil // what was noted is in the journal
}
