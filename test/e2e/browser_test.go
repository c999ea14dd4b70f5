package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"image/png"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"liuyun/internal/console"
	"liuyun/internal/testkit"
)

// check is one thing for browser.mjs to do.
type check struct {
	Name     string    `json:"name"`
	Kind     string    `json:"kind"` // film, simple, sync or page
	Player   string    `json:"player,omitempty"`
	URL      string    `json:"url"`
	Expected []float64 `json:"expected,omitempty"` // sync: seconds of the flashes
	Frame    float64   `json:"frame,omitempty"`    // sync: seconds a picture lasts
	// Words are the subtitles of 00:00:02, by language.
	Words   map[string]string `json:"words,omitempty"`
	Context map[string]any    `json:"context,omitempty"` // of the page: its size, touch

	film string
}

// finding is what browser.mjs says of one check.
type finding struct {
	Name     string   `json:"name"`
	Problems []string `json:"problems"`

	Played         played            `json:"played"`
	Seeks          []seen            `json:"seeks"`
	WithSurround   []seen            `json:"withSurround"`
	SurroundChosen bool              `json:"surroundChosen"`
	Text           []string          `json:"text"`
	Words          map[string]string `json:"words"`
	WithAV1        []seen            `json:"withAv1"`
	MIMEs          []string          `json:"mimes"`
	End            simpleFinding     `json:"end"`
	Measured       measured          `json:"measured"`
}

type seen struct {
	Asked  float64 `json:"asked"`
	At     float64 `json:"at"`
	Number int     `json:"number"`
	Width  int     `json:"width"`
}

type played struct {
	Start     seen      `json:"start"`
	End       seen      `json:"end"`
	Pictures  []seen    `json:"pictures"`
	Stalls    []float64 `json:"stalls"`
	Duration  float64   `json:"duration"`
	Total     int       `json:"total"`
	Dropped   int       `json:"dropped"`
	Corrupted int       `json:"corrupted"`
}

type simpleFinding struct {
	Time       float64 `json:"time"`
	Duration   float64 `json:"duration"`
	Total      int     `json:"total"`
	AudioBytes int     `json:"audioBytes"`
}

type measured struct {
	Flashes    []float64 `json:"flashes"`
	Beeps      []float64 `json:"beeps"`
	LongestGap int       `json:"longestGap"` // of the sound, in samples
}

