package app

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"liuyun/internal/base/secret"
	"liuyun/internal/testkit"
	"liuyun/internal/video/live"
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
	secure := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer secure.Close()
	o.Listen = secure.Listener.Addr().String()
	if got := checkAddress(t.Context(), o); got.Verdict != Fine || !strings.Contains(got.Found, "already") {
		t.Errorf("our own server with TLS: got %+v", got)
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
	o := DoctorOptions{Data: filepath.Join(folder, "a", "b"), Config: DefaultConfig()}
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
	o.Config.Blob.ReservePercent = 50
	o.Config.Blob.ReserveBytes = 1 << 60
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

func TestDoctorOnOtherPorts(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	o := DoctorOptions{Config: DefaultConfig(), Listen: "127.0.0.1:0", Roles: []string{RoleControl}}
	if got := checkPorts(t.Context(), o); got.Verdict != Fine || !strings.Contains(got.Found, "none") {
		t.Errorf("on loopback: got %+v", got)
	}
	o.Config.Node.Listen = "127.0.0.1:0"
	if got := checkPorts(t.Context(), o); got.Verdict != Fine || !strings.Contains(got.Found, "free") {
		t.Errorf("a free port: got %+v", got)
	}
	o.Config.Bus.Listen = taken.Addr().String()
	if got := checkPorts(t.Context(), o); got.Verdict != Bad || !strings.Contains(got.Advice, "bus.listen") {
		t.Errorf("a port that is taken: got %+v", got)
	}
	o.Listen = "nowhere"
	if got := checkPorts(t.Context(), o); got.Verdict != Bad || got.Advice == "" {
		t.Errorf("no address: got %+v", got)
	}
	o = DoctorOptions{Config: DefaultConfig(), Listen: "127.0.0.1:0", Roles: []string{"nonsense"}}
	if got := checkPorts(t.Context(), o); got.Verdict != Bad || !strings.Contains(got.Found, "nonsense") {
		t.Errorf("a role that there is not: got %+v", got)
	}
}

func TestDoctorOnLivePorts(t *testing.T) {
	t.Parallel()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	for setting, set := range map[string]func(*live.Config){
		"live.rtmp_listen":   func(c *live.Config) { c.RTMPListen = tcp.Addr().String() },
		"live.rtmps_listen":  func(c *live.Config) { c.RTMPSListen = tcp.Addr().String() },
		"live.rtsp_listen":   func(c *live.Config) { c.RTSPListen = tcp.Addr().String() },
		"live.srt_listen":    func(c *live.Config) { c.SRTListen = udp.LocalAddr().String() },
		"live.webrtc_listen": func(c *live.Config) { c.WebRTCListen = udp.LocalAddr().String() },
		"live.turn_listen":   func(c *live.Config) { c.TURNListen = tcp.Addr().String() },
	} {
		o := DoctorOptions{Config: DefaultConfig(), Listen: "127.0.0.1:0"}
		if got := checkPorts(t.Context(), o); got.Verdict != Fine || !strings.Contains(got.Found, "free") {
			t.Errorf("any free ports: got %+v", got)
		}
		set(&o.Config.Live)
		if got := checkPorts(t.Context(), o); got.Verdict != Bad || !strings.Contains(got.Advice, setting) {
			t.Errorf("%s is taken: got %+v", setting, got)
		}
		o.Roles = []string{RoleControl, RoleWorker}
		if got := checkPorts(t.Context(), o); got.Verdict != Fine {
			t.Errorf("%s is taken, and no streams are taken in: got %+v", setting, got)
		}
	}
	// Serve goes on without a protocol whose usual port is taken.
	p := port{address: tcp.Addr().String(), setting: "live.rtmp_listen", tcp: true, optional: true}
	if got := p.check(t.Context()); got.Verdict != Warn || !strings.Contains(got.Advice, p.setting) {
		t.Errorf("a usual port that is taken: got %+v", got)
	}
}

func TestDoctorOnCodecs(t *testing.T) {
	t.Parallel()
	testkit.Program(t, "ffmpeg")
	o := DoctorOptions{Config: DefaultConfig()}
	if got := checkCodecs(t.Context(), o); got.Verdict == Bad {
		t.Errorf("this machine's ffmpeg: got %+v", got)
	}
	// One that can decode and encode nothing.
	o.Config.FFmpeg.FFmpegPath = filepath.Join(t.TempDir(), "ffmpeg")
	text := "#!/bin/sh\ncase \"$*\" in *version*) exec ffmpeg \"$@\";; esac\n"
	if err := os.WriteFile(o.Config.FFmpeg.FFmpegPath, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	if got := checkCodecs(t.Context(), o); got.Verdict != Bad || got.Advice == "" {
		t.Errorf("an empty ffmpeg: got %+v", got)
	}
}

func TestDoctorOnServers(t *testing.T) {
	t.Parallel()
	o := DoctorOptions{Config: DefaultConfig()}
	for name, check := range map[string]func() Finding{
		"records": func() Finding { return checkRecords(t.Context(), o) },
		"media":   func() Finding { return checkMedia(t.Context(), o) },
	} {
		if got := check(); got.Verdict != Fine {
			t.Errorf("%s in the data folder: got %+v", name, got)
		}
	}
	o.Config.Store.URL = "postgres://liuyun@127.0.0.1:1/liuyun?sslmode=disable"
	if got := checkRecords(t.Context(), o); got.Verdict != Bad || got.Advice == "" {
		t.Errorf("no PostgreSQL: got %+v", got)
	}
	o.Config.Store.URL = testkit.Postgres(t).NewDatabase(t)
	if got := checkRecords(t.Context(), o); got.Verdict != Fine {
		t.Errorf("a PostgreSQL: got %+v", got)
	}
	server := testkit.S3(t)
	o.Config.Blob.AccessKey, o.Config.Blob.SecretKey = server.AccessKey, secret.New(server.SecretKey)
	o.Config.Blob.URL = "s3://" + server.Bucket + "?endpoint=" + server.Endpoint
	if got := checkMedia(t.Context(), o); got.Verdict != Fine {
		t.Errorf("an S3 server: got %+v", got)
	}
	o.Config.Blob.URL = "s3://none?endpoint=" + server.Endpoint
	if got := checkMedia(t.Context(), o); got.Verdict != Bad || got.Advice == "" {
		t.Errorf("no bucket: got %+v", got)
	}
}
