package compare

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image"
	"io"
	"log/slog"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/encode"
	"liuyun/internal/engine/ffmpeg"
	engine "liuyun/internal/engine/quality"
	"liuyun/internal/kit/blob"
	"liuyun/internal/kit/job"
	"liuyun/internal/video/compare/report"
)

// Deps are what a Handler works with. All but Models must be set.
type Deps struct {
	Tools   *ffmpeg.Tools
	Objects blob.Store
	Files   Files
	Scratch string              // a folder that nobody else uses
	Room    func(n int64) error // fault.StorageFull when the disk has no room for n more bytes
	Models  []string            // files of VMAF models; none tells XPSNR
	Looks   func(picture image.Image) (width, height int, values []float32, err error)
	Workers int // frames that are measured at a time
	Log     *slog.Logger
	Program string // what pages say that they were made by
}

// Files opens objects as files of this machine: a *blob.Cache.
type Files interface {
	File(ctx context.Context, name string) (*os.File, error)
}

// Handler does jobs of the kind encode.Compare. It has one at a time, which decodes
// two films at once, each on one core, and measures beside the encodes of the same
// machine.
type Handler struct{ Deps }

// NewHandler starts nothing.
func NewHandler(d Deps) *Handler { return &Handler{d} }

// Clean removes what a killed process left in Scratch. It must not be called while
// the handler runs.
func (h *Handler) Clean() error { return os.RemoveAll(h.Scratch) }

// Kind is the handler as a kind of job.
func (h *Handler) Kind() job.Kind {
	return job.Kind{Slots: 1, Handle: func(ctx context.Context, l *job.Lease) (any, error) {
		var ask encode.CompareRequest
		if err := json.Unmarshal(l.Payload, &ask); err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "what is to be compared cannot be read")
		}
		result, err := h.compare(ctx, ask, l.Progress)
		return result, forTheQueue(ctx, err)
	}}
}

// forTheQueue puts what went wrong into words for the owner of the asset.
func forTheQueue(ctx context.Context, err error) error {
	var known *fault.Error
	switch {
	case err == nil || ctx.Err() != nil:
		return err
	case fault.CodeOf(err) == fault.StorageFull:
		return fault.Wrap(err, fault.StorageFull, "the disk is full; comparing goes on when there is room")
	case !errors.As(err, &known):
		return fault.Wrap(err, fault.Internal, "the comparison broke; see the worker's log")
	}
	return err
}

// box is the longest side at which assets are compared. VMAF knows nothing larger
// than 4K, and a meter at 8K takes four times the memory.
const box = 3840

// compare makes the page and the numbers, and stores both.
func (h *Handler) compare(ctx context.Context, ask encode.CompareRequest, tell func(share float64, phase string)) (*encode.CompareResult, error) {
	if blob.CheckPrefix(ask.Prefix) != nil || blob.CheckPrefix(ask.Result) != nil {
		return nil, fault.New(fault.Invalid, "%.80q cannot be compared into %.80q", ask.Result, ask.Prefix)
	}
	if err := h.checkModels(); err != nil {
		return nil, err
	}
	tell(0, encode.Compare) // fetching may take a while
	if err := os.MkdirAll(h.Scratch, 0o755); err != nil {
		return nil, err
	}
	scratch, err := os.MkdirTemp(h.Scratch, "")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	made, encodes, err := h.fetch(ctx, ask.Result, scratch)
	defer CloseAll(encodes)
	if err != nil {
		return nil, gone(err)
	}
	source, err := h.Files.File(ctx, ask.Source)
	if err != nil {
		return nil, gone(err)
	}
	defer source.Close()

	result := &encode.CompareResult{}
	p := progress{tell: tell, encodes: len(encodes)}
	service := Service{Tools: h.Tools, Looks: h.Looks, OnProgress: p.update, Refused: func(e *Entry, why error) {
		p.leaveOut()
		result.LeftOut = append(result.LeftOut, encode.LeftOut{Rendition: e.Name, Message: fault.Message(why)})
	}}
	d, err := service.Compare(ctx, &Entry{File: source, Name: ask.Name}, encodes, scratch, Options{
		Every: ask.Every, Moments: ask.Frames, Models: h.Models, Box: box, Starts: made.Plan.ShotStarts, Workers: h.Workers,
	})
	if err != nil {
		return nil, err
	}
	d.Program = h.Program
	var page bytes.Buffer
	if err := report.Write(&page, d); err != nil {
		return nil, err
	}
	numbers, err := json.Marshal(Numbers(d))
	if err != nil {
		return nil, err
	}
	for _, file := range []struct {
		name string
		data []byte
	}{{encode.ComparisonNumbers, numbers}, {encode.ComparisonPage, page.Bytes()}} {
		info, err := h.Objects.Put(ctx, ask.Prefix+file.name, bytes.NewReader(file.data))
		if err != nil {
			return nil, err
		}
		result.Stored += info.Size
	}
	return result, nil
}

