package chattemplate_test

import (
	"fmt"

	"prunellm/models/chattemplate"
)

func Example() {
	template, err := chattemplate.New("{% for m in messages %}[{{ m.role }}] {{ m.content | trim }}{{ eos_token }}\n{% endfor %}", "<s>", "</s>")
	if err != nil {
		fmt.Println(err)
		return
	}
	prompt, err := template.Render([]chattemplate.Message{{Role: "user", Content: " Hi "}}, true)
	fmt.Printf("%q %v\n", prompt, err)
	// Output: "[user] Hi</s>\n" <nil>
}
