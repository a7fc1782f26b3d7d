package runc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/gx-dev/gx/engine/container"
	"github.com/gx-dev/gx/engine/container/network"
)

// template is a container that waits for requests to fork. Its program and
// this process exchange messages of JSON over a socket that keeps them apart:
//
//	host to program                          answer
//	{"policy": {...}}                        {"ready": true} or {"refused": "why"}, when it can be forked
//	{"id": 7, "network": true}               {"id": 7} with the descriptor of a new network namespace
//	{"id": 8, "fork": {...}} and descriptors {"id": 8} with the pidfd of the new process
//	                                         {"exited": 8, "status": 0}, its wait status, when it has ended
//
// An answer with "error" has failed. The descriptors of a fork are, in this
// order: the new process's own socket, the mount tree, the network namespace if
// "namespace" is true, then the entrances of the control groups. On its socket
// the new process says {"placed": true} when it is where it belongs, or
// {"error": "why"}, and waits for an order, with the descriptors of standard
// output, standard error and the report; at the end of the socket it ends. To
// the report it writes "R" when it is what the order says and is about to go
// on; what it writes after that, until it closes it, is why it could not.
type template struct {
	*running
	runtime *Runtime
	conn    *net.UnixConn
	ready   chan answer   // the first message
	gone    chan struct{} // closed when the program has hung up
	all     chan struct{} // closed when nothing of it or its containers is left

	spare    chan *berth // made ahead
	sending  sync.Mutex
	mu       sync.Mutex
	next     uint64
	waiting  map[uint64]chan<- answer
	children map[uint64]chan<- unix.WaitStatus
	forks    sync.WaitGroup // containers that have not ended
	live     int            // their number
	closing  bool
	building bool // of a spare one
	berths   int  // that were ever made
}

// request is a message to the program.
type request struct {
	ID      uint64       `json:"id,omitempty"`
	Policy  *policy      `json:"policy,omitempty"`
	Network bool         `json:"network,omitempty"`
	Fork    *forkRequest `json:"fork,omitempty"`
}

type forkRequest struct {
	Namespace bool `json:"namespace"`
}

// order is the message to a new process.
type order struct {
	Args     []string `json:"args"`
	Env      []string `json:"env"`
	Dir      string   `json:"dir"`
	Hostname string   `json:"hostname"`
}

// answer is a message from the program.
type answer struct {
	ID      uint64 `json:"id"`
	Error   string `json:"error"`
	Ready   bool   `json:"ready"`
	Refused string `json:"refused"`
	Exited  uint64 `json:"exited"`
	Status  uint32 `json:"status"`
	file    *os.File
}

const messageLimit = 1 << 20 // bytes

var (
	errTemplateGone   = errors.New("the template that it was forked from has ended")
	errTemplateClosed = errors.New("the template is closed")
)

// Template implements container.Forker.
func (r *Runtime) Template(ctx context.Context, spec container.Spec) (container.Template, error) {
	t, err := r.template(ctx, spec)
	if err != nil {
		return nil, fmt.Errorf("start template %s: %w", spec.ID, err)
	}
	return t, nil
}

