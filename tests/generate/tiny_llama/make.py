"""Makes the tiny Llama beside this file: random weights, a vocabulary trained on this project's documentation.

It says nothing sensible, quickly, and it is a real Llama to every engine. Needs, in an environment of its own:
`pip install torch==2.13.0 "optimum-intel[openvino]" openvino-tokenizers`. Then `python make.py [FOLDER]`:
`FOLDER/hf` gets the Hugging Face form (for vLLM), `FOLDER/openvino` the 8-bit OpenVINO export that is committed here.
"""

import sys
from pathlib import Path

import openvino
import torch
from openvino_tokenizers import convert_tokenizer
from optimum.intel import OVModelForCausalLM, OVWeightQuantizationConfig
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

HERE = Path(__file__).parent
SPECIAL = ["<s>", "</s>", "<|turn|>"]
TEMPLATE = (
    "<s>{% for message in messages %}<|turn|>{{ message['role'] }}\n{{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
)


def make_tokenizer() -> PreTrainedTokenizerFast:
    docs = sorted((HERE.parents[2] / "docs").rglob("*.md"))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1024, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train([str(path) for path in docs], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>", chat_template=TEMPLATE
    )


def make_model(vocabulary: int) -> LlamaForCausalLM:
    torch.manual_seed(11)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=64,
            intermediate_size=160,
            num_hidden_layers=4,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=32,
            max_position_embeddings=8192,
            initializer_range=0.3,
            tie_word_embeddings=True,
            bos_token_id=0,
            eos_token_id=1,
        )
    )


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(folder / "hf")
    make_model(len(tokenizer)).save_pretrained(folder / "hf")
    exported = OVModelForCausalLM.from_pretrained(
        folder / "hf", export=True, quantization_config=OVWeightQuantizationConfig(bits=8)
    )
    exported.save_pretrained(folder / "openvino")
    tokenizer.save_pretrained(folder / "openvino")
    for model, name in zip(
        convert_tokenizer(tokenizer, with_detokenizer=True), ("openvino_tokenizer", "openvino_detokenizer"), strict=True
    ):
        openvino.save_model(model, folder / "openvino" / f"{name}.xml")


if __name__ == "__main__":
    main()
