package nvidia

import (
	"strings"
	"testing"
)

func TestSelect(t *testing.T) {
	for _, c := range []struct {
		device, before string
		set            bool
		want, fault    string
	}{
		{device: "none", want: ""},
		{device: "none", before: "3", set: true, want: ""},
		{device: "CUDA0", want: "0"},
		{device: "cuda1, CUDA0", want: "1,0"},
		{device: "CUDA1", before: "4, GPU-ab", set: true, want: "GPU-ab"},
		{device: "CUDA2", before: "4,5", set: true, fault: "shows 2"},
		{device: "CUDA0", before: "", set: true, fault: "shows 0"},
		{device: "gpu", fault: "CUDA0,CUDA1"},
		{device: "CUDA-1", fault: "version --devices"},
		{device: "CUDA0,", fault: "version --devices"},
	} {
		got, err := Select(c.device, c.before, c.set)
		if c.fault != "" {
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("--device %q of %q: error %v, want %q in it", c.device, c.before, err, c.fault)
			}
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("--device %q of %q: %q, %v, want %q", c.device, c.before, got, err, c.want)
		}
	}
}

func TestWhyIdle(t *testing.T) {
	for driver, want := range map[string]string{"570.1": "580 or later", "580.1": "make cuda"} {
		if got := (GPU{Name: "NVIDIA L4", Driver: driver}).WhyIdle(""); !strings.Contains(got, want) || !strings.Contains(got, "NVIDIA L4") {
			t.Errorf("driver %s: %q, want %q in it", driver, got, want)
		}
	}
}
