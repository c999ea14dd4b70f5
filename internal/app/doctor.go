package app

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"liuyun/internal/base/fault"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/engine/quality"
	"liuyun/internal/kit/blob"
	"liuyun/internal/kit/proc"
	"liuyun/internal/kit/store"
	"liuyun/internal/video/live"
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

	taken bool // another program has the port
}

// DoctorOptions say what the server would be started with.
type DoctorOptions struct {
	Config Config
	Data   string   // the data folder; it need not be there yet
	Listen string   // address of API and console
	Roles  []string // of Roles(); empty is DefaultRoles
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
		{"ffmpeg", checkFFmpeg}, {"codecs", checkCodecs}, {"quality", checkQuality}, {"hardware", checkHardware}, {"worker", checkWorker}, {"data folder", checkData}, {"disk space", checkSpace},
		{"records", checkRecords}, {"media", checkMedia}, {"address", checkAddress}, {"other ports", checkPorts}, {"clock", checkClock},
		{"open files", checkOpenFiles}, {"memory", checkMemory}, {"sandbox", checkSandbox},
	}
	for _, c := range checks {
		finding := c.run(ctx, o)
		finding.Check = c.name
		findings = append(findings, finding)
	}
	return findings
}

// checkFFmpeg looks for a version that is new enough.
func checkFFmpeg(ctx context.Context, o DoctorOptions) Finding {
	tools, err := ffmpeg.Find(ctx, o.Config.FFmpeg)
	if err != nil {
		return Finding{Verdict: Bad, Found: fault.Message(err), Advice: "install ffmpeg 5.1 or later (Debian: apt install ffmpeg), or set ffmpeg.ffmpeg_path"}
	}
	return Finding{Verdict: Fine, Found: "version " + tools.Version.String()}
}

// usualSources are the codecs that cameras, phones, editors and broadcasters deliver.
func usualSources() []string {
	return []string{"h264", "hevc", "av1", "vp8", "vp9", "mpeg2video", "mpeg4", "mjpeg", "prores", "dnxhd", "aac", "mp3", "ac3", "opus", "flac", "pcm_s16le"}
}

// checkCodecs looks for the encoders and for what decodes the usual sources.
func checkCodecs(ctx context.Context, o DoctorOptions) Finding {
	const fuller = "install an ffmpeg that was built with it; Debian's has it"
	tools, err := ffmpeg.Find(ctx, o.Config.FFmpeg)
	if err != nil {
		return Finding{Verdict: Bad, Found: "there is no ffmpeg to ask", Advice: "see ffmpeg"}
	}
	for _, encoder := range []string{ffmpeg.EncoderFor("h264"), "aac"} {
		if !tools.HasEncoder(encoder) {
			return Finding{Verdict: Bad, Found: "no encoder " + encoder, Advice: fuller}
		}
	}
	var lacks []string
	for _, codec := range []string{"hevc", "av1"} {
		if encoder := ffmpeg.EncoderFor(codec); !tools.HasEncoder(encoder) {
			lacks = append(lacks, "encode "+codec+" ("+encoder+")")
		}
	}
	if !tools.HasFilter("zscale") {
		lacks = append(lacks, "make SDR of HDR (zscale)")
	}
	for _, codec := range usualSources() {
		if !tools.CanDecode(codec) {
			lacks = append(lacks, "decode "+codec)
		}
	}
	if len(lacks) > 0 {
		return Finding{Verdict: Warn, Found: "cannot " + strings.Join(lacks, ", "), Advice: "install a fuller ffmpeg if you need these"}
	}
	return Finding{Verdict: Fine, Found: "makes H.264, H.265, AV1 and AAC, reads all usual sources"}
}

