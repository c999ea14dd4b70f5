package gauge

import (
	"math"
	"strconv"

	"liuyun/internal/base/fault"
	"liuyun/internal/engine/ffmpeg"
)

// Config is what a machine cannot find out about itself. An empty figure is not
// known, and is shown so.
type Config struct {
	Measure  bool   `conf:"measure" help:"Measure once how fast this machine encodes, some seconds on all cores at the lowest priority."`
	Hardware string `conf:"hardware" help:"Hardware encoders that may make assets that ask for them: off, auto (the first that works) or one of nvenc, qsv, vaapi, amf, v4l2m2m."`
	Price    string `conf:"price_per_hour" help:"What an hour of this machine costs, in the currency of sched.currency; empty is not known."`
	Watts    string `conf:"watts" help:"What this machine takes at full load; empty measures it where the processor shows it, or takes a published figure for its kind."`
	Carbon   string `conf:"carbon_intensity" help:"Grams of CO2e a kWh of this machine's grid; empty is not known."`
}

// DefaultConfig measures, and knows neither prices nor grids.
func DefaultConfig() Config { return Config{Measure: true, Hardware: ffmpeg.HardwareOff} }

// Validate says which figure is none.
func (c Config) Validate() error {
	if _, err := amount("price_per_hour", c.Price); err != nil {
		return err
	}
	if _, err := amount("carbon_intensity", c.Carbon); err != nil {
		return err
	}
	if err := ffmpeg.CheckHardware(c.Hardware); err != nil {
		return err
	}
	watts, err := amount("watts", c.Watts)
	if err == nil && watts != nil && *watts == 0 {
		err = fault.New(fault.Invalid, "watts is 0, which no machine takes; leave it empty when it is not known")
	}
	return err
}

// amount reads a figure; what is empty is nil.
func amount(name, text string) (*float64, error) {
	if text == "" {
		return nil, nil
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(v) || v < 0 || v > 1e9 {
		return nil, fault.New(fault.Invalid, "%s is %q; write a number such as 0.34, or leave it empty when it is not known", name, text)
	}
	return &v, nil
}
