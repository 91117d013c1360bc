package gbnf

import (
	"fmt"
	"math/rand/v2"
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestFormats(t *testing.T) {
	tests := map[string]struct{ yes, no []string }{
		"date": {[]string{"2024-12-31", "2024-02-29", "2000-02-29", "2023-04-30", "2023-02-28", "0004-02-29", "9999-12-31", "1000-01-01"},
			[]string{"2023-02-29", "1900-02-29", "2024-02-30", "2024-04-31", "2024-06-31", "2024-13-01", "2024-00-10", "2024-01-00", "2024-01-32", "0000-01-01", "0000-02-29"}},
		"time":      {[]string{"23:59:59Z", "00:00:00+05:30", "12:30:00.123456-08:00"}, []string{"24:00:00Z", "12:60:00Z", "12:30:60Z", "12:30:00", "12:30:00.Z"}},
		"date-time": {[]string{"2024-12-31T23:59:59Z", "2024-02-29T00:00:00.5+01:00"}, []string{"2023-02-29T00:00:00Z", "2024-12-31 23:59:59Z", "2024-12-31T23:59:59"}},
		"duration": {[]string{"PT1H30M", "P1Y6M", "P3D", "P2W", "PT0S", "P1Y2M3DT4H5M6S", "PT36H", "PT1H30S", "P1DT12H", "P1M", "PT1M", "P10000D"},
			[]string{"P", "PT", "P1", "P1H", "PT1D", "P1YT", "P1Y2W", "P1D1Y", "1D", "P1S"}},
		"email": {[]string{"o'neil@a.ie", "a.b+c@Example.ORG", "x@mail.co.uk", "a@xn--p1ai.xn--p1ai", "first/last@example.museum", "!#$%&*=?^`{|}~-_@b.cd"},
			[]string{"a@b", "@b.cd", "a..b@c.de", ".a@b.cd", "a@-b.cd", "a@b..cd", "a b@c.de", "a@b.c1-"}},
		"hostname": {[]string{"localhost", "Example.COM", "a-b.c1.io", "3com.com", "x"}, []string{"-a", "a-", "a..b", "a_b", "10.0.0.1", ""}},
		"ipv4":     {[]string{"127.0.0.1", "255.255.255.255", "0.0.0.0"}, []string{"256.1.1.1", "1.1.1", "01.1.1.1", "1.1.1.1.1"}},
		"ipv6": {[]string{"::1", "::", "2001:db8::1", "2001:DB8:0:0:8:800:200C:417A", "::ffff:192.0.2.1", "fe80::1:2:3", "1::", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1:2:3:4:5:6:1.2.3.4"},
			[]string{":", ":::", "1::2::3", "1:2:3:4:5:6:7", "12345::", "1:2:3:4:5:6:7:8:9", "::1.2.3", "g::", "1:2:3:4:5:6:7:8::"}},
		"uri": {[]string{"http://localhost:18100/v1", "http://192.168.1.10/x", "https://a.example.org/a%20b/c,d;e?q=1,2&r=(x)#frag", "https://example.com", "ftp://user:pw@host.example/f",
			"http://[2001:db8::1]:8080/", "mailto:a@b.cd", "urn:isbn:0451450523", "file:///etc/hosts", "s3://my_bucket/key", "https://example.com:65535/?x", "data:text/plain,hello%21"},
			[]string{"//a/b", "a/b", "http://", "http://a:65536/", "http://a/b c", "http://a/%2", "http://a/[", "1http://a", "http://a/#b#c", "https://exa mple.com"}},
		"uuid": {[]string{"01234567-89ab-cdef-0123-456789abcdef", "01234567-89AB-CDEF-0123-456789ABCDEF"}, []string{"01234567-89ab-cdef-0123-456789abcde", "01234567_89ab-cdef-0123-456789abcdef", "g1234567-89ab-cdef-0123-456789abcdef"}},
		// An unknown format is an annotation.
		"password": {[]string{"", "anything at all"}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			quoted := func(texts []string) (out []string) {
				for _, text := range texts {
					out = append(out, quoteJSON(text))
				}
				return out
			}
			checkSchema(t, `{"type":"string","format":"`+name+`"}`, quoted(test.yes), quoted(test.no))
		})
	}
}

// In some years of several centuries, the format accepts exactly the days of the calendar.
func TestDatesAgreeWithTheCalendar(t *testing.T) {
	date := regexp.MustCompile(formats["date"])
	for _, year := range []int{1, 4, 100, 400, 999, 1000, 1896, 1900, 1904, 1999, 2000, 2023, 2024, 2100, 2400, 9996, 9999} {
		for month := range 14 {
			for day := range 34 {
				text := fmt.Sprintf("%04d-%02d-%02d", year, month, day)
				_, err := time.Parse(time.DateOnly, text)
				if got := date.MatchString(text); got != (err == nil) {
					t.Errorf("%s matches: %t, want %t", text, got, err == nil)
				}
			}
		}
	}
}

// The parsers of the standard library accept the texts that a format's grammar generates.
func TestFormatsParse(t *testing.T) {
	random := rand.New(rand.NewPCG(21, 22))
	for name, parse := range map[string]func(string) error{
		"date":      func(s string) error { _, err := time.Parse(time.DateOnly, s); return err },
		"date-time": func(s string) error { _, err := time.Parse(time.RFC3339Nano, s); return err },
		"email":     func(s string) error { _, err := mail.ParseAddress(s); return err },
		"ipv4":      func(s string) error { _, err := netip.ParseAddr(s); return err },
		"ipv6":      func(s string) error { _, err := netip.ParseAddr(s); return err },
		"uri":       func(s string) error { _, err := url.Parse(s); return err },
	} {
		text, err := FromSchema([]byte(`{"format":"` + name + `"}`))
		if err != nil {
			t.Fatal(err)
		}
		g := mustParse(t, text)
		for range 60 {
			got, complete := write(t, g, random)
			if !complete {
				continue
			}
			if err := parse(strings.Trim(got, `"`)); err != nil {
				t.Errorf("%s gives %s: %v", name, got, err)
			}
		}
	}
}
