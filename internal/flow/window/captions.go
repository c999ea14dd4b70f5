package window

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"liuyun/internal/av/caption"
	"liuyun/internal/av/hls"
	"liuyun/internal/base/fault"
)

// What captions there may be of one stream.
const (
	captionsPrefix = "captions-"
	captionsGroup  = "captions"
	maxLanguages   = 16
	maxText        = 2000    // bytes of one
	maxCaptions    = 2 << 20 // bytes of all in the window
	longestCaption = time.Minute
	usualCaption   = 5 * time.Second
)

// Caption is a text that is shown for a while.
type Caption struct {
	Language string // RFC 5646
	Text     string // plain; "" announces the language to viewers who come
	At       time.Time
	Duration time.Duration // 0 is as long as usual
}

// captions are those of one language: WebVTT in segments of the same numbers and
// boundaries as the pictures have. Group.mu guards it.
type captions struct {
	language string
	waiting  []caption.Cue           // of the open segment and later ones; times are the stream's
	frozen   map[int64][]caption.Cue // of whole segments, which have some
	texts    [2]text                 // the whole playlist, and the delta update
	cues     uint64                  // so far
}

// captionsRecord is a line of the journal: the captions of a segment that is whole, or
// with the number 0 that there is this language.
type captionsRecord struct {
	Language string        `json:"language"`
	Number   int64         `json:"number,omitempty"`
	Cues     []caption.Cue `json:"cues,omitempty"`
}

// Caption shows a text to viewers who want captions in its language, from c.At on, or
// from now on if that is zero. It cannot be shown before the open segment began: what
// viewers have got does not change. Faults: invalid, and unavailable while nothing is
// on air.
func (g *Group) Caption(c Caption) error {
	if !validLanguage(c.Language) {
		return fault.New(fault.Invalid, "the language %q is no RFC 5646 tag", c.Language)
	}
	body := captionText(c.Text)
	if c.Duration == 0 {
		c.Duration = usualCaption
	}
	if len(body) > maxText || c.Duration < time.Millisecond || c.Duration > longestCaption {
		return fault.New(fault.Invalid, "a caption has at most %d bytes and is shown for %v at most", maxText, longestCaption)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.renditions) == 0 || g.renditions[0].open == nil {
		return fault.New(fault.Unavailable, "nothing is on air: captions are shown while the stream is live")
	}
	list, err := g.captionsIn(strings.ToLower(c.Language))
	if err != nil || body == "" {
		return err
	}
	if g.captionBytes()+len(body) > maxCaptions {
		return fault.New(fault.Invalid, "the window holds %d bytes of captions already: wait until the oldest have left it", maxCaptions)
	}
	if c.At.IsZero() {
		c.At = time.Now()
	}
	at, ok := g.moment(c.At)
	if !ok {
		return errNotYet()
	}
	lead := g.renditions[0]
	open := duration(lead.open.begin, lead.init().Clock)
	if at > open+4*g.o.Longest+time.Hour || at+c.Duration <= open {
		return fault.New(fault.Invalid, "the caption would be shown before the open segment, or more than an hour from now")
	}
	from := max(at, open).Round(time.Millisecond)
	list.cues++
	cue := caption.Cue{ID: strconv.FormatInt(lead.open.number, 10) + "-" + strconv.FormatUint(list.cues, 10), Start: from, End: max((at + c.Duration).Round(time.Millisecond), from+time.Millisecond), Text: body}
	place, _ := slices.BinarySearchFunc(list.waiting, cue, func(a, b caption.Cue) int { return int(a.Start - b.Start) })
	list.waiting = slices.Insert(list.waiting, place, cue)
	return nil
}

// validLanguage reports whether a language may stand in a name.
func validLanguage(tag string) bool {
	return len(tag) >= 2 && len(tag) <= 35 && tag[0] != '-' &&
		strings.Trim(strings.ToLower(tag), "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// captionText makes cue text of what somebody wrote: escaped, without blank lines.
func captionText(s string) string {
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	var lines []string
	for line := range strings.Lines(strings.ToValidUTF8(strings.ReplaceAll(s, "\r", "\n"), "")) {
		line = strings.TrimSpace(strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f {
				return ' '
			}
			return r
		}, line))
		if line != "" {
			lines = append(lines, escape.Replace(line))
		}
	}
	return strings.Join(lines, "\n")
}

// captionsIn returns the captions in a language, and begins them.
func (g *Group) captionsIn(language string) (*captions, error) {
	for _, c := range g.captions {
		if c.language == language {
			return c, nil
		}
	}
	if len(g.captions) == maxLanguages {
		return nil, fault.New(fault.Invalid, "there are captions in %d languages already", maxLanguages)
	}
	c := &captions{language: language, frozen: make(map[int64][]caption.Cue)}
	g.captions = append(g.captions, c)
	g.later(task{line: record{Captions: &captionsRecord{Language: language}}})
	return c, nil
}

