// Command fleet-sim estimates the load of a fleet on one Redis. Replicas start together on an empty Redis, wait for the leader
// and fetch the values all at once; later they only read the index. The defaults are measurements by the benchmarks of
// internal/store/redis. docs/operate/scale.md quotes its output. It opens no connection.
//
//	go run ./scripts/measure/fleet-sim -replicas 10,1000,100000 -window 10s -network-bytes 1.25e9
//
// It is a fluid model in steps of 10 ms. Replicas that begin in the same step are one cohort. Redis serves a limited number of
// commands per second. The current transfers share its network equally, and none is faster than its replica's network. If a
// chunk takes longer than its time limit, its replicas give up and compute for themselves, as the server does. Their number
// shows how much harm a simultaneous start does.
package main

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// fleet has the parameters of a simulation.
type fleet struct {
	replicas     int
	window       time.Duration // in which the replicas start, evenly
	compute      time.Duration // of the leader
	valueBytes   float64       // that each replica fetches
	chunkBytes   float64
	chunkLimit   time.Duration // time limit of a chunk
	networkBytes float64       // per second, of Redis
	clientBytes  float64       // per second, of one replica
	commandRate  float64       // commands per second that Redis serves
	lookCommands float64       // of one poll while waiting
	pollInterval time.Duration
}

// outcome is the result of a simulation.
type outcome struct {
	last      time.Duration // until the last replica has its values
	busiest   float64       // share of Redis's command rate in the busiest second of waiting
	abandoned int           // replicas that gave up a chunk
}

// cohort is the group of replicas that began to fetch in the same step.
type cohort struct {
	replicas  int
	left      float64 // bytes of the whole value
	chunkLeft float64
	chunkAge  time.Duration
}

const step = 10 * time.Millisecond

// run simulates until every replica has its values or has given up.
func (f fleet) run() outcome {
	var out outcome
	waiting := min(float64(f.replicas), float64(f.replicas)*min(1, f.compute.Seconds()/max(f.window.Seconds(), 1e-9)))
	rate := waiting * f.lookCommands / f.pollInterval.Seconds()
	out.busiest = rate / f.commandRate
	// A waiting replica finds the value at its next poll. If there are more polls than Redis can answer, its rate spreads them.
	spread := max(f.pollInterval.Seconds()*1.5, waiting*f.lookCommands/f.commandRate)
	var cohorts []*cohort
	begun := 0.0
	for now := f.compute; ; now += step {
		elapsed := (now - f.compute).Seconds()
		ready := min(1, elapsed/spread) * waiting
		if f.window > f.compute {
			ready += min(1, elapsed/(f.window-f.compute).Seconds()) * (float64(f.replicas) - waiting)
		}
		if fresh := int(ready) - int(begun); fresh > 0 {
			cohorts = append(cohorts, &cohort{replicas: fresh, left: f.valueBytes, chunkLeft: min(f.chunkBytes, f.valueBytes)})
		}
		begun = ready
		active := 0
		for _, c := range cohorts {
			active += c.replicas
		}
		if active == 0 && begun >= float64(f.replicas)-1 {
			out.last = now
			return out
		}
		cohorts = f.advance(cohorts, active, &out)
	}
}

// advance continues every transfer by one step and drops those that have ended.
func (f fleet) advance(cohorts []*cohort, active int, out *outcome) []*cohort {
	each := min(f.clientBytes, f.networkBytes/float64(max(active, 1))) * step.Seconds()
	var on []*cohort
	for _, c := range cohorts {
		c.left -= each
		c.chunkLeft -= each
		c.chunkAge += step
		switch {
		case c.left <= 0:
			continue
		case c.chunkLeft <= 0:
			c.chunkLeft, c.chunkAge = min(c.chunkLeft+f.chunkBytes, c.left), 0
		case c.chunkAge > f.chunkLimit:
			out.abandoned += c.replicas
			continue
		}
		on = append(on, c)
	}
	return on
}

func main() {
	var f fleet
	replicas := flag.String("replicas", "10,1000,100000", "numbers of replicas, separated by commas")
	flag.DurationVar(&f.window, "window", 10*time.Second, "time in which the replicas start")
	flag.DurationVar(&f.compute, "compute", 30*time.Second, "time that the leader computes; 0: Redis has the values")
	flag.Float64Var(&f.valueBytes, "value-bytes", 19.1e6, "bytes that each replica fetches")
	flag.Float64Var(&f.networkBytes, "network-bytes", 1.25e9, "bytes per second that Redis sends (10 Gbit/s)")
	flag.Float64Var(&f.clientBytes, "client-bytes", 125e6, "bytes per second that a replica receives (1 Gbit/s)")
	flag.Float64Var(&f.commandRate, "commands", 94e3, "commands per second that Redis serves")
	flag.Float64Var(&f.lookCommands, "look-commands", 6, "commands of one poll while waiting")
	flag.DurationVar(&f.pollInterval, "poll", 500*time.Millisecond, "time between two polls")
	connections := flag.Float64("connections", 3, "connections of a replica")
	connectionBytes := flag.Float64("connection-bytes", 38e3, "bytes of Redis's memory per connection")
	watchCommands := flag.Float64("watch-commands", 41, "commands to read the index, once a minute")
	flag.Parse()
	f.chunkBytes, f.chunkLimit = 8<<20-4<<10, 2*time.Second+2*time.Second // 2 s, and 1 s for each 4 MiB

	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "replicas\tbytes sent\tlast has its values\tcommands while waiting\tgave up and computed\tconnections\tmemory of connections\tcommands at rest\t")
	for text := range strings.SplitSeq(*replicas, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			fmt.Fprintf(os.Stderr, "fleet-sim: -replicas: %q is not a valid number of replicas\n", text)
			os.Exit(2)
		}
		f.replicas = n
		out := f.run()
		fmt.Fprintf(table, "%d\t%.3g GB\t%.1f s\t%.1f %%\t%d\t%.0f\t%.3g MB\t%.2f %%\t\n", n, float64(n)*f.valueBytes/1e9,
			out.last.Seconds(), 100*out.busiest, out.abandoned, float64(n)**connections, float64(n)**connections**connectionBytes/1e6,
			100*float64(n)*(*watchCommands+2)/60/f.commandRate)
	}
	if err := table.Flush(); err != nil {
		fmt.Fprintln(os.Stderr, "fleet-sim:", err)
		os.Exit(1)
	}
}
