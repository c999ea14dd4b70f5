package transcode

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"liuyun/internal/base/timebase"
	"liuyun/internal/engine/ffmpeg"
)

// jump is the least step of a clock, either way, that is a break in a broadcast
// stream and not a long picture: what ffmpeg takes for one.
const jump = 10 * time.Second

// brokenClock watches a stream's decoding times for jumps.
type brokenClock struct {
	timeBase timebase.Rational
	last     int64
	seen     bool
	jumps    int
}

func (c *brokenClock) add(p ffmpeg.Packet) {
	if !p.HasDTS {
		return
	}
	if step := ticksTime(p.DTS-c.last, c.timeBase); c.seen && (step > jump || step < -jump) {
		c.jumps++
	}
	c.last, c.seen = p.DTS, true
}

// mayJump reports whether times of a format may jump without meaning it:
// broadcast and streaming formats, which are cut and joined as they come. In a
// file format a long gap is a long picture.
func mayJump(format string) bool {
	for _, name := range []string{"mpegts", "mpeg", "flv"} {
		if strings.Contains(format, name) {
			return true
		}
	}
	return false
}

const repairedName = "repaired.mkv"

// repair replaces a source whose clock jumps by a copy of its coded picture and
// sound on one continuous clock, and looks at that. Nothing is encoded.
func (j *job) repair(ctx context.Context, jumps int) error {
	hash := specHash(j.tools.Class, j.fingerprint, []string{"repair 1"})
	folder, _, err := j.work.once(ctx, hash, func(scratch string) error {
		if err := j.work.checkRoom(j.source.Size()); err != nil {
			return err
		}
		usage, err := j.tools.Remux(ctx, j.command(scratch, j.source.Input()), repairedName)
		j.account(usage)
		return err
	})
	if err != nil {
		return err
	}
	file, err := os.Open(filepath.Join(folder, repairedName))
	if err != nil {
		return err
	}
	j.repaired, j.copied = file, hash+"/"+repairedName
	j.input = ffmpeg.Input{File: file, Name: j.source.Name()}
	j.warn("clock", "the clock of the source jumps %d times; picture and sound are put on one continuous clock", jumps)
	return j.look(ctx)
}
