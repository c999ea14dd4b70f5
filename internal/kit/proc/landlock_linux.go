package proc

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What a confined child may read in any case: shared libraries and their
// configuration, fonts, time zones, and what codecs ask about the processor.
// Nothing of any process is among them: /proc/self would be ours, not the
// child's, when the rule is made.
const (
	systemPaths = "/usr /lib /lib32 /lib64 /etc/ld.so.cache /etc/ld.so.conf /etc/ld.so.conf.d " +
		"/etc/fonts /etc/localtime /proc/cpuinfo /proc/meminfo /proc/filesystems " +
		"/sys/devices/system/cpu /sys/devices/system/node /dev/zero /dev/urandom /dev/random"
	nullDevice = "/dev/null"
)

// Landlock access rights in groups.
const (
	readFile = unix.LANDLOCK_ACCESS_FS_READ_FILE
	readTree = readFile | unix.LANDLOCK_ACCESS_FS_READ_DIR
	execute  = unix.LANDLOCK_ACCESS_FS_EXECUTE
	scratch  = readTree | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE |
		unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_DIR |
		unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR |
		unix.LANDLOCK_ACCESS_FS_REFER
	onFiles = readFile | execute | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE
)

// Sandbox says how children with an Access are confined on this machine:
// "landlock 7" with the version of the kernel's interface, or "none".
func Sandbox() string {
	if abi := landlockABI(); abi > 0 {
		return fmt.Sprintf("landlock %d", abi)
	}
	return "none"
}

// landlockABI is the version that the kernel speaks: 0 where it has none.
func landlockABI() int {
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(abi)
}

// handled returns all that the kernel can deny: what is not in the ruleset then
// needs a rule. Newer rights than the list are left alone.
func handled(abi int) unix.LandlockRulesetAttr {
	attr := unix.LandlockRulesetAttr{
		Handled_access_fs: unix.LANDLOCK_ACCESS_FS_MAKE_SYM<<1 - 1, // ABI 1
	}
	if abi >= 2 {
		attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if abi >= 3 {
		attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if abi >= 4 {
		attr.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if abi >= 5 {
		attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if abi >= 6 {
		attr.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
	}
	// Before 7 a confined thread could not signal its own process's other
	// threads, which the Go runtime does.
	if abi >= 7 {
		attr.Scoped |= unix.LANDLOCK_SCOPE_SIGNAL
	}
	return attr
}

// confineThread confines the calling thread, which must be locked, and all that
// it starts. It cannot be undone. Without Landlock it does nothing.
func confineThread(executable string, a *Access) error {
	abi := landlockABI()
	if abi == 0 {
		return nil
	}
	attr := handled(abi)
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET,
		uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if errno != 0 {
		return fmt.Errorf("create ruleset: %w", errno)
	}
	rules := ruleset{fd: int(fd), handled: attr.Handled_access_fs}
	defer unix.Close(rules.fd)
	if err := rules.addAll(executable, a); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no new privileges: %w", err)
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		return fmt.Errorf("restrict: %w", errno)
	}
	return nil
}

// ruleset is a Landlock ruleset under construction.
type ruleset struct {
	fd      int
	handled uint64
}

func (r ruleset) addAll(executable string, a *Access) error {
	for path := range strings.FieldsSeq(systemPaths) {
		if err := r.allow(path, readTree); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := r.allow(nullDevice, readFile|unix.LANDLOCK_ACCESS_FS_WRITE_FILE); err != nil {
		return err
	}
	if err := r.allowExecutable(executable); err != nil {
		return err
	}
	for _, path := range a.Read {
		if err := r.allow(path, readTree); err != nil {
			return err
		}
	}
	for _, f := range a.Files {
		if err := r.allowFD(int(f.Fd()), readFile); err != nil {
			return fmt.Errorf("allow %s: %w", f.Name(), err)
		}
	}
	if a.Write == "" {
		return nil
	}
	return r.allow(a.Write, scratch)
}

// allowExecutable lets the child be executed, with its ELF interpreter; for a
// script, what lies in the system's folders.
func (r ruleset) allowExecutable(path string) error {
	if err := r.allow(path, readFile|execute); err != nil {
		return err
	}
	interpreter, err := elfInterpreter(path)
	switch {
	case err != nil:
		return r.allow("/usr", readTree|execute)
	case interpreter == "":
		return nil
	}
	return r.allow(interpreter, readFile|execute)
}

// allow grants access beneath path, or to it when it is a file.
func (r ruleset) allow(path string, access uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "allow", Path: path, Err: err}
	}
	defer unix.Close(fd)
	if err := r.allowFD(fd, access); err != nil {
		return &os.PathError{Op: "allow", Path: path, Err: err}
	}
	return nil
}

// allowFD leaves out of access what the kernel does not know, and what makes no
// sense on a file when fd is one.
func (r ruleset) allowFD(fd int, access uint64) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	access &= r.handled
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		access &= onFiles
	}
	rule := unix.LandlockPathBeneathAttr{Allowed_access: access, Parent_fd: int32(fd)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(r.fd),
		unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// elfInterpreter returns the loader that an ELF executable names: "" for a
// static one, an error for what is not ELF.
func elfInterpreter(path string) (string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	const longest = 4096 // PATH_MAX
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		name, err := io.ReadAll(io.LimitReader(p.Open(), longest))
		if err != nil {
			return "", err
		}
		return strings.TrimRight(string(name), "\x00"), nil
	}
	return "", nil
}
