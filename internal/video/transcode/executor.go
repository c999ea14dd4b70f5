package transcode

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"liuyun/internal/av/pixel"
	"liuyun/internal/base/fault"
	"liuyun/internal/engine/ffmpeg"
)

// killedTries is how often a unit is begun again after its child was killed.
const killedTries = 3

// localExecutor does all with child processes on this machine.
type localExecutor struct{ job *job }

// Slots is how much runs at a time.
func (e *localExecutor) Slots() int { return e.job.slots() }

// Encode makes the unit unless an earlier run did.
func (e *localExecutor) Encode(ctx context.Context, unit Unit, done func(frames int)) (UnitResult, error) {
	return e.maker().unit(ctx, unit, done)
}

// Analyse decodes the stretch unless an earlier run did.
func (e *localExecutor) Analyse(ctx context.Context, s Stretch, done func(pictures int)) (UnitResult, error) {
	return e.maker().stretch(ctx, s, done)
}

func (e *localExecutor) maker() *maker {
	j := e.job
	return &maker{
		tools: j.tools, log: j.log, input: j.input, work: j.work,
		signatures: func(_ context.Context, r SignatureRange) ([]pixel.Signature, error) {
			return readSignatures(j.signatures, r.From, r.To)
		},
	}
}

// maker makes one unit, or decodes one stretch. It needs nothing but what it
// holds, so that it is the same on the machine that planned them and on any other.
type maker struct {
	tools      *ffmpeg.Tools
	log        *slog.Logger
	input      ffmpeg.Input // the source
	work       *workdir
	signatures func(context.Context, SignatureRange) ([]pixel.Signature, error)

	cpu      time.Duration
	measured time.Duration // of cpu
	retries  int
	warnings []Warning
}

// unit makes the unit unless it is there. A child that was killed is started
// again; an output that is not what the plan says is made again from earlier in
// the source, the last time from its beginning. done is told of frames as they
// are encoded, and takes them back (less than zero) when a try was for nothing.
func (m *maker) unit(ctx context.Context, unit Unit, done func(frames int)) (UnitResult, error) {
	if len(unit.Starts) == 0 {
		return UnitResult{}, errors.New("a unit without a place to begin")
	}
	killed := 0
	for i := 0; ; {
		unit.Encode.Seek = unit.Starts[i]
		result, err := m.once(ctx, unit, done)
		var wrong *mismatch
		switch {
		case err == nil:
			return result, nil
		case ctx.Err() != nil:
			return result, ctx.Err()
		case ffmpeg.Retryable(err) && killed < killedTries:
			killed++
			m.retried(unit.failed(err))
		case errors.As(err, &wrong) && i+1 < len(unit.Starts):
			i++
			m.retried(unit.failed(err))
		case errors.As(err, &wrong) && unit.Damaged && len(unit.Check) > 0:
			// Broken pictures decode to something else each time; what counts is
			// that there are as many as planned.
			m.warnings = append(m.warnings, Warning{"damaged_pictures", fmt.Sprintf(
				"pictures %d to %d are damaged in the source and are not compared with it", unit.Encode.First, unit.last())})
			unit.Check, i = nil, 0
		case errors.As(err, &wrong):
			return result, fault.Wrap(err, fault.Internal,
				"frames %d to %d could not be encoded so that they match the source", unit.Encode.First, unit.last())
		default:
			return result, err
		}
	}
}

// last is the unit's last output frame.
func (u Unit) last() int64 { return u.Encode.First + int64(u.Encode.Count) - 1 }

func (u Unit) failed(err error) string { return fmt.Sprintf("frames from %d: %v", u.Encode.First, err) }

// retried notes that something is done again.
func (m *maker) retried(why string) {
	m.retries++
	m.log.Warn("encode unit is made again", "why", why)
}

// result is what became of the work called hash.
func (m *maker) result(folder, hash string, reused bool) UnitResult {
	return UnitResult{Folder: folder, Hash: hash, CPU: m.cpu, Measured: m.measured, Reused: reused, Retries: m.retries}
}

// warningsName is a file beside the outputs of a unit about which there is
// something to say, so that it is said too when the unit is used again.
const warningsName = "warnings.json"

// once makes and checks the unit in a scratch folder and commits it.
func (m *maker) once(ctx context.Context, unit Unit, done func(frames int)) (UnitResult, error) {
	reported := 0
	hash := unit.Hash(m.tools)
	folder, reused, err := m.work.once(ctx, hash, func(scratch string) error {
		command := ffmpeg.Command{Input: m.input, Dir: scratch, Limits: unit.Limits}
		command.OnProgress = func(p ffmpeg.Progress) {
			if frames := min(int(p.Frame), unit.Encode.Count); frames > reported {
				done(frames - reported)
				reported = frames
			}
		}
		usage, err := m.tools.Encode(ctx, command, unit.sampled())
		m.cpu += usage.CPU
		if err != nil {
			return err
		}
		made := unit
		if made.Check, err = m.measure(ctx, unit, scratch); err != nil {
			return err
		}
		if len(m.warnings) > 0 {
			if err := writeJSON(filepath.Join(scratch, warningsName), m.warnings); err != nil {
				return explainWrite(err, m.work.root)
			}
		}
		var sync errgroup.Group
		sync.Go(func() error { return syncTree(scratch) }) // so that committing it need not wait
		err = m.checkUnit(ctx, made, scratch)
		if syncErr := sync.Wait(); err == nil {
			err = explainWrite(syncErr, m.work.root)
		}
		return err
	})
	if err != nil {
		done(-reported)
		return UnitResult{}, err
	}
	done(unit.Encode.Count - reported)
	result := m.result(folder, hash, reused)
	result.Warnings, err = readWarnings(folder)
	return result, err
}

// readWarnings returns what was said about the unit in folder.
func readWarnings(folder string) ([]Warning, error) {
	var list []Warning
	if err := readJSON(filepath.Join(folder, warningsName), &list); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return list, nil
}
