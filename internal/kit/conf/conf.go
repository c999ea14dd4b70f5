// Package conf reads the configuration: defaults, then one YAML file, then
// LIUYUN_SECTION_FIELD variables, then section.field=value options, each over
// the one before. A name that does not exist is an error from every source.
//
// The configuration is a struct of sections. Each section is a struct that the
// package it configures owns, with its defaults in code and its own check:
//
//	type Config struct {
//		FFmpeg ffmpeg.Config `conf:"ffmpeg" help:"The child processes that decode and encode."`
//	}
//
//	type Config struct { // in package ffmpeg
//		Path    string        `conf:"path" help:"The ffmpeg program; found on PATH when it has no slash."`
//		Timeout time.Duration `conf:"timeout" help:"How long one probe may take."`
//	}
//
// A setting is a string, a bool, an integer, a float, a time.Duration, a
// []string, or a type that marshals itself to text, such as [Bytes]. A struct of
// settings inside a section only lengthens names: a field tagged "cpu" in one
// tagged "probe" is section.probe_cpu.
//
// This is the only package that knows YAML and the only one that reads the
// environment. It does not watch anything: what may change while the program
// runs is not configuration.
package conf

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"

	"liuyun/internal/base/fault"
)

// envPrefix begins the name of every variable that is a setting.
const envPrefix = "LIUYUN_"

// testEnv tells this project's own tests where shared clips lie. It has the
// prefix, but is no setting.
const testEnv = envPrefix + "SHARED"

// maxFileSize bounds the configuration file; a real one has a few kilobytes.
const maxFileSize = 1 << 20

// Sources says where settings come from. The zero value has none: only the
// defaults hold.
type Sources struct {
	// File is the path of a YAML file, or empty.
	File string
	// Environ is a list of NAME=value, as [Environ] returns.
	Environ []string
	// Set is a list of section.field=value.
	Set []string
}

// Validator is a section that can check itself. Its error names the field and
// says which values are right.
type Validator interface {
	Validate() error
}

// Environ returns the environment of the process.
func Environ() []string { return os.Environ() }

// Load returns defaults overlaid with the sources, each section validated. C is
// a struct of sections as the package comment shows. What is wrong in a source
// is a fault of code Invalid, an absent file one of code NotFound; any other
// error is a mistake in C.
func Load[C any](defaults C, from Sources) (C, error) {
	config := defaults
	s, err := schemaOf(&config)
	if err != nil {
		return defaults, err
	}
	steps := []func() error{
		func() error { return s.applyFile(from.File) },
		func() error { return s.applyEnviron(from.Environ) },
		func() error { return s.applySet(from.Set) },
		s.validate,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return defaults, err
		}
	}
	return config, nil
}

func (s *schema) applyFile(path string) error {
	if path == "" {
		return nil
	}
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return fault.New(fault.NotFound, "configuration file %s does not exist", path)
	}
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "configuration file %s cannot be opened", path)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxFileSize+1))
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "configuration file %s cannot be read", path)
	}
	if len(text) > maxFileSize {
		return fault.New(fault.Invalid, "configuration file %s is larger than %s", path, Bytes(maxFileSize))
	}
	return s.applyYAML(path, text)
}

// applyEnviron sets the variables in order of name, so that of several mistakes
// the same one is reported each time.
func (s *schema) applyEnviron(environ []string) error {
	sorted := append([]string(nil), environ...)
	sort.Strings(sorted)
	for _, entry := range sorted {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, envPrefix) || name == testEnv {
			continue
		}
		f := s.byEnv(name)
		if f == nil {
			return fault.New(fault.Invalid, "environment: unknown variable %s%s", name, didYouMean(name, s.envNames()))
		}
		if err := f.setText(value); err != nil {
			return fault.New(fault.Invalid, "environment: %s: %v", name, err)
		}
	}
	return nil
}

func (s *schema) applySet(assignments []string) error {
	for _, assignment := range assignments {
		name, value, found := strings.Cut(assignment, "=")
		if !found {
			return fault.New(fault.Invalid, "--set %s: the form is section.field=value", assignment)
		}
		f := s.byName(name)
		if f == nil {
			return fault.New(fault.Invalid, "--set: unknown setting %q%s", name, didYouMean(name, s.names()))
		}
		if err := f.setText(value); err != nil {
			return fault.New(fault.Invalid, "--set %s: %v", name, err)
		}
	}
	return nil
}

func (s *schema) validate() error {
	for _, section := range s.sections {
		v, ok := section.value.Addr().Interface().(Validator)
		if !ok {
			return fmt.Errorf("conf: section %s has no Validate method", section.name)
		}
		if err := v.Validate(); err != nil {
			return fault.New(fault.Invalid, "configuration: %s: %s", section.name, fault.Message(err))
		}
	}
	return nil
}
