package analyse

import (
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/av/scene"
)

// drawn makes a picture of luma by a function, grey all over.
func drawn(luma func(x, y int) float64) Picture {
	p := make(Picture, PictureSize)
	for y := range Height {
		for x := range Width {
			p[y*Width+x] = byte(min(max(luma(x, y), 0), 255))
		}
	}
	for i := Width * Height; i < len(p); i++ {
		p[i] = 128
	}
	return p
}

// landscape is smooth structure, panned by x and y samples.
func landscape(x0, y0 float64) Picture {
	return drawn(func(x, y int) float64 {
		u, v := float64(x)-x0, float64(y)-y0
		return 120 + 30*math.Sin(u*0.21+v*0.05) + 25*math.Sin(v*0.27-u*0.03) + 20*math.Sin((u+v)*0.4)
	})
}

func level(v float64) Picture { return drawn(func(int, int) float64 { return v }) }

// film runs pictures through a Finder that looks every now and then.
func film(t *testing.T, looks bool, pictures ...Picture) (frames []Frame, found []TimedLook) {
	t.Helper()
	f, err := New(Config{Aspect: 16.0 / 9, Looks: looks})
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range pictures {
		frame, look, err := f.Add(float64(i)/25, p)
		if err != nil {
			t.Fatal(err)
		}
		if look != nil {
			found = append(found, TimedLook{i, *look})
		}
		frames = append(frames, frame)
	}
	return frames, found
}

func TestMotion(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name        string
		x, y        float64 // samples a picture
		least, most float64 // motion, samples
	}{
		{"still", 0, 0, 0, 0},
		{"pan", 3, 0, 2.5, 3.5},
		{"tilt", 0, -5, 4, 6},
		{"across", 4, 3, 4, 6},
	}
	for _, test := range tests {
		frames, _ := film(t, false, landscape(0, 0), landscape(test.x, test.y))
		got := float64(frames[1].Motion) * Width
		if got < test.least || got > test.most {
			t.Errorf("%s: got motion of %.2f samples, want %g…%g", test.name, got, test.least, test.most)
		}
		if frames[1].Residual > frames[1].Change {
			t.Errorf("%s: motion leaves %.2f of a change of %.2f", test.name, frames[1].Residual, frames[1].Change)
		}
		if frames[1].Duplicate() != (test.name == "still") {
			t.Errorf("%s: got duplicate %v", test.name, frames[1].Duplicate())
		}
	}
}

// Grain is what it is where nothing moves, and none where there is none.
func TestGrain(t *testing.T) {
	t.Parallel()
	for _, want := range []float64{0, 2, 4} {
		r := rand.New(rand.NewPCG(1, 2))
		noisy := func() Picture {
			base := landscape(0, 0)
			return drawn(func(x, y int) float64 { return math.Round(float64(base[y*Width+x]) + want*r.NormFloat64()) })
		}
		frames, _ := film(t, false, noisy(), noisy(), noisy())
		if got := float64(frames[2].Grain); math.Abs(got-want) > 0.15*want+0.05 {
			t.Errorf("got grain %.2f, want %g", got, want)
		}
	}
}

func TestShots(t *testing.T) {
	t.Parallel()
	var pictures []Picture
	for i := range 12 { // fades in from black
		share := max(0, float64(i-2)/9)
		base := landscape(0, 0)
		pictures = append(pictures, drawn(func(x, y int) float64 { return 16 + share*(float64(base[y*Width+x])-16) }))
	}
	barred := func(x0 float64) Picture {
		base := landscape(x0, 0)
		return drawn(func(x, y int) float64 {
			if y < 12 || y >= 84 {
				return 16
			}
			return float64(base[y*Width+x])
		})
	}
	for i := range 10 {
		pictures = append(pictures, barred(float64(i/2*4))) // each picture twice
	}
	letters := drawn(func(x, y int) float64 { // strokes on white, and nothing else
		if y%16 < 6 && x%4 == 1 {
			return 30
		}
		return 235
	})
	for range 5 {
		pictures = append(pictures, letters)
	}
	frames, _ := film(t, false, pictures...)
	got := Film{FrameRate: 25, Samples: 1}.Shots(frames, []int{12, 22}, nil)
	if len(got) != 3 {
		t.Fatalf("got %d shots, want 3", len(got))
	}
	if s := got[0]; s.From != 0 || s.To != 12 || s.Black < 2 || s.Fading < 8 || s.Fading+s.Black > 12 || s.Screen {
		t.Errorf("a fade: got %+v", s)
	}
	if s := got[1]; s.Duplicates != 5 || s.Black != 0 || s.Fading != 0 || s.Motion < 0.2 || s.Motion > 0.5 {
		t.Errorf("every picture twice, in bars: got %+v", s)
	}
	if diff := cmp.Diff(&Edges{Top: 0.125, Bottom: 0.125}, got[1].Bars); diff != "" {
		t.Errorf("bars (-want +got):\n%s", diff)
	}
	if s := got[2]; !s.Screen || s.Bars != nil || s.Duplicates != 4 {
		t.Errorf("a screen: got %+v", s)
	}
}

