package server

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestAllowedHosts(t *testing.T) {
	for name, c := range map[string]struct {
		patterns      []string
		allow, refuse []string
	}{
		"none": {
			nil, []string{"localhost", "LOCALHOST:99", "localhost.", "127.0.0.1:8080", "[::1]:8080", "::1", "192.168.1.5:8080", "10.1.2.3", "[fe80::1]"},
			[]string{"evil.example", "127.0.0.1.evil.example", "10.1.2.3.evil.example:80", "localhost.evil.example", "", "[evil.example]", "1.2.3", "0x7f000001"},
		},
		"a name": {
			[]string{"LLM.example"}, []string{"llm.example", "llm.example:443", "llm.example.", "llm.example.:443"},
			[]string{"other.example", "a.llm.example", "llm.example.evil", "xllm.example", "llm.example:443:443"},
		},
		"names below one": {
			[]string{"*.example.org", " b.example "}, []string{"a.example.org", "A.B.Example.ORG:8080", "b.example"},
			[]string{"example.org", "aexample.org", "a.example.org.evil", ".org"},
		},
		"ports": {
			[]string{"a.example:8443", "*.b.example:80"}, []string{"a.example:8443", "x.b.example:80"},
			[]string{"a.example", "a.example:80", "x.b.example", "b.example:80"},
		},
		"all":            {[]string{"*"}, []string{"any.example", "any.example:1", ""}, nil},
		"all of a port":  {[]string{"*:8080"}, []string{"any.example:8080"}, []string{"any.example", "any.example:80"}},
		"a name and all": {[]string{"a.example:1", "*"}, []string{"a.example:2"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			hosts, err := parseHosts(c.patterns)
			if err != nil {
				t.Fatal(err)
			}
			for _, host := range c.allow {
				if !hosts.allow(host) {
					t.Errorf("Host %q is refused", host)
				}
			}
			for _, host := range c.refuse {
				if hosts.allow(host) {
					t.Errorf("Host %q is allowed", host)
				}
			}
		})
	}
	for _, pattern := range []string{"", "*.", "a*.example", "*.*.example", "*a.example", "https://a.example", "a.example:x", "a.example:99999", "**", ".example"} {
		if err := ParseHosts([]string{"a.example", pattern}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", pattern)) {
			t.Errorf("pattern %q: error %v, want it named", pattern, err)
		}
		if _, err := New(Options{Models: newFake(), Chat: fakeChat(t, toolsUnknown), AllowedHosts: []string{pattern}}); err == nil {
			t.Errorf("pattern %q makes a server", pattern)
		}
	}
}

// Old clients and health checks of load balancers send HTTP/1.0 without a Host header. No browser does, so on a loopback
// address the request passes.
func TestHTTP10WithoutHost(t *testing.T) {
	s := serve(t, newFake())
	for request, want := range map[string]int{
		"GET /healthz HTTP/1.0\r\n\r\n":                                200,
		"GET /v1/models HTTP/1.0\r\nAccept: */*\r\n\r\n":               200,
		"GET /healthz HTTP/1.0\r\nHost: evil.example\r\n\r\n":          403,
		"GET http://evil.example/healthz HTTP/1.0\r\n\r\n":             403,
		"GET /healthz HTTP/1.1\r\nHost: \r\nConnection: close\r\n\r\n": 403,
	} {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte(request)); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%q: %v", request, err)
		}
		if response.StatusCode != want {
			t.Errorf("%q = %d, want %d", request, response.StatusCode, want)
		}
		_ = response.Body.Close()
		_ = conn.Close()
	}
}
