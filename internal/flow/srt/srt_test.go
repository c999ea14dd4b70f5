package srt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	gosrt "github.com/datarhei/gosrt"

	"liuyun/internal/base/fault"
	"liuyun/internal/testkit"
)

func TestParseStreamID(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]request{
		"publish:lys_a":                          {publish: true, name: "lys_a"},
		"publish:lys_a:backup":                   {publish: true, name: "lys_a", backup: true},
		"read:str_1":                             {name: "str_1"},
		"read:str_1:tok.en":                      {name: "str_1", token: "tok.en"},
		"#!::m=publish,r=lys_a":                  {publish: true, name: "lys_a"},
		"#!::r=lys_a,m=publish,backup=1,u=cam":   {publish: true, name: "lys_a", backup: true},
		"#!::r=str_1,m=request,token=x,t=stream": {name: "str_1", token: "x"},
		"#!::r=str_1":                            {name: "str_1"},
	} {
		got, err := parseStreamID(id)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", id, got, err)
		}
	}
	for _, id := range []string{"", "publish", "publish:", "publish:a:b", "read:", "a:b", "#!::", "#!::m=publish", "#!::m=bidirectional,r=a", "#!::r=a,t=file", "#!{"} {
		if got, err := parseStreamID(id); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%q: %+v, %v", id, got, err)
		}
	}
}

func FuzzParseStreamID(f *testing.F) {
	f.Add("publish:lys_a:backup")
	f.Add("#!::m=request,r=str_1,token=x")
	f.Fuzz(func(t *testing.T, id string) {
		r, err := parseStreamID(id)
		if err == nil && (r.name == "" || !strings.Contains(id, r.name) || !strings.Contains(id, r.token)) {
			t.Errorf("%q: %+v", id, r)
		}
	})
}

func TestCheckAddress(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"srt://a:1", "srt://[::1]:9?streamid=%23!::r=x&passphrase=0123456789&latency=500", "srt://a:1?mode=caller"} {
		if err := CheckAddress(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "srt://a", "rtmp://a:1", "srt://a:1?latency=x", "srt://a:1?latency=-1", "srt://a:1?latency=99999", "srt://a:1?passphrase=short",
		"srt://a:1?mode=listener", "srt://a:1?streamid=#!::r=x", "srt://a:1?streamid=" + strings.Repeat("x", 600)} {
		if err := CheckAddress(bad); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// A port that another program has is said to be taken, though gosrt would share it.
func TestPortIsTaken(t *testing.T) {
	t.Parallel()
	l, err := Listen("localhost:0", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := Listen(l.Addr().String(), 0); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("got %v", err)
	}
}

// ffmpeg sends, and is told apart from the next: what it sends can be read by ffmpeg.
func TestFFmpeg(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		publish, read, passphrase string
	}{
		"plain":     {"publish:lys_key", "read:str_1:good", ""},
		"formal":    {"#!::m=publish,r=lys_key", "#!::m=request,r=str_1,token=good", ""},
		"encrypted": {"publish:lys_key", "read:str_1:good", "a secret of more"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk()
			address := start(t, d, tt.passphrase, 120*time.Millisecond)
			options := []string{"-srt_streamid", tt.publish}
			if tt.passphrase != "" {
				options = append(options, "-passphrase", tt.passphrase, "-pbkeylen", "32")
			}
			args := film(t, "60", append(options, "-f", "mpegts", "srt://"+address)...)
			run(t, args[0], args[1:]...)
			testkit.Until(t, 2*time.Minute, "sending", func() bool { pictures, sounds, _, _ := sent(d); return pictures > 10 && sounds > 10 })
			from := d.On().From
			if from.Protocol != "srt" || from.Remote == "" || from.Backup {
				t.Errorf("%+v", from)
			}
			path := filepath.Join(t.TempDir(), "read.ts")
			options[1] = tt.read
			reader := run(t, testkit.FFmpeg(t), slices.Concat([]string{"-v", "error", "-nostdin"}, options, []string{"-i", "srt://" + address, "-t", "4", "-c", "copy", "-f", "mpegts", "-y", path})...)
			<-reader.done
			if count := countPictures(t, path); count < 90 || count > 110 {
				t.Errorf("%d pictures were read in four seconds", count)
			}
			if quality := from.Quality(); quality.Loss != 0 || quality.RTT < 0 || quality.RTT > 5*time.Second {
				t.Errorf("%+v", quality)
			}
			from.Kick("that is enough")
			testkit.Until(t, 2*time.Minute, "the end", func() bool { _, _, came, gone := sent(d); return came == 1 && gone == 1 })
		})
	}
}

// countPictures counts those that ffmpeg decodes from a file, without a complaint.
func countPictures(t *testing.T, path string) int {
	t.Helper()
	p := run(t, testkit.FFmpeg(t), "-v", "error", "-nostdin", "-i", path, "-map", "v", "-fps_mode", "passthrough", "-f", "framemd5", "-")
	<-p.done
	count := 0
	for line := range strings.Lines(p.output()) {
		switch {
		case strings.HasPrefix(line, "0,"):
			count++
		case !strings.HasPrefix(line, "#"):
			t.Errorf("%s: %s", filepath.Base(path), line)
		}
	}
	return count
}

