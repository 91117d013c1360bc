#include <string.h>

#include "tensor.h"

bool prunellm_same_layout(void) {
	return ggml_tensor_overhead() == sizeof(struct ggml_tensor) + sizeof(struct ggml_object) &&
		strcmp(ggml_op_name(OP_MUL_MAT), "MUL_MAT") == 0 && strcmp(ggml_type_name(TYPE_Q4_0), "q4_0") == 0 &&
		strcmp(ggml_type_name(TYPE_Q4_1), "q4_1") == 0 && strcmp(ggml_type_name(TYPE_Q8_0), "q8_0") == 0 &&
		strcmp(ggml_type_name(TYPE_Q5_0), "q5_0") == 0 && strcmp(ggml_type_name(TYPE_Q5_1), "q5_1") == 0 &&
		strcmp(ggml_type_name(TYPE_Q4_K), "q4_K") == 0 && strcmp(ggml_type_name(TYPE_Q5_K), "q5_K") == 0 &&
		strcmp(ggml_type_name(TYPE_Q6_K), "q6_K") == 0;
}
