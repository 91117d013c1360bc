package machine

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

const mib = 1 << 20

// tree returns a machine with 8 GiB of available memory and these additional files.
func tree(files map[string]string) system {
	all := fstest.MapFS{"proc/meminfo": {Data: []byte("MemTotal: 9000000 kB\nMemAvailable:    8388608 kB\n")}}
	for name, text := range files {
		all[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return system{files: all}
}

const (
	mountV2     = "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n"
	mountMemory = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
	mountCPU    = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
	noLimitV1   = "9223372036854771712\n"
)

func TestMemory(t *testing.T) {
	for name, c := range map[string]struct {
		files            map[string]string
		available, limit int64
	}{
		"no groups": {nil, 8192 * mib, Unknown},
		"v2, own group": {map[string]string{
			"proc/self/cgroup": "0::/system.slice/prunellm.service\n", "proc/self/mountinfo": mountV2,
			"sys/fs/cgroup/system.slice/memory.max":                      "max\n",
			"sys/fs/cgroup/system.slice/prunellm.service/memory.max":     "419430400\n",
			"sys/fs/cgroup/system.slice/prunellm.service/memory.current": "104857600\n",
			"sys/fs/cgroup/system.slice/prunellm.service/memory.stat":    "anon 5\ninactive_file 52428800\n",
		}, 350 * mib, 400 * mib},
		"v2, group above": {map[string]string{
			"proc/self/cgroup": "0::/a.slice/b.slice/c.scope\n", "proc/self/mountinfo": mountV2,
			"sys/fs/cgroup/a.slice/memory.max":                     "209715200\n",
			"sys/fs/cgroup/a.slice/memory.current":                 "200000000\n",
			"sys/fs/cgroup/a.slice/b.slice/memory.max":             "max\n",
			"sys/fs/cgroup/a.slice/b.slice/c.scope/memory.max":     "419430400\n",
			"sys/fs/cgroup/a.slice/b.slice/c.scope/memory.current": "1048576\n",
		}, 209715200 - 200000000, 200 * mib},
		"v2, container with its group at the root": {map[string]string{
			"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": mountV2,
			"sys/fs/cgroup/memory.max": "419430400\n", "sys/fs/cgroup/memory.current": "0\n",
		}, 400 * mib, 400 * mib},
		"v2, container with the host's path": {map[string]string{
			"proc/self/cgroup":         "0::/kubepods/pod1/abc\n",
			"proc/self/mountinfo":      "29 23 0:26 /kubepods/pod1/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
			"sys/fs/cgroup/memory.max": "419430400\n", "sys/fs/cgroup/memory.current": "0\n",
		}, 400 * mib, 400 * mib},
		"v2, outside of its name space": {map[string]string{
			"proc/self/cgroup": "0::/../../elsewhere\n", "proc/self/mountinfo": mountV2,
			"sys/fs/cgroup/memory.max": "419430400\n", "sys/fs/cgroup/memory.current": "0\n",
		}, 400 * mib, 400 * mib},
		"v2, unknown usage": {map[string]string{
			"proc/self/cgroup": "0::/a\n", "proc/self/mountinfo": mountV2, "sys/fs/cgroup/a/memory.max": "419430400\n",
		}, 400 * mib, 400 * mib},
		"v2, over its limit": {map[string]string{
			"proc/self/cgroup": "0::/a\n", "proc/self/mountinfo": mountV2,
			"sys/fs/cgroup/a/memory.max": "1048576\n", "sys/fs/cgroup/a/memory.current": "2097152\n",
		}, 0, mib},
		"v2, mounted at a path with a space": {map[string]string{
			"proc/self/cgroup": "0::/a\n", "proc/self/mountinfo": `29 23 0:26 / /my\040groups rw - cgroup2 none rw` + "\n",
			"my groups/a/memory.max": "419430400\n", "my groups/a/memory.current": "0\n",
		}, 400 * mib, 400 * mib},
		"v1, own group": {map[string]string{
			"proc/self/cgroup": "8:pids:/x\n4:memory:/docker/abc\n0::/\n", "proc/self/mountinfo": mountMemory + mountV2,
			"sys/fs/cgroup/memory/memory.limit_in_bytes":            noLimitV1,
			"sys/fs/cgroup/memory/docker/memory.limit_in_bytes":     noLimitV1,
			"sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": "419430400\n",
			"sys/fs/cgroup/memory/docker/abc/memory.usage_in_bytes": "104857600\n",
			"sys/fs/cgroup/memory/docker/abc/memory.stat":           "inactive_file 1\ntotal_inactive_file 52428800\nhierarchical_memory_limit 419430400\n",
		}, 350 * mib, 400 * mib},
		"v1, group above that a container cannot see": {map[string]string{
			"proc/self/cgroup":                           "4:memory:/pod/abc\n",
			"proc/self/mountinfo":                        "35 31 0:32 /pod/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": noLimitV1,
			"sys/fs/cgroup/memory/memory.usage_in_bytes": "0\n",
			"sys/fs/cgroup/memory/memory.stat":           "hierarchical_memory_limit 419430400\n",
		}, 400 * mib, 400 * mib},
		"v1 without a limit": {map[string]string{
			"proc/self/cgroup": "4:memory:/\n", "proc/self/mountinfo": mountMemory, "sys/fs/cgroup/memory/memory.limit_in_bytes": noLimitV1,
			"sys/fs/cgroup/memory/memory.usage_in_bytes": "5\n",
		}, 8192 * mib, Unknown},
		"nonsense": {map[string]string{
			"proc/self/cgroup": "\n:\n0::\nx:memory\n", "proc/self/mountinfo": "a - b\n1 2 3 / /m - cgroup2\n" + mountV2,
			"sys/fs/cgroup/memory.max": "many\n",
		}, 8192 * mib, Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			s := tree(c.files)
			if got := s.availableMemory(); got != c.available {
				t.Errorf("available memory %d, want %d", got, c.available)
			}
			if got := s.memoryLimit(); got != c.limit {
				t.Errorf("limit %d, want %d", got, c.limit)
			}
		})
	}
}

func TestMeminfo(t *testing.T) {
	for text, want := range map[string]int64{
		"MemTotal: 8 kB\nMemAvailable:    1024 kB\n": 1 << 20,
		"MemTotal: 8 kB\n":                           Unknown,
		"MemAvailable: x kB\n":                       Unknown,
		"MemAvailable: 99999999999999999999 kB\n":    Unknown,
		"": Unknown,
	} {
		if got := tree(map[string]string{"proc/meminfo": text}).availableMemory(); got != want {
			t.Errorf("available memory of %q = %d, want %d", text, got, want)
		}
	}
	if got := field("anon 5\ninactive_file 77\n", "inactive_file"); got != 77 {
		t.Errorf("inactive_file is %d, want 77", got)
	}
	if runtime.GOOS == "linux" && AvailableMemory() <= 0 {
		t.Errorf("available memory is %d", AvailableMemory())
	}
}

func TestCores(t *testing.T) {
	v2 := func(own, above string) map[string]string {
		return map[string]string{
			"proc/self/cgroup": "0::/a/b\n", "proc/self/mountinfo": mountV2,
			"sys/fs/cgroup/a/cpu.max": above, "sys/fs/cgroup/a/b/cpu.max": own,
		}
	}
	v1 := func(quota string) map[string]string {
		return map[string]string{
			"proc/self/cgroup": "2:cpu,cpuacct:/a\n", "proc/self/mountinfo": mountCPU,
			"sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": quota, "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000\n",
		}
	}
	for name, c := range map[string]struct {
		files map[string]string
		want  int // of 16
	}{
		"no groups":        {nil, 16},
		"v2, no quota":     {v2("max 100000\n", "max 100000\n"), 16},
		"v2, four":         {v2("400000 100000\n", "max 100000\n"), 4},
		"v2, of the group": {v2("400000 100000\n", "200000 100000\n"), 2},
		"v2, one and half": {v2("150000 100000\n", ""), 2},
		"v2, one":          {v2("120000 100000\n", ""), 1},
		"v2, a tenth":      {v2("10000 100000\n", ""), 1},
		"v2, more":         {v2("6400000 100000\n", ""), 16},
		"v1, no quota":     {v1("-1\n"), 16},
		"v1, three":        {v1("300000\n"), 3},
	} {
		if got := tree(c.files).cores(16); got != c.want {
			t.Errorf("%s: %d cores, want %d", name, got, c.want)
		}
		if got := tree(c.files).hasCPUQuota(16); got != (c.want < 16) {
			t.Errorf("%s: a CPU quota is reported as %t", name, got)
		}
	}
	if got := Cores(); got < 1 || got > runtime.GOMAXPROCS(0) {
		t.Errorf("%d cores", got)
	}
}

// TestOwnGroup runs a process in its own group below this process's.
func TestOwnGroup(t *testing.T) {
	if os.Getenv("PRUNELLM_TEST_GROUP") != "" {
		fmt.Printf("limit=%d available=%d\n", MemoryLimit(), AvailableMemory())
		return
	}
	for _, g := range here().groups("memory") {
		dir := filepath.Join("/", g.dir, "prunellm-test-"+strconv.Itoa(os.Getpid()))
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		defer os.Remove(dir)
		file := map[int]string{v1: "memory.limit_in_bytes", v2: "memory.max"}[g.version]
		if os.WriteFile(filepath.Join(dir, file), []byte(strconv.Itoa(256*mib)), 0o644) != nil {
			continue
		}
		checkInGroup(t, dir)
		return
	}
	t.Skip("cannot create a control group here")
}

func checkInGroup(t *testing.T, dir string) {
	t.Helper()
	command := exec.Command("sh", "-c", `echo $$ > "$1/cgroup.procs" && shift && exec "$@"`, "sh", dir, os.Args[0], "-test.run=^TestOwnGroup$")
	command.Env = append(os.Environ(), "PRUNELLM_TEST_GROUP=1")
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if !bytes.Contains(out, []byte(fmt.Sprintf("limit=%d ", 256*mib))) {
		t.Errorf("output %s, want the group's limit of %d", out, 256*mib)
	}
	_, after, _ := strings.Cut(string(out), "available=")
	after, _, _ = strings.Cut(after, "\n")
	if n, err := strconv.ParseInt(after, 10, 64); err != nil || n <= 0 || n > 256*mib {
		t.Errorf("available is %q, want at most the limit", after)
	}
}
