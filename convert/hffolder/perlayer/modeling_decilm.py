# SPDX-License-Identifier: Apache-2.0
"""A Llama-like model whose layers have MLPs of different widths, for transformers with trust_remote_code.

vLLM has its own implementation under the same name. prunellm writes this file beside the weights.
"""

import copy

from torch import nn
from transformers import LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaMLP

from .configuration_decilm import DeciLMConfig


class DeciLMForCausalLM(LlamaForCausalLM):
    config_class = DeciLMConfig

    def __init__(self, config):
        super().__init__(config)
        for layer, block in zip(self.model.layers, config.block_configs, strict=True):
            one = copy.copy(config)
            one.intermediate_size = block.ffn.intermediate_size
            layer.mlp = LlamaMLP(one)
            if config.qkv_bias:
                attention = layer.self_attn
                for name in ("q_proj", "k_proj", "v_proj"):
                    plain = getattr(attention, name)
                    setattr(attention, name, nn.Linear(plain.in_features, plain.out_features, bias=True))
        self.post_init()
