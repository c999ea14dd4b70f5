package hls

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestReadSource(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		text string
		want Source
	}{
		"multivariant": {"#EXTM3U\r\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"x,y\",DEFAULT=YES,URI=\"a.m3u8\"\r\n" +
			"#EXT-X-STREAM-INF:BANDWIDTH=100,CODECS=\"avc1.64001f, mp4a.40.2\",AUDIO=\"a\"\r\nv.m3u8\r\n#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"k\"\r\n", Source{
			Variants: []SourceVariant{{URI: "v.m3u8", Bandwidth: 100, Codecs: []string{"avc1.64001f", "mp4a.40.2"}, Audio: "a"}},
			Sounds:   []SourceSound{{"a", "a.m3u8", true}},
		}},
		"media": {"\ufeff#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-DISCONTINUITY-SEQUENCE:2\n#EXT-X-MAP:URI=\"i\",BYTERANGE=\"9@1\"\n#EXTINF:5.5,title\n1.m4s\n" +
			"#EXT-X-DISCONTINUITY\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXTINF:6\n#EXT-X-BYTERANGE:100@50\nb\n#EXT-X-KEY:METHOD=NONE\n#EXT-X-GAP\n#EXTINF:6,\n#EXT-X-BYTERANGE:10\nb\n#EXT-X-ENDLIST\n", Source{
			Target: 6 * time.Second, Ended: true,
			Segments: []SourceSegment{
				{Number: 7, Period: 2, URI: "1.m4s", Map: "i", MapRange: SourceRange{1, 9}, Duration: 5500 * time.Millisecond},
				{Number: 8, Period: 3, URI: "b", Range: SourceRange{50, 100}, Map: "i", MapRange: SourceRange{1, 9}, Duration: 6 * time.Second, Key: "AES-128"},
				{Number: 9, Period: 3, URI: "b", Range: SourceRange{150, 10}, Map: "i", MapRange: SourceRange{1, 9}, Duration: 6 * time.Second, Gap: true},
			},
		}},
	} {
		got, err := ReadSource([]byte(tt.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(tt.want, *got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	for _, bad := range []string{"", "<html>", "#EXTM3U\n", "#EXTM3U\n#EXT-X-TARGETDURATION:x\n", "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:NaN\na\n",
		"#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXT-X-BYTERANGE:0@1\n", "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:-1\n"} {
		if got, err := ReadSource([]byte(bad)); err == nil {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}

func TestUsable(t *testing.T) {
	t.Parallel()
	for codec, want := range map[string]bool{"avc1.64001f": true, "mp4a.40.2": true, "av01.0.04M.08": false} {
		if got := (SourceVariant{Codecs: []string{codec}}).Usable("avc1", "mp4a.40"); got != want {
			t.Errorf("%s: %v", codec, got)
		}
	}
	if !(SourceVariant{}).Usable("avc1") {
		t.Error("a variant that tells nothing may be usable")
	}
}

func FuzzReadSource(f *testing.F) {
	f.Add([]byte("#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXT-X-MAP:URI=\"i\",BYTERANGE=\"9@1\"\n#EXTINF:5.5,title\n1.m4s\n"))
	f.Add([]byte("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=100,CODECS=\"avc1.64001f, mp4a.40.2\",AUDIO=\"a\"\nv.m3u8\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ReadSource(text)
		if err != nil {
			return
		}
		for _, segment := range s.Segments {
			if segment.URI == "" || segment.Duration <= 0 || segment.Range.Offset < 0 || segment.Range.Length < 0 || segment.Range.Offset+segment.Range.Length < 0 {
				t.Errorf("%+v", segment)
			}
		}
	})
}
