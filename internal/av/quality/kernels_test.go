package quality

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// scored is all that a Meter says, in a form to compare.
type scored struct {
	Features [MaxModels]Features
	Motion   float64
}

// The kernels in C and those in Go say the same to the last bit, at sizes that
// no vector divides, at every depth, for noise, edges and extremes.
func TestKernelsAgree(t *testing.T) {
	t.Parallel()
	if Kernels() == "Go" {
		t.Skip("this build has the kernels in Go alone")
	}
	limits := []*Model{{admLimit: defaultGainLimit, vifLimit: defaultGainLimit, slope: 1}, {admLimit: 1, vifLimit: 1, slope: 1}, {admLimit: 1.5, vifLimit: 1.2, slope: 1}}
	for _, size := range [][2]int{{32, 32}, {33, 47}, {64, 36}, {97, 131}, {158, 90}, {321, 181}, {640, 360}} {
		if testing.Short() && size[0] > 160 {
			continue // ten times the time of all others: too much for a machine in software
		}
		for _, depth := range []int{8, 10, 12} {
			t.Run(fmt.Sprintf("%dx%d_%d", size[0], size[1], depth), func(t *testing.T) {
				t.Parallel()
				c, err1 := newMeter(native(), size[0], size[1], depth, limits...)
				plain, err2 := newMeter(plain(), size[0], size[1], depth, limits...)
				if err1 != nil || err2 != nil {
					t.Fatal(err1, err2)
				}
				for name, pair := range pairs(size[0], size[1], depth) {
					measure := func(m *Meter) scored {
						s, err := m.Frame(pair[0], pair[1], &pair[2])
						if err != nil {
							t.Fatal(err)
						}
						motion, err := m.Motion(pair[1], pair[0])
						if err != nil {
							t.Fatal(err)
						}
						return scored{s.Features, motion}
					}
					if diff := cmp.Diff(measure(plain), measure(c)); diff != "" {
						t.Errorf("%s: Go (-) and C (+) differ:\n%s", name, diff)
					}
				}
			})
		}
	}
}

// pairs are a reference, a distorted picture, and a frame before, of many kinds.
func pairs(w, h, depth int) map[string][3]Plane {
	peak := 1<<depth - 1
	smooth := func(x, y int) int { return (x*7 + y*3 + (x*y)/16) % (peak + 1) }
	random := rand.New(rand.NewPCG(7, uint64(depth)))
	near := func(p Plane, by int) Plane {
		bytes := p.Stride / p.Width
		return picture(w, h, depth, func(x, y int) int {
			at := y*p.Stride + x*bytes
			v := int(p.Pix[at])
			if bytes == 2 {
				v |= int(p.Pix[at+1]) << 8
			}
			return min(max(v+random.IntN(2*by+1)-by, 0), peak)
		})
	}
	flat := func(v int) Plane { return picture(w, h, depth, func(int, int) int { return v }) }
	stripes := picture(w, h, depth, func(x, y int) int { return peak * ((x/3 + y/5) % 2) })
	slope := picture(w, h, depth, smooth)
	sharper := picture(w, h, depth, func(x, y int) int { return min(max(peak/2+(smooth(x, y)-peak/2)*5/4, 0), peak) })
	return map[string][3]Plane{
		"noise":      {noise(w, h, depth, 1), noise(w, h, depth, 2), noise(w, h, depth, 3)},
		"near":       {slope, near(slope, 1+peak/32), near(slope, 3)},
		"sharper":    {slope, sharper, flat(peak)},
		"stripes":    {stripes, near(stripes, peak/4), slope},
		"black":      {flat(0), flat(0), flat(0)},
		"white":      {flat(peak), flat(0), flat(0)},
		"from black": {stripes, flat(peak / 2), stripes},
		"into noise": {flat(peak / 2), noise(w, h, depth, 4), flat(0)},
	}
}

// A frame takes no memory.
func TestFrameDoesNotAllocate(t *testing.T) {
	meter, err := NewMeter(128, 96, 8, &Model{admLimit: 1, vifLimit: 1, slope: 1})
	if err != nil {
		t.Fatal(err)
	}
	ref, dis := noise(128, 96, 8, 1), noise(128, 96, 8, 2)
	if n := testing.AllocsPerRun(5, func() {
		if _, err := meter.Frame(ref, dis, &ref); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%.0f allocations a frame", n)
	}
}

func BenchmarkFrame(b *testing.B) {
	const w, h = 1920, 1080
	random := rand.New(rand.NewPCG(7, 1))
	ref := picture(w, h, 8, func(x, y int) int { return (128 + (x*x/512+y*y/256)%96 + random.IntN(8)) & 255 })
	dis := picture(w, h, 8, func(x, y int) int { return (128 + (x*x/512+y*y/256)%96 + random.IntN(8)) & 255 })
	for _, k := range []kernels{native(), plain()} {
		for _, n := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/models=%d", k.name, n), func(b *testing.B) {
				meter, err := newMeter(k, w, h, 8, []*Model{{admLimit: 100, vifLimit: 100, slope: 1}, {admLimit: 1, vifLimit: 1, slope: 1}}[:n]...)
				if err != nil {
					b.Fatal(err)
				}
				for b.Loop() {
					if _, err := meter.Frame(ref, dis, &ref); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
