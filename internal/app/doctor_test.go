package app

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"liuyun/internal/kit/blob"
)

func TestDoctorOnAnAddress(t *testing.T) {
	t.Parallel()
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	defer server.Close()
	o := DoctorOptions{Listen: server.Listener.Addr().String()}
	if got := checkAddress(t.Context(), o); got.Verdict != Fine || !strings.Contains(got.Found, "already") {
		t.Errorf("our own server: got %+v", got)
	}
	status = http.StatusTeapot
	if got := checkAddress(t.Context(), o); got.Verdict != Bad || got.Advice == "" {
		t.Errorf("another program: got %+v", got)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.Listen = free.Addr().String()
	free.Close()
	if got := checkAddress(t.Context(), o); got.Verdict != Fine {
		t.Errorf("a free port: got %+v", got)
	}
}

func TestDoctorOnData(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	o := DoctorOptions{Data: filepath.Join(folder, "a", "b"), Blob: blob.DefaultConfig()}
	if got := checkData(t.Context(), o); got.Verdict == Bad {
		t.Errorf("a folder that can be made: got %+v", got)
	}
	o.Data = filepath.Join(folder, "open")
	if err := os.Mkdir(o.Data, 0o755); err != nil {
		t.Fatal(err)
	}
	if got := checkData(t.Context(), o); got.Verdict != Warn || got.Advice == "" {
		t.Errorf("a folder that others can read: got %+v", got)
	}
	if left, err := os.ReadDir(o.Data); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if _, err := os.Stat(filepath.Join(folder, "a")); err == nil {
		t.Error("a folder was made")
	}
	o.Blob.ReservePercent = 50
	o.Blob.ReserveBytes = 1 << 60
	if got := checkSpace(t.Context(), o); got.Verdict != Bad || got.Advice == "" {
		t.Errorf("a full disk: got %+v", got)
	}
	o.Data = filepath.Join(folder, "file")
	if err := os.WriteFile(o.Data, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := checkData(t.Context(), o); got.Verdict != Bad {
		t.Errorf("a file: got %+v", got)
	}
}