func (g *Group) captionBytes() (sum int) {
	for _, c := range g.captions {
		for _, cue := range c.waiting {
			sum += len(cue.Text) + 64
		}
		for _, cues := range c.frozen {
			for _, cue := range cues {
				sum += len(cue.Text) + 64
			}
		}
	}
	return sum
}

// freeze fixes the captions of a segment of the lead that is whole now, and forgets
// those of segments that went.
func (g *Group) freeze(lead *rendition, s *segment) {
	for _, c := range g.captions {
		for number := range c.frozen {
			if number < lead.segments[0].number {
				delete(c.frozen, number)
			}
		}
		if s.gap || lead.init().Clock == 0 {
			continue
		}
		from := duration(s.begin, lead.init().Clock)
		to := from + s.duration
		var cues []caption.Cue
		c.waiting = slices.DeleteFunc(c.waiting, func(cue caption.Cue) bool {
			if cue.Start < to && cue.End > from {
				cues = append(cues, cue)
			}
			return cue.End <= to
		})
		if len(cues) > 0 {
			c.frozen[s.number] = cues
			g.later(task{line: record{Captions: &captionsRecord{Language: c.language, Number: s.number, Cues: cues}}})
		}
	}
}

// captionsNamed returns the captions of a rendition's name, or nil.
func (g *Group) captionsNamed(rendition string) *captions {
	for _, c := range g.captions {
		if captionsPrefix+c.language == rendition {
			return c
		}
	}
	return nil
}

// captionsMedia are the captions in the multivariant playlist.
func (g *Group) captionsMedia() (all []hls.Media) {
	for _, c := range g.captions {
		all = append(all, hls.Media{
			Type: hls.Subtitles, Group: captionsGroup, Name: c.language, Language: c.language, Autoselect: true,
			URI: mediaURI(captionsPrefix + c.language),
		})
	}
	return all
}

// captionsPlaylist returns the playlist of a language, or what to wait for. It has no
// parts: text is there when its segment is whole.
func (g *Group) captionsPlaylist(c *captions, q Query) (Answer, <-chan struct{}, error) {
	lead := g.renditions[0]
	list := lead.listed(g.first)
	if len(list) == 0 {
		return Answer{}, nil, errNotYet()
	}
	last := list[len(list)-1].number
	if !lead.over(g) && q.MSN > last {
		if q.MSN > last+2 {
			return Answer{}, nil, fault.New(fault.Invalid, "_HLS_msn=%d is too far ahead: the last segment is %d", q.MSN, last)
		}
		return Answer{}, lead.later(), nil
	}
	cached := &c.texts[0]
	if q.Skip {
		cached = &c.texts[1]
	}
	version := g.first<<24 ^ last<<1 ^ int64(g.events.version)<<40
	if lead.over(g) {
		version++
	}
	if cached.bytes == nil || cached.version != version {
		p := g.describe(lead)
		p.Text, p.PartTarget, p.PartHoldBack, p.Hint, p.Reports, p.Open = true, 0, 0, "", nil, hls.LiveSegment{}
		for i := range p.Segments {
			s := &p.Segments[i]
			s.URI, s.Map, s.Gap, s.Parts = captionURI(list[i].number), "", false, nil
		}
		if q.Skip {
			p.Skip = p.SkipMax()
		}
		body, err := p.AppendTo(make([]byte, 0, len(cached.bytes)+4096))
		if err != nil {
			return Answer{}, nil, fault.Wrap(err, fault.Internal, "the playlist of captions of the stream cannot be written")
		}
		if *cached = g.o.Buffers.text(version, body); q.Skip {
			cached.zip = nil
		}
	}
	return cached.answer(g.caching(q)), nil, nil
}

func captionURI(number int64) string { return fmt.Sprint(number, ".vtt") }

// openCaptions returns the captions of a segment.
func (g *Group) openCaptions(rendition, name string) (*File, error) {
	digits, found := strings.CutSuffix(name, ".vtt")
	number, err := strconv.ParseInt(digits, 10, 64)
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.captionsNamed(rendition)
	if err != nil || !found || c == nil || captionURI(number) != name || g.renditions[0].find(number) == nil || g.renditions[0].open != nil && number >= g.renditions[0].open.number {
		return nil, errNoFile(name)
	}
	track := caption.Track{Cues: c.frozen[number]}
	// MPEGTS counts 33 bits: times begin anew each 26 hours.
	if s := g.renditions[0].find(number); len(track.Cues) > 0 {
		round := s.begin * 90000 / max(g.renditions[0].init().Clock, 1) >> 33 << 33
		track = *track.Shift(-duration(round, 90000))
	}
	body := track.AppendSegment(nil)
	return &File{Content: bytes.NewReader(body), Size: int64(len(body)), Type: "text/vtt", Caching: g.forFiles()}, nil
}
