// Command http-load asks an HTTP/1.1 server on this machine the same few requests again and again.
//
// Closed loop (no rate): each connection asks again as soon as it is answered. Open loop: requests
// are due at a rate, and a latency counts from the moment when its request was due, so that a
// server which stalls cannot hide how many were waiting. One thread, epoll, no garbage collection.
//
// It reads a plan as JSON from standard input and writes a report as JSON to standard output.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
)

type request struct {
	Raw     []byte   `json:"raw"`     // whole, with header fields, in base64
	Answers [][]byte `json:"answers"` // bodies of a right 200; none: any is right
}

type plan struct {
	Address     string    `json:"address"` // IPv4 and port
	Connections int       `json:"connections"`
	Warmup      float64   `json:"warmup"`  // seconds that are not counted
	Seconds     float64   `json:"seconds"` // that are
	Count       int       `json:"count"`   // stop after so many requests, 0: after the seconds
	Rate        float64   `json:"rate"`    // requests per second, 0: closed loop
	Poisson     bool      `json:"poisson"` // at random moments, not evenly spaced
	Seed        uint64    `json:"seed"`
	Patience    float64   `json:"patience"` // seconds that the last answers may take
	Requests    []request `json:"requests"`
}

func main() {
	debug.SetGCPercent(-1) // a collection would be a stall of the server, to all appearances
	debug.SetMemoryLimit(4 << 30)
	runtime.LockOSThread()
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "http-load:", err)
		os.Exit(2)
	}
}

func run(in io.Reader, out io.Writer) error {
	asked := plan{Connections: 1, Patience: 10}
	if err := json.NewDecoder(in).Decode(&asked); err != nil {
		return err
	}
	if len(asked.Requests) == 0 || asked.Connections < 1 {
		return fmt.Errorf("a plan needs requests and connections")
	}
	load, err := newLoad(asked)
	if err != nil {
		return err
	}
	if err := load.run(); err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(load.report())
}
