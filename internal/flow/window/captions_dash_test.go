package window

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"liuyun/internal/av/mp4"
	"liuyun/internal/base/fault"
)

// captioned is a stream with captions in two languages, and with a break from 40 s to
// 60 s that begins another period.
func captioned(t *testing.T) *bench {
	t.Helper()
	b := newBench(t, Options{})
	away := func(at time.Duration) bool { return at > 40*time.Second && at < 60*time.Second }
	s := &source{rate: 25, gop: every(50), noise: true, silent: away, blind: away}
	b.begin(s.tracks())
	b.play(s, 5)
	if m := b.manifest(); len(m.Periods[0].Sets) != 2 {
		t.Errorf("%d sets before there are captions", len(m.Periods[0].Sets))
	}
	b.caption("en", "", 0)
	if m := b.manifest(); len(m.Periods[0].Sets) != 3 {
		t.Errorf("%d sets once they are announced", len(m.Periods[0].Sets))
	}
	b.play(s, 20)
	b.caption("en", "<Hello> &\n\n world\r\n", 20*time.Second)
	b.caption("zh-Hans", "你好", 19*time.Second)
	b.play(s, 70)
	return b
}

// In DASH captions have segments of the numbers and times of the pictures, up to the
// open one, in each period.
func TestCaptionsInManifest(t *testing.T) {
	t.Parallel()
	b := captioned(t)
	m := b.manifest()
	if len(m.Periods) != 2 {
		t.Fatalf("%d periods", len(m.Periods))
	}
	for i, p := range m.Periods {
		pictures, lasts, number := m.spans(i, "video")
		n := len(pictures) - i // the last period has the one after the open one besides
		for _, name := range []string{"captions-en", "captions-zh-hans"} {
			got, durations, from := m.spans(i, name)
			if from != number || !slices.Equal(got, pictures[:n]) || !slices.Equal(durations, lasts[:n]) {
				t.Errorf("%s of %s: from %d %v, pictures from %d %v", name, p.ID, from, got, number, pictures)
			}
		}
		set := p.Sets[len(p.Sets)-1]
		template, like := set.Rungs[0].Template, p.Sets[0].Rungs[0].Template
		if set.Kind != "text" || set.Rungs[0].Codecs != "wvtt" || template.Early != like.Early || template.Whole != "false" || template.Scale != 90000 || template.Offset != like.Offset ||
			template.Init != strings.Replace(like.Init, "video", "captions-zh-hans", 1) || template.Media != strings.Replace(like.Media, "video", "captions-zh-hans", 1) {
			t.Errorf("%+v, and the pictures have %+v", set, like)
		}
	}
	b.finish()
	m = b.manifest()
	pictures, _, _ := m.spans(1, "video")
	if got, _, _ := m.spans(1, "captions-en"); !slices.Equal(got, pictures) {
		t.Errorf("in the end %v, and pictures %v", got, pictures)
	}
}

// A cue is in each segment that it is shown in, and one in which nothing is shown says
// so. They fill their spans.
func TestCaptionsInDASH(t *testing.T) {
	t.Parallel()
	b := captioned(t)
	m := b.manifest()
	if init := b.fetch("captions-en", "init100.mp4"); !bytes.Contains(init, []byte("wvtt")) || !bytes.Contains(init, []byte("vttCWEBVTT")) {
		t.Errorf("%q", init)
	}
	begins, _, _ := m.spans(0, "captions-en")
	for i, begin := range begins {
		name := periodURI(digits(100+int64(i)), &anchor{Number: 100})
		data := b.fetch("captions-en", name)
		pieces := mp4.ReadFragments(bytes.NewReader(data), int64(len(data)))
		if len(pieces) != 1 || pieces[0].Size != int64(len(data)) || pieces[0].DecodeTime != begin || !pieces[0].Key {
			t.Fatalf("%s: %+v, should begin at %d", name, pieces, begin)
		}
		if i+1 < len(begins) && pieces[0].Duration != begins[i+1]-begin {
			t.Errorf("%s: lasts %d, until the next %d", name, pieces[0].Duration, begins[i+1]-begin)
		}
		shown := name == "105-100.m4s" || name == "106-100.m4s" // 18 to 22 s, 22 to 26 s
		if bytes.Contains(data, []byte("payl&lt;Hello&gt; &amp;\nworld")) != shown || bytes.Contains(data, []byte("vttc")) != shown || !bytes.Contains(data, []byte("vtte")) {
			t.Errorf("%s: %q", name, data)
		}
	}
	for _, name := range []string{"105.m4s", "105.0.m4s", "105.0-100.m4s", "105-101.m4s", "105-x.m4s", "9999-100.m4s", "99-100.m4s", "init99.mp4", "init.mp4"} {
		if _, err := b.g.Open(t.Context(), "captions-en", name); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := b.g.Open(t.Context(), "captions-fr", "105-100.m4s"); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("captions that are not there: %v", err)
	}
	f, err := b.g.Open(t.Context(), "captions-en", "105-100.m4s")
	if err != nil || f.Caching != b.g.forFiles() || f.Type != "application/mp4" {
		t.Errorf("%+v, %v", f, err)
	}
	b.finish()
}

func digits(n int64) string { return strings.TrimSuffix(captionURI(n), ".vtt") }

// Who asks for the captions of the open segment waits until it is whole, and gets what
// was said until then; who gives up does not wait.
func TestCaptionsAreWaitedFor(t *testing.T) {
	t.Parallel()
	live(t, Options{}, 30, func(t *testing.T, g *Group) {
		time.Sleep(9 * time.Second)
		at := noon().Add(9500 * time.Millisecond)
		if err := g.Caption(Caption{Language: "en"}); err != nil {
			t.Fatal(err)
		}
		g.mu.Lock()
		name := periodURI(digits(g.renditions[0].open.number), g.renditions[0].open.anchor)
		g.mu.Unlock()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := g.Open(ctx, "captions-en", name); fault.CodeOf(err) != fault.Canceled {
			t.Errorf("got %v", err)
		}
		type answer struct {
			data []byte
			err  error
		}
		got := make(chan answer)
		go func() {
			f, err := g.Open(context.WithoutCancel(t.Context()), "captions-en", name)
			if err != nil {
				got <- answer{err: err}
				return
			}
			data, err := io.ReadAll(f.Content)
			f.Close()
			got <- answer{data, err}
		}()
		synctest.Wait()
		if err := g.Caption(Caption{Language: "en", Text: "just said", At: at}); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		a := <-got
		if waited := time.Since(begun); a.err != nil || !bytes.Contains(a.data, []byte("just said")) || waited == 0 || waited > 5*time.Second {
			t.Errorf("%q after %v, %v", a.data, waited, a.err)
		}
		if err := g.Caption(Caption{Language: "en", Text: "too late", At: at}); err != nil {
			t.Fatal(err)
		}
		f, err := g.Open(t.Context(), "captions-en", name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if again, err := io.ReadAll(f.Content); err != nil || !bytes.Equal(again, a.data) {
			t.Errorf("it has changed to %q, %v", again, err)
		}
	})
}
