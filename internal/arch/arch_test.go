package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"liuyun/internal/testkit"
)

const module = "liuyun/"

// pkg is one package as `go list` tells it.
type pkg struct {
	ImportPath                         string
	Dir                                string
	Name                               string
	Doc                                string
	Imports, TestImports, XTestImports []string
}

// path is the package's folder below the module: "internal/cli".
func (p pkg) path() string { return strings.TrimPrefix(p.ImportPath, module) }

// packages lists the packages of the module, as the default build sees them.
func packages(t *testing.T) []pkg {
	t.Helper()
	command := exec.Command("go", "list", "-json=ImportPath,Dir,Name,Doc,Imports,TestImports,XTestImports", "./...")
	command.Dir = testkit.Root(t)
	var problems bytes.Buffer
	command.Stderr = &problems
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, problems.Bytes())
	}
	var all []pkg
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// source is one parsed Go file.
type source struct {
	path   string // below the module, with slashes
	syntax *ast.File
	fset   *token.FileSet
}

func (s source) folder() string { return filepath.ToSlash(filepath.Dir(s.path)) }

func (s source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

func (s source) line(node ast.Node) int { return s.fset.Position(node.Pos()).Line }

// sources parses every Go file of the module once, whatever its build tags.
func sources(t *testing.T) []source {
	t.Helper()
	fset := token.NewFileSet()
	var all []source
	for _, file := range files(t) {
		if filepath.Ext(file) != ".go" || strings.HasPrefix(file, "tools/") {
			continue
		}
		syntax, err := parser.ParseFile(fset, filepath.Join(testkit.Root(t), file), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, source{file, syntax, fset})
	}
	return all
}

// files lists the files of the checkout that people write, below its root.
func files(t *testing.T) []string {
	t.Helper()
	root := testkit.Root(t)
	made := []string{".git", "node_modules", "dist", "bin", "run", "build", "testdata", "results"}
	var all []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains(made, entry.Name()):
			return filepath.SkipDir
		case entry.Type().IsRegular():
			relative, err := filepath.Rel(root, path)
			all = append(all, filepath.ToSlash(relative))
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// under reports whether path is folder or below it.
func under(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

func underAny(path string, folders []string) bool {
	return slices.ContainsFunc(folders, func(folder string) bool { return under(path, folder) })
}

// importedAs returns the name by which the file knows a package, or "".
func (s source) importedAs(importPath string) string {
	for _, spec := range s.syntax.Imports {
		if path, _ := strconv.Unquote(spec.Path.Value); path != importPath {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return importPath[strings.LastIndex(importPath, "/")+1:]
	}
	return ""
}

// uses calls visit for each name that the file takes from the package.
func (s source) uses(importPath string, visit func(name string, line int)) {
	as := s.importedAs(importPath)
	if as == "" {
		return
	}
	ast.Inspect(s.syntax, func(node ast.Node) bool {
		selector, ok := node.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if ident, ok := selector.X.(*ast.Ident); ok && ident.Name == as && ident.Obj == nil {
			visit(selector.Sel.Name, s.line(selector))
		}
		return true
	})
}
