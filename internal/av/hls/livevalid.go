package hls

import (
	"fmt"
	"time"
)

// maxLive is the longest time that a live playlist states, maxTarget the longest
// target duration: sums stay exact.
const (
	maxLive   = 366 * 24 * time.Hour
	maxTarget = time.Hour
)

func (p *LivePlaylist) check() error {
	if err := p.checkControl(); err != nil {
		return fmt.Errorf("live playlist: %w", err)
	}
	for i := range p.Ranges {
		if err := p.Ranges[i].Validate(); err != nil {
			return fmt.Errorf("live playlist: date range %q: %w", p.Ranges[i].ID, err)
		}
	}
	before := ""
	end := p.duration()
	for i := range p.Segments {
		s := &p.Segments[i]
		end -= told(s.Duration)
		err := p.checkSegment(s, before)
		if err == nil && p.edge(end) {
			err = p.checkPartsOf(s)
		}
		if err != nil {
			return fmt.Errorf("live playlist: segment %d: %w", p.MediaSequence+int64(i), err)
		}
		before = s.Map
	}
	if err := p.checkOpen(before); err != nil {
		return fmt.Errorf("live playlist: open segment: %w", err)
	}
	if err := p.checkEnd(); err != nil {
		return fmt.Errorf("live playlist: %w", err)
	}
	return nil
}

func (p *LivePlaylist) checkControl() error {
	switch {
	case p.Target <= 0 || p.Target%time.Second != 0 || p.Target > maxTarget:
		return fmt.Errorf("target duration %v is not a positive number of whole seconds, at most an hour", p.Target)
	case p.PartTarget != 0 && (p.KeysOnly || p.Text):
		return fmt.Errorf("a playlist of key frames or of text has no parts")
	case p.PartTarget < 0 || p.PartTarget > p.Target:
		return fmt.Errorf("part target %v is not between 0 and the target duration %v", p.PartTarget, p.Target)
	case p.PartTarget == 0 && p.PartHoldBack != 0:
		return fmt.Errorf("a part hold back needs a part target")
	case p.PartHoldBack < 2*p.PartTarget || p.PartHoldBack > maxLive:
		return fmt.Errorf("part hold back %v is less than twice the part target %v", p.PartHoldBack, p.PartTarget)
	case p.HoldBack != 0 && p.HoldBack < 3*p.Target || p.HoldBack > maxLive:
		return fmt.Errorf("hold back %v is less than three target durations", p.HoldBack)
	case p.CanSkipUntil != 0 && p.CanSkipUntil < 6*p.Target || p.CanSkipUntil > maxLive:
		return fmt.Errorf("skip boundary %v is less than six target durations", p.CanSkipUntil)
	case p.MediaSequence < 0 || p.DiscontinuitySequence < 0:
		return fmt.Errorf("media sequence %d or discontinuity sequence %d is negative", p.MediaSequence, p.DiscontinuitySequence)
	case p.Skip < 0 || p.Skip > 0 && p.Skip > p.SkipMax():
		return fmt.Errorf("skips %d segments, may skip %d", p.Skip, p.SkipMax())
	}
	return nil
}

func (p *LivePlaylist) checkSegment(s *LiveSegment, before string) error {
	if err := checkURI(s.URI); err != nil {
		return err
	}
	if s.Duration < time.Microsecond {
		return fmt.Errorf("duration of %v is not positive", s.Duration)
	}
	if s.Duration.Round(time.Microsecond).Round(time.Second) > p.Target {
		return fmt.Errorf("it lasts %v, above the target duration of %v", s.Duration, p.Target)
	}
	if s.Range.Offset < 0 || s.Range.Length < 0 || p.KeysOnly && !s.Gap && s.Range.Length == 0 {
		return fmt.Errorf("byte range %d@%d is empty or negative", s.Range.Length, s.Range.Offset)
	}
	if p.Text {
		if s.Map != "" {
			return fmt.Errorf("text has no map")
		}
		return checkTime(s.Time)
	}
	return checkStart(s, before)
}

