package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"liuyun/client"
)

// serve is how a server is started.
type serve struct {
	data string   // the data folder
	args []string // besides the data folder and the address
	cpus []int    // pinned to these; nil pins nothing
}

// server is a liuyun serve that runs.
type server struct {
	URL     string        // "" of a node that only encodes
	Key     string        // the admin key; "" where there is none
	Pid     int           // of the server itself
	Startup time.Duration // from the start of the process to its ready line

	data  string
	cmd   *exec.Cmd
	log   *lastLines
	began time.Time
	busy  busyTime
	own   float64       // CPU seconds of this program when the server started
	ended chan struct{} // closed when it is gone
	err   error         // of waiting; read after ended
}

// How long a server may take.
const (
	startPatience = time.Minute
	stopPatience  = time.Minute
)

// serve starts a server and waits for its ready line. The caller stops it.
func (b *bench) serve(ctx context.Context, o serve) (*server, error) {
	// The speed of the machine is measured once in its life, and not beside a benchmark.
	args := append([]string{b.liuyun, "serve", "--set", "worker.measure=false", "--json", "--data", o.data, "--listen", "127.0.0.1:0"}, o.args...)
	if o.cpus != nil {
		args = append([]string{"taskset", "-c", cpuList(o.cpus)}, args...)
	}
	s := &server{data: o.data, cmd: exec.Command(args[0], args[1:]...), log: &lastLines{}, ended: make(chan struct{})}
	// Settings of the one who measures are none of the server's.
	s.cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "LIUYUN_") })
	s.cmd.Stderr = s.log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if s.busy, err = readBusy(); err != nil {
		return nil, err
	}
	s.began, s.own = time.Now(), ownCPU()
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	s.Pid = s.cmd.Process.Pid
	ready := make(chan string, 1)
	go func() {
		defer close(s.ended)
		var line struct {
			URL     string `json:"url"`
			Message string `json:"message"` // of an error
		}
		if json.NewDecoder(out).Decode(&line) == nil && line.Message == "" {
			s.Startup = time.Since(s.began)
			ready <- line.URL
		}
		s.err = s.cmd.Wait()
		if line.Message != "" {
			s.err = fmt.Errorf("%s: %w", line.Message, s.err)
		}
	}()
	select {
	case s.URL = <-ready:
	case <-s.ended:
		return nil, fmt.Errorf("liuyun serve ended before it was ready: %w\n%s", s.err, s.log)
	case <-time.After(startPatience):
		err = fmt.Errorf("liuyun serve is not ready after %s\n%s", startPatience, s.log)
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		s.kill()
		return nil, err
	}
	if key, err := os.ReadFile(filepath.Join(o.data, "admin.key")); err == nil {
		s.Key = strings.TrimSpace(string(key))
	}
	return s, nil
}

// controlOnly is a server that encodes nothing.
func controlOnly(data string) serve {
	return serve{data: data, args: []string{"--roles", "control"}}
}

// withServer runs fn beside a server, which is stopped well afterwards; what it
// used goes into used, unless that is nil.
func (b *bench) withServer(ctx context.Context, o serve, used *usage, fn func(*server) error) error {
	s, err := b.serve(ctx, o)
	if err != nil {
		return err
	}
	defer s.kill()
	if err := fn(s); err != nil {
		return err
	}
	all, err := s.stop()
	if used != nil {
		*used = all
	}
	return err
}

// kill ends the server at once. After stop it does nothing.
func (s *server) kill() {
	s.cmd.Process.Kill()
	<-s.ended
}

// stop lets the server finish and says what it and all its children used since
// its start. What this program used meanwhile, as the one that asks, is not
// counted to others.
func (s *server) stop() (usage, error) {
	peak := peakMemory(s.Pid)
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return usage{}, fmt.Errorf("stop liuyun serve: %w\n%s", err, s.log)
	}
	select {
	case <-s.ended:
	case <-time.After(stopPatience):
		s.kill()
		return usage{}, fmt.Errorf("liuyun serve did not stop in %s\n%s", stopPatience, s.log)
	}
	if s.err != nil {
		return usage{}, fmt.Errorf("liuyun serve: %w\n%s", s.err, s.log)
	}
	state := s.cmd.ProcessState
	u := usage{CPU: (state.UserTime() + state.SystemTime()).Seconds(), Wall: time.Since(s.began).Seconds(), Largest: peak}
	after, err := readBusy()
	u.Others = othersShare(s.busy, after, u.CPU+ownCPU()-s.own)
	return u, err
}

