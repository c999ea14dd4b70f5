package h265

import "math"

// level is a row of ITU-T H.265 Tables A.8 and A.9, main tier.
type level struct {
	name  string
	frame int   // luma samples
	rate  int64 // luma samples a second
	bits  int64 // 1000 bits a second
}

var levels = [...]level{
	{"1", 36864, 552960, 128},
	{"2", 122880, 3686400, 1500},
	{"2.1", 245760, 7372800, 3000},
	{"3", 552960, 16588800, 6000},
	{"3.1", 983040, 33177600, 10000},
	{"4", 2228224, 66846720, 12000},
	{"4.1", 2228224, 133693440, 20000},
	{"5", 8912896, 267386880, 25000},
	{"5.1", 8912896, 534773760, 40000},
	{"5.2", 8912896, 1069547520, 60000},
	{"6", 35651584, 1069547520, 60000},
	{"6.1", 35651584, 2139095040, 120000},
	{"6.2", 35651584, 4278190080, 240000},
}

// Level is the lowest level of the main tier that holds pictures of this size
// at this rate and maximum bit rate. Pictures too large for any level get the
// highest.
func Level(width, height int, framesPerSecond float64, bitsPerSecond int64) string {
	size := width * height
	for _, l := range levels {
		longest := int(math.Sqrt(float64(8 * l.frame)))
		if size > l.frame || width > longest || height > longest {
			continue
		}
		if float64(size)*framesPerSecond > float64(l.rate) || bitsPerSecond > l.bits*1000 {
			continue
		}
		return l.name
	}
	return levels[len(levels)-1].name
}
