# Engines that already run, with keys of their own, and a client key that is
# in use already, so that clients go on unchanged.
#
# Secrets never stand in this file. Before plan and apply:
#
#   export RELAYCTL_VAR_vllm_key=…      the engine's key
#   export OLD_CLIENT_KEY=…             what clients send today, 32 characters or more
#
# and put the other engine's key into llama-cpp.key, beside this file.

variable "vllm_key" {
  type        = string
  sensitive   = true
  description = "what vLLM on gpu-1 was started with as --api-key"
}

stack "home" {}

ssh {
  user = "ops"
}

proxy "edge" {
  address = "203.0.113.10"
  domain  = "llm.example.com"

  tls "internal" {}

  # Large models on slow boxes: the first word may take its time.
  relay {
    first_byte_timeout = "20m"
    queue_timeout      = "2m"
    max_queue          = 50
  }
}

worker "gpu-1" {
  address = "10.0.0.21"

  ssh {
    port     = 2222
    host_key = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
  }

  model "llama3-70b" {
    backend     = "http://127.0.0.1:8000"
    backend_key = var.vllm_key
    upstream    = "meta-llama/Llama-3.3-70B-Instruct"
    concurrency = 32
  }

  # The engine of another machine that only gpu-1 can reach.
  model "qwen3-4b" {
    backend     = "http://10.0.0.30:8080"
    backend_key = trimspace(file("llama-cpp.key"))
    concurrency = 4
  }
}

api_key "clients" {
  value = env("OLD_CLIENT_KEY")
}
