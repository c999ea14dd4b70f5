package window

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The journal says what a window holds, so that another process can go on with it.
// Each line is eight digits of CRC-32, a space and a record. A line whose sum is
// wrong was being written when the process died, and says nothing.
const (
	journalName = "journal"
	maxJournal  = 64 << 20
)

// record is a line: one of its fields is set, or Open with one that says more. A
// segment's comes after its file, and Began before it.
type record struct {
	Start     *startRecord    `json:"start,omitempty"`
	Rendition string          `json:"rendition,omitempty"` // of what follows
	Init      *initSection    `json:"init,omitempty"`
	Open      *openRecord     `json:"open,omitempty"`
	Began     *segmentRecord  `json:"began,omitempty"` // the open segment, whose end is not known
	Segment   *segmentRecord  `json:"segment,omitempty"`
	Event     *event          `json:"event,omitempty"` // the newest of an ID counts
	Captions  *captionsRecord `json:"captions,omitempty"`
	Closed    bool            `json:"closed,omitempty"` // nothing was open when writing ended
	Ended     bool            `json:"ended,omitempty"`  // the stream has ended
}

// startRecord is what never changes.
type startRecord struct {
	Target time.Duration `json:"target"`
	Part   time.Duration `json:"part"`
}

// openRecord says that players may know a segment of that number.
type openRecord struct {
	Number int64 `json:"number"`
	First  int64 `json:"first"` // number of the oldest in the window
	Hold   int64 `json:"hold,omitempty"`
	// WithoutSource is that of the plan: what players cannot take they are not offered
	// either when the window is opened again.
	WithoutSource bool `json:"without_source,omitempty"`
}

func (g *Group) openRecord(number int64) *openRecord {
	return &openRecord{Number: number, First: g.first, Hold: g.hold, WithoutSource: g.plan.WithoutSource}
}

type segmentRecord struct {
	Number        int64         `json:"number"`
	Init          int64         `json:"init"`
	Time          int64         `json:"time,omitempty"`
	Start         int64         `json:"start,omitempty"`
	Clock         int64         `json:"clock,omitempty"`
	Begin         int64         `json:"begin,omitempty"`
	Key           int64         `json:"key,omitempty"`
	Anchor        *anchor       `json:"anchor,omitempty"`
	Line          int64         `json:"line,omitempty"`
	Discontinuity bool          `json:"discontinuity,omitempty"`
	Dependent     bool          `json:"dependent,omitempty"`
	Still         bool          `json:"still,omitempty"`
	Gap           bool          `json:"gap,omitempty"`
	Duration      time.Duration `json:"duration"`
	Size          int64         `json:"size"`
}

func (s *segment) record() *segmentRecord {
	return &segmentRecord{
		Number: s.number, Init: s.init.Number, Time: s.time, Start: s.start, Clock: s.clock, Line: s.line,
		Begin: s.begin, Key: s.key, Anchor: s.anchor,
		Discontinuity: s.discontinuity, Dependent: s.dependent, Still: s.still, Gap: s.gap, Duration: s.duration, Size: s.size,
	}
}

func (r *segmentRecord) segment() *segment {
	return &segment{
		number: r.Number, uri: segmentURI(r.Number), time: r.Time, start: r.Start, clock: r.Clock, line: r.Line,
		begin: r.Begin, key: r.Key, anchor: r.Anchor,
		discontinuity: r.Discontinuity, dependent: r.Dependent, still: r.Still, gap: r.Gap, saved: true, duration: r.Duration, size: r.Size,
	}
}

// note adds a line to the journal, and writes it anew when most of it is of the past.
func (g *Group) note(r record) error {
	if g.files.lines > 4096 && g.files.lines > 4*g.lines() {
		if err := g.rewrite(false); err != nil {
			return err
		}
	}
	line, err := appendLine(nil, r)
	if err != nil {
		return err
	}
	return g.files.append(line)
}

func appendLine(dst []byte, r record) ([]byte, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return dst, fmt.Errorf("journal: %w", err)
	}
	return fmt.Appendf(dst, "%08x %s\n", crc32.ChecksumIEEE(text), text), nil
}

// parseLine returns the record of a line, or false.
func parseLine(line []byte) (r record, ok bool) {
	var sum uint32
	if len(line) < 10 || line[8] != ' ' {
		return r, false
	}
	if _, err := fmt.Sscanf(string(line[:8]), "%08x", &sum); err != nil || crc32.ChecksumIEEE(line[9:]) != sum {
		return r, false
	}
	return r, json.Unmarshal(line[9:], &r) == nil
}

