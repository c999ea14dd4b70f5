// Package transcode turns a source into an adaptive stream: it decodes once to
// find shots, plans frames, cuts and renditions, has encode units made by an
// Executor, checks them against the plan, and packages one set of CMAF segments
// for HLS and DASH. Everything it makes on the way is named by a hash of what it
// depends on and committed whole, so that a job that was killed goes on where it
// stopped and gives the same bytes. It starts no process itself (engine/ffmpeg
// does) and knows no server.
package transcode

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/encode"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/kit/proc"
)

// resultVersion is raised when the same options give other bytes than before,
// for a reason that no hash of arguments shows (packaging, manifests, what a search decides).
const resultVersion = "5"

// Service makes adaptive streams. All fields but Tools may be left zero.
type Service struct {
	Tools *ffmpeg.Tools
	Log   *slog.Logger
	// OnProgress is told how far a job is, once a picture at most. It must be quick.
	OnProgress func(Progress)
	// OnWarning is told of each warning as it arises; the report has them all.
	OnWarning func(Warning)
}

// job is one run of one source into one folder.
type job struct {
	tools       *ffmpeg.Tools
	log         *slog.Logger
	source      Source
	input       ffmpeg.Input // the source, or a repaired copy of it
	repaired    *os.File
	copied      string // what repaired is, below the shelf: hash/file
	options     Options
	fingerprint string
	spec        []string // what the result depends on besides the source and the class
	key         string   // names the job
	added       []addedSubtitles
	asked       *encode.Options // by the queue: parts are written, too
	work        *workdir
	gauge       gauge // by which rungs are placed; nil: they are the standard ones
	progress    *progress
	onWarning   func(Warning)

	inventory  *inventory
	plan       *plan
	analysis   *analysis
	signatures *os.File // of the source's frames, see readSignatures
	executor   Executor
	sink       sink

	mu       sync.Mutex
	cpu      time.Duration
	unitsCPU time.Duration // of cpu, for all units
	measured time.Duration // of cpu, to measure quality
	tries    time.Duration // of cpu, for units that were not taken in the end
	retries  int
	warnings []Warning
}

// Encode makes the adaptive stream of source in the folder root, which must be
// absent, empty, or left by an earlier run. When it returns an error, what has
// been made is kept for the next run. A canceled context gives fault.Canceled.
func (s *Service) Encode(ctx context.Context, source Source, root string, options Options) (*Report, error) {
	began := time.Now()
	j, err := s.newJob(source, options)
	if err != nil {
		return nil, err
	}
	report, err := j.completed(root)
	if err != nil {
		return nil, err
	}
	if report != nil {
		report.Run = &RunReport{Complete: true, Wall: time.Since(began).Seconds(), Sandbox: proc.Sandbox()}
		return report, nil
	}
	if j.work, err = openWorkdir(root); err != nil {
		return nil, err
	}
	j.sink = j.work
	report, err = j.run(ctx)
	if err != nil {
		j.work.close()
		if ctx.Err() != nil {
			return nil, fault.Wrap(err, fault.Canceled, "stopped; run the same command again to go on where it stopped")
		}
		return nil, err
	}
	if err := j.work.finish(); err != nil {
		return nil, explainWrite(err, root)
	}
	report.Run.Wall = time.Since(began).Seconds()
	report.Run.Speed = report.Source.Duration / max(report.Run.Wall, 0.001)
	report.Run.Sandbox = proc.Sandbox()
	return report, nil
}

func (s *Service) newJob(source Source, options Options) (*job, error) {
	if err := options.Validate(); err != nil {
		return nil, err
	}
	for _, codec := range options.Codecs {
		if encoder := ffmpeg.EncoderFor(codec); !s.Tools.HasEncoder(encoder) {
			return nil, fault.New(fault.Unavailable, "this ffmpeg has no %s, which makes %s; install a full build or leave %s out", encoder, codec, codec)
		}
	}
	id, err := fingerprint(source)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "%s cannot be read", source.Name())
	}
	j := &job{
		tools: s.Tools, log: s.Log, source: source, input: source.Input(), options: options, fingerprint: id,
		progress: &progress{report: s.OnProgress}, onWarning: s.OnWarning,
	}
	if j.log == nil {
		j.log = slog.New(slog.DiscardHandler)
	}
	j.executor = &localExecutor{job: j}
	j.spec = []string{"job", resultVersion, source.Name(), options.key()}
	if err := j.chooseGauge(); err != nil {
		return nil, err
	}
	for _, file := range options.Subtitles {
		text, err := readSubtitleFile(file.Path)
		if err != nil {
			return nil, err
		}
		if _, err := parseSubtitles(file.Path, text); err != nil {
			return nil, err
		}
		j.spec = append(j.spec, string(text))
		j.added = append(j.added, addedSubtitles{
			Language: file.Language, Name: cmp.Or(languageName(file.Language), filepath.Base(file.Path)), Label: file.Path, Text: text,
		})
	}
	j.key = specHash(s.Tools.Class, id, j.spec)
	return j, nil
}

