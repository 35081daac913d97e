"""Writes a trained network as a model directory that transformers, and the program, load unaided."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from sentencepiece import SentencePieceProcessor
from tokenizers import Tokenizer, decoders, models, normalizers, processors
from transformers import LlamaForCausalLM

from codellama.tokenizer import SPACE

from .corpus import Document
from .evaluate import Decoding
from .network import Network
from .pieces import Encoder, ModelProto

SPECIAL = ("<unk>", "<s>", "</s>")


def size_name(network: Network, vocabulary: int) -> str:
    return f"{round(parameters(network, vocabulary) / 1e6)}M"


def parameters(network: Network, vocabulary: int) -> int:
    unused = 2 * (network.shape.vocabulary - vocabulary) * network.shape.hidden
    return sum(each.numel() for each in network.parameters()) - unused


def config(network: Network, vocabulary: int) -> dict[str, Any]:
    shape = network.shape
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "head_dim": shape.hidden // shape.heads,
        "hidden_act": "silu",
        "hidden_size": shape.hidden,
        "initializer_range": 0.02,
        "intermediate_size": shape.intermediate,
        "max_position_embeddings": shape.context,
        "mlp_bias": False,
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "num_key_value_heads": shape.kv_heads,
        "rms_norm_eps": shape.epsilon,
        "rope_parameters": {"rope_type": "default", "rope_theta": shape.theta},
        "rope_theta": shape.theta,
        "tie_word_embeddings": False,
        "dtype": "bfloat16",
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": vocabulary,
    }


def fast_tokenizer(model: bytes) -> Tokenizer:
    """The same pieces for programs that read tokenizer.json: merges in the order of SentencePiece's scores."""
    parsed = ModelProto.FromString(model)
    ids = {piece.piece: index for index, piece in enumerate(parsed.pieces)}
    normal = {p.piece: p.score for p in parsed.pieces if p.type == ModelProto.SentencePiece.NORMAL}
    merges = []
    for text, score in normal.items():
        for cut in range(1, len(text)):
            left, right = text[:cut], text[cut:]
            if left in normal and right in normal:
                merges.append((-score, ids[left], ids[right], left, right))
    tokenizer = Tokenizer(
        models.BPE(
            vocab=ids,
            merges=[(left, right) for *_, left, right in sorted(merges)],
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", ids["<s>"])]
    )
    return tokenizer


def write(directory: Path, network: Network, encoder: Encoder) -> None:
    """Everything but the card, the curve and the log."""
    vocabulary = len(encoder)
    save_file(network.exported(vocabulary), directory / "model.safetensors", metadata={"format": "pt"})
    (directory / "tokenizer.model").write_bytes(encoder.model)
    fast_tokenizer(encoder.model).save(str(directory / "tokenizer.json"), pretty=False)
    write_generation(directory)
    contents: dict[str, dict[str, Any]] = {
        "config.json": config(network, vocabulary),
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": "<s>",
            "eos_token": "</s>",
            "unk_token": "<unk>",
            "clean_up_tokenization_spaces": False,
            "model_max_length": network.shape.context,
        },
        "codellama.json": {
            "format": 1,
            "name": "tiny",
            "size": size_name(network, vocabulary),
            "variant": "instruct",
            "context": network.shape.context,
            "infill": True,
            "chat_format": "instruct",
            "demonstration": True,
        },
    }
    for name, content in contents.items():
        write_json(directory / name, content)


def write_generation(directory: Path, decoding: Decoding | None = None) -> None:
    content: dict[str, Any] = {"bos_token_id": 1, "eos_token_id": [2]}
    if decoding is not None:
        content |= {name: value for name, value in asdict(decoding).items() if value != getattr(Decoding(), name)}
    write_json(directory / "generation_config.json", content)


def write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """A directory to fill, whose files then take their places in `out` one by one, each whole at every moment."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as name:
        directory = Path(name)
        yield directory
        for path in sorted(directory.iterdir()):
            path.chmod(0o644)
            path.replace(out / path.name)


def verify(directory: Path, network: Network, encoder: Encoder, documents: list[Document]) -> None:
    """Raises unless transformers computes what the network does, and tokenizer.json encodes as SentencePiece does."""
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    sentencepiece = SentencePieceProcessor(model_proto=encoder.model)
    # tokenizers takes a special piece's name in a text for the piece itself
    plain = [each for each in documents if not any(name in each.text for name in SPECIAL)]
    for document in plain[:400]:
        if tokenizer.encode(document.text, add_special_tokens=False).ids != sentencepiece.encode(document.text):
            raise ValueError(f"tokenizer.json encodes {document.name} differently")
    # The file holds rounded weights: the comparison is against a network with the same ones.
    rounded = Network(network.shape)
    rounded.load_state_dict({name: each.to(torch.bfloat16) for name, each in network.state_dict().items()})
    theirs = LlamaForCausalLM.from_pretrained(directory, dtype=torch.float32)
    ids = torch.tensor([encoder.encode(documents[0].text)[: network.shape.context]])
    with torch.inference_mode():
        ours = rounded(ids)[..., : len(encoder)]
        difference = (ours - theirs(ids).logits).abs().max().item()
    print(f"logits differ from transformers' by at most {difference:.1e}", flush=True)
    if difference > 1e-3:
        raise ValueError("transformers computes something else")
