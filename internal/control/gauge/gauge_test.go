package gauge

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/worker"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/kit/power"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is tools that take ten seconds for a measurement.
type bench struct {
	speed float64
	runs  int
	cores int
	err   error
}

func (b *bench) Standard(ctx context.Context, n int) (float64, error) {
	b.runs, b.cores = b.runs+1, n
	select {
	case <-time.After(10 * time.Second):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	return b.speed, b.err
}

func (b *bench) Hardware(context.Context) []ffmpeg.HardwareEncoder {
	return []ffmpeg.HardwareEncoder{{Name: "h264_nvenc", Works: true}, {Name: "h264_qsv", Why: "no device"}}
}

// milan is a machine of 64 threads, of which a container has 8.
func milan() machine {
	cpu := power.ReadCPU([]byte("vendor_id : AuthenticAMD\ncpu family : 25\nmodel : 1\nmodel name : AMD EPYC 7763\n"))
	cpu.Threads = 64
	return machine{cpu, 8, func() (*power.Meter, error) { return nil, errors.New("none") }}
}

func newGauge(t *testing.T, folder string, b *bench, m machine, c Config) *Gauge {
	t.Helper()
	g := &Gauge{deps: Deps{Tools: b, Class: "amd64-ffmpeg-x", Config: c, File: filepath.Join(folder, "speed.json"), Log: slog.New(slog.DiscardHandler)}, machine: m}
	g.open()
	return g
}

// run lets a gauge run for a minute.
func run(t *testing.T, g *Gauge) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := g.Run(ctx, func() {}); err != nil {
		t.Error(err)
	}
}

// A machine is measured once, and anew with other tools or another processor.
func TestMeasuredOnce(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{speed: 24}
		g := newGauge(t, folder, b, milan(), DefaultConfig())
		if f := g.Figures(); f.Speed != nil || f.WattsFrom != worker.WattsModel {
			t.Errorf("before: got %+v", f)
		}
		run(t, g)
		want := &worker.Figures{
			Architecture: g.Figures().Architecture, CPU: "AMD EPYC 7763", Cores: 8, Speed: new(24.0), Watts: 8 * 1.96, WattsFrom: worker.WattsModel,
			Hardware: []worker.Encoder{{Name: "h264_nvenc", Works: true}, {Name: "h264_qsv", Why: "no device"}},
		}
		if diff := cmp.Diff(want, g.Figures(), cmpopts.EquateApprox(1e-9, 0)); diff != "" {
			t.Errorf("after (-want +got):\n%s", diff)
		}
		again := newGauge(t, folder, b, milan(), DefaultConfig())
		if f := again.Figures(); f.Speed == nil || *f.Speed != 24 {
			t.Errorf("kept: got %+v", f)
		}
		run(t, again)
		if b.runs != 1 || b.cores != 8 {
			t.Errorf("measured %d times, on %d cores", b.runs, b.cores)
		}
		other := newGauge(t, folder, b, milan(), DefaultConfig())
		other.deps.Class = "amd64-ffmpeg-y"
		other.open()
		if f := other.Figures(); f.Speed != nil {
			t.Errorf("other tools: got %+v", f)
		}
		tried := newGauge(t, folder, b, milan(), DefaultConfig())
		tried.deps.Hardware = []worker.Encoder{{Name: "h264_vaapi", Works: true, Used: true}}
		tried.open()
		run(t, tried)
		if diff := cmp.Diff(tried.deps.Hardware, tried.Figures().Hardware); diff != "" {
			t.Errorf("hardware that was tried already (-want +got):\n%s", diff)
		}
		smaller := milan()
		smaller.cores = 4
		run(t, newGauge(t, folder, b, smaller, DefaultConfig()))
		if b.runs != 2 {
			t.Errorf("with fewer cores: measured %d times", b.runs)
		}
	})
}

// What the processor's meter says goes before the published figure, and what somebody
// said before both.
func TestWatts(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		zones := fstest.MapFS{"intel-rapl:0/name": {Data: []byte("package-0")}, "intel-rapl:0/energy_uj": {Data: []byte("0")}}
		metered := milan()
		metered.meter = func() (*power.Meter, error) {
			m, err := power.StartMeter(zones)
			zones["intel-rapl:0/energy_uj"].Data = []byte("2400000000") // 240 W for ten seconds
			return m, err
		}
		g := newGauge(t, folder, &bench{speed: 24}, metered, DefaultConfig())
		run(t, g)
		if f := g.Figures(); f.Watts != 30 || f.WattsFrom != worker.WattsRAPL { // 8 of 64 threads
			t.Errorf("metered: got %g W by %s", f.Watts, f.WattsFrom)
		}
		c := DefaultConfig()
		c.Watts, c.Price, c.Carbon = "55", "0.34", "0"
		g = newGauge(t, folder, &bench{speed: 24}, metered, c)
		if f := g.Figures(); f.Watts != 55 || f.WattsFrom != worker.WattsSetting || *f.Price != 0.34 || *f.Carbon != 0 || f.Speed == nil {
			t.Errorf("said: got %+v", f)
		}
	})
}

// A machine that cannot be measured, or shall not, goes on without a speed.
func TestNotMeasured(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{err: fault.New(fault.Unavailable, "no libx264")}
		g := newGauge(t, folder, b, milan(), DefaultConfig())
		run(t, g)
		if f := g.Figures(); f.Speed != nil || b.runs != 1 || len(f.Hardware) != 2 {
			t.Errorf("a failure: got %+v after %d runs", f, b.runs)
		}
		run(t, newGauge(t, folder, b, milan(), Config{}))
		if b.runs != 1 {
			t.Error("measured, and was told not to")
		}
	})
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, c := range []Config{{}, {Price: "0"}, {Price: "1.5", Watts: "80", Carbon: "56"}} {
		if err := c.Validate(); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for _, c := range []Config{{Price: "-1"}, {Price: "a lot"}, {Carbon: "NaN"}, {Watts: "0"}, {Watts: "1e12"}} {
		if err := c.Validate(); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%+v: got %v", c, err)
		}
	}
	if f := Known(Config{}); f.Cores < 1 || f.Watts <= 0 {
		t.Errorf("this machine: got %+v", f)
	}
}
