package window

import (
	"strings"
	"testing"
	"time"

	"liuyun/internal/av/hls"
	"liuyun/internal/base/fault"
)

// Captions come in segments of the pictures' numbers and times, escaped, in each
// segment that they are shown in, and never change once their segment is there.
func TestCaptions(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	s := &source{rate: 25, gop: every(50), noise: true}
	b.begin(s.tracks())
	if err := b.g.Caption(Caption{Language: "en", Text: "too early"}); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("got %v", err)
	}
	var before *hls.Checked
	for n := 1; n <= 60; n++ {
		b.play(s, float64(n))
		switch n {
		case 5:
			b.caption("en", "", 0)
		case 20:
			b.caption("en", "<Hello> &\n\n world\r\n", 20*time.Second)
			b.caption("zh-Hans", "你好", 19*time.Second)
		}
		if n < 6 {
			continue
		}
		before = b.read("captions-en", Query{MSN: -1, Part: -1, Skip: n%2 == 0}, before)
	}
	list := before.Playlist.Segments
	video := b.playlist("video").Segments
	if !before.Playlist.Text || len(list) != len(video) {
		t.Fatalf("%d segments, %d of pictures", len(list), len(video))
	}
	shown := ""
	for i, s := range list {
		if s.Duration != video[i].Duration || !s.Time.Equal(video[i].Time) {
			t.Errorf("segment %d: %v at %v", i, s.Duration, s.Time)
		}
		body := string(b.fetch("captions-en", s.URI))
		if !strings.HasPrefix(body, "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n") {
			t.Errorf("%s", body)
		}
		if strings.Contains(body, "Hello") {
			shown += s.URI + " "
			if !strings.Contains(body, "00:00:20.040 --> 00:00:25.040\n&lt;Hello&gt; &amp;\nworld\n") {
				t.Errorf("%s", body)
			}
		}
	}
	if shown != "105.vtt 106.vtt " { // 18 to 22 s, 22 to 26 s
		t.Errorf("shown in %s", shown)
	}
	master, err := b.g.Master()
	if err != nil || !strings.Contains(string(master.Text), `#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="captions",NAME="zh-hans",LANGUAGE="zh-hans",AUTOSELECT=YES,URI="captions-zh-hans/media.m3u8"`) ||
		!strings.Contains(string(master.Text), `SUBTITLES="captions"`) {
		t.Errorf("%v\n%s", err, master.Text)
	}
	for _, name := range []string{"99.vtt", "0105.vtt", "105.m4s", "9999.vtt", "media.vtt"} {
		if _, err := b.g.Open(t.Context(), "captions-en", name); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, c := range []Caption{
		{Language: "e/n", Text: "a"}, {Language: "en", Text: strings.Repeat("a", maxText+1)}, {Language: "en", Text: "a", Duration: time.Hour},
		{Language: "en", Text: "a", At: noon()},
	} {
		if err := b.g.Caption(c); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%+v: %v", c, err)
		}
	}
	b.finish()
	if last := b.read("captions-en", Query{MSN: -1, Part: -1}, before); !last.Playlist.Ended {
		t.Error("captions have no end")
	}
}

func (b *bench) caption(language, text string, at time.Duration) {
	b.t.Helper()
	if err := b.g.Caption(Caption{Language: language, Text: text, At: noon().Add(at)}); err != nil {
		b.t.Fatal(err)
	}
}

// Captions are bounded in number of languages and in size.
func TestCaptionsAreBounded(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	s := &source{rate: 25, gop: every(50)}
	b.begin(s.tracks())
	b.play(s, 10)
	for n := range maxLanguages {
		b.caption("x"+string(rune('a'+n)), "", 0)
	}
	if err := b.g.Caption(Caption{Language: "zz"}); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("got %v", err)
	}
	long := strings.Repeat("a", maxText)
	for n := range maxCaptions/maxText + 2 {
		err := b.g.Caption(Caption{Language: "xa", Text: long, At: noon().Add(10 * time.Second)})
		if err == nil {
			continue
		}
		if fault.CodeOf(err) != fault.Invalid || n < 900 {
			t.Errorf("caption %d: %v", n, err)
		}
		b.finish()
		return
	}
	t.Error("there is no end to them")
}
