package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"liuyun/internal/base/fault"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/kit/blob"
	"liuyun/internal/kit/proc"
)

// Verdict is how a check went.
type Verdict string

// The verdicts.
const (
	Fine Verdict = "ok"
	Warn Verdict = "warn" // works, but not as well as it could
	Bad  Verdict = "bad"  // will not work
)

// Finding is what one check of [Doctor] found.
type Finding struct {
	Check   string  `json:"check"`
	Verdict Verdict `json:"verdict"`
	Found   string  `json:"found"`            // what is there, or what is wrong
	Advice  string  `json:"advice,omitempty"` // what to do
}

// DoctorOptions say what the server would be started with.
type DoctorOptions struct {
	FFmpeg ffmpeg.Config
	Blob   blob.Config
	Data   string // the data folder; it need not be there yet
	Listen string // address of API and console
}

// Doctor looks whether the server can work on this machine, without changing
// anything: it only writes a file beside the data and removes it. The findings are
// always in the same order.
func Doctor(ctx context.Context, o DoctorOptions) []Finding {
	var findings []Finding
	checks := []struct {
		name string
		run  func(context.Context, DoctorOptions) Finding
	}{
		{"ffmpeg", checkFFmpeg}, {"data folder", checkData}, {"disk space", checkSpace}, {"address", checkAddress}, {"clock", checkClock},
		{"open files", checkOpenFiles}, {"memory", checkMemory}, {"sandbox", checkSandbox},
	}
	for _, c := range checks {
		finding := c.run(ctx, o)
		finding.Check = c.name
		findings = append(findings, finding)
	}
	return findings
}

// checkFFmpeg looks for a version that is new enough and for the encoders.
func checkFFmpeg(ctx context.Context, o DoctorOptions) Finding {
	tools, err := ffmpeg.Find(ctx, o.FFmpeg)
	if err != nil {
		return Finding{Verdict: Bad, Found: fault.Message(err), Advice: "install ffmpeg 5.1 or later (Debian: apt install ffmpeg), or set ffmpeg.ffmpeg_path"}
	}
	found := "version " + tools.Version.String()
	for _, encoder := range []string{ffmpeg.EncoderFor("h264"), "aac"} {
		if !tools.HasEncoder(encoder) {
			return Finding{Verdict: Bad, Found: found + " lacks the encoder " + encoder, Advice: "install an ffmpeg that was built with it; Debian's has it"}
		}
	}
	var lacks []string
	for _, codec := range []string{"hevc", "av1"} {
		if encoder := ffmpeg.EncoderFor(codec); !tools.HasEncoder(encoder) {
			lacks = append(lacks, codec+" ("+encoder+")")
		}
	}
	if !tools.HasFilter("zscale") {
		lacks = append(lacks, "HDR to SDR (zscale)")
	}
	if len(lacks) > 0 {
		return Finding{Verdict: Warn, Found: found + " cannot do " + strings.Join(lacks, ", "), Advice: "install a fuller ffmpeg if you need these"}
	}
	return Finding{Verdict: Fine, Found: found + " with H.264, H.265, AV1 and AAC"}
}

// present is the data folder, or the nearest folder above it that is there.
func present(folder string) (string, error) {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return "", err
	}
	for {
		info, err := os.Stat(folder)
		if err == nil && !info.IsDir() {
			return "", fmt.Errorf("%s is not a folder", folder)
		}
		if err == nil {
			return folder, nil
		}
		if !errors.Is(err, os.ErrNotExist) || folder == filepath.Dir(folder) {
			return "", err
		}
		folder = filepath.Dir(folder)
	}
}

// The kinds of file systems that do not keep data well, as statfs names them.
var unfitFileSystems = map[int64]string{
	unix.TMPFS_MAGIC:      "lies in memory and is lost when the machine stops",
	unix.NFS_SUPER_MAGIC:  "lies on NFS, where records can be damaged",
	unix.SMB2_SUPER_MAGIC: "lies on a Windows share, where records can be damaged",
}

