package quality

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"liuyun/internal/testkit"
)

// picture is a plane whose samples a function gives.
func picture(width, height, depth int, sample func(x, y int) int) Plane {
	size := 1
	if depth > 8 {
		size = 2
	}
	p := Plane{width, height, width * size, depth, make([]byte, width*height*size)}
	for y := range height {
		for x := range width {
			v := sample(x, y)
			p.Pix[y*p.Stride+x*size] = byte(v)
			if size == 2 {
				p.Pix[y*p.Stride+x*size+1] = byte(v >> 8)
			}
		}
	}
	return p
}

func within(t *testing.T, what string, got, want, by float64) {
	t.Helper()
	if math.IsNaN(got) || math.Abs(got-want) > by {
		t.Errorf("%s is %.6f, want %.6f", what, got, want)
	}
}

func TestLibvmafAgreesOnPSNR(t *testing.T) {
	t.Parallel()
	ref, dis, want := goldenPair(t, "football")
	for i := range ref {
		for c, name := range []string{"psnr_y", "psnr_cb", "psnr_cr"} {
			got, err := PSNR(ref[i][c], dis[i][c])
			if err != nil {
				t.Fatal(err)
			}
			within(t, name, got, want[i][name], 2e-6)
		}
	}
}

// The published means of five frames of 10 bits.
func TestTenBits(t *testing.T) {
	t.Parallel()
	folder := filepath.Dir(testkit.Media(t, "quality_ref/sparks_480x270_10le/EXPECTED.json"))
	var want struct {
		W, H, Frames int
		VMAF         float64 `json:"vmaf"`
		Self         float64 `json:"vmaf_self"`
		PSNR         float64 `json:"psnr_y"`
		SSIM         float64 `json:"ssim"`
	}
	data, err := os.ReadFile(filepath.Join(folder, "EXPECTED.json"))
	if err == nil {
		err = json.Unmarshal(data, &want)
	}
	if err != nil {
		t.Fatal(err)
	}
	ref := frames(testkit.Unxz(t, filepath.Join(folder, "sparks_ref_480x270.yuv42010le.yuv.xz")), want.W, want.H, 10)
	dis := frames(testkit.Unxz(t, filepath.Join(folder, "sparks_dis_480x270.yuv42010le.yuv.xz")), want.W, want.H, 10)
	if len(ref) != want.Frames || len(dis) != want.Frames {
		t.Fatalf("%d and %d frames, want %d", len(ref), len(dis), want.Frames)
	}
	meter, err := NewMeter(want.W, want.H, 10, readModel(t, "vmaf_v0.6.1.json"))
	if err != nil {
		t.Fatal(err)
	}
	mean := func(value func(i int) float64) (sum float64) {
		for i := range ref {
			sum += value(i)
		}
		return sum / float64(len(ref))
	}
	scores, self := measure(t, meter, ref, dis), measure(t, meter, ref, ref)
	within(t, "VMAF", mean(func(i int) float64 { return scores[i].VMAF[0] }), want.VMAF, 0.01)
	within(t, "VMAF of the reference itself", mean(func(i int) float64 { return self[i].VMAF[0] }), want.Self, 0.01)
	within(t, "PSNR", mean(func(i int) float64 {
		v, err := PSNR(ref[i][0], dis[i][0])
		if err != nil {
			t.Fatal(err)
		}
		return v
	}), want.PSNR, 1e-4)
	within(t, "SSIM", mean(func(i int) float64 {
		v, err := SSIM(ref[i][0], dis[i][0])
		if err != nil {
			t.Fatal(err)
		}
		return v
	}), want.SSIM, 1e-3)
}

// noise is a picture of the same random samples each time.
func noise(width, height, depth int, seed uint64) Plane {
	random := rand.New(rand.NewPCG(seed, 1))
	return picture(width, height, depth, func(int, int) int { return int(random.Uint64() >> (64 - depth)) })
}

func TestEqualPictures(t *testing.T) {
	t.Parallel()
	for _, depth := range []int{8, 10} {
		for _, p := range []Plane{
			noise(96, 64, depth, 1),
			picture(96, 64, depth, func(int, int) int { return 0 }),
			picture(96, 64, depth, func(int, int) int { return 1<<depth - 1 }),
		} {
			psnr, err1 := PSNR(p, p)
			xpsnr, err2 := XPSNR(p, p, []Plane{p, p}, 50)
			ssim, err3 := SSIM(p, p)
			if err := errors.Join(err1, err2, err3); err != nil {
				t.Fatal(err)
			}
			if !math.IsInf(psnr, 1) || !math.IsInf(xpsnr, 1) || ssim != 1 {
				t.Errorf("%d bits: PSNR %g, XPSNR %g, SSIM %g of a picture and itself", depth, psnr, xpsnr, ssim)
			}
		}
	}
}

