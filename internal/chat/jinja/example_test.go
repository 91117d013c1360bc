package jinja_test

import (
	"fmt"

	"prunellm/internal/chat/jinja"
)

func Example() {
	template, err := jinja.New("{% for m in messages %}[{{ m.role }}] {{ m.content | trim }}{{ eos_token }}\n{% endfor %}")
	if err != nil {
		fmt.Println(err)
		return
	}
	message := jinja.Object{{Name: "role", Value: "user"}, {Name: "content", Value: " Hi "}}
	prompt, err := template.Render(map[string]any{"messages": []any{message}, "eos_token": "</s>"})
	fmt.Printf("%q %v\n", prompt, err)
	// Output: "[user] Hi</s>\n" <nil>
}
