package main

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"syscall"
	"time"
	"unsafe"
)

const timerID = math.MaxInt32

// load is one run: its connections, what is due, and what was measured.
type load struct {
	plan        plan
	epoll       int
	timer       int
	server      syscall.SockaddrInet4
	connections []*connection
	idle        []*connection // first in, first out: every connection gets its share
	due         []float64     // moments of requests that no connection was free for
	random      *rand.Rand
	began       time.Time
	next        float64 // moment of the next request of an open loop
	started     int     // requests given to a connection
	outstanding int
	last        float64 // moment of the last answer
	result      result
}

func newLoad(asked plan) (*load, error) {
	address, err := netip.ParseAddrPort(asked.Address)
	if err != nil || !address.Addr().Is4() {
		return nil, fmt.Errorf("address %q is not an IPv4 address and port", asked.Address)
	}
	made := &load{plan: asked, random: rand.New(rand.NewPCG(asked.Seed, 1))}
	made.server = syscall.SockaddrInet4{Port: int(address.Port()), Addr: address.Addr().As4()}
	if made.epoll, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	const monotonic = 1
	timer, _, failed := syscall.RawSyscall(syscall.SYS_TIMERFD_CREATE, monotonic, syscall.O_NONBLOCK, 0)
	if failed != 0 {
		return nil, failed
	}
	made.timer = int(timer)
	event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: timerID}
	if err := syscall.EpollCtl(made.epoll, syscall.EPOLL_CTL_ADD, made.timer, &event); err != nil {
		return nil, err
	}
	for id := range asked.Connections {
		made.connections = append(made.connections, &connection{id: id, request: id})
		if err := made.connections[id].open(made); err != nil {
			return nil, fmt.Errorf("connecting to %s: %w", asked.Address, err)
		}
	}
	made.idle = append(made.idle, made.connections...)
	return made, nil
}

// now is the number of seconds since the run began.
func (l *load) now() float64 { return time.Since(l.began).Seconds() }

// end is the moment after which no request is due.
func (l *load) end() float64 {
	if l.plan.Count > 0 {
		return math.Inf(1)
	}
	return l.plan.Warmup + l.plan.Seconds
}

// more says whether another request may be started.
func (l *load) more() bool { return l.plan.Count == 0 || l.started < l.plan.Count }

func (l *load) run() error {
	l.began = time.Now()
	if l.plan.Rate == 0 {
		for _, one := range l.connections {
			if l.more() {
				one.ask(l, l.now())
			}
		}
	}
	events := make([]syscall.EpollEvent, 512)
	for {
		now := l.now()
		l.startDue(now)
		over := now >= l.end() || !l.more()
		if over && (l.outstanding+len(l.due) == 0 || now > l.deadline()) {
			return nil
		}
		count, err := l.wait(events)
		if err != nil {
			return err
		}
		now = l.now()
		for _, event := range events[:count] {
			if event.Fd == timerID {
				var expirations [8]byte
				_, _ = read(l.timer, expirations[:])
				continue
			}
			l.connections[event.Fd].ready(l, event.Events, now)
		}
	}
}

// deadline is the moment after which what is not answered is lost.
func (l *load) deadline() float64 {
	if l.plan.Count > 0 {
		return l.last + l.plan.Patience
	}
	return max(l.last, l.end()) + l.plan.Patience
}

// startDue gives what is due to idle connections, the longest waiting first.
func (l *load) startDue(now float64) {
	if l.plan.Rate > 0 {
		for l.next <= now && l.next < l.end() && l.started+len(l.due) < l.most() {
			l.due = append(l.due, l.next)
			l.next += l.gap()
		}
	}
	for len(l.due) > 0 && len(l.idle) > 0 {
		one := l.idle[0]
		l.idle = l.idle[1:]
		moment := l.due[0]
		l.due = l.due[1:]
		one.ask(l, moment)
	}
}

func (l *load) most() int {
	if l.plan.Count > 0 {
		return l.plan.Count
	}
	return math.MaxInt
}

func (l *load) gap() float64 {
	if l.plan.Poisson {
		return l.random.ExpFloat64() / l.plan.Rate
	}
	return 1 / l.plan.Rate
}

// answered notes one answer and, in a closed loop, asks again.
func (l *load) answered(one *connection, status int, right bool, now float64) {
	l.outstanding--
	l.last = now
	l.result.note(&l.plan, one.since, now, status, right)
	l.free(one, now)
}

// lost notes a request that got no whole answer.
func (l *load) lost(one *connection, now float64) {
	l.outstanding--
	l.last = now
	l.result.lost++
	if err := one.reopen(l); err != nil {
		l.result.refused++
		return // the server is gone: this connection asks no more
	}
	l.free(one, now)
}

func (l *load) free(one *connection, now float64) {
	if l.plan.Rate > 0 {
		l.idle = append(l.idle, one)
	} else if now < l.end() && l.more() {
		one.ask(l, now)
	}
}

// wait returns the sockets that are ready; it wakes for the next request that is due.
func (l *load) wait(events []syscall.EpollEvent) (int, error) {
	const tick = 0.05
	timeout := int64(tick * 1000)
	if l.plan.Rate > 0 && len(l.idle) > 0 {
		wake := math.Max(l.next-l.now(), 1e-6)
		if wake < tick {
			l.arm(wake)
			timeout = 1000
		}
	}
	count, _, failed := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(l.epoll),
		uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), uintptr(timeout), 0, 0)
	if failed == syscall.EINTR {
		return 0, nil
	}
	if failed != 0 {
		return 0, failed
	}
	return int(count), nil
}

// arm sets the timer to go off once.
func (l *load) arm(seconds float64) {
	var specification [32]byte // interval and value, each seconds and nanoseconds
	whole, part := math.Modf(seconds)
	binary.NativeEndian.PutUint64(specification[16:], uint64(whole))
	binary.NativeEndian.PutUint64(specification[24:], uint64(part*1e9))
	_, _, _ = syscall.RawSyscall6(syscall.SYS_TIMERFD_SETTIME, uintptr(l.timer), 0,
		uintptr(unsafe.Pointer(&specification[0])), 0, 0, 0)
}
