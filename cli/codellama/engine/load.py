"""A checkpoint and a plan become a model in memory.

transformers does the loading, and is shown nothing but weights: a temporary directory with links to the shards and
an index of our own, and a config made from `Config` alone. Whatever else lies in the model's directory (adapters,
generation settings, remote code) is out of its sight. It reads local files only and prints nothing.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import tempfile
import time
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from transformers import BitsAndBytesConfig, GenerationConfig, LlamaConfig, LlamaForCausalLM
from transformers.utils import logging as transformers_logging

from codellama.checkpoint import DTYPES, INDEX, Checkpoint
from codellama.config import CONFIG, Config
from codellama.dialog import Progress
from codellama.engine.quiet import quiet
from codellama.errors import CodellamaError, InputError
from codellama.memory import Plan, fits_4bit, gigabytes

THREADS = torch.get_num_threads()
SMALL = 30_000_000
# bytes of weights below which one core computes: several gain little and wait for each other at each product. By
# benchmarks/threads.py two idle cores gave 0.8 to 1.5 times one's tokens per second at 14 MB, from run to run, and 1.1
# to 2 times at 47 MB; with other work on both cores they gave 3 a second at 14 MB, where one gave 216.


@dataclass(frozen=True, slots=True)
class Loaded:
    model: LlamaForCausalLM
    # in eval mode
    device: torch.device
    # where token ids go
    dtype: str
    threads: int
    # for torch on the CPU
    seconds: float


def load(checkpoint: Checkpoint, plan: Plan, report: Callable[[Progress], None]) -> Loaded:
    """Load the weights as planned; `report` is told bytes done of all, and may raise to stop.

    Where the precision is the stored one, weights on the CPU stay a mapping of the file and are not copied.

    Raises CodellamaError where memory runs out or torch has no CUDA for a planned GPU, InputError where the files
    are not what the checkpoint says: no weight is ever left at random.
    """
    start = time.perf_counter()
    report(Progress("load", 0, checkpoint.weight_bytes))
    if plan.input_device.startswith("cuda"):
        # torch would put the fastest GPU first, nvidia-smi and so the plan go by the bus
        os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
        if not torch.cuda.is_available():
            raise CodellamaError(
                f"{plan.input_device} cannot be used: PyTorch {torch.__version__} finds no CUDA: "
                "install a build of PyTorch that goes with the driver, or take --device cpu"
            )
    short_of_memory = False
    failure = ""
    with ExitStack() as stack:
        staged = Path(tempfile.mkdtemp(prefix="codellama-"))
        stack.callback(shutil.rmtree, staged, ignore_errors=True)
        _stage(checkpoint, staged)
        stack.enter_context(quiet())
        stack.enter_context(_progress(checkpoint.weight_bytes, report))
        try:
            loaded: Any = LlamaForCausalLM.from_pretrained(staged, **_settings(checkpoint, plan, staged))
            model, info = cast("tuple[LlamaForCausalLM, dict[str, Any]]", loaded)
        except (MemoryError, RuntimeError, OSError, SafetensorError) as error:
            # nothing is raised in here: the error's traceback holds every tensor loaded so far
            failure = f"{type(error).__name__}: {error}".splitlines()[0]
            short_of_memory = isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in failure
        if not failure and "disk" in plan.device_map.values():
            # it is read from as long as the model lives, at the longest until the program ends
            stack.pop_all()
            weakref.finalize(model, shutil.rmtree, staged, ignore_errors=True)
    if failure:
        release()
        if not short_of_memory:
            raise CodellamaError(f"{checkpoint.directory}: cannot be loaded: {failure}")
        raise CodellamaError(
            f"out of memory while loading {checkpoint.directory.name}: it needs {gigabytes(plan.needed)}, "
            f"{gigabytes(plan.free)} were free: end other programs, or take --4bit, --8bit or a smaller model"
        )
    for what, names in info.items():
        if names:
            del model
            release()
            raise InputError(
                f"{checkpoint.directory}: its files changed meanwhile: {what}: {sorted(map(str, names))[0]}"
            )
    _unpack(model)
    threads = 1 if checkpoint.weight_bytes < SMALL else THREADS
    return Loaded(model, torch.device(plan.input_device), plan.dtype, threads, time.perf_counter() - start)


def release() -> None:
    """Give freed memory back, to other programs too."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _stage(checkpoint: Checkpoint, staged: Path) -> None:
    links = {file: f"{number}.safetensors" for number, file in enumerate(checkpoint.files)}
    for file, link in links.items():
        (staged / link).symlink_to(file.resolve())
    placed = {name: links[header.file] for name, header in checkpoint.tensors.items()}
    (staged / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": placed}))


def _settings(checkpoint: Checkpoint, plan: Plan, staged: Path) -> dict[str, Any]:
    """What from_pretrained is told. Raises InputError where transformers does not take the rope parameters."""
    config = llama_config(checkpoint)
    stop = GenerationConfig(bos_token_id=config.bos_token_id, eos_token_id=config.eos_token_id)  # type: ignore[no-untyped-call]
    settings: dict[str, Any] = {
        "config": config,
        "dtype": getattr(torch, plan.dtype),
        # GPUs as numbers: accelerate picks the first of a set, and strings have no order in one
        "device_map": {
            name: int(home.removeprefix("cuda:")) if home.startswith("cuda:") else home
            for name, home in plan.device_map.items()
        },
        "offload_folder": str(staged / "offload"),
        "attn_implementation": "sdpa",
        "use_safetensors": True,
        "local_files_only": True,
        "output_loading_info": True,
        "generation_config": stop,
    }
    if checkpoint.config.quantisation:
        config.quantization_config = _quantisation(checkpoint, plan).to_dict()
    elif plan.quantisation:
        settings["quantization_config"] = _quantisation(checkpoint, plan)
    return settings


def llama_config(checkpoint: Checkpoint) -> LlamaConfig:
    """transformers' config, made from ours field by field. Raises InputError where it does not take them."""
    config: Config = checkpoint.config
    rope: Mapping[str, object] = {
        "rope_type": "default",
        **(config.rope_scaling or {}),
        "rope_theta": config.rope_theta,
    }
    failure = ""
    try:
        return LlamaConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.kv_heads,
            head_dim=config.head_dim,
            max_position_embeddings=config.context,
            rms_norm_eps=config.rms_norm_eps,
            rope_parameters=dict(rope),
            tie_word_embeddings=config.tie_word_embeddings,
            bos_token_id=config.bos_id,
            eos_token_id=list(config.eos_ids) or None,
        )
    except (KeyError, TypeError, ValueError) as error:
        failure = str(error).splitlines()[0]
    raise InputError(f"{checkpoint.directory / CONFIG}: transformers does not take its rope parameters: {failure}")


