package pixel

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// scene is a picture of smooth structure of its own, panned by x samples.
func scene(number int, x float64) Signature {
	s := make(Signature, Size)
	r := rand.New(rand.NewPCG(uint64(number), 7))
	var wave [5][4]float64
	for i := range wave {
		wave[i] = [4]float64{0.08 + 0.5*r.Float64(), 0.08 + 0.5*r.Float64(), 2 * math.Pi * r.Float64(), 12 + 16*r.Float64()}
	}
	for i := range s {
		v := 128.0
		for _, w := range wave {
			v += w[3] * math.Sin(w[0]*(float64(i%Width)+x)+w[1]*float64(i/Width)+w[2])
		}
		s[i] = byte(min(max(v, 0), 255))
	}
	return s
}

// changed applies f to each sample.
func changed(s Signature, f func(v float64) float64) Signature {
	out := make(Signature, len(s))
	for i, v := range s {
		out[i] = byte(min(max(f(float64(v))+0.5, 0), 255))
	}
	return out
}

func gain(g, offset float64) func(float64) float64 {
	return func(v float64) float64 { return v*g + offset }
}

func gamma(g float64) func(float64) float64 {
	return func(v float64) float64 { return 255 * math.Pow(v/255, g) }
}

func noise(r *rand.Rand, deviation float64) func(float64) float64 {
	return func(v float64) float64 { return v + deviation*r.NormFloat64() }
}

// A tone curve or an encoder's noise is not another picture; another picture is.
func TestDistance(t *testing.T) {
	t.Parallel()
	picture := scene(1, 0)
	r := rand.New(rand.NewPCG(1, 2))
	tests := []struct {
		name        string
		other       Signature
		least, most float64
	}{
		{"itself", picture, 0, 1e-12},
		{"brighter", changed(picture, gain(1, 20)), 0, 0.01},
		{"limited range", changed(picture, gain(219.0/255, 16)), 0, 0.01},
		{"flatter", changed(picture, gain(0.5, 60)), 0, 0.06},
		{"gamma 2", changed(picture, gamma(2)), 0, 0.06},
		{"noise", changed(picture, noise(r, 4)), 0, 0.02},
		{"another scene", scene(2, 0), 0.5, 2},
		{"negative", changed(picture, gain(-1, 255)), 1.5, 2},
		{"black", make(Signature, Size), 0.5, 1.5},
	}
	for _, test := range tests {
		if got := Distance(picture, test.other); got < test.least || got > test.most {
			t.Errorf("%s: got distance %.4f, want %g…%g", test.name, got, test.least, test.most)
		}
	}
	if got := Distance(make(Signature, Size), changed(make(Signature, Size), gain(1, 3))); got > 0.01 {
		t.Errorf("two flat pictures: got distance %.4f, want none", got)
	}
}

func drawSignature(t *rapid.T, label string) Signature {
	return rapid.SliceOfN(rapid.Byte(), Size, Size).Draw(t, label)
}

func TestDistanceProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawSignature(t, "a"), drawSignature(t, "b")
		d := Distance(a, b)
		if math.IsNaN(d) || d < -1e-9 || d > 2+1e-9 {
			t.Fatalf("distance %g is not in 0…2", d)
		}
		if back := Distance(b, a); math.Abs(d-back) > 1e-9 {
			t.Fatalf("distance %g one way, %g the other", d, back)
		}
		if self := Distance(a, a); math.Abs(self) > 1e-9 {
			t.Fatalf("distance %g from itself", self)
		}
		if got := Difference(a, b); got < 0 || got > 255 || got != Difference(b, a) {
			t.Fatalf("difference %g", got)
		}
	})
}

func TestStatistics(t *testing.T) {
	t.Parallel()
	flat := changed(make(Signature, Size), gain(0, 40))
	if flat.Mean() != 40 || flat.Contrast() != 0 {
		t.Errorf("flat 40: got mean %g, contrast %g", flat.Mean(), flat.Contrast())
	}
	half := make(Signature, Size)
	for i := range half {
		half[i] = byte(255 * (i % 2))
	}
	if half.Mean() != 127.5 || half.Contrast() != 127.5 {
		t.Errorf("half black, half white: got mean %g, contrast %g, want 127.5 both", half.Mean(), half.Contrast())
	}
	if got := Difference(half, make(Signature, Size)); got != 127.5 {
		t.Errorf("difference from black: got %g, want 127.5", got)
	}
}

// film is a run of pictures in the making.
type film struct {
	pictures []Signature
	noise    *rand.Rand
}

func newFilm() *film { return &film{noise: rand.New(rand.NewPCG(3, 4))} }

func (f *film) add(s Signature) {
	f.pictures = append(f.pictures, changed(s, noise(f.noise, 1.5)))
}