// lines is how many the journal needs.
func (g *Group) lines() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 8
	for _, r := range g.renditions {
		n += len(r.segments) + len(r.inits)
	}
	return n
}

// rewrite writes the journal anew, closed if no segment can be open. What is still
// queued comes again after it, which does no harm.
func (g *Group) rewrite(closed bool) error {
	g.mu.Lock()
	all := []record{{Start: &startRecord{Target: g.o.Longest, Part: g.partTarget}}}
	newest := g.first
	for _, r := range g.renditions {
		for _, i := range r.inits {
			all = append(all, record{Rendition: r.name, Init: i})
		}
		for _, s := range r.segments {
			newest = max(newest, s.number)
			if s.saved {
				all = append(all, record{Rendition: r.name, Segment: s.record()})
			} else {
				all = append(all, record{Rendition: r.name, Began: s.record()})
			}
		}
		if r.open != nil {
			newest = max(newest, r.open.number)
			all = append(all, record{Rendition: r.name, Began: r.open.record()})
		}
	}
	all = append(append(all, g.toldRecords()...), record{Open: g.openRecord(newest)})
	ended := g.ended
	g.mu.Unlock()
	if closed {
		all = append(all, record{Closed: true, Ended: ended})
	}
	var text []byte
	for _, r := range all {
		var err error
		if text, err = appendLine(text, r); err != nil {
			return err
		}
	}
	return g.files.replace(text, len(all))
}

// history is what a journal says.
type history struct {
	start      *startRecord
	renditions []*rendition // their inits alone
	segments   map[string]map[int64]*segmentRecord
	began      map[string]map[int64]*segmentRecord // and were not told to be whole
	told       []record                            // of events and captions
	open       openRecord
	closed     bool
	ended      bool
}

func parseJournal(text []byte) history {
	h := history{segments: make(map[string]map[int64]*segmentRecord), began: make(map[string]map[int64]*segmentRecord)}
	for line := range bytes.Lines(text) {
		if r, ok := parseLine(bytes.TrimSuffix(line, []byte{'\n'})); ok {
			h.add(r)
		}
	}
	return h
}

func (h *history) add(r record) {
	if r.Event != nil || r.Captions != nil {
		h.told = append(h.told, r)
		return
	}
	if r.Segment == nil { // which may be late: it opens nothing
		h.closed, h.ended = r.Closed, r.Ended
	}
	if r.Began != nil && h.began[r.Rendition] != nil {
		h.began[r.Rendition][r.Began.Number] = r.Began
	}
	switch {
	case r.Start != nil:
		h.start = r.Start
	case r.Open != nil && r.Open.Number >= h.open.Number:
		h.open = *r.Open
	case r.Init != nil && r.Rendition != "":
		if h.segments[r.Rendition] == nil {
			h.segments[r.Rendition] = make(map[int64]*segmentRecord)
			h.began[r.Rendition] = make(map[int64]*segmentRecord)
			h.renditions = append(h.renditions, &rendition{name: r.Rendition})
		}
		for _, known := range h.renditions {
			if known.name == r.Rendition {
				known.inits = append(known.inits, r.Init.at(r.Init.Number))
			}
		}
	case r.Segment != nil && h.segments[r.Rendition] != nil:
		h.segments[r.Rendition][r.Segment.Number] = r.Segment
		delete(h.began[r.Rendition], r.Segment.Number)
	}
}

// restore goes on with what lies in the folder, or begins anew.
func (g *Group) restore() error {
	if err := os.MkdirAll(g.o.Folder, 0o700); err != nil {
		return err
	}
	text, err := g.files.read()
	if err != nil {
		return err
	}
	h := parseJournal(text)
	if !g.resume(&h) {
		g.renditions, g.partTarget, g.bytes, g.ended = nil, 0, 0, false
		g.first, g.begins, g.cut.next, g.next, g.hold = g.o.First, g.o.First, g.o.First, g.o.First, 0
		return g.sweep()
	}
	if err := g.sweep(); err != nil {
		return err
	}
	return g.rewrite(true)
}

