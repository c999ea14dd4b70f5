package live

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"liuyun/internal/testkit"
)

// e2e is the folder with players and parsers that are not ours.
func e2e(t *testing.T) string {
	t.Helper()
	folder := filepath.Join(testkit.Root(t), "test", "e2e")
	_, err := os.Stat(filepath.Join(folder, "node_modules", ".package-lock.json"))
	testkit.Need(t, err == nil, "the packages of test/e2e are not installed: run make e2e")
	return folder
}

// needPlayers looks, before anything is begun, for what watchIn needs.
func needPlayers(t *testing.T) {
	t.Helper()
	e2e(t)
	testkit.Program(t, "chromium")
	testkit.Program(t, "node")
}

// watchers are players in Chromium.
type watchers struct {
	command *exec.Cmd
	out     *bufio.Reader
	said    bytes.Buffer
	ended   chan struct{}
	answer  []byte
}

// watched is what window.live.state() of test/e2e/lab says of a player in the end.
type watched struct {
	Latency, Seconds, Progress, Lasting float64
	Stalls                              []struct{ At, Seconds float64 }
	Problems, Texts                     []string
}

// watchIn has players, each named with what it reads, watch for so long, and waits until
// all of them play.
func watchIn(t *testing.T, players map[string]string, length time.Duration) *watchers {
	t.Helper()
	folder := e2e(t)
	lab := httptest.NewServer(http.FileServer(http.Dir(folder)))
	t.Cleanup(lab.Close)
	text, err := json.Marshal(map[string]any{
		"chromium": testkit.Program(t, "chromium"), "lab": lab.URL + "/lab/live.html", "players": players, "seconds": length.Seconds(),
	})
	if err != nil {
		t.Fatal(err)
	}
	w := &watchers{command: exec.CommandContext(t.Context(), testkit.Program(t, "node"), "soak.mjs"), ended: make(chan struct{})}
	w.command.Dir = folder
	w.command.Stdin, w.command.Stderr = bytes.NewReader(text), &w.said
	out, err := w.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.command.Start(); err != nil {
		t.Fatal(err)
	}
	w.out = bufio.NewReader(out)
	if line, err := w.out.ReadString('\n'); err != nil {
		w.command.Wait()
		t.Fatalf("the players do not play: %s%s", line, w.said.String())
	}
	go func() {
		defer close(w.ended)
		w.answer, _ = w.out.ReadBytes('\n')
		w.command.Wait()
	}()
	t.Cleanup(func() { w.command.Process.Kill(); <-w.ended })
	return w
}

// wait waits, and returns false when the players have come to their end before.
func (w *watchers) wait(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-w.ended:
		return false
	}
}

// end waits for the end and returns how each player fared.
func (w *watchers) end(t *testing.T) (players map[string]watched) {
	t.Helper()
	<-w.ended
	if err := json.Unmarshal(w.answer, &players); err != nil {
		t.Fatalf("%v: %s%s", err, w.answer, w.said.String())
	}
	return players
}
