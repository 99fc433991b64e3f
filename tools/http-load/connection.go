package main

import (
	"bytes"
	"slices"
	"strconv"
	"syscall"
	"unsafe"
)

// connection has at most one request under way.
type connection struct {
	id      int
	socket  int
	request int // index of what it asks next, modulo the plan's requests
	asked   int // index of what it asked
	since   float64
	unsent  []byte
	buffer  []byte
	filled  int
	busy    bool
}

func (c *connection) open(l *load) error {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	c.socket, c.filled, c.unsent, c.busy = socket, 0, nil, false
	if c.buffer == nil {
		c.buffer = make([]byte, 8<<10)
	}
	server := l.server
	if err := syscall.Connect(socket, &server); err != nil {
		_ = syscall.Close(socket)
		return err
	}
	if err := syscall.SetsockoptInt(socket, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1); err != nil {
		return err
	}
	if err := syscall.SetNonblock(socket, true); err != nil {
		return err
	}
	event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(c.id)}
	return syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_ADD, socket, &event)
}

func (c *connection) reopen(l *load) error {
	_ = syscall.Close(c.socket)
	return c.open(l)
}

// ask sends the next request, which was due at a moment.
func (c *connection) ask(l *load, due float64) {
	c.asked = c.request % len(l.plan.Requests)
	c.request++
	c.since, c.busy, c.filled = due, true, 0
	c.unsent = l.plan.Requests[c.asked].Raw
	l.started++
	l.outstanding++
	c.send(l)
}

func (c *connection) send(l *load) {
	for len(c.unsent) > 0 {
		count, failed := write(c.socket, c.unsent)
		if failed == syscall.EAGAIN {
			c.watch(l, syscall.EPOLLIN|syscall.EPOLLOUT)
			return
		}
		if failed != 0 {
			return // reading tells that the connection is gone
		}
		c.unsent = c.unsent[count:]
	}
}

func (c *connection) watch(l *load, events uint32) {
	event := syscall.EpollEvent{Events: events, Fd: int32(c.id)}
	_ = syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_MOD, c.socket, &event)
}

// ready goes on where the socket can be read or written.
func (c *connection) ready(l *load, events uint32, now float64) {
	if events&syscall.EPOLLOUT != 0 && len(c.unsent) > 0 {
		if c.send(l); len(c.unsent) == 0 {
			c.watch(l, syscall.EPOLLIN)
		}
	}
	if events&^uint32(syscall.EPOLLOUT) == 0 {
		return
	}
	if c.filled == len(c.buffer) {
		c.buffer = slices.Grow(c.buffer, len(c.buffer))[:2*len(c.buffer)]
	}
	count, failed := read(c.socket, c.buffer[c.filled:])
	if failed == syscall.EAGAIN || failed == syscall.EINTR {
		return
	}
	if failed != 0 || count == 0 {
		c.gone(l, now)
		return
	}
	c.filled += count
	answer, whole := parse(c.buffer[:c.filled])
	if !whole || !c.busy {
		return
	}
	c.busy = false
	right := c.right(l, answer)
	if answer.closes {
		if err := c.reopen(l); err != nil {
			l.result.refused++
		}
	}
	l.answered(c, answer.status, right, now)
}

func (c *connection) gone(l *load, now float64) {
	if c.busy {
		l.lost(c, now)
	} else if err := c.reopen(l); err != nil { // closed between two requests: none is lost
		l.result.refused++
		l.idle = slices.DeleteFunc(l.idle, func(one *connection) bool { return one == c })
	}
}

func (c *connection) right(l *load, got answer) bool {
	known := l.plan.Requests[c.asked].Answers
	if got.status != 200 || len(known) == 0 {
		return true
	}
	for _, body := range known {
		if bytes.Equal(body, got.body) {
			return true
		}
	}
	return false
}

type answer struct {
	status int
	body   []byte
	closes bool
}

var (
	headEnd  = []byte("\r\n\r\n")
	lineEnd  = []byte("\r\n")
	length   = []byte("content-length")
	encoding = []byte("transfer-encoding")
	closing  = []byte("connection")
)

// parse reads one HTTP/1.1 answer; false while it is not whole.
func parse(received []byte) (answer, bool) {
	head, body, found := bytes.Cut(received, headEnd)
	if !found || len(head) < 12 {
		return answer{}, false
	}
	status, _ := strconv.Atoi(string(head[9:12]))
	got, size, chunked := answer{status: status}, 0, false
	_, fields, _ := bytes.Cut(head, lineEnd)
	for len(fields) > 0 {
		var field []byte
		field, fields, _ = bytes.Cut(fields, lineEnd)
		name, value, _ := bytes.Cut(field, []byte(":"))
		switch {
		case bytes.EqualFold(name, length):
			size, _ = strconv.Atoi(string(bytes.TrimSpace(value)))
		case bytes.EqualFold(name, encoding):
			chunked = bytes.Contains(value, []byte("chunked"))
		case bytes.EqualFold(name, closing):
			got.closes = bytes.EqualFold(bytes.TrimSpace(value), []byte("close"))
		}
	}
	if chunked {
		var whole bool
		got.body, whole = unchunk(body)
		return got, whole
	}
	if len(body) < size {
		return answer{}, false
	}
	got.body = body[:size]
	return got, true
}

func unchunk(rest []byte) ([]byte, bool) {
	var body []byte
	for {
		line, after, found := bytes.Cut(rest, lineEnd)
		if !found {
			return nil, false
		}
		size, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 32)
		if err != nil || len(after) < int(size)+2 {
			return nil, false
		}
		if size == 0 {
			return body, true
		}
		body = append(body, after[:size]...)
		rest = after[size+2:]
	}
}

// The raw calls cannot block: the sockets do not, and Go's scheduler need not know of them.
func read(descriptor int, into []byte) (int, syscall.Errno) {
	count, _, failed := syscall.RawSyscall(syscall.SYS_READ, uintptr(descriptor),
		uintptr(unsafe.Pointer(&into[0])), uintptr(len(into)))
	return int(count), failed
}

func write(descriptor int, from []byte) (int, syscall.Errno) {
	count, _, failed := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(descriptor),
		uintptr(unsafe.Pointer(&from[0])), uintptr(len(from)))
	return int(count), failed
}
