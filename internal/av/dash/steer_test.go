package dash

import (
	"bytes"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/Eyevinn/dash-mpd/mpd"
)

func here(t testing.TB) Steering {
	t.Helper()
	self, err := url.Parse("https://a.example:8443/play/~to'ken/ast_1/manifest.mpd?a=b&c=d")
	if err != nil {
		t.Fatal(err)
	}
	return Steering{Server: "/steer/dash?node=a&content=play%2Fast_1", Self: self}
}

func TestAppendSteered(t *testing.T) {
	t.Parallel()
	film, err := os.ReadFile(filepath.Join("testdata", "film.mpd"))
	if err != nil {
		t.Fatal(err)
	}
	live := bytes.Replace(film, []byte(`type="static"`), []byte(`type="dynamic"`), 1)
	informed := bytes.Replace(film, []byte("  <Period"), []byte("  <ProgramInformation><Title>x</Title></ProgramInformation>\n  <Period"), 1)
	for name, manifest := range map[string][]byte{"a film": film, "what is live": live, "with information": informed} {
		got, err := AppendSteered([]byte("before"), manifest, here(t))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got = bytes.TrimPrefix(got, []byte("before"))
		read, err := mpd.ReadFromString(string(got))
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, got)
		}
		if b := read.BaseURL; len(b) != 1 || string(b[0].Value) != "https://a.example:8443/play/~to%27ken/ast_1/" && string(b[0].Value) != "https://a.example:8443/play/~to'ken/ast_1/" || b[0].ServiceLocation != "." {
			t.Errorf("%s: base %+v", name, b[0])
		}
		if s := read.ContentSteering; s == nil || strings.TrimSpace(string(s.Value)) != here(t).Server || s.DefaultServiceLocation != "." || s.QueryBeforeStart {
			t.Errorf("%s: steering %+v", name, s)
		}
		if l := read.Location; name == "what is live" && (len(l) != 1 || string(l[0].Value) != here(t).Self.String()) || name != "what is live" && len(l) > 0 {
			t.Errorf("%s: location %+v", name, l)
		}
		if len(read.Periods) != 1 || len(read.Periods[0].AdaptationSets) != 8 {
			t.Errorf("%s: periods are not what they were", name)
		}
		for _, line := range bytes.Split(manifest, []byte("\n")) {
			if !bytes.Contains(got, bytes.TrimSpace(line)) {
				t.Errorf("%s: %q is not there", name, line)
			}
		}
	}
}

// Others are named behind where the manifest is itself, a live one's Locations too.
func TestAppendSteeredOthers(t *testing.T) {
	t.Parallel()
	s := here(t)
	for _, other := range []string{"https://b.example:8443/play/ast_1/manifest.mpd?a=b&c=d", "https://c.example:8443/play/ast_1/manifest.mpd"} {
		u, err := url.Parse(other)
		if err != nil {
			t.Fatal(err)
		}
		s.Others = append(s.Others, Place{"nod_" + u.Hostname()[:1], u})
	}
	for _, kind := range []string{"static", "dynamic"} {
		got, err := AppendSteered(nil, []byte(`<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="`+kind+`"><Period></Period></MPD>`), s)
		if err != nil {
			t.Fatal(err)
		}
		read, err := mpd.ReadFromString(string(got))
		if err != nil {
			t.Fatalf("%v\n%s", err, got)
		}
		var bases, locations []string
		for _, b := range read.BaseURL[1:] {
			bases = append(bases, b.ServiceLocation+" "+string(b.Value))
		}
		for _, l := range read.Location {
			locations = append(locations, string(l.Value))
		}
		if want := []string{"nod_b https://b.example:8443/play/ast_1/", "nod_c https://c.example:8443/play/ast_1/"}; !slices.Equal(bases, want) {
			t.Errorf("%s: bases %q", kind, bases)
		}
		if want := []string{s.Self.String(), s.Others[0].URL.String(), s.Others[1].URL.String()}; kind == "dynamic" && !slices.Equal(locations, want) || kind == "static" && len(locations) > 0 {
			t.Errorf("%s: locations %q", kind, locations)
		}
	}
}

func TestAppendSteeredRefuses(t *testing.T) {
	t.Parallel()
	const start, end = `<MPD xmlns="urn:mpeg:dash:schema:mpd:2011">`, `<Period></Period></MPD>`
	for _, test := range []struct{ name, manifest, want string }{
		{"nothing", "", "no whole manifest"},
		{"another document", "<html><body></body></html>", "no manifest"},
		{"half of one", start, "no whole manifest"},
		{"without periods", start + "</MPD>", "no whole manifest"},
		{"two", start + end + start + end, "no manifest"},
		{"no markup", start + "<a <b></MPD>", "read manifest"},
		{"one with a base", start + "<BaseURL>x/</BaseURL>" + end, "a BaseURL of its own"},
		{"one with a location", start + "<Location>x/</Location>" + end, "a Location of its own"},
		{"a steered one", start + "<ContentSteering>x/</ContentSteering>" + end, "a ContentSteering of its own"},
		{"too long", start + strings.Repeat(" ", longestManifest) + end, "longer"},
	} {
		got, err := AppendSteered([]byte("before"), []byte(test.manifest), here(t))
		if err == nil || !strings.Contains(err.Error(), test.want) || string(got) != "before" {
			t.Errorf("%s: %q, %v", test.name, got, err)
		}
	}
	for _, s := range []Steering{{}, {Server: "/x", Self: &url.URL{Path: "/a"}}, {Server: ":", Self: here(t).Self}} {
		if _, err := AppendSteered(nil, []byte(start+end), s); err == nil {
			t.Errorf("%+v: no error", s)
		}
	}
}

func FuzzAppendSteered(f *testing.F) {
	film, err := os.ReadFile(filepath.Join("testdata", "film.mpd"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(film)
	f.Add([]byte(`<?xml version="1.0"?><!-- x --><MPD type="dynamic"><ProgramInformation/><Period/></MPD>`))
	s := here(f)
	f.Fuzz(func(t *testing.T, manifest []byte) {
		got, err := AppendSteered(nil, manifest, s)
		if err != nil {
			return
		}
		if _, err := AppendSteered(nil, got, s); err == nil || !strings.Contains(err.Error(), "of its own") {
			t.Fatalf("%q became %q: %v", manifest, got, err)
		}
		rest := got
		for _, name := range []string{"BaseURL", "Location", "ContentSteering"} {
			before, after, found := bytes.Cut(rest, []byte("<"+name+" "))
			if !found {
				continue
			}
			_, after, _ = bytes.Cut(after, []byte("</"+name+">\n"))
			rest = append(bytes.Clone(before), after...)
		}
		if !bytes.Contains(manifest, []byte("<BaseURL ")) && !bytes.Contains(manifest, []byte("<Location ")) && !bytes.Contains(manifest, []byte("<ContentSteering ")) && !bytes.Equal(rest, manifest) {
			t.Fatalf("%q became %q", manifest, got)
		}
	})
}
