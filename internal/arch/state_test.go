package arch

import (
	"fmt"
	"go/ast"
	"go/token"
	"testing"
)

// Nothing happens by being imported, and no package keeps state: what a value
// depends on is in its constructor, and two of anything can live in one process.
func TestNoInitAndNoPackageState(t *testing.T) {
	t.Parallel()
	perFolder := make(map[string][]source)
	for _, s := range sources(t) {
		if !s.isTest() && !under(s.path, "internal/testkit") {
			perFolder[s.folder()] = append(perFolder[s.folder()], s)
		}
	}
	for _, group := range perFolder {
		variables := make(map[string]bool)
		for _, s := range group {
			names, problems := packageVariables(s)
			for name := range names {
				variables[name] = true
			}
			report(t, problems)
		}
		for _, s := range group {
			report(t, assignments(s, variables))
		}
	}
}

func report(t *testing.T, problems []string) {
	for _, problem := range problems {
		t.Error(problem)
	}
}

// packageVariables names the variables at the top of a file, and finds those
// that are state by their type, and init functions.
func packageVariables(s source) (names map[string]bool, problems []string) {
	names = make(map[string]bool)
	for _, declaration := range s.syntax.Decls {
		if f, ok := declaration.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
			problems = append(problems, fmt.Sprintf("%s:%d: func init: nothing may happen by being imported", s.path, s.line(f)))
		}
		group, ok := declaration.(*ast.GenDecl)
		if !ok || group.Tok != token.VAR {
			continue
		}
		for _, spec := range group.Specs {
			variable := spec.(*ast.ValueSpec)
			for _, name := range variable.Names {
				names[name.Name] = true
			}
			if isStateful(variable) {
				problems = append(problems, fmt.Sprintf("%s:%d: %s is state of the package: put it into a struct",
					s.path, s.line(variable), variable.Names[0].Name))
			}
		}
	}
	delete(names, "_")
	return names, problems
}

// isStateful reports whether a variable can only be meant to change: a lock, an
// atomic, a channel, a map that is not filled where it stands.
func isStateful(variable *ast.ValueSpec) bool {
	kind := variable.Type
	if kind == nil && len(variable.Values) > 0 {
		switch value := variable.Values[0].(type) {
		case *ast.CompositeLit:
			kind = value.Type
		case *ast.CallExpr:
			if f, ok := value.Fun.(*ast.Ident); ok && f.Name == "make" {
				return true
			}
		}
	}
	if star, ok := kind.(*ast.StarExpr); ok {
		kind = star.X
	}
	switch kind := kind.(type) {
	case *ast.MapType:
		return len(variable.Values) == 0
	case *ast.ChanType:
		return true
	case *ast.SelectorExpr:
		from, ok := kind.X.(*ast.Ident)
		return ok && (from.Name == "sync" || from.Name == "atomic")
	}
	return false
}

// assignments finds code that changes one of the package's variables.
func assignments(s source, variables map[string]bool) (problems []string) {
	check := func(target ast.Expr) {
		ident := root(target)
		if ident == nil || !variables[ident.Name] {
			return
		}
		if ident.Obj != nil { // declared in this file: at its top, or inside a function?
			if spec, ok := ident.Obj.Decl.(*ast.ValueSpec); !ok || !isTopLevel(s, spec) {
				return
			}
		}
		problems = append(problems, fmt.Sprintf("%s:%d: %s changes: a package has no state", s.path, s.line(target), ident.Name))
	}
	ast.Inspect(s.syntax, func(node ast.Node) bool {
		switch statement := node.(type) {
		case *ast.AssignStmt:
			if statement.Tok != token.DEFINE {
				for _, target := range statement.Lhs {
					check(target)
				}
			}
		case *ast.IncDecStmt:
			check(statement.X)
		}
		return true
	})
	return problems
}

// root is the variable that an assignment to target changes.
func root(target ast.Expr) *ast.Ident {
	for {
		switch expression := target.(type) {
		case *ast.Ident:
			return expression
		case *ast.IndexExpr:
			target = expression.X
		case *ast.SelectorExpr:
			target = expression.X
		case *ast.StarExpr:
			target = expression.X
		case *ast.ParenExpr:
			target = expression.X
		default:
			return nil
		}
	}
}

func isTopLevel(s source, spec *ast.ValueSpec) bool {
	for _, declaration := range s.syntax.Decls {
		if group, ok := declaration.(*ast.GenDecl); ok {
			for _, other := range group.Specs {
				if other == ast.Spec(spec) {
					return true
				}
			}
		}
	}
	return false
}

// The rule must be able to fail, and must not fail for local names.
func TestPackageStateIsFound(t *testing.T) {
	t.Parallel()
	tests := []struct {
		code string
		want bool
	}{
		{"var table = [2]int{1, 2}\nfunc f() int { return table[0] }", false},
		{"var table = [2]int{1, 2}\nfunc f() { table := 1; table++ }", false},
		{"var table = [2]int{1, 2}\nfunc f(table []int) { table[0] = 1 }", false},
		{"var table = [2]int{1, 2}\nfunc f() { table[0] = 1 }", true},
		{"var config struct{ n int }\nfunc f() { config.n++ }", true},
		{"var lock sync.Mutex", true},
		{"var cache = make(map[string]int)", true},
		{"var names = map[string]int{\"a\": 1}", false},
		{"var known map[string]int", true},
		{"func init() {}", true},
		{"type t struct{}\nfunc (t) init() {}", false},
	}
	for _, test := range tests {
		s := parse(t, "package p\n"+test.code)
		variables, problems := packageVariables(s)
		problems = append(problems, assignments(s, variables)...)
		if got := len(problems) > 0; got != test.want {
			t.Errorf("%s: found %q, want a problem: %t", test.code, problems, test.want)
		}
	}
}
