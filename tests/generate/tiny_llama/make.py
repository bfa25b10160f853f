"""Makes the tiny Llama beside this file: random weights, a vocabulary trained on this project's documentation.

It says nothing sensible, quickly, and it is a real Llama to every engine.

    python make.py hf FOLDER         the Hugging Face form, for vLLM; needs torch and transformers
    python make.py openvino [HERE]   the 8-bit OpenVINO export that is committed here; needs, in an environment of its
                                     own, `pip install torch==2.13.0 "optimum-intel[openvino]" openvino-tokenizers`
"""

import sys
import tempfile
from pathlib import Path

import torch
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


def make_hf(folder: Path) -> PreTrainedTokenizerFast:
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(folder)
    make_model(len(tokenizer)).save_pretrained(folder)
    return tokenizer


def make_openvino(folder: Path) -> None:
    import openvino
    from openvino_tokenizers import convert_tokenizer
    from optimum.intel import OVModelForCausalLM, OVWeightQuantizationConfig

    with tempfile.TemporaryDirectory() as scratch:
        tokenizer = make_hf(Path(scratch))
        exported = OVModelForCausalLM.from_pretrained(
            scratch, export=True, quantization_config=OVWeightQuantizationConfig(bits=8)
        )
        exported.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    for model, name in zip(
        convert_tokenizer(tokenizer, with_detokenizer=True), ("openvino_tokenizer", "openvino_detokenizer"), strict=True
    ):
        openvino.save_model(model, folder / f"{name}.xml")


def main() -> None:
    form, folder = sys.argv[1], Path(sys.argv[2]) if len(sys.argv) > 2 else HERE / sys.argv[1]
    {"hf": make_hf, "openvino": make_openvino}[form](folder)


if __name__ == "__main__":
    main()
