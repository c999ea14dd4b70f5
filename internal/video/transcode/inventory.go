package transcode

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/language"
	"golang.org/x/text/language/display"

	"liuyun/internal/av/rate"
	"liuyun/internal/base/fault"
	"liuyun/internal/base/timebase"
	"liuyun/internal/engine/ffmpeg"
)

// inventory is what a source has in it and what of that is used.
type inventory struct {
	media      *ffmpeg.Media
	video      *ffmpeg.VideoStream // nil: sound alone
	picture    ffmpeg.Picture
	light      *ffmpeg.Light
	audio      []*audioTrack
	subtitles  []*subtitleTrack
	seconds    float64 // length, as the container says
	videoEnd   time.Duration
	audioStart time.Duration // of the earliest track
	audioEnd   time.Duration // of the latest
	lastFor    int64         // how long a frame lasts, ticks of the video's time base
}

const (
	mostAudio     = 16 // tracks of the source
	mostSubtitles = 32
)

// look probes the source and chooses what to use of it.
func (j *job) look(ctx context.Context) error {
	media, err := j.tools.Probe(ctx, j.input)
	if err != nil {
		return err
	}
	inv := &inventory{media: media, seconds: media.Duration.Seconds()}
	j.inventory = inv
	if media.Errors > 0 {
		j.warn("damaged", "the head of the file is damaged: %s", strings.Join(media.Messages, "; "))
	}
	if err := j.chooseVideo(); err != nil {
		return err
	}
	if err := j.chooseAudio(); err != nil {
		return err
	}
	if inv.video == nil && len(inv.audio) == 0 {
		return fault.New(fault.Invalid, "%s has no picture and no sound that could be encoded", j.source.Name())
	}
	j.chooseSubtitles()
	return j.checkRequest()
}

// checkRequest finds what is asked for and cannot be, before any work is done.
func (j *job) checkRequest() error {
	v := j.inventory.video
	if v == nil {
		return nil
	}
	width, height := j.inventory.picture.Shown()
	if min(width, height) < leastPicture {
		return fault.New(fault.Invalid, "%s has a picture of %d×%d pixels; at least %d×%d can be encoded", j.source.Name(), width, height, leastPicture, leastPicture)
	}
	if _, err := rate.Parse(j.options.Ladder, rate.Source{Width: width, Height: height, FrameRate: likelyRate(v)}); err != nil {
		return fault.New(fault.Invalid, "%v", err)
	}
	return nil
}

// leastPicture is the smallest side of a picture that the encoders take.
const leastPicture = 16

// chooseVideo takes the default video stream, else the largest; cover art is
// none.
func (j *job) chooseVideo() error {
	inv := j.inventory
	var streams []*ffmpeg.VideoStream
	for i := range inv.media.Video {
		v := &inv.media.Video[i]
		if v.AttachedPicture {
			j.warn("cover_art", "a picture that is attached to the file is left out")
			continue
		}
		streams = append(streams, v)
	}
	if len(streams) == 0 {
		return nil
	}
	slices.SortStableFunc(streams, func(a, b *ffmpeg.VideoStream) int {
		if a.Default != b.Default {
			return compareBool(b.Default, a.Default)
		}
		return cmp.Compare(b.Width*b.Height, a.Width*a.Height)
	})
	v := streams[0]
	if len(streams) > 1 {
		j.warn("more_video", "of %d video tracks, track %d is used", len(streams), v.Index)
	}
	switch {
	case v.Encrypted:
		return fault.New(fault.Invalid, "%s is encrypted (DRM): it can only be encoded from a copy without protection", j.source.Name())
	case !j.tools.CanDecode(v.Codec):
		return fault.New(fault.Invalid, "%s: this ffmpeg cannot decode its video codec %s; a newer ffmpeg may", j.source.Name(), codecName(v.Stream))
	case v.Width <= 0 || v.Height <= 0:
		return fault.New(fault.Invalid, "%s has a video track without a picture size: it is damaged or cut off", j.source.Name())
	}
	inv.video = v
	inv.describePicture(j)
	return nil
}

