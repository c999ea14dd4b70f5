package edge

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"liuyun/client"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/store"
	"liuyun/internal/testkit"
	"liuyun/internal/video/vod"
	"liuyun/test/program"
)

// cloudHost is a name that no site has.
const cloudHost = "video.test"

// A film plays through an edge as from the control node, to those who may see it, until it
// is deleted; what is stored of it plays without the control node.
func TestMedia(t *testing.T) {
	t.Parallel()
	c := startCloud(t, "control,worker")
	shield, e := c.shielded(t, nil)
	public, signed := c.film(t, client.Public), c.film(t, client.Signed)
	direct := int64(0) // bytes that the control node has served itself
	control := func(t *testing.T, path string) string {
		t.Helper()
		in, text := ask(t, http.DefaultClient, c.URL+path)
		if in.StatusCode != http.StatusOK {
			t.Fatalf("the control node answers %s with status %d", path, in.StatusCode)
		}
		direct += int64(len(text))
		return text
	}
	played := func() int64 { return direct + shield.served.Load() + e.served.Load() }
	same := func(t *testing.T, path string) {
		t.Helper()
		want := control(t, path)
		got := e.get(t, cloudHost, path)
		if got.status != http.StatusOK || got.body != want || got.hit() || got.header.Get("Access-Control-Allow-Origin") != "*" || got.header["Liuyun-Tenant"] != nil || got.header["Surrogate-Key"] != nil {
			t.Errorf("%s: %s, %v, want %d bytes", path, got, got.header, len(want))
		}
		if !program.Eventually(patience, func() bool { got = e.get(t, cloudHost, path); return got.hit() }) || got.body != want {
			t.Errorf("%s again: %s", path, got)
		}
		if got := e.get(t, cloudHost, path, "Range", "bytes=2-5"); got.status != http.StatusPartialContent || got.body != want[2:6] {
			t.Errorf("%s, a part: %s", path, got)
		}
	}

	// The URLs of a film are the same wherever it is played.
	master, segment := c.addresses(t, control, public.Playback.HLS)
	same(t, master)
	same(t, segment)
	if got := shield.get(t, cloudHost, segment); !got.hit() {
		t.Errorf("the shield has not got what the edge asked for: %s", got)
	}

	master, secret := c.addresses(t, control, signed.Playback.HLS)
	same(t, master)
	same(t, secret)
	token, rest, _ := strings.Cut(strings.TrimPrefix(secret, "/play/~"), "/")
	plain, signer := "/play/"+rest, c.signer(t)
	for name, path := range map[string]string{
		"without a token": plain, "with an empty token": "/play/~/" + rest, "with an encoded empty one": "/play/%7E/" + rest, "round about": "/play/./~/" + rest,
		"expired":         "/play/~" + signer.Sign(signed.ID, time.Now().Add(-time.Minute)) + "/" + rest,
		"forged":          "/play/~" + guard.NewSigner(bytes.Repeat([]byte("x"), 32)).Sign(signed.ID, time.Now().Add(time.Hour)) + "/" + rest,
		"of another film": "/play/~" + signer.Sign(public.ID, time.Now().Add(time.Hour)) + "/" + rest,
		"twice":           "/play/~" + token + "/~" + token + "/" + rest,
	} {
		for _, at := range []*joinedEdge{e, shield} {
			if got := at.get(t, cloudHost, path); got.status < 300 || strings.HasPrefix(path, "/play/~") && got.status != http.StatusForbidden {
				t.Errorf("%s: %s: %s", name, path, got)
			}
		}
	}
	if got := e.get(t, cloudHost, "/play/~"+signer.Sign(signed.ID, time.Now().Add(time.Hour))+"/"+rest); !got.hit() {
		t.Errorf("another token has another copy: %s", got)
	}
	c.used(t, usageTime, played)

	both := func(path string, status int) func() bool {
		return func() bool {
			return e.get(t, cloudHost, path).status == status && shield.get(t, cloudHost, path).status == status
		}
	}
	if _, err := c.Assets.Update(t.Context(), public.ID, client.AssetChange{Policy: new(client.Signed)}); err != nil {
		t.Fatal(err)
	}
	eventually(t, told, "a film that is not public any more is refused", both(segment, http.StatusForbidden))
	segment = "/play/~" + signer.Sign(public.ID, time.Now().Add(time.Hour)) + strings.TrimPrefix(segment, "/play")
	eventually(t, patience, "it plays by a token", both(segment, http.StatusOK))
	if err := c.Assets.Delete(t.Context(), public.ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, told, "a film that is deleted is gone", both(segment, http.StatusNotFound))
	c.used(t, usageTime, played)
	c.Kill()
	if got := e.get(t, cloudHost, secret); !got.hit() || got.status != http.StatusOK {
		t.Errorf("without the control node: %s", got)
	}
	if got := e.get(t, cloudHost, plain); got.status < 400 {
		t.Errorf("without the control node and without a token: %s", got)
	}
}

// A machine that is all in one shows on the map what it gives its own viewers.
func TestOwnMedia(t *testing.T) {
	t.Parallel()
	c := startCloud(t, "control,worker,edge")
	film := c.film(t, client.Public)
	var bytes int
	play := func(t *testing.T, path string) string {
		t.Helper()
		in, text := ask(t, http.DefaultClient, c.URL+path)
		if in.StatusCode != http.StatusOK {
			t.Fatalf("%s: status %d", path, in.StatusCode)
		}
		bytes += len(text)
		return text
	}
	_, segment := c.addresses(t, play, film.Playback.HLS)
	eventually(t, patience, "the map has what was played", func() bool {
		play(t, segment)
		for e, err := range c.Edges.List(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Requests > 0 && e.Egress > 0 && e.HitRatio == 1 && e.Ingress == 0 {
				return true
			}
		}
		return false
	})
	c.used(t, usageTime, func() int64 { return int64(bytes) })
}

// film makes an asset that is ready.
func (c *cloud) film(t *testing.T, policy client.Policy) client.Asset {
	t.Helper()
	content, err := os.ReadFile(testkit.Generate(t, testkit.Numbered("25", 50)))
	if err != nil {
		t.Fatal(err)
	}
	asset, err := c.Upload(t.Context(), bytes.NewReader(content), int64(len(content)), client.UploadOptions{
		Name: fmt.Sprintf("%s.mp4", policy), Policy: policy, Options: &client.EncodeOptions{Preset: "ultrafast", Ladder: "90"},
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "a film is ready", func() bool {
		asset, err = c.Assets.Get(t.Context(), asset.ID)
		return err == nil && asset.Status.Ended()
	})
	if asset.Status != client.Ready {
		t.Fatalf("%s: %+v", asset.Status, asset.Failure)
	}
	return asset
}

// addresses are those of the first playlist of a film and of one of its segments.
func (c *cloud) addresses(t *testing.T, get func(t *testing.T, path string) string, hls string) (master, segment string) {
	t.Helper()
	master = strings.TrimPrefix(c.Resolve(hls), c.URL)
	at := master
	for range 2 {
		name := ""
		for line := range strings.Lines(get(t, at)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				name = line
			}
		}
		at = path.Join(path.Dir(at), name)
	}
	return master, at
}

// signer signs as the cloud does, with the secret of its records: only so can a token be
// made that has expired.
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
