"""vLLM's own offline loop, `LLM.chat`; started by benchmarks/vllm.py in the interpreter that vLLM
is installed in.

`PYTHON -P benchmarks/vllm_offline.py SERVER-ARGUMENTS`: without -P, `import vllm` would find
vllm.py beside this file. The engine gets what a server gets from these arguments. Each line of
standard input names a file with the bodies of chat completions, one a line; its answer is a line of
JSON: seconds and tokens. Needs nothing but vLLM.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def load(arguments: Sequence[str]) -> Any:
    """An LLM with the engine arguments that a server would have."""
    from vllm import LLM, EngineArgs
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    try:
        from vllm.entrypoints.launchers.cli_args import make_arg_parser
    except ImportError:  # where it was before 0.32
        from vllm.entrypoints.openai.cli_args import make_arg_parser

    parsed = make_arg_parser(FlexibleArgumentParser()).parse_args(list(arguments))
    engine = EngineArgs.from_cli_args(parsed)
    # Not dataclasses.asdict, which would take nested configurations apart.
    return LLM(**{field.name: getattr(engine, field.name) for field in dataclasses.fields(engine)})


def parameters_of(body: dict[str, Any], defaults: dict[str, Any]) -> Any:
    """The sampling parameters that a server makes of a body; what it leaves open is the model's."""
    from vllm import SamplingParams
    from vllm.sampling_params import StructuredOutputsParams

    asked = {
        "max_tokens": body["max_tokens"],
        "temperature": body["temperature"],
        "seed": body["seed"],
        "logprobs": 0 if body.get("logprobs") else None,
        "structured_outputs": StructuredOutputsParams(
            json=body["response_format"]["json_schema"]["schema"]
        ),
    }
    return SamplingParams.from_optional(**{**defaults, **asked})


def run(llm: Any, path: Path) -> dict[str, float]:
    """Reading the bodies is not counted: a loop of one's own would have its messages in memory."""
    bodies = [json.loads(line) for line in path.read_bytes().splitlines()]
    defaults = llm.model_config.get_diff_sampling_param()
    messages, parameters = (
        [body["messages"] for body in bodies],
        [parameters_of(body, defaults) for body in bodies],
    )
    started = time.perf_counter()
    outputs = llm.chat(messages, parameters, use_tqdm=False)
    seconds = time.perf_counter() - started
    return {
        "seconds": seconds,
        "answers": len(outputs),
        "cut": sum(output.outputs[0].finish_reason == "length" for output in outputs),
        "prompt_tokens": sum(len(output.prompt_token_ids) for output in outputs),
        "completion_tokens": sum(len(output.outputs[0].token_ids) for output in outputs),
    }


def main() -> None:
    # vLLM and its processes write to standard output, too; what they write goes to standard error,
    # answers do not.
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        llm = load(sys.argv[1:])
        print("ready", file=answers, flush=True)
        for line in sys.stdin:
            print(json.dumps(run(llm, Path(line.strip()))), file=answers, flush=True)


# Engine processes import this file again.
if __name__ == "__main__":
    main()