// What a viewer gets, in Chromium. One browser does all, so that its start is
// paid for once; tests in parallel wait until it is done, so that it is not short
// of processor time.
func TestBrowser(t *testing.T) {
	chromium := testkit.Program(t, "chromium")
	testkit.Need(t, console.Built(), "the player page is not built: run make e2e")
	lab := httptest.NewServer(http.FileServer(http.Dir(".")))
	defer lab.Close()
	checks := browserChecks(t)
	shots := filepath.Join(testkit.Root(t), "build", "e2e")
	if err := os.MkdirAll(shots, 0o755); err != nil {
		t.Fatal(err)
	}
	job, err := json.Marshal(map[string]any{
		"chromium": chromium, "lab": lab.URL + "/lab/", "screenshots": shots, "lanes": 2, "checks": checks,
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := node(t, job, "browser.mjs")
	if err != nil {
		t.Fatal(err)
	}
	findings := make(map[string]finding)
	for line := range bytes.Lines(out) {
		var f finding
		if err := json.Unmarshal(line, &f); err != nil {
			t.Fatalf("%v\n%s", err, line)
		}
		findings[f.Name] = f
	}
	judges := map[string]func(*testing.T, check, finding){"film": judgeFilm, "simple": judgeSimple, "sync": judgeSync, "page": judgePage}
	for _, c := range checks {
		t.Run(c.Name, func(t *testing.T) {
			f := findings[c.Name]
			for _, problem := range f.Problems {
				t.Error(problem)
			}
			if !t.Failed() {
				judges[c.Kind](t, c, f)
			}
		})
	}
}

// browserChecks lists the checks, the longest first. The media are on servers of
// their own: for the lab page they come from another origin.
func browserChecks(t *testing.T) []check {
	manifest := map[string]string{"hls.js": "master.m3u8", "shaka-hls": "master.m3u8", "dash.js": "manifest.mpd", "shaka-dash": "manifest.mpd"}
	all := []string{"hls.js", "dash.js", "shaka-hls", "shaka-dash"}
	addresses := make(map[string]string)
	var checks []check
	add := func(kind, film string, players ...string) {
		p := encode(t, film)
		if addresses[film] == "" {
			addresses[film] = p.serve(t)
		}
		for _, player := range players {
			c := check{Name: kind + "-" + film + "-" + player, Kind: kind, Player: player, URL: addresses[film] + manifest[player], film: film}
			if kind == "sync" {
				c.Name = film + "-" + player
				c.Frame = 1 / p.Plan.FrameRate.Float()
				every := int(math.Round(p.Plan.FrameRate.Float()))
				for n := every; n < p.Plan.Frames; n += every {
					c.Expected = append(c.Expected, float64(n)*c.Frame)
				}
			}
			if kind == "film" {
				c.Words = map[string]string{"en": "The river begins here.", "zh": "江水从这里开始。"}
			}
			checks = append(checks, c)
		}
	}
	add("film", "film", all...)
	address := play(t, encode(t, "film").dir)
	checks = append(checks,
		check{Name: "page-desktop", Kind: "page", URL: address},
		check{Name: "page-phone", Kind: "page", URL: address, Context: map[string]any{
			"viewport": map[string]int{"width": 390, "height": 844}, "deviceScaleFactor": 2, "isMobile": true, "hasTouch": true}},
	)
	add("sync", "sync-25", all...)
	add("sync", "sync-29", "hls.js", "dash.js")
	add("sync", "sync-60", "hls.js", "dash.js")
	add("sync", outOfSync, "hls.js")
	add("simple", "sound-only", "hls.js", "dash.js", "shaka-hls")
	add("simple", "edited", "hls.js", "dash.js", "shaka-hls") // has no sound
	return checks
}

// play runs `liuyun play` until the test ends, and returns its address.
func play(t *testing.T, dir string) string {
	t.Helper()
	command := liuyun(t, "play", dir, "--no-open", "--json")
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var problems strings.Builder
	command.Stderr = &problems
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The test's context, which stops the program, ended before.
		if err := command.Wait(); command.ProcessState.ExitCode() != 0 {
			t.Errorf("liuyun play: %v\n%s", err, problems.String())
		}
	})
	var ready struct{ Type, URL string }
	if err := json.NewDecoder(bufio.NewReader(out)).Decode(&ready); err != nil || ready.Type != "ready" {
		t.Fatalf("liuyun play: %v, %+v\n%s", err, ready, problems.String())
	}
	return ready.URL
}

func judgeFilm(t *testing.T, c check, f finding) {
	const rate = 25.0
	last := filmFrames - 1
	p := f.Played
	if p.Start.Number != 0 || p.End.Number != last {
		t.Errorf("from frame %d to %d, want 0 to %d", p.Start.Number, p.End.Number, last)
	}
	if math.Abs(p.Duration-filmFrames/rate) > 0.05 {
		t.Errorf("duration is %.3f s, want %.3f", p.Duration, filmFrames/rate)
	}
	if len(p.Stalls) > 0 {
		t.Errorf("stood still at %.2f s", p.Stalls)
	}
	if p.Total < filmFrames || p.Corrupted > 0 {
		t.Errorf("%d of %d pictures, %d corrupted", p.Total, filmFrames, p.Corrupted)
	}
	checkSeen(t, "playing", p.Pictures)
	// A busy machine drops some pictures of all that were decoded: not a second.
	for i := 1; i < len(p.Pictures); i++ {
		if jump := p.Pictures[i].Number - p.Pictures[i-1].Number; jump < 1 || jump > 25 {
			t.Errorf("frame %d follows frame %d", p.Pictures[i].Number, p.Pictures[i-1].Number)
		}
	}
	var widths []int
	for _, s := range p.Pictures {
		widths = append(widths, s.Width)
	}
	if got, want := slices.Compact(widths), []int{320, 640, 320}; !slices.Equal(got, want) {
		t.Errorf("widths %d, want %d", got, want)
	}
	for _, s := range f.Seeks {
		if want := int(s.Asked*rate + 1e-6); s.Number != want {
			t.Errorf("seek to %.2f s shows frame %d, want %d", s.Asked, s.Number, want)
		}
	}
	checkSeen(t, "with 5.1", f.WithSurround)
	if want := []string{"en", "zh"}; !slices.Equal(f.Text, want) {
		t.Errorf("subtitles in %q, want %q", f.Text, want)
	}
	for language, want := range c.Words {
		if got := f.Words[language]; got != want {
			t.Errorf("subtitles in %s: %q, want %q", language, got, want)
		}
	}
	if strings.HasPrefix(c.Player, "shaka") {
		// Shaka Player decides for one codec when it opens a manifest.
	} else if checkSeen(t, "AV1", f.WithAV1); !slices.ContainsFunc(f.MIMEs, func(m string) bool { return strings.Contains(m, "av01") }) {
		t.Errorf("no AV1 among %q", f.MIMEs)
	}
	checkScreenshot(t, c.Name)
}

