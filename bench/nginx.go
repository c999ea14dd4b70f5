package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"syscall"
	"time"
)

// nginxServer is a Debian nginx that takes files by PUT (dav_methods), in a folder
// of its own.
type nginxServer struct {
	url    string
	folder string // of the files
	pids   []int  // the master and its worker
	cmd    *exec.Cmd
	log    *lastLines
}

// nginxConfig is all that nginx is told: one worker, as our server is one process,
// and otherwise what it does by itself, with its buffer of 16 KiB. In nginxLarge it
// has one as large as ours, which saves it half of the CPU seconds.
const nginxConfig = `
%sdaemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr warn;
events { worker_connections 64; }
http {
	access_log off;
	client_max_body_size 0;
	client_body_temp_path temp;
	proxy_temp_path temp;
	fastcgi_temp_path temp;
	uwsgi_temp_path temp;
	scgi_temp_path temp;
	server {
		listen %s;
		root files;
		dav_methods PUT;
		location /large/ {
			client_body_buffer_size %d;
		}
	}
}
`

// The folders that nginx takes files into.
const (
	nginxPlain = "plain"
	nginxLarge = "large"
)

// serverBuffer is how much our server reads and writes at once.
const serverBuffer = 256 << 10

// findNginx looks where Debian puts it, which is in no user's PATH but root's, and
// installs it where it is missing.
func (b *bench) findNginx(ctx context.Context) (string, error) {
	const path = "/usr/sbin/nginx"
	if found, err := exec.LookPath("nginx"); err == nil {
		return found, nil
	}
	if found, err := exec.LookPath(path); err == nil {
		return found, nil
	}
	out, err := exec.CommandContext(ctx, filepath.Join(b.root, "scripts", "need.sh"), "nginx").CombinedOutput()
	if err != nil {
		return "", &absentError{fmt.Sprintf("nginx (%v: %s)", err, out)}
	}
	return exec.LookPath(path)
}

// nginx starts one that takes files and waits until it answers. The caller stops it.
func (b *bench) nginx(ctx context.Context) (*nginxServer, error) {
	return b.startNginx(ctx, 1, func(n *nginxServer, owner, address string) (string, error) {
		for _, name := range []string{nginxPlain, nginxLarge} {
			if err := os.MkdirAll(filepath.Join(n.folder, name), 0o755); err != nil {
				return "", err
			}
		}
		return fmt.Sprintf(nginxConfig, owner, address, serverBuffer), nil
	})
}

// startNginx starts one with the configuration that configure returns, which has it run
// so many processes beside the first one, and waits until it answers.
func (b *bench) startNginx(ctx context.Context, processes int, configure func(n *nginxServer, owner, address string) (string, error), before ...string) (*nginxServer, error) {
	program, err := b.findNginx(ctx)
	if err != nil {
		return nil, err
	}
	folder, err := b.folder()
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	owner, err := nginxOwner()
	if err != nil {
		return nil, err
	}
	n := &nginxServer{url: "http://" + ports[0], folder: filepath.Join(folder, "files"), log: &lastLines{}}
	config, err := configure(n, owner, ports[0])
	if err != nil {
		return nil, err
	}
	path := filepath.Join(folder, "nginx.conf")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		return nil, err
	}
	words := append(before, program, "-p", folder, "-c", path, "-e", "stderr")
	n.cmd = exec.Command(words[0], words[1:]...)
	n.cmd.Stdout, n.cmd.Stderr = n.log, n.log
	if err := n.cmd.Start(); err != nil {
		return nil, err
	}
	if err := n.awaitStart(ctx, ports[0], processes); err != nil {
		n.stop()
		return nil, err
	}
	return n, nil
}

// nginxOwner is what nginx is told of who it runs as: its worker is another user when
// root starts it.
func nginxOwner() (string, error) {
	if os.Geteuid() != 0 {
		return "", nil
	}
	me, err := user.Current()
	if err != nil {
		return "", err
	}
	return "user " + me.Username + ";\n", nil
}

func (n *nginxServer) awaitStart(ctx context.Context, address string, processes int) error {
	deadline := time.Now().Add(10 * time.Second)
	for {
		connection, err := net.Dial("tcp", address)
		if err == nil {
			connection.Close()
			if n.pids = append([]int{n.cmd.Process.Pid}, children(n.cmd.Process.Pid)...); len(n.pids) == 1+processes {
				return nil
			}
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return fmt.Errorf("nginx does not answer: %v\n%s", err, n.log)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// stop ends nginx; its files go with the scratch folder.
func (n *nginxServer) stop() {
	n.cmd.Process.Signal(syscall.SIGTERM)
	n.cmd.Wait()
	os.RemoveAll(filepath.Dir(n.folder))
}