def _quantisation(checkpoint: Checkpoint, plan: Plan) -> BitsAndBytesConfig:
    """nf4 with double quantisation, or int8, for the layers' matrices; what is stored unquantised stays so."""
    plain = ["lm_head"]
    if plan.quantisation == "4bit":
        plain += [name for name, (_, columns) in checkpoint.config.layer_linears().items() if not fits_4bit(columns)]
    if checkpoint.config.quantisation:
        matrices = [name for name, shape in checkpoint.config.shapes() if len(shape) == 2]
        plain = [name for name in matrices if checkpoint.tensors[name].dtype in DTYPES]
        plain = [name.removesuffix(".weight") for name in plain]
        plain += ["lm_head"] if checkpoint.config.tie_word_embeddings else []
    return BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=plan.quantisation == "4bit",
        load_in_8bit=plan.quantisation == "8bit",
        llm_int8_skip_modules=plain,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def _unpack(model: LlamaForCausalLM) -> None:
    """Keep bitsandbytes from repacking 4-bit matrices whose sizes its kernel for AVX512-BF16 fails on."""
    module: Any
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu") and (module.in_features % 64 or module.out_features % 32):
            module.support_avx512bf16_for_cpu = False


@contextmanager
def _progress(total: int, report: Callable[[Progress], None]) -> Iterator[None]:
    """Where transformers would draw a progress bar over the tensors, `report` gets their share of the bytes."""

    def counted(items: Collection[Any]) -> Iterator[Any]:
        for done, item in enumerate(items, 1):
            yield item
            report(Progress("load", total * done // len(items), total))

    def bar(factory: object, args: tuple[Any, ...], kwargs: object) -> object:
        # a bar around nothing would be moved by hand, and is not drawn
        return counted(args[0]) if args else transformers_logging.EmptyTqdm()  # type: ignore[no-untyped-call]

    previous = transformers_logging.set_tqdm_hook(bar)
    try:
        yield
    finally:
        transformers_logging.set_tqdm_hook(previous)
