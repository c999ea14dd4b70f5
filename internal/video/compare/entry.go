package compare

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/encode"
)

// Entry is one file to compare. Close it after use.
type Entry struct {
	File  *os.File // regular, with something in it
	Name  string   // for people
	Group string   // the folder that it was found in; "" for a file by itself
}

// Close closes the file.
func (e *Entry) Close() error { return e.File.Close() }

// mostEntries bounds what is compared at once: a page with more is not read.
const mostEntries = 48

// Reference opens the file that others are compared with.
func Reference(name string) (*Entry, error) {
	file, err := openFile(name)
	if err != nil {
		return nil, err
	}
	return &Entry{File: file, Name: filepath.Base(name)}, nil
}

// Encodes opens what is to be compared. A name is a file, a folder that liuyun
// encode made, which stands for each of its renditions, or a folder of video
// files. Renditions are put together in the folder scratch, which the caller
// removes after the entries are closed. On an error nothing stays open.
func Encodes(ctx context.Context, names []string, scratch string) (all []*Entry, err error) {
	defer func() {
		if err != nil {
			CloseAll(all)
			all = nil
		}
	}()
	for _, name := range names {
		info, statErr := os.Stat(name)
		if statErr == nil && info.IsDir() {
			found, folderErr := openFolder(ctx, name, scratch)
			all = append(all, found...)
			if folderErr != nil {
				return all, folderErr
			}
			continue
		}
		file, openErr := openFile(name)
		if openErr != nil {
			return all, openErr
		}
		all = append(all, &Entry{File: file, Name: filepath.Base(name)})
		if len(all) > mostEntries {
			break
		}
	}
	if len(all) > mostEntries {
		return all, fault.New(fault.Invalid, "there are more than %d encodes: compare fewer at a time", mostEntries)
	}
	distinguish(all, names)
	return all, nil
}

// CloseAll closes entries.
func CloseAll(all []*Entry) {
	for _, e := range all {
		e.Close()
	}
}

// distinguish gives files of one name that came from different places the names by
// which they were asked for.
func distinguish(all []*Entry, names []string) {
	count := make(map[string]int)
	for _, e := range all {
		count[e.Name]++
	}
	for _, e := range all {
		if count[e.Name] < 2 {
			continue
		}
		for _, name := range names {
			if filepath.Clean(e.File.Name()) == filepath.Clean(name) {
				e.Name = filepath.Clean(name)
			}
		}
	}
}

func openFile(name string) (*os.File, error) {
	file, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a named pipe must not block
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fault.Wrap(err, fault.NotFound, "there is no file %s", name)
	case errors.Is(err, fs.ErrPermission):
		return nil, fault.Wrap(err, fault.Forbidden, "%s may not be read; change its permissions", name)
	case err != nil:
		return nil, fault.Wrap(err, fault.Invalid, "%s cannot be opened", name)
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fault.New(fault.Invalid, "%s is not a file: give a video file as the reference", name)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// folder is one that liuyun encode made, wherever it is.
type folder interface {
	// names are the files below a folder of it, in order.
	names(ctx context.Context, folder string) ([]string, error)
	open(ctx context.Context, name string) (io.ReadCloser, error)
}

// localFolder is one of this machine.
type localFolder struct{ *os.Root }

func (f localFolder) names(_ context.Context, folder string) ([]string, error) {
	return fs.Glob(f.FS(), folder+"/*")
}

func (f localFolder) open(_ context.Context, name string) (io.ReadCloser, error) { return f.Open(name) }

// mostReport bounds the report.json that is read, bytes.
const mostReport = 64 << 20

// openFolder opens what is in a folder, in the order of names or of the report.
func openFolder(ctx context.Context, name, scratch string) ([]*Entry, error) {
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "the folder %s cannot be opened", name)
	}
	defer root.Close()
	group := filepath.Base(filepath.Clean(name))
	if report, err := root.Open(encode.ReportName); err == nil {
		defer report.Close()
		m, err := readReport(report)
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "%s/%s makes no sense: encode into this folder anew", name, encode.ReportName)
		}
		if len(m.Renditions) == 0 {
			return nil, fault.New(fault.Invalid, "%s has no picture in it to compare", name)
		}
		all, err := openRenditions(ctx, localFolder{root}, m.Renditions, scratch)
		for _, e := range all {
			e.Name, e.Group = group+"/"+e.Name, strings.TrimSpace(group+" "+e.Group)
		}
		if err != nil {
			return all, fault.Wrap(err, fault.Invalid, "%s: %s", name, fault.Message(err))
		}
		return all, nil
	}
	files, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "the folder %s cannot be read", name)
	}
	var all []*Entry
	for _, f := range files {
		if !f.Type().IsRegular() || !slices.Contains(videoEndings, strings.ToLower(path.Ext(f.Name()))) || len(all) > mostEntries {
			continue
		}
		file, err := openFile(filepath.Join(name, f.Name()))
		if err != nil {
			return all, err
		}
		all = append(all, &Entry{File: file, Name: group + "/" + strings.TrimSuffix(f.Name(), path.Ext(f.Name())), Group: group})
	}
	if len(all) == 0 {
		return nil, fault.New(fault.Invalid, "%s is neither a folder that liuyun encode has finished nor one with video files in it", name)
	}
	return all, nil
}

// videoEndings are names of files that are taken out of a folder.
var videoEndings = []string{".mp4", ".m4v", ".mov", ".mkv", ".webm", ".ts", ".mxf", ".avi", ".ivf", ".nut"}

// readReport reads an encode.ReportName.
func readReport(report io.Reader) (r encode.Report, err error) {
	err = json.NewDecoder(io.LimitReader(report, mostReport)).Decode(&r)
	return r, err
}

// openRenditions puts renditions of a folder together in the folder scratch. Where
// there are several codecs, these are the groups. What is open when it fails is
// returned.
func openRenditions(ctx context.Context, from folder, renditions []encode.RenditionReport, scratch string) (all []*Entry, err error) {
	codecs := make(map[string]bool)
	for _, r := range renditions {
		codecs[r.Codec] = true
	}
	for _, r := range renditions {
		if len(all) > mostEntries {
			break
		}
		file, err := joinSegments(ctx, from, path.Dir(r.Playlist), scratch)
		if err != nil {
			return all, fault.Wrap(err, fault.CodeOf(err), "the rendition %s is not complete", r.ID)
		}
		e := &Entry{File: file, Name: r.ID}
		if len(codecs) > 1 {
			e.Group = r.Codec
		}
		all = append(all, e)
	}
	return all, nil
}

// joinSegments puts a rendition together: its beginning and its segments, which are
// one file cut into pieces.
func joinSegments(ctx context.Context, from folder, name, scratch string) (*os.File, error) {
	if !fs.ValidPath(name) || name == "." {
		return nil, fmt.Errorf("%q is no folder of a rendition", name)
	}
	names, err := from.names(ctx, name)
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(file string) bool { return path.Ext(file) != ".m4s" })
	if len(names) == 0 {
		return nil, fault.New(fault.NotFound, "%s has no segments", name)
	}
	out, err := os.CreateTemp(scratch, "rendition-*.mp4")
	if err != nil {
		return nil, err
	}
	for _, file := range append([]string{name + "/init.mp4"}, names...) {
		if err = appendFile(ctx, out, from, file); err != nil {
			out.Close()
			return nil, err
		}
	}
	return out, nil
}

func appendFile(ctx context.Context, out io.Writer, from folder, name string) error {
	in, err := from.open(ctx, name)
	if err != nil {
		return err
	}
	defer in.Close()
	_, err = io.Copy(out, in)
	return err
}
