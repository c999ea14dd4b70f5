package cloud

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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

// A comparison begins again after the server was killed that made it, and comes to its
// end; nothing of the first try stays in the way.
func TestKillComparison(t *testing.T) {
	n := start(t)
	a := n.upload(t, film(t), client.UploadOptions{Options: slow()})
	n.ready(t, a.ID)
	if _, err := n.Assets.Compare(t.Context(), a.ID, client.CompareOptions{Every: 1}); err != nil {
		t.Fatal(err)
	}
	n.compared(t, a.ID, "running")
	n.Kill()
	n = resume(t, n.Data)
	if made := n.compared(t, a.ID, "ready"); made.Report == "" || len(made.LeftOut) > 0 {
		t.Errorf("it came to %+v", made)
	}
	numbers, err := n.Assets.Comparison(t.Context(), a.ID)
	if err != nil || len(numbers.Encodes) != 2 || numbers.Every != 1 || numbers.Encodes[0].Scores[0].Mean <= numbers.Encodes[1].Scores[0].Mean {
		t.Errorf("numbers %+v, %v", numbers, err)
	}
	var page strings.Builder
	if err := n.Assets.Report(t.Context(), a.ID, &page); err != nil || !strings.Contains(page.String(), "</html>") {
		t.Errorf("a page of %d bytes, %v", page.Len(), err)
	}
	left, err := os.ReadDir(filepath.Join(n.Data, "scratch", "compare"))
	if err != nil || len(left) > 0 {
		t.Errorf("%d things are left in scratch, %v", len(left), err)
	}
}