// checkSeen holds each picture that was presented to its time.
func checkSeen(t *testing.T, what string, pictures []seen) {
	t.Helper()
	if len(pictures) < 10 {
		t.Errorf("%s: only %d pictures were seen", what, len(pictures))
	}
	for _, s := range pictures {
		if want := int(math.Round(s.At * 25)); s.Number != want {
			t.Errorf("%s: frame %d is presented as that of %.3f s", what, s.Number, s.At)
			return
		}
	}
}

func judgeSimple(t *testing.T, c check, f finding) {
	if f.End.Time < f.End.Duration-0.1 {
		t.Errorf("ended at %.3f of %.3f s", f.End.Time, f.End.Duration)
	}
	silent := len(encode(t, c.film).Audio) == 0
	if silent != (f.End.AudioBytes == 0) || silent != (f.End.Total > 0) {
		t.Errorf("%d pictures and %d bytes of sound were decoded", f.End.Total, f.End.AudioBytes)
	}
}

func judgeSync(t *testing.T, c check, f finding) {
	if f.Measured.LongestGap > 128 {
		t.Errorf("the sound has a hole of %d samples", f.Measured.LongestGap)
	}
	if err := inSync(c.film, f.Measured.Flashes, f.Measured.Beeps, encode(t, c.film).seconds()); err != nil {
		t.Error(err)
	}
	var off []string
	for i := range min(len(f.Measured.Flashes), len(f.Measured.Beeps)) {
		off = append(off, fmt.Sprintf("%.1f", 1000*(f.Measured.Beeps[i]-f.Measured.Flashes[i])))
	}
	t.Logf("the beeps are late by %s ms", strings.Join(off, ", "))
}

func judgePage(t *testing.T, c check, _ finding) {
	checkScreenshot(t, c.Name)
	checkScreenshot(t, c.Name+"-dash")
}

// checkScreenshot finds a picture that is all of few colours: nothing was shown.
func checkScreenshot(t *testing.T, name string) {
	t.Helper()
	file, err := os.Open(filepath.Join(testkit.Root(t), "build", "e2e", name+".png"))
	if err != nil {
		t.Error(err)
		return
	}
	defer file.Close()
	picture, err := png.Decode(file)
	if err != nil {
		t.Error(err)
		return
	}
	colours := make(map[[3]uint32]bool)
	for y := picture.Bounds().Min.Y; y < picture.Bounds().Max.Y; y += 4 {
		for x := picture.Bounds().Min.X; x < picture.Bounds().Max.X; x += 4 {
			r, g, b, _ := picture.At(x, y).RGBA()
			colours[[3]uint32{r >> 12, g >> 12, b >> 12}] = true
		}
	}
	if len(colours) < 40 {
		t.Errorf("%s.png has %d colours: blank?", name, len(colours))
	}
}
