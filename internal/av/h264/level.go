package h264

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/Eyevinn/mp4ff/avc"
)

// level is a row of ITU-T H.264 Table A-1.
type level struct {
	name  string
	rate  int // macroblocks a second
	frame int // macroblocks
	dpb   int // macroblocks
	bits  int // 1000 bits a second, times 1.25 in High profile
}

var levels = [...]level{
	{"1", 1485, 99, 396, 64},
	{"1.1", 3000, 396, 900, 192},
	{"1.2", 6000, 396, 2376, 384},
	{"1.3", 11880, 396, 2376, 768},
	{"2", 11880, 396, 2376, 2000},
	{"2.1", 19800, 792, 4752, 4000},
	{"2.2", 20250, 1620, 8100, 4000},
	{"3", 40500, 1620, 8100, 10000},
	{"3.1", 108000, 3600, 18000, 14000},
	{"3.2", 216000, 5120, 20480, 20000},
	{"4", 245760, 8192, 32768, 20000},
	{"4.1", 245760, 8192, 32768, 50000},
	{"4.2", 522240, 8704, 34816, 50000},
	{"5", 589824, 22080, 110400, 135000},
	{"5.1", 983040, 36864, 184320, 240000},
	{"5.2", 2073600, 36864, 184320, 240000},
	{"6", 4177920, 139264, 696320, 240000},
	{"6.1", 8355840, 139264, 696320, 480000},
	{"6.2", 16711680, 139264, 696320, 800000},
}

// leastReferences is how many frames a level's buffer has to hold for a level
// to be chosen: three references and the picture that is being reordered.
const leastReferences = 4

// Level is the lowest level of High profile that holds pictures of this size at
// this rate and maximum bit rate, and how many reference frames it allows (at
// most 16). Pictures too large for any level get the highest.
func Level(width, height int, framesPerSecond float64, bitsPerSecond int64) (name string, references int) {
	across, down := (width+15)/16, (height+15)/16
	size := across * down
	for _, l := range levels {
		longest := int(math.Sqrt(float64(8 * l.frame)))
		if size > l.frame || across > longest || down > longest || size*leastReferences > l.dpb {
			continue
		}
		if float64(size)*framesPerSecond > float64(l.rate) || bitsPerSecond > int64(l.bits)*1250 {
			continue
		}
		return l.name, min(16, l.dpb/size)
	}
	last := levels[len(levels)-1]
	return last.name, max(1, min(16, last.dpb/size))
}

// WithLevel returns config, the payload of an avcC box, with another level in it
// and in its sequence parameter sets: its name as Level returns it.
func WithLevel(config []byte, level string) ([]byte, error) {
	number, err := strconv.ParseFloat(level, 64)
	if err != nil || number < 1 || number > 9 {
		return nil, fmt.Errorf("h264 level %q is none", level)
	}
	rec, err := avc.DecodeAVCDecConfRec(config)
	if err != nil {
		return nil, fmt.Errorf("h264 decoder configuration: %w", err)
	}
	indication := byte(math.Round(number * 10))
	config = bytes.Clone(config)
	config[3] = indication // ISO/IEC 14496-15 §5.3.3.1
	at := 6                // of the first set's length
	for _, set := range rec.SPSnalus {
		if len(set) < 4 {
			return nil, errors.New("h264 decoder configuration: a sequence parameter set ends before its level")
		}
		config[at+2+3] = indication // after the length; ITU-T H.264 §7.3.2.1.1
		at += 2 + len(set)
	}
	return config, nil
}
