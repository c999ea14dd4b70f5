package conf

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
)

// schema is what reflection finds in a configuration struct, bound to one value
// of it.
type schema struct {
	sections []section
}

type section struct {
	name   string
	help   string
	value  reflect.Value // the addressable section struct
	fields []field
}

// field is one setting.
type field struct {
	section string
	name    string
	help    string
	value   reflect.Value // addressable
}

// schemaOf reads the sections of the struct that config points to. Its errors
// are mistakes in that struct.
func schemaOf[C any](config *C) (*schema, error) {
	root := reflect.ValueOf(config).Elem()
	if root.Kind() != reflect.Struct {
		return nil, fmt.Errorf("conf: %s is not a struct of sections", root.Type())
	}
	// A section's name has no underscore, so that LIUYUN_A_B_C is read one way.
	sectionName := regexp.MustCompile(`^[a-z][a-z0-9]*$`)
	s := &schema{}
	for i := range root.NumField() {
		tag := root.Type().Field(i)
		sec := section{name: tag.Tag.Get("conf"), help: tag.Tag.Get("help"), value: root.Field(i)}
		switch {
		case !sectionName.MatchString(sec.name):
			return nil, fmt.Errorf("conf: section %s needs a conf tag of letters and digits", tag.Name)
		case sec.value.Kind() != reflect.Struct || !tag.IsExported():
			return nil, fmt.Errorf("conf: section %s is not an exported struct", tag.Name)
		case sec.help == "":
			return nil, fmt.Errorf("conf: section %s has no help", tag.Name)
		}
		fields, err := fieldsOf(sec)
		if err != nil {
			return nil, err
		}
		sec.fields = fields
		s.sections = append(s.sections, sec)
	}
	return s, nil
}

// fieldsOf lists the settings of a section.
func fieldsOf(sec section) ([]field, error) {
	var fields []field
	add := func(f field) { fields = append(fields, f) }
	if err := walk(field{section: sec.name, value: sec.value}, add); err != nil {
		return nil, err
	}
	seen := make(map[string]bool)
	for _, f := range fields {
		if seen[f.name] {
			return nil, fmt.Errorf("conf: section %s has two settings named %s", sec.name, f.name)
		}
		seen[f.name] = true
	}
	return fields, nil
}

// walk adds the settings in the struct that outer holds. Those of a struct inside
// it have its name and help before their own.
func walk(outer field, add func(field)) error {
	fieldName := regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	for i := range outer.value.NumField() {
		tag := outer.value.Type().Field(i)
		if tag.Anonymous && tag.IsExported() && tag.Type.Kind() == reflect.Struct { // a section of two packages
			if err := walk(field{section: outer.section, name: outer.name, help: outer.help, value: outer.value.Field(i)}, add); err != nil {
				return err
			}
			continue
		}
		f := field{section: outer.section, name: tag.Tag.Get("conf"), help: tag.Tag.Get("help"), value: outer.value.Field(i)}
		where := fmt.Sprintf("%s.%s in section %s", outer.value.Type(), tag.Name, outer.section)
		switch {
		case !fieldName.MatchString(f.name):
			return fmt.Errorf("conf: %s needs a conf tag in snake_case", where)
		case !tag.IsExported():
			return fmt.Errorf("conf: %s is not exported", where)
		case f.help == "":
			return fmt.Errorf("conf: %s has no help", where)
		}
		if outer.name != "" {
			f.name, f.help = outer.name+"_"+f.name, outer.help+" "+f.help
		}
		if f.kind() != "" {
			add(f)
			continue
		}
		if f.value.Kind() != reflect.Struct {
			return fmt.Errorf("conf: %s has type %s, which is not one of a setting", where, tag.Type)
		}
		if err := walk(f, add); err != nil {
			return err
		}
	}
	return nil
}

// fullName is the name in files and options.
func (f *field) fullName() string { return f.section + "." + f.name }

// envName is the name of the variable.
func (f *field) envName() string {
	return envPrefix + strings.ToUpper(f.section+"_"+f.name)
}

// each calls visit for every setting, in order of declaration.
func (s *schema) each(visit func(*field)) {
	for i := range s.sections {
		for j := range s.sections[i].fields {
			visit(&s.sections[i].fields[j])
		}
	}
}

func (s *schema) names() (names []string) {
	s.each(func(f *field) { names = append(names, f.fullName()) })
	return names
}

func (s *schema) envNames() (names []string) {
	s.each(func(f *field) { names = append(names, f.envName()) })
	return names
}

func (s *schema) byName(name string) (found *field) {
	s.each(func(f *field) {
		if f.fullName() == name {
			found = f
		}
	})
	return found
}

func (s *schema) byEnv(name string) (found *field) {
	s.each(func(f *field) {
		if f.envName() == name {
			found = f
		}
	})
	return found
}

// didYouMean returns `; did you mean "x"?` for the candidate nearest to name, or
// nothing when none is near.
func didYouMean(name string, candidates []string) string {
	best, bestDistance := "", len(name)/3+1
	for _, candidate := range candidates {
		if d := distance(name, candidate); d < bestDistance {
			best, bestDistance = candidate, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// distance is the Levenshtein distance in bytes. Long names, which only a
// hostile file has, are as far as they are long.
func distance(a, b string) int {
	if len(a) > 200 || len(b) > 200 {
		return max(len(a), len(b))
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
