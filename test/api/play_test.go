package api

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/store"
	"liuyun/internal/video/vod"
)

// addresses are those of an asset.
type addresses struct {
	Playback struct {
		HLS, DASH string
		MP4       []string
	}
	Thumbnails struct{ Poster string }
}

func (a answer) addresses(t *testing.T) addresses {
	t.Helper()
	var found addresses
	if err := json.Unmarshal(a.body, &found); err != nil || found.Playback.HLS == "" || len(found.Playback.MP4) != 1 {
		t.Fatalf("%v: no addresses in %s", err, a.body)
	}
	return found
}

// Media is read as caches and players read it: by anyone's page, in parts, and not
// again when it is known.
func TestPlay(t *testing.T) {
	c := start(t)
	nobody := c.as("")
	file := c.as(c.Key).ready(t).addresses(t).Playback.MP4[0]
	whole := nobody.ask(t, http.StatusOK, "GET", file, nil)
	size, tag := len(whole.body), whole.header.Get("ETag")
	if size < 1000 || tag == "" || whole.header.Get("Content-Type") != "video/mp4" || !strings.Contains(whole.header.Get("Cache-Control"), "immutable") {
		t.Errorf("%d bytes, headers %v", size, whole.header)
	}
	for _, test := range []struct {
		name    string
		method  string
		headers []header
		status  int
		body    []byte
	}{
		{"head", "HEAD", nil, 200, nil},
		{"known", "GET", []header{{"If-None-Match", tag}}, 304, nil},
		{"known weakly", "HEAD", []header{{"If-None-Match", `"x", W/` + tag}}, 304, nil},
		{"not known", "GET", []header{{"If-None-Match", `"x"`}}, 200, whole.body},
		{"not changed since", "GET", []header{{"If-Modified-Since", whole.header.Get("Last-Modified")}}, 304, nil},
		{"another is meant", "GET", []header{{"If-Match", `"x"`}}, 412, nil},
		{"range", "GET", []header{{"Range", "bytes=10-19"}}, 206, whole.body[10:20]},
		{"range of head", "HEAD", []header{{"Range", "bytes=10-19"}}, 206, nil},
		{"end", "GET", []header{{"Range", "bytes=-5"}}, 206, whole.body[size-5:]},
		{"open range", "GET", []header{{"Range", "bytes=20-"}}, 206, whole.body[20:]},
		{"range behind the end", "GET", []header{{"Range", "bytes=99999999-"}}, 416, nil},
		{"range if it is still the same", "GET", []header{{"Range", "bytes=0-3"}, {"If-Range", tag}}, 206, whole.body[:4]},
		{"all if it is not", "GET", []header{{"Range", "bytes=0-3"}, {"If-Range", `"x"`}}, 200, whole.body},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := nobody.ask(t, test.status, test.method, file, nil, append(test.headers, header{"Origin", "https://elsewhere.example"})...)
			if test.body != nil && !bytes.Equal(got.body, test.body) {
				t.Errorf("%d bytes are not the %d wanted", len(got.body), len(test.body))
			}
			if test.method == "HEAD" && len(got.body) > 0 {
				t.Errorf("HEAD has a body of %d bytes", len(got.body))
			}
			if got.header.Get("Access-Control-Allow-Origin") != "*" || got.header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("CORS: %v", got.header)
			}
		})
	}
	before := nobody.ask(t, http.StatusNoContent, "OPTIONS", file, nil, header{"Origin", "https://elsewhere.example"},
		header{"Access-Control-Request-Method", "GET"}, header{"Access-Control-Request-Headers", "range"})
	if allowed := before.header.Get("Access-Control-Allow-Headers"); !strings.Contains(allowed, "Range") {
		t.Errorf("a preflight allows %q", allowed)
	}
	nobody.ask(t, http.StatusMethodNotAllowed, "PUT", file, []byte("x"))
}

