package ffmpeg

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"liuyun/internal/base/fault"
)

// Version is a release of ffmpeg. Builds from a branch between releases carry
// the numbers of the release before.
type Version struct {
	Major, Minor int
	Text         string // as printed: "5.1.9-0+deb12u1"
}

// String returns the version as ffmpeg prints it.
func (v Version) String() string { return v.Text }

// AtLeast reports whether v is major.minor or later.
func (v Version) AtLeast(major, minor int) bool {
	return v.Major > major || v.Major == major && v.Minor >= minor
}

// supportedVersion reads the output of -version and refuses what is too old.
func supportedVersion(tool string, text []byte) (Version, error) {
	v, err := parseVersion(text)
	if err != nil {
		return Version{}, fault.Wrap(err, fault.Unavailable, "%s does not say its version: install ffmpeg 5.1 or later", tool)
	}
	if !v.AtLeast(5, 1) {
		return Version{}, fault.New(fault.Unavailable,
			"%s %s is too old: install ffmpeg 5.1 or later (Debian 12, Ubuntu 24.04 and later have it)", tool, v)
	}
	return v, nil
}

// parseVersion reads the first line of -version, and for builds that are named
// by date or commit libavutil's version, which every build prints.
func parseVersion(text []byte) (Version, error) {
	first, _, _ := bytes.Cut(text, []byte("\n"))
	fields := strings.Fields(string(first))
	if len(fields) < 3 || fields[1] != "version" {
		return Version{}, fmt.Errorf("first line %q", first)
	}
	v := Version{Text: fields[2]}
	release := regexp.MustCompile(`^n?(\d{1,3})\.(\d{1,3})(?:[.\-+~]|$)`)
	if m := release.FindStringSubmatch(v.Text); m != nil {
		v.Major, _ = strconv.Atoi(m[1])
		v.Minor, _ = strconv.Atoi(m[2])
		return v, nil
	}
	avutil := regexp.MustCompile(`(?m)^libavutil\s+(\d{1,3})\.\s*(\d{1,3})\.`)
	m := avutil.FindSubmatch(text)
	if m == nil {
		return Version{}, fmt.Errorf("no libavutil beside %q", v.Text)
	}
	major, _ := strconv.Atoi(string(m[1]))
	minor, _ := strconv.Atoi(string(m[2]))
	// libavutil 57 came with release 5.0; its minor 28 with 5.1.
	v.Major = major - 52
	if v.Major == 5 && minor >= 28 {
		v.Minor = 1
	}
	return v, nil
}

// identify sets the class and the libraries that it stands on, which are among
// those of the loader's list.
func (t *Tools) identify(versionText, loaderList []byte) error {
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\n%s\n", runtime.GOARCH, versionText)
	for _, path := range append([]string{t.ffmpeg}, codecLibraries(loaderList)...) {
		real, err := filepath.EvalSymlinks(path)
		if err != nil {
			return fmt.Errorf("identify ffmpeg: %w", err)
		}
		id, err := buildID(real)
		if err != nil {
			return fmt.Errorf("identify ffmpeg: %w", err)
		}
		name := filepath.Base(real)
		if path != t.ffmpeg {
			t.Libraries = append(t.Libraries, name)
		}
		fmt.Fprintf(sum, "%s %s\n", name, id)
	}
	t.Class = fmt.Sprintf("%s-ffmpeg-%s-%s", runtime.GOARCH, plain(t.Version.Text), hex.EncodeToString(sum.Sum(nil)[:6]))
	return nil
}

// codecLibraries picks from the loader's list ("name => path (address)") the
// libraries whose build can change a decoded or encoded byte, in order.
func codecLibraries(loaderList []byte) []string {
	counts := regexp.MustCompile(`^(libav(codec|filter|format|util)|libsw(scale|resample)|libx26[45]|` +
		`libSvtAv1\w*|libaom|librav1e|libdav1d|libvpx|libopus|libmp3lame|libzimg|libplacebo|libass|libm)\.so`)
	var paths []string
	for line := range bytes.Lines(loaderList) {
		f := strings.Fields(string(line))
		if len(f) >= 3 && f[1] == "=>" && counts.MatchString(f[0]) && filepath.IsAbs(f[2]) {
			paths = append(paths, f[2])
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// buildID returns an ELF file's build id (a hash over its content, made by the
// linker), or the hash of the file where there is none.
func buildID(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if e, err := elf.NewFile(f); err == nil {
		if s := e.Section(".note.gnu.build-id"); s != nil && s.Size < 1<<10 {
			if note, err := s.Data(); err == nil && len(note) > 16 {
				return hex.EncodeToString(note[16:]), nil // after the note's header and "GNU"
			}
		}
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", fmt.Errorf("hash %s: %w", path, err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// plain keeps what is safe in a file name.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= '0' && r <= '9', r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r == '.', r == '+', r == '_':
			return r
		}
		return '-'
	}, s)
}