// Lines of letters are text; a texture as strong is not.
func TestText(t *testing.T) {
	t.Parallel()
	share := func(p Picture) float64 {
		found := text(p)
		sum := 0.0
		for _, v := range found {
			sum += float64(v) / Cells
		}
		return sum
	}
	r := rand.New(rand.NewPCG(5, 6))
	noise := drawn(func(int, int) float64 { return 120 + 40*r.NormFloat64() })
	if got := share(noise); got != 0 {
		t.Errorf("noise: %.2f of it is text", got)
	}
	if got := share(landscape(0, 0)); got != 0 {
		t.Errorf("waves: %.2f of it is text", got)
	}
	line := drawn(func(x, y int) float64 {
		if y >= 80 && y < 88 && x >= 40 && x < 120 && (x*7+y/4*3)%5 < 2 {
			return 230
		}
		return 40
	})
	if got := share(line); got < 0.02 || got > 0.1 {
		t.Errorf("a subtitle of 4 %%: %.3f of the picture is text", got)
	}
}

// head is a face in its colours at a place: an ellipse with eyes and a mouth.
func head(p Picture, x0, y0 int, skinY, skinCb, skinCr byte) {
	const rx, ry = 10, 13
	for y := y0 - ry; y <= y0+ry; y++ {
		for x := x0 - rx; x <= x0+rx; x++ {
			dx, dy := float64(x-x0)/rx, float64(y-y0)/ry
			if dx*dx+dy*dy > 1 {
				continue
			}
			p[y*Width+x] = skinY
			at := y/2*(Width/2) + x/2
			p[Width*Height+at], p[Width*Height+Width*Height/4+at] = skinCb, skinCr
			if y-y0 >= -5 && y-y0 <= -3 && (x-x0 <= -3 && x-x0 >= -6 || x-x0 >= 3 && x-x0 <= 6) || y-y0 >= 6 && y-y0 <= 7 && x-x0 >= -4 && x-x0 <= 4 {
				p[y*Width+x] = skinY / 2
			}
		}
	}
}

// Heads are found whatever the complexion, and plain patches of their colour are not.
func TestFaces(t *testing.T) {
	t.Parallel()
	for name, colour := range map[string][3]byte{"light": {190, 112, 150}, "brown": {120, 110, 152}, "dark": {75, 117, 145}} {
		p := level(60)
		head(p, 50, 40, colour[0], colour[1], colour[2])
		found := faces(p, 16.0/9)
		if at := 40/cell*Columns + 50/cell; found[at] == 0 {
			t.Errorf("%s: the head is not found", name)
		}
		if found[0] != 0 || found[Cells-1] != 0 {
			t.Errorf("%s: a corner is a face", name)
		}
	}
	plain := level(120)
	for i := Width * Height; i < len(plain); i++ {
		plain[i] = 110
		if i >= Width*Height*5/4 {
			plain[i] = 152
		}
	}
	if found := faces(plain, 16.0/9); found != [Cells]float32{} {
		t.Error("a wall of the colour of skin is a face")
	}
}

// Where something moves against a still picture, more is looked at.
func TestLooks(t *testing.T) {
	t.Parallel()
	moving := func(i int, moves bool) Picture {
		p := landscape(0, 0)
		at := 20
		if moves {
			at += 2 * i
		}
		for y := 60; y < 76; y++ {
			for x := at; x < at+16; x++ {
				p[y*Width+x] = byte(60 + 100*((x-at)/4%2))
			}
		}
		return p
	}
	density := func(moves bool) float64 {
		var pictures []Picture
		for i := range 27 {
			pictures = append(pictures, moving(i, moves))
		}
		_, looks := film(t, true, pictures...)
		if len(looks) < 2 {
			t.Fatalf("got %d looks in a second", len(looks))
		}
		last := looks[len(looks)-1]
		sum := 0.0
		for y := 60 / cell; y < 76/cell; y++ {
			for x := 20 / cell; x < 88/cell; x++ {
				sum += float64(last.Map[y*Columns+x])
			}
		}
		return sum
	}
	if still, moves := density(false), density(true); moves < 1.1*still {
		t.Errorf("the lane of what moves has %.3f of the looks, when it stands still %.3f", moves, still)
	}
}