// checkQuality says what scores encodes, and whether the configured models can be
// used.
func checkQuality(ctx context.Context, o DoctorOptions) Finding {
	tools, err := ffmpeg.Find(ctx, o.Config.FFmpeg)
	if err != nil {
		return Finding{Verdict: Bad, Found: "there is no ffmpeg to decode with", Advice: "see ffmpeg"}
	}
	comparer, models := quality.New(tools), o.Config.Quality.Models()
	if err := comparer.Check(models); err != nil {
		return Finding{Verdict: Bad, Found: fault.Message(err), Advice: "set quality.model to a model file such as vmaf_v0.6.1.json, or to nothing"}
	}
	scorer := comparer.Providers(len(models))[0]
	if len(models) == 0 {
		return Finding{Verdict: Fine, Found: fmt.Sprintf("%s; no VMAF model is configured", scorer)}
	}
	return Finding{Verdict: Fine, Found: fmt.Sprintf("VMAF by %s", scorer)}
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
	reserve := o.Config.Blob.Reserve(folder)
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

// answerTime bounds how long a database or an object store may take to answer.
const answerTime = 15 * time.Second

// checkRecords asks a PostgreSQL. SQLite is in the data folder and opened by nobody
// but the server.
func checkRecords(ctx context.Context, o DoctorOptions) Finding {
	if o.Config.Store.URL == "" {
		return Finding{Verdict: Fine, Found: "SQLite in the data folder"}
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	db, err := store.Open(ctx, "", o.Config.Store, slog.New(slog.DiscardHandler))
	if err != nil {
		return Finding{Verdict: Bad, Found: "PostgreSQL: " + fault.Message(err), Advice: "check store.url, and that the server runs and lets this machine in"}
	}
	if err := db.Close(); err != nil {
		return Finding{Verdict: Warn, Found: "PostgreSQL: " + err.Error(), Advice: "look into the log of PostgreSQL"}
	}
	return Finding{Verdict: Fine, Found: "PostgreSQL answers"}
}

// checkMedia asks an S3 server for its bucket.
func checkMedia(ctx context.Context, o DoctorOptions) Finding {
	if o.Config.Blob.URL == "" {
		return Finding{Verdict: Fine, Found: "files in the data folder"}
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	scratch, err := os.MkdirTemp("", "liuyun-doctor-")
	if err != nil {
		return Finding{Verdict: Bad, Found: err.Error(), Advice: "make room in the folder for temporary files"}
	}
	defer os.RemoveAll(scratch)
	s3, err := blob.NewS3(ctx, o.Config.Blob, scratch)
	if err != nil {
		return Finding{Verdict: Bad, Found: fault.Message(err), Advice: "check blob.url, blob.access_key and blob.secret_key"}
	}
	defer s3.Close()
	return Finding{Verdict: Fine, Found: "the bucket on S3 answers"}
}

// checkAddress looks whether the server could listen, or does already.
func checkAddress(ctx context.Context, o DoctorOptions) Finding {
	finding := checkListen(ctx, o.Listen, "--listen")
	if finding.Verdict != Fine && answers(ctx, o.Listen) {
		return Finding{Verdict: Fine, Found: "a server answers at " + o.Listen + " already"}
	}
	return finding
}

// checkPorts looks at the ports for other machines and for live streams, where the server
// would open them.
func checkPorts(ctx context.Context, o DoctorOptions) Finding {
	n := serving{ServeOptions: ServeOptions{Config: o.Config, Listen: o.Listen, Roles: o.Roles}}
	if err := checkRoles(o.Roles); err != nil {
		return Finding{Verdict: Bad, Found: fault.Message(err), Advice: "choose other --roles"}
	}
	nodes, bus, err := n.nodeAddresses()
	if err != nil {
		return Finding{Verdict: Bad, Found: fault.Message(err), Advice: "choose another address with --listen"}
	}
	var free []string
	var unused Finding // the first of a protocol that serve would go on without
	for _, port := range slices.Concat([]port{
		{address: nodes, setting: "node.listen", tcp: true}, {address: bus, setting: "bus.listen", tcp: true},
		{address: o.Config.Bus.Cluster.Listen, setting: "bus.cluster_listen", tcp: true},
	}, n.mediaPorts()) {
		if port.address == "" {
			continue
		}
		finding := port.check(ctx)
		switch {
		case finding.Verdict == Fine:
			free = append(free, port.address)
		case answers(ctx, o.Listen):
			return Finding{Verdict: Fine, Found: "the server that answers at " + o.Listen + " has them"}
		case finding.Verdict == Bad:
			return finding
		case unused.Found == "":
			unused = finding
		}
	}
	switch {
	case unused.Found != "":
		return unused
	case len(free) == 0:
		return Finding{Verdict: Fine, Found: "none: only this machine can reach " + o.Listen}
	}
	return Finding{Verdict: Fine, Found: strings.Join(slices.Compact(free), ", ") + ": free"}
}

// port is one beside that of API and console.
type port struct {
	address, setting string
	tcp, udp         bool
	optional         bool // serve goes on without it where another program has it
}

// mediaPorts are those that [serving.addLive] opens.
func (n *serving) mediaPorts() []port {
	if len(n.Roles) > 0 && !slices.Contains(n.Roles, RoleLive) {
		return nil
	}
	of := func(l live.Listener, setting string, tcp, udp bool) port {
		return port{address: l.Address, setting: setting, tcp: tcp, udp: udp, optional: l.Optional}
	}
	on := n.mediaListeners()
	return []port{
		of(on.RTMP, "live.rtmp_listen", true, false), of(on.RTMPS, "live.rtmps_listen", true, false),
		of(on.RTSP, "live.rtsp_listen", true, false), of(on.SRT, "live.srt_listen", false, true),
		of(on.WebRTC, "live.webrtc_listen", true, true),
		{address: n.Config.Live.TURNListen, setting: "live.turn_listen", tcp: true, udp: true},
	}
}

// check looks whether it can be opened.
func (p port) check(ctx context.Context) Finding {
	option := "--set " + p.setting + "=…"
	finding := Finding{Verdict: Fine}
	if p.tcp {
		finding = checkListen(ctx, p.address, option)
	}
	if p.udp && finding.Verdict == Fine {
		finding = checkPacket(ctx, p.address, option)
	}
	if p.optional && finding.taken {
		finding.Verdict = Warn
	}
	return finding
}

// checkListen looks whether an address can be listened at.
func checkListen(ctx context.Context, address, option string) Finding {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err == nil {
		listener.Close()
	}
	return listenFinding(err, address, option)
}

// checkPacket is checkListen for UDP.
func checkPacket(ctx context.Context, address, option string) Finding {
	socket, err := (&net.ListenConfig{}).ListenPacket(ctx, "udp", address)
	if err == nil {
		socket.Close()
	}
	return listenFinding(err, address+" (UDP)", option)
}

// listenFinding says what came of an attempt to listen.
func listenFinding(err error, address, option string) Finding {
	switch {
	case err == nil:
		return Finding{Verdict: Fine, Found: address + " is free"}
	case errors.Is(err, unix.EADDRINUSE):
		return Finding{taken: true, Verdict: Bad, Found: "another program listens at " + address, Advice: "stop it, or choose another address with " + option}
	case errors.Is(err, unix.EACCES):
		return Finding{Verdict: Bad, Found: "this user may not listen at " + address, Advice: "choose a port from 1024 on, or run: setcap cap_net_bind_service=+ep on the program"}
	}
	return Finding{Verdict: Bad, Found: err.Error(), Advice: "choose an address of this machine with " + option}
}

// answers reports whether what listens there is healthy in our words, with TLS or
// without. Whose certificate it is does not matter: nothing is told to it.
func answers(ctx context.Context, address string) bool {
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	return healthy(ctx, client, "http://"+address) || healthy(ctx, client, "https://"+address)
}

func healthy(ctx context.Context, client *http.Client, url string) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/healthz", nil)
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