// Who may not come in is told why by a code. The protocol's own program has words for
// those of the handshake alone.
func TestRefusals(t *testing.T) {
	t.Parallel()
	peer := testkit.Program(t, "srt-live-transmit")
	open, locked := newDesk(), newDesk()
	address, secret := start(t, open, "", 0), start(t, locked, "the right secret", 0)
	args := film(t, "600", "-f", "mpegts", "srt://"+address+"?streamid=publish:lys_key")
	run(t, args[0], args[1:]...)
	testkit.Until(t, 2*time.Minute, "sending", func() bool { pictures, _, _, _ := sent(open); return pictures > 0 })
	for name, tt := range map[string]struct {
		address, id, passphrase string
		code                    gosrt.RejectionReason
		words                   string
	}{
		"wrong key":       {address, "publish:lys_other", "", gosrt.REJX_FORBIDDEN, ""},
		"taken":           {address, "publish:lys_key", "", gosrt.REJX_CONFLICT, ""},
		"no such":         {address, "read:str_2", "", gosrt.REJX_NOTFOUND, ""},
		"no token":        {address, "read:str_1:bad", "", gosrt.REJX_FORBIDDEN, ""},
		"nonsense":        {address, "nonsense", "", gosrt.REJX_BAD_REQUEST, ""},
		"not encrypted":   {secret, "publish:lys_key", "", gosrt.REJ_UNSECURE, "Password required or unexpected"},
		"another secret":  {secret, "publish:lys_key", "another_secret", gosrt.REJ_BADSECRET, "Incorrect passphrase"},
		"needs no secret": {address, "publish:lys_key", "another_secret", gosrt.REJ_UNSECURE, "Password required or unexpected"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := config(0)
			c.StreamId, c.Passphrase, c.Logger = tt.id, tt.passphrase, farewell{}
			conn, err := gosrt.Dial("srt", tt.address, c)
			if err == nil {
				conn.Close()
			}
			if want := "REJECT (" + strconv.FormatUint(uint64(tt.code), 32) + ")"; err == nil || !strings.HasSuffix(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
			query := "?streamid=" + tt.id
			if tt.passphrase != "" {
				query += "&passphrase=" + tt.passphrase
			}
			p := run(t, peer, "-v", "-loglevel:note", "srt://"+tt.address+query, "file://con")
			testkit.Until(t, 2*time.Minute, "a refusal", func() bool { return strings.Contains(p.output(), "REJECT reported from HS processing: "+tt.words) })
		})
	}
	t.Cleanup(func() {
		if _, _, came, _ := sent(locked); came != 0 {
			t.Errorf("%d came in without the secret", came)
		}
	})
}

// The protocol's own program sends and reads.
func TestSRTLiveTransmit(t *testing.T) {
	t.Parallel()
	peer := testkit.Program(t, "srt-live-transmit")
	d := newDesk()
	address := start(t, d, "", 120*time.Millisecond)
	port := freePort(t)
	run(t, peer, "-loglevel:error", fmt.Sprintf("udp://127.0.0.1:%d", port), "srt://"+address+"?streamid=publish:lys_key")
	args := film(t, "60", "-f", "mpegts", fmt.Sprintf("udp://127.0.0.1:%d?pkt_size=1316", port))
	run(t, args[0], args[1:]...)
	testkit.Until(t, 2*time.Minute, "sending", func() bool { pictures, sounds, _, _ := sent(d); return pictures > 50 && sounds > 50 })
	reader := run(t, peer, "-loglevel:error", "srt://"+address+"?streamid=read:str_1", "file://con")
	testkit.Until(t, 2*time.Minute, "reading", func() bool { return len(reader.output()) > 100_000 })
}

// freePort is one that nobody has now.
func freePort(t *testing.T) int {
	t.Helper()
	probe, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer probe.Close()
	return probe.LocalAddr().(*net.UDPAddr).Port
}

// A pull takes a stream from another server, here ffmpeg's, and says why it cannot.
func TestPull(t *testing.T) {
	t.Parallel()
	d := newDesk()
	port := freePort(t)
	args := film(t, "8", "-f", "mpegts", fmt.Sprintf("srt://127.0.0.1:%d?mode=listener&passphrase=a secret of more", port))
	run(t, args[0], args[1:]...)
	in, err := d.Publish(t.Context(), "lys_key", pulled())
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	p := &Puller{Dial: dialer(), Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	testkit.Until(t, 2*time.Minute, "an answer", func() bool {
		err = p.Pull(t.Context(), fmt.Sprintf("srt://127.0.0.1:%d?passphrase=a%%20secret%%20of%%20more&latency=200", port), in)
		return err == nil
	})
	if pictures, sounds, _, _ := sent(d); pictures < 150 || sounds < 300 {
		t.Errorf("%d pictures, %d frames of sound", pictures, sounds)
	}
}

func TestPullRefused(t *testing.T) {
	t.Parallel()
	d := newDesk()
	address := start(t, d, "", 0)
	p := &Puller{Dial: dialer(), Log: slog.New(slog.DiscardHandler)}
	for name, tt := range map[string]struct {
		address string
		want    fault.Code
	}{
		"not let in":  {"srt://" + address + "?streamid=read:str_1:bad", fault.Forbidden},
		"no such":     {"srt://" + address + "?streamid=read:str_2", fault.NotFound},
		"secret":      {"srt://" + address + "?streamid=read:str_1&passphrase=unexpected%20one", fault.Forbidden},
		"nobody":      {fmt.Sprintf("srt://127.0.0.1:%d", freePort(t)), fault.Unavailable},
		"no address":  {"srt://nowhere", fault.Invalid},
		"not allowed": {"srt://10.0.0.1:9", fault.Forbidden},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := *p
			if tt.want == fault.Forbidden && name == "not allowed" {
				p.Dial = func(context.Context, string, string) (net.Conn, error) {
					return nil, fault.New(fault.Forbidden, "the address is inside a private network")
				}
			}
			if err := p.Pull(t.Context(), tt.address, nil); fault.CodeOf(err) != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}
