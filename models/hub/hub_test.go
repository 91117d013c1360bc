package hub

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // Git's
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const commit = "0123456789abcdef0123456789abcdef01234567"

// fakeHub is a hub with one repository.
type fakeHub struct {
	*httptest.Server
	mu       sync.Mutex
	files    map[string][]byte
	token    string                                                         // required when not empty
	cut      int                                                            // number of bytes after which each response breaks off; 0 means never
	ignore   bool                                                           // whether to ignore ranges in requests
	serve    func(w http.ResponseWriter, r *http.Request, name string) bool // if set, may respond itself and return true
	list     func(w http.ResponseWriter) bool                               // the same for the list of files
	requests []string                                                       // for files, with their ranges
	sums     map[string]string                                              // checksums to send instead of the right ones
}

func newFakeHub(t *testing.T, files map[string][]byte) *fakeHub {
	h := &fakeHub{files: files, sums: map[string]string{}}
	h.Server = httptest.NewServer(http.HandlerFunc(h.handle))
	t.Cleanup(h.Close)
	return h
}

func (h *fakeHub) handle(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.token != "" && r.Header.Get("Authorization") != "Bearer "+h.token {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if rest, ok := strings.CutPrefix(r.URL.Path, "/api/models/owner/name/revision/"); ok {
		if rest != "main" && rest != "v1" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		if h.list != nil && h.list(w) {
			return
		}
		_ = json.NewEncoder(w).Encode(h.about())
		return
	}
	name, ok := strings.CutPrefix(r.URL.Path, "/owner/name/resolve/"+commit+"/")
	data, found := h.files[name]
	if !ok || !found {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	h.requests = append(h.requests, name+" "+r.Header.Get("Range"))
	if h.serve != nil && h.serve(w, r, name) {
		return
	}
	h.send(w, r, data)
}

// send responds with the file or the requested range of it. It breaks the response off after cut bytes.
func (h *fakeHub) send(w http.ResponseWriter, r *http.Request, data []byte) {
	from := 0
	if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); err == nil && !h.ignore {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(data)-1, len(data)))
		w.Header().Set("Content-Length", fmt.Sprint(len(data)-from))
		w.WriteHeader(http.StatusPartialContent)
	} else {
		from = 0
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
	}
	rest := data[from:]
	if h.cut > 0 && len(rest) > h.cut {
		_, _ = w.Write(rest[:h.cut])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler) // closes the connection
	}
	_, _ = w.Write(rest)
}

func (h *fakeHub) about() any {
	var siblings []map[string]any
	for name, data := range h.files {
		file := map[string]any{"rfilename": name, "size": len(data)}
		if strings.HasSuffix(name, ".json") {
			file["blobId"] = gitSum(data)
		} else {
			sum := sha256.Sum256(data)
			file["blobId"] = gitSum([]byte("a pointer"))
			file["lfs"] = map[string]any{"sha256": hex.EncodeToString(sum[:]), "size": len(data)}
		}
		if wrong, ok := h.sums[name]; ok {
			file["lfs"] = map[string]any{"sha256": wrong, "size": len(data)}
		}
		siblings = append(siblings, file)
	}
	return map[string]any{"sha": commit, "siblings": siblings}
}

func gitSum(data []byte) string {
	sum := sha1.Sum(append(fmt.Appendf(nil, "blob %d\x00", len(data)), data...)) //nolint:gosec // Git's
	return hex.EncodeToString(sum[:])
}

func (h *fakeHub) client(t *testing.T, change func(*Options)) *Client {
	t.Helper()
	options := Options{URL: h.URL, Dir: t.TempDir()}
	if change != nil {
		change(&options)
	}
	client, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	client.backoff = 1 // nanosecond
	return client
}

func ref(t *testing.T, text string) Ref {
	t.Helper()
	ref, err := ParseRef(text)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func fetch(t *testing.T, c *Client, text string, want []byte) string {
	t.Helper()
	path, _, err := c.Fetch(t.Context(), ref(t, text))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%s holds %d bytes, %v, want %d", path, len(got), err, len(want))
	}
	return path
}

