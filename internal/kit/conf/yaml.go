package conf

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"go.yaml.in/yaml/v4"

	"liuyun/internal/base/fault"
)

// applyYAML sets what text says. path is for messages.
func (s *schema) applyYAML(path string, text []byte) error {
	root, err := parseYAML(path, text)
	if err != nil || root == nil {
		return err
	}
	doc := document{schema: s, path: path}
	return doc.mapping(root, "the file", doc.section)
}

// parseYAML returns the mapping at the top, or nil for an empty file.
func parseYAML(path string, text []byte) (*yaml.Node, error) {
	loader, err := yaml.NewLoader(bytes.NewReader(text))
	if err != nil {
		return nil, fault.New(fault.Invalid, "%s: %v", path, err)
	}
	var doc, second yaml.Node
	switch err := loader.Load(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, fault.New(fault.Invalid, "%s is not valid YAML: %s", path, strings.TrimPrefix(err.Error(), "go-yaml "))
	}
	if err := loader.Load(&second); !errors.Is(err, io.EOF) {
		return nil, fault.New(fault.Invalid, "%s: more than one YAML document", path)
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) == 0 || isNull(doc.Content[0]) {
		return nil, nil
	}
	return doc.Content[0], nil
}

// document applies one parsed file.
type document struct {
	schema *schema
	path   string
}

func (d *document) errorf(at *yaml.Node, format string, args ...any) error {
	args = append([]any{d.path, at.Line}, args...)
	return fault.New(fault.Invalid, "%s:%d: "+format, args...)
}

// mapping visits the entries of node, a mapping that messages call what.
func (d *document) mapping(node *yaml.Node, what string, visit func(key, value *yaml.Node) error) error {
	if node.Kind != yaml.MappingNode {
		return d.errorf(node, "%s must hold names with values", what)
	}
	seen := make(map[string]bool)
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			return d.errorf(key, "a name must be plain text")
		}
		if seen[key.Value] {
			return d.errorf(key, "%q is given twice", key.Value)
		}
		seen[key.Value] = true
		if err := visit(key, value); err != nil {
			return err
		}
	}
	return nil
}

func (d *document) section(key, value *yaml.Node) error {
	names := make([]string, 0, len(d.schema.sections))
	for i := range d.schema.sections {
		sec := &d.schema.sections[i]
		if sec.name != key.Value {
			names = append(names, sec.name)
			continue
		}
		if isNull(value) {
			return nil
		}
		return d.mapping(value, sec.name, func(key, value *yaml.Node) error {
			return d.setting(sec, key, value)
		})
	}
	return d.errorf(key, "unknown section %q%s", key.Value, didYouMean(key.Value, names))
}

func (d *document) setting(sec *section, key, value *yaml.Node) error {
	names := make([]string, 0, len(sec.fields))
	for i := range sec.fields {
		f := &sec.fields[i]
		if f.name != key.Value {
			names = append(names, f.name)
			continue
		}
		return d.assign(f, value)
	}
	return d.errorf(key, "unknown setting %q in section %s%s", key.Value, sec.name, didYouMean(key.Value, names))
}

func (d *document) assign(f *field, value *yaml.Node) error {
	switch {
	case isNull(value):
		return d.errorf(value, "%s has no value", f.fullName())
	case value.Kind == yaml.SequenceNode && f.isList():
		items := make([]string, 0, len(value.Content))
		for _, item := range value.Content {
			if item.Kind != yaml.ScalarNode || isNull(item) {
				return d.errorf(item, "%s must be a list of texts", f.fullName())
			}
			items = append(items, item.Value)
		}
		return f.setList(items)
	case value.Kind != yaml.ScalarNode:
		return d.errorf(value, "%s must be one value: %s", f.fullName(), f.kind())
	}
	if err := f.setText(value.Value); err != nil {
		return d.errorf(value, "%s: %v", f.fullName(), err)
	}
	return nil
}

func isNull(node *yaml.Node) bool {
	return node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null"
}

// yamlText returns v as a YAML value on one line, quoted where it must be.
func yamlText[T string | []string](v T) (string, error) {
	node := &yaml.Node{}
	if err := node.Encode(v); err != nil {
		return "", err
	}
	node.Style |= yaml.FlowStyle
	if node.Kind == yaml.ScalarNode && strings.Contains(node.Value, "\n") {
		node.Style = yaml.DoubleQuotedStyle
	}
	text, err := yaml.Dump(node, yaml.WithLineWidth(-1))
	return strings.TrimSpace(string(text)), err
}