// ownCPU is the CPU seconds of this program until now.
func ownCPU() float64 {
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) != nil {
		return 0
	}
	return float64(used.Utime.Nano()+used.Stime.Nano()) / 1e9
}

// client talks to the server in a tenant; "" is the key's own.
func (s *server) client(tenant string) (*client.Client, error) {
	return client.New(s.URL, s.Key, client.Options{Tenant: tenant})
}

// request is a call of the API in a tenant ("" is the key's own), to be timed.
func (s *server) request(ctx context.Context, method, path, tenant string) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, method, s.URL+path, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+s.Key)
	if tenant != "" {
		r.Header.Set("Liuyun-Tenant", tenant)
	}
	return r, nil
}

// uploadFile uploads a file in the key's own tenant.
func (s *server) uploadFile(ctx context.Context, path string, options *client.EncodeOptions) (client.Asset, error) {
	c, err := s.client("")
	if err != nil {
		return client.Asset{}, err
	}
	defer c.Close()
	file, err := os.Open(path)
	if err != nil {
		return client.Asset{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return client.Asset{}, err
	}
	return c.Upload(ctx, file, info.Size(), client.UploadOptions{Name: filepath.Base(path), Options: options})
}

// askEvery is how often a server is asked whether an asset has come to its end:
// seldom, because answering costs what is measured.
const askEvery = time.Second

// await waits until an asset is ready, or failed when that is what is wanted.
func (s *server) await(ctx context.Context, id string, wanted client.Status) (client.Asset, error) {
	c, err := s.client("")
	if err != nil {
		return client.Asset{}, err
	}
	defer c.Close()
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		asset, err := c.Assets.Get(ctx, id)
		switch {
		case err != nil:
			return asset, err
		case asset.Status == wanted:
			return asset, nil
		case asset.Status.Ended():
			return asset, fmt.Errorf("asset %s is %s, not %s: %v\n%s", id, asset.Status, wanted, asset.Failure, s.log)
		}
		select {
		case <-ctx.Done():
			return asset, ctx.Err()
		case <-tick.C:
		}
	}
}

// report is what the data folder of a server has of how an asset was made.
func (s *server) report(asset string) (r report, err error) {
	paths, err := filepath.Glob(filepath.Join(s.data, "blob", "assets", asset, "*", "report.json"))
	if err != nil {
		return r, err
	}
	if len(paths) != 1 {
		return r, fmt.Errorf("asset %s has %d reports", asset, len(paths))
	}
	text, err := os.ReadFile(paths[0])
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(text, &r)
}

// freePorts are so many ports of 127.0.0.1 that nobody has now, all different, for
// programs that cannot tell which one they got.
func freePorts(n int) (addresses []string, err error) {
	for range n {
		socket, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer socket.Close()
		addresses = append(addresses, socket.Addr().String())
	}
	return addresses, nil
}

// freshData is a new data folder; the caller removes its parent.
func (b *bench) freshData() (string, error) {
	folder, err := b.folder()
	return filepath.Join(folder, "data"), err
}

// smallClip is a few seconds of a test picture and a tone, made by ffmpeg alone.
func (b *bench) smallClip(ctx context.Context) (string, error) {
	return b.cached(ctx, "small.mp4", nil, []string{
		"-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25:duration=6", "-f", "lavfi", "-i", "sine=frequency=330:sample_rate=48000:duration=6",
		"-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-c:a", "aac", "-shortest",
	})
}

// errOnPurpose ends what a benchmark began only to leave it unfinished.
var errOnPurpose = errors.New("left unfinished on purpose")
