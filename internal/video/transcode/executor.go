package transcode

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"liuyun/internal/base/fault"
	"liuyun/internal/engine/ffmpeg"
)

// killedTries is how often a unit is begun again after its child was killed.
const killedTries = 3

// localExecutor encodes units with child processes on this machine.
type localExecutor struct{ job *job }

// Slots is how many units run at a time.
func (e *localExecutor) Slots() int { return e.job.options.workers() }

// Encode makes the unit unless an earlier run did. A child that was killed is
// started again; an output that is not what the plan says is made again from
// earlier in the source, the last time from its beginning.
func (e *localExecutor) Encode(ctx context.Context, unit Unit, done func(frames int)) (UnitResult, error) {
	starts := e.job.plan.startingPoints(unit.Encode.From)
	killed := 0
	for i := 0; ; {
		unit.Encode.Seek = starts[i]
		result, err := e.once(ctx, unit, done)
		var wrong *mismatch
		switch {
		case err == nil:
			return result, nil
		case ctx.Err() != nil:
			return result, ctx.Err()
		case ffmpeg.Retryable(err) && killed < killedTries:
			killed++
			e.job.retried(fmt.Sprintf("frames from %d: %v", unit.Encode.First, err))
		case errors.As(err, &wrong) && i+1 < len(starts):
			i++
			e.job.retried(fmt.Sprintf("frames from %d: %v", unit.Encode.First, err))
		case errors.As(err, &wrong) && e.job.showsDamage(unit) && len(unit.Check) > 0:
			// Broken pictures decode to something else each time; what counts is
			// that there are as many as planned.
			e.job.warn("damaged_pictures", "pictures %d to %d are damaged in the source and are not compared with it", unit.Encode.First, unit.Encode.First+int64(unit.Encode.Count)-1)
			unit.Check, i = nil, 0
		case errors.As(err, &wrong):
			return result, fault.Wrap(err, fault.Internal,
				"frames %d to %d could not be encoded so that they match the source", unit.Encode.First, unit.Encode.First+int64(unit.Encode.Count)-1)
		default:
			return result, err
		}
	}
}

// once makes and checks the unit in a scratch folder and commits it.
func (e *localExecutor) once(ctx context.Context, unit Unit, done func(frames int)) (UnitResult, error) {
	j := e.job
	var result UnitResult
	reported := 0
	folder, reused, err := j.work.once(unit.Hash(j.tools), func(scratch string) error {
		command := j.command(scratch, j.input)
		command.OnProgress = func(p ffmpeg.Progress) {
			if frames := min(int(p.Frame), unit.Encode.Count); frames > reported {
				done(frames - reported)
				reported = frames
			}
		}
		usage, err := j.tools.Encode(ctx, command, unit.Encode)
		j.account(usage)
		result.CPU = usage.CPU
		if err != nil {
			return err
		}
		var sync errgroup.Group
		sync.Go(func() error { return syncTree(scratch) }) // so that committing it need not wait
		err = j.checkUnit(ctx, unit, scratch)
		if syncErr := sync.Wait(); err == nil {
			err = explainWrite(syncErr, j.work.root)
		}
		return err
	})
	if err != nil {
		done(-reported)
		return result, err
	}
	done(unit.Encode.Count - reported)
	result.Folder, result.Reused = folder, reused
	return result, nil
}