// Where nothing stands out, the activity is at its least, and the weight known.
func TestXPSNROfFlatPictures(t *testing.T) {
	t.Parallel()
	const width, height = 1280, 720
	ref := picture(width, height, 8, func(int, int) int { return 100 })
	dis := picture(width, height, 8, func(int, int) int { return 102 })
	got, err := XPSNR(ref, dis, []Plane{ref}, 25)
	if err != nil {
		t.Fatal(err)
	}
	ratio := float64(width*height) / (3840 * 2160)
	weight := math.Sqrt(16*128/math.Sqrt(ratio)) / 4
	within(t, "XPSNR", got, 10*math.Log10(255*255/(4*weight)), 1e-4)
}

func TestPlanesThatDoNotFit(t *testing.T) {
	t.Parallel()
	good := noise(64, 64, 8, 1)
	short, narrow := good, good
	short.Pix = short.Pix[:64*64-1]
	narrow.Stride = 63
	for name, bad := range map[string]Plane{
		"no bytes": {Width: 64, Height: 64, Stride: 64, Depth: 8}, "short": short, "narrow": narrow,
		"another depth": noise(64, 64, 10, 1), "another size": noise(64, 66, 8, 1), "nothing": {},
		"negative": {Width: -64, Height: -64, Stride: 64, Depth: 8, Pix: good.Pix},
	} {
		meter, err := NewMeter(64, 64, 8)
		if err != nil {
			t.Fatal(err)
		}
		_, err1 := PSNR(good, bad)
		_, err2 := SSIM(good, bad)
		_, err3 := XPSNR(good, bad, nil, 25)
		_, err4 := XPSNR(good, good, []Plane{bad}, 25)
		_, err5 := meter.Frame(good, bad, nil)
		_, err6 := meter.Frame(bad, good, nil)
		_, err7 := meter.Frame(good, good, &bad)
		_, err8 := meter.Motion(good, bad)
		for i, err := range []error{err1, err2, err3, err4, err5, err6, err7, err8} {
			if !errors.Is(err, ErrPlanes) {
				t.Errorf("%s, %d: %v, want ErrPlanes", name, i, err)
			}
		}
	}
}

func TestBDRate(t *testing.T) {
	t.Parallel()
	curve := func(values ...float64) (points []Point) {
		for i := 0; i < len(values); i += 2 {
			points = append(points, Point{values[i], values[i+1]})
		}
		return points
	}
	anchor := curve(9487.76, 40.037, 4593.60, 38.615, 2486.44, 36.845, 1358.24, 34.851)
	half := curve(4743.88, 40.037, 2296.80, 38.615, 1243.22, 36.845, 679.12, 34.851)
	for _, c := range []struct {
		name         string
		anchor, test []Point
		want         float64
	}{
		{"itself", anchor, anchor, 0},
		{"half the rate", anchor, half, -50},
		{"twice the rate", half, anchor, 100},
		// Four encodes of a clip that are used as an example where the method is
		// explained (FAU-LMS/bjontegaard); values by other implementations.
		{"another preset", anchor, curve(9787.80, 40.121, 4469.00, 38.651, 2451.52, 36.970, 1356.24, 34.987), -4.417485},
		{"an older example", curve(686.76, 40.28, 309.58, 37.18, 157.11, 34.24, 85.95, 31.42),
			curve(893.34, 40.39, 407.8, 37.21, 204.93, 34.17, 112.75, 31.24), 31.379878},
		{"two points", curve(100, 30, 200, 33), curve(110, 30, 220, 33), 10},
	} {
		got, err := BDRate(c.anchor, c.test)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		within(t, c.name, got, c.want, 1e-6)
	}
	for name, c := range map[string][2][]Point{
		"one point":                  {anchor, curve(100, 36)},
		"no quality in common":       {anchor, curve(100, 20, 200, 25)},
		"less quality for more rate": {anchor, curve(100, 36, 200, 35, 300, 38)},
		"a rate of nothing":          {anchor, curve(0, 36, 200, 38)},
		"no number":                  {anchor, curve(100, math.NaN(), 200, 38)},
	} {
		if _, err := BDRate(c[0], c[1]); !errors.Is(err, ErrCurves) {
			t.Errorf("%s: %v, want ErrCurves", name, err)
		}
	}
}
