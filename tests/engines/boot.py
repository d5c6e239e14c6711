#!/usr/bin/env python3
"""Become the Python worker that a runner starts by `--environment_type PROCESS`.

A runner calls the command with `--id=ID --provision_endpoint=HOST:PORT`; what Beam's boot program in
its container images does, this does with the interpreter that BOOT_PYTHON names. Logs go to a folder
a worker in BOOT_FOLDER.
"""

import argparse
import os
import sys
from pathlib import Path


def main() -> None:
    python = os.environ.get("BOOT_PYTHON", sys.executable)
    # An interpreter of a virtual environment is known by its name, not by the file behind it.
    if Path(python) != Path(sys.executable):
        os.execv(python, [python, __file__, *sys.argv[1:]])
    parser = argparse.ArgumentParser()
    parser.add_argument("--id", required=True)
    parser.add_argument("--provision_endpoint", required=True)
    given, _ = parser.parse_known_args()
    become_worker(python, given.id, given.provision_endpoint)


def become_worker(python: str, worker_id: str, provision_endpoint: str) -> None:
    import grpc
    from apache_beam.portability.api import beam_provision_api_pb2 as messages
    from apache_beam.portability.api import beam_provision_api_pb2_grpc as services
    from google.protobuf import json_format, text_format

    with grpc.insecure_channel(provision_endpoint) as channel:
        service = services.ProvisionServiceStub(channel)
        request = messages.GetProvisionInfoRequest()
        told = service.GetProvisionInfo(request, metadata=[("worker_id", worker_id)]).info
    folder = Path(os.environ.get("BOOT_FOLDER", ".")).absolute() / str(os.getpid())
    (folder / "staged").mkdir(parents=True)
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    environment = {
        **os.environ,
        "WORKER_ID": worker_id,
        "LOGGING_API_SERVICE_DESCRIPTOR": text_format.MessageToString(told.logging_endpoint),
        "CONTROL_API_SERVICE_DESCRIPTOR": text_format.MessageToString(told.control_endpoint),
        "PIPELINE_OPTIONS": json_format.MessageToJson(told.pipeline_options),
        "SEMI_PERSISTENT_DIRECTORY": str(folder),
    }
    module = "apache_beam.runners.worker.sdk_worker_main"
    os.execve(python, [python, "-m", module], environment)


if __name__ == "__main__":
    main()
