package transcode

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/encode"
	queue "liuyun/internal/kit/job"
)

// unitTask is the payload of a unit's job: a unit or, before there are any, a
// stretch of the analysis, which shares the slots of units.
type unitTask struct {
	Asset   string   `json:"asset"`
	Media   string   `json:"media"` // the object to decode
	Name    string   `json:"name"`  // of the source, for messages
	Unit    *Unit    `json:"unit,omitempty"`
	Stretch *Stretch `json:"stretch,omitempty"`

	cost float64 // roughly, seconds of a processor; stretches are much alike
}

// class is that of the worker which may do the task, or "".
func (t *unitTask) class() string {
	switch {
	case t.Unit != nil:
		return t.Unit.Class
	case t.Stretch != nil:
		return t.Stretch.Class
	}
	return ""
}

// children files jobs and waits for them: a *queue.Lease.
type children interface {
	Submit(ctx context.Context, specs ...queue.Spec) ([]string, error)
	Wait(ctx context.Context, id string) (queue.Job, error)
}

// inFlight is how many units, or stretches, of one asset are in the queue at a time: more than
// most clusters have cores, and few enough that neither the queue nor the one who
// waits for them notices a long film.
const inFlight = 64

// queueExecutor has units made by whoever takes their jobs.
type queueExecutor struct {
	job      *job
	request  encode.Request
	parent   queue.Job
	children children

	mu      sync.Mutex
	cpu     time.Duration       // of the units
	watched map[string]*watched // by job: those that are waited for
}

// watched is a unit that somebody makes.
type watched struct {
	frames int // of the unit; 0: not known yet
	told   int // of those, to done
	done   func(frames int)
}

// reach tells that so many frames are encoded, in all.
func (w *watched) reach(frames int) {
	w.done(frames - w.told)
	w.told = frames
}

// hear takes what workers tell of their jobs. Other assets' units are among them.
func (e *queueExecutor) hear(_ string, data []byte) {
	var p queue.Progress
	if json.Unmarshal(data, &p) != nil || p.Kind != encode.Unit {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if w := e.watched[p.Job]; w != nil {
		w.reach(int(min(max(p.Progress, 0), 1) * float64(w.frames)))
	}
}

// watch listens to the job until leave is called, which says how many frames are
// there in the end.
func (e *queueExecutor) watch(id string, frames int, done func(frames int)) (leave func(frames int)) {
	w := &watched{frames: frames, done: done}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.watched[id] = w
	return func(frames int) {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.watched, id)
		w.reach(frames)
	}
}

// Slots is how many units are waited for at a time.
func (e *queueExecutor) Slots() int { return inFlight }

// Encode takes the unit from the shelf, or has it made first.
func (e *queueExecutor) Encode(ctx context.Context, unit Unit, done func(frames int)) (UnitResult, error) {
	return e.have(ctx, unit.Hash(e.job.tools), unitTask{Unit: &unit, cost: e.job.cost(unit)}, unit.Encode.Count, done)
}

// Analyse takes what is known of the stretch from the shelf, or has it found out
// first. How many pictures there are is known at the end.
func (e *queueExecutor) Analyse(ctx context.Context, s Stretch, done func(pictures int)) (UnitResult, error) {
	return e.have(ctx, s.Hash(e.job.tools), unitTask{Stretch: &s}, 0, done)
}

// have fetches the result called hash, which the task makes.
func (e *queueExecutor) have(ctx context.Context, hash string, task unitTask, frames int, done func(frames int)) (UnitResult, error) {
	work := e.job.work
	found, err := work.fetch(ctx, hash)
	if err != nil {
		return UnitResult{}, err
	}
	if found {
		done(frames)
		return e.finish(work.unit(hash), UnitResult{Hash: hash, Reused: true})
	}
	task.Asset, task.Media, task.Name = e.request.Asset, e.request.Source, e.job.source.Name()
	if e.job.copied != "" {
		task.Media = encode.UnitsPrefix(e.request.Asset) + e.job.copied
	}
	// The job may have ended in an earlier attempt of the parent; what it made
	// counts while it is on the shelf, and is made under another name where not.
	const most = 3
	for n := range most {
		ended, err := e.run(ctx, task, fmt.Sprintf("%s-%s-%d", e.parent.ID, hash, n), frames, done)
		if err != nil {
			return UnitResult{}, err
		}
		found, err := work.fetch(ctx, ended.Hash)
		if err != nil {
			return UnitResult{}, err
		}
		if !found {
			done(-ended.Frames)
			continue
		}
		return e.finish(work.unit(ended.Hash), UnitResult{
			Hash: ended.Hash, CPU: seconds(ended.CPUSeconds), Measured: seconds(ended.MeasureSeconds), Reused: ended.Reused, Retries: ended.Retries,
		})
	}
	return UnitResult{}, fault.New(fault.Unavailable, "a unit was made %d times and is not where it was stored", most)
}

// run has the task done by a job called name and returns what that answers. done
// is told of ended.Frames in all, or of none.
func (e *queueExecutor) run(ctx context.Context, task unitTask, name string, frames int, done func(frames int)) (result encode.UnitResult, err error) {
	ids, err := e.children.Submit(ctx, queue.Spec{
		Kind: encode.Unit, Tenant: e.parent.Tenant, Group: e.parent.Group, Name: name, Class: task.class(), Priority: e.parent.Priority, Prefer: e.parent.Prefer, Cost: int(1000 * task.cost),
		Parent: e.parent.ID, Payload: task,
	})
	if err != nil {
		return result, err
	}
	leave := e.watch(ids[0], frames, done)
	defer func() { leave(result.Frames) }()
	ended, err := e.children.Wait(ctx, ids[0])
	switch {
	case err != nil:
		return result, err
	case ended.State == queue.Failed && ended.Error != nil:
		return result, fault.New(ended.Error.Code, "%s", ended.Error.Message)
	case ended.State != queue.Done:
		return result, fault.New(fault.Unavailable, "a unit was not made: its job is %s", ended.State)
	}
	if err := json.Unmarshal(ended.Result, &result); err != nil {
		return encode.UnitResult{}, fmt.Errorf("answer of unit %s: %w", name, err)
	}
	if result.Apart {
		return encode.UnitResult{}, errApart
	}
	return result, nil
}

// finish accounts for a unit that is in folder.
func (e *queueExecutor) finish(folder string, result UnitResult) (UnitResult, error) {
	e.mu.Lock()
	e.cpu += result.CPU
	e.mu.Unlock()
	var err error
	result.Folder = folder
	result.Warnings, err = readWarnings(folder)
	return result, err
}
