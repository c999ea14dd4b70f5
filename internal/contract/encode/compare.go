package encode

// CompareRequest is the payload of a Compare job.
type CompareRequest struct {
	Name   string `json:"name"`   // of the asset, for people
	Source string `json:"source"` // blob name
	Result string `json:"result"` // Prefix of the Result that is compared with it
	// Prefix is where the answer goes: nobody else writes there. It ends in "/".
	Prefix string `json:"prefix"`
	Every  int    `json:"every,omitempty"` // compare one frame in so many; 0 leaves it to the worker
	Frames int    `json:"frames"`          // worst frames to show; 0 shows none
}

// The files below CompareRequest.Prefix.
const (
	ComparisonPage    = "report.html"     // for people; it needs nothing else
	ComparisonNumbers = "comparison.json" // a Comparison
)

// CompareResult is the answer to a CompareRequest.
type CompareResult struct {
	Stored  int64     `json:"stored"` // bytes below Prefix
	LeftOut []LeftOut `json:"left_out,omitempty"`
}

// LeftOut is a rendition that cannot be compared, and why.
type LeftOut struct {
	Rendition string `json:"rendition"`
	Message   string `json:"message"`
}

// Comparison is how near encodes come to what they were made from.
type Comparison struct {
	Reference ComparedVideo    `json:"reference"`
	Every     int              `json:"every" doc:"One frame in so many was compared."`
	Shots     []ComparedShot   `json:"shots" nullable:"false"`
	Encodes   []ComparedEncode `json:"encodes" nullable:"false"`
	BDRate    []ComparedSaving `json:"bd_rate" nullable:"false" doc:"Of curves with four encodes or more, against the first of them."`
}

// ComparedVideo describes a file of a comparison.
type ComparedVideo struct {
	Name      string  `json:"name"`
	Codec     string  `json:"codec"`
	Width     int     `json:"width"`
	Height    int     `json:"height"`
	FrameRate float64 `json:"frame_rate"`
	Duration  float64 `json:"duration_s"`
	Bytes     int64   `json:"bytes" doc:"Of the picture alone."`
	BitRate   int64   `json:"bit_rate"`
}

// ComparedShot is a stretch between two cuts.
type ComparedShot struct {
	Start float64 `json:"start_s"`
	End   float64 `json:"end_s"`
}

// ComparedEncode is one of the encodes.
type ComparedEncode struct {
	ComparedVideo
	Group  string          `json:"group,omitempty" doc:"Encodes of one group are one curve of quality over bits."`
	Scores []ComparedScore `json:"scores" nullable:"false" doc:"The first is the one that shots and worst frames go by."`
	Shots  []ComparedSpent `json:"shots" nullable:"false" doc:"As those of the reference."`
}

// ComparedScore is what one measure says of an encode: more is better.
type ComparedScore struct {
	Metric  string  `json:"metric" doc:"VMAF, VMAF NEG, XPSNR, PSNR or SSIM."`
	Unit    string  `json:"unit,omitempty"`
	Mean    float64 `json:"mean"`
	P5      float64 `json:"p5" doc:"One frame in twenty is worse."`
	Worst   float64 `json:"worst"`
	WorstAt float64 `json:"worst_at_s"`
}

// ComparedSpent is what an encode made of one shot.
type ComparedSpent struct {
	Bytes int64    `json:"bytes"`
	Score *float64 `json:"score,omitempty" doc:"Mean of the first measure; absent where no frame was compared."`
}

// ComparedSaving is how many bits a group needs against another for the same quality.
type ComparedSaving struct {
	Group   string  `json:"group"`
	Against string  `json:"against"`
	Metric  string  `json:"metric"`
	Percent float64 `json:"percent" doc:"BD-rate: below 0 is fewer bits."`
}
