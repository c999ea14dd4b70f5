package transcode

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"sync"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/encode"
	"liuyun/internal/contract/worker"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/kit/blob"
	queue "liuyun/internal/kit/job"
)

// Deps are what the handlers work with. Cores, Room, Bus, Figures and Log may be left
// zero.
type Deps struct {
	Tools   *ffmpeg.Tools
	Objects blob.Store
	Files   Files
	// Scratch is a folder that nobody else uses, on the file system of Objects
	// where those are on this machine.
	Scratch string
	Cores   int                 // children at a time; 0: one a core
	Room    func(n int64) error // fault.StorageFull when the disk has no room for n more bytes
	Bus     Subscriber          // tells how far units are; nil: they count when they are done
	// VMAFModel is a file with a model, see Options.Model; "" estimates quality.
	VMAFModel string
	// Hardware are tools of OnHardware that make what asks for it; nil: there are none.
	Hardware *ffmpeg.Tools
	Figures  func() *worker.Figures // of this machine: what its work takes
	Log      *slog.Logger
}

// Subscriber listens to what is told on the bus: a *bus.Bus.
type Subscriber interface {
	Subscribe(subject string, fn func(subject string, data []byte)) (stop func(), err error)
}

// Files opens objects as files of this machine: a *blob.Cache.
type Files interface {
	File(ctx context.Context, name string) (*os.File, error)
}

// Handlers do the jobs of the kinds encode.Transcode and encode.Unit. All share
// Cores: a child of any of them waits for its turn, so that analysis, sound and
// units together never ask for more than the machine has. Who waits for other
// jobs waits without a turn, so nothing can wait in a circle.
type Handlers struct {
	tools     *ffmpeg.Tools
	hardware  *ffmpeg.Tools // nil: none
	objects   blob.Store
	files     Files
	scratch   string
	cores     int
	room      func(n int64) error
	bus       Subscriber
	figures   func() *worker.Figures
	vmafModel string
	log       *slog.Logger
}

