package jinja_test

import (
	"fmt"

	"prunellm/internal/chat/jinja"
)

func Example() {
	template, err := jinja.New("{% for m in messages %}[{{ m.role }}] {{ m.content | trim }}{{ eos_token }}\n{% endfor %}", "<s>", "</s>")
	if err != nil {
		fmt.Println(err)
		return
	}
	prompt, err := template.Render([]jinja.Message{{Role: "user", Content: " Hi "}}, true)
	fmt.Printf("%q %v\n", prompt, err)
	// Output: "[user] Hi</s>\n" <nil>
}
