package obs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/kit/obs"
)

// write logs one record of a fixed time.
func write(t *testing.T, format obs.Format, level slog.Level, message string, attrs ...any) string {
	t.Helper()
	var out bytes.Buffer
	h := obs.NewLogger(&out, format, slog.LevelInfo).Handler()
	r := slog.NewRecord(time.Date(2026, 11, 24, 18, 5, 6, 70_000_000, time.UTC), level, message, 0)
	r.Add(attrs...)
	if err := h.Handle(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestLines(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, message string
		level         slog.Level
		attrs         []any
		want          string
	}{
		{"plain", "ready", slog.LevelInfo, nil, "2026-11-24 18:05:06.070 INFO  ready\n"},
		{"values", "request", slog.LevelWarn, []any{"n", 3, "took", 1500 * time.Millisecond, "rate", 0.25, "error", errors.New("no room"), "empty", ""},
			`2026-11-24 18:05:06.070 WARN  request n=3 took=1.5s rate=0.25 error="no room" empty=""` + "\n"},
		{"groups", "x", slog.LevelError, []any{slog.Group("job", "id", "job_1", slog.Group("unit", "n", 1))},
			"2026-11-24 18:05:06.070 ERROR x job.id=job_1 job.unit.n=1\n"},
		{"hostile", "a\nb \x1b[31m", slog.LevelInfo, []any{"name", "x\ny=\"z\"", "云", "流云"},
			`2026-11-24 18:05:06.070 INFO  a\nb \x1b[31m name="x\ny=\"z\"" 云=流云` + "\n"},
	}
	for _, test := range tests {
		if diff := cmp.Diff(test.want, write(t, obs.Text, test.level, test.message, test.attrs...)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
	if got := write(t, obs.Colour, slog.LevelError, "x", "a", 1); got != "\x1b[2m2026-11-24 18:05:06.070\x1b[0m \x1b[31mERROR\x1b[0m x \x1b[2ma=\x1b[0m1\n" {
		t.Errorf("in colour: %q", got)
	}
	var object struct{ Msg, Level string }
	if err := json.Unmarshal([]byte(write(t, obs.JSON, slog.LevelInfo, "a\nb")), &object); err != nil || object.Msg != "a\nb" || object.Level != "INFO" {
		t.Errorf("JSON: %+v, %v", object, err)
	}
}

func TestWithAttrsAndGroups(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	base := obs.NewLogger(&out, obs.Text, slog.LevelInfo)
	log := base.With("node", "nod_1").WithGroup("job").With("id", "job_1")
	log.Info("begin", "n", 1)
	base.Debug("not written")
	base.Info("end")
	lines := strings.Split(out.String(), "\n")
	if len(lines) != 3 || !strings.HasSuffix(lines[0], "INFO  begin node=nod_1 job.id=job_1 job.n=1") || !strings.HasSuffix(lines[1], "INFO  end") {
		t.Errorf("got %q", lines)
	}
}

func TestLogConfig(t *testing.T) {
	t.Parallel()
	if err := obs.DefaultLogConfig().Validate(); err != nil {
		t.Error(err)
	}
	for _, bad := range []obs.LogConfig{{Format: "xml", Level: "info"}, {Format: "text", Level: "loud"}, {Format: "colour", Level: "info"}} {
		if bad.Validate() == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
	if got := (obs.LogConfig{Level: "warn"}).SlogLevel(); got != slog.LevelWarn {
		t.Errorf("got %v", got)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	r := obs.NewRegistry()
	r.Counter("liuyun_job_ended_total", "Jobs.", "state").Add(2, "done")
	r.Counter("liuyun_job_ended_total", "Jobs.", "state").Add(1, "done") // asked for again, it is the same
	g := r.Gauge("liuyun_job_running_count", "Jobs now.")
	g.Set(5)
	g.Add(-2)
	r.Func("liuyun_disk_free_bytes", "Room.", func() float64 { return 42 })
	r.FuncBy("liuyun_disk_used_bytes", "Used.", "folder", func() map[string]float64 { return map[string]float64{"a": 1, "b": 2} })
	r.FuncBy("liuyun_disk_written_bytes_total", "Written.", "folder", func() map[string]float64 { return map[string]float64{"a": 3} })
	r.Histogram("liuyun_job_duration_seconds", "Time.", obs.Latency()).Observe(0.3)
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		`liuyun_job_ended_total{state="done"} 3`, "liuyun_job_running_count 3", "liuyun_disk_free_bytes 42",
		"# TYPE liuyun_disk_used_bytes gauge\n", `liuyun_disk_used_bytes{folder="a"} 1`, `liuyun_disk_used_bytes{folder="b"} 2`,
		"# TYPE liuyun_disk_written_bytes_total counter\n", `liuyun_disk_written_bytes_total{folder="a"} 3`,
		`liuyun_job_duration_seconds_bucket{le="0.5"} 1`, "go_goroutines", "process_open_fds",
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("metrics lack %s", want)
		}
	}
}

// Without a registry everything works and nothing is counted.
func TestNoRegistry(t *testing.T) {
	t.Parallel()
	var r *obs.Registry
	r.Counter("liuyun_a_b_total", "").Add(1)
	r.Gauge("liuyun_a_b_count", "").Set(1)
	r.Gauge("liuyun_a_b_count", "").Add(1)
	r.Histogram("liuyun_a_b_seconds", "", obs.Latency()).Observe(1)
	r.Func("liuyun_a_c_count", "", func() float64 { return 0 })
	r.FuncBy("liuyun_a_d_count", "", "x", func() map[string]float64 { return nil })
}

func TestMistakesPanic(t *testing.T) {
	t.Parallel()
	r := obs.NewRegistry()
	r.Counter("liuyun_a_b_total", "")
	for name, mistake := range map[string]func(){
		"name":         func() { r.Counter("jobs_total", "") },
		"other kind":   func() { r.Gauge("liuyun_a_b_total", "") },
		"other labels": func() { r.Counter("liuyun_a_b_total", "", "x") },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			mistake()
		}()
	}
}