// checkModels refuses models that cannot be used: whose asset it is can do nothing
// about them, and shall not read where they lie.
func (h *Handler) checkModels() error {
	var models []engine.Model
	for _, file := range h.Models {
		models = append(models, engine.Model{Name: modelName(file), Path: file})
	}
	if err := engine.New(h.Tools).Check(models); err != nil {
		h.Log.Error("a VMAF model cannot be used", "cause", err)
		return fault.New(fault.Unavailable, "a VMAF model of the worker that compares cannot be used; its log says which")
	}
	return nil
}

// gone says that what was absent will not come back.
func gone(err error) error {
	if fault.CodeOf(err) == fault.NotFound {
		return fault.Wrap(err, fault.NotFound, "the asset was changed or removed meanwhile; compare it again")
	}
	return err
}

// fetch puts the renditions of a result together in scratch. What is open when it
// fails is returned.
func (h *Handler) fetch(ctx context.Context, prefix, scratch string) (m encode.Report, all []*Entry, err error) {
	object, err := h.Objects.Open(ctx, prefix+encode.ReportName)
	if err != nil {
		return m, nil, err
	}
	m, err = readReport(object)
	object.Close()
	if err != nil {
		return m, nil, fault.Wrap(err, fault.Internal, "the report of this asset cannot be read")
	}
	if len(m.Renditions) == 0 {
		return m, nil, fault.New(fault.Invalid, "there is no picture to compare")
	}
	from := objectFolder{h.Objects, prefix}
	var size int64
	for _, r := range m.Renditions {
		err := h.Objects.List(ctx, prefix+path.Dir(r.Playlist)+"/", func(info blob.Info) error {
			size += info.Size
			return nil
		})
		if err != nil {
			return m, nil, err
		}
	}
	if err := h.Room(size); err != nil {
		return m, nil, err
	}
	all, err = openRenditions(ctx, from, m.Renditions, scratch)
	return m, all, err
}

// objectFolder is one in a store.
type objectFolder struct {
	store  blob.Store
	prefix string
}

func (f objectFolder) names(ctx context.Context, folder string) (names []string, err error) {
	err = f.store.List(ctx, f.prefix+folder+"/", func(info blob.Info) error {
		names = append(names, strings.TrimPrefix(info.Name, f.prefix))
		return nil
	})
	return names, err
}

func (f objectFolder) open(ctx context.Context, name string) (io.ReadCloser, error) {
	return f.store.Open(ctx, f.prefix+name)
}

// progress makes one share of the phases of a comparison.
type progress struct {
	tell    func(share float64, phase string)
	encodes int

	mu      sync.Mutex
	phase   string
	current int // encodes that are being measured or have been
	last    time.Time
}

// tellEvery is how often the queue is told.
const tellEvery = 250 * time.Millisecond

// leaveOut takes an encode off those that will be measured, or was found not to fit
// while it was.
func (p *progress) leaveOut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current == 0 {
		p.encodes--
	}
}

// update takes what Service.OnProgress is told: reading and shots are a tenth of the
// whole, pictures another, measuring the rest.
func (p *progress) update(phase string, share float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fresh := phase != p.phase
	from, length := 0.0, 0.05
	switch phase {
	case phaseRead:
	case phaseShots:
		from = 0.05
	case phasePictures:
		from, length = 0.9, 0.1
	default: // an encode
		if fresh {
			p.current++
		}
		length = 0.8 / float64(max(1, p.encodes))
		from = 0.1 + length*float64(p.current-1)
	}
	if now := time.Now(); fresh || now.Sub(p.last) >= tellEvery {
		p.phase, p.last = phase, now
		p.tell(min(1, from+length*share), encode.Compare)
	}
}