func content(n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i * i >> 3)
	}
	return data
}

// A download resumes, no matter how often the hub breaks it off.
func TestResume(t *testing.T) {
	data := content(100_000)
	h := newFakeHub(t, map[string][]byte{"m.gguf": data})
	h.cut = 9_000
	last, total := int64(0), int64(0)
	c := h.client(t, func(o *Options) { o.Progress = func(done, all int64) { last, total = done, all } })
	path := fetch(t, c, "hf:owner/name", data)
	if len(h.requests) < 11 || !strings.Contains(h.requests[5], "bytes=") {
		t.Errorf("requests are %q, want at least 11 with ranges", h.requests)
	}
	if last != 100_000 || total != 100_000 {
		t.Errorf("progress ends at %d of %d", last, total)
	}
	if filepath.Base(filepath.Dir(path)) != "name" {
		t.Errorf("path is %s, want its folder to be the model's name", path)
	}
	before := len(h.requests)
	if fetch(t, c, "hf:owner/name", data); len(h.requests) != before {
		t.Errorf("a file that exists is requested again: %q", h.requests[before:])
	}
	h.Close()
	fetch(t, c, "hf:owner/name", data) // offline
}

// A process resumes the partial file of an earlier one. If the partial file is damaged, the checksum detects it and the
// file is downloaded again.
func TestResumeLaterAndDamaged(t *testing.T) {
	data := content(50_000)
	for name, part := range map[string][]byte{
		"good": data[:20_000], "damaged": bytes.Repeat([]byte{1}, 20_000), "too long": make([]byte, 60_000), "whole": data, "whole but damaged": make([]byte, 50_000),
	} {
		for _, ignore := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, ranges ignored %t", name, ignore), func(t *testing.T) {
				h := newFakeHub(t, map[string][]byte{"m.gguf": data})
				h.ignore = ignore
				c := h.client(t, nil)
				dir := filepath.Join(c.options.Dir, "owner--name", commit, "name")
				if err := os.MkdirAll(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, "m.gguf.part"), part, 0o600); err != nil {
					t.Fatal(err)
				}
				fetch(t, c, "hf:owner/name", data)
				if want := "m.gguf bytes=20000-"; name == "good" && (len(h.requests) != 1 || h.requests[0] != want) {
					t.Errorf("requests are %q, want %q", h.requests, want)
				}
			})
		}
	}
}

// A file that does not match the hub's checksum never gets its name.
func TestChecksum(t *testing.T) {
	for name, sabotage := range map[string]func(h *fakeHub){
		"large file": func(h *fakeHub) { h.sums["m.gguf"] = strings.Repeat("ab", 32) },
		"more bytes": func(h *fakeHub) {
			h.serve = func(w http.ResponseWriter, _ *http.Request, _ string) bool {
				_, _ = w.Write(make([]byte, 9000))
				return true
			}
		},
		"fewer bytes": func(h *fakeHub) {
			h.serve = func(w http.ResponseWriter, _ *http.Request, _ string) bool {
				_, _ = w.Write(make([]byte, 10))
				return true
			}
		},
		"other range": func(h *fakeHub) {
			h.cut = 100
			h.serve = func(w http.ResponseWriter, r *http.Request, _ string) bool {
				if r.Header.Get("Range") == "" {
					return false
				}
				w.Header().Set("Content-Range", "bytes 7-8/9")
				w.WriteHeader(http.StatusPartialContent)
				return true
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFakeHub(t, map[string][]byte{"m.gguf": content(5000)})
			sabotage(h)
			c := h.client(t, nil)
			if path, _, err := c.Fetch(t.Context(), ref(t, "hf:owner/name")); err == nil {
				t.Errorf("fetched %s", path)
			}
			if _, err := os.Stat(filepath.Join(c.options.Dir, "owner--name", commit, "name", "m.gguf")); !os.IsNotExist(err) {
				t.Errorf("a file with a wrong checksum has its final name: %v", err)
			}
		})
	}
}