// checkData writes durably beside the data, and looks who may read them.
func checkData(_ context.Context, o DoctorOptions) Finding {
	folder, err := present(o.Data)
	if err != nil {
		return Finding{Verdict: Bad, Found: err.Error(), Advice: "choose another folder with --data"}
	}
	took, err := writeDurably(folder)
	if err != nil {
		return Finding{Verdict: Bad, Found: fmt.Sprintf("%s cannot be written: %v", folder, err), Advice: "give this user the right to write there, or choose another folder with --data"}
	}
	var s unix.Statfs_t
	if err := unix.Statfs(folder, &s); err == nil {
		if why := unfitFileSystems[int64(s.Type)]; why != "" {
			return Finding{Verdict: Warn, Found: folder + " " + why, Advice: "choose a folder on a local disk with --data"}
		}
	}
	info, err := os.Stat(o.Data)
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		return Finding{Verdict: Warn, Found: fmt.Sprintf("%s can be read by other users (%v)", o.Data, info.Mode().Perm()), Advice: "chmod 700 " + o.Data}
	}
	if took > 100*time.Millisecond {
		return Finding{Verdict: Warn, Found: fmt.Sprintf("a durable write in %s took %v", folder, took.Round(time.Millisecond)), Advice: "a faster disk makes every change quicker"}
	}
	found := fmt.Sprintf("%s can be written; a durable write took %v", folder, took.Round(10*time.Microsecond))
	if err != nil {
		found = o.Data + " is not there yet and can be made"
	}
	return Finding{Verdict: Fine, Found: found}
}

// writeDurably writes a small file, syncs it and reads it back.
func writeDurably(folder string) (took time.Duration, err error) {
	want := []byte("liuyun doctor")
	file, err := os.CreateTemp(folder, ".doctor-*")
	if err != nil {
		return 0, err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	began := time.Now()
	if _, err := file.Write(want); err != nil {
		return 0, err
	}
	if err := file.Sync(); err != nil {
		return 0, err
	}
	took = time.Since(began)
	got, err := os.ReadFile(file.Name())
	if err == nil && !bytes.Equal(got, want) {
		err = errors.New("the disk gives back other bytes than were written")
	}
	return took, err
}

// checkSpace compares the free space with the reserve.
func checkSpace(_ context.Context, o DoctorOptions) Finding {
	folder, err := present(o.Data)
	if err != nil {
		return Finding{Verdict: Bad, Found: err.Error(), Advice: "choose another folder with --data"}
	}
	reserve := o.Blob.Reserve(folder)
	if err := reserve.CheckRoom(0); err != nil {
		return Finding{Verdict: Bad, Found: fault.Message(err), Advice: "jobs wait until there is room"}
	}
	var s unix.Statfs_t
	if err := unix.Statfs(folder, &s); err != nil {
		return Finding{Verdict: Bad, Found: err.Error(), Advice: "look at the disk"}
	}
	free := int64(s.Bavail) * s.Bsize
	found := gigabytes(free) + " free in " + folder
	if reserve.CheckRoom(10<<30) != nil {
		return Finding{Verdict: Warn, Found: found, Advice: "an hour of video takes about 5 GB; give it more room soon"}
	}
	return Finding{Verdict: Fine, Found: found}
}

func gigabytes(n int64) string { return strconv.FormatFloat(float64(n)/1e9, 'f', 1, 64) + " GB" }

// checkAddress looks whether the server could listen, or does already.
func checkAddress(ctx context.Context, o DoctorOptions) Finding {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.Listen)
	if err == nil {
		listener.Close()
		return Finding{Verdict: Fine, Found: o.Listen + " is free"}
	}
	switch {
	case errors.Is(err, unix.EADDRINUSE) && answers(ctx, o.Listen):
		return Finding{Verdict: Fine, Found: "a server answers at " + o.Listen + " already"}
	case errors.Is(err, unix.EADDRINUSE):
		return Finding{Verdict: Bad, Found: "another program listens at " + o.Listen, Advice: "stop it, or choose another address with --listen"}
	case errors.Is(err, unix.EACCES):
		return Finding{Verdict: Bad, Found: "this user may not listen at " + o.Listen, Advice: "choose a port from 1024 on, or run: setcap cap_net_bind_service=+ep on the program"}
	}
	return Finding{Verdict: Bad, Found: err.Error(), Advice: "choose an address of this machine with --listen"}
}

