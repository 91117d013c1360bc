package machine

import (
	"strings"
	"time"
)

// tick is the unit of processor times in Linux's files (USER_HZ).
const tick = time.Second / 100

// Times are processor times up to a moment.
type Times struct {
	at        time.Time
	busy, own time.Duration // of all programs on all cores, and of this process
	cores     int           // of the machine; 0: unknown
}

// Now returns the processor times up to now.
func Now() Times {
	t := here().times()
	t.at = time.Now()
	return t
}

// Others returns how many cores other programs used between t and later (busy). spare is how many they could use without taking
// any from this process, which may use Cores of them. ok is false if that is unknown.
func (t Times) Others(later Times) (busy, spare float64, ok bool) {
	length := later.at.Sub(t.at)
	if t.cores == 0 || later.cores == 0 || length <= 0 {
		return 0, 0, false
	}
	others := (later.busy - t.busy) - (later.own - t.own)
	return max(float64(others)/float64(length), 0), max(float64(later.cores-Cores()), 0), true
}

// times reads the kernel's processor times. Time that a hypervisor gave to other machines counts as busy.
func (s system) times() (t Times) {
	cores := 0
	var busy int64
	for line := range strings.Lines(s.read("proc/stat")) {
		name, rest, _ := strings.Cut(line, " ")
		switch {
		case name == "cpu":
			for i, text := range strings.Fields(rest) {
				// user nice system idle iowait irq softirq steal; guests are part of user
				if n := number(text); n > 0 && i < 8 && i != 3 && i != 4 {
					busy += n
				}
			}
		case strings.HasPrefix(name, "cpu"):
			cores++
		}
	}
	// The second field is the program's name in brackets, which may contain any characters.
	own := s.read("proc/self/stat")
	fields := strings.Fields(own[strings.LastIndexByte(own, ')')+1:])
	if cores == 0 || len(fields) < 13 {
		return Times{}
	}
	user, kernel := number(fields[11]), number(fields[12])
	if user < 0 || kernel < 0 {
		return Times{}
	}
	return Times{busy: time.Duration(busy) * tick, own: time.Duration(user+kernel) * tick, cores: cores}
}
