package e2e

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"liuyun/internal/base/timebase"
	"liuyun/internal/testkit"
)

// picture is one decoded picture.
type picture struct {
	at     timebase.Rational // seconds
	luma   int               // mean
	number int               // as testkit.FrameNumber reads it
}

// sound is decoded sound, one channel: the sample that plays at second zero and
// those after it.
type sound struct {
	rate    int
	samples []int16
}

const (
	smallWidth  = 160
	smallHeight = 90
)

var (
	timeBase   = regexp.MustCompile(`config in time_base: (\d+/\d+)`)
	shownFrame = regexp.MustCompile(`\[Parsed_showinfo.* pts: *(-?\d+) .*mean:\[(\d+)`)
	heardFrame = regexp.MustCompile(`\[Parsed_ashowinfo.* pts:(-?\d+) .*rate:(\d+) nb_samples:(\d+)`)
	complaint  = regexp.MustCompile(`\[(error|fatal|panic)\]`)
)

// decode runs ffmpeg on the selected stream of a manifest. It keeps the
// timestamps, and fails the test when the decoder has something to say.
func decode(t testing.TB, url, selector string, output ...string) (stdout []byte, log string) {
	t.Helper()
	args := append([]string{"-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+info", "-copyts", "-i", url, "-map", selector}, output...)
	var problems bytes.Buffer
	command := exec.CommandContext(t.Context(), testkit.FFmpeg(t), args...)
	command.Env = append(os.Environ(), "no_proxy=127.0.0.1")
	command.Stderr = &problems
	stdout, err := command.Output()
	log = problems.String()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(command.Args, " "), err, tail(log))
	}
	for line := range strings.Lines(log) {
		if complaint.MatchString(line) {
			t.Errorf("%s %s: %s", url, selector, line)
		}
	}
	return stdout, log
}

func tail(log string) string {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	return strings.Join(lines[max(0, len(lines)-12):], "\n")
}

// pictures decodes one video stream.
func pictures(t testing.TB, url, selector string) []picture {
	t.Helper()
	luma, log := decode(t, url, selector,
		"-vf", fmt.Sprintf("showinfo,scale=%d:%d:flags=area,format=gray", smallWidth, smallHeight),
		"-fps_mode", "passthrough", "-f", "rawvideo", "-")
	base, err := timebase.Parse(string(first(timeBase, log)))
	if err != nil {
		t.Fatalf("%s %s: no time base in\n%s", url, selector, tail(log))
	}
	var all []picture
	for _, found := range shownFrame.FindAllStringSubmatch(log, -1) {
		ticks, _ := strconv.ParseInt(found[1], 10, 64)
		mean, _ := strconv.Atoi(found[2])
		all = append(all, picture{at: base.Mul(ticks, 1), luma: mean})
	}
	const size = smallWidth * smallHeight
	if len(luma) != len(all)*size {
		t.Fatalf("%s %s: %d pictures were decoded, %d written", url, selector, len(all), len(luma)/size)
	}
	for i := range all {
		all[i].number = testkit.FrameNumber(luma[i*size:], smallWidth, smallWidth, smallHeight)
	}
	return all
}

func first(pattern *regexp.Regexp, text string) []byte {
	if found := pattern.FindStringSubmatch(text); found != nil {
		return []byte(found[1])
	}
	return nil
}

// heard decodes the first channel of one audio stream. What is dated before zero
// is priming, which no player lets be heard: ffmpeg's demuxers of fragmented
// files leave it in.
func heard(t testing.TB, url, selector string) sound {
	t.Helper()
	pcm, log := decode(t, url, selector, "-af", "pan=mono|c0=c0,ashowinfo", "-f", "s16le", "-")
	s := sound{}
	read := 0
	for lines := bufio.NewScanner(strings.NewReader(log)); lines.Scan(); {
		found := heardFrame.FindStringSubmatch(lines.Text())
		if found == nil {
			continue
		}
		at, _ := strconv.Atoi(found[1])
		s.rate, _ = strconv.Atoi(found[2])
		count, _ := strconv.Atoi(found[3])
		if end := 2 * (read + count); end > len(pcm) {
			t.Fatalf("%s %s: the sound ends after %d of %d samples", url, selector, len(pcm)/2, read+count)
		}
		for i := range count {
			if at+i < 0 {
				continue
			}
			if gap := at + i - len(s.samples); gap > 0 && len(s.samples) > 0 || gap < 0 {
				t.Fatalf("%s %s: sample %d follows sample %d", url, selector, at+i, len(s.samples)-1)
			} else if gap > 0 {
				s.samples = make([]int16, gap) // the sound begins late
			}
			s.samples = append(s.samples, int16(binary.LittleEndian.Uint16(pcm[2*(read+i):])))
		}
		read += count
	}
	if s.rate == 0 {
		t.Fatalf("%s %s: no sound\n%s", url, selector, tail(log))
	}
	return s
}

// onsets are the seconds at which a sound begins after a silence of 0.1 s.
func (s sound) onsets() (seconds []float64) {
	const loud = 3000
	quiet := s.rate / 10
	since := quiet
	for i, sample := range s.samples {
		if math.Abs(float64(sample)) < loud {
			since++
			continue
		}
		if since >= quiet {
			seconds = append(seconds, float64(i)/float64(s.rate))
		}
		since = 0
	}
	return seconds
}