func (r *Runtime) template(ctx context.Context, spec container.Spec) (_ *template, err error) {
	if err := spec.Validate(); err != nil {
		return nil, err
	}
	if err := canFork(); err != nil {
		return nil, err
	}
	conn, socket, err := socketPair()
	if err != nil {
		return nil, err
	}
	spec.Env = append(spec.Env[:len(spec.Env):len(spec.Env)], container.ForkVariable+"=3")
	if err := r.reserve(spec.ID); err != nil {
		return nil, errors.Join(err, conn.Close(), socket.Close())
	}
	c, err := r.start(ctx, r.bestBinary, spec, socket)
	if err == nil {
		r.templates.Add(1) // before the runtime can be closed
	}
	r.settle(spec.ID, c)
	socket.Close()
	if err != nil {
		conn.Close()
		if strings.Contains(err.Error(), "operation not permitted") {
			err = fmt.Errorf("%w: %w", container.ErrNoTemplates, err)
		}
		return nil, err
	}
	t := &template{
		running: c, runtime: r, conn: conn, ready: make(chan answer, 1), gone: make(chan struct{}), all: make(chan struct{}),
		spare: make(chan *berth, 1), waiting: map[uint64]chan<- answer{}, children: map[uint64]chan<- unix.WaitStatus{},
	}
	go c.wait(context.WithoutCancel(ctx))
	go t.read()
	go t.finish()
	defer func() {
		if err != nil {
			_ = t.Kill()
			<-t.Done()
		}
	}()
	if err := t.connect(ctx, spec.Network); err != nil {
		return nil, err
	}
	rules, err := newPolicy()
	if err != nil {
		return nil, err
	}
	before, err := t.written(spec.Root.Lower) // it loads nothing before it has its policy
	if err != nil {
		return nil, err
	}
	if err := t.send(request{Policy: &rules}); err != nil {
		return nil, err
	}
	select {
	case a := <-t.ready:
		if !a.Ready {
			return nil, &container.RefusedError{Reason: a.Refused}
		}
		now, err := t.written(spec.Root.Lower)
		if err != nil {
			return nil, err
		}
		if name := now.since(before); name != "" { // each container has a file system of its own
			return nil, &container.RefusedError{Reason: fmt.Sprintf("%s was written, which a forked container would not have", name)}
		}
		return t, nil
	case <-t.done:
		exit := t.Exit()
		return nil, fmt.Errorf("its program ended with status %d before it was ready", exit.Code)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// canFork says why no template can work here.
func canFork() error {
	if text, err := os.ReadFile("/proc/sys/user/max_user_namespaces"); err != nil || strings.TrimSpace(string(text)) == "0" {
		return fmt.Errorf("%w: user namespaces are switched off (sysctl user.max_user_namespaces)", container.ErrNoTemplates)
	}
	if err := unix.MountSetattr(-1, "", 0, &unix.MountAttr{}); errors.Is(err, unix.ENOSYS) {
		return fmt.Errorf("%w: this needs Linux 5.12 or newer", container.ErrNoTemplates)
	}
	return nil
}

// socketPair returns this process's end and the template's.
func socketPair() (*net.UnixConn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a socket pair: %w", err)
	}
	_ = unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 2*messageLimit)
	own, other := os.NewFile(uintptr(fds[0]), "template"), os.NewFile(uintptr(fds[1]), "template")
	defer own.Close()
	conn, err := net.FileConn(own)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("use a socket pair: %w", err), other.Close())
	}
	return conn.(*net.UnixConn), other, nil
}

// connect gives the template the network that its imports may need.
func (t *template) connect(ctx context.Context, kind container.Network) error {
	if kind != container.NetworkOutbound {
		return nil
	}
	namespace, err := os.Open(filepath.Join("/proc", strconv.Itoa(t.pid), "ns/net"))
	if err != nil {
		return fmt.Errorf("open the template's network namespace: %w", err)
	}
	net, err := t.runtime.outbound(ctx)
	if err != nil {
		return errors.Join(err, namespace.Close())
	}
	endpoint, err := net.AttachTo(ctx, namespace)
	if err != nil {
		return errors.Join(err, namespace.Close())
	}
	t.running.mu.Lock()
	defer t.running.mu.Unlock()
	if t.ended { // and nobody will look for the endpoint any more
		return errors.Join(errors.New("its program ended at once"), endpoint.Close())
	}
	t.endpoint = endpoint
	return nil
}

// send sends a message with descriptors.
func (t *template) send(m request, files ...*os.File) error {
	t.sending.Lock()
	defer t.sending.Unlock()
	return send(t.conn, m, files...)
}

func send(conn *net.UnixConn, message any, files ...*os.File) error {
	text, err := json.Marshal(message)
	if err != nil {
		return fmt.Errorf("encode a message to a template: %w", err)
	}
	if len(text) > messageLimit {
		return fmt.Errorf("the arguments and the environment have %d bytes; a template takes %d", len(text), messageLimit)
	}
	var rights []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		rights = unix.UnixRights(fds...)
	}
	if _, _, err := conn.WriteMsgUnix(text, rights, nil); err != nil {
		return fmt.Errorf("ask a template: %w", err)
	}
	return nil
}

// ask sends a request and waits for its answer. The answer's file is the
// caller's.
func (t *template) ask(ctx context.Context, m request, exit chan<- unix.WaitStatus, files ...*os.File) (answer, error) {
	ch := make(chan answer, 1)
	t.mu.Lock()
	t.next++
	m.ID = t.next
	t.waiting[m.ID] = ch
	if exit != nil {
		t.children[m.ID] = exit
	}
	t.mu.Unlock()
	forget := func() { // of a request that has no answer, or none that anybody waits for
		t.mu.Lock()
		delete(t.waiting, m.ID)
		delete(t.children, m.ID)
		t.mu.Unlock()
		select {
		case a := <-ch:
			if a.file != nil {
				a.file.Close()
			}
		default:
		}
	}
	if err := t.send(m, files...); err != nil {
		forget()
		return answer{}, err
	}
	select {
	case a := <-ch:
		if a.Error == "" && a.file == nil {
			a.Error = "it sent no descriptor"
		}
		if a.Error != "" {
			forget()
			return a, fmt.Errorf("the template could not do it: %s", a.Error)
		}
		return a, nil
	case <-t.gone:
		forget()
		return answer{}, errTemplateGone
	case <-ctx.Done():
		forget()
		return answer{}, ctx.Err()
	}
}

