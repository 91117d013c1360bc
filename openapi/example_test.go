package openapi_test

import (
	"errors"
	"fmt"

	"prunellm/openapi"
)

func ExampleDecodeChat() {
	request, err := openapi.DecodeChat([]byte(`{"model": "smollm2@0.3", "messages": [{"role": "user", "content": "Hi"}]}`), openapi.DefaultSampling)
	fmt.Println(request.Model.Base, request.Model.Ratio, request.Messages[0].Content, request.Temperature, err)

	_, err = openapi.DecodeChat([]byte(`{"messages": [{"role": "user", "content": "Hi"}], "top_logprobs": 3}`), openapi.DefaultSampling)
	var refused *openapi.Error
	if errors.As(err, &refused) {
		fmt.Println(*refused.Param, refused)
	}
	// Output:
	// smollm2 0.3 Hi 0.8 <nil>
	// top_logprobs top_logprobs is only allowed when logprobs is true
}
