package nn

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"

	"liuyun/internal/testkit"
)

// model reads the network that is shipped: it has every operation that there is.
func model(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(testkit.Root(t), "internal", "video", "transcode", "analyse", "net_126k.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

const width, height = 160, 96

// picture makes an input in ONNX's order from values of 0 … 255.
func picture(value func(c, y, x int) int) []float32 {
	data := make([]float32, 0, 3*height*width)
	for c := range 3 {
		for y := range height {
			for x := range width {
				data = append(data, float32(float64(value(c, y, x))/255))
			}
		}
	}
	return data
}

// pictures are those of testdata/golden.mjs.
func pictures() [][]float32 {
	state := 1
	return [][]float32{
		picture(func(c, y, x int) int { return (x + 2*y*(c+1)) % 256 }),
		picture(func(c, y, x int) int {
			if (x-110)*(x-110)+(y-30)*(y-30) < 150 {
				return 230 - 60*c
			}
			return 40 + 20*c
		}),
		picture(func(int, int, int) int { state = (state*75 + 74) % 65537; return state % 256 }),
	}
}

// The outputs are those of ONNX Runtime 1.30.
func TestAgainstONNXRuntime(t *testing.T) {
	t.Parallel()
	n, err := New(model(t))
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(filepath.Join("testdata", "net_126k.f32"))
	if err != nil {
		t.Fatal(err)
	}
	for number, input := range pictures() {
		got, err := n.Run(input)
		if err != nil {
			t.Fatal(err)
		}
		worst := 0.0
		for i, v := range got {
			golden := math.Float32frombits(binary.LittleEndian.Uint32(want[4*(number*len(got)+i):]))
			worst = max(worst, math.Abs(float64(v-golden)))
		}
		if !(worst <= 1e-4) {
			t.Errorf("picture %d: got values that are off by up to %g, want at most 1e-4", number, worst)
		}
	}
}

func TestRunAllocatesNothing(t *testing.T) {
	n, err := New(model(t))
	if err != nil {
		t.Fatal(err)
	}
	input := pictures()[0]
	if got := testing.AllocsPerRun(2, func() { _, _ = n.Run(input) }); got != 0 {
		t.Errorf("a run allocates %g times, want none", got)
	}
	if _, err := n.Run(input[1:]); err == nil {
		t.Error("an input that is too short: got no error")
	}
}

func BenchmarkRun(b *testing.B) {
	n, err := New(model(b))
	if err != nil {
		b.Fatal(err)
	}
	input := pictures()[0]
	b.ReportMetric(float64(n.Work())/1e6, "Mmul")
	for b.Loop() {
		if _, err := n.Run(input); err != nil {
			b.Fatal(err)
		}
	}
}
