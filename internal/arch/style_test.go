package arch

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"liuyun/internal/testkit"
)

func parse(t *testing.T, code string) source {
	t.Helper()
	fset := token.NewFileSet()
	syntax, err := parser.ParseFile(fset, "p.go", code, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return source{"p.go", syntax, fset}
}

// A package without a comment has no contract; one without code is an empty room.
func TestPackagesHaveCommentsAndContent(t *testing.T) {
	t.Parallel()
	declares := make(map[string]bool)
	for _, s := range sources(t) {
		if slices.ContainsFunc(s.syntax.Decls, func(d ast.Decl) bool { return !isImport(d) }) && !s.isTest() {
			declares[s.folder()] = true
		}
	}
	for _, p := range packages(t) {
		if p.Doc == "" && (under(p.path(), "internal") || under(p.path(), "cmd") || under(p.path(), "client")) {
			t.Errorf("%s has no package comment: what is it for, and what does it not do?", p.path())
		}
		if !declares[p.path()] && p.path() != "internal/arch" && !under(p.path(), "test") {
			t.Errorf("%s is empty: nothing is created before something needs it", p.path())
		}
	}
}

func isImport(d ast.Decl) bool {
	group, ok := d.(*ast.GenDecl)
	return ok && group.Tok == token.IMPORT
}

// A name that others may use says what it promises.
func TestExportedNamesAreDocumented(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if s.isTest() {
			continue
		}
		for _, declaration := range s.syntax.Decls {
			for _, name := range undocumented(declaration) {
				t.Errorf("%s:%d: %s is exported and has no comment", s.path, s.line(name), name.Name)
			}
		}
	}
}

func undocumented(declaration ast.Decl) (names []*ast.Ident) {
	switch d := declaration.(type) {
	case *ast.FuncDecl:
		if d.Doc == nil && d.Name.IsExported() && (d.Recv == nil || receiver(d).IsExported()) {
			names = append(names, d.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				if d.Doc == nil && spec.Doc == nil && spec.Name.IsExported() {
					names = append(names, spec.Name)
				}
			case *ast.ValueSpec:
				for _, name := range spec.Names {
					if d.Doc == nil && spec.Doc == nil && spec.Comment == nil && name.IsExported() {
						names = append(names, name)
					}
				}
			}
		}
	}
	return names
}

func receiver(f *ast.FuncDecl) *ast.Ident {
	kind := f.Recv.List[0].Type
	for {
		switch k := kind.(type) {
		case *ast.StarExpr:
			kind = k.X
		case *ast.IndexExpr:
			kind = k.X
		case *ast.IndexListExpr:
			kind = k.X
		case *ast.Ident:
			return k
		default:
			return ast.NewIdent("_")
		}
	}
}

// A file over 800 lines hides the place for a change; main does nothing that a
// test could not reach.
func TestFilesAreShort(t *testing.T) {
	t.Parallel()
	for _, path := range files(t) {
		limit := 0
		switch filepath.Ext(path) {
		case ".go", ".ts", ".svelte", ".js", ".mjs", ".c", ".sh":
			limit = 800
		}
		if under(path, "cmd") && filepath.Base(path) == "main.go" {
			limit = 25
		}
		text := readFile(t, path)
		if limit == 0 || bytes.HasPrefix(text, []byte("/**\n * This file was auto-generated")) {
			continue
		}
		if lines := bytes.Count(text, []byte("\n")); lines > limit {
			t.Errorf("%s has %d lines, at most %d", path, lines, limit)
		}
	}
}

// What is written here is true on every machine.
func TestNoMachinePaths(t *testing.T) {
	t.Parallel()
	machinePath := regexp.MustCompile(`(^|[\s"'(\x60=:])/(home|root|Users|work|workspace)/[\w.-]`)
	for _, path := range files(t) {
		switch filepath.Ext(path) {
		case ".go", ".md", ".ts", ".svelte", ".js", ".mjs", ".json", ".yaml", ".yml", ".sh", ".mk", ".txtar", ".html", "":
		default:
			continue
		}
		for i, line := range strings.Split(string(readFile(t, path)), "\n") {
			if found := machinePath.FindString(line); found != "" {
				t.Errorf("%s:%d: %q is a path of one machine", path, i+1, found)
			}
		}
	}
}

// A link in the documentation leads to a file that is there.
func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)\s#]+)(#[^)]*)?\)`)
	fence := regexp.MustCompile("(?s)```.*?```")
	for _, path := range files(t) {
		if filepath.Ext(path) != ".md" {
			continue
		}
		text := fence.ReplaceAll(readFile(t, path), nil)
		for _, found := range link.FindAllSubmatch(text, -1) {
			target := string(found[1])
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			full := filepath.Join(testkit.Root(t), filepath.Dir(path), filepath.FromSlash(target))
			if matches, _ := filepath.Glob(full); len(matches) == 0 {
				t.Errorf("%s: nothing at %s", path, target)
			}
		}
	}
}
