# SPDX-License-Identifier: Apache-2.0
"""Configuration of a Llama-like model whose layers have MLPs of different widths.

vLLM computes such a model as "DeciLMForCausalLM" and reads the width of layer i from block_configs[i].ffn.intermediate_size.
prunellm writes this file beside the weights, so that vLLM and transformers find the class with trust_remote_code.
"""

from transformers import LlamaConfig


class Fields(dict):
    """A dictionary whose keys are attributes too: vLLM reads attributes, and config.json needs a dictionary."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class DeciLMConfig(LlamaConfig):
    model_type = "nemotron-nas"

    def __init__(self, block_configs=None, qkv_bias=False, **kwargs):
        super().__init__(**kwargs)
        self.qkv_bias = qkv_bias
        self.block_configs = [
            Fields(attention=Fields(block["attention"]), ffn=Fields(block["ffn"])) for block in block_configs or []
        ]
