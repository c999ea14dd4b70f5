// Package report turns what was measured of encodes of one video into one HTML
// page: tables, charts, and the worst frames beside the reference. The page has
// everything in it and asks the network for nothing; it is light or dark as the
// reader's system is, in English and Chinese, and can be printed. In a frame of the
// console it looks as that does. The package measures nothing and opens nothing: plain
// data in, one page out, the same bytes for the same data.
package report

// Data is what a page shows. All times are seconds from the first frame.
type Data struct {
	Program   string // what made the page, with its version
	Reference Video
	Every     int      // one frame in so many was compared; 0 and 1 are all
	Metrics   []Metric // at least one; the first is the one that charts show
	Encodes   []Encode // at least one
	Shots     []Shot   // of the reference, in order, without gaps
	Moments   []Moment // the worst frames, in the order of the page
	Savings   []Saving
}

// Video describes a file.
type Video struct {
	Name      string
	Codec     string // as people know it: "H.264"
	Width     int
	Height    int
	FrameRate float64 // frames a second
	Duration  float64 // seconds
	Bytes     int64   // of the picture alone
}

// rate is the mean bit rate in bits a second.
func (v Video) rate() float64 {
	if v.Duration <= 0 {
		return 0
	}
	return 8 * float64(v.Bytes) / v.Duration
}

// Metric is a measure of likeness to the reference in which more is better.
type Metric struct {
	Name   string // "VMAF", "PSNR"
	Unit   string // "dB", or ""
	Digits int    // after the point
}

// Encode is one file that was compared with the reference.
type Encode struct {
	Video
	// Group names encodes that form one curve of quality over bits: the same
	// encoder at other rates. "" is alone.
	Group  string
	Scores []Score // as Data.Metrics
	Line   []Point // the first metric over time
	Shots  []Spent // as Data.Shots
}

// Score is what one metric says of one encode.
type Score struct {
	Mean    float64 // over the compared frames
	P5      float64 // the 5th percentile of the frames
	Worst   float64 // the least
	WorstAt float64 // when
}

// Point is the score of one frame.
type Point struct{ Time, Score float64 }

// Spent is what an encode made of one shot.
type Spent struct {
	Bytes int64
	Score float64 // mean of the first metric; NaN where no frame was compared
}

// Shot is a stretch between two cuts.
type Shot struct{ Start, End float64 }

// Moment is one frame in which an encode is at its worst, as every encode shows it.
type Moment struct {
	Time   float64
	Encode int // whose worst it is, as in Data.Encodes
	// Pictures are JPEG: the reference's, then one an encode; nil is absent. All
	// have the same shape.
	Pictures [][]byte
	Scores   []float64 // of the first metric in this frame, one an encode; NaN where it was not compared
	Saliency *Map      // nil where there is none
}

// Map says where people look: Width × Height values row by row, 0 nobody, 255 most.
type Map struct {
	Width, Height int
	Values        []byte
}

// Saving says how many bits one group of encodes needs against another for the
// same quality.
type Saving struct {
	Group, Against string // names of groups
	Metric         string
	Rate           float64 // BD-rate in percent: below 0 is fewer bits
}