// answers reports whether what listens there is healthy in our words.
func answers(ctx context.Context, address string) bool {
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/healthz", nil)
	if err != nil {
		return false
	}
	answer, err := client.Do(r)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<10))
	return answer.StatusCode == http.StatusOK
}

// checkClock asks the kernel whether something keeps its clock right. A node whose
// clock is wrong is put aside.
func checkClock(context.Context, DoctorOptions) Finding {
	var state unix.Timex
	status, err := unix.Adjtimex(&state)
	switch {
	case err != nil:
		return Finding{Verdict: Warn, Found: "the kernel does not say whether the clock is right: " + err.Error(), Advice: "make sure that NTP runs on the machine"}
	case time.Now().Year() < 2026:
		return Finding{Verdict: Bad, Found: "the clock says " + time.Now().Format(time.DateOnly), Advice: "set it, and let NTP keep it (Debian: apt install systemd-timesyncd)"}
	case status == unix.TIME_ERROR || state.Status&unix.STA_UNSYNC != 0:
		return Finding{Verdict: Warn, Found: "nothing keeps the clock right", Advice: "let NTP keep it (Debian: apt install systemd-timesyncd); nodes whose clocks differ by 5 s are put aside"}
	}
	return Finding{Verdict: Fine, Found: "kept right by NTP"}
}

// fewFiles is how many open files a busy server may need: each connection and each
// object that is read is one.
const fewFiles = 8192

func checkOpenFiles(context.Context, DoctorOptions) Finding {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return Finding{Verdict: Warn, Found: err.Error(), Advice: "look at ulimit -n"}
	}
	// The Go runtime raises the soft limit to the hard one.
	found := strconv.FormatUint(limit.Max, 10) + " at once"
	if limit.Max < fewFiles {
		return Finding{Verdict: Warn, Found: found, Advice: fmt.Sprintf("allow %d: LimitNOFILE= in the systemd unit, or ulimit -Hn", fewFiles)}
	}
	return Finding{Verdict: Fine, Found: found}
}

// checkMemory compares the memory with what an encode of 2160p takes.
func checkMemory(context.Context, DoctorOptions) Finding {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return Finding{Verdict: Warn, Found: err.Error(), Advice: "look at free -m"}
	}
	total := int64(info.Totalram) * int64(info.Unit)
	if text, err := os.ReadFile("/sys/fs/cgroup/memory.max"); err == nil {
		if limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil {
			total = min(total, limit) // of this container
		}
	}
	switch found := gigabytes(total); {
	case total < 900e6:
		return Finding{Verdict: Bad, Found: found, Advice: "encoding needs 1 GB at least, 4 GB for 2160p"}
	case total < 3.9e9:
		return Finding{Verdict: Warn, Found: found, Advice: "enough for 1080p; sources of 2160p need 4 GB"}
	default:
		return Finding{Verdict: Fine, Found: found}
	}
}

func checkSandbox(context.Context, DoctorOptions) Finding {
	if kind := proc.Sandbox(); kind != "none" {
		return Finding{Verdict: Fine, Found: kind}
	}
	return Finding{Verdict: Warn, Found: "the kernel has no Landlock: ffmpeg can read every file that this user can",
		Advice: "use Linux 5.13 or later with Landlock on, or let the server run as a user of its own"}
}
