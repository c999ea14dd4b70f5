// Package quality compares two media files picture by picture: an encode with
// what it was made from. It decodes both with ffmpeg children, brings them to
// one size, shape, depth and range, pairs frames by their times, and has each
// pair scored by the best that the machine has: ffmpeg's libvmaf filter, the
// vmaf program, our own VMAF (av/quality), or XPSNR, which needs nothing. What
// cannot be paired is refused before anything is scored. It does not say what a
// score means for an encode.
package quality

import (
	"context"
	"runtime"
	"slices"

	"liuyun/internal/base/fault"
	"liuyun/internal/engine/ffmpeg"
)

// The size for which VMAF v0.6.1 and its NEG form were trained; the 4K model is
// for twice that.
const (
	ModelWidth  = 1920
	ModelHeight = 1080
)

// Options say how to compare.
type Options struct {
	// Models are what to score with, as paths to JSON files; empty leaves only
	// XPSNR.
	Models []Model
	// Also are further metrics, which cost little: PSNR and SSIM. They are always
	// ours.
	Also []string
	// Width and Height are a box into which both are scaled (bicubic), keeping
	// the reference's shape; 0 and 0 take the reference's own size.
	Width, Height int
	// Every scores each n-th frame only; 0 and 1 score all.
	Every int
	// Provider forces one; "" takes the first that can.
	Provider Provider
	// Workers is how many frames are scored at once; 0 is one a core. Large
	// pictures get fewer, so that what they need stays inside 2 GiB.
	Workers int
	// Scratch is where files of the comparison lie while it lasts; "" is the
	// system's temporary folder.
	Scratch string
	// OnProgress is told how many frames have been scored, and of how many, about
	// each second of work; nil tells nobody.
	OnProgress func(done, total int)
}

// Model is a VMAF model, and what its scores are called.
type Model struct {
	Name string // "vmaf", "vmaf_neg"
	Path string
}

// Provider names what scores.
type Provider string

// The providers, in the order in which they are tried.
const (
	FFmpegLibvmaf Provider = "ffmpeg-libvmaf" // ffmpeg's filter, where it was built with it
	VMAFProgram   Provider = "vmaf"           // Netflix's program, where it is in PATH
	Own           Provider = "liuyun"         // av/quality
	XPSNR         Provider = "xpsnr"          // av/quality, without a model
)

func providers() []Provider { return []Provider{FFmpegLibvmaf, VMAFProgram, Own, XPSNR} }

// Report is what a comparison found.
type Report struct {
	Provider Provider `json:"provider"`
	Width    int      `json:"width"` // at which was compared
	Height   int      `json:"height"`
	Depth    int      `json:"depth"`
	Total    int      `json:"total"` // frames of each
	Every    int      `json:"every"`
	// Metrics has one of each model's name, in their order, or "xpsnr" in dB; then
	// those of Options.Also.
	Metrics []Metric `json:"metrics"`
}

// Validate says what is wrong with o.
func (o Options) Validate() error {
	switch {
	case o.Every < 0 || o.Workers < 0:
		return fault.New(fault.Invalid, "every %d and workers %d must not be below 0", o.Every, o.Workers)
	case (o.Width == 0) != (o.Height == 0) || o.Width < 0 || o.Height < 0:
		return fault.New(fault.Invalid, "the size %d×%d to compare at needs both sides, or neither", o.Width, o.Height)
	case o.Provider != "" && !slices.Contains(providers(), o.Provider):
		return fault.New(fault.Invalid, "there is no provider %q: choose one of %v, or none for the best there is", o.Provider, providers())
	case slices.ContainsFunc(o.Also, func(name string) bool { return name != PSNR && name != SSIM }):
		return fault.New(fault.Invalid, "of the metrics %v, only %s and %s can be had besides", o.Also, PSNR, SSIM)
	case len(o.Models) > 4:
		return fault.New(fault.Invalid, "%d models at once: 4 at most", len(o.Models))
	}
	return nil
}

