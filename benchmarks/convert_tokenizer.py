"""The tokenizer.json that `codellama convert` writes against SentencePiece, on every module of the standard library.

    python benchmarks/convert_tokenizer.py TOKENIZER.model …

Prints how many files and ids were compared; one that differs ends the run with 1.
"""

from __future__ import annotations

import argparse
import sysconfig
from pathlib import Path

from sentencepiece import SentencePieceProcessor
from tokenizers import Tokenizer

from codellama.convert.fast_tokenizer import tokenizer_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="+")
    wrong = 0
    library = sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py"))
    files = [path for path in library if "site-packages" not in path.parts]
    for model in parser.parse_args().model:
        slow = SentencePieceProcessor(model_file=str(model))
        fast = Tokenizer.from_str(tokenizer_json(model))
        fast.encode_special_tokens = True
        count = different = 0
        for path in files:
            text = path.read_bytes().decode("utf-8", "replace")
            expected = slow.encode(text)
            count += len(expected)
            if fast.encode(text, add_special_tokens=False).ids != expected:
                different += 1
                print(f"{path} differs")
        print(f"{model.name}: {len(files)} files, {count:,} ids, {different} files differ", flush=True)
        wrong += different
    raise SystemExit(wrong > 0)


if __name__ == "__main__":
    main()
