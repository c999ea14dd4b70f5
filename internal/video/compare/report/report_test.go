package report

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"liuyun/internal/testkit"
)

// picture draws a JPEG that differs by seed.
func picture(t testing.TB, seed int) []byte {
	t.Helper()
	p := image.NewRGBA(image.Rect(0, 0, 64, 36))
	for y := range 36 {
		for x := range 64 {
			p.Set(x, y, color.RGBA{uint8(4 * x), uint8(7 * y), uint8(40 * seed), 255})
		}
	}
	var out bytes.Buffer
	if err := jpeg.Encode(&out, p, nil); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// sample is a film of some shots in two or more encodes.
func sample(t testing.TB, names ...string) *Data {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	lengths := []float64{4.2, 7.6, 2.4, 9.1, 3.3, 5.8, 12.4, 6.2, 1.6, 8.4}
	d := &Data{
		Program:   "liuyun v0.0.0-test",
		Reference: Video{Name: "Harbour at dawn.mov", Codec: "ProRes", Width: 1280, Height: 720, FrameRate: 25, Bytes: 412_000_000},
		Metrics:   []Metric{{Name: "VMAF", Digits: 1}, {Name: "PSNR", Unit: "dB", Digits: 2}, {Name: "SSIM", Digits: 4}},
	}
	for _, length := range lengths {
		start := d.Reference.Duration
		d.Shots = append(d.Shots, Shot{start, start + length})
		d.Reference.Duration += length
	}
	saliency := &Map{Width: 16, Height: 9}
	for i := range 16 * 9 {
		dx, dy := float64(i%16)-9, float64(i/16)-4
		saliency.Values = append(saliency.Values, byte(255*math.Exp(-(dx*dx+dy*dy)/8)))
	}
	for i, name := range names {
		scale := 1.0 / (1 + 0.6*float64(i))
		e := Encode{Video: d.Reference}
		e.Name, e.Codec, e.Bytes = name, "H.264", 0
		level := 95 - 3.4*float64(i)
		for n, s := range d.Shots {
			hard := 1 + 2.5*math.Abs(math.Sin(float64(3*n+1)))
			spent := Spent{Bytes: int64(scale * hard * 240_000 * (s.End - s.Start)), Score: level - 2*hard}
			e.Shots = append(e.Shots, spent)
			e.Bytes += spent.Bytes
			for at := s.Start; at < s.End; at += 0.2 {
				e.Line = append(e.Line, Point{at, spent.Score + 3*random.Float64() - 1.5})
			}
		}
		worst := 17 + 53*i%len(e.Line)
		e.Line[worst].Score -= 12
		e.Scores = []Score{
			{Mean: level - 4, P5: level - 8, Worst: e.Line[worst].Score, WorstAt: e.Line[worst].Time},
			{Mean: 42 - float64(i), P5: 38 - float64(i), Worst: 35, WorstAt: 1},
			{Mean: 0.98 - 0.01*float64(i), P5: 0.96, Worst: 0.9, WorstAt: 1},
		}
		d.Encodes = append(d.Encodes, e)
	}
	for i, e := range d.Encodes {
		m := Moment{Time: e.Scores[0].WorstAt, Encode: i, Pictures: [][]byte{picture(t, 0)}, Saliency: saliency}
		for k := range d.Encodes {
			m.Pictures = append(m.Pictures, picture(t, k+1))
			m.Scores = append(m.Scores, e.Scores[0].Worst+float64(k))
		}
		m.Scores[i] = e.Scores[0].Worst
		d.Moments = append(d.Moments, m)
	}
	return d
}

// grouped is a film in two groups of four.
func grouped(t testing.TB) *Data {
	d := sample(t, "old 1", "old 2", "old 3", "old 4", "new 1", "new 2", "new 3", "new 4")
	for i := range d.Encodes {
		d.Encodes[i].Group, _, _ = strings.Cut(d.Encodes[i].Name, " ")
	}
	for i := range 4 {
		e, old := &d.Encodes[4+i], d.Encodes[i]
		e.Bytes = old.Bytes * 9 / 10
		for k := range e.Shots {
			e.Shots[k].Bytes = old.Shots[k].Bytes * 9 / 10
		}
		e.Scores[0].Mean, e.Scores[0].P5 = old.Scores[0].Mean+0.8, old.Scores[0].P5+2
	}
	d.Savings = []Saving{{Group: "new", Against: "old", Metric: "VMAF", Rate: -14.2}, {Group: "new", Against: "old", Metric: "PSNR", Rate: 1.3}}
	d.Moments, d.Every = nil, 5
	return d
}

func write(t testing.TB, d *Data) string {
	t.Helper()
	var out bytes.Buffer
	if err := Write(&out, d); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// The golden pages are to be looked at in a browser when they change.
func TestPages(t *testing.T) {
	t.Parallel()
	testkit.Golden(t, "testdata/two.html", []byte(write(t, sample(t, "one pass.mp4", "per shot.mp4"))))
	testkit.Golden(t, "testdata/groups.html", []byte(write(t, grouped(t))))
}

// tag is one element of a page.
type tag struct {
	name       string
	attributes map[string]string
}

// tags calls each with every element of the page, and fails where there is a "<"
// that is none: the page quotes all attributes.
func tags(t *testing.T, page string, each func(n tag)) {
	t.Helper()
	page = regexp.MustCompile(`(?s)(<style>).*?</style>|(<script>).*?</script>`).ReplaceAllString(page, "$1$2")
	element := regexp.MustCompile(`<([a-zA-Z]\w*)((?:\s+[\w:-]+(?:="[^"]*")?)*)\s*/?>`)
	quoted := regexp.MustCompile(`([\w:-]+)(?:="([^"]*)")?`)
	found := element.FindAllStringSubmatch(page, -1)
	if n := len(regexp.MustCompile(`<[^/!]`).FindAllString(page, -1)); n != len(found) {
		t.Errorf("%d places begin an element, %d are one", n, len(found))
	}
	for _, f := range found {
		n := tag{name: f[1], attributes: map[string]string{}}
		for _, a := range quoted.FindAllStringSubmatch(f[2], -1) {
			n.attributes[a[1]] = a[2]
		}
		each(n)
	}
}

// A page asks the network for nothing, and what it points to is in it.
func TestSelfContained(t *testing.T) {
	t.Parallel()
	for _, d := range []*Data{sample(t, "a"), sample(t, "a", "b", "c"), grouped(t)} {
		page := write(t, d)
		ids, wanted := map[string]int{}, map[string]bool{}
		tags(t, page, func(n tag) {
			if id := n.attributes["id"]; id != "" {
				ids[id]++
			}
			for _, name := range []string{"src", "href", "xlink:href", "action", "srcset", "poster", "data"} {
				value := n.attributes[name]
				switch {
				case value == "" || strings.HasPrefix(value, "data:image/jpeg;base64,") || strings.HasPrefix(value, "data:image/png;base64,"):
				case strings.HasPrefix(value, "#"):
					wanted[value[1:]] = true
				default:
					t.Errorf("<%s %s=%.60q> is outside the page", n.name, name, value)
				}
			}
			for label := range strings.FieldsSeq(n.attributes["aria-labelledby"]) {
				wanted[label] = true
			}
			for name := range n.attributes {
				if strings.HasPrefix(name, "on") || name == "style" {
					t.Errorf("<%s %s>: the page's policy forbids it", n.name, name)
				}
			}
		})
		for id, n := range ids {
			if n > 1 {
				t.Errorf("id %s is there %d times", id, n)
			}
		}
		for id := range wanted {
			if ids[id] == 0 {
				t.Errorf("nothing has the id %s", id)
			}
		}
		if found := regexp.MustCompile(`\?[a-z]|ZgotmplZ|NaN|Inf|%!|<nil>`).FindString(withoutImages(page)); found != "" {
			t.Errorf("the page has %q in it", found)
		}
	}
}

func withoutImages(page string) string {
	page = regexp.MustCompile(`base64,[A-Za-z0-9+/=]+`).ReplaceAllString(page, "")
	_, body, _ := strings.Cut(page, "<body>")
	return body
}

// Every word is there in both languages.
func TestWords(t *testing.T) {
	t.Parallel()
	page := write(t, sample(t, "a", "b"))
	count := map[string]int{}
	tags(t, page, func(n tag) { count[n.attributes["class"]]++ })
	if count["en"] == 0 || count["en"] != count["zh"] {
		t.Errorf("%d words in English, %d in Chinese", count["en"], count["zh"])
	}
	used := page + write(t, grouped(t))
	for key, p := range words {
		if p.en == "" || p.zh == "" {
			t.Errorf("%s lacks a language", key)
		}
		if !strings.Contains(used, ">"+p.zh+"<") {
			t.Errorf("%s is on no page", key)
		}
	}
}

// Names come from files that others made.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	const evil = `"><script>alert(1)</script><img src=x onerror=alert(2)>{{.Style}}</title></svg>`
	d := sample(t, evil, "b"+evil)
	d.Reference.Name, d.Reference.Codec, d.Program, d.Metrics[0].Name, d.Metrics[0].Unit = evil, evil, evil, evil, evil
	for i := range d.Encodes {
		d.Encodes[i].Codec, d.Encodes[i].Group = evil, evil
	}
	d.Savings = []Saving{{Group: evil, Against: evil, Metric: evil, Rate: -1}}
	scripts := 0
	tags(t, write(t, d), func(n tag) {
		switch {
		case n.name == "script":
			scripts++
		case n.name == "img" && n.attributes["src"] == "x", n.attributes["onerror"] != "":
			t.Errorf("a name became <%s>", n.name)
		}
	})
	if scripts != 1 {
		t.Errorf("%d scripts, want the page's own", scripts)
	}
}

// One shot is not many.
func TestOneShot(t *testing.T) {
	t.Parallel()
	d := sample(t, "a", "b")
	d.Shots = d.Shots[:1]
	for i := range d.Encodes {
		d.Encodes[i].Shots = d.Encodes[i].Shots[:1]
	}
	if page := write(t, d); !strings.Contains(page, `<span>1 <span class="en" lang="en">shot</span>`) {
		t.Error("the page does not say 1 shot")
	}
}

// What is hard to draw is drawn, and numbers stay numbers.
func TestExtremes(t *testing.T) {
	t.Parallel()
	many := sample(t, "a", "b", "c", "d", "e", "f", "g")
	long := sample(t, "a", "b")
	long.Shots, long.Reference.Duration = nil, 7200
	for i := range 4000 {
		long.Shots = append(long.Shots, Shot{1.8 * float64(i), 1.8 * float64(i+1)})
	}
	for i := range long.Encodes {
		long.Encodes[i].Shots = make([]Spent, 4000)
		for k := range long.Encodes[i].Shots {
			long.Encodes[i].Shots[k] = Spent{Bytes: int64(1000 * k), Score: math.NaN()}
		}
	}
	still := sample(t, "a", "b")
	still.Reference = Video{Name: "still"}
	still.Shots, still.Moments = nil, nil
	for i := range still.Encodes {
		still.Encodes[i].Shots, still.Encodes[i].Line, still.Encodes[i].Duration, still.Encodes[i].Bytes = nil, nil, 0, 0
		still.Encodes[i].Scores = []Score{{}, {}, {}}
	}
	perfect := sample(t, "a")
	perfect.Encodes[0].Scores[0] = Score{Mean: 100, P5: 100, Worst: 100}
	for i := range perfect.Encodes[0].Line {
		perfect.Encodes[0].Line[i].Score = 100
	}
	perfect.Encodes[0].Line[3].Score = math.Inf(1)
	perfect.Moments[0].Scores[0] = math.NaN()
	perfect.Moments[0].Pictures[0] = nil
	for name, d := range map[string]*Data{"many": many, "long": long, "still": still, "perfect": perfect} {
		page := withoutImages(write(t, d))
		if found := regexp.MustCompile(`[^A-Za-z](NaN|Inf)|e[+]\d\d`).FindString(page); found != "" {
			t.Errorf("%s: %q in the page", name, found)
		}
		if len(page) > 2<<20 {
			t.Errorf("%s: the page has %d bytes without its pictures", name, len(page))
		}
	}
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(d *Data){
		"nothing":  func(d *Data) { d.Encodes = nil },
		"scores":   func(d *Data) { d.Encodes[1].Scores = d.Encodes[1].Scores[:1] },
		"shots":    func(d *Data) { d.Shots = d.Shots[1:] },
		"encode":   func(d *Data) { d.Moments[0].Encode = 2 },
		"pictures": func(d *Data) { d.Moments[0].Pictures = nil },
		"saliency": func(d *Data) { d.Moments[0].Saliency = &Map{Width: 1000, Height: 1000} },
	} {
		d := sample(t, "a", "b")
		spoil(d)
		var out bytes.Buffer
		if err := Write(&out, d); err == nil || out.Len() > 0 {
			t.Errorf("%s: error %v, %d bytes written", name, err, out.Len())
		}
	}
}

func TestTexts(t *testing.T) {
	t.Parallel()
	for _, test := range [][2]string{
		{rateText(840_400), "840 kb/s"}, {rateText(999_600), "1.00 Mb/s"}, {rateText(123e6), "123 Mb/s"},
		{sizeText(0), "0 B"}, {sizeText(999.6), "1.0 kB"}, {sizeText(12_340_000), "12.3 MB"}, {sizeText(412e6), "412 MB"},
		{timeText(62.46), "1:02.5"}, {timeText(59.96), "1:00.0"}, {timeText(3661), "1:01:01.0"}, {clockText(59.6), "1:00"}, {clockText(7325), "2:02:05"},
		{percentText(-12.34), "−12.3 %"}, {percentText(0.04), "0.0 %"}, {percentText(-0.04), "0.0 %"}, {percentText(3), "+3.0 %"},
		{shareText(0.4), "40 %"}, {shareText(0.031), "3.1 %"}, {shareText(0.0042), "0.42 %"},
		{secondsText(3.21), "3.2 s"}, {secondsText(640), "640 s"}, {secondsText(7200), "2.0 h"},
		{px(-0.01).String(), "0"}, {px(12.04).String(), "12"}, {px(-3.26).String(), "-3.3"},
		{Metric{Unit: "dB", Digits: 2}.text(41.239), "41.24 dB"}, {Metric{}.text(math.NaN()), "–"},
	} {
		if test[0] != test[1] {
			t.Errorf("got %q, want %q", test[0], test[1])
		}
	}
}

// Axes have few round numbers, and hold what they are for.
func TestAxes(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		f := newFrame(random.IntN(2) == 0, 300, 30, 100)
		least := 100 * random.Float64()
		most := least + math.Pow(10, 5*random.Float64()-3)
		s, ticks := linear(least, most, f, 5)
		if s.from > least+1e-6 || s.to < most-1e-6 || len(ticks) < 2 || len(ticks) > 12 {
			t.Fatalf("linear(%v, %v): %v to %v in %d ticks", least, most, s.from, s.to, len(ticks))
		}
		seen := map[string]bool{}
		for _, tick := range ticks {
			if seen[tick.Text] {
				t.Fatalf("linear(%v, %v) has %s twice", least, most, tick.Text)
			}
			seen[tick.Text] = true
		}
		low := math.Pow(10, 2+6*random.Float64())
		high := low * math.Pow(10, 2*random.Float64())
		x, marks := rates(low, high, f)
		if x.at(low) < f.Left || x.at(high) > f.Right || len(marks) < 2 || len(marks) > 14 {
			t.Fatalf("rates(%v, %v): %d ticks", low, high, len(marks))
		}
		duration := math.Pow(10, 6*random.Float64()-1)
		if _, marks := clock(duration, f); len(marks) < 1 || len(marks) > 12 {
			t.Fatalf("clock(%v): %d ticks", duration, len(marks))
		}
	}
}

func ExampleWrite() {
	d := &Data{
		Reference: Video{Name: "film.mov"},
		Metrics:   []Metric{{Name: "PSNR", Unit: "dB", Digits: 2}},
		Encodes:   []Encode{{Video: Video{Name: "film.mp4"}, Scores: []Score{{Mean: 40}}}},
	}
	var page strings.Builder
	fmt.Println(Write(&page, d), strings.HasPrefix(page.String(), "<!doctype html>"))
	// Output: <nil> true
}
