package hls

import (
	"slices"
	"time"
)

// checkSuccession holds a playlist against the version before it: the server
// only appends, removes from the front, and counts what it removed (6.2.1,
// 6.2.2).
func (r *liveReader) checkSuccession(before *Checked) {
	was, is := &before.Playlist, &r.out.Playlist
	r.checkConstants(was, is)
	r.checkRangesSame(was, is)
	gone := is.MediaSequence - was.MediaSequence
	if gone < 0 {
		r.problem(r.seen["EXT-X-MEDIA-SEQUENCE"], "6.2.2", "the media sequence went back from %d to %d", was.MediaSequence, is.MediaSequence)
		return
	}
	if is.DiscontinuitySequence < was.DiscontinuitySequence {
		r.problem(r.seen["EXT-X-DISCONTINUITY-SEQUENCE"], "6.2.2", "the discontinuity sequence went back from %d to %d", was.DiscontinuitySequence, is.DiscontinuitySequence)
	}
	if gone > 0 && !is.Ended && is.segmentsDuration() < 3*is.Target {
		r.problem(0, "6.2.2", "segments were removed, and what is left lasts %v, less than three target durations", is.segmentsDuration())
	}
	lastMSN, lastPart := before.last()
	msn, part := r.out.last()
	if was.Ended && (!is.Ended || msn != lastMSN) {
		r.problem(0, "4.4.3.4", "it had ended at segment %d, and goes on to %d", lastMSN, msn)
	}
	if msn < lastMSN || msn == lastMSN && len(is.Open.Parts) > 0 && part < lastPart {
		r.problem(0, "6.2.1", "it ends at segment %d part %d, and ended at %d part %d before", msn, part, lastMSN, lastPart)
	}
	if gone > int64(len(was.Segments)) {
		return // nothing in common
	}
	r.checkGone(was, is, int(gone))
	r.checkCommon(was, is, int(gone))
	r.checkHintCameTrue(before, int(gone))
	r.checkReports(was, is)
}

func (p *LivePlaylist) segmentsDuration() time.Duration {
	return p.duration() - p.openDuration()
}

// checkConstants checks what stays for the life of a playlist.
func (r *liveReader) checkConstants(was, is *LivePlaylist) {
	if was.KeysOnly != is.KeysOnly {
		r.problem(r.seen["EXT-X-I-FRAMES-ONLY"], "6.2.1", "EXT-X-I-FRAMES-ONLY came or went")
	}
	if was.Target != is.Target {
		r.problem(r.seen["EXT-X-TARGETDURATION"], "6.2.1", "the target duration changed from %v to %v", was.Target, is.Target)
	}
	if was.PartTarget != is.PartTarget {
		r.problem(r.seen["EXT-X-PART-INF"], "6.2.1", "PART-TARGET changed from %v to %v", was.PartTarget, is.PartTarget)
	}
	if was.CanBlockReload != is.CanBlockReload || was.PartHoldBack != is.PartHoldBack ||
		was.HoldBack != is.HoldBack || was.CanSkipUntil != is.CanSkipUntil {
		r.problem(r.seen["EXT-X-SERVER-CONTROL"], "6.2.1", "EXT-X-SERVER-CONTROL changed")
	}
}

// checkGone checks that the discontinuities that went were counted.
func (r *liveReader) checkGone(was, is *LivePlaylist, gone int) {
	want := was.DiscontinuitySequence
	for _, s := range was.Segments[:gone] {
		if s.Discontinuity {
			want++
		}
	}
	if is.DiscontinuitySequence != want {
		r.problem(r.seen["EXT-X-DISCONTINUITY-SEQUENCE"], "6.2.2", "the discontinuity sequence is %d, and the discontinuities that were removed make it %d", is.DiscontinuitySequence, want)
	}
}

// checkCommon checks that what both versions have is the same.
func (r *liveReader) checkCommon(was, is *LivePlaylist, gone int) {
	end := is.duration()
	for i := range is.Segments {
		end -= is.Segments[i].Duration
		s, line := &is.Segments[i], r.out.lines[i]
		if line == 0 {
			continue // skipped, and taken from before
		}
		edge := end <= partWindow*is.Target
		switch at := i + gone; {
		case at < len(was.Segments):
			r.checkSame(line, int64(i), &was.Segments[at], s, edge)
		case at == len(was.Segments) && len(was.Open.Parts) > 0:
			r.checkGrown(line, int64(i), &was.Open, s, edge)
		}
	}
	if len(is.Segments)+gone == len(was.Segments) && len(was.Open.Parts) > 0 {
		r.checkGrown(r.out.openLine, int64(len(is.Segments)), &was.Open, &is.Open, true)
	}
}

