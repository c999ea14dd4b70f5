package transcode

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"

	"golang.org/x/text/language"

	"liuyun/internal/av/rate"
	"liuyun/internal/base/fault"
	"liuyun/internal/base/id"
	"liuyun/internal/base/timebase"
	"liuyun/internal/contract/encode"
	"liuyun/internal/kit/blob"
	queue "liuyun/internal/kit/job"
)

// normalOptions fills what is left out, so that equal wishes are equal options. Who
// makes it is no matter of what is made.
func normalOptions(asked encode.Options) encode.Options {
	o, defaults := asked, encode.DefaultOptions()
	o.Prefer = ""
	o.Codecs = []string{"h264"}
	for _, codec := range asked.Codecs {
		if !slices.Contains(o.Codecs, codec) {
			o.Codecs = append(o.Codecs, codec)
		}
	}
	for _, field := range []struct {
		value    *string
		standard string
	}{
		{&o.Ladder, defaults.Ladder}, {&o.Preset, defaults.Preset}, {&o.Segment, defaults.Segment}, {&o.Loudness, defaults.Loudness},
		{&o.Saliency, defaults.Saliency},
	} {
		if *field.value == "" {
			*field.value = field.standard
		}
	}
	if o.Optimize == string(OptimizeOff) {
		o.Optimize = ""
	}
	return o
}

// ParseOptions reads the options of a request; what is empty is the default. The
// error is for the one who asked.
func ParseOptions(asked encode.Options) (Options, error) {
	if len(asked.Codecs) > 8 || len(asked.Ladder) > 256 {
		return Options{}, fault.New(fault.Invalid, "more codecs or rungs than there are")
	}
	switch queue.Prefer(asked.Prefer) {
	case "", queue.Time, queue.Cost, queue.Carbon:
	default:
		return Options{}, fault.New(fault.Invalid, "there is no preference %.20q; choose from time, cost, carbon", asked.Prefer)
	}
	asked = normalOptions(asked)
	o := DefaultOptions()
	o.Codecs, o.Ladder, o.Preset, o.MP4, o.KeepOriginal = asked.Codecs, asked.Ladder, asked.Preset, asked.MP4, asked.KeepOriginal
	o.Hardware = asked.Hardware
	o.Optimize, o.Target, o.Bits = Optimize(asked.Optimize), asked.Target, asked.Bits
	var err error
	if o.Segment, err = ParseSegmentRange(asked.Segment); err != nil {
		return o, err
	}
	if o.Loudness, err = ParseLoudness(asked.Loudness); err != nil {
		return o, err
	}
	if o.Saliency, err = ParseSaliency(asked.Saliency); err != nil {
		return o, err
	}
	// Whether a rung is larger than the source is known when it is looked at.
	largest := rate.Source{Width: 1 << 20, Height: 1 << 20, FrameRate: timebase.R(25, 1)}
	if _, err := rate.Parse(o.Ladder, largest); err != nil {
		return o, fault.New(fault.Invalid, "%v", err)
	}
	return o, o.Validate()
}

// readRequest reads the payload of a job and refuses names that could lead
// elsewhere.
func readRequest(payload json.RawMessage) (encode.Request, error) {
	var ask encode.Request
	if err := json.Unmarshal(payload, &ask); err != nil {
		return ask, fault.Wrap(err, fault.Invalid, "the request to encode cannot be read")
	}
	if !id.Valid("ast", ask.Asset) {
		return ask, fault.New(fault.Invalid, "%.40q is no asset", ask.Asset)
	}
	if len(ask.Subtitles) > mostSubtitles {
		return ask, fault.New(fault.Invalid, "an asset can have at most %d subtitles added", mostSubtitles)
	}
	ask.Options = normalOptions(ask.Options)
	return ask, blob.CheckName(ask.Source)
}

// cleanName is a file's name that can be the last part of an object's.
func cleanName(name string) string {
	name = path.Base(name)
	if blob.CheckName("original/"+name) != nil {
		return "source"
	}
	return name
}

// mostAdded bounds all subtitles that were added to an asset, in bytes.
const mostAdded = 64 << 20

