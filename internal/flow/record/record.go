// Package record keeps what a window would let go: it copies the segments of a
// stream into objects as they are, as they come, and makes of them what players
// play at any time after. It encodes nothing, and knows neither streams nor assets:
// who has a stream recorded says from where, to where, and into which folder.
//
// What lies below a folder of objects:
//
//	media/<rendition>/<number>.m4s, init<number>.mp4   as in the window
//	media/master.m3u8, manifest.mpd, …                 when it is finished
//	index/<number>.json                                what was copied, half a minute a file
//
// A file of the index is written after what it names. Another process goes on behind
// the last one, and copies again what was copied since.
package record

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/flow/window"
	"liuyun/internal/kit/blob"
)

// Source is a window.
type Source interface {
	Row(ctx context.Context, from, last int64) (*window.Row, error)
	Section(rendition string, number int64) (window.Section, bool)
	Open(ctx context.Context, rendition, name string) (*window.File, error)
}

// Media and Index are where a recording lies below its folder.
const (
	Media = "media/"
	Index = "index/"
)

// Recording copies a part of a stream. Its methods may be called by several
// goroutines; Run by one.
type Recording struct {
	Source  Source
	Objects blob.Store
	Folder  string // of objects; ends in a slash
	First   int64  // number of the first segment
	// Noted is told how far it is when that is durable: everything before the number
	// next has been copied. Not found ends the recording; after another error it is told
	// again.
	Noted func(ctx context.Context, next int64, s State) error
	Log   *slog.Logger

	mu      sync.Mutex
	last    int64              // 0: it goes on
	recheck context.CancelFunc // of who waits for a row without knowing last
	state   State

	pause   time.Duration // between two tries, at first; 0 is shortPause
	next    int64
	known   map[section]bool // whose init section has been copied
	pending chunk
	held    time.Duration // of pending
}

// State is how far a recording is.
type State struct {
	Bytes    int64
	Duration time.Duration
	// Lost counts how often something was gone before it could be copied.
	Lost int64
	// Problem is why nothing can be copied now; nil is well.
	Problem error
}

type section struct {
	rendition string
	number    int64
}

// chunk is a file of the index.
type chunk struct {
	Sections []describedSection `json:"sections,omitempty"`
	Rows     []*window.Row      `json:"rows"`
	Next     int64              `json:"next"` // number behind the last one, and behind those that were lost
	Lost     int64              `json:"lost,omitempty"`
}

type describedSection struct {
	Rendition string `json:"rendition"`
	window.Section
}

// chunkLength is how much a file of the index has: what is copied again after a kill.
const chunkLength = 30 * time.Second

// End says which segment is the last one. It may be called at any time, and again.
func (r *Recording) End(last int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = last
	if r.recheck != nil {
		r.recheck()
	}
}

// State says how far it is.
func (r *Recording) State() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

func (r *Recording) change(fn func(s *State)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fn(&r.state)
}