// Comparer compares media on this machine. It is safe for concurrent use.
type Comparer struct {
	tools   *ffmpeg.Tools
	program string // the path of vmaf, "" where there is none
}

// New looks for what can score here.
func New(tools *ffmpeg.Tools) *Comparer {
	return &Comparer{tools: tools, program: findProgram()}
}

// Providers are those that can score here with the given models, the best first.
func (c *Comparer) Providers(models int) []Provider {
	return slices.DeleteFunc(providers(), func(p Provider) bool {
		switch p {
		case FFmpegLibvmaf:
			return models == 0 || !c.tools.HasFilter("libvmaf")
		case VMAFProgram:
			return models == 0 || c.program == ""
		case Own:
			return models == 0
		}
		return false
	})
}

// choose returns the provider asked for, or the best.
func (c *Comparer) choose(o Options) (Provider, error) {
	can := c.Providers(len(o.Models))
	if o.Provider == "" {
		return can[0], nil
	}
	if slices.Contains(can, o.Provider) {
		return o.Provider, nil
	}
	if len(o.Models) == 0 {
		return "", fault.New(fault.Invalid, "%s needs a model: give the path of a VMAF model file (vmaf_v0.6.1.json), or set quality.model", o.Provider)
	}
	return "", fault.New(fault.Unavailable, "%s is not on this machine: leave the choice open, or install it", o.Provider)
}

// CheckPair says what of two files does not fit, without decoding them: nil, or what
// Compare would refuse them for at its beginning.
func CheckPair(ref, dis *Video) error {
	_, err := align(ref, dis, Options{})
	return err
}

// Memory is about how many bytes Compare needs: two decoders, and what scores.
func Memory(ref, dis *Video, o Options) int64 {
	p, err := align(ref, dis, o)
	if err != nil {
		return 0
	}
	decoders := ffmpeg.Unit{Picture: p.ref.picture}.Memory() + ffmpeg.Unit{Picture: p.dis.picture}.Memory()
	return decoders + int64(o.workers(p)+buffered)*int64(p.width*p.height*meterBytes)
}

// Compare scores dis against ref. A fault.Invalid says what does not fit: no
// picture, another shape, other frames, other times.
func (c *Comparer) Compare(ctx context.Context, ref, dis *Video, o Options) (*Report, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	provider, err := c.choose(o)
	if err != nil {
		return nil, err
	}
	models, err := readModels(o.Models)
	if err != nil {
		return nil, err
	}
	pair, err := align(ref, dis, o)
	if err != nil {
		return nil, err
	}
	if provider == XPSNR {
		models = nil
	}
	run := comparison{also: alsoMetrics(o.Also), Comparer: c, pair: pair, options: o, models: models, every: max(1, o.Every)}
	run.workers = o.workers(pair)
	switch provider {
	case FFmpegLibvmaf, VMAFProgram:
		err = run.external(ctx, provider)
	default:
		err = run.own(ctx)
	}
	if err != nil {
		return nil, err
	}
	report := &Report{
		Provider: provider, Width: pair.width, Height: pair.height, Depth: pair.depth,
		Total: pair.ref.seen, Every: run.every, Metrics: append(run.metrics, run.also...),
	}
	for i := range report.Metrics {
		report.Metrics[i].summarise()
	}
	return report, nil
}

// What the meters of all workers may take together, what one needs for a sample, and
// about how many meters the frames that wait for one are worth.
const (
	meterBudget = 2 << 30
	meterBytes  = 17
	buffered    = 1
)

// workers is how many frames are scored at once.
func (o Options) workers(p *pair) int {
	n := o.Workers
	if n == 0 {
		n = runtime.GOMAXPROCS(0)
	}
	return max(1, min(n, meterBudget/(p.width*p.height*meterBytes)))
}

// comparison is one run of Compare.
type comparison struct {
	*Comparer
	pair    *pair
	options Options
	models  []model
	every   int
	workers int
	metrics []Metric
	also    []Metric // of Options.Also
}