// resume takes over what a journal says, and reports whether there is something.
func (g *Group) resume(h *history) bool {
	if h.start == nil || h.start.Target != g.o.Longest || h.start.Part <= 0 || h.start.Part > g.o.Longest || len(h.renditions) == 0 {
		return false
	}
	g.takeOver(h)
	newest := h.open.Number
	for _, list := range h.segments {
		for number := range list {
			newest = max(newest, number)
		}
	}
	if !h.closed {
		// One more may have been opened whose line was not written yet.
		newest++
	}
	first := h.open.First
	lead := h.renditions[0]
	for first <= newest && !g.whole(lead, h.segments[lead.name][first]) {
		first++
	}
	if first > newest || newest-first > maxResumed {
		return false
	}
	g.renditions, g.partTarget, g.ended = h.renditions, h.start.Part, h.ended
	g.first, g.begins, g.hold, g.plan.WithoutSource = first, first, h.open.Hold, h.open.WithoutSource
	oldest := first // what a recording has not copied yet is before the window
	for g.hold > 0 && oldest > g.hold && g.whole(lead, h.segments[lead.name][oldest-1]) {
		oldest--
	}
	for _, r := range g.renditions {
		g.fill(r, lead, h, oldest, newest)
		if r.init().Rung {
			r.derived = &derived{g: g, r: r, begun: true, next: newest + 1}
		}
	}
	g.retell(h.told)
	g.cut.next, g.next = newest+1, newest+1
	list := lead.segments
	last := list[len(list)-1]
	g.cut.line = last.line
	if last.time != 0 {
		g.cut.day = time.Duration(last.time) + last.duration
	}
	return true
}

// maxResumed bounds what a damaged journal can make of a window.
const maxResumed = 1 << 20

// whole reports whether a segment is there as its line says.
func (g *Group) whole(r *rendition, s *segmentRecord) bool {
	if s == nil || s.Gap || s.Duration <= 0 || r.initOf(s.Init) == nil {
		return false
	}
	info, err := os.Stat(g.files.path(r.file(s.Number)))
	return err == nil && info.Size() == s.Size
}

// initOf returns the init section of that number, or nil.
func (r *rendition) initOf(number int64) *initSection {
	for _, i := range r.inits {
		if i.Number == number {
			return i
		}
	}
	return nil
}

// fill gives a rendition its segments, and a gap for each that was lost.
func (g *Group) fill(r, lead *rendition, h *history, oldest, newest int64) {
	for number := max(oldest, r.inits[0].Number); number <= newest; number++ {
		var s *segment
		switch known := h.segments[r.name][number]; {
		case known != nil && (g.whole(r, known) || known.Gap && known.Duration > 0 && r.initOf(known.Init) != nil):
			s = known.segment()
			s.init = r.initOf(known.Init)
		default:
			s = g.lost(r, lead, number)
		}
		r.segments = append(r.segments, s)
		g.bytes += s.size
	}
	for len(r.inits) > 1 && r.inits[1].Number <= oldest {
		r.inits = r.inits[1:]
	}
}

// lost is a gap in the place of a segment, as long as that of the lead, if there is
// one, or else a moment: the discontinuity after it says what time it is then.
func (g *Group) lost(r, lead *rendition, number int64) *segment {
	s := &segment{number: number, uri: segmentURI(number), init: r.inits[0], gap: true, saved: true, duration: g.partTarget}
	if n := len(r.segments); n > 0 {
		before := r.segments[n-1]
		s.init, s.line = before.init, before.line
		if before.time != 0 {
			s.time = before.time + int64(before.duration)
		}
	}
	if like := lead.find(number); like != nil && r != lead {
		s.duration, s.time, s.line, s.discontinuity = like.duration, like.time, like.line, like.discontinuity
	}
	return s
}

// sweep deletes what does not belong to the window.
func (g *Group) sweep() error {
	ours := map[string]bool{journalName: len(g.renditions) > 0}
	for _, r := range g.renditions {
		ours[r.name] = true
		for _, s := range r.segments {
			if !s.gap {
				ours[r.file(s.number)] = true
			}
		}
	}
	return sweepFolder(g.o.Folder, "", ours)
}

func sweepFolder(folder, below string, ours map[string]bool) error {
	entries, err := os.ReadDir(filepath.Join(folder, below))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := strings.TrimPrefix(below+"/"+entry.Name(), "/")
		path := filepath.Join(folder, filepath.FromSlash(name))
		switch {
		case ours[name] && entry.IsDir():
			err = sweepFolder(folder, name, ours)
		case !ours[name]:
			err = os.RemoveAll(path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
