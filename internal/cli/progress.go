package cli

import (
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
	"time"
)

// How often progress is written.
const (
	barInterval  = 100 * time.Millisecond
	jsonInterval = time.Second
	lineInterval = 5 * time.Second
)

// progress shows how long work is getting on, in the form that fits who watches:
// a bar on a terminal, a line every few seconds in a log, objects of type
// "progress" under --json, nothing under --quiet. It writes only when told
// something, never by itself. Its methods may be called from any goroutine.
type progress struct {
	show     func(progressReport) // nil shows nothing
	clear    func()               // takes the bar off the terminal
	interval time.Duration
	now      func() time.Time

	mu      sync.Mutex
	started bool
	phase   string
	start   time.Time // of the phase
	resumed float64   // what was done when the phase began
	shown   time.Time
}

// progressReport is one moment of the work, as scripts read it.
type progressReport struct {
	Type  string `json:"type"` // "progress"
	Phase string `json:"phase"`
	// Fraction of the phase is from 0 to 1; -1 while unknown.
	Fraction float64 `json:"fraction"`
	// Speed is seconds of media a second, or bytes where Unit says so; 0 while
	// unknown.
	Speed float64 `json:"speed"`
	Unit  string  `json:"unit,omitempty"` // "", bytes, or share: then Speed means little
	// Left is the seconds that the phase will still take; -1 while unknown.
	Left float64 `json:"left"`
}

func (s *session) newProgress() *progress {
	p := &progress{now: time.Now, clear: func() {}}
	switch {
	case s.json && s.quiet:
	case s.json:
		p.interval = jsonInterval
		p.show = func(r progressReport) { _ = s.writeJSON(r) } // the result will meet the same error
	case s.quiet:
	case s.env.Columns > 0:
		p.interval = barInterval
		p.show = func(r progressReport) { p.drawBar(s.env.Stderr, s.env.Columns, r) }
		p.clear = func() { fmt.Fprint(s.env.Stderr, "\r\x1b[K") }
	default:
		p.interval = lineInterval
		p.show = func(r progressReport) { fmt.Fprintln(s.env.Stderr, r) }
	}
	return p
}

// update says that done of total, durations of media, are through in the named
// phase; total is 0 while unknown. What was done at a phase's first update counts as kept from an earlier
// run, not as work of this one.
func (p *progress) update(phase string, done, total time.Duration) {
	p.advance(phase, "", done.Seconds(), total.Seconds())
}

// updateBytes is update for bytes.
func (p *progress) updateBytes(phase string, done, total int64) {
	p.advance(phase, "bytes", float64(done), float64(total))
}

// updateShare is update where only the share that is done is known, from 0 to 1.
func (p *progress) updateShare(phase string, done float64) { p.advance(phase, "share", done, 1) }

func (p *progress) advance(phase, unit string, done, total float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.show == nil {
		return
	}
	now := p.now()
	fresh := !p.started || phase != p.phase
	if fresh {
		p.started, p.phase, p.start, p.resumed = true, phase, now, done
	}
	if !fresh && now.Sub(p.shown) < p.interval {
		return
	}
	p.shown = now
	r := p.report(now, done, total)
	r.Unit = unit
	p.show(r)
}

func (p *progress) report(now time.Time, done, total float64) progressReport {
	r := progressReport{Type: "progress", Phase: p.phase, Fraction: -1, Left: -1}
	if total > 0 {
		r.Fraction = min(1, max(0, done/total))
	}
	elapsed, worked := now.Sub(p.start), done-p.resumed
	if elapsed >= time.Second && worked > 0 {
		r.Speed = worked / elapsed.Seconds()
	}
	if r.Speed > 0 && total > 0 {
		r.Left = max(0, (total-done)/r.Speed)
	}
	return r
}

// interrupt takes the bar away while something else is written.
func (p *progress) interrupt(write func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.started {
		p.clear()
	}
	write()
}

// finish takes the bar away, before anything else is written.
func (p *progress) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.started {
		p.clear()
	}
	p.show = nil
}

// String is the report as a line for a log.
func (r progressReport) String() string {
	line := r.Phase
	if r.Fraction >= 0 {
		line += fmt.Sprintf(" %3.0f %%", math.Floor(100*r.Fraction))
	}
	switch {
	case r.Speed <= 0 || r.Unit == "share":
	case r.Unit == "bytes":
		line += "  " + sizeText(int64(r.Speed)) + "/s"
	default:
		line += fmt.Sprintf("  %.*f×", decimals(r.Speed), r.Speed)
	}
	if r.Left >= 0 {
		line += "  " + leftText(r.Left) + " left"
	}
	return line
}

// decimals gives a speed about two digits that count.
func decimals(speed float64) int {
	switch {
	case speed < 0.995:
		return 2
	case speed < 9.95:
		return 1
	}
	return 0
}

// leftText is a number of seconds as m:ss or h:mm:ss.
func leftText(seconds float64) string {
	const most = 100 * 3600
	n := int(math.Ceil(min(seconds, most)))
	if n >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", n/3600, n/60%60, n%60)
	}
	return fmt.Sprintf("%d:%02d", n/60, n%60)
}

// drawBar draws the report over the line that the cursor is on, with a bar in
// the room that the text leaves.
func (p *progress) drawBar(w io.Writer, columns int, r progressReport) {
	const least, most = 10, 40
	text := []rune(r.String())
	bar := ""
	if room := min(most, columns-len(text)-4); room >= least && r.Fraction >= 0 {
		full := int(float64(room) * r.Fraction)
		bar = "  " + strings.Repeat("█", full) + strings.Repeat("░", room-full)
	}
	if len(text) > columns-1 {
		text = text[:columns-1]
	}
	fmt.Fprintf(w, "\r%s%s\x1b[K", string(text), bar)
}