// shot adds count pictures of a scene that pans so many samples a picture.
func (f *film) shot(number, count int, speed float64) {
	for i := range count {
		f.add(scene(number, speed*float64(i)))
	}
}

// dissolve adds count pictures from scene a to scene b.
func (f *film) dissolve(a, b, count int) {
	from, to := scene(a, 0), scene(b, 0)
	for i := range count {
		share := float64(i+1) / float64(count+1)
		mixed := make(Signature, Size)
		for k := range mixed {
			mixed[k] = byte(float64(from[k])*(1-share) + float64(to[k])*share)
		}
		f.add(mixed)
	}
}

func (f *film) find() []int {
	var finder ShotFinder
	for _, picture := range f.pictures {
		finder.Add(picture)
	}
	return finder.Finish()
}

func TestShotFinder(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		make func(f *film)
		want []int
	}{
		{"nothing", func(*film) {}, nil},
		{"one picture", func(f *film) { f.shot(1, 1, 0) }, nil},
		{"still", func(f *film) { f.shot(1, 100, 0) }, nil},
		{"pan", func(f *film) { f.shot(1, 100, 0.5) }, nil},
		{"fast pan", func(f *film) { f.shot(1, 100, 2) }, nil},
		{"cuts", func(f *film) { f.shot(1, 40, 0.2); f.shot(2, 25, 0); f.shot(3, 60, 0.4) }, []int{40, 65}},
		{"cut in a pan", func(f *film) { f.shot(1, 40, 0.5); f.shot(2, 40, 0.5) }, []int{40}},
		{"first picture stands alone", func(f *film) { f.shot(1, 1, 0); f.shot(2, 30, 0) }, []int{1}},
		{"last picture stands alone", func(f *film) { f.shot(1, 30, 0); f.shot(2, 1, 0) }, []int{30}},
		{"short shots", func(f *film) { f.shot(1, 12, 0); f.shot(2, 4, 0); f.shot(3, 12, 0) }, []int{12, 16}},
		{"flash", func(f *film) {
			f.shot(1, 30, 0.1)
			f.add(changed(scene(1, 3), gain(0.2, 200)))
			f.shot(1, 30, 0.1)
		}, nil},
		{"broken picture", func(f *film) { f.shot(1, 30, 0); f.add(make(Signature, Size)); f.shot(1, 30, 0) }, nil},
		{"dissolve", func(f *film) { f.shot(1, 30, 0); f.dissolve(1, 2, 25); f.shot(2, 30, 0) }, nil},
		{"fade to black", func(f *film) {
			f.shot(1, 30, 0)
			for i := range 25 {
				f.add(changed(scene(1, 0), gain(1-float64(i+1)/25, 0)))
			}
			for range 20 {
				f.add(make(Signature, Size))
			}
		}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newFilm()
			test.make(f)
			if diff := cmp.Diff(test.want, f.find()); diff != "" {
				t.Errorf("shot changes (-want +got):\n%s", diff)
			}
		})
	}
}

// Whatever comes, changes are in range and in order, and the memory is bounded.
func TestShotFinderProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var finder ShotFinder
		count := rapid.IntRange(0, 200).Draw(t, "count")
		scenes := rapid.SliceOfN(rapid.IntRange(0, 5), count, count).Draw(t, "scenes")
		for _, number := range scenes {
			finder.Add(scene(number, 0))
		}
		last := 0
		for _, shot := range finder.Finish() {
			if shot <= last || shot >= count {
				t.Fatalf("shot change at %d after %d of %d pictures", shot, last, count)
			}
			if scenes[shot] == scenes[shot-1] {
				t.Fatalf("shot change at %d, where nothing changes", shot)
			}
			last = shot
		}
		if len(finder.jumps) > 8*reach || len(finder.returns) > 8*reach {
			t.Fatalf("%d jumps are kept", len(finder.jumps))
		}
	})
}

// Cuts that stand apart are all found, wherever they fall in the finder's window.
func TestShotFinderFindsEveryCut(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		lengths := rapid.SliceOfN(rapid.IntRange(reach+1, 70), 1, 8).Draw(t, "lengths")
		f := newFilm()
		var want []int
		for number, length := range lengths {
			if number > 0 {
				want = append(want, len(f.pictures))
			}
			f.shot(number, length, 0)
		}
		if diff := cmp.Diff(want, f.find()); diff != "" {
			t.Fatalf("shot changes (-want +got):\n%s", diff)
		}
	})
}

func BenchmarkShotFinder(b *testing.B) {
	f := newFilm()
	f.shot(1, 50, 0.3)
	f.shot(2, 50, 0.3)
	var finder ShotFinder
	for i := 0; b.Loop(); i++ {
		finder.Add(f.pictures[i%len(f.pictures)])
	}
}