// checkSame compares a whole segment with what it was.
func (r *liveReader) checkSame(line int, i int64, was, is *LiveSegment, edge bool) {
	msn := r.out.Playlist.MediaSequence + i
	if was.URI != is.URI || was.Range != is.Range || was.Duration != is.Duration || was.Gap != is.Gap {
		r.problem(line, "6.2.1", "segment %d changed from %s of %v to %s of %v", msn, was.URI, was.Duration, is.URI, is.Duration)
	}
	r.checkStartSame(line, msn, was, is)
	switch {
	case len(is.Parts) == 0 && len(was.Parts) > 0 && edge:
		r.problem(line, "6.2.2", "the parts of segment %d went while it is within %d target durations of the end", msn, partWindow)
	case len(is.Parts) > 0 && !slices.Equal(was.Parts, is.Parts):
		r.problem(line, "6.2.1", "the parts of segment %d changed", msn)
	}
}

// checkGrown compares a segment, closed since or not, with its open beginning.
func (r *liveReader) checkGrown(line int, i int64, was, is *LiveSegment, edge bool) {
	msn := r.out.Playlist.MediaSequence + i
	r.checkStartSame(line, msn, was, is)
	switch {
	case len(is.Parts) == 0 && !edge:
	case len(is.Parts) < len(was.Parts):
		r.problem(line, "6.2.1", "segment %d had %d parts and has %d", msn, len(was.Parts), len(is.Parts))
	case !slices.Equal(was.Parts, is.Parts[:len(was.Parts)]):
		r.problem(line, "6.2.1", "the parts of segment %d changed", msn)
	}
}

func (r *liveReader) checkStartSame(line int, msn int64, was, is *LiveSegment) {
	if was.Map != is.Map || was.Discontinuity != is.Discontinuity || !was.Time.Equal(is.Time) {
		r.problem(line, "6.2.1", "the map, the date or the discontinuity of segment %d changed", msn)
	}
}

// checkHintCameTrue checks that the part that came next is the one that was
// hinted at. Only where a discontinuity follows, because the source broke off,
// may a segment close without the part.
func (r *liveReader) checkHintCameTrue(before *Checked, gone int) {
	was, is := &before.Playlist, &r.out.Playlist
	hint := was.Hint
	if before.withdrawn != "" {
		hint = before.withdrawn
	}
	if hint == "" {
		return
	}
	open := len(was.Segments) - gone // index of the segment that was
	n := len(was.Open.Parts)
	for at := open; at <= len(is.Segments); at, n = at+1, 0 {
		s := &is.Open
		if at < len(is.Segments) {
			s = &is.Segments[at]
			if len(s.Parts) == 0 {
				return // too old to have parts
			}
		}
		if n >= len(s.Parts) {
			continue
		}
		if s.Parts[n].URI != hint && (n > 0 || !s.Discontinuity) {
			r.problem(0, "4.4.5.3", "the hint was %q, and %q came", hint, s.Parts[n].URI)
		}
		return
	}
	r.out.withdrawn = before.withdrawn
	switch {
	case is.Hint == was.Hint || is.Ended:
	case open < len(is.Segments):
		r.out.withdrawn = hint
	default:
		r.problem(r.hint, "4.4.5.3", "the hint changed from %q to %q, and no part came", was.Hint, is.Hint)
	}
}

// checkReports checks that no rendition goes back.
func (r *liveReader) checkReports(was, is *LivePlaylist) {
	for _, now := range is.Reports {
		for _, then := range was.Reports {
			if now.URI == then.URI && (now.LastMSN < then.LastMSN || now.LastMSN == then.LastMSN && now.LastPart < then.LastPart) {
				r.problem(0, "4.4.5.4", "the report of %q went back from %d.%d to %d.%d", now.URI, then.LastMSN, then.LastPart, now.LastMSN, now.LastPart)
			}
		}
	}
}