// Run copies until the last segment has been, and returns what is then to be told of
// it. What cannot be read or written for now is tried again until ctx ends. A
// recording that has nothing is fault.NotFound.
func (r *Recording) Run(ctx context.Context) (*Result, error) {
	if err := r.try(ctx, r.load); err != nil {
		return nil, err
	}
	for {
		row, err := r.row(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if err := r.copy(ctx, row); err != nil {
			return nil, err
		}
		if r.held >= chunkLength {
			if err := r.flush(ctx); err != nil {
				return nil, err
			}
		}
	}
	if err := r.flush(ctx); err != nil {
		return nil, err
	}
	var result *Result
	err := r.try(ctx, func(ctx context.Context) (err error) {
		result, err = r.finish(ctx)
		return err
	})
	return result, err
}

// row waits for what is to be copied next.
func (r *Recording) row(ctx context.Context) (*window.Row, error) {
	for {
		waits, cancel := context.WithCancel(ctx)
		r.mu.Lock()
		last := r.last
		r.recheck = cancel
		r.mu.Unlock()
		row, err := r.Source.Row(waits, r.next, last)
		cancel()
		if err == nil || ctx.Err() != nil || !errors.Is(err, context.Canceled) {
			return row, err
		}
	}
}

// The pauses between two tries.
const (
	shortPause = time.Second
	longPause  = 30 * time.Second
)

// try does something until it works, ctx ends, or it can never work.
func (r *Recording) try(ctx context.Context, fn func(context.Context) error) error {
	pause := r.pause
	if pause == 0 {
		pause = shortPause
	}
	for ; ; pause = min(2*pause, longPause) {
		err := fn(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil || errors.Is(err, errNever) || fault.CodeOf(err) == fault.NotFound:
			r.problem(nil)
			return err
		}
		r.problem(err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// errNever is wrapped by what no other try makes better.
var errNever = errors.New("for good")

// problem notes why nothing goes on, or that it does.
func (r *Recording) problem(err error) {
	was := r.State().Problem
	r.change(func(s *State) { s.Problem = err })
	switch {
	case err != nil && was == nil:
		r.Log.Warn("a recording cannot be stored; it is tried again", "folder", r.Folder, "cause", err)
	case err == nil && was != nil:
		r.Log.Info("a recording is stored again", "folder", r.Folder)
	}
}

// load goes on behind what the index has.
func (r *Recording) load(ctx context.Context) error {
	r.next, r.known, r.pending, r.held = r.First, make(map[section]bool), chunk{}, 0
	var s State
	err := r.read(ctx, func(c *chunk) error {
		r.next = max(r.next, c.Next)
		s.Lost += c.Lost
		for _, d := range c.Sections {
			r.known[section{d.Rendition, d.Number}] = true
		}
		for _, row := range c.Rows {
			s.add(row)
		}
		return nil
	})
	if err == nil {
		r.change(func(now *State) { *now = s })
	}
	return err
}

func (s *State) add(row *window.Row) {
	s.Duration += row.Cells[0].Duration
	for _, c := range row.Cells {
		if !c.Hidden {
			s.Bytes += c.Size
		}
	}
}

// read calls fn with each file of the index, in their order.
func (r *Recording) read(ctx context.Context, fn func(*chunk) error) error {
	err := r.Objects.List(ctx, r.Folder+Index, func(info blob.Info) error {
		object, err := r.Objects.Open(ctx, info.Name)
		if err != nil {
			return err
		}
		defer object.Close()
		text, err := io.ReadAll(io.LimitReader(object, maxChunk))
		if err != nil {
			return err
		}
		var c chunk
		if err := json.Unmarshal(text, &c); err != nil {
			return fmt.Errorf("%w: index %s: %w", errNever, info.Name, err)
		}
		for _, row := range c.Rows {
			if row == nil || len(row.Cells) == 0 {
				return fmt.Errorf("%w: index %s has an empty row", errNever, info.Name)
			}
		}
		return fn(&c)
	})
	return ofStore(err)
}

const maxChunk = 16 << 20

// copy copies a row, or what is still there of it.
func (r *Recording) copy(ctx context.Context, row *window.Row) error {
	lost := min(row.Number-r.next, 1) // a window that began anew has other numbers
	lead := &row.Cells[0]
	if lead.Still { // what viewers see while nothing comes is no recording of anything
		lead.Gap = true
	}
	for i := range row.Cells {
		c := &row.Cells[i]
		if c.Gap || c.Hidden || lead.Still {
			continue
		}
		err := r.try(ctx, func(ctx context.Context) error { return r.copyCell(ctx, c) })
		if fault.CodeOf(err) == fault.NotFound {
			c.Gap, c.Size = true, 0
			lost++
			continue
		}
		if err != nil {
			return err
		}
	}
	r.next = row.Number + 1
	r.pending.Next, r.pending.Lost = r.next, r.pending.Lost+lost
	r.change(func(s *State) { s.Lost += lost })
	if lead.Gap {
		return nil // what plays after it begins anew
	}
	r.pending.Rows = append(r.pending.Rows, row)
	r.held += row.Cells[0].Duration
	r.change(func(s *State) { s.add(row) })
	return nil
}

// copyCell copies a segment, and what it is decoded with where that is new. It is
// not found when it has left the window.
func (r *Recording) copyCell(ctx context.Context, c *window.Cell) error {
	key := section{c.Rendition, c.Init}
	if !r.known[key] {
		described, ok := r.Source.Section(c.Rendition, c.Init)
		if !ok {
			return fault.New(fault.NotFound, "no init section %d of %s", c.Init, c.Rendition)
		}
		if err := r.copyFile(ctx, c.Rendition, described.Name()); err != nil {
			return err
		}
		r.known[key] = true
		r.pending.Sections = append(r.pending.Sections, describedSection{c.Rendition, described})
	}
	return r.copyFile(ctx, c.Rendition, c.Name())
}

func (r *Recording) copyFile(ctx context.Context, rendition, name string) error {
	file, err := r.Source.Open(ctx, rendition, name)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = r.Objects.Put(ctx, r.Folder+Media+rendition+"/"+name, file.Content)
	return ofStore(err)
}

// ofStore has what a store does not find tried again: it may be another one soon, and
// only a window, or who is told, ends a recording by that.
func ofStore(err error) error {
	if fault.CodeOf(err) == fault.NotFound {
		return fmt.Errorf("store: %v", err)
	}
	return err
}

// flush writes what was copied since the last time into the index.
func (r *Recording) flush(ctx context.Context) error {
	if r.pending.Next == 0 {
		return nil
	}
	err := r.try(ctx, func(ctx context.Context) error {
		text, err := json.Marshal(&r.pending)
		if err != nil {
			return fmt.Errorf("%w: %w", errNever, err)
		}
		_, err = r.Objects.Put(ctx, fmt.Sprintf("%s%s%020d.json", r.Folder, Index, r.pending.Next), bytes.NewReader(text))
		return ofStore(err)
	})
	if err != nil {
		return err
	}
	r.pending, r.held = chunk{}, 0
	return r.try(ctx, func(ctx context.Context) error { return r.Noted(ctx, r.next, r.State()) })
}