// NewHandlers starts nothing.
func NewHandlers(d Deps) *Handlers {
	h := &Handlers{objects: d.Objects, files: d.Files, scratch: d.Scratch, cores: d.Cores, room: d.Room, bus: d.Bus, figures: d.Figures, vmafModel: d.VMAFModel, log: d.Log}
	if h.cores <= 0 {
		h.cores = runtime.GOMAXPROCS(0)
	}
	if h.figures == nil {
		h.figures = func() *worker.Figures { return nil }
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	h.tools = d.Tools.AtMost(h.cores)
	if d.Hardware != nil {
		h.hardware = d.Hardware.Sharing(h.tools)
	}
	return h
}

// toolsOf are those that give the bytes of a class, or nil.
func (h *Handlers) toolsOf(class string) *ffmpeg.Tools {
	switch {
	case class == h.tools.Class:
		return h.tools
	case h.hardware != nil && class == h.hardware.Class:
		return h.hardware
	}
	return nil
}

// coordinators is how many assets one worker has in the making: while one waits
// for its last units, another is analysed.
const coordinators = 2

// Kinds are the handlers for a worker of the class Tools.Class.
func (h *Handlers) Kinds() map[string]queue.Kind {
	return map[string]queue.Kind{
		encode.Transcode: {Slots: coordinators, Handle: func(ctx context.Context, l *queue.Lease) (any, error) {
			result, err := h.transcode(ctx, l.Job, l)
			return result, forTheQueue(ctx, err)
		}},
		encode.Unit: {Slots: h.cores, Brief: true, Handle: func(ctx context.Context, l *queue.Lease) (any, error) {
			result, err := h.unit(ctx, l.Job, l)
			if fault.CodeOf(err) == fault.NotFound {
				// The coordinator knows whether it is gone for good.
				err = fault.Wrap(err, fault.Unavailable, "what the unit needs is not there")
			}
			return result, forTheQueue(ctx, err)
		}},
	}
}

// lease is what a handler needs of a *queue.Lease.
type lease interface {
	children
	Progress(fraction float64, phase string)
}

// Clean removes what a killed process left in Scratch. It must not be called while
// a handler runs.
func (h *Handlers) Clean() error { return emptyFolder(h.scratch) }

// folder makes a folder in Scratch. What has to outlast it is on the shelf: an
// attempt begins with an empty one, and removes it.
func (h *Handlers) folder(pattern string) (string, error) {
	if err := os.MkdirAll(h.scratch, 0o755); err != nil {
		return "", explainWrite(err, h.scratch)
	}
	folder, err := os.MkdirTemp(h.scratch, pattern)
	return folder, explainWrite(err, h.scratch)
}

// workdir opens a work folder in dir that has what is made for an asset on the
// shelf.
func (h *Handlers) workdir(dir, asset string) (*workdir, *objectShelf, error) {
	shelf := &objectShelf{objects: h.objects, asset: asset, scratch: dir}
	work, err := openWorkdir(filepath.Join(dir, "work"))
	if err != nil {
		return nil, nil, err
	}
	work.shelf, work.room = shelf, h.room
	return work, shelf, nil
}

// open opens the object to decode. The caller closes it.
func (h *Handlers) open(ctx context.Context, object, name string) (*FileSource, error) {
	file, err := h.files.File(ctx, object)
	if fault.CodeOf(err) == fault.NotFound {
		return nil, fault.Wrap(err, fault.NotFound, "the source is gone; upload it again")
	}
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && info.Size() == 0 {
		err = fault.New(fault.Invalid, "%s is empty (0 bytes)", name)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return &FileSource{file: file, name: name, size: info.Size()}, nil
}

// transcode makes the stream of an asset.
func (h *Handlers) transcode(ctx context.Context, own queue.Job, l lease) (*encode.Result, error) {
	ask, err := readRequest(own.Payload)
	if err != nil {
		return nil, err
	}
	options, err := ParseOptions(ask.Options)
	if err != nil {
		return nil, err
	}
	if (options.optimizes() || options.ownLadder()) && h.vmafModel != "" {
		if options.Model, err = ReadModel(h.vmafModel); err != nil {
			h.log.Error("the VMAF model cannot be used", "file", h.vmafModel, "cause", err)
			return nil, fault.New(fault.Unavailable, "the VMAF model of the machine that plans this video cannot be used; its log says why")
		}
	}
	added, err := readAdded(ctx, h.objects, ask.Subtitles)
	if err != nil {
		return nil, err
	}
	dir, err := h.folder(ask.Asset + "-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if ask.Previous != "" {
		result, err := h.subtitle(ctx, dir, ask, added)
		if result != nil || err != nil {
			return result, err
		}
	}
	source, err := h.open(ctx, ask.Source, cleanName(ask.Name))
	if err != nil {
		return nil, err
	}
	defer source.Close()
	c := coordinator{Handlers: h, own: own, lease: l, ask: ask, dir: dir}
	return c.run(ctx, source, options, added)
}

// coordinator makes one asset, its units by other jobs.
type coordinator struct {
	*Handlers
	own   queue.Job
	lease lease
	ask   encode.Request
	dir   string
}

func (c *coordinator) run(ctx context.Context, source Source, options Options, added []addedSubtitles) (*encode.Result, error) {
	options.Workers = c.cores
	report := progressReport{lease: c.lease}
	tools := c.tools
	if options.Hardware {
		if tools = c.hardware; tools == nil {
			return nil, fault.New(fault.Unavailable, "this worker has no hardware encoder")
		}
	}
	service := Service{Tools: tools, Log: c.log.With("asset", c.ask.Asset), OnProgress: report.tell}
	j, err := service.newJob(source, options)
	if err != nil {
		return nil, err
	}
	j.asked, j.added = &c.ask.Options, added
	j.key = streamKey(j.tools.Class, j.fingerprint, j.spec, added)
	prefix := resultPrefix(c.ask, j.key)
	if ready, err := c.present(ctx, prefix); ready != nil || err != nil {
		return ready, err
	}
	if j.work, _, err = c.workdir(c.dir, c.ask.Asset); err != nil {
		return nil, err
	}
	defer j.work.close()
	executor := &queueExecutor{job: j, request: c.ask, parent: c.own, children: c.lease, watched: map[string]*watched{}}
	if c.bus != nil {
		stop, err := c.bus.Subscribe(queue.SubjectProgress, executor.hear)
		if err != nil {
			return nil, err
		}
		defer stop()
	}
	j.executor, j.sink = executor, &objectSink{c.objects, prefix}
	made, err := j.run(ctx)
	if err != nil {
		return nil, err
	}
	result, err := c.result(ctx, made, prefix)
	if err != nil {
		return nil, err
	}
	result.CPUSeconds, result.OwnCPUSeconds = made.Run.CPU, made.Run.CPU-executor.cpu.Seconds()
	result.OwnSpent = c.figures().SecondsOf(result.OwnCPUSeconds)
	result.Units, result.Reused = made.Run.Units, made.Run.Reused
	return result, nil
}

// resultPrefix is where the result of a request lies, the same in each attempt at it.
func resultPrefix(ask encode.Request, key string) string {
	if ask.Version > 0 {
		key = fmt.Sprintf("%s-%d", key, ask.Version)
	}
	return "assets/" + ask.Asset + "/" + key + "/"
}

// present returns the result below prefix when it is there and whole: an attempt
// before made it and did not come to say so.
func (h *Handlers) present(ctx context.Context, prefix string) (*encode.Result, error) {
	var report Report
	found, err := readObjectJSON(ctx, h.objects, prefix+reportName, &report)
	if err != nil || !found {
		return nil, err
	}
	return h.result(ctx, &report, prefix)
}

// result is the answer for what lies below prefix.
func (h *Handlers) result(ctx context.Context, report *Report, prefix string) (*encode.Result, error) {
	var stored int64
	err := h.objects.List(ctx, prefix, func(info blob.Info) error {
		stored += info.Size
		return nil
	})
	if err != nil {
		return nil, err
	}
	return resultOf(report, prefix, stored), nil
}

// subtitle makes the result from an earlier one that differs only in what was
// added. It returns nil when there is no such.
func (h *Handlers) subtitle(ctx context.Context, dir string, ask encode.Request, added []addedSubtitles) (*encode.Result, error) {
	if blob.CheckPrefix(ask.Previous) != nil {
		return nil, fault.New(fault.Invalid, "%.80q is no earlier result", ask.Previous)
	}
	var p parts
	found, err := readObjectJSON(ctx, h.objects, ask.Previous+partsName, &p)
	if err != nil || !found || !p.whole() || !reflect.DeepEqual(p.Options, ask.Options) {
		return nil, err
	}
	prefix := resultPrefix(ask, streamKey(p.Class, p.Source, p.Spec, added))
	if ready, err := h.present(ctx, prefix); ready != nil || err != nil {
		return ready, err
	}
	if h.room != nil {
		if err := h.room(0); err != nil {
			return nil, err
		}
	}
	stage := filepath.Join(dir, "stage")
	if found, err := blob.GetFolder(ctx, h.objects, ask.Previous, stage); err != nil || !found {
		return nil, err
	}
	report, err := p.subtitle(ctx, stage, added)
	if err != nil {
		return nil, explainWrite(err, stage)
	}
	sink := &objectSink{h.objects, prefix}
	if err := sink.publish(ctx, stage); err != nil {
		return nil, explainWrite(err, stage)
	}
	return h.result(ctx, report, prefix)
}

// unit makes one unit, or analyses one stretch.
func (h *Handlers) unit(ctx context.Context, own queue.Job, l lease) (*encode.UnitResult, error) {
	var task unitTask
	if err := json.Unmarshal(own.Payload, &task); err != nil || task.class() == "" {
		return nil, fault.Wrap(err, fault.Invalid, "the unit cannot be read")
	}
	tools := h.toolsOf(task.class())
	if tools == nil {
		return nil, fault.New(fault.Unavailable, "the unit is for another build of ffmpeg than this worker's")
	}
	dir, err := h.folder("unit-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	work, shelf, err := h.workdir(dir, task.Asset)
	if err != nil {
		return nil, err
	}
	defer work.close()
	source, err := h.open(ctx, task.Media, task.Name)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	result, err := task.make(ctx, &maker{
		tools: tools, log: h.log.With("asset", task.Asset), input: source.Input(), work: work, signatures: shelf.signatures,
	}, l)
	if result != nil {
		result.Spent = h.figures().SecondsOf(result.CPUSeconds)
	}
	return result, err
}

// make has the task done by m.
func (t *unitTask) make(ctx context.Context, m *maker, l lease) (*encode.UnitResult, error) {
	frames := 0
	var result UnitResult
	var err error
	if t.Unit != nil {
		result, err = m.unit(ctx, *t.Unit, func(n int) {
			frames += n
			l.Progress(float64(frames)/float64(max(1, t.Unit.Encode.Count)), phaseEncode)
		})
	} else {
		result, err = m.stretch(ctx, *t.Stretch, func(n int) { frames += n })
		if errors.Is(err, errApart) {
			return &encode.UnitResult{Apart: true, CPUSeconds: m.cpu.Seconds()}, nil
		}
	}
	if err != nil {
		return nil, err
	}
	out := &encode.UnitResult{
		Hash: result.Hash, Frames: frames, CPUSeconds: result.CPU.Seconds(), MeasureSeconds: result.Measured.Seconds(), Reused: result.Reused, Retries: result.Retries,
	}
	for _, w := range result.Warnings {
		out.Warnings = append(out.Warnings, encode.Warning(w))
	}
	return out, nil
}

// progressReport tells the queue how far an asset is, over all phases.
type progressReport struct {
	lease lease

	mu    sync.Mutex
	phase string
	last  time.Time
}

// shares is where each phase begins and what share of the whole it is.
func share(phase string) (from, length float64) {
	switch phase {
	case phaseAnalyse:
		return 0, 0.15
	case phaseEncode:
		return 0.15, 0.8
	}
	return 0.95, 0.05
}

// tellEvery is how often the queue is told.
const tellEvery = 250 * time.Millisecond

func (r *progressReport) tell(p Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if p.Phase == r.phase && now.Sub(r.last) < tellEvery {
		return
	}
	r.phase, r.last = p.Phase, now
	from, length := share(p.Phase)
	done := 0.0
	if p.Total > 0 {
		done = min(1, float64(p.Done)/float64(p.Total))
	}
	r.lease.Progress(from+length*done, p.Phase)
}
