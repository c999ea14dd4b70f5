package transcode

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"liuyun/internal/av/caption"
	"liuyun/internal/base/fault"
	"liuyun/internal/base/timebase"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/video/transcode/timeline"
)

const (
	boardFolder = "storyboard"
	boardName   = "storyboard.vtt"
	posterName  = "poster.jpg"
	posterSide  = 1280 // longest side of the poster, pixels
	tileSide    = 160  // longest side of a tile, pixels
	sheetSide   = 10   // tiles a row and rows a sheet, at most
)

// storyboard is the plan for the sprite sheets that players show while
// scrubbing, and what became of it.
type storyboard struct {
	Seconds       int64 // between pictures
	Width, Height int   // of one tile
	Columns, Rows int
	Sheets        int
	Bytes         int64
}

// planStoryboard takes a picture every second of a short source and about 200
// of a long one.
func planStoryboard(p ffmpeg.Picture, seconds float64) *storyboard {
	width, height := p.Shown()
	scale := float64(tileSide) / float64(max(width, height))
	b := &storyboard{
		Seconds: max(1, min(10, int64(seconds/200+0.5))),
		Width:   max(2, int(float64(width)*scale/2+0.5)*2), Height: max(2, int(float64(height)*scale/2+0.5)*2),
	}
	tiles := int(seconds/float64(b.Seconds)) + 1
	b.Columns = min(sheetSide, max(1, tiles))
	b.Rows = min(sheetSide, (tiles+b.Columns-1)/b.Columns)
	return b
}

func (b *storyboard) interval() time.Duration { return time.Duration(b.Seconds) * time.Second }

// spec is the plan as the analysis pass runs it: the tile of an interval is the
// first picture after the middle of it. origin is where the presentation begins,
// ticks of timeBase.
func (b *storyboard) spec(origin int64, timeBase timebase.Rational) *ffmpeg.Tiles {
	return &ffmpeg.Tiles{
		Interval: timebase.R(b.Seconds, 1), Origin: origin + timebase.Rescale(b.Seconds, timebase.R(1, 2), timeBase),
		Most: int64(timeline.Longest / b.interval()), Width: b.Width, Height: b.Height, File: tilesName,
	}
}

// bandwidth is what fetching the sheets costs, bits a second.
func (b *storyboard) bandwidth() int64 {
	covered := int64(b.Sheets*b.Columns*b.Rows) * b.Seconds
	return max(1000, b.Bytes*8/max(1, covered))
}

// publish copies the sheets and writes the index.
func (b *storyboard) publish(root, sheets string, length time.Duration) error {
	if err := os.MkdirAll(filepath.Join(root, boardFolder), 0o755); err != nil {
		return err
	}
	perSheet := int64(b.Columns*b.Rows) * b.Seconds
	needed := int((int64((length+time.Second-1)/time.Second) + perSheet - 1) / perSheet)
	index := caption.Storyboard{
		Columns: b.Columns, Rows: b.Rows, Width: b.Width, Height: b.Height, Interval: b.interval(), Duration: length,
	}
	for n := 1; n <= needed; n++ {
		name := fmt.Sprintf(sheetPattern, n)
		data, err := os.ReadFile(filepath.Join(sheets, name))
		if err != nil {
			break // pictures ended before the sound did
		}
		if err := os.WriteFile(filepath.Join(root, boardFolder, name), data, 0o644); err != nil {
			return err
		}
		b.Sheets++
		b.Bytes += int64(len(data))
		index.Sheets = append(index.Sheets, boardFolder+"/"+name)
	}
	if shown := time.Duration(int64(b.Sheets)*perSheet) * time.Second; shown < index.Duration {
		index.Duration = shown
	}
	return writeText(filepath.Join(root, boardName), index.AppendTo)
}

// makePoster makes one picture of the source, upright and tone-mapped, and
// returns its file.
func (j *job) makePoster(ctx context.Context) (string, error) {
	plan := j.plan
	frame := min(j.analysis.Poster, len(plan.timeline.Frames)-1)
	slot := plan.slotShowing(frame)
	unit := plan.unitFor(slot, slot+1)
	width, height := plan.picture.Shown()
	if longest := max(width, height); longest > posterSide {
		width, height = width*posterSide/longest, height*posterSide/longest
	}
	width, height = max(2, width/2*2), max(2, height/2*2)
	hash := specHash(j.tools.Class, j.fingerprint, []string{"poster 1", fmt.Sprint(unit, width, height)})
	folder, _, err := j.work.once(ctx, hash, func(scratch string) error {
		return j.still(ctx, scratch, []ffmpeg.Unit{unit, plan.unitFor(0, 1)}, width, height)
	})
	if err != nil {
		return "", fmt.Errorf("poster: %w", err)
	}
	return filepath.Join(folder, posterName), nil
}

// still writes the first of the units' pictures that can be had, tried from each
// starting point.
func (j *job) still(ctx context.Context, scratch string, units []ffmpeg.Unit, width, height int) error {
	for _, unit := range units {
		for _, start := range j.plan.startingPoints(unit.From) {
			unit.Seek = start
			err := j.tools.Still(ctx, j.command(scratch, j.input), unit, width, height, posterName)
			for tries := 0; tries < killedTries && ffmpeg.Retryable(err) && ctx.Err() == nil; tries++ {
				j.retried("poster: " + err.Error())
				err = j.tools.Still(ctx, j.command(scratch, j.input), unit, width, height, posterName)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if ffmpeg.Retryable(err) {
				return err // another picture would be another result
			}
			if info, statErr := os.Stat(filepath.Join(scratch, posterName)); err == nil && statErr == nil && info.Size() > 0 {
				return nil
			}
			if code := fault.CodeOf(err); code == fault.StorageFull || code == fault.Limit {
				return err
			}
		}
	}
	return errors.New("no picture came out")
}
