// Package cli is the command line: it reads options, calls the packages that do
// the work and tells people or scripts what came of it, with a documented exit
// status. One command is one file. Nothing is decided here that another way in,
// such as an API, would have to decide again.
//
// Everything that a process shares with the world – arguments, environment,
// streams – comes in an [Env], so that tests run commands in-process.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"liuyun/internal/app"
	"liuyun/internal/base/fault"
	"liuyun/internal/kit/conf"
)

// Env is what a run of the program is given. Stdin, Stdout and Stderr must not
// be nil.
type Env struct {
	Args    []string // without the program's name
	Environ []string // NAME=value
	Stdin   io.Reader
	Stdout  io.Writer // results
	Stderr  io.Writer // progress, warnings, errors
	Columns int       // width of the terminal behind Stderr; 0 when there is none
	Version string
}

// Process returns the Env of this process.
func Process(version string) Env {
	env := Env{
		Args:    os.Args[1:],
		Environ: conf.Environ(),
		Stdin:   os.Stdin,
		Stdout:  os.Stdout,
		Stderr:  os.Stderr,
		Version: version,
	}
	if size, err := unix.IoctlGetWinsize(int(os.Stderr.Fd()), unix.TIOCGWINSZ); err == nil {
		env.Columns = int(size.Col)
	}
	return env
}

// Main runs the command that env.Args name and returns the exit status. When ctx
// ends, a command stops in good order, keeping what is needed to go on.
func Main(ctx context.Context, env Env) int {
	s := &session{env: env}
	return s.end(ctx, newRoot(s).ExecuteContext(ctx))
}

// commands lists the commands in the order of the help.
func commands() []func(*session) *cobra.Command {
	return []func(*session) *cobra.Command{
		newEncode,
		newProbe,
		newCompare,
		newPlay,
		newServe,
		newDoctor,
		newBackup,
		newRestore,
		newLogin,
		newLogout,
		newUpload,
		newAssets,
		newKeys,
		newTenants,
		newNodes,
		newStreams,
		newEdge,
		newWebhooks,
		newUsage,
		newVersion,
	}
}

// session is one run: its Env and the options that every command has.
type session struct {
	env        Env
	json       bool
	quiet      bool
	configFile string
	set        []string
	config     app.Config       // loaded before a command runs
	cloud      app.ClientConfig // options of the commands of the cloud
}

func (s *session) loadConfig() (err error) {
	s.config, err = conf.Load(app.DefaultConfig(), conf.Sources{File: s.configFile, Environ: s.env.Environ, Set: s.set})
	return err
}

func newRoot(s *session) *cobra.Command {
	root := &cobra.Command{
		Use:   "liuyun",
		Short: "Turn video into adaptive streams, and serve them",
		Long: `Liuyun 流云 turns any video file into an adaptive stream (HLS and DASH on the
same segments) that plays everywhere. As a server it takes videos and live
streams in, encodes them, on several machines if need be, and serves them.

` + exitStatuses,
		Example: `  liuyun encode talk.mov -o talk
  liuyun serve
  liuyun upload talk.mov --wait
  liuyun streams create 'Town hall'`,
		Args:          noCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors: true,
		SilenceUsage:  true,

		PersistentPreRunE: func(*cobra.Command, []string) error { return s.loadConfig() },
	}
	root.SetArgs(append([]string{}, s.env.Args...)) // never nil: cobra would read os.Args
	root.SetIn(s.env.Stdin)
	root.SetOut(s.env.Stdout)
	root.SetErr(s.env.Stderr)

	flags := root.PersistentFlags()
	flags.BoolVar(&s.json, "json", false, "write JSON to standard output, one object a line")
	flags.BoolVarP(&s.quiet, "quiet", "q", false, "show no progress")
	flags.StringVar(&s.configFile, "config", "", "read the configuration from the YAML `FILE`")
	flags.StringArrayVar(&s.set, "set", nil, "set one `section.field=value` of the configuration; may be repeated")

	for _, newCommand := range commands() {
		root.AddCommand(newCommand(s))
	}
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	explainUsage(root)
	return root
}

const exitStatuses = `Exit status: 0 done, 1 failure, 2 bad input or option, 3 not found, 4 not allowed,
5 conflict, 6 unavailable, disk full or a limit reached, 130 stopped (the same
command goes on where it stopped).`

// noCommand refuses arguments of liuyun itself: what stands there is meant to be
// a command.
func noCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	message := fmt.Sprintf("there is no command %q", args[0])
	root.SuggestionsMinimumDistance = 2
	if near := root.SuggestionsFor(args[0]); len(near) > 0 {
		message += fmt.Sprintf("; did you mean %q?", near[0])
	}
	return errors.New(message)
}

// explainUsage makes every mistake in options and arguments a fault that names
// the help to read.
func explainUsage(cmd *cobra.Command) {
	explain := func(cmd *cobra.Command, err error) error {
		if err == nil {
			return nil
		}
		return fault.New(fault.Invalid, "%v\nSee '%s --help'.", err, cmd.CommandPath())
	}
	cmd.SetFlagErrorFunc(explain)
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error { return explain(cmd, check(cmd, args)) }
	}
	for _, child := range cmd.Commands() {
		explainUsage(child)
	}
}

// wantsJSON reports whether errors go out as JSON. It looks at the arguments
// too, for an option that could not be read may stand before --json.
func (s *session) wantsJSON() bool {
	options := s.env.Args
	if end := slices.Index(options, "--"); end >= 0 {
		options = options[:end]
	}
	return s.json || slices.Contains(options, "--json")
}
