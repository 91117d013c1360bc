package e2e

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"prunellm/internal/e2e/program"
	"prunellm/internal/tinymodel"
)

// With latency limits the server makes and measures the variants of the ladder, and their cards have the speed. The largest
// variant within the limits answers name@auto, and a header names it.
func TestAuto(t *testing.T) {
	dir := t.TempDir()
	model := filepath.Join(dir, "tiny.gguf")
	if err := tinymodel.Write(model, tinymodel.Options{FFN: []int{128, 128}}); err != nil {
		t.Fatal(err)
	}
	s := program.Start(t, "--model", model, "--ratio", "0", "--auto-ratios", "0.2", "--slo-itl", "1h", "--shed", "--cache-dir", filepath.Join(dir, "cache"),
		"--calibration-tokens", "512", "--ctx", "256")
	s.WaitReady(program.ColdLimit)
	s.WaitFor("both cards have the speed", program.ColdLimit, func() bool {
		_, body := s.Get("/v1/models")
		var list struct {
			Data []struct {
				ID   string
				Card struct {
					ITL float64 `json:"itl_ms"`
				} `json:"prunellm"`
			}
		}
		if err := json.Unmarshal([]byte(body), &list); err != nil {
			return false
		}
		measured := 0
		for _, m := range list.Data {
			if strings.Contains(m.ID, "@") && m.Card.ITL > 0 {
				measured++
			}
		}
		return measured == 2
	})
	for model, want := range map[string]string{"tiny@auto": "tiny@0", "tiny": "tiny@0", "tiny@0.2": "tiny@0.2"} {
		resp, err := http.Post(s.Base+"/v1/chat/completions", "application/json",
			strings.NewReader(`{"model": "`+model+`", "max_tokens": 2, "messages": [{"role": "user", "content": "a"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if got := resp.Header.Get("x-prunellm-variant"); resp.StatusCode != http.StatusOK || got != want {
			t.Errorf("%s: status %d, variant %q, want %q", model, resp.StatusCode, got, want)
		}
	}
	s.Stop()
	program.CheckRefused(t, "--shed", "serve", "--model", model, "--shed")
	program.CheckRefused(t, "--max-variants", "serve", "--model", model, "--slo-ttft", "1s", "--max-variants", "2")
}