// readAdded fetches the subtitles of a request.
func readAdded(ctx context.Context, objects blob.Store, list []encode.Subtitle) ([]addedSubtitles, error) {
	var added []addedSubtitles
	left := int64(mostAdded)
	for _, s := range list {
		tag, err := language.Parse(s.Language)
		if err != nil {
			return nil, fault.New(fault.Invalid, "%.40q is no language tag such as en or zh-Hans", s.Language)
		}
		text, err := readObject(ctx, objects, s.Object, min(left, largestSubtitles))
		if fault.CodeOf(err) == fault.NotFound {
			return nil, fault.Wrap(err, fault.NotFound, "the %s subtitles are gone; add them again", tag)
		}
		if err != nil {
			return nil, err
		}
		left -= int64(len(text))
		a := addedSubtitles{Language: tag.String(), Name: s.Name, Label: "the " + s.Language + " subtitle file", Text: text}
		if a.Name == "" {
			a.Name = languageName(a.Language)
		}
		if _, err := parseSubtitles(a.Label, text); err != nil {
			return nil, err
		}
		added = append(added, a)
	}
	return added, nil
}

// readObject reads a small object whole.
func readObject(ctx context.Context, objects blob.Store, name string, limit int64) ([]byte, error) {
	object, err := objects.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer object.Close()
	data, err := io.ReadAll(io.LimitReader(object, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fault.New(fault.Limit, "%s is larger than %d bytes", path.Base(name), limit)
	}
	return data, err
}

// readObjectJSON reads a small object of ours. It reports whether there is one;
// one that cannot be read is none.
func readObjectJSON(ctx context.Context, objects blob.Store, name string, value any) (bool, error) {
	data, err := readObject(ctx, objects, name, 256<<20)
	if fault.CodeOf(err) == fault.NotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return json.Unmarshal(data, value) == nil, nil
}

// resultOf is the answer to a request: what the report says, in the words of the
// API.
func resultOf(r *Report, prefix string, stored int64) *encode.Result {
	out := &encode.Result{
		Prefix: prefix, Stored: stored, Duration: r.Source.Duration,
		Tracks: []encode.Track{}, Renditions: []encode.Rendition{}, Subtitles: []encode.SubtitleTrack{}, Warnings: []encode.Warning{},
		Files: encode.Files{
			HLS: r.Playback.HLS, DASH: r.Playback.DASH, Poster: r.Playback.Poster, Storyboard: r.Playback.Storyboard, Original: r.Playback.Original,
		},
	}
	if v := r.Source.Video; v != nil {
		out.Tracks = append(out.Tracks, encode.Track{
			Type: "video", Codec: v.Codec, Width: v.Width, Height: v.Height, FrameRate: v.FrameRate, DynamicRange: v.Range,
		})
	}
	for _, a := range r.Source.Audio {
		out.Tracks = append(out.Tracks, encode.Track{Type: "audio", Codec: a.Codec, Channels: a.Channels, SampleRate: a.Rate, Language: a.Language})
	}
	for _, v := range r.Renditions {
		out.Renditions = append(out.Renditions, encode.Rendition{
			ID: v.ID, Codec: v.Codec, Codecs: v.Codecs, Width: v.Width, Height: v.Height, FrameRate: v.FrameRate, DynamicRange: v.Range,
			Bandwidth: v.Peak, AverageBandwidth: v.Mean, Size: v.Bytes, MP4: v.MP4,
		})
	}
	for _, s := range r.Subtitles {
		out.Tracks = append(out.Tracks, encode.Track{Type: "subtitle", Codec: "webvtt", Language: s.Language, Name: s.Name})
		out.Subtitles = append(out.Subtitles, encode.SubtitleTrack{Language: s.Language, Name: s.Name})
	}
	for i, w := range r.Warnings {
		if i == mostWarnings {
			out.Warnings = append(out.Warnings, encode.Warning{Code: "more", Message: fmt.Sprintf("and %d warnings more", len(r.Warnings)-i)})
			break
		}
		out.Warnings = append(out.Warnings, encode.Warning(w))
	}
	return out
}

// mostWarnings are in an answer, which has to fit into a row; the report has all.
const mostWarnings = 100

// forTheQueue puts what went wrong on a worker into words for the owner of the
// asset, who knows no folders and gives no commands.
func forTheQueue(ctx context.Context, err error) error {
	switch code := fault.CodeOf(err); {
	case err == nil || ctx.Err() != nil:
		return err
	case code == fault.StorageFull:
		return fault.Wrap(err, code, "the disk is full; encoding goes on when there is room")
	case code == fault.Forbidden || code == fault.Conflict:
		return fault.Wrap(err, fault.Unavailable, "the worker cannot write what it makes; see its log")
	}
	var known *fault.Error
	if !errors.As(err, &known) {
		return fault.Wrap(err, fault.Internal, "the encoder broke; see the worker's log")
	}
	return err
}