// The client follows redirects only to allowed hosts and sends the token only to the hub.
func TestRedirects(t *testing.T) {
	data := content(3000)
	var authorization []string
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		authorization = append(authorization, r.Header.Get("Authorization"))
		_, _ = w.Write(data)
	}))
	t.Cleanup(elsewhere.Close)
	there, err := url.Parse(elsewhere.URL)
	if err != nil {
		t.Fatal(err)
	}
	h := newFakeHub(t, map[string][]byte{"m.gguf": data})
	h.token = "secret"
	h.serve = func(w http.ResponseWriter, r *http.Request, _ string) bool {
		http.Redirect(w, r, elsewhere.URL+"/x?signature=1", http.StatusFound)
		return true
	}
	var host *HostError
	_, _, err = h.client(t, func(o *Options) { o.Token = "secret" }).Fetch(t.Context(), ref(t, "hf:owner/name"))
	if !errors.As(err, &host) || strings.Contains(err.Error(), "signature") || len(authorization) != 0 {
		t.Errorf("a redirect to another host gives %v, requests there: %d", err, len(authorization))
	}
	fetch(t, h.client(t, func(o *Options) { o.Token, o.Hosts = "secret", []string{there.Host} }), "hf:owner/name", data)
	if len(authorization) != 1 || authorization[0] != "" {
		t.Errorf("the token went to another host: %q", authorization)
	}
	h.serve = func(w http.ResponseWriter, r *http.Request, _ string) bool {
		http.Redirect(w, r, h.URL+r.URL.Path, http.StatusFound)
		return true
	}
	if _, _, err := h.client(t, func(o *Options) { o.Token = "secret" }).Fetch(t.Context(), ref(t, "hf:owner/name")); err == nil || !strings.Contains(err.Error(), "too often") {
		t.Errorf("a redirect loop gives %v", err)
	}
}

