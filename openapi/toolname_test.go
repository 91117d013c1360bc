package openapi

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Each name that models were not trained with becomes a unique plain one. Calls in the history and the choice follow.
func TestToolNames(t *testing.T) {
	long := strings.Repeat("x", 70)
	names := []string{"files.read", "files_read", "files read", "wetter-köln", long + "a", long + "b", "ok"}
	want := []string{"files_read_2", "files_read", "files_read_3", "wetter-k_ln", long[:64], long[:62] + "_2", "ok"}
	var tools []string
	for _, name := range names {
		tools = append(tools, fmt.Sprintf(`{"type":"function","function":{"name":%q}}`, name))
	}
	got, err := DecodeChat([]byte(`{"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"files read","arguments":"{}"}}]}],
		"tools":[`+strings.Join(tools, ",")+`],"tool_choice":{"type":"function","function":{"name":"files.read"}}}`), DefaultSampling)
	if err != nil {
		t.Fatal(err)
	}
	var model, client []string
	for _, tool := range got.Tools {
		model, client = append(model, tool.Name), append(client, tool.ClientName)
	}
	if diff := cmp.Diff(want, model); diff != "" {
		t.Errorf("names for the model differ (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(names, client); diff != "" {
		t.Errorf("names for the client differ (-want +got):\n%s", diff)
	}
	if call, choice := got.Messages[1].ToolCalls[0].Function.Name, got.ToolChoice.Name; call != "files_read_3" || choice != "files_read_2" {
		t.Errorf("the history calls %q, the choice is %q", call, choice)
	}
}
