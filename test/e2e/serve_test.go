package e2e

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"liuyun/internal/console"
	"liuyun/internal/testkit"
)

// `liuyun play` serves what players of other origins ask for: whole, in parts,
// and the head alone.
func TestPlayServes(t *testing.T) {
	testkit.Need(t, console.Built(), "the player page is not built: run make e2e")
	p := encode(t, "film")
	address := play(t, p.dir) + "media/"
	segment := "video/" + p.Renditions[0].ID + "/00001.m4s"
	whole, err := os.ReadFile(filepath.Join(p.dir, segment))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, method, path string
		header             http.Header
		status             int
		body               []byte // nil: not looked at
		answers            map[string]string
	}{
		{"whole", http.MethodGet, segment, nil, 200, whole, map[string]string{"Access-Control-Allow-Origin": "*", "Accept-Ranges": "bytes", "Content-Type": "video/iso.segment"}},
		{"part", http.MethodGet, segment, http.Header{"Range": {"bytes=100-199"}}, 206, whole[100:200], map[string]string{"Access-Control-Allow-Origin": "*", "Content-Length": "100"}},
		{"end", http.MethodGet, segment, http.Header{"Range": {"bytes=-10"}}, 206, whole[len(whole)-10:], nil},
		{"beyond", http.MethodGet, segment, http.Header{"Range": {"bytes=99999999-"}}, 416, nil, map[string]string{"Access-Control-Allow-Origin": "*"}},
		{"head", http.MethodHead, segment, nil, 200, []byte{}, map[string]string{"Access-Control-Allow-Origin": "*"}},
		{"preflight", http.MethodOptions, segment, http.Header{"Origin": {"http://example.com"}, "Access-Control-Request-Method": {"GET"}, "Access-Control-Request-Headers": {"range"}},
			204, nil, map[string]string{"Access-Control-Allow-Origin": "*"}},
		{"HLS", http.MethodGet, "master.m3u8", nil, 200, nil, map[string]string{"Content-Type": "application/vnd.apple.mpegurl"}},
		{"DASH", http.MethodGet, "manifest.mpd", nil, 200, nil, map[string]string{"Content-Type": "application/dash+xml"}},
		{"absent", http.MethodGet, "absent.m4s", nil, 404, nil, nil},
		{"outside", http.MethodGet, "%2e%2e/film/report.json", nil, 404, nil, nil},
		{"write", http.MethodPut, segment, nil, 405, nil, nil},
	}
	for _, test := range tests {
		request, err := http.NewRequestWithContext(t.Context(), test.method, address+test.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, values := range test.header {
			request.Header[name] = values
		}
		response, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if response.StatusCode != test.status {
			t.Errorf("%s: status %d, want %d", test.name, response.StatusCode, test.status)
		}
		if test.body != nil && string(body) != string(test.body) {
			t.Errorf("%s: %d bytes, want others: %d", test.name, len(body), len(test.body))
		}
		for name, want := range test.answers {
			if got := response.Header.Get(name); got != want {
				t.Errorf("%s: %s: %q, want %q", test.name, name, got, want)
			}
		}
	}
}
