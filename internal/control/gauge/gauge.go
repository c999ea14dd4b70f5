// Package gauge says what a machine is worth as a worker: what it is, how fast it
// encodes, what it takes of power, money and carbon. It measures once, by the
// standard encode on all cores at the lowest priority, and keeps what it found in the
// data folder. What others do with the figures is theirs.
package gauge

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/file"
	"liuyun/internal/contract/worker"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/kit/power"
)

// tools is what measures: a *ffmpeg.Tools.
type tools interface {
	Standard(ctx context.Context, n int) (speed float64, err error)
	Hardware(ctx context.Context) []ffmpeg.HardwareEncoder
}

// Deps are what a Gauge is made of.
type Deps struct {
	Tools  tools
	Class  string // of the tools: another build is measured anew
	Config Config
	File   string // where what was measured is kept
	// Hardware are the hardware encoders where they have been tried; nil: Run tries them.
	Hardware []worker.Encoder
	Log      *slog.Logger
}

// Gauge knows the figures of this machine. It may be used by several goroutines.
type Gauge struct {
	deps    Deps
	machine machine
	figures atomic.Pointer[worker.Figures]
}

// machine is what a Gauge measures, and what tests replace.
type machine struct {
	cpu   power.CPU
	cores int
	meter func() (*power.Meter, error)
}

func thisMachine() machine {
	text, _ := os.ReadFile("/proc/cpuinfo") // without it the processor is of no known kind
	return machine{power.ReadCPU(text), runtime.GOMAXPROCS(0), func() (*power.Meter, error) {
		return power.StartMeter(os.DirFS("/sys/class/powercap"))
	}}
}

// New returns a gauge that knows what need not be measured, and what was.
func New(d Deps) *Gauge {
	g := &Gauge{deps: d, machine: thisMachine()}
	g.open()
	return g
}

// open takes what needs no work.
func (g *Gauge) open() {
	f := g.machine.figures(g.deps.Config)
	if g.deps.Hardware != nil {
		f.Hardware = g.deps.Hardware
	}
	if m := g.read(); m != nil {
		m.into(&f)
	}
	g.figures.Store(&f)
}

// Known are the figures of this machine without what has to be measured.
func Known(c Config) *worker.Figures {
	f := thisMachine().figures(c)
	return &f
}

// Figures are what is known now. They are read-only.
func (g *Gauge) Figures() *worker.Figures { return g.figures.Load() }

// figures are what the configuration and the kind of processor tell.
func (m machine) figures(c Config) worker.Figures {
	f := worker.Figures{Architecture: runtime.GOARCH, CPU: m.cpu.Model, Cores: m.cores, Hardware: []worker.Encoder{}}
	f.Price, _ = amount("price_per_hour", c.Price) // it was validated
	f.Carbon, _ = amount("carbon_intensity", c.Carbon)
	if watts, _ := amount("watts", c.Watts); watts != nil {
		f.Watts, f.WattsFrom = *watts, worker.WattsSetting
		return f
	}
	thread, _ := m.cpu.Watts()
	f.Watts, f.WattsFrom = thread*float64(m.cores), worker.WattsModel
	return f
}

// measured is what is kept of a measurement, and of what.
type measured struct {
	Standard string  `json:"standard"` // which standard encode
	Class    string  `json:"class"`
	CPU      string  `json:"cpu"`
	Cores    int     `json:"cores"`
	Speed    float64 `json:"speed"`
	Watts    float64 `json:"watts"` // of Cores; 0 where no meter could be read
}

func (m *measured) into(f *worker.Figures) {
	f.Speed = &m.Speed
	if m.Watts > 0 && f.WattsFrom != worker.WattsSetting {
		f.Watts, f.WattsFrom = m.Watts, worker.WattsRAPL
	}
}

// read returns what was measured of this machine with these tools, or nil.
func (g *Gauge) read() *measured {
	text, err := os.ReadFile(g.deps.File)
	var m measured
	if err != nil || json.Unmarshal(text, &m) != nil {
		return nil
	}
	if m.Standard != ffmpeg.StandardVersion || m.Class != g.deps.Class || m.CPU != g.machine.cpu.Model || m.Cores != g.machine.cores || m.Speed <= 0 {
		return nil
	}
	return &m
}

// Run tries the hardware encoders unless that was done, measures unless that was done, and waits until ctx
// ends. It is ready at once: work goes on meanwhile.
func (g *Gauge) Run(ctx context.Context, ready func()) error {
	ready()
	if g.deps.Hardware == nil {
		g.tryHardware(ctx)
	}
	if g.deps.Config.Measure && g.read() == nil {
		g.measure(ctx)
	}
	<-ctx.Done()
	return nil
}

// change stores figures that differ by what edit does.
func (g *Gauge) change(edit func(*worker.Figures)) {
	f := *g.figures.Load()
	edit(&f)
	g.figures.Store(&f)
}

func (g *Gauge) tryHardware(ctx context.Context) {
	list := []worker.Encoder{}
	for _, e := range g.deps.Tools.Hardware(ctx) {
		list = append(list, worker.Encoder{Name: e.Name, Works: e.Works, Why: e.Why})
	}
	if ctx.Err() == nil {
		g.change(func(f *worker.Figures) { f.Hardware = list })
	}
}

// measure runs the standard encode on all cores, and the meter beside it.
func (g *Gauge) measure(ctx context.Context) {
	began := time.Now()
	meter, noMeter := g.machine.meter()
	speed, err := g.deps.Tools.Standard(ctx, g.machine.cores)
	if err != nil {
		if ctx.Err() == nil {
			g.deps.Log.Warn("the speed of this machine is not known; it is measured at the next start", "cause", fault.Message(err))
		}
		return
	}
	m := &measured{ffmpeg.StandardVersion, g.deps.Class, g.machine.cpu.Model, g.machine.cores, speed, 0}
	if noMeter == nil {
		// Of the whole processor: what a container may use is its share.
		if watts, err := meter.Watts(); err == nil {
			m.Watts = watts * float64(g.machine.cores) / float64(max(g.machine.cores, g.machine.cpu.Threads))
		}
	}
	g.change(m.into)
	f := g.Figures()
	g.deps.Log.Info("this machine is measured", "frames_per_core_second", speed, "watts", f.Watts, "watts_from", f.WattsFrom, "took", time.Since(began).Round(time.Second))
	text, err := json.Marshal(m)
	if err == nil {
		err = file.WriteWhole(g.deps.File, text, 0o600)
	}
	if err != nil {
		g.deps.Log.Warn("what was measured is not kept, and is measured again at the next start", "cause", err)
	}
}