func TestBlackPicturesHaveNoLook(t *testing.T) {
	t.Parallel()
	frames, looks := film(t, true, level(16), level(16))
	if !frames[0].Black || len(looks) != 0 {
		t.Errorf("got black %v and %d looks", frames[0].Black, len(looks))
	}
}

func TestMirror(t *testing.T) {
	t.Parallel()
	p, q, back := landscape(3, 4), make(Picture, PictureSize), make(Picture, PictureSize)
	mirror(q, p)
	mirror(back, q)
	if cmp.Equal(p, q) || !cmp.Equal(p, back) {
		t.Error("twice mirrored is not the same")
	}
}

// A squeezed picture has the mean of the whole, and keeps what is flat.
func TestSqueeze(t *testing.T) {
	t.Parallel()
	for _, v := range Squeeze(nil, level(77), 32, 18) {
		if v != 77 {
			t.Fatalf("got %d, want 77", v)
		}
	}
	p := landscape(0, 0)
	mean := func(list []byte) float64 {
		sum := 0.0
		for _, v := range list {
			sum += float64(v) / float64(len(list))
		}
		return sum
	}
	got := Squeeze(nil, p, 32, 18)
	if len(got) != 32*18 || math.Abs(mean(got)-mean(p.Luma())) > 0.3 {
		t.Errorf("got %d samples of mean %.2f, want 576 of %.2f", len(got), mean(got), mean(p.Luma()))
	}
}

func TestRecords(t *testing.T) {
	t.Parallel()
	frames, looks := film(t, true, landscape(0, 0), landscape(2, 1))
	data := frames[1].Append(nil)
	if len(data) != scene.FrameBytes {
		t.Fatalf("a frame has %d bytes, want %d", len(data), scene.FrameBytes)
	}
	got, err := scene.ReadFrame(data)
	if err != nil || got != frames[1] {
		t.Errorf("got %+v, %v, want %+v", got, err, frames[1])
	}
	data = looks[0].Append(nil)
	if len(data) != LookBytes {
		t.Fatalf("a look has %d bytes, want %d", len(data), LookBytes)
	}
	look, err := ReadLook(data)
	if err != nil || distance(&look.Map, &looks[0].Map) > 0.01 {
		t.Errorf("got a map that is %.3f apart, %v", distance(&look.Map, &looks[0].Map), err)
	}
	if _, err := ReadLook(data[1:]); err == nil {
		t.Error("a short record: got no error")
	}
	if _, err := scene.ReadFrame(nil); err == nil {
		t.Error("no record: got no error")
	}
}

func BenchmarkAdd(b *testing.B) {
	f, err := New(Config{})
	if err != nil {
		b.Fatal(err)
	}
	pictures := []Picture{landscape(0, 0), landscape(2, 1), landscape(5, 1)}
	for i := 0; b.Loop(); i++ {
		if _, _, err := f.Add(float64(i)/25, pictures[i%len(pictures)]); err != nil {
			b.Fatal(err)
		}
	}
}

// A large picture and the small one that it is squeezed into are looked at alike, and a
// picture of a pixel is none that fails.
func TestLooksAtImages(t *testing.T) {
	t.Parallel()
	p, err := NewPredictor()
	if err != nil {
		t.Fatal(err)
	}
	at := func(scale int) Map {
		picture := image.NewRGBA(image.Rect(0, 0, Width*scale, Height*scale))
		for y := range Height * scale {
			for x := range Width * scale {
				level := uint8(40)
				if dx, dy := x/scale-110, y/scale-30; dx*dx+dy*dy < 150 {
					level = 220
				}
				picture.Set(x, y, color.RGBA{level, level / 2, 30, 255})
			}
		}
		m, err := p.PredictImage(picture)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	small, large := at(1), at(3)
	if d := distance(&small, &large); d > 1e-3 {
		t.Errorf("three times the size: off by %g", d)
	}
	if _, err := p.PredictImage(image.NewGray(image.Rect(0, 0, 1, 1))); err != nil {
		t.Error(err)
	}
}
