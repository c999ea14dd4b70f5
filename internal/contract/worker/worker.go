// Package worker is what a machine that encodes says of itself: what it is, how
// fast, and what an hour of it takes. Whoever counts what work took, or compares
// machines, does it by the formulae here, so that all come to the same figures.
// Plain data; new fields have good zero values.
package worker

// How Figures.Watts came to be known.
const (
	WattsSetting = "setting" // somebody said so
	WattsRAPL    = "rapl"    // the processor's own meter, while all cores worked
	WattsModel   = "model"   // a published figure for processors of its kind
)

// Figures are what a worker knows of itself. A figure that is not known is nil.
type Figures struct {
	Architecture string `json:"architecture" doc:"amd64 or arm64."`
	CPU          string `json:"cpu" doc:"Model of the processor."`
	Cores        int    `json:"cores" doc:"Cores that encode."`
	// Speed is frames of the standard encode in a second of one core's time, while
	// all cores do the same.
	Speed     *float64  `json:"speed" doc:"Frames of the standard encode in a second of one core; null until it is measured."`
	Watts     float64   `json:"watts" doc:"Of all cores at full load."`
	WattsFrom string    `json:"watts_from" enum:",setting,rapl,model" doc:"How watts came to be known: said in the configuration, measured by the processor, or a published figure for its kind."`
	Price     *float64  `json:"price_per_hour" doc:"Of all of the machine, in the cloud's currency; null while nobody has said it."`
	Carbon    *float64  `json:"carbon_intensity" doc:"Grams of CO2e a kWh of its grid; null while nobody has said it."`
	Hardware  []Encoder `json:"hardware" nullable:"false" doc:"Hardware encoders that its ffmpeg has, tried when it started."`
}

// Encoder is a hardware encoder that ffmpeg was built with.
type Encoder struct {
	Name  string `json:"name" doc:"Such as h264_nvenc."`
	Works bool   `json:"works" doc:"Whether it encoded a picture."`
	Why   string `json:"why" doc:"Why it does not work, else empty."`
	Used  bool   `json:"used" doc:"Whether assets that ask for hardware are encoded by it: worker.hardware allows it, and it was proven when the worker started."`
}

// Spent is what work took. What is not known of all of it is nil.
type Spent struct {
	CPU    float64  `json:"cpu_seconds"`
	Cost   *float64 `json:"cost" doc:"In the currency; null while some of it is not known."`
	Energy *float64 `json:"energy_wh" doc:"Watt-hours; null while some of it is not known."`
	Carbon *float64 `json:"carbon_g" doc:"Grams of CO2e; null while some of it is not known."`
}

// SecondsOf is what so many seconds of one core's time took on this machine: its
// share of an hour of all cores. No machine (nil) knows nothing of it.
func (f *Figures) SecondsOf(cpu float64) Spent {
	s := Spent{CPU: cpu}
	if f == nil || f.Cores <= 0 {
		return s
	}
	hours := cpu / 3600 / float64(f.Cores)
	if f.Price != nil {
		s.Cost = new(*f.Price * hours)
	}
	if f.Watts > 0 {
		s.Energy = new(f.Watts * hours)
		if f.Carbon != nil {
			s.Carbon = new(*s.Energy / 1000 * *f.Carbon)
		}
	}
	return s
}

// Frame is what one frame of the standard encode takes: by it machines of
// different speed are compared. Without a speed nothing is known.
func (f *Figures) Frame() Spent {
	if f == nil || f.Speed == nil || *f.Speed <= 0 {
		return Spent{}
	}
	return f.SecondsOf(1 / *f.Speed)
}

// Per is the share of one in n, as of one minute in n minutes.
func (s Spent) Per(n float64) Spent {
	share := func(v *float64) *float64 {
		if v == nil {
			return nil
		}
		return new(*v / n)
	}
	return Spent{s.CPU / n, share(s.Cost), share(s.Energy), share(s.Carbon)}
}