// Nothing but the files of a result is served, whatever the path says.
func TestPlayStaysInside(t *testing.T) {
	c := start(t)
	asset := c.as(c.Key).ready(t)
	id, hls := asset.text("id"), asset.addresses(t).Playback.HLS
	folder := strings.TrimSuffix(hls, "master.m3u8")
	for _, path := range []string{
		folder, folder + "report.json", "/play/" + id, "/play/", "/play/" + id + "/../" + id + "/source", folder + "..%2fsource", folder + "%2e%2e/source", folder + "../../../admin.key",
		folder + "..%2f..%2f..%2fadmin.key", folder + "%2fetc/passwd", folder + "master.m3u8%00", folder + ".hidden", "/play/ast_absent/master.m3u8",
		"/play/~/" + id + "/master.m3u8/", "/play/" + id + "//master.m3u8", folder + `..\source`,
	} {
		r := c.as("").request(t, "GET", path, nil)
		switch a := send(t, r); a.status {
		case http.StatusNotFound, http.StatusForbidden, http.StatusBadRequest, http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		default:
			t.Errorf("%s: status %d, %d bytes", path, a.status, len(a.body))
		}
	}
}

// A signed asset plays by its own token only, until that has expired, and a change
// of policy holds at once.
func TestSignedPlay(t *testing.T) {
	c := start(t)
	a, b := newTenant(t, c, "A"), newTenant(t, c, "B")
	nobody := c.as("")
	ofA, ofB := "/v1/assets/"+a.own["asset"], "/v1/assets/"+b.own["asset"]
	public := a.ask(t, http.StatusOK, "GET", ofA, nil).addresses(t).Playback.HLS
	nobody.ask(t, http.StatusOK, "GET", public, nil)
	signed := a.ask(t, http.StatusOK, "PATCH", ofA, `{"playback_policy":"signed"}`).addresses(t)
	nobody.ask(t, http.StatusForbidden, "GET", public, nil)
	for _, address := range []string{signed.Playback.HLS, signed.Playback.DASH, signed.Playback.MP4[0], signed.Thumbnails.Poster} {
		nobody.ask(t, http.StatusOK, "GET", address, nil)
	}
	relative := strings.TrimSuffix(signed.Playback.HLS, "master.m3u8")
	list := nobody.ask(t, http.StatusOK, "GET", signed.Playback.HLS, nil)
	for line := range strings.Lines(string(list.body)) { // what a playlist names is signed by the path alone
		if name := strings.TrimSpace(line); name != "" && !strings.HasPrefix(name, "#") {
			nobody.ask(t, http.StatusOK, "GET", relative+name, nil)
		}
	}

	// Tokens of another asset, of another tenant, changed ones, and none.
	token, _, _ := strings.Cut(strings.TrimPrefix(signed.Playback.HLS, "/play/~"), "/")
	other, _, _ := strings.Cut(strings.TrimPrefix(b.ask(t, http.StatusOK, "POST", ofB+"/playback", `{}`).text("hls"), "/play/~"), "/")
	file := "/" + a.own["asset"] + "/master.m3u8"
	for _, wrong := range []string{other, token[:len(token)-1] + "_", token + "A", strings.ToUpper(token), "AAAA", ""} {
		refused := nobody.ask(t, http.StatusForbidden, "GET", "/play/~"+wrong+file, nil)
		if refused.header.Get("Cache-Control") != "no-store" {
			t.Errorf("a refusal may be kept: %v", refused.header)
		}
	}
	b.ask(t, http.StatusNotFound, "POST", ofA+"/playback", `{}`)
	b.ask(t, http.StatusForbidden, "GET", public, nil) // a key opens no media

	past := nobody.ask(t, http.StatusForbidden, "GET", "/play/~"+c.signer(t).Sign(a.own["asset"], time.Now().Add(-time.Minute))+file, nil)
	if !strings.Contains(string(past.body), "expired") {
		t.Errorf("an expired address is refused with %q", past.body)
	}
	nobody.ask(t, http.StatusOK, "GET", "/play/~"+c.signer(t).Sign(a.own["asset"], time.Now().Add(time.Minute))+file, nil)

	a.ask(t, http.StatusOK, "PATCH", ofA, `{"playback_policy":"public"}`)
	nobody.ask(t, http.StatusOK, "GET", public, nil)
}

// signer signs as the server does, with the secret of its records: only so can a
// token be made that has expired.
func (c *cloud) signer(t *testing.T) *guard.Signer {
	t.Helper()
	db, err := store.Open(t.Context(), filepath.Join(c.Data, "store"), store.Config{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	secrets, err := vod.Secrets(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	return guard.NewSigner(secrets[0], secrets[1:]...)
}