// read takes what the program says until it hangs up.
func (t *template) read() {
	defer close(t.gone)
	defer t.conn.Close()
	text, rights := make([]byte, 64<<10), make([]byte, unix.CmsgSpace(16*4))
	for {
		n, oob, flags, _, err := t.conn.ReadMsgUnix(text, rights)
		if err != nil || n == 0 {
			return
		}
		var a answer
		files := received(rights[:oob])
		if len(files) > 0 {
			a.file = files[0]
			for _, f := range files[1:] {
				f.Close()
			}
		}
		if flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 || json.Unmarshal(text[:n], &a) != nil || !t.take(a) {
			if a.file != nil {
				a.file.Close()
			}
		}
	}
}

// received opens the descriptors that came with a message.
func received(rights []byte) []*os.File {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return nil
	}
	var files []*os.File
	for _, m := range messages {
		fds, _ := unix.ParseUnixRights(&m)
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return files
}

// take gives a message to who waits for it, and reports whether anybody does.
func (t *template) take(a answer) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case a.Exited != 0:
		if ch, ok := t.children[a.Exited]; ok {
			delete(t.children, a.Exited)
			ch <- unix.WaitStatus(a.Status) // has room
		}
		return false
	case a.Ready || a.Refused != "":
		select {
		case t.ready <- a:
		default:
		}
		return false
	}
	ch, ok := t.waiting[a.ID]
	if !ok {
		return false
	}
	delete(t.waiting, a.ID)
	ch <- a // has room
	return true
}

// finish waits for the end of all.
func (t *template) finish() {
	defer t.runtime.templates.Done()
	<-t.done
	t.mu.Lock()
	t.closing = true
	t.mu.Unlock()
	t.conn.Close()
	<-t.gone
	t.forks.Wait()
	select {
	case b := <-t.spare:
		t.scrap(b)
	default:
	}
	close(t.all)
}

// Close implements container.Template.
func (t *template) Close() error {
	t.mu.Lock()
	t.closing = true
	idle := t.live == 0
	t.mu.Unlock()
	if idle {
		return t.Kill()
	}
	return nil
}

// Kill implements container.Template.
func (t *template) Kill() error {
	t.mu.Lock()
	t.closing = true
	t.mu.Unlock()
	return t.running.Kill()
}

// Done implements container.Template.
func (t *template) Done() <-chan struct{} { return t.all }

// enter announces a fork, if there may be one.
func (t *template) enter() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closing {
		return errTemplateClosed
	}
	t.live++
	t.forks.Add(1)
	return nil
}

// leave is called when a fork has failed or its container has ended.
func (t *template) leave() {
	t.mu.Lock()
	t.live--
	last := t.live == 0 && t.closing
	t.mu.Unlock()
	t.forks.Done()
	if last {
		if err := t.Kill(); err != nil {
			t.runtime.cfg.Log.Error("a template cannot be killed", "container", t.id, "error", err)
		}
	}
}

// namespace makes a network namespace that containers forked from the template
// can enter.
func (t *template) namespace(ctx context.Context) (*os.File, error) {
	a, err := t.ask(ctx, request{Network: true}, nil)
	if err != nil {
		return nil, fmt.Errorf("make a network namespace: %w", err)
	}
	return a.file, nil
}

// sysfs returns a detached sysfs of a network namespace; it makes f run in the
// namespace first.
func sysfs(namespace *os.File, f func() error) (fd int, err error) {
	err = network.In(namespace, func() error {
		if err := f(); err != nil {
			return err
		}
		context, err := unix.Fsopen("sysfs", unix.FSOPEN_CLOEXEC)
		if err != nil {
			return fmt.Errorf("make a container's /sys: %w", err)
		}
		defer unix.Close(context)
		if err := unix.FsconfigCreate(context); err != nil {
			return fmt.Errorf("make a container's /sys: %w", err)
		}
		fd, err = unix.Fsmount(context, unix.FSMOUNT_CLOEXEC, attrTmp|unix.MOUNT_ATTR_RDONLY)
		if err != nil {
			return fmt.Errorf("make a container's /sys: %w", err)
		}
		return nil
	})
	return fd, err
}