func codecName(s ffmpeg.Stream) string {
	if s.Codec != "" {
		return s.Codec
	}
	return cmp.Or(s.CodecTag, "of an unknown kind")
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// describePicture decides everything that the container left open.
func (inv *inventory) describePicture(j *job) {
	v := inv.video
	inv.picture = ffmpeg.PictureOf(v)
	if inv.picture.Interlaced {
		j.warn("interlaced", "the picture is interlaced; it is deinterlaced")
	}
	if v.Mirrored {
		j.warn("mirrored", "the file asks for a mirrored picture; it is shown as it was recorded")
	}
	if hasAlpha(v.PixelFormat) {
		j.warn("alpha", "the picture has transparency, which adaptive streams have not; it is left out")
	}
	if v.DolbyVision > 0 {
		j.warn("dolby_vision", "Dolby Vision metadata is left out; the base layer is encoded")
	}
	if v.HDR10Plus {
		j.warn("hdr10_plus", "HDR10+ metadata is left out; HDR10 is kept where the codec allows")
	}
	if inv.picture.Colour.HDR() {
		inv.light = v.Light
	}
	inv.videoEnd = inv.media.Start + inv.media.Duration
	if v.HasStart && v.Duration > 0 {
		inv.videoEnd = ticksTime(v.StartPTS+v.Duration, v.TimeBase)
	}
	if v.AverageRate.Valid() {
		inv.lastFor = timebase.Rescale(1, v.AverageRate.Inv(), v.TimeBase)
	}
}

func ticksTime(ticks int64, timeBase timebase.Rational) time.Duration {
	return time.Duration(timebase.Rescale(ticks, timeBase, timebase.R(1, int64(time.Second))))
}

func hasAlpha(format string) bool {
	for _, part := range []string{"yuva", "rgba", "argb", "bgra", "abgr", "gbrap", "ya8", "ya16"} {
		if strings.HasPrefix(format, part) {
			return true
		}
	}
	return false
}

// start is the time of the source's first picture, as the container says.
func (inv *inventory) start() time.Duration {
	if v := inv.video; v != nil && v.HasStart {
		return ticksTime(v.StartPTS, v.TimeBase)
	}
	return inv.media.Start
}

// chooseAudio takes every track that can be decoded: in stereo (or mono), and
// surround besides in its own layout.
func (j *job) chooseAudio() error {
	inv := j.inventory
	first := true
	for i := range inv.media.Audio {
		a := &inv.media.Audio[i]
		switch {
		case a.Encrypted && inv.video == nil:
			return fault.New(fault.Invalid, "%s is encrypted (DRM): it can only be encoded from a copy without protection", j.source.Name())
		case a.Encrypted || !j.tools.CanDecode(a.Codec) || a.Channels <= 0 || a.SampleRate <= 0:
			j.warn("audio_left_out", "audio track %d (%s) cannot be decoded and is left out", a.Index, codecName(a.Stream))
			continue
		case i >= mostAudio:
			j.warn("audio_left_out", "of %d audio tracks, the first %d are used", len(inv.media.Audio), mostAudio)
			return nil
		}
		start, end := inv.media.Start, inv.media.Start+inv.media.Duration
		if a.HasStart {
			start = ticksTime(a.StartPTS, a.TimeBase)
			if a.Duration > 0 {
				end = ticksTime(a.StartPTS+a.Duration, a.TimeBase)
			}
		}
		if len(inv.audio) == 0 {
			inv.audioStart, inv.audioEnd = start, end
		}
		inv.audioStart, inv.audioEnd = min(inv.audioStart, start), max(inv.audioEnd, end)
		inv.audio = append(inv.audio, j.audioTracks(a, first)...)
		first = false
	}
	slices.SortStableFunc(inv.audio, func(a, b *audioTrack) int { return cmp.Compare(a.Group, b.Group) })
	return nil
}

// Bit rates of AAC-LC at which listeners do not tell it from the source.
const (
	monoBitrate    = 80_000
	stereoBitrate  = 128_000
	channelBitrate = 64_000
)

// The groups of audio renditions.
const (
	stereoGroup   = "stereo" // and mono
	surroundGroup = "surround"
)

// audioTracks are the renditions of one track of the source.
func (j *job) audioTracks(a *ffmpeg.AudioStream, isDefault bool) []*audioTrack {
	language := knownLanguage(a.Language)
	base := audioTrack{
		Language: language, Default: isDefault, Source: a.Index,
		Name: cmp.Or(a.Title, languageName(language), fmt.Sprintf("Audio %d", a.Index)),
		Spec: ffmpeg.AudioEncoding{
			Stream: a.Index, TimeBase: a.TimeBase, Rate: 48000, File: audioFile,
			Channels: 2, Layout: "stereo", Bitrate: stereoBitrate,
		},
	}
	if a.SampleRate == 44100 {
		base.Spec.Rate = 44100
	}
	id := fmt.Sprintf("%d-%s", a.Index, cmp.Or(language, "und"))
	stereo := base
	stereo.Group, stereo.ID = stereoGroup, id+"-stereo"
	if a.Channels == 1 {
		stereo.ID = id + "-mono"
		stereo.Spec.Channels, stereo.Spec.Layout, stereo.Spec.Bitrate = 1, "mono", monoBitrate
	}
	if a.Channels < 3 {
		return []*audioTrack{&stereo}
	}
	surround := base
	surround.Group, surround.ID = surroundGroup, id+"-surround"
	surround.Spec.Channels, surround.Spec.Layout = surroundLayout(a)
	surround.Spec.Bitrate = surround.Spec.Channels * channelBitrate
	return []*audioTrack{&stereo, &surround}
}

// surroundLayout is the layout of AAC that holds a's channels: one that its
// channel configuration can name, so that players need no more.
func surroundLayout(a *ffmpeg.AudioStream) (int, string) {
	switch a.Channels {
	case 3:
		return 3, "3.0"
	case 4:
		return 4, "4.0"
	case 5:
		return 5, "5.0"
	}
	return 6, "5.1"
}

// chooseSubtitles takes every text track, and the files that the user gave.
func (j *job) chooseSubtitles() {
	inv := j.inventory
	for i := range inv.media.Subtitles {
		s := &inv.media.Subtitles[i]
		if !s.Text {
			j.warn("picture_subtitles", "subtitle track %d is made of pictures (%s) and is left out", s.Index, s.Codec)
			continue
		}
		if len(inv.subtitles) == mostSubtitles {
			j.warn("subtitles_left_out", "of %d subtitle tracks, the first %d are used", len(inv.media.Subtitles), mostSubtitles)
			break
		}
		language := knownLanguage(s.Language)
		inv.subtitles = append(inv.subtitles, &subtitleTrack{
			ID: fmt.Sprintf("%d-%s", s.Index, cmp.Or(language, "und")), Language: language, Forced: s.Forced, Stream: s.Index,
			Name: cmp.Or(s.Title, languageName(language), fmt.Sprintf("Subtitles %d", s.Index)),
		})
	}
	for i, added := range j.added {
		inv.subtitles = append(inv.subtitles, added.track(i+1))
	}
	uniqueNames(inv.audio, inv.subtitles)
}

// uniqueNames adds a number to names that a group has twice: players show
// nothing else.
func uniqueNames(audio []*audioTrack, subtitles []*subtitleTrack) {
	seen := map[string]int{}
	number := func(group string, name *string) {
		key := group + "\x00" + *name
		if seen[key]++; seen[key] > 1 {
			*name = fmt.Sprintf("%s (%d)", *name, seen[key])
		}
	}
	for _, t := range audio {
		number(t.Group, &t.Name)
	}
	for _, t := range subtitles {
		number("subtitles", &t.Name)
	}
}

// knownLanguage is the shortest RFC 5646 tag of the language that a container
// names ("eng" becomes "en"), or "" where it names none.
func knownLanguage(name string) string {
	tag, err := language.Parse(name)
	if err != nil || tag == language.Und {
		return ""
	}
	return tag.String()
}

// languageName is the language's name in itself: "English", "中文".
func languageName(tag string) string {
	if tag == "" {
		return ""
	}
	return cmp.Or(display.Self.Name(language.Make(tag)), tag)
}

// containerLanguage is the three-letter code that MP4 files carry.
func containerLanguage(tag string) string {
	base, confidence := language.Make(tag).Base()
	if tag == "" || confidence == language.No {
		return "und"
	}
	return base.ISO3()
}

// sourceReport is the source as it was understood.
func (j *job) sourceReport() SourceReport {
	inv := j.inventory
	r := SourceReport{
		Name: j.source.Name(), Bytes: j.source.Size(), Fingerprint: j.fingerprint, Format: inv.media.Format,
		Duration: j.plan.duration().Seconds(), Audio: inv.audioFacts(),
	}
	if inv.video != nil {
		r.Video = inv.videoFacts(j.plan.timeline.FrameRate.Float(), !j.plan.timeline.Constant)
	}
	return r
}

func (inv *inventory) videoFacts(frameRate float64, variable bool) *VideoFacts {
	v := inv.video
	width, height := inv.picture.Shown()
	return &VideoFacts{
		Stream: v.Index, Codec: v.Codec, Width: width, Height: height, Coded: [2]int{v.Width, v.Height}, Rotation: inv.picture.Rotation,
		FrameRate: frameRate, Variable: variable, Interlaced: inv.picture.Interlaced,
		Range: dynamicRange(inv.picture.Colour), Colour: inv.picture.Colour,
	}
}

func (inv *inventory) audioFacts() []AudioFacts {
	list := []AudioFacts{}
	for i := range inv.media.Audio {
		a := &inv.media.Audio[i]
		facts := AudioFacts{Stream: a.Index, Codec: a.Codec, Channels: a.Channels, Rate: a.SampleRate, Language: knownLanguage(a.Language)}
		for _, t := range inv.audio {
			if t.Source == a.Index && t.Loudness != nil {
				facts.Loudness = t.Loudness
			}
		}
		list = append(list, facts)
	}
	return list
}

func dynamicRange(c ffmpeg.Colour) string {
	switch c.Transfer {
	case "smpte2084":
		return "PQ"
	case "arib-std-b67":
		return "HLG"
	}
	return "SDR"
}

// planReport is the frame plan in numbers.
func (j *job) planReport() PlanReport {
	p := j.plan
	r := PlanReport{
		FrameRate: p.timeline.FrameRate, Frames: len(p.timeline.Shows), SourceFrames: len(p.timeline.Frames),
		Shots: len(p.shots), Units: len(p.layout.Units), Segments: len(p.layout.Segments), Target: p.target,
	}
	if j.inventory.video != nil {
		r.Memory = j.mostMemory()
	}
	r.ShotStarts = []float64{}
	if len(p.timeline.Shows) > 0 {
		r.Repeated, r.Dropped = p.timeline.Repeated()
		r.ShotStarts = append(r.ShotStarts, 0)
		for _, shot := range p.shots {
			r.ShotStarts = append(r.ShotStarts, float64(shot)/p.timeline.FrameRate.Float())
		}
	}
	return r
}
