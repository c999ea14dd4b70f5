package transcode

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"liuyun/internal/av/mp4"
	"liuyun/internal/av/pixel"
)

// panorama is count pictures of a wide scene that moves by step samples each.
func panorama(seed uint64, count int, step float64) []pixel.Signature {
	r := rand.New(rand.NewPCG(seed, 1))
	var wave [6][3]float64
	for i := range wave {
		wave[i] = [3]float64{0.1 + 0.6*r.Float64(), 0.1 + 0.6*r.Float64(), 2 * math.Pi * r.Float64()}
	}
	list := make([]pixel.Signature, count)
	for n := range list {
		list[n] = make(pixel.Signature, pixel.Size)
		for i := range list[n] {
			x, y := float64(i%pixel.Width)+step*float64(n), float64(i/pixel.Width)
			v := 120.0
			for _, w := range wave {
				v += 20 * math.Sin(w[0]*x+w[1]*y+w[2])
			}
			list[n][i] = byte(min(max(v, 0), 255))
		}
	}
	return list
}

// altered applies f to every sample of every picture.
func altered(list []pixel.Signature, f func(v float64) float64) []pixel.Signature {
	out := make([]pixel.Signature, len(list))
	for n, s := range list {
		out[n] = make(pixel.Signature, len(s))
		for i, v := range s {
			out[n][i] = byte(min(max(f(float64(v))+0.5, 0), 255))
		}
	}
	return out
}

// compare runs the check on pictures that should show the whole source.
func compare(source, pictures []pixel.Signature) error {
	c := pictureCheck{source: source}
	for n := range source {
		c.shows = append(c.shows, n)
	}
	for _, picture := range pictures {
		if err := c.add(picture); err != nil {
			return err
		}
	}
	return c.verdict()
}

// What an encoder does to pictures is accepted.
func TestPictureCheckAccepts(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 6))
	moving := panorama(1, 60, 0.7)
	still := panorama(2, 60, 0)
	slow := panorama(3, 60, 0.02)
	cut := append(panorama(4, 30, 0.5), panorama(5, 30, 0.5)...)
	changes := map[string]func(v float64) float64{
		"nothing":       func(v float64) float64 { return v },
		"noise":         func(v float64) float64 { return v + 3*r.NormFloat64() },
		"much noise":    func(v float64) float64 { return v + 8*r.NormFloat64() },
		"brighter":      func(v float64) float64 { return v + 12 },
		"limited range": func(v float64) float64 { return 16 + v*219/255 },
		"gamma":         func(v float64) float64 { return 255 * math.Pow(v/255, 1.4) },
		"tone curve":    func(v float64) float64 { return 255 * (1 - math.Exp(-v/120)) },
	}
	for kind, source := range map[string][]pixel.Signature{"moving": moving, "still": still, "slow": slow, "cut": cut, "black": altered(still, func(float64) float64 { return 16 })} {
		for change, f := range changes {
			if err := compare(source, altered(source, f)); err != nil {
				t.Errorf("%s, %s: %v", kind, change, err)
			}
		}
	}
}

// A picture that is not the one of the plan is found, even behind an encoder's
// noise.
func TestPictureCheckFinds(t *testing.T) {
	t.Parallel()
	without := func(list []pixel.Signature, n int) []pixel.Signature {
		return slices.Delete(slices.Clone(list), n, n+1)
	}
	swap := func(list []pixel.Signature) []pixel.Signature {
		list = slices.Clone(list)
		list[20], list[21] = list[21], list[20]
		return list
	}
	source := panorama(1, 60, 0.8)
	foreign := slices.Clone(source)
	foreign[33] = panorama(9, 1, 0)[0]
	black := slices.Clone(source)
	black[7] = make(pixel.Signature, pixel.Size)
	tests := map[string]struct {
		pictures []pixel.Signature
		want     string
	}{
		"doubled and one left out": {slices.Insert(without(source, 40), 10, source[9]), "neighbouring"},
		"shifted forth":            {slices.Insert(without(source, 59), 0, source[0]), "neighbouring"},
		"shifted back":             {append(without(source, 0), source[59]), "neighbouring"},
		"doubled":                  {slices.Insert(slices.Clone(source), 10, source[9]), "more pictures"},
		"dropped":                  {without(source, 30), "59 pictures decoded, the plan has 60"},
		"swapped":                  {swap(source), "neighbouring"},
		"foreign":                  {foreign, "picture 33 is not the source's"},
		"black":                    {black, "picture 7"},
		"none":                     {nil, "0 pictures decoded"},
		"another film":             {panorama(7, 60, 0.8), ""},
	}
	r := rand.New(rand.NewPCG(8, 9))
	for name, test := range tests {
		for change, f := range map[string]func(v float64) float64{
			"clean": func(v float64) float64 { return v },
			"noisy": func(v float64) float64 { return v + 2*r.NormFloat64() },
		} {
			err := compare(source, altered(test.pictures, f))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s, %s: got %v, want an error with %q", name, change, err, test.want)
			}
		}
	}
}

// One picture in its neighbour's place is found wherever it is, at any speed
// that makes pictures differ.
func TestPictureCheckFindsOneAnywhere(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		source := panorama(rapid.Uint64Range(0, 100).Draw(t, "scene"), 40, rapid.Float64Range(0.8, 3).Draw(t, "step"))
		n := rapid.IntRange(0, 39).Draw(t, "picture")
		shift := rapid.SampledFrom([]int{-2, -1, 1, 2}).Draw(t, "shift")
		shown := n + shift
		if shown < 0 || shown >= 40 || pixel.Distance(source[n], source[shown]) < 2*noise {
			t.Skip("no such neighbour, or it looks alike")
		}
		pictures := slices.Clone(source)
		pictures[n] = source[shown]
		if err := compare(source, pictures); err == nil {
			t.Fatalf("picture %d shows frame %d, distance %.3f", n, shown, pixel.Distance(source[n], source[shown]))
		}
	})
}

func TestPresentationOrder(t *testing.T) {
	t.Parallel()
	track := func(start int64, offsets ...int32) *mp4.Track {
		tr := &mp4.Track{Timescale: 25, MediaStart: start}
		for _, offset := range offsets {
			tr.Samples = append(tr.Samples, mp4.Sample{Duration: 1, CompositionOffset: offset})
		}
		return tr
	}
	tests := []struct {
		name  string
		track *mp4.Track
		want  []int
	}{
		{"none", track(0), []int{}},
		{"in order", track(0, 0, 0, 0), []int{0, 1, 2}},
		{"reordered", track(1, 1, 3, 0, 0), []int{0, 3, 1, 2}},
		{"signed offsets", track(0, 0, 2, -1, -1), []int{0, 3, 1, 2}},
		{"twice", track(0, 0, 0, -1), nil},
		{"before the start", track(1, 0, 0, 0), nil},
		{"after the end", track(0, 0, 5, 0), nil},
	}
	for _, test := range tests {
		got, err := presentationOrder(test.track)
		if (err == nil) != (test.want != nil) || !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, %v, want %v", test.name, got, err, test.want)
		}
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 3, 2}, 3}} {
		if got := median(test.values); got != test.want {
			t.Errorf("%v: got %g, want %g", test.values, got, test.want)
		}
	}
}

func TestFramesAt(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		count, step := rapid.IntRange(0, 1000).Draw(t, "count"), rapid.IntRange(1, 8).Draw(t, "step")
		want := 0
		for n := 0; n < count; n += step {
			want++
		}
		if got := framesAt(count, step); got != want {
			t.Fatalf("%d frames, every %d-th: got %d, want %d", count, step, got, want)
		}
	})
}
