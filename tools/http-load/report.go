package main

import (
	"math"
	"slices"
	"strconv"
	"syscall"
)

// result is what was counted after the warm-up.
type result struct {
	latencies map[int][]float64 // by status
	inTime    map[int]int       // answers that came before the end, by status
	wrong     int
	lost      int
	refused   int     // connections that could not be opened again
	final     float64 // moment of the last answer
}

func (r *result) note(asked *plan, since, now float64, status int, right bool) {
	if r.latencies == nil {
		r.latencies, r.inTime = map[int][]float64{}, map[int]int{}
	}
	if !right {
		r.wrong++
	}
	r.final = now
	if _, known := r.latencies[status]; !known {
		r.latencies[status] = nil
	}
	if now >= asked.Warmup && (asked.Count > 0 || now < asked.Warmup+asked.Seconds) {
		r.inTime[status]++
	}
	if since >= asked.Warmup {
		r.latencies[status] = append(r.latencies[status], now-since)
	}
}

type figures struct {
	Count  int                `json:"count"`   // requests that began after the warm-up
	InTime int                `json:"in_time"` // answers between warm-up and end
	Mean   float64            `json:"mean"`    // seconds
	Max    float64            `json:"max"`
	At     map[string]float64 `json:"at"` // percentile to seconds
}

type report struct {
	Seconds  float64            `json:"seconds"` // counted
	Started  int                `json:"started"`
	Lost     int                `json:"lost"` // no whole answer: connection lost, or too late
	Wrong    int                `json:"wrong"`
	Refused  int                `json:"refused_connections"`
	CPU      float64            `json:"cpu"` // seconds, of this program
	Statuses map[string]figures `json:"statuses"`
}

func (l *load) report() report {
	r := &l.result
	seconds := l.plan.Seconds
	if l.plan.Count > 0 {
		seconds = r.final - l.plan.Warmup
	}
	made := report{
		Seconds: seconds, Started: l.started, Wrong: r.wrong, Refused: r.refused,
		Lost: r.lost + l.outstanding + len(l.due), CPU: cpu(), Statuses: map[string]figures{},
	}
	for status, latencies := range r.latencies {
		made.Statuses[strconv.Itoa(status)] = summary(latencies, r.inTime[status])
	}
	return made
}

func summary(latencies []float64, inTime int) figures {
	made := figures{Count: len(latencies), InTime: inTime, At: map[string]float64{}}
	if len(latencies) == 0 {
		return made
	}
	slices.Sort(latencies)
	sum := 0.0
	for _, seconds := range latencies {
		sum += seconds
	}
	made.Mean, made.Max = sum/float64(len(latencies)), latencies[len(latencies)-1]
	for _, percent := range []float64{1, 5, 10, 25, 50, 75, 90, 95, 99, 99.9, 99.99} {
		rank := int(math.Ceil(percent / 100 * float64(len(latencies))))
		made.At[strconv.FormatFloat(percent, 'g', -1, 64)] = latencies[max(rank, 1)-1]
	}
	return made
}

func cpu() float64 {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}
