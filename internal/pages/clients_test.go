package pages

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

// TestCompatibilityPage: the page on clients has a row for each client that scripts/check/clients runs, of the version that it
// pins, and no other.
func TestCompatibilityPage(t *testing.T) {
	var clients []struct {
		Client   string
		Pip, Npm []string
	}
	if err := json.Unmarshal([]byte(read(t, "scripts/check/clients.d/clients.json")), &clients); err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for _, row := range regexp.MustCompile(`(?m)^\| ([\w-]+) \| (\d[\w.]*) \| \d{4}-\d\d-\d\d \|`).FindAllStringSubmatch(read(t, "docs/use/compatibility.md"), -1) {
		rows[row[1]] = row[2]
	}
	if len(rows) == 0 {
		t.Fatal("docs/use/compatibility.md has no rows")
	}
	for _, client := range clients {
		pins := append(client.Npm, client.Pip...)
		for _, pin := range pins {
			if !regexp.MustCompile(`.(==|@)\d[\w.]*$`).MatchString(pin) {
				t.Errorf("%s: %s has no version", client.Client, pin)
			}
		}
		version := pins[0][strings.LastIndexAny(pins[0], "=@")+1:]
		if rows[client.Client] != version {
			t.Errorf("docs/use/compatibility.md has version %q of %s, clients.json %q: run scripts/check/clients %[2]s", rows[client.Client], client.Client, version)
		}
		delete(rows, client.Client)
	}
	for client := range rows {
		t.Errorf("docs/use/compatibility.md has a row for %s, which scripts/check/clients does not run", client)
	}
}
