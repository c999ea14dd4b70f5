package viewer

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

const whole = `#EXTM3U
#EXT-X-VERSION:9
#EXT-X-TARGETDURATION:6
#EXT-X-PART-INF:PART-TARGET=0.5
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-MAP:URI="init7.mp4"
#EXTINF:4.0,
7.m4s
#EXT-X-PART:DURATION=0.5,URI="8.0.m4s",INDEPENDENT=YES
#EXTINF:0.5,
8.m4s
#EXT-X-PART:DURATION=0.5,URI="9.0.m4s",INDEPENDENT=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="9.1.m4s"
`

func TestVersion(t *testing.T) {
	t.Parallel()
	var v version
	if err := v.parse([]byte(whole)); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%d %d %s %s %s", v.next, v.parts, v.uris, v.hint, v.init); got != "9 1 [8.0.m4s 9.0.m4s] 9.1.m4s init7.mp4" {
		t.Error(got)
	}
	delta := "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-SKIP:SKIPPED-SEGMENTS=2\n#EXT-X-PART:DURATION=0.5,URI=\"9.0.m4s\"\n#EXT-X-PART:DURATION=0.5,URI=\"9.1.m4s\"\n"
	if err := v.parse([]byte(delta)); err != nil {
		t.Fatal(err)
	}
	if v.next != 9 || v.parts != 2 || v.hint != nil {
		t.Errorf("the delta update is %+v", v)
	}
	for _, bad := range []string{"", "<html>", "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:x\n", "#EXTM3U\n#EXT-X-SKIP:\n"} {
		if v.parse([]byte(bad)) == nil {
			t.Errorf("%q is taken for a playlist", bad)
		}
	}
}

// Each part is fetched once, what is announced before it is in the playlist, and the
// next version is asked for by its number. Bodies of unknown length, and connections
// that are closed, are taken.
func TestWatch(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	asked := make(map[string]int)
	mux := http.NewServeMux()
	mux.HandleFunc("/m/master.m3u8", func(w http.ResponseWriter, r *http.Request) {
		if _, err := r.Cookie("who"); err != nil {
			http.SetCookie(w, &http.Cookie{Name: "who", Value: "me"})
			http.Redirect(w, r, "/m/master.m3u8?again", http.StatusFound)
			return
		}
		fmt.Fprint(w, "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nvideo/media.m3u8?x=1\n")
	})
	mux.HandleFunc("/m/video/", func(w http.ResponseWriter, r *http.Request) {
		_, err := r.Cookie("who")
		mu.Lock()
		asked[r.URL.String()]++
		mu.Unlock()
		switch {
		case err != nil:
			w.WriteHeader(http.StatusForbidden)
		case strings.HasSuffix(r.URL.Path, ".m4s"):
			w.Header().Set("Connection", "close")
			w.Write(make([]byte, 100_000))
		case r.URL.Query().Get("_HLS_msn") == "":
			fmt.Fprint(w, whole)
		case r.URL.Query().Get("_HLS_part") == "1":
			w.(http.Flusher).Flush() // chunks
			fmt.Fprint(w, strings.Replace(whole, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"9.1.m4s\"", "#EXT-X-PART:DURATION=0.5,URI=\"9.1.m4s\"\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"9.2.m4s\"", 1))
		default:
			<-ctx.Done()
		}
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	bytes := int64(0)
	err := Watch(ctx, Options{Master: server.URL + "/m/master.m3u8", Got: func(a Answer) {
		mu.Lock()
		defer mu.Unlock()
		if !a.Playlist {
			bytes += a.Bytes
		}
		if strings.HasSuffix(a.Target, "/9.2.m4s") {
			cancel()
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"8.0.m4s", "9.0.m4s", "9.1.m4s", "9.2.m4s", "media.m3u8?x=1", "media.m3u8?x=1&_HLS_msn=9&_HLS_part=1&_HLS_skip=YES"} {
		if asked["/m/video/"+want] != 1 {
			t.Errorf("%s was asked for %d times: %v", want, asked["/m/video/"+want], asked)
		}
	}
	if bytes < 400_000 {
		t.Errorf("%d bytes came; asked was for %v", bytes, asked)
	}
}

func TestRenditions(t *testing.T) {
	t.Parallel()
	got := renditions([]byte(`#EXTM3U
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="x, y",DEFAULT=YES,URI="audio/media.m3u8"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="other",URI="audio2/media.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS="a,b"
video/media.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=2
video2/media.m3u8
`))
	if fmt.Sprint(got) != "[audio/media.m3u8 video/media.m3u8]" {
		t.Error(got)
	}
}