func TestAnswers(t *testing.T) {
	h := newFakeHub(t, map[string][]byte{"m.gguf": content(10)})
	h.token = "secret"
	for text, want := range map[string]string{"hf:owner/name": "HF_TOKEN", "hf:owner/none": "HF_TOKEN"} {
		if _, _, err := h.client(t, nil).Fetch(t.Context(), ref(t, text)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s gives %v, want an error that mentions %s", text, err, want)
		}
	}
	c := h.client(t, func(o *Options) { o.Token = "secret" })
	if _, _, err := c.Fetch(t.Context(), ref(t, "hf:owner/name@none")); err == nil || !strings.Contains(err.Error(), "no such") {
		t.Errorf("a missing revision gives %v", err)
	}
	fetch(t, c, "hf:owner/name@v1", content(10))
	failures := 3
	h.serve = func(w http.ResponseWriter, _ *http.Request, _ string) bool {
		if failures--; failures < 0 {
			return false
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	}
	fetch(t, h.client(t, func(o *Options) { o.Token = "secret" }), "hf:owner/name", content(10))
}

func TestFolder(t *testing.T) {
	h := newFakeHub(t, map[string][]byte{
		"config.json": []byte("{}"), "tokenizer.json": []byte("{ }"), "model.safetensors": content(100), "README.md": []byte("x"),
		"onnx/model.safetensors": content(5), "consolidated.safetensors": content(7), "pytorch_model.bin": content(9),
	})
	dir, folder, err := h.client(t, nil).Fetch(t.Context(), ref(t, "hf:owner/name"))
	if err != nil || !folder {
		t.Fatalf("folder %t, %v", folder, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Errorf("the folder holds %v, %v, want config.json, tokenizer.json, model.safetensors", entries, err)
	}
}

func TestChoose(t *testing.T) {
	many := []string{"m-Q4_K_M.gguf", "m-Q8_0.gguf", "m-IQ2_XS.gguf", "mmproj-m-f16.gguf", "big-00001-of-00002.gguf"}
	for _, test := range []struct {
		files    []string
		selector string
		want     string
	}{
		{many, "", "m-Q8_0.gguf"},
		{many, "q4_k_m", "m-Q4_K_M.gguf"},
		{many, "m-IQ2_XS.gguf", "m-IQ2_XS.gguf"},
		{many, "Q3_K_M", ""},
		{many, "big-00001-of-00002.gguf", "big-00001-of-00002.gguf"},
		{[]string{"big-00001-of-00002.gguf"}, "", ""},
		{[]string{"x.gguf"}, "", "x.gguf"},
		{[]string{"a.gguf", "b.gguf"}, "", ""},
		{[]string{"README.md"}, "", ""},
		{[]string{"model.safetensors"}, "", ""},
	} {
		about := &info{}
		for _, name := range test.files {
			about.Files = append(about.Files, file{Name: name})
		}
		files, _, err := about.choose(test.selector)
		if got := ""; err == nil {
			if got = files[0].Name; got != test.want {
				t.Errorf("choose %q of %q = %q, want %q", test.selector, test.files, got, test.want)
			}
		} else if test.want != "" {
			t.Errorf("choose %q of %q: %v", test.selector, test.files, err)
		}
	}
}

func TestParseRef(t *testing.T) {
	for text, want := range map[string]Ref{
		"hf:a/b":                 {"a", "b", "main", ""},
		"hf:a/b@v1:Q8_0":         {"a", "b", "v1", "Q8_0"},
		"hf:a/b:sub/x.gguf":      {"a", "b", "main", "sub/x.gguf"},
		"hf:A-1.x/b_2@refs/pr/1": {"A-1.x", "b_2", "refs/pr/1", ""},
	} {
		if got, err := ParseRef(text); err != nil || got != want {
			t.Errorf("ParseRef(%q) = %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "hf:", "hf:a", "hf:a/", "hf:/b", "hf:../b", "hf:a/..", "hf:a/b/c", "hf:a/b@", "hf:a/b@../x", "hf:a/b:", "hf:a/b:../x", "hf:a/b:/etc", "hf:a b/c", "hf:a/b?x=1", "x"} {
		if got, err := ParseRef(text); err == nil {
			t.Errorf("ParseRef(%q) = %+v", text, got)
		}
	}
}

func TestHubURL(t *testing.T) {
	for text, good := range map[string]bool{
		"": true, "https://hub.example": true, "http://127.0.0.1:8080/hub": true, "http://hub.example": false,
		"ftp://x": false, "hub.example": false, "https://user@x": false, "https://x/?q=1": false,
	} {
		if _, err := New(Options{URL: text, Token: "t"}); (err == nil) != good {
			t.Errorf("New(%q) gives %v", text, err)
		}
	}
	c, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		"https://huggingface.co/x": true, "https://cdn-lfs.huggingface.co/x": true, "https://cas-bridge.xethub.hf.co/x": true,
		"http://huggingface.co/x": false, "https://evilhf.co/x": false, "https://hf.co.evil.example/x": false, "https://127.0.0.1/x": false, "https://a@hf.co/": false,
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.allowed(u); got != want {
			t.Errorf("allowed(%s) = %t, want %t", text, got, want)
		}
	}
}

// FuzzInfo parses hostile responses. Every chosen file must have a plain relative path and a checksum.
func FuzzInfo(f *testing.F) {
	f.Add([]byte(`{"sha":"`+commit+`","siblings":[{"rfilename":"m.gguf","size":5,"blobId":"`+commit+`","lfs":{"sha256":"`+strings.Repeat("ab", 32)+`","size":7}}]}`), "")
	f.Add([]byte(`{"sha":"`+commit+`","siblings":[{"rfilename":"../../m.gguf","size":5,"blobId":"`+commit+`"}]}`), "Q8_0")
	f.Fuzz(func(t *testing.T, data []byte, selector string) {
		about, err := parseInfo(data)
		if err != nil {
			return
		}
		files, _, err := about.choose(selector)
		if err != nil {
			return
		}
		for _, f := range files {
			sum, blob := f.sum()
			if !filepath.IsLocal(filepath.FromSlash(f.Name)) || f.bytes() < 0 || (len(sum) != 64 && len(blob) != 40) {
				t.Fatalf("choose returns %+v", f)
			}
		}
	})
}
