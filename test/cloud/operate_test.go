package cloud

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"liuyun/client"
)

// What watches a server finds it alive, ready, and its numbers.
func TestWatched(t *testing.T) {
	t.Parallel()
	n := start(t, "--roles", "control")
	if status, body := n.read(t, "/healthz"); status != http.StatusOK || string(body) != "ok\n" {
		t.Errorf("/healthz: %d %q", status, body)
	}
	if status, body := n.read(t, "/readyz"); status != http.StatusOK {
		t.Errorf("/readyz: %d %q", status, body)
	}
	// A job that nobody takes, for there is no worker.
	n.upload(t, film(t), client.UploadOptions{Options: quick()})
	n.eventually(t, "the job is counted", func() bool {
		_, body := n.read(t, "/metrics")
		return strings.Contains(string(body), "\nliuyun_jobs_ready_count 1\n")
	})
	_, body := n.read(t, "/metrics")
	for _, line := range []string{
		`liuyun_jobs_held_count 0`, `liuyun_jobs_running_count 0`, `liuyun_parts_waiting_count 0`, `liuyun_disk_free_bytes [1-9].*`,
		`liuyun_http_requests_total\{.*\} [1-9].*`, `process_resident_memory_bytes .*`,
	} {
		if !regexp.MustCompile(`(?m)^` + line + `$`).Match(body) {
			t.Errorf("no line %s in\n%s", line, body)
		}
	}
}
