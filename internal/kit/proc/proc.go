// Package proc runs child processes that are not trusted: each in its own
// process group, with limits on CPU, memory, file size and wall time, killed as
// a whole when its context ends and by the kernel when this process dies, and,
// where the kernel has Landlock, unable to touch any file or TCP port that it
// was not given. It reports what the child used and, in a typed error, why it
// ended. It knows nothing of what the children do; their arguments and messages
// belong to the engines. Linux only.
package proc

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Command describes one run of a child. Only Path is needed.
type Command struct {
	// Path is the absolute path of the executable; it is not looked up.
	Path string
	// Args are the arguments after the program's own name.
	Args []string
	// Env is the whole environment, "NAME=value" each; nothing is inherited.
	Env []string
	// Dir is the working folder; "" is the folder of this process.
	Dir string

	// Files are inherited as descriptors 3, 4, …. They stay the caller's, who
	// keeps them open until Run returns.
	Files []*os.File
	// Stdin is what the child reads as its standard input; nil is the null device. It
	// stays the caller's too.
	Stdin *os.File
	// Pipes receive what the child writes to the descriptors after Files, one
	// each. Every pipe is copied by a goroutine of its own, so that a slow one
	// holds up only the child. A Write that fails ends the child, and Run
	// returns its error inside an *Error. A [io.PipeWriter] is closed when the
	// child has closed its end, before Run returns.
	Pipes []io.Writer
	// Stdout and Stderr receive the child's output in the same way. Nil
	// discards; the end of stderr is kept for Error.Stderr in any case.
	Stdout, Stderr io.Writer

	// Limits bound the child; the zero value sets none.
	Limits Limits
	// Nice is added to the scheduling niceness: 0 to 19.
	Nice int
	// Access confines the child; nil leaves it with this process's rights.
	Access *Access
}

// Limits bound a child. A zero field sets no bound.
type Limits struct {
	// CPU is user and system time, rounded up to whole seconds.
	CPU time.Duration `conf:"cpu" help:"user and system time, rounded up to whole seconds; 0 is no limit."`
	// Memory is bytes of private writable memory (RLIMIT_DATA).
	Memory int64 `conf:"memory" help:"private writable memory; 0 is no limit."`
	// FileSize is bytes of the largest file that it may write.
	FileSize int64 `conf:"file_size" help:"the largest file that may be written; 0 is no limit."`
	// Files is how many descriptors may be open.
	Files int `conf:"files" help:"open descriptors; 0 is no limit."`
	// Wall is the time from start to exit.
	Wall time.Duration `conf:"wall" help:"time from start to exit; 0 is no limit."`
}

// Access lists what a confined child may open beyond the files that an
// executable needs (its shared libraries, /dev/null and the like), which are
// always readable. Descriptors that it inherits are not concerned, and a
// confined child cannot connect or listen by TCP where the kernel can deny that.
type Access struct {
	Read  []string   // files, and folders with all beneath them
	Files []*os.File // open files that it may open again, by /proc/self/fd
	Write string     // the one folder beneath which it may write; "" is none
}

// Usage is what a child used. It is filled whenever the child was started.
type Usage struct {
	User, System time.Duration
	Wall         time.Duration
	// MaxRSS is the greatest resident memory in bytes. Linux counts from before
	// the executable was loaded, so it is never less than what this process had
	// resident when it started the child.
	MaxRSS int64
}

// CPU is user and system time together.
func (u Usage) CPU() time.Duration { return u.User + u.System }

func (c *Command) validate() error {
	switch {
	case !filepath.IsAbs(c.Path):
		return fmt.Errorf("executable %q: not an absolute path", c.Path)
	case c.Nice < 0 || c.Nice > 19:
		return fmt.Errorf("niceness %d: not in 0 to 19", c.Nice)
	case c.Limits.CPU < 0 || c.Limits.Memory < 0 || c.Limits.FileSize < 0 ||
		c.Limits.Files < 0 || c.Limits.Wall < 0:
		return fmt.Errorf("limits %+v: negative", c.Limits)
	}
	return nil
}