// checkPartsOf checks the parts of a whole segment.
func (p *LivePlaylist) checkPartsOf(s *LiveSegment) error {
	if len(s.Parts) == 0 {
		return nil
	}
	if off := s.partsDuration() - s.Duration; off.Abs() > partSlack {
		return fmt.Errorf("it lasts %v, and its parts %v", s.Duration, s.partsDuration())
	}
	return p.checkParts(s.Parts)
}

// partSlack is by how much parts may miss the duration of their segment:
// rounding, and no more.
const partSlack = time.Millisecond

func checkStart(s *LiveSegment, before string) error {
	if s.Map == "" {
		return fmt.Errorf("the map is missing")
	}
	if s.Map == before {
		return checkTime(s.Time)
	}
	if err := checkURI(s.Map); err != nil {
		return fmt.Errorf("map: %w", err)
	}
	if before != "" && !s.Discontinuity {
		return fmt.Errorf("map %q follows %q without a discontinuity", s.Map, before)
	}
	return checkTime(s.Time)
}

func checkTime(t time.Time) error {
	if year := t.UTC().Year(); year < 1 || year > 9999 {
		return fmt.Errorf("time in the year %d", year)
	}
	return nil
}

func (p *LivePlaylist) checkParts(parts []Part) error {
	if p.PartTarget == 0 {
		return fmt.Errorf("there are parts without a part target")
	}
	var position time.Duration
	for i := range parts {
		part := &parts[i]
		if err := checkURI(part.URI); err != nil {
			return fmt.Errorf("part %d: %w", i, err)
		}
		if part.Duration <= 0 || part.Duration > maxLive {
			return fmt.Errorf("part %d: duration of %v is not positive", i, part.Duration)
		}
		us, most := partMicros(position, part.Duration), microsUp(p.PartTarget)
		position += part.Duration
		if us > most {
			return fmt.Errorf("part %d: it lasts %v, above the part target %v", i, part.Duration, p.PartTarget)
		}
		if us*100 < most*leastPart && !mayBeShort(parts, i) {
			return fmt.Errorf("part %d: it lasts %v, less than %d %% of the part target %v", i, part.Duration, leastPart, p.PartTarget)
		}
		if part.Range != (Range{}) && (part.Range.Offset < 0 || part.Range.Length <= 0) {
			return fmt.Errorf("part %d: byte range %d@%d is empty or negative", i, part.Range.Length, part.Range.Offset)
		}
	}
	return nil
}

// leastPart is how much of the part target a part lasts at least, in percent.
const leastPart = 85

// mayBeShort says whether a part may be shorter than leastPart (4.4.4.9). The
// last part of an open segment may turn out to be the last of all.
func mayBeShort(parts []Part, i int) bool {
	return i == len(parts)-1 || parts[i].Independent || parts[i].Gap || parts[i+1].Gap
}

func (p *LivePlaylist) checkOpen(before string) error {
	s := &p.Open
	if s.URI != "" || s.Duration != 0 || s.Gap {
		return fmt.Errorf("it has a URI, a duration or a gap")
	}
	if len(s.Parts) == 0 {
		return nil
	}
	if err := checkStart(s, before); err != nil {
		return err
	}
	return p.checkParts(s.Parts)
}

func (p *LivePlaylist) checkEnd() error {
	if p.Ended {
		if len(p.Open.Parts) > 0 || p.Hint != "" || len(p.Reports) > 0 {
			return fmt.Errorf("it has ended, and has open parts, a hint or reports")
		}
		return nil
	}
	if p.Hint != "" {
		if err := p.checkHint(); err != nil {
			return fmt.Errorf("hint: %w", err)
		}
	}
	for i := range p.Reports {
		r := &p.Reports[i]
		if err := checkURI(r.URI); err != nil {
			return fmt.Errorf("rendition report: %w", err)
		}
		if r.LastMSN < 0 || r.LastPart < 0 {
			return fmt.Errorf("rendition report of %q: last segment %d or part %d is negative", r.URI, r.LastMSN, r.LastPart)
		}
	}
	return nil
}

func (p *LivePlaylist) checkHint() error {
	if p.PartTarget == 0 {
		return fmt.Errorf("it needs a part target")
	}
	for i := range p.Open.Parts {
		if p.Open.Parts[i].URI == p.Hint {
			return fmt.Errorf("part %q is there already", p.Hint)
		}
	}
	return checkURI(p.Hint)
}
