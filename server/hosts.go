package server

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// hosts are the names that a Host header may have besides loopback names and addresses.
type hosts []hostPattern

// hostPattern allows one name, or all names below one, on one port or on all.
type hostPattern struct {
	name  string // lower case; "" allows every name
	below bool   // the names below name, and not name itself
	port  string // "": every port
}

// ParseHosts checks patterns for Options.AllowedHosts: a name, "*.name" for all names below it, or "*" for every name, each
// with or without a port.
func ParseHosts(patterns []string) error {
	_, err := parseHosts(patterns)
	return err
}

func parseHosts(patterns []string) (hosts, error) {
	var out hosts
	for _, pattern := range patterns {
		pattern = strings.TrimSpace(pattern)
		name, port := splitHost(pattern)
		rest, below := strings.CutPrefix(name, "*.")
		p := hostPattern{name: rest, below: below, port: port}
		switch {
		case name == "*" && !strings.HasPrefix(pattern, "*."):
			p = hostPattern{port: port}
		case rest == "" || rest == "*" || strings.ContainsAny(rest, "*/@ ") || strings.HasPrefix(rest, "."):
			return nil, fmt.Errorf("allowed host %q: want a name such as llm.example.org, *.example.org or llm.example.org:8443, or * for all", pattern)
		}
		if number, err := strconv.Atoi(port); port != "" && (err != nil || number < 1 || number > 65535) {
			return nil, fmt.Errorf("allowed host %q: %q is not a port", pattern, port)
		}
		out = append(out, p)
	}
	return out, nil
}

// splitHost returns the name or address of a Host header in lower case, without brackets and a final dot, and the port;
// "" where it has none.
func splitHost(hostPort string) (name, port string) {
	name = hostPort
	if n, p, err := net.SplitHostPort(hostPort); err == nil {
		name, port = n, p
	}
	return strings.ToLower(strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(name, "["), "]"), ".")), port
}

// allow reports whether the server accepts a Host header. A page of another site that rebinds its name to this address sends
// that name. The server accepts any IP address: an address cannot be rebound, and in a container the server does not know
// the addresses at which its port is published.
func (h hosts) allow(hostPort string) bool {
	name, port := splitHost(hostPort)
	if name == "localhost" || net.ParseIP(name) != nil {
		return true
	}
	for _, p := range h {
		if p.port != "" && p.port != port {
			continue
		}
		if p.name == "" || (!p.below && name == p.name) || (p.below && strings.HasSuffix(name, "."+p.name)) {
			return true
		}
	}
	return false
}
