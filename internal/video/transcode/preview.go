package transcode

import (
	"context"

	"liuyun/internal/av/rate"
	"liuyun/internal/base/fault"
	"liuyun/internal/base/timebase"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/video/transcode/timeline"
)

// Preview is what is in a source and what would be made of it, without decoding
// more than its head.
type Preview struct {
	Version   int                `json:"version"` // of this document: 1
	Name      string             `json:"name"`
	Bytes     int64              `json:"bytes"`
	Format    string             `json:"format"`
	Duration  float64            `json:"duration_s"`
	BitRate   int64              `json:"bit_rate"`
	Video     *VideoFacts        `json:"video,omitempty"`
	Audio     []AudioFacts       `json:"audio"`
	Subtitles []SubtitleFacts    `json:"subtitles"`
	Warnings  []Warning          `json:"warnings"` // what is odd about it
	Made      []PreviewRendition `json:"would_make"`
	MadeAudio []string           `json:"would_make_audio"`
	CPU       float64            `json:"cpu_s_estimate"`
	Wall      float64            `json:"wall_s_estimate"` // on this machine, roughly
}

// SubtitleFacts describe one track of subtitles.
type SubtitleFacts struct {
	Stream   int    `json:"stream"`
	Codec    string `json:"codec"`
	Language string `json:"language,omitempty"`
	Text     bool   `json:"text"` // else pictures, which are left out
}

// PreviewRendition is one rung that would be made.
type PreviewRendition struct {
	ID     string  `json:"id"`
	Width  int     `json:"width"`
	Height int     `json:"height"`
	Rate   float64 `json:"frame_rate"`
	Cap    int64   `json:"cap"` // bits a second at most
}

// Preview looks at source and tells what Encode would make of it.
func (s *Service) Preview(ctx context.Context, source Source, options Options) (*Preview, error) {
	j, err := s.newJob(source, options)
	if err != nil {
		return nil, err
	}
	if err := j.look(ctx); err != nil {
		return nil, err
	}
	inv := j.inventory
	p := &Preview{
		Version: 1, Name: source.Name(), Bytes: source.Size(), Format: inv.media.Format, Duration: inv.seconds, BitRate: inv.media.BitRate,
		Audio: inv.audioFacts(), Subtitles: []SubtitleFacts{}, Made: []PreviewRendition{}, MadeAudio: []string{},
	}
	for _, t := range inv.media.Subtitles {
		p.Subtitles = append(p.Subtitles, SubtitleFacts{Stream: t.Index, Codec: t.Codec, Language: knownLanguage(t.Language), Text: t.Text})
	}
	for _, t := range inv.audio {
		p.MadeAudio = append(p.MadeAudio, t.ID)
	}
	if inv.video != nil {
		if err := j.previewPicture(p); err != nil {
			return nil, err
		}
	}
	p.CPU += float64(len(inv.audio)) * inv.seconds * audioCost
	p.Wall = p.CPU / float64(options.workers()) * 1.05
	p.Warnings = append([]Warning{}, j.warnings...)
	return p, nil
}

// Rough costs in CPU seconds on one core of 2024: they make an estimate, no
// promise.
var (
	// encodeCost is for a million pixels of H.264, by preset.
	encodeCost = map[string]float64{
		"ultrafast": 0.004, "superfast": 0.006, "veryfast": 0.009, "faster": 0.014, "fast": 0.018,
		"medium": 0.025, "slow": 0.045, "slower": 0.10, "veryslow": 0.18,
	}
	codecCost = map[string]float64{"h264": 1, "hevc": 4, "av1": 2.5}
)

const (
	decodeCost = 0.003 // twice for a million pixels of the source
	audioCost  = 0.012 // for a second of sound
)

func (j *job) previewPicture(p *Preview) error {
	inv := j.inventory
	v := inv.video
	fps := likelyRate(v)
	width, height := inv.picture.Shown()
	p.Video = inv.videoFacts(fps.Float(), v.RealRate.Valid() && v.AverageRate.Valid() && timeline.Apart(v.RealRate.Float(), v.AverageRate.Float()) > 0.02)
	rungs, err := rate.Parse(j.options.Ladder, rate.Source{Width: width, Height: height, FrameRate: fps})
	if err != nil {
		return fault.New(fault.Invalid, "%v", err)
	}
	frames := inv.seconds * fps.Float()
	for _, codec := range j.options.Codecs {
		for _, rung := range rungs {
			kept := fps.Mul(1, int64(rung.Step)).Float()
			p.Made = append(p.Made, PreviewRendition{
				ID: codec + "-" + rung.Name, Width: rung.Width, Height: rung.Height, Rate: kept, Cap: int64(float64(rung.Cap) * rateShare[codec]),
			})
			megapixels := inv.seconds * kept * float64(rung.Width*rung.Height) / 1e6
			p.CPU += megapixels * encodeCost[j.options.Preset] * codecCost[codec]
		}
		p.CPU += frames * float64(v.Width*v.Height) / 1e6 * decodeCost
	}
	p.CPU += frames * float64(v.Width*v.Height) / 1e6 * decodeCost
	return nil
}

func likelyRate(v *ffmpeg.VideoStream) timebase.Rational {
	return timeline.Likely(v.AverageRate, v.RealRate)
}