// completed returns the report of an earlier run that did all of this job, and
// removes what that run had no time to remove.
func (j *job) completed(root string) (*Report, error) {
	var report Report
	if err := readJSON(filepath.Join(root, reportName), &report); err != nil || report.Job != j.key {
		return nil, nil
	}
	if _, err := os.Stat(filepath.Join(root, stateName)); err != nil {
		return &report, nil
	}
	work, err := openWorkdir(root)
	if err != nil {
		return nil, err
	}
	return &report, explainWrite(work.finish(), root)
}

func (j *job) run(ctx context.Context) (*Report, error) {
	defer j.close()
	if err := j.look(ctx); err != nil {
		return nil, err
	}
	if err := j.makePlan(ctx); err != nil {
		return nil, err
	}
	made, err := j.make(ctx)
	if err != nil {
		return nil, err
	}
	report, err := j.publish(ctx, made)
	if err != nil {
		return nil, explainWrite(err, j.work.root)
	}
	return report, nil
}

// close gives back what the run held open.
func (j *job) close() {
	if j.signatures != nil {
		j.signatures.Close()
	}
	if j.repaired != nil {
		j.repaired.Close()
	}
}

// command is a child process of this job: it reads input and writes into
// scratch.
func (j *job) command(scratch string, input ffmpeg.Input) ffmpeg.Command {
	return ffmpeg.Command{Input: input, Dir: scratch, Limits: j.limits()}
}

// limits bound one child by what the source could need at most, so that a file
// made to hurt costs minutes and not days.
func (j *job) limits() proc.Limits {
	const (
		base       = 2 * time.Minute
		perSecond  = 400 // CPU seconds for a second of 1080p at the slowest preset
		memory     = 3 << 30
		perPixel   = 400 // bytes: reference frames, look-ahead, filters
		fileFactor = 4
	)
	pixels, length := 1920.0*1080, 60.0
	if j.inventory != nil {
		length = j.inventory.seconds
		if v := j.inventory.video; v != nil {
			pixels = max(pixels, float64(v.Width*v.Height))
		}
	}
	cpu := base + seconds(min(length, 48*3600)*perSecond*pixels/(1920*1080))
	return proc.Limits{
		CPU:      cpu,
		Wall:     2 * cpu,
		Memory:   memory + int64(pixels)*perPixel,
		FileSize: max(4<<30, j.source.Size()*fileFactor),
		Files:    256,
	}
}

// account adds up what a child used.
func (j *job) account(u ffmpeg.Usage) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.cpu += u.CPU
}

// accountUnit adds up what a unit needed and says what it has to say.
func (j *job) accountUnit(r UnitResult) {
	j.mu.Lock()
	j.cpu += r.CPU
	j.measured += r.Measured
	j.retries += r.Retries
	j.mu.Unlock()
	for _, w := range r.Warnings {
		j.warn(w.Code, "%s", w.Message)
	}
}

// encoded notes a unit that was made.
func (j *job) encoded(r UnitResult) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.unitsCPU += r.CPU
}

// tried notes a unit that was made, and not taken.
func (j *job) tried(r UnitResult) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.tries += r.CPU - r.Measured
}

// retried notes that something was done again.
func (j *job) retried(why string) {
	j.mu.Lock()
	j.retries++
	j.mu.Unlock()
	j.log.Warn("encode unit is made again", "why", why)
}

// warn adds a warning to the report, once a code and text.
func (j *job) warn(code, format string, args ...any) {
	w := Warning{Code: code, Message: fmt.Sprintf(format, args...)}
	j.mu.Lock()
	for _, known := range j.warnings {
		if known == w {
			j.mu.Unlock()
			return
		}
	}
	j.warnings = append(j.warnings, w)
	j.mu.Unlock()
	if j.onWarning != nil {
		j.onWarning(w)
	}
}
