package cloud

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"liuyun/client"
)

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func itoa(n int) string { return strconv.Itoa(n) }

// seconds of encoding, so that there is something to kill.
func slow() *client.EncodeOptions {
	return &client.EncodeOptions{Preset: "medium", Ladder: "360,180"}
}

// The server is killed while it encodes, again and again. After the last start it
// finishes, and what it makes has the bytes of a run that nothing disturbed.
func TestKillServer(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	n := start(t)
	source := film(t)
	want := encodeAlone(t, source, "--preset", "medium", "--ladder", "360,180")
	a := n.upload(t, source, client.UploadOptions{Options: slow()})
	for range 4 {
		time.Sleep(time.Duration(random.IntN(1500)) * time.Millisecond)
		n.Kill()
		n = resume(t, n.Data)
		if _, err := n.Assets.Get(t.Context(), a.ID); err != nil {
			t.Fatalf("an acknowledged asset is lost: %v", err)
		}
	}
	n.ready(t, a.ID)
	sameMedia(t, n.result(t, a.ID), want)
}

// The server is killed during an upload, which goes on where it was acknowledged.
func TestKillDuringUpload(t *testing.T) {
	n := start(t)
	source := film(t)
	file, err := os.Open(source)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	var token string
	half := int64(0)
	_, err = n.Upload(t.Context(), file, info.Size(), client.UploadOptions{
		Name: "film.mp4", Options: quick(), Chunk: info.Size()/8 + 1, Patience: time.Second,
		OnCreated: func(made string) error { token = made; return nil },
		OnProgress: func(sent, _ int64) {
			if half == 0 && sent >= info.Size()/2 {
				half = sent
				n.Kill()
			}
		},
	})
	if err == nil || token == "" {
		t.Fatalf("upload to a killed server: %v, token %q", err, token)
	}
	n = resume(t, n.Data)
	first := int64(-1)
	a, err := n.Upload(t.Context(), file, info.Size(), client.UploadOptions{Resume: token, OnProgress: func(sent, _ int64) {
		if first < 0 {
			first = sent
		}
	}})
	if err != nil {
		t.Fatalf("resume: %v", err)
	}
	if first < info.Size()/4 {
		t.Errorf("resumed at byte %d of %d, after %d were sent", first, info.Size(), half)
	}
	n.ready(t, a.ID)
}
